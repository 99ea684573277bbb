/*
 * A channel: its life, its methods, and the messages on it, from the method that announces one to the
 * operation that it is.
 */
#include "proto/amqp091_state.h"

#include <stdlib.h>

#include "base/hash.h"

/* Entries looked at to find the publish that came back. */
#define RETURN_SCAN_MAX 65536

uint64_t amqp_emit(struct amqp *st, struct op *op)
{
	op->vhost = name_span(&st->vhost);
	op->flowdir = (uint8_t)st->dir;
	if (!op->len) {
		op->pos = st->pos;
		op->len = st->end - st->pos;
	}
	return st->out.emit(st->out.ctx, op);
}

/* --- contents --- */

/*
 * A consumer that was there before us: a delivery from the default exchange names its queue, because there
 * the routing key is the queue's name. Not so for copies by CC, and not for direct reply-to. A second such
 * delivery that says otherwise (the first was a copy by BCC, which leaves no trace) refutes it for good.
 */
static void learn_queue(struct consumer *k, struct span exchange, struct span key, struct span envelope)
{
	struct amqp091_props p;

	if ((k->queue_known && !k->queue_learned) || k->queue_refuted || exchange.n || !key.n ||
		span_starts(key, "amq.rabbitmq.reply-to"))
		return;
	if (amqp091_props(envelope, &p))
		return;
	if (p.has[PROP_HEADERS] && memmem(p.v[PROP_HEADERS].p, p.v[PROP_HEADERS].n, "\2CC", 3))
		return;
	if (k->queue_learned && !span_eq(name_span(&k->queue), key)) {
		k->queue_refuted = true;
		k->queue_known = k->queue_learned = false;
		return;
	}
	name_set(&k->queue, key);
	k->queue_known = k->queue_learned = true;
}

static void deliver_begun(struct amqp *st, struct content *t)
{
	struct span tag = t->m.a[DELIVER_CONSUMER].s;
	struct consumer *k = amqp_consumer_find(t->chan, tag);

	if (!k)
		k = amqp_consumer_add(st, t->chan, tag);
	if (!k)
		return;
	t->queue = k->queue;
	t->queue_known = k->queue_known;
	t->mode_known = k->mode_known;
	t->no_ack = k->no_ack;
}

static void get_ok_begun(struct amqp *st, struct content *t)
{
	struct chan *c = t->chan;
	struct request r;
	struct span payload, queue;
	struct method m;
	bool known;

	if (amqp_request_first(c, &r, &payload) && !amqp_method_parse(payload, &m) &&
		amqp_request_answers(&m, &t->m)) {
		queue = amqp_queue_meant(c, m.a[GET_QUEUE].s, &known);
		name_set(&t->queue, queue);
		t->queue_known = known;
		t->mode_known = true;
		t->no_ack = m.a[GET_NO_ACK].u;
	}
	amqp_request_answered(st, c, &t->m);
}

void amqp_content_begun(struct amqp *st, struct content *t)
{
	if (t->m.def->id == BASIC_DELIVER)
		deliver_begun(st, t);
	else if (t->m.def->id == BASIC_GET_OK)
		get_ok_begun(st, t);
}

static uint64_t return_hash(struct span exchange, struct span key, uint64_t body_size, struct span body)
{
	uint64_t h = hash_span(exchange, 1);

	h = hash_span(key, h);
	h = hash_span(body, h ^ body_size);
	return h ? h : 1;
}

static void content_op(const struct content *t, struct op *op)
{
	struct amqp091_props p;

	op->envelope = buf_span(&t->envelope);
	op->body = t->whole.n ? t->whole : buf_span(&t->body);
	op->body_size = t->body_size;
	if (t->truncated || (op->body.n < t->body_size && !t->gap))
		op->flags |= OPF_TRUNCATED;
	if (t->gap)
		op->flags |= OPF_GAP;
	if (!amqp091_props(op->envelope, &p))
		op->type = p.v[PROP_TYPE];
}

static void emit_send(struct amqp *st, struct content *t, struct op *op)
{
	struct chan *c = t->chan;
	uint64_t id, hash = 0;

	op->kind = OP_SEND;
	op->exchange = t->m.a[PUBLISH_EXCHANGE].s;
	op->routing_key = t->m.a[PUBLISH_KEY].s;
	if (t->m.a[PUBLISH_MANDATORY].u) {
		op->flags |= OPF_MANDATORY;
		hash = return_hash(op->exchange, op->routing_key, op->body_size, op->body);
	}
	c->published++;
	c->since_confirm++;
	if (c->mode == MODE_TX)
		op->flags |= OPF_TX;
	if (c->mode == MODE_CONFIRM && c->numbered)
		op->tag = c->base + c->published;
	id = amqp_emit(st, op);
	if (c->dead)
		amqp_confirmed(st, c, 0, id, true, 0); /* the broker reads close-ok and nothing else */
	else
		amqp_publish_track(st, c, id, hash);
}

