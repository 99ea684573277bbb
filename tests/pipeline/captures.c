/*
 * Captures of other projects, from file to operations: those of a protocol that we decode give the messages
 * that are in them, all others give none. The captures are not part of this tree: skipped where they are not
 * found ($EVTRACE_SHARED/captures, else shared/captures beside the tree).
 */
#include "test.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "capture/recfile.h"
#include "proto/detect.h"
#include "shared_captures.h"
#include "to_streams.h"

#define SKIPPED 77

/*
 * What is in each file, a line each kind of thing: how often, what, where to (exchange, topic, subject, and
 * routing key, list, partition), bytes of the body; of a confirmation the broker's own name of the message.
 * "get" is a message that its consumer asked for. `from`: who says so.
 */
static const struct expected {
	const char *file, *says, *from;
} expected[] = {
	{"amqp091/deepflow__amqp1.pcap",
		"1 send exchange-1/rk-1 12\n"
		"1 receive exchange-1/rk-1 12\n",
		"tshark"},
	{"amqp091/nDPI__amqp.pcap",
		"3 send celeryev/worker.heartbeat 295\n"
		"3 receive celeryev/worker.heartbeat 295\n"
		"5 send default/tasks.# 238\n"
		"5 receive default/tasks.# 238\n"
		"4 send celeryev/task.received 321\n"
		"5 ack\n"
		"5 send celeryev/task.started 197\n"
		"2 send celeryev/task.succeeded 251\n"
		"2 send celeryev/task.succeeded 252\n"
		"1 send celeryev/task.received 320\n"
		"1 send celeryev/task.succeeded 250\n",
		"tshark; of the last message, the bytes of frames 155 to 159"},
	/* a request for offsets, whose answer is not in the capture */
	{"kafka/arkime__kafka.pcap", "", "tshark"},
	{"kafka/deepflow__00-produce-v9.pcap",
		"1 send zqy-test/0 31\n"
		"1 confirm zqy-test-0 35\n",
		"its .result, and the batch's bytes"},
	/* a long poll that ended without records */
	{"kafka/deepflow__01-fetch-v12-ok.pcap", "", "its .result: an answer of 17 bytes"},
	{"kafka/go-sniffer__kafka.pcap",
		"1 send test/0 1033\n"
		"1 confirm test-0 17\n",
		"tshark: message size 1047, less 14 of header; the answer's bytes"},
	{"kafka/nDPI__kafka.pcapng",
		"1 send LB_MAIN_LOG_INPUT/0 314\n"
		"1 confirm LB_MAIN_LOG_INPUT-0 11222049\n"
		"1 send LB_MAIN_LOG_INPUT/0 247\n"
		"1 confirm LB_MAIN_LOG_INPUT-0 11222050\n"
		"1 send sampleTopic/0 12\n"
		"1 confirm sampleTopic-0 0\n",
		"tshark: batches of 372 and 305, less 58 of headers; bytes of the third, which is version 9"},
	{"kafka/nDPI__kafka_old.pcap",
		"1 send LB_MAIN_LOG_INPUT/0 314\n"
		"1 confirm LB_MAIN_LOG_INPUT-0 11222049\n"
		"1 send LB_MAIN_LOG_INPUT/0 247\n"
		"1 confirm LB_MAIN_LOG_INPUT-0 11222050\n",
		"tshark, as above"},
	{"nats/deepflow__nats-headers.pcap",
		"4 send FOO 11\n"
		"3 receive FOO 11\n"
		"1 send FRONT.DOOR 11\n"
		"1 receive FRONT.DOOR 11\n",
		"its .result; the last one comes after the subscription's third and last"},
	{"nats/nDPI__nats.pcap", "", "its bytes: INFO, CONNECT, PING, PONG"},
	{"redis/nDPI__resp.pcap", "", "its bytes: COMMAND, ping, set, get"},
	{"redis/tcpdump__resp_1_benchmark.pcap",
		"2 send /mylist 3\n"
		"1 get /mylist 3\n",
		"its bytes: LPUSH twice, LPOP; LRANGE takes nothing, sets are no messages"},
	{"redis/tcpdump__resp_2_inline.pcap", "5 send /test3 1\n", "its bytes: inline LPUSH, pipelined"},
	{"redis/tcpdump__resp_3_malicious.pcap", "", "its bytes: nonsense, PING, INCR"},
	{"redis/tcpdump__resp_4_infiniteloop.pcapng", "", "its bytes: nonsense"},
	{"redis/zeek__almost-resp.pcap", "", "its .log: AUTH, PING"},
	{"redis/zeek__pipelining-example.pcap", "", "its .log: PING"},
	{"redis/zeek__pubsub.pcap",
		"1 send Foo 11\n"
		"2 receive Foo 11\n"
		"1 send FeeFooFiiFum 9\n"
		"1 receive FeeFooFiiFum 9\n",
		"its .log; the first by channel and by pattern"},
	{"redis/zeek__stream.pcap",
		"3 send race:france 0\n"
		"1 confirm race:france 1729622832637-0\n"
		"1 confirm race:france 1729622836953-0\n"
		"1 confirm race:france 1729622840530-0\n",
		"its .log: XADD, fields and no body; XRANGE takes nothing. The connection was there before: "
		"whose "
		"answer is whose is known from the third on, and then of the first two as well"},
};

