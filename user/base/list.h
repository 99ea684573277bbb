/* Circular doubly linked list, intrusive: the head and each member are a `struct list`. */
#ifndef EVTRACE_BASE_LIST_H
#define EVTRACE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

/* The structure that @l is the @member of. */
#define LIST_ENTRY(l, type, member) ((type *)((char *)(l)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

/* Takes @l out; it is a list of its own then, so that taking it out again does nothing. */
static inline void list_del(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

static inline void list_add_tail(struct list *head, struct list *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

#endif
