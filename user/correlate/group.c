/*
 * Groups that read what a topic or stream keeps. Each has a copy of its own of a message: it is a queue named
 * "orders/billing" that hangs at the topic, and a message sent to a topic is due to every group that is known
 * then, as if it were bound there. Groups settle by name, from any connection; what settles "up to" a
 * position goes over the open copies of that journal only.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "correlate/log.h"

#define MAX_SCAN     64   /* messages that have a copy, one after the other, before all earlier ones have */
#define MAX_DISORDER 1024 /* copies beyond a position, likewise */

/* Copies of one journal's messages that a group has not settled, in the order in which they came to be. */
struct position {
	uint64_t key;
	struct queue *group;
	struct journal *journal;
	struct list copies; /* copy.of_position */
	bool walked;        /* by each_open(): stays until that is done, though empty */
};

/* --- groups --- */

static struct span token(struct span s, bool *ret_more)
{
	const uint8_t *dot = s.n ? memchr(s.p, '.', s.n) : NULL;

	*ret_more = dot;
	return span_sub(s, 0, dot ? (size_t)(dot - s.p) : s.n);
}

/* Tokens with * for one and > for all the rest (NATS); names of topics and streams have no such tokens. */
static bool one_matches(struct span pattern, struct span subject)
{
	for (;;) {
		bool p_more, s_more;
		struct span p = token(pattern, &p_more), s = token(subject, &s_more);

		if (span_is(p, ">") && !p_more)
			return subject.n;
		if (!span_is(p, "*") && !span_eq(p, s))
			return false;
		if (!p_more || !s_more)
			return p_more == s_more;
		pattern = span_sub(pattern, p.n + 1, SIZE_MAX);
		subject = span_sub(subject, s.n + 1, SIZE_MAX);
	}
}

/* One of several patterns with blanks between them; a stream's name that holds a blank is itself. */
bool subject_matches(struct span pattern, struct span subject)
{
	if (span_eq(pattern, subject))
		return true;
	while (pattern.n) {
		const uint8_t *blank = memchr(pattern.p, ' ', pattern.n);
		size_t n = blank ? (size_t)(blank - pattern.p) : pattern.n;

		if (one_matches(span_sub(pattern, 0, n), subject))
			return true;
		pattern = span_sub(pattern, n + 1, SIZE_MAX);
	}
	return false;
}

int group_get(struct correlator *c, struct space *s, struct span topic, struct span group, struct span filter,
	struct queue **ret)
{
	struct queue *q;
	int err;

	buf_clear(&c->text);
	buf_put_span(&c->text, topic);
	buf_putc(&c->text, '/');
	buf_put_span(&c->text, group);
	if (!buf_ok(&c->text))
		return -ENOMEM;
	err = queue_get(c, s, buf_span(&c->text), &q);
	if (err)
		return err;
	if (!q->topic) {
		err = topic_get(c, s, topic, &q->topic);
		if (err)
			return err;
		list_add_tail(&q->topic->groups, &q->of_topic);
	}
	if (filter.n && !span_eq(str_span(q->filter), filter)) {
		intern_put(&c->strings, q->filter);
		q->filter = intern_get(&c->strings, filter);
		if (!q->filter)
			return -ENOMEM;
	}
	*ret = q;
	return 0;
}

int group_of(struct correlator *c, struct opctx *x, struct queue **ret)
{
	const struct op *op = x->op;
	struct span topic = topic_name(op);
	bool whole = span_eq(topic, op->exchange);
	bool says = op->kind == OP_QUEUE_DECLARE || op->kind == OP_SUBSCRIBE;

	return group_get(c, x->space, topic, op->queue, whole || says ? op->exchange : SPAN_EMPTY, ret);
}

void log_leave_topic(struct correlator *c, struct queue *q)
{
	list_del(&q->of_topic);
	if (q->topic)
		topic_put(c, q->topic);
	intern_put(&c->strings, q->filter);
	q->topic = NULL;
	q->filter = NULL;
}

int log_route(struct correlator *c, struct message *m)
{
	/* Met at a delivery it may be old, and read by all others long ago. */
	if (!m->journal || m->dest != DEST_LOG || !m->sent_ns)
		return 0;
	list_for_each (&m->journal->topic->groups, n) {
		struct queue *q = list_entry(n, struct queue, of_topic);

		if (q->deleted || q->stale || !q->filter || copy_find(m, q) ||
			!subject_matches(str_span(q->filter), str_span(m->exchange)))
			continue;
		if (!copy_new(c, m, q, COPY_BY_GROUP, STATE_QUEUED, m->sent_ns ? m->sent_ns : m->first_ns))
			return -ENOMEM;
	}
	return 0;
}

