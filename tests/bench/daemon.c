/*
 * A FUSE daemon that does nothing but answer: one file in memory, names valid for ever, attributes
 * never. It makes no system call of its own besides reading requests and writing replies, so the
 * round trip itself is what tests/bench/run measures with it.
 */
#define FUSE_USE_VERSION 34
#include <errno.h>
#include <fuse_lowlevel.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_INO 2
static char data[1 << 20];

static int attributes(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_uid = st->st_gid = 0;
	st->st_mode = ino == FILE_INO ? S_IFREG | 0666 : S_IFDIR | 0777;
	st->st_nlink = 1;
	st->st_size = ino == FILE_INO ? (off_t)sizeof(data) : 0;
	return ino == FILE_INO || ino == FUSE_ROOT_ID ? 0 : ENOENT;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .ino = FILE_INO, .entry_timeout = 3600 };

	if (parent != FUSE_ROOT_ID || strcmp(name, "file")) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	attributes(FILE_INO, &e.attr);
	fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	int err = attributes(ino, &st);

	(void)fi;
	if (err)
		fuse_reply_err(req, err);
	else
		fuse_reply_attr(req, &st, 0);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	if (off >= (off_t)sizeof(data))
		size = 0;
	else if (size > sizeof(data) - (size_t)off)
		size = sizeof(data) - (size_t)off;
	fuse_reply_buf(req, data + off, size);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	if (off >= (off_t)sizeof(data) || size > sizeof(data) - (size_t)off) {
		fuse_reply_err(req, ENOSPC);
		return;
	}
	memcpy(data + off, buf, size);
	fuse_reply_write(req, size);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = op_lookup,
	.getattr = op_getattr,
	.open = op_open,
	.read = op_read,
	.write = op_write,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts;
	struct fuse_session *se;
	int status = 1;

	if (fuse_parse_cmdline(&args, &opts) || !opts.mountpoint)
		return 1;
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (se && fuse_session_mount(se, opts.mountpoint) == 0) {
		fuse_daemonize(opts.foreground);
		if (opts.singlethread)
			status = fuse_session_loop(se);
		else
			status = fuse_session_loop_mt(se, opts.clone_fd);
		fuse_session_unmount(se);
	}
	return status != 0;
}
