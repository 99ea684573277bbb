/*
 * AMQP 0-9-1 properties and field tables: split, rendered as fields, hashed, edited. Pure.
 *
 * Field values follow RabbitMQ where it differs from the specification's grammar (4.2.1), because every
 * client in use does: 's' is a signed 16-bit integer (not a short string), 'l' a signed 64-bit integer, 'x'
 * bytes, 'V' void.
 */
#include "proto/amqp091.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash.h"
#include "base/rd.h"

#define DEPTH_MAX 32
#define PATH_MAX_ 1024

enum prop_kind {
	KIND_STR,
	KIND_TABLE,
	KIND_OCTET,
	KIND_TIME,
};

static const struct {
	const char *name;
	enum prop_kind kind;
} props[PROP_NR] = {
	[PROP_CONTENT_TYPE] = {"content-type", KIND_STR},
	[PROP_CONTENT_ENCODING] = {"content-encoding", KIND_STR},
	[PROP_HEADERS] = {"headers", KIND_TABLE},
	[PROP_DELIVERY_MODE] = {"delivery-mode", KIND_OCTET},
	[PROP_PRIORITY] = {"priority", KIND_OCTET},
	[PROP_CORRELATION_ID] = {"correlation-id", KIND_STR},
	[PROP_REPLY_TO] = {"reply-to", KIND_STR},
	[PROP_EXPIRATION] = {"expiration", KIND_STR},
	[PROP_MESSAGE_ID] = {"message-id", KIND_STR},
	[PROP_TIMESTAMP] = {"timestamp", KIND_TIME},
	[PROP_TYPE] = {"type", KIND_STR},
	[PROP_USER_ID] = {"user-id", KIND_STR},
	[PROP_APP_ID] = {"app-id", KIND_STR},
	[PROP_CLUSTER_ID] = {"cluster-id", KIND_STR},
};

#define FLAG_UNUSED   0x0002
#define FLAG_CONTINUE 0x0001

static uint16_t prop_flag(int i)
{
	return (uint16_t)(0x8000 >> i);
}

static struct span prop_value(struct rd *r, enum prop_kind kind)
{
	switch (kind) {
	case KIND_STR:
		return rd_span(r, rd_u8(r));
	case KIND_TABLE:
		return rd_span(r, rd_u32(r));
	case KIND_OCTET:
		return rd_span(r, 1);
	case KIND_TIME:
		return rd_span(r, 8);
	}
	return SPAN_EMPTY;
}

int amqp091_props(struct span envelope, struct amqp091_props *ret)
{
	struct amqp091_props out = {0};
	struct rd r = rd_of(envelope);
	uint16_t flags = rd_u16(&r), more = flags;

	/* 4.2.6.1: bit 0 announces another flag word; no property of ours lives in one. */
	while (more & FLAG_CONTINUE && !r.bad) {
		more = rd_u16(&r);
		if (more & ~FLAG_CONTINUE)
			return -EBADMSG;
	}
	if (flags & FLAG_UNUSED)
		return -EBADMSG;
	for (int i = 0; i < PROP_NR; i++) {
		if (!(flags & prop_flag(i)))
			continue;
		out.has[i] = true;
		out.v[i] = prop_value(&r, props[i].kind);
	}
	if (r.bad || rd_left(&r))
		return -EBADMSG;
	*ret = out;
	return 0;
}

/* --- rendering --- */

struct walk {
	field_fn fn; /* NULL: only check */
	void *ctx;
	char path[PATH_MAX_];
	size_t n;
	unsigned depth;
	bool stopped, bad;
};

static bool push(struct walk *w, const char *sep, struct span name)
{
	size_t sep_n = strlen(sep);

	if (!w->fn)
		return true;
	if (w->n + sep_n + name.n > sizeof(w->path))
		return false;
	memcpy(w->path + w->n, sep, sep_n);
	if (name.n)
		memcpy(w->path + w->n + sep_n, name.p, name.n);
	w->n += sep_n + name.n;
	return true;
}

static void give(struct walk *w, struct field f)
{
	if (!w->fn)
		return;
	f.name = span_of(w->path, w->n);
	if (!w->fn(w->ctx, &f))
		w->stopped = true;
}

