/* The in-memory attribute list of vfs/xattr.h. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "sentry/base/err.h"
#include "vfs/xattr.h"

static struct simple_xattrs attrs;

static void teardown(void)
{
	simple_xattrs_free(&attrs);
	cr_assert_eq(attrs.total, 0);
}

TestSuite(xattr, .fini = teardown, .timeout = 120);

Test(xattr, value_is_read_back_and_replaced)
{
	char buf[16];

	cr_assert_eq(simple_xattr_set(&attrs, "user.a", "one", 3, 0), 0);
	cr_assert_eq(simple_xattr_set(&attrs, "user.a", "three", 5, XATTR_REPLACE), 0);
	cr_assert_eq(simple_xattr_get(&attrs, "user.a", buf, sizeof(buf)), 5);
	cr_assert(memcmp(buf, "three", 5) == 0);
	cr_assert_eq(simple_xattr_get(&attrs, "user.b", buf, sizeof(buf)), -ENODATA);
}

Test(xattr, empty_value_is_a_value)
{
	char buf[4];

	cr_assert_eq(simple_xattr_set(&attrs, "user.a", "", 0, 0), 0);
	cr_assert_eq(simple_xattr_get(&attrs, "user.a", buf, 4), 0);
	cr_assert_eq(simple_xattr_set(&attrs, "user.a", NULL, 0, 0), 0);
	cr_assert_eq(simple_xattr_get(&attrs, "user.a", buf, 4), -ENODATA);
}

Test(xattr, create_and_replace_flags)
{
	cr_assert_eq(simple_xattr_set(&attrs, "user.a", "1", 1, XATTR_REPLACE), -ENODATA);
	cr_assert_eq(simple_xattr_set(&attrs, "user.a", "1", 1, XATTR_CREATE), 0);
	cr_assert_eq(simple_xattr_set(&attrs, "user.a", "2", 1, XATTR_CREATE), -EEXIST);
	cr_assert_eq(simple_xattr_set(&attrs, "user.x", NULL, 0, 0), -ENODATA);
}

Test(xattr, list_needs_all_its_room)
{
	char buf[32];

	cr_assert_eq(simple_xattr_list(&attrs, buf, 32), 0);
	cr_assert_eq(simple_xattr_set(&attrs, "user.a", "1", 1, 0), 0);
	cr_assert_eq(simple_xattr_set(&attrs, "user.bc", "1", 1, 0), 0);
	cr_assert_eq(simple_xattr_set(&attrs, "user.a", "2", 1, 0), 0);
	cr_assert_eq(simple_xattr_list(&attrs, NULL, 0), 15);
	cr_assert_eq(simple_xattr_list(&attrs, buf, 14), -ERANGE);
	cr_assert_eq(simple_xattr_list(&attrs, buf, 15), 15);
	cr_assert(memcmp(buf, "user.a\0user.bc", 15) == 0, "replacing keeps the order");
}

Test(xattr, total_is_bounded)
{
	char *big = calloc(1, 65536), name[32];
	int n, err = 0;

	for (n = 0; n < 100 && !err; n++) {
		snprintf(name, sizeof(name), "user.%d", n);
		err = simple_xattr_set(&attrs, name, big, 65536, 0);
	}
	cr_assert_eq(err, -ENOSPC);
	cr_assert_leq(attrs.total, SIMPLE_XATTRS_MAX);
	cr_assert_eq(simple_xattr_set(&attrs, "user.0", NULL, 0, 0), 0);
	cr_assert_eq(simple_xattr_set(&attrs, "user.again", big, 60000, 0), 0);
	free(big);
}
