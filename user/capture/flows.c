#include "capture/flows.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/timefmt.h"
#include "capture/defrag.h"
#include "capture/flow.h"

#define FLOWS_MAX (1u << 18)        /* the oldest is given up beyond it */
#define LINGER_NS NS_PER_SEC        /* so long after its end segments of a flow may still be missing */
#define GONE_NS   (60 * NS_PER_SEC) /* so long after that its segments may still be repeated */
#define MISSING_NS                                                                                           \
	NS_PER_SEC /* so long bytes that were acknowledged may still come: captures mix up packets */
#define HELD_MAX (128u << 20) /* bytes held back, of all flows together */
/* So far before the first byte seen, and so long after it was, a SYN may be of the same connection: a window
 * before it could be scaled (RFC 7323), and the time that bytes are held back. */
#define SYN_BEFORE  65535
#define SYN_LATE_NS (MISSING_NS + TICK_NS)
#define UNSURE_NS   (NS_PER_SEC / 10) /* so long the first packets of a connection may be out of order */
#define TICK_NS     NS_PER_SEC
#define BACK_NS     (60 * NS_PER_SEC) /* packets are not that much out of order: the clock was set back */

enum unusable {
	LINK_TYPE,
	CUT_HEADER,
	FRAGMENTS,
	UNUSABLE_NR,
};
static const char *const unusable_why[] = {
	[LINK_TYPE] = "packets of a link type that is not read",
	[CUT_HEADER] = "packets captured without their whole TCP header",
	[FRAGMENTS] = "fragments of IP packets of which others are missing",
};

struct flows {
	struct map map;
	struct list open, ending, gone; /* oldest first */
	struct list missing;
	struct list unsure; /* some flow is not opened yet: that, and all that had something to give since */
	int64_t unsure_ns;
	struct held_total held;
	size_t n;
	uint64_t next_id;
	struct defrag *defrag;
	struct loss_info unusable[UNUSABLE_NR];
	int64_t tick_ns;
	bool ticked;
};

/* --- life --- */

struct flows *flows__new(void)
{
	struct flows *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	list_init(&f->open);
	list_init(&f->ending);
	list_init(&f->gone);
	list_init(&f->missing);
	list_init(&f->unsure);
	f->defrag = defrag__new();
	if (!f->defrag) {
		free(f);
		return NULL;
	}
	return f;
}

static void flow_free(struct flows *f, struct flow *w)
{
	if (map_ptr(&f->map, w->key) == w)
		map_del(&f->map, w->key);
	list_del(&w->list);
	list_del(&w->missing);
	list_del(&w->unsure);
	covered_free(&w->way[0].seen);
	covered_free(&w->way[1].seen);
	held_drop_all(&w->held);
	f->n--;
	free(w);
}

void flows__free(struct flows *f)
{
	struct list *lists[] = {NULL, NULL, NULL};

	if (!f)
		return;
	lists[0] = &f->open;
	lists[1] = &f->ending;
	lists[2] = &f->gone;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		while (!list_empty(lists[i]))
			flow_free(f, list_entry(lists[i]->next, struct flow, list));
	map_free(&f->map);
	defrag__free(f->defrag);
	free(f);
}

/* --- bytes that the other side got, and the capture has not --- */

/* From now on, if there is something to wait for. */
static void wait_for_missing(struct flows *f, struct flow *w, int64_t ts_ns)
{
	if (!flow_waits(w)) {
		list_del(&w->missing);
		return;
	}
	if (!list_empty(&w->missing))
		return;
	flow_mark(w);
	w->missing_ns = ts_ns;
	list_add_tail(&f->missing, &w->missing);
}

static int check_missing(struct flows *f, const struct sink *k, int64_t ts_ns, int64_t before_ns)
{
	int err = 0;
	bool more;

	while (!err && !list_empty(&f->missing)) {
		struct flow *w = list_entry(f->missing.next, struct flow, missing);

		if (w->missing_ns > before_ns)
			break;
		list_del(&w->missing);
		err = flow_tell_due(w, k, ts_ns, &more);
		if (!err && more)
			wait_for_missing(f, w, ts_ns);
	}
	return err;
}

static int tell_all_missing(struct flows *f, const struct sink *k, int64_t ts_ns)
{
	int err = 0;

	while (!err && !list_empty(&f->missing)) {
		struct flow *w = list_entry(f->missing.next, struct flow, missing);

		list_del(&w->missing);
		err = flow_tell_all(w, false, k, ts_ns);
	}
	return err;
}

