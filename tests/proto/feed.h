/*
 * Feeds a decoder as stream and detect do: bytes that it leaves are offered again with more behind them, a
 * lost boundary is searched. Operations come out as lines of text, one each. Every span is offered from a
 * buffer of exactly its size, so that a sanitizer sees the first byte read too many.
 */
#ifndef EVTRACE_TESTS_PROTO_FEED_H
#define EVTRACE_TESTS_PROTO_FEED_H

#include <stdlib.h>

#include "base/buf.h"
#include "base/hash.h"
#include "proto/proto.h"

struct feed {
	const struct proto *p;
	struct proto_opts opts;
	void *st;
	struct buf log;
	uint64_t next_id;
	struct buf held[2];
	uint64_t pos[2];  /* of held[]'s first byte */
	size_t needed[2]; /* what the decoder said */
	bool lost[2];     /* resync is due */
	bool patient;     /* offer only when `needed` is there */
	bool bad;         /* the decoder broke its contract */
	bool secret;      /* "hunter2" was seen in an operation */
	bool quiet;       /* count operations, do not render */
	uint64_t ops;
	uint64_t not_understood[2]; /* bytes, as the decoder told */
	struct buf sent;            /* all that was fed to the server, if not quiet */
	struct buf
		secrets; /* by position: 0 no secret, 1 known as one with its byte or before, 2 known later */
	uint64_t begun;  /* position of the first byte that is being fed to the server */
};

static inline const char *kind_text(enum op_kind k)
{
	switch (k) {
	case OP_SEND:
		return "SEND";
	case OP_CONFIRM:
		return "CONFIRM";
	case OP_RETURN:
		return "RETURN";
	case OP_RECEIVE:
		return "RECEIVE";
	case OP_SETTLE:
		return "SETTLE";
	case OP_DELETE:
		return "DELETE";
	case OP_EXCHANGE_DECLARE:
		return "XDECLARE";
	case OP_EXCHANGE_DELETE:
		return "XDELETE";
	case OP_EXCHANGE_BIND:
		return "XBIND";
	case OP_EXCHANGE_UNBIND:
		return "XUNBIND";
	case OP_QUEUE_DECLARE:
		return "QDECLARE";
	case OP_QUEUE_DELETE:
		return "QDELETE";
	case OP_QUEUE_BIND:
		return "QBIND";
	case OP_QUEUE_UNBIND:
		return "QUNBIND";
	case OP_QUEUE_PURGE:
		return "QPURGE";
	case OP_SUBSCRIBE:
		return "SUBSCRIBE";
	case OP_UNSUBSCRIBE:
		return "UNSUBSCRIBE";
	case OP_ERROR:
		return "ERROR";
	case OP_LOGIN:
		return "LOGIN";
	case OP_CLUSTER:
		return "CLUSTER";
	}
	return "?";
}

