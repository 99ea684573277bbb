/*
 * Lists as queues. The element is the message; what is popped is settled by that, what is moved to a list
 * where it waits to be done is settled when it leaves that one. See redis.c.
 */
#include <stdlib.h>

#include "proto/redis_state.h"

#define LREM_MAX (256u << 10) /* bytes of an element that is remembered until the answer */

/* --- requests --- */

static struct op send_op(struct redis *st, const struct node *element, uint8_t flags)
{
	struct op op = redis_op(st, OP_SEND, st->db);
	struct layout l;

	op.flags = flags & PEND_TX ? OPF_TX : 0;
	redis_body(&st->r[TO_SERVER], element, &op);
	redis_layout(st, st->db, redis_arg(st, 1), &op, &l);
	/* Which end: replay puts it there again. LPUSH needs no mention. */
	if (redis_arg_is(st, 0, "RPUSH") || redis_arg_is(st, 0, "RPUSHX"))
		redis_property(st, &op, "command", SPAN_LIT("RPUSH"));
	op.queue = SPAN_EMPTY;
	return op;
}

/* Elements from argument @from on, each a message. */
static void push(struct redis *st, enum rcmd cmd, uint32_t from, uint8_t flags)
{
	uint32_t n = redis_args(st);

	if (n <= from)
		return;
	buf_clear(&st->ids);
	for (uint32_t i = from; i < n; i++) {
		struct op op = send_op(st, redis_arg_node(st, i), flags);
		uint64_t id = redis_emit(st, &op);

		buf_put(&st->ids, &id, sizeof(id));
	}
	redis_queue_is(st, st->db, redis_arg(st, 1),
		QUEUE_LIST |
			(redis_arg_is(st, 0, "RPUSH") || redis_arg_is(st, 0, "RPUSHX") ? QUEUE_RIGHT
										       : QUEUE_LEFT) |
			(cmd == RC_LINSERT ? QUEUE_RIGHT : 0));
	if (!pend_open(st, cmd, flags))
		return;
	pend_item(st, buf_span(&st->ids));
	pend_close(st);
}

/* Arguments @from ..= @to, as items. */
static void remember(struct redis *st, enum rcmd cmd, uint32_t from, uint32_t to, uint8_t flags)
{
	if (!pend_open(st, cmd, flags))
		return;
	for (uint32_t i = from; i <= to && i < redis_args(st); i++)
		pend_item(st, redis_arg(st, i));
	pend_close(st);
}

/* The element by its hash, for elements may be large. From a queue it is a message's end. */
static void lrem(struct redis *st, uint8_t flags)
{
	struct span key = redis_arg(st, 1), element = redis_arg(st, 3);
	uint64_t hash = hash_span(element, redis_name_hash(st, st->db, key));

	if (redis_args(st) != 4 || !pend_open(st, RC_LREM, flags))
		return;
	pend_item(st, key);
	pend_item(st, span_of(&hash, sizeof(hash)));
	if (redis_queue_kind(st, st->db, key) & QUEUE_LIST && element.n <= LREM_MAX &&
		element.n == redis_arg_node(st, 3)->size)
		pend_item(st, element);
	pend_close(st);
}

