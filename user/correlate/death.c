/*
 * Dead letters. A rejection in a queue whose dead-letter exchange is known makes the broker's new message at
 * once, before anybody takes it; a delivery with x-death joins it, or tells afterwards what happened, hop by
 * hop. What a queue's time to live ends is treated like a rejection.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "correlate/model.h"

#define TTL_GRACE_NS NS_PER_SEC /* a delivery right before the end may still be under way to us */
#define MAX_SCAN     64
#define MAX_EXPIRIES 2 /* inferred in a row: queues that expire into each other go round for ever */

/* The broker's new message of the content of @from, to @exchange with @key. */
static int death_new(struct correlator *c, struct copy *from, struct span exchange, struct span key,
	int64_t ts_ns, struct message **ret)
{
	struct message *old = from->m, *m = message_new(c, old->space);

	if (!m)
		return -ENOMEM;
	intern_put(&c->strings, m->exchange);
	intern_put(&c->strings, m->key);
	intern_put(&c->strings, m->type);
	m->exchange = intern_get(&c->strings, exchange);
	m->key = intern_get(&c->strings, key);
	m->type = str_ref(old->type);
	if (!m->exchange || !m->key)
		return -ENOMEM;
	m->proto = old->proto;
	m->origin = ORIGIN_BROKER;
	m->own = STATE_CONFIRMED;
	m->inferred = true;
	m->first_ns = ts_ns;
	m->fingerprint = old->fingerprint;
	m->body_hash = old->body_hash;
	m->body_size = old->body_size;
	m->payload = old->payload;
	m->flags = old->flags & (OPF_TRUNCATED | OPF_GAP | OPF_DURABLE);
	m->deaths = old->deaths == DEATHS_UNKNOWN ? DEATHS_UNKNOWN : old->deaths + 1;
	m->values = old->values;
	if (m->values)
		m->values->refs++;
	from->dead_letter = m->id;
	copy_set(c, from, STATE_DEAD_LETTERED);
	*ret = m;
	return old->group ? group_add(c, m) : 0;
}

static void name_queues(struct buf *b, const struct message *m)
{
	unsigned n = 0;

	for (const struct copy *cp = m->copies; cp; cp = cp->next)
		if (cp->q->name && n++ < 3)
			buf_printf(b, "%s" SPAN_FMT, n > 1 ? ", " : "", SPAN_ARG(str_span(cp->q->name)));
	if (n > 3)
		buf_printf(b, " and %u more", n - 3);
	if (!n)
		buf_puts(b, "no queue that is known");
}

static void say_target(struct buf *b, const struct queue *q, const struct message *m)
{
	buf_printf(b, "; queue " SPAN_FMT, SPAN_ARG(str_span(q->name)));
	if (q->dlx_learned)
		buf_puts(b, " was seen to dead-letter to ");
	else
		buf_puts(b, " is declared with x-dead-letter-exchange ");
	if (q->dlx->n)
		buf_printf(b, SPAN_FMT ", bound to ", SPAN_ARG(str_span(q->dlx)));
	else
		buf_puts(b, "\"\" (the default exchange), leading to ");
	name_queues(b, m);
}

/* @cp died in a queue with a known dead-letter exchange; c->text says how. */
static int dead_letter(struct correlator *c, struct copy *cp, int64_t ts_ns, bool dead, double confidence)
{
	struct queue *q = cp->q;
	struct message *m;
	struct span key;
	int err = death_new(c, cp, str_span(q->dlx),
		q->dlk && q->dlk->n ? str_span(q->dlk) : str_span(cp->m->key), ts_ns, &m);

	if (err)
		return err;
	m->dead = dead;
	m->expiries = dead ? 0 : cp->m->expiries + 1;
	key = str_span(m->key);
	err = message_route(c, m, &key, 1, NULL, COPY_BY_DEATH);
	if (err)
		return err;
	message_touch(c, m);
	say_target(&c->text, q, m);
	return link_add(c, cp->m->id, m->id, LINK_DEAD_LETTER_OF, confidence, buf_cstr(&c->text));
}

