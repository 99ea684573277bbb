/*
 * Kafka: the decoder's record, frames, and the pairing of requests with responses. The layout of each api is
 * in kafka_api.c, batches of records in kafka_records.c, what an api means in kafka_produce.c, kafka_fetch.c,
 * kafka_group.c, kafka_topic.c and kafka_login.c, what connections learn for each other in kafka_shared.c.
 *
 * What is the same message on both sides of the broker: a record's identity is its log ("topic-partition")
 * and its offset. What was sent gets it from the Produce response, as base offset and place in the request;
 * what is fetched has it. A batch that an idempotent producer repeats byte by byte (producer id, epoch,
 * sequence number, checksum) is the same message, sent once. Topic ids are names where any connection has
 * told the name, where a record that was sent by name stands at the same offset, or where the only topic that
 * a client reads is committed by name; else the id itself stands for it.
 *
 * What cannot be known: the offset of what was sent with acks=0, or whose response was lost; whether a second
 * batch of a producer without idempotence is a retry; for which group a plain Fetch reads (the group is told
 * on another connection of the same client id); whether a record that was fetched reached the application;
 * the beginning of a fetch position that was set before the connection was seen; and what a follower's Fetch
 * or an api newer than the tables holds: those are passed over by their size.
 *
 * Operations of one frame span the whole frame: a client that got a part of a response has no record of it
 * yet. Large frames are collected here, so that a fetch larger than what a stream keeps still comes through.
 */
#include "proto/kafka_state.h"

#include <stdio.h>
#include <stdlib.h>

#define PAYLOAD_LIMIT 0x100000u /* default of proto_opts.payload_limit */
#define ENVELOPE_MAX  0x100000u /* key and headers */
#define RESYNC_TAIL   (64u << 10)
#define SPARE_BYTES   (64u << 10) /* room that an answered request may keep */
#define SIZE_BYTES    4

/* --- operations --- */

struct span kafka_number(char *b, int64_t v)
{
	return span_of(b, put_i64(b, v));
}

uint64_t kafka_emit(struct kafka *st, struct op *op)
{
	op->dest = DEST_LOG;
	op->pos = st->pos;
	op->len = st->end - st->pos;
	op->flowdir = (uint8_t)st->dir;
	return st->out.emit(st->out.ctx, op);
}

void kafka_error(struct kafka *st, struct op *op, int code)
{
	op->code = (uint32_t)code;
	op->text = span_str(kafka_error_name(code));
	st->stats.errors++;
	kafka_emit(st, op);
}

static void add_headers(struct kafka *st, struct op *op, const struct krecord *r)
{
	struct span rest = r->headers;
	struct kheader h;

	for (uint32_t i = 0; i < r->headers_n; i++) {
		if (!kafka_header_next(&rest, &h)) {
			op->flags |= OPF_GAP;
			return;
		}
		if (st->envelope.n + h.name.n + h.value.n > ENVELOPE_MAX) {
			op->flags |= OPF_TRUNCATED;
			continue;
		}
		pairs_add(&st->envelope, &(struct pair){.header = true,
						 .type = h.null ? FIELD_NULL : FIELD_TEXT,
						 .name = h.name,
						 .value = h.value});
	}
}

void kafka_message(struct kafka *st, struct op *op, const struct krecord *r)
{
	pairs_begin(&st->envelope);
	if (!r->key_null && r->key.n < ENVELOPE_MAX)
		pairs_property(&st->envelope, "key", r->key);
	else if (!r->key_null)
		op->flags |= OPF_TRUNCATED;
	if (r->timestamp >= 0)
		pairs_int(&st->envelope, "timestamp", r->timestamp);
	if (r->value_null)
		pairs_int(&st->envelope, "tombstone", 1);
	add_headers(st, op, r);
	st->stats.messages++;
	op->envelope = buf_span(&st->envelope);
	op->body_size = r->value.n;
	op->body = span_sub(r->value, 0, st->opts.payload_limit);
	if (op->body.n < r->value.n)
		op->flags |= OPF_TRUNCATED;
}

void kafka_lost(struct kafka *st, uint64_t n, const char *reason)
{
	st->stats.errors++;
	if (st->out.gap)
		st->out.gap(st->out.ctx, st->dir, n, reason);
}

/* --- requests that wait --- */

static struct kreq *ring_at(struct kafka *st, uint32_t i)
{
	return &st->ring[(st->ring_head + i) & (st->ring_cap - 1)];
}

