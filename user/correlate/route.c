/*
 * Which queues a publish reaches: the broker's routing over the bindings that we know (AMQP 0-9-1, 3.1.3, and
 * RabbitMQ's exchange-to-exchange bindings, alternate exchanges, CC and BCC). Results are kept until the
 * topology changes.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "correlate/model.h"

#define CACHED_ROUTES 65536
#define MAX_HEADERS   128

struct cached_route {
	uint64_t seq;
	struct exchange *e;
	struct str *key;
	bool complete;
	uint32_t n;
	struct queue *q[];
};

/* --- headers exchanges --- */

struct header {
	struct span name, text;
	enum field_type type;
};

struct header_match {
	bool any, with_x;
	unsigned n;
	struct header h[MAX_HEADERS];
};

struct headers {
	unsigned n;
	struct header h[MAX_HEADERS];
	size_t used;
	char text[16384]; /* what does not fit cannot be matched: see read_header() */
	bool overflow;
};

static bool keep(struct headers *h, struct span s, struct span *ret)
{
	if (s.n > sizeof(h->text) - h->used)
		return false;
	if (s.n)
		memcpy(h->text + h->used, s.p, s.n);
	*ret = span_of(h->text + h->used, s.n);
	h->used += s.n;
	return true;
}

static bool read_header(void *ctx, const struct field *f)
{
	struct headers *h = ctx;
	struct header *e = &h->h[h->n];

	if (!span_starts(f->name, "header."))
		return true;
	if (h->n == MAX_HEADERS || !keep(h, span_sub(f->name, 7, f->name.n), &e->name) ||
		!keep(h, f->text, &e->text)) {
		h->overflow = true;
		return false;
	}
	e->type = f->type;
	h->n++;
	return true;
}

struct match_ctx {
	struct header_match *m;
	struct headers text; /* names and values move here: a field lives only for its call */
};

static bool read_match(void *ctx, const struct field *f)
{
	struct match_ctx *x = ctx;
	struct header *e = &x->m->h[x->m->n];

	if (span_is(f->name, "x-match")) {
		x->m->any = span_starts(f->text, "any");
		x->m->with_x = span_is(f->text, "any-with-x") || span_is(f->text, "all-with-x");
		return true;
	}
	if (x->m->n == MAX_HEADERS || !keep(&x->text, f->name, &e->name) ||
		!keep(&x->text, f->text, &e->text))
		return false;
	e->type = f->type;
	x->m->n++;
	return true;
}

/* The match with its texts behind it, in one allocation. */
static struct header_match *match_read(const struct proto *p, const struct binding *b)
{
	struct match_ctx *x = calloc(1, sizeof(*x));
	struct header_match *m = calloc(1, sizeof(*m)), *grown;
	char *text;

	if (!x || !m) {
		free(x);
		free(m);
		return NULL;
	}
	x->m = m;
	if (p && p->args)
		p->args(str_span(b->args), read_match, x);
	grown = realloc(m, sizeof(*m) + x->text.used);
	if (grown) {
		text = (char *)(grown + 1);
		memcpy(text, x->text.text, x->text.used);
		for (unsigned i = 0; i < grown->n; i++) {
			struct header *h = &grown->h[i];

			h->name.p = (uint8_t *)text + ((char *)h->name.p - x->text.text);
			h->text.p = (uint8_t *)text + ((char *)h->text.p - x->text.text);
		}
	} else {
		free(m);
	}
	free(x);
	return grown;
}

void binding_free_match(struct binding *b)
{
	free(b->match);
	b->match = NULL;
}

static bool header_agrees(const struct headers *h, const struct header *want)
{
	for (unsigned i = 0; i < h->n; i++) {
		if (!span_eq(h->h[i].name, want->name))
			continue;
		/* A void value asks only that the header is there. */
		return want->type == FIELD_NULL || span_eq(h->h[i].text, want->text);
	}
	return false;
}

static bool headers_match(const struct header_match *m, const struct headers *h)
{
	for (unsigned i = 0; i < m->n; i++) {
		if (!m->with_x && span_starts(m->h[i].name, "x-"))
			continue;
		if (header_agrees(h, &m->h[i]) == m->any)
			return m->any;
	}
	return !m->any;
}

/* --- topic exchanges --- */

struct words {
	struct span rest;
	bool end;
};