/* A consumer that moved it took it from its group's copy. */
static int moved_from_group(struct correlator *c, struct opctx *x, struct message *old, struct message *m)
{
	const struct moved *mv = &c->env.moved;

	for (struct copy *cp = old->copies; cp; cp = cp->next) {
		struct span q = str_span(cp->q->name);
		struct inop *in = cp->inop;

		if (cp->state != STATE_DELIVERED || cp->withdrawn ||
			(mv->group.n ? q.n <= mv->group.n || q.p[q.n - mv->group.n - 1] != '/' ||
						!span_eq(span_sub(q, q.n - mv->group.n, q.n), mv->group)
				     : cp->consumer != (x->process ? x->process->id : 0)))
			continue;
		cp->settle = SETTLE_REJECT;
		cp->settled_ns = x->op->ts_ns;
		cp->dead_letter = m->id;
		cp->inop = NULL;
		copy_set(c, cp, STATE_DEAD_LETTERED);
		return cause_ended(c, in, x, SETTLE_REJECT);
	}
	return 0;
}

/* Kafka has no dead letters of its own: consumers, Connect and Streams move them, and say so in headers. */
int death_by_client(struct correlator *c, struct opctx *x, struct message *m, bool *ret)
{
	struct moved *mv = &c->env.moved;
	struct span to = str_span(m->exchange);
	struct message *old;
	int err;

	if (m->dest != DEST_LOG || !mv->topic.n || !mv->partition.n || !mv->offset.n)
		return 0;
	if (span_ends(to, "-dlt") || span_ends(to, ".DLT") || span_ends(to, "-dlq") || span_ends(to, ".dlq"))
		mv->dead = true;
	m->dead = mv->dead;
	buf_clear(&c->text);
	buf_printf(&c->text, SPAN_FMT "-" SPAN_FMT, SPAN_ARG(mv->topic), SPAN_ARG(mv->partition));
	old = buf_ok(&c->text) ? log_message(c, m->space, buf_span(&c->text), mv->offset) : NULL;
	if (!old || old == m)
		return 0;
	*ret = true;
	err = mv->dead ? moved_from_group(c, x, old, m) : 0;
	if (err)
		return err;
	buf_clear(&c->text);
	buf_printf(&c->text, "headers name topic " SPAN_FMT ", partition " SPAN_FMT ", offset " SPAN_FMT,
		SPAN_ARG(mv->topic), SPAN_ARG(mv->partition), SPAN_ARG(mv->offset));
	return link_add(
		c, old->id, m->id, mv->dead ? LINK_DEAD_LETTER_OF : LINK_RETRY_OF, 0.999, buf_cstr(&c->text));
}

int death_by_reject(struct correlator *c, struct copy *cp, int64_t ts_ns)
{
	char who[96];
	struct lane *l;

	if (cp->q->has_dlx && cp->q->name) {
		buf_clear(&c->text);
		buf_printf(&c->text, "rejected by %s on delivery %u",
			process_label(c, cp->consumer, who, sizeof(who)), cp->deliveries);
		return dead_letter(c, cp, ts_ns, true, cp->q->dlx_learned ? 0.95 : 0.99);
	}
	copy_set(c, cp, STATE_REJECTED);
	if (!cp->m->group)
		return 0;
	l = lane_get(cp->m->group, cp->q);
	if (!l)
		return -ENOMEM;
	list_move_tail(&l->rejected, &cp->lane);
	return 0;
}

/* --- time to live --- */

static int expire(struct correlator *c, struct copy *cp)
{
	const struct queue *q = cp->q;
	int64_t at = cp->queued_ns + q->ttl_ms * NS_PER_MS;
	char took[40];

	cp->settled_ns = at;
	if (!q->has_dlx || cp->m->expiries >= MAX_EXPIRIES) {
		copy_set(c, cp, STATE_EXPIRED);
		return 0;
	}
	buf_clear(&c->text);
	buf_printf(&c->text, "nobody was seen to take it from " SPAN_FMT " within its x-message-ttl of %s",
		SPAN_ARG(str_span(q->name)), fmt_duration(took, sizeof(took), q->ttl_ms * NS_PER_MS));
	return dead_letter(c, cp, at, false, 0.9);
}

