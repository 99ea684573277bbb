/*
 * AMQP 0-9-1 (RabbitMQ, LavinMQ, Qpid): the decoder's record, frames and the connection itself. Channels are
 * in amqp091_chan.c, logins in amqp091_login.c, properties and tables in amqp091_table.c, the search for a
 * frame boundary in amqp091_wire.c.
 *
 * Whole frames are consumed, one after the other; a message is put together per channel and direction, its
 * body without a copy when one frame holds all of it.
 *
 * Secrets: of connection.start-ok only the user name is kept; the SASL responses of secure-ok and
 * update-secret are never looked at. Where they stand is told (amqp091_login.c).
 */
#include "proto/amqp091_state.h"

#include <errno.h>
#include <stdlib.h>

#include "base/rd.h"

#define PAYLOAD_LIMIT 0x100000u /* default of proto_opts.payload_limit */
#define SPARES_MAX    4u        /* contents kept for reuse */
#define SPARE_BYTES   (4u << 20)
#define RESYNC_TAIL   (64u << 10)

static uint8_t sender(enum flowdir d)
{
	return d == TO_SERVER ? BY_CLIENT : BY_SERVER;
}

/* --- probe --- */

/* Does @s, sent by @by, believably hold frames? *ret_own: some of them only @by sends. */
static bool speaks(struct span s, uint8_t by, bool *ret_own)
{
	*ret_own = false;
	return s.n && amqp_frames_find(s, by, FRAME_PAYLOAD_MAX, ret_own) >= 0;
}

static enum probe_result probe_start(struct span to_server, struct span to_client)
{
	if (to_server.n) {
		if (!amqp_protocol_header(to_server))
			return to_client.n && amqp_protocol_header(to_client) ? PROBE_REVERSED : PROBE_NO;
		return to_server.n >= 8 ? PROBE_YES : PROBE_MORE;
	}
	if (!to_client.n)
		return PROBE_MORE;
	/* The client speaks first: these are its bytes, or not ours. */
	if (!amqp_protocol_header(to_client))
		return PROBE_NO;
	return to_client.n >= 8 ? PROBE_REVERSED : PROBE_MORE;
}

static enum probe_result amqp_probe(struct span to_server, struct span to_client, bool from_start)
{
	bool own[4], right, reversed;

	if (from_start)
		return probe_start(to_server, to_client);
	speaks(to_server, BY_CLIENT, &own[0]);
	speaks(to_client, BY_SERVER, &own[1]);
	speaks(to_server, BY_SERVER, &own[2]);
	speaks(to_client, BY_CLIENT, &own[3]);
	right = own[0] || own[1];
	reversed = own[2] || own[3];
	if (right == reversed)
		return PROBE_MORE;
	return right ? PROBE_YES : PROBE_REVERSED;
}

/* --- contents in assembly --- */

static struct content *content_new(struct amqp *st, struct chan *c, enum flowdir d)
{
	struct content *t = st->spare, **last = &st->contents_last[d];

	if (t) {
		st->spare = t->next;
		st->spares--;
	} else {
		t = calloc(1, sizeof(*t));
		if (!t)
			return NULL;
	}
	t->chan = c;
	t->dir = d;
	t->pos = st->pos;
	t->prev = *last;
	t->next = NULL;
	*(*last ? &(*last)->next : &st->contents[d]) = t;
	*last = t;
	c->content[d] = t;
	return t;
}

static void content_free(struct content *t)
{
	buf_free(&t->method);
	buf_free(&t->envelope);
	buf_free(&t->body);
	free(t);
}

