/*
 * What properties and headers say: ids by which messages name each other, deaths, keys, and the identifiers
 * worth keeping. Names of headers: RabbitMQ's dead lettering and CC, W3C trace context, CloudEvents,
 * NServiceBus, MassTransit, Celery.
 */
#include <stdlib.h>
#include <strings.h>

#include "base/search.h"
#include "base/hash.h"
#include "correlate/model.h"

#define HEADER_PREFIX "header."

/* Says which message caused this one. */
static const char *const cause_names[] = {"NServiceBus.RelatedTo", "MT-InitiatorId", "causationid",
	"causation-id", "x-causation-id", "ce-causationid", "cloudEvents_causationid",
	"cloudEvents:causationid", "parent_id"};
/* Names this one, for others to refer to. */
static const char *const own_names[] = {
	"NServiceBus.MessageId", "MessageId", "id", "ce-id", "cloudEvents_id", "cloudEvents:id"};
/* Handed on unchanged from message to message. */
static const char *const travel_names[] = {"correlation-id", "x-correlation-id", "x-request-id",
	"correlationid", "ce-correlationid", "cloudEvents_correlationid", "cloudEvents:correlationid",
	"NServiceBus.ConversationId", "NServiceBus.CorrelationId", "ConversationId", "CorrelationId",
	"root_id", "kafka_correlationId"};
/* Never an identifier: how the message is to be handled, or what the broker noted. */
static const char *const no_ids[] = {"content-type", "content-encoding", "delivery-mode", "priority",
	"expiration", "timestamp", "type", "user-id", "app-id", "cluster-id", "reply-to", "CC", "BCC",
	"x-first-death-queue", "x-first-death-reason", "x-first-death-exchange", "x-last-death-queue",
	"x-last-death-reason", "x-last-death-exchange", "x-delivery-count", "x-acquired-count", "x-death",
	REPLAY_MARK, "traceparent", "tracestate", "source-log", "source-id", "source-exchange", "Nats-Stream",
	"Nats-Sequence", "Nats-Last-Sequence", "Nats-Time-Stamp", "Nats-Subject", "Nats-Stream-Source",
	"Nats-Batch-Sequence", "Nats-Batch-Commit", "Nats-Expected-Last-Sequence",
	"Nats-Expected-Last-Subject-Sequence", "Nats-TTL", "Nats-Incr"};

static bool one_of(struct span name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (name.n == strlen(names[i]) && !strncasecmp((const char *)name.p, names[i], name.n))
			return true;
	return false;
}

/* A copy that lives as long as the envelope; empty when there is no room. */
static struct span keep(struct envelope *e, struct span s)
{
	char *at = e->arena + e->used;

	if (!s.n || s.n > sizeof(e->arena) - e->used)
		return SPAN_EMPTY;
	memcpy(at, s.p, s.n);
	e->used += s.n;
	return span_of(at, s.n);
}

uint64_t parse_message_id(struct span text)
{
	uint64_t id = 0;
	size_t i = 1;

	if (text.n < 2 || text.p[0] != 'm')
		return 0;
	for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && id < UINT64_MAX / 100; i++)
		id = id * 10 + (text.p[i] - '0');
	return i > 1 && (i == text.n || text.p[i] == '.') ? id : 0;
}

/* --- x-death --- */

static bool number(struct span s, size_t *i, unsigned *ret)
{
	unsigned v = 0;
	size_t from = *i;

	while (*i < s.n && s.p[*i] >= '0' && s.p[*i] <= '9' && v < 100000)
		v = v * 10 + (s.p[(*i)++] - '0');
	*ret = v;
	return *i > from && *i < s.n && s.p[(*i)++] == ']';
}

