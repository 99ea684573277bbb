/* Which bytes of one direction have been seen: all up to `next`, and a few ranges beyond the first hole. */
#ifndef EVTRACE_CAPTURE_COVERED_H
#define EVTRACE_CAPTURE_COVERED_H

#include <stdbool.h>
#include <stdint.h>

struct range {
	uint64_t pos, end;
};

struct covered {
	bool based;
	uint64_t next;
	struct range *beyond; /* ascending, apart from each other */
	uint32_t n, cap;
};

/* -ENOMEM leaves it as it was. Beyond some number of holes the oldest is no longer known as one. */
int covered_add(struct covered *c, uint64_t pos, uint64_t end);
/* Where the hole at `next` ends: at the first byte seen beyond it, or at @limit. */
uint64_t covered_hole_end(const struct covered *c, uint64_t limit);
void covered_free(struct covered *c);

#endif
