#include "capture/held.h"

#include <errno.h>
#include <stdlib.h>

#define SEGMENTS_MAX 2048
#define BYTES_MAX    (4u << 20)

void held_init(struct held_list *h)
{
	*h = (struct held_list){0};
	list_init(&h->list);
}

int held_add(struct held_list *h, int side, uint64_t need, const struct chunk *c)
{
	struct held *s = malloc(sizeof(*s) + c->data.n);

	if (!s)
		return -ENOMEM;
	s->side = side;
	s->need = need;
	s->c = *c;
	if (c->data.n)
		memcpy(s->data, c->data.p, c->data.n);
	s->c.data = span_of(s->data, c->data.n);
	list_add_tail(&h->list, &s->list);
	h->n[side]++;
	h->bytes += c->data.n;
	return 0;
}

struct held *held_first(const struct held_list *h)
{
	return list_first(&h->list, struct held, list);
}

void held_drop(struct held_list *h, struct held *s)
{
	if (!s)
		return;
	list_del(&s->list);
	h->n[s->side]--;
	h->bytes -= s->c.data.n;
	free(s);
}

void held_drop_all(struct held_list *h)
{
	while (!list_empty(&h->list))
		held_drop(h, held_first(h));
}

bool held_full(const struct held_list *h)
{
	return h->n[0] + h->n[1] >= SEGMENTS_MAX || h->bytes >= BYTES_MAX;
}

uint64_t held_next(const struct held_list *h, int side, uint64_t pos, uint64_t limit)
{
	if (!h->n[side])
		return limit;
	list_for_each (&h->list, l) {
		const struct held *s = list_entry(l, struct held, list);

		if (s->side == side && s->c.pos + s->c.len > pos && s->c.pos < limit)
			limit = s->c.pos > pos ? s->c.pos : pos;
	}
	return limit;
}
