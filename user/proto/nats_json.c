/*
 * Just enough JSON for what NATS servers and clients write in it. A value is skipped without recursion;
 * only rendering recurses, to a depth that the API's configurations do not reach.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "proto/nats_wire.h"

#define DEPTH_MAX    64
#define RENDER_DEPTH 8
#define PATH_MAX_    512
#define TEXT_MAX     1024

static void skip_space(struct span *s)
{
	size_t i = 0;

	while (i < s->n && (s->p[i] == ' ' || s->p[i] == '\t' || s->p[i] == '\r' || s->p[i] == '\n'))
		i++;
	*s = span_sub(*s, i, SIZE_MAX);
}

/* Length of the string literal at the start of @s with its quotes, 0 when it does not end. */
static size_t string_length(struct span s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '"')
			return i + 1;
		if (s.p[i] == '\\')
			i++;
	}
	return 0;
}

static size_t scalar_length(struct span s)
{
	size_t i = 0;

	while (i < s.n && !strchr(",]} \t\r\n", s.p[i]) && s.p[i])
		i++;
	return i;
}

static size_t nested_length(struct span s)
{
	unsigned depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == '"') {
			size_t n = string_length(span_sub(s, i, SIZE_MAX));

			if (!n)
				return 0;
			i += n - 1;
		} else if (c == '{' || c == '[') {
			if (++depth > DEPTH_MAX)
				return 0;
		} else if ((c == '}' || c == ']') && !--depth) {
			return i + 1;
		}
	}
	return 0;
}

/* Takes one value, raw. */
static bool take(struct span *s, struct span *ret)
{
	size_t n;

	skip_space(s);
	if (!s->n)
		return false;
	if (s->p[0] == '"')
		n = string_length(*s);
	else if (s->p[0] == '{' || s->p[0] == '[')
		n = nested_length(*s);
	else
		n = scalar_length(*s);
	*ret = span_sub(*s, 0, n);
	*s = span_sub(*s, n, SIZE_MAX);
	return n > 0;
}

/* At the next element of what began with @open; false at its end. */
static bool element(struct span *rest, char open, char close)
{
	skip_space(rest);
	if (rest->n && (rest->p[0] == open || rest->p[0] == ','))
		*rest = span_sub(*rest, 1, SIZE_MAX);
	else
		return false;
	skip_space(rest);
	return rest->n && rest->p[0] != close;
}

bool nats_json_next(struct span *rest, struct span *key, struct span *value)
{
	if (!element(rest, '{', '}') || rest->p[0] != '"' || !take(rest, key))
		return false;
	*key = span_sub(*key, 1, key->n - 2);
	skip_space(rest);
	if (!rest->n || rest->p[0] != ':')
		return false;
	*rest = span_sub(*rest, 1, SIZE_MAX);
	return take(rest, value);
}

bool nats_json_item(struct span *rest, struct span *value)
{
	return element(rest, '[', ']') && take(rest, value);
}

struct span nats_json_get(struct span object, const char *key)
{
	struct span k, v;

	skip_space(&object);
	if (!object.n || object.p[0] != '{')
		return SPAN_EMPTY;
	while (nats_json_next(&object, &k, &v))
		if (span_is(k, key))
			return v;
	return SPAN_EMPTY;
}

