/*
 * Which answer belongs to which command is not known in the middle of a connection, after a gap, and after an
 * answer that cannot be its command's. Two things tell. An answer that names the key asked for, with nothing
 * else on the way, is its command's. And after LEARN_ROUNDS rounds in which all that was asked was answered
 * in a form that fits, before the next was asked, nothing older can be on the way, unless the client keeps a
 * constant number of commands in flight; that one shows as soon as it pauses, by an answer too many.
 *
 * Until then commands and answers are kept, each in its order. When it is known that nothing is on the way,
 * the last answer is that of the last command, the one before that of the one before, as far back as the
 * forms fit. Answers that are left over are those of commands from before: some tell what they are, the
 * others are a counted gap.
 */
#include <stdlib.h>

#include "proto/redis_state.h"

#define LEARN_ROUNDS   3
#define LATE_MAX       1024u      /* commands, and answers, kept of a connection */
#define LATE_BYTES_MAX (4u << 20) /* of the answers */

/* An answer: its nodes, then what they say, in one piece. */
struct kept {
	struct node *v;
	uint32_t n;
	size_t size;
	uint64_t wire; /* bytes of the stream */
	bool told;     /* what it holds was told, or is counted as missing */
};

struct late {
	struct fifo asked; /* commands that were answered, nobody knows by what */
	uint32_t tx;       /* of the last transaction's commands the number queued */
	struct kept answer[LATE_MAX];
	uint32_t head, n;
	size_t bytes;
};

/* --- which answer can be whose --- */

