/*
 * Streams. A message is known by its stream's key and its id. All fields of an entry are the message's
 * headers; its body is the value of the only field, or of the first one with a name that says so.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/redis_state.h"

/* pend.extra of XREADGROUP and XREAD */
#define READ_NO_ACK 1
#define READ_PLAIN  2

/* "1700000000000-0" */
bool redis_stream_id(struct span s)
{
	size_t i = 0, dash;

	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	dash = i++;
	if (!dash || dash > 20 || dash >= s.n || s.p[dash] != '-' || i >= s.n || s.n - i > 20)
		return false;
	for (; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

uint64_t redis_delivery_hash(int32_t db, struct span key, struct span group, struct span id)
{
	return hash_span(id, hash_span(group, hash_span(key, (uint64_t)(int64_t)db)));
}

static struct op stream_op(struct redis *st, enum op_kind kind, int32_t db, struct span key, struct span id)
{
	struct op op = redis_op(st, kind, db);

	op.dest = DEST_LOG;
	op.exchange = op.log = key;
	op.mid = id;
	return op;
}

/* --- entries --- */

static int body_rank(struct span name)
{
	static const char *const names[] = {
		"data", "payload", "body", "message", "value", "event", "job", "task"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (span_is(name, names[i]))
			return (int)i;
	return ARRAY_LEN(names);
}

/* Headers and body of the @n fields and values from @f on. */
static void fields(struct redis *st, const struct resp *r, const struct node *f, uint32_t n, struct op *op)
{
	const struct node *body = NULL;
	int best = body_rank(SPAN_EMPTY);
	uint32_t own = 0;

	pairs_begin(&st->env);
	for (; n > 1 && f; n -= 2) {
		const struct node *v = resp_next(r, f);
		struct span name = resp_text(r, f);
		int rank = body_rank(name);

		if (!v)
			break;
		pairs_header(&st->env, name, resp_text(r, v));
		if (v->clipped || v->gap)
			op->flags |= v->gap ? OPF_GAP : OPF_TRUNCATED;
		if (!span_is(name, REPLAY_MARK)) {
			if (rank < best || (!own && best == body_rank(SPAN_EMPTY)))
				body = v;
			if (rank < best)
				best = rank;
			own++;
		}
		f = resp_next(r, v);
	}
	if (body && (own == 1 || best < body_rank(SPAN_EMPTY)))
		redis_body(r, body, op);
	if (buf_ok(&st->env))
		op->envelope = buf_span(&st->env);
	else
		st->env.oom = false;
}

/* --- requests --- */

/* What XADD and XTRIM cut off. */
struct trim {
	struct span minid;
	long keeps;   /* MAXLEN; -1 none */
	bool exactly; /* else it may be less, and an answer tells how many at best */
};

/* Index of XADD's id. 0: not understood. */
static uint32_t xadd_id(const struct redis *st, uint32_t i, struct trim *ret)
{
	uint32_t n = redis_args(st);

	*ret = (struct trim){.keeps = -1, .exactly = true};
	for (; i < n; i++) {
		if (redis_arg_is(st, i, "ACKED"))
			ret->exactly = false; /* only what all groups are done with */
		if (redis_arg_is(st, i, "NOMKSTREAM") || redis_arg_is(st, i, "KEEPREF") ||
			redis_arg_is(st, i, "DELREF") || redis_arg_is(st, i, "ACKED"))
			continue;
		if (redis_arg_is(st, i, "IDMPAUTO")) {
			i++;
		} else if (redis_arg_is(st, i, "IDMP")) {
			i += 2;
		} else if (redis_arg_is(st, i, "LIMIT")) {
			i++;
		} else if (redis_arg_is(st, i, "MAXLEN") || redis_arg_is(st, i, "MINID")) {
			bool minid = redis_arg_is(st, i, "MINID"), about = redis_arg_is(st, i + 1, "~");

			i += about || redis_arg_is(st, i + 1, "=") ? 2 : 1;
			ret->exactly &= !about;
			if (minid)
				ret->minid = redis_arg(st, i);
			else if (!redis_number(redis_arg(st, i), &ret->keeps))
				ret->keeps = -1;
		} else {
			return i;
		}
	}
	return 0;
}

/* As the last two items. */
static void pend_trim(struct redis *st, const struct trim *t)
{
	pend_extra(st, t->exactly);
	pend_item(st, t->minid);
	pend_item(st, span_of(&t->keeps, sizeof(t->keeps)));
}

static void xadd(struct redis *st, uint8_t flags)
{
	struct span key = redis_arg(st, 1);
	struct trim trim;
	uint32_t id = xadd_id(st, 2, &trim), n = redis_args(st);
	struct op op = stream_op(st, OP_SEND, st->db, key, SPAN_EMPTY);
	uint64_t ref;

	if (!id || id + 1 >= n || (n - id - 1) % 2)
		return;
	if (flags & PEND_TX)
		op.flags |= OPF_TX;
	if (st->r[TO_SERVER].lost_some)
		op.flags |= OPF_TRUNCATED;
	fields(st, &st->r[TO_SERVER], redis_arg_node(st, id + 1), n - id - 1, &op);
	ref = redis_emit(st, &op);
	redis_queue_is(st, st->db, key, QUEUE_STREAM);
	if (!pend_open(st, RC_XADD, flags))
		return;
	pend_item(st, span_of(&ref, sizeof(ref)));
	pend_item(st, key);
	pend_trim(st, &trim);
	pend_close(st);
}

/* [XREADGROUP] GROUP g c [COUNT n] [BLOCK ms] [CLAIM ms] [NOACK] STREAMS key... id... */
static void xread(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	uint32_t n = redis_args(st), i = 1, extra = cmd == RC_XREAD ? READ_PLAIN : 0;
	struct span group = SPAN_EMPTY, consumer = SPAN_EMPTY;

	for (; i < n && !redis_arg_is(st, i, "STREAMS"); i++) {
		if (redis_arg_is(st, i, "GROUP")) {
			group = redis_arg(st, i + 1);
			consumer = redis_arg(st, i + 2);
			i += 2;
		} else if (redis_arg_is(st, i, "NOACK")) {
			extra |= READ_NO_ACK;
		} else {
			i++;
		}
	}
	if (i++ >= n || (n - i) % 2 || i == n)
		return;
	if (cmd == RC_XREADGROUP && !st->reply_mode)
		for (uint32_t k = 0; k < (n - i) / 2; k++)
			redis_member(st, redis_arg(st, i + k), group, consumer);
	if (!pend_open(st, cmd, flags))
		return;
	pend_extra(st, extra);
	pend_item(st, group);
	pend_item(st, consumer);
	for (uint32_t k = 0; k < (n - i) / 2; k++) {
		struct span id = redis_arg(st, i + (n - i) / 2 + k);

		pend_item(st, redis_arg(st, i + k));
		pend_item(st, span_is(id, ">") ? SPAN_LIT(">") : SPAN_LIT("h"));
	}
	pend_close(st);
}

/* Where the ids of XACK and its kin begin: behind "IDS n" of the newer ones. */
static uint32_t first_id(const struct redis *st, enum rcmd cmd)
{
	uint32_t n = redis_args(st);

	if (cmd == RC_XACK)
		return 3;
	if (cmd == RC_XDEL)
		return 2;
	for (uint32_t i = 2; i + 1 < n; i++)
		if (redis_arg_is(st, i, "IDS"))
			return i + 2;
	return n;
}

static void ids(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	bool grouped = cmd == RC_XACK || cmd == RC_XACKDEL;

	if (!pend_open(st, cmd, flags))
		return;
	pend_item(st, redis_arg(st, 1));
	pend_item(st, grouped ? redis_arg(st, 2) : SPAN_EMPTY);
	for (uint32_t i = first_id(st, cmd), n = redis_args(st); i < n; i++)
		pend_item(st, redis_arg(st, i));
	pend_close(st);
}

static void xtrim(struct redis *st, uint8_t flags)
{
	struct trim trim;

	xadd_id(st, 2, &trim);
	if ((!trim.minid.n && trim.keeps < 0) || !pend_open(st, RC_XTRIM, flags))
		return;
	pend_item(st, redis_arg(st, 1));
	pend_trim(st, &trim);
	pend_close(st);
}

/* All arguments behind the name. */
static void all_args(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	if (!pend_open(st, cmd, flags))
		return;
	for (uint32_t i = 1, n = redis_args(st); i < n; i++)
		pend_item(st, redis_arg(st, i));
	pend_close(st);
}

void redis_stream_request(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	switch (cmd) {
	case RC_XADD:
		xadd(st, flags);
		break;
	case RC_XREAD:
	case RC_XREADGROUP:
		xread(st, cmd, flags);
		break;
	case RC_XACK:
	case RC_XACKDEL:
	case RC_XDEL:
	case RC_XDELEX:
		ids(st, cmd, flags);
		break;
	case RC_XTRIM:
		xtrim(st, flags);
		break;
	default: /* XCLAIM, XAUTOCLAIM, XGROUP, XPENDING */
		all_args(st, cmd, flags);
	}
}

/* --- answers --- */

/* @rest: items of pend_trim() */
static void trimmed(struct redis *st, const struct answer *a, struct span key, struct span rest)
{
	struct op op = stream_op(st, OP_DELETE, a->h.db, key, SPAN_EMPTY);
	struct span keeps;
	long n = -1;

	if (!answer_next(&rest, &op.mid) || !answer_next(&rest, &keeps))
		return;
	if (keeps.n == sizeof(n))
		memcpy(&n, keeps.p, sizeof(n));
	if (!op.mid.n && n < 0)
		return;
	if (!op.mid.n)
		op.code = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
	op.flags = OPF_UP_TO | (a->h.flags & PEND_TX ? OPF_TX : 0) | (a->h.extra ? 0 : OPF_UNSURE);
	redis_emit(st, &op);
}

static void xadd_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span text = resp_text(&st->r[TO_CLIENT], n), rest = a->items, id = SPAN_EMPTY,
		    key = SPAN_EMPTY;
	struct op op;

	answer_next(&rest, &id);
	answer_next(&rest, &key);
	op = stream_op(st, OP_CONFIRM, a->h.db, key, SPAN_EMPTY);
	if (id.n != sizeof(op.ref))
		return;
	memcpy(&op.ref, id.p, sizeof(op.ref));
	op.flags = a->h.flags & PEND_TX ? OPF_TX : 0;
	if (resp_is_error(n)) {
		op.flags |= OPF_NEGATIVE;
		op.text = text;
	} else if (n->null) {
		op.flags |= OPF_NEGATIVE;
		op.text = SPAN_LIT("no such stream (NOMKSTREAM)");
	} else if (resp_is_text(n)) {
		op.mid = text;
	} else {
		return;
	}
	redis_emit(st, &op);
	if (op.mid.n)
		trimmed(st, a, key, rest);
}

struct reading {
	int32_t db;
	struct span key, group, consumer;
	bool plain, no_ack, again, is_new;
	bool stray; /* who reads for whom is not known */
	uint32_t flags;
};

static void settle_auto(struct redis *st, const struct reading *k, struct span id, uint64_t ref)
{
	struct op op = stream_op(st, OP_SETTLE, k->db, k->key, id);

	op.settle = SETTLE_AUTO;
	op.ref = ref;
	op.queue = k->group;
	op.queue_known = !k->plain;
	op.consumer = k->consumer;
	redis_emit(st, &op);
}

/* One entry: [id, fields], of which fields may be nil when it was deleted meanwhile, or only an id. */
static void entry(struct redis *st, const struct reading *k, const struct node *e)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *id = resp_is_list(e) ? resp_child(r, e, 0) : e;
	const struct node *f = resp_is_list(e) ? resp_child(r, e, 1) : NULL, *count;
	struct op op;
	uint64_t ref;

	if (!resp_is_text(id) || (f && f->null))
		return;
	op = stream_op(st, OP_RECEIVE, k->db, k->key, resp_text(r, id));
	op.flags = k->flags;
	op.queue = k->group;
	op.queue_known = !k->plain;
	op.consumer = k->consumer;
	if (k->again)
		op.flags |= OPF_REDELIVERED;
	/* With CLAIM, entries of others come in between: [id, fields, idle, deliveries]. */
	count = resp_is_list(e) && e->n == 4 ? resp_child(r, e, 3) : NULL;
	op.delivery = k->is_new && !k->no_ack;
	if (count && count->type == ':' && count->i > 0) {
		op.delivery = (uint32_t)count->i;
		op.flags |= count->i > 1 ? OPF_REDELIVERED : 0;
	}
	if (!k->stray && (k->no_ack || k->plain))
		op.flags |= OPF_NO_ACK;
	if (resp_is_list(f))
		fields(st, r, resp_child(r, f, 0), f->n, &op);
	else
		op.flags |= OPF_TRUNCATED; /* JUSTID: what it holds is not told */
	ref = redis_emit(st, &op);
	if (k->stray)
		return;
	if (k->no_ack || k->plain)
		settle_auto(st, k, op.mid, ref);
	else
		recent_put(&st->deliveries, redis_delivery_hash(k->db, k->key, k->group, op.mid), ref,
			DELIVERIES_MAX);
}

static void entries(struct redis *st, const struct reading *k, const struct node *list)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *e = resp_is_list(list) ? resp_child(r, list, 0) : NULL;

	for (uint32_t i = 0; e && i < list->n; i++, e = resp_next(r, e))
		entry(st, k, e);
}

