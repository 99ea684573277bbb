/*
 * How fast the store takes messages: bench_store [MESSAGES [DIR]]. Each message is what the correlator gives
 * for one that was sent, confirmed, delivered and acked: a payload of about 550 B, 4 operations, 2
 * identifiers, its message row and copy row, of which one in ten comes again in the next second. Prints;
 * asserts nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "store/store.h"

#define T0 1795442529000000000LL

static uint64_t rnd(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

/* An order event: mostly structure, two random UUIDs, a few numbers. */
static size_t make_body(char *out, size_t n, uint64_t i)
{
	return (size_t)snprintf(out, n,
		"{\"event\":\"order.created\",\"eventId\":\"%08x-%04x-4%03x-8%03x-%012llx\",\"order\":{"
		"\"id\":%llu,"
		"\"customer\":{\"id\":%llu,\"name\":\"Customer "
		"%llu\",\"email\":\"customer%llu@example.org\"},"
		"\"lines\":[{\"sku\":\"SKU-%04llu\",\"quantity\":%llu,\"price\":%llu.99},{\"sku\":\"SKU-%"
		"04llu\","
		"\"quantity\":1,\"price\":%llu.50}],\"currency\":\"EUR\",\"status\":\"new\",\"channel\":"
		"\"web\"},"
		"\"trace\":\"%016llx%016llx\",\"source\":\"shop\",\"version\":3,\"created\":\"2026-11-23T14:"
		"02:%02llu."
		"%06lluZ\"}",
		(unsigned)rnd(), (unsigned)rnd() & 0xffff, (unsigned)rnd() & 0xfff, (unsigned)rnd() & 0xfff,
		(unsigned long long)rnd() & 0xffffffffffffull, (unsigned long long)i,
		(unsigned long long)(rnd() % 5000), (unsigned long long)(rnd() % 5000),
		(unsigned long long)(rnd() % 5000), (unsigned long long)(rnd() % 1000),
		(unsigned long long)(rnd() % 9), (unsigned long long)(rnd() % 200),
		(unsigned long long)(rnd() % 1000), (unsigned long long)(rnd() % 200),
		(unsigned long long)rnd(), (unsigned long long)rnd(), (unsigned long long)(i / 60000 % 60),
		(unsigned long long)(rnd() % 1000000));
}

static void put_operations(const struct record_sink *k, uint64_t i, int64_t ts)
{
	static const enum op_kind kinds[] = {OP_SEND, OP_CONFIRM, OP_RECEIVE, OP_SETTLE};

	for (uint64_t o = 0; o < 4; o++) {
		struct operation_rec r = {.id = (i - 1) * 4 + o + 1,
			.message = i,
			.copy = o < 2 ? 0 : i,
			.kind = kinds[o],
			.settle = o == 3 ? SETTLE_ACK : SETTLE_NONE,
			.ts_ns = ts + (int64_t)o * 500000,
			.process = 1 + o / 2,
			.tid = 2211,
			.connection = 1 + o / 2,
			.channel = 1,
			.tag = i,
			.pos = i * 700,
			.len = o % 2 ? 21 : 700};

		k->operation(k->ctx, &r);
	}
}

static void put_identifiers(const struct record_sink *k, uint64_t i, struct span body)
{
	char number[24];
	struct identifier id[] = {
		{SPAN_LIT("eventId"), span_sub(body, 37, 36), PLACE_BODY, ID_JOIN, 0},
		{SPAN_LIT("order.id"), SPAN_EMPTY, PLACE_BODY, ID_JOIN, 0},
	};

	snprintf(number, sizeof(number), "%llu", (unsigned long long)i);
	id[1].value = span_str(number);
	for (int n = 0; n < 2; n++)
		k->identifier(k->ctx, &(struct identifier_rec){i, &id[n]});
}

