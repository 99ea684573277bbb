/* Numbers and sizes as they are typed. */
#include <errno.h>

#include "base/number.h"
#include "test.h"

static void numbers(void)
{
	uint64_t v = 7;

	CHECK_EQ(parse_u64("42", 1, 100, &v), 0);
	CHECK_EQ(v, 42);
	CHECK_EQ(parse_u64("0", 1, 100, &v), -ERANGE);
	CHECK_EQ(parse_u64("101", 1, 100, &v), -ERANGE);
	CHECK_EQ(parse_u64("99999999999999999999", 0, UINT64_MAX, &v), -ERANGE);
	CHECK_EQ(parse_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
	v = 42;
	CHECK_EQ(parse_u64("", 0, 9, &v), -EINVAL);
	CHECK_EQ(parse_u64("-1", 0, 9, &v), -EINVAL);
	CHECK_EQ(parse_u64(" 1", 0, 9, &v), -EINVAL);
	CHECK_EQ(parse_u64("1x", 0, 9, &v), -EINVAL);
	CHECK_EQ(v, 42);
}

static void sizes(void)
{
	static const struct {
		const char *text;
		uint64_t v;
	} good[] = {{"0", 0}, {"4096", 4096}, {"64k", 65536}, {"64K", 65536}, {"1M", 1 << 20},
		{"1MiB", 1 << 20}, {"1 MB", 1 << 20}, {"2g", 2ull << 30}, {"1T", 1ull << 40}, {"5B", 5}};
	static const char *const bad[] = {"", "k", "-1", "1x", "1kk", "1 M B", "0x10", "1.5M"};
	uint64_t v = 7;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK_EQ(parse_size(good[i].text, &v), 0);
		CHECK_EQ(v, good[i].v);
	}
	v = 7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(parse_size(bad[i], &v), -EINVAL);
	CHECK_EQ(parse_size("9999999999T", &v), -ERANGE);
	CHECK_EQ(parse_size("99999999999999999999", &v), -ERANGE);
	CHECK_EQ(v, 7);
}

static void shown(void)
{
	static const int64_t v[] = {0, 7, -1, 10, 1234567890, INT64_MAX, INT64_MIN};
	char got[NUMBER_MAX + 1], want[32];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		got[put_i64(got, v[i])] = '\0';
		snprintf(want, sizeof(want), "%lld", (long long)v[i]);
		CHECK_STR(got, want);
		got[put_u64(got, (uint64_t)v[i])] = '\0';
		snprintf(want, sizeof(want), "%llu", (unsigned long long)v[i]);
		CHECK_STR(got, want);
	}
}

int main(void)
{
	RUN(numbers);
	RUN(sizes);
	RUN(shown);
	return test_end();
}
