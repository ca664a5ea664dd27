/*
 * The golden trace of cached symlinks and listings, ACLs, file handles, chattr(1)'s attributes. What
 * the client's calls returned is part of the text. Its arguments: trace.h.
 *
 * F31 F62 F77 F124 F125 F165 F168 B38
 */
#include "trace.h"

#include <linux/fs.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define NOTIFY_INC_EPOCH 8 /* 7.44 */
#define AT_CONNECTABLE 2 /* 6.13 */

enum { ROOT = 1, FILE_ = 2, LINK = 3, DIR_ = 4, PLAIN = 5, HIDDEN = 9, IN = 10, ER = 11, LEAF = 12, LOST = 13,
       UNLISTED = 14, NODES = 16 };

static struct node {
	const char *name;
	unsigned mode, uid, gid, flags;
	unsigned parent; /* of those that no step walks to */
	char acl[2][200];
	size_t acl_len[2];
} nodes[NODES] = {
	[ROOT] = {"", S_IFDIR | 0755, 0, 0}, [FILE_] = {"f", S_IFREG | 02664, 1000, 2000},
	[LINK] = {"link", S_IFLNK | 0777, 0, 0}, [DIR_] = {"d", S_IFDIR | 0777, 0, 0},
	[PLAIN] = {"plain", S_IFREG | 0666, 0, 0}, [HIDDEN] = {"", S_IFREG | 0644, 0, 0},
	[IN] = {"in", S_IFDIR | 0755, .parent = DIR_}, [ER] = {"er", S_IFDIR | 0755, .parent = IN},
	[LEAF] = {"leaf", S_IFREG | 0644, .parent = ER}, [LOST] = {"lost", S_IFDIR | 0755},
	[UNLISTED] = {"unlisted", S_IFDIR | 0755, .parent = DIR_},
};
static unsigned mtime = 1000;

/* --- the daemon --------------------------------------------------------------------------- */

static void notify(int code, const void *data, size_t len)
{
	char buf[200];
	struct fuse_out_header out = {sizeof(out) + len, code, 0};

	memcpy(buf, &out, sizeof(out));
	memcpy(buf + sizeof(out), data, len);
	printf("  ! notified: %s\n", write(dev, buf, sizeof(out) + len) < 0 ? strerrorname_np(errno) : "0");
}

static struct fuse_attr attr_of(unsigned id)
{
	return (struct fuse_attr){.ino = id, .mode = nodes[id].mode, .nlink = 1, .uid = nodes[id].uid,
				  .gid = nodes[id].gid, .blksize = 4096, .mtime = mtime, .ctime = 1000};
}

static void reply_entry(unsigned id, uint64_t generation)
{
	struct fuse_entry_out e = {.nodeid = id, .generation = generation, .entry_valid = valid,
				   .attr_valid = valid, .attr = attr_of(id)};

	reply(0, &e, sizeof(e));
}

static void look_up(unsigned dir)
{
	if (strcmp(body, ".") == 0 && (dir == DIR_ || (dir >= HIDDEN && dir <= UNLISTED)))
		return reply_entry(dir, 1);
	if (strcmp(body, "..") == 0 && nodes[dir].parent)
		return reply_entry(nodes[dir].parent, 1);
	if (strcmp(body, "..") == 0 && dir == DIR_)
		return reply_entry(ROOT, 0);
	for (unsigned i = IN; i <= LEAF; i++)
		if (dir == nodes[i].parent && strcmp(nodes[i].name, body) == 0)
			return reply_entry(i, 1);
	for (unsigned i = FILE_; i < HIDDEN; i++)
		if (dir == ROOT && nodes[i].name && strcmp(nodes[i].name, body) == 0)
			return reply_entry(i, 1);
	reply(-ENOENT, NULL, 0);
}

static void list(unsigned dir)
{
	uint64_t i = ((struct fuse_read_in *)body)->offset;
	char buf[1000] = {0};
	size_t len = 0;

	for (i = i < FILE_ ? FILE_ : i; i <= LEAF; i++) {
		if (!(dir == ROOT ? i <= PLAIN : nodes[i].parent == dir))
			continue;
		struct fuse_dirent *d = (void *)(buf + len);

		*d = (struct fuse_dirent){i, i + 1, strlen(nodes[i].name), nodes[i].mode >> 12};
		memcpy(d->name, nodes[i].name, d->namelen);
		len += FUSE_DIRENT_SIZE(d);
	}
	reply(0, buf, len);
}

