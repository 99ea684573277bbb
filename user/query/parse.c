/*
 * The query language. By hand, recursive descent: the point of it is to say what is wrong and where.
 *
 *   or    = and { OR and }
 *   and   = not { [AND] not }
 *   not   = NOT not | "(" or ")" | term
 *   term  = name op value | scope ":" value | value
 *   value = word | '"' phrase '"' | "'" phrase "'"
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/timefmt.h"
#include "query/node.h"

struct parser {
	struct query *q;
	struct span s;
	size_t i;
	unsigned depth;
	int64_t now_ns;
	struct err *e;
};

static const struct {
	const char *name;
	enum leaf_kind kind;
} scopes[] = {
	{"service", LEAF_SERVICE},
	{"queue", LEAF_QUEUE},
	{"group", LEAF_QUEUE},
	{"broker-id", LEAF_MID},
	{"exchange", LEAF_EXCHANGE},
	{"topic", LEAF_TOPIC},
	{"key", LEAF_KEY},
	{"state", LEAF_STATE},
	{"id", LEAF_ID},
	{"since", LEAF_SINCE},
	{"until", LEAF_UNTIL},
	{"has", LEAF_HAS},
};

/* --- errors --- */

#define SHOWN_BEFORE 52 /* bytes of the query shown before the fault, and after it */
#define SHOWN_AFTER  20

/* "what\n  the text\n      ^": of a long text, the part around @at. */
__attribute__((format(printf, 3, 4))) static int syntax(
	const struct parser *p, size_t at, const char *fmt, ...)
{
	size_t from = at > SHOWN_BEFORE ? at - SHOWN_BEFORE : 0, to, caret = 2;
	char what[200], text[SHOWN_BEFORE + SHOWN_AFTER + 8];
	size_t n = 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	while (from < at && (p->s.p[from] & 0xc0) == 0x80)
		from++;
	to = p->s.n - at > SHOWN_AFTER ? at + SHOWN_AFTER : p->s.n;
	while (to < p->s.n && (p->s.p[to] & 0xc0) == 0x80)
		to--;
	for (size_t i = from; i < to; i++) {
		uint8_t c = p->s.p[i];

		text[n++] = c < ' ' || c == 0x7f ? ' ' : (char)c;
		caret += i < at && (c & 0xc0) != 0x80; /* columns, not bytes */
	}
	text[n] = '\0';
	return err_set(p->e, -EINVAL, "query: %s\n  %s%s%s\n  %*s^", what, from ? "… " : "", text,
		to < p->s.n ? " …" : "", (int)(caret - 2 + (from ? 2 : 0)), "");
}

static int no_memory(const struct parser *p)
{
	return err_set(p->e, -ENOMEM, "query: out of memory");
}

/* --- the tree --- */

static int add_node(struct parser *p, enum node_kind kind, int a, int b)
{
	struct query *q = p->q;

	if (q->nodes_n == QUERY_MAX_NODES)
		return syntax(p, p->i < p->s.n ? p->i : p->s.n, "this is too much for one query");
	q->nodes[q->nodes_n] = (struct node){kind, (uint16_t)a, (uint16_t)b};
	return (int)q->nodes_n++;
}

static struct leaf *add_leaf(struct parser *p, enum leaf_kind kind, size_t at)
{
	struct query *q = p->q;
	struct leaf *l;

	if (q->leaves_n == QUERY_MAX_LEAVES) {
		syntax(p, at, "a query has at most %d terms", QUERY_MAX_LEAVES);
		return NULL;
	}
	l = &q->leaves[q->leaves_n++];
	l->kind = kind;
	l->at = at;
	return l;
}

/* --- characters --- */

static bool at_end(const struct parser *p)
{
	return p->i >= p->s.n;
}

