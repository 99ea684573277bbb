/* Sorted sets as schedules and queues by priority: a member is a message. Which sets are, see redis.c. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/redis_state.h"

static bool is_queue(struct redis *st, int32_t db, struct span key, struct span member)
{
	return redis_queue_kind(st, db, key) & QUEUE_ZSET || redis_is_schedule(key, member);
}

/* pend.extra of ZADD: its answer is the number of members that were not there before */
#define ADD_COUNTED 1

/* ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member...: the index of the first score. */
static uint32_t first_score(const struct redis *st, bool *ret_xx, bool *ret_counted)
{
	static const char *const options[] = {"NX", "XX", "GT", "LT", "CH", "INCR"};
	uint32_t i = 2;

	for (size_t k = 0; k < ARRAY_LEN(options); k++)
		if (redis_arg_is(st, i, options[k])) {
			*ret_xx |= k == 1;
			*ret_counted &= k < 4;
			i++;
			k = SIZE_MAX;
		}
	return i;
}

static void zadd(struct redis *st, uint8_t flags)
{
	bool xx = false, counted = true;
	struct span key = redis_arg(st, 1);
	uint32_t i = first_score(st, &xx, &counted), n = redis_args(st);

	/* XX changes when what is there is due; it adds nothing. */
	if (xx || n <= i || (n - i) % 2 || !is_queue(st, st->db, key, redis_arg(st, i + 1)))
		return;
	buf_clear(&st->ids);
	for (; i + 1 < n; i += 2) {
		struct op op = redis_op(st, OP_SEND, st->db);
		struct layout l;
		uint64_t id;

		if (redis_job_early(st, key, redis_arg(st, i), redis_arg(st, i + 1)))
			continue;
		op.flags = flags & PEND_TX ? OPF_TX : 0;
		redis_body(&st->r[TO_SERVER], redis_arg_node(st, i + 1), &op);
		redis_layout(st, st->db, key, &op, &l);
		redis_property(st, &op, "score", redis_arg(st, i));
		op.queue = SPAN_EMPTY;
		id = redis_emit(st, &op);
		buf_put(&st->ids, &id, sizeof(id));
	}
	redis_queue_is(st, st->db, key, QUEUE_ZSET);
	if (!pend_open(st, RC_ZADD, flags))
		return;
	pend_extra(st, counted ? ADD_COUNTED : 0);
	pend_item(st, buf_span(&st->ids));
	pend_close(st);
}

/* BullMQ's alarm clock: what is popped wakes a worker, and is no message. */
static bool is_marker(struct span key)
{
	return key.n > strlen(":marker") && span_ends(key, ":marker");
}

static void popping(struct redis *st, enum rcmd cmd, uint32_t from, uint32_t to, uint8_t flags)
{
	if (is_marker(redis_arg(st, from)))
		return;
	for (uint32_t i = from; i <= to && i < redis_args(st); i++)
		redis_queue_is(st, st->db, redis_arg(st, i), QUEUE_ZSET | QUEUE_POPPED);
	if (!pend_open(st, cmd, flags))
		return;
	for (uint32_t i = from; i <= to && i < redis_args(st); i++)
		pend_item(st, redis_arg(st, i));
	pend_close(st);
}

