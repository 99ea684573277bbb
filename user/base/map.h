/*
 * Hash map from a 64-bit key to a 64-bit value (a pointer, an index, an id), open addressing with linear
 * probing and backward-shift deletion, so no tombstones. Strings are keyed by hash64() and verified by their
 * user.
 */
#ifndef EVTRACE_BASE_MAP_H
#define EVTRACE_BASE_MAP_H

#include "base/span.h"

struct map_slot {
	uint64_t key, val;
	bool used;
};

struct map {
	struct map_slot *slots;
	size_t cap, n; /* cap is 0 or a power of two */
};

/* The value's place, or NULL. Valid until the next map_put()/map_del(). */
uint64_t *map_get(const struct map *m, uint64_t key);
/* Inserts or overwrites: 0, or -ENOMEM with the map as it was. */
int map_put(struct map *m, uint64_t key, uint64_t val);
/* True when the key was there. */
bool map_del(struct map *m, uint64_t key);
void map_free(struct map *m);

static inline void *map_ptr(const struct map *m, uint64_t key)
{
	uint64_t *v = map_get(m, key);

	return v ? (void *)(uintptr_t)*v : NULL;
}

static inline int map_put_ptr(struct map *m, uint64_t key, void *p)
{
	return map_put(m, key, (uint64_t)(uintptr_t)p);
}

/* Visits every used slot; the body must not put or delete. */
#define map_for_each(m, s)                                                                                   \
	for (struct map_slot *s = (m)->slots; s && s < (m)->slots + (m)->cap; s++)                           \
		if (s->used)

#endif
