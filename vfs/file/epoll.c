/*
 * epoll(7): see epoll.h.
 *
 * Three locks, outermost first:
 *   nest_lock    sleeping; adding an epoll instance to another: the check for loops and the
 *                insertion are one step
 *   ep->lock     sleeping; items come and go and are asked (vfs_poll may sleep) under it. Asking an
 *                inner instance takes its lock inside the outer one's; loops cannot exist.
 *   items_lock   RANK_FILE; the lists item.ep_node and item.file_node of everybody
 * and the wait lock for what wake-up callbacks touch: ready lists and item.events.
 *
 * A file does not die while one of its items is used: its last put needs ep->lock to take the
 * item away. An item is unlinked from its file only after its entries left the file's queues.
 */
#include "vfs/file/epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/err.h"
#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"
#include "sentry/base/wait.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/ops.h"
#include "vfs/poll.h"
#include "vfs/strbuf.h"
#include "vfs/superblock.h"

#define EPOLL_MAX_NESTS 4	   /* EP_MAX_NESTS of fs/eventpoll.c */
#define EPOLL_MAX_ITEMS (1u << 18) /* in the sandbox; Linux: max_user_watches */
#define EPOLL_PRIVATE	(EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define EPOLL_EXCLUSIVE_OK                                                                         \
	(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

struct epoll {
	struct ref ref; /* its file; epoll_release_file() while it waits for the lock */
	struct sleep_mutex lock;
	struct waitq wq;	/* epoll_wait */
	struct waitq poll_wq;	/* who polls the instance itself */
	struct list_node ready; /* epoll_item.ready_node; guarded by the wait lock */
	struct list_node items; /* epoll_item.ep_node; guarded by items_lock */
	struct file *file;	/* its file, not counted */
	unsigned gen;		/* visited by this loop check; nest_lock */
	int depth;		/* result of that visit */
};

/* One queue that can change the readiness of an item. */
struct epoll_hook {
	struct waitq_entry entry;
	struct epoll_hook *next;
};

struct epoll_item {
	struct epoll *ep;
	struct file *file; /* not counted, see above */
	int fd;
	uint32_t events; /* with EPOLL_PRIVATE bits; guarded by the wait lock */
	uint64_t data;	 /* ep->lock */
	bool ready;	 /* ready_node is linked; guarded by the wait lock */
	struct list_node ready_node, ep_node, file_node;
	struct epoll_hook first;  /* nearly every file has one queue */
	struct epoll_hook *hooks; /* the others, malloc'ed */
};

static struct sleep_mutex nest_lock = {0, WAITQ_INIT(nest_lock.waiters)};
static struct fb_mutex items_lock = FB_MUTEX_INIT(RANK_FILE);
static atomic_uint nr_items;

static const struct file_ops epoll_ops;

bool epoll_is(const struct file *file)
{
	return file->op == &epoll_ops;
}

static void epoll_put(struct epoll *ep)
{
	if (ref_put(&ep->ref))
		free(ep);
}

/* ---- the ready list; the wait lock is held ---- */

static void ready_add(struct epoll_item *item)
{
	if (item->ready)
		return;
	item->ready = true;
	list_add_tail(&item->ep->ready, &item->ready_node);
}

static void epoll_wake_locked(struct epoll *ep)
{
	waitq_wake_locked(&ep->wq, POLLIN);
	waitq_wake_locked(&ep->poll_wq, POLLIN | POLLRDNORM);
}

/* A queue of the file was woken. */
static void item_wake(struct waitq_entry *entry, unsigned events)
{
	struct epoll_item *item = entry->owner;

	if (!(item->events & ~(uint32_t)EPOLL_PRIVATE))
		return; /* EPOLLONESHOT has fired */
	if (events && !(events & item->events))
		return;
	ready_add(item);
	epoll_wake_locked(item->ep);
}

/* ---- items; ep->lock is held ---- */

struct item_table {
	struct poll_table table;
	struct epoll_item *item;
	bool failed; /* no memory for a hook */
};

static void item_hook(struct poll_table *table, struct file *file, struct waitq *queue)
{
	struct item_table *it = container_of(table, struct item_table, table);
	struct epoll_hook *hook = &it->item->first;

	(void)file;
	if (hook->entry.queue) {
		hook = calloc(1, sizeof(*hook));
		if (!hook) {
			it->failed = true;
			return;
		}
		hook->next = it->item->hooks;
		it->item->hooks = hook;
		waitq_entry_init(&hook->entry, item_wake, it->item);
	}
	waitq_add(queue, &hook->entry);
}

static uint32_t item_poll(const struct op_ctx *ctx, struct epoll_item *item)
{
	return vfs_poll(ctx, item->file, NULL) & item->events;
}

/*
 * As list_del(), but with stores that file_put() may look at without our lock: once both of the
 * file's pointers are home, nobody touches the file any more.
 */
static void unlink_from_file(struct epoll_item *item)
{
	struct list_node *node = &item->file_node;

	__atomic_store_n(&node->prev->next, node->next, __ATOMIC_RELEASE);
	__atomic_store_n(&node->next->prev, node->prev, __ATOMIC_RELEASE);
}

static void item_remove(struct epoll_item *item)
{
	struct epoll_hook *hook;

	waitq_del(&item->first.entry);
	while ((hook = item->hooks) != NULL) {
		waitq_del(&hook->entry);
		item->hooks = hook->next;
		free(hook);
	}
	waitq_lock();
	list_del(&item->ready_node);
	waitq_unlock();
	fb_mutex_lock(&items_lock);
	list_del(&item->ep_node);
	unlink_from_file(item);
	fb_mutex_unlock(&items_lock);
	atomic_fetch_sub(&nr_items, 1);
	free(item);
}

/* A file is rarely in more than one instance: its own list is the index. */
static struct epoll_item *item_find(struct epoll *ep, struct file *file, int fd)
{
	struct epoll_item *item, *found = NULL;

	fb_mutex_lock(&items_lock);
	list_for_each (item, &file->epoll_items, file_node) {
		if (item->ep == ep && item->fd == fd) {
			found = item;
			break;
		}
	}
	fb_mutex_unlock(&items_lock);
	return found;
}

/* Something holds right now, which no wake-up will tell. */
static void item_set_ready(struct epoll_item *item)
{
	waitq_lock();
	if (!item->ready) {
		ready_add(item);
		epoll_wake_locked(item->ep);
	}
	waitq_unlock();
}

static int item_new(struct epoll *ep, struct file *file, int fd, const struct epoll_event *event,
		    struct epoll_item **ret_item)
{
	struct epoll_item *item;

	if (atomic_fetch_add(&nr_items, 1) >= EPOLL_MAX_ITEMS) {
		atomic_fetch_sub(&nr_items, 1);
		return -ENOSPC;
	}
	item = calloc(1, sizeof(*item));
	if (!item) {
		atomic_fetch_sub(&nr_items, 1);
		return -ENOMEM;
	}
	item->ep = ep;
	item->file = file;
	item->fd = fd;
	item->events = event->events;
	item->data = event->data.u64;
	list_init(&item->ready_node);
	waitq_entry_init(&item->first.entry, item_wake, item);
	fb_mutex_lock(&items_lock);
	list_add_tail(&ep->items, &item->ep_node);
	list_add_tail(&file->epoll_items, &item->file_node);
	fb_mutex_unlock(&items_lock);
	*ret_item = item;
	return 0;
}

static int item_insert(const struct op_ctx *ctx, struct epoll *ep, struct file *file, int fd,
		       const struct epoll_event *event)
{
	struct item_table it = {.table = {item_hook, event->events}};
	struct epoll_item *item;
	uint32_t revents;
	int err;

	err = item_new(ep, file, fd, event, &item);
	if (err)
		return err;
	it.item = item;
	revents = vfs_poll(ctx, file, &it.table) & event->events;
	if (it.failed) {
		item_remove(item);
		return -ENOMEM;
	}
	if (revents)
		item_set_ready(item);
	return 0;
}

static int item_modify(const struct op_ctx *ctx, struct epoll_item *item,
		       const struct epoll_event *event)
{
	waitq_lock();
	item->events = event->events;
	waitq_unlock();
	item->data = event->data.u64;
	if (item_poll(ctx, item))
		item_set_ready(item);
	return 0;
}

/* ---- nesting; nest_lock is held ---- */

static unsigned nest_gen;

/* Levels of instances below ep; EPOLL_MAX_NESTS + 1 = too many, or `target` is among them. */
static int depth_below(struct epoll *ep, const struct epoll *target, int level)
{
	struct epoll_item *item;
	int depth = 0, below;

	if (ep->gen == nest_gen)
		return ep->depth;
	if (ep == target || level > EPOLL_MAX_NESTS)
		return EPOLL_MAX_NESTS + 1;
	list_for_each (item, &ep->items, ep_node) {
		if (!epoll_is(item->file))
			continue;
		below = depth_below(item->file->private, target, level + 1) + 1;
		if (below > depth)
			depth = below;
	}
	ep->gen = nest_gen;
	ep->depth = depth;
	return depth;
}

static int depth_above(struct epoll *ep, int level)
{
	struct epoll_item *item;
	int depth = 0, above;

	if (ep->gen == nest_gen)
		return ep->depth;
	if (level > EPOLL_MAX_NESTS)
		return EPOLL_MAX_NESTS + 1;
	list_for_each (item, &ep->file->epoll_items, file_node) {
		above = depth_above(item->ep, level + 1) + 1;
		if (above > depth)
			depth = above;
	}
	ep->gen = nest_gen;
	ep->depth = depth;
	return depth;
}

/* May `inner` be put into ep? 0 or -ELOOP (cf. ep_loop_check()). */
static int nest_check(struct epoll *ep, struct epoll *inner)
{
	int below, above;

	fb_mutex_lock(&items_lock);
	nest_gen++;
	below = depth_below(inner, ep, 0);
	nest_gen++;
	above = depth_above(ep, 0);
	fb_mutex_unlock(&items_lock);
	return below + 1 + above > EPOLL_MAX_NESTS ? -ELOOP : 0;
}

/* ---- epoll_ctl ---- */

static int check_event(int op, struct file *file, struct epoll_event *event)
{
	event->events &= ~(uint32_t)EPOLLWAKEUP;
	if (event->events & EPOLLEXCLUSIVE) {
		if (op == EPOLL_CTL_MOD)
			return -EINVAL;
		if (epoll_is(file) || (event->events & ~(uint32_t)EPOLL_EXCLUSIVE_OK))
			return -EINVAL;
	}
	event->events |= EPOLLERR | EPOLLHUP;
	return 0;
}

static int epoll_control_locked(const struct op_ctx *ctx, struct epoll *ep, int op,
				struct file *file, int fd, const struct epoll_event *event)
{
	struct epoll_item *item = item_find(ep, file, fd);

	switch (op) {
	case EPOLL_CTL_ADD:
		return item ? -EEXIST : item_insert(ctx, ep, file, fd, event);
	case EPOLL_CTL_DEL:
		if (!item)
			return -ENOENT;
		item_remove(item);
		return 0;
	case EPOLL_CTL_MOD:
		if (!item)
			return -ENOENT;
		/* An exclusive item stays as it was added. */
		return item->events & EPOLLEXCLUSIVE ? -EINVAL : item_modify(ctx, item, event);
	default:
		return -EINVAL;
	}
}

int epoll_control(const struct op_ctx *ctx, struct file *epfile, int op, struct file *file, int fd,
		  const struct epoll_event *event)
{
	struct epoll *ep = epfile->private;
	struct epoll_event copy = {0};
	bool nested;
	int err;

	if (!file->op->poll)
		return -EPERM;
	if (file == epfile || !epoll_is(epfile))
		return -EINVAL;
	if (op != EPOLL_CTL_DEL) {
		if (!event)
			return -EINVAL;
		copy = *event;
		err = check_event(op, file, &copy);
		if (err)
			return err;
	}
	nested = op == EPOLL_CTL_ADD && epoll_is(file);
	if (nested) {
		err = sleep_mutex_lock_killable(&nest_lock);
		if (err)
			return err;
		err = nest_check(ep, file->private);
		if (err)
			goto out_nest;
	}
	/* Killably: the holder may be asking a FUSE daemon that never answers. */
	err = sleep_mutex_lock_killable(&ep->lock);
	if (err)
		goto out_nest;
	err = epoll_control_locked(ctx, ep, op, file, fd, &copy);
	sleep_mutex_unlock(&ep->lock);
out_nest:
	if (nested)
		sleep_mutex_unlock(&nest_lock);
	return err;
}

/* ---- epoll_wait ---- */

/*
 * A scan works on the list as it was when it began (`todo`), so that it ends: what gets ready
 * meanwhile stands in ep->ready for the next one. An item in `todo` counts as ready.
 */
static void scan_begin(struct epoll *ep, struct list_node *todo)
{
	waitq_lock();
	list_splice_tail(todo, &ep->ready);
	waitq_unlock();
}

static struct epoll_item *scan_next(struct list_node *todo)
{
	struct epoll_item *item = NULL;

	waitq_lock();
	if (!list_empty(todo)) {
		item = list_first(todo, struct epoll_item, ready_node);
		list_del(&item->ready_node);
		item->ready = false;
	}
	waitq_unlock();
	return item;
}

/* What was not looked at goes back to the front; the next sleeper may take over. */
static void scan_end(struct epoll *ep, struct list_node *todo)
{
	waitq_lock();
	list_splice_tail(todo, &ep->ready);
	list_splice_tail(&ep->ready, todo);
	if (!list_empty(&ep->ready))
		waitq_wake_locked(&ep->wq, POLLIN);
	waitq_unlock();
}

/* The event was handed out: what becomes of the item. */
static void item_delivered(struct epoll_item *item)
{
	waitq_lock();
	if (item->events & EPOLLONESHOT)
		item->events &= EPOLL_PRIVATE;
	else if (!(item->events & EPOLLET))
		ready_add(item);
	waitq_unlock();
}

static int epoll_scan(const struct op_ctx *ctx, struct epoll *ep, struct epoll_event *events,
		      int max_events)
{
	struct list_node todo = LIST_INIT(todo);
	struct epoll_item *item;
	uint32_t revents;
	int n = 0, err;

	err = sleep_mutex_lock_killable(&ep->lock);
	if (err)
		return err;
	scan_begin(ep, &todo);
	while (n < max_events && (item = scan_next(&todo)) != NULL) {
		revents = item_poll(ctx, item);
		if (!revents)
			continue;
		events[n].events = revents;
		events[n++].data.u64 = item->data;
		item_delivered(item);
	}
	scan_end(ep, &todo);
	sleep_mutex_unlock(&ep->lock);
	return n;
}

static bool epoll_any_ready(struct epoll *ep)
{
	bool ready;

	waitq_lock();
	ready = !list_empty(&ep->ready);
	waitq_unlock();
	return ready;
}

/* Sleeps until the ready list has something. */
static int epoll_sleep(struct epoll *ep, int64_t deadline_ns)
{
	struct waitq_entry entry;
	int err = 0;

	waitq_entry_init(&entry, waitq_wake_waiter, waiter_self());
	entry.exclusive = true;
	waitq_add(&ep->wq, &entry);
	while (!err && !epoll_any_ready(ep))
		err = waiter_sleep(WAIT_INTERRUPTIBLE, deadline_ns);
	waitq_del(&entry);
	return err;
}

int epoll_collect(const struct op_ctx *ctx, struct file *epfile, struct epoll_event *events,
		  int max_events, int64_t deadline_ns)
{
	struct epoll *ep = epfile->private;
	int n, err = deadline_ns < 0 ? -ETIMEDOUT : 0;

	if (!epoll_is(epfile) || max_events <= 0)
		return -EINVAL;
	for (;;) {
		n = epoll_any_ready(ep) ? epoll_scan(ctx, ep, events, max_events) : 0;
		if (n || err)
			break;
		err = epoll_sleep(ep, deadline_ns);
	}
	if (n == 0 && err != -ETIMEDOUT)
		return -EINTR;
	return n;
}

/* ---- the file ---- */

/* Is an item ready? Drops those from the list that only seemed to be. */
static unsigned epoll_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct epoll *ep = file->private;
	struct list_node todo = LIST_INIT(todo);
	struct epoll_item *item;
	unsigned mask = 0;

	poll_wait(table, file, &ep->poll_wq);
	if (!epoll_any_ready(ep) || sleep_mutex_lock_killable(&ep->lock))
		return 0;
	scan_begin(ep, &todo);
	while (!mask && (item = scan_next(&todo)) != NULL) {
		if (!item_poll(ctx, item))
			continue;
		mask = POLLIN | POLLRDNORM;
		waitq_lock();
		ready_add(item);
		waitq_unlock();
	}
	scan_end(ep, &todo);
	sleep_mutex_unlock(&ep->lock);
	return mask;
}

