/*
 * The golden trace of the data path: readahead, mappings, exec, O_DIRECT, copy_file_range, and when
 * a writeback cache tells what. Its arguments: trace.h. What would vary from run to run on Linux is
 * avoided here: each step waits for what it has begun, and faults are one page at a time.
 *
 * F25 F27 F50 F51 F81 F84 F85 F89 F90 F91 F93 F103 F140 F141 F143
 */
#include "tree.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define PAGE 4096
#define BIG  (256 * PAGE)

static char *const buf = (char[2 * BIG]){0};

/* A program that exits with 0, as one page. */
static const unsigned char program[PAGE] = {
	0x7f, 'E', 'L', 'F', 2, 1, 1, [16] = 2, [18] = 62, [20] = 1, [24] = 0x78, [26] = 0x40, [32] = 64,
	[52] = 64, [54] = 56, [56] = 1, [64] = 1, [68] = 5, [82] = 0x40, [90] = 0x40, [97] = 1, [105] = 1,
	[113] = 0x10, [120] = 0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05};

/* --- small words for the steps -------------------------------------------------------------- */

static int open_(const char *name, int flags)
{
	int fd = open(name, flags, 0644);

	if (fd < 0)
		tell("  ! %s: %s", name, strerrorname_np(errno));
	return fd;
}

#define TELL(call)                                                                                 \
	({                                                                                         \
		long r_ = (call);                                                                  \
		r_ < 0 ? tell("  = %s", strerrorname_np(errno)) : tell("  = %ld", r_);             \
	})

static char *map(int fd, int prot, int flags, size_t pages)
{
	char *at = mmap(NULL, pages * PAGE, prot, flags, fd, 0);

	if (at == MAP_FAILED) {
		tell("  ! mmap: %s", strerrorname_np(errno));
		_exit(7);
	}
	madvise(at, pages * PAGE, MADV_RANDOM); /* a fault is of one page */
	return at;
}

static void touch(const char *at, unsigned page)
{
	(void)*(const volatile char *)(at + (size_t)page * PAGE);
}

static void store(char *at, unsigned page, char what)
{
	*(volatile char *)(at + (size_t)page * PAGE + 10) = what;
}

/* --- readahead ------------------------------------------------------------------------------ */

static void sequential(void)
{
	char name[40];
	int fd;

	step("open the big file"); fd = open_("big", O_RDONLY);
	for (int i = 0; i < 24; i++) {
		snprintf(name, sizeof(name), "read page %d", i);
		step(name); read(fd, buf, PAGE);
	}
	step("close"); close(fd);
	step("open again"); fd = open_("big", O_RDONLY);
	for (int i = 0; i < 6; i++) {
		step("read 16 pages"); read(fd, buf, 16 * PAGE);
	}
	step("close"); close(fd);
	step("open again"); fd = open_("big", O_RDONLY);
	step("read 10000 bytes"); read(fd, buf, 10000);
	step("and again"); read(fd, buf, 10000);
	step("and again"); read(fd, buf, 10000);
	step("read all the rest"); TELL(read(fd, buf, 2 * BIG));
	step("close"); close(fd);
}

