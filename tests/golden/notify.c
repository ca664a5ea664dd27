/*
 * The messages of the daemon's, section 5 of the protocol's rules: what each returns for good and bad
 * input, and what is asked again afterwards.
 *
 * T01-T10, N02, D34, D44, Q40, Q41, W12, W14, F153, Z32, Z34
 */
#include "raw.h"

static int fd, forgets;

/* --- what was sent for a call of a client -------------------------------------------------- */

static const char *const names[] = {
	[1] = "LOOKUP", [3] = "GETATTR", [14] = "OPEN", [15] = "READ", [18] = "RELEASE",
	[25] = "FLUSH", [40] = "POLL", [41] = "NOTIFY_REPLY"};

/* /f is node 5, /d 6, /g 7; all valid for long. */
static void serve_one(void)
{
	static char data[65536];
	unsigned size;

	memset(data, 'D', sizeof(data));
	switch (in->opcode) {
	case FUSE_LOOKUP:
		if (!strcmp(body, "f"))
			put_entry(fd, in->unique, 5, S_IFREG | 0644, 8192, 1000);
		else if (!strcmp(body, "d"))
			put_entry(fd, in->unique, 6, S_IFDIR | 0755, 0, 1000);
		else if (!strcmp(body, "g"))
			put_entry(fd, in->unique, 7, S_IFREG | 0644, 8192, 1000);
		else if (!strcmp(body, "n")) /* a negative entry that is valid */
			put_entry(fd, in->unique, 0, 0, 0, 1000);
		else
			put(fd, in->unique, -ENOENT, NULL, 0);
		break;
	case FUSE_GETATTR:
		put_attr(fd, in->unique, in->nodeid, in->nodeid == 1 || in->nodeid == 6 ? S_IFDIR | 0755
						      : S_IFREG | 0644, 8192, 1000);
		break;
	case FUSE_OPEN:
		put_open(fd, in->unique, 3, FOPEN_KEEP_CACHE);
		break;
	case FUSE_READ:
		size = ((struct fuse_read_in *)body)->size;
		put(fd, in->unique, 0, data, size < 8192 ? size : 8192);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_NOTIFY_REPLY:
		break;
	default:
		put(fd, in->unique, 0, NULL, 0);
	}
}

static void print_forgets(void)
{
	printf("%s\n", forgets ? ", and FORGET" : "");
	forgets = 0;
}

static void name_one(void)
{
	printf(" %s", in->opcode < 42 && names[in->opcode] ? names[in->opcode] : "?");
	if (in->opcode == FUSE_LOOKUP)
		printf("(%s)", body);
	else
		printf("(%llu)", (unsigned long long)in->nodeid);
}

/* The next message; FORGETs, whose place among requests is not fixed, are kept for the line's end. */
static void serve_next(void)
{
	if (get(fd) < 0)
		return;
	if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET)
		forgets++;
	else if (in->opcode != FUSE_RELEASE)
		name_one();
	serve_one();
}

/* Serves until the client is done; prints the requests. */
static void serve(const char *what, struct client c)
{
	struct pollfd p[2] = {{fd, POLLIN}, {c.result, POLLIN}};

	printf("%s:", what);
	while (poll(p, 2, 5000) > 0 && (p[0].revents || !p[1].revents))
		serve_next();
	printf(" -> %s", result(c));
	while (poll(p, 1, 0) > 0 && p[0].revents == POLLIN)
		serve_next();
	print_forgets();
}

/* RELEASE comes after close(2) has returned. */
static void settle(void)
{
	struct pollfd p = {fd, POLLIN};

	while (poll(&p, 1, 30) > 0 && get(fd) > 0)
		serve_one();
}

static long do_read(const char *name)
{
	char data[100];
	int file = open(in_mnt(name), O_RDONLY);
	long n = file < 0 ? -errno : SYS(pread(file, data, sizeof(data), 0));

	close(file);
	return n < 0 ? n : n ? data[0] * 1000 + n : 0;
}

static void stat_shows(const char *what, const char *name)
{
	serve(what, client(do_stat, name));
}

/* --- messages ----------------------------------------------------------------------------- */

static long inval_inode(uint64_t ino, int64_t off, int64_t len)
{
	struct fuse_notify_inval_inode_out out = {ino, off, len};

	return notify(fd, FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out));
}

/* `size` bytes behind the fixed part. */
static long inval_entry(uint64_t parent, const char *name, unsigned namelen, unsigned flags,
			size_t size)
{
	struct {
		struct fuse_notify_inval_entry_out out;
		char name[6000];
	} msg = {{parent, namelen, flags}};

	memcpy(msg.name, name, strlen(name));
	return notify(fd, FUSE_NOTIFY_INVAL_ENTRY, &msg, sizeof(msg.out) + size);
}