static void epoll_release(const struct op_ctx *ctx, struct file *file)
{
	struct epoll *ep = file->private;

	(void)ctx;
	sleep_mutex_lock(&ep->lock);
	/* Only holders of ep->lock change the list; our own file is gone, nobody adds. */
	while (!list_empty(&ep->items))
		item_remove(list_first(&ep->items, struct epoll_item, ep_node));
	sleep_mutex_unlock(&ep->lock);
	epoll_put(ep);
}

/* The instance of the first item, counted; NULL = there is none. */
static struct epoll *first_epoll_of(struct file *file)
{
	struct epoll *ep = NULL;

	fb_mutex_lock(&items_lock);
	if (!list_empty(&file->epoll_items)) {
		ep = list_first(&file->epoll_items, struct epoll_item, file_node)->ep;
		ref_get(&ep->ref);
	}
	fb_mutex_unlock(&items_lock);
	return ep;
}

static struct epoll_item *any_item(struct epoll *ep, struct file *file)
{
	struct epoll_item *item, *found = NULL;

	fb_mutex_lock(&items_lock);
	list_for_each (item, &file->epoll_items, file_node) {
		if (item->ep == ep) {
			found = item;
			break;
		}
	}
	fb_mutex_unlock(&items_lock);
	return found;
}

