/*
 * Names of AF_UNIX sockets: places in the tree (inode->unix_socket) and abstract names (one table
 * for the sandbox). One lock guards both; nothing else is taken under it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sentry/base/err.h"
#include "sentry/base/lock.h"
#include "vfs/ctx.h"
#include "vfs/file/unix_internal.h"
#include "vfs/inode.h"
#include "vfs/namei.h"
#include "vfs/perm.h"

#define ABSTRACT_BUCKETS 256u

static struct fb_mutex name_lock = FB_MUTEX_INIT(RANK_LEAF);
static struct unix_sock *abstract_table[ABSTRACT_BUCKETS]; /* guarded by name_lock */
static atomic_uint autobind_next;

static struct unix_addr *addr_new(const struct sockaddr_un *name, size_t len)
{
	struct unix_addr *addr = calloc(1, sizeof(*addr));

	if (!addr)
		return NULL;
	ref_init(&addr->ref);
	memcpy(&addr->name, name, len);
	addr->len = len;
	return addr;
}

void unix_addr_put(struct unix_addr *addr)
{
	if (addr && ref_put(&addr->ref))
		free(addr);
}

void unix_copy_addr(const struct unix_sock *sk, struct sockaddr_storage *ret_addr, size_t *ret_len)
{
	struct unix_addr *addr = atomic_load(&((struct unix_sock *)(uintptr_t)sk)->addr);

	*ret_len = addr ? addr->len : 0;
	if (addr)
		memcpy(ret_addr, &addr->name, addr->len);
}

static bool is_abstract(const struct unix_addr *addr)
{
	return addr->name.sun_path[0] == '\0';
}

/* ---- the abstract table; name_lock is held ---- */

/* FNV-1a; the type belongs to the name (cf. unix_abstract_hash()). */
static unsigned abstract_bucket(const struct sockaddr_un *name, size_t len, int type)
{
	const unsigned char *bytes = (const unsigned char *)name;
	uint32_t hash = 2166136261u ^ (uint32_t)type;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash % ABSTRACT_BUCKETS;
}

static struct unix_sock *abstract_find(const struct sockaddr_un *name, size_t len, int type)
{
	struct unix_sock *sk = abstract_table[abstract_bucket(name, len, type)];

	for (; sk; sk = sk->abstract_next) {
		struct unix_addr *addr = atomic_load(&sk->addr);

		if (sk->sock.type == type && addr->len == len && !memcmp(&addr->name, name, len))
			return sk;
	}
	return NULL;
}

/* Gives sk the abstract name (takes it); -EADDRINUSE. */
static int abstract_insert(struct unix_sock *sk, struct unix_addr *addr)
{
	unsigned bucket = abstract_bucket(&addr->name, addr->len, sk->sock.type);
	int err = -EADDRINUSE;

	fb_mutex_lock(&name_lock);
	if (!abstract_find(&addr->name, addr->len, sk->sock.type)) {
		atomic_store(&sk->addr, addr);
		sk->abstract_next = abstract_table[bucket];
		abstract_table[bucket] = sk;
		err = 0;
	}
	fb_mutex_unlock(&name_lock);
	return err;
}

static void abstract_remove(struct unix_sock *sk, struct unix_addr *addr)
{
	unsigned bucket = abstract_bucket(&addr->name, addr->len, sk->sock.type);
	struct unix_sock **p = &abstract_table[bucket];

	/* Accepted sockets show the listener's name without standing in the table. */
	while (*p && *p != sk)
		p = &(*p)->abstract_next;
	if (*p)
		*p = sk->abstract_next;
}

/* ---- bind ---- */

/* Checks the shape; *ret_path_len: bytes of sun_path. */
static int check_name(const struct sockaddr_storage *addr, size_t len)
{
	if (len <= UNIX_PATH_OFFSET || len > sizeof(struct sockaddr_un) ||
	    addr->ss_family != AF_UNIX)
		return -EINVAL;
	return 0;
}

/* A path name with its NUL, as long as that says (cf. unix_mkname_bsd()). */
static void path_name(const struct sockaddr_storage *addr, size_t len, char *ret_path)
{
	size_t n = len - UNIX_PATH_OFFSET;

	memcpy(ret_path, ((const struct sockaddr_un *)addr)->sun_path, n);
	ret_path[n] = '\0';
}

static int bind_abstract(struct unix_sock *sk, const struct sockaddr_storage *addr, size_t len)
{
	struct unix_addr *name = addr_new((const struct sockaddr_un *)addr, len);
	int err;

	if (!name)
		return -ENOMEM;
	err = abstract_insert(sk, name);
	if (err)
		unix_addr_put(name);
	return err;
}

static int bind_path(const struct op_ctx *ctx, struct unix_sock *sk,
		     const struct sockaddr_storage *addr, size_t len)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct unix_addr *copy;
	struct path path;
	size_t used;
	int err;

	path_name(addr, len, name);
	/* A name of 108 bytes has no room for its NUL; getsockname shows it all the same. */
	used = strlen(name) + 1;
	memcpy(un.sun_path, name, used < sizeof(un.sun_path) ? used : sizeof(un.sun_path));
	if (used > sizeof(un.sun_path))
		used = sizeof(un.sun_path);
	copy = addr_new(&un, UNIX_PATH_OFFSET + used);
	if (!copy)
		return -ENOMEM;
	err = vfs_mknod_path(ctx, NULL, name, S_IFSOCK | 0777, 0, &path);
	if (err) {
		unix_addr_put(copy);
		return err == -EEXIST ? -EADDRINUSE : err;
	}
	fb_mutex_lock(&name_lock);
	path.dentry->inode->unix_socket = sk;
	fb_mutex_unlock(&name_lock);
	sk->path = path;
	atomic_store(&sk->addr, copy);
	return 0;
}

