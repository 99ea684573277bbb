/*
 * Packets that a capture has in another order, twice, or cut in other places give the same operations, and no
 * gap: recorded conversations of each protocol (the decoders' fixtures) are made packets, and mixed up as
 * network cards with several queues, merged captures and retransmissions do it. The captures of other
 * projects are mixed up too, where they are found.
 */
#include "test.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/le.h"
#include "unit/calls.h"
#include "capture/flows.h"
#include "export/pcap_packet.h"
#include "proto/detect.h"
#include "proto/feed.h"
#include "proto/fixture.h"
#include "shared_captures.h"
#include "to_streams.h"

#define RAW         101
#define T0          1700000000000000000LL
#define STEP_NS     100000LL /* from one packet to the next */
#define MSS         1000
#define WINDOW      8
#define SEEDS       4
#define PACKETS_MAX 16384
#define CONNS       128 /* of a recording: the bits above the first one say which */

struct packet {
	int64_t key, ts_ns; /* key: where it stands */
	struct tcp_packet tcp;
	struct span raw; /* instead of it, as it was captured */
	uint32_t link;
};

static struct tcp_end ends[] = {
	{.addr = {10, 0, 0, 1}, .port = 40000}, {.addr = {10, 0, 0, 2}, .port = 5000}};

/* --- what comes out --- */

struct outcome {
	struct feed f; /* its rendering of operations */
	int conns, gaps;
	bool many; /* connections, whose operations are in no order: nothing is numbered */
};

static int on_op(void *ctx, const struct op *op, const struct conn *c)
{
	struct outcome *o = ctx;
	struct op copy = *op;

	(void)c;
	if (o->many) {
		o->f.next_id = 0;
		copy.ref = !!copy.ref;
	}
	feed_emit(&o->f, &copy);
	return 0;
}

static int on_conn(void *ctx, const struct conn *c, const struct proto *p, enum conn_state st)
{
	struct outcome *o = ctx;

	if (st == CONN_DECODED)
		o->f.p = p;
	if (c->closed_ns && !o->many) {
		o->conns++;
		buf_printf(&o->f.log, "closed, %s, from %s", p ? p->name : "no protocol",
			c->from_start ? "its start" : "the middle");
		if (p) /* of others repetitions are counted too: they are not looked at */
			buf_printf(&o->f.log, ", %llu and %llu bytes", (unsigned long long)c->bytes[0],
				(unsigned long long)c->bytes[1]);
		buf_putc(&o->f.log, '\n');
	}
	return 0;
}

static int on_gap(
	void *ctx, const struct conn *c, enum flowdir d, uint64_t bytes, const char *reason, int64_t ts_ns)
{
	struct outcome *o = ctx;

	(void)c, (void)ts_ns;
	o->gaps++;
	if (o->many) /* connections that are not whole anyway */
		return 0;
	buf_printf(&o->f.log, "gap of %llu bytes %s: %s\n", (unsigned long long)bytes,
		d == TO_SERVER ? "to the server" : "to the client", reason);
	return 0;
}

static void decode(const struct packet *p, size_t n, struct outcome *o)
{
	struct detect_out out = {o, on_op, on_conn, on_gap};
	struct detect *d = detect__new(NULL, &out);
	struct flows *f = flows__new();
	struct stream_ops ops;
	struct streams *s;
	struct buf b = {0};
	struct sink k;

	*o = (struct outcome){.many = n && p[0].raw.n};
	detect_stream_ops(d, &ops);
	s = streams__new(&ops, NULL);
	detect_set_streams(d, s);
	k = sink_to_streams(s);
	for (size_t i = 0; i < n; i++) {
		struct span raw = p[i].raw;

		if (!raw.n) {
			buf_clear(&b);
			put_tcp(&b, &p[i].tcp);
			raw = buf_span(&b);
		}
		CHECK_EQ(flows_packet(f, &k, p[i].ts_ns, raw.n == p[i].raw.n ? p[i].link : RAW, raw,
				 (uint32_t)raw.n),
			0);
	}
	CHECK_EQ(flows_end(f, &k), 0);
	CHECK_EQ(streams__flush(s, INT64_MAX / 4), 0);
	flows__free(f);
	streams__free(s);
	detect__free(d);
	buf_free(&b);
	if (o->many)
		sort_lines(&o->f.log);
}

/* --- a conversation as packets --- */

struct talk {
	struct packet p[PACKETS_MAX];
	size_t n;
	uint32_t seq[2]; /* of the next byte of either side */
};

static struct talk plain, mixed;

