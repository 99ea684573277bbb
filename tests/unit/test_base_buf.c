/* The growable buffer: what is put in is there, and an impossible size latches instead of crashing. */
#include "test.h"

#include "base/buf.h"

static void grows(void)
{
	struct buf b = {0};

	CHECK_STR(buf_cstr(&b), "");
	for (int i = 0; i < 1000; i++)
		buf_putc(&b, (char)('a' + i % 26));
	CHECK_EQ(b.n, 1000);
	CHECK_EQ(b.p[999], 'a' + 999 % 26);
	CHECK_EQ(strlen(buf_cstr(&b)), 1000); /* the NUL stands outside */
	CHECK_EQ(b.n, 1000);
	buf_free(&b);
	CHECK(!b.p && !b.n && !b.cap);
}

static void puts_all_kinds(void)
{
	struct buf b = {0};

	buf_puts(&b, "one ");
	buf_put(&b, "tw\0o", 4);
	buf_put(&b, NULL, 0);
	buf_put_span(&b, SPAN_EMPTY);
	buf_printf(&b, " %s %d", "three", 4);
	CHECK(span_eq(buf_span(&b), SPAN_LIT("one tw\0o three 4")));
	buf_clear(&b);
	buf_printf(&b, "%0500d", 7);
	CHECK_EQ(b.n, 500);
	buf_free(&b);
}

static void shifts(void)
{
	for (size_t n = 0; n <= 7; n++) {
		struct buf b = {0};

		buf_puts(&b, "abcdef");
		buf_shift(&b, n);
		CHECK_STR(buf_cstr(&b), &"abcdef"[n < 6 ? n : 6]);
		buf_puts(&b, "!");
		CHECK_EQ(b.n, (n < 6 ? 6 - n : 0) + 1);
		buf_free(&b);
	}
}

static void impossible_sizes_latch(void)
{
	struct buf b = {0};

	buf_puts(&b, "kept");
	CHECK(!buf_reserve(&b, SIZE_MAX / 2));
	CHECK(!buf_ok(&b));
	buf_puts(&b, "ignored");
	CHECK_EQ(b.n, 4);
	CHECK_STR(buf_cstr(&b), "");
	buf_free(&b);
	CHECK(buf_ok(&b)); /* usable again */
}

static void spans(void)
{
	struct span s = SPAN_LIT("hello");

	CHECK(span_eq(span_sub(s, 1, 3), SPAN_LIT("ell")));
	CHECK(span_eq(span_sub(s, 1, SIZE_MAX), SPAN_LIT("ello")));
	CHECK_EQ(span_sub(s, 5, 1).n, 0);
	CHECK_EQ(span_sub(s, SIZE_MAX, SIZE_MAX).n, 0);
	CHECK(span_starts(s, "") && span_starts(s, "hello") && !span_starts(s, "hello!"));
	CHECK(span_is(s, "hello") && !span_is(s, "hell") && span_is(SPAN_EMPTY, ""));
}

int main(void)
{
	RUN(grows);
	RUN(puts_all_kinds);
	RUN(shifts);
	RUN(impossible_sizes_latch);
	RUN(spans);
	return test_end();
}
