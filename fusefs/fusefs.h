/*
 * The FUSE client: vfs operations turned into requests. Private to this folder, except for
 * fusefs/fusefs_type.h, which main.c includes.
 *
 * Locks: an inode's attributes, versions and lookup count are under inode.attr_lock; its cached
 * pages under cache.lock. No lock but the VFS' own inode locks is held while the daemon is asked.
 */
#ifndef FB_FUSEFS_FUSEFS_H
#define FB_FUSEFS_FUSEFS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "devfuse/conn.h"
#include "fusefs/cache.h"
#include "fusefs/dircache.h"
#include "sentry/base/err.h"
#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/log.h"
#include "sentry/base/refcount.h"
#include "sentry/base/wait.h"
#include "vfs/ctx.h"
#include "vfs/inode.h"
#include "vfs/mapped.h"
#include "vfs/ops.h"
#include "vfs/superblock.h"

#define FUSE_PAGE	 4096u
#define FUSE_SUPER_MAGIC 0x65735546
#define FUSE_O_LARGEFILE 0x8000u /* x86-64's kernel value; libc defines O_LARGEFILE as 0 */

/* How many pages so many bytes touch, from the beginning of a page on. */
static inline int64_t fuse_pages_up(int64_t bytes)
{
	return bytes / FUSE_PAGE + (bytes % FUSE_PAGE != 0);
}

/* Where a page begins; the one behind the last one has no position but the largest. */
static inline int64_t fuse_page_pos(int64_t page)
{
	return page > INT64_MAX / FUSE_PAGE ? INT64_MAX : page * FUSE_PAGE;
}

/* Where the bytes end that are asked for at pos; no offset is beyond INT64_MAX. */
static inline int64_t fuse_range_end(int64_t pos, uint64_t len)
{
	return len > (uint64_t)(INT64_MAX - pos) ? INT64_MAX : pos + (int64_t)len;
}

struct pseudo_key;

struct fuse_super {
	struct superblock *sb;	/* constant; not counted */
	struct fuse_conn *conn; /* counted; constant */
	uid_t user_id;		/* mount options, constant */
	gid_t group_id;
	atomic_bool default_permissions; /* POSIX_ACL turns it on */
	bool allow_other;		 /* constant */
	uint32_t max_read;	    /* bytes; UINT32_MAX = unlimited */
	atomic_ulong readahead_pages; /* of files that are opened from now on; read_ahead_kb */
	uint32_t bdi_min_ratio, bdi_max_ratio; /* parts in a million; guarded by bdi.c's lock */
	atomic_bool bdi_strict_limit, bdi_power_on;
	atomic_ullong attr_version; /* F23: bumped by every change of any inode's attributes */
	atomic_ullong evict_count;  /* F24: inodes evicted with a link count */
	atomic_ullong epoch;	    /* F08 */
	atomic_ullong next_kh;	    /* names open files in POLL */
	uint32_t owner_key[4];	    /* scrambles lock owners; constant */
	struct sleep_mutex revive_lock; /* innermost of the sleeping locks; see takeover.c */
	struct fb_mutex poll_lock;  /* RANK_FS: guards polled */
	struct list_node polled;    /* fuse_file.poll_node */
};

struct fuse_inode {
	struct inode inode;
	/* Change only with the daemon (takeover.c), under fs->revive_lock. */
	uint64_t nodeid; /* fuse_nodeid() */
	uint64_t generation;
	atomic_uint incarnation; /* of the daemon who calls it so */
	/* Guarded by inode.attr_lock: */
	uint64_t nlookup;	/* references that the daemon counts for us */
	int64_t attr_expiry_ns; /* monotonic; attributes are fresh up to and including it */
	uint32_t stale_mask;	/* STATX_* that must be asked again whatever the expiry says */
	uint64_t attr_version;	/* of the last change */
	uint32_t shown_mode;	/* with the sticky bit, which the VFS does not see (F45) */
	uint32_t shown_blksize;
	bool btime_valid;
	unsigned size_changing; /* operations that change the size are under way: ignore replies */

	atomic_bool nosec; /* S_NOSEC: no set-id bits, no security.capability to take away (F31) */
	/* F130; guarded by inode.attr_lock */
	unsigned cached_opens, passthrough_opens; /* never both */
	unsigned uncached_writes; /* parallel direct writes under way; cached opens wait */
	struct waitq uncached_done;
	int32_t backing_id; /* of the passthrough opens */

