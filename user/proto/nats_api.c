/*
 * The JetStream API: publish acknowledgements, what is made and deleted, what consumers are like, advisories.
 * A reply says by its own `type` what it is; only a deletion's needs the request, for the names.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/nats_state.h"

#define NAME_MAX_ 256
#define LIST_MAX  4096 /* entries of a list that are looked at */

void nats_api_request(
	struct nats *st, const struct nats_msg *m, enum api api, struct span stream, struct span consumer)
{
	struct api_call *call = NULL;
	char filter[NAME_MAX_];

	if (api == API_STREAM_PURGE)
		consumer = nats_json_text(nats_json_get(m->body, "filter"), filter, sizeof(filter));
	if (!m->l->reply.n)
		return;
	if (api != API_OTHER && api != API_NEXT && stream.n + consumer.n <= NAMES_MAX) {
		call = calloc(1, sizeof(*call) + stream.n + consumer.n);
		if (!call)
			return;
		call->api = api;
		call->stream_n = (uint16_t)stream.n;
		call->consumer_n = (uint16_t)consumer.n;
		if (stream.n)
			memcpy(call->names, stream.p, stream.n);
		if (consumer.n)
			memcpy(call->names + stream.n, consumer.p, consumer.n);
		nats_json_u64(nats_json_get(m->body, "seq"), &call->seq);
		call->keeps = nats_json_get(m->body, "keep").n;
	}
	pending_add(&st->asked, m->l->reply, PENDING_API, 0, call);
}

/* --- publish acknowledgements --- */

static bool all_of(struct span object, const char *const *names, size_t n)
{
	struct span key, value;

	while (nats_json_next(&object, &key, &value)) {
		bool known = false;

		for (size_t i = 0; i < n && !known; i++)
			known = span_is(key, names[i]);
		if (!known)
			return false;
	}
	return true;
}

/* {"stream":"S","seq":1} and what else a stream says there, or {"error":{"code":..,"description":..}}. */
static bool publish_ack(struct nats *st, const struct nats_msg *m, const struct pending *asked)
{
	static const char *const names[] = {
		"stream", "seq", "domain", "duplicate", "error", "batch", "count", "val"};
	struct op op = nats_op(OP_CONFIRM, DEST_LOG);
	struct span error = nats_json_get(m->body, "error"), seq = nats_json_get(m->body, "seq");
	char stream[NAME_MAX_], text[NAME_MAX_];
	struct js_stream *s;
	uint64_t n = 0, code, count = 1;

	op.log = nats_json_text(nats_json_get(m->body, "stream"), stream, sizeof(stream));
	if (!all_of(m->body, names, ARRAY_LEN(names)) ||
		(error.n ? !nats_json_u64(nats_json_get(error, "code"), &code)
			 : !op.log.n || !nats_json_u64(seq, &n) || !n))
		return false;
	if (!asked)
		return true;
	op.ref = asked->id;
	if (error.n) {
		nats_json_u64(nats_json_get(error, "err_code"), &code);
		op.flags = OPF_NEGATIVE;
		op.code = code <= UINT32_MAX ? (uint32_t)code : 0;
		op.text = nats_json_text(nats_json_get(error, "description"), text, sizeof(text));
	} else {
		op.mid = seq;
		if (span_is(nats_json_get(m->body, "duplicate"), "true"))
			op.text = SPAN_LIT("duplicate");
		s = nats_stream(st->shared, st->opts.server, op.log, true);
		if (s && n > s->last_seq)
			s->last_seq = n;
	}
	nats_json_u64(nats_json_get(m->body, "count"), &count);
	if (asked->batch)
		nats_batch_acked(st, asked->batch, op, n, count);
	else if (op.ref)
		nats_emit(st, &op);
	return true;
}

/* How far a fast batch has come: {"type":"ack","seq":3,"msgs":10}, a gap, an error of a message. */
static bool batch_flow(struct span json)
{
	struct span type = nats_json_get(json, "type");

	return span_is(type, "\"ack\"") || span_is(type, "\"gap\"") || span_is(type, "\"err\"");
}

/* --- streams and consumers --- */

/* A reply that only shows what there is. True: that was told already. */
static bool known_already(uint64_t *told, struct span config, bool shows)
{
	uint64_t h = hash_span(config, 1);
	bool same = *told == h;

	*told = h;
	return shows && same;
}

