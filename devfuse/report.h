/*
 * Who waits for whom: every connection with its queues, each request with its age and client, the
 * processes that serve it, and the circles in which nobody can go on. For `fusebox ps --fuse` and
 * SIGQUIT.
 */
#ifndef FB_DEVFUSE_REPORT_H
#define FB_DEVFUSE_REPORT_H

struct strbuf;

void fuse_report(struct strbuf *out);

#endif