static void put_message(const struct record_sink *k, uint64_t i, int64_t ts, uint64_t payload, size_t size)
{
	static const char *const queues[] = {"billing", "invoices", "audit", "notify", "stock", "mail"};
	struct message_rec m = {.id = i,
		.broker = 1,
		.proto = PROTO_AMQP091,
		.vhost = SPAN_LIT("/"),
		.exchange = SPAN_LIT("orders"),
		.routing_key = span_str(queues[i % 6]),
		.sent_ns = ts,
		.first_ns = ts,
		.process = 1,
		.tid = 2211,
		.connection = 1,
		.channel = 1,
		.state = STATE_ACKED,
		.origin = ORIGIN_CLIENT,
		.routes = ROUTES_DECLARED,
		.flow = i,
		.fingerprint = rnd(),
		.payload = payload,
		.body_size = size,
		.flags = MSGF_CONFIRMED | MSGF_PLAIN,
		.one_of = 1};
	struct copy_rec c = {.id = i,
		.message = i,
		.queue = span_str(queues[i % 6]),
		.state = STATE_ACKED,
		.source = COPY_BY_BINDING,
		.settle = SETTLE_ACK,
		.queued_ns = ts,
		.first_delivered_ns = ts + 1000000,
		.delivered_ns = ts + 1000000,
		.settled_ns = ts + 1500000,
		.deliveries = 1,
		.consumer = 2,
		.consumer_tid = 2300,
		.connection = 2};

	k->message(k->ctx, &m);
	k->copy(k->ctx, &c);
}

static double cpu(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
	       ((double)u.ru_utime.tv_usec + (double)u.ru_stime.tv_usec) / 1e6;
}

static int run(struct store_writer *w, uint64_t n, uint64_t per_commit)
{
	struct record_sink k;
	struct err e = {0};

	store_writer_sink(w, &k);
	for (uint64_t i = 1; i <= n; i++) {
		char body[1024];
		int64_t ts = T0 + (int64_t)i * 16000;
		size_t size = make_body(body, sizeof(body), i);
		uint64_t ref;

		if (k.payload(k.ctx, PROTO_AMQP091,
			    SPAN_LIT("\x98\x00\x10"
				     "application/json\x02"),
			    span_of(body, size), &ref))
			return 1;
		put_operations(&k, i, ts);
		put_identifiers(&k, i, span_of(body, size));
		put_message(&k, i, ts, ref, size);
		if (i % 10 == 0 && i > per_commit)
			put_message(&k, i - per_commit, ts, ref, size);
		if (i % per_commit == 0 && store_writer_commit(w, ts, &e)) {
			fprintf(stderr, "%s\n", e.msg);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 500000, per_commit = 60000;
	struct store_session s = {.source = "live", .scope = "bench", .version = "0", .started_ns = T0};
	char dir[64] = "/tmp/evtrace-bench-XXXXXX", cmd[96];
	struct store_writer *w;
	uint64_t start;
	double wall;
	struct err e;
	int err;

	if (argc > 3)
		per_commit = strtoull(argv[3], NULL, 10);
	if (argc <= 2 && !mkdtemp(dir))
		return 1;
	if (store_writer__open(argc > 2 ? argv[2] : dir, &s, &w, &e)) {
		fprintf(stderr, "bench_store: %s\n", e.msg);
		return 1;
	}
	start = now_mono_ns();
	err = run(w, n, per_commit);
	wall = (double)(now_mono_ns() - start) / 1e9;
	printf("store: %llu messages (4 operations each) in %.2f s: %.0f messages/s; CPU %.2f us a message, "
	       "of it "
	       "%.2f in the caller; %.0f B a message on disk\n",
		(unsigned long long)n, wall, (double)n / wall, cpu(RUSAGE_SELF) * 1e6 / (double)n,
		cpu(RUSAGE_THREAD) * 1e6 / (double)n, (double)store_writer_size(w) / (double)n);
	err |= store_writer__close(w, &e);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	if (argc <= 2 && system(cmd))
		return 1;
	return err != 0;
}
