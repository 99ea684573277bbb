/* Causality: which message a process had taken caused the one it sent, how sure we are, and when we say
 * nothing. */
#include "test_correlate.h"

/* Conn 0 is the producer, conn 1 the service under test, conn 2 another service. */
static void order(struct bench *b, const char *env, const char *body)
{
	publish(b, 0, 1, "", "orders", env, body);
}

/* Sends an order and has the service's thread @tid take it; returns the delivery. */
static uint64_t take(struct bench *b, unsigned tid, const char *env, const char *body)
{
	order(b, env, body);
	return deliver(b, 1, tid, "orders", "", "orders", env, body);
}

static void start(struct bench *b)
{
	bench_new(b, NULL);
	name_process(b, 1, "invoices");
	declare_queue(b, "orders", "");
	declare_queue(b, "invoices", "");
	wait_ms(b, 60000); /* the service has been idle for most of its life */
}

static void invoice(struct bench *b, unsigned tid, const char *env, const char *body)
{
	publish(b, 1, tid, "", "invoices", env, body);
}

static double confidence(struct bench *b, uint64_t dst)
{
	struct link_row *l = link_to(b, dst, LINK_CAUSED_BY);

	return l ? l->r.confidence : 0;
}

/* One thread: take, send, settle. */
static void simple(void)
{
	struct bench b;
	uint64_t d;

	start(&b);
	d = take(&b, 5, "", "{\"order\":{\"id\":4711}}");
	invoice(&b, 5, "", "{\"invoice\":1,\"order\":{\"id\":4711}}");
	settle(&b, 1, 5, d, SETTLE_ACK);
	flush(&b);
	CHECK_EQ(source_of(&b, 2, LINK_CAUSED_BY), 1);
	CHECK(confidence(&b, 2) > 0.99);
	check_evidence(&b, 2, LINK_CAUSED_BY, "order.id=4711");
	check_evidence(&b, 2, LINK_CAUSED_BY, "same thread, before its ack");
	check_evidence(&b, 2, LINK_CAUSED_BY, "ack 1.0 ms after");
	CHECK_EQ(flow_of(&b, 2), 1);
	CHECK(link_to(&b, 2, LINK_RETRY_OF) == NULL);
	bench_end(&b);
}

/* A reader thread takes both, each is handled by a worker of its own, the second one finishes first. Nothing
 * is carried. */
static void settling_unit(void)
{
	struct bench b;
	uint64_t d1, d2;

	start(&b);
	d1 = take(&b, 5, "", "a");
	d2 = take(&b, 5, "", "b");
	invoice(&b, 7, "", "y");
	invoice(&b, 6, "", "x");
	settle(&b, 1, 7, d2, SETTLE_ACK);
	settle(&b, 1, 6, d1, SETTLE_ACK);
	finish(&b);
	CHECK_EQ(source_of(&b, 3, LINK_CAUSED_BY), 2);
	CHECK_EQ(source_of(&b, 4, LINK_CAUSED_BY), 1);
	CHECK(confidence(&b, 3) > 0.9);
	bench_end(&b);
}

/* One thread that has prefetched ten, handles and settles them one by one, and sends twice for each. */
static void settling_prefetched(void)
{
	struct bench b;
	uint64_t d[10];
	char body[16];

	start(&b);
	for (int i = 0; i < 10; i++) {
		snprintf(body, sizeof(body), "%d", i);
		d[i] = take(&b, 5, "", body);
	}
	for (int i = 0; i < 10; i++) {
		invoice(&b, 5, "", i & 1 ? "odd" : "even");
		invoice(&b, 5, "", "second");
		settle(&b, 1, 5, d[i], i == 4 ? SETTLE_REJECT : SETTLE_ACK);
	}
	finish(&b);
	for (uint64_t i = 0; i < 10; i++) {
		CHECK_EQ(source_of(&b, 11 + 2 * i, LINK_CAUSED_BY), i + 1);
		CHECK_EQ(source_of(&b, 12 + 2 * i, LINK_CAUSED_BY), i + 1);
	}
	check_evidence(&b, 19, LINK_CAUSED_BY, "before its reject");
	bench_end(&b);
}

