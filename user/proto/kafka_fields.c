/* Renders a record's key and headers; numbers that frameworks write as bytes are shown as numbers. */
#include <errno.h>
#include <stdio.h>

#include "proto/kafka_state.h"

/* Spring for Apache Kafka: dead letters and retry topics. `n`: big-endian bytes, 0: a Java BigInteger, as
 * many as it takes. */
static const struct {
	const char *name;
	uint8_t n;
} numbers[] = {
	{"kafka_dlt-original-partition", 4},
	{"kafka_dlt-original-offset", 8},
	{"kafka_dlt-original-timestamp", 8},
	{"kafka_original-partition", 4},
	{"kafka_original-offset", 8},
	{"kafka_original-timestamp", 8},
	{"kafka_replyPartition", 4},
	{"kafka_deliveryAttempt", 4},
	{"retry_topic-attempts", 4},
	{"retry_topic-backoff-timestamp", 0},
	{"retry_topic-original-timestamp", 0},
};

static bool is_number(const struct pair *p, int64_t *ret)
{
	size_t i = 0;
	uint64_t v;

	if (!p->header || p->type != FIELD_TEXT)
		return false;
	while (i < ARRAY_LEN(numbers) && !span_is(p->name, numbers[i].name))
		i++;
	if (i == ARRAY_LEN(numbers) || !p->value.n || p->value.n > 8 ||
		(numbers[i].n && p->value.n != numbers[i].n))
		return false;
	v = p->value.p[0] & 0x80 ? UINT64_MAX : 0;
	for (size_t k = 0; k < p->value.n; k++)
		v = v << 8 | p->value.p[k];
	*ret = (int64_t)v;
	return true;
}

int kafka_fields(struct span envelope, field_fn fn, void *ctx)
{
	struct pair p;

	while (pairs_next(&envelope, &p)) {
		char text[24];
		int64_t v;

		if (is_number(&p, &v)) {
			p.type = FIELD_INT;
			p.value = kafka_number(text, v);
		}
		if (!pairs_field(&p, p.value, fn, ctx))
			return 0;
	}
	return envelope.n ? -EBADMSG : 0;
}

/* A topic may have the broker's time instead of the producer's. */
static bool changes(const struct pair *p)
{
	return !p->header && span_is(p->name, "timestamp");
}

uint64_t kafka_stable_hash(struct span envelope, uint64_t seed)
{
	return pairs_hash(envelope, seed, changes);
}
