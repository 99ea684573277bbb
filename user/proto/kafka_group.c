/*
 * Groups: who reads what for which group (the classic protocol, KIP-848, share groups), and the positions
 * that groups commit.
 */
#include <stdlib.h>

#include "base/hash.h"
#include "proto/kafka_state.h"

/* --- who reads --- */

static void say(struct kafka *st, enum op_kind kind, const struct ksub *s)
{
	struct op op = {
		.kind = kind,
		.exchange = buf_span(&s->topic),
		.queue = buf_span(&s->group),
		.queue_known = true,
		.consumer = buf_span(&st->client),
		.text = kind == OP_SUBSCRIBE ? buf_span(&s->partitions) : SPAN_EMPTY,
	};

	kafka_emit(st, &op);
}

static void sub_free(struct ksub *s)
{
	buf_free(&s->group);
	buf_free(&s->topic);
	buf_free(&s->partitions);
}

/* What stood for a topic as its name was not known has it by now, perhaps. */
static void sub_name(struct kafka *st, struct ksub *s)
{
	struct span name = kafka_named_late(st, buf_span(&s->topic));

	if (!name.n)
		return;
	buf_clear(&s->topic);
	buf_put_span(&s->topic, name);
}

static struct ksub *sub_find(struct kafka *st, struct span group, struct span topic)
{
	for (uint32_t i = 0; i < st->subs_n; i++)
		sub_name(st, &st->subs[i]);
	for (uint32_t i = 0; i < st->subs_n; i++)
		if (span_eq(buf_span(&st->subs[i].topic), topic) &&
			span_eq(buf_span(&st->subs[i].group), group))
			return &st->subs[i];
	return NULL;
}

static struct ksub *sub_new(struct kafka *st, struct span group, struct span topic)
{
	struct ksub *s;

	if (!st->subs)
		st->subs = calloc(SUBS_MAX, sizeof(*st->subs));
	if (!st->subs || st->subs_n == SUBS_MAX)
		return NULL;
	s = &st->subs[st->subs_n++];
	*s = (struct ksub){0};
	buf_put_span(&s->group, group);
	buf_put_span(&s->topic, topic);
	return s;
}

static void sub_set(struct kafka *st, struct span group, struct span topic, struct span partitions)
{
	struct ksub *s = sub_find(st, group, topic);
	bool news = !s;

	if (!s)
		s = sub_new(st, group, topic);
	if (!s)
		return;
	s->seen = true;
	if (!news && span_eq(buf_span(&s->partitions), partitions))
		return;
	buf_clear(&s->partitions);
	buf_put_span(&s->partitions, partitions);
	say(st, OP_SUBSCRIBE, s);
}

static void sub_end(struct kafka *st, uint32_t i)
{
	sub_name(st, &st->subs[i]);
	say(st, OP_UNSUBSCRIBE, &st->subs[i]);
	sub_free(&st->subs[i]);
	st->subs[i] = st->subs[--st->subs_n];
}

void kafka_subs_end(struct kafka *st, struct span group, bool all)
{
	for (uint32_t i = st->subs_n; i-- > 0;)
		if (all || span_eq(buf_span(&st->subs[i].group), group))
			sub_end(st, i);
}

/* A new assignment replaces the one before. */
static void assignment_begins(struct kafka *st, struct span group)
{
	for (uint32_t i = 0; i < st->subs_n; i++)
		if (span_eq(buf_span(&st->subs[i].group), group))
			st->subs[i].seen = false;
}

static void assignment_ends(struct kafka *st, struct span group)
{
	for (uint32_t i = st->subs_n; i-- > 0;)
		if (!st->subs[i].seen && span_eq(buf_span(&st->subs[i].group), group))
			sub_end(st, i);
}

static void add_partition(struct kafka *st, int64_t partition)
{
	char number[24];

	if (st->text.n)
		buf_putc(&st->text, ',');
	buf_put_span(&st->text, kafka_number(number, partition));
}

