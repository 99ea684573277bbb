#include "capture/held.h"

#include <errno.h>
#include <stdlib.h>

#define SEGMENTS_MAX 2048
#define BYTES_MAX    (4u << 20)

void held_init(struct held_list *h, struct held_total *total)
{
	*h = (struct held_list){.total = total};
	list_init(&h->side[0]);
	list_init(&h->side[1]);
}

static size_t cost(const struct held *s)
{
	return sizeof(*s) + s->c.data.n;
}

/* Captures are nearly in order: the place is near the end. Of one position, what needs less comes first. */
static struct list *place(struct list *head, uint64_t pos, uint64_t need)
{
	struct list *l = head;

	for (; l->prev != head; l = l->prev) {
		const struct held *s = list_entry(l->prev, struct held, list);

		if (s->c.pos < pos || (s->c.pos == pos && s->need <= need))
			break;
	}
	return l;
}

int held_add(struct held_list *h, int side, uint64_t need, const struct chunk *c)
{
	struct held *s = malloc(sizeof(*s) + c->data.n);

	if (!s)
		return -ENOMEM;
	s->side = side;
	s->need = need;
	s->nth = h->total->added++;
	s->c = *c;
	if (c->data.n)
		memcpy(s->data, c->data.p, c->data.n);
	s->c.data = span_of(s->data, c->data.n);
	list_add_tail(place(&h->side[side], c->pos, need), &s->list);
	h->n++;
	h->bytes += cost(s);
	h->total->bytes += cost(s);
	return 0;
}

struct held *held_first(const struct held_list *h, int side)
{
	return list_first(&h->side[side], struct held, list);
}

struct held *held_oldest(const struct held_list *h)
{
	struct held *a = held_first(h, 0), *b = held_first(h, 1);

	return !a || (b && b->nth < a->nth) ? b : a;
}

void held_drop(struct held_list *h, struct held *s)
{
	list_del(&s->list);
	h->n--;
	h->marked -= s->nth < h->mark;
	h->bytes -= cost(s);
	h->total->bytes -= cost(s);
	free(s);
}

void held_drop_all(struct held_list *h)
{
	while (h->n)
		held_drop(h, held_oldest(h));
}

void held_mark(struct held_list *h)
{
	h->mark = h->total->added;
	h->marked = h->n;
}

void held_swap(struct held_list *h)
{
	struct list ends[2];

	for (int side = 0; side < 2; side++) {
		list_init(&ends[side]);
		while (!list_empty(&h->side[side])) {
			struct held *s = held_first(h, side);

			s->side = !side;
			s->c.dir = side ? DIR_TX : DIR_RX;
			list_move_tail(&ends[side], &s->list);
		}
	}
	for (int side = 0; side < 2; side++)
		while (!list_empty(&ends[side]))
			list_move_tail(&h->side[!side], ends[side].next);
}

bool held_full(const struct held_list *h)
{
	return h->n >= SEGMENTS_MAX || h->bytes >= BYTES_MAX;
}

uint64_t held_next(const struct held_list *h, int side, uint64_t pos, uint64_t limit)
{
	list_for_each (&h->side[side], l) {
		const struct held *s = list_entry(l, struct held, list);

		if (s->c.pos >= limit)
			break;
		if (s->c.pos + s->c.len > pos)
			return s->c.pos > pos ? s->c.pos : pos;
	}
	return limit;
}
