/*
 * One pass over all copies. Durations go into histograms with eight steps an octave, so a percentile is at
 * most 9 % too high, whatever their number.
 */
#include "query/queues.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

#define STEPS      8
#define OCTAVES    44 /* up to 2^44 us: half a year */
#define TICK_ROWS  4096
#define TAKERS_MAX 16

struct histogram {
	uint32_t n[OCTAVES * STEPS];
	uint64_t total;
};

/* What is collected about a queue until the answer is made. */
struct tally {
	struct queue_row row;
	uint64_t broker;
	int64_t from_ns, to_ns;
	struct histogram *queue_time, *consumer_time;
	uint64_t takers[TAKERS_MAX]; /* processes */
	bool lately[TAKERS_MAX];     /* it took something within the window */
	unsigned takers_n;
};

struct collector {
	struct store *s;
	const struct queues_opts *o;
	struct names *names;
	struct map index;   /* hash of broker, vhost and name -> tally */
	struct map brokers; /* id -> char * */
	struct tally **tallies;
	size_t n;
	bool more;
	struct err *e;
};

/* What queues__new() gives: the texts live in the collector. */
struct answer_queues {
	struct queues q;
	struct collector c;
};

/* --- durations --- */

static unsigned slot_of(int64_t ns)
{
	uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
	unsigned octave;

	if (us < STEPS)
		return (unsigned)us;
	octave = 63 - (unsigned)__builtin_clzll(us);
	if (octave >= OCTAVES)
		return OCTAVES * STEPS - 1;
	return (octave - 2) * STEPS + (unsigned)(us >> (octave - 3) & (STEPS - 1));
}

/* The middle of a slot's durations. */
static int64_t slot_ns(unsigned slot)
{
	unsigned octave = slot / STEPS + 2;

	if (slot < STEPS)
		return (int64_t)slot * 1000 + 500;
	return (int64_t)((2ull * (STEPS + slot % STEPS) + 1) << (octave - 3)) * 500;
}

static int count_time(struct histogram **h, int64_t ns)
{
	if (!*h)
		*h = calloc(1, sizeof(**h));
	if (!*h)
		return -ENOMEM;
	(*h)->n[slot_of(ns)]++;
	(*h)->total++;
	return 0;
}

static int64_t percentile(const struct histogram *h, unsigned p)
{
	uint64_t want = (h->total * p + 99) / 100, seen = 0;

	for (unsigned i = 0; i < OCTAVES * STEPS; i++) {
		seen += h->n[i];
		if (seen >= want && seen)
			return slot_ns(i);
	}
	return 0;
}

/* --- queues --- */

static char *copy_text(struct span s)
{
	return strndup(s.n ? (const char *)s.p : "", s.n);
}

static const char *broker_name(struct collector *c, uint64_t id)
{
	const char *known = map_ptr(&c->brokers, id);
	sqlite3_stmt *st = NULL;
	char *text = NULL;
	struct err ignored; /* a broker without a name is still a broker */

	if (known || !id)
		return known ? known : "";
	if (!cat_prepare(c->s, "SELECT name FROM broker WHERE id=?", &st, &ignored)) {
		sqlite3_bind_int64(st, 1, (int64_t)id);
		if (sqlite3_step(st) == SQLITE_ROW)
			text = copy_text(cat_span(st, 0));
	}
	sqlite3_finalize(st);
	if (text && map_put_ptr(&c->brokers, id, text)) {
		free(text);
		text = NULL;
	}
	return text ? text : "";
}

/* What rates are over: the last minute that its broker was watched, or what was asked for of it. */
static int set_window(struct collector *c, struct tally *t)
{
	const struct queues_opts *o = c->o;
	struct watched *w = &t->row.watched;
	int err = cat_watched(c->s, t->broker, o->coverage, o->now_ns, w, c->e);

	t->to_ns = o->to_ns && o->to_ns < w->until_ns ? o->to_ns : w->until_ns;
	t->from_ns = o->from_ns ? o->from_ns : t->to_ns - QUEUES_WINDOW_NS;
	if (t->from_ns < w->since_ns)
		t->from_ns = w->since_ns;
	t->row.window_s = (double)(t->to_ns - t->from_ns) / 1e9;
	if (t->row.window_s < 1) /* too short for a rate: what was counted is shown as of one second */
		t->row.window_s = 1;
	return err;
}

