/* Intrusive doubly linked list. A head is a node that is linked to itself when the list is empty. */
#ifndef FB_BASE_LIST_H
#define FB_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
	struct list_node *prev, *next;
};

#define LIST_INIT(name) { &(name), &(name) }

#define container_of(ptr, type, member)                                            \
	({                                                                         \
		__typeof__(((type *)(ptr))->member) *mptr_ = (ptr);                \
		(type *)((char *)mptr_ - offsetof(type, member));                  \
	})

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_last(head, type, member) list_entry((head)->prev, type, member)

#define list_for_each(pos, head, member)                                           \
	for (pos = list_entry((head)->next, __typeof__(*pos), member);             \
	     &pos->member != (head);                                               \
	     pos = list_entry(pos->member.next, __typeof__(*pos), member))

/* The current entry may be removed in the body. */
#define list_for_each_safe(pos, tmp, head, member)                                 \
	for (pos = list_entry((head)->next, __typeof__(*pos), member),             \
	    tmp = list_entry(pos->member.next, __typeof__(*pos), member);          \
	     &pos->member != (head);                                               \
	     pos = tmp, tmp = list_entry(tmp->member.next, __typeof__(*tmp), member))

static inline void list_init(struct list_node *head)
{
	head->prev = head->next = head;
}

static inline bool list_empty(const struct list_node *head)
{
	return head->next == head;
}

static inline void list_insert_between(struct list_node *node, struct list_node *prev,
				       struct list_node *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

static inline void list_add(struct list_node *head, struct list_node *node)
{
	list_insert_between(node, head, head->next);
}

static inline void list_add_tail(struct list_node *head, struct list_node *node)
{
	list_insert_between(node, head->prev, head);
}

/* Removes and re-initialises, so that a second removal does nothing. */
static inline void list_del(struct list_node *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* Moves all entries of `from` to the end of `to`. */
static inline void list_splice_tail(struct list_node *to, struct list_node *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#endif
