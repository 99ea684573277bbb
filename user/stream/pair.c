/*
 * Two ends of one connection: which endpoints belong together, which of them is the client's, and which
 * bytes of the server's end are needed. The rule is in stream.h.
 */
#include "stream/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/hash.h"

/* --- finding the other end --- */

struct addr_key {
	uint64_t netns;
	uint16_t family, local_port, remote_port, pad;
	uint8_t local[16], remote[16];
};

static bool is_loopback(uint16_t family, const uint8_t *a)
{
	static const uint8_t v6[16] = {[15] = 1};

	return family == AF_INET ? a[0] == 127 : !memcmp(a, v6, 16);
}

/*
 * Loopback addresses mean a connection only together with their network namespace. Others are seen with the
 * same numbers from both ends, also when the ends live in two namespaces of one host (containers on a
 * bridge).
 */
static uint64_t inet_key(const struct endpoint_info *e, bool mirrored)
{
	struct addr_key k = {.family = e->family};
	bool local_only = is_loopback(e->family, e->local_addr) || is_loopback(e->family, e->remote_addr);

	k.netns = local_only ? e->netns : 0;
	k.local_port = mirrored ? e->remote_port : e->local_port;
	k.remote_port = mirrored ? e->local_port : e->remote_port;
	memcpy(k.local, mirrored ? e->remote_addr : e->local_addr, 16);
	memcpy(k.remote, mirrored ? e->local_addr : e->remote_addr, 16);
	return hash64(&k, sizeof(k), 0);
}

static uint64_t unix_key(uint64_t id)
{
	return hash64(&id, sizeof(id), AF_UNIX);
}

/* "I look for the end with this id": for the one of a Unix pair whose own record does not name its peer. */
static uint64_t unix_want_key(uint64_t id)
{
	return hash64(&id, sizeof(id), AF_UNIX + 1);
}

static bool mirrored(const struct endpoint_info *a, const struct endpoint_info *b)
{
	if (a->family != b->family)
		return false;
	if (a->family == AF_UNIX)
		return a->peer_id == b->id || b->peer_id == a->id;
	return a->local_port == b->remote_port && a->remote_port == b->local_port &&
	       !memcmp(a->local_addr, b->remote_addr, 16) && !memcmp(a->remote_addr, b->local_addr, 16);
}

/* Addresses come back: an end whose close was missed is not the other end of a connection that begins now.
 * The sequence numbers of a new one are far from those of the old one. */
static bool same_connection(const struct end *o, const struct end *e)
{
	if (!e->info.from_start || e->info.family == AF_UNIX)
		return true;
	if (o->info.from_start && e->info.ts_ns - o->info.ts_ns > SAME_START_NS)
		return false;
	for (int h = 0; h < 2; h++) {
		const struct half *hf = &o->cx->half[h];
		uint64_t pos = e->info.pos[h ^ o->side ^ 1];
		int32_t apart = (int32_t)(uint32_t)(pos - hf->base - hf->next);

		if (hf->based && pos && (apart > SAME_START_BYTES || apart < -SAME_START_BYTES))
			return false;
	}
	return true;
}

static bool may_pair(const struct end *o, const struct end *e)
{
	if (!o || o == e || o->cx->state == CX_DEAD || o->cx->end[o->side ^ 1])
		return false;
	if (o->info.role != ENDPOINT_UNKNOWN && o->info.role == e->info.role)
		return false;
	return mirrored(&o->info, &e->info) && same_connection(o, e);
}

struct end *pair_find(struct streams *s, const struct end *e)
{
	struct end *o;

	if (e->info.family != AF_UNIX) {
		o = map_ptr(&s->pairs, inet_key(&e->info, true));
		return may_pair(o, e) ? o : NULL;
	}
	o = e->info.peer_id ? map_ptr(&s->pairs, unix_key(e->info.peer_id)) : NULL;
	if (!may_pair(o, e))
		o = map_ptr(&s->pairs, unix_want_key(e->info.id));
	return may_pair(o, e) ? o : NULL;
}

