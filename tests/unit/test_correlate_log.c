/*
 * Topics, streams and channels: the broker's own name joins both sides in whatever order they are seen, each
 * group has a copy, positions settle what is before them, readers are told apart from groups.
 */
#include "test_correlate.h"

static uint64_t produce(struct bench *b, unsigned conn, const char *topic, const char *partition,
	const char *env, const char *body)
{
	char log[64];

	snprintf(log, sizeof(log), *partition ? "%s-%s" : "%s", topic, partition);
	return feed(b, conn, 1,
		(struct op){.kind = OP_SEND,
			.dest = DEST_LOG,
			.exchange = S(topic),
			.routing_key = S(partition),
			.log = S(log),
			.envelope = S(env),
			.body = S(body)});
}

static void stored(
	struct bench *b, unsigned conn, uint64_t ref, const char *log, const char *mid, uint32_t flags)
{
	feed(b, conn, 1,
		(struct op){.kind = OP_CONFIRM,
			.dest = DEST_LOG,
			.ref = ref,
			.flags = flags,
			.exchange = S("orders"),
			.log = S(log),
			.mid = S(mid)});
}

/* @group NULL: a fetch, which does not say for whom. */
static uint64_t fetch(struct bench *b, unsigned conn, const char *client, const char *group,
	const char *partition, const char *mid, const char *env, const char *body)
{
	char log[64];

	snprintf(log, sizeof(log), *partition ? "orders-%s" : "orders", partition);
	return feed(b, conn, 1,
		(struct op){.kind = OP_RECEIVE,
			.dest = DEST_LOG,
			.exchange = S("orders"),
			.routing_key = S(partition),
			.log = S(log),
			.mid = S(mid),
			.consumer = S(client),
			.queue = S(group),
			.queue_known = group,
			.envelope = S(env),
			.body = S(body)});
}

static void member(struct bench *b, unsigned conn, enum op_kind kind, const char *client, const char *group)
{
	feed(b, conn, 1,
		(struct op){.kind = kind,
			.dest = DEST_LOG,
			.exchange = S("orders"),
			.queue = S(group),
			.queue_known = true,
			.consumer = S(client),
			.len = 1});
}

static void settle_named(struct bench *b, unsigned conn, const char *group, const char *partition,
	const char *mid, enum settle how, uint32_t flags)
{
	char log[64];

	snprintf(log, sizeof(log), *partition ? "orders-%s" : "orders", partition);
	feed(b, conn, 1,
		(struct op){.kind = OP_SETTLE,
			.dest = DEST_LOG,
			.settle = how,
			.flags = flags,
			.exchange = S("orders"),
			.routing_key = S(partition),
			.log = S(log),
			.mid = S(mid),
			.queue = S(group),
			.queue_known = true});
}

static const char *name_of(struct bench *b, uint64_t id)
{
	static char text[160];

	snprintf(text, sizeof(text), "%s@%s", b->rows->m[id].log, b->rows->m[id].mid);
	return text;
}

/* Kafka: two groups; commits come from connections that never fetched. */
static void groups_and_positions(void)
{
	struct bench b;

	bench_new(&b, NULL);
	member(&b, 3, OP_SUBSCRIBE, "c-billing", "billing");
	member(&b, 4, OP_SUBSCRIBE, "c-audit", "audit");
	for (int i = 0; i < 3; i++) {
		static const char *const mids[] = {"7", "8", "9"}, *const bodies[] = {"one", "two", "three"};

		stored(&b, 1, produce(&b, 1, "orders", "0", "", bodies[i]), "orders-0", mids[i], 0);
	}
	flush(&b);
	CHECK_STR(name_of(&b, 1), "orders-0@7");
	CHECK_STR(state_in(&b, 1, "orders/billing"), "queued");
	CHECK_STR(state_in(&b, 3, "orders/audit"), "queued");
	CHECK_STR(state_of(&b, 1), "queued");
	fetch(&b, 3, "c-billing", NULL, "0", "7", "", "one");
	fetch(&b, 3, "c-billing", NULL, "0", "8", "", "two");
	settle_named(&b, 5, "billing", "0", "8", SETTLE_ACK, OPF_UP_TO);
	/* another partition of the same topic says nothing of this one */
	settle_named(&b, 5, "billing", "1", "100", SETTLE_ACK, OPF_UP_TO);
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "acked");
	CHECK_STR(state_in(&b, 2, "orders/billing"), "delivered");
	CHECK_STR(state_in(&b, 3, "orders/billing"), "queued");
	CHECK_STR(state_in(&b, 2, "orders/audit"), "queued");
	CHECK_EQ(copies_of(&b, 2), 2);
	/* committed beyond what was seen to be delivered */
	settle_named(&b, 5, "billing", "0", "10", SETTLE_ACK, OPF_UP_TO);
	flush(&b);
	CHECK_STR(state_in(&b, 3, "orders/billing"), "acked");
	CHECK_EQ(copy_in(&b, 3, "orders/billing")->deliveries, 0);
	CHECK_STR(state_in(&b, 3, "orders/audit"), "queued");
	bench_end(&b);
}

/* The group behind a fetch is learned later; one client id for two groups stays unknown. */
static void readers(void)
{
	struct bench b;

	bench_new(&b, NULL);
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "one"), "orders-0", "7", 0);
	fetch(&b, 3, "rdkafka", NULL, "0", "7", "", "one");
	flush(&b);
	CHECK_STR(state_in(&b, 1, ""), "delivered");
	CHECK_EQ(copies_of(&b, 1), 1);
	member(&b, 3, OP_SUBSCRIBE, "rdkafka", "billing");
	settle_named(&b, 3, "billing", "0", "8", SETTLE_ACK, OPF_UP_TO);
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "acked");
	CHECK_EQ(copies_of(&b, 1), 1);

	member(&b, 3, OP_SUBSCRIBE, "rdkafka", "audit");
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "two"), "orders-0", "8", 0);
	fetch(&b, 3, "rdkafka", NULL, "0", "8", "", "two");
	flush(&b);
	CHECK_STR(state_in(&b, 2, ""), "delivered");
	CHECK_STR(state_in(&b, 2, "orders/billing"), "queued");
	CHECK_STR(state_in(&b, 2, "orders/audit"), "queued");
	bench_end(&b);
}