static void ring_pop(struct kafka *st)
{
	struct kreq *r = ring_at(st, 0);

	st->kept -= r->kept.n;
	if (r->kept.cap > SPARE_BYTES || !buf_ok(&r->kept))
		buf_free(&r->kept);
	buf_clear(&r->kept);
	r->kept.oom = false;
	st->ring_head = (st->ring_head + 1) & (st->ring_cap - 1);
	st->ring_n--;
}

static bool ring_grow(struct kafka *st)
{
	uint32_t cap = st->ring_cap ? 2 * st->ring_cap : 8;
	struct kreq *ring = calloc(cap, sizeof(*ring));

	if (!ring)
		return false;
	for (uint32_t i = 0; i < st->ring_cap; i++)
		ring[i] = *ring_at(st, i);
	free(st->ring);
	st->ring = ring;
	st->ring_cap = cap;
	st->ring_head = 0;
	return true;
}

/* Room for one more, with an empty `kept`; the oldest gives way. NULL: out of memory. */
static struct kreq *ring_new(struct kafka *st)
{
	struct kreq *r;

	if (st->ring_n == REQUESTS_MAX) {
		st->stats.errors++;
		ring_pop(st);
	}
	if (st->ring_n == st->ring_cap && !ring_grow(st))
		return NULL;
	r = ring_at(st, st->ring_n);
	r->skip = false;
	r->text_n = 0;
	return r;
}

/* A broker answers in order: what stands before the one it answers has lost its response. */
static struct kreq *ring_find(struct kafka *st, int32_t correlation)
{
	for (uint32_t i = 0; i < st->ring_n; i++)
		if (ring_at(st, i)->correlation == correlation) {
			while (i--)
				ring_pop(st);
			return ring_at(st, 0);
		}
	return NULL;
}

bool kafka_kept(const struct kreq *r, struct kval *v, kevent_fn fn, void *ctx)
{
	const struct kapi *api = kafka_api(r->key);
	struct kin in = kin_of(buf_span(&r->kept));

	return kafka_walk(api->request, r->version, r->version >= api->flexible, &in, v, fn, ctx);
}

bool kafka_response(const struct kreq *r, struct span body, struct kval *v, kevent_fn fn, void *ctx)
{
	const struct kapi *api = kafka_api(r->key);
	struct kin in = kin_of(body);

	/* Clients must understand it before they know the broker: its header has no tags (KIP-511). */
	if (r->version >= api->flexible && r->key != K_API_VERSIONS)
		kin_skip_tags(&in);
	return kafka_walk(api->response, r->version, r->version >= api->flexible, &in, v, fn, ctx);
}

