#include "query/match.h"

#include <inttypes.h>
#include <stdio.h>

enum truth {
	FALSE_,
	TRUE_,
	OPEN, /* not known yet */
};

struct match {
	const struct query *q;
	struct subject *s;
	uint8_t truth[QUERY_MAX_LEAVES];
	bool exists[QUERY_MAX_LEAVES], equal[QUERY_MAX_LEAVES]; /* LEAF_FIELD with != */
	struct hints hints;
	bool fields_read;
	bool opened, hinted; /* `body` is; with what the envelope says */
	struct body body;
};

/* --- the tree --- */

static enum truth eval(const struct match *m, int n)
{
	const struct node *node = &m->q->nodes[n];
	enum truth a, b;

	switch (node->kind) {
	case NODE_LEAF:
		return m->truth[node->a];
	case NODE_NOT:
		a = eval(m, node->a);
		return a == OPEN ? OPEN : a == TRUE_ ? FALSE_ : TRUE_;
	case NODE_AND:
		a = eval(m, node->a);
		b = a == FALSE_ ? FALSE_ : eval(m, node->b);
		return a == FALSE_ || b == FALSE_ ? FALSE_ : a == TRUE_ && b == TRUE_ ? TRUE_ : OPEN;
	case NODE_OR:
		a = eval(m, node->a);
		b = a == TRUE_ ? TRUE_ : eval(m, node->b);
		return a == TRUE_ || b == TRUE_ ? TRUE_ : a == FALSE_ && b == FALSE_ ? FALSE_ : OPEN;
	}
	return FALSE_;
}

/* --- what can hold a leaf's value --- */

static bool contains(struct span hay, struct span folded)
{
	return span_find_folded(hay, folded, 0) != NOT_FOUND;
}

static bool all_of(struct span s, const char *set)
{
	for (size_t i = 0; i < s.n; i++)
		if (!s.p[i] || !strchr(set, s.p[i]))
			return false;
	return true;
}

/* Could the text form of a number, time or truth value hold @lit, whose bytes are not on the wire? Names are
 * put together too: "x-death[0].queue". */
static bool may_be_rendered(struct span lit)
{
	static const char *const words[] = {"true", "false", "null", "-nan", "-inf"};

	if (all_of(lit, "0123456789+-.:etz"))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (contains(span_str(words[i]), lit))
			return true;
	return memchr(lit.p, '.', lit.n) || memchr(lit.p, '[', lit.n) || memchr(lit.p, ']', lit.n);
}

static void read_envelope(struct match *m);

static void open_body(struct match *m)
{
	struct body_hints hints = hints_of(&m->hints);

	if (m->opened)
		body_close(&m->body);
	m->opened = true;
	m->hinted = m->fields_read;
	body_open(&m->body, m->s->body, &hints);
}

/* The envelope's hints only decide for a body without a form of its own. */
static const struct body *body_of(struct match *m)
{
	if (!m->opened)
		open_body(m);
	if ((m->body.format == BODY_TEXT || m->body.format == BODY_BINARY) && !m->hinted) {
		read_envelope(m);
		if (m->hints.content_type.n || m->hints.content_encoding.n)
			open_body(m);
		m->hinted = true;
	}
	return &m->body;
}

static bool has_byte(struct span s, uint8_t c)
{
	return s.n && memchr(s.p, c, s.n);
}

static bool has_control(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ')
			return true;
	return false;
}

static bool has_high_byte(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 0x80)
			return true;
	return false;
}

/* Entities, what comments and sections tear apart, white space in attributes, other character sets. */
static bool xml_decodes_to_more(struct span s, struct span lit)
{
	if (has_byte(s, '&') || contains(s, SPAN_LIT("<!")) ||
		contains(span_sub(s, 1, SIZE_MAX), SPAN_LIT("<?")))
		return true;
	if (has_byte(s, 0) || (has_high_byte(s) && contains(s, SPAN_LIT("encoding"))))
		return true;
	return has_control(s) && has_byte(lit, ' ');
}

