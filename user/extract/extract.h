/*
 * Identifiers in an operation: (name, value, where it stood), from headers, properties and bodies of any
 * format that can be recognised (JSON, XML, form, text). Knows no broker. A truncated or broken body gives
 * what stands before the fault.
 */
#ifndef EVTRACE_EXTRACT_EXTRACT_H
#define EVTRACE_EXTRACT_EXTRACT_H

#include "base/span.h"

/* Persisted: explicit, append-only. */
enum place {
	PLACE_PROPERTY = 1, /* a property of the protocol: message-id, correlation-id, reply-to */
	PLACE_HEADER = 2,   /* application header */
	PLACE_BODY = 3,
	PLACE_KEY = 4, /* record key, routing key */
};

enum scalar_type {
	SCALAR_STRING,
	SCALAR_NUMBER,
	SCALAR_BOOL,
	SCALAR_NULL,
};

enum body_format {
	BODY_EMPTY = 0,
	BODY_JSON = 1,
	BODY_XML = 2,
	BODY_FORM = 3,
	BODY_TEXT = 4,
	BODY_BINARY = 5,
};

/*
 * One scalar of a body, in document order. `path` uses dots and [] as an operator would type it:
 * "order.customer.name", "lines[2].sku", XML "Invoice.ID", attributes "Invoice.ID@schemeID". `value` is
 * decoded (JSON escapes, XML entities, form percent-encoding undone). Spans are valid for the call. A false
 * return stops the walk.
 */
struct scalar {
	struct span path;
	struct span leaf; /* the last name of the path, without index */
	struct span value;
	enum scalar_type type;
};
typedef bool (*scalar_fn)(void *ctx, const struct scalar *s);

/* Recognises the format by content; @content_type (may be empty) is a hint. */
enum body_format body_format(struct span body, struct span content_type);

/*
 * Walks every scalar of @body. Text: each "key=value" and "key: value" pair is a scalar, and each word is a
 * scalar with an empty path; EDIFACT components are "BGM[2]". XML's first of several equal siblings has no
 * index, the second has [1]. A JSON document inside a JSON string is walked too, one layer deep. A string or
 * number that the end of the body cuts is left out. Returns 0, also when @fn stopped it, or -EBADMSG after
 * having walked all that could be read. Depth (64), path length (256 B) and the number of scalars (65536) are
 * capped.
 */
int body_walk(struct span body, enum body_format fmt, scalar_fn fn, void *ctx);

/* Class of a value as an identifier, after causality.md 4.2: only JOIN values may link messages. */
enum id_class {
	ID_NONE = 0, /* constants, booleans, 0 and 1, times, decimals, free text */
	ID_WEAK = 1, /* could agree by chance: short words, e-mail addresses, integers below 1000, years,
			amounts and counts (by their name), line numbers */
	ID_JOIN = 2, /* UUIDs, hex >= 12, alphanumerics with digits >= 4, integers >= 1000, and most values
			whose name says id */
};

struct identifier {
	struct span name;  /* as in struct scalar.path, or the header's name */
	struct span value; /* canonical, 128 B at most: trimmed, UUIDs and hex lower-case, UUIDs with dashes,
			      integers without leading zeros; never empty */
	enum place place;
	enum id_class cls;
	uint64_t hash; /* of `value` alone: equal values have equal hashes whatever their names */
};
typedef bool (*identifier_fn)(void *ctx, const struct identifier *id);

/*
 * Identifiers of a body: at most 32, ID_JOIN and ID_WEAK only, each value once, shallow before deep (a weak
 * one counts as two levels deeper), of arrays the first 8 elements. URLs, URNs and "kind:value" are split
 * into their parts, "cb#path[1]" and "cb#q.ref". Returns as body_walk() does.
 */
int extract_body(struct span body, struct span content_type, identifier_fn fn, void *ctx);
/* Classifies one header or property; true (and *ret filled, pointing into @scratch) when it is worth keeping.
 */
bool extract_value(struct span name, struct span value, enum place place, char *scratch, size_t scratch_n,
	struct identifier *ret);

/* Does @path of a scalar answer to @pattern as an operator types it ("customer.id", "id", "lines[].sku",
 * "*.id", "@schemeID")? The pattern matches a suffix of the path at a dot or '@', `*` stands for any part of
 * one name, indexes may be left out, case is ignored in ASCII. */
bool path_matches(struct span path, struct span pattern);

#endif
