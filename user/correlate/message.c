/*
 * Messages and their copies: life in memory, state, rows. A row is written when the store is flushed, once
 * for all changes since the last flush, or when its message leaves memory.
 *
 * Messages with nothing more to come leave a minute after their last change; where more copies may turn up
 * (not all bindings are known), ten minutes after. Over the limit the oldest leave early: finished ones
 * first, then open ones, which is counted.
 */
#include <errno.h>
#include <stdlib.h>

#include "correlate/model.h"

#define DONE_KEPT_NS      (60 * NS_PER_SEC)
#define DONE_OPEN_KEPT_NS (600 * NS_PER_SEC)

/* --- state --- */

/* What an operator must hear first comes first. */
static const enum msg_state pressing[] = {STATE_DEAD_LETTERED, STATE_REJECTED, STATE_EXPIRED, STATE_PURGED,
	STATE_RETURNED, STATE_REQUEUED, STATE_DELIVERED, STATE_QUEUED, STATE_UNKNOWN, STATE_ACKED};

static enum msg_state summary(const struct message *m)
{
	if (m->own == STATE_RETURNED)
		return STATE_RETURNED;
	for (size_t i = 0; i < ARRAY_LEN(pressing); i++) {
		if (!m->in_state[pressing[i]])
			continue;
		/* Nobody has come for it yet: in its dead-letter queue it is what it was made as. */
		if (m->dead && (pressing[i] == STATE_QUEUED || pressing[i] == STATE_REQUEUED))
			return STATE_DEAD_LETTERED;
		return pressing[i];
	}
	return m->dead ? STATE_DEAD_LETTERED : m->own;
}

static bool is_done(const struct message *m)
{
	/* Whoever was not subscribed when it came will never get it. */
	bool passing = m->dest == DEST_CHANNEL || m->dest == DEST_CALL;
	unsigned open = m->in_state[STATE_UNKNOWN] + m->in_state[STATE_QUEUED] +
			m->in_state[STATE_DELIVERED] + m->in_state[STATE_REQUEUED];

	if (m->own == STATE_RETURNED || (m->own == STATE_PURGED && !open))
		return true;
	return !open && (m->ncopies || m->routes == ROUTES_DECLARED || passing);
}

static void settle_in_life(struct correlator *c, struct message *m)
{
	if (!is_done(m)) {
		if (m->done_ns) {
			m->done_ns = 0;
			list_move_tail(&c->open, &m->life);
		}
		return;
	}
	if (!m->done_ns) {
		m->done_ns = c->now;
		list_move_tail(
			m->routes == ROUTES_DECLARED || m->own == STATE_RETURNED || m->origin == ORIGIN_BROKER
				? &c->done
				: &c->done_open,
			&m->life);
	}
}

void message_touch(struct correlator *c, struct message *m)
{
	m->state = summary(m);
	settle_in_life(c, m);
	if (list_empty(&m->dirty))
		list_add_tail(&c->dirty_messages, &m->dirty);
}

void copy_touch(struct correlator *c, struct copy *cp)
{
	if (list_empty(&cp->dirty))
		list_add_tail(&c->dirty_copies, &cp->dirty);
}

static void wait_end(struct copy *cp)
{
	cp->q->nwaiting -= !list_empty(&cp->waiting);
	list_del(&cp->waiting);
}

static void wait_begin(struct copy *cp)
{
	list_add_tail(&cp->q->waiting, &cp->waiting);
	cp->q->nwaiting++;
}

void copy_set(struct correlator *c, struct copy *cp, enum msg_state st)
{
	bool waits = st == STATE_QUEUED || st == STATE_REQUEUED;

	cp->m->in_state[cp->state]--;
	cp->m->in_state[st]++;
	cp->state = st;
	wait_end(cp);
	if (waits && !cp->withdrawn)
		wait_begin(cp);
	list_del(&cp->lane);
	log_copy(c, cp);
	copy_touch(c, cp);
	message_touch(c, cp->m);
}

/* --- life --- */

struct message *message_by_id(struct correlator *c, uint64_t id)
{
	return id ? map_ptr(&c->messages, id) : NULL;
}

/* Puts a new message with an id into memory. */
static int insert(struct correlator *c, struct message *m)
{
	if (map_put_ptr(&c->messages, m->id, m))
		return -ENOMEM;
	list_add_tail(&c->open, &m->life);
	c->stats.live++;
	return 0;
}

