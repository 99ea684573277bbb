/*
 * Recorded conversations of real clients with a real Kafka (record.py), against what the clients know that
 * they did and got. The connections of a scenario share what they learn, as they do live. Lines are compared
 * sorted: the clients' notes do not say how connections interleaved.
 */
#include "recording.h"

struct notes {
	struct buf text;
	uint64_t next_id;
	uint64_t sent[1 << 16]; /* 1: the operation was a send */
};

static bool note_header(void *ctx, const struct field *f)
{
	if (span_starts(f->name, "header."))
		buf_printf(ctx, " {" SPAN_FMT "=" SPAN_FMT "}", SPAN_ARG(span_sub(f->name, 7, SIZE_MAX)),
			SPAN_ARG(f->text));
	return true;
}

static bool note_key(void *ctx, const struct field *f)
{
	if (span_is(f->name, "key"))
		*(struct span *)ctx = f->text;
	return true;
}

static void note_body(struct buf *b, const struct op *op)
{
	char copy[64];
	struct span key = SPAN_LIT("-");

	proto_kafka.fields(op->envelope, note_key, &key);
	snprintf(copy, sizeof(copy), SPAN_FMT, SPAN_ARG(key));
	buf_printf(b, " key=%s size=%llu sum=%08x", copy, (unsigned long long)op->body_size, fnv(op->body));
}

static void note_place(struct buf *b, const struct op *op)
{
	buf_printf(b, " " SPAN_FMT " " SPAN_FMT, SPAN_ARG(op->exchange), SPAN_ARG(op->routing_key));
	if (op->mid.n)
		buf_printf(b, " " SPAN_FMT, SPAN_ARG(op->mid));
}

static void note(struct notes *n, const struct op *op)
{
	static const char *const settles[] = {"none", "ack", "requeue", "reject", "auto", "lost"};
	struct buf *b = &n->text;
	size_t start = b->n;

	if (op->kind == OP_CLUSTER) /* clients do not tell theirs */
		return;
	buf_puts(b, kind_text(op->kind));
	switch (op->kind) {
	case OP_SEND:
		note_place(b, op);
		note_body(b, op);
		proto_kafka.fields(op->envelope, note_header, b);
		break;
	case OP_CONFIRM:
		buf_printf(b, " " SPAN_FMT " " SPAN_FMT, SPAN_ARG(op->log), SPAN_ARG(op->mid));
		CHECK(op->ref && op->ref < ARRAY_LEN(n->sent) && n->sent[op->ref]);
		break;
	case OP_RECEIVE:
		note_place(b, op);
		note_body(b, op);
		buf_printf(b, " consumer=" SPAN_FMT, SPAN_ARG(op->consumer));
		proto_kafka.fields(op->envelope, note_header, b);
		if (op->queue_known)
			buf_printf(b, " q=" SPAN_FMT, SPAN_ARG(op->queue));
		if (op->delivery)
			buf_printf(b, " delivery=%u", op->delivery);
		break;
	case OP_SETTLE:
		note_place(b, op);
		buf_printf(b, " q=" SPAN_FMT " consumer=" SPAN_FMT " %s", SPAN_ARG(op->queue),
			SPAN_ARG(op->consumer), settles[op->settle]);
		break;
	case OP_SUBSCRIBE:
	case OP_UNSUBSCRIBE:
		buf_printf(b, " " SPAN_FMT " q=" SPAN_FMT " consumer=" SPAN_FMT, SPAN_ARG(op->exchange),
			SPAN_ARG(op->queue), SPAN_ARG(op->consumer));
		if (op->text.n)
			buf_printf(b, " " SPAN_FMT, SPAN_ARG(op->text));
		break;
	case OP_EXCHANGE_DECLARE:
	case OP_EXCHANGE_DELETE:
		buf_printf(b, " " SPAN_FMT, SPAN_ARG(op->exchange));
		if (op->type.n)
			buf_printf(b, " " SPAN_FMT, SPAN_ARG(op->type));
		break;
	case OP_QUEUE_DELETE:
		buf_printf(b, " q=" SPAN_FMT, SPAN_ARG(op->queue));
		break;
	case OP_DELETE:
		buf_printf(b, " " SPAN_FMT " " SPAN_FMT, SPAN_ARG(op->log), SPAN_ARG(op->mid));
		break;
	case OP_LOGIN:
		/* Each connection logs in; how many a client opens is its own affair. */
		buf_printf(b, " " SPAN_FMT, SPAN_ARG(op->text));
		if (memmem(b->p, start, b->p + start, b->n - start)) {
			b->n = start;
			return;
		}
		break;
	case OP_ERROR:
		buf_printf(b, " " SPAN_FMT, SPAN_ARG(op->text));
		break;
	default:
		break;
	}
	put_flags(b, op->flags & (OPF_NEGATIVE | OPF_REDELIVERED | OPF_TX | OPF_STORED | OPF_UP_TO));
	buf_putc(b, '\n');
}