/* The tally of a queue, made when it is new. NULL with more set when there are too many; 0 or -ENOMEM. */
static int tally_of(
	struct collector *c, uint64_t broker, struct span vhost, struct span name, struct tally **ret)
{
	uint64_t key = hash_span(name, hash_span(vhost, broker));
	struct tally *t = map_ptr(&c->index, key);

	*ret = t;
	if (t)
		return 0;
	if (c->n == QUEUES_MAX) {
		c->more = true;
		return 0;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	c->tallies[c->n++] = t; /* freed from there, whatever follows */
	t->broker = broker;
	t->row.broker = broker_name(c, broker);
	if (set_window(c, t))
		return -EBADMSG;
	t->row.name = copy_text(name);
	t->row.vhost = copy_text(vhost);
	if (!t->row.name || !t->row.vhost || map_put_ptr(&c->index, key, t))
		return -ENOMEM;
	*ret = t;
	return 0;
}

static bool in_window(const struct tally *t, int64_t ns)
{
	return ns > t->from_ns && ns <= t->to_ns;
}

struct copy_times {
	enum msg_state state;
	int64_t queued, first_delivered, delivered, settled;
	uint32_t deliveries;
	uint64_t consumer;
	bool asks; /* nobody can subscribe there: who waits in a pop is not told from who went away */
};

/* Who asks for each message (pops, XREADGROUP, basic.get) has no subscription. */
static void note_taker(struct tally *t, const struct copy_times *k)
{
	bool lately = in_window(t, k->delivered);
	unsigned i = 0;

	t->row.had_consumers |= k->consumer != 0;
	t->row.had_unnamed |= !k->consumer && k->delivered;
	if (!k->consumer || (!lately && !k->asks))
		return;
	while (i < t->takers_n && t->takers[i] != k->consumer)
		i++;
	/* One that took something lately is worth more than one that did long ago. */
	if (i == TAKERS_MAX && lately)
		for (i = 0; i < TAKERS_MAX && t->lately[i];)
			i++;
	if (i == TAKERS_MAX)
		return;
	if (i == t->takers_n)
		t->takers_n++;
	t->lately[i] = lately || (t->takers[i] == k->consumer && t->lately[i]);
	t->takers[i] = k->consumer;
}

static int count_copy(struct tally *t, const struct copy_times *k)
{
	struct queue_row *r = &t->row;
	int err = 0;

	note_taker(t, k);
	r->in += in_window(t, k->queued);
	r->out += k->state != STATE_QUEUED && k->state != STATE_REQUEUED && k->state != STATE_DELIVERED &&
		  in_window(t, k->settled);
	if (k->state == STATE_QUEUED || k->state == STATE_REQUEUED) {
		r->waiting++;
		if (k->queued && (!r->oldest_ns || k->queued < r->oldest_ns))
			r->oldest_ns = k->queued;
	}
	r->unsettled += k->state == STATE_DELIVERED;
	r->dead += k->state == STATE_DEAD_LETTERED;
	if (k->deliveries > 1)
		r->redelivered += k->deliveries - 1;
	if (k->queued && k->first_delivered >= k->queued)
		err = count_time(&t->queue_time, k->first_delivered - k->queued);
	if (!err && k->delivered && k->settled >= k->delivered)
		err = count_time(&t->consumer_time, k->settled - k->delivered);
	return err;
}

static int count_copies(struct collector *c, uint64_t *ret_n)
{
	sqlite3_stmt *st = NULL;
	struct tally *last = NULL;
	uint64_t broker = 0, vhost = UINT64_MAX, queue = UINT64_MAX;
	int err = cat_prepare(c->s,
		"SELECT "
		"m.broker,m.vhost,c.queue,c.state,c.queued_ns,c.first_delivered_ns,c.delivered_ns,c.settled_"
		"ns,"
		"c.deliveries,c.consumer,m.proto FROM copy c JOIN message m ON m.id=c.message",
		&st, c->e);
	int more = 0;

	while (!err && (more = cat_step(c->s, st, c->e)) > 0) {
		struct copy_times k = {
			.state = cat_state(st, 3),
			.queued = cat_time(st, 4),
			.first_delivered = cat_time(st, 5),
			.delivered = cat_time(st, 6),
			.settled = cat_time(st, 7),
			.deliveries = (uint32_t)sqlite3_column_int64(st, 8),
			.consumer = cat_id(st, 9),
		};
		const struct proto *p = proto_by_id((unsigned)cat_id(st, 10));

		k.asks = p && p->queue_by_send;

		if (++*ret_n % TICK_ROWS == 0 && c->o->tick && !c->o->tick(c->o->ctx, *ret_n)) {
			err = err_set(c->e, -EINTR, "interrupted");
			break;
		}
		if (!cat_id(st, 2)) /* which queue is not known */
			continue;
		if (broker != cat_id(st, 0) || vhost != cat_id(st, 1) || queue != cat_id(st, 2)) {
			broker = cat_id(st, 0);
			vhost = cat_id(st, 1);
			queue = cat_id(st, 2);
			err = tally_of(c, broker, span_str(names_text(c->names, vhost)),
				span_str(names_text(c->names, queue)), &last);
		}
		if (!err && last)
			err = count_copy(last, &k);
		if (err == -ENOMEM)
			err_set(c->e, err, "out of memory");
	}
	sqlite3_finalize(st);
	return err ? err : more;
}

/* What a topic or stream keeps for groups that nobody has seen would be invisible otherwise. */
static int count_kept(struct collector *c)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(c->s,
		"SELECT m.broker,v.text,CASE WHEN m.routing_key THEN x.text ELSE l.text "
		"END,m.sent_ns,m.first_ns"
		" FROM message m JOIN name v ON v.id=m.vhost JOIN name x ON x.id=m.exchange JOIN name l ON "
		"l.id=m.log"
		" WHERE m.dest=1 AND m.mid<>'' AND m.state NOT IN (0,3,11)"
		" AND NOT EXISTS (SELECT 1 FROM copy c WHERE c.message=m.id)",
		&st, c->e);
	int more = 0;