struct turn {
	uint64_t nth;
	struct flow *w;
};

static int by_nth(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	return (x->nth > y->nth) - (x->nth < y->nth);
}

/*
 * Opens the flows that wait for their beginning. What others said meanwhile may come of what these said, so
 * it has waited, and all give what they have in the order of the capture.
 */
static int open_unsure(struct flows *f, const struct sink *k)
{
	struct turn *turns;
	size_t n = 0, i = 0;
	int err = 0;

	list_for_each (&f->unsure, l)
		n += list_entry(l, struct flow, unsure)->held.n;
	turns = n ? malloc(n * sizeof(*turns)) : NULL;
	if (n && !turns)
		return -ENOMEM;
	while (!err && !list_empty(&f->unsure)) {
		struct flow *w = list_entry(f->unsure.next, struct flow, unsure);

		for (int side = 0; side < 2; side++)
			list_for_each (&w->held.side[side], l)
				turns[i++] = (struct turn){list_entry(l, struct held, list)->nth, w};
		list_del(&w->unsure);
		err = flow_open(w, k);
	}
	if (i)
		qsort(turns, i, sizeof(*turns), by_nth);
	for (size_t t = 0; t < i && !err; t++)
		err = flow_release(turns[t].w, turns[t].nth, k);
	free(turns);
	return err;
}

static int check_unsure(struct flows *f, const struct sink *k, int64_t ts_ns)
{
	return list_empty(&f->unsure) || ts_ns - f->unsure_ns < UNSURE_NS ? 0 : open_unsure(f, k);
}

/* Not more than that is held back: who has waited longest waits no longer. */
static int bound_held(struct flows *f, const struct sink *k, int64_t ts_ns)
{
	int err = 0;

	while (!err && f->held.bytes > HELD_MAX && !list_empty(&f->missing)) {
		struct flow *w = list_entry(f->missing.next, struct flow, missing);

		list_del(&w->missing);
		err = flow_give_all(w, k, ts_ns);
		if (!err)
			wait_for_missing(f, w, ts_ns);
	}
	return err;
}

/* --- ends --- */

/* Closes it for the sink; it stays to know repetitions of its segments by. */
static int flow_close(struct flows *f, struct flow *w, const struct sink *k, int64_t ts_ns)
{
	int err = 0;

	if (w->gone)
		return 0;
	list_del(&w->missing);
	err = flow_tell_all(w, true, k, ts_ns);
	if (!err && w->opened)
		err = k->close(k->ctx, w->id, ts_ns, w->by_peer);
	w->gone = true;
	w->end_ns = ts_ns;
	list_move_tail(&f->gone, &w->list);
	return err;
}

static int flow_remove(struct flows *f, struct flow *w, const struct sink *k, int64_t ts_ns)
{
	int err = flow_close(f, w, k, ts_ns);

	flow_free(f, w);
	return err;
}

/* --- finding the flow --- */

static struct addr addr_of(const struct segment *s, bool src)
{
	struct addr a = {.port = src ? s->src_port : s->dst_port, .family = s->family};

	memcpy(a.ip, src ? s->src : s->dst, 16);
	return a;
}

/* The same for both directions. */
static uint64_t key_of(const struct segment *s)
{
	struct addr ends[2] = {addr_of(s, true), addr_of(s, false)};

	if (memcmp(&ends[0], &ends[1], sizeof(ends[0])) > 0) {
		struct addr t = ends[0];

		ends[0] = ends[1];
		ends[1] = t;
	}
	return hash64(ends, sizeof(ends), 0);
}

static int side_of(const struct flow *w, const struct segment *s)
{
	struct addr src = addr_of(s, true), dst = addr_of(s, false);

	for (int i = 0; i < 2; i++)
		if (!memcmp(&src, &w->addr[i], sizeof(src)) && !memcmp(&dst, &w->addr[!i], sizeof(dst)))
			return i;
	return -1;
}

static int make_room(struct flows *f, const struct sink *k, int64_t ts_ns)
{
	struct list *lists[] = {&f->gone, &f->ending, &f->open};
	size_t i = 0;

	if (f->n < FLOWS_MAX)
		return 0;
	while (list_empty(lists[i]))
		i++;
	return flow_remove(f, list_entry(lists[i]->next, struct flow, list), k, ts_ns);
}