static uint8_t peek(const struct parser *p)
{
	return at_end(p) ? 0 : p->s.p[p->i];
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_blanks(struct parser *p)
{
	while (!at_end(p) && is_blank(peek(p)))
		p->i++;
}

static bool ends_bare(uint8_t c)
{
	return is_blank(c) || c == '(' || c == ')';
}

/* Where the bare word at @i ends; a backslash takes a blank or a parenthesis into it. */
static size_t bare_end(struct span s, size_t i)
{
	while (i < s.n && !ends_bare(s.p[i]))
		i += s.p[i] == '\\' && i + 1 < s.n ? 2 : 1;
	return i < s.n ? i : s.n;
}

/* The byte behind the quote that closes the one at @i, or NOT_FOUND. */
static size_t quote_end(struct span s, size_t i)
{
	uint8_t quote = s.p[i++];

	while (i < s.n && s.p[i] != quote)
		i += s.p[i] == '\\' && i + 1 < s.n ? 2 : 1;
	return i < s.n ? i + 1 : NOT_FOUND;
}

static bool is_word_at(const struct parser *p, const char *word)
{
	size_t n = strlen(word);
	struct span rest = span_sub(p->s, p->i, SIZE_MAX);

	return span_starts(rest, word) && (rest.n == n || ends_bare(rest.p[n]));
}

/* --- values --- */

/* Drops the backslashes that pattern__init() understands, for those who need the plain text. */
static void put_plain(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n && memchr("\\*?\"'() ", s.p[i + 1], 8))
			i++;
		buf_putc(out, (char)s.p[i]);
	}
}

/*
 * A quoted or bare value at the parser's place. A quoted one must end there: in `"id":4711`, which somebody
 * took out of a body, the quotes are meant literally.
 */
static int read_value(struct parser *p, struct span *ret)
{
	uint8_t c = peek(p);
	size_t end;

	if (c == '"' || c == '\'') {
		end = quote_end(p->s, p->i);
		if (end == NOT_FOUND)
			return syntax(p, p->i, "this quote is never closed");
		if (end == p->s.n || ends_bare(p->s.p[end])) {
			*ret = span_sub(p->s, p->i + 1, end - p->i - 2);
			p->i = end;
			return 0;
		}
		end = bare_end(p->s, end);
	} else {
		end = bare_end(p->s, p->i);
	}
	*ret = span_sub(p->s, p->i, end - p->i);
	p->i = end;
	return 0;
}

static int set_value(struct parser *p, struct leaf *l, struct span typed)
{
	int err = pattern__init(&l->pat, typed);

	if (err == -E2BIG)
		return syntax(p, l->at, "a word is at most %d bytes, with * or ? %d", PATTERN_MAX,
			PATTERN_GLOB_MAX);
	if (err)
		return no_memory(p);
	put_plain(&l->value, typed);
	return buf_ok(&l->value) ? 0 : no_memory(p);
}

/* A group's name is the end of its queue's. */
static int set_group(struct parser *p, struct leaf *l, struct span typed)
{
	struct buf v = {0};
	int err;

	buf_puts(&v, "*/");
	buf_put_span(&v, typed);
	err = buf_ok(&v) ? set_value(p, l, buf_span(&v)) : no_memory(p);
	buf_free(&v);
	return err;
}

/* --- terms --- */

static int state_leaf(struct parser *p, struct leaf *l, size_t at)
{
	static const struct {
		const char *word;
		uint32_t states, flags;
	} also[] = {{"waiting", 1u << STATE_QUEUED | 1u << STATE_REQUEUED, 0},
		{"unsettled", 1u << STATE_DELIVERED, 0}, {"done", 1u << STATE_ACKED, 0},
		{"dead", 1u << STATE_DEAD_LETTERED, 0}, {"refused", 0, MSGF_REFUSED},
		{"aborted", 0, MSGF_ABORTED}};

	for (int s = STATE_UNKNOWN; s <= STATE_PURGED; s++)
		if (pattern_is(&l->pat, span_str(state_name((enum msg_state)s))))
			l->states |= 1u << s;
	for (size_t i = 0; i < ARRAY_LEN(also); i++)
		if (span_eq_nocase(buf_span(&l->value), span_str(also[i].word))) {
			l->states |= also[i].states;
			l->flags |= also[i].flags;
		}
	if (l->states || l->flags)
		return 0;
	return syntax(p, at,
		"there is no such state; they are: sent confirmed returned refused aborted queued delivered "
		"acked requeued rejected dead-lettered expired purged unknown");
}

