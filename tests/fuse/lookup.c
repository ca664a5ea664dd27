/* LOOKUP and the life of cached entries; matrix 6.1. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devfuse/expire.h"
#include "tests/support/daemon.h"

TestSuite(fuse_lookup, .timeout = 120);

/* F01: the first use of the root asks for its attributes. */
Test(fuse_lookup, first_stat_of_the_root_is_one_getattr)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_attr(d, FUSE_GETATTR, 1, S_IFDIR | 0750, 0, 100);
	cr_assert_eq(client_stat(d, "/", &st), 0);
	cr_assert_eq(st.mode, S_IFDIR | 0750);
	cr_assert_eq(client_stat(d, "/", &st), 0);
	DAEMON_STOP(d);
}

/* F02: entry and attributes are used until they expire. */
Test(fuse_lookup, valid_entry_is_not_asked_again)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;
	struct step *s = expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 77, 100);

	cr_assert_eq(client_stat(d, "/file", &st), 0);
	cr_assert_str_eq(step_body(s), "file");
	cr_assert_eq(s->in.pid, 200); /* H03 */
	cr_assert_eq(st.size, 77);
	cr_assert_eq(st.ino, 5);
	cr_assert_eq(client_stat(d, "/file", &st), 0);
	DAEMON_STOP(d);
}

/* /f is node 5 from now on, and neither the name nor the attributes are valid. */
static void stat_expired(struct daemon *d)
{
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1, 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 1, 0);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
}

/* F02: a timeout of zero means a LOOKUP on each walk, and each one counts. */
Test(fuse_lookup, zero_timeout_revalidates_on_every_walk)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	stat_expired(d);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 2, 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 2, 0);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	cr_assert_eq(st.size, 2);
	DAEMON_STOP(d);
}

/* F03: ENOENT is not remembered. */
Test(fuse_lookup, enoent_is_asked_again)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/no", &st), -ENOENT);
	cr_assert_eq(client_stat(d, "/no", &st), -ENOENT);
	DAEMON_STOP(d);
}

/* F03: nodeid 0 is a negative entry with a timeout. */
Test(fuse_lookup, nodeid_zero_is_a_cached_negative_entry)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 0, 0, 0, 100);
	cr_assert_eq(client_stat(d, "/no", &st), -ENOENT);
	cr_assert_eq(client_stat(d, "/no", &st), -ENOENT);
	DAEMON_STOP(d);
}

Test(fuse_lookup, error_of_the_daemon_reaches_the_caller)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_error(d, FUSE_LOOKUP, 1, EXDEV);
	cr_assert_eq(client_stat(d, "/x", &st), -EXDEV);
	/* ENOSYS means nothing special here (A02) */
	expect_error(d, FUSE_LOOKUP, 1, ENOSYS);
	cr_assert_eq(client_stat(d, "/x", &st), -ENOSYS);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/x", &st), -ENOENT);
	DAEMON_STOP(d);
}

/* Section 9, LOOKUP rows. */
Test(fuse_lookup, impossible_attributes_are_eio_and_not_forgotten)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, 0644, 1, 100); /* no type */
	cr_assert_eq(client_stat(d, "/a", &st), -EIO);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1ULL << 63, 100);
	cr_assert_eq(client_stat(d, "/b", &st), -EIO);
	expect_entry(d, FUSE_LOOKUP, 1, 1, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(client_stat(d, "/c", &st), -EIO);
	dcache_shrink(0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/d", &st), -ENOENT); /* FORGETs would have come before */
	cr_assert_eq(daemon_forgotten(d, 5), 0);
	DAEMON_STOP(d);
}

/* D42: too short for its fixed size. */
Test(fuse_lookup, malformed_reply_is_eio_for_the_client_and_einval_for_the_daemon)
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out out = make_entry(5, S_IFREG | 0644, 1, 100);
	struct step *s = expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out) - 8);
	struct kstat st;

	cr_assert_eq(client_stat(d, "/a", &st), -EIO);
	cr_assert(daemon_wait(d, s));
	cr_assert_eq(s->written, -EINVAL);
	DAEMON_STOP(d);
}

/* F04, F05: another nodeid: the new one is forgotten, then looked up afresh. */
Test(fuse_lookup, changed_nodeid_is_looked_up_twice)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	stat_expired(d);
	expect_entry(d, FUSE_LOOKUP, 1, 6, S_IFREG | 0644, 2, 100);
	expect_entry(d, FUSE_LOOKUP, 1, 6, S_IFREG | 0644, 2, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	cr_assert_eq(st.ino, 6);
	cr_assert(daemon_wait_forgotten(d, 6, 1));
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	DAEMON_STOP(d);
}