/* An empty key has no words, "a." has two. */
static struct words words_of(struct span s)
{
	return (struct words){s, !s.n};
}

static struct span word_next(struct words *w)
{
	const uint8_t *dot = memchr(w->rest.p, '.', w->rest.n);
	struct span word = span_of(w->rest.p, dot ? (size_t)(dot - w->rest.p) : w->rest.n);

	w->end = !dot;
	w->rest = dot ? span_of(dot + 1, w->rest.n - word.n - 1) : SPAN_EMPTY;
	return word;
}

/* Words with * for one and # for any number: the glob of shells, one level up. Only the last # needs to be
 * tried again, so no pattern takes more than words(pattern) x words(key) steps. */
bool topic_matches(struct span pattern, struct span key)
{
	struct words p = words_of(pattern), k = words_of(key), back_p = {.end = true}, back_k = {0};
	bool have_back = false;

	while (!k.end || !p.end) {
		struct words p1 = p, k1 = k;
		struct span w = SPAN_EMPTY;

		if (!p.end) {
			w = word_next(&p1);
			if (span_is(w, "#")) {
				have_back = true;
				back_p = p1;
				back_k = k;
				p = p1;
				continue;
			}
			if (!k.end && (span_eq(word_next(&k1), w) || span_is(w, "*"))) {
				p = p1;
				k = k1;
				continue;
			}
		}
		if (!have_back || back_k.end)
			return false;
		word_next(&back_k);
		p = back_p;
		k = back_k;
	}
	return true;
}

/* --- routing --- */

struct routing {
	struct correlator *c;
	struct space *s;
	const struct span *keys;
	unsigned nkeys;
	const struct op *op;
	struct headers *headers; /* read when the first headers exchange asks */
	struct reached *out;
	int err;
};

static void reach(struct routing *r, struct queue *q)
{
	struct reached *out = r->out;

	if (q->mark == r->c->route_mark || q->deleted || q->stale || r->err)
		return;
	q->mark = r->c->route_mark;
	if (out->n == MAX_REACHED) {
		out->complete = false;
		return;
	}
	if (out->n == out->cap) {
		size_t cap = out->cap ? out->cap * 2 : 16;
		struct queue **grown = realloc(out->q, cap * sizeof(*grown));

		if (!grown) {
			r->err = -ENOMEM;
			return;
		}
		out->q = grown;
		out->cap = cap;
	}
	out->q[out->n++] = q;
}

static bool matches_headers(struct routing *r, struct binding *b)
{
	r->out->cacheable = false;
	if (!b->match)
		b->match = match_read(proto_of(r->c, b->source->space->broker->proto), b);
	if (!r->headers && r->op) {
		const struct proto *p = proto_of(r->c, r->op->proto);

		r->headers = calloc(1, sizeof(*r->headers));
		if (r->headers && p && p->fields)
			p->fields(r->op->envelope, read_header, r->headers);
	}
	if (!b->match || !r->headers || r->headers->overflow) {
		r->out->complete = false; /* its headers are not known */
		return false;
	}
	return headers_match(b->match, r->headers);
}

static bool matches(struct routing *r, struct binding *b)
{
	struct span pattern = str_span(b->key);

	switch (b->source->kind) {
	case X_FANOUT:
		return true;
	case X_HEADERS:
		return matches_headers(r, b);
	case X_OTHER:
		return false;
	case X_DIRECT:
	case X_TOPIC:
	case X_UNKNOWN:
		break;
	}
	for (unsigned i = 0; i < r->nkeys; i++) {
		if (b->source->kind == X_TOPIC && topic_matches(pattern, r->keys[i]))
			return true;
		/* Of no known type: a binding with the very key and no arguments leads on in any of them. */
		if (b->source->kind != X_TOPIC && span_eq(pattern, r->keys[i]) &&
			(b->source->kind == X_DIRECT || !str_span(b->args).n))
			return true;
	}
	return false;
}

static void visit_default(struct routing *r)
{
	const struct proto *p = proto_of(r->c, r->s->broker->proto);

	for (unsigned i = 0; i < r->nkeys; i++) {
		struct queue *q = queue_find(r->c, r->s, r->keys[i]);

		if (p && p->queue_by_send && r->keys[i].n) {
			r->err = queue_get(r->c, r->s, r->keys[i], &q);
			if (r->err)
				return;
			queue_alive(r->c, q);
		}
		if (q)
			reach(r, q);
		if (!q || q->stale || q->deleted)
			r->out->complete = false;
	}
}

