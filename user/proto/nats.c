/*
 * NATS with JetStream: the decoder's record, lines and payloads. Lines are read in nats_wire.c, core NATS is
 * in nats_core.c, JetStream's messages in nats_js.c, its API in nats_api.c, logins in nats_login.c, tables in
 * nats_pend.c, batches in nats_batch.c, JSON in nats_json.c, what tells NATS from others in nats_probe.c.
 *
 * What is linked as the same message. A publish and what a stream keeps: by the publish acknowledgement that
 * comes to the publish's reply subject (CONFIRM with stream and sequence; "duplicate" when the stream had it
 * already). What a stream keeps, each delivery of it and each acknowledgement: by stream and sequence out of
 * the acknowledgement subject, whatever the connection. A request and the server's "no responders": by the
 * reply subject.
 *
 * What cannot be known. A core publish and its deliveries carry no id: subject, headers and body have to do,
 * and whether anybody was subscribed is not told. The same holds for a publish into a stream without a reply
 * subject. Deliveries of a consumer whose configuration was not seen are taken for explicitly acknowledged.
 * Streams of the same name in two accounts or domains of one server are not told apart. A purge that keeps
 * the newest says only how many. A message that a stream drops (age, size, limits) is dropped in silence,
 * until somebody asks which one it has first. Which consumers get what a subject transform renamed is not
 * predicted. A fast batch tells only its last one's sequence. The API under another prefix than $JS.API or
 * $JS.domain.API is known by its words. NATS over WebSocket is not read; servers among themselves (routes,
 * gateways, leaf nodes) are recognised and told as not read.
 *
 * A message that lies whole in what parse() gets is told without a copy; otherwise its line and what is kept
 * of its payload are copied as they come, and nothing more than the payload limit.
 */
#include "proto/nats_state.h"

#define ADDRESSES_MAX 4096 /* bytes of a cluster's */

#include <stdio.h>
#include <stdlib.h>

#include "base/search.h"
#include "base/timefmt.h"

#define DEFAULT_LIMIT 0x100000u
#define HEADER_KEPT   (1u << 20)
#define RESYNC_TAIL   (64u << 10)
#define SPARE_BYTES   (256u << 10) /* a buffer that is larger is not kept for the next message */

/* --- lines and messages --- */

uint64_t nats_emit(struct nats *st, struct op *op)
{
	if (st->link)
		return 0;
	op->pos = st->pos;
	op->len = st->end - st->pos;
	op->flowdir = (uint8_t)st->dir;
	return st->out.emit(st->out.ctx, op);
}

static void message(struct nats *st, const struct nats_msg *m)
{
	if (st->dir == TO_SERVER)
		nats_publish(st, m);
	else
		nats_deliver(st, m);
}

/* @data: of the payload, as much as is kept. */
static void message_of(struct nats *st, const struct line *l, struct span data, bool gap)
{
	struct nats_msg m = {.l = l, .header = span_sub(data, 0, l->hdr_size)};

	m.body = span_sub(data, l->hdr_size, st->opts.payload_limit);
	m.body_size = l->total - l->hdr_size;
	if (gap)
		m.flags |= OPF_GAP;
	else if (m.body.n < m.body_size)
		m.flags |= OPF_TRUNCATED;
	message(st, &m);
}

/*
 * Servers of a cluster tell each other's addresses. Their cluster's name is what people chose, and many chose
 * the same: together with the least of the addresses it is one of its own.
 */
static void cluster(struct nats *st, struct span json)
{
	struct span urls = nats_json_get(json, "connect_urls"), url, first = SPAN_EMPTY;
	char name[128], text[128], least[128];
	struct op op = {.kind = OP_CLUSTER};
	struct span c = nats_json_text(nats_json_get(json, "cluster"), name, sizeof(name));

	buf_clear(&st->envelope);
	while (c.n && nats_json_item(&urls, &url) && st->envelope.n < ADDRESSES_MAX) {
		struct span s = nats_json_text(url, text, sizeof(text));

		if (st->envelope.n)
			buf_putc(&st->envelope, ',');
		buf_put_span(&st->envelope, s);
		if (s.n && (!first.n || memcmp(s.p, first.p, s.n < first.n ? s.n : first.n) < 0)) {
			memcpy(least, s.p, s.n);
			first = span_of(least, s.n);
		}
	}
	if (!first.n || !buf_ok(&st->envelope))
		return;
	op.text = buf_span(&st->envelope);
	buf_putc(&st->envelope, ' ');
	buf_put_span(&st->envelope, c);
	buf_putc(&st->envelope, ' ');
	buf_put_span(&st->envelope, first);
	op.exchange = span_sub(buf_span(&st->envelope), op.text.n + 1, SIZE_MAX);
	op.text = span_sub(buf_span(&st->envelope), 0, op.text.n); /* it may have moved */
	if (buf_ok(&st->envelope))
		nats_emit(st, &op);
}