struct message *message_new(struct correlator *c, struct space *s)
{
	struct message *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	list_init(&m->dirty);
	list_init(&m->life);
	list_init(&m->of_group);
	list_init(&m->of_journal);
	list_init(&m->inops);
	m->copies_end = &m->copies;
	m->space = s;
	m->proto = s->broker->proto;
	m->id = c->next.message;
	m->exchange = str_ref(c->empty);
	m->key = str_ref(c->empty);
	m->type = str_ref(c->empty);
	if (insert(c, m)) {
		free(m);
		return NULL;
	}
	c->next.message++;
	c->stats.messages++;
	return m;
}

static void copy_free(struct correlator *c, struct copy *cp)
{
	cause_forget_copy(c, cp);
	log_forget_copy(c, cp);
	list_del(&cp->dirty);
	wait_end(cp);
	list_del(&cp->lane);
	queue_put(c, cp->q);
	free(cp);
}

static void message_free(struct correlator *c, struct message *m)
{
	cause_forget_message(c, m);
	group_remove(c, m);
	flow_leave(c, m);
	for (struct copy *cp = m->copies, *next; cp; cp = next) {
		next = cp->next;
		copy_free(c, cp);
	}
	log_forget(c, m);
	map_del(&c->messages, m->id);
	if (m->send_op)
		map_del(&c->sends, m->send_op);
	list_del(&m->dirty);
	list_del(&m->life);
	values_put(m->values);
	intern_put(&c->strings, m->exchange);
	intern_put(&c->strings, m->key);
	intern_put(&c->strings, m->type);
	free(m);
	c->stats.live--;
}

int message_drop(struct correlator *c, struct message *m)
{
	int err = message_flush(c, m);

	message_free(c, m);
	return err;
}

static int drop_older(struct correlator *c, struct list *head, int64_t kept_ns)
{
	struct message *m;
	int err = 0;

	while (!err && (m = list_first(head, struct message, life)) && m->done_ns + kept_ns < c->now)
		err = message_drop(c, m);
	return err;
}

int messages_sweep(struct correlator *c)
{
	int err = drop_older(c, &c->done, DONE_KEPT_NS);

	if (!err)
		err = drop_older(c, &c->done_open, DONE_OPEN_KEPT_NS);
	while (!err && c->stats.live > c->max_messages) {
		struct message *m = list_first(&c->done, struct message, life);

		if (!m)
			m = list_first(&c->done_open, struct message, life);
		if (!m) {
			m = list_first(&c->open, struct message, life);
			c->stats.evicted_open++;
		}
		err = message_drop(c, m);
	}
	return err;
}

/* --- copies --- */

struct copy *copy_find(const struct message *m, const struct queue *q)
{
	struct copy *cp = m->copies;

	while (cp && (cp->q != q || cp->withdrawn))
		cp = cp->next;
	return cp;
}

struct copy *copy_new(struct correlator *c, struct message *m, struct queue *q, enum copy_source source,
	enum msg_state state, int64_t queued_ns)
{
	struct copy *cp;

	if (m->ncopies == UINT16_MAX)
		return NULL;
	cp = calloc(1, sizeof(*cp));
	if (!cp)
		return NULL;
	list_init(&cp->dirty);
	list_init(&cp->waiting);
	list_init(&cp->lane);
	list_init(&cp->of_position);
	cp->m = m;
	cp->q = q;
	queue_ref(q);
	cp->id = c->next.copy++;
	cp->source = source;
	cp->state = STATE_UNKNOWN;
	cp->queued_ns = queued_ns;
	*m->copies_end = cp;
	m->copies_end = &cp->next;
	m->ncopies++;
	m->in_state[STATE_UNKNOWN]++;
	copy_set(c, cp, state);
	return cp;
}

void copy_move(struct correlator *c, struct copy *cp, struct queue *q)
{
	struct queue *old = cp->q;

	wait_end(cp);
	queue_ref(q);
	cp->q = q;
	queue_put(c, old);
	if (cp->state == STATE_QUEUED || cp->state == STATE_REQUEUED)
		wait_begin(cp);
	log_copy(c, cp);
	copy_touch(c, cp);
	message_touch(c, cp->m);
}

void copy_withdraw(struct correlator *c, struct copy *cp)
{
	cause_forget_copy(c, cp);
	wait_end(cp);
	list_del(&cp->lane);
	cp->m->in_state[cp->state]--;
	cp->m->ncopies--;
	/* Kept in its message's list until that goes: its row has to be taken back. */
	cp->withdrawn = true;
	cp->state = STATE_UNKNOWN;
	log_forget_copy(c, cp);
	copy_touch(c, cp);
	message_touch(c, cp->m);
}

