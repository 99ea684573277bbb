/* Builds AMQP 0-9-1 byte strings for tests: arguments, methods, contents, whole conversations. */
#ifndef EVTRACE_TESTS_AMQP091_WIRE_H
#define EVTRACE_TESTS_AMQP091_WIRE_H

#include <stdarg.h>

#include "proto/talk.h"

static inline void be(struct buf *b, uint64_t v, unsigned width)
{
	while (width--)
		buf_putc(b, (char)(v >> 8 * width));
}

static inline void shortstr(struct buf *b, const char *s)
{
	be(b, strlen(s), 1);
	buf_puts(b, s);
}

static inline void longstr(struct buf *b, struct span s)
{
	be(b, s.n, 4);
	buf_put_span(b, s);
}

static inline void frame(struct buf *b, int type, int channel, struct span payload)
{
	be(b, (uint64_t)type, 1);
	be(b, (uint64_t)channel, 2);
	longstr(b, payload);
	be(b, 0xce, 1);
}

/*
 * A method frame. @fmt: o octet, h 16, l 32, L 64 bits (all int, L uint64_t), s const char *, S const char *,
 * T struct span (table), b bit octet (already packed, int).
 */
static inline void method(struct buf *b, int channel, int class, int id, const char *fmt, ...)
{
	struct buf p = {0};
	va_list ap;

	be(&p, (uint64_t) class, 2);
	be(&p, (uint64_t)id, 2);
	va_start(ap, fmt);
	for (; *fmt; fmt++) {
		switch (*fmt) {
		case 'o':
		case 'b':
			be(&p, (uint64_t)va_arg(ap, int), 1);
			break;
		case 'h':
			be(&p, (uint64_t)va_arg(ap, int), 2);
			break;
		case 'l':
			be(&p, (uint64_t)va_arg(ap, int), 4);
			break;
		case 'L':
			be(&p, va_arg(ap, uint64_t), 8);
			break;
		case 's':
			shortstr(&p, va_arg(ap, const char *));
			break;
		case 'S':
			longstr(&p, span_str(va_arg(ap, const char *)));
			break;
		default:
			longstr(&p, va_arg(ap, struct span));
		}
	}
	va_end(ap);
	frame(b, 1, channel, buf_span(&p));
	buf_free(&p);
}

/* Header and body frames; @envelope empty: no properties. A frame holds @max bytes of body at most. */
static inline void content(struct buf *b, int channel, struct span envelope, struct span body, size_t max)
{
	struct buf p = {0};

	be(&p, 60, 2);
	be(&p, 0, 2);
	be(&p, body.n, 8);
	if (envelope.n)
		buf_put_span(&p, envelope);
	else
		be(&p, 0, 2);
	frame(b, 2, channel, buf_span(&p));
	buf_free(&p);
	for (size_t at = 0; at < body.n; at += max)
		frame(b, 3, channel, span_sub(body, at, max));
}

static inline void publish(
	struct buf *b, int ch, const char *exchange, const char *key, int bits, const char *body)
{
	method(b, ch, 60, 40, "hssb", 0, exchange, key, bits);
	content(b, ch, SPAN_EMPTY, span_str(body), 1000);
}

static inline void deliver(struct buf *b, int ch, const char *consumer, uint64_t tag, int redelivered,
	const char *exchange, const char *key, const char *body)
{
	method(b, ch, 60, 60, "sLbss", consumer, tag, redelivered, exchange, key);
	content(b, ch, SPAN_EMPTY, span_str(body), 1000);
}

static inline void ack(struct buf *b, int ch, uint64_t tag, int multiple)
{
	method(b, ch, 60, 80, "Lb", tag, multiple);
}

/* Table entries. */
static inline void entry(struct buf *b, const char *name, char type)
{
	shortstr(b, name);
	buf_putc(b, type);
}

static inline void entry_str(struct buf *b, const char *name, const char *value)
{
	entry(b, name, 'S');
	longstr(b, span_str(value));
}

/* Everything up to open-ok, as guest on vhost "shop", and channel 1. */
static inline void handshake(struct talk *t, int frame_max)
{
	static const char plain[] = "\0guest\0hunter2";
	struct buf *b = client(t);

	buf_put(b, "AMQP\0\0\11\1", 8);
	method(server(t), 0, 10, 10, "ooTSS", 0, 9, SPAN_EMPTY, "PLAIN AMQPLAIN", "en_US");
	method(client(t), 0, 10, 11, "TsTs", SPAN_EMPTY, "PLAIN", span_of(plain, sizeof(plain) - 1), "en_US");
	method(server(t), 0, 10, 30, "hlh", 2047, frame_max, 60);
	method(client(t), 0, 10, 31, "hlh", 2047, frame_max, 60);
	method(client(t), 0, 10, 40, "ssb", "shop", "", 0);
	method(server(t), 0, 10, 41, "s", "");
	method(client(t), 1, 20, 10, "s", "");
	method(server(t), 1, 20, 11, "S", "");
}

#endif
