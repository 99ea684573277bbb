/* Reassembly, gaps and pairing: bytes go in cut, mixed up, doubled and with holes; each must come out once.
 */
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/timefmt.h"
#include "stream/stream.h"

#define CLIENT 101
#define SERVER 202

/* What came out, for one connection at a time: text per direction, a hole of n bytes as "<n>". */
enum policy {
	TAKE_ALL,
	TAKE_NONE,
	TAKE_FRAMES, /* one byte of length, then that many bytes */
	DECIDE_LATE, /* nothing until `decide_at` bytes of both directions are there, then all */
	SWAP,        /* the first bytes show that client and server are the other way round */
	IGNORE,
	SECRET,
};

struct seen {
	struct streams *s;
	enum policy policy;
	size_t decide_at;
	bool decided;
	struct buf text[2];
	struct buf order; /* of what was taken: '>' to the server, '<' to the client */
	struct buf verdicts, secrets;
	uint64_t next[2];
	int opened, closed, forgotten, gaps, by_server;
	bool by_client;
	uint64_t gap_bytes;
	char reason[64];
	struct conn last;
	struct mark first_mark, last_mark;
	bool bad_pos;
};

static int on_open(void *ctx, struct conn *c)
{
	struct seen *o = ctx;

	o->opened++;
	o->last = *c;
	return 0;
}

static int64_t consume(
	struct seen *o, struct conn *c, enum flowdir d, uint64_t pos, struct span data, size_t n)
{
	if (!n)
		return 0;
	if (pos != o->next[d])
		o->bad_pos = true;
	buf_put(&o->text[d], data.p, n);
	buf_putc(&o->order, d == TO_SERVER ? '>' : '<');
	o->next[d] = pos + n;
	o->first_mark = stream_mark(c, d, pos);
	o->last_mark = stream_mark(c, d, pos + n - 1);
	o->by_server += o->first_mark.by_server;
	return (int64_t)n;
}

static size_t whole_frames(struct span data)
{
	size_t n = 0;

	while (n < data.n && n + 1 + data.p[n] <= data.n)
		n += 1 + data.p[n];
	return n;
}

static int64_t on_data(void *ctx, struct conn *c, enum flowdir d, uint64_t pos, struct span data)
{
	struct seen *o = ctx;

	o->last = *c;
	switch (o->policy) {
	case TAKE_NONE:
		return 0;
	case TAKE_FRAMES:
		return consume(o, c, d, pos, data, whole_frames(data));
	case IGNORE:
		stream_ignore(o->s, c);
		return 0;
	case SWAP:
	case DECIDE_LATE:
		if (!o->decided && data.n + stream_pending(c, !d).n >= o->decide_at) {
			o->decided = true;
			if (o->policy == SWAP)
				stream_swap(c);
			stream_take(o->s, c);
			o->last = *c;
			return 0;
		}
		if (!o->decided)
			return 0;
		break;
	case SECRET: /* what stands behind a '=' up to 3 bytes further */
		for (size_t i = 0; i < data.n; i++)
			if (data.p[i] == '=')
				stream_secret(c, d, pos + i + 1, 3);
		break;
	case TAKE_ALL:
		break;
	}
	return consume(o, c, d, pos, data, data.n);
}

static int on_gap(void *ctx, struct conn *c, enum flowdir d, uint64_t pos, uint64_t n, const char *reason)
{
	struct seen *o = ctx;

	o->gaps++;
	o->gap_bytes += n;
	o->next[d] = pos + n;
	o->last = *c;
	buf_printf(&o->text[d], "<%d>", (int)n);
	snprintf(o->reason, sizeof(o->reason), "%s", reason);
	return 0;
}

static int on_close(void *ctx, struct conn *c, int64_t ts_ns, bool by_client)
{
	struct seen *o = ctx;

	(void)ts_ns;
	o->closed++;
	o->by_client = by_client;
	o->last = *c;
	return 0;
}

static void on_forget(void *ctx, struct conn *c)
{
	struct seen *o = ctx;

	(void)c;
	o->forgotten++;
}

static void on_verdict(void *ctx, uint64_t endpoint, enum verdict v)
{
	struct seen *o = ctx;

	buf_printf(&o->verdicts, "%d%c ", (int)endpoint, v == VERDICT_IGNORE ? '-' : '+');
}

static void on_secret(void *ctx, uint64_t endpoint, enum dir d, uint64_t pos, uint64_t n)
{
	struct seen *o = ctx;

	buf_printf(&o->secrets, "%d%c %llu+%llu ", (int)endpoint, d == DIR_TX ? 't' : 'r',
		(unsigned long long)pos, (unsigned long long)n);
}

static void begin(struct seen *o, enum policy policy, const struct stream_opts *opts)
{
	struct stream_ops ops = {
		o, on_open, on_data, on_gap, NULL, on_close, on_forget, o, on_verdict, o, on_secret};

	*o = (struct seen){.policy = policy};
	o->s = streams__new(&ops, opts);
}

static void end(struct seen *o)
{
	CHECK(!o->bad_pos);
	streams__free(o->s);
	CHECK_EQ(o->forgotten, o->opened);
	for (int d = 0; d < 2; d++)
		buf_free(&o->text[d]);
	buf_free(&o->order);
	buf_free(&o->verdicts);
	buf_free(&o->secrets);
}

/* Offers nothing held back: buffered bytes are zero once all is consumed. */
static size_t buffered(struct seen *o)
{
	struct stream_stats st;

	streams__stats(o->s, &st);
	return st.buffered;
}

/* Two ends of one connection, 127.0.0.1:40000 -> 127.0.0.1:5672. */
struct open_opts {
	enum role role;
	bool from_start;
	uint64_t tx, rx;
	int64_t ts_ms;
	uint16_t client_port; /* 0: 40000 */
	uint64_t netns;
	const char *client_ip, *server_ip; /* NULL: loopback */
};

