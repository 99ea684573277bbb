/* Identity, state and routes: which delivery is the message of which send, and where each copy stands. */
#include "test_correlate.h"

#define ORDER "{\"order\":{\"id\":4711}}"

static void direct_life(void)
{
	struct bench b;
	uint64_t s, d;

	bench_new(&b, NULL);
	declare_queue(&b, "work", "");
	s = publish(&b, 0, 1, "", "work", "message-id=a1", ORDER);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "queued");
	CHECK_STR(state_in(&b, 1, "work"), "queued");
	CHECK_EQ(copy_in(&b, 1, "work")->source, COPY_BY_DEFAULT);
	CHECK_EQ(message(&b, 1)->routes, ROUTES_DECLARED);
	feed(&b, 0, 1, (struct op){.kind = OP_CONFIRM, .ref = s});
	d = deliver(&b, 1, 2, "work", "", "work", "message-id=a1", ORDER);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "delivered");
	CHECK_EQ(copy_in(&b, 1, "work")->deliveries, 1);
	CHECK_EQ(message(&b, 1)->one_of, 1);
	CHECK(message(&b, 1)->flags & MSGF_CONFIRMED);
	settle(&b, 1, 2, d, SETTLE_ACK);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "acked");
	CHECK_EQ(copy_in(&b, 1, "work")->settle, SETTLE_ACK);
	CHECK_EQ(b.rows->nm, 2);
	CHECK_EQ(copies_of(&b, 1), 1);
	CHECK_EQ(b.rows->payloads, 1);
	CHECK(b.rows->identifiers >= 2); /* message-id and order.id */
	CHECK_EQ(b.rows->operations, 5);
	CHECK_EQ(b.rows->ops[5].message, 1);
	CHECK_EQ(b.rows->ops[5].copy, copy_in(&b, 1, "work")->id);
	bench_end(&b);
}

/* A message that came and went between two flushes is written once. */
static void written_once(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	declare_queue(&b, "work", "");
	publish(&b, 0, 1, "", "work", "", "x");
	d = deliver(&b, 1, 2, "work", "", "work", "", "x");
	settle(&b, 1, 2, d, SETTLE_ACK);
	flush(&b);
	CHECK_EQ(b.rows->messages_written, 1);
	CHECK_EQ(b.rows->copies_written, 1);
	flush(&b);
	CHECK_EQ(b.rows->messages_written, 1);
	bench_end(&b);
}

static void fanout(void)
{
	static const char *const queues[] = {"billing", "invoices", "audit"};
	struct bench b;
	uint64_t d[3];

	bench_new(&b, NULL);
	declare_exchange(&b, "orders", "fanout");
	for (int i = 0; i < 3; i++) {
		declare_queue(&b, queues[i], "");
		bind_queue(&b, queues[i], "orders", "");
	}
	publish(&b, 0, 1, "orders", "any", "", ORDER);
	flush(&b);
	CHECK_EQ(copies_of(&b, 1), 3);
	CHECK_EQ(message(&b, 1)->routes, ROUTES_DECLARED);
	for (int i = 2; i >= 0; i--)
		d[i] = deliver(&b, (unsigned)i + 1, 7, queues[i], "orders", "any", "", ORDER);
	settle(&b, 1, 7, d[0], SETTLE_ACK);
	settle(&b, 3, 7, d[2], SETTLE_REQUEUE);
	flush(&b);
	CHECK_EQ(b.rows->nm, 2);
	CHECK_EQ(copies_of(&b, 1), 3);
	CHECK_STR(state_in(&b, 1, "billing"), "acked");
	CHECK_STR(state_in(&b, 1, "invoices"), "delivered");
	CHECK_STR(state_in(&b, 1, "audit"), "requeued");
	CHECK_STR(state_of(&b, 1), "requeued");
	bench_end(&b);
}

/* Queues that a publish with @key reaches, in one string. */
static const char *reached(struct bench *b, const char *exchange, const char *key, const char *env)
{
	static char out[256];
	uint64_t id;

	publish(b, 0, 1, exchange, key, env, "");
	flush(b);
	id = b->rows->nm - 1;
	out[0] = '\0';
	for (size_t i = 0; i < b->rows->nc; i++)
		if (b->rows->c[i].r.id && b->rows->c[i].r.message == id)
			snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s ", b->rows->c[i].queue);
	if (message(b, id)->routes == ROUTES_DECLARED)
		strcat(out, "all");
	return out;
}

static void topic(void)
{
	static const char *const bound[][2] = {{"a", "order.*"}, {"b", "order.#"}, {"c", "#.paid"},
		{"d", "#"}, {"e", "*.*.eu"}, {"f", "order.#.eu"}, {"g", "#.#.x"}, {"h", ""}};
	struct bench b;

	bench_new(&b, NULL);
	declare_exchange(&b, "t", "topic");
	for (size_t i = 0; i < ARRAY_LEN(bound); i++)
		bind_queue(&b, bound[i][0], "t", bound[i][1]);
	CHECK_STR(reached(&b, "t", "order.created", ""), "a b d all");
	CHECK_STR(reached(&b, "t", "order", ""), "b d all");
	CHECK_STR(reached(&b, "t", "order.created.eu", ""), "b d e f all");
	CHECK_STR(reached(&b, "t", "order.eu", ""), "a b d f all");
	CHECK_STR(reached(&b, "t", "order.x.paid", ""), "b c d all");
	CHECK_STR(reached(&b, "t", "paid", ""), "c d all");
	CHECK_STR(reached(&b, "t", "x", ""), "d g all");
	CHECK_STR(reached(&b, "t", "", ""), "d h all");
	CHECK_STR(reached(&b, "t", "order.", ""), "a b d all");
	CHECK_STR(reached(&b, "t", "orders.created", ""), "d all");
	CHECK_STR(reached(&b, "t", "order.created", ""), "a b d all"); /* now from the cache */
	topology(&b, OP_QUEUE_UNBIND, "t", "a", "order.*", "", "", 0);
	CHECK_STR(reached(&b, "t", "order.created", ""), "b d all");
	topology(&b, OP_QUEUE_DELETE, "", "b", "", "", "", 0);
	CHECK_STR(reached(&b, "t", "order.created", ""), "d all");
	/* CC is routed like the key, and twice the same queue is one copy. */
	CHECK_STR(reached(&b, "t", "order", "header.CC[0]=x\nheader.BCC[0]=order.created"), "d g all");
	bench_end(&b);
}

static void direct_exchange(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_exchange(&b, "d", "direct");
	bind_queue(&b, "q1", "d", "red");
	bind_queue(&b, "q2", "d", "red");
	bind_queue(&b, "q3", "d", "blue");
	CHECK_STR(reached(&b, "d", "red", ""), "q1 q2 all");
	CHECK_STR(reached(&b, "d", "blue", ""), "q3 all");
	CHECK_STR(reached(&b, "d", "green", ""), "all");
	CHECK_STR(state_of(&b, 3), "sent"); /* unroutable: no copy, and all routes known */
	CHECK_STR(reached(&b, "never-declared", "red", ""), "");
	bench_end(&b);
}