int pair_register(struct streams *s, struct end *e)
{
	int err;

	e->key = e->info.family == AF_UNIX ? unix_key(e->info.id) : inet_key(&e->info, false);
	err = map_put_ptr(&s->pairs, e->key, e);
	if (!err && e->info.family == AF_UNIX && e->info.peer_id) {
		e->want_key = unix_want_key(e->info.peer_id);
		err = map_put_ptr(&s->pairs, e->want_key, e);
	}
	return err;
}

void pair_unregister(struct streams *s, struct end *e)
{
	if (map_ptr(&s->pairs, e->key) == e)
		map_del(&s->pairs, e->key);
	if (e->want_key && map_ptr(&s->pairs, e->want_key) == e)
		map_del(&s->pairs, e->want_key);
}

/* --- roles --- */

/* Where nothing tells, the lower port is the one that was listening: an assumption (conn.role_known is
 * false). */
static enum side assumed_side(const struct endpoint_info *e)
{
	if (e->role != ENDPOINT_UNKNOWN)
		return e->role == ENDPOINT_SERVER ? SIDE_SERVER : SIDE_CLIENT;
	return e->family != AF_UNIX && e->local_port < e->remote_port ? SIDE_SERVER : SIDE_CLIENT;
}

void pair_refresh(struct cx *cx)
{
	const struct end *client = cx_end(cx, SIDE_CLIENT), *server = cx_end(cx, SIDE_SERVER);
	const struct end *read = cx_client(cx) ? client : server ? server : client;
	const struct end *peer = read == client ? server : client;
	struct conn *c = &cx->c;

	if (!read)
		return;
	c->endpoint = read->info.id;
	if (peer)
		c->peer_endpoint = peer->info.id;
	c->swapped = read == server;
	c->family = read->info.family;
	c->netns = read->info.netns;
	if (client && client->info.pid)
		c->client_pid = client->info.pid;
	if (server && server->info.pid)
		c->server_pid = server->info.pid;
	memcpy(c->client_addr, c->swapped ? read->info.remote_addr : read->info.local_addr, 16);
	memcpy(c->server_addr, c->swapped ? read->info.local_addr : read->info.remote_addr, 16);
	c->client_port = c->swapped ? read->info.remote_port : read->info.local_port;
	c->server_port = c->swapped ? read->info.local_port : read->info.remote_port;
	for (int i = 0; i < 2; i++)
		if (cx->end[i] && cx->end[i]->path[0])
			memcpy(c->path, cx->end[i]->path, sizeof(c->path));
}

static void swap_u64(uint64_t v[2])
{
	uint64_t t = v[0];

	v[0] = v[1];
	v[1] = t;
}

static void flip_roles(struct cx *cx)
{
	uint32_t pid = cx->c.client_pid;

	cx->flip ^= 1;
	cx->c.client_pid = cx->c.server_pid;
	cx->c.server_pid = pid;
	swap_u64(cx->c.bytes);
	swap_u64(cx->c.lost);
}

/*
 * Pieces of the true client's end may have been dropped while it passed for the server's, so its first
 * positions count from now on only; until they are known the other end goes on filling in.
 */
void pair_flip(struct cx *cx)
{
	struct end *client;

	flip_roles(cx);
	client = cx_end(cx, SIDE_CLIENT);
	if (client) {
		client->begun[0] = client->begun[1] = false;
		if (cx_end(cx, SIDE_SERVER) && !cx->comparable)
			end_set_aside(cx->s, client);
	}
	cx->hold_done = true;
	pair_refresh(cx);
	cx_wait(cx);
}

/* --- positions --- */

/* Live positions of TCP are 32-bit sequence numbers made longer: ends first seen at different times may
 * differ in the upper half. */
static uint64_t nearest(uint64_t pos, uint64_t ref)
{
	return pos + ((ref - pos + (1ULL << 31)) & ~0xffffffffULL);
}