/* May a value of the body hold @lit although its bytes do not? */
static bool decodes_to_more(struct match *m, struct span lit)
{
	static const char marks[] = "<\\&%+?";
	struct span s = m->s->body;
	bool plain = true, hides;

	for (size_t i = 0; i < sizeof(marks) - 1 && plain; i++)
		plain = !has_byte(s, (uint8_t)marks[i]);
	hides = !(m->s->flags & MSGF_PLAIN) && body_may_hide(s);
	if (plain && !hides && !contains(span_sub(s, 0, 4), SPAN_LIT("una")))
		return false;
	if (body_of(m)->layers)
		return true;
	switch (m->body.format) {
	case BODY_JSON:
		return hides || has_byte(s, '\\');
	case BODY_XML:
		return hides || xml_decodes_to_more(s, lit);
	case BODY_FORM:
		return hides || has_byte(s, '%') || has_byte(s, '+');
	case BODY_TEXT: /* EDIFACT's release character, which it may choose */
		return hides || contains(s, SPAN_LIT("una")) || has_byte(s, '?');
	case BODY_MSGPACK:
	case BODY_PROTOBUF:
	case BODY_AVRO:
	case BODY_AVRO_FILE:
	case BODY_PICKLE: /* numbers, names from a schema, packed blocks */
		return true;
	case BODY_EMPTY:
	case BODY_BINARY:
		break;
	}
	return false;
}

/* --- leaves --- */

static int compare_text(struct span a, struct span b)
{
	for (size_t i = 0; i < a.n && i < b.n; i++) {
		int c = ascii_fold(a.p[i]) - ascii_fold(b.p[i]);

		if (c)
			return c;
	}
	return (a.n > b.n) - (a.n < b.n);
}

/* 0088.0 is 88; but 8.8e1 is not found by it: a literal could not be looked for any more. */
static bool equals(const struct leaf *l, struct span v)
{
	struct decimal d;

	if (pattern_is(&l->pat, v))
		return true;
	return l->number && !l->dec.exponent && decimal_parse(v, &d) && !d.exponent &&
	       !decimal_compare(&d, &l->dec);
}

static bool ordered(const struct leaf *l, struct span v)
{
	struct decimal d;
	int c;

	if (l->number) {
		if (!decimal_parse(v, &d))
			return false;
		c = decimal_compare(&d, &l->dec);
	} else {
		c = compare_text(v, buf_span(&l->value));
	}
	return (c < 0 && (l->op == CMP_LT || l->op == CMP_LE)) ||
	       (c > 0 && (l->op == CMP_GT || l->op == CMP_GE)) ||
	       (!c && (l->op == CMP_LE || l->op == CMP_GE));
}

/* A field that leaf @i asks for has the value @v. */
static void field_seen(struct match *m, size_t i, struct span v)
{
	const struct leaf *l = &m->q->leaves[i];

	m->exists[i] = true;
	if (l->op == CMP_NE)
		m->equal[i] |= equals(l, v);
	else if (l->op == CMP_EQ ? equals(l, v) : ordered(l, v))
		m->truth[i] = TRUE_;
}

/* The path or one of the containers on it: has:customer holds where customer.name is. */
static bool path_has(struct span path, struct span name)
{
	while (path.n) {
		if (path_matches(path, name))
			return true;
		while (path.n && path.p[path.n - 1] != '.')
			path.n--;
		if (path.n)
			path.n--;
	}
	return false;
}

static void scalar_seen(struct match *m, struct span path, struct span leaf_name, struct span value)
{
	for (size_t i = 0; i < m->q->leaves_n; i++) {
		const struct leaf *l = &m->q->leaves[i];

		if (m->truth[i] != OPEN)
			continue;
		if (l->kind == LEAF_WORD &&
			(pattern_find(&l->pat, value, false, NULL) != NOT_FOUND ||
				pattern_find(&l->pat, leaf_name, false, NULL) != NOT_FOUND))
			m->truth[i] = TRUE_;
		else if (l->kind == LEAF_FIELD && path_matches(path, buf_span(&l->name)))
			field_seen(m, i, value);
		else if (l->kind == LEAF_HAS && path_has(path, buf_span(&l->name)))
			m->truth[i] = TRUE_;
	}
}

/* --- looking, cheapest first --- */

