/* What replay to Kafka, Redis and NATS reads from a message, what it leaves out and adds, how places are
 * written. */
#include <errno.h>

#include "proto/pairs.h"
#include "replay/replayer.h"
#include "test.h"

static struct buf envelope;

static void header(const char *name, const char *value)
{
	pairs_header(&envelope, span_str(name), span_str(value));
}

/* Spring's number of a partition. */
static void header_be32(const char *name, uint8_t low)
{
	uint8_t be[4] = {0, 0, 0, low};

	pairs_header(&envelope, span_str(name), span_of(be, 4));
}

/* "TOPIC/PARTITION", "" nothing, or the error's number. */
static const char *origin_of(enum proto_id id)
{
	static char text[200];
	struct buf exchange = {0}, key = {0};
	int found = replayer_for(id)->origin(buf_span(&envelope), &exchange, &key);

	text[0] = '\0';
	if (found == 1)
		snprintf(text, sizeof(text), "%s/%s", buf_cstr(&exchange), buf_cstr(&key));
	else if (found)
		snprintf(text, sizeof(text), "%d", found);
	buf_free(&exchange);
	buf_free(&key);
	return text;
}

static void kafka_origin_by_each_convention(void)
{
	pairs_begin(&envelope);
	header("tenant", "acme");
	CHECK_STR(origin_of(PROTO_KAFKA), "");
	/* straight to the dead-letter topic */
	header("kafka_dlt-original-topic", "orders");
	header_be32("kafka_dlt-original-partition", 3);
	CHECK_STR(origin_of(PROTO_KAFKA), "orders/3");
	/* over retry topics: each hop appends, the first one is where it began */
	pairs_begin(&envelope);
	header("kafka_dlt-original-topic", "orders-retry-1");
	header("kafka_original-topic", "orders");
	header_be32("kafka_original-partition", 7);
	header("kafka_original-topic", "orders-retry-0");
	header_be32("kafka_original-partition", 1);
	CHECK_STR(origin_of(PROTO_KAFKA), "orders/7");
	pairs_begin(&envelope);
	header("__connect.errors.topic", "sink");
	header("__connect.errors.partition", "1234");
	CHECK_STR(origin_of(PROTO_KAFKA), "sink/1234");
	pairs_begin(&envelope);
	header("__streams.errors.topic", "in");
	header("__streams.errors.partition", "x");
	CHECK_STR(origin_of(PROTO_KAFKA), "in/");
	buf_putc(&envelope, 0x41);
	CHECK_STR(origin_of(PROTO_KAFKA), "-74"); /* EBADMSG */
}

static void on_dropped(void *ctx, struct span name)
{
	buf_put_span(ctx, name);
	buf_putc(ctx, ' ');
}

/* "name=value ...", properties with a dot in front; null without "=". */
static const char *sent(enum proto_id id, const char *mark, struct buf *dropped)
{
	static char text[1000];
	struct buf out = {0};
	struct span rest;
	struct pair p;
	size_t n = 0;

	buf_clear(dropped);
	CHECK_EQ(replayer_for(id)->envelope(buf_span(&envelope), span_str(mark), &out, on_dropped, dropped),
		0);
	rest = buf_span(&out);
	text[0] = '\0';
	while (pairs_next(&rest, &p))
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s" SPAN_FMT "%s" SPAN_FMT " ",
			p.header ? "" : ".", SPAN_ARG(p.name), p.type == FIELD_NULL ? "" : "=",
			SPAN_ARG(p.value));
	CHECK_EQ(rest.n, 0);
	buf_free(&out);
	return text;
}

static void kafka_headers_left_out(void)
{
	struct buf dropped = {0};

	pairs_begin(&envelope);
	pairs_property(&envelope, "key", SPAN_LIT("k"));
	header("tenant", "acme");
	header("kafka_dlt-original-topic", "orders");
	header("kafka_dlt-exception-message", "boom");
	header("retry_topic-attempts", "3");
	header("kafka_correlationId", "stays");
	pairs_add(&envelope, &(struct pair){.header = true, .type = FIELD_NULL, .name = SPAN_LIT("null")});
	header("tenant", "again");
	header(REPLAY_MARK, "m1.old");
	CHECK_STR(sent(PROTO_KAFKA, "m7.new", &dropped),
		".key=k tenant=acme kafka_correlationId=stays null tenant=again evtrace-replay-of=m7.new ");
	CHECK_STR(buf_cstr(&dropped),
		"kafka_dlt-original-topic kafka_dlt-exception-message retry_topic-attempts "
		"evtrace-replay-of ");
	buf_free(&dropped);
}