/* Ten in flight; one thread takes, another sends, a third settles, in no order: only ids tell. */
static void ids_only(void)
{
	struct bench b;
	uint64_t d[10];
	char body[128];

	start(&b);
	for (int i = 0; i < 10; i++) {
		snprintf(body, sizeof(body), "{\"tenant\":\"acme-1001\",\"order\":{\"id\":%d}}", 4000 + i);
		d[i] = take(&b, 5, "", body);
	}
	for (int i = 0; i < 10; i++) {
		int k = i * 7 % 10;

		snprintf(body, sizeof(body), "{\"tenant\":\"acme-1001\",\"orderRef\":{\"id\":%d}}", 4000 + k);
		invoice(&b, 6, "", body);
	}
	for (int i = 0; i < 10; i++)
		settle(&b, 1, 7, d[i * 3 % 10], SETTLE_ACK);
	finish(&b);
	for (uint64_t i = 0; i < 10; i++) {
		CHECK_EQ(source_of(&b, 11 + i, LINK_CAUSED_BY), i * 7 % 10 + 1);
		CHECK(confidence(&b, 11 + i) > 0.9);
	}
	check_evidence(&b, 12, LINK_CAUSED_BY, "orderRef.id=4007 (1 of 10 in flight)");
	bench_end(&b);
}

/* What all of them carry decides nothing. */
static void shared_value_chooses_nobody(void)
{
	struct bench b;
	uint64_t d[5];

	start(&b);
	for (int i = 0; i < 5; i++) {
		char body[64];

		snprintf(body, sizeof(body), "{\"tenant_id\":\"acme-1001\",\"n\":%d}", i);
		d[i] = take(&b, 5, "", body);
	}
	invoice(&b, 6, "", "{\"tenant_id\":\"acme-1001\"}");
	for (int i = 0; i < 5; i++)
		settle(&b, 1, 7, d[i], SETTLE_ACK);
	finish(&b);
	CHECK(link_to(&b, 6, LINK_CAUSED_BY) == NULL);
	bench_end(&b);
}

/* A timer publishes from its own thread: while nothing is held, and while a slow consumer holds one for long.
 */
static void timer(void)
{
	struct bench b;
	uint64_t d;

	bench_new(&b, NULL);
	declare_queue(&b, "orders", "");
	invoice(&b, 9, "", "tick");
	d = take(&b, 5, "", "slow one");
	for (int i = 0; i < 5; i++) {
		wait_ms(&b, 8000);
		invoice(&b, 9, "", "tick");
	}
	wait_ms(&b, 20000);
	settle(&b, 1, 5, d, SETTLE_ACK);
	wait_ms(&b, 20000);
	invoice(&b, 9, "", "tick");
	finish(&b);
	for (uint64_t m = 1; m < b.rows->nm; m++)
		CHECK(link_to(&b, m, LINK_CAUSED_BY) == NULL);
	bench_end(&b);
}

/* The veto: what was taken after the send left did not cause it. */
static void taken_after(void)
{
	struct bench b;
	uint64_t d;

	start(&b);
	invoice(&b, 5, "", "{\"order\":{\"id\":4711}}");
	d = take(&b, 5, "", "{\"order\":{\"id\":4711}}");
	settle(&b, 1, 5, d, SETTLE_ACK);
	finish(&b);
	CHECK_EQ(b.rows->nl, 0);
	bench_end(&b);
}

/* An event loop sends and settles for all from one thread, interleaved: ids overrule the thread, and we say
 * so. */
static void contradicted(void)
{
	struct bench b;
	uint64_t d1, d2;

	start(&b);
	d1 = take(&b, 5, "", "{\"order\":{\"id\":4711}}");
	d2 = take(&b, 5, "", "{\"order\":{\"id\":4712}}");
	invoice(&b, 5, "", "{\"order\":{\"id\":4712},\"sku\":\"AB-99881-X\"}");
	settle(&b, 1, 5, d1, SETTLE_ACK);
	settle(&b, 1, 5, d2, SETTLE_ACK);
	finish(&b);
	CHECK_EQ(source_of(&b, 3, LINK_CAUSED_BY), 2);
	CHECK(confidence(&b, 3) < 0.95);
	check_evidence(&b, 3, LINK_CAUSED_BY, "contradicted: the thread settled m1 next");
	bench_end(&b);
}