int death_sweep(struct correlator *c)
{
	list_for_each (&c->ttl_queues, n) {
		struct queue *q = list_entry(n, struct queue, with_ttl);
		int64_t ttl = q->ttl_ms < INT64_MAX / NS_PER_MS / 2 ? q->ttl_ms * NS_PER_MS : INT64_MAX / 2;
		struct copy *cp;
		int err;

		while ((cp = list_first(&q->waiting, struct copy, waiting)) && cp->queued_ns &&
			cp->queued_ns < c->now - ttl - TTL_GRACE_NS) {
			err = expire(c, cp);
			if (err)
				return err;
		}
	}
	return 0;
}

/* --- told by x-death --- */

static struct copy *scan(struct group *g, const struct queue *q, enum msg_state st)
{
	int i = 0;

	list_for_each (&g->messages, n) {
		struct copy *cp = copy_find(list_entry(n, struct message, of_group), q);

		if (i++ == MAX_SCAN)
			break;
		if (cp && cp->state == st)
			return cp;
	}
	return NULL;
}

/* Its dead letter was inferred to go elsewhere, and nobody has seen it there. */
static struct copy *misdirected(struct correlator *c, struct group *g, const struct queue *q)
{
	int i = 0;

	list_for_each (&g->messages, n) {
		struct copy *cp = copy_find(list_entry(n, struct message, of_group), q);
		struct message *m = cp ? message_by_id(c, cp->dead_letter) : NULL;

		if (i++ == MAX_SCAN)
			break;
		if (m && m->inferred)
			return cp;
	}
	return NULL;
}

/* Of a group, the copy that died in @q: the oldest for which the reason can be true. */
static struct copy *died_here(struct correlator *c, struct group *g, struct queue *q, struct span reason)
{
	bool rejected = span_is(reason, "rejected");
	struct lane *l = lane_get(g, q);
	struct copy *cp = NULL;
	struct message *m;

	if (!l)
		return NULL;
	if (rejected)
		cp = list_first(&l->rejected, struct copy, lane);
	if (!cp && rejected)
		cp = scan(g, q, STATE_DELIVERED); /* its rejection is not seen yet */
	if (!cp)
		cp = list_first(&l->returned, struct copy, lane);
	if (!cp)
		cp = misdirected(c, g, q);
	if (cp)
		return cp;
	m = lane_next(l);
	if (!m)
		return NULL;
	cp = copy_find(m, q);
	return cp ? cp : copy_new(c, m, q, COPY_BY_DEATH, STATE_QUEUED, m->sent_ns);
}

static int find_dead(struct correlator *c, struct opctx *x, const struct death *d, uint64_t fp,
	uint32_t deaths, struct copy **ret)
{
	struct queue *q;
	int err = queue_get(c, x->space, d->queue, &q);

	if (err)
		return err;
	for (unsigned i = 0; i < d->nkeys; i++) {
		struct group *g = group_find(c, x->space, d->exchange, d->keys[i], fp, deaths);

		*ret = g ? died_here(c, g, q, d->reason) : NULL;
		if (!*ret && deaths) {
			g = group_find(c, x->space, d->exchange, d->keys[i], fp, DEATHS_UNKNOWN);
			*ret = g ? died_here(c, g, q, d->reason) : NULL;
		}
		if (*ret)
			return 0;
	}
	return 0;
}

/* Where the queue sends its dead is known from now on, even if only a policy says so. */
static int learn_target(struct correlator *c, struct queue *q, struct span exchange, struct span key,
	const struct death *d, int64_t ts_ns)
{
	struct span rekeyed = d->nkeys && span_eq(key, d->keys[0]) ? SPAN_EMPTY : key;
	struct str *dlx, *dlk;

	if (!q->name ||
		(q->has_dlx && span_eq(str_span(q->dlx), exchange) && span_eq(str_span(q->dlk), rekeyed)))
		return 0;
	dlx = intern_get(&c->strings, exchange);
	dlk = intern_get(&c->strings, rekeyed);
	if (!dlx || !dlk)
		return -ENOMEM;
	intern_put(&c->strings, q->dlx);
	intern_put(&c->strings, q->dlk);
	q->dlx = dlx;
	q->dlk = dlk;
	q->has_dlx = q->dlx_learned = true;
	return queue_row(c, q, ts_ns);
}

