/*
 * A FUSE daemon whose every answer is drawn from the input: the checks of answers, INIT,
 * directory listings and notifications. A client makes the calls that the first bytes choose; the
 * answers are what the call expects, with bytes written over, cut, or made longer.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sentry/base/iter.h"
#include "tests/fuzz/input.h"
#include "tests/support/daemon.h"
#include "vfs/fileattr.h"
#include "vfs/fs_struct.h"
#include "vfs/handle.h"
#include "vfs/inode.h"
#include "vfs/ioctl.h"
#include "vfs/lock.h"
#include "vfs/mapped.h"
#include "vfs/poll.h"
#include "vfs/readdir.h"
#include "vfs/superblock.h"
#include "vfs/xattr.h"

/* What a good daemon would say, roughly. */
static size_t template(const struct fuse_in_header *in, uint8_t *buf)
{
	struct fuse_entry_out entry = make_entry(2 + next_byte() % 4, S_IFREG | 0644, 100, 1);
	struct fuse_attr_out attr = {.attr_valid = 1};
	struct fuse_open_out open = {.fh = 3};

	switch (in->opcode) {
	case FUSE_LOOKUP: case FUSE_MKNOD: case FUSE_MKDIR: case FUSE_SYMLINK: case FUSE_LINK:
		if (in->opcode == FUSE_MKDIR || next_byte() % 3 == 0)
			entry.attr.mode = S_IFDIR | 0755;
		else if (next_byte() % 4 == 0)
			entry.attr.mode = S_IFLNK | 0777;
		memcpy(buf, &entry, sizeof(entry));
		return sizeof(entry);
	case FUSE_CREATE:
		memcpy(buf, &entry, sizeof(entry));
		memcpy(buf + sizeof(entry), &open, sizeof(open));
		return sizeof(entry) + sizeof(open);
	case FUSE_GETATTR: case FUSE_SETATTR:
		attr.attr = make_attr(in->nodeid, in->nodeid == 1 ? S_IFDIR | 0755 : S_IFREG | 0644, 100);
		memcpy(buf, &attr, sizeof(attr));
		return sizeof(attr);
	case FUSE_OPEN: case FUSE_OPENDIR:
		memcpy(buf, &open, sizeof(open));
		return sizeof(open);
	case FUSE_STATFS: return 80;
	case FUSE_WRITE: case FUSE_GETXATTR: case FUSE_LISTXATTR: case FUSE_LSEEK: return 8;
	case FUSE_IOCTL: return sizeof(struct fuse_ioctl_out) + next_byte() % 64;
	case FUSE_POLL: return 8;
	case FUSE_GETLK: return sizeof(struct fuse_lk_out);
	case FUSE_INIT: {
		struct fuse_init_out out = {.major = 7, .minor = 45, .max_write = 65536};

		memcpy(buf, &out, sizeof(out));
		return sizeof(out);
	}
	case FUSE_READDIR: {
		size_t n = make_dirent(buf, 5, 1, "name", DT_REG);

		return n + make_dirent(buf + n, 6, 2, "other", DT_DIR);
	}
	case FUSE_READDIRPLUS: {
		size_t n = make_direntplus(buf, &entry, 1, "name", DT_REG);

		return n + make_direntplus(buf + n, &entry, 2, "other", DT_DIR);
	}
	case FUSE_READ: case FUSE_READLINK: return next_byte();
	default: return 0;
	}
}

static void serve(struct daemon *d, const uint8_t *msg)
{
	const struct fuse_in_header *in = (const void *)msg;
	struct drawn *drawn = calloc(1, sizeof(*drawn));

	pthread_mutex_lock(&input_lock);
	draw(drawn, template(in, drawn->answer));
	pthread_mutex_unlock(&input_lock);
	/* The reading end of support/daemon.c has no room for more, and would give up. */
	if (in->opcode == FUSE_INIT)
		memset(drawn->answer + offsetof(struct fuse_init_out, max_write) + 2, 0, 2);
	if (drawn->code)
		(void)daemon_notify(d, drawn->code, drawn->note, drawn->note_len);
	if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET) {
		(void)daemon_answer(d, in->unique, drawn->error, drawn->answer, drawn->len);
		/* One that was refused for what it is about the header leaves the request waiting. */
		(void)daemon_answer(d, in->unique, -EIO, NULL, 0);
	}
	free(drawn);
}

/* Does the client use positions at the edges of what there is, in place of those near the beginning? */
static bool far;

