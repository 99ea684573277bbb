/*
 * The Redis decoder on any bytes. Seeds are the fixtures: after 6 bytes, of which the first says what kind of
 * beginning it is, records of direction and connection, length and bytes. The top bits of a direction byte
 * put a hole before the record or offer its beginning byte by byte. Checks the decoder's contract as well as
 * its memory.
 */
#include "proto/feed.h"

#define LIMIT 4096
#define CONNS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t on_op(void *ctx, struct op *op)
{
	uint64_t *id = ctx;
	struct buf out = {0};

	if (op->ref > *id || op->len > (uint64_t)1 << 40 || op->pos + op->len < op->pos)
		abort();
	if ((op->kind == OP_SEND || op->kind == OP_RECEIVE) && !(op->flags & (OPF_GAP | OPF_TRUNCATED)) &&
		op->body.n != op->body_size)
		abort();
	if ((op->kind == OP_CONFIRM || op->kind == OP_RETURN) && !op->ref)
		abort();
	/* What is rendered and hashed is read to its end. */
	if (proto_redis.fields(op->envelope, put_field, &out))
		abort();
	proto_redis.stable_hash(op->envelope, 1);
	buf_put_span(&out, op->vhost);
	buf_put_span(&out, op->exchange);
	buf_put_span(&out, op->routing_key);
	buf_put_span(&out, op->queue);
	buf_put_span(&out, op->consumer);
	buf_put_span(&out, op->type);
	buf_put_span(&out, op->log);
	buf_put_span(&out, op->mid);
	buf_put_span(&out, op->text);
	buf_put_span(&out, op->body);
	buf_free(&out);
	return ++*id;
}

static void on_secret(void *ctx, enum flowdir d, uint64_t pos, uint64_t n)
{
	(void)ctx;
	if (d != TO_SERVER || !n || pos + n < pos)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proto_opts opts = {.payload_limit = LIMIT};
	uint64_t ids = 0;
	struct proto_out out = {&ids, on_op, on_secret};
	struct span s = span_of(data, n);
	struct proto_stats stats;
	struct feed f[CONNS];
	bool from_start, ended = false;

	if (n < 6)
		return 0;
	from_start = s.p[0] == 'E';
	s = span_sub(s, 6, SIZE_MAX);
	proto_redis.probe(span_sub(s, 0, n / 2), span_sub(s, n / 2, SIZE_MAX), from_start);
	opts.shared = proto_redis.shared_new();
	for (int i = 0; i < CONNS; i++) {
		f[i] = (struct feed){.p = &proto_redis};
		f[i].st = proto_redis.state_new(&opts, &out, from_start);
		f[i].lost[0] = f[i].lost[1] = !from_start;
	}
	while (s.n >= 5 && !ended) {
		size_t len = (size_t)s.p[1] << 24 | (size_t)s.p[2] << 16 | (size_t)s.p[3] << 8 | s.p[4];
		struct span part = span_sub(s, 5, len);
		enum flowdir d = s.p[0] & 1 ? TO_CLIENT : TO_SERVER;
		uint8_t how = s.p[0];
		struct feed *c = &f[(how >> 1 & 3) | (how >> 3 & 4)];

		s = span_sub(s, 5 + part.n, SIZE_MAX);
		if (how & 0x80)
			feed_gap(c, d, how & 0x40 ? 0 : how >> 1 & 0x1f);
		c->patient = how & 0x10;
		for (size_t k = 0; how & 0x08 && k < 128 && part.n; k++, part = span_sub(part, 1, SIZE_MAX))
			feed_bytes(c, d, span_sub(part, 0, 1));
		feed_bytes(c, d, part);
		ended = c->log.n; /* PARSE_ERROR: never called again */
	}
	for (int i = 0; i < CONNS; i++) {
		if (f[i].bad)
			abort();
		proto_redis.stats(f[i].st, &stats);
		feed_end(&f[i]);
		feed_free(&f[i]);
	}
	proto_redis.shared_free(opts.shared);
	return 0;
}