static int acl_kind(const char *name)
{
	return strcmp(name, "system.posix_acl_access") == 0 ? 0 : strcmp(name, "system.posix_acl_default") == 0 ? 1 : -1;
}

static void get_xattr(struct node *n)
{
	struct fuse_getxattr_in *g = (void *)body;
	int kind = acl_kind(body + sizeof(*g));

	if (kind < 0 || !n->acl_len[kind])
		return reply(-ENODATA, NULL, 0);
	reply(0, n->acl[kind], n->acl_len[kind]);
}

static void set_xattr(struct node *n)
{
	struct fuse_setxattr_in *s = (void *)body;
	char *name = body + (init_flags & FUSE_SETXATTR_EXT ? 16 : 8);
	int kind = acl_kind(name);

	if (kind >= 0 && s->size <= sizeof(n->acl[0])) {
		memcpy(n->acl[kind], name + strlen(name) + 1, s->size);
		n->acl_len[kind] = s->size;
	}
	reply(0, NULL, 0);
}

static void do_ioctl(unsigned id)
{
	struct fuse_ioctl_in *i = (void *)body;
	struct { struct fuse_ioctl_out out; char data[64]; } r = {0};
	struct fsxattr *fa = (void *)r.data;

	if (id == PLAIN)
		return reply(-ENOTTY, NULL, 0);
	if (i->cmd == FS_IOC_SETFLAGS)
		memcpy(&nodes[id].flags, body + sizeof(*i), 4);
	else if (i->cmd == FS_IOC_GETFLAGS)
		memcpy(r.data, &nodes[id].flags, 4);
	else if (i->cmd == FS_IOC_FSGETXATTR)
		fa->fsx_xflags = FS_XFLAG_NOATIME, fa->fsx_projid = 77, fa->fsx_extsize = 5;
	reply(0, &r, sizeof(r.out) + i->out_size);
}

static void note(void)
{
	if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET || in->opcode == FUSE_INIT)
		return;
	note_opcode();
	if (in->opcode == FUSE_LOOKUP || in->opcode == FUSE_REMOVEXATTR)
		printf(" %s", body);
	else if (in->opcode == FUSE_SETATTR)
		printf(" valid=%#x mode=%o", ((struct fuse_setattr_in *)body)->valid, ((struct fuse_setattr_in *)body)->mode);
	else if (in->opcode == FUSE_GETXATTR)
		printf(" size=%u %s", ((struct fuse_getxattr_in *)body)->size, body + 8);
	else if (in->opcode == FUSE_SETXATTR && init_flags & FUSE_SETXATTR_EXT)
		printf(" size=%u setxattr_flags=%u %s", ((struct fuse_setxattr_in *)body)->size,
		       ((struct fuse_setxattr_in *)body)->setxattr_flags, body + 16);
	else if (in->opcode == FUSE_SETXATTR)
		printf(" size=%u %s", ((struct fuse_setxattr_in *)body)->size, body + 8);
	else if (in->opcode == FUSE_MKDIR)
		printf(" mode=%o umask=%o", ((struct fuse_mkdir_in *)body)->mode, ((struct fuse_mkdir_in *)body)->umask);
	else if (in->opcode == FUSE_CREATE)
		printf(" mode=%o umask=%o", ((struct fuse_create_in *)body)->mode, ((struct fuse_create_in *)body)->umask);
	else if (in->opcode == FUSE_READDIR)
		printf(" offset=%llu", (unsigned long long)((struct fuse_read_in *)body)->offset);
	else if (in->opcode == FUSE_OPEN || in->opcode == FUSE_OPENDIR)
		printf(" flags=%#o", ((struct fuse_open_in *)body)->flags);
	else if (in->opcode == FUSE_RELEASE || in->opcode == FUSE_RELEASEDIR)
		printf(" flags=%#o", ((struct fuse_release_in *)body)->flags);
	else if (in->opcode == FUSE_IOCTL)
		printf(" fh=%llu flags=%u cmd=%#x in=%u out=%u arg=%s", (unsigned long long)((struct fuse_ioctl_in *)body)->fh,
		       ((struct fuse_ioctl_in *)body)->flags, ((struct fuse_ioctl_in *)body)->cmd,
		       ((struct fuse_ioctl_in *)body)->in_size, ((struct fuse_ioctl_in *)body)->out_size,
		       ((struct fuse_ioctl_in *)body)->arg ? "yes" : "0");
	printf(" by=%u:%u\n", in->uid, in->gid);
}

