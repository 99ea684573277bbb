/*
 * A store as the recorder would leave it, written through the store's own writer: an order that billing
 * rejects and that ends in a dead-letter queue, an invoice that waits behind twelve others, a parcel that is
 * delivered and never acknowledged, a message that nobody was bound for, and one whose routes are not known.
 */
#ifndef EVTRACE_TESTS_SCENARIO_H
#define EVTRACE_TESTS_SCENARIO_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/timefmt.h"
#include "store/store.h"

#define T0      1763905202000000000LL /* 2025-11-23T13:40:02Z: recording begins */
#define T_ORDER (T0 + 1327114 * NS_PER_MS)
#define T_END   (T_ORDER + 360 * NS_PER_SEC)
#define MS(n)   ((n)*NS_PER_MS)

enum {
	PID_BROKER = 2200,
	PID_SHOP = 2211,
	PID_BILLING = 2214,
	PID_INVOICES = 2215,
	PID_SLOW = 2216,
	PID_AUDIT = 2217,
};

struct scenario {
	struct store_writer *w;
	struct record_sink sink;
	struct record_ids ids;
	uint64_t process[6], broker, connection[6];
	int err; /* the first that any call met */
};

static inline void sc_keep(struct scenario *s, int err)
{
	if (!s->err)
		s->err = err;
}

static inline uint64_t sc_process(
	struct scenario *s, uint32_t pid, const char *service, const char *exe, int64_t first_ns)
{
	struct proc_info info = {.pid = pid,
		.ppid = 1,
		.comm = service,
		.exe = exe,
		.cmdline = exe,
		.service = service,
		.cgroup = ""};
	struct process_rec r = {.id = s->ids.process++, .info = &info, .first_ns = first_ns};

	sc_keep(s, s->sink.process(s->sink.ctx, &r));
	return r.id;
}

static inline uint64_t sc_connection(
	struct scenario *s, uint64_t client, uint64_t server, enum conn_state state, uint64_t bytes)
{
	struct conn c = {.id = 1, .from_start = true, .opened_ns = T0, .bytes = {bytes, bytes}, .family = 2};
	struct connection_rec r = {.id = s->ids.connection++,
		.client_process = client,
		.server_process = server,
		.proto = state == CONN_DECODED ? PROTO_AMQP091 : PROTO_NONE,
		.state = state,
		.broker = s->broker,
		.info = &c};

	sc_keep(s, s->sink.connection(s->sink.ctx, &r));
	return r.id;
}

/* --- AMQP envelopes: flags and the properties content-type, headers, correlation-id, type --- */

static inline void sc_short(struct buf *b, const char *s)
{
	buf_putc(b, (char)strlen(s));
	buf_puts(b, s);
}

