#include "query/verdict.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

#define REFUSAL_AMONG 16 /* operations of a message that was refused, looked at for why */
#define MAX_HOPS      64 /* dead letters followed: a retry a minute, for an hour */

/* What was asked about a queue before. */
struct queue_facts {
	uint64_t broker;
	const char *vhost, *name; /* of the loader */
	int64_t taken_ns;
	const struct who *taken_by;
	unsigned consumers;
	const struct who *consumer;
	enum dead_target target;
};

struct judge {
	struct loader *l;
	struct store *s;
	struct coverage coverage;
	int64_t now_ns;
	struct map queues;  /* hash of broker, vhost, name -> struct queue_facts * */
	struct map watched; /* broker -> struct watched * */
	sqlite3_stmt *ahead, *taken, *same_place, *consumers, *declared, *position;
};

int judge__new(struct loader *l, const struct coverage *c, int64_t now_ns, struct judge **ret, struct err *e)
{
	struct judge *j = calloc(1, sizeof(*j));
	int err;

	if (!j)
		return err_set(e, -ENOMEM, "out of memory");
	j->l = l;
	j->s = loader_store(l);
	j->coverage = *c;
	j->now_ns = now_ns;
	/* the first condition on the state lets SQLite use the index copy_open */
	err = cat_prepare(j->s,
		"SELECT count(*) FROM (SELECT 1 FROM copy c JOIN message m ON m.id=c.message JOIN name v ON "
		"v.id=m.vhost"
		" WHERE c.queue=(SELECT id FROM name WHERE text=?1) AND c.state IN (4,5,7) AND c.state<>5"
		" AND c.queued_ns<?2 AND m.broker IS ?3 AND v.text=?4"
		" AND (?6 IS NULL OR m.log=(SELECT id FROM name WHERE text=?6)) LIMIT ?5)",
		&j->ahead, e);
	if (!err)
		err = cat_prepare(j->s,
			"SELECT delivered_ns,consumer,message,connection FROM copy"
			" WHERE queue=(SELECT id FROM name WHERE text=?1) ORDER BY queued_ns DESC",
			&j->taken, e);
	if (!err)
		err = cat_prepare(j->s,
			"SELECT 1 FROM message WHERE id=?1 AND broker IS ?2 AND vhost=(SELECT id FROM name "
			"WHERE text=?3)",
			&j->same_place, e);
	if (!err)
		err = cat_prepare(j->s,
			"SELECT process,connection FROM consumer WHERE queue=?1 AND broker=?2 AND vhost=?3"
			" AND until_ns IS NULL ORDER BY since_ns DESC",
			&j->consumers, e);
	if (!err)
		err = cat_prepare(j->s,
			"SELECT declared,dead_letter_exchange FROM queue WHERE name=?1 AND broker=?2 AND "
			"vhost=?3",
			&j->declared, e);
	if (!err)
		err = cat_prepare(j->s,
			"SELECT c.state,m.mid FROM copy c JOIN message m ON m.id=c.message"
			" WHERE c.queue=(SELECT id FROM name WHERE text=?1) AND c.queued_ns<=?2 AND m.broker "
			"IS ?3"
			" AND m.vhost=(SELECT id FROM name WHERE text=?4) AND m.log=(SELECT id FROM name "
			"WHERE "
			"text=?5)"
			" AND m.id<>?6 ORDER BY c.queued_ns DESC,m.id DESC LIMIT ?7",
			&j->position, e);
	if (err) {
		judge__free(j);
		return err;
	}
	*ret = j;
	return 0;
}

void judge__free(struct judge *j)
{
	if (!j)
		return;
	map_for_each (&j->queues, q)
		free((void *)(uintptr_t)q->val);
	map_free(&j->queues);
	map_for_each (&j->watched, w)
		free((void *)(uintptr_t)w->val);
	map_free(&j->watched);
	sqlite3_finalize(j->ahead);
	sqlite3_finalize(j->taken);
	sqlite3_finalize(j->same_place);
	sqlite3_finalize(j->consumers);
	sqlite3_finalize(j->declared);
	sqlite3_finalize(j->position);
	free(j);
}

/* --- queues --- */

/* 0 is "not known", which the catalogue has as NULL. */
static void bind_known(sqlite3_stmt *st, int i, uint64_t id)
{
	if (id)
		sqlite3_bind_int64(st, i, (int64_t)id);
	else
		sqlite3_bind_null(st, i);
}

static void bind_text(sqlite3_stmt *st, int i, const char *text)
{
	sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
}