static long delete(uint64_t parent, uint64_t child, const char *name)
{
	struct {
		struct fuse_notify_delete_out out;
		char name[200];
	} msg = {{parent, child, (uint32_t)strlen(name)}};

	strcpy(msg.name, name);
	return notify(fd, FUSE_NOTIFY_DELETE, &msg, sizeof(msg.out) + strlen(name) + 1);
}

static long store(uint64_t node, uint64_t offset, unsigned size, size_t have)
{
	struct {
		struct fuse_notify_store_out out;
		char data[9000];
	} msg = {{node, offset, size}};

	memset(msg.data, 'S', sizeof(msg.data));
	return notify(fd, FUSE_NOTIFY_STORE, &msg, sizeof(msg.out) + have);
}

static void retrieve(const char *what, uint64_t node, uint64_t offset, unsigned size)
{
	struct fuse_notify_retrieve_out out = {4711, node, offset, size};
	struct fuse_notify_retrieve_in *r = (void *)body;
	long n = notify(fd, FUSE_NOTIFY_RETRIEVE, &out, sizeof(out));

	printf("%s: %s", what, word(n));
	if (n > 0 && get_op(fd, FUSE_NOTIFY_REPLY) > 0)
		printf(", opcode %u unique %llu node %llu offset %llu size %u, bytes %u %.1s", in->opcode,
		       (unsigned long long)in->unique, (unsigned long long)in->nodeid,
		       (unsigned long long)r->offset, r->size, in->len - 80, (char *)(r + 1));
	puts("");
}

/* A message, its result, and what it made the kernel send at once: FORGETs. */
#define NOTE(what, call)                                                                           \
	do {                                                                                       \
		long n_ = (call);                                                                  \
		struct pollfd p_ = {fd, POLLIN};                                                   \
		printf("%s: %s", what, word(n_));                                                  \
		while (poll(&p_, 1, 0) > 0 && p_.revents == POLLIN)                                \
			serve_next();                                                              \
		print_forgets();                                                                   \
	} while (0)

static void sizes(void)
{
	static const struct {
		const char *name;
		int code;
		size_t size;
	} rows[] = {
		{"POLL", FUSE_NOTIFY_POLL, 8}, {"INVAL_INODE", FUSE_NOTIFY_INVAL_INODE, 24},
		{"INVAL_ENTRY", FUSE_NOTIFY_INVAL_ENTRY, 16}, {"STORE", FUSE_NOTIFY_STORE, 24},
		{"RETRIEVE", FUSE_NOTIFY_RETRIEVE, 32}, {"DELETE", FUSE_NOTIFY_DELETE, 24},
		{"PRUNE", FUSE_NOTIFY_PRUNE, 16}, {"RESEND", FUSE_NOTIFY_RESEND, 0},
		{"INC_EPOCH", FUSE_NOTIFY_INC_EPOCH, 0},
	};
	static const int codes[] = {0, 10, 11, 100, 0x7fffffff, -1, -511};
	static char zeros[100];

	puts("# sizes of zeros: empty, one less, as much, one more");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		printf("%s: %s", rows[i].name, word(notify(fd, rows[i].code, zeros, 0)));
		if (rows[i].size)
			printf(" %s", word(notify(fd, rows[i].code, zeros, rows[i].size - 1)));
		printf(" %s", word(notify(fd, rows[i].code, zeros, rows[i].size)));
		printf(" %s\n", word(notify(fd, rows[i].code, zeros, rows[i].size + 1)));
	}
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		printf("code %d: %s\n", codes[i], word(notify(fd, codes[i], zeros, 0)));
}

/* A body that cannot be read, or not to its end. */
static void faults(void)
{
	struct fuse_notify_store_out out = {5, 0, 100};
	struct fuse_out_header head = {16 + 24, FUSE_NOTIFY_INVAL_INODE, 0};
	struct iovec iov[3] = {{&head, 16}, {(void *)8, 24}, {(void *)8, 100}};

	puts("# bodies nowhere");
	NOTE("INVAL_INODE", SYS(writev(fd, iov, 2)));
	stat_shows("stat", "f");
	head = (struct fuse_out_header){16 + 24 + 100, FUSE_NOTIFY_STORE, 0};
	iov[1].iov_base = &out;
	NOTE("STORE", SYS(writev(fd, iov, 3)));
}