void amqp_content_drop(struct amqp *st, struct content *t)
{
	struct content spare = {.method = t->method, .envelope = t->envelope, .body = t->body};

	*(t->prev ? &t->prev->next : &st->contents[t->dir]) = t->next;
	*(t->next ? &t->next->prev : &st->contents_last[t->dir]) = t->prev;
	t->chan->content[t->dir] = NULL;
	st->content_bytes -= t->envelope.n + t->body.n;
	if (st->spares >= SPARES_MAX || t->envelope.cap + t->body.cap > SPARE_BYTES) {
		content_free(t);
		return;
	}
	buf_clear(&spare.method);
	buf_clear(&spare.envelope);
	buf_clear(&spare.body);
	spare.method.oom = spare.envelope.oom = spare.body.oom = false;
	spare.next = st->spare;
	*t = spare;
	st->spare = t;
	st->spares++;
}

/* Emits what there is of it. */
static void content_end(struct amqp *st, struct content *t)
{
	amqp_content_whole(st, t);
	amqp_content_drop(st, t);
}

static void content_broken(struct amqp *st, struct content *t)
{
	t->gap = true;
	content_end(st, t);
}

/* Copies into one of the assembly's buffers, within the connection's budget. */
static bool content_keep(struct amqp *st, struct buf *b, struct span s)
{
	if (st->content_bytes + s.n > CONTENT_BYTES_MAX || !buf_reserve(b, s.n))
		return false;
	buf_put_span(b, s);
	st->content_bytes += s.n;
	return true;
}

/* Keeps the method's payload; its arguments then point into the copy. */
static bool content_copy(struct content *t, const struct method *m, struct span payload)
{
	buf_put_span(&t->method, payload);
	if (!buf_ok(&t->method))
		return false;
	t->m = *m;
	for (size_t i = 0; m->def->args[i]; i++)
		if (m->a[i].s.n)
			t->m.a[i].s.p = t->method.p + (m->a[i].s.p - payload.p);
	return true;
}

static void content_method(struct amqp *st, struct chan *c, const struct method *m, struct span payload)
{
	struct content *t = c->content[st->dir];

	if (t) {
		/* A method inside of a content: the sender broke off, which no client may. */
		st->stats.errors++;
		content_broken(st, t);
	}
	t = content_new(st, c, st->dir);
	if (!t) {
		st->stats.errors++;
		return;
	}
	if (!content_copy(t, m, payload)) {
		amqp_content_drop(st, t);
		return;
	}
	amqp_content_begun(st, t);
}

static void content_header(struct amqp *st, struct chan *c, struct span payload)
{
	struct content *t = c->content[st->dir];
	struct span envelope;

	/* Without its method, after a resync, or with a second header: of nothing that we could name. */
	if (!t || t->header_seen)
		return;
	if (amqp_content_header_parse(payload, &t->body_size, &envelope)) {
		st->stats.errors++;
		content_broken(st, t);
		return;
	}
	t->header_seen = true;
	if (!content_keep(st, &t->envelope, envelope))
		t->truncated = true;
	if (!t->body_size)
		content_end(st, t);
}

static void content_body(struct amqp *st, struct chan *c, struct span payload)
{
	struct content *t = c->content[st->dir];
	uint64_t left, kept;

	if (!t || !t->header_seen)
		return;
	left = t->body_size - t->body_seen;
	if (payload.n > left) {
		st->stats.errors++;
		payload.n = (size_t)left;
	}
	kept = t->body.n;
	if (!t->body_seen && payload.n == left && !t->gap) {
		t->whole = span_sub(payload, 0, st->opts.payload_limit);
		t->truncated |= t->whole.n < payload.n;
	} else if (!t->truncated && !t->gap) {
		struct span part = span_sub(payload, 0, st->opts.payload_limit - kept);

		/* Only a beginning without holes is kept. */
		t->truncated = !content_keep(st, &t->body, part) || part.n < payload.n;
	}
	t->body_seen += payload.n;
	if (t->body_seen == t->body_size)
		content_end(st, t);
}

/* --- the connection's own methods --- */

static void logged_in(struct amqp *st)
{
	struct op op = {.kind = OP_LOGIN, .text = name_span(&st->user)};

	amqp_emit(st, &op);
}

