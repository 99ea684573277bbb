/*
 * Destinations that keep what they get (Kafka topics, Redis streams, streams of JetStream) and number it
 * themselves: (journal, mid) is a message's identity on both sides of the broker, whichever of the two tells
 * it first. A send gets its name from the broker's answer. A delivery may be seen before that: then it is the
 * oldest send of the same content that has no name yet. Who reads, and up to where: group.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "correlate/log.h"

#define MAX_TOPICS   65536
#define MAX_SCAN     64   /* sends of equal content looked at */
#define MAX_DISORDER 4096 /* messages between the place of one and that of the next that is named */

/* --- topics and journals --- */

struct span topic_name(const struct op *op)
{
	return op->routing_key.n || !op->log.n ? op->exchange : op->log;
}

static uint64_t name_key(const struct space *s, const struct str *name)
{
	return s->index << 48 | (name->serial & 0xffffffffffffULL);
}

struct topic *topic_find(struct correlator *c, struct space *s, struct span name)
{
	struct str *n = intern_find(&c->strings, name);

	return n ? map_ptr(&c->topics, name_key(s, n)) : NULL;
}

void topic_put(struct correlator *c, struct topic *t)
{
	if (--t->refs)
		return;
	map_del(&c->topics, name_key(t->space, t->name));
	intern_put(&c->strings, t->name);
	free(t);
}

int topic_get(struct correlator *c, struct space *s, struct span name, struct topic **ret)
{
	struct str *n = intern_get(&c->strings, name);
	struct topic *t = n ? map_ptr(&c->topics, name_key(s, n)) : NULL;

	if (!n)
		return -ENOMEM;
	if (!t) {
		t = c->topics.n < MAX_TOPICS ? calloc(1, sizeof(*t)) : NULL;
		if (!t || map_put_ptr(&c->topics, name_key(s, n), t)) {
			free(t);
			intern_put(&c->strings, n);
			return -ENOMEM;
		}
		t->space = s;
		t->name = str_ref(n);
		list_init(&t->groups);
		list_init(&t->journals);
	}
	intern_put(&c->strings, n);
	t->refs++;
	*ret = t;
	return 0;
}

struct journal *journal_find(struct correlator *c, struct space *s, struct span name)
{
	struct str *n = intern_find(&c->strings, name);

	return n ? map_ptr(&c->journals, name_key(s, n)) : NULL;
}

void journal_put(struct correlator *c, struct journal *j)
{
	if (--j->refs)
		return;
	map_del(&c->journals, name_key(j->topic->space, j->name));
	list_del(&j->of_topic);
	intern_put(&c->strings, j->name);
	topic_put(c, j->topic);
	free(j);
}

/* *ret with a reference. */
static int journal_get(
	struct correlator *c, struct space *s, struct span topic, struct span name, struct journal **ret)
{
	struct journal *j = journal_find(c, s, name);
	int err;

	if (j) {
		j->refs++;
		*ret = j;
		return 0;
	}
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	list_init(&j->messages);
	list_init(&j->loose);
	j->placed = &j->messages;
	list_init(&j->of_topic);
	j->name = intern_get(&c->strings, name);
	err = j->name ? topic_get(c, s, topic, &j->topic) : -ENOMEM;
	if (!err && map_put_ptr(&c->journals, name_key(s, j->name), j)) {
		topic_put(c, j->topic);
		err = -ENOMEM;
	}
	if (err) {
		intern_put(&c->strings, j->name);
		free(j);
		return err;
	}
	list_add_tail(&j->topic->journals, &j->of_topic);
	j->refs = 1;
	*ret = j;
	return 0;
}

/* --- names of messages --- */

static uint64_t mid_key(const struct journal *j, struct span mid)
{
	return hash_span(mid, hash_u64(name_key(j->topic->space, j->name)));
}

bool read_mid(struct span s, uint64_t ret[2])
{
	unsigned part = 0;
	uint64_t v[2] = {0, 0};

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '-' && i && !part) {
			part = 1;
			continue;
		}
		if (s.p[i] < '0' || s.p[i] > '9' || v[part] > UINT64_MAX / 10 - 1)
			return false;
		v[part] = v[part] * 10 + (s.p[i] - '0');
	}
	ret[0] = v[0];
	ret[1] = v[1];
	return s.n;
}

bool before(const struct message *m, const uint64_t at[2])
{
	return m->ordered && (m->at[0] < at[0] || (m->at[0] == at[0] && m->at[1] < at[1]));
}

static struct message *named(struct correlator *c, const struct journal *j, struct span mid)
{
	struct message *m = mid.n ? map_ptr(&c->named, mid_key(j, mid)) : NULL;

	return m && m->journal == j && span_eq(str_span(m->mid), mid) ? m : NULL;
}

struct message *log_message(struct correlator *c, struct space *s, struct span log, struct span mid)
{
	struct journal *j = log.n ? journal_find(c, s, log) : NULL;

	return j ? named(c, j, mid) : NULL;
}

