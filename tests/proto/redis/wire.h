/* Builds RESP for tests: commands, and conversations that the redis tests feed in every way. */
#ifndef EVTRACE_TESTS_REDIS_WIRE_H
#define EVTRACE_TESTS_REDIS_WIRE_H

#include <stdarg.h>

#include "base/buf.h"
#include "stream/stream.h"

#define TURNS 64

struct talk {
	struct turn {
		enum flowdir dir;
		struct buf b;
	} turn[TURNS];
	size_t n;
};

static inline struct buf *talk_in(struct talk *t, enum flowdir dir)
{
	if (!t->n || t->turn[t->n - 1].dir != dir)
		t->turn[t->n++].dir = dir;
	return &t->turn[t->n - 1].b;
}

/* A command of words, one text separated by spaces. */
static inline void ask(struct talk *t, const char *words)
{
	struct buf *b = talk_in(t, TO_SERVER);
	unsigned n = 1;

	for (const char *p = words; *p; p++)
		n += *p == ' ';
	buf_printf(b, "*%u\r\n", n);
	while (n--) {
		size_t len = strcspn(words, " ");

		buf_printf(b, "$%zu\r\n%.*s\r\n", len, (int)len, words);
		words += len + (words[len] == ' ');
	}
}

static inline void ask_raw(struct talk *t, const char *bytes)
{
	buf_puts(talk_in(t, TO_SERVER), bytes);
}

static inline void say(struct talk *t, const char *bytes)
{
	buf_puts(talk_in(t, TO_CLIENT), bytes);
}

/* An array of strings: the same as a command, from the other side. */
static inline void say_words(struct talk *t, const char *words)
{
	struct buf *b = talk_in(t, TO_CLIENT);
	struct talk other = {0};

	ask(&other, words);
	buf_put_span(b, buf_span(&other.turn[0].b));
	buf_free(&other.turn[0].b);
}

static inline void talk_free(struct talk *t)
{
	for (size_t i = 0; i < t->n; i++)
		buf_free(&t->turn[i].b);
	*t = (struct talk){0};
}

#endif