/* One ack for many does not say whose send it was; ids still do. */
static void multiple_ack(void)
{
	struct bench b;
	uint64_t d[3];
	char body[64];

	start(&b);
	for (int i = 0; i < 3; i++) {
		snprintf(body, sizeof(body), "{\"order\":{\"id\":%d}}", 4000 + i);
		d[i] = take(&b, 5, "", body);
	}
	invoice(&b, 5, "", "{\"order\":{\"id\":4001}}");
	invoice(&b, 5, "", "nothing in it");
	for (int i = 0; i < 3; i++)
		feed(&b, 1, 5,
			(struct op){.kind = OP_SETTLE,
				.ref = d[i],
				.settle = SETTLE_ACK,
				.flags = OPF_ONE_OF_MANY});
	finish(&b);
	CHECK_EQ(source_of(&b, 4, LINK_CAUSED_BY), 2);
	CHECK(link_to(&b, 5, LINK_CAUSED_BY) == NULL);
	bench_end(&b);
}

/* No acknowledgements at all: the last one that the thread took. */
static void auto_ack(void)
{
	struct bench b;
	uint64_t d;

	start(&b);
	for (int i = 0; i < 2; i++) {
		publish(&b, 0, 1, "", "orders", "", i ? "b" : "a");
		d = deliver_as(&b, 1, 5, "orders", "", OPF_NO_ACK, "", "orders", "", i ? "b" : "a");
		settle(&b, 1, 5, d, SETTLE_AUTO);
		invoice(&b, 5, "", i ? "y" : "x");
	}
	wait_ms(&b, 11000);
	flush(&b);
	CHECK_EQ(source_of(&b, 2, LINK_CAUSED_BY), 1);
	CHECK_EQ(source_of(&b, 4, LINK_CAUSED_BY), 3);
	check_evidence(&b, 4, LINK_CAUSED_BY, "the last message it took");
	bench_end(&b);
}

/* Acknowledge first, work afterwards. */
static void ack_first(void)
{
	struct bench b;
	uint64_t d;

	start(&b);
	invoice(&b, 5, "", "hello"); /* a sender, that is known */
	d = take(&b, 5, "", "{\"order\":{\"id\":4711}}");
	settle(&b, 1, 5, d, SETTLE_ACK);
	invoice(&b, 5, "", "{\"order\":{\"id\":4711}}");
	finish(&b);
	CHECK_EQ(source_of(&b, 3, LINK_CAUSED_BY), 2);
	check_evidence(&b, 3, LINK_CAUSED_BY, "right after it was settled");
	bench_end(&b);
}

static void replies(void)
{
	struct bench b;
	uint64_t d[3];

	start(&b);
	for (int i = 0; i < 3; i++) {
		char env[96];

		snprintf(env, sizeof(env), "correlation-id=%d\nreply-to=amq.gen-client", i);
		publish(&b, 0, 1, "", "orders", env, "rpc");
		d[i] = deliver(&b, 1, 5, "orders", "", "orders", env, "rpc");
	}
	publish(&b, 1, 6, "", "amq.gen-client", "correlation-id=1", "answer");
	publish(&b, 1, 6, "", "amq.gen-other", "correlation-id=2", "answer");
	for (int i = 0; i < 3; i++)
		settle(&b, 1, 7, d[i], SETTLE_ACK);
	finish(&b);
	CHECK_EQ(source_of(&b, 4, LINK_REPLY_TO), 2);
	check_evidence(&b, 4, LINK_REPLY_TO, "answer to its reply-to, correlation-id=1");
	CHECK(link_to(&b, 5, LINK_REPLY_TO) == NULL);
	bench_end(&b);
}

static void causation_header(void)
{
	static const char *const names[] = {"NServiceBus.RelatedTo", "MT-InitiatorId", "causationid"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct bench b;
		uint64_t d[3];
		char env[96];

		start(&b);
		for (int k = 0; k < 3; k++) {
			snprintf(env, sizeof(env), "message-id=id-%d", k);
			d[k] = take(&b, 5, env, "same");
		}
		snprintf(env, sizeof(env), "message-id=id-9\nheader.%s=id-1", names[i]);
		invoice(&b, 6, env, "other");
		for (int k = 0; k < 3; k++)
			settle(&b, 1, 7, d[k], SETTLE_ACK);
		finish(&b);
		CHECK_EQ(source_of(&b, 4, LINK_CAUSED_BY), 2);
		check_evidence(&b, 4, LINK_CAUSED_BY, names[i]);
		bench_end(&b);
	}
}

#define TRACE(n) "header.traceparent=00-4bf92f3577b34da6a3ce929d0e0e473" n "-00f067aa0ba902b7-01"

