/* read(2), write(2) and their relatives, lseek(2), truncate(2), fallocate(2), copying. */
#include "report.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#ifndef FALLOC_FL_KEEP_SIZE
#include <linux/falloc.h>
#endif

static void show_content(const char *what, int fd)
{
	char buf[64];
	ssize_t n = pread(fd, buf, sizeof(buf), 0);

	printf("%s:", what);
	for (ssize_t i = 0; i < n; i++)
		printf(buf[i] >= ' ' ? " %c" : " %02x", buf[i]);
	printf("\n");
}

static void plain(int fd)
{
	char buf[32];
	char *half;

	TRY(write(fd, "abcdef", 6));
	TRY(lseek(fd, 2, SEEK_SET));
	TRY(read(fd, buf, 2));
	printf("read %.2s\n", buf);
	TRY(read(fd, buf, sizeof(buf)));
	TRY(read(fd, buf, sizeof(buf)));
	TRY(write(fd, buf, 0));
	TRY(read(fd, buf, 0));
	SHOW("write from nowhere", write(fd, (void *)8, 4));
	SHOW("read into nowhere", (lseek(fd, 0, SEEK_SET), read(fd, (void *)8, 4)));
	SHOW("position after that", lseek(fd, 0, SEEK_CUR));
	SHOW("zero bytes to nowhere", write(fd, (void *)8, 0));
	half = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(half + 4096, 4096, PROT_NONE);
	memset(half, 'H', 4096);
	SHOW("read into half a buffer", pread(fd, half + 4094, 4, 0));
	munmap(half, 8192);
	SHOW("bad descriptor", read(77, buf, 1));
	SHOW("negative descriptor", read(-1, buf, 1));
	show_content("content", fd);
}

static void vectors(int fd)
{
	static struct iovec many[IOV_MAX + 1];
	char a[4], b[4];
	struct iovec iov[3] = { { a, 2 }, { NULL, 0 }, { b, 3 } };
	struct iovec out[2] = { { "12", 2 }, { "345", 3 } };
	struct iovec bad[2] = { { "xy", 2 }, { (void *)8, 3 } };
	struct iovec huge[2] = { { a, SSIZE_MAX }, { a, SSIZE_MAX } };

	MUST(ftruncate(fd, 0));
	MUST(lseek(fd, 0, SEEK_SET));
	TRY(writev(fd, out, 2));
	MUST(lseek(fd, 0, SEEK_SET));
	TRY(readv(fd, iov, 3));
	printf("readv %.2s %.3s\n", a, b);
	TRY(writev(fd, out, 0));
	SHOW("too many", writev(fd, many, IOV_MAX + 1));
	SHOW("exactly the most", writev(fd, many, IOV_MAX));
	SHOW("negative count", syscall(SYS_readv, fd, iov, -1));
	SHOW("bad vector", readv(fd, (void *)8, 1));
	SHOW("sum too large", readv(fd, huge, 2));
	MUST(ftruncate(fd, 0));
	SHOW("second buffer bad", pwritev(fd, bad, 2, 0));
	SHOW("pwritev", pwritev(fd, out, 2, 10));
	SHOW("preadv", preadv(fd, iov, 3, 10));
	SHOW("preadv negative", preadv(fd, iov, 3, -1));
	SHOW("preadv2 position -1", (lseek(fd, 12, SEEK_SET), preadv2(fd, iov, 3, -1, 0)));
	SHOW("position moved", lseek(fd, 0, SEEK_CUR));
	SHOW("preadv2 unknown flag", preadv2(fd, iov, 3, 0, 0x4000));
	SHOW("pwritev2 RWF_APPEND", pwritev2(fd, out, 2, 0, RWF_APPEND));
	show_content("content", fd);
}

