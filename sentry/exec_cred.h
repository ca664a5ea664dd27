/* Credentials across execve: set-id bits, file capabilities, the rules for root. */
#ifndef FB_EXEC_CRED_H
#define FB_EXEC_CRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cred;

/* What execve knows about the program. */
struct exec_file_rights {
	uint32_t mode;
	uid_t uid;
	gid_t gid;
	bool nosuid;	  /* the mount says so: neither set-id bits nor file capabilities */
	bool no_new_privs; /* of the caller */
	const void *caps; /* value of security.capability; NULL = none */
	size_t caps_size;
};

/*
 * The credentials after execve in *ret_cred (a reference), and whether the program runs with more
 * rights than its caller's (AT_SECURE). 0, -ENOMEM, -EPERM (the file insists on capabilities that
 * the bounding set denies), -EINVAL (malformed file capabilities). Rules: capabilities(7),
 * "Transformation of capabilities during execve()"; cap_bprm_creds_from_file().
 */
int exec_cred(const struct cred *old, const struct exec_file_rights *rights,
	      const struct cred **ret_cred, bool *ret_secure);

#endif
