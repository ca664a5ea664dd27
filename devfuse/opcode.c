/* The opcode table and what is derived from it. */
#include "devfuse/opcode.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vfs/strbuf.h"

#define ENTRY_OUT      .out_size = 128, .out = {9, FUSE_COMPAT_ENTRY_OUT_SIZE}
#define ATTR_OUT       .out_size = 104, .out = {9, FUSE_COMPAT_ATTR_OUT_SIZE}
#define STICKY(result) .enosys = ENOSYS_STICKY, .enosys_result = (result)

static const struct fuse_opcode_row rows[FUSE_OPCODE_END] = {
	[FUSE_LOOKUP] = {.name = "LOOKUP", ENTRY_OUT},
	[FUSE_FORGET] = {.name = "FORGET", .no_reply = true, .forced = true, .in_size = 8},
	[FUSE_GETATTR] = {.name = "GETATTR", .in_size = 16, ATTR_OUT},
	[FUSE_SETATTR] = {.name = "SETATTR", .in_size = 88, ATTR_OUT},
	[FUSE_READLINK] = {.name = "READLINK", .out_var = true},
	[FUSE_SYMLINK] = {.name = "SYMLINK", ENTRY_OUT},
	[FUSE_MKNOD] = {.name = "MKNOD",
			.in_size = 16,
			.in = {12, FUSE_COMPAT_MKNOD_IN_SIZE},
			ENTRY_OUT},
	[FUSE_MKDIR] = {.name = "MKDIR", .in_size = 8, ENTRY_OUT},
	[FUSE_UNLINK] = {.name = "UNLINK"},
	[FUSE_RMDIR] = {.name = "RMDIR"},
	[FUSE_RENAME] = {.name = "RENAME", .in_size = 8},
	[FUSE_LINK] = {.name = "LINK", .in_size = 8, ENTRY_OUT, STICKY(-EPERM)},
	[FUSE_OPEN] = {.name = "OPEN", .in_size = 8, .out_size = 16, STICKY(-ENOSYS)},
	[FUSE_READ] = {.name = "READ", .in_size = 40, .out_var = true},
	[FUSE_WRITE] = {.name = "WRITE",
			.in_size = 40,
			.in = {9, FUSE_COMPAT_WRITE_IN_SIZE},
			.out_size = 8},
	[FUSE_STATFS] = {.name = "STATFS", .out_size = 80, .out = {4, FUSE_COMPAT_STATFS_SIZE}},
	[FUSE_RELEASE] = {.name = "RELEASE", .forced = true, .in_size = 24},
	[FUSE_FSYNC] = {.name = "FSYNC", .in_size = 16, STICKY(0)},
	[FUSE_SETXATTR] = {.name = "SETXATTR", .in_size = 16, STICKY(-EOPNOTSUPP)},
	[FUSE_GETXATTR] = {.name = "GETXATTR", .in_size = 8, .out_var = true, STICKY(-EOPNOTSUPP)},
	[FUSE_LISTXATTR] = {.name = "LISTXATTR",
			    .in_size = 8,
			    .out_var = true,
			    STICKY(-EOPNOTSUPP)},
	[FUSE_REMOVEXATTR] = {.name = "REMOVEXATTR", STICKY(-EOPNOTSUPP)},
	[FUSE_FLUSH] = {.name = "FLUSH", .forced = true, .in_size = 24, STICKY(0)},
	[FUSE_INIT] = {.name = "INIT", .forced = true, .in_size = 64, .out_var = true},
	[FUSE_OPENDIR] = {.name = "OPENDIR", .in_size = 8, .out_size = 16, STICKY(-ENOSYS)},
	[FUSE_READDIR] = {.name = "READDIR", .in_size = 40, .out_var = true},
	[FUSE_RELEASEDIR] = {.name = "RELEASEDIR", .forced = true, .in_size = 24},
	[FUSE_FSYNCDIR] = {.name = "FSYNCDIR", .in_size = 16, STICKY(0)},
	[FUSE_GETLK] = {.name = "GETLK", .since = 7, .in_size = 48, .out_size = 24},
	[FUSE_SETLK] = {.name = "SETLK", .since = 7, .in_size = 48},
	[FUSE_SETLKW] = {.name = "SETLKW", .since = 7, .in_size = 48},
	[FUSE_ACCESS] = {.name = "ACCESS", .in_size = 8, STICKY(0)},
	[FUSE_CREATE] = {.name = "CREATE",
			 .in_size = 16,
			 .in = {12, FUSE_COMPAT_CREATE_IN_SIZE},
			 .out_size = 128,
			 .out = {9, FUSE_COMPAT_ENTRY_OUT_SIZE},
			 STICKY(-ENOSYS)},
	[FUSE_INTERRUPT] = {.name = "INTERRUPT", .forced = true, .in_size = 8},
	[FUSE_BMAP] = {.name = "BMAP",
		       .in_size = 16,
		       .out_size = 8,
		       STICKY(0),
		       .support = "never sent: FIBMAP exists for block devices only"},
	[FUSE_DESTROY] = {.name = "DESTROY",
			  .forced = true,
			  .support = "never sent: plain fuse mounts never did"},
	[FUSE_IOCTL] =
		{.name = "IOCTL", .since = 11, .in_size = 32, .out_size = 16, .out_var = true},
	[FUSE_POLL] = {.name = "POLL", .since = 11, .in_size = 24, .out_size = 8, STICKY(-ENOSYS)},
	[FUSE_NOTIFY_REPLY] = {.name = "NOTIFY_REPLY",
			       .since = 15,
			       .no_reply = true,
			       .ring_payload = true,
			       .in_size = 40},
	[FUSE_BATCH_FORGET] = {.name = "BATCH_FORGET",
			       .since = 16,
			       .no_reply = true,
			       .forced = true,
			       .in_size = 8},
	[FUSE_FALLOCATE] = {.name = "FALLOCATE", .since = 19, .in_size = 32, STICKY(-EOPNOTSUPP)},
	[FUSE_READDIRPLUS] = {.name = "READDIRPLUS", .since = 21, .in_size = 40, .out_var = true},
	[FUSE_RENAME2] = {.name = "RENAME2", .since = 23, .in_size = 16, STICKY(-EINVAL)},
	[FUSE_LSEEK] =
		{.name = "LSEEK", .since = 24, .in_size = 24, .out_size = 8, STICKY(-ENOSYS)},
	[FUSE_COPY_FILE_RANGE] = {.name = "COPY_FILE_RANGE",
				  .since = 28,
				  .in_size = 56,
				  .out_size = 8,
				  STICKY(-EOPNOTSUPP)},
	[FUSE_SETUPMAPPING] = {.name = "SETUPMAPPING",
			       .since = 31,
			       .in_size = 40,
			       .support = "never sent: DAX is for virtiofs"},
	[FUSE_REMOVEMAPPING] = {.name = "REMOVEMAPPING",
				.since = 31,
				.support = "never sent: DAX is for virtiofs"},
	[FUSE_SYNCFS] = {.name = "SYNCFS",
			 .since = 34,
			 .in_size = 8,
			 STICKY(0),
			 .support = "never sent: plain fuse mounts never did"},
	[FUSE_TMPFILE] = {.name = "TMPFILE",
			  .since = 37,
			  .in_size = 16,
			  .out_size = 128,
			  STICKY(-EOPNOTSUPP)},
	[FUSE_STATX] =
		{.name = "STATX", .since = 39, .in_size = 24, .out_size = 288, STICKY(-ENOSYS)},
	[FUSE_COPY_FILE_RANGE_64] = {.name = "COPY_FILE_RANGE_64",
				     .since = 45,
				     .in_size = 56,
				     .out_size = 8,
				     STICKY(-ENOSYS)},
};

