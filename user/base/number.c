#include "base/number.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno || v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "kmgt";
	unsigned long long v;
	unsigned shift = 0;
	const char *unit;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end == ' ')
		end++;
	unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (*end == 'i')
			end++;
	}
	if (*end && strcasecmp(end, "b"))
		return -EINVAL;
	if (v > (uint64_t)INT64_MAX >> shift)
		return -ERANGE;
	*ret = v << shift;
	return 0;
}

size_t put_u64(char ret[NUMBER_MAX], uint64_t v)
{
	char text[NUMBER_MAX];
	size_t at = NUMBER_MAX;

	do {
		text[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	memcpy(ret, text + at, NUMBER_MAX - at);
	return NUMBER_MAX - at;
}

size_t put_i64(char ret[NUMBER_MAX], int64_t v)
{
	if (v >= 0)
		return put_u64(ret, (uint64_t)v);
	ret[0] = '-';
	/* No more than 19 digits: the smallest is -2^63. */
	return 1 + put_u64(ret + 1, 0 - (uint64_t)v);
}
