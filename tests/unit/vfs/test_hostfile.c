/* hostfile: pipes, sockets and regular files of the host as guests see them. */
#include "kinds_support.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "vfs/attr.h"
#include "vfs/file/hostfile.h"
#include "vfs/inode.h"

/* A reactor in one thread: tells each edge of one descriptor (by level: more is harmless). */
static struct watcher {
	int hostfd;
	void (*ready)(void *arg, unsigned events);
	void *arg;
	pthread_t thread;
	atomic_bool stop;
} watcher;

static void *watcher_main(void *unused)
{
	(void)unused;
	while (!atomic_load(&watcher.stop)) {
		struct pollfd pfd = {.fd = watcher.hostfd, .events = POLLIN | POLLOUT};

		if (poll(&pfd, 1, 1) > 0)
			watcher.ready(watcher.arg, (unsigned)pfd.revents);
	}
	return NULL;
}

static int watch_add(int hostfd, void (*ready)(void *arg, unsigned events), void *arg,
		     void **ret_watch)
{
	watcher.hostfd = hostfd;
	watcher.ready = ready;
	watcher.arg = arg;
	pthread_create(&watcher.thread, NULL, watcher_main, NULL);
	*ret_watch = &watcher;
	return 0;
}

static void watch_del(void *watch)
{
	(void)watch;
	atomic_store(&watcher.stop, true);
	pthread_join(watcher.thread, NULL);
}

static const struct hostfile_watch_ops watch_ops = {watch_add, watch_del};

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	kinds_init();
	hostfile_set_watch_ops(&watch_ops);
}

TestSuite(hostfile, .init = setup, .fini = kinds_fini, .timeout = 120);

static struct file *around(int hostfd, unsigned flags)
{
	struct file *file;

	cr_assert_eq(hostfile_new(&test_ctx, hostfd, flags, &file), 0);
	return file;
}

Test(hostfile, reader_of_a_host_pipe_sleeps_until_the_host_writes)
{
	struct blocked reader = {.call = blocked_read, .len = 100};
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	reader.file = around(fds[0], O_RDONLY);
	cr_assert_eq(poll_now(reader.file), 0);
	blocked_start(&reader);
	cr_assert_eq(write(fds[1], "host", 4), 4);
	cr_assert_eq(blocked_join(&reader), 4);
	cr_assert_arr_eq(reader.buf, "host", 4);
	close(fds[1]);
	cr_assert_eq(get(reader.file, reader.buf, 4), 0);
	cr_assert(poll_now(reader.file) & POLLHUP);
	file_put(reader.file);
}

