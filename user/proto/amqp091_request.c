/*
 * What a channel's requests do, and when. They are kept as they were sent, in order; RabbitMQ answers a
 * channel's requests in that order, so an -ok belongs to the oldest. A request with no-wait takes effect when
 * all before it have been answered. What an empty queue name means is decided at that moment too.
 */
#include "proto/amqp091_state.h"

#include <stdlib.h>

/* An empty queue name means the one declared last on this channel (queue.bind: "queue"). */
struct span amqp_queue_meant(const struct chan *c, struct span name, bool *ret_known)
{
	*ret_known = name.n || c->last_queue_known;
	return name.n || !c->last_queue_known ? name : name_span(&c->last_queue);
}

/* --- consumers --- */

struct consumer *amqp_consumer_find(const struct chan *c, struct span tag)
{
	struct consumer *k = map_ptr(&c->consumers, amqp_tag_hash(tag));

	return k && span_eq(name_span(&k->tag), tag) ? k : NULL;
}

static void consumer_remove(struct amqp *st, struct chan *c, struct span tag)
{
	struct consumer *k = amqp_consumer_find(c, tag);

	if (!k)
		return;
	map_del(&c->consumers, amqp_tag_hash(tag));
	st->consumers--;
	free(k);
}

struct consumer *amqp_consumer_add(struct amqp *st, struct chan *c, struct span tag)
{
	struct consumer *k = map_ptr(&c->consumers, amqp_tag_hash(tag));

	if (!k) {
		if (st->consumers >= CONSUMERS_MAX)
			return NULL;
		k = calloc(1, sizeof(*k));
		if (!k || map_put_ptr(&c->consumers, amqp_tag_hash(tag), k)) {
			free(k);
			return NULL;
		}
		st->consumers++;
	}
	*k = (struct consumer){0}; /* a tag used again is a new consumer */
	name_set(&k->tag, tag);
	return k;
}
/* --- requests that took effect --- */

static void exchange_done(struct amqp *st, struct chan *c, const struct method *m)
{
	static const uint32_t bits[] = {OPF_PASSIVE, OPF_DURABLE, OPF_AUTO_DELETE, OPF_INTERNAL};
	struct op op = amqp_op(c, OP_EXCHANGE_DECLARE);

	switch (m->def->id) {
	case EXCHANGE_DECLARE:
		op.exchange = m->a[EXCHANGE_NAME].s;
		op.type = m->a[EXCHANGE_TYPE].s;
		op.args = m->a[EXCHANGE_ARGS].s;
		for (size_t i = 0; i < ARRAY_LEN(bits); i++)
			op.flags |= m->a[EXCHANGE_FLAGS + i].u ? bits[i] : 0;
		break;
	case EXCHANGE_DELETE:
		op.kind = OP_EXCHANGE_DELETE;
		op.exchange = m->a[EXCHANGE_NAME].s;
		break;
	default:
		op.kind = m->def->id == EXCHANGE_BIND ? OP_EXCHANGE_BIND : OP_EXCHANGE_UNBIND;
		amqp_op_queue(&op, m->a[XBIND_DESTINATION].s, true);
		op.exchange = m->a[XBIND_SOURCE].s;
		op.routing_key = m->a[XBIND_KEY].s;
		op.args = m->a[XBIND_ARGS].s;
	}
	amqp_emit(st, &op);
}

static void queue_declared(struct amqp *st, struct chan *c, const struct method *m, const struct method *ok)
{
	static const uint32_t bits[] = {OPF_PASSIVE, OPF_DURABLE, OPF_EXCLUSIVE, OPF_AUTO_DELETE};
	/* The broker's answer carries the name that it made up for an empty one. */
	struct span name = ok ? ok->a[QUEUE_OK_NAME].s : m->a[QUEUE_NAME].s;
	struct op op = amqp_op(c, OP_QUEUE_DECLARE);

	amqp_op_queue(&op, name, name.n > 0);
	op.args = m->a[QUEUE_ARGS].s;
	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		op.flags |= m->a[QUEUE_FLAGS + i].u ? bits[i] : 0;
	name_set(&c->last_queue, name);
	c->last_queue_known = name.n > 0;
	amqp_emit(st, &op);
}