static void positions(int fd)
{
	char buf[8];
	int p[2];

	MUST(ftruncate(fd, 0));
	MUST(pwrite(fd, "0123456789", 10, 0));
	TRY(lseek(fd, -3, SEEK_END));
	TRY(lseek(fd, -100, SEEK_CUR));
	TRY(lseek(fd, -1, SEEK_SET));
	TRY(lseek(fd, 0, 99));
	TRY(lseek(fd, 100, SEEK_SET));
	TRY(read(fd, buf, 8));
	SHOW("pread", pread(fd, buf, 4, 8));
	SHOW("pread beyond", pread(fd, buf, 4, 50));
	SHOW("pread negative", pread(fd, buf, 4, -1));
	SHOW("pwrite makes a hole", pwrite(fd, "x", 1, 20));
	SHOW("size", lseek(fd, 0, SEEK_END));
	show_content("hole", fd);
	SHOW("SEEK_DATA", lseek(fd, 0, SEEK_DATA));
	SHOW("SEEK_HOLE", lseek(fd, 0, SEEK_HOLE));
	SHOW("SEEK_DATA at end", lseek(fd, 21, SEEK_DATA));
	SHOW("SEEK_DATA negative", lseek(fd, -1, SEEK_DATA));
	SHOW("pwrite with O_APPEND", ({
		     int ap = MUST(open("f", O_WRONLY | O_APPEND));
		     long r = pwrite(ap, "Z", 1, 0);
		     close(ap);
		     r;
	     }));
	SHOW("size", lseek(fd, 0, SEEK_END));
	MUST(pipe(p));
	SHOW("lseek on a pipe", lseek(p[0], 0, SEEK_CUR));
	SHOW("pread on a pipe", pread(p[0], buf, 1, 0));
	SHOW("pwrite on a pipe", pwrite(p[1], buf, 1, 0));
	SHOW("lseek bad whence on a pipe", lseek(p[0], 0, 99));
	close(p[0]);
	close(p[1]);
}

static void sizes(int fd)
{
	struct stat st;
	int ro = MUST(open("f", O_RDONLY));

	TRY(ftruncate(fd, 5));
	TRY(ftruncate(fd, 9));
	show_content("grown", fd);
	TRY(ftruncate(fd, -1));
	SHOW("ftruncate read-only", ftruncate(ro, 0));
	TRY(truncate("f", 3));
	TRY(truncate("missing", 3));
	TRY(truncate(".", 3));
	TRY(truncate("f", -1));
	SHOW("fallocate", fallocate(fd, 0, 0, 5000));
	MUST(fstat(fd, &st));
	printf("size %ld\n", (long)st.st_size);
	SHOW("fallocate keep size", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 10000));
	MUST(fstat(fd, &st));
	printf("size %ld\n", (long)st.st_size);
	MUST(pwrite(fd, "abcdef", 6, 0));
	SHOW("punch hole", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 3));
	MUST(ftruncate(fd, 6));
	show_content("punched", fd);
	SHOW("punch without keep", fallocate(fd, FALLOC_FL_PUNCH_HOLE, 1, 3));
	SHOW("fallocate zero length", fallocate(fd, 0, 0, 0));
	SHOW("fallocate negative", fallocate(fd, 0, -1, 5));
	SHOW("fallocate read-only", fallocate(ro, 0, 0, 5));
	close(ro);
}