/* The coordinator's connection breaks, not the member: what it reads meanwhile is for its group. Another
 * group under its client id, later, is another one. */
static void coordinator_lost(void)
{
	struct bench b;

	bench_new(&b, NULL);
	member(&b, 3, OP_SUBSCRIBE, "c", "billing");
	feed(&b, 3, 1,
		(struct op){.kind = OP_UNSUBSCRIBE,
			.dest = DEST_LOG,
			.exchange = S("orders"),
			.queue = S("billing"),
			.queue_known = true,
			.consumer = S("c")});
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "one"), "orders-0", "7", 0);
	fetch(&b, 3, "c", NULL, "0", "7", "", "one");
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "delivered");
	CHECK_EQ(copies_of(&b, 1), 1);
	member(&b, 3, OP_SUBSCRIBE, "c", "audit");
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "two"), "orders-0", "8", 0);
	fetch(&b, 3, "c", NULL, "0", "8", "", "two");
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "delivered");
	CHECK_STR(state_in(&b, 2, "orders/audit"), "delivered");
	bench_end(&b);
}

/* What a member held when it left goes to whoever comes next; another member's does not. */
static void member_leaves(void)
{
	struct bench b;

	bench_new(&b, NULL);
	member(&b, 3, OP_SUBSCRIBE, "a", "billing");
	member(&b, 4, OP_SUBSCRIBE, "b", "billing");
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "one"), "orders-0", "7", 0);
	stored(&b, 1, produce(&b, 1, "orders", "1", "", "two"), "orders-1", "3", 0);
	fetch(&b, 3, "a", NULL, "0", "7", "", "one");
	fetch(&b, 4, "b", NULL, "1", "3", "", "two");
	member(&b, 3, OP_UNSUBSCRIBE, "a", "billing");
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "requeued");
	CHECK_STR(state_in(&b, 2, "orders/billing"), "delivered");
	fetch(&b, 4, "b", NULL, "0", "7", "", "one");
	settle_named(&b, 4, "billing", "0", "8", SETTLE_ACK, OPF_UP_TO);
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "acked");
	CHECK_EQ(copy_in(&b, 1, "orders/billing")->deliveries, 2);
	bench_end(&b);
}

/* The group is deleted while a member holds the only message of a partition. */
static void member_of_deleted_group(void)
{
	struct bench b;

	bench_new(&b, NULL);
	member(&b, 3, OP_SUBSCRIBE, "a", "billing");
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "one"), "orders-0", "7", 0);
	fetch(&b, 3, "a", NULL, "0", "7", "", "one");
	member(&b, 5, OP_QUEUE_DELETE, "", "billing");
	member(&b, 3, OP_UNSUBSCRIBE, "a", "billing");
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "purged");
	bench_end(&b);
}

/* A delivery may be seen before the broker's answer, and equal contents may be taken for each other. */
static void names_in_any_order(void)
{
	struct bench b;
	uint64_t first, second;

	bench_new(&b, NULL);
	first = produce(&b, 1, "orders", "0", "", "same");
	second = produce(&b, 1, "orders", "0", "", "same");
	fetch(&b, 3, "c", NULL, "0", "8", "", "same");
	stored(&b, 1, first, "orders-0", "7", 0);
	stored(&b, 1, second, "orders-0", "8", 0);
	fetch(&b, 3, "c", NULL, "0", "7", "", "same");
	flush(&b);
	CHECK_EQ(b.rows->nm - 1, 2);
	CHECK_STR(name_of(&b, 1), "orders-0@8");
	CHECK_STR(name_of(&b, 2), "orders-0@7");
	CHECK_EQ(copies_of(&b, 1), 1);
	CHECK_EQ(copies_of(&b, 2), 1);
	CHECK(message(&b, 1)->flags & MSGF_CONFIRMED && message(&b, 2)->flags & MSGF_CONFIRMED);
	/* sent before we watched, then read by two */
	fetch(&b, 3, "c", "billing", "0", "3", "", "old");
	fetch(&b, 4, "d", "audit", "0", "3", "", "old");
	flush(&b);
	CHECK_EQ(b.rows->nm - 1, 3);
	CHECK_EQ(copies_of(&b, 3), 2);
	CHECK_EQ(message(&b, 3)->origin, ORIGIN_UNSEEN);
	bench_end(&b);
}

/* A stream with a pending list: acknowledged by name, claimed by another, given back, deleted. */
static void pending_lists(void)
{
	struct bench b;
	uint64_t sends[4];

	bench_new(&b, NULL);
	feed(&b, 3, 1,
		(struct op){.kind = OP_QUEUE_DECLARE,
			.dest = DEST_LOG,
			.exchange = S("orders"),
			.log = S("orders"),
			.queue = S("billing"),
			.queue_known = true});
	for (int i = 0; i < 4; i++) {
		static const char *const ids[] = {"5-0", "5-1", "6-0", "10-0"};
		static const char *const bodies[] = {"one", "two", "three", "four"};

		sends[i] = produce(&b, 1, "orders", "", "", bodies[i]);
		stored(&b, 1, sends[i], "orders", ids[i], 0);
	}
	fetch(&b, 3, "w1", "billing", "", "5-0", "", "one");
	fetch(&b, 3, "w1", "billing", "", "5-1", "", "two");
	settle_named(&b, 5, "billing", "", "5-0", SETTLE_ACK, 0);
	settle_named(&b, 5, "billing", "", "5-1", SETTLE_PROGRESS, 0);
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "acked");
	CHECK_STR(state_in(&b, 2, "orders/billing"), "delivered");
	fetch(&b, 4, "w2", "billing", "", "5-1", "", "two"); /* XCLAIM */
	settle_named(&b, 4, "billing", "", "5-1", SETTLE_REQUEUE, 0);
	fetch(&b, 4, "w2", "billing", "", "5-1", "", "two");
	settle_named(&b, 4, "billing", "", "5-1", SETTLE_REQUEUE, OPF_BY_BROKER | OPF_REPORTED); /* an echo */
	flush(&b);
	CHECK_STR(state_in(&b, 2, "orders/billing"), "delivered");
	settle_named(&b, 4, "billing", "", "5-1", SETTLE_REQUEUE, 0);
	flush(&b);
	CHECK_STR(state_in(&b, 2, "orders/billing"), "requeued");
	CHECK_EQ(copy_in(&b, 2, "orders/billing")->deliveries, 3);
	CHECK_STR(state_in(&b, 3, "orders/billing"), "queued");
	/* given up after its last delivery, which it had been given back from */
	settle_named(&b, 4, "billing", "", "5-1", SETTLE_REJECT, OPF_BY_BROKER);
	flush(&b);
	CHECK_STR(state_in(&b, 2, "orders/billing"), "rejected");
	feed(&b, 5, 1,
		(struct op){.kind = OP_DELETE,
			.dest = DEST_LOG,
			.exchange = S("orders"),
			.log = S("orders"),
			.mid = S("6-0")});
	feed(&b, 5, 1,
		(struct op){.kind = OP_DELETE,
			.dest = DEST_LOG,
			.flags = OPF_UP_TO,
			.exchange = S("orders"),
			.log = S("orders"),
			.mid = S("6-0")});
	flush(&b);
	CHECK_STR(state_in(&b, 3, "orders/billing"), "purged");
	CHECK_STR(state_in(&b, 4, "orders/billing"), "queued");
	bench_end(&b);
}

