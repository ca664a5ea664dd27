/*
 * What is cached of names, against daemons that change their mind: listings, symlinks, ACLs; file
 * handles. The requests themselves are compared with Linux's in tests/golden/names.c.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>

#include "tests/support/daemon.h"
#include "vfs/cred.h"
#include "vfs/handle.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/perm.h"
#include "vfs/xattr.h"

TestSuite(fuse_names, .timeout = 20);

#define CTX	   (&d->client.ctx)
#define KEEP_LIST  (FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR)
#define ACL_ACCESS_NAME "system.posix_acl_access"

static struct file *open_dir(struct daemon *d, uint32_t open_flags)
{
	struct file *file = NULL;

	daemon_ignore(d, FUSE_RELEASEDIR);
	expect_open(d, FUSE_OPENDIR, 1, 9, open_flags);
	cr_assert_eq(client_open(d, "/", O_RDONLY | O_DIRECTORY, &file), 0);
	return file;
}

static struct daemon *start(uint64_t flags)
{
	struct daemon_config config = {.flags = flags};
	struct daemon *d = daemon_start(&config);
	struct kstat st;

	expect_attr(d, FUSE_GETATTR, 1, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(client_stat(d, "/", &st), 0);
	return d;
}

static void expect_ab(struct daemon *d)
{
	static char list[200];
	size_t n = make_dirent(list, 2, 10, "a", 8);

	n += make_dirent(list + n, 3, 20, "b", 8);
	expect_reply(d, FUSE_READDIR, 1, list, n);
}

/* Lists from the start to the end; the names. */
static const char *list_all(struct daemon *d, struct file *dir)
{
	static char names[200];
	char more[100];

	dir->pos = 0;
	names[0] = '\0';
	cr_assert_geq(client_readdir(d, dir, names, sizeof(names), 4096), 0);
	while (client_readdir(d, dir, more, sizeof(more), 4096) > 0)
		strcat(names, more);
	return names;
}

/* F77, O07: complete after the empty answer; then nothing is asked until something changes. */
Test(fuse_names, a_listing_is_kept_over_opens)
{
	struct daemon *d = start(0);
	struct file *dir = open_dir(d, KEEP_LIST), *other;

	expect_ab(d);
	expect_reply(d, FUSE_READDIR, 1, NULL, 0);
	cr_assert_str_eq(list_all(d, dir), "a b ");
	cr_assert_str_eq(list_all(d, dir), "a b ");
	other = open_dir(d, KEEP_LIST);
	cr_assert_str_eq(list_all(d, other), "a b ");
	client_close(d, other);
	other = open_dir(d, FOPEN_CACHE_DIR); /* without KEEP_CACHE: gone for all */
	expect_ab(d);
	expect_reply(d, FUSE_READDIR, 1, NULL, 0);
	cr_assert_str_eq(list_all(d, dir), "a b ");
	client_close(d, other);
	client_close(d, dir);
	DAEMON_STOP(d);
}

/* F77: who is in the middle of a list that is thrown away asks the daemon for the rest. */
Test(fuse_names, a_listing_is_reset_under_a_reader)
{
	struct daemon *d = start(0);
	struct file *dir = open_dir(d, KEEP_LIST);
	struct fuse_notify_inval_inode_out inval = {.ino = 1};
	char names[100];
	struct step *s;

	expect_ab(d);
	expect_reply(d, FUSE_READDIR, 1, NULL, 0);
	cr_assert_str_eq(list_all(d, dir), "a b ");
	dir->pos = 0;
	cr_assert_gt(client_readdir(d, dir, names, sizeof(names), 32), 0);
	cr_assert_str_eq(names, "a ");
	cr_assert_gt(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &inval, sizeof(inval)), 0);
	s = expect_reply(d, FUSE_READDIR, 1, NULL, 0);
	cr_assert_eq(client_readdir(d, dir, names, sizeof(names), 4096), 0);
	cr_assert_eq(step_in(s, struct fuse_read_in)->offset, 10);
	client_close(d, dir);
	DAEMON_STOP(d);
}

