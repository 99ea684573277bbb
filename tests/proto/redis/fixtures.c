/*
 * Recorded conversations of real clients and queue libraries with a real redis-server (record.py), against
 * what the client knows that it did and got. Operations are compared kind by kind, in order: the client's
 * notes do not say how connections and directions interleaved.
 */
#include <stdio.h>

#include "proto/feed.h"
#include "proto/pairs.h"
#include "test.h"

#define KINDS 64
#define CONNS 8
#define OPS   4096

/* What an operation says, in the words of record.py, one text a kind. */
struct notes {
	struct buf kind[KINDS];
	uint64_t next_id;
	char label[OPS][48]; /* of the message that an operation was, by its id */
	bool gaps;
};

static uint32_t fnv(struct span s)
{
	uint32_t h = 2166136261;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 16777619;
	return h;
}

/* The id of the message where a client knows one, else a sum of its body. */
static void label_of(const struct op *op, char *ret)
{
	struct pair p;

	if (pairs_find(op->envelope, false, SPAN_LIT("message-id"), &p))
		snprintf(ret, 48, SPAN_FMT, SPAN_ARG(p.value));
	else if (op->mid.n)
		snprintf(ret, 48, SPAN_FMT, SPAN_ARG(op->mid));
	else
		snprintf(ret, 48, "%08x", fnv(op->body));
}

static void note_flags(struct buf *b, uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *word;
	} shown[] = {{OPF_REDELIVERED, "redelivered"}, {OPF_REPORTED, "reported"}, {OPF_NEGATIVE, "negative"},
		{OPF_TX, "tx"}, {OPF_UP_TO, "up-to"}};

	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		if (flags & shown[i].flag)
			buf_printf(b, " %s", shown[i].word);
}

static void note(struct notes *n, const struct op *op)
{
	static const char *const settles[] = {"none", "ack", "requeue", "reject", "auto", "lost"};
	struct span where = op->exchange.n ? op->exchange : op->routing_key;
	struct buf *b = &n->kind[op->kind];
	const char *of = n->label[op->ref % OPS];

	buf_puts(b, kind_text(op->kind));
	switch (op->kind) {
	case OP_LOGIN:
		buf_printf(b, " text=" SPAN_FMT " vhost=" SPAN_FMT, SPAN_ARG(op->text), SPAN_ARG(op->vhost));
		break;
	case OP_ERROR:
		/* A client may leave out the first word. */
		buf_printf(b, " text=" SPAN_FMT, SPAN_ARG(op->text));
		break;
	case OP_SEND:
		buf_printf(b, " " SPAN_FMT " %s", SPAN_ARG(where), n->label[n->next_id % OPS]);
		break;
	case OP_CONFIRM:
	case OP_RETURN:
		buf_printf(b, " of=%s", of);
		if (op->mid.n)
			buf_printf(b, " mid=" SPAN_FMT, SPAN_ARG(op->mid));
		note_flags(b, op->flags);
		break;
	case OP_RECEIVE:
		buf_printf(b, " " SPAN_FMT " q=" SPAN_FMT " %s", SPAN_ARG(where),
			SPAN_ARG(op->queue.n ? op->queue : SPAN_LIT("-")), n->label[n->next_id % OPS]);
		if (op->consumer.n)
			buf_printf(b, " c=" SPAN_FMT, SPAN_ARG(op->consumer));
		note_flags(b, op->flags);
		break;
	case OP_SETTLE:
		buf_printf(b, " of=%s %s", of, settles[op->settle]);
		note_flags(b, op->flags);
		break;
	case OP_DELETE:
		buf_printf(b, " " SPAN_FMT " " SPAN_FMT, SPAN_ARG(op->log), SPAN_ARG(op->mid));
		note_flags(b, op->flags);
		break;
	case OP_SUBSCRIBE:
	case OP_UNSUBSCRIBE:
		buf_printf(b, " " SPAN_FMT " q=" SPAN_FMT " c=" SPAN_FMT, SPAN_ARG(op->exchange),
			SPAN_ARG(op->queue.n ? op->queue : SPAN_LIT("-")), SPAN_ARG(op->consumer));
		break;
	case OP_QUEUE_DECLARE:
		buf_printf(b, " " SPAN_FMT " q=" SPAN_FMT " mid=" SPAN_FMT, SPAN_ARG(op->exchange),
			SPAN_ARG(op->queue), SPAN_ARG(op->mid));
		break;
	case OP_QUEUE_PURGE:
		buf_printf(b, " q=" SPAN_FMT, SPAN_ARG(op->queue));
		break;
	case OP_QUEUE_DELETE:
		buf_printf(b, " " SPAN_FMT " q=" SPAN_FMT, SPAN_ARG(op->exchange), SPAN_ARG(op->queue));
		break;
	default:
		buf_printf(b, " " SPAN_FMT, SPAN_ARG(op->exchange));
	}
	buf_putc(b, '\n');
}

