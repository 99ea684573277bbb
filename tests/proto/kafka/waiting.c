/*
 * Connections that were there before, with requests that wait at the server: what answers a Fetch is decoded
 * all the same, every other answer is a counted gap.
 */
#include "proto/feed.h"
#include "recording.h"
#include "test.h"
#include "wire.h"

static const char *const scenarios[] = {"codecs", "python", "java", "transactions", "sasl", "old"};

struct got {
	struct buf lines; /* of what was received: "partition offset body" */
	uint64_t from;    /* only what lies behind this place in what the server says */
	unsigned n;
};

static uint64_t note(void *ctx, struct op *op)
{
	static uint64_t id;
	struct got *g = ctx;

	/* What a share group acquired cannot be told without the group, which only the request names. */
	if (op->kind != OP_RECEIVE || op->pos < g->from || op->queue_known)
		return ++id;
	g->n++;
	buf_printf(&g->lines, "\n" SPAN_FMT " " SPAN_FMT " %016llx;", SPAN_ARG(op->routing_key),
		SPAN_ARG(op->mid), (unsigned long long)hash_span(op->body, 0));
	return ++id;
}

/* Connection @conn alone, from its chunk @from on. */
static void play(struct scenario *s, unsigned conn, size_t from, struct got *g, uint64_t *ret_lost)
{
	void *shared = proto_kafka.shared_new();
	struct feed f = {.p = &proto_kafka, .quiet = true};
	struct proto_out out = {.ctx = g, .emit = note};
	struct proto_opts opts = {.shared = shared};
	size_t nth = 0, held;
	unsigned i;

	f.st = proto_kafka.state_new(&opts, &out, !from);
	f.lost[0] = f.lost[1] = from;
	scenario_rewind(s);
	for (struct span chunk; scenario_next(s, &i, &chunk);)
		if (i == conn && nth++ >= from)
			feed_bytes(&f, s->way, chunk);
	CHECK(!f.bad);
	held = f.held[TO_CLIENT].n;
	*ret_lost = f.pos[TO_CLIENT];
	CHECK(!held || f.lost[TO_CLIENT]);
	feed_end(&f);
	feed_free(&f);
	proto_kafka.shared_free(shared);
}

static bool has_all(struct got *all, const char *want)
{
	for (const char *line = strchr(want, '\n'); line; line = strchr(line + 1, '\n')) {
		size_t n = strcspn(line, ";") + 1;

		if (!memmem(all->lines.p, all->lines.n, line, n))
			return false;
	}
	return true;
}

/* From each place at which the server goes on speaking: the first that is seen answers what nobody saw. */
static unsigned from_each_answer(struct scenario *s, unsigned conn)
{
	struct span rest = span_sub(buf_span(&s->rec[conn]), 6, SIZE_MAX), chunk;
	uint64_t said = 0, lost;
	unsigned places = 0;
	enum flowdir way, before = TO_CLIENT;

	for (size_t from = 0; chunk_next(&rest, &way, &chunk); from++) {
		if (way == TO_CLIENT && before == TO_SERVER) {
			struct got whole = {.from = said}, late = {0};

			play(s, conn, 0, &whole, &lost);
			play(s, conn, from, &late, &lost);
			if (!has_all(&late, buf_cstr(&whole.lines))) {
				fprintf(stderr, "%s.%u from chunk %zu: got%s\nnot all of%s\n", s->name, conn,
					from, buf_cstr(&late.lines), buf_cstr(&whole.lines));
				test_case_bad = true;
			}
			places += whole.n > 0;
			buf_free(&whole.lines);
			buf_free(&late.lines);
		}
		said += way == TO_CLIENT ? chunk.n : 0;
		before = way;
	}
	return places;
}

static void recorded(void)
{
	unsigned places = 0;

	for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
		struct scenario s;

		if (!scenario_load(&s, scenarios[i]))
			return;
		for (unsigned k = 0; k < s.conns && !test_case_bad; k++)
			places += from_each_answer(&s, k);
		scenario_free(&s);
	}
	CHECK(places > 20);
}

/* --- made by hand --- */

#define ID "0123456789abcdef"

