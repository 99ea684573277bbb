/* A doubly linked ring for objects that sit in lists by a member of theirs. A node that is in no list points
 * at itself, so list_del() may be called twice. */
#ifndef EVTRACE_BASE_LIST_H
#define EVTRACE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define list_entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))
/* The first object of a list, NULL when it is empty. */
#define list_first(head, type, member)                                                                       \
	((head)->next == (head) ? NULL : list_entry((head)->next, type, member))
/* Visits every node; the body may remove the one it is at. */
#define list_for_each(head, n)                                                                               \
	for (struct list *n = (head)->next, *n##_next = n->next; n != (head);                                \
		n = n##_next, n##_next = n->next)

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

static inline void list_move_tail(struct list *head, struct list *n)
{
	list_del(n);
	list_add_tail(head, n);
}

#endif
