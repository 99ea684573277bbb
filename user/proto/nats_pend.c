/* Tables of the NATS decoder: what waits for a reply or an acknowledgement, and what connections share. */
#include <stdlib.h>

#include "proto/nats_state.h"

struct pending *pending_find(const struct pendings *t, struct span subject)
{
	const uint64_t *i = map_get(&t->by_key, nats_key(subject));

	return i ? &t->slots[*i] : NULL;
}

static bool pendings_grow(struct pendings *t)
{
	size_t cap = t->cap ? t->cap * 2 : 64;
	struct pending *p;

	if (t->n < t->cap || t->cap == PENDING_MAX)
		return t->cap > 0;
	p = realloc(t->slots, cap * sizeof(*p));
	if (!p)
		return t->cap > 0;
	t->slots = p;
	t->cap = cap;
	t->next = t->n;
	return true;
}

/* The slot of @key, or the oldest one, emptied. */
static struct pending *pending_slot(struct pendings *t, uint64_t key)
{
	const uint64_t *known = map_get(&t->by_key, key);
	struct pending *p;
	size_t i;

	if (known) {
		p = &t->slots[*known];
		free(p->call);
		p->call = NULL;
		return p;
	}
	if (!pendings_grow(t))
		return NULL;
	i = t->next;
	t->next = (i + 1) % t->cap;
	p = &t->slots[i];
	if (i < t->n) {
		map_del(&t->by_key, p->key);
		free(p->call);
	} else {
		t->n = i + 1;
	}
	*p = (struct pending){.key = key};
	if (map_put(&t->by_key, key, i))
		return NULL;
	return p;
}

struct pending *pending_add(
	struct pendings *t, struct span subject, enum pending_kind kind, uint64_t id, struct api_call *call)
{
	struct pending *p = pending_slot(t, nats_key(subject));

	if (!p) {
		free(call);
		return NULL;
	}
	p->kind = kind;
	p->id = id;
	p->batch = 0;
	p->call = call;
	return p;
}

void pendings_free(struct pendings *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->slots[i].call);
	free(t->slots);
	map_free(&t->by_key);
}

/* --- shared --- */

static void *shared_add(struct map *m, struct list *lru, uint64_t key, size_t size, size_t lru_at)
{
	char *e;

	if (m->n >= SHARED_MAX) {
		struct list *oldest = lru->next;

		e = (char *)oldest - lru_at;
		map_del(m, *(uint64_t *)e);
		list_del(oldest);
		memset(e, 0, size);
	} else {
		e = calloc(1, size);
		if (!e)
			return NULL;
	}
	*(uint64_t *)e = key;
	if (map_put_ptr(m, key, e)) {
		free(e);
		return NULL;
	}
	list_init((struct list *)(e + lru_at));
	list_add_tail(lru, (struct list *)(e + lru_at));
	return e;
}

struct js_consumer *nats_consumer(
	struct nats_shared *sh, uint64_t server, struct span stream, struct span name, bool add)
{
	uint64_t key = hash_span(name, hash_span(stream, server));
	struct js_consumer *c = map_ptr(&sh->consumers, key);

	if (c)
		list_move_tail(&sh->consumers_lru, &c->lru);
	if (c || !add)
		return c;
	return shared_add(
		&sh->consumers, &sh->consumers_lru, key, sizeof(*c), offsetof(struct js_consumer, lru));
}

struct js_stream *nats_stream(struct nats_shared *sh, uint64_t server, struct span stream, bool add)
{
	uint64_t key = hash_span(stream, server);
	struct js_stream *s = map_ptr(&sh->streams, key);

	if (s)
		list_move_tail(&sh->streams_lru, &s->lru);
	if (s || !add)
		return s;
	return shared_add(&sh->streams, &sh->streams_lru, key, sizeof(*s), offsetof(struct js_stream, lru));
}

void *nats_shared_new(void)
{
	struct nats_shared *sh = calloc(1, sizeof(*sh));

	if (sh) {
		list_init(&sh->consumers_lru);
		list_init(&sh->streams_lru);
		list_init(&sh->batches_lru);
	}
	return sh;
}

void nats_shared_free(void *shared)
{
	struct nats_shared *sh = shared;

	if (!sh)
		return;
	map_for_each (&sh->consumers, s)
		free((void *)(uintptr_t)s->val);
	map_for_each (&sh->streams, s)
		free((void *)(uintptr_t)s->val);
	map_free(&sh->consumers);
	map_free(&sh->streams);
	nats_batches_free(sh);
	free(sh);
}
