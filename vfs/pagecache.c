/*
 * Page caches: which form the bytes are in, and what both have in common. The forms themselves are
 * in pagecache_small.c and pagecache_memfd.c.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/log.h"
#include "vfs/bounce.h"
#include "vfs/pagecache_internal.h"

bool pagecache_limit_charge(struct pagecache_limit *limit, uint64_t bytes)
{
	uint64_t used, max;

	if (!limit || bytes == 0)
		return true;
	max = __atomic_load_n(&limit->max, __ATOMIC_RELAXED);
	used = atomic_load_explicit(&limit->used, memory_order_relaxed);
	do {
		if (max != 0 && (bytes > max || used > max - bytes))
			return false;
	} while (!atomic_compare_exchange_weak(&limit->used, &used, used + bytes));
	return true;
}

void pagecache_limit_uncharge(struct pagecache_limit *limit, uint64_t bytes)
{
	if (limit && bytes != 0)
		atomic_fetch_sub(&limit->used, bytes);
}

void pagecache_init(struct pagecache *pc)
{
	*pc = (struct pagecache){ .memfd = -1 };
	fb_mutex_init(&pc->lock, RANK_PAGES);
}

void pagecache_destroy(struct pagecache *pc)
{
	pagecache_limit_uncharge(pc->limit, pc->allocated_bytes);
	free(pc->small);
	if (pc->memfd >= 0)
		(void)close(pc->memfd);
	fb_mutex_destroy(&pc->lock);
}

void pagecache_settle(struct pagecache *pc, uint64_t bytes)
{
	if (pc->limit && bytes > pc->allocated_bytes)
		atomic_fetch_add(&pc->limit->used, bytes - pc->allocated_bytes);
	else
		pagecache_limit_uncharge(pc->limit, pc->allocated_bytes - bytes);
	pc->allocated_bytes = bytes;
}

/* ---- reading and writing ---- */

ssize_t pagecache_read(struct pagecache *pc, struct io_iter *to, int64_t pos)
{
	size_t len = to->count;
	ssize_t ret;

	if (pos < 0)
		return -EINVAL;
	fb_mutex_lock(&pc->lock);
	if (pos >= pc->size) {
		fb_mutex_unlock(&pc->lock);
		return 0;
	}
	if ((uint64_t)(pc->size - pos) < len)
		len = (size_t)(pc->size - pos);
	if (pc->memfd < 0 && pc->size <= PAGECACHE_SMALL) {
		ret = pagecache_small_read(pc, to, pos, len);
		fb_mutex_unlock(&pc->lock);
		return ret;
	}
	fb_assert(pc->memfd >= 0);
	fb_mutex_unlock(&pc->lock);
	return pagecache_memfd_read(pc, to, pos, len);
}

/* One chunk that is ours already. The form may change under our feet only here. */
static ssize_t write_chunk(struct pagecache *pc, const void *data, size_t len, int64_t pos)
{
	ssize_t ret;
	int err;

	fb_mutex_lock(&pc->lock);
	err = pagecache_memfd_make(pc);
	ret = err ? err : pagecache_memfd_pwrite(pc, data, len, pos);
	fb_mutex_unlock(&pc->lock);
	return ret;
}

static ssize_t memfd_write_own(struct pagecache *pc, struct io_iter *from, int64_t pos, size_t len)
{
	size_t done = 0, part;
	struct iovec own;
	ssize_t n = 0;

	while (done < len) {
		part = len - done < BOUNCE_MAX ? len - done : BOUNCE_MAX; /* others want the lock, too */
		if (!iter_own_segs(from, part, &own, 1, &part))
			break;
		n = write_chunk(pc, own.iov_base, part, pos + (int64_t)done);
		if (n < 0)
			break;
		iter_advance(from, (size_t)n);
		done += (size_t)n;
	}
	return done > 0 ? (ssize_t)done : n;
}

static ssize_t memfd_write(struct pagecache *pc, struct io_iter *from, int64_t pos, size_t len)
{
	size_t done = 0;
	ssize_t err = 0;
	struct bounce bounce;

	if (!from->ops)
		return memfd_write_own(pc, from, pos, len);
	if (bounce_get(&bounce, len))
		return -ENOMEM;
	while (done < len && !err) {
		size_t want = len - done < bounce.size ? len - done : bounce.size;
		struct iter_mark mark = iter_save(from);
		size_t got = iter_from(from, bounce.buf, want), put = 0;

		if (got < want)
			err = -EFAULT;
		while (put < got) {
			ssize_t n = write_chunk(pc, bounce.buf + put, got - put,
						pos + (int64_t)(done + put));

			if (n < 0) {
				err = n;
				break;
			}
			put += (size_t)n;
		}
		if (put < got) { /* the iterator says what was taken */
			iter_restore(from, mark);
			iter_advance(from, put);
		}
		done += put;
	}
	bounce_put(&bounce);
	return done > 0 ? (ssize_t)done : err;
}

ssize_t pagecache_write(struct pagecache *pc, struct io_iter *from, int64_t pos)
{
	size_t len = from->count;
	ssize_t ret;

	if (pos < 0)
		return -EINVAL;
	if (len == 0)
		return 0;
	if (pos == INT64_MAX)
		return -EFBIG;
	if (len > (uint64_t)(INT64_MAX - pos))
		len = (size_t)(INT64_MAX - pos);
	fb_mutex_lock(&pc->lock);
	if (pc->memfd < 0 && pos + (int64_t)len <= PAGECACHE_SMALL && pc->size <= PAGECACHE_SMALL) {
		ret = pagecache_small_write(pc, from, pos, len);
		fb_mutex_unlock(&pc->lock);
		return ret;
	}
	fb_mutex_unlock(&pc->lock);
	return memfd_write(pc, from, pos, len);
}