/* What lay before the first one that a stream still has, its limits or somebody dropped. */
static void dropped(struct nats *st, struct span stream, struct span state)
{
	struct op op = nats_op(OP_DELETE, DEST_LOG);
	uint64_t first;

	if (!nats_json_u64(nats_json_get(state, "first_seq"), &first) || first < 2)
		return;
	op.log = stream;
	op.mid = nats_number(st, first);
	op.flags = OPF_UP_TO | OPF_REPORTED;
	nats_emit(st, &op);
}

static void stream_is(struct nats *st, struct span reply, bool shows)
{
	struct op op = nats_op(OP_EXCHANGE_DECLARE, DEST_LOG);
	struct span config = nats_json_get(reply, "config");
	struct span state = nats_json_get(reply, "state");
	struct span mirror = nats_json_get(config, "mirror");
	char name[NAME_MAX_], of[NAME_MAX_];
	struct js_stream *s;
	uint64_t last;

	op.exchange = nats_json_text(nats_json_get(config, "name"), name, sizeof(name));
	if (!op.exchange.n)
		return;
	s = nats_stream(st->shared, st->opts.server, op.exchange, true);
	if (s && nats_json_u64(nats_json_get(state, "last_seq"), &last))
		s->last_seq = last;
	if (s) {
		/* One of another domain may have the name of one here. */
		struct span m = nats_json_get(mirror, "external").n
					? SPAN_EMPTY
					: nats_json_text(nats_json_get(mirror, "name"), of, sizeof(of));

		s->mirror_n = (uint16_t)(m.n < sizeof(s->mirror) ? m.n : 0);
		if (s->mirror_n)
			memcpy(s->mirror, m.p, m.n);
	}
	dropped(st, op.exchange, state);
	if (s && known_already(&s->told, config, shows))
		return;
	op.log = op.exchange;
	op.type = SPAN_LIT("stream");
	op.args = config;
	if (shows)
		op.flags |= OPF_PASSIVE;
	if (!span_is(nats_json_get(config, "storage"), "\"memory\""))
		op.flags |= OPF_DURABLE;
	nats_emit(st, &op);
}

static enum ack_policy policy_of(struct span config)
{
	struct span p = nats_json_get(config, "ack_policy");

	if (span_is(p, "\"none\""))
		return ACK_NONE;
	if (span_is(p, "\"all\""))
		return ACK_ALL;
	return span_is(p, "\"explicit\"") ? ACK_EXPLICIT : ACK_UNKNOWN;
}

/* What of its stream it gets: subjects with a blank between them, none of which may hold one; ">" where there
 * is no filter, so that it gets all. Empty: they do not fit. */
static struct span filters(struct span config, char *buf, size_t n)
{
	struct span list = nats_json_get(config, "filter_subjects"), item;
	struct span one = nats_json_get(config, "filter_subject");
	size_t at = 0;

	if (!list.n && (!one.n || span_is(one, "\"\"")))
		return SPAN_LIT(">");
	if (!list.n)
		return nats_json_text(one, buf, n);
	while (nats_json_item(&list, &item)) {
		char text[NAME_MAX_];
		struct span s = nats_json_text(item, text, sizeof(text));

		if (!s.n || item.n > sizeof(text) || at + s.n + 1 > n)
			return SPAN_EMPTY;
		if (at)
			buf[at++] = ' ';
		memcpy(buf + at, s.p, s.n);
		at += s.n;
	}
	return at ? span_of(buf, at) : SPAN_LIT(">");
}

struct span nats_number(struct nats *st, uint64_t n)
{
	return span_of(st->number, put_u64(st->number, n));
}

/* From which sequence on a new consumer gets what is in the stream already; "" what comes only, or not known.
 */
static struct span begins_at(struct nats *st, struct span config)
{
	struct span p = nats_json_get(config, "deliver_policy");
	uint64_t seq;

	if (span_is(p, "\"all\""))
		return SPAN_LIT("0");
	if (span_is(p, "\"by_start_sequence\"") &&
		nats_json_u64(nats_json_get(config, "opt_start_seq"), &seq))
		return nats_number(st, seq);
	return SPAN_EMPTY;
}

static void consumer_learn(struct js_consumer *c, struct span config, struct span filter)
{
	uint64_t n;

	c->policy = policy_of(config);
	c->filter_n = 0;
	if (filter.n && filter.n <= sizeof(c->filter)) {
		memcpy(c->filter, filter.p, filter.n);
		c->filter_n = (uint16_t)filter.n;
	}
	c->max_pending = 0;
	if (nats_json_u64(nats_json_get(config, "max_ack_pending"), &n) && n <= UINT32_MAX)
		c->max_pending = (uint32_t)n;
	c->max_deliver = 0;
	if (nats_json_u64(nats_json_get(config, "max_deliver"), &n) && n <= UINT32_MAX)
		c->max_deliver = (uint32_t)n;
}

