/* What the store's tests share: a directory of their own, sample rows, one-value queries. */
#ifndef EVTRACE_TESTS_STORE_HELP_H
#define EVTRACE_TESTS_STORE_HELP_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "store/store.h"

#define SEC NS_PER_SEC
#define T0  (1795442529LL * SEC + 114203000) /* 2026-11-23T14:02:09.114203Z */

static char tmp[64], dir[80];

static inline void remove_dir(void)
{
	char cmd[128];

	if (!tmp[0])
		return;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", tmp);
	if (system(cmd))
		fprintf(stderr, "cannot remove %s\n", tmp);
	tmp[0] = '\0';
}

/* A path where nothing is yet. */
static inline const char *new_dir(void)
{
	remove_dir();
	snprintf(tmp, sizeof(tmp), "/tmp/evtrace-test-XXXXXX");
	if (!mkdtemp(tmp))
		abort();
	snprintf(dir, sizeof(dir), "%s/store", tmp);
	return dir;
}

static inline struct store_writer *open_writer_again(void)
{
	struct store_session s = {.source = "live", .scope = "a test", .version = "0", .started_ns = T0};
	struct store_writer *w = NULL;
	struct err e = {0};

	if (store_writer__open(dir, &s, &w, &e)) {
		fprintf(stderr, "store_writer__open: %s\n", e.msg);
		abort();
	}
	return w;
}

static inline struct store_writer *open_writer(void)
{
	new_dir();
	return open_writer_again();
}

/* The first column of the first row, or the error. Valid until the next call. */
static inline const char *q(struct store *s, const char *sql)
{
	static char out[4096];
	sqlite3_stmt *st;

	snprintf(out, sizeof(out), "(no row)");
	if (sqlite3_prepare_v2(store_db(s), sql, -1, &st, NULL)) {
		snprintf(out, sizeof(out), "%s", sqlite3_errmsg(store_db(s)));
		return out;
	}
	if (sqlite3_step(st) == SQLITE_ROW)
		snprintf(out, sizeof(out), "%s",
			sqlite3_column_text(st, 0) ? (const char *)sqlite3_column_text(st, 0) : "NULL");
	sqlite3_finalize(st);
	return out;
}

static inline const char *body_of(struct store *s, uint64_t ref)
{
	static char out[256];
	struct span env, body;
	struct err e = {0};

	if (store_payload(s, ref, &env, &body, &e))
		snprintf(out, sizeof(out), "%s", e.msg);
	else
		snprintf(out, sizeof(out), SPAN_FMT, SPAN_ARG(body));
	return out;
}

/* @n bytes that depend on @seed; to be freed. */
static inline struct span pattern(size_t n, uint64_t seed)
{
	uint8_t *p = malloc(n + 1);

	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (uint8_t)(seed >> 56 & 0x3f);
	}
	return span_of(p, n);
}

static inline struct message_rec message(uint64_t id)
{
	return (struct message_rec){
		.id = id,
		.broker = 1,
		.proto = PROTO_AMQP091,
		.vhost = SPAN_LIT("/"),
		.exchange = SPAN_LIT("orders"),
		.routing_key = SPAN_LIT("order.created"),
		.type = SPAN_LIT("order"),
		.sent_ns = T0,
		.first_ns = T0,
		.process = 1,
		.tid = 2212,
		.unit = 77,
		.connection = 1,
		.channel = 3,
		.state = STATE_SENT,
		.origin = ORIGIN_CLIENT,
		.routes = ROUTES_DECLARED,
		.flow = 1,
		.fingerprint = (uint64_t)-2,
		.body_size = 13,
		.one_of = 1,
	};
}

static inline void put_processes(const struct record_sink *k)
{
	struct proc_info shop = {2211, 1, 5, "python3", "/usr/bin/python3.11", "python3 shop.py", "shop",
		"/system.slice/shop.service"};
	struct proc_info broker = {100, 1, 1, "beam.smp", "/usr/lib/beam", "beam.smp", "rabbitmq", ""};
	struct proc_info java = {812, 1, 1, "java", "/usr/bin/java", "java", "", ""};
	struct proc_info *info[] = {&shop, &broker, &java};

	for (size_t i = 0; i < 3; i++) {
		struct process_rec r = {.id = i + 1, .info = info[i], .first_ns = 7};

		if (!i) {
			r.exit_ns = 9;
			r.exit_code = 256;
		}
		if (i == 1)
			broker.service = "billing"; /* stands in for the consumer */
		k->process(k->ctx, &r);
	}
}

static inline void put_connections(const struct record_sink *k)
{
	struct conn c = {.family = AF_INET,
		.client_port = 40000,
		.server_port = 5672,
		.from_start = true,
		.opened_ns = T0,
		.bytes = {1000, 2000},
		.lost = {3, 0}};
	struct connection_rec r = {.id = 1,
		.client_process = 1,
		.server_process = 2,
		.proto = PROTO_AMQP091,
		.state = CONN_DECODED,
		.broker = 1,
		.info = &c};
	struct broker_rec b = {.id = 1, .proto = PROTO_AMQP091, .name = "127.0.0.1:5672", .process = 2};

	inet_pton(AF_INET, "127.0.0.1", c.client_addr);
	inet_pton(AF_INET, "127.0.0.1", c.server_addr);
	k->broker(k->ctx, &b);
	k->connection(k->ctx, &r);

	c = (struct conn){
		.family = AF_INET6, .client_port = 40001, .server_port = 5671, .bytes = {400000, 12000}};
	c.client_addr[15] = c.server_addr[15] = 1;
	r = (struct connection_rec){.id = 2, .client_process = 3, .state = CONN_ENCRYPTED, .info = &c};
	k->connection(k->ctx, &r);

	c = (struct conn){.family = AF_UNIX, .path = "/run/broker.sock", .bytes = {12, 0}};
	r = (struct connection_rec){.id = 3, .state = CONN_FAILED, .info = &c};
	k->connection(k->ctx, &r);
}

