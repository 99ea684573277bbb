/* Detection and driving, with decoders made for it: one that behaves, some that do not. */
#include "test.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/timefmt.h"
#include "proto/detect.h"

/* --- decoders --- */

/*
 * A toy protocol. The client begins with "TOY!" and the server with "OK", each once; then frames: '#', a
 * digit n, n bytes. A frame is a send or a receive. "#1E" is not its protocol, "#1L" loses it; the next '#'
 * finds it again.
 */
struct toy {
	struct proto_out out;
	bool greeted[2], from_start;
	int lost_forever;
	char log[256];
};

static int toys; /* states that live */

static void *toy_new(const struct proto_opts *opts, const struct proto_out *out, bool from_start)
{
	struct toy *t = calloc(1, sizeof(*t));

	CHECK(opts->payload_limit > 0);
	t->out = *out;
	t->from_start = from_start;
	t->greeted[0] = t->greeted[1] = !from_start;
	toys++;
	return t;
}

static void toy_free(void *st)
{
	toys -= st != NULL;
	free(st);
}

static enum probe_result toy_probe(struct span to_server, struct span to_client, bool from_start)
{
	if (!from_start && to_server.n && memchr(to_server.p, '#', to_server.n))
		return PROBE_YES;
	if (span_starts(to_client, "TOY!"))
		return PROBE_REVERSED;
	if (span_starts(to_server, "TOY!"))
		return to_client.n ? PROBE_YES : PROBE_MORE;
	return to_server.n >= 4 && from_start ? PROBE_NO : PROBE_MORE;
}

static void toy_emit(
	struct toy *t, enum flowdir d, enum op_kind kind, uint64_t pos, size_t len, struct span body)
{
	struct op op = {.kind = kind, .flowdir = (uint8_t)d, .pos = pos, .len = len, .body = body};

	t->out.emit(t->out.ctx, &op);
}

static struct parse_result toy_parse(void *st, enum flowdir d, uint64_t pos, struct span data)
{
	struct toy *t = st;
	size_t off = 0, greeting = d == TO_SERVER ? 4 : 2;

	if (!t->greeted[d]) {
		if (data.n < greeting)
			return (struct parse_result){PARSE_OK, 0, greeting};
		t->greeted[d] = true;
		off = greeting;
	}
	while (off < data.n) {
		size_t n;

		if (data.p[off] != '#')
			return (struct parse_result){PARSE_LOST, off, 0};
		if (data.n - off < 2)
			return (struct parse_result){PARSE_OK, off, 2};
		n = 2 + (size_t)(data.p[off + 1] - '0');
		if (data.n - off < n)
			return (struct parse_result){PARSE_OK, off, n};
		if (data.p[off + 2] == 'E')
			return (struct parse_result){PARSE_ERROR, off, 0};
		if (data.p[off + 2] == 'L')
			return (struct parse_result){PARSE_LOST, off, 0};
		if (data.p[off + 2] == 'U')
			t->out.gap(t->out.ctx, d, n, "not understood");
		toy_emit(t, d, d == TO_SERVER ? OP_SEND : OP_RECEIVE, pos + off, n,
			span_sub(data, off + 2, n - 2));
		off += n;
	}
	return (struct parse_result){PARSE_OK, off, 0};
}

static int64_t toy_resync(void *st, enum flowdir d, uint64_t pos, struct span data)
{
	const uint8_t *p = memchr(data.p, '#', data.n);

	(void)st, (void)d, (void)pos;
	return p ? p - data.p : -1;
}

static void toy_gap(void *st, enum flowdir d, uint64_t pos, uint64_t n)
{
	struct toy *t = st;

	t->greeted[d] = true;
	toy_emit(t, d, OP_ERROR, pos, 0, SPAN_LIT("gap"));
	(void)n;
}

static void toy_closed(void *st)
{
	toy_emit(st, TO_CLIENT, OP_SETTLE, 0, 0, SPAN_LIT("closed"));
}

static const struct proto toy = {.id = 99,
	.name = "toy",
	.probe = toy_probe,
	.state_new = toy_new,
	.state_free = toy_free,
	.parse = toy_parse,
	.resync = toy_resync,
	.resync_tail = 1,
	.gap = toy_gap,
	.closed = toy_closed};