static void set_ip(uint8_t *a, const char *four)
{
	memcpy(a, four ? four : "\x7f\0\0\1", 4);
}

static int open_end(struct seen *o, uint64_t id, const struct open_opts *oo)
{
	bool server = id == SERVER;
	uint16_t cport = oo->client_port ? oo->client_port : 40000;
	struct endpoint_info e = {.id = id,
		.pid = (uint32_t)id * 10,
		.ts_ns = oo->ts_ms * NS_PER_MS,
		.family = AF_INET,
		.netns = oo->netns,
		.path = "",
		.role = oo->role,
		.from_start = oo->from_start,
		.pos = {oo->tx, oo->rx}};

	set_ip(server ? e.remote_addr : e.local_addr, oo->client_ip);
	set_ip(server ? e.local_addr : e.remote_addr, oo->server_ip);
	e.local_port = server ? 5672 : cport;
	e.remote_port = server ? cport : 5672;
	return streams__open(o->s, &e);
}

static int put(struct seen *o, uint64_t id, enum dir dir, uint64_t pos, const char *text, uint32_t lost,
	int64_t ts_ms)
{
	struct chunk c = {.endpoint = id,
		.dir = dir,
		.pos = pos,
		.len = (uint32_t)strlen(text) + lost,
		.data = span_str(text),
		.ts_ns = ts_ms * NS_PER_MS,
		.pid = (uint32_t)id * 10,
		.tid = (uint32_t)id * 10 + 1,
		.unit = (uint64_t)ts_ms};
	char *copy = malloc(c.data.n ? c.data.n : 1); /* of exact size, so that a read too far is noticed */
	int err;

	memcpy(copy, text, c.data.n);
	c.data.p = (uint8_t *)copy;
	err = streams__chunk(o->s, &c);
	free(copy);
	return err;
}

static void open_client(struct seen *o, uint64_t tx, uint64_t rx)
{
	CHECK_EQ(open_end(o, CLIENT, &(struct open_opts){ENDPOINT_CLIENT, true, tx, rx, 1, 0, 0, 0, 0}), 0);
}

/* --- one direction --- */

static void every_chunking(void)
{
	static const char text[] = "\1a\0\3bcd\2ef\1g"; /* frames; the NUL is a frame of no bytes */
	const size_t n = sizeof(text) - 1;

	for (unsigned cuts = 0; cuts < 1u << (n - 1); cuts++) {
		struct seen o;
		size_t from = 0;

		begin(&o, cuts & 1 ? TAKE_FRAMES : TAKE_ALL, NULL);
		open_client(&o, 1000, 5000);
		for (size_t i = 1; i <= n; i++) {
			struct chunk c = {.endpoint = CLIENT,
				.dir = DIR_TX,
				.pos = 1000 + from,
				.len = (uint32_t)(i - from),
				.data = span_of(text + from, i - from),
				.ts_ns = NS_PER_MS,
				.pid = 7};

			if (i < n && !(cuts >> (i - 1) & 1))
				continue;
			CHECK_EQ(streams__chunk(o.s, &c), 0);
			from = i;
		}
		CHECK(span_eq(buf_span(&o.text[TO_SERVER]), span_of(text, n)));
		CHECK_EQ(buffered(&o), 0);
		end(&o);
	}
}

struct cut {
	int from, to;
};

/* Feeds "abcdefghijkl" in the order of @perm; everything lies within the reorder window. */
static void feed_permutation(const struct cut *cuts, const int *perm, int n, enum policy policy)
{
	static const char text[] = "abcdefghijkl";
	struct seen o;

	begin(&o, policy, NULL);
	o.decide_at = 5;
	open_client(&o, 4294967290ull, 1); /* also over the 32-bit edge */
	for (int i = 0; i < n; i++) {
		char piece[16] = {0};

		memcpy(piece, text + cuts[perm[i]].from, (size_t)(cuts[perm[i]].to - cuts[perm[i]].from));
		CHECK_EQ(put(&o, CLIENT, DIR_TX, 4294967290ull + (unsigned)cuts[perm[i]].from, piece, 0,
				 2 + i),
			0);
	}
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), text);
	CHECK_EQ(o.gaps, 0);
	CHECK_EQ(buffered(&o), 0);
	if (test_case_bad)
		fprintf(stderr, "  order %d %d %d %d %d %d policy %d\n", perm[0], perm[1], perm[2], perm[3],
			perm[4], perm[5], policy);
	end(&o);
}

static void permute(const struct cut *cuts, int *perm, int n, int k, enum policy policy)
{
	if (test_case_bad)
		return;
	if (k == n) {
		feed_permutation(cuts, perm, n, policy);
		return;
	}
	for (int i = k; i < n; i++) {
		int t = perm[k];

		perm[k] = perm[i];
		perm[i] = t;
		permute(cuts, perm, n, k + 1, policy);
		perm[i] = perm[k];
		perm[k] = t;
	}
}

static void every_order(void)
{
	static const struct cut sets[][6] = {
		{{0, 2}, {2, 3}, {3, 7}, {7, 8}, {8, 11}, {11, 12}},
		{{0, 3}, {2, 6}, {6, 7}, {5, 10}, {10, 12}, {0, 1}},  /* overlaps, one inside another */
		{{0, 4}, {0, 4}, {4, 8}, {4, 8}, {8, 12}, {8, 12}},   /* all twice */
		{{0, 12}, {1, 2}, {3, 9}, {0, 6}, {6, 12}, {11, 12}}, /* retransmitted in other pieces */
	};

	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		int perm[] = {0, 1, 2, 3, 4, 5};

		permute(sets[i], perm, 6, 0, TAKE_ALL);
		permute(sets[i], perm, 6, 0, DECIDE_LATE);
	}
}

