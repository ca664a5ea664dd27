/*
 * A FUSE daemon on the raw protocol with two roads to the kernel: several threads on read(2) and
 * write(2), or FUSE over io_uring with one thread and one queue per processor, by liburing. The
 * file system is a small one in memory, the same on both roads, so that they can be compared.
 *
 *	daemon [-r] [-d DEPTH] [-t THREADS] MOUNTPOINT      stays in the foreground
 *
 * -r: the ring; /sys/module/fuse/parameters/enable_uring must say Y. Prints "ready" when the mount
 * is there. Runs natively (as root) and in the sandbox.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Newer than the header of Debian 12. */
#define OVER_IO_URING	 (1ull << 41)
#define CMD_REGISTER	 1
#define CMD_COMMIT_FETCH 2

struct ring_command { /* in the entry's command area */
	uint64_t flags, commit_id;
	uint16_t qid;
	uint8_t padding[6];
};

struct ring_header { /* of an entry, in our memory */
	uint8_t in_out[128];
	uint8_t op_in[128];
	uint64_t flags, commit_id;
	uint32_t payload_size, padding;
	uint64_t reserved;
};

#define MAX_DATA (1u << 20)
#define ROOM	 (MAX_DATA + 8192)

/* --- the file system ---------------------------------------------------------------------- */

#define NODES 4096

struct node {
	bool used;
	uint64_t parent;
	char name[256];
	mode_t mode;
	char *data; /* of a file, or where a symlink points */
	size_t size, room;
};

static struct node nodes[NODES + 1]; /* index: node id; 1 = root; an id is never used again */
static uint64_t last_node = 1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct node *node_of(uint64_t id)
{
	return id <= last_node && nodes[id].mode ? &nodes[id] : NULL;
}

static uint64_t find(uint64_t parent, const char *name)
{
	for (uint64_t i = 2; i <= last_node; i++)
		if (nodes[i].used && nodes[i].parent == parent && !strcmp(nodes[i].name, name))
			return i;
	return 0;
}

static int resize(struct node *n, size_t size)
{
	if (size > n->room) {
		char *data = realloc(n->data, size);

		if (!data)
			return -ENOMEM;
		memset(data + n->room, 0, size - n->room);
		n->data = data;
		n->room = size;
	}
	if (size < n->size)
		memset(n->data + size, 0, n->size - size);
	n->size = size;
	return 0;
}

static void put_attr(uint64_t id, struct fuse_attr *attr)
{
	const struct node *n = &nodes[id];

	memset(attr, 0, sizeof(*attr));
	attr->ino = id;
	attr->mode = n->mode;
	attr->nlink = S_ISDIR(n->mode) ? 2 : n->used;
	attr->size = n->size;
	attr->blocks = (n->size + 511) / 512;
	attr->blksize = 4096;
	attr->mtime = attr->ctime = attr->atime = 1000;
}

static int put_entry(uint64_t id, struct fuse_entry_out *out)
{
	memset(out, 0, sizeof(*out));
	out->nodeid = id;
	out->entry_valid = 3600;
	put_attr(id, &out->attr);
	return sizeof(*out);
}

static int put_node_attr(uint64_t id, struct fuse_attr_out *out)
{
	memset(out, 0, sizeof(*out));
	put_attr(id, &out->attr);
	return sizeof(*out);
}

static int add(uint64_t parent, const char *name, mode_t mode, uint64_t *id)
{
	if (find(parent, name))
		return -EEXIST;
	if (last_node == NODES)
		return -ENOSPC;
	*id = ++last_node;
	nodes[*id] = (struct node){.used = true, .parent = parent, .mode = mode};
	strncpy(nodes[*id].name, name, 255);
	return 0;
}

static int make(uint64_t parent, const char *name, mode_t mode, void *out)
{
	uint64_t id;
	int err = add(parent, name, mode, &id);

	return err ? err : put_entry(id, out);
}

static int do_symlink(uint64_t parent, const char *name, void *out)
{
	const char *to = name + strlen(name) + 1;
	uint64_t id;
	int err = add(parent, name, S_IFLNK | 0777, &id);

	if (err)
		return err;
	nodes[id].data = strdup(to);
	nodes[id].size = nodes[id].room = strlen(to);
	return put_entry(id, out);
}

static int create(uint64_t parent, const struct fuse_create_in *in, const char *name, void *out)
{
	int len = make(parent, name, S_IFREG | (in->mode & 07777), out);

	if (len < 0)
		return len;
	memset((char *)out + len, 0, sizeof(struct fuse_open_out));
	return len + (int)sizeof(struct fuse_open_out);
}

