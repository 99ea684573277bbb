/* Open deliveries and unconfirmed publishes of one channel: a ring that is sorted because numbers ascend. */
#include "proto/amqp091_state.h"

#include <errno.h>
#include <stdlib.h>

#define RING_KEEP 1024u /* entries; a larger ring is given back when it is empty */

struct pend *amqp_pend_at(const struct pendq *q, size_t i)
{
	return &q->v[(q->head + i) & (q->cap - 1)];
}

static int grow(struct pendq *q)
{
	size_t cap = q->cap ? q->cap * 2 : 16;
	struct pend *v = malloc(cap * sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < q->n; i++)
		v[i] = *amqp_pend_at(q, i);
	free(q->v);
	q->v = v;
	q->cap = cap;
	q->head = 0;
	return 0;
}

int amqp_pend_push(struct pendq *q, const struct pend *p)
{
	if (q->n && amqp_pend_at(q, q->n - 1)->tag >= p->tag)
		return -EINVAL;
	if (q->n == q->cap && grow(q))
		return -ENOMEM;
	q->n++;
	*amqp_pend_at(q, q->n - 1) = *p;
	return 0;
}

size_t amqp_pend_upto(const struct pendq *q, uint64_t tag)
{
	size_t lo = 0, hi = q->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (amqp_pend_at(q, mid)->tag <= tag)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct pend *amqp_pend_find(const struct pendq *q, uint64_t tag)
{
	size_t n = amqp_pend_upto(q, tag);
	struct pend *p = n ? amqp_pend_at(q, n - 1) : NULL;

	return p && p->tag == tag && !p->done ? p : NULL;
}

static void compact(struct pendq *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->n; i++)
		if (!amqp_pend_at(q, i)->done)
			*amqp_pend_at(q, n++) = *amqp_pend_at(q, i);
	q->n = n;
	q->done = 0;
}

void amqp_pend_done(struct pendq *q, struct pend *p)
{
	p->done = true;
	q->done++;
	while (q->n && amqp_pend_at(q, 0)->done) {
		q->head = (q->head + 1) & (q->cap - 1);
		q->n--;
		q->done--;
	}
	while (q->n && amqp_pend_at(q, q->n - 1)->done) {
		q->n--;
		q->done--;
	}
	if (q->done > 64 && q->done > q->n / 2)
		compact(q);
	if (!q->n)
		amqp_pend_clear(q);
}

void amqp_pend_drop(struct pendq *q, size_t n)
{
	for (size_t i = 0; i < n; i++)
		q->done -= amqp_pend_at(q, i)->done;
	q->head = (q->head + n) & (q->cap - 1);
	q->n -= n;
	if (!q->n)
		amqp_pend_clear(q);
}

void amqp_pend_clear(struct pendq *q)
{
	q->head = q->n = q->done = 0;
	if (q->cap > RING_KEEP)
		amqp_pend_free(q);
}

void amqp_pend_free(struct pendq *q)
{
	free(q->v);
	*q = (struct pendq){0};
}
