/*
 * Links between messages, and flows: all messages that links join, named by the smallest of their ids. Flows
 * merge like sets of a union-find; a message alone is its own flow and costs nothing.
 *
 * Ids that travel (correlation-id, x-request-id, trace ids) tell that messages share a flow, not which caused
 * which: they link only what no cause was found for, and only while few share them (a constant is no id). A
 * message that says which one it is of, or bears the id of one that was taken before, is of that one,
 * whichever processes they passed: workers of job libraries fork.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "correlate/model.h"

#define MAX_FAN_OUT 64
#define MAX_TRAVELS 100000 /* ids remembered; the longest unused go first */

/* --- flows --- */

static struct flow *root_of(struct flow *f)
{
	while (f && f->parent)
		f = f->parent;
	return f;
}

static void flow_put(struct correlator *c, struct flow *f)
{
	while (f && !--f->refs) {
		struct flow *parent = f->parent;

		if (map_ptr(&c->flows, f->id) == f)
			map_del(&c->flows, f->id);
		free(f);
		f = parent;
	}
}

/* The root of a message's flow, to which the message is moved, so that chains stay short. */
static struct flow *root_of_message(struct correlator *c, struct message *m)
{
	struct flow *r = root_of(m->flow);

	if (r != m->flow) {
		r->refs++;
		flow_put(c, m->flow);
		m->flow = r;
	}
	return r;
}

uint64_t flow_id(struct message *m)
{
	struct flow *r = root_of(m->flow);

	if (!r)
		return m->id;
	r->stored = true;
	return r->id;
}

void flow_leave(struct correlator *c, struct message *m)
{
	flow_put(c, m->flow);
	m->flow = NULL;
	travel_forget(m);
}

static int merged(struct correlator *c, uint64_t from, uint64_t to)
{
	return c->out.merge_flows ? c->out.merge_flows(c->out.ctx, from, to) : 0;
}

static void enter(struct correlator *c, struct message *m, struct flow *f)
{
	f->refs++;
	m->flow = f;
	if (f->id != m->id)
		message_touch(c, m);
}

/* @m, alone up to now, comes to the flow @f; as its first message it gives the flow its name. */
static int join_one(struct correlator *c, struct message *m, struct flow *f)
{
	uint64_t old = f->id;

	if (m->id < old) {
		if (map_ptr(&c->flows, old) == f)
			map_del(&c->flows, old);
		f->id = m->id;
	}
	enter(c, m, f);
	return f->id != old && f->stored ? merged(c, old, f->id) : 0;
}

int flow_join(struct correlator *c, struct message *a, struct message *b)
{
	struct flow *fa = root_of_message(c, a), *fb = root_of_message(c, b), *small;

	if (fa && fa == fb)
		return 0;
	if (fa && fb) {
		small = fa->id < fb->id ? fa : fb;
		fb = small == fa ? fb : fa;
		fb->parent = small;
		small->refs++;
		return fb->stored ? merged(c, fb->id, small->id) : 0;
	}
	if (fa)
		return join_one(c, b, fa);
	if (fb)
		return join_one(c, a, fb);
	fa = calloc(1, sizeof(*fa));
	if (!fa)
		return -ENOMEM;
	fa->id = a->id < b->id ? a->id : b->id;
	enter(c, a, fa);
	enter(c, b, fa);
	return 0;
}

int flow_restore(struct correlator *c, struct message *m, uint64_t flow)
{
	struct flow *f = map_ptr(&c->flows, flow);

	if (!flow)
		return 0;
	if (!f) {
		f = calloc(1, sizeof(*f));
		if (!f)
			return -ENOMEM;
		f->id = flow;
		f->stored = true;
		if (map_put_ptr(&c->flows, flow, f)) {
			free(f);
			return -ENOMEM;
		}
	}
	f->refs++;
	m->flow = f;
	return 0;
}

/* --- links --- */

int link_add(struct correlator *c, uint64_t src, uint64_t dst, enum link_kind kind, double confidence,
	const char *evidence)
{
	struct link_rec r = {
		.id = c->next.link++,
		.src = src,
		.dst = dst,
		.kind = kind,
		.confidence = confidence,
		.evidence = evidence,
	};
	struct message *a = message_by_id(c, src), *b = message_by_id(c, dst);
	int err = c->out.link ? c->out.link(c->out.ctx, &r) : 0;

	c->stats.links++;
	return err || !a || !b ? err : flow_join(c, a, b);
}

/* --- ids that travel --- */

struct travel {
	struct list age;
	uint64_t hash, last, process;
	uint32_t n;
};

struct travels {
	unsigned n;
	struct {
		uint64_t message;
		enum link_kind kind;
		char why[96];
	} t[MAX_TRAVEL + 2];
};

