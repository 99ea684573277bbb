/*
 * Recorded conversations of real clients with real servers (record.py, record_node.js), against what the
 * clients know that they did and got. Messages are compared in order, all else as a set:
 * the clients' notes do not say how the two directions interleaved.
 */
#include "proto/fixture.h"
#include "proto/talk.h"

/* What an operation says, in the words of record.py, one text a kind. The feed comes first: its hooks get it.
 */
struct notes {
	struct feed f;
	struct told told;
	uint64_t next_id, sends;
	uint64_t number[4096]; /* of the publish that an operation was, by its id */
};

static void put(struct buf *b, const char *name, struct span s)
{
	if (s.n)
		buf_printf(b, " %s=" SPAN_FMT, name, SPAN_ARG(s));
}

static void note(struct notes *n, const struct op *op)
{
	static const char *const settles[] = {
		"", " ack", " requeue", " reject", " auto", " lost", " progress"};
	struct buf *b = &n->told.kind[op->kind];
	uint32_t shown = OPF_REDELIVERED | OPF_NEGATIVE | OPF_BY_BROKER | OPF_REPORTED | OPF_UP_TO;
	bool log = op->dest == DEST_LOG, settle = op->kind == OP_SETTLE, confirm = op->kind == OP_CONFIRM;

	buf_puts(b, kind_text(op->kind));
	if (op->kind == OP_LOGIN) {
		put(b, "text", op->text);
		buf_putc(b, '\n');
		return;
	}
	buf_puts(b, log ? " log" : " channel");
	if (!(log && (settle || op->kind == OP_SUBSCRIBE)))
		put(b, "ex", op->exchange);
	if (op->queue_known)
		put(b, "q", op->queue);
	put(b, "consumer", op->consumer);
	if (!(op->flags & OPF_NEGATIVE))
		put(b, "log", op->log);
	put(b, "mid", op->mid);
	if (op->delivery)
		buf_printf(b, " delivery=%u", op->delivery);
	put(b, "type", op->type);
	buf_puts(b, settles[op->settle]);
	if (settle || (confirm && !(op->flags & OPF_NEGATIVE)))
		put(b, "text", op->text);
	if ((confirm && log) || op->kind == OP_RETURN) {
		if (op->code)
			buf_printf(b, " code=%u", op->code);
	}
	if (confirm || op->kind == OP_RETURN)
		buf_printf(b, " of=%llu", (unsigned long long)n->number[op->ref % 4096]);
	if (op->kind == OP_SEND || op->kind == OP_RECEIVE)
		buf_printf(b, " size=%llu sum=%08x", (unsigned long long)op->body_size, fnv(op->body));
	if (op->kind == OP_SUBSCRIBE || op->kind == OP_UNSUBSCRIBE)
		shown |= OPF_EXCLUSIVE | OPF_AUTO_DELETE;
	put_flags(b, op->flags & shown);
	buf_putc(b, '\n');
}

static uint64_t note_op(void *ctx, struct op *op)
{
	struct notes *n = ctx;
	uint64_t id = ++n->next_id;

	if (op->kind == OP_SEND)
		n->number[id % 4096] = ++n->sends;
	CHECK(!(op->flags & (OPF_GAP | OPF_TRUNCATED)));
	CHECK(op->ref < id);
	n->f.secret |= holds(op->text, "hunter2") || holds(op->args, "hunter2");
	/* Shown again: the notes tell only what was made. */
	if (!(op->flags & OPF_PASSIVE))
		note(n, op);
	return id;
}

static bool in_order(int kind)
{
	return kind == OP_SEND || kind == OP_RECEIVE;
}

/* @tail: only what is at the end of the truth's messages was seen. */
static void compare(struct notes *n, bool tail)
{
	for (int k = 1; k < KINDS; k++) {
		if (tail && !in_order(k))
			continue;
		/* nats.c does not name its own inboxes. */
		if (!strncmp(n->told.name, "libnats", 7) && (k == OP_SUBSCRIBE || k == OP_UNSUBSCRIBE))
			continue;
		told_same(&n->told, (enum op_kind)k, !in_order(k), tail);
	}
}

/* @step: 0 as recorded, else at most that many bytes at a time; the first @cut bytes apart, or left out. */
static void play(struct span rec, bool started, size_t step, size_t cut, struct notes *n)
{
	void *shared = proto_nats.shared_new();
	struct proto_out out = {.ctx = n, .emit = note_op, .secret = feed_secret};
	struct feed *f = &n->f;
	enum flowdir way;
	struct span s;

	feed_told(f, &proto_nats, shared, &out, started);
	rec = span_sub(rec, 6, SIZE_MAX);
	while (chunk_next(&rec, &way, &s)) {
		size_t skip = started ? 0 : cut < s.n ? cut : s.n;

		cut -= skip;
		feed_part(f, way, span_sub(s, skip, SIZE_MAX), step, &cut);
	}
	CHECK(!f->bad);
	CHECK(!f->secret);
	CHECK(!f->log.n);
	if (started)
		CHECK(secrets_told(f));
	feed_end(f);
	feed_free(f);
	proto_nats.shared_free(shared);
}

static void run(const char *name, const char *how, struct span rec, bool started, size_t step, size_t cut)
{
	static struct notes n;

	n = (struct notes){.told = {name, how, .truth = fixture_load(&proto_nats, name, ".truth")}};
	play(rec, started, step, cut, &n);
	compare(&n, !started);
	told_free(&n.told);
}

static void fixture(const char *name, bool from_the_middle)
{
	struct buf rec = fixture_load(&proto_nats, name, ".bin");
	size_t more = rec.n < 10000 ? 7 : 41;

	run(name, "as recorded", buf_span(&rec), true, 0, 0);
	run(name, "byte by byte", buf_span(&rec), true, 1, 0);
	for (size_t cut = 1; cut < rec.n && !test_case_bad; cut += more)
		run(name, "cut", buf_span(&rec), true, 0, cut);
	/* Begun after as many bytes: all messages that begin later, and none that never was. */
	for (size_t cut = 1; from_the_middle && cut < rec.n && !test_case_bad; cut += more)
		run(name, "from the middle", buf_span(&rec), false, 0, cut);
	buf_free(&rec);
}

/* Its payloads hold lines of the protocol: begun inside of one, nobody could tell. */
static void core(void)
{
	fixture("core", false);
}

static void stream(void)
{
	fixture("stream", true);
}

static void buckets(void)
{
	fixture("buckets", true);
}

static void node(void)
{
	fixture("node", true);
}

/* Verbose. */
static void libnats(void)
{
	fixture("libnats", true);
}

/* nats-server 2.15 */
static void newer_server(void)
{
	fixture("core-2.15", false);
	fixture("stream-2.15", true);
	fixture("buckets-2.15", true);
	fixture("node-2.15", true);
	fixture("libnats-2.15", true);
	fixture("newer-2.15", true);
}

int main(void)
{
	RUN(core);
	RUN(stream);
	RUN(buckets);
	RUN(node);
	RUN(libnats);
	RUN(newer_server);
	return test_end();
}
