#include "query/tree.h"

#include <errno.h>
#include <stdlib.h>

/* --- which messages --- */

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

static int add(struct tree *t, struct loader *l, struct map *index, uint64_t id, struct err *e)
{
	struct msg *m;
	int err;

	if (map_get(index, id))
		return 0;
	err = loader_get(l, id, &m, e);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (map_put(index, id, t->n))
		return no_memory(e);
	t->nodes[t->n++] = (struct tree_node){m, NULL, NO_NODE, NO_NODE, NO_NODE, NO_NODE};
	return 0;
}

static int count_flow(struct loader *l, uint64_t flow, uint64_t *ret, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(loader_store(l), "SELECT count(*) FROM message WHERE flow=?", &st, e), more;

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, (int64_t)flow);
	more = cat_step(loader_store(l), st, e);
	if (more > 0)
		*ret = cat_id(st, 0);
	sqlite3_finalize(st);
	return more < 0 ? more : 0;
}

static int add_flow(struct tree *t, struct loader *l, struct map *index, uint64_t flow, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(loader_store(l), "SELECT id FROM message WHERE flow=?", &st, e), more;

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, (int64_t)flow);
	while ((more = cat_step(loader_store(l), st, e)) > 0) {
		err = add(t, l, index, cat_id(st, 0), e);
		if (err)
			break;
	}
	sqlite3_finalize(st);
	return err ? err : more;
}

/* Breadth first from @id along links in both directions, until @max. */
static int add_near(
	struct tree *t, struct loader *l, struct map *index, uint64_t id, size_t max, struct err *e)
{
	int err = add(t, l, index, id, e);

	for (size_t i = 0; i < t->n && !err; i++) {
		const struct msg *m = t->nodes[i].m;

		for (size_t k = 0; k < m->links_n && t->n < max && !err; k++)
			err = add(t, l, index,
				m->links[k].src == m->row.id ? m->links[k].dst : m->links[k].src, e);
	}
	return err;
}

