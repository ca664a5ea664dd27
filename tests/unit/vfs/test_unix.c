/* AF_UNIX: streams, datagrams, seqpacket, names, files and credentials in flight, garbage. */
#include "kinds_support.h"

#include <linux/sockios.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/un.h>

#include "vfs/file/pipe.h"
#include "vfs/file/socket.h"

TestSuite(unix_socket, .init = kinds_init, .fini = kinds_fini, .timeout = 120);

static struct file *pair[2];

static void make_pair(int type)
{
	cr_assert_eq(socket_pair(&test_ctx, AF_UNIX, type, 0, 0, pair), 0);
}

static void drop_pair(void)
{
	file_put(pair[0]);
	file_put(pair[1]);
}

static struct file *make(int type)
{
	struct file *file;

	cr_assert_eq(socket_create(&test_ctx, AF_UNIX, type, 0, 0, &file), 0);
	return file;
}

static struct socket *sk(struct file *file)
{
	return socket_from_file(file);
}

static size_t abstract(const char *name, struct sockaddr_storage *ret)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memcpy(un.sun_path + 1, name, strlen(name));
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, &un, sizeof(un));
	return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
}

static int bind_to(struct file *file, const char *name)
{
	struct sockaddr_storage addr;
	size_t len = abstract(name, &addr);

	return socket_bind(&test_ctx, sk(file), &addr, len);
}

static int connect_to(struct file *file, const char *name)
{
	struct sockaddr_storage addr;
	size_t len = abstract(name, &addr);

	return socket_connect(&test_ctx, sk(file), &addr, len);
}

static struct file *make_listener(int type, const char *name, int backlog)
{
	struct file *file = make(type);

	cr_assert_eq(bind_to(file, name), 0);
	cr_assert_eq(socket_listen(&test_ctx, sk(file), backlog), 0);
	return file;
}

static ssize_t send_msg(struct file *file, const char *text, unsigned flags, struct scm *scm)
{
	struct io_iter iter;
	struct sock_msg msg = {.iter = &iter, .flags = flags};

	if (scm)
		msg.scm = *scm;
	iter_init_mem(&iter, (void *)(uintptr_t)text, strlen(text));
	return socket_sendmsg(&test_ctx, sk(file), &msg);
}

static ssize_t send_to(struct file *file, const char *text, const char *name, unsigned flags)
{
	struct io_iter iter;
	struct sock_msg msg = {.iter = &iter, .flags = flags};

	iter_init_mem(&iter, (void *)(uintptr_t)text, strlen(text));
	msg.name_len = abstract(name, &msg.name);
	return socket_sendmsg(&test_ctx, sk(file), &msg);
}

static struct sock_msg last; /* what the last receive told */

static ssize_t recv_msg(struct file *file, void *buf, size_t len, unsigned flags)
{
	struct io_iter iter;

	last = (struct sock_msg){.iter = &iter, .flags = flags};
	iter_init_mem(&iter, buf, len);
	return socket_recvmsg(&test_ctx, sk(file), &last);
}

static int int_option(struct file *file, int name)
{
	int value = -1;
	size_t len = sizeof(value);

	cr_assert_eq(socket_getsockopt(&test_ctx, sk(file), SOL_SOCKET, name, &value, &len), 0);
	return value;
}

static void set_int_option(struct file *file, int name, int value)
{
	cr_assert_eq(
		socket_setsockopt(&test_ctx, sk(file), SOL_SOCKET, name, &value, sizeof(value)), 0);
}

/* ---- creation ---- */

Test(unix_socket, families_types_and_protocols_are_checked)
{
	struct file *file;

	cr_assert_eq(socket_create(&test_ctx, AF_INET, SOCK_STREAM, 0, 0, &file), -EAFNOSUPPORT);
	cr_assert_eq(socket_create(&test_ctx, AF_UNIX, SOCK_RDM, 0, 0, &file), -ESOCKTNOSUPPORT);
	cr_assert_eq(socket_create(&test_ctx, AF_UNIX, SOCK_STREAM, 7, 0, &file), -EPROTONOSUPPORT);
	cr_assert_eq(socket_create(&test_ctx, AF_UNIX, 99, 0, 0, &file), -EINVAL);
}

