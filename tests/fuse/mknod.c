/* MKNOD: device numbers on the wire. */
#include <criterion/criterion.h>
#include <sys/sysmacros.h>

#include "tests/support/daemon.h"

TestSuite(fuse_mknod, .timeout = 20);

Test(fuse_mknod, device_numbers_have_the_upper_bits_of_the_minor_on_top) /* S15, F11, Q08 */
{
	static const struct {
		unsigned major, minor;
		uint32_t wire;
	} rows[] = {
		{ 1, 3, 0x103 },
		{ 0x123, 0x45678, 0x45612378 },
		{ 0xfff, 0xfffff, 0xffffffff },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		dev_t number = makedev(rows[i].major, rows[i].minor);
		struct daemon *d = daemon_start(NULL);
		struct fuse_entry_out out = make_entry(5, S_IFCHR | 0600, 0, 100);
		struct kstat st;
		struct step *s;

		out.attr.rdev = rows[i].wire;
		expect_error(d, FUSE_LOOKUP, 1, ENOENT);
		s = expect_reply(d, FUSE_MKNOD, 1, &out, sizeof(out));
		cr_assert_eq(vfs_mknod(&d->client.ctx, NULL, "/c", S_IFCHR | 0600, number), 0);
		cr_expect_eq(step_in(s, struct fuse_mknod_in)->rdev, rows[i].wire);
		cr_assert_eq(client_stat(d, "/c", &st), 0);
		cr_expect_eq(st.rdev, number);
		DAEMON_STOP(d);
	}
}