static inline void put_flags(struct buf *b, uint32_t flags)
{
	static const char *const names[] = {"truncated", "gap", "redelivered", "no-ack", "mandatory",
		"negative", "passive", "tx", "durable", "exclusive", "auto-delete", "internal", "by-broker",
		"pulled", "many", "up-to", "stored", "reported", "unsure"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (flags & 1u << i)
			buf_printf(b, " %s", names[i]);
}

static inline void put_span(struct buf *b, const char *name, struct span s)
{
	if (s.n > 40)
		buf_printf(b, " %s=%zu:%016llx", name, s.n, (unsigned long long)hash_span(s, 0));
	else if (s.n)
		buf_printf(b, " %s=" SPAN_FMT, name, SPAN_ARG(s));
}

static inline bool put_field(void *ctx, const struct field *f)
{
	struct buf *b = ctx;

	buf_printf(b, " {" SPAN_FMT "=" SPAN_FMT "}", SPAN_ARG(f->name), SPAN_ARG(f->text));
	return true;
}

static inline bool holds(struct span s, const char *word)
{
	return s.n && memmem(s.p, s.n, word, strlen(word));
}

static inline uint64_t feed_emit(void *ctx, struct op *op)
{
	static const char *const settles[] = {"none", "ack", "requeue", "reject", "auto", "lost", "progress"};
	static const char *const dests[] = {"", " log", " channel", " call"};
	struct feed *f = ctx;
	struct buf *b = &f->log;
	uint64_t id = ++f->next_id;

	f->ops++;
	f->secret |=
		holds(op->text, "hunter2") || holds(op->envelope, "hunter2") || holds(op->args, "hunter2");
	if (f->quiet)
		return id;
	buf_printf(b, "%llu %s%s", (unsigned long long)id, kind_text(op->kind), dests[op->dest]);
	if (op->channel)
		buf_printf(b, " ch=%u", op->channel);
	put_span(b, "vhost", op->vhost);
	put_span(b, "ex", op->exchange);
	put_span(b, "key", op->routing_key);
	if (op->queue_known)
		buf_printf(b, " q=" SPAN_FMT, SPAN_ARG(op->queue));
	put_span(b, "consumer", op->consumer);
	put_span(b, "log", op->log);
	put_span(b, "mid", op->mid);
	if (op->delivery)
		buf_printf(b, " delivery=%u", op->delivery);
	put_span(b, "type", op->type);
	if (op->tag)
		buf_printf(b, " tag=%llu", (unsigned long long)op->tag);
	if (op->ref)
		buf_printf(b, " ref=%llu", (unsigned long long)op->ref);
	if (op->settle)
		buf_printf(b, " %s", settles[op->settle]);
	if (op->code)
		buf_printf(b, " code=%u", op->code);
	put_span(b, "text", op->text);
	put_flags(b, op->flags);
	if (op->body_size || op->body.n)
		buf_printf(b, " size=%llu", (unsigned long long)op->body_size);
	put_span(b, "body", op->body);
	if (f->p->fields(op->envelope, put_field, b))
		buf_puts(b, " {broken}");
	if (f->p->args && f->p->args(op->args, put_field, b))
		buf_puts(b, " {broken}");
	buf_putc(b, '\n');
	return id;
}

static inline void feed_secret(void *ctx, enum flowdir d, uint64_t pos, uint64_t n)
{
	struct feed *f = ctx;

	f->bad |= d != TO_SERVER || !n || n > 1 << 20 || pos + n < pos;
	while (!f->bad && f->secrets.n < pos + n)
		buf_putc(&f->secrets, 0);
	for (uint64_t i = pos; !f->bad && i < pos + n; i++)
		if (!f->secrets.p[i])
			f->secrets.p[i] = i < f->begun ? 2 : 1;
}

static inline void feed_told_gap(void *ctx, enum flowdir d, uint64_t n, const char *reason)
{
	struct feed *f = ctx;

	f->bad |= !n || !reason;
	f->not_understood[d] += n;
	if (!f->quiet)
		buf_printf(&f->log, "GAP %llu %s\n", (unsigned long long)n, reason);
}

static inline void feed_begin(struct feed *f, const struct proto *p, bool from_start, size_t payload_limit)
{
	struct proto_out out = {f, feed_emit, feed_secret, feed_told_gap};

	*f = (struct feed){.p = p, .opts = {.payload_limit = payload_limit}};
	if (p->shared_new)
		f->opts.shared = p->shared_new();
	f->st = p->state_new(&f->opts, &out, from_start);
	f->lost[0] = f->lost[1] = false;
}

static inline void feed_drop(struct feed *f, enum flowdir d, size_t n)
{
	if (n > f->held[d].n) {
		f->bad = true;
		n = f->held[d].n;
	}
	buf_shift(&f->held[d], n);
	f->pos[d] += n;
}

/* One call of the decoder; false when it wants more. */
static inline bool feed_step(struct feed *f, enum flowdir d)
{
	size_t n = f->held[d].n;
	uint8_t *exact;
	bool again = false;

	if (!n || (f->patient && n < f->needed[d]))
		return false;
	exact = malloc(n);
	memcpy(exact, f->held[d].p, n);
	if (f->lost[d]) {
		int64_t at = f->p->resync(f->st, d, f->pos[d], span_of(exact, n));

		if (at >= 0) {
			feed_drop(f, d, (size_t)at);
			f->lost[d] = false;
			f->needed[d] = 0;
			again = f->held[d].n > 0;
		} else if (n > proto_resync_tail(f->p, d)) {
			feed_drop(f, d, n - proto_resync_tail(f->p, d));
		}
	} else {
		struct parse_result r = f->p->parse(f->st, d, f->pos[d], span_of(exact, n));

		/* It said that less would make no sense: then it must not have taken any. */
		if (n < f->needed[d] && r.consumed)
			f->bad = true;
		feed_drop(f, d, r.consumed);
		f->needed[d] = r.needed ? f->held[d].n + r.needed : 0;
		f->lost[d] = r.status == PARSE_LOST;
		if (r.status == PARSE_ERROR)
			buf_puts(&f->log, "PARSE_ERROR\n");
		if (r.status == PARSE_UNREAD)
			buf_puts(&f->log, "PARSE_UNREAD\n");
		again = f->lost[d] || (r.consumed && f->held[d].n && !r.needed);
	}
	free(exact);
	return again;
}

static inline void feed_bytes(struct feed *f, enum flowdir d, struct span s)
{
	if (d == TO_SERVER) {
		f->begun = f->pos[d] + f->held[d].n;
		if (!f->quiet)
			buf_put_span(&f->sent, s);
	}
	buf_put_span(&f->held[d], s);
	while (feed_step(f, d))
		;
}

static inline void feed_gap(struct feed *f, enum flowdir d, uint64_t n)
{
	uint64_t pos = f->pos[d] + f->held[d].n;

	f->p->gap(f->st, d, pos, n);
	buf_clear(&f->held[d]);
	f->pos[d] = pos + n;
	f->lost[d] = true;
	f->needed[d] = 0;
}

static inline void feed_end(struct feed *f)
{
	f->p->closed(f->st);
	f->p->state_free(f->st);
	f->st = NULL;
}

static inline void feed_free(struct feed *f)
{
	f->p->state_free(f->st);
	if (f->p->shared_free)
		f->p->shared_free(f->opts.shared);
	buf_free(&f->log);
	buf_free(&f->sent);
	buf_free(&f->secrets);
	buf_free(&f->held[0]);
	buf_free(&f->held[1]);
}

#endif
