/*
 * What tests of the correlator share: a protocol whose envelopes are lines "name=value", a sink that keeps
 * rows as the store would (the last one of an id counts), and one function an operation. Each operation is a
 * millisecond after the one before.
 */
#ifndef EVTRACE_TESTS_TEST_CORRELATE_H
#define EVTRACE_TESTS_TEST_CORRELATE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/timefmt.h"
#include "correlate/correlate.h"
#include "test.h"

#define MAX_ROWS 4096
#define T0       1700000000000000000LL

/* --- a protocol --- */

static bool line(struct span *text, struct span *ret)
{
	const uint8_t *nl;

	if (!text->n)
		return false;
	nl = memchr(text->p, '\n', text->n);
	*ret = span_of(text->p, nl ? (size_t)(nl - text->p) : text->n);
	*text = span_sub(*text, ret->n + 1, text->n);
	return true;
}

static int fake_fields(struct span env, field_fn fn, void *ctx)
{
	struct span l;

	while (line(&env, &l)) {
		const uint8_t *eq = memchr(l.p, '=', l.n);
		struct field f = {.type = FIELD_TEXT};
		size_t digits = 0;

		if (!eq)
			return -1;
		f.name = span_of(l.p, (size_t)(eq - l.p));
		f.text = span_sub(l, f.name.n + 1, l.n);
		while (digits < f.text.n && f.text.p[digits] >= '0' && f.text.p[digits] <= '9')
			digits++;
		if (f.text.n && digits == f.text.n && digits < 18) {
			f.type = f.name.n > 5 && !memcmp(f.name.p + f.name.n - 5, ".time", 5) ? FIELD_TIME
											      : FIELD_INT;
			f.i = atoll((const char *)f.text.p);
		}
		if (!fn(ctx, &f))
			break;
	}
	return 0;
}

static uint64_t fake_stable_hash(struct span env, uint64_t seed)
{
	uint64_t h = seed;
	struct span l;

	while (line(&env, &l))
		if (!span_starts(l, "header.x-death") && !span_starts(l, "header.evtrace") &&
			!span_starts(l, "source-"))
			h = hash_span(l, h);
	return h;
}

static const struct proto fake_proto = {
	.id = PROTO_AMQP091,
	.name = "fake",
	.fields = fake_fields,
	.args = fake_fields,
	.stable_hash = fake_stable_hash,
};

/* --- rows --- */

struct message_row {
	struct message_rec r;
	char exchange[64], key[64], vhost[64], log[64], mid[64];
};

struct copy_row {
	struct copy_rec r;
	char queue[64];
};

struct link_row {
	struct link_rec r;
	char evidence[512];
};

struct rows {
	struct message_row m[MAX_ROWS];
	struct copy_row c[MAX_ROWS];
	struct link_row l[MAX_ROWS];
	struct queue_rec last_queue;
	size_t nm, nc, nl; /* highest id + 1 */
	size_t messages_written, copies_written, operations, identifiers, payloads, consumers, gaps;
	uint64_t merges[256][2];
	size_t nmerges;
	uint64_t last_merged[2]; /* messages */
	char last_rename[2][64];
	struct operation_rec ops[MAX_ROWS];
	struct broker_rec brokers[16];
	char broker_names[16][64];
	size_t nbrokers;
	struct connection_rec last_connection;
	uint64_t hash; /* of all rows in their order */
};

static void keep_text(char *to, size_t n, struct span s)
{
	snprintf(to, n, SPAN_FMT, SPAN_ARG(s));
}

static void mix(struct rows *r, const void *p, size_t n)
{
	r->hash = hash64(p, n, r->hash);
}

static int on_payload(void *ctx, enum proto_id p, struct span env, struct span body, uint64_t *ret)
{
	struct rows *r = ctx;

	(void)p;
	(void)env;
	(void)body;
	*ret = ++r->payloads;
	return 0;
}

