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
#define MAX_DISORDER 1024 /* messages beyond a place, one after the other, before the rest is, too */

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
		list_add_tail(&m->journal->messages, &m->of_journal);
	for (struct copy *cp = m->copies; cp && !err; cp = cp->next)
		err = log_copy(c, cp);
	return err;
}

static int set_mid(struct correlator *c, struct message *m, struct span mid)
{
	m->mid = intern_get(&c->strings, mid);
	if (!m->mid || map_put_ptr(&c->named, mid_key(m->journal, mid), m))
		return -ENOMEM;
	m->ordered = read_mid(mid, m->at);
	return 0;
}

void log_forget(struct correlator *c, struct message *m)
{
	if (m->mid && named(c, m->journal, str_span(m->mid)) == m)
		map_del(&c->named, mid_key(m->journal, str_span(m->mid)));
	intern_put(&c->strings, m->mid);
	list_del(&m->of_journal);
	if (m->journal)
		journal_put(c, m->journal);
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
	if (known)
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

/* The message of a delivery that carries its name; NULL: it is met for the first time. */
struct message *log_find(struct correlator *c, struct opctx *x, uint64_t fingerprint)
{
	const struct op *op = x->op;
	struct message *m = log_message(c, x->space, op->log, op->mid);

	if (m || op->flags & OPF_GAP)
		return m;
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
	buf_clear(&c->text);
	buf_printf(&c->text, "the broker's copy of " SPAN_FMT " of " SPAN_FMT, SPAN_ARG(mid), SPAN_ARG(log));
	return link_add(c, old->id, m->id, LINK_CAUSED_BY, 0.999, buf_cstr(&c->text));
}

static int delete_copy(struct correlator *c, struct opctx *x, struct copy *cp)
{
	if (cp->state == STATE_QUEUED || cp->state == STATE_REQUEUED) {
		cp->settled_ns = x->op->ts_ns;
		copy_set(c, cp, STATE_PURGED);
	}
	return 0;
}

static int delete_message(struct correlator *c, struct opctx *x, struct message *m)
{
	m->own = STATE_PURGED;
	list_del(&m->of_journal); /* not looked at again by what trims the journal with every send */
	for (struct copy *cp = m->copies; cp; cp = cp->next)
		delete_copy(c, x, cp);
	message_touch(c, m);
	return 0;
}

int log_delete(struct correlator *c, struct opctx *x)
{
	struct journal *j = journal_find(c, x->space, x->op->log);
	struct message *m;
	unsigned beyond = 0;
	uint64_t at[2];

	if (!j)
		return 0;
	if (!(x->op->flags & OPF_UP_TO)) {
		x->m = m = named(c, j, x->op->mid);
		return m ? delete_message(c, x, m) : 0;
	}
	if (!read_mid(x->op->mid, at))
		return 0;
	list_for_each (&j->messages, n) {
		m = list_entry(n, struct message, of_journal);
		if (before(m, at)) {
			beyond = 0;
			if (!x->op->exchange.n || subject_matches(x->op->exchange, str_span(m->exchange)))
				delete_message(c, x, m);
		} else if (++beyond > MAX_DISORDER) {
			break;
		}
	}
	return 0;
}

void topic_gone(struct correlator *c, struct opctx *x)
{
	struct topic *t = topic_find(c, x->space, topic_name(x->op));

	if (!t)
		return;
	list_for_each (&t->journals, j)
		list_for_each (&list_entry(j, struct journal, of_topic)->messages, k)
			delete_message(c, x, list_entry(k, struct message, of_journal));
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
