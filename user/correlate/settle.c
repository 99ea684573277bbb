/* The life of a message, operation by operation: sent, confirmed or returned, delivered, settled. */
#include <errno.h>
#include <stdlib.h>

#include "correlate/model.h"

/* --- routes --- */

/*
 * A delivery (or a return) that the bindings do not explain: there are bindings that we did not see, so that
 * this exchange's queues are never again said to be all. Unless a binding that came since explains it.
 */
static int contradict(struct correlator *c, struct message *m, const struct queue *q)
{
	struct exchange *e = exchange_find(c, m->space, str_span(m->exchange));
	struct span key = str_span(m->key);
	struct reached *r;
	int err = route(c, m->space, str_span(m->exchange), &key, 1, NULL, &r);

	if (err)
		return err;
	for (size_t i = 0; q && i < r->n; i++)
		if (r->q[i] == q)
			return 0;
	m->routes = ROUTES_UNKNOWN;
	if (e && !e->contradicted) {
		e->contradicted = true;
		c->topology_seq++;
	}
	return 0;
}

int message_route(struct correlator *c, struct message *m, const struct span *keys, unsigned nkeys,
	const struct op *op, enum copy_source source)
{
	struct reached *r;
	int err = route(c, m->space, str_span(m->exchange), keys, nkeys, op, &r);

	if (err)
		return err;
	m->routes = r->complete ? ROUTES_DECLARED : ROUTES_UNKNOWN;
	for (size_t i = 0; i < r->n; i++) {
		if (copy_find(m, r->q[i]))
			continue;
		if (!copy_new(c, m, r->q[i], source, STATE_QUEUED, m->sent_ns ? m->sent_ns : m->first_ns))
			return -ENOMEM;
	}
	return 0;
}

static int route_send(struct correlator *c, struct message *m, const struct op *op)
{
	const struct envelope *e = &c->env;
	struct span keys[MAX_KEYS] = {str_span(m->key)};
	unsigned nkeys = 1;
	struct exchange *x;

	if (m->dest != DEST_ROUTED)
		return log_route(c, m);
	if (op)
		for (unsigned i = 0; i < e->ncc && nkeys < MAX_KEYS; i++)
			keys[nkeys++] = e->cc[i];
	/* An exchange that is published to before its declaration was there before us: see topology.c. */
	if (m->exchange->n)
		exchange_get(c, m->space, str_span(m->exchange), &x);
	return message_route(c, m, keys, nkeys, op, m->exchange->n ? COPY_BY_BINDING : COPY_BY_DEFAULT);
}

/* --- what is stored of a message's content --- */

static int store_payload(struct correlator *c, const struct opctx *x, struct message *m)
{
	if (!c->out.payload)
		return 0;
	if (body_may_hide(x->op->body))
		m->flags &= ~MSGF_PLAIN;
	else
		m->flags |= MSGF_PLAIN;
	return c->out.payload(c->out.ctx, m->proto, x->op->envelope, x->op->body, &m->payload);
}

static int store_identifiers(struct correlator *c, struct message *m)
{
	for (unsigned i = 0; c->out.identifier && i < c->env.nids; i++) {
		struct identifier_rec r = {.message = m->id, .id = &c->env.ids[i]};
		int err = c->out.identifier(c->out.ctx, &r);

		if (err)
			return err;
	}
	return 0;
}

/* Where a message was sent to, and what it is. */
static int describe(
	struct correlator *c, const struct opctx *x, struct message *m, uint64_t fp, uint64_t body)
{
	const struct op *op = x->op;
	struct str *exchange = intern_get(&c->strings, op->exchange);
	struct str *key = intern_get(&c->strings, op->routing_key);
	struct str *type = intern_get(&c->strings, op->type);