static void all_channels_end(struct amqp *st)
{
	while (st->first)
		amqp_chan_end(st, st->first);
}

static void closed_by_broker(struct amqp *st, const struct method *m)
{
	struct op op = {.kind = OP_ERROR, .code = (uint32_t)m->a[CLOSE_CODE].u, .text = m->a[CLOSE_TEXT].s};

	if (op.code != 200)
		amqp_emit(st, &op);
	all_channels_end(st);
}

static void set_frame_max(struct amqp *st, uint64_t frame_max)
{
	/* 0: no limit. 4096 is the specification's least; a smaller one is not obeyed by anybody. */
	if (frame_max >= 4096 && frame_max - FRAME_OVERHEAD < FRAME_PAYLOAD_MAX)
		st->payload_max = (uint32_t)frame_max - FRAME_OVERHEAD;
	else
		st->payload_max = FRAME_PAYLOAD_MAX;
}

static void connection_method(struct amqp *st, const struct method *m)
{
	switch (m->def->id) {
	case CONNECTION_START_OK:
		name_set(&st->user, amqp_login_user(m->a[START_OK_MECHANISM].s, m->a[START_OK_RESPONSE].s));
		break;
	case CONNECTION_TUNE_OK:
		set_frame_max(st, m->a[TUNE_OK_FRAME_MAX].u);
		break;
	case CONNECTION_OPEN:
		name_set(&st->vhost, m->a[OPEN_VHOST].s);
		break;
	case CONNECTION_OPEN_OK:
		logged_in(st);
		break;
	case CONNECTION_CLOSE:
		if (st->dir == TO_CLIENT)
			closed_by_broker(st, m);
		break;
	case CONNECTION_CLOSE_OK:
		all_channels_end(st);
		break;
	}
}

/* --- frames --- */

static void method_frame(struct amqp *st, struct chan *c, struct span payload)
{
	struct method m;

	if (amqp_method_parse(payload, &m) || !(m.def->flags & sender(st->dir)) ||
		!(m.def->flags & IS_CONNECTION) != !!c) {
		st->stats.errors++;
		return;
	}
	if (!c)
		connection_method(st, &m);
	else if (m.def->flags & HAS_CONTENT)
		content_method(st, c, &m, payload);
	else
		amqp_chan_method(st, c, &m, payload);
}

static void frame_work(struct amqp *st, const struct frame *f, struct span payload)
{
	struct chan *c = f->channel ? amqp_chan_get(st, f->channel) : NULL;

	st->stats.frames++;
	if (f->channel && !c) {
		st->stats.errors++;
		return;
	}
	switch (f->type) {
	case FRAME_METHOD:
		method_frame(st, c, payload);
		break;
	case FRAME_HEADER:
		content_header(st, c, payload);
		break;
	case FRAME_BODY:
		content_body(st, c, payload);
		break;
	}
}

/* --- losses --- */

/* Bytes were lost and nothing is known of them: every channel is touched, the boundary must be found again.
 */
static void lost(struct amqp *st, enum flowdir d)
{
	st->dir = d;
	st->pos = st->end = st->at[d];
	while (st->contents[d])
		content_broken(st, st->contents[d]);
	for (struct chan *c = st->first; c; c = c->next)
		amqp_chan_gap(st, c, d);
	st->synced[d] = false;
	st->header_due[d] = false;
	st->partial_on[d] = false;
	st->skip[d].on = false;
}

/* The damaged frame has passed. Which one it was is known, so only its own channel is touched. */
static void skipped(struct amqp *st, enum flowdir d)
{
	const struct skip *s = &st->skip[d];
	struct chan *c = s->f.channel ? amqp_chan_get(st, s->f.channel) : NULL;
	struct content *t = c ? c->content[d] : NULL;

	st->skip[d].on = false;
	if (!c || s->f.type == FRAME_HEARTBEAT)
		return;
	switch (s->f.type) {
	case FRAME_METHOD:
		if (t)
			content_broken(st, t);
		amqp_chan_gap(st, c, d);
		break;
	case FRAME_HEADER:
		if (t)
			content_broken(st, t);
		break;
	default:
		if (!t || !t->header_seen)
			break;
		t->gap = true;
		t->body_seen += s->f.size;
		if (t->body_seen >= t->body_size)
			content_end(st, t);
	}
}

