/*
 * Avro's binary form: framed as Confluent and Apicurio send it (a zero byte, the schema's number, one datum),
 * and object container files, which bring their schema along.
 *
 * A datum says nothing about itself: it is read with a schema or not at all. One whose schema is not known
 * gives the texts that stand in it, without names. Values may take no bytes (null, an empty record), so that
 * neither counts nor a schema that multiplies itself are bounded by the body: steps are.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/le.h"
#include "base/unpack.h"
#include "extract/avro.h"
#include "extract/walk.h"

#define MAX_STEPS  (1u << 20)
#define MAX_SCHEMA (64 * 1024)

struct datum {
	const struct avro *a;
	struct walk *w;
	struct span s;
	uint32_t steps;
};

/* Zigzag varint. 0, -ENODATA, -EBADMSG. */
static int read_long(struct span *s, int64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s->n && i < 10; i++) {
		v |= (uint64_t)(s->p[i] & 0x7f) << (7 * i);
		if (s->p[i] & 0x80)
			continue;
		*s = span_sub(*s, i + 1, SIZE_MAX);
		*ret = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
		return 0;
	}
	return s->n < 10 ? -ENODATA : -EBADMSG;
}

static int take(struct span *s, uint64_t n, struct span *ret)
{
	if (n > s->n)
		return -ENODATA;
	*ret = span_sub(*s, 0, n);
	*s = span_sub(*s, n, SIZE_MAX);
	return 0;
}

/* Bytes behind their length. */
static int read_bytes(struct span *s, struct span *ret)
{
	int64_t n;
	int err = read_long(s, &n);

	if (err)
		return err;
	return n < 0 || n >> 31 ? -EBADMSG : take(s, (uint64_t)n, ret);
}

/* --- values --- */

static int value(struct datum *d, uint32_t type, unsigned depth);

/* "-123.45" of an integer in big-endian two's complement; hex where it is wider than any amount. */
static void decimal(struct walk *w, struct span s, unsigned scale)
{
	char digits[48], text[64];
	unsigned __int128 v = 0;
	size_t n = sizeof(digits), out = 0;
	bool negative = s.n && s.p[0] & 0x80;

	if (!s.n || s.n > 16 || scale > 38) {
		walk_bytes(w, s);
		return;
	}
	for (size_t i = 0; i < s.n; i++)
		v = v << 8 | (uint8_t)(negative ? ~s.p[i] : s.p[i]);
	v += negative;
	do {
		digits[--n] = (char)('0' + (unsigned)(v % 10));
		v /= 10;
	} while (v || sizeof(digits) - n <= scale);
	if (negative)
		text[out++] = '-';
	for (; n < sizeof(digits); n++) {
		if (scale && sizeof(digits) - n == scale)
			text[out++] = '.';
		text[out++] = digits[n];
	}
	walk_emit(w, span_of(text, out), SCALAR_NUMBER);
}

static int bytes(struct datum *d, const struct avro_type *t)
{
	struct span s;
	int err = t->kind == AVRO_FIXED ? take(&d->s, t->size, &s) : read_bytes(&d->s, &s);

	if (err)
		return err;
	if (t->decimal)
		decimal(d->w, s, t->scale);
	else
		walk_bytes(d->w, s);
	return 0;
}

static int text(struct datum *d)
{
	struct span s;
	int err = read_bytes(&d->s, &s);

	if (err)
		return err;
	for (size_t i = 0, n; i < s.n; i += n) {
		n = utf8_len(span_sub(s, i, 4));
		if (!n)
			return -EBADMSG;
	}
	walk_text(d->w, s);
	return 0;
}

static int floating(struct datum *d, size_t width)
{
	struct span s;
	int err = take(&d->s, width, &s);
	double v;
	float f;

	if (err)
		return err;
	memcpy(&f, s.p, sizeof(f));
	if (width == 8)
		memcpy(&v, s.p, sizeof(v));
	else
		v = (double)f;
	walk_double(d->w, v);
	return 0;
}

static int integer(struct datum *d, bool wide)
{
	int64_t v;
	int err = read_long(&d->s, &v);

	if (err)
		return err;
	if (!wide && (v < INT32_MIN || v > INT32_MAX))
		return -EBADMSG;
	walk_int(d->w, v);
	return 0;
}

/* A symbol's or branch's number. */
static int choice(struct datum *d, const struct avro_type *t, const struct avro_part **ret)
{
	int64_t v;
	int err = read_long(&d->s, &v);

	if (err)
		return err;
	if (v < 0 || v >= t->parts)
		return -EBADMSG;
	*ret = &d->a->part[t->part + v];
	return 0;
}

static int fields(struct datum *d, const struct avro_type *t, unsigned depth)
{
	uint16_t n = d->w->n, leaf = d->w->leaf;
	int err = 0;

	for (uint32_t i = 0; i < t->parts && !err && !d->w->stop; i++) {
		const struct avro_part *f = &d->a->part[t->part + i];

		walk_push_name(d->w, '.', f->name);
		err = value(d, f->type, depth + 1);
		d->w->n = n;
		d->w->leaf = leaf;
	}
	return err;
}

