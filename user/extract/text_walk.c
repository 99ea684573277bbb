/*
 * Bodies with little grammar: form data, plain text, and EDIFACT interchanges, whose elements stand between
 * separators.
 */
#include "extract/walk.h"

#include <errno.h>

#include "base/buf.h"

struct span span_trim(struct span s)
{
	while (s.n && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r')))
		s = span_of(s.p + 1, s.n - 1);
	while (s.n && (s.p[s.n - 1] == ' ' || (s.p[s.n - 1] >= '\t' && s.p[s.n - 1] <= '\r')))
		s.n--;
	return s;
}

static void give(struct walk *w, struct span name, struct span value)
{
	w->n = 0;
	w->leaf = 0;
	walk_push_name(w, '.', name);
	walk_text(w, value);
	w->n = 0;
}

/* --- application/x-www-form-urlencoded --- */

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes percent-encoding; a '%' that begins none stays. */
static struct span percent_decode(struct buf *b, struct span s)
{
	if (!s.n || (!memchr(s.p, '%', s.n) && !memchr(s.p, '+', s.n)))
		return s;
	buf_clear(b);
	for (size_t i = 0; i < s.n; i++) {
		int hi, lo;

		if (s.p[i] == '%' && i + 2 < s.n && (hi = hex_digit(s.p[i + 1])) >= 0 &&
			(lo = hex_digit(s.p[i + 2])) >= 0) {
			buf_putc(b, (char)(hi << 4 | lo));
			i += 2;
		} else {
			buf_putc(b, s.p[i] == '+' ? ' ' : (char)s.p[i]);
		}
	}
	return buf_ok(b) ? buf_span(b) : SPAN_EMPTY;
}

/* The part of *@s before the first byte of @set, which is taken off *@s together with that byte. */
static struct span cut(struct span *s, const char *set)
{
	size_t i = 0;
	struct span head;

	while (i < s->n && !(s->p[i] && strchr(set, s->p[i])))
		i++;
	head = span_of(s->p, i);
	*s = span_sub(*s, i + 1, SIZE_MAX);
	return head;
}

int form_walk(struct walk *w, struct span body)
{
	struct buf name = {0}, text = {0};

	body = span_trim(body);
	while (body.n && !w->stop) {
		struct span pair = cut(&body, "&"), key = cut(&pair, "=");

		if (key.n)
			give(w, percent_decode(&name, key), percent_decode(&text, pair));
	}
	buf_free(&name);
	buf_free(&text);
	return 0;
}

/* --- EDIFACT --- */

struct edi {
	char component, element, release, segment;
};

/* ISO 9735: UNA, where there is one, names the separators; else they are these. */
static bool edi_begins(struct span body, struct edi *ret)
{
	*ret = (struct edi){':', '+', '?', '\''};
	if (span_starts(body, "UNA") && body.n >= 9) {
		*ret = (struct edi){(char)body.p[3], (char)body.p[4], (char)body.p[6], (char)body.p[8]};
		return true;
	}
	return span_starts(body, "UNB+") || span_starts(body, "UNH+");
}

/* Reads up to the next separator, undoing releases; false at the end of the body. */
static bool edi_component(const struct edi *e, struct span *body, struct buf *text, uint8_t *ret_sep)
{
	buf_clear(text);
	for (size_t i = 0; i < body->n; i++) {
		uint8_t c = body->p[i];

		if (c == (uint8_t)e->release && c != ' ' && i + 1 < body->n) {
			c = body->p[++i];
		} else if (c == (uint8_t)e->component || c == (uint8_t)e->element ||
			   c == (uint8_t)e->segment) {
			*ret_sep = c;
			*body = span_sub(*body, i + 1, SIZE_MAX);
			return true;
		}
		buf_putc(text, (char)c);
	}
	return false;
}

/*
 * A component's value is a scalar "BGM[2]": the segment's tag and the element's number, components of one
 * element alike.
 */
static int edi_walk(struct walk *w, struct span body, const struct edi *e)
{
	struct buf text = {0}, tag = {0};
	unsigned element = 0;
	uint8_t sep;

	if (span_starts(body, "UNA"))
		body = span_sub(body, 9, SIZE_MAX);
	while (!w->stop && edi_component(e, &body, &text, &sep)) {
		struct span value = span_trim(buf_span(&text));

		if (!element && !tag.n) {
			buf_put_span(&tag, value);
		} else if (value.n) {
			w->leaf = 0;
			walk_push_name(w, '.', buf_span(&tag));
			walk_push_index(w, element);
			walk_emit(w, value, SCALAR_STRING);
			w->n = 0;
		}
		if (sep == (uint8_t)e->element)
			element++;
		if (sep == (uint8_t)e->segment) {
			buf_clear(&tag);
			element = 0;
		}
	}
	buf_free(&text);
	buf_free(&tag);
	return w->stop || !span_trim(body).n ? 0 : -EBADMSG;
}

/* --- text --- */

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* May stand in a name, other than at its ends. */
static bool is_name(uint8_t c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '-' ||
	       c == '.' || c >= 0x80;
}

static bool ends_word(uint8_t c)
{
	return is_space(c) || (c && strchr(",;()[]{}<>\"'|", c));
}

/* The value behind "key=" or "key: ": a quoted text, or a word; moves *@i behind it. */
static struct span pair_value(struct span s, size_t *i)
{
	size_t start = *i, end;