#define KIN_SEED 0x6b696eULL
#define KIN_MIN  12 /* bytes of an id that nobody else bears by chance */

static struct travel *travel_get(struct correlator *c, uint64_t hash)
{
	struct travel *t = map_ptr(&c->travel, hash), *oldest;

	if (t) {
		list_move_tail(&c->travel_age, &t->age);
		return t;
	}
	if (c->travel.n >= MAX_TRAVELS) {
		oldest = list_first(&c->travel_age, struct travel, age);
		list_del(&oldest->age);
		map_del(&c->travel, oldest->hash);
		free(oldest);
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->hash = hash;
	if (map_put_ptr(&c->travel, hash, t)) {
		free(t);
		return NULL;
	}
	list_add_tail(&c->travel_age, &t->age);
	return t;
}

static int remember(struct message *m, uint64_t old, enum link_kind kind, struct span name, struct span value,
	const char *how)
{
	struct travels *to = m->travels;

	if (!to)
		to = m->travels = calloc(1, sizeof(*to));
	if (!to)
		return -ENOMEM;
	to->t[to->n].message = old;
	to->t[to->n].kind = kind;
	snprintf(to->t[to->n].why, sizeof(to->t[0].why), SPAN_FMT "=" SPAN_FMT " %s",
		SPAN_ARG(span_sub(name, 0, 32)), SPAN_ARG(span_sub(value, 0, 40)), how);
	to->n++;
	return 0;
}

/* --- ids that name a message --- */

static uint64_t kin_hash(const struct message *m, struct span id)
{
	return hash_span(id, KIN_SEED + m->space->index);
}

/* The last that was sent under @id. */
static struct message *kin_find(struct correlator *c, const struct message *m, struct span id)
{
	struct travel *t = id.n < KIN_MIN ? NULL : map_ptr(&c->travel, kin_hash(m, id));

	return t ? message_by_id(c, t->last) : NULL;
}

/* Was it taken, or may it be moved on when it is due? */
static bool may_come_again(const struct message *m)
{
	return m->due || m->ncopies > m->in_state[STATE_QUEUED];
}

int kin_note(struct correlator *c, struct message *m)
{
	const struct envelope *e = &c->env;
	struct message *same, *cause;
	struct travel *t;
	int err = 0;

	if (m->dest != DEST_ROUTED)
		return 0;
	same = kin_find(c, m, e->message_id);
	cause = kin_find(c, m, e->cause);
	if (same && same != m && may_come_again(same))
		err = remember(m, same->id,
			m->key == same->key && m->exchange == same->exchange ? LINK_RETRY_OF : LINK_CAUSED_BY,
			SPAN_LIT("message-id"), e->message_id, "in both");
	if (!err && cause && cause != m && cause != same)
		err = remember(m, cause->id, LINK_CAUSED_BY, e->cause_name, e->cause, "names it");
	if (err || e->message_id.n < KIN_MIN)
		return err;
	t = travel_get(c, kin_hash(m, e->message_id));
	if (!t)
		return -ENOMEM;
	t->last = m->id;
	return 0;
}

int travel_note(struct correlator *c, struct message *m, uint64_t process)
{
	const struct envelope *e = &c->env;

	for (unsigned i = 0; i < e->ntravel; i++) {
		struct travel *t = travel_get(c, e->travel[i].hash);

		if (!t)
			return -ENOMEM;
		/* A hub is worth nothing, and inside one process the rules of cause.c know better. */
		if (t->last && t->n < MAX_FAN_OUT && (t->process != process || !process) &&
			remember(
				m, t->last, LINK_SAME_FLOW, e->travel[i].name, e->travel[i].value, "in both"))
			return -ENOMEM;
		t->last = m->id;
		t->process = process;
		t->n++;
	}
	return 0;
}

int travel_link(struct correlator *c, struct message *m)
{
	struct travels *t = m->travels;
	int err = 0;

	m->travels = NULL;
	for (unsigned i = 0; t && i < t->n && !err; i++) {
		struct message *old = message_by_id(c, t->t[i].message);

		/* A retry is told beside its cause; of equal bodies that has been done. */
		bool retry = t->t[i].kind == LINK_RETRY_OF && old && old->body_hash != m->body_hash;

		if (old && (retry || !m->flow || root_of(old->flow) != root_of(m->flow)))
			err = link_add(c, old->id, m->id, t->t[i].kind,
				t->t[i].kind == LINK_SAME_FLOW ? 0.95 : 0.99, t->t[i].why);
	}
	free(t);
	return err;
}

void travel_forget(struct message *m)
{
	free(m->travels);
	m->travels = NULL;
}

void flow_free(struct correlator *c)
{
	list_for_each (&c->travel_age, n)
		free(list_entry(n, struct travel, age));
	map_free(&c->travel);
	map_free(&c->flows);
}