static void look_at_columns(struct match *m)
{
	const struct subject *s = m->s;
	char id[24];

	for (size_t i = 0; i < m->q->leaves_n; i++) {
		const struct leaf *l = &m->q->leaves[i];
		bool yes = false, last = true;

		switch (l->kind) {
		case LEAF_ID:
			yes = s->id == l->id;
			break;
		case LEAF_MID:
			yes = s->mid.n && pattern_is(&l->pat, s->mid);
			break;
		case LEAF_SINCE:
			yes = s->when_ns >= l->ns;
			break;
		case LEAF_UNTIL:
			yes = s->when_ns <= l->ns;
			break;
		case LEAF_FLAG:
			yes = s->flags & l->flags;
			break;
		case LEAF_STATE:
			yes = (!l->with && l->states & s->states) || l->flags & s->flags;
			last = false;
			break;
		case LEAF_WORD:
			last = false;
			if (pattern_any(&l->pat) || l->pat.el[0] == 'm')
				yes = pattern_is(&l->pat,
					span_of(id, (size_t)snprintf(id, sizeof(id), "m%" PRIu64, s->id)));
			break;
		default:
			last = false;
		}
		m->truth[i] = yes ? TRUE_ : last ? FALSE_ : OPEN;
	}
}

static int look_at_names(struct match *m, enum names_of of)
{
	for (size_t i = 0; i < m->q->leaves_n; i++) {
		const struct leaf *l = &m->q->leaves[i];
		bool last = of == NAMES_OF_MESSAGE
				    ? l->kind == LEAF_EXCHANGE || (l->kind == LEAF_KEY && !m->s->keyed)
				    : l->kind == LEAF_TOPIC || l->kind == LEAF_QUEUE ||
					      l->kind == LEAF_SERVICE || l->kind == LEAF_STATE;
		int yes;

		if (m->truth[i] != OPEN || l->kind == LEAF_FIELD || l->kind == LEAF_HAS)
			continue;
		if (of == NAMES_OF_MESSAGE && (l->kind == LEAF_QUEUE || l->kind == LEAF_STATE))
			continue;
		yes = m->s->names(m->s->ctx, of, i);
		if (yes < 0)
			return yes;
		if (yes || last)
			m->truth[i] = yes ? TRUE_ : FALSE_;
	}
	return 0;
}

static void look_at_bytes(struct match *m)
{
	for (size_t i = 0; i < m->q->leaves_n; i++) {
		const struct leaf *l = &m->q->leaves[i];

		if (m->truth[i] != OPEN || l->kind != LEAF_WORD || !contains(m->s->body, l->literal))
			continue;
		if (pattern_find(&l->pat, m->s->body, false, NULL) != NOT_FOUND ||
			(pattern_find(&l->pat, m->s->body, true, NULL) != NOT_FOUND &&
				!body_is_text(body_of(m))))
			m->truth[i] = TRUE_;
	}
}

static bool on_field(void *ctx, const struct field *f)
{
	static const char prefix[] = "header.";
	struct match *m = ctx;
	bool header = span_starts(f->name, prefix);

	scalar_seen(
		m, f->name, header ? span_sub(f->name, sizeof(prefix) - 1, SIZE_MAX) : SPAN_EMPTY, f->text);
	for (size_t i = 0; m->s->keyed && i < m->q->leaves_n && span_is(f->name, "key"); i++)
		if (m->truth[i] == OPEN && m->q->leaves[i].kind == LEAF_KEY &&
			pattern_is(&m->q->leaves[i].pat, f->text))
			m->truth[i] = TRUE_;
	hints_see(&m->hints, f);
	return true;
}

static void read_envelope(struct match *m)
{
	const struct proto *p = m->fields_read || !m->s->envelope.n ? NULL : proto_by_id(m->s->proto);

	m->fields_read = true;
	if (p && p->fields)
		p->fields(m->s->envelope, on_field, m);
}

static void look_at_envelope(struct match *m)
{
	bool needed = false;

	for (size_t i = 0; i < m->q->leaves_n && !needed; i++) {
		const struct leaf *l = &m->q->leaves[i];

		if (m->truth[i] == OPEN && (l->kind == LEAF_WORD || l->kind == LEAF_FIELD ||
						   l->kind == LEAF_HAS || l->kind == LEAF_KEY))
			needed = !l->literal.n || contains(m->s->envelope, l->literal) ||
				 may_be_rendered(l->literal);
	}
	if (needed)
		read_envelope(m);
}

static bool on_scalar(void *ctx, const struct scalar *s)
{
	struct match *m = ctx;

	scalar_seen(m, s->path, s->leaf, s->value);
	return eval(m, m->q->root) == OPEN;
}