static int by_time(const void *a, const void *b)
{
	const struct row *x = &((const struct tree_node *)a)->m->row,
			 *y = &((const struct tree_node *)b)->m->row;

	if (x->when_ns != y->when_ns)
		return x->when_ns < y->when_ns ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

/* --- who stands under whom --- */

/* What the broker did is certain, and tells more of a message than what a client did. */
static int rank(enum link_kind k)
{
	switch (k) {
	case LINK_DEAD_LETTER_OF:
		return 4;
	case LINK_REPLAY_OF:
		return 3;
	case LINK_RETRY_OF:
		return 2;
	case LINK_CAUSED_BY:
	case LINK_REPLY_TO:
		return 1;
	case LINK_SAME_FLOW:
		break;
	}
	return 0;
}

/* @early: only from messages that are not younger. */
static const struct msg_link *strongest(
	const struct tree *t, const struct msg *m, const struct map *index, bool early)
{
	const struct msg_link *best = NULL;

	for (size_t i = 0; i < m->links_n; i++) {
		const struct msg_link *k = &m->links[i];
		const uint64_t *src = map_get(index, k->src);

		if (k->dst != m->row.id || k->src == k->dst || !src)
			continue;
		if (early && t->nodes[*src].m->row.when_ns > m->row.when_ns)
			continue;
		if (!best || rank(k->kind) > rank(best->kind) ||
			(rank(k->kind) == rank(best->kind) && k->confidence > best->confidence))
			best = k;
	}
	return best;
}

/* The copy of @parent from which @m came: what it became, or what its sender had been given. */
static size_t copy_of(const struct msg *parent, const struct msg *m, enum link_kind kind)
{
	for (size_t i = 0; i < parent->copies_n; i++) {
		const struct msg_copy *c = &parent->copies[i];

		if (kind == LINK_DEAD_LETTER_OF
				? c->dead_letter == m->row.id
				: m->sender && c->consumer && c->consumer->id == m->sender->id)
			return i;
	}
	return NO_NODE;
}

/* Links are guesses, too: nothing may stand under itself. */
static bool stands_under(const struct tree *t, size_t node, size_t ancestor)
{
	while (node != NO_NODE && node != ancestor)
		node = t->nodes[node].parent;
	return node == ancestor;
}

static void place(struct tree *t, const struct map *index, size_t i, bool early)
{
	struct tree_node *n = &t->nodes[i];
	const struct msg_link *k = strongest(t, n->m, index, early);
	uint64_t *parent = k ? map_get(index, k->src) : NULL;

	if (!parent)
		return;
	/* a replay and what only shares an id stand beside the others */
	if (k->kind == LINK_REPLAY_OF || k->kind == LINK_SAME_FLOW) {
		n->link = k;
		return;
	}
	if (stands_under(t, *parent, i))
		return;
	n->link = k;
	n->parent = *parent;
	n->via = copy_of(t->nodes[n->parent].m, n->m, k->kind);
}

/* A cause that is younger than its effect is believed (clocks differ), but only where no older one is known.
 */
static void join(struct tree *t, const struct map *index)
{
	for (size_t i = 0; i < t->n; i++)
		place(t, index, i, true);
	for (size_t i = 0; i < t->n; i++)
		if (!t->nodes[i].link)
			place(t, index, i, false);
	for (size_t i = t->n; i; i--) {
		struct tree_node *n = &t->nodes[i - 1];

		if (n->parent == NO_NODE)
			continue;
		n->next = t->nodes[n->parent].child;
		t->nodes[n->parent].child = i - 1;
	}
}

int tree__new(struct loader *l, uint64_t id, size_t max, struct tree **ret, struct err *e)
{
	struct tree *t = calloc(1, sizeof(*t));
	struct map index = {0};
	struct msg *m = NULL;
	int err;

	if (!t)
		return no_memory(e);
	err = loader_get(l, id, &m, e);
	if (!err)
		err = count_flow(l, m->row.flow, &t->total, e);
	if (!err) {
		t->nodes = calloc(max, sizeof(*t->nodes));
		err = t->nodes ? 0 : no_memory(e);
	}
	/* the flow may grow while it is read: add_flow() reads in one statement, which sees one moment */
	if (!err)
		err = t->total < max ? add_flow(t, l, &index, m->row.flow, e)
				     : add_near(t, l, &index, id, max, e);
	if (!err) {
		qsort(t->nodes, t->n, sizeof(*t->nodes), by_time);
		for (size_t i = 0; i < t->n; i++)
			map_put(&index, t->nodes[i].m->row.id, i); /* they are there: this only overwrites */
		join(t, &index);
	}
	map_free(&index);
	if (err) {
		tree__free(t);
		return err;
	}
	*ret = t;
	return 0;
}

void tree__free(struct tree *t)
{
	if (!t)
		return;
	free(t->nodes);
	free(t);
}

/* --- lines --- */

struct entry {
	int64_t at_ns;
	size_t order; /* as they came, where times are equal */
	const struct tree_node *node;
	const struct msg_copy *copy; /* NULL: the message itself */
};

struct entries {
	struct entry *e;
	size_t n, cap;
};

struct walker {
	const struct tree *t;
	int (*fn)(void *ctx, const struct tree_line *line);
	void *ctx;
	struct tree_line line;
};

static int put_entry(struct entries *list, const struct tree_node *n, const struct msg_copy *c)
{
	int64_t at = !c ? n->m->row.when_ns : c->first_delivered_ns ? c->first_delivered_ns : c->queued_ns;

	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 8;
		struct entry *p = reallocarray(list->e, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		list->e = p;
		list->cap = cap;
	}
	list->e[list->n] = (struct entry){at, list->n, n, c};
	list->n++;
	return 0;
}

static int entry_by_time(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->at_ns != y->at_ns)
		return x->at_ns < y->at_ns ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

static bool is_dead_letter(const struct tree_node *n)
{
	return n->parent != NO_NODE && n->link->kind == LINK_DEAD_LETTER_OF;
}

/* The children of @n at its copy @via; a dead-letter message stands for its copies, where it has any. */
static int put_children(const struct tree *t, struct entries *list, const struct tree_node *n, size_t via)
{
	int err = 0;

	for (size_t c = n->child; c != NO_NODE && !err; c = t->nodes[c].next) {
		const struct tree_node *child = &t->nodes[c];

		if (child->via != via)
			continue;
		if (!is_dead_letter(child) || !child->m->copies_n)
			err = put_entry(list, child, NULL);
		for (size_t i = 0; i < child->m->copies_n && !err && is_dead_letter(child); i++)
			err = put_entry(list, child, &child->m->copies[i]);
	}
	return err;
}

/* What stands under an entry. */
static int put_below(const struct tree *t, struct entries *list, const struct entry *e)
{
	const struct tree_node *n = e->node;
	int err = 0;

	if (e->copy) {
		err = put_children(t, list, n, (size_t)(e->copy - n->m->copies));
		/* what a dead-letter message led to, at no copy of it: at its first, since it has no line */
		if (!err && is_dead_letter(n) && e->copy == n->m->copies)
			err = put_children(t, list, n, NO_NODE);
		return err;
	}
	for (size_t i = 0; i < n->m->copies_n && !err; i++)
		err = put_entry(list, n, &n->m->copies[i]);
	return err ? err : put_children(t, list, n, NO_NODE);
}

static int walk(struct walker *w, const struct entry *e, unsigned depth)
{
	struct entries below = {0};
	int err;

	w->line.kind = e->copy ? LINE_COPY : e->node->parent == NO_NODE ? LINE_ROOT : LINE_EFFECT;
	w->line.node = e->node;
	w->line.copy = e->copy;
	w->line.at_ns = e->at_ns;
	w->line.depth = depth < TREE_MAX_DEPTH ? depth : TREE_MAX_DEPTH - 1;
	err = w->fn(w->ctx, &w->line);
	if (!err)
		err = put_below(w->t, &below, e);
	if (!err && below.n)
		qsort(below.e, below.n, sizeof(*below.e), entry_by_time);
	for (size_t i = 0; i < below.n && !err; i++) {
		/* deeper ones are shown at the last level, so that the page is not left; the tree has at most
		 * as many levels as it has lines, so the stack is safe */
		w->line.last[depth + 1 < TREE_MAX_DEPTH ? depth + 1 : TREE_MAX_DEPTH - 1] = i + 1 == below.n;
		err = walk(w, &below.e[i], depth + 1);
	}
	free(below.e);
	return err;
}

int tree_walk(const struct tree *t, int (*fn)(void *ctx, const struct tree_line *line), void *ctx)
{
	struct walker w = {.t = t, .fn = fn, .ctx = ctx};
	int err = 0;

	for (size_t i = 0; i < t->n && !err; i++)
		if (t->nodes[i].parent == NO_NODE)
			err = walk(&w, &(struct entry){t->nodes[i].m->row.when_ns, 0, &t->nodes[i], NULL}, 0);
	return err;
}