/* The dead letter of @from, as x-death and the delivery (or the next hop) show it. */
static int dead_by_header(struct correlator *c, struct copy *from, const struct death *d,
	struct span exchange, struct span key, int64_t ts_ns, struct message **ret)
{
	struct message *m;
	struct span rkey;
	int err;

	if (d->count == 1 && d->time_s && !from->settled_ns)
		from->settled_ns = d->time_s * NS_PER_SEC;
	err = death_new(c, from, exchange, key, ts_ns, &m);
	if (!err)
		err = learn_target(c, from->q, exchange, key, d, ts_ns);
	if (err)
		return err;
	m->dead = !span_is(d->reason, "expired");
	rkey = str_span(m->key);
	err = message_route(c, m, &rkey, 1, NULL, COPY_BY_DEATH);
	if (err)
		return err;
	message_touch(c, m);
	*ret = m;
	buf_clear(&c->text);
	buf_printf(&c->text, "x-death: " SPAN_FMT " in " SPAN_FMT "; same properties and body",
		SPAN_ARG(d->reason), SPAN_ARG(d->queue));
	return link_add(c, from->m->id, m->id, LINK_DEAD_LETTER_OF, 0.99, buf_cstr(&c->text));
}

/* What was inferred to lie elsewhere has turned up here. */
static int redirect(struct correlator *c, struct message *m, struct span exchange, struct span key)
{
	struct str *e = intern_get(&c->strings, exchange), *k = intern_get(&c->strings, key);

	if (!e || !k)
		return -ENOMEM;
	group_remove(c, m);
	intern_put(&c->strings, m->exchange);
	intern_put(&c->strings, m->key);
	m->exchange = e;
	m->key = k;
	m->routes = ROUTES_UNKNOWN;
	for (struct copy *cp = m->copies; cp; cp = cp->next)
		if (!cp->withdrawn && !cp->deliveries)
			copy_withdraw(c, cp);
	return group_add(c, m);
}

/*
 * The copy that died as entry @i of x-death, before which it had died @deaths times. Where the hop itself was
 * not seen but one before it was (a retry queue that we know nothing of), the hop is made up from the header.
 */
static int trace_death(
	struct correlator *c, struct opctx *x, unsigned i, uint32_t deaths, uint64_t fp, struct copy **ret)
{
	const struct death *d = &c->env.deaths[i];
	struct copy *older = NULL;
	struct message *m;
	struct queue *q;
	int err = find_dead(c, x, d, fp, deaths, ret);

	if (err || *ret || i + 1 >= c->env.ndeaths || !deaths || !d->nkeys)
		return err;
	err = trace_death(c, x, i + 1, deaths - 1, fp, &older);
	if (err || !older)
		return err;
	err = dead_by_header(c, older, &c->env.deaths[i + 1], d->exchange, d->keys[0], x->op->ts_ns, &m);
	if (!err)
		err = queue_get(c, x->space, d->queue, &q);
	if (err)
		return err;
	*ret = copy_find(m, q);
	if (!*ret)
		*ret = copy_new(c, m, q, COPY_BY_DEATH, STATE_QUEUED, 0);
	return *ret ? 0 : -ENOMEM;
}

int death_delivered(struct correlator *c, struct opctx *x, uint64_t fingerprint, struct message **ret)
{
	const struct death *d = &c->env.deaths[0];
	struct copy *from = NULL;
	struct message *m;
	int err = trace_death(c, x, 0, (uint32_t)c->env.death_total - 1, fingerprint, &from);

	if (err || !from)
		return err;
	m = message_by_id(c, from->dead_letter);
	if (m && m->inferred) {
		err = redirect(c, m, x->op->exchange, x->op->routing_key);
		if (!err)
			err = learn_target(c, from->q, x->op->exchange, x->op->routing_key, d, x->op->ts_ns);
		if (!err)
			*ret = m;
		return err;
	}
	return dead_by_header(c, from, d, x->op->exchange, x->op->routing_key, x->op->ts_ns, ret);
}