/* The next block's number of elements; a negative one is followed by the block's size in bytes. */
static int block(struct datum *d, int64_t *ret)
{
	int64_t size;
	int err = read_long(&d->s, ret);

	if (err || *ret >= 0)
		return err;
	if (*ret == INT64_MIN)
		return -EBADMSG;
	*ret = -*ret;
	err = read_long(&d->s, &size);
	return err ? err : size < 0 ? -EBADMSG : 0;
}

static int elements(struct datum *d, const struct avro_type *t, unsigned depth)
{
	uint32_t element = d->a->part[t->part].type, index = 0;
	uint16_t n = d->w->n, leaf = d->w->leaf;
	int64_t count;
	int err;

	while (!(err = block(d, &count)) && count) {
		for (int64_t i = 0; i < count && !err && !d->w->stop; i++) {
			struct span key;

			if (t->kind == AVRO_ARRAY)
				walk_push_index(d->w, index++);
			else if (!(err = read_bytes(&d->s, &key)))
				walk_push_name(d->w, '.', key);
			if (!err)
				err = value(d, element, depth + 1);
			d->w->n = n;
			d->w->leaf = leaf;
		}
		if (err || d->w->stop)
			break;
	}
	return err;
}

static int boolean(struct datum *d)
{
	struct span s;
	int err = take(&d->s, 1, &s);

	if (err)
		return err;
	if (s.p[0] > 1)
		return -EBADMSG;
	walk_bool(d->w, s.p[0]);
	return 0;
}

static int value(struct datum *d, uint32_t type, unsigned depth)
{
	const struct avro_type *t = &d->a->type[type];
	const struct avro_part *part;
	int err;

	if (depth > WALK_MAX_DEPTH || !d->steps--) {
		d->steps = 0;
		return -EBADMSG;
	}
	switch ((enum avro_kind)t->kind) {
	case AVRO_NULL:
		walk_null(d->w);
		return 0;
	case AVRO_BOOLEAN:
		return boolean(d);
	case AVRO_INT:
	case AVRO_LONG:
		return integer(d, t->kind == AVRO_LONG);
	case AVRO_FLOAT:
	case AVRO_DOUBLE:
		return floating(d, t->kind == AVRO_FLOAT ? 4 : 8);
	case AVRO_BYTES:
	case AVRO_FIXED:
		return bytes(d, t);
	case AVRO_STRING:
		return text(d);
	case AVRO_RECORD:
		return fields(d, t, depth);
	case AVRO_ENUM:
		err = choice(d, t, &part);
		if (!err)
			walk_emit(d->w, part->name, SCALAR_STRING);
		return err;
	case AVRO_ARRAY:
	case AVRO_MAP:
		return elements(d, t, depth);
	case AVRO_UNION:
		err = choice(d, t, &part);
		return err ? err : value(d, part->type, depth + 1);
	}
	return -EBADMSG;
}

/* --- framed --- */

bool schema_frame(struct span body, struct schema_frame *ret)
{
	uint64_t id = 0;

	if (body.n < 6 || body.p[0])
		return false;
	for (size_t i = 1; i < 5; i++)
		id = id << 8 | body.p[i];
	*ret = (struct schema_frame){id, span_sub(body, 5, SIZE_MAX)};
	if (id || body.n < 10)
		return id;
	/* Apicurio's older clients send 8 bytes */
	for (size_t i = 5; i < 9; i++)
		id = id << 8 | body.p[i];
	*ret = (struct schema_frame){id, span_sub(body, 9, SIZE_MAX)};
	return id;
}

/* Does the datum @s have the form of @a, to its end or to where it is cut? */
static bool fits(const struct avro *a, struct span s)
{
	struct walk w;
	struct datum d = {.a = a, .w = &w, .s = s, .steps = MAX_STEPS};
	int err;

	walk_dry(&w);
	err = value(&d, a->root, 0);
	return err == -ENODATA || (!err && !d.s.n);
}

static const struct schema *fitting(uint64_t id, struct span datum)
{
	const struct schema *sc;

	for (unsigned i = 0; (sc = schemas_find(id, i)); i++)
		if (sc->kind == SCHEMA_AVRO && fits(sc->avro, datum))
			return sc;
	return NULL;
}

/*
 * Texts behind a length that is theirs, where the schema is not known. Returns how many. What is looked at
 * twice is bounded: lengths that promise much text would make it quadratic.
 */
static unsigned loose_texts(struct walk *w, struct span s)
{
	size_t budget = 16 * s.n;
	unsigned found = 0;

	while (s.n > 3 && !w->stop && budget) {
		struct span rest = s, t;

		if (!read_bytes(&rest, &t) && t.n >= 3) {
			budget -= t.n < budget ? t.n : budget;
			if (span_is_text(t)) {
				walk_text(w, t);
				found++;
				s = rest;
				continue;
			}
		}
		s = span_sub(s, 1, SIZE_MAX);
	}
	return found;
}

bool is_avro(struct span body)
{
	struct schema_frame f;
	struct walk w;

	if (!schema_frame(body, &f))
		return false;
	if (fitting(f.id, f.payload))
		return true;
	walk_dry(&w);
	return f.id < 1 << 24 && loose_texts(&w, f.payload);
}