static void headers_exchange(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_exchange(&b, "h", "headers");
	topology(&b, OP_QUEUE_BIND, "h", "all2", "", "", "x-match=all\nformat=pdf\ntype=report", 0);
	topology(&b, OP_QUEUE_BIND, "h", "any2", "", "", "x-match=any\nformat=pdf\ntype=log", 0);
	topology(&b, OP_QUEUE_BIND, "h", "default", "", "", "format=pdf", 0);
	topology(&b, OP_QUEUE_BIND, "h", "ignores-x", "", "", "x-match=all\nx-kind=1\nformat=pdf", 0);
	topology(&b, OP_QUEUE_BIND, "h", "with-x", "", "", "x-match=all-with-x\nx-kind=1\nformat=pdf", 0);
	topology(&b, OP_QUEUE_BIND, "h", "any-x", "", "", "x-match=any-with-x\nx-kind=1", 0);
	CHECK_STR(reached(&b, "h", "", "header.format=pdf\nheader.type=report"),
		"all2 any2 default ignores-x all");
	CHECK_STR(reached(&b, "h", "", "header.format=zip\nheader.type=log"), "any2 all");
	CHECK_STR(reached(&b, "h", "", "header.format=pdf\nheader.x-kind=1"),
		"any2 default ignores-x with-x any-x all");
	CHECK_STR(reached(&b, "h", "", "content-type=pdf"), "all");
	bench_end(&b);
}

static void exchange_to_exchange_cycle(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_exchange(&b, "a", "topic");
	declare_exchange(&b, "b", "fanout");
	topology(&b, OP_EXCHANGE_BIND, "a", "b", "x.#", "", "", 0);
	topology(&b, OP_EXCHANGE_BIND, "b", "a", "", "", "", 0);
	bind_queue(&b, "qa", "a", "x.1");
	bind_queue(&b, "qb", "b", "");
	CHECK_STR(reached(&b, "a", "x.1", ""), "qb qa all");
	CHECK_STR(reached(&b, "a", "y", ""), "all");
	CHECK_STR(reached(&b, "b", "y", ""), "qb all");
	bench_end(&b);
}

static void alternate_exchange(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_exchange(&b, "lost", "fanout");
	bind_queue(&b, "lost-and-found", "lost", "");
	topology(&b, OP_EXCHANGE_DECLARE, "main", "", "", "direct", "alternate-exchange=lost", 0);
	bind_queue(&b, "q", "main", "k");
	CHECK_STR(reached(&b, "main", "k", ""), "q all");
	CHECK_STR(reached(&b, "main", "other", ""), "lost-and-found all");
	bench_end(&b);
}

/* What was there before us may have bindings that nobody showed. */
static void routes_are_honest(void)
{
	struct bench b;

	bench_new(&b, NULL);
	bind_queue(&b, "q1", "amq.topic", "a.#");
	CHECK_STR(reached(&b, "amq.topic", "a.b", ""), "q1 ");
	topology(&b, OP_EXCHANGE_DECLARE, "passive", "", "", "direct", "", OPF_PASSIVE);
	bind_queue(&b, "q1", "passive", "k");
	CHECK_STR(reached(&b, "passive", "k", ""), "q1 "); /* equal key, no arguments: any type leads there */
	publish(&b, 0, 1, "used-before", "k", "", "");
	declare_exchange(&b, "used-before", "direct");
	CHECK_STR(reached(&b, "used-before", "k", ""), "");
	CHECK_STR(reached(&b, "", "nobody-knows", ""), "");
	bench_end(&b);
}

/* A service that starts again declares what it needs; the others' bindings are older than us. */
static void broker_with_a_past(void)
{
	struct bench b;

	bench_new(&b, NULL);
	b.conns[3].from_start = false;
	b.conns[3].server_pid = 0;
	b.err |= correlator__conn(b.c, &b.conns[3], NULL, CONN_UNKNOWN);
	declare_exchange(&b, "orders", "topic");
	bind_queue(&b, "billing", "orders", "#");
	CHECK_STR(reached(&b, "orders", "k", ""), "billing ");
	bench_end(&b);
}

/* No binding is known, and yet it comes out, of a consumer whose queue is not known either. */
static void unknown_place_contradicts(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_exchange(&b, "orders", "topic");
	publish(&b, 0, 1, "orders", "k", "", ORDER);
	deliver_as(&b, 1, 1, NULL, "t1", 0, "orders", "k", "", ORDER);
	flush(&b);
	CHECK_EQ(message(&b, 1)->routes, ROUTES_UNKNOWN);
	CHECK_STR(state_in(&b, 1, ""), "delivered");
	CHECK_STR(reached(&b, "orders", "k2", ""), "");
	bench_end(&b);
}

static void delivery_contradicts_bindings(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_exchange(&b, "orders", "topic");
	bind_queue(&b, "billing", "orders", "#");
	publish(&b, 0, 1, "orders", "k", "", ORDER);
	deliver(&b, 1, 1, "shadow", "orders", "k", "", ORDER);
	flush(&b);
	CHECK_EQ(b.rows->nm, 2);
	CHECK_EQ(message(&b, 1)->routes, ROUTES_UNKNOWN);
	CHECK_EQ(copy_in(&b, 1, "shadow")->source, COPY_BY_DELIVERY);
	CHECK_STR(state_in(&b, 1, "billing"), "queued");
	CHECK_STR(reached(&b, "orders", "k2", ""), "billing "); /* for good */
	bench_end(&b);
}

/* Equal messages: first in, first out, and we say how many there were. */
static void identical_bodies(void)
{
	struct bench b;
	uint64_t d[3];

	bench_new(&b, NULL);
	declare_queue(&b, "q", "");
	for (int i = 0; i < 3; i++)
		publish(&b, 0, 1, "", "q", "", "beat");
	for (int i = 0; i < 3; i++)
		d[i] = deliver(&b, 1, 1, "q", "", "q", "", "beat");
	settle(&b, 1, 1, d[1], SETTLE_ACK);
	flush(&b);
	CHECK_EQ(b.rows->nm, 4);
	CHECK_EQ(message(&b, 1)->one_of, 3);
	CHECK_EQ(message(&b, 3)->one_of, 1);
	CHECK_STR(state_of(&b, 1), "delivered");
	CHECK_STR(state_of(&b, 2), "acked");
	CHECK_STR(state_of(&b, 3), "delivered");
	/* A fourth delivery has no send: it was there before us. */
	deliver(&b, 1, 1, "q", "", "q", "", "beat");
	flush(&b);
	CHECK_EQ(message(&b, 4)->origin, ORIGIN_UNSEEN);
	bench_end(&b);
}

static void truncated_is_never_exact(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_queue(&b, "q", "");
	for (int i = 0; i < 2; i++)
		feed(&b, (unsigned)i, 1,
			(struct op){.kind = i ? OP_RECEIVE : OP_SEND,
				.flags = OPF_TRUNCATED,
				.vhost = S("/"),
				.routing_key = S("q"),
				.queue = S("q"),
				.queue_known = true,
				.body = S("the begi"),
				.body_size = 5000});
	flush(&b);
	CHECK_EQ(b.rows->nm, 2);
	CHECK_EQ(message(&b, 1)->one_of, 0);
	CHECK(message(&b, 1)->flags & OPF_TRUNCATED);
	CHECK_EQ(message(&b, 1)->body_size, 5000);
	CHECK_STR(state_of(&b, 1), "delivered");
	bench_end(&b);
}

