/*
 * Core NATS: what is published, delivered and subscribed to. A publish with a reply subject is remembered by
 * it, for whoever answers: a stream, a server without anybody to hand the request to, or another client.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/nats_state.h"

/* --- envelopes --- */

/* Copies that the server makes say of what: a republished message in three headers, one out of a stream that
 * another one has as its source in "STREAM SEQUENCE ...". A source of another domain has ':' in its name. */
struct origin {
	struct span stream, seq, subject;
};

static void read_origin(struct origin *o, struct span name, struct span value)
{
	const uint8_t *blank = value.n ? memchr(value.p, ' ', value.n) : NULL;

	if (span_is(name, "Nats-Stream")) {
		o->stream = value;
	} else if (span_is(name, "Nats-Sequence")) {
		o->seq = value;
	} else if (span_is(name, "Nats-Subject")) {
		o->subject = value;
	} else if (span_is(name, "Nats-Stream-Source") && blank) {
		o->stream = span_of(value.p, (size_t)(blank - value.p));
		value = span_sub(value, o->stream.n + 1, SIZE_MAX);
		blank = value.n ? memchr(value.p, ' ', value.n) : NULL;
		o->seq = blank ? span_of(value.p, (size_t)(blank - value.p)) : value;
		if (memchr(o->stream.p, ':', o->stream.n))
			o->stream = SPAN_EMPTY;
	}
}

static void put_origin(struct buf *b, const struct origin *o)
{
	uint64_t n;

	if (!o->stream.n || !nats_decimal(o->seq, UINT64_MAX, &n))
		return;
	pairs_property(b, "source-log", o->stream);
	pairs_property(b, "source-id", o->seq);
	if (o->subject.n)
		pairs_property(b, "source-exchange", o->subject);
}

static void put_headers(struct buf *b, struct span block, struct origin *o)
{
	struct span rest, name, value;
	struct status status;

	if (!nats_header_begin(block, &status, &rest))
		return;
	if (status.code) {
		pairs_property(b, "status", status.text);
		if (status.description.n)
			pairs_property(b, "description", status.description);
	}
	while (nats_header_next(&rest, &name, &value)) {
		if (span_is(name, "Nats-Msg-Id"))
			pairs_property(b, "message-id", value);
		read_origin(o, name, value);
		pairs_header(b, name, value);
	}
}

struct span nats_envelope(struct nats *st, const struct nats_msg *m, const struct js_ack *ack)
{
	struct buf *b = &st->envelope;
	struct origin o = {0};

	pairs_begin(b);
	if (ack) {
		struct pair p = {.type = FIELD_TIME, .name = SPAN_LIT("timestamp")};
		const struct js_stream *s = nats_stream(st->shared, st->opts.server, ack->stream, false);

		p.value = ack->time;
		pairs_add(b, &p);
		if (s && s->mirror_n)
			o = (struct origin){span_of(s->mirror, s->mirror_n), ack->seq, SPAN_EMPTY};
	} else if (m->l->reply.n) {
		pairs_property(b, "reply-to", m->l->reply);
	}
	put_headers(b, m->header, &o);
	put_origin(b, &o);
	if (!buf_ok(b)) {
		buf_free(b);
		*b = (struct buf){0};
		return SPAN_EMPTY;
	}
	return b->n > 1 ? buf_span(b) : SPAN_EMPTY;
}

/* --- subscriptions --- */

static struct span sub_sid(const struct sub *s)
{
	return span_of(s->text, s->sid_n);
}

static struct span sub_queue(const struct sub *s)
{
	return span_of(s->text + s->sid_n, s->queue_n);
}

static struct span sub_subject(const struct sub *s)
{
	return span_of(s->text + s->sid_n + s->queue_n, s->subject_n);
}

static struct op sub_op(enum op_kind kind, const struct sub *s)
{
	struct op op = nats_op(kind, DEST_CHANNEL);

	op.exchange = sub_subject(s);
	op.queue = sub_queue(s);
	op.queue_known = s->queue_n > 0;
	op.consumer = sub_sid(s);
	if (nats_is_inbox(op.exchange))
		op.flags = OPF_EXCLUSIVE | OPF_AUTO_DELETE;
	return op;
}