/* Queues of one name may be in several virtual hosts and brokers. */
static int in_same_place(struct judge *j, const struct queue_facts *f, uint64_t message, struct err *e)
{
	int more;

	sqlite3_bind_int64(j->same_place, 1, (int64_t)message);
	bind_known(j->same_place, 2, f->broker);
	bind_text(j->same_place, 3, f->vhost);
	more = cat_step(j->s, j->same_place, e);
	sqlite3_reset(j->same_place);
	return more;
}

/* Youngest first, so that few are later than the latest so far and need a look at their place. */
static int read_taken(struct judge *j, struct queue_facts *f, struct err *e)
{
	int more, same;

	bind_text(j->taken, 1, f->name);
	while ((more = cat_step(j->s, j->taken, e)) > 0) {
		int64_t ns = cat_time(j->taken, 0);

		if (ns <= f->taken_ns)
			continue;
		same = in_same_place(j, f, cat_id(j->taken, 2), e);
		if (same < 0) {
			more = same;
			break;
		}
		if (same) {
			f->taken_ns = ns;
			f->taken_by =
				names_client(loader_names(j->l), cat_id(j->taken, 1), cat_id(j->taken, 3));
		}
	}
	sqlite3_reset(j->taken);
	return more;
}

static int read_consumers(struct judge *j, struct queue_facts *f, struct err *e)
{
	int more;

	bind_text(j->consumers, 1, f->name);
	bind_known(j->consumers, 2, f->broker);
	bind_text(j->consumers, 3, f->vhost);
	while ((more = cat_step(j->s, j->consumers, e)) > 0) {
		if (!f->consumers++)
			f->consumer = names_client(
				loader_names(j->l), cat_id(j->consumers, 0), cat_id(j->consumers, 1));
	}
	sqlite3_reset(j->consumers);
	return more;
}

static int read_declared(struct judge *j, struct queue_facts *f, struct err *e)
{
	int more;

	bind_text(j->declared, 1, f->name);
	bind_known(j->declared, 2, f->broker);
	bind_text(j->declared, 3, f->vhost);
	more = cat_step(j->s, j->declared, e);
	if (more > 0 && sqlite3_column_type(j->declared, 1) != SQLITE_NULL)
		f->target = DEAD_TARGET_DECLARED;
	else if (more > 0 && sqlite3_column_int(j->declared, 0))
		f->target = DEAD_TARGET_NONE;
	sqlite3_reset(j->declared);
	return more < 0 ? more : 0;
}

static int queue_facts(
	struct judge *j, const struct msg *m, const char *name, const struct queue_facts **ret, struct err *e)
{
	uint64_t key = hash_span(span_str(name), hash_span(span_str(m->row.vhost), m->broker));
	struct queue_facts *f = map_ptr(&j->queues, key);
	int err;

	if (f) {
		*ret = f;
		return 0;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return err_set(e, -ENOMEM, "out of memory");
	f->broker = m->broker;
	f->vhost = m->row.vhost;
	f->name = name;
	err = read_taken(j, f, e);
	err = err ? err : read_consumers(j, f, e);
	err = err ? err : read_declared(j, f, e);
	if (!err && map_put_ptr(&j->queues, key, f))
		err = err_set(e, -ENOMEM, "out of memory");
	if (err) {
		free(f);
		return err;
	}
	*ret = f;
	return 0;
}

int judge_watched(struct judge *j, const struct msg *m, struct watched *ret, struct err *e)
{
	struct watched *w = map_ptr(&j->watched, m->broker);
	int err;

	if (w) {
		*ret = *w;
		return 0;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, -ENOMEM, "out of memory");
	err = cat_watched(j->s, m->broker, &j->coverage, j->now_ns, w, e);
	if (!err && map_put_ptr(&j->watched, m->broker, w))
		err = err_set(e, -ENOMEM, "out of memory");
	if (err) {
		free(w);
		return err;
	}
	*ret = *w;
	return 0;
}

/* --- copies --- */

/* How far the group has come in this message's partition or stream: back from the message to what it has. */
static int read_position(
	struct judge *j, const struct msg *m, const struct msg_copy *c, struct finding *v, struct err *e)
{
	int more;

