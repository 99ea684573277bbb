/* What Kafka's connections learn for each other: names of topic ids, sent batches, open transactions. */
#include <stdlib.h>

#include "base/hash.h"
#include "proto/kafka_state.h"

struct topic_id {
	uint8_t id[16];
	struct str *name;
};

/* A client that reads a topic by id, and up to where. */
struct reader {
	uint8_t id[16];
	bool several; /* topics: which one a commit means cannot be told */
	uint32_t n;
	struct {
		int64_t partition, next;
	} at[READ_PARTITIONS_MAX];
};

struct kshared *kshared_new(void)
{
	return calloc(1, sizeof(struct kshared));
}

static void txn_free(struct kshared *s, struct txn *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		buf_free(&t->parts[i].names);
	s->txn_parts -= t->n;
	free(t->parts);
	free(t);
}

void kshared_free(struct kshared *s)
{
	if (!s)
		return;
	map_for_each (&s->topics, t)
		free((void *)(uintptr_t)t->val);
	map_for_each (&s->txns, t)
		txn_free(s, (struct txn *)(uintptr_t)t->val);
	map_free(&s->topics);
	map_free(&s->clusters);
	map_free(&s->txns);
	map_free(&s->sent_by_key);
	free(s->sent);
	map_free(&s->shown);
	map_free(&s->late);
	map_free(&s->named);
	map_for_each (&s->readers, r)
		free((void *)(uintptr_t)r->val);
	map_free(&s->readers);
	map_free(&s->place_by_key);
	free(s->places);
	intern_free(&s->names);
	free(s);
}

/* --- topics --- */

static bool zero(struct span id)
{
	for (size_t i = 0; i < id.n; i++)
		if (id.p[i])
			return false;
	return true;
}

/* An id that was shown as itself has a name: whoever keeps what was told under the id can join the two. */
static void told_late(struct kafka *st, struct span id, struct span name)
{
	struct op op = {.kind = OP_EXCHANGE_DECLARE,
		.flags = OPF_PASSIVE,
		.exchange = name,
		.type = SPAN_LIT("topic")};
	char text[KAFKA_ID_TEXT];

	if (!map_del(&st->shared->shown, hash_span(id, 0)))
		return;
	kafka_id_text(id, text);
	map_put_ptr(&st->shared->late, hash64(text, sizeof(text), 0), intern_get(&st->shared->names, name));
	pairs_begin(&st->envelope);
	pairs_property(&st->envelope, "id", span_of(text, sizeof(text)));
	op.args = buf_span(&st->envelope);
	kafka_emit(st, &op);
}

struct span kafka_named_late(const struct kafka *st, struct span text)
{
	const struct kshared *s = st->shared;

	return s && s->late.n ? str_span(map_ptr(&s->late, hash_span(text, 0))) : SPAN_EMPTY;
}

void kafka_learn(struct kafka *st, const struct kval *v)
{
	struct span id = v[S_TOPIC_ID].s, name = v[S_TOPIC].s;
	struct kshared *s = st->shared;
	struct topic_id *t;
	uint64_t key;

	if (!s || id.n != 16 || zero(id) || !kafka_topic_legal(name))
		return;
	key = hash_span(id, 0);
	t = map_ptr(&s->topics, key);
	if (t) {
		/* An id never gets another name; another broker's lie or a collision may say so. */
		if (memcmp(t->id, id.p, 16) || span_eq(str_span(t->name), name))
			return;
		intern_put(&s->names, t->name);
		t->name = intern_get(&s->names, name);
		return;
	}
	if (s->topics.n >= TOPICS_MAX)
		return;
	t = calloc(1, sizeof(*t));
	if (!t)
		return;
	memcpy(t->id, id.p, 16);
	t->name = intern_get(&s->names, name);
	if (map_put_ptr(&s->topics, key, t)) {
		intern_put(&s->names, t->name);
		free(t);
		return;
	}
	map_put(&s->named, hash_span(name, 0), 1);
	told_late(st, id, str_span(t->name));
}