/* The forms that an answer to @cmd can have. */
bool redis_fits(struct redis *st, const struct answer *a, const struct node *n)
{
	enum rcmd cmd = a->h.cmd;

	if (resp_is_error(n))
		return true;
	if (a->h.flags & PEND_TX)
		return redis_is_status(st, n, "QUEUED");
	switch (cmd) {
	case RC_MULTI:
	case RC_DISCARD:
	case RC_SELECT:
	case RC_AUTH:
		return redis_is_status(st, n, "OK");
	case RC_RESET:
		return redis_is_status(st, n, "RESET");
	case RC_PING:
		return redis_is_status(st, n, "PONG") || resp_is_text(n) || resp_is_list(n);
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
	case RC_EXPIRE:
	case RC_ZREMRANGE:
	case RC_XACK:
	case RC_XDEL:
	case RC_XTRIM:
	case RC_PUBLISH:
	case RC_SPUBLISH:
	case RC_ZREM:
	case RC_HDEL:
		return n->type == ':';
	default:
		return !redis_is_status(st, n, "QUEUED");
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
		return resp_is_list(n) && n->size && st->late && n->size == st->late->tx;
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

/* --- what is kept --- */

/* May an answer hold a message? Numbers, states, errors and ids of streams confirm what was sent before we
 * came. */
static bool holds_message(const struct resp *r, const struct node *n)
{
	struct span text = resp_text(r, n);

	if (n->type == '$' || n->type == '=')
		return !n->null && n->size && !(text.n >= 15 && redis_stream_id(text));
	return resp_is_list(n) && n->n;
}

static void untold(struct redis *st, struct kept *k)
{
	if (!k->told && st->out.gap)
		st->out.gap(st->out.ctx, TO_CLIENT, k->wire, "answers whose commands are not known");
	k->told = true;
}

static struct kept *kept_at(struct late *l, uint32_t i)
{
	return &l->answer[(l->head + i) % LATE_MAX];
}

static void drop_oldest(struct late *l)
{
	struct kept *k = kept_at(l, 0);

	l->bytes -= k->size;
	free(k->v);
	*k = (struct kept){0};
	l->head = (l->head + 1) % LATE_MAX;
	l->n--;
}

static void forget_oldest(struct redis *st)
{
	untold(st, kept_at(st->late, 0));
	drop_oldest(st->late);
}

/* The answer in hand, copied. NULL: no memory; its place is kept all the same. */
static struct kept *keep(struct redis *st)
{
	const struct resp *r = &st->r[TO_CLIENT];
	struct late *l = st->late;
	size_t size = r->n * sizeof(*r->v);
	struct kept *k;
	uint8_t *text;

	for (uint32_t i = 0; i < r->n; i++)
		size += resp_text(r, &r->v[i]).n;
	while (l->n && (l->n == LATE_MAX || l->bytes + size > LATE_BYTES_MAX))
		forget_oldest(st);
	k = kept_at(l, l->n++);
	*k = (struct kept){.v = malloc(size), .wire = st->end - st->pos};
	if (!k->v)
		return k;
	k->n = r->n;
	k->size = size;
	l->bytes += size;
	memcpy(k->v, r->v, r->n * sizeof(*r->v));
	text = (uint8_t *)(k->v + r->n);
	for (uint32_t i = 0; i < r->n; i++) {
		struct span s = resp_text(r, &r->v[i]);

		if (s.n)
			memcpy(text, s.p, s.n);
		k->v[i].kept = false;
		k->v[i].p = text;
		k->v[i].len = s.n;
		text += s.n;
	}
	return k;
}

/* Makes @k the answer in hand; what was is in *ret. */
static void swap_in(struct redis *st, struct kept *k, struct resp *ret)
{
	*ret = st->r[TO_CLIENT];
	st->r[TO_CLIENT].v = k->v;
	st->r[TO_CLIENT].n = k->n;
}

static void swap_out(struct redis *st, const struct resp *was)
{
	st->r[TO_CLIENT].v = was->v;
	st->r[TO_CLIENT].n = was->n;
}

static bool late_begin(struct redis *st)
{
	if (!st->late)
		st->late = calloc(1, sizeof(*st->late));
	if (!st->late)
		redis_unpair(st);
	return st->late;
}

/* The oldest command of `pending` was answered. */
static void asked(struct redis *st)
{
	struct late *l = st->late;
	struct answer a;

	if (!fifo_first(&st->pending, &a))
		return;
	if (a.h.cmd >= RC_SUBSCRIBE && a.h.cmd <= RC_SUNSUBSCRIBE) {
		fifo_pop(&st->pending); /* confirmed by pushes */
		return;
	}
	l->tx = a.h.flags & PEND_TX ? l->tx + 1 : 0;
	if (!fifo_move(&st->pending, &l->asked)) {
		fifo_clear(&l->asked);
		fifo_pop(&st->pending);
	}
	while (l->asked.n > LATE_MAX)
		fifo_pop(&l->asked);
}

static void all_asked(struct redis *st)
{
	while (st->pending.n)
		asked(st);
	st->rounds = 0;
}

void redis_late_free(struct redis *st)
{
	if (!st->late)
		return;
	while (st->late->n)
		drop_oldest(st->late);
	buf_free(&st->late->asked.b);
	free(st->late);
	st->late = NULL;
}

void redis_late_cut(struct redis *st)
{
	if (st->late)
		fifo_clear(&st->late->asked);
}

void redis_late_end(struct redis *st)
{
	while (st->late && st->late->n)
		forget_oldest(st);
	redis_late_free(st);
}

/* --- what it tells in the end --- */

/* How many of the last commands have the answers at the end: as far back as all fit. */
static uint32_t aligned(struct redis *st)
{
	struct late *l = st->late;
	uint32_t n = l->asked.n < l->n ? l->asked.n : l->n, fit = 0;
	size_t at = l->asked.at;
	struct answer a;

	for (uint32_t i = 0; i < l->asked.n && fifo_at(&l->asked, &at, &a); i++) {
		struct kept *k;
		struct resp was;

		if (i < l->asked.n - n)
			continue;
		k = kept_at(l, l->n - (l->asked.n - i));
		swap_in(st, k, &was);
		fit = k->v && redis_fits(st, &a, k->v) ? fit + 1 : 0;
		swap_out(st, &was);
	}
	return fit;
}

/* Nothing is on the way: the ends belong together. */
static void learned(struct redis *st)
{
	struct late *l = st->late;
	uint32_t fit = aligned(st);
	struct answer a;

	st->learning = false;
	while (l->asked.n > fit)
		fifo_pop(&l->asked);
	for (; l->n > fit; drop_oldest(l))
		if (!kept_at(l, 0)->v || holds_message(&st->r[TO_CLIENT], kept_at(l, 0)->v))
			untold(st, kept_at(l, 0));
	/* An answer that does not fit its transaction makes all doubtful again, which ends this. */
	for (; l->n && !st->learning && fifo_first(&l->asked, &a); drop_oldest(l)) {
		struct kept *k = kept_at(l, 0);
		struct resp was;

		swap_in(st, k, &was);
		if (k->told)
			fifo_pop(&l->asked);
		else
			redis_answered(st, &l->asked, &a, k->v);
		swap_out(st, &was);
		k->told = true;
	}
	redis_late_end(st);
}

/*
 * The answer to what a client waited for when we came, often for long: the first of its connection. A list's
 * name and an element, or a stream's entries.
 */
static bool tells_itself(struct redis *st, const struct node *n)
{
	return redis_stream_stray(st, n) || (!st->has_asked && redis_list_stray(st, n));
}

void redis_doubt(struct redis *st, const struct node *n)
{
	bool alone;
	struct kept *k;

	st->learning = true;
	st->certain = false;
	if (!late_begin(st))
		return;
	fifo_clear(&st->queued);
	alone = !st->pending.n && !st->late->asked.n;
	all_asked(st);
	k = keep(st);
	k->told = tells_itself(st, n);
	st->waited = alone && !k->told;
	/* Counted at once: the client may work on it for long. */
	if (alone && holds_message(&st->r[TO_CLIENT], n))
		untold(st, k);
}

bool redis_learn(struct redis *st, const struct node *n)
{
	struct answer a;
	struct kept *k;

	st->waited = false;
	if (!late_begin(st))
		return false;
	if (!fifo_first(&st->pending, &a) || !redis_fits(st, &a, n)) {
		redis_doubt(st, n);
		return false;
	}
	if (st->pending.n == 1 && (names_it(st, &a, n) || ++st->rounds >= LEARN_ROUNDS)) {
		learned(st);
		return !st->learning;
	}
	asked(st);
	k = keep(st);
	k->told = redis_stream_stray(st, n);
	return false;
}

/*
 * A client that asked for what it just got asks for the same again: the answer was its. Told with the bytes
 * of the request, which tells it.
 */
void redis_asked_again(struct redis *st)
{
	struct kept *k = st->waited && st->late && st->late->n ? kept_at(st->late, st->late->n - 1) : NULL;
	struct answer a;
	struct resp was;

	st->waited = false;
	if (!k || !k->v || st->pending.n != 1 || !fifo_first(&st->pending, &a) || a.h.flags & PEND_TX)
		return;
	swap_in(st, k, &was);
	if (names_it(st, &a, k->v))
		redis_answer(st, &a, k->v);
	swap_out(st, &was);
}