static void redis_adds_nothing(void)
{
	struct buf dropped = {0};

	pairs_begin(&envelope);
	header("a", "1");
	header("a", "2");
	CHECK_STR(sent(PROTO_REDIS, "m7.new", &dropped), "a=1 a=2 ");
	CHECK_EQ(dropped.n, 0);
	buf_free(&dropped);
}

static void nats_ids_and_conditions(void)
{
	struct buf dropped = {0};

	pairs_begin(&envelope);
	header("Tenant", "acme");
	header("Nats-Expected-Last-Sequence", "77");
	CHECK_STR(sent(PROTO_NATS, "m7.new", &dropped), "Tenant=acme evtrace-replay-of=m7.new ");
	header("nats-msg-id", "x");
	header("Nats-Time-Stamp", "now");
	CHECK_STR(sent(PROTO_NATS, "m7.new", &dropped),
		"Tenant=acme evtrace-replay-of=m7.new Nats-Msg-Id=m7.new ");
	CHECK_STR(buf_cstr(&dropped), "Nats-Expected-Last-Sequence nats-msg-id Nats-Time-Stamp ");
	buf_free(&dropped);
}

static void broken_envelopes(void)
{
	static const enum proto_id ids[] = {PROTO_KAFKA, PROTO_REDIS, PROTO_NATS};
	struct buf out = {0};

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		CHECK_EQ(replayer_for(ids[i])->envelope(
				 SPAN_LIT("\x81\x41\x7f"), SPAN_LIT("m1.a"), &out, NULL, NULL),
			-EBADMSG);
		CHECK_EQ(replayer_for(ids[i])->envelope(SPAN_EMPTY, SPAN_LIT("m1.a"), &out, NULL, NULL), 0);
	}
	buf_free(&out);
}

/* --to, as "EXCHANGE|KEY", or "-". */
static const char *to(enum proto_id id, enum dest dest, const char *text)
{
	static char out[100];
	struct buf exchange = {0}, key = {0};
	int err = replayer_for(id)->parse_to(text, dest, &exchange, &key);

	snprintf(out, sizeof(out), "%s|%s", buf_cstr(&exchange), buf_cstr(&key));
	buf_free(&exchange);
	buf_free(&key);
	return err ? "-" : out;
}

static void places_as_they_are_written(void)
{
	CHECK_STR(to(PROTO_AMQP091, DEST_ROUTED, "orders/key/more"), "orders|key/more");
	CHECK_STR(to(PROTO_AMQP091, DEST_ROUTED, "/queue"), "|queue");
	CHECK_STR(to(PROTO_AMQP091, DEST_ROUTED, "nowhere"), "-");
	CHECK_STR(to(PROTO_KAFKA, DEST_LOG, "orders"), "orders|");
	CHECK_STR(to(PROTO_KAFKA, DEST_LOG, "orders/12"), "orders|12");
	CHECK_STR(to(PROTO_KAFKA, DEST_LOG, "orders/x"), "-");
	CHECK_STR(to(PROTO_KAFKA, DEST_LOG, "orders/99999999999"), "-");
	CHECK_STR(to(PROTO_KAFKA, DEST_LOG, "/1"), "-");
	CHECK_STR(to(PROTO_KAFKA, DEST_LOG, ""), "-");
	CHECK_STR(to(PROTO_REDIS, DEST_ROUTED, "a/b"), "|a/b");
	CHECK_STR(to(PROTO_REDIS, DEST_LOG, "a/b"), "a/b|");
	CHECK_STR(to(PROTO_REDIS, DEST_CHANNEL, ""), "-");
	CHECK_STR(to(PROTO_NATS, DEST_CHANNEL, "orders.created"), "orders.created|");
	CHECK_STR(to(PROTO_NATS, DEST_CHANNEL, "orders.a*b"), "orders.a*b|");
	CHECK_STR(to(PROTO_NATS, DEST_CHANNEL, "orders.*"), "-");
	CHECK_STR(to(PROTO_NATS, DEST_CHANNEL, "orders.>"), "-");
	CHECK_STR(to(PROTO_NATS, DEST_CHANNEL, "orders..x"), "-");
	CHECK_STR(to(PROTO_NATS, DEST_CHANNEL, "orders."), "-");
	CHECK_STR(to(PROTO_NATS, DEST_CHANNEL, "a b"), "-");
}

