/*
 * Strings that recur (names, keys), each kept once and counted: equal text is the same pointer, and its
 * serial number is an exact key of 48 bits for a map. Serial numbers depend only on the order of first use.
 */
#ifndef EVTRACE_BASE_INTERN_H
#define EVTRACE_BASE_INTERN_H

#include "base/map.h"

struct str {
	uint64_t hash, serial;
	struct str *same; /* another text with the same hash */
	uint32_t refs, n;
	char text[]; /* NUL-terminated, the NUL not counted */
};

struct intern {
	struct map by_hash;
	uint64_t serial;
};

/* With a reference for the caller; NULL when out of memory. */
struct str *intern_get(struct intern *t, struct span s);
/* Without a reference, and without adding: NULL when nobody holds it. */
struct str *intern_find(const struct intern *t, struct span s);
void intern_put(struct intern *t, struct str *s); /* NULL is fine */
void intern_free(struct intern *t);

static inline struct str *str_ref(struct str *s)
{
	if (s)
		s->refs++;
	return s;
}

static inline struct span str_span(const struct str *s)
{
	return s ? span_of(s->text, s->n) : SPAN_EMPTY;
}

#endif
