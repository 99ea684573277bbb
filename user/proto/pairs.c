#include "proto/pairs.h"

#include <errno.h>

#include "base/hash.h"
#include "base/number.h"

#define MAX_NAME 256

static void put_length(struct buf *b, uint64_t n)
{
	while (n >= 0x80) {
		buf_putc(b, (char)(n | 0x80));
		n >>= 7;
	}
	buf_putc(b, (char)n);
}

void pairs_begin(struct buf *b)
{
	buf_clear(b);
	buf_putc(b, (char)PAIRS_VERSION);
}

void pairs_add(struct buf *b, const struct pair *p)
{
	buf_putc(b, (char)(p->type | (p->header ? PAIR_HEADER : 0)));
	put_length(b, p->name.n);
	buf_put_span(b, p->name);
	put_length(b, p->value.n);
	buf_put_span(b, p->value);
}

void pairs_property(struct buf *b, const char *name, struct span value)
{
	pairs_add(b, &(struct pair){.type = FIELD_TEXT, .name = span_str(name), .value = value});
}

void pairs_int(struct buf *b, const char *name, int64_t value)
{
	char text[NUMBER_MAX];

	pairs_add(b, &(struct pair){.type = FIELD_INT,
			     .name = span_str(name),
			     .value = span_of(text, put_i64(text, value))});
}

void pairs_header(struct buf *b, struct span name, struct span value)
{
	pairs_add(b, &(struct pair){.header = true, .type = FIELD_TEXT, .name = name, .value = value});
}

static bool get_length(struct span *s, size_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 5 && i < s->n; i++) {
		v |= (uint64_t)(s->p[i] & 0x7f) << 7 * i;
		if (s->p[i] & 0x80)
			continue;
		*s = span_sub(*s, i + 1, SIZE_MAX);
		*ret = (size_t)v;
		return true;
	}
	return false;
}

static bool get_span(struct span *s, struct span *ret)
{
	size_t n;

	if (!get_length(s, &n) || n > s->n)
		return false;
	*ret = span_of(s->p, n);
	*s = span_sub(*s, n, SIZE_MAX);
	return true;
}

bool pairs_next(struct span *rest, struct pair *ret)
{
	struct span s = *rest;
	uint8_t kind;

	if (s.n && s.p[0] == PAIRS_VERSION)
		s = span_sub(s, 1, SIZE_MAX);
	if (!s.n) {
		*rest = s;
		return false;
	}
	kind = s.p[0];
	s = span_sub(s, 1, SIZE_MAX);
	ret->header = kind & PAIR_HEADER;
	ret->type = kind & ~PAIR_HEADER;
	if (ret->type < FIELD_TEXT || ret->type > FIELD_NULL || !get_span(&s, &ret->name) ||
		!get_span(&s, &ret->value))
		return false;
	*rest = s;
	return true;
}

bool pairs_find(struct span envelope, bool header, struct span name, struct pair *ret)
{
	struct pair p;

	while (pairs_next(&envelope, &p))
		if (p.header == header && span_eq(p.name, name)) {
			*ret = p;
			return true;
		}
	return false;
}

static bool decimal(struct span s, int64_t *ret)
{
	bool minus = s.n && s.p[0] == '-';
	uint64_t v = 0;

	for (size_t i = minus; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || v > (UINT64_MAX >> 1) / 10 - 1)
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return s.n > minus;
}

bool pairs_field(const struct pair *p, struct span text, field_fn fn, void *ctx)
{
	char name[sizeof("header.") + MAX_NAME];
	struct field f = {.type = p->type, .name = p->name, .text = text};
	size_t n = p->name.n < MAX_NAME ? p->name.n : MAX_NAME;

	if (p->header) {
		memcpy(name, "header.", 7);
		if (n)
			memcpy(name + 7, p->name.p, n);
		f.name = span_of(name, 7 + n);
	}
	if (f.type == FIELD_INT && !decimal(p->value, &f.i))
		f.type = FIELD_TEXT;
	return fn(ctx, &f);
}

int pairs_fields(struct span envelope, field_fn fn, void *ctx)
{
	struct pair p;

	while (pairs_next(&envelope, &p))
		if (!pairs_field(&p, p.value, fn, ctx))
			return 0;
	return envelope.n ? -EBADMSG : 0;
}

uint64_t pairs_hash(struct span envelope, uint64_t seed, bool (*skip)(const struct pair *p))
{
	uint64_t sum = 0;
	struct pair p;

	while (pairs_next(&envelope, &p)) {
		if (span_is(p.name, REPLAY_MARK) || (skip && skip(&p)))
			continue;
		/* Summed up, so that their order does not count. */
		sum += hash_span(
			p.value, hash_span(p.name, seed + (p.header ? p.type | PAIR_HEADER : p.type)));
	}
	return hash_u64((envelope.n ? hash_span(envelope, sum) : sum) ^ seed);
}
