/* Which format is it? The first bytes decide for texts; binary formats must parse. */
#include "extract/walk.h"

#include <errno.h>
#include <strings.h>

#include "base/json.h"

#define LOOK_AT 4096 /* bytes of a body that decide its format */

/* --- formats --- */

static bool contains_nocase(struct span s, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= s.n; i++)
		if (!strncasecmp((const char *)s.p + i, word, n))
			return true;
	return false;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* After the bracket comes what JSON allows there: "[INFO] started" is text. */
static bool looks_like_json(struct span s)
{
	struct span rest = span_trim(span_sub(s, 1, LOOK_AT));
	uint8_t next = rest.n ? rest.p[0] : 0;

	if (s.p[0] == '{')
		return !rest.n || next == '"' || next == '}' || next == '\'';
	if (s.p[0] != '[')
		return false;
	if (!is_digit(next) && next != '-')
		return !rest.n || memchr("\"'{[]", next, 5) || span_starts(rest, "true") ||
		       span_starts(rest, "false") || span_starts(rest, "null");
	for (size_t i = 0; i < rest.n; i++) { /* "[2024-01-02 10:00] started" */
		if (rest.p[i] == ',' || rest.p[i] == ']')
			return true;
		if (!is_digit(rest.p[i]) && !memchr("-+.eE \t\r\n", rest.p[i], 9))
			return false;
		if (rest.p[i] == '-' && i && is_digit(rest.p[i - 1]))
			return false;
	}
	return true;
}

/* A document that is one scalar: only when somebody says it is JSON. */
static bool json_scalar(struct span s)
{
	return s.p[0] == '"' || s.p[0] == '-' || is_digit(s.p[0]) || span_is(s, "true") ||
	       span_is(s, "false") || span_is(s, "null");
}

static bool looks_like_xml(struct span s)
{
	uint8_t c = s.n > 1 ? s.p[1] : 0;

	if (span_starts(s, "\xff\xfe<") || span_starts(s, "\xfe\xff")) /* UTF-16 */
		return s.n > 3 && s.p[2] != s.p[3];
	return s.n && s.p[0] == '<' &&
	       (c == '?' || c == '!' || c == '_' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')) &&
	       memchr(s.p, '>', s.n);
}

/* "a=1&b=2": at least two pairs, no blank in them. */
static bool looks_like_form(struct span s)
{
	bool key = true, and = false;
	size_t at = 0;

	s = span_sub(s, 0, LOOK_AT);
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c <= ' ' || c >= 0x7f || memchr("\"<>{}", c, 5))
			return false;
		if (c == '=' && key) {
			if (i == at)
				return false;
			key = false;
		} else if (c == '&') {
			if (key)
				return false;
			and = key = true;
			at = i + 1;
		}
	}
	return and;
}

enum textual {
	TEXT_NOT,
	TEXT_ROUGH, /* little that is not UTF-8: Latin-1 is text too */
	TEXT_CLEAN,
};

/* No control characters but those that some texts have. */
static enum textual how_textual(struct span s)
{
	bool clean = true;
	size_t bad = 0;

	s = span_sub(s, 0, LOOK_AT);
	for (size_t i = 0, n; i < s.n; i += n) {
		n = s.p[i] < 0x80 ? 1 : utf8_len(span_sub(s, i, 4));
		if (!n) {
			bad++;
			n = 1;
		} else if (s.p[i] < ' ' && !memchr("\t\n\r", s.p[i], 3)) {
			if (!memchr("\f\x1b\x1c\x1d\x1e\x1f", s.p[i], 6))
				return TEXT_NOT;
			clean = false;
		} else if (s.p[i] == 0x7f) {
			return TEXT_NOT;
		}
	}
	return bad * 4 > s.n ? TEXT_NOT : bad || !clean ? TEXT_ROUGH : TEXT_CLEAN;
}

