/*
 * Many processes, random operations on one tree. Each has a directory of its own, whose names and
 * sizes it knows exactly, and all share another, where only errors that have a reason may come. At
 * the end every name that a directory lists must be there, with as many links as were found.
 * fstree DIRECTORY SEED PROCESSES OPERATIONS
 */
#include "stress.h"

#include <dirent.h>
#include <sys/stat.h>

#define OWN_NAMES     12
#define PROCESSES_MAX 64

static uint32_t seed;

/* In the shared directory another process may have been faster. */
static void may_fail(const char *what, const char *path, long result)
{
	static const int reasons[] = { ENOENT, EEXIST, ENOTDIR, EISDIR,
				       ENOTEMPTY, EINVAL, ELOOP, EPERM /* link of a directory */ };

	if (result >= 0)
		return;
	for (unsigned i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (errno == reasons[i])
			return;
	die("%s of %s", what, path);
}

static const char *shared_path(void)
{
	static char paths[2][64];
	static int next;
	char *path = paths[next++ % 2];
	unsigned r = rnd(&seed);

	if (r % 3 == 0)
		snprintf(path, 64, "shared/%c", 'a' + r / 3 % 6);
	else
		snprintf(path, 64, "shared/%c/%c", 'a' + r / 3 % 6, 'a' + r / 18 % 6);
	return path;
}

static void use_open_file(const char *path, int fd)
{
	char buf[5000];
	struct stat st;

	memset(buf, 'x', sizeof(buf));
	switch (rnd(&seed) % 5) {
	case 0: may_fail("write", path, write(fd, buf, rnd(&seed) % sizeof(buf))); break;
	case 1: may_fail("read", path, read(fd, buf, sizeof(buf))); break;
	case 2: may_fail("ftruncate", path, ftruncate(fd, rnd(&seed) % 9000)); break;
	case 3: may_fail("fstat", path, fstat(fd, &st)); break;
	case 4: may_fail("fchmod", path, fchmod(fd, 0600 | rnd(&seed) % 64)); break;
	}
	if (close(fd))
		die("close of %s", path);
}

static void list(const char *path)
{
	DIR *dir = opendir(path);

	may_fail("opendir", path, dir ? 0 : -1);
	if (!dir)
		return;
	errno = 0;
	while (readdir(dir))
		;
	may_fail("readdir", path, errno ? -1 : 0);
	closedir(dir);
}

static void shared_operation(void)
{
	const char *path = shared_path();
	char link_text[64];
	struct stat st;
	int fd;

	switch (rnd(&seed) % 12) {
	case 0: case 1: may_fail("mkdir", path, mkdir(path, 0755)); break;
	case 2: may_fail("rmdir", path, rmdir(path)); break;
	case 3: may_fail("unlink", path, unlink(path)); break;
	case 4: may_fail("rename", path, rename(path, shared_path())); break;
	case 5: may_fail("link", path, link(path, shared_path())); break;
	case 6: may_fail("symlink", path, symlink("a/b", path)); break;
	case 7: may_fail("readlink", path, readlink(path, link_text, sizeof(link_text))); break;
	case 8: may_fail("stat", path, stat(path, &st)); break;
	case 9: list(path); break;
	default:
		fd = open(path, O_RDWR | (rnd(&seed) % 2 ? O_CREAT : 0) | (rnd(&seed) % 4 ? 0 : O_TRUNC), 0644);
		may_fail("open", path, fd);
		if (fd >= 0)
			use_open_file(path, fd);
	}
}

/* The process's own directory, which is its working directory's "own.N". */

static long sizes[OWN_NAMES]; /* -1: there is none */
static char own[32];

static const char *own_path(unsigned n)
{
	static char paths[2][64];
	static int next;
	char *path = paths[next++ % 2];

	snprintf(path, 64, "%s/%u", own, n);
	return path;
}

static void own_write(unsigned n)
{
	char byte = (char)('A' + n);
	int fd = open(own_path(n), O_RDWR | O_CREAT | O_APPEND, 0644);

	if (fd < 0 || write(fd, &byte, 1) != 1 || close(fd))
		die("append to %s", own_path(n));
	sizes[n] = sizes[n] < 0 ? 1 : sizes[n] + 1;
}

static void own_check(unsigned n)
{
	struct stat st;

	if (stat(own_path(n), &st)) {
		if (errno != ENOENT || sizes[n] >= 0)
			die("stat of %s, which has %ld bytes", own_path(n), sizes[n]);
	} else if (st.st_size != sizes[n]) {
		die("%s has %ld bytes instead of %ld", own_path(n), (long)st.st_size, sizes[n]);
	}
}

static void own_list(void)
{
	unsigned want = 0, got = 0;
	struct dirent *entry;
	DIR *dir = opendir(own);

	if (!dir)
		die("opendir of %s", own);
	while ((entry = readdir(dir)))
		got |= entry->d_name[0] == '.' ? 0 : 1u << atoi(entry->d_name);
	closedir(dir);
	for (unsigned i = 0; i < OWN_NAMES; i++)
		want |= sizes[i] >= 0 ? 1u << i : 0;
	if (got != want)
		die("%s lists %#x instead of %#x", own, got, want);
}

static void own_operation(void)
{
	unsigned n = rnd(&seed) % OWN_NAMES, to = rnd(&seed) % OWN_NAMES;

	switch (rnd(&seed) % 7) {
	case 0: case 1: own_write(n); break;
	case 2:
		if ((unlink(own_path(n)) == 0) != (sizes[n] >= 0))
			die("unlink of %s, which has %ld bytes", own_path(n), sizes[n]);
		sizes[n] = -1;
		break;
	case 3:
		if ((rename(own_path(n), own_path(to)) == 0) != (sizes[n] >= 0))
			die("rename of %s, which has %ld bytes", own_path(n), sizes[n]);
		if (n != to && sizes[n] >= 0) {
			sizes[to] = sizes[n];
			sizes[n] = -1;
		}
		break;
	case 4: own_list(); break;
	default: own_check(n);
	}
}

static int worker(unsigned n, uint32_t first_seed, long ops)
{
	seed = first_seed * 1000 + n;
	snprintf(own, sizeof(own), "own.%u", n);
	CHECK(mkdir(own, 0755) == 0);
	for (unsigned i = 0; i < OWN_NAMES; i++)
		sizes[i] = -1;
	while (ops-- > 0)
		if (rnd(&seed) % 3)
			shared_operation();
		else
			own_operation();
	own_list();
	for (unsigned i = 0; i < OWN_NAMES; i++)
		own_check(i);
	return 0;
}

/* The tree at rest. */

static struct found {
	ino_t ino;
	unsigned names, nlink;
} found[4096];
static unsigned nr_found;

static void count_link(const char *path, const struct stat *st)
{
	unsigned i = 0;

	while (i < nr_found && found[i].ino != st->st_ino)
		i++;
	CHECK(i < sizeof(found) / sizeof(*found));
	if (i == nr_found)
		found[nr_found++] = (struct found){ st->st_ino, 0, (unsigned)st->st_nlink };
	if (found[i].nlink != st->st_nlink)
		die("%s has %u links, and under another name %u", path, (unsigned)st->st_nlink,
		    found[i].nlink);
	found[i].names++;
}

static void walk(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);
	char child[512];
	struct stat st;

	if (!dir)
		die("opendir of %s", path);
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		if (lstat(child, &st))
			die("lstat of %s, which is listed", child);
		if (entry->d_type != DT_UNKNOWN && entry->d_type != IFTODT(st.st_mode))
			die("%s is listed as %d and is %o", child, entry->d_type, st.st_mode);
		if (S_ISDIR(st.st_mode))
			walk(child);
		else
			count_link(child, &st);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	pid_t pids[PROCESSES_MAX];
	unsigned procs;
	int bad = 0;

	if (argc < 5)
		die("usage: fstree DIRECTORY SEED PROCESSES OPERATIONS");
	if (chdir(argv[1]))
		die("chdir to %s", argv[1]);
	procs = (unsigned)atoi(argv[3]);
	CHECK(procs <= PROCESSES_MAX && mkdir("shared", 0755) == 0);
	for (unsigned i = 0; i < procs; i++)
		if ((pids[i] = fork()) == 0)
			_exit(worker(i, (uint32_t)atoi(argv[2]), atol(argv[4])));
	for (unsigned i = 0; i < procs; i++)
		bad |= await(pids[i]);
	walk(".");
	for (unsigned i = 0; i < nr_found; i++)
		if (found[i].names != found[i].nlink)
			die("inode %lu has %u names and %u links", (unsigned long)found[i].ino,
			    found[i].names, found[i].nlink);
	return bad ? 1 : 0;
}
