/*
 * A scripted FUSE daemon on the raw protocol, for tests without any trap.
 *
 * daemon_start() builds a mount namespace whose root is a fuse mount and a thread that plays the
 * daemon: it reads /dev/fuse, and answers each request by the next step of the script. Requests
 * that the script does not expect fail the test, as do steps that were never reached.
 *
 *	struct daemon *d = daemon_start(NULL);
 *	struct step *s = expect_error(d, FUSE_LOOKUP, 1, ENOENT);
 *	cr_assert_eq(client_stat(d, "/a", &st), -ENOENT);
 *	cr_assert_str_eq(step_body(s), "a");
 *	DAEMON_STOP(d);
 *
 * The client side is whoever calls vfs_* with &d->client.ctx, or the client_* helpers.
 */
#ifndef FB_TESTS_DAEMON_H
#define FB_TESTS_DAEMON_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "devfuse/conn.h"
#include "devfuse/proto.h"
#include "vfs/attr.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/dentry.h"
#include "vfs/namei.h"

struct daemon;

#define DAEMON_THREADS 4

struct daemon_config {
	uint32_t minor;		/* of the INIT reply; 0 = 45 */
	uint64_t flags;		/* INIT flags */
	uint32_t max_write;	/* 0 = 128 KiB */
	uint16_t max_pages;	/* with FUSE_MAX_PAGES */
	uint32_t max_readahead; /* bytes; as given, 0 = none */
	uint16_t max_background, congestion_threshold; /* 0 = the kernel's */
	const char *options; /* further mount options, "allow_other,max_read=4096" */
	bool no_init;	     /* the test scripts INIT itself */
	uint32_t rootmode;   /* 0 = S_IFDIR | 0755 */
	uid_t uid;	     /* of the client; the mount's user is 0 */
	/* Instead of a script: called for each message but INIT, on any of `threads` threads. */
	void (*serve)(struct daemon *d, const uint8_t *msg);
	unsigned threads; /* 0 = 1 */
	bool cloned;	  /* each thread has a descriptor of its own, from FUSE_DEV_IOC_CLONE */
};

/* One expected request and the answer to it. */
struct step {
	struct step *next;
	uint32_t opcode;
	uint64_t nodeid; /* 0 = any */
	/* the answer */
	int error; /* negative errno, or 0 with data */
	void *data;
	size_t len;
	bool silent;	    /* no answer now; daemon_answer() later, or never */
	uint32_t len_delta; /* makes header.len wrong */
	uint64_t unique_xor;
	/* what happened */
	bool reached;
	struct fuse_in_header in;
	uint8_t *body; /* behind the header, with a NUL added */
	size_t body_len;
	ssize_t written; /* result of the daemon's write */
};

struct client {
	struct op_ctx ctx;
	struct cred *cred;
};

struct daemon {
	struct daemon_config config;
	void *private; /* config.serve's own */
	struct client client, self; /* of tests; of the daemon thread */
	struct mnt_ns *ns;
	struct file *dev;
	struct fuse_conn *conn; /* counted */
	pthread_t threads[DAEMON_THREADS];
	_Atomic(struct waiter *) waiters[DAEMON_THREADS]; /* of the threads, once they run */
	atomic_uint nr_started;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t changed;
	struct step *steps, **tail, *next;
	bool ended;
	ssize_t end_error;
	uint64_t ignore; /* bit N: opcode N is answered with success, or not at all, unscripted */
	struct forgotten {
		uint64_t nodeid, count;
	} forgotten[64];
	unsigned nr_forgotten, nr_forget_reads;
	char failure[256];
};

/* NULL config: all defaults. Aborts the test program when the mount itself fails. */
struct daemon *daemon_start(const struct daemon_config *config);
/*
 * Unmounts, ends the thread. Returns NULL, or what went wrong in the script. daemon_free()
 * afterwards.
 */
const char *daemon_stop(struct daemon *d);
void daemon_free(struct daemon *d);
#define DAEMON_STOP(d)                                                                             \
	do {                                                                                       \
		const char *why_ = daemon_stop(d);                                                 \
		cr_assert(!why_, "%s", why_);                                                      \
		daemon_free(d);                                                                    \
	} while (0)
/* The daemon closes its descriptor, as when it dies. */
void daemon_die(struct daemon *d);
/* The daemon reads no more; and again. */
void daemon_pause(struct daemon *d);
void daemon_resume(struct daemon *d);
/* Waits until so many requests have no answer. */
bool daemon_wait_pending(struct daemon *d, size_t count);
/*
 * Mount option keep: the daemon closes its descriptor without any abort; another one mounts at the
 * same place, answers INIT and goes on with the script.
 */