Test(unix_socket, generic_options_read_back)
{
	struct file *file = make(SOCK_SEQPACKET);

	cr_assert_eq(int_option(file, SO_TYPE), SOCK_SEQPACKET);
	cr_assert_eq(int_option(file, SO_DOMAIN), AF_UNIX);
	cr_assert_eq(int_option(file, SO_ERROR), 0);
	cr_assert_eq(int_option(file, SO_ACCEPTCONN), 0);
	set_int_option(file, SO_SNDBUF, 10000);
	cr_assert_eq(int_option(file, SO_SNDBUF), 20000);
	set_int_option(file, SO_RCVBUF, 1);
	cr_assert_eq(int_option(file, SO_RCVBUF), 2304);
	set_int_option(file, SO_REUSEADDR, 5);
	cr_assert_eq(int_option(file, SO_REUSEADDR), 1);
	cr_assert_eq(poll_now(file), POLLHUP | POLLOUT | POLLWRNORM | POLLWRBAND);
	file_put(file);
}

/* ---- stream ---- */

Test(unix_socket, stream_glues_and_splits_bytes)
{
	char buf[16] = "";

	make_pair(SOCK_STREAM);
	puts_to(pair[0], "hello ");
	puts_to(pair[0], "world");
	cr_assert_eq(get(pair[1], buf, 4), 4);
	cr_assert_eq(get(pair[1], buf + 4, 12), 7);
	cr_assert_str_eq(buf, "hello world");
	drop_pair();
}

Test(unix_socket, stream_peek_leaves_the_bytes)
{
	char buf[16];

	make_pair(SOCK_STREAM);
	puts_to(pair[0], "ab");
	puts_to(pair[0], "cd");
	cr_assert_eq(recv_msg(pair[1], buf, sizeof(buf), MSG_PEEK), 4);
	cr_assert_eq(recv_msg(pair[1], buf, sizeof(buf), 0), 4);
	cr_assert_arr_eq(buf, "abcd", 4);
	cr_assert_eq(recv_msg(pair[1], buf, 1, MSG_DONTWAIT), -EAGAIN);
	drop_pair();
}

static ssize_t blocked_waitall(struct blocked *self)
{
	struct io_iter iter;
	struct sock_msg msg = {.iter = &iter, .flags = MSG_WAITALL};

	iter_init_mem(&iter, self->buf, self->len);
	return socket_recvmsg(&test_ctx, sk(self->file), &msg);
}

Test(unix_socket, waitall_waits_for_all_of_it)
{
	struct blocked reader = {.call = blocked_waitall, .len = 6};

	make_pair(SOCK_STREAM);
	reader.file = pair[1];
	blocked_start(&reader);
	puts_to(pair[0], "abc");
	until_waiting(&sk(pair[1])->wq);
	puts_to(pair[0], "def");
	cr_assert_eq(blocked_join(&reader), 6);
	cr_assert_arr_eq(reader.buf, "abcdef", 6);
	drop_pair();
}

Test(unix_socket, closing_gives_end_of_file_and_epipe)
{
	char buf[4];

	make_pair(SOCK_STREAM);
	puts_to(pair[0], "x");
	file_put(pair[0]);
	cr_assert(poll_now(pair[1]) & POLLHUP);
	cr_assert(poll_now(pair[1]) & POLLRDHUP);
	cr_assert_eq(get(pair[1], buf, 4), 1);
	cr_assert_eq(get(pair[1], buf, 4), 0);
	atomic_store(&test_signals, 0);
	cr_assert_eq(send_msg(pair[1], "x", MSG_NOSIGNAL, NULL), -EPIPE);
	cr_assert_eq(atomic_load(&test_signals), 0);
	cr_assert_eq(puts_to(pair[1], "x"), -EPIPE);
	cr_assert_eq(atomic_load(&test_signals), 1);
	file_put(pair[1]);
}

Test(unix_socket, closing_with_unread_bytes_is_a_reset)
{
	char buf[4];

	make_pair(SOCK_STREAM);
	puts_to(pair[1], "unread");
	file_put(pair[0]);
	cr_assert(poll_now(pair[1]) & POLLERR);
	cr_assert_eq(get(pair[1], buf, 4), -ECONNRESET);
	cr_assert_eq(get(pair[1], buf, 4), 0);
	file_put(pair[1]);
}