static inline void sc_be32(struct buf *b, uint32_t v)
{
	uint8_t p[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	buf_put(b, p, 4);
}

/* @mark: the value of evtrace-replay-of, or NULL. */
static inline void sc_envelope(struct buf *b, const char *content_type, const char *tenant, int32_t tries,
	const char *correlation, const char *type, const char *mark)
{
	struct buf table = {0};

	buf_clear(b);
	buf_put(b, "\xa4\x20", 2);
	sc_short(b, content_type);
	sc_short(&table, "x-tenant");
	buf_putc(&table, 'S');
	sc_be32(&table, (uint32_t)strlen(tenant));
	buf_puts(&table, tenant);
	sc_short(&table, "tries");
	buf_putc(&table, 'I');
	sc_be32(&table, (uint32_t)tries);
	if (mark) {
		sc_short(&table, "evtrace-replay-of");
		buf_putc(&table, 'S');
		sc_be32(&table, (uint32_t)strlen(mark));
		buf_puts(&table, mark);
	}
	sc_be32(b, (uint32_t)table.n);
	buf_put_span(b, buf_span(&table));
	sc_short(b, correlation);
	sc_short(b, type);
	buf_free(&table);
}

/* An envelope of one header: "evtrace-replay-of", or with @reason "x-death" with one entry. */
static inline void sc_one_header(struct buf *b, const char *token, const char *reason)
{
	struct buf table = {0}, death = {0};

	if (reason) {
		sc_short(&death, "reason");
		buf_putc(&death, 'S');
		sc_be32(&death, (uint32_t)strlen(reason));
		buf_puts(&death, reason);
		sc_short(&table, "x-death");
		buf_putc(&table, 'A');
		sc_be32(&table, (uint32_t)death.n + 5);
		buf_putc(&table, 'F');
		sc_be32(&table, (uint32_t)death.n);
		buf_put_span(&table, buf_span(&death));
	} else {
		sc_short(&table, "evtrace-replay-of");
		buf_putc(&table, 'S');
		sc_be32(&table, (uint32_t)strlen(token));
		buf_puts(&table, token);
	}
	buf_clear(b);
	buf_put(b, "\x20\x00", 2);
	sc_be32(b, (uint32_t)table.n);
	buf_put_span(b, buf_span(&table));
	buf_free(&table);
	buf_free(&death);
}

struct sc_message {
	const char *exchange, *key, *type, *body;
	int64_t sent_ns, first_ns;
	uint64_t process, connection, flow; /* flow 0: its own */
	enum msg_state state;
	enum msg_origin origin;
	enum routes routes;
	uint32_t flags, code;
	size_t body_n;              /* 0: strlen(body) */
	const char *token, *reason; /* instead of the usual headers: sc_one_header() */
	const char *mark;           /* besides them */
};

static inline uint64_t sc_message(struct scenario *s, const struct sc_message *m)
{
	struct buf env = {0};
	struct span body = span_of(m->body, m->body_n ? m->body_n : strlen(m->body));
	struct message_rec r = {
		.id = s->ids.message++,
		.broker = s->broker,
		.proto = PROTO_AMQP091,
		.vhost = SPAN_LIT("/"),
		.exchange = span_str(m->exchange),
		.routing_key = span_str(m->key),
		.type = span_str(m->type),
		.sent_ns = m->sent_ns,
		.first_ns = m->first_ns ? m->first_ns : m->sent_ns,
		.process = m->process,
		.tid = m->process ? 2211 : 0,
		.connection = m->connection,
		.channel = 1,
		.state = m->state,
		.origin = m->origin ? m->origin : ORIGIN_CLIENT,
		.routes = m->routes,
		.body_size = body.n,
		.flags = m->flags,
		.one_of = 1,
		.code = m->code,
	};

	r.flow = m->flow ? m->flow : r.id;
	r.fingerprint = hash_span(body, 0);
	if (m->token || m->reason)
		sc_one_header(&env, m->token, m->reason);
	else
		sc_envelope(&env, "application/json", "acme", 3, "c0ffee", m->type, m->mark);
	sc_keep(s, s->sink.payload(s->sink.ctx, PROTO_AMQP091, buf_span(&env), body, &r.payload));
	sc_keep(s, s->sink.message(s->sink.ctx, &r));
	buf_free(&env);
	return r.id;
}

static inline uint64_t sc_copy(struct scenario *s, struct copy_rec r, const char *queue)
{
	r.id = s->ids.copy++;
	r.queue = span_str(queue);
	sc_keep(s, s->sink.copy(s->sink.ctx, &r));
	return r.id;
}

static inline void sc_op(struct scenario *s, struct operation_rec r)
{
	r.id = s->ids.op++;
	r.channel = 1;
	r.len = 100;
	r.pos = r.id * 1000;
	sc_keep(s, s->sink.operation(s->sink.ctx, &r));
}

static inline void sc_link(struct scenario *s, uint64_t src, uint64_t dst, enum link_kind kind,
	double confidence, const char *evidence)
{
	struct link_rec r = {s->ids.link++, src, dst, kind, confidence, evidence};

	sc_keep(s, s->sink.link(s->sink.ctx, &r));
}

static inline void sc_queue(struct scenario *s, const char *name, bool dlx)
{
	struct queue_rec r = {.broker = s->broker,
		.vhost = SPAN_LIT("/"),
		.name = span_str(name),
		.dead_letter_exchange = dlx ? SPAN_LIT("dead") : SPAN_EMPTY,
		.has_dead_letter = dlx,
		.ttl_ms = -1,
		.max_length = -1,
		.durable = true,
		.declared = true,
		.ts_ns = T0};

	sc_keep(s, s->sink.queue(s->sink.ctx, &r));
}

static inline void sc_binding(struct scenario *s, const char *source, const char *queue, const char *key)
{
	struct binding_rec r = {.broker = s->broker,
		.vhost = SPAN_LIT("/"),
		.source = span_str(source),
		.destination = span_str(queue),
		.key = span_str(key),
		.ts_ns = T0};

	sc_keep(s, s->sink.binding(s->sink.ctx, &r));
}

static inline void sc_consumer(struct scenario *s, int who, const char *queue, const char *tag)
{
	struct consumer_rec r = {.broker = s->broker,
		.connection = s->connection[who],
		.process = s->process[who],
		.vhost = SPAN_LIT("/"),
		.queue = span_str(queue),
		.tag = span_str(tag),
		.channel = 1,
		.prefetch = 10,
		.since_ns = T0};

	sc_keep(s, s->sink.consumer(s->sink.ctx, &r));
}

enum { BROKER, SHOP, BILLING, INVOICES, SLOW, AUDIT };

/* The ids of the messages, in the order in which they were made. */
enum {
	M_FILLER_FIRST = 1, /* twelve notices that wait in notify */
	M_ORDER = 13,
	M_INVOICE = 14,
	M_DEAD = 15,
	M_PARCEL = 16,
	M_LOST = 17,    /* returned: no route */
	M_FOREIGN = 18, /* its exchange's bindings are not known */
	M_REPLAY = 19,  /* the order, sent again by evtrace */
	M_LAST = M_REPLAY,
};

#define SC_TOKEN "m15.5f1c0a77d2e94b10"

#define ORDER_BODY                                                                                           \
	"{\"order\":{\"id\":4711,\"customer\":{\"name\":\"John Doe\",\"id\":88,\"city\":\"K\\u00f6ln\"},"    \
	"\"total\":99.50}}"

static inline void sc_begin(struct scenario *s)
{
	static const struct {
		uint32_t pid;
		const char *service, *exe;
	} who[] = {{PID_BROKER, "rabbitmq", "/usr/lib/erlang/beam.smp"},
		{PID_SHOP, "shop", "/usr/bin/python3"}, {PID_BILLING, "billing", "/usr/bin/python3"},
		{PID_INVOICES, "invoices", "/srv/invoices"}, {PID_SLOW, "slow", "/srv/slow"},
		{PID_AUDIT, "audit", "/srv/audit"}};
	struct broker_rec b = {.proto = PROTO_AMQP091, .name = "127.0.0.1:5672"};

	for (size_t i = 0; i < ARRAY_LEN(who); i++)
		s->process[i] = sc_process(s, who[i].pid, who[i].service, who[i].exe, T0);
	s->broker = b.id = 1;
	b.process = s->process[BROKER];
	sc_keep(s, s->sink.broker(s->sink.ctx, &b));
	for (int i = SHOP; i <= AUDIT; i++)
		s->connection[i] = sc_connection(s, s->process[i], s->process[BROKER], CONN_DECODED, 5000);
	sc_connection(s, sc_process(s, 812, "java", "/usr/bin/java", T0), 0, CONN_ENCRYPTED, 206000);
	sc_queue(s, "billing", true);
	sc_queue(s, "billing.dlq", false);
	sc_queue(s, "invoices", false);
	sc_queue(s, "audit", false);
	sc_queue(s, "notify", false);
	sc_queue(s, "parcels", false);
	sc_binding(s, "orders", "billing", "order.*");
	sc_binding(s, "orders", "invoices", "order.created");
	sc_binding(s, "orders", "audit", "#");
	sc_binding(s, "dead", "billing.dlq", "#");
	sc_binding(s, "invoices", "notify", "invoice.*");
	sc_consumer(s, BILLING, "billing", "b1");
	sc_consumer(s, INVOICES, "invoices", "i1");
	sc_consumer(s, AUDIT, "audit", "a1");
	sc_consumer(s, SLOW, "parcels", "p1");
}

static inline void sc_notices(struct scenario *s)
{
	for (int i = 0; i < 12; i++) {
		char body[80];
		uint64_t m;
		int64_t t = T_ORDER - MS(60000) + i * MS(1000);

		snprintf(
			body, sizeof(body), "{\"notice\":{\"no\":%d,\"text\":\"n\\u00b0 %d\"}}", 9000 + i, i);
		m = sc_message(s, &(struct sc_message){.exchange = "invoices",
					  .key = "invoice.noted",
					  .type = "",
					  .body = body,
					  .sent_ns = t,
					  .process = s->process[INVOICES],
					  .connection = s->connection[INVOICES],
					  .state = STATE_QUEUED,
					  .routes = ROUTES_DECLARED});
		sc_copy(s,
			(struct copy_rec){.message = m,
				.state = STATE_QUEUED,
				.source = COPY_BY_BINDING,
				.queued_ns = t},
			"notify");
	}
}

static inline void sc_order_delivered(
	struct scenario *s, uint64_t order, uint64_t copy, int64_t at, bool last)
{
	struct operation_rec take = {.message = order,
				     .copy = copy,
				     .kind = OP_RECEIVE,
				     .ts_ns = at,
				     .process = s->process[BILLING],
				     .tid = PID_BILLING,
				     .connection = s->connection[BILLING],
				     .tag = 1},
			     give = take;

	give.kind = OP_SETTLE;
	give.settle = last ? SETTLE_REJECT : SETTLE_REQUEUE;
	give.ts_ns = at + MS(41);
	sc_op(s, take);
	sc_op(s, give);
}

/* order -> billing (rejected, dead), invoices, audit; invoices sends the invoice */
static inline void sc_order(struct scenario *s)
{
	int64_t t = T_ORDER, dead_at = t + MS(124);
	struct sc_message order = {.exchange = "orders",
		.key = "order.created",
		.type = "order.created",
		.body = ORDER_BODY,
		.sent_ns = t,
		.process = s->process[SHOP],
		.connection = s->connection[SHOP],
		.state = STATE_DEAD_LETTERED,
		.routes = ROUTES_DECLARED,
		.flags = MSGF_CONFIRMED};
	uint64_t m = sc_message(s, &order), c, invoice, dead;

	sc_op(s, (struct operation_rec){.message = m,
			 .kind = OP_SEND,
			 .ts_ns = t,
			 .process = s->process[SHOP],
			 .tid = PID_SHOP,
			 .connection = s->connection[SHOP]});
	c = sc_copy(s,
		(struct copy_rec){.message = m,
			.state = STATE_DEAD_LETTERED,
			.source = COPY_BY_BINDING,
			.settle = SETTLE_REJECT,
			.queued_ns = t,
			.first_delivered_ns = t + 800000,
			.delivered_ns = t + MS(82),
			.settled_ns = t + MS(123),
			.deliveries = 3,
			.consumer = s->process[BILLING],
			.consumer_tid = PID_BILLING,
			.connection = s->connection[BILLING],
			.dead_letter = M_DEAD},
		"billing");
	for (int i = 0; i < 3; i++)
		sc_order_delivered(s, m, c, t + 800000 + i * MS(41), i == 2);
	sc_copy(s,
		(struct copy_rec){.message = m,
			.state = STATE_ACKED,
			.source = COPY_BY_BINDING,
			.settle = SETTLE_ACK,
			.queued_ns = t,
			.first_delivered_ns = t + 900000,
			.delivered_ns = t + 900000,
			.settled_ns = t + 900000 + MS(12),
			.deliveries = 1,
			.consumer = s->process[INVOICES],
			.consumer_tid = PID_INVOICES,
			.connection = s->connection[INVOICES]},
		"invoices");
	sc_copy(s,
		(struct copy_rec){.message = m,
			.state = STATE_ACKED,
			.source = COPY_BY_BINDING,
			.settle = SETTLE_ACK,
			.queued_ns = t,
			.first_delivered_ns = t + 1100000,
			.delivered_ns = t + 1100000,
			.settled_ns = t + 1100000 + MS(2),
			.deliveries = 1,
			.consumer = s->process[AUDIT],
			.connection = s->connection[AUDIT]},
		"audit");
	invoice = sc_message(s, &(struct sc_message){.exchange = "invoices",
					.key = "invoice.created",
					.type = "invoice.created",
					.body = "{\"invoice\":{\"order\":4711,\"no\":\"R-1\"}}",
					.sent_ns = t + MS(12),
					.process = s->process[INVOICES],
					.connection = s->connection[INVOICES],
					.flow = m,
					.state = STATE_QUEUED,
					.routes = ROUTES_DECLARED});
	sc_copy(s,
		(struct copy_rec){.message = invoice,
			.state = STATE_QUEUED,
			.source = COPY_BY_BINDING,
			.queued_ns = t + MS(12) + 400000},
		"notify");
	order.exchange = "dead";
	order.origin = ORIGIN_BROKER;
	order.sent_ns = 0;
	order.first_ns = dead_at;
	order.process = 0;
	order.connection = 0;
	order.flow = m;
	order.state = STATE_QUEUED;
	dead = sc_message(s, &order);
	sc_copy(s,
		(struct copy_rec){.message = dead,
			.state = STATE_QUEUED,
			.source = COPY_BY_DEATH,
			.queued_ns = dead_at},
		"billing.dlq");
	sc_link(s, m, invoice, LINK_CAUSED_BY, 0.998,
		"order.id=4711 (1 of 9 in flight) · same thread, before its ack");
	sc_link(s, m, dead, LINK_DEAD_LETTER_OF, 1,
		"rejected in billing; its dead-letter exchange leads to billing.dlq");
}

static inline void sc_others(struct scenario *s)
{
	int64_t t = T_ORDER;
	struct sc_message m = {.exchange = "",
		.key = "parcels",
		.type = "parcel",
		.body = "<parcel id=\"P-77\">books</parcel>",
		.sent_ns = t + MS(1000),
		.process = s->process[SHOP],
		.connection = s->connection[SHOP],
		.state = STATE_DELIVERED,
		.routes = ROUTES_DECLARED};
	uint64_t id = sc_message(s, &m), r;

	sc_copy(s,
		(struct copy_rec){.message = id,
			.state = STATE_DELIVERED,
			.source = COPY_BY_DEFAULT,
			.queued_ns = m.sent_ns,
			.first_delivered_ns = T_END - MS(42000),
			.delivered_ns = T_END - MS(42000),
			.deliveries = 1,
			.consumer = s->process[SLOW],
			.connection = s->connection[SLOW]},
		"parcels");
	m = (struct sc_message){.exchange = "orders",
		.key = "nobody",
		.type = "",
		.body = "x",
		.sent_ns = t + MS(2000),
		.process = s->process[SHOP],
		.state = STATE_RETURNED,
		.routes = ROUTES_DECLARED,
		.flags = OPF_MANDATORY,
		.code = 312};
	sc_message(s, &m);
	m = (struct sc_message){.exchange = "legacy",
		.key = "k",
		.type = "",
		.body = "plain text for 5005",
		.sent_ns = t + MS(3000),
		.process = s->process[SHOP],
		.state = STATE_CONFIRMED,
		.flags = MSGF_CONFIRMED};
	sc_message(s, &m);
	m = (struct sc_message){.exchange = "orders",
		.key = "order.created",
		.type = "order.created",
		.body = ORDER_BODY,
		.first_ns = t + MS(300000),
		.flow = M_ORDER,
		.state = STATE_ACKED,
		.origin = ORIGIN_UNSEEN, /* evtrace does not watch itself */
		.routes = ROUTES_DECLARED,
		.mark = SC_TOKEN};
	r = sc_message(s, &m);
	sc_copy(s,
		(struct copy_rec){.message = r,
			.state = STATE_ACKED,
			.source = COPY_BY_BINDING,
			.settle = SETTLE_ACK,
			.queued_ns = m.first_ns,
			.first_delivered_ns = m.first_ns + MS(1),
			.delivered_ns = m.first_ns + MS(1),
			.settled_ns = m.first_ns + MS(31),
			.deliveries = 1,
			.consumer = s->process[BILLING],
			.connection = s->connection[BILLING]},
		"billing");
	sc_link(s, M_DEAD, r, LINK_REPLAY_OF, 1, "header evtrace-replay-of");
}

static inline void sc_identifiers(struct scenario *s)
{
	struct identifier id = {SPAN_LIT("order.id"), SPAN_LIT("4711"), PLACE_BODY, ID_JOIN, 1};
	struct identifier_rec r = {M_ORDER, &id};

	sc_keep(s, s->sink.identifier(s->sink.ctx, &r));
}

/* Opens the writer on @dir and writes all of it; the caller closes. */
static inline int scenario_open(struct scenario *s, const char *dir, struct err *e)
{
	struct store_session session = {"live", "./shop.sh and its descendants", "0.1", T0};
	int err;

	memset(s, 0, sizeof(*s));
	err = store_writer__open(dir, &session, &s->w, e);
	if (err)
		return err;
	store_writer_sink(s->w, &s->sink);
	store_writer_ids(s->w, &s->ids);
	return 0;
}

/* What `evtrace replay` noted when it sent M_REPLAY. */
static inline int sc_noted(const char *dir, struct err *e)
{
	struct store *s;
	char sql[400];
	int err = store__open(dir, true, &s, e);

	if (err)
		return err;
	snprintf(sql, sizeof(sql),
		"INSERT INTO replay(ts_ns,message,who,why,token,result,finished_ns) VALUES"
		"(%lld,%d,'root','John Doe has paid','" SC_TOKEN "','confirmed',%lld)",
		(long long)(T_ORDER + MS(299950)), M_DEAD, (long long)(T_ORDER + MS(299990)));
	if (sqlite3_exec(store_db(s), sql, NULL, NULL, NULL) != SQLITE_OK)
		err = err_set(e, -EIO, "cannot note the replay: %s", sqlite3_errmsg(store_db(s)));
	store__close(s);
	return err;
}

static inline int scenario_write(struct scenario *s, const char *dir, struct err *e)
{
	int err = scenario_open(s, dir, e);

	if (err)
		return err;
	sc_begin(s);
	sc_notices(s);
	sc_order(s);
	sc_others(s);
	sc_identifiers(s);
	if (s->err)
		return err_set(e, s->err, "the store's sink failed");
	err = store_writer_commit(s->w, T_END, e);
	return err ? err : sc_noted(dir, e);
}

#endif
