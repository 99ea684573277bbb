/*
 * Avro schemas (specification 1.11): JSON to an array of types. Named types are entered before their fields
 * are read, so that they may hold themselves; what is read by them stays finite by the caps of the walker.
 *
 * Schemas come over the wire too, so all is capped: length, nesting, types. JSON is scanned, not built: an
 * object is gone through once for its attributes, whatever their order, and then for what they hold.
 */
#include "extract/avro.h"

#include <stdlib.h>

#include "base/hash.h"

#define MAX_TEXT  (64 * 1024)
#define MAX_DEPTH 32
#define MAX_TYPES 4096
#define MAX_PARTS 16384

/* --- JSON --- */

static void skip_space(struct span *s)
{
	while (s->n && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n'))
		*s = span_sub(*s, 1, SIZE_MAX);
}

/* The length of the string at the start of @s with its quotes; 0 when it does not end. */
static size_t string_len(struct span s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return i + 1;
	}
	return 0;
}

/* Takes the value at the start of *@s: what is inside of brackets is only checked for their balance. */
static bool take_value(struct span *s, struct span *ret)
{
	size_t i = 0;
	unsigned open = 0;

	skip_space(s);
	while (i < s->n) {
		uint8_t c = s->p[i];

		if (c == '"') {
			size_t n = string_len(span_sub(*s, i, SIZE_MAX));

			if (!n)
				return false;
			i += n;
			if (!open)
				break;
			continue;
		}
		if (c == '{' || c == '[')
			open++;
		else if (!open && (c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' ||
					  c == '\t'))
			break;
		i++;
		if ((c == '}' || c == ']') && !--open)
			break;
	}
	if (!i || open)
		return false;
	*ret = span_sub(*s, 0, i);
	*s = span_sub(*s, i, SIZE_MAX);
	return true;
}

/* The next element behind '[' or a comma; false at the end, or at what is no JSON: then *@bad. */
static bool next_element(struct span *s, struct span *ret, bool *bad)
{
	skip_space(s);
	if (s->n && (*s->p == ',' || *s->p == '[' || *s->p == '{'))
		*s = span_sub(*s, 1, SIZE_MAX);
	skip_space(s);
	if (!s->n || *s->p == ']' || *s->p == '}')
		return false;
	if (take_value(s, ret))
		return true;
	*bad = true;
	return false;
}

static bool next_member(struct span *s, struct span *ret_key, struct span *ret, bool *bad)
{
	if (!next_element(s, ret_key, bad))
		return false;
	skip_space(s);
	if (ret_key->n < 2 || ret_key->p[0] != '"' || !s->n || *s->p != ':') {
		*bad = true;
		return false;
	}
	*ret_key = span_sub(*ret_key, 1, ret_key->n - 2);
	*s = span_sub(*s, 1, SIZE_MAX);
	if (take_value(s, ret))
		return true;
	*bad = true;
	return false;
}

static struct span unquoted(struct span v)
{
	return v.n >= 2 && v.p[0] == '"' ? span_sub(v, 1, v.n - 2) : SPAN_EMPTY;
}

static uint32_t number(struct span v, uint32_t max)
{
	uint64_t n = 0;

	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return UINT32_MAX;
		n = n * 10 + (uint64_t)(v.p[i] - '0');
		if (n > max)
			return UINT32_MAX;
	}
	return v.n ? (uint32_t)n : UINT32_MAX;
}

/* --- types --- */

struct attributes {
	struct span type, name, space, fields, items, values, symbols, size, logical, scale;
};

struct named {
	uint64_t hash;
	uint32_t type;
};

struct listed {
	struct avro_part part;
	uint32_t next; /* 0: the last */
};

struct parser {
	struct avro *a;
	struct named *named;
	struct listed *listed; /* parts as they come: those of a nested type lie between its owner's */
	uint32_t nnamed, nlisted;
	bool bad;
};

#define NONE UINT32_MAX

static uint32_t parse(struct parser *p, struct span v, struct span space, unsigned depth);

static uint32_t add_type(struct parser *p, enum avro_kind kind)
{
	if (p->a->types == MAX_TYPES) {
		p->bad = true;
		return NONE;
	}
	p->a->type[p->a->types] = (struct avro_type){.kind = (uint8_t)kind};
	return p->a->types++;
}

/* Behind @last, which belongs to the same type (0: the first of @type). Returns its place. */
static uint32_t add_part(struct parser *p, uint32_t owner, uint32_t last, struct span name, uint32_t type)
{
	uint32_t at = p->nlisted;

	if (type == NONE || at == MAX_PARTS) {
		p->bad = true;
		return 0;
	}
	p->listed[at] = (struct listed){{name, type}, 0};
	p->nlisted++;
	if (last)
		p->listed[last].next = at;
	else
		p->a->type[owner].part = at;
	p->a->type[owner].parts++;
	return at;
}

