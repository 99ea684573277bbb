/*
 * Recorded conversations of real clients with real servers (record.py, record_node.js), against what the
 * clients know that they did and got. Messages are compared in order, all else as a set:
 * the clients' notes do not say how the two directions interleaved.
 */
#include <stdlib.h>

#include "wire.h"

#define KINDS     64
#define LINES_MAX 4096

/* What an operation says, in the words of record.py, one text a kind. The feed comes first: its hooks get it.
 */
struct notes {
	struct feed f;
	struct buf kind[KINDS];
	uint64_t next_id, sends;
	uint64_t number[4096]; /* of the publish that an operation was, by its id */
};

static uint32_t fnv(struct span s)
{
	uint32_t h = 2166136261;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 16777619;
	return h;
}

static void put(struct buf *b, const char *name, struct span s)
{
	if (s.n)
		buf_printf(b, " %s=" SPAN_FMT, name, SPAN_ARG(s));
}

static void note(struct notes *n, const struct op *op)
{
	static const char *const settles[] = {
		"", " ack", " requeue", " reject", " auto", " lost", " progress"};
	struct buf *b = &n->kind[op->kind];
	uint32_t shown = OPF_REDELIVERED | OPF_NEGATIVE | OPF_BY_BROKER | OPF_REPORTED | OPF_UP_TO;
	bool log = op->dest == DEST_LOG, settle = op->kind == OP_SETTLE, confirm = op->kind == OP_CONFIRM;

	buf_puts(b, kind_text(op->kind));
	if (op->kind == OP_LOGIN) {
		put(b, "text", op->text);
		buf_putc(b, '\n');
		return;
	}
	buf_puts(b, log ? " log" : " channel");
	if (!(log && (settle || op->kind == OP_SUBSCRIBE)))
		put(b, "ex", op->exchange);
	if (op->queue_known)
		put(b, "q", op->queue);
	put(b, "consumer", op->consumer);
	if (!(op->flags & OPF_NEGATIVE))
		put(b, "log", op->log);
	put(b, "mid", op->mid);
	if (op->delivery)
		buf_printf(b, " delivery=%u", op->delivery);
	put(b, "type", op->type);
	buf_puts(b, settles[op->settle]);
	if (settle || (confirm && !(op->flags & OPF_NEGATIVE)))
		put(b, "text", op->text);
	if ((confirm && log) || op->kind == OP_RETURN) {
		if (op->code)
			buf_printf(b, " code=%u", op->code);
	}
	if (confirm || op->kind == OP_RETURN)
		buf_printf(b, " of=%llu", (unsigned long long)n->number[op->ref % 4096]);
	if (op->kind == OP_SEND || op->kind == OP_RECEIVE)
		buf_printf(b, " size=%llu sum=%08x", (unsigned long long)op->body_size, fnv(op->body));
	if (op->kind == OP_SUBSCRIBE || op->kind == OP_UNSUBSCRIBE)
		shown |= OPF_EXCLUSIVE | OPF_AUTO_DELETE;
	put_flags(b, op->flags & shown);
	buf_putc(b, '\n');
}

static uint64_t note_op(void *ctx, struct op *op)
{
	struct notes *n = ctx;
	uint64_t id = ++n->next_id;

	if (op->kind == OP_SEND)
		n->number[id % 4096] = ++n->sends;
	CHECK(!(op->flags & (OPF_GAP | OPF_TRUNCATED)));
	CHECK(op->ref < id);
	n->f.secret |= holds(op->text, "hunter2") || holds(op->args, "hunter2");
	/* Shown again: the notes tell only what was made. */
	if (!(op->flags & OPF_PASSIVE))
		note(n, op);
	return id;
}

static struct buf load(const char *name, const char *suffix)
{
	struct buf b = {0};
	char path[256];
	FILE *f;
	int c;

