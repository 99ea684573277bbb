/* Segments of a capture, as networks and hosts really send them: fragments, probes, repetitions, holes. */
#include "test.h"

#include <sys/socket.h>

#include "calls.h"
#include "capture/covered.h"
#include "capture/defrag.h"
#include "capture/flows.h"
#include "export/pcap_packet.h"
#include "to_streams.h"

#define RAW 101
#define MS  1000000LL
#define T0  1700000000000000000LL

static const struct tcp_end ends[] = {
	{.addr = {10, 0, 0, 1}, .port = 40000}, {.addr = {10, 0, 0, 2}, .port = 5672}};
static const struct tcp_end ends6[] = {
	{.addr = {0xfd, [15] = 1}, .port = 40000}, {.addr = {0xfd, [15] = 2}, .port = 5672}};

struct seg {
	int64_t ms;
	char from; /* 'c' client, 's' server */
	const char *flags;
	uint32_t seq, ack;
	const char *data;
};

static uint8_t flag_bits(const char *s)
{
	static const char names[] = "FSRPA";
	static const uint8_t bits[] = {TCP_FIN, TCP_SYN, 4, TCP_PSH, TCP_ACK};
	uint8_t v = 0;

	for (; *s; s++)
		v |= bits[strchr(names, *s) - names];
	return v;
}

static struct buf packet_of(const struct seg *s, bool v6)
{
	const struct tcp_end *e = v6 ? ends6 : ends;
	struct tcp_packet p = {.v6 = v6,
		.from = &e[s->from == 's'],
		.to = &e[s->from != 's'],
		.seq = s->seq,
		.ack = s->ack,
		.id = 7,
		.flags = flag_bits(s->flags),
		.data = span_str(s->data)};
	struct buf b = {0};

	put_tcp(&b, &p);
	return b;
}

/* The calls of a conversation, without ticks; freed by the caller. */
static const char *calls_of(struct calls *got, const struct seg *segs, size_t n)
{
	struct flows *f = flows__new();
	struct sink k = calls_sink(got);

	got->quiet_ticks = true;
	for (size_t i = 0; i < n; i++) {
		struct buf b = packet_of(&segs[i], false);

		CHECK_EQ(flows_packet(f, &k, T0 + segs[i].ms * MS, RAW, buf_span(&b), (uint32_t)b.n), 0);
		buf_free(&b);
	}
	CHECK_EQ(flows_end(f, &k), 0);
	flows__free(f);
	return buf_cstr(&got->text);
}

static int count(const char *text, const char *word)
{
	int n = 0;

	for (const char *p = text; (p = strstr(p, word)); p++)
		n++;
	return n;
}

/* --- what reaches a decoder --- */

struct got {
	struct buf text;
	int last; /* direction */
};

static int64_t to_text(void *ctx, struct conn *c, enum flowdir d, uint64_t pos, struct span data)
{
	struct got *g = ctx;

	(void)c, (void)pos;
	if (g->last != (int)d)
		buf_putc(&g->text, d == TO_SERVER ? '>' : '<');
	g->last = (int)d;
	buf_put_span(&g->text, data);
	return (int64_t)data.n;
}

static int gap_to_text(
	void *ctx, struct conn *c, enum flowdir d, uint64_t pos, uint64_t n, const char *reason)
{
	(void)c, (void)pos, (void)reason;
	((struct got *)ctx)->last = -1;
	buf_printf(&((struct got *)ctx)->text, "%c[%llu]", d == TO_SERVER ? '>' : '<', (unsigned long long)n);
	return 0;
}

static int no_open(void *ctx, struct conn *c)
{
	(void)ctx, (void)c;
	return 0;
}

static int close_to_text(void *ctx, struct conn *c, int64_t ts_ns, bool by_client)
{
	(void)c, (void)ts_ns;
	buf_puts(&((struct got *)ctx)->text, by_client ? ">." : "<.");
	return 0;
}

static void no_forget(void *ctx, struct conn *c)
{
	(void)ctx, (void)c;
}

/* What a consumer of the streams gets: ">" to the server, "<" to the client, "[n]" a gap, "." the end. */
static struct buf stream_of(const struct seg *segs, size_t n)
{
	struct got g = {.last = -1};
	struct stream_ops ops = {.ctx = &g,
		.open = no_open,
		.data = to_text,
		.gap = gap_to_text,
		.close = close_to_text,
		.forget = no_forget};
	struct streams *s = streams__new(&ops, NULL);
	struct sink k = sink_to_streams(s);
	struct flows *f = flows__new();

	for (size_t i = 0; i < n; i++) {
		struct buf b = packet_of(&segs[i], false);

		CHECK_EQ(flows_packet(f, &k, T0 + segs[i].ms * MS, RAW, buf_span(&b), (uint32_t)b.n), 0);
		buf_free(&b);
	}
	CHECK_EQ(flows_end(f, &k), 0);
	CHECK_EQ(streams__flush(s, T0 + 1000000 * MS), 0);
	flows__free(f);
	streams__free(s);
	return g.text;
}

#define CHECK_STREAM(want, ...)                                                                              \
	do {                                                                                                 \
		static const struct seg segs_[] = {__VA_ARGS__};                                             \
		struct buf text_ = stream_of(segs_, ARRAY_LEN(segs_));                                       \
		CHECK_STR(buf_cstr(&text_), want);                                                           \
		buf_free(&text_);                                                                            \
	} while (0)

