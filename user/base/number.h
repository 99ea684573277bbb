/* Numbers as people type them in options, and as they are shown. */
#ifndef EVTRACE_BASE_NUMBER_H
#define EVTRACE_BASE_NUMBER_H

#include <stddef.h>
#include <stdint.h>

/* A whole decimal number in [@min, @max] and nothing behind it. 0, or -EINVAL / -ERANGE with *ret untouched.
 */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* A size: "4096", "64k", "64K", "1M", "1MiB", "1 MB", "2G"; always powers of 1024. 0, or -EINVAL / -ERANGE
 * (beyond 2^63) with *ret untouched. */
int parse_size(const char *text, uint64_t *ret);

/* In decimal, without a NUL; returns the length. snprintf() costs more than the rest of a small message. */
#define NUMBER_MAX 20
size_t put_u64(char ret[NUMBER_MAX], uint64_t v);
size_t put_i64(char ret[NUMBER_MAX], int64_t v);

#endif
