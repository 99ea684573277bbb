/*
 * A channel's conversation: which queue a delivery came from, which delivery a settlement means, which
 * publish a confirm means, and which requests took effect.
 *
 * Requests are kept as they were sent, in order; RabbitMQ answers a channel's requests in that order, so an
 * -ok belongs to the oldest. A request with no-wait takes effect when all before it have been answered. What
 * an empty queue name means is decided at that moment too.
 */
#include "proto/amqp091_state.h"

#include <stdlib.h>

#include "base/hash.h"

/* confirm_learn(): this often in a row. */
#define LEARN_ROUNDS 4
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

static struct op op_of(const struct chan *c, enum op_kind kind)
{
	return (struct op){.kind = kind, .channel = c->id};
}

static void set_queue(struct op *op, struct span queue, bool known)
{
	op->queue = known ? queue : SPAN_EMPTY;
	op->queue_known = known;
}

/* An empty queue name means the one declared last on this channel (queue.bind: "queue"). */
static struct span queue_meant(const struct chan *c, struct span name, bool *ret_known)
{
	*ret_known = name.n || c->last_queue_known;
	return name.n || !c->last_queue_known ? name : name_span(&c->last_queue);
}

/* --- open deliveries and unconfirmed publishes --- */

static bool pend_add(struct amqp *st, struct pendq *q, const struct pend *p, size_t keep)
{
	/* At a cap the oldest of the channel makes room: its settlement will be of an unknown message. */
	while (q->n && (st->pending >= PENDING_MAX || q->n >= keep)) {
		st->pending -= !pend_at(q, 0)->done;
		pend_drop(q, 1);
	}
	if (st->pending >= PENDING_MAX || pend_push(q, p)) {
		st->stats.errors++;
		return false;
	}
	st->pending++;
	return true;
}

static void pend_remove(struct amqp *st, struct pendq *q, struct pend *p)
{
	st->pending--;
	pend_done(q, p);
}

static void pend_remove_first(struct amqp *st, struct pendq *q, size_t n)
{
	size_t before = pend_live(q);

	if (!n)
		return;
	pend_drop(q, n);
	st->pending -= before - pend_live(q);
}

static void pend_remove_all(struct amqp *st, struct pendq *q)
{
	st->pending -= pend_live(q);
	pend_clear(q);
}

/* --- consumers --- */

static uint64_t tag_hash(struct span tag)
{
	return hash_span(tag, 0);
}

static struct consumer *consumer_find(const struct chan *c, struct span tag)
{
	struct consumer *k = map_ptr(&c->consumers, tag_hash(tag));

	return k && span_eq(name_span(&k->tag), tag) ? k : NULL;
}

static void consumer_remove(struct amqp *st, struct chan *c, struct span tag)
{
	struct consumer *k = consumer_find(c, tag);

	if (!k)
		return;
	map_del(&c->consumers, tag_hash(tag));
	st->consumers--;
	free(k);
}

static struct consumer *consumer_add(struct amqp *st, struct chan *c, struct span tag)
{
	struct consumer *k = map_ptr(&c->consumers, tag_hash(tag));

	if (!k) {
		if (st->consumers >= CONSUMERS_MAX)
			return NULL;
		k = calloc(1, sizeof(*k));
		if (!k || map_put_ptr(&c->consumers, tag_hash(tag), k)) {
			free(k);
			return NULL;
		}
		st->consumers++;
	}
	*k = (struct consumer){0}; /* a tag used again is a new consumer */
	name_set(&k->tag, tag);
	return k;
}

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

/* --- settlement --- */

static void settled(
	struct amqp *st, struct chan *c, uint64_t tag, uint64_t ref, enum settle how, uint32_t flags)
{
	struct op op = op_of(c, OP_SETTLE);

	op.tag = tag;
	op.ref = ref;
	op.settle = how;
	op.flags = flags;
	amqp_emit(st, &op);
}

/* Inside a transaction a settlement only counts when it is committed. */
static void tx_settle(struct amqp *st, struct chan *c, const struct tx_ack *a)
{
	if (c->tx.n >= PENDING_MAX * sizeof(*a)) {
		st->stats.errors++;
		return;
	}
	buf_put(&c->tx, a, sizeof(*a));
	c->tx_added += buf_ok(&c->tx);
}