/* --- the classic protocol --- */

void kafka_joined(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval asked[S_SLOTS];

	(void)body;
	/* "consumer"; Connect and others have assignments of their own. */
	if (!kafka_kept(r, asked, NULL, NULL))
		return;
	buf_clear(&st->protocol_type);
	buf_put_span(&st->protocol_type, asked[S_TYPE].s);
}

/* What a consumer's leader assigned to this member: version, topics with partitions, bytes of the user's. */
static void assigned(struct kafka *st, struct span group, struct span bytes)
{
	struct kin in = kin_of(bytes);
	int64_t topics;

	if (kin_int(&in, 2) < 0)
		return;
	topics = kin_int(&in, 4);
	assignment_begins(st, group);
	for (; topics > 0 && !in.bad; topics--) {
		struct kval topic = kin_string16(&in);
		int64_t n = kin_int(&in, 4);

		buf_clear(&st->text);
		for (; n > 0 && !in.bad; n--)
			add_partition(st, kin_int(&in, 4));
		if (!in.bad)
			sub_set(st, group, topic.s, buf_span(&st->text));
	}
	assignment_ends(st, group);
}

void kafka_synced(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval asked[S_SLOTS], v[S_SLOTS];
	struct span type;

	if (!kafka_kept(r, asked, NULL, NULL) || !kafka_response(r, body, v, NULL, NULL) || v[S_TOP_ERROR].i)
		return;
	type = asked[S_TYPE].s.n ? asked[S_TYPE].s : buf_span(&st->protocol_type);
	if (!type.n || span_is(type, "consumer"))
		assigned(st, asked[S_GROUP].s, v[S_BYTES].s);
}

void kafka_left(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval asked[S_SLOTS], v[S_SLOTS];

	if (kafka_kept(r, asked, NULL, NULL) && kafka_response(r, body, v, NULL, NULL) && !v[S_TOP_ERROR].i)
		kafka_subs_end(st, asked[S_GROUP].s, false);
}

/* --- the protocols in which the broker assigns --- */

struct beating {
	struct kafka *st;
	struct span group;
};

static bool on_assigned(void *ctx, enum kevent e, const struct kval *v)
{
	struct beating *b = ctx;

	if (e == E_PARTITION)
		add_partition(b->st, v[S_PARTITION].i);
	if (e == E_TOPIC) {
		sub_set(b->st, b->group, kafka_topic(b->st, v), buf_span(&b->st->text));
		buf_clear(&b->st->text);
	}
	return true;
}

void kafka_group_beat(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval asked[S_SLOTS], v[S_SLOTS];
	struct beating b = {.st = st};

	if (!kafka_kept(r, asked, NULL, NULL) || !kafka_response(r, body, v, NULL, NULL) || v[S_TOP_ERROR].i)
		return;
	b.group = asked[S_GROUP].s;
	/* -1: leaves; -2: a static member that will be back. */
	if (asked[S_EPOCH].i < 0) {
		kafka_subs_end(st, b.group, false);
		return;
	}
	/* No assignment: nothing new. */
	if (v[S_FLAG].null || v[S_FLAG].i < 0)
		return;
	buf_clear(&st->text);
	assignment_begins(st, b.group);
	kafka_response(r, body, v, on_assigned, &b);
	assignment_ends(st, b.group);
}

/* --- positions --- */

struct committing {
	struct kafka *st;
	struct span group;
	struct txn *txn;
	bool told; /* an error, once a response */
	uint32_t flags;
};

static bool on_commit(void *ctx, enum kevent e, const struct kval *v)
{
	struct kafka *st = ctx;
	struct kitem i = {0, (uint32_t)(st->items.n / sizeof(i)), v[S_OFFSET].i, v[S_OFFSET].i, SPAN_EMPTY};

	if (e != E_PARTITION)
		return true;
	i.log = hash_span(kafka_log(st, kafka_topic(st, v), v[S_PARTITION].i), 0);
	buf_put(&st->items, &i, sizeof(i));
	return buf_ok(&st->items);
}

