/* Bounce buffers and the list of kept ones. */
#include "vfs/bounce.h"

#include <stdlib.h>

#include "sentry/base/err.h"
#include "sentry/base/lock.h"

#define BOUNCE_SMALL 16384
#define KEPT_MAX     4 /* one per busy thread on a small machine; more come from malloc */

static struct fb_mutex kept_lock = FB_MUTEX_INIT(RANK_LEAF); /* guards kept and nr_kept */
static unsigned char *kept[KEPT_MAX];
static int nr_kept;

int bounce_get(struct bounce *ret, size_t len)
{
	ret->buf = NULL;
	if (len <= BOUNCE_SMALL) {
		ret->size = len == 0 ? 1 : len;
		ret->buf = malloc(ret->size);
		return ret->buf ? 0 : -ENOMEM;
	}
	ret->size = BOUNCE_MAX;
	fb_mutex_lock(&kept_lock);
	if (nr_kept > 0)
		ret->buf = kept[--nr_kept];
	fb_mutex_unlock(&kept_lock);
	if (!ret->buf)
		ret->buf = malloc(BOUNCE_MAX);
	return ret->buf ? 0 : -ENOMEM;
}

void bounce_put(struct bounce *bounce)
{
	if (bounce->size == BOUNCE_MAX) {
		fb_mutex_lock(&kept_lock);
		if (nr_kept < KEPT_MAX) {
			kept[nr_kept++] = bounce->buf;
			bounce->buf = NULL;
		}
		fb_mutex_unlock(&kept_lock);
	}
	free(bounce->buf);
	bounce->buf = NULL;
}
