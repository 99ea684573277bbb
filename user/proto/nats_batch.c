/*
 * Batches of JetStream. An atomic one (ADR-50) is messages with "Nats-Batch-Id", of which a stream keeps all
 * or none: the last one's acknowledgement stands for all of them, and they lie one behind the other. A fast
 * one (ADR-50, "$FI") says in its reply subjects what belongs together; others may publish between its
 * messages, so that only the last one's sequence is told.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/search.h"
#include "proto/nats_state.h"

static void batch_free(struct nats_shared *sh, struct js_batch *b)
{
	map_del(&sh->batches, b->key);
	list_del(&b->lru);
	free(b->sends);
	free(b);
}

static struct js_batch *batch_new(struct nats_shared *sh, uint64_t key)
{
	struct js_batch *b;

	if (sh->batches.n >= BATCHES_MAX)
		batch_free(sh, list_first(&sh->batches_lru, struct js_batch, lru));
	b = calloc(1, sizeof(*b));
	if (!b || map_put_ptr(&sh->batches, key, b)) {
		free(b);
		return NULL;
	}
	b->key = key;
	list_init(&b->lru);
	list_add_tail(&sh->batches_lru, &b->lru);
	return b;
}

void nats_batches_free(struct nats_shared *sh)
{
	while (!list_empty(&sh->batches_lru))
		batch_free(sh, list_first(&sh->batches_lru, struct js_batch, lru));
	map_free(&sh->batches);
}

static uint64_t batch_key(const struct nats *st, struct span id)
{
	return hash_span(id, st->opts.server ^ 1);
}

bool nats_fast_batch(struct span reply)
{
	return reply.n > strlen(".$FI") && span_ends(reply, ".$FI");
}

/* prefix.id.flow.gap.seq.operation.$FI; operation: 0 start, 1 append, 2 commit, 3 commit without this
 * message, 4 ping. */
static bool fast(struct span reply, struct batch_part *ret)
{
	struct span part[5];
	uint64_t op;

	if (!nats_fast_batch(reply))
		return false;
	reply.n -= strlen(".$FI");
	for (size_t i = ARRAY_LEN(part); i--;) {
		size_t at = reply.n;

		while (at && reply.p[at - 1] != '.')
			at--;
		if (!at)
			return false;
		part[i] = span_sub(reply, at, SIZE_MAX);
		reply.n = at - 1;
	}
	if (!nats_decimal(part[4], 4, &op) || !nats_decimal(part[3], UINT64_MAX, &ret->at))
		return false;
	ret->id = part[0];
	ret->fast = true;
	ret->kept = op < 3;
	ret->gaps = !span_is(part[2], "fail");
	return true;
}

static bool atomic(const struct nats_msg *m, struct batch_part *ret)
{
	static const char prefix[] = "Nats-Batch-";
	struct span rest, name, value;
	struct status status;

	if (!m->header.n || !memmem(m->header.p, m->header.n, prefix, sizeof(prefix) - 1) ||
		!nats_header_begin(m->header, &status, &rest))
		return false;
	while (nats_header_next(&rest, &name, &value)) {
		if (span_is(name, "Nats-Batch-Id"))
			ret->id = value;
		else if (span_is(name, "Nats-Batch-Sequence"))
			nats_decimal(value, UINT64_MAX, &ret->at);
		else if (span_is(name, "Nats-Batch-Commit") && span_is(value, "eob"))
			ret->kept = false;
	}
	return ret->id.n > 0;
}

bool nats_batch_part(const struct nats *st, const struct nats_msg *m, struct batch_part *ret)
{
	*ret = (struct batch_part){.kept = true};
	if (!fast(m->l->reply, ret) && !atomic(m, ret))
		return false;
	ret->key = batch_key(st, ret->id);
	return true;
}

void nats_batch_sent(struct nats *st, const struct batch_part *part, uint64_t id)
{
	struct nats_shared *sh = st->shared;
	struct js_batch *b = map_ptr(&sh->batches, part->key);

	if (!b)
		b = batch_new(sh, part->key);
	if (!b)
		return;
	list_move_tail(&sh->batches_lru, &b->lru);
	if (b->n == b->cap) {
		uint32_t cap = b->cap ? b->cap * 2 : 16;
		void *p = cap <= BATCH_MAX ? realloc(b->sends, cap * sizeof(*b->sends)) : NULL;

		if (!p)
			return;
		b->sends = p;
		b->cap = cap;
	}
	b->fast = part->fast;
	b->gaps |= part->gaps;
	b->sends[b->n].id = id;
	b->sends[b->n++].at = part->at;
}

/* Where a message of the batch lies, whose last one of @count lies at @last. */
static uint64_t place(const struct js_batch *b, uint64_t at, uint64_t last, uint64_t count)
{
	if (b->fast)
		return at == count && !b->gaps ? last : 0;
	return at && at <= count && last >= count ? last - count + at : 0;
}

void nats_batch_acked(struct nats *st, uint64_t key, struct op op, uint64_t last, uint64_t count)
{
	struct js_batch *b = map_ptr(&st->shared->batches, key);
	bool refused = op.flags & OPF_NEGATIVE;

	for (uint32_t i = 0; b && i < b->n; i++) {
		uint64_t seq = refused ? 0 : place(b, b->sends[i].at, last, count);

		op.ref = b->sends[i].id;
		op.mid = seq ? nats_number(st, seq) : SPAN_EMPTY;
		/* Of a fast batch with gaps, and behind its end, it is not known which were kept. */
		if (op.ref && (refused || seq || (b->fast && !b->gaps && b->sends[i].at <= count)))
			nats_emit(st, &op);
	}
	if (b)
		batch_free(st->shared, b);
}

void nats_batch_abandoned(struct nats *st, struct span id, struct span stream, struct span reason)
{
	struct op op = nats_op(OP_CONFIRM, DEST_LOG);
	char text[128];

	op.flags = OPF_NEGATIVE | OPF_BY_BROKER;
	op.log = stream;
	op.text = span_of(text, (size_t)snprintf(text, sizeof(text), "batch abandoned: %.*s",
					(int)(reason.n < 64 ? reason.n : 64), (const char *)reason.p));
	nats_batch_acked(st, batch_key(st, id), op, 0, 0);
}