static bool lists(struct span partitions, struct span number)
{
	while (partitions.n) {
		const uint8_t *comma = memchr(partitions.p, ',', partitions.n);
		size_t n = comma ? (size_t)(comma - partitions.p) : partitions.n;

		if (span_eq(span_sub(partitions, 0, n), number))
			return true;
		partitions = span_sub(partitions, n + 1, SIZE_MAX);
	}
	return false;
}

/*
 * Who commits reads: tells it of a connection that was there before, where the assignment was not seen, and
 * of readers that assign themselves.
 */
static bool on_reader(void *ctx, enum kevent e, const struct kval *v)
{
	struct committing *c = ctx;
	struct kafka *st = c->st;
	char number[24];
	struct ksub *s;

	if (e == E_PARTITION && !v[S_ERROR].i) {
		s = sub_find(st, c->group, kafka_topic(st, v));
		if (!s || !lists(buf_span(&s->partitions), kafka_number(number, v[S_PARTITION].i)))
			add_partition(st, v[S_PARTITION].i);
	}
	if (e != E_TOPIC || !st->text.n)
		return true;
	s = sub_find(st, c->group, kafka_topic(st, v));
	if (!s)
		s = sub_new(st, c->group, kafka_topic(st, v));
	if (s) {
		s->seen = true;
		if (s->partitions.n)
			buf_putc(&s->partitions, ',');
		buf_put_span(&s->partitions, buf_span(&st->text));
		say(st, OP_SUBSCRIBE, s);
	}
	buf_clear(&st->text);
	return true;
}

static void position_op(struct committing *c, const struct kval *v, int64_t offset)
{
	struct span topic = kafka_topic(c->st, v);
	char number[24], partition[24];
	struct op op = {
		.kind = OP_SETTLE,
		.settle = SETTLE_ACK,
		.flags = OPF_UP_TO | c->flags,
		.exchange = topic,
		.routing_key = kafka_number(partition, v[S_PARTITION].i),
		.log = kafka_log(c->st, topic, v[S_PARTITION].i),
		.mid = kafka_number(number, offset),
		.queue = c->group,
		.queue_known = true,
		.consumer = buf_span(&c->st->client),
	};

	kafka_emit(c->st, &op);
}

static void commit_failed(struct committing *c, const struct kval *v)
{
	struct span topic = kafka_topic(c->st, v);
	char partition[24];
	struct op op = {
		.kind = OP_ERROR,
		.exchange = topic,
		.routing_key = kafka_number(partition, v[S_PARTITION].i),
		.log = kafka_log(c->st, topic, v[S_PARTITION].i),
		.queue = c->group,
		.queue_known = true,
		.consumer = buf_span(&c->st->client),
	};

	if (!c->told)
		kafka_error(c->st, &op, (int)v[S_ERROR].i);
	c->told = true;
}

static bool on_committed(void *ctx, enum kevent e, const struct kval *v)
{
	struct committing *c = ctx;
	struct kitem *i;
	size_t n;

	if (e != E_PARTITION)
		return true;
	if (v[S_ERROR].i) {
		commit_failed(c, v);
		return true;
	}
	i = kafka_items_of(
		c->st, hash_span(kafka_log(c->st, kafka_topic(c->st, v), v[S_PARTITION].i), 0), &n);
	if (n)
		position_op(c, v, i[n - 1].first);
	return true;
}

/* Reads the request into st->items; false: it cannot be read. */
static bool commits(struct kafka *st, struct kreq *r, struct kval *asked)
{
	bool ok;

	buf_clear(&st->items);
	ok = kafka_kept(r, asked, on_commit, st);
	kafka_items_sort(st);
	return ok;
}

/* What a request commits, when it is of one topic. */
struct one_topic {
	struct kafka *st;
	struct span topic;
	bool several, met; /* met: one of its positions is where this client has read to */
};

