/*
 * BullMQ: all that it does is done by scripts; the client's side shows keys and arguments. Scripts are told
 * apart by those, not by their hash, which changes with every version:
 *
 * - adding: ARGV[1] is a msgpack array [key prefix, own id, name, ...], ARGV[2] the data, and <prefix>id is
 *   among the keys; the answer is the job's id. It is the same when a job of that id is there, and the new
 * one is ignored.
 * - taking: a plain ARGV is the key prefix, <prefix>active among the keys; a job in the answer, [fields, id,
 *   ...], is given to this worker. Finishing a job also takes the next one.
 * - settling: such a script with the job's own key among the keys and its id among the arguments:
 * "completed", "failed", or put back (a delayed or immediate retry).
 */
#include <stdio.h>

#include "proto/redis_state.h"

/* pend.extra: enum settle of the job named, and one of these */
#define BULL_ADD  0x100
#define BULL_TAKE 0x200

#define KEYS_MAX 32

/* The request's KEYS and ARGV as indices of arguments: [keys, argv) and [argv, n). */
struct script {
	uint32_t keys, argv, n;
};

static bool script_args(const struct redis *st, struct script *ret)
{
	struct span s = redis_arg(st, 2);
	uint32_t v = 0, n = redis_args(st);

	if (!s.n || s.n > 3)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	if (!v || v > KEYS_MAX || 3 + v > n)
		return false;
	*ret = (struct script){3, 3 + v, n};
	return true;
}

/* The text at the beginning of a msgpack value; *s goes on behind it. */
static bool msgpack_text(struct span *s, struct span *ret)
{
	size_t head = 1, n;

	if (!s->n)
		return false;
	if ((s->p[0] & 0xe0) == 0xa0) {
		n = s->p[0] & 0x1f;
	} else if (s->p[0] == 0xd9 && s->n > 1) {
		n = s->p[1];
		head = 2;
	} else if (s->p[0] == 0xda && s->n > 2) {
		n = (size_t)s->p[1] << 8 | s->p[2];
		head = 3;
	} else {
		return false;
	}
	if (s->n - head < n)
		return false;
	*ret = span_of(s->p + head, n);
	*s = span_sub(*s, head + n, SIZE_MAX);
	return true;
}

/* Is key @index the prefix followed by @suffix? */
static bool key_is(const struct redis *st, uint32_t index, struct span prefix, const char *suffix)
{
	struct span key = redis_arg(st, index);

	return key.n > prefix.n && !memcmp(key.p, prefix.p, prefix.n) &&
	       span_is(span_sub(key, prefix.n, SIZE_MAX), suffix);
}

static bool has_key(const struct redis *st, const struct script *s, struct span prefix, const char *suffix)
{
	for (uint32_t i = s->keys; i < s->argv; i++)
		if (key_is(st, i, prefix, suffix))
			return true;
	return false;
}

static bool is_prefix(struct span s)
{
	return s.n > 2 && s.n < 256 && s.p[s.n - 1] == ':';
}

/* The prefix without its colon names the queue. */
static struct span queue_of(struct span prefix)
{
	return span_sub(prefix, 0, prefix.n - 1);
}

static bool add(struct redis *st, const struct script *s, uint8_t flags)
{
	struct span args = redis_arg(st, s->argv), prefix, id, name;
	struct op op = redis_op(st, OP_SEND, st->db);
	uint64_t ref;

	if (s->n < s->argv + 2 || !args.n || (args.p[0] & 0xf0) != 0x90)
		return false;
	args = span_sub(args, 1, SIZE_MAX);
	if (!msgpack_text(&args, &prefix) || !msgpack_text(&args, &id) || !msgpack_text(&args, &name) ||
		!is_prefix(prefix) || !has_key(st, s, prefix, "id"))
		return false;
	op.flags = flags & PEND_TX ? OPF_TX : 0;
	op.routing_key = op.log = queue_of(prefix);
	op.type = name;
	redis_body(&st->r[TO_SERVER], redis_arg_node(st, s->argv + 1), &op);
	ref = redis_emit(st, &op);
	if (!pend_open(st, RC_EVAL, flags))
		return true;
	pend_extra(st, BULL_ADD);
	pend_item(st, span_of(&ref, sizeof(ref)));
	pend_item(st, op.log);
	pend_close(st);
	return true;
}

/* The id of the job whose own key is among the keys, and how the script settles it. */
static enum settle settles(
	const struct redis *st, const struct script *s, struct span prefix, struct span *ret_id)
{
	enum settle how = key_is(st, s->keys, prefix, "marker") ? SETTLE_REQUEUE : SETTLE_NONE;

	*ret_id = SPAN_EMPTY;
	for (uint32_t i = s->argv; i < s->n; i++) {
		struct span a = redis_arg(st, i);

		if (i == s->argv + 4 && span_is(a, "completed"))
			how = SETTLE_ACK;
		else if (i == s->argv + 4 && span_is(a, "failed"))
			how = SETTLE_REJECT;
		else if (i == s->argv + 2 && (span_is(a, "LPUSH") || span_is(a, "RPUSH")))
			how = SETTLE_REQUEUE;
		for (uint32_t k = s->keys; a.n && a.n < 256 && !ret_id->n && k < s->argv; k++) {
			struct span key = redis_arg(st, k);

			if (key.n == prefix.n + a.n && !memcmp(key.p, prefix.p, prefix.n) &&
				!memcmp(key.p + prefix.n, a.p, a.n) && !span_is(a, "completed") &&
				!span_is(a, "failed"))
				*ret_id = a;
		}
	}
	return ret_id->n ? how : SETTLE_NONE;
}