/* The group of a read that was under way when we came is told by its acknowledgement. */
static void named_by_settlement(void)
{
	struct bench b;

	bench_new(&b, NULL);
	fetch(&b, 3, "", NULL, "", "5-0", "", "one");
	settle_named(&b, 4, "billing", "", "5-0", SETTLE_ACK, 0); /* somebody else's */
	flush(&b);
	CHECK_STR(state_in(&b, 1, ""), "delivered");
	settle_named(&b, 3, "billing", "", "5-0", SETTLE_ACK, 0);
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "acked");
	CHECK_EQ(copies_of(&b, 1), 1);
	bench_end(&b);
}

/* Stored by the broker while the transaction is open; what it becomes is told at its end. */
static void transactions(void)
{
	struct bench b;
	uint64_t yes, no;

	bench_new(&b, NULL);
	member(&b, 3, OP_SUBSCRIBE, "c", "billing");
	for (int i = 0; i < 2; i++) {
		struct op op = {.kind = OP_SEND,
			.dest = DEST_LOG,
			.flags = OPF_TX,
			.exchange = S("orders"),
			.routing_key = S("0"),
			.log = S("orders-0"),
			.body = S(i ? "no" : "yes")};
		uint64_t ref = feed(&b, 1, 1, op);

		stored(&b, 1, ref, "orders-0", i ? "8" : "7", OPF_TX | OPF_STORED);
		if (i)
			no = ref;
		else
			yes = ref;
	}
	flush(&b);
	CHECK_STR(state_of(&b, 1), "sent");
	CHECK_STR(name_of(&b, 1), "orders-0@7");
	feed(&b, 1, 1, (struct op){.kind = OP_CONFIRM, .dest = DEST_LOG, .ref = yes, .flags = OPF_TX});
	feed(&b, 1, 1,
		(struct op){.kind = OP_CONFIRM, .dest = DEST_LOG, .ref = no, .flags = OPF_TX | OPF_NEGATIVE});
	flush(&b);
	CHECK_STR(state_of(&b, 1), "queued");
	CHECK_STR(state_of(&b, 2), "returned");
	CHECK(message(&b, 2)->flags & MSGF_REFUSED);
	bench_end(&b);
}

/* Refused, because the partition had moved; the producer tried again, and the answer is about the same one.
 */
static void second_try(void)
{
	struct bench b;
	uint64_t id;

	bench_new(&b, NULL);
	member(&b, 3, OP_SUBSCRIBE, "c", "billing");
	id = produce(&b, 1, "orders", "0", "", "one");
	feed(&b, 1, 1,
		(struct op){
			.kind = OP_CONFIRM, .dest = DEST_LOG, .ref = id, .flags = OPF_NEGATIVE, .code = 6});
	flush(&b);
	CHECK_STR(state_of(&b, 1), "returned");
	stored(&b, 1, id, "orders-0", "7", 0);
	fetch(&b, 3, "c", NULL, "0", "7", "", "one");
	flush(&b);
	CHECK_STR(state_of(&b, 1), "delivered");
	CHECK(message(&b, 1)->flags & MSGF_CONFIRMED && !(message(&b, 1)->flags & MSGF_REFUSED));
	bench_end(&b);
}

/* The producer sent it again as a new one: two messages, of which the second is a retry. */
static void sent_again(void)
{
	struct bench b;
	uint64_t id;

	bench_new(&b, NULL);
	name_process(&b, 1, "shop");
	id = produce(&b, 1, "orders", "0", "", "one");
	feed(&b, 1, 1,
		(struct op){
			.kind = OP_CONFIRM, .dest = DEST_LOG, .ref = id, .flags = OPF_NEGATIVE, .code = 6});
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "one"), "orders-0", "7", 0);
	/* the same content once more is no retry of what was taken */
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "one"), "orders-0", "8", 0);
	finish(&b);
	CHECK_STR(state_of(&b, 1), "returned");
	CHECK_STR(name_of(&b, 2), "orders-0@7");
	CHECK_EQ(source_of(&b, 2, LINK_RETRY_OF), 1);
	CHECK_EQ(source_of(&b, 3, LINK_RETRY_OF), 0);
	bench_end(&b);
}