static uint64_t note_op(void *ctx, struct op *op)
{
	struct notes *n = ctx;
	uint64_t id = ++n->next_id;

	CHECK(id < ARRAY_LEN(n->sent));
	CHECK_EQ(op->dest, DEST_LOG);
	CHECK(!(op->flags & (OPF_GAP | OPF_TRUNCATED)));
	CHECK(!holds(op->envelope, "hunter2") && !holds(op->text, "hunter2"));
	n->sent[id % ARRAY_LEN(n->sent)] = op->kind == OP_SEND;
	/* A group asks where it stood: nothing of the client's notes. */
	if (!(op->flags & OPF_REPORTED))
		note(n, op);
	return id;
}

static void compare(struct notes *n, const char *name, const char *how)
{
	struct buf want = fixture_load(&proto_kafka, name, ".truth");

	sort_lines(&want);
	sort_lines(&n->text);
	if (strcmp(buf_cstr(&n->text), buf_cstr(&want))) {
		fprintf(stderr, "--- %s, %s: got\n%s--- want\n%s", name, how, buf_cstr(&n->text),
			buf_cstr(&want));
		test_case_bad = true;
	}
	buf_free(&want);
}

/* @step: 0 as recorded, else at most that many bytes at a time; the first @cut bytes of each apart. */
static void play(struct scenario *s, size_t step, size_t cut, struct notes *n)
{
	static struct feed f[CONNS_MAX];
	static size_t cuts[CONNS_MAX];
	struct proto_out out = {.ctx = n, .emit = note_op};
	void *shared = proto_kafka.shared_new();
	unsigned i;

	for (i = 0; i < s->conns; i++) {
		feed_told(&f[i], &proto_kafka, shared, &out, true);
		cuts[i] = cut;
	}
	scenario_rewind(s);
	for (struct span chunk; scenario_next(s, &i, &chunk);)
		feed_part(&f[i], s->way, chunk, step, &cuts[i]);
	for (i = 0; i < s->conns; i++) {
		CHECK(!f[i].bad);
		feed_end(&f[i]);
		feed_free(&f[i]);
	}
	proto_kafka.shared_free(shared);
}

static void run(struct scenario *s, size_t step, size_t cut, const char *how)
{
	static struct notes n;

	play(s, step, cut, &n);
	compare(&n, s->name, how);
	buf_free(&n.text);
	memset(&n, 0, sizeof(n));
}

static void fixture(const char *name)
{
	struct scenario s;

	if (!scenario_load(&s, name))
		return;
	run(&s, 0, 0, "as recorded");
	if (!test_case_bad)
		run(&s, 1, 0, "byte by byte");
	for (size_t cut = 1; cut < 3000 && !test_case_bad; cut += cut < 100 ? 1 : 97)
		run(&s, 0, cut, "cut");
	scenario_free(&s);
}

static void codecs(void)
{
	fixture("codecs");
}

static void python(void)
{
	fixture("python");
}

static void java(void)
{
	fixture("java");
}

static void transactions(void)
{
	fixture("transactions");
}

static void sasl(void)
{
	fixture("sasl");
}

static void old(void)
{
	fixture("old");
}

int main(void)
{
	RUN(codecs);
	RUN(python);
	RUN(java);
	RUN(transactions);
	RUN(sasl);
	RUN(old);
	return test_end();
}
