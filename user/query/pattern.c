#include "query/pattern.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/json.h"

#define PAT_ONE  0x100
#define PAT_MANY 0x101

static bool is_escape(struct span s, size_t i)
{
	return s.p[i] == '\\' && i + 1 < s.n && memchr("\\*?\"'() ", s.p[i + 1], 8);
}

static void find_literal(struct pattern *p)
{
	size_t start = 0, best = 0, best_n = 0;

	for (size_t i = 0; i <= p->n; i++) {
		if (i < p->n && p->el[i] < 0x100)
			continue;
		if (i - start > best_n) {
			best = start;
			best_n = i - start;
		}
		start = i + 1;
	}
	p->literal = span_of(p->folded + best, best_n);
}

int pattern__init(struct pattern *p, struct span typed)
{
	size_t n = 0, start = 0;
	uint16_t *el;

	memset(p, 0, sizeof(*p));
	if (typed.n > PATTERN_MAX)
		return -E2BIG;
	el = calloc(typed.n + 1, sizeof(*el));
	p->el = el;
	p->folded = calloc(typed.n + 1, 1);
	if (!el || !p->folded) {
		pattern__clear(p);
		return -ENOMEM;
	}
	for (size_t i = 0; i < typed.n; i++) {
		if (is_escape(typed, i))
			el[n++] = ascii_fold(typed.p[++i]);
		else if (typed.p[i] == '?')
			el[n++] = PAT_ONE;
		else if (typed.p[i] != '*')
			el[n++] = ascii_fold(typed.p[i]);
		else if (!n || el[n - 1] != PAT_MANY)
			el[n++] = PAT_MANY;
	}
	p->open_left = n && el[0] == PAT_MANY;
	start = p->open_left;
	p->open_right = n && el[n - 1] == PAT_MANY;
	n -= n > start && p->open_right;
	p->n = n - start;
	memmove(el, el + start, p->n * sizeof(*el));
	for (size_t i = 0; i < p->n; i++) {
		p->glob |= el[i] >= 0x100;
		p->folded[i] = (uint8_t)el[i];
	}
	if (p->glob && p->n > PATTERN_GLOB_MAX) {
		pattern__clear(p);
		return -E2BIG;
	}
	find_literal(p);
	return 0;
}

void pattern__clear(struct pattern *p)
{
	free(p->el);
	free(p->folded);
	memset(p, 0, sizeof(*p));
}

static bool is_word(uint8_t c)
{
	return isalnum(c) || c == '_' || c >= 0x80;
}

/* No word goes on from before @i to @i. */
static bool boundary(struct span s, size_t i)
{
	return !i || i >= s.n || !is_word(s.p[i - 1]) || !is_word(s.p[i]);
}

/* What a star does not cross when it looks anywhere. */
static bool stops_star(uint8_t c)
{
	return c <= ' ' || c == '"' || c == '<' || c == '>' || c == 0x7f;
}

/*
 * Wildcards: all places of the pattern where the text read so far may stand, at once (Thompson), so that no
 * pattern makes it slow. Place i: el[0..i) are matched.
 */
struct places {
	uint16_t at[PATTERN_GLOB_MAX + 1];
	bool in[PATTERN_GLOB_MAX + 1];
	size_t n;
};

static void add_place(const struct pattern *p, struct places *set, size_t i)
{
	for (; !set->in[i]; i++) {
		set->in[i] = true;
		set->at[set->n++] = (uint16_t)i;
		if (i == p->n || p->el[i] != PAT_MANY)
			return; /* a star may also stand for nothing: then the place behind it is one too */
	}
}

static void clear_places(struct places *set)
{
	for (size_t k = 0; k < set->n; k++)
		set->in[set->at[k]] = false;
	set->n = 0;
}