/* XPENDING by a tool tells that a consumer holds it; a list whose elements have names is settled by them. */
static void told_by_others(void)
{
	struct bench b;
	struct op job = {
		.kind = OP_SEND, .routing_key = S("bull:mails"), .log = S("bull:mails"), .body = S("hello")};
	uint64_t id;

	bench_new(&b, NULL);
	name_process(&b, 5, "redis-cli");
	stored(&b, 1, produce(&b, 1, "orders", "", "", "one"), "orders", "5-0", 0);
	feed(&b, 5, 1,
		(struct op){.kind = OP_RECEIVE,
			.dest = DEST_LOG,
			.flags = OPF_REPORTED | OPF_TRUNCATED,
			.exchange = S("orders"),
			.log = S("orders"),
			.mid = S("5-0"),
			.queue = S("billing"),
			.queue_known = true,
			.consumer = S("w1"),
			.delivery = 3});
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "delivered");
	CHECK_EQ(copy_in(&b, 1, "orders/billing")->deliveries, 3);
	CHECK_EQ(copy_in(&b, 1, "orders/billing")->consumer, 0);

	id = feed(&b, 1, 1, job);
	feed(&b, 1, 1,
		(struct op){.kind = OP_CONFIRM,
			.ref = id,
			.routing_key = S("bull:mails"),
			.log = S("bull:mails"),
			.mid = S("1")});
	job.kind = OP_RECEIVE;
	job.queue = S("bull:mails");
	job.queue_known = true;
	job.mid = S("1");
	feed(&b, 3, 1, job);
	feed(&b, 4, 1,
		(struct op){.kind = OP_SETTLE,
			.settle = SETTLE_ACK,
			.log = S("bull:mails"),
			.mid = S("1"),
			.queue = S("bull:mails"),
			.queue_known = true});
	flush(&b);
	CHECK_EQ(b.rows->nm - 1, 2);
	CHECK_EQ(message(&b, 2)->dest, DEST_ROUTED);
	CHECK_STR(name_of(&b, 2), "bull:mails@1");
	CHECK_STR(state_in(&b, 2, "bull:mails"), "acked");
	CHECK_EQ(copies_of(&b, 2), 1);
	bench_end(&b);
}

/* A consumer that gives up moves the message itself, and says from where. */
static void dead_letters(void)
{
	struct bench b;

	bench_new(&b, NULL);
	name_process(&b, 3, "billing");
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "bad"), "orders-0", "7", 0);
	fetch(&b, 3, "c", "billing", "0", "7", "", "bad");
	produce(&b, 3, "orders-dlt", "0",
		"header.kafka_dlt-original-topic=orders\nheader.kafka_dlt-original-partition=0\n"
		"header.kafka_dlt-original-offset=7\nheader.kafka_dlt-original-consumer-group=billing\n",
		"bad");
	settle_named(&b, 3, "billing", "0", "8", SETTLE_ACK, OPF_UP_TO);
	finish(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "dead-lettered");
	CHECK_EQ(copy_in(&b, 1, "orders/billing")->dead_letter, 2);
	CHECK_EQ(source_of(&b, 2, LINK_DEAD_LETTER_OF), 1);
	CHECK_EQ(source_of(&b, 2, LINK_CAUSED_BY), 0);
	check_evidence(&b, 2, LINK_DEAD_LETTER_OF, "topic orders, partition 0, offset 7");
	CHECK_STR(state_of(&b, 2), "dead-lettered");
	bench_end(&b);
}

/* Everyone who listens gets a copy; a queue group gets one together; nobody later gets any. */
static void channels(void)
{
	struct bench b;
	struct op sub = {
		.kind = OP_SUBSCRIBE, .dest = DEST_CHANNEL, .exchange = S("orders.*"), .consumer = S("1")};
	struct op got = {.kind = OP_RECEIVE,
		.dest = DEST_CHANNEL,
		.exchange = S("orders.new"),
		.consumer = S("1"),
		.flags = OPF_NO_ACK,
		.body = S("hello")};
	uint64_t id;

	bench_new(&b, NULL);
	name_process(&b, 3, "billing");
	name_process(&b, 4, "audit");
	feed(&b, 3, 1, sub);
	feed(&b, 4, 1, sub);
	sub.queue = got.queue = S("workers");
	sub.queue_known = got.queue_known = true;
	feed(&b, 5, 1, sub);
	feed(&b, 1, 1,
		(struct op){.kind = OP_SEND,
			.dest = DEST_CHANNEL,
			.exchange = S("orders.new"),
			.body = S("hello")});
	id = feed(&b, 5, 1, got);
	feed(&b, 5, 1,
		(struct op){.kind = OP_SETTLE, .dest = DEST_CHANNEL, .ref = id, .settle = SETTLE_AUTO});
	got.queue_known = false;
	got.queue = SPAN_EMPTY;
	feed(&b, 3, 1, got);
	feed(&b, 4, 1, got);
	flush(&b);
	CHECK_EQ(b.rows->nm - 1, 1);
	CHECK_STR(state_in(&b, 1, "orders.*/workers"), "acked");
	CHECK_STR(state_in(&b, 1, "orders.*/billing:1003"), "delivered");
	CHECK_STR(state_in(&b, 1, "orders.*/audit:1004"), "delivered");
	/* heard by nobody */
	feed(&b, 1, 1,
		(struct op){.kind = OP_SEND,
			.dest = DEST_CHANNEL,
			.exchange = S("orders.old"),
			.body = S("hello")});
	flush(&b);
	CHECK_EQ(copies_of(&b, 2), 0);
	bench_end(&b);
}

/* NATS: a publish to a subject that a stream keeps, a consumer of a part of it, and the answer to a request.
 */