static void holes_become_gaps(void)
{
	struct seen o;

	/* when time has passed */
	begin(&o, TAKE_ALL, NULL);
	open_client(&o, 10, 10);
	put(&o, CLIENT, DIR_TX, 10, "ab", 0, 1);
	put(&o, CLIENT, DIR_TX, 17, "hi", 0, 2);
	CHECK_EQ(streams__tick(o.s, 900 * NS_PER_MS), 0);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "ab");
	CHECK_EQ(streams__tick(o.s, 1003 * NS_PER_MS), 0);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "ab<5>hi");
	put(&o, CLIENT, DIR_TX, 12, "cdefg", 0, 1100); /* too late: it was reported lost */
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "ab<5>hi");
	CHECK_EQ(o.last.lost[TO_SERVER], 5);
	CHECK_EQ(o.last.bytes[TO_SERVER], 4);
	CHECK_STR(o.reason, "was not captured");
	/* at the connection's end, also at its very start, with the reason that the source gave */
	streams__loss(o.s, &(struct loss_info){CLIENT, NS_PER_SEC, 3, 1, "ring buffer full"});
	put(&o, CLIENT, DIR_RX, 13, "x", 0, 1200);
	CHECK_EQ(streams__close(o.s, CLIENT, 1300 * NS_PER_MS, false), 0);
	CHECK_STR(buf_cstr(&o.text[TO_CLIENT]), "<3>x");
	CHECK_STR(o.reason, "ring buffer full");
	CHECK_EQ(o.closed, 1);
	CHECK(o.by_client);
	end(&o);

	/* at the end of the source; a loss that no position shows is not forgotten */
	begin(&o, TAKE_ALL, NULL);
	open_client(&o, 10, 10);
	put(&o, CLIENT, DIR_TX, 12, "c", 0, 1);
	put(&o, CLIENT, DIR_TX, 15, "f", 0, 1);
	streams__loss(o.s, &(struct loss_info){CLIENT, NS_PER_MS, 104, 1, "ring buffer full"});
	CHECK_EQ(streams__flush(o.s, 2 * NS_PER_MS), 0);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "<2>c<2>f<100>");
	CHECK_EQ(o.closed, 0);
	end(&o);
}

static void lost_tails(void)
{
	struct seen o;

	begin(&o, TAKE_FRAMES, NULL);
	open_client(&o, 0, 0);
	put(&o, CLIENT, DIR_TX, 100, "\1a\5bc", 3, 1);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "\1a<3>"); /* the half frame before it is discarded */
	put(&o, CLIENT, DIR_TX, 108, "\1d", 0, 2);
	put(&o, CLIENT, DIR_TX, 110, "", 7, 2);
	put(&o, CLIENT, DIR_TX, 117, "\1e", 0, 2);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "\1a<3>\1d<7>\1e");
	CHECK_EQ(o.last.lost[TO_SERVER], 10);
	CHECK_EQ(buffered(&o), 0);
	end(&o);
}

static void reorder_budget(void)
{
	struct stream_opts opts = {.max_reorder = 8};
	struct seen o;

	begin(&o, TAKE_ALL, &opts);
	open_client(&o, 0, 0);
	put(&o, CLIENT, DIR_TX, 1, "a", 0, 1);
	put(&o, CLIENT, DIR_TX, 4, "defg", 0, 1);
	put(&o, CLIENT, DIR_TX, 10, "jklm", 0, 1);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "a");
	put(&o, CLIENT, DIR_TX, 20, "z", 0,
		1); /* the first hole has to go, the second one may still be filled */
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "a<2>defg");
	put(&o, CLIENT, DIR_TX, 8, "hi", 0, 1);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "a<2>defghijklm");
	end(&o);
}

static void buffer_budget(void)
{
	struct stream_opts opts = {.max_buffer = 100};
	struct seen o;

	begin(&o, TAKE_NONE, &opts);
	open_client(&o, 0, 0);
	for (uint64_t i = 0; i < 1000; i++) {
		put(&o, CLIENT, DIR_TX, 1 + i * 10, "0123456789", 0, 1);
		CHECK(buffered(&o) <= 110);
	}
	CHECK(o.gap_bytes >= 9900);
	CHECK_EQ(o.gap_bytes, o.last.lost[TO_SERVER]);
	CHECK_EQ(o.next[TO_SERVER] + buffered(&o), 10000); /* each byte is either there or counted */
	end(&o);

	/* over all connections */
	opts = (struct stream_opts){.max_total = 100};
	begin(&o, TAKE_NONE, &opts);
	open_client(&o, 0, 0);
	CHECK_EQ(open_end(&o, 303, &(struct open_opts){ENDPOINT_CLIENT, true, 0, 0, 1, 40001, 0, 0, 0}), 0);
	for (uint64_t i = 0; i < 100; i++) {
		put(&o, i & 1 ? CLIENT : 303, DIR_TX, 1 + i / 2 * 10, "0123456789", 0, 1);
		CHECK(buffered(&o) <= 110);
	}
	end(&o);
}

static void marks_tell_who(void)
{
	struct seen o;

	begin(&o, TAKE_FRAMES, NULL);
	open_client(&o, 1, 1);
	put(&o, CLIENT, DIR_TX, 1, "\4a", 0, 11);
	put(&o, CLIENT, DIR_TX, 3, "b", 0, 12);
	put(&o, CLIENT, DIR_TX, 4, "cd", 0, 13);
	CHECK_EQ(o.first_mark.ts_ns, 11 * NS_PER_MS);
	CHECK_EQ(o.last_mark.ts_ns, 13 * NS_PER_MS);
	CHECK_EQ(o.last_mark.tid, CLIENT * 10 + 1);
	CHECK_EQ(o.last_mark.unit, 13);
	CHECK(!o.last_mark.by_server);
	end(&o);
}

/* --- two directions --- */

