/* evtrace where: where messages are now, in whose hands, and how we know. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/timefmt.h"
#include "cmd/destination.h"
#include "cmd/sentence.h"

#define WHERE_MAX 256 /* messages that one answer speaks of */
#define ASKED_MAX 64  /* of them found by the query itself */
#define EVIDENCE  40  /* operations shown for each */

static const char help[] =
	"usage: evtrace where [OPTION]... ID|QUERY...\n\n"
	"Where messages are now, in whose hands, and how we know: one line for each copy of the messages "
	"that an id\n"
	"or a query names, and of those that they caused.\n\n"
	"  WAITING          in a queue, nobody has it; the group has not got there\n"
	"  KEPT             in a topic or stream that no group was seen to read\n"
	"  SENT             the broker was not seen to confirm it\n"
	"  DELIVERED        a consumer has it and did not settle it\n"
	"  done             acked\n"
	"  retried          dead-lettered, and back where it is worked on; how that went\n"
	"  DEAD-LETTERED, REJECTED, EXPIRED, PURGED, RETURNED, REFUSED, DROPPED\n"
	"                   it went wrong there\n"
	"  UNKNOWN          it was not seen, and why\n\n"
	"  --why            the evidence: operations with time, process and bytes, bindings, links\n"
	"  --limit N        at most N messages (50; 0: up to 256)\n"
	"  --json           one object a line: message, copy, with --why operation and link\n"
	"  --store DIR      the store to ask\n\n"
	"  evtrace where m42                 evtrace where 4711\n\n"
	"Exit code: 0 found, 1 nothing found, 2 the query is wrong.\n";

struct where {
	struct answer a;
	bool why;
	struct loader *l;
	struct judge *j;
	struct err e;
	struct buf line;
	struct concerned list[WHERE_MAX];
	size_t n;
	bool more;
	const struct msg *shown; /* whose evidence it is */
	uint64_t replay;         /* a message that replay could mend, 0 none */
	uint64_t copy;           /* what a replay made of one, 0 none */
};

/* --- text --- */

static void evidence_line(struct where *w, const struct buf *text)
{
	buf_puts(&w->line, "      ");
	buf_puts(&w->line, tone_sgr(TONE_DIM, w->a.color));
	text_safe(&w->line, buf_span(text));
	buf_puts(&w->line, tone_sgr(TONE_PLAIN, w->a.color));
	say_line(stdout, &w->line);
}

static void on_operation(void *ctx, const struct msg_op *op)
{
	struct where *w = ctx;
	struct buf text = {0};

	put_operation(&text, &w->a, w->shown, op);
	evidence_line(w, &text);
	buf_free(&text);
}

static int show_evidence(struct where *w, const struct msg *m)
{
	struct buf text = {0};
	int n;

	w->shown = m;
	n = loader_operations(w->l, m, EVIDENCE, on_operation, w, &w->e);
	if (n > EVIDENCE) {
		buf_printf(&text, "and more operations: evtrace show m%" PRIu64, m->row.id);
		evidence_line(w, &text);
	}
	for (size_t i = 0; i < m->copies_n && n >= 0; i++) {
		buf_clear(&text);
		put_source(&text, w->l, m, &m->copies[i]);
		if (text.n)
			evidence_line(w, &text);
	}
	for (size_t i = 0; i < m->links_n && n >= 0; i++) {
		const struct msg_link *k = &m->links[i];
		bool down = k->src == m->row.id;

		buf_clear(&text);
		buf_printf(&text, "%sm%" PRIu64 " is %s m%" PRIu64 ", %.3g: %s", down ? "" : "", k->dst,
			link_words(k->kind), k->src, k->confidence, k->evidence);
		evidence_line(w, &text);
	}
	buf_free(&text);
	return n < 0 ? n : 0;
}

static unsigned widest_queue(const struct msg *m)
{
	struct buf label = {0};
	unsigned w = 10;

	for (size_t i = 0; i < m->copies_n; i++) {
		unsigned q;

		buf_clear(&label);
		put_copy_label(&label, &m->row, &m->copies[i]);
		q = text_width(buf_span(&label));
		w = q > w && q <= 40 ? q : w;
	}
	buf_free(&label);
	return w;
}

static void pad_to(struct buf *out, unsigned width, unsigned used)
{
	while (used++ < width)
		buf_putc(out, ' ');
}