static void look_into_body(struct match *m)
{
	bool needed = false;

	if (!m->s->body.n)
		return;
	for (size_t i = 0; i < m->q->leaves_n && !needed; i++) {
		const struct leaf *l = &m->q->leaves[i];

		if (m->truth[i] != OPEN)
			continue;
		if (l->kind == LEAF_WORD)
			needed = decodes_to_more(m, l->literal);
		else if (l->kind == LEAF_FIELD)
			needed = !l->literal.n || contains(m->s->body, l->literal) ||
				 decodes_to_more(m, l->literal);
		else
			needed = l->kind == LEAF_HAS;
	}
	if (needed)
		body_scalars(body_of(m), on_scalar, m);
}

static bool asks_payload(const struct match *m)
{
	for (size_t i = 0; i < m->q->leaves_n; i++) {
		enum leaf_kind k = m->q->leaves[i].kind;

		if (m->truth[i] == OPEN &&
			(k == LEAF_WORD || k == LEAF_FIELD || k == LEAF_HAS || k == LEAF_KEY))
			return true;
	}
	return false;
}

static void close_leaves(struct match *m)
{
	for (size_t i = 0; i < m->q->leaves_n; i++) {
		const struct leaf *l = &m->q->leaves[i];

		if (m->truth[i] != OPEN)
			continue;
		m->truth[i] = l->kind == LEAF_FIELD && l->op == CMP_NE && m->exists[i] && !m->equal[i];
	}
}

int subject_load(struct subject *s)
{
	bool again = s->loaded || !s->payload;

	s->loaded = true;
	return again ? 0 : s->payload(s->ctx, &s->envelope, &s->body);
}

int query_match(const struct query *q, struct subject *s)
{
	struct match m;
	int err;

	if (q->root < 0)
		return 1;
	m.q = q;
	m.s = s;
	memset(&m.hints, 0, sizeof(m.hints));
	m.fields_read = m.opened = m.hinted = false;
	memset(m.exists, 0, q->leaves_n);
	memset(m.equal, 0, q->leaves_n);
	look_at_columns(&m);
	err = eval(&m, q->root) == OPEN ? look_at_names(&m, NAMES_OF_MESSAGE) : 0;
	if (!err && eval(&m, q->root) == OPEN && asks_payload(&m)) {
		err = subject_load(s);
		if (!err)
			look_at_bytes(&m);
	}
	if (!err && eval(&m, q->root) == OPEN)
		err = look_at_names(&m, NAMES_OF_COPIES);
	if (!err && eval(&m, q->root) == OPEN)
		look_at_envelope(&m);
	if (!err && eval(&m, q->root) == OPEN)
		look_into_body(&m);
	close_leaves(&m);
	hints_free(&m.hints);
	if (m.opened)
		body_close(&m.body);
	return err ? err : eval(&m, q->root) == TRUE_;
}

/* --- showing --- */

static bool highlight(
	const struct query *q, int n, struct span body, struct span label, size_t *ret_at, size_t *ret_n)
{
	const struct node *node = &q->nodes[n];
	const struct leaf *l;
	size_t at, end;

	if (node->kind == NODE_AND || node->kind == NODE_OR)
		return highlight(q, node->a, body, label, ret_at, ret_n) ||
		       highlight(q, node->b, body, label, ret_at, ret_n);
	if (node->kind != NODE_LEAF)
		return false;
	l = &q->leaves[node->a];
	if (l->kind != LEAF_WORD && !(l->kind == LEAF_FIELD && l->op == CMP_EQ))
		return false;
	if (!l->literal.n || (l->kind == LEAF_WORD && pattern_find(&l->pat, label, false, NULL) != NOT_FOUND))
		return false;
	at = pattern_find(&l->pat, body, false, &end);
	if (at == NOT_FOUND) {
		at = span_find_folded(body, l->literal, 0);
		end = at + l->literal.n;
	}
	if (at == NOT_FOUND)
		return false;
	*ret_at = at;
	*ret_n = end - at;
	return true;
}

bool query_highlight(
	const struct query *q, struct span body, struct span label, size_t *ret_at, size_t *ret_n)
{
	return q->root >= 0 && highlight(q, q->root, body, label, ret_at, ret_n);
}