static void info(struct nats *st, const struct line *l)
{
	uint64_t n;

	/* Only a server sends it to a server. */
	if (st->dir == TO_SERVER)
		st->link = true;
	if (st->dir == TO_CLIENT && nats_json_u64(nats_json_get(l->rest, "max_payload"), &n)) {
		st->allowed = n;
		if (n > st->payload_max && n <= INT32_MAX)
			st->payload_max = (uint32_t)n;
	}
	if (st->dir == TO_CLIENT)
		cluster(st, l->rest);
}

static void plain_line(struct nats *st, const struct line *l)
{
	switch (l->verb) {
	case VERB_INFO:
		info(st, l);
		break;
	case VERB_CONNECT:
		nats_login(st, l);
		break;
	case VERB_SUB:
		nats_sub(st, l);
		break;
	case VERB_UNSUB:
		nats_unsub(st, l);
		break;
	case VERB_OK:
		nats_ok(st);
		break;
	case VERB_ERR:
		nats_error(st, l->rest);
		break;
	default:
		break;
	}
}

static size_t kept_of(const struct nats *st, const struct line *l)
{
	size_t header = l->hdr_size < HEADER_KEPT ? l->hdr_size : HEADER_KEPT;
	uint64_t n = (uint64_t)header + (header < l->hdr_size ? 0 : st->opts.payload_limit);

	return n < l->total ? (size_t)n : l->total;
}

/* --- messages that come in parts --- */

static void part_done(struct in *in)
{
	in->active = false;
	buf_clear(&in->text);
	if (in->data.cap > SPARE_BYTES) {
		buf_free(&in->data);
		in->data = (struct buf){0};
	}
	buf_clear(&in->data);
	in->data.oom = in->text.oom = false;
}

static struct span moved(struct span s, const uint8_t *from, const uint8_t *to)
{
	return s.n ? span_of(to + (s.p - from), s.n) : s;
}

/* Keeps the line; its payload is read as it comes. */
static bool part_begin(struct nats *st, struct in *in, const struct line *l, struct span s, uint64_t pos)
{
	(void)st;
	buf_clear(&in->text);
	buf_put(&in->text, s.p, l->len);
	if (!buf_ok(&in->text)) {
		part_done(in);
		return false;
	}
	in->line = *l;
	in->line.subject = moved(l->subject, s.p, in->text.p);
	in->line.reply = moved(l->reply, s.p, in->text.p);
	in->line.sid = moved(l->sid, s.p, in->text.p);
	in->line.queue = in->line.rest = SPAN_EMPTY;
	in->pos = pos;
	in->got = 0;
	in->gap = false;
	in->active = true;
	buf_clear(&in->data);
	return true;
}

static void part_keep(struct nats *st, struct in *in, struct span s)
{
	size_t keep = kept_of(st, &in->line);

	if (!in->gap && in->data.n < keep)
		buf_put_span(&in->data, span_sub(s, 0, keep - in->data.n));
	in->got += s.n;
}

static void part_tell(struct nats *st, struct in *in, uint64_t end)
{
	st->pos = in->pos;
	st->end = end;
	message_of(st, &in->line, buf_ok(&in->data) ? buf_span(&in->data) : SPAN_EMPTY, in->gap);
	part_done(in);
}

enum progress { GO_ON, WAIT, LOST };

/* More of the message that is being read. */
static enum progress part_more(struct nats *st, struct in *in, uint64_t pos, struct span s, size_t *used)
{
	uint64_t left = in->line.total - in->got;
	size_t n = left < s.n ? (size_t)left : s.n;