static void delivery_track(struct amqp *st, struct content *t, uint64_t tag, uint64_t id)
{
	struct chan *c = t->chan;
	struct pend p = {.tag = tag, .op = id, .mode_unknown = !t->mode_known};

	if (t->m.def->id == BASIC_DELIVER)
		p.hash = amqp_tag_hash(t->m.a[DELIVER_CONSUMER].s);
	if (c->deliveries.n && amqp_pend_at(&c->deliveries, c->deliveries.n - 1)->tag >= tag) {
		/* Tags only ascend: the channel was closed and opened again where we could not see it. */
		st->stats.errors++;
		amqp_pend_remove_all(st, &c->deliveries);
		c->gap_tag = 0;
	}
	amqp_pend_add(st, &c->deliveries, &p, SIZE_MAX);
}

static void emit_receive(struct amqp *st, struct content *t, struct op *op)
{
	bool pulled = t->m.def->id == BASIC_GET_OK;
	struct consumer *k = NULL;
	uint64_t id;

	op->kind = OP_RECEIVE;
	op->tag = t->m.a[pulled ? GET_OK_TAG : DELIVER_TAG].u;
	op->exchange = t->m.a[pulled ? GET_OK_EXCHANGE : DELIVER_EXCHANGE].s;
	op->routing_key = t->m.a[pulled ? GET_OK_KEY : DELIVER_KEY].s;
	if (t->m.a[pulled ? GET_OK_REDELIVERED : DELIVER_REDELIVERED].u)
		op->flags |= OPF_REDELIVERED;
	if (pulled) {
		op->flags |= OPF_PULLED;
	} else {
		op->consumer = t->m.a[DELIVER_CONSUMER].s;
		k = amqp_consumer_find(t->chan, op->consumer);
		if (k && t->header_seen) {
			learn_queue(k, op->exchange, op->routing_key, op->envelope);
			t->queue = k->queue;
			t->queue_known = k->queue_known;
		}
	}
	amqp_op_queue(op, name_span(&t->queue), t->queue_known);
	if (t->no_ack)
		op->flags |= OPF_NO_ACK;
	id = amqp_emit(st, op);
	if (t->no_ack)
		amqp_settled(st, t->chan, op->tag, id, SETTLE_AUTO, 0);
	else
		delivery_track(st, t, op->tag, id);
}

static void emit_return(struct amqp *st, struct content *t, struct op *op)
{
	struct pendq *q = &t->chan->publishes;
	uint64_t hash;

	op->kind = OP_RETURN;
	op->code = (uint32_t)t->m.a[RETURN_CODE].u;
	op->text = t->m.a[RETURN_TEXT].s;
	op->exchange = t->m.a[RETURN_EXCHANGE].s;
	op->routing_key = t->m.a[RETURN_KEY].s;
	hash = return_hash(op->exchange, op->routing_key, op->body_size, op->body);
	for (size_t i = 0; i < q->n && i < RETURN_SCAN_MAX; i++) {
		struct pend *p = amqp_pend_at(q, i);

		if (p->done || p->hash != hash)
			continue;
		op->ref = p->op;
		p->hash = 0; /* its confirm, or the commit, is still to come */
		if (t->chan->mode == MODE_PLAIN)
			amqp_pend_remove(st, q, p);
		break;
	}
	amqp_emit(st, op);
}

void amqp_content_whole(struct amqp *st, struct content *t)
{
	struct op op = amqp_op(t->chan, OP_SEND);

	st->stats.messages++;
	content_op(t, &op);
	op.pos = t->pos;
	op.len = st->end - t->pos;
	switch (t->m.def->id) {
	case BASIC_PUBLISH:
		emit_send(st, t, &op);
		break;
	case BASIC_RETURN:
		emit_return(st, t, &op);
		break;
	default:
		emit_receive(st, t, &op);
	}
}

/* --- life --- */

struct chan *amqp_chan_get(struct amqp *st, uint16_t id)
{
	struct chan *c = st->cached;

	if (c && c->id == id)
		return c;
	c = map_ptr(&st->by_id, id);
	if (!c) {
		if (st->channels >= CHANNELS_MAX)
			return NULL;
		c = calloc(1, sizeof(*c));
		if (!c || map_put_ptr(&st->by_id, id, c)) {
			free(c);
			return NULL;
		}
		c->id = id;
		c->prev = st->last;
		*(st->last ? &st->last->next : &st->first) = c;
		st->last = c;
		st->channels++;
	}
	st->cached = c;
	return c;
}

/* Forgets everything but its number and place. */
static void chan_clear(struct amqp *st, struct chan *c)
{
	struct chan fresh = {.prev = c->prev, .next = c->next, .id = c->id};

	for (int d = 0; d < 2; d++)
		if (c->content[d])
			amqp_content_drop(st, c->content[d]);
	amqp_pend_remove_all(st, &c->deliveries);
	amqp_pend_free(&c->deliveries);
	amqp_pend_remove_all(st, &c->publishes);
	amqp_pend_free(&c->publishes);
	map_for_each (&c->consumers, s) {
		free((void *)(uintptr_t)s->val);
		st->consumers--;
	}
	map_free(&c->consumers);
	amqp_requests_clear(st, c);
	buf_free(&c->tx);
	*c = fresh;
}