/* Bytes that waited for a decision come out call by call, as they were exchanged. */
static void replay_in_order(void)
{
	struct seen o;

	begin(&o, DECIDE_LATE, NULL);
	o.decide_at = 12;
	open_client(&o, 1, 1);
	put(&o, CLIENT, DIR_TX, 1, "ab", 0, 1);
	put(&o, CLIENT, DIR_RX, 1, "AB", 0, 2);
	put(&o, CLIENT, DIR_RX, 3, "CD", 0, 3);
	put(&o, CLIENT, DIR_TX, 3, "cd", 0, 4);
	put(&o, CLIENT, DIR_RX, 5, "EF", 0, 5);
	CHECK_STR(buf_cstr(&o.order), "");
	put(&o, CLIENT, DIR_TX, 5, "ef", 0, 6);
	CHECK_STR(buf_cstr(&o.order), "><<><>");
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "abcdef");
	CHECK_STR(buf_cstr(&o.text[TO_CLIENT]), "ABCDEF");
	CHECK_EQ(buffered(&o), 0);
	end(&o);
}

static void ignored_costs_nothing(void)
{
	struct stream_stats st;
	struct seen o;

	begin(&o, IGNORE, NULL);
	open_client(&o, 1, 1);
	CHECK_EQ(open_end(&o, SERVER, &(struct open_opts){ENDPOINT_SERVER, true, 1, 1, 1, 0, 0, 0, 0}), 0);
	put(&o, CLIENT, DIR_TX, 1, "GET / HTTP/1.1", 0, 1);
	put(&o, CLIENT, DIR_TX, 15, "more", 0, 1);
	put(&o, CLIENT, DIR_RX, 15, "more", 0, 1);
	CHECK_STR(buf_cstr(&o.verdicts), "202- 101- ");
	streams__stats(o.s, &st);
	CHECK_EQ(st.ignored, 1);
	CHECK_EQ(st.buffered, 0);
	CHECK_EQ(streams__close(o.s, CLIENT, NS_PER_SEC, true), 0);
	CHECK_EQ(o.last.bytes[TO_SERVER], 18); /* what still comes is counted */
	CHECK_EQ(o.last.bytes[TO_CLIENT], 4);
	CHECK(!o.by_client);
	end(&o);
}

/* --- both ends --- */

/* The life of a connection as each end sees it. The client asks, is answered twice, asks again. */
struct step {
	char what; /* 'o' open, 't' write, 'r' read, 'c' close */
	int from, to;
};
static const char asked[] = "abcdefgh", answered[] = "ABCDEFGHIJ";
static const struct step client_life[] = {
	{'o', 0, 0}, {'t', 0, 5}, {'r', 0, 4}, {'t', 5, 8}, {'r', 4, 10}, {'c', 0, 0}};
static const struct step server_life[] = {
	{'o', 0, 0}, {'r', 0, 3}, {'r', 3, 5}, {'t', 0, 10}, {'r', 5, 8}, {'c', 0, 0}};

struct scene {
	bool roles, from_start; /* as the ends say */
	int client_skips;       /* steps of the client before it can be seen */
	uint64_t server_offset; /* added to what the server's end counts */
	int64_t step_ms;
	bool reversed; /* ports suggest the wrong roles, the consumer finds out */
};

static void do_step(struct seen *o, const struct scene *sc, bool server, const struct step *st, int64_t ts)
{
	uint64_t id = server ? SERVER : CLIENT, base = 7000 + (server ? sc->server_offset : 0);
	const char *text = (st->what == 't') != server ? asked : answered;
	char piece[16] = {0};

	switch (st->what) {
	case 'o': {
		bool start = sc->from_start && (server || !sc->client_skips);
		struct open_opts oo = {
			sc->roles ? server ? ENDPOINT_SERVER : ENDPOINT_CLIENT : ENDPOINT_UNKNOWN, start,
			base, base, ts, sc->reversed ? 80 : 0, 0, 0, 0};

		CHECK_EQ(open_end(o, id, &oo), 0);
		break;
	}
	case 'c':
		CHECK_EQ(streams__close(o->s, id, ts * NS_PER_MS, false), 0);
		break;
	default:
		memcpy(piece, text + st->from, (size_t)(st->to - st->from));
		CHECK_EQ(put(o, id, st->what == 't' ? DIR_TX : DIR_RX, base + (unsigned)st->from, piece, 0,
				 ts),
			0);
	}
}

/* One interleaving: bit i of @mask says that step i is the server's. */
static void play(const struct scene *sc, unsigned mask, int n, enum policy policy)
{
	struct seen o;
	int c = sc->client_skips, s = 0;

	begin(&o, policy, NULL);
	o.decide_at = 1;
	for (int i = 0; i < n; i++) {
		bool server = mask >> i & 1;
		struct step st = server ? server_life[s++] : client_life[c];

		if (!server && c++ == sc->client_skips)
			st = client_life[0]; /* its first sight */
		do_step(&o, sc, server, &st, 1 + i * sc->step_ms);
	}
	CHECK_EQ(streams__flush(o.s, NS_PER_SEC * 10), 0);
	CHECK_EQ(o.opened, 1);
	CHECK_EQ(o.closed, 1);
	CHECK_EQ(o.gaps, 0);
	CHECK_EQ(buffered(&o), 0);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), asked);
	CHECK_STR(buf_cstr(&o.text[TO_CLIENT]), answered);
	CHECK(!o.last.swapped);
	CHECK_EQ(o.last.client_pid, CLIENT * 10);
	CHECK_EQ(o.last.server_pid, SERVER * 10);
	CHECK_EQ(o.last.server_port, 5672);
	if (test_case_bad)
		fprintf(stderr, "  interleaving %x of %d steps, client skips %d, %d ms a step\n", mask, n,
			sc->client_skips, (int)sc->step_ms);
	if (!sc->client_skips && sc->roles && sc->from_start)
		CHECK_EQ(o.by_server, 0); /* all was said with the client's call */
	end(&o);
}

