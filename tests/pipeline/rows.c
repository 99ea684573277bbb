/*
 * The same bytes give the same rows: a recording that is stored while it is written to a record file, the
 * file imported, and imported again, leave the same in every table of the catalogue. A shop publishes and a
 * billing service settles, on one host with their broker, so both ends of each connection are captured, in
 * pieces of any size, out of order, with one loss; and a hole in a third connection.
 */
#include "test.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "capture/recfile.h"
#include "pipeline.h"
#include "proto/amqp091/wire.h"
#include "unit/calls.h"

#define T0      (1795608000 * NS_PER_SEC)
#define ORDERS  40
#define BROKER  900
#define SHOP    901
#define BILLING 902

static char tmp[64];

static uint32_t rnd;

static uint32_t dice(uint32_t n)
{
	rnd = rnd * 1664525u + 1013904223u;
	return (rnd >> 8) % n;
}

/* --- what is captured --- */

static int64_t now_ns;

static void proc(const struct sink *k, uint32_t pid, const char *name)
{
	struct proc_info p = {.pid = pid,
		.ppid = 1,
		.start_ns = T0 - NS_PER_SEC,
		.comm = name,
		.exe = "/usr/bin/x",
		.cmdline = name,
		.service = name,
		.cgroup = ""};

	CHECK_EQ(k->proc(k->ctx, &p), 0);
}

/* The endpoints of a connection: client id, and server id = client id + 1. */
static void open_end(const struct sink *k, uint64_t id, uint32_t pid, bool server, uint16_t port)
{
	struct endpoint_info e = {.id = id + server,
		.pid = pid,
		.ts_ns = now_ns,
		.family = AF_INET,
		.netns = 1,
		.local_addr = {127, 0, 0, 1},
		.remote_addr = {127, 0, 0, 1},
		.local_port = server ? 5672 : port,
		.remote_port = server ? port : 5672,
		.path = "",
		.role = server ? ENDPOINT_SERVER : ENDPOINT_CLIENT,
		.from_start = true,
		.pos = {7000, 7000}};

	CHECK_EQ(k->open(k->ctx, &e), 0);
}

static void piece(const struct sink *k, uint64_t id, uint32_t pid, enum dir dir, uint64_t pos, struct span s,
	size_t lost)
{
	struct chunk c = {.endpoint = id,
		.dir = dir,
		.pos = 7000 + pos,
		.len = (uint32_t)s.n,
		.data = span_sub(s, 0, s.n - lost),
		.ts_ns = now_ns,
		.pid = pid,
		.tid = pid + 1,
		.unit = 0};

	CHECK_EQ(k->chunk(k->ctx, &c), 0);
	now_ns += 1000 + dice(50000);
}

/* Bytes of one call, in pieces, now and then two of them swapped. */
static void call(const struct sink *k, uint64_t id, uint32_t pid, enum dir dir, uint64_t pos, struct span s)
{
	while (s.n) {
		size_t a = 1 + dice(300), b;

		a = a < s.n ? a : s.n;
		b = s.n - a < 40 ? s.n - a : 40;
		if (b && !dice(5)) {
			piece(k, id, pid, dir, pos + a, span_sub(s, a, b), 0);
			piece(k, id, pid, dir, pos, span_sub(s, 0, a), 0);
			a += b;
		} else {
			piece(k, id, pid, dir, pos, span_sub(s, 0, a), 0);
		}
		pos += a;
		s = span_sub(s, a, SIZE_MAX);
	}
}

/* Plays a conversation between @pid and the broker. The server's end is seen as well until it is ignored. */
static void play(
	const struct sink *k, uint64_t id, uint32_t pid, struct talk *t, uint16_t port, size_t lose_turn)
{
	uint64_t pos[2] = {0};

	if (port % 2) {
		open_end(k, id, BROKER, true, port);
		open_end(k, id, pid, false, port);
	} else {
		open_end(k, id, pid, false, port);
		open_end(k, id, BROKER, true, port);
	}
	for (size_t i = 0; i < t->n; i++) {
		struct span s = buf_span(&t->turn[i].b);
		enum flowdir d = t->turn[i].dir;

		if (i == lose_turn) {
			struct loss_info l = {id, now_ns, s.n, 1, "ring buffer full"};

			CHECK_EQ(k->loss(k->ctx, &l), 0);
		} else if (d == TO_SERVER) {
			call(k, id, pid, DIR_TX, pos[d], s);
			call(k, id + 1, BROKER, DIR_RX, pos[d], s);
		} else {
			call(k, id + 1, BROKER, DIR_TX, pos[d], s);
			call(k, id, pid, DIR_RX, pos[d], s);
		}
		pos[d] += s.n;
		if (!dice(4))
			CHECK_EQ(k->tick(k->ctx, now_ns += NS_PER_SEC), 0);
	}
	CHECK_EQ(k->close(k->ctx, id, now_ns, false), 0);
	CHECK_EQ(k->close(k->ctx, id + 1, now_ns + 10, true), 0);
}

