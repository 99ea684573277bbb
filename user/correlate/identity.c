/*
 * Which delivery is the message of which send. Brokers of AMQP carry no identity, so it is the content: the
 * properties that stay the same on the way, the body and its size (the fingerprint), with exchange and key.
 * Messages that are equal in all of these form a group, in the order of their sends; a queue hands them out
 * in that order, so each queue has its own cursor into the group (a lane). A message that comes back into its
 * queue waits at the lane's side, for deliveries marked as redelivered.
 *
 * Dead letters have the content of what they were, so the number of deaths is part of the group's key.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "correlate/model.h"

#define FINGERPRINT_SEED 0x65767472616365ULL /* persisted: never change */
#define MAX_SCAN         64 /* messages looked at where order does not tell; keeps an operation O(1) */

/*
 * The sender's write and the consumer's read are seen when their calls return, and a sender may be put to
 * sleep in between: its send is then seen after the delivery. Equal messages are common (heartbeats), so only
 * a unique one may be that late.
 */
#define LATE_UNIQUE_NS (2 * NS_PER_SEC)
#define LATE_NS        (50 * NS_PER_MS)

uint64_t fingerprint_of(const struct proto *p, const struct op *op, uint64_t *ret_body_hash)
{
	uint64_t body = hash_span(op->body, FINGERPRINT_SEED);
	uint64_t parts[3] = {0, body, op->body_size};
	uint64_t fp;

	if (p && p->stable_hash)
		parts[0] = p->stable_hash(op->envelope, FINGERPRINT_SEED);
	fp = hash64(parts, sizeof(parts), FINGERPRINT_SEED);
	*ret_body_hash = body;
	return fp ? fp : 1;
}

/* --- groups --- */

static uint64_t group_hash(
	const struct space *s, struct span exchange, struct span key, uint64_t fingerprint, uint32_t deaths)
{
	uint64_t h = hash_span(exchange, fingerprint);

	return hash_span(key, h ^ hash_u64(s->index << 32 ^ deaths));
}

struct group *group_find(struct correlator *c, struct space *s, struct span exchange, struct span key,
	uint64_t fingerprint, uint32_t deaths)
{
	struct group *g = map_ptr(&c->groups, group_hash(s, exchange, key, fingerprint, deaths));

	while (g && !(g->space == s && g->fingerprint == fingerprint && g->deaths == deaths &&
			    span_eq(str_span(g->exchange), exchange) && span_eq(str_span(g->key), key)))
		g = g->same;
	return g;
}

static struct group *group_new(struct correlator *c, const struct message *m)
{
	struct group *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->hash = group_hash(m->space, str_span(m->exchange), str_span(m->key), m->fingerprint, m->deaths);
	g->fingerprint = m->fingerprint;
	g->space = m->space;
	g->deaths = m->deaths;
	list_init(&g->messages);
	g->same = map_ptr(&c->groups, g->hash);
	if (map_put_ptr(&c->groups, g->hash, g)) {
		free(g);
		return NULL;
	}
	g->exchange = str_ref(m->exchange);
	g->key = str_ref(m->key);
	return g;
}

static void group_free(struct correlator *c, struct group *g)
{
	struct group *first = map_ptr(&c->groups, g->hash), **at = &first;

	while (*at != g)
		at = &(*at)->same;
	*at = g->same;
	if (first)
		map_put_ptr(&c->groups, g->hash, first); /* the key is there: cannot fail */
	else
		map_del(&c->groups, g->hash);
	for (struct lane *l = g->lanes, *next; l; l = next) {
		next = l->next;
		queue_put(c, l->q);
		free(l);
	}
	intern_put(&c->strings, g->exchange);
	intern_put(&c->strings, g->key);
	free(g);
}

int group_add(struct correlator *c, struct message *m)
{
	struct group *g =
		group_find(c, m->space, str_span(m->exchange), str_span(m->key), m->fingerprint, m->deaths);

	if (!g)
		g = group_new(c, m);
	if (!g)
		return -ENOMEM;
	m->group = g;
	m->group_seq = g->seq++;
	list_add_tail(&g->messages, &m->of_group);
	g->n++;
	if (!g->adoptable)
		g->adoptable = m;
	for (struct lane *l = g->lanes; l; l = l->next)
		if (!l->cursor)
			l->cursor = m;
	return 0;
}

static struct message *after(const struct message *m)
{
	struct list *n = m->of_group.next;

	return n == &m->group->messages ? NULL : list_entry(n, struct message, of_group);
}