/* Takes the character @c, of @n bytes. */
static void step(const struct pattern *p, const struct places *from, struct places *to, const uint8_t *c,
	size_t n, bool bounded)
{
	for (size_t k = 0; k < from->n; k++) {
		size_t i = from->at[k];
		uint16_t el = i < p->n ? p->el[i] : PAT_ONE;

		if (i == p->n)
			continue;
		if (el == PAT_MANY && !(bounded && stops_star(*c)))
			add_place(p, to, i);
		else if (el == PAT_ONE && !(bounded && stops_star(*c)))
			add_place(p, to, i + 1);
		else if (n == 1 && el == ascii_fold(*c))
			add_place(p, to, i + 1);
	}
}

/*
 * A character of more bytes is one for ? and *, but the pattern holds its bytes one by one: walk those that
 * are literally there.
 */
static void step_literal(
	const struct pattern *p, const struct places *from, struct places *to, const uint8_t *c, size_t n)
{
	for (size_t k = 0; k < from->n; k++) {
		size_t i = from->at[k], b = 0;

		while (b < n && i + b < p->n && p->el[i + b] == c[b])
			b++;
		if (b == n)
			add_place(p, to, i + n);
	}
}

static bool run_places(
	const struct pattern *p, struct span s, bool whole, bool anywhere, size_t *ret_begin, size_t *ret_end)
{
	struct places set[2] = {0};
	struct places *now = &set[0], *next = &set[1], *swap;
	size_t begin = 0, n;

	for (size_t i = 0;; i += n) {
		bool at_begin = whole ? !i || p->open_left : anywhere || p->open_left || boundary(s, i);

		if (at_begin) {
			if (!now->n)
				begin = i;
			add_place(p, now, 0);
		}
		if (now->in[p->n] &&
			(whole ? i == s.n || p->open_right : anywhere || p->open_right || boundary(s, i))) {
			*ret_begin = begin;
			*ret_end = i;
			return true;
		}
		if (i >= s.n)
			return false;
		n = utf8_len(span_sub(s, i, 4));
		n = n ? n : 1;
		step(p, now, next, s.p + i, n, !whole);
		if (n > 1)
			step_literal(p, now, next, s.p + i, n);
		clear_places(now);
		swap = now;
		now = next;
		next = swap;
	}
}

bool pattern_is(const struct pattern *p, struct span text)
{
	struct span lit = span_of(p->folded, p->n);
	size_t begin, end;

	if (pattern_any(p))
		return true;
	if (p->glob)
		return run_places(p, text, true, false, &begin, &end);
	if (text.n < p->n)
		return false;
	if (p->open_left && p->open_right)
		return span_find_folded(text, lit, 0) != NOT_FOUND;
	if (p->open_left)
		return span_find_folded(text, lit, text.n - p->n) != NOT_FOUND;
	if (p->open_right)
		text.n = p->n;
	return text.n == p->n && span_find_folded(text, lit, 0) == 0;
}

static size_t find_literally(const struct pattern *p, struct span text, bool anywhere, size_t *ret_end)
{
	struct span lit = span_of(p->folded, p->n);
	size_t i = 0;

	while ((i = span_find_folded(text, lit, i)) != NOT_FOUND) {
		if ((anywhere || p->open_left || boundary(text, i)) &&
			(anywhere || p->open_right || boundary(text, i + p->n))) {
			if (ret_end)
				*ret_end = i + p->n;
			return i;
		}
		i++;
	}
	return NOT_FOUND;
}

size_t pattern_find(const struct pattern *p, struct span text, bool anywhere, size_t *ret_end)
{
	size_t begin, end;

	if (!p->n) {
		if (ret_end)
			*ret_end = 0;
		return pattern_any(p) ? 0 : NOT_FOUND;
	}
	if (!p->glob)
		return find_literally(p, text, anywhere, ret_end);
	if (span_find_folded(text, p->literal, 0) == NOT_FOUND)
		return NOT_FOUND;
	if (!run_places(p, text, false, anywhere, &begin, &end))
		return NOT_FOUND;
	if (ret_end)
		*ret_end = end;
	return begin;
}
