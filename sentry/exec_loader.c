/*
 * The host side of execve: the loader's memfd, host descriptors of programs, and the check that a
 * task runs the loader and nothing else.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/exec.h"
#include "sentry/exec_internal.h"
#include "sentry/hostproc.h"
#include "sentry/loader/loader_image.h"
#include "sentry/task.h"
#include "vfs/file.h"
#include "vfs/inode.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif
#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
#define COPY_CHUNK 65536

/* Identity of the loader's memfd; set once before the first guest. */
static dev_t loader_dev;
static ino_t loader_ino;

int memfd_exec(const char *name)
{
	int hostfd = (int)HOST(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));

	if (hostfd == -EINVAL)
		hostfd = (int)HOST(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
	return hostfd;
}

static int write_all(int hostfd, const void *data, size_t len)
{
	while (len) {
		ssize_t put = HOST(write(hostfd, data, len));

		if (put == -EINTR)
			continue;
		if (put < 0)
			return (int)put;
		data = (const char *)data + put;
		len -= (size_t)put;
	}
	return 0;
}

int loader_memfd(void)
{
	cleanup_close int hostfd = memfd_exec("fusebox-loader");
	struct stat st;
	int err;

	if (hostfd < 0)
		return hostfd;
	/* cppcheck-suppress comparePointers; two symbols of one image */
	err = write_all(hostfd, fb_loader_image, (size_t)(fb_loader_image_end - fb_loader_image));
	if (!err)
		err = (int)HOST(fchmod(hostfd, 0555));
	if (!err)
		err = (int)HOST(fcntl(hostfd, F_ADD_SEALS, SEALS));
	if (!err)
		err = (int)HOST(fstat(hostfd, &st));
	if (err)
		return err;
	loader_dev = st.st_dev;
	loader_ino = st.st_ino;
	return steal_fd(&hostfd);
}

bool exec_runs_loader(struct task *task)
{
	cleanup_close int hostfd = -1;
	char name[32];
	struct stat st;

	snprintf(name, sizeof(name), "%d/exe", task->tid);
	hostfd = hostproc_open(name, O_PATH | O_CLOEXEC);
	return hostfd >= 0 && HOST(fstat(hostfd, &st)) == 0 && st.st_dev == loader_dev &&
	       st.st_ino == loader_ino;
}

/* For file systems that cannot map, and host files on noexec mounts. */
static int copy_to_memfd(const struct op_ctx *ctx, struct file *file, int *ret_hostfd)
{
	cleanup_close int hostfd = memfd_exec("fusebox-program");
	cleanup_free char *buf = malloc(COPY_CHUNK);
	int64_t pos = 0;
	ssize_t got;
	int err = 0;

	if (hostfd < 0)
		return hostfd;
	if (!buf)
		return -ENOMEM;
	while (!err && (got = kernel_read(ctx, file, buf, COPY_CHUNK, pos)) != 0) {
		if (got < 0)
			return (int)got;
		err = write_all(hostfd, buf, (size_t)got);
		pos += got;
	}
	if (!err)
		err = (int)HOST(fcntl(hostfd, F_ADD_SEALS, SEALS));
	if (!err)
		*ret_hostfd = steal_fd(&hostfd);
	return err;
}

static bool is_noexec(int hostfd)
{
	struct statvfs st;

	return HOST(fstatvfs(hostfd, &st)) == 0 && (st.f_flag & ST_NOEXEC);
}

int exec_make_mappable(const struct op_ctx *ctx, struct file *file, int *hostfd)
{
	int copy, err;

	if (!is_noexec(*hostfd))
		return 0;
	err = copy_to_memfd(ctx, file, &copy);
	if (err)
		return err;
	close(*hostfd);
	*hostfd = copy;
	return 0;
}

int exec_hostfd(const struct op_ctx *ctx, struct file *file, int *ret_hostfd)
{
	struct mmap_request req = {
		.length = (uint64_t)inode_size(file->inode),
		.prot = PROT_READ | PROT_EXEC,
		.flags = MAP_PRIVATE,
	};
	int hostfd = -1, err = -ENODEV;

	if (file->op->mmap)
		err = file->op->mmap(ctx, file, &req, &hostfd);
	if (err == -ENODEV)
		return copy_to_memfd(ctx, file, ret_hostfd);
	if (err)
		return err;
	err = exec_make_mappable(ctx, file, &hostfd);
	if (err)
		close(hostfd);
	else
		*ret_hostfd = hostfd;
	return err;
}