static struct span name_of(const struct kafka *st, struct span id)
{
	const struct topic_id *t = st->shared ? map_ptr(&st->shared->topics, hash_span(id, 0)) : NULL;

	return t && !memcmp(t->id, id.p, 16) ? str_span(t->name) : SPAN_EMPTY;
}

bool kafka_nameless(const struct kafka *st, const struct kval *v)
{
	return !v[S_TOPIC].s.n && v[S_TOPIC_ID].s.n == 16 && !name_of(st, v[S_TOPIC_ID].s).n;
}

struct span kafka_topic(struct kafka *st, const struct kval *v)
{
	struct span id = v[S_TOPIC_ID].s, name;

	if (v[S_TOPIC].s.n)
		return v[S_TOPIC].s;
	if (id.n != 16)
		return SPAN_EMPTY;
	name = name_of(st, id);
	if (name.n)
		return name;
	if (st->shared && st->shared->shown.n < TOPICS_MAX)
		map_put(&st->shared->shown, hash_span(id, 0), 1);
	kafka_id_text(id, st->id_text);
	return span_of(st->id_text, KAFKA_ID_TEXT);
}

/* --- who reads a topic without a name --- */

static uint64_t reader_key(const struct kafka *st)
{
	return hash_span(buf_span(&st->client), st->opts.client);
}

static struct reader *reader_of(const struct kafka *st)
{
	return st->shared ? map_ptr(&st->shared->readers, reader_key(st)) : NULL;
}

bool kafka_reads_nameless(const struct kafka *st)
{
	const struct reader *r = reader_of(st);

	return r && !r->several && !name_of(st, span_of(r->id, sizeof(r->id))).n;
}

void kafka_read_nameless(struct kafka *st, struct span id, int64_t partition, int64_t next)
{
	struct kshared *s = st->shared;
	struct reader *r = reader_of(st);
	uint32_t i = 0;

	if (!s || id.n != sizeof(r->id))
		return;
	if (!r) {
		r = s->readers.n < READERS_MAX ? calloc(1, sizeof(*r)) : NULL;
		if (!r || map_put_ptr(&s->readers, reader_key(st), r)) {
			free(r);
			return;
		}
		memcpy(r->id, id.p, sizeof(r->id));
	}
	if (memcmp(r->id, id.p, sizeof(r->id))) {
		r->several = !name_of(st, span_of(r->id, sizeof(r->id))).n;
		memcpy(r->id, id.p, sizeof(r->id));
		r->n = 0;
	}
	while (i < r->n && r->at[i].partition != partition)
		i++;
	if (i == READ_PARTITIONS_MAX)
		return;
	if (i == r->n)
		r->at[r->n++].partition = partition;
	r->at[i].next = next;
}

bool kafka_read_to(const struct kafka *st, int64_t partition, int64_t offset)
{
	const struct reader *r = reader_of(st);

	for (uint32_t i = 0; r && i < r->n; i++)
		if (r->at[i].partition == partition && r->at[i].next == offset)
			return true;
	return false;
}

void kafka_reader_told(struct kafka *st, struct span topic)
{
	const struct reader *r = reader_of(st);
	struct kval v[S_SLOTS] = {0};

	if (!r || map_get(&st->shared->named, hash_span(topic, 0)))
		return;
	v[S_TOPIC].s = topic;
	v[S_TOPIC_ID].s = span_of(r->id, sizeof(r->id));
	kafka_learn(st, v);
}

/* --- where what was sent came to stand --- */

uint64_t kafka_record_hash(const struct krecord *r)
{
	return hash_span(r->value, hash_span(r->key, hash_u64((uint64_t)r->timestamp)));
}

static uint64_t place_key(int64_t partition, int64_t offset, uint64_t record)
{
	return hash_u64(hash_u64((uint64_t)offset ^ record) ^ (uint64_t)partition);
}

