/*
 * Layers around a body, and documents inside of its values. Packed bytes say by their magic what they are,
 * and must unpack; base64 is only taken for such when what it stands for is a document itself, since every
 * long word could be base64 of something.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/search.h"
#include "base/unpack.h"
#include "extract/schema.h"
#include "extract/walk.h"

#define MIN_BASE64 16 /* characters, padding not counted */

#define MAX_RATIO  256
#define MIN_UNPACK (64 * 1024)

size_t unpack_limit(size_t n, size_t left)
{
	size_t limit = n > SIZE_MAX / MAX_RATIO ? SIZE_MAX : n * MAX_RATIO;

	if (limit < MIN_UNPACK)
		limit = MIN_UNPACK;
	return limit < left ? limit : left;
}

/* --- what begins how --- */

static bool is_packed(struct span s, enum packing *ret_how, enum body_layer *ret_layer)
{
	static const struct {
		const char *magic;
		uint8_t n;
		enum packing how;
		enum body_layer layer;
	} kinds[] = {
		{"\x1f\x8b\x08", 3, PACK_GZIP, LAYER_GZIP},
		{"\x78\x9c", 2, PACK_ZLIB, LAYER_ZLIB},
		{"\x78\x01", 2, PACK_ZLIB, LAYER_ZLIB},
		{"\x78\x5e", 2, PACK_ZLIB, LAYER_ZLIB},
		{"\x78\xda", 2, PACK_ZLIB, LAYER_ZLIB},
		{"\x28\xb5\x2f\xfd", 4, PACK_ZSTD, LAYER_ZSTD},
		{"\x04\x22\x4d\x18", 4, PACK_LZ4_FRAME, LAYER_LZ4},
		{"\xff\x06\x00\x00sNaPpY", 10, PACK_SNAPPY_FRAMED, LAYER_SNAPPY},
		{"\x82SNAPPY\0", 8, PACK_SNAPPY_XERIAL, LAYER_SNAPPY},
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (s.n > kinds[i].n && !memcmp(s.p, kinds[i].magic, kinds[i].n)) {
			*ret_how = kinds[i].how;
			*ret_layer = kinds[i].layer;
			return true;
		}
	return false;
}

static bool is_letter(uint8_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* May a document that is worth finding in base64 begin with these three bytes? */
static bool may_begin(const uint8_t b[3])
{
	switch (b[0]) {
	case '{':
		return memchr("\"'} \t\r\n", b[1], 7);
	case '[':
		return memchr("\"'{[]- \t\r\n", b[1], 10) || (b[1] >= '0' && b[1] <= '9') || is_letter(b[1]);
	case '<':
		return b[1] == '?' || b[1] == '!' || b[1] == '_' || is_letter(b[1]);
	case 0x00: /* a schema's frame */
		return !b[1];
	case 0x04:
		return b[1] == 0x22 && b[2] == 0x4d;
	case 0x1f:
		return b[1] == 0x8b && b[2] == 0x08;
	case 0x28:
		return b[1] == 0xb5 && b[2] == 0x2f;
	case 0x78:
		return b[1] == 0x01 || b[1] == 0x5e || b[1] == 0x9c || b[1] == 0xda;
	case 0x80: /* pickle */
		return b[1] >= 2 && b[1] <= 5;
	case 0x81 ... 0x8f: /* MessagePack: a map, whose first key is a text */
		return (b[1] >= 0xa1 && b[1] <= 0xbf) || b[1] == 0xd9;
	case 0x90 ... 0x9f: /* an array */
	case 0xdc:
	case 0xde:
		return true;
	case 0xef:
		return b[1] == 0xbb && b[2] == 0xbf;
	case 'O':
		return b[1] == 'b' && b[2] == 'j';
	}
	return false;
}

/* So does body_may_hide() look for it: a first line of 16 characters, of which the first three bytes fit. */
static bool begins_base64(struct span s)
{
	uint8_t first[3];

	if (s.n < MIN_BASE64 || !base64_peek(s, first) || !may_begin(first))
		return false;
	for (size_t i = 4; i < MIN_BASE64; i++)
		if (base64_bits[s.p[i]] == 0xff)
			return false;
	return true;
}

/* Is it, after base64 was undone, anything but chance? */
static bool is_document(struct span s)
{
	enum body_layer layer;
	enum packing how;
	uint64_t id;

	if (is_packed(s, &how, &layer))
		return true;
	switch (body_format(s, SPAN_EMPTY)) {
	case BODY_JSON:
	case BODY_XML:
	case BODY_MSGPACK:
	case BODY_AVRO_FILE:
	case BODY_PICKLE:
		return true;
	case BODY_AVRO:
		return avro_standing(s, &id) == AVRO_READ;
	default:
		return false;
	}
}

/* --- layers --- */

static struct buf *spare(struct body *b)
{
	struct buf *own = &b->own[0];

	return own->p && b->bytes.p >= own->p && b->bytes.p < own->p + own->cap ? &b->own[1] : own;
}

static bool take_off(struct body *b, enum body_layer layer, struct span inner)
{
	b->layer[b->layers++] = (uint8_t)layer;
	b->bytes = inner;
	return true;
}

static bool peel_packed(struct body *b, enum packing how, enum body_layer layer, uint32_t *left)
{
	struct buf *out = spare(b);
	int err = unpack(how, b->bytes, out, unpack_limit(b->bytes.n, *left));

	*left -= out->n < *left ? (uint32_t)out->n : *left;
	if (err && err != -E2BIG && !out->n)
		return false;
	/* two bytes are little evidence */
	if (err == -EBADMSG && layer == LAYER_ZLIB && body_format(buf_span(out), SPAN_EMPTY) == BODY_BINARY)
		return false;
	b->cut |= err != 0;
	return take_off(b, layer, buf_span(out));
}

static bool peel_base64(struct body *b)
{
	struct span s = span_trim(b->bytes);
	struct buf *out = spare(b);

	if (!begins_base64(s))
		return false;
	buf_clear(out);
	if (!base64_decode(s, true, out) || !is_document(buf_span(out)))
		return false;
	return take_off(b, LAYER_BASE64, buf_span(out));
}

/* A byte that says whether it is compressed, and the length: one message, as a body. */
static bool peel_grpc(struct body *b)
{
	struct span s = b->bytes;
	uint32_t n;

	if (s.n < 5 || s.p[0] > 1)
		return false;
	n = (uint32_t)s.p[1] << 24 | (uint32_t)s.p[2] << 16 | (uint32_t)s.p[3] << 8 | s.p[4];
	return n == s.n - 5 && take_off(b, LAYER_GRPC, span_sub(s, 5, SIZE_MAX));
}

/* Behind the number of a Protocol Buffers schema stands which of its messages this is: a count and indexes,
 * as zigzag varints; a lone 0 is the first. */
static bool skip_indexes(struct span *s)
{
	size_t i = 1, n = s->n ? s->p[0] : 1;

	if (n & 1 || n > 32)
		return false;
	for (size_t k = 0; k < n / 2; k++, i++)
		if (i >= s->n || s->p[i] & 0x81)
			return false;
	*s = span_sub(*s, i, SIZE_MAX);
	return true;
}

static bool known_as(uint64_t id, enum schema_kind kind)
{
	const struct schema *sc;

	for (unsigned i = 0; (sc = schemas_find(id, i)); i++)
		if (sc->kind == kind)
			return true;
	return false;
}

/* JSON and Protocol Buffers behind a schema's number; Avro reads the frame itself. */
static bool peel_frame(struct body *b)
{
	struct schema_frame f;
	struct span inner;
	uint64_t id;
	bool avro;

	if (!schema_frame(b->bytes, &f))
		return false;
	b->schema = f.id;
	if (body_format(f.payload, SPAN_EMPTY) == BODY_JSON)
		return take_off(b, LAYER_SCHEMA_ID, f.payload);
	avro = known_as(f.id, SCHEMA_AVRO) && avro_standing(b->bytes, &id) == AVRO_READ;
	inner = f.payload;
	if (!avro && skip_indexes(&inner) && is_protobuf(inner, known_as(f.id, SCHEMA_PROTOBUF))) {
		b->format = BODY_PROTOBUF;
		return take_off(b, LAYER_SCHEMA_ID, inner);
	}
	return false;
}

static bool names(struct span hint, const char *word)
{
	return hint.n && span_find_folded(hint, span_str(word), 0) != NOT_FOUND;
}

/* Takes one layer off; false when there is none, or none that is known. */
static bool peel(struct body *b, const struct body_hints *hints, uint32_t *left)
{
	enum body_layer layer;
	enum packing how;

	if (!b->bytes.n)
		return false;
	if (hints && names(hints->content_type, "grpc") && !b->layers && peel_grpc(b))
		return true;
	switch (b->bytes.p[0]) {
	case 0x00:
		return peel_frame(b);
	case 0x04:
	case 0x1f:
	case 0x28:
	case 0x78:
	case 0x82:
	case 0xff:
		if (is_packed(b->bytes, &how, &layer) && peel_packed(b, how, layer, left))
			return true;
		break;
	}
	/* a block of snappy has no magic */
	if (hints && !b->layers && names(hints->content_encoding, "snappy") &&
		peel_packed(b, PACK_SNAPPY, LAYER_SNAPPY, left))
		return true;
	return peel_base64(b);
}

void body_open_within(
	struct body *b, struct span bytes, const struct body_hints *hints, unsigned layers, uint32_t *left)
{
	memset(b, 0, sizeof(*b));
	b->raw = b->bytes = bytes;
	b->format = BODY_BINARY;
	while (b->layers < layers && b->format == BODY_BINARY && peel(b, hints, left))
		;
	if (b->format == BODY_BINARY)
		b->format = body_format(b->bytes, hints ? hints->content_type : SPAN_EMPTY);
	if (b->format == BODY_AVRO)
		avro_standing(b->bytes, &b->schema);
	else if (!b->layers || b->layer[b->layers - 1] != LAYER_SCHEMA_ID)
		b->schema = 0;
}

void body_open(struct body *b, struct span raw, const struct body_hints *hints)
{
	uint32_t left = BODY_MAX_UNPACK;

	body_open_within(b, raw, hints, BODY_MAX_LAYERS, &left);
}

void body_close(struct body *b)
{
	buf_free(&b->own[0]);
	buf_free(&b->own[1]);
}

int body_scalars(const struct body *b, scalar_fn fn, void *ctx)
{
	int err = body_walk(b->bytes, b->format, fn, ctx);

	return err ? err : b->cut ? -EBADMSG : 0;
}

bool body_is_text(const struct body *b)
{
	return b->format <= BODY_TEXT;
}

const char *body_layer_name(enum body_layer l)
{
	static const char *const names[] = {
		"", "base64", "gzip", "zlib", "zstd", "lz4", "snappy", "grpc", "schema"};

	return l < ARRAY_LEN(names) ? names[l] : "";
}

void body_describe(const struct body *b, struct buf *out)
{
	uint64_t id;

	buf_puts(out, body_format_name(b->format));
	if (b->format == BODY_AVRO) {
		switch (avro_standing(b->bytes, &id)) {
		case AVRO_READ:
			buf_printf(out, " (schema %" PRIu64 ")", id);
			break;
		case AVRO_OTHER:
			buf_printf(out, " (not of the form of schema %" PRIu64 ")", id);
			break;
		case AVRO_UNKNOWN:
			buf_printf(out, " (schema %" PRIu64 " not known)", id);
			break;
		}
	}
	for (unsigned i = b->layers; i-- > 0;)
		if (b->layer[i] == LAYER_SCHEMA_ID)
			buf_printf(out, " (schema %" PRIu64 ")", b->schema);
		else
			buf_printf(out, " in %s", body_layer_name((enum body_layer)b->layer[i]));
	if (b->cut)
		buf_puts(out, ", not all of it could be unpacked");
}

/* --- documents inside of values --- */

/* Walks @b, which was found in a value of the walk's body. */
static void enter(struct walk *w, const struct body *b)
{
	uint16_t n = w->n, leaf = w->leaf;
	uint8_t layers = w->layers;

	w->layers -= b->layers < layers ? b->layers + 1 : layers;
	w->inside++;
	/* what is wrong in there is not this document's fault; its words have the value's name */
	if (b->format == BODY_TEXT || b->format == BODY_FORM)
		walk_emit(w, b->bytes, SCALAR_STRING);
	else
		format_walk(w, b->bytes, b->format);
	w->inside--;
	w->layers = layers;
	w->n = n;
	w->leaf = leaf;
}

static bool json_inside(struct span s)
{
	struct span after;
	uint8_t next;

	if (s.n < 3 || (s.p[0] != '{' && s.p[0] != '[') || s.p[s.n - 1] != s.p[0] + 2)
		return false;
	after = span_trim(span_sub(s, 1, SIZE_MAX));
	next = after.n ? after.p[0] : 0;
	return s.p[0] == '{' ? next == '"' : next == '{' || next == '[';
}

static bool base64_inside(struct span s)
{
	if (!begins_base64(s))
		return false;
	while (s.n && s.p[s.n - 1] == '=')
		s.n--;
	for (size_t i = 4; i < s.n; i++)
		if (base64_bits[s.p[i]] == 0xff && s.p[i] != '\r' && s.p[i] != '\n')
			return false;
	return true;
}

void walk_inside_text(struct walk *w, struct span s)
{
	struct body b;

	if (!w->layers || w->stop)
		return;
	if (json_inside(s)) {
		b.format = BODY_JSON;
		b.layers = 0;
		b.bytes = s;
		enter(w, &b);
	} else if (base64_inside(s)) {
		body_open_within(&b, s, NULL, w->layers, &w->unpack);
		if (b.layers)
			enter(w, &b);
		body_close(&b);
	}
}

bool walk_inside_bytes(struct walk *w, struct span bytes)
{
	struct body b;
	bool is;

	if (!w->layers || w->stop || bytes.n < 4)
		return false;
	body_open_within(&b, bytes, NULL, w->layers, &w->unpack);
	is = b.format != BODY_EMPTY && b.format != BODY_BINARY && (b.layers || b.format != BODY_TEXT) &&
	     b.format != BODY_AVRO;
	if (is)
		enter(w, &b);
	body_close(&b);
	return is;
}

/* --- a quick look --- */

typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* Which halves of 16 bytes are of base64's alphabet from end to end: bits 0 and 1. */
static unsigned halves_in_alphabet(const uint8_t *p)
{
	union {
		bytes16 v;
		uint64_t u[2];
	} x;

	memcpy(&x, p, sizeof(x));
	x.v = (bytes16)(((x.v | 0x20) - 'a' < 26) | (x.v - '/' < 11) | (x.v == '+'));
	return (x.u[0] == UINT64_MAX) | (unsigned)(x.u[1] == UINT64_MAX) << 1;
}

/* The run that holds the 8 bytes at @at, if it is long enough and begins like base64 of a document. What
 * begins further to the left than a run must be long was seen there. */
static bool begins_document(struct span s, size_t at)
{
	size_t from = at, to = at + 8;
	uint8_t first[3];

	while (from && at - from < MIN_BASE64 && base64_bits[s.p[from - 1]] != 0xff)
		from--;
	if (at - from == MIN_BASE64 || !base64_peek(span_sub(s, from, 4), first) || !may_begin(first))
		return false;
	while (to < s.n && to - from < MIN_BASE64 && base64_bits[s.p[to]] != 0xff)
		to++;
	return to - from == MIN_BASE64;
}

/* Is there a run of the alphabet that may be base64 of a document? One of 16 holds 8 bytes that begin at a
 * multiple of 8. */
static bool has_base64(struct span s)
{
	uint8_t last[16] = {0};

	for (size_t i = 0; i + 8 <= s.n; i += 16) {
		unsigned halves;

		if (i + 16 > s.n)
			memcpy(last, s.p + i, s.n - i);
		halves = halves_in_alphabet(i + 16 > s.n ? last : s.p + i);
		if ((halves & 1 && begins_document(s, i)) || (halves & 2 && begins_document(s, i + 8)))
			return true;
	}
	return false;
}

/* Control characters other than a text's, or bytes beyond ASCII: added up without a branch, so that the
 * compiler can do many at a time. */
static bool has_strange(struct span s)
{
	uint8_t any = 0;

	for (size_t i = 0; i < s.n; i++)
		any |= (uint8_t)((s.p[i] < ' ') & (s.p[i] != '\n') & (s.p[i] != '\r') & (s.p[i] != '\t')) |
		       (s.p[i] & 0x80);
	return any;
}

bool body_may_hide(struct span raw)
{
	struct span s = span_trim(raw);
	uint8_t c = s.n ? s.p[0] : 0;

	if (!s.n)
		return false;
	if (c == '{' || c == '[' || c == '<')
		return has_base64(s);
	/* zlib's header may be text, and what follows by bad luck */
	return has_strange(raw) || has_base64(s) || span_starts(s, "x^");
}
