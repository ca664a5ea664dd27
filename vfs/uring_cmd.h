/*
 * IORING_OP_URING_CMD, as the file that gets the command sees it: a call that the driver may keep
 * and complete later, from anywhere. cf. include/linux/io_uring/cmd.h.
 *
 *	static int dev_uring_cmd(const struct op_ctx *ctx, struct uring_cmd *cmd, unsigned issue_flags)
 *	{
 *		... check cmd->op and a struct copied out of cmd->payload ...
 *		cmd->pdu[0] = (uintptr_t)entry;
 *		uring_cmd_mark_cancelable(cmd, dev_cmd_cancel);
 *		... put it where uring_cmd_done() will be called from ...
 *		return -EIOCBQUEUED;
 *	}
 *
 * Lifetime. The command exists from the call of file_ops.uring_cmd until the method returns
 * something else than -EIOCBQUEUED, or until uring_cmd_done(). A kept command keeps its file open
 * (`file`, counted by the ring) and its submitter's context valid (`ctx`). It never outlives the
 * task that submitted it: the death and the execve(2) of the task, and the end of the ring, cancel
 * it and wait for uring_cmd_done().
 *
 * Guest memory. `ctx` leads to the memory of the submitter, from any fiber, as long as the command
 * exists: ioctl_copy_in() and ioctl_copy_out() of vfs/ioctl.h, and ctx_iter_init() of vfs/ctx.h for
 * iovecs. A dead or dying submitter is -EFAULT or a short copy, never a fault. The payload is a
 * copy made once: the guest cannot change it any more.
 */
#ifndef FB_VFS_URING_CMD_H
#define FB_VFS_URING_CMD_H

#include <stddef.h>
#include <stdint.h>

struct file;
struct op_ctx;

/* What file_ops.uring_cmd returns when it has kept the command; never seen by a guest. */
#ifndef EIOCBQUEUED
#define EIOCBQUEUED 529
#endif

#define URING_CMD_PAYLOAD 80 /* bytes 48..127 of a 128-byte submission entry */

enum uring_issue_flags {
	/*
	 * The submitter's own system call runs the method, with other submissions behind it: a
	 * method that would have to wait returns -EAGAIN and is called once more, without this
	 * flag, on a fiber of its own that may wait.
	 */
	URING_ISSUE_NONBLOCK = 1,
	URING_ISSUE_SQE128 = 2, /* all of payload is the guest's; else only its first 16 bytes */
	URING_ISSUE_CQE32 = 4,	/* extra is told to the guest */
};

struct uring_cmd {
	struct file *file;	  /* borrowed from the ring */
	const struct op_ctx *ctx; /* the submitter's: credentials, descriptors, memory */
	uint32_t op;		  /* sqe->cmd_op */
	uint32_t flags;		  /* sqe->uring_cmd_flags: IORING_URING_CMD_*, checked */
	uint64_t user_data;
	uint64_t addr; /* sqe->addr and len, which most commands do not look at: */
	uint32_t len;  /* /dev/fuse has its iovec of header and payload there */
	uint8_t payload[URING_CMD_PAYLOAD]; /* zero behind what the guest's entry has */
	uint64_t extra[2]; /* of a 32-byte completion; set before uring_cmd_done() */
	uint64_t pdu[4];   /* the driver's; zero at first */
	/* Set by uring_cmd_mark_cancelable(). */
	void (*cancel)(struct uring_cmd *cmd);
	/* Of the ring, or of a unit test that plays the ring: uring_cmd_done(). */
	void (*done)(struct uring_cmd *cmd, int32_t res);
};

/*
 * Completes a kept command: `res` goes into cqe->res. Once for each -EIOCBQUEUED, also before the
 * method has returned it; the command is gone after that. From any thread or fiber. Never sleeps;
 * the caller may hold ranked mutexes up to RANK_LEAF, and no others.
 */
static inline void uring_cmd_done(struct uring_cmd *cmd, int32_t res)
{
	cmd->done(cmd, res);
}

/*
 * From within the method, before it returns -EIOCBQUEUED and before the command can be found by
 * others: `cancel` will be called, at most once, when the ring or the submitter ends. (As in
 * io_try_cancel(), IORING_OP_ASYNC_CANCEL does not find commands.) It must see to it that
 * uring_cmd_done() is called soon (usually it does so itself, with -ECANCELED), as somebody waits
 * for it. It runs on a fiber with no ranked mutex held and may sleep, but not for a guest. It may
 * run while another fiber calls uring_cmd_done(): the command exists until it has returned, and the
 * driver decides under its own lock who of the two completes it. A kept command without it is one
 * that ends soon by itself.
 */
static inline void uring_cmd_mark_cancelable(struct uring_cmd *cmd,
					     void (*cancel)(struct uring_cmd *cmd))
{
	cmd->cancel = cancel;
}

#endif
