/* The rules of acl.h. */
#include "vfs/acl.h"

#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sentry/base/err.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

/* --- lists -------------------------------------------------------------------------------- */

static struct acl *acl_new(size_t count)
{
	struct acl *acl = malloc(sizeof(*acl) + count * sizeof(acl->entries[0]));

	if (acl) {
		ref_init(&acl->ref);
		acl->count = count;
	}
	return acl;
}

static struct acl *acl_copy(const struct acl *acl)
{
	struct acl *copy = acl_new(acl->count);

	if (copy)
		memcpy(copy->entries, acl->entries, acl->count * sizeof(acl->entries[0]));
	return copy;
}

struct acl *acl_get(struct acl *acl)
{
	if (acl)
		ref_get(&acl->ref);
	return acl;
}

void acl_put(struct acl *acl)
{
	if (acl && ref_put(&acl->ref))
		free(acl);
}

size_t acl_bytes(const struct acl *acl)
{
	return acl ? sizeof(*acl) + acl->count * sizeof(acl->entries[0]) : 0;
}

/* --- as extended attributes --------------------------------------------------------------- */

static const char *const acl_names[ACL_TYPES] = {
	[ACL_ACCESS] = XATTR_NAME_POSIX_ACL_ACCESS,
	[ACL_DEFAULT] = XATTR_NAME_POSIX_ACL_DEFAULT,
};

const char *acl_name(enum acl_type type)
{
	return acl_names[type];
}

bool acl_xattr_name(const char *name, enum acl_type *ret_type)
{
	for (int type = 0; type < ACL_TYPES; type++) {
		if (strcmp(name, acl_names[type]) == 0) {
			*ret_type = (enum acl_type)type;
			return true;
		}
	}
	return false;
}

static bool tag_has_id(uint16_t tag)
{
	return tag == ACL_USER || tag == ACL_GROUP;
}

static int read_entry(const char *bytes, struct acl_entry *ret_entry)
{
	struct posix_acl_xattr_entry wire;

	memcpy(&wire, bytes, sizeof(wire));
	switch (wire.e_tag) {
	case ACL_USER:
	case ACL_GROUP:
		if (wire.e_id == UINT32_MAX)
			return -EINVAL;
		__attribute__((fallthrough));
	case ACL_USER_OBJ:
	case ACL_GROUP_OBJ:
	case ACL_MASK:
	case ACL_OTHER:
		*ret_entry = (struct acl_entry){wire.e_tag, wire.e_perm, wire.e_id};
		return 0;
	default:
		return -EINVAL;
	}
}

int acl_from_xattr(const void *value, size_t size, struct acl **ret_acl)
{
	struct posix_acl_xattr_header head;
	const char *bytes = value;
	struct acl *acl;
	size_t count;

	if (size < sizeof(head))
		return -EINVAL;
	memcpy(&head, bytes, sizeof(head));
	if (head.a_version != POSIX_ACL_XATTR_VERSION)
		return -EOPNOTSUPP;
	count = (size - sizeof(head)) / sizeof(struct posix_acl_xattr_entry);
	if (sizeof(head) + count * sizeof(struct posix_acl_xattr_entry) != size)
		return -EINVAL;
	*ret_acl = NULL;
	if (count == 0)
		return 0;
	acl = acl_new(count);
	if (!acl)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		bytes = (const char *)value + sizeof(head) +
			i * sizeof(struct posix_acl_xattr_entry);
		if (read_entry(bytes, &acl->entries[i])) {
			acl_put(acl);
			return -EINVAL;
		}
	}
	*ret_acl = acl;
	return 0;
}

ssize_t acl_to_xattr(const struct acl *acl, void *value, size_t size)
{
	struct posix_acl_xattr_header head = {POSIX_ACL_XATTR_VERSION};
	size_t need = sizeof(head) + acl->count * sizeof(struct posix_acl_xattr_entry);
	char *to = value;

	if (size == 0)
		return (ssize_t)need;
	if (size < need)
		return -ERANGE;
	memcpy(to, &head, sizeof(head));
	to += sizeof(head);
	for (size_t i = 0; i < acl->count; i++) {
		const struct acl_entry *e = &acl->entries[i];
		struct posix_acl_xattr_entry wire = {
			e->tag, e->perm, tag_has_id(e->tag) ? e->id : (uint32_t)ACL_UNDEFINED_ID};

		memcpy(to, &wire, sizeof(wire));
		to += sizeof(wire);
	}
	return (ssize_t)need;
}

/* Owner, users, owning group, groups, mask (due with any user or group), others. */
int acl_check(const struct acl *acl)
{
	uint16_t state = ACL_USER_OBJ; /* the tag that is due; ACL_USER, ACL_GROUP: or the next */
	bool named = false;

	for (size_t i = 0; i < acl->count; i++) {
		const struct acl_entry *e = &acl->entries[i];

		if (e->perm & ~7u)
			return -EINVAL;
		if (e->tag == ACL_USER_OBJ && state == ACL_USER_OBJ)
			state = ACL_USER;
		else if (tag_has_id(e->tag) && state == e->tag)
			named = true;
		else if (e->tag == ACL_GROUP_OBJ && state == ACL_USER)
			state = ACL_GROUP;
		else if (e->tag == ACL_MASK && state == ACL_GROUP)
			state = ACL_OTHER;
		else if (e->tag == ACL_OTHER &&
			 (state == ACL_OTHER || (state == ACL_GROUP && !named)))
			state = 0;
		else
			return -EINVAL;
	}
	return state == 0 ? 0 : -EINVAL;
}