/* The connection is over when its client's end is: whatever the server's end has to give must come before,
 * and the two must have lived at the same time. If time is @slow, what only the server's end shows must come
 * before the client's end appears, not only within a second of it. */
static bool possible(unsigned mask, int n, int skips, bool slow)
{
	int c = skips, s = 0, client_open = -1, server_open = -1, server_close = n, client_close = n,
	    server_read = 0;

	for (int i = 0; i < n; i++) {
		if (mask >> i & 1) {
			if (!s)
				server_open = i;
			if (server_life[s].what == 'c')
				server_close = i;
			if (s == 3) /* it has read and written all that the client may have missed */
				server_read = i;
			s++;
		} else {
			if (c == skips)
				client_open = i;
			if (client_life[c].what == 'c')
				client_close = i;
			c++;
		}
	}
	if (skips && client_open < server_open)
		return false;
	return client_open < server_close && (!skips || !slow || server_read < client_open) &&
	       server_read < client_close;
}

static void every_interleaving(struct scene *sc, enum policy policy)
{
	int n = (int)ARRAY_LEN(client_life) + (int)ARRAY_LEN(server_life) - sc->client_skips;
	int played = 0;

	for (unsigned mask = 0; mask < 1u << n && !test_case_bad; mask++) {
		if (__builtin_popcount(mask) != (int)ARRAY_LEN(server_life) ||
			!possible(mask, n, sc->client_skips, sc->step_ms * n > 1000))
			continue;
		play(sc, mask, n, policy);
		played++;
	}
	CHECK(played > 5);
}

static void ends_in_any_order(void)
{
	struct scene sc = {.roles = true, .from_start = true, .step_ms = 1};

	every_interleaving(&sc, TAKE_ALL);
	every_interleaving(&sc, DECIDE_LATE);
	sc.from_start = false;
	every_interleaving(&sc, TAKE_ALL);
	sc.server_offset = 1ULL << 32; /* first seen after the sequence number wrapped */
	every_interleaving(&sc, TAKE_ALL);
}

/* The server's end is read already when the client's appears, before or after the wait for it is over. */
static void client_end_comes_late(void)
{
	for (int skips = 1; skips <= 2; skips++)
		for (int64_t ms = 1; ms < 400; ms *= 7) {
			struct scene sc = {
				.roles = true, .from_start = true, .client_skips = skips, .step_ms = ms};

			every_interleaving(&sc, TAKE_ALL);
			sc.server_offset = -(1ULL << 32);
			every_interleaving(&sc, TAKE_ALL);
		}
}

static void roles_found_out_later(void)
{
	struct scene sc = {.from_start = true, .step_ms = 1};

	every_interleaving(&sc, DECIDE_LATE);
	sc.reversed = true; /* the broker's port is the higher one */
	every_interleaving(&sc, SWAP);
}

static void server_end_alone(void)
{
	struct seen o;

	begin(&o, TAKE_ALL, NULL);
	CHECK_EQ(open_end(&o, SERVER, &(struct open_opts){ENDPOINT_SERVER, true, 1, 1, 1, 0, 0, 0, 0}), 0);
	put(&o, SERVER, DIR_RX, 1, "ask", 0, 2);
	CHECK_EQ(o.opened, 0);
	put(&o, SERVER, DIR_TX, 1, "answer", 0, 3);
	CHECK_EQ(streams__tick(o.s, 102 * NS_PER_MS), 0);
	CHECK_EQ(o.opened, 1);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "ask");
	CHECK_STR(buf_cstr(&o.text[TO_CLIENT]), "answer");
	CHECK(o.last.swapped && o.last.from_start && o.last.role_known);
	CHECK_EQ(o.last.client_pid, 0);
	CHECK_EQ(o.last.server_pid, SERVER * 10);
	CHECK_EQ(o.last.client_port, 40000);
	CHECK(o.first_mark.by_server);
	put(&o, SERVER, DIR_RX, 4, "!", 0, 200); /* nothing is held back from then on */
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "ask!");
	CHECK_EQ(streams__close(o.s, SERVER, 300 * NS_PER_MS, true), 0);
	CHECK(o.by_client);
	end(&o);

	/* a flood is not held longer than the budget */
	begin(&o, TAKE_ALL, NULL);
	CHECK_EQ(open_end(&o, SERVER, &(struct open_opts){ENDPOINT_SERVER, true, 1, 1, 1, 0, 0, 0, 0}), 0);
	for (uint64_t i = 0; i < 20000; i++)
		put(&o, SERVER, DIR_RX, 1 + i * 10, "0123456789", 0, 2);
	CHECK_EQ(o.text[TO_SERVER].n, 200000);
	end(&o);
}

static void verdicts_for_both_ends(void)
{
	struct seen o;

	begin(&o, DECIDE_LATE, NULL);
	o.decide_at = 1;
	CHECK_EQ(open_end(&o, SERVER, &(struct open_opts){ENDPOINT_SERVER, true, 1, 1, 1, 0, 0, 0, 0}), 0);
	CHECK_STR(buf_cstr(&o.verdicts), "");
	open_client(&o, 1, 1);
	CHECK_STR(buf_cstr(&o.verdicts), "202- ");
	put(&o, CLIENT, DIR_TX, 1, "x", 0, 1);
	CHECK_STR(buf_cstr(&o.verdicts), "202- 101+ ");
	end(&o);

	/* there before us: the server's end is needed until the client's end showed where it is, or for 1 s
	 */
	begin(&o, TAKE_ALL, NULL);
	CHECK_EQ(open_end(&o, SERVER, &(struct open_opts){ENDPOINT_SERVER, false, 0, 0, 1, 0, 0, 0, 0}), 0);
	CHECK_EQ(open_end(&o, CLIENT, &(struct open_opts){ENDPOINT_CLIENT, false, 0, 0, 1, 0, 0, 0, 0}), 0);
	put(&o, CLIENT, DIR_TX, 900, "x", 0, 1);
	CHECK_STR(buf_cstr(&o.verdicts), "");
	put(&o, CLIENT, DIR_RX, 800, "y", 0, 1);
	CHECK_STR(buf_cstr(&o.verdicts), "202- ");
	end(&o);
	begin(&o, TAKE_ALL, NULL);
	CHECK_EQ(open_end(&o, SERVER, &(struct open_opts){ENDPOINT_SERVER, false, 0, 0, 1, 0, 0, 0, 0}), 0);
	CHECK_EQ(open_end(&o, CLIENT, &(struct open_opts){ENDPOINT_CLIENT, false, 0, 0, 1, 0, 0, 0, 0}), 0);
	CHECK_EQ(streams__tick(o.s, 1002 * NS_PER_MS), 0);
	CHECK_STR(buf_cstr(&o.verdicts), "202- ");
	end(&o);
}

