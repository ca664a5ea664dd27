/* link(2), symlink(2), unlink(2), rename(2), mknod(2). */
#include "report.h"

#include <fcntl.h>
#include <linux/fs.h>

static void make(const char *name)
{
	int fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0644));

	MUST(write(fd, name, strlen(name)));
	close(fd);
}

static void show_file(const char *name)
{
	char buf[32] = "";
	int fd = open(name, O_RDONLY);

	if (fd < 0) {
		printf("%s: %s\n", name, strerrorname_np(errno));
		return;
	}
	read(fd, buf, sizeof(buf) - 1);
	printf("%s holds %s\n", name, buf);
	close(fd);
}

static long links_of(const char *name)
{
	struct stat st;

	return lstat(name, &st) ? -1 : (long)st.st_nlink;
}

static void hard_links(void)
{
	int fd;

	make("a");
	MUST(mkdir("d", 0755));
	TRY(link("a", "b"));
	SHOW("links", links_of("a"));
	TRY(link("a", "b"));
	TRY(link("no", "c"));
	TRY(link("a", "no/c"));
	TRY(link("d", "e"));
	TRY(link("a", "e/"));
	TRY(link("a/", "e"));
	TRY(link("", "e"));
	MUST(symlink("a", "s"));
	TRY(link("s", "s2"));
	SHOW("links of the symlink", links_of("s"));
	SHOW("links of the file", links_of("a"));
	SHOW("linkat follow", linkat(AT_FDCWD, "s", AT_FDCWD, "s3", AT_SYMLINK_FOLLOW));
	SHOW("links of the file", links_of("a"));
	SHOW("linkat bad flag", linkat(AT_FDCWD, "s", AT_FDCWD, "s4", AT_SYMLINK_NOFOLLOW));
	fd = MUST(open("a", O_RDONLY));
	SHOW("linkat of a descriptor", linkat(fd, "", AT_FDCWD, "byfd", AT_EMPTY_PATH));
	show_file("byfd");
	MUST(unlink("byfd"));
	MUST(unlink("a"));
	MUST(unlink("b"));
	MUST(unlink("s3"));
	SHOW("link of an unlinked file", linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH));
	close(fd);
}

static void symbolic(void)
{
	static char longest[4097];

	TRY(symlink("", "e"));
	TRY(symlink("x", ""));
	TRY(symlink("x", "s"));
	TRY(symlink("x", "no/s"));
	TRY(symlink("x", "new/"));
	memset(longest, 'x', 4095);
	SHOW("longest target", symlink(longest, "long"));
	longest[4095] = 'x';
	SHOW("too long a target", symlink(longest, "long2"));
	TRY(unlink("long"));
	char name[16];
	for (int i = 0; i < 42; i++) {
		char target[16];

		snprintf(name, sizeof(name), "c%d", i);
		snprintf(target, sizeof(target), i ? "c%d" : "d", i - 1);
		MUST(symlink(target, name));
	}
	SHOW("40 links", access("c39", F_OK));
	SHOW("41 links", access("c40", F_OK));
}

static void removal(void)
{
	int fd;
	char buf[8] = "";

	TRY(unlink("no"));
	TRY(unlink("d"));
	make("u");
	TRY(unlink("u/"));
	TRY(unlink("u/x"));
	fd = MUST(open("u", O_RDWR));
	TRY(unlink("u"));
	SHOW("read after unlink", read(fd, buf, 8));
	SHOW("write after unlink", write(fd, "x", 1));
	make("u");
	show_file("u");
	close(fd);
	TRY(unlink(""));
	TRY(unlink("."));
	TRY(unlink("d/.."));
}

static void renames(void)
{
	make("one");
	make("two");
	TRY(rename("one", "three"));
	show_file("one");
	show_file("three");
	TRY(rename("three", "two"));
	show_file("two");
	TRY(rename("no", "x"));
	TRY(rename("two", "no/x"));
	TRY(rename("two", "d"));
	TRY(rename("d", "two"));
	MUST(mkdir("d/sub", 0755));
	TRY(rename("d", "d/sub/in"));
	TRY(rename("d/sub", "d"));
	MUST(mkdir("empty", 0755));
	MUST(mkdir("full", 0755));
	make("full/f");
	TRY(rename("empty", "full"));
	TRY(rename("full", "empty"));
	show_file("empty/f");
	TRY(rename("two", "two"));
	MUST(link("two", "two2"));
	TRY(rename("two", "two2"));
	SHOW("both names stay", access("two", F_OK) + access("two2", F_OK));
	TRY(rename("two", "two3/"));
	TRY(rename("two/", "two3"));
	TRY(rename("empty/", "dir3/"));
	TRY(rename(".", "x"));
	TRY(rename("dir3/.", "x"));
	TRY(rename("dir3", ".."));
	TRY(rename("", "x"));
	MUST(symlink("dangling", "sl"));
	TRY(rename("sl", "sl2"));
	SHOW("the link itself moved", links_of("sl2"));
	SHOW("parent entry follows", ({ mkdir("from", 0755); mkdir("from/x", 0755); rename("from/x", "to"); access("to/../from", F_OK); }));
}

static int rename2(const char *a, const char *b, unsigned flags)
{
	return renameat2(AT_FDCWD, a, AT_FDCWD, b, flags);
}

static void renames2(void)
{
	make("p");
	make("q");
	SHOW("noreplace on existing", rename2("p", "q", RENAME_NOREPLACE));
	SHOW("noreplace", rename2("p", "r", RENAME_NOREPLACE));
	show_file("r");
	SHOW("exchange", rename2("r", "q", RENAME_EXCHANGE));
	show_file("q");
	show_file("r");
	SHOW("exchange with missing", rename2("r", "missing", RENAME_EXCHANGE));
	SHOW("exchange file and directory", rename2("r", "d", RENAME_EXCHANGE));
	show_file("d");
	SHOW("is directory now", access("r/sub", F_OK));
	SHOW("exchange with own parent", rename2("r", "r/sub", RENAME_EXCHANGE));
	SHOW("both flags", rename2("p", "q", RENAME_NOREPLACE | RENAME_EXCHANGE));
	SHOW("unknown flag", rename2("p", "q", 64));
}

static void nodes(void)
{
	struct stat st;

	TRY(mknod("n1", S_IFREG | 0640, 0));
	TRY(mknod("n2", 0640, 0));
	MUST(stat("n2", &st));
	printf("mode %o\n", st.st_mode);
	TRY(mknod("n3", S_IFIFO | 0666, 0));
	TRY(mknod("n4", S_IFSOCK | 0666, 0));
	TRY(mknod("n5", S_IFDIR | 0666, 0));
	TRY(mknod("n6", S_IFLNK | 0666, 0));
	TRY(mknod("n1", S_IFREG | 0640, 0));
	TRY(mknod("n7/", S_IFREG | 0640, 0));
	SHOW("open of a socket node", open("n4", O_RDWR));
}

int main(void)
{
	hard_links();
	symbolic();
	removal();
	renames();
	renames2();
	nodes();
	return 0;
}
