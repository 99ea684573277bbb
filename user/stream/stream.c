/*
 * Connections: they appear, pair, carry bytes, wait for time to pass, close and are forgotten. What happens
 * inside one direction is half.c's, what two ends mean for each other pair.c's business.
 */
#include "stream/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define DEFAULT_BUFFER  ((16u << 20) + (128u << 10)) /* 16 MiB and an AMQP frame of the usual size */
#define DEFAULT_REORDER (256u << 10)
#define DEFAULT_CONNS   65536
#define DEFAULT_TOTAL   (256u << 20)
#define CHECK_NS        (20 * NS_PER_MS)

/* --- life --- */

struct streams *streams__new(const struct stream_ops *ops, const struct stream_opts *opts)
{
	struct streams *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ops = *ops;
	if (opts)
		s->opts = *opts;
	if (!s->opts.max_buffer)
		s->opts.max_buffer = DEFAULT_BUFFER;
	if (!s->opts.max_reorder)
		s->opts.max_reorder = DEFAULT_REORDER;
	if (!s->opts.max_conns)
		s->opts.max_conns = DEFAULT_CONNS;
	if (!s->opts.max_total)
		s->opts.max_total = DEFAULT_TOTAL;
	list_init(&s->lru);
	list_init(&s->dead);
	list_init(&s->waiting);
	return s;
}

void end_mute(struct streams *s, struct end *e)
{
	if (!e || e->muted)
		return;
	e->muted = true;
	if (s->ops.verdict)
		s->ops.verdict(s->ops.verdict_ctx, e->info.id, VERDICT_IGNORE);
}

void end_set_aside(struct streams *s, struct end *e)
{
	e->aside = true;
	end_mute(s, e);
}

static void end_free(struct streams *s, struct end *e)
{
	if (!e)
		return;
	pair_unregister(s, e);
	if (map_ptr(&s->ends, e->info.id) == e)
		map_del(&s->ends, e->info.id);
	if (e->cx)
		e->cx->end[e->side] = NULL;
	free(e);
}

static void drop_held(struct cx *cx)
{
	struct held *w;

	while ((w = cx->held)) {
		cx->held = w->next;
		free(w);
	}
	cx->s->stats.buffered -= cx->held_bytes;
	cx->held_bytes = 0;
}

/* Gives memory back that an ignored or dead connection has no use for. */
static void cx_trim(struct cx *cx)
{
	if (cx->state == CX_OPEN)
		return;
	drop_held(cx);
	half_clear(cx, 0);
	half_clear(cx, 1);
}

static void cx_free(struct cx *cx)
{
	struct streams *s = cx->s;

	cx->state = cx->state == CX_OPEN ? CX_IGNORED : cx->state;
	cx_trim(cx);
	end_free(s, cx->end[0]);
	end_free(s, cx->end[1]);
	list_del(&cx->lru);
	list_del(&cx->wait);
	s->conns_n--;
	free(cx);
}

static void cx_forget(struct cx *cx)
{
	struct streams *s = cx->s;

	if (cx->announced)
		s->ops.forget(s->ops.ctx, &cx->c);
	cx->announced = false;
}

void streams__free(struct streams *s)
{
	if (!s)
		return;
	while (!list_empty(&s->lru)) {
		struct cx *cx = list_entry(s->lru.next, struct cx, lru);

		cx_forget(cx);
		cx_free(cx);
	}
	while (!list_empty(&s->dead))
		cx_free(list_entry(s->dead.next, struct cx, lru));
	map_free(&s->ends);
	map_free(&s->pairs);
	free(s);
}

int cx_announce(struct cx *cx)
{
	struct streams *s = cx->s;

	if (cx->announced)
		return 0;
	cx->announced = true;
	s->stats.conns++;
	return s->ops.open(s->ops.ctx, &cx->c);
}

void cx_wait(struct cx *cx)
{
	if (list_empty(&cx->wait))
		list_add_tail(&cx->s->waiting, &cx->wait);
}

/* Everything that still waits comes out; nothing more is expected. */
static int cx_flush(struct cx *cx)
{
	int err;

	if (cx->state != CX_OPEN)
		return 0;
	err = pair_release(cx);
	for (int h = 0; h < 2 && !err; h++)
		err = half_skip_holes(cx, h);
	/* A loss that no later position showed; its direction is not known. */
	if (!err && cx->pending_loss && cx->state == CX_OPEN) {
		uint64_t n = cx->pending_loss;

		cx->pending_loss = 0;
		err = half_gap(cx, TO_SERVER ^ cx->flip, n, cx->loss_reason);
	}
	return err;
}

