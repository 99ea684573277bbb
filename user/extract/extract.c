/* Which scalars of a body are identifiers? */
#include "extract/walk.h"

#include <strings.h>

#include "base/hash.h"

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* --- selection --- */

#define ID_MAX       32
#define ID_MAX_INDEX 8 /* array elements beyond it are more of the same */
#define URL_PARTS    8

struct candidate {
	uint64_t hash;
	uint32_t rank; /* how deep it stood, and in what; then the order in the document */
	uint16_t name_n;
	uint8_t value_n, cls;
	char name[WALK_MAX_PATH];
	char value[ID_MAX_VALUE];
};

struct selection {
	unsigned n;
	uint32_t seen;
	uint32_t worst; /* index of the highest rank, when full */
	bool words;     /* plain text: a word without a name must be worth joining */
	struct candidate c[ID_MAX];
};

static void find_worst(struct selection *sel)
{
	sel->worst = 0;
	for (unsigned i = 1; i < sel->n; i++)
		if (sel->c[i].rank > sel->c[sel->worst].rank)
			sel->worst = i;
}

/* Penalties in levels of depth: a weak value counts as if it stood two levels deeper, a part of a URL
 * likewise. */
static void keep(
	struct selection *sel, unsigned depth, struct span name, struct span value, enum id_class cls)
{
	unsigned level = depth + (cls == ID_WEAK ? 2 : 0);
	uint32_t order = sel->seen < 0xffffff ? sel->seen++ : sel->seen, rank;
	uint64_t hash = hash_span(value, 0);
	struct candidate *c = NULL;

	rank = (level < 255 ? level : 255) << 24 | order;
	if (sel->n == ID_MAX && rank > sel->c[sel->worst].rank)
		return;
	for (unsigned i = 0; i < sel->n && !c; i++)
		if (sel->c[i].hash == hash)
			c = &sel->c[i];
	if (c && c->rank < rank)
		return;
	if (!c)
		c = &sel->c[sel->n < ID_MAX ? sel->n++ : sel->worst];
	c->hash = hash;
	c->rank = rank;
	c->cls = (uint8_t)cls;
	c->name_n = (uint16_t)(name.n < sizeof(c->name) ? name.n : sizeof(c->name));
	c->value_n = (uint8_t)value.n;
	if (name.n)
		memcpy(c->name, name.p, c->name_n);
	memcpy(c->value, value.p, value.n);
	if (sel->n == ID_MAX)
		find_worst(sel);
}

/* Dots are depth; false when an index lies beyond what is looked at. */
static bool measure_path(struct span path, unsigned *ret_depth, bool *ret_in_array)
{
	unsigned depth = 0;

	*ret_in_array = false;
	for (size_t i = 0; i < path.n; i++) {
		if (path.p[i] == '.') {
			depth++;
		} else if (path.p[i] == '[') {
			unsigned v = 0;

			for (i++; i < path.n && is_digit(path.p[i]) && v < 1000; i++)
				v = v * 10 + (path.p[i] - '0');
			if (v >= ID_MAX_INDEX)
				return false;
			*ret_in_array = true;
		}
	}
	*ret_depth = depth;
	return true;
}

/* "https://host/a/b", "urn:x:y", "/a/b", "order:4711": values that are made of parts. */
static bool has_parts(struct span v)
{
	if (v.n < 4 || memchr(v.p, ' ', v.n))
		return false;
	if (v.p[0] == '/')
		return true;
	if (v.n == 45 && !strncasecmp((const char *)v.p, "urn:uuid:", 9))
		return false; /* one value in a dress of its own */
	return (v.p[0] | 0x20) >= 'a' && (v.p[0] | 0x20) <= 'z' && memchr(v.p, ':', v.n);
}

struct parts {
	struct selection *sel;
	unsigned depth;
	struct span path; /* of the whole value */
	unsigned n, kept;
};

