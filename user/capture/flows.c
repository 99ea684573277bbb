#include "capture/flows.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/timefmt.h"

#define FLOWS_MAX (1u << 18) /* the oldest is given up beyond it */
#define LINGER_NS NS_PER_SEC /* so long after its end segments of a flow may still be missing */
#define ORIGIN                                                                                               \
	(1ULL << 32) /* positions start this high: what was sent before the first segment seen has room */

struct addr {
	uint8_t ip[16];
	uint16_t port, family;
};

/* Side 0 is the one whose endpoint it is: it writes what goes from 0 to 1. */
struct flow {
	struct list list;
	uint64_t key, id;
	struct addr addr[2];
	bool role_known, opened, ending, by_peer;
	bool begun[2];  /* the first position of this side's bytes is known: `begin` */
	bool placed[2]; /* `last` holds */
	bool fin[2];
	uint64_t begin[2];
	uint64_t last[2]; /* highest position so far, for the upper half of the next one */
	int64_t end_ns;
};

struct flows {
	struct map map;
	struct list open, ending; /* oldest first */
	size_t n;
	uint64_t next_id;
	int64_t tick_ns;
	bool ticked;
};

struct flows *flows__new(void)
{
	struct flows *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	list_init(&f->open);
	list_init(&f->ending);
	return f;
}

static void flow_free(struct flows *f, struct flow *w)
{
	if (map_ptr(&f->map, w->key) == w)
		map_del(&f->map, w->key);
	list_del(&w->list);
	f->n--;
	free(w);
}

void flows__free(struct flows *f)
{
	struct list *lists[] = {NULL, NULL};

	if (!f)
		return;
	lists[0] = &f->open;
	lists[1] = &f->ending;
	for (int i = 0; i < 2; i++)
		while (!list_empty(lists[i]))
			flow_free(f, list_entry(lists[i]->next, struct flow, list));
	map_free(&f->map);
	free(f);
}