	bind_text(j->position, 1, c->queue);
	sqlite3_bind_int64(j->position, 2, c->queued_ns);
	bind_known(j->position, 3, m->broker);
	bind_text(j->position, 4, m->row.vhost);
	bind_text(j->position, 5, m->row.log);
	sqlite3_bind_int64(j->position, 6, (int64_t)m->row.id);
	sqlite3_bind_int64(j->position, 7, AHEAD_MAX);
	while ((more = cat_step(j->s, j->position, e)) > 0) {
		enum msg_state state = cat_state(j->position, 0);

		if ((state == STATE_DELIVERED || state == STATE_ACKED) && !*v->taken_mid)
			cat_text(j->position, 1, v->taken_mid, sizeof(v->taken_mid));
		if (state != STATE_ACKED)
			continue;
		cat_text(j->position, 1, v->settled_mid, sizeof(v->settled_mid));
		break;
	}
	sqlite3_reset(j->position);
	return more < 0 ? more : 0;
}

static int judge_waiting(
	struct judge *j, const struct msg *m, const struct msg_copy *c, struct finding *v, struct err *e)
{
	const struct queue_facts *f = NULL;
	int err, more;

	v->since_ns = c->state == STATE_REQUEUED && c->settled_ns ? c->settled_ns : c->queued_ns;
	err = queue_facts(j, m, c->queue, &f, e);
	if (err)
		return err;
	v->queue_taken_ns = f->taken_ns;
	v->queue_taken_by = f->taken_by;
	v->consumers = f->consumers;
	v->consumer = f->consumer;
	bind_text(j->ahead, 1, c->queue);
	sqlite3_bind_int64(j->ahead, 2, c->queued_ns);
	bind_known(j->ahead, 3, m->broker);
	bind_text(j->ahead, 4, m->row.vhost);
	sqlite3_bind_int64(j->ahead, 5, AHEAD_MAX);
	/* a group is as far in one partition as it is, whatever it has left of others */
	sqlite3_bind_text(
		j->ahead, 6, m->row.dest == DEST_LOG && *m->row.log ? m->row.log : NULL, -1, SQLITE_STATIC);
	more = cat_step(j->s, j->ahead, e);
	if (more > 0)
		v->ahead = cat_id(j->ahead, 0);
	sqlite3_reset(j->ahead);
	if (more < 0)
		return more;
	return m->row.dest == DEST_LOG && *m->row.log ? read_position(j, m, c, v, e) : 0;
}

static bool on_reason(void *ctx, const struct field *f)
{
	struct finding *v = ctx;

	if (!span_is(f->name, "header.x-death[0].reason"))
		return true;
	snprintf(v->reason, sizeof(v->reason), SPAN_FMT, SPAN_ARG(f->text));
	return false;
}

/*
 * Dead-lettering is also how a retry is made: a rejected message waits in a queue until its time to live
 * ends, and that queue's dead-letter exchange leads back. So it is followed on: if it came back to the queue
 * where it began, or only its waiting ended, it has been retried, and what counts is where it stands now.
 */
static int follow_dead(struct judge *j, const struct msg_copy *c, struct finding *v, struct err *e)
{
	const struct msg *m = v->dead;
	const struct msg_copy *end = NULL;
	int err = 0;

	for (unsigned hops = 0; m && m->copies_n == 1 && hops < MAX_HOPS; hops++) {
		struct msg *next = NULL;

		v->end_message = m;
		v->end = end = &m->copies[0];
		if (end->dead_letter)
			err = loader_get(j->l, end->dead_letter, &next, e);
		if (err && err != -ENOENT)
			return err;
		m = next;
	}
	/* longer than that, or a circle in a damaged store: not followed */
	if (!m && end && (!strcmp(end->queue, c->queue) || !strcmp(v->reason, "expired")))
		v->kind = STANDS_RETRIED;
	return 0;
}

/* The broker writes into the copy why it moved it: the newest death stands first. */
static int judge_dead(struct judge *j, const struct msg_copy *c, struct finding *v, struct err *e)
{
	const struct proto *p;
	int err;

	v->since_ns = c->settled_ns;
	if (c->settle == SETTLE_REJECT)
		snprintf(v->reason, sizeof(v->reason), "rejected");
	if (!c->dead_letter)
		return 0;
	err = loader_get(j->l, c->dead_letter, &v->dead, e);
	if (err == -ENOENT)
		return 0;
	if (err)
		return err;
	if (!v->since_ns)
		v->since_ns = v->dead->row.when_ns;
	/* a payload that cannot be read leaves what the settlement said */
	p = loader_payload(j->l, v->dead, e) ? NULL : proto_by_id(v->dead->row.proto);
	if (p && p->fields)
		p->fields(v->dead->row.envelope, on_reason, v);
	return follow_dead(j, c, v, e);
}

static uint64_t retry_of(const struct msg *m)
{
	for (size_t i = 0; i < m->links_n; i++)
		if (m->links[i].kind == LINK_RETRY_OF && m->links[i].src == m->row.id)
			return m->links[i].dst;
	return 0;
}

/* Sent again to where it was, by whoever rejected it, maybe often: what counts is where the last one stands.
 */
static int judge_retried(struct judge *j, struct finding *v, struct err *e)
{
	struct msg *first = NULL, *last = NULL;
	uint64_t next = retry_of(v->message);

	for (unsigned hops = 0; next; hops++) {
		int err = hops < MAX_HOPS ? loader_get(j->l, next, &last, e) : -ENOENT;

		if (err == -ENOENT)
			return 0;
		if (err)
			return err;
		first = first ? first : last;
		next = retry_of(last);
	}
	if (!last || last->copies_n != 1)
		return 0;
	v->kind = STANDS_RETRIED;
	v->dead = first;
	v->end_message = last;
	v->end = &last->copies[0];
	snprintf(v->reason, sizeof(v->reason), "rejected");
	return 0;
}

/*
 * Was what went wrong, or lies where dead letters go, sent again since? A store that cannot say so leaves the
 * rest of the verdict as it is.
 */
static void judge_replay(struct judge *j, struct finding *v)
{
	struct err e;

	switch (v->kind) {
	case STANDS_WAITING:
		if (v->message->row.origin != ORIGIN_BROKER)
			return;
		break;
	case STANDS_DEAD_LETTERED:
	case STANDS_REJECTED:
	case STANDS_EXPIRED:
	case STANDS_RETURNED:
	case STANDS_REFUSED:
		break;
	default:
		return;
	}
	v->replayed = last_replay(j->l, v->message->row.id, &v->replay, NULL, &e) > 0;
}

static void on_refusal(void *ctx, const struct msg_op *op)
{
	struct finding *v = ctx;

	if (op->kind == OP_CONFIRM && op->flags & OPF_NEGATIVE && op->text.n)
		snprintf(v->refusal, sizeof(v->refusal), SPAN_FMT, SPAN_ARG(op->text));
}

/* Words that cannot be read are left out. */
static void judge_refusal(struct judge *j, struct finding *v)
{
	struct err e;

	v->kind = STANDS_REFUSED;
	loader_operations(j->l, v->message, REFUSAL_AMONG, on_refusal, v, &e);
}

static void on_duplicate(void *ctx, const struct msg_op *op)
{
	if (op->kind == OP_CONFIRM && span_is(op->text, "duplicate"))
		*(bool *)ctx = true;
}

/* The broker's answer was that it has it already, under a name that is another message's. */
static bool was_duplicate(struct judge *j, const struct msg *m)
{
	bool is = false;
	struct err e;

	if (m->row.dest == DEST_LOG && !*m->row.mid)
		loader_operations(j->l, m, REFUSAL_AMONG, on_duplicate, &is, &e);
	return is;
}

int judge_copy(
	struct judge *j, const struct msg *m, const struct msg_copy *c, struct finding *ret, struct err *e)
{
	struct finding v = {.message = m, .copy = c};
	const struct queue_facts *f = NULL;
	int err = judge_watched(j, m, &v.watched, e);