	atomic_bool want_plus;	      /* directory: next READDIR shall be a READDIRPLUS (F74) */
	atomic_bool from_plus;	      /* came from READDIRPLUS and was not walked yet */
	struct fuse_forget *forget;   /* owned; for eviction */
	struct sleep_mutex dir_mutex; /* without PARALLEL_DIROPS: one lookup or readdir at a time */
	struct fuse_dircache listing; /* directories */
	atomic_ullong dir_changes;    /* made through us (F77) */
	struct acl_store acls;	      /* POSIX_ACL: as the daemon said (F124) */
	char *target;		      /* CACHE_SYMLINKS: as READLINK gave it; guarded by attr_lock */
	struct fuse_cache cache;      /* regular files */
	int writeback_error;	      /* the last one; guarded by attr_lock, as the next */
	unsigned nr_errors;	      /* counts them: each open file reports each once */
	unsigned nr_writing;	      /* WRITEs of writeback under way; guarded by attr_lock */
	int flush_error;	      /* the first one since somebody asked; the same */
	struct waitq written;	      /* nr_writing went down */
	atomic_bool times_dirty;      /* writeback cache: mtime and ctime are ours, not told yet */
	atomic_bool registered;	      /* `mapped` is; set and cleared with writeback_mutex */
	struct sleep_mutex writeback_mutex; /* guards the next three, and tracking of the cache */
	struct list_node writers;      /* writeback cache: fuse_file.writer_node, open for writing */
	struct list_node mapped_files; /* fuse_file.mapped_node: lend their handles to writeback */
	struct mapped mapped;	      /* registered while mapped_files has members, or dirty */
};

/* Of one open file; guarded by inode.attr_lock. */
struct fuse_readahead {
	int64_t prev_end; /* bytes: where the last read ended */
	uint32_t limit;	  /* pages a window may have; constant after the open */
	int64_t start;	  /* pages: the last window */
	uint32_t size;
	uint32_t async_size; /* its last pages; reading the first of them begins the next window */
	int advice;	     /* POSIX_FADV_NORMAL, _RANDOM or _SEQUENTIAL */
};

struct fuse_file {
	struct ref ref;	     /* holders: the struct file; each orphaned request on it */
	struct inode *inode; /* counted; constant */
	uint64_t nodeid, fh; /* change only with the daemon (takeover.c) */
	atomic_uint incarnation; /* of the daemon who calls it so */
	uint64_t kh;
	uint32_t reopen_flags; /* O_*, for the next daemon */
	uint32_t open_flags; /* FOPEN_* */
	int32_t backing_id;  /* as the daemon named it */
	struct fuse_backing *backing; /* FOPEN_PASSTHROUGH: counted, as its file; constant */
	struct file *backing_file;
	bool counts_cached; /* in fuse_inode.cached_opens */
	bool is_dir;
	struct fuse_dirstream dirstream; /* guarded by the file's position lock */
	bool opened;			/* the daemon has it open: RELEASE is due */
	atomic_bool flocked;		/* flock went to the daemon: RELEASE says so */
	struct fuse_readahead readahead;
	atomic_uint poll_seq;	    /* counts NOTIFY_POLLs */
	struct waitq poll_wait;		/* NOTIFY_POLL wakes it */
	struct list_node poll_node;	/* fs->polled; self-linked before the first poll */
	struct file *mapped_file;	/* counted while in mapped_files: itself; else NULL */
	struct list_node mapped_node;	/* guarded by the inode's writeback_mutex, as the above */
	bool unmapped;			/* at the last look; the same */
	struct list_node writer_node;	/* the same; self-linked if not in `writers` */
	unsigned errors_seen;		/* of the inode's nr_errors; guarded by attr_lock */
	struct fuse_release_in release; /* prepared, so that closing needs no memory */
	struct fuse_args args;
};

