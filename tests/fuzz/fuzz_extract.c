/* Bodies of any kind, in memory of exactly their size: no fault, caps kept, spans inside of what they claim.
 */
#include <stdlib.h>

#include "extract/extract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned scalars;

static bool on_scalar(void *ctx, const struct scalar *s)
{
	(void)ctx;
	if (s->path.n > 256 || s->leaf.n > s->path.n || ++scalars > 65536)
		abort();
	/* a path answers to itself */
	if (s->path.n && !memchr(s->path.p, '*', s->path.n) && !memchr(s->path.p, '[', s->path.n) &&
		!path_matches(s->path, s->path))
		abort();
	return true;
}

static bool on_identifier(void *ctx, const struct identifier *id)
{
	unsigned *n = ctx;
	char scratch[256];
	struct identifier again;

	if (++*n > 32 || !id->value.n || id->value.n > 128 || id->cls == ID_NONE)
		abort();
	/* a canonical form is its own canonical form */
	if (extract_value(id->name, id->value, PLACE_BODY, scratch, sizeof(scratch), &again) &&
		again.hash != id->hash)
		abort();
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	unsigned ids = 0;

	for (int fmt = BODY_EMPTY; fmt < BODY_FORMATS; fmt++) {
		scalars = 0;
		body_walk(span_of(data, n), (enum body_format)fmt, on_scalar, NULL);
	}
	extract_body(span_of(data, n), NULL, on_identifier, &ids);
	if (n)
		path_matches(span_of(data, n / 2), span_of(data + n / 2, n - n / 2));
	return 0;
}