static const char *order_body(int i)
{
	static char text[200];

	snprintf(text, sizeof(text),
		"{\"order\":{\"id\":%d,\"customer\":{\"name\":\"Customer %d\"}},\"total\":%d.50}", 4700 + i,
		i, i);
	return text;
}

static void shop_talk(struct talk *t)
{
	handshake(t, 4096);
	method(client(t), 1, 40, 10, "hssbT", 0, "orders", "topic", 0x02, SPAN_EMPTY);
	method(server(t), 1, 40, 11, "");
	method(client(t), 1, 50, 10, "hsbT", 0, "billing", 0x02, SPAN_EMPTY);
	method(server(t), 1, 50, 11, "sll", "billing", 0, 0);
	method(client(t), 1, 50, 20, "hsssbT", 0, "billing", "orders", "order.#", 0, SPAN_EMPTY);
	method(server(t), 1, 50, 21, "");
	for (int i = 0; i < ORDERS; i++)
		publish(client(t), 1, "orders", "order.created", 0, order_body(i));
}

static void billing_talk(struct talk *t)
{
	handshake(t, 4096);
	method(client(t), 1, 60, 20, "hssbT", 0, "billing", "b1", 0, SPAN_EMPTY);
	method(server(t), 1, 60, 21, "s", "b1");
	for (int i = 0; i < ORDERS - 3; i++) { /* the last three wait */
		deliver(server(t), 1, "b1", (uint64_t)i + 1, 0, "orders", "order.created", order_body(i));
		if (i % 10 == 9)
			ack(client(t), 1, (uint64_t)i + 1, 1);
	}
}

/* Everything that a source would give. */
static void capture(const struct sink *k)
{
	struct talk t = {.n = 0};

	rnd = 4711;
	now_ns = T0;
	proc(k, BROKER, "rabbitmq");
	proc(k, SHOP, "shop");
	proc(k, BILLING, "billing");
	shop_talk(&t);
	play(k, 10, SHOP, &t, 40000, SIZE_MAX);
	talk_free(&t);
	billing_talk(&t);
	play(k, 20, BILLING, &t, 40001, SIZE_MAX);
	talk_free(&t);
	shop_talk(&t);
	play(k, 30, SHOP, &t, 40002, 3); /* an answer of the broker is lost */
	talk_free(&t);
	CHECK_EQ(k->proc_exit(k->ctx, SHOP, now_ns, 0), 0);
	CHECK_EQ(k->tick(k->ctx, now_ns + NS_PER_SEC), 0);
}

/* --- into stores --- */

static char *in_tmp(const char *name)
{
	static char path[4][128];
	static int i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", tmp, name);
	return path[i];
}

static struct recfile *record_file;

static void on_secret(void *ctx, uint64_t endpoint, enum dir d, uint64_t pos, uint64_t n)
{
	(void)ctx;
	recfile_mask(record_file, endpoint, d, pos, n);
}

static struct pipeline *open_pipeline(const char *store, bool masked)
{
	struct pipeline_opts opts = {.store_path = store,
		.secret = masked ? on_secret : NULL,
		.session = {.source = "test", .scope = "test", .version = "0", .started_ns = T0}};
	struct pipeline *p = NULL;
	struct err e = {0};
	int err = pipeline__new(&opts, &p, &e);

	if (err)
		fprintf(stderr, "%s\n", e.msg);
	CHECK_EQ(err, 0);
	return p;
}

static void record(const char *store, const char *raw)
{
	struct pipeline *p = open_pipeline(store, true);
	struct sink to_pipeline, k;

	CHECK_EQ(recfile__create(raw, "test", "host", &record_file, NULL), 0);
	pipeline_sink(p, &to_pipeline);
	recfile_sink(record_file, &to_pipeline, &k);
	capture(&k);
	CHECK_EQ(pipeline__finish(p, NULL), 0);
	CHECK_EQ(recfile__close(record_file, NULL), 0);
}