static uint32_t crc32c(struct span s)
{
	uint32_t c = ~0u;

	for (size_t i = 0; i < s.n; i++) {
		c ^= s.p[i];
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78 : 0);
	}
	return ~c;
}

/* Record "k" = "v" at offset 40 with a right checksum. */
static void one_record(struct buf *b)
{
	struct batch one = BATCH(.base = 40);
	uint32_t sum;

	record(&one, "k", "v", NULL);
	batch_put(b, &one, SPAN_EMPTY);
	sum = crc32c(span_sub(buf_span(b), 21, SIZE_MAX));
	for (int i = 0; i < 4; i++)
		b->p[17 + i] = (uint8_t)(sum >> 8 * (3 - i));
}

static void fetch_answer(struct buf *b, int version, int correlation, struct span records)
{
	if (version >= 13)
		answer(b, correlation, "tlhluiulhLLLulCttt", 0, 0, 1, 2, ID, 2, 0, 0, 900LL, 900LL, 0LL, 1,
			-1, records);
	else if (version == 12)
		answer(b, correlation, "tlhluculhLLLulCttt", 0, 0, 1, 2, "orders", 2, 0, 0, 900LL, 900LL, 0LL,
			1, -1, records);
	else if (version >= 4)
		answer(b, correlation, "llsllhLLlB", 0, 1, "orders", 1, 0, 0, 900LL, 900LL, 0, records);
	else if (version >= 1)
		answer(b, correlation, "llsllhLB", 0, 1, "orders", 1, 0, 0, 900LL, records);
	else
		answer(b, correlation, "lsllhLB", 1, "orders", 1, 0, 0, 900LL, records);
}

struct end {
	struct got got;
	uint64_t not_understood;
	size_t left; /* bytes that still wait for the beginning of a frame */
};

/* The server says @said, in pieces of @step; then a heartbeat is asked for and answered. */
static struct end hears(struct span said, size_t step, bool heartbeat)
{
	struct buf ask_now = {0}, answer_now = {0};
	struct end e = {0};
	struct feed f;

	feed_begin(&f, &proto_kafka, false, 0);
	proto_kafka.state_free(f.st);
	f.lost[0] = f.lost[1] = true;
	f.st = proto_kafka.state_new(
		&f.opts, &(struct proto_out){&f, feed_emit, feed_secret, feed_told_gap}, false);
	for (size_t at = 0; at < said.n; at += step)
		feed_bytes(&f, TO_CLIENT, span_sub(said, at, step));
	if (heartbeat) {
		ask(&ask_now, 12, 0, 9, "sls", "group", 1, "member");
		ask(&ask_now, 12, 0, 10, "sls", "group", 1, "member");
		answer(&answer_now, 9, "h", 0);
		answer(&answer_now, 10, "h", 0);
		feed_bytes(&f, TO_SERVER, buf_span(&ask_now));
		feed_bytes(&f, TO_CLIENT, buf_span(&answer_now));
	}
	CHECK(!f.bad);
	e.not_understood = f.not_understood[TO_CLIENT];
	e.left = f.held[TO_CLIENT].n;
	CHECK(!heartbeat || !f.lost[TO_CLIENT]);
	feed_end(&f);
	buf_put_span(&e.got.lines, buf_span(&f.log));
	feed_free(&f);
	buf_free(&ask_now);
	buf_free(&answer_now);
	return e;
}

static void each_layout(void)
{
	static const int versions[] = {0, 1, 4, 12, 13};
	struct buf r = {0};

	one_record(&r);
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		for (size_t step = 1; step < 200; step += 61) {
			struct buf b = {0};
			struct end e;

			fetch_answer(&b, versions[i], 8, buf_span(&r));
			e = hears(buf_span(&b), step, step == 1);
			CHECK(strstr(buf_cstr(&e.got.lines), " mid=40 ") != NULL);
			CHECK(strstr(buf_cstr(&e.got.lines),
				      versions[i] < 13 ? "log=orders-0" : "log=MDEyMzQ1Njc4OWFiY2RlZg-0") !=
				NULL);
			/* as soon as it is known whose connection it is */
			CHECK_EQ(strstr(buf_cstr(&e.got.lines), " consumer=shop ") != NULL, step == 1);
			CHECK_EQ(e.not_understood, 0);
			CHECK_EQ(e.left, 0);
			buf_free(&e.got.lines);
			buf_free(&b);
		}
	buf_free(&r);
}

