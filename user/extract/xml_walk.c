/*
 * XML through expat, streaming. An element's text is a scalar "Invoice.Party.Name", an attribute
 * "Invoice.ID@schemeID"; name-space prefixes are left out. The second of several equal elements in a row gets
 * an index, "Invoice.InvoiceLine[1]"; the first has none, since nobody knows yet that more will come.
 *
 * Entities that the document itself declares are not expanded in text (expat does not, once a default handler
 * is set), and expat's own limit holds for those in attributes. Nothing outside of the document is read.
 */
#include "extract/walk.h"

#include <errno.h>
#include <expat.h>

#include "base/buf.h"

#define FEED (1 << 20) /* XML_Parse takes an int */

struct element {
	uint16_t path_n, leaf;
	bool children;      /* it has attributes or elements: an empty text is no scalar of its own */
	size_t text;        /* where its text begins in xml_walker.text */
	uint32_t last_name; /* hash of the last child's name */
	uint32_t index;     /* of that child among its equals in a row */
};

struct xml_walker {
	struct walk *w;
	XML_Parser parser;
	struct buf text; /* of all open elements, innermost last */
	unsigned depth;
	bool too_deep;
	struct element el[WALK_MAX_DEPTH + 1];
};

static struct span local_name(const char *name)
{
	const char *colon = strrchr(name, ':');

	return span_str(colon ? colon + 1 : name);
}

static void give(struct xml_walker *x, struct span value)
{
	walk_text(x->w, value);
	if (x->w->stop)
		XML_StopParser(x->parser, XML_FALSE);
}

/* The text that stands between two tags of one element. */
static void flush_text(struct xml_walker *x, bool at_end)
{
	struct element *e = &x->el[x->depth];
	struct span s = span_trim(span_sub(buf_span(&x->text), e->text, SIZE_MAX));

	if (x->depth && (s.n || (at_end && !e->children))) {
		x->w->n = e->path_n;
		x->w->leaf = e->leaf;
		give(x, s);
	}
	x->text.n = e->text;
}

/* FNV-1a: only neighbours are compared. */
static uint32_t name_hash(const char *s)
{
	uint32_t h = 2166136261u;

	while (*s)
		h = (h ^ (uint8_t)*s++) * 16777619u;
	return h;
}

static void attributes(struct xml_walker *x, const char **atts)
{
	struct element *e = &x->el[x->depth];

	for (; atts[0] && !x->w->stop; atts += 2) {
		if (!strncmp(atts[0], "xmlns", 5) || !strncmp(atts[0], "xsi:", 4))
			continue;
		e->children = true;
		x->w->n = e->path_n;
		walk_push_name(x->w, '@', local_name(atts[0]));
		give(x, span_trim(span_str(atts[1])));
	}
}

static void XMLCALL on_start(void *ctx, const char *name, const char **atts)
{
	struct xml_walker *x = ctx;
	struct element *parent = &x->el[x->depth], *e;
	uint32_t h = name_hash(name);

	flush_text(x, false);
	if (x->w->stop)
		return;
	if (x->depth == WALK_MAX_DEPTH) {
		x->too_deep = true;
		XML_StopParser(x->parser, XML_FALSE);
		return;
	}
	parent->children = true;
	parent->index = parent->last_name == h ? parent->index + 1 : 0;
	parent->last_name = h;

	x->w->n = parent->path_n;
	walk_push_name(x->w, '.', local_name(name));
	if (parent->index)
		walk_push_index(x->w, parent->index);
	e = &x->el[++x->depth];
	*e = (struct element){.path_n = x->w->n, .leaf = x->w->leaf, .text = x->text.n};
	attributes(x, atts);
}

static void XMLCALL on_end(void *ctx, const char *name)
{
	struct xml_walker *x = ctx;

	(void)name;
	flush_text(x, true);
	if (x->depth)
		x->depth--;
}

static void XMLCALL on_text(void *ctx, const char *s, int n)
{
	struct xml_walker *x = ctx;

	buf_put(&x->text, s, (size_t)n);
}

/* Its presence turns the expansion of entities off. */
static void XMLCALL on_other(void *ctx, const char *s, int n)
{
	(void)ctx;
	(void)s;
	(void)n;
}

/* The 8-bit sets that expat does not know are read as Latin-1: exact for all of ASCII, close for the rest. */
static int XMLCALL on_encoding(void *ctx, const char *name, XML_Encoding *enc)
{
	(void)ctx;
	if (strncasecmp(name, "windows-125", 11) && strncasecmp(name, "iso-8859-", 9) &&
		strncasecmp(name, "cp125", 5))
		return XML_STATUS_ERROR;
	for (int i = 0; i < 256; i++)
		enc->map[i] = i;
	enc->data = NULL;
	enc->convert = NULL;
	enc->release = NULL;
	return XML_STATUS_OK;
}

static int feed(struct xml_walker *x, struct span body)
{
	size_t n;

	do {
		n = body.n < FEED ? body.n : FEED;
		if (XML_Parse(x->parser, (const char *)body.p, (int)n, n == body.n) == XML_STATUS_ERROR)
			return x->w->stop && !x->too_deep ? 0 : -EBADMSG;
		body = span_sub(body, n, SIZE_MAX);
	} while (body.n);
	return buf_ok(&x->text) ? 0 : -ENOMEM;
}

int xml_walk(struct walk *w, struct span body)
{
	struct xml_walker x = {.w = w, .parser = XML_ParserCreate(NULL)};
	int err;

	x.el[0] = (struct element){.path_n = w->n, .leaf = w->leaf};
	if (!x.parser)
		return -ENOMEM;
	XML_SetUserData(x.parser, &x);
	XML_SetElementHandler(x.parser, on_start, on_end);
	XML_SetCharacterDataHandler(x.parser, on_text);
	XML_SetDefaultHandler(x.parser, on_other);
	XML_SetUnknownEncodingHandler(x.parser, on_encoding, NULL);
	/* white space before the declaration is an error; behind the document it is not, and may be UTF-16 */
	while (body.n > 1 && (*body.p == ' ' || *body.p == '\t' || *body.p == '\r' || *body.p == '\n'))
		body = span_sub(body, 1, SIZE_MAX);
	err = feed(&x, body);
	XML_ParserFree(x.parser);
	buf_free(&x.text);
	return err;
}