bool redis_number(struct span s, long *ret)
{
	char text[24];
	char *end;

	if (!s.n || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	*ret = strtol(text, &end, 10);
	return !*end;
}

static void popping(struct redis *st, enum rcmd cmd, uint32_t from, uint32_t to, uint8_t flags)
{
	bool waits = cmd == RC_BLPOP || cmd == RC_BLMPOP;

	redis_kombu_flush(st);
	/* Who waits for a list takes it for a queue; a pop may also clean up a list of what is being done. */
	for (uint32_t i = from; waits && i <= to && i < redis_args(st); i++)
		redis_queue_is(st, st->db, redis_arg(st, i), QUEUE_LIST | QUEUE_POPPED);
	remember(st, cmd, from, to, flags);
}

/* [timeout] numkeys key... */
static void mpop(struct redis *st, enum rcmd cmd, uint32_t at, uint8_t flags)
{
	long n;

	if (redis_number(redis_arg(st, at), &n) && n > 0 && n < redis_args(st))
		popping(st, cmd, at + 1, at + (uint32_t)n, flags);
}

void redis_list_request(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	uint32_t n = redis_args(st);

	switch (cmd) {
	case RC_LPUSH:
	case RC_LPUSHX:
		push(st, cmd, 2, flags);
		break;
	case RC_LINSERT: /* key BEFORE|AFTER pivot element */
		push(st, cmd, 4, flags);
		break;
	case RC_LPOP:
		if (n > 1)
			popping(st, cmd, 1, 1, flags);
		break;
	case RC_BLPOP:
		if (n > 2)
			popping(st, cmd, 1, n - 2, flags);
		break;
	case RC_LMPOP:
		mpop(st, cmd, 1, flags);
		break;
	case RC_BLMPOP:
		mpop(st, cmd, 2, flags);
		break;
	case RC_LMOVE:
		if (n > 2)
			remember(st, cmd, 1, 2, flags);
		break;
	case RC_LREM:
		lrem(st, flags);
		break;
	default:
		break;
	}
}

/* --- answers --- */

static void settle(struct redis *st, const struct answer *a, uint64_t ref, struct span list, enum settle how)
{
	struct op op = redis_op(st, OP_SETTLE, a->h.db);

	op.ref = ref;
	op.settle = how;
	op.queue = list;
	op.queue_known = true;
	op.flags = a->h.flags & PEND_TX ? OPF_TX : 0;
	redis_emit(st, &op);
}

static struct op receive_op(
	struct redis *st, const struct answer *a, struct span list, const struct node *e, struct layout *l)
{
	struct op op = redis_op(st, OP_RECEIVE, a->h.db);

	redis_body(&st->r[TO_CLIENT], e, &op);
	redis_layout(st, a->h.db, list, &op, l);
	op.queue = op.routing_key;
	op.queue_known = true;
	if (a->h.cmd == RC_LPOP || a->h.cmd == RC_LMPOP)
		op.flags |= OPF_PULLED;
	return op;
}

static uint64_t place_hash(
	const struct redis *st, const struct answer *a, struct span list, const struct node *e)
{
	return hash_span(resp_text(&st->r[TO_CLIENT], e), redis_name_hash(st, a->h.db, list));
}

/* An element left @list for good. */
static void popped(struct redis *st, const struct answer *a, struct span list, const struct node *e)
{
	uint64_t open = recent_take(&st->shared->moved, place_hash(st, a, list, e)), ref;
	struct layout l;
	struct op op;
	bool job;

	if (!resp_is_text(e))
		return;
	/* It was being worked on, and is done; unless somebody waited for it, who takes it on. */
	if (open)
		settle(st, a, open, list, SETTLE_ACK);
	if (open && (a->h.cmd == RC_LPOP || a->h.cmd == RC_LMPOP))
		return;
	redis_queue_is(st, a->h.db, list, QUEUE_LIST | QUEUE_POPPED);
	op = receive_op(st, a, list, e, &l);
	job = redis_job_list(list);
	if (!l.tag.n && !job)
		op.flags |= OPF_NO_ACK;
	ref = redis_emit(st, &op);
	if (l.tag.n)
		redis_kombu_taken(st, a->h.db, l.tag, ref);
	else if (job)
		redis_job_taken(st, a->h.db, resp_text(&st->r[TO_CLIENT], e), ref);
	else
		settle(st, a, ref, op.queue, SETTLE_AUTO);
}

static void popped_all(struct redis *st, const struct answer *a, struct span list, const struct node *l)
{
	const struct node *e = resp_is_list(l) ? resp_child(&st->r[TO_CLIENT], l, 0) : NULL;

	for (uint32_t i = 0; e && i < l->n; i++, e = resp_next(&st->r[TO_CLIENT], e))
		popped(st, a, list, e);
}

static void pop_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *key = resp_is_list(n) ? resp_child(r, n, 0) : NULL;

	if (a->h.cmd == RC_LPOP) {
		if (resp_is_list(n))
			popped_all(st, a, answer_item(a, 0), n);
		else
			popped(st, a, answer_item(a, 0), n);
	} else if (resp_is_text(key) && n->n == 2) {
		if (a->h.cmd == RC_BLPOP)
			popped(st, a, resp_text(r, key), resp_child(r, n, 1));
		else
			popped_all(st, a, resp_text(r, key), resp_child(r, n, 1));
	}
}

/* BLPOP's answer is a list's name and an element, BLMPOP's a name and elements. */
bool redis_list_stray(struct redis *st, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *key = resp_is_list(n) && n->n == 2 ? resp_child(r, n, 0) : NULL;
	const struct node *e = resp_is_text(key) ? resp_next(r, key) : NULL;
	struct answer a = {.h = {.db = st->db, .cmd = RC_BLPOP}};

	if (!e || !(redis_queue_kind(st, st->db, resp_text(r, key)) & QUEUE_LIST))
		return false;
	if (resp_is_list(e) && e->n)
		a.h.cmd = RC_BLMPOP;
	else if (!resp_is_text(e))
		return false;
	pop_reply(st, &a, n);
	return true;
}

