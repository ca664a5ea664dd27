/* procfs: /proc/PID/fd and /proc/PID/fdinfo. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "sentry/base/err.h"
#include "vfs/ctx.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/fs/procfs/procfs_internal.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/strbuf.h"

#define LINUX_O_CLOEXEC	  02000000
#define LINUX_O_LARGEFILE 0100000

/* The table of the key's task, with a reference. NULL: gone. */
static struct fdtable *key_files(const struct pseudo_key *key)
{
	struct proc_task *task = proc_task_get(key);
	struct fdtable *files;

	if (!task)
		return NULL;
	files = proc_source->files(task);
	proc_source->put(task);
	return files;
}

/* The open file of a key and whether its descriptor is close-on-exec. Returns a reference. */
static struct file *key_file(const struct op_ctx *ctx, const struct pseudo_key *key,
			     bool *ret_cloexec)
{
	struct fdtable *files = key_files(key);
	struct file *file;

	if (!files)
		return NULL;
	file = fdtable_file_raw(files, key->num);
	if (ret_cloexec)
		*ret_cloexec = fdtable_get_cloexec(files, key->num) > 0;
	fdtable_put(ctx, files);
	return file;
}

static int fd_link(const struct op_ctx *ctx, const struct pseudo_key *key, char **ret_target,
		   struct path *ret_path)
{
	struct file *file = key_file(ctx, key, NULL);

	(void)ret_target;
	if (!file)
		return -ENOENT;
	path_get(&file->path);
	*ret_path = file->path;
	file_put(file);
	return 0;
}

/* Cf. seq_show() in fs/proc/fd.c. */
static int fdinfo_show(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	bool cloexec = false;
	struct file *file = key_file(ctx, key, &cloexec);
	unsigned flags;

	if (!file)
		return -ENOENT;
	flags = atomic_load(&file->flags) & ~(unsigned)LINUX_O_CLOEXEC;
	if (cloexec)
		flags |= LINUX_O_CLOEXEC;
	strbuf_printf(out, "pos:\t%lld\nflags:\t0%o\nmnt_id:\t%d\nino:\t%lu\n",
		      (long long)file->pos, flags | LINUX_O_LARGEFILE,
		      file->path.mnt ? file->path.mnt->id : 0, (unsigned long)file->inode->ino);
	if (file->op && file->op->show_fdinfo)
		file->op->show_fdinfo(file, out);
	file_put(file);
	return 0;
}

/* The mode of the link tells how the file was opened (proc(5)): four entries, one per mode. */
#define FD_ENTRY(bits)                                                                             \
	{                                                                                          \
		.name = "N", .mode = S_IFLNK | (bits), .access = proc_may_access, .link = fd_link  \
	}
static const struct pseudo_entry fd_entries[4] = {
	FD_ENTRY(0100),
	FD_ENTRY(0500),
	FD_ENTRY(0300),
	FD_ENTRY(0700),
};

static const struct pseudo_entry fdinfo_entry = {
	.name = "N",
	.mode = S_IFREG | 0444,
	.access = proc_may_access,
	.show = fdinfo_show,
};

static int find_number(const struct op_ctx *ctx, const struct pseudo_key *dir, const char *name,
		       struct pseudo_key *ret_key, struct file **ret_file)
{
	int fd;

	if (pseudo_parse_number(name, &fd))
		return -ENOENT;
	*ret_key = *dir;
	ret_key->num = fd;
	*ret_file = key_file(ctx, ret_key, NULL);
	return *ret_file ? 0 : -ENOENT;
}

static int fd_find(const struct op_ctx *ctx, const struct pseudo_key *dir, const char *name,
		   struct pseudo_key *ret_key, const struct pseudo_entry **ret_entry)
{
	struct file *file;
	int err = find_number(ctx, dir, name, ret_key, &file);

	if (err)
		return err;
	*ret_entry = &fd_entries[((file->fmode & FMODE_READ) ? 1 : 0) +
				 ((file->fmode & FMODE_WRITE) ? 2 : 0)];
	file_put(file);
	return 0;
}

static int fdinfo_find(const struct op_ctx *ctx, const struct pseudo_key *dir, const char *name,
		       struct pseudo_key *ret_key, const struct pseudo_entry **ret_entry)
{
	struct file *file;
	int err = find_number(ctx, dir, name, ret_key, &file);

	if (err)
		return err;
	*ret_entry = &fdinfo_entry;
	file_put(file);
	return 0;
}

static int fd_next(const struct op_ctx *ctx, const struct pseudo_key *dir, int *number)
{
	struct fdtable *files = key_files(dir);
	int fd = -1;

	if (files) {
		fd = fdtable_next(files, *number);
		fdtable_put(ctx, files);
	}
	if (fd < 0)
		return -ENOENT;
	*number = fd;
	return 0;
}

const struct pseudo_dynamic proc_fd_names = {
	.find = fd_find,
	.next = fd_next,
	.prefix = "",
	.dirent_type = DT_LNK,
};

const struct pseudo_dynamic proc_fdinfo_names = {
	.find = fdinfo_find,
	.next = fd_next,
	.prefix = "",
	.dirent_type = DT_REG,
};