static int open_addr(
	struct seen *o, uint64_t id, uint16_t family, const uint8_t *local, const uint8_t *remote)
{
	struct endpoint_info e = {.id = id,
		.pid = (uint32_t)id * 10,
		.ts_ns = NS_PER_MS,
		.family = family,
		.path = "",
		.role = id == SERVER ? ENDPOINT_SERVER : ENDPOINT_CLIENT,
		.from_start = true,
		.pos = {1, 1},
		.local_port = id == SERVER ? 5672 : 40000,
		.remote_port = id == SERVER ? 40000 : 5672};

	memcpy(e.local_addr, local, 16);
	memcpy(e.remote_addr, remote, 16);
	return streams__open(o->s, &e);
}

static void who_pairs_with_whom(void)
{
	static const uint8_t v4[16] = {127, 0, 0, 1};
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
	static const uint8_t v6[16] = {[15] = 1};
	const char *a = "\x0a\0\0\1", *b = "\x0a\0\0\2";
	struct {
		struct open_opts server, client;
		bool pair;
	} t[] = {
		{{ENDPOINT_SERVER, true, 1, 1, 1, 0, 1, 0, 0}, {ENDPOINT_CLIENT, true, 1, 1, 1, 0, 1, 0, 0},
			true},
		/* loopback of two namespaces is two networks; an address of a bridge is one */
		{{ENDPOINT_SERVER, true, 1, 1, 1, 0, 1, 0, 0}, {ENDPOINT_CLIENT, true, 1, 1, 1, 0, 2, 0, 0},
			false},
		{{ENDPOINT_SERVER, true, 1, 1, 1, 0, 1, a, b}, {ENDPOINT_CLIENT, true, 1, 1, 1, 0, 2, a, b},
			true},
		{{ENDPOINT_SERVER, true, 1, 1, 1, 0, 1, a, b}, {ENDPOINT_CLIENT, true, 1, 1, 1, 0, 1, b, a},
			false},
		/* two clients, and a server's end whose close was missed long ago */
		{{ENDPOINT_CLIENT, true, 1, 1, 1, 0, 1, 0, 0}, {ENDPOINT_CLIENT, true, 1, 1, 1, 0, 1, 0, 0},
			false},
		{{ENDPOINT_SERVER, true, 1, 1, 1, 0, 1, 0, 0},
			{ENDPOINT_CLIENT, true, 9, 9, 99999, 0, 1, 0, 0}, false},
	};
	struct seen o;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		begin(&o, TAKE_ALL, NULL);
		CHECK_EQ(open_end(&o, SERVER, &t[i].server), 0);
		CHECK_EQ(open_end(&o, CLIENT, &t[i].client), 0);
		CHECK_EQ(streams__flush(o.s, 100 * NS_PER_SEC), 0);
		CHECK_EQ(o.opened, t[i].pair ? 1 : 2);
		end(&o);
	}
	/* an end from before, whose close was missed: the numbers of the new connection are others */
	for (int same = 0; same < 2; same++) {
		begin(&o, TAKE_ALL, NULL);
		CHECK_EQ(open_end(&o, SERVER,
				 &(struct open_opts){ENDPOINT_SERVER, false, 0, 0, 1, 0, 0, 0, 0}),
			0);
		put(&o, SERVER, DIR_RX, 1000, "old", 0, 1);
		CHECK_EQ(streams__tick(o.s, 200 * NS_PER_MS), 0);
		open_client(&o, same ? 1000 : 999999999, 77);
		CHECK_EQ(o.opened, same ? 1 : 2);
		end(&o);
	}
	/* a server that listens on [::] has IPv6 sockets for IPv4 clients */
	begin(&o, TAKE_ALL, NULL);
	open_addr(&o, SERVER, AF_INET6, mapped, mapped);
	open_addr(&o, CLIENT, AF_INET, v4, v4);
	CHECK_EQ(o.opened, 1);
	CHECK_EQ(o.last.family, AF_INET);
	end(&o);
	begin(&o, TAKE_ALL, NULL);
	open_addr(&o, CLIENT, AF_INET6, v6, v6);
	open_addr(&o, SERVER, AF_INET6, v6, v6);
	CHECK_EQ(o.opened, 1);
	end(&o);
}

static int open_unix(struct seen *o, uint64_t id, uint64_t peer, enum role role, bool from_start)
{
	struct endpoint_info e = {.id = id,
		.pid = (uint32_t)id * 10,
		.ts_ns = NS_PER_MS,
		.family = AF_UNIX,
		.path = id == SERVER ? "/run/broker.sock" : "",
		.role = role,
		.from_start = from_start,
		.peer_id = peer};

	return streams__open(o->s, &e);
}

