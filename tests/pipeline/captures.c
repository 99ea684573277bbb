/*
 * Captures of other projects, from file to operations: those of a protocol that we decode give what their
 * index says, all others give nothing. The captures are not part of this tree: skipped where they are not
 * found
 * ($EVTRACE_SHARED/captures, else shared/captures beside the tree).
 */
#include "test.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "capture/recfile.h"
#include "proto/detect.h"

#define SKIPPED 77

struct found {
	int pub, deliver, ack, get, ret, ops;
	int decoded, other, encrypted, undecided, failed;
	int gaps;
	uint64_t lost;
};

static int on_op(void *ctx, const struct op *op, const struct conn *c)
{
	struct found *f = ctx;

	(void)c;
	f->ops++;
	switch (op->kind) {
	case OP_SEND:
		f->pub++;
		break;
	case OP_RECEIVE:
		*(op->flags & OPF_PULLED ? &f->get : &f->deliver) += 1;
		break;
	case OP_SETTLE:
		f->ack += op->settle == SETTLE_ACK;
		break;
	case OP_RETURN:
		f->ret++;
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

/* The sink of a source, without the stages to the right of detect. */
static int no_proc(void *ctx, const struct proc_info *p)
{
	(void)ctx, (void)p;
	return 0;
}

static int to_exit(void *ctx, uint32_t pid, int64_t ts_ns, int exit_code)
{
	(void)exit_code;
	return streams__proc_exit(ctx, pid, ts_ns);
}

static int to_open(void *ctx, const struct endpoint_info *e)
{
	return streams__open(ctx, e);
}

static int to_chunk(void *ctx, const struct chunk *c)
{
	return streams__chunk(ctx, c);
}

static int to_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	return streams__close(ctx, endpoint, ts_ns, by_peer);
}

static int to_loss(void *ctx, const struct loss_info *l)
{
	return streams__loss(ctx, l);
}

static int to_tick(void *ctx, int64_t ts_ns)
{
	return streams__tick(ctx, ts_ns);
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
	k = (struct sink){s, no_proc, to_exit, to_open, to_chunk, to_close, to_loss, to_tick};
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

static int said(const char *events, const char *word)
{
	const char *p = word ? strstr(events, word) : NULL;

	return p ? atoi(p + strlen(word)) : 0;
}

/* The protocols that we decode, and the words by which the index counts their messages; NULL: it does not. */
static const struct words {
	const char *dir, *send, *receive, *ack, *get, *ret;
} ours_words[] = {
	{"amqp091/", "pub ", "deliver ", "ack ", "get-ok ", "return "},
	{"nats/", "PUB+HPUB ", "MSG+HMSG ", NULL, NULL, NULL},
};

static const struct words *words_of(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_LEN(ours_words); i++)
		if (!strncmp(name, ours_words[i].dir, strlen(ours_words[i].dir)))
			return &ours_words[i];
	return NULL;
}

static void check_row(const char *dir, char *row)
{
	char path[512], want[128], got[128], *events, *name = strtok(row, "\t");
	const struct words *ours = words_of(name);
	struct found f = {0};
	struct err e = {0};
	int err;

	events = name ? strtok(NULL, "") : NULL;
	events = events && ours ? strstr(events, ours->send) : NULL;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	err = decode_file(path, &f, &e);
	if (err)
		fprintf(stderr, "%s: %s\n", name, e.msg);
	CHECK_EQ(err, 0);
	snprintf(want, sizeof(want), "nothing");
	if (ours && events)
		snprintf(want, sizeof(want), "send %d, receive %d, ack %d, get %d, return %d",
			said(events, ours->send), said(events, ours->receive), said(events, ours->ack),
			said(events, ours->get), said(events, ours->ret));
	snprintf(got, sizeof(got), "send %d, receive %d, ack %d, get %d, return %d", f.pub, f.deliver, f.ack,
		f.get, f.ret);
	if (!f.ops)
		snprintf(got, sizeof(got), "nothing");
	printf("%-72s %-50s %-50s %3d %4d %4d %4d %5d %6d\n", name, want, got, f.ops, f.decoded, f.other,
		f.encrypted, f.undecided, (int)f.lost);
	CHECK_STR(got, want);
	CHECK_EQ(f.failed, 0);
	CHECK_EQ(ours ? f.other : f.decoded, 0);
}

static const char *find_captures(char *dir, size_t n)
{
	const char *env = getenv("EVTRACE_SHARED");
	const char *const places[] = {env ? env : "", "../shared", "../../shared"};

	for (size_t i = !env; i < ARRAY_LEN(places); i++) {
		char index[512];

		snprintf(dir, n, "%s/captures", places[i]);
		snprintf(index, sizeof(index), "%s/INDEX.tsv", dir);
		if (!access(index, R_OK))
			return dir;
	}
	return NULL;
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
	printf("%-72s %-50s %-50s ops  dec  oth  TLS undec   lost\n", "file", "expected", "found");
	while (fgets(line, sizeof(line), f))
		if (rows++)
			check_row(dir, line);
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