static void inodes(void)
{
	puts("# INVAL_INODE");
	NOTE("unknown node", inval_inode(99, 0, 0));
	NOTE("node 0", inval_inode(0, 0, 0));
	serve("read", client(do_read, "f"));
	settle();
	serve("read again", client(do_read, "f"));
	settle();
	NOTE("attributes only", inval_inode(5, -1, 0));
	serve("read", client(do_read, "f"));
	settle();
	NOTE("another page", inval_inode(5, 4096, 100));
	serve("read", client(do_read, "f"));
	settle();
	NOTE("its first byte", inval_inode(5, 0, 1));
	serve("read", client(do_read, "f"));
	settle();
	NOTE("to the end", inval_inode(5, 0, -1));
	serve("read", client(do_read, "f"));
	settle();
	NOTE("an absurd range", inval_inode(5, INT64_MAX, INT64_MAX));
	NOTE("an absurd length", inval_inode(5, 4096, INT64_MAX));
	NOTE("the root", inval_inode(1, 0, 0));
	stat_shows("stat of the root", "");
	NOTE("a directory", inval_inode(6, 0, 0));
	stat_shows("stat of it", "d");
}

static void entries(void)
{
	static char longname[5000];

	memset(longname, 'x', sizeof(longname) - 1);
	puts("# INVAL_ENTRY");
	stat_shows("stat", "f");
	stat_shows("again", "f");
	NOTE("no such parent", inval_entry(99, "f", 1, 0, 2));
	NOTE("a file as parent", inval_entry(5, "f", 1, 0, 2));
	NOTE("no such name", inval_entry(1, "q", 1, 0, 2));
	NOTE("without its NUL", inval_entry(1, "f", 1, 0, 1));
	NOTE("namelen too small", inval_entry(1, "f", 0, 0, 2));
	NOTE("namelen 0", inval_entry(1, "", 0, 0, 1));
	NOTE("1024 bytes", inval_entry(1, longname, 1024, 0, 1025));
	NOTE("1025 bytes", inval_entry(1, longname, 1025, 0, 1026));
	NOTE("1025 bytes that are not there", inval_entry(1, longname, 1025, 0, 3));
	stat_shows("stat", "f");
	NOTE("f", inval_entry(1, "f", 1, 0, 2));
	stat_shows("stat", "f");
	NOTE("f, EXPIRE_ONLY", inval_entry(1, "f", 1, FUSE_EXPIRE_ONLY, 2));
	stat_shows("stat", "f");
	NOTE("f, unknown flags", inval_entry(1, "f", 1, 0x80, 2));
	stat_shows("stat", "f");
	NOTE("f with a NUL inside", inval_entry(1, "f\0x", 3, 0, 4));
	stat_shows("a negative entry", "n");
	stat_shows("again", "n");
	NOTE("n", inval_entry(1, "n", 1, 0, 2));
	stat_shows("stat", "n");
	stat_shows("the root after that", "");
}

static void deletes(void)
{
	puts("# DELETE");
	stat_shows("stat", "f");
	NOTE("no such parent", delete(99, 5, "f"));
	NOTE("a file as parent", delete(5, 5, "f"));
	NOTE("no such name", delete(1, 5, "q"));
	stat_shows("stat", "f");
	NOTE("another child", delete(1, 7, "f"));
	stat_shows("stat", "f");
	NOTE("child 0", delete(1, 0, "f"));
	stat_shows("stat", "f");
	NOTE("f", delete(1, 5, "f"));
	stat_shows("stat", "f");
	stat_shows("a directory", "d");
	NOTE("d", delete(1, 6, "d"));
	stat_shows("stat", "d");
}

/* Opens the file, says so, and keeps it. */
static long do_hold(const char *name)
{
	long file = open(in_mnt(name), O_RDONLY);

	if (write(3, &file, sizeof(file)) > 0)
		pause();
	return 0;
}

static void full_directories(void)
{
	struct client c = client(do_hold, "d/f");
	struct pollfd p[2] = {{fd, POLLIN}, {c.result, POLLIN}};

	while (poll(p, 2, 5000) > 0 && !p[1].revents)
		if (get(fd) > 0)
			serve_one();
	NOTE("DELETE of a directory with an open file", delete(1, 6, "d"));
	stat_shows("stat", "d");
	kill(c.pid, SIGKILL);
	while (waitpid(c.pid, NULL, WNOHANG) == 0)
		settle();
	close(c.result);
	settle();
}

static long do_poll(const char *name)
{
	struct pollfd p = {open(in_mnt(name), O_RDONLY), POLLIN};
	long ready = poll(&p, 1, 5000) == 1 ? p.revents : -ETIME;

	close(p.fd);
	return ready;
}

static void polls(void)
{
	struct client c = client(do_poll, "g");
	struct fuse_poll_out none = {0}, ready = {POLLIN};
	struct fuse_notify_poll_wakeup_out wake = {0};

	puts("# POLL");
	while (get(fd) > 0 && in->opcode != FUSE_POLL)
		serve_one();
	wake.kh = ((struct fuse_poll_in *)body)->kh;
	printf("flags %u events %#x\n", ((struct fuse_poll_in *)body)->flags,
	       ((struct fuse_poll_in *)body)->events);
	put(fd, in->unique, 0, &none, sizeof(none));
	NOTE("another handle", notify(fd, FUSE_NOTIFY_POLL, &(uint64_t){wake.kh + 1000}, 8));
	printf("this one: %s", word(notify(fd, FUSE_NOTIFY_POLL, &wake, 8)));
	printf(", asks again: %s", word(get_op(fd, FUSE_POLL)));
	put(fd, in->unique, 0, &ready, sizeof(ready));
	puts("");
	serve("and then", c);
	settle();
}

