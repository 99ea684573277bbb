/* A growable byte buffer. An allocation that fails latches `oom`: later puts are no-ops and buf_ok() tells,
 * once. */
#ifndef EVTRACE_BASE_BUF_H
#define EVTRACE_BASE_BUF_H

#include "base/span.h"

struct buf {
	uint8_t *p;
	size_t n, cap;
	bool oom;
};

bool buf_reserve(struct buf *b, size_t more);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first @n bytes. */
void buf_shift(struct buf *b, size_t n);
/* NUL-terminates (outside of `n`) and returns the text; "" when empty or out of memory. */
const char *buf_cstr(struct buf *b);
void buf_free(struct buf *b);

static inline bool buf_ok(const struct buf *b)
{
	return !b->oom;
}

static inline void buf_clear(struct buf *b)
{
	b->n = 0;
}

/* Inline: envelopes and JSON are put together a byte at a time. */
static inline void buf_putc(struct buf *b, char c)
{
	if ((b->n < b->cap && !b->oom) || buf_reserve(b, 1))
		b->p[b->n++] = (uint8_t)c;
}

static inline void buf_put_span(struct buf *b, struct span s)
{
	buf_put(b, s.p, s.n);
}

static inline struct span buf_span(const struct buf *b)
{
	return span_of(b->p, b->n);
}

#endif