static int64_t place(unsigned what, int64_t near)
{
	static const int64_t places[] = {
		INT64_MAX, INT64_MAX - 1, INT64_MAX - 4095, INT64_MAX - 4096, INT64_MAX - 5000,
		INT64_MAX - 8191, 1LL << 62, 1LL << 51, 1LL << 42, (1LL << 42) - 4096, 1LL << 32,
		UINT32_MAX, 0, 1, 4095, 4096, -1, -4096, INT64_MIN};

	return far ? places[what % (sizeof(places) / sizeof(places[0]))] : near;
}

/* Calls that take two positions and nothing else; only far. */
static void advise(const struct op_ctx *ctx, struct file *file, unsigned what)
{
	int64_t from = place(what, 0), len = place(what / 2, 0);

	(void)vfs_fadvise(ctx, file, from, len, POSIX_FADV_DONTNEED);
	(void)vfs_fadvise(ctx, file, from, len, POSIX_FADV_WILLNEED);
	if (file->op->write_range && from >= 0 && len >= from)
		(void)file->op->write_range(ctx, file, from, len);
}

static void ask_file(struct daemon *d, struct file *file, unsigned what)
{
	static const unsigned commands[] = {_IO('E', 1), _IOR('E', 2, int), _IOWR('E', 3, char[200]),
					    0x5421 /* FIONBIO */, 0x80086601 /* FS_IOC_GETFLAGS */};
	const struct op_ctx *ctx = &d->client.ctx;
	struct poll_item item = {.file = file, .events = POLLIN | POLLOUT};

	arena_use();
	if (what % 2)
		(void)vfs_poll_items(ctx, &item, 1, 1); /* a deadline that has passed */
	else
		(void)vfs_ioctl(ctx, file, commands[what / 2 % 5], (uintptr_t)arena);
}

static void change_file(const struct op_ctx *ctx, struct file *file, unsigned what)
{
	struct iattr attr = {.valid = ATTR_MODE, .mode = what};
	struct fileattr fa = {.flags = what};

	switch (what % 6) {
	case 0: (void)vfs_ftruncate(ctx, file, place(what / 6, what * 100)); break;
	case 1: (void)vfs_fallocate(ctx, file, what / 6 % 4, place(what / 3, what * 10), 5000); break;
	case 2: (void)vfs_setxattr(ctx, &file->path, "user.a", "value", 5, 0); break;
	case 3: (void)vfs_removexattr(ctx, &file->path, "user.a"); break;
	case 4: (void)notify_change(ctx, &file->path, &attr); break;
	case 5:
		if (what & 1)
			(void)vfs_fileattr_set(ctx, &file->path, &fa);
		else
			(void)vfs_fileattr_get(ctx, &file->path, &fa);
	}
}

static void lock_file(const struct op_ctx *ctx, struct file *file, unsigned what)
{
	struct flock_request req = {.type = what / 4 % 3, .end = what};

	if (what % 4 == 0)
		(void)vfs_flock(ctx, file, (what & 16 ? LOCK_EX : LOCK_UN) | LOCK_NB);
	else
		(void)vfs_lock_file(ctx, file, what % 4 == 1 ? F_GETLK : F_SETLK, &req);
}

static void map_file(const struct op_ctx *ctx, struct file *file, unsigned what)
{
	int64_t offset = place(what, what % 3 * 4096) & ~4095LL;
	struct mmap_request req = {.offset = offset, .length = 1 + what * 1000};
	int hostfd;

	if (offset < 0 || offset > INT64_MAX - 4096 - (int64_t)req.length)
		return; /* as mmap(2) */

	req.prot = what & 1 ? PROT_READ | PROT_WRITE : PROT_READ;
	req.flags = what & 2 ? MAP_SHARED : MAP_PRIVATE;
	if (file->op->mmap && file->op->mmap(ctx, file, &req, &hostfd) == 0)
		close(hostfd);
	mapped_reap(ctx, file->inode->sb);
}

