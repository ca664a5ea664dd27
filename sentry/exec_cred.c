/*
 * Credentials across execve(2), cf. bprm_fill_uid() in fs/exec.c and cap_bprm_creds_from_file()
 * in security/commoncap.c. There is one user namespace: guests have no other.
 */
#include "sentry/exec_cred.h"

#include <endian.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/stat.h>

#include "sentry/base/err.h"
#include "vfs/cred.h"

struct file_caps {
	bool present, effective;
	uint64_t permitted, inheritable;
};

/* struct vfs_ns_cap_data of linux/capability.h, in all three revisions. */
static int parse_caps(const void *value, size_t size, struct file_caps *ret_caps)
{
	struct vfs_ns_cap_data data = { 0 };
	uint32_t magic;
	size_t want;

	if (size < sizeof(data.magic_etc) || size > sizeof(data))
		return -EINVAL;
	memcpy(&data, value, size);
	magic = le32toh(data.magic_etc);
	switch (magic & VFS_CAP_REVISION_MASK) {
	case VFS_CAP_REVISION_1: want = XATTR_CAPS_SZ_1; break;
	case VFS_CAP_REVISION_2: want = XATTR_CAPS_SZ_2; break;
	case VFS_CAP_REVISION_3: want = XATTR_CAPS_SZ_3; break;
	default: return -EINVAL;
	}
	if (size != want)
		return -EINVAL;
	if (want == XATTR_CAPS_SZ_3 && le32toh(data.rootid) != 0)
		return 0; /* meant for another user namespace */
	ret_caps->present = true;
	ret_caps->effective = (magic & VFS_CAP_FLAGS_EFFECTIVE) != 0;
	ret_caps->permitted = le32toh(data.data[0].permitted);
	ret_caps->inheritable = le32toh(data.data[0].inheritable);
	if (want != XATTR_CAPS_SZ_1) {
		ret_caps->permitted |= (uint64_t)le32toh(data.data[1].permitted) << 32;
		ret_caps->inheritable |= (uint64_t)le32toh(data.data[1].inheritable) << 32;
	}
	return 0;
}

static void apply_setid_bits(struct cred *new, const struct exec_file_rights *rights)
{
	if (rights->nosuid || rights->no_new_privs)
		return;
	if (rights->mode & S_ISUID)
		new->euid = rights->uid;
	/* Set-gid without group execute is the mark of mandatory locking. */
	if ((rights->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		new->egid = rights->gid;
}

/* get_file_caps(): also starts the permitted set afresh. */
static int apply_file_caps(struct cred *new, const struct exec_file_rights *rights,
			   struct file_caps *ret_caps)
{
	struct file_caps caps = { 0 };
	int err;

	new->cap_permitted = 0;
	if (!rights->nosuid && rights->caps) {
		err = parse_caps(rights->caps, rights->caps_size, &caps);
		if (err)
			return err;
	}
	if (caps.present) {
		new->cap_permitted = (new->cap_bounding & caps.permitted) |
				     (new->cap_inheritable & caps.inheritable);
		/* A program that knows nothing of capabilities must get all it asks for. */
		if (caps.effective && (caps.permitted & ~new->cap_permitted))
			return -EPERM;
	}
	*ret_caps = caps;
	return 0;
}

/* handle_privileged_root() */
static void apply_root_rules(struct cred *new, const struct cred *old, struct file_caps *caps)
{
	if (old->securebits & (1u << SECURE_NOROOT))
		return;
	if (caps->present && new->euid == 0 && new->uid != 0)
		return; /* set-uid root and file capabilities: the latter count */
	if (new->euid == 0 || new->uid == 0)
		new->cap_permitted = old->cap_bounding | old->cap_inheritable;
	if (new->euid == 0)
		caps->effective = true;
}

/* No more than the caller had, when he may not have more. */
static void limit_gain(struct cred *new, const struct cred *old, bool setid, bool no_new_privs)
{
	bool gained = (new->cap_permitted & ~old->cap_permitted) != 0;

	if (!no_new_privs || (!setid && !gained))
		return;
	new->euid = new->uid;
	new->egid = new->gid;
	new->cap_permitted &= old->cap_permitted;
}

int exec_cred(const struct cred *old, const struct exec_file_rights *rights,
	      const struct cred **ret_cred, bool *ret_secure)
{
	struct cred *new = cred_dup(old);
	struct file_caps caps;
	bool setid, real_root;
	int err;

	if (!new)
		return -ENOMEM;
	apply_setid_bits(new, rights);
	err = apply_file_caps(new, rights, &caps);
	if (err) {
		cred_put(new);
		return err;
	}
	apply_root_rules(new, old, &caps);
	setid = new->euid != old->uid || new->egid != old->gid;
	limit_gain(new, old, setid, rights->no_new_privs);

	new->suid = new->fsuid = new->euid;
	new->sgid = new->fsgid = new->egid;
	if (caps.present || setid)
		new->cap_ambient = 0;
	new->cap_permitted |= new->cap_ambient;
	new->cap_effective = caps.effective ? new->cap_permitted : new->cap_ambient;
	new->securebits &= ~(1u << SECURE_KEEP_CAPS);

	real_root = new->uid == 0;
	*ret_secure = setid || (!real_root && (caps.effective ||
					       (new->cap_permitted & ~new->cap_ambient)));
	*ret_cred = new;
	return 0;
}