void kafka_stands(struct kafka *st, struct span topic, int64_t partition, int64_t offset, uint64_t record)
{
	struct kshared *s = st->shared;
	struct place *p;
	uint32_t i;

	if (!s || (!s->places && !(s->places = calloc(PLACES_MAX, sizeof(*s->places)))))
		return;
	i = s->places_next++ % PLACES_MAX;
	p = &s->places[i];
	if (p->topic) {
		map_del(&s->place_by_key, p->key);
		intern_put(&s->names, p->topic);
	}
	p->key = place_key(partition, offset, record);
	p->topic = intern_get(&s->names, topic);
	if (p->topic && map_put(&s->place_by_key, p->key, i)) {
		intern_put(&s->names, p->topic);
		p->topic = NULL;
	}
}

struct span kafka_where(const struct kafka *st, int64_t partition, int64_t offset, uint64_t record)
{
	const struct kshared *s = st->shared;
	const uint64_t *at = s ? map_get(&s->place_by_key, place_key(partition, offset, record)) : NULL;

	return at ? str_span(s->places[*at].topic) : SPAN_EMPTY;
}

struct span kafka_log(struct kafka *st, struct span topic, int64_t partition)
{
	char number[24];

	buf_clear(&st->log);
	buf_put_span(&st->log, topic);
	buf_putc(&st->log, '-');
	buf_put_span(&st->log, kafka_number(number, partition));
	return buf_span(&st->log);
}

/* --- sent batches --- */

bool kafka_sent_before(struct kshared *s, uint64_t key, struct produced *ret)
{
	const uint64_t *at = s ? map_get(&s->sent_by_key, key) : NULL;

	if (!at)
		return false;
	ret->first = s->sent[*at].first;
	ret->n = s->sent[*at].n;
	return true;
}

void kafka_sent(struct kshared *s, uint64_t key, const struct produced *p)
{
	uint32_t i;

	if (!s || !p->n)
		return;
	if (!s->sent) {
		s->sent = calloc(SENT_MAX, sizeof(*s->sent));
		if (!s->sent)
			return;
	}
	i = s->sent_next++ % SENT_MAX;
	if (s->sent[i].n)
		map_del(&s->sent_by_key, s->sent[i].key);
	s->sent[i] = (struct sent){key, p->first, p->n};
	if (map_put(&s->sent_by_key, key, i))
		s->sent[i].n = 0;
}

/* --- transactions --- */

struct txn *kafka_txn(struct kshared *s, struct span id, bool make)
{
	uint64_t key = hash_span(id, 0);
	struct txn *t;

	if (!s || !id.n)
		return NULL;
	t = map_ptr(&s->txns, key);
	if (t || !make || s->txns.n >= TXNS_MAX)
		return t;
	t = calloc(1, sizeof(*t));
	if (t && map_put_ptr(&s->txns, key, t)) {
		free(t);
		return NULL;
	}
	return t;
}

void kafka_txn_add(struct kshared *s, struct txn *t, struct txn_part *p)
{
	struct txn_part *parts = t->parts;

	if (t->n == t->cap && s->txn_parts < TXN_PARTS_MAX) {
		uint32_t cap = t->cap ? 2 * t->cap : 8;

		parts = realloc(t->parts, cap * sizeof(*parts));
		if (parts) {
			t->parts = parts;
			t->cap = cap;
		}
	}
	if (t->n == t->cap || s->txn_parts >= TXN_PARTS_MAX || !buf_ok(&p->names)) {
		buf_free(&p->names);
		return;
	}
	t->parts[t->n++] = *p;
	s->txn_parts++;
}

void kafka_txn_forget(struct kshared *s, struct span id)
{
	struct txn *t = kafka_txn(s, id, false);

	if (!t)
		return;
	map_del(&s->txns, hash_span(id, 0));
	txn_free(s, t);
}