static int remove_node(uint64_t parent, const char *name, bool dir)
{
	uint64_t id = find(parent, name);

	if (!id)
		return -ENOENT;
	for (uint64_t i = 2; dir && i <= last_node; i++)
		if (nodes[i].used && nodes[i].parent == id)
			return -ENOTEMPTY;
	nodes[id].used = false;
	return 0;
}

static int rename_node(uint64_t from, uint64_t to, const char *old)
{
	const char *new = old + strlen(old) + 1;
	uint64_t id = find(from, old), target = find(to, new);

	if (!id)
		return -ENOENT;
	if (target)
		nodes[target].used = false;
	nodes[id].parent = to;
	strncpy(nodes[id].name, new, 255);
	return 0;
}

static int set_attr(uint64_t id, const struct fuse_setattr_in *in, void *out)
{
	struct node *n = node_of(id);
	int err = 0;

	if (in->valid & FATTR_SIZE)
		err = resize(n, in->size);
	if (in->valid & FATTR_MODE)
		n->mode = (n->mode & S_IFMT) | (in->mode & 07777);
	return err ? err : put_node_attr(id, out);
}

static int read_data(const struct node *n, const struct fuse_read_in *in, void *out)
{
	size_t size = in->size;

	if (in->offset >= n->size)
		return 0;
	if (size > n->size - in->offset)
		size = n->size - in->offset;
	memcpy(out, n->data + in->offset, size);
	return (int)size;
}

static int write_data(struct node *n, const struct fuse_write_in *in, const void *data, void *out)
{
	struct fuse_write_out *reply = out;
	int err = in->offset + in->size > n->size ? resize(n, in->offset + in->size) : 0;

	if (err)
		return err;
	memcpy(n->data + in->offset, data, in->size);
	memset(reply, 0, sizeof(*reply));
	reply->size = in->size;
	return sizeof(*reply);
}

static int read_dir(uint64_t dir, const struct fuse_read_in *in, char *out)
{
	size_t used = 0;

	for (uint64_t i = in->offset < 1 ? 2 : in->offset + 1; i <= last_node; i++) {
		struct fuse_dirent *entry = (void *)(out + used);
		size_t len = strlen(nodes[i].name), total = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + len);

		if (!nodes[i].used || nodes[i].parent != dir)
			continue;
		if (used + total > in->size)
			break;
		memset(entry, 0, total);
		*entry = (struct fuse_dirent){i, i, (uint32_t)len, nodes[i].mode >> 12};
		memcpy(entry->name, nodes[i].name, len);
		used += total;
	}
	return (int)used;
}

/*
 * One request: `arg` is its first structure, `data` what follows. The answer goes into `out`;
 * returns its length or -errno. FORGET and kin: -1.
 */
static int serve(const struct fuse_in_header *in, const void *arg, const char *data, void *out)
{
	struct node *n = node_of(in->nodeid);
	uint64_t id;

	if (!n)
		return -ESTALE;
	switch (in->opcode) {
	case FUSE_LOOKUP:
		id = find(in->nodeid, data);
		return id ? put_entry(id, out) : -ENOENT;
	case FUSE_GETATTR:
		return put_node_attr(in->nodeid, out);
	case FUSE_SETATTR:
		return set_attr(in->nodeid, arg, out);
	case FUSE_MKDIR:
		return make(in->nodeid, data,
			    S_IFDIR | (((const struct fuse_mkdir_in *)arg)->mode & 07777), out);
	case FUSE_CREATE:
		return create(in->nodeid, arg, data, out);
	case FUSE_SYMLINK:
		return do_symlink(in->nodeid, data, out);
	case FUSE_READLINK:
		memcpy(out, n->data, n->size);
		return (int)n->size;
	case FUSE_UNLINK:
	case FUSE_RMDIR:
		return remove_node(in->nodeid, data, in->opcode == FUSE_RMDIR);
	case FUSE_RENAME:
		return rename_node(in->nodeid, ((const struct fuse_rename_in *)arg)->newdir, data);
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		memset(out, 0, sizeof(struct fuse_open_out));
		if (in->opcode == FUSE_OPEN)
			((struct fuse_open_out *)out)->open_flags = FOPEN_DIRECT_IO;
		return sizeof(struct fuse_open_out);
	case FUSE_READ:
		return read_data(n, arg, out);
	case FUSE_WRITE:
		return write_data(n, arg, data, out);
	case FUSE_READDIR:
		return read_dir(in->nodeid, arg, out);
	case FUSE_STATFS:
		memset(out, 0, sizeof(struct fuse_statfs_out));
		((struct fuse_statfs_out *)out)->st.bsize = 4096;
		((struct fuse_statfs_out *)out)->st.namelen = 255;
		return sizeof(struct fuse_statfs_out);
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FLUSH:
		return 0;
	default:
		return -ENOSYS;
	}
}