/* Says yes to all that begins with T, and finds out that it was wrong. */
static enum probe_result rash_probe(struct span to_server, struct span to_client, bool from_start)
{
	(void)to_client, (void)from_start;
	return span_starts(to_server, "T") ? PROBE_YES : to_server.n ? PROBE_NO : PROBE_MORE;
}

static struct parse_result rash_parse(void *st, enum flowdir d, uint64_t pos, struct span data)
{
	(void)st, (void)d, (void)pos, (void)data;
	return (struct parse_result){PARSE_ERROR, 0, 0};
}

static const struct proto rash = {.id = 98,
	.name = "rash",
	.probe = rash_probe,
	.state_new = toy_new,
	.state_free = toy_free,
	.parse = rash_parse,
	.resync = toy_resync,
	.gap = toy_gap,
	.closed = toy_closed};

/* What no decoder should do. The first byte of the data says what. */
static enum probe_result bad_probe(struct span to_server, struct span to_client, bool from_start)
{
	(void)to_client, (void)from_start;
	return to_server.n ? PROBE_YES : PROBE_MORE;
}

static struct parse_result bad_parse(void *st, enum flowdir d, uint64_t pos, struct span data)
{
	(void)st, (void)d, (void)pos;
	switch (data.p[0]) {
	case 'o': /* consumes more than there is */
		return (struct parse_result){PARSE_OK, data.n + 1000, 0};
	case 'n': /* wants more than can ever come */
		return (struct parse_result){PARSE_OK, 0, SIZE_MAX};
	case 's': /* stands still */
		return (struct parse_result){PARSE_OK, 0, 0};
	default: /* is lost wherever it is */
		return (struct parse_result){PARSE_LOST, 0, 0};
	}
}

static int64_t bad_resync(void *st, enum flowdir d, uint64_t pos, struct span data)
{
	(void)st, (void)d, (void)pos;
	return data.p[0] == 'f' ? (int64_t)data.n + 1000 : 0;
}

static const struct proto bad = {.id = 97,
	.name = "bad",
	.probe = bad_probe,
	.state_new = toy_new,
	.state_free = toy_free,
	.parse = bad_parse,
	.resync = bad_resync,
	.gap = toy_gap,
	.closed = toy_closed};

/* --- harness --- */

struct rig {
	struct streams *s;
	struct detect *d;
	struct buf log; /* "send abc\n" */
	struct buf states;
	struct op last;
	struct conn conn;
	uint64_t lost;
	int gaps, fail_at, ops, ignored;
	char reason[64];
};

static int on_op(void *ctx, const struct op *op, const struct conn *c)
{
	static const char *const names[] = {
		[OP_SEND] = "send", [OP_RECEIVE] = "receive", [OP_SETTLE] = "settle", [OP_ERROR] = "error"};
	struct rig *r = ctx;

	(void)c;
	r->last = *op;
	buf_printf(&r->log, "%s " SPAN_FMT "\n", names[op->kind], SPAN_ARG(op->body));
	return ++r->ops == r->fail_at ? -28 : 0;
}

static int on_conn(void *ctx, const struct conn *c, const struct proto *p, enum conn_state st)
{
	static const char *const names[] = {"unknown", "decoded", "other", "encrypted", "failed"};
	struct rig *r = ctx;

	r->conn = *c;
	buf_printf(
		&r->states, "%s%s%s%s ", names[st], p ? ":" : "", p ? p->name : "", c->closed_ns ? "." : "");
	return 0;
}

static int on_gap(
	void *ctx, const struct conn *c, enum flowdir d, uint64_t bytes, const char *reason, int64_t ts_ns)
{
	struct rig *r = ctx;

	(void)c, (void)d, (void)ts_ns;
	r->gaps++;
	r->lost += bytes;
	snprintf(r->reason, sizeof(r->reason), "%s", reason);
	return 0;
}

static void on_verdict(void *ctx, uint64_t endpoint, enum verdict v)
{
	struct rig *r = ctx;

	(void)endpoint;
	r->ignored += v == VERDICT_IGNORE;
}

static size_t max_buffer = 64u << 10; /* of the streams that begin() makes */

