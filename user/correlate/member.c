/*
 * Who reads a topic or stream for which group. A fetch does not say it (Kafka): another connection of the
 * same client has joined the group. Until that was seen, a reader is a place without a name.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "correlate/log.h"

#define MAX_MEMBERS 65536

/* A client that reads a topic, and for which group: a place without a name as long as that is not known. */
struct member {
	uint64_t who;
	struct topic *topic;
	struct queue *q;
	bool closed; /* the connection that told the group has ended */
};

/* The client id of a process, or of a host where the process is not known. */
static uint64_t member_who(const struct opctx *x)
{
	const struct conn *k = &x->conn->info;
	uint64_t who = x->process ? x->process->id
				  : hash64(k->client_addr, sizeof(k->client_addr), k->netns) | 1ULL << 63;

	return hash_span(x->op->consumer, hash_u64(who));
}

static uint64_t member_key(uint64_t who, const struct topic *t)
{
	return hash_u64(who ^ hash_u64((uint64_t)(uintptr_t)t));
}

static struct queue *member_group(struct correlator *c, uint64_t who, const struct topic *t)
{
	const struct member *m = map_ptr(&c->members, member_key(who, t));

	return m ? m->q : NULL;
}

static void member_free(struct correlator *c, struct member *m)
{
	map_del(&c->members, member_key(m->who, m->topic));
	queue_put(c, m->q);
	topic_put(c, m->topic);
	free(m);
}

/* Makes room: most of those whose connection has ended are gone themselves. */
static void forget_closed(struct correlator *c)
{
	struct member **all = calloc(c->members.n + 1, sizeof(struct member *));
	size_t n = 0;

	map_for_each (&c->members, s) {
		struct member *m = (struct member *)(uintptr_t)s->val;

		if (all && m->closed)
			all[n++] = m;
	}
	for (size_t i = 0; i < n; i++)
		member_free(c, all[i]);
	free(all);
}

static int member_set(struct correlator *c, uint64_t who, struct topic *t, struct queue *q)
{
	uint64_t key = member_key(who, t);
	struct member *m = map_ptr(&c->members, key);

	if (!m) {
		if (c->members.n >= MAX_MEMBERS)
			forget_closed(c);
		if (c->members.n >= MAX_MEMBERS)
			return 0;
		m = malloc(sizeof(*m));
		if (!m || map_put_ptr(&c->members, key, m)) {
			free(m);
			return -ENOMEM;
		}
		*m = (struct member){.who = who, .topic = t};
		t->refs++;
	}
	queue_ref(q);
	if (m->q)
		queue_put(c, m->q);
	m->q = q;
	m->closed = false;
	return 0;
}

static bool member_closed(struct correlator *c, uint64_t who, const struct topic *t)
{
	const struct member *m = map_ptr(&c->members, member_key(who, t));

	return m && m->closed;
}

int member_joined(struct correlator *c, struct opctx *x, struct queue *q)
{
	uint64_t who = member_who(x);
	struct queue *old = member_group(c, who, q->topic);
	int err;

	if (!old || old == q || (old->name && member_closed(c, who, q->topic)))
		return member_set(c, who, q->topic, q);
	if (old->ambiguous)
		return 0;
	if (old->name) {
		/* Two groups under one client id: whom a fetch is for cannot be told any more. */
		struct queue *place = queue_new_place(c, x->space);

		if (!place)
			return -ENOMEM;
		place->ambiguous = true;
		err = member_set(c, who, q->topic, place);
		queue_put(c, place);
		return err;
	}
	queue_ref(old);
	err = member_set(c, who, q->topic, q);
	if (!err)
		err = place_resolve(c, old, q);
	queue_put(c, old);
	return err;
}

void member_left(struct correlator *c, struct opctx *x, struct queue *q)
{
	struct member *m = map_ptr(&c->members, member_key(member_who(x), q->topic));

	if (!m || m->q != q)
		return;
	/* A connection that ends is not a member that leaves: it reads on, and joins again by another one. */
	if (x->op->len)
		member_free(c, m);
	else
		m->closed = true;
}

/* Whose delivery it is: a group, or a place without a name for a reader of which no group is known. */
int log_delivery_queue(struct correlator *c, struct opctx *x, struct queue **ret)
{
	struct topic *t;
	struct queue *q;
	int err;

	if (x->op->queue_known) {
		err = group_of(c, x, &q);
		if (!err) {
			queue_alive(c, q);
			*ret = q;
			queue_ref(q);
		}
		return err;
	}
	err = topic_get(c, x->space, topic_name(x->op), &t);
	if (err)
		return err;
	q = member_group(c, member_who(x), t);
	if (q) {
		queue_ref(q);
	} else {
		q = queue_new_place(c, x->space);
		err = q ? member_set(c, member_who(x), t, q) : -ENOMEM;
	}
	topic_put(c, t);
	*ret = q;
	return err;
}

/* What @m read for under its topic's old name it reads for under that of @to. */
static int member_renamed(struct correlator *c, struct member *m, struct topic *to)
{
	struct queue *known = member_group(c, m->who, to), *q = m->q;
	int err = q->name ? group_renamed(c, q, to, &q) : 0;

	if (err)
		return err;
	if (!known)
		return member_set(c, m->who, to, q);
	if (q->name && !known->name && !known->ambiguous) {
		queue_ref(known);
		err = member_set(c, m->who, to, q);
		if (!err)
			err = place_resolve(c, known, q);
		queue_put(c, known);
		return err;
	}
	return !q->name && known->name ? place_resolve(c, q, known) : 0;
}

int members_renamed(struct correlator *c, struct topic *from, struct topic *to)
{
	struct member *found;
	int err = 0;

	do {
		found = NULL;
		map_for_each (&c->members, s) {
			struct member *m = (struct member *)(uintptr_t)s->val;

			if (m->topic == from)
				found = m;
		}
		if (found) {
			err = member_renamed(c, found, to);
			member_free(c, found);
		}
	} while (found && !err);
	return err;
}

/* Before queues. */
void log_free_members(struct correlator *c)
{
	map_for_each (&c->members, s) {
		struct member *m = (struct member *)(uintptr_t)s->val;

		queue_put(c, m->q);
		topic_put(c, m->topic);
		free(m);
	}
	map_free(&c->members);
}
