/*
 * Time and sizes as people and machines write them. Wall-clock times are int64_t nanoseconds since the Unix
 * epoch, 0 for "not known"; durations are nanoseconds.
 */
#ifndef EVTRACE_BASE_TIMEFMT_H
#define EVTRACE_BASE_TIMEFMT_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_SEC 1000000000LL
#define NS_PER_MS  1000000LL

int64_t now_wall_ns(void);
uint64_t now_mono_ns(void); /* CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns() */

/* Each writes a NUL-terminated text into @out and returns it. 40 bytes are enough for any. */
char *fmt_rfc3339(char *out, size_t n, int64_t wall_ns); /* 2026-11-23T14:02:09.114203Z */
char *fmt_clock(
	char *out, size_t n, int64_t wall_ns, int decimals); /* local 14:02:09, or 14:02:09.114 with 3 */
char *fmt_duration(char *out, size_t n, int64_t ns);         /* 0.8 ms, 41 ms, 2.3 s, 6 min, 3 h, 2 d */
char *fmt_size(char *out, size_t n, uint64_t bytes);         /* 412 B, 9.5 kB, 118 MB */
char *fmt_count(char *out, size_t n, uint64_t v);            /* 18 204 */

/*
 * Parses a point in time: RFC 3339, "YYYY-MM-DD[ HH:MM[:SS]]" and "HH:MM[:SS]" (local; today), epoch seconds
 * or milliseconds, or an age before @now: "90s", "5min", "2h", "3d". 0, or -EINVAL with *ret untouched.
 */
int parse_time(const char *text, int64_t now, int64_t *ret_ns);

#endif
