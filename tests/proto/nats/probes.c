/* What is NATS, in which direction, and what is not: from the first byte and from the middle. */
#include "proto/pairs.h"
#include "wire.h"

static const struct guess {
	const char *to_server, *to_client;
	bool from_start;
	enum probe_result want;
} guesses[] = {
	{"", "INFO {\"server_id\":\"N\"}\r\n", true, PROBE_YES},
	{"INFO {\"server_id\":\"N\"}\r\n", "", true, PROBE_REVERSED},
	{"CONNECT {\"verbose\":false}\r\n", "", true, PROBE_YES},
	{"", "CONNECT {\"verbose\":false}\r\n", true, PROBE_REVERSED},
	{"", "", true, PROBE_MORE},
	{"", "INFO {\"server_id\":\"N", true, PROBE_MORE},
	{"", "INFO {\"id\":1}\r\n", true, PROBE_NO},
	{"CONN", "", true, PROBE_MORE},
	/* Redis, by hand: PING alone is not enough, its answer is not ours. */
	{"PING\r\n", "", true, PROBE_MORE},
	{"PING\r\n", "+PONG\r\n", true, PROBE_NO},
	{"PING\r\n", "+OK\r\n", true, PROBE_NO},
	{"PING\r\n", "-ERR unknown\r\n", true, PROBE_NO},
	{"CONNECT\naccept-version:1.2\n\n", "", true, PROBE_NO},
	{"CONNECT example.org:443 HTTP/1.1\r\n\r\n", "", true, PROBE_NO},
	{"", "220 mail ESMTP\r\n", true, PROBE_NO},
	{"GET / HTTP/1.1\r\n\r\n", "", true, PROBE_NO},
	{"*1\r\n$4\r\nPING\r\n", "", true, PROBE_NO},
	/* from the middle */
	{"PUB a.b 5\r\nhello\r\n", "", false, PROBE_YES},
	{"rest\r\nPUB a.b 5\r\nhello\r\nPING\r\n", "", false, PROBE_YES},
	{"", "PUB a.b 5\r\nhello\r\n", false, PROBE_REVERSED},
	{"", "MSG a.b 1 5\r\nhello\r\n", false, PROBE_YES},
	{"", "HMSG a.b 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", false, PROBE_YES},
	{"MSG a.b 1 5\r\nhello\r\n", "", false, PROBE_REVERSED},
	{"SUB a.b 1\r\nPING\r\n", "", false, PROBE_YES},
	{"SUB a.b 1\r\n", "PING\r\n", false, PROBE_YES},
	{"SUB a.b 1\r\n", "", false, PROBE_MORE},
	{"Sub total 5\r\n", "", false, PROBE_MORE},
	{"Sub total 5\r\nShipping 3\r\n", "", false, PROBE_MORE},
	{"PUB a.b 5\r\nhell", "", false, PROBE_MORE},
	{"PUB a.b 5\r\nhello, world\r\n", "", false, PROBE_MORE},
	{"PUB a.b 5\r\nhello\r\nHost: x\r\n", "", false, PROBE_MORE},
	{"HPUB a.b 9 14\r\nHTTP/1.0\r\n\r\nhi\r\n", "", false, PROBE_MORE},
	{"PING\r\nPING\r\n", "PONG\r\n+OK\r\n-ERR x\r\n", false, PROBE_MORE},
	{"CONNECT {\"verbose\":false}\r\n", "", false, PROBE_YES},
	{"", "INFO {\"server_id\":\"N\"}\r\nPING\r\n", false, PROBE_YES},
};

#define GET    "GET / HTTP/1.1\r\nHost: n\r\n"
#define KEY    "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n"
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
#define ID     "INFO {\"server_id\":\"" FIFTY FIFTY FIFTY "\""
#define FIFTY  "NDD5FQQMT2UIWOSBWIHORC64QHD6KOBHSFQMAXJYDQIBBGHO7"

/* What is not read, but told: over WebSocket, servers among themselves. */
static const struct guess unread[] = {
	{GET KEY "\r\n", SWITCH "\x82\x7e\x01\x20" ID "}\r\n", true, PROBE_YES},
	{GET KEY "\r\n", SWITCH "\x82\x7d" ID "}\r\n", true, PROBE_YES},
	{GET KEY "\r\n", SWITCH "\x82", true, PROBE_MORE},
	{GET KEY "\r\n", SWITCH, true, PROBE_MORE},
	{GET KEY "\r\n", "", true, PROBE_MORE},
	{GET KEY, "", true, PROBE_MORE},
	{"GE", "", true, PROBE_MORE},
	{GET "\r\n", "", true, PROBE_NO},
	{GET "\r\n", SWITCH "\x82\x7d" ID "}\r\n", true, PROBE_NO},
	{GET KEY "\r\n", "HTTP/1.1 200 OK\r\n\r\n", true, PROBE_NO},
	{GET KEY "\r\n", SWITCH "\x81\x7d{\"text\":\"" FIFTY FIFTY FIFTY "\"}", true, PROBE_NO},
	{"RMSG $G a.b 5\r\nhello\r\n", "", false, PROBE_YES},
	{"", "LMSG a.b 5\r\nhello\r\nPING\r\n", false, PROBE_YES},
	{"RMSG $G a.b 5\r\nhello, world\r\n", "", false, PROBE_MORE},
	{"A- b 5\r\nLS+ me\r\n", "", false, PROBE_MORE},
};