static int serve_locked(const struct fuse_in_header *in, const void *arg, const char *data, void *out)
{
	int len;

	pthread_mutex_lock(&lock);
	len = serve(in, arg, data, out);
	pthread_mutex_unlock(&lock);
	return len;
}

/* --- by read and write -------------------------------------------------------------------- */

/* How long the first structure of a request is. */
static size_t arg_size(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_GETATTR: return sizeof(struct fuse_getattr_in);
	case FUSE_SETATTR: return sizeof(struct fuse_setattr_in);
	case FUSE_MKDIR: return sizeof(struct fuse_mkdir_in);
	case FUSE_CREATE: return sizeof(struct fuse_create_in);
	case FUSE_RENAME: return sizeof(struct fuse_rename_in);
	case FUSE_OPEN: return sizeof(struct fuse_open_in);
	case FUSE_READ:
	case FUSE_READDIR: return sizeof(struct fuse_read_in);
	case FUSE_WRITE: return sizeof(struct fuse_write_in);
	default: return 0;
	}
}

static int dev, nr_threads = 4, depth = 8;
static bool over_ring;
static const char *mountpoint;

static int reply(uint64_t unique, int len, char *out)
{
	struct fuse_out_header *head = (void *)out;

	head->unique = unique;
	head->error = len < 0 ? len : 0;
	head->len = (uint32_t)sizeof(*head) + (len < 0 ? 0 : (uint32_t)len);
	return write(dev, head, head->len) < 0 ? -errno : 0;
}

/* One message of the device's; false when there will be no more. */
static bool serve_message(char *in_buf, char *out_buf)
{
	const struct fuse_in_header *in = (void *)in_buf;
	const char *body = in_buf + sizeof(*in);
	ssize_t n = read(dev, in_buf, ROOM);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN || errno == ENOENT;
	if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET || in->opcode == FUSE_INTERRUPT)
		return true;
	reply(in->unique,
	      serve_locked(in, body, body + arg_size(in->opcode),
			   out_buf + sizeof(struct fuse_out_header)),
	      out_buf);
	return true;
}

static void *read_main(void *arg)
{
	char *in = malloc(ROOM), *out = malloc(ROOM);

	while (serve_message(in, out))
		;
	free(in);
	free(out);
	return NULL;
}

static void answer_init(void)
{
	char *in_buf = malloc(ROOM), out_buf[256] = {0};
	const struct fuse_in_header *in = (void *)in_buf;
	const struct fuse_init_in *init = (void *)(in + 1);
	struct fuse_init_out *out = (void *)(out_buf + sizeof(struct fuse_out_header));
	bool offered;

	if (read(dev, in_buf, ROOM) < 0 || in->opcode != FUSE_INIT) {
		perror("INIT");
		exit(1);
	}
	offered = init->flags2 & (uint32_t)(OVER_IO_URING >> 32);
	if (over_ring && !offered) {
		fprintf(stderr, "the kernel does not offer FUSE over io_uring\n");
		exit(3);
	}
	out->major = 7;
	out->minor = init->minor;
	out->max_write = MAX_DATA;
	out->max_pages = MAX_DATA / 4096;
	out->max_readahead = 131072;
	out->max_background = 16;
	out->flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS | FUSE_ASYNC_READ |
		     FUSE_INIT_EXT;
	out->flags2 = over_ring ? (uint32_t)(OVER_IO_URING >> 32) : 0;
	if (reply(in->unique, sizeof(*out), out_buf) < 0) {
		perror("INIT reply");
		exit(1);
	}
	free(in_buf);
}

/* --- over the ring ------------------------------------------------------------------------ */

struct entry {
	struct ring_header *header;
	char *payload;
	struct iovec iov[2];
};

struct queue {
	unsigned qid;
	struct io_uring ring;
	struct entry *entries;
};

static void command(struct queue *q, struct entry *e, uint32_t op, uint64_t commit_id)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);
	struct ring_command *cmd = (void *)((char *)sqe + 48);

	memset(sqe, 0, 128);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->fd = 0;
	sqe->cmd_op = op;
	sqe->addr = (uintptr_t)e->iov;
	sqe->len = 2;
	sqe->user_data = (uintptr_t)e;
	cmd->qid = (uint16_t)q->qid;
	cmd->commit_id = commit_id;
}