static int set_journal(struct correlator *c, struct message *m, struct span topic, struct span name)
{
	int err;

	if (m->journal)
		return 0;
	err = journal_get(c, m->space, topic, name, &m->journal);
	if (!err)
		list_add_tail(&m->journal->loose, &m->of_journal);
	for (struct copy *cp = m->copies; cp && !err; cp = cp->next)
		err = log_copy(c, cp);
	return err;
}

/* Out of the list that it is in. */
static void take_off(struct message *m)
{
	struct journal *j = m->journal;

	if (m->placed) {
		j->n--;
		if (j->placed == &m->of_journal)
			j->placed = m->of_journal.prev;
	}
	m->placed = false;
	list_del(&m->of_journal);
}

/* Brokers number upwards, and history is read upwards: its place is near the last one's. */
static void place(struct message *m)
{
	struct journal *j = m->journal;
	struct list *at;
	unsigned steps = 0;

	take_off(m);
	at = j->placed;
	if (j->n && !before(list_entry(j->messages.prev, struct message, of_journal), m->at)) {
		while (at != &j->messages && !before(list_entry(at, struct message, of_journal), m->at) &&
			++steps < MAX_DISORDER)
			at = at->prev;
		while (at->next != &j->messages &&
			before(list_entry(at->next, struct message, of_journal), m->at) &&
			++steps < MAX_DISORDER)
			at = at->next;
	} else {
		at = j->messages.prev;
	}
	j->disordered |= !m->ordered || steps == MAX_DISORDER;
	list_add_tail(at->next, &m->of_journal);
	j->placed = &m->of_journal;
	j->n++;
	m->placed = true;
}

static int set_mid(struct correlator *c, struct message *m, struct span mid)
{
	m->mid = intern_get(&c->strings, mid);
	if (!m->mid || map_put_ptr(&c->named, mid_key(m->journal, mid), m))
		return -ENOMEM;
	m->ordered = read_mid(mid, m->at);
	place(m);
	return 0;
}

void log_forget(struct correlator *c, struct message *m)
{
	if (m->mid && named(c, m->journal, str_span(m->mid)) == m)
		map_del(&c->named, mid_key(m->journal, str_span(m->mid)));
	intern_put(&c->strings, m->mid);
	if (m->journal) {
		take_off(m);
		journal_put(c, m->journal);
	}
	m->mid = NULL;
	m->journal = NULL;
}

/* Of the sends that are equal in content the oldest without a name. */
static struct message *unnamed(struct group *g, const struct op *op)
{
	struct message *m = g ? list_first(&g->messages, struct message, of_group) : NULL;

	for (int i = 0; m && i < MAX_SCAN; i++) {
		if (!m->mid && (!m->journal || span_eq(str_span(m->journal->name), op->log)))
			return m;
		m = m->of_group.next == &g->messages ? NULL
						     : list_entry(m->of_group.next, struct message, of_group);
	}
	return NULL;
}

/* --- operations --- */

int log_sent(struct correlator *c, struct opctx *x, struct message *m)
{
	if (!x->op->log.n)
		return 0;
	return set_journal(c, m, topic_name(x->op), x->op->log);
}

/*
 * The broker's name for @m, told by its answer or by a delivery. If a delivery has named it otherwise, it was
 * one of several equal ones and this is the name of another of them.
 */
int log_name(struct correlator *c, struct opctx *x, struct message *m)
{
	const struct op *op = x->op;
	struct message *known;
	int err;

	if (!op->log.n || !op->mid.n)
		return 0;
	if (op->dest == DEST_LOG) /* a subject that a stream keeps */
		m->dest = DEST_LOG;
	err = set_journal(c, m, topic_name(op), op->log);
	if (err || !span_eq(str_span(m->journal->name), op->log))
		return err;
	known = named(c, m->journal, op->mid);
	/* A log that was deleted and made anew may number from the beginning. */
	if (known && !(known->own == STATE_PURGED && op->kind == OP_CONFIRM && !m->mid))
		return 0;
	if (m->mid) {
		m = unnamed(m->group, op);
		if (!m)
			return 0;
		m->dest = op->dest == DEST_LOG ? DEST_LOG : m->dest;
		err = set_journal(c, m, topic_name(op), op->log);
	}
	if (!err)
		err = set_mid(c, m, op->mid);
	if (!err && !(m->flags & OPF_TX))
		err = log_route(c, m);
	message_touch(c, m);
	return err;
}

/* The send of a delivery whose name is not known yet; NULL: it is met for the first time. */
struct message *log_find_unnamed(struct correlator *c, struct opctx *x, uint64_t fingerprint)
{
	const struct op *op = x->op;

	if (op->flags & OPF_GAP)
		return NULL;
	return unnamed(group_find(c, x->space, op->exchange, op->routing_key, fingerprint, 0), op);
}

/*
 * The broker made @m out of what another log has (or the same one, republished): it says of what. A copy may
 * be delivered before the sender is told the original's name.
 */