static int flow_new(struct flows *f, const struct segment *s, bool from_src, const struct sink *k,
	int64_t ts_ns, struct flow **ret)
{
	struct flow *w;
	int err;

	err = make_room(f, k, ts_ns);
	if (err)
		return err;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->key = key_of(s);
	w->id = ++f->next_id;
	w->first_ns = ts_ns;
	w->addr[0] = addr_of(s, from_src);
	w->addr[1] = addr_of(s, !from_src);
	list_init(&w->list);
	list_init(&w->missing);
	held_init(&w->held, &f->held);
	list_init(&w->unsure);
	err = map_put_ptr(&f->map, w->key, w);
	if (err) {
		free(w);
		return err;
	}
	list_add_tail(&f->open, &w->list);
	f->n++;
	*ret = w;
	return 0;
}

/* --- one segment --- */

static uint64_t place(struct way *y, uint32_t seq)
{
	uint64_t pos = way_position(y, seq);

	if (!y->placed || pos > y->last)
		y->last = pos;
	y->placed = true;
	return pos;
}

static void begins(const struct flow *w, struct way *y, uint32_t seq)
{
	if (y->begun || (w->opened && y->seen.based)) /* too late to say so */
		return;
	y->begun = true;
	y->begin = place(y, seq);
	y->seen.based = true;
	y->seen.next = y->begin;
}

/* Both sides sent a SYN before they had the other's (RFC 9293, 3.5). */
static bool cross(struct flow *w, int side, const struct segment *s)
{
	if (side == 0 || w->opened || w->ending || w->gone || !w->way[0].begun)
		return false;
	return !w->way[1].begun || (uint32_t)w->way[1].begin == s->seq + 1;
}

/*
 * A connection begins at @seq, and it may be this one: it did, or nothing says where it did and its first
 * bytes stand there or right behind. Captures mix up packets, the SYN among them, when they come from several
 * queues or several places.
 */
static bool begins_at(const struct flow *w, int side, uint32_t seq, int64_t ts_ns)
{
	const struct way *y = &w->way[side];
	int64_t passed = ts_ns - w->first_ns;
	uint64_t first = w->opened ? y->begin : y->seen.next;

	if (y->begun)
		return (uint32_t)y->begin == seq;
	return y->seen.based && (uint32_t)first - seq <= SYN_BEFORE && !w->gone && passed <= SYN_LATE_NS;
}

/* A SYN of another connection says that the addresses are used anew. */
static bool starts_anew(struct flow *w, int side, const struct segment *s, int64_t ts_ns)
{
	if (!(s->flags & TCP_SYN))
		return false;
	/* Of an answer to it either number will do: nothing may be known of the one, and a second answer may
	 * have another one of the other. */
	if (s->flags & TCP_ACK)
		return w->way[side].seen.based && w->way[!side].seen.based &&
		       !begins_at(w, side, s->seq + 1, ts_ns) && !begins_at(w, !side, s->ack, ts_ns);
	if (cross(w, side, s)) {
		w->crossed = true;
		w->role_known = false;
		return false;
	}
	return !begins_at(w, side, s->seq + 1, ts_ns);
}

/* Of a flow that was closed: nothing of it is new. */
static bool is_repetition(const struct flow *w, int side, const struct segment *s)
{
	const struct way *y = &w->way[side];

	return !s->len || (y->seen.based && way_position(y, s->seq) + s->len <= y->seen.next);
}

/*
 * A byte that the other side has already got, alone and not pushed, is there to provoke an answer (RFC 9293,
 * 3.8.4): it may be anything. Where nothing is known of this direction yet it is taken for one as well.
 */
static bool is_keep_alive(const struct way *y, const struct segment *s)
{
	if (s->len != 1 || s->flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_PSH))
		return false;
	return !y->seen.based || (y->acked && way_position(y, s->seq) + 1 == y->acked);
}