static inline struct fuse_inode *fuse_i(const struct inode *inode)
{
	return container_of((struct inode *)(uintptr_t)inode, struct fuse_inode, inode);
}
static inline struct fuse_super *fuse_sb(const struct superblock *sb)
{
	return sb->fs_info;
}
static inline struct fuse_super *fuse_of(const struct inode *inode)
{
	return fuse_sb(inode->sb);
}
/* The superblock that the connection serves, with a reference; NULL when it is gone. */
struct superblock *fuse_conn_super(struct fuse_conn *conn);
static inline struct fuse_conn *fuse_conn_of(const struct inode *inode)
{
	return fuse_of(inode)->conn;
}
static inline uint64_t fuse_nodeid(const struct inode *inode)
{
	return __atomic_load_n(&fuse_i(inode)->nodeid, __ATOMIC_RELAXED);
}
/* F27, F90: size, mtime and ctime are ours, and the daemon gets data later. */
static inline bool fuse_is_writeback(const struct inode *inode)
{
	return inode_is_reg(inode) && fuse_conn_has(fuse_conn_of(inode), FUSE_WRITEBACK_CACHE);
}
static inline bool fuse_is_bad(const struct inode *inode)
{
	return __atomic_load_n(&inode->bad, __ATOMIC_RELAXED);
}

/* --- args.c: filling in struct fuse_args -------------------------------------------------- */

/* Zeroes args and pins the inode that the daemon works on. */
void fuse_args_init(struct fuse_args *args, uint32_t opcode, const struct inode *inode);
void fuse_args_in(struct fuse_args *args, const void *data, size_t size);
void fuse_args_name(struct fuse_args *args, const char *name); /* with its NUL */
void fuse_args_out(struct fuse_args *args, void *data, size_t size);
/*
 * What CREATE, MKNOD, MKDIR, SYMLINK and TMPFILE in `dir` carry at their end (matrix 1.2), as the
 * last in argument. ext: the bytes, kept by the caller like other arguments.
 */
struct fuse_create_ext {
	struct fuse_secctx_header secctx;
	struct {
		struct fuse_ext_header head;
		uint32_t nr_groups, group;
	} groups;
};
void fuse_args_create_ext(struct fuse_args *args, const struct op_ctx *ctx, struct inode *dir,
			  struct fuse_create_ext *ext);
/* Also holds `inode` / `ff` for as long as the daemon works on the request. */
/* Where its nodeid, handle stand in the arguments: a new daemon has others. NULL: nowhere. */
void fuse_args_pin(struct fuse_args *args, const struct inode *inode, uint64_t *nodeid_at);
void fuse_args_pin_file(struct fuse_args *args, struct fuse_file *ff, uint64_t *fh_at);

/* --- takeover.c: a kept connection's next daemon ------------------------------------------ */

/* fuse_conn_call(), for as many daemons as it takes; args pin what they are about. */
ssize_t fuse_send(const struct op_ctx *ctx, const struct inode *inode, struct fuse_args *args);
/*
 * fuse_conn_send(), for as many daemons as it takes; later ones get it in nobody's name. What args
 * pins must live until args->done has run. May sleep for the daemon.
 */
int fuse_send_async(const struct op_ctx *ctx, const struct inode *inode, struct fuse_args *args);
/*
 * The daemon knows the inode: it is looked up by its path, if it has been known to a dead one
 * only. 0; -ESTALE: it is not there any more; other errors of a LOOKUP. May sleep for the daemon.
 */
int fuse_inode_revive(const struct op_ctx *ctx, struct inode *inode);
/* No daemon is there: the root of the mount answers from memory, or nobody could mount there. */
static inline bool fuse_is_vacant_root(const struct inode *inode)
{
	return fuse_nodeid(inode) == FUSE_ROOT_ID &&
	       atomic_load_explicit(&fuse_conn_of(inode)->vacant, memory_order_relaxed);
}

/* --- inode.c ------------------------------------------------------------------------------ */

/* The monotonic time up to which something with this timeout is valid; 0 = not at all. */
int64_t fuse_expiry_ns(uint64_t seconds, uint32_t nsec);
bool fuse_valid_type(uint32_t mode);
bool fuse_attr_valid(const struct fuse_attr *attr);
/* As stat(2) shows them: nanoseconds in bounds; F28. */
struct timespec fuse_wire_time(uint64_t sec, uint32_t nsec);
uint32_t fuse_shown_blksize(const struct superblock *sb, uint32_t blksize);
/*
 * The inode of a nodeid, made if it is new; counts one lookup. incarnation: of the daemon that
 * calls it so; version: sampled from fs->attr_version before the request, 0 = always apply;
 * evicted: from evict_count. 0 or -ENOMEM; returns a reference.
 */
int fuse_iget(struct superblock *sb, uint64_t nodeid, uint64_t generation, unsigned incarnation,
	      const struct fuse_attr *attr, int64_t expiry_ns, uint64_t version, uint64_t evicted,
	      struct inode **ret_inode);