/* F77: only what was read from the start without a gap is kept; unknown positions are asked. */
Test(fuse_names, a_listing_with_a_gap_is_not_kept)
{
	struct daemon *d = start(0);
	struct file *dir = open_dir(d, KEEP_LIST);
	char names[100], list[100];
	size_t n = make_dirent(list, 3, 20, "b", 8);

	dir->pos = 10;
	expect_reply(d, FUSE_READDIR, 1, list, n);
	cr_assert_gt(client_readdir(d, dir, names, sizeof(names), 4096), 0);
	expect_reply(d, FUSE_READDIR, 1, NULL, 0);
	cr_assert_eq(client_readdir(d, dir, names, sizeof(names), 4096), 0);
	expect_ab(d);
	expect_reply(d, FUSE_READDIR, 1, NULL, 0);
	cr_assert_str_eq(list_all(d, dir), "a b ");
	dir->pos = 15; /* no entry is there */
	expect_reply(d, FUSE_READDIR, 1, list, n);
	cr_assert_gt(client_readdir(d, dir, names, sizeof(names), 4096), 0);
	cr_assert_str_eq(names, "b ");
	client_close(d, dir);
	DAEMON_STOP(d);
}

/* F77: an empty directory is cached like any other. */
Test(fuse_names, an_empty_listing_is_kept)
{
	struct daemon *d = start(0);
	struct file *dir = open_dir(d, KEEP_LIST);

	expect_reply(d, FUSE_READDIR, 1, NULL, 0);
	cr_assert_str_eq(list_all(d, dir), "");
	cr_assert_str_eq(list_all(d, dir), "");
	client_close(d, dir);
	DAEMON_STOP(d);
}

static struct path look_up(struct daemon *d, const char *name, uint64_t nodeid, uint32_t mode)
{
	struct path path;

	expect_entry(d, FUSE_LOOKUP, 1, nodeid, mode, 0, 100);
	cr_assert_eq(path_lookup(CTX, NULL, name, 0, &path), 0);
	return path;
}

static char *read_link(struct daemon *d, const struct path *path)
{
	char *target = NULL;

	cr_assert_eq(vfs_readlink(CTX, path, &target), 0);
	return target;
}

/* F168 */
Test(fuse_names, a_symlink_is_read_once) /* B23 */
{
	for (int cached = 0; cached < 2; cached++) {
		struct daemon *d = start(cached ? FUSE_CACHE_SYMLINKS : 0);
		struct path path = look_up(d, "/l", 5, S_IFLNK | 0777);
		char *first, *second;

		expect_reply(d, FUSE_READLINK, 5, "old", 3);
		first = read_link(d, &path);
		if (!cached)
			expect_reply(d, FUSE_READLINK, 5, "new", 3);
		second = read_link(d, &path);
		cr_assert_str_eq(first, "old");
		cr_assert_str_eq(second, cached ? "old" : "new");
		free(first);
		free(second);
		path_put(&path);
		DAEMON_STOP(d);
	}
}

static size_t make_acl(void *buf, unsigned named_user, unsigned perm)
{
	struct {
		struct posix_acl_xattr_header head;
		struct posix_acl_xattr_entry e[5];
	} acl = {{POSIX_ACL_XATTR_VERSION},
		 {{ACL_USER_OBJ, 6, -1u},
		  {ACL_USER, (unsigned short)perm, named_user},
		  {ACL_GROUP_OBJ, 0, -1u},
		  {ACL_MASK, 6, -1u},
		  {ACL_OTHER, 0, -1u}}};

	memcpy(buf, &acl, sizeof(acl));
	return sizeof(acl);
}

/* F124, F43: the list decides, and is asked for once; without POSIX_ACL nobody looks at it. */
Test(fuse_names, an_acl_is_enforced_and_kept) /* B20 */
{
	struct daemon_config config = {.flags = FUSE_POSIX_ACL, .options = "allow_other,default_permissions",
					.uid = 77};
	struct daemon *d = daemon_start(&config);
	char acl[100];
	size_t n = make_acl(acl, 77, 4);
	struct path path;

	expect_attr(d, FUSE_GETATTR, 1, S_IFDIR | 0701, 0, 100);
	path = look_up(d, "/f", 5, S_IFREG | 0660);
	expect_reply(d, FUSE_GETXATTR, 5, acl, n);
	cr_assert_eq(path_permission(CTX, &path, MAY_READ), 0);
	cr_assert_eq(path_permission(CTX, &path, MAY_READ), 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0660, 0, 100); /* a refusal is looked at twice */
	expect_reply(d, FUSE_GETXATTR, 5, acl, n);
	cr_assert_eq(path_permission(CTX, &path, MAY_WRITE), -EACCES);
	path_put(&path);
	DAEMON_STOP(d);
}

