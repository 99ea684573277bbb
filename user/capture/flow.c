/* One side's bytes in turn with the other's: what is missing is told, and what answers it comes behind it. */
#include "capture/flow.h"

#define LOWER_MAX (4 << 20) /* further down than anything held back reaches */

uint64_t way_position(const struct way *y, uint32_t seq)
{
	if (!y->placed)
		return ORIGIN + seq;
	return y->last + (uint64_t)(int64_t)(int32_t)(seq - (uint32_t)y->last);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* --- the beginning --- */

void flow_reaches(struct flow *w, int side, uint64_t pos)
{
	struct way *y = &w->way[side];

	if (!y->seen.based)
		covered_add(&y->seen, pos, pos);
	else if (!w->opened && !y->begun && pos < y->seen.next && y->seen.next - pos <= LOWER_MAX)
		y->seen.next = pos;
}

void flow_swap(struct flow *w)
{
	struct addr a = w->addr[0];
	struct way y = w->way[0];

	w->addr[0] = w->addr[1];
	w->addr[1] = a;
	w->way[0] = w->way[1];
	w->way[1] = y;
	w->by_peer = !w->by_peer;
	held_swap(&w->held);
}

int flow_open(struct flow *w, const struct sink *k)
{
	struct way *a = &w->way[0], *b = &w->way[1];
	struct endpoint_info e = {.id = w->id,
		.family = w->addr[0].family,
		.local_port = w->addr[0].port,
		.remote_port = w->addr[1].port,
		.path = "",
		.role = w->role_known ? ENDPOINT_CLIENT : ENDPOINT_UNKNOWN};

	if (w->opened || !w->held.n)
		return 0;
	e.ts_ns = held_oldest(&w->held)->c.ts_ns;
	/* The answer to the SYN is not in the capture: the first acknowledgement has its number. */
	b->begun |= a->begun && b->acked;
	for (int side = 0; side < 2; side++)
		if (w->way[side].seen.based)
			w->way[side].begin = w->way[side].seen.next;
	memcpy(e.local_addr, w->addr[0].ip, 16);
	memcpy(e.remote_addr, w->addr[1].ip, 16);
	/* Data with the SYN (RFC 7413) and nothing else: the other side did not say anything yet. */
	e.from_start = a->begun && (b->begun || !b->seen.based);
	if (e.from_start) {
		e.pos[DIR_TX] = a->begin;
		e.pos[DIR_RX] = b->begin;
	}
	w->opened = true;
	return k->open(k->ctx, &e);
}

/* --- what comes, in turn --- */

static int give(struct flow *w, int side, const struct chunk *c, const struct sink *k)
{
	int err = covered_add(&w->way[side].seen, c->pos, c->pos + c->len);

	return err ? err : k->chunk(k->ctx, c);
}

static int give_held(struct flow *w, struct held *h, const struct sink *k)
{
	int err = give(w, h->side, &h->c, k);

	held_drop(&w->held, h);
	return err;
}

static bool comes_first(const struct flow *w, int side, uint64_t need)
{
	const struct way *peer = &w->way[!side];

	return need <= peer->seen.next || need <= peer->waived;
}

/* A repetition may acknowledge more than what it repeats did; it must not keep back what is behind it. */
static bool may_go(const struct flow *w, const struct held *h)
{
	return h && (comes_first(w, h->side, h->need) || h->c.pos + h->c.len <= w->way[h->side].seen.next);
}

int flow_release(struct flow *w, uint64_t nth, const struct sink *k)
{
	int err = 0;

	while (!err && w->held.n) {
		struct held *h = held_oldest(&w->held);

		if (!may_go(w, h) || h->nth > nth)
			h = held_first(&w->held, !h->side);
		if (!may_go(w, h) || h->nth > nth)
			break;
		err = give_held(w, h, k);
	}
	return err;
}

/* What was held back and need not be any more. */
static int release(struct flow *w, const struct sink *k)
{
	return flow_release(w, UINT64_MAX, k);
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

/* --- what is missing --- */

static int tell_missing(struct flow *w, int side, uint64_t limit, const struct sink *k, int64_t ts_ns)
{
	struct way *y = &w->way[side];
	int err = 0;

	if (!y->seen.based)
		return 0;
	if (limit > y->waived)
		y->waived = limit;
	if (y->ended)
		limit = less(limit, y->end);
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
		err = give(w, side, &c, k);
	}
	return err;
}

/* Gives at least one of those that are held back, and what may go then. Each side may lack something that the
 * other one has answered. */
static int force(struct flow *w, const struct sink *k, int64_t ts_ns)
{
	struct held *h = held_oldest(&w->held), *other = held_first(&w->held, !h->side);
	int err = tell_missing(w, !h->side, h->need, k, ts_ns);

	if (!err && other && h->need > w->way[!h->side].seen.next) {
		err = tell_missing(w, h->side, other->need, k, ts_ns);
		if (other->need <= w->way[h->side].seen.next)
			h = other;
	}
	if (!err)
		err = give_held(w, h, k);
	return err ? err : release(w, k);
}

int flow_give(struct flow *w, int side, const struct segment *s, const struct chunk *c, bool later,
	const struct sink *k)
{
	uint64_t need = answers(&w->way[!side], s);
	int err;

	if (w->opened && !later && comes_first(w, side, need)) {
		err = give(w, side, c, k);
		return err ? err : release(w, k);
	}
	err = held_add(&w->held, side, need, c);
	if (!err)
		err = flow_go_on(w, later, k);
	if (!err && held_full(&w->held)) {
		err = flow_open(w, k);
		if (!err)
			err = release(w, k);
	}
	while (!err && held_full(&w->held))
		err = force(w, k, c->ts_ns);
	return err;
}

int flow_go_on(struct flow *w, bool later, const struct sink *k)
{
	int err = 0;

	if (!w->opened && w->way[0].begun && w->way[1].begun)
		err = flow_open(w, k);
	return !err && w->opened && !later ? release(w, k) : err;
}

static bool lacks_acked(const struct way *y)
{
	return y->acked > y->seen.next && !(y->ended && y->seen.next >= y->end);
}

bool flow_waits(const struct flow *w)
{
	return w->held.n || (w->opened && (lacks_acked(&w->way[0]) || lacks_acked(&w->way[1])));
}

void flow_mark(struct flow *w)
{
	held_mark(&w->held);
	for (int side = 0; side < 2; side++)
		w->way[side].due = w->way[side].acked;
}

int flow_tell_due(struct flow *w, const struct sink *k, int64_t ts_ns, bool *ret_more)
{
	int err = flow_open(w, k);

	if (!err && w->opened)
		err = release(w, k);
	while (!err && w->held.marked)
		err = force(w, k, ts_ns);
	*ret_more = w->held.n;
	for (int side = 0; side < 2 && !err && w->opened; side++) {
		const struct way *y = &w->way[side];

		err = tell_missing(w, side, y->due, k, ts_ns);
		if (!err)
			err = release(w, k);
		*ret_more |= y->acked > y->due && lacks_acked(y);
	}
	return err;
}

int flow_give_all(struct flow *w, const struct sink *k, int64_t ts_ns)
{
	int err = flow_open(w, k);

	if (!err && w->opened)
		err = release(w, k);
	while (!err && w->held.n)
		err = force(w, k, ts_ns);
	return err;
}

int flow_tell_all(struct flow *w, bool closed, const struct sink *k, int64_t ts_ns)
{
	int err = flow_give_all(w, k, ts_ns);

	for (int side = 0; side < 2 && !err && w->opened; side++) {
		const struct way *y = &w->way[side];

		err = tell_missing(w, side, closed && y->ended ? y->end : y->acked, k, ts_ns);
	}
	return err;
}
