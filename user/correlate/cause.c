/*
 * What caused a send: one of the messages that its process had taken. Evidence is collected when it leaves
 * (shared ids, see values.c; what its thread holds) and when a thread settles: the unit that settles a
 * message is the unit that handled it, so what it sent since its settlement before belongs to it
 * (causality.md, finding 3). A send is decided then, or after ten seconds.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "correlate/model.h"

#define WAIT_NS      (10 * NS_PER_SEC) /* for the settlement that tells */
#define KEPT_NS      (10 * NS_PER_SEC) /* settled messages may still be causes: acknowledge first, no-ack */
#define RIGHT_AFTER  NS_PER_SEC
#define UNIT_IDLE_NS (60 * NS_PER_SEC)
#define MAX_PENDING  65536
#define MAX_UNITS    65536
#define MAX_DESTS    65536
#define STORE_FROM   0.5 /* less likely links are not stored */
#define NULL_PRIOR   0.05
#define NULL_WEIGHT  8    /* sends that the prior is worth */
#define STRANGER     0.5  /* prior of "nothing that we saw" for units that handle no messages */
#define SETTLES_OWN  0.98 /* how often a unit that settles at all settles what caused its sends */
#define MAY_SETTLE   0.8  /* the same of one that was never seen to settle */
#define ANCHORS      4    /* links proved by ids that these are worth */

/* --- in-ops and units --- */

static void inop_free(struct correlator *c, struct inop *in)
{
	values_unwatch(c, in);
	list_for_each (&in->waiters, n) {
		struct candidate *k = list_entry(n, struct candidate, of_inop);

		k->inop = NULL;
		list_del(n);
	}
	list_del(&in->of_process);
	list_del(&in->of_message);
	list_del(&in->aging);
	if (in->copy && in->copy->inop == in)
		in->copy->inop = NULL;
	map_del(&c->inops, in->op);
	values_put(in->values);
	free(in);
}

/* See is_last(). */
static void forget_last(struct correlator *c, const struct unit *u)
{
	struct inop *in = u->last_taken ? map_ptr(&c->inops, u->last_taken) : NULL;

	if (!in || !in->settled_ns || !list_empty(&in->aging))
		return;
	if (list_empty(&in->waiters))
		inop_free(c, in);
	else
		list_add_tail(&c->settled_inops, &in->aging);
}

static uint64_t unit_key(uint64_t process, uint64_t unit)
{
	return hash_u64(hash_u64(process) + unit);
}

static struct unit *unit_find(struct correlator *c, uint64_t process, uint64_t unit)
{
	return process && unit ? map_ptr(&c->units, unit_key(process, unit)) : NULL;
}

static void unit_free(struct correlator *c, struct unit *u)
{
	forget_last(c, u);
	list_for_each (&u->pending, n)
		list_del(n);
	list_del(&u->lru);
	map_del(&c->units, u->key);
	free(u);
}

/* NULL: not known which unit, or no memory; there is no evidence of units then. */
static struct unit *unit_get(struct correlator *c, uint64_t process, uint64_t unit)
{
	struct unit *u = unit_find(c, process, unit);

	if (u) {
		u->seen_ns = c->now;
		list_move_tail(&c->unit_lru, &u->lru);
		return u;
	}
	if (!process || !unit)
		return NULL;
	if (c->units.n >= MAX_UNITS)
		unit_free(c, list_first(&c->unit_lru, struct unit, lru));
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->key = unit_key(process, unit);
	u->seen_ns = c->now;
	list_init(&u->pending);
	if (map_put_ptr(&c->units, u->key, u)) {
		free(u);
		return NULL;
	}
	list_add_tail(&c->unit_lru, &u->lru);
	return u;
}

/* It is not open any more: counts, and the time in which its process held anything. */
static void inop_close(struct correlator *c, struct inop *in, int64_t ts_ns)
{
	struct process *p = process_by_id(c, in->process);
	struct unit *u = unit_find(c, in->process, in->unit);

	in->settled_ns = ts_ns ? ts_ns : 1;
	list_del(&in->of_process);
	if (u && u->open)
		u->open--;
	if (!p || !p->open)
		return;
	p->last_settle_ns = ts_ns;
	if (!--p->open)
		p->busy_ns += ts_ns - p->busy_since;
}

/* Of processes that have not sent anything yet only the last message of each unit is kept after its end. */
static bool is_last(struct correlator *c, const struct inop *in)
{
	const struct unit *u = unit_find(c, in->process, in->unit);

	return u && u->last_taken == in->op;
}