/* Its number is far from the others'. */
static const struct fuse_opcode_row cuse_init_row = {
	.name = "CUSE_INIT", .since = 12, .forced = true, .in_size = 16, .out_size = 72, .out_var = true};

const struct fuse_opcode_row *fuse_opcode_row(uint32_t opcode)
{
	if (opcode == CUSE_INIT)
		return &cuse_init_row;
	if (opcode >= FUSE_OPCODE_END || !rows[opcode].name)
		return NULL;
	return &rows[opcode];
}

const char *fuse_opcode_name(uint32_t opcode)
{
	const struct fuse_opcode_row *row = fuse_opcode_row(opcode);

	return row ? row->name : "?";
}

uint32_t fuse_opcode_in_size(const struct fuse_opcode_row *row, uint32_t minor)
{
	return minor < row->in.before ? row->in.size : row->in_size;
}

uint32_t fuse_opcode_out_size(const struct fuse_opcode_row *row, uint32_t minor)
{
	return minor < row->out.before ? row->out.size : row->out_size;
}

static void list_enosys(struct strbuf *out, const struct fuse_opcode_row *row)
{
	if (row->no_reply)
		strbuf_puts(out, "no answer");
	else if (row->enosys == ENOSYS_PLAIN)
		strbuf_puts(out, "passed on");
	else if (row->enosys_result == 0)
		strbuf_puts(out, "remembered: success");
	else if (row->enosys_result == -ENOSYS)
		strbuf_puts(out, "remembered: done without it");
	else
		strbuf_printf(out, "remembered: %s", strerrorname_np(-row->enosys_result));
}

static void list_row(struct strbuf *out, uint32_t opcode, const struct fuse_opcode_row *row)
{
	strbuf_printf(out, "| %u | %s | ", opcode, row->name);
	if (row->since)
		strbuf_printf(out, "7.%u", row->since);
	strbuf_printf(out, " | %s | ", row->support ? row->support : "yes");
	list_enosys(out, row);
	strbuf_puts(out, " |\n");
}

void fuse_opcode_list(struct strbuf *out)
{
	for (uint32_t op = 1; op < FUSE_OPCODE_END; op++) {
		const struct fuse_opcode_row *row = fuse_opcode_row(op);

		if (row)
			list_row(out, op, row);
	}
	list_row(out, CUSE_INIT, &cuse_init_row);
}