Test(unix_socket, shutdown_ends_one_direction)
{
	char buf[4];

	make_pair(SOCK_STREAM);
	cr_assert_eq(socket_shutdown(&test_ctx, sk(pair[0]), SHUT_WR), 0);
	cr_assert_eq(get(pair[1], buf, 4), 0);
	cr_assert_eq(puts_to(pair[0], "x"), -EPIPE);
	cr_assert_eq(puts_to(pair[1], "y"), 1);
	cr_assert_eq(get(pair[0], buf, 4), 1);
	cr_assert_eq(socket_shutdown(&test_ctx, sk(pair[0]), 3), -EINVAL);
	drop_pair();
}

Test(unix_socket, shutdown_wakes_a_sleeping_reader)
{
	struct blocked reader = {.call = blocked_read, .len = 4, .ret = -1};

	make_pair(SOCK_STREAM);
	reader.file = pair[1];
	blocked_start(&reader);
	until_waiting(&sk(pair[1])->wq);
	socket_shutdown(&test_ctx, sk(pair[1]), SHUT_RD);
	cr_assert_eq(blocked_join(&reader), 0);
	drop_pair();
}

static ssize_t blocked_write_big(struct blocked *self)
{
	static char big[1000000];

	return put(self->file, big, sizeof(big));
}

Test(unix_socket, full_buffer_blocks_the_sender_until_it_drains)
{
	struct blocked writer = {.call = blocked_write_big};
	static char buf[50000];
	size_t total = 0;

	make_pair(SOCK_STREAM);
	writer.file = pair[0];
	blocked_start(&writer);
	until_waiting(&sk(pair[0])->wq);
	cr_assert_eq(poll_now(pair[0]) & POLLOUT, 0);
	while (total < 1000000)
		total += (size_t)get(pair[1], buf, sizeof(buf));
	cr_assert_eq(blocked_join(&writer), 1000000);
	cr_assert(poll_now(pair[0]) & POLLOUT);
	drop_pair();
}

Test(unix_socket, receive_timeout_is_eagain)
{
	struct timeval tv = {0, 20000};
	char c;

	make_pair(SOCK_STREAM);
	cr_assert_eq(
		socket_setsockopt(&test_ctx, sk(pair[0]), SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)),
		0);
	cr_assert_eq(get(pair[0], &c, 1), -EAGAIN);
	drop_pair();
}

Test(unix_socket, queue_lengths_are_told)
{
	int n = -1;

	make_pair(SOCK_STREAM);
	puts_to(pair[0], "abc");
	puts_to(pair[0], "de");
	cr_assert_eq(vfs_ioctl(&test_ctx, pair[1], SIOCINQ, (uintptr_t)&n), 0);
	cr_assert_eq(n, 5);
	cr_assert_eq(vfs_ioctl(&test_ctx, pair[0], SIOCOUTQ, (uintptr_t)&n), 0);
	cr_assert_gt(n, 5);
	drop_pair();
}

/* ---- connections ---- */

Test(unix_socket, connect_and_accept_by_abstract_name)
{
	struct file *listener = make_listener(SOCK_STREAM, "srv", 5), *client = make(SOCK_STREAM);
	struct sockaddr_storage addr;
	struct file *conn;
	char buf[8];
	size_t len;

	cr_assert_eq(poll_now(listener), 0);
	cr_assert_eq(connect_to(client, "srv"), 0);
	cr_assert_eq(poll_now(listener), POLLIN | POLLRDNORM);
	puts_to(client, "early");
	cr_assert_eq(socket_accept(&test_ctx, sk(listener), 0, &conn, &addr, &len), 0);
	cr_assert_eq(len, 2, "the client has no name");
	cr_assert_eq(get(conn, buf, 8), 5);
	cr_assert_eq(socket_getname(&test_ctx, sk(conn), false, &addr, &len), 0);
	cr_assert_eq(len, 2 + 4);
	cr_assert_eq(socket_getname(&test_ctx, sk(client), true, &addr, &len), 0);
	cr_assert_arr_eq(((struct sockaddr_un *)&addr)->sun_path, "\0srv", 4);
	cr_assert_eq(connect_to(client, "srv"), -EISCONN);
	cr_assert_eq(int_option(listener, SO_ACCEPTCONN), 1);
	file_put(conn);
	file_put(client);
	file_put(listener);
}