	part_keep(st, in, span_sub(s, 0, n));
	*used += n;
	st->at[st->dir] = pos + n;
	s = span_sub(s, n, SIZE_MAX);
	if (in->got < in->line.total || !s.n)
		return WAIT;
	if (s.p[0] != '\r' || (s.n > 1 && s.p[1] != '\n')) {
		part_done(in);
		return LOST;
	}
	if (s.n < 2)
		return WAIT;
	*used += 2;
	in->proven = true;
	st->at[st->dir] = pos + n + 2;
	part_tell(st, in, pos + n + 2);
	return GO_ON;
}

/* --- parse --- */

/* The CONNECT line at the start of @s, all of it or its beginning, as far as it is one. */
static void look_for_secrets(struct nats *st, struct in *in, uint64_t pos, struct span s, bool whole)
{
	static const char verb[] = "CONNECT";

	if (!span_eq_nocase(span_sub(s, 0, 7), SPAN_LIT(verb)) || s.n <= 7)
		return;
	if (!in->connecting)
		st->secrets = (struct secrets){0};
	in->connecting = !whole;
	nats_secrets(st, pos, s);
}

static void lost(struct nats *st, enum flowdir d)
{
	struct in *in = &st->in[d];

	if (in->active)
		part_done(in);
	in->synced = false;
	in->fresh = true;
	in->proven = false;
	in->connecting = false;
	/* Which line an +OK stands for is no longer known. */
	st->oks.on = false;
}

static enum progress whole_line(struct nats *st, struct in *in, uint64_t pos, struct span s, size_t *used)
{
	struct line l;
	size_t end;

	switch (nats_line(s, st->dir, st->payload_max, &l)) {
	case LINE_BAD:
		return LOST;
	case LINE_MORE:
		if (st->dir == TO_SERVER)
			look_for_secrets(st, in, pos, s, false);
		return WAIT;
	case LINE_OK:
		break;
	}
	if (l.verb == VERB_LINK) {
		st->link = true;
		return WAIT;
	}
	if (l.verb == VERB_CONNECT)
		look_for_secrets(st, in, pos, span_sub(s, 0, l.len), true);
	st->begun[st->dir] = true;
	st->stats.frames++;
	end = l.len + (l.payload ? l.total + 2u : 0);
	if (l.payload && s.n < end) {
		if (!part_begin(st, in, &l, s, pos))
			return LOST;
		*used += l.len;
		st->at[st->dir] = pos + l.len;
		return GO_ON;
	}
	st->pos = pos;
	st->end = pos + end;
	if (l.payload) {
		if (s.p[end - 2] != '\r' || s.p[end - 1] != '\n') {
			*used += l.len;
			return LOST;
		}
		in->proven = true;
		message_of(st, &l, span_sub(s, l.len, kept_of(st, &l)), false);
	} else {
		plain_line(st, &l);
	}
	*used += end;
	st->at[st->dir] = st->end;
	return GO_ON;
}

/* A record of TLS where a line should be: it was agreed on in INFO. *needed: more, to be sure. */
static bool tls(struct span s, size_t *needed)
{
	size_t n;

	if (s.n < 3 || s.p[0] < 20 || s.p[0] > 23 || s.p[1] != 3 || s.p[2] > 4)
		return false;
	n = s.n < 5 ? 5 : 5u + (size_t)(s.p[3] << 8 | s.p[4]);
	if (n > 5 + 16384 + 2048)
		return false;
	*needed = s.n < n ? n - s.n : 0;
	return true;
}

static struct parse_result nothing_of_it(struct nats *st, enum flowdir d, struct span rest, size_t used)
{
	struct parse_result r = {.status = PARSE_LOST, .consumed = used};
	size_t needed = 0;

	if (tls(rest, &needed)) {
		r.status = needed ? PARSE_OK : PARSE_ERROR;
		r.needed = needed;
		return r;
	}
	st->stats.errors++;
	/* The first bytes of a connection are a line, or this is something else. */
	if (!st->begun[d] && st->in[d].proven && !used) {
		r.status = PARSE_ERROR;
		return r;
	}
	lost(st, d);
	return r;
}

static struct parse_result nats_parse(void *state, enum flowdir d, uint64_t pos, struct span data)
{
	struct nats *st = state;
	struct in *in = &st->in[d];
	struct parse_result r = {.status = PARSE_OK};
	enum progress p = GO_ON;

