/* What the server answers: whose answer it is, transactions, logins; the rest by family. */
#include <stdlib.h>

#include "proto/redis_state.h"

#define LEARN_ROUNDS 3
#define GUESSES_MAX  8u
#define EARLY_MAX    (64u << 10)

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
	} else if (cmd == RC_EVAL) {
		redis_script_reply(st, a, NULL);
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
	} else if (cmd >= RC_LPUSH && cmd <= RC_DEL) {
		redis_list_reply(st, a, n);
	} else if (cmd >= RC_ZADD && cmd <= RC_ZREM) {
		redis_zset_reply(st, a, n);
	} else if (cmd >= RC_HSET && cmd <= RC_EVAL) {
		redis_script_reply(st, a, n);
	}
}

/* --- transactions --- */

static bool is_status(const struct redis *st, const struct node *n, const char *text)
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

/* --- which command --- */

/* The forms that an answer to @cmd can have. */
static bool fits(struct redis *st, const struct answer *a, const struct node *n)
{
	enum rcmd cmd = a->h.cmd;

	if (resp_is_error(n))
		return true;
	if (a->h.flags & PEND_TX)
		return is_status(st, n, "QUEUED");
	switch (cmd) {
	case RC_MULTI:
	case RC_DISCARD:
	case RC_SELECT:
	case RC_AUTH:
		return is_status(st, n, "OK");
	case RC_RESET:
		return is_status(st, n, "RESET");
	case RC_PING:
		return is_status(st, n, "PONG") || resp_is_text(n) || resp_is_list(n);
	case RC_SUBSCRIBE:
	case RC_PSUBSCRIBE:
	case RC_SSUBSCRIBE:
	case RC_UNSUBSCRIBE:
	case RC_PUNSUBSCRIBE:
	case RC_SUNSUBSCRIBE: /* confirmed by pushes, see redis_pushed() */
		return false;
	case RC_EXEC:
	case RC_XREAD:
	case RC_XREADGROUP:
	case RC_XCLAIM:
	case RC_XAUTOCLAIM:
	case RC_XPENDING:
	case RC_XACKDEL:
	case RC_XDELEX:
	case RC_BLPOP:
	case RC_LMPOP:
	case RC_BLMPOP:
	case RC_BZPOP:
	case RC_ZMPOP:
	case RC_BZMPOP:
		return n->null || resp_is_list(n);
	case RC_ZPOP:
		return resp_is_list(n);
	case RC_XADD:
		return n->null || (resp_is_text(n) && redis_stream_id(resp_text(&st->r[TO_CLIENT], n)));
	case RC_LPOP:
	case RC_LMOVE:
		return n->null || n->type == '$' || n->type == '*';
	case RC_LPUSH:
	case RC_LPUSHX:
	case RC_LINSERT:
	case RC_LREM:
	case RC_DEL:
	case RC_XACK:
	case RC_XDEL:
	case RC_XTRIM:
	case RC_PUBLISH:
	case RC_SPUBLISH:
	case RC_ZREM:
	case RC_HDEL:
		return n->type == ':';
	default:
		return !is_status(st, n, "QUEUED");
	}
}

/* Does the answer name what the command asked for? Then it cannot be another's. */
static bool names_it(struct redis *st, const struct answer *a, const struct node *n)
{
	const struct resp *r = &st->r[TO_CLIENT];
	const struct node *first = resp_is_list(n) ? resp_child(r, n, 0) : NULL;
	struct span rest = a->items, item;

	switch ((enum rcmd)a->h.cmd) {
	case RC_EXEC: /* as many answers as were queued */
		return resp_is_list(n) && n->size && n->size == st->queued.n;
	case RC_XREAD:
	case RC_XREADGROUP:
		if (first && n->type == '*')
			first = resp_child(r, first, 0);
		break;
	case RC_BLPOP:
	case RC_LMPOP:
	case RC_BLMPOP:
	case RC_BZPOP:
	case RC_ZMPOP:
	case RC_BZMPOP:
		break;
	default:
		return false;
	}
	if (!resp_is_text(first))
		return false;
	while (answer_next(&rest, &item))
		if (span_eq(item, resp_text(r, first)))
			return true;
	return false;
}

