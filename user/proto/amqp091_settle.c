/*
 * What a settlement, a confirm and a commit mean: open deliveries and unconfirmed publishes of a channel.
 */
#include "proto/amqp091_state.h"

/* confirm_learn(): this often in a row. */
#define LEARN_ROUNDS 4

/* --- open deliveries and unconfirmed publishes --- */

bool amqp_pend_add(struct amqp *st, struct pendq *q, const struct pend *p, size_t keep)
{
	/* At a cap the oldest of the channel makes room: its settlement will be of an unknown message. */
	while (q->n && (st->pending >= PENDING_MAX || q->n >= keep)) {
		st->pending -= !amqp_pend_at(q, 0)->done;
		amqp_pend_drop(q, 1);
	}
	if (st->pending >= PENDING_MAX || amqp_pend_push(q, p)) {
		st->stats.errors++;
		return false;
	}
	st->pending++;
	return true;
}

void amqp_pend_remove(struct amqp *st, struct pendq *q, struct pend *p)
{
	st->pending--;
	amqp_pend_done(q, p);
}

static void pend_remove_first(struct amqp *st, struct pendq *q, size_t n)
{
	size_t before = amqp_pend_live(q);

	if (!n)
		return;
	amqp_pend_drop(q, n);
	st->pending -= before - amqp_pend_live(q);
}

void amqp_pend_remove_all(struct amqp *st, struct pendq *q)
{
	st->pending -= amqp_pend_live(q);
	amqp_pend_clear(q);
}

/* --- settlement --- */

void amqp_settled(
	struct amqp *st, struct chan *c, uint64_t tag, uint64_t ref, enum settle how, uint32_t flags)
{
	struct op op = amqp_op(c, OP_SETTLE);

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
	struct pend *p = amqp_pend_find(&c->deliveries, tag);
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
	amqp_settled(st, c, tag, p ? p->op : 0, how, 0);
	if (p)
		amqp_pend_remove(st, &c->deliveries, p);
}

/* Settles all up to @tag; 0 means all there are (basic.ack: "multiple"). */
static void amqp_settle_upto(struct amqp *st, struct chan *c, uint64_t tag, enum settle how)
{
	struct pendq *q = &c->deliveries;
	size_t n = tag ? amqp_pend_upto(q, tag) : q->n;
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		struct pend *p = amqp_pend_at(q, i);
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
		amqp_settled(st, c, p->tag, p->op, how, flags);
	}
	if (!any && c->mode != MODE_TX)
		amqp_settled(st, c, tag, 0, how, OPF_ONE_OF_MANY);
	if (c->mode != MODE_TX)
		pend_remove_first(st, q, n);
}

void amqp_settle(struct amqp *st, struct chan *c, const struct method *m)
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
		amqp_settle_upto(st, c, tag, how);
	else
		settle_one(st, c, tag, how);
}

/* basic.recover: RabbitMQ knows only requeue, and all open deliveries come back under new tags. */
void amqp_recover(struct amqp *st, struct chan *c)
{
	if (amqp_pend_live(&c->deliveries))
		amqp_settle_upto(st, c, 0, SETTLE_REQUEUE);
}

/* --- publishes --- */

void amqp_confirmed(struct amqp *st, struct chan *c, uint64_t number, uint64_t ref, bool nack, uint32_t flags)
{
	struct op op = amqp_op(c, OP_CONFIRM);

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
		struct pend *p = amqp_pend_find(&c->publishes, c->published - back);

		if (!p)
			continue;
		amqp_confirmed(st, c, c->base + p->tag, p->op, c->streak_nacks >> back & 1, 0);
		amqp_pend_remove(st, &c->publishes, p);
	}
	return true;
}

static void confirm_upto(struct amqp *st, struct chan *c, uint64_t number, bool nack)
{
	struct pendq *q = &c->publishes;
	size_t n = number ? amqp_pend_upto(q, number - c->base) : q->n;
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		const struct pend *p = amqp_pend_at(q, i);

		if (p->done)
			continue;
		any = true;
		amqp_confirmed(st, c, c->base + p->tag, p->op, nack, OPF_ONE_OF_MANY);
	}
	if (!any)
		amqp_confirmed(st, c, number, 0, nack, OPF_ONE_OF_MANY);
	pend_remove_first(st, q, n);
}

void amqp_confirm(struct amqp *st, struct chan *c, const struct method *m)
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
		amqp_confirmed(st, c, number, 0, nack, multiple ? OPF_ONE_OF_MANY : 0);
		return;
	}
	if (multiple) {
		confirm_upto(st, c, number, nack);
		return;
	}
	p = amqp_pend_find(&c->publishes, number - c->base);
	amqp_confirmed(st, c, number, p ? p->op : 0, nack, 0);
	if (p)
		amqp_pend_remove(st, &c->publishes, p);
}

void amqp_publish_track(struct amqp *st, struct chan *c, uint64_t op, uint64_t hash)
{
	struct pend p = {.tag = c->published, .op = op, .hash = hash};
	bool answered = c->mode == MODE_CONFIRM || c->mode == MODE_TX;

	if (c->mode == MODE_PLAIN && !hash)
		return;
	/* Nothing ever says that a publish without confirms was taken: only the newest can still come back.
	 */
	amqp_pend_add(st, &c->publishes, &p, answered ? SIZE_MAX : MANDATORY_MAX);
}

/* --- transactions --- */

void amqp_tx_publishes(struct amqp *st, struct chan *c, uint64_t upto, bool commit)
{
	struct pendq *q = &c->publishes;
	size_t n = amqp_pend_upto(q, upto);

	for (size_t i = 0; i < n; i++)
		if (!amqp_pend_at(q, i)->done)
			amqp_confirmed(st, c, 0, amqp_pend_at(q, i)->op, !commit, OPF_TX);
	pend_remove_first(st, q, n);
}

static void tx_acks(struct amqp *st, struct chan *c, uint64_t upto, bool commit)
{
	size_t n = 0;

	for (; (n + 1) * sizeof(struct tx_ack) <= c->tx.n && c->tx_taken < upto; n++, c->tx_taken++) {
		struct tx_ack a;
		struct pend *p;

		memcpy(&a, c->tx.p + n * sizeof(a), sizeof(a));
		p = amqp_pend_find(&c->deliveries, a.tag);
		if (commit)
			amqp_settled(st, c, a.tag, a.op, a.settle, OPF_TX | (a.many ? OPF_ONE_OF_MANY : 0));
		if (p && commit)
			amqp_pend_remove(st, &c->deliveries, p);
		else if (p)
			p->settle = SETTLE_NONE; /* rolled back: open again */
	}
	buf_shift(&c->tx, n * sizeof(struct tx_ack));
}

void amqp_tx_end(struct amqp *st, struct chan *c, const struct request *r, bool commit)
{
	tx_acks(st, c, r->tx_added, commit);
	amqp_tx_publishes(st, c, r->published, commit);
}
