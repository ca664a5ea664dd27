/* The operations. A missing row is -EINVAL, and IORING_REGISTER_PROBE says so. */
#include "vfs/uring/uring_internal.h"

#define OP(name_) .name = #name_, .prep = uring_##name_##_prep, .issue = uring_##name_

const struct uring_op *uring_op(unsigned opcode)
{
	return opcode < IORING_OP_LAST && uring_ops[opcode].name ? &uring_ops[opcode] : NULL;
}

#define READS .needs_file = true, .poll_events = POLLIN | POLLRDNORM
#define WRITES .needs_file = true, .poll_events = POLLOUT | POLLWRNORM
#define RW(name_, prep_, issue_)                                                                   \
	.name = name_, .prep = prep_, .issue = issue_, .cleanup = uring_rw_cleanup, .ioprio = true

const struct uring_op uring_ops[IORING_OP_LAST] = {
	[IORING_OP_NOP] = { OP(nop) },
	[IORING_OP_READV] = { RW("readv", uring_rwv_prep, uring_rw), READS },
	[IORING_OP_WRITEV] = { RW("writev", uring_rwv_prep, uring_rw), WRITES },
	[IORING_OP_FSYNC] = { OP(fsync), .needs_file = true, .blocks = true },
	[IORING_OP_READ_FIXED] = { RW("read_fixed", uring_rw_fixed_prep, uring_rw_fixed), READS },
	[IORING_OP_WRITE_FIXED] = { RW("write_fixed", uring_rw_fixed_prep, uring_rw_fixed),
				    WRITES },
	[IORING_OP_POLL_ADD] = { OP(poll_add), .needs_file = true },
	[IORING_OP_POLL_REMOVE] = { OP(poll_remove) },
	[IORING_OP_TIMEOUT] = { OP(timeout) },
	[IORING_OP_TIMEOUT_REMOVE] = { OP(timeout_remove) },
	[IORING_OP_ASYNC_CANCEL] = { OP(async_cancel), .cleanup = uring_cancel_cleanup },
	[IORING_OP_LINK_TIMEOUT] = { OP(link_timeout) },
	[IORING_OP_OPENAT] = { OP(openat), .cleanup = uring_path_cleanup, .blocks = true },
	[IORING_OP_CLOSE] = { OP(close) },
	[IORING_OP_STATX] = { OP(statx), .cleanup = uring_path_cleanup, .blocks = true },
	[IORING_OP_READ] = { RW("read", uring_rw_prep, uring_rw), READS },
	[IORING_OP_WRITE] = { RW("write", uring_rw_prep, uring_rw), WRITES },
	[IORING_OP_SEND] = { OP(send), WRITES },
	[IORING_OP_RECV] = { OP(recv), READS },
	[IORING_OP_OPENAT2] = { OP(openat2), .cleanup = uring_path_cleanup, .blocks = true },
	[IORING_OP_URING_CMD] = { OP(cmd), .needs_file = true },
};
