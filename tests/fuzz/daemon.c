/*
 * A FUSE daemon whose every answer is drawn from the input: libFuzzer on the checks of answers, INIT,
 * directory listings and notifications. A client makes the calls that the first bytes choose; the
 * answers are what the call expects, with bytes written over, cut, or made longer.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "sentry/base/iter.h"
#include "tests/support/daemon.h"
#include "vfs/ioctl.h"
#include "vfs/poll.h"
#include "vfs/readdir.h"
#include "vfs/xattr.h"

#define ANSWER_MAX 4096

static pthread_mutex_t input_lock = PTHREAD_MUTEX_INITIALIZER;
static const uint8_t *input;
static size_t input_len;

static uint8_t next_byte(void)
{
	uint8_t byte = 0;

	if (input_len > 0) {
		byte = *input++;
		input_len--;
	}
	return byte;
}

static size_t next_bytes(uint8_t *buf, size_t max)
{
	size_t n = input_len < max ? input_len : max;

	memcpy(buf, input, n);
	input += n;
	input_len -= n;
	return n;
}

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

static size_t spoil(uint8_t *buf, size_t len)
{
	unsigned how = next_byte();

	for (unsigned i = 0; i < (how & 7); i++) {
		unsigned at = next_byte() | (how & 8 ? next_byte() << 8 : 0);

		(void)next_bytes(buf + at % ANSWER_MAX, 1 + (next_byte() & 15));
	}
	if ((how & 0x30) == 0x10)
		len = next_byte();
	else if ((how & 0x30) == 0x20)
		len += next_byte();
	else if ((how & 0xf0) == 0x30)
		len = next_bytes(buf, ANSWER_MAX / 2);
	return len > ANSWER_MAX ? ANSWER_MAX : len;
}

static void serve(struct daemon *d, const uint8_t *msg)
{
	const struct fuse_in_header *in = (const void *)msg;
	uint8_t *buf = calloc(1, ANSWER_MAX + 64), *note = calloc(1, ANSWER_MAX + 64);
	size_t len, note_len = 0;
	int error = 0, code = 0;

	pthread_mutex_lock(&input_lock);
	len = spoil(buf, template(in, buf));
	/* The reading end of support/daemon.c has no room for more, and would give up. */
	if (in->opcode == FUSE_INIT)
		memset(buf + offsetof(struct fuse_init_out, max_write) + 2, 0, 2);
	if (next_byte() % 8 == 1)
		error = -(int)next_byte();
	if (next_byte() % 4 == 1) {
		code = next_byte() % 10;
		note_len = spoil(note, next_byte() % 64);
	}
	pthread_mutex_unlock(&input_lock);
	if (code)
		(void)daemon_notify(d, code, note, note_len);
	if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET) {
		(void)daemon_answer(d, in->unique, error, buf, error ? 0 : len);
		/* One that was refused for what it is about the header leaves the request waiting. */
		(void)daemon_answer(d, in->unique, -EIO, NULL, 0);
	}
	free(buf);
	free(note);
}

/* The caller's memory, as ioctl(2) sees it: nothing but this. */
static uint8_t arena[256];

static int arena_at(uint64_t gva, size_t len, uint8_t **ret_at)
{
	uint64_t at = gva - (uintptr_t)arena;

	if (at > sizeof(arena) || len > sizeof(arena) - at)
		return -EFAULT;
	*ret_at = arena + at;
	return 0;
}

static int arena_in(const struct op_ctx *ctx, void *dst, uint64_t src_gva, size_t len)
{
	uint8_t *at;
	int err = arena_at(src_gva, len, &at);

	if (!err)
		memcpy(dst, at, len);
	return err;
}

static int arena_out(const struct op_ctx *ctx, uint64_t dst_gva, const void *src, size_t len)
{
	uint8_t *at;
	int err = arena_at(dst_gva, len, &at);

	if (!err)
		memcpy(at, src, len);
	return err;
}

static void ask_file(struct daemon *d, struct file *file, unsigned what)
{
	static const struct ioctl_mem_ops mem_ops = {arena_in, arena_out};
	static const unsigned commands[] = {_IO('E', 1), _IOR('E', 2, int), _IOWR('E', 3, char[200]),
					    0x5421 /* FIONBIO */, 0x80086601 /* FS_IOC_GETFLAGS */};
	const struct op_ctx *ctx = &d->client.ctx;
	struct poll_item item = {.file = file, .events = POLLIN | POLLOUT};

	ioctl_set_mem_ops(&mem_ops);
	if (what % 2)
		(void)vfs_poll_items(ctx, &item, 1, 0);
	else
		(void)vfs_ioctl(ctx, file, commands[what / 2 % 5], (uintptr_t)arena);
}

static void use_file(struct daemon *d, struct file *file, unsigned what)
{
	char *buf = calloc(1, 8192);

	switch (what % 7) {
	case 6: ask_file(d, file, what / 7); break;
	case 0: (void)client_pread(d, file, buf, 5000, what * 16); break;
	case 1: (void)client_pwrite(d, file, buf, 5000, what * 16); break;
	case 2: (void)client_readdir(d, file, buf, 8192, 4096); break;
	case 3: (void)vfs_getxattr(&d->client.ctx, &file->path, "user.a", buf, what); break;
	case 4: (void)vfs_listxattr(&d->client.ctx, &file->path, buf, what); break;
	case 5: (void)vfs_llseek(&d->client.ctx, file, what, SEEK_DATA); break;
	}
	free(buf);
}

static void one_operation(struct daemon *d, unsigned what)
{
	static const char *const names[] = {"/", "/a", "/a/b", "/name", "/other", "/a/../b", "/other/x"};
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
	default: {
		unsigned flags = O_NONBLOCK; /* FIFOs */

		if (!(what & 8))
			flags |= (what & 7) == 7 ? O_RDWR | O_CREAT : O_DIRECTORY;

		if (client_open(d, name, flags, &file))
			break;
		use_file(d, file, next_byte());
		use_file(d, file, next_byte());
		(void)client_close(d, file);
	}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct daemon_config config = {.serve = serve};
	unsigned ops[6], nr_ops;
	struct daemon *d;

	if (size < 12)
		return 0;
	input = data;
	input_len = size;
	config.no_init = next_byte() & 1;
	config.flags = FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC;
	if (next_byte() & 1)
		config.flags |= FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS;
	nr_ops = 1 + next_byte() % 6;
	for (unsigned i = 0; i < nr_ops; i++)
		ops[i] = next_byte();
	d = daemon_start(&config);
	for (unsigned i = 0; i < nr_ops; i++)
		one_operation(d, ops[i]);
	(void)daemon_stop(d);
	daemon_free(d);
	return 0;
}
