/*
 * mmap(2) of a file: the host descriptor that carries the file's pages is put at the guest's own
 * descriptor number, and the call continues natively.
 */
#ifndef FB_MAPPING_H
#define FB_MAPPING_H

#include <stdint.h>

struct file;
struct task;

/* Remembers which guest file stands behind a host file, for /proc/PID/maps. */
void mapping_note_name(struct task *task, int hostfd, struct file *file);
/* The arguments are in task->call.args. CALL_NATIVE or -errno. */
int64_t mapping_mmap(struct task *task);
/* Writes back what mappings in the range have changed. CALL_NATIVE or -errno. */
int64_t mapping_msync(struct task *task, uint64_t start, uint64_t length);

#endif