int cause_taken(struct correlator *c, struct opctx *x, struct message *m, struct copy *cp)
{
	struct inop *in = calloc(1, sizeof(*in));
	struct process *p = x->process;
	struct unit *u;

	if (!in)
		return -ENOMEM;
	*in = (struct inop){
		.op = x->op->id,
		.process = p ? p->id : 0,
		.unit = x->unit,
		.m = m,
		.copy = cp,
		.connection = x->conn->id,
		.taken_ns = x->op->ts_ns,
		.no_ack = x->op->flags & OPF_NO_ACK,
		.values = m->values,
	};
	list_init(&in->of_process);
	list_init(&in->aging);
	list_init(&in->waiters);
	if (map_put_ptr(&c->inops, in->op, in)) {
		free(in);
		return -ENOMEM;
	}
	if (in->values)
		in->values->refs++;
	list_add_tail(&m->inops, &in->of_message);
	cp->inop = in;
	if (!p)
		return 0;
	list_add_tail(&p->inops, &in->of_process);
	if (!p->open++)
		p->busy_since = x->op->ts_ns;
	u = unit_get(c, p->id, x->unit);
	if (u) {
		forget_last(c, u);
		u->open++;
		u->took++;
		u->last_taken = in->op;
	}
	return p->sends ? values_watch(c, p, in) : 0;
}

void cause_forget_copy(struct correlator *c, struct copy *cp)
{
	(void)c;
	list_for_each (&cp->m->inops, n) {
		struct inop *in = list_entry(n, struct inop, of_message);

		if (in->copy == cp)
			in->copy = NULL;
	}
}

/* --- sends that wait for a decision --- */

static void pending_free(struct correlator *c, struct pending *pd)
{
	for (unsigned i = 0; i < pd->n; i++) {
		list_del(&pd->c[i]->of_inop);
		free(pd->c[i]);
	}
	list_del(&pd->aging);
	list_del(&pd->of_unit);
	pd->m->pending = NULL;
	c->npending--;
	free(pd);
}

void cause_forget_message(struct correlator *c, struct message *m)
{
	if (m->pending)
		pending_free(c, m->pending);
	list_for_each (&m->inops, n) {
		struct inop *in = list_entry(n, struct inop, of_message);

		if (!in->settled_ns)
			inop_close(c, in, c->now);
		inop_free(c, in);
	}
}