static void consumer_is(struct nats *st, struct span reply, bool shows)
{
	struct op op = nats_op(OP_QUEUE_DECLARE, DEST_LOG);
	struct span config = nats_json_get(reply, "config");
	char stream[NAME_MAX_], name[NAME_MAX_], filter[FILTER_MAX];
	struct js_consumer *c;

	op.log = nats_json_text(nats_json_get(reply, "stream_name"), stream, sizeof(stream));
	op.queue = nats_json_text(nats_json_get(reply, "name"), name, sizeof(name));
	if (!config.n || !op.log.n || !op.queue.n)
		return;
	op.exchange = filters(config, filter, sizeof(filter));
	c = nats_consumer(st->shared, st->opts.server, op.log, op.queue, true);
	if (c) {
		consumer_learn(c, config, op.exchange);
		if (known_already(&c->told, config, shows))
			return;
	}
	op.queue_known = true;
	op.args = config;
	if (shows)
		op.flags |= OPF_PASSIVE;
	else
		op.mid = begins_at(st, config);
	op.flags |= nats_json_get(config, "durable_name").n ? OPF_DURABLE : OPF_AUTO_DELETE;
	if (c && c->policy == ACK_NONE)
		op.flags |= OPF_NO_ACK;
	nats_emit(st, &op);
}

static void each(struct nats *st, struct span list, void (*fn)(struct nats *, struct span, bool))
{
	struct span item;

	for (size_t i = 0; i < LIST_MAX && nats_json_item(&list, &item); i++)
		fn(st, item, true);
}

/* A purge up to a sequence, or of all that there was, as far as we know; of one subject, or all. One that
 * keeps the newest cannot be told by sequences. */
static void purged(struct nats *st, const struct api_call *call, struct span stream)
{
	struct op op = nats_op(OP_DELETE, DEST_LOG);
	const struct js_stream *s = nats_stream(st->shared, st->opts.server, stream, false);
	uint64_t before = call->seq;

	if (call->keeps || (!before && (!s || !s->last_seq)))
		return;
	op.log = stream;
	op.exchange = span_of(call->names + call->stream_n, call->consumer_n);
	op.mid = nats_number(st, before ? before : s->last_seq + 1);
	op.flags = OPF_UP_TO;
	nats_emit(st, &op);
}

static void deleted(struct nats *st, const struct api_call *call)
{
	struct span stream = span_of(call->names, call->stream_n);
	struct op op = nats_op(OP_DELETE, DEST_LOG);

	op.log = stream;
	switch (call->api) {
	case API_STREAM_PURGE:
		purged(st, call, stream);
		return;
	case API_STREAM_DELETE:
		op.kind = OP_EXCHANGE_DELETE;
		op.exchange = stream;
		op.type = SPAN_LIT("stream");
		break;
	case API_MSG_DELETE:
		if (!call->seq)
			return;
		op.mid = nats_number(st, call->seq);
		break;
	case API_CONSUMER_DELETE:
		op.kind = OP_QUEUE_DELETE;
		op.queue = span_of(call->names + call->stream_n, call->consumer_n);
		op.queue_known = true;
		break;
	default:
		return;
	}
	nats_emit(st, &op);
}

static bool typed_reply(struct nats *st, struct span json, struct span type, const struct pending *asked)
{
	static const char prefix[] = "io.nats.jetstream.api.v1.";
	struct span what;

	if (!span_starts(type, prefix))
		return false;
	what = span_sub(type, sizeof(prefix) - 1, SIZE_MAX);
	if (nats_json_get(json, "error").n)
		return true;
	if (span_is(what, "stream_create_response") || span_is(what, "stream_update_response"))
		stream_is(st, json, false);
	else if (span_is(what, "stream_info_response"))
		stream_is(st, json, true);
	else if (span_is(what, "stream_list_response"))
		each(st, nats_json_get(json, "streams"), stream_is);
	else if (span_is(what, "consumer_create_response"))
		consumer_is(st, json, false);
	else if (span_is(what, "consumer_info_response"))
		consumer_is(st, json, true);
	else if (span_is(what, "consumer_list_response"))
		each(st, nats_json_get(json, "consumers"), consumer_is);
	else if (asked && asked->call && span_is(nats_json_get(json, "success"), "true"))
		deleted(st, asked->call);
	return true;
}