	while (!err && (more = cat_step(c->s, st, c->e)) > 0) {
		int64_t ns = cat_time(st, 3) ? cat_time(st, 3) : cat_time(st, 4);
		struct tally *t;

		err = tally_of(c, cat_id(st, 0), cat_span(st, 1), cat_span(st, 2), &t);
		if (err == -ENOMEM)
			err_set(c->e, err, "out of memory");
		if (err || !t)
			continue;
		t->row.no_group = true;
		t->row.in += in_window(t, ns);
		t->row.waiting++;
		if (!t->row.oldest_ns || ns < t->row.oldest_ns)
			t->row.oldest_ns = ns;
	}
	sqlite3_finalize(st);
	return err ? err : more;
}

/* Queues that were declared, whether or not anything was seen in them. */
static int add_declared(struct collector *c)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(c->s, "SELECT broker,vhost,name,deleted FROM queue", &st, c->e), more = 0;

	while (!err && (more = cat_step(c->s, st, c->e)) > 0) {
		struct tally *t;

		err = tally_of(c, cat_id(st, 0), cat_span(st, 1), cat_span(st, 2), &t);
		if (err == -ENOMEM)
			err_set(c->e, err, "out of memory");
		else if (!err && t)
			t->row.deleted = sqlite3_column_int(st, 3);
	}
	sqlite3_finalize(st);
	return err ? err : more;
}

static void add_service(struct queue_row *r, const char *service)
{
	for (size_t i = 0; i < QUEUE_SERVICES; i++) {
		if (r->services[i].n && strcmp(r->services[i].service, service))
			continue;
		r->services[i].service = service;
		r->services[i].n++;
		return;
	}
}

