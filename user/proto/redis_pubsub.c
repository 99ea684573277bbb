/*
 * Channels, patterns and shard channels; and members of streams' groups, which end with the connection as
 * subscriptions do. Messages and confirmed subscriptions come as pushes in RESP3; in RESP2 as arrays, told
 * from answers by their form and by there being subscriptions.
 */
#include <stdlib.h>

#include "proto/redis_state.h"

/* --- subscriptions --- */

static uint64_t sub_hash(
	enum sub_kind kind, int32_t db, struct span name, struct span group, struct span consumer)
{
	uint64_t h = hash_span(name, hash_u64((uint64_t)kind + ((uint64_t)(uint32_t)db << 8)));

	return hash_span(consumer, hash_span(group, h));
}

static struct span sub_name(const struct sub *s)
{
	return span_of(s->text, s->name_n);
}

static struct span sub_group(const struct sub *s)
{
	return span_of(s->text + s->name_n, s->group_n);
}

static struct span sub_consumer(const struct sub *s)
{
	return span_of(s->text + s->name_n + s->group_n, s->consumer_n);
}

static bool sub_add(
	struct redis *st, const struct sub *k, struct span name, struct span group, struct span consumer)
{
	uint64_t h = sub_hash(k->kind, k->db, name, group, consumer);
	struct sub *s;

	if (map_get(&st->subs, h))
		return false;
	if (st->subs.n >= SUBS_MAX || name.n + group.n + consumer.n > 1u << 16) {
		st->stats.errors++;
		return false;
	}
	s = malloc(sizeof(*s) + name.n + group.n + consumer.n);
	if (!s)
		return false;
	*s = *k;
	s->name_n = (uint32_t)name.n;
	s->group_n = (uint32_t)group.n;
	s->consumer_n = (uint32_t)consumer.n;
	if (name.n)
		memcpy(s->text, name.p, name.n);
	if (group.n)
		memcpy(s->text + name.n, group.p, group.n);
	if (consumer.n)
		memcpy(s->text + name.n + group.n, consumer.p, consumer.n);
	if (map_put_ptr(&st->subs, h, s)) {
		free(s);
		return false;
	}
	st->subs_n[k->kind]++;
	return true;
}

static bool sub_del(
	struct redis *st, const struct sub *k, struct span name, struct span group, struct span consumer)
{
	uint64_t h = sub_hash(k->kind, k->db, name, group, consumer);
	struct sub *s = map_ptr(&st->subs, h);

	if (!s)
		return false;
	map_del(&st->subs, h);
	free(s);
	st->subs_n[k->kind]--;
	return true;
}

static void say(struct redis *st, enum op_kind kind, const struct sub *k, struct span name, struct span group,
	struct span consumer)
{
	static const char *const words[] = {"", "pattern", "sharded", ""};
	bool member = k->kind == SUB_GROUP;
	struct op op = redis_op(st, kind, member ? k->db : -1);

	op.dest = member ? DEST_LOG : DEST_CHANNEL;
	op.exchange = name;
	op.consumer = member ? consumer : name;
	op.text = span_str(words[k->kind]);
	if (member) {
		op.log = name;
		op.queue = group;
		op.queue_known = true;
	} else {
		op.flags |= OPF_NO_ACK;
	}
	redis_emit(st, &op);
}

void redis_member(struct redis *st, struct span stream, struct span group, struct span consumer)
{
	struct sub k = {.kind = SUB_GROUP, .db = st->db};

	if (sub_add(st, &k, stream, group, consumer))
		say(st, OP_SUBSCRIBE, &k, stream, group, consumer);
}

void redis_member_gone(
	struct redis *st, int32_t db, struct span stream, struct span group, struct span consumer)
{
	struct sub k = {.kind = SUB_GROUP, .db = db};

	sub_del(st, &k, stream, group, consumer);
	say(st, OP_UNSUBSCRIBE, &k, stream, group, consumer);
}

void redis_unsubscribe_all(struct redis *st)
{
	map_for_each (&st->subs, slot) {
		struct sub *s = (struct sub *)(uintptr_t)slot->val;

		say(st, OP_UNSUBSCRIBE, s, sub_name(s), sub_group(s), sub_consumer(s));
		free(s);
	}
	map_free(&st->subs);
	st->subs = (struct map){0};
	memset(st->subs_n, 0, sizeof(st->subs_n));
}

/* --- commands --- */

static void publish(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	const struct node *body = redis_arg_node(st, 2);
	struct op op = {.kind = OP_SEND, .dest = DEST_CHANNEL, .exchange = redis_arg(st, 1)};
	uint64_t id;

	if (redis_args(st) != 3)
		return;
	op.flags = flags & PEND_TX ? OPF_TX : 0;
	redis_body(&st->r[TO_SERVER], body, &op);
	if (cmd == RC_SPUBLISH)
		redis_property(st, &op, "command", SPAN_LIT("SPUBLISH"));
	id = redis_emit(st, &op);
	if (!pend_open(st, cmd, flags))
		return;
	pend_item(st, span_of(&id, sizeof(id)));
	pend_item(st, op.exchange);
	pend_close(st);
}

void redis_pubsub_request(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	if (cmd == RC_PUBLISH || cmd == RC_SPUBLISH) {
		publish(st, cmd, flags);
	} else if (pend_open(st, cmd, flags)) {
		/* An answer for each channel; without channels for each that there is. */
		pend_extra(st, redis_args(st) - 1);
		pend_close(st);
	}
}