static void serve(void)
{
	static uint64_t fh;
	unsigned id = in->nodeid < NODES ? in->nodeid : ROOT;

	switch (in->opcode) {
	case FUSE_LOOKUP:
		return look_up(id);
	case FUSE_FORGET: case FUSE_BATCH_FORGET:
		return;
	case FUSE_SETATTR:
		if (((struct fuse_setattr_in *)body)->valid & FATTR_MODE)
			nodes[id].mode = (nodes[id].mode & S_IFMT) | (((struct fuse_setattr_in *)body)->mode & 07777);
		__attribute__((fallthrough));
	case FUSE_GETATTR: {
		struct fuse_attr_out out = {.attr_valid = valid, .attr = attr_of(id)};

		return reply(0, &out, sizeof(out));
	}
	case FUSE_READLINK:
		return reply(0, "f", 1);
	case FUSE_OPEN: case FUSE_OPENDIR: {
		struct fuse_open_out out = {.fh = ++fh % 2 + 7, .open_flags = FOPEN_KEEP_CACHE};

		if (in->opcode == FUSE_OPENDIR)
			out.open_flags |= FOPEN_CACHE_DIR;
		return reply(0, &out, sizeof(out));
	}
	case FUSE_READDIR:
		return list(id);
	case FUSE_GETXATTR:
		return get_xattr(&nodes[id]);
	case FUSE_SETXATTR:
		return set_xattr(&nodes[id]);
	case FUSE_REMOVEXATTR:
		nodes[id].acl_len[0] = nodes[id].acl_len[1] = 0;
		return reply(0, NULL, 0);
	case FUSE_IOCTL:
		return do_ioctl(id);
	case FUSE_MKDIR: case FUSE_CREATE:
		return reply(-EROFS, NULL, 0);
	case FUSE_RELEASE: case FUSE_RELEASEDIR: case FUSE_FLUSH: case FUSE_ACCESS:
		return reply(0, NULL, 0);
	default:
		reply(-ENOSYS, NULL, 0);
	}
}

/* Steps that are the daemon's. */
static void command(const char *text)
{
	if (strncmp(text, "inval ", 6) == 0) {
		struct fuse_notify_inval_inode_out out = {.ino = atoi(text + 6)};

		notify(FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out));
	} else if (strcmp(text, "epoch") == 0) {
		notify(NOTIFY_INC_EPOCH, NULL, 0);
	} else if (strcmp(text, "drop") == 0) {
		struct { struct fuse_notify_inval_entry_out out; char name[4]; } in = {{DIR_, 2}, "in"}, d = {{ROOT, 1}, "d"};

		notify(FUSE_NOTIFY_INVAL_ENTRY, &in, sizeof(in.out) + 3);
		notify(FUSE_NOTIFY_INVAL_ENTRY, &d, sizeof(d.out) + 2);
	} else if (strcmp(text, "mtime") == 0) {
		mtime++;
	}
}

/* --- the client --------------------------------------------------------------------------- */

#define TELL(call)                                                                                 \
	({                                                                                         \
		long r_;                                                                           \
		errno = 0;                                                                         \
		r_ = (call);                                                                       \
		tell("  = %s", r_ < 0 ? strerrorname_np(errno) : r_ ? "more" : "0");               \
		r_;                                                                                \
	})

static void get_all(int fd)
{
	char buf[4096];
	long n, count = 0;

	lseek(fd, 0, SEEK_SET);
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0)
		for (long at = 0; at < n; at += *(unsigned short *)(buf + at + 16))
			count++;
	tell("  = %ld entries", count);
}

static void symlinks(void)
{
	char buf[100];

	step("readlink"); TELL(readlink("link", buf, 100));
	step("readlink again"); TELL(readlink("link", buf, 100));
	step("inval 3");
	step("readlink after its invalidation"); TELL(readlink("link", buf, 100));
}

