/* Copying arguments in. */
#include "tests/unit/syscalls/self_task.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "syscalls/args.h"

struct v2 {
	uint64_t a, b;
};

static int get(void *dst, const void *src, uint64_t usize)
{
	return copy_struct_from_guest(self_task(0), dst, sizeof(struct v2), 8, GVA(src), usize);
}

Test(args, a_shorter_struct_is_filled_with_zeros)
{
	struct v2 dst = {9, 9};
	uint64_t src = 5;

	cr_assert_eq(get(&dst, &src, 8), 0);
	cr_expect_eq(dst.a, 5);
	cr_expect_eq(dst.b, 0);
}

Test(args, a_longer_struct_must_end_in_zeros)
{
	uint64_t src[4] = {1, 2, 0, 0};
	struct v2 dst = {0, 0};

	cr_expect_eq(get(&dst, src, 32), 0);
	src[3] = 1;
	cr_expect_eq(get(&dst, src, 32), -E2BIG);
}

Test(args, a_struct_below_the_first_version_is_einval)
{
	struct v2 dst = {0, 0};

	cr_expect_eq(get(&dst, &dst, 7), -EINVAL);
	cr_expect_eq(get(&dst, &dst, 1 << 20), -E2BIG);
	cr_expect_eq(get(&dst, (void *)8, 16), -EFAULT);
}

static int name_of(const char *name, unsigned flags, int dirfd)
{
	struct at_name at;
	int err = at_name_get(self_task(0), dirfd, GVA(name), flags, &at);

	if (!err)
		at_name_put(&at);
	return err;
}

Test(args, names_are_limited_to_path_max_with_their_nul)
{
	static char name[PATH_MAX + 1];

	memset(name, 'x', PATH_MAX);
	cr_expect_eq(name_of(name, 0, AT_FDCWD), -ENAMETOOLONG);
	name[PATH_MAX - 1] = 0;
	cr_expect_eq(name_of(name, 0, AT_FDCWD), 0);
}

Test(args, an_empty_name_needs_permission)
{
	cr_expect_eq(name_of("", 0, AT_FDCWD), -ENOENT);
	cr_expect_eq(name_of("", AT_NAME_EMPTY, AT_FDCWD), 0);
	cr_expect_eq(name_of(NULL, AT_NAME_EMPTY, AT_FDCWD), -EFAULT);
	cr_expect_eq(name_of(NULL, AT_NAME_EMPTY | AT_NAME_NULL, AT_FDCWD), 0);
}

/* An absolute name never looks at dirfd (openat(2)), unless openat2 asks for a root. */
Test(args, dirfd_is_ignored_for_absolute_names)
{
	cr_expect_eq(name_of("/x", 0, 99), 0);
	cr_expect_eq(name_of("x", 0, 99), -EBADF);
	cr_expect_eq(name_of("/x", AT_NAME_BASE, 99), -EBADF);
}

/* A name that ends at the last byte before an unmapped page is complete. */
Test(args, a_name_may_end_at_an_unmapped_page)
{
	char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(map, MAP_FAILED);
	munmap(map + 4096, 4096);
	memset(map, 'a', 4095);
	map[4095] = 0;
	cr_expect_eq(name_of(map, 0, AT_FDCWD), 0);
	map[4095] = 'a';
	cr_expect_eq(name_of(map + 4000, 0, AT_FDCWD), -EFAULT);
	munmap(map, 4096);
}

Test(args, times_out_of_range_are_einval)
{
	struct timespec ts = {0, 1000000000};
	struct timeval tv = {1, 1500000};

	cr_expect_eq(copy_timespec_from_guest(self_task(0), GVA(&ts), &ts), -EINVAL);
	ts = (struct timespec){-1, 0};
	cr_expect_eq(copy_timespec_from_guest(self_task(0), GVA(&ts), &ts), -EINVAL);
	/* select(2) takes more than a second of microseconds. */
	cr_expect_eq(copy_timeval_from_guest(self_task(0), GVA(&tv), &ts), 0);
	cr_expect_eq(ts.tv_sec, 2);
	cr_expect_eq(ts.tv_nsec, 500000000);
}

Test(args, far_deadlines_are_saturated)
{
	struct timespec far = {INT64_MAX, 0}, none = {0, 0}, soon = {0, 1};

	cr_expect_eq(deadline_after(&far), INT64_MAX);
	cr_expect_lt(deadline_after(&none), 0);
	cr_expect_gt(deadline_after(&soon), 0);
}