	intern_put(&c->strings, m->exchange);
	intern_put(&c->strings, m->key);
	intern_put(&c->strings, m->type);
	m->exchange = exchange;
	m->key = key;
	m->type = type;
	m->proto = op->proto;
	m->dest = op->dest;
	m->first_ns = op->ts_ns;
	m->fingerprint = fp;
	m->body_hash = body;
	m->body_size = op->body_size;
	m->due = c->env.due;
	m->flags = op->flags & (OPF_TRUNCATED | OPF_GAP | OPF_MANDATORY | OPF_TX | OPF_DURABLE);
	return exchange && key && type ? 0 : -ENOMEM;
}

static uint32_t deaths_of(const struct envelope *e)
{
	return e->death_total < DEATHS_UNKNOWN ? (uint32_t)e->death_total : DEATHS_UNKNOWN - 1;
}

/* A message that is met for the first time, with its content; c->env holds its envelope. */
static int message_met(
	struct correlator *c, const struct opctx *x, uint64_t fp, uint64_t body, struct message **ret)
{
	struct message *m = message_new(c, x->space);
	int err;

	if (!m)
		return -ENOMEM;
	err = describe(c, x, m, fp, body);
	if (err)
		return err;
	m->deaths = deaths_of(&c->env);
	m->values = values_of(&c->env, x->op, body);
	if (!m->values)
		return -ENOMEM;
	/* With bytes missing its content is not known: it can be joined with nothing. */
	if (!(x->op->flags & OPF_GAP))
		err = group_add(c, m);
	if (!err)
		err = store_payload(c, x, m);
	if (!err)
		err = store_identifiers(c, m);
	if (!err && x->op->kind == OP_SEND)
		err = kin_note(c, m);
	if (!err)
		err = travel_note(c, m, x->op->kind == OP_SEND && x->process ? x->process->id : 0);
	*ret = m;
	return err;
}

static int note_replay(struct correlator *c, const struct message *m)
{
	if (!c->env.replay_of || c->env.replay_of >= m->id)
		return 0;
	return link_add(c, c->env.replay_of, m->id, LINK_REPLAY_OF, 1.0, "header " REPLAY_MARK);
}

/* --- send --- */

/* A producer that sends again what was not confirmed: the same content under the same message id. */
static int note_resend(struct correlator *c, const struct message *m)
{
	struct list *before = m->of_group.prev;
	const struct message *old;

	if (!m->group || before == &m->group->messages || !m->process)
		return 0;
	old = list_entry(before, struct message, of_group);
	if (old->process != m->process || old->origin != ORIGIN_CLIENT)
		return 0;
	if (old->flags & MSGF_REFUSED)
		return link_add(c, old->id, m->id, LINK_RETRY_OF, 0.95, "same content, refused before");
	if (!c->env.message_id.n)
		return 0;
	return link_add(c, old->id, m->id, LINK_RETRY_OF, 0.95, "same message-id and content, sent again");
}

static void sent_by(struct message *m, const struct opctx *x)
{
	const struct op *op = x->op;

	m->origin = ORIGIN_CLIENT;
	m->own = STATE_SENT;
	m->sent_ns = op->ts_ns;
	m->send_op = op->id;
	m->process = x->process ? x->process->id : 0;
	m->tid = op->tid;
	m->unit = op->unit;
	m->connection = x->conn->id;
	m->channel = op->channel;
	m->flags |= op->flags & (OPF_MANDATORY | OPF_TX);
}

/* Its delivery was seen before: known copies that the bindings do not explain teach that there are more. */
static int check_adopted(struct correlator *c, struct message *m)
{
	if (m->routes != ROUTES_DECLARED)
		return 0;
	for (struct copy *cp = m->copies; cp; cp = cp->next)
		if (cp->source == COPY_BY_DELIVERY && cp->q->name && !cp->withdrawn) {
			int err = contradict(c, m, cp->q);

			if (err)
				return err;
		}
	return 0;
}