static void queue_done(struct amqp *st, struct chan *c, const struct method *m)
{
	struct op op = amqp_op(c, OP_QUEUE_PURGE);
	struct span queue;
	bool known;

	queue = amqp_queue_meant(c, m->a[QUEUE_NAME].s, &known);
	amqp_op_queue(&op, queue, known);
	switch (m->def->id) {
	case QUEUE_DELETE:
		op.kind = OP_QUEUE_DELETE;
		break;
	case QUEUE_BIND:
	case QUEUE_UNBIND:
		op.kind = m->def->id == QUEUE_BIND ? OP_QUEUE_BIND : OP_QUEUE_UNBIND;
		op.exchange = m->a[QBIND_EXCHANGE].s;
		op.routing_key = m->a[QBIND_KEY].s;
		/* Both empty: the key is the queue's name too. */
		if (!m->a[QUEUE_NAME].s.n && !op.routing_key.n && known)
			op.routing_key = queue;
		op.args = m->a[m->def->id == QUEUE_BIND ? QBIND_ARGS : QUNBIND_ARGS].s;
		break;
	}
	amqp_emit(st, &op);
}

static void consume_done(struct amqp *st, struct chan *c, const struct method *m, const struct method *ok)
{
	struct span tag = ok ? ok->a[CANCEL_TAG].s : m->a[CONSUME_TAG].s, queue;
	struct op op = amqp_op(c, OP_SUBSCRIBE);
	struct consumer *k;
	bool known;

	queue = amqp_queue_meant(c, m->a[CONSUME_QUEUE].s, &known);
	k = amqp_consumer_add(st, c, tag);
	if (k) {
		name_set(&k->queue, queue);
		k->queue_known = known;
		k->mode_known = true;
		k->no_ack = m->a[CONSUME_NO_ACK].u;
	} else {
		st->stats.errors++;
	}
	amqp_op_queue(&op, queue, known);
	op.consumer = tag;
	op.args = m->a[CONSUME_ARGS].s;
	op.code = c->prefetch;
	op.flags =
		(m->a[CONSUME_NO_ACK].u ? OPF_NO_ACK : 0) | (m->a[CONSUME_EXCLUSIVE].u ? OPF_EXCLUSIVE : 0);
	amqp_emit(st, &op);
}

void amqp_cancelled(struct amqp *st, struct chan *c, struct span tag, uint32_t flags)
{
	const struct consumer *k = amqp_consumer_find(c, tag);
	struct op op = amqp_op(c, OP_UNSUBSCRIBE);

	op.consumer = tag;
	op.flags = flags;
	if (k)
		amqp_op_queue(&op, name_span(&k->queue), k->queue_known);
	amqp_emit(st, &op);
	consumer_remove(st, c, tag);
}

/* @m took effect; @ok is its answer, NULL with no-wait. */
static void request_done(struct amqp *st, struct chan *c, const struct request *r, const struct method *m,
	const struct method *ok)
{
	switch (m->def->id) {
	case EXCHANGE_DECLARE:
	case EXCHANGE_DELETE:
	case EXCHANGE_BIND:
	case EXCHANGE_UNBIND:
		exchange_done(st, c, m);
		break;
	case QUEUE_DECLARE:
		queue_declared(st, c, m, ok);
		break;
	case QUEUE_BIND:
	case QUEUE_UNBIND:
	case QUEUE_PURGE:
	case QUEUE_DELETE:
		queue_done(st, c, m);
		break;
	case BASIC_QOS:
		c->prefetch = (uint32_t)m->a[QOS_COUNT].u;
		break;
	case BASIC_CONSUME:
		consume_done(st, c, m, ok);
		break;
	case BASIC_CANCEL:
		amqp_cancelled(st, c, m->a[CANCEL_TAG].s, 0);
		break;
	case BASIC_RECOVER:
		amqp_recover(st, c);
		break;
	case TX_COMMIT:
	case TX_ROLLBACK:
		amqp_tx_end(st, c, r, m->def->id == TX_COMMIT);
		break;
	}
}

/* --- the queue of requests --- */

