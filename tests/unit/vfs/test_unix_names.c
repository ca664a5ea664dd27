/* AF_UNIX names and FIFOs in a tree: bind, connect, permissions, unlink; on a tmpfs. */
#include "kinds_support.h"

#include <stddef.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "vfs/file/pipe.h"
#include "vfs/file/socket.h"
#include "vfs/fs/tmpfs.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/superblock.h"

static struct mnt_ns *ns;

static void become(uid_t uid)
{
	cred_put(test_ctx.cred);
	test_ctx.cred = cred_new(uid, uid, NULL, 0);
}

static void setup(void)
{
	struct fs_context *fc;
	struct mount *root;

	kinds_init();
	become(0);
	cr_assert_eq(fs_context_new(&tmpfs_fs_type, 0, &fc), 0);
	cr_assert_eq(fs_context_get_tree(&test_ctx, fc), 0);
	cr_assert_eq(mount_create(fc, 0, &root), 0);
	fs_context_free(fc);
	ns = mnt_ns_new(root);
	test_ctx.fs = fs_struct_new(ns);
}

static void teardown(void)
{
	fs_struct_put(test_ctx.fs);
	mnt_ns_put(ns);
	kinds_fini();
}

TestSuite(unix_names, .init = setup, .fini = teardown, .timeout = 120);

static size_t named(const char *name, struct sockaddr_storage *ret)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memcpy(un.sun_path, name, strlen(name));
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, &un, sizeof(un));
	return offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
}

static struct file *make(int type)
{
	struct file *file;

	cr_assert_eq(socket_create(&test_ctx, AF_UNIX, type, 0, 0, &file), 0);
	return file;
}

static int bind_to(struct file *file, const char *name)
{
	struct sockaddr_storage addr;
	size_t len = named(name, &addr);

	return socket_bind(&test_ctx, socket_from_file(file), &addr, len);
}

static int connect_to(struct file *file, const char *name)
{
	struct sockaddr_storage addr;
	size_t len = named(name, &addr);

	return socket_connect(&test_ctx, socket_from_file(file), &addr, len);
}

Test(unix_names, a_bound_name_is_a_socket_in_the_tree)
{
	struct file *server = make(SOCK_STREAM), *client = make(SOCK_STREAM), *conn;
	struct sockaddr_storage addr;
	struct path path;
	char buf[4];
	size_t len;

	cr_assert_eq(bind_to(server, "/sock"), 0);
	cr_assert_eq(socket_getname(&test_ctx, socket_from_file(server), false, &addr, &len), 0);
	cr_assert_eq(len, 2 + 6);
	cr_assert_str_eq(((struct sockaddr_un *)&addr)->sun_path, "/sock");
	cr_assert_eq(path_lookup(&test_ctx, NULL, "/sock", 0, &path), 0);
	cr_assert_eq(path.dentry->inode->mode, S_IFSOCK | 0755);
	path_put(&path);
	cr_assert_eq(connect_to(client, "/sock"), -ECONNREFUSED, "not listening yet");
	cr_assert_eq(socket_listen(&test_ctx, socket_from_file(server), 1), 0);
	cr_assert_eq(connect_to(client, "/sock"), 0);
	cr_assert_eq(socket_accept(&test_ctx, socket_from_file(server), 0, &conn, NULL, NULL), 0);
	puts_to(client, "hey");
	cr_assert_eq(get(conn, buf, 4), 3);
	file_put(conn);
	file_put(client);
	file_put(server);
}

Test(unix_names, a_name_that_exists_is_in_use_and_outlives_its_socket)
{
	struct file *server = make(SOCK_DGRAM), *other = make(SOCK_DGRAM);

	cr_assert_eq(bind_to(server, "/sock"), 0);
	cr_assert_eq(bind_to(server, "/sock"), -EADDRINUSE);
	cr_assert_eq(bind_to(server, "/new"), -EINVAL);
	cr_assert_eq(bind_to(other, "/sock"), -EADDRINUSE);
	cr_assert_eq(connect_to(other, "/sock"), 0);
	file_put(server);
	cr_assert_eq(connect_to(other, "/sock"), -ECONNREFUSED);
	cr_assert_eq(bind_to(other, "/sock"), -EADDRINUSE, "until it is removed");
	cr_assert_eq(vfs_unlink(&test_ctx, NULL, "/sock"), 0);
	cr_assert_eq(bind_to(other, "/sock"), 0);
	file_put(other);
}

Test(unix_names, connect_gives_the_errors_of_the_path)
{
	struct file *server = make(SOCK_STREAM), *dgram = make(SOCK_DGRAM);
	struct file *client = make(SOCK_STREAM);

	cr_assert_eq(bind_to(server, "/sock"), 0);
	socket_listen(&test_ctx, socket_from_file(server), 1);
	cr_assert_eq(vfs_mknod(&test_ctx, NULL, "/plain", S_IFREG | 0666, 0), 0);
	cr_assert_eq(connect_to(client, "/none"), -ENOENT);
	cr_assert_eq(connect_to(client, "/plain"), -ECONNREFUSED);
	cr_assert_eq(connect_to(dgram, "/sock"), -EPROTOTYPE);
	cr_assert_eq(bind_to(client, "/none/sock"), -ENOENT);
	cr_assert_eq(vfs_mkdir(&test_ctx, NULL, "/dir", 0755), 0);
	become(1000);
	cr_assert_eq(connect_to(client, "/sock"), -EACCES, "0755 and not ours");
	cr_assert_eq(bind_to(client, "/dir/mine"), -EACCES);
	file_put(server);
	file_put(dgram);
	file_put(client);
}

Test(unix_names, longest_name_works_without_its_nul)
{
	struct file *server = make(SOCK_DGRAM), *client = make(SOCK_DGRAM);
	struct sockaddr_storage addr;
	char name[109];
	size_t len;

	memset(name, 'n', sizeof(name));
	name[0] = '/';
	name[108] = '\0';
	len = named(name, &addr) - 1;
	cr_assert_eq(len, 110);
	cr_assert_eq(socket_bind(&test_ctx, socket_from_file(server), &addr, len), 0);
	cr_assert_eq(socket_connect(&test_ctx, socket_from_file(client), &addr, len), 0);
	cr_assert_eq(socket_connect(&test_ctx, socket_from_file(client), &addr, 111), -EINVAL);
	file_put(server);
	file_put(client);
}

static int open_path(const char *name, unsigned flags, struct file **ret_file)
{
	struct open_args args = {.flags = flags};

	return vfs_open(&test_ctx, NULL, name, &args, ret_file);
}

static ssize_t open_reader(struct blocked *self)
{
	return open_path("/fifo", O_RDONLY, (struct file **)self->arg);
}

Test(unix_names, a_fifo_in_the_tree_is_a_pipe)
{
	struct file *reader = NULL, *writer;
	struct blocked opener = {.call = open_reader, .arg = &reader};
	char buf[4];

	cr_assert_eq(vfs_mknod(&test_ctx, NULL, "/fifo", S_IFIFO | 0600, 0), 0);
	cr_assert_eq(open_path("/fifo", O_WRONLY | O_NONBLOCK, &writer), -ENXIO);
	blocked_start(&opener);
	cr_assert_eq(open_path("/fifo", O_WRONLY, &writer), 0);
	cr_assert_eq(blocked_join(&opener), 0);
	cr_assert(pipe_is(reader));
	puts_to(writer, "hi");
	cr_assert_eq(get(reader, buf, 4), 2);
	file_put(writer);
	cr_assert_eq(get(reader, buf, 4), 0);
	file_put(reader);
}
