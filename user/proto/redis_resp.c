/* The reader of RESP: see redis_resp.h. */
#include "proto/redis_resp.h"

#include <stdlib.h>

#define NONE UINT32_MAX

/* --- lines --- */

/* Length of the line at the beginning of @s without CRLF, or -1. @from: there is none before. */
static int64_t line_of(struct span s, size_t from)
{
	while (from < s.n) {
		const uint8_t *lf = memchr(s.p + from, '\n', s.n - from);

		if (!lf)
			return -1;
		if (lf > s.p && lf[-1] == '\r')
			return lf - s.p - 1;
		from = (size_t)(lf - s.p) + 1;
	}
	return -1;
}

static bool number_of(struct span s, int64_t *ret)
{
	bool minus = s.n && s.p[0] == '-';
	size_t i = minus || (s.n && s.p[0] == '+');
	uint64_t v = 0;

	if (i == s.n || s.n - i > 19)
		return false;
	for (; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	if (v > INT64_MAX && !(minus && v == 1ull << 63))
		return false;
	*ret = minus ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

/* --- nodes --- */

static uint32_t node_new(struct resp *r, uint8_t type)
{
	if (!r->wanted && r->n)
		return NONE;
	if (r->n >= RESP_NODES_MAX) {
		r->lost_some = true;
		return NONE;
	}
	if (r->n == r->cap) {
		uint32_t cap = r->cap ? r->cap * 2 : 64;
		struct node *v = realloc(r->v, cap * sizeof(*v));

		if (!v) {
			r->lost_some = true;
			return NONE;
		}
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n] = (struct node){.type = type, .end = r->n + 1};
	return r->n++;
}

/* What is kept of a string while its bytes come: @more of them lie at @p. */
static void node_more(struct resp *r, uint32_t at, const uint8_t *p, size_t more)
{
	struct node *n;
	size_t room;

	if (at == NONE || !r->wanted)
		return;
	n = &r->v[at];
	room = n->len < r->limit ? r->limit - n->len : 0;
	if (n->gap || n->clipped || !more)
		return;
	if (more > room) {
		more = room;
		n->clipped = true;
	}
	if (!n->len && !n->kept) {
		n->p = p;
		n->len = more;
		return;
	}
	if (r->arena.n + n->len + more > RESP_ARENA_MAX || !buf_reserve(&r->arena, n->len + more)) {
		n->clipped = true;
		return;
	}
	if (!n->kept) { /* a second chunk */
		n->off = r->arena.n;
		n->kept = true;
		buf_put(&r->arena, n->p, n->len);
	}
	buf_put(&r->arena, p, more);
	n->len += more;
}

/* The span under parse ends: what points into it moves to the arena. */
static void keep_all(struct resp *r)
{
	for (; r->copied < r->n; r->copied++) {
		struct node *n = &r->v[r->copied];

		if (n->kept)
			continue;
		n->off = r->arena.n;
		n->kept = true;
		if (!n->p)
			continue;
		if (r->arena.n + n->len > RESP_ARENA_MAX || !buf_reserve(&r->arena, n->len)) {
			n->len = 0;
			n->clipped = true;
			continue;
		}
		buf_put(&r->arena, n->p, n->len);
		n->p = NULL;
	}
}

struct span resp_text(const struct resp *r, const struct node *n)
{
	if (!n || !n->len)
		return SPAN_EMPTY;
	return n->kept ? span_of(r->arena.p + n->off, n->len) : span_of(n->p, n->len);
}

const struct node *resp_next(const struct resp *r, const struct node *n)
{
	return n && n->end < r->n ? &r->v[n->end] : NULL;
}

const struct node *resp_child(const struct resp *r, const struct node *n, uint32_t index)
{
	const struct node *c;

	if (!n || index >= n->n)
		return NULL;
	c = n + 1;
	while (index-- && c)
		c = resp_next(r, c);
	/* An attribute stands before the value that it describes, and is none itself. */
	return c;
}

/* --- values --- */

/* A value ended: does that end those around it? */
static void close_levels(struct resp *r)
{
	while (r->depth) {
		struct level *l = &r->level[r->depth - 1];

		if (l->streamed || --l->left)
			return;
		r->depth--;
		if (l->node != NONE)
			r->v[l->node].end = r->n;
		if (!l->attr)
			continue;
		/* What an attribute says is of no use here: forgotten, as if it had not been there. */
		if (l->node != NONE) {
			r->n = l->node;
			if (r->copied > r->n)
				r->copied = r->n;
		}
		return;
	}
}

static void value_done(struct resp *r)
{
	close_levels(r);
}

/* Notes a child of the level that is open; @size of a string, its bytes at @pos. */
static void count_child(struct resp *r, uint32_t node, uint64_t pos, uint64_t size)
{
	struct level *l = r->depth ? &r->level[r->depth - 1] : NULL;

	if (l && l->node != NONE && node != NONE)
		r->v[l->node].n++;
	if (r->depth != 1)
		return;
	if (r->on_child)
		r->on_child(r->ctx, r->child, pos, size);
	r->child++;
}

static bool begin_level(struct resp *r, uint32_t node, uint64_t count, bool streamed, bool attr)
{
	if (r->depth >= RESP_DEPTH_MAX)
		return false;
	r->level[r->depth++] = (struct level){count, node, streamed, attr};
	return true;
}

static bool begin_list(struct resp *r, uint8_t type, struct span arg, uint64_t pos)
{
	bool streamed = span_is(arg, "?"), attr = type == '|';
	int64_t count = 0;
	uint32_t node;

	if (!streamed && (!number_of(arg, &count) || count < -1 || count > RESP_COUNT_MAX))
		return false;
	if ((attr && streamed) || (count < 0 && type != '*'))
		return false;
	node = node_new(r, type);
	if (!attr)
		count_child(r, node, pos, 0);
	if (type == '%' || attr)
		count *= 2;
	if (node != NONE) {
		r->v[node].null = count < 0;
		r->v[node].size = count > 0 ? (uint64_t)count : 0;
	}
	if (count > 0 || streamed)
		return begin_level(r, node, (uint64_t)count, streamed, attr);
	if (!attr)
		value_done(r);
	else if (node != NONE)
		r->n = node;
	return true;
}

/* A string's header; its bytes lie from @pos on. */
static bool begin_bulk(struct resp *r, uint8_t type, struct span arg, uint64_t pos)
{
	bool chunked = span_is(arg, "?") && type == '$';
	int64_t size = 0;
	uint32_t node;

	if (!chunked && (!number_of(arg, &size) || size < -1 || size > RESP_BULK_MAX))
		return false;
	if (size < 0 && type != '$')
		return false;
	node = node_new(r, type);
	count_child(r, node, pos, size > 0 ? (uint64_t)size : 0);
	if (node != NONE) {
		r->v[node].null = size < 0;
		r->v[node].size = size > 0 ? (uint64_t)size : 0;
	}
	if (size < 0) {
		value_done(r);
		return true;
	}
	r->bulk = node;
	r->chunked = chunked;
	r->in_bulk = !chunked;
	r->left = (uint64_t)size;
	r->crlf = chunked ? 0 : 2;
	return true;
}

/* ";4" within a streamed string. */
static bool begin_chunk(struct resp *r, struct span arg)
{
	int64_t size;

	if (!number_of(arg, &size) || size < 0 || size > RESP_BULK_MAX)
		return false;
	if (!size) {
		r->chunked = false;
		value_done(r);
		return true;
	}
	if (r->bulk != NONE && r->bulk < r->n)
		r->v[r->bulk].size += (uint64_t)size;
	r->in_bulk = true;
	r->left = (uint64_t)size;
	r->crlf = 2;
	return true;
}

static bool simple(struct resp *r, uint8_t type, struct span arg, uint64_t pos)
{
	int64_t i = 0;
	uint32_t node;

	if (type == ':' && !number_of(arg, &i))
		return false;
	if (type == '#' && !span_is(arg, "t") && !span_is(arg, "f"))
		return false;
	if (type == '_' && arg.n)
		return false;
	node = node_new(r, type);
	count_child(r, node, pos, arg.n);
	if (node != NONE) {
		struct node *n = &r->v[node];
		bool wanted = r->wanted;

		n->null = type == '_';
		n->i = type == '#' ? arg.p[0] == 't' : i;
		n->size = arg.n;
		/* The top value's line is short, and always of interest: "+QUEUED", "-ERR". */
		r->wanted |= !node;
		node_more(r, node, arg.p, arg.n);
		r->wanted = wanted;
	}
	value_done(r);
	return true;
}

static bool end_stream(struct resp *r)
{
	struct level *l = r->depth ? &r->level[r->depth - 1] : NULL;

	if (!l || !l->streamed)
		return false;
	r->depth--;
	if (l->node != NONE) {
		r->v[l->node].end = r->n;
		r->v[l->node].size = r->v[l->node].n;
	}
	value_done(r);
	return true;
}

/* One line, @line without its CRLF, at @pos. */
static bool line(struct resp *r, struct span line, uint64_t pos)
{
	struct span arg = span_sub(line, 1, SIZE_MAX);
	uint64_t behind = pos + line.n + 2;

	if (!line.n)
		return false;
	if (r->chunked)
		return line.p[0] == ';' && begin_chunk(r, arg);
	switch (line.p[0]) {
	case '*':
	case '~':
	case '%':
	case '>':
	case '|':
		return begin_list(r, line.p[0], arg, pos);
	case '$':
	case '=':
	case '!':
		return begin_bulk(r, line.p[0], arg, behind);
	case '+':
	case '-':
	case ':':
	case '_':
	case '#':
	case ',':
	case '(':
		return simple(r, line.p[0], arg, pos + 1);
	case '.':
		return line.n == 1 && end_stream(r);
	}
	return false;
}

/* Bytes of the string that is open. */
static bool bulk(struct resp *r, struct span data, size_t *at)
{
	size_t n = data.n - *at;

	if (r->left) {
		if (n > r->left)
			n = (size_t)r->left;
		node_more(r, r->bulk, data.p + *at, n);
		r->left -= n;
		*at += n;
	}
	while (!r->left && r->crlf && *at < data.n) {
		if (data.p[*at] != (r->crlf == 2 ? '\r' : '\n'))
			return false;
		r->crlf--;
		++*at;
	}
	if (r->left || r->crlf)
		return true;
	r->in_bulk = false;
	if (!r->chunked)
		value_done(r);
	return true;
}

static bool line_may_be(uint8_t first, size_t n)
{
	bool text = first == '+' || first == '-' || first == '(' || first == ',';

	return n <= (text ? RESP_LINE_MAX : RESP_HEADER_MAX);
}

enum resp_status resp_feed(struct resp *r, uint64_t pos, struct span data, size_t *ret_consumed)
{
	size_t at = 0;

	if (!r->begun) {
		r->begun = true;
		r->start = pos;
	}
	while (at < data.n) {
		struct span rest = span_sub(data, at, SIZE_MAX);
		int64_t n;

		if (r->in_bulk) {
			if (!bulk(r, data, &at))
				goto bad;
		} else {
			n = line_of(rest, r->scanned);
			if (!line_may_be(rest.p[0], n < 0 ? rest.n : (size_t)n))
				goto bad;
			if (n < 0) {
				r->scanned = rest.n - 1;
				break;
			}
			r->scanned = 0;
			if (!line(r, span_sub(rest, 0, (size_t)n), pos + at))
				goto bad;
			at += (size_t)n + 2;
		}
		/* An attribute alone is not a value: then nothing is left of it. */
		if (!r->depth && !r->in_bulk && !r->chunked && r->n) {
			r->end = pos + at;
			*ret_consumed = at;
			return RESP_DONE;
		}
	}
	keep_all(r);
	*ret_consumed = at;
	return RESP_MORE;
bad:
	*ret_consumed = at;
	return RESP_BAD;
}

bool resp_skip(struct resp *r, uint64_t n)
{
	if (!r->in_bulk || !n || n > r->left)
		return false;
	r->left -= n;
	if (r->bulk != NONE && r->bulk < r->n)
		r->v[r->bulk].gap = true;
	return true;
}

void resp_clear(struct resp *r)
{
	r->n = r->copied = r->child = 0;
	r->depth = 0;
	r->begun = r->in_bulk = r->chunked = r->lost_some = false;
	r->left = 0;
	r->crlf = 0;
	r->scanned = 0;
	buf_clear(&r->arena);
	r->arena.oom = false;
	if (r->arena.cap > 4u << 20)
		buf_free(&r->arena);
	if (r->cap > 1u << 15) {
		free(r->v);
		r->v = NULL;
		r->cap = 0;
	}
}

void resp_free(struct resp *r)
{
	free(r->v);
	buf_free(&r->arena);
}

/* --- inline commands --- */

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One character of a double-quoted word; what an escape stands for. */
static uint8_t escaped(struct span s, size_t *i)
{
	static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
	const char *k;

	if (*i + 3 < s.n && s.p[*i + 1] == 'x' && hex(s.p[*i + 2]) >= 0 && hex(s.p[*i + 3]) >= 0) {
		*i += 4;
		return (uint8_t)(hex(s.p[*i - 2]) << 4 | hex(s.p[*i - 1]));
	}
	*i += 2;
	k = s.p[*i - 1] ? strchr(from, s.p[*i - 1]) : NULL;
	return k ? (uint8_t)to[k - from] : s.p[*i - 1];
}

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || !c;
}

/* Appends one word to the arena; false: a quote is not closed, or closed within a word. */
static bool inline_word(struct resp *r, struct span s, size_t *i)
{
	uint8_t quote = 0;

	for (; *i < s.n;) {
		uint8_t c = s.p[*i];

		if (quote && c == quote) {
			++*i;
			return *i == s.n || is_space(s.p[*i]);
		}
		if (!quote && is_space(c))
			return true;
		if (!quote && (c == '"' || c == '\'')) {
			quote = c;
			++*i;
		} else if (quote == '"' && c == '\\' && *i + 1 < s.n) {
			buf_putc(&r->arena, (char)escaped(s, i));
		} else if (quote == '\'' && c == '\\' && *i + 1 < s.n && s.p[*i + 1] == '\'') {
			buf_putc(&r->arena, '\'');
			*i += 2;
		} else {
			buf_putc(&r->arena, (char)c);
			++*i;
		}
	}
	return !quote;
}

bool resp_inline(struct resp *r, struct span s)
{
	uint32_t top = node_new(r, 'i');
	size_t i = 0;

	r->wanted = true;
	while (top != NONE) {
		size_t off = r->arena.n;
		uint32_t w;

		while (i < s.n && is_space(s.p[i]))
			i++;
		if (i >= s.n)
			break;
		if (!inline_word(r, s, &i) || !buf_ok(&r->arena))
			return false;
		w = node_new(r, '$');
		if (w == NONE)
			return false;
		r->v[w].kept = true;
		r->v[w].off = off;
		r->v[w].len = r->arena.n - off;
		r->v[w].size = r->v[w].len;
		r->v[top].n++;
		r->v[top].end = r->n;
	}
	r->copied = r->n;
	return top != NONE;
}

/* --- looking without reading --- */

/* The header "<type><number>CRLF" at *@at. -1 no, 0 cut, 1 yes. */
static int header(struct span s, size_t *at, uint8_t type, int64_t *ret)
{
	struct span rest = span_sub(s, *at, SIZE_MAX);
	int64_t n = line_of(span_sub(rest, 0, RESP_HEADER_MAX), 0);

	if (!rest.n)
		return 0;
	if (rest.p[0] != type)
		return -1;
	if (n < 0) {
		for (size_t i = 1; i < rest.n; i++)
			if (rest.p[i] < '0' || rest.p[i] > '9')
				return rest.p[i] == '\r' && i > 1 && i + 1 == rest.n ? 0 : -1;
		return rest.n <= 11 ? 0 : -1;
	}
	*at += (size_t)n + 2;
	return number_of(span_sub(rest, 1, (size_t)n - 1), ret) && rest.p[1] != '-' ? 1 : -1;
}

int resp_command(struct span s, struct span *ret_word, size_t *ret_len)
{
	int64_t count, size;
	size_t at = 0;
	int k = header(s, &at, '*', &count);

	*ret_word = SPAN_EMPTY;
	if (k <= 0)
		return k;
	if (count < 1 || count > 1 << 20)
		return -1;
	for (int64_t i = 0; i < count; i++) {
		k = header(s, &at, '$', &size);
		if (k <= 0)
			return k;
		if (size > 512ll << 20 || (!i && (!size || size > 32)))
			return -1;
		if (s.n - at < (size_t)size + 2)
			return 0;
		if (s.p[at + (size_t)size] != '\r' || s.p[at + (size_t)size + 1] != '\n')
			return -1;
		if (!i)
			*ret_word = span_of(s.p + at, (size_t)size);
		at += (size_t)size + 2;
	}
	*ret_len = at;
	return 1;
}

int resp_value(struct span s, size_t *ret_len)
{
	struct resp r = {.limit = 64};
	size_t n = 0;
	enum resp_status k = resp_feed(&r, 0, s, &n);

	resp_free(&r);
	*ret_len = n;
	return k == RESP_BAD ? -1 : k == RESP_DONE;
}
