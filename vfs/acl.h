/*
 * POSIX access control lists (acl(5)): as the extended attributes system.posix_acl_access and
 * system.posix_acl_default carry them, and what they mean. The rules are those of
 * fs/posix_acl.c.
 *
 * A struct acl is constant once it is shared. Holders of a reference: struct acl_store, callers.
 * Where a function takes or gives NULL, it means "no list": the mode bits say it all.
 */
#ifndef FB_VFS_ACL_H
#define FB_VFS_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sentry/base/refcount.h"

struct dentry;
struct inode;
struct op_ctx;

enum acl_type { ACL_ACCESS, ACL_DEFAULT, ACL_TYPES };

struct acl_entry {
	uint16_t tag, perm; /* ACL_USER_OBJ, ... of linux/posix_acl.h; MAY_* bits */
	uint32_t id;	    /* of ACL_USER and ACL_GROUP */
};

struct acl {
	struct ref ref;
	size_t count;
	struct acl_entry entries[];
};

struct acl *acl_get(struct acl *acl); /* NULL gives NULL */
void acl_put(struct acl *acl);
/* Bytes that it takes in memory; 0 for NULL. */
size_t acl_bytes(const struct acl *acl);

/* True for the two attributes that are ACLs. */
bool acl_xattr_name(const char *name, enum acl_type *ret_type);
const char *acl_name(enum acl_type type);
/*
 * Reads an attribute's value; only its form is checked. *ret_acl: a new list, or NULL for one
 * without entries. 0, -EINVAL, -EOPNOTSUPP (another version), -ENOMEM.
 */
int acl_from_xattr(const void *value, size_t size, struct acl **ret_acl);
/* The value's bytes; written if they fit into size. -ERANGE; size 0 asks for the length. */
ssize_t acl_to_xattr(const struct acl *acl, void *value, size_t size);
/* -EINVAL unless it has what a list must have, in order. */
int acl_check(const struct acl *acl);

/* May the caller, not the owner, do `want` (MAY_*)? 0, -EACCES; -EIO: the list makes no sense. */
int acl_permission(const struct op_ctx *ctx, const struct acl *acl, uid_t uid, gid_t gid,
		   unsigned want);
/* The permission bits of *mode become the list's; true if they say all that the list does. */
bool acl_to_mode(const struct acl *acl, uint32_t *mode);
/* A copy for an object that was chmod'ed. 0, -ENOMEM, -EIO. */
int acl_chmod(const struct acl *acl, uint32_t mode, struct acl **ret_acl);
/*
 * What a new object in `dir` begins with (cf. posix_acl_create()): *mode loses what the default
 * list of dir, or without one the umask, denies; *ret_acls are its lists, with references.
 */
int acl_create(const struct op_ctx *ctx, struct inode *dir, uint32_t *mode,
	       struct acl *ret_acls[ACL_TYPES]);

/* --- an inode's lists --------------------------------------------------------------------- */

/* Guarded by the inode's attr_lock. */
struct acl_store {
	struct acl *acl[ACL_TYPES]; /* counted */
	bool known[ACL_TYPES];	    /* for caches: else it has to be asked for */
	unsigned changes;	    /* counts acl_store_forget(): what was asked before is out of date */
};
/* The list, with a reference. */
struct acl *acl_store_get(struct acl_store *store, struct inode *inode, enum acl_type type);
/* Takes acl. */
void acl_store_set(struct acl_store *store, struct inode *inode, enum acl_type type,
		   struct acl *acl);
void acl_store_forget(struct acl_store *store, struct inode *inode); /* both, and unknown again */
void acl_store_free(struct acl_store *store);

/* --- the calls, for vfs/xattr.c and vfs/perm.c -------------------------------------------- */

ssize_t vfs_get_acl(const struct op_ctx *ctx, struct dentry *dentry, enum acl_type type,
		    void *value, size_t size);
/* value of size 0: remove. Inode locked for writing. */
int vfs_set_acl(const struct op_ctx *ctx, struct dentry *dentry, enum acl_type type,
		const void *value, size_t size);
/* The list that permission checks go by; *ret_acl NULL: none. */
int inode_get_acl(const struct op_ctx *ctx, struct inode *inode, enum acl_type type,
		  struct acl **ret_acl);

#endif
