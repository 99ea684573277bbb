/*
 * Reads bytes as a conversation and plays it to a decoder, whose contract is checked as well as its memory.
 * Seeds are the fixtures: after 6 bytes, of which the first says what kind of beginning it is, records of
 * direction, length and bytes. A direction byte also says which connection (bits 1, 2 and 5), that a hole
 * is before the record (7; 6: of unknown size), that its beginning is offered byte by byte (3), and that
 * the decoder is asked only when there is what it needs (4).
 */
#ifndef EVTRACE_TESTS_FUZZ_CONVERSATION_H
#define EVTRACE_TESTS_FUZZ_CONVERSATION_H

#include "proto/feed.h"

#define FUZZ_CONNS 8
#define FUZZ_LIMIT 4096 /* of payloads */

struct fuzzed {
	const struct proto *p;
	unsigned conns;
	uint64_t secret_max;
	/* In the middle a boundary may be known: bit 5 of the first direction byte is not set. */
	bool may_be_aligned;
	/* Envelopes are kept as they came: they may be broken. */
	bool raw_envelope;
	/* What else an operation must not be. */
	bool (*bad)(const struct op *op);
	/* Optional: what else bytes from outside are read by. */
	void (*more)(struct span s);
};

struct fuzz_run {
	const struct fuzzed *z;
	uint64_t ids;
};

static inline uint64_t fuzz_op(void *ctx, struct op *op)
{
	struct fuzz_run *run = ctx;
	const struct proto *p = run->z->p;
	const struct span read[] = {op->vhost, op->exchange, op->routing_key, op->queue, op->consumer,
		op->type, op->log, op->mid, op->text, op->body};
	struct buf out = {0};

	if (op->ref > run->ids || op->len > (uint64_t)1 << 40 || op->pos + op->len < op->pos)
		abort();
	if (op->kind == OP_SEND && !(op->flags & (OPF_GAP | OPF_TRUNCATED)) && op->body.n != op->body_size)
		abort();
	if (run->z->bad(op))
		abort();
	/* What is rendered, hashed and edited is read to its end. */
	if (p->fields(op->envelope, put_field, &out) && !run->z->raw_envelope)
		abort();
	if (p->args && p->args(op->args, put_field, &out) && !run->z->raw_envelope)
		abort();
	p->stable_hash(op->envelope, 1);
	for (size_t i = 0; i < ARRAY_LEN(read); i++)
		buf_put_span(&out, read[i]);
	buf_free(&out);
	return ++run->ids;
}

/* A secret is the client's, and its beginning at least was seen. */
static inline void fuzz_secret(void *ctx, enum flowdir d, uint64_t pos, uint64_t n)
{
	struct fuzz_run *run = ctx;

	if (d != TO_SERVER || !n || n > run->z->secret_max || pos + n < pos)
		abort();
}

static inline void fuzz_play(struct feed *conns, unsigned n, struct span s)
{
	while (s.n >= 5) {
		size_t len = (size_t)s.p[1] << 24 | (size_t)s.p[2] << 16 | (size_t)s.p[3] << 8 | s.p[4];
		struct span part = span_sub(s, 5, len);
		enum flowdir d = s.p[0] & 1 ? TO_CLIENT : TO_SERVER;
		uint8_t how = s.p[0];
		struct feed *f = &conns[((how >> 1 & 3) | (how >> 3 & 4)) % n];

		s = span_sub(s, 5 + part.n, SIZE_MAX);
		if (how & 0x80)
			feed_gap(f, d, how & 0x40 ? 0 : how >> 1 & 0x1f);
		f->patient = how & 0x10;
		for (size_t k = 0; how & 0x08 && k < 128 && part.n; k++, part = span_sub(part, 1, SIZE_MAX))
			feed_bytes(f, d, span_sub(part, 0, 1));
		feed_bytes(f, d, part);
		if (f->log.n) /* PARSE_ERROR: never called again */
			break;
	}
}

static inline void fuzz_end(struct feed *f)
{
	struct proto_stats stats;

	if (f->bad)
		abort();
	f->p->stats(f->st, &stats);
	feed_end(f);
	f->opts.shared = NULL; /* other connections' as well */
	feed_free(f);
}

/* What the program does with bytes that are no conversation. */
static inline void fuzz_bytes(const struct fuzzed *z, struct span s, bool from_start)
{
	struct buf out = {0};

	z->p->fields(s, put_field, &out);
	if (z->p->args)
		z->p->args(s, put_field, &out);
	buf_free(&out);
	if (z->more)
		z->more(s);
	z->p->probe(span_sub(s, 0, s.n / 2), span_sub(s, s.n / 2, SIZE_MAX), from_start);
}

static inline int fuzz_conversation(const struct fuzzed *z, const uint8_t *data, size_t n)
{
	struct proto_opts opts = {.payload_limit = FUZZ_LIMIT};
	struct fuzz_run run = {.z = z};
	struct proto_out out = {.ctx = &run, .emit = fuzz_op, .secret = fuzz_secret};
	struct feed f[FUZZ_CONNS];
	bool from_start, lost;
	struct span s;

	if (n < 6)
		return 0;
	from_start = data[0] == 'E';
	s = span_sub(span_of(data, n), 6, SIZE_MAX);
	lost = !from_start && (!z->may_be_aligned || (s.n && s.p[0] & 0x20));
	fuzz_bytes(z, s, from_start);
	if (z->p->shared_new)
		opts.shared = z->p->shared_new();
	for (unsigned i = 0; i < z->conns; i++) {
		f[i] = (struct feed){.p = z->p, .opts = opts, .lost = {lost, lost}};
		f[i].st = z->p->state_new(&opts, &out, from_start);
	}
	fuzz_play(f, z->conns, s);
	for (unsigned i = 0; i < z->conns; i++)
		fuzz_end(&f[i]);
	if (z->p->shared_free)
		z->p->shared_free(opts.shared);
	return 0;
}

#endif