static void begin(struct rig *r, const struct proto *const *protos, size_t n)
{
	struct detect_opts opts = {.protos = protos, .protos_n = n, .first_op_id = 500};
	struct detect_out out = {r, on_op, on_conn, on_gap};
	struct stream_ops ops;

	*r = (struct rig){0};
	r->d = detect__new(&opts, &out);
	detect_stream_ops(r->d, &ops);
	ops.verdict = on_verdict;
	ops.verdict_ctx = r;
	r->s = streams__new(&ops, &(struct stream_opts){.max_buffer = max_buffer});
	detect_set_streams(r->d, r->s);
}

static void end(struct rig *r)
{
	streams__free(r->s);
	detect__free(r->d);
	buf_free(&r->log);
	buf_free(&r->states);
	CHECK_EQ(toys, 0);
}

static const struct proto *const only_toy[] = {&toy};

static void open_end(struct rig *r, enum role role, bool from_start)
{
	bool server = role == ENDPOINT_SERVER;
	struct endpoint_info e = {.id = 1,
		.pid = 70,
		.ts_ns = NS_PER_MS,
		.family = AF_INET,
		.local_addr = {10},
		.remote_addr = {11},
		.local_port = server ? 80 : 4000,
		.remote_port = server ? 4000 : 80,
		.path = "",
		.role = role,
		.from_start = from_start,
		.pos = {1000, 1000}};

	CHECK_EQ(streams__open(r->s, &e), 0);
}

static int put(struct rig *r, enum dir dir, uint64_t pos, struct span data, int64_t ms)
{
	struct chunk c = {.endpoint = 1,
		.dir = dir,
		.pos = 1000 + pos,
		.len = (uint32_t)data.n,
		.data = data,
		.ts_ns = ms * NS_PER_MS,
		.pid = 70,
		.tid = 71,
		.unit = (uint64_t)ms};

	return streams__chunk(r->s, &c);
}

static void tx(struct rig *r, uint64_t pos, const char *text, int64_t ms)
{
	CHECK_EQ(put(r, DIR_TX, pos, span_str(text), ms), 0);
}

static void rx(struct rig *r, uint64_t pos, const char *text, int64_t ms)
{
	CHECK_EQ(put(r, DIR_RX, pos, span_str(text), ms), 0);
}

/* --- cases --- */

static void decides_and_decodes(void)
{
	struct rig r;

	begin(&r, only_toy, 1);
	open_end(&r, ENDPOINT_CLIENT, true);
	tx(&r, 0, "TO", 2);
	tx(&r, 2, "Y!#3abc", 3);
	CHECK_STR(buf_cstr(&r.states), "unknown ");
	rx(&r, 0, "OK#1x", 4);
	CHECK_STR(buf_cstr(&r.states), "unknown decoded:toy ");
	/* in the order of the calls, not of the directions */
	CHECK_STR(buf_cstr(&r.log), "send abc\nreceive x\n");
	CHECK_EQ(r.last.id, 501);
	CHECK_EQ(r.last.conn, 1);
	CHECK_EQ(r.last.proto, 99);
	tx(&r, 9, "#4de", 10);
	tx(&r, 13, "fg", 11);
	CHECK_EQ(r.last.ts_ns, 10 * NS_PER_MS); /* a send happens with its first byte */
	CHECK_EQ(r.last.pid, 70);
	CHECK_EQ(r.last.tid, 71);
	CHECK_EQ(r.last.unit, 10);
	rx(&r, 5, "#2", 12);
	rx(&r, 7, "yz", 13);
	CHECK_EQ(r.last.ts_ns, 13 * NS_PER_MS); /* a receive with its last one */
	CHECK_EQ(streams__close(r.s, 1, 20 * NS_PER_MS, false), 0);
	CHECK_STR(buf_cstr(&r.log), "send abc\nreceive x\nsend defg\nreceive yz\nsettle closed\n");
	CHECK_EQ(r.last.ts_ns, 20 * NS_PER_MS);
	CHECK_EQ(r.last.pid, 70);
	CHECK_EQ(r.last.tid, 0);
	CHECK_STR(buf_cstr(&r.states), "unknown decoded:toy decoded:toy. ");
	CHECK_EQ(r.gaps, 0);
	end(&r);
}