/* Bound already. Linux makes the node first, and so complains first about a name that exists. */
static int bind_again(const struct op_ctx *ctx, const struct sockaddr_storage *addr, size_t len)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	struct path path;

	path_name(addr, len, name);
	if (name[0] == '\0' || path_lookup(ctx, NULL, name, 0, &path))
		return -EINVAL;
	path_put(&path);
	return -EADDRINUSE;
}

int unix_bind(const struct op_ctx *ctx, struct socket *sock, const struct sockaddr_storage *addr,
	      size_t len)
{
	struct unix_sock *sk = unix_of(sock);
	int err;

	if (len == UNIX_PATH_OFFSET && addr->ss_family == AF_UNIX)
		return unix_autobind(sk);
	err = check_name(addr, len);
	if (err)
		return err;
	err = sleep_mutex_lock_killable(&sk->bind_lock); /* a daemon may make the node */
	if (err)
		return err;
	if (atomic_load(&sk->addr))
		err = bind_again(ctx, addr, len);
	else if (((const struct sockaddr_un *)addr)->sun_path[0] == '\0')
		err = bind_abstract(sk, addr, len);
	else
		err = bind_path(ctx, sk, addr, len);
	sleep_mutex_unlock(&sk->bind_lock);
	return err;
}

int unix_autobind(struct unix_sock *sk)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct unix_addr *addr = NULL;
	int err = 0;

	if (atomic_load(&sk->addr))
		return 0;
	sleep_mutex_lock(&sk->bind_lock);
	/* Five hexadecimal digits (unix(7), "Autobind feature"): a million names. */
	for (unsigned tries = 0; !err && !atomic_load(&sk->addr) && tries <= 0xfffff; tries++) {
		unsigned n = atomic_fetch_add(&autobind_next, 1) & 0xfffff;

		(void)snprintf(un.sun_path + 1, 6, "%05x", n);
		addr = addr_new(&un, UNIX_PATH_OFFSET + 6);
		if (!addr)
			err = -ENOMEM;
		else if (abstract_insert(sk, addr))
			unix_addr_put(addr);
	}
	if (!err && !atomic_load(&sk->addr))
		err = -ENOSPC;
	sleep_mutex_unlock(&sk->bind_lock);
	return err;
}

void unix_unbind(struct unix_sock *sk)
{
	struct unix_addr *addr = atomic_load(&sk->addr);
	struct path path = sk->path;

	if (!addr)
		return;
	fb_mutex_lock(&name_lock);
	if (is_abstract(addr))
		abstract_remove(sk, addr);
	else if (path.dentry && path.dentry->inode && path.dentry->inode->unix_socket == sk)
		path.dentry->inode->unix_socket = NULL;
	fb_mutex_unlock(&name_lock);
	memset(&sk->path, 0, sizeof(sk->path));
	if (path.dentry)
		path_put(&path);
}

int unix_getname(const struct op_ctx *ctx, struct socket *sock, bool peer,
		 struct sockaddr_storage *ret_addr, size_t *ret_len)
{
	struct unix_sock *sk = unix_of(sock), *other = NULL;

	(void)ctx;
	if (peer) {
		other = unix_peer_get(sk);
		if (!other)
			return -ENOTCONN;
	}
	unix_copy_addr(other ? other : sk, ret_addr, ret_len);
	if (*ret_len == 0) {
		ret_addr->ss_family = AF_UNIX;
		*ret_len = UNIX_PATH_OFFSET;
	}
	unix_put(other);
	return 0;
}

/* ---- lookup ---- */

static int find_path(const struct op_ctx *ctx, const struct sockaddr_storage *addr, size_t len,
		     int type, struct unix_sock **ret_sk)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	struct unix_sock *sk = NULL;
	struct inode *inode;
	struct path path;
	int err;

	path_name(addr, len, name);
	err = path_lookup(ctx, NULL, name, LOOKUP_FOLLOW, &path);
	if (err)
		return err;
	inode = path.dentry->inode;
	err = path_permission(ctx, &path, MAY_WRITE);
	if (err)
		goto out;
	err = -ECONNREFUSED;
	if (!S_ISSOCK(inode->mode))
		goto out;
	fb_mutex_lock(&name_lock);
	if (inode->unix_socket)
		sk = unix_get(inode->unix_socket);
	fb_mutex_unlock(&name_lock);
	if (!sk)
		goto out;
	err = 0;
	if (sk->sock.type != type) {
		unix_put(sk);
		err = -EPROTOTYPE;
		goto out;
	}
	*ret_sk = sk;
out:
	path_put(&path);
	return err;
}

int unix_find(const struct op_ctx *ctx, const struct sockaddr_storage *addr, size_t len, int type,
	      struct unix_sock **ret_sk)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
	struct unix_sock *sk;
	int err;

	err = check_name(addr, len);
	if (err)
		return err;
	if (un->sun_path[0])
		return find_path(ctx, addr, len, type, ret_sk);
	fb_mutex_lock(&name_lock);
	sk = abstract_find(un, len, type);
	if (sk)
		unix_get(sk);
	fb_mutex_unlock(&name_lock);
	if (!sk)
		return -ECONNREFUSED;
	*ret_sk = sk;
	return 0;
}
