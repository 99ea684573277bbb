/*
 * Values that messages of one process share. Each message that a sending process took, and its identifiers,
 * are in a table by (process, value); a send looks its own values up and finds the messages it may have come
 * from. How much an agreement weighs follows from how often the value comes by in this process: an order's
 * number decides, a tenant's does not (causality.md 4.5).
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "correlate/model.h"

#define HUB               64   /* messages that share a value: more, and it tells nothing */
#define PSEUDO            16.0 /* observations that the start values below are worth */
#define CHANCE            1e-3 /* of agreeing by chance, for an identifier before anything was counted */
#define CHANCE_STRONG     1e-5 /* the same for 12 characters and more */
#define COPY_SAME_NAME    0.9  /* how often a cause's value is in its effect, under the same name */
#define COPY_OTHER        0.3
#define MAX_VALUES_WEIGHT 7.0

static uint64_t entry_key(uint64_t process, uint64_t hash)
{
	return hash_u64(process) ^ hash;
}

static struct value_entry *entry_get(struct correlator *c, uint64_t key)
{
	struct value_entry *e = map_ptr(&c->values, key);

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->key = key;
	if (map_put_ptr(&c->values, key, e)) {
		free(e);
		return NULL;
	}
	return e;
}

static void node_link(struct value_node *n, struct value_entry *e)
{
	n->entry = e;
	n->next = e->first;
	n->pprev = &e->first;
	if (e->first)
		e->first->pprev = &n->next;
	e->first = n;
	e->n++;
}

static void node_unlink(struct correlator *c, struct value_node *n)
{
	struct value_entry *e = n->entry;

	if (!e)
		return;
	*n->pprev = n->next;
	if (n->next)
		n->next->pprev = n->pprev;
	n->entry = NULL;
	if (--e->n)
		return;
	map_del(&c->values, e->key);
	free(e);
}

int values_watch(struct correlator *c, struct process *p, struct inop *in)
{
	struct values *v = in->values;

	if (in->nodes || !v || !v->n)
		return 0;
	in->nodes = calloc(v->n, sizeof(*in->nodes));
	if (!in->nodes)
		return -ENOMEM;
	in->nnodes = v->n;
	p->kept++;
	for (uint32_t i = 0; i < v->n; i++) {
		struct value_entry *e = entry_get(c, entry_key(p->id, v->v[i].hash));

		if (!e)
			return -ENOMEM;
		in->nodes[i].inop = in;
		in->nodes[i].v = &v->v[i];
		node_link(&in->nodes[i], e);
	}
	return 0;
}

void values_unwatch(struct correlator *c, struct inop *in)
{
	struct process *p = process_by_id(c, in->process);

	if (!in->nodes)
		return;
	for (size_t i = 0; i < in->nnodes; i++)
		node_unlink(c, &in->nodes[i]);
	free(in->nodes);
	in->nodes = NULL;
	if (p && p->kept)
		p->kept--;
}

static struct candidate *candidate_find(const struct pending *pd, const struct inop *in)
{
	for (unsigned i = 0; i < pd->n; i++)
		if (pd->c[i]->inop == in)
			return pd->c[i];
	return NULL;
}

struct candidate *candidate_add(struct pending *pd, struct inop *in)
{
	struct candidate *k = candidate_find(pd, in);

	if (k)
		return k;
	/* Handed over after the send had left: cannot have caused it. */
	if (pd->n == MAX_CANDIDATES || in->taken_ns > pd->ts_ns || in->m == pd->m)
		return NULL;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->p = pd;
	k->inop = in;
	if (in->settled_ns && in->settled_ns < pd->ts_ns && !in->no_ack)
		k->evidence |= EV_AFTER;
	list_init(&k->of_inop);
	list_add_tail(&in->waiters, &k->of_inop);
	pd->c[pd->n++] = k;
	return k;
}

static unsigned open_sharing(const struct value_entry *e)
{
	unsigned n = 0, seen = 0;

	for (const struct value_node *v = e->first; v && seen < HUB; v = v->next, seen++)
		n += !v->inop->settled_ns;
	return n;
}

/* ln(m / u): how much likelier an agreement is from cause to effect than by chance. */
static double weight(
	const struct value_entry *e, const struct process *p, const struct value *in, uint32_t leaf)
{
	double m = in->leaf && in->leaf == leaf ? COPY_SAME_NAME : COPY_OTHER;
	double others = e->n > 1 ? e->n - 1 : 0, all = p->kept > 1 ? p->kept - 1 : 0;
	double u = (others + PSEUDO * (in->strong ? CHANCE_STRONG : CHANCE)) / (all + PSEUDO);

	return u < m ? log(m / u) : 0;
}

static void note(struct candidate *k, enum evidence ev, double w, double cap)
{
	unsigned bit = (unsigned)__builtin_ctz(ev);

	k->evidence |= ev;
	k->ids[bit] = k->ids[bit] + w < cap ? k->ids[bit] + w : cap;
}

static void say(struct candidate *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct candidate *k, const char *fmt, ...)
{
	size_t used = strlen(k->why);
	va_list ap;

	if (used && used + 4 < sizeof(k->why))
		used += (size_t)snprintf(k->why + used, sizeof(k->why) - used, " \302\267 ");
	va_start(ap, fmt);
	if (used < sizeof(k->why))
		vsnprintf(k->why + used, sizeof(k->why) - used, fmt, ap);
	va_end(ap);
}

struct compare {
	struct correlator *c;
	const struct process *p;
	struct pending *pd;
};

/* Visits the messages that hold a value, the newest first; none where it is too common to tell anything. */
#define each_holder(x, hash, node)                                                                           \
	struct value_entry *e = map_ptr(&(x)->c->values, entry_key((x)->p->id, hash));                       \
	for (struct value_node *node = e && e->n <= HUB ? e->first : NULL; node; node = node->next)

