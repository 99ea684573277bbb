/* Paths of scalars: built by the walkers, matched against what operators type. */
#include "extract/walk.h"

static void append(struct walk *w, const void *p, size_t n)
{
	if (n > sizeof(w->path) - w->n)
		n = sizeof(w->path) - w->n;
	if (!n)
		return;
	memcpy(w->path + w->n, p, n);
	w->n += (uint16_t)n;
}

void walk_push_name(struct walk *w, char sep, struct span name)
{
	if (w->n)
		append(w, &sep, 1);
	w->leaf = w->n;
	append(w, name.p, name.n);
}

void walk_push_index(struct walk *w, uint32_t index)
{
	char text[13];
	size_t at = sizeof(text);

	text[--at] = ']';
	do {
		text[--at] = (char)('0' + index % 10);
		index /= 10;
	} while (index);
	text[--at] = '[';
	append(w, text + at, sizeof(text) - at);
}

void walk_emit(struct walk *w, struct span value, enum scalar_type type)
{
	struct scalar s = {.path = span_of(w->path, w->n), .value = value, .type = type, .inside = w->inside};
	size_t end = w->n;

	if (w->stop || !w->fn)
		return;
	if (!w->left) {
		w->stop = w->full = true;
		return;
	}
	w->left--;
	while (end > w->leaf && w->path[end - 1] == ']') {
		size_t i = end - 1;

		while (i > w->leaf && w->path[i] != '[')
			i--;
		if (w->path[i] != '[')
			break;
		end = i;
	}
	if (end > w->leaf)
		s.leaf = span_of(w->path + w->leaf, end - w->leaf);
	if (!w->fn(w->ctx, &s))
		w->stop = true;
}

/* --- matching --- */

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* `*` stands for any bytes of one name. */
static bool name_glob(struct span name, struct span pat)
{
	size_t i = 0, k = 0, star = SIZE_MAX, back = 0;

	while (i < name.n) {
		if (k < pat.n && pat.p[k] == '*') {
			star = k++;
			back = i;
		} else if (k < pat.n && lower(pat.p[k]) == lower(name.p[i])) {
			i++;
			k++;
		} else if (star != SIZE_MAX) {
			k = star + 1;
			i = ++back;
		} else {
			return false;
		}
	}
	while (k < pat.n && pat.p[k] == '*')
		k++;
	return k == pat.n;
}

/* The part of @s before its indexes. */
static struct span without_index(struct span s)
{
	const uint8_t *open = s.n && s.p[s.n - 1] == ']' ? memchr(s.p, '[', s.n) : NULL;

	return open ? span_of(s.p, (size_t)(open - s.p)) : s;
}

/* Indexes are matched from the left: those that the pattern leaves out may be anything, [] and [*] are any.
 */
static bool index_matches(struct span idx, struct span pat)
{
	while (pat.n) {
		const uint8_t *pe = memchr(pat.p, ']', pat.n), *ie = idx.n ? memchr(idx.p, ']', idx.n) : NULL;
		size_t pn, in;

		if (!pe || !ie)
			return false;
		pn = (size_t)(pe - pat.p) + 1;
		in = (size_t)(ie - idx.p) + 1;
		if (pn != 2 && !(pn == 3 && pat.p[1] == '*') &&
			!span_eq(span_of(pat.p, pn), span_of(idx.p, in)))
			return false;
		pat = span_sub(pat, pn, SIZE_MAX);
		idx = span_sub(idx, in, SIZE_MAX);
	}
	return true;
}

static bool part_matches(struct span part, struct span pat)
{
	struct span name = without_index(part), pat_name = without_index(pat);

	return name_glob(name, pat_name) &&
	       index_matches(span_sub(part, name.n, SIZE_MAX), span_sub(pat, pat_name.n, SIZE_MAX));
}

/* Where the last part of @s begins: after the last dot, or after an '@' that stands behind a name (XML). */
static size_t last_part(struct span s)
{
	size_t i = s.n;

	while (i) {
		if (s.p[i - 1] == '.')
			return i;
		if (s.p[i - 1] == '@' && i > 1 && s.p[i - 2] != '.')
			return i;
		i--;
	}
	return 0;
}

bool path_matches(struct span path, struct span pattern)
{
	if (!path.n || !pattern.n)
		return false;
	for (;;) {
		size_t a = last_part(path), b = last_part(pattern);
		struct span part = span_sub(path, a, SIZE_MAX), pat = span_sub(pattern, b, SIZE_MAX);
		bool attr = a && path.p[a - 1] == '@';

		/* "@schemeID" alone asks for an attribute of any element */
		if (attr && !b && pat.n > 1 && pat.p[0] == '@')
			pat = span_sub(pat, 1, SIZE_MAX);
		if (!part_matches(part, pat))
			return false;
		if (!b)
			return true;
		if (!a || path.p[a - 1] != pattern.p[b - 1])
			return false;
		path.n = a - 1;
		pattern.n = b - 1;
	}
}
