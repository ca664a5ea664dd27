/* The sandbox's host and domain name (uname(2), sethostname(2), /proc/sys/kernel/hostname). */
#ifndef FB_UTS_H
#define FB_UTS_H

#include <stddef.h>
#include <sys/utsname.h>

#define UTS_NAME_MAX 64

void uts_init(const char *hostname);
/* The host's uname with our names in it. */
void uts_get(struct utsname *ret);
/* 0, or -EINVAL when len > UTS_NAME_MAX. The bytes need no NUL. */
int uts_set_hostname(const char *name, size_t len);
int uts_set_domainname(const char *name, size_t len);

#endif