/* A worker forks: its children took nothing, but what they send says which message it is, or comes of. */
static void kin(void)
{
	struct bench b;

	start(&b);
	name_process(&b, 2, "child");
	order(&b, "message-id=job-0123456789\n", "waits");
	publish(&b, 2, 9, "", "orders", "message-id=job-0123456789\n", "not taken yet");
	take(&b, 5, "message-id=job-9876543210\n", "try 1");
	publish(&b, 2, 9, "", "orders", "message-id=job-9876543210\n", "try 2");
	deliver(&b, 1, 5, "orders", "", "orders", "message-id=job-9876543210\n", "try 2");
	publish(&b, 2, 9, "", "failed", "message-id=job-9876543210\n", "try 2");
	publish(&b, 2, 9, "", "orders", "message-id=job-1111111111\nheader.parent_id=job-0123456789\n",
		"other");
	publish(&b, 2, 9, "", "orders", "message-id=7\n", "short");
	finish(&b);
	CHECK(link_to(&b, 2, LINK_RETRY_OF) == NULL && link_to(&b, 2, LINK_CAUSED_BY) == NULL);
	CHECK_EQ(source_of(&b, 4, LINK_RETRY_OF), 3);
	check_evidence(&b, 4, LINK_RETRY_OF, "message-id=job-9876543210 in both");
	CHECK(link_to(&b, 4, LINK_CAUSED_BY) == NULL);
	CHECK_EQ(source_of(&b, 5, LINK_CAUSED_BY), 4);
	CHECK(link_to(&b, 5, LINK_RETRY_OF) == NULL);
	CHECK_EQ(source_of(&b, 6, LINK_CAUSED_BY), 2);
	check_evidence(&b, 6, LINK_CAUSED_BY, "parent_id=job-0123456789 names it");
	CHECK_EQ(flow_of(&b, 6), flow_of(&b, 2));
	CHECK(link_to(&b, 7, LINK_RETRY_OF) == NULL);
	bench_end(&b);
}

/* What waits in a sorted set is moved on when it is due, by whom it may be. */
static void due(void)
{
	struct bench b;

	start(&b);
	name_process(&b, 2, "scheduler");
	publish(&b, 0, 1, "", "schedule", "message-id=job-0123456789\nscore=17\n", "x");
	publish(&b, 2, 9, "", "orders", "message-id=job-0123456789\n", "x");
	finish(&b);
	CHECK_EQ(source_of(&b, 2, LINK_CAUSED_BY), 1);
	bench_end(&b);
}

static void trace(void)
{
	struct bench b;
	uint64_t d1, d2;

	start(&b);
	d1 = take(&b, 5, TRACE("1"), "a");
	d2 = take(&b, 5, TRACE("2"), "b");
	invoice(&b, 6, TRACE("1"), "x");
	settle(&b, 1, 7, d1, SETTLE_ACK);
	settle(&b, 1, 7, d2, SETTLE_ACK);
	finish(&b);
	CHECK_EQ(source_of(&b, 3, LINK_CAUSED_BY), 1);
	check_evidence(&b, 3, LINK_CAUSED_BY, "same trace 4bf92f35");
	bench_end(&b);
}

/* A consumer sends the same body on to a retry queue. */
static void retry_by_client(void)
{
	struct bench b;
	uint64_t d;

	start(&b);
	d = take(&b, 5, "", "{\"order\":{\"id\":4711}}");
	publish(&b, 1, 5, "", "orders.retry", "header.tries=2", "{\"order\":{\"id\":4711}}");
	settle(&b, 1, 5, d, SETTLE_ACK);
	finish(&b);
	CHECK_EQ(source_of(&b, 2, LINK_CAUSED_BY), 1);
	CHECK_EQ(source_of(&b, 2, LINK_RETRY_OF), 1);
	bench_end(&b);
}

/* A producer publishes again what it did not see confirmed. */
static void resend(void)
{
	struct bench b;

	start(&b);
	order(&b, "message-id=1", "x");
	order(&b, "message-id=1", "x");
	order(&b, "", "beat");
	order(&b, "", "beat");
	finish(&b);
	CHECK_EQ(source_of(&b, 2, LINK_RETRY_OF), 1);
	CHECK(link_to(&b, 4, LINK_RETRY_OF) == NULL);
	bench_end(&b);
}