static void told_as_unread(void)
{
	for (size_t i = 0; i < ARRAY_LEN(unread); i++) {
		const struct guess *g = &unread[i];
		enum probe_result r =
			proto_nats.probe(span_str(g->to_server), span_str(g->to_client), g->from_start);

		if (r != g->want)
			fprintf(stderr, "%zu: %d\n", i, r);
		CHECK(r == g->want);
	}
	for (size_t i = 0; i < 2; i++) {
		struct proto_out out = {0};
		struct proto_opts opts = {0};
		void *st = proto_nats.state_new(&opts, &out, true);

		CHECK_EQ(proto_nats.parse(st, TO_SERVER, 0, span_str(unread[i].to_server)).status,
			PARSE_UNREAD);
		CHECK_EQ(proto_nats.parse(st, TO_CLIENT, 0, span_str(unread[i].to_client)).status,
			PARSE_UNREAD);
		proto_nats.state_free(st);
	}
}

static void told_apart(void)
{
	static const char *const words[] = {"no", "more", "yes", "reversed"};

	for (size_t i = 0; i < ARRAY_LEN(guesses); i++) {
		const struct guess *g = &guesses[i];
		enum probe_result r =
			proto_nats.probe(span_str(g->to_server), span_str(g->to_client), g->from_start);

		if (r != g->want)
			fprintf(stderr, "\"%s\" \"%s\"%s: %s\n", g->to_server, g->to_client,
				g->from_start ? " from the start" : "", words[r]);
		CHECK(r == g->want);
	}
}

/* Every beginning of what is NATS says "more" until it says "yes". */
static void never_no_on_the_way(void)
{
	for (size_t i = 0; i < ARRAY_LEN(guesses); i++) {
		const struct guess *g = &guesses[i];
		size_t n = strlen(g->to_server), m = strlen(g->to_client);

		if (g->want != PROBE_YES && g->want != PROBE_REVERSED)
			continue;
		for (size_t k = 0; k <= n; k++)
			CHECK(proto_nats.probe(span_of(g->to_server, k), SPAN_EMPTY, g->from_start) !=
				PROBE_NO);
		for (size_t k = 0; k <= m; k++)
			CHECK(proto_nats.probe(SPAN_EMPTY, span_of(g->to_client, k), g->from_start) !=
				PROBE_NO);
	}
}

/* A hop's own marks do not change what a message is; what its sender set does. */
static void hash_over_hops(void)
{
	struct buf sent = {0}, got = {0}, other = {0};

	pairs_begin(&sent);
	pairs_property(&sent, "reply-to", SPAN_LIT("_INBOX.1"));
	pairs_property(&sent, "message-id", SPAN_LIT("m-1"));
	pairs_header(&sent, SPAN_LIT("Nats-Msg-Id"), SPAN_LIT("m-1"));
	pairs_header(&sent, SPAN_LIT("Nats-Expected-Stream"), SPAN_LIT("S"));
	pairs_header(&sent, SPAN_LIT("k"), SPAN_LIT("v"));
	pairs_begin(&got);
	pairs_add(&got,
		&(struct pair){.type = FIELD_TIME, .name = SPAN_LIT("timestamp"), .value = SPAN_LIT("1")});
	pairs_header(&got, SPAN_LIT("k"), SPAN_LIT("v"));
	pairs_header(&got, SPAN_LIT("Nats-Stream"), SPAN_LIT("S"));
	pairs_header(&got, SPAN_LIT("Nats-Sequence"), SPAN_LIT("5"));
	pairs_header(&got, SPAN_LIT("Nats-Msg-Id"), SPAN_LIT("m-1"));
	pairs_property(&got, "message-id", SPAN_LIT("m-1"));
	pairs_begin(&other);
	pairs_header(&other, SPAN_LIT("k"), SPAN_LIT("w"));
	CHECK(proto_nats.stable_hash(buf_span(&sent), 7) == proto_nats.stable_hash(buf_span(&got), 7));
	CHECK(proto_nats.stable_hash(buf_span(&sent), 7) != proto_nats.stable_hash(buf_span(&other), 7));
	CHECK(proto_nats.stable_hash(SPAN_EMPTY, 7) != proto_nats.stable_hash(buf_span(&other), 7));
	buf_free(&sent);
	buf_free(&got);
	buf_free(&other);
}

int main(void)
{
	RUN(told_apart);
	RUN(told_as_unread);
	RUN(never_no_on_the_way);
	RUN(hash_over_hops);
	return test_end();
}