int message_id_parse(const char *text, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (*text == 'm' || *text == 'M')
		text++;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || v > INT64_MAX)
		return -EINVAL;
	*ret = v;
	return 0;
}

static int id_leaf(struct parser *p, struct leaf *l, size_t at)
{
	if (message_id_parse(buf_cstr(&l->value), &l->id))
		return syntax(p, at, "an id is \"m\" and a number, like m42");
	return 0;
}

static int time_leaf(struct parser *p, struct leaf *l, size_t at)
{
	if (parse_time(buf_cstr(&l->value), p->now_ns, &l->ns))
		return syntax(
			p, at, "this is no time: write 14:02, 2026-11-23T14:02:09Z, 90s, 5min, 2h or 3d");
	return 0;
}

static int has_leaf(struct parser *p, struct leaf *l)
{
	struct span v = buf_span(&l->value);

	if (span_is(v, "truncated"))
		l->flags = OPF_TRUNCATED;
	if (span_is(v, "gap"))
		l->flags = OPF_GAP;
	if (l->flags)
		l->kind = LEAF_FLAG;
	buf_put_span(&l->name, v);
	return buf_ok(&l->name) ? 0 : no_memory(p);
}

static int scope_term(struct parser *p, enum leaf_kind kind, const char *name)
{
	size_t at = p->i, value_at = p->i += strlen(name) + 1;
	struct leaf *l;
	struct span v;
	int err;

	if (at_end(p) || ends_bare(peek(p)))
		return syntax(p, at, "%s: needs a value right behind it", name);
	l = add_leaf(p, kind, at);
	if (!l)
		return -EINVAL;
	err = read_value(p, &v);
	if (!err)
		err = strcmp(name, "group") ? set_value(p, l, v) : set_group(p, l, v);
	if (err)
		return err;
	if (kind == LEAF_STATE)
		err = state_leaf(p, l, value_at);
	else if (kind == LEAF_ID)
		err = id_leaf(p, l, value_at);
	else if (kind == LEAF_SINCE || kind == LEAF_UNTIL)
		err = time_leaf(p, l, value_at);
	else if (kind == LEAF_HAS)
		err = has_leaf(p, l);
	return err ? err : add_node(p, NODE_LEAF, (int)(l - p->q->leaves), 0);
}

/* The digits that every way to write the number without an exponent has: 0088.50, 88.5 and +88.500. */
static struct span number_literal(const struct leaf *l)
{
	const struct decimal *d = &l->dec;

	if (d->exponent)
		return SPAN_EMPTY;
	if (d->whole.n && d->frac.n)
		return span_of(d->whole.p, (size_t)(d->frac.p + d->frac.n - d->whole.p));
	if (d->frac.n)
		return span_of(d->frac.p - 1, d->frac.n + 1);
	return d->whole.n ? d->whole : SPAN_LIT("0");
}

static int field_term(struct parser *p, size_t op_at, enum leaf_op op, size_t op_n)
{
	size_t at = p->i;
	struct span name = span_sub(p->s, at, op_at - at), v;
	struct leaf *l;
	int err;

	p->i = op_at + op_n;
	if (!name.n)
		return syntax(p, at, "a name has to stand right before this: name%.*s value without blanks",
			(int)op_n, (const char *)p->s.p + op_at);
	if (at_end(p) || ends_bare(peek(p)))
		return syntax(
			p, op_at, "a value has to stand right behind this; for an empty one write \"\"");
	l = add_leaf(p, LEAF_FIELD, at);
	if (!l)
		return -EINVAL;
	l->op = op;
	buf_put_span(&l->name, name);
	err = read_value(p, &v);
	err = err ? err : set_value(p, l, v);
	if (err)
		return err;
	if (!buf_ok(&l->name))
		return no_memory(p);
	l->number = decimal_parse(buf_span(&l->value), &l->dec);
	if (op == CMP_EQ)
		l->literal = l->number ? number_literal(l) : l->pat.literal;
	return add_node(p, NODE_LEAF, (int)(l - p->q->leaves), 0);
}