bool amqp_request_first(const struct chan *c, struct request *ret, struct span *ret_payload)
{
	if (c->requests_at >= c->requests.n)
		return false;
	memcpy(ret, c->requests.p + c->requests_at, sizeof(*ret));
	*ret_payload = span_of(c->requests.p + c->requests_at + sizeof(*ret), ret->len);
	return true;
}

static void request_pop(struct amqp *st, struct chan *c, const struct request *r)
{
	size_t n = sizeof(*r) + r->len;

	c->requests_at += n;
	st->requests_bytes -= n;
	if (c->requests_at < c->requests.n)
		return;
	c->requests_at = 0;
	buf_clear(&c->requests);
	if (c->requests.cap > 4096)
		buf_free(&c->requests);
}

void amqp_requests_clear(struct amqp *st, struct chan *c)
{
	st->requests_bytes -= c->requests.n - c->requests_at;
	c->requests_at = 0;
	buf_free(&c->requests);
}

static void requests_run_nowait(struct amqp *st, struct chan *c)
{
	struct request r;
	struct span payload;
	struct method m;

	while (amqp_request_first(c, &r, &payload) && r.nowait) {
		if (!amqp_method_parse(payload, &m))
			request_done(st, c, &r, &m, NULL);
		request_pop(st, c, &r);
	}
}

static void request_push(struct amqp *st, struct chan *c, const struct method *m, struct span payload)
{
	struct request r = {.len = (uint32_t)payload.n,
		.nowait = m->def->nowait >= 0 && m->a[m->def->nowait].u,
		.published = c->published,
		.tx_added = c->tx_added};

	if (st->requests_bytes + sizeof(r) + payload.n > REQUESTS_BYTES_MAX) {
		st->stats.errors++;
		amqp_requests_clear(st, c);
		return;
	}
	/* A pipelining client may never let the queue run empty. */
	if (c->requests_at > 4096 && c->requests_at > c->requests.n / 2) {
		buf_shift(&c->requests, c->requests_at);
		c->requests_at = 0;
	}
	if (!buf_reserve(&c->requests, sizeof(r) + payload.n)) {
		amqp_requests_clear(st, c);
		return;
	}
	buf_put(&c->requests, &r, sizeof(r));
	buf_put_span(&c->requests, payload);
	st->requests_bytes += sizeof(r) + payload.n;
	requests_run_nowait(st, c);
}

void amqp_request(struct amqp *st, struct chan *c, const struct method *m, struct span payload)
{
	/* Both count from where they stand in the stream of publishes, not from their answer. */
	if (m->def->id == CONFIRM_SELECT && c->mode != MODE_CONFIRM) {
		c->mode = MODE_CONFIRM;
		amqp_pend_remove_all(st, &c->publishes);
		c->numbered = true;
		c->base = c->published = 0;
	} else if (m->def->id == TX_SELECT && c->mode != MODE_TX) {
		c->mode = MODE_TX;
		amqp_pend_remove_all(st, &c->publishes);
	}
	request_push(st, c, m, payload);
}

bool amqp_request_answers(const struct method *request, const struct method *ok)
{
	return ok->def->id == request->def->reply ||
	       (request->def->id == BASIC_GET && ok->def->id == BASIC_GET_EMPTY);
}

/* True when the oldest request is the one that @ok answers; else @ok answers one that we did not see. */
bool amqp_request_answered(struct amqp *st, struct chan *c, const struct method *ok)
{
	struct request r;
	struct span payload;
	struct method m;

	if (!amqp_request_first(c, &r, &payload) || amqp_method_parse(payload, &m) ||
		!amqp_request_answers(&m, ok)) {
		st->stats.errors += c->mode != MODE_UNKNOWN;
		return false;
	}
	request_done(st, c, &r, &m, ok);
	request_pop(st, c, &r);
	requests_run_nowait(st, c);
	return true;
}

bool amqp_commit_asked(const struct chan *c)
{
	size_t at = c->requests_at;

	while (at < c->requests.n) {
		struct request r;
		struct method m;

		memcpy(&r, c->requests.p + at, sizeof(r));
		if (!amqp_method_parse(span_of(c->requests.p + at + sizeof(r), r.len), &m) &&
			m.def->id == TX_COMMIT)
			return true;
		at += sizeof(r) + r.len;
	}
	return false;
}