Test(unix_socket, names_are_taken_refused_and_given_back)
{
	struct file *a = make(SOCK_STREAM), *b = make(SOCK_STREAM), *d = make(SOCK_DGRAM);

	cr_assert_eq(connect_to(b, "nobody"), -ECONNREFUSED);
	cr_assert_eq(bind_to(a, "name"), 0);
	cr_assert_eq(bind_to(a, "other"), -EINVAL, "bound already");
	cr_assert_eq(bind_to(b, "name"), -EADDRINUSE);
	cr_assert_eq(bind_to(d, "name"), 0, "another type, another name");
	cr_assert_eq(connect_to(b, "name"), -ECONNREFUSED, "not listening");
	file_put(a);
	cr_assert_eq(bind_to(b, "name"), 0);
	file_put(b);
	file_put(d);
}

Test(unix_socket, autobind_gives_five_digits)
{
	struct file *file = make(SOCK_DGRAM);
	struct sockaddr_storage addr = {.ss_family = AF_UNIX};
	size_t len = 2;

	cr_assert_eq(socket_bind(&test_ctx, sk(file), &addr, len), 0);
	cr_assert_eq(socket_getname(&test_ctx, sk(file), false, &addr, &len), 0);
	cr_assert_eq(len, 8);
	cr_assert_eq(((struct sockaddr_un *)&addr)->sun_path[0], 0);
	file_put(file);
}

static ssize_t blocked_accept(struct blocked *self)
{
	return socket_accept(&test_ctx, sk(self->file), 0, (struct file **)self->arg, NULL, NULL);
}

Test(unix_socket, accept_waits_for_a_connection)
{
	struct file *listener = make_listener(SOCK_SEQPACKET, "w", 1), *client, *conn = NULL;
	struct blocked acceptor = {.call = blocked_accept, .file = listener, .arg = &conn};

	blocked_start(&acceptor);
	until_waiting(&sk(listener)->wq);
	client = make(SOCK_SEQPACKET);
	cr_assert_eq(connect_to(client, "w"), 0);
	cr_assert_eq(blocked_join(&acceptor), 0);
	file_put(conn);
	file_put(client);
	file_put(listener);
}

static ssize_t blocked_connect(struct blocked *self)
{
	return connect_to(self->file, "full");
}

Test(unix_socket, full_backlog_is_eagain_or_waits)
{
	struct file *listener = make_listener(SOCK_STREAM, "full", 0), *conn;
	struct file *first = make(SOCK_STREAM), *second = make(SOCK_STREAM);
	struct blocked connector = {.call = blocked_connect};

	cr_assert_eq(connect_to(first, "full"), 0);
	set_nonblock(second);
	cr_assert_eq(connect_to(second, "full"), -EAGAIN);
	file_put(second);
	connector.file = make(SOCK_STREAM);
	blocked_start(&connector);
	cr_assert_eq(socket_accept(&test_ctx, sk(listener), 0, &conn, NULL, NULL), 0);
	cr_assert_eq(blocked_join(&connector), 0);
	file_put(conn);
	file_put(first);
	file_put(connector.file);
	file_put(listener);
}

Test(unix_socket, closing_the_listener_resets_who_was_not_accepted)
{
	struct file *listener = make_listener(SOCK_STREAM, "gone", 5), *client = make(SOCK_STREAM);
	char c;

	cr_assert_eq(connect_to(client, "gone"), 0);
	file_put(listener);
	cr_assert_eq(get(client, &c, 1), -ECONNRESET);
	cr_assert_eq(get(client, &c, 1), 0);
	file_put(client);
}

Test(unix_socket, peer_credentials_are_those_at_connect)
{
	struct ucred ucred;
	size_t len = sizeof(ucred);

	make_pair(SOCK_STREAM);
	cr_assert_eq(
		socket_getsockopt(&test_ctx, sk(pair[0]), SOL_SOCKET, SO_PEERCRED, &ucred, &len),
		0);
	cr_assert_eq(ucred.pid, 7);
	cr_assert_eq(ucred.uid, 1000);
	drop_pair();
}

