/*
 * JSON, leniently: one pass, no tree. Takes RFC 8259 and what programs write instead of it: several documents
 * in a row (NDJSON, RFC 7464), single quotes, bare keys, NaN and Python's None, missing or trailing commas.
 * A string or number that the end of the body cuts is not given out: half an id is a wrong id. A string that
 * holds a document itself (an envelope around a payload) is walked too.
 */
#include "extract/walk.h"

#include <errno.h>

#include "base/buf.h"

struct level {
	uint16_t path_n, leaf; /* of the container */
	bool array;
	uint32_t index;
};

struct json_walker {
	struct walk *w;
	const uint8_t *p, *end;
	unsigned depth;       /* 0: between documents */
	struct buf unescaped; /* used by strings with escapes only */
	struct level level[WALK_MAX_DEPTH + 1];
};

enum {
	C_SPACE = 1, /* between tokens: white space, commas, and RFC 7464's record separator */
	C_NUM = 2,
	C_WORD = 4, /* letters, digits and what may stand in a number or a bare word */
};

static const uint8_t kind[256] = {
	[' '] = C_SPACE,
	['\t'] = C_SPACE,
	['\n'] = C_SPACE,
	['\r'] = C_SPACE,
	[','] = C_SPACE,
	[0x1e] = C_SPACE,
	['-'] = C_NUM | C_WORD,
	['+'] = C_NUM | C_WORD,
	['.'] = C_NUM | C_WORD,
	['0' ... '9'] = C_NUM | C_WORD,
	['e'] = C_NUM | C_WORD,
	['E'] = C_NUM | C_WORD,
	['a' ... 'd'] = C_WORD,
	['f' ... 'z'] = C_WORD,
	['A' ... 'D'] = C_WORD,
	['F' ... 'Z'] = C_WORD,
	['_'] = C_WORD,
	['$'] = C_WORD,
};

static int hex4(const uint8_t *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		uint8_t c = p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return v;
}

static void put_utf8(struct buf *b, uint32_t c)
{
	uint8_t u[4];
	size_t n = 0;

	if (c < 0x80) {
		u[n++] = (uint8_t)c;
	} else if (c < 0x800) {
		u[n++] = (uint8_t)(0xc0 | c >> 6);
		u[n++] = (uint8_t)(0x80 | (c & 63));
	} else if (c < 0x10000) {
		u[n++] = (uint8_t)(0xe0 | c >> 12);
		u[n++] = (uint8_t)(0x80 | (c >> 6 & 63));
		u[n++] = (uint8_t)(0x80 | (c & 63));
	} else {
		u[n++] = (uint8_t)(0xf0 | c >> 18);
		u[n++] = (uint8_t)(0x80 | (c >> 12 & 63));
		u[n++] = (uint8_t)(0x80 | (c >> 6 & 63));
		u[n++] = (uint8_t)(0x80 | (c & 63));
	}
	buf_put(b, u, n);
}

/* What follows "\u": returns how many bytes it took. A surrogate without its pair becomes U+FFFD. */
static size_t put_unicode(struct buf *b, const uint8_t *p, const uint8_t *end)
{
	int hi = end - p >= 4 ? hex4(p) : -1, lo;

	if (hi < 0) {
		buf_putc(b, 'u');
		return 0;
	}
	if (hi < 0xd800 || hi > 0xdfff) {
		put_utf8(b, (uint32_t)hi);
		return 4;
	}
	lo = hi < 0xdc00 && end - p >= 10 && p[4] == '\\' && p[5] == 'u' ? hex4(p + 6) : -1;
	if (lo < 0xdc00 || lo > 0xdfff) {
		put_utf8(b, 0xfffd);
		return 4;
	}
	put_utf8(b, 0x10000 + ((uint32_t)(hi - 0xd800) << 10) + (uint32_t)(lo - 0xdc00));
	return 10;
}

static struct span unescape(struct buf *b, struct span s)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const uint8_t *p = s.p, *end = s.p + s.n;

	buf_clear(b);
	while (p < end) {
		const uint8_t *slash = memchr(p, '\\', (size_t)(end - p));
		const char *known;

		if (!slash || slash + 1 == end)
			break;
		buf_put(b, p, (size_t)(slash - p));
		p = slash + 2;
		if (slash[1] == 'u') {
			p += put_unicode(b, p, end);
			continue;
		}
		known = slash[1] ? strchr(from, slash[1]) : NULL;
		buf_putc(b, known ? to[known - from] : (char)slash[1]);
	}
	buf_put(b, p, (size_t)(end - p));
	return buf_ok(b) ? buf_span(b) : SPAN_EMPTY;
}