/* Was @key asked for with ">"? Answers come in the order of the keys; @rest is what was not answered yet. */
static bool asked_new(struct span *rest, struct span key)
{
	struct span name, how;

	while (answer_next(rest, &name) && answer_next(rest, &how))
		if (span_eq(name, key))
			return span_is(how, ">");
	return false;
}

/* Keys with their entries: an array of pairs, in RESP3 a map. */
static void each_stream(struct redis *st, struct reading *k, const struct answer *a, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *c = resp_is_list(n) ? resp_child(r, n, 0) : NULL;
	uint32_t left = c ? n->n : 0;
	struct span rest = a ? a->items : SPAN_EMPTY, skip;

	answer_next(&rest, &skip);
	answer_next(&rest, &skip);
	while (left && c) {
		const struct node *key = n->type == '%' ? c : resp_child(r, c, 0);
		const struct node *list = n->type == '%' ? resp_next(r, c) : resp_child(r, c, 1);

		if (!resp_is_text(key) || !list)
			return;
		k->key = resp_text(r, key);
		k->is_new = a && !k->plain && asked_new(&rest, k->key);
		k->again = a && !k->plain && !k->is_new;
		entries(st, k, list);
		c = resp_next(r, n->type == '%' ? list : c);
		left -= n->type == '%' ? (left > 1 ? 2 : 1) : 1;
	}
}