/* With bytes missing it is nobody's copy, rather than the wrong one's. */
static void gap_joins_nothing(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_queue(&b, "q", "");
	publish(&b, 0, 1, "", "q", "", "body");
	feed(&b, 1, 1,
		(struct op){.kind = OP_RECEIVE,
			.flags = OPF_GAP,
			.vhost = S("/"),
			.routing_key = S("q"),
			.queue = S("q"),
			.queue_known = true,
			.body = S("body"),
			.body_size = 4});
	flush(&b);
	CHECK_EQ(b.rows->nm, 3);
	CHECK_STR(state_of(&b, 1), "queued");
	CHECK_EQ(message(&b, 2)->origin, ORIGIN_UNSEEN);
	bench_end(&b);
}

static void redelivery(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	declare_queue(&b, "q", "");
	publish(&b, 0, 1, "", "q", "", "same");
	publish(&b, 0, 1, "", "q", "", "same");
	d = deliver(&b, 1, 1, "q", "", "q", "", "same");
	settle(&b, 1, 1, d, SETTLE_REQUEUE);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "requeued");
	/* Not marked: it is the second one. */
	deliver(&b, 1, 1, "q", "", "q", "", "same");
	d = deliver_as(&b, 2, 1, "q", "", OPF_REDELIVERED, "", "q", "", "same");
	flush(&b);
	CHECK_STR(state_of(&b, 2), "delivered");
	CHECK_EQ(copy_in(&b, 2, "q")->deliveries, 1);
	CHECK_EQ(copy_in(&b, 1, "q")->deliveries, 2);
	settle(&b, 2, 1, d, SETTLE_LOST);
	d = deliver_as(&b, 2, 1, "q", "", OPF_REDELIVERED, "", "q", "", "same");
	settle(&b, 2, 1, d, SETTLE_ACK);
	flush(&b);
	CHECK_EQ(copy_in(&b, 1, "q")->deliveries, 3);
	CHECK_STR(state_of(&b, 1), "acked");
	CHECK_EQ(b.rows->nm, 3);
	bench_end(&b);
}

/* The next consumer has it before the end of the first one's channel is seen. */
static void redelivered_before_loss(void)
{
	struct bench b;
	uint64_t d1, d2;

	bench_new(&b, NULL);
	declare_queue(&b, "q", "");
	publish(&b, 0, 1, "", "q", "", "same");
	d1 = deliver(&b, 1, 1, "q", "", "q", "", "same");
	d2 = deliver_as(&b, 2, 1, "q", "", OPF_REDELIVERED, "", "q", "", "same");
	settle(&b, 1, 1, d1, SETTLE_LOST);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "delivered");
	CHECK_EQ(copy_in(&b, 1, "q")->deliveries, 2);
	settle(&b, 2, 1, d2, SETTLE_ACK);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "acked");
	bench_end(&b);
}

/* The sender's call returned after the consumer's. */
static void late_send(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	declare_exchange(&b, "orders", "fanout");
	bind_queue(&b, "q", "orders", "");
	bind_queue(&b, "q2", "orders", "");
	d = deliver(&b, 1, 1, "q", "orders", "k", "message-id=1", ORDER);
	publish(&b, 0, 9, "orders", "k", "message-id=1", ORDER);
	settle(&b, 1, 1, d, SETTLE_ACK);
	flush(&b);
	CHECK_EQ(b.rows->nm, 2);
	CHECK_EQ(message(&b, 1)->origin, ORIGIN_CLIENT);
	CHECK_EQ(message(&b, 1)->tid, 9);
	CHECK(message(&b, 1)->sent_ns > message(&b, 1)->first_ns);
	CHECK_STR(state_in(&b, 1, "q"), "acked");
	CHECK_STR(state_in(&b, 1, "q2"), "queued");
	/* A minute later it is another message. */
	wait_ms(&b, 60000);
	publish(&b, 0, 9, "orders", "k", "message-id=1", ORDER);
	flush(&b);
	CHECK_EQ(b.rows->nm, 3);
	bench_end(&b);
}

static void purge_and_delete(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	declare_queue(&b, "q", "");
	declare_queue(&b, "r", "");
	publish(&b, 0, 1, "", "q", "", "1");
	publish(&b, 0, 1, "", "q", "", "2");
	publish(&b, 0, 1, "", "r", "", "3");
	d = deliver(&b, 1, 1, "q", "", "q", "", "1");
	topology(&b, OP_QUEUE_PURGE, "", "q", "", "", "", 0);
	topology(&b, OP_QUEUE_DELETE, "", "r", "", "", "", 0);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "delivered"); /* not in the queue */
	CHECK_STR(state_of(&b, 2), "purged");
	CHECK_STR(state_of(&b, 3), "purged");
	topology(&b, OP_QUEUE_DELETE, "", "q", "", "", "", 0);
	settle(&b, 1, 1, d, SETTLE_LOST);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "purged");
	CHECK_STR(reached(&b, "", "q", ""), "");
	bench_end(&b);
}

/* Exclusive queues go with their connection, auto-delete ones with their last consumer. */
static void queues_that_end(void)
{
	struct bench b;

	bench_new(&b, NULL);
	topology(&b, OP_QUEUE_DECLARE, "", "mine", "", "", "", OPF_EXCLUSIVE);
	feed(&b, 1, 1,
		(struct op){.kind = OP_QUEUE_DECLARE,
			.flags = OPF_AUTO_DELETE,
			.vhost = S("/"),
			.queue = S("auto")});
	feed(&b, 1, 1,
		(struct op){.kind = OP_SUBSCRIBE, .vhost = S("/"), .queue = S("auto"), .consumer = S("t")});
	publish(&b, 2, 1, "", "mine", "", "1");
	publish(&b, 2, 1, "", "auto", "", "2");
	b.conns[0].closed_ns = b.ts;
	b.err |= correlator__conn(b.c, &b.conns[0], &fake_proto, CONN_DECODED);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "purged");
	CHECK_STR(state_of(&b, 2), "queued");
	feed(&b, 1, 1, (struct op){.kind = OP_UNSUBSCRIBE, .vhost = S("/"), .consumer = S("t")});
	flush(&b);
	CHECK_STR(state_of(&b, 2), "purged");
	CHECK_EQ(b.rows->consumers, 2);
	bench_end(&b);
}

