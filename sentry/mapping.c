/*
 * mmap(2) of files, cf. do_mmap() in mm/mmap.c for the order of the checks. What the file cannot
 * tell (overlaps, limits, address ranges) is left to the host, which runs the call natively with
 * the host descriptor that carries the file's pages planted at the guest's number.
 */
#include "sentry/mapping.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/call.h"
#include "sentry/exec.h"
#include "sentry/mapnames.h"
#include "sentry/procinfo.h"
#include "sentry/task.h"
#include "sentry/trap.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/mapped.h"
#include "vfs/mount.h"
#include "vfs/strbuf.h"
#include "vfs/superblock.h"

#define PAGE 4096ull
#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif
#define MAP_HUGE_SIZES (31u << 26) /* MAP_HUGE_2MB | MAP_HUGE_1GB; MAP_UNINITIALIZED is in it */
/* LEGACY_MAP_MASK of include/linux/mman.h: what MAP_SHARED_VALIDATE lets pass. */
#define MAP_KNOWN                                                                         \
	(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE |           \
	 MAP_EXECUTABLE | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE |     \
	 MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB | MAP_32BIT | MAP_HUGE_SIZES)

static int check_range(const struct mmap_request *req)
{
	uint64_t length = (req->length + PAGE - 1) & ~(PAGE - 1);

	if (!req->length)
		return -EINVAL;
	if (!length)
		return -ENOMEM;
	if ((uint64_t)req->offset + length < (uint64_t)req->offset || req->offset < 0)
		return -EOVERFLOW;
	return 0;
}

static bool is_noexec(const struct file *file)
{
	return (file->path.mnt->flags & MNT_NOEXEC) || (file->inode->sb->flags & SB_NOEXEC);
}

static int check_access(const struct file *file, const struct mmap_request *req)
{
	switch (req->flags & MAP_TYPE) {
	case MAP_SHARED_VALIDATE:
		if ((unsigned)req->flags & ~MAP_KNOWN)
			return -EOPNOTSUPP;
		/* fall through */
		__attribute__((fallthrough));
	case MAP_SHARED:
		if ((req->prot & PROT_WRITE) && !(file->fmode & FMODE_WRITE))
			return -EACCES;
		/* fall through */
		__attribute__((fallthrough));
	case MAP_PRIVATE:
		break;
	default:
		return -EINVAL;
	}
	if (!(file->fmode & FMODE_READ))
		return -EACCES;
	if ((req->prot & PROT_EXEC) && is_noexec(file))
		return -EPERM;
	if (!file->op->mmap)
		return -ENODEV;
	return req->flags & MAP_GROWSDOWN ? -EINVAL : 0;
}

void mapping_note_name(struct task *task, int hostfd, struct file *file)
{
	struct path root;
	struct stat st;
	char *path;

	if (HOST(fstat(hostfd, &st)))
		return;
	fs_get_root(task->fs, &root);
	path = d_path(&file->path, &root);
	path_put(&root);
	if (path)
		mapnames_note(st.st_dev, st.st_ino, path);
	free(path);
}

/*
 * Puts the host file at the guest's number, unless it stands there already. A private executable
 * mapping of what the host has mounted noexec gets a copy of its own, which then stays: the file
 * was mapped readable before, so the mark does not tell whether it has been done.
 */
static int plant(struct task *task, struct file *file, int fd, const struct mmap_request *req,
		 int *hostfd)
{
	bool stands = fdtable_planted(task->files, fd) == file;
	int was = *hostfd, err = 0;

	if ((req->prot & PROT_EXEC) && (req->flags & MAP_TYPE) == MAP_PRIVATE)
		err = exec_make_mappable(task_ctx(task), file, hostfd);
	/* From here the trapped task itself is needed. */
	if (!err)
		err = call_pin(task);
	if (err || (stands && *hostfd == was))
		return err;
	err = trap->plant_fd(task, *hostfd, fd);
	if (err)
		return err;
	fdtable_set_planted(task->files, fd, file);
	mapping_note_name(task, *hostfd, file);
	return 0;
}

static int map(struct task *task, struct file *file, int fd, const struct mmap_request *req)
{
	int hostfd, err;

	err = check_range(req);
	if (!err)
		err = check_access(file, req);
	/* Asked each time, also when the file stands there already: it may have to be filled. */
	if (!err)
		err = file->op->mmap(task_ctx(task), file, req, &hostfd);
	if (err)
		return err;
	err = plant(task, file, fd, req, &hostfd);
	close(hostfd);
	return err;
}

/* The file wants another offset: the call runs again with it. */
static bool moves(struct file *file, uint64_t *offset)
{
	const uint64_t was = *offset;

	if (file->op->mmap_offset)
		*offset = (uint64_t)file->op->mmap_offset(file, (int64_t)was);
	return *offset != was;
}

int64_t mapping_mmap(struct task *task)
{
	uint64_t *args = task->call.args;
	struct mmap_request req = {
		.length = args[1],
		.prot = (int)args[2],
		.flags = (int)args[3],
		.offset = (int64_t)args[5],
	};
	int fd = (int)args[4];
	struct file *file;
	int64_t err;

	if (args[5] % PAGE)
		return -EINVAL;
	if (req.flags & MAP_ANONYMOUS)
		return CALL_NATIVE;
	file = fdtable_file(task->files, fd);
	if (!file)
		return -EBADF;
	/* Huge pages come from hugetlbfs or anonymous memory. */
	if (req.flags & MAP_HUGETLB)
		err = -EINVAL;
	else if (moves(file, &args[5]))
		err = CALL_REWRITE;
	else
		err = map(task, file, fd, &req);
	file_put(file);
	return err ? err : CALL_NATIVE;
}

static int sync_mapped(uint64_t dev, uint64_t ino, void *arg)
{
	return mapped_msync(task_ctx(arg), dev, ino);
}

/*
 * The host knows what is mapped where. Only the files in the range: to wait for all would let a
 * daemon that calls msync(2) on some file of its own wait for itself.
 */
int64_t mapping_msync(struct task *task, uint64_t start, uint64_t length)
{
	struct strbuf maps = STRBUF_INIT;
	int err;

	if (!mapped_any())
		return CALL_NATIVE;
	err = procinfo_read(task->tid, "maps", &maps);
	if (!err && maps.failed)
		err = -ENOMEM;
	if (!err && maps.buf)
		err = procmaps_shared(maps.buf, start, start + length, sync_mapped, task);
	strbuf_free(&maps);
	return err ? err : CALL_NATIVE;
}