/* --- positions --- */

static uint64_t position_key(const struct queue *q, const struct journal *j)
{
	return hash_u64((uint64_t)(uintptr_t)q) + hash_u64((uint64_t)(uintptr_t)j + 1);
}

static void position_end(struct correlator *c, struct position *p)
{
	if (!list_empty(&p->copies) || p->walked)
		return;
	map_del(&c->positions, p->key);
	free(p);
}

static void position_leave(struct correlator *c, struct copy *cp)
{
	struct position *p = cp->position;

	if (!p)
		return;
	cp->position = NULL;
	list_del(&cp->of_position);
	position_end(c, p);
}

static int position_join(struct correlator *c, struct copy *cp)
{
	uint64_t key = position_key(cp->q, cp->m->journal);
	struct position *p = map_ptr(&c->positions, key);

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p || map_put_ptr(&c->positions, key, p)) {
			free(p);
			return -ENOMEM;
		}
		*p = (struct position){.key = key, .group = cp->q, .journal = cp->m->journal};
		list_init(&p->copies);
	}
	list_add_tail(&p->copies, &cp->of_position);
	cp->position = p;
	return 0;
}

int log_copy(struct correlator *c, struct copy *cp)
{
	bool open = cp->state == STATE_QUEUED || cp->state == STATE_DELIVERED || cp->state == STATE_REQUEUED;

	if (cp->position && (cp->position->group != cp->q || !open || cp->withdrawn))
		position_leave(c, cp);
	if (cp->position || !open || cp->withdrawn || !cp->m->journal || !cp->q->topic)
		return 0;
	return position_join(c, cp);
}

void log_forget_copy(struct correlator *c, struct copy *cp)
{
	position_leave(c, cp);
}

/* 1: @cp is beyond what is looked for. */
typedef int (*copy_fn)(struct correlator *c, struct opctx *x, struct copy *cp, const void *arg);

static int each_open(struct correlator *c, struct opctx *x, struct position *p, copy_fn fn, const void *arg)
{
	unsigned beyond = 0;
	int r = 0;

	p->walked = true;
	list_for_each (&p->copies, n) {
		r = fn(c, x, list_entry(n, struct copy, of_position), arg);
		beyond = r > 0 ? beyond + 1 : 0;
		if (r < 0 || beyond == MAX_DISORDER)
			break;
	}
	p->walked = false;
	position_end(c, p);
	return r < 0 ? r : 0;
}

/*
 * A member of a Kafka group left: what it had fetched and the group has not committed, its next reader gets
 * again. (Streams keep it in the reader's pending list: that is told when somebody claims it.)
 */
static int give_back(struct correlator *c, struct opctx *x, struct copy *cp, const void *process)
{
	struct inop *in = cp->inop;
	int err;

	if (cp->state != STATE_DELIVERED || cp->consumer != *(const uint64_t *)process)
		return 0;
	err = settle_copy(c, cp, x->op);
	return err ? err : cause_ended(c, in, x, SETTLE_LOST);
}

static int group_left(struct correlator *c, struct queue *q, uint64_t process, int64_t ts_ns)
{
	struct op lost = {.kind = OP_SETTLE, .settle = SETTLE_LOST, .ts_ns = ts_ns};
	struct opctx x = {.op = &lost};
	int err = 0;

	list_for_each (&q->topic->journals, n) {
		const struct journal *j = list_entry(n, struct journal, of_topic);
		struct position *p =
			j->name == q->topic->name ? NULL : map_ptr(&c->positions, position_key(q, j));

		if (p && !err)
			err = each_open(c, &x, p, give_back, &process);
	}
	return err;
}

int log_consumer_gone(struct correlator *c, struct queue *q, uint64_t process, int64_t ts_ns)
{
	return q->topic && process ? group_left(c, q, process, ts_ns) : 0;
}

/* --- operations --- */