void epoll_release_file(struct file *file)
{
	struct epoll_item *item;
	struct epoll *ep;

	while ((ep = first_epoll_of(file)) != NULL) {
		sleep_mutex_lock(&ep->lock);
		while ((item = any_item(ep, file)) != NULL)
			item_remove(item);
		sleep_mutex_unlock(&ep->lock);
		epoll_put(ep);
	}
}

static void epoll_show_fdinfo(struct file *file, struct strbuf *out)
{
	struct epoll *ep = file->private;
	struct epoll_item *item;

	sleep_mutex_lock(&ep->lock);
	list_for_each (item, &ep->items, ep_node) {
		struct inode *inode = item->file->inode;

		strbuf_printf(out,
			      "tfd: %8d events: %8x data: %16llx  pos:%lld ino:%llx sdev:%llx\n",
			      item->fd, item->events, (unsigned long long)item->data, 0LL,
			      (unsigned long long)inode->ino,
			      inode->sb ? (unsigned long long)inode->sb->dev : 0);
	}
	sleep_mutex_unlock(&ep->lock);
}

int epoll_new(const struct op_ctx *ctx, unsigned flags, struct file **ret_file)
{
	struct epoll *ep;
	int err;

	if (flags & ~(unsigned)EPOLL_CLOEXEC)
		return -EINVAL;
	ep = calloc(1, sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	ref_init(&ep->ref);
	sleep_mutex_init(&ep->lock);
	waitq_init(&ep->wq);
	waitq_init(&ep->poll_wq);
	list_init(&ep->ready);
	list_init(&ep->items);
	err = file_new_anon(ctx, "eventpoll", 0600, &epoll_ops, ep, O_RDWR, &ep->file);
	if (err)
		free(ep);
	else
		*ret_file = ep->file;
	return err;
}

static const struct file_ops epoll_ops = {
	.poll = epoll_poll,
	.release = epoll_release,
	.show_fdinfo = epoll_show_fdinfo,
	.llseek = noop_llseek,
	.no_position = true,
};