static void subjects(void)
{
	struct bench b;
	struct op declare = {.kind = OP_QUEUE_DECLARE,
		.dest = DEST_LOG,
		.exchange = S("orders.*"),
		.log = S("ORDERS"),
		.queue = S("billing"),
		.queue_known = true};
	struct op get = {.kind = OP_RECEIVE, .dest = DEST_CHANNEL, .flags = OPF_NO_ACK};
	uint64_t id;

	bench_new(&b, NULL);
	name_process(&b, 3, "billing");
	feed(&b, 3, 1, declare);
	declare.exchange = S("invoices.>");
	declare.queue = S("audit");
	feed(&b, 3, 1, declare);
	id = feed(&b, 1, 1,
		(struct op){.kind = OP_SEND,
			.dest = DEST_CHANNEL,
			.exchange = S("orders.new"),
			.body = S("hello")});
	feed(&b, 1, 1,
		(struct op){
			.kind = OP_CONFIRM, .dest = DEST_LOG, .ref = id, .log = S("ORDERS"), .mid = S("17")});
	flush(&b);
	CHECK_EQ(message(&b, 1)->dest, DEST_LOG);
	CHECK_STR(name_of(&b, 1), "ORDERS@17");
	CHECK_STR(state_in(&b, 1, "ORDERS/billing"), "queued");
	CHECK_EQ(copies_of(&b, 1), 1);

	feed(&b, 1, 1,
		(struct op){.kind = OP_SEND,
			.dest = DEST_CHANNEL,
			.exchange = S("price.get"),
			.envelope = S("reply-to=_INBOX.a.1\n"),
			.body = S("apples")});
	get.exchange = S("price.get");
	get.envelope = S("reply-to=_INBOX.a.1\n");
	get.body = S("apples");
	feed(&b, 3, 1, get);
	/* it also holds another one, of which only the address tells that it is not the cause */
	get.envelope = S("reply-to=_INBOX.b.7\n");
	get.body = S("pears");
	feed(&b, 3, 1, get);
	feed(&b, 3, 1,
		(struct op){
			.kind = OP_SEND, .dest = DEST_CHANNEL, .exchange = S("_INBOX.a.1"), .body = S("12")});
	finish(&b);
	CHECK_EQ(source_of(&b, 4, LINK_REPLY_TO), 2);
	check_evidence(&b, 4, LINK_REPLY_TO, "answer to its reply-to");
	bench_end(&b);
}

static uint64_t keep(struct bench *b, const char *subject, const char *body, const char *mid)
{
	uint64_t id = feed(b, 1, 1,
		(struct op){.kind = OP_SEND, .dest = DEST_CHANNEL, .exchange = S(subject), .body = S(body)});

	if (mid)
		feed(b, 1, 1,
			(struct op){.kind = OP_CONFIRM,
				.dest = DEST_LOG,
				.ref = id,
				.log = S("ORDERS"),
				.mid = S(mid)});
	return id;
}

/* A group may read several parts of a stream; what lies there is deleted by subject, too. */
static void several_filters(void)
{
	struct bench b;

	bench_new(&b, NULL);
	feed(&b, 3, 1,
		(struct op){.kind = OP_QUEUE_DECLARE,
			.dest = DEST_LOG,
			.exchange = S("orders.*.new orders.old"),
			.log = S("ORDERS"),
			.queue = S("billing"),
			.queue_known = true});
	keep(&b, "orders.7.new", "one", "1");
	keep(&b, "orders.old", "two", "2");
	keep(&b, "orders.new", "three", "3");
	keep(&b, "orders.8.new", "four", "4");
	flush(&b);
	CHECK_STR(state_in(&b, 1, "ORDERS/billing"), "queued");
	CHECK_STR(state_in(&b, 2, "ORDERS/billing"), "queued");
	CHECK_EQ(copies_of(&b, 3), 0);
	feed(&b, 5, 1,
		(struct op){.kind = OP_DELETE,
			.dest = DEST_LOG,
			.flags = OPF_UP_TO,
			.exchange = S("orders.*.new"),
			.log = S("ORDERS"),
			.mid = S("4")});
	flush(&b);
	CHECK_STR(state_in(&b, 1, "ORDERS/billing"), "purged");
	CHECK_STR(state_in(&b, 2, "ORDERS/billing"), "queued");
	CHECK_STR(state_in(&b, 4, "ORDERS/billing"), "queued");
	bench_end(&b);
}

/* What the broker makes out of a message names it; its copy may come before the sender knows the name. */
static void broker_copies(void)
{
	struct op get = {.kind = OP_RECEIVE,
		.dest = DEST_CHANNEL,
		.flags = OPF_NO_ACK,
		.exchange = S("again.a"),
		.body = S("one"),
		.envelope = S("source-log=ORDERS\nsource-id=1\nsource-exchange=orders.a\n")};
	struct bench b;

	bench_new(&b, NULL);
	keep(&b, "orders.a", "one", NULL);
	feed(&b, 3, 1, get);
	keep(&b, "orders.b", "two", "2");
	get.body = S("two");
	get.exchange = S("orders.b");
	get.dest = DEST_LOG;
	get.log = S("MIRROR");
	get.mid = S("2");
	get.queue = S("audit");
	get.queue_known = true;
	get.envelope = S("source-log=ORDERS\nsource-id=2\n");
	feed(&b, 3, 1, get);
	get.mid = S("9");
	get.body = S("nine");
	get.envelope = S("source-log=ORDERS\nsource-id=9\n"); /* not seen */
	feed(&b, 3, 1, get);
	keep(&b, "orders.b", "two", "3"); /* equal, but it is not what the broker copied */
	finish(&b);
	CHECK_EQ(source_of(&b, 2, LINK_CAUSED_BY), 1);
	CHECK_EQ(source_of(&b, 4, LINK_CAUSED_BY), 3);
	CHECK(b.rows->m[2].r.flags & MSGF_COPIED && b.rows->m[4].r.flags & MSGF_COPIED);
	CHECK(!(b.rows->m[1].r.flags & MSGF_COPIED || b.rows->m[5].r.flags & MSGF_COPIED));
	CHECK_EQ(b.rows->m[4].r.origin, ORIGIN_UNSEEN);
	CHECK_STR(name_of(&b, 6), "ORDERS@3");
	check_evidence(&b, 4, LINK_CAUSED_BY, "the broker's copy of 2 of ORDERS");
	CHECK_STR(name_of(&b, 4), "MIRROR@2");
	CHECK_EQ(source_of(&b, 5, LINK_CAUSED_BY), 0);
	bench_end(&b);
}

static void other_server(struct bench *b, unsigned conn, uint32_t client_pid, uint16_t port)
{
	b->conns[conn].server_port = port;
	b->conns[conn].server_pid = 70 + port % 7;
	b->conns[conn].client_pid = client_pid;
}

