/* Builds RESP for tests: commands and answers. */
#ifndef EVTRACE_TESTS_REDIS_WIRE_H
#define EVTRACE_TESTS_REDIS_WIRE_H

#include "proto/talk.h"

/* A command of words, one text separated by spaces. */
static inline void ask(struct talk *t, const char *words)
{
	struct buf *b = client(t);
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
	buf_puts(client(t), bytes);
}

static inline void say(struct talk *t, const char *bytes)
{
	buf_puts(server(t), bytes);
}

/* An array of strings: the same as a command, from the other side. */
static inline void say_words(struct talk *t, const char *words)
{
	struct buf *b = server(t);
	struct talk other = {0};

	ask(&other, words);
	buf_put_span(b, buf_span(&other.turn[0].b));
	buf_free(&other.turn[0].b);
}

/* Consumes @t. */
static inline void talk_check(struct talk *t, const char *want)
{
	talk_expect(&proto_redis, t, want);
}

#endif