static void replay(void)
{
	struct bench b;

	start(&b);
	order(&b, "", "x");
	order(&b, "header.evtrace-replay-of=m1.abcdef", "x");
	order(&b, "header.evtrace-replay-of=m99.abcdef", "y"); /* later than itself: of another store */
	order(&b, "header.evtrace-replay-of=rubbish", "z");
	/* The replay is met at its delivery. */
	deliver(&b, 1, 1, "invoices", "", "invoices", "header.evtrace-replay-of=m2.x", "w");
	/* This one's send is seen after its delivery: still one link. */
	publish(&b, 0, 1, "", "invoices", "header.evtrace-replay-of=m2.x", "w");
	finish(&b);
	CHECK_EQ(b.rows->nm, 6);
	CHECK_EQ(b.rows->nl, 3);
	CHECK_EQ(source_of(&b, 2, LINK_REPLAY_OF), 1);
	CHECK_EQ(flow_of(&b, 2), 1);
	CHECK(link_to(&b, 3, LINK_REPLAY_OF) == NULL);
	CHECK(link_to(&b, 4, LINK_REPLAY_OF) == NULL);
	CHECK_EQ(source_of(&b, 5, LINK_REPLAY_OF), 2);
	CHECK_EQ(flow_of(&b, 5), 1);
	bench_end(&b);
}

/* An id that travels joins two services' messages in a flow, but only where no cause is found. */
static void same_flow(void)
{
	struct bench b;
	uint64_t d;

	start(&b);
	publish(&b, 0, 1, "", "a", "correlation-id=req-77001", "1");
	publish(&b, 2, 1, "", "b", "correlation-id=req-77001", "2");
	publish(&b, 2, 1, "", "b", "correlation-id=req-77001", "3"); /* the same process */
	d = take(&b, 5, "correlation-id=req-88002", "4");
	invoice(&b, 5, "correlation-id=req-88002", "5");
	settle(&b, 1, 5, d, SETTLE_ACK);
	finish(&b);
	CHECK_EQ(source_of(&b, 2, LINK_SAME_FLOW), 1);
	check_evidence(&b, 2, LINK_SAME_FLOW, "correlation-id=req-77001 in both");
	CHECK_EQ(flow_of(&b, 2), 1);
	CHECK(link_to(&b, 3, LINK_SAME_FLOW) == NULL);
	CHECK_EQ(source_of(&b, 5, LINK_CAUSED_BY), 4);
	CHECK(link_to(&b, 5, LINK_SAME_FLOW) == NULL);
	bench_end(&b);
}

/* A correlation-id that never changes is no id. */
static void hub(void)
{
	struct bench b;
	size_t links = 0;

	start(&b);
	for (int i = 0; i < 300; i++) {
		char body[16];

		snprintf(body, sizeof(body), "%d", i);
		publish(&b, i & 1 ? 2 : 0, 1, "", "a", "correlation-id=client-0001", body);
	}
	finish(&b);
	for (size_t i = 0; i < b.rows->nl; i++)
		links += b.rows->l[i].r.id != 0;
	CHECK(links > 0 && links <= 64);
	bench_end(&b);
}

/* Two flows that turn out to be one get the older name, in memory and in the store. */
static void flows_merge(void)
{
	struct bench b;

	start(&b);
	publish(&b, 0, 1, "", "a", "correlation-id=req-1001", "1");
	publish(&b, 2, 1, "", "a", "correlation-id=req-1001", "2");
	publish(&b, 0, 1, "", "a", "correlation-id=req-2002", "3");
	publish(&b, 2, 1, "", "a", "correlation-id=req-2002", "4");
	flush(&b);
	CHECK_EQ(flow_of(&b, 2), 1);
	CHECK_EQ(flow_of(&b, 4), 3);
	publish(&b, 1, 1, "", "a", "correlation-id=req-2002\nheader.x-request-id=req-1001", "5");
	publish(&b, 1, 1, "", "a", "correlation-id=req-2002\nheader.x-correlation-id=req-1001", "6");
	finish(&b);
	for (uint64_t m = 1; m <= 5; m++)
		CHECK_EQ(flow_of(&b, m), 1);
	CHECK_EQ(b.rows->nmerges, 1);
	CHECK_EQ(b.rows->merges[0][0], 3);
	bench_end(&b);
}

