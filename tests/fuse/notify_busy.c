/* Messages of the daemon's at any moment, from any thread, while clients are at work. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/support/honest.h"

TestSuite(fuse_notify_busy, .timeout = 60);

#define ROUNDS 400
#define CLIENTS 3
#define NOTIFIERS 2

static struct daemon *busy;
static atomic_uint clients_left;

/* --- clients ------------------------------------------------------------------------------ */

static bool fair(long result)
{
	return result >= 0 || result == -ENOENT || result == -ESTALE || result == -EEXIST;
}

static void *client_main(void *arg)
{
	intptr_t failed = 0;

	(void)arg;
	for (int i = 0; i < ROUNDS && !failed; i++) {
		struct file *file = NULL;
		struct kstat st;
		char buf[100];
		long result = client_open(busy, i % 2 ? "/f" : "/g", O_RDWR, &file);

		if (!result) {
			result = client_pread(busy, file, buf, sizeof(buf), 0);
			if (!fair(result))
				failed = result;
			result = client_pwrite(busy, file, "data", 4, 0);
			client_close(busy, file);
		}
		if (!fair(result) || !fair(result = client_stat(busy, "/d", &st)) ||
		    !fair(result = client_stat(busy, "/none", &st)) ||
		    !fair(result = vfs_mkdir(&busy->client.ctx, NULL, "/m", 0755)) ||
		    !fair(result = vfs_rmdir(&busy->client.ctx, NULL, "/m")))
			failed = result;
	}
	atomic_fetch_sub(&clients_left, 1);
	return (void *)failed;
}

/* --- the daemon's messages ---------------------------------------------------------------- */

static ssize_t name_message(int code, unsigned n)
{
	static const char *const names[] = { "f", "g", "d", "l", "m", "none" };
	const char *name = names[n % 6];
	struct {
		struct fuse_notify_inval_entry_out out;
		char name[8];
	} entry = { { 1, (uint32_t)strlen(name), n & 1 }, "" };
	struct {
		struct fuse_notify_delete_out out;
		char name[8];
	} gone = { { 1, n % 12, (uint32_t)strlen(name), 0 }, "" };

	if (code == FUSE_NOTIFY_DELETE) {
		memcpy(gone.name, name, strlen(name));
		return daemon_notify(busy, code, &gone, sizeof(gone.out) + strlen(name) + 1);
	}
	memcpy(entry.name, name, strlen(name));
	return daemon_notify(busy, code, &entry, sizeof(entry.out) + strlen(name) + 1);
}

static ssize_t data_message(int code, unsigned n)
{
	struct {
		struct fuse_notify_store_out out;
		char data[64];
	} store = { { n % 9, n % 20, 64, 0 }, "stored" };
	struct fuse_notify_retrieve_out retrieve = { n | 1, n % 9, 0, 100, 0 };
	struct fuse_notify_inval_inode_out inval = { n % 9, (int64_t)(n % 3) - 1, n % 5 };
	struct {
		struct fuse_notify_prune_out out;
		uint64_t nodes[2];
	} prune = { { .count = 2 }, { n % 9, 20 } };
	uint64_t kh = n % 4;

	switch (code) {
	case FUSE_NOTIFY_POLL:
		return daemon_notify(busy, code, &kh, sizeof(kh));
	case FUSE_NOTIFY_INVAL_INODE:
		return daemon_notify(busy, code, &inval, sizeof(inval));
	case FUSE_NOTIFY_STORE:
		return daemon_notify(busy, code, &store, sizeof(store));
	case FUSE_NOTIFY_RETRIEVE:
		return daemon_notify(busy, code, &retrieve, sizeof(retrieve));
	case FUSE_NOTIFY_PRUNE:
		return daemon_notify(busy, code, &prune, sizeof(prune));
	default: /* RESEND, INC_EPOCH */
		return daemon_notify(busy, code, NULL, 0);
	}
}