int log_copied(struct correlator *c, struct message *m, uint64_t fingerprint, bool *ret)
{
	struct span log = c->env.source.log, mid = c->env.source.mid, exchange = c->env.source.exchange;
	const struct op named_so = {.log = log};
	struct message *old = log.n && mid.n ? log_message(c, m->space, log, mid) : NULL;

	if (!old && log.n && exchange.n)
		old = unnamed(group_find(c, m->space, exchange, SPAN_EMPTY, fingerprint, 0), &named_so);
	if (!old || old == m)
		return 0;
	*ret = true;
	m->flags |= MSGF_COPIED;
	message_touch(c, m);
	buf_clear(&c->text);
	buf_printf(&c->text, "the broker's copy of " SPAN_FMT " of " SPAN_FMT, SPAN_ARG(mid), SPAN_ARG(log));
	return link_add(c, old->id, m->id, LINK_CAUSED_BY, 0.999, buf_cstr(&c->text));
}

/* --- what is taken away --- */

static void delete_message(struct correlator *c, struct message *m, int64_t ts_ns, bool unsure)
{
	m->own = unsure ? STATE_UNKNOWN : STATE_PURGED;
	/* Not looked at again by what trims the journal with every send. */
	take_off(m);
	if (unsure)
		list_add_tail(&m->journal->loose, &m->of_journal);
	for (struct copy *cp = m->copies; cp; cp = cp->next)
		copy_purge(c, cp, ts_ns, unsure);
	message_touch(c, m);
}

/* All but the newest. Those that we know of and that were not deleted are there, so what has as many of them
 * behind it is gone. */
static void keep_newest(struct correlator *c, struct journal *j, struct opctx *x)
{
	const struct op *op = x->op;

	x->idle = j->disordered || j->n <= op->code;
	while (!j->disordered && j->n > op->code)
		delete_message(c, list_first(&j->messages, struct message, of_journal), op->ts_ns,
			op->flags & OPF_UNSURE);
}

static void delete_before(struct correlator *c, struct journal *j, const struct op *op, const uint64_t at[2])
{
	unsigned beyond = 0;

	list_for_each (&j->messages, n) {
		struct message *m = list_entry(n, struct message, of_journal);

		if (before(m, at)) {
			beyond = 0;
			if (!op->exchange.n || subject_matches(op->exchange, str_span(m->exchange)))
				delete_message(c, m, op->ts_ns, op->flags & OPF_UNSURE);
		} else if (!j->disordered || ++beyond > MAX_DISORDER) {
			break;
		}
	}
}

int log_delete(struct correlator *c, struct opctx *x)
{
	struct journal *j = journal_find(c, x->space, x->op->log);
	uint64_t at[2];

	x->idle = !j;
	if (!j)
		return 0;
	if (!(x->op->flags & OPF_UP_TO)) {
		x->m = named(c, j, x->op->mid);
		if (x->m)
			delete_message(c, x->m, x->op->ts_ns, x->op->flags & OPF_UNSURE);
	} else if (!x->op->mid.n) {
		keep_newest(c, j, x);
	} else if (read_mid(x->op->mid, at)) {
		delete_before(c, j, x->op, at);
	}
	return 0;
}

static void delete_until(struct correlator *c, struct list *head, int64_t ts_ns, bool unsure)
{
	list_for_each (head, n) {
		struct message *m = list_entry(n, struct message, of_journal);

		if (m->sent_ns <= ts_ns)
			delete_message(c, m, ts_ns, unsure);
	}
}

void topic_empty(struct correlator *c, struct topic *t, int64_t ts_ns, bool unsure)
{
	list_for_each (&t->journals, n) {
		struct journal *j = list_entry(n, struct journal, of_topic);

		if (!unsure) /* else it is where it goes */
			delete_until(c, &j->loose, ts_ns, false);
		delete_until(c, &j->messages, ts_ns, unsure);
	}
}

void topic_gone(struct correlator *c, struct opctx *x)
{
	struct topic *t = topic_find(c, x->space, topic_name(x->op));

	if (!t)
		return;
	expiry_drop(c, &t->expiry);
	topic_empty(c, t, x->op->ts_ns, false);
}

/* --- what earlier sessions knew --- */

int log_restore(struct correlator *c, struct message *m, struct span log, struct span mid)
{
	int err;

	if (!log.n)
		return 0;
	err = set_journal(c, m, m->key->n ? str_span(m->exchange) : log, log);
	return err || !mid.n || named(c, m->journal, mid) ? err : set_mid(c, m, mid);
}

/* After messages and queues. */
void log_free(struct correlator *c)
{
	map_for_each (&c->positions, s)
		free((void *)(uintptr_t)s->val);
	map_for_each (&c->journals, s)
		free((void *)(uintptr_t)s->val);
	map_for_each (&c->topics, s)
		free((void *)(uintptr_t)s->val);
	map_free(&c->positions);
	map_free(&c->journals);
	map_free(&c->topics);
	map_free(&c->named);
}