static int by_log(const void *a, const void *b)
{
	const struct kitem *x = a, *y = b;

	if (x->log != y->log)
		return x->log < y->log ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

void kafka_items_sort(struct kafka *st)
{
	if (st->items.n)
		qsort(st->items.p, st->items.n / sizeof(struct kitem), sizeof(struct kitem), by_log);
}

struct kitem *kafka_items_of(struct kafka *st, uint64_t log, size_t *ret_n)
{
	struct kitem *items = (struct kitem *)st->items.p;
	size_t all = st->items.n / sizeof(*items), lo = 0, hi = all;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (items[mid].log < log)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (hi = lo; hi < all && items[hi].log == log;)
		hi++;
	*ret_n = hi - lo;
	return *ret_n ? items + lo : NULL;
}

/* --- frames --- */

/* Apis whose response is read together with the request. */
static bool keeps(int key)
{
	switch (key) {
	case K_OFFSET_COMMIT:
	case K_OFFSET_FETCH:
	case K_JOIN_GROUP:
	case K_SYNC_GROUP:
	case K_LEAVE_GROUP:
	case K_CREATE_TOPICS:
	case K_END_TXN:
	case K_INIT_PRODUCER_ID:
	case K_TXN_OFFSET_COMMIT:
	case K_GROUP_HEARTBEAT:
	case K_SHARE_HEARTBEAT:
	case K_SHARE_FETCH:
	case K_SHARE_ACKNOWLEDGE:
		return true;
	}
	return false;
}

#define TOO_NEW "a version of the protocol that is newer than we know"

/* Something about messages or groups, in request or response. */
static bool says(int key)
{
	return key == K_PRODUCE || key == K_FETCH || keeps(key);
}

static void client_is(struct kafka *st, const struct khead *h)
{
	if (h->client.s.n && !span_eq(h->client.s, buf_span(&st->client))) {
		buf_clear(&st->client);
		buf_put_span(&st->client, h->client.s);
	}
}

static bool is_login(int key)
{
	return key == K_SASL_HANDSHAKE || key == K_SASL_AUTHENTICATE || key == K_API_VERSIONS;
}

static void request_work(struct kafka *st, struct kreq *r, const struct khead *h, struct kin *in)
{
	struct span body = span_of(in->p, kin_left(in));
	struct kval v[S_SLOTS];

	if (!is_login(h->key))
		kafka_logged_in(st);
	if (!h->api->request || h->version > h->api->max) {
		if (h->api->request && says(h->key))
			kafka_lost(st, st->end - st->pos, TOO_NEW);
		return;
	}
	if (h->key == K_PRODUCE)
		kafka_produce(st, r, in);
	else if (h->key == K_FETCH)
		kafka_fetch(st, r, in);
	else if (h->key == K_SASL_HANDSHAKE)
		kafka_handshake(st, in);
	else if (h->key == K_SASL_AUTHENTICATE &&
		 kafka_walk(h->api->request, h->version, h->version >= h->api->flexible, in, v, NULL, NULL))
		kafka_token(st, v[S_BYTES].s);
	else if (keeps(h->key) && st->kept + body.n <= KEPT_MAX)
		buf_put_span(&r->kept, body);
	else
		r->skip = keeps(h->key);
}

/* @cut: the frame's end is not there and will not come. */
static void request(struct kafka *st, struct span frame, bool cut)
{
	struct kin in = kin_of(frame);
	struct khead h;
	struct kreq *r;

	if (!kafka_head(&in, &h)) {
		if (st->raw_sasl)
			kafka_token(st, frame);
		else
			st->stats.errors++;
		return;
	}
	client_is(st, &h);
	if (!st->asked)
		st->asked_first = h.correlation;
	st->asked = true;
	r = ring_new(st);
	if (!r)
		return;
	r->correlation = h.correlation;
	r->key = (int16_t)h.key;
	r->version = (int16_t)h.version;
	in.want_cut = cut;
	if (cut && h.key != K_PRODUCE && h.key != K_FETCH)
		r->skip = true;
	else
		request_work(st, r, &h, &in);
	/* Without acknowledgement there is no response. */
	if (h.key == K_PRODUCE && h.version <= h.api->max && r->skip) {
		buf_clear(&r->kept);
		return;
	}
	st->kept += r->kept.n;
	st->ring_n++;
}

static void response_work(struct kafka *st, struct kreq *r, struct span body, bool cut)
{
	if (r->key == K_FETCH)
		kafka_fetched(st, r, body, cut);
	else if (r->key == K_SHARE_FETCH)
		kafka_share_fetched(st, r, body, cut);
	if (cut)
		return;
	switch (r->key) {
	case K_PRODUCE:
		kafka_produced(st, r, body);
		break;
	case K_METADATA:
	case K_DESCRIBE_TOPICS:
	case K_GROUP_DESCRIBE:
		kafka_topics_known(st, r, body);
		break;
	case K_CREATE_TOPICS:
		kafka_topics_created(st, r, body);
		break;
	case K_DELETE_TOPICS:
		kafka_topics_deleted(st, r, body);
		break;
	case K_DELETE_RECORDS:
		kafka_records_deleted(st, r, body);
		break;
	case K_OFFSET_COMMIT:
		kafka_committed(st, r, body);
		break;
	case K_TXN_OFFSET_COMMIT:
		kafka_txn_committed(st, r, body);
		break;
	case K_OFFSET_FETCH:
		kafka_positions(st, r, body);
		break;
	case K_JOIN_GROUP:
		kafka_joined(st, r, body);
		break;
	case K_SYNC_GROUP:
		kafka_synced(st, r, body);
		break;
	case K_LEAVE_GROUP:
		kafka_left(st, r, body);
		break;
	case K_GROUP_HEARTBEAT:
	case K_SHARE_HEARTBEAT:
		kafka_group_beat(st, r, body);
		break;
	case K_DELETE_GROUPS:
		kafka_groups_deleted(st, r, body);
		break;
	case K_SHARE_ACKNOWLEDGE:
		kafka_share_acked(st, r, body);
		break;
	case K_INIT_PRODUCER_ID:
		kafka_init_producer(st, r, body);
		break;
	case K_END_TXN:
		kafka_end_txn(st, r, body);
		break;
	case K_SASL_HANDSHAKE:
		kafka_handshake_done(st, r, body);
		break;
	case K_SASL_AUTHENTICATE:
		kafka_authenticated(st, r, body);
		break;
	}
}

static void response(struct kafka *st, struct span frame, bool cut)
{
	struct kin in = kin_of(frame);
	int32_t correlation = (int32_t)kin_int(&in, 4);
	struct kreq *r = in.bad ? NULL : ring_find(st, correlation);
	const struct kapi *api;

	if (!r) {
		st->stats.skipped_bytes += frame.n;
		/* A bare token of a login; or of a request before the connection was seen, or lost. */
		if (!st->raw_sasl && !cut)
			kafka_orphan(st, frame);
		return;
	}
	api = kafka_api(r->key);
	if (!r->skip && buf_ok(&r->kept) && api->response && r->version <= api->max)
		response_work(st, r, span_of(in.p, kin_left(&in)), cut);
	else if (r->version > api->max && says(r->key))
		kafka_lost(st, st->end - st->pos, TOO_NEW);
	ring_pop(st);
}

void kafka_answer(struct kafka *st, struct span frame)
{
	response(st, frame, false);
}

/* @frame: without its size. */
static void frame_work(struct kafka *st, enum flowdir d, uint64_t pos, struct span frame, bool cut)
{
	st->stats.frames++;
	st->dir = d;
	st->pos = pos;
	st->end = st->at[d] = pos + SIZE_BYTES + frame.n;
	if (d == TO_SERVER) {
		request(st, frame, cut);
		kafka_orphans(st, false);
	} else {
		if (st->asked)
			kafka_orphans(st, true);
		response(st, frame, cut);
	}
}

/* --- losses --- */

static void big_forget(struct kafka *st, enum flowdir d)
{
	if (st->shared)
		st->shared->big -= st->big[d].n;
	buf_free(&st->big[d]);
	st->big_size[d] = 0;
}

/* What there is of a frame that was being collected; its rest is passed over. */
static void big_cut(struct kafka *st, enum flowdir d)
{
	st->skip[d] = (struct kskip){true, st->big_pos[d] + SIZE_BYTES + st->big_size[d]};
	frame_work(st, d, st->big_pos[d], buf_span(&st->big[d]), true);
	big_forget(st, d);
}

/* A request of which only the header was seen: its response can be told from others. */
static void headed(struct kafka *st)
{
	struct kreq *r = st->partial_headed ? ring_new(st) : NULL;

	st->partial_headed = false;
	if (!r)
		return;
	r->correlation = st->partial_head.correlation;
	r->key = (int16_t)st->partial_head.key;
	r->version = (int16_t)st->partial_head.version;
	/* A fetch's response says for itself what it holds. */
	r->skip = r->key == K_PRODUCE || keeps(r->key);
	st->ring_n++;
}

static void kafka_gap(void *state, enum flowdir d, uint64_t pos, uint64_t n)
{
	struct kafka *st = state;
	uint64_t end = st->partial_end[d];

	if (st->big_size[d])
		big_cut(st, d);
	else if (!st->skip[d].on && end && st->synced[d])
		st->skip[d] = (struct kskip){true, end};
	if (d == TO_SERVER)
		headed(st);
	st->partial_end[d] = 0;
	if (d == TO_CLIENT)
		st->from_middle = false;
	/* Inside of one frame, whose end is known. */
	if (n && st->skip[d].on && pos + n <= st->skip[d].end)
		return;
	st->skip[d].on = false;
	st->synced[d] = false;
}

bool kafka_awaits(struct kafka *st, int32_t correlation)
{
	for (uint32_t i = 0; i < st->ring_n && i < 64; i++)
		if (ring_at(st, i)->correlation == correlation)
			return true;
	return false;
}

int64_t kafka_asked_first(struct kafka *st)
{
	return st->ring_n ? ring_at(st, 0)->correlation : -1;
}

static bool answers(struct kafka *st, struct span s)
{
	struct kin in = kin_of(s);
	int64_t size = kin_int(&in, 4), correlation = kin_int(&in, 4);

	return !in.bad && size >= 4 && size <= KAFKA_FRAME_MAX && kafka_awaits(st, (int32_t)correlation);
}

/* Nothing but answers that are awaited, whole ones: more than chance. */
static bool to_the_end(struct kafka *st, struct span s)
{
	while (s.n && answers(st, s)) {
		struct kin in = kin_of(s);
		uint64_t n = 4 + (uint64_t)kin_int(&in, 4);

		if (n > s.n)
			return false;
		s = span_sub(s, (size_t)n, SIZE_MAX);
	}
	return !s.n;
}

/* Where the server's next frame begins, or -1. */
static int64_t find_answer(struct kafka *st, uint64_t pos, struct span data)
{
	size_t i = st->searched > pos ? (size_t)(st->searched - pos) : 0;
	enum kchain chain;

	st->from_middle &= !pos;
	chain = st->from_middle ? kafka_chain(st, data) : CHAIN_NO;
	if (chain == CHAIN_HOLDS)
		return 0;
	st->from_middle = chain == CHAIN_MORE;
	for (; i + 8 <= data.n; i++)
		if (answers(st, span_sub(data, i, 8)) &&
			(chain == CHAIN_NO || to_the_end(st, span_sub(data, i, SIZE_MAX))))
			return (int64_t)i;
	/* Not all again with each new byte: an answer does not come long before what it answers. */
	if (data.n > RESYNC_TAIL)
		st->searched = pos + data.n - RESYNC_TAIL;
	return -1;
}

static int64_t kafka_resync(void *state, enum flowdir d, uint64_t pos, struct span data)
{
	struct kafka *st = state;
	int64_t at;

	if (st->synced[d] || st->skip[d].on)
		return 0;
	at = d == TO_SERVER ? kafka_find_request(data) : find_answer(st, pos, data);
	if (at < 0)
		return -1;
	st->stats.skipped_bytes += (uint64_t)at;
	st->from_middle &= d == TO_SERVER;
	st->synced[d] = true;
	return at;
}

/* --- parse --- */

static struct parse_result lost(struct kafka *st, enum flowdir d, size_t consumed)
{
	st->stats.errors++;
	st->synced[d] = false;
	st->partial_end[d] = 0;
	return (struct parse_result){.status = PARSE_LOST, .consumed = consumed};
}

static bool size_fits(const struct kafka *st, enum flowdir d, int64_t size)
{
	if (st->raw_sasl && size >= 0 && size <= 1 << 20)
		return true;
	return size >= (d == TO_SERVER ? 8 : 4) && size <= KAFKA_FRAME_MAX;
}

/* Is the beginning of a frame one? Not telling: yes. */
static bool frame_fits(struct kafka *st, enum flowdir d, struct span frame)
{
	struct kin in = kin_of(frame);
	struct khead h;

	if (d == TO_CLIENT)
		return true;
	st->partial_headed = kafka_head(&in, &h);
	if (st->partial_headed)
		st->partial_head = h;
	return st->partial_headed || in.ended || st->raw_sasl;
}

static void big_begins(struct kafka *st, enum flowdir d, uint64_t pos, size_t size)
{
	st->big_pos[d] = pos;
	st->big_size[d] = size;
}

/* Collects; the number of bytes taken. */
static size_t big_on(struct kafka *st, enum flowdir d, struct span data)
{
	size_t left = st->big_size[d] - st->big[d].n;
	struct span part = span_sub(data, 0, left);

	if ((st->shared && st->shared->big + part.n > BIG_TOTAL) || !buf_reserve(&st->big[d], part.n)) {
		st->big[d].oom = false;
		st->stats.errors++;
		big_cut(st, d);
		return 0;
	}
	buf_put_span(&st->big[d], part);
	if (st->shared)
		st->shared->big += part.n;
	if (part.n == left) {
		frame_work(st, d, st->big_pos[d], buf_span(&st->big[d]), false);
		big_forget(st, d);
	}
	return part.n;
}

static size_t skip_on(struct kafka *st, enum flowdir d, uint64_t pos, struct span data)
{
	uint64_t left = st->skip[d].end > pos ? st->skip[d].end - pos : 0;
	size_t n = left < data.n ? (size_t)left : data.n;

	st->stats.skipped_bytes += n;
	st->skip[d].on = n < left;
	st->at[d] = pos + n;
	return n;
}

/* The frame at the beginning of @rest: its bytes consumed, 0 when it is not there as a whole (ret->needed).
 */
static size_t one_frame(
	struct kafka *st, enum flowdir d, uint64_t pos, struct span rest, struct parse_result *ret)
{
	struct kin in = kin_of(rest);
	int64_t size = kin_int(&in, 4);
	struct span frame = span_of(in.p, kin_left(&in));

	if (in.bad) {
		ret->needed = SIZE_BYTES - rest.n;
		return 0;
	}
	frame = span_sub(frame, 0, (size_t)size);
	if (!size_fits(st, d, size) || !frame_fits(st, d, frame)) {
		*ret = lost(st, d, ret->consumed);
		return 0;
	}
	if (d == TO_SERVER && kafka_secrets(st, pos + SIZE_BYTES, frame, (size_t)size) &&
		frame.n < (size_t)size) {
		st->partial_end[d] = pos + SIZE_BYTES + (uint64_t)size;
		return 0;
	}
	if (frame.n == (size_t)size) {
		st->partial_headed = false;
		frame_work(st, d, pos, frame, false);
		return SIZE_BYTES + frame.n;
	}
	if (size > BIG_FRAME) {
		big_begins(st, d, pos, (size_t)size);
		return SIZE_BYTES;
	}
	st->partial_end[d] = pos + SIZE_BYTES + (uint64_t)size;
	ret->needed = (size_t)size - frame.n;
	return 0;
}

static struct parse_result kafka_parse(void *state, enum flowdir d, uint64_t pos, struct span data)
{
	struct kafka *st = state;
	struct parse_result r = {.status = PARSE_OK};

	while (r.consumed < data.n) {
		struct span rest = span_sub(data, r.consumed, SIZE_MAX);
		size_t n;

		if (st->skip[d].on) {
			r.consumed += skip_on(st, d, pos + r.consumed, rest);
			continue;
		}
		if (st->big_size[d]) {
			r.consumed += big_on(st, d, rest);
			continue;
		}
		if (!st->synced[d]) {
			r.status = PARSE_LOST;
			return r;
		}
		st->partial_end[d] = 0;
		n = one_frame(st, d, pos + r.consumed, rest, &r);
		if (!n)
			break;
		r.consumed += n;
	}
	return r;
}

/* --- life --- */

static void *kafka_state_new(const struct proto_opts *opts, const struct proto_out *out, bool from_start)
{
	struct kafka *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->opts = *opts;
	if (!st->opts.payload_limit)
		st->opts.payload_limit = PAYLOAD_LIMIT;
	st->shared = opts->shared;
	st->out = *out;
	st->synced[TO_SERVER] = st->synced[TO_CLIENT] = from_start;
	st->from_middle = !from_start;
	return st;
}

static void subs_free(struct kafka *st)
{
	for (uint32_t i = 0; i < st->subs_n; i++) {
		buf_free(&st->subs[i].group);
		buf_free(&st->subs[i].topic);
		buf_free(&st->subs[i].partitions);
	}
	free(st->subs);
}

static void kafka_state_free(void *state)
{
	struct kafka *st = state;

	if (!st)
		return;
	big_forget(st, TO_SERVER);
	big_forget(st, TO_CLIENT);
	for (uint32_t i = 0; i < st->ring_cap; i++)
		buf_free(&st->ring[i].kept);
	free(st->ring);
	subs_free(st);
	map_free(&st->positions);
	buf_free(&st->before);
	buf_free(&st->client);
	buf_free(&st->user);
	buf_free(&st->mechanism);
	buf_free(&st->protocol_type);
	buf_free(&st->unpacked);
	buf_free(&st->envelope);
	buf_free(&st->log);
	buf_free(&st->text);
	buf_free(&st->items);
	free(st);
}

static void kafka_closed(void *state)
{
	struct kafka *st = state;

	for (int d = 0; d < 2; d++)
		if (st->big_size[d])
			big_cut(st, d);
	kafka_orphans(st, true);
	st->dir = TO_CLIENT;
	st->pos = st->end = st->at[TO_CLIENT];
	kafka_subs_end(st, SPAN_EMPTY, true);
}

static void *kafka_shared_new(void)
{
	return kshared_new();
}

static void kafka_shared_free(void *shared)
{
	kshared_free(shared);
}

static void kafka_stats(const void *state, struct proto_stats *ret)
{
	*ret = ((const struct kafka *)state)->stats;
}

const struct proto proto_kafka = {
	.id = PROTO_KAFKA,
	.name = "kafka",
	.otel_name = "kafka",
	.words = {.log = "topic", .mid = "offset", .settled = "committed"},
	.probe = kafka_probe,
	.shared_new = kafka_shared_new,
	.shared_free = kafka_shared_free,
	.state_new = kafka_state_new,
	.state_free = kafka_state_free,
	.parse = kafka_parse,
	.resync = kafka_resync,
	.resync_tail = RESYNC_TAIL,
	.resync_tail_answers = KAFKA_ANSWER_MAX + SIZE_BYTES,
	.gap = kafka_gap,
	.closed = kafka_closed,
	.fields = kafka_fields,
	.args = pairs_fields,
	.stable_hash = kafka_stable_hash,
	.stats = kafka_stats,
};