enum avro_standing avro_standing(struct span body, uint64_t *ret_id)
{
	struct schema_frame f = {0};

	schema_frame(body, &f);
	*ret_id = f.id;
	return fitting(f.id, f.payload) ? AVRO_READ : schemas_find(f.id, 0) ? AVRO_OTHER : AVRO_UNKNOWN;
}

int avro_walk(struct walk *w, struct span body)
{
	struct schema_frame f;
	const struct schema *sc;
	struct datum d;

	if (!schema_frame(body, &f))
		return -EBADMSG;
	sc = fitting(f.id, f.payload);
	if (!sc) {
		loose_texts(w, f.payload);
		return 0;
	}
	d = (struct datum){.a = sc->avro, .w = w, .s = f.payload, .steps = MAX_STEPS};
	return value(&d, sc->avro->root, 0) ? -EBADMSG : 0;
}

/* --- container files --- */

enum codec {
	CODEC_NULL,
	CODEC_DEFLATE,
	CODEC_SNAPPY,
	CODEC_ZSTD,
	CODEC_OTHER,
};

struct file {
	struct walk *w;
	struct span s, sync, schema;
	enum codec codec;
	struct avro *a;
	struct buf plain;
};

static enum codec codec_of(struct span name)
{
	return !name.n || span_is(name, "null") ? CODEC_NULL
	       : span_is(name, "deflate")       ? CODEC_DEFLATE
	       : span_is(name, "snappy")        ? CODEC_SNAPPY
	       : span_is(name, "zstandard")     ? CODEC_ZSTD
						: CODEC_OTHER;
}

/* Magic, a map of bytes, 16 bytes that stand behind each block. */
static int file_header(struct file *f)
{
	struct datum d = {.s = span_sub(f->s, 4, SIZE_MAX)};
	struct span codec = SPAN_EMPTY;
	int64_t count;
	int err;

	while (!(err = block(&d, &count)) && count)
		for (int64_t i = 0; i < count && !err; i++) {
			struct span key, v;

			err = read_bytes(&d.s, &key);
			if (!err)
				err = read_bytes(&d.s, &v);
			if (!err && span_is(key, "avro.schema"))
				f->schema = v;
			else if (!err && span_is(key, "avro.codec"))
				codec = v;
			if (err)
				return err;
		}
	f->codec = codec_of(codec);
	if (!err)
		err = take(&d.s, 16, &f->sync);
	f->s = d.s;
	return err;
}

/* The block's bytes without their packing. */
static int unpacked(struct file *f, struct span *s)
{
	enum packing how = f->codec == CODEC_DEFLATE  ? PACK_DEFLATE
			   : f->codec == CODEC_SNAPPY ? PACK_SNAPPY
						      : PACK_ZSTD;
	size_t limit = f->w->unpack;
	int err;

	if (f->codec == CODEC_NULL)
		return 0;
	buf_clear(&f->plain);
	if (f->codec == CODEC_SNAPPY)
		s->n -= s->n < 4 ? s->n : 4; /* a checksum of what was packed */
	err = f->codec == CODEC_OTHER ? -EBADMSG : unpack(how, *s, &f->plain, unpack_limit(s->n, limit));
	f->w->unpack -= (uint32_t)f->plain.n;
	*s = buf_span(&f->plain);
	return err;
}

/* Each object is a document of its own, as in a row of JSON documents. */
static int file_block(struct file *f, uint32_t *steps)
{
	uint16_t n = f->w->n, leaf = f->w->leaf;
	struct datum d = {.a = f->a, .w = f->w, .steps = *steps};
	int64_t count, size;
	struct span sync;
	int err = read_long(&f->s, &count), cut = 0;

	if (!err)
		err = read_long(&f->s, &size);
	if (err || count < 0 || size < 0)
		return err ? err : -EBADMSG;
	if (take(&f->s, (uint64_t)size, &d.s)) {
		d.s = f->s;
		cut = -ENODATA;
	}
	err = unpacked(f, &d.s);
	if (err && !d.s.n)
		return err;
	for (int64_t i = 0; i < count && !f->w->stop; i++) {
		int bad = value(&d, f->a->root, 0);

		f->w->n = n;
		f->w->leaf = leaf;
		if (bad)
			return bad;
	}
	*steps = d.steps;
	if (!err && !cut && !f->w->stop)
		err = d.s.n || take(&f->s, 16, &sync) || !span_eq(sync, f->sync) ? -EBADMSG : 0;
	return cut ? cut : err;
}

int avro_file_walk(struct walk *w, struct span body)
{
	struct file f = {.w = w, .s = body};
	uint32_t steps = MAX_STEPS;
	int err = span_starts(body, "Obj\x01") ? file_header(&f) : -EBADMSG;

	if (!err)
		f.a = avro__parse(f.schema);
	if (!err && !f.a)
		err = -EBADMSG;
	while (!err && f.s.n && !w->stop)
		err = file_block(&f, &steps);
	avro__free(f.a);
	buf_free(&f.plain);
	return err ? -EBADMSG : 0;
}
