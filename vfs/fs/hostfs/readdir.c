/* Directory entries: the host's own, with the host's own positions. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "vfs/file.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/hostfs/hostfs_internal.h"
#include "vfs/readdir.h"
#include "vfs/superblock.h"

#define DIRBUF_BYTES 32768

/* struct linux_dirent64 of getdents64(2). */
struct host_dirent {
	uint64_t ino;
	int64_t off; /* position of the next entry */
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static const struct host_dirent *dirent_at(const unsigned char *buf, size_t off)
{
	return (const struct host_dirent *)(const void *)(buf + off);
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int hostfs_file_fd(struct hostfs_file *hf)
{
	if (hf->hostfd < 0)
		hf->hostfd = hostfs_open_object(hf->hi, O_RDONLY | O_DIRECTORY);
	return hf->hostfd;
}

/* Makes the entry at `pos` the next one of the buffer. 1, 0 at the end, or -errno. */
static int fill_from(struct hostfs_file *hf, int64_t pos)
{
	int64_t moved;
	ssize_t n;
	int fd;

	if (pos != 0 && pos == hf->next_pos && hf->buf_off < hf->buf_len)
		return 1;
	fd = hostfs_file_fd(hf);
	if (fd < 0)
		return fd;
	if (!hf->buf)
		hf->buf = malloc(DIRBUF_BYTES);
	if (!hf->buf)
		return -ENOMEM;
	/* Also after rewinddir(): lseek to 0 makes the host look at the directory afresh. */
	if (pos == 0 || pos != hf->next_pos) {
		moved = HOST(lseek(fd, pos, SEEK_SET));
		if (moved < 0)
			return (int)moved;
	}
	hf->buf_off = hf->buf_len = 0;
	hf->next_pos = -1;
	n = HOST(syscall(SYS_getdents64, fd, hf->buf, DIRBUF_BYTES));
	if (n <= 0)
		return (int)n;
	hf->buf_len = (size_t)n;
	hf->next_pos = pos;
	return 1;
}

static uint64_t parent_ino(struct hostfs_inode *hi)
{
	uint64_t ino;

	fb_mutex_lock(&hostfs_lock);
	ino = hi->parent ? hi->parent->inode.ino : hi->inode.ino;
	fb_mutex_unlock(&hostfs_lock);
	return ino;
}

/* What lies above the root is nobody's business: ".." there is the root itself. */
static uint64_t entry_ino(struct hostfs_inode *hi, const struct host_dirent *d)
{
	if (is_dots(d->name))
		return d->name[1] == '.' ? parent_ino(hi) : hi->inode.ino;
	return hostfs_shown_ino(hi->inode.sb, hi->dev_index, d->ino);
}

int hostfs_iterate(const struct op_ctx *ctx, struct file *file, struct dir_context *dc)
{
	struct hostfs_file *hf = file->private;
	const struct host_dirent *d;
	int more;

	(void)ctx;
	if (hf->hi->masked) {
		if (dc->pos < 2)
			dir_emit_dots(file, dc);
		return 0;
	}
	while ((more = fill_from(hf, dc->pos)) > 0) {
		while (hf->buf_off < hf->buf_len) {
			d = dirent_at(hf->buf, hf->buf_off);
			if (!dir_emit(dc, d->name, strlen(d->name), entry_ino(hf->hi, d), d->type))
				return 0;
			hf->buf_off += d->reclen;
			hf->next_pos = dc->pos = d->off;
		}
	}
	return more == -ENOENT ? 0 : more; /* removed meanwhile: empty */
}

int hostfs_list(struct inode *dir, hostfs_dirent_fn emit, void *arg)
{
	struct hostfs_inode *hi = hostfs_i(dir);
	cleanup_free unsigned char *buf = NULL;
	cleanup_close int fd = -1;
	const struct host_dirent *d;
	int err = 0;
	ssize_t n;
	size_t off;

	if (hi->masked)
		return 0;
	fd = hostfs_open_object(hi, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	buf = malloc(DIRBUF_BYTES);
	if (!buf)
		return -ENOMEM;
	while ((n = HOST(syscall(SYS_getdents64, fd, buf, DIRBUF_BYTES))) > 0) {
		for (off = 0; off < (size_t)n; off += d->reclen) {
			d = dirent_at(buf, off);
			if (!is_dots(d->name))
				err = emit(arg, d->name, strlen(d->name), entry_ino(hi, d),
					   d->type);
			if (err)
				return err;
		}
	}
	return (int)n;
}