static void unix_pairs(void)
{
	struct seen o;

	/* whichever names the other, whichever comes first */
	for (int i = 0; i < 6; i++) {
		uint64_t first = i & 1 ? SERVER : CLIENT, second = i & 1 ? CLIENT : SERVER;

		begin(&o, TAKE_ALL, NULL);
		open_unix(&o, first, i < 4 ? second : 0, first == SERVER ? ENDPOINT_SERVER : ENDPOINT_CLIENT,
			true);
		open_unix(&o, second, i < 2 || i >= 4 ? first : 0,
			second == SERVER ? ENDPOINT_SERVER : ENDPOINT_CLIENT, true);
		put(&o, SERVER, DIR_RX, 0, "ask", 0, 1);
		put(&o, CLIENT, DIR_TX, 0, "ask", 0, 1);
		CHECK_EQ(o.opened, 1);
		CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "ask");
		CHECK_STR(o.last.path, "/run/broker.sock");
		CHECK_STR(buf_cstr(&o.verdicts), "202- ");
		end(&o);
	}
	/* there before us: counts differ, so one end is read and stays */
	begin(&o, TAKE_ALL, NULL);
	open_unix(&o, SERVER, 0, ENDPOINT_SERVER, false);
	put(&o, SERVER, DIR_RX, 0, "ask", 0, 1);
	CHECK_EQ(streams__tick(o.s, 200 * NS_PER_MS), 0);
	open_unix(&o, CLIENT, SERVER, ENDPOINT_CLIENT, false);
	put(&o, CLIENT, DIR_TX, 0, " more", 0, 201);
	put(&o, SERVER, DIR_RX, 3, " more", 0, 202);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "ask more");
	CHECK_EQ(o.last.client_pid, CLIENT * 10);
	end(&o);
	begin(&o, TAKE_ALL, NULL);
	open_unix(&o, SERVER, 0, ENDPOINT_SERVER, false);
	put(&o, SERVER, DIR_RX, 0, "ask", 0, 1);
	open_unix(&o, CLIENT, SERVER, ENDPOINT_CLIENT, false);
	put(&o, CLIENT, DIR_TX, 0, "more", 0, 2);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "more");
	CHECK_EQ(buffered(&o), 0);
	end(&o);
}

/* A secret is told as each end counts, of an end that is there and of one that comes later. */
static void secrets_of_both_ends(void)
{
	struct seen o;

	begin(&o, SECRET, NULL);
	open_client(&o, 1000, 5000);
	CHECK_EQ(open_end(&o, SERVER, &(struct open_opts){ENDPOINT_SERVER, true, 5000, 1000, 1, 0, 0, 0, 0}),
		0);
	put(&o, CLIENT, DIR_TX, 1000, "pw=abc", 0, 2);
	CHECK_STR(buf_cstr(&o.secrets), "101t 1003+3 202r 1003+3 ");
	put(&o, SERVER, DIR_TX, 5000, "a=xyz", 0, 2); /* its end is not read any more */
	put(&o, CLIENT, DIR_RX, 5000, "a=xyz", 0, 2);
	CHECK_STR(buf_cstr(&o.secrets), "101t 1003+3 202r 1003+3 101r 5002+3 202t 5002+3 ");
	end(&o);

	/* the server's is seen only afterwards; four secrets are remembered */
	for (int start = 0; start < 2; start++) {
		struct open_opts oo = {
			ENDPOINT_SERVER, start, start ? 5000 : 0, start ? 1000 : 0, 3, 0, 0, 0, 0};

		begin(&o, SECRET, NULL);
		open_client(&o, 1000, 5000);
		put(&o, CLIENT, DIR_TX, 1000, "=111=222=333=444=5", 0, 2);
		buf_clear(&o.secrets);
		CHECK_EQ(open_end(&o, SERVER, &oo), 0);
		CHECK_STR(buf_cstr(&o.secrets), "202r 1017+3 202r 1005+3 202r 1009+3 202r 1013+3 ");
		end(&o);
	}

	/* the server's end counts beyond 32 bits, the client's was seen later; the server's bytes are held */
	begin(&o, SECRET, NULL);
	CHECK_EQ(open_end(&o, SERVER, &(struct open_opts){ENDPOINT_SERVER, false, 0, 0, 1, 0, 0, 0, 0}), 0);
	put(&o, SERVER, DIR_RX, (1ULL << 32) + 10, "pw=abc", 0, 2);
	CHECK_STR(buf_cstr(&o.secrets), "");
	CHECK_EQ(streams__tick(o.s, 200 * NS_PER_MS), 0);
	CHECK_STR(buf_cstr(&o.secrets), "202r 4294967309+3 ");
	CHECK_EQ(open_end(&o, CLIENT, &(struct open_opts){ENDPOINT_CLIENT, false, 0, 0, 3, 0, 0, 0, 0}), 0);
	CHECK_STR(buf_cstr(&o.secrets), "202r 4294967309+3 101t 13+3 ");
	put(&o, CLIENT, DIR_TX, 16, "=def", 0, 201);
	CHECK_STR(buf_cstr(&o.secrets), "202r 4294967309+3 101t 13+3 101t 17+3 202r 4294967313+3 ");
	end(&o);
}

/* Unix ends that were there before count differently: of the one that is not read, nothing is of use. */
static void secrets_where_counts_differ(void)
{
	struct seen o;

	begin(&o, SECRET, NULL);
	open_unix(&o, SERVER, 0, ENDPOINT_SERVER, false);
	open_unix(&o, CLIENT, SERVER, ENDPOINT_CLIENT, false);
	put(&o, CLIENT, DIR_TX, 0, "pw=abc", 0, 2);
	CHECK_STR(buf_cstr(&o.secrets), "101t 3+3 202r 0+18446744073709551615 ");
	end(&o);
	begin(&o, SECRET, NULL);
	open_unix(&o, SERVER, 0, ENDPOINT_SERVER, true);
	open_unix(&o, CLIENT, SERVER, ENDPOINT_CLIENT, true);
	put(&o, CLIENT, DIR_TX, 0, "pw=abc", 0, 2);
	CHECK_STR(buf_cstr(&o.secrets), "101t 3+3 202r 3+3 ");
	end(&o);
}

