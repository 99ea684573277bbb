/* What the server answers: whose answer it is, transactions, logins; the rest by family. */
#include <stdlib.h>

#include "proto/redis_state.h"

#define EARLY_MAX (64u << 10)

struct op redis_op(struct redis *st, enum op_kind kind, int32_t db)
{
	return (struct op){.kind = kind, .vhost = redis_db(st, db)};
}

void redis_body(const struct resp *r, const struct node *n, struct op *op)
{
	op->body = resp_text(r, n);
	op->body_size = n->size;
	if (n->clipped || n->len < n->size)
		op->flags |= n->gap ? OPF_GAP | OPF_TRUNCATED : OPF_TRUNCATED;
	else if (n->gap)
		op->flags |= OPF_GAP;
}

/* Confirms every send of a command; their ids are its first item. */
void redis_confirm_all(struct redis *st, const struct answer *a, uint32_t flags, struct span text)
{
	struct span ids = answer_item(a, 0);
	size_t n = ids.n / sizeof(uint64_t);

	/* One that failed among others is no transaction that was rolled back. */
	if (a->h.flags & PEND_TX && !(flags & OPF_NEGATIVE))
		flags |= OPF_TX;
	if (n > 1)
		flags |= OPF_ONE_OF_MANY;
	for (size_t i = 0; i < n; i++) {
		struct op op = redis_op(st, OP_CONFIRM, a->h.db);

		memcpy(&op.ref, ids.p + i * sizeof(op.ref), sizeof(op.ref));
		if (a->h.cmd == RC_XADD)
			op.dest = DEST_LOG;
		else if (a->h.cmd == RC_PUBLISH || a->h.cmd == RC_SPUBLISH)
			op.dest = DEST_CHANNEL;
		else if (a->h.cmd == RC_EVAL)
			op.dest = DEST_CALL;
		op.flags = flags;
		op.text = text;
		redis_emit(st, &op);
	}
}

static bool has_sends(enum rcmd cmd)
{
	return cmd == RC_XADD || cmd == RC_LPUSH || cmd == RC_LPUSHX || cmd == RC_LINSERT || cmd == RC_ZADD ||
	       cmd == RC_PUBLISH || cmd == RC_SPUBLISH;
}

/* A command that was never run. */
static void refused(struct redis *st, const struct answer *a, struct span text)
{
	enum rcmd cmd = a->h.cmd;

	if (has_sends(cmd)) {
		struct answer b = *a;

		if (cmd == RC_PUBLISH || cmd == RC_SPUBLISH)
			b.h.db = -1;
		redis_confirm_all(st, &b, OPF_NEGATIVE | OPF_TX, text);
	} else if (cmd == RC_EVAL || cmd == RC_HSET) {
		redis_script_reply(st, a, NULL);
		redis_script_refused(st, a, text);
	}
}

/* --- logins --- */

static void failed(struct redis *st, const struct answer *a, struct span text)
{
	struct op op = redis_op(st, OP_ERROR, a->h.db);

	op.text = text;
	redis_emit(st, &op);
}

static void login_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span user = answer_item(a, 0);

	if (resp_is_error(n)) {
		struct span text = resp_text(&st->r[TO_CLIENT], n);

		if (user.n && !span_starts(text, "NOPROTO"))
			failed(st, a, text);
		return;
	}
	if (!user.n)
		return;
	short_set(&st->user, user);
	st->user_known = true;
	st->logged_in = false;
}

static void reset_done(struct redis *st)
{
	redis_unsubscribe_all(st);
	short_set(&st->user, SPAN_LIT("default"));
	st->user_known = true;
	st->logged_in = false;
}

void redis_answer(struct redis *st, const struct answer *a, const struct node *n)
{
	enum rcmd cmd = a->h.cmd;

	if (cmd == RC_AUTH || cmd == RC_HELLO) {
		login_reply(st, a, n);
	} else if (cmd == RC_SELECT) {
		if (resp_is_error(n))
			st->db = a->h.db;
	} else if (cmd == RC_RESET) {
		reset_done(st);
	} else if (cmd >= RC_SUBSCRIBE && cmd <= RC_SPUBLISH) {
		redis_pubsub_reply(st, a, n);
	} else if (cmd >= RC_XADD && cmd <= RC_XPENDING) {
		redis_stream_reply(st, a, n);
	} else if (cmd >= RC_LPUSH && cmd <= RC_LREM) {
		redis_list_reply(st, a, n);
	} else if (cmd >= RC_LTRIM && cmd <= RC_ZREMRANGE) {
		redis_purge_reply(st, a, n);
	} else if (cmd >= RC_ZADD && cmd <= RC_ZREM) {
		redis_zset_reply(st, a, n);
	} else if (cmd >= RC_HSET && cmd <= RC_EVAL) {
		redis_script_reply(st, a, n);
	}
}

