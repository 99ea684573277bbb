/* The Redis decoder on any bytes, of several connections. */
#include "conversation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool bad_op(const struct op *op)
{
	if (op->kind == OP_RECEIVE && !(op->flags & (OPF_GAP | OPF_TRUNCATED)) && op->body.n != op->body_size)
		return true;
	return (op->kind == OP_CONFIRM || op->kind == OP_RETURN) && !op->ref;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct fuzzed z = {
		.p = &proto_redis, .conns = FUZZ_CONNS, .secret_max = UINT64_MAX, .bad = bad_op};

	return fuzz_conversation(&z, data, n);
}