/* Of "space.name", or of @name alone when it has dots itself or there is no space. */
static uint64_t full_hash(struct span space, struct span name)
{
	uint64_t h = 0;

	if (space.n && name.n && !memchr(name.p, '.', name.n))
		h = hash_span(space, 1) | 1;
	return hash_span(name, h);
}

/* "a.b.C" is C in space a.b */
static void split_name(struct span *space, struct span *name)
{
	for (size_t i = name->n; i-- > 0;)
		if (name->p[i] == '.') {
			*space = span_sub(*name, 0, i);
			*name = span_sub(*name, i + 1, SIZE_MAX);
			return;
		}
}

static uint32_t find_named(struct parser *p, struct span space, struct span name)
{
	uint64_t hash = full_hash(space, name);

	for (uint32_t i = p->nnamed; i-- > 0;)
		if (p->named[i].hash == hash)
			return p->named[i].type;
	return NONE;
}

static uint32_t by_name(struct parser *p, struct span space, struct span name)
{
	static const char *const primitives[] = {
		"null", "boolean", "int", "long", "float", "double", "bytes", "string"};
	uint32_t t;

	for (size_t i = 0; i < ARRAY_LEN(primitives); i++)
		if (span_is(name, primitives[i]))
			return (uint32_t)i; /* the first types of every schema */
	if (!name.n)
		return NONE;
	if (memchr(name.p, '.', name.n))
		split_name(&space, &name);
	t = find_named(p, space, name);
	return t != NONE ? t : find_named(p, SPAN_EMPTY, name);
}

static bool read_attributes(struct span v, struct attributes *a)
{
	struct span key, value;
	bool bad = false;

	*a = (struct attributes){0};
	while (next_member(&v, &key, &value, &bad)) {
		struct span *to = span_is(key, "type")          ? &a->type
				  : span_is(key, "name")        ? &a->name
				  : span_is(key, "namespace")   ? &a->space
				  : span_is(key, "fields")      ? &a->fields
				  : span_is(key, "items")       ? &a->items
				  : span_is(key, "values")      ? &a->values
				  : span_is(key, "symbols")     ? &a->symbols
				  : span_is(key, "size")        ? &a->size
				  : span_is(key, "logicalType") ? &a->logical
				  : span_is(key, "scale")       ? &a->scale
								: NULL;

		if (to)
			*to = value;
	}
	return !bad;
}

static void fields(struct parser *p, uint32_t owner, struct span list, struct span space, unsigned depth)
{
	struct span v;
	uint32_t last = 0;

	if (!list.n || list.p[0] != '[')
		p->bad = true;
	while (!p->bad && next_element(&list, &v, &p->bad)) {
		struct attributes a;

		if (v.p[0] != '{' || !read_attributes(v, &a) || !unquoted(a.name).n)
			p->bad = true;
		else
			last = add_part(p, owner, last, unquoted(a.name), parse(p, a.type, space, depth + 1));
	}
}

static void symbols(struct parser *p, uint32_t owner, struct span list)
{
	struct span v;
	uint32_t last = 0;

	while (!p->bad && next_element(&list, &v, &p->bad))
		last = add_part(p, owner, last, unquoted(v), 0);
}

/* record, error, enum, fixed: what has a name. */
static uint32_t named_type(
	struct parser *p, enum avro_kind kind, const struct attributes *a, struct span space, unsigned depth)
{
	struct span name = unquoted(a->name);
	uint32_t t = add_type(p, kind);

	if (unquoted(a->space).n)
		space = unquoted(a->space);
	split_name(&space, &name);
	if (t == NONE || !name.n) {
		p->bad = true;
		return NONE;
	}
	p->named[p->nnamed++] = (struct named){full_hash(space, name), t};
	if (kind == AVRO_RECORD) {
		fields(p, t, a->fields, space, depth);
	} else if (kind == AVRO_ENUM) {
		symbols(p, t, a->symbols);
	} else {
		p->a->type[t].size = number(a->size, 1 << 30);
		p->bad |= p->a->type[t].size == UINT32_MAX;
	}
	return t;
}

static uint32_t container(
	struct parser *p, enum avro_kind kind, struct span element, struct span space, unsigned depth)
{
	uint32_t t = add_type(p, kind);

	if (t != NONE)
		add_part(p, t, 0, SPAN_EMPTY, parse(p, element, space, depth + 1));
	return t;
}

static uint32_t union_of(struct parser *p, struct span list, struct span space, unsigned depth)
{
	uint32_t t = add_type(p, AVRO_UNION), last = 0;
	struct span v;

	while (t != NONE && !p->bad && next_element(&list, &v, &p->bad))
		last = add_part(p, t, last, SPAN_EMPTY, parse(p, v, space, depth + 1));
	return t;
}