static void finding_line(struct where *w, const struct finding *f, unsigned width)
{
	struct buf text = {0}, queue = {0};

	if (f->copy)
		put_copy_label(&queue, &f->message->row, f->copy);
	else
		buf_puts(&queue, "–");
	buf_puts(&w->line, "  ");
	text_safe(&w->line, buf_span(&queue));
	pad_to(&w->line, width, text_width(buf_span(&queue)));
	buf_free(&queue);
	buf_puts(&w->line, "  ");
	put_tone(&w->line, &w->a, standing_tone(f->kind), standing_word(f->kind));
	pad_to(&w->line, 15, (unsigned)strlen(standing_word(f->kind)));
	put_finding(&text, &w->a, w->j, f);
	text_safe(&w->line, buf_span(&text));
	say_line(stdout, &w->line);
	buf_free(&text);
}

static void headline(struct where *w, const struct concerned *c)
{
	struct msg *m = c->message;
	struct buf text = {0};
	char id[24];

	snprintf(id, sizeof(id), "m%" PRIu64, m->row.id);
	put_tone(&w->line, &w->a, TONE_BOLD, id);
	buf_puts(&text, "  ");
	put_headline(&text, &w->a, w->l, m);
	if (c->because) {
		const struct msg_link *k = c->because;

		buf_printf(&text, "%s m%" PRIu64,
			k->kind == LINK_CAUSED_BY   ? " because of"
			: k->kind == LINK_REPLAY_OF ? ", a replay of"
			: k->kind == LINK_RETRY_OF  ? ", a retry of"
						    : ", a reply to",
			k->src);
		if (*k->evidence)
			buf_printf(&text, " (%s)", k->evidence);
	}
	text_safe(&w->line, buf_span(&text));
	say_line(stdout, &w->line);
	if (m->one_of > 1)
		say(stdout,
			"  one of %" PRIu32
			" identical messages that were on their way: which is which cannot be told\n",
			m->one_of);
	buf_free(&text);
}

static void note_replay(struct where *w, const struct finding *f)
{
	const struct msg *m = f->dead ? f->dead : f->message;

	if (f->replayed && !f->replay.before && f->replay.copy)
		w->copy = f->replay.copy;
	switch (f->kind) {
	case STANDS_DEAD_LETTERED:
	case STANDS_REJECTED:
	case STANDS_RETURNED:
	case STANDS_REFUSED:
	case STANDS_EXPIRED:
		if (!w->replay && !f->replayed && m->row.dest != DEST_CALL)
			w->replay = m->row.id;
		break;
	default:
		break;
	}
}

/* --- JSON --- */

static void print_object(struct buf *out)
{
	buf_putc(out, '\n');
	fwrite(out->p, 1, out->n, stdout);
	buf_clear(out);
}

static void json_finding(struct where *w, const struct finding *f)
{
	struct json j = {.out = &w->line};

	json_obj(&j);
	put_copy_json(&j, &w->a, w->j, f);
	json_obj_end(&j);
	print_object(&w->line);
}

static void json_head(struct where *w, const struct concerned *c)
{
	struct json j = {.out = &w->line};

	json_obj(&j);
	json_kv_str(&j, "type", "message");
	put_message_json(&j, &w->a, &c->message->row);
	put_replay_json(&j, w->l, c->message);
	json_kv_bool(&j, "asked", c->asked);
	if (c->because)
		json_id(&j, "because_of", c->because->src);
	json_obj_end(&j);
	print_object(&w->line);
}

static void json_operation(void *ctx, const struct msg_op *op)
{
	struct where *w = ctx;
	struct json j = {.out = &w->line};

	json_obj(&j);
	put_op_json(&j, op);
	json_obj_end(&j);
	print_object(&w->line);
}

static int json_evidence(struct where *w, const struct msg *m)
{
	int n = loader_operations(w->l, m, 10000, json_operation, w, &w->e);

	for (size_t i = 0; i < m->links_n && n >= 0; i++) {
		struct json j = {.out = &w->line};

		json_obj(&j);
		put_link_json(&j, &m->links[i]);
		json_obj_end(&j);
		print_object(&w->line);
	}
	return n < 0 ? n : 0;
}

/* --- both --- */

static void show_finding(struct where *w, const struct finding *f, unsigned width)
{
	note_replay(w, f);
	if (w->a.json)
		json_finding(w, f);
	else
		finding_line(w, f, width);
}

