/* Reads what record.py recorded: the connections of a scenario and the order of their chunks. */
#ifndef EVTRACE_TESTS_KAFKA_RECORDING_H
#define EVTRACE_TESTS_KAFKA_RECORDING_H

#include "proto/fixture.h"

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

static inline bool scenario_load(struct scenario *s, const char *name)
{
	char suffix[32];

	*s = (struct scenario){.name = name};
	while (s->conns < CONNS_MAX) {
		snprintf(suffix, sizeof(suffix), ".%u.bin", s->conns);
		if (!fixture_read(&proto_kafka, name, suffix, &s->rec[s->conns]))
			break;
		s->conns++;
	}
	s->order = fixture_load(&proto_kafka, name, ".order");
	CHECK(s->conns > 0);
	return !test_case_bad;
}

static inline void scenario_free(struct scenario *s)
{
	for (unsigned i = 0; i < s->conns; i++)
		buf_free(&s->rec[i]);
	buf_free(&s->order);
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