/* @rest is what follows "x-death[" in the flattened name: "0].routing-keys[1]". */
static void read_death(struct envelope *e, struct span rest, const struct field *f)
{
	size_t i = 0;
	unsigned n;
	struct death *d;
	struct span key;

	if (!number(rest, &i, &n) || n >= MAX_DEATHS || i >= rest.n || rest.p[i] != '.')
		return;
	d = &e->deaths[n];
	if (n >= e->ndeaths)
		e->ndeaths = n + 1;
	key = span_sub(rest, i + 1, rest.n);
	if (span_is(key, "queue"))
		d->queue = keep(e, f->text);
	else if (span_is(key, "reason"))
		d->reason = keep(e, f->text);
	else if (span_is(key, "exchange"))
		d->exchange = keep(e, f->text);
	else if (span_is(key, "count") && f->type == FIELD_INT && f->i > 0)
		d->count = (uint64_t)f->i;
	else if (span_is(key, "time") && f->type == FIELD_TIME)
		d->time_s = f->i;
	else if (span_starts(key, "routing-keys[") && d->nkeys < ARRAY_LEN(d->keys))
		d->keys[d->nkeys++] = keep(e, f->text);
}

static bool read_death_field(void *ctx, const struct field *f)
{
	const char *prefix = HEADER_PREFIX "x-death[";

	if (span_starts(f->name, prefix))
		read_death(ctx, span_sub(f->name, strlen(prefix), f->name.n), f);
	return true;
}

static void sum_deaths(struct envelope *e)
{
	for (unsigned i = 0; i < e->ndeaths; i++) {
		uint64_t n = e->deaths[i].count ? e->deaths[i].count : 1;

		e->deaths[i].count = n;
		e->death_total += n < UINT32_MAX / MAX_DEATHS ? n : UINT32_MAX / MAX_DEATHS - 1;
	}
}

static void clear(struct envelope *e)
{
	memset(e, 0, offsetof(struct envelope, scratch));
}

void envelope_deaths(struct envelope *e, const struct proto *p, const struct op *op)
{
	clear(e);
	if (!p || !p->fields || !op->envelope.n || !memmem(op->envelope.p, op->envelope.n, "x-death", 7))
		return;
	p->fields(op->envelope, read_death_field, e);
	sum_deaths(e);
}

/* --- ids --- */

static bool known(const struct envelope *e, const struct identifier *id)
{
	for (unsigned i = 0; i < e->nids; i++)
		if (e->ids[i].hash == id->hash && span_eq(e->ids[i].name, id->name))
			return true;
	return false;
}

static void add_id(struct envelope *e, const struct identifier *id)
{
	struct identifier *to = &e->ids[e->nids];

	if (e->nids == MAX_IDENTIFIERS || known(e, id))
		return;
	*to = *id;
	to->name = keep(e, id->name);
	to->value = keep(e, id->value);
	if (to->value.n)
		e->nids++;
}

/* Classifies a value; true when it can join messages. *ret lives until the next value. */
static bool add_value(
	struct envelope *e, struct span name, struct span value, enum place place, struct identifier *ret)
{
	if (value.n > sizeof(e->scratch) ||
		!extract_value(name, value, place, e->scratch, sizeof(e->scratch), ret))
		return false;
	add_id(e, ret);
	return ret->cls == ID_JOIN;
}

static void add_travel(struct envelope *e, struct identifier id)
{
	if (e->ntravel == MAX_TRAVEL)
		return;
	id.name = keep(e, id.name);
	id.value = keep(e, id.value);
	if (id.value.n)
		e->travel[e->ntravel++] = id;
}

/* W3C trace context: version-traceid-parent-flags. The trace id travels, the rest is new at every hop. */
static void read_traceparent(struct envelope *e, struct span v)
{
	struct identifier id;
	struct span trace;

	if (v.n < 55 || v.p[2] != '-' || v.p[35] != '-' || v.p[52] != '-')
		return;
	trace = span_sub(v, 3, 32);
	e->trace_id = keep(e, trace);
	if (add_value(e, SPAN_LIT("traceparent"), trace, PLACE_HEADER, &id))
		add_travel(e, id);
}

/* Headers by which clients of Kafka say where they moved a message from (messaging.md 6.5). */
static const struct {
	const char *prefix;
	bool dead;
} moves[] = {
	{"kafka_dlt-original-", true},                            /* Spring */
	{"kafka_original-", false},                               /* its retry topics */
	{"__connect.errors.", true}, {"__streams.errors.", true}, /* KIP-1034 */
};