static int on_payload(struct flows *f, struct flow *w, int side, const struct segment *s,
	const struct sink *k, int64_t ts_ns)
{
	uint32_t seq = s->seq + !!(s->flags & TCP_SYN);
	struct way *y = &w->way[side];
	struct chunk c = {.endpoint = w->id,
		.dir = side ? DIR_RX : DIR_TX,
		.len = s->len,
		.data = s->data,
		.ts_ns = ts_ns};
	bool later;
	int err = 0;

	if (is_keep_alive(y, s))
		return 0;
	c.pos = place(y, seq);
	flow_reaches(w, side, c.pos);
	/* What it acknowledges was there before it. */
	if (!w->opened && (s->flags & (TCP_ACK | TCP_RST)) == TCP_ACK)
		flow_reaches(w, !side, place(&w->way[!side], s->ack));
	later = !list_empty(&f->unsure);
	err = flow_give(w, side, s, &c, later, k);
	if (w->held.n && list_empty(&w->unsure) && (later || !w->opened)) {
		if (!later)
			f->unsure_ns = ts_ns;
		list_add_tail(&f->unsure, &w->unsure);
	}
	wait_for_missing(f, w, ts_ns);
	return err ? err : bound_held(f, k, ts_ns);
}

/* What @side says it has got of the other's bytes. */
static void on_ack(struct flows *f, struct flow *w, int side, uint32_t ack, int64_t ts_ns)
{
	struct way *y = &w->way[!side];
	uint64_t pos;

	/* Nothing was captured of that direction so far, or it is known to have begun not long ago. */
	if (!y->seen.based || w->way[side].begun)
		flow_reaches(w, !side, y->placed ? way_position(y, ack) : place(y, ack));
	pos = way_position(y, ack);
	if (pos <= y->acked || (int64_t)(pos - y->last) > ACK_MAX)
		return;
	y->acked = pos;
	if (pos > y->last)
		y->last = pos;
	wait_for_missing(f, w, ts_ns);
}

static void on_end(struct flows *f, struct flow *w, int side, const struct segment *s, int64_t ts_ns)
{
	struct way *y = &w->way[side];

	if (s->flags & TCP_FIN && !y->ended && y->placed) {
		y->end = way_position(y, s->seq + s->len);
		y->ended = (int64_t)(y->end - y->last) <= ACK_MAX;
	}
	if (w->ending)
		return;
	if (!w->way[0].fin && !w->way[1].fin)
		w->by_peer = side == 1;
	y->fin = true;
	if (!(s->flags & TCP_RST) && !w->way[!side].fin)
		return;
	w->ending = true;
	w->end_ns = ts_ns;
	list_move_tail(&f->ending, &w->list);
}

static int on_syn(struct flow *w, int side, const struct segment *s)
{
	bool answer = s->flags & TCP_ACK;

	/* What was seen before the SYN did not say whose side is whose. */
	if (!w->opened && !w->way[0].begun && !w->way[1].begun && side != answer) {
		flow_swap(w);
		side = answer;
	}
	w->role_known |= !w->crossed && side == answer;
	begins(w, &w->way[side], s->seq + 1);
	if (answer)
		begins(w, &w->way[!side], s->ack);
	return side;
}

/* The flow that a segment belongs to, NULL for none. */
static int flow_of(struct flows *f, const struct sink *k, int64_t ts_ns, const struct segment *s,
	struct flow **ret, int *ret_side)
{
	struct flow *w = map_ptr(&f->map, key_of(s));
	bool syn = s->flags & TCP_SYN, answer = syn && s->flags & TCP_ACK;
	int side = w ? side_of(w, s) : 0, err = 0;

	*ret = NULL;
	if (side < 0) /* two flows with one hash */
		return 0;
	if (w && (starts_anew(w, side, s, ts_ns) || (w->gone && !syn && !is_repetition(w, side, s)))) {
		err = flow_remove(f, w, k, ts_ns);
		w = NULL;
	}
	if (!err && !w && (syn || s->len)) {
		err = flow_new(f, s, !answer, k, ts_ns, &w);
		side = answer;
	}
	*ret = err || !w || w->gone ? NULL : w;
	*ret_side = side;
	return err;
}

static int on_segment(struct flows *f, const struct sink *k, int64_t ts_ns, const struct segment *s)
{
	struct flow *w;
	int side, err;

	err = flow_of(f, k, ts_ns, s, &w, &side);
	if (err || !w)
		return err;
	if (s->flags & TCP_SYN)
		side = on_syn(w, side, s);
	if (s->flags & TCP_SYN && !s->len)
		err = flow_go_on(w, !list_empty(&f->unsure), k);
	if (!err && s->len &&
		!(s->flags & TCP_RST)) /* a reset may carry a text for people, RFC 9293, 3.5.3 */
		err = on_payload(f, w, side, s, k, ts_ns);
	if ((s->flags & (TCP_ACK | TCP_RST)) == TCP_ACK)
		on_ack(f, w, side, s->ack, ts_ns);
	if (!err && s->flags & (TCP_FIN | TCP_RST))
		on_end(f, w, side, s, ts_ns);
	return err;
}

