/*
 * driver COMMAND --server HOST:PORT --log FILE [OPTION]...: an ordinary client of Kafka on librdkafka. Its
 * commands (produce, consume) and options are those of driver.py.
 *
 * Links: -lrdkafka -lz
 */
#include <librdkafka/rdkafka.h>

#include "../client/truth.h"

#define TX_SIZE 10

/* What a delivery report says of each message of the open batch. */
struct report {
	int partition;
	long long offset;
};

static struct truth t;
static struct report *reports;
static char why[512];

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
		die(name, why);
}

static void need(rd_kafka_error_t *error, const char *what)
{
	if (error)
		die(what, rd_kafka_error_string(error));
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct report *r = m->_private;

	(void)rk, (void)opaque;
	/* Records that an abort catches before they are sent never get an offset. */
	if (m->err && m->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE)
		die("delivery", rd_kafka_err2str(m->err));
	r->partition = m->partition;
	r->offset = m->err ? -1 : m->offset;
}

static void log_message(const char *op, const void *body, size_t size, const char *key, const char *headers,
	const char *more, int partition, long long offset)
{
	truth_write(&t, op,
		"%s,\"dest\":\"%s\",\"rk\":\"%d\",\"log\":\"%s-%d\",\"mid\":\"%lld\","
		"\"headers\":%s%s%s%s%s",
		truth_sum(body, size), t.dest, partition, t.dest, partition, offset, headers,
		*key ? ",\"key\":\"" : "", key, *key ? "\"" : "", more);
}

static void header_text(int i, char *ret, size_t size)
{
	if (t.plain)
		snprintf(ret, size, "[]");
	else
		snprintf(ret, size, "[[\"n\",\"%s-%d\"],[\"kind\",\"lab\"]]", t.prefix, i);
}

/* Messages @from..@to are done with. */
static void log_sent(int from, int to, const char *tx)
{
	char key[16], headers[128], more[64] = "";

	if (tx)
		snprintf(more, sizeof(more), ",\"tx\":\"%s\"", tx);
	for (int i = from; i < to; i++) {
		size_t size = truth_body(&t, i);

		if (reports[i].offset < 0)
			continue;
		truth_key(&t, i, key);
		header_text(i, headers, sizeof(headers));
		log_message(
			"send", t.body, size, key, headers, more, reports[i].partition, reports[i].offset);
	}
}

static void send_one(rd_kafka_t *rk, int i)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
	size_t size = truth_body(&t, i);
	char key[16], n[64];
	rd_kafka_resp_err_t e;

	truth_key(&t, i, key);
	if (!t.plain) {
		snprintf(n, sizeof(n), "%s-%d", t.prefix, i);
		rd_kafka_header_add(headers, "n", -1, n, -1);
		rd_kafka_header_add(headers, "kind", -1, "lab", -1);
	}
	e = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(t.dest), RD_KAFKA_V_PARTITION(i % t.partitions),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY((*key ? key : NULL), strlen(key)),
		RD_KAFKA_V_VALUE(t.body, size), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(&reports[i]),
		RD_KAFKA_V_END);
	if (e)
		die("produce", rd_kafka_err2str(e));
}

static int settle(rd_kafka_t *rk, int from, int to, const char *tx)
{
	if (rd_kafka_flush(rk, 20000))
		die("flush", NULL);
	if (tx && !strcmp(tx, "commit"))
		need(rd_kafka_commit_transaction(rk, 20000), "commit");
	else if (tx)
		need(rd_kafka_abort_transaction(rk, 20000), "abort");
	log_sent(from, to, tx);
	return to;
}