static void copying(int fd)
{
	off_t off = 2;
	loff_t in = 0, out = 3;
	int to = MUST(open("to", O_CREAT | O_TRUNC | O_RDWR, 0600)), p[2];

	MUST(ftruncate(fd, 0));
	MUST(pwrite(fd, "0123456789", 10, 0));
	MUST(lseek(fd, 0, SEEK_SET));
	SHOW("sendfile", sendfile(to, fd, &off, 4));
	printf("offset %ld, position %ld\n", (long)off, (long)lseek(fd, 0, SEEK_CUR));
	SHOW("sendfile at position", sendfile(to, fd, NULL, 3));
	SHOW("sendfile to the end", sendfile(to, fd, NULL, 100));
	SHOW("sendfile at the end", sendfile(to, fd, NULL, 100));
	show_content("sent", to);
	SHOW("copy_file_range", copy_file_range(fd, &in, to, &out, 5, 0));
	printf("offsets %ld %ld\n", (long)in, (long)out);
	SHOW("copy_file_range flags", copy_file_range(fd, &in, to, &out, 5, 1));
	SHOW("copy_file_range overlapping", ({
		     loff_t a = 0, b = 2;
		     copy_file_range(fd, &a, fd, &b, 5, 0);
	     }));
	show_content("copied", to);
	MUST(pipe(p));
	in = 1;
	SHOW("splice file to pipe", splice(fd, &in, p[1], NULL, 4, 0));
	SHOW("splice pipe to file", splice(p[0], NULL, to, NULL, 4, 0));
	SHOW("splice without a pipe", splice(fd, NULL, to, NULL, 4, 0));
	SHOW("splice offset of a pipe", splice(p[0], &in, to, NULL, 4, 0));
	SHOW("splice bad flag", splice(fd, NULL, p[1], NULL, 4, 64));
	SHOW("splice empty, non-blocking", splice(p[0], NULL, to, NULL, 4, SPLICE_F_NONBLOCK));
	SHOW("splice nothing", splice(99, NULL, 98, NULL, 0, 0));
	show_content("spliced", to);
	close(p[0]);
	close(p[1]);
	close(to);
}

static volatile int got_xfsz;

static void on_xfsz(int signo)
{
	got_xfsz++;
}

/* Nothing is printed under the limit: standard output may be a file too. */
static void limit(int fd)
{
	struct rlimit rl = { 8, RLIM_INFINITY };
	long upto, beyond, size;
	int err, err_size;

	signal(SIGXFSZ, on_xfsz);
	MUST(ftruncate(fd, 0));
	MUST(setrlimit(RLIMIT_FSIZE, &rl));
	upto = pwrite(fd, "0123456789", 10, 0);
	beyond = pwrite(fd, "x", 1, 8);
	err = errno;
	size = ftruncate(fd, 100);
	err_size = errno;
	rl.rlim_cur = RLIM_INFINITY;
	MUST(setrlimit(RLIMIT_FSIZE, &rl));
	printf("write up to the limit: %ld\n", upto);
	printf("write beyond the limit: %ld %s\n", beyond, strerrorname_np(err));
	printf("truncate beyond the limit: %ld %s\n", size, strerrorname_np(err_size));
	printf("SIGXFSZ: %d\n", got_xfsz);
	SHOW("write again", pwrite(fd, "x", 1, 8));
}

static void syncing(int fd)
{
	TRY(fsync(fd));
	TRY(fdatasync(fd));
	TRY(syncfs(fd));
	TRY(sync_file_range(fd, 0, 10, SYNC_FILE_RANGE_WRITE));
	TRY(sync_file_range(fd, 0, 10, 64));
	TRY(sync_file_range(fd, -1, 10, 0));
	SHOW("fadvise", syscall(SYS_fadvise64, fd, 0, 10, POSIX_FADV_WILLNEED));
	SHOW("fadvise bad", syscall(SYS_fadvise64, fd, 0, 10, 99));
	SHOW("fadvise negative offset", syscall(SYS_fadvise64, fd, -10, 0, POSIX_FADV_DONTNEED));
	SHOW("fadvise negative length", syscall(SYS_fadvise64, fd, 0, -10, POSIX_FADV_DONTNEED));
	SHOW("readahead negative offset", readahead(fd, -10, 10));
	SHOW("readahead too long", readahead(fd, 0, -1));
	TRY(readahead(fd, 0, 10));
	TRY(fsync(99));
}

int main(void)
{
	int fd = MUST(open("f", O_CREAT | O_TRUNC | O_RDWR, 0600));

	plain(fd);
	vectors(fd);
	positions(fd);
	sizes(fd);
	copying(fd);
	limit(fd);
	syncing(fd);
	return 0;
}
