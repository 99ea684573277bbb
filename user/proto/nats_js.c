/*
 * JetStream over core NATS: deliveries out of a stream carry their acknowledgement subject as reply, which
 * says stream, consumer, sequence and count; acknowledgements are publishes to it, from whatever connection.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/timefmt.h"
#include "proto/nats_state.h"

/* --- who reads --- */

static struct reader *reader_new(struct nats *st, struct sub *s, struct span stream, struct span consumer)
{
	struct reader *r;

	if (st->readers_n >= READERS_MAX || stream.n + consumer.n > NAMES_MAX)
		return NULL;
	r = malloc(sizeof(*r) + stream.n + consumer.n);
	if (!r)
		return NULL;
	r->key = hash_span(consumer, hash_span(stream, 0));
	r->stream_n = (uint16_t)stream.n;
	r->consumer_n = (uint16_t)consumer.n;
	memcpy(r->names, stream.p, stream.n);
	memcpy(r->names + stream.n, consumer.p, consumer.n);
	if (map_put_ptr(&st->readers, r->key, r)) {
		free(r);
		return NULL;
	}
	r->next = s->readers;
	s->readers = r;
	st->readers_n++;
	return r;
}

/* This connection reads for the consumer, by subscription @s. */
static void reads_for(struct nats *st, struct sub *s, struct span stream, struct span consumer)
{
	struct op op = nats_op(OP_SUBSCRIBE, DEST_LOG);
	const struct js_consumer *c;

	if (!s || map_get(&st->readers, hash_span(consumer, hash_span(stream, 0))) ||
		!reader_new(st, s, stream, consumer))
		return;
	c = nats_consumer(st->shared, st->opts.server, stream, consumer, false);
	if (c) {
		op.exchange = span_of(c->filter, c->filter_n);
		op.code = c->max_pending;
		op.flags = c->policy == ACK_NONE ? OPF_NO_ACK : 0;
	}
	op.log = stream;
	op.queue = consumer;
	op.queue_known = true;
	op.consumer = span_of(s->text, s->sid_n);
	nats_emit(st, &op);
}

void nats_js_sub_gone(struct nats *st, struct sub *s)
{
	while (s->readers) {
		struct reader *r = s->readers;
		struct op op = nats_op(OP_UNSUBSCRIBE, DEST_LOG);

		op.log = span_of(r->names, r->stream_n);
		op.queue = span_of(r->names + r->stream_n, r->consumer_n);
		op.queue_known = true;
		op.consumer = span_of(s->text, s->sid_n);
		nats_emit(st, &op);
		map_del(&st->readers, r->key);
		st->readers_n--;
		s->readers = r->next;
		free(r);
	}
}

/* --- deliveries --- */

/* A consumer with headers_only hands on the size in place of the body. */
static void headers_only(const struct nats_msg *m, struct op *op)
{
	struct span rest, name, value;
	struct status status;
	uint64_t size;

	if (m->body_size || !m->header.n || !nats_header_begin(m->header, &status, &rest))
		return;
	while (nats_header_next(&rest, &name, &value))
		if (span_is(name, "Nats-Msg-Size") && nats_decimal(value, NATS_PAYLOAD_MAX, &size) && size) {
			op->body_size = size;
			op->flags |= OPF_TRUNCATED;
		}
}

static void saw_seq(struct nats *st, struct span stream, uint64_t seq)
{
	struct js_stream *s = nats_stream(st->shared, st->opts.server, stream, true);

	if (s && seq > s->last_seq)
		s->last_seq = seq;
}

bool nats_js_deliver(struct nats *st, const struct nats_msg *m, struct sub *s)
{
	struct op op = nats_op(OP_RECEIVE, DEST_LOG), settle;
	const struct js_consumer *c;
	struct js_ack ack;
	uint64_t id;

	if (!nats_js_ack(m->l->reply, &ack))
		return false;
	reads_for(st, s, ack.stream, ack.consumer);
	c = nats_consumer(st->shared, st->opts.server, ack.stream, ack.consumer, false);
	op.exchange = m->l->subject;
	op.log = ack.stream;
	op.mid = ack.seq;
	op.queue = ack.consumer;
	op.queue_known = true;
	op.consumer = m->l->sid;
	op.delivery = (uint32_t)ack.delivered;
	op.envelope = nats_envelope(st, m, &ack);
	op.body = m->body;
	op.body_size = m->body_size;
	op.flags = m->flags;
	if (ack.delivered > 1)
		op.flags |= OPF_REDELIVERED;
	if (c && c->policy == ACK_NONE)
		op.flags |= OPF_NO_ACK;
	if (s && s->pulls)
		op.flags |= OPF_PULLED;
	headers_only(m, &op);
	id = nats_emit(st, &op);
	st->stats.messages++;
	saw_seq(st, ack.stream, ack.seq_n);
	if (c && c->policy == ACK_NONE) {
		settle = nats_op(OP_SETTLE, DEST_LOG);
		settle.ref = id;
		settle.settle = SETTLE_AUTO;
		settle.log = op.log;
		settle.mid = op.mid;
		settle.queue = op.queue;
		settle.queue_known = true;
		settle.consumer = op.consumer;
		nats_emit(st, &settle);
	} else {
		pending_add(&st->got, m->l->reply, PENDING_DELIVERY, id, NULL);
	}
	if (span_starts(m->l->subject, "$JS.EVENT."))
		nats_advisory(st, m);
	return true;
}