static bool read_moved(struct envelope *e, struct span name, struct span value)
{
	struct moved *m = &e->moved;

	if (span_is(name, "kafka_dlt-original-consumer-group")) {
		m->group = keep(e, value);
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(moves); i++) {
		struct span rest;

		if (!span_starts(name, moves[i].prefix))
			continue;
		rest = span_sub(name, strlen(moves[i].prefix), SIZE_MAX);
		if (span_is(rest, "topic"))
			m->topic = keep(e, value);
		else if (span_is(rest, "partition"))
			m->partition = keep(e, value);
		else if (span_is(rest, "offset"))
			m->offset = keep(e, value);
		m->dead |= moves[i].dead;
		return true;
	}
	return false;
}

static void read_property(struct envelope *e, struct span name, struct span value)
{
	if (span_is(name, "message-id"))
		e->message_id = keep(e, value);
	else if (span_is(name, "correlation-id"))
		e->correlation_id = keep(e, value);
	else if (span_is(name, "reply-to"))
		e->reply_to = keep(e, value);
	else if (span_is(name, "source-log"))
		e->source.log = keep(e, value);
	else if (span_is(name, "source-id"))
		e->source.mid = keep(e, value);
	else if (span_is(name, "source-exchange"))
		e->source.exchange = keep(e, value);
	else if (span_is(name, "content-type"))
		e->content_type = keep(e, value);
	else if (span_is(name, "content-encoding"))
		e->content_encoding = keep(e, value);
	else if (span_is(name, "score"))
		e->due = true;
}

static void read_header(struct envelope *e, struct span name, struct span value)
{
	if (span_starts(name, "CC[") || span_starts(name, "BCC[")) {
		if (e->ncc < MAX_KEYS - 1)
			e->cc[e->ncc++] = keep(e, value);
	} else if (span_is(name, REPLAY_MARK)) {
		e->replay_of = parse_message_id(value);
	} else if (span_is(name, "kafka_replyTopic")) {
		e->reply_to = keep(e, value);
	} else if (span_is(name, "kafka_correlationId")) {
		e->correlation_id = keep(e, value);
	} else if (read_moved(e, name, value)) {
		return;
	} else if (span_is(name, "traceparent")) {
		read_traceparent(e, value);
	} else if (one_of(name, cause_names, ARRAY_LEN(cause_names))) {
		e->cause_name = keep(e, name);
		e->cause = keep(e, value);
	} else if (span_eq_nocase(name, SPAN_LIT("content-type"))) {
		e->content_type = keep(e, value); /* where the protocol has no property for it */
	} else if (span_eq_nocase(name, SPAN_LIT("content-encoding"))) {
		e->content_encoding = keep(e, value);
	} else if (one_of(name, own_names, ARRAY_LEN(own_names)) && e->nown < ARRAY_LEN(e->own)) {
		e->own[e->nown++] = keep(e, value);
	}
}

static bool read_field(void *ctx, const struct field *f)
{
	struct envelope *e = ctx;
	bool header = span_starts(f->name, HEADER_PREFIX);
	struct span name = header ? span_sub(f->name, strlen(HEADER_PREFIX), f->name.n) : f->name;
	struct span stem = name;
	struct identifier id;

	if (header)
		read_header(e, name, f->text);
	else
		read_property(e, name, f->text);
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] == '[' || name.p[i] == '.') {
			stem = span_sub(name, 0, i);
			break;
		}
	if (header && span_is(stem, "x-death"))
		return read_death_field(e, f);
	if ((f->type != FIELD_TEXT && f->type != FIELD_INT) || one_of(stem, no_ids, ARRAY_LEN(no_ids)))
		return true;
	if (add_value(e, name, f->text, header ? PLACE_HEADER : PLACE_PROPERTY, &id) &&
		one_of(name, travel_names, ARRAY_LEN(travel_names)))
		add_travel(e, id);
	return true;
}