static const char *in_words(
	enum proto_id id, enum dest dest, const char *exchange, const char *key, const char *log)
{
	struct replay_place p = {.dest = dest,
		.exchange = span_str(exchange),
		.routing_key = span_str(key),
		.log = span_str(log)};
	static char out[200];
	struct buf b = {0};

	replayer_for(id)->words(&p, &b);
	snprintf(out, sizeof(out), "%s", buf_cstr(&b));
	buf_free(&b);
	return out;
}

static void places_in_words(void)
{
	CHECK_STR(in_words(PROTO_AMQP091, DEST_ROUTED, "x", "", ""), "exchange x, key (empty)");
	CHECK_STR(in_words(PROTO_KAFKA, DEST_LOG, "orders", "3", "orders-3"), "topic orders, partition 3");
	CHECK_STR(
		in_words(PROTO_KAFKA, DEST_LOG, "orders", "", ""), "topic orders, the partition of its key");
	CHECK_STR(in_words(PROTO_REDIS, DEST_ROUTED, "", "jobs", ""), "list jobs");
	CHECK_STR(in_words(PROTO_REDIS, DEST_LOG, "orders", "", "orders"), "stream orders");
	CHECK_STR(in_words(PROTO_REDIS, DEST_CHANNEL, "news", "", ""), "channel news");
	CHECK_STR(in_words(PROTO_NATS, DEST_CHANNEL, "a.b", "", ""), "subject a.b");
	CHECK_STR(in_words(PROTO_NATS, DEST_LOG, "a.b", "", "ORDERS"), "subject a.b (stream ORDERS)");
}

static bool fits(enum proto_id id, enum dest dest, const char *exchange, const char *key)
{
	struct replay_place p = {.dest = dest, .exchange = span_str(exchange), .routing_key = span_str(key)};

	return !replayer_for(id)->unfit(&p, buf_span(&envelope), SPAN_LIT("body"));
}

static void what_can_never_be_sent(void)
{
	pairs_begin(&envelope);
	CHECK(fits(PROTO_KAFKA, DEST_LOG, "orders", "3"));
	CHECK(!fits(PROTO_KAFKA, DEST_LOG, "", "3"));
	CHECK(!fits(PROTO_KAFKA, DEST_LOG, "orders", "three"));
	CHECK(!fits(PROTO_REDIS, DEST_LOG, "orders", "")); /* an entry has fields */
	CHECK(!fits(PROTO_REDIS, DEST_ROUTED, "", "bull:mail:wait"));
	CHECK(fits(PROTO_REDIS, DEST_ROUTED, "", "queue:default"));
	CHECK(fits(PROTO_REDIS, DEST_CHANNEL, "news", ""));
	CHECK(fits(PROTO_NATS, DEST_CHANNEL, "a.b", ""));
	CHECK(!fits(PROTO_NATS, DEST_CHANNEL, "a.*", ""));
	header("a", "1");
	CHECK(fits(PROTO_REDIS, DEST_LOG, "orders", ""));
	CHECK(fits(PROTO_NATS, DEST_CHANNEL, "a.b", ""));
	header("b", "1\r\nc: 2");
	CHECK(!fits(PROTO_NATS, DEST_CHANNEL, "a.b", ""));
	pairs_begin(&envelope);
	pairs_property(&envelope, "command", SPAN_LIT("evalsha"));
	CHECK(!fits(PROTO_REDIS, DEST_ROUTED, "", "jobs"));
}

int main(void)
{
	RUN(kafka_origin_by_each_convention);
	RUN(kafka_headers_left_out);
	RUN(redis_adds_nothing);
	RUN(nats_ids_and_conditions);
	RUN(broken_envelopes);
	RUN(places_as_they_are_written);
	RUN(places_in_words);
	RUN(what_can_never_be_sent);
	buf_free(&envelope);
	return test_end();
}