void group_remove(struct correlator *c, struct message *m)
{
	struct group *g = m->group;

	if (!g)
		return;
	if (g->adoptable == m)
		g->adoptable = after(m);
	for (struct lane *l = g->lanes; l; l = l->next)
		if (l->cursor == m)
			l->cursor = after(m);
	for (struct copy *cp = m->copies; cp; cp = cp->next)
		list_del(&cp->lane);
	list_del(&m->of_group);
	m->group = NULL;
	if (!--g->n)
		group_free(c, g);
}

struct lane *lane_find(struct group *g, const struct queue *q)
{
	struct lane *l = g->lanes;

	while (l && l->q != q)
		l = l->next;
	return l;
}

struct lane *lane_get(struct group *g, struct queue *q)
{
	struct lane *l = lane_find(g, q);

	if (l)
		return l;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	list_init(&l->returned);
	list_init(&l->rejected);
	l->q = q;
	queue_ref(q);
	l->cursor = list_first(&g->messages, struct message, of_group);
	l->next = g->lanes;
	g->lanes = l;
	return l;
}

/* --- a delivery --- */

/* May @m still come out of the lane's queue for the first time? Once no, always no (the lane's cursor depends
 * on it), except that a lane turns loose. */
static bool may_come(const struct message *m, const struct lane *l)
{
	const struct copy *cp = copy_find(m, l->q);

	if (cp)
		/* What may have been removed comes after all that are known to wait: see copy_purge(). */
		return !cp->deliveries &&
		       (cp->state == STATE_QUEUED || (cp->state == STATE_UNKNOWN && !cp->settled_ns));
	if (m->own == STATE_RETURNED)
		return false;
	if (m->routes != ROUTES_DECLARED || l->loose)
		return true;
	/* All its queues are known. This one has no name yet, and may be any of them. */
	return !l->q->name && (m->in_state[STATE_QUEUED] || m->in_state[STATE_UNKNOWN]);
}

struct message *lane_next(struct lane *l)
{
	while (l->cursor && !may_come(l->cursor, l))
		l->cursor = after(l->cursor);
	return l->cursor;
}

/* Redelivered while its first consumer still seems to hold it: the end of that one's channel is not seen
 * yet. */
static struct copy *held_elsewhere(struct group *g, const struct queue *q, uint64_t connection)
{
	struct message *m = list_first(&g->messages, struct message, of_group);

	for (int i = 0; m && i < MAX_SCAN; i++, m = after(m)) {
		struct copy *cp = copy_find(m, q);

		if (cp && cp->state == STATE_DELIVERED && cp->connection != connection)
			return cp;
	}
	return NULL;
}

/* Delivered against what the bindings said: they are not all that there is. */
static struct message *unexpected(struct group *g, struct lane *l)
{
	struct message *m = list_first(&g->messages, struct message, of_group);

	if (l->loose)
		return NULL;
	for (int i = 0; m && i < MAX_SCAN; i++, m = after(m))
		if (!copy_find(m, l->q) && m->own != STATE_RETURNED) {
			l->loose = true;
			l->cursor = m;
			return m;
		}
	return NULL;
}

bool join_delivery(struct group *g, struct queue *q, const struct opctx *x, struct join *ret)
{
	struct lane *l = lane_get(g, q);
	struct copy *cp = NULL;

	*ret = (struct join){0};
	if (!l)
		return false;
	if (x->op->flags & OPF_REDELIVERED) {
		cp = list_first(&l->returned, struct copy, lane);
		if (!cp)
			cp = held_elsewhere(g, q, x->conn->id);
	}
	if (!cp) {
		ret->m = lane_next(l);
		if (!ret->m)
			cp = list_first(&l->returned, struct copy, lane);
		if (!ret->m && !cp)
			ret->m = unexpected(g, l);
	}
	if (cp) {
		ret->m = cp->m;
		ret->copy = cp;
		return true;
	}
	if (!ret->m)
		return false;
	ret->copy = copy_find(ret->m, q);
	ret->one_of = g->seq - ret->m->group_seq;
	if (ret->one_of > g->n)
		ret->one_of = (uint32_t)g->n;
	return true;
}

struct message *join_late_send(struct group *g, int64_t ts_ns)
{
	int64_t window = g->n == 1 ? LATE_UNIQUE_NS : LATE_NS;
	struct message *m = g->adoptable;