	if (start < s.n && (s.p[start] == '"' || s.p[start] == '\'')) {
		const uint8_t *q = memchr(s.p + start + 1, s.p[start], s.n - start - 1);

		if (q) {
			end = (size_t)(q - s.p);
			*i = end + 1;
			return span_sub(s, start + 1, end - start - 1);
		}
	}
	for (end = start; end < s.n && !ends_word(s.p[end]); end++)
		;
	*i = end;
	while (end > start && (s.p[end - 1] == '.' || s.p[end - 1] == ':'))
		end--;
	return span_sub(s, start, end - start);
}

/* "Name: the rest of the line" */
static void line_pair(struct walk *w, struct span line)
{
	size_t n = 0, value;
	struct span rest;

	while (n < line.n && is_name(line.p[n]))
		n++;
	if (!n || n + 1 >= line.n || line.p[n] != ':' || !is_space(line.p[n + 1]))
		return;
	rest = span_trim(span_sub(line, n + 1, SIZE_MAX));
	for (value = 0; value < rest.n && !is_space(rest.p[value]); value++)
		;
	if (value < rest.n) /* a single word is given out as a pair below */
		give(w, span_of(line.p, n), rest);
}

static void text_line(struct walk *w, struct span s)
{
	size_t i = 0;

	line_pair(w, s);
	while (i < s.n && !w->stop) {
		size_t start = i, end;

		if (ends_word(s.p[i])) {
			i++;
			continue;
		}
		while (i < s.n && is_name(s.p[i]))
			i++;
		if (i > start && i < s.n &&
			(s.p[i] == '=' || (s.p[i] == ':' && i + 1 < s.n && is_space(s.p[i + 1])))) {
			struct span name = span_of(s.p + start, i - start);

			for (i++; i < s.n && is_space(s.p[i]); i++)
				;
			if (i < s.n)
				give(w, name, pair_value(s, &i));
			continue;
		}
		while (i < s.n && !ends_word(s.p[i]))
			i++;
		for (end = i; end > start && (s.p[end - 1] == '.' || s.p[end - 1] == ':'); end--)
			;
		if (end > start)
			give(w, SPAN_EMPTY, span_of(s.p + start, end - start));
	}
}

int text_walk(struct walk *w, struct span body)
{
	struct edi e;

	if (edi_begins(body, &e))
		return edi_walk(w, body, &e);
	while (body.n && !w->stop)
		text_line(w, span_trim(cut(&body, "\n")));
	return 0;
}