	snprintf(path, sizeof(path), "tests/proto/nats/fixtures/%s%s", name, suffix);
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

static int by_text(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return c ? c : (x->n > y->n) - (x->n < y->n);
}

static void sort_lines(struct buf *b)
{
	static struct span lines[LINES_MAX];
	struct buf out = {0};
	size_t n = 0;

	for (size_t i = 0; i < b->n && n < LINES_MAX; i += lines[n++].n) {
		const uint8_t *lf = memchr(b->p + i, '\n', b->n - i);

		lines[n] = span_of(b->p + i, (size_t)(lf - b->p) + 1 - i);
	}
	qsort(lines, n, sizeof(*lines), by_text);
	for (size_t i = 0; i < n; i++)
		buf_put_span(&out, lines[i]);
	buf_free(b);
	*b = out;
}

static bool in_order(int kind)
{
	return kind == OP_SEND || kind == OP_RECEIVE;
}

/* @tail: only what is at the end of the truth's messages was seen. */
static void compare(struct notes *n, const char *name, const char *how, bool tail)
{
	struct buf truth = load(name, ".truth"), want = {0};

	for (int k = 1; k < KINDS; k++) {
		struct buf *got = &n->kind[k];
		size_t off;

		if (!strcmp(kind_text((enum op_kind)k), "?") || (tail && k != OP_SEND && k != OP_RECEIVE))
			continue;
		lines_of(&truth, kind_text((enum op_kind)k), &want);
		if (!in_order(k)) {
			/* nats.c does not name its own inboxes. */
			if (!strncmp(name, "libnats", 7) && (k == OP_SUBSCRIBE || k == OP_UNSUBSCRIBE))
				continue;
			sort_lines(&want);
			sort_lines(got);
		}
		off = tail && got->n <= want.n ? want.n - got->n : 0;
		if (!strcmp(buf_cstr(got), buf_cstr(&want) + off))
			continue;
		fprintf(stderr, "--- %s, %s: got\n%s--- want\n%s", name, how, buf_cstr(got), buf_cstr(&want));
		test_case_bad = true;
	}
	buf_free(&truth);
	buf_free(&want);
}

/* @step: 0 as recorded, else at most that many bytes at a time; the first @cut bytes apart, or left out. */
static void play(struct span rec, bool from_start, size_t step, size_t cut, struct notes *n)
{
	struct proto_out out = {n, note_op, feed_secret};
	struct feed *f = &n->f;

	feed_begin(f, &proto_nats, true, 0);
	proto_nats.state_free(f->st);
	f->st = proto_nats.state_new(&f->opts, &out, from_start);
	f->lost[0] = f->lost[1] = !from_start;
	rec = span_sub(rec, 6, SIZE_MAX);
	while (rec.n) {
		enum flowdir d = rec.p[0] ? TO_CLIENT : TO_SERVER;
		size_t len =
			(size_t)rec.p[1] << 24 | (size_t)rec.p[2] << 16 | (size_t)rec.p[3] << 8 | rec.p[4];
		struct span s = span_sub(rec, 5, len);

		rec = span_sub(rec, 5 + len, SIZE_MAX);
		while (s.n) {
			size_t k = step ? step : s.n;

			if (cut && cut < k)
				k = cut;
			k = k < s.n ? k : s.n;
			if (!cut || from_start)
				feed_bytes(f, d, span_sub(s, 0, k));
			cut = cut > k ? cut - k : 0;
			s = span_sub(s, k, SIZE_MAX);
		}
	}
	CHECK(!f->bad);
	CHECK(!f->secret);
	CHECK(!f->log.n);
	if (from_start)
		CHECK(secrets_told(f));
	feed_end(f);
	feed_free(f);
}

static void notes_free(struct notes *n)
{
	for (int k = 0; k < KINDS; k++)
		buf_free(&n->kind[k]);
	*n = (struct notes){0};
}

static void fixture(const char *name, bool from_the_middle)
{
	struct buf rec = load(name, ".bin");
	static struct notes n;

	if (rec.n < 6)
		return;
	play(buf_span(&rec), true, 0, 0, &n);
	compare(&n, name, "as recorded", false);
	notes_free(&n);
	play(buf_span(&rec), true, 1, 0, &n);
	compare(&n, name, "byte by byte", false);
	notes_free(&n);
	for (size_t cut = 1; cut < rec.n && !test_case_bad; cut += rec.n < 10000 ? 7 : 41) {
		play(buf_span(&rec), true, 0, cut, &n);
		compare(&n, name, "cut", false);
		notes_free(&n);
	}
	/* Begun after as many bytes: all messages that begin later, and none that never was. */
	for (size_t cut = 1; from_the_middle && cut < rec.n && !test_case_bad;
		cut += rec.n < 10000 ? 7 : 41) {
		play(buf_span(&rec), false, 0, cut, &n);
		compare(&n, name, "from the middle", true);
		notes_free(&n);
	}
	buf_free(&rec);
}

/* Its payloads hold lines of the protocol: begun inside of one, nobody could tell. */
static void core(void)
{
	fixture("core", false);
}

static void stream(void)
{
	fixture("stream", true);
}

static void buckets(void)
{
	fixture("buckets", true);
}

static void node(void)
{
	fixture("node", true);
}

/* Verbose. */
static void libnats(void)
{
	fixture("libnats", true);
}

/* nats-server 2.15 */
static void newer_server(void)
{
	fixture("core-2.15", false);
	fixture("stream-2.15", true);
	fixture("buckets-2.15", true);
	fixture("node-2.15", true);
	fixture("libnats-2.15", true);
}

int main(void)
{
	RUN(core);
	RUN(stream);
	RUN(buckets);
	RUN(node);
	RUN(libnats);
	RUN(newer_server);
	return test_end();
}