/* Nobody settles: decided after ten seconds, from what is there. */
static void decided_in_time(void)
{
	struct bench b;

	start(&b);
	take(&b, 5, "", "{\"order\":{\"id\":4711}}");
	take(&b, 5, "", "{\"order\":{\"id\":4712}}");
	invoice(&b, 5, "", "{\"order\":{\"id\":4711}}");
	wait_ms(&b, 9000);
	CHECK(link_to(&b, 3, LINK_CAUSED_BY) == NULL);
	wait_ms(&b, 3000);
	CHECK_EQ(source_of(&b, 3, LINK_CAUSED_BY), 1);
	bench_end(&b);
}

/* Over service after service the flow holds together. */
static void chain(void)
{
	struct bench b;
	uint64_t d;

	start(&b);
	d = take(&b, 5, "", "{\"order\":{\"id\":4711}}");
	invoice(&b, 5, "", "{\"invoice\":{\"no\":\"INV-20231\"},\"order\":{\"id\":4711}}");
	settle(&b, 1, 5, d, SETTLE_ACK);
	d = deliver(&b, 2, 3, "invoices", "", "invoices", "",
		"{\"invoice\":{\"no\":\"INV-20231\"},\"order\":{\"id\":4711}}");
	publish(&b, 2, 3, "", "notify", "", "{\"mail\":\"about INV-20231\",\"invoice_no\":\"INV-20231\"}");
	settle(&b, 2, 3, d, SETTLE_ACK);
	finish(&b);
	CHECK_EQ(source_of(&b, 2, LINK_CAUSED_BY), 1);
	CHECK_EQ(source_of(&b, 3, LINK_CAUSED_BY), 2);
	CHECK_EQ(flow_of(&b, 3), 1);
	bench_end(&b);
}

/* A saturated service with ids in its messages, workers and acknowledging thread apart: every link is right.
 */
static void many(void)
{
	enum {
		N = 400,
		FLIGHT = 20,
	};
	uint64_t d[N], order_id[N], invoice_id[N];
	struct bench b;
	char body[96];

	start(&b);
	for (int i = 0; i < N + FLIGHT; i++) {
		if (i < N) {
			snprintf(body, sizeof(body), "{\"order\":{\"id\":%d},\"qty\":%d}", 4000 + i, i % 5);
			d[i] = take(&b, 5, "", body);
			order_id[i] = b.sends;
		}
		if (i >= FLIGHT) {
			int k = (i - FLIGHT) ^ 1;

			snprintf(body, sizeof(body), "{\"order\":{\"id\":%d},\"qty\":%d,\"total\":12.50}",
				4000 + k, k % 5);
			invoice(&b, 6 + (unsigned)k % 3, "", body);
			invoice_id[k] = b.sends;
			settle(&b, 1, 9, d[k], SETTLE_ACK);
		}
		if (i % 97 == 0)
			flush(&b);
	}
	finish(&b);
	for (int i = 0; i < N; i++) {
		CHECK_EQ(source_of(&b, invoice_id[i], LINK_CAUSED_BY), order_id[i]);
		CHECK(confidence(&b, invoice_id[i]) > 0.9);
	}
	bench_end(&b);
}

/* Messages leave memory while sends wait for their causes, and nothing breaks. */
static void evicted_while_pending(void)
{
	struct correlator_opts opts = {.max_messages = 20};
	struct bench b;
	char body[64];

	bench_new(&b, &opts);
	for (int i = 0; i < 300; i++) {
		snprintf(body, sizeof(body), "{\"order\":{\"id\":%d}}", 4000 + i / 3);
		take(&b, 5, "correlation-id=c-1001", body);
		invoice(&b, 6, "correlation-id=c-1001", body);
	}
	finish(&b);
	CHECK(b.rows->nm > 500);
	bench_end(&b);
}

int main(void)
{
	RUN(simple);
	RUN(settling_unit);
	RUN(settling_prefetched);
	RUN(ids_only);
	RUN(shared_value_chooses_nobody);
	RUN(timer);
	RUN(taken_after);
	RUN(contradicted);
	RUN(multiple_ack);
	RUN(auto_ack);
	RUN(ack_first);
	RUN(replies);
	RUN(causation_header);
	RUN(kin);
	RUN(due);
	RUN(trace);
	RUN(retry_by_client);
	RUN(resend);
	RUN(replay);
	RUN(same_flow);
	RUN(hub);
	RUN(flows_merge);
	RUN(decided_in_time);
	RUN(chain);
	RUN(many);
	RUN(evicted_while_pending);
	return test_end();
}
