/*
 * Recorded connections that are seen from somewhere in their middle: recognised, with the direction right,
 * and of what was sent and received nothing is told that did not happen. Traffic of other protocols is not
 * Kafka.
 */
#include <stdio.h>

#include "proto/feed.h"
#include "recording.h"
#include "test.h"

static const char *const scenarios[] = {"codecs", "python", "java", "transactions", "sasl", "old"};

/* The bytes of direction @d from chunk @from on, at most 64 KiB as detect keeps them. */
static struct buf rest_of(const struct buf *rec, size_t from, enum flowdir d)
{
	struct span s = span_sub(buf_span(rec), 6, SIZE_MAX), chunk;
	struct buf b = {0};
	enum flowdir way;

	for (size_t i = 0; chunk_next(&s, &way, &chunk) && b.n < 65536; i++)
		if (i >= from && way == d)
			buf_put_span(&b, chunk);
	return b;
}

static size_t chunks_of(const struct buf *rec)
{
	struct span s = span_sub(buf_span(rec), 6, SIZE_MAX), chunk;
	enum flowdir way;
	size_t n = 0;

	while (chunk_next(&s, &way, &chunk))
		n++;
	return n;
}

static void recognised_at(const struct buf *rec, size_t from, unsigned *yes, unsigned *all)
{
	struct buf c = rest_of(rec, from, TO_SERVER), s = rest_of(rec, from, TO_CLIENT);
	enum probe_result r = proto_kafka.probe(buf_span(&c), buf_span(&s), !from);
	enum probe_result swapped = proto_kafka.probe(buf_span(&s), buf_span(&c), !from);

	if (c.n) {
		CHECK(r == PROBE_YES || (from && r == PROBE_MORE));
		CHECK(r != PROBE_YES || swapped == PROBE_REVERSED);
		*yes += r == PROBE_YES;
		(*all)++;
	}
	/* A server alone proves nothing. */
	CHECK(swapped != PROBE_YES);
	buf_free(&c);
	buf_free(&s);
}

static void recognised(void)
{
	unsigned yes = 0, all = 0;

	for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
		struct scenario s;

		if (!scenario_load(&s, scenarios[i]))
			return;
		for (unsigned k = 0; k < s.conns; k++)
			for (size_t from = 0; from < chunks_of(&s.rec[k]); from++)
				recognised_at(&s.rec[k], from, &yes, &all);
		scenario_free(&s);
	}
	/* Not all: some connections end with a request that proves little. */
	CHECK(all > 500);
	CHECK(yes > all * 9 / 10);
}

/* --- what is told of it --- */

struct seen {
	struct buf truth;
	unsigned messages;
};

static uint64_t check_op(void *ctx, struct op *op)
{
	static uint64_t id;
	struct seen *n = ctx;
	char line[512];

	if (op->flags & OPF_GAP)
		return ++id;
	if (op->kind == OP_RECEIVE)
		snprintf(line, sizeof(line), "RECEIVE " SPAN_FMT " " SPAN_FMT " " SPAN_FMT " ",
			SPAN_ARG(op->exchange), SPAN_ARG(op->routing_key), SPAN_ARG(op->mid));
	else if (op->kind == OP_SEND)
		snprintf(line, sizeof(line), "SEND " SPAN_FMT " " SPAN_FMT " ", SPAN_ARG(op->exchange),
			SPAN_ARG(op->routing_key));
	else
		return ++id;
	n->messages++;
	if (!strstr(buf_cstr(&n->truth), line)) {
		fprintf(stderr, "%s: not in the truth: %s\n", test_name, line);
		test_case_bad = true;
	}
	return ++id;
}

/* Connection @conn is seen from its chunk @from on, without the first @skip bytes of that. */
static void attached(struct scenario *s, unsigned conn, size_t from, size_t skip, struct seen *n)
{
	struct proto_out out = {.ctx = n, .emit = check_op};
	static struct feed f[CONNS_MAX];
	static size_t at[CONNS_MAX];
	void *shared = proto_kafka.shared_new();
	struct proto_opts opts = {.shared = shared};
	unsigned i;

	for (i = 0; i < s->conns; i++) {
		f[i] = (struct feed){.p = &proto_kafka, .quiet = true};
		f[i].st = proto_kafka.state_new(&opts, &out, i != conn);
		f[i].lost[0] = f[i].lost[1] = i == conn;
		at[i] = 0;
	}
	scenario_rewind(s);
	for (struct span chunk; scenario_next(s, &i, &chunk);) {
		enum flowdir d = s->way;
		size_t nth = at[i]++;

		if (i == conn && nth < from)
			continue;
		feed_bytes(&f[i], d, i == conn && nth == from ? span_sub(chunk, skip, SIZE_MAX) : chunk);
	}
	for (i = 0; i < s->conns; i++) {
		CHECK(!f[i].bad);
		feed_end(&f[i]);
		feed_free(&f[i]);
	}
	proto_kafka.shared_free(shared);
}

