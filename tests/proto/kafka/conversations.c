/*
 * Whole conversations, byte for byte, against the operations that they stand for. Each is fed in one piece,
 * byte by byte (asked every time, and only when the decoder said that it has enough), and cut in two at every
 * length; the result is the same.
 */
#include "proto/feed.h"
#include "wire.h"
#include "test.h"

static const char *want;
static bool from_start;
static size_t payload_limit;

/* What was told to be secret is every "hunter2", nothing else, and told in time. */
static bool secrets_told(const struct feed *f)
{
	static const char word[] = "hunter2";
	const size_t n = sizeof(word) - 1;
	size_t left = 0;

	for (size_t i = 0; i < f->sent.n; i++) {
		uint8_t told = i < f->secrets.n ? f->secrets.p[i] : 0;

		if (i + n <= f->sent.n && !memcmp(f->sent.p + i, word, n))
			left = n;
		if (!told != !left || told > 1)
			return false;
		left -= left > 0;
	}
	return f->secrets.n <= f->sent.n;
}

static void compare(struct feed *f, const char *how, size_t cut)
{
	const char *got = buf_cstr(&f->log);

	if (strcmp(got, want)) {
		fprintf(stderr, "--- %s, %s %zu: got\n%s--- want\n%s", test_name, how, cut, got, want);
		test_case_bad = true;
	}
	CHECK(!f->bad);
	CHECK(!f->secret);
	CHECK(secrets_told(f));
}

static void begin(struct feed *f)
{
	feed_begin(f, &proto_kafka, from_start, payload_limit);
	f->lost[0] = f->lost[1] = !from_start;
}

static void whole(const struct talk *t)
{
	struct feed f;

	begin(&f);
	for (size_t i = 0; i < t->n; i++)
		feed_bytes(&f, t->turn[i].dir, buf_span(&t->turn[i].b));
	feed_end(&f);
	compare(&f, "whole", 0);
	feed_free(&f);
}

static void bytewise(const struct talk *t, bool patient)
{
	struct feed f;

	begin(&f);
	f.patient = patient;
	for (size_t i = 0; i < t->n; i++)
		for (size_t k = 0; k < t->turn[i].b.n; k++)
			feed_bytes(&f, t->turn[i].dir, span_of(t->turn[i].b.p + k, 1));
	feed_end(&f);
	compare(&f, patient ? "byte by byte, patient" : "byte by byte", 0);
	feed_free(&f);
}

static void cut(const struct talk *t, size_t turn, size_t at)
{
	struct feed f;

	begin(&f);
	f.patient = at & 1;
	for (size_t i = 0; i < t->n; i++) {
		struct span s = buf_span(&t->turn[i].b);

		feed_bytes(&f, t->turn[i].dir, i == turn ? span_sub(s, 0, at) : s);
		if (i == turn)
			feed_bytes(&f, t->turn[i].dir, span_sub(s, at, SIZE_MAX));
	}
	feed_end(&f);
	compare(&f, "cut", at);
	feed_free(&f);
}

/* Consumes @t. */
static void check(struct talk *t, const char *expected)
{
	want = expected;
	whole(t);
	bytewise(t, false);
	bytewise(t, true);
	for (size_t i = 0; i < t->n && !test_case_bad; i++)
		for (size_t at = 1; at < t->turn[i].b.n && !test_case_bad; at++)
			cut(t, i, at);
	talk_free(t);
}

#define ID "0123456789abcdef"

/* Two partitions, a batch each. */
static void two_batches(struct buf *b, struct batch *one, struct batch *two)
{
	struct buf r1 = {0}, r2 = {0};

	batch_put(&r1, one, SPAN_EMPTY);
	batch_put(&r2, two, SPAN_EMPTY);
	ask(b, 0, 9, 7, "tchluculCtlCttt", NULL, -1, 30000, 2, "orders", 3, 0, buf_span(&r1), 3,
		buf_span(&r2));
	buf_free(&r1);
	buf_free(&r2);
}

static void produce_and_confirm(void)
{
	struct talk t = {0};
	struct batch one = BATCH(0), two = BATCH(0);

	record(&one, "k1", "first", "traceparent=00-1");
	record(&one, NULL, "second", NULL);
	record(&two, "k3", NULL, NULL);
	two_batches(client(&t), &one, &two);
	answer(server(&t), 7, "tuculhLLLuctlhLLLucttlt", 2, "orders", 3, 3, 0, 500LL, -1LL, 0LL, 1, NULL, 0,
		0, 41LL, -1LL, 0LL, 1, NULL, 0);
	check(&t, "1 SEND log ex=orders key=0 log=orders-0 size=5 body=first {key=k1} "
		  "{timestamp=1700000000000} "
		  "{header.traceparent=00-1}\n"
		  "2 SEND log ex=orders key=0 log=orders-0 size=6 body=second "
		  "{timestamp=1700000000010}\n"
		  "3 SEND log ex=orders key=3 log=orders-3 {key=k3} {timestamp=1700000000000} "
		  "{tombstone=1}\n"
		  "4 CONFIRM log ex=orders key=3 log=orders-3 mid=500 ref=3\n"
		  "5 CONFIRM log ex=orders key=0 log=orders-0 mid=41 ref=1 many\n"
		  "6 CONFIRM log ex=orders key=0 log=orders-0 mid=42 ref=2 many\n");
}

int main(void)
{
	from_start = true;
	RUN(produce_and_confirm);
	return test_end();
}
