/* Segments of a flow that acknowledge bytes which are still to come: what answers comes after what it
 * answers, whatever the order in which a capture has them, and also where what was answered is waited for. */
#ifndef EVTRACE_CAPTURE_HELD_H
#define EVTRACE_CAPTURE_HELD_H

#include "base/list.h"
#include "capture/sink.h"

struct held {
	struct list list;
	int side;
	uint64_t need; /* bytes of the other side before it have come first */
	struct chunk c;
	uint8_t data[];
};

struct held_list {
	struct list list; /* as they were captured */
	unsigned n[2];    /* of each side */
	size_t bytes;
};

void held_init(struct held_list *h);
int held_add(struct held_list *h, int side, uint64_t need, const struct chunk *c);
struct held *held_first(const struct held_list *h);
void held_drop(struct held_list *h, struct held *s); /* NULL: nothing */
void held_drop_all(struct held_list *h);
/* It must not grow further. */
bool held_full(const struct held_list *h);
/* Where the next one of @side at or beyond @pos begins, at most @limit. */
uint64_t held_next(const struct held_list *h, int side, uint64_t pos, uint64_t limit);

#endif
