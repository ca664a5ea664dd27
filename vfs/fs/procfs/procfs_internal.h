/* Shared by the files of procfs only. */
#ifndef FB_VFS_FS_PROCFS_INTERNAL_H
#define FB_VFS_FS_PROCFS_INTERNAL_H

#include "vfs/fs/procfs.h"
#include "vfs/fs/pseudo.h"

/* What procfs_set_source() was given; never NULL. */
extern const struct proc_source *proc_source;

/* The task of a key: its thread, or any live one of its process. NULL: gone. To be put. */
struct proc_task *proc_task_get(const struct pseudo_key *key);

/* ptrace_may_access(PTRACE_MODE_READ): -EACCES unless the caller could trace the task. */
int proc_may_access(const struct op_ctx *ctx, const struct pseudo_key *key);

/* The lines of `text` whose "Key:" is one of `keys` (NULL-terminated), in the order of keys. */
void proc_copy_lines(struct strbuf *out, const struct strbuf *text, const char *const *keys);

/* Parses a decimal integer with optional sign and trailing newline. -EINVAL, -ERANGE. */
int proc_parse_int(const char *text, long *ret_value);

extern const struct pseudo_dynamic proc_pid_names; /* pid.c: /proc/PID */
extern const struct pseudo_dynamic proc_fd_names;  /* fd.c */
extern const struct pseudo_dynamic proc_fdinfo_names;
extern const struct pseudo_entry proc_sys_entries[]; /* sys.c */
extern const struct pseudo_entry proc_net_entries[]; /* net.c */

/* status.c */
int proc_show_stat(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out);
int proc_show_status(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out);
int proc_show_limits(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out);

#endif