bool nats_api_reply(struct nats *st, const struct nats_msg *m, const struct pending *asked)
{
	struct span type;
	char text[128];

	/* A batch's message was taken, its end is still to come. */
	if (asked && asked->batch && !m->body_size)
		return true;
	if (!m->body.n || m->body.p[0] != '{' || m->flags)
		return false;
	type = nats_json_text(nats_json_get(m->body, "type"), text, sizeof(text));
	if (typed_reply(st, m->body, type, asked) || (nats_fast_batch(m->l->subject) && batch_flow(m->body)))
		return true;
	return (!asked || asked->kind == PENDING_SEND) && publish_ack(st, m, asked);
}

/* --- advisories --- */

/* Somebody, or the server for want of interest, deleted it: told to whoever is subscribed. */
static void deleted_by_broker(struct nats *st, const struct nats_msg *m, bool consumer)
{
	struct op op = nats_op(consumer ? OP_QUEUE_DELETE : OP_EXCHANGE_DELETE, DEST_LOG);
	char stream[NAME_MAX_], name[NAME_MAX_];

	op.log = nats_json_text(nats_json_get(m->body, "stream"), stream, sizeof(stream));
	op.flags = OPF_BY_BROKER;
	if (consumer) {
		op.queue = nats_json_text(nats_json_get(m->body, "consumer"), name, sizeof(name));
		op.queue_known = true;
	} else {
		op.exchange = op.log;
		op.type = SPAN_LIT("stream");
	}
	if (op.log.n && (op.queue.n || !consumer))
		nats_emit(st, &op);
}

static void batch_abandoned(struct nats *st, const struct nats_msg *m)
{
	char stream[NAME_MAX_], id[NAME_MAX_], reason[NAME_MAX_];

	nats_batch_abandoned(st, nats_json_text(nats_json_get(m->body, "batch"), id, sizeof(id)),
		nats_json_text(nats_json_get(m->body, "stream"), stream, sizeof(stream)),
		nats_json_text(nats_json_get(m->body, "reason"), reason, sizeof(reason)));
}

/*
 * A subscriber is told what befell a message, whoever is subscribed. That a message was terminated or given
 * back is told again: whoever did it sent an acknowledgement.
 */
void nats_advisory(struct nats *st, const struct nats_msg *m)
{
	static const struct {
		const char *prefix;
		enum settle settle;
		uint32_t flags;
	} kinds[] = {
		{"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.", SETTLE_REJECT, 0},
		{"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.", SETTLE_REJECT, OPF_REPORTED},
		{"$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.", SETTLE_REQUEUE, OPF_REPORTED},
	};
	struct op op = nats_op(OP_SETTLE, DEST_LOG);
	char stream[NAME_MAX_], consumer[NAME_MAX_], reason[NAME_MAX_];
	uint64_t seq, n = 0;

	if (span_starts(m->l->subject, "$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.")) {
		batch_abandoned(st, m);
		return;
	}
	if (span_starts(m->l->subject, "$JS.EVENT.ADVISORY.CONSUMER.DELETED."))
		deleted_by_broker(st, m, true);
	else if (span_starts(m->l->subject, "$JS.EVENT.ADVISORY.STREAM.DELETED."))
		deleted_by_broker(st, m, false);
	for (size_t i = 0; i < ARRAY_LEN(kinds) && !op.settle; i++)
		if (span_starts(m->l->subject, kinds[i].prefix)) {
			op.settle = kinds[i].settle;
			op.flags = kinds[i].flags | OPF_BY_BROKER;
		}
	op.log = nats_json_text(nats_json_get(m->body, "stream"), stream, sizeof(stream));
	op.queue = nats_json_text(nats_json_get(m->body, "consumer"), consumer, sizeof(consumer));
	if (!op.settle || !op.log.n || !op.queue.n ||
		!nats_json_u64(nats_json_get(m->body, "stream_seq"), &seq))
		return;
	op.queue_known = true;
	op.mid = nats_number(st, seq);
	nats_json_u64(nats_json_get(m->body, "deliveries"), &n);
	op.delivery = n <= UINT32_MAX ? (uint32_t)n : 0;
	if (op.flags & OPF_REPORTED)
		op.text = nats_json_text(nats_json_get(m->body, "reason"), reason, sizeof(reason));
	else
		op.text = span_of(st->words, (size_t)snprintf(st->words, sizeof(st->words),
						     "max deliveries %llu", (unsigned long long)n));
	nats_emit(st, &op);
}