/* --- time --- */

static int close_ended(struct flows *f, const struct sink *k, int64_t before_ns)
{
	int err = 0;

	while (!err && !list_empty(&f->ending)) {
		struct flow *w = list_entry(f->ending.next, struct flow, list);

		if (w->end_ns > before_ns)
			break;
		err = flow_close(f, w, k, w->end_ns);
	}
	return err;
}

static void forget_gone(struct flows *f, int64_t before_ns)
{
	while (!list_empty(&f->gone)) {
		struct flow *w = list_entry(f->gone.next, struct flow, list);

		if (w->end_ns > before_ns)
			break;
		flow_free(f, w);
	}
}

static void unusable(struct flows *f, enum unusable why, int64_t ts_ns, uint64_t packets, uint64_t bytes)
{
	struct loss_info *l = &f->unusable[why];

	l->ts_ns = ts_ns;
	l->records += packets;
	l->bytes += bytes;
	l->reason = unusable_why[why];
}

static int tell_unusable(struct flows *f, const struct sink *k, int64_t ts_ns)
{
	struct defrag_lost lost = defrag_lost(f->defrag);
	int err = 0;

	if (lost.packets)
		unusable(f, FRAGMENTS, ts_ns, lost.packets, lost.bytes);
	for (int i = 0; i < UNUSABLE_NR && !err; i++) {
		if (f->unusable[i].records)
			err = k->loss(k->ctx, &f->unusable[i]);
		f->unusable[i] = (struct loss_info){0};
	}
	return err;
}

int flows_idle(struct flows *f, const struct sink *k, int64_t ts_ns)
{
	int err = 0;

	if (f->ticked) {
		err = check_unsure(f, k, ts_ns);
		if (!err)
			err = check_missing(f, k, ts_ns, ts_ns - MISSING_NS);
		if (!err)
			err = close_ended(f, k, ts_ns - LINGER_NS);
		forget_gone(f, ts_ns - GONE_NS);
		defrag_tick(f->defrag, ts_ns);
		if (!err)
			err = tell_unusable(f, k, ts_ns);
	}
	f->ticked = true;
	f->tick_ns = ts_ns;
	return err ? err : k->tick(k->ctx, ts_ns);
}

static int time_passes(struct flows *f, const struct sink *k, int64_t ts_ns)
{
	int64_t passed = ts_ns - f->tick_ns;

	return f->ticked && passed < TICK_NS && passed > -BACK_NS ? 0 : flows_idle(f, k, ts_ns);
}

int flows_packet(
	struct flows *f, const struct sink *k, int64_t ts_ns, uint32_t link, struct span data, uint32_t size)
{
	struct datagram d;
	struct segment s;
	enum packet_kind kind;
	int err, whole;

	err = time_passes(f, k, ts_ns);
	if (!err)
		err = check_unsure(f, k, ts_ns);
	if (err)
		return err;
	if (!packet_link_known(link)) {
		unusable(f, LINK_TYPE, ts_ns, 1, size);
		return 0;
	}
	kind = packet_decode(link, data, size, &d, &s);
	if (kind == PACKET_FRAGMENT) {
		whole = defrag_add(f->defrag, ts_ns, &d);
		if (whole <= 0)
			return whole;
		kind = packet_decode_whole(&d, &s);
	}
	if (kind == PACKET_TCP)
		return on_segment(f, k, ts_ns, &s);
	if (kind == PACKET_CUT)
		unusable(f, CUT_HEADER, ts_ns, 1, size);
	return 0;
}

int flows_end(struct flows *f, const struct sink *k)
{
	int err = open_unsure(f, k);

	if (!err)
		err = tell_all_missing(f, k, f->tick_ns);

	if (!err)
		err = close_ended(f, k, INT64_MAX);
	defrag_tick(f->defrag, INT64_MAX);
	return err ? err : tell_unusable(f, k, f->tick_ns);
}