void daemon_crash(struct daemon *d);
int daemon_restart(struct daemon *d);
/* Requests of this kind need no step: RELEASE, FLUSH, ... */
void daemon_ignore(struct daemon *d, uint32_t opcode);

struct step *expect_reply(struct daemon *d, uint32_t opcode, uint64_t nodeid, const void *data,
			  size_t len);
struct step *expect_error(struct daemon *d, uint32_t opcode, uint64_t nodeid, int err);
/* Received, not answered: see daemon_answer(). */
struct step *expect_silence(struct daemon *d, uint32_t opcode, uint64_t nodeid);
/* LOOKUP, MK*, LINK; with timeouts of `seconds`. */
struct step *expect_entry(struct daemon *d, uint32_t opcode, uint64_t nodeid, uint64_t child,
			  uint32_t mode, uint64_t size, unsigned seconds);
struct step *expect_attr(struct daemon *d, uint32_t opcode, uint64_t nodeid, uint32_t mode,
			 uint64_t size, unsigned seconds);
struct step *expect_open(struct daemon *d, uint32_t opcode, uint64_t nodeid, uint64_t fh,
			 uint32_t open_flags);
/* The fixed structure of what was received. */
#define step_in(step, type) ((const type *)(const void *)(step)->body)
const char *step_body(const struct step *step);
/* Waits until the step's request has come (at most some seconds). */
bool daemon_wait(struct daemon *d, struct step *step);
/* Waits until every step was reached. */
bool daemon_drain(struct daemon *d);
/* Answers now what was left unanswered. Returns the result of the write. */
ssize_t daemon_answer(struct daemon *d, uint64_t unique, int error, const void *data, size_t len);
ssize_t daemon_write(struct daemon *d, const void *buf, size_t len);
ssize_t daemon_notify(struct daemon *d, int code, const void *body, size_t len);
/*
 * With config.cloned, from config.serve: closes the descriptor of this thread, with all requests that
 * were read from it and not answered, and clones another one.
 */
void daemon_reclone(struct daemon *d);
/* How often the daemon was told to forget it. */
uint64_t daemon_forgotten(struct daemon *d, uint64_t nodeid);
/* Waits for at least so many. */
bool daemon_wait_forgotten(struct daemon *d, uint64_t nodeid, uint64_t count);

struct fuse_entry_out make_entry(uint64_t nodeid, uint32_t mode, uint64_t size, unsigned seconds);
struct fuse_attr make_attr(uint64_t ino, uint32_t mode, uint64_t size);
/* Appends a directory entry to buf; returns its length. */
size_t make_dirent(void *buf, uint64_t ino, uint64_t off, const char *name, uint32_t type);
size_t make_direntplus(void *buf, const struct fuse_entry_out *entry, uint64_t off,
		       const char *name, uint32_t type);

/* --- the client --------------------------------------------------------------------------- */

int client_stat(struct daemon *d, const char *path, struct kstat *ret_stat);
/* The same, for client_spawn(). */
long client_stat_path(struct daemon *d, void *path);
int client_open(struct daemon *d, const char *path, unsigned flags, struct file **ret_file);
/*
 * Opens "/f", which is node 5, a regular file of `size` bytes and valid for 100 s; the daemon says
 * fh 3 and open_flags. No FLUSH and RELEASE need a step from now on.
 */
struct file *client_open_f(struct daemon *d, unsigned flags, uint64_t size, uint32_t open_flags);
/* flush and put, as close(2). */
int client_close(struct daemon *d, struct file *file);
ssize_t client_pread(struct daemon *d, struct file *file, void *buf, size_t len, int64_t pos);
ssize_t client_pwrite(struct daemon *d, struct file *file, const void *buf, size_t len,
		      int64_t pos);
/* Names of a directory, separated by spaces, into buf. */
ssize_t client_readdir(struct daemon *d, struct file *file, char *buf, size_t len, size_t room);

/* The argument of ioctl(2) is an address of the test's own; NULL faults. */
void client_allow_ioctls(void);

/* A client on a thread of its own, so that it can be interrupted. */
struct client_thread {
	pthread_t thread;
	struct daemon *d;
	long (*fn)(struct daemon *d, void *arg);
	void *arg;
	_Atomic(struct waiter *) waiter;
	long result;
};
void client_spawn(struct client_thread *t, struct daemon *d,
		  long (*fn)(struct daemon *d, void *arg), void *arg);
void client_interrupt(struct client_thread *t, unsigned why); /* WAITER_* */
long client_join(struct client_thread *t);

#endif