static void say(struct talk *t, enum flowdir d, uint8_t flags, struct span data)
{
	if (t->n == PACKETS_MAX) {
		CHECK(!"the conversation has more packets than there is room for");
		return;
	}
	t->p[t->n] = (struct packet){.key = (int64_t)t->n * 2,
		.ts_ns = T0 + (int64_t)t->n * STEP_NS,
		.tcp = {.from = &ends[d],
			.to = &ends[!d],
			.seq = t->seq[d],
			.ack = flags & TCP_ACK ? t->seq[!d] : 0,
			.flags = flags,
			.data = data}};
	t->n++;
	t->seq[d] += (uint32_t)data.n + !!(flags & (TCP_SYN | TCP_FIN));
}

/* Connection @which of a recording; false: there is none. */
static bool talk_of(struct talk *t, struct span recording, int which, bool whole)
{
	static const uint32_t first[] = {0xfffff000, 7000}; /* the one wraps around soon */
	struct span s;
	enum flowdir d;
	bool any = false;

	recording = span_sub(recording, 6, SIZE_MAX);
	t->n = 0;
	t->seq[0] = first[0];
	t->seq[1] = first[1];
	if (whole) {
		say(t, TO_SERVER, TCP_SYN, SPAN_EMPTY);
		say(t, TO_CLIENT, TCP_SYN | TCP_ACK, SPAN_EMPTY);
		say(t, TO_SERVER, TCP_ACK, SPAN_EMPTY);
	}
	while (recording.n) {
		int conn = recording.p[0] >> 1;

		if (!chunk_next(&recording, &d, &s))
			break;
		if (conn != which || !s.n)
			continue;
		any = true;
		for (size_t at = 0; at < s.n; at += MSS)
			say(t, d, TCP_ACK | TCP_PSH, span_sub(s, at, MSS));
		say(t, !d, TCP_ACK, SPAN_EMPTY);
	}
	/* A FIN before the first byte seen is none of a connection that is known. */
	if (!whole && t->n < 4 * WINDOW)
		return any;
	say(t, TO_SERVER, TCP_FIN | TCP_ACK, SPAN_EMPTY);
	say(t, TO_CLIENT, TCP_FIN | TCP_ACK, SPAN_EMPTY);
	say(t, TO_SERVER, TCP_ACK, SPAN_EMPTY);
	return any;
}

/* --- mixing it up --- */

static uint64_t rnd_state;

static uint32_t rnd(uint32_t n)
{
	rnd_state = rnd_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(rnd_state >> 33) % n;
}

