/*
 * Compares the first and the last byte of the needle at 16 places at once, in the compiler's portable
 * vectors: a unique value is looked for in hundreds of megabytes, and hits of both bytes are rare.
 */
#include "base/search.h"

typedef uint8_t v16 __attribute__((vector_size(16)));

static v16 load_folded(const uint8_t *p)
{
	v16 v, upper;

	memcpy(&v, p, sizeof(v));
	upper = (v16)(v >= 'A') & (v16)(v <= 'Z');
	return v | (upper & 0x20);
}

static bool any_lane(v16 v)
{
	uint64_t half[2];

	memcpy(half, &v, sizeof(half));
	return half[0] | half[1];
}

static bool folded_at(const uint8_t *p, struct span needle)
{
	for (size_t i = 0; i < needle.n; i++)
		if (ascii_fold(p[i]) != needle.p[i])
			return false;
	return true;
}

size_t span_find_folded(struct span hay, struct span needle, size_t from)
{
	size_t last, i = from;

	if (from > hay.n || needle.n > hay.n - from)
		return NOT_FOUND;
	if (!needle.n)
		return from;
	last = hay.n - needle.n; /* the last place where it could start */
	while (i <= last && last - i >= 15) {
		v16 hit = (v16)(load_folded(hay.p + i) == needle.p[0]) &
			  (v16)(load_folded(hay.p + i + needle.n - 1) == needle.p[needle.n - 1]);

		if (any_lane(hit))
			for (size_t k = 0; k < 16; k++)
				if (hit[k] && folded_at(hay.p + i + k, needle))
					return i + k;
		i += 16;
	}
	for (; i <= last; i++)
		if (ascii_fold(hay.p[i]) == needle.p[0] && folded_at(hay.p + i, needle))
			return i;
	return NOT_FOUND;
}

bool span_eq_nocase(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_fold(a.p[i]) != ascii_fold(b.p[i]))
			return false;
	return true;
}
