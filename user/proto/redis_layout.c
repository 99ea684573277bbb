/*
 * What queue libraries put into lists and sorted sets: names of destinations, and what an element says of
 * itself. Recognised by the element, not by who sent it.
 *
 * - kombu (Celery): a JSON envelope with `properties`; the list's name may end with a priority. What is taken
 *   is noted in the hash "unacked" under its delivery tag, and acknowledged by its removal from there; a
 *   message that was not noted before the next is asked for was taken without acknowledgement.
 * - Sidekiq: a JSON object with `class` and `jid`.
 * - RQ: the id of a job, see redis_rq.c.
 */
#include "proto/redis_state.h"

#define PRIORITY_MARK "\x06\x16"

static void property(struct redis *st, const char *name, struct span v)
{
	if (v.n && !span_is(v, "null"))
		pairs_property(&st->env, name, v);
}

static struct span member(struct span doc, const char *name)
{
	struct span v;

	return json_member(doc, name, &v) && !span_is(v, "null") ? v : SPAN_EMPTY;
}

/* "celery\x06\x163" -> "celery" and "3" */
static struct span base_name(struct span list, struct span *ret_priority)
{
	const uint8_t *at = list.n > 2 ? memmem(list.p, list.n, PRIORITY_MARK, 2) : NULL;

	*ret_priority = SPAN_EMPTY;
	if (!at || at == list.p || at + 3 != list.p + list.n)
		return list;
	*ret_priority = span_of(at + 2, 1);
	return span_of(list.p, (size_t)(at - list.p));
}

/* Of Celery's headers: what says whose child a task is, and when it is to be done. Over AMQP all are headers.
 */
static const char *const handed_on[] = {"root_id", "parent_id", "retries", "eta", "expires"};

static bool kombu(struct redis *st, struct op *op, struct span properties, struct layout *ret)
{
	struct span headers = member(op->body, "headers"), id = member(headers, "id");
	struct span correlation = member(properties, "correlation_id");

	ret->tag = member(properties, "delivery_tag");
	if (!ret->tag.n)
		return false;
	op->type = member(headers, "task");
	property(st, "message-id", id.n ? id : correlation);
	property(st, "correlation-id", correlation);
	property(st, "reply-to", member(properties, "reply_to"));
	property(st, "content-type", member(op->body, "content-type"));
	for (size_t i = 0; i < ARRAY_LEN(handed_on); i++) {
		struct span v = member(headers, handed_on[i]);

		if (v.n)
			pairs_header(&st->env, span_str(handed_on[i]), v);
	}
	if (span_is(member(headers, "redelivered"), "true"))
		op->flags |= op->kind == OP_RECEIVE ? OPF_REDELIVERED : 0;
	return true;
}

static bool sidekiq(struct redis *st, struct op *op)
{
	struct span jid = member(op->body, "jid"), class, wrapped;

	if (!jid.n)
		return false; /* most objects: read no further */
	class = member(op->body, "class");
	wrapped = member(op->body, "wrapped");
	if (!class.n)
		return false;
	op->type = wrapped.n ? wrapped : class;
	property(st, "message-id", jid);
	return true;
}

bool redis_is_schedule(struct span key, struct span m)
{
	size_t n = m.n;

	/* BullMQ's hold ids, Celery's unacked_index tags: what they are about has been told. */
	if (redis_job_registry(key))
		return true;
	return n > 2 && m.p[0] == '{' && m.p[n - 1] == '}';
}

void redis_layout(struct redis *st, int32_t db, struct span list, struct op *op, struct layout *ret)
{
	struct span priority, properties;
	bool object = op->body.n > 1 && op->body.p[0] == '{';

	*ret = (struct layout){0};
	op->routing_key = base_name(list, &priority);
	pairs_begin(&st->env);
	property(st, "priority", priority);
	if (object) {
		properties = member(op->body, "properties");
		if (!(properties.n && kombu(st, op, properties, ret)))
			sidekiq(st, op);
	} else if (redis_job_find(st, db, list, op)) {
		property(st, "message-id", op->mid);
		op->mid = SPAN_EMPTY;
	}
	if (!buf_ok(&st->env))
		st->env.oom = false;
	else if (st->env.n > 1)
		op->envelope = buf_span(&st->env);
}

void redis_property(struct redis *st, struct op *op, const char *name, struct span value)
{
	if (!op->envelope.n)
		pairs_begin(&st->env);
	pairs_property(&st->env, name, value);
	if (buf_ok(&st->env))
		op->envelope = buf_span(&st->env);
	st->env.oom = false;
}

/* --- kombu's acknowledgements --- */

/* In redis_shared.kombu: the receive's id, shifted, and what became of it. */
#define KOMBU_HELD      1 /* noted as unacknowledged */
#define KOMBU_RESTORING 2 /* is being put back */
#define KOMBU_BITS      2

struct taken {
	uint64_t tag, ref;
	int32_t db;
};

static uint64_t tag_hash(const struct redis *st, int32_t db, struct span tag)
{
	return redis_name_hash(st, db, tag) ^ 0x6b6f6d62;
}

void redis_kombu_taken(struct redis *st, int32_t db, struct span tag, uint64_t ref)
{
	struct taken t = {tag_hash(st, db, tag), ref, db};

	recent_put(&st->shared->kombu, t.tag, ref << KOMBU_BITS, SHARED_MAX);
	if (st->kombu_open.n < 1u << 16)
		buf_put(&st->kombu_open, &t, sizeof(t));
}

void redis_kombu_flush(struct redis *st)
{
	for (size_t i = 0; i + sizeof(struct taken) <= st->kombu_open.n; i += sizeof(struct taken)) {
		struct taken t;
		struct op op;

		memcpy(&t, st->kombu_open.p + i, sizeof(t));
		if (recent_get(&st->shared->kombu, t.tag) != t.ref << KOMBU_BITS)
			continue;
		recent_take(&st->shared->kombu, t.tag);
		op = redis_op(st, OP_SETTLE, t.db);
		op.ref = t.ref;
		op.settle = SETTLE_AUTO;
		redis_emit(st, &op);
	}
	buf_clear(&st->kombu_open);
}

void redis_kombu_note(struct redis *st, enum rcmd cmd, struct span tag)
{
	uint64_t key = tag_hash(st, st->db, tag), v = recent_get(&st->shared->kombu, key);

	if (v && cmd != RC_HDEL)
		recent_put(&st->shared->kombu, key, v | (cmd == RC_HSET ? KOMBU_HELD : KOMBU_RESTORING),
			SHARED_MAX);
}

void redis_kombu_gone(struct redis *st, const struct answer *a, struct span tag)
{
	uint64_t v = recent_take(&st->shared->kombu, tag_hash(st, a->h.db, tag));
	struct op op = redis_op(st, OP_SETTLE, a->h.db);

	if (!v)
		return;
	op.ref = v >> KOMBU_BITS;
	/* What is put back is another message of the same id, changed: a send of its own. */
	op.settle = v & KOMBU_RESTORING ? SETTLE_REJECT : SETTLE_ACK;
	op.flags = a->h.flags & PEND_TX ? OPF_TX : 0;
	redis_emit(st, &op);
}
