/*
 * The Kafka decoder on any bytes. Seeds are the fixtures: after 6 bytes, of which the first says what kind of
 * beginning it is, records of direction, length and bytes. The top bits of a direction byte put a hole before
 * the record or offer its beginning byte by byte. Checks the decoder's contract as well as its memory.
 */
#include "proto/feed.h"

#define LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t on_op(void *ctx, struct op *op)
{
	uint64_t *id = ctx;
	struct buf out = {0};

	if (op->body.n > LIMIT || op->body.n > op->body_size || op->ref > *id || op->len > (uint64_t)1 << 40)
		abort();
	if (op->kind == OP_SEND && !(op->flags & (OPF_GAP | OPF_TRUNCATED)) && op->body.n != op->body_size)
		abort();
	/* What is rendered and hashed is read to its end. */
	if (proto_kafka.fields(op->envelope, put_field, &out) || proto_kafka.args(op->args, put_field, &out))
		abort();
	proto_kafka.stable_hash(op->envelope, 1);
	buf_free(&out);
	return ++*id;
}

/* A secret lies in one frame of the client's, of which the beginning at least was seen. */
static void on_secret(void *ctx, enum flowdir d, uint64_t pos, uint64_t n)
{
	(void)ctx;
	if (d != TO_SERVER || !n || n > 128u << 20 || pos + n < pos)
		abort();
}

static void play(struct feed *f, struct span s)
{
	while (s.n >= 5) {
		size_t len = (size_t)s.p[1] << 24 | (size_t)s.p[2] << 16 | (size_t)s.p[3] << 8 | s.p[4];
		struct span part = span_sub(s, 5, len);
		enum flowdir d = s.p[0] & 1 ? TO_CLIENT : TO_SERVER;
		uint8_t how = s.p[0];

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proto_opts opts = {.payload_limit = LIMIT};
	uint64_t ids = 0;
	struct proto_out out = {&ids, on_op, on_secret};
	struct span s = span_of(data, n);
	struct buf fields = {0};
	struct feed f = {.p = &proto_kafka};
	bool from_start;

	if (n < 6)
		return 0;
	from_start = s.p[0] == 'E';
	s = span_sub(s, 6, SIZE_MAX);
	proto_kafka.fields(s, put_field, &fields);
	buf_free(&fields);
	proto_kafka.probe(span_sub(s, 0, n / 2), span_sub(s, n / 2, SIZE_MAX), from_start);
	opts.shared = proto_kafka.shared_new();
	f.opts.shared = opts.shared;
	f.st = proto_kafka.state_new(&opts, &out, from_start);
	f.lost[0] = f.lost[1] = !from_start;
	play(&f, s);
	if (f.bad)
		abort();
	feed_end(&f);
	feed_free(&f);
	return 0;
}