Test(hostfile, guests_o_nonblock_never_reaches_the_host)
{
	struct file *file;
	int fds[2];
	char c;

	cr_assert_eq(pipe(fds), 0);
	file = around(dup(fds[0]), O_RDONLY);
	set_nonblock(file);
	cr_assert_eq(get(file, &c, 1), -EAGAIN);
	cr_assert_eq(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
	file_put(file);
	close(fds[0]);
	close(fds[1]);
}

Test(hostfile, broken_host_pipe_is_the_guests_sigpipe)
{
	struct file *file;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	file = around(fds[1], O_WRONLY);
	cr_assert_eq(puts_to(file, "x"), 1);
	close(fds[0]);
	atomic_store(&test_signals, 0);
	cr_assert_eq(puts_to(file, "x"), -EPIPE);
	cr_assert_eq(atomic_load(&test_signals), 1);
	file_put(file);
}

static ssize_t write_big(struct blocked *self)
{
	static char big[300000];

	return put(self->file, big, sizeof(big));
}

Test(hostfile, large_write_to_a_host_pipe_is_completed)
{
	struct blocked writer = {.call = write_big};
	static char buf[65536];
	size_t total = 0;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	writer.file = around(fds[1], O_WRONLY);
	blocked_start(&writer);
	while (total < 300000)
		total += (size_t)read(fds[0], buf, sizeof(buf));
	cr_assert_eq(blocked_join(&writer), 300000);
	close(fds[0]);
	file_put(writer.file);
}

Test(hostfile, sleeping_reader_can_be_interrupted)
{
	struct blocked reader = {.call = blocked_read, .len = 1};
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	reader.file = around(fds[0], O_RDONLY);
	blocked_start(&reader);
	blocked_interrupt(&reader);
	cr_assert_eq(blocked_join(&reader), -ERESTARTSYS);
	file_put(reader.file);
	close(fds[1]);
}

Test(hostfile, host_socket_is_read_and_written)
{
	struct file *file;
	char buf[8];
	int fds[2], n = 0;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	file = around(fds[0], O_RDWR);
	cr_assert_eq(puts_to(file, "ping"), 4);
	cr_assert_eq(read(fds[1], buf, 8), 4);
	cr_assert_eq(write(fds[1], "pong!", 5), 5);
	cr_assert_eq(vfs_ioctl(&test_ctx, file, FIONREAD, (uintptr_t)&n), 0);
	cr_assert_eq(n, 5);
	cr_assert_eq(get(file, buf, 8), 5);
	file_put(file);
	close(fds[1]);
}

static int temp_file(void)
{
	char name[] = "/tmp/fusebox-hostfile-XXXXXX";
	int hostfd = mkstemp(name);

	unlink(name);
	return hostfd;
}

Test(hostfile, regular_file_shares_the_hosts_position)
{
	int hostfd = temp_file();
	struct file *out = around(dup(hostfd), O_RDWR), *err = around(dup(hostfd), O_RDWR);
	char buf[16] = "";

	puts_to(out, "out ");
	puts_to(err, "err ");
	cr_assert_eq(write(hostfd, "host", 4), 4);
	cr_assert_eq(vfs_llseek(&test_ctx, out, 0, SEEK_CUR), 12);
	cr_assert_eq(kernel_read(&test_ctx, out, buf, 16, 0), 12);
	cr_assert_str_eq(buf, "out err host");
	cr_assert_eq(vfs_llseek(&test_ctx, out, 4, SEEK_SET), 4);
	cr_assert_eq(get(err, buf, 3), 3);
	cr_assert_arr_eq(buf, "err", 3);
	cr_assert_eq(poll_now(out), POLL_ALWAYS);
	file_put(out);
	file_put(err);
	close(hostfd);
}

Test(hostfile, pread_and_splice_leave_the_position_where_it_belongs)
{
	int hostfd = temp_file();
	struct file *file = around(dup(hostfd), O_RDWR);
	int64_t pos = 2;
	char buf[8];

	puts_to(file, "0123456789");
	vfs_llseek(&test_ctx, file, 0, SEEK_SET);
	cr_assert_eq(get(file, buf, 2), 2);
	cr_assert_eq(kernel_read(&test_ctx, file, buf, 3, 2), 3);
	cr_assert_eq(kernel_read(&test_ctx, file, buf, 3, 7), 3);
	cr_assert_arr_eq(buf, "789", 3);
	cr_assert_eq(get(file, buf, 3), 3);
	cr_assert_arr_eq(buf, "234", 3);
	/* A splice that could not write all it read goes back. */
	cr_assert_eq(file->op->read_iter(&test_ctx, file,
					 &(struct io_iter){.segs = &(struct iovec){buf, 3},
							   .nr_segs = 1,
							   .count = 3},
					 &pos, 0),
		     3);
	file->pos = 6;
	cr_assert_eq(get(file, buf, 2), 2);
	cr_assert_arr_eq(buf, "67", 2);
	file_put(file);
	cr_assert_eq(lseek(hostfd, 0, SEEK_CUR), 8, "the host goes on where the guest stopped");
	close(hostfd);
}

Test(hostfile, attributes_are_the_hosts)
{
	int hostfd = temp_file();
	struct file *file = around(dup(hostfd), O_RDWR);
	struct kstat st;
	struct iattr attr = {.valid = ATTR_SIZE, .size = 100};

	cr_assert_eq(write(hostfd, "12345", 5), 5);
	cr_assert_eq(file->inode->op->getattr(&test_ctx, &file->path, &st, 0, 0), 0);
	cr_assert_eq(st.size, 5);
	cr_assert(S_ISREG(st.mode));
	cr_assert_eq(file->inode->op->setattr(&test_ctx, file->path.dentry, &attr), 0);
	cr_assert_eq(lseek(hostfd, 0, SEEK_END), 100);
	attr.valid = ATTR_MODE;
	cr_assert_eq(file->inode->op->setattr(&test_ctx, file->path.dentry, &attr), -EPERM);
	file_put(file);
	close(hostfd);
}

Test(hostfile, opened_again_it_obeys_the_hosts_access_mode)
{
	struct file *file, *again;
	int fds[2];
	char c;

	cr_assert_eq(pipe(fds), 0);
	file = around(fds[0], O_RDONLY);
	cr_assert_eq(file_new(&test_ctx, &file->path, O_WRONLY, &again), 0);
	cr_assert_eq(file_do_open(&test_ctx, again), -EACCES);
	file_put(again);
	cr_assert_eq(file_new(&test_ctx, &file->path, O_RDONLY, &again), 0);
	cr_assert_eq(file_do_open(&test_ctx, again), 0);
	file_put(file);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert_eq(get(again, &c, 1), 1);
	file_put(again);
	close(fds[1]);
}

Test(hostfile, dev_null_never_waits)
{
	struct file *file = around(open("/dev/null", O_RDWR), O_RDWR);
	char c;

	cr_assert_eq(get(file, &c, 1), 0);
	cr_assert_eq(puts_to(file, "gone"), 4);
	file_put(file);
}
