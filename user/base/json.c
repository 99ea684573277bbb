#include "base/json.h"

#include <inttypes.h>
#include <math.h>

#include "base/base64.h"

static void sep(struct json *j)
{
	if (j->comma)
		buf_putc(j->out, ',');
	j->comma = true;
}

static void open_with(struct json *j, char c)
{
	sep(j);
	buf_putc(j->out, c);
	j->comma = false;
}

static void close_with(struct json *j, char c)
{
	buf_putc(j->out, c);
	j->comma = true;
}

void json_obj(struct json *j)
{
	open_with(j, '{');
}

void json_obj_end(struct json *j)
{
	close_with(j, '}');
}

void json_arr(struct json *j)
{
	open_with(j, '[');
}

void json_arr_end(struct json *j)
{
	close_with(j, ']');
}

/* RFC 3629: rejects overlong forms, surrogates and values beyond U+10FFFF. */
size_t utf8_len(struct span s)
{
	const uint8_t *p = s.p;
	size_t n;
	uint8_t lo = 0x80, hi = 0xbf;

	if (!s.n)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (s.n < n)
		return 0;
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool span_is_text(struct span s)
{
	for (size_t i = 0, n; i < s.n; i += n) {
		n = utf8_len(span_sub(s, i, 4));
		if (!n)
			return false;
		if (n == 1 && (s.p[i] < 0x20 || s.p[i] == 0x7f) && s.p[i] != '\t' && s.p[i] != '\r' &&
			s.p[i] != '\n')
			return false;
	}
	return true;
}

static void put_escaped(struct buf *out, uint8_t c)
{
	switch (c) {
	case '"':
		buf_puts(out, "\\\"");
		break;
	case '\\':
		buf_puts(out, "\\\\");
		break;
	case '\n':
		buf_puts(out, "\\n");
		break;
	case '\r':
		buf_puts(out, "\\r");
		break;
	case '\t':
		buf_puts(out, "\\t");
		break;
	default:
		buf_printf(out, "\\u%04x", c);
	}
}

static void put_string(struct buf *out, struct span s)
{
	size_t start = 0, i = 0;

	buf_putc(out, '"');
	while (i < s.n) {
		size_t n = utf8_len(span_sub(s, i, 4));
		bool plain = n > 1 || (n == 1 && s.p[i] >= 0x20 && s.p[i] != '"' && s.p[i] != '\\');

		if (plain) {
			i += n;
			continue;
		}
		buf_put_span(out, span_sub(s, start, i - start));
		if (n)
			put_escaped(out, s.p[i]);
		else
			buf_puts(out, "\xef\xbf\xbd");
		start = ++i;
	}
	buf_put_span(out, span_sub(s, start, SIZE_MAX));
	buf_putc(out, '"');
}

void json_key_span(struct json *j, struct span key)
{
	sep(j);
	put_string(j->out, key);
	buf_putc(j->out, ':');
	j->comma = false;
}

void json_key(struct json *j, const char *key)
{
	json_key_span(j, span_str(key));
}

void json_span(struct json *j, struct span text)
{
	sep(j);
	put_string(j->out, text);
}

void json_bytes(struct json *j, struct span b)
{
	sep(j);
	buf_putc(j->out, '"');
	base64_encode(b, j->out);
	buf_putc(j->out, '"');
}

void json_int(struct json *j, int64_t v)
{
	sep(j);
	buf_printf(j->out, "%" PRId64, v);
}

void json_u64(struct json *j, uint64_t v)
{
	sep(j);
	buf_printf(j->out, "%" PRIu64, v);
}

void json_double(struct json *j, double v)
{
	sep(j);
	if (isfinite(v))
		buf_printf(j->out, "%.6g", v);
	else
		buf_puts(j->out, "null");
}

void json_bool(struct json *j, bool v)
{
	sep(j);
	buf_puts(j->out, v ? "true" : "false");
}

void json_null(struct json *j)
{
	sep(j);
	buf_puts(j->out, "null");
}
