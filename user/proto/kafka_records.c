#include "proto/kafka_records.h"

#include <errno.h>

#include "base/unpack.h"
#include "proto/kafka_wire.h"

#define ENTRY_HEADER  12 /* offset and size, before a batch and before a message alike */
#define MAGIC_AT      16 /* of the entry: its place is the same in every format */
#define MESSAGE_LEAST 14 /* crc, magic, attributes, two lengths */

#define ATTR_CODEC         0x07
#define ATTR_APPEND_TIME   0x08
#define ATTR_TRANSACTIONAL 0x10
#define ATTR_CONTROL       0x20

/* 0, or why not: then @out holds the beginning, if there is any. */
static int open_pack(uint8_t codec, struct span in, struct buf *out)
{
	switch (codec) {
	case 1:
		return unpack(PACK_GZIP, in, out, KAFKA_BATCH_LIMIT);
	case 2:
		/* Java frames it, librdkafka and others do not; brokers take both. */
		return unpack(
			unpack_is_xerial(in) ? PACK_SNAPPY_XERIAL : PACK_SNAPPY, in, out, KAFKA_BATCH_LIMIT);
	case 3:
		return unpack(PACK_LZ4_FRAME, in, out, KAFKA_BATCH_LIMIT);
	case 4:
		return unpack(PACK_ZSTD, in, out, KAFKA_BATCH_LIMIT);
	}
	buf_clear(out);
	return -EBADMSG;
}

/* --- format v2 --- */

/* Length as zigzag varint, -1: null. */
static bool var_bytes(struct kin *in, struct span *ret, bool *null)
{
	int64_t n = kin_varint(in);

	*null = n < 0;
	*ret = SPAN_EMPTY;
	in->bad |= n < -1;
	if (n > 0)
		*ret = kin_take(in, (uint64_t)n);
	return !in->bad;
}

static bool get_header(struct kin *in, struct kheader *ret)
{
	bool null;

	return var_bytes(in, &ret->name, &null) && var_bytes(in, &ret->value, &ret->null);
}

bool kafka_header_next(struct span *headers, struct kheader *ret)
{
	struct kin in = kin_of(*headers);

	if (!headers->n || !get_header(&in, ret))
		return false;
	*headers = span_of(in.p, kin_left(&in));
	return true;
}

static bool get_record(struct kin *all, const struct kbatch *b, struct krecord *r)
{
	int64_t n = kin_varint(all), headers;
	struct kin in = kin_of(n > 0 ? kin_take(all, (uint64_t)n) : SPAN_EMPTY);

	if (all->bad || n <= 0)
		return false;
	kin_int(&in, 1); /* attributes: none yet */
	r->timestamp = (int64_t)((uint64_t)b->timestamp + (uint64_t)kin_varint(&in));
	if (b->append_time || b->timestamp < 0)
		r->timestamp = b->timestamp;
	r->offset = (int64_t)((uint64_t)b->base + (uint64_t)kin_varint(&in));
	if (!var_bytes(&in, &r->key, &r->key_null) || !var_bytes(&in, &r->value, &r->value_null))
		return false;
	headers = kin_varint(&in);
	r->headers_n = headers > 0 && headers < INT32_MAX ? (uint32_t)headers : 0;
	r->headers = span_of(in.p, kin_left(&in));
	return !in.bad && headers >= 0;
}

static void batch_records(const struct kbatch *b, struct span s, int damage, const struct krecords_ops *ops)
{
	struct kin in = kin_of(s);
	int64_t next = b->base;

	for (int32_t i = 0; i < b->count; i++) {
		struct krecord r;

		if (!get_record(&in, b, &r)) {
			damage = -EBADMSG;
			break;
		}
		next = r.offset + 1;
		ops->record(ops->ctx, b, &r);
		damage = i + 1 == b->count ? 0 : damage;
	}
	if (damage)
		ops->broken(ops->ctx, b, next);
}

static void batch_v2(struct span entry, struct buf *scratch, const struct krecords_ops *ops)
{
	struct kin in = kin_of(entry);
	struct kbatch b = {.magic = 2};
	int64_t attributes, max_timestamp;
	struct span rest;
	int damage = 0;

	b.base = kin_int(&in, 8);
	kin_take(&in, 4 + 4 + 1); /* size, leader's epoch, magic */
	b.checksum = (uint32_t)kin_int(&in, 4);
	attributes = kin_int(&in, 2);
	b.codec = attributes & ATTR_CODEC;
	b.append_time = attributes & ATTR_APPEND_TIME;
	b.transactional = attributes & ATTR_TRANSACTIONAL;
	b.control = attributes & ATTR_CONTROL;
	b.last = (int64_t)((uint64_t)b.base + (uint64_t)kin_int(&in, 4));
	b.timestamp = kin_int(&in, 8);
	max_timestamp = kin_int(&in, 8);
	if (b.append_time)
		b.timestamp = max_timestamp;
	b.producer = kin_int(&in, 8);
	b.producer_epoch = (int)kin_int(&in, 2);
	b.sequence = (int32_t)kin_int(&in, 4);
	b.count = (int32_t)kin_int(&in, 4);
	if (in.bad || b.count < 0 || !ops->batch(ops->ctx, &b))
		return;
	rest = span_of(in.p, kin_left(&in));
	if (b.codec) {
		damage = open_pack(b.codec, rest, scratch);
		rest = buf_span(scratch);
	}
	batch_records(&b, rest, damage, ops);
}