/* --- two that are one --- */

static void copy_give(struct correlator *c, struct copy *cp, struct message *to)
{
	struct message *from = cp->m;
	struct copy **at = &from->copies;

	while (*at != cp)
		at = &(*at)->next;
	*at = cp->next;
	if (!cp->next)
		from->copies_end = at;
	cp->next = NULL;
	from->in_state[cp->state]--;
	from->ncopies--;
	*to->copies_end = cp;
	to->copies_end = &cp->next;
	to->in_state[cp->state]++;
	to->ncopies++;
	cp->m = to;
	list_del(&cp->lane);
	log_forget_copy(c, cp); /* it is of another journal now */
	log_copy(c, cp);
	copy_touch(c, cp);
}

int message_absorb(struct correlator *c, struct message *m, struct message *from)
{
	uint64_t id = from->id;
	int err = from->flow ? flow_join(c, m, from) : 0;

	/* Of other queues than those of @m's: a group that has another name, too, is joined after this. */
	for (struct copy *cp = from->copies, *next; cp; cp = next) {
		next = cp->next;
		if (!cp->withdrawn)
			copy_give(c, cp, m);
	}
	list_for_each (&from->inops, n) {
		list_entry(n, struct inop, of_message)->m = m;
		list_move_tail(&m->inops, n);
	}
	if (!m->first_ns || (from->first_ns && from->first_ns < m->first_ns))
		m->first_ns = from->first_ns;
	message_touch(c, m);
	if (!err)
		err = message_flush(c, from); /* for the copies that it leaves behind */
	message_free(c, from);
	return err || !c->out.merge_messages ? err : c->out.merge_messages(c->out.ctx, id, m->id);
}

/* --- rows --- */

static int message_row(struct correlator *c, struct message *m)
{
	struct message_rec r = {
		.id = m->id,
		.broker = m->space->broker->id,
		.proto = m->proto,
		.vhost = str_span(m->space->vhost),
		.exchange = str_span(m->exchange),
		.dest = m->dest,
		.routing_key = str_span(m->key),
		.type = str_span(m->type),
		.log = m->journal ? str_span(m->journal->name) : SPAN_EMPTY,
		.mid = str_span(m->mid),
		.sent_ns = m->sent_ns,
		.first_ns = m->first_ns,
		.process = m->process,
		.tid = m->tid,
		.unit = m->unit,
		.connection = m->connection,
		.channel = m->channel,
		.state = m->state,
		.origin = m->origin,
		.routes = m->routes,
		.flow = flow_id(m),
		.fingerprint = m->fingerprint,
		.payload = m->payload,
		.body_size = m->body_size,
		.flags = m->flags,
		.one_of = m->one_of,
		.code = m->code,
	};

	m->stored = true;
	return c->out.message ? c->out.message(c->out.ctx, &r) : 0;
}

static int copy_row(struct correlator *c, const struct copy *cp)
{
	struct copy_rec r = {
		.id = cp->id,
		.message = cp->withdrawn ? 0 : cp->m->id,
		.queue = str_span(cp->q->name),
		.state = cp->state,
		.source = cp->source,
		.settle = cp->settle,
		.queued_ns = cp->queued_ns,
		.first_delivered_ns = cp->first_delivered_ns,
		.delivered_ns = cp->delivered_ns,
		.settled_ns = cp->settled_ns,
		.deliveries = cp->deliveries,
		.consumer = cp->consumer,
		.consumer_tid = cp->consumer_tid,
		.connection = cp->connection,
		.dead_letter = cp->dead_letter,
	};

	return c->out.copy ? c->out.copy(c->out.ctx, &r) : 0;
}

int message_flush(struct correlator *c, struct message *m)
{
	int err = 0;

	if (!list_empty(&m->dirty)) {
		list_del(&m->dirty);
		err = message_row(c, m);
	}
	for (struct copy *cp = m->copies; cp && !err; cp = cp->next) {
		if (list_empty(&cp->dirty))
			continue;
		list_del(&cp->dirty);
		err = copy_row(c, cp);
	}
	return err;
}

int messages_flush(struct correlator *c)
{
	struct message *m;
	struct copy *cp;
	int err = 0;

	while (!err && (m = list_first(&c->dirty_messages, struct message, dirty))) {
		list_del(&m->dirty);
		err = message_row(c, m);
	}
	while (!err && (cp = list_first(&c->dirty_copies, struct copy, dirty))) {
		list_del(&cp->dirty);
		err = copy_row(c, cp);
	}
	return err;
}

