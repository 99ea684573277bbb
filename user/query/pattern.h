/*
 * What an operator typed to look for, compiled: ASCII case is folded, * stands for any characters and ? for
 * one, a backslash takes their meaning away.
 *
 * Anywhere in a message (pattern_find) a pattern matches at word boundaries: a letter or digit at its edge
 * may not continue in the text, unless the pattern ends there with a star. Letters, digits, '_' and all bytes
 * of other alphabets make words. A star inside of it stays within one run of text: it does not cross white
 * space, quotes, angle brackets or control characters.
 * As a whole value (pattern_is) there are no boundaries, and a star crosses anything.
 */
#ifndef EVTRACE_QUERY_PATTERN_H
#define EVTRACE_QUERY_PATTERN_H

#include "base/search.h"

#define PATTERN_MAX      4096 /* bytes of a pattern */
#define PATTERN_GLOB_MAX 256  /* the same, of one with * or ? */

struct pattern {
	uint16_t *el;    /* folded bytes, or PAT_*; without the stars at both ends */
	uint8_t *folded; /* the same bytes when there is no wildcard among them */
	size_t n;
	bool open_left, open_right; /* a star stood there */
	bool glob;                  /* `el` holds wildcards */
	struct span literal;        /* its longest run without wildcards; every match contains it */
};

/* 0; -E2BIG; -ENOMEM. */
int pattern__init(struct pattern *p, struct span typed);
void pattern__clear(struct pattern *p);

/* It matches everything: "*", or nothing at all. */
static inline bool pattern_any(const struct pattern *p)
{
	return !p->n && (p->open_left || p->open_right);
}

bool pattern_is(const struct pattern *p, struct span text);
/* @anywhere: boundaries do not count (binary data). The match's end in *ret_end, which may be NULL; its
 * beginning is returned, near enough to show it when the pattern has wildcards; NOT_FOUND. */
size_t pattern_find(const struct pattern *p, struct span text, bool anywhere, size_t *ret_end);

#endif
