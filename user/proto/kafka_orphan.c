/*
 * What a server says first on a connection that was there before: the answer to a request that nobody saw,
 * mostly the Fetch that was waiting there. Where its bytes begin is believed when frames, one behind the
 * other, end where the bytes do or lead to the answer of a request that was seen. What it is is believed when
 * it reads, to the very last byte, as the response of one version of Fetch only, with legal names and whole
 * batches whose checksums are right; a request's position and group are not in it. Everything else is a
 * counted gap.
 */
#include <zlib.h>

#include "proto/kafka_state.h"

#define CHAIN_MAX 64    /* answers to unseen requests, one behind the other */
#define NEAR      65536 /* clients count their requests: how far before one that was seen it may be */

static bool plausible(int64_t size, int64_t correlation, int64_t asked)
{
	return size >= 4 && size <= KAFKA_ANSWER_MAX && correlation >= 0 &&
	       (asked < 0 || (correlation < asked && correlation >= asked - NEAR));
}

enum kchain kafka_chain(struct kafka *st, struct span data)
{
	int64_t asked = kafka_asked_first(st);
	unsigned n = 0;

	for (; n < CHAIN_MAX && data.n; n++) {
		struct kin in = kin_of(data);
		int64_t size = kin_int(&in, 4), correlation = kin_int(&in, 4);

		/* Of the size the first byte is enough to tell that it cannot be one. */
		if (data.p[0] > KAFKA_ANSWER_MAX >> 24)
			return CHAIN_NO;
		if (in.bad)
			return CHAIN_MORE;
		if (size >= 4 && kafka_awaits(st, (int32_t)correlation))
			return CHAIN_HOLDS;
		if (!plausible(size, correlation, asked))
			return CHAIN_NO;
		if ((uint64_t)size + 4 > data.n)
			return CHAIN_MORE;
		data = span_sub(data, (size_t)size + 4, SIZE_MAX);
	}
	return n && !data.n ? CHAIN_HOLDS : CHAIN_NO;
}

/* --- is it a Fetch's? --- */

/* One of each layout that responses had, versions 0 to 18; the newest of each. */
static const int8_t layouts[] = {0, 3, 4, 6, 10, 11, 12, 18};

struct looking {
	bool wrong;
	unsigned partitions, batches;
};

/* CRC-32C, a nibble at a time: few answers are looked at. */
static uint32_t crc32c(struct span s)
{
	static const uint32_t t[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4,
		0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
	uint32_t c = ~0u;

	for (size_t i = 0; i < s.n; i++) {
		c ^= s.p[i];
		c = c >> 4 ^ t[c & 15];
		c = c >> 4 ^ t[c & 15];
	}
	return ~c;
}

#define ENTRY_HEADER 12 /* offset, size */
#define MAGIC_AT     16

/* The batch or message at the beginning of @s is what its checksum says; *ret_n: its bytes, 0 cut off. */
static bool sound(struct span s, size_t *ret_n)
{
	struct kin in = kin_of(span_sub(s, 8, SIZE_MAX));
	int64_t size = kin_int(&in, 4);
	bool v2 = s.n > MAGIC_AT && s.p[MAGIC_AT] == 2;
	size_t at = v2 ? 17 : 12, covers = at + 4;
	uint32_t sum;

	*ret_n = 0;
	if (in.bad || (uint64_t)size > kin_left(&in))
		return in.bad || size > 0;
	*ret_n = ENTRY_HEADER + (size_t)size;
	if (size < 14 || s.p[MAGIC_AT] > 2 || covers > *ret_n)
		return false;
	in = kin_of(span_sub(s, at, 4));
	sum = (uint32_t)kin_int(&in, 4);
	s = span_sub(s, covers, *ret_n - covers);
	return sum == (v2 ? crc32c(s) : (uint32_t)crc32(0, s.p, (uInt)s.n));
}

static bool on_look(void *ctx, enum kevent e, const struct kval *v)
{
	struct looking *l = ctx;
	struct span rest = v[S_RECORDS].s;
	size_t n;

	if (e != E_PARTITION)
		return true;
	l->partitions++;
	l->wrong = v[S_PARTITION].i < 0 || v[S_ERROR].i < -1 || v[S_ERROR].i > 1000 ||
		   (v[S_TOPIC_ID].null && !kafka_topic_legal(v[S_TOPIC].s));
	for (; rest.n && !l->wrong; rest = span_sub(rest, n, SIZE_MAX)) {
		l->wrong = !sound(rest, &n);
		if (!n)
			break;
		l->batches++;
	}
	return !l->wrong;
}

static bool reads_as(const struct kreq *r, struct span body, struct looking *l)
{
	const struct kapi *api = kafka_api(r->key);
	bool flexible = r->version >= api->flexible;
	struct kin in = kin_of(body);
	struct kval v[S_SLOTS];

	*l = (struct looking){0};
	if (flexible)
		kin_skip_tags(&in);
	if (!kafka_walk(api->response, r->version, flexible, &in, v, on_look, l) || l->wrong || kin_left(&in))
		return false;
	/* Without a partition it is the empty answer of a session; every other may look like that of none. */
	return l->partitions || (!v[S_SESSION].null && v[S_SESSION].i > 0 && !v[S_TOP_ERROR].i);
}

static void look(struct kafka *st, struct span frame)
{
	struct kreq r = {.key = K_FETCH}, found = {.version = -1};
	struct span body = span_sub(frame, 4, SIZE_MAX);
	struct looking l, best = {0};

	for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
		r.version = layouts[i];
		if (!reads_as(&r, body, &l))
			continue;
		if (found.version >= 0 && (l.batches || best.batches)) {
			found.version = -1;
			break;
		}
		found = r;
		best = l;
	}
	if (found.version < 0)
		kafka_lost(st, 4 + frame.n, "answers a request that was not seen");
	else if (best.batches)
		kafka_fetched_before(st, &found, body);
}

void kafka_orphan(struct kafka *st, struct span frame)
{
	if (st->asked || st->before.n + 4 + frame.n > KAFKA_ANSWER_MAX + 4) {
		look(st, frame);
		return;
	}
	if (!st->before.n)
		st->before_pos = st->pos;
	for (int i = 24; i >= 0; i -= 8)
		buf_putc(&st->before, (char)(frame.n >> i));
	buf_put_span(&st->before, frame);
}

void kafka_orphans(struct kafka *st, bool all)
{
	struct buf waited = st->before;
	struct span rest = buf_span(&waited);
	enum flowdir dir = st->dir;
	uint64_t pos = st->pos, end = st->end;

	if (!rest.n || (!all && !st->asked))
		return;
	st->before = (struct buf){0};
	st->asked |= all;
	st->dir = TO_CLIENT;
	st->pos = st->before_pos;
	while (rest.n && buf_ok(&waited)) {
		struct kin in = kin_of(rest);
		size_t n = (size_t)kin_int(&in, 4);
		int32_t correlation = (int32_t)kin_int(&in, 4);

		/* Its request may be among those that are being read just now. */
		if (!all && correlation > st->asked_first && !kafka_awaits(st, correlation))
			break;
		st->end = st->pos + 4 + n;
		kafka_answer(st, span_sub(rest, 4, n));
		st->pos = st->end;
		rest = span_sub(rest, 4 + n, SIZE_MAX);
	}
	st->before_pos = st->pos;
	if (!buf_ok(&waited))
		kafka_lost(st, waited.n, "answers a request that was not seen");
	else if (rest.n)
		buf_put_span(&st->before, rest);
	buf_free(&waited);
	st->dir = dir;
	st->pos = pos;
	st->end = end;
}