/* The string that begins at the quote j->p; false when its end is not there. */
static bool read_string(struct json_walker *j, struct span *ret)
{
	uint8_t quote = *j->p++;
	const uint8_t *start = j->p, *p = start;
	bool escaped = false;

	while (p < j->end && *p != quote) {
		if (*p == '\\') {
			escaped = true;
			p++;
		}
		p++;
	}
	if (p >= j->end)
		return false;
	*ret = span_of(start, (size_t)(p - start));
	j->p = p + 1;
	if (escaped)
		*ret = unescape(&j->unescaped, *ret);
	return true;
}

/* Letters and digits in a row; false when the end of the body may have cut them. */
static bool read_word(struct json_walker *j, struct span *ret, bool *ret_number)
{
	const uint8_t *start = j->p;
	uint8_t all = C_NUM;

	while (j->p < j->end && kind[*j->p] & C_WORD)
		all &= kind[*j->p++];
	*ret = span_of(start, (size_t)(j->p - start));
	*ret_number = all && *start != 'e' && *start != 'E';
	return ret->n && (j->p < j->end || !j->depth);
}

static bool read_key(struct json_walker *j)
{
	struct span key;
	bool number;

	if (*j->p == '"' || *j->p == '\'') {
		if (!read_string(j, &key))
			return false;
	} else if (!read_word(j, &key, &number)) {
		return false;
	}
	while (j->p < j->end && kind[*j->p] & C_SPACE)
		j->p++;
	if (j->p >= j->end || *j->p != ':')
		return false;
	j->p++;
	walk_push_name(j->w, '.', key);
	while (j->p < j->end && kind[*j->p] & C_SPACE)
		j->p++;
	return j->p < j->end;
}

static int string_value(struct json_walker *j)
{
	struct span s;

	if (!read_string(j, &s))
		return -EBADMSG;
	walk_text(j->w, s);
	return 0;
}

static int word_value(struct json_walker *j)
{
	static const struct {
		const char *word;
		enum scalar_type type;
	} words[] = {{"true", SCALAR_BOOL}, {"false", SCALAR_BOOL}, {"null", SCALAR_NULL},
		{"True", SCALAR_BOOL}, {"False", SCALAR_BOOL}, {"None", SCALAR_NULL},
		{"undefined", SCALAR_NULL}};
	enum scalar_type type = SCALAR_STRING;
	struct span s;
	bool number;

	if (!read_word(j, &s, &number))
		return -EBADMSG;
	for (size_t i = 0; !number && i < ARRAY_LEN(words); i++)
		if (s.p[0] == words[i].word[0] && span_is(s, words[i].word))
			type = words[i].type;
	/* between documents a word is not JSON but text */
	if (!number && type == SCALAR_STRING && !j->depth)
		return -EBADMSG;
	walk_emit(j->w, s, number ? SCALAR_NUMBER : type);
	return 0;
}

static int open_level(struct json_walker *j)
{
	if (j->depth == WALK_MAX_DEPTH)
		return -EBADMSG;
	j->level[++j->depth] = (struct level){.path_n = j->w->n, .leaf = j->w->leaf, .array = *j->p == '['};
	j->p++;
	return 0;
}

static int close_level(struct json_walker *j)
{
	if (!j->depth || j->level[j->depth].array != (*j->p == ']'))
		return -EBADMSG;
	j->depth--;
	j->p++;
	return 0;
}

static int value(struct json_walker *j)
{
	switch (*j->p) {
	case '{':
	case '[':
		return open_level(j);
	case '"':
	case '\'':
		return string_value(j);
	default:
		return word_value(j);
	}
}

static int run(struct json_walker *j)
{
	int err = 0;

	j->level[0] = (struct level){.path_n = j->w->n, .leaf = j->w->leaf};
	while (!err && !j->w->stop) {
		struct level *top = &j->level[j->depth];

		while (j->p < j->end && kind[*j->p] & C_SPACE)
			j->p++;
		if (j->p >= j->end)
			break;
		j->w->n = top->path_n;
		j->w->leaf = top->leaf; /* an array's elements have its name */
		if (*j->p == '}' || *j->p == ']') {
			err = close_level(j);
			continue;
		}
		if (j->depth && !top->array) {
			if (!read_key(j))
				return -EBADMSG;
		} else if (j->depth) {
			walk_push_index(j->w, top->index++);
		}
		err = value(j);
	}
	j->w->n = j->level[0].path_n;
	return j->depth && !j->w->stop ? -EBADMSG : err;
}

int json_walk(struct walk *w, struct span body)
{
	struct json_walker j = {.w = w, .p = body.p, .end = body.p + body.n};
	int err;

	if (span_starts(body, "\xef\xbb\xbf"))
		j.p += 3;
	err = run(&j);
	buf_free(&j.unescaped);
	return err;
}
