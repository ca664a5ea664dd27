/*
 * Memfd form of a page cache: the host's shmem does it all (sparse storage, holes, SEEK_DATA).
 * Bytes are moved with pread/pwrite and a bounce buffer: about 1 us per 4 KiB, cheaper than
 * faulting in a mapping of our own for every file. The memfd's size and pc->size are always equal.
 *
 * With a limit, room is reserved before the host allocates, and afterwards the charge follows what
 * it really allocated: only the host knows which pages of a range were there already.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/bounce.h"
#include "vfs/pagecache_internal.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

static int memfd_new(int *ret_memfd)
{
	long fd = HOST(memfd_create("fusebox", MFD_CLOEXEC | MFD_EXEC));

	if (fd == -EINVAL) /* before Linux 6.3 */
		fd = HOST(memfd_create("fusebox", MFD_CLOEXEC));
	if (fd < 0)
		return (int)fd;
	*ret_memfd = (int)fd;
	return 0;
}

uint64_t pagecache_memfd_allocated(const struct pagecache *pc)
{
	struct stat st;

	if (HOST(fstat(pc->memfd, &st)) < 0)
		return pc->allocated_bytes;
	return (uint64_t)st.st_blocks * 512;
}

static int write_all(int memfd, const unsigned char *data, size_t len, int64_t pos)
{
	while (len > 0) {
		long n = HOST(pwrite(memfd, data, len, pos));

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -ENOSPC : (int)n;
		data += n;
		len -= (size_t)n;
		pos += n;
	}
	return 0;
}

/* Moves the small data into a memfd; the old state stays on an error. */
int pagecache_memfd_make(struct pagecache *pc)
{
	int memfd, err;
	unsigned n;

	if (pc->memfd >= 0)
		return 0;
	err = memfd_new(&memfd);
	if (err)
		return err;
	for (n = 0; n < PAGECACHE_SMALL / PAGECACHE_PAGE && !err; n++) {
		size_t off = (size_t)n * PAGECACHE_PAGE;
		size_t len = pc->small_alloc < off ? 0 : pc->small_alloc - off;

		if ((pc->small_pages & (1U << n)) && len > 0)
			err = write_all(memfd, pc->small + off,
					len < PAGECACHE_PAGE ? len : PAGECACHE_PAGE, (int64_t)off);
	}
	/* Also where the last page was written past the end of the file. */
	if (!err)
		err = (int)HOST(ftruncate(memfd, pc->size));
	if (err) {
		(void)close(memfd);
		return err;
	}
	pagecache_small_free(pc);
	pc->memfd = memfd;
	pagecache_settle(pc, pagecache_memfd_allocated(pc));
	return 0;
}

/* How many bytes of the pages that [start, end) touches are not allocated yet. */
static uint64_t memfd_missing(const struct pagecache *pc, int64_t start, int64_t end)
{
	int64_t pos = page_down(start);
	uint64_t missing = 0;
	int64_t limit =
		end > INT64_MAX - PAGECACHE_PAGE ? INT64_MAX : (int64_t)page_up((uint64_t)end);

	while (pos < limit) {
		int64_t data = HOST(lseek(pc->memfd, pos, SEEK_DATA));
		int64_t hole;

		if (data < 0 || data >= limit)
			return missing + (uint64_t)(limit - pos);
		missing += (uint64_t)(data - pos);
		hole = HOST(lseek(pc->memfd, data, SEEK_HOLE));
		if (hole < 0)
			break;
		pos = (int64_t)page_up((uint64_t)hole);
	}
	return missing;
}

/*
 * Reserves room for the pages of [start, end): first the upper bound, and only when that does not
 * fit exactly what is missing.
 */
static int memfd_charge(struct pagecache *pc, int64_t start, int64_t end, uint64_t *ret_charged)
{
	uint64_t bytes = page_up((uint64_t)end) - (uint64_t)page_down(start);

	*ret_charged = 0;
	if (!pc->limit)
		return 0;
	if (!pagecache_limit_charge(pc->limit, bytes)) {
		bytes = memfd_missing(pc, start, end);
		if (!pagecache_limit_charge(pc->limit, bytes))
			return -ENOSPC;
	}
	*ret_charged = bytes;
	return 0;
}

