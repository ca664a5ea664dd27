/* Filling in struct fuse_args, and keeping alive what an orphaned request works on. */
#include <string.h>

#include "fusefs/fusefs.h"
#include "vfs/cred.h"

void fuse_args_init(struct fuse_args *args, uint32_t opcode, const struct inode *inode)
{
	memset(args, 0, sizeof(*args));
	args->opcode = opcode;
	if (inode) {
		args->nodeid = fuse_nodeid(inode);
		fuse_args_pin(args, inode, &args->nodeid);
	}
}

void fuse_args_in(struct fuse_args *args, const void *data, size_t size)
{
	fb_assert(args->nr_in < FUSE_ARGS_IN);
	args->in[args->nr_in++] = (struct fuse_in_arg){data, size};
}

void fuse_args_name(struct fuse_args *args, const char *name)
{
	fuse_args_in(args, name, strlen(name) + 1);
}

void fuse_args_out(struct fuse_args *args, void *data, size_t size)
{
	fb_assert(args->nr_out < FUSE_ARGS_OUT);
	args->out[args->nr_out++] = (struct fuse_out_arg){data, size};
}

void fuse_args_create_ext(struct fuse_args *args, const struct op_ctx *ctx, struct inode *dir,
			  struct fuse_create_ext *ext)
{
	struct fuse_conn *conn = fuse_conn_of(dir);
	uint8_t *from = (uint8_t *)ext;
	size_t size = 0;
	gid_t gid;

	memset(ext, 0, sizeof(*ext));
	if (fuse_conn_has(conn, FUSE_SECURITY_CTX)) {
		ext->secctx.size = sizeof(ext->secctx); /* no security module: no label */
		size += sizeof(ext->secctx);
	} else {
		from = (uint8_t *)&ext->groups;
	}
	if (fuse_conn_has(conn, FUSE_CREATE_SUPP_GROUP) && ctx->cred) {
		fb_mutex_lock(&dir->attr_lock);
		gid = dir->gid;
		fb_mutex_unlock(&dir->attr_lock);
		if (gid != ctx->cred->fsgid && cred_in_group(ctx->cred, gid)) {
			ext->groups.head.size = sizeof(ext->groups);
			ext->groups.head.type = FUSE_EXT_GROUPS;
			ext->groups.nr_groups = 1;
			ext->groups.group = gid;
			size += sizeof(ext->groups);
		}
	}
	if (size == 0)
		return;
	fuse_args_in(args, from, size);
	args->ext_size = (uint16_t)size;
}

void fuse_args_pin(struct fuse_args *args, const struct inode *inode, uint64_t *nodeid_at)
{
	for (unsigned i = 0; i < FUSE_ARGS_PINS; i++) {
		if (args->pins[i])
			continue;
		args->pins[i] = (struct inode *)(uintptr_t)inode;
		args->pin_at[i] = nodeid_at;
		return;
	}
}

void fuse_args_pin_file(struct fuse_args *args, struct fuse_file *ff, uint64_t *fh_at)
{
	unsigned i = args->pin_files[0] ? 1 : 0;

	args->pin_files[i] = ff;
	args->pin_file_at[i] = fh_at;
}