/* One step of the walk; @depth guards the stack against long chains, the mark against cycles. */
static void visit(struct routing *r, struct exchange *e, unsigned depth)
{
	bool any = false;

	if (!e || depth > 64) {
		r->out->complete = false;
		return;
	}
	if (e->mark == r->c->route_mark)
		return;
	e->mark = r->c->route_mark;
	if (!e->declared || e->contradicted || e->kind == X_OTHER || e->kind == X_UNKNOWN)
		r->out->complete = false;
	list_for_each (&e->bindings, n) {
		struct binding *b = list_entry(n, struct binding, of_source);

		if (!matches(r, b))
			continue;
		any = true;
		if (b->to_queue)
			reach(r, b->to_queue);
		else
			visit(r, b->to_exchange, depth + 1);
	}
	if (any || !e->alternate)
		return;
	if (e->alternate->n)
		visit(r, exchange_find(r->c, r->s, str_span(e->alternate)), depth + 1);
	else
		visit_default(r);
}

/* --- the cache --- */

static uint64_t cache_key(const struct exchange *e, const struct str *key)
{
	return hash_u64(e->space->index << 40 ^ e->name->serial) ^ hash_u64(key->serial * 2 + 1);
}

static void cache_clear(struct correlator *c)
{
	map_for_each (&c->route_cache, s) {
		struct cached_route *r = (struct cached_route *)(uintptr_t)s->val;

		intern_put(&c->strings, r->key);
		free(r);
	}
	map_free(&c->route_cache);
}

/* Pointers in a result from before a change are stale: a hit has the present number. */
static const struct cached_route *cache_find(struct correlator *c, const struct exchange *e, struct span key)
{
	struct str *k = intern_find(&c->strings, key);
	const struct cached_route *r = k ? map_ptr(&c->route_cache, cache_key(e, k)) : NULL;

	return r && r->seq == c->topology_seq && r->e == e && r->key == k ? r : NULL;
}

/* A cache: it may fail to remember. */
static void cache_put(struct correlator *c, struct exchange *e, struct span key, const struct reached *out)
{
	struct cached_route *r, *old;
	uint64_t at;

	if (c->route_cache.n >= CACHED_ROUTES)
		cache_clear(c);
	r = malloc(sizeof(*r) + out->n * sizeof(r->q[0]));
	if (!r)
		return;
	*r = (struct cached_route){
		c->topology_seq, e, intern_get(&c->strings, key), out->complete, (uint32_t)out->n};
	if (!r->key) {
		free(r);
		return;
	}
	if (out->n)
		memcpy(r->q, out->q, out->n * sizeof(r->q[0]));
	at = cache_key(e, r->key);
	old = map_ptr(&c->route_cache, at);
	if (map_put_ptr(&c->route_cache, at, r)) {
		intern_put(&c->strings, r->key);
		free(r);
		return;
	}
	if (old) {
		intern_put(&c->strings, old->key);
		free(old);
	}
}

int route(struct correlator *c, struct space *s, struct span exchange, const struct span *keys,
	unsigned nkeys, const struct op *op, struct reached **ret)
{
	struct routing r = {.c = c, .s = s, .keys = keys, .nkeys = nkeys, .op = op, .out = &c->reached};
	struct exchange *e = exchange.n ? exchange_find(c, s, exchange) : NULL;
	const struct cached_route *hit = e && nkeys == 1 ? cache_find(c, e, keys[0]) : NULL;

	c->reached.n = 0;
	c->reached.complete = hit ? hit->complete : true;
	c->reached.cacheable = e && nkeys == 1 && !hit;
	c->route_mark++;
	if (hit) {
		for (uint32_t i = 0; i < hit->n; i++)
			reach(&r, hit->q[i]);
	} else if (exchange.n) {
		visit(&r, e, 0);
	} else {
		visit_default(&r);
	}
	free(r.headers);
	if (r.err)
		return r.err;
	if (c->reached.cacheable)
		cache_put(c, e, keys[0], &c->reached);
	*ret = &c->reached;
	return 0;
}

void route_free(struct correlator *c)
{
	cache_clear(c);
	free(c->reached.q);
}