/* --- what they mean ----------------------------------------------------------------------- */

static struct acl_entry *find_tag(struct acl *acl, uint16_t tag)
{
	for (size_t i = 0; i < acl->count; i++)
		if (acl->entries[i].tag == tag)
			return &acl->entries[i];
	return NULL;
}

static const struct acl_entry *find_tag_const(const struct acl *acl, uint16_t tag)
{
	return find_tag((struct acl *)(uintptr_t)acl, tag);
}

static int judge(unsigned want, unsigned perm)
{
	return want & ~perm ? -EACCES : 0;
}

/* The entry of a named user or of a group holds as far as the mask lets it. */
static int judge_masked(const struct acl *acl, unsigned want, unsigned perm)
{
	const struct acl_entry *mask = find_tag_const(acl, ACL_MASK);

	return judge(want, mask ? perm & mask->perm : perm);
}

static bool entry_is_callers_group(const struct cred *cred, const struct acl_entry *e, gid_t gid)
{
	return (e->tag == ACL_GROUP_OBJ && cred_in_group(cred, gid)) ||
	       (e->tag == ACL_GROUP && cred_in_group(cred, e->id));
}

int acl_permission(const struct op_ctx *ctx, const struct acl *acl, uid_t uid, gid_t gid,
		   unsigned want)
{
	bool in_group = false;

	for (size_t i = 0; i < acl->count; i++) {
		const struct acl_entry *e = &acl->entries[i];

		if (e->tag == ACL_USER_OBJ && ctx->cred->fsuid == uid)
			return judge(want, e->perm);
		if (e->tag == ACL_USER && ctx->cred->fsuid == e->id)
			return judge_masked(acl, want, e->perm);
		if (entry_is_callers_group(ctx->cred, e, gid)) {
			in_group = true;
			if ((e->perm & want) == want) /* any of the groups may grant it all */
				return judge_masked(acl, want, e->perm);
		}
		if (e->tag == ACL_OTHER)
			return in_group ? -EACCES : judge(want, e->perm);
	}
	return -EIO;
}

bool acl_to_mode(const struct acl *acl, uint32_t *mode)
{
	uint32_t bits = 0;
	bool exact = true;

	for (size_t i = 0; acl && i < acl->count; i++) {
		const struct acl_entry *e = &acl->entries[i];

		if (e->tag == ACL_USER_OBJ)
			bits |= (uint32_t)(e->perm & 7) << 6;
		else if (e->tag == ACL_GROUP_OBJ)
			bits |= (uint32_t)(e->perm & 7) << 3;
		else if (e->tag == ACL_OTHER)
			bits |= e->perm & 7;
		else if (e->tag == ACL_MASK)
			bits = (bits & ~070u) | (uint32_t)(e->perm & 7) << 3, exact = false;
		else
			exact = false;
	}
	if (acl)
		*mode = (*mode & ~0777u) | bits;
	return exact;
}

/* The entry that the mode's group bits speak of: the mask, if there is one. */
static struct acl_entry *group_class(struct acl *acl)
{
	struct acl_entry *mask = find_tag(acl, ACL_MASK);

	return mask ? mask : find_tag(acl, ACL_GROUP_OBJ);
}

/* Ands the class' permissions with those of *mode, both ways. */
static void mask_class(struct acl_entry *e, uint32_t *mode, unsigned shift)
{
	e->perm &= (uint16_t)(*mode >> shift & 7);
	*mode &= (uint32_t)e->perm << shift | ~(7u << shift);
}

/* cf. posix_acl_create_masq(). 0 or -EIO. */
static int mask_for_create(struct acl *acl, uint32_t *mode)
{
	struct acl_entry *user = find_tag(acl, ACL_USER_OBJ), *other = find_tag(acl, ACL_OTHER);
	struct acl_entry *group = group_class(acl);

	if (!user || !other || !group)
		return -EIO;
	mask_class(user, mode, 6);
	mask_class(other, mode, 0);
	mask_class(group, mode, 3);
	return 0;
}

int acl_chmod(const struct acl *acl, uint32_t mode, struct acl **ret_acl)
{
	struct acl *copy = acl_copy(acl);
	struct acl_entry *user, *other, *group;

	if (!copy)
		return -ENOMEM;
	user = find_tag(copy, ACL_USER_OBJ);
	other = find_tag(copy, ACL_OTHER);
	group = group_class(copy);
	if (!user || !other || !group) {
		acl_put(copy);
		return -EIO;
	}
	user->perm = (uint16_t)(mode >> 6 & 7);
	group->perm = (uint16_t)(mode >> 3 & 7);
	other->perm = (uint16_t)(mode & 7);
	*ret_acl = copy;
	return 0;
}

