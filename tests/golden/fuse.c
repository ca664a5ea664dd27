/*
 * One FUSE daemon on the raw protocol and one client of it, both fixed: prints each request that
 * the kernel made of the client's steps. Run on Linux and in the sandbox, the texts must be equal.
 *
 *	fuse MOUNT-POINT FLAGS SECONDS	flags of the INIT reply; validity of entries and attributes
 *
 * The daemon is alone with its thread and looks at /dev/fuse before it takes the client's word that
 * a step is over, so that what is asynchronous (RELEASE, FORGET) is written down in its step.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NODES 256
#define ROOM  300000

static struct node {
	unsigned parent, mode, nlink, uid, gid;
	size_t size;
	char name[32], target[32];
	char *data;
	struct node *same; /* hard link: another name of that node */
} nodes[NODES];
static unsigned nr_nodes = 2, valid;
static int dev;

static const char *const names[] = {
	[1] = "LOOKUP", "FORGET", "GETATTR", "SETATTR", "READLINK", "SYMLINK", "?7", "MKNOD", "MKDIR",
	"UNLINK", "RMDIR", "RENAME", "LINK", "OPEN", "READ", "WRITE", "STATFS", "RELEASE", "?19",
	"FSYNC", "SETXATTR", "GETXATTR", "LISTXATTR", "REMOVEXATTR", "FLUSH", "INIT", "OPENDIR",
	"READDIR", "RELEASEDIR", "FSYNCDIR", "GETLK", "SETLK", "SETLKW", "ACCESS", "CREATE",
	"INTERRUPT", "BMAP", "DESTROY", "IOCTL", "POLL", "NOTIFY_REPLY", "BATCH_FORGET", "FALLOCATE",
	"READDIRPLUS", "RENAME2", "LSEEK", "COPY_FILE_RANGE", "SETUPMAPPING", "REMOVEMAPPING", "SYNCFS",
	"TMPFILE", "STATX", "COPY_FILE_RANGE_64"};

/* --- the daemon --------------------------------------------------------------------------- */

static struct fuse_in_header *in;
static char *body;

static void reply(int error, const void *data, size_t len)
{
	static char buf[ROOM + 1000];
	struct fuse_out_header out = {sizeof(out) + len, error, in->unique};

	memcpy(buf, &out, sizeof(out));
	memcpy(buf + sizeof(out), data, len);
	if (write(dev, buf, sizeof(out) + len) < 0 && errno != ENOENT)
		printf("  ! the reply was refused: %s\n", strerrorname_np(errno));
}

static struct fuse_attr attr_of(unsigned id)
{
	struct node *n = &nodes[id];
	struct fuse_attr a = {.ino = id, .mode = n->mode, .nlink = n->nlink, .size = n->size,
			      .uid = n->uid, .gid = n->gid, .blksize = 4096,
			      .blocks = (n->size + 511) / 512, .mtime = 1000, .ctime = 1000, .atime = 1000};
	return a;
}

static struct fuse_entry_out entry_of(unsigned id)
{
	struct fuse_entry_out e = {.nodeid = id, .generation = 1, .entry_valid = valid,
				   .attr_valid = valid, .attr = attr_of(id)};
	return e;
}

/* The names of hard links point to the node whose number the kernel knows. */
static unsigned real(unsigned id)
{
	return nodes[id].same ? (unsigned)(nodes[id].same - nodes) : id;
}

static unsigned find(unsigned parent, const char *name)
{
	for (unsigned i = 2; i < nr_nodes; i++)
		if (nodes[i].parent == parent && strcmp(nodes[i].name, name) == 0)
			return i;
	return 0;
}

static unsigned make(unsigned parent, const char *name, unsigned mode)
{
	struct node *n = &nodes[nr_nodes];

	if (nr_nodes == NODES)
		exit(3);
	n->parent = parent;
	n->mode = mode;
	n->nlink = S_ISDIR(mode) ? 2 : 1;
	snprintf(n->name, sizeof(n->name), "%s", name);
	return nr_nodes++;
}

static void reply_entry(unsigned id)
{
	struct fuse_entry_out e = entry_of(id);

	reply(0, &e, sizeof(e));
}

static void reply_attr(unsigned id)
{
	struct fuse_attr_out out = {.attr_valid = valid, .attr = attr_of(id)};

	reply(0, &out, sizeof(out));
}

static void resize(struct node *n, size_t size)
{
	if (!n->data)
		n->data = calloc(1, ROOM);
	if (size > ROOM)
		exit(4);
	if (size < n->size)
		memset(n->data + size, 0, n->size - size);
	n->size = size;
}

