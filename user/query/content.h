/* A message's body, opened with what its envelope says about it. */
#ifndef EVTRACE_QUERY_CONTENT_H
#define EVTRACE_QUERY_CONTENT_H

#include "extract/extract.h"
#include "proto/proto.h"

/* What headers and properties say about a body; empty ({0}) until they were seen. */
struct hints {
	struct buf content_type, content_encoding;
};
void hints_see(struct hints *h, const struct field *f);
void hints_free(struct hints *h);

static inline struct body_hints hints_of(const struct hints *h)
{
	return (struct body_hints){buf_span(&h->content_type), buf_span(&h->content_encoding)};
}

/* Opens @bytes; to be closed with body_close(). */
void content_open(struct body *b, enum proto_id proto, struct span envelope, struct span bytes);

/*
 * The body on one line, for lists: its text, or "path=value path=value ..." of a body that is none. Of an
 * envelope in JSON whose member `body` is base64 of a document, that document. Appends
 * to @out, at most about @max bytes; false, and nothing, for a body that reads as it stands.
 */
bool content_line(const struct body *b, size_t max, struct buf *out);

#endif
