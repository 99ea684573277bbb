/* Times, durations, sizes and counts as they are written and read, and numbers of options. */
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/number.h"
#include "base/span.h"
#include "base/timefmt.h"

#define NOON 1795608000000000000LL /* 2026-11-25T12:00:00Z */

static void durations(void)
{
	static const struct {
		int64_t ns;
		const char *text;
	} t[] = {{0, "0.0 ms"}, {800000, "0.8 ms"}, {9940000, "9.9 ms"}, {41 * NS_PER_MS, "41 ms"},
		{999400000, "999 ms"}, {2300 * NS_PER_MS, "2.3 s"}, {42 * NS_PER_SEC, "42 s"},
		{119 * NS_PER_SEC, "119 s"}, {360 * NS_PER_SEC, "6 min"}, {3 * 3600 * NS_PER_SEC, "3 h"},
		{72 * 3600 * NS_PER_SEC, "3 d"}, {-2300 * NS_PER_MS, "-2.3 s"}};
	char text[40];

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK_STR(fmt_duration(text, sizeof(text), t[i].ns), t[i].text);
	CHECK(strlen(fmt_duration(text, sizeof(text), INT64_MIN)) < sizeof(text));
}

static void sizes_and_counts(void)
{
	char text[40];

	CHECK_STR(fmt_size(text, sizeof(text), 0), "0 B");
	CHECK_STR(fmt_size(text, sizeof(text), 412), "412 B");
	CHECK_STR(fmt_size(text, sizeof(text), 999), "999 B");
	CHECK_STR(fmt_size(text, sizeof(text), 1000), "1.0 kB");
	CHECK_STR(fmt_size(text, sizeof(text), 9500), "9.5 kB");
	CHECK_STR(fmt_size(text, sizeof(text), 118000000), "118 MB");
	CHECK_STR(fmt_size(text, sizeof(text), 999999999), "1.0 GB");
	CHECK(strstr(fmt_size(text, sizeof(text), UINT64_MAX), "TB") != NULL);
	CHECK_STR(fmt_count(text, sizeof(text), 0), "0");
	CHECK_STR(fmt_count(text, sizeof(text), 999), "999");
	CHECK_STR(fmt_count(text, sizeof(text), 18204), "18 204");
	CHECK_STR(fmt_count(text, sizeof(text), UINT64_MAX), "18 446 744 073 709 551 615");
}

static void points_in_time(void)
{
	char text[40];

	CHECK_STR(fmt_rfc3339(text, sizeof(text), NOON + 114203000), "2026-11-25T12:00:00.114203Z");
	CHECK_STR(fmt_rfc3339(text, sizeof(text), 0), "1970-01-01T00:00:00.000000Z");
	CHECK_STR(fmt_clock(text, sizeof(text), NOON + 114203000, 0), "12:00:00");
	CHECK_STR(fmt_clock(text, sizeof(text), NOON + 114203000, 3), "12:00:00.114");
	CHECK_STR(fmt_clock(text, sizeof(text), NOON + 114203000, 9), "12:00:00.114203000");
}

static void reads_times(void)
{
	static const struct {
		const char *text;
		int64_t ns;
	} t[] = {{"2026-11-25T12:00:00Z", NOON}, {"2026-11-25T12:00:00.5Z", NOON + 500 * NS_PER_MS},
		{"2026-11-25T13:00:00+01:00", NOON}, {"2026-11-25T07:30:00-04:30", NOON},
		{"2026-11-25 12:00:00", NOON}, {"2026-11-25 12:00", NOON},
		{"2026-11-25", NOON - 12 * 3600 * NS_PER_SEC}, {"12:00", NOON},
		{"11:59:30", NOON - 30 * NS_PER_SEC}, {"1795608000", NOON},
		{"1795608000123", NOON + 123 * NS_PER_MS}, {"90s", NOON - 90 * NS_PER_SEC},
		{"5min", NOON - 300 * NS_PER_SEC}, {"5m", NOON - 300 * NS_PER_SEC},
		{"1.5h", NOON - 5400 * NS_PER_SEC}, {"3d", NOON - 3 * 86400 * NS_PER_SEC},
		{"250ms", NOON - 250 * NS_PER_MS}};
	static const char *const bad[] = {"", "yesterday", "12:00x", "2026-13-45", "-5min", "5 parsecs",
		"2026-11-25T12:00:00+1", "12", "90s "};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		int64_t ns = -1;

		CHECK_EQ(parse_time(t[i].text, NOON, &ns), 0);
		CHECK_EQ(ns, t[i].ns);
		if (test_case_bad)
			fprintf(stderr, "  %s\n", t[i].text);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t ns = -7;

		CHECK_EQ(parse_time(bad[i], NOON, &ns), -EINVAL);
		CHECK_EQ(ns, -7); /* untouched */
		if (test_case_bad)
			fprintf(stderr, "  %s\n", bad[i]);
	}
}

static void absurd_ages_are_refused(void)
{
	static const char *const bad[] = {"1e300s", "nans", "infs", "99999999999999999999d"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t ns = -7;

		CHECK_EQ(parse_time(bad[i], NOON, &ns), -EINVAL);
		CHECK_EQ(ns, -7);
	}
}

static void numbers_of_options(void)
{
	uint64_t v = 7;

	CHECK(!parse_u64("65535", 1, 65535, &v) && v == 65535);
	CHECK_EQ(parse_u64("0", 1, 65535, &v), -ERANGE);
	CHECK_EQ(parse_u64("99999999999999999999999", 0, UINT64_MAX, &v), -ERANGE);
	CHECK_EQ(parse_u64("", 0, 9, &v), -EINVAL);
	CHECK_EQ(parse_u64("-1", 0, UINT64_MAX, &v), -EINVAL);
	CHECK_EQ(parse_u64("1x", 0, 9, &v), -EINVAL);
	CHECK_EQ(v, 65535);
	CHECK(!parse_size("64k", &v) && v == 64 << 10);
	CHECK(!parse_size("1 MB", &v) && v == 1 << 20);
	CHECK(!parse_size("2G", &v) && v == 2ULL << 30);
	CHECK(!parse_size("4096", &v) && v == 4096);
	CHECK_EQ(parse_size("99999999999G", &v), -ERANGE);
	CHECK_EQ(parse_size("k", &v), -EINVAL);
	CHECK_EQ(parse_size("-1k", &v), -EINVAL);
	CHECK_EQ(v, 4096);
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	tzset();
	RUN(durations);
	RUN(sizes_and_counts);
	RUN(points_in_time);
	RUN(reads_times);
	RUN(absurd_ages_are_refused);
	RUN(numbers_of_options);
	return test_end();
}