static void *notifier_main(void *arg)
{
	unsigned n = (unsigned)(uintptr_t)arg;

	while (atomic_load(&clients_left) > 0) {
		int code = (int)(n % 9) + 1;
		bool named = code == FUSE_NOTIFY_INVAL_ENTRY || code == FUSE_NOTIFY_DELETE;
		ssize_t ret = named ? name_message(code, n / 9) : data_message(code, n / 9);

		if (ret < 0 && ret != -ENOENT && ret != -EINVAL && ret != -ENOMEM &&
		    ret != -ENOTDIR && ret != -ENOTEMPTY)
			return (void *)(intptr_t)ret;
		n += 7; /* no divisor of 9: every code in turn */
		sched_yield();
	}
	return NULL;
}

/* T01-T09, N02: nobody waits for ever, and nobody gets an error that is not his. */
Test(fuse_notify_busy, messages_of_every_kind_disturb_nobody)
{
	struct daemon_config config = { .threads = 2 };
	pthread_t clients[CLIENTS], notifiers[NOTIFIERS];
	struct honest *h;
	void *ret;

	config.flags = FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS | FUSE_ATOMIC_O_TRUNC;
	h = honest_start(&config);
	busy = h->d;
	atomic_store(&clients_left, CLIENTS);
	for (uintptr_t i = 0; i < CLIENTS; i++)
		cr_assert_eq(pthread_create(&clients[i], NULL, client_main, NULL), 0);
	for (uintptr_t i = 0; i < NOTIFIERS; i++)
		cr_assert_eq(pthread_create(&notifiers[i], NULL, notifier_main, (void *)(i * 3)),
			     0);
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(clients[i], &ret);
		cr_expect_null(ret, "a client got %ld", (long)(intptr_t)ret);
	}
	for (int i = 0; i < NOTIFIERS; i++) {
		pthread_join(notifiers[i], &ret);
		cr_expect_null(ret, "a message got %ld", (long)(intptr_t)ret);
	}
	HONEST_STOP(h);
}

/* --- N01 ---------------------------------------------------------------------------------- */

/* In the middle of a LOOKUP in that directory, INVAL_INODE of it has no lock to wait for. */
Test(fuse_notify_busy, inval_inode_does_not_wait_for_a_request_under_way) /* N01, T02 */
{
	struct fuse_notify_inval_inode_out out = { 1, 0, 0 };
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread t;

	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out)), 40);
	cr_assert_eq(daemon_answer(d, s->in.unique, -ENOENT, NULL, 0), 16);
	cr_assert_eq(client_join(&t), -ENOENT);
	DAEMON_STOP(d);
}

static void *inval_x(void *arg)
{
	struct {
		struct fuse_notify_inval_entry_out out;
		char name[2];
	} msg = { { 1, 1, 0 }, "x" };

	return (void *)(intptr_t)daemon_notify(arg, FUSE_NOTIFY_INVAL_ENTRY, &msg, 18);
}

/* INVAL_ENTRY has: it ends when another thread has answered, and throws out what that brought. */
Test(fuse_notify_busy, inval_entry_waits_for_the_lookup_that_it_would_miss) /* N01, T03 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out entry = make_entry(5, S_IFREG | 0644, 3, 100);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread t;
	pthread_t notifier;
	void *ret;

	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	cr_assert_eq(pthread_create(&notifier, NULL, inval_x, d), 0);
	cr_assert_eq(daemon_answer(d, s->in.unique, 0, &entry, sizeof(entry)), 144);
	cr_assert_eq(client_join(&t), 0);
	pthread_join(notifier, &ret);
	/* It came before the lookup (nothing there yet) or after it (thrown out), never in between. */
	if ((intptr_t)ret == 34)
		expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	else
		cr_assert_eq((intptr_t)ret, -ENOENT);
	cr_assert_eq(client_stat_path(d, "/x"), (intptr_t)ret == 34 ? -ENOENT : 0);
	DAEMON_STOP(d);
}
