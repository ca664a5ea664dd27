/* Does the host's notification interface keep its promises? See mechanisms in docs/architecture.md. */
#ifndef FB_SELFTEST_H
#define FB_SELFTEST_H

/* 0, or -errno with *ret_reason set to words for the user (constant string). */
int selftest_notify(const char **ret_reason);

#endif
