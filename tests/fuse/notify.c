/* STORE, RETRIEVE, RESEND; matrix section 5. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "tests/support/daemon.h"

TestSuite(fuse_notify, .timeout = 120);

static ssize_t store(struct daemon *d, uint64_t nodeid, uint64_t offset, const char *data,
		     uint32_t size)
{
	struct {
		struct fuse_notify_store_out out;
		char data[32];
	} msg = {
		.out = {nodeid, offset, size, 0},
	};

	memcpy(msg.data, data, strlen(data));
	return daemon_notify(d, FUSE_NOTIFY_STORE, &msg, sizeof(msg.out) + strlen(data));
}

Test(fuse_notify, stored_bytes_are_read_without_a_request) /* T04 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 3, 0);
	char buf[16];

	cr_assert_eq(store(d, 5, 0, "stored", 6), 16 + 24 + 6); /* grows the file */
	cr_assert_eq(client_pread(d, file, buf, 6, 0), 6);
	cr_assert_eq(memcmp(buf, "stored", 6), 0);
	cr_assert_eq(store(d, 5, 0, "x", 2), -EINVAL); /* size is not what follows */
	cr_assert_eq(store(d, 9, 0, "x", 1), -ENOENT);
	cr_assert_eq(store(d, 1, 0, "x", 1), -EINVAL); /* a directory */
	cr_assert_eq(store(d, 5, INT64_MAX, "x", 1), -EINVAL);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_notify, retrieve_answers_with_what_is_cached) /* T05, Q41 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 6, 0);
	struct fuse_notify_retrieve_out out = {
		.notify_unique = 777, .nodeid = 5, .offset = 2, .size = 100};
	const struct fuse_notify_retrieve_in *in;
	struct step *s = expect_silence(d, FUSE_NOTIFY_REPLY, 5);

	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_RETRIEVE, &out, sizeof(out)), 16 + 32);
	cr_assert(daemon_wait(d, s));
	in = step_in(s, struct fuse_notify_retrieve_in);
	cr_assert_eq(s->in.unique, 777);
	cr_assert_eq(in->size, 0); /* nothing is */
	cr_assert_gt(store(d, 5, 0, "stored", 6), 0);
	s = expect_silence(d, FUSE_NOTIFY_REPLY, 5);
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_RETRIEVE, &out, sizeof(out)), 16 + 32);
	cr_assert(daemon_wait(d, s));
	in = step_in(s, struct fuse_notify_retrieve_in);
	cr_assert_eq(in->offset, 2);
	cr_assert_eq(in->size, 4);
	cr_assert_eq(memcmp(in + 1, "ored", 4), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_notify, resend_hands_out_again_under_a_new_number) /* T07, Z32 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *first = expect_silence(d, FUSE_LOOKUP, 1), *again;
	struct client_thread t;

	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, first));
	again = expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_RESEND, NULL, 0), 16);
	cr_assert(daemon_wait(d, again));
	cr_assert_eq(again->in.unique, first->in.unique | FUSE_UNIQUE_RESEND);
	cr_assert_eq(client_join(&t), -ENOENT);
	cr_assert_eq(daemon_answer(d, first->in.unique, -EIO, NULL, 0), -ENOENT);
	DAEMON_STOP(d);
}

Test(fuse_notify, a_byte_stored_far_out_costs_no_memory) /* T04, Z34 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 3, 0);
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	(void)store(d, 5, 1ULL << 46, "x", 1);
	getrusage(RUSAGE_SELF, &after);
	cr_assert_lt(after.ru_maxrss - before.ru_maxrss, 256 * 1024);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_notify, retrieves_that_are_not_read_are_limited) /* T05, Z34 */
{
	struct fuse_notify_retrieve_out out = {.notify_unique = 7, .nodeid = 5, .size = 4096};
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 6, 0);
	ssize_t ret = 0;
	int good = 0;

	daemon_ignore(d, FUSE_NOTIFY_REPLY);
	pthread_mutex_lock(&d->lock); /* the daemon comes no further than one message */
	for (int i = 0; i < 100; i++) {
		ret = daemon_notify(d, FUSE_NOTIFY_RETRIEVE, &out, sizeof(out));
		good += ret > 0;
	}
	pthread_mutex_unlock(&d->lock);
	cr_assert_eq(ret, -ENOMEM);
	cr_assert_lt(good, 70);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_notify, prune_forgets_what_nobody_uses) /* T09 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 3, 0); /* node 5, in use */
	struct {
		struct fuse_notify_prune_out out;
		uint64_t nodes[3];
	} msg = {.out = {.count = 3}, .nodes = {5, 6, 777}};
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 6, S_IFREG | 0644, 3, 100);
	cr_assert_eq(client_stat(d, "/g", &st), 0);
	cr_assert_eq(client_stat(d, "/g", &st), 0); /* cached */
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_PRUNE, &msg, sizeof(msg) - 8), -EINVAL);
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_PRUNE, &msg, 8), -EINVAL);
	cr_assert_eq(daemon_forgotten(d, 6), 0);
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_PRUNE, &msg, sizeof(msg)),
		     (ssize_t)(16 + sizeof(msg)));
	cr_assert(daemon_wait_forgotten(d, 6, 1));
	cr_assert_eq(daemon_forgotten(d, 5), 0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/g", &st), -ENOENT);
	client_close(d, file);
	DAEMON_STOP(d);
}