static void listings(void)
{
	char buf[4096];
	int fd;

	step("list"); fd = open(".", O_RDONLY | O_DIRECTORY); get_all(fd);
	step("list again"); get_all(fd);
	step("list from an entry on"); lseek(fd, 4, SEEK_SET); TELL(syscall(SYS_getdents64, fd, buf, 4096));
	step("list from nowhere"); lseek(fd, 99, SEEK_SET); TELL(syscall(SYS_getdents64, fd, buf, 4096));
	step("another open"); close(fd); fd = open(".", O_RDONLY | O_DIRECTORY); get_all(fd);
	step("inval 1");
	step("after an invalidation"); get_all(fd);
	step("and again"); get_all(fd);
	step("mkdir that fails"); TELL(mkdir("new", 0700));
	step("after it"); get_all(fd);
	step("mtime");
	step("when the mtime may have changed"); get_all(fd);
	step("stat, and list"); fstat(fd, &(struct stat){0}); get_all(fd);
	step("epoch");
	step("in a new epoch"); get_all(fd);
	close(fd);
}

static int set_acl(const char *path, const char *name, unsigned named_perm)
{
	struct { unsigned version; struct posix_acl_xattr_entry e[5]; } acl = {2, {
		{ACL_USER_OBJ, 6, -1}, {ACL_USER, named_perm, 1001}, {ACL_GROUP_OBJ, 4, -1}, {ACL_MASK, 6, -1},
		{ACL_OTHER, 0, -1}}};

	return setxattr(path, name, &acl, sizeof(acl), 0);
}

static void as(unsigned uid, int (*call)(void))
{
	if (fork() == 0) {
		if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
			_exit(1);
		TELL(call());
		_exit(0);
	}
	wait(NULL);
}

static int open_rw(void) { return open("f", O_RDWR); }
static int set_own(void) { return set_acl("f", "system.posix_acl_access", 6); }
static int set_other(void) { return set_acl("plain", "system.posix_acl_access", 6); }
static int set_bad(void) { return setxattr("f", "system.posix_acl_access", "\2\0\0\0\1\0\4", 7, 0); }

static void acls(void)
{
	char buf[300];

	step("the ACL of a file without"); TELL(getxattr("f", "system.posix_acl_access", buf, 300));
	step("once more"); TELL(getxattr("f", "system.posix_acl_access", buf, 300));
	step("set by root"); TELL(set_acl("f", "system.posix_acl_access", 6));
	step("read"); TELL(getxattr("f", "system.posix_acl_access", buf, 300));
	step("read again"); TELL(getxattr("f", "system.posix_acl_access", NULL, 0));
	step("used by the named user"); as(1001, open_rw);
	step("used by somebody else"); as(1002, open_rw);
	step("set by the owner, in a foreign group"); as(1000, set_own);
	step("set by nobody"); as(1003, set_other);
	step("set to nonsense"); TELL(set_bad());
	step("chmod"); TELL(chmod("f", 0660));
	step("used again"); as(1001, open_rw);
	step("stat after its attributes were invalidated"); stat("f", &(struct stat){0});
	step("inval 2");
	step("used after that"); as(1001, open_rw);
	step("default of a file"); TELL(set_acl("f", "system.posix_acl_default", 6));
	step("default of a directory"); TELL(set_acl("d", "system.posix_acl_default", 6));
	step("mkdir in it"); umask(027); TELL(mkdir("d/x", 0777));
	step("create in it"); TELL(open("d/y", O_CREAT | O_WRONLY, 0666));
	step("of a symlink"); TELL(lgetxattr("link", "system.posix_acl_access", buf, 300));
	step("set of a symlink"); TELL(lsetxattr("link", "system.posix_acl_access", "\2\0\0\0", 4, 0));
	step("removed"); TELL(removexattr("f", "system.posix_acl_access"));
	step("read without"); TELL(getxattr("f", "system.posix_acl_access", buf, 300));
}

union handle {
	struct file_handle h;
	struct { unsigned bytes; int type; unsigned words[32]; } w;
};

static void handle_of(const char *path, unsigned room, int flags)
{
	union handle h = {.w.bytes = room};
	int id, n = name_to_handle_at(AT_FDCWD, path, &h.h, &id, flags);

	tell("  = %s bytes=%u", n < 0 ? strerrorname_np(errno) : "0", h.w.bytes);
	if (n == 0)
		tell("  type=%#x %x %x %x", h.w.type, h.w.words[0], h.w.words[1], h.w.words[2]);
	if (n == 0 && h.w.bytes == 24)
		tell("  parent %x %x %x", h.w.words[3], h.w.words[4], h.w.words[5]);
}

