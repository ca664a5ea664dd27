/* The opcode table. */
#include <criterion/criterion.h>

#include "devfuse/opcode.h"

Test(fuse_opcode, numbers_7_and_19_do_not_exist) /* A03 */
{
	cr_assert_null(fuse_opcode_row(0));
	cr_assert_null(fuse_opcode_row(7));
	cr_assert_null(fuse_opcode_row(19));
	cr_assert_null(fuse_opcode_row(FUSE_OPCODE_END));
	cr_assert_str_eq(fuse_opcode_name(53), "COPY_FILE_RANGE_64");
}

Test(fuse_opcode, sizes_follow_the_minor_of_the_daemon) /* V04, V09, V12 */
{
	const struct fuse_opcode_row *lookup = fuse_opcode_row(FUSE_LOOKUP);
	const struct fuse_opcode_row *write = fuse_opcode_row(FUSE_WRITE);

	cr_assert_eq(fuse_opcode_out_size(lookup, 8), 120);
	cr_assert_eq(fuse_opcode_out_size(lookup, 9), 128);
	cr_assert_eq(fuse_opcode_in_size(write, 8), 24);
	cr_assert_eq(fuse_opcode_in_size(write, 9), 40);
	cr_assert_eq(fuse_opcode_in_size(fuse_opcode_row(FUSE_MKNOD), 11), 8);
	cr_assert_eq(fuse_opcode_out_size(fuse_opcode_row(FUSE_STATFS), 3), 48);
}