static bool take(struct redis *st, const struct script *s, uint8_t flags)
{
	struct span prefix = SPAN_EMPTY, id;
	enum settle how;

	for (uint32_t i = s->argv; i < s->n && i < s->argv + 8 && !prefix.n; i++) {
		struct span a = redis_arg(st, i);

		if (is_prefix(a) && has_key(st, s, a, "active"))
			prefix = a;
	}
	if (!prefix.n)
		return false;
	how = settles(st, s, prefix, &id);
	if (!pend_open(st, RC_EVAL, flags))
		return true;
	pend_extra(st, BULL_TAKE | how);
	pend_item(st, queue_of(prefix));
	pend_item(st, id);
	pend_close(st);
	return true;
}

bool redis_bullmq_request(struct redis *st, uint8_t flags)
{
	struct script s;

	return script_args(st, &s) && (add(st, &s, flags) || take(st, &s, flags));
}

/* --- answers --- */

/* A job that was added and has not ended. */
static uint64_t job_hash(const struct redis *st, const struct answer *a, struct span queue, struct span id)
{
	return hash_span(id, redis_name_hash(st, a->h.db, queue)) ^ 0x62756c6c;
}

static void added(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span id = answer_item(a, 0);
	struct op op = redis_op(st, OP_CONFIRM, a->h.db);
	char number[24];

	if (id.n != sizeof(op.ref))
		return;
	memcpy(&op.ref, id.p, sizeof(op.ref));
	op.log = answer_item(a, 1);
	op.flags = a->h.flags & PEND_TX ? OPF_TX : 0;
	if (resp_is_text(n)) {
		op.mid = resp_text(&st->r[TO_CLIENT], n);
	} else if (n && n->type == ':' && n->i > 0) {
		op.mid = span_of(number, (size_t)snprintf(number, sizeof(number), "%lld", (long long)n->i));
	} else {
		op.flags |= OPF_NEGATIVE;
		op.text = resp_is_error(n) ? resp_text(&st->r[TO_CLIENT], n) : SPAN_LIT("not added");
	}
	if (op.mid.n) {
		uint64_t key = job_hash(st, a, op.log, op.mid);

		if (recent_get(&st->shared->moved, key)) {
			op.mid = SPAN_EMPTY;
			op.flags |= OPF_NEGATIVE;
			op.text = SPAN_LIT("a job of that id was there");
		}
		recent_put(&st->shared->moved, key, 1, SHARED_MAX);
	}
	redis_emit(st, &op);
}

static struct op job_op(struct redis *st, const struct answer *a, enum op_kind kind, struct span id)
{
	struct op op = redis_op(st, kind, a->h.db);

	op.queue = op.log = answer_item(a, 0);
	op.queue_known = true;
	op.mid = id;
	op.flags = a->h.flags & PEND_TX ? OPF_TX : 0;
	return op;
}

/* [fields and values, id, ...] */
static void given(struct redis *st, const struct answer *a, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *fields = resp_is_list(n) ? resp_child(r, n, 0) : NULL;
	const struct node *id = resp_child(r, n, 1), *f;
	struct op op;
	uint64_t ref;

	if (!resp_is_list(fields) || !resp_is_text(id))
		return;
	op = job_op(st, a, OP_RECEIVE, resp_text(r, id));
	op.routing_key = op.queue;
	f = resp_child(r, fields, 0);
	for (uint32_t i = 0; f && i + 1 < fields->n; i += 2) {
		const struct node *v = resp_next(r, f);
		struct span name = resp_text(r, f), value = resp_text(r, v);

		if (!v)
			break;
		if (span_is(name, "name"))
			op.type = value;
		else if (span_is(name, "data"))
			redis_body(r, v, &op);
		else if (span_is(name, "ats") && value.n && value.n < 5) /* attempts started */
			for (size_t k = 0; k < value.n; k++)
				op.delivery = op.delivery * 10 + (uint32_t)(value.p[k] - '0') % 10;
		f = resp_next(r, v);
	}
	if (op.delivery > 1)
		op.flags |= OPF_REDELIVERED;
	ref = redis_emit(st, &op);
	recent_put(&st->deliveries, redis_delivery_hash(a->h.db, op.log, SPAN_EMPTY, op.mid), ref,
		DELIVERIES_MAX);
}

bool redis_bullmq_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span id = answer_item(a, 1);

	if (a->h.extra & BULL_ADD) {
		added(st, a, n);
		return true;
	}
	if (!(a->h.extra & BULL_TAKE))
		return false;
	if (!n || resp_is_error(n))
		return true;
	/* A negative number says why not. */
	if (a->h.extra & 0xff && (n->type != ':' || n->i >= 0)) {
		struct op op = job_op(st, a, OP_SETTLE, id);

		op.settle = a->h.extra & 0xff;
		if (op.settle != SETTLE_REQUEUE)
			recent_take(&st->shared->moved, job_hash(st, a, op.log, id));
		op.ref = recent_take(&st->deliveries, redis_delivery_hash(a->h.db, op.log, SPAN_EMPTY, id));
		redis_emit(st, &op);
	}
	given(st, a, n);
	return true;
}