/* What a send was answered while that was not certain; confirmed when it is. */
struct guess {
	struct pend h;
	uint8_t items[160], text[64];
	size_t text_n;
	int64_t i;
	uint8_t type;
	bool null;
};

static void guess_add(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span text = resp_text(&st->r[TO_CLIENT], n);
	struct guess *g;

	if (!has_sends(a->h.cmd) || resp_is_list(n) || a->items.n > sizeof(g->items) ||
		text.n > sizeof(g->text) || st->guesses == GUESSES_MAX)
		return;
	if (!st->guess)
		st->guess = calloc(GUESSES_MAX, sizeof(*st->guess));
	if (!st->guess)
		return;
	g = &st->guess[st->guesses++];
	*g = (struct guess){.h = a->h, .text_n = text.n, .i = n->i, .type = n->type, .null = n->null};
	memcpy(g->items, a->items.p, a->items.n);
	if (text.n)
		memcpy(g->text, text.p, text.n);
}

/* Answers are believed from here on, and those before were right, too. */
static void learned(struct redis *st)
{
	st->learning = false;
	for (unsigned k = 0; k < st->guesses; k++) {
		const struct guess *g = &st->guess[k];
		struct answer a = {.h = g->h, .items = span_of(g->items, g->h.len)};
		struct node n = {.type = g->type, .null = g->null, .i = g->i, .p = g->text, .len = g->text_n};

		redis_answer(st, &a, &n);
	}
	free(st->guess);
	st->guess = NULL;
	st->guesses = 0;
}

/*
 * Which answer belongs to which command is not known: in the middle of a connection, or after a gap. Two
 * things tell. An answer that names the key asked for, with nothing else on the way, is its command's. And
 * after LEARN_ROUNDS rounds in which all that was asked was answered in a form that fits, before the next
 * was asked, nothing older can be on the way, unless the client keeps a constant number of commands in
 * flight; that one shows as soon as it pauses, by an answer too many. Until then answers are of unknown
 * commands. True: this answer is that of the first command.
 */
static bool redis_learn(struct redis *st, const struct answer *a, const struct node *n)
{
	if (!fits(st, a, n)) {
		redis_unpair(st);
		return false;
	}
	if (st->pending.n == 1 && (names_it(st, a, n) || ++st->rounds >= LEARN_ROUNDS)) {
		learned(st);
		return true;
	}
	if (a->h.flags & PEND_TX && is_status(st, n, "QUEUED")) {
		pend_queue(st);
		return false;
	}
	if (a->h.cmd == RC_EXEC || a->h.cmd == RC_DISCARD)
		fifo_clear(&st->queued);
	guess_add(st, a, n);
	fifo_pop(&st->pending);
	return false;
}

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

void redis_reply(struct redis *st)
{
	const struct node *n = st->r[TO_CLIENT].v;
	struct answer a;

	if (redis_pushed(st, n))
		return;
	/* Of RESP3's pushes the others (invalidations) are nobody's answer either. */
	if (n->type == '>')
		return;
	if (!fifo_first(&st->pending, &a)) {
		if (!redis_stream_stray(st, n) && st->reply_mode != REPLY_ON)
			return;
		/* To what we have not seen. */
		redis_unpair(st);
		return;
	}
	if (st->learning && !redis_learn(st, &a, n)) {
		redis_stream_stray(st, n);
		return;
	}
	if (!fits(st, &a, n)) {
		/* Whatever went wrong: better no answer than a wrong one. */
		st->stats.errors++;
		redis_unpair(st);
		redis_stream_stray(st, n);
		return;
	}
	if (a.h.flags & PEND_TX && is_status(st, n, "QUEUED")) {
		pend_queue(st);
		return;
	}
	if (a.h.cmd == RC_EXEC) {
		exec_reply(st, n);
	} else if (a.h.cmd == RC_DISCARD && !resp_is_error(n)) {
		rolled_back(st, SPAN_LIT("DISCARD"));
	} else {
		redis_answer(st, &a, n);
	}
	/* A subscription has as many answers as channels, and takes itself off. */
	if (!(a.h.cmd >= RC_SUBSCRIBE && a.h.cmd <= RC_SUNSUBSCRIBE) || resp_is_error(n))
		fifo_pop(&st->pending);
}