/* The coordinator of a group is another server than the partition's: they are one broker. */
static void clusters(void)
{
	static const char *const addresses[] = {
		"localhost:5672,127.0.0.1:9093", "kafka-1.example:5672,kafka-2.example:9093"};

	for (unsigned i = 0; i < 2; i++) {
		struct bench b;

		bench_new(&b, NULL);
		other_server(&b, 6, b.conns[3].client_pid, 9093);
		feed(&b, 3, 1,
			(struct op){.kind = OP_CLUSTER,
				.exchange = S("qYoMEZXcS_SKP5PzAl8-WA"),
				.text = S(addresses[i])});
		stored(&b, 1, produce(&b, 1, "orders", "0", "", "one"), "orders-0", "7", 0);
		member(&b, 6, OP_SUBSCRIBE, "c", "billing");
		fetch(&b, 3, "c", NULL, "0", "7", "", "one");
		settle_named(&b, 6, "billing", "0", "8", SETTLE_ACK, OPF_UP_TO);
		flush(&b);
		CHECK_STR(state_in(&b, 1, "orders/billing"), "acked");
		bench_end(&b);
	}
}

/* Nobody tells of a cluster, but a position is committed right behind what the other server handed out. */
static void clusters_by_position(void)
{
	for (unsigned first = 0; first < 2; first++) {
		struct bench b;

		bench_new(&b, NULL);
		other_server(&b, 6, b.conns[3].client_pid, 9093);
		if (first) /* whichever of the two is met before the other */
			member(&b, 6, OP_SUBSCRIBE, "c", "billing");
		stored(&b, 1, produce(&b, 1, "orders", "0", "", "one"), "orders-0", "7", 0);
		fetch(&b, 3, "c", NULL, "0", "7", "", "one");
		if (!first)
			member(&b, 6, OP_SUBSCRIBE, "c", "billing");
		settle_named(&b, 6, "billing", "0", "8", SETTLE_ACK, OPF_UP_TO);
		stored(&b, 1, produce(&b, 1, "orders", "0", "", "two"), "orders-0", "8", 0);
		fetch(&b, 3, "c", NULL, "0", "8", "", "two");
		settle_named(&b, 6, "billing", "0", "9", SETTLE_ACK, OPF_UP_TO);
		flush(&b);
		CHECK_EQ(b.rows->nm - 1, 2);
		for (unsigned i = 1; i <= 2; i++) {
			CHECK_STR(state_in(&b, i, "orders/billing"), "acked");
			CHECK_EQ(copies_of(&b, i), 1);
		}
		bench_end(&b);
	}
}

/* A position that is not right behind it proves nothing. */
static void no_cluster_by_position(void)
{
	struct bench b;

	bench_new(&b, NULL);
	other_server(&b, 6, b.conns[3].client_pid, 9093);
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "one"), "orders-0", "7", 0);
	fetch(&b, 3, "c", NULL, "0", "7", "", "one");
	member(&b, 6, OP_SUBSCRIBE, "c", "billing");
	settle_named(&b, 6, "billing", "0", "10", SETTLE_ACK, OPF_UP_TO);
	settle_named(&b, 6, "billing", "0", "0", SETTLE_ACK, OPF_UP_TO);
	flush(&b);
	CHECK_EQ(copies_of(&b, 1), 1);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "no copy");
	bench_end(&b);
}

/* Two brokers of one process that only share a client id stay two. */
static void two_clusters(void)
{
	struct bench b;

	bench_new(&b, NULL);
	other_server(&b, 6, b.conns[3].client_pid, 9093);
	feed(&b, 3, 1, (struct op){.kind = OP_CLUSTER, .exchange = S("one"), .text = S("a.example:5672")});
	feed(&b, 6, 1,
		(struct op){
			.kind = OP_CLUSTER, .exchange = S("two"), .text = S("b.example:9093,:1,x:99999,,y")});
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "one"), "orders-0", "7", 0);
	fetch(&b, 6, "c", "billing", "0", "7", "", "another one");
	flush(&b);
	CHECK_EQ(b.rows->nm - 1, 2);
	CHECK_EQ(copies_of(&b, 1), 0);
	bench_end(&b);
}

/* What one run left open the next one goes on with. */
static void restored(void)
{
	struct bench b;
	struct broker_rec broker = {.id = 1, .proto = PROTO_AMQP091, .name = "127.0.0.1:5672"};
	struct message_rec m = {.id = 5,
		.broker = 1,
		.proto = PROTO_AMQP091,
		.dest = DEST_LOG,
		.exchange = S("orders"),
		.routing_key = S("0"),
		.log = S("orders-0"),
		.mid = S("7"),
		.first_ns = T0,
		.state = STATE_QUEUED,
		.flags = MSGF_CONFIRMED};
	struct copy_rec cp = {.id = 9, .message = 5, .queue = S("orders/billing"), .state = STATE_QUEUED};

	bench_new(&b, NULL);
	CHECK_EQ(correlator__restore_broker(b.c, &broker), 0);
	CHECK_EQ(correlator__restore_message(b.c, &m), 0);
	CHECK_EQ(correlator__restore_copy(b.c, &cp), 0);
	fetch(&b, 3, "c", "billing", "0", "7", "", "one");
	flush(&b);
	CHECK_STR(state_in(&b, 5, "orders/billing"), "delivered");
	CHECK_EQ(copies_of(&b, 5), 1);
	settle_named(&b, 3, "billing", "0", "8", SETTLE_ACK, OPF_UP_TO);
	flush(&b);
	CHECK_STR(state_in(&b, 5, "orders/billing"), "acked");
	bench_end(&b);
}

/* A group that is met at its commit: what was sent before is past, or waits. */
static void met_at_commit(void)
{
	struct bench b;

	bench_new(&b, NULL);
	for (int i = 0; i < 3; i++) {
		static const char *const mids[] = {"7", "8", "9"}, *const bodies[] = {"one", "two", "three"};

		stored(&b, 1, produce(&b, 1, "orders", "0", "", bodies[i]), "orders-0", mids[i], 0);
	}
	/* he who has it may be of that group, which is not known yet */
	fetch(&b, 3, "c", NULL, "0", "8", "", "two");
	settle_named(&b, 5, "billing", "0", "9", SETTLE_ACK, OPF_UP_TO);
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "acked");
	CHECK_STR(state_in(&b, 2, ""), "delivered");
	CHECK_EQ(copies_of(&b, 2), 1);
	CHECK_STR(state_in(&b, 3, "orders/billing"), "queued");
	settle_named(&b, 5, "billing", "0", "10", SETTLE_ACK, OPF_UP_TO);
	flush(&b);
	CHECK_STR(state_in(&b, 3, "orders/billing"), "acked");
	CHECK_EQ(copies_of(&b, 3), 1);
	bench_end(&b);
}

