/* Little-endian integers in bytes of any alignment. */
#ifndef EVTRACE_BASE_LE_H
#define EVTRACE_BASE_LE_H

#include "base/buf.h"

static inline uint64_t le_get(const uint8_t *p, size_t width)
{
	uint64_t v = 0;

	for (size_t i = width; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static inline void le_set(uint8_t *p, uint64_t v, size_t width)
{
	for (size_t i = 0; i < width; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

static inline void le_put(struct buf *b, uint64_t v, size_t width)
{
	uint8_t p[8];

	le_set(p, v, width);
	buf_put(b, p, width);
}

#endif
