/* Reads what record.py recorded: the connections of a scenario and the order of their chunks. */
#ifndef EVTRACE_TESTS_KAFKA_RECORDING_H
#define EVTRACE_TESTS_KAFKA_RECORDING_H

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "stream/stream.h"
#include "test.h"

#define CONNS_MAX 64

struct scenario {
	const char *name;
	struct buf rec[CONNS_MAX];
	unsigned conns;
	struct buf order;
	/* scenario_next() */
	size_t order_at, at[CONNS_MAX];
	enum flowdir way;
};

static inline bool load(const char *name, const char *suffix, struct buf *ret)
{
	char path[256];
	FILE *f;
	int c;

	*ret = (struct buf){0};
	snprintf(path, sizeof(path), "tests/proto/kafka/fixtures/%s%s", name, suffix);
	f = fopen(path, "rb");
	if (!f)
		return false;
	while ((c = getc(f)) != EOF)
		buf_putc(ret, (char)c);
	fclose(f);
	return true;
}

static inline bool scenario_load(struct scenario *s, const char *name)
{
	char suffix[32];

	*s = (struct scenario){.name = name};
	while (s->conns < CONNS_MAX) {
		snprintf(suffix, sizeof(suffix), ".%u.bin", s->conns);
		if (!load(name, suffix, &s->rec[s->conns]))
			break;
		s->conns++;
	}
	if (s->conns && load(name, ".order", &s->order))
		return true;
	fprintf(stderr, "fixtures of %s cannot be read (tests run from the repository's root)\n", name);
	test_case_bad = true;
	return false;
}

static inline void scenario_free(struct scenario *s)
{
	for (unsigned i = 0; i < s->conns; i++)
		buf_free(&s->rec[i]);
	buf_free(&s->order);
}

/* A chunk of one recording, from behind its first 6 bytes on. */
static inline bool chunk_next(struct span *rest, enum flowdir *way, struct span *ret)
{
	const uint8_t *p = rest->p;

	if (rest->n < 5)
		return false;
	*way = p[0] ? TO_CLIENT : TO_SERVER;
	*ret = span_sub(*rest, 5, (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4]);
	*rest = span_sub(*rest, 5 + ret->n, SIZE_MAX);
	return true;
}

static inline void scenario_rewind(struct scenario *s)
{
	s->order_at = 0;
	for (unsigned i = 0; i < s->conns; i++)
		s->at[i] = 6;
}

/* The next chunk of all connections, in the order in which they came; its direction is s->way. */
static inline bool scenario_next(struct scenario *s, unsigned *ret_conn, struct span *ret)
{
	const char *o = buf_cstr(&s->order) + s->order_at;
	char *end;
	unsigned i = (unsigned)strtoul(o, &end, 10);
	struct span rest;

	if (end == o || i >= s->conns)
		return false;
	s->order_at += (size_t)(end - o);
	rest = span_sub(buf_span(&s->rec[i]), s->at[i], SIZE_MAX);
	if (!chunk_next(&rest, &s->way, ret))
		return false;
	s->at[i] += 5 + ret->n;
	*ret_conn = i;
	return true;
}

#endif