static void list(unsigned dir, int plus)
{
	const struct fuse_read_in *r = (void *)body;
	static char buf[ROOM];
	size_t len = 0;
	unsigned i = r->offset < 2 ? 2 : r->offset;

	memset(buf, 0, sizeof(buf));
	for (; i < nr_nodes; i++) {
		size_t name = strlen(nodes[i].name), head = plus ? sizeof(struct fuse_entry_out) : 0;
		struct fuse_dirent *d = (void *)(buf + len + head);

		if (nodes[i].parent != dir)
			continue;
		if (len + head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name) > r->size)
			break;
		if (plus) {
			struct fuse_entry_out e = entry_of(real(i));

			memcpy(buf + len, &e, sizeof(e));
		}
		d->ino = real(i);
		d->off = i + 1;
		d->namelen = name;
		d->type = nodes[real(i)].mode >> 12;
		memcpy(d->name, nodes[i].name, name);
		len += head + FUSE_DIRENT_SIZE(d);
	}
	reply(0, buf, len);
}

static void rename_node(unsigned newdir, const char *from, const char *to)
{
	unsigned id = find(in->nodeid, from), over = find(newdir, to);

	if (over)
		nodes[over].parent = 0;
	nodes[id].parent = newdir;
	snprintf(nodes[id].name, sizeof(nodes[id].name), "%s", to);
	reply(0, NULL, 0);
}

/* What of the request shall be equal; not pid, fh and lock owners, which are numbers of chance. */
static void note(void)
{
	printf("  %s %llu", names[in->opcode], (unsigned long long)in->nodeid);
	switch (in->opcode) {
	case FUSE_LOOKUP: case FUSE_UNLINK: case FUSE_RMDIR: case FUSE_REMOVEXATTR:
		printf(" %s", body);
		break;
	case FUSE_FORGET:
		printf(" nlookup=%llu", (unsigned long long)((struct fuse_forget_in *)body)->nlookup);
		break;
	case FUSE_GETATTR:
		printf(" flags=%#x", ((struct fuse_getattr_in *)body)->getattr_flags);
		break;
	case FUSE_SETATTR: {
		struct fuse_setattr_in *s = (void *)body;

		printf(" valid=%#x mode=%o size=%llu uid=%u gid=%u", s->valid, s->mode,
		       (unsigned long long)s->size, s->uid, s->gid);
		break;
	}
	case FUSE_MKDIR:
		printf(" mode=%o umask=%o %s", ((struct fuse_mkdir_in *)body)->mode,
		       ((struct fuse_mkdir_in *)body)->umask, body + sizeof(struct fuse_mkdir_in));
		break;
	case FUSE_MKNOD:
		printf(" mode=%o rdev=%#x umask=%o %s", ((struct fuse_mknod_in *)body)->mode,
		       ((struct fuse_mknod_in *)body)->rdev, ((struct fuse_mknod_in *)body)->umask,
		       body + sizeof(struct fuse_mknod_in));
		break;
	case FUSE_SYMLINK:
		printf(" %s %s", body, body + strlen(body) + 1);
		break;
	case FUSE_LINK:
		printf(" old=%llu %s", (unsigned long long)((struct fuse_link_in *)body)->oldnodeid,
		       body + sizeof(struct fuse_link_in));
		break;
	case FUSE_RENAME:
		printf(" newdir=%llu %s %s", (unsigned long long)((struct fuse_rename_in *)body)->newdir,
		       body + 8, body + 8 + strlen(body + 8) + 1);
		break;
	case FUSE_RENAME2:
		printf(" newdir=%llu flags=%u %s %s",
		       (unsigned long long)((struct fuse_rename2_in *)body)->newdir,
		       ((struct fuse_rename2_in *)body)->flags, body + 16, body + 16 + strlen(body + 16) + 1);
		break;
	case FUSE_OPEN: case FUSE_OPENDIR:
		printf(" flags=%#o", ((struct fuse_open_in *)body)->flags);
		break;
	case FUSE_CREATE:
		printf(" flags=%#o mode=%o umask=%o %s", ((struct fuse_create_in *)body)->flags,
		       ((struct fuse_create_in *)body)->mode, ((struct fuse_create_in *)body)->umask,
		       body + sizeof(struct fuse_create_in));
		break;
	case FUSE_READ: {
		struct fuse_read_in *r = (void *)body;

		printf(" offset=%llu size=%u read_flags=%u flags=%#o", (unsigned long long)r->offset,
		       r->size, r->read_flags, r->flags);
		break;
	}
	case FUSE_READDIR: case FUSE_READDIRPLUS:
		printf(" offset=%llu", (unsigned long long)((struct fuse_read_in *)body)->offset);
		break;
	case FUSE_WRITE: {
		struct fuse_write_in *w = (void *)body;

		printf(" offset=%llu size=%u write_flags=%u flags=%#o", (unsigned long long)w->offset,
		       w->size, w->write_flags, w->flags);
		break;
	}
	case FUSE_RELEASE: case FUSE_RELEASEDIR:
		printf(" flags=%#o release_flags=%u", ((struct fuse_release_in *)body)->flags,
		       ((struct fuse_release_in *)body)->release_flags);
		break;
	case FUSE_FSYNC: case FUSE_FSYNCDIR:
		printf(" fsync_flags=%u", ((struct fuse_fsync_in *)body)->fsync_flags);
		break;
	case FUSE_GETXATTR:
		printf(" size=%u %s", ((struct fuse_getxattr_in *)body)->size, body + 8);
		break;
	case FUSE_LISTXATTR:
		printf(" size=%u", ((struct fuse_getxattr_in *)body)->size);
		break;
	case FUSE_SETXATTR:
		printf(" size=%u %s", ((struct fuse_setxattr_in *)body)->size, body + 8);
		break;
	case FUSE_ACCESS:
		printf(" mask=%u", ((struct fuse_access_in *)body)->mask);
		break;
	case FUSE_FALLOCATE:
		printf(" mode=%u length=%llu", ((struct fuse_fallocate_in *)body)->mode,
		       (unsigned long long)((struct fuse_fallocate_in *)body)->length);
		break;
	case FUSE_SETLK: case FUSE_SETLKW: case FUSE_GETLK: {
		struct fuse_lk_in *l = (void *)body;

		printf(" type=%u %llu-%llu lk_flags=%u", l->lk.type, (unsigned long long)l->lk.start,
		       (unsigned long long)l->lk.end, l->lk_flags);
		break;
	}
	case FUSE_LSEEK:
		printf(" whence=%u", ((struct fuse_lseek_in *)body)->whence);
		break;
	default:
		break;
	}
	printf(" by=%u:%u\n", in->uid, in->gid);
}