#define HANDSHAKE                                                                                            \
	{0, 'c', "S", 99, 0, NULL},                                                                          \
	{                                                                                                    \
		1, 's', "SA", 499, 100, NULL                                                                 \
	}

static void order_and_repetition(void)
{
	/* out of order; the same again; a part again with more behind it */
	CHECK_STREAM(">abcdef<xyz", HANDSHAKE, {2, 'c', "PA", 103, 500, "def"},
		{3, 'c', "PA", 100, 500, "abc"}, {4, 'c', "PA", 100, 500, "abcdef"},
		{5, 's', "PA", 500, 106, "xy"}, {6, 's', "PA", 500, 106, "xyz"});
	/* overlapping with other content: what came first counts */
	CHECK_STREAM(">abcdE", HANDSHAKE, {2, 'c', "PA", 100, 500, "abcd"}, {3, 'c', "PA", 102, 500, "XYE"});
	/* lost on the way, and sent again much later than captures mix up packets */
	CHECK_STREAM(">one two three ", HANDSHAKE, {2, 'c', "PA", 100, 500, "one "},
		{3, 'c', "PA", 108, 500, "three "}, {4, 's', "A", 500, 104, NULL},
		{3004, 's', "A", 500, 104, NULL}, {6000, 's', "A", 500, 104, NULL},
		{9000, 'c', "PA", 104, 500, "two "}, {9001, 's', "A", 500, 114, NULL});
}

static void bytes_that_the_capture_lacks(void)
{
	/* acknowledged, so nobody will send them again: a gap a second later, and not at the end only */
	CHECK_STREAM(">one >[4]>three four", HANDSHAKE, {2, 'c', "PA", 100, 500, "one "},
		{3, 'c', "PA", 108, 500, "three "}, {4, 's', "A", 500, 114, NULL},
		{2004, 's', "A", 500, 114, NULL}, {4000, 'c', "PA", 114, 500, "four"});
	/* the last ones of a connection */
	CHECK_STREAM(">one>[5]>.", HANDSHAKE, {2, 'c', "PA", 100, 500, "one"}, {3, 'c', "FA", 108, 500, NULL},
		{4, 's', "FA", 500, 109, NULL}, {5, 'c', "A", 109, 501, NULL});
	/* the FIN itself is not in the capture: its number is no byte */
	CHECK_STREAM(">one", HANDSHAKE, {2, 'c', "PA", 100, 500, "one"}, {3, 's', "A", 500, 104, NULL},
		{4000, 's', "A", 500, 104, NULL});
	/* one direction only was captured */
	CHECK_STREAM(">ask<[7]>more<[9]", HANDSHAKE, {2, 'c', "PA", 100, 500, "ask"},
		{3, 'c', "A", 103, 507, NULL}, {2003, 'c', "PA", 103, 507, "more"},
		{2005, 'c', "A", 107, 516, NULL}, {9000, 'c', "A", 107, 516, NULL});
	/* an acknowledgement that is nonsense */
	CHECK_STREAM(">askmore", HANDSHAKE, {2, 'c', "PA", 100, 500, "ask"},
		{3, 's', "A", 500, 0x70000000, NULL}, {4000, 'c', "PA", 103, 500, "more"},
		{8000, 'c', "A", 107, 500, NULL});
}

static void answers_come_behind_what_they_answer(void)
{
	static struct seg many[3000];
	struct buf text;

	/* captured the other way round */
	CHECK_STREAM(">ask<yes>more<no", HANDSHAKE, {2, 's', "PA", 500, 103, "yes"},
		{3, 'c', "PA", 103, 503, "more"}, {4, 's', "PA", 503, 107, "no"},
		{5, 'c', "PA", 100, 500, "ask"});
	/* a request that is not in the capture: what was said after it waits for the gap */
	CHECK_STREAM(">one <1>[4]<2>three <3", HANDSHAKE, {2, 'c', "PA", 100, 500, "one "},
		{3, 's', "PA", 500, 104, "1"}, {4, 's', "PA", 501, 108, "2"},
		{5, 'c', "PA", 108, 502, "three "}, {6, 's', "PA", 502, 114, "3"},
		{2000, 's', "A", 503, 114, NULL});
	/* nothing comes after it */
	CHECK_STREAM(">one >[4]<2<.", HANDSHAKE, {2, 'c', "PA", 100, 500, "one "},
		{3, 's', "PA", 500, 108, "2"}, {4, 's', "FA", 501, 108, NULL}, {5, 'c', "FA", 108, 502, NULL},
		{6, 's', "A", 502, 109, NULL});
	/* a hole each: neither waits for the other for ever */
	CHECK_STREAM(">[2]<[2]<z>c", HANDSHAKE, {2, 's', "PA", 502, 103, "z"}, {3, 'c', "PA", 102, 503, "c"},
		{3000, 'c', "A", 103, 503, NULL});
	/* the second hole has a second of its own */
	CHECK_STREAM(">abc<1>def<2", HANDSHAKE, {2, 's', "PA", 500, 103, "1"},
		{900, 'c', "PA", 100, 500, "abc"}, {901, 's', "PA", 501, 106, "2"},
		{1500, 'c', "PA", 103, 501, "def"});
	/* the number of a FIN is no byte, whether it was captured or not */
	CHECK_STREAM(">ask<yesmore", HANDSHAKE, {2, 'c', "PA", 100, 500, "ask"},
		{3, 'c', "FA", 103, 500, NULL}, {4, 's', "PA", 500, 104, "yes"},
		{5, 's', "PA", 503, 104, "more"});
	CHECK_STREAM(">ask<yesmore", HANDSHAKE, {2, 'c', "PA", 100, 500, "ask"},
		{4, 's', "PA", 500, 104, "yes"}, {3000, 's', "PA", 503, 104, "more"});
	/* more than is held back */
	for (uint32_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct seg){0, 's', "PA", 500 + i, 108, "x"};
	text = stream_of(many, ARRAY_LEN(many));
	CHECK_EQ(count(buf_cstr(&text), "x"), (int)ARRAY_LEN(many));
	buf_free(&text);
	many[0] = (struct seg){0, 'c', "PA", 100, 500, "ask"};
	text = stream_of(many, ARRAY_LEN(many));
	CHECK(!strncmp(buf_cstr(&text), ">ask", 4));
	CHECK_EQ(count(buf_cstr(&text), "x"), (int)ARRAY_LEN(many) - 1);
	CHECK_EQ(count(buf_cstr(&text), ">[5]"), 1);
	buf_free(&text);
}