static int word_term(struct parser *p)
{
	size_t at = p->i;
	struct leaf *l = add_leaf(p, LEAF_WORD, at);
	struct span v;
	int err;

	if (!l)
		return -EINVAL;
	err = read_value(p, &v);
	err = err ? err : set_value(p, l, v);
	if (err)
		return err;
	if (!l->pat.n && !pattern_any(&l->pat))
		return syntax(p, at, "there is nothing between these quotes");
	l->literal = l->pat.literal;
	return add_node(p, NODE_LEAF, (int)(l - p->q->leaves), 0);
}

/* The first comparison in the bare word @w; its offset, or NOT_FOUND. */
static size_t find_op(struct span w, enum leaf_op *ret_op, size_t *ret_n)
{
	for (size_t i = 0; i < w.n; i++) {
		bool eq = i + 1 < w.n && w.p[i + 1] == '=';

		*ret_n = eq ? 2 : 1;
		if (w.p[i] == '\\')
			i++;
		else if (w.p[i] == '"' || w.p[i] == '\'' ||
			 (w.p[i] == ':' && span_starts(span_sub(w, i, 3), "://")))
			return NOT_FOUND;
		else if (w.p[i] == '=')
			return *ret_op = CMP_EQ, i;
		else if (w.p[i] == '!' && eq)
			return *ret_op = CMP_NE, i;
		else if (w.p[i] == '<')
			return *ret_op = eq ? CMP_LE : CMP_LT, i;
		else if (w.p[i] == '>')
			return *ret_op = eq ? CMP_GE : CMP_GT, i;
	}
	return NOT_FOUND;
}

/* One letter changed, left out, doubled or swapped. */
static bool near(struct span a, struct span b)
{
	size_t i = 0, k = 0;

	if (a.n > b.n + 1 || b.n > a.n + 1)
		return false;
	while (i < a.n && i < b.n && a.p[i] == b.p[i])
		i++;
	while (k < a.n - i && k < b.n - i && a.p[a.n - 1 - k] == b.p[b.n - 1 - k])
		k++;
	if (a.n == b.n && i + k + 2 == a.n)
		return a.p[i] == b.p[i + 1] && a.p[i + 1] == b.p[i];
	return i + k + 1 >= (a.n > b.n ? a.n : b.n);
}

static int term(struct parser *p)
{
	struct span w = span_sub(p->s, p->i, bare_end(p->s, p->i) - p->i), head;
	const uint8_t *colon = w.n ? memchr(w.p, ':', w.n) : NULL;
	size_t op_n, op_at = find_op(w, &(enum leaf_op){0}, &op_n);
	enum leaf_op op;

	head = span_of(w.p, colon ? (size_t)(colon - w.p) : 0);
	if (head.n && head.n < op_at) {
		for (size_t k = 0; k < ARRAY_LEN(scopes); k++)
			if (span_eq_nocase(head, span_str(scopes[k].name)))
				return scope_term(p, scopes[k].kind, scopes[k].name);
		for (size_t k = 0; k < ARRAY_LEN(scopes) && head.n > 2; k++)
			if (near(head, span_str(scopes[k].name)))
				return syntax(p, p->i,
					"there is no \"%.*s:\", did you mean %s: (if not, put it in quotes)",
					SPAN_ARG(head), scopes[k].name);
	}
	op_at = find_op(w, &op, &op_n);
	if (op_at != NOT_FOUND)
		return field_term(p, p->i + op_at, op, op_n);
	return word_term(p);
}

/* --- operators --- */

static int parse_or(struct parser *p);

static int parse_not(struct parser *p)
{
	size_t at;
	int n;

	skip_blanks(p);
	at = p->i;
	if (p->depth >= QUERY_MAX_DEPTH)
		return syntax(p, at, "this is nested too deeply");
	if (is_word_at(p, "NOT")) {
		p->i += 3;
		skip_blanks(p);
		if (at_end(p) || peek(p) == ')')
			return syntax(p, at, "something has to follow NOT");
		p->depth++;
		n = parse_not(p);
		p->depth--;
		return n < 0 ? n : add_node(p, NODE_NOT, n, 0);
	}
	if (is_word_at(p, "AND") || is_word_at(p, "OR"))
		return syntax(p, at, "something has to stand before %s (as a word, put it in quotes)",
			is_word_at(p, "OR") ? "OR" : "AND");
	if (peek(p) == ')')
		return syntax(p, at, "this closes nothing");
	if (peek(p) != '(')
		return term(p);
	p->i++;
	skip_blanks(p);
	if (peek(p) == ')')
		return syntax(p, at, "there is nothing between these parentheses");
	p->depth++;
	n = parse_or(p);
	p->depth--;
	if (n < 0)
		return n;
	if (peek(p) != ')')
		return syntax(p, at, "this parenthesis is never closed");
	p->i++;
	return n;
}