/* The inode that the daemon calls so, with a reference, or NULL. */
struct inode *fuse_find_inode(struct superblock *sb, uint64_t nodeid);
/* It has a new name at a new daemon, who counts one lookup. fs->revive_lock held. */
void fuse_inode_rebind(struct inode *inode, const struct fuse_entry_out *out, unsigned incarnation);
/* F23, F26: takes the attributes over unless they are older than what we know. */
void fuse_change_attributes(struct inode *inode, const struct fuse_attr *attr, int64_t expiry_ns,
			    uint64_t version);
bool fuse_stale_inode(const struct inode *inode, uint64_t generation, const struct fuse_attr *attr);
void fuse_make_bad(struct inode *inode);
void fuse_count_lookup(struct inode *inode);
/* FORGET of one lookup that we do not keep. */
void fuse_forget_one(struct superblock *sb, uint64_t nodeid, unsigned incarnation);
/* Ask again before showing these. Times that are ours (F27) become those of this moment. */
void fuse_stale(struct inode *inode, uint32_t statx_mask);
void fuse_stale_undated(struct inode *inode, uint32_t statx_mask); /* the daemon's are right */
/* The daemon has read from it: its atime is stale, unless no mount may change it (F25). */
void fuse_accessed(struct inode *inode);
/* An operation of ours changed it: replies that were under way are out of date. */
void fuse_bump_version(struct inode *inode);
/* Bytes up to `end` were put into the file here: its size, and what is stale now. */
void fuse_size_written(struct inode *inode, int64_t end, bool dates);
/* While > 0, replies about the size are not believed: an operation of ours is changing it. */
void fuse_size_changing(struct inode *inode, int delta);
void fuse_evict_inode(struct inode *inode);
void fuse_free_inode(struct inode *inode);
uint64_t fuse_attr_version(const struct inode *inode);

#define FUSE_STALE_ALL	   0xffffffffu
#define FUSE_STALE_MODIFY  (STATX_MTIME | STATX_CTIME | STATX_BLOCKS)
#define FUSE_STALE_MODSIZE (FUSE_STALE_MODIFY | STATX_SIZE)

/* --- attr.c ------------------------------------------------------------------------------- */

bool fuse_allowed(const struct op_ctx *ctx, const struct fuse_super *fs);
/* Refreshes what `mask` (STATX_*) names if it is stale. ff: GETATTR carries its fh. */
int fuse_update_attributes(const struct op_ctx *ctx, struct inode *inode, struct fuse_file *ff,
			   uint32_t mask);
int fuse_getattr(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
		 uint32_t mask, unsigned flags);
int fuse_setattr(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr);
int fuse_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask);
/* FUSE_OPEN_KILL_SUIDGID when an open with these flags must take set-id bits away, else 0. */
uint32_t fuse_kill_on_open(const struct op_ctx *ctx, const struct fuse_super *fs, uint32_t flags);
/* HANDLE_KILLPRIV_V2 is in force, and the caller may not keep set-id bits by writing (6.15). */
bool fuse_daemon_kills(const struct op_ctx *ctx, const struct fuse_super *fs);
/* Asks for security.capability and removes it (cf. cap_inode_killpriv()). 0 or -EINTR. */
int fuse_kill_capability(const struct op_ctx *ctx, struct dentry *dentry);
/* Before a change of the data: it and set-id bits go. 0 or -errno. */
int fuse_remove_privs(const struct op_ctx *ctx, struct file *file);
/* Before a write: set-id bits go, as the daemon does not do it (6.15). 0 or -errno. */
int fuse_kill_suid(const struct op_ctx *ctx, struct inode *inode);

/* --- dir.c -------------------------------------------------------------------------------- */

extern const struct dentry_ops fuse_dentry_ops;
extern const struct inode_ops fuse_dir_inode_ops, fuse_file_inode_ops, fuse_symlink_inode_ops;
extern const struct file_ops fuse_dir_file_ops;
/* Entry bookkeeping: bound to an epoch, valid until expiry. */
void fuse_entry_set(struct dentry *dentry, int64_t expiry_ns, uint64_t epoch);
/* The next walk asks the daemon. */
void fuse_entry_expire(struct dentry *dentry);
void fuse_dir_changed(struct inode *dir);
/* The target of a symlink is read again. */
void fuse_forget_link(struct inode *inode);

