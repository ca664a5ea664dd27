/* capabilities(7), "Transformation of capabilities during execve()"; credentials(7). */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/stat.h>

#include "sentry/exec_cred.h"
#include "vfs/cred.h"

#define USER 1000
#define BIT(cap) (1ull << (cap))

static const struct cred *new_cred;
static bool secure;

static int transform(const struct cred *old, struct exec_file_rights rights)
{
	int err;

	secure = false;
	new_cred = NULL;
	err = exec_cred(old, &rights, &new_cred, &secure);
	return err;
}

static struct cred *user(void)
{
	struct cred *cred = cred_new(USER, USER, NULL, 0);

	cred->cap_bounding = ~0ull >> (63 - CAP_LAST_CAP);
	return cred;
}

static struct exec_file_rights plain(void)
{
	return (struct exec_file_rights){ .mode = S_IFREG | 0755 };
}

Test(exec_cred, a_plain_program_changes_nothing_for_a_user)
{
	struct cred *old = user();

	cr_assert_eq(transform(old, plain()), 0);
	cr_assert_eq(new_cred->euid, USER);
	cr_assert_eq(new_cred->cap_permitted, 0);
	cr_assert_not(secure);
	cred_put(new_cred);
	cred_put(old);
}

Test(exec_cred, root_gets_the_bounding_set)
{
	struct cred *old = cred_new(0, 0, NULL, 0);

	old->cap_permitted = old->cap_effective = 0;
	old->cap_bounding = BIT(CAP_CHOWN) | BIT(CAP_KILL);
	cr_assert_eq(transform(old, plain()), 0);
	cr_assert_eq(new_cred->cap_permitted, BIT(CAP_CHOWN) | BIT(CAP_KILL));
	cr_assert_eq(new_cred->cap_effective, new_cred->cap_permitted);
	cr_assert_not(secure);
	cred_put(new_cred);
	cred_put(old);
}

Test(exec_cred, root_with_noroot_is_nobody_special)
{
	struct cred *old = cred_new(0, 0, NULL, 0);

	old->securebits = 1 << SECURE_NOROOT;
	cr_assert_eq(transform(old, plain()), 0);
	cr_assert_eq(new_cred->cap_permitted, 0);
	cr_assert_eq(new_cred->cap_effective, 0);
	cred_put(new_cred);
	cred_put(old);
}

Test(exec_cred, set_uid_root_gives_everything_and_is_secure)
{
	struct exec_file_rights rights = plain();
	struct cred *old = user();

	rights.mode |= S_ISUID;
	cr_assert_eq(transform(old, rights), 0);
	cr_assert_eq(new_cred->uid, USER);
	cr_assert_eq(new_cred->euid, 0);
	cr_assert_eq(new_cred->suid, 0);
	cr_assert_eq(new_cred->fsuid, 0);
	cr_assert_eq(new_cred->cap_effective, old->cap_bounding);
	cr_assert(secure);
	cred_put(new_cred);
	cred_put(old);
}

Test(exec_cred, set_uid_counts_for_nothing_on_nosuid_and_under_no_new_privs)
{
	struct exec_file_rights rights = plain();
	struct cred *old = user();

	rights.mode |= S_ISUID;
	rights.nosuid = true;
	cr_assert_eq(transform(old, rights), 0);
	cr_assert_eq(new_cred->euid, USER);
	cr_assert_not(secure);
	cred_put(new_cred);
	rights.nosuid = false;
	rights.no_new_privs = true;
	cr_assert_eq(transform(old, rights), 0);
	cr_assert_eq(new_cred->euid, USER);
	cr_assert_eq(new_cred->cap_permitted, 0);
	cred_put(new_cred);
	cred_put(old);
}

Test(exec_cred, set_gid_needs_group_execute)
{
	struct exec_file_rights rights = plain();
	struct cred *old = user();

	rights.gid = 7;
	rights.mode = S_IFREG | S_ISGID | 0705;
	cr_assert_eq(transform(old, rights), 0);
	cr_assert_eq(new_cred->egid, USER);
	cred_put(new_cred);
	rights.mode = S_IFREG | S_ISGID | 0715;
	cr_assert_eq(transform(old, rights), 0);
	cr_assert_eq(new_cred->egid, 7);
	cr_assert_eq(new_cred->fsgid, 7);
	cr_assert(secure);
	cred_put(new_cred);
	cred_put(old);
}

static const struct vfs_cap_data net_raw_ep = {
	.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
	.data = { { .permitted = 1 << CAP_NET_RAW }, { 0 } },
};

Test(exec_cred, file_capabilities_are_granted_and_are_secure)
{
	struct exec_file_rights rights = plain();
	struct cred *old = user();

	rights.caps = &net_raw_ep;
	rights.caps_size = sizeof(net_raw_ep);
	cr_assert_eq(transform(old, rights), 0);
	cr_assert_eq(new_cred->cap_permitted, BIT(CAP_NET_RAW));
	cr_assert_eq(new_cred->cap_effective, BIT(CAP_NET_RAW));
	cr_assert(secure);
	cred_put(new_cred);
	cred_put(old);
}

Test(exec_cred, file_capabilities_give_nothing_under_no_new_privs)
{
	struct exec_file_rights rights = plain();
	struct cred *old = user();

	rights.caps = &net_raw_ep;
	rights.caps_size = sizeof(net_raw_ep);
	rights.no_new_privs = true;
	cr_assert_eq(transform(old, rights), 0);
	cr_assert_eq(new_cred->cap_permitted, 0);
	cred_put(new_cred);
	cred_put(old);
}

Test(exec_cred, effective_file_capabilities_outside_the_bounding_set_refuse_the_exec)
{
	struct exec_file_rights rights = plain();
	struct cred *old = user();

	old->cap_bounding &= ~BIT(CAP_NET_RAW);
	rights.caps = &net_raw_ep;
	rights.caps_size = sizeof(net_raw_ep);
	cr_assert_eq(transform(old, rights), -EPERM);
	rights.caps_size = 7;
	cr_assert_eq(transform(old, rights), -EINVAL);
	cred_put(old);
}

Test(exec_cred, ambient_capabilities_survive_a_plain_program_and_no_set_id_one)
{
	struct exec_file_rights rights = plain();
	struct cred *old = user();

	old->cap_permitted = old->cap_inheritable = old->cap_ambient = BIT(CAP_KILL);
	cr_assert_eq(transform(old, rights), 0);
	cr_assert_eq(new_cred->cap_effective, BIT(CAP_KILL));
	cr_assert_not(secure);
	cred_put(new_cred);
	rights.mode |= S_ISUID;
	rights.uid = 2000;
	cr_assert_eq(transform(old, rights), 0);
	cr_assert_eq(new_cred->cap_ambient, 0);
	cr_assert_eq(new_cred->cap_effective, 0);
	cr_assert(secure);
	cred_put(new_cred);
	cred_put(old);
}