static int on_message(void *ctx, const struct message_rec *m)
{
	struct rows *r = ctx;
	struct message_row *to = &r->m[m->id % MAX_ROWS];

	to->r = *m;
	keep_text(to->exchange, sizeof(to->exchange), m->exchange);
	keep_text(to->key, sizeof(to->key), m->routing_key);
	keep_text(to->vhost, sizeof(to->vhost), m->vhost);
	keep_text(to->log, sizeof(to->log), m->log);
	keep_text(to->mid, sizeof(to->mid), m->mid);
	if (m->id >= r->nm)
		r->nm = m->id + 1;
	r->messages_written++;
	mix(r, to->exchange, strlen(to->exchange));
	mix(r,
		&(uint64_t[]){m->id, m->state, m->flow, m->fingerprint, m->one_of, m->routes, m->process,
			(uint64_t)m->first_ns},
		64);
	return 0;
}

static int on_copy(void *ctx, const struct copy_rec *c)
{
	struct rows *r = ctx;
	struct copy_row *to = &r->c[c->id % MAX_ROWS];

	to->r = *c;
	keep_text(to->queue, sizeof(to->queue), c->queue);
	if (c->id >= r->nc)
		r->nc = c->id + 1;
	r->copies_written++;
	mix(r, to->queue, strlen(to->queue));
	mix(r, &(uint64_t[]){c->id, c->message, c->state, c->deliveries}, 32);
	return 0;
}

static int on_link(void *ctx, const struct link_rec *l)
{
	struct rows *r = ctx;
	struct link_row *to = &r->l[l->id % MAX_ROWS];

	to->r = *l;
	snprintf(to->evidence, sizeof(to->evidence), "%s", l->evidence);
	if (l->id >= r->nl)
		r->nl = l->id + 1;
	mix(r, &(uint64_t[]){l->id, l->src, l->dst, l->kind}, 32);
	mix(r, to->evidence, strlen(to->evidence));
	return 0;
}

static int on_operation(void *ctx, const struct operation_rec *o)
{
	struct rows *r = ctx;

	r->operations++;
	r->ops[o->id % MAX_ROWS] = *o;
	mix(r, &(uint64_t[]){o->id, o->message, o->copy, o->kind}, 32);
	return 0;
}

static int on_identifier(void *ctx, const struct identifier_rec *i)
{
	struct rows *r = ctx;

	r->identifiers++;
	mix(r, i->id->value.p, i->id->value.n);
	return 0;
}

static int on_merge(void *ctx, uint64_t from, uint64_t to)
{
	struct rows *r = ctx;

	r->merges[r->nmerges % 256][0] = from;
	r->merges[r->nmerges++ % 256][1] = to;
	for (size_t i = 0; i < r->nm; i++)
		if (r->m[i].r.id && r->m[i].r.flow == from)
			r->m[i].r.flow = to;
	return 0;
}

static int on_merge_messages(void *ctx, uint64_t from, uint64_t to)
{
	struct rows *r = ctx;

	r->last_merged[0] = from;
	r->last_merged[1] = to;
	r->m[from % MAX_ROWS].r.id = 0;
	mix(r, r->last_merged, sizeof(r->last_merged));
	return 0;
}

static int on_rename(void *ctx, struct span from, struct span to)
{
	struct rows *r = ctx;

	keep_text(r->last_rename[0], sizeof(r->last_rename[0]), from);
	keep_text(r->last_rename[1], sizeof(r->last_rename[1]), to);
	return 0;
}

static int on_broker(void *ctx, const struct broker_rec *b)
{
	struct rows *r = ctx;

	r->brokers[b->id % 16] = *b;
	snprintf(r->broker_names[b->id % 16], 64, "%s", b->name);
	if (b->id >= r->nbrokers)
		r->nbrokers = b->id + 1;
	return 0;
}

static int on_queue(void *ctx, const struct queue_rec *q)
{
	((struct rows *)ctx)->last_queue = *q;
	return 0;
}

static int on_consumer(void *ctx, const struct consumer_rec *q)
{
	(void)q;
	((struct rows *)ctx)->consumers++;
	return 0;
}

static int on_gap(void *ctx, const struct gap_rec *q)
{
	(void)q;
	((struct rows *)ctx)->gaps++;
	return 0;
}

static int on_connection(void *ctx, const struct connection_rec *q)
{
	((struct rows *)ctx)->last_connection = *q;
	return 0;
}

/* --- chance --- */