/* Goes on skipping; the number of bytes of @data that belong to the damaged frame. */
static size_t skip_on(struct amqp *st, enum flowdir d, uint64_t pos, struct span data)
{
	uint64_t left = st->skip[d].end > pos ? st->skip[d].end - pos : 0;
	size_t n = left < data.n ? (size_t)left : data.n;

	st->stats.skipped_bytes += n;
	if (n < left)
		return n;
	st->pos = pos;
	st->end = st->at[d] = pos + n;
	skipped(st, d);
	return n;
}

static void amqp_gap(void *state, enum flowdir d, uint64_t pos, uint64_t n)
{
	struct amqp *st = state;
	uint64_t end = st->partial_pos[d] + FRAME_OVERHEAD + st->partial[d].size;

	if (st->skip[d].on) {
		if (n && pos + n <= st->skip[d].end)
			return;
	} else if (n && st->synced[d] && st->partial_on[d] && pos + n <= end &&
		   pos >= st->partial_pos[d] + FRAME_HEADER_SIZE) {
		/* The hole lies inside of one frame whose size is known: its end is, too. */
		st->skip[d] = (struct skip){end, st->partial[d], true};
		st->partial_on[d] = false;
		return;
	}
	lost(st, d);
}

static int64_t amqp_resync(void *state, enum flowdir d, uint64_t pos, struct span data)
{
	struct amqp *st = state;
	bool own;
	int64_t at;

	(void)pos;
	if (st->synced[d] || st->skip[d].on)
		return 0;
	at = amqp_frames_find(data, sender(d), st->payload_max, &own);
	if (at < 0)
		return -1;
	st->stats.skipped_bytes += (uint64_t)at;
	st->synced[d] = true;
	return at;
}

/* --- parse --- */

/* Consumes "AMQP" and its version. A server that refuses the client's answers with its own. */
static struct parse_result parse_header(struct amqp *st, enum flowdir d, struct span data)
{
	struct parse_result r = {.status = PARSE_OK};

	if (!amqp_protocol_header(data)) {
		if (d == TO_SERVER)
			r.status = PARSE_ERROR;
		else
			st->header_due[d] = false;
		return r;
	}
	if (data.n < 8) {
		r.needed = 8 - data.n;
		return r;
	}
	st->header_due[d] = false;
	r.consumed = 8;
	return r;
}

struct frame_at {
	struct amqp *st;
	enum flowdir d;
	uint64_t pos; /* of its payload */
};

static void on_secret(void *ctx, size_t off, size_t n)
{
	const struct frame_at *at = ctx;

	at->st->out.secret(at->st->out.ctx, at->d, at->pos + off, n);
}

/* Tells what of a frame, all of it or its beginning, is a login's secret. True: more of it may tell more. */
static bool tell_secrets(
	struct amqp *st, enum flowdir d, uint64_t pos, const struct frame *f, struct span data)
{
	struct frame_at at = {st, d, pos + FRAME_HEADER_SIZE};

	if (!st->out.secret || d != TO_SERVER || f->type != FRAME_METHOD || f->channel)
		return false;
	return amqp_login_secrets(span_sub(data, FRAME_HEADER_SIZE, f->size), f->size, on_secret, &at);
}

/* Remembers the frame at the end of what was seen, for a gap that may follow. */
static size_t parse_partial(struct amqp *st, enum flowdir d, uint64_t pos, struct span rest)
{
	struct frame f;

	st->partial_on[d] = amqp_frame_parse(rest, st->payload_max, &f) == FRAME_OK;
	if (!st->partial_on[d])
		return FRAME_HEADER_SIZE - rest.n;
	st->partial[d] = f;
	st->partial_pos[d] = pos;
	if (tell_secrets(st, d, pos, &f, rest))
		return 0;
	return FRAME_OVERHEAD + (size_t)f.size - rest.n;
}