static void byte_by_byte(void)
{
	static const char to_server[] = "TOY!#3abc#0#9123456789#1z", to_client[] = "OK#1x#2yz";
	struct rig r;

	begin(&r, only_toy, 1);
	open_end(&r, ENDPOINT_CLIENT, true);
	for (size_t i = 0; i < sizeof(to_server) - 1; i++) {
		char one[2] = {to_server[i]}, two[2] = {i < sizeof(to_client) - 1 ? to_client[i] : 0};

		tx(&r, i, one, 2);
		if (*two)
			rx(&r, i, two, 2);
	}
	CHECK_EQ(r.ops, 6);
	CHECK(strstr(buf_cstr(&r.log), "send 123456789\nsend z\n") != NULL);
	end(&r);
}

static void only_the_servers_end(void)
{
	struct rig r;

	begin(&r, only_toy, 1);
	open_end(&r, ENDPOINT_SERVER, true);
	rx(&r, 0, "TOY!#3abc", 2);
	tx(&r, 0, "OK", 3);
	CHECK_EQ(streams__tick(r.s, NS_PER_SEC), 0);
	CHECK_STR(buf_cstr(&r.log), "send abc\n");
	CHECK(r.conn.swapped);
	CHECK_EQ(r.last.pid, 0); /* the client's is not known, and the broker's is not it */
	CHECK_EQ(r.last.tid, 0);
	CHECK_EQ(r.last.unit, 0);
	CHECK_EQ(r.last.ts_ns, 2 * NS_PER_MS);
	end(&r);
}

static void the_other_way_round(void)
{
	struct rig r;

	begin(&r, only_toy, 1);
	open_end(&r, ENDPOINT_UNKNOWN, true);
	rx(&r, 0, "TOY!#3abc", 2);
	tx(&r, 0, "OK#1x", 3);
	CHECK_STR(buf_cstr(&r.log), "send abc\nreceive x\n");
	CHECK(r.conn.swapped && r.conn.role_known);
	CHECK_EQ(r.conn.server_pid, 70);
	CHECK_EQ(r.conn.client_pid, 0);
	CHECK_EQ(r.conn.server_port, 4000);
	end(&r);
}

static void others_are_let_go(void)
{
	struct rig r;
	char filler[201];

	begin(&r, only_toy, 1);
	open_end(&r, ENDPOINT_CLIENT, true);
	tx(&r, 0, "GET / HTTP/1.1\r\n", 2);
	CHECK_STR(buf_cstr(&r.states), "unknown other ");
	CHECK_EQ(r.ignored, 1);
	end(&r);

	/* nobody says no, but it goes on and on */
	memset(filler, '.', 200);
	filler[200] = 0;
	for (int from_start = 0; from_start < 2; from_start++) {
		uint64_t n = 0;

		max_buffer = from_start ? 16u << 20 : 64u << 10;
		begin(&r, only_toy, 1);
		open_end(&r, ENDPOINT_CLIENT, from_start);
		if (!from_start)
			tx(&r, 0, filler, 2);
		for (; !r.ignored && n < 32 << 20; n += 200)
			rx(&r, n, filler, 2);
		CHECK_STR(buf_cstr(&r.states), "unknown other ");
		/* The first thing that is said may be a large request. */
		CHECK(from_start ? n > 7 << 20 && n < 10 << 20 : n > 63 << 10 && n < 81 << 10);
		end(&r);
	}
	max_buffer = 64u << 10;
}

/* The answer to what was asked before we came may be large: it is no reason to let go, and it is counted. */
static void only_one_side_speaks(void)
{
	struct rig r;
	char filler[201];
	uint64_t n = 0;

	memset(filler, '.', 200);
	filler[200] = 0;
	begin(&r, only_toy, 1);
	open_end(&r, ENDPOINT_CLIENT, false);
	for (; n < 200 << 10; n += 200)
		rx(&r, n, filler, 2);
	CHECK_EQ(r.ignored, 0);
	tx(&r, 0, "#3abc", 3);
	rx(&r, n, "#2xy", 4);
	CHECK_STR(buf_cstr(&r.states), "unknown decoded:toy ");
	CHECK_STR(buf_cstr(&r.log), "send abc\nreceive xy\n");
	CHECK_EQ(r.lost, n);
	end(&r);
}