/* --- transactions --- */

bool redis_is_status(const struct redis *st, const struct node *n, const char *text)
{
	return n->type == '+' && span_is(resp_text(&st->r[TO_CLIENT], n), text);
}

/* None of what was queued was run. */
static void rolled_back(struct redis *st, struct span text)
{
	struct answer a;

	for (; fifo_first(&st->queued, &a); fifo_pop(&st->queued))
		refused(st, &a, text);
}

static void exec_reply(struct redis *st, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *c = resp_child(r, n, 0);
	struct answer a;

	if (n->null || resp_is_error(n)) {
		rolled_back(st, n->null ? SPAN_LIT("a watched key was changed") : resp_text(r, n));
		return;
	}
	/* Not of one size: what was queued is not known as a whole. */
	if (!resp_is_list(n) || n->size != st->queued.n) {
		fifo_clear(&st->queued);
		return;
	}
	for (; c && fifo_first(&st->queued, &a); c = resp_next(r, c), fifo_pop(&st->queued))
		redis_answer(st, &a, c);
	fifo_clear(&st->queued);
}

/* --- answers --- */

bool redis_reply_wanted(const struct redis *st, uint8_t type)
{
	struct answer a;

	if (type == '>' || st->learning || st->subs_n[SUB_CHANNEL] || st->subs_n[SUB_PATTERN] ||
		st->subs_n[SUB_SHARD] || !fifo_first(&st->pending, &a))
		return true;
	return a.h.flags & PEND_REPLY;
}

/*
 * Threads of a client that write and read at once may be seen in the wrong order: the answer, then the
 * command. As long as nothing was missed, an answer to nothing is such a one; it waits for the next to come.
 */
bool redis_reply_early(const struct redis *st, struct span s)
{
	return st->certain && !st->pending.n && st->reply_mode == REPLY_ON && s.n < EARLY_MAX &&
	       s.p[0] != '>' && s.p[0] != '-' && s.p[0] != '|' && !(s.p[0] == '*' && st->subs.n);
}

void redis_answered(struct redis *st, struct fifo *from, const struct answer *a, const struct node *n)
{
	/* A subscription has as many answers as channels, and takes itself off. */
	bool stays = a->h.cmd >= RC_SUBSCRIBE && a->h.cmd <= RC_SUNSUBSCRIBE && !resp_is_error(n);

	if (a->h.flags & PEND_TX && redis_is_status(st, n, "QUEUED")) {
		if (!fifo_move(from, &st->queued)) {
			st->stats.errors++;
			redis_unpair(st);
		}
		return;
	}
	if (a->h.cmd == RC_EXEC)
		exec_reply(st, n);
	else if (a->h.cmd == RC_DISCARD && !resp_is_error(n))
		rolled_back(st, SPAN_LIT("DISCARD"));
	else
		redis_answer(st, a, n);
	if (!stays)
		fifo_pop(from);
}

void redis_reply(struct redis *st)
{
	const struct node *n = st->r[TO_CLIENT].v;
	struct answer a;

	if (redis_pushed(st, n))
		return;
	/* Of RESP3's pushes the others (invalidations) are nobody's answer either. */
	if (n->type == '>')
		return;
	if (st->learning ? !redis_learn(st, n) : !fifo_first(&st->pending, &a) || !redis_fits(st, &a, n)) {
		/* To what we have not seen, or something went wrong: better no answer than a wrong one. */
		if (!st->learning && (st->pending.n || st->reply_mode == REPLY_ON)) {
			st->stats.errors += st->pending.n > 0;
			redis_doubt(st, n);
		}
		return;
	}
	if (fifo_first(&st->pending, &a))
		redis_answered(st, &st->pending, &a, n);
}
