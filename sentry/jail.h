/*
 * The walls. Guests: namespaces of their own, an empty root directory, no capability, no new
 * privileges, Landlock, and the seccomp program of filter.c. The sentry: no capability it does not
 * need, no new privileges, a filter that refuses what only an attacker would call.
 *
 * All functions but jail_sentry() run in a freshly cloned child, which may hold a copy of locked
 * mutexes of the sentry's other threads: they make system calls and nothing else.
 */
#ifndef FB_JAIL_H
#define FB_JAIL_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * clone(2) flags of the full level. JAIL_USERNS gives the guests a user namespace in which they
 * hold nothing outside; real root can do without where the host refuses it.
 */
#define JAIL_USERNS 0x10000000UL	    /* CLONE_NEWUSER */
#define JAIL_NAMESPACES 0x6e020000UL /* NEWNS, CGROUP, UTS, IPC, PID, NET */

/*
 * First process in the new namespaces: id maps (guest root is host uid:gid), empty read-only
 * root, host name (NULL = leave). 0 or -errno with the failed step's name.
 */
int jail_enter(bool own_userns, uid_t uid, gid_t gid, const char *hostname, const char **ret_step);
/* Without namespaces: an empty root where chroot(2) is permitted. Best effort. */
void jail_enter_nested(void);
/*
 * In the first guest, last before its filter: no capability now or by exec, no_new_privs,
 * Landlock's denial of everything (where there is Landlock). 0 or -errno.
 */
int jail_drop_rights(const char **ret_step);
/*
 * Pid 1 of the guests' namespace: reaps orphans until no child is left or the sentry dies. Holds
 * no descriptor and may make three system calls.
 */
_Noreturn void jail_init(void);

/*
 * The sentry itself, once the first guest is attached and before other threads start. Keeps the
 * capabilities of a file server where it has them. 0 or -errno.
 */
int jail_sentry(void);

#endif