/* The message goes on to @list, which others pop from. */
static void sent_on(struct redis *st, const struct answer *a, struct span list, const struct node *e)
{
	struct op op = redis_op(st, OP_SEND, a->h.db), confirm;
	struct layout l;

	redis_body(&st->r[TO_CLIENT], e, &op);
	redis_layout(st, a->h.db, list, &op, &l);
	op.queue = SPAN_EMPTY;
	confirm = redis_op(st, OP_CONFIRM, a->h.db);
	confirm.ref = redis_emit(st, &op);
	redis_emit(st, &confirm);
}

static void move_reply(struct redis *st, const struct answer *a, const struct node *e)
{
	struct span src = answer_item(a, 0), dst = answer_item(a, 1);
	uint64_t open, ref;
	struct layout l;
	struct op op;

	if (!resp_is_text(e))
		return;
	open = recent_take(&st->shared->moved, place_hash(st, a, src, e));
	if (redis_queue_kind(st, a->h.db, dst) & QUEUE_LIST) /* from where it is cut is not known any more */
		redis_queue_is(st, a->h.db, dst, QUEUE_LEFT | QUEUE_RIGHT);
	if (open) {
		/* It was being worked on: back to a queue, or on to a list of those done or failed. */
		settle(st, a, open, src,
			redis_queue_kind(st, a->h.db, dst) & QUEUE_LIST ? SETTLE_REQUEUE : SETTLE_ACK);
		return;
	}
	if (span_eq(src, dst)) /* a rotation */
		return;
	redis_queue_is(st, a->h.db, src, QUEUE_LIST);
	op = receive_op(st, a, src, e, &l);
	ref = redis_emit(st, &op);
	if (redis_job_list(src)) {
		redis_job_taken(st, a->h.db, resp_text(&st->r[TO_CLIENT], e), ref);
		return;
	}
	if (redis_queue_kind(st, a->h.db, dst) & QUEUE_POPPED) {
		settle(st, a, ref, op.queue, SETTLE_AUTO);
		sent_on(st, a, dst, e);
		return;
	}
	recent_put(&st->shared->moved, place_hash(st, a, dst, e), ref, SHARED_MAX);
}

/* So many elements left a queue, and nobody got them. */
static void removed(struct redis *st, const struct answer *a, uint64_t n)
{
	struct op op = redis_op(st, OP_DELETE, a->h.db);
	struct layout l;

	op.body = answer_item(a, 2);
	op.body_size = op.body.n;
	redis_layout(st, a->h.db, answer_item(a, 0), &op, &l);
	op.queue = op.routing_key;
	op.queue_known = true;
	op.code = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
	op.flags = a->h.flags & PEND_TX ? OPF_TX : 0;
	redis_emit(st, &op);
}

static void lrem_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span h = answer_item(a, 1);
	uint64_t hash, open;

	if (n->type != ':' || n->i < 1 || h.n != sizeof(hash))
		return;
	memcpy(&hash, h.p, sizeof(hash));
	open = recent_take(&st->shared->moved, hash);
	if (open)
		settle(st, a, open, answer_item(a, 0), SETTLE_ACK);
	else if (a->h.items > 2)
		removed(st, a, (uint64_t)n->i);
	else if (redis_queue_kind(st, a->h.db, answer_item(a, 0)) & QUEUE_LIST)
		redis_touched(st, a, answer_item(a, 0), SPAN_LIT("LREM"));
}

static void push_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	if (resp_is_error(n))
		redis_confirm_all(st, a, OPF_NEGATIVE, resp_text(&st->r[TO_CLIENT], n));
	else if (n->type == ':' && n->i > 0)
		redis_confirm_all(st, a, 0, SPAN_EMPTY);
	else if (n->type == ':')
		redis_confirm_all(st, a, OPF_NEGATIVE,
			a->h.cmd == RC_LINSERT ? SPAN_LIT("no such list, or pivot not found")
					       : SPAN_LIT("no such list"));
}

void redis_list_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	enum rcmd cmd = a->h.cmd;

	if (cmd == RC_LPUSH || cmd == RC_LPUSHX || cmd == RC_LINSERT) {
		push_reply(st, a, n);
	} else if (resp_is_error(n)) {
		struct op op = redis_op(st, OP_ERROR, a->h.db);

		op.queue = answer_item(a, 0);
		op.queue_known = true;
		op.text = resp_text(&st->r[TO_CLIENT], n);
		redis_emit(st, &op);
	} else if (cmd == RC_LMOVE) {
		move_reply(st, a, n);
	} else if (cmd == RC_LREM) {
		lrem_reply(st, a, n);
	} else {
		pop_reply(st, a, n);
	}
}
