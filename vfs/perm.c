/* The permission rules of perm.h. */
#include "vfs/perm.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/stat.h>

#include "vfs/acl.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/superblock.h"

bool ctx_capable(const struct op_ctx *ctx, int cap)
{
	return ctx->cred && cred_capable(ctx->cred, cap);
}

bool inode_owner_or_capable(const struct op_ctx *ctx, struct inode *inode)
{
	bool owner;

	fb_mutex_lock(&inode->attr_lock);
	owner = ctx->cred->fsuid == inode->uid;
	fb_mutex_unlock(&inode->attr_lock);
	return owner || ctx_capable(ctx, CAP_FOWNER);
}

struct inode_ids {
	uint32_t mode;
	uid_t uid;
	gid_t gid;
};

/* Which of the three permission triplets of `mode` is the caller's. */
static unsigned mode_triplet(const struct cred *cred, uint32_t mode, uid_t uid, gid_t gid)
{
	if (cred->fsuid == uid)
		return (mode >> 6) & 7;
	/* The groups matter only where the two triplets differ. */
	if (((mode >> 3 ^ mode) & 7) && cred_in_group(cred, gid))
		return (mode >> 3) & 7;
	return mode & 7;
}

/* The mode bits, or the list that refines them (cf. acl_permission_check()). */
static int check_mode_and_acl(const struct op_ctx *ctx, struct inode *inode, unsigned want,
			      const struct inode_ids *ids)
{
	struct acl *acl = NULL;
	int err = 0;

	if (ctx->cred->fsuid != ids->uid && (ids->mode & 070))
		err = inode_get_acl(ctx, inode, ACL_ACCESS, &acl);
	if (!err && acl)
		err = acl_permission(ctx, acl, ids->uid, ids->gid, want);
	else if (!err && (want & ~mode_triplet(ctx->cred, ids->mode, ids->uid, ids->gid)))
		err = -EACCES;
	acl_put(acl);
	return err;
}

int generic_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask)
{
	unsigned want = mask & (MAY_READ | MAY_WRITE | MAY_EXEC);
	struct inode_ids ids;
	uint32_t mode;
	int err;

	fb_mutex_lock(&inode->attr_lock);
	mode = inode->mode;
	ids = (struct inode_ids){mode, inode->uid, inode->gid};
	fb_mutex_unlock(&inode->attr_lock);
	err = check_mode_and_acl(ctx, inode, want, &ids);
	if (err != -EACCES)
		return err;
	if (S_ISDIR(mode)) {
		if (!(want & MAY_WRITE) && ctx_capable(ctx, CAP_DAC_READ_SEARCH))
			return 0;
		return ctx_capable(ctx, CAP_DAC_OVERRIDE) ? 0 : -EACCES;
	}
	if (want == MAY_READ && ctx_capable(ctx, CAP_DAC_READ_SEARCH))
		return 0;
	/* Execute needs at least one x bit, even for root. */
	if ((!(want & MAY_EXEC) || (mode & 0111)) && ctx_capable(ctx, CAP_DAC_OVERRIDE))
		return 0;
	return -EACCES;
}

static bool mode_is_special(uint32_t mode)
{
	return !S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode);
}

int inode_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask)
{
	if ((mask & MAY_WRITE) && inode->sb && !mode_is_special(inode_mode(inode)) &&
	    (sb_flags(inode->sb) & SB_RDONLY))
		return -EROFS;
	if (__atomic_load_n(&inode->bad, __ATOMIC_RELAXED))
		return -EIO;
	if (inode->op && inode->op->permission)
		return inode->op->permission(ctx, inode, mask);
	return generic_permission(ctx, inode, mask);
}

int path_permission(const struct op_ctx *ctx, const struct path *path, unsigned mask)
{
	struct inode *inode = path->dentry->inode;
	unsigned flags = path->mnt ? mount_flags(path->mnt) : 0;
	int err;

	/* cf. do_faccessat(): a program on a noexec mount is not executable */
	if ((mask & MAY_EXEC) && inode_is_reg(inode) && (flags & MNT_NOEXEC))
		return -EACCES;
	err = inode_permission(ctx, inode, mask);
	if (!err && (mask & MAY_WRITE) && (flags & MNT_READONLY) &&
	    !mode_is_special(inode_mode(inode)))
		return -EROFS;
	return err;
}