/* --- message sets --- */

struct message {
	int64_t offset, timestamp;
	int magic;
	uint8_t attributes;
	struct krecord r;
};

/* The entry at the beginning of @s, with its header; empty when it is not there as a whole. */
static struct span entry_at(struct span s)
{
	struct kin in = kin_of(s);
	int64_t size;

	kin_int(&in, 8);
	size = kin_int(&in, 4);
	if (in.bad || size < MESSAGE_LEAST - 8 || (uint64_t)size > kin_left(&in))
		return SPAN_EMPTY;
	return span_sub(s, 0, ENTRY_HEADER + (size_t)size);
}

static struct span fixed_bytes(struct kin *in, bool *null)
{
	int64_t n = kin_int(in, 4);

	*null = n < 0;
	in->bad |= n < -1;
	return n > 0 ? kin_take(in, (uint64_t)n) : SPAN_EMPTY;
}

static bool get_message(struct span entry, struct message *m)
{
	struct kin in = kin_of(entry);

	*m = (struct message){.timestamp = -1};
	m->offset = kin_int(&in, 8);
	kin_take(&in, 4 + 4);
	m->magic = (int)kin_int(&in, 1);
	m->attributes = (uint8_t)kin_int(&in, 1);
	if (m->magic == 1)
		m->timestamp = kin_int(&in, 8);
	m->r.key = fixed_bytes(&in, &m->r.key_null);
	m->r.value = fixed_bytes(&in, &m->r.value_null);
	m->r.offset = m->offset;
	m->r.timestamp = m->timestamp;
	return !in.bad && m->magic <= 1;
}

/* In format v1 messages of a wrapper count from 0, and the wrapper has the last one's offset (KIP-31). The
 * difference to add. */
static int64_t inner_shift(const struct message *wrapper, struct span s)
{
	int64_t last = 0;

	if (wrapper->magic == 0)
		return 0;
	for (struct span e; (e = entry_at(s)).n; s = span_sub(s, e.n, SIZE_MAX)) {
		struct kin in = kin_of(e);

		last = kin_int(&in, 8);
	}
	return (int64_t)((uint64_t)wrapper->offset - (uint64_t)last);
}

static void wrapped(
	const struct message *w, const struct kbatch *b, struct buf *scratch, const struct krecords_ops *ops)
{
	int damage = open_pack(b->codec, w->r.value, scratch);
	struct span s = buf_span(scratch);
	int64_t shift = inner_shift(w, s), next = 0;

	for (struct span e; (e = entry_at(s)).n; s = span_sub(s, e.n, SIZE_MAX)) {
		struct message m;

		/* A wrapper in a wrapper is not allowed. */
		if (!get_message(e, &m) || m.attributes & ATTR_CODEC) {
			damage = -EBADMSG;
			break;
		}
		m.r.offset = (int64_t)((uint64_t)m.offset + (uint64_t)shift);
		if (b->append_time)
			m.r.timestamp = w->timestamp;
		next = m.r.offset + 1;
		ops->record(ops->ctx, b, &m.r);
	}
	if (damage || s.n)
		ops->broken(ops->ctx, b, next);
}

static void message_v01(struct span entry, struct buf *scratch, const struct krecords_ops *ops)
{
	struct kbatch b = {.producer = -1, .sequence = -1, .count = -1};
	struct message m;

	if (!get_message(entry, &m))
		return;
	b.magic = m.magic;
	b.base = b.last = m.offset;
	b.timestamp = m.timestamp;
	b.codec = m.attributes & ATTR_CODEC;
	b.append_time = m.magic && m.attributes & ATTR_APPEND_TIME;
	if (!ops->batch(ops->ctx, &b))
		return;
	if (b.codec)
		wrapped(&m, &b, scratch, ops);
	else
		ops->record(ops->ctx, &b, &m.r);
}

void kafka_records(struct span s, struct buf *scratch, const struct krecords_ops *ops)
{
	for (struct span e; (e = entry_at(s)).n; s = span_sub(s, e.n, SIZE_MAX)) {
		if (e.n <= MAGIC_AT || e.p[MAGIC_AT] > 2)
			return;
		if (e.p[MAGIC_AT] == 2)
			batch_v2(e, scratch, ops);
		else
			message_v01(e, scratch, ops);
	}
	/* A batch that inflated to much does not keep its room for good. */
	if (scratch->cap > 4u << 20)
		buf_free(scratch);
	scratch->oom = false;
}
