/* The AMQP 0-9-1 decoder on any bytes, and the editor of its headers. */
#include "proto/amqp091.h"
#include "conversation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool bad_op(const struct op *op)
{
	return op->body.n > FUZZ_LIMIT || (op->body.n > op->body_size && op->body_size);
}

static bool drop_some(void *ctx, struct span name)
{
	(void)ctx;
	return name.n & 1;
}

/* Edited properties are properties again, and hash to the same once what was added is gone. */
static void edit(struct span s)
{
	struct buf once = {0}, out = {0};
	struct amqp091_props p;

	if (!amqp091_edit_headers(s, drop_some, NULL, "evtrace-replay-of", SPAN_LIT("m1"), &once) &&
		amqp091_props(buf_span(&once), &p))
		abort();
	if (!amqp091_edit_headers(s, NULL, NULL, "evtrace-replay-of", SPAN_LIT("m1"), &out) && !s.n)
		buf_clear(&out);
	buf_free(&once);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct fuzzed z = {.p = &proto_amqp091,
		.conns = 1,
		.secret_max = 16u << 20,
		.may_be_aligned = true,
		.raw_envelope = true,
		.bad = bad_op,
		.more = edit};

	return fuzz_conversation(&z, data, n);
}
