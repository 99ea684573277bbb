/* Finds text in bytes, ignoring ASCII case. */
#ifndef EVTRACE_BASE_SEARCH_H
#define EVTRACE_BASE_SEARCH_H

#include "base/span.h"

#define NOT_FOUND SIZE_MAX

static inline uint8_t ascii_fold(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Offset of the first @needle in @hay at or after @from, or NOT_FOUND. @needle is folded already; an empty
 * one is found at @from. */
size_t span_find_folded(struct span hay, struct span needle, size_t from);

/* Equal but for ASCII case; neither needs to be folded. */
bool span_eq_nocase(struct span a, struct span b);

#endif
