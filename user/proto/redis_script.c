/* Scripts, of which only keys and arguments are seen, and the hash in which kombu has what is unacknowledged.
 */
#include "proto/redis_state.h"

static bool is_unacked(struct span key)
{
	return key.n >= 7 && !memcmp(key.p + key.n - 7, "unacked", 7);
}

/* --- requests --- */

static void hash_request(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	if (cmd == RC_HSET && !is_unacked(redis_arg(st, 1))) {
		redis_job_written(st, flags);
		return;
	}
	if (!is_unacked(redis_arg(st, 1)) || redis_args(st) < 3)
		return;
	redis_kombu_note(st, cmd, redis_arg(st, 2));
	if (cmd != RC_HDEL || !pend_open(st, cmd, flags))
		return;
	for (uint32_t i = 2; i < redis_args(st); i++)
		pend_item(st, redis_arg(st, i));
	pend_close(st);
}

/*
 * Of scripts that are not known only their keys tell something: from a queue that is one of them anything may
 * have been taken. With one exception: a single key and a job of Sidekiq's as the answer is its way to take
 * what is due from "schedule" and "retry".
 */
static void script_request(struct redis *st, uint8_t flags)
{
	struct span name = redis_arg(st, 0);
	long keys = 0, known = 0;

	if (redis_bullmq_request(st, flags) ||
		(name.n > 3 && span_same(span_sub(name, name.n - 3, 3), "_RO")) ||
		!redis_number(redis_arg(st, 2), &keys) || keys < 1 || keys > (long)redis_args(st) - 3)
		return;
	for (uint32_t i = 3; i < 3 + (uint32_t)keys; i++)
		known += redis_queue_kind(st, st->db, redis_arg(st, i)) != 0;
	if ((!known && keys > 1) || !pend_open(st, RC_EVAL, flags))
		return;
	for (uint32_t i = 3; i < 3 + (uint32_t)keys; i++)
		pend_item(st, redis_arg(st, i));
	pend_close(st);
}

static void script_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span job = resp_is_text(n) ? resp_text(&st->r[TO_CLIENT], n) : SPAN_EMPTY, rest = a->items, v;

	if (redis_bullmq_reply(st, a, n))
		return;
	if (a->h.items == 1 && job.n && json_member(job, "jid", &v) && json_member(job, "class", &v)) {
		redis_zset_member(st, a, answer_item(a, 0), n);
		return;
	}
	/* Never run, or there was nothing. */
	if (!n || n->null || resp_is_error(n))
		return;
	while (answer_next(&rest, &v))
		if (redis_queue_kind(st, a->h.db, v))
			redis_touched(st, a, v, SPAN_LIT("a script"));
}

void redis_script_request(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	if (cmd == RC_EVAL)
		script_request(st, flags);
	else
		hash_request(st, cmd, flags);
}

void redis_script_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span rest = a->items, tag;

	if (a->h.cmd == RC_EVAL)
		script_reply(st, a, n);
	if (a->h.cmd == RC_HSET)
		redis_job_reply(st, a, n);
	if (a->h.cmd == RC_HDEL && n && n->type == ':' && n->i > 0)
		while (answer_next(&rest, &tag))
			redis_kombu_gone(st, a, tag);
}
