/* Big buffers and the lists of kept ones; see iobuf.h. */
#include "sentry/base/iobuf.h"

#include <stdint.h>
#include <stdlib.h>

#include "sentry/base/lock.h"

#define HEADER	 64   /* in front of each buffer, which so begins a cache line */
#define SLACK	 4096 /* a class holds so many bytes, and a page for what goes with them */
#define KEPT_MAX 4    /* of a class: one per busy thread of a small machine */

/* The largest transfers of the VFS, and those of FUSE with max_pages as libfuse asks for. */
static const size_t class_bytes[] = {131072 + SLACK, 1048576 + SLACK};

#define SMALL_BYTES 16384 /* up to here malloc is as good */
#define NR_CLASSES  ((int)(sizeof(class_bytes) / sizeof(class_bytes[0])))

struct header {
	int class; /* -1: malloc's */
	struct header *next;
};

static struct kept {
	struct header *first;
	int count;
} kept[NR_CLASSES];
static struct fb_mutex kept_lock = FB_MUTEX_INIT(RANK_LEAF); /* guards kept */

static int class_of(size_t len)
{
	if (len <= SMALL_BYTES)
		return -1;
	for (int i = 0; i < NR_CLASSES; i++)
		if (len <= class_bytes[i])
			return i;
	return -1;
}

static struct header *take_kept(int class)
{
	struct header *head;

	fb_mutex_lock(&kept_lock);
	head = kept[class].first;
	if (head) {
		kept[class].first = head->next;
		kept[class].count--;
	}
	fb_mutex_unlock(&kept_lock);
	return head;
}

void *iobuf_alloc(size_t len)
{
	int class = class_of(len);
	struct header *head = class >= 0 ? take_kept(class) : NULL;

	if (!head) {
		if (class >= 0)
			len = class_bytes[class];
		if (len > SIZE_MAX - HEADER)
			return NULL;
		head = malloc(HEADER + len);
		if (!head)
			return NULL;
		head->class = class;
	}
	return (char *)head + HEADER;
}

void iobuf_free(void *buf)
{
	struct header *head;

	if (!buf)
		return;
	head = (struct header *)(void *)((char *)buf - HEADER);
	if (head->class >= 0) {
		struct kept *list = &kept[head->class];
		bool full;

		fb_mutex_lock(&kept_lock);
		full = list->count == KEPT_MAX;
		if (!full) {
			head->next = list->first;
			list->first = head;
			list->count++;
		}
		fb_mutex_unlock(&kept_lock);
		if (!full)
			return;
	}
	free(head);
}
