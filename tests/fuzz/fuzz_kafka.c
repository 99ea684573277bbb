/* The Kafka decoder on any bytes. */
#include "conversation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool bad_op(const struct op *op)
{
	return op->body.n > FUZZ_LIMIT || op->body.n > op->body_size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct fuzzed z = {
		.p = &proto_kafka, .conns = 1, .secret_max = 128u << 20, .bad = bad_op};

	return fuzz_conversation(&z, data, n);
}