/* The bytes of all chunks, and how many chunks stand for missing ones. */
struct tally {
	uint64_t bytes, missing, opened;
};

static int tally_open(void *ctx, const struct endpoint_info *e)
{
	(void)e;
	((struct tally *)ctx)->opened++;
	return 0;
}

static int tally_chunk(void *ctx, const struct chunk *c)
{
	struct tally *t = ctx;

	t->bytes += c->data.n;
	t->missing += c->data.n < c->len;
	return 0;
}

static int tally_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	(void)ctx, (void)endpoint, (void)ts_ns, (void)by_peer;
	return 0;
}

static int tally_loss(void *ctx, const struct loss_info *l)
{
	(void)ctx, (void)l;
	return 0;
}

static int tally_tick(void *ctx, int64_t ts_ns)
{
	(void)ctx, (void)ts_ns;
	return 0;
}

static int feed_from(struct flows *f, struct tally *t, int64_t ms, uint16_t port, char from, uint32_t seq,
	uint32_t ack, struct span data)
{
	struct sink k = {t, NULL, NULL, tally_open, tally_chunk, tally_close, tally_loss, tally_tick};
	struct tcp_end e[2] = {ends[0], ends[1]};
	struct tcp_packet p = {.from = &e[from == 's'],
		.to = &e[from != 's'],
		.seq = seq,
		.ack = ack,
		.flags = TCP_ACK | TCP_PSH,
		.data = data};
	struct buf b = {0};
	int err;

	e[0].port = port;
	put_tcp(&b, &p);
	err = flows_packet(f, &k, T0 + ms * MS, RAW, buf_span(&b), (uint32_t)b.n);
	buf_free(&b);
	return err;
}

/* Many connections, each of which waits for bytes that never come: bounded over all of them, none is lost. */
static void held_back_of_many(void)
{
	enum { CONNS = 256, EACH = 20, SIZE = 60000 };
	static uint8_t bytes[SIZE];
	struct flows *f = flows__new();
	struct tally t = {0};
	uint64_t most = 0;

	for (uint32_t i = 0; i < EACH; i++)
		for (uint16_t c = 0; c < CONNS; c++) {
			uint64_t sent = ((uint64_t)i * CONNS + c + 1) * SIZE;

			CHECK_EQ(feed_from(f, &t, 0, (uint16_t)(1000 + c), 's', 500 + i * SIZE, 104,
					 span_of(bytes, SIZE)),
				0);
			if (!i)
				CHECK_EQ(feed_from(f, &t, 0, (uint16_t)(1000 + c), 'c', 96, 500,
						 SPAN_LIT("ask?")),
					0);
			most = sent - t.bytes > most && sent > t.bytes ? sent - t.bytes : most;
		}
	CHECK(most > 100u << 20);
	CHECK(most <= 128u << 20);
	CHECK_EQ(flows_end(f, &(struct sink){&t, NULL, NULL, tally_open, tally_chunk, tally_close, tally_loss,
				      tally_tick}),
		0);
	CHECK_EQ(t.bytes, (uint64_t)CONNS * (EACH * SIZE + 4));
	CHECK_EQ(t.opened, CONNS);
	flows__free(f);
}

/* One direction was captured, for long: each request waits a second at most for the answer before it, whose
 * bytes are told in their place. And the worst order, from the last one to the first. */
static void one_direction_for_long(void)
{
	enum { N = 200000 };
	struct sink k = {NULL, NULL, NULL, tally_open, tally_chunk, tally_close, tally_loss, tally_tick};
	struct flows *f = flows__new();
	struct tally t = {0};

	k.ctx = &t;
	for (uint32_t i = 0; i < N; i++)
		CHECK_EQ(feed_from(f, &t, i, 1000, 'c', 100 + 4 * i, 500 + 8 * i, SPAN_LIT("ask?")), 0);
	CHECK(t.bytes > 4u * (N - 2100));
	CHECK_EQ(flows_end(f, &k), 0);
	CHECK_EQ(t.bytes, 4u * N);
	CHECK_EQ(t.missing, N - 1);
	flows__free(f);

	f = flows__new();
	t = (struct tally){0};
	for (uint32_t i = N; i--;)
		CHECK_EQ(feed_from(f, &t, 0, 1000, 'c', 100 + 4 * i, 500 + 8 * i, SPAN_LIT("ask?")), 0);
	CHECK_EQ(flows_end(f, &k), 0);
	CHECK_EQ(t.bytes, 4u * N);
	flows__free(f);
}

