#include "sentry/uts.h"

#include <errno.h>
#include <string.h>

#include "sentry/base/lock.h"

static struct fb_mutex uts_lock = FB_MUTEX_INIT(RANK_LEAF);
static struct utsname names; /* guarded by uts_lock */

void uts_init(const char *hostname)
{
	uname(&names);
	uts_set_hostname(hostname, strnlen(hostname, UTS_NAME_MAX));
	uts_set_domainname("(none)", 6);
}

void uts_get(struct utsname *ret)
{
	fb_mutex_lock(&uts_lock);
	*ret = names;
	fb_mutex_unlock(&uts_lock);
}

static int set_name(char field[UTS_NAME_MAX + 1], const char *name, size_t len)
{
	if (len > UTS_NAME_MAX)
		return -EINVAL;
	fb_mutex_lock(&uts_lock);
	memset(field, 0, UTS_NAME_MAX + 1);
	memcpy(field, name, len);
	fb_mutex_unlock(&uts_lock);
	return 0;
}

int uts_set_hostname(const char *name, size_t len)
{
	return set_name(names.nodename, name, len);
}

int uts_set_domainname(const char *name, size_t len)
{
	return set_name(names.domainname, name, len);
}
