/* Values of binary formats as an operator would type them. */
#include "extract/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

void walk_dry(struct walk *w)
{
	/* not an initialiser: see body_walk() */
	w->fn = NULL;
	w->ctx = NULL;
	w->left = 0;
	w->stop = w->full = false;
	w->layers = w->inside = 0;
	w->unpack = 0;
	w->n = w->leaf = 0;
}

void walk_uint(struct walk *w, uint64_t v)
{
	char text[24];

	if (w->fn)
		walk_emit(
			w, span_of(text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, v)), SCALAR_NUMBER);
}

void walk_int(struct walk *w, int64_t v)
{
	char text[24];

	if (w->fn)
		walk_emit(
			w, span_of(text, (size_t)snprintf(text, sizeof(text), "%" PRId64, v)), SCALAR_NUMBER);
}

/* The shortest of two forms that reads back as the same number. */
void walk_double(struct walk *w, double v)
{
	char text[40];
	int n;

	if (!w->fn)
		return;
	n = snprintf(text, sizeof(text), "%.15g", v);
	if (strtod(text, NULL) != v)
		n = snprintf(text, sizeof(text), "%.17g", v);
	walk_emit(w, span_of(text, (size_t)n), SCALAR_NUMBER);
}

void walk_bool(struct walk *w, bool v)
{
	if (w->fn)
		walk_emit(w, v ? SPAN_LIT("true") : SPAN_LIT("false"), SCALAR_BOOL);
}

void walk_null(struct walk *w)
{
	if (w->fn)
		walk_emit(w, SPAN_LIT("null"), SCALAR_NULL);
}

void walk_text(struct walk *w, struct span s)
{
	if (!w->fn)
		return;
	walk_emit(w, s, SCALAR_STRING);
	walk_inside_text(w, s);
}

void walk_bytes(struct walk *w, struct span s)
{
	static const char digits[] = "0123456789abcdef";
	char hex[2 * WALK_MAX_HEX];

	if (!w->fn)
		return;
	if (span_is_text(s)) {
		walk_text(w, s);
		return;
	}
	if (walk_inside_bytes(w, s) || s.n > WALK_MAX_HEX)
		return;
	for (size_t i = 0; i < s.n; i++) {
		hex[2 * i] = digits[s.p[i] >> 4];
		hex[2 * i + 1] = digits[s.p[i] & 15];
	}
	walk_emit(w, span_of(hex, 2 * s.n), SCALAR_STRING);
}
