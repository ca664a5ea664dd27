/*
 * Random operations on one file against a copy in memory: reads, writes, sizes, mappings, holes,
 * copies, and the file closed and opened again. The first difference ends it, with the operations
 * that led there. Operations that a file system does not have are left out.
 * fsx FILE SEED OPERATIONS [signals]
 */
#include "stress.h"

#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FILE_MAX (600 * 1024)
#define LEN_MAX	 (80 * 1024)
#define LOG_LEN	 200

static const char *path;
static int fd;
static uint32_t seed;
static uint8_t model[FILE_MAX], buf[FILE_MAX];
static long size; /* of the model's file; the model is zero beyond */

static struct entry {
	const char *what;
	long at, len, to;
} oplog[LOG_LEN];
static unsigned long nr_ops;

static void note(const char *what, long at, long len, long to)
{
	oplog[nr_ops++ % LOG_LEN] = (struct entry){ what, at, len, to };
}

static void differs(const char *what, long at)
{
	unsigned long first = nr_ops > LOG_LEN ? nr_ops - LOG_LEN : 0;

	for (unsigned long i = first; i < nr_ops; i++) {
		const struct entry *e = &oplog[i % LOG_LEN];

		dprintf(2, "%5lu %-10s at %ld length %ld to %ld\n", i, e->what, e->at, e->len, e->to);
	}
	die("%s: %s at %ld, size %ld", path, what, at, size);
}

static void check(const char *what, const uint8_t *got, long at, long len)
{
	for (long i = 0; i < len; i++)
		if (got[i] != model[at + i]) {
			dprintf(2, "got %d, wanted %d\n", got[i], model[at + i]);
			differs(what, at + i);
		}
}

/* Whether the operation was done; false: this file system has none such. */
static bool done(const char *what, long result)
{
	if (result >= 0)
		return true;
	if (errno != EOPNOTSUPP && errno != ENODEV && errno != ENOSYS && errno != EXDEV)
		differs(what, -1);
	return false;
}

static void grow_to(long end)
{
	if (end > size)
		size = end;
}

static void fill(uint8_t *to, long len)
{
	uint8_t first = (uint8_t)rnd(&seed);

	for (long i = 0; i < len; i++)
		to[i] = (uint8_t)(first + i * 7 + i / 251);
}

static void read_some(long at, long len)
{
	long want = at >= size ? 0 : at + len > size ? size - at : len;
	long n = pread(fd, buf, (size_t)len, at);

	note("read", at, len, n);
	if (n != want)
		differs("length of a read", at);
	check("read", buf, at, n);
}

static void write_some(long at, long len)
{
	note("write", at, len, 0);
	fill(model + at, len);
	if (pwrite(fd, model + at, (size_t)len, at) != len)
		differs("write", at);
	grow_to(at + len);
}

static void set_size(long to)
{
	note("truncate", size, 0, to);
	if (ftruncate(fd, to))
		differs("truncate", to);
	if (to < size)
		memset(model + to, 0, (size_t)(size - to));
	size = to;
}

/* A mapping of whole pages around the range, which must lie in the file. */
static void map_some(long at, long len, bool writes)
{
	long from = at & ~4095L;
	uint8_t *map;

	if (at >= size)
		return;
	if (at + len > size)
		len = size - at;
	note(writes ? "map write" : "map read", at, len, 0);
	map = mmap(NULL, (size_t)(at + len - from), PROT_READ | (writes ? PROT_WRITE : 0),
		   writes || rnd(&seed) % 2 ? MAP_SHARED : MAP_PRIVATE, fd, from);
	if (!done("mmap", map == MAP_FAILED ? -1 : 0))
		return;
	check("mapping", map + (at - from), at, len);
	if (writes) {
		fill(model + at, len);
		memcpy(map + (at - from), model + at, (size_t)len);
		if (rnd(&seed) % 3 == 0 && msync(map, (size_t)(at + len - from), MS_SYNC))
			differs("msync", at);
	}
	munmap(map, (size_t)(at + len - from));
}

static void fallocate_some(long at, long len)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };
	int mode = modes[rnd(&seed) % 4];

	note("fallocate", at, len, mode);
	if (!done("fallocate", fallocate(fd, mode, at, len)))
		return;
	if (mode & (FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE))
		memset(model + at, 0, (size_t)len);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		grow_to(at + len);
}

static void copy_some(long at, long len, long to)
{
	off_t in = at, out = to;
	long n;

	if (at >= size || (to < at + len && at < to + len))
		return;
	note("copy", at, len, to);
	n = copy_file_range(fd, &in, fd, &out, (size_t)len, 0);
	if (!done("copy_file_range", n))
		return;
	if (n == 0 || n > len || at + n > size)
		differs("length of a copy", n);
	memcpy(model + to, model + at, (size_t)n);
	grow_to(to + n);
}

static void open_again(void)
{
	note("open", 0, 0, 0);
	if (close(fd))
		differs("close", 0);
	fd = open(path, O_RDWR);
	if (fd < 0)
		differs("open", 0);
}

static void one_operation(void)
{
	long at = rnd(&seed) % (FILE_MAX - LEN_MAX), len = 1 + rnd(&seed) % LEN_MAX;
	struct stat st;

	if (rnd(&seed) % 3 == 0)
		len = 1 + len % 200;
	switch (rnd(&seed) % 12) {
	case 0: case 1: read_some(at, len); break;
	case 2: case 3: write_some(at, len); break;
	case 4: set_size(rnd(&seed) % FILE_MAX); break;
	case 5: map_some(at, len, false); break;
	case 6: case 7: map_some(at, len, true); break;
	case 8: fallocate_some(at, len); break;
	case 9: copy_some(at, len, rnd(&seed) % (FILE_MAX - LEN_MAX)); break;
	case 10:
		switch (rnd(&seed) % 4) {
		case 0: open_again(); break;
		case 1: read_some(0, FILE_MAX); break;
		default:
			if (fsync(fd))
				differs("fsync", 0);
		}
		break;
	case 11:
		if (fstat(fd, &st) || st.st_size != size)
			differs("size by fstat", st.st_size);
		break;
	}
}

static void on_signal(int signo)
{
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct itimerval it = { { 0, 3000 }, { 0, 3000 } };
	long ops;

	if (argc < 4)
		die("usage: fsx FILE SEED OPERATIONS [signals]");
	path = argv[1];
	seed = (uint32_t)atoi(argv[2]);
	ops = atol(argv[3]);
	sigaction(SIGALRM, &sa, NULL);
	if (argc > 4)
		setitimer(ITIMER_REAL, &it, NULL);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0);
	while (ops-- > 0)
		one_operation();
	open_again();
	read_some(0, FILE_MAX);
	return 0;
}