static struct parse_result parse_lost(struct amqp *st, enum flowdir d, size_t consumed)
{
	st->stats.errors++;
	lost(st, d);
	return (struct parse_result){.status = PARSE_LOST, .consumed = consumed};
}

static struct parse_result amqp_parse(void *state, enum flowdir d, uint64_t pos, struct span data)
{
	struct amqp *st = state;
	struct parse_result r = {.status = PARSE_OK};

	st->dir = d;
	if (st->skip[d].on)
		r.consumed = skip_on(st, d, pos, data);
	if (!st->synced[d]) {
		r.status = PARSE_LOST;
		return r;
	}
	if (st->skip[d].on)
		return r;
	if (st->header_due[d] && data.n) {
		r = parse_header(st, d, data);
		if (r.status != PARSE_OK || r.needed)
			return r;
	}
	st->partial_on[d] = false;
	while (r.consumed < data.n) {
		struct span rest = span_sub(data, r.consumed, SIZE_MAX);
		struct frame f;
		enum frame_status fs = amqp_frame_parse(rest, st->payload_max, &f);

		if (fs == FRAME_BAD)
			return parse_lost(st, d, r.consumed);
		if (fs == FRAME_MORE || rest.n < FRAME_OVERHEAD + (size_t)f.size) {
			r.needed = parse_partial(st, d, pos + r.consumed, rest);
			break;
		}
		st->pos = pos + r.consumed;
		st->end = st->pos + FRAME_OVERHEAD + f.size;
		tell_secrets(st, d, st->pos, &f, rest);
		if (rest.p[FRAME_HEADER_SIZE + f.size] != FRAME_END)
			return parse_lost(st, d, r.consumed);
		st->at[d] = st->end;
		frame_work(st, &f, span_sub(rest, FRAME_HEADER_SIZE, f.size));
		r.consumed += FRAME_OVERHEAD + (size_t)f.size;
	}
	return r;
}

/* --- life --- */

static void *amqp_state_new(const struct proto_opts *opts, const struct proto_out *out, bool from_start)
{
	struct amqp *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->opts = *opts;
	if (!st->opts.payload_limit)
		st->opts.payload_limit = PAYLOAD_LIMIT;
	st->out = *out;
	st->payload_max = FRAME_PAYLOAD_MAX;
	for (int d = 0; d < 2; d++)
		st->synced[d] = st->header_due[d] = from_start;
	return st;
}

static void amqp_state_free(void *state)
{
	struct amqp *st = state;

	if (!st)
		return;
	while (st->first)
		amqp_chan_free(st, st->first);
	map_free(&st->by_id);
	while (st->spare) {
		struct content *t = st->spare;

		st->spare = t->next;
		content_free(t);
	}
	free(st);
}

static void amqp_closed(void *state)
{
	struct amqp *st = state;

	st->dir = TO_CLIENT;
	st->pos = st->end = st->at[TO_CLIENT];
	all_channels_end(st);
}

static void amqp_stats(const void *state, struct proto_stats *ret)
{
	*ret = ((const struct amqp *)state)->stats;
}

const struct proto proto_amqp091 = {
	.id = PROTO_AMQP091,
	.name = "amqp091",
	.otel_name = "rabbitmq",
	.probe = amqp_probe,
	.state_new = amqp_state_new,
	.state_free = amqp_state_free,
	.parse = amqp_parse,
	.resync = amqp_resync,
	.resync_tail = RESYNC_TAIL,
	.gap = amqp_gap,
	.closed = amqp_closed,
	.fields = amqp091_fields,
	.args = amqp091_args,
	.stable_hash = amqp091_stable_hash,
	.stats = amqp_stats,
};