static void xread_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct reading k = {.db = a->h.db, .group = answer_item(a, 0), .consumer = answer_item(a, 1)};

	k.plain = a->h.extra & READ_PLAIN;
	k.no_ack = a->h.extra & READ_NO_ACK;
	k.flags = k.plain ? OPF_PULLED : 0;
	each_stream(st, &k, a, n);
}

bool redis_stream_stray(struct redis *st, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *c = resp_is_list(n) ? resp_child(r, n, 0) : NULL, *list, *e;
	struct reading k = {.db = -1, .plain = true};

	if (!c || n->type == '>')
		return false;
	list = n->type == '%' ? resp_next(r, c) : resp_child(r, c, 1);
	if (n->type == '*' && (c->type != '*' || c->n != 2 || !resp_is_text(resp_child(r, c, 0))))
		return false;
	e = resp_is_list(list) ? resp_child(r, list, 0) : NULL;
	if (!e || e->type != '*' || e->n < 2 || !resp_is_list(resp_child(r, e, 1)) ||
		!redis_stream_id(resp_text(r, resp_child(r, e, 0))))
		return false;
	/* Of which group is not known, and so neither whether it is settled. */
	k.stray = true;
	each_stream(st, &k, NULL, n);
	return true;
}

static void settled(
	struct redis *st, const struct answer *a, struct span id, uint32_t flags, struct span text)
{
	struct span key = answer_item(a, 0), group = answer_item(a, 1);
	struct op op = stream_op(st, OP_SETTLE, a->h.db, key, id);