int send_op(struct correlator *c, struct opctx *x)
{
	const struct op *op = x->op;
	uint64_t body, fp = fingerprint_of(x->proto, op, &body);
	struct message *m = NULL;
	struct group *g = NULL;
	bool adopted, moved = false;
	int err = 0;

	envelope_read(&c->env, x->proto, op, true);
	if (!(op->flags & OPF_GAP))
		g = group_find(c, x->space, op->exchange, op->routing_key, fp, deaths_of(&c->env));
	if (g)
		m = join_late_send(g, op->ts_ns);
	adopted = m;
	if (!m)
		err = message_met(c, x, fp, body, &m);
	if (err)
		return err;
	x->m = m;
	sent_by(m, x);
	err = log_sent(c, x, m);
	if (err)
		return err;
	if (map_put_ptr(&c->sends, m->send_op, m))
		return -ENOMEM;
	/* In a transaction it counts from the commit on. */
	if (!(op->flags & OPF_TX))
		err = route_send(c, m, op);
	if (!err && adopted)
		err = check_adopted(c, m);
	if (!err && !adopted) /* else its delivery told */
		err = note_replay(c, m);
	if (!err && !adopted)
		err = note_resend(c, m);
	if (!err)
		err = death_by_client(c, x, m, &moved);
	message_touch(c, m);
	return err || moved ? err : cause_sent(c, x, m);
}

/* --- confirm, return --- */

static int given_back(struct correlator *c, struct message *m, const struct op *op)
{
	bool had_routes = false, refused = op->kind == OP_CONFIRM;

	m->own = STATE_RETURNED;
	m->code = op->code;
	if (refused)
		m->flags |= MSGF_REFUSED | (op->flags & OPF_TX ? MSGF_ABORTED : 0);
	for (struct copy *cp = m->copies; cp; cp = cp->next)
		if (!cp->deliveries && !cp->withdrawn && cp->state == STATE_QUEUED) {
			had_routes = true;
			copy_set(c, cp, STATE_RETURNED);
		}
	message_touch(c, m);
	return had_routes && !refused && m->dest == DEST_ROUTED ? contradict(c, m, NULL) : 0;
}

int confirm_op(struct correlator *c, struct opctx *x)
{
	const struct op *op = x->op;
	struct message *m = op->ref ? map_ptr(&c->sends, op->ref) : NULL;
	int err = 0;

	if (!m)
		return 0;
	x->m = m;
	if (op->kind == OP_RETURN || op->flags & OPF_NEGATIVE)
		return given_back(c, m, op);
	/* A producer that was told to try again (a partition moved) sent it once more. */
	if (m->flags & MSGF_REFUSED && m->dest == DEST_LOG) {
		m->flags &= ~(MSGF_REFUSED | MSGF_ABORTED);
		m->own = STATE_SENT;
		m->code = 0;
	}
	err = log_name(c, x, m);
	if (err || op->flags & OPF_STORED)
		return err;
	m->flags |= MSGF_CONFIRMED;
	if (m->own == STATE_SENT) {
		m->own = STATE_CONFIRMED;
		if (m->flags & OPF_TX)
			err = route_send(c, m, NULL);
	}
	message_touch(c, m);
	return err;
}

/* --- receive --- */

/* The queue that a delivery came from, or a place without a name. *ret holds a reference. */
static int delivery_queue(struct correlator *c, struct opctx *x, struct queue **ret)
{
	const struct op *op = x->op;
	struct queue *q;
	int err;

	if (op->dest == DEST_LOG)
		return log_delivery_queue(c, x, ret);
	if (op->dest == DEST_CHANNEL)
		return consumer_channel(c, x, ret);
	if (op->queue_known) {
		err = queue_get(c, x->space, op->queue, &q);
		if (!err) {
			queue_alive(c, q);
			err = consumer_met(c, x, q);
		}
	} else if (op->consumer.n) {
		err = consumer_place(c, x, &q);
		if (!err && !q->name)
			err = place_narrow(c, x, q, &q);
	} else {
		*ret = queue_new_place(c, x->space);
		return *ret ? 0 : -ENOMEM;
	}
	if (err)
		return err;
	queue_ref(q);
	*ret = q;
	return 0;
}

