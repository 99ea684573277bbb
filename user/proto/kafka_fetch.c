/* Fetch, and what share groups fetch and acknowledge (KIP-932). */
#include <stdlib.h>

#include "base/hash.h"
#include "proto/kafka_state.h"

#define ABORTED_MAX 65536u

struct aborted_txn {
	int64_t producer, first;
};

struct fetching {
	struct kafka *st;
	struct kreq *r;
	struct span topic, log, partition, group;
	char number[24];
	int64_t from, next; /* position of the reader, -1 unknown; of what came */
	struct buf aborted; /* struct aborted_txn */
	size_t aborted_at;
	struct map aborting; /* producers whose records do not count just now */
	const struct kitem *ranges;
	size_t ranges_n;
	bool share;
	bool before;                 /* the request was not seen */
	const struct kval *nameless; /* the topic's id, which has no name yet */
};

/* --- what is asked for --- */

/* Independent of what an id is called: it may get its name between request and response. */
static uint64_t position_key(const struct kval *v)
{
	struct span t = v[S_TOPIC_ID].s.n ? v[S_TOPIC_ID].s : v[S_TOPIC].s;

	return hash_u64(hash_span(t, 0) ^ (uint64_t)v[S_PARTITION].i);
}

static bool on_asked(void *ctx, enum kevent e, const struct kval *v)
{
	struct kafka *st = ctx;

	if (e == E_FORGOTTEN)
		map_del(&st->positions, position_key(v));
	if (e == E_PARTITION && (st->positions.n < POSITIONS_MAX || map_get(&st->positions, position_key(v))))
		map_put(&st->positions, position_key(v), (uint64_t)v[S_OFFSET].i);
	return true;
}

/* Reads only the fields before the topics: does this request name all that is fetched (KIP-227)? */
static bool before_topics(void *ctx, enum kevent e, const struct kval *v)
{
	(void)ctx;
	(void)e;
	(void)v;
	return false;
}

void kafka_fetch(struct kafka *st, struct kreq *r, struct kin *in)
{
	const struct kapi *api = kafka_api(r->key);
	bool flexible = r->version >= api->flexible;
	struct kin again = *in;
	struct kval v[S_SLOTS];

	kafka_walk(api->request, r->version, flexible, in, v, before_topics, NULL);
	if (v[S_SESSION_EPOCH].null || v[S_SESSION_EPOCH].i <= 0)
		map_free(&st->positions);
	st->committed_only = v[S_ISOLATION].i == 1;
	kafka_walk(api->request, r->version, flexible, &again, v, on_asked, st);
	/* A broker that copies. */
	r->skip = !v[S_REPLICA].null && v[S_REPLICA].i >= 0;
}

/* --- what comes --- */

