/* Opening a host directory as a superblock, and closing it. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sentry/base/blocking.h"
#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "vfs/dentry.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/hostfs/hostfs_internal.h"
#include "vfs/superblock.h"

struct hostfs_info *hostfs_info(const struct superblock *sb)
{
	return sb->fs_info;
}

void hostfs_set_cache(struct superblock *sb, int64_t cache_ns)
{
	hostfs_info(sb)->cache_ns = cache_ns;
}

int64_t hostfs_cache_ns(const struct superblock *sb)
{
	return hostfs_info(sb)->cache_ns;
}

static void hostfs_evict_inode(struct inode *inode)
{
	hostfs_slot_close(hostfs_i(inode));
	hostfs_drop_place(hostfs_i(inode));
}

static void hostfs_free_inode(struct inode *inode)
{
	struct hostfs_inode *hi = hostfs_i(inode);

	free(hi->name);
	free(hi->target);
	free(hi);
}

static int hostfs_sync_fs(const struct op_ctx *ctx, struct superblock *sb)
{
	struct hostfs_inode *root = hostfs_i(sb->root->inode);
	cleanup_close int fd = -1;
	int err;

	(void)ctx;
	if (hostfs_info(sb)->read_only || !S_ISDIR(root->id.type))
		return 0;
	fd = hostfs_open_object(root, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	blocking_begin();
	err = (int)HOST(syncfs(fd));
	blocking_end();
	return err;
}

static void hostfs_info_free(struct hostfs_info *info)
{
	if (info->root_ro >= 0)
		close(info->root_ro);
	if (info->root_rw >= 0)
		close(info->root_rw);
	free(info->devs);
	free(info);
}

static void hostfs_put_super(struct superblock *sb)
{
	hostfs_info_free(sb->fs_info);
	sb->fs_info = NULL;
}

static const struct superblock_ops hostfs_super_ops = {
	.free_inode = hostfs_free_inode,
	.evict_inode = hostfs_evict_inode,
	.statfs = hostfs_statfs,
	.sync_fs = hostfs_sync_fs,
	.put_super = hostfs_put_super,
};

/* Not registered: a guest has no way to name host paths. */
static struct filesystem_type hostfs_type = {
	.name = "hostfs",
	.fs_flags = FS_REQUIRES_DEV,
};

/* A root that is one file has no name to be opened by later: open its data now. */
static int open_root_file(struct hostfs_info *info, const char *host_path, const struct statx *stx)
{
	struct stat st;

	info->root_ro = open(host_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (info->root_ro < 0)
		return -errno;
	/* Without permission to write it is a file that cannot be written. */
	if (!info->read_only)
		info->root_rw = open(host_path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fstat(info->root_ro, &st) || st.st_ino != stx->stx_ino)
		return -ESTALE;
	if (info->root_rw >= 0 && (fstat(info->root_rw, &st) || st.st_ino != stx->stx_ino))
		return -ESTALE;
	return 0;
}

static int check_root(int root, struct statx *ret_stx)
{
	int err = host_statx(root, "", ret_stx);

	if (err)
		return err;
	/* The others are the command line's decision; a procfs holds /proc/<sentry>/mem. */
	if (host_is_procfs(root))
		return -EPERM;
	if (!S_ISDIR(ret_stx->stx_mode) && !S_ISREG(ret_stx->stx_mode))
		return -EINVAL;
	return 0;
}

/* The root inode around its O_PATH descriptor (taken on success). */
static int make_root(struct superblock *sb, int *root_fd, const struct statx *stx)
{
	struct hostfs_inode *hi;
	int err = hostfs_iget(sb, NULL, NULL, *root_fd, stx, &hi);

	if (err)
		return err;
	hostfs_slot_adopt(hi, steal_fd(root_fd));
	sb->root = dentry_make_root(sb, &hi->inode);
	return sb->root ? 0 : -ENOMEM;
}

int hostfs_mount(const struct op_ctx *ctx, const char *host_dir, bool read_only,
		 struct superblock **ret_sb)
{
	cleanup_close int root = -1;
	struct hostfs_info *info;
	struct superblock *sb;
	struct statx stx;
	int err;

	(void)ctx;
	host_init();
	root = open(host_dir, O_PATH | O_CLOEXEC);
	if (root < 0)
		return -errno;
	err = check_root(root, &stx);
	if (err)
		return err;
	info = calloc(1, sizeof(*info));
	if (!info)
		return -ENOMEM;
	info->read_only = read_only;
	info->cache_ns = read_only ? HOSTFS_CACHE_NS : 0;
	info->root_ro = info->root_rw = -1;
	if (S_ISREG(stx.stx_mode)) {
		err = open_root_file(info, host_dir, &stx);
		if (err)
			goto out_info;
	}
	err = -ENOMEM;
	sb = superblock_new(&hostfs_type, read_only ? SB_RDONLY : 0);
	if (!sb)
		goto out_info;
	if (!read_only)
		umask(0);
	sb->op = &hostfs_super_ops;
	sb->d_op = &hostfs_dops;
	sb->fs_info = info;
	sb->blksize = 4096;
	sb->max_bytes = INT64_MAX;
	sb->source = strdup(host_dir);
	err = make_root(sb, &root, &stx);
	if (err) {
		superblock_put(sb); /* frees info */
		return err;
	}
	*ret_sb = sb;
	return 0;

out_info:
	hostfs_info_free(info);
	return err;
}