static void give_int(struct walk *w, int64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%lld", (long long)v);

	give(w, (struct field){.type = FIELD_INT, .text = span_of(text, (size_t)n), .i = v, .d = (double)v});
}

static void give_double(struct walk *w, double v, int digits)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%.*g", digits, v);

	give(w, (struct field){.type = FIELD_DOUBLE, .text = span_of(text, (size_t)n), .d = v});
}

/* The shortest text that reads back as the same float (9 digits always do) or double (17). */
static void give_float(struct walk *w, double v, int first, int last)
{
	char text[32];

	for (int digits = first; digits < last; digits++) {
		double back;

		snprintf(text, sizeof(text), "%.*g", digits, v);
		back = strtod(text, NULL);
		if (last == 9 ? (float)back == (float)v : back == v) {
			give_double(w, v, digits);
			return;
		}
	}
	give_double(w, v, last);
}

static void give_bool(struct walk *w, bool v)
{
	give(w, (struct field){.type = FIELD_BOOL, .text = span_str(v ? "true" : "false"), .i = v});
}

static void give_time(struct walk *w, uint64_t seconds)
{
	struct field f = {.type = FIELD_TIME, .i = (int64_t)seconds, .d = (double)seconds};
	time_t t = (time_t)seconds;
	struct tm tm;
	char text[40];

	/* Some clients put milliseconds here: a year that nobody means is shown as the number it is. */
	if (seconds <= 253402300799ULL && gmtime_r(&t, &tm))
		f.text = span_of(text, strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm));
	else
		f.text = span_of(
			text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)seconds));
	give(w, f);
}

static void give_text(struct walk *w, struct span text)
{
	give(w, (struct field){.type = FIELD_TEXT, .text = text});
}

static void give_decimal(struct walk *w, unsigned scale, int32_t v)
{
	char text[300];
	int n;

	if (scale > 255)
		scale = 255;
	n = snprintf(text, sizeof(text), "%.*f", (int)scale, (double)v / pow(10, scale));
	give(w, (struct field){.type = FIELD_DOUBLE,
			.text = span_of(text, (size_t)n),
			.d = (double)v / pow(10, scale)});
}