/* ---- datagrams ---- */

Test(unix_socket, datagrams_keep_their_borders_and_name_their_sender)
{
	struct file *server = make(SOCK_DGRAM), *client = make(SOCK_DGRAM);
	char buf[8];

	bind_to(server, "dsrv");
	bind_to(client, "dcli");
	cr_assert_eq(send_to(client, "one", "dsrv", 0), 3);
	cr_assert_eq(send_to(client, "twotwo", "dsrv", 0), 6);
	cr_assert_eq(recv_msg(server, buf, 8, 0), 3);
	cr_assert_eq(last.name_len, 2 + 5);
	cr_assert_arr_eq(((struct sockaddr_un *)&last.name)->sun_path, "\0dcli", 5);
	cr_assert_eq(recv_msg(server, buf, 2, MSG_TRUNC), 6);
	cr_assert(last.ret_flags & MSG_TRUNC);
	cr_assert_eq(recv_msg(server, buf, 2, MSG_DONTWAIT), -EAGAIN);
	file_put(server);
	cr_assert_eq(send_to(client, "x", "dsrv", 0), -ECONNREFUSED);
	file_put(client);
}

Test(unix_socket, empty_datagram_is_delivered)
{
	char buf[8];

	make_pair(SOCK_DGRAM);
	cr_assert_eq(send_msg(pair[0], "", 0, NULL), 0);
	cr_assert_eq(send_msg(pair[0], "x", 0, NULL), 1);
	cr_assert_eq(recv_msg(pair[1], buf, 8, 0), 0);
	cr_assert_eq(recv_msg(pair[1], buf, 8, 0), 1);
	drop_pair();
}

Test(unix_socket, connected_datagram_socket_takes_from_its_peer_only)
{
	struct file *a = make(SOCK_DGRAM), *b = make(SOCK_DGRAM), *c = make(SOCK_DGRAM);
	struct sockaddr_storage none = {.ss_family = AF_UNSPEC};

	bind_to(a, "da");
	bind_to(b, "db");
	cr_assert_eq(connect_to(a, "db"), 0);
	cr_assert_eq(send_to(c, "x", "da", 0), -EPERM);
	cr_assert_eq(connect_to(c, "da"), -EPERM);
	cr_assert_eq(socket_connect(&test_ctx, sk(a), &none, sizeof(none)), 0);
	cr_assert_eq(send_to(c, "x", "da", 0), 1);
	cr_assert_eq(send_msg(c, "x", 0, NULL), -ENOTCONN);
	file_put(a);
	file_put(b);
	file_put(c);
}

static ssize_t blocked_send(struct blocked *self)
{
	return send_to(self->file, "last", "q", 0);
}

Test(unix_socket, full_datagram_queue_blocks_and_poll_tells_when_it_drains)
{
	struct file *server = make(SOCK_DGRAM), *client = make(SOCK_DGRAM);
	struct blocked sender = {.call = blocked_send, .file = client};
	int sent = 0;
	char buf[8];

	bind_to(server, "q");
	cr_assert_eq(connect_to(client, "q"), 0);
	while (send_to(client, "m", "q", MSG_DONTWAIT) == 1)
		sent++;
	cr_assert_eq(sent, 11);
	cr_assert_eq(poll_now(client) & POLLOUT, 0);
	blocked_start(&sender);
	cr_assert_eq(recv_msg(server, buf, 8, 0), 1);
	cr_assert_eq(blocked_join(&sender), 4);
	file_put(server);
	file_put(client);
}

Test(unix_socket, poll_of_a_sender_wakes_when_the_peer_drains)
{
	struct file *server = make(SOCK_DGRAM), *client = make(SOCK_DGRAM);
	struct poll_item item = {client, POLLOUT, 0};
	char buf[8];

	bind_to(server, "p");
	cr_assert_eq(connect_to(client, "p"), 0);
	while (send_msg(client, "m", MSG_DONTWAIT, NULL) == 1)
		;
	cr_assert_eq(vfs_poll_items(&test_ctx, &item, 1, clock_monotonic_ns() + 10000000), 0);
	cr_assert_eq(recv_msg(server, buf, 8, 0), 1);
	cr_assert_eq(vfs_poll_items(&test_ctx, &item, 1, WAIT_FOREVER), 1);
	file_put(server);
	file_put(client);
}

