/*
 * What is taken away before anybody takes it: queues, streams and whole databases emptied, now or at a time
 * that was set for it (Redis: EXPIRE), and single elements of lists. Where it is not told what went, what
 * waited there is not known to wait any more. What a log loses by its numbers: log.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "correlate/log.h"

#define MAX_EXPIRIES 65536
#define MAX_EQUAL    1024 /* equal elements looked at */

/* All that is in a queue or topic goes at a time. */
struct expiry {
	struct list of_all; /* in correlator.expiries */
	struct queue *q;    /* one of the two, with a reference */
	struct topic *t;
	int64_t set_ns, at_ns, slack_ns; /* slack: so much earlier or later it may be */
};

void copy_purge(struct correlator *c, struct copy *cp, int64_t ts_ns, bool unsure)
{
	bool was_unsure = cp->state == STATE_UNKNOWN && cp->settled_ns;
	struct lane *l;

	if (cp->state != STATE_QUEUED && cp->state != STATE_REQUEUED && !was_unsure)
		return;
	cp->settled_ns = ts_ns;
	copy_set(c, cp, unsure ? STATE_UNKNOWN : STATE_PURGED);
	/* It may come yet, when no equal one is there for certain. */
	l = unsure && cp->m->dest == DEST_ROUTED && cp->m->group ? lane_get(cp->m->group, cp->q) : NULL;
	if (l)
		list_move_tail(&l->returned, &cp->lane);
}

void queue_empty(struct correlator *c, struct queue *q, int64_t ts_ns)
{
	list_for_each (&q->waiting, n)
		copy_purge(c, list_entry(n, struct copy, waiting), ts_ns, false);
	expiry_drop(c, &q->expiry);
}

/* All that came until then but the newest @keep. When it is not told which go it may be all of them: others
 * may be there that we do not know of. */
static void purge_oldest(struct correlator *c, struct queue *q, int64_t until, uint32_t keep, bool unsure)
{
	uint32_t left = unsure ? q->nwaiting : q->nwaiting <= keep ? 0 : q->nwaiting - keep;

	list_for_each (&q->waiting, n) {
		struct copy *cp = list_entry(n, struct copy, waiting);

		if (!left--)
			break;
		if (cp->queued_ns <= until)
			copy_purge(c, cp, until, unsure);
	}
}

/* --- at a time --- */

void expiry_drop(struct correlator *c, struct expiry **e)
{
	struct expiry *x = *e;

	if (!x)
		return;
	*e = NULL;
	list_del(&x->of_all);
	c->nexpiries--;
	if (x->q)
		queue_put(c, x->q);
	if (x->t)
		topic_put(c, x->t);
	free(x);
}

/*
 * A list that was popped empty in between began anew, and that one does not expire. What waited before the
 * time was set and waits still shows that it never was empty.
 */
static void expire_queue(struct correlator *c, struct queue *q, const struct expiry *e)
{
	bool unsure = true;

	list_for_each (&q->waiting, n)
		unsure &= list_entry(n, struct copy, waiting)->queued_ns > e->set_ns;
	purge_oldest(c, q, e->at_ns - e->slack_ns, 0, unsure);
	purge_oldest(c, q, e->at_ns + e->slack_ns, 0, true);
}

static void expire(struct correlator *c, const struct expiry *e)
{
	if (e->q) {
		expire_queue(c, e->q, e);
		return;
	}
	topic_empty(c, e->t, e->at_ns - e->slack_ns, false);
	topic_empty(c, e->t, e->at_ns + e->slack_ns, true);
}

/* With the caller's reference on @q or @t: the time that was set before may have the last one. */
static int expiry_set(
	struct correlator *c, struct expiry **e, struct queue *q, struct topic *t, const struct op *op)
{
	int64_t at = op->tag > INT64_MAX / NS_PER_MS / 2 ? INT64_MAX / 2 : (int64_t)op->tag * NS_PER_MS;
	struct expiry *x;

	/* The one before may have ended what was there, and this is for what came then. */
	if (*e && (*e)->at_ns - (*e)->slack_ns <= op->ts_ns)
		expire(c, *e);
	expiry_drop(c, e);
	if (span_is(op->type, "never") || c->nexpiries >= MAX_EXPIRIES)
		return 0;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->set_ns = op->ts_ns;
	x->at_ns = span_is(op->type, "in") ? op->ts_ns + at : at;
	x->slack_ns = span_is(op->type, "in") ? 10 * NS_PER_MS : NS_PER_SEC;
	x->q = q;
	x->t = t;
	if (q)
		queue_ref(q);
	else
		t->refs++;
	list_init(&x->of_all);
	list_add_tail(&c->expiries, &x->of_all);
	c->nexpiries++;
	*e = x;
	return 0;
}