/* C programs like to send the NUL behind a string, or a whole buffer. */
static struct span without_nuls(struct span s)
{
	while (s.n && !s.p[s.n - 1])
		s.n--;
	return s;
}

/* What is not plain text, by its own first bytes and by whether it parses. */
static enum body_format binary_format(struct span body, bool msgpack, bool protobuf)
{
	if (span_starts(body, "Obj\x01"))
		return BODY_AVRO_FILE;
	if (!body.p[0] && is_avro(body))
		return BODY_AVRO;
	if (is_pickle(body))
		return BODY_PICKLE;
	if (is_msgpack(body, msgpack))
		return BODY_MSGPACK;
	if (is_protobuf(body, protobuf))
		return BODY_PROTOBUF;
	return BODY_BINARY;
}

enum body_format body_format(struct span body, struct span content_type)
{
	bool msgpack = content_type.n && (contains_nocase(content_type, "msgpack") ||
						 contains_nocase(content_type, "messagepack"));
	bool protobuf = content_type.n &&
			(contains_nocase(content_type, "proto") || contains_nocase(content_type, "grpc"));
	enum textual textual;
	enum body_format f;
	struct span s = body;

	if (span_starts(s, "\xef\xbb\xbf"))
		s = span_sub(s, 3, SIZE_MAX);
	s = span_trim(s);
	if (!s.n)
		return BODY_EMPTY;
	if (s.p[0] == 0x1e) /* RFC 7464 */
		s = span_trim(span_sub(s, 1, SIZE_MAX));
	if (s.n && looks_like_json(s))
		return BODY_JSON;
	if (looks_like_xml(s))
		return BODY_XML;
	if (s.n && json_scalar(s) && contains_nocase(content_type, "json"))
		return BODY_JSON;
	s = without_nuls(s);
	textual = s.n ? how_textual(s) : TEXT_NOT;
	if (textual != TEXT_CLEAN || msgpack || protobuf) {
		f = binary_format(body, msgpack, protobuf);
		if (f != BODY_BINARY || textual == TEXT_NOT)
			return f;
	}
	if (contains_nocase(content_type, "x-www-form-urlencoded") || looks_like_form(s))
		return BODY_FORM;
	return BODY_TEXT;
}

const char *body_format_name(enum body_format f)
{
	static const char *const names[BODY_FORMATS] = {"empty", "json", "xml", "form", "text", "binary",
		"msgpack", "protobuf", "avro", "avro file", "pickle"};

	return f < BODY_FORMATS ? names[f] : "binary";
}

int format_walk(struct walk *w, struct span body, enum body_format fmt)
{
	switch (fmt) {
	case BODY_JSON:
		return json_walk(w, without_nuls(body));
	case BODY_XML:
		return xml_walk(w, body);
	case BODY_FORM:
		return form_walk(w, without_nuls(body));
	case BODY_TEXT:
		return text_walk(w, without_nuls(body));
	case BODY_MSGPACK:
		return msgpack_walk(w, body);
	case BODY_PROTOBUF:
		return protobuf_walk(w, body);
	case BODY_AVRO:
		return avro_walk(w, body);
	case BODY_AVRO_FILE:
		return avro_file_walk(w, body);
	case BODY_PICKLE:
		return pickle_walk(w, body);
	case BODY_EMPTY:
	case BODY_BINARY:
		break;
	}
	return 0;
}

int body_walk(struct span body, enum body_format fmt, scalar_fn fn, void *ctx)
{
	struct walk w;
	int err;

	/* not an initialiser: that would clear the path's bytes as well, for each message */
	w.fn = fn;
	w.ctx = ctx;
	w.left = WALK_MAX_SCALARS;
	w.stop = w.full = false;
	w.layers = BODY_MAX_LAYERS;
	w.inside = 0;
	w.unpack = BODY_MAX_UNPACK;
	w.n = w.leaf = 0;
	err = format_walk(&w, body, fmt);
	return w.full ? -EBADMSG : err;
}