/* F10: the same nodeid with another type is another object, the old one is bad. */
Test(fuse_lookup, changed_type_makes_the_old_inode_bad) /* Z08 */
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;
	struct path old;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1, 0);
	cr_assert_eq(path_lookup(&d->client.ctx, NULL, "/f", 0, &old), 0);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFDIR | 0755, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	cr_assert(S_ISDIR(st.mode));
	cr_assert_eq(vfs_getattr(&d->client.ctx, &old, &st, STATX_BASIC_STATS, 0), -EIO);
	path_put(&old);
	DAEMON_STOP(d);
}

/* F06: any other error of a revalidation leads to a fresh LOOKUP. */
Test(fuse_lookup, failed_revalidation_is_looked_up_afresh)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	stat_expired(d);
	expect_error(d, FUSE_LOOKUP, 1, EACCES);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/f", &st), -ENOENT);
	DAEMON_STOP(d);
}

/* F15: 1024 without MAX_PAGES. */
Test(fuse_lookup, too_long_name_is_refused_without_request)
{
	struct daemon *d = daemon_start(NULL);
	char path[1100] = "/";
	struct kstat st;

	expect_attr(d, FUSE_GETATTR, 1, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(client_stat(d, "/", &st), 0);
	memset(path + 1, 'n', 1025);
	cr_assert_eq(client_stat(d, path, &st), -ENAMETOOLONG);
	DAEMON_STOP(d);
}

/* D81, D82: a signal makes an INTERRUPT; the daemon's EINTR comes back raw. */
Test(fuse_lookup, signal_sends_an_interrupt_and_waits_on)
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1), *i;
	struct client_thread t;

	client_spawn(&t, d, client_stat_path, "/f");
	cr_assert(daemon_wait(d, s));
	i = expect_silence(d, FUSE_INTERRUPT, 0);
	client_interrupt(&t, WAITER_SIGNAL);
	cr_assert(daemon_wait(d, i));
	cr_assert_eq(step_in(i, struct fuse_interrupt_in)->unique, s->in.unique);
	cr_assert_eq(i->in.unique, s->in.unique | 1);
	cr_assert_eq(daemon_answer(d, s->in.unique, -EINTR, NULL, 0), 16);
	cr_assert_eq(client_join(&t), -EINTR);
	DAEMON_STOP(d);
}

/* Ours, where Linux hangs: a killed client leaves, and its late answer is undone. */
Test(fuse_lookup, killed_client_leaves_and_the_late_lookup_is_forgotten)
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1), *intr;
	struct fuse_entry_out out = make_entry(9, S_IFREG | 0644, 1, 100);
	struct client_thread t;

	client_spawn(&t, d, client_stat_path, "/f");
	cr_assert(daemon_wait(d, s));
	intr = expect_silence(d, FUSE_INTERRUPT, 0);
	client_interrupt(&t, WAITER_KILLED);
	cr_assert_eq(client_join(&t), -EINTR);
	cr_assert(daemon_wait(d, intr));
	cr_assert_eq(daemon_answer(d, s->in.unique, 0, &out, sizeof(out)), 16 + 128);
	cr_assert(daemon_wait_forgotten(d, 9, 1));
	DAEMON_STOP(d);
}

/* F173: what nobody has read was never asked, and there is nothing to forget. */
Test(fuse_lookup, a_client_that_is_killed_first_leaves_nothing_behind)
{
	struct daemon *d = daemon_start(NULL);
	struct client_thread t;
	struct kstat st;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT); /* INIT is over */
	cr_assert_eq(client_stat(d, "/e", &st), -ENOENT);
	daemon_pause(d);
	client_spawn(&t, d, client_stat_path, "/f");
	cr_assert(daemon_wait_pending(d, 1));
	client_interrupt(&t, WAITER_KILLED);
	cr_assert_eq(client_join(&t), -EINTR);
	cr_assert(daemon_wait_pending(d, 0));
	daemon_resume(d); /* a LOOKUP of "f", an INTERRUPT would find no step */
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/g", &st), -ENOENT);
	cr_assert_eq(d->nr_forget_reads, 0);
	DAEMON_STOP(d);
}

