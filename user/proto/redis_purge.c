/*
 * What takes messages away without handing them to anybody: keys deleted, renamed, emptied, cut, or with a
 * time at which they go. Told for keys that are known as queues. Whose fate an answer does not tell, as with
 * parts of a list pushed to from both ends, are told as unsure: they are not known to wait any more.
 */
#include <stdlib.h>

#include "proto/redis_state.h"

/* pend.extra of what is cut */
#define CUT_KEEPS 0x7fffffffu /* so many stay */
#define CUT_SURE  0x80000000u /* the newest */

/* --- requests --- */

/* Keys of which we know that they are queues, or jobs. */
static void del(struct redis *st, uint8_t flags)
{
	bool any = false;

	for (uint32_t i = 1; i < redis_args(st); i++)
		if (redis_queue_kind(st, st->db, redis_arg(st, i)) || redis_job_open(st, redis_arg(st, i))) {
			if (!any && !pend_open(st, RC_DEL, flags))
				return;
			any = true;
			pend_item(st, redis_arg(st, i));
		}
	pend_close(st);
}

/*
 * LTRIM key from to. All goes when the range is empty. A list that is pushed to from the side that is kept
 * keeps what came last; of any other it is not told what goes.
 */
static void ltrim(struct redis *st, uint8_t flags)
{
	unsigned kind = redis_queue_kind(st, st->db, redis_arg(st, 1));
	uint32_t keeps = 0;
	long from, to;

	if (!redis_number(redis_arg(st, 2), &from) || !redis_number(redis_arg(st, 3), &to) || !kind ||
		(!from && to == -1))
		return;
	if (from > to && (from >= 0) == (to >= 0))
		keeps = CUT_SURE;
	else if (!from && to >= 0 && to < (long)CUT_KEEPS)
		keeps = (uint32_t)to + 1;
	else if (to == -1 && from < 0 && -from < (long)CUT_KEEPS)
		keeps = (uint32_t)-from;
	if (keeps && keeps != CUT_SURE &&
		(kind & (QUEUE_LEFT | QUEUE_RIGHT)) == (from ? QUEUE_RIGHT : QUEUE_LEFT))
		keeps |= CUT_SURE;
	if (!pend_open(st, RC_LTRIM, flags))
		return;
	pend_extra(st, keeps);
	pend_item(st, redis_arg(st, 1));
	pend_close(st);
}

static void flush(struct redis *st, uint8_t flags)
{
	if (!pend_open(st, RC_FLUSH, flags))
		return;
	pend_extra(st, redis_arg_is(st, 0, "FLUSHALL"));
	pend_close(st);
}

static void swapdb(struct redis *st, uint8_t flags)
{
	if (!pend_open(st, RC_SWAPDB, flags))
		return;
	pend_item(st, redis_arg(st, 1));
	pend_item(st, redis_arg(st, 2));
	pend_close(st);
}

/* RENAME from to, MOVE key db. What was at @to is overwritten. */
static void rename_key(struct redis *st, uint8_t flags)
{
	bool move = redis_arg_is(st, 0, "MOVE");
	struct span from = redis_arg(st, 1), to = move ? SPAN_EMPTY : redis_arg(st, 2);
	unsigned kind = redis_queue_kind(st, st->db, from);

	if ((!kind && !redis_queue_kind(st, st->db, to)) || span_eq(from, to) ||
		!pend_open(st, RC_RENAME, flags))
		return;
	if (to.n)
		redis_queue_is(st, st->db, to, kind);
	pend_item(st, from);
	pend_item(st, to);
	pend_close(st);
}

/* [P]EXPIRE[AT] key time [option], PERSIST key: told in ms. */
static void expire(struct redis *st, uint8_t flags)
{
	struct span name = redis_arg(st, 0), key = redis_arg(st, 1), how = SPAN_LIT("never");
	bool ms = name.n && (name.p[0] | 0x20) == 'p', persist = span_same(name, "PERSIST");
	uint64_t v = 0;
	long n = 0;

	if (!redis_queue_kind(st, st->db, key) || (!persist && !redis_number(redis_arg(st, 2), &n)) ||
		!pend_open(st, RC_EXPIRE, flags))
		return;
	if (!persist) {
		how = (name.p[name.n - 1] | 0x20) == 't' ? SPAN_LIT("at") : SPAN_LIT("in");
		v = n > 0 ? (uint64_t)n : 0;
		v = ms ? v : v > UINT64_MAX / 1000 ? UINT64_MAX : v * 1000;
	}
	pend_item(st, key);
	pend_item(st, how);
	pend_item(st, span_of(&v, sizeof(v)));
	pend_close(st);
}

/* All of a sorted set, or nobody knows what. */
static void zremrange(struct redis *st, uint8_t flags)
{
	struct span from = redis_arg(st, 2), to = redis_arg(st, 3);
	bool all = (span_same(from, "-inf") && (span_same(to, "+inf") || span_same(to, "inf"))) ||
		   (span_is(from, "-") && span_is(to, "+")) ||
		   (redis_arg_is(st, 0, "ZREMRANGEBYRANK") && span_is(from, "0") && span_is(to, "-1"));

	if (!redis_queue_kind(st, st->db, redis_arg(st, 1)) || !pend_open(st, RC_ZREMRANGE, flags))
		return;
	pend_extra(st, all ? CUT_SURE : 0);
	pend_item(st, redis_arg(st, 1));
	pend_close(st);
}

void redis_purge_request(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	switch (cmd) {
	case RC_LTRIM:
		ltrim(st, flags);
		break;
	case RC_DEL:
		del(st, flags);
		break;
	case RC_FLUSH:
		flush(st, flags);
		break;
	case RC_SWAPDB:
		swapdb(st, flags);
		break;
	case RC_RENAME:
		rename_key(st, flags);
		break;
	case RC_EXPIRE:
		expire(st, flags);
		break;
	case RC_ZREMRANGE:
		zremrange(st, flags);
		break;
	default:
		break;
	}
}

