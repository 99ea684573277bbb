/* Segments of a flow that are not given out yet: they acknowledge bytes which are still to come, or it is not
 * known where the flow begins. What answers comes after what it answers, whatever the order in which a
 * capture has them, and also where what was answered is waited for. */
#ifndef EVTRACE_CAPTURE_HELD_H
#define EVTRACE_CAPTURE_HELD_H

#include "base/list.h"
#include "capture/sink.h"

struct held {
	struct list list;
	int side;
	uint64_t need; /* bytes of the other side before it have come first */
	uint64_t nth;  /* as they were captured */
	struct chunk c;
	uint8_t data[];
};

/* Of all lists together. */
struct held_total {
	size_t bytes;
	uint64_t added;
};

struct held_list {
	struct list side[2]; /* by position */
	uint64_t mark;
	unsigned n, marked; /* marked: of those that were there at held_mark() */
	size_t bytes;
	struct held_total *total;
};

void held_init(struct held_list *h, struct held_total *total);
int held_add(struct held_list *h, int side, uint64_t need, const struct chunk *c);
/* The lowest one of a side; of both sides' lowest, the one that was captured first. NULL: none. */
struct held *held_first(const struct held_list *h, int side);
struct held *held_oldest(const struct held_list *h);
void held_drop(struct held_list *h, struct held *s);
void held_drop_all(struct held_list *h);
void held_mark(struct held_list *h);
void held_swap(struct held_list *h); /* side 0 becomes side 1 */
/* It must not grow further. */
bool held_full(const struct held_list *h);
/* Where the next one of @side at or beyond @pos begins, at most @limit. */
uint64_t held_next(const struct held_list *h, int side, uint64_t pos, uint64_t limit);

#endif