static inline void put_topology(const struct record_sink *k)
{
	struct exchange_rec x = {.broker = 1,
		.vhost = SPAN_LIT("/"),
		.name = SPAN_LIT("orders"),
		.type = SPAN_LIT("topic"),
		.args = SPAN_LIT("\x01\x02"),
		.proto = PROTO_AMQP091,
		.durable = true,
		.ts_ns = T0};
	struct queue_rec billing = {.broker = 1,
		.vhost = SPAN_LIT("/"),
		.name = SPAN_LIT("billing"),
		.has_dead_letter = true,
		.dead_letter_key = SPAN_LIT("billing.dlq"),
		.ttl_ms = 30000,
		.max_length = -1,
		.durable = true,
		.declared = true,
		.ts_ns = T0};
	struct queue_rec notify = {.broker = 1,
		.vhost = SPAN_LIT("/"),
		.name = SPAN_LIT("notify"),
		.ttl_ms = -1,
		.max_length = -1,
		.ts_ns = T0};
	struct binding_rec b = {.broker = 1,
		.vhost = SPAN_LIT("/"),
		.source = SPAN_LIT("orders"),
		.destination = SPAN_LIT("billing"),
		.key = SPAN_LIT("order.*"),
		.ts_ns = T0};
	struct consumer_rec c = {.broker = 1,
		.connection = 1,
		.process = 2,
		.vhost = SPAN_LIT("/"),
		.queue = SPAN_LIT("billing"),
		.tag = SPAN_LIT("ctag1"),
		.channel = 1,
		.prefetch = 200,
		.since_ns = T0};

	k->exchange(k->ctx, &x);
	k->queue(k->ctx, &billing);
	k->queue(k->ctx, &notify);
	k->binding(k->ctx, &b);
	k->consumer(k->ctx, &c);
}

static inline void put_messages(const struct record_sink *k)
{
	struct message_rec m = message(1);
	struct copy_rec billing = {.id = 1,
		.message = 1,
		.queue = SPAN_LIT("billing"),
		.state = STATE_DEAD_LETTERED,
		.source = COPY_BY_BINDING,
		.settle = SETTLE_REJECT,
		.queued_ns = T0,
		.first_delivered_ns = T0 + 1,
		.delivered_ns = T0 + 2,
		.settled_ns = T0 + 3,
		.deliveries = 3,
		.consumer = 2,
		.consumer_tid = 101,
		.connection = 1,
		.dead_letter = 2};
	struct copy_rec notify = {.id = 2,
		.message = 1,
		.queue = SPAN_LIT("notify"),
		.state = STATE_QUEUED,
		.source = COPY_BY_BINDING,
		.queued_ns = T0};

	k->payload(k->ctx, PROTO_AMQP091, SPAN_LIT("envelope"), SPAN_LIT("{\"order\":4711"), &m.payload);
	m.state = STATE_DEAD_LETTERED;
	m.flags = MSGF_CONFIRMED;
	k->message(k->ctx, &m);
	k->copy(k->ctx, &billing);
	k->copy(k->ctx, &notify);
	m = message(2);
	m.flags = OPF_TRUNCATED;
	k->message(k->ctx, &m);
}

/* At least one row of each kind. */
static inline void put_everything(const struct record_sink *k)
{
	struct operation_rec ops[] = {
		{.id = 1, .message = 1, .kind = OP_SEND, .ts_ns = T0, .process = 1, .tag = 1, .len = 400},
		{.id = 2,
			.message = 1,
			.copy = 1,
			.kind = OP_SETTLE,
			.settle = SETTLE_REJECT,
			.ts_ns = T0 + 1,
			.process = 2},
		{.id = 3,
			.kind = OP_ERROR,
			.ts_ns = T0 + 2,
			.code = 404,
			.text = SPAN_LIT("NOT_FOUND - no queue")},
	};
	struct identifier id = {SPAN_LIT("order.id"), SPAN_LIT("4711"), PLACE_BODY, ID_JOIN, 1};
	struct identifier_rec ir = {1, &id};
	struct link_rec l = {.id = 1,
		.src = 1,
		.dst = 2,
		.kind = LINK_CAUSED_BY,
		.confidence = 0.998,
		.evidence = "order.id=4711 \xc2\xb7 same thread"};
	struct gap_rec g = {.connection = 1,
		.ts_ns = T0,
		.bytes = 4096,
		.records = 1,
		.dir = TO_CLIENT,
		.reason = "the ring buffer was full"};

	put_processes(k);
	put_connections(k);
	put_topology(k);
	put_messages(k);
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		k->operation(k->ctx, &ops[i]);
	k->identifier(k->ctx, &ir);
	k->identifier(k->ctx, &ir); /* twice is once */
	k->link(k->ctx, &l);
	k->gap(k->ctx, &g);
}

#endif
