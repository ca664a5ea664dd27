/* A hash table of the last MAPNAMES_MAX mapped files, with a queue for their age. */
#include "sentry/mapnames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/err.h"
#include "sentry/base/list.h"
#include "sentry/base/lock.h"

#define BUCKETS 1024

struct mapname {
	struct list_node age;
	struct mapname *next; /* in the bucket */
	dev_t dev;
	ino_t ino;
	char path[];
};

static struct fb_mutex lock = FB_MUTEX_INIT(RANK_LEAF); /* guards all below */
static struct mapname *buckets[BUCKETS];
static struct list_node by_age = LIST_INIT(by_age); /* newest last */
static unsigned count;

static struct mapname **bucket_of(dev_t dev, ino_t ino)
{
	return &buckets[(ino * 0x9e3779b97f4a7c15ull ^ dev) % BUCKETS];
}

/* The link that points at the entry, or at NULL. */
static struct mapname **find_link(dev_t dev, ino_t ino)
{
	struct mapname **link = bucket_of(dev, ino);

	while (*link && ((*link)->dev != dev || (*link)->ino != ino))
		link = &(*link)->next;
	return link;
}

static void drop(struct mapname **link)
{
	struct mapname *name = *link;

	*link = name->next;
	list_del(&name->age);
	count--;
	free(name);
}

/* Nothing to do for the same file again: the common case, every page of a library. */
static bool refresh(dev_t dev, ino_t ino, const char *path)
{
	struct mapname *name = *find_link(dev, ino);

	if (!name || strcmp(name->path, path) != 0)
		return false;
	list_del(&name->age);
	list_add_tail(&by_age, &name->age);
	return true;
}

void mapnames_note(dev_t dev, ino_t ino, const char *path)
{
	size_t len = strlen(path);
	struct mapname *name, **link;

	fb_mutex_lock(&lock);
	if (refresh(dev, ino, path)) {
		fb_mutex_unlock(&lock);
		return;
	}
	name = malloc(sizeof(*name) + len + 1);
	if (name) {
		link = find_link(dev, ino);
		if (*link)
			drop(link);
		if (count >= MAPNAMES_MAX) {
			struct mapname *oldest = list_first(&by_age, struct mapname, age);

			drop(find_link(oldest->dev, oldest->ino));
		}
		link = bucket_of(dev, ino);
		name->dev = dev;
		name->ino = ino;
		memcpy(name->path, path, len + 1);
		name->next = *link;
		*link = name;
		list_add_tail(&by_age, &name->age);
		count++;
	}
	fb_mutex_unlock(&lock);
}

int mapnames_find(dev_t dev, ino_t ino, char *buf, size_t size)
{
	struct mapname *name;
	int err = -ENOENT;

	fb_mutex_lock(&lock);
	name = *find_link(dev, ino);
	if (name) {
		snprintf(buf, size, "%s", name->path);
		err = 0;
	}
	fb_mutex_unlock(&lock);
	return err;
}
