/* 64-bit hashes: XXH3 (xxHash, header only). Persisted fingerprints depend on it: never change the function,
 * only add. */
#ifndef EVTRACE_BASE_HASH_H
#define EVTRACE_BASE_HASH_H

#include "base/span.h"

uint64_t hash64(const void *p, size_t n, uint64_t seed);

static inline uint64_t hash_span(struct span s, uint64_t seed)
{
	return hash64(s.p, s.n, seed);
}

/* A mixer for integer keys: the finaliser of SplitMix64. */
static inline uint64_t hash_u64(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

#endif