#define ENTRIES_MAX 64
#define ENTRY_MAX   96

struct found {
	int sends, receives, ops;
	int decoded, other, encrypted, undecided, failed;
	int gaps;
	uint64_t lost;
	/* by first appearance */
	char entry[ENTRIES_MAX][ENTRY_MAX];
	int times[ENTRIES_MAX];
	size_t n;
};

static void count_entry(struct found *f, const char *what)
{
	size_t i = 0;

	while (i < f->n && strcmp(f->entry[i], what))
		i++;
	if (i == ENTRIES_MAX)
		return;
	if (i == f->n) {
		snprintf(f->entry[i], ENTRY_MAX, "%s", what);
		f->n++;
	}
	f->times[i]++;
}

static void count_message(struct found *f, const struct op *op, const char *what)
{
	char text[ENTRY_MAX];

	snprintf(text, sizeof(text), "%s " SPAN_FMT "%s" SPAN_FMT " %" PRIu64, what, SPAN_ARG(op->exchange),
		op->routing_key.n ? "/" : "", SPAN_ARG(op->routing_key), op->body_size);
	count_entry(f, text);
}

static int on_op(void *ctx, const struct op *op, const struct conn *c)
{
	struct found *f = ctx;
	char text[ENTRY_MAX];

	(void)c;
	f->ops++;
	switch (op->kind) {
	case OP_SEND:
		f->sends++;
		count_message(f, op, "send");
		break;
	case OP_RECEIVE:
		f->receives++;
		count_message(f, op, op->flags & OPF_PULLED && op->dest == DEST_ROUTED ? "get" : "receive");
		break;
	case OP_SETTLE:
		if (op->settle == SETTLE_ACK)
			count_entry(f, "ack");
		break;
	case OP_CONFIRM:
		snprintf(text, sizeof(text), "confirm " SPAN_FMT " " SPAN_FMT, SPAN_ARG(op->log),
			SPAN_ARG(op->mid));
		if (op->mid.n)
			count_entry(f, text);
		break;
	case OP_RETURN:
		count_message(f, op, "return");
		break;
	default:
		break;
	}
	return 0;
}

static int on_conn(void *ctx, const struct conn *c, const struct proto *p, enum conn_state st)
{
	struct found *f = ctx;
	int *counter[] = {&f->undecided, &f->decoded, &f->other, &f->encrypted, &f->failed};

	(void)p;
	if (c->closed_ns)
		return 0;
	++*counter[st];
	if (st != CONN_UNKNOWN)
		f->undecided--;
	return 0;
}

static int on_gap(
	void *ctx, const struct conn *c, enum flowdir d, uint64_t bytes, const char *reason, int64_t ts_ns)
{
	struct found *f = ctx;

	(void)c, (void)d, (void)reason, (void)ts_ns;
	f->gaps++;
	f->lost += bytes;
	return 0;
}