/* After the host has done its work: the charge follows what is really allocated. */
static void memfd_settle(struct pagecache *pc, uint64_t charged)
{
	if (!pc->limit)
		return;
	pc->allocated_bytes += charged;
	pagecache_settle(pc, pagecache_memfd_allocated(pc));
}

static ssize_t host_pwrite(struct pagecache *pc, const void *data, size_t len, int64_t pos)
{
	ssize_t n;

	do
		n = HOST(pwrite(pc->memfd, data, len, pos));
	while (n == -EINTR);
	if (n > 0 && pos + n > pc->size)
		pc->size = pos + n;
	return n == 0 ? -ENOSPC : n;
}

ssize_t pagecache_memfd_pwrite(struct pagecache *pc, const void *data, size_t len, int64_t pos)
{
	uint64_t charged;
	ssize_t n;
	int err;

	if (!pc->limit || pos + (int64_t)len <= pc->dense)
		return host_pwrite(pc, data, len, pos);
	err = memfd_charge(pc, pos, pos + (int64_t)len, &charged);
	/* Fill what is left of the budget, page by page, as the kernel would. */
	if (err == -ENOSPC && page_down(pos) != page_down(pos + (int64_t)len - 1)) {
		len = (size_t)(page_down(pos) + PAGECACHE_PAGE - pos);
		err = memfd_charge(pc, pos, pos + (int64_t)len, &charged);
	}
	if (err)
		return err;
	n = host_pwrite(pc, data, len, pos);
	if (n > 0 && pos <= pc->dense)
		pc->dense = pos + n;
	memfd_settle(pc, charged);
	return n;
}

static ssize_t host_pread(struct pagecache *pc, void *buf, size_t len, int64_t pos)
{
	ssize_t n;

	do
		n = HOST(pread(pc->memfd, buf, len, pos));
	while (n == -EINTR);
	return n;
}

static ssize_t read_own(struct pagecache *pc, struct io_iter *to, int64_t pos, size_t len)
{
	size_t done = 0, part;
	struct iovec own;
	ssize_t n = 0;

	while (iter_own_segs(to, len - done, &own, 1, &part)) {
		n = host_pread(pc, own.iov_base, part, pos + (int64_t)done);
		if (n <= 0)
			break;
		iter_advance(to, (size_t)n);
		done += (size_t)n;
	}
	return done > 0 ? (ssize_t)done : n;
}

/* Called without the lock: a memfd never goes away, and a race with truncate reads short. */
ssize_t pagecache_memfd_read(struct pagecache *pc, struct io_iter *to, int64_t pos, size_t len)
{
	size_t done = 0;
	ssize_t err = 0;
	struct bounce bounce;

	if (!to->ops)
		return read_own(pc, to, pos, len);
	if (bounce_get(&bounce, len))
		return -ENOMEM;
	while (done < len) {
		size_t want = len - done < bounce.size ? len - done : bounce.size;
		ssize_t n = host_pread(pc, bounce.buf, want, pos + (int64_t)done);
		size_t copied;

		if (n <= 0) {
			err = n;
			break;
		}
		copied = iter_to(to, bounce.buf, (size_t)n);
		done += copied;
		if (copied < (size_t)n) {
			err = -EFAULT;
			break;
		}
	}
	bounce_put(&bounce);
	return done > 0 ? (ssize_t)done : err;
}

int pagecache_memfd_fallocate(struct pagecache *pc, int mode, int64_t start, int64_t end)
{
	uint64_t charged = 0;
	int err = 0;

	if (start < pc->dense && mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		pc->dense = start;
	/* shmem knows no ZERO_RANGE: a hole, then pages for it. */
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		err = (int)HOST(fallocate(pc->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  start, end - start));
	if (!err && !(mode & FALLOC_FL_PUNCH_HOLE)) {
		err = memfd_charge(pc, start, end, &charged);
		if (!err)
			err = (int)HOST(fallocate(pc->memfd, mode & FALLOC_FL_KEEP_SIZE, start,
						  end - start));
	}
	memfd_settle(pc, charged);
	return err;
}

int pagecache_memfd_truncate(struct pagecache *pc, int64_t size)
{
	int err = (int)HOST(ftruncate(pc->memfd, size));

	if (err)
		return err;
	if (size < pc->dense)
		pc->dense = size;
	if (size < pc->size)
		memfd_settle(pc, 0);
	return 0;
}