static void probes(void)
{
	/* a garbage byte below the next one, and none at all */
	CHECK_STREAM(">askMORE", HANDSHAKE, {2, 'c', "PA", 100, 500, "ask"}, {3, 's', "A", 500, 103, NULL},
		{9000, 'c', "A", 102, 500, "?"}, {9001, 's', "A", 500, 103, NULL},
		{19000, 'c', "A", 102, 500, NULL}, {19001, 'c', "PA", 103, 500, "MORE"});
	/* on a connection that was there before, before anything else of it */
	CHECK_STREAM("<ok>ask", {0, 'c', "A", 102, 500, "?"}, {1, 's', "A", 500, 103, NULL},
		{2, 's', "PA", 500, 103, "ok"}, {3, 'c', "PA", 103, 502, "ask"});
	/* in a hole of the capture: it would be a wrong byte there */
	CHECK_STREAM(">one>[4]>end", HANDSHAKE, {2, 'c', "PA", 100, 500, "one"},
		{3, 's', "A", 500, 107, NULL}, {100, 'c', "A", 106, 500, "?"},
		{2000, 's', "A", 500, 107, NULL}, {3000, 'c', "PA", 107, 500, "end"});
	/* a window's probe is the next byte indeed */
	CHECK_STREAM(">one!", HANDSHAKE, {2, 'c', "PA", 100, 500, "one"}, {3, 's', "A", 500, 103, NULL},
		{4, 'c', "A", 103, 500, "!"});
}

static void beginnings(void)
{
	static const struct seg crossed[] = {{0, 'c', "S", 99, 0, NULL}, {1, 's', "S", 499, 0, NULL},
		{2, 'c', "SA", 99, 500, NULL}, {3, 's', "SA", 499, 100, NULL},
		{4, 's', "PA", 500, 100, "hello"}};
	static const struct seg fast[] = {{0, 'c', "S", 99, 0, "early"}, {1, 's', "SA", 499, 105, NULL},
		{2, 's', "PA", 500, 105, "answer"}};
	struct calls got = {0};
	const char *text = calls_of(&got, crossed, ARRAY_LEN(crossed));

	/* both sides opened: from the start, roles unknown */
	CHECK_EQ(count(text, "open "), 1);
	CHECK(strstr(text, " 40000 5672  0 0 1 4294967396 4294967796\n") != NULL);
	buf_free(&got.text);

	/* data with the SYN (TCP Fast Open) */
	got = (struct calls){0};
	text = calls_of(&got, fast, ARRAY_LEN(fast));
	CHECK(strstr(text, " 40000 5672  0 1 1 4294967396 4294967796\n") != NULL);
	CHECK(strstr(text, "chunk 1 0 4294967396 5 ") != NULL);
	CHECK(strstr(text, "chunk 1 1 4294967796 6 ") != NULL);
	buf_free(&got.text);
	/* and nothing else: the other side did not say anything yet */
	got = (struct calls){0};
	text = calls_of(&got, fast, 1);
	CHECK(strstr(text, " 40000 5672  0 1 1 4294967396 0\n") != NULL);
	CHECK(strstr(text, "chunk 1 0 4294967396 5 ") != NULL);
	buf_free(&got.text);
}

/* How many connections are seen of @segs, and how many of them from their start with known roles; each byte
 * came once. */
static void check_opened(int line, const struct seg *segs, size_t n, int conns, int from_start)
{
	struct calls got = {0};
	const char *text = calls_of(&got, segs, n);
	int started = count(text, " 40000 5672  0 1 1 4294");

	if (count(text, "open ") != conns || started != from_start)
		fprintf(stderr, "line %d:\n%s", line, text);
	CHECK_EQ(count(text, "open "), conns);
	CHECK_EQ(started, from_start);
	buf_free(&got.text);
}

#define CHECK_OPENED(conns, from_start, ...)                                                                 \
	do {                                                                                                 \
		static const struct seg segs_[] = {__VA_ARGS__};                                             \
		check_opened(__LINE__, segs_, ARRAY_LEN(segs_), conns, from_start);                          \
	} while (0)

#define ASK                                                                                                  \
	{                                                                                                    \
		2, 'c', "PA", 100, 500, "ask"                                                                \
	}
#define YES                                                                                                  \
	{                                                                                                    \
		3, 's', "PA", 500, 103, "yes"                                                                \
	}
#define MORE                                                                                                 \
	{                                                                                                    \
		4, 'c', "PA", 103, 503, "more"                                                               \
	}