static uint32_t count_at(const struct redis *st, uint32_t at)
{
	struct span s = redis_arg(st, at);
	uint32_t v = 0;

	for (size_t i = 0; i < s.n && i < 6 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
		v = v * 10 + (s.p[i] - '0');
	return v < redis_args(st) ? v : 0;
}

/* What is taken out by name: the member is in the request, the answer says whether it was there. */
static void zrem(struct redis *st, uint8_t flags)
{
	struct span key = redis_arg(st, 1);

	if (redis_args(st) < 3 || !is_queue(st, st->db, key, redis_arg(st, 2)))
		return;
	if (!pend_open(st, RC_ZREM, flags))
		return;
	for (uint32_t i = 1; i < redis_args(st); i++)
		pend_item(st, redis_arg(st, i));
	pend_close(st);
}

void redis_zset_request(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	uint32_t n = redis_args(st), keys;

	switch (cmd) {
	case RC_ZADD:
		zadd(st, flags);
		break;
	case RC_ZPOP:
		if (n > 1)
			popping(st, cmd, 1, 1, flags);
		break;
	case RC_BZPOP:
		if (n > 2)
			popping(st, cmd, 1, n - 2, flags);
		break;
	case RC_ZMPOP:
	case RC_BZMPOP:
		keys = cmd == RC_ZMPOP ? 1 : 2;
		if (count_at(st, keys))
			popping(st, cmd, keys + 1, keys + count_at(st, keys), flags);
		break;
	case RC_ZREM:
		zrem(st, flags);
		break;
	default:
		break;
	}
}

/* --- answers --- */

static void taken(struct redis *st, const struct answer *a, struct span key, struct op *op, struct span score)
{
	struct op settle = redis_op(st, OP_SETTLE, a->h.db);
	struct layout l;

	redis_layout(st, a->h.db, key, op, &l);
	if (score.n)
		redis_property(st, op, "score", score);
	op->queue = op->routing_key;
	op->queue_known = true;
	op->flags |= OPF_NO_ACK | (a->h.cmd == RC_BZPOP || a->h.cmd == RC_BZMPOP ? 0 : OPF_PULLED);
	settle.ref = redis_emit(st, op);
	settle.settle = SETTLE_AUTO;
	settle.queue = op->queue;
	settle.queue_known = true;
	redis_emit(st, &settle);
}

static void member(struct redis *st, const struct answer *a, struct span key, const struct node *m,
	const struct node *score)
{
	struct op op = redis_op(st, OP_RECEIVE, a->h.db);

	if (!resp_is_text(m))
		return;
	redis_body(&st->r[TO_CLIENT], m, &op);
	taken(st, a, key, &op, resp_text(&st->r[TO_CLIENT], score));
}

void redis_zset_member(struct redis *st, const struct answer *a, struct span key, const struct node *m)
{
	member(st, a, key, m, NULL);
}

/* [member, score]..., or in RESP3 [[member, score]...]. */
static void members(struct redis *st, const struct answer *a, struct span key, const struct node *list)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *m = resp_is_list(list) ? resp_child(r, list, 0) : NULL;

	for (uint32_t i = 0; m && i < list->n; i++) {
		if (m->type == '*') {
			member(st, a, key, resp_child(r, m, 0), resp_child(r, m, 1));
		} else {
			const struct node *score = resp_next(r, m);

			if (++i == list->n || !score)
				return;
			member(st, a, key, m, score);
			m = score;
		}
		m = resp_next(r, m);
	}
}

/* When not all were there, which ones is not told: then only a single one is believed. */
static void zrem_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span rest = a->items, key, m;

	if (n->type != ':' || n->i < 1 || (uint64_t)n->i + 1 < a->h.items)
		return;
	answer_next(&rest, &key);
	while (answer_next(&rest, &m)) {
		struct op op = redis_op(st, OP_RECEIVE, a->h.db);

		op.body = m;
		op.body_size = m.n;
		taken(st, a, key, &op, SPAN_EMPTY);
	}
}

void redis_zset_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *key = resp_is_list(n) ? resp_child(r, n, 0) : NULL;

	if (a->h.cmd == RC_ZADD) {
		if (resp_is_error(n))
			redis_confirm_all(st, a, OPF_NEGATIVE, resp_text(r, n));
		else if (a->h.extra & ADD_COUNTED && n->type == ':' && !n->i)
			redis_confirm_all(st, a, OPF_NEGATIVE,
				SPAN_LIT("it was there already: when it is due may have changed"));
		else if (!n->null)
			redis_confirm_all(st, a, 0, SPAN_EMPTY);
	} else if (resp_is_error(n)) {
		return;
	} else if (a->h.cmd == RC_ZREM) {
		zrem_reply(st, a, n);
	} else if (a->h.cmd == RC_ZPOP) {
		members(st, a, answer_item(a, 0), n);
	} else if (resp_is_text(key)) {
		if (a->h.cmd == RC_BZPOP)
			member(st, a, resp_text(r, key), resp_child(r, n, 1), resp_child(r, n, 2));
		else
			members(st, a, resp_text(r, key), resp_child(r, n, 1));
	}
}