static int parse_and(struct parser *p)
{
	int a = parse_not(p), b;

	while (a >= 0) {
		size_t at;

		skip_blanks(p);
		at = p->i;
		if (at_end(p) || peek(p) == ')' || is_word_at(p, "OR"))
			break;
		if (is_word_at(p, "AND")) {
			p->i += 3;
			skip_blanks(p);
			if (at_end(p) || peek(p) == ')')
				return syntax(p, at, "something has to follow AND");
		}
		b = parse_not(p);
		a = b < 0 ? b : add_node(p, NODE_AND, a, b);
	}
	return a;
}

static int parse_or(struct parser *p)
{
	int a = parse_and(p), b;

	while (a >= 0 && is_word_at(p, "OR")) {
		size_t at = p->i;

		p->i += 2;
		skip_blanks(p);
		if (at_end(p) || peek(p) == ')')
			return syntax(p, at, "something has to follow OR");
		b = parse_and(p);
		a = b < 0 ? b : add_node(p, NODE_OR, a, b);
	}
	return a;
}

static int parse_all(struct parser *p)
{
	int n;

	skip_blanks(p);
	if (at_end(p))
		return -1;
	n = parse_or(p);
	if (n < 0)
		return n;
	if (!at_end(p)) /* parse_or() stops early only here */
		return syntax(p, p->i, "this closes nothing");
	return n;
}

/* Of the terms that all have to hold: the number of queues, the last of them, and each state with it. */
static unsigned queues_of_all(struct query *q, int n, unsigned *ret_queue, unsigned with)
{
	const struct node *node = n < 0 ? NULL : &q->nodes[n];
	struct leaf *l;

	if (!node || node->kind == NODE_OR || node->kind == NODE_NOT)
		return 0;
	if (node->kind == NODE_AND)
		return queues_of_all(q, node->a, ret_queue, with) +
		       queues_of_all(q, node->b, ret_queue, with);
	l = &q->leaves[node->a];
	if (l->kind == LEAF_STATE)
		l->with = with;
	else if (l->kind == LEAF_QUEUE)
		*ret_queue = node->a + 1u;
	return l->kind == LEAF_QUEUE;
}

/* "queue:billing state:waiting" is about one copy, not about two of the same message. */
static void pair_states(struct query *q)
{
	unsigned queue = 0;

	if (queues_of_all(q, q->root, &queue, 0) == 1)
		queues_of_all(q, q->root, &queue, queue);
}

int query__parse(const char *text, int64_t now_ns, struct query **ret, struct err *e)
{
	struct query *q;
	struct parser p = {.s = span_str(text), .now_ns = now_ns, .e = e};
	int n;

	if (p.s.n > QUERY_MAX_TEXT)
		return err_set(e, -EINVAL, "query: longer than %d bytes", QUERY_MAX_TEXT);
	q = calloc(1, sizeof(*q));
	if (!q || !(q->text = strdup(text))) {
		query__free(q);
		return err_set(e, -ENOMEM, "query: out of memory");
	}
	q->text_n = p.s.n;
	p.s.p = (const uint8_t *)q->text;
	p.q = q;
	n = parse_all(&p);
	if (n < -1) {
		query__free(q);
		return n;
	}
	q->root = n;
	pair_states(q);
	*ret = q;
	return 0;
}

void query__free(struct query *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->leaves_n; i++) {
		pattern__clear(&q->leaves[i].pat);
		buf_free(&q->leaves[i].name);
		buf_free(&q->leaves[i].value);
	}
	free(q->text);
	free(q);
}

const char *query_text(const struct query *q)
{
	return q->text;
}