static float be_float(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static double be_double(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

static void walk_table(struct walk *w, struct span table, const char *sep);
static void walk_value(struct walk *w, struct rd *r);

static void walk_array(struct walk *w, struct span array)
{
	struct rd r = rd_of(array);
	size_t n = w->n;
	char index[24];

	for (size_t i = 0; rd_left(&r) && !w->stopped && !w->bad; i++) {
		snprintf(index, sizeof(index), "[%zu]", i);
		if (!push(w, index, SPAN_EMPTY)) {
			w->bad = true;
			return;
		}
		walk_value(w, &r);
		w->n = n;
	}
}

/* Nested values: their bytes are taken as one span first, so a lie about a length stays inside. */
static void walk_nested(struct walk *w, struct rd *r, char type)
{
	struct span s = rd_span(r, rd_u32(r));

	if (r->bad || w->depth >= DEPTH_MAX) {
		w->bad = true;
		return;
	}
	w->depth++;
	if (type == 'F')
		walk_table(w, s, ".");
	else
		walk_array(w, s);
	w->depth--;
}

static void walk_number(struct walk *w, struct rd *r, char type)
{
	uint64_t v;
	static const struct {
		char type;
		uint8_t width;
	} widths[] = {{'t', 1}, {'b', 1}, {'B', 1}, {'s', 2}, {'U', 2}, {'u', 2}, {'I', 4}, {'i', 4},
		{'f', 4}, {'l', 8}, {'L', 8}, {'d', 8}, {'T', 8}};
	size_t i = 0;

	while (i < ARRAY_LEN(widths) && widths[i].type != type)
		i++;
	if (i == ARRAY_LEN(widths)) {
		w->bad = true;
		return;
	}
	v = rd_be(r, widths[i].width);
	if (r->bad)
		return;
	switch (type) {
	case 't':
		give_bool(w, v != 0);
		break;
	case 'b':
		give_int(w, (int8_t)v);
		break;
	case 's':
	case 'U':
		give_int(w, (int16_t)v);
		break;
	case 'I':
		give_int(w, (int32_t)v);
		break;
	case 'f':
		give_float(w, (double)be_float((uint32_t)v), 6, 9);
		break;
	case 'd':
		give_float(w, be_double(v), 15, 17);
		break;
	case 'T':
		give_time(w, v);
		break;
	default: /* B u i l L: fit or are signed 64-bit already */
		give_int(w, (int64_t)v);
	}
}

static void walk_value(struct walk *w, struct rd *r)
{
	char type = (char)rd_u8(r);
	struct span s;
	unsigned scale;

	switch (type) {
	case 'S':
	case 'x':
		s = rd_span(r, rd_u32(r));
		if (!r->bad)
			give_text(w, s);
		break;
	case 'F':
	case 'A':
		walk_nested(w, r, type);
		break;
	case 'D':
		scale = rd_u8(r);
		s = rd_span(r, 4);
		if (!r->bad) {
			struct rd v = rd_of(s);

			give_decimal(w, scale, (int32_t)rd_u32(&v));
		}
		break;
	case 'V':
		give(w, (struct field){.type = FIELD_NULL, .text = span_str("null")});
		break;
	default:
		walk_number(w, r, type);
	}
	if (r->bad)
		w->bad = true;
}

static void walk_table(struct walk *w, struct span table, const char *sep)
{
	struct rd r = rd_of(table);
	size_t n = w->n;

	while (rd_left(&r) && !w->stopped && !w->bad) {
		struct span name = rd_span(&r, rd_u8(&r));

		if (r.bad || !push(w, sep, name)) {
			w->bad = true;
			return;
		}
		walk_value(w, &r);
		w->n = n;
	}
}

static void give_prop(struct walk *w, int i, struct span v)
{
	struct rd r = rd_of(v);

	w->n = 0;
	if (i == PROP_HEADERS) {
		push(w, "header", SPAN_EMPTY);
		walk_table(w, v, ".");
		return;
	}
	push(w, props[i].name, SPAN_EMPTY);
	switch (props[i].kind) {
	case KIND_OCTET:
		give_int(w, rd_u8(&r));
		break;
	case KIND_TIME:
		give_time(w, rd_u64(&r));
		break;
	default:
		give_text(w, v);
	}
}

int amqp091_fields(struct span envelope, field_fn fn, void *ctx)
{
	struct walk w = {.fn = fn, .ctx = ctx};
	struct amqp091_props p;
	bool bad = false;

	if (!envelope.n)
		return 0;
	if (amqp091_props(envelope, &p))
		return -EBADMSG;
	for (int i = 0; i < PROP_NR && !w.stopped; i++) {
		if (!p.has[i])
			continue;
		give_prop(&w, i, p.v[i]);
		bad |= w.bad;
		w.bad = false; /* a broken table ends at its own length: the properties behind it are good */
	}
	return bad ? -EBADMSG : 0;
}

int amqp091_args(struct span table, field_fn fn, void *ctx)
{
	struct walk w = {.fn = fn, .ctx = ctx};

	walk_table(&w, table, "");
	return w.bad ? -EBADMSG : 0;
}

bool amqp091_table_valid(struct span table)
{
	struct walk w = {0};

	walk_table(&w, table, "");
	return !w.bad;
}

/* --- entries, hash, edit --- */

int amqp091_table_each(struct span table, amqp091_entry_fn fn, void *ctx)
{
	struct walk w = {0};
	struct rd r = rd_of(table);

	while (rd_left(&r)) {
		const uint8_t *start = r.p;
		struct span name = rd_span(&r, rd_u8(&r));

		walk_value(&w, &r);
		if (w.bad)
			return -EBADMSG;
		if (!fn(ctx, name, span_of(start, (size_t)(r.p - start))))
			return 0;
	}
	return 0;
}

/*
 * Headers that brokers and evtrace add or change between two hops of one message: dead-lettering (x-death and
 * its first and last summaries; CC is removed with a new routing key, BCC always), quorum queues' counters,
 * and replay's mark.
 */
static bool unstable_header(struct span name)
{
	static const char *const exact[] = {
		"x-death", "CC", "BCC", "x-delivery-count", "x-acquired-count", REPLAY_MARK};

	for (size_t i = 0; i < ARRAY_LEN(exact); i++)
		if (span_is(name, exact[i]))
			return true;
	return span_starts(name, "x-first-death-") || span_starts(name, "x-last-death-");
}

struct hasher {
	uint64_t seed, sum;
};

static bool hash_header(void *ctx, struct span name, struct span raw)
{
	struct hasher *h = ctx;

	if (!unstable_header(name))
		h->sum += hash_span(raw, h->seed);
	return true;
}

/* A sum, because RabbitMQ sorts a table when it changes it: the order of headers is not stable. */
#define DIRECT_REPLY_TO "amq.rabbitmq.reply-to"

uint64_t amqp091_stable_hash(struct span envelope, uint64_t seed)
{
	struct hasher h = {.seed = hash_u64(seed + PROP_NR)};
	struct amqp091_props p;

	if (!envelope.n)
		return hash_u64(seed);
	if (amqp091_props(envelope, &p))
		return hash_span(envelope, seed);
	/* RabbitMQ's direct reply-to: the broker makes a name of its own from this one. */
	if (span_starts(p.v[PROP_REPLY_TO], DIRECT_REPLY_TO))
		p.v[PROP_REPLY_TO].n = sizeof(DIRECT_REPLY_TO) - 1;
	for (int i = 0; i < PROP_NR; i++)
		/* Dead-lettering takes the expiration away. */
		if (p.has[i] && i != PROP_HEADERS && i != PROP_EXPIRATION)
			h.sum += hash_span(p.v[i], hash_u64(seed + (uint64_t)i + 1));
	if (p.has[PROP_HEADERS] && amqp091_table_each(p.v[PROP_HEADERS], hash_header, &h))
		h.sum += hash_span(p.v[PROP_HEADERS], seed);
	return hash_u64(h.sum ^ seed);
}

struct editor {
	amqp091_drop_fn drop;
	void *ctx;
	struct buf *out;
};

static bool keep_header(void *ctx, struct span name, struct span raw)
{
	struct editor *e = ctx;

	if (!e->drop || !e->drop(e->ctx, name))
		buf_put_span(e->out, raw);
	return true;
}

static void put_be(struct buf *b, uint64_t v, unsigned width)
{
	while (width--)
		buf_putc(b, (char)(v >> 8 * width));
}

static void put_prop(struct buf *out, int i, struct span v)
{
	if (props[i].kind == KIND_STR)
		put_be(out, v.n, 1);
	buf_put_span(out, v);
}

static int put_headers(struct editor *e, struct span table, const char *add_name, struct span add_value)
{
	size_t at = e->out->n, n;
	uint8_t *len;

	put_be(e->out, 0, 4);
	if (amqp091_table_each(table, keep_header, e))
		return -EBADMSG;
	if (add_name) {
		put_be(e->out, strlen(add_name), 1);
		buf_puts(e->out, add_name);
		buf_putc(e->out, 'S');
		put_be(e->out, add_value.n, 4);
		buf_put_span(e->out, add_value);
	}
	if (!buf_ok(e->out))
		return -ENOMEM;
	n = e->out->n - at - 4;
	len = e->out->p + at;
	for (int i = 0; i < 4; i++)
		len[i] = (uint8_t)(n >> (24 - 8 * i));
	return 0;
}

int amqp091_edit_headers(struct span envelope, amqp091_drop_fn drop, void *ctx, const char *add_name,
	struct span add_value, struct buf *out)
{
	struct editor e = {drop, ctx, out};
	struct amqp091_props p = {0};
	uint16_t flags = 0;
	int err;

	if (envelope.n && amqp091_props(envelope, &p))
		return -EBADMSG;
	if (add_name)
		p.has[PROP_HEADERS] = true;
	for (int i = 0; i < PROP_NR; i++)
		if (p.has[i])
			flags |= prop_flag(i);
	put_be(out, flags, 2);
	for (int i = 0; i < PROP_NR; i++) {
		if (!p.has[i])
			continue;
		if (i != PROP_HEADERS) {
			put_prop(out, i, p.v[i]);
			continue;
		}
		err = put_headers(&e, p.v[i], add_name, add_value);
		if (err)
			return err;
	}
	return buf_ok(out) ? 0 : -ENOMEM;
}
