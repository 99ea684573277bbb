#include "base/map.h"
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

static size_t home(const struct map *m, uint64_t key)
{
	return (size_t)hash_u64(key) & (m->cap - 1);
}

uint64_t *map_get(const struct map *m, uint64_t key)
{
	if (!m->n)
		return NULL;
	for (size_t i = home(m, key); m->slots[i].used; i = (i + 1) & (m->cap - 1))
		if (m->slots[i].key == key)
			return &m->slots[i].val;
	return NULL;
}

static void place(struct map *m, uint64_t key, uint64_t val)
{
	size_t i = home(m, key);

	while (m->slots[i].used)
		i = (i + 1) & (m->cap - 1);
	m->slots[i] = (struct map_slot){key, val, true};
}

static int grow(struct map *m)
{
	struct map bigger = {.cap = m->cap ? m->cap * 2 : 16, .n = m->n};

	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	map_for_each (m, s)
		place(&bigger, s->key, s->val);
	free(m->slots);
	*m = bigger;
	return 0;
}

int map_put(struct map *m, uint64_t key, uint64_t val)
{
	uint64_t *v = map_get(m, key);
	int err;

	if (v) {
		*v = val;
		return 0;
	}
	if ((m->n + 1) * 4 > m->cap * 3) {
		err = grow(m);
		if (err)
			return err;
	}
	place(m, key, val);
	m->n++;
	return 0;
}

bool map_del(struct map *m, uint64_t key)
{
	uint64_t *v = map_get(m, key);
	size_t hole, i;

	if (!v)
		return false;
	hole = (size_t)((struct map_slot *)((char *)v - offsetof(struct map_slot, val)) - m->slots);
	/* Knuth, TAOCP vol. 3, 6.4, algorithm R: pull back each follower that may live in the hole. */
	for (i = (hole + 1) & (m->cap - 1); m->slots[i].used; i = (i + 1) & (m->cap - 1)) {
		size_t h = home(m, m->slots[i].key);

		if (((i - h) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole].used = false;
	m->n--;
	return true;
}

void map_free(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}
