#include "sentry/hostproc.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"

static int proc_hostfd = -1;

int hostproc_init(void)
{
	if (proc_hostfd >= 0)
		return 0;
	proc_hostfd = (int)HOST(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
	return proc_hostfd < 0 ? proc_hostfd : 0;
}

int hostproc_open(const char *name, int flags)
{
	if (proc_hostfd < 0)
		return -ENOENT;
	return (int)HOST(openat(proc_hostfd, name, flags | O_CLOEXEC));
}

ssize_t hostproc_read(pid_t pid, const char *name, char *buf, size_t size)
{
	cleanup_close int hostfd = -1;
	char path[64];
	size_t done = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "%d/%s", (int)pid, name);
	hostfd = hostproc_open(path, O_RDONLY);
	if (hostfd < 0)
		return hostfd;
	do {
		n = HOST(read(hostfd, buf + done, size - 1 - done));
		if (n < 0)
			return n;
		done += (size_t)n;
	} while (n > 0 && done < size - 1);
	buf[done] = 0;
	return (ssize_t)done;
}

ssize_t hostproc_readlink(const char *name, char *buf, size_t size)
{
	ssize_t n;

	if (proc_hostfd < 0)
		return -ENOENT;
	n = HOST(readlinkat(proc_hostfd, name, buf, size - 1));
	if (n >= 0)
		buf[n] = 0;
	return n;
}