static void scattered(void)
{
	int fd;

	step("open for scattered reads"); fd = open_("big", O_RDONLY);
	step("pread of page 100"); pread(fd, buf, PAGE, 100 * PAGE);
	step("pread of page 50"); pread(fd, buf, PAGE, 50 * PAGE);
	step("pread of page 51"); pread(fd, buf, PAGE, 51 * PAGE);
	step("pread of page 52"); pread(fd, buf, PAGE, 52 * PAGE);
	step("pread of 2 pages in part"); pread(fd, buf, 5000, 200 * PAGE + 3000);
	step("pread of page 50 again"); pread(fd, buf, PAGE, 50 * PAGE);
	step("pread over what is cached"); pread(fd, buf, 8 * PAGE, 98 * PAGE);
	step("pread of the last page"); TELL(pread(fd, buf, 2 * PAGE, 255 * PAGE));
	step("pread behind the end"); TELL(pread(fd, buf, PAGE, BIG + PAGE));
	step("close"); close(fd);
	step("open for random reads"); fd = open_("big", O_RDONLY); posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	step("pread of page 0"); pread(fd, buf, PAGE, 0);
	step("pread of page 1"); pread(fd, buf, PAGE, PAGE);
	step("pread of 5 pages"); pread(fd, buf, 5 * PAGE, 10 * PAGE);
	step("close"); close(fd);
	step("open for readahead(2)"); fd = open_("big", O_RDONLY);
	step("readahead of 8 pages"); readahead(fd, 40 * PAGE, 8 * PAGE);
	step("read of one of them"); pread(fd, buf, PAGE, 41 * PAGE);
	step("WILLNEED of 40 pages"); posix_fadvise(fd, 60 * PAGE, 40 * PAGE, POSIX_FADV_WILLNEED);
	step("DONTNEED of 10 of them"); posix_fadvise(fd, 60 * PAGE, 10 * PAGE, POSIX_FADV_DONTNEED);
	step("read of the first of them"); pread(fd, buf, PAGE, 60 * PAGE);
	step("read of the last of them"); pread(fd, buf, PAGE, 99 * PAGE);
	step("close"); close(fd);
	step("open for SEQUENTIAL"); fd = open_("big", O_RDONLY); posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	step("read of page 0"); read(fd, buf, PAGE);
	step("read of page 1"); read(fd, buf, PAGE);
	step("close"); close(fd);
	step("open what stays cached"); fd = open_("keep", O_RDONLY); read(fd, buf, PAGE); close(fd);
	step("and again"); fd = open_("keep", O_RDONLY); read(fd, buf, PAGE);
	step("DONTNEED of all"); posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	step("read again"); pread(fd, buf, PAGE, 0); close(fd);
}

/* --- mappings ------------------------------------------------------------------------------- */

/* Page by page into the cache: what is touched after that is there. */
static int open_loaded(const char *name, int flags, unsigned pages)
{
	int fd = open_(name, flags);

	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	for (unsigned i = 0; i < pages; i++)
		pread(fd, buf, PAGE, (off_t)i * PAGE);
	return fd;
}

/* The mapping and the descriptor are the last that the file has. */
static void unmap_and_close(char *at, unsigned pages, int fd)
{
	munmap(at, (size_t)pages * PAGE);
	close(fd);
	released(1);
}

static void read_mappings(void)
{
	int fd;
	char *at, *other;

	step("open for a mapping"); fd = open_loaded("small", O_RDONLY, 4);
	step("map it private"); at = map(fd, PROT_READ, MAP_PRIVATE, 4);
	step("touch page 1"); touch(at, 1);
	step("munmap"); munmap(at, 4 * PAGE);
	step("close"); close(fd); released(1);
	step("open, map shared, close"); fd = open_loaded("small", O_RDONLY, 4);
	at = map(fd, PROT_READ, MAP_SHARED, 4); close(fd);
	step("touch page 2"); touch(at, 2);
	step("munmap one page of it"); munmap(at, PAGE);
	step("munmap the rest"); munmap(at + PAGE, 3 * PAGE); released(1);
	step("map of a writable file"); fd = open_loaded("small", O_RDWR, 4);
	at = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE, 4);
	step("a private write"); store(at, 0, 'p');
	step("msync of it"); TELL(msync(at, 4 * PAGE, MS_SYNC));
	step("munmap and close"); unmap_and_close(at, 4, fd);
	step("MAP_POPULATE"); fd = open_("small", O_RDONLY); at = map(fd, PROT_READ, MAP_SHARED | MAP_POPULATE, 4);
	step("msync of what cannot be written"); TELL(msync(at, 4 * PAGE, MS_SYNC));
	step("munmap and close"); unmap_and_close(at, 4, fd);
	step("open and map twice"); fd = open_loaded("small", O_RDONLY, 4); at = map(fd, PROT_READ, MAP_SHARED, 4);
	other = map(fd, PROT_READ, MAP_PRIVATE, 4); close(fd);
	step("open and map once more"); fd = open_loaded("small", O_RDONLY, 4);
	unmap_and_close(map(fd, PROT_READ, MAP_SHARED, 4), 4, fd);
	step("munmap of one"); munmap(at, 4 * PAGE);
	step("munmap of the other"); munmap(other, 4 * PAGE); released(1);
	step("a mapping that a child has, too"); fd = open_loaded("keep", O_RDONLY, 4);
	at = map(fd, PROT_READ, MAP_SHARED, 4); close(fd);
	if (fork() == 0) {
		touch(at, 1);
		munmap(at, 4 * PAGE);
		_exit(0);
	}
	wait(NULL);
	step("munmap of the parent's"); munmap(at, 4 * PAGE); released(1);
	step("open again, cached"); fd = open_("keep", O_RDONLY); pread(fd, buf, PAGE, 0); close(fd);
}