static void settle_one(struct amqp *st, struct chan *c, uint64_t tag, enum settle how)
{
	struct pend *p = pend_find(&c->deliveries, tag);
	struct consumer *k;

	if (p && p->mode_unknown) {
		/* Who settles is not a no_ack consumer: the broker would close the channel. */
		k = map_ptr(&c->consumers, p->hash);
		if (k && !k->mode_known)
			k->mode_known = true;
		p->mode_unknown = false;
	}
	if (c->mode == MODE_TX) {
		tx_settle(st, c, &(struct tx_ack){tag, p && !p->settle ? p->op : 0, (uint8_t)how, false});
		if (p)
			p->settle = (uint8_t)how;
		return;
	}
	settled(st, c, tag, p ? p->op : 0, how, 0);
	if (p)
		pend_remove(st, &c->deliveries, p);
}

/* Settles all up to @tag; 0 means all there are (basic.ack: "multiple"). */
static void settle_upto(struct amqp *st, struct chan *c, uint64_t tag, enum settle how)
{
	struct pendq *q = &c->deliveries;
	size_t n = tag ? pend_upto(q, tag) : q->n;
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		struct pend *p = pend_at(q, i);
		uint32_t flags = OPF_ONE_OF_MANY;

		if (p->done || p->settle)
			continue;
		any = true;
		if (c->mode == MODE_TX) {
			p->settle = (uint8_t)how;
			tx_settle(st, c, &(struct tx_ack){p->tag, p->op, (uint8_t)how, true});
			continue;
		}
		if (p->tag <= c->gap_tag)
			flags |= OPF_GAP; /* it may have been settled otherwise in the gap */
		settled(st, c, p->tag, p->op, how, flags);
	}
	if (!any && c->mode != MODE_TX)
		settled(st, c, tag, 0, how, OPF_ONE_OF_MANY);
	if (c->mode != MODE_TX)
		pend_remove_first(st, q, n);
}

static void settle_method(struct amqp *st, struct chan *c, const struct method *m)
{
	uint64_t tag = m->a[ACK_TAG].u;
	enum settle how = SETTLE_ACK;
	bool multiple = false;

	switch (m->def->id) {
	case BASIC_ACK:
		multiple = m->a[ACK_MULTIPLE].u;
		break;
	case BASIC_NACK:
		multiple = m->a[ACK_MULTIPLE].u;
		how = m->a[NACK_REQUEUE].u ? SETTLE_REQUEUE : SETTLE_REJECT;
		break;
	default:
		how = m->a[REJECT_REQUEUE].u ? SETTLE_REQUEUE : SETTLE_REJECT;
	}
	if (multiple)
		settle_upto(st, c, tag, how);
	else
		settle_one(st, c, tag, how);
}

/* basic.recover: RabbitMQ knows only requeue, and all open deliveries come back under new tags. */
static void recover(struct amqp *st, struct chan *c)
{
	if (pend_live(&c->deliveries))
		settle_upto(st, c, 0, SETTLE_REQUEUE);
}

/* --- publishes --- */

static uint64_t return_hash(struct span exchange, struct span key, uint64_t body_size, struct span body)
{
	uint64_t h = hash_span(exchange, 1);

	h = hash_span(key, h);
	h = hash_span(body, h ^ body_size);
	return h ? h : 1;
}

static void confirmed(
	struct amqp *st, struct chan *c, uint64_t number, uint64_t ref, bool nack, uint32_t flags)
{
	struct op op = op_of(c, OP_CONFIRM);

	op.tag = number;
	op.ref = ref;
	op.flags = flags | (nack ? OPF_NEGATIVE : 0);
	amqp_emit(st, &op);
}

/*
 * Publish numbers from the middle. A confirming publisher whose confirm.select was not seen numbers its
 * publishes from an unknown base. It is taken as known after LEARN_ROUNDS rounds of exactly one publish, then
 * exactly one confirm, with numbers ascending by one: a publisher that waits for each confirm. (One that
 * keeps a constant number in flight could look the same for a while; a confirm of a number not yet published
 * then proves the base wrong, and learning starts again.) Until then confirms are of unknown messages.
 */