static int flow_close(struct flows *f, struct flow *w, const struct sink *k, int64_t ts_ns)
{
	int err = w->opened ? k->close(k->ctx, w->id, ts_ns, w->by_peer) : 0;

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

static int flow_new(struct flows *f, const struct segment *s, bool from_src, const struct sink *k,
	int64_t ts_ns, struct flow **ret)
{
	struct flow *w;
	int err;

	if (f->n >= FLOWS_MAX) {
		struct list *oldest = list_empty(&f->ending) ? &f->open : &f->ending;

		err = flow_close(f, list_entry(oldest->next, struct flow, list), k, ts_ns);
		if (err)
			return err;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->key = key_of(s);
	w->id = ++f->next_id;
	w->addr[0] = addr_of(s, from_src);
	w->addr[1] = addr_of(s, !from_src);
	list_init(&w->list);
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

static uint64_t place(struct flow *w, int side, uint32_t seq)
{
	uint64_t pos;

	if (!w->placed[side]) {
		w->placed[side] = true;
		w->last[side] = ORIGIN + seq;
	}
	pos = w->last[side] + (uint64_t)(int64_t)(int32_t)(seq - (uint32_t)w->last[side]);
	if (pos > w->last[side])
		w->last[side] = pos;
	return pos;
}

static void begins(struct flow *w, int side, uint32_t seq)
{
	if (w->begun[side])
		return;
	w->begun[side] = true;
	w->begin[side] = place(w, side, seq);
}

/* A SYN that is no repetition says that the addresses are used anew. */
static bool starts_anew(const struct flow *w, int side, const struct segment *s)
{
	if (!(s->flags & TCP_SYN) || (s->flags & TCP_ACK))
		return false;
	return w->ending || side != 0 || (w->opened && !w->begun[0]) ||
	       (w->begun[0] && (uint32_t)w->begin[0] != s->seq + 1);
}

static int flow_open(struct flow *w, int side, const struct segment *s, const struct sink *k, int64_t ts_ns)
{
	struct endpoint_info e = {.id = w->id,
		.ts_ns = ts_ns,
		.family = w->addr[0].family,
		.local_port = w->addr[0].port,
		.remote_port = w->addr[1].port,
		.path = ""};

	/* The answer to the SYN is not in the capture: the first acknowledgement has its number. */
	if (w->begun[0] && side == 0 && s->flags & TCP_ACK)
		begins(w, 1, s->ack);
	memcpy(e.local_addr, w->addr[0].ip, 16);
	memcpy(e.remote_addr, w->addr[1].ip, 16);
	e.role = w->role_known ? ENDPOINT_CLIENT : ENDPOINT_UNKNOWN;
	e.from_start = w->begun[0] && w->begun[1];
	if (e.from_start) {
		e.pos[DIR_TX] = w->begin[0];
		e.pos[DIR_RX] = w->begin[1];
	}
	w->opened = true;
	return k->open(k->ctx, &e);
}

static int on_payload(struct flow *w, int side, const struct segment *s, const struct sink *k, int64_t ts_ns)
{
	uint32_t seq = s->seq + !!(s->flags & TCP_SYN);
	struct chunk c = {.endpoint = w->id,
		.dir = side ? DIR_RX : DIR_TX,
		.len = s->len,
		.data = s->data,
		.ts_ns = ts_ns};
	int err = 0;

	if (!w->opened)
		err = flow_open(w, side, s, k, ts_ns);
	if (err)
		return err;
	c.pos = place(w, side, seq);
	return k->chunk(k->ctx, &c);
}

static void on_end(struct flows *f, struct flow *w, int side, uint8_t flags, int64_t ts_ns)
{
	if (w->ending)
		return;
	if (!w->fin[0] && !w->fin[1])
		w->by_peer = side == 1;
	w->fin[side] = true;
	if (!(flags & TCP_RST) && !w->fin[!side])
		return;
	w->ending = true;
	w->end_ns = ts_ns;
	list_del(&w->list);
	list_add_tail(&f->ending, &w->list);
}

static int on_segment(struct flows *f, const struct sink *k, int64_t ts_ns, const struct segment *s)
{
	struct flow *w = map_ptr(&f->map, key_of(s));
	bool syn = s->flags & TCP_SYN, answer = syn && s->flags & TCP_ACK;
	int side = w ? side_of(w, s) : 0, err = 0;

	if (w && side >= 0 && starts_anew(w, side, s)) {
		err = flow_close(f, w, k, ts_ns);
		w = NULL;
	}
	if (side < 0) /* two flows with one hash */
		return 0;
	if (!err && !w && (syn || s->len)) {
		err = flow_new(f, s, !answer, k, ts_ns, &w);
		side = answer;
	}
	if (err || !w)
		return err;
	if (syn) {
		w->role_known |= side == answer;
		begins(w, side, s->seq + 1);
		if (answer)
			begins(w, !side, s->ack);
	}
	if (s->len && !(s->flags & TCP_RST)) /* a reset may carry a text for people, RFC 9293, 3.5.3 */
		err = on_payload(w, side, s, k, ts_ns);
	if (!err && s->flags & (TCP_FIN | TCP_RST))
		on_end(f, w, side, s->flags, ts_ns);
	return err;
}

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

static int time_passes(struct flows *f, const struct sink *k, int64_t ts_ns)
{
	int err;

	if (f->ticked && ts_ns - f->tick_ns < NS_PER_SEC)
		return 0;
	err = f->ticked ? close_ended(f, k, ts_ns - LINGER_NS) : 0;
	f->ticked = true;
	f->tick_ns = ts_ns;
	return err ? err : k->tick(k->ctx, ts_ns);
}

int flows_packet(
	struct flows *f, const struct sink *k, int64_t ts_ns, uint32_t link, struct span data, uint32_t size)
{
	struct loss_info loss = {.ts_ns = ts_ns, .records = 1};
	struct segment s;
	int err;

	err = time_passes(f, k, ts_ns);
	if (err)
		return err;
	switch (packet_decode(link, data, size, &s)) {
	case PACKET_TCP:
		return on_segment(f, k, ts_ns, &s);
	case PACKET_OTHER:
		return 0;
	case PACKET_FRAGMENT:
		loss.reason = "fragments of IP packets are not put together";
		break;
	case PACKET_CUT:
		loss.reason = "packet captured without its whole TCP header";
		break;
	}
	loss.bytes = size;
	return k->loss(k->ctx, &loss);
}

int flows_end(struct flows *f, const struct sink *k)
{
	return close_ended(f, k, INT64_MAX);
}
