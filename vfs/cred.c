/* Credentials: making, copying, sharing, and the two questions every check asks of them. */
#include "vfs/cred.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define CAP_ALL ((1ull << (CAP_LAST_CAP + 1)) - 1)

static int gid_compare(const void *a, const void *b)
{
	gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

	return (x > y) - (x < y);
}

struct cred *cred_new(uid_t uid, gid_t gid, const gid_t *groups, size_t nr_groups)
{
	struct cred *cred = calloc(1, sizeof(*cred));

	if (!cred)
		return NULL;
	ref_init(&cred->ref);
	cred->uid = cred->euid = cred->suid = cred->fsuid = uid;
	cred->gid = cred->egid = cred->sgid = cred->fsgid = gid;
	cred->cap_bounding = CAP_ALL;
	if (uid == 0)
		cred->cap_effective = cred->cap_permitted = CAP_ALL;
	if (cred_set_groups(cred, groups, nr_groups)) {
		free(cred);
		return NULL;
	}
	return cred;
}

struct cred *cred_dup(const struct cred *cred)
{
	struct cred *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	/* Not the count, which others change meanwhile. */
	memcpy(&copy->uid, &cred->uid, sizeof(*copy) - offsetof(struct cred, uid));
	ref_init(&copy->ref);
	copy->groups = NULL;
	copy->nr_groups = 0;
	if (cred_set_groups(copy, cred->groups, cred->nr_groups)) {
		free(copy);
		return NULL;
	}
	return copy;
}

/* The count is the one part of a published cred that changes. */
static struct cred *cred_mutable(const struct cred *cred)
{
	return (struct cred *)(uintptr_t)cred;
}

struct cred *cred_get(const struct cred *cred)
{
	struct cred *mut = cred_mutable(cred);

	ref_get(&mut->ref);
	return mut;
}

void cred_put(const struct cred *cred)
{
	struct cred *mut = cred_mutable(cred);

	if (!mut || !ref_put(&mut->ref))
		return;
	free(mut->groups);
	free(mut);
}

int cred_set_groups(struct cred *cred, const gid_t *groups, size_t nr_groups)
{
	gid_t *copy = NULL;

	if (nr_groups > CRED_GROUPS_MAX)
		return -EINVAL;
	if (nr_groups) {
		copy = malloc(nr_groups * sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, groups, nr_groups * sizeof(*copy));
		qsort(copy, nr_groups, sizeof(*copy), gid_compare);
	}
	free(cred->groups);
	cred->groups = copy;
	cred->nr_groups = nr_groups;
	return 0;
}

bool cred_in_group(const struct cred *cred, gid_t gid)
{
	size_t lo = 0, hi = cred->nr_groups;

	if (cred->fsgid == gid)
		return true;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (cred->groups[mid] == gid)
			return true;
		if (cred->groups[mid] < gid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

bool cred_capable(const struct cred *cred, int cap)
{
	return (cred->cap_effective >> cap) & 1;
}