static bool confirm_learn(struct amqp *st, struct chan *c, uint64_t number, bool nack)
{
	bool one = c->since_confirm == 1;

	if (one && c->streak && number == c->last_confirm + 1)
		c->streak++;
	else
		c->streak = one;
	c->streak_nacks = c->streak_nacks << 1 | nack;
	c->last_confirm = number;
	if (c->streak < LEARN_ROUNDS || number < c->published)
		return false;
	c->numbered = true;
	c->base = number - c->published;
	/* The rounds before this one had been confirmed without our knowing whose confirm it was. */
	for (unsigned back = LEARN_ROUNDS - 1; back; back--) {
		struct pend *p = pend_find(&c->publishes, c->published - back);

		if (!p)
			continue;
		confirmed(st, c, c->base + p->tag, p->op, c->streak_nacks >> back & 1, 0);
		pend_remove(st, &c->publishes, p);
	}
	return true;
}

static void confirm_upto(struct amqp *st, struct chan *c, uint64_t number, bool nack)
{
	struct pendq *q = &c->publishes;
	size_t n = number ? pend_upto(q, number - c->base) : q->n;
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		const struct pend *p = pend_at(q, i);

		if (p->done)
			continue;
		any = true;
		confirmed(st, c, c->base + p->tag, p->op, nack, OPF_ONE_OF_MANY);
	}
	if (!any)
		confirmed(st, c, number, 0, nack, OPF_ONE_OF_MANY);
	pend_remove_first(st, q, n);
}

static void confirm_method(struct amqp *st, struct chan *c, const struct method *m)
{
	uint64_t number = m->a[ACK_TAG].u;
	bool multiple = m->a[ACK_MULTIPLE].u, nack = m->def->id == BASIC_NACK;
	struct pend *p;

	if (c->mode == MODE_PLAIN || c->mode == MODE_TX)
		st->stats.errors++;
	c->mode = MODE_CONFIRM;
	if (c->numbered && (number > c->base + c->published)) {
		st->stats.errors++;
		c->numbered = false;
		c->streak = 0;
	} else if (!c->numbered) {
		confirm_learn(st, c, number, nack);
	}
	c->since_confirm = 0;
	if (!c->numbered || (number && number <= c->base)) {
		confirmed(st, c, number, 0, nack, multiple ? OPF_ONE_OF_MANY : 0);
		return;
	}
	if (multiple) {
		confirm_upto(st, c, number, nack);
		return;
	}
	p = pend_find(&c->publishes, number - c->base);
	confirmed(st, c, number, p ? p->op : 0, nack, 0);
	if (p)
		pend_remove(st, &c->publishes, p);
}

static void publish_track(struct amqp *st, struct chan *c, uint64_t op, uint64_t hash)
{
	struct pend p = {.tag = c->published, .op = op, .hash = hash};
	bool answered = c->mode == MODE_CONFIRM || c->mode == MODE_TX;

	if (c->mode == MODE_PLAIN && !hash)
		return;
	/* Nothing ever says that a publish without confirms was taken: only the newest can still come back.
	 */
	pend_add(st, &c->publishes, &p, answered ? SIZE_MAX : MANDATORY_MAX);
}

/* --- transactions --- */

static void tx_publishes(struct amqp *st, struct chan *c, uint64_t upto, bool commit)
{
	struct pendq *q = &c->publishes;
	size_t n = pend_upto(q, upto);

	for (size_t i = 0; i < n; i++)
		if (!pend_at(q, i)->done)
			confirmed(st, c, 0, pend_at(q, i)->op, !commit, OPF_TX);
	pend_remove_first(st, q, n);
}

static void tx_acks(struct amqp *st, struct chan *c, uint64_t upto, bool commit)
{
	size_t n = 0;

	for (; (n + 1) * sizeof(struct tx_ack) <= c->tx.n && c->tx_taken < upto; n++, c->tx_taken++) {
		struct tx_ack a;
		struct pend *p;

		memcpy(&a, c->tx.p + n * sizeof(a), sizeof(a));
		p = pend_find(&c->deliveries, a.tag);
		if (commit)
			settled(st, c, a.tag, a.op, a.settle, OPF_TX | (a.many ? OPF_ONE_OF_MANY : 0));
		if (p && commit)
			pend_remove(st, &c->deliveries, p);
		else if (p)
			p->settle = SETTLE_NONE; /* rolled back: open again */
	}
	buf_shift(&c->tx, n * sizeof(struct tx_ack));
}

