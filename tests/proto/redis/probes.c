/* Who is taken for Redis: its own bytes from either side, at the start and in the middle; nobody else's. */
#include <stdlib.h>

#include "proto/proto.h"
#include "test.h"

static const char *name_of(enum probe_result r)
{
	static const char *const names[] = {"no", "more", "yes", "reversed"};

	return names[r];
}

/* From a buffer of exactly its size, so that a sanitizer sees the first byte read too many. */
static enum probe_result probe(const char *a, size_t an, const char *b, size_t bn, bool start)
{
	uint8_t *x = malloc(an + 1), *y = malloc(bn + 1);
	enum probe_result r;

	x = realloc(x, an ? an : 1);
	y = realloc(y, bn ? bn : 1);
	memcpy(x, a, an);
	memcpy(y, b, bn);
	r = proto_redis.probe(span_of(x, an), span_of(y, bn), start);
	free(x);
	free(y);
	return r;
}

static void expect(const char *to_server, const char *to_client, bool start, enum probe_result want)
{
	enum probe_result r = probe(to_server, strlen(to_server), to_client, strlen(to_client), start);

	if (r != want) {
		fprintf(stderr, "%s: \"%s\" and \"%s\"%s: %s, not %s\n", test_name, to_server, to_client,
			start ? "" : " in the middle", name_of(r), name_of(want));
		test_case_bad = true;
	}
	/* No beginning of it says no when all of it says yes, and none of what is not ours says yes. */
	for (size_t n = 1; n < strlen(to_server); n++) {
		r = probe(to_server, n, to_client, strlen(to_client), start);
		if (want == PROBE_YES ? r == PROBE_NO || r == PROBE_REVERSED
				      : want == PROBE_NO && (r == PROBE_YES || r == PROBE_REVERSED)) {
			fprintf(stderr, "%s: the first %zu bytes of \"%s\": %s\n", test_name, n, to_server,
				name_of(r));
			test_case_bad = true;
			return;
		}
	}
}

static void own(void)
{
	expect("*1\r\n$4\r\nPING\r\n", "", true, PROBE_YES);
	expect("*2\r\n$5\r\nhello\r\n$1\r\n3\r\n", "", true, PROBE_YES);
	expect("*2\r\n$9\r\nFT.CREATE\r\n$1\r\nx\r\n", "+OK\r\n", true, PROBE_YES);
	expect("", "*1\r\n$4\r\nPING\r\n", true, PROBE_REVERSED);
	expect("+PONG\r\n", "*1\r\n$4\r\nPING\r\n", true, PROBE_REVERSED);
	expect("PING\r\n", "+PONG\r\n", true, PROBE_YES);
	expect("set a b\r\nincr a\r\n", "+OK\r\n:2\r\n", true, PROBE_YES);
	expect("lpush q a\r\n", ":1\r\n", true, PROBE_YES);
}

static void own_in_the_middle(void)
{
	expect("foo\r\n*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$1\r\na\r\n", "", false, PROBE_YES);
	expect("", "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n", false, PROBE_YES);
	expect("", "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", false,
		PROBE_YES);
	expect("", "$5\r\nhello\r\n", false, PROBE_MORE);
	expect("", ":1\r\n", false, PROBE_MORE);
	expect("+OK\r\n", "*1\r\n$4\r\nPING\r\n", false, PROBE_REVERSED);
	/* a primary and its replica */
	expect("*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$1\r\n5\r\n", "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n", false,
		PROBE_NO);
}

static void others(void)
{
	static const char *const talks[][2] = {
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"},
		{"EHLO x\r\nAUTH PLAIN AGEAYg==\r\n", "220 mail ESMTP\r\n250 ok\r\n"},
		{"USER x\r\nQUIT\r\n", "+OK POP3 ready\r\n+OK\r\n"},
		{"CONNECT {\"verbose\":true}\r\nPING\r\n", "INFO {\"server_id\":\"x\"}\r\n+OK\r\nPONG\r\n"},
		{"CONNECT\naccept-version:1.2\n\n", "CONNECTED\nversion:1.2\n\n"},
		{"get key\r\n", "VALUE key 0 1\r\nx\r\nEND\r\n"},
		{"set key 0 0 1\r\nx\r\n", "STORED\r\n"},
		{"incr n 1\r\n", "5\r\n"},
		{"AMQP\x01\x01\x09\x01", ""},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", ""},
		{"a1 LOGIN x y\r\n", "* OK IMAP4 ready\r\n"},
		{"\x10\x0e", "\x20\x02"},
	};

	for (size_t i = 0; i < ARRAY_LEN(talks); i++)
		expect(talks[i][0], talks[i][1], true, PROBE_NO);
	for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
		enum probe_result r =
			probe(talks[i][0], strlen(talks[i][0]), talks[i][1], strlen(talks[i][1]), false);

		CHECK(r == PROBE_NO || r == PROBE_MORE);
	}
	/* NATS, answered as Redis would answer too: not enough to tell */
	expect("PING\r\n", "+OK\r\n", true, PROBE_MORE);
}

int main(void)
{
	RUN(own);
	RUN(own_in_the_middle);
	RUN(others);
	return test_end();
}
