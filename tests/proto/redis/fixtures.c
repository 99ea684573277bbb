/*
 * Recorded conversations of real clients and queue libraries with a real redis-server (record.py), against
 * what the client knows that it did and got. Operations are compared kind by kind, in order: the client's
 * notes do not say how connections and directions interleaved.
 */
#include "proto/pairs.h"
#include "proto/fixture.h"

#define CONNS 8
#define OPS   4096

/* What an operation says, in the words of record.py, one text a kind. */
struct notes {
	struct told told;
	uint64_t next_id;
	char label[OPS][48]; /* of the message that an operation was, by its id */
	bool gaps;
};

/* The id of the message where a client knows one, else a sum of its body. */
static void label_of(const struct op *op, char *ret)
{
	struct pair p;

	if (pairs_find(op->envelope, false, SPAN_LIT("message-id"), &p))
		snprintf(ret, 48, SPAN_FMT, SPAN_ARG(p.value));
	else if (op->mid.n)
		snprintf(ret, 48, SPAN_FMT, SPAN_ARG(op->mid));
	else
		snprintf(ret, 48, "%08x", fnv(op->body));
}

static void note_flags(struct buf *b, uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *word;
	} shown[] = {{OPF_REDELIVERED, "redelivered"}, {OPF_REPORTED, "reported"}, {OPF_NEGATIVE, "negative"},
		{OPF_TX, "tx"}, {OPF_UP_TO, "up-to"}, {OPF_UNSURE, "unsure"}};

	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		if (flags & shown[i].flag)
			buf_printf(b, " %s", shown[i].word);
}

static void note(struct notes *n, const struct op *op)
{
	static const char *const settles[] = {"none", "ack", "requeue", "reject", "auto", "lost"};
	struct span where = op->exchange.n ? op->exchange : op->routing_key;
	struct buf *b = &n->told.kind[op->kind];
	const char *of = n->label[op->ref % OPS];

	buf_puts(b, kind_text(op->kind));
	switch (op->kind) {
	case OP_LOGIN:
		buf_printf(b, " text=" SPAN_FMT " vhost=" SPAN_FMT, SPAN_ARG(op->text), SPAN_ARG(op->vhost));
		break;
	case OP_ERROR:
		/* A client may leave out the first word. */
		buf_printf(b, " text=" SPAN_FMT, SPAN_ARG(op->text));
		break;
	case OP_SEND:
		buf_printf(b, " " SPAN_FMT " %s", SPAN_ARG(where), n->label[n->next_id % OPS]);
		break;
	case OP_CONFIRM:
	case OP_RETURN:
		buf_printf(b, " of=%s", of);
		if (op->mid.n)
			buf_printf(b, " mid=" SPAN_FMT, SPAN_ARG(op->mid));
		note_flags(b, op->flags);
		break;
	case OP_RECEIVE:
		buf_printf(b, " " SPAN_FMT " q=" SPAN_FMT " %s", SPAN_ARG(where),
			SPAN_ARG(op->queue.n ? op->queue : SPAN_LIT("-")), n->label[n->next_id % OPS]);
		if (op->consumer.n)
			buf_printf(b, " c=" SPAN_FMT, SPAN_ARG(op->consumer));
		note_flags(b, op->flags);
		break;
	case OP_SETTLE:
		buf_printf(b, " of=%s %s", of, settles[op->settle]);
		note_flags(b, op->flags);
		break;
	case OP_DELETE:
		buf_printf(b, " " SPAN_FMT " " SPAN_FMT, SPAN_ARG(op->log), SPAN_ARG(op->mid));
		if (op->code)
			buf_printf(b, "keeps=%u", op->code);
		note_flags(b, op->flags);
		break;
	case OP_SUBSCRIBE:
	case OP_UNSUBSCRIBE:
		buf_printf(b, " " SPAN_FMT " q=" SPAN_FMT " c=" SPAN_FMT, SPAN_ARG(op->exchange),
			SPAN_ARG(op->queue.n ? op->queue : SPAN_LIT("-")), SPAN_ARG(op->consumer));
		break;
	case OP_QUEUE_DECLARE:
		buf_printf(b, " " SPAN_FMT " q=" SPAN_FMT " mid=" SPAN_FMT, SPAN_ARG(op->exchange),
			SPAN_ARG(op->queue), SPAN_ARG(op->mid));
		break;
	case OP_QUEUE_PURGE:
		buf_printf(b, " q=" SPAN_FMT, SPAN_ARG(op->queue));
		break;
	case OP_QUEUE_DELETE:
		buf_printf(b, " " SPAN_FMT " q=" SPAN_FMT, SPAN_ARG(op->exchange), SPAN_ARG(op->queue));
		break;
	default:
		buf_printf(b, " " SPAN_FMT, SPAN_ARG(op->exchange));
	}
	buf_putc(b, '\n');
}

static uint64_t note_op(void *ctx, struct op *op)
{
	struct notes *n = ctx;
	uint64_t id = ++n->next_id;

	n->label[id % OPS][0] = 0;
	if (op->kind == OP_SEND || op->kind == OP_RECEIVE)
		label_of(op, n->label[id % OPS]);
	else if (op->kind == OP_SETTLE && !op->ref)
		label_of(op, n->label[0]);
	CHECK(!holds(op->text, "hunter2"));
	CHECK(!(op->flags & OPF_GAP));
	note(n, op);
	return id;
}

