/*
 * The daemon of a golden trace that is a small file system: every opcode of use, with all that a
 * request says but pid, fh and lock owners, which are numbers of chance.
 */
#ifndef TREE_H
#define TREE_H

#include "trace.h"

#define NODES 256
#define ROOM  2000000 /* bytes of a file */

static struct node {
	unsigned parent, mode, nlink, uid, gid, open_flags;
	size_t size;
	char name[32], target[32];
	char *data;
	struct node *same; /* hard link: another name of that node */
} nodes[NODES] = {[1] = {.mode = S_IFDIR | 0755, .nlink = 2}};
static unsigned nr_nodes = 2;

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
	static char buf[70000];
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

/* Within the source: the kernel has looked at its size. */
static void copy_range(struct node *from)
{
	const struct fuse_copy_file_range_in *c = (void *)body;
	struct node *to = &nodes[c->nodeid_out];
	size_t len = c->off_in >= from->size ? 0 : from->size - c->off_in;
	struct fuse_write_out out = {.size = len < c->len ? len : c->len};

	if (c->off_out + out.size > to->size || !to->data)
		resize(to, c->off_out + out.size > to->size ? c->off_out + out.size : to->size);
	memmove(to->data + c->off_out, from->data + c->off_in, out.size);
	reply(0, &out, sizeof(out));
}

static void rename_node(unsigned newdir, const char *from, const char *to, int exchange)
{
	unsigned id = find(in->nodeid, from), over = find(newdir, to);

	if (over)
		nodes[over].parent = 0;
	nodes[id].parent = newdir;
	snprintf(nodes[id].name, sizeof(nodes[id].name), "%s", to);
	if (over && exchange) {
		nodes[over].parent = in->nodeid;
		snprintf(nodes[over].name, sizeof(nodes[over].name), "%s", from);
	}
	reply(0, NULL, 0);
}

/* What of the request shall be equal; not pid, fh and lock owners, which are numbers of chance. */
static void note(void)
{
	note_opcode();
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
	case FUSE_COPY_FILE_RANGE: case 53 /* COPY_FILE_RANGE_64 */: {
		struct fuse_copy_file_range_in *c = (void *)body;

		printf(" %llu to %llu at %llu len=%llu", (unsigned long long)c->off_in,
		       (unsigned long long)c->nodeid_out, (unsigned long long)c->off_out,
		       (unsigned long long)c->len);
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

static void serve(void)
{
	unsigned node = in->nodeid < NODES ? in->nodeid : 1, id;
	struct node *n = &nodes[node];

	switch (in->opcode) {
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
			    body + 8 + strlen(body + 8) + 1, 0);
		return;
	case FUSE_RENAME2:
		rename_node(((struct fuse_rename2_in *)body)->newdir, body + 16,
			    body + 16 + strlen(body + 16) + 1,
			    ((struct fuse_rename2_in *)body)->flags & 2 /* EXCHANGE */);
		return;
	case FUSE_OPEN: case FUSE_OPENDIR: {
		struct fuse_open_out out = {.fh = 7, .open_flags = n->open_flags};

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
	case FUSE_COPY_FILE_RANGE:
		copy_range(n);
		return;
	case FUSE_RELEASE: case FUSE_RELEASEDIR: case FUSE_FSYNC: case FUSE_FSYNCDIR: case FUSE_FLUSH:
	case FUSE_ACCESS: case FUSE_SETXATTR: case FUSE_REMOVEXATTR: case FUSE_SETLK: case FUSE_SETLKW:
		reply(0, NULL, 0);
		return;
	default:
		reply(-ENOSYS, NULL, 0);
	}
}

#endif
