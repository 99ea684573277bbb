#include "cmd/text.h"

#include <wchar.h>

#include "base/json.h"
#include "cmd/cmd.h"

/* Decodes one character of valid UTF-8 of @n bytes. */
static uint32_t code_point(const uint8_t *p, size_t n)
{
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7f >> n);

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

static bool harmful(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f || c == 0x2028 || c == 0x2029 ||
	       c == 0xfeff;
}

static void put_safe(struct buf *out, struct span s, const char *keep)
{
	for (size_t i = 0, n; i < s.n; i += n ? n : 1) {
		n = utf8_len(span_sub(s, i, 4));
		if (n == 1 && s.p[i] && strchr(keep, s.p[i]))
			buf_putc(out, (char)s.p[i]);
		else if (!n || harmful(code_point(s.p + i, n)))
			buf_putc(out, '.');
		else
			buf_put(out, s.p + i, n);
	}
}

void text_safe(struct buf *out, struct span s)
{
	put_safe(out, s, "");
}

void text_safe_lines(struct buf *out, struct span s)
{
	put_safe(out, s, "\n\t");
}

/* The signs that evtrace itself writes, as an ASCII terminal shows them. */
static const char *ascii_of(uint32_t c)
{
	static const struct {
		uint32_t c;
		const char *ascii;
	} signs[] = {{0x2026, "..."}, {0xd7, "x"}, {0x2013, "-"}, {0x2014, "-"}, {0xb7, "-"}, {0xb5, "u"},
		{0x2192, "->"}, {0x25b6, ">"}, {0x2713, "+"}, {0x2717, "x"}, {0x25cf, "*"}, {0x25cb, "o"},
		{0x2500, "-"}, {0x2502, "|"}, {0x251c, "|"}, {0x2514, "`"}, {0x21bb, "@"}, {0x2264, "<="},
		{0x2265, ">="}, {0x201c, "\""}, {0x201d, "\""}, {0x2019, "'"}};

	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (signs[i].c == c)
			return signs[i].ascii;
	return "?";
}

static unsigned width_of(uint32_t c)
{
	int w;

	if (c < 0x80)
		return 1;
	if (!out_utf8())
		return (unsigned)strlen(ascii_of(c));
	w = wcwidth((wchar_t)c);
	return w < 0 ? 1 : (unsigned)w;
}

/* Length of the escape sequence at the start of @s, 0 when there is none. */
static size_t escape_len(struct span s)
{
	if (s.n < 2 || s.p[0] != 0x1b || s.p[1] != '[')
		return 0;
	for (size_t i = 2; i < s.n; i++)
		if (s.p[i] == 'm')
			return i + 1;
	return 0;
}

/* The next character of @s at @*i: moves on, returns its width. */
static unsigned next_char(struct span s, size_t *i)
{
	size_t n = escape_len(span_sub(s, *i, SIZE_MAX));
	const uint8_t *p = s.p + *i;

	if (n) {
		*i += n;
		return 0;
	}
	n = utf8_len(span_sub(s, *i, 4));
	*i += n ? n : 1;
	return n ? width_of(code_point(p, n)) : 1;
}

unsigned text_width(struct span s)
{
	unsigned w = 0;

	for (size_t i = 0; i < s.n;)
		w += next_char(s, &i);
	return w;
}

void text_cut(struct buf *out, struct span s, unsigned width)
{
	static const struct span dots = SPAN_LIT("…");
	unsigned w = 0, room, need = text_width(dots);
	size_t fit = 0, i = 0;

	if (width == UINT32_MAX || text_width(s) <= width) {
		buf_put_span(out, s);
		return;
	}
	room = width > need ? width - need : 0;
	while (i < s.n) {
		w += next_char(s, &i);
		if (w > room)
			break;
		fit = i;
	}
	buf_put(out, s.p, fit);
	if (width >= need)
		buf_put_span(out, dots);
}

void text_print(FILE *f, struct span s)
{
	if (out_utf8()) {
		fwrite(s.p, 1, s.n, f);
		return;
	}
	for (size_t i = 0, n; i < s.n; i += n ? n : 1) {
		n = utf8_len(span_sub(s, i, 4));
		if (n == 1)
			fputc(s.p[i], f);
		else
			fputs(n ? ascii_of(code_point(s.p + i, n)) : "?", f);
	}
}

const char *tone_sgr(enum tone t, bool color)
{
	static const char *const sgr[] = {
		[TONE_PLAIN] = "\x1b[0m",
		[TONE_GOOD] = "\x1b[32m",
		[TONE_WAIT] = "\x1b[33m",
		[TONE_BAD] = "\x1b[31m",
		[TONE_DIM] = "\x1b[2m",
		[TONE_BOLD] = "\x1b[1m",
	};

	return color ? sgr[t] : "";
}