static void confirms_and_returns(void)
{
	struct bench b;
	uint64_t s[4];

	bench_new(&b, NULL);
	declare_exchange(&b, "x", "direct");
	for (int i = 0; i < 4; i++)
		s[i] = publish(&b, 0, 1, "x", "nowhere", "",
			i == 0   ? "0"
			: i == 1 ? "1"
			: i == 2 ? "2"
				 : "3");
	/* multiple: one operation for each */
	for (int i = 0; i < 2; i++)
		feed(&b, 0, 1, (struct op){.kind = OP_CONFIRM, .ref = s[i], .flags = OPF_ONE_OF_MANY});
	feed(&b, 0, 1, (struct op){.kind = OP_CONFIRM, .ref = s[2], .flags = OPF_NEGATIVE});
	feed(&b, 0, 1, (struct op){.kind = OP_RETURN, .ref = s[3], .code = 312, .text = S("NO_ROUTE")});
	feed(&b, 0, 1, (struct op){.kind = OP_CONFIRM, .ref = s[3]});
	feed(&b, 0, 1, (struct op){.kind = OP_CONFIRM, .ref = 0});
	feed(&b, 0, 1, (struct op){.kind = OP_CONFIRM, .ref = 99999});
	flush(&b);
	CHECK_STR(state_of(&b, 1), "confirmed");
	CHECK_STR(state_of(&b, 2), "confirmed");
	CHECK_STR(state_of(&b, 3), "returned");
	CHECK(message(&b, 3)->flags & MSGF_REFUSED);
	CHECK_STR(state_of(&b, 4), "returned");
	CHECK_EQ(message(&b, 4)->code, 312);
	CHECK(message(&b, 4)->flags & MSGF_CONFIRMED);
	bench_end(&b);
}

/* What was believed to be routed and came back: the bindings are not what we think. */
static void return_contradicts(void)
{
	struct bench b;
	uint64_t s;

	bench_new(&b, NULL);
	declare_exchange(&b, "x", "direct");
	bind_queue(&b, "q", "x", "k");
	s = publish(&b, 0, 1, "x", "k", "", "0");
	feed(&b, 0, 1, (struct op){.kind = OP_RETURN, .ref = s, .code = 312});
	flush(&b);
	CHECK_STR(state_of(&b, 1), "returned");
	CHECK_STR(state_in(&b, 1, "q"), "returned");
	CHECK_STR(reached(&b, "x", "k", ""), "q ");
	bench_end(&b);
}

static void transaction(void)
{
	struct bench b;
	uint64_t s[2];

	bench_new(&b, NULL);
	declare_queue(&b, "q", "");
	for (int i = 0; i < 2; i++)
		s[i] = feed(&b, 0, 1,
			(struct op){.kind = OP_SEND,
				.flags = OPF_TX,
				.vhost = S("/"),
				.routing_key = S("q"),
				.body = S(i ? "1" : "0")});
	flush(&b);
	CHECK_EQ(copies_of(&b, 1), 0);
	CHECK_STR(state_of(&b, 1), "sent");
	feed(&b, 0, 1, (struct op){.kind = OP_CONFIRM, .ref = s[0]});
	feed(&b, 0, 1, (struct op){.kind = OP_CONFIRM, .ref = s[1], .flags = OPF_NEGATIVE});
	flush(&b);
	CHECK_STR(state_of(&b, 1), "queued");
	CHECK_STR(state_of(&b, 2), "returned");
	CHECK_EQ(copies_of(&b, 2), 0);
	bench_end(&b);
}

/* Consumers older than us: where bindings do not narrow it down, their queue is unknown. */
static void unknown_tags(void)
{
	struct bench b;

	bench_new(&b, NULL);
	deliver_as(&b, 1, 1, NULL, "t1", 0, "", "work", "", "a");
	flush(&b);
	CHECK_STR(state_in(&b, 1, ""), "delivered"); /* it may be a copy by CC */
	CHECK_EQ(message(&b, 1)->origin, ORIGIN_UNSEEN);
	deliver_as(&b, 1, 1, NULL, "t2", 0, "mystery", "k", "", "b");
	flush(&b);
	CHECK_STR(state_in(&b, 2, ""), "delivered");
	/* The same message out of another unknown place is another copy of it. */
	deliver_as(&b, 2, 1, NULL, "t3", 0, "mystery", "k", "", "b");
	flush(&b);
	CHECK_EQ(b.rows->nm, 3);
	CHECK_EQ(copies_of(&b, 2), 2);
	bench_end(&b);
}

static void unknown_tags_narrow(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	declare_exchange(&b, "orders", "topic");
	bind_queue(&b, "billing", "orders", "order.#");
	bind_queue(&b, "invoices", "orders", "order.created");
	publish(&b, 0, 1, "orders", "order.created", "", "1");
	d = deliver_as(&b, 1, 1, NULL, "t1", 0, "orders", "order.created", "", "1");
	settle(&b, 1, 1, d, SETTLE_ACK);
	flush(&b);
	/* billing or invoices: not known, so neither is said to wait. */
	CHECK_STR(state_in(&b, 1, ""), "acked");
	CHECK_STR(state_in(&b, 1, "billing"), "unknown");
	CHECK_STR(state_in(&b, 1, "invoices"), "unknown");
	/* Only billing gets this one: the consumer is billing's, and was for the first message too. */
	publish(&b, 0, 1, "orders", "order.paid", "", "2");
	deliver_as(&b, 1, 1, NULL, "t1", 0, "orders", "order.paid", "", "2");
	flush(&b);
	CHECK_STR(state_in(&b, 2, "billing"), "delivered");
	CHECK_STR(state_in(&b, 1, "billing"), "acked");
	CHECK_STR(state_in(&b, 1, ""), "no copy");
	CHECK_EQ(copies_of(&b, 1), 2);
	bench_end(&b);
}

/* --- dead letters --- */

static void shop(struct bench *b)
{
	declare_exchange(b, "orders", "topic");
	declare_exchange(b, "shop.dlx", "fanout");
	declare_queue(b, "billing", "x-dead-letter-exchange=shop.dlx");
	declare_queue(b, "billing.dlq", "");
	bind_queue(b, "billing", "orders", "order.*");
	bind_queue(b, "billing.dlq", "shop.dlx", "");
}

#define DEATH1                                                                                               \
	"header.x-death[0].queue=billing\nheader.x-death[0].reason=rejected\nheader.x-death[0].exchange="    \
	"orders\nheader.x-death[0].routing-keys[0]=order.created\nheader.x-death[0].count=1"