static void serve(unsigned flags)
{
	unsigned node = in->nodeid < NODES ? in->nodeid : 1, id;
	struct node *n = &nodes[node];

	switch (in->opcode) {
	case FUSE_INIT: {
		struct fuse_init_out out = {.major = 7, .minor = 31, .flags = flags,
					    .max_readahead = 131072, .max_write = 131072};

		reply(0, &out, sizeof(out));
		return;
	}
	case FUSE_LOOKUP:
		id = find(node, body);
		if (id)
			reply_entry(real(id));
		else
			reply(-ENOENT, NULL, 0);
		return;
	case FUSE_FORGET: case FUSE_BATCH_FORGET:
		return;
	case FUSE_GETATTR:
		reply_attr(node);
		return;
	case FUSE_SETATTR: {
		struct fuse_setattr_in *s = (void *)body;

		if (s->valid & FATTR_MODE)
			n->mode = (n->mode & S_IFMT) | (s->mode & 07777);
		if (s->valid & FATTR_SIZE)
			resize(n, s->size);
		if (s->valid & FATTR_UID)
			n->uid = s->uid;
		reply_attr(node);
		return;
	}
	case FUSE_READLINK:
		reply(0, n->target, strlen(n->target));
		return;
	case FUSE_SYMLINK:
		id = make(node, body, S_IFLNK | 0777);
		snprintf(nodes[id].target, 32, "%s", body + strlen(body) + 1);
		reply_entry(id);
		return;
	case FUSE_MKNOD:
		reply_entry(make(node, body + sizeof(struct fuse_mknod_in),
				 ((struct fuse_mknod_in *)body)->mode));
		return;
	case FUSE_MKDIR:
		reply_entry(make(node, body + sizeof(struct fuse_mkdir_in),
				 S_IFDIR | ((struct fuse_mkdir_in *)body)->mode));
		return;
	case FUSE_LINK:
		id = make(node, body + 8, S_IFREG);
		nodes[id].same = &nodes[((struct fuse_link_in *)body)->oldnodeid];
		nodes[id].same->nlink++;
		reply_entry(real(id));
		return;
	case FUSE_UNLINK: case FUSE_RMDIR:
		id = find(node, body);
		nodes[id].parent = 0;
		nodes[real(id)].nlink--;
		reply(0, NULL, 0);
		return;
	case FUSE_RENAME:
		rename_node(((struct fuse_rename_in *)body)->newdir, body + 8,
			    body + 8 + strlen(body + 8) + 1);
		return;
	case FUSE_RENAME2:
		rename_node(((struct fuse_rename2_in *)body)->newdir, body + 16,
			    body + 16 + strlen(body + 16) + 1);
		return;
	case FUSE_OPEN: case FUSE_OPENDIR: {
		struct fuse_open_out out = {.fh = 7};

		if (in->opcode == FUSE_OPEN && (((struct fuse_open_in *)body)->flags & O_TRUNC))
			resize(n, 0);
		reply(0, &out, sizeof(out));
		return;
	}
	case FUSE_CREATE: {
		struct { struct fuse_entry_out e; struct fuse_open_out o; } out = {.o.fh = 7};

		out.e = entry_of(make(node, body + sizeof(struct fuse_create_in),
				      ((struct fuse_create_in *)body)->mode));
		reply(0, &out, sizeof(out));
		return;
	}
	case FUSE_READ: {
		struct fuse_read_in *r = (void *)body;
		size_t len = r->offset >= n->size ? 0 : n->size - r->offset;

		reply(0, n->data + r->offset, len < r->size ? len : r->size);
		return;
	}
	case FUSE_WRITE: {
		struct fuse_write_in *w = (void *)body;
		struct fuse_write_out out = {.size = w->size};

		if (w->offset + w->size > n->size || !n->data)
			resize(n, w->offset + w->size > n->size ? w->offset + w->size : n->size);
		memcpy(n->data + w->offset, body + sizeof(*w), w->size);
		reply(0, &out, sizeof(out));
		return;
	}
	case FUSE_STATFS: {
		struct fuse_statfs_out out = {.st = {.blocks = 100, .bsize = 4096, .namelen = 255}};

		reply(0, &out, sizeof(out));
		return;
	}
	case FUSE_READDIR: case FUSE_READDIRPLUS:
		list(node, in->opcode == FUSE_READDIRPLUS);
		return;
	case FUSE_GETXATTR:
		reply(-ENODATA, NULL, 0);
		return;
	case FUSE_FALLOCATE:
		resize(n, ((struct fuse_fallocate_in *)body)->length);
		reply(0, NULL, 0);
		return;
	case FUSE_RELEASE: case FUSE_RELEASEDIR: case FUSE_FSYNC: case FUSE_FSYNCDIR: case FUSE_FLUSH:
	case FUSE_ACCESS: case FUSE_SETXATTR: case FUSE_REMOVEXATTR: case FUSE_SETLK: case FUSE_SETLKW:
		reply(0, NULL, 0);
		return;
	default:
		reply(-ENOSYS, NULL, 0);
	}
}