/* A group that is made later gets what is there from its position on. */
static void group_begins(void)
{
	struct bench b;
	struct op declare = {.kind = OP_QUEUE_DECLARE,
		.dest = DEST_LOG,
		.exchange = S("orders"),
		.log = S("orders"),
		.queue_known = true};

	bench_new(&b, NULL);
	stored(&b, 1, produce(&b, 1, "orders", "", "", "one"), "orders", "7-0", 0);
	stored(&b, 1, produce(&b, 1, "orders", "", "", "two"), "orders", "8-0", 0);
	declare.queue = S("all");
	declare.mid = S("0");
	feed(&b, 3, 1, declare);
	feed(&b, 3, 1, declare);
	declare.queue = S("some");
	declare.mid = S("8-0");
	feed(&b, 3, 1, declare);
	declare.queue = S("new");
	declare.mid = S("$");
	feed(&b, 3, 1, declare);
	flush(&b);
	CHECK_EQ(copies_of(&b, 1), 1);
	CHECK_STR(state_in(&b, 1, "orders/all"), "queued");
	CHECK_EQ(copies_of(&b, 2), 2);
	CHECK_STR(state_in(&b, 2, "orders/some"), "queued");
	/* made anew by a client that starts: it is where it was */
	settle_named(&b, 3, "all", "", "7-0", SETTLE_ACK, 0);
	feed(&b, 3, 1, declare);
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/all"), "acked");
	bench_end(&b);
}

/* The first thing that a process ever sends answers what it took without owing an acknowledgement. */
static void first_answer(void)
{
	struct bench b;
	struct op get = {.kind = OP_RECEIVE,
		.dest = DEST_CHANNEL,
		.flags = OPF_NO_ACK,
		.exchange = S("price.get"),
		.envelope = S("reply-to=_INBOX.a.1\n"),
		.body = S("apples")};
	uint64_t id;

	bench_new(&b, NULL);
	name_process(&b, 3, "pricer");
	get.kind = OP_SEND;
	feed(&b, 1, 1, get);
	get.kind = OP_RECEIVE;
	id = feed(&b, 3, 1, get);
	feed(&b, 3, 1,
		(struct op){.kind = OP_SETTLE, .dest = DEST_CHANNEL, .ref = id, .settle = SETTLE_AUTO});
	feed(&b, 3, 1,
		(struct op){
			.kind = OP_SEND, .dest = DEST_CHANNEL, .exchange = S("_INBOX.a.1"), .body = S("12")});
	finish(&b);
	CHECK_EQ(source_of(&b, 2, LINK_REPLY_TO), 1);
	check_evidence(&b, 2, LINK_REPLY_TO, "answer to its reply-to");
	bench_end(&b);
}

/* Under another name than "orders", as long as the topic's own is not known. */
static struct op nameless(enum op_kind kind, const char *client, const char *mid, const char *body)
{
	return (struct op){.kind = kind,
		.dest = DEST_LOG,
		.exchange = S("Xid"),
		.routing_key = S("0"),
		.log = S("Xid-0"),
		.mid = S(mid),
		.consumer = S(client),
		.body = S(body)};
}

static void told_name(struct bench *b, unsigned conn)
{
	feed(b, conn, 1,
		(struct op){.kind = OP_EXCHANGE_DECLARE,
			.dest = DEST_LOG,
			.flags = OPF_PASSIVE,
			.exchange = S("orders"),
			.args = S("id=Xid")});
	flush(b);
}

/* What was fetched under a topic's id is found under its name; a send that is known there is the same one. */
static void named_late(void)
{
	struct bench b;
	uint64_t sent;

	bench_new(&b, NULL);
	sent = produce(&b, 1, "orders", "0", "", "two");
	feed(&b, 3, 1, nameless(OP_RECEIVE, "c", "7", "one"));
	feed(&b, 3, 1, nameless(OP_RECEIVE, "c", "8", "two"));
	/* what its reader sends for it belongs to the message, whatever it is called */
	feed(&b, 3, 1,
		(struct op){.kind = OP_SEND, .exchange = S("mail"), .routing_key = S("m"), .body = S("two")});
	stored(&b, 1, sent, "orders-0", "8", 0);
	finish(&b);
	CHECK_STR(name_of(&b, 2), "Xid-0@7");
	CHECK_STR(name_of(&b, 3), "Xid-0@8");
	CHECK_STR(name_of(&b, 1), "orders-0@8");
	CHECK_EQ(copies_of(&b, 1), 0);
	told_name(&b, 3);
	CHECK_STR(b.rows->last_rename[0], "Xid");
	CHECK_STR(b.rows->last_rename[1], "orders");
	CHECK_EQ(b.rows->last_merged[0], 3);
	CHECK_EQ(b.rows->last_merged[1], 1);
	CHECK_EQ(copies_of(&b, 1), 1);
	CHECK_STR(state_of(&b, 1), "delivered");
	CHECK_EQ(b.rows->m[1].r.sent_ns != 0, true);
	/* the position that its group commits is told by name */
	member(&b, 3, OP_SUBSCRIBE, "c", "billing");
	settle_named(&b, 5, "billing", "0", "9", SETTLE_ACK, OPF_UP_TO);
	flush(&b);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "acked");
	CHECK_STR(state_in(&b, 2, "orders/billing"), "acked");
	CHECK_STR(name_of(&b, 2), "orders-0@7");
	CHECK_STR(b.rows->m[2].exchange, "orders");
	/* and so is what comes later */
	fetch(&b, 3, "c", NULL, "0", "9", "", "three");
	flush(&b);
	CHECK_STR(state_in(&b, 5, "orders/billing"), "delivered");
	bench_end(&b);
}