static void rejected_to_dlq(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	name_process(&b, 1, "billing");
	shop(&b);
	publish(&b, 0, 1, "orders", "order.created", "message-id=7", ORDER);
	for (int i = 0; i < 2; i++) {
		d = deliver_as(&b, 1, 5, "billing", "", i ? OPF_REDELIVERED : 0, "orders", "order.created",
			"message-id=7", ORDER);
		settle(&b, 1, 5, d, SETTLE_REQUEUE);
	}
	d = deliver_as(
		&b, 1, 5, "billing", "", OPF_REDELIVERED, "orders", "order.created", "message-id=7", ORDER);
	settle(&b, 1, 5, d, SETTLE_REJECT);
	flush(&b);
	CHECK_EQ(b.rows->nm, 3);
	CHECK_STR(state_of(&b, 1), "dead-lettered");
	CHECK_EQ(copy_in(&b, 1, "billing")->dead_letter, 2);
	CHECK_EQ(copy_in(&b, 1, "billing")->deliveries, 3);
	CHECK_STR(b.rows->m[2].exchange, "shop.dlx");
	CHECK_STR(b.rows->m[2].key, "order.created");
	CHECK_EQ(message(&b, 2)->origin, ORIGIN_BROKER);
	CHECK_EQ(message(&b, 2)->payload, message(&b, 1)->payload);
	CHECK_STR(state_in(&b, 2, "billing.dlq"), "queued");
	CHECK_EQ(copy_in(&b, 2, "billing.dlq")->source, COPY_BY_DEATH);
	CHECK_STR(state_of(&b, 2), "dead-lettered");
	CHECK_EQ(source_of(&b, 2, LINK_DEAD_LETTER_OF), 1);
	check_evidence(&b, 2, LINK_DEAD_LETTER_OF, "rejected by billing (pid 1001) on delivery 3");
	check_evidence(&b, 2, LINK_DEAD_LETTER_OF, "x-dead-letter-exchange shop.dlx, bound to billing.dlq");
	CHECK_EQ(flow_of(&b, 2), 1);
	/* Much later somebody takes it. */
	wait_ms(&b, 3600000);
	d = deliver(&b, 2, 8, "billing.dlq", "shop.dlx", "order.created", "message-id=7\n" DEATH1, ORDER);
	flush(&b);
	CHECK_EQ(b.rows->nm, 3);
	CHECK_STR(state_of(&b, 2), "delivered");
	CHECK(message(&b, 2)->payload != message(&b, 1)->payload); /* with its x-death */
	settle(&b, 2, 8, d, SETTLE_ACK);
	flush(&b);
	CHECK_STR(state_of(&b, 2), "acked");
	bench_end(&b);
}

/* The dead letter is taken before the rejection is seen. */
static void dead_letter_overtakes(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	shop(&b);
	publish(&b, 0, 1, "orders", "order.created", "", ORDER);
	d = deliver(&b, 1, 5, "billing", "orders", "order.created", "", ORDER);
	deliver(&b, 2, 8, "billing.dlq", "shop.dlx", "order.created", DEATH1, ORDER);
	settle(&b, 1, 5, d, SETTLE_REJECT);
	flush(&b);
	CHECK_EQ(b.rows->nm, 3);
	CHECK_STR(state_of(&b, 1), "dead-lettered");
	CHECK_EQ(copy_in(&b, 1, "billing")->settle, SETTLE_REJECT);
	CHECK_STR(state_of(&b, 2), "delivered");
	CHECK_EQ(source_of(&b, 2, LINK_DEAD_LETTER_OF), 1);
	CHECK_EQ(b.rows->nl, 2);
	bench_end(&b);
}

/* A policy dead-letters, no declaration shows it: the header teaches. */
static void dead_letter_by_policy(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	publish(&b, 0, 1, "orders", "order.created", "", "1");
	publish(&b, 0, 1, "orders", "order.created", "", "2");
	d = deliver(&b, 1, 5, "billing", "orders", "order.created", "", "1");
	settle(&b, 1, 5, d, SETTLE_REJECT);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "rejected");
	deliver(&b, 2, 8, "dead", "dlx", "order.created", DEATH1, "1");
	flush(&b);
	CHECK_STR(state_of(&b, 1), "dead-lettered");
	CHECK_EQ(message(&b, 3)->origin, ORIGIN_BROKER);
	CHECK_EQ(source_of(&b, 3, LINK_DEAD_LETTER_OF), 1);
	check_evidence(&b, 3, LINK_DEAD_LETTER_OF, "x-death: rejected in billing");
	CHECK_EQ(copy_in(&b, 1, "billing")->dead_letter, 3);
	/* The next rejection is known to go there. */
	d = deliver(&b, 1, 5, "billing", "orders", "order.created", "", "2");
	settle(&b, 1, 5, d, SETTLE_REJECT);
	flush(&b);
	CHECK_STR(state_of(&b, 2), "dead-lettered");
	check_evidence(&b, 4, LINK_DEAD_LETTER_OF, "was seen to dead-letter to dlx");
	bench_end(&b);
}

#define LOOP(retries, rejects)                                                                               \
	"header.x-death[0].queue=billing.retry\nheader.x-death[0].reason=expired\nheader.x-death[0]."        \
	"exchange=retry\nheader.x-death[0].routing-keys[0]=order.created\nheader.x-death[0].count=" retries  \
	"\nheader.x-death[1].queue=billing\nheader.x-death[1].reason=rejected\nheader.x-death[1].exchange="  \
	"orders\nheader.x-death[1].routing-keys[0]=order.created\nheader.x-death[1].count=" rejects

/* billing -> retry -> billing -> retry -> billing, each hop a message of its own. */
static void retry_loop(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	declare_exchange(&b, "orders", "topic");
	declare_exchange(&b, "retry", "fanout");
	declare_queue(&b, "billing", "x-dead-letter-exchange=retry");
	declare_queue(&b, "billing.retry", "x-dead-letter-exchange=orders\nx-message-ttl=5000");
	bind_queue(&b, "billing", "orders", "order.*");
	bind_queue(&b, "billing.retry", "retry", "");
	publish(&b, 0, 1, "orders", "order.created", "", ORDER);
	d = deliver(&b, 1, 5, "billing", "orders", "order.created", "", ORDER);
	settle(&b, 1, 5, d, SETTLE_REJECT); /* 1 -> 2 in billing.retry */
	wait_ms(&b, 5005);
	d = deliver(&b, 1, 5, "billing", "orders", "order.created", LOOP("1", "1"), ORDER); /* 3 */
	settle(&b, 1, 5, d, SETTLE_REJECT); /* 3 -> 4 in billing.retry */
	wait_ms(&b, 5005);
	d = deliver(&b, 1, 5, "billing", "orders", "order.created", LOOP("2", "2"), ORDER); /* 5 */
	settle(&b, 1, 5, d, SETTLE_ACK);
	flush(&b);
	CHECK_EQ(b.rows->nm, 6);
	for (uint64_t m = 2; m <= 5; m++) {
		CHECK_EQ(source_of(&b, m, LINK_DEAD_LETTER_OF), m - 1);
		CHECK_STR(state_of(&b, m - 1), "dead-lettered");
		CHECK_EQ(flow_of(&b, m), 1);
	}
	CHECK_STR(state_of(&b, 5), "acked");
	check_evidence(&b, 2, LINK_DEAD_LETTER_OF, "rejected by");
	check_evidence(&b, 3, LINK_DEAD_LETTER_OF, "expired in billing.retry");
	bench_end(&b);
}

/* A hop that was not seen is made up from the header, since one before it was. */
static void unseen_hop(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	publish(&b, 0, 1, "orders", "order.created", "", ORDER);
	d = deliver(&b, 1, 5, "billing", "orders", "order.created", "", ORDER);
	settle(&b, 1, 5, d, SETTLE_REJECT);
	deliver(&b, 1, 5, "billing", "orders", "order.created", LOOP("1", "1"), ORDER);
	flush(&b);
	CHECK_EQ(b.rows->nm, 4);
	CHECK_EQ(source_of(&b, 2, LINK_DEAD_LETTER_OF), 1);
	CHECK_EQ(source_of(&b, 3, LINK_DEAD_LETTER_OF), 2);
	CHECK_STR(b.rows->m[2].exchange, "retry");
	CHECK_STR(state_in(&b, 2, "billing.retry"), "dead-lettered");
	CHECK_STR(state_of(&b, 3), "delivered");
	bench_end(&b);
}