Test(unix_socket, too_long_datagram_is_emsgsize)
{
	static char big[300000];

	make_pair(SOCK_DGRAM);
	cr_assert_eq(put(pair[0], big, sizeof(big)), -EMSGSIZE);
	drop_pair();
}

Test(unix_socket, seqpacket_keeps_borders_and_ends)
{
	char buf[8];

	make_pair(SOCK_SEQPACKET);
	puts_to(pair[0], "one");
	puts_to(pair[0], "two");
	cr_assert_eq(get(pair[1], buf, 8), 3);
	file_put(pair[0]);
	cr_assert_eq(get(pair[1], buf, 8), 3);
	cr_assert_eq(get(pair[1], buf, 8), 0);
	cr_assert_eq(puts_to(pair[1], "x"), -EPIPE);
	file_put(pair[1]);
}

/* ---- control messages ---- */

static ssize_t send_file(struct file *over, struct file *file)
{
	struct file *files[1] = {file};
	struct scm scm = {.files = files, .nr_files = 1};

	return send_msg(over, "f", 0, &scm);
}

Test(unix_socket, a_file_travels_and_outlives_its_sender)
{
	struct file *ends[2], *got;
	char buf[8];

	make_pair(SOCK_STREAM);
	pipe_create(&test_ctx, 0, ends);
	cr_assert_eq(send_file(pair[0], ends[0]), 1);
	file_put(ends[0]);
	puts_to(ends[1], "data");
	cr_assert_eq(recv_msg(pair[1], buf, 8, 0), 1);
	cr_assert_eq(last.scm.nr_files, 1);
	got = last.scm.files[0];
	cr_assert_eq(get(got, buf, 8), 4);
	scm_release(&last.scm);
	atomic_store(&test_signals, 0);
	cr_assert_eq(puts_to(ends[1], "x"), -EPIPE);
	file_put(ends[1]);
	drop_pair();
}

Test(unix_socket, a_stream_read_stops_behind_files)
{
	struct file *ends[2];
	char buf[8];

	make_pair(SOCK_STREAM);
	pipe_create(&test_ctx, 0, ends);
	puts_to(pair[0], "a");
	send_file(pair[0], ends[0]);
	puts_to(pair[0], "b");
	cr_assert_eq(recv_msg(pair[1], buf, 8, MSG_PEEK), 2);
	cr_assert_eq(last.scm.nr_files, 1, "peek shows references of its own");
	scm_release(&last.scm);
	cr_assert_eq(recv_msg(pair[1], buf, 8, 0), 2);
	cr_assert_eq(last.scm.nr_files, 1);
	scm_release(&last.scm);
	cr_assert_eq(recv_msg(pair[1], buf, 8, 0), 1);
	cr_assert_eq(last.scm.nr_files, 0);
	file_put(ends[0]);
	file_put(ends[1]);
	drop_pair();
}

Test(unix_socket, files_that_nobody_takes_are_closed_with_the_socket)
{
	struct file *ends[2];

	make_pair(SOCK_DGRAM);
	pipe_create(&test_ctx, 0, ends);
	send_file(pair[0], ends[0]);
	file_put(ends[0]);
	drop_pair();
	cr_assert_eq(puts_to(ends[1], "x"), -EPIPE);
	file_put(ends[1]);
}

Test(unix_socket, credentials_are_told_when_asked_for)
{
	struct scm claim = {.has_cred = true, .cred = {1, 0, 0}};
	char buf[8];

	make_pair(SOCK_DGRAM);
	puts_to(pair[0], "x");
	recv_msg(pair[1], buf, 8, 0);
	cr_assert_not(last.scm.has_cred);
	set_int_option(pair[1], SO_PASSCRED, 1);
	puts_to(pair[0], "x");
	recv_msg(pair[1], buf, 8, 0);
	cr_assert(last.scm.has_cred);
	cr_assert_eq(last.scm.cred.pid, 7);
	cr_assert_eq(last.scm.cred.uid, 1000);
	cr_assert_eq(send_msg(pair[0], "x", 0, &claim), -EPERM, "not our ids");
	drop_pair();
}