static bool read_body_id(void *ctx, const struct identifier *id)
{
	struct envelope *e = ctx;

	add_id(e, id);
	return e->nids < MAX_IDENTIFIERS;
}

void envelope_read(struct envelope *e, const struct proto *p, const struct op *op, bool identifiers)
{
	clear(e);
	if (p && p->fields && op->envelope.n)
		p->fields(op->envelope, read_field, e);
	sum_deaths(e);
	if (e->message_id.n && e->nown < ARRAY_LEN(e->own))
		e->own[e->nown++] = e->message_id;
	if (identifiers && op->body.n) {
		struct body_hints hints = {e->content_type, e->content_encoding};

		extract_body(op->body, &hints, read_body_id, e);
	}
}

/* --- values for comparing operations of one process --- */

uint64_t value_hash(enum value_kind kind, struct span text)
{
	return hash_span(text, kind);
}

static bool is_filler(uint8_t c)
{
	return c == '_' || c == '-' || c == '[' || c == ']';
}

/* Of the last name of a path, so that "order.id", "orderId" and "order_id" are one name: the last two parts
 * without signs, in lower case. */
uint32_t leaf_hash(struct span path)
{
	uint32_t h = 2166136261u;
	size_t from = path.n, dots = 0;

	while (from && dots < 2 && path.n - from < 64)
		dots += path.p[--from] == '.';
	for (size_t i = from; i < path.n; i++) {
		uint8_t ch = path.p[i];

		if (ch == '.' || is_filler(ch) || (ch >= '0' && ch <= '9'))
			continue;
		h = (h ^ (uint8_t)(ch >= 'A' && ch <= 'Z' ? ch | 0x20 : ch)) * 16777619u;
	}
	return h;
}

/* Once each: a value that stands in two places is no better for it. */
static void add(struct values *v, enum value_kind kind, struct span text, uint32_t leaf)
{
	uint64_t hash = value_hash(kind, text);

	for (uint32_t i = 0; i < v->n; i++)
		if (v->v[i].hash == hash)
			return;
	if (text.n)
		v->v[v->n++] = (struct value){hash, leaf, kind, text.n >= 12};
}

/* RabbitMQ's direct reply-to: the requester asks for the bare name, the broker adds who asked. */
uint64_t reply_address(struct span queue)
{
	static const char direct[] = "amq.rabbitmq.reply-to";

	return span_starts(queue, direct) ? hash_span(span_str(direct), 0) : hash_span(queue, 0);
}

struct values *values_of(const struct envelope *e, const struct op *op, uint64_t body_hash)
{
	struct values *v = malloc(sizeof(*v) + (MAX_IDENTIFIERS + 9) * sizeof(v->v[0])), *fit;

	if (!v)
		return NULL;
	*v = (struct values){.refs = 1};
	for (unsigned i = 0; i < e->nids; i++)
		if (e->ids[i].cls == ID_JOIN && !span_is(e->ids[i].name, "traceparent"))
			add(v, VALUE_ID, e->ids[i].value, leaf_hash(e->ids[i].name));
	for (unsigned i = 0; i < e->nown; i++)
		add(v, VALUE_OWN, e->own[i], 0);
	add(v, VALUE_ANSWER, e->correlation_id, 0);
	if (!span_eq(e->message_id, e->correlation_id))
		add(v, VALUE_ANSWER, e->message_id, 0);
	if (op->dest == DEST_CHANNEL)
		add(v, VALUE_ANSWER, e->reply_to, 0);
	add(v, VALUE_TRACE, e->trace_id, 0);
	/* Short bodies are alike by chance. */
	if (op->body_size >= 16)
		v->v[v->n++] = (struct value){hash_u64(body_hash ^ VALUE_BODY), 0, VALUE_BODY, 1};
	if (e->reply_to.n)
		v->reply_to = reply_address(e->reply_to);
	fit = realloc(v, sizeof(*v) + v->n * sizeof(v->v[0]));
	return fit ? fit : v;
}

void values_put(struct values *v)
{
	if (v && !--v->refs)
		free(v);
}
