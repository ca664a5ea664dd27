/* mmap(2) of files: every refusal, and the views that must agree. */
#include "report.h"

#include <fcntl.h>
#include <sys/mman.h>

#define MAP(length, prot, flags, fd, offset)                                               \
	({                                                                                 \
		errno = 0;                                                                 \
		void *map_ = mmap(NULL, length, prot, flags, fd, offset);                  \
		printf("%s %s %s %s %s: %s\n", #length, #prot, #flags, #fd, #offset,       \
		       map_ == MAP_FAILED ? strerrorname_np(errno) : "ok");                \
		map_;                                                                      \
	})

static int rw, ro, wo, dir, path, zero, null, pipe_fd;

static void open_all(void)
{
	int ends[2];

	rw = MUST(open("file", O_RDWR | O_CREAT, 0644));
	MUST(ftruncate(rw, 8192));
	ro = MUST(open("file", O_RDONLY));
	wo = MUST(open("file", O_WRONLY));
	dir = MUST(open(".", O_RDONLY));
	path = MUST(open("file", O_PATH));
	zero = MUST(open("/dev/zero", O_RDWR));
	null = MUST(open("/dev/null", O_RDWR));
	MUST(pipe(ends));
	pipe_fd = ends[0];
}

static void arguments(void)
{
	MAP(0, PROT_READ, MAP_SHARED, rw, 0);
	MAP(-1UL, PROT_READ, MAP_SHARED, rw, 0);
	MAP(1UL << 46, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, rw, 0);
	MAP(4096, PROT_READ, MAP_SHARED, rw, 1);
	MAP(4096, PROT_READ, MAP_SHARED, rw, 0x7ffffffffffff000);
	MAP(4096, PROT_READ, MAP_SHARED, rw, -4096);
	MAP(8192, PROT_READ, MAP_SHARED, rw, -4096);
	MAP(4096, PROT_READ, 0, rw, 0);
	MAP(4096, PROT_READ, MAP_SHARED_VALIDATE, rw, 0);
	MAP(4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, rw, 0);
	MAP(4096, PROT_READ, MAP_SHARED_VALIDATE | 0x200000, rw, 0);
	MAP(4096, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, rw, 0);
	MAP(4096, PROT_READ, MAP_PRIVATE | MAP_HUGETLB, rw, 0);
	MAP(4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, rw, 0);
}

static void descriptors(void)
{
	MAP(4096, PROT_READ, MAP_SHARED, wo, 0);
	MAP(4096, PROT_WRITE, MAP_PRIVATE, wo, 0);
	MAP(4096, PROT_WRITE, MAP_SHARED, ro, 0);
	MAP(4096, PROT_WRITE, MAP_PRIVATE, ro, 0);
	MAP(4096, PROT_READ, MAP_SHARED, dir, 0);
	MAP(4096, PROT_READ, MAP_SHARED, path, 0);
	MAP(4096, PROT_READ, MAP_SHARED, pipe_fd, 0);
	MAP(4096, PROT_READ, MAP_SHARED, 77, 0);
	MAP(4096, PROT_READ, MAP_SHARED, -1, 0);
	MAP(4096, PROT_READ, MAP_PRIVATE, zero, 0);
	MAP(4096, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
	MAP(4096, PROT_READ, MAP_PRIVATE, null, 0);
}

/* A mapping, another descriptor's mapping, and read and write show one file. */
static void views(void)
{
	char *readable = MAP(4096, PROT_READ, MAP_SHARED, ro, 0);
	char *writable = MAP(4096, PROT_READ | PROT_WRITE, MAP_SHARED, rw, 0);
	char buf[8] = "";

	TRY(mprotect(readable, 4096, PROT_READ | PROT_WRITE));
	strcpy(writable, "mapped");
	TRY(pread(ro, buf, 7, 0));
	printf("%s, %s\n", buf, readable);
	TRY(pwrite(rw, "writes", 7, 0));
	printf("%s, %s\n", writable, readable);
}

/* What a number means changes; mappings made before stay. */
static void numbers(void)
{
	char *before = MAP(4096, PROT_READ, MAP_SHARED, rw, 0), *after;

	MUST(dup2(zero, rw));
	after = MAP(4096, PROT_READ, MAP_PRIVATE, rw, 0);
	printf("before [%s], after [%s]\n", before, after);
	MUST(close(rw));
	MAP(4096, PROT_READ, MAP_PRIVATE, rw, 0);
	rw = MUST(open("file", O_RDWR));
	after = MAP(4096, PROT_READ, MAP_PRIVATE, rw, 0);
	printf("again [%s]\n", after);
}

int main(void)
{
	open_all();
	arguments();
	descriptors();
	views();
	numbers();
	return 0;
}