static void answer_entry(struct queue *q, struct entry *e)
{
	struct fuse_in_header in;
	struct fuse_out_header out = {0};
	uint64_t id = e->header->commit_id;
	static __thread char *reply_buf;
	int len;

	if (!reply_buf)
		reply_buf = malloc(ROOM);
	memcpy(&in, e->header->in_out, sizeof(in));
	/* The answer goes where the request's data stands: a large one is made elsewhere. */
	len = serve_locked(&in, e->header->op_in, e->payload,
			   in.opcode == FUSE_READ || in.opcode == FUSE_READDIR ? e->payload : reply_buf);
	if (len > 0 && in.opcode != FUSE_READ && in.opcode != FUSE_READDIR)
		memcpy(e->payload, reply_buf, (size_t)len);
	out.unique = in.unique;
	out.error = len < 0 ? len : 0;
	memcpy(e->header->in_out, &out, sizeof(out));
	e->header->payload_size = len < 0 ? 0 : (uint32_t)len;
	command(q, e, CMD_COMMIT_FETCH, id);
}

static void *queue_main(void *arg)
{
	struct queue *q = arg;
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
		.cq_entries = (unsigned)depth * 2,
	};
	struct io_uring_cqe *cqe;
	cpu_set_t set;
	int live = depth, err;

	CPU_ZERO(&set);
	CPU_SET(q->qid, &set);
	sched_setaffinity(0, sizeof(set), &set);
	err = io_uring_queue_init_params((unsigned)depth, &q->ring, &params);
	if (!err)
		err = io_uring_register_files(&q->ring, &dev, 1);
	if (err) {
		fprintf(stderr, "io_uring: %s\n", strerror(-err));
		exit(1);
	}
	q->entries = calloc((size_t)depth, sizeof(*q->entries));
	for (int i = 0; i < depth; i++) {
		struct entry *e = &q->entries[i];

		e->header = aligned_alloc(4096, 4096);
		e->payload = aligned_alloc(4096, MAX_DATA);
		e->iov[0] = (struct iovec){e->header, sizeof(*e->header)};
		e->iov[1] = (struct iovec){e->payload, MAX_DATA};
		command(q, e, CMD_REGISTER, 0);
	}
	while (live > 0) {
		unsigned head, seen = 0;

		err = io_uring_submit_and_wait(&q->ring, 1);
		if (err < 0 && err != -EINTR) {
			fprintf(stderr, "submit: %s\n", strerror(-err));
			exit(1);
		}
		io_uring_for_each_cqe(&q->ring, head, cqe) {
			struct entry *e = (void *)(uintptr_t)cqe->user_data;

			seen++;
			if (cqe->res == 0) {
				answer_entry(q, e);
			} else {
				live--;
				if (cqe->res != -ENOTCONN)
					fprintf(stderr, "queue %u: %s\n", q->qid, strerror(-cqe->res));
			}
		}
		io_uring_cq_advance(&q->ring, seen);
	}
	io_uring_queue_exit(&q->ring);
	return NULL;
}

static void start_queues(pthread_t *threads, int *nr)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	for (long i = 0; i < cpus; i++) {
		struct queue *q = calloc(1, sizeof(*q));

		q->qid = (unsigned)i;
		pthread_create(&threads[(*nr)++], NULL, queue_main, q);
	}
}

int main(int argc, char **argv)
{
	pthread_t threads[1024];
	char options[128];
	int opt, nr = 0;

	while ((opt = getopt(argc, argv, "rd:t:")) != -1)
		switch (opt) {
		case 'r': over_ring = true; break;
		case 'd': depth = (int)strtol(optarg, NULL, 10); break;
		case 't': nr_threads = (int)strtol(optarg, NULL, 10); break;
		default: return 2;
		}
	mountpoint = argv[optind];
	if (!mountpoint || nr_threads < 1 || nr_threads > 512 || depth < 1 || depth > 4096)
		return 2;
	nodes[1] = (struct node){.used = true, .mode = S_IFDIR | 0755};
	dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", dev);
	if (dev < 0 || mount("ring", mountpoint, "fuse.ring", 0, options)) {
		perror("mount");
		return 1;
	}
	answer_init();
	if (over_ring)
		start_queues(threads, &nr);
	for (int i = 0; i < (over_ring ? 1 : nr_threads); i++)
		pthread_create(&threads[nr++], NULL, read_main, NULL);
	puts("ready");
	fflush(stdout);
	for (int i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	puts("ended");
	return 0;
}