/* What is left where a recording ends, and what a decoder says that it did not understand. */
static void the_rest_is_counted(void)
{
	for (int closes = 0; closes < 2; closes++) {
		struct rig r;

		begin(&r, only_toy, 1);
		open_end(&r, ENDPOINT_CLIENT, true);
		rx(&r, 0, "OK", 2);
		tx(&r, 0, "TOY!#2Ux", 3);
		CHECK_EQ(r.gaps, 1);
		CHECK_EQ(r.lost, 4);
		CHECK_STR(r.reason, "not understood");
		rx(&r, 2, "?", 4);
		CHECK_EQ(r.gaps, 1);
		if (closes)
			CHECK_EQ(streams__close(r.s, 1, 20 * NS_PER_MS, false), 0);
		else
			CHECK_EQ(streams__flush(r.s, 20 * NS_PER_MS), 0);
		CHECK_EQ(r.gaps, 2);
		CHECK_EQ(r.lost, 5);
		end(&r);
	}
}

static void tls_is_told_apart(void)
{
	static const struct {
		struct span tx, rx;
		bool from_start, tls;
	} t[] = {
		{SPAN_LIT("\x16\3\1\2\0\1\0\1\xfc\3\3"), {0}, true, true},
		{{0}, SPAN_LIT("\x16\3\3\0\x7a\2\0\0\x76"), true, true},
		{SPAN_LIT("\x16\3\1\2\0\7\0\1\xfc"), {0}, true, false}, /* no hello */
		{SPAN_LIT("\x17\3\3\0\4abcd"), {0}, false, true},       /* one whole record */
		{SPAN_LIT("\x17\3\3\0\4abcd\x17\3\3\1\0xyz"), {0}, false, true},
		{SPAN_LIT("\x17\3\3\0\4abcdefghijk"), {0}, false, false}, /* no record behind it */
		{SPAN_LIT("\x17\3\3\0\4ab"), {0}, false, false},
		{SPAN_LIT("\x17\3\3\xff\xff"
			  "abcd"),
			{0}, false, false}, /* too long for one */
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct rig r;

		begin(&r, only_toy, 1);
		open_end(&r, ENDPOINT_CLIENT, t[i].from_start);
		CHECK_EQ(put(&r, DIR_TX, 0, t[i].tx, 2), 0);
		CHECK_EQ(put(&r, DIR_RX, 0, t[i].rx, 2), 0);
		CHECK_EQ(strstr(buf_cstr(&r.states), "encrypted") != NULL, t[i].tls);
		CHECK_EQ(r.ignored, t[i].tls || t[i].from_start);
		end(&r);
	}
}

static void a_wrong_guess_is_undone(void)
{
	static const struct proto *const protos[] = {&rash, &toy};
	struct rig r;

	begin(&r, protos, 2);
	open_end(&r, ENDPOINT_CLIENT, true);
	tx(&r, 0, "TOY!#3abc", 2);
	CHECK_STR(buf_cstr(&r.states), "unknown decoded:rash unknown ");
	rx(&r, 0, "OK", 3);
	CHECK_STR(buf_cstr(&r.states), "unknown decoded:rash unknown decoded:toy ");
	CHECK_STR(buf_cstr(&r.log), "send abc\n");
	CHECK_EQ(r.ignored, 0);
	end(&r);

	/* and nobody else wants it */
	begin(&r, protos, 1);
	open_end(&r, ENDPOINT_CLIENT, true);
	tx(&r, 0, "TOY!#3abc", 2);
	CHECK_STR(buf_cstr(&r.states), "unknown decoded:rash unknown other ");
	end(&r);
}

static void a_decoder_gives_up(void)
{
	struct rig r;

	begin(&r, only_toy, 1);
	open_end(&r, ENDPOINT_CLIENT, true);
	tx(&r, 0, "TOY!#1a", 2);
	rx(&r, 0, "OK", 3);
	tx(&r, 7, "#1b#1E#1c", 4);
	CHECK_STR(buf_cstr(&r.states), "unknown decoded:toy failed:toy ");
	CHECK_STR(buf_cstr(&r.log), "send a\nsend b\n");
	CHECK_EQ(r.ignored, 1);
	tx(&r, 16, "#1d", 5);
	CHECK_EQ(streams__close(r.s, 1, NS_PER_SEC, false), 0);
	CHECK_EQ(r.ops, 2);
	end(&r);
}