static void import(const char *store, const char *raw)
{
	struct pipeline *p = open_pipeline(store, false);
	struct source_info info;
	struct source *s;
	struct sink k;

	pipeline_sink(p, &k);
	CHECK_EQ(source__open(raw, &s, &info, NULL), 0);
	CHECK_EQ(source_run(s, &k, NULL, NULL, NULL), 0);
	source__close(s);
	CHECK_EQ(pipeline__finish(p, NULL), 0);
}

/* --- comparing --- */

static void dump_table(sqlite3 *db, const char *table, struct buf *out)
{
	sqlite3_stmt *st;
	char sql[200];

	snprintf(sql, sizeof(sql), "SELECT * FROM \"%s\"", table);
	CHECK_EQ(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		buf_printf(out, "%s:", table);
		for (int i = 0; i < sqlite3_column_count(st); i++)
			buf_printf(out, " %s=%s", sqlite3_column_name(st, i),
				sqlite3_column_text(st, i) ? (const char *)sqlite3_column_text(st, i)
							   : "NULL");
		buf_putc(out, '\n');
	}
	sqlite3_finalize(st);
}

/* Every table but those that say when and by whom a store was written. */
static struct buf dump(const char *store)
{
	struct buf out = {0}, tables = {0};
	sqlite3_stmt *st;
	struct store *s;
	sqlite3 *db;

	CHECK_EQ(store__open(store, false, &s, NULL), 0);
	db = store_db(s);
	CHECK_EQ(sqlite3_prepare_v2(db,
			 "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('session', "
			 "'meta') "
			 "AND name NOT LIKE 'sqlite_%' ORDER BY name",
			 -1, &st, NULL),
		SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW)
		buf_printf(&tables, "%s\n", sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	for (char *save, *t = strtok_r((char *)(uintptr_t)buf_cstr(&tables), "\n", &save); t;
		t = strtok_r(NULL, "\n", &save))
		dump_table(db, t, &out);
	buf_free(&tables);
	store__close(s);
	return out;
}

static int count_rows(const char *store, const char *sql)
{
	sqlite3_stmt *st;
	struct store *s;
	int n = -1;

	CHECK_EQ(store__open(store, false, &s, NULL), 0);
	if (sqlite3_prepare_v2(store_db(s), sql, -1, &st, NULL) == SQLITE_OK &&
		sqlite3_step(st) == SQLITE_ROW)
		n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	store__close(s);
	return n;
}

static void check_same(struct buf *want, struct buf *got, const char *what)
{
	char *w, *g, *ws, *gs;

	if (span_eq(buf_span(want), buf_span(got)))
		return;
	CHECK(!"same rows");
	for (w = strtok_r((char *)(uintptr_t)buf_cstr(want), "\n", &ws),
	    g = strtok_r((char *)(uintptr_t)buf_cstr(got), "\n", &gs);
		w && g; w = strtok_r(NULL, "\n", &ws), g = strtok_r(NULL, "\n", &gs))
		if (strcmp(w, g)) {
			fprintf(stderr, "%s:\n- %s\n+ %s\n", what, w, g);
			return;
		}
	fprintf(stderr, "%s: one has more rows\n", what);
}

static void same_bytes_same_rows(void)
{
	struct buf recorded, imported, again;

	record(in_tmp("recorded"), in_tmp("raw"));
	import(in_tmp("imported"), in_tmp("raw"));
	import(in_tmp("again"), in_tmp("raw"));
	recorded = dump(in_tmp("recorded"));
	imported = dump(in_tmp("imported"));
	again = dump(in_tmp("again"));
	CHECK(recorded.n > 10000);
	check_same(&recorded, &imported, "recorded and imported");
	check_same(&imported, &again, "imported twice");
	buf_free(&recorded);
	buf_free(&imported);
	buf_free(&again);
}

/* --- secrets --- */

/* The bytes of each endpoint and direction in a record file, put together by their positions. */
#define ENDPOINTS 40
struct wires {
	uint8_t bytes[ENDPOINTS][2][20000];
};

static int no_proc(void *ctx, const struct proc_info *p)
{
	(void)ctx, (void)p;
	return 0;
}

static int no_exit(void *ctx, uint32_t pid, int64_t ts_ns, int code)
{
	(void)ctx, (void)pid, (void)ts_ns, (void)code;
	return 0;
}

static int no_open(void *ctx, const struct endpoint_info *e)
{
	(void)ctx, (void)e;
	return 0;
}

static int no_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	(void)ctx, (void)endpoint, (void)ts_ns, (void)by_peer;
	return 0;
}