/* LOOKUP of that name. */
int fuse_send_lookup(const struct op_ctx *ctx, struct inode *dir, const char *name,
		     struct fuse_entry_out *ret_out, unsigned *ret_incarnation);
/* The answer of a LOOKUP, checked: *ret_inode NULL for a negative one. */
int fuse_inode_of_entry(struct superblock *sb, struct fuse_entry_out *out, unsigned incarnation,
			uint64_t version, uint64_t evicted, struct inode **ret_inode);

/* --- file.c ------------------------------------------------------------------------------- */

extern const struct file_ops fuse_file_file_ops;
struct fuse_file *fuse_file_new(struct inode *inode, bool is_dir);
void fuse_file_put(struct fuse_file *ff); /* drops without RELEASE */
/* OPEN or OPENDIR with these flags; what the daemon says goes into ff. */
int fuse_send_open(const struct op_ctx *ctx, uint32_t flags, struct fuse_file *ff);
/* open(2) */
int fuse_file_open(const struct op_ctx *ctx, struct inode *inode, struct file *file);
/* Applies what the daemon said about the open file to it and to the cache. */
void fuse_finish_open(struct file *file, struct fuse_file *ff);
void fuse_file_release(const struct op_ctx *ctx, struct file *file);
int fuse_file_fsync(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end,
		    bool datasync);
/* O_* as the daemon gets them after the open, and what is left of those at it (F50, F51). */
uint32_t fuse_wire_flags(const struct file *file);
uint32_t fuse_open_flags(const struct fuse_super *fs, const struct file *file);
uint64_t fuse_owner_hash(const uint32_t key[4], const void *identity);
uint64_t fuse_lock_owner(const struct fuse_super *fs, const void *identity);
/* Position lock held. */
int64_t fuse_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence);
int fuse_fallocate(const struct op_ctx *ctx, struct file *file, int mode, int64_t offset,
		   int64_t len);
/* The daemon has other bytes there now: the cache's are forgotten, a mapping gets the new ones. */
void fuse_replaced(const struct op_ctx *ctx, struct file *file, int64_t pos, int64_t end);
ssize_t fuse_copy_file_range(const struct op_ctx *ctx, struct file *in, int64_t pos_in,
			     struct file *out, int64_t pos_out, size_t len, unsigned flags);

/* --- io.c --------------------------------------------------------------------------------- */

ssize_t fuse_read_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
		       int64_t *pos, int rwf);
ssize_t fuse_splice_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			 int64_t *pos, int rwf);
ssize_t fuse_write_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			int64_t *pos, int rwf);
int fuse_mmap(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req,
	      int *ret_hostfd);
/* Makes [pos, end) of the cache valid, up to the end of the file. 0 or -errno. */
int fuse_fill_range(const struct op_ctx *ctx, struct file *file, int64_t pos, int64_t end);
/* Moves the frontier of a lazily filled cache behind `offset`, and some more. 0 or -errno. */
int fuse_fill_lazily(const struct op_ctx *ctx, struct file *file, int64_t offset);
/* One READ into buf; the bytes that came, or -errno. */
ssize_t fuse_read_request(const struct op_ctx *ctx, struct file *file, void *buf, size_t len,
			  int64_t pos, bool with_owner);

/* READ into buf; `in` and `buf` are the caller's until the answer is there. */
void fuse_read_args(struct file *file, struct fuse_args *args, struct fuse_read_in *in, void *buf,
		    size_t len, int64_t pos);
/* A READ that tells whose it is. */
void fuse_read_owner(const struct op_ctx *ctx, const struct file *file, struct fuse_read_in *in);
/* WRITE, the same way; out: how much of it was taken. */
void fuse_write_args(const struct op_ctx *ctx, struct file *file, struct fuse_args *args,
		     struct fuse_write_in *in, struct fuse_write_out *out, const void *buf,
		     size_t len, int64_t pos, int rwf, bool direct);
/* F82: the file has turned out to end at `size`, unless it was changed after `version`. */
void fuse_size_seen(struct inode *inode, int64_t size, uint64_t version);
/* Most bytes of one READ, one WRITE. At least a page. */
size_t fuse_read_limit(const struct fuse_super *fs);
size_t fuse_write_limit(const struct fuse_super *fs);
/* LSEEK: SEEK_DATA or SEEK_HOLE. The position or -errno; -ENOSYS: the daemon does not know. */
int64_t fuse_seek_request(const struct op_ctx *ctx, struct fuse_file *ff, int64_t offset,
			  int whence);