/* --- the client --------------------------------------------------------------------------- */

#define COLD	"stat of a path that nobody has seen"
#define MAPPING "a mapping that is written"

static int to_daemon, from_daemon;

static void step(const char *name)
{
	char text[64] = {0};

	usleep(20000); /* what is asynchronous gets under way */
	snprintf(text, sizeof(text), "%s", name);
	if (write(to_daemon, text, sizeof(text)) != sizeof(text) || read(from_daemon, text, 1) != 1)
		_exit(5);
}

static void put(const char *name, int flags, const char *text)
{
	int fd = open(name, flags, 0666);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("  ! %s: %s\n", name, strerrorname_np(errno));
	close(fd);
}

static void get(const char *name)
{
	char buf[10000];
	int fd = open(name, O_RDONLY);

	while (read(fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
}

static void directory(void)
{
	char buf[32768], name[32];
	int fd;

	step("many files"); mkdir("many", 0777);
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "many/file-%02d", i);
		mknod(name, S_IFREG | 0644, 0);
	}
	step("list of many files"); fd = open("many", O_RDONLY | O_DIRECTORY);
	while (syscall(217, fd, buf, 4096) > 0)
		;
	step("again from the start"); lseek(fd, 0, SEEK_SET);
	while (syscall(217, fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
}

static void rarer(void)
{
	char list[100];
	struct stat st;
	int fd;

	step("O_TMPFILE"); fd = open(".", O_TMPFILE | O_RDWR, 0600);
	step("poll"); fd = open("big", O_RDWR); poll(&(struct pollfd){fd, POLLIN | POLLOUT}, 1, 0);
	step("ioctl"); ioctl(fd, 0x5678, NULL); close(fd);
	step("listxattr"); listxattr("big", list, sizeof(list));
	step("O_SYNC"); fd = open("big", O_WRONLY | O_SYNC); write(fd, "s", 1); close(fd);
	step("another file"); put("other", O_WRONLY | O_CREAT, "text\n");
	step("truncate to more"); truncate("other", 10000);
	step("stat of it"); stat("other", &st);
	step("punch a hole"); fd = open("other", O_RDWR); fallocate(fd, 3, 100, 200);
	step("SEEK_HOLE"); lseek(fd, 0, SEEK_HOLE); close(fd);
}

/* A program of 64-bit Linux that does no more than exit(0): header, one segment, code. */
static const unsigned char program[] = {
	0x7f, 'E', 'L', 'F', 2, 1, 1, [16] = 2, [18] = 62, [20] = 1,
	[24] = 0x78, [26] = 0x40, [32] = 64, [52] = 64, [54] = 56, [56] = 1,
	[64] = 1, [68] = 5, [82] = 0x40, [90] = 0x40, [96] = 0x81, [104] = 0x81, [113] = 0x10,
	[120] = 0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05};

static void run(const char *name)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		execl(name, name, NULL);
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	if (status)
		printf("  ! %s: %#x\n", name, status);
}

static void map_and_write(const char *name)
{
	int fd = open(name, O_RDWR);
	char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	at[5] = 'm';
	msync(at, 4096, MS_SYNC);
	munmap(at, 4096);
	close(fd);
}

static void programs_and_mappings(void)
{
	int fd;

	step("a program"); fd = open("prog", O_WRONLY | O_CREAT, 0777);
	write(fd, program, sizeof(program)); close(fd);
	step("exec"); run("./prog");
	step("a script"); put("script", O_WRONLY | O_CREAT, "#!/bin/true\n"); chmod("script", 0755);
	step("exec of a script"); run("./script");
	step(MAPPING); map_and_write("other");
}

static void whole_file_system(void)
{
	struct stat st;
	int fd;

	step(COLD); stat("cold/file", &st);
	step("syncfs"); fd = open(".", O_RDONLY | O_DIRECTORY); syncfs(fd); close(fd);
}

/* Y01-Y18 */
static void client(const char *mnt)
{
	char buf[70000];
	struct stat st;
	struct statfs fs;
	int fd;

	umask(022);
	step("stat of the root"); stat(mnt, &st);
	step("chdir"); if (chdir(mnt)) _exit(6);
	step("a missing name"); stat("no", &st);
	step("a missing name again"); stat("no", &st);
	step("mkdir"); mkdir("dir", 0777);
	step("stat of it"); stat("dir", &st);
	step("create and write"); put("f", O_WRONLY | O_CREAT | O_TRUNC, "hello\n");
	step("stat after a write"); stat("f", &st);
	step("read"); get("f");
	step("read again"); get("f");
	step("append"); put("f", O_WRONLY | O_APPEND, "more\n");
	step("truncate at open"); put("f", O_WRONLY | O_CREAT | O_TRUNC, "x");
	step("O_EXCL of what is there"); fd = open("f", O_WRONLY | O_CREAT | O_EXCL, 0666);
	step("O_EXCL of what is not"); fd = open("g", O_WRONLY | O_CREAT | O_EXCL, 0600); close(fd);
	step("dup and close"); fd = open("f", O_RDONLY); close(dup(fd)); close(fd);
	step("chmod"); chmod("f", 0640);
	step("chown"); chown("f", 0, 0);
	step("truncate"); truncate("f", 3);
	step("ftruncate"); fd = open("f", O_RDWR); ftruncate(fd, 5); close(fd);
	step("utimes"); utimes("f", (struct timeval[2]){{5, 0}, {6, 0}});
	step("utimes now"); utimes("f", NULL);
	step("fstat"); fd = open("f", O_RDONLY); fstat(fd, &st); close(fd);
	step("access"); access("f", R_OK);
	step("symlink"); symlink("f", "sym");
	step("readlink"); readlink("sym", buf, sizeof(buf));
	step("through a symlink"); stat("sym", &st);
	step("link"); link("f", "hard");
	step("stat of the link"); stat("hard", &st);
	step("mknod"); mknod("fifo", S_IFIFO | 0666, 0);
	step("rename"); rename("g", "dir/g");
	step("rename over"); rename("dir/g", "hard");
	step("renameat2 NOREPLACE"); renameat2(AT_FDCWD, "hard", AT_FDCWD, "new", RENAME_NOREPLACE);
	step("unlink"); unlink("new");
	step("unlink of what is open"); fd = open("f", O_RDWR); unlink("f"); write(fd, "y", 1); close(fd);
	step("opendir and list"); fd = open(".", O_RDONLY | O_DIRECTORY);
	while (syscall(217, fd, buf, 4096) > 0)
		;
	close(fd);
	step("statfs"); statfs(".", &fs);
	step("a long write"); memset(buf, 'b', sizeof(buf));
	fd = open("big", O_RDWR | O_CREAT, 0666); write(fd, buf, 70000);
	step("pwrite within"); pwrite(fd, buf, 10, 5000);
	step("pread of what was written"); pread(fd, buf, 10, 5000);
	step("pread at the end"); pread(fd, buf, 10, 70000);
	step("fsync"); fsync(fd);
	step("fdatasync"); fdatasync(fd);
	step("fallocate"); fallocate(fd, 0, 0, 80000);
	step("SEEK_END"); lseek(fd, 0, SEEK_END);
	step("SEEK_DATA without LSEEK"); lseek(fd, 0, SEEK_DATA);
	step("SEEK_DATA again"); lseek(fd, 0, SEEK_DATA);
	step("flock"); flock(fd, LOCK_EX);
	step("fcntl lock"); fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_start = 3, .l_len = 4});
	step("setxattr"); setxattr("big", "user.a", "1", 1, 0);
	step("getxattr"); getxattr("big", "user.a", buf, 100);
	step("removexattr"); removexattr("big", "user.a");
	step("close"); close(fd);
	step("rmdir"); rmdir("dir");
	directory();
	rarer();
	whole_file_system();
	if (valid) /* else headers are read in other pieces, and a mapping asks for the size */
		programs_and_mappings();
	step("lazy umount with a file open"); fd = open("big", O_RDONLY); umount2(".", MNT_DETACH);
	step("fstat after it"); fstat(fd, &st);
	step("close after it"); close(fd);
	step("end"); chdir("/");
	_exit(0);
}