static void tx_end(struct amqp *st, struct chan *c, const struct request *r, bool commit)
{
	tx_acks(st, c, r->tx_added, commit);
	tx_publishes(st, c, r->published, commit);
}

/* --- requests that took effect --- */

static void exchange_done(struct amqp *st, struct chan *c, const struct method *m)
{
	static const uint32_t bits[] = {OPF_PASSIVE, OPF_DURABLE, OPF_AUTO_DELETE, OPF_INTERNAL};
	struct op op = op_of(c, OP_EXCHANGE_DECLARE);

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
		set_queue(&op, m->a[XBIND_DESTINATION].s, true);
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
	struct op op = op_of(c, OP_QUEUE_DECLARE);

	set_queue(&op, name, name.n > 0);
	op.args = m->a[QUEUE_ARGS].s;
	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		op.flags |= m->a[QUEUE_FLAGS + i].u ? bits[i] : 0;
	name_set(&c->last_queue, name);
	c->last_queue_known = name.n > 0;
	amqp_emit(st, &op);
}

static void queue_done(struct amqp *st, struct chan *c, const struct method *m)
{
	struct op op = op_of(c, OP_QUEUE_PURGE);
	struct span queue;
	bool known;

	queue = queue_meant(c, m->a[QUEUE_NAME].s, &known);
	set_queue(&op, queue, known);
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
	struct op op = op_of(c, OP_SUBSCRIBE);
	struct consumer *k;
	bool known;

	queue = queue_meant(c, m->a[CONSUME_QUEUE].s, &known);
	k = consumer_add(st, c, tag);
	if (k) {
		name_set(&k->queue, queue);
		k->queue_known = known;
		k->mode_known = true;
		k->no_ack = m->a[CONSUME_NO_ACK].u;
	} else {
		st->stats.errors++;
	}
	set_queue(&op, queue, known);
	op.consumer = tag;
	op.args = m->a[CONSUME_ARGS].s;
	op.code = c->prefetch;
	op.flags =
		(m->a[CONSUME_NO_ACK].u ? OPF_NO_ACK : 0) | (m->a[CONSUME_EXCLUSIVE].u ? OPF_EXCLUSIVE : 0);
	amqp_emit(st, &op);
}

static void cancelled(struct amqp *st, struct chan *c, struct span tag, uint32_t flags)
{
	const struct consumer *k = consumer_find(c, tag);
	struct op op = op_of(c, OP_UNSUBSCRIBE);

	op.consumer = tag;
	op.flags = flags;
	if (k)
		set_queue(&op, name_span(&k->queue), k->queue_known);
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
		cancelled(st, c, m->a[CANCEL_TAG].s, 0);
		break;
	case BASIC_RECOVER:
		recover(st, c);
		break;
	case TX_COMMIT:
	case TX_ROLLBACK:
		tx_end(st, c, r, m->def->id == TX_COMMIT);
		break;
	}
}

/* --- the queue of requests --- */

static bool request_first(const struct chan *c, struct request *ret, struct span *ret_payload)
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

static void requests_clear(struct amqp *st, struct chan *c)
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

	while (request_first(c, &r, &payload) && r.nowait) {
		if (!method_parse(payload, &m))
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
		requests_clear(st, c);
		return;
	}
	/* A pipelining client may never let the queue run empty. */
	if (c->requests_at > 4096 && c->requests_at > c->requests.n / 2) {
		buf_shift(&c->requests, c->requests_at);
		c->requests_at = 0;
	}
	if (!buf_reserve(&c->requests, sizeof(r) + payload.n)) {
		requests_clear(st, c);
		return;
	}
	buf_put(&c->requests, &r, sizeof(r));
	buf_put_span(&c->requests, payload);
	st->requests_bytes += sizeof(r) + payload.n;
	requests_run_nowait(st, c);
}