static inline uint32_t rnd(uint32_t n)
{
	static uint64_t state = 88172645463325252ULL; /* xorshift64: the same run every time */

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 33) % n;
}
#define PICK(list) list[rnd(ARRAY_LEN(list))]

/* --- the bench --- */

struct bench {
	struct correlator *c;
	struct rows *rows;
	int64_t ts;
	uint64_t op;
	uint64_t sends; /* so far: where every message's send is seen, the id of the last one */
	struct conn conns[16];
	int err;
};

static void bench_conn(struct bench *b, unsigned i)
{
	struct conn *c = &b->conns[i];

	*c = (struct conn){.id = 100 + i,
		.client_pid = 1000 + i,
		.server_pid = 77,
		.family = AF_INET,
		.client_addr = {127, 0, 0, 1},
		.server_addr = {127, 0, 0, 1},
		.client_port = (uint16_t)(40000 + i),
		.server_port = 5672,
		.opened_ns = b->ts,
		.from_start = true};
}

static void bench_new(struct bench *b, const struct correlator_opts *opts)
{
	struct record_sink sink = {.payload = on_payload,
		.message = on_message,
		.copy = on_copy,
		.link = on_link,
		.operation = on_operation,
		.identifier = on_identifier,
		.merge_flows = on_merge,
		.merge_messages = on_merge_messages,
		.rename = on_rename,
		.broker = on_broker,
		.queue = on_queue,
		.consumer = on_consumer,
		.gap = on_gap,
		.connection = on_connection};

	*b = (struct bench){.ts = T0};
	b->rows = calloc(1, sizeof(*b->rows));
	sink.ctx = b->rows;
	b->c = correlator__new(opts, &sink);
	for (unsigned i = 0; i < ARRAY_LEN(b->conns); i++)
		bench_conn(b, i);
}

static void bench_end(struct bench *b)
{
	CHECK_EQ(b->err, 0);
	correlator__free(b->c);
	free(b->rows);
}

static inline void name_process(struct bench *b, unsigned conn, const char *name)
{
	struct proc_info p = {.pid = b->conns[conn].client_pid, .comm = name, .service = name};

	correlator__proc(b->c, &p, b->ts);
}

static inline void wait_ms(struct bench *b, int64_t ms)
{
	b->ts += ms * NS_PER_MS;
	b->err |= correlator__tick(b->c, b->ts);
}

static void flush(struct bench *b)
{
	b->err |= correlator__flush(b->c);
}

static inline void finish(struct bench *b)
{
	b->err |= correlator__finish(b->c);
}

/* Passes @op on, by thread @tid of the process behind connection @conn. */
static uint64_t feed(struct bench *b, unsigned conn, unsigned tid, struct op op)
{
	struct conn *cn = &b->conns[conn];

	b->ts += NS_PER_MS;
	op.id = ++b->op;
	b->sends += op.kind == OP_SEND;
	op.conn = cn->id;
	op.proto = PROTO_AMQP091;
	op.ts_ns = b->ts;
	op.pid = cn->client_pid;
	op.tid = tid;
	if (!op.channel)
		op.channel = 1;
	if (!op.body_size)
		op.body_size = op.body.n;
	if (op.id == 1 || cn->opened_ns) {
		b->err |= correlator__conn(b->c, cn, &fake_proto, CONN_DECODED);
		cn->opened_ns = 0;
	}
	b->err |= correlator__op(b->c, &op, cn);
	return op.id;
}

#define S(text) span_str(text)

static inline uint64_t publish(struct bench *b, unsigned conn, unsigned tid, const char *exchange,
	const char *key, const char *env, const char *body)
{
	return feed(b, conn, tid,
		(struct op){.kind = OP_SEND,
			.vhost = S("/"),
			.exchange = S(exchange),
			.routing_key = S(key),
			.envelope = S(env),
			.body = S(body)});
}