/* @pos of end @e as the connection counts. */
static uint64_t aligned(struct cx *cx, struct end *e, int h, uint64_t pos)
{
	const struct end *o = cx->end[e->side ^ 1];
	const struct half *hf = &cx->half[h];

	if (!e->shifted[h] && e->info.family != AF_UNIX) {
		e->shifted[h] = true;
		if (hf->based || (o && o->begun[h]))
			e->shift[h] = nearest(pos, hf->based ? hf->base + hf->next : o->begin[h]) - pos;
	}
	return pos + e->shift[h];
}

/* The positions at which an end that was seen from its start began. */
static void begin_from_start(struct cx *cx, struct end *e)
{
	const struct end *o = cx->end[e->side ^ 1];

	for (int h = 0; h < 2; h++) {
		uint64_t pos = e->info.pos[h ^ e->side];

		/* A TCP socket that is still connecting does not know the peer's first number. */
		if (!pos && e->info.family != AF_UNIX)
			continue;
		if (o && e->info.family == AF_UNIX && cx->comparable) {
			e->shift[h] = o->info.pos[h ^ o->side] + o->shift[h] - pos;
			e->shifted[h] = true;
		}
		pos = aligned(cx, e, h, pos);
		half_base(&cx->half[h], pos);
		e->begun[h] = true;
		e->begin[h] = pos;
	}
}

static void link_first(struct cx *cx, struct end *e)
{
	struct conn *c = &cx->c;

	e->side = assumed_side(&e->info);
	cx->end[e->side] = e;
	c->opened_ns = e->info.ts_ns;
	c->from_start = e->info.from_start;
	c->role_known = e->info.role != ENDPOINT_UNKNOWN;
	if (e->info.from_start)
		begin_from_start(cx, e);
	/* A pcap has one endpoint for both ends: nobody to wait for. */
	cx->hold_done = e->side == SIDE_CLIENT || !e->info.pid;
	cx->hold_until = e->info.ts_ns + HOLD_NS;
}

static void link_second(struct cx *cx, struct end *e)
{
	struct end *o = cx->end[SIDE_CLIENT] ? cx->end[SIDE_CLIENT] : cx->end[SIDE_SERVER];
	struct conn *c = &cx->c;

	e->side = o->side ^ 1;
	cx->end[e->side] = e;
	if (e->info.role != ENDPOINT_UNKNOWN && !c->role_known) {
		c->role_known = true;
		if ((e->side ^ cx->flip) != (e->info.role == ENDPOINT_SERVER))
			flip_roles(cx);
	}
	if (e->info.ts_ns < c->opened_ns)
		c->opened_ns = e->info.ts_ns;
	cx->comparable = e->info.family != AF_UNIX || (e->info.from_start && o->info.from_start);
	cx->paired_ns = cx->s->now_ns;
	if (cx->comparable) {
		if (e->info.from_start) {
			c->from_start |= !cx->fed;
			begin_from_start(cx, e);
		}
		cx->hold_until = cx->s->now_ns + HOLD_NS;
		cx->hold_done = false;
	} else if (cx->fed || cx_end(cx, SIDE_SERVER) == e) {
		end_set_aside(cx->s, e);
	} else {
		/* What waits of the server's end cannot be put before what comes of the client's. */
		end_set_aside(cx->s, o);
		cx->hold_done = true;
		c->from_start = e->info.from_start;
		for (int h = 0; h < 2; h++) {
			half_clear(cx, h);
			cx->half[h] = (struct half){0};
		}
		if (e->info.from_start)
			begin_from_start(cx, e);
	}
}

void pair_link(struct cx *cx, struct end *e)
{
	e->cx = cx;
	if (cx->end[0] || cx->end[1])
		link_second(cx, e);
	else
		link_first(cx, e);
	pair_refresh(cx);
	pair_settle(cx, false);
	cx_wait(cx);
	for (unsigned i = 0; i < cx->secrets_n && i < SECRETS_MAX; i++)
		pair_tell_secret(cx, e, &cx->secrets[i]);
}