static void client_request(struct amqp *st, struct chan *c, const struct method *m, struct span payload)
{
	/* Both count from where they stand in the stream of publishes, not from their answer. */
	if (m->def->id == CONFIRM_SELECT && c->mode != MODE_CONFIRM) {
		c->mode = MODE_CONFIRM;
		pend_remove_all(st, &c->publishes);
		c->numbered = true;
		c->base = c->published = 0;
	} else if (m->def->id == TX_SELECT && c->mode != MODE_TX) {
		c->mode = MODE_TX;
		pend_remove_all(st, &c->publishes);
	}
	request_push(st, c, m, payload);
}

static bool answers(const struct method *request, const struct method *ok)
{
	return ok->def->id == request->def->reply ||
	       (request->def->id == BASIC_GET && ok->def->id == BASIC_GET_EMPTY);
}

/* True when the oldest request is the one that @ok answers; else @ok answers one that we did not see. */
static bool request_answered(struct amqp *st, struct chan *c, const struct method *ok)
{
	struct request r;
	struct span payload;
	struct method m;

	if (!request_first(c, &r, &payload) || method_parse(payload, &m) || !answers(&m, ok)) {
		st->stats.errors += c->mode != MODE_UNKNOWN;
		return false;
	}
	request_done(st, c, &r, &m, ok);
	request_pop(st, c, &r);
	requests_run_nowait(st, c);
	return true;
}

/* --- contents --- */

static void deliver_begun(struct amqp *st, struct content *t)
{
	struct span tag = t->m.a[DELIVER_CONSUMER].s;
	struct consumer *k = consumer_find(t->chan, tag);

	if (!k)
		k = consumer_add(st, t->chan, tag);
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

	if (request_first(c, &r, &payload) && !method_parse(payload, &m) && answers(&m, &t->m)) {
		queue = queue_meant(c, m.a[GET_QUEUE].s, &known);
		name_set(&t->queue, queue);
		t->queue_known = known;
		t->mode_known = true;
		t->no_ack = m.a[GET_NO_ACK].u;
	}
	request_answered(st, c, &t->m);
}

void content_begun(struct amqp *st, struct content *t)
{
	if (t->m.def->id == BASIC_DELIVER)
		deliver_begun(st, t);
	else if (t->m.def->id == BASIC_GET_OK)
		get_ok_begun(st, t);
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
		confirmed(st, c, 0, id, true, 0); /* the broker reads close-ok and nothing else */
	else
		publish_track(st, c, id, hash);
}

static void delivery_track(struct amqp *st, struct content *t, uint64_t tag, uint64_t id)
{
	struct chan *c = t->chan;
	struct pend p = {.tag = tag, .op = id, .mode_unknown = !t->mode_known};

	if (t->m.def->id == BASIC_DELIVER)
		p.hash = tag_hash(t->m.a[DELIVER_CONSUMER].s);
	if (c->deliveries.n && pend_at(&c->deliveries, c->deliveries.n - 1)->tag >= tag) {
		/* Tags only ascend: the channel was closed and opened again where we could not see it. */
		st->stats.errors++;
		pend_remove_all(st, &c->deliveries);
		c->gap_tag = 0;
	}
	pend_add(st, &c->deliveries, &p, SIZE_MAX);
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
		k = consumer_find(t->chan, op->consumer);
		if (k && t->header_seen) {
			learn_queue(k, op->exchange, op->routing_key, op->envelope);
			t->queue = k->queue;
			t->queue_known = k->queue_known;
		}
	}
	set_queue(op, name_span(&t->queue), t->queue_known);
	if (t->no_ack)
		op->flags |= OPF_NO_ACK;
	id = amqp_emit(st, op);
	if (t->no_ack)
		settled(st, t->chan, op->tag, id, SETTLE_AUTO, 0);
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
		struct pend *p = pend_at(q, i);

		if (p->done || p->hash != hash)
			continue;
		op->ref = p->op;
		p->hash = 0; /* its confirm, or the commit, is still to come */
		if (t->chan->mode == MODE_PLAIN)
			pend_remove(st, q, p);
		break;
	}
	amqp_emit(st, op);
}