static int by_key(const void *a, const void *b)
{
	const struct packet *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

static void add(struct talk *t, const struct packet *p, uint32_t from, uint32_t to, int64_t later)
{
	struct packet *q = &t->p[t->n];

	if (t->n == PACKETS_MAX)
		return;
	t->n++;
	*q = *p;
	q->tcp.seq += from;
	if (p->tcp.data.n)
		q->tcp.data = span_sub(p->tcp.data, from, to - from);
	q->key += later;
}

enum how {
	ORDER = 1,
	DIRECTIONS = 2, /* each side is late by turns */
	TWICE = 4,
	CUT = 8,
	TIMES = 16, /* as they were: they go back and forth then */
	ALL = 32,
};

static void mix(struct talk *to, const struct talk *t, int how, uint64_t seed)
{
	int64_t late[2] = {0, 0};

	rnd_state = seed * 0x9e3779b97f4a7c15ULL + 1;
	to->n = 0;
	for (size_t i = 0; i < t->n; i++) {
		struct packet p = t->p[i];
		uint32_t n = (uint32_t)p.tcp.data.n;

		if (how & DIRECTIONS && i % (2 * WINDOW) == 0)
			late[rnd(2)] = 2 * rnd(WINDOW);
		p.key += late[p.tcp.from == &ends[1]];
		/* A single byte that comes after it was acknowledged is a probe. */
		if (how & CUT && n > 4 && !rnd(2)) {
			uint32_t a = 2 + rnd(n - 3), b = 2 + rnd(a - 1);

			add(to, &p, 0, a, how & ORDER ? rnd(2 * WINDOW) : 0);
			add(to, &p, rnd(2) ? a : a - b, n, how & ORDER ? rnd(2 * WINDOW) : 0);
		} else {
			add(to, &p, 0, n, how & ORDER ? rnd(2 * WINDOW) : 0);
		}
		if (how & TWICE && !rnd(4))
			add(to, &p, 0, n, rnd(4 * WINDOW));
	}
	qsort(to->p, to->n, sizeof(*to->p), by_key);
	for (size_t i = 0; !(how & TIMES) && i < to->n; i++)
		to->p[i].ts_ns = T0 + (int64_t)i * STEP_NS;
}

static bool same(const struct outcome *want, struct outcome *got, const char *name, int how, int seed)
{
	bool ok = !strcmp(buf_cstr((struct buf *)&want->f.log), buf_cstr(&got->f.log));
	const char *a = (const char *)want->f.log.p, *b = (const char *)got->f.log.p;

	CHECK(ok);
	if (ok)
		return true;
	while (*a && *a == *b)
		a++, b++;
	while (a > (const char *)want->f.log.p && a[-1] != '\n')
		a--, b--;
	fprintf(stderr, "%s, mixed up by %d, seed %d:\n  %.*s\n  %.*s\n", name, how, seed,
		(int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
	return false;
}

static int conversations;
static uint64_t operations;

static void check_talk(const char *name, bool whole)
{
	struct outcome want, got;
	bool ok = true;

	decode(plain.p, plain.n, &want);
	if (whole) {
		CHECK_EQ(want.conns, 1);
		CHECK_EQ(want.gaps, 0);
	}
	if (whole && !want.f.p)
		printf("%s: of no protocol that is known, mixed up or not\n", name);
	conversations++;
	operations += want.f.ops;
	for (int seed = 0; seed < SEEDS && ok; seed++)
		for (int how = 1; how < ALL && ok; how += 1 + (int)rnd(6)) {
			mix(&mixed, &plain, how, (uint64_t)seed);
			decode(mixed.p, mixed.n, &got);
			ok = same(&want, &got, name, how, seed);
			buf_free(&got.f.log);
		}
	buf_free(&want.f.log);
}

static void recordings_of(const char *proto)
{
	const struct proto fake = {.name = proto};
	char dir[256], name[300];
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "tests/proto/%s/fixtures", proto);
	d = opendir(dir);
	CHECK(d != NULL);
	while (d && (e = readdir(d))) {
		size_t n = strlen(e->d_name);
		struct buf b;

		if (n < 4 || strcmp(e->d_name + n - 4, ".bin"))
			continue;
		b = fixture_load(&fake, e->d_name, "");
		for (int which = 0; which < CONNS; which++)
			for (int whole = 0; whole < 2; whole++) {
				snprintf(name, sizeof(name), "%s/%s, connection %d, %s", proto, e->d_name,
					which, whole ? "whole" : "from the middle");
				if (talk_of(&plain, buf_span(&b), which, whole))
					check_talk(name, whole);
			}
		buf_free(&b);
	}
	if (d)
		closedir(d);
}

static void recordings(void)
{
	static const char *const protos[] = {"amqp091", "kafka", "nats", "redis"};

	for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
		int before = conversations;

		recordings_of(protos[i]);
		CHECK(conversations > before + 3);
	}
	CHECK(operations > 1000);
	printf("%d conversations, %llu operations\n", conversations, (unsigned long long)operations);
}

/* --- captures of others --- */

/* Only files in the plain format of this machine. */
static bool packets_of(struct talk *t, struct span file)
{
	uint32_t magic = file.n >= 24 ? (uint32_t)le_get(file.p, 4) : 0, link;
	size_t at = 24;

	t->n = 0;
	if (magic != 0xa1b2c3d4 && magic != 0xa1b23c4d)
		return false;
	link = (uint32_t)le_get(file.p + 20, 4);
	while (file.n - at >= 16 && t->n < PACKETS_MAX) {
		uint32_t n = (uint32_t)le_get(file.p + at + 8, 4);

		t->p[t->n] = (struct packet){.key = (int64_t)t->n * 2,
			.ts_ns = T0 + (int64_t)t->n * STEP_NS,
			.raw = span_sub(file, at + 16, n),
			.link = link};
		at += 16 + t->p[t->n].raw.n;
		t->n += n != 0;
	}
	return t->n;
}

static void captures_of_others(void)
{
	static const char *const protos[] = {"amqp091", "kafka", "nats", "redis"};
	char dir[400], path[800];
	int files = 0;

	if (!find_captures(dir, sizeof(dir))) {
		printf("captures of others: skipped, none found\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
		struct dirent *e;
		DIR *d;

		snprintf(path, sizeof(path), "%s/%s", dir, protos[i]);
		d = opendir(path);
		CHECK(d != NULL);
		while (d && (e = readdir(d))) {
			struct outcome want, got;
			bool ok = true;
			struct buf b;

			snprintf(path, sizeof(path), "%s/%s/%s", dir, protos[i], e->d_name);
			b = e->d_name[0] == '.' ? (struct buf){0} : read_file(path);
			if (packets_of(&plain, buf_span(&b))) {
				decode(plain.p, plain.n, &want);
				files++;
				for (int seed = 0; seed < 8 && ok; seed++) {
					mix(&mixed, &plain,
						ORDER | (seed & 1 ? TWICE : 0) | (seed & 2 ? TIMES : 0),
						(uint64_t)seed);
					decode(mixed.p, mixed.n, &got);
					ok = same(&want, &got, e->d_name, 0, seed);
					CHECK(got.gaps <= want.gaps);
					buf_free(&got.f.log);
				}
				buf_free(&want.f.log);
			}
			buf_free(&b);
		}
		if (d)
			closedir(d);
	}
	CHECK(files > 8);
}

int main(void)
{
	RUN(recordings);
	RUN(captures_of_others);
	return test_end();
}