void pair_tell_secret(const struct cx *cx, const struct end *e, const struct secret *s)
{
	const struct stream_ops *ops = &cx->s->ops;
	enum dir d = (enum dir)(s->half ^ e->side);

	if (e->info.family == AF_UNIX && e->aside && !cx->comparable)
		/* Somewhere: nothing of this end is ever read. */
		ops->secret(ops->secret_ctx, e->info.id, d, 0, UINT64_MAX);
	else if (e->shifted[s->half] || e->info.family == AF_UNIX)
		ops->secret(ops->secret_ctx, e->info.id, d, s->pos - e->shift[s->half], s->n);
	else
		/* It showed nothing of this direction yet: it begins to count with the number itself. */
		ops->secret(ops->secret_ctx, e->info.id, d, (uint32_t)s->pos, s->n);
}

void pair_settle(struct cx *cx, bool anyway)
{
	struct end *client = cx_client(cx), *server = cx_end(cx, SIDE_SERVER);

	if (!client || !server || server->aside || !cx->c.role_known)
		return;
	for (int h = 0; h < 2 && !anyway; h++) {
		const struct half *hf = &cx->half[h];

		if (!client->begun[h] || (hf->based && hf->base + hf->next < client->begin[h]))
			return;
	}
	end_set_aside(cx->s, server);
}

/* --- bytes --- */

static int feed_server(struct cx *cx, struct end *e, int h, const struct piece *raw)
{
	const struct end *client = cx_client(cx);
	struct piece p = *raw;

	if (cx->state != CX_OPEN || e->aside)
		return 0;
	p.pos = aligned(cx, e, h, p.pos);
	/* As long as roles are only assumed, both ends' bytes are taken: either may turn out to be the
	 * client's.
	 */
	if (cx->c.role_known && client && client != e && client->begun[h]) {
		if (p.pos >= client->begin[h])
			return 0;
		if (p.len > client->begin[h] - p.pos)
			p.len = client->begin[h] - p.pos;
		p.data = span_sub(p.data, 0, (size_t)p.len);
	}
	return half_feed(cx, h, &p);
}

static int hold(struct cx *cx, struct end *e, int h, const struct piece *p)
{
	struct held *w;

	w = malloc(sizeof(*w) + p->data.n);
	if (!w)
		return -ENOMEM;
	*w = (struct held){.end = e, .half = (uint8_t)h, .piece = *p};
	if (p->data.n)
		memcpy(w->data, p->data.p, p->data.n);
	w->piece.data.p = w->data;
	if (!cx->held)
		cx->held_tail = &cx->held;
	*cx->held_tail = w;
	cx->held_tail = &w->next;
	cx->held_bytes += sizeof(*w) + p->data.n;
	cx->s->stats.buffered += sizeof(*w) + p->data.n;
	cx_wait(cx);
	return 0;
}

int pair_release(struct cx *cx)
{
	struct held *w;
	int err;

	cx->hold_done = true;
	err = cx_announce(cx);
	while ((w = cx->held)) {
		size_t n = sizeof(*w) + w->piece.data.n;

		cx->held = w->next;
		cx->held_bytes -= n;
		cx->s->stats.buffered -= n;
		if (!err)
			err = feed_server(cx, w->end, w->half, &w->piece);
		free(w);
	}
	return err;
}

int pair_chunk(struct cx *cx, struct end *e, const struct chunk *c)
{
	int h = c->dir ^ e->side, err;
	struct piece p = {.pos = c->pos, .len = c->len, .data = c->data, .side = e->side};
	struct end *client = cx_client(cx);

	p.mark = (struct mark){.ts_ns = c->ts_ns, .pid = c->pid, .tid = c->tid, .unit = c->unit};
	if (e->aside)
		return 0;
	if (e != client) {
		bool decided = cx->hold_done || (client && client->begun[h]);

		if (!decided && cx->held_bytes + p.data.n <= HOLD_BYTES)
			return hold(cx, e, h, &p);
		err = decided ? 0 : pair_release(cx);
		return err ? err : feed_server(cx, e, h, &p);
	}
	p.pos = aligned(cx, e, h, p.pos);
	if (!e->begun[h]) {
		e->begun[h] = true;
		e->begin[h] = p.pos;
		err = pair_release(cx);
		if (err || cx->state != CX_OPEN)
			return err;
	}
	err = half_feed(cx, h, &p);
	pair_settle(cx, false);
	return err;
}