/* A value that more messages share than can be candidates adds to those that others chose, and chooses none.
 */
static struct candidate *candidate_for(struct compare *x, const struct value_entry *e, struct inop *in)
{
	return e->n <= MAX_CANDIDATES ? candidate_add(x->pd, in) : candidate_find(x->pd, in);
}

/* How telling it is that a value agrees; with nothing else in flight there is nothing to tell apart. */
static const char *share(char *out, size_t n, const struct compare *x, const struct value_entry *e)
{
	out[0] = '\0';
	if (x->p->open > 1)
		snprintf(out, n, " (%u of %u in flight)", open_sharing(e), x->p->open);
	return out;
}

static void compare_value(struct compare *x, const struct identifier *id, uint64_t hash)
{
	uint32_t leaf = leaf_hash(id->name);
	char of[48];

	each_holder (x, hash, n) {
		double w = weight(e, x->p, n->v, leaf);
		struct candidate *k = w > 0 ? candidate_for(x, e, n->inop) : NULL;

		if (!k)
			continue;
		note(k, EV_VALUE, w, MAX_VALUES_WEIGHT);
		if (k->nvalues++ < 2)
			say(k, SPAN_FMT "=" SPAN_FMT "%s", SPAN_ARG(span_sub(id->name, 0, 32)),
				SPAN_ARG(span_sub(id->value, 0, 40)), share(of, sizeof(of), x, e));
	}
}

static void compare_cause(struct compare *x, const struct envelope *env)
{
	each_holder (x, value_hash(VALUE_OWN, env->cause), n) {
		struct candidate *k = candidate_for(x, e, n->inop);

		if (!k)
			continue;
		note(k, EV_CAUSE_ID, 6.9, 6.9);
		say(k, "%.*s names it", (int)(env->cause_name.n < 40 ? env->cause_name.n : 40),
			(const char *)env->cause_name.p);
	}
}

/* Sent to where the cause asked for its answer, and with its id. NATS has an address for each request instead
 * of an id. */
static void compare_answer(struct compare *x, const struct envelope *env, const struct op *op)
{
	struct span address = op->dest == DEST_ROUTED ? op->routing_key : op->exchange;
	bool by_address = op->dest == DEST_CHANNEL && !env->correlation_id.n;
	uint64_t to = reply_address(address);

	each_holder (x, value_hash(VALUE_ANSWER, by_address ? address : env->correlation_id), n) {
		struct candidate *k = n->inop->values->reply_to == to ? candidate_for(x, e, n->inop) : NULL;

		if (!k || k->evidence & EV_REPLY)
			continue;
		note(k, EV_REPLY, 6.9, 6.9);
		if (by_address)
			say(k, "answer to its reply-to");
		else
			say(k, "answer to its reply-to, correlation-id=" SPAN_FMT,
				SPAN_ARG(span_sub(env->correlation_id, 0, 40)));
	}
}

static void compare_trace(struct compare *x, const struct envelope *env)
{
	char of[48];

	each_holder (x, value_hash(VALUE_TRACE, env->trace_id), n) {
		double w = weight(e, x->p, n->v, 0);
		struct candidate *k = w > 0 ? candidate_for(x, e, n->inop) : NULL;

		if (!k)
			continue;
		note(k, EV_TRACE, w < 4.6 ? w : 4.6, 4.6);
		say(k, "same trace " SPAN_FMT "%s", SPAN_ARG(span_sub(env->trace_id, 0, 8)),
			share(of, sizeof(of), x, e));
	}
}

static void compare_body(struct compare *x, uint64_t hash)
{
	each_holder (x, hash, n) {
		double w = weight(e, x->p, n->v, 0);
		struct candidate *k = candidate_for(x, e, n->inop);

		if (!k)
			continue;
		note(k, EV_BODY, w, MAX_VALUES_WEIGHT);
		say(k, "same body");
	}
}

/* Rare values choose the candidates, common ones come after them; each value once. */
static void compare_values(struct compare *x, const struct envelope *env)
{
	struct {
		const struct identifier *id;
		uint64_t hash;
		uint32_t n;
	} found[MAX_IDENTIFIERS];
	unsigned nfound = 0, at;

	for (unsigned i = 0; i < env->nids; i++) {
		const struct identifier *id = &env->ids[i];
		uint64_t hash = value_hash(VALUE_ID, id->value);
		const struct value_entry *e = map_ptr(&x->c->values, entry_key(x->p->id, hash));

		if (!e || id->cls != ID_JOIN || span_is(id->name, "traceparent"))
			continue;
		for (at = 0; at < nfound && found[at].hash != hash; at++)
			;
		if (at < nfound)
			continue;
		for (at = nfound++; at && found[at - 1].n > e->n; at--)
			found[at] = found[at - 1];
		found[at].id = id;
		found[at].hash = hash;
		found[at].n = e->n;
	}
	for (unsigned i = 0; i < nfound; i++)
		compare_value(x, found[i].id, found[i].hash);
}

void values_compare(struct correlator *c, struct opctx *op, const struct process *p, struct pending *pd)
{
	const struct envelope *env = &c->env;
	const struct values *v = pd->m->values;
	struct compare x = {c, p, pd};

	if (env->cause.n)
		compare_cause(&x, env);
	if (env->correlation_id.n || op->op->dest == DEST_CHANNEL)
		compare_answer(&x, env, op->op);
	if (env->trace_id.n)
		compare_trace(&x, env);
	for (uint32_t i = 0; v && i < v->n; i++)
		if (v->v[i].kind == VALUE_BODY)
			compare_body(&x, v->v[i].hash);
	compare_values(&x, env);
}
