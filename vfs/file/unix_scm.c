/*
 * Files in flight (SCM_RIGHTS), and the garbage they can become.
 *
 * A socket's file that was sent over that same socket and closed everywhere else keeps itself
 * alive. So every unix socket knows how often its file is in some queue (`inflight`). When a
 * socket is released while others are in flight, unix_gc() looks for sockets whose file has no
 * other holder than queues, takes away the references that come from queues of such sockets, and
 * gives them back to all that can be reached from outside; what is left can be reached by nobody
 * (cf. net/unix/garbage.c before its rewrite for Linux 6.10).
 *
 * Why that is right while others run: a file is put in flight by somebody who holds it, and leaves
 * flight under gc_lock before anybody can use it, so a socket counted as garbage has no running
 * caller and nobody can get one.
 *
 * Files are dropped from a list and by one thread at a time: a socket may hold a socket that holds
 * a socket, and so on, and a fiber's stack is too small to release that by recursion.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/err.h"
#include "sentry/base/lock.h"
#include "vfs/file.h"
#include "vfs/file/unix_internal.h"

/* Bounds what sandboxes can hide in queues; Linux: the user's RLIMIT_NOFILE. */
#define UNIX_MAX_INFLIGHT 16384u

/* Guards the in-flight fields of sockets. Sleeping, as it is held over socket locks. */
static struct sleep_mutex gc_lock = {0, WAITQ_INIT(gc_lock.waiters)};
static struct list_node inflight_list = LIST_INIT(inflight_list);
static atomic_uint nr_inflight; /* files of all kinds */

static struct fb_mutex drop_lock = FB_MUTEX_INIT(RANK_LEAF);
static struct list_node drop_list = LIST_INIT(drop_list); /* guarded by drop_lock */
static bool dropping, gc_wanted;			  /* guarded by drop_lock */

static struct unix_sock *unix_of_file(const struct file *file)
{
	struct socket *sock = socket_from_file(file);

	return sock && sock->domain == AF_UNIX ? unix_of(sock) : NULL;
}

static void inflight_add(struct unix_fds *fds)
{
	sleep_mutex_lock(&gc_lock);
	for (unsigned i = 0; i < fds->nr; i++) {
		struct unix_sock *sk = unix_of_file(fds->files[i]);

		if (sk && sk->inflight++ == 0)
			list_add_tail(&inflight_list, &sk->inflight_node);
	}
	sleep_mutex_unlock(&gc_lock);
}

static void inflight_sub_locked(struct unix_fds *fds)
{
	for (unsigned i = 0; i < fds->nr; i++) {
		struct unix_sock *sk = unix_of_file(fds->files[i]);

		if (sk && --sk->inflight == 0)
			list_del(&sk->inflight_node);
	}
	atomic_fetch_sub(&nr_inflight, fds->nr);
}

static void inflight_sub(struct unix_fds *fds)
{
	sleep_mutex_lock(&gc_lock);
	inflight_sub_locked(fds);
	sleep_mutex_unlock(&gc_lock);
}

static struct file **copy_files(struct file **files, unsigned nr)
{
	struct file **copy = malloc(nr * sizeof(struct file *));

	if (!copy)
		return NULL;
	for (unsigned i = 0; i < nr; i++)
		copy[i] = file_get(files[i]);
	return copy;
}

static bool inflight_charge(unsigned nr)
{
	if (atomic_fetch_add(&nr_inflight, nr) + nr <= UNIX_MAX_INFLIGHT)
		return true;
	atomic_fetch_sub(&nr_inflight, nr);
	return false;
}