/* Nobody came in time. */
static void time_to_live(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_queue(&b, "plain", "x-message-ttl=1000");
	declare_queue(
		&b, "to-dlx", "x-message-ttl=1000\nx-dead-letter-exchange=\nx-dead-letter-routing-key=end");
	declare_queue(&b, "end", "");
	publish(&b, 0, 1, "", "plain", "", "1");
	publish(&b, 0, 1, "", "to-dlx", "", "2");
	wait_ms(&b, 1500);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "queued"); /* its delivery may still be under way to us */
	wait_ms(&b, 1500);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "expired");
	CHECK_STR(state_of(&b, 2), "dead-lettered");
	CHECK_STR(state_in(&b, 3, "end"), "queued");
	CHECK_STR(state_of(&b, 3), "queued");
	check_evidence(&b, 3, LINK_DEAD_LETTER_OF, "within its x-message-ttl of 1");
	bench_end(&b);
}

/* Queues that expire into each other: the broker drops such a message after a round, we stop following. */
static void expiry_goes_round(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_queue(&b, "a", "x-message-ttl=10\nx-dead-letter-exchange=\nx-dead-letter-routing-key=b");
	declare_queue(&b, "b", "x-message-ttl=10\nx-dead-letter-exchange=\nx-dead-letter-routing-key=a");
	publish(&b, 0, 1, "", "a", "", "1");
	for (int i = 0; i < 10; i++)
		wait_ms(&b, 5000);
	flush(&b);
	CHECK_EQ(b.rows->nm, 4);
	CHECK_STR(state_of(&b, 1), "dead-lettered");
	CHECK_STR(state_of(&b, 3), "expired");
	bench_end(&b);
}

/* The declared target was overridden: the delivery tells where it went. */
static void misdirected(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	shop(&b);
	publish(&b, 0, 1, "orders", "order.created", "", ORDER);
	d = deliver(&b, 1, 5, "billing", "orders", "order.created", "", ORDER);
	settle(&b, 1, 5, d, SETTLE_REJECT);
	flush(&b);
	CHECK_STR(state_in(&b, 2, "billing.dlq"), "queued");
	deliver(&b, 2, 8, "elsewhere", "other.dlx", "order.created", DEATH1, ORDER);
	flush(&b);
	CHECK_EQ(b.rows->nm, 3);
	CHECK_STR(b.rows->m[2].exchange, "other.dlx");
	CHECK_STR(state_in(&b, 2, "billing.dlq"), "no copy");
	CHECK_STR(state_in(&b, 2, "elsewhere"), "delivered");
	bench_end(&b);
}

/* --- sessions, memory, brokers --- */

static void restored(void)
{
	struct bench a, b;
	struct correlator_opts opts = {.next = {.message = 10, .copy = 20, .op = 30}};
	struct message_rec m;
	struct copy_rec cp;
	struct broker_rec br = {.id = 1, .proto = PROTO_AMQP091, .name = "127.0.0.1:5672"};
	struct queue_rec q = {.broker = 1,
		.vhost = S("/"),
		.name = S("q"),
		.ttl_ms = -1,
		.max_length = -1,
		.declared = true,
		.has_dead_letter = true,
		.dead_letter_exchange = S("dlx")};
	uint64_t d;

	bench_new(&a, NULL);
	declare_queue(&a, "q", "");
	publish(&a, 0, 1, "", "q", "message-id=1", ORDER);
	flush(&a);
	m = *message(&a, 1);
	m.exchange = S("");
	m.routing_key = S("q");
	m.vhost = S("/");
	cp = *copy_in(&a, 1, "q");
	cp.queue = S("q");

	bench_new(&b, &opts);
	CHECK_EQ(correlator__restore_broker(b.c, &br), 0);
	CHECK_EQ(correlator__restore_queue(b.c, &q), 0);
	CHECK_EQ(correlator__restore_message(b.c, &m), 0);
	CHECK_EQ(correlator__restore_copy(b.c, &cp), 0);
	flush(&b);
	CHECK_EQ(b.rows->messages_written, 0);
	d = deliver(&b, 1, 1, "q", "", "q", "message-id=1", ORDER);
	flush(&b);
	CHECK_EQ(b.rows->nbrokers, 2);
	CHECK_STR(state_of(&b, 1), "delivered");
	CHECK_EQ(copy_in(&b, 1, "q")->id, cp.id);
	CHECK_EQ(copy_in(&b, 1, "q")->queued_ns, cp.queued_ns);
	settle(&b, 1, 1, d, SETTLE_REJECT);
	publish(&b, 0, 1, "", "q", "", "new");
	flush(&b);
	CHECK_STR(state_of(&b, 1), "dead-lettered");
	CHECK_EQ(b.rows->nm, 12); /* the dead letter and the new one */
	CHECK_STR(b.rows->m[10].exchange, "dlx");
	CHECK_EQ(copy_in(&b, 11, "q")->id, 20);
	bench_end(&a);
	bench_end(&b);
}

/* Yesterday's dead letter is taken today; how often it had died was not stored. */
static void restored_dead_letter(void)
{
	struct bench a, b;
	struct correlator_opts opts = {.next = {.message = 3, .copy = 3}};
	struct broker_rec br = {.id = 1, .proto = PROTO_AMQP091, .name = "127.0.0.1:5672"};
	struct message_rec m;
	struct copy_rec cp;
	uint64_t d;

	bench_new(&a, NULL);
	shop(&a);
	publish(&a, 0, 1, "orders", "order.created", "", ORDER);
	d = deliver(&a, 1, 5, "billing", "orders", "order.created", "", ORDER);
	settle(&a, 1, 5, d, SETTLE_REJECT);
	flush(&a);
	m = *message(&a, 2);
	m.exchange = S("shop.dlx");
	m.routing_key = S("order.created");
	m.vhost = S("/");
	cp = *copy_in(&a, 2, "billing.dlq");
	cp.queue = S("billing.dlq");

	bench_new(&b, &opts);
	correlator__restore_broker(b.c, &br);
	correlator__restore_message(b.c, &m);
	correlator__restore_copy(b.c, &cp);
	deliver(&b, 2, 8, "billing.dlq", "shop.dlx", "order.created", DEATH1, ORDER);
	flush(&b);
	CHECK_STR(state_of(&b, 2), "delivered");
	CHECK_EQ(b.rows->nm, 3);
	bench_end(&a);
	bench_end(&b);
}

static void memory_is_bounded(void)
{
	struct correlator_opts opts = {.max_messages = 100};
	struct correlator_stats st;
	struct bench b;
	char body[32];

	bench_new(&b, &opts);
	declare_queue(&b, "q", "");
	for (int i = 0; i < 1000; i++) {
		snprintf(body, sizeof(body), "%d", i);
		publish(&b, 0, 1, "", "q", "", body);
	}
	correlator__stats(b.c, &st);
	CHECK(st.live <= 101);
	CHECK(st.evicted_open >= 899);
	flush(&b);
	CHECK_EQ(b.rows->nm, 1001);
	CHECK_STR(state_of(&b, 1), "queued"); /* its row was written before it left */
	bench_end(&b);
}