static int open_handle_at(int at, unsigned node, unsigned generation, unsigned bytes, int type)
{
	union handle h = {.w = {bytes, type, {0, node, generation}}};

	return open_by_handle_at(at, &h.h, O_RDONLY);
}

static int open_handle(unsigned node, unsigned generation, unsigned bytes, int type)
{
	return open_handle_at(AT_FDCWD, node, generation, bytes, type);
}

static int open_child(int at, unsigned node, unsigned parent, int type)
{
	union handle h = {.w = {24, type, {0, node, 1, 0, parent, parent != ROOT}}};

	return open_by_handle_at(at, &h.h, O_RDONLY);
}

static void tell_path(int fd)
{
	char link[40], target[4096], cwd[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = 0;
	getcwd(cwd, sizeof(cwd));
	tell("  at %s", strncmp(target, cwd, strlen(cwd)) ? target : target + strlen(cwd));
	close(fd);
}

static int open_nothing(void) { return open_by_handle_at(AT_FDCWD, &(union handle){}.h, O_RDONLY); }
static int open_unreadable(void) { return open_by_handle_at(AT_FDCWD, (void *)8, O_RDONLY); }

static void connectable(void)
{
	int fd;

	step("connectable handle"); handle_of("f", 128, AT_CONNECTABLE);
	step("with too little room"); handle_of("f", 12, AT_CONNECTABLE);
	step("of a directory"); handle_of("d", 128, AT_CONNECTABLE);
	step("of the mount point"); handle_of(".", 128, AT_CONNECTABLE);
	step("and as an id"); handle_of("f", 128, AT_CONNECTABLE | 0x200);
	step("of an empty path"); handle_of("", 128, AT_CONNECTABLE | AT_EMPTY_PATH);
	step("opened"); tell_path(TELL(open_child(AT_FDCWD, FILE_, ROOT, 0x10082)));
	step("a known file of another parent"); tell_path(TELL(open_child(AT_FDCWD, FILE_, DIR_, 0x10082)));
	fd = open("d", O_PATH);
	step("by a descriptor that only names"); TELL(open_child(fd, FILE_, ROOT, 0x10082)); close(fd);
	fd = open("d", O_RDONLY);
	step("from below"); TELL(open_child(fd, FILE_, ROOT, 0x10082));
	step("a directory from itself"); tell_path(TELL(open_handle_at(fd, DIR_, 1, 12, 0x30081)));
	step("the same without the flag"); tell_path(TELL(open_child(fd, FILE_, ROOT, 0x82))); close(fd);
	step("a file as a directory"); TELL(open_handle(FILE_, 1, 12, 0x20081));
	step("a directory as a directory"); tell_path(TELL(open_handle(DIR_, 1, 12, 0x30081)));
	step("with other flags"); TELL(open_handle(FILE_, 1, 12, 0x40081));
	step("drop");
	step("a file that is not cached"); fd = TELL(open_handle(LEAF, 1, 12, 0x81)); tell_path(fd);
	step("without its parent"); TELL(open_handle(LEAF, 1, 12, 0x10081));
	step("of another parent"); TELL(open_child(AT_FDCWD, LEAF, DIR_, 0x10082));
	step("drop");
	step("with its parent"); tell_path(TELL(open_child(AT_FDCWD, LEAF, ER, 0x10082)));
	step("again"); tell_path(TELL(open_child(AT_FDCWD, LEAF, ER, 0x10082)));
	step("drop");
	step("a directory that is not cached"); tell_path(TELL(open_handle(ER, 1, 12, 0x81)));
	step("what is in it"); TELL(access("d/in/er/leaf", F_OK));
	step("one without a parent"); TELL(open_handle(LOST, 1, 12, 0x81));
	step("one that its parent does not list"); TELL(open_handle(UNLISTED, 1, 12, 0x81));
	step("no bytes and no right"); as(1000, open_nothing);
	step("no memory and no right"); as(1000, open_unreadable);
	step("no bytes and no descriptor"); TELL(open_by_handle_at(99, &(union handle){}.h, O_RDONLY));
}

static int open_f(void) { return open_handle(FILE_, 1, 12, 0x81); }

static void handles(void)
{
	struct stat st;
	int fd;

	step("handle"); handle_of("f", 128, 0);
	step("of the mount point"); handle_of(".", 12, 0);
	step("with no room"); handle_of("f", 0, 0);
	step("with too little room"); handle_of("f", 8, 0);
	step("with absurd room"); handle_of("f", 129, 0);
	step("with a bad flag"); handle_of("f", 128, 0x4000);
	step("of a symlink"); handle_of("link", 128, 0);
	step("through it"); handle_of("link", 128, AT_SYMLINK_FOLLOW);
	step("as an id"); handle_of("f", 128, 0x200);
	step("opened"); fd = TELL(open_f()); fstat(fd, &st); close(fd);
	step("opened with no right to"); as(1000, open_f);
	step("another generation"); TELL(open_handle(FILE_, 2, 12, 0x81));
	step("a node that is not cached"); fd = TELL(open_handle(HIDDEN, 1, 12, 0x81));
	tell("  ino %d", fd < 0 || fstat(fd, &st) ? -1 : (int)st.st_ino); close(fd);
	step("a node that is not"); TELL(open_handle(NODES - 1, 1, 12, 0x81));
	step("node 0"); TELL(open_handle(0, 1, 12, 0x81));
	step("too short"); TELL(open_handle(FILE_, 1, 8, 0x81));
	step("of no bytes"); TELL(open_handle(FILE_, 1, 0, 0x81));
	step("of too many"); TELL(open_handle(FILE_, 1, 129, 0x81));
	step("of another type"); TELL(open_handle(FILE_, 1, 12, 1));
	step("of a negative type"); TELL(open_handle(FILE_, 1, 12, -1));
	step("a directory"); close(TELL(open_handle(DIR_, 1, 12, 0x81)));
	step("the root"); close(TELL(open_handle(ROOT, 0, 12, 0x81)));
}

static void attrs(void)
{
	struct { unsigned long long xflags; unsigned rest[4]; } fa = {0};
	struct fsxattr x;
	int fd = open("f", O_RDWR), dir = open("d", O_RDONLY), plain = open("plain", O_RDWR), flags = 0;

	step("GETFLAGS"); TELL(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	step("SETFLAGS"); flags = FS_NODUMP_FL; TELL(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	step("GETFLAGS of it"); flags = 0; TELL(ioctl(fd, FS_IOC_GETFLAGS, &flags)); tell("  %#x", flags);
	step("FSGETXATTR"); TELL(ioctl(fd, FS_IOC_FSGETXATTR, &x));
	tell("  %#x %u %u", x.fsx_xflags, x.fsx_extsize, x.fsx_projid);
	step("FSSETXATTR"); x.fsx_extsize = 0; TELL(ioctl(fd, FS_IOC_FSSETXATTR, &x));
	step("of a directory"); TELL(ioctl(dir, FS_IOC_GETFLAGS, &flags));
	step("of who has none"); TELL(ioctl(plain, FS_IOC_GETFLAGS, &flags));
	step("set of who has none"); TELL(ioctl(plain, FS_IOC_SETFLAGS, &flags));
	step("file_getattr"); TELL(syscall(468, AT_FDCWD, "f", &fa, sizeof(fa), 0)); tell("  %#llx", fa.xflags);
	step("file_getattr of who has none"); TELL(syscall(468, AT_FDCWD, "plain", &fa, sizeof(fa), 0));
	step("file_getattr of a symlink"); TELL(syscall(468, AT_FDCWD, "link", &fa, sizeof(fa), AT_SYMLINK_NOFOLLOW));
	step("file_setattr"); fa.xflags = FS_XFLAG_SYNC; TELL(syscall(469, AT_FDCWD, "f", &fa, sizeof(fa), 0));
	step("end"); close(fd); close(dir); close(plain);
}

static void client(const char *mnt)
{
	umask(022);
	step("chdir"); /* INIT is over */
	if (chdir(mnt))
		_exit(6);
	symlinks(); listings(); acls(); handles(); connectable(); attrs();
	step("chdir"); chdir("/");
	_exit(0);
}

int main(int argc, char **argv)
{
	return trace_run(&(struct trace){45, ",allow_other", note, serve, command, client}, argc, argv);
}