/* A copy of the directory's list for one new object; NULL if its mode says the same. */
static int inherit(const struct acl *from, uint32_t *mode, struct acl **ret_acl)
{
	uint32_t ignored = *mode;
	struct acl *copy = acl_copy(from);
	int err;

	if (!copy)
		return -ENOMEM;
	err = mask_for_create(copy, mode);
	if (err || acl_to_mode(copy, &ignored)) {
		acl_put(copy);
		copy = NULL;
	}
	*ret_acl = copy;
	return err;
}

int acl_create(const struct op_ctx *ctx, struct inode *dir, uint32_t *mode,
	       struct acl *ret_acls[ACL_TYPES])
{
	struct acl *from;
	int err;

	ret_acls[ACL_ACCESS] = ret_acls[ACL_DEFAULT] = NULL;
	if (S_ISLNK(*mode))
		return 0;
	err = inode_get_acl(ctx, dir, ACL_DEFAULT, &from);
	if (err)
		return err;
	if (!from) {
		*mode &= ctx->fs ? ~(fs_umask(ctx->fs) & 0777u) : ~0u;
		return 0;
	}
	err = inherit(from, mode, &ret_acls[ACL_ACCESS]);
	if (!err && S_ISDIR(*mode))
		ret_acls[ACL_DEFAULT] = from;
	else
		acl_put(from);
	return err;
}

/* --- an inode's lists --------------------------------------------------------------------- */

struct acl *acl_store_get(struct acl_store *store, struct inode *inode, enum acl_type type)
{
	struct acl *acl;

	fb_mutex_lock(&inode->attr_lock);
	acl = acl_get(store->acl[type]);
	fb_mutex_unlock(&inode->attr_lock);
	return acl;
}

void acl_store_set(struct acl_store *store, struct inode *inode, enum acl_type type,
		   struct acl *acl)
{
	struct acl *old;

	fb_mutex_lock(&inode->attr_lock);
	old = store->acl[type];
	store->acl[type] = acl;
	store->known[type] = true;
	fb_mutex_unlock(&inode->attr_lock);
	acl_put(old);
}

void acl_store_forget(struct acl_store *store, struct inode *inode)
{
	struct acl *old[ACL_TYPES];

	fb_mutex_lock(&inode->attr_lock);
	memcpy(old, store->acl, sizeof(old));
	memset(store->acl, 0, sizeof(store->acl));
	memset(store->known, 0, sizeof(store->known));
	store->changes++;
	fb_mutex_unlock(&inode->attr_lock);
	acl_put(old[ACL_ACCESS]);
	acl_put(old[ACL_DEFAULT]);
}

void acl_store_free(struct acl_store *store)
{
	acl_put(store->acl[ACL_ACCESS]);
	acl_put(store->acl[ACL_DEFAULT]);
}

/* --- the calls ---------------------------------------------------------------------------- */

static bool has_acls(const struct inode *inode)
{
	return inode->op && inode->op->get_acl && (sb_flags(inode->sb) & SB_POSIXACL);
}

int inode_get_acl(const struct op_ctx *ctx, struct inode *inode, enum acl_type type,
		  struct acl **ret_acl)
{
	*ret_acl = NULL;
	return has_acls(inode) ? inode->op->get_acl(ctx, inode, type, true, ret_acl) : 0;
}

ssize_t vfs_get_acl(const struct op_ctx *ctx, struct dentry *dentry, enum acl_type type,
		    void *value, size_t size)
{
	struct inode *inode = dentry->inode;
	struct acl *acl = NULL;
	ssize_t ret;

	if (!has_acls(inode))
		return -EOPNOTSUPP;
	ret = inode->op->get_acl(ctx, inode, type, false, &acl);
	if (!ret)
		ret = acl ? acl_to_xattr(acl, value, size) : -ENODATA;
	acl_put(acl);
	return ret;
}

/* cf. set_posix_acl() */
static int set_checked(const struct op_ctx *ctx, struct dentry *dentry, enum acl_type type,
		       struct acl *acl)
{
	struct inode *inode = dentry->inode;
	int err;

	if (!has_acls(inode) || !inode->op->set_acl)
		return -EOPNOTSUPP;
	if (type == ACL_DEFAULT && !inode_is_dir(inode))
		return acl ? -EACCES : 0;
	if (!inode_owner_or_capable(ctx, inode))
		return -EPERM;
	err = acl ? acl_check(acl) : 0;
	return err ? err : inode->op->set_acl(ctx, dentry, type, acl);
}

int vfs_set_acl(const struct op_ctx *ctx, struct dentry *dentry, enum acl_type type,
		const void *value, size_t size)
{
	struct acl *acl = NULL;
	int err = size ? acl_from_xattr(value, size, &acl) : 0;

	if (!err)
		err = set_checked(ctx, dentry, type, acl);
	acl_put(acl);
	return err;
}
