/* A span is a borrowed view of bytes: never owned, never NUL-terminated. Valid as long as what it points
 * into. */
#ifndef EVTRACE_BASE_SPAN_H
#define EVTRACE_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *p;
	size_t n;
};

#define SPAN_FMT     "%.*s"
#define SPAN_ARG(s)  (int)(s).n, (const char *)(s).p
#define SPAN_LIT(s)  ((struct span){(const uint8_t *)(s), sizeof(s) - 1})
#define SPAN_EMPTY   ((struct span){NULL, 0})
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline struct span span_of(const void *p, size_t n)
{
	return (struct span){p, n};
}

static inline struct span span_str(const char *s)
{
	return (struct span){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}

static inline bool span_is(struct span a, const char *s)
{
	return span_eq(a, span_str(s));
}

static inline bool span_starts(struct span a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.n >= n && !memcmp(a.p, prefix, n);
}

static inline bool span_ends(struct span a, const char *suffix)
{
	size_t n = strlen(suffix);

	return a.n >= n && !memcmp(a.p + a.n - n, suffix, n);
}

/* The part of @s from @off, @n bytes at most; empty when @off lies beyond its end. */
static inline struct span span_sub(struct span s, size_t off, size_t n)
{
	if (off >= s.n)
		return SPAN_EMPTY;
	return span_of(s.p + off, n < s.n - off ? n : s.n - off);
}

#endif