void put_not_found(struct buf *out, const struct query *q)
{
	if (q->root < 0) {
		buf_puts(out, "there is no message");
	} else if (q->nodes_n > 1 || q->leaves[0].kind != LEAF_WORD) {
		buf_printf(out, "no message matches %.200s", q->text);
	} else {
		buf_puts(out, "nothing holds \"");
		buf_put_span(out, span_sub(buf_span(&q->leaves[0].value), 0, 200));
		buf_putc(out, '"');
	}
}

/* --- words of a command line --- */

static bool has_blank(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_blank(s.p[i]))
			return true;
	return false;
}

/* The word of @s at *@i, which moves behind it and the blanks. */
static struct span next_word(struct span s, size_t *i)
{
	size_t start = *i;
	struct span w;

	while (*i < s.n && !is_blank(s.p[*i]))
		(*i)++;
	w = span_sub(s, start, *i - start);
	while (*i < s.n && is_blank(s.p[*i]))
		(*i)++;
	return w;
}

/* Is it more than plain words: an operator, a comparison, a scope, something quoted or in parentheses? */
static bool is_language(struct span w)
{
	const uint8_t *colon = w.n ? memchr(w.p, ':', w.n) : NULL;
	enum leaf_op op;
	size_t n, at = find_op(w, &op, &n);

	if (span_is(w, "AND") || span_is(w, "OR") || span_is(w, "NOT"))
		return true;
	if (w.n && (w.p[0] == '"' || w.p[0] == '\'' || w.p[0] == '('))
		return true;
	for (size_t k = 0; colon && k < ARRAY_LEN(scopes); k++)
		if (span_eq_nocase(span_of(w.p, (size_t)(colon - w.p)), span_str(scopes[k].name)))
			return true;
	return at != NOT_FOUND && at && at + n < w.n;
}

/* How many bytes of @s, which has blanks, stand before the part that the shell's quotes were meant for:
 * name='John Doe' arrives as name=John Doe. NOT_FOUND: it is a query in one argument. */
static size_t quoted_part(struct span s)
{
	size_t i = 0, n, at;
	enum leaf_op op;
	struct span first = next_word(s, &i);
	bool language = is_language(first);

	while (i < s.n)
		if (is_language(next_word(s, &i)))
			return NOT_FOUND;
	if (!language)
		return 0;
	if (first.p[0] == '"' || first.p[0] == '\'' || first.p[0] == '(')
		return NOT_FOUND;
	at = find_op(first, &op, &n);
	if (at != NOT_FOUND)
		return at + n < first.n && (first.p[at + n] == '"' || first.p[at + n] == '\'') ? NOT_FOUND
											       : at + n;
	at = (size_t)((const uint8_t *)memchr(first.p, ':', first.n) - first.p) + 1;
	return at < first.n && (first.p[at] == '"' || first.p[at] == '\'') ? NOT_FOUND : at;
}

static void put_arg(struct buf *out, struct span arg)
{
	size_t plain;

	if (!has_blank(arg) || (plain = quoted_part(arg)) == NOT_FOUND) {
		buf_put_span(out, arg);
		return;
	}
	buf_put_span(out, span_sub(arg, 0, plain));
	buf_putc(out, '"');
	for (size_t i = plain; i < arg.n; i++) {
		/* a quote that is not escaped already, or a backslash that would escape the closing one */
		if ((arg.p[i] == '"' && !(i > plain && arg.p[i - 1] == '\\')) ||
			(arg.p[i] == '\\' && i + 1 == arg.n))
			buf_putc(out, '\\');
		buf_putc(out, (char)arg.p[i]);
	}
	buf_putc(out, '"');
}

int query__from_args(int argc, char *const *argv, int64_t now_ns, struct query **ret, struct err *e)
{
	struct buf text = {0};
	int err;

	for (int i = 0; i < argc; i++) {
		if (i)
			buf_putc(&text, ' ');
		put_arg(&text, span_str(argv[i]));
	}
	if (!buf_ok(&text))
		err = err_set(e, -ENOMEM, "query: out of memory");
	else
		err = query__parse(buf_cstr(&text), now_ns, ret, e);
	buf_free(&text);
	return err;
}
