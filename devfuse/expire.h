/*
 * The work that inval_wq switches on (F13): every so many seconds the names are dropped whose time
 * is over and that nobody uses, so that their nodes are forgotten before memory is short.
 */
#ifndef FB_DEVFUSE_EXPIRE_H
#define FB_DEVFUSE_EXPIRE_H

/* The parameter is `seconds` now, and was `old`; 0 = off. */
void fuse_expire_set_period(unsigned long old, unsigned long seconds);
/* One such round, of all connections. */
void fuse_expire_all(void);

#endif