/* A pipe whose writing end tells (EPIPE) when the reading end is really gone. */
static void assert_garbage_dropped(struct file *witness)
{
	file_put(make(SOCK_DGRAM)); /* any release looks for garbage */
	cr_assert_eq(puts_to(witness, "x"), -EPIPE);
	file_put(witness);
}

Test(unix_socket, socket_sent_over_itself_is_collected)
{
	struct file *ends[2];

	pipe_create(&test_ctx, 0, ends);
	make_pair(SOCK_STREAM);
	send_file(pair[0], pair[0]);
	send_file(pair[0], pair[1]);
	send_file(pair[0], ends[0]);
	file_put(ends[0]);
	drop_pair();
	assert_garbage_dropped(ends[1]);
}

Test(unix_socket, cycle_over_two_pairs_is_collected_but_not_what_is_in_use)
{
	struct file *a[2], *b[2], *ends[2];
	char buf[8];

	pipe_create(&test_ctx, 0, ends);
	socket_pair(&test_ctx, AF_UNIX, SOCK_DGRAM, 0, 0, a);
	socket_pair(&test_ctx, AF_UNIX, SOCK_DGRAM, 0, 0, b);
	send_file(a[0], b[1]);
	send_file(b[0], a[1]);
	send_file(b[0], ends[0]);
	file_put(ends[0]);
	file_put(b[0]);
	file_put(b[1]);
	/* a[1] is still held: through it b[1], and through that the pipe. */
	file_put(make(SOCK_DGRAM));
	cr_assert_eq(puts_to(ends[1], "x"), 1);
	cr_assert_eq(recv_msg(a[1], buf, 8, MSG_PEEK), 1);
	scm_release(&last.scm);
	file_put(a[0]);
	file_put(a[1]);
	assert_garbage_dropped(ends[1]);
}

Test(unix_socket, cycle_through_a_connection_nobody_accepted_is_collected)
{
	struct file *listener = make_listener(SOCK_STREAM, "gc", 5), *client = make(SOCK_STREAM);
	struct file *ends[2];

	pipe_create(&test_ctx, 0, ends);
	connect_to(client, "gc");
	send_file(client, listener);
	send_file(client, ends[0]);
	file_put(ends[0]);
	file_put(listener);
	file_put(client);
	assert_garbage_dropped(ends[1]);
}

Test(unix_socket, deep_chain_of_sockets_is_dropped_without_recursion)
{
	struct file *ends[2], *next[2], *held = NULL;

	pipe_create(&test_ctx, 0, ends);
	held = ends[0];
	for (int i = 0; i < 10000; i++) {
		cr_assert_eq(socket_pair(&test_ctx, AF_UNIX, SOCK_DGRAM, 0, 0, next), 0);
		cr_assert_eq(send_file(next[0], held), 1);
		file_put(held);
		file_put(next[0]);
		held = next[1];
	}
	file_put(held);
	assert_garbage_dropped(ends[1]);
}

Test(unix_socket, garbage_makes_room_for_files_in_flight)
{
	struct file *files[253];
	struct scm scm = {.files = files, .nr_files = 253};

	for (int round = 0; round < 100; round++) {
		make_pair(SOCK_DGRAM);
		for (int i = 0; i < 253; i++)
			files[i] = pair[1];
		cr_assert_eq(send_msg(pair[0], "x", 0, &scm), 1);
		files[0] = pair[0];
		cr_assert_eq(send_msg(pair[0], "x", 0, &scm), 1);
		drop_pair();
	}
	file_put(make(SOCK_DGRAM));
}

Test(unix_socket, files_in_flight_are_limited)
{
	struct file *ends[2];
	struct file *files[253];
	struct scm scm = {.files = files, .nr_files = 253};
	ssize_t ret = 1;
	int sent = 0;

	pipe_create(&test_ctx, 0, ends);
	for (int i = 0; i < 253; i++)
		files[i] = ends[0];
	make_pair(SOCK_DGRAM);
	while (ret == 1 && sent < 200) {
		ret = send_msg(pair[0], "x", MSG_DONTWAIT, &scm);
		sent += ret == 1;
	}
	cr_assert_eq(ret, -ETOOMANYREFS);
	drop_pair();
	file_put(ends[0]);
	file_put(ends[1]);
}
