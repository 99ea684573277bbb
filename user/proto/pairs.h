/*
 * An envelope made of pairs, for decoders of protocols that do not keep a message's key, headers and
 * properties in one piece of the wire. Values are the bytes of the wire. Persisted: the first byte is a
 * version, and what is here is never changed, only added to.
 *
 *   0x81 (no kind has this number), then for each pair:
 *   kind (1 byte), length of the name, name, length of the value, value
 *   kind: enum field_type, with PAIR_HEADER for what the application set
 *   lengths: LEB128, at most 5 bytes
 */
#ifndef EVTRACE_PROTO_PAIRS_H
#define EVTRACE_PROTO_PAIRS_H

#include "base/buf.h"
#include "proto/proto.h"

#define PAIRS_VERSION 0x81
#define PAIR_HEADER   0x40

struct pair {
	bool header;          /* an application header, else a property of the protocol */
	enum field_type type; /* FIELD_TEXT: any bytes; FIELD_INT: decimal text; FIELD_NULL: no value */
	struct span name, value;
};

/* Clears @b. Appending to a buffer out of memory is a no-op: see buf_ok(). */
void pairs_begin(struct buf *b);
void pairs_add(struct buf *b, const struct pair *p);
void pairs_property(struct buf *b, const char *name, struct span value);
void pairs_int(struct buf *b, const char *name, int64_t value);
void pairs_header(struct buf *b, struct span name, struct span value);

/* Begin with *rest = the envelope; false at its end, and where it is broken (then *rest is not empty). */
bool pairs_next(struct span *rest, struct pair *ret);
/* The first pair of that name. */
bool pairs_find(struct span envelope, bool header, struct span name, struct pair *ret);

/* What struct proto asks for, for decoders that have nothing to add. */
int pairs_fields(struct span envelope, field_fn fn, void *ctx);
/* Calls @fn for one pair as pairs_fields() does; false: @fn stopped. @text: shown for its value, where that
 * is not its bytes. */
bool pairs_field(const struct pair *p, struct span text, field_fn fn, void *ctx);
/* Of all pairs but those that @skip (may be NULL) names, whatever their order. Evtrace's own mark of a replay
 * never counts. */
uint64_t pairs_hash(struct span envelope, uint64_t seed, bool (*skip)(const struct pair *p));

#endif