int unix_fds_new(const struct scm *scm, struct unix_fds **ret_fds)
{
	struct unix_fds *fds;

	if (!inflight_charge(scm->nr_files)) {
		unix_gc(); /* garbage that no release has uncovered must not block others */
		if (!inflight_charge(scm->nr_files))
			return -ETOOMANYREFS;
	}
	fds = calloc(1, sizeof(*fds));
	if (!fds)
		goto out_count;
	fds->nr = scm->nr_files;
	fds->files = copy_files(scm->files, scm->nr_files);
	if (!fds->files)
		goto out_fds;
	list_init(&fds->node);
	inflight_add(fds);
	*ret_fds = fds;
	return 0;
out_fds:
	free(fds);
out_count:
	atomic_fetch_sub(&nr_inflight, scm->nr_files);
	return -ENOMEM;
}

void unix_fds_take(struct unix_fds *fds, struct scm *scm)
{
	inflight_sub(fds);
	scm->files = fds->files;
	scm->nr_files = fds->nr;
	free(fds);
}

bool unix_fds_copy(const struct unix_fds *fds, struct scm *scm)
{
	scm->files = copy_files(fds->files, fds->nr);
	scm->nr_files = scm->files ? fds->nr : 0;
	return scm->files != NULL;
}

/* ---- dropping ---- */

static void drop_one(struct unix_fds *fds)
{
	for (unsigned i = 0; i < fds->nr; i++)
		file_put(fds->files[i]);
	free(fds->files);
	free(fds);
}

/* Drops the list (not in flight any more), or leaves it to the one who is at it. */
static void drop_all(struct list_node *list)
{
	struct unix_fds *fds;
	bool again;

	fb_mutex_lock(&drop_lock);
	list_splice_tail(&drop_list, list);
	if (dropping) {
		fb_mutex_unlock(&drop_lock);
		return;
	}
	dropping = true;
	while (!list_empty(&drop_list)) {
		fds = list_first(&drop_list, struct unix_fds, node);
		list_del(&fds->node);
		fb_mutex_unlock(&drop_lock);
		drop_one(fds);
		fb_mutex_lock(&drop_lock);
	}
	dropping = false;
	again = gc_wanted;
	gc_wanted = false;
	fb_mutex_unlock(&drop_lock);
	if (again)
		unix_gc();
}

/* While files are being dropped, each of a thousand sockets would search anew: once at the end. */
static bool gc_postponed(void)
{
	bool postponed;

	fb_mutex_lock(&drop_lock);
	postponed = gc_wanted = dropping;
	fb_mutex_unlock(&drop_lock);
	return postponed;
}

void unix_fds_free(struct unix_fds *fds)
{
	struct list_node list = LIST_INIT(list);

	if (!fds)
		return;
	inflight_sub(fds);
	list_add_tail(&list, &fds->node);
	drop_all(&list);
}

/* ---- garbage ---- */

typedef void (*gc_visit_fn)(struct unix_sock *child, struct list_node *work);

/* Calls visit for each socket whose file is queued in sk's own queue. */
static void gc_visit_queue(struct unix_sock *sk, gc_visit_fn visit, struct list_node *work)
{
	struct unix_skb *skb;

	fb_mutex_lock(&sk->sock.lock);
	list_for_each (skb, &sk->rx, node) {
		for (unsigned i = 0; skb->fds && i < skb->fds->nr; i++) {
			struct unix_sock *child = unix_of_file(skb->fds->files[i]);

			if (child && child->gc_candidate)
				visit(child, work);
		}
	}
	fb_mutex_unlock(&sk->sock.lock);
}

/*
 * The connections that wait in a listener's queue, with references; what was sent to them hangs
 * on the listener. Out of memory: none, which makes their children look alive.
 */
static struct unix_sock **gc_embryos(struct unix_sock *sk, size_t *ret_nr)
{
	size_t nr = atomic_load(&sk->rx_count), n = 0;
	struct unix_sock **embryos = NULL;
	struct unix_skb *skb;

