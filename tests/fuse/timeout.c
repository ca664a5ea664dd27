/* A daemon that does not answer: REQUEST_TIMEOUT (matrix D90) and --fuse-timeout. */
#include <criterion/criterion.h>
#include <fcntl.h>

#include "devfuse/params.h"
#include "devfuse/timeout.h"
#include "tests/support/daemon.h"

TestSuite(fuse_timeout, .timeout = 120);

#define SECOND_NS 1000000000ll

/* What INIT with that request_timeout leads to, in seconds. */
static int64_t timeout_after_init(unsigned wanted)
{
	struct daemon_config config = {.no_init = true};
	struct daemon *d = daemon_start(&config);
	struct fuse_init_out out = {.major = 7,
				    .minor = 45,
				    .flags = FUSE_INIT_EXT,
				    .flags2 = (uint32_t)(FUSE_REQUEST_TIMEOUT >> 32),
				    .request_timeout = (uint16_t)wanted};
	struct step *s = expect_silence(d, FUSE_INIT, 0);
	int64_t got;

	cr_assert(daemon_wait(d, s));
	cr_assert(step_in(s, struct fuse_init_in)->flags2 & (FUSE_REQUEST_TIMEOUT >> 32));
	cr_assert_eq(daemon_answer(d, s->in.unique, 0, &out, sizeof(out)), 16 + 64);
	got = d->conn->request_timeout_ns;
	DAEMON_STOP(d);
	return got / SECOND_NS;
}

Test(fuse_timeout, the_daemons_wish_is_bounded_by_the_sysctls) /* D90, B42, L10 */
{
	cr_assert_eq(timeout_after_init(0), 0);
	cr_assert_eq(timeout_after_init(60), 60);
	cr_assert_eq(timeout_after_init(1), 15); /* no finer than the check */
	atomic_store(&fuse_params.default_request_timeout, 40);
	cr_assert_eq(timeout_after_init(0), 40);
	cr_assert_eq(timeout_after_init(60), 60);
	atomic_store(&fuse_params.max_request_timeout, 30);
	cr_assert_eq(timeout_after_init(60), 30);
	atomic_store(&fuse_params.default_request_timeout, 0);
	cr_assert_eq(timeout_after_init(0), 30); /* the maximum alone turns it on */
	cr_assert_eq(timeout_after_init(20), 20);
}

Test(fuse_timeout, an_old_request_ends_the_connection) /* D90, D90, K05 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread t;
	struct kstat st;

	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	d->conn->request_timeout_ns = 3600 * SECOND_NS;
	fuse_timeout_check(d->conn);
	cr_assert(d->conn->connected);
	d->conn->request_timeout_ns = 1;
	fuse_timeout_check(d->conn);
	cr_assert_eq(client_join(&t), -ECONNABORTED);
	cr_assert_eq(client_stat(d, "/x", &st), -ENOTCONN);
	daemon_stop(d);
	cr_assert_eq(d->end_error, -ENODEV);
	daemon_free(d);
}

Test(fuse_timeout, a_client_gives_up_and_the_connection_lives)
{
	struct daemon *d;
	struct step *s;
	struct fuse_entry_out entry = make_entry(5, S_IFREG | 0644, 0, 100);
	struct kstat st;

	atomic_store(&fuse_params.client_timeout, 1);
	d = daemon_start(NULL);
	daemon_ignore(d, FUSE_INTERRUPT);
	s = expect_silence(d, FUSE_LOOKUP, 1);
	cr_assert_eq(client_stat(d, "/x", &st), -ETIMEDOUT);
	cr_assert(daemon_wait(d, s));
	/* The late answer is taken and undone. */
	cr_assert_eq(daemon_answer(d, s->in.unique, 0, &entry, sizeof(entry)),
		     (ssize_t)(16 + sizeof(entry)));
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/x", &st), -ENOENT);
	DAEMON_STOP(d);
}

Test(fuse_timeout, a_client_does_not_wait_for_init_for_ever)
{
	struct daemon_config config = {.no_init = true};
	struct daemon *d;
	struct kstat st;

	atomic_store(&fuse_params.client_timeout, 1);
	d = daemon_start(&config);
	expect_silence(d, FUSE_INIT, 0);
	cr_assert_eq(client_stat(d, "/x", &st), -ETIMEDOUT);
	DAEMON_STOP(d);
}