	if (err)
		return err;
	switch (c->state) {
	case STATE_QUEUED:
	case STATE_REQUEUED:
	case STATE_SENT:
	case STATE_CONFIRMED:
		v.kind = row_unconfirmed(&m->row) ? STANDS_ON_ITS_WAY : STANDS_WAITING;
		err = judge_waiting(j, m, c, &v, e);
		break;
	case STATE_DELIVERED:
		v.kind = STANDS_DELIVERED;
		v.since_ns = c->delivered_ns;
		break;
	case STATE_ACKED:
		v.kind = STANDS_DONE;
		v.since_ns = c->settled_ns;
		break;
	case STATE_REJECTED:
		v.kind = STANDS_REJECTED;
		v.since_ns = c->settled_ns;
		err = queue_facts(j, m, c->queue, &f, e);
		v.target = err ? DEAD_TARGET_UNKNOWN : f->target;
		if (!err)
			err = judge_retried(j, &v, e);
		break;
	case STATE_DEAD_LETTERED:
		v.kind = STANDS_DEAD_LETTERED;
		err = judge_dead(j, c, &v, e);
		break;
	case STATE_EXPIRED:
		v.kind = STANDS_EXPIRED;
		v.since_ns = c->settled_ns;
		break;
	case STATE_PURGED:
		v.kind = STANDS_PURGED;
		v.since_ns = c->settled_ns;
		break;
	case STATE_RETURNED:
		v.kind = STANDS_RETURNED;
		if (m->row.flags & MSGF_REFUSED)
			judge_refusal(j, &v);
		break;
	case STATE_UNKNOWN:
		v.since_ns = c->settled_ns; /* removed then, perhaps */
		break;
	}
	if (err)
		return err;
	judge_replay(j, &v);
	*ret = v;
	return 0;
}

int judge_message(struct judge *j, const struct msg *m, struct finding *ret, struct err *e)
{
	struct finding v = {.message = m, .since_ns = m->row.when_ns};

	int err = judge_watched(j, m, &v.watched, e);

	if (err)
		return err;
	if (m->row.flags & MSGF_REFUSED)
		judge_refusal(j, &v);
	else if (m->row.state == STATE_PURGED)
		v.kind = STANDS_PURGED;
	else if (m->row.state == STATE_RETURNED)
		v.kind = STANDS_RETURNED;
	else if (m->routes == ROUTES_DECLARED)
		v.kind = STANDS_DROPPED;
	else if (m->row.dest == DEST_LOG && *m->row.mid && m->row.state != STATE_UNKNOWN)
		v.kind = STANDS_KEPT;
	else if (m->row.state == STATE_CONFIRMED || m->row.flags & MSGF_CONFIRMED)
		v.kind = was_duplicate(j, m) ? STANDS_DROPPED : STANDS_NOT_SEEN;
	else if (m->row.state == STATE_SENT)
		v.kind = STANDS_ON_ITS_WAY;
	judge_replay(j, &v);
	*ret = v;
	return 0;
}

/* --- what an answer speaks of --- */

struct wave {
	struct loader *l;
	struct map seen;
	struct concerned *list;
	size_t n, max;
	bool more;
};

static const struct msg_link *dead_letter_link(const struct msg *m)
{
	for (size_t i = 0; i < m->links_n; i++)
		if (m->links[i].kind == LINK_DEAD_LETTER_OF && m->links[i].dst == m->row.id)
			return &m->links[i];
	return NULL;
}

/* Is the target of such a link something that the source led to? */
static bool leads_on(enum link_kind k)
{
	return k >= LINK_CAUSED_BY && k <= LINK_REPLAY_OF;
}

/* The strongest of the links from what made it be sent. */
static const struct msg_link *best_cause(const struct msg *m)
{
	const struct msg_link *best = NULL;

	for (size_t i = 0; i < m->links_n; i++) {
		const struct msg_link *k = &m->links[i];

		if (k->dst == m->row.id && leads_on(k->kind) && k->kind != LINK_DEAD_LETTER_OF &&
			(!best || k->confidence > best->confidence))
			best = k;
	}
	return best;
}

static int add_subject(struct wave *w, uint64_t id, bool asked, struct err *e)
{
	struct msg *m;
	int err;

	if (map_get(&w->seen, id))
		return 0;
	if (w->n == w->max) {
		w->more = true;
		return 0;
	}
	err = loader_get(w->l, id, &m, e);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (map_put(&w->seen, id, 1))
		return err_set(e, -ENOMEM, "out of memory");
	w->list[w->n++] = (struct concerned){m, best_cause(m), asked};
	return 0;
}

/* Effects are appended while the list is walked. */
static int follow(struct wave *w, struct err *e)
{
	int err = 0;

	for (size_t i = 0; i < w->n && !err; i++) {
		const struct msg *m = w->list[i].message;

		for (size_t k = 0; k < m->links_n && !err; k++)
			if (m->links[k].src == m->row.id && leads_on(m->links[k].kind))
				err = add_subject(w, m->links[k].dst, false, e);
	}
	return err;
}

static int by_time(const void *a, const void *b)
{
	const struct concerned *x = a, *y = b;

	if (x->message->row.when_ns != y->message->row.when_ns)
		return x->message->row.when_ns < y->message->row.when_ns ? -1 : 1;
	return (x->message->row.id > y->message->row.id) - (x->message->row.id < y->message->row.id);
}

/* A dead-letter copy is told of by the verdict of the message that it was. */
static void drop_dead_copies(struct wave *w)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->n; i++) {
		const struct msg_link *dead = dead_letter_link(w->list[i].message);

		if (!dead || !map_get(&w->seen, dead->src))
			w->list[kept++] = w->list[i];
	}
	w->n = kept;
}

int where_subjects(struct loader *l, const uint64_t *ids, size_t n, size_t max, struct concerned *ret,
	size_t *ret_n, bool *ret_more, struct err *e)
{
	struct wave w = {.l = l, .list = ret, .max = max};
	int err = 0;

	for (size_t i = n; i && !err; i--)
		err = add_subject(&w, ids[i - 1], true, e);
	if (!err)
		err = follow(&w, e);
	if (!err) {
		drop_dead_copies(&w);
		qsort(ret, w.n, sizeof(*ret), by_time);
		*ret_n = w.n;
		*ret_more = w.more;
	}
	map_free(&w.seen);
	return err;
}
