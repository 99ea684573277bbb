#include "base/timefmt.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t now_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t now_mono_ns(void)
{
	return (uint64_t)clock_ns(CLOCK_MONOTONIC);
}

char *fmt_rfc3339(char *out, size_t n, int64_t wall_ns)
{
	time_t sec = wall_ns / NS_PER_SEC;
	struct tm tm;
	char date[32];

	gmtime_r(&sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, n, "%s.%06dZ", date, (int)(wall_ns % NS_PER_SEC / 1000));
	return out;
}

char *fmt_clock(char *out, size_t n, int64_t wall_ns, int decimals)
{
	time_t sec = wall_ns / NS_PER_SEC;
	struct tm tm;
	char text[16], frac[16];

	localtime_r(&sec, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	snprintf(frac, sizeof(frac), ".%09d", (int)(wall_ns % NS_PER_SEC));
	snprintf(out, n, "%s%.*s", text, decimals > 0 ? decimals + 1 : 0, frac);
	return out;
}

char *fmt_duration(char *out, size_t n, int64_t ns)
{
	const char *sign = ns < 0 ? "-" : "";
	double v = ns < 0 ? -(double)ns : (double)ns;

	if (v < 9.95e6)
		snprintf(out, n, "%s%.1f ms", sign, v / 1e6);
	else if (v < 999.5e6)
		snprintf(out, n, "%s%.0f ms", sign, v / 1e6);
	else if (v < 9.95e9)
		snprintf(out, n, "%s%.1f s", sign, v / 1e9);
	else if (v < 119.5e9)
		snprintf(out, n, "%s%.0f s", sign, v / 1e9);
	else if (v < 7200e9)
		snprintf(out, n, "%s%.0f min", sign, v / 60e9);
	else if (v < 48 * 3600e9)
		snprintf(out, n, "%s%.0f h", sign, v / 3600e9);
	else
		snprintf(out, n, "%s%.0f d", sign, v / (24 * 3600e9));
	return out;
}

char *fmt_size(char *out, size_t n, uint64_t bytes)
{
	static const char *const unit[] = {"B", "kB", "MB", "GB", "TB"};
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 999.5 && u < 4) {
		v /= 1000;
		u++;
	}
	snprintf(out, n, u && v < 9.95 ? "%.1f %s" : "%.0f %s", v, unit[u]);
	return out;
}

char *fmt_count(char *out, size_t n, uint64_t v)
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, v), o = 0;

	for (size_t i = 0; i < len && o + 2 < n; i++) {
		if (i && (len - i) % 3 == 0)
			out[o++] = ' ';
		out[o++] = digits[i];
	}
	out[o] = '\0';
	return out;
}

static int parse_age(const char *text, int64_t now, int64_t *ret_ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"ms", 1e6}, {"s", 1e9}, {"min", 60e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9},
		{"w", 604800e9}};
	char *end;
	double v = strtod(text, &end);

	if (end == text || v < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(end, units[i].unit)) {
			if (!(v * units[i].ns <= (double)now)) /* before 1970, or no number */
				return -EINVAL;
			*ret_ns = now - (int64_t)(v * units[i].ns);
			return 0;
		}
	return -EINVAL;
}

static int parse_epoch(const char *text, int64_t *ret_ns)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || end == text || *end || v < 100000000LL)
		return -EINVAL;
	*ret_ns =
		v < 100000000000LL ? v * NS_PER_SEC : v * NS_PER_MS; /* below: seconds until the year 5138 */
	return 0;
}

/* Reads ".123456" into nanoseconds and moves on. */
static int64_t parse_fraction(const char **p)
{
	int64_t ns = 0, unit = NS_PER_SEC / 10;

	if (**p != '.')
		return 0;
	for ((*p)++; isdigit((unsigned char)**p); (*p)++, unit /= 10)
		ns += (**p - '0') * unit;
	return ns;
}

static int parse_zone(const char *p, const struct tm *tm, int64_t *ret_sec)
{
	struct tm t = *tm;
	int h, m;

	if (!*p) {
		t.tm_isdst = -1;
		*ret_sec = mktime(&t);
		return 0;
	}
	if (!strcmp(p, "Z") || !strcmp(p, "z")) {
		*ret_sec = timegm(&t);
		return 0;
	}
	if ((*p == '+' || *p == '-') && sscanf(p + 1, "%2d:%2d", &h, &m) == 2 && strlen(p) == 6) {
		*ret_sec = timegm(&t) - (*p == '-' ? -1 : 1) * (h * 3600 + m * 60);
		return 0;
	}
	return -EINVAL;
}

int parse_time(const char *text, int64_t now, int64_t *ret_ns)
{
	static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
		"%Y-%m-%d %H:%M", "%Y-%m-%d", "%H:%M:%S", "%H:%M"};
	time_t now_sec = now / NS_PER_SEC;

	if (!parse_epoch(text, ret_ns) || !parse_age(text, now, ret_ns))
		return 0;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct tm tm = {0};
		const char *end;
		int64_t frac, sec;

		if (forms[i][1] == 'H') {
			localtime_r(&now_sec, &tm);
			tm.tm_sec = 0;
		}
		end = strptime(text, forms[i], &tm);
		if (!end)
			continue;
		frac = parse_fraction(&end);
		if (parse_zone(end, &tm, &sec))
			continue;
		*ret_ns = sec * NS_PER_SEC + frac;
		return 0;
	}
	return -EINVAL;
}