/* Captures mix up packets: the first ones may come behind what follows them. */
static void late_syns(void)
{
	static const struct seg all[] = {{2, 'c', "S", 99, 0, NULL}, {2, 's', "SA", 499, 100, NULL},
		{2, 'c', "A", 100, 500, NULL}, ASK, YES, MORE};

	/* wherever they come: the SYN, its answer, or both */
	for (size_t syn = 0; syn < ARRAY_LEN(all); syn++)
		for (size_t answer = 0; answer < ARRAY_LEN(all); answer++)
			for (size_t third = 0; third < ARRAY_LEN(all); third++) {
				struct seg s[ARRAY_LEN(all)] = {{0}};
				size_t k = 3;
				struct buf text;

				if (syn == answer || syn == third || answer == third)
					continue;
				s[syn] = all[0];
				s[answer] = all[1];
				s[third] = all[2];
				for (size_t i = 0; i < ARRAY_LEN(all); i++)
					if (!s[i].flags)
						s[i] = all[k++];
				check_opened(__LINE__, s, ARRAY_LEN(s), 1, 1);
				text = stream_of(s, ARRAY_LEN(s));
				CHECK_STR(buf_cstr(&text), ">ask<yes>more");
				buf_free(&text);
			}
	/* the server's bytes first, its answer to the SYN not in the capture */
	CHECK_STREAM(
		">ask<yes>more", YES, MORE, {4, 'c', "S", 99, 0, NULL}, ASK, {5, 'c', "A", 107, 503, NULL});
	CHECK_OPENED(1, 1, YES, MORE, {4, 'c', "S", 99, 0, NULL}, ASK, {4, 'c', "A", 100, 500, NULL});
	/* or the SYN itself */
	CHECK_OPENED(1, 1, YES, MORE, {4, 's', "SA", 499, 100, NULL}, ASK);
	/* more than a second late: it is still no other connection, but too late to say where that began */
	CHECK_OPENED(1, 0, ASK, {1004, 'c', "S", 99, 0, NULL}, {1005, 's', "SA", 499, 100, NULL}, YES);
	CHECK_STREAM(">ask<yes>more", ASK, {1004, 'c', "S", 99, 0, NULL}, {1005, 's', "SA", 499, 100, NULL},
		{1006, 's', "PA", 500, 103, "yes"}, {1007, 'c', "PA", 103, 503, "more"});
}

static void addresses_used_anew(void)
{
	/* a SYN that has another number, above or below; its answer where the SYN is not in the capture */
	CHECK_OPENED(2, 1, {2, 'c', "PA", 100, 500, "ask"}, {3, 'c', "S", 9000, 0, NULL},
		{4, 's', "SA", 7000, 9001, NULL}, {5, 'c', "PA", 9001, 7001, "new"});
	CHECK_OPENED(2, 1, {2, 'c', "PA", 900000, 500, "ask"}, {3, 'c', "S", 9000, 0, NULL},
		{4, 's', "SA", 7000, 9001, NULL}, {5, 'c', "PA", 9001, 7001, "new"});
	CHECK_OPENED(2, 1, {2, 'c', "PA", 100, 500, "ask"}, {4, 's', "SA", 7000, 9001, NULL},
		{5, 'c', "PA", 9001, 7001, "new"});
	/* one that would fit, long after: it is not that far out of order */
	CHECK_OPENED(2, 1, {2, 'c', "PA", 100, 500, "ask"}, {5002, 'c', "S", 90, 0, NULL},
		{5003, 's', "SA", 7000, 91, NULL}, {5004, 'c', "PA", 91, 7001, "new"});
	/* of one that was seen from its start, however near */
	CHECK_OPENED(2, 2, HANDSHAKE, {2, 'c', "PA", 100, 500, "ask"}, {3, 'c', "S", 98, 0, NULL},
		{4, 's', "SA", 7000, 99, NULL}, {5, 'c', "PA", 99, 7001, "new"});
	/* a server that forgot its first answer */
	CHECK_OPENED(1, 1, HANDSHAKE, {2, 'c', "S", 99, 0, NULL}, {3, 's', "SA", 7000, 100, NULL},
		{5, 'c', "PA", 100, 7001, "ask"});
}

/* Captures that begin in the middle, out of order: nothing of what they hold is lost. */
static void middles(void)
{
	struct buf ask = packet_of(&(struct seg){0, 'c', "PA", 100, 500, "ask"}, false);
	struct calls got = {.quiet_ticks = true};
	struct sink k = calls_sink(&got);
	struct flows *f = flows__new();

	CHECK_STREAM(">abcdef<xyz>g", {2, 'c', "PA", 103, 500, "def"}, {3, 's', "PA", 502, 106, "z"},
		{4, 's', "PA", 500, 106, "xy"}, {5, 'c', "PA", 100, 500, "abc"},
		{6, 'c', "PA", 106, 503, "g"});
	CHECK_STREAM("<1>ask<2", {2, 's', "PA", 501, 103, "2"}, {3, 'c', "PA", 100, 501, "ask"},
		{4, 's', "PA", 500, 100, "1"});
	/* held back for a moment, not longer, whether anything more comes or not */
	CHECK_EQ(flows_packet(f, &k, T0, RAW, buf_span(&ask), (uint32_t)ask.n), 0);
	CHECK_EQ(flows_idle(f, &k, T0 + 90 * MS), 0);
	CHECK_STR(buf_cstr(&got.text), "");
	CHECK_EQ(flows_idle(f, &k, T0 + 100 * MS), 0);
	CHECK_EQ(count(buf_cstr(&got.text), "chunk 1 0 "), 1);
	buf_free(&got.text);
	buf_free(&ask);
	flows__free(f);
}