static void produce(rd_kafka_conf_t *conf)
{
	rd_kafka_t *rk;
	int done = 0;

	set(conf, "linger.ms", "20");
	set(conf, "message.max.bytes", "8388608");
	set(conf, "compression.type", t.codec);
	if (*t.tx)
		set(conf, "transactional.id", t.prefix);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!rk)
		die("producer", why);
	if (*t.tx)
		need(rd_kafka_init_transactions(rk, 20000), "init_transactions");
	reports = calloc(t.n, sizeof(*reports));
	for (int i = 0; i < t.n; i++) {
		if (*t.hold && i >= t.warm && (i - t.warm) % BURST == 0) {
			done = settle(rk, done, i, NULL);
			truth_pause(&t, i);
		}
		if (*t.tx && i % TX_SIZE == 0)
			need(rd_kafka_begin_transaction(rk), "begin_transaction");
		send_one(rk, i);
		if (*t.tx && i % TX_SIZE == TX_SIZE - 1)
			done = settle(rk, done, i + 1,
				truth_turn(t.tx, i / TX_SIZE, "commit") ? "commit" : "abort");
	}
	settle(rk, done, t.n, NULL);
	rd_kafka_destroy(rk);
}

static void on_rebalance(
	rd_kafka_t *rk, rd_kafka_resp_err_t e, rd_kafka_topic_partition_list_t *parts, void *opaque)
{
	(void)opaque;
	rd_kafka_assign(rk, e == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS ? parts : NULL);
	if (e == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
		truth_ready(&t);
}

static void log_received(rd_kafka_message_t *m)
{
	char key[16] = "", headers[256] = "[", more[128];
	rd_kafka_headers_t *h;
	const char *name;
	const void *value;
	size_t size;

	snprintf(key, sizeof(key), "%.*s", (int)m->key_len, (const char *)m->key);
	if (!rd_kafka_message_headers(m, &h))
		for (size_t i = 0; !rd_kafka_header_get_all(h, i, &name, &value, &size); i++)
			snprintf(headers + strlen(headers), sizeof(headers) - strlen(headers),
				"%s[\"%s\",\"%.*s\"]", i ? "," : "", name, (int)size, (const char *)value);
	strcat(headers, "]");
	snprintf(more, sizeof(more), ",\"queue\":\"%s/%s\"", t.dest, t.group);
	log_message("recv", m->payload, m->len, key, headers, more, m->partition, m->offset);
}

static void consume(rd_kafka_conf_t *conf)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
	rd_kafka_message_t *m;
	rd_kafka_t *rk;
	int n = 0;

	set(conf, "group.id", t.group);
	set(conf, "enable.auto.commit", "false");
	set(conf, "auto.offset.reset", "earliest");
	set(conf, "fetch.message.max.bytes", "8388608");
	set(conf, "fetch.wait.max.ms", "100");
	set(conf, "isolation.level", strcmp(t.mode, "committed") ? "read_uncommitted" : "read_committed");
	rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!rk)
		die("consumer", why);
	rd_kafka_poll_set_consumer(rk);
	rd_kafka_topic_partition_list_add(topics, t.dest, RD_KAFKA_PARTITION_UA);
	if (rd_kafka_subscribe(rk, topics))
		die("subscribe", NULL);
	while (n < t.n) {
		truth_in_time(&t, "messages");
		m = rd_kafka_consumer_poll(rk, 200);
		if (!m)
			continue;
		if (m->err)
			die("consume", rd_kafka_message_errstr(m));
		n++;
		log_received(m);
		if (!strcmp(t.settle, "ack")) {
			if (rd_kafka_commit_message(rk, m, 0))
				die("commit", NULL);
			truth_write(&t, "settle",
				",\"queue\":\"%s/"
				"%s\",\"how\":\"ack\",\"upto\":true,\"log\":\"%s-%d\",\"mid\":\"%lld\"",
				t.dest, t.group, t.dest, m->partition, (long long)m->offset + 1);
		}
		rd_kafka_message_destroy(m);
	}
	rd_kafka_consumer_close(rk);
	rd_kafka_topic_partition_list_destroy(topics);
	rd_kafka_destroy(rk);
}

int main(int argc, char **argv)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	t = truth_options(argc, argv);
	set(conf, "bootstrap.servers", t.server);
	set(conf, "client.id", "lab-c");
	if (!strcmp(t.mode, "old")) {
		/* As brokers before 0.10 are spoken to: produce 0, fetch 0, message sets without a time. */
		set(conf, "api.version.request", "false");
		set(conf, "broker.version.fallback", "0.9.0.1");
	}
	if (!strcmp(t.command, "produce"))
		produce(conf);
	else if (!strcmp(t.command, "consume"))
		consume(conf);
	else
		die(t.command, "no such command");
	return 0;
}
