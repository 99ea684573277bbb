/*
 * Fixtures: conversations recorded from real programs (record.py of each decoder), and beside each, in
 * NAME.truth, what the client knows that it did and got, one line an operation.
 */
#ifndef EVTRACE_TESTS_PROTO_FIXTURE_H
#define EVTRACE_TESTS_PROTO_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "proto/feed.h"
#include "test.h"

#define KINDS             64
#define FIXTURE_LINES_MAX (1 << 14)

/* A body in the truth. */
static inline uint32_t fnv(struct span s)
{
	uint32_t h = 2166136261;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 16777619;
	return h;
}

/* False, and nothing said, if there is no such file. */
static inline bool fixture_read(const struct proto *p, const char *name, const char *suffix, struct buf *ret)
{
	char path[256];
	FILE *f;
	int c;

	*ret = (struct buf){0};
	snprintf(path, sizeof(path), "tests/proto/%s/fixtures/%s%s", p->name, name, suffix);
	f = fopen(path, "rb");
	if (!f)
		return false;
	while ((c = getc(f)) != EOF)
		buf_putc(ret, (char)c);
	fclose(f);
	return true;
}

static inline struct buf fixture_load(const struct proto *p, const char *name, const char *suffix)
{
	struct buf b;

	if (!fixture_read(p, name, suffix, &b) || !b.n) {
		fprintf(stderr, "%s%s of %s cannot be read (tests run from the repository's root)\n", name,
			suffix, p->name);
		test_case_bad = true;
	}
	return b;
}

/* The next chunk of a recording, whose first 6 bytes are taken off. */
static inline bool chunk_next(struct span *rest, enum flowdir *way, struct span *ret)
{
	const uint8_t *p = rest->p;

	if (rest->n < 5)
		return false;
	*way = p[0] & 1 ? TO_CLIENT : TO_SERVER;
	*ret = span_sub(*rest, 5, (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4]);
	*rest = span_sub(*rest, 5 + ret->n, SIZE_MAX);
	return true;
}

/* A feed whose operations go elsewhere; @shared stays the caller's. */
static inline void feed_told(
	struct feed *f, const struct proto *p, void *shared, const struct proto_out *out, bool started)
{
	struct proto_opts opts = {.shared = shared};

	*f = (struct feed){.p = p, .lost = {!started, !started}};
	f->st = p->state_new(&opts, out, started);
}

/* @step: 0 as it is, else at most that many bytes at a time; what is left of the first @cut bytes apart. */
static inline void feed_part(struct feed *f, enum flowdir d, struct span s, size_t step, size_t *cut)
{
	while (s.n) {
		size_t k = step ? step : s.n;

		if (*cut && *cut < k)
			k = *cut;
		k = k < s.n ? k : s.n;
		*cut = *cut > k ? *cut - k : 0;
		feed_bytes(f, d, span_sub(s, 0, k));
		s = span_sub(s, k, SIZE_MAX);
	}
}

/* The truth's lines that start with @kind. */
static inline void lines_of(struct buf *truth, const char *kind, struct buf *out)
{
	const char *l = buf_cstr(truth);

	buf_clear(out);
	while (*l) {
		size_t n = strcspn(l, "\n") + 1;

		if (!strncmp(l, kind, strlen(kind)) && l[strlen(kind)] == ' ')
			buf_put(out, l, n);
		l += n;
	}
}

static inline int by_text(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return c ? c : (x->n > y->n) - (x->n < y->n);
}

static inline void sort_lines(struct buf *b)
{
	static struct span lines[FIXTURE_LINES_MAX];
	struct buf out = {0};
	const uint8_t *lf;
	size_t n = 0, at = 0;

	while (n < FIXTURE_LINES_MAX && at < b->n && (lf = memchr(b->p + at, '\n', b->n - at))) {
		lines[n++] = span_of(b->p + at, (size_t)(lf - b->p) + 1 - at);
		at = (size_t)(lf - b->p) + 1;
	}
	CHECK_EQ(at, b->n);
	qsort(lines, n, sizeof(*lines), by_text);
	for (size_t i = 0; i < n; i++)
		buf_put_span(&out, lines[i]);
	buf_free(b);
	*b = out;
}

/* What was told of each kind, as lines of the truth. */
struct told {
	const char *name, *how; /* the fixture, and how it was fed */
	struct buf truth;
	struct buf kind[KINDS];
};

static inline void told_free(struct told *t)
{
	for (int k = 0; k < KINDS; k++)
		buf_free(&t->kind[k]);
	buf_free(&t->truth);
}

/* @sorted: in any order. @tail: no more than the last of the truth need to have been seen. */
static inline bool told_same(struct told *t, enum op_kind k, bool sorted, bool tail)
{
	struct buf *got = &t->kind[k], want = {0};
	bool same = true;

	if (strcmp(kind_text(k), "?")) {
		size_t off;

		lines_of(&t->truth, kind_text(k), &want);
		if (sorted) {
			sort_lines(&want);
			sort_lines(got);
		}
		off = tail && got->n <= want.n ? want.n - got->n : 0;
		same = !strcmp(buf_cstr(got), buf_cstr(&want) + off);
	}
	if (!same) {
		fprintf(stderr, "--- %s, %s: got\n%s--- want\n%s", t->name, t->how, buf_cstr(got),
			buf_cstr(&want));
		test_case_bad = true;
	}
	buf_free(&want);
	return same;
}

#endif