/* The one's time is the other's now. */
static int expiry_move(struct correlator *c, struct queue *q, struct queue *from)
{
	struct expiry *e = from->expiry;
	struct op op = {.type = SPAN_LIT("at")};
	int err;

	if (!e)
		return 0;
	op.ts_ns = c->now;
	op.tag = (uint64_t)(e->at_ns / NS_PER_MS);
	err = expiry_set(c, &q->expiry, q, NULL, &op);
	expiry_drop(c, &from->expiry);
	return err;
}

void purge_sweep(struct correlator *c)
{
	list_for_each (&c->expiries, n) {
		struct expiry *e = list_entry(n, struct expiry, of_all);

		if (e->at_ns + e->slack_ns >= c->now)
			continue;
		expire(c, e);
		expiry_drop(c, e->q ? &e->q->expiry : &e->t->expiry);
	}
}

void purge_free(struct correlator *c)
{
	list_for_each (&c->expiries, n) {
		struct expiry *e = list_entry(n, struct expiry, of_all);

		expiry_drop(c, e->q ? &e->q->expiry : &e->t->expiry);
	}
}

/* --- operations --- */

static void purge_queue(struct correlator *c, struct queue *q, struct opctx *x)
{
	const struct op *op = x->op;
	bool unsure = op->flags & OPF_UNSURE;

	x->idle = op->flags & OPF_UP_TO && (unsure ? !q->nwaiting : q->nwaiting <= op->code);
	if (op->flags & OPF_UP_TO || unsure)
		purge_oldest(c, q, op->ts_ns, op->flags & OPF_UP_TO ? op->code : 0, unsure);
	else
		queue_empty(c, q, op->ts_ns);
}

static bool meant(const struct space *s, const struct opctx *x)
{
	return s == x->space || (x->op->flags & OPF_ONE_OF_MANY && s->broker == x->space->broker);
}

/* All queues and streams of a database, or of all. */
static void purge_all(struct correlator *c, struct opctx *x)
{
	bool unsure = x->op->flags & OPF_UNSURE;

	map_for_each (&c->topics, slot) {
		struct topic *t = (struct topic *)(uintptr_t)slot->val;

		if (!meant(t->space, x))
			continue;
		topic_empty(c, t, x->op->ts_ns, unsure);
	}
	map_for_each (&c->queues, slot) {
		struct queue *q = (struct queue *)(uintptr_t)slot->val;

		if (meant(q->space, x))
			purge_oldest(c, q, x->op->ts_ns, 0, unsure);
	}
	/* What a name means from here on was not there when the time was set. */
	list_for_each (&c->expiries, n) {
		struct expiry *e = list_entry(n, struct expiry, of_all);

		if (meant(e->q ? e->q->space : e->t->space, x))
			expiry_drop(c, e->q ? &e->q->expiry : &e->t->expiry);
	}
}

static int purge_topic_at(struct correlator *c, struct opctx *x)
{
	struct topic *t = topic_find(c, x->space, topic_name(x->op));
	int err;

	if (!t)
		return 0;
	t->refs++;
	err = expiry_set(c, &t->expiry, NULL, t, x->op);
	topic_put(c, t);
	return err;
}

int purge_op(struct correlator *c, struct opctx *x)
{
	const struct op *op = x->op;
	struct queue *q, *from = NULL;
	int err;

	if (op->dest == DEST_LOG)
		return op->type.n ? purge_topic_at(c, x) : 0;
	if (!op->queue_known) {
		purge_all(c, x);
		return 0;
	}
	err = queue_get(c, x->space, op->queue, &q);
	if (err)
		return err;
	queue_ref(q);
	if (span_is(op->type, "as"))
		from = queue_find(c, x->space, op->routing_key);
	if (from)
		err = expiry_move(c, q, from);
	else if (op->type.n)
		err = expiry_set(c, &q->expiry, q, NULL, op);
	else
		purge_queue(c, q, x);
	queue_put(c, q);
	return err;
}

/* LREM: so many elements that are equal left a list. Which of them does not matter to anybody. */
int element_delete(struct correlator *c, struct opctx *x)
{
	const struct op *op = x->op;
	uint64_t body, fp = fingerprint_of(x->proto, op, &body);
	struct group *g = group_find(c, x->space, op->exchange, op->routing_key, fp, 0);
	uint32_t left = op->code, seen = 0;
	struct queue *q;
	int err = g ? queue_get(c, x->space, op->queue, &q) : -ENOENT;

	if (err)
		return err == -ENOMEM ? err : 0;
	list_for_each (&g->messages, n) {
		struct message *m = list_entry(n, struct message, of_group);
		struct copy *cp = copy_find(m, q);

		if (!left || seen++ == MAX_EQUAL)
			break;
		if (!cp || (cp->state != STATE_QUEUED && cp->state != STATE_REQUEUED))
			continue;
		copy_purge(c, cp, op->ts_ns, false);
		x->m = m;
		x->copy = cp;
		left--;
	}
	return 0;
}