/* The broker says that somebody holds it (XPENDING): not who asks, and nothing was handed over now. */
int log_reported(struct correlator *c, struct opctx *x)
{
	struct copy *cp;
	struct queue *q;
	int err;

	x->m = log_message(c, x->space, x->op->log, x->op->mid);
	if (!x->m || !x->op->queue_known)
		return 0;
	err = group_of(c, x, &q);
	if (err)
		return err;
	cp = copy_find(x->m, q);
	if (!cp)
		cp = copy_new(c, x->m, q, COPY_BY_GROUP, STATE_QUEUED, x->m->sent_ns);
	if (!cp)
		return -ENOMEM;
	x->copy = cp;
	if (cp->deliveries < x->op->delivery)
		cp->deliveries = x->op->delivery;
	if (cp->state == STATE_QUEUED || cp->state == STATE_REQUEUED)
		copy_set(c, cp, STATE_DELIVERED);
	return 0;
}

/* Taken by another one before the first settled it (XCLAIM, a rebalance, a time-out). */
int log_taken_over(struct correlator *c, struct opctx *x, struct copy *cp)
{
	return cause_ended(c, cp->inop, x, SETTLE_LOST);
}

/* One settlement, of a copy that was or was not seen to be delivered. */
static int settle_one(struct correlator *c, struct opctx *x, struct copy *cp)
{
	struct inop *in = cp->inop;
	int err;

	x->m = cp->m;
	x->copy = cp;
	/* The broker's echo of what the client did: it may have been delivered again since. */
	if (x->op->flags & OPF_REPORTED && x->op->settle == SETTLE_REQUEUE && cp->settle == SETTLE_REQUEUE)
		return 0;
	err = settle_copy(c, cp, x->op);
	/* The group is past it, whoever read it. */
	if (!err && (cp->state == STATE_QUEUED || cp->state == STATE_REQUEUED)) {
		if (x->op->settle == SETTLE_ACK)
			copy_set(c, cp, STATE_ACKED);
		else if (x->op->settle == SETTLE_REJECT) /* it had its last chance */
			copy_set(c, cp, STATE_REJECTED);
	}
	return err || !in || in->settled_ns ? err : cause_settled(c, in, x);
}

static int settle_before(struct correlator *c, struct opctx *x, struct copy *cp, const void *at)
{
	return before(cp->m, at) ? settle_one(c, x, cp) : 1;
}

/* All of the group's copies before the position that the operation names. */
static int settle_up_to(struct correlator *c, struct opctx *x, const struct queue *q)
{
	struct journal *j = journal_find(c, x->space, x->op->log);
	struct position *p = j ? map_ptr(&c->positions, position_key(q, j)) : NULL;
	struct op many = *x->op;
	struct opctx y = *x;
	uint64_t at[2];

	/* Who commits a position says nothing about which of the messages before it made him send what. */
	many.flags |= OPF_ONE_OF_MANY;
	y.op = &many;
	return p && read_mid(x->op->mid, at) ? each_open(c, &y, p, settle_before, at) : 0;
}

/* A read that was asked for before we came does not say for which group: the settlement does. */
static struct copy *name_reader(
	struct correlator *c, const struct opctx *x, struct message *m, struct queue *q)
{
	for (struct copy *cp = m->copies; cp; cp = cp->next)
		if (!cp->q->name && !cp->withdrawn && cp->state == STATE_DELIVERED && x->process &&
			cp->consumer == x->process->id) {
			copy_move(c, cp, q);
			return cp;
		}
	return NULL;
}

/* Not yet a copy of the group's, nor one that an unknown reader has, who may be of that group. */
static bool lacks_copy(const struct message *m, const struct queue *q)
{
	for (const struct copy *cp = m->copies; cp; cp = cp->next)
		if (cp->q == q || (!cp->q->name && !cp->withdrawn))
			return false;
	return true;
}

/*
 * A group that tells its position may be met only now: what was sent before we knew of it is for it, too,
 * and is past or waits, as the position says.
 */
static int catch_up(struct correlator *c, struct opctx *x, struct queue *q)
{
	struct journal *j = journal_find(c, x->space, x->op->log);
	struct list *n = j && q->filter ? j->messages.prev : NULL;
	unsigned known = 0;

	if (!n || n == &j->messages)
		return 0;
	for (; n->prev != &j->messages && known < MAX_SCAN; n = n->prev)
		known = lacks_copy(list_entry(n, struct message, of_journal), q) ? 0 : known + 1;
	for (; n != &j->messages; n = n->next) {
		struct message *m = list_entry(n, struct message, of_journal);

		if (!m->sent_ns || !m->mid || m->own == STATE_PURGED || m->own == STATE_RETURNED ||
			(m->flags & OPF_TX && m->own == STATE_SENT) || !lacks_copy(m, q) ||
			!subject_matches(str_span(q->filter), str_span(m->exchange)))
			continue;
		if (!copy_new(c, m, q, COPY_BY_GROUP, STATE_QUEUED, m->sent_ns))
			return -ENOMEM;
		message_touch(c, m);
	}
	return 0;
}

