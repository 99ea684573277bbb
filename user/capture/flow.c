/* One side's bytes in turn with the other's: what is missing is told, and what answers it comes behind it. */
#include "capture/flow.h"

uint64_t way_position(const struct way *y, uint32_t seq)
{
	if (!y->placed)
		return ORIGIN + seq;
	return y->last + (uint64_t)(int64_t)(int32_t)(seq - (uint32_t)y->last);
}

static int tell_missing(struct flow *w, int side, bool closed, const struct sink *k, int64_t ts_ns)
{
	struct way *y = &w->way[side];
	uint64_t limit = y->ended && (closed || y->end < y->acked) ? y->end : y->acked;
	int err = 0;

	if (!y->seen.based || !w->opened)
		return 0;
	y->waived = limit;
	/* The number that a FIN takes looks like a byte where the FIN itself was not captured. */
	if (!y->ended && !y->seen.n && limit == y->seen.next + 1)
		return 0;
	while (!err && y->seen.next < limit) {
		uint64_t end = covered_hole_end(&y->seen, held_next(&w->held, side, y->seen.next, limit));
		uint64_t n = end - y->seen.next;
		struct chunk c = {.endpoint = w->id,
			.dir = side ? DIR_RX : DIR_TX,
			.pos = y->seen.next,
			.len = n < ACK_MAX ? (uint32_t)n : (uint32_t)ACK_MAX,
			.ts_ns = ts_ns};

		if (!n) /* it is held back */
			break;
		err = k->chunk(k->ctx, &c);
		if (!err)
			err = covered_add(&y->seen, c.pos, c.pos + c.len);
	}
	return err;
}

static int give(struct flow *w, int side, const struct chunk *c, const struct sink *k)
{
	int err = covered_add(&w->way[side].seen, c->pos, c->pos + c->len);

	return err ? err : k->chunk(k->ctx, c);
}

static bool comes_first(const struct flow *w, int side, uint64_t need)
{
	const struct way *peer = &w->way[!side];

	return need <= peer->seen.next || need <= peer->waived;
}

bool way_lacks_acked(const struct way *y)
{
	return y->acked > y->seen.next && !(y->ended && y->seen.next >= y->end);
}

/* What was held back and need not be any more. */
static int release(struct flow *w, const struct sink *k)
{
	struct held *h;
	int err = 0;

	while (!err && (h = held_first(&w->held)) && comes_first(w, h->side, h->need)) {
		err = give(w, h->side, &h->c, k);
		held_drop(&w->held, h);
	}
	/* What is found missing from now on has its own time to come. */
	if (!held_first(&w->held) && !way_lacks_acked(&w->way[0]) && !way_lacks_acked(&w->way[1]))
		list_del(&w->missing);
	return err;
}

int flow_tell_missing(struct flow *w, bool closed, const struct sink *k, int64_t ts_ns)
{
	struct held *h;
	int err = 0;

	list_del(&w->missing);
	while (!err && (h = held_first(&w->held))) {
		err = tell_missing(w, !h->side, closed, k, ts_ns);
		if (!err)
			err = give(w, h->side, &h->c, k);
		held_drop(&w->held, h);
		if (!err)
			err = release(w, k);
	}
	for (int side = 0; side < 2 && !err; side++)
		err = tell_missing(w, side, closed, k, ts_ns);
	return err;
}

/* The position in the other side's bytes before which all was there when @s was sent; 0 not known. */
static uint64_t answers(const struct way *peer, const struct segment *s)
{
	uint64_t pos;

	if ((s->flags & (TCP_ACK | TCP_RST)) != TCP_ACK || !peer->seen.based)
		return 0;
	pos = way_position(peer, s->ack);
	if ((int64_t)(pos - peer->last) > ACK_MAX)
		return 0;
	return peer->ended && pos > peer->end ? peer->end : pos;
}

int flow_give(struct flow *w, int side, const struct segment *s, const struct chunk *c, const struct sink *k)
{
	uint64_t need = answers(&w->way[!side], s);
	int err;

	if (comes_first(w, side, need)) {
		err = give(w, side, c, k);
		return err ? err : release(w, k);
	}
	err = held_add(&w->held, side, need, c);
	if (!err && held_full(&w->held))
		err = flow_tell_missing(w, false, k, c->ts_ns);
	return err;
}