static void published(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span id = answer_item(a, 0);
	struct op op = {.kind = OP_CONFIRM, .dest = DEST_CHANNEL, .exchange = answer_item(a, 1)};

	if (id.n != sizeof(op.ref) || (n->type != ':' && !resp_is_error(n)))
		return;
	memcpy(&op.ref, id.p, sizeof(op.ref));
	op.flags = a->h.flags & PEND_TX ? OPF_TX : 0;
	if (resp_is_error(n)) {
		op.flags |= OPF_NEGATIVE;
		op.text = resp_text(&st->r[TO_CLIENT], n);
	} else if (n->i > 0) {
		op.code = n->i > UINT32_MAX ? UINT32_MAX : (uint32_t)n->i;
	} else {
		op.kind = OP_RETURN;
		op.text = SPAN_LIT("no subscriber");
	}
	redis_emit(st, &op);
}

void redis_pubsub_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	if (a->h.cmd == RC_PUBLISH || a->h.cmd == RC_SPUBLISH)
		published(st, a, n);
}

/* --- pushes --- */

struct push {
	const char *word;
	uint8_t children;
	enum sub_kind kind;
	enum rcmd cmd; /* that asks for it */
	enum op_kind op;
};

static const struct push pushes[] = {
	{"message", 3, SUB_CHANNEL, RC_UNKNOWN, OP_RECEIVE},
	{"pmessage", 4, SUB_PATTERN, RC_UNKNOWN, OP_RECEIVE},
	{"smessage", 3, SUB_SHARD, RC_UNKNOWN, OP_RECEIVE},
	{"subscribe", 3, SUB_CHANNEL, RC_SUBSCRIBE, OP_SUBSCRIBE},
	{"psubscribe", 3, SUB_PATTERN, RC_PSUBSCRIBE, OP_SUBSCRIBE},
	{"ssubscribe", 3, SUB_SHARD, RC_SSUBSCRIBE, OP_SUBSCRIBE},
	{"unsubscribe", 3, SUB_CHANNEL, RC_UNSUBSCRIBE, OP_UNSUBSCRIBE},
	{"punsubscribe", 3, SUB_PATTERN, RC_PUNSUBSCRIBE, OP_UNSUBSCRIBE},
	{"sunsubscribe", 3, SUB_SHARD, RC_SUNSUBSCRIBE, OP_UNSUBSCRIBE},
};

static const struct push *push_of(const struct redis *st, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *first = (n->type == '>' || n->type == '*') ? resp_child(r, n, 0) : NULL;

	if (!resp_is_text(first))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(pushes); i++)
		if (n->n == pushes[i].children && n->size == n->n &&
			span_is(resp_text(r, first), pushes[i].word)) {
			const struct node *last = resp_child(r, n, n->n - 1);

			return resp_is_text(last) == (pushes[i].op == OP_RECEIVE) ? &pushes[i] : NULL;
		}
	return NULL;
}

static void message(struct redis *st, const struct push *p, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *body = resp_child(r, n, n->n - 1);
	struct op op = {.kind = OP_RECEIVE, .dest = DEST_CHANNEL, .flags = OPF_NO_ACK};
	struct op settle = {.kind = OP_SETTLE, .dest = DEST_CHANNEL, .settle = SETTLE_AUTO};

	op.exchange = resp_text(r, resp_child(r, n, n->n - 2));
	op.consumer = resp_text(r, resp_child(r, n, 1));
	redis_body(r, body, &op);
	settle.ref = redis_emit(st, &op);
	settle.exchange = op.exchange;
	settle.consumer = op.consumer;
	redis_emit(st, &settle);
	(void)p;
}

/* The command that this confirms has one answer less to come. */
static void confirm(struct redis *st, const struct push *p, bool named)
{
	struct answer a;

	if (!fifo_first(&st->pending, &a) || a.h.cmd != p->cmd)
		return;
	if (!a.h.extra && named && st->subs_n[p->kind])
		return; /* UNSUBSCRIBE of all: others follow */
	if (a.h.extra > 1)
		fifo_set_extra(&st->pending, a.h.extra - 1);
	else
		fifo_pop(&st->pending);
}

static void subscription(struct redis *st, const struct push *p, const struct node *n)
{
	const struct node *channel = resp_child(&st->r[TO_CLIENT], n, 1);
	struct span name = resp_text(&st->r[TO_CLIENT], channel);
	struct sub k = {.kind = p->kind, .db = -1};

	if (resp_is_text(channel)) {
		if (p->op == OP_SUBSCRIBE)
			sub_add(st, &k, name, SPAN_EMPTY, SPAN_EMPTY);
		else
			sub_del(st, &k, name, SPAN_EMPTY, SPAN_EMPTY);
		say(st, p->op, &k, name, SPAN_EMPTY, SPAN_EMPTY);
	}
	confirm(st, p, resp_is_text(channel));
}

/* RESP2 tells a client that caches through the one that it redirects to: keys instead of a message's bytes.
 */
static bool invalidated(struct redis *st, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *word = n->type == '*' && n->n == 3 ? resp_child(r, n, 0) : NULL;

	return resp_is_text(word) && st->subs_n[SUB_CHANNEL] && span_is(resp_text(r, word), "message") &&
	       !resp_is_text(resp_child(r, n, 2));
}

bool redis_pushed(struct redis *st, const struct node *n)
{
	const struct push *p = push_of(st, n);
	uint32_t subs = st->subs_n[SUB_CHANNEL] + st->subs_n[SUB_PATTERN] + st->subs_n[SUB_SHARD];
	struct answer a;
	bool asked;

	if (!p)
		return invalidated(st, n);
	asked = fifo_first(&st->pending, &a);
	/* RESP2: an answer may look like this. */
	if (n->type == '*' && !subs && !st->learning && asked && a.h.cmd != p->cmd)
		return false;
	if (p->op == OP_RECEIVE)
		message(st, p, n);
	else
		subscription(st, p, n);
	return true;
}
