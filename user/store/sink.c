/* The record_sink that the correlator writes to: every row goes into the open batch, in order. */
#include "store/writer.h"

#include <errno.h>

/* More payloads than this without a message row: their messages will show no sizes. */
#define SIZES_MAX (1u << 20)
/* In `sizes`: the payload was cut. No size has this bit. */
#define CUT 0x80000000u
_Static_assert(BLOCK_MAX_RAW < CUT, "sizes of payloads");

static int put(struct store_writer *w, enum row_type type, const void *row)
{
	struct batch *b = writer_batch(w);
	size_t before;
	int err;

	if (!b)
		return -ENOMEM;
	before = b->rows.n;
	err = rowlog_put(&b->rows, type, row);
	if (err)
		return err;
	b->rows_n++;
	b->bytes += b->rows.n - before;
	return writer_hand_over(w);
}

/* The block that the next @n bytes of payload go into. */
static struct raw_block *block_for(struct store_writer *w, size_t n)
{
	struct batch *b = writer_batch(w);

	if (!b || (w->block && raw_block_fits(w->block, n)))
		return b ? w->block : NULL;
	w->block = raw_block__new(w->next_block);
	if (!w->block)
		return NULL;
	w->next_block++;
	*b->blocks_end = w->block;
	b->blocks_end = &w->block->next;
	return w->block;
}

static int sink_payload(
	void *ctx, enum proto_id proto, struct span envelope, struct span body, uint64_t *ret_ref)
{
	struct store_writer *w = ctx;
	size_t whole = payload_size(envelope, body);
	uint64_t ref, cut;
	struct raw_block *k;

	/* What no block can hold is cut. Payload limits are normally far below it. */
	envelope = span_sub(envelope, 0, BLOCK_MAX_RAW / 4);
	body = span_sub(body, 0, BLOCK_MAX_RAW - PAYLOAD_HEADER - envelope.n);
	cut = payload_size(envelope, body) < whole ? CUT : 0;
	k = block_for(w, payload_size(envelope, body));
	ref = k ? raw_block_add(k, (uint8_t)proto, envelope, body) : 0;
	if (!ref)
		return -ENOMEM;
	w->open->bytes += payload_size(envelope, body);
	if (w->sizes.n >= SIZES_MAX)
		map_free(&w->sizes);
	if (map_put(&w->sizes, ref, (uint64_t)envelope.n << 32 | cut | body.n))
		return -ENOMEM;
	*ret_ref = ref;
	return 0;
}

static int sink_process(void *ctx, const struct process_rec *r)
{
	struct process_row row = {
		.r = *r,
		.pid = r->info->pid,
		.ppid = r->info->ppid,
		.start_ns = r->info->start_ns,
		.comm = span_str(r->info->comm),
		.exe = span_str(r->info->exe),
		.cmdline = span_str(r->info->cmdline),
		.service = span_str(r->info->service),
		.cgroup = span_str(r->info->cgroup),
	};

	return put(ctx, ROW_PROCESS, &row);
}

static int sink_broker(void *ctx, const struct broker_rec *r)
{
	struct broker_row row = {.r = *r, .name = span_str(r->name)};

	return put(ctx, ROW_BROKER, &row);
}

static int sink_connection(void *ctx, const struct connection_rec *r)
{
	struct connection_row row = {.r = *r, .conn = *r->info};

	return put(ctx, ROW_CONNECTION, &row);
}

static int sink_message(void *ctx, const struct message_rec *r)
{
	struct store_writer *w = ctx;
	struct message_row row = {.r = *r};
	uint64_t *sizes = r->payload ? map_get(&w->sizes, r->payload) : NULL;

	if (sizes) {
		row.sized = true;
		row.envelope_size = (uint32_t)(*sizes >> 32);
		row.body_kept = (uint32_t)*sizes & ~CUT;
		if (*sizes & CUT)
			row.r.flags |= OPF_TRUNCATED;
		map_del(&w->sizes, r->payload);
	}
	return put(w, ROW_MESSAGE, &row);
}

static int sink_copy(void *ctx, const struct copy_rec *r)
{
	return put(ctx, ROW_COPY, r);
}

static int sink_operation(void *ctx, const struct operation_rec *r)
{
	return put(ctx, ROW_OPERATION, r);
}

static int sink_identifier(void *ctx, const struct identifier_rec *r)
{
	struct identifier_row row = {.message = r->message, .id = *r->id};

	return put(ctx, ROW_IDENTIFIER, &row);
}

static int sink_link(void *ctx, const struct link_rec *r)
{
	struct link_row row = {.r = *r, .evidence = span_str(r->evidence)};

	return put(ctx, ROW_LINK, &row);
}

static int sink_merge_flows(void *ctx, uint64_t from, uint64_t to)
{
	struct merge_row row = {from, to};

	return put(ctx, ROW_MERGE, &row);
}

static int sink_merge_messages(void *ctx, uint64_t from, uint64_t to)
{
	struct merge_row row = {from, to};

	return put(ctx, ROW_MERGE_MESSAGES, &row);
}

static int sink_merge_brokers(void *ctx, uint64_t from, uint64_t to)
{
	struct merge_row row = {from, to};

	return put(ctx, ROW_MERGE_BROKERS, &row);
}

static int sink_rename(void *ctx, struct span from, struct span to)
{
	struct rename_row row = {from, to};

	return put(ctx, ROW_RENAME, &row);
}

static int sink_exchange(void *ctx, const struct exchange_rec *r)
{
	return put(ctx, ROW_EXCHANGE, r);
}

static int sink_queue(void *ctx, const struct queue_rec *r)
{
	return put(ctx, ROW_QUEUE, r);
}

static int sink_binding(void *ctx, const struct binding_rec *r)
{
	return put(ctx, ROW_BINDING, r);
}

static int sink_consumer(void *ctx, const struct consumer_rec *r)
{
	return put(ctx, ROW_CONSUMER, r);
}

static int sink_gap(void *ctx, const struct gap_rec *r)
{
	struct gap_row row = {.r = *r, .reason = span_str(r->reason)};

	return put(ctx, ROW_GAP, &row);
}

void store_writer_sink(struct store_writer *w, struct record_sink *ret)
{
	*ret = (struct record_sink){
		.ctx = w,
		.payload = sink_payload,
		.process = sink_process,
		.broker = sink_broker,
		.connection = sink_connection,
		.message = sink_message,
		.copy = sink_copy,
		.operation = sink_operation,
		.identifier = sink_identifier,
		.link = sink_link,
		.merge_flows = sink_merge_flows,
		.merge_messages = sink_merge_messages,
		.merge_brokers = sink_merge_brokers,
		.rename = sink_rename,
		.exchange = sink_exchange,
		.queue = sink_queue,
		.binding = sink_binding,
		.consumer = sink_consumer,
		.gap = sink_gap,
	};
}