/* Only decimals read differently for their logical type; times stay numbers. */
static uint32_t annotated(struct parser *p, const struct attributes *a, uint32_t t)
{
	struct avro_type *type = t == NONE ? NULL : &p->a->type[t];
	uint32_t scale;

	if (!type || !span_is(unquoted(a->logical), "decimal") ||
		(type->kind != AVRO_BYTES && type->kind != AVRO_FIXED))
		return t;
	scale = a->scale.n ? number(a->scale, 1000) : 0;
	if (type->kind == AVRO_BYTES) {
		t = add_type(p, AVRO_BYTES);
		type = t == NONE ? NULL : &p->a->type[t];
	}
	if (type && scale != UINT32_MAX) {
		type->decimal = true;
		type->scale = (uint16_t)scale;
	}
	return t;
}

static uint32_t object(struct parser *p, struct span v, struct span space, unsigned depth)
{
	struct attributes a;
	struct span kind;

	if (!read_attributes(v, &a) || !a.type.n) {
		p->bad = true;
		return NONE;
	}
	kind = unquoted(a.type);
	if (span_is(kind, "record") || span_is(kind, "error"))
		return named_type(p, AVRO_RECORD, &a, space, depth);
	if (span_is(kind, "enum"))
		return named_type(p, AVRO_ENUM, &a, space, depth);
	if (span_is(kind, "fixed"))
		return annotated(p, &a, named_type(p, AVRO_FIXED, &a, space, depth));
	if (span_is(kind, "array"))
		return container(p, AVRO_ARRAY, a.items, space, depth);
	if (span_is(kind, "map"))
		return container(p, AVRO_MAP, a.values, space, depth);
	return annotated(p, &a, parse(p, a.type, space, depth + 1));
}

static uint32_t parse(struct parser *p, struct span v, struct span space, unsigned depth)
{
	uint32_t t = NONE;

	if (!p->bad && v.n && depth < MAX_DEPTH) {
		if (v.p[0] == '"')
			t = by_name(p, space, unquoted(v));
		else if (v.p[0] == '[')
			t = union_of(p, v, space, depth);
		else if (v.p[0] == '{')
			t = object(p, v, space, depth);
	}
	p->bad |= t == NONE;
	return t;
}

/* The parts of each type beside each other, so that the walker finds a branch or symbol at once. */
static bool lay_out(struct parser *p)
{
	struct avro *a = p->a;

	a->part = calloc(p->nlisted + 1u, sizeof(*a->part));
	for (uint32_t t = 0; a->part && t < a->types; t++) {
		uint32_t at = a->type[t].part, first = a->parts;

		for (uint32_t i = 0; i < a->type[t].parts; i++, at = p->listed[at].next)
			a->part[a->parts++] = p->listed[at].part;
		a->type[t].part = first;
	}
	return a->part;
}

struct avro *avro__parse(struct span text)
{
	struct avro *a = text.n && text.n <= MAX_TEXT ? calloc(1, sizeof(*a)) : NULL;
	struct parser p = {.a = a, .nlisted = 1}; /* place 0 says "none" */
	struct span v, root;
	bool ok = false;

	if (!a)
		return NULL;
	buf_put_span(&a->text, text);
	a->type = calloc(MAX_TYPES, sizeof(*a->type));
	p.named = calloc(MAX_TYPES, sizeof(*p.named));
	p.listed = calloc(MAX_PARTS, sizeof(*p.listed));
	if (buf_ok(&a->text) && a->type && p.named && p.listed) {
		struct avro_type *fit;

		for (int k = AVRO_NULL; k <= AVRO_STRING; k++)
			add_type(&p, (enum avro_kind)k);
		v = buf_span(&a->text);
		if (take_value(&v, &root))
			skip_space(&v);
		else
			root = SPAN_EMPTY;
		/* a primitive may stand without quotes where somebody typed it */
		a->root = v.n || !root.n ? NONE
			  : root.p[0] != '"' && root.p[0] != '{' && root.p[0] != '['
				  ? by_name(&p, SPAN_EMPTY, root)
				  : parse(&p, root, SPAN_EMPTY, 0);
		ok = !p.bad && a->root != NONE && lay_out(&p);
		fit = ok ? realloc(a->type, a->types * sizeof(*fit)) : NULL;
		if (fit)
			a->type = fit;
	}
	free(p.named);
	free(p.listed);
	if (ok)
		return a;
	avro__free(a);
	return NULL;
}

void avro__free(struct avro *a)
{
	if (!a)
		return;
	free(a->type);
	free(a->part);
	buf_free(&a->text);
	free(a);
}