static int by_offset(const void *a, const void *b)
{
	const struct aborted_txn *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static bool is_aborted(struct fetching *f, const struct kbatch *b)
{
	const struct aborted_txn *a = (const struct aborted_txn *)f->aborted.p;

	for (; f->aborted_at < f->aborted.n / sizeof(*a) && a[f->aborted_at].first <= b->last;
		f->aborted_at++)
		map_put(&f->aborting, (uint64_t)a[f->aborted_at].producer, 1);
	return b->transactional && map_get(&f->aborting, (uint64_t)b->producer);
}

static bool on_batch(void *ctx, const struct kbatch *b)
{
	struct fetching *f = ctx;

	if (b->last + 1 > f->next)
		f->next = b->last + 1;
	if (b->control)
		return true;
	if (is_aborted(f, b))
		return false;
	/* A wrapper of format v0 does not say what its last offset is, so only v2 is judged as a whole. */
	return b->magic < 2 || b->last >= f->from;
}

/* The marker that ends a transaction; its key: version, type (0 abort, 1 commit). */
static void marker(struct fetching *f, const struct kbatch *b, const struct krecord *r)
{
	if (r->key.n >= 4 && r->key.p[2] == 0 && r->key.p[3] == 0)
		map_del(&f->aborting, (uint64_t)b->producer);
}

/* Among what this member of a share group got? Ranges ascend as offsets do. */
static const struct kitem *acquired(struct fetching *f, int64_t offset)
{
	while (f->ranges_n && f->ranges->last < offset) {
		f->ranges++;
		f->ranges_n--;
	}
	return f->ranges_n && f->ranges->first <= offset ? f->ranges : NULL;
}

static struct op receive_op(struct fetching *f)
{
	return (struct op){
		.kind = OP_RECEIVE,
		.exchange = f->topic,
		.routing_key = f->partition,
		.log = f->log,
		.consumer = buf_span(&f->st->client),
		.queue = f->group,
		.queue_known = f->share,
	};
}

/* Is the name of the topic known by this record? */
static void find_name(struct fetching *f, const struct krecord *r)
{
	int64_t partition = f->nameless[S_PARTITION].i;
	struct span name = kafka_where(f->st, partition, r->offset, kafka_record_hash(r));
	struct kval v[S_SLOTS] = {0};

	if (!name.n)
		return;
	v[S_TOPIC].s = name;
	v[S_TOPIC_ID].s = f->nameless[S_TOPIC_ID].s;
	kafka_learn(f->st, v);
	f->topic = kafka_topic(f->st, f->nameless);
	f->log = kafka_log(f->st, f->topic, partition);
	f->nameless = NULL;
}

static void on_record(void *ctx, const struct kbatch *b, const struct krecord *r)
{
	struct fetching *f = ctx;
	char number[24];
	struct op op;

	if (f->nameless && !b->control)
		find_name(f, r);
	op = receive_op(f);
	if (b->control) {
		marker(f, b, r);
		return;
	}
	if (r->offset + 1 > f->next)
		f->next = r->offset + 1;
	if (r->offset < f->from)
		return;
	if (f->share) {
		const struct kitem *range = acquired(f, r->offset);

		if (!range)
			return;
		op.delivery = range->order;
		op.flags = range->order > 1 ? OPF_REDELIVERED : 0;
	}
	op.mid = kafka_number(number, r->offset);
	kafka_message(f->st, &op, r);
	kafka_emit(f->st, &op);
}

static void on_broken(void *ctx, const struct kbatch *b, int64_t offset)
{
	struct fetching *f = ctx;
	struct op op = receive_op(f);
	char number[24];

	(void)b;
	f->st->stats.errors++;
	op.flags = OPF_GAP;
	op.mid = kafka_number(number, offset);
	kafka_emit(f->st, &op);
}

static void partition_begins(struct fetching *f, const struct kval *v)
{
	f->nameless = kafka_nameless(f->st, v) ? v : NULL;
	f->topic = kafka_topic(f->st, v);
	f->partition = kafka_number(f->number, v[S_PARTITION].i);
	f->log = kafka_log(f->st, f->topic, v[S_PARTITION].i);
	f->from = f->next = 0;
}

static void partition_records(struct fetching *f, const struct kval *v)
{
	struct krecords_ops ops = {f, on_batch, on_record, on_broken};

	kafka_records(v[S_RECORDS].s, &f->st->unpacked, &ops);
}

/* Errors that are a reader's everyday life: it asks another broker, or again. */
static bool routine(int code)
{
	switch (code) {
	case 3:   /* UNKNOWN_TOPIC_OR_PARTITION */
	case 5:   /* LEADER_NOT_AVAILABLE */
	case 6:   /* NOT_LEADER_OR_FOLLOWER */
	case 9:   /* REPLICA_NOT_AVAILABLE */
	case 74:  /* FENCED_LEADER_EPOCH */
	case 75:  /* UNKNOWN_LEADER_EPOCH */
	case 78:  /* OFFSET_NOT_AVAILABLE */
	case 100: /* UNKNOWN_TOPIC_ID */
	case 103: /* INCONSISTENT_TOPIC_ID */
		return true;
	}
	return !code;
}

static void partition_error(struct fetching *f, int code)
{
	struct op op = receive_op(f);

	op.kind = OP_ERROR;
	if (!routine(code))
		kafka_error(f->st, &op, code);
}

static bool on_fetched(void *ctx, enum kevent e, const struct kval *v)
{
	struct fetching *f = ctx;
	uint64_t key, *at;

	/* Where the request was not seen: a broker tells them only to those who want what is committed. */
	if (e == E_ABORTED && (f->st->committed_only || f->before) &&
		f->aborted.n / sizeof(struct aborted_txn) < ABORTED_MAX) {
		struct aborted_txn a = {v[S_PRODUCER].i, v[S_FIRST].i};

		buf_put(&f->aborted, &a, sizeof(a));
	}
	if (e != E_PARTITION)
		return true;
	partition_begins(f, v);
	partition_error(f, (int)v[S_ERROR].i);
	key = position_key(v);
	at = f->before ? NULL : map_get(&f->st->positions, key);
	f->from = f->next = at ? (int64_t)*at : -1;
	if (f->aborted.n)
		qsort(f->aborted.p, f->aborted.n / sizeof(struct aborted_txn), sizeof(struct aborted_txn),
			by_offset);
	partition_records(f, v);
	if (at)
		*at = (uint64_t)f->next;
	if (f->nameless && f->next > 0)
		kafka_read_nameless(f->st, v[S_TOPIC_ID].s, v[S_PARTITION].i, f->next);
	buf_clear(&f->aborted);
	f->aborted_at = 0;
	map_free(&f->aborting);
	return true;
}

static void fetching_done(struct fetching *f)
{
	buf_free(&f->aborted);
	map_free(&f->aborting);
}

static void walk_response(struct kafka *st, const struct kreq *r, struct span body, bool cut, kevent_fn fn,
	void *ctx, struct kval *v)
{
	const struct kapi *api = kafka_api(r->key);
	struct kin in = kin_of(body);

	in.want_cut = cut;
	if (r->version >= api->flexible)
		kin_skip_tags(&in);
	if (!kafka_walk(api->response, r->version, r->version >= api->flexible, &in, v, fn, ctx) && !cut)
		kafka_lost(st, body.n, "a response that does not read as what was asked for");
}

void kafka_fetched(struct kafka *st, struct kreq *r, struct span body, bool cut)
{
	struct fetching f = {.st = st, .r = r};
	struct kval v[S_SLOTS];

	walk_response(st, r, body, cut, on_fetched, &f, v);
	fetching_done(&f);
}

void kafka_fetched_before(struct kafka *st, struct kreq *r, struct span body)
{
	struct fetching f = {.st = st, .r = r, .before = true};
	struct kval v[S_SLOTS];

	walk_response(st, r, body, false, on_fetched, &f, v);
	fetching_done(&f);
}

/* --- share groups --- */

static bool on_acknowledged(void *ctx, enum kevent e, const struct kval *v)
{
	struct kafka *st = ctx;
	struct kitem i = {0, (uint32_t)(st->items.n / sizeof(i)), v[S_FIRST].i, v[S_LAST].i, v[S_BYTES].s};

	if (e != E_RANGE)
		return true;
	i.log = hash_span(kafka_log(st, kafka_topic(st, v), v[S_PARTITION].i), 0);
	buf_put(&st->items, &i, sizeof(i));
	return buf_ok(&st->items);
}

static enum settle settle_of(uint8_t type)
{
	switch (type) {
	case 1:
		return SETTLE_ACK;
	case 2:
		return SETTLE_REQUEUE;
	case 3:
		return SETTLE_REJECT;
	case 4:
		return SETTLE_PROGRESS; /* KIP-1222: renews the lock */
	}
	return SETTLE_NONE; /* 0: no record has that offset */
}

static void settle_range(struct fetching *f, const struct kitem *i)
{
	struct op op = receive_op(f);
	char number[24];

	op.kind = OP_SETTLE;
	if (i->first < 0 || i->last < i->first || i->last - i->first >= RANGE_MAX) {
		f->st->stats.errors++;
		return;
	}
	op.flags = i->last > i->first ? OPF_ONE_OF_MANY : 0;
	for (int64_t k = 0; k <= i->last - i->first && i->types.n; k++) {
		op.settle = settle_of(i->types.p[(size_t)k < i->types.n ? (size_t)k : i->types.n - 1]);
		op.mid = kafka_number(number, i->first + k);
		if (op.settle)
			kafka_emit(f->st, &op);
	}
}

static bool on_acked(void *ctx, enum kevent e, const struct kval *v)
{
	struct fetching *f = ctx;
	struct kitem *i;
	size_t n;

	if (e != E_PARTITION)
		return true;
	partition_begins(f, v);
	i = kafka_items_of(f->st, hash_span(f->log, 0), &n);
	if (n && v[S_TYPE].i) {
		struct op op = receive_op(f);

		op.kind = OP_ERROR;
		kafka_error(f->st, &op, (int)v[S_TYPE].i);
		return true;
	}
	for (size_t k = 0; k < n; k++)
		settle_range(f, &i[k]);
	return true;
}

/* What the request acknowledged, as the response has it. False: the whole failed. */
static bool acknowledge(struct fetching *f, struct kreq *r, struct span body, bool cut)
{
	struct kval asked[S_SLOTS], v[S_SLOTS];
	struct kafka *st = f->st;

	buf_clear(&st->items);
	kafka_kept(r, asked, on_acknowledged, st);
	kafka_items_sort(st);
	f->group = asked[S_GROUP].s;
	f->share = true;
	walk_response(st, r, body, cut, on_acked, f, v);
	if (v[S_TOP_ERROR].i) {
		struct op op = {.kind = OP_ERROR, .queue = f->group, .queue_known = true};

		kafka_error(st, &op, (int)v[S_TOP_ERROR].i);
	}
	return !v[S_TOP_ERROR].i;
}

static bool on_share_fetched(void *ctx, enum kevent e, const struct kval *v)
{
	struct fetching *f = ctx;
	struct kafka *st = f->st;

	if (e == E_RANGE) {
		/* Of the partition that is being read; `order` holds the number of the delivery. */
		struct kitem i = {0, (uint32_t)v[S_COUNT].i, v[S_FIRST].i, v[S_LAST].i, SPAN_EMPTY};

		buf_put(&st->items, &i, sizeof(i));
	}
	if (e != E_PARTITION)
		return true;
	partition_begins(f, v);
	partition_error(f, (int)v[S_ERROR].i);
	f->ranges = (const struct kitem *)st->items.p;
	f->ranges_n = st->items.n / sizeof(*f->ranges);
	partition_records(f, v);
	buf_clear(&st->items);
	return true;
}

void kafka_share_fetched(struct kafka *st, struct kreq *r, struct span body, bool cut)
{
	struct fetching f = {.st = st, .r = r};
	struct kval v[S_SLOTS];

	/* What it acknowledges came before what it gets. */
	if (!acknowledge(&f, r, body, cut))
		return;
	buf_clear(&st->items);
	walk_response(st, r, body, cut, on_share_fetched, &f, v);
	fetching_done(&f);
}

void kafka_share_acked(struct kafka *st, struct kreq *r, struct span body)
{
	struct fetching f = {.st = st, .r = r};

	acknowledge(&f, r, body, false);
}