	st->dir = d;
	if (!pos && nats_websocket(data, d)) {
		r.status = PARSE_UNREAD;
		r.consumed = data.n;
		return r;
	}
	if (!in->synced && !st->link) {
		r.status = PARSE_LOST;
		return r;
	}
	while (p == GO_ON && r.consumed < data.n && !st->link) {
		struct span rest = span_sub(data, r.consumed, SIZE_MAX);

		if (in->active)
			p = part_more(st, in, pos + r.consumed, rest, &r.consumed);
		else
			p = whole_line(st, in, pos + r.consumed, rest, &r.consumed);
	}
	if (p == LOST)
		return nothing_of_it(st, d, span_sub(data, r.consumed, SIZE_MAX), r.consumed);
	if (st->link) {
		r.status = PARSE_UNREAD;
		r.consumed = data.n;
	}
	return r;
}

/* --- losses --- */

/* Where reading begins anywhere: HMSG, HPUB and UNSUB without their first letters are lines, too. Their
 * header's size stands in the place of a reply subject, their sid in that of a subject. */
static bool beheaded(const struct line *l, struct span data)
{
	uint64_t n;

	switch (l->verb) {
	case VERB_MSG:
	case VERB_PUB:
		return nats_decimal(l->reply, l->total, &n) &&
		       span_starts(span_sub(data, l->len, 8), "NATS/1.0");
	case VERB_SUB:
		return !l->queue.n && nats_decimal(l->subject, UINT64_MAX, &n);
	default:
		return false;
	}
}

/*
 * The first line in @data that is believable. Of what may be one, a message whose rest does not fit into what
 * is kept is taken when nothing else is there: its CRLF shows later whether it was. What was found to be no
 * line is not looked at again.
 */
static int64_t find_line(const struct nats *st, enum flowdir d, uint64_t pos, struct span data, struct in *in)
{
	size_t i = in->search > pos ? (size_t)(in->search - pos) : 0, large = SIZE_MAX;
	struct line l;

	if (!in->at_start)
		i = nats_next_start(data, i);
	for (; i < data.n; i = nats_next_start(data, i)) {
		enum belief b = nats_believe(span_sub(data, i, SIZE_MAX), d, st->payload_max, &l);
		bool anywhere = pos + i == in->lost_at;

		if (anywhere && b != NOT_A_LINE && beheaded(&l, span_sub(data, i, SIZE_MAX)))
			continue;
		switch (b) {
		case PROVEN:
			return (int64_t)i;
		case UNPROVEN:
			if (data.n - i <= RESYNC_TAIL &&
				(!l.payload || l.len + l.total + 2u <= RESYNC_TAIL)) {
				in->search = pos + i;
				in->at_start = true;
				return -1;
			}
			if (l.payload && large == SIZE_MAX && l.len + l.total + 2u > RESYNC_TAIL)
				large = i;
			break;
		case NOT_A_LINE:
			break;
		}
	}
	in->search = pos + data.n;
	in->at_start = data.n >= 2 && data.p[data.n - 2] == '\r' && data.p[data.n - 1] == '\n';
	return large == SIZE_MAX ? -1 : (int64_t)large;
}

static int64_t nats_resync(void *state, enum flowdir d, uint64_t pos, struct span data)
{
	struct nats *st = state;
	struct in *in = &st->in[d];
	int64_t at;

	if (in->synced || st->link)
		return 0;
	if (st->mask && d == TO_SERVER) {
		const uint8_t *lf = data.n ? memchr(data.p, '\n', data.n) : NULL;
		size_t n = lf ? (size_t)(lf - data.p) : data.n;

		if (n && st->out.secret)
			st->out.secret(st->out.ctx, d, pos, n);
		st->mask = !lf;
	}
	if (in->fresh) {
		/* Where the search begins may be a line's start. */
		in->fresh = false;
		in->lost_at = in->search = pos;
		in->at_start = true;
	}
	at = find_line(st, d, pos, data, in);
	if (at < 0)
		return -1;
	st->stats.skipped_bytes += (uint64_t)at;
	in->synced = true;
	return at;
}

