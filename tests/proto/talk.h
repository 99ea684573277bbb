/*
 * A conversation: what each side said, in turns. talk_expect() feeds it whole, byte by byte, and cut in two
 * at every length, one turn at a time and all at once; the operations are always those wanted.
 */
#ifndef EVTRACE_TESTS_PROTO_TALK_H
#define EVTRACE_TESTS_PROTO_TALK_H

#include "proto/feed.h"
#include "test.h"

#define TURNS_MAX 64
#define ALL_TURNS SIZE_MAX

struct turn {
	enum flowdir dir;
	struct buf b;
};

struct talk {
	struct turn turn[TURNS_MAX];
	size_t n;
};

/* How the talks that follow are decoded. */
static bool from_start = true;
static size_t payload_limit;
static bool secrets_wide; /* more may be told to be secret than is */

static inline struct buf *talk_turn(struct talk *t, enum flowdir d)
{
	if (t->n == TURNS_MAX)
		abort();
	t->turn[t->n++] = (struct turn){.dir = d};
	return &t->turn[t->n - 1].b;
}

/* The buffer to which the side that sends in direction @d writes now. */
static inline struct buf *says(struct talk *t, enum flowdir d)
{
	return t->n && t->turn[t->n - 1].dir == d ? &t->turn[t->n - 1].b : talk_turn(t, d);
}

static inline struct buf *client(struct talk *t)
{
	return says(t, TO_SERVER);
}

static inline struct buf *server(struct talk *t)
{
	return says(t, TO_CLIENT);
}

static inline void talk_free(struct talk *t)
{
	for (size_t i = 0; i < t->n; i++)
		buf_free(&t->turn[i].b);
	t->n = 0;
}

/* What was told to be secret is every "hunter2", told in time, and nothing else. */
static inline bool secrets_told(const struct feed *f)
{
	static const char word[] = "hunter2";
	const size_t n = sizeof(word) - 1;
	size_t left = 0;

	for (size_t i = 0; i < f->sent.n; i++) {
		uint8_t told = i < f->secrets.n ? f->secrets.p[i] : 0;

		if (i + n <= f->sent.n && !memcmp(f->sent.p + i, word, n))
			left = n;
		if (left ? told != 1 : told && !secrets_wide)
			return false;
		left -= left > 0;
	}
	return f->secrets.n <= f->sent.n;
}

struct talk_way {
	const char *name;
	size_t step;     /* bytes at a time; 0 all */
	size_t turn, at; /* the turn that is cut, and where; at 0: none */
	bool patient;    /* the decoder is asked only when it has what it said it needs */
};

/* As detect does: after PARSE_ERROR and PARSE_UNREAD it is not asked again. */
static inline bool talk_given_up(const struct feed *f)
{
	return holds(buf_span(&f->log), "PARSE_ERROR") || holds(buf_span(&f->log), "PARSE_UNREAD");
}

static inline void talk_feed(struct feed *f, const struct talk *t, const struct talk_way *w)
{
	for (size_t i = 0; i < t->n; i++) {
		struct span s = buf_span(&t->turn[i].b);
		size_t k = w->turn == i || w->turn == ALL_TURNS ? w->at : 0;

		for (; s.n && !talk_given_up(f); s = span_sub(s, k, SIZE_MAX), k = 0) {
			k = k ? k : w->step ? w->step : s.n;
			feed_bytes(f, t->turn[i].dir, span_sub(s, 0, k));
		}
	}
}

static inline void talk_begin(struct feed *f, const struct proto *p)
{
	feed_begin(f, p, from_start, payload_limit);
	f->lost[0] = f->lost[1] = !from_start;
}

/* Both sides have hung up. */
static inline void talk_end(struct feed *f, const char *want, const struct talk_way *w)
{
	feed_end(f);
	if (strcmp(buf_cstr(&f->log), want)) {
		fprintf(stderr, "--- %s, %s%s, turn %zd at %zu: got\n%s--- want\n%s", test_name, w->name,
			w->patient ? ", patient" : "", (ssize_t)w->turn, w->at, buf_cstr(&f->log), want);
		test_case_bad = true;
	}
	CHECK(!f->bad);
	CHECK(!f->secret);
	CHECK(secrets_told(f));
	feed_free(f);
}

static inline void talk_try(
	const struct proto *p, const struct talk *t, const char *want, const struct talk_way *w)
{
	struct feed f;

	talk_begin(&f, p);
	f.patient = w->patient;
	talk_feed(&f, t, w);
	talk_end(&f, want, w);
}

/* Consumes @t. */
static inline void talk_expect(const struct proto *p, struct talk *t, const char *want)
{
	size_t longest = 0;

	for (int patient = 0; patient < 2 && !test_case_bad; patient++) {
		talk_try(p, t, want, &(struct talk_way){.name = "whole", .patient = patient});
		talk_try(p, t, want,
			&(struct talk_way){.name = "byte by byte", .step = 1, .patient = patient});
		for (size_t i = 0; i < t->n; i++) {
			size_t n = t->turn[i].b.n;

			longest = n > longest ? n : longest;
			for (size_t at = 1; at < n && !test_case_bad; at++)
				talk_try(p, t, want, &(struct talk_way){"cut", 0, i, at, patient});
		}
		for (size_t at = 1; at < longest && !test_case_bad; at++)
			talk_try(p, t, want, &(struct talk_way){"all cut", 0, ALL_TURNS, at, patient});
	}
	talk_free(t);
}

#endif
