/*
 * Identifiers in an operation: (name, value, where it stood), from headers, properties and bodies of any
 * format that can be recognised. Knows no broker. A truncated or broken body gives what stands before the
 * fault.
 */
#ifndef EVTRACE_EXTRACT_EXTRACT_H
#define EVTRACE_EXTRACT_EXTRACT_H

#include "base/buf.h"

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

/* Explicit, append-only. */
enum body_format {
	BODY_EMPTY = 0,
	BODY_JSON = 1,
	BODY_XML = 2,
	BODY_FORM = 3,
	BODY_TEXT = 4,
	BODY_BINARY = 5, /* none of these */
	BODY_MSGPACK = 6,
	BODY_PROTOBUF = 7,  /* without its schema: names are field numbers */
	BODY_AVRO = 8,      /* one datum, framed with its schema's number */
	BODY_AVRO_FILE = 9, /* object container file */
	BODY_PICKLE = 10,   /* Python's; not run, its texts only */
};
#define BODY_FORMATS 11
const char *body_format_name(enum body_format f);

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
	unsigned inside; /* documents inside of values of the body that it stands in */
};
typedef bool (*scalar_fn)(void *ctx, const struct scalar *s);

/* Recognises the format by content; @content_type (may be empty) is a hint. Opens no layer. */
enum body_format body_format(struct span body, struct span content_type);

/*
 * Walks every scalar of @body. Text: each "key=value" and "key: value" pair is a scalar, and each word is a
 * scalar with an empty path; EDIFACT components are "BGM[2]". XML's first of several equal siblings has no
 * index, the second has [1]. Protocol Buffers' fields are "1.2[0].5", with an index where the field repeats.
 * Bytes that are no text are given as lower-case hex, up to 64 of them. Pickles, and Avro without a schema,
 * give their texts as words.
 *
 * A value that is a document itself is walked too, its paths set behind the value's: JSON in a text, base64
 * of JSON, XML, MessagePack, pickle or anything packed, and these as bytes; four layers deep, with the caps
 * of body_open().
 *
 * A string or number that the end of the body cuts is left out. Returns 0, also when @fn stopped it, or
 * -EBADMSG after having walked all that could be read. Depth (64), path length (256 B) and the number of
 * scalars (65536) are capped.
 */
int body_walk(struct span body, enum body_format fmt, scalar_fn fn, void *ctx);

/* --- layers --- */

/* What a body may be wrapped in. Explicit, append-only. */
enum body_layer {
	LAYER_BASE64 = 1,
	LAYER_GZIP = 2,
	LAYER_ZLIB = 3,
	LAYER_ZSTD = 4,
	LAYER_LZ4 = 5,
	LAYER_SNAPPY = 6,
	LAYER_GRPC = 7,      /* gRPC's length prefix */
	LAYER_SCHEMA_ID = 8, /* Confluent's frame around JSON and Protocol Buffers */
};
#define BODY_MAX_LAYERS 4
#define BODY_MAX_UNPACK (16u << 20)
const char *body_layer_name(enum body_layer l);

/* What the envelope says about the body; may be empty. */
struct body_hints {
	struct span content_type, content_encoding;
};

/*
 * A body without its layers. Layers are known by their first bytes (base64: by what it holds); four at most
 * are taken off, and no more than 16 MiB come out of them, nor more than 256 times what went in. A layer that
 * is cut or damaged gives what could be read. The layers change no path.
 */
struct body {
	struct span raw, bytes;  /* as it was sent; what is inside of its layers */
	enum body_format format; /* of `bytes` */
	bool cut;                /* a layer did not end well, or holds more than the cap */
	uint8_t layers;
	uint8_t layer[BODY_MAX_LAYERS]; /* enum body_layer, outermost first */
	uint64_t schema;                /* LAYER_SCHEMA_ID, BODY_AVRO: its number */
	struct buf own[2];              /* what `bytes` points into, when there are layers */
};

/* Borrows @raw and @hints; @hints may be NULL. Nothing is allocated for a body without layers. */
void body_open(struct body *b, struct span raw, const struct body_hints *hints);
void body_close(struct body *b);
int body_scalars(const struct body *b, scalar_fn fn, void *ctx);
/* "json", "msgpack in gzip in base64", "avro (schema 17 not known)" */
void body_describe(const struct body *b, struct buf *out);
/* It reads as text when its layers are off. */
bool body_is_text(const struct body *b);
/* May the values of @raw hold what its bytes do not, because it, or a value in it, has layers or is binary?
 * Cheap, and only wrong by saying yes. */
bool body_may_hide(struct span raw);

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
 * into their parts, "cb#path[1]" and "cb#q.ref". @hints may be NULL. Returns as body_walk() does.
 */
int extract_body(struct span body, const struct body_hints *hints, identifier_fn fn, void *ctx);
/* Classifies one header or property; true (and *ret filled, pointing into @scratch) when it is worth keeping.
 */
bool extract_value(struct span name, struct span value, enum place place, char *scratch, size_t scratch_n,
	struct identifier *ret);

/* Does @path of a scalar answer to @pattern as an operator types it ("customer.id", "id", "lines[].sku",
 * "*.id", "@schemeID")? The pattern matches a suffix of the path at a dot or '@', `*` stands for any part of
 * one name, indexes may be left out, case is ignored in ASCII. */
bool path_matches(struct span path, struct span pattern);

#endif