static void ends_of_connections(void)
{
	static const struct seg late[] = {HANDSHAKE, {2, 'c', "PA", 100, 500, "one"},
		{3, 'c', "FA", 103, 500, NULL}, {4, 's', "FA", 500, 104, NULL}, {5, 'c', "A", 104, 501, NULL},
		/* all of it again, after it was closed */
		{5000, 'c', "PA", 100, 500, "one"}, {5001, 'c', "FA", 103, 500, NULL},
		{5002, 'c', "S", 99, 0, NULL}};
	static const struct seg again[] = {HANDSHAKE, {2, 'c', "PA", 100, 500, "one"},
		{3, 'c', "RA", 103, 500, NULL}, {5000, 'c', "S", 8999, 0, NULL},
		{5001, 's', "SA", 7999, 9000, NULL}, {5002, 'c', "PA", 9000, 8000, "two"},
		/* its end is not in the capture */
		{9000, 'c', "S", 100, 0, NULL}, {9001, 's', "SA", 300, 101, NULL},
		{9002, 'c', "PA", 101, 301, "three"}};
	static const struct seg forged[] = {{0, 'c', "PA", 100, 500, "one"}, {1, 's', "R", 500, 0, NULL},
		{5000, 'c', "PA", 103, 500, "two"}};
	struct calls got = {0};
	const char *text = calls_of(&got, late, ARRAY_LEN(late));

	CHECK_EQ(count(text, "open "), 1);
	CHECK_EQ(count(text, "chunk "), 1);
	CHECK_EQ(count(text, "close "), 1);
	buf_free(&got.text);

	got = (struct calls){0};
	text = calls_of(&got, again, ARRAY_LEN(again));
	CHECK_EQ(count(text, "open "), 3);
	CHECK_EQ(count(text, " 40000 5672  0 1 1 4294"), 3);
	CHECK(strstr(text, "chunk 2 0 4294976296 3 ") != NULL);
	CHECK(strstr(text, "close 2 ") != NULL);
	CHECK(strstr(text, "chunk 3 0 4294967397 5 ") != NULL);
	buf_free(&got.text);

	/* a reset that nobody heeded: the connection goes on as another one */
	got = (struct calls){0};
	text = calls_of(&got, forged, ARRAY_LEN(forged));
	CHECK_EQ(count(text, "open "), 2);
	CHECK(strstr(text, "chunk 2 0 ") != NULL);
	buf_free(&got.text);
}

/* --- fragments --- */

struct part {
	int64_t ms;
	uint32_t offset, n; /* of the datagram's bytes; n 0: to its end */
	int packet;
	uint32_t lie; /* added to the offset */
};

/* Cuts the part of an IP packet out. */
static struct buf fragment_of(const struct buf *whole, const struct part *p, bool v6)
{
	size_t head = v6 ? 40 : 20, payload = whole->n - head, n = p->n ? p->n : payload - p->offset;
	bool more = p->offset + n < payload;
	uint32_t at = p->offset + p->lie;
	struct buf b = {0};

	buf_put(&b, whole->p, head);
	if (v6) {
		uint8_t h[8] = {
			6, 0, (uint8_t)(at >> 8), (uint8_t)((at & 0xf8) | more), 0, 0, 0, (uint8_t)p->packet};

		b.p[4] = (uint8_t)((n + 8) >> 8);
		b.p[5] = (uint8_t)(n + 8);
		b.p[6] = 44;
		buf_put(&b, h, 8);
	} else {
		b.p[2] = (uint8_t)((20 + n) >> 8);
		b.p[3] = (uint8_t)(20 + n);
		b.p[5] = (uint8_t)p->packet;
		b.p[6] = (uint8_t)((more ? 0x20 : 0) | at / 8 >> 8);
		b.p[7] = (uint8_t)(at / 8);
	}
	buf_put(&b, whole->p + head + p->offset, n);
	return b;
}

static const char sent[] = "0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/* The parts of two packets, 20 bytes of TCP header and 72 of text each. */
static const char *fragments_of(struct calls *got, bool v6, uint32_t snap, const struct part *parts, size_t n)
{
	struct seg segs[] = {{0, 'c', "PA", 100, 500, sent}, {0, 'c', "PA", 172, 500, sent}};
	struct buf whole[] = {packet_of(&segs[0], v6), packet_of(&segs[1], v6)};
	struct flows *f = flows__new();
	struct sink k = calls_sink(got);

	got->quiet_ticks = true;
	for (size_t i = 0; i < n; i++) {
		struct buf b = fragment_of(&whole[parts[i].packet], &parts[i], v6);
		struct span s = span_sub(buf_span(&b), 0, snap ? snap : SIZE_MAX);

		CHECK_EQ(flows_packet(f, &k, T0 + parts[i].ms * MS, RAW, s, (uint32_t)b.n), 0);
		buf_free(&b);
	}
	CHECK_EQ(flows_end(f, &k), 0);
	flows__free(f);
	buf_free(&whole[0]);
	buf_free(&whole[1]);
	return buf_cstr(&got->text);
}

#define CHECK_FRAGMENTS(v6, snap, whole, lost, ...)                                                          \
	do {                                                                                                 \
		static const struct part parts_[] = {__VA_ARGS__};                                           \
		struct calls got_ = {0};                                                                     \
		const char *text_ = fragments_of(&got_, v6, snap, parts_, ARRAY_LEN(parts_));                \
		CHECK_EQ(count(text_, sent), whole);                                                         \
		CHECK_EQ(count(text_, "fragments of IP packets"), lost);                                     \
		buf_free(&got_.text);                                                                        \
	} while (0)