static int decode_file(const char *path, struct found *f, struct err *e)
{
	struct detect_out out = {f, on_op, on_conn, on_gap};
	struct detect *d = detect__new(NULL, &out);
	struct source_info info;
	struct stream_ops ops;
	struct streams *s;
	struct source *src;
	struct sink k;
	int err;

	detect_stream_ops(d, &ops);
	s = streams__new(&ops, NULL);
	detect_set_streams(d, s);
	k = sink_to_streams(s);
	err = source__open(path, &src, &info, e);
	if (!err) {
		err = source_run(src, &k, NULL, NULL, e);
		source__close(src);
	}
	if (!err)
		err = streams__flush(s, INT64_MAX / 4);
	streams__free(s);
	detect__free(d);
	return err;
}

static const struct expected *find_expected(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		if (!strcmp(expected[i].file, name))
			return &expected[i];
	return NULL;
}

/* Protocols that we decode. */
static bool is_ours(const char *name)
{
	static const char *const dirs[] = {"amqp091/", "kafka/", "nats/", "redis/"};

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (!strncmp(name, dirs[i], strlen(dirs[i])))
			return true;
	return false;
}

static struct buf entries(const struct found *f)
{
	struct buf b = {0};

	for (size_t i = 0; i < f->n; i++)
		buf_printf(&b, "%d %s\n", f->times[i], f->entry[i]);
	return b;
}

static int sum(const char *says, const char *word)
{
	int n = 0;

	for (const char *p = says; *p; p = strchr(p, '\n') + 1) {
		char *end;
		long times = strtol(p, &end, 10);

		n += !strncmp(end + 1, word, strlen(word)) ? (int)times : 0;
	}
	return n;
}

/* "23 sent, 8 received" */
static const char *in_short(char *out, size_t n, int sends, int receives)
{
	snprintf(out, n, "nothing");
	if (sends || receives)
		snprintf(out, n, "%d sent, %d received", sends, receives);
	return out;
}

static void check_row(const char *dir, const char *name)
{
	const struct expected *x = find_expected(name);
	bool ours = is_ours(name);
	const char *says = x ? x->says : "";
	char path[512], want[64] = "not known", got[64];
	struct found f = {0};
	struct err e = {0};
	struct buf b;
	int err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	err = decode_file(path, &f, &e);
	if (err)
		fprintf(stderr, "%s: %s\n", name, e.msg);
	CHECK_EQ(err, 0);
	if (x || !ours)
		in_short(want, sizeof(want), sum(says, "send"), sum(says, "receive") + sum(says, "get"));
	in_short(got, sizeof(got), f.sends, f.receives);
	printf("%-72s %-22s %-22s %3d %4d %4d %4d %5d %6" PRIu64 "\n", name, want, got, f.ops, f.decoded,
		f.other, f.encrypted, f.undecided, f.lost);
	CHECK_EQ(f.failed, 0);
	if (!ours) {
		CHECK_EQ(f.ops, 0);
		CHECK_EQ(f.decoded, 0);
	}
	if (!x && ours)
		printf("  (nobody has said in this test what is in it)\n");
	b = entries(&f);
	if (x || !ours)
		CHECK_STR(buf_cstr(&b), says);
	if (x && strcmp(buf_cstr(&b), says))
		fprintf(stderr, "%s: expected by %s\n", name, x->from);
	buf_free(&b);
}

static char dir[400];

static void captures_of_others(void)
{
	char index[512], line[8192];
	int rows = 0;
	FILE *f;

	snprintf(index, sizeof(index), "%s/INDEX.tsv", dir);
	f = fopen(index, "r");
	CHECK(f != NULL);
	if (!f)
		return;
	printf("%-72s %-22s %-22s ops  dec  oth  TLS undec   lost\n", "file", "expected", "found");
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\t\n")] = '\0';
		if (rows++)
			check_row(dir, line);
	}
	fclose(f);
	CHECK(rows > 50);
}

int main(void)
{
	if (!find_captures(dir, sizeof(dir))) {
		printf("skipped: no captures found; set EVTRACE_SHARED to the directory that holds "
		       "captures/\n");
		return SKIPPED;
	}
	RUN(captures_of_others);
	return test_end();
}