static double clamp(double v, double lo, double hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/*
 * What this process has taught: how often it sends there while it holds nothing (32 bits of sends, 32 of
 * spontaneous ones), and whether its units settle what they handle themselves. Links that ids alone prove are
 * the teachers.
 */
static void set_priors(struct correlator *c, struct pending *pd)
{
	const struct process *p = process_by_id(c, pd->process);
	const struct unit *u = unit_find(c, pd->process, pd->unit);
	uint64_t *v = map_get(&c->dests, pd->dest);
	double n = v ? (double)(*v >> 32) : 0, alone = v ? (double)(uint32_t)*v : 0;
	double anchors = p ? p->anchors : 0, same = p ? p->anchors_same_unit : 0;
	double strangers = p ? p->anchors_stranger : 0;
	double own = u && u->settles ? SETTLES_OWN : MAY_SETTLE;

	pd->null_prior = clamp((alone + NULL_WEIGHT * NULL_PRIOR) / (n + NULL_WEIGHT), 0.02, 0.9);
	if (pd->stranger)
		pd->null_prior = fmax(pd->null_prior, STRANGER * ANCHORS / (ANCHORS + strangers));
	own = (same + ANCHORS * own) / (anchors + ANCHORS);
	pd->other_unit = clamp(log(1 - own), -3.9, -0.05);
}

/* A link whose ids leave no doubt shows who settles in this process. */
static void learn_units(struct correlator *c, const struct pending *pd, const struct judgement *j)
{
	struct process *p = process_by_id(c, pd->process);
	const struct inop *in = j->best->inop;

	if (!p || !in->settled_by || !pd->unit || j->confidence < 0.9 || ids_weight(j->best) < 5)
		return;
	if (p->anchors >= 1u << 10) {
		p->anchors /= 2;
		p->anchors_same_unit /= 2;
		p->anchors_stranger /= 2;
	}
	p->anchors++;
	p->anchors_same_unit += in->settled_by == pd->unit;
	p->anchors_stranger += pd->stranger;
}

static int learn_null(struct correlator *c, uint64_t dest, bool alone)
{
	uint64_t *v = map_get(&c->dests, dest);

	if (!v) {
		if (c->dests.n >= MAX_DESTS)
			map_free(&c->dests);
		return map_put(&c->dests, dest, 1ULL << 32 | alone);
	}
	if (*v >> 32 >= 1u << 20) /* halved, so that old habits are forgotten */
		*v = *v >> 33 << 32 | (uint32_t)*v >> 1;
	*v += 1ULL << 32 | alone;
	return 0;
}

static int store_cause(
	struct correlator *c, const struct pending *pd, const struct inop *settled, const struct judgement *j)
{
	const struct candidate *k = j->best;
	uint64_t src = k->inop->m->id, dst = pd->m->id;
	/* The log-odds are estimates: nothing but arithmetic would be above this. */
	double confidence = j->confidence < 0.999 ? j->confidence : 0.999;
	int err;

	judge_evidence(pd, settled, j, &c->text);
	err = link_add(c, src, dst, k->evidence & EV_REPLY ? LINK_REPLY_TO : LINK_CAUSED_BY, confidence,
		buf_cstr(&c->text));
	if (err || !(k->evidence & EV_BODY))
		return err;
	return link_add(c, src, dst, LINK_RETRY_OF, confidence, "same body, sent on by its consumer");
}

static int decide(struct correlator *c, struct pending *pd, struct inop *settled)
{
	struct message *m = pd->m;
	struct judgement j;
	int err = 0;

	if (settled)
		candidate_add(pd, settled);
	set_priors(c, pd);
	judge(pd, settled, &j);
	/* What it took may have turned out to be what it sent, seen again; see message_absorb(). */
	if (j.best && j.confidence >= STORE_FROM && j.best->inop && j.best->inop->m && j.best->inop->m != m) {
		learn_units(c, pd, &j);
		err = store_cause(c, pd, settled, &j);
	}
	pending_free(c, pd);
	return err ? err : travel_link(c, m);
}

/* What the sending unit holds, or held last, if it can only be one message. */
static void add_serial(struct correlator *c, struct pending *pd, const struct unit *u)
{
	struct inop *in = u && u->last_taken ? map_ptr(&c->inops, u->last_taken) : NULL;
	struct candidate *k;
	bool alone;

	if (!in || u->took > 1)
		return;
	alone = in->settled_ns ? !u->open && pd->ts_ns - in->settled_ns < RIGHT_AFTER : u->open == 1;
	k = alone ? candidate_add(pd, in) : NULL;
	if (k)
		k->evidence |= EV_SERIAL;
}

static int start_sending(struct correlator *c, struct process *p, const struct unit *u)
{
	struct inop *last = u && u->last_taken ? map_ptr(&c->inops, u->last_taken) : NULL;
	int err = 0;

	p->sends = true;
	/* what it took last and needs no settlement: a request that it answers */
	if (last && last->settled_ns)
		err = values_watch(c, p, last);
	list_for_each (&p->inops, n)
		if (!err)
			err = values_watch(c, p, list_entry(n, struct inop, of_process));
	return err;
}

static double busy_share(const struct process *p, int64_t now)
{
	int64_t busy = p->busy_ns + (p->open && now > p->busy_since ? now - p->busy_since : 0);
	int64_t all = now - p->first_ns;

	return all > 0 && busy < all ? (double)busy / (double)all : 1;
}

static struct pending *pending_new(
	struct correlator *c, struct opctx *x, const struct unit *u, struct message *m)
{
	struct pending *pd = calloc(1, sizeof(*pd));
	const struct process *p = x->process;

	if (!pd)
		return NULL;
	*pd = (struct pending){
		.m = m,
		.process = p->id,
		.unit = x->unit,
		.ts_ns = x->op->ts_ns,
		.open = p->open,
		.busy = busy_share(p, x->op->ts_ns),
		.stranger = !u || (!u->last_taken && !u->settles),
		.dest = hash_span(x->op->routing_key, hash_span(x->op->exchange, p->id)),
	};
	list_init(&pd->of_unit);
	list_init(&pd->aging);
	list_add_tail(&c->pending, &pd->aging);
	m->pending = pd;
	c->npending++;
	return pd;
}

int cause_sent(struct correlator *c, struct opctx *x, struct message *m)
{
	struct process *p = x->process;
	struct pending *pd;
	struct unit *u;
	int err = 0;

	if (!p || m->pending)
		return travel_link(c, m);
	u = unit_get(c, p->id, x->unit);
	if (!p->sends)
		err = start_sending(c, p, u);
	if (!err && c->npending >= MAX_PENDING)
		err = decide(c, list_first(&c->pending, struct pending, aging), NULL);
	if (err)
		return err;
	pd = pending_new(c, x, u, m);
	if (!pd)
		return -ENOMEM;
	values_compare(c, x, p, pd);
	add_serial(c, pd, u);
	if (u) {
		u->took = 0;
		list_add_tail(&u->pending, &pd->of_unit);
	}
	/* With one message in hand, holding it is evidence by itself. */
	if (p->open == 1)
		candidate_add(pd, list_first(&p->inops, struct inop, of_process));
	if (!err)
		err = learn_null(
			c, pd->dest, !p->open && !pd->n && pd->ts_ns - p->last_settle_ns > RIGHT_AFTER);
	if (!err && !p->open && !pd->n)
		err = decide(c, pd, NULL);
	return err;
}

/* --- settlement --- */

static bool all_settled(const struct pending *pd)
{
	for (unsigned i = 0; i < pd->n; i++)
		if (pd->c[i]->inop && !pd->c[i]->inop->settled_ns)
			return false;
	return true;
}

/* The unit of @x settled @in: what it sent since its settlement before is decided. */
static int settled_by_unit(struct correlator *c, struct inop *in, const struct opctx *x)
{
	struct unit *u = x->process ? unit_get(c, x->process->id, x->unit) : NULL;
	struct pending *pd;
	int err = 0;

	if (!u)
		return 0;
	u->settles = true;
	while (!err && (pd = list_first(&u->pending, struct pending, of_unit))) {
		list_del(&pd->of_unit);
		/* One settlement for several messages does not say whose send it was. */
		pd->settled_many = x->op->flags & OPF_ONE_OF_MANY;
		if (!pd->settled_many)
			err = decide(c, pd, in);
	}
	return err;
}

/* Sends of other units that have @in for a candidate, and need not wait any longer. */
static int decide_waiters(struct correlator *c, struct inop *in)
{
	int err = 0;

	list_for_each (&in->waiters, n) {
		struct pending *pd = list_entry(n, struct candidate, of_inop)->p;
		struct judgement j;

		set_priors(c, pd);
		judge(pd, NULL, &j);
		if (j.best && (all_settled(pd) || (j.best->inop == in && j.confidence >= 0.9)))
			err = decide(c, pd, NULL);
		if (err)
			break;
	}
	return err;
}

int cause_settled(struct correlator *c, struct inop *in, const struct opctx *x)
{
	enum settle how = x->op->settle;
	bool by_client = how == SETTLE_ACK || how == SETTLE_REQUEUE || how == SETTLE_REJECT;
	struct process *p = process_by_id(c, in->process);
	int err = 0;

	inop_close(c, in, x->op->ts_ns);
	in->settle = how;
	if (by_client) {
		in->settled_by = x->unit;
		err = settled_by_unit(c, in, x);
	}
	if (!err)
		err = decide_waiters(c, in);
	if (err)
		return err;
	if (p && p->sends)
		list_add_tail(&c->settled_inops, &in->aging);
	else if (!is_last(c, in))
		inop_free(c, in);
	return 0;
}

int cause_ended(struct correlator *c, struct inop *in, const struct opctx *x, enum settle how)
{
	struct op op = *x->op;
	struct opctx y = *x;

	if (!in || in->settled_ns)
		return 0;
	op.kind = OP_SETTLE;
	op.settle = how;
	y.op = &op;
	return cause_settled(c, in, &y);
}

/* --- time --- */

int cause_sweep(struct correlator *c)
{
	struct pending *pd;
	struct inop *in;
	struct unit *u;
	int err = 0;

	while (!err && (pd = list_first(&c->pending, struct pending, aging)) && pd->ts_ns + WAIT_NS < c->now)
		err = decide(c, pd, NULL);
	while ((in = list_first(&c->settled_inops, struct inop, aging)) && in->settled_ns + KEPT_NS < c->now)
		inop_free(c, in);
	while ((u = list_first(&c->unit_lru, struct unit, lru)) && u->seen_ns + UNIT_IDLE_NS < c->now &&
		!u->open && list_empty(&u->pending))
		unit_free(c, u);
	return err;
}

int cause_finish(struct correlator *c)
{
	struct pending *pd;
	int err = 0;

	while (!err && (pd = list_first(&c->pending, struct pending, aging)))
		err = decide(c, pd, NULL);
	return err;
}

/* After messages, with which in-ops and pending sends have gone. */
void cause_free(struct correlator *c)
{
	map_for_each (&c->units, s)
		free((void *)(uintptr_t)s->val);
	map_free(&c->units);
	map_free(&c->inops);
	map_free(&c->values);
	map_free(&c->dests);
}
