/* Builds Kafka's byte strings for tests: requests, responses, batches of records, whole conversations. */
#ifndef EVTRACE_TESTS_KAFKA_WIRE_H
#define EVTRACE_TESTS_KAFKA_WIRE_H

#include <stdarg.h>

#include "proto/talk.h"

static inline void be(struct buf *b, uint64_t v, unsigned width)
{
	while (width--)
		buf_putc(b, (char)(v >> 8 * width));
}

static inline void uvarint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_putc(b, (char)(v | 0x80));
	buf_putc(b, (char)v);
}

static inline void varint(struct buf *b, int64_t v)
{
	uvarint(b, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

/*
 * @fmt: o 8, h 16, l 32 bits (int), L 64 bits (long long); s string, c compact string (const char *, NULL:
 * null); B bytes, C compact bytes, T as they are (struct span); u unsigned varint (int); t no tags; i id (16
 * chars).
 */
static inline void vput(struct buf *b, const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		const char *text;
		struct span s;

		switch (*fmt) {
		case 'o':
			be(b, (uint64_t)va_arg(ap, int), 1);
			break;
		case 'h':
			be(b, (uint64_t)va_arg(ap, int), 2);
			break;
		case 'l':
			be(b, (uint64_t)va_arg(ap, int), 4);
			break;
		case 'L':
			be(b, (uint64_t)va_arg(ap, long long), 8);
			break;
		case 's':
			text = va_arg(ap, const char *);
			be(b, text ? strlen(text) : 0xffff, 2);
			buf_puts(b, text ? text : "");
			break;
		case 'c':
			text = va_arg(ap, const char *);
			uvarint(b, text ? strlen(text) + 1 : 0);
			buf_puts(b, text ? text : "");
			break;
		case 'B':
			s = va_arg(ap, struct span);
			be(b, s.n, 4);
			buf_put_span(b, s);
			break;
		case 'C':
			s = va_arg(ap, struct span);
			uvarint(b, s.n + 1);
			buf_put_span(b, s);
			break;
		case 'T':
			buf_put_span(b, va_arg(ap, struct span));
			break;
		case 'u':
			uvarint(b, (uint64_t)va_arg(ap, int));
			break;
		case 't':
			buf_putc(b, 0);
			break;
		case 'i':
			buf_put(b, va_arg(ap, const char *), 16);
			break;
		default:
			abort();
		}
	}
}

static inline void put(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vput(b, fmt, ap);
	va_end(ap);
}

static inline void framed(struct buf *b, struct buf *body)
{
	be(b, body->n, 4);
	buf_put_span(b, buf_span(body));
	buf_free(body);
}

/* A leading 't' in @fmt: the header of a flexible version. Client id: "shop". */
static inline void ask(struct buf *b, int key, int version, int correlation, const char *fmt, ...)
{
	struct buf body = {0};
	va_list ap;

	put(&body, "hhls", key, version, correlation, "shop");
	va_start(ap, fmt);
	vput(&body, fmt, ap);
	va_end(ap);
	framed(b, &body);
}

static inline void answer(struct buf *b, int correlation, const char *fmt, ...)
{
	struct buf body = {0};
	va_list ap;

	be(&body, (uint64_t)correlation, 4);
	va_start(ap, fmt);
	vput(&body, fmt, ap);
	va_end(ap);
	framed(b, &body);
}

/* --- records --- */

#define MAX_RECORDS 16

struct batch {
	long long base, timestamp, producer;
	int epoch, sequence, attributes, n;
	long long last; /* offset delta; 0: n - 1 */
	struct buf records;
};

/* `producer` 0: not idempotent. */
#define BATCH(...) ((struct batch){.timestamp = 1700000000000LL, __VA_ARGS__})

static inline void var_text(struct buf *b, const char *s)
{
	varint(b, s ? (int64_t)strlen(s) : -1);
	buf_puts(b, s ? s : "");
}

/* @header: "name=value", NULL none. */
static inline void record(struct batch *b, const char *key, const char *value, const char *header)
{
	struct buf r = {0};

	be(&r, 0, 1);
	varint(&r, b->n * 10);
	varint(&r, b->n);
	var_text(&r, key);
	var_text(&r, value);
	varint(&r, header ? 1 : 0);
	if (header) {
		size_t n = strcspn(header, "=");

		varint(&r, (int64_t)n);
		buf_put(&r, header, n);
		var_text(&r, header + n + 1);
	}
	varint(&b->records, (int64_t)r.n);
	buf_put_span(&b->records, buf_span(&r));
	buf_free(&r);
	b->n++;
}

/* Consumes @b; appends it to @out. @packed: the records as they are to stand there. */
static inline void batch_put(struct buf *out, struct batch *b, struct span packed)
{
	struct span s = packed.n ? packed : buf_span(&b->records);

	put(out, "LllolhlLLLhll", b->base, (int)(49 + s.n), 0, 2, 0x1234, b->attributes,
		(int)(b->last ? b->last : b->n - 1), b->timestamp, b->timestamp + 10LL * (b->n - 1),
		b->producer ? b->producer : -1LL, b->producer ? b->epoch : -1, b->producer ? b->sequence : -1,
		b->n);
	buf_put_span(out, s);
	buf_free(&b->records);
}

/* A message of format v0 or v1. */
static inline void message(
	struct buf *out, int magic, int attributes, long long offset, const char *key, struct span value)
{
	struct buf m = {0};

	put(&m, "loo", 0x1234, magic, attributes);
	if (magic)
		put(&m, "L", 1700000000000LL);
	be(&m, key ? strlen(key) : 0xffffffff, 4);
	buf_puts(&m, key ? key : "");
	put(&m, "B", value);
	put(out, "LB", offset, buf_span(&m));
	buf_free(&m);
}

#endif