/* --- acknowledgements --- */

/* What the body of an acknowledgement says, as the server reads it; SETTLE_NONE: it pays no heed. */
static enum settle ack_kind(struct span body, struct span *rest)
{
	static const struct {
		const char *word;
		enum settle settle;
		bool more; /* something may follow */
	} words[] = {
		{"+ACK", SETTLE_ACK, false},
		{"+OK", SETTLE_ACK, false},
		{"+NXT", SETTLE_ACK, true},
		{"-NAK", SETTLE_REQUEUE, true},
		{"+WPI", SETTLE_PROGRESS, false},
		{"+TERM", SETTLE_REJECT, true},
	};

	*rest = SPAN_EMPTY;
	if (!body.n)
		return SETTLE_ACK;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i].word);

		if (!span_starts(body, words[i].word) || (body.n > n && !words[i].more))
			continue;
		*rest = span_sub(body, n, SIZE_MAX);
		while (rest->n && (rest->p[0] == ' ' || rest->p[0] == '\t'))
			*rest = span_sub(*rest, 1, SIZE_MAX);
		return words[i].settle;
	}
	return SETTLE_NONE;
}

static struct span delay_text(struct nats *st, struct span json)
{
	char ago[40];
	uint64_t ns;
	int n;

	if (!nats_json_u64(nats_json_get(json, "delay"), &ns) || ns > INT64_MAX)
		return SPAN_EMPTY;
	fmt_duration(ago, sizeof(ago), (int64_t)ns);
	n = snprintf(st->words, sizeof(st->words), "delay %s", ago);
	return span_of(st->words, (size_t)n);
}

/* Given back on the last delivery that the consumer allows: the server does not deliver it again. It tells so
 * only those who listen to its advisories. */
static void given_up(struct nats *st, struct op op, const struct js_consumer *c, const struct js_ack *ack)
{
	int n;

	if (!c->max_deliver || ack->delivered < c->max_deliver)
		return;
	n = snprintf(st->words, sizeof(st->words), "max deliveries %u", c->max_deliver);
	op.settle = SETTLE_REJECT;
	op.text = span_of(st->words, (size_t)n);
	op.ref = 0;
	op.flags |= OPF_BY_BROKER;
	nats_emit(st, &op);
}

static void acknowledge(struct nats *st, const struct nats_msg *m, const struct js_ack *ack)
{
	struct op op = nats_op(OP_SETTLE, DEST_LOG);
	const struct pending *got = pending_find(&st->got, m->l->subject);
	const struct js_consumer *c =
		nats_consumer(st->shared, st->opts.server, ack->stream, ack->consumer, false);
	struct span rest;

	op.settle = ack_kind(m->body, &rest);
	if (op.settle == SETTLE_NONE || (c && c->policy == ACK_NONE))
		return;
	op.ref = got ? got->id : 0;
	op.log = ack->stream;
	op.mid = ack->seq;
	op.queue = ack->consumer;
	op.queue_known = true;
	op.delivery = (uint32_t)ack->delivered;
	op.flags = m->flags & OPF_GAP;
	if (op.settle == SETTLE_REQUEUE)
		op.text = delay_text(st, rest);
	else if (op.settle == SETTLE_REJECT)
		op.text = rest;
	if (op.settle == SETTLE_ACK && c && c->policy == ACK_ALL) {
		/* It stands for all before it as well. */
		op.flags |= OPF_UP_TO;
		op.ref = 0;
		op.delivery = 0;
		op.mid = span_of(st->number, (size_t)snprintf(st->number, sizeof(st->number), "%llu",
						     (unsigned long long)ack->seq_n + 1));
	}
	nats_emit(st, &op);
	if (op.settle == SETTLE_REQUEUE && c)
		given_up(st, op, c, ack);
}

/* --- publishes that are no messages --- */

static void pull(struct nats *st, const struct nats_msg *m, struct span stream, struct span consumer)
{
	struct sub *s = nats_sub_of_subject(st, m->l->reply);

	if (s)
		s->pulls = true;
	if (stream.n && consumer.n)
		reads_for(st, s, stream, consumer);
}

bool nats_js_publish(struct nats *st, const struct nats_msg *m)
{
	struct span subject = m->l->subject, stream, consumer;
	struct js_ack ack;
	enum api api;
	bool dollar = subject.p[0] == '$';

	if (!dollar && !m->l->reply.n)
		return false;
	if (dollar ? nats_js_api(subject, &api, &stream, &consumer)
		   : nats_js_prefixed(subject, m->body, &api, &stream, &consumer)) {
		nats_api_request(st, m, api, stream, consumer);
		if (api == API_NEXT)
			pull(st, m, stream, consumer);
		return true;
	}
	if (!dollar || (!span_starts(subject, "$JS.") && !span_starts(subject, "$SYS.")))
		return false;
	if (nats_js_ack(subject, &ack))
		acknowledge(st, m, &ack);
	/* What the server answers, to an acknowledgement too, is no message. */
	if (m->l->reply.n)
		pending_add(&st->asked, m->l->reply, PENDING_API, 0, NULL);
	return true;
}