static bool on_one_topic(void *ctx, enum kevent e, const struct kval *v)
{
	struct one_topic *o = ctx;

	if (e != E_PARTITION)
		return true;
	o->several = !v[S_TOPIC].s.n || (o->topic.n && !span_eq(o->topic, v[S_TOPIC].s));
	o->topic = v[S_TOPIC].s;
	o->met |= kafka_read_to(o->st, v[S_PARTITION].i, v[S_OFFSET].i);
	return !o->several;
}

/* Who reads one topic, by id, and commits where it has come to, by name, tells what the id is called. */
static void name_by_commit(struct kafka *st, struct kreq *r)
{
	struct one_topic o = {.st = st};
	struct kval v[S_SLOTS];

	if (kafka_reads_nameless(st) && kafka_kept(r, v, on_one_topic, &o) && !o.several && o.met)
		kafka_reader_told(st, o.topic);
}

void kafka_committed(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval asked[S_SLOTS], v[S_SLOTS];
	struct committing c = {.st = st};

	name_by_commit(st, r);
	if (!commits(st, r, asked))
		return;
	c.group = asked[S_GROUP].s;
	buf_clear(&st->text);
	kafka_response(r, body, v, on_reader, &c);
	kafka_response(r, body, v, on_committed, &c);
}

/* A position that counts when its transaction is committed. */
static bool on_txn_committed(void *ctx, enum kevent e, const struct kval *v)
{
	struct committing *c = ctx;
	struct kafka *st = c->st;
	struct txn_part part = {.partition = (int32_t)v[S_PARTITION].i};
	struct kitem *i;
	size_t n;

	if (e != E_PARTITION)
		return true;
	if (v[S_ERROR].i) {
		commit_failed(c, v);
		return true;
	}
	i = kafka_items_of(st, hash_span(kafka_log(st, kafka_topic(st, v), v[S_PARTITION].i), 0), &n);
	if (!n || !c->txn || part.partition < 0)
		return true;
	part.offset = i[n - 1].first;
	buf_put_span(&part.names, kafka_topic(st, v));
	buf_putc(&part.names, '\0');
	buf_put_span(&part.names, c->group);
	buf_putc(&part.names, '\0');
	buf_put_span(&part.names, buf_span(&st->client));
	kafka_txn_add(st->shared, c->txn, &part);
	return true;
}

void kafka_txn_committed(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval asked[S_SLOTS], v[S_SLOTS];
	struct committing c = {.st = st};

	if (!commits(st, r, asked))
		return;
	c.group = asked[S_GROUP].s;
	c.txn = kafka_txn(st->shared, asked[S_TXID].s, true);
	if (c.txn && !c.txn->n)
		c.txn->producer = asked[S_PRODUCER].i;
	kafka_response(r, body, v, on_txn_committed, &c);
}

static bool on_position(void *ctx, enum kevent e, const struct kval *v)
{
	struct committing *c = ctx;

	if (e == E_PARTITION && !v[S_ERROR].i && v[S_OFFSET].i >= 0) {
		if (v[S_GROUP].s.n)
			c->group = v[S_GROUP].s;
		position_op(c, v, v[S_OFFSET].i);
	}
	return true;
}

void kafka_positions(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval asked[S_SLOTS], v[S_SLOTS];
	struct committing c = {.st = st, .flags = OPF_REPORTED};

	kafka_kept(r, asked, NULL, NULL);
	if (r->version < 8)
		c.group = asked[S_GROUP].s;
	kafka_response(r, body, v, on_position, &c);
}

static bool on_group_deleted(void *ctx, enum kevent e, const struct kval *v)
{
	struct op op = {.kind = OP_QUEUE_DELETE, .queue = v[S_GROUP].s, .queue_known = true};

	if (e == E_GROUP && !v[S_ERROR].i)
		kafka_emit(ctx, &op);
	return true;
}

void kafka_groups_deleted(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval v[S_SLOTS];

	kafka_response(r, body, v, on_group_deleted, st);
}