void amqp_chan_free(struct amqp *st, struct chan *c)
{
	chan_clear(st, c);
	*(c->prev ? &c->prev->next : &st->first) = c->next;
	*(c->next ? &c->next->prev : &st->last) = c->prev;
	map_del(&st->by_id, c->id);
	if (st->cached == c)
		st->cached = NULL;
	st->channels--;
	free(c);
}

/* Says what the end of a channel means for what was open on it. */
static void chan_ended(struct amqp *st, struct chan *c)
{
	struct pendq *q = &c->deliveries;

	for (size_t i = 0; i < q->n; i++) {
		const struct pend *p = amqp_pend_at(q, i);
		const struct consumer *k;

		/* Not said where it may be wrong: settled in a gap, or a no_ack consumer's. */
		if (p->done || p->tag <= c->gap_tag)
			continue;
		k = p->mode_unknown ? map_ptr(&c->consumers, p->hash) : NULL;
		if (p->mode_unknown && (!k || !k->mode_known))
			continue;
		amqp_settled(st, c, p->tag, p->op, SETTLE_LOST, 0);
	}
	if (c->mode == MODE_TX && !amqp_commit_asked(c))
		amqp_tx_publishes(st, c, UINT64_MAX, false);
}

void amqp_chan_end(struct amqp *st, struct chan *c)
{
	chan_ended(st, c);
	amqp_chan_free(st, c);
}

void amqp_chan_gap(struct amqp *st, struct chan *c, enum flowdir d)
{
	c->last_queue_known = false;
	if (d == TO_CLIENT) {
		amqp_requests_clear(st, c);
		return;
	}
	if (c->deliveries.n)
		c->gap_tag = amqp_pend_at(&c->deliveries, c->deliveries.n - 1)->tag;
	/* Publishes, settlements, commits and a confirm.select may have been in it. */
	amqp_pend_remove_all(st, &c->publishes);
	for (size_t i = 0; i < c->deliveries.n; i++)
		amqp_pend_at(&c->deliveries, i)->settle = SETTLE_NONE;
	buf_clear(&c->tx);
	c->tx_taken = c->tx_added;
	c->numbered = false;
	c->streak = 0;
	if (c->mode != MODE_CONFIRM)
		c->mode = MODE_UNKNOWN;
}

static void chan_closed_by_broker(struct amqp *st, struct chan *c, const struct method *m)
{
	struct op op = amqp_op(c, OP_ERROR);

	op.code = (uint32_t)m->a[CLOSE_CODE].u;
	op.text = m->a[CLOSE_TEXT].s;
	if (op.code != 200)
		amqp_emit(st, &op);
	chan_ended(st, c);
	chan_clear(st, c);
	c->dead = true;
}

static void client_method(struct amqp *st, struct chan *c, const struct method *m, struct span payload)
{
	switch (m->def->id) {
	case CHANNEL_OPEN:
		/* On a number that was in use: its close was not seen. */
		chan_ended(st, c);
		chan_clear(st, c);
		c->mode = MODE_PLAIN;
		return;
	case CHANNEL_CLOSE_OK:
		amqp_chan_end(st, c);
		return;
	}
	if (c->dead)
		return;
	switch (m->def->id) {
	case BASIC_ACK:
	case BASIC_NACK:
	case BASIC_REJECT:
		amqp_settle(st, c, m);
		break;
	case BASIC_RECOVER_ASYNC:
		amqp_recover(st, c);
		break;
	default:
		if (m->def->flags & IS_REQUEST)
			amqp_request(st, c, m, payload);
	}
}

static void server_method(struct amqp *st, struct chan *c, const struct method *m)
{
	switch (m->def->id) {
	case CHANNEL_CLOSE:
		chan_closed_by_broker(st, c, m);
		break;
	case CHANNEL_CLOSE_OK:
		amqp_chan_end(st, c);
		break;
	case BASIC_ACK:
	case BASIC_NACK:
		amqp_confirm(st, c, m);
		break;
	case BASIC_CANCEL:
		amqp_cancelled(st, c, m->a[CANCEL_TAG].s, OPF_BY_BROKER);
		break;
	case CHANNEL_OPEN_OK:
	case CHANNEL_FLOW:
	case CHANNEL_FLOW_OK:
		break;
	default:
		amqp_request_answered(st, c, m);
	}
}

void amqp_chan_method(struct amqp *st, struct chan *c, const struct method *m, struct span payload)
{
	if (!(m->def->flags & (st->dir == TO_SERVER ? BY_CLIENT : BY_SERVER))) {
		st->stats.errors++;
		return;
	}
	if (st->dir == TO_SERVER)
		client_method(st, c, m, payload);
	else
		server_method(st, c, m);
}