/* Deliveries taught some of its queues; its exchange may lead to more. */
static void warn_of_routes(struct where *w, const struct msg *m)
{
	if (w->a.json || m->row.dest != DEST_ROUTED || m->routes != ROUTES_UNKNOWN || !m->copies_n ||
		m->row.origin != ORIGIN_CLIENT || !*m->row.exchange)
		return;
	buf_puts(&w->line, "  it may be in more queues: the bindings of exchange ");
	text_safe(&w->line, span_str(m->row.exchange));
	buf_puts(&w->line, " were not declared while watching");
	say_line(stdout, &w->line);
}

static int show_message(struct where *w, const struct concerned *c)
{
	const struct msg *m = c->message;
	unsigned width = widest_queue(m);
	struct finding f;
	int err = 0;

	if (w->a.json)
		json_head(w, c);
	else
		headline(w, c);
	for (size_t i = 0; i < m->copies_n && !err; i++) {
		err = judge_copy(w->j, m, &m->copies[i], &f, &w->e);
		if (!err)
			show_finding(w, &f, width);
	}
	if (!err && !m->copies_n) {
		err = judge_message(w->j, m, &f, &w->e);
		if (!err)
			show_finding(w, &f, width);
	}
	if (!err)
		warn_of_routes(w, m);
	if (!err && w->why)
		err = w->a.json ? json_evidence(w, m) : show_evidence(w, m);
	return err;
}

static void close_answer(struct where *w, bool more_asked)
{
	if (w->a.json) {
		print_coverage_json(&w->a, NULL, false);
		return;
	}
	if (w->more || more_asked)
		say(stdout,
			"There are more messages; these are the first %zu. evtrace find narrows a query "
			"down.\n",
			w->n);
	put_as_of(&w->line, &w->a);
	say_line(stdout, &w->line);
	if (!w->why)
		buf_puts(&w->line, "--why shows the evidence.   ");
	if (w->replay)
		buf_printf(&w->line, "next: evtrace replay m%" PRIu64, w->replay);
	else
		buf_printf(&w->line, "next: evtrace flow m%" PRIu64,
			w->copy ? w->copy : w->list[0].message->row.id);
	say_line(stdout, &w->line);
}

static int run(struct where *w, int argc, char **argv)
{
	size_t max = !w->a.limit || w->a.limit > WHERE_MAX ? WHERE_MAX : (size_t)w->a.limit, n = 0;
	uint64_t ids[ASKED_MAX];
	bool more_asked = false;
	int err;

	err = resolve_messages(
		w->a.store, argc, argv, max < ASKED_MAX ? max : ASKED_MAX, ids, &n, &more_asked, &w->e);
	if (!err)
		err = loader__new(w->a.store, &w->l, &w->e);
	if (!err)
		err = judge__new(w->l, &w->a.cov, w->a.now_ns, &w->j, &w->e);
	if (!err)
		err = where_subjects(w->l, ids, n, max, w->list, &w->n, &w->more, &w->e);
	if (!err)
		err = answer_as_of(&w->a, w->j, w->list[0].message, &w->e);
	for (size_t i = 0; i < w->n && !err; i++)
		err = show_message(w, &w->list[i]);
	if (!err)
		close_answer(w, more_asked);
	return err ? answer_fail(&w->a, err, &w->e) : EXIT_FOUND;
}

int cmd_where(int argc, char **argv)
{
	static const struct option longopts[] = {{"why", no_argument, NULL, 'w'}, LIMIT_LONGOPT,
		STORE_LONGOPT, JSON_LONGOPT, HELP_LONGOPT, {0}};
	struct common c = {0};
	struct cmd_line line = {"where", help, longopts, &c, 0};
	struct where *w;
	bool why = false;
	int opt, code;

	while ((opt = cmd_option(&line, argc, argv)) > 0)
		why = true;
	if (opt < 0)
		return line.exit_code;
	if (optind == argc) {
		fputs("evtrace where: which message? an id like m42, or what find would look for\n", stderr);
		return EXIT_USAGE;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return EXIT_SYSTEM;
	w->why = why;
	code = answer__open(&w->a, "where", &c, 50);
	if (!code)
		code = run(w, argc - optind, argv + optind);
	judge__free(w->j);
	loader__free(w->l);
	answer__close(&w->a);
	buf_free(&w->line);
	free(w);
	return code;
}