static void over_gaps(void)
{
	struct rig r;

	begin(&r, only_toy, 1);
	open_end(&r, ENDPOINT_CLIENT, true);
	tx(&r, 0, "TOY!#1a#9half", 2);
	rx(&r, 0, "OK", 3);
	tx(&r, 20, "rest#1b", 4);
	CHECK_EQ(streams__tick(r.s, 2 * NS_PER_SEC), 0);
	CHECK_STR(buf_cstr(&r.log), "send a\nerror gap\nsend b\n");
	CHECK_EQ(r.gaps, 2);
	CHECK_EQ(r.lost, 7 + 4); /* the hole, and what was skipped to the next frame */
	CHECK(strstr(r.reason, "skipped") != NULL);
	/* lost without a hole, found again later */
	tx(&r, 27, "#1Lxx", 5000);
	tx(&r, 32, "yy#1c", 5001);
	CHECK_STR(buf_cstr(&r.log), "send a\nerror gap\nsend b\nsend c\n");
	CHECK_EQ(r.lost, 11 + 7);
	end(&r);

	/* before anybody knew what it is */
	begin(&r, only_toy, 1);
	open_end(&r, ENDPOINT_CLIENT, true);
	tx(&r, 0, "TO", 2);
	tx(&r, 7, "bc#1d", 3);
	CHECK_EQ(streams__tick(r.s, 2 * NS_PER_SEC), 0);
	CHECK_STR(buf_cstr(&r.log), "send d\n");
	CHECK_EQ(r.lost, 5 + 2);
	end(&r);
}

static void joined_in_the_middle(void)
{
	struct rig r;

	begin(&r, only_toy, 1);
	open_end(&r, ENDPOINT_CLIENT, false);
	rx(&r, 0, "#1x#1y", 2);
	tx(&r, 0, "abc#1d#2e", 3);
	tx(&r, 9, "f", 4);
	CHECK_STR(buf_cstr(&r.log), "receive x\nreceive y\nsend d\nsend ef\n");
	CHECK_EQ(r.lost, 3);
	end(&r);
}

static void misbehaviour_ends(void)
{
	static const struct proto *const protos[] = {&bad};
	static const char *const texts[] = {"over", "never", "still", "lost", "far"};
	char more[1001];

	memset(more, '.', 1000);
	more[1000] = 0;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct stream_stats st;
		uint64_t pos;
		struct rig r;

		begin(&r, protos, 1);
		open_end(&r, ENDPOINT_CLIENT, true);
		tx(&r, 0, texts[i], 2);
		for (pos = strlen(texts[i]); pos < 200000; pos += 1000)
			tx(&r, pos, more, 3);
		streams__stats(r.s, &st);
		CHECK(st.buffered <= 65u << 10);
		end(&r);
	}
}

static void errors_stop(void)
{
	struct rig r;

	begin(&r, only_toy, 1);
	r.fail_at = 2;
	open_end(&r, ENDPOINT_CLIENT, true);
	tx(&r, 0, "TOY!#1a", 2);
	rx(&r, 0, "OK", 3);
	CHECK_EQ(put(&r, DIR_TX, 7, SPAN_LIT("#1b#1c"), 4), -28);
	CHECK_EQ(r.ops, 2);
	end(&r);
}

static void the_table_of_decoders(void)
{
	const struct proto *p = proto_by_name("amqp091");

	CHECK(p && p->id == PROTO_AMQP091);
	CHECK(proto_by_id(PROTO_AMQP091) == p);
	CHECK(!proto_by_name("nothing"));
	CHECK(!proto_by_id(PROTO_NONE));
}

int main(void)
{
	RUN(decides_and_decodes);
	RUN(byte_by_byte);
	RUN(only_the_servers_end);
	RUN(the_other_way_round);
	RUN(others_are_let_go);
	RUN(only_one_side_speaks);
	RUN(the_rest_is_counted);
	RUN(tls_is_told_apart);
	RUN(a_wrong_guess_is_undone);
	RUN(a_decoder_gives_up);
	RUN(over_gaps);
	RUN(joined_in_the_middle);
	RUN(misbehaviour_ends);
	RUN(errors_stop);
	RUN(the_table_of_decoders);
	return test_end();
}