static int add_consumers(struct collector *c)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(c->s,
		"SELECT broker,vhost,queue,process FROM consumer WHERE until_ns IS NULL AND queue<>''", &st,
		c->e);
	int more = 0;

	while (!err && (more = cat_step(c->s, st, c->e)) > 0) {
		const struct who *who = names_who(c->names, cat_id(st, 3));
		struct tally *t;

		err = tally_of(c, cat_id(st, 0), cat_span(st, 1), cat_span(st, 2), &t);
		if (err == -ENOMEM)
			err_set(c->e, err, "out of memory");
		if (err || !t)
			continue;
		t->row.consumers++;
		add_service(&t->row, who && *who->service ? who->service : "not known");
	}
	sqlite3_finalize(st);
	return err ? err : more;
}

static void add_takers(struct collector *c, struct tally *t)
{
	for (unsigned i = 0; i < t->takers_n && !t->row.consumers; i++) {
		const struct who *who = names_who(c->names, t->takers[i]);

		if (!who || who->exit_ns)
			continue;
		if (!t->lately[i]) {
			t->row.idle = true;
			continue;
		}
		t->row.takers++;
		add_service(&t->row, *who->service ? who->service : "not known");
	}
}

static void finish(struct collector *c, struct tally *t)
{
	add_takers(c, t);
	if (t->queue_time) {
		t->row.has_queue_time = true;
		t->row.queue_p50 = percentile(t->queue_time, 50);
		t->row.queue_p99 = percentile(t->queue_time, 99);
	}
	if (t->consumer_time) {
		t->row.has_consumer_time = true;
		t->row.consumer_p50 = percentile(t->consumer_time, 50);
		t->row.consumer_p99 = percentile(t->consumer_time, 99);
	}
}

static int by_name(const void *a, const void *b)
{
	const struct queue_row *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	c = c ? c : strcmp(x->vhost, y->vhost);
	return c ? c : strcmp(x->broker, y->broker);
}

int queues__new(struct store *s, const struct queues_opts *o, struct queues **ret, struct err *e)
{
	struct answer_queues *a = calloc(1, sizeof(*a));
	struct collector *c;
	int err;

	if (!a)
		return err_set(e, -ENOMEM, "out of memory");
	c = &a->c;
	c->s = s;
	c->o = o;
	c->e = e;
	c->tallies = calloc(QUEUES_MAX, sizeof(*c->tallies));
	err = c->tallies ? names__new(s, &c->names, e) : err_set(e, -ENOMEM, "out of memory");
	if (!err)
		err = count_copies(c, &a->q.copies);
	if (!err)
		err = count_kept(c);
	if (!err)
		err = add_declared(c);
	if (!err)
		err = add_consumers(c);
	if (!err) {
		a->q.rows = calloc(c->n + 1, sizeof(*a->q.rows));
		err = a->q.rows ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	if (err) {
		queues__free(&a->q);
		return err;
	}
	for (size_t i = 0; i < c->n; i++) {
		finish(c, c->tallies[i]);
		a->q.rows[i] = c->tallies[i]->row;
	}
	a->q.n = c->n;
	a->q.more = c->more;
	qsort(a->q.rows, a->q.n, sizeof(*a->q.rows), by_name);
	*ret = &a->q;
	return 0;
}

void queues__free(struct queues *q)
{
	struct answer_queues *a = (struct answer_queues *)q; /* its first member */

	if (!q)
		return;
	for (size_t i = 0; i < a->c.n; i++) {
		struct tally *t = a->c.tallies[i];

		free((char *)t->row.name);
		free((char *)t->row.vhost);
		free(t->queue_time);
		free(t->consumer_time);
		free(t);
	}
	map_for_each (&a->c.brokers, b)
		free((void *)(uintptr_t)b->val);
	map_free(&a->c.brokers);
	map_free(&a->c.index);
	names__free(a->c.names);
	free(a->c.tallies);
	free(q->rows);
	free(a);
}
