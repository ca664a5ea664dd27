/* Counters for `fusebox run --stats`; relaxed atomics, read at the end. */
#ifndef FB_STATS_H
#define FB_STATS_H

/* One line per counter to `hostfd`. Other folders add their part with stats_register(). */
struct strbuf;
void stats_register(void (*show)(struct strbuf *out));
void stats_print(int hostfd);

#endif