static void nothing_wrong(void)
{
	for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
		struct seen n = {0};
		struct scenario s;
		unsigned fewest = UINT32_MAX;

		n.truth = fixture_load(&proto_kafka, scenarios[i], ".truth");
		if (!scenario_load(&s, scenarios[i]))
			return;
		for (unsigned k = 0; k < s.conns && !test_case_bad; k++)
			for (size_t from = 0; from < chunks_of(&s.rec[k]) && !test_case_bad; from++) {
				n.messages = 0;
				attached(&s, k, from, from % 3 * 5, &n);
				fewest = n.messages < fewest ? n.messages : fewest;
			}
		CHECK(fewest > 0);
		scenario_free(&s);
		buf_free(&n.truth);
	}
}

/* --- what is not Kafka --- */

static void others(void)
{
	static const struct span not_mine[] = {
		SPAN_LIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		SPAN_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4\0\0\0\0\0"),
		SPAN_LIT("\0\0\0\x50\0\3\0\0user\0shop\0database\0shop\0application_"
			 "name\0psql\0\0"),                     /* PostgreSQL */
		SPAN_LIT("\0\0\0\x08\4\xd2\x16\x2f"),           /* its SSLRequest */
		SPAN_LIT("\x10\x10\0\4MQTT\4\2\0\x3c\0\4shop"), /* MQTT */
		SPAN_LIT("AMQP\0\0\x09\x01"),
		SPAN_LIT("\0\0\x01\x02\x01"
			 "ActiveMQ\0\0\0\x0c\1\0\0\0\xe5"),   /* OpenWire */
		SPAN_LIT("\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL"), /* ZMTP */
		SPAN_LIT("\0\0\0\xb0\0\0\0\x90{\"code\":105,\"flag\":0,\"language\":\"JAVA\","
			 "\"opaque\":0"), /* RocketMQ */
		SPAN_LIT("CONNECT\naccept-version:1.2\n\n\0"),
		SPAN_LIT("*1\r\n$4\r\nPING\r\n"),
		SPAN_LIT("CONNECT {\"verbose\":false}\r\nPING\r\n"),
		SPAN_LIT("INFO {\"server_id\":\"N\"}\r\n"),
		SPAN_LIT("\0\0\0\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x75\x30\0\0\0\0\0\0\0\0\0\0"
			 "\0\x10" /* ZooKeeper */
			 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
		SPAN_LIT("\0\0\0\x0e\0\0\0\2\0\0\0\3\0\0\0\2/a\0"), /* ZooKeeper, the request
								       after it */
		SPAN_LIT("\x16\3\1\0\x05\1\0\0\1\0"),
	};
	struct span none = SPAN_EMPTY;

	for (size_t i = 0; i < ARRAY_LEN(not_mine); i++) {
		if (proto_kafka.probe(not_mine[i], none, true) != PROBE_NO) {
			fprintf(stderr, "%s: number %zu is not refused\n", test_name, i);
			test_case_bad = true;
		}
		CHECK(proto_kafka.probe(none, not_mine[i], true) != PROBE_REVERSED);
		CHECK_EQ(proto_kafka.probe(not_mine[i], none, false), PROBE_MORE);
		CHECK_EQ(proto_kafka.probe(none, not_mine[i], false), PROBE_MORE);
	}
	CHECK_EQ(proto_kafka.probe(none, none, true), PROBE_MORE);
	/* A client may write the size by itself. */
	CHECK_EQ(proto_kafka.probe(SPAN_LIT("\0\0\0\x12"), none, true), PROBE_MORE);
	CHECK_EQ(proto_kafka.probe(SPAN_LIT("\0\0\0\x0e\0\x12\0\0\0\0\0\1\0\4shop"), none, true), PROBE_YES);
}

int main(void)
{
	RUN(recognised);
	RUN(nothing_wrong);
	RUN(others);
	return test_end();
}
