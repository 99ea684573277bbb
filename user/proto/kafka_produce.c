/*
 * Produce and transactions. A record's identity (log and offset) comes with the response: the partition's
 * base offset and the record's place in the request.
 */
#include <stdlib.h>

#include "base/hash.h"
#include "proto/kafka_state.h"

struct producing {
	struct kafka *st;
	struct kreq *r;
	struct span topic, log, partition;
	uint64_t log_hash, batch_key;
	struct produced batch; /* the one whose records come */
	uint32_t order;
	bool repeated;
	bool acks;
	char number[24];
};

static void batch_ends(struct producing *p)
{
	if (p->batch.n && p->acks)
		buf_put(&p->r->kept, &p->batch, sizeof(p->batch));
	if (p->batch_key && !p->repeated)
		kafka_sent(p->st->shared, p->batch_key, &p->batch);
	p->batch = (struct produced){0};
	p->batch_key = 0;
	p->repeated = false;
}

static void batch_begins(struct producing *p, bool tx, int64_t producer)
{
	p->batch = (struct produced){.log = p->log_hash, .order = p->order++, .tx = tx, .producer = producer};
}

/*
 * A retry repeats the batch byte by byte, with its producer's id, epoch and first sequence number; what the
 * checksum covers is taken into the key, because ids begin anew in another cluster.
 */
static uint64_t key_of(const struct producing *p, const struct kbatch *b)
{
	uint64_t h = hash_u64(p->log_hash ^ (uint64_t)b->producer);

	h = hash_u64(h ^ (uint64_t)(uint32_t)b->sequence ^ (uint64_t)b->producer_epoch << 32);
	h = hash_u64(h ^ b->checksum ^ (uint64_t)b->timestamp << 20);
	return h ? h : 1;
}

static bool on_batch(void *ctx, const struct kbatch *b)
{
	struct producing *p = ctx;

	batch_ends(p);
	if (b->control)
		return false;
	batch_begins(p, b->transactional, b->producer);
	if (b->magic < 2 || b->producer < 0 || b->sequence < 0)
		return true;
	p->batch_key = key_of(p, b);
	p->repeated = kafka_sent_before(p->st->shared, p->batch_key, &p->batch);
	return !p->repeated;
}

/* Adds an operation to the batch, so that its records are known by number. */
static void counted(struct producing *p, uint64_t id)
{
	if (!id)
		return;
	if (p->batch.n && id != p->batch.first + p->batch.n) {
		struct produced b = p->batch;

		/* Somebody else got a number in between: two ranges, and no telling of a retry. */
		p->batch_key = 0;
		batch_ends(p);
		batch_begins(p, b.tx, b.producer);
	}
	if (!p->batch.n)
		p->batch.first = id;
	p->batch.n++;
}

static struct op send_op(const struct producing *p, bool tx)
{
	return (struct op){
		.kind = OP_SEND,
		.exchange = p->topic,
		.routing_key = p->partition,
		.log = p->log,
		.flags = tx ? OPF_TX : 0,
	};
}

static void on_record(void *ctx, const struct kbatch *b, const struct krecord *r)
{
	struct producing *p = ctx;
	struct op op = send_op(p, b->transactional);

	if (!p->batch.n)
		p->batch.record = kafka_record_hash(r);
	kafka_message(p->st, &op, r);
	counted(p, kafka_emit(p->st, &op));
}

static void on_broken(void *ctx, const struct kbatch *b, int64_t offset)
{
	struct producing *p = ctx;
	struct op op = send_op(p, b->transactional);

	(void)offset;
	p->st->stats.errors++;
	op.flags |= OPF_GAP;
	counted(p, kafka_emit(p->st, &op));
}

static bool on_produce(void *ctx, enum kevent e, const struct kval *v)
{
	struct producing *p = ctx;
	struct krecords_ops ops = {p, on_batch, on_record, on_broken};

	if (e != E_PARTITION)
		return true;
	p->topic = kafka_topic(p->st, v);
	p->partition = kafka_number(p->number, v[S_PARTITION].i);
	p->log = kafka_log(p->st, p->topic, v[S_PARTITION].i);
	p->log_hash = hash_span(p->log, 0);
	p->acks = v[S_ACKS].i != 0;
	kafka_records(v[S_RECORDS].s, &p->st->unpacked, &ops);
	batch_ends(p);
	return true;
}

void kafka_produce(struct kafka *st, struct kreq *r, struct kin *in)
{
	struct producing p = {.st = st, .r = r};
	struct kval v[S_SLOTS];
	const struct kapi *api = kafka_api(r->key);

	if (!kafka_walk(api->request, r->version, r->version >= api->flexible, in, v, on_produce, &p) &&
		!in->want_cut)
		kafka_lost(st, st->end - st->pos, "a request that does not read as what it says it is");
	/* Behind the array, for the response. */
	r->text_n = (uint32_t)v[S_TXID].s.n;
	buf_put_span(&r->kept, v[S_TXID].s);
	r->skip = !buf_ok(&r->kept) || v[S_ACKS].null || !v[S_ACKS].i;
}

/* --- the response --- */

struct answering {
	struct kafka *st;
	struct produced *sent;
	size_t n;
	struct txn *txn;
};

