#include "query/content.h"

#include <string.h>

#include "base/search.h"

static void set(struct buf *b, struct span s)
{
	buf_clear(b);
	buf_put_span(b, s);
}

/* As properties, or as headers where the protocol has no such property. */
void hints_see(struct hints *h, const struct field *f)
{
	struct span name = f->name;

	if (span_starts(name, "header."))
		name = span_sub(name, 7, SIZE_MAX);
	if (span_eq_nocase(name, SPAN_LIT("content-type")))
		set(&h->content_type, f->text);
	else if (span_eq_nocase(name, SPAN_LIT("content-encoding")))
		set(&h->content_encoding, f->text);
}

void hints_free(struct hints *h)
{
	buf_free(&h->content_type);
	buf_free(&h->content_encoding);
}

static bool on_field(void *ctx, const struct field *f)
{
	hints_see(ctx, f);
	return true;
}

void content_open(struct body *b, enum proto_id proto, struct span envelope, struct span bytes)
{
	const struct proto *p = envelope.n ? proto_by_id(proto) : NULL;
	struct body_hints given;
	struct hints h = {0};

	if (p && p->fields)
		p->fields(envelope, on_field, &h);
	given = hints_of(&h);
	body_open(b, bytes, &given);
	hints_free(&h);
}

struct line {
	struct buf *out;
	size_t max;
};

static bool on_scalar(void *ctx, const struct scalar *s)
{
	struct line *l = ctx;

	if (s->type == SCALAR_NULL)
		return true;
	if (l->out->n)
		buf_putc(l->out, ' ');
	if (s->path.n) {
		buf_put_span(l->out, s->path);
		buf_putc(l->out, '=');
	}
	buf_put_span(l->out, s->value);
	return l->out->n < l->max;
}

static bool put_line(const struct body *b, size_t max, struct buf *out)
{
	struct line l = {out, out->n + max};

	if (!b->layers && (body_is_text(b) || b->format == BODY_BINARY))
		return false;
	if (body_is_text(b))
		buf_put_span(out, b->bytes);
	else
		body_scalars(b, on_scalar, &l);
	return true;
}

/* kombu's envelope and its kin: the member `body` is what was sent, in base64. */
static bool on_member(void *ctx, const struct scalar *s)
{
	struct line *l = ctx;
	struct body b;

	if (!span_is(s->path, "body"))
		return true;
	if (s->type == SCALAR_STRING) {
		body_open(&b, s->value, NULL);
		if (b.layers)
			put_line(&b, l->max, l->out);
		body_close(&b);
	}
	return false;
}

bool content_line(const struct body *b, size_t max, struct buf *out)
{
	struct line l = {out, max};
	size_t before = out->n;

	if (b->format == BODY_JSON && memmem(b->bytes.p, b->bytes.n, "\"body\"", 6))
		body_scalars(b, on_member, &l);
	return out->n > before || put_line(b, max, out);
}
