/* Feeds a conversation whole, byte by byte (asked every time, and only when there is enough), and cut in two
 * at every length: the operations are the same, and they are those wanted. */
#ifndef EVTRACE_TESTS_REDIS_TALK_H
#define EVTRACE_TESTS_REDIS_TALK_H

#include "proto/feed.h"
#include "wire.h"
#include "test.h"

static bool from_start = true;
static size_t payload_limit;

/* What was told to be secret holds every "hunter2", and was told in time. */
static inline bool secrets_told(const struct feed *f)
{
	static const char word[] = "hunter2";
	const size_t n = sizeof(word) - 1;

	for (size_t i = 0; i + n <= f->sent.n; i++)
		for (size_t k = 0; !memcmp(f->sent.p + i, word, n) && k < n; k++)
			if (i + k >= f->secrets.n || f->secrets.p[i + k] != 1)
				return false;
	return true;
}

static inline void talk_compare(struct feed *f, const char *want, const char *how, size_t cut)
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

/* @step: bytes at a time, 0 all; the first @cut bytes apart. */
static inline void talk_feed(const struct talk *t, const char *want, size_t step, size_t cut, bool patient)
{
	struct feed f;

	feed_begin(&f, &proto_redis, from_start, payload_limit);
	f.lost[0] = f.lost[1] = !from_start;
	f.patient = patient;
	for (size_t i = 0; i < t->n; i++) {
		struct span s = buf_span(&t->turn[i].b);

		while (s.n) {
			size_t k = cut ? cut : step ? step : s.n;

			k = k < s.n ? k : s.n;
			cut -= cut < k ? cut : k;
			feed_bytes(&f, t->turn[i].dir, span_sub(s, 0, k));
			s = span_sub(s, k, SIZE_MAX);
		}
	}
	feed_end(&f);
	talk_compare(&f, want, step ? "byte by byte" : "cut", cut);
	feed_free(&f);
}

static inline void talk_check(struct talk *t, const char *want)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->turn[i].b.n;
	talk_feed(t, want, 0, 0, false);
	if (!test_case_bad)
		talk_feed(t, want, 1, 0, false);
	if (!test_case_bad)
		talk_feed(t, want, 1, 0, true);
	for (size_t cut = 1; cut < n && !test_case_bad; cut++)
		talk_feed(t, want, 0, cut, true);
	talk_free(t);
}

#endif