/* The end that is read has ended: so has the connection. */
static int cx_close(struct cx *cx, int64_t ts_ns, bool by_client)
{
	struct streams *s = cx->s;
	int err;

	cx->c.last_ns = ts_ns;
	err = cx_flush(cx);
	cx->c.closed_ns = ts_ns;
	if (!err)
		err = cx_announce(cx);
	if (!err)
		err = s->ops.close(s->ops.ctx, &cx->c, ts_ns, by_client);
	cx_forget(cx);
	cx->state = CX_DEAD;
	cx_trim(cx);
	list_del(&cx->wait);
	list_del(&cx->lru);
	list_add_tail(&s->dead, &cx->lru);
	return err;
}

static int evict_one(struct streams *s)
{
	struct cx *cx;
	int err = 0;

	if (!list_empty(&s->dead)) {
		cx_free(list_entry(s->dead.next, struct cx, lru));
		return 0;
	}
	cx = list_entry(s->lru.next, struct cx, lru);
	if (cx->state == CX_OPEN) {
		err = cx_flush(cx);
		if (!err && cx->state == CX_OPEN)
			err = half_gap(cx, 0, 0, "forgotten: more connections at once than are kept");
	}
	cx_forget(cx);
	end_mute(s, cx->end[0]);
	end_mute(s, cx->end[1]);
	cx_free(cx);
	return err;
}

static int cx_new(struct streams *s, struct cx **ret)
{
	struct cx *cx;
	int err = 0;

	while (!err && s->conns_n >= s->opts.max_conns)
		err = evict_one(s);
	cx = err ? NULL : calloc(1, sizeof(*cx));
	if (!cx)
		return err ? err : -ENOMEM;
	cx->s = s;
	cx->c.id = ++s->next_id;
	cx->held_tail = &cx->held;
	list_init(&cx->wait);
	list_add_tail(&s->lru, &cx->lru);
	s->conns_n++;
	*ret = cx;
	return 0;
}

/* --- time --- */

static bool unsettled(const struct cx *cx)
{
	const struct end *server = cx_end(cx, SIDE_SERVER);

	return server && !server->aside;
}

static int cx_check(struct cx *cx)
{
	struct streams *s = cx->s;
	int64_t now = s->now_ns, hole_ns = cx_on_wire(cx) ? HOLE_WIRE_NS : HOLE_NS;
	bool again = false;
	int err = 0;

	if (cx->state == CX_OPEN && !cx->hold_done) {
		if (now >= cx->hold_until)
			err = pair_release(cx);
		else
			again = true;
	}
	for (int h = 0; h < 2 && !err && cx->state == CX_OPEN; h++) {
		if (cx->half[h].segs_n && now - cx->half[h].hole_ns >= hole_ns)
			err = half_skip_holes(cx, h);
		again |= cx->half[h].segs_n > 0;
	}
	if (!err && cx->state == CX_OPEN && cx->c.role_known && cx_client(cx) && unsettled(cx)) {
		pair_settle(cx, now - cx->paired_ns >= SETTLE_NS);
		again = true;
	}
	cx_trim(cx);
	if (!again)
		list_del(&cx->wait);
	return err;
}

static int check_waiting(struct streams *s)
{
	struct list *l, *next;
	int err = 0;

	s->checked_ns = s->now_ns;
	for (l = s->waiting.next; !err && l != &s->waiting; l = next) {
		next = l->next;
		err = cx_check(list_entry(l, struct cx, wait));
	}
	return err;
}

static int time_passes(struct streams *s, int64_t ts_ns)
{
	if (ts_ns > s->now_ns)
		s->now_ns = ts_ns;
	if (list_empty(&s->waiting) || s->now_ns - s->checked_ns < CHECK_NS)
		return 0;
	return check_waiting(s);
}

int streams__tick(struct streams *s, int64_t ts_ns)
{
	if (ts_ns > s->now_ns)
		s->now_ns = ts_ns;
	while (!list_empty(&s->dead)) {
		struct cx *cx = list_entry(s->dead.next, struct cx, lru);

		if (s->now_ns - cx->c.closed_ns < DEAD_NS)
			break;
		cx_free(cx);
	}
	return check_waiting(s);
}

int streams__flush(struct streams *s, int64_t ts_ns)
{
	int err = streams__tick(s, ts_ns);

	for (struct list *l = s->lru.next; !err && l != &s->lru; l = l->next) {
		struct cx *cx = list_entry(l, struct cx, lru);

		err = cx_flush(cx);
		if (!err && cx->announced && cx->state == CX_OPEN && s->ops.flush)
			err = s->ops.flush(s->ops.ctx, &cx->c);
		cx_trim(cx);
	}
	return err;
}

/* --- endpoints --- */