	while (m && (m->origin != ORIGIN_UNSEEN || m->flags & MSGF_COPIED || m->first_ns + window < ts_ns))
		m = after(m);
	g->adoptable = m;
	return m;
}

/* --- places without a name --- */

static void take_over(struct correlator *c, struct copy *to, struct copy *from)
{
	to->settle = from->settle;
	to->first_delivered_ns = from->first_delivered_ns;
	to->delivered_ns = from->delivered_ns;
	to->settled_ns = from->settled_ns;
	to->deliveries = from->deliveries;
	to->consumer = from->consumer;
	to->consumer_tid = from->consumer_tid;
	to->connection = from->connection;
	to->inop = from->inop;
	if (to->inop)
		to->inop->copy = to;
	from->inop = NULL;
	copy_set(c, to, from->state);
	copy_withdraw(c, from);
}

static int name_copy(struct correlator *c, struct copy *cp, struct queue *real)
{
	struct copy *same = copy_find(cp->m, real);
	enum msg_state st = cp->state;
	struct lane *l;

	if (same && same->deliveries)
		return 0; /* two stories about one copy: both are kept */
	list_del(&cp->lane);
	if (same)
		take_over(c, same, cp);
	else
		copy_move(c, cp, real);
	if (!cp->m->group || (st != STATE_REQUEUED && st != STATE_REJECTED))
		return 0;
	l = lane_get(cp->m->group, real);
	if (!l)
		return -ENOMEM;
	list_move_tail(st == STATE_REQUEUED ? &l->returned : &l->rejected, &(same ? same : cp)->lane);
	return 0;
}

/* @place is @real: all that came out of it came out of there. Walks over all messages, once a consumer. */
int place_resolve(struct correlator *c, struct queue *place, struct queue *real)
{
	queue_ref(place);
	map_for_each (&c->messages, slot) {
		struct message *m = (struct message *)(uintptr_t)slot->val;

		for (struct copy *cp = m->copies; cp; cp = cp->next) {
			int err = cp->q == place && !cp->withdrawn ? name_copy(c, cp, real) : 0;

			if (err)
				return err;
		}
	}
	queue_alive(c, real);
	consumers_resolve(c, place, real);
	queue_put(c, place);
	return 0;
}

static bool among(const struct queue *q, struct queue *const *set, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (set[i] == q)
			return true;
	return false;
}

/* Keeps of the queues that the place may be those that also get messages like this one. */
static int narrow(struct correlator *c, struct queue *place, const struct reached *r)
{
	uint32_t kept = 0;

	if (place->narrowed) {
		for (uint32_t i = 0; i < place->ncands; i++) {
			if (among(place->cands[i], r->q, r->n))
				place->cands[kept++] = place->cands[i];
			else
				queue_put(c, place->cands[i]);
		}
		place->ncands = kept; /* none left: it is one that we do not know, for good */
		return 0;
	}
	free(place->cands);
	place->cands = calloc(r->n, sizeof(*place->cands));
	if (!place->cands)
		return -ENOMEM;
	for (size_t i = 0; i < r->n; i++) {
		place->cands[i] = r->q[i];
		queue_ref(r->q[i]);
	}
	place->ncands = (uint32_t)r->n;
	place->narrowed = true;
	return 0;
}

/*
 * A message came out of a place without a name: which queue is it? *ret is the queue, or the place as before.
 * When one is left it is that, if all bindings are known, or if nobody else reads from it.
 */
int place_narrow(struct correlator *c, struct opctx *x, struct queue *place, struct queue **ret)
{
	struct span key = x->op->routing_key;
	struct reached *r;
	struct queue *real;
	int err;

	*ret = place;
	/* The default exchange's key names the queue, but for copies by CC: the decoder knows which. */
	if (!x->op->exchange.n)
		return 0;
	err = route(c, x->space, x->op->exchange, &key, 1, x->op, &r);
	if (err || !r->n || r->n > MAX_SCAN)
		return err;
	err = narrow(c, place, r);
	if (err || place->ncands != 1 || (!r->complete && place->cands[0]->consumers))
		return err;
	real = place->cands[0];
	*ret = real;
	return place_resolve(c, place, real);
}

void place_doubt(struct correlator *c, struct queue *place, struct message *m)
{
	for (uint32_t i = 0; i < place->ncands; i++) {
		struct copy *cp = copy_find(m, place->cands[i]);

		if (cp && cp->state == STATE_QUEUED && !cp->deliveries)
			copy_set(c, cp, STATE_UNKNOWN);
	}
}