/* --- restoring, freeing --- */

int correlator__restore_message(struct correlator *c, const struct message_rec *r)
{
	struct broker *b = broker_by_id(c, r->broker);
	struct space *s = b ? space_of(c, b, r->vhost) : NULL;
	struct message *m;
	uint64_t next = c->next.message;
	int err;

	if (!s || message_by_id(c, r->id) || !r->id)
		return 0;
	c->next.message = r->id;
	m = message_new(c, s);
	c->next.message = next > r->id ? next : r->id + 1;
	if (!m)
		return -ENOMEM;
	c->stats.messages--;
	m->stored = true;
	m->proto = r->proto;
	m->sent_ns = r->sent_ns;
	m->first_ns = r->first_ns;
	m->process = r->process;
	m->tid = r->tid;
	m->unit = r->unit;
	m->connection = r->connection;
	m->channel = r->channel;
	m->origin = r->origin;
	m->routes = r->routes;
	m->fingerprint = r->fingerprint;
	m->payload = r->payload;
	m->body_size = r->body_size;
	m->flags = r->flags;
	m->one_of = r->one_of;
	m->code = r->code;
	m->state = r->state;
	m->dest = r->dest;
	m->own = r->state <= STATE_RETURNED   ? r->state
		 : r->flags & MSGF_CONFIRMED  ? STATE_CONFIRMED
		 : r->origin == ORIGIN_CLIENT ? STATE_SENT
					      : STATE_UNKNOWN;
	m->dead = r->origin == ORIGIN_BROKER && r->state == STATE_DEAD_LETTERED;
	/* How often a dead letter had died is not stored. */
	m->deaths = r->origin == ORIGIN_BROKER ? DEATHS_UNKNOWN : 0;
	intern_put(&c->strings, m->exchange);
	intern_put(&c->strings, m->key);
	intern_put(&c->strings, m->type);
	m->exchange = intern_get(&c->strings, r->exchange);
	m->key = intern_get(&c->strings, r->routing_key);
	m->type = intern_get(&c->strings, r->type);
	if (!m->exchange || !m->key || !m->type)
		return -ENOMEM;
	err = log_restore(c, m, r->log, r->mid);
	if (err)
		return err;
	return m->fingerprint && !(m->flags & OPF_GAP) ? flow_restore(c, m, r->flow) ?: group_add(c, m)
						       : flow_restore(c, m, r->flow);
}

int correlator__restore_copy(struct correlator *c, const struct copy_rec *r)
{
	struct message *m = message_by_id(c, r->message);
	uint64_t next = c->next.copy;
	struct queue *q;
	struct copy *cp;
	int err;

	if (!m)
		return 0;
	if (r->queue.n) {
		err = log_restore_queue(c, m, r->queue, &q);
		if (err)
			return err;
	} else {
		q = queue_new_place(c, m->space);
		if (!q)
			return -ENOMEM;
	}
	c->next.copy = r->id;
	cp = copy_new(c, m, q, r->source, r->state, r->queued_ns);
	c->next.copy = next > r->id ? next : r->id + 1;
	if (!r->queue.n)
		queue_put(c, q);
	if (!cp)
		return -ENOMEM;
	cp->settle = r->settle;
	cp->first_delivered_ns = r->first_delivered_ns;
	cp->delivered_ns = r->delivered_ns;
	cp->settled_ns = r->settled_ns;
	cp->deliveries = r->deliveries;
	cp->consumer = r->consumer;
	cp->consumer_tid = r->consumer_tid;
	cp->connection = r->connection;
	cp->dead_letter = r->dead_letter;
	cp->restored = true;
	/* Nothing changed: what the store has stays as it is. */
	list_del(&cp->dirty);
	list_del(&m->dirty);
	if (m->group && (cp->state == STATE_REQUEUED || cp->state == STATE_DELIVERED)) {
		struct lane *l = lane_get(m->group, q);

		if (!l)
			return -ENOMEM;
		list_add_tail(&l->returned, &cp->lane);
	}
	return 0;
}

void messages_free(struct correlator *c)
{
	struct list *const lives[] = {&c->open, &c->done, &c->done_open};
	struct message *m;

	for (size_t i = 0; i < ARRAY_LEN(lives); i++)
		while ((m = list_first(lives[i], struct message, life)))
			message_free(c, m);
	map_free(&c->messages);
	map_free(&c->sends);
	map_free(&c->groups);
}