/* Keeps @part as "path#<n>" or "path#q.<key>" if it would join. @leaf: what stands before it, or its key. */
static void keep_part(struct parts *u, struct span leaf, struct span part, bool query)
{
	char out[ID_MAX_VALUE], name[WALK_MAX_PATH];
	size_t n, name_n;

	if (classify(leaf, part, SCALAR_STRING, out, &n) != ID_JOIN)
		return;
	name_n = u->path.n < sizeof(name) - 80 ? u->path.n : sizeof(name) - 80;
	memcpy(name, u->path.p, name_n);
	name[name_n++] = '#';
	if (query) {
		leaf.n = leaf.n < 64 ? leaf.n : 64;
		memcpy(name + name_n, "q.", 2);
		memcpy(name + name_n + 2, leaf.p, leaf.n);
		name_n += 2 + leaf.n;
	} else {
		memcpy(name + name_n, "path[", 5);
		name[name_n + 5] = (char)('0' + u->n);
		name[name_n + 6] = ']';
		name_n += 7;
	}
	keep(u->sel, u->depth + 2, span_of(name, name_n), span_of(out, n), ID_JOIN);
	u->kept++;
}

/* Splits at / ? & = : # , ; |, host and scheme left out; returns how many parts were kept. */
static unsigned keep_parts(struct selection *sel, unsigned depth, struct span path, struct span v)
{
	struct parts u = {.sel = sel, .depth = depth, .path = path};
	struct span last = span_str("");
	bool query = false;
	size_t i = 0;

	for (size_t k = 0; k + 3 < v.n && !i; k++)
		if (!memcmp(v.p + k, "://", 3))
			for (i = k + 3; i < v.n && v.p[i] != '/' && v.p[i] != '?'; i++)
				;
	while (i < v.n && u.n < URL_PARTS) {
		size_t start = i;
		struct span part;

		while (i < v.n && !memchr("/?&=:#,;|", v.p[i], 9))
			i++;
		part = span_of(v.p + start, i - start);
		if (i < v.n && v.p[i] == '=') {
			query = true;
		} else if (part.n) {
			keep_part(&u, last, part, query);
			query = false;
			u.n++;
		}
		last = part;
		i++;
	}
	return u.kept;
}

static bool on_scalar(void *ctx, const struct scalar *s)
{
	struct selection *sel = ctx;
	char out[ID_MAX_VALUE];
	enum id_class cls;
	unsigned depth;
	bool in_array;
	size_t n;
	struct span v = s->type == SCALAR_STRING ? span_trim(s->value) : s->value;

	if (!measure_path(s->path, &depth, &in_array))
		return true;
	if (s->type == SCALAR_STRING && v.n <= 2048 && has_parts(v) && keep_parts(sel, depth, s->path, v))
		return true;
	cls = classify(s->leaf, v, s->type, out, &n);
	/* in an array a small number counts lines, whatever its name */
	if (cls == ID_JOIN && in_array && n < 3 && is_digit((uint8_t)out[0]))
		cls = ID_WEAK;
	if (cls == ID_NONE || (cls == ID_WEAK && !s->path.n && sel->words))
		return true;
	keep(sel, depth, s->path, span_of(out, n), cls);
	return true;
}

/* By insertion: 32 at most, nearly in order. */
static void sort_by_rank(const struct selection *sel, uint8_t *order)
{
	for (unsigned i = 0; i < sel->n; i++) {
		unsigned k = i;

		for (; k && sel->c[order[k - 1]].rank > sel->c[i].rank; k--)
			order[k] = order[k - 1];
		order[k] = (uint8_t)i;
	}
}

/* Words without names, of which not each is worth keeping. */
static bool gives_words(const struct body *b)
{
	uint64_t id;

	return b->format == BODY_TEXT || b->format == BODY_PICKLE ||
	       (b->format == BODY_AVRO && avro_standing(b->bytes, &id) != AVRO_READ);
}

int extract_body(struct span bytes, const struct body_hints *hints, identifier_fn fn, void *ctx)
{
	struct selection sel;
	struct body body;
	uint8_t order[ID_MAX];
	int err;

	body_open(&body, bytes, hints);
	sel.n = sel.seen = sel.worst = 0;
	sel.words = gives_words(&body);
	err = body_scalars(&body, on_scalar, &sel);
	body_close(&body);
	sort_by_rank(&sel, order);
	for (unsigned i = 0; i < sel.n; i++) {
		const struct candidate *c = &sel.c[order[i]];
		struct identifier id = {span_of(c->name, c->name_n), span_of(c->value, c->value_n),
			PLACE_BODY, (enum id_class)c->cls, c->hash};

		if (!fn(ctx, &id))
			return 0;
	}
	return err;
}
