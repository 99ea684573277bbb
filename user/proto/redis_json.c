/* As much of JSON as it takes to find a member of an object: no tree, no allocation, one pass. */
#include "proto/redis_state.h"

static size_t skip_space(struct span s, size_t i)
{
	while (i < s.n && (s.p[i] == ' ' || (s.p[i] >= '\t' && s.p[i] <= '\r')))
		i++;
	return i;
}

/* @i is at a quote; returns the index behind the closing one, 0 when there is none. The next quote is looked
 * for once, not again behind each escape before it: a body may be one long string of escapes. */
static size_t skip_string(struct span s, size_t i)
{
	const uint8_t *q = NULL;

	for (i++; i < s.n; i++) {
		const uint8_t *b;

		if (!q || q < s.p + i)
			q = memchr(s.p + i, '"', s.n - i);
		if (!q)
			return 0;
		b = memchr(s.p + i, '\\', (size_t)(q - (s.p + i)));
		if (!b)
			return (size_t)(q - s.p) + 1;
		i = (size_t)(b - s.p) + 1;
	}
	return 0;
}

/* The index behind the value at @i, 0 when it is cut. */
static size_t skip_value(struct span s, size_t i)
{
	size_t depth = 0;

	while (i < s.n) {
		uint8_t c = s.p[i];

		if (c == '"') {
			i = skip_string(s, i);
			if (!i)
				return 0;
			if (!depth)
				return i;
			continue;
		}
		if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			if (!depth)
				return i;
			if (!--depth)
				return i + 1;
		} else if (!depth && (c == ',' || c == ' ' || (c >= '\t' && c <= '\r'))) {
			return i;
		}
		i++;
	}
	return depth ? 0 : i;
}

bool json_member(struct span doc, const char *name, struct span *ret)
{
	size_t i = skip_space(doc, 0);

	if (i >= doc.n || doc.p[i] != '{')
		return false;
	for (i = skip_space(doc, i + 1); i < doc.n && doc.p[i] == '"'; i = skip_space(doc, i + 1)) {
		size_t from = i + 1, value;
		struct span key;

		i = skip_string(doc, i);
		if (!i)
			return false;
		key = span_of(doc.p + from, i - 1 - from);
		i = skip_space(doc, i);
		if (i >= doc.n || doc.p[i] != ':')
			return false;
		value = skip_space(doc, i + 1);
		i = skip_value(doc, value);
		if (!i)
			return false;
		if (span_is(key, name)) {
			*ret = doc.p[value] == '"' ? span_of(doc.p + value + 1, i - value - 2)
						   : span_of(doc.p + value, i - value);
			return true;
		}
		i = skip_space(doc, i);
		if (i >= doc.n || doc.p[i] != ',')
			return false;
	}
	return false;
}