static void fragments(void)
{
	for (int v6 = 0; v6 < 2; v6++) {
		CHECK_FRAGMENTS(v6, 0, 1, 0, {0, 0, 32, 0, 0}, {1, 32, 0, 0, 0});
		CHECK_FRAGMENTS(v6, 0, 1, 0, {0, 64, 0, 0, 0}, {1, 8, 56, 0, 0}, {2, 0, 8, 0, 0});
		CHECK_FRAGMENTS(
			v6, 0, 2, 0, {0, 0, 32, 0, 0}, {1, 0, 32, 1, 0}, {2, 32, 0, 1, 0}, {3, 32, 0, 0, 0});
		/* each of them twice */
		CHECK_FRAGMENTS(
			v6, 0, 1, 0, {0, 0, 32, 0, 0}, {0, 0, 32, 0, 0}, {1, 32, 0, 0, 0}, {1, 32, 0, 0, 0});
		/* one is missing; one comes too late */
		CHECK_FRAGMENTS(v6, 0, 0, 1, {0, 0, 32, 0, 0}, {1, 64, 0, 0, 0});
		CHECK_FRAGMENTS(v6, 0, 0, 2, {0, 0, 32, 0, 0}, {90000, 32, 0, 0, 0});
		/* beyond the largest packet, and behind the end */
		CHECK_FRAGMENTS(v6, 0, 0, 1, {0, 0, 32, 0, 0}, {1, 32, 0, 0, 65480});
		CHECK_FRAGMENTS(v6, 0, 0, 1, {0, 32, 0, 0, 0}, {1, 0, 32, 0, 128});
	}
	/* overlapping: first wins, or the packet is given up */
	CHECK_FRAGMENTS(false, 0, 1, 0, {0, 0, 48, 0, 0}, {1, 32, 0, 0, 0});
	CHECK_FRAGMENTS(true, 0, 0, 1, {0, 0, 48, 0, 0}, {1, 32, 0, 0, 0});
}

/* Cut by the snapshot length: the bytes up to there, and how many follow. */
static void fragments_cut(void)
{
	static const struct part parts[] = {{0, 0, 48, 0, 0}, {1, 48, 0, 0, 0}};
	struct calls got = {0};
	const char *text = fragments_of(&got, false, 60, parts, ARRAY_LEN(parts));

	CHECK(strstr(text, "chunk 1 0 4294967396 72 1700000000001000000 0 0 0 \"0123456789abcdefghij\"\n") !=
		NULL);
	buf_free(&got.text);
}

/* Many packets of which something is missing: bounded, and counted. */
static void fragments_without_end(void)
{
	struct defrag *f = defrag__new();
	struct defrag_lost lost;
	uint8_t bytes[64] = {0};

	for (uint32_t i = 0; i < 10000; i++) {
		struct datagram d = {.family = AF_INET,
			.next = 6,
			.id = i,
			.more = true,
			.size = 64,
			.data = span_of(bytes, 64)};

		CHECK_EQ(defrag_add(f, T0 + i, &d), 0);
	}
	defrag_tick(f, INT64_MAX);
	lost = defrag_lost(f);
	CHECK_EQ(lost.packets, 10000);
	CHECK_EQ(lost.bytes, 640000);
	CHECK_EQ(defrag_lost(f).packets, 0);
	defrag__free(f);
}

/* --- link layers --- */

static void links(void)
{
	static const struct {
		uint32_t link;
		uint8_t n;
		const char *head;
		bool ip;
	} t[] = {
		{1, 14, "\0\0\0\0\0\0\0\0\0\0\0\0\x08\0", true},
		{1, 14, "\0\0\0\0\0\0\0\0\0\0\0\0\x08\6", false},
		{1, 18, "\0\0\0\0\0\0\0\0\0\0\0\0\x81\0\0\7\x08\0", true},
		{1, 22, "\0\0\0\0\0\0\0\0\0\0\0\0\x88\xa8\0\7\x81\0\0\7\x08\0", true},
		{1, 30, "\0\0\0\0\0\0\0\0\0\0\0\0\x91\0\0\7\x92\0\0\7\x88\xa8\0\7\x81\0\0\7\x08\0", true},
		{113, 16, "\0\0\3\4\0\6\0\0\0\0\0\0\0\0\x08\0", true},
		{113, 20, "\0\0\3\4\0\6\0\0\0\0\0\0\0\0\x81\0\0\7\x08\0", true},
		{276, 20, "\x08\0\0\0\0\0\0\1\0\1\0\6\0\0\0\0\0\0\0\0", true},
		{0, 4, "\2\0\0\0", true},
		{0, 4, "\0\0\0\2", true},
		{0, 4, "\x1e\0\0\0", true},
		{0, 4, "\0\0\0\x1c", true},
		{0, 4, "\x18\0\0\0", true},
		{0, 4, "\x0a\0\0\0", true},
		{0, 4, "\x17\0\0\0", false}, /* IPX */
		{0, 4, "\2\0\0\2", false},
		{108, 4, "\0\0\0\2", true},
		{12, 0, "", true},
		{14, 0, "", true},
		{101, 0, "", true},
		{228, 0, "", true},
		{229, 0, "", true},
	};
	struct seg seg = {0, 'c', "PA", 100, 500, "data"};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct buf ip = packet_of(&seg, false), b = {0};
		enum packet_kind kind;
		struct datagram d;
		struct segment s = {0};

		buf_put(&b, t[i].head, t[i].n);
		buf_put_span(&b, buf_span(&ip));
		kind = packet_decode(t[i].link, buf_span(&b), (uint32_t)b.n, &d, &s);
		if (kind != (t[i].ip ? PACKET_TCP : PACKET_OTHER))
			fprintf(stderr, "%zu: ", i);
		CHECK_EQ(kind, t[i].ip ? PACKET_TCP : PACKET_OTHER);
		if (kind == PACKET_TCP)
			CHECK(span_is(s.data, "data"));
		buf_free(&ip);
		buf_free(&b);
	}
	CHECK(!packet_link_known(127));
}