/* @queue NULL: not known; then @tag tells consumers apart. */
static uint64_t deliver_as(struct bench *b, unsigned conn, unsigned tid, const char *queue, const char *tag,
	uint32_t flags, const char *exchange, const char *key, const char *env, const char *body)
{
	return feed(b, conn, tid,
		(struct op){.kind = OP_RECEIVE,
			.flags = flags,
			.vhost = S("/"),
			.exchange = S(exchange),
			.routing_key = S(key),
			.queue = S(queue),
			.queue_known = queue,
			.consumer = S(tag),
			.envelope = S(env),
			.body = S(body)});
}

static inline uint64_t deliver(struct bench *b, unsigned conn, unsigned tid, const char *queue,
	const char *exchange, const char *key, const char *env, const char *body)
{
	return deliver_as(b, conn, tid, queue, "", 0, exchange, key, env, body);
}

static inline void settle(struct bench *b, unsigned conn, unsigned tid, uint64_t ref, enum settle how)
{
	feed(b, conn, tid, (struct op){.kind = OP_SETTLE, .ref = ref, .settle = how, .vhost = S("/")});
}

static void topology(struct bench *b, enum op_kind kind, const char *exchange, const char *queue,
	const char *key, const char *type, const char *args, uint32_t flags)
{
	feed(b, 0, 1,
		(struct op){.kind = kind,
			.flags = flags,
			.vhost = S("/"),
			.exchange = S(exchange),
			.queue = S(queue),
			.routing_key = S(key),
			.type = S(type),
			.args = S(args)});
}

static inline void declare_exchange(struct bench *b, const char *name, const char *type)
{
	topology(b, OP_EXCHANGE_DECLARE, name, "", "", type, "", 0);
}

static inline void declare_queue(struct bench *b, const char *name, const char *args)
{
	topology(b, OP_QUEUE_DECLARE, "", name, "", "", args, 0);
}

static inline void bind_queue(struct bench *b, const char *queue, const char *exchange, const char *key)
{
	topology(b, OP_QUEUE_BIND, exchange, queue, key, "", "", 0);
}

/* --- asking --- */

static inline struct message_rec *message(struct bench *b, uint64_t id)
{
	return &b->rows->m[id].r;
}

/* The copy of a message in a queue; one that is all zero when there is none. */
static inline struct copy_rec *copy_in(struct bench *b, uint64_t message_id, const char *queue)
{
	static struct copy_rec none;

	for (size_t i = 0; i < b->rows->nc; i++)
		if (b->rows->c[i].r.id && b->rows->c[i].r.message == message_id &&
			!strcmp(b->rows->c[i].queue, queue))
			return &b->rows->c[i].r;
	none = (struct copy_rec){0};
	return &none;
}

static inline size_t copies_of(struct bench *b, uint64_t message_id)
{
	size_t n = 0;

	for (size_t i = 0; i < b->rows->nc; i++)
		n += b->rows->c[i].r.id && b->rows->c[i].r.message == message_id;
	return n;
}

static inline const char *state_in(struct bench *b, uint64_t message_id, const char *queue)
{
	const struct copy_rec *c = copy_in(b, message_id, queue);

	return c->id ? state_name(c->state) : "no copy";
}

static inline const char *state_of(struct bench *b, uint64_t message_id)
{
	return state_name(message(b, message_id)->state);
}

/* The link into @dst of a kind, NULL when there is none. */
static inline struct link_row *link_to(struct bench *b, uint64_t dst, enum link_kind kind)
{
	for (size_t i = 0; i < b->rows->nl; i++)
		if (b->rows->l[i].r.id && b->rows->l[i].r.dst == dst && b->rows->l[i].r.kind == kind)
			return &b->rows->l[i];
	return NULL;
}

static inline uint64_t source_of(struct bench *b, uint64_t dst, enum link_kind kind)
{
	struct link_row *l = link_to(b, dst, kind);

	return l ? l->r.src : 0;
}

static inline uint64_t flow_of(struct bench *b, uint64_t id)
{
	return message(b, id)->flow;
}

static inline void check_evidence(struct bench *b, uint64_t dst, enum link_kind kind, const char *want)
{
	struct link_row *l = link_to(b, dst, kind);

	CHECK(l != NULL);
	if (l && !strstr(l->evidence, want)) {
		fprintf(stderr, "%s: evidence is \"%s\", without \"%s\"\n", test_name, l->evidence, want);
		test_case_bad = true;
	}
}

#endif