/* F124: an answer that is no list is the caller's error, and does not grant anything. */
Test(fuse_names, a_bad_acl_grants_nothing)
{
	static const char *const bad[] = {"\2\0\0\0x", "\1\0\0\0", "\2\0\0\0\x40\0\7\0\0\0\0\0"};
	static const size_t len[] = {5, 4, 12};
	static const int err[] = {-EINVAL, -EOPNOTSUPP, -EINVAL};
	struct daemon_config config = {.flags = FUSE_POSIX_ACL, .options = "allow_other,default_permissions",
					.uid = 77};
	struct daemon *d = daemon_start(&config);
	char alone[12] = {2, 0, 0, 0, ACL_GROUP_OBJ, 0, 7};
	struct path path;

	expect_attr(d, FUSE_GETATTR, 1, S_IFDIR | 0701, 0, 100);
	path = look_up(d, "/f", 5, S_IFREG | 0666);
	for (int i = 0; i < 3; i++) {
		expect_reply(d, FUSE_GETXATTR, 5, bad[i], len[i]);
		cr_assert_eq(path_permission(CTX, &path, MAY_READ), err[i]);
	}
	expect_reply(d, FUSE_GETXATTR, 5, alone, sizeof(alone)); /* well-formed, and no decision */
	cr_assert_eq(path_permission(CTX, &path, MAY_READ), -EIO);
	path_put(&path);
	DAEMON_STOP(d);
}

/* Where a handle leads, on the mount of `base`. */
static int find(struct daemon *d, const struct path *base, const struct vfs_handle *handle,
		struct path *ret_path)
{
	struct path root = {base->mnt, base->mnt->root};
	struct file *file;
	int err = vfs_open_by_handle(CTX, &root, handle, O_PATH, &file);

	if (err)
		return err;
	*ret_path = file->path;
	path_get(ret_path);
	file_put(file);
	return 0;
}

/* F165 */
Test(fuse_names, a_handle_finds_its_node) /* B04, F09 */
{
	struct daemon *d = start(FUSE_EXPORT_SUPPORT);
	struct path path = look_up(d, "/f", 5, S_IFREG | 0644), found;
	struct vfs_handle h = {.bytes = 128};
	struct fuse_entry_out wrong = make_entry(9, S_IFREG | 0644, 0, 100);
	struct step *s;

	cr_assert_eq(vfs_name_to_handle(&path, HANDLE_OPENABLE, &h), 0);
	cr_assert_eq(h.type, 0x81);
	cr_assert_eq(h.bytes, 12);
	cr_assert_eq(h.words[1], 5);
	cr_assert_eq(find(d, &path, &h, &found), 0);
	cr_assert_eq(found.dentry, path.dentry);
	path_put(&found);
	h.words[1] = 8; /* not cached: the daemon is asked for the node itself */
	s = expect_entry(d, FUSE_LOOKUP, 8, 8, S_IFREG | 0644, 0, 100);
	cr_assert_eq(find(d, &path, &h, &found), 0);
	cr_assert_str_eq(step_body(s), ".");
	cr_assert_eq(found.dentry->parent, found.dentry); /* in no directory */
	path_put(&found);
	cr_assert(daemon_wait_forgotten(d, 8, 1));
	h.words[1] = 7;
	expect_reply(d, FUSE_LOOKUP, 7, &wrong, sizeof(wrong)); /* another node */
	cr_assert_eq(find(d, &path, &h, &found), -ESTALE);
	h.words[1] = 6;
	expect_error(d, FUSE_LOOKUP, 6, ENOENT);
	cr_assert_eq(find(d, &path, &h, &found), -ESTALE);
	h.words[1] = 3; /* a directory without a parent has no place in the tree */
	expect_entry(d, FUSE_LOOKUP, 3, 3, S_IFDIR | 0755, 0, 100);
	expect_error(d, FUSE_LOOKUP, 3, ENOENT);
	cr_assert_eq(find(d, &path, &h, &found), -ESTALE);
	path_put(&path);
	DAEMON_STOP(d);
}

/* The name of node `child` in `dir` is looked for, and found. */
static void expect_name(struct daemon *d, uint64_t dir, uint64_t child, const char *name,
			uint32_t mode)
{
	static char bufs[4][100]; /* borrowed by the steps */
	static unsigned next;
	char *buf = bufs[next++ % 4];
	size_t len = make_dirent(buf, child, 1, name, mode >> 12);

	expect_open(d, FUSE_OPENDIR, dir, 8, 0);
	expect_reply(d, FUSE_READDIR, dir, buf, len);
	expect_entry(d, FUSE_LOOKUP, dir, child, mode, 0, 100);
}

static struct step *expect_parent(struct daemon *d, uint64_t dir, uint64_t parent, const char *name)
{
	struct step *s = expect_entry(d, FUSE_LOOKUP, dir, parent, S_IFDIR | 0755, 0, 100);

	expect_name(d, parent, dir, name, S_IFDIR | 0755);
	return s;
}