static void stores(void)
{
	puts("# STORE and RETRIEVE");
	stat_shows("stat", "g");
	NOTE("no such node", store(99, 0, 1, 1));
	NOTE("a directory", store(1, 0, 1, 1));
	NOTE("size too large", store(7, 0, 2, 1));
	NOTE("size too small", store(7, 0, 1, 2));
	NOTE("nothing", store(7, 0, 0, 0));
	retrieve("no such node", 99, 0, 10);
	retrieve("a directory", 1, 0, 10);
	retrieve("nothing is cached", 7, 0, 8192);
	NOTE("a page", store(7, 0, 4096, 4096));
	retrieve("what is there", 7, 0, 8192);
	retrieve("inside it", 7, 100, 50);
	retrieve("behind it", 7, 4096, 100);
	retrieve("nothing wanted", 7, 0, 0);
	retrieve("offset beyond the end", 7, 1 << 30, 10);
	serve("read of what was stored", client(do_read, "g"));
	settle();
	NOTE("a part of a page that is not there", store(7, 5000, 10, 10));
	retrieve("that page", 7, 4096, 4096);
	NOTE("the second page", store(7, 4096, 4096, 4096));
	retrieve("both, more than max_write", 7, 0, 8192);
	NOTE("behind the end", store(7, 8192, 100, 100));
	retrieve("that", 7, 8192, 1000);
}

static void resends(void)
{
	struct client c = client(do_stat, "z");
	uint64_t unique;

	puts("# RESEND");
	get_op(fd, FUSE_LOOKUP);
	unique = in->unique;
	printf("RESEND: %s\n", word(notify(fd, FUSE_NOTIFY_RESEND, NULL, 0)));
	get_op(fd, FUSE_LOOKUP);
	printf("comes again with bit 63: %d\n", in->unique == (unique | 1ull << 63));
	printf("the old number: %s", word(put(fd, unique, -EPERM, NULL, 0)));
	printf(", the new one: %s", word(put(fd, in->unique, -EPERM, NULL, 0)));
	printf(", client: %s\n", result(c));
	{
		struct client clients[3] = {client(do_stat, "z1")};

		get_op(fd, FUSE_LOOKUP);
		clients[1] = client(do_stat, "z2");
		get_op(fd, FUSE_LOOKUP);
		clients[2] = client(do_stat, "z3");
		wait_for(fd);
		printf("RESEND of two, one waits: %s", word(notify(fd, FUSE_NOTIFY_RESEND, NULL, 0)));
		for (int i = 0; i < 3; i++) {
			get_op(fd, FUSE_LOOKUP);
			/* Linux orders the two by the hash of their number. */
			printf(" %s", in->unique >> 63 ? "one again" : body);
			put(fd, in->unique, -EPERM, NULL, 0);
		}
		puts("");
		for (int i = 0; i < 3; i++)
			result(clients[i]);
	}
	NOTE("RESEND of nothing, with a body", notify(fd, FUSE_NOTIFY_RESEND, "12345678", 8));
}

static void epochs(void)
{
	puts("# INC_EPOCH");
	stat_shows("stat", "g");
	stat_shows("again", "g");
	NOTE("INC_EPOCH", notify(fd, FUSE_NOTIFY_INC_EPOCH, NULL, 0));
	stat_shows("stat", "g");
	stat_shows("again", "g");
	stat_shows("stat of the root", "");
}

static void prunes(void)
{
	struct {
		struct fuse_notify_prune_out out;
		uint64_t nodes[2];
	} msg = {{2}, {7, 99}};

	puts("# PRUNE");
	NOTE("count too large", notify(fd, FUSE_NOTIFY_PRUNE, &msg, 24));
	NOTE("count too small", notify(fd, FUSE_NOTIFY_PRUNE, &msg, 40));
	settle();
	NOTE("PRUNE", notify(fd, FUSE_NOTIFY_PRUNE, &msg, 32));
	stat_shows("stat", "g");
}

int main(int argc, char **argv)
{
	start(argc, argv);
	fd = begin(FUSE_PARALLEL_DIROPS, 45);
	sizes();
	faults();
	inodes();
	entries();
	deletes();
	full_directories();
	polls();
	stores();
	resends();
	epochs();
	prunes();
	end(fd);
	return 0;
}