	op.settle = SETTLE_ACK;
	op.queue = group;
	op.queue_known = true;
	op.ref = recent_take(&st->deliveries, redis_delivery_hash(a->h.db, key, group, id));
	op.flags = flags | (a->h.flags & PEND_TX ? OPF_TX : 0);
	op.text = text;
	redis_emit(st, &op);
}

static void deleted(
	struct redis *st, const struct answer *a, struct span id, uint32_t flags, struct span text)
{
	struct op op = stream_op(st, OP_DELETE, a->h.db, answer_item(a, 0), id);

	op.flags = flags | (a->h.flags & PEND_TX ? OPF_TX : 0);
	op.text = text;
	redis_emit(st, &op);
}

/*
 * XACK and XDEL answer how many of the ids there were. When not all, which ones is not told; but what they
 * were for holds for every one of them now: it is not pending, not in the stream. So all are told, with a
 * note.
 */
static void counted(struct redis *st, const struct answer *a, const struct node *n)
{
	uint64_t total = a->h.items > 2 ? a->h.items - 2 : 0;
	uint32_t flags = total > 1 ? OPF_ONE_OF_MANY : 0;
	struct span rest = a->items, id, text = SPAN_EMPTY;
	char note[80];

	if (n->type != ':' || n->i <= 0)
		return;
	if ((uint64_t)n->i < total)
		text = span_of(note, (size_t)snprintf(note, sizeof(note),
					     "%lld of %llu ids were there, which ones is not told",
					     (long long)n->i, (unsigned long long)total));
	answer_next(&rest, &id);
	answer_next(&rest, &id);
	while (answer_next(&rest, &id)) {
		if (a->h.cmd == RC_XACK)
			settled(st, a, id, flags, text);
		else
			deleted(st, a, id, flags, text);
	}
}