static struct sub *sub_find(const struct nats *st, struct span sid)
{
	return map_ptr(&st->subs, nats_key(sid));
}

static void sub_drop(struct nats *st, struct sub *s)
{
	if (map_ptr(&st->subs_by_subject, s->subject_key) == s)
		map_del(&st->subs_by_subject, s->subject_key);
	map_del(&st->subs, s->sid_key);
	nats_js_sub_gone(st, s);
	st->sub_bytes -= sizeof(*s) + s->sid_n + s->queue_n + s->subject_n;
	free(s);
}

static struct sub *sub_new(struct nats *st, struct span sid, struct span queue, struct span subject)
{
	size_t n = sizeof(struct sub) + sid.n + queue.n + subject.n;
	struct sub *s;

	if (st->subs.n >= SUBS_MAX || st->sub_bytes + n > SUB_BYTES_MAX || sid.n > UINT16_MAX ||
		queue.n > UINT16_MAX)
		return NULL;
	s = calloc(1, n);
	if (!s)
		return NULL;
	s->sid_n = (uint16_t)sid.n;
	s->queue_n = (uint16_t)queue.n;
	s->subject_n = (uint32_t)subject.n;
	memcpy(s->text, sid.p, sid.n);
	if (queue.n)
		memcpy(s->text + sid.n, queue.p, queue.n);
	if (subject.n)
		memcpy(s->text + sid.n + queue.n, subject.p, subject.n);
	s->sid_key = nats_key(sid);
	s->subject_key = nats_key(subject);
	if (map_put_ptr(&st->subs, s->sid_key, s)) {
		free(s);
		return NULL;
	}
	if (subject.n)
		map_put_ptr(&st->subs_by_subject, s->subject_key, s);
	st->sub_bytes += n;
	return s;
}

void nats_sub(struct nats *st, const struct line *l)
{
	struct sub *s = sub_find(st, l->sid);
	struct op op;

	nats_expect_ok(st, 0);
	if (s && s->known && span_eq(sub_subject(s), l->subject) && span_eq(sub_queue(s), l->queue))
		return;
	if (s)
		sub_drop(st, s);
	s = sub_new(st, l->sid, l->queue, l->subject);
	if (!s) {
		st->stats.errors++;
		return;
	}
	s->known = true;
	op = sub_op(OP_SUBSCRIBE, s);
	nats_emit(st, &op);
}

static void sub_ends(struct nats *st, struct sub *s)
{
	struct op op = sub_op(OP_UNSUBSCRIBE, s);

	nats_emit(st, &op);
	sub_drop(st, s);
}

void nats_unsub(struct nats *st, const struct line *l)
{
	struct sub *s = sub_find(st, l->sid);

	nats_expect_ok(st, 0);
	if (!s && !l->max) {
		struct op op = nats_op(OP_UNSUBSCRIBE, DEST_CHANNEL);

		op.consumer = l->sid;
		nats_emit(st, &op);
		return;
	}
	if (!s)
		s = sub_new(st, l->sid, SPAN_EMPTY, SPAN_EMPTY);
	if (!s)
		return;
	s->max = l->max;
	/* Where its beginning was not seen, `delivered` is too small: it ends later than it did, or never. */
	if (s->max <= s->delivered)
		sub_ends(st, s);
}

struct sub *nats_sub_of_subject(struct nats *st, struct span subject)
{
	struct sub *s = map_ptr(&st->subs_by_subject, nats_key(subject));
	char wild[256];
	size_t n = subject.n;

	if (s)
		return s;
	/* Clients have one subscription for all replies: "_INBOX.id.*". */
	while (n && subject.p[n - 1] != '.')
		n--;
	if (!n || n >= sizeof(wild))
		return NULL;
	memcpy(wild, subject.p, n);
	wild[n] = '*';
	return map_ptr(&st->subs_by_subject, nats_key(span_of(wild, n + 1)));
}