static int no_loss(void *ctx, const struct loss_info *l)
{
	(void)ctx, (void)l;
	return 0;
}

static int no_tick(void *ctx, int64_t ts_ns)
{
	(void)ctx, (void)ts_ns;
	return 0;
}

static int wire_chunk(void *ctx, const struct chunk *c)
{
	struct wires *w = ctx;

	if (c->endpoint >= ENDPOINTS || c->pos < 7000 || c->pos - 7000 + c->data.n > sizeof(w->bytes[0][0]))
		return -ERANGE;
	memcpy(w->bytes[c->endpoint][c->dir] + (c->pos - 7000), c->data.p, c->data.n);
	return 0;
}

static bool has(const uint8_t *p, size_t n, struct span word)
{
	return memmem(p, n, word.p, word.n) != NULL;
}

/* Neither end's bytes hold the password; all else of the login is there. */
static void no_secret_in_the_file(void)
{
	static struct wires w;
	struct sink k = {&w, no_proc, no_exit, no_open, wire_chunk, no_close, no_loss, no_tick};
	struct source_info info;
	struct source *s;
	int logins = 0;

	CHECK_EQ(source__open(in_tmp("raw"), &s, &info, NULL), 0);
	CHECK_EQ(source_run(s, &k, NULL, NULL, NULL), 0);
	source__close(s);
	for (int e = 0; e < ENDPOINTS; e++)
		for (int d = 0; d < 2; d++) {
			CHECK(!has(w.bytes[e][d], sizeof(w.bytes[e][d]), SPAN_LIT("hunter2")));
			logins += has(w.bytes[e][d], sizeof(w.bytes[e][d]),
				SPAN_LIT("\5PLAIN\0\0\0\16\0guest\0*******\5en_US\xce"));
		}
	CHECK_EQ(logins, 6); /* three connections, each seen from both ends */
}

/* Without a store the file is the same but for the time in its header. */
static void file_without_a_store(void)
{
	const size_t header = 44; /* its checksum covers the time */
	struct buf a, b;

	record(NULL, in_tmp("only-raw"));
	a = read_file(in_tmp("raw"));
	b = read_file(in_tmp("only-raw"));
	CHECK(a.n > 10000 && a.n == b.n && !memcmp(a.p + header, b.p + header, a.n - header));
	buf_free(&a);
	buf_free(&b);
}

/* The rows are the right ones. */
static void rows_say_what_happened(void)
{
	const char *store = in_tmp("imported");

	CHECK_EQ(count_rows(store, "SELECT count(*) FROM connection"), 3);
	CHECK_EQ(count_rows(store, "SELECT count(*) FROM message WHERE connection = 1"), ORDERS);
	CHECK_EQ(count_rows(store, "SELECT count(*) FROM messages WHERE service = 'shop'"), 2 * ORDERS);
	CHECK_EQ(count_rows(
			 store, "SELECT count(*) FROM copies WHERE state = 'acked' AND consumer = 'billing'"),
		(ORDERS - 3) / 10 * 10);
	CHECK_EQ(count_rows(store, "SELECT count(*) FROM operation WHERE kind = 4"), ORDERS - 3);
	CHECK_EQ(count_rows(store, "SELECT count(*) FROM gap WHERE reason = 'ring buffer full'"), 1);
	CHECK_EQ(count_rows(store, "SELECT count(*) FROM operation WHERE kind = 1 AND tid <> 902"), 0);
}

int main(void)
{
	char cmd[128];

	snprintf(tmp, sizeof(tmp), "/tmp/evtrace-rows-%d", (int)getpid());
	if (mkdir(tmp, 0700))
		return 1;
	RUN(same_bytes_same_rows);
	RUN(rows_say_what_happened);
	RUN(no_secret_in_the_file);
	RUN(file_without_a_store);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", tmp);
	if (system(cmd))
		fprintf(stderr, "%s was not removed\n", tmp);
	return test_end();
}
