/* What `fusebox ps --fuse` says: queues, ages, who waits for whom, circles. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "devfuse/report.h"
#include "tests/support/daemon.h"
#include "vfs/strbuf.h"

TestSuite(fuse_report, .timeout = 120);

static char *report(void)
{
	struct strbuf out = STRBUF_INIT;

	fuse_report(&out);
	return strbuf_steal(&out);
}

static bool says(const char *text, const char *what)
{
	if (strstr(text, what))
		return true;
	fprintf(stderr, "not in the report: %s\n%s", what, text);
	return false;
}

/* Until the report says it. */
static bool comes_to_say(const char *what)
{
	for (int i = 0; i < 5000; i++) {
		char *text = report();
		bool found = strstr(text, what);

		free(text);
		if (found)
			return true;
		usleep(1000);
	}
	return false;
}

Test(fuse_report, shows_the_request_its_client_and_its_daemon)
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread t;
	char *text;

	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	cr_assert(comes_to_say("1 open, 1 asleep in read"));
	text = report();
	cr_assert(says(text, "mounted for user 0 group 0: alive"));
	cr_assert(says(text, "daemon: 100 (?)"));
	cr_assert(says(text, "queues: 1 requests, 0 interrupts, 0 forgets; background 0 of 12"));
	cr_assert(says(text, "LOOKUP       node 1"));
	cr_assert(says(text, "  200 (?) -> connection "));
	cr_assert(says(text, " -> 100 (?)\n"));
	cr_assert_not(strstr(text, "DEADLOCK"));
	free(text);
	cr_assert_eq(daemon_answer(d, s->in.unique, -ENOENT, NULL, 0), 16);
	client_join(&t);
	DAEMON_STOP(d);
	text = report();
	cr_assert_str_eq(text, "no FUSE connections\n");
	free(text);
}

/* Serving a LOOKUP, the daemon asks `asks` a question itself. */
static struct daemon *asks[2];

static void ask_somebody(struct daemon *d, const uint8_t *msg)
{
	const struct fuse_in_header *in = (const void *)msg;
	struct op_ctx ctx = d->self.ctx;
	struct daemon *other = asks[d->self.ctx.tgid == 101];
	struct path where;

	if (in->opcode != FUSE_LOOKUP)
		return;
	ctx.fs = other->client.ctx.fs;
	if (path_lookup(&ctx, NULL, "/y", 0, &where) == 0)
		path_put(&where);
}

Test(fuse_report, names_a_daemon_that_waits_for_its_own_mount)
{
	struct daemon_config config = {.serve = ask_somebody, .flags = FUSE_PARALLEL_DIROPS};
	struct daemon *d = daemon_start(&config);
	struct client_thread t;

	asks[0] = d;
	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(comes_to_say("SELF-DEADLOCK: 100 (?) serves connection "));
	fuse_conn_abort(d->conn, false);
	cr_assert_eq(client_join(&t), -ECONNABORTED);
	daemon_stop(d);
	daemon_free(d);
}

Test(fuse_report, names_two_daemons_that_wait_for_each_other)
{
	struct daemon_config config = {.serve = ask_somebody, .flags = FUSE_PARALLEL_DIROPS};
	struct daemon *a = daemon_start(&config), *b = daemon_start(&config);
	struct client_thread t;
	char *text;

	/* The thread of b has read INIT as 100, as all do. */
	b->self.ctx.tgid = b->self.ctx.tid = 101;
	fb_mutex_lock(&b->conn->lock);
	while (b->conn->nr_reading == 0 || !b->conn->initialized.open) {
		fb_mutex_unlock(&b->conn->lock);
		usleep(1000);
		fb_mutex_lock(&b->conn->lock);
	}
	b->conn->servers[0].tgid = 101;
	b->conn->nr_servers = 1;
	fb_mutex_unlock(&b->conn->lock);
	asks[0] = b;
	asks[1] = a;
	client_spawn(&t, a, client_stat_path, "/x");
	cr_assert(comes_to_say("DEADLOCK: "));
	text = report();
	cr_assert_not(strstr(text, "SELF-DEADLOCK"));
	cr_assert(says(text, "100 (?) serves connection "));
	cr_assert(says(text, "; 101 (?) serves connection "));
	free(text);
	fuse_conn_abort(a->conn, false);
	fuse_conn_abort(b->conn, false);
	client_join(&t);
	daemon_stop(a);
	daemon_stop(b);
	daemon_free(a);
	daemon_free(b);
}