/* F174: it is the counts that tell a FORGET before a LOOKUP from one after it. */
Test(fuse_lookup, a_node_is_found_again_while_its_forget_is_under_way)
{
	struct daemon *d = daemon_start(NULL);
	struct client_thread t;
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	daemon_pause(d);
	dcache_shrink(0);
	client_spawn(&t, d, client_stat_path, "/f");
	cr_assert(daemon_wait_pending(d, 1));
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1, 100);
	daemon_resume(d);
	cr_assert_eq(client_join(&t), 0);
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	cr_assert_eq(client_stat(d, "/f", &st), 0); /* it is still known */
	cr_assert_eq(daemon_forgotten(d, 5), 1);
	dcache_shrink(0);
	cr_assert(daemon_wait_forgotten(d, 5, 2));
	cr_assert_eq(daemon_forgotten(d, 5), 2);
	DAEMON_STOP(d);
}

/* F170: what the dentry cache drops is forgotten with its full count. */
Test(fuse_lookup, eviction_forgets_all_lookups)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1, 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 1, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	dcache_shrink(0);
	cr_assert(daemon_wait_forgotten(d, 5, 2));
	cr_assert_eq(daemon_forgotten(d, 5), 2);
	DAEMON_STOP(d);
}

static void lookup_dir_with_file(struct daemon *d, uint64_t dir, uint64_t file, uint64_t valid)
{
	const char *path = valid ? "/new/f" : "/old/f";
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, dir, S_IFDIR | 0755, 0, valid);
	expect_entry(d, FUSE_LOOKUP, dir, file, S_IFREG | 0644, 1, valid);
	if (!valid)
		expect_attr(d, FUSE_GETATTR, file, S_IFREG | 0644, 1, 0);
	cr_assert_eq(client_stat(d, path, &st), 0);
}

/* F13: a directory goes with its last name. */
Test(fuse_lookup, inval_wq_drops_what_is_expired)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	lookup_dir_with_file(d, 5, 6, 0);
	lookup_dir_with_file(d, 7, 8, 100);
	fuse_expire_all();
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	cr_assert(daemon_wait_forgotten(d, 6, 1));
	cr_assert_eq(client_stat(d, "/new/f", &st), 0); /* still known */
	DAEMON_STOP(d);
}

/* F13: the last put drops it, unless the daemon has given it new time. */
Test(fuse_lookup, inval_wq_drops_a_name_in_use_at_its_end)
{
	for (unsigned valid = 0; valid <= 100; valid += 100) {
		struct daemon *d = daemon_start(NULL);
		struct file *file = NULL;
		struct kstat st;

		daemon_ignore(d, FUSE_FLUSH);
		daemon_ignore(d, FUSE_RELEASE);
		expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1, 0);
		expect_open(d, FUSE_OPEN, 5, 3, 0);
		cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
		fuse_expire_all();
		expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1, valid);
		if (!valid)
			expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 1, 0);
		cr_assert_eq(client_stat(d, "/f", &st), 0);
		if (!valid)
			fuse_expire_all();
		cr_expect_eq(daemon_forgotten(d, 5), 0);
		cr_assert_eq(client_close(d, file), 0);
		if (valid)
			cr_assert_eq(client_stat(d, "/f", &st), 0);
		else
			cr_assert(daemon_wait_forgotten(d, 5, 2));
		DAEMON_STOP(d);
	}
}

/* D72: plain unmounting sends neither FORGET nor DESTROY. */
Test(fuse_lookup, unmount_forgets_nothing)
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;
	const char *why;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	why = daemon_stop(d);
	cr_assert(!why, "%s", why);
	cr_assert_eq(d->nr_forget_reads, 0);
	daemon_free(d);
}

/* F14, B18: side by side with PARALLEL_DIROPS, one after the other without. */
Test(fuse_lookup, names_of_one_directory_side_by_side_or_not)
{
	for (int parallel = 0; parallel < 2; parallel++) {
		struct daemon_config config = {.flags = parallel ? FUSE_PARALLEL_DIROPS : 0};
		struct daemon *d = daemon_start(&config);
		struct step *f = expect_silence(d, FUSE_LOOKUP, 1), *g;
		struct client_thread first, second;

		client_spawn(&first, d, client_stat_path, "/f");
		cr_assert(daemon_wait(d, f));
		g = expect_silence(d, FUSE_LOOKUP, 1);
		client_spawn(&second, d, client_stat_path, "/g");
		if (parallel)
			cr_assert(daemon_wait(d, g));
		else
			usleep(50000); /* it must not come; if it came later still, nothing fails */
		cr_assert_eq(g->reached, parallel);
		cr_assert_eq(daemon_answer(d, f->in.unique, -ENOENT, NULL, 0), 16);
		cr_assert_eq(client_join(&first), -ENOENT);
		cr_assert(daemon_wait(d, g));
		cr_assert_eq(daemon_answer(d, g->in.unique, -ENOENT, NULL, 0), 16);
		cr_assert_eq(client_join(&second), -ENOENT);
		DAEMON_STOP(d);
	}
}