/* ---- size and allocation ---- */

int pagecache_truncate(struct pagecache *pc, int64_t size)
{
	int err = 0;

	if (size < 0)
		return -EINVAL;
	fb_mutex_lock(&pc->lock);
	if (size > PAGECACHE_SMALL)
		err = pagecache_memfd_make(pc);
	if (err)
		goto out_unlock;
	if (pc->memfd >= 0) {
		err = pagecache_memfd_truncate(pc, size);
		if (err)
			goto out_unlock;
	} else {
		pagecache_small_truncate(pc, size);
	}
	pc->size = size;
out_unlock:
	fb_mutex_unlock(&pc->lock);
	return err;
}

int64_t pagecache_size(struct pagecache *pc)
{
	int64_t size;

	fb_mutex_lock(&pc->lock);
	size = pc->size;
	fb_mutex_unlock(&pc->lock);
	return size;
}

int pagecache_fallocate(struct pagecache *pc, int mode, int64_t offset, int64_t len)
{
	const int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	bool punch = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
	int64_t end;
	int err = 0;

	if (offset < 0 || len <= 0)
		return -EINVAL;
	if ((mode & ~known) || (punch && mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)))
		return -EOPNOTSUPP;
	if (len > INT64_MAX - offset)
		return -EFBIG;
	end = offset + len;
	fb_mutex_lock(&pc->lock);
	if (punch && pc->memfd < 0 && end > PAGECACHE_SMALL) {
		end = PAGECACHE_SMALL; /* nothing lies beyond */
		if (offset >= end)
			goto out_unlock;
	}
	if (end > PAGECACHE_SMALL)
		err = pagecache_memfd_make(pc);
	if (!err)
		err = pc->memfd >= 0 ? pagecache_memfd_fallocate(pc, mode, offset, end)
				     : pagecache_small_fallocate(pc, mode, offset, end);
	if (!err && !(mode & FALLOC_FL_KEEP_SIZE) && end > pc->size)
		pc->size = end;
out_unlock:
	fb_mutex_unlock(&pc->lock);
	return err;
}

int64_t pagecache_seek(struct pagecache *pc, int64_t offset, int whence)
{
	int64_t ret;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	fb_mutex_lock(&pc->lock);
	if (offset < 0 || offset >= pc->size)
		ret = -ENXIO;
	else if (pc->memfd >= 0)
		ret = HOST(lseek(pc->memfd, offset, whence));
	else
		ret = pagecache_small_seek(pc, offset, whence);
	fb_mutex_unlock(&pc->lock);
	return ret;
}

uint64_t pagecache_blocks(struct pagecache *pc)
{
	uint64_t bytes;

	fb_mutex_lock(&pc->lock);
	if (pc->memfd >= 0) {
		bytes = pagecache_memfd_allocated(pc);
		if (pc->limit) /* pages that came through a mapping are charged here */
			pagecache_settle(pc, bytes);
	} else {
		bytes = (uint64_t)__builtin_popcount(pc->small_pages) * PAGECACHE_PAGE;
	}
	fb_mutex_unlock(&pc->lock);
	return bytes / 512;
}

/* ---- descriptors for mmap ---- */

/*
 * /proc/self/fd, opened while the sentry could still see it. The only way to a read-only
 * descriptor of a memfd is to open it anew through its magic link.
 */
static atomic_int proc_fd_dir = -1;

int pagecache_host_init(void)
{
	int none = -1;
	long dir;

	if (atomic_load(&proc_fd_dir) >= 0)
		return 0;
	dir = HOST(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (dir < 0)
		return (int)dir;
	if (!atomic_compare_exchange_strong(&proc_fd_dir, &none, (int)dir))
		(void)close((int)dir);
	return 0;
}

/* The directory would be another process's if the sentry had forked since. */
static bool same_host_file(int a, int b)
{
	struct stat sa, sb;

	return HOST(fstat(a, &sa)) == 0 && HOST(fstat(b, &sb)) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

static int reopen(int memfd, int flags, int *ret_hostfd)
{
	char name[16];
	long fd;

	if (pagecache_host_init())
		return -EACCES;
	(void)snprintf(name, sizeof(name), "%d", memfd);
	fd = HOST(openat(atomic_load(&proc_fd_dir), name, flags | O_CLOEXEC));
	if (fd < 0)
		return fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? (int)fd : -EACCES;
	if (!same_host_file(memfd, (int)fd)) {
		(void)close((int)fd);
		return -EACCES;
	}
	*ret_hostfd = (int)fd;
	return 0;
}

int pagecache_hostfd(struct pagecache *pc, bool write, int *ret_hostfd)
{
	int err;
	long fd;

	fb_mutex_lock(&pc->lock);
	err = pagecache_memfd_make(pc);
	fb_mutex_unlock(&pc->lock);
	if (err)
		return err;
	if (!write)
		return reopen(pc->memfd, O_RDONLY, ret_hostfd);
	fd = HOST(fcntl(pc->memfd, F_DUPFD_CLOEXEC, 0));
	if (fd < 0)
		return (int)fd;
	*ret_hostfd = (int)fd;
	return 0;
}

int pagecache_hostfd_counted(struct pagecache *pc, int *ret_hostfd)
{
	int err;

	fb_mutex_lock(&pc->lock);
	err = pagecache_memfd_make(pc);
	fb_mutex_unlock(&pc->lock);
	return err ? err : reopen(pc->memfd, O_RDWR, ret_hostfd);
}
