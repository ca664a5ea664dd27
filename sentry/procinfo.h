/* What procfs and terminals ask about tasks, answered from the task list and the host's /proc. */
#ifndef FB_PROCINFO_H
#define FB_PROCINFO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fdtable;
struct op_ctx;
struct strbuf;
struct task;

/*
 * Hands procfs its source and the VFS its task operations. Called once, after hostproc_init() and
 * uts_init(). 0 or -errno.
 */
int procinfo_init(void);

/* taskops.c: the table of vfs/tasks.h. */
void taskops_init(void);

/* Appends /proc/<pid>/<name> of the host (pid 0: /proc/<name>). 0, -ESRCH, -errno. */
int procinfo_read(pid_t host_pid, const char *name, struct strbuf *out);
/*
 * The descriptors of another task, with a reference; NULL while it execs, unshares or ends, when
 * they may be put at any moment.
 */
struct fdtable *procinfo_files(struct task *task);
/* Parent (host id) of a process, 0 when it is gone. */
pid_t procinfo_host_ppid(pid_t host_pid);

/*
 * procmaps.c: the host's maps or smaps with what is about the host taken out: names come from
 * mapnames.h, device numbers go.
 */
void procmaps_translate(const char *text, struct strbuf *out);
/* One mapping of the host's maps or smaps. */
struct procmap {
	uint64_t start, end, offset, ino;
	unsigned maj, min;
	char perms[5];	  /* "r-xp" */
	const char *name; /* the host's, up to the end of the line */
	size_t name_len;
};
/* Reads the next one of the text, which moves on; NULL is an empty text. False: there is none. */
bool procmaps_next(const char **text, struct procmap *ret);
/* What is mapped at an address: host device, inode number, position. False: no file. */
bool procmaps_find(const char *text, uint64_t addr, uint64_t *ret_dev, uint64_t *ret_ino,
		   int64_t *ret_offset);
/*
 * The shared file mappings of the host's maps that touch [start, end), by host device and inode
 * number, until fn returns an error, which is returned.
 */
int procmaps_shared(const char *text, uint64_t start, uint64_t end,
		    int (*fn)(uint64_t dev, uint64_t ino, void *arg), void *arg);

#endif
