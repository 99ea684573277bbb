/*
 * How fast bytes become operations: bench_decode FILE [SECONDS]. The capture is read into memory once; then
 * streams and decoders run over it again and again for SECONDS (5) of CPU time on this thread, with nothing
 * behind them but a counter. Prints one line of JSON: protocol, bytes of the streams, messages (sends and
 * receives), runs, seconds. Asserts nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "capture/recfile.h"
#include "proto/detect.h"

enum call_kind { CALL_OPEN, CALL_CHUNK, CALL_CLOSE, CALL_LOSS };

struct call {
	enum call_kind kind;
	size_t text; /* where its bytes are */
	union {
		struct endpoint_info open;
		struct chunk chunk;
		struct loss_info loss;
		struct {
			uint64_t endpoint;
			int64_t ts_ns;
			bool by_peer;
		} close;
	};
};

struct tape {
	struct call *calls;
	size_t n, cap;
	struct buf bytes;
	uint64_t stream_bytes;
};

struct counts {
	uint64_t ops, messages, gaps;
	const struct proto *proto;
};

/* --- recording the calls --- */

static struct call *add(struct tape *t, enum call_kind kind)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 1024;
		struct call *grown = reallocarray(t->calls, cap, sizeof(*grown));

		if (!grown)
			return NULL;
		t->calls = grown;
		t->cap = cap;
	}
	t->calls[t->n] = (struct call){.kind = kind, .text = t->bytes.n};
	return &t->calls[t->n++];
}

static int on_open(void *ctx, const struct endpoint_info *e)
{
	struct tape *t = ctx;
	struct call *c = add(t, CALL_OPEN);

	if (!c)
		return -ENOMEM;
	c->open = *e;
	buf_put(&t->bytes, e->path ? e->path : "", e->path ? strlen(e->path) + 1 : 1);
	return buf_ok(&t->bytes) ? 0 : -ENOMEM;
}

static int on_chunk(void *ctx, const struct chunk *k)
{
	struct tape *t = ctx;
	struct call *c = add(t, CALL_CHUNK);

	if (!c)
		return -ENOMEM;
	c->chunk = *k;
	t->stream_bytes += k->data.n;
	buf_put_span(&t->bytes, k->data);
	return buf_ok(&t->bytes) ? 0 : -ENOMEM;
}

static int on_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	struct call *c = add(ctx, CALL_CLOSE);

	if (!c)
		return -ENOMEM;
	c->close.endpoint = endpoint;
	c->close.ts_ns = ts_ns;
	c->close.by_peer = by_peer;
	return 0;
}

static int on_loss(void *ctx, const struct loss_info *l)
{
	struct call *c = add(ctx, CALL_LOSS);

	if (!c)
		return -ENOMEM;
	c->loss = *l;
	c->loss.reason = "lost";
	return 0;
}

static int on_proc(void *ctx, const struct proc_info *p)
{
	(void)ctx;
	(void)p;
	return 0;
}

static int on_proc_exit(void *ctx, uint32_t pid, int64_t ts_ns, int exit_code)
{
	(void)ctx;
	(void)pid;
	(void)ts_ns;
	(void)exit_code;
	return 0;
}

static int on_tick(void *ctx, int64_t ts_ns)
{
	(void)ctx;
	(void)ts_ns;
	return 0;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_decode: %s: %s\n", what, why);
	exit(1);
}

static void load(const char *path, struct tape *t)
{
	struct sink k = {t, on_proc, on_proc_exit, on_open, on_chunk, on_close, on_loss, on_tick};
	struct source_info info;
	struct source *s;
	struct err e = {0};

	if (source__open(path, &s, &info, &e) || source_run(s, &k, NULL, NULL, &e))
		die(path, e.msg);
	source__close(s);
	for (size_t i = 0; i < t->n; i++) { /* now that the buffer does not move any more */
		struct call *c = &t->calls[i];

		if (c->kind == CALL_OPEN)
			c->open.path = (const char *)t->bytes.p + c->text;
		else if (c->kind == CALL_CHUNK)
			c->chunk.data.p = t->bytes.p + c->text;
	}
}

/* --- decoding --- */

static int count_op(void *ctx, const struct op *op, const struct conn *c)
{
	struct counts *n = ctx;

	(void)c;
	n->ops++;
	n->messages += op->kind == OP_SEND || op->kind == OP_RECEIVE;
	return 0;
}

static int count_conn(void *ctx, const struct conn *c, const struct proto *p, enum conn_state st)
{
	struct counts *n = ctx;

	(void)c;
	(void)st;
	if (p)
		n->proto = p;
	return 0;
}

static int count_gap(
	void *ctx, const struct conn *c, enum flowdir d, uint64_t bytes, const char *reason, int64_t ts_ns)
{
	(void)c;
	(void)d;
	(void)bytes;
	(void)reason;
	(void)ts_ns;
	((struct counts *)ctx)->gaps++;
	return 0;
}

static int play(struct streams *s, const struct call *c)
{
	switch (c->kind) {
	case CALL_OPEN:
		return streams__open(s, &c->open);
	case CALL_CHUNK:
		return streams__chunk(s, &c->chunk);
	case CALL_CLOSE:
		return streams__close(s, c->close.endpoint, c->close.ts_ns, c->close.by_peer);
	case CALL_LOSS:
		return streams__loss(s, &c->loss);
	}
	return 0;
}

static void run(const struct tape *t, struct counts *ret)
{
	struct detect_out out = {ret, count_op, count_conn, count_gap};
	struct detect *d = detect__new(NULL, &out);
	struct stream_ops ops = {0};
	struct streams *s;
	int err = 0;

	detect_stream_ops(d, &ops);
	s = streams__new(&ops, NULL);
	detect_set_streams(d, s);
	for (size_t i = 0; i < t->n && !err; i++)
		err = play(s, &t->calls[i]);
	if (!err && t->n)
		err = streams__flush(s, INT64_MAX);
	if (err < 0)
		die("decoding", strerror(-err));
	streams__free(s);
	detect__free(d);
}

static double cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double limit = argc > 2 ? atof(argv[2]) : 5, begin, took;
	struct counts n = {0};
	struct tape t = {0};
	unsigned runs = 0;

	if (argc < 2)
		die("usage", "bench_decode FILE [SECONDS]");
	load(argv[1], &t);
	run(&t, &n); /* warms the caches */
	n = (struct counts){0};
	begin = cpu();
	do {
		run(&t, &n);
		runs++;
		took = cpu() - begin;
	} while (took < limit);
	printf("{\"protocol\": \"%s\", \"bytes\": %llu, \"messages\": %llu, \"operations\": %llu, \"gaps\": "
	       "%llu, "
	       "\"runs\": %u, \"seconds\": %.6f}\n",
		n.proto ? n.proto->name : "", (unsigned long long)t.stream_bytes,
		(unsigned long long)(n.messages / runs), (unsigned long long)(n.ops / runs),
		(unsigned long long)(n.gaps / runs), runs, took);
	free(t.calls);
	buf_free(&t.bytes);
	return 0;
}