/* --- direct.c ----------------------------------------------------------------------------- */

/*
 * F85 with ASYNC_DIO: several requests at a time. Bytes up to the first short answer; any error is
 * the result of the whole call. A short WRITE is -EIO; inode locked for writing.
 */
ssize_t fuse_direct_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			 int64_t *pos);
ssize_t fuse_direct_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			  int64_t *pos, int rwf);

/* --- readahead.c -------------------------------------------------------------------------- */

/* The page of `pos` is missing, and `want` bytes are wanted, below `size`: up to where to ask. */
int64_t fuse_readahead_miss(struct file *file, int64_t pos, size_t want, int64_t size);
/* READs of the pages in [first, end) that are missing; with ASYNC_READ nobody waits for them. */
void fuse_readahead_pages(const struct op_ctx *ctx, struct file *file, int64_t first, int64_t end);
/* These bytes are about to be read: asks for what will be wanted next, if it is time. */
void fuse_readahead_hit(const struct op_ctx *ctx, struct file *file, int64_t pos, size_t want);
/* A read ended here. */
void fuse_readahead_passed(struct fuse_file *ff, int64_t end);
int fuse_fadvise(const struct op_ctx *ctx, struct file *file, int64_t offset, int64_t len,
		 int advice);

/* --- mapped.c ----------------------------------------------------------------------------- */

/*
 * Sends what is dirty and what mappings have changed, then the times. Errors of data are remembered
 * too. 0 or -errno. The inode's lock may be held.
 */
int fuse_writeback(const struct op_ctx *ctx, struct inode *inode);
/* Of [pos, end), and without the times. */
int fuse_write_pages(const struct op_ctx *ctx, struct inode *inode, int64_t pos, int64_t end);
/*
 * All of it, before the daemon reads: its file must not end where ours has a hole, and dirty pages
 * behind that. Linux writes no more than what is to be read, and then gets nothing.
 */
static inline int fuse_write_size(const struct op_ctx *ctx, struct inode *inode)
{
	return fuse_write_pages(ctx, inode, 0, INT64_MAX);
}
/* The times alone, if they are ours and not told yet. */
void fuse_write_times(const struct op_ctx *ctx, struct inode *inode);
/*
 * The daemon has done what changes the ctime: it is asked for again, or told ours
 * (cf. fuse_update_ctime()).
 */
void fuse_ctime_changed(const struct op_ctx *ctx, struct inode *inode);
/*
 * Around a request that changes the daemon's bytes or size: no WRITE of a cached page is under way
 * or begins, for it would undo that if it came last (cf. fuse_set_nowrite()). 0 or -EINTR (killed).
 * Guest memory must not be touched meanwhile: it may be a mapping of this file.
 */
int fuse_hold_writes(struct inode *inode);
void fuse_resume_writes(struct inode *inode);
void fuse_writeback_failed(struct inode *inode, int err);
/* An error of the past that this open file has not reported yet; 0 = none. */
int fuse_writeback_error(struct fuse_file *ff);
/* Writeback cache: the file is open for writing; is about to be released. */
void fuse_writer_add(struct fuse_file *ff);
void fuse_writer_del(const struct op_ctx *ctx, struct fuse_file *ff);
/* There is dirty data now: the clock looks after it. Too much of it is sent at once. */
int fuse_writeback_later(const struct op_ctx *ctx, struct inode *inode);
void fuse_mapped_init(struct fuse_inode *fi);
/* The file is about to be mapped, perhaps for writing. writeback_mutex held. 0 or -errno. */
int fuse_mapping_begin(struct inode *inode, struct file *file, bool write);
/* By which the cache tells the mappings of this open file from others. */
static inline uint64_t fuse_mapping_key(const struct fuse_file *ff)
{
	return ff->kh;
}

/* --- passthrough.c ------------------------------------------------------------------------ */

/* Takes up the way in which this open uses the inode, with its backing file. 0, -EIO, -errno. */
int fuse_passthrough_open(const struct op_ctx *ctx, struct file *file, struct fuse_file *ff);
void fuse_passthrough_close(struct fuse_file *ff);
/* From now on, until it is released, the open file counts as cached. 0, -EIO or -EINTR. */
int fuse_cached_begin(struct fuse_file *ff);
/* F95: false when the inode is cached; else nobody gets it cached before the end. */
bool fuse_uncached_begin(struct inode *inode);
void fuse_uncached_end(struct inode *inode);
ssize_t fuse_passthrough_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			      int64_t *pos, int rwf);
ssize_t fuse_passthrough_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			       int64_t *pos, int rwf);
int fuse_passthrough_mmap(const struct op_ctx *ctx, struct file *file,
			  const struct mmap_request *req, int *ret_hostfd);
