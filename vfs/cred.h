/*
 * Credentials of a guest task, ours and not the host's: set-uid programs, capabilities and
 * permission checks work on these alone (credentials(7), capabilities(7)).
 *
 * A struct cred is constant once somebody else can see it. To change: cred_dup(), modify, put the
 * old one. Holders: every task, every open file, op_ctx for the length of a call.
 */
#ifndef FB_VFS_CRED_H
#define FB_VFS_CRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sentry/base/refcount.h"

#define CRED_GROUPS_MAX 65536 /* NGROUPS_MAX */

struct cred {
	struct ref ref;
	uid_t uid, euid, suid, fsuid;
	gid_t gid, egid, sgid, fsgid;
	uint64_t cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
	unsigned securebits;
	size_t nr_groups;
	gid_t *groups; /* owned, sorted ascending */
};

/* uid 0 gets the full capability set, others none. NULL when out of memory. */
struct cred *cred_new(uid_t uid, gid_t gid, const gid_t *groups, size_t nr_groups);
struct cred *cred_dup(const struct cred *cred); /* returns a reference, count 1 */
struct cred *cred_get(const struct cred *cred);
void cred_put(const struct cred *cred);
/* Replaces the supplementary groups of a cred that is not shared yet; sorts. 0 or -ENOMEM. */
int cred_set_groups(struct cred *cred, const gid_t *groups, size_t nr_groups);
bool cred_in_group(const struct cred *cred, gid_t gid); /* fsgid or supplementary */
bool cred_capable(const struct cred *cred, int cap);	/* CAP_* in the effective set */

#endif