/* A member and its group were told under the id, too (KIP-848). */
static void group_named_late(void)
{
	struct bench b;
	struct op join = nameless(OP_SUBSCRIBE, "c", "", ""), done = nameless(OP_SETTLE, "c", "8", "");

	bench_new(&b, NULL);
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "one"), "orders-0", "7", 0);
	join.routing_key = join.log = join.mid = SPAN_EMPTY;
	join.queue = done.queue = S("billing");
	join.queue_known = done.queue_known = true;
	done.flags = OPF_UP_TO;
	done.settle = SETTLE_ACK;
	feed(&b, 3, 1, join);
	feed(&b, 3, 1, nameless(OP_RECEIVE, "c", "7", "one"));
	feed(&b, 3, 1, nameless(OP_RECEIVE, "c", "8", "two"));
	feed(&b, 3, 1, done);
	flush(&b);
	CHECK_STR(state_in(&b, 2, "Xid/billing"), "acked");
	told_name(&b, 3);
	CHECK_EQ(b.rows->last_merged[0], 2);
	CHECK_EQ(b.rows->last_merged[1], 1);
	CHECK_STR(state_in(&b, 1, "orders/billing"), "acked");
	CHECK_STR(state_in(&b, 3, "orders/billing"), "delivered");
	fetch(&b, 3, "c", NULL, "0", "9", "", "three");
	settle_named(&b, 3, "billing", "0", "10", SETTLE_ACK, OPF_UP_TO);
	stored(&b, 1, produce(&b, 1, "orders", "0", "", "four"), "orders-0", "10", 0);
	flush(&b);
	CHECK_STR(state_in(&b, 3, "orders/billing"), "acked");
	CHECK_STR(state_in(&b, 4, "orders/billing"), "acked");
	CHECK_EQ(copies_of(&b, 4), 1);
	CHECK_STR(state_in(&b, 5, "orders/billing"), "queued");
	bench_end(&b);
}

/* One operation of any kind about few topics, partitions, groups and positions, so that all meet in all ways.
 */
static void any_op(struct bench *b, uint64_t *recent)
{
	static const char *const
		topics[] = {"orders", "Xid", "Yid", "stream"},
		*const groups[] = {"g", "h", ""}, *const mids[] = {"1", "2", "3", "4", "5", "6-1", "odd", ""},
		*const clients[] = {"c", "d"}, *const bodies[] = {"", "x", "{\"order\":{\"id\":4711}}"},
		*const times[] = {"", "", "", "in", "at", "never", "as"},
		*const args[] = {"", "id=Xid", "id=Yid", "id=orders"};
	static const enum op_kind kinds[] = {OP_SEND, OP_SEND, OP_SEND, OP_CONFIRM, OP_CONFIRM, OP_RECEIVE,
		OP_RECEIVE, OP_RECEIVE, OP_SETTLE, OP_SETTLE, OP_SETTLE, OP_DELETE, OP_EXCHANGE_DECLARE,
		OP_EXCHANGE_DELETE, OP_QUEUE_DECLARE, OP_QUEUE_DELETE, OP_QUEUE_PURGE, OP_SUBSCRIBE,
		OP_UNSUBSCRIBE};
	static const uint32_t flags[] = {0, 0, 0, OPF_UP_TO, OPF_UP_TO, OPF_REPORTED, OPF_STORED,
		OPF_NEGATIVE, OPF_TX, OPF_GAP, OPF_REDELIVERED, OPF_ONE_OF_MANY, OPF_UNSURE};
	char log[32];
	const char *topic = PICK(topics);
	bool stream = *topic == 's';
	struct op op = {.kind = PICK(kinds),
		.dest = rnd(20) ? DEST_LOG : DEST_CHANNEL,
		.flags = PICK(flags),
		.ref = rnd(3) ? recent[rnd(16)] : 0,
		.settle = (enum settle)(rnd(6) + 1),
		.exchange = S(topic),
		.routing_key = stream ? SPAN_EMPTY : S("0"),
		.log = S(log),
		.mid = S(PICK(mids)),
		.consumer = S(PICK(clients)),
		.queue = S(PICK(groups)),
		.args = S(PICK(args)),
		.type = S(PICK(times)),
		.tag = rnd(2000),
		.delivery = rnd(3),
		.body = S(PICK(bodies))};

	snprintf(log, sizeof(log), stream ? "%s" : "%s-0", topic);
	op.log = rnd(10) ? span_str(log) : SPAN_EMPTY;
	op.queue_known = op.queue.n;
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
		for (unsigned i = 2; i < 4; i++) { /* another server, until they say that they are one */
			b.conns[i].server_pid++;
			b.conns[i].server_port++;
		}
		for (int i = 0; i < 3000; i++) {
			if (rnd(1500))
				any_op(&b, recent);
			else
				feed(&b, rnd(4), 1,
					(struct op){.kind = OP_CLUSTER,
						.exchange = S("K"),
						.text = S("127.0.0.1:5672,127.0.0.1:5673")});
			if (!rnd(40))
				flush(&b);
			if (!rnd(400))
				wait_ms(&b, rnd(30000));
		}
		finish(&b);
		correlator__stats(b.c, &st);
		CHECK(st.live <= 200);
		bench_end(&b);
	}
}

int main(void)
{
	RUN(groups_and_positions);
	RUN(readers);
	RUN(coordinator_lost);
	RUN(member_leaves);
	RUN(member_of_deleted_group);
	RUN(names_in_any_order);
	RUN(pending_lists);
	RUN(group_begins);
	RUN(met_at_commit);
	RUN(first_answer);
	RUN(named_by_settlement);
	RUN(transactions);
	RUN(second_try);
	RUN(sent_again);
	RUN(told_by_others);
	RUN(dead_letters);
	RUN(channels);
	RUN(subjects);
	RUN(several_filters);
	RUN(broker_copies);
	RUN(clusters);
	RUN(clusters_by_position);
	RUN(no_cluster_by_position);
	RUN(two_clusters);
	RUN(restored);
	RUN(named_late);
	RUN(group_named_late);
	RUN(anything_goes);
	return test_end();
}