static void nats_gap(void *state, enum flowdir d, uint64_t pos, uint64_t n)
{
	struct nats *st = state;
	struct in *in = &st->in[d];
	uint64_t end = st->at[d] + in->line.total - in->got;

	if (st->link)
		return;
	st->dir = d;
	if (in->active && n && in->synced && pos >= st->at[d] && pos + n <= end) {
		/* The hole lies inside of a payload whose size is known: so is its end. */
		in->gap = true;
		in->got += pos + n - st->at[d];
		st->at[d] = pos + n;
		return;
	}
	if (d == TO_SERVER && in->connecting)
		st->mask = true;
	if (in->active && in->proven && in->synced) {
		in->gap = true;
		part_tell(st, in, st->at[d]);
	}
	lost(st, d);
}

/* --- life --- */

static void *nats_state_new(const struct proto_opts *opts, const struct proto_out *out, bool from_start)
{
	struct nats *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->opts = *opts;
	if (!st->opts.payload_limit)
		st->opts.payload_limit = DEFAULT_LIMIT;
	st->out = *out;
	st->attached = !from_start;
	st->payload_max = NATS_PAYLOAD_MAX;
	st->shared = opts->shared;
	if (!st->shared) {
		st->shared = nats_shared_new();
		st->own_shared = true;
	}
	if (!st->shared) {
		free(st);
		return NULL;
	}
	for (int d = 0; d < 2; d++)
		st->in[d] = (struct in){.synced = from_start, .proven = from_start, .fresh = true};
	return st;
}

static void nats_state_free(void *state)
{
	struct nats *st = state;

	if (!st)
		return;
	for (int d = 0; d < 2; d++) {
		buf_free(&st->in[d].text);
		buf_free(&st->in[d].data);
	}
	nats_core_free(st);
	pendings_free(&st->asked);
	pendings_free(&st->got);
	buf_free(&st->envelope);
	if (st->own_shared)
		nats_shared_free(st->shared);
	free(st);
}

/* What is half there was taken by nobody; unacknowledged deliveries come again only after the consumer's
 * ack_wait, to whoever asks. */
static void nats_closed(void *state)
{
	struct nats *st = state;

	for (int d = 0; d < 2; d++)
		if (st->in[d].active)
			part_done(&st->in[d]);
}

static void nats_stats(const void *state, struct proto_stats *ret)
{
	*ret = ((const struct nats *)state)->stats;
}

/* --- envelopes --- */

static int nats_fields(struct span envelope, field_fn fn, void *ctx)
{
	struct pair p;

	while (pairs_next(&envelope, &p)) {
		struct field f = {.type = FIELD_TIME, .name = p.name};
		char text[40];
		uint64_t ns;

		if (p.header || p.type != FIELD_TIME || !nats_decimal(p.value, INT64_MAX, &ns)) {
			if (!pairs_field(&p, p.value, fn, ctx))
				return 0;
			continue;
		}
		f.i = (int64_t)(ns / NS_PER_SEC);
		f.d = (double)f.i;
		f.text = span_str(fmt_rfc3339(text, sizeof(text), (int64_t)ns));
		if (!fn(ctx, &f))
			return 0;
	}
	return envelope.n ? pairs_fields(envelope, fn, ctx) : 0;
}

/* What a hop adds or changes: where it came from, where an answer goes, what a stream was to check. */
static bool of_the_hop(const struct pair *p)
{
	static const char *const names[] = {"Nats-Stream", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Subject",
		"Nats-Last-Sequence", "Nats-Num-Pending", "Nats-Msg-Size", "Nats-Stream-Source"};

	if (!p->header)
		return !span_is(p->name, "message-id");
	if (span_starts(p->name, "Nats-Expected-"))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (span_is(p->name, names[i]))
			return true;
	return false;
}

static uint64_t nats_hash(struct span envelope, uint64_t seed)
{
	return pairs_hash(envelope, seed, of_the_hop);
}

const struct proto proto_nats = {
	.id = PROTO_NATS,
	.name = "nats",
	.otel_name = "nats",
	.words = {.channel = "subject", .log = "subject", .mid = "sequence", .inbox = "_INBOX"},
	.probe = nats_probe,
	.shared_new = nats_shared_new,
	.shared_free = nats_shared_free,
	.state_new = nats_state_new,
	.state_free = nats_state_free,
	.parse = nats_parse,
	.resync = nats_resync,
	.resync_tail = RESYNC_TAIL,
	.gap = nats_gap,
	.closed = nats_closed,
	.fields = nats_fields,
	.args = nats_json_fields,
	.stable_hash = nats_hash,
	.stats = nats_stats,
};