/* An IPv6 socket that carries IPv4 (::ffff:a.b.c.d) is IPv4 to its other end. */
static void unmap_v4(struct endpoint_info *e)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t *addrs[] = {e->local_addr, e->remote_addr};

	if (e->family != AF_INET6 || memcmp(e->local_addr, prefix, 12) || memcmp(e->remote_addr, prefix, 12))
		return;
	e->family = AF_INET;
	for (int i = 0; i < 2; i++) {
		memmove(addrs[i], addrs[i] + 12, 4);
		memset(addrs[i] + 4, 0, 12);
	}
}

static struct end *end_new(const struct endpoint_info *info)
{
	struct end *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->info = *info;
	strncpy(e->path, info->path ? info->path : "", sizeof(e->path) - 1);
	e->info.path = e->path;
	unmap_v4(&e->info);
	return e;
}

static struct end *read_end(const struct cx *cx)
{
	struct end *client = cx_client(cx), *server = cx_end(cx, SIDE_SERVER);

	return client ? client : server ? server : cx_end(cx, SIDE_CLIENT);
}

/* The end is gone; its connection with it, if it was the one that is read. */
static int end_close(struct streams *s, struct end *e, int64_t ts_ns, bool by_peer)
{
	struct cx *cx = e->cx;
	bool client = (e->side ^ cx->flip) == SIDE_CLIENT;
	int err = 0;

	if (cx->state != CX_DEAD && e == read_end(cx))
		err = cx_close(cx, ts_ns, client ? !by_peer : by_peer);
	/* What waits of a server's end must come out before the end is freed. */
	else if (cx->state == CX_OPEN && cx->held)
		err = pair_release(cx);
	end_free(s, e);
	if (!cx->end[0] && !cx->end[1])
		cx_free(cx);
	return err;
}

static bool same_socket(const struct end *e, const struct end *fresh)
{
	return !fresh->info.from_start && e->info.family == fresh->info.family &&
	       e->info.local_port == fresh->info.local_port &&
	       e->info.remote_port == fresh->info.remote_port &&
	       !memcmp(e->info.local_addr, fresh->info.local_addr, 16) &&
	       !memcmp(e->info.remote_addr, fresh->info.remote_addr, 16);
}

static int link_end(struct streams *s, struct end *e)
{
	struct end *o = pair_find(s, e);
	struct cx *cx = o ? o->cx : NULL;
	int err;

	err = cx ? 0 : cx_new(s, &cx);
	if (err) {
		free(e);
		return err;
	}
	pair_link(cx, e);
	err = map_put_ptr(&s->ends, e->info.id, e);
	if (!err)
		err = pair_register(s, e);
	if (!err && cx->state == CX_IGNORED)
		end_mute(s, e);
	/* A server's end that is alone waits for the client's before anybody hears of it. */
	if (!err && (cx_client(cx) || cx->hold_done))
		err = cx_announce(cx);
	return err;
}

int streams__open(struct streams *s, const struct endpoint_info *info)
{
	struct end *old = map_ptr(&s->ends, info->id), *e;
	int err = time_passes(s, info->ts_ns);

	if (err)
		return err;
	e = end_new(info);
	if (!e)
		return -ENOMEM;
	if (old && old->cx->state != CX_DEAD && same_socket(old, e)) {
		free(e);
		return 0;
	}
	if (old)
		err = end_close(s, old, info->ts_ns, false);
	if (err) {
		free(e);
		return err;
	}
	return link_end(s, e);
}

int streams__close(struct streams *s, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	struct end *e;
	int err = time_passes(s, ts_ns);

	e = map_ptr(&s->ends, endpoint);
	return err || !e ? err : end_close(s, e, ts_ns, by_peer);
}

/* The process that was thought to be the last holder of the socket has ended, yet another one uses it. */
static int reopen(struct cx *cx, struct end *e, int64_t ts_ns)
{
	struct streams *s = cx->s;
	struct end *o = cx->end[e->side ^ 1];

	end_free(s, o);
	list_del(&cx->lru);
	list_add_tail(&s->lru, &cx->lru);
	cx->state = CX_OPEN;
	cx->c = (struct conn){.id = ++s->next_id, .last_ns = ts_ns};
	memset(cx->half, 0, sizeof(cx->half));
	cx->fed = cx->by_exit = cx->comparable = false;
	cx->pending_loss = 0;
	cx->secrets_n = 0;
	cx->flip = 0;
	cx->end[e->side] = NULL;
	e->info.from_start = false;
	e->info.ts_ns = ts_ns;
	e->muted = e->aside = e->begun[0] = e->begun[1] = e->shifted[0] = e->shifted[1] = false;
	e->shift[0] = e->shift[1] = 0;
	pair_link(cx, e);
	cx->hold_done = true;
	return cx_announce(cx);
}