static void use_file(struct daemon *d, struct file *file, unsigned what)
{
	const struct op_ctx *ctx = &d->client.ctx;
	int64_t from = place(what / 14, what), to = place(what / 7, 3 * what);
	char *buf = calloc(1, 8192), *target;
	struct kstatfs statfs;

	switch (what % 14) {
	case 0: (void)client_pread(d, file, buf, 5000, place(what / 14, what * 16)); break;
	case 1: (void)client_pwrite(d, file, buf, 5000, place(what / 14, what * 16)); break;
	case 2: (void)client_readdir(d, file, buf, 8192, 4096); break;
	case 3: (void)vfs_getxattr(ctx, &file->path, "user.a", buf, what); break;
	case 4: (void)vfs_listxattr(ctx, &file->path, buf, what); break;
	case 5: (void)vfs_llseek(ctx, file, place(what / 14, what), SEEK_DATA); break;
	case 6:
		if (far)
			advise(ctx, file, what / 14);
		else
			ask_file(d, file, what / 14);
		break;
	case 7: map_file(ctx, file, what / 14); break;
	case 8: change_file(ctx, file, what / 14); break;
	case 9: lock_file(ctx, file, what / 14); break;
	case 10: (void)vfs_fsync(ctx, file, 0, INT64_MAX, what & 64); break;
	case 11: (void)vfs_copy_file_range(ctx, file, &from, file, &to, 4000, 0); break;
	case 12: (void)vfs_statfs(ctx, &file->path, &statfs); break;
	case 13:
		if (vfs_readlink(ctx, &file->path, &target) == 0)
			free(target);
	}
	free(buf);
}

/* Taken from the input before the daemon's thread takes anything. */
struct operation {
	uint8_t what, use[2];
};

/* By a handle that may lead anywhere, connectable or not. */
static void open_handle(struct daemon *d, const uint8_t use[2])
{
	const struct op_ctx *ctx = &d->client.ctx;
	struct vfs_handle handle = {.bytes = 24, .type = use[1] & 1 ? 0x81 : 0x82};
	struct path root;
	struct file *file;

	handle.words[1] = use[0] % 8;
	handle.words[4] = use[0] / 8 % 8;
	handle.words[2] = handle.words[1] != 1;
	handle.words[5] = handle.words[4] != 1;
	handle.type |= (use[1] >> 1 & 3) << 16;
	fs_get_root(ctx->fs, &root);
	if (!vfs_open_by_handle(ctx, &root, &handle, use[1] & 8 ? O_PATH : O_NONBLOCK, &file))
		(void)client_close(d, file);
	path_put(&root);
}

static void one_operation(struct daemon *d, const struct operation *op)
{
	static const char *const names[] = {"/", "/a", "/a/b", "/name", "/other", "/a/../b", "/other/x"};
	unsigned what = op->what;
	const char *name = names[(what >> 4) % 7];
	const struct op_ctx *ctx = &d->client.ctx;
	struct file *file;
	struct kstat st;

	switch (what & 15) {
	case 0: (void)client_stat(d, name, &st); break;
	case 1: (void)vfs_mkdir(ctx, NULL, name, 0755); break;
	case 2: (void)vfs_symlink(ctx, NULL, name, "a"); break;
	case 3: (void)vfs_unlink(ctx, NULL, name); break;
	case 4: (void)vfs_rmdir(ctx, NULL, name); break;
	case 5: (void)vfs_rename(ctx, NULL, name, NULL, "/b", 0); break;
	case 6: (void)vfs_mknod(ctx, NULL, name, S_IFREG | 0644, 0); break;
	case 15: open_handle(d, op->use); break;
	default: {
		unsigned flags = O_NONBLOCK; /* FIFOs */

		if (!(what & 8))
			flags |= (what & 7) == 7 ? O_RDWR | O_CREAT : O_DIRECTORY;

		if (client_open(d, name, flags, &file))
			break;
		use_file(d, file, op->use[0]);
		use_file(d, file, op->use[1]);
		(void)client_close(d, file);
	}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const options[] = {"allow_other", "allow_other,default_permissions",
					      "max_read=4096", NULL};
	struct daemon_config config = {.serve = serve};
	struct operation ops[6] = {0};
	unsigned nr_ops, how;
	struct daemon *d;

	if (size < 16)
		return 0;
	input_begin(data, size);
	config.no_init = next_byte() & 1;
	config.flags = FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC;
	how = next_byte();
	far = how & 128;
	if (how & 1)
		config.flags |= FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS;
	if (how & 64)
		config.flags |= FUSE_EXPORT_SUPPORT;
	if (how & 2) /* but for the ring, which would be waited for */
		for (unsigned i = 0; i < 8; i++)
			config.flags |= (uint64_t)next_byte() << (8 * i);
	config.flags &= ~FUSE_OVER_IO_URING;
	config.max_readahead = how & 4 ? 32768 : 0;
	config.options = options[how >> 3 & 3];
	config.uid = how & 32 ? 1000 : 0;
	nr_ops = 1 + next_byte() % 6;
	for (unsigned i = 0; i < nr_ops; i++)
		(void)next_bytes((uint8_t *)&ops[i], sizeof(ops[i]));
	d = daemon_start(&config);
	for (unsigned i = 0; i < nr_ops; i++)
		one_operation(d, &ops[i]);
	(void)daemon_stop(d);
	daemon_free(d);
	return 0;
}