/* Joins a delivery with a message that is known, though not by name; leaves ret->m NULL when there is none.
 */
static int known_message(
	struct correlator *c, struct opctx *x, struct queue *q, uint64_t fp, struct join *ret)
{
	const struct op *op = x->op;
	uint32_t deaths = deaths_of(&c->env);
	struct group *g;
	int err;

	if (op->dest == DEST_LOG) {
		ret->m = log_find_unnamed(c, x, fp);
		ret->copy = ret->m ? copy_find(ret->m, q) : NULL;
		return ret->m ? log_name(c, x, ret->m) : 0;
	}
	g = group_find(c, x->space, op->exchange, op->routing_key, fp, deaths);
	if ((g && join_delivery(g, q, x, ret)) || !deaths)
		return 0;
	/* Restored ones do not say how often they had died. */
	g = group_find(c, x->space, op->exchange, op->routing_key, fp, DEATHS_UNKNOWN);
	if (g && join_delivery(g, q, x, ret))
		return 0;
	err = death_delivered(c, x, fp, &ret->m);
	if (ret->m)
		ret->copy = copy_find(ret->m, q);
	return err;
}

/* By the broker's own name of it, which tells without a look at the content. */
static void named_message(struct correlator *c, struct opctx *x, struct queue *q, struct join *ret)
{
	const struct op *op = x->op;

	ret->m = log_message(c, x->space, op->log, op->mid);
	if (!ret->m)
		return;
	ret->copy = copy_find(ret->m, q);
	if (op->dest == DEST_LOG) /* a subject that a stream keeps */
		ret->m->dest = DEST_LOG;
}

/* The message that was delivered: sent before, dead-lettered, or seen for the first time. */
static int delivered_message(struct correlator *c, struct opctx *x, struct queue *q, struct join *ret)
{
	const struct op *op = x->op;
	uint64_t body, fp;
	bool moved = false;
	int err = 0;

	*ret = (struct join){0};
	envelope_deaths(&c->env, x->proto, op);
	named_message(c, x, q, ret);
	if (ret->m && ret->m->body_hash)
		return 0;
	fp = fingerprint_of(x->proto, op, &body);
	if (!ret->m && (!(op->flags & OPF_GAP) || op->mid.n))
		err = known_message(c, x, q, fp, ret);
	if (ret->m && !ret->m->body_hash)
		ret->m->body_hash = body; /* not restored */
	if (err || ret->m)
		return err;
	envelope_read(&c->env, x->proto, op, true);
	err = message_met(c, x, fp, body, &ret->m);
	if (!err)
		err = log_name(c, x, ret->m);
	if (err)
		return err;
	ret->m->origin = c->env.ndeaths ? ORIGIN_BROKER : ORIGIN_UNSEEN;
	err = note_replay(c, ret->m);
	if (!err)
		err = death_by_client(c, x, ret->m, &moved);
	if (!err && !moved)
		err = log_copied(c, ret->m, fp, &moved);
	return err || moved ? err : travel_link(c, ret->m);
}