static void written_mappings(void)
{
	int fd, other;
	char *at;
	pid_t pid;

	step("open for a written mapping"); fd = open_loaded("w", O_RDWR, 8);
	step("map it shared"); at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 8);
	step("store into page 0"); store(at, 0, '1');
	step("msync async"); msync(at, 8 * PAGE, MS_ASYNC);
	step("msync"); TELL(msync(at, 8 * PAGE, MS_SYNC));
	step("msync of what is clean"); TELL(msync(at, 8 * PAGE, MS_SYNC));
	step("store into pages 2 and 5"); store(at, 2, '2'); store(at, 5, '3');
	step("fsync"); fsync(fd);
	step("store into page 1"); store(at, 1, '4');
	step("read of it"); pread(fd, buf, PAGE, PAGE); tell("  %c", buf[10]);
	step("write beside it"); pwrite(fd, "w", 1, PAGE + 100);
	step("fdatasync"); fdatasync(fd);
	step("store into page 3"); store(at, 3, '5');
	step("open and close another"); other = open_("w", O_RDONLY); close(other);
	step("munmap and close"); unmap_and_close(at, 8, fd);
	step("two stores"); fd = open_loaded("w", O_RDWR, 8); at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 8);
	store(at, 4, '6'); store(at, 5, '7');
	step("munmap while it is open"); munmap(at, 8 * PAGE);
	step("apart: close of it"); close(fd); released(1);
	step("map and close, store, munmap"); fd = open_loaded("w", O_RDWR, 8);
	at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 8); close(fd);
	step("store into page 6"); store(at, 6, '7');
	step("msync"); TELL(msync(at, 8 * PAGE, MS_SYNC));
	step("store into page 7"); store(at, 7, '8');
	step("munmap"); munmap(at, 8 * PAGE); released(1);
	step("a process with a mapping"); pid = fork();
	if (pid == 0) {
		fd = open_loaded("w", O_RDWR, 8);
		store(map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 8), 0, '9');
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	released(1);
	step("read after its end"); fd = open_("w", O_RDONLY); pread(fd, buf, 10, 10); tell("  %c", buf[0]); close(fd);
	step("truncate under a mapping"); fd = open_loaded("w", O_RDWR, 8); at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 8);
	store(at, 7, 'a'); store(at, 0, 'b'); ftruncate(fd, 2 * PAGE + 100);
	step("munmap and close"); unmap_and_close(at, 8, fd);
	step("grow it again"); truncate("w", 8 * PAGE);
	step("a writable mapping by mprotect"); fd = open_loaded("w", O_RDWR, 8); at = map(fd, PROT_READ, MAP_SHARED, 8);
	mprotect(at, 8 * PAGE, PROT_READ | PROT_WRITE); store(at, 0, 'c');
	step("unmapped and closed"); unmap_and_close(at, 8, fd);
}

/*
 * Not equal: Linux reads around each fault, the sandbox reads a file of this size when it is mapped
 * (docs/architecture.md). The READs of these steps are left out where the texts are compared.
 */
static void faults(void)
{
	int fd;
	char *at;

	step("apart: map single pages"); fd = open_("small", O_RDONLY); at = map(fd, PROT_READ, MAP_SHARED, 4);
	step("apart: touch page 1"); touch(at, 1);
	step("apart: touch page 3"); touch(at, 3);
	step("apart: munmap and close"); unmap_and_close(at, 4, fd);
	step("apart: map with readahead"); fd = open_("big", O_RDONLY); at = map(fd, PROT_READ, MAP_SHARED, 256);
	madvise(at, BIG, MADV_NORMAL);
	step("apart: touch page 0"); touch(at, 0);
	step("apart: touch page 100"); touch(at, 100);
	step("apart: touch page 101"); touch(at, 101);
	step("apart: touch page 255"); touch(at, 255);
	step("apart: munmap and close"); unmap_and_close(at, 256, fd);
	step("apart: map with SEQUENTIAL"); fd = open_("big", O_RDONLY); at = map(fd, PROT_READ, MAP_SHARED, 256);
	madvise(at, BIG, MADV_SEQUENTIAL);
	step("apart: touch page 0"); touch(at, 0);
	step("apart: touch page 1"); touch(at, 1);
	step("apart: MADV_WILLNEED"); madvise(at + 200 * PAGE, 8 * PAGE, MADV_WILLNEED);
	step("apart: MADV_POPULATE_READ"); madvise(at + 128 * PAGE, 4 * PAGE, MADV_POPULATE_READ);
	step("apart: munmap and close"); unmap_and_close(at, 256, fd);
	step("apart: store into a page"); fd = open_("w", O_RDWR); at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 8);
	store(at, 3, 'f');
	step("fsync"); fsync(fd);
	step("munmap and close"); unmap_and_close(at, 8, fd);
}