/* --- publish --- */

static void asked(struct nats *st, const struct nats_msg *m, uint64_t id, uint64_t batch)
{
	struct pending *p;

	if (!m->l->reply.n)
		return;
	p = pending_add(&st->asked, m->l->reply, PENDING_SEND, id, NULL);
	if (p)
		p->batch = batch;
}

void nats_publish(struct nats *st, const struct nats_msg *m)
{
	struct op op = nats_op(OP_SEND, DEST_CHANNEL);
	struct batch_part part;
	bool batch = nats_batch_part(st, m, &part);
	uint64_t id = 0;

	if (nats_js_publish(st, m)) {
		nats_expect_ok(st, 0);
		return;
	}
	if (batch && !part.kept) {
		asked(st, m, 0, part.key);
		nats_expect_ok(st, 0);
		return;
	}
	op.exchange = m->l->subject;
	op.envelope = nats_envelope(st, m, NULL);
	op.body = m->body;
	op.body_size = m->body_size;
	op.flags = m->flags | (batch && !part.fast ? OPF_TX : 0);
	id = nats_emit(st, &op);
	st->stats.messages++;
	if (batch)
		nats_batch_sent(st, &part, id);
	asked(st, m, id, batch ? part.key : 0);
	if (st->allowed && m->l->total > st->allowed)
		st->too_large = id;
	st->sends[st->sends_at].key = nats_key(m->l->subject);
	st->sends[st->sends_at].id = id;
	st->sends_at = (st->sends_at + 1) % SENDS_MAX;
	nats_expect_ok(st, id);
}

/* --- deliver --- */

/* A line of the server's in place of a message: no responders, the end of a batch, a heartbeat. */
static bool status_message(struct nats *st, const struct nats_msg *m)
{
	struct span rest, name, value;
	struct status status;
	const struct pending *asked;

	if (!m->header.n || m->body_size || !nats_header_begin(m->header, &status, &rest) || !status.code)
		return false;
	while (nats_header_next(&rest, &name, &value))
		if (!span_starts(name, "Nats-") && !span_is(name, "Description"))
			return false;
	asked = pending_find(&st->asked, m->l->subject);
	if (status.code == 503 && asked && asked->kind == PENDING_SEND) {
		struct op op = nats_op(OP_RETURN, DEST_CHANNEL);

		op.ref = asked->id;
		op.code = status.code;
		op.text = SPAN_LIT("no responders");
		nats_emit(st, &op);
	}
	return true;
}

/* Between clients and the server, and told by it: nothing that a client sent as a message. */
static bool system_message(struct nats *st, const struct nats_msg *m)
{
	struct span subject = m->l->subject, rest, name, value;
	const struct pending *asked = pending_find(&st->asked, subject);
	struct status status;

	if (span_starts(subject, "$JS.EVENT.")) {
		nats_advisory(st, m);
		return true;
	}
	if (span_starts(subject, "$JS.") || span_starts(subject, "$SYS."))
		return true;
	if (asked && asked->kind == PENDING_API) {
		nats_api_reply(st, m, asked);
		return true;
	}
	if (!asked && !nats_is_inbox(subject))
		return false;
	if (nats_api_reply(st, m, asked))
		return true;
	if (asked)
		return false;
	/* Asked for before we came: the answer to an acknowledgement, or a direct get. */
	if (st->attached && !m->header.n && !m->body_size)
		return true;
	if (!nats_header_begin(m->header, &status, &rest))
		return false;
	while (nats_header_next(&rest, &name, &value))
		if (span_is(name, "Nats-Sequence"))
			return true;
	return false;
}

static void receive(struct nats *st, const struct nats_msg *m, const struct sub *s)
{
	struct op op = nats_op(OP_RECEIVE, DEST_CHANNEL), settle = nats_op(OP_SETTLE, DEST_CHANNEL);

	op.exchange = m->l->subject;
	op.consumer = m->l->sid;
	if (s && s->queue_n) {
		op.queue = sub_queue(s);
		op.queue_known = true;
	}
	op.envelope = nats_envelope(st, m, NULL);
	op.body = m->body;
	op.body_size = m->body_size;
	op.flags = m->flags;
	settle.settle = SETTLE_AUTO;
	settle.ref = nats_emit(st, &op);
	settle.exchange = op.exchange;
	settle.queue = op.queue;
	settle.queue_known = op.queue_known;
	settle.consumer = op.consumer;
	nats_emit(st, &settle);
	st->stats.messages++;
}