/* Finished messages make room first, and go by themselves after a while. */
static void finished_leave_first(void)
{
	struct correlator_opts opts = {.max_messages = 10};
	struct correlator_stats st;
	struct bench b;
	char body[32];

	bench_new(&b, &opts);
	declare_queue(&b, "q", "");
	declare_queue(&b, "keep", "");
	publish(&b, 0, 1, "", "keep", "", "old");
	for (int i = 0; i < 50; i++) {
		snprintf(body, sizeof(body), "%d", i);
		publish(&b, 0, 1, "", "q", "", body);
		settle(&b, 1, 1, deliver(&b, 1, 1, "q", "", "q", "", body), SETTLE_ACK);
	}
	correlator__stats(b.c, &st);
	CHECK_EQ(st.evicted_open, 0);
	wait_ms(&b, 120000);
	correlator__stats(b.c, &st);
	CHECK_EQ(st.live, 1);
	settle(&b, 1, 1, deliver(&b, 1, 1, "keep", "", "keep", "", "old"), SETTLE_ACK);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "acked");
	bench_end(&b);
}

/* First known by its address, later by its process; loopback is one host. */
static void one_broker(void)
{
	struct bench b;

	bench_new(&b, NULL);
	for (int i = 0; i < 3; i++)
		b.conns[i].server_pid = 0;
	b.conns[1].family = AF_INET6;
	memset(b.conns[1].server_addr, 0, 16);
	b.conns[1].server_addr[15] = 1;
	b.conns[2].server_addr[0] = 10;
	b.conns[2].server_port = 5673;
	publish(&b, 0, 1, "", "q", "", "a");
	deliver(&b, 1, 1, "q", "", "q", "", "a");
	CHECK_EQ(b.rows->nbrokers, 2);
	CHECK_STR(b.rows->broker_names[1], "127.0.0.1:5672");
	b.conns[1].server_pid = 77;
	publish(&b, 1, 1, "", "q", "", "b");
	CHECK_EQ(b.rows->nbrokers, 2);
	CHECK(b.rows->brokers[1].process != 0);
	/* Another of its ports, with the process known from the start. */
	b.conns[3].server_port = 5671;
	publish(&b, 3, 1, "", "q", "", "c");
	CHECK_EQ(b.rows->nbrokers, 2);
	/* Another host. */
	publish(&b, 2, 1, "", "q", "", "d");
	CHECK_EQ(b.rows->nbrokers, 3);
	flush(&b);
	CHECK_STR(state_of(&b, 1), "delivered");
	CHECK_EQ(message(&b, 3)->broker, 1);
	CHECK_EQ(message(&b, 4)->broker, 2);
	bench_end(&b);
}

/* A connection older than us does not say its virtual host; the others' is its own. */
static void unknown_vhost(void)
{
	struct bench b;

	bench_new(&b, NULL);
	feed(&b, 0, 1, (struct op){.kind = OP_SEND, .routing_key = S("q"), .body = S("a")});
	deliver(&b, 1, 1, "q", "", "q", "", "a");
	feed(&b, 0, 1, (struct op){.kind = OP_SEND, .routing_key = S("q"), .body = S("b")});
	feed(&b, 1, 1,
		(struct op){.kind = OP_SEND, .vhost = S("other"), .routing_key = S("q"), .body = S("a")});
	deliver(&b, 1, 1, "q", "", "q", "", "b");
	flush(&b);
	CHECK_STR(state_of(&b, 1), "delivered");
	CHECK_STR(b.rows->m[1].vhost, "/");
	CHECK_STR(state_of(&b, 2), "delivered");
	CHECK_STR(b.rows->m[3].vhost, "other");
	CHECK_STR(state_of(&b, 3), "sent");
	bench_end(&b);
}

/* Only the broker's end is seen: who the client was is not known. */
static void brokers_end_only(void)
{
	struct bench b;

	bench_new(&b, NULL);
	b.conns[0].client_pid = 0;
	b.conns[0].swapped = true;
	publish(&b, 0, 1, "", "q", "", "a");
	b.conns[1].swapped = true;
	publish(&b, 1, 1, "", "q", "", "b");
	flush(&b);
	CHECK_EQ(message(&b, 1)->process, 0);
	CHECK(message(&b, 2)->process != 0);
	bench_end(&b);
}

static uint64_t play(void)
{
	struct bench b;
	uint64_t h, d;
	char body[64], env[64];

	bench_new(&b, NULL);
	shop(&b);
	for (int i = 0; i < 200; i++) {
		snprintf(body, sizeof(body), "{\"order\":{\"id\":%d}}", 4000 + i / 2);
		snprintf(env, sizeof(env), "correlation-id=c-%d-aaaa", i / 3);
		publish(&b, 0, 1, "orders", "order.created", env, body);
		d = deliver(&b, 1, (unsigned)i % 3, "billing", "orders", "order.created", env, body);
		publish(&b, 1, (unsigned)i % 3, "invoices", "x", env, body);
		settle(&b, 1, (unsigned)i % 3, d, i % 7 ? SETTLE_ACK : SETTLE_REJECT);
		if (i % 50 == 0)
			flush(&b);
	}
	finish(&b);
	h = b.rows->hash;
	bench_end(&b);
	return h;
}

static void deterministic(void)
{
	CHECK(play() == play());
}

static void names(void)
{
	CHECK_STR(state_name(STATE_DEAD_LETTERED), "dead-lettered");
	CHECK_STR(state_name((enum msg_state)99), "unknown");
	CHECK_EQ(state_from_name(S("requeued")), STATE_REQUEUED);
	CHECK(state_from_name(S("nonsense")) < 0);
	CHECK_STR(link_kind_name(LINK_CAUSED_BY), "caused-by");
	CHECK_STR(settle_name(SETTLE_REJECT), "reject");
	CHECK_STR(op_kind_name(OP_RECEIVE), "receive");
}

/* Nothing that was never seen breaks anything. */
static void nonsense(void)
{
	struct bench b;

	bench_new(&b, NULL);
	settle(&b, 0, 1, 12345, SETTLE_ACK);
	settle(&b, 0, 1, 0, SETTLE_REJECT);
	feed(&b, 0, 1, (struct op){.kind = OP_UNSUBSCRIBE, .consumer = S("never")});
	topology(&b, OP_QUEUE_UNBIND, "no", "such", "binding", "", "", 0);
	topology(&b, OP_EXCHANGE_DELETE, "no", "", "", "", "", 0);
	topology(&b, OP_QUEUE_DELETE, "", "no", "", "", "", 0);
	feed(&b, 0, 1, (struct op){.kind = OP_ERROR, .code = 404, .text = S("NOT_FOUND")});
	feed(&b, 0, 1, (struct op){.kind = (enum op_kind)200});
	publish(&b, 0, 1, "x", "k",
		"header.x-death[0].count=0\nheader.x-death[77].queue=q\nheader.x-death[=1", "");
	deliver(&b, 1, 1, "q", "x", "k",
		"header.x-death[3].count=99999999999999999\nheader.x-death[0].queue=", "");
	b.err |= correlator__gap(b.c, &b.conns[0], TO_SERVER, 100, 1, "ring full", b.ts);
	b.err |= correlator__gap(b.c, NULL, TO_SERVER, 100, 1, "ring full", b.ts);
	flush(&b);
	CHECK_EQ(b.rows->gaps, 2);
	CHECK_EQ(b.rows->operations, 10);
	bench_end(&b);
}