static void expect_path(const struct path *path, const char *text)
{
	struct path root = {path->mnt, path->mnt->root};
	char *shown = d_path(path, &root);

	cr_expect_str_eq(shown, text);
	free(shown);
}

/* F165: by LOOKUP of its "..", and the listing of what that is. */
Test(fuse_names, a_directory_by_handle_gets_its_place)
{
	struct daemon *d = start(FUSE_EXPORT_SUPPORT);
	struct path path = look_up(d, "/f", 5, S_IFREG | 0644), found;
	struct vfs_handle h = {.bytes = 12, .type = 0x81, .words = {0, 3, 1}};
	struct step *s;

	daemon_ignore(d, FUSE_RELEASEDIR);
	expect_entry(d, FUSE_LOOKUP, 3, 3, S_IFDIR | 0755, 0, 100);
	expect_parent(d, 3, 4, "x");
	s = expect_parent(d, 4, 1, "d");
	cr_assert_eq(find(d, &path, &h, &found), 0);
	cr_expect_str_eq(step_body(s), "..");
	expect_path(&found, "/d/x");
	cr_expect_eq(dentry_test(found.dentry, DENTRY_DISCONNECTED), 0);
	path_put(&found);
	cr_assert_eq(find(d, &path, &h, &found), 0); /* cached now, as any other */
	path_put(&found);
	path_put(&path);
	DAEMON_STOP(d);
}

/* F165: what was found on the way to nowhere is forgotten. */
Test(fuse_names, a_directory_that_leads_nowhere_is_stale)
{
	struct daemon *d = start(FUSE_EXPORT_SUPPORT);
	struct path path = look_up(d, "/f", 5, S_IFREG | 0644), found;
	struct vfs_handle h = {.bytes = 12, .type = 0x81, .words = {0, 3, 1}};

	daemon_ignore(d, FUSE_RELEASEDIR);
	expect_entry(d, FUSE_LOOKUP, 3, 3, S_IFDIR | 0755, 0, 100);
	expect_parent(d, 3, 4, "x");
	expect_error(d, FUSE_LOOKUP, 4, ENOENT);
	cr_assert_eq(find(d, &path, &h, &found), -ESTALE);
	cr_assert(daemon_wait_forgotten(d, 3, 2));
	cr_assert(daemon_wait_forgotten(d, 4, 1));
	h.words[1] = 6; /* two that are in each other */
	expect_entry(d, FUSE_LOOKUP, 6, 6, S_IFDIR | 0755, 0, 100);
	expect_parent(d, 6, 7, "x");
	expect_parent(d, 7, 6, "y");
	cr_assert_eq(find(d, &path, &h, &found), -ESTALE);
	cr_assert(daemon_wait_forgotten(d, 6, 3));
	cr_assert(daemon_wait_forgotten(d, 7, 2));
	path_put(&path);
	DAEMON_STOP(d);
}

/* F165, Z20: the search for the name is over when the listing stands still. */
Test(fuse_names, a_listing_without_end_has_no_name)
{
	struct daemon *d = start(FUSE_EXPORT_SUPPORT);
	struct path path = look_up(d, "/f", 5, S_IFREG | 0644), found;
	struct vfs_handle h = {.bytes = 12, .type = 0x81, .words = {0, 3, 1}};
	char buf[100];

	daemon_ignore(d, FUSE_RELEASEDIR);
	expect_entry(d, FUSE_LOOKUP, 3, 3, S_IFDIR | 0755, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 3, 1, S_IFDIR | 0755, 0, 100);
	expect_open(d, FUSE_OPENDIR, 1, 8, 0);
	expect_reply(d, FUSE_READDIR, 1, buf, make_dirent(buf, 99, 0, "other", DT_REG));
	cr_assert_eq(find(d, &path, &h, &found), -ESTALE);
	path_put(&path);
	DAEMON_STOP(d);
}