/* --- life --- */

static void processes_end(void)
{
	struct chunk c = {.endpoint = CLIENT,
		.dir = DIR_TX,
		.pos = 3,
		.len = 2,
		.data = span_str("cd"),
		.ts_ns = 20 * NS_PER_MS,
		.pid = 77,
		.tid = 77};
	struct seen o;

	begin(&o, TAKE_ALL, NULL);
	open_client(&o, 1, 1);
	put(&o, CLIENT, DIR_TX, 1, "ab", 0, 2);
	CHECK_EQ(streams__proc_exit(o.s, 4711, 10 * NS_PER_MS), 0);
	CHECK_EQ(o.closed, 0);
	CHECK_EQ(streams__proc_exit(o.s, CLIENT * 10, 10 * NS_PER_MS), 0);
	CHECK_EQ(o.closed, 1);
	CHECK(o.by_client);
	/* a child that inherited the socket goes on with it: a connection of its own */
	o.next[TO_SERVER] = 0;
	CHECK_EQ(streams__chunk(o.s, &c), 0);
	CHECK_EQ(o.opened, 2);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "abcd");
	CHECK(!o.last.from_start);
	CHECK_EQ(streams__close(o.s, CLIENT, 30 * NS_PER_MS, false), 0);
	CHECK_EQ(o.closed, 2);
	end(&o);

	/* a socket that two processes use survives one of them */
	begin(&o, TAKE_ALL, NULL);
	open_client(&o, 1, 1);
	put(&o, CLIENT, DIR_TX, 1, "ab", 0, 2);
	CHECK_EQ(streams__chunk(o.s, &c), 0);
	CHECK_EQ(streams__proc_exit(o.s, CLIENT * 10, 30 * NS_PER_MS), 0);
	CHECK_EQ(o.closed, 0);
	end(&o);
}

static void numbers_come_back(void)
{
	struct seen o;

	/* an inode number is reused although its close was missed */
	begin(&o, TAKE_ALL, NULL);
	open_client(&o, 1, 1);
	put(&o, CLIENT, DIR_TX, 1, "ab", 0, 2);
	open_client(&o, 901, 1);
	CHECK_EQ(o.closed, 1);
	CHECK_EQ(o.opened, 2);
	CHECK_EQ(o.last.id, 2);
	o.next[TO_SERVER] = 0;
	put(&o, CLIENT, DIR_TX, 901, "cd", 0, 2);
	CHECK_STR(buf_cstr(&o.text[TO_SERVER]), "abcd");
	/* told again about one that is known */
	CHECK_EQ(open_end(&o, CLIENT, &(struct open_opts){ENDPOINT_UNKNOWN, false, 0, 0, 3, 0, 0, 0, 0}), 0);
	CHECK_EQ(o.opened, 2);
	end(&o);
}

static void oldest_are_forgotten(void)
{
	struct stream_opts opts = {.max_conns = 4};
	struct stream_stats st;
	struct seen o;

	begin(&o, TAKE_ALL, &opts);
	for (unsigned i = 0; i < 20; i++) {
		struct open_opts oo = {ENDPOINT_CLIENT, true, 1, 1, 1, (uint16_t)(41000 + i), 0, 0, 0};

		CHECK_EQ(open_end(&o, 1000 + i, &oo), 0);
		o.next[TO_SERVER] = 0;
		put(&o, 1000 + i, DIR_TX, 1, "x", 0, 1);
		o.next[TO_SERVER] = 1;
		put(&o, 1000, DIR_TX, 2 + i, "y", 0, 1); /* the first one stays in use */
		o.next[TO_SERVER] = 0;
	}
	o.bad_pos = false;
	streams__stats(o.s, &st);
	CHECK_EQ(st.conns, 20);
	CHECK_EQ(o.forgotten, 16);
	CHECK_EQ(o.gaps, 16);
	CHECK(!strstr(buf_cstr(&o.verdicts), "1000-"));
	CHECK(strstr(buf_cstr(&o.verdicts), "1001-") != NULL);
	end(&o);
}

static void nonsense_is_harmless(void)
{
	struct chunk c = {
		.endpoint = CLIENT, .dir = DIR_TX, .pos = UINT64_MAX - 1, .len = 4, .data = span_str("abcd")};
	struct seen o;

	begin(&o, TAKE_ALL, NULL);
	CHECK_EQ(streams__chunk(o.s, &c), 0); /* nobody's */
	CHECK_EQ(streams__close(o.s, 4711, 0, false), 0);
	CHECK_EQ(streams__loss(o.s, &(struct loss_info){4711, 0, 1, 1, NULL}), 0);
	open_client(&o, 1, 1);
	CHECK_EQ(streams__chunk(o.s, &c), 0); /* beyond the last position */
	c.pos = UINT64_MAX - 4;
	CHECK_EQ(streams__chunk(o.s, &c), 0); /* just before it */
	CHECK_EQ(streams__flush(o.s, 1), 0);
	CHECK_EQ(o.gaps, 1);
	end(&o);
}

int main(void)
{
	RUN(every_chunking);
	RUN(every_order);
	RUN(holes_become_gaps);
	RUN(lost_tails);
	RUN(reorder_budget);
	RUN(buffer_budget);
	RUN(marks_tell_who);
	RUN(replay_in_order);
	RUN(ignored_costs_nothing);
	RUN(ends_in_any_order);
	RUN(client_end_comes_late);
	RUN(roles_found_out_later);
	RUN(server_end_alone);
	RUN(verdicts_for_both_ends);
	RUN(who_pairs_with_whom);
	RUN(unix_pairs);
	RUN(secrets_of_both_ends);
	RUN(secrets_where_counts_differ);
	RUN(processes_end);
	RUN(numbers_come_back);
	RUN(oldest_are_forgotten);
	RUN(nonsense_is_harmless);
	return test_end();
}