/* One operation of any kind about few names, so that all meet in all ways. */
static void any_op(struct bench *b, uint64_t *recent)
{
	static const char *const exchanges[] = {"", "a", "b", "c", "dlx"};
	static const char *const queues[] = {"q1", "q2", "q3", "dead"};
	static const char *const keys[] = {"q1", "q2", "k.x", "k.y", "#"};
	static const char *const types[] = {"direct", "fanout", "topic", "headers", "x-odd"};
	static const char *const args[] = {"", "x-dead-letter-exchange=dlx", "x-message-ttl=50",
		"x-message-ttl=20\nx-dead-letter-exchange=\nx-dead-letter-routing-key=dead",
		"alternate-exchange=b", "x-match=any\nh=1"};
	static const char *const envs[] = {"", "message-id=1", "correlation-id=c-100200\nreply-to=q1",
		"header.x-death[0].queue=q1\nheader.x-death[0].reason=rejected\nheader.x-death[0].exchange="
		"a\n"
		"header.x-death[0].routing-keys[0]=k.x\nheader.x-death[0].count=1",
		"header.x-death[0].queue=q2\nheader.x-death[0].reason=expired\nheader.x-death[0].exchange="
		"dlx\n"
		"header.x-death[0].routing-keys[0]=k.x\nheader.x-death[1].queue=q1\nheader.x-death[1].reason="
		"rejected\nheader.x-death[1].exchange=a\nheader.x-death[1].routing-keys[0]=k.x",
		"header.h=1\nheader.CC[0]=q3", "header.evtrace-replay-of=m3.x"};
	static const char *const bodies[] = {
		"", "x", "{\"order\":{\"id\":4711}}", "{\"order\":{\"id\":4712}}"};
	static const enum op_kind kinds[] = {OP_SEND, OP_SEND, OP_SEND, OP_SEND, OP_RECEIVE, OP_RECEIVE,
		OP_RECEIVE, OP_RECEIVE, OP_SETTLE, OP_SETTLE, OP_SETTLE, OP_CONFIRM, OP_RETURN,
		OP_EXCHANGE_DECLARE, OP_EXCHANGE_DELETE, OP_EXCHANGE_BIND, OP_EXCHANGE_UNBIND,
		OP_QUEUE_DECLARE, OP_QUEUE_DELETE, OP_QUEUE_BIND, OP_QUEUE_BIND, OP_QUEUE_UNBIND,
		OP_QUEUE_PURGE, OP_SUBSCRIBE, OP_UNSUBSCRIBE};
	static const uint32_t flags[] = {0, 0, 0, OPF_REDELIVERED, OPF_NO_ACK, OPF_NEGATIVE, OPF_TX, OPF_GAP,
		OPF_EXCLUSIVE, OPF_AUTO_DELETE, OPF_PASSIVE, OPF_ONE_OF_MANY, OPF_TRUNCATED};
	struct op op = {.kind = kinds[rnd(ARRAY_LEN(kinds))],
		.flags = flags[rnd(ARRAY_LEN(flags))],
		.ref = recent[rnd(16)],
		.vhost = S(rnd(9)   ? "/"
			   : rnd(2) ? ""
				    : "v"),
		.settle = (enum settle)(rnd(5) + 1),
		.exchange = S(PICK(exchanges)),
		.routing_key = S(PICK(keys)),
		.queue = S(PICK(queues)),
		.consumer = S(PICK(keys)),
		.queue_known = rnd(4),
		.type = S(PICK(types)),
		.args = S(PICK(args)),
		.envelope = S(PICK(envs)),
		.body = S(PICK(bodies))};

	if (op.kind == OP_RECEIVE && !op.queue_known)
		op.queue = SPAN_EMPTY;
	if (op.kind == OP_EXCHANGE_BIND)
		op.queue = S(PICK(exchanges));
	recent[rnd(16)] = feed(b, rnd(4), 1 + rnd(3), op);
}

static void anything_goes(void)
{
	struct correlator_opts opts = {.max_messages = 150};
	struct correlator_stats st;

	for (int round = 0; round < 50; round++) {
		uint64_t recent[16] = {0};
		struct bench b;

		bench_new(&b, &opts);
		for (int i = 0; i < 3000; i++) {
			any_op(&b, recent);
			if (!rnd(40))
				flush(&b);
			if (!rnd(400))
				wait_ms(&b, rnd(30000));
			if (!rnd(500)) { /* a connection ends, and its like comes again */
				unsigned k = rnd(4);

				b.conns[k].closed_ns = b.ts;
				b.err |= correlator__conn(b.c, &b.conns[k], &fake_proto, CONN_DECODED);
				bench_conn(&b, k);
				b.conns[k].id += 1000 + (uint64_t)i;
				b.conns[k].from_start = rnd(2);
				b.err |= correlator__proc_exit(b.c, b.conns[k].client_pid, b.ts, 0);
			}
		}
		finish(&b);
		correlator__stats(b.c, &st);
		CHECK(st.live <= 200);
		bench_end(&b);
	}
}

int main(void)
{
	RUN(direct_life);
	RUN(written_once);
	RUN(fanout);
	RUN(topic);
	RUN(direct_exchange);
	RUN(headers_exchange);
	RUN(exchange_to_exchange_cycle);
	RUN(alternate_exchange);
	RUN(routes_are_honest);
	RUN(broker_with_a_past);
	RUN(unknown_place_contradicts);
	RUN(delivery_contradicts_bindings);
	RUN(identical_bodies);
	RUN(truncated_is_never_exact);
	RUN(gap_joins_nothing);
	RUN(redelivery);
	RUN(redelivered_before_loss);
	RUN(late_send);
	RUN(purge_and_delete);
	RUN(queues_that_end);
	RUN(confirms_and_returns);
	RUN(return_contradicts);
	RUN(transaction);
	RUN(unknown_tags);
	RUN(unknown_tags_narrow);
	RUN(rejected_to_dlq);
	RUN(dead_letter_overtakes);
	RUN(dead_letter_by_policy);
	RUN(retry_loop);
	RUN(unseen_hop);
	RUN(time_to_live);
	RUN(expiry_goes_round);
	RUN(misdirected);
	RUN(restored);
	RUN(restored_dead_letter);
	RUN(memory_is_bounded);
	RUN(finished_leave_first);
	RUN(one_broker);
	RUN(unknown_vhost);
	RUN(brokers_end_only);
	RUN(deterministic);
	RUN(names);
	RUN(nonsense);
	RUN(anything_goes);
	return test_end();
}
