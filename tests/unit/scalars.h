/* What a walk over a body tells, as text. */
#ifndef EVTRACE_TESTS_UNIT_SCALARS_H
#define EVTRACE_TESTS_UNIT_SCALARS_H

#include "base/buf.h"
#include "extract/extract.h"

/* "path=type:value\n" of each into @ctx, a struct buf. */
static inline bool render(void *ctx, const struct scalar *s)
{
	struct buf *b = ctx;

	buf_put_span(b, s->path);
	buf_putc(b, '=');
	buf_putc(b, "snb0"[s->type]);
	buf_putc(b, ':');
	buf_put_span(b, s->value);
	buf_putc(b, '\n');
	return true;
}

#endif