/* Subscriptions end in no order of their own. */
static void compare(struct notes *n, const char *kinds)
{
	for (int k = 1; k < KINDS; k++)
		if (!kinds || strstr(kinds, kind_text((enum op_kind)k)))
			told_same(&n->told, (enum op_kind)k, k == OP_UNSUBSCRIBE, false);
}

/* @step: 0 as recorded, else at most that many bytes at a time; the first @cut bytes apart. */
static void play(struct span rec, size_t step, size_t cut, bool from_start, struct notes *n)
{
	void *shared = proto_redis.shared_new();
	struct proto_out out = {.ctx = n, .emit = note_op};
	struct feed f[CONNS];
	enum flowdir way;
	struct span s;

	for (int i = 0; i < CONNS; i++)
		feed_told(&f[i], &proto_redis, shared, &out, from_start);
	rec = span_sub(rec, 6, SIZE_MAX);
	for (uint8_t how; rec.n; feed_part(&f[(how >> 1 & 3) | (how >> 3 & 4)], way, s, step, &cut)) {
		how = rec.p[0];
		if (!chunk_next(&rec, &way, &s))
			break;
	}
	for (int i = 0; i < CONNS; i++) {
		CHECK(!f[i].bad);
		feed_end(&f[i]);
		feed_free(&f[i]);
	}
	proto_redis.shared_free(shared);
}

static void run(
	const char *name, const char *how, struct span rec, size_t step, size_t cut, const char *kinds)
{
	static struct notes n;

	n = (struct notes){.told = {name, how, .truth = fixture_load(&proto_redis, name, ".truth")}};
	play(rec, step, cut, true, &n);
	compare(&n, kinds);
	told_free(&n.told);
}

/* @kinds: those that are compared, NULL all. */
static void fixture(const char *name, const char *kinds)
{
	struct buf rec = fixture_load(&proto_redis, name, ".bin");

	run(name, "as recorded", buf_span(&rec), 0, 0, kinds);
	if (!test_case_bad)
		run(name, "byte by byte", buf_span(&rec), 1, 0, kinds);
	/* Cut at every length; large ones at lengths that fall anywhere in a value. */
	for (size_t cut = 1; cut < rec.n && !test_case_bad; cut += rec.n < 6000 ? 1 : rec.n / 199)
		run(name, "cut", buf_span(&rec), 0, cut, kinds);
	buf_free(&rec);
}

/* Every line in @got stands in @truth, in that order. */
static bool is_part(struct buf *got, struct buf *truth)
{
	const char *g = buf_cstr(got), *t = buf_cstr(truth);

	while (*g) {
		size_t n = strcspn(g, "\n") + 1;

		while (*t && strncmp(g, t, n))
			t += strcspn(t, "\n") + 1;
		if (!*t)
			return false;
		t += n;
		g += n;
	}
	return true;
}

/*
 * From the middle, beginning with any record: what is told then is a part of what is told from the start. No
 * confirmation is of another message, nothing is received that was not.
 */
static void middle(const char *name)
{
	static const enum op_kind kinds[] = {OP_SEND, OP_CONFIRM, OP_RETURN};
	struct buf rec = fixture_load(&proto_redis, name, ".bin");
	struct span rest = span_sub(buf_span(&rec), 6, SIZE_MAX);
	static struct notes all, n;
	struct buf part = {0};
	enum flowdir way;
	struct span s;

	all = (struct notes){.next_id = 0};
	play(buf_span(&rec), 0, 0, true, &all);
	do {
		n = (struct notes){.next_id = 0};
		buf_clear(&part);
		buf_put(&part, "EVTF1\n", 6);
		buf_put_span(&part, rest);
		play(buf_span(&part), 0, 0, false, &n);
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
			if (!is_part(&n.told.kind[kinds[i]], &all.told.kind[kinds[i]])) {
				fprintf(stderr, "--- %s, from %zu bytes before its end: got\n%s--- of\n%s",
					name, rest.n, buf_cstr(&n.told.kind[kinds[i]]),
					buf_cstr(&all.told.kind[kinds[i]]));
				test_case_bad = true;
			}
		told_free(&n.told);
	} while (chunk_next(&rest, &way, &s) && rest.n && !test_case_bad);
	told_free(&all.told);
	buf_free(&part);
	buf_free(&rec);
}

static void lists(void)
{
	fixture("lists", NULL);
	middle("lists");
}

static void streams(void)
{
	fixture("streams", NULL);
	middle("streams");
}

static void pubsub(void)
{
	fixture("pubsub", NULL);
	middle("pubsub");
}

static void logins(void)
{
	fixture("logins", NULL);
	middle("logins");
}

static void celery(void)
{
	fixture("celery", "SEND CONFIRM RECEIVE SETTLE");
	middle("celery");
}

static void rq(void)
{
	fixture("rq", "SEND RECEIVE SETTLE");
	middle("rq");
}

static void sidekiq(void)
{
	fixture("sidekiq", NULL);
	middle("sidekiq");
}

static void bullmq(void)
{
	fixture("bullmq", NULL);
	middle("bullmq");
}

int main(void)
{
	RUN(lists);
	RUN(streams);
	RUN(pubsub);
	RUN(logins);
	RUN(celery);
	RUN(rq);
	RUN(sidekiq);
	RUN(bullmq);
	return test_end();
}