static int by_log(const void *a, const void *b)
{
	const struct produced *x = a, *y = b;

	if (x->log != y->log)
		return x->log < y->log ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static size_t first_of(const struct answering *a, uint64_t log)
{
	size_t lo = 0, hi = a->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (a->sent[mid].log < log)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void remember(struct answering *a, const struct produced *b, struct span log, int64_t offset)
{
	struct txn_part part = {.offset = offset, .first = b->first, .n = b->n, .partition = -1};

	if (!a->txn)
		return;
	/* Another producer under the same name fenced the one before. */
	if (a->txn->n && a->txn->producer != b->producer)
		return;
	a->txn->producer = b->producer;
	buf_put_span(&part.names, log);
	kafka_txn_add(a->st->shared, a->txn, &part);
}

static void confirm(struct kafka *st, struct op *op, uint64_t ref, int64_t offset)
{
	char number[24];

	op->ref = ref;
	op->mid = offset < 0 ? SPAN_EMPTY : kafka_number(number, offset);
	kafka_emit(st, op);
}

/* The broker has it already, under an offset that it does not remember. */
#define DUPLICATE_SEQUENCE_NUMBER 46

static bool on_produced(void *ctx, enum kevent e, const struct kval *v)
{
	struct answering *a = ctx;
	int code = (int)v[S_ERROR].i;
	int64_t base = code ? -1 : v[S_OFFSET].i, next = base;
	struct span topic, log;
	char number[24];
	uint64_t hash;

	if (e != E_PARTITION)
		return true;
	topic = kafka_topic(a->st, v);
	log = kafka_log(a->st, topic, v[S_PARTITION].i);
	hash = hash_span(log, 0);
	for (size_t i = first_of(a, hash); i < a->n && a->sent[i].log == hash; i++) {
		const struct produced *b = &a->sent[i];
		struct op op = {
			.kind = OP_CONFIRM,
			.exchange = topic,
			.routing_key = kafka_number(number, v[S_PARTITION].i),
			.log = log,
			.flags = b->n > 1 ? OPF_ONE_OF_MANY : 0,
		};

		if (next >= 0 && b->record && v[S_TOPIC].s.n)
			kafka_stands(a->st, topic, v[S_PARTITION].i, next, b->record);
		if (code) {
			op.code = (uint32_t)code;
			op.text = span_str(kafka_error_name(code));
			op.flags |= code == DUPLICATE_SEQUENCE_NUMBER ? 0 : OPF_NEGATIVE;
		} else if (b->tx) {
			op.flags |= OPF_TX | OPF_STORED;
			remember(a, b, log, next);
		}
		for (uint32_t k = 0; k < b->n; k++)
			confirm(a->st, &op, b->first + k, next < 0 ? -1 : next + k);
		next = next < 0 ? -1 : next + b->n;
	}
	return true;
}

void kafka_produced(struct kafka *st, struct kreq *r, struct span body)
{
	struct span kept = buf_span(&r->kept);
	struct answering a = {.st = st};
	struct kval v[S_SLOTS];

	if (kept.n < r->text_n)
		return;
	a.sent = (struct produced *)r->kept.p;
	a.n = (kept.n - r->text_n) / sizeof(*a.sent);
	a.txn = kafka_txn(st->shared, span_sub(kept, kept.n - r->text_n, SIZE_MAX), true);
	if (a.n > 1)
		qsort(a.sent, a.n, sizeof(*a.sent), by_log);
	kafka_response(r, body, v, on_produced, &a);
}

/* --- the end of a transaction --- */

static void part_ends(struct kafka *st, const struct txn_part *p, bool committed)
{
	struct op op = {
		.kind = OP_CONFIRM,
		.flags = OPF_TX | (committed ? 0 : OPF_NEGATIVE) | (p->n > 1 ? OPF_ONE_OF_MANY : 0),
		.log = buf_span(&p->names),
	};

	for (uint32_t k = 0; k < p->n; k++)
		confirm(st, &op, p->first + k, p->offset < 0 ? -1 : p->offset + k);
}

/* The committed position of a group that is part of the transaction. */
static void position_ends(struct kafka *st, const struct txn_part *p, bool committed)
{
	struct span names = buf_span(&p->names), topic, group;
	char number[24], partition[24];
	struct op op = {.kind = OP_SETTLE, .settle = SETTLE_ACK, .flags = OPF_UP_TO, .queue_known = true};

	if (!committed)
		return;
	topic = span_of(names.p, strnlen((const char *)names.p, names.n));
	names = span_sub(names, topic.n + 1, SIZE_MAX);
	group = span_of(names.p, names.n ? strnlen((const char *)names.p, names.n) : 0);
	op.exchange = topic;
	op.queue = group;
	op.consumer = span_sub(names, group.n + 1, SIZE_MAX);
	op.routing_key = kafka_number(partition, p->partition);
	op.log = kafka_log(st, topic, p->partition);
	op.mid = kafka_number(number, p->offset);
	kafka_emit(st, &op);
}

static void txn_ends(struct kafka *st, struct span id, bool committed)
{
	struct txn *t = kafka_txn(st->shared, id, false);

	for (uint32_t i = 0; t && i < t->n; i++) {
		if (t->parts[i].partition < 0)
			part_ends(st, &t->parts[i], committed);
		else
			position_ends(st, &t->parts[i], committed);
	}
	kafka_txn_forget(st->shared, id);
}

void kafka_end_txn(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval v[S_SLOTS], asked[S_SLOTS];

	if (!kafka_kept(r, asked, NULL, NULL) || !kafka_response(r, body, v, NULL, NULL))
		return;
	if (!v[S_TOP_ERROR].i)
		txn_ends(st, asked[S_TXID].s, asked[S_FLAG].i);
}

/* A producer begins anew: what its name had open is aborted by the coordinator. */
void kafka_init_producer(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval v[S_SLOTS], asked[S_SLOTS];

	if (!kafka_kept(r, asked, NULL, NULL) || !kafka_response(r, body, v, NULL, NULL))
		return;
	if (!v[S_TOP_ERROR].i && asked[S_TXID].s.n)
		txn_ends(st, asked[S_TXID].s, false);
}
