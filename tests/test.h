/*
 * A unit test is a program: CASE blocks with CHECKs, one line of output a failed check, and at the end one
 * line "cases: N passed, N failed". Exit code 0 when all passed, 77 when it skipped (say why), 1 otherwise.
 */
#ifndef EVTRACE_TESTS_TEST_H
#define EVTRACE_TESTS_TEST_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *test_name = "";
static int test_passed, test_failed;
static bool test_case_bad;

#define CHECK(cond)                                                                                          \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			fprintf(stderr, "%s:%d: %s: CHECK(%s)\n", __FILE__, __LINE__, test_name, #cond);     \
			test_case_bad = true;                                                                \
		}                                                                                            \
	} while (0)

#define CHECK_EQ(a, b)                                                                                       \
	do {                                                                                                 \
		long long a_ = (long long)(a), b_ = (long long)(b);                                          \
		if (a_ != b_) {                                                                              \
			fprintf(stderr, "%s:%d: %s: %s is %lld, not %lld\n", __FILE__, __LINE__, test_name,  \
				#a, a_, b_);                                                                 \
			test_case_bad = true;                                                                \
		}                                                                                            \
	} while (0)

#define CHECK_STR(a, b)                                                                                      \
	do {                                                                                                 \
		const char *a_ = (a), *b_ = (b);                                                             \
		if (strcmp(a_, b_)) {                                                                        \
			fprintf(stderr, "%s:%d: %s: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__,         \
				test_name, #a, a_, b_);                                                      \
			test_case_bad = true;                                                                \
		}                                                                                            \
	} while (0)

/* RUN(fn) runs `static void fn(void)` as one case named after it. */
#define RUN(fn)                                                                                              \
	do {                                                                                                 \
		test_name = #fn;                                                                             \
		test_case_bad = false;                                                                       \
		fn();                                                                                        \
		if (test_case_bad)                                                                           \
			test_failed++;                                                                       \
		else                                                                                         \
			test_passed++;                                                                       \
	} while (0)

static inline int test_end(void)
{
	printf("cases: %d passed, %d failed\n", test_passed, test_failed);
	return test_failed ? 1 : 0;
}

#endif