/* Nothing is in it, so nothing is lost. */
static void nothing_came(void)
{
	struct buf b = {0};
	struct end e;

	answer(&b, 8, "tlhlut", 0, 0, 77, 1);
	e = hears(buf_span(&b), SIZE_MAX, true);
	CHECK_EQ(e.got.lines.n, 0);
	CHECK_EQ(e.not_understood, 0);
	buf_free(&e.got.lines);
	buf_free(&b);
}

/* Bytes that are not certainly a Fetch's are a gap of their size, and what follows is read on. */
static void counted(void)
{
	struct buf b[5] = {{0}}, r = {0};
	char want[80];

	one_record(&r);
	r.p[r.n - 2] ^= 1;
	fetch_answer(&b[0], 13, 8, buf_span(&r)); /* a checksum that does not fit */
	r.p[r.n - 2] ^= 1;
	fetch_answer(&b[1], 13, 8, buf_span(&r)); /* bytes behind it */
	b[1].p[3]++;
	buf_putc(&b[1], 0);
	answer(&b[2], 8, "tucuulhLLLuttlt", 2, "orders", 2, 0, 0, 300LL, -1LL, 0LL, 1, 0); /* of a Produce */
	answer(&b[3], 8, "lhlsssl", 0, 0, 3, "range", "leader", "member", 0); /* of a JoinGroup */
	answer(&b[4], 8, "h", 25);                                            /* of a Heartbeat */
	for (size_t i = 0; i < ARRAY_LEN(b); i++) {
		struct end e = hears(buf_span(&b[i]), SIZE_MAX, true);

		snprintf(want, sizeof(want), "GAP %zu answers a request that was not seen\n", b[i].n);
		CHECK_STR(buf_cstr(&e.got.lines), want);
		CHECK_EQ(e.not_understood, b[i].n);
		buf_free(&e.got.lines);
		buf_free(&b[i]);
	}
	buf_free(&r);
}

/* From the middle of an answer on nothing is believed before the next one that was asked for. */
static void from_inside(void)
{
	struct buf b = {0}, r = {0};

	one_record(&r);
	fetch_answer(&b, 12, 8, buf_span(&r));
	for (size_t skip = 1; skip < b.n; skip++) {
		struct end e = hears(span_sub(buf_span(&b), skip, SIZE_MAX), SIZE_MAX, true);

		CHECK(!strstr(buf_cstr(&e.got.lines), "RECEIVE"));
		CHECK_EQ(e.left, 0);
		buf_free(&e.got.lines);
	}
	buf_free(&b);
	buf_free(&r);
}

/* A request that proves little is read when the next one is there: its answer has come before. */
static void answered_meanwhile(void)
{
	struct buf asked[2] = {{0}}, answered = {0};
	struct feed f;

	feed_begin(&f, &proto_kafka, false, 0);
	f.lost[0] = f.lost[1] = true;
	for (int i = 0; i < 2; i++)
		ask(&asked[i], 2, 1, 5 + i, "llsllL", -1, 1, "orders", 1, 0, -1LL);
	answer(&answered, 5, "lsllhLL", 1, "orders", 1, 0, 0, -1LL, 40LL);
	feed_bytes(&f, TO_SERVER, buf_span(&asked[0]));
	CHECK(f.lost[TO_SERVER]);
	feed_bytes(&f, TO_CLIENT, buf_span(&answered));
	feed_bytes(&f, TO_SERVER, buf_span(&asked[1]));
	CHECK(!f.lost[TO_SERVER] && !f.bad);
	feed_end(&f);
	CHECK_EQ(f.log.n, 0);
	CHECK_EQ(f.not_understood[TO_CLIENT], 0);
	feed_free(&f);
	buf_free(&asked[0]);
	buf_free(&asked[1]);
	buf_free(&answered);
}

int main(void)
{
	RUN(recorded);
	RUN(each_layout);
	RUN(nothing_came);
	RUN(counted);
	RUN(from_inside);
	RUN(answered_meanwhile);
	return test_end();
}