/* XACKDEL and XDELEX answer for each id: 1 deleted, 2 kept as others need it, -1 not there. */
static void each_counted(struct redis *st, const struct answer *a, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *c = resp_is_list(n) ? resp_child(r, n, 0) : NULL;
	struct span rest = a->items, id;

	answer_next(&rest, &id);
	answer_next(&rest, &id);
	for (; c && answer_next(&rest, &id); c = resp_next(r, c)) {
		if (c->type != ':' || c->i < 1)
			continue;
		if (a->h.cmd == RC_XACKDEL)
			settled(st, a, id, 0, SPAN_EMPTY);
		if (c->i == 1)
			deleted(st, a, id, 0, SPAN_EMPTY);
	}
}

static void claim_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	struct reading k = {.db = a->h.db,
		.key = answer_item(a, 0),
		.group = answer_item(a, 1),
		.consumer = answer_item(a, 2),
		.again = true};
	const struct node *gone, *id;

	if (a->h.cmd == RC_XCLAIM) {
		entries(st, &k, n);
		return;
	}
	/* XAUTOCLAIM: where to go on, entries, ids that are not in the stream any more. */
	entries(st, &k, resp_child(r, n, 1));
	gone = resp_child(r, n, 2);
	id = resp_is_list(gone) ? resp_child(r, gone, 0) : NULL;
	for (uint32_t i = 0; id && i < gone->n; i++, id = resp_next(r, id))
		deleted(st, a, resp_text(r, id), OPF_REPORTED, SPAN_EMPTY);
}

/* XPENDING key group [IDLE ms] start end count: [id, consumer, idle, deliveries] each. */
static void pending_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *e = resp_is_list(n) && a->h.items > 2 ? resp_child(r, n, 0) : NULL;

	for (uint32_t i = 0; e && i < n->n; i++, e = resp_next(r, e)) {
		const struct node *count = e->n == 4 ? resp_child(r, e, 3) : NULL;
		struct op op = stream_op(st, OP_RECEIVE, a->h.db, answer_item(a, 0), SPAN_EMPTY);

		if (!count || count->type != ':')
			return;
		op.mid = resp_text(r, resp_child(r, e, 0));
		op.queue = answer_item(a, 1);
		op.queue_known = true;
		op.consumer = resp_text(r, resp_child(r, e, 1));
		op.delivery = count->i > 0 && count->i < UINT32_MAX ? (uint32_t)count->i : 0;
		op.flags = OPF_REPORTED | OPF_TRUNCATED;
		redis_emit(st, &op);
	}
}

