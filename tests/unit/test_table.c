/* Tables and text for people: widths in columns, what is made harmless, cutting, ASCII. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/search.h"
#include "cmd/cmd.h"
#include "test.h"

static char out[65536];

static const char *printed(FILE *f)
{
	size_t n;

	rewind(f);
	n = fread(out, 1, sizeof(out) - 1, f);
	out[n] = '\0';
	fclose(f);
	return out;
}

static const struct column cols[] = {
	{"ID", LEFT, false, 0}, {"SIZE", RIGHT, false, 0}, {"WHAT", LEFT, true, 0}};

static void streams_and_aligns(void)
{
	FILE *f = tmpfile();
	struct table *t = table__new(f, cols, 3, 2);
	const char *a[] = {"m1", "412 B", "first"}, *b[] = {"m1000", "1 B", ""}, *c[] = {"m2", NULL, "later"};

	table_row(t, a);
	CHECK_EQ(ftell(f), 0); /* held back: the sample is two rows */
	table_row(t, b);
	CHECK(ftell(f) > 0);
	table_row(t, c);
	table__end(t);
	CHECK_STR(printed(f), "ID      SIZE  WHAT\n"
			      "m1     412 B  first\n"
			      "m1000    1 B\n"
			      "m2         -  later\n");
}

static void nothing_prints_no_title(void)
{
	FILE *f = tmpfile();

	table__end(table__new(f, cols, 3, 2));
	CHECK_STR(printed(f), "");
}

static void a_wide_late_cell_pushes_its_line(void)
{
	FILE *f = tmpfile();
	struct table *t = table__new(f, cols, 3, 1);
	const char *a[] = {"m1", "1 B", "x"}, *b[] = {"m123456", "1 B", "y"};

	table_row(t, a);
	table_row(t, b);
	table__end(t);
	CHECK_STR(printed(f), "ID  SIZE  WHAT\n"
			      "m1   1 B  x\n"
			      "m123456   1 B  y\n");
}

static void flush_shows_what_is_held(void)
{
	FILE *f = tmpfile();
	struct table *t = table__new(f, cols, 3, 100);
	const char *a[] = {"m1", "1 B", "x"};

	table_row(t, a);
	table_flush(t);
	CHECK(ftell(f) > 0);
	table__end(t);
	CHECK_STR(printed(f), "ID  SIZE  WHAT\nm1   1 B  x\n");
}

static void cells_cannot_steer_the_terminal(void)
{
	FILE *f = tmpfile();
	struct table *t = table__new(f, cols, 3, 1);
	/* ESC, newline, DEL, C1, an override of the writing direction, a lone UTF-8 byte */
	const char *a[] = {"m1\x1b[31m", "a\nb", "x\x7f\xc2\x85\xe2\x80\xae\xffy"};

	table_row(t, a);
	table__end(t);
	CHECK_STR(printed(f), "ID       SIZE  WHAT\nm1.[31m   a.b  x....y\n");
}

static void widths_are_columns_not_bytes(void)
{
	FILE *f = tmpfile();
	struct table *t = table__new(f, cols, 3, 2);
	/* two bytes one column, three bytes two columns, a combining accent none */
	const char *a[] = {"é", "1", "x"}, *b[] = {"日本", "e\xcc\x81", "y"};

	table_row(t, a);
	table_row(t, b);
	table__end(t);
	CHECK_STR(printed(f), "ID    SIZE  WHAT\n"
			      "é        1  x\n"
			      "日本     e\xcc\x81  y\n");
}

static void cutting(void)
{
	struct buf b = {0};

	text_cut(&b, SPAN_LIT("invoice"), 7);
	CHECK_STR(buf_cstr(&b), "invoice");
	buf_clear(&b);
	text_cut(&b, SPAN_LIT("invoice"), 6);
	CHECK_STR(buf_cstr(&b), "invoi…");
	buf_clear(&b);
	text_cut(&b, SPAN_LIT("日本語"), 4);
	CHECK_STR(buf_cstr(&b), "日…");
	CHECK_EQ(text_width(SPAN_LIT("\x1b[31mred\x1b[0m")), 3);
	buf_free(&b);
}

static void ascii_where_the_locale_is_not_utf8(void)
{
	FILE *f = tmpfile();
	struct table *t = table__new(f, cols, 3, 1);
	const char *a[] = {"a → b", "…", "é×2"};

	table_row(t, a);
	table__end(t);
	CHECK_STR(printed(f), "ID      SIZE  WHAT\na -> b   ...  ?x2\n");
}

/* out_utf8() asks the locale once, so the other answer needs another process. */
static int in_ascii(void)
{
	pid_t pid = fork();
	int st = 0;

	if (!pid) {
		setenv("LC_ALL", "C", 1);
		RUN(ascii_where_the_locale_is_not_utf8);
		exit(test_failed ? 1 : 0);
	}
	waitpid(pid, &st, 0);
	return st;
}

static void ascii(void)
{
	CHECK_EQ(in_ascii(), 0);
}

static void search_equals_a_naive_search(void)
{
	static const char set[] = "abAB-\x80";
	uint32_t seed = 1;

	for (int round = 0; round < 20000; round++) {
		uint8_t hay[70], needle[6];
		size_t hn, nn, want = NOT_FOUND, from;

		seed = seed * 1103515245 + 12345;
		hn = seed >> 8 & 63;
		nn = 1 + (seed >> 16) % 5;
		from = (seed >> 24) % 4;
		for (size_t i = 0; i < hn; i++)
			hay[i] = (uint8_t)set[(seed = seed * 1103515245 + 12345) >> 16 & 3];
		for (size_t i = 0; i < nn; i++)
			needle[i] = ascii_fold((uint8_t)set[(seed = seed * 1103515245 + 12345) >> 16 & 3]);
		for (size_t i = from; i + nn <= hn && want == NOT_FOUND; i++)
			if (span_eq_nocase(span_of(hay + i, nn), span_of(needle, nn)))
				want = i;
		if (span_find_folded(span_of(hay, hn), span_of(needle, nn), from) != want) {
			CHECK(!"differs");
			return;
		}
	}
	CHECK_EQ(span_find_folded(SPAN_LIT("abc"), SPAN_EMPTY, 1), 1);
	CHECK(span_find_folded(SPAN_LIT("abc"), SPAN_LIT("c"), 9) == NOT_FOUND);
}

int main(void)
{
	RUN(ascii);
	setenv("LC_ALL", "C.UTF-8", 1);
	RUN(streams_and_aligns);
	RUN(nothing_prints_no_title);
	RUN(a_wide_late_cell_pushes_its_line);
	RUN(flush_shows_what_is_held);
	RUN(cells_cannot_steer_the_terminal);
	RUN(widths_are_columns_not_bytes);
	RUN(cutting);
	RUN(search_equals_a_naive_search);
	return test_end();
}