/* --- answers --- */

static struct op purge_op(struct redis *st, const struct answer *a, enum op_kind kind, uint32_t flags)
{
	struct op op = redis_op(st, kind, a->h.db);

	op.flags = flags | (a->h.flags & PEND_TX ? OPF_TX : 0);
	return op;
}

static void to_stream(struct op *op, struct span key)
{
	op->dest = DEST_LOG;
	op->exchange = op->log = key;
}

static void to_queue(struct op *op, struct span key)
{
	op->queue = key;
	op->queue_known = true;
}

/* What is at @key, of whichever kinds it may be, is taken away: @stream tells it of a stream. */
static void taken_away(struct redis *st, const struct answer *a, struct span key, struct span text,
	enum op_kind stream, uint32_t stream_flags, uint32_t queue_flags)
{
	unsigned kind = redis_queue_kind(st, a->h.db, key);
	struct op op;

	if (kind & QUEUE_STREAM) {
		op = purge_op(st, a, stream, stream_flags);
		to_stream(&op, key);
		op.text = text;
		redis_emit(st, &op);
	}
	if (kind & (QUEUE_LIST | QUEUE_ZSET)) {
		op = purge_op(st, a, OP_QUEUE_PURGE, queue_flags);
		to_queue(&op, key);
		op.text = text;
		redis_emit(st, &op);
	}
}

/* The key is not there any more, or not what it was. */
static void gone(struct redis *st, const struct answer *a, struct span key, struct span text)
{
	taken_away(st, a, key, text, OP_EXCHANGE_DELETE, 0, 0);
}

/* Something may have left it. */
static void unsure(struct redis *st, const struct answer *a, struct span key, struct span text)
{
	taken_away(st, a, key, text, OP_DELETE, OPF_UNSURE | OPF_UP_TO, OPF_UNSURE);
}

void redis_touched(struct redis *st, const struct answer *a, struct span key, struct span by)
{
	unsure(st, a, key, by);
	redis_queue_is(st, a->h.db, key, QUEUE_LEFT | QUEUE_RIGHT);
}

static void cut(struct redis *st, const struct answer *a)
{
	struct op op = purge_op(st, a, OP_QUEUE_PURGE, 0);

	to_queue(&op, answer_item(a, 0));
	op.code = a->h.extra & CUT_KEEPS;
	if (op.code)
		op.flags |= OPF_UP_TO;
	if (!(a->h.extra & CUT_SURE))
		op.flags |= OPF_UNSURE;
	redis_emit(st, &op);
}

static void flushed(struct redis *st, const struct answer *a)
{
	struct op op = purge_op(st, a, OP_QUEUE_PURGE, a->h.extra ? OPF_ONE_OF_MANY : 0);

	op.text = a->h.extra ? SPAN_LIT("FLUSHALL") : SPAN_LIT("FLUSHDB");
	redis_emit(st, &op);
}

/* What is in either is in the other now: what a name means is not known. */
static void swapped(struct redis *st, const struct answer *a)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct op op = purge_op(st, a, OP_QUEUE_PURGE, OPF_UNSURE);

		op.vhost = answer_item(a, i);
		op.text = SPAN_LIT("SWAPDB");
		redis_emit(st, &op);
	}
}

static void renamed(struct redis *st, const struct answer *a)
{
	struct span from = answer_item(a, 0), to = answer_item(a, 1);

	if (to.n) {
		struct op op = purge_op(st, a, OP_QUEUE_PURGE, 0);

		gone(st, a, to, SPAN_LIT("another key was renamed to it"));
		to_queue(&op, to);
		op.type = SPAN_LIT("as");
		op.routing_key = from;
		if (redis_queue_kind(st, a->h.db, from) & (QUEUE_LIST | QUEUE_ZSET))
			redis_emit(st, &op);
	}
	unsure(st, a, from, to.n ? SPAN_LIT("renamed") : SPAN_LIT("moved to another database"));
}

static void expires(struct redis *st, const struct answer *a)
{
	struct op op = purge_op(st, a, OP_QUEUE_PURGE, 0);
	struct span key = answer_item(a, 0), v = answer_item(a, 2);
	unsigned kind = redis_queue_kind(st, a->h.db, key);

	op.type = answer_item(a, 1);
	if (v.n == sizeof(op.tag))
		memcpy(&op.tag, v.p, sizeof(op.tag));
	if (kind & (QUEUE_LIST | QUEUE_ZSET)) {
		to_queue(&op, key);
		redis_emit(st, &op);
	}
	if (kind & QUEUE_STREAM) {
		op.queue = SPAN_EMPTY;
		op.queue_known = false;
		to_stream(&op, key);
		redis_emit(st, &op);
	}
}

void redis_purge_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span rest = a->items, key;
	bool some = n->type == '+' || (n->type == ':' && n->i > 0);

	if (resp_is_error(n))
		return;
	if (a->h.cmd == RC_DEL) {
		/* Whichever of them it counts: none of them is there now. */
		while (answer_next(&rest, &key))
			if (n->i < 1 || !redis_job_deleted(st, a, key))
				gone(st, a, key, SPAN_EMPTY);
	} else if (!some) {
		return;
	} else if (a->h.cmd == RC_FLUSH) {
		flushed(st, a);
	} else if (a->h.cmd == RC_SWAPDB) {
		swapped(st, a);
	} else if (a->h.cmd == RC_RENAME) {
		renamed(st, a);
	} else if (a->h.cmd == RC_EXPIRE) {
		expires(st, a);
	} else {
		cut(st, a);
	}
}