/* The code unit of the escape at @p, which follows "\u"; -1 when it is none. */
static int32_t hex4(struct span s)
{
	int32_t v = 0;

	if (s.n < 4)
		return -1;
	for (size_t i = 0; i < 4; i++) {
		uint8_t c = s.p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return v;
}

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* Writes what the escape at *i, behind its backslash, stands for; moves *i over it. */
static size_t unescape(struct span s, size_t *i, char *out)
{
	static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
	const char *at = strchr(from, s.p[*i]);
	int32_t c, low;

	if (s.p[*i] != 'u') {
		out[0] = at && *at ? to[at - from] : (char)s.p[*i];
		*i += 1;
		return 1;
	}
	c = hex4(span_sub(s, *i + 1, 4));
	*i += c < 0 ? 1 : 5;
	if (c < 0)
		c = 0xfffd;
	if (c >= 0xd800 && c < 0xe000) {
		low = s.n - *i >= 6 && s.p[*i] == '\\' && s.p[*i + 1] == 'u' ? hex4(span_sub(s, *i + 2, 4))
									     : -1;
		if (c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
			*i += 6;
		} else {
			c = 0xfffd;
		}
	}
	return put_utf8(out, (uint32_t)c);
}

struct span nats_json_text(struct span value, char *buf, size_t n)
{
	struct span s;
	size_t used = 0, i = 0;

	if (value.n < 2 || value.p[0] != '"')
		return SPAN_EMPTY;
	s = span_sub(value, 1, value.n - 2);
	if (!s.n || !memchr(s.p, '\\', s.n))
		return s;
	while (i < s.n && used + 4 <= n) {
		if (s.p[i] != '\\' || i + 1 == s.n) {
			buf[used++] = (char)s.p[i++];
			continue;
		}
		i++;
		used += unescape(s, &i, buf + used);
	}
	return span_of(buf, used);
}

bool nats_json_u64(struct span value, uint64_t *ret)
{
	return nats_decimal(value, UINT64_MAX - 1, ret);
}

/* --- rendering --- */

struct render {
	char path[PATH_MAX_];
	size_t n;
	unsigned depth;
	field_fn fn;
	void *ctx;
	bool stopped;
};

static void path_add(struct render *r, const char *fmt, size_t n, const char *text, size_t i)
{
	int k;

	if (text)
		k = snprintf(r->path + r->n, sizeof(r->path) - r->n, fmt, (int)n, text);
	else
		k = snprintf(r->path + r->n, sizeof(r->path) - r->n, fmt, i);
	r->n = k < 0 || r->n + (size_t)k >= sizeof(r->path) ? sizeof(r->path) - 1 : r->n + (size_t)k;
}

static void render_scalar(struct render *r, struct span v)
{
	struct field f = {.name = span_of(r->path, r->n), .type = FIELD_TEXT, .text = v};
	char buf[TEXT_MAX], number[40];
	uint64_t u;

	if (v.p[0] == '"') {
		f.text = nats_json_text(v, buf, sizeof(buf));
	} else if (span_is(v, "true") || span_is(v, "false")) {
		f.type = FIELD_BOOL;
		f.i = v.p[0] == 't';
	} else if (span_is(v, "null")) {
		f.type = FIELD_NULL;
	} else {
		bool minus = v.p[0] == '-';

		if (nats_decimal(span_sub(v, minus, SIZE_MAX), INT64_MAX, &u)) {
			f.type = FIELD_INT;
			f.i = minus ? -(int64_t)u : (int64_t)u;
		} else if (v.n < sizeof(number) && strchr("-0123456789", v.p[0])) {
			memcpy(number, v.p, v.n);
			number[v.n] = 0;
			f.type = FIELD_DOUBLE;
			f.d = strtod(number, NULL);
		}
	}
	r->stopped = !r->fn(r->ctx, &f);
}

static int render(struct render *r, struct span v)
{
	struct span key, item;
	size_t n = r->n, i = 0;
	int err = 0;

	if (v.p[0] != '{' && v.p[0] != '[') {
		render_scalar(r, v);
		return 0;
	}
	if (++r->depth > RENDER_DEPTH)
		return -EBADMSG;
	if (v.p[0] == '{') {
		while (!err && !r->stopped && nats_json_next(&v, &key, &item)) {
			path_add(r, n ? ".%.*s" : "%.*s", key.n < PATH_MAX_ ? key.n : PATH_MAX_,
				key.n ? (const char *)key.p : "", 0);
			err = render(r, item);
			r->n = n;
		}
	} else {
		while (!err && !r->stopped && nats_json_item(&v, &item)) {
			path_add(r, "[%zu]", 0, NULL, i++);
			err = render(r, item);
			r->n = n;
		}
	}
	r->depth--;
	return err;
}

int nats_json_fields(struct span json, field_fn fn, void *ctx)
{
	struct render r = {.fn = fn, .ctx = ctx};
	struct span v;

	if (!json.n)
		return 0;
	return take(&json, &v) && v.p[0] == '{' ? render(&r, v) : -EBADMSG;
}