	if (atomic_load(&sk->state) == UNIX_LISTEN && nr)
		embryos = calloc(nr, sizeof(struct unix_sock *));
	if (embryos) {
		fb_mutex_lock(&sk->sock.lock);
		list_for_each (skb, &sk->rx, node)
			if (skb->embryo && n < nr)
				embryos[n++] = unix_get(skb->embryo);
		fb_mutex_unlock(&sk->sock.lock);
	}
	*ret_nr = n;
	return embryos;
}

static void gc_visit_children(struct unix_sock *sk, gc_visit_fn visit, struct list_node *work)
{
	struct unix_sock **embryos;
	size_t nr;

	if (atomic_load(&sk->state) != UNIX_LISTEN) {
		gc_visit_queue(sk, visit, work);
		return;
	}
	embryos = gc_embryos(sk, &nr);
	for (size_t i = 0; i < nr; i++) {
		gc_visit_queue(embryos[i], visit, work);
		unix_put(embryos[i]);
	}
	free(embryos);
}

static void gc_take_away(struct unix_sock *child, struct list_node *work)
{
	(void)work;
	if (child->gc_count)
		child->gc_count--;
}

/* Reached from outside: alive, and so are its children. */
static void gc_give_back(struct unix_sock *child, struct list_node *work)
{
	child->gc_candidate = false;
	list_del(&child->inflight_node);
	list_add_tail(work, &child->inflight_node);
}

/* Takes the files out of the queue of a dead socket. */
static void gc_steal(struct unix_sock *sk, struct list_node *stolen)
{
	struct unix_skb *skb;

	fb_mutex_lock(&sk->sock.lock);
	list_for_each (skb, &sk->rx, node) {
		if (!skb->fds)
			continue;
		list_add_tail(stolen, &skb->fds->node);
		skb->fds = NULL;
	}
	fb_mutex_unlock(&sk->sock.lock);
}

static void gc_steal_garbage(struct unix_sock *sk, struct list_node *stolen)
{
	struct unix_sock **embryos;
	size_t nr;

	gc_steal(sk, stolen);
	embryos = gc_embryos(sk, &nr);
	for (size_t i = 0; i < nr; i++) {
		gc_steal(embryos[i], stolen);
		unix_put(embryos[i]);
	}
	free(embryos);
}

/* Leaves gc_candidate set on garbage alone. gc_lock is held. */
static void gc_mark(void)
{
	struct list_node work = LIST_INIT(work), alive = LIST_INIT(alive);
	struct unix_sock *sk, *tmp;

	list_for_each (sk, &inflight_list, inflight_node) {
		sk->gc_count = sk->inflight;
		sk->gc_candidate = ref_read(&sk->sock.file->ref) == (int)sk->inflight;
	}
	list_for_each (sk, &inflight_list, inflight_node)
		if (sk->gc_candidate)
			gc_visit_children(sk, gc_take_away, NULL);
	list_for_each_safe (sk, tmp, &inflight_list, inflight_node)
		if (sk->gc_candidate && sk->gc_count)
			gc_give_back(sk, &work);
	while (!list_empty(&work)) {
		sk = list_first(&work, struct unix_sock, inflight_node);
		list_del(&sk->inflight_node);
		list_add_tail(&alive, &sk->inflight_node);
		gc_visit_children(sk, gc_give_back, &work);
	}
	list_splice_tail(&inflight_list, &alive);
}

void unix_gc(void)
{
	struct list_node stolen = LIST_INIT(stolen);
	struct unix_fds *fds;
	struct unix_sock *sk;

	if (atomic_load_explicit(&nr_inflight, memory_order_relaxed) == 0 || gc_postponed())
		return;
	sleep_mutex_lock(&gc_lock);
	gc_mark();
	list_for_each (sk, &inflight_list, inflight_node)
		if (sk->gc_candidate)
			gc_steal_garbage(sk, &stolen);
	list_for_each (fds, &stolen, node)
		inflight_sub_locked(fds);
	sleep_mutex_unlock(&gc_lock);
	drop_all(&stolen);
}
