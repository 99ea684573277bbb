/* Tables that forget their oldest row, and what connections to one server learn for each other. */
#include <errno.h>
#include <stdlib.h>

#include "proto/redis_state.h"

static bool recent_grow(struct recent *t, size_t max)
{
	size_t cap = t->cap ? t->cap * 2 : 64;
	struct recent_row *ring;

	if (cap > max)
		cap = max;
	ring = malloc(cap * sizeof(*ring));
	if (!ring)
		return false;
	for (size_t i = 0; i < t->n; i++)
		ring[i] = t->ring[(t->head + i) % t->cap];
	free(t->ring);
	t->ring = ring;
	t->cap = cap;
	t->head = 0;
	return true;
}

int recent_put(struct recent *t, uint64_t key, uint64_t val, size_t max)
{
	uint64_t *have = map_get(&t->map, key);
	struct recent_row *row;

	if (t->n == t->cap && t->cap < max && !recent_grow(t, max))
		return -ENOMEM;
	if (have && *have == val)
		return 0;
	if (map_put(&t->map, key, val))
		return -ENOMEM;
	if (t->n == t->cap) {
		uint64_t *old;

		row = &t->ring[t->head];
		old = map_get(&t->map, row->key);
		/* Unless it was put anew since, or taken. */
		if (old && *old == row->val && row->key != key)
			map_del(&t->map, row->key);
		t->head = (t->head + 1) % t->cap;
		t->n--;
	}
	t->ring[(t->head + t->n++) % t->cap] = (struct recent_row){key, val};
	return 0;
}

uint64_t recent_get(const struct recent *t, uint64_t key)
{
	uint64_t *v = map_get(&t->map, key);

	return v ? *v : 0;
}

uint64_t recent_take(struct recent *t, uint64_t key)
{
	uint64_t v = recent_get(t, key);

	if (v)
		map_del(&t->map, key);
	return v;
}

void recent_free(struct recent *t)
{
	map_free(&t->map);
	free(t->ring);
}

#define SEVERAL_DBS UINT64_MAX

static void note_db(struct redis *st, int32_t db)
{
	struct recent *t = &st->shared->dbs;
	uint64_t key = hash_u64(st->opts.server), one = (uint64_t)(uint32_t)db + 1,
		 known = recent_get(t, key);

	if (db >= 0 && known != one && known != SEVERAL_DBS)
		recent_put(t, key, known ? SEVERAL_DBS : one, SHARED_MAX);
}

/* Who was connected before does not tell its database: the one that all others are in, else the first. */
static uint64_t likely_db(const struct redis *st)
{
	uint64_t known = recent_get(&st->shared->dbs, hash_u64(st->opts.server));

	return known && known != SEVERAL_DBS ? known - 1 : 0;
}

/* A name within a database of the server. */
uint64_t redis_name_hash(const struct redis *st, int32_t db, struct span name)
{
	return hash_span(name, hash_u64(st->opts.server) + (db < 0 ? likely_db(st) : (uint64_t)db));
}

void redis_queue_is(struct redis *st, int32_t db, struct span name, unsigned kind)
{
	uint64_t key;

	note_db(st, db);
	key = redis_name_hash(st, db, name);
	recent_put(&st->shared->queues, key, recent_get(&st->shared->queues, key) | kind, SHARED_MAX);
}

unsigned redis_queue_kind(const struct redis *st, int32_t db, struct span name)
{
	return (unsigned)recent_get(&st->shared->queues, redis_name_hash(st, db, name));
}

void *redis_shared_new(void)
{
	return calloc(1, sizeof(struct redis_shared));
}

void redis_shared_free(void *shared)
{
	struct redis_shared *s = shared;

	if (!s)
		return;
	recent_free(&s->moved);
	recent_free(&s->kombu);
	recent_free(&s->queues);
	recent_free(&s->dbs);
	recent_free(&s->jobs);
	redis_jobs_free(s);
	free(s);
}
