/*
 * Generated files and directories: the common ground of procfs and sysfs.
 *
 * A file system of this kind is a tree of `struct pseudo_entry`, mostly constant tables. An entry
 * says what one name is: text made by `show` when it is read, a link, or a directory. What a
 * directory holds comes from up to three places, asked in this order:
 *	dir	 entries that other code has added at run time (pseudo_dir_add)
 *	children the constant table
 *	dynamic	 names that are computed (process ids, descriptors, processors)
 *
 * Everything an entry's functions need to know about *which* object is meant travels in a small
 * key that dynamic directories extend on the way down.
 */
#ifndef FB_VFS_FS_PSEUDO_H
#define FB_VFS_FS_PSEUDO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"

struct fs_context;
struct op_ctx;
struct path;
struct pseudo_entry;
struct strbuf;
struct waitq;

/* Which object an entry is about; zero where it does not apply. */
struct pseudo_key {
	pid_t pid;	  /* guest process */
	pid_t tid;	  /* guest thread below /proc/PID/task; 0 = the process */
	int num;	  /* descriptor, processor, ... */
	const void *data; /* of the nearest entry with data, seen from below */
};

/* Computed names of a directory. */
struct pseudo_dynamic {
	/* The entry called `name` (NUL-terminated) and its key. 0 or -ENOENT, -errno. */
	int (*find)(const struct op_ctx *ctx, const struct pseudo_key *dir, const char *name,
		    struct pseudo_key *ret_key, const struct pseudo_entry **ret_entry);
	/*
	 * The first name whose number is >= *number; stores that number. 0, or -ENOENT at the end.
	 * The name itself is the number with `prefix` in front.
	 */
	int (*next)(const struct op_ctx *ctx, const struct pseudo_key *dir, int *number);
	/* Names that are more than that. -ENOENT: it is gone by now. */
	int (*name)(const struct pseudo_key *dir, int number, char *buf, size_t size);
	const char *prefix;
	unsigned dirent_type; /* DT_* */
};

/* A directory to which other code adds entries while the sandbox runs. */
struct pseudo_dir {
	struct fb_mutex lock;	  /* RANK_FS: guards the rest */
	struct list_node entries; /* empty until the first pseudo_dir_add() when zero */
	unsigned next_seq;
};

#define PSEUDO_DIR_INIT(name)                                                                      \
	{                                                                                          \
		FB_MUTEX_INIT(RANK_FS), LIST_INIT((name).entries), 0                               \
	}

/* A counter of changes: poll says POLLERR|POLLPRI once after it has moved (proc(5), mounts). */
struct pseudo_watch {
	void *object; /* counted; keeps the queue alive until the file is released */
	struct waitq *queue;
	uint64_t (*count)(void *object);
	void (*put)(void *object);
};

struct pseudo_entry {
	const char *name; /* NULL ends a table */
	uint32_t mode;	  /* type and permission bits */
	/* May the caller open, list, look into or follow it? 0 or -errno. NULL: mode bits only. */
	int (*access)(const struct op_ctx *ctx, const struct pseudo_key *key);
	/* S_IFDIR: may the caller search and list it whatever its mode says? NULL: no. */
	bool (*own)(const struct op_ctx *ctx, const struct pseudo_key *key);
	/* S_IFREG: the whole text. 0 or -errno. */
	int (*show)(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out);
	/* S_IFREG: one write(2), NUL-terminated copy of at most PSEUDO_WRITE_MAX bytes. */
	int (*store)(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		     size_t len);
	/*
	 * S_IFREG: the mode says what it can do, so nobody, root included, opens it for more (EACCES);
	 * an empty write does nothing. Files of a kernfs are so by themselves.
	 */
	bool mode_binds;
	bool no_seek;	 /* S_IFREG: lseek, pread and pwrite give ESPIPE */
	bool write_once; /* S_IFREG: a write behind position 0 gives EINVAL */
	/* S_IFREG: what poll(2) shall watch; asked at open. NULL: always ready, nothing to watch.
	 */
	int (*watch)(const struct op_ctx *ctx, const struct pseudo_key *key,
		     struct pseudo_watch *ret_watch);
	/* S_IFLNK: a constant target, or inode_ops.get_link with a key. */
	const char *target;
	int (*link)(const struct op_ctx *ctx, const struct pseudo_key *key, char **ret_target,
		    struct path *ret_path);
	/* S_IFLNK: readlink(2) of a magic link. NULL: the path's text. */
	int (*readlink)(const struct op_ctx *ctx, const struct pseudo_key *key, char **ret_target);
	/* S_IFDIR */
	const struct pseudo_entry *children;
	struct pseudo_dir *dir;
	const struct pseudo_dynamic *dynamic;
	const void *data; /* becomes key.data of the entry and of all below it */
};

#define PSEUDO_WRITE_MAX 4095

/* Adds an entry (borrowed; constant until removed). It hides a table entry of its name. -EEXIST. */
int pseudo_dir_add(struct pseudo_dir *dir, const struct pseudo_entry *entry);
void pseudo_dir_remove(struct pseudo_dir *dir, const char *name);

/* One file system made of entries. */
struct pseudo_fs {
	const struct pseudo_entry *root;
	uint64_t magic;
	/* A missing name is an error of lookup (as in procfs), not a place where one could create.
	 */
	bool no_negatives;
	/* What a read gives of an entry without `show`, and a write to one without `store`. */
	int no_method;
	/* The rules of kernfs: modes bind (kernfs_fop_open(), sysfs_kf_write()), sizes are a page. */
	bool kernfs;
	/*
	 * Who owns the object of a key; -ENOENT when it is gone. Must not sleep.
	 * NULL: everything is root's and stays.
	 */
	int (*owner)(const struct pseudo_key *key, const struct pseudo_entry *entry, uid_t *ret_uid,
		     gid_t *ret_gid);
};

/* fs_context_ops.get_tree of a pseudo_fs: a new superblock with its root. */
int pseudo_get_tree(struct fs_context *fc, const struct pseudo_fs *fs);

/* Parses a decimal number that fills the whole string, as a directory name. -EINVAL. */
int pseudo_parse_number(const char *text, int *ret_number);

#endif