void nats_deliver(struct nats *st, const struct nats_msg *m)
{
	struct sub *s = sub_find(st, m->l->sid);
	uint64_t n;

	/* Clients number their subscriptions. Servers among themselves write an account's name or a subject
	 * in the sid's place. */
	if (st->attached && !nats_decimal(m->l->sid, UINT64_MAX, &n)) {
		st->link = true;
		return;
	}
	if (!s)
		s = sub_new(st, m->l->sid, SPAN_EMPTY, SPAN_EMPTY);
	if (!nats_js_deliver(st, m, s) && !status_message(st, m) && !system_message(st, m))
		receive(st, m, s);
	if (s && ++s->delivered == s->max)
		sub_ends(st, s);
}

/* --- what the server says to single lines --- */

void nats_expect_ok(struct nats *st, uint64_t id)
{
	if (!st->oks.on)
		return;
	if (!st->oks.ids)
		st->oks.ids = malloc(OKS_MAX * sizeof(*st->oks.ids));
	if (!st->oks.ids || st->oks.n == OKS_MAX) {
		st->oks.on = false;
		return;
	}
	st->oks.ids[(st->oks.head + st->oks.n++) % OKS_MAX] = id;
}

static uint64_t next_ok(struct nats *st)
{
	uint64_t id;

	if (!st->oks.on || !st->oks.n)
		return 0;
	id = st->oks.ids[st->oks.head];
	st->oks.head = (st->oks.head + 1) % OKS_MAX;
	st->oks.n--;
	return id;
}

void nats_ok(struct nats *st)
{
	struct op op = nats_op(OP_CONFIRM, DEST_CHANNEL);

	op.ref = next_ok(st);
	if (op.ref)
		nats_emit(st, &op);
}

/* The newest publish to @subject. */
static uint64_t send_to(const struct nats *st, struct span subject)
{
	uint64_t key = nats_key(subject);

	for (unsigned i = 1; i <= SENDS_MAX; i++) {
		unsigned at = (st->sends_at + SENDS_MAX - i) % SENDS_MAX;

		if (st->sends[at].id && st->sends[at].key == key)
			return st->sends[at].id;
	}
	return 0;
}

void nats_error(struct nats *st, struct span text)
{
	static const char refused[] = "Permissions Violation for Publish to \"";
	struct op op = nats_op(OP_ERROR, DEST_CHANNEL);

	if (text.n >= 2 && text.p[0] == '\'' && text.p[text.n - 1] == '\'')
		text = span_sub(text, 1, text.n - 2);
	op.text = text;
	if (span_starts(text, "Permissions Violation")) {
		/* It stands in place of +OK. */
		next_ok(st);
		if (span_starts(text, refused)) {
			struct span subject = span_sub(text, sizeof(refused) - 1, SIZE_MAX);

			subject.n -= subject.n > 0;
			op.exchange = subject;
			op.ref = send_to(st, subject);
		}
	} else if (span_starts(text, "Maximum Payload Violation")) {
		op.ref = st->too_large;
	}
	if (op.ref) {
		op.kind = OP_CONFIRM;
		op.flags = OPF_NEGATIVE;
	}
	nats_emit(st, &op);
}

void nats_core_free(struct nats *st)
{
	map_for_each (&st->subs, slot) {
		struct sub *s = (struct sub *)(uintptr_t)slot->val;

		while (s->readers) {
			struct reader *r = s->readers;

			s->readers = r->next;
			free(r);
		}
		free(s);
	}
	map_free(&st->subs);
	map_free(&st->subs_by_subject);
	map_free(&st->readers);
	free(st->oks.ids);
}
