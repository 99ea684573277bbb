/* The NATS decoder on any bytes. */
#include "conversation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool bad_op(const struct op *op)
{
	if (op->body.n > FUZZ_LIMIT || op->body.n > op->body_size)
		return true;
	/* Stream and sequence come together, and only where something is kept. */
	return (op->mid.n && !op->log.n) || (op->kind == OP_RECEIVE && !op->mid.n != (op->dest != DEST_LOG));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct fuzzed z = {
		.p = &proto_nats, .conns = 1, .secret_max = 1 << 20, .may_be_aligned = true, .bad = bad_op};

	return fuzz_conversation(&z, data, n);
}
