/*
 * Layers and binary formats: no fault, caps kept, and the quick look is never wrong by saying no. An Avro
 * schema and a datum of it come from the input too.
 */
#include <stdlib.h>

#include "extract/extract.h"
#include "extract/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
	struct span raw;
	unsigned scalars;
	bool inside; /* a value of a document within, whose bytes are not in `raw` */
};

static bool on_scalar(void *ctx, const struct scalar *s)
{
	struct seen *seen = ctx;

	if (s->path.n > 256 || s->leaf.n > s->path.n || ++seen->scalars > 65536 ||
		s->inside > BODY_MAX_LAYERS)
		abort();
	seen->inside |=
		s->inside && s->value.n >= 8 && !memmem(seen->raw.p, seen->raw.n, s->value.p, s->value.n);
	return true;
}

static bool has_any(struct span s, const char *set)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] && strchr(set, s.p[i]))
			return true;
	return false;
}

static void read_body(struct span raw, const struct body_hints *hints)
{
	struct seen seen = {.raw = raw};
	struct buf text = {0};
	struct body b;

	body_open(&b, raw, hints);
	if (b.layers > BODY_MAX_LAYERS || b.format >= BODY_FORMATS || b.bytes.n > BODY_MAX_UNPACK + raw.n)
		abort();
	body_describe(&b, &text);
	body_scalars(&b, on_scalar, &seen);
	if (!hints && !body_may_hide(raw) && (b.layers || !body_is_text(&b)) && b.format != BODY_BINARY)
		abort();
	/* base64 in a text: escapes alone may turn values into something else as well */
	if (!hints && !body_may_hide(raw) && seen.inside && !has_any(raw, "\\&%+<?"))
		abort();
	body_close(&b);
	buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct body_hints hints[] = {
		{SPAN_LIT("application/msgpack"), SPAN_EMPTY},
		{SPAN_LIT("application/grpc"), SPAN_EMPTY},
		{SPAN_LIT("application/x-protobuf"), SPAN_LIT("snappy")},
	};
	struct span all = span_of(data, n);
	const uint8_t *zero = n ? memchr(data, 0, n) : NULL;

	read_body(all, NULL);
	for (size_t i = 0; i < ARRAY_LEN(hints); i++)
		read_body(all, &hints[i]);
	for (int f = BODY_EMPTY; f < BODY_FORMATS; f++) {
		struct seen seen = {.raw = all};

		body_walk(all, (enum body_format)f, on_scalar, &seen);
	}
	if (zero) {
		/* a schema, and behind the zero byte a number and a datum */
		struct span body = span_sub(all, (size_t)(zero - data), SIZE_MAX);
		uint64_t id = 0;

		for (size_t i = 1; i < 5 && i < body.n; i++)
			id = id << 8 | body.p[i];
		schemas_learn(id, SCHEMA_AVRO, span_of(data, (size_t)(zero - data)));
		schemas_learn_record(span_of(data, (size_t)(zero - data)), NULL);
		read_body(body, NULL);
		schemas_clear();
	}
	return 0;
}