int streams__chunk(struct streams *s, const struct chunk *c)
{
	struct end *e;
	struct cx *cx;
	int err = time_passes(s, c->ts_ns);

	e = map_ptr(&s->ends, c->endpoint);
	if (err || !e || !c->len || c->data.n > c->len || c->pos > UINT64_MAX - c->len)
		return err;
	cx = e->cx;
	if (cx->state == CX_DEAD && cx->by_exit && c->pid != e->info.pid)
		err = reopen(cx, e, c->ts_ns);
	if (err || cx->state == CX_DEAD)
		return err;
	if (c->pid != e->info.pid) {
		e->shared = e->info.pid != 0;
		e->info.pid = e->info.pid ? e->info.pid : c->pid;
		pair_refresh(cx);
	}
	list_del(&cx->lru);
	list_add_tail(&s->lru, &cx->lru);
	cx->c.last_ns = c->ts_ns;
	if (cx->state == CX_OPEN)
		err = pair_chunk(cx, e, c);
	else if (e == read_end(cx))
		cx->c.bytes[half_dir(cx, c->dir ^ e->side)] += c->len;
	cx_trim(cx);
	return err;
}

int streams__loss(struct streams *s, const struct loss_info *l)
{
	struct end *e;
	int err = time_passes(s, l->ts_ns);

	e = l->endpoint ? map_ptr(&s->ends, l->endpoint) : NULL;
	if (err || !e || e->cx->state != CX_OPEN || e != read_end(e->cx))
		return err;
	e->cx->pending_loss += l->bytes;
	strncpy(e->cx->loss_reason, l->reason ? l->reason : "was not captured",
		sizeof(e->cx->loss_reason) - 1);
	return 0;
}

/* Sockets of @pid that only it used are closed by the kernel, without a call that a source would see. */
int streams__proc_exit(struct streams *s, uint32_t pid, int64_t ts_ns)
{
	struct buf found = {0};
	int err = time_passes(s, ts_ns);

	map_for_each (&s->ends, slot) {
		const struct end *e = (const struct end *)(uintptr_t)slot->val;

		if (e->info.pid == pid && !e->shared && e->cx->state != CX_DEAD)
			buf_put(&found, &slot->key, sizeof(slot->key));
	}
	if (!err && !buf_ok(&found))
		err = -ENOMEM;
	for (size_t i = 0; !err && i < found.n; i += sizeof(uint64_t)) {
		struct end *e;
		struct cx *cx;
		uint64_t id;

		memcpy(&id, found.p + i, sizeof(id));
		e = map_ptr(&s->ends, id);
		cx = e->cx;
		if (cx->state == CX_DEAD || e != read_end(cx))
			continue;
		cx->by_exit = true;
		err = cx_close(cx, ts_ns, (e->side ^ cx->flip) == SIDE_CLIENT);
	}
	buf_free(&found);
	return err;
}

/* --- the consumer's side --- */

struct mark stream_mark(const struct conn *c, enum flowdir d, uint64_t pos)
{
	const struct cx *cx = CX_OF(c);
	const struct mark_at *at = marks_at(&cx->half[d ^ cx->flip].marks, pos);
	struct mark m = {0};

	if (!at)
		return m;
	m = at->m;
	m.by_server = (at->side ^ cx->flip) == SIDE_SERVER;
	return m;
}

struct span stream_pending(const struct conn *c, enum flowdir d)
{
	const struct cx *cx = CX_OF(c);
	const struct half *hf = &cx->half[d ^ cx->flip];

	return span_sub(buf_span(&hf->buf), hf->head, SIZE_MAX);
}

void stream_swap(struct conn *c)
{
	struct cx *cx = CX_OF(c);

	pair_flip(cx);
	c->role_known = true;
}

void stream_ignore(struct streams *s, struct conn *c)
{
	struct cx *cx = CX_OF(c);

	if (cx->state != CX_OPEN)
		return;
	cx->state = CX_IGNORED;
	s->stats.ignored++;
	end_mute(s, cx->end[0]);
	end_mute(s, cx->end[1]);
}

void stream_take(struct streams *s, struct conn *c)
{
	struct cx *cx = CX_OF(c);

	cx->c.role_known = true;
	cx->replay = true;
	if (s->ops.verdict)
		s->ops.verdict(s->ops.verdict_ctx, c->endpoint, VERDICT_TAKE);
	pair_settle(cx, false);
	cx_wait(cx);
}

void stream_secret(struct conn *c, enum flowdir d, uint64_t pos, uint64_t n)
{
	struct cx *cx = CX_OF(c);
	int h = d ^ cx->flip;
	struct secret s = {h, cx->half[h].base + pos, n};

	if (!cx->s->ops.secret || !n)
		return;
	cx->secrets[cx->secrets_n++ % SECRETS_MAX] = s;
	for (int i = 0; i < 2; i++)
		if (cx->end[i])
			pair_tell_secret(cx, cx->end[i], &s);
}

void streams__stats(const struct streams *s, struct stream_stats *ret)
{
	*ret = s->stats;
}
