/* --trace: one line per call, in strace's look. calllog_open() is in table.h. */
#ifndef FB_SYSCALLS_CALLLOG_H
#define FB_SYSCALLS_CALLLOG_H

#include <stdbool.h>
#include <stdint.h>

struct syscall_row;
struct task;

bool calllog_enabled(void);
/*
 * Prints the call of the task (row NULL: unknown number) and its result. Guest memory is read
 * again, for show only: what was used may have been different.
 */
void calllog_print(struct task *task, const struct syscall_row *row, int64_t result);

#endif