int main(int argc, char **argv)
{
	static char buf[200000];
	int ask[2], ack[2], running = 1, gone = 0, held = 0, status;
	unsigned flags;
	char data[128];
	pid_t pid;

	if (argc != 4)
		return 2;
	flags = strtoul(argv[2], NULL, 0);
	valid = atoi(argv[3]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(50);
	nodes[1].mode = S_IFDIR | 0755;
	nodes[1].nlink = 2;
	dev = open("/dev/fuse", O_RDWR | O_NONBLOCK);
	snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0,group_id=0", dev);
	if (dev < 0 || mount("golden", argv[1], "fuse", 0, data) || pipe(ask) || pipe(ack)) {
		perror("golden");
		return 1;
	}
	pid = fork();
	if (pid == 0) {
		close(dev);
		to_daemon = ask[1];
		from_daemon = ack[0];
		client(argv[1]);
	}
	close(ask[1]);
	while (running) {
		/* The end of a mapping may be noticed late: no further step before its RELEASE. */
		struct pollfd fds[2] = {{gone ? -1 : dev, POLLIN}, {held ? -1 : ask[0], POLLIN}};
		ssize_t n;

		poll(fds, 2, -1);
		n = gone ? 0 : read(dev, buf, sizeof(buf));
		if (n > 0) {
			in = (void *)buf;
			body = buf + sizeof(*in);
			buf[n] = 0;
			note();
			if (in->opcode == FUSE_RELEASE)
				held = 0;
			serve(flags);
			continue;
		}
		if (n < 0 && errno != EAGAIN) { /* the mount has gone; the client goes on */
			printf("  the device says %s\n", strerrorname_np(errno));
			gone = 1;
		}
		if (fds[1].revents) {
			running = read(ask[0], buf, 64) == 64;
			if (running)
				printf("%s\n", buf);
			if (running && strcmp(buf, COLD) == 0)
				make(make(1, "cold", S_IFDIR | 0755), "file", S_IFREG | 0644);
			held = running && strcmp(buf, MAPPING) == 0;
			write(ack[1], "", 1);
		}
	}
	waitpid(pid, &status, 0);
	umount2(argv[1], MNT_DETACH);
	return WEXITSTATUS(status);
}