/* IPv6 extension headers before TCP: all that have a length, in any order, up to a limit. */
static void extension_headers(void)
{
	static const uint8_t hop[] = {0, 0, 0, 0, 0, 0, 0, 0}, auth[] = {0, 4, [23] = 0},
			     wide[] = {0, 1, [15] = 0};
	static const struct {
		uint8_t type;
		const uint8_t *p;
		uint8_t n;
	} h[] = {{0, hop, 8}, {60, wide, 16}, {43, hop, 8}, {51, auth, 24}, {135, hop, 8}, {139, hop, 8},
		{140, hop, 8}, {60, hop, 8}};
	struct seg seg = {0, 'c', "PA", 100, 500, "data"};

	for (int round = 0; round < 3; round++) {
		struct buf ip = packet_of(&seg, true), b = {0};
		size_t copies = round < 2 ? 1 : 4;
		struct datagram d;
		struct segment s = {0};

		buf_put(&b, ip.p, 40);
		for (size_t c = 0; c < copies; c++)
			for (size_t i = 0; i < ARRAY_LEN(h); i++) {
				size_t at = b.n;

				buf_put(&b, h[i].p, h[i].n);
				b.p[at] = i + 1 < ARRAY_LEN(h) ? h[i + 1].type
					  : c + 1 < copies     ? h[0].type
							       : 6;
			}
		buf_put(&b, ip.p + 40, ip.n - 40);
		b.p[6] = h[0].type;
		b.p[4] = (uint8_t)((b.n - 40) >> 8);
		b.p[5] = (uint8_t)(b.n - 40);
		if (round == 1) /* the first one says that it is longer than the packet */
			b.p[41] = 255;
		CHECK_EQ(packet_decode(RAW, buf_span(&b), (uint32_t)b.n, &d, &s),
			round ? PACKET_OTHER : PACKET_TCP);
		if (!round)
			CHECK(span_is(s.data, "data"));
		buf_free(&ip);
		buf_free(&b);
	}
}

static void unknown_links_are_counted(void)
{
	struct flows *f = flows__new();
	struct calls got = {.quiet_ticks = true};
	struct sink k = calls_sink(&got);

	for (int i = 0; i < 50; i++)
		CHECK_EQ(flows_packet(f, &k, T0 + i, 127, SPAN_LIT("radio"), 100), 0);
	CHECK_EQ(flows_end(f, &k), 0);
	CHECK_STR(buf_cstr(&got.text),
		"loss 0 1700000000000000049 5000 50 packets of a link type that is not read\n");
	flows__free(f);
	buf_free(&got.text);
}

/* --- ranges --- */

static void ranges(void)
{
	struct covered c = {0};
	uint64_t rnd = 1;
	bool have[512] = {false};

	CHECK_EQ(covered_add(&c, 0, 0), 0);
	for (int i = 0; i < 3000; i++) {
		uint64_t pos, end, next = 0;

		rnd = rnd * 6364136223846793005ULL + 1442695040888963407ULL;
		pos = 1 + (rnd >> 33) % 500;
		end = pos + 1 + (rnd >> 53) % 8;
		CHECK_EQ(covered_add(&c, pos, end), 0);
		for (uint64_t k = pos; k < end; k++)
			have[k] = true;
		while (have[next])
			next++;
		CHECK_EQ(c.next, next);
		while (next < 511 && !have[next])
			next++;
		if (c.n)
			CHECK_EQ(covered_hole_end(&c, 1000), next);
	}
	CHECK_EQ(covered_add(&c, 0, 1), 0);
	CHECK(c.next > 400);
	covered_free(&c);
	/* more holes than are kept: the first ones are given up, and it goes on */
	for (uint64_t i = 0; i < 1000; i++)
		CHECK_EQ(covered_add(&c, i * 10, i * 10 + 5), 0);
	CHECK(c.n <= 128);
	CHECK(c.next > 8000);
	CHECK_EQ(c.beyond[c.n - 1].end, 9995);
	covered_free(&c);
}

int main(void)
{
	RUN(order_and_repetition);
	RUN(bytes_that_the_capture_lacks);
	RUN(answers_come_behind_what_they_answer);
	RUN(held_back_of_many);
	RUN(one_direction_for_long);
	RUN(probes);
	RUN(beginnings);
	RUN(late_syns);
	RUN(addresses_used_anew);
	RUN(middles);
	RUN(ends_of_connections);
	RUN(fragments);
	RUN(fragments_cut);
	RUN(fragments_without_end);
	RUN(links);
	RUN(extension_headers);
	RUN(unknown_links_are_counted);
	RUN(ranges);
	return test_end();
}
