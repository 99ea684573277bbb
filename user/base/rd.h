/*
 * A bounds-checked reader of big-endian (network order) data. A read past the end returns 0 or an empty span
 * and latches `bad`, so a decoder reads a whole structure and checks once.
 */
#ifndef EVTRACE_BASE_RD_H
#define EVTRACE_BASE_RD_H

#include "base/span.h"

struct rd {
	const uint8_t *p, *end;
	bool bad;
};

static inline struct rd rd_of(struct span s)
{
	static const uint8_t none[1]; /* arithmetic on NULL is undefined, even by 0 */

	if (!s.n)
		s.p = none;
	return (struct rd){s.p, s.p + s.n, false};
}

static inline size_t rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->p);
}

static inline struct span rd_span(struct rd *r, size_t n)
{
	struct span s;

	if (r->bad || rd_left(r) < n) {
		r->bad = true;
		return SPAN_EMPTY;
	}
	s = span_of(r->p, n);
	r->p += n;
	return s;
}

static inline uint64_t rd_be(struct rd *r, size_t width)
{
	struct span s = rd_span(r, width);
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++)
		v = v << 8 | s.p[i];
	return v;
}

static inline uint8_t rd_u8(struct rd *r)
{
	return (uint8_t)rd_be(r, 1);
}

static inline uint16_t rd_u16(struct rd *r)
{
	return (uint16_t)rd_be(r, 2);
}

static inline uint32_t rd_u32(struct rd *r)
{
	return (uint32_t)rd_be(r, 4);
}

static inline uint64_t rd_u64(struct rd *r)
{
	return rd_be(r, 8);
}

#endif