static uint64_t note_op(void *ctx, struct op *op)
{
	struct notes *n = ctx;
	uint64_t id = ++n->next_id;

	n->label[id % OPS][0] = 0;
	if (op->kind == OP_SEND || op->kind == OP_RECEIVE)
		label_of(op, n->label[id % OPS]);
	else if (op->kind == OP_SETTLE && !op->ref)
		label_of(op, n->label[0]);
	CHECK(!holds(op->text, "hunter2"));
	CHECK(!(op->flags & OPF_GAP));
	note(n, op);
	return id;
}

static struct buf load(const char *name, const char *suffix)
{
	struct buf b = {0};
	char path[256];
	FILE *f;
	int c;

	snprintf(path, sizeof(path), "tests/proto/redis/fixtures/%s%s", name, suffix);
	f = fopen(path, "rb");
	if (!f) {
		fprintf(stderr, "%s: cannot be read (tests run from the repository's root)\n", path);
		test_case_bad = true;
		return b;
	}
	while ((c = getc(f)) != EOF)
		buf_putc(&b, (char)c);
	fclose(f);
	return b;
}

/* The truth's lines that start with @kind. */
static void lines_of(struct buf *truth, const char *kind, struct buf *out)
{
	const char *l = buf_cstr(truth);

	buf_clear(out);
	while (*l) {
		size_t n = strcspn(l, "\n") + 1;

		if (!strncmp(l, kind, strlen(kind)) && l[strlen(kind)] == ' ')
			buf_put(out, l, n);
		l += n;
	}
}

/* Subscriptions end in no order of their own. */
static void sort_lines(struct buf *b)
{
	char *s = (char *)(uintptr_t)buf_cstr(b), *line[256];
	struct buf out = {0};
	size_t n = 0;

	for (char *l = strtok(s, "\n"); l && n < ARRAY_LEN(line); l = strtok(NULL, "\n")) {
		size_t i = n++;

		for (; i && strcmp(line[i - 1], l) > 0; i--)
			line[i] = line[i - 1];
		line[i] = l;
	}
	for (size_t i = 0; i < n; i++)
		buf_printf(&out, "%s\n", line[i]);
	buf_free(b);
	*b = out;
}

static bool compare(struct notes *n, const char *name, const char *how, const char *kinds)
{
	struct buf truth = load(name, ".truth"), want = {0};
	bool same = true;

	for (int k = 1; k < KINDS; k++) {
		const char *kind = kind_text((enum op_kind)k);

		if (!strcmp(kind, "?") || (kinds && !strstr(kinds, kind)))
			continue;
		lines_of(&truth, kind, &want);
		if (k == OP_UNSUBSCRIBE) {
			sort_lines(&want);
			sort_lines(&n->kind[k]);
		}
		if (!strcmp(buf_cstr(&n->kind[k]), buf_cstr(&want)))
			continue;
		fprintf(stderr, "--- %s, %s: got\n%s--- want\n%s", name, how, buf_cstr(&n->kind[k]),
			buf_cstr(&want));
		test_case_bad = true;
		same = false;
	}
	buf_free(&truth);
	buf_free(&want);
	return same;
}

static void notes_free(struct notes *n)
{
	for (int k = 0; k < KINDS; k++)
		buf_free(&n->kind[k]);
	*n = (struct notes){0};
}

/* @step: 0 as recorded, else at most that many bytes at a time; the first @cut bytes apart. */
static void play(struct span rec, size_t step, size_t cut, bool from_start, struct notes *n)
{
	struct proto_opts opts = {.shared = proto_redis.shared_new()};
	struct proto_out out = {n, note_op, NULL};
	struct feed f[CONNS];

	for (int i = 0; i < CONNS; i++) {
		f[i] = (struct feed){.p = &proto_redis};
		f[i].st = proto_redis.state_new(&opts, &out, from_start);
		f[i].lost[0] = f[i].lost[1] = !from_start;
	}
	rec = span_sub(rec, 6, SIZE_MAX);
	while (rec.n) {
		enum flowdir d = rec.p[0] & 1 ? TO_CLIENT : TO_SERVER;
		unsigned conn = (rec.p[0] >> 1 & 3) | (rec.p[0] >> 3 & 4);
		size_t len =
			(size_t)rec.p[1] << 24 | (size_t)rec.p[2] << 16 | (size_t)rec.p[3] << 8 | rec.p[4];
		struct span s = span_sub(rec, 5, len);

		rec = span_sub(rec, 5 + len, SIZE_MAX);
		while (s.n) {
			size_t k = cut ? cut : step ? step : s.n;

			k = k < s.n ? k : s.n;
			cut -= cut < k ? cut : k;
			feed_bytes(&f[conn], d, span_sub(s, 0, k));
			s = span_sub(s, k, SIZE_MAX);
		}
	}
	for (int i = 0; i < CONNS; i++) {
		CHECK(!f[i].bad);
		feed_end(&f[i]);
		feed_free(&f[i]);
	}
	proto_redis.shared_free(opts.shared);
}

