#include "capture/covered.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RANGES_MAX 128

/* Takes in the ranges that no hole parts from `next` any more. */
static void advance(struct covered *c)
{
	uint32_t i = 0;

	for (; i < c->n && c->beyond[i].pos <= c->next; i++)
		if (c->beyond[i].end > c->next)
			c->next = c->beyond[i].end;
	c->n -= i;
	if (i)
		memmove(c->beyond, c->beyond + i, c->n * sizeof(*c->beyond));
}

static int make_room(struct covered *c)
{
	uint32_t cap = c->cap ? c->cap * 2 : 4;
	struct range *p;

	if (c->n == RANGES_MAX) {
		c->next = c->beyond[0].end;
		advance(c);
	}
	if (c->n < c->cap)
		return 0;
	p = realloc(c->beyond, cap * sizeof(*p));
	if (!p)
		return -ENOMEM;
	c->beyond = p;
	c->cap = cap;
	return 0;
}

static int add_beyond(struct covered *c, uint64_t pos, uint64_t end)
{
	uint32_t i, last;
	int err = make_room(c);

	if (err)
		return err;
	for (i = c->n; i && c->beyond[i - 1].end >= pos; i--)
		;
	/* [i, last) touch the new one */
	for (last = i; last < c->n && c->beyond[last].pos <= end; last++) {
		if (c->beyond[last].pos < pos)
			pos = c->beyond[last].pos;
		if (c->beyond[last].end > end)
			end = c->beyond[last].end;
	}
	memmove(c->beyond + i + 1, c->beyond + last, (c->n - last) * sizeof(*c->beyond));
	c->beyond[i] = (struct range){pos, end};
	c->n += 1 - (last - i);
	return 0;
}

int covered_add(struct covered *c, uint64_t pos, uint64_t end)
{
	int err = 0;

	if (!c->based) {
		c->based = true;
		c->next = pos;
	}
	if (end <= c->next)
		return 0;
	if (pos <= c->next)
		c->next = end;
	else
		err = add_beyond(c, pos, end);
	advance(c);
	return err;
}

uint64_t covered_hole_end(const struct covered *c, uint64_t limit)
{
	return c->n && c->beyond[0].pos < limit ? c->beyond[0].pos : limit;
}

void covered_free(struct covered *c)
{
	free(c->beyond);
	*c = (struct covered){0};
}