static void xtrim_reply(struct redis *st, const struct answer *a)
{
	struct span rest = a->items, key;

	if (answer_next(&rest, &key))
		trimmed(st, a, key, rest);
}

static void group_op(struct redis *st, const struct answer *a, enum op_kind kind)
{
	struct op op = stream_op(st, kind, a->h.db, answer_item(a, 1), SPAN_EMPTY);

	op.queue = answer_item(a, 2);
	op.queue_known = true;
	if (kind == OP_QUEUE_DECLARE)
		op.mid = answer_item(a, 3);
	redis_emit(st, &op);
}

static void xgroup_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span what = answer_item(a, 0), key = answer_item(a, 1);
	bool done = n->type == '+' || (n->type == ':' && n->i > 0);

	if (resp_is_error(n))
		return;
	if (span_same(what, "DELCONSUMER")) {
		redis_member_gone(st, a->h.db, key, answer_item(a, 2), answer_item(a, 3));
	} else if (!done) {
		return;
	} else if (span_same(what, "CREATE")) {
		if (span_same(answer_item(a, 4), "MKSTREAM")) {
			struct op op = stream_op(st, OP_EXCHANGE_DECLARE, a->h.db, key, SPAN_EMPTY);

			redis_emit(st, &op);
		}
		redis_queue_is(st, a->h.db, key, QUEUE_STREAM);
		group_op(st, a, OP_QUEUE_DECLARE);
	} else if (span_same(what, "SETID")) {
		group_op(st, a, OP_QUEUE_DECLARE);
	} else if (span_same(what, "DESTROY")) {
		group_op(st, a, OP_QUEUE_DELETE);
	}
}

/* It had been taken for a member when it asked. */
static void not_member(struct redis *st, const struct answer *a)
{
	struct span rest = a->items, group, consumer, key, how;

	if (!answer_next(&rest, &group) || !answer_next(&rest, &consumer))
		return;
	while (answer_next(&rest, &key) && answer_next(&rest, &how))
		redis_member_gone(st, a->h.db, key, group, consumer);
}

static void refused(struct redis *st, const struct answer *a, const struct node *n)
{
	bool grouped = a->h.cmd != RC_XREAD && a->h.cmd != RC_XDEL && a->h.cmd != RC_XTRIM;
	bool read = a->h.cmd == RC_XREADGROUP || a->h.cmd == RC_XREAD;
	struct op op = redis_op(st, OP_ERROR, a->h.db);

	op.dest = DEST_LOG;
	op.exchange = op.log = answer_item(a, read ? 2 : a->h.cmd == RC_XGROUP ? 1 : 0);
	if (grouped) {
		op.queue = answer_item(a, read ? 0 : a->h.cmd == RC_XGROUP ? 2 : 1);
		op.queue_known = true;
	}
	op.text = resp_text(&st->r[TO_CLIENT], n);
	redis_emit(st, &op);
	if (a->h.cmd == RC_XREADGROUP)
		not_member(st, a);
}

void redis_stream_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	enum rcmd cmd = a->h.cmd;

	if (cmd == RC_XADD) {
		xadd_reply(st, a, n);
		return;
	}
	if (resp_is_error(n)) {
		refused(st, a, n);
		return;
	}
	switch (cmd) {
	case RC_XREAD:
	case RC_XREADGROUP:
		xread_reply(st, a, n);
		break;
	case RC_XACK:
	case RC_XDEL:
		counted(st, a, n);
		break;
	case RC_XACKDEL:
	case RC_XDELEX:
		each_counted(st, a, n);
		break;
	case RC_XCLAIM:
	case RC_XAUTOCLAIM:
		claim_reply(st, a, n);
		break;
	case RC_XTRIM:
		if (n->type == ':' && n->i > 0)
			xtrim_reply(st, a);
		break;
	case RC_XPENDING:
		pending_reply(st, a, n);
		break;
	case RC_XGROUP:
		xgroup_reply(st, a, n);
		break;
	default:
		break;
	}
}