/* @kinds: those that are compared, NULL all. */
static void fixture(const char *name, const char *kinds)
{
	struct buf rec = load(name, ".bin");
	static struct notes n;
	size_t bytes = rec.n;

	if (rec.n < 6)
		return;
	play(buf_span(&rec), 0, 0, true, &n);
	compare(&n, name, "as recorded", kinds);
	notes_free(&n);
	if (!test_case_bad) {
		play(buf_span(&rec), 1, 0, true, &n);
		compare(&n, name, "byte by byte", kinds);
		notes_free(&n);
	}
	/* Cut at every length; large ones at lengths that fall anywhere in a value. */
	for (size_t cut = 1; cut < bytes && !test_case_bad; cut += bytes < 6000 ? 1 : bytes / 199) {
		play(buf_span(&rec), 0, cut, true, &n);
		compare(&n, name, "cut", kinds);
		notes_free(&n);
	}
	buf_free(&rec);
}

/* Every line in @got stands in @truth, in that order. */
static bool is_part(struct buf *got, struct buf *truth)
{
	const char *g = buf_cstr(got), *t = buf_cstr(truth);

	while (*g) {
		size_t n = strcspn(g, "\n") + 1;

		while (*t && strncmp(g, t, n))
			t += strcspn(t, "\n") + 1;
		if (!*t)
			return false;
		t += n;
		g += n;
	}
	return true;
}

/*
 * From the middle, beginning with any record: what is told then is a part of what is told from the start. No
 * confirmation is of another message, nothing is received that was not.
 */
static void middle(const char *name)
{
	static const enum op_kind kinds[] = {OP_SEND, OP_CONFIRM, OP_RETURN};
	struct buf rec = load(name, ".bin"), want[KINDS] = {{0}};
	struct span rest = span_sub(buf_span(&rec), 6, SIZE_MAX);
	struct buf part = {0};
	static struct notes n;

	play(buf_span(&rec), 0, 0, true, &n);
	for (int k = 0; k < KINDS; k++) {
		want[k] = n.kind[k];
		n.kind[k] = (struct buf){0};
	}
	notes_free(&n);
	while (rest.n && !test_case_bad) {
		size_t len = (size_t)rest.p[1] << 24 | (size_t)rest.p[2] << 16 | (size_t)rest.p[3] << 8 |
			     rest.p[4];

		buf_clear(&part);
		buf_put(&part, "EVTF1\n", 6);
		buf_put_span(&part, rest);
		play(buf_span(&part), 0, 0, false, &n);
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
			if (!is_part(&n.kind[kinds[i]], &want[kinds[i]])) {
				fprintf(stderr, "--- %s, from %zu bytes before its end: got\n%s--- of\n%s",
					name, rest.n, buf_cstr(&n.kind[kinds[i]]), buf_cstr(&want[kinds[i]]));
				test_case_bad = true;
			}
		notes_free(&n);
		rest = span_sub(rest, 5 + len, SIZE_MAX);
	}
	for (int k = 0; k < KINDS; k++)
		buf_free(&want[k]);
	buf_free(&part);
	buf_free(&rec);
}

static void lists(void)
{
	fixture("lists", NULL);
	middle("lists");
}

static void streams(void)
{
	fixture("streams", NULL);
	middle("streams");
}

static void pubsub(void)
{
	fixture("pubsub", NULL);
	middle("pubsub");
}

static void logins(void)
{
	fixture("logins", NULL);
	middle("logins");
}

static void celery(void)
{
	fixture("celery", "SEND CONFIRM RECEIVE SETTLE");
	middle("celery");
}

static void rq(void)
{
	fixture("rq", "SEND RECEIVE");
	middle("rq");
}

static void sidekiq(void)
{
	fixture("sidekiq", NULL);
	middle("sidekiq");
}

static void bullmq(void)
{
	fixture("bullmq", NULL);
	middle("bullmq");
}

int main(void)
{
	RUN(lists);
	RUN(streams);
	RUN(pubsub);
	RUN(logins);
	RUN(celery);
	RUN(rq);
	RUN(sidekiq);
	RUN(bullmq);
	return test_end();
}
