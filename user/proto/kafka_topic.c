/* Topics: names behind ids, and topics and records that come and go. */
#include <errno.h>

#include "base/hash.h"
#include "proto/kafka_state.h"

static bool on_topic(void *ctx, enum kevent e, const struct kval *v)
{
	if (e == E_TOPIC)
		kafka_learn(ctx, v);
	return true;
}

/* Which servers there are is told with every answer: passed on when it is news. */
static void cluster_known(struct kafka *st, const struct kval *v)
{
	struct op op = {.kind = OP_CLUSTER, .exchange = v[S_CLUSTER].s, .text = buf_span(&st->items)};
	uint64_t told = hash_span(op.text, hash_span(op.exchange, 0)), *before;

	if (!op.text.n || !buf_ok(&st->items))
		return;
	before = st->shared ? map_get(&st->shared->clusters, st->opts.server) : NULL;
	if (before && *before == told)
		return;
	if (st->shared && st->shared->clusters.n < CLUSTERS_MAX)
		map_put(&st->shared->clusters, st->opts.server, told); /* not kept: told once more */
	kafka_emit(st, &op);
}

static bool on_metadata(void *ctx, enum kevent e, const struct kval *v)
{
	struct kafka *st = ctx;

	if (e == E_BROKER && st->items.n < ADDRESSES_MAX)
		buf_printf(&st->items, "%s" SPAN_FMT ":%d", st->items.n ? "," : "", SPAN_ARG(v[S_HOST].s),
			(int)v[S_PORT].i);
	return on_topic(ctx, e, v);
}

void kafka_topics_known(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval v[S_SLOTS];

	buf_clear(&st->items);
	kafka_response(r, body, v, on_metadata, st);
	cluster_known(st, v);
}

static bool on_created(void *ctx, enum kevent e, const struct kval *v)
{
	struct kafka *st = ctx;
	struct op op = {.kind = OP_EXCHANGE_DECLARE, .exchange = v[S_TOPIC].s, .type = SPAN_LIT("topic")};

	if (e != E_TOPIC || v[S_ERROR].i)
		return true;
	kafka_learn(st, v);
	if (!v[S_COUNT].null && v[S_COUNT].i > 0) {
		pairs_begin(&st->envelope);
		pairs_int(&st->envelope, "partitions", v[S_COUNT].i);
		op.args = buf_span(&st->envelope);
	}
	kafka_emit(st, &op);
	return true;
}

void kafka_topics_created(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval asked[S_SLOTS], v[S_SLOTS];

	/* validateOnly: nothing was created. */
	if (kafka_kept(r, asked, NULL, NULL) && (asked[S_FLAG].null || !asked[S_FLAG].i))
		kafka_response(r, body, v, on_created, st);
}

static bool on_deleted(void *ctx, enum kevent e, const struct kval *v)
{
	struct op op = {.kind = OP_EXCHANGE_DELETE};

	if (e != E_TOPIC || v[S_ERROR].i)
		return true;
	kafka_learn(ctx, v);
	op.exchange = kafka_topic(ctx, v);
	kafka_emit(ctx, &op);
	return true;
}

void kafka_topics_deleted(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval v[S_SLOTS];

	kafka_response(r, body, v, on_deleted, st);
}

static bool on_records_deleted(void *ctx, enum kevent e, const struct kval *v)
{
	struct kafka *st = ctx;
	char number[24], partition[24];
	struct op op = {.kind = OP_DELETE, .flags = OPF_UP_TO, .exchange = v[S_TOPIC].s};

	if (e != E_PARTITION || v[S_ERROR].i)
		return true;
	op.routing_key = kafka_number(partition, v[S_PARTITION].i);
	op.log = kafka_log(st, v[S_TOPIC].s, v[S_PARTITION].i);
	op.mid = kafka_number(number, v[S_OFFSET].i);
	kafka_emit(st, &op);
	return true;
}

void kafka_records_deleted(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval v[S_SLOTS];

	kafka_response(r, body, v, on_records_deleted, st);
}