static int delivered_copy(struct correlator *c, struct opctx *x, struct queue *q, struct join *j)
{
	const struct op *op = x->op;
	struct message *m = j->m;
	struct copy *cp = j->copy;
	int err = 0;

	if (!cp && m->dest == DEST_LOG) /* made when the broker's name for it was told */
		cp = copy_find(m, q);
	if (!cp) {
		bool waits = m->in_state[STATE_QUEUED] || m->in_state[STATE_UNKNOWN];

		/* From a place without a name: it may be that of a known copy, if there is one. */
		if (m->routes == ROUTES_DECLARED && (q->name || !waits))
			err = contradict(c, m, q->name ? q : NULL);
		if (err)
			return err;
		cp = copy_new(c, m, q, COPY_BY_DELIVERY, STATE_DELIVERED, m->sent_ns);
		if (!cp)
			return -ENOMEM;
	}
	if (m->dest == DEST_LOG)
		err = log_taken_over(c, x, cp);
	if (err)
		return err;
	cp->deliveries++;
	if (cp->deliveries < op->delivery)
		cp->deliveries = op->delivery;
	cp->delivered_ns = op->ts_ns;
	if (!cp->first_delivered_ns)
		cp->first_delivered_ns = op->ts_ns;
	cp->consumer = x->process ? x->process->id : 0;
	cp->consumer_tid = op->tid;
	cp->connection = x->conn->id;
	cp->restored = false;
	copy_set(c, cp, STATE_DELIVERED);
	if (!q->name)
		place_doubt(c, q, m);
	x->m = m;
	x->copy = cp;
	return 0;
}

int receive_op(struct correlator *c, struct opctx *x)
{
	struct queue *q;
	struct join j;
	int err;

	if (x->op->flags & OPF_REPORTED)
		return log_reported(c, x);
	err = delivery_queue(c, x, &q);
	if (err)
		return err;
	err = delivered_message(c, x, q, &j);
	if (!err)
		err = delivered_copy(c, x, q, &j);
	queue_put(c, q);
	if (err)
		return err;
	/* A part of the body proves less than the whole: never called exact. */
	if (j.one_of > j.m->one_of && !(x->op->flags & OPF_TRUNCATED))
		j.m->one_of = j.one_of;
	if (j.m->inferred) {
		/* The broker's copy as it really is, with the headers that it added. */
		j.m->inferred = false;
		j.m->expiries = 0;
		err = store_payload(c, x, j.m);
	}
	if (!err && !j.m->values) {
		envelope_read(&c->env, x->proto, x->op, true);
		j.m->values = values_of(&c->env, x->op, j.m->body_hash);
		if (!j.m->values)
			err = -ENOMEM;
	}
	message_touch(c, j.m);
	return err ? err : cause_taken(c, x, j.m, x->copy);
}

/* --- settle --- */

static int returned_to_queue(struct correlator *c, struct copy *cp)
{
	struct lane *l;

	if (cp->q->deleted) {
		copy_set(c, cp, STATE_PURGED);
		return 0;
	}
	copy_set(c, cp, STATE_REQUEUED);
	if (!cp->m->group)
		return 0;
	l = lane_get(cp->m->group, cp->q);
	if (!l)
		return -ENOMEM;
	list_move_tail(&l->returned, &cp->lane);
	return 0;
}

int settle_copy(struct correlator *c, struct copy *cp, const struct op *op)
{
	cp->settle = op->settle;
	cp->settled_ns = op->ts_ns;
	cp->inop = NULL;
	copy_touch(c, cp);
	if (cp->state != STATE_DELIVERED)
		return 0; /* its dead letter was seen first */
	switch (op->settle) {
	case SETTLE_ACK:
	case SETTLE_AUTO:
		copy_set(c, cp, STATE_ACKED);
		return 0;
	case SETTLE_REQUEUE:
	case SETTLE_LOST:
		return returned_to_queue(c, cp);
	case SETTLE_REJECT:
		return death_by_reject(c, cp, op->ts_ns);
	default:
		return 0;
	}
}

int settle_op(struct correlator *c, struct opctx *x)
{
	struct inop *in = x->op->ref ? map_ptr(&c->inops, x->op->ref) : NULL;
	int err = 0;

	if (!in && x->op->mid.n)
		return log_settle(c, x);
	if (!in || in->settled_ns)
		return 0;
	x->m = in->m;
	x->copy = in->copy;
	if (x->op->settle == SETTLE_PROGRESS)
		return 0;
	/* An older delivery of a copy that is with another consumer by now changes nothing about it. */
	if (in->copy && in->copy->inop == in)
		err = settle_copy(c, in->copy, x->op);
	return err ? err : cause_settled(c, in, x);
}