void content_whole(struct amqp *st, struct content *t)
{
	struct op op = op_of(t->chan, OP_SEND);

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

struct chan *chan_get(struct amqp *st, uint16_t id)
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
			content_drop(st, c->content[d]);
	pend_remove_all(st, &c->deliveries);
	pend_free(&c->deliveries);
	pend_remove_all(st, &c->publishes);
	pend_free(&c->publishes);
	map_for_each (&c->consumers, s) {
		free((void *)(uintptr_t)s->val);
		st->consumers--;
	}
	map_free(&c->consumers);
	requests_clear(st, c);
	buf_free(&c->tx);
	*c = fresh;
}

void chan_free(struct amqp *st, struct chan *c)
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

static bool commit_asked(const struct chan *c)
{
	size_t at = c->requests_at;

	while (at < c->requests.n) {
		struct request r;
		struct method m;

		memcpy(&r, c->requests.p + at, sizeof(r));
		if (!method_parse(span_of(c->requests.p + at + sizeof(r), r.len), &m) &&
			m.def->id == TX_COMMIT)
			return true;
		at += sizeof(r) + r.len;
	}
	return false;
}

/* Says what the end of a channel means for what was open on it. */
static void chan_ended(struct amqp *st, struct chan *c)
{
	struct pendq *q = &c->deliveries;

	for (size_t i = 0; i < q->n; i++) {
		const struct pend *p = pend_at(q, i);
		const struct consumer *k;

		/* Not said where it may be wrong: settled in a gap, or a no_ack consumer's. */
		if (p->done || p->tag <= c->gap_tag)
			continue;
		k = p->mode_unknown ? map_ptr(&c->consumers, p->hash) : NULL;
		if (p->mode_unknown && (!k || !k->mode_known))
			continue;
		settled(st, c, p->tag, p->op, SETTLE_LOST, 0);
	}
	if (c->mode == MODE_TX && !commit_asked(c))
		tx_publishes(st, c, UINT64_MAX, false);
}

void chan_end(struct amqp *st, struct chan *c)
{
	chan_ended(st, c);
	chan_free(st, c);
}

void chan_gap(struct amqp *st, struct chan *c, enum flowdir d)
{
	c->last_queue_known = false;
	if (d == TO_CLIENT) {
		requests_clear(st, c);
		return;
	}
	if (c->deliveries.n)
		c->gap_tag = pend_at(&c->deliveries, c->deliveries.n - 1)->tag;
	/* Publishes, settlements, commits and a confirm.select may have been in it. */
	pend_remove_all(st, &c->publishes);
	for (size_t i = 0; i < c->deliveries.n; i++)
		pend_at(&c->deliveries, i)->settle = SETTLE_NONE;
	buf_clear(&c->tx);
	c->tx_taken = c->tx_added;
	c->numbered = false;
	c->streak = 0;
	if (c->mode != MODE_CONFIRM)
		c->mode = MODE_UNKNOWN;
}

static void chan_closed_by_broker(struct amqp *st, struct chan *c, const struct method *m)
{
	struct op op = op_of(c, OP_ERROR);

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
		chan_end(st, c);
		return;
	}
	if (c->dead)
		return;
	switch (m->def->id) {
	case BASIC_ACK:
	case BASIC_NACK:
	case BASIC_REJECT:
		settle_method(st, c, m);
		break;
	case BASIC_RECOVER_ASYNC:
		recover(st, c);
		break;
	default:
		if (m->def->flags & IS_REQUEST)
			client_request(st, c, m, payload);
	}
}

static void server_method(struct amqp *st, struct chan *c, const struct method *m)
{
	switch (m->def->id) {
	case CHANNEL_CLOSE:
		chan_closed_by_broker(st, c, m);
		break;
	case CHANNEL_CLOSE_OK:
		chan_end(st, c);
		break;
	case BASIC_ACK:
	case BASIC_NACK:
		confirm_method(st, c, m);
		break;
	case BASIC_CANCEL:
		cancelled(st, c, m->a[CANCEL_TAG].s, OPF_BY_BROKER);
		break;
	case CHANNEL_OPEN_OK:
	case CHANNEL_FLOW:
	case CHANNEL_FLOW_OK:
		break;
	default:
		request_answered(st, c, m);
	}
}

void chan_method(struct amqp *st, struct chan *c, const struct method *m, struct span payload)
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
