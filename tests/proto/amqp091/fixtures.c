/*
 * Recorded conversations of a real client with a real RabbitMQ (record.py), against what the client knows
 * that it did and got. Operations are compared kind by kind, in order: the client's notes do not say how the
 * two directions interleaved.
 */
#include "proto/fixture.h"

/* What an operation says, in the words of record.py, one text a kind. */
struct notes {
	struct told told;
	uint64_t next_id;
	uint64_t number[4096];   /* of the publish that an operation was, by its id */
	struct buf first_fields; /* of the first receive */
};

static void note(struct notes *n, const struct op *op)
{
	static const char *const settles[] = {"none", "ack", "requeue", "reject", "auto", "lost"};
	struct buf *b = &n->told.kind[op->kind];
	uint32_t shown = op->flags & (OPF_MANDATORY | OPF_REDELIVERED | OPF_DURABLE | OPF_EXCLUSIVE |
					     OPF_NEGATIVE | OPF_BY_BROKER | OPF_PASSIVE);

	buf_puts(b, kind_text(op->kind));
	if (op->kind != OP_LOGIN)
		buf_printf(b, " ch=%u", op->channel);
	if (op->queue_known && op->kind != OP_SEND)
		buf_printf(b, " q=" SPAN_FMT, SPAN_ARG(op->queue));
	switch (op->kind) {
	case OP_LOGIN:
		buf_printf(b, " text=" SPAN_FMT " vhost=" SPAN_FMT, SPAN_ARG(op->text), SPAN_ARG(op->vhost));
		break;
	case OP_SEND:
	case OP_RECEIVE:
	case OP_RETURN:
		buf_printf(b, " ex=" SPAN_FMT " key=" SPAN_FMT, SPAN_ARG(op->exchange),
			SPAN_ARG(op->routing_key));
		if (op->kind == OP_RECEIVE)
			buf_printf(b, " consumer=" SPAN_FMT " tag=%llu", SPAN_ARG(op->consumer),
				(unsigned long long)op->tag);
		if (op->kind == OP_RETURN)
			buf_printf(b, " code=%u", op->code);
		buf_printf(b, " size=%llu sum=%08x", (unsigned long long)op->body_size, fnv(op->body));
		if (op->kind == OP_RETURN)
			buf_printf(b, " of=%llu", (unsigned long long)n->number[op->ref % 4096]);
		break;
	case OP_CONFIRM:
		buf_printf(b, " n=%llu", (unsigned long long)op->tag);
		CHECK(op->ref != 0);
		break;
	case OP_SETTLE:
		buf_printf(b, " tag=%llu %s", (unsigned long long)op->tag, settles[op->settle]);
		CHECK(op->ref != 0);
		break;
	case OP_SUBSCRIBE:
	case OP_UNSUBSCRIBE:
		buf_printf(b, " consumer=" SPAN_FMT, SPAN_ARG(op->consumer));
		break;
	case OP_ERROR:
		buf_printf(b, " code=%u text=" SPAN_FMT, op->code, SPAN_ARG(op->text));
		break;
	case OP_EXCHANGE_DECLARE:
		buf_printf(b, " ex=" SPAN_FMT " type=" SPAN_FMT, SPAN_ARG(op->exchange), SPAN_ARG(op->type));
		break;
	case OP_EXCHANGE_DELETE:
		buf_printf(b, " ex=" SPAN_FMT, SPAN_ARG(op->exchange));
		break;
	case OP_EXCHANGE_BIND:
	case OP_EXCHANGE_UNBIND:
	case OP_QUEUE_BIND:
	case OP_QUEUE_UNBIND:
		buf_printf(b, " ex=" SPAN_FMT " key=" SPAN_FMT, SPAN_ARG(op->exchange),
			SPAN_ARG(op->routing_key));
		break;
	default:
		break;
	}
	put_flags(b, shown);
	proto_amqp091.args(op->args, put_field, b);
	buf_putc(b, '\n');
}

static uint64_t note_op(void *ctx, struct op *op)
{
	struct notes *n = ctx;
	uint64_t id = ++n->next_id;

	if (op->kind == OP_SEND)
		n->number[id % 4096] = op->tag;
	if (op->kind == OP_RECEIVE && !n->first_fields.n)
		CHECK_EQ(proto_amqp091.fields(op->envelope, put_field, &n->first_fields), 0);
	CHECK(!(op->flags & (OPF_GAP | OPF_TRUNCATED)));
	note(n, op);
	return id;
}

/* @step: 0 as recorded, else at most that many bytes at a time; the first @cut bytes apart. */
static void play(struct span rec, size_t step, size_t cut, struct notes *n)
{
	struct proto_out out = {.ctx = n, .emit = note_op};
	enum flowdir way;
	struct span s;
	struct feed f;

	feed_told(&f, &proto_amqp091, NULL, &out, true);
	rec = span_sub(rec, 6, SIZE_MAX);
	while (chunk_next(&rec, &way, &s))
		feed_part(&f, way, s, step, &cut);
	CHECK(!f.bad);
	feed_end(&f);
	feed_free(&f);
}

static void run(
	const char *name, const char *how, struct span rec, size_t step, size_t cut, const char *first_fields)
{
	static struct notes n;

	n = (struct notes){.told = {name, how, .truth = fixture_load(&proto_amqp091, name, ".truth")}};
	play(rec, step, cut, &n);
	for (int k = 1; k < KINDS; k++)
		told_same(&n.told, (enum op_kind)k, false, false);
	if (first_fields)
		CHECK_STR(buf_cstr(&n.first_fields), first_fields);
	told_free(&n.told);
	buf_free(&n.first_fields);
}

static void fixture(const char *name, const char *first_fields)
{
	struct buf rec = fixture_load(&proto_amqp091, name, ".bin");

	run(name, "as recorded", buf_span(&rec), 0, 0, first_fields);
	run(name, "byte by byte", buf_span(&rec), 1, 0, first_fields);
	/* Cut at every length; of large ones at lengths that fall anywhere in a frame. */
	for (size_t cut = 1; cut < rec.n && !test_case_bad; cut += rec.n < 10000 ? 1 : 997)
		run(name, "cut", buf_span(&rec), 0, cut, first_fields);
	buf_free(&rec);
}

static void deadletter(void)
{
	fixture("deadletter", " {content-type=application/json} {content-encoding=utf-8} {header.int=7}"
			      " {header.long=1099511627776} {header.text=J\xc3\xb6hn} {header.bytes=\x01\xff}"
			      " {header.yes=true} {header.none=null} {header.when=2024-02-29T12:00:00Z} "
			      "{header.price=19.99}"
			      " {header.table.a.b[0]=1} {header.table.a.b[1]=two} {header.table.a.b[2].c=3}"
			      " {header.traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01}"
			      " {delivery-mode=2} {priority=3} {correlation-id=corr-1} {reply-to=fx.replies}"
			      " {expiration=600000} {message-id=msg-1} {timestamp=2023-11-14T22:13:20Z}"
			      " {type=order.created} {user-id=guest} {app-id=shop}");
}

static void bodies(void)
{
	fixture("bodies", NULL);
}

static void transactions(void)
{
	fixture("transactions", NULL);
}

static void errors(void)
{
	fixture("errors", NULL);
}

int main(void)
{
	RUN(deadletter);
	RUN(bodies);
	RUN(transactions);
	RUN(errors);
	return test_end();
}