/* F165 */
Test(fuse_names, a_connectable_handle_leads_below_the_directory_only)
{
	struct daemon *d = start(FUSE_EXPORT_SUPPORT);
	struct path file = look_up(d, "/f", 5, S_IFREG | 0644), dir = look_up(d, "/d", 4, S_IFDIR | 0755);
	struct vfs_handle h = {.bytes = 20}, of_dir = {.bytes = 128};
	struct file *opened;

	cr_assert_eq(vfs_name_to_handle(&file, HANDLE_CONNECTABLE, &h), -EOVERFLOW);
	cr_assert_eq(h.bytes, 24);
	cr_assert_eq(vfs_name_to_handle(&file, HANDLE_CONNECTABLE, &h), 0);
	cr_expect_eq(h.type, 0x10082);
	cr_expect_eq(h.words[1], 5);
	cr_expect_eq(h.words[4], 1);
	cr_assert_eq(vfs_name_to_handle(&dir, HANDLE_CONNECTABLE, &of_dir), 0);
	cr_expect_eq(of_dir.bytes, 12);
	cr_expect_eq(of_dir.type, 0x30081);
	cr_assert_eq(vfs_open_by_handle(CTX, &dir, &of_dir, O_PATH, &opened), 0);
	file_put(opened);
	daemon_ignore(d, FUSE_RELEASEDIR);
	expect_name(d, 1, 5, "f", S_IFREG | 0644);
	cr_assert_eq(vfs_open_by_handle(CTX, &dir, &h, O_PATH, &opened), -ESTALE);
	h.type |= FILEID_IS_DIR;
	cr_assert_eq(vfs_open_by_handle(CTX, &file, &h, O_PATH, &opened), -ESTALE);
	path_put(&file);
	path_put(&dir);
	DAEMON_STOP(d);
}

/* F165: below minor 9, and without EXPORT_SUPPORT, only what is cached can be found. */
Test(fuse_names, without_export_support_nothing_is_asked)
{
	struct daemon *d = start(0);
	struct path path = look_up(d, "/f", 5, S_IFREG | 0644), found;
	struct vfs_handle h = {.bytes = 128};

	cr_assert_eq(vfs_name_to_handle(&path, HANDLE_OPENABLE, &h), 0);
	h.words[1] = 8;
	cr_assert_eq(find(d, &path, &h, &found), -ESTALE);
	h.words[1] = 5;
	h.words[2]++;
	cr_assert_eq(find(d, &path, &h, &found), -ESTALE);
	path_put(&path);
	DAEMON_STOP(d);
}

/* F165, B38: a handle may still be an id, and nothing is ever found by one. */
Test(fuse_names, no_export_support_leaves_handles_as_ids_only)
{
	struct daemon *d = start(FUSE_NO_EXPORT_SUPPORT | FUSE_EXPORT_SUPPORT);
	struct path path = look_up(d, "/f", 5, S_IFREG | 0644), found;
	struct vfs_handle h = {.bytes = 128};

	cr_assert_eq(vfs_name_to_handle(&path, HANDLE_OPENABLE, &h), -EOPNOTSUPP);
	cr_assert_eq(vfs_name_to_handle(&path, HANDLE_ID, &h), 0);
	cr_assert_eq(h.words[1], 5);
	cr_assert_eq(find(d, &path, &h, &found), -ESTALE);
	path_put(&path);
	DAEMON_STOP(d);
}

static uint32_t flags_of_set_acl(uint64_t flags, uid_t uid, uint32_t gid)
{
	struct daemon_config config = {.flags = flags | FUSE_SETXATTR_EXT, .options = "allow_other", .uid = uid};
	struct daemon *d = daemon_start(&config);
	struct fuse_entry_out entry = make_entry(5, S_IFREG | S_ISGID | 0770, 0, 100);
	uint32_t setxattr_flags;
	struct kstat st;
	struct path path;
	struct step *s;
	char acl[100];
	size_t n = make_acl(acl, 77, 4);

	expect_attr(d, FUSE_GETATTR, 1, S_IFDIR | 0701, 0, 100);
	cr_assert_eq(client_stat(d, "/", &st), 0); /* INIT is answered: who judges is known */
	entry.attr.uid = uid;
	entry.attr.gid = gid;
	expect_reply(d, FUSE_LOOKUP, 1, &entry, sizeof(entry));
	cr_assert_eq(path_lookup(CTX, NULL, "/f", 0, &path), 0);
	s = expect_reply(d, FUSE_SETXATTR, 5, NULL, 0);
	cr_assert_eq(vfs_setxattr(CTX, &path, ACL_ACCESS_NAME, acl, n, 0), 0);
	setxattr_flags = step_in(s, struct fuse_setxattr_in)->setxattr_flags;
	path_put(&path);
	DAEMON_STOP(d);
	return setxattr_flags;
}

/* W13, F124: the daemon drops set-gid when a stranger to the group, who is not privileged, asks. */
Test(fuse_names, setting_an_acl_kills_set_gid_of_another_group)
{
	cr_expect_eq(flags_of_set_acl(FUSE_POSIX_ACL, 1000, 2000), FUSE_SETXATTR_ACL_KILL_SGID);
	cr_expect_eq(flags_of_set_acl(FUSE_POSIX_ACL, 1000, 1000), 0);
	cr_expect_eq(flags_of_set_acl(FUSE_POSIX_ACL, 0, 2000), 0);
	cr_expect_eq(flags_of_set_acl(0, 1000, 2000), 0);
}
