/*
 * A topic that was first met under another name (Kafka: under its id, by a Fetch on a connection that was
 * there before us) and is the one of a name that is told now: what was found out under the one is joined with
 * what is known under the other. The store renames what is no longer in memory. Likewise the topics of two
 * servers that turn out to be one broker's.
 */
#include <errno.h>
#include <stdlib.h>

#include "correlate/log.h"

/* @name with @from at its beginning replaced by @to; with a reference, NULL: no memory. */
static struct str *renamed(struct correlator *c, const struct str *name, struct span from, struct span to)
{
	buf_clear(&c->text);
	buf_put_span(&c->text, to);
	buf_put_span(&c->text, span_sub(str_span(name), from.n, SIZE_MAX));
	return buf_ok(&c->text) ? intern_get(&c->strings, buf_span(&c->text)) : NULL;
}

int group_renamed(struct correlator *c, struct queue *q, struct topic *to, struct queue **ret)
{
	struct span group = span_sub(str_span(q->name), q->topic->name->n + 1, SIZE_MAX);
	int err = group_get(
		c, to->space, str_span(to->name), group, q->filter ? str_span(to->name) : SPAN_EMPTY, ret);

	if (!err)
		(*ret)->declared |= q->declared;
	return err;
}

static int move_groups(struct correlator *c, struct topic *from, struct topic *to)
{
	int err = 0;

	list_for_each (&from->groups, n) {
		struct queue *q = list_entry(n, struct queue, of_topic), *real;

		if (!err)
			err = group_renamed(c, q, to, &real);
		if (err)
			break;
		queue_ref(q);
		err = place_resolve(c, q, real);
		q->deleted = true; /* for the map of queues only: its row has the new name */
		queue_put(c, q);
	}
	return err;
}

static int move_message(struct correlator *c, struct message *m, struct topic *to, struct str *log)
{
	struct message *known = log_message(c, to->space, str_span(log), str_span(m->mid));
	struct str *mid;
	bool grouped = m->group;
	int err;

	if (known && m->origin != ORIGIN_CLIENT)
		return message_absorb(c, known, m);
	if (known && known->origin != ORIGIN_CLIENT) {
		err = message_absorb(c, m, known);
		if (err)
			return err;
	}
	mid = str_ref(m->mid);

	for (struct copy *cp = m->copies; cp; cp = cp->next)
		log_forget_copy(c, cp);
	log_forget(c, m);
	group_remove(c, m);
	intern_put(&c->strings, m->exchange);
	m->exchange = str_ref(to->name);
	m->space = to->space;
	err = log_restore(c, m, str_span(log), str_span(mid));
	if (!err && grouped)
		err = group_add(c, m);
	intern_put(&c->strings, mid);
	message_touch(c, m);
	return err;
}

static int move_journals(struct correlator *c, struct topic *from, struct topic *to)
{
	int err = 0;

	list_for_each (&from->journals, j) {
		struct journal *old = list_entry(j, struct journal, of_topic);
		struct str *log = renamed(c, old->name, str_span(from->name), str_span(to->name));

		if (!log)
			return -ENOMEM;
		old->refs++;
		list_for_each (&old->messages, n)
			if (!err)
				err = move_message(c, list_entry(n, struct message, of_journal), to, log);
		list_for_each (&old->loose, n)
			if (!err)
				err = move_message(c, list_entry(n, struct message, of_journal), to, log);
		journal_put(c, old);
		intern_put(&c->strings, log);
	}
	return err;
}

static int move(struct correlator *c, struct topic *from, struct space *space, struct span name)
{
	struct topic *to;
	int err;

	from->refs++;
	err = topic_get(c, space, name, &to);
	if (!err) {
		err = move_journals(c, from, to);
		if (!err)
			err = members_renamed(c, from, to);
		if (!err)
			err = move_groups(c, from, to);
		topic_put(c, to);
	}
	topic_put(c, from);
	return err;
}

static int topic_renamed(struct correlator *c, struct opctx *x, struct span from)
{
	struct topic *t;
	int err = 0;

	/* Names of this kind are the same for all servers of a protocol. */
	for (struct space *s = c->spaces; s && !err; s = s->next) {
		t = s->broker->proto == x->conn->proto ? topic_find(c, s, from) : NULL;
		if (t)
			err = move(c, t, s, x->op->exchange);
	}
	return err || !c->out.rename ? err : c->out.rename(c->out.ctx, from, x->op->exchange);
}

/* Of one vhost on two servers: what is in @from is in @to now. */
int log_space_joined(struct correlator *c, struct space *from, struct space *to)
{
	struct topic **all = calloc(c->topics.n + 1, sizeof(struct topic *));
	size_t n = 0;
	int err = all ? 0 : -ENOMEM;

	map_for_each (&c->topics, s) {
		struct topic *t = (struct topic *)(uintptr_t)s->val;

		if (!err && t->space == from) {
			t->refs++;
			all[n++] = t;
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct str *name = str_ref(all[i]->name);

		if (!err)
			err = move(c, all[i], to, str_span(name));
		topic_put(c, all[i]);
		intern_put(&c->strings, name);
	}
	free(all);
	return err;
}

static bool read_id(void *ctx, const struct field *f)
{
	struct span *id = ctx;

	if (span_is(f->name, "id"))
		*id = f->text;
	return true;
}

int log_declared(struct correlator *c, struct opctx *x)
{
	struct span id = SPAN_EMPTY;
	int err = 0;

	if (x->proto && x->proto->args)
		x->proto->args(x->op->args, read_id, &id);
	if (id.n && !span_eq(id, x->op->exchange))
		err = topic_renamed(c, x, id);
	return err ? err : 1;
}