/* read(2) and write(2) go to the backing file; with DIRECT_IO only mappings do (F132). */
static inline bool fuse_is_passthrough(const struct fuse_file *ff)
{
	return ff->backing && !(ff->open_flags & FOPEN_DIRECT_IO);
}

/* --- the opcode families ------------------------------------------------------------------ */

int fuse_iterate(const struct op_ctx *ctx, struct file *file, struct dir_context *dc);
ssize_t fuse_getxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		      void *value, size_t size);
int fuse_setxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		  const void *value, size_t size, int flags);
ssize_t fuse_listxattr(const struct op_ctx *ctx, struct dentry *dentry, char *list, size_t size);
int fuse_removexattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name);
/* GETXATTR */
ssize_t fuse_query_xattr(const struct op_ctx *ctx, struct inode *inode, const char *name,
			 void *value, size_t size);
/* acl.c */
int fuse_get_acl(const struct op_ctx *ctx, struct inode *inode, enum acl_type type, bool to_judge,
		 struct acl **ret_acl);
int fuse_set_acl(const struct op_ctx *ctx, struct dentry *dentry, enum acl_type type,
		 struct acl *acl);
/* The daemon is about to tell the attributes anew: its lists may be others, too. */
void fuse_forget_acls(struct inode *inode);
/* SETXATTR */
int fuse_send_setxattr(const struct op_ctx *ctx, struct inode *inode, const char *name,
		       const struct fuse_setxattr_in *in, const void *value);
int fuse_lock(const struct op_ctx *ctx, struct file *file, int cmd, struct flock_request *req);
int fuse_flock(const struct op_ctx *ctx, struct file *file, int operation);
/* IOCTL: data goes both ways. The bytes of out data that came; -ENOTTY: the daemon has none. */
ssize_t fuse_send_ioctl(const struct op_ctx *ctx, struct fuse_file *ff,
			struct fuse_ioctl_in *in, void *data, struct fuse_ioctl_out *out);
int fuse_fileattr_get(const struct op_ctx *ctx, struct dentry *dentry, struct fileattr *fa);
int fuse_fileattr_set(const struct op_ctx *ctx, struct dentry *dentry, const struct fileattr *fa);
/* handle.c */
int fuse_encode_fh(struct inode *inode, struct inode *parent, bool only_id,
		   struct vfs_handle *handle);
int fuse_fh_to_inode(const struct op_ctx *ctx, struct superblock *sb,
		     const struct vfs_handle *handle, struct inode **ret_inode);
int fuse_fh_to_parent(const struct op_ctx *ctx, struct superblock *sb,
		      const struct vfs_handle *handle, struct inode **ret_inode);
int fuse_get_parent(const struct op_ctx *ctx, struct inode *dir, struct inode **ret_parent);
long fuse_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg);
unsigned fuse_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table);
void fuse_poll_wake(struct fuse_super *fs, uint64_t kh, bool all);
void fuse_poll_forget(struct fuse_file *ff);

/* fuseblk.c */
int fuseblk_get_tree(const struct op_ctx *ctx, struct fs_context *fc);

/* control.c: registers "fusectl". */
void fusectl_init(void);
/* For directories with a name per mount (pseudo_dynamic): its number, as decimal. 0 or -ENOENT. */
int fuse_find_mounted(const char *name, int *ret_number);
int fuse_next_mounted(const struct op_ctx *ctx, const struct pseudo_key *dir, int *number);

/* --- bdi.c -------------------------------------------------------------------------------- */

int fuse_bdi_init(void);
/* Pages that a window of a file may have that is opened now. */
uint32_t fuse_readahead_limit(struct fuse_super *fs);
/* The daemon does not want more. */
void fuse_limit_readahead(struct fuse_super *fs, uint32_t pages);
/* The mount's shares of the dirty memory: those of a new mount; none any more. */
void fuse_bdi_init_shares(struct fuse_super *fs);
void fuse_bdi_drop_shares(struct fuse_super *fs);

/* notify.c */
extern const struct fuse_conn_ops fusefs_conn_ops;

#endif