/* --- exec ------------------------------------------------------------------------------------ */

/* RELEASEs: of the program and of its script. */
static void run(const char *name, unsigned files)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl(name, name, NULL);
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	if (files)
		released(files);
	tell("  = %d", WEXITSTATUS(status));
}

static void programs(void)
{
	step("exec"); run("./prog", 1);
	step("exec again"); run("./prog", 1);
	step("exec of a script"); run("./script", 2);
	step("exec of what is none"); chmod("small", 0755); run("./small", 1);
	step("exec with no right"); run("./big", 0);
}

/* --- O_DIRECT -------------------------------------------------------------------------------- */

static void direct(void)
{
	char *at = aligned_alloc(PAGE, BIG);
	int fd, other;

	memset(at, 'd', BIG);
	step("open O_DIRECT"); fd = open_("d", O_RDWR | O_DIRECT);
	step("read of a page"); TELL(pread(fd, at, PAGE, 0));
	step("read of it again"); TELL(pread(fd, at, PAGE, 0));
	step("read of 10000 bytes at 100"); TELL(pread(fd, at, 10000, 100));
	step("read over the end"); TELL(pread(fd, at, 3 * PAGE, 15 * PAGE));
	step("read behind the end"); TELL(pread(fd, at, PAGE, 20 * PAGE));
	step("write of a page"); TELL(pwrite(fd, at, PAGE, PAGE));
	step("write of 100 bytes"); TELL(pwrite(fd, at, 100, 50));
	step("write over the end"); TELL(pwrite(fd, at, 2 * PAGE, 15 * PAGE));
	step("write behind the end"); TELL(pwrite(fd, at, PAGE, 20 * PAGE));
	step("stat"); fstat(fd, &(struct stat){0});
	step("a large write"); TELL(pwrite(fd, at, 300000, 0));
	step("a large write that extends"); TELL(pwrite(fd, at, 300000, 100000));
	step("a large read"); TELL(pread(fd, at, 300000, 0));
	step("a large read over the end"); TELL(pread(fd, at, 300000, 300000));
	step("close"); close(fd);
	step("append"); fd = open_("d", O_WRONLY | O_APPEND | O_DIRECT); TELL(write(fd, at, PAGE)); close(fd);
	step("cached reads"); other = open_("d", O_RDONLY); posix_fadvise(other, 0, 0, POSIX_FADV_RANDOM);
	pread(other, buf, 4 * PAGE, 0);
	step("a direct write under them"); fd = open_("d", O_RDWR | O_DIRECT); TELL(pwrite(fd, at, PAGE, PAGE));
	step("cached reads again"); pread(other, buf, 4 * PAGE, 0);
	step("a direct read of them"); TELL(pread(fd, at, PAGE, 0));
	step("close both"); close(fd); close(other);
	step("O_DIRECT after a cached write"); fd = open_("d", O_RDWR); pwrite(fd, "cached", 6, 3 * PAGE);
	step("now by fcntl"); fcntl(fd, F_SETFL, O_DIRECT);
	step("a direct read of it"); TELL(pread(fd, at, PAGE, 3 * PAGE));
	step("O_SYNC too"); close(fd); fd = open_("d", O_RDWR | O_DIRECT | O_SYNC); TELL(pwrite(fd, at, PAGE, 0));
	step("O_DSYNC and cached"); close(fd); fd = open_("d", O_RDWR | O_DSYNC); TELL(pwrite(fd, at, 10, 0));
	step("close"); close(fd);
	step("FOPEN_DIRECT_IO"); fd = open_("direct", O_RDWR); TELL(pread(fd, at, 5000, 100));
	step("write"); TELL(pwrite(fd, at, 5000, 100));
	step("write nothing"); TELL(pwrite(fd, at, 0, 100));
	step("fstat"); fstat(fd, &(struct stat){0});
	step("read nothing"); TELL(pread(fd, at, 0, 100));
	step("fstat again"); fstat(fd, &(struct stat){0});
	step("a large write"); TELL(pwrite(fd, at, 300000, 0));
	step("a large read"); TELL(pread(fd, at, 300000, 0));
	step("read behind the end"); TELL(pread(fd, at, 10, 400000));
	step("a shared mapping of it"); TELL(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	step("fstat"); fstat(fd, &(struct stat){0});
	step("close"); close(fd);
	free(at);
}

/* --- copies ---------------------------------------------------------------------------------- */

static void copies(void)
{
	int from, to;

	step("open two"); from = open_("small", O_RDONLY); to = open_("copy", O_RDWR | O_CREAT | O_TRUNC);
	step("copy_file_range"); TELL(copy_file_range(from, &(off_t){0}, to, &(off_t){0}, 2 * PAGE, 0));
	step("stat of the copy"); fstat(to, &(struct stat){0});
	step("copy over the end"); TELL(copy_file_range(from, &(off_t){3 * PAGE}, to, &(off_t){PAGE}, 4 * PAGE, 0));
	step("copy from behind the end"); TELL(copy_file_range(from, &(off_t){9 * PAGE}, to, &(off_t){0}, PAGE, 0));
	step("cached read of the copy"); pread(to, buf, PAGE, 0);
	step("copy onto what is cached"); TELL(copy_file_range(from, &(off_t){100}, to, &(off_t){0}, 100, 0));
	step("cached read of the copy again"); pread(to, buf, PAGE, 0);
	step("write, and copy that"); pwrite(to, "dirty", 5, 10);
	TELL(copy_file_range(to, &(off_t){0}, to, &(off_t){8 * PAGE}, PAGE, 0));
	step("copy by sendfile"); TELL(syscall(SYS_sendfile, to, from, &(off_t){0}, PAGE));
	step("close both"); close(from); close(to);
}

/* --- when what is ours gets told -------------------------------------------------------------- */

static void cached_writes(void)
{
	struct iovec none = {buf, 0};
	int fd, other;

	step("create"); fd = open_("c", O_RDWR | O_CREAT);
	step("write"); write(fd, "hello", 5);
	step("fstat"); fstat(fd, &(struct stat){0});
	step("fsync"); fsync(fd);
	step("fsync of what is clean"); fsync(fd);
	step("write behind a gap"); pwrite(fd, "x", 1, 5 * PAGE);
	step("write a whole page"); pwrite(fd, buf, PAGE, 2 * PAGE);
	step("write next to it"); pwrite(fd, buf, PAGE, 3 * PAGE);
	step("fdatasync"); fdatasync(fd);
	step("sync_file_range of a write"); pwrite(fd, "y", 1, PAGE); sync_file_range(fd, 0, 0, 7);
	step("fchmod after a write"); pwrite(fd, "z", 1, 0); fchmod(fd, 0600);
	step("ftruncate after a write"); pwrite(fd, "z", 1, 0); ftruncate(fd, 100);
	step("ftruncate to the same"); ftruncate(fd, 100);
	step("fallocate after a write"); pwrite(fd, "z", 1, 0); fallocate(fd, 0, 0, 3 * PAGE);
	step("a hole after a write"); pwrite(fd, "z", 1, 0); fallocate(fd, 3, PAGE, PAGE);
	step("SEEK_END after a write"); pwrite(fd, "z", 1, 3 * PAGE); TELL(lseek(fd, 0, SEEK_END));
	step("close"); close(fd);
	step("truncate"); truncate("c", 50);
	step("stat"); stat("c", &(struct stat){0});
	step("write and close"); fd = open_("c", O_WRONLY); write(fd, "abc", 3); close(fd);
	step("write, dup, close one"); fd = open_("c", O_WRONLY); write(fd, "abc", 3); close(dup(fd));
	step("close the other"); close(fd);
	step("append"); fd = open_("c", O_WRONLY | O_APPEND); write(fd, "abc", 3);
	step("close"); close(fd);
	step("open the old one"); fd = open_("old", O_RDWR);
	step("read nothing"); TELL(pread(fd, buf, 0, 0));
	step("read nothing behind the end"); TELL(pread(fd, buf, 0, 1000 * PAGE));
	step("write nothing"); TELL(pwrite(fd, buf, 0, 0));
	step("an empty vector"); TELL(writev(fd, &none, 1));
	step("write in the middle"); pwrite(fd, "m", 1, PAGE + 7);
	step("apart: write over two pages"); pwrite(fd, "mmmm", 4, 3 * PAGE - 2);
	step("apart: read of the first"); pread(fd, buf, 10, PAGE);
	step("syncfs"); syncfs(fd);
	step("close"); close(fd);
	step("O_TRUNC"); fd = open_("c", O_WRONLY | O_TRUNC); write(fd, "new", 3);
	step("close"); close(fd);
	step("O_TRUNC of what is dirty"); fd = open_("c", O_WRONLY); write(fd, "old", 3); other = open_("c", O_WRONLY | O_TRUNC);
	step("close both"); close(fd); close(other);
	step("read after a truncation"); fd = open_("old", O_RDWR); pread(fd, buf, PAGE, 0); ftruncate(fd, 3 * PAGE); pread(fd, buf, PAGE, 0);
	step("make it short"); ftruncate(fd, 20);
	step("overwrite all of it"); pwrite(fd, buf, 30, 0);
	step("close"); close(fd);
	step("write, and read it back"); fd = open_("c", O_RDWR); pwrite(fd, "0123456789", 10, 0);
	step("apart: read it back"); pread(fd, buf, 10, 0);
	step("close"); close(fd);
	step("utimes after a write"); fd = open_("c", O_WRONLY); write(fd, "u", 1);
	futimens(fd, (struct timespec[2]){{5, 0}, {6, 0}});
	step("close"); close(fd);
	step("many pages"); fd = open_("c", O_WRONLY); pwrite(fd, buf, 40 * PAGE, 0);
	step("fsync"); fsync(fd);
	step("close"); close(fd);
}

static void names_of_dirty(void)
{
	char value[10];
	int fd;

	step("rename of what is dirty"); fd = open_("c", O_RDWR); pwrite(fd, "1", 1, 0); rename("c", "c2");
	step("link of it"); pwrite(fd, "2", 1, 0); link("c2", "c3");
	step("unlink of the link"); pwrite(fd, "3", 1, 0); unlink("c3");
	step("setxattr"); pwrite(fd, "4", 1, 0); fsetxattr(fd, "user.a", "1", 1, 0);
	step("getxattr"); fgetxattr(fd, "user.a", value, 10);
	step("removexattr"); fremovexattr(fd, "user.a");
	step("rename over another"); rename("c2", "old");
	step("unlink"); unlink("old");
	step("close of what has no name"); close(fd);
	step("exchange of two"); renameat2(AT_FDCWD, "small", AT_FDCWD, "w", RENAME_EXCHANGE);
	step("stat of both"); stat("small", &(struct stat){0}); stat("w", &(struct stat){0});
	step("rename of what is clean"); rename("copy", "copy2");
	step("link of it"); link("copy2", "copy3");
	step("unlink of the link"); unlink("copy3");
	step("setxattr"); setxattr("copy2", "user.a", "1", 1, 0);
	step("chmod"); chmod("copy2", 0600);
}

static void client(const char *mnt)
{
	umask(022);
	step("chdir");
	if (chdir(mnt))
		_exit(6);
	sequential();
	scattered();
	read_mappings();
	written_mappings();
	faults();
	programs();
	direct();
	copies();
	cached_writes();
	names_of_dirty();
	step("end"); chdir("/");
	_exit(0);
}

static struct node *file(const char *name, unsigned mode, const void *data, size_t size)
{
	struct node *n = &nodes[make(1, name, S_IFREG | mode)];

	resize(n, size);
	if (data)
		memcpy(n->data, data, size);
	else
		memset(n->data, 'a', size);
	return n;
}

int main(int argc, char **argv)
{
	file("big", 0644, NULL, BIG);
	file("small", 0644, NULL, 4 * PAGE);
	file("w", 0644, NULL, 8 * PAGE);
	file("d", 0644, NULL, 16 * PAGE);
	file("old", 0644, NULL, 6 * PAGE);
	file("prog", 0755, program, sizeof(program));
	file("keep", 0644, NULL, 4 * PAGE)->open_flags = FOPEN_KEEP_CACHE;
	file("direct", 0644, NULL, 4 * PAGE)->open_flags = FOPEN_DIRECT_IO;
	file("script", 0755, "#!./prog\n", 9);
	return trace_run(&(struct trace){31, "", note, serve, NULL, client}, argc, argv);
}