int log_settle(struct correlator *c, struct opctx *x)
{
	struct message *m;
	struct copy *cp;
	struct queue *q;
	int err;

	if (!x->op->queue.n)
		return 0;
	if (x->op->flags & OPF_UP_TO) {
		err = cluster_by_position(c, x);
		if (err)
			return err;
	}
	if (x->op->dest == DEST_LOG)
		err = group_of(c, x, &q);
	else /* a list whose elements have names: BullMQ's jobs */
		err = queue_get(c, x->space, x->op->queue, &q);
	if (err)
		return err;
	queue_alive(c, q);
	if (!(x->op->flags & OPF_UP_TO)) {
		m = log_message(c, x->space, x->op->log, x->op->mid);
		cp = m ? copy_find(m, q) : NULL;
		if (m && !cp)
			cp = name_reader(c, x, m, q);
		if (cp && x->op->settle == SETTLE_PROGRESS) {
			x->m = m;
			x->copy = cp;
			return 0;
		}
		return cp ? settle_one(c, x, cp) : 0;
	}
	err = catch_up(c, x, q);
	return err ? err : settle_up_to(c, x, q);
}

/* A new group that begins at a position gets what its topic holds from there on. */
static int begin_at(struct correlator *c, struct opctx *x, struct queue *q)
{
	uint64_t at[2];
	int err = 0;

	if (q->declared || !q->filter || !read_mid(x->op->mid, at))
		return 0;
	list_for_each (&q->topic->journals, n)
		list_for_each (&list_entry(n, struct journal, of_topic)->messages, k) {
			struct message *m = list_entry(k, struct message, of_journal);

			if (err || !m->sent_ns || !m->mid || m->own == STATE_PURGED ||
				m->own == STATE_RETURNED || (m->flags & OPF_TX && m->own == STATE_SENT) ||
				before(m, at) || copy_find(m, q) ||
				!subject_matches(str_span(q->filter), str_span(m->exchange)))
				continue;
			if (!copy_new(c, m, q, COPY_BY_GROUP, STATE_QUEUED, m->sent_ns))
				err = -ENOMEM;
			message_touch(c, m);
		}
	return err;
}

int log_topology(struct correlator *c, struct opctx *x)
{
	struct queue *q;
	int err;

	switch (x->op->kind) {
	case OP_EXCHANGE_DECLARE:
		return log_declared(c, x);
	case OP_EXCHANGE_DELETE:
		topic_gone(c, x);
		return 1;
	case OP_QUEUE_DECLARE:
	case OP_QUEUE_DELETE:
		err = group_of(c, x, &q);
		if (err)
			return err;
		if (x->op->kind == OP_QUEUE_DELETE)
			return queue_gone(c, q, x->op->ts_ns);
		queue_alive(c, q);
		err = begin_at(c, x, q);
		if (err)
			return err;
		q->declared = true;
		return queue_row(c, q, x->op->ts_ns);
	default:
		return 1;
	}
}

int log_subscribe(struct correlator *c, struct opctx *x, struct queue **ret)
{
	int err = group_of(c, x, ret);

	if (err)
		return err;
	queue_alive(c, *ret);
	err = queue_row(c, *ret, x->op->ts_ns);
	return err ? err : member_joined(c, x, *ret);
}

int log_unsubscribe(struct correlator *c, struct opctx *x)
{
	struct queue *q;
	int err = x->op->queue.n ? group_of(c, x, &q) : -ENOENT;

	if (err)
		return err == -ENOENT ? 0 : err;
	member_left(c, x, q);
	return 0;
}

int log_restore_queue(struct correlator *c, struct message *m, struct span name, struct queue **ret)
{
	struct span topic = m->journal ? str_span(m->journal->topic->name) : SPAN_EMPTY;

	if (!topic.n || name.n <= topic.n + 1 || !span_eq(span_sub(name, 0, topic.n), topic) ||
		name.p[topic.n] != '/')
		return queue_get(c, m->space, name, ret);
	return group_get(c, m->space, topic, span_sub(name, topic.n + 1, SIZE_MAX), SPAN_EMPTY, ret);
}
