#include "base/intern.h"

#include <stdlib.h>

#include "base/hash.h"

struct str *intern_find(const struct intern *t, struct span s)
{
	struct str *e = map_ptr(&t->by_hash, hash_span(s, 0));

	while (e && !span_eq(str_span(e), s))
		e = e->same;
	return e;
}

struct str *intern_get(struct intern *t, struct span s)
{
	struct str *e = intern_find(t, s);

	if (e)
		return str_ref(e);
	e = malloc(sizeof(*e) + s.n + 1);
	if (!e)
		return NULL;
	*e = (struct str){.hash = hash_span(s, 0), .serial = t->serial + 1, .refs = 1, .n = (uint32_t)s.n};
	if (s.n)
		memcpy(e->text, s.p, s.n);
	e->text[s.n] = '\0';
	e->same = map_ptr(&t->by_hash, e->hash);
	if (map_put_ptr(&t->by_hash, e->hash, e)) {
		free(e);
		return NULL;
	}
	t->serial++;
	return e;
}

void intern_put(struct intern *t, struct str *s)
{
	struct str *first, **at;

	if (!s || --s->refs)
		return;
	first = map_ptr(&t->by_hash, s->hash);
	for (at = &first; *at != s; at = &(*at)->same)
		;
	*at = s->same;
	if (!first)
		map_del(&t->by_hash, s->hash);
	else
		map_put_ptr(&t->by_hash, s->hash, first); /* the key is there: cannot fail */
	free(s);
}

void intern_free(struct intern *t)
{
	map_for_each (&t->by_hash, slot) {
		struct str *e = (struct str *)(uintptr_t)slot->val, *same;

		for (; e; e = same) {
			same = e->same;
			free(e);
		}
	}
	map_free(&t->by_hash);
}
