/* evtrace flow: what led to a message and what it caused, as a tree over services and queues. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/timefmt.h"
#include "cmd/destination.h"
#include "cmd/sentence.h"
#include "query/tree.h"

#define FLOW_LIMIT 500
#define FLOW_MAX   20000
#define ASKED_MAX  64
#define TIME_WIDTH 13
#define TEXT_WIDTH 100 /* ids stand in a column at most this far right of the times */

static const char help[] =
	"usage: evtrace flow [OPTION]... ID|QUERY...\n\n"
	"What led to a message and what it caused, as a tree: from the first send to the last effect, over\n"
	"services and queues, with times (after the first send) and the evidence for each link.\n\n"
	"  ──▶ a send     ├─▶ a queue that got a copy\n"
	"  ✓ done   ✗ went wrong   ↻ tried again   ● not finished   ? not seen\n\n"
	"  --limit N        at most N messages (500); of a larger flow those nearest to the one asked for\n"
	"  --json           one object a line: a node for each message, a link for each link\n"
	"  --store DIR      the store to ask\n\n"
	"  evtrace flow m42                  evtrace flow 4711\n\n"
	"Exit code: 0 found, 1 nothing found or several flows, 2 the query is wrong.\n";

struct text_line {
	struct buf time, text, note;
	uint64_t id; /* 0: not shown */
};

struct flow {
	struct answer a;
	struct err e;
	struct loader *l;
	struct judge *j;
	struct tree *t;
	int64_t start_ns;
	struct text_line *lines;
	size_t n, cap;
	uint64_t replay;
};

/* --- text --- */

static void put_time(struct flow *f, struct buf *out, const struct tree_line *line)
{
	char text[48], after[40];

	if (!f->start_ns) {
		f->start_ns = line->at_ns;
		fmt_clock(text, sizeof(text), line->at_ns, 3);
	} else if (!line->at_ns) {
		snprintf(text, sizeof(text), "?");
	} else {
		fmt_duration(after, sizeof(after), line->at_ns - f->start_ns);
		snprintf(text, sizeof(text), "%s%s", line->at_ns >= f->start_ns ? "+" : "", after);
	}
	buf_printf(out, "%*s", TIME_WIDTH, text);
}

static void put_branches(struct buf *out, const struct tree_line *line)
{
	for (unsigned d = 1; d < line->depth; d++)
		buf_puts(out, line->last[d] ? "    " : "│   ");
	if (!line->depth)
		return;
	buf_puts(out, line->last[line->depth] ? "└" : "├");
	buf_puts(out, line->kind == LINE_COPY ? "─▶ " : "── ");
}

static const char *sign_of(enum standing s)
{
	if (s == STANDS_RETRIED)
		return "↻";
	switch (standing_tone(s)) {
	case TONE_GOOD:
		return "✓";
	case TONE_BAD:
		return "✗";
	case TONE_WAIT:
		return "●";
	default:
		return "?";
	}
}

static void put_sign(struct flow *f, struct buf *out, enum standing s)
{
	put_tone(out, &f->a, standing_tone(s), sign_of(s));
	buf_putc(out, ' ');
}

static void put_service(struct buf *out, const char *before, const struct msg_copy *c)
{
	if (!c->consumer || !strcmp(c->consumer->service, c->queue))
		return;
	buf_puts(out, before);
	if (*c->consumer->service)
		text_safe(out, span_str(c->consumer->service));
	else
		buf_printf(out, "pid %" PRIu32, c->consumer->pid);
}

/* The time that a delivery took, of all of them when there were several. */
static void put_held(struct buf *out, const struct msg_copy *c)
{
	char text[40];

	if (c->settled_ns && c->delivered_ns)
		buf_puts(out, fmt_held(text, sizeof(text), c->settled_ns - c->delivered_ns));
}

static void put_standing(struct buf *out, const struct finding *v)
{
	const struct msg_copy *c = v->copy;
	char text[40];

	switch (v->kind) {
	case STANDS_DONE:
		if (c->settle == SETTLE_AUTO) { /* being taken was all */
			buf_puts(out, v->message->row.dest == DEST_CHANNEL ? "received" : "taken");
			put_service(out, " by ", c);
			break;
		}
		put_held(out, c);
		put_service(out, ", ", c);
		break;
	case STANDS_WAITING:
		buf_printf(out, "waiting %s", fmt_age(text, sizeof(text), v, v->since_ns));
		break;
	case STANDS_ON_ITS_WAY:
		buf_printf(out, "sent %s ago, not confirmed", fmt_age(text, sizeof(text), v, v->since_ns));
		break;
	case STANDS_DELIVERED:
		buf_puts(out, "delivered");
		put_service(out, " to ", c);
		buf_printf(out, " %s ago, not %s", fmt_age(text, sizeof(text), v, v->since_ns),
			ack_word(&v->message->row));
		break;
	case STANDS_DEAD_LETTERED:
	case STANDS_RETRIED:
		buf_puts(out, *v->reason ? v->reason : "dead-lettered");
		put_service(out, " by ", c);
		break;
	default:
		buf_puts(out, standing_json(v->kind));
		put_service(out, " by ", c);
	}
	if (c->deliveries > 1)
		buf_printf(out, ", %" PRIu32 " deliveries", c->deliveries);
	if (v->kind == STANDS_DEAD_LETTERED || v->kind == STANDS_RETRIED || v->kind == STANDS_REJECTED) {
		buf_puts(out, !c->settled_ns || !c->delivered_ns ? ""
			      : c->deliveries > 1                ? ", the last "
								 : ", ");
		put_held(out, c);
	}
}

static void note_link(struct text_line *out, const struct msg_link *k)
{
	bool away = k->kind == LINK_REPLAY_OF || k->kind == LINK_SAME_FLOW || k->kind == LINK_RETRY_OF;

	buf_puts(&out->note, link_words(k->kind));
	if (away)
		buf_printf(&out->note, " m%" PRIu64, k->src);
	if (k->confidence < 1)
		buf_printf(&out->note, ", %.3g", k->confidence);
	if (*k->evidence) {
		buf_puts(&out->note, ": ");
		text_safe(&out->note, span_str(k->evidence));
	}
}

#define KEY_MAX 40

static bool on_record_key(void *ctx, const struct field *f)
{
	if (!span_is(f->name, "key"))
		return true;
	*(struct span *)ctx = f->text;
	return false;
}

/* What it is, in a word; of a record without a type its key, where that is short text. */
static void put_label(struct flow *f, struct buf *out, struct msg *m)
{
	const struct proto *p = proto_by_id(m->row.proto);
	struct span key = SPAN_EMPTY;
	struct err e;

	if (*row_label(&m->row)) {
		text_safe(out, span_str(row_label(&m->row)));
		return;
	}
	/* a payload that cannot be read has no key to show */
	if (m->row.dest == DEST_LOG && p && p->fields && !loader_payload(f->l, m, &e))
		p->fields(m->row.envelope, on_record_key, &key);
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] < ' ' || key.p[i] > '~')
			key.n = 0;
	if (!key.n || key.n > KEY_MAX)
		buf_puts(out, "message");
	else
		buf_printf(out, "key " SPAN_FMT, SPAN_ARG(key));
}

/* "shop ── order.created ──▶ exchange orders" */
static void put_send(struct flow *f, struct buf *out, const struct tree_line *line)
{
	struct msg *m = line->node->m;
	struct buf from = {0}, to = {0};
	bool sender_shown = line->kind == LINE_EFFECT && line->node->via != NO_NODE;

	if (!sender_shown) {
		const char *who = m->sender ? m->sender->service : "somebody not seen";

		if (m->row.origin == ORIGIN_BROKER || m->row.flags & MSGF_COPIED)
			who = "the broker";
		else if (!m->sender && line->node->link && line->node->link->kind == LINK_REPLAY_OF)
			who = "evtrace replay";
		else if (!*who)
			who = "a process";
		if (!put_replayer(&from, f->l, m))
			buf_puts(&from, who);
		text_safe(out, buf_span(&from));
		buf_puts(out, " ── ");
		buf_free(&from);
	}
	put_label(f, out, m);
	buf_puts(out, " ──▶ ");
	put_destination(&to, &m->row);
	text_safe(out, buf_span(&to));
	buf_free(&to);
}

static int copy_line(struct flow *f, const struct tree_line *line, struct text_line *out)
{
	const struct tree_node *n = line->node;
	struct buf label = {0};
	struct finding v;
	int err = judge_copy(f->j, n->m, line->copy, &v, &f->e);

	if (err)
		return err;
	put_copy_label(&label, &n->m->row, line->copy);
	text_safe(&out->text, buf_span(&label));
	buf_free(&label);
	buf_puts(&out->text, "   ");
	put_sign(f, &out->text, v.kind);
	put_standing(&out->text, &v);
	/* a dead-letter message has no line of its own */
	if (n->parent != NO_NODE && n->link->kind == LINK_DEAD_LETTER_OF)
		out->id = n->m->row.id;
	/* the copy that it made has lines of its own, once it is seen */
	if (v.replayed && !v.replay.before && !v.replay.copy && v.kind != STANDS_WAITING)
		put_replayed(&out->note, &f->a, &v.replay);
	if (!f->replay && !v.replayed && (v.kind == STANDS_DEAD_LETTERED || v.kind == STANDS_REJECTED))
		f->replay = v.dead ? v.dead->row.id : n->m->row.id;
	return 0;
}

static int message_line(struct flow *f, const struct tree_line *line, struct text_line *out)
{
	const struct tree_node *n = line->node;
	struct finding v;
	int err = 0;

	put_send(f, &out->text, line);
	out->id = n->m->row.id;
	if (!n->m->copies_n) {
		err = judge_message(f->j, n->m, &v, &f->e);
		buf_puts(&out->text, "   ");
		if (!err)
			put_sign(f, &out->text, v.kind);
		if (!err)
			buf_puts(&out->text, v.kind == STANDS_KEPT ? "kept, no group was seen to read it"
					     : v.kind == STANDS_NOT_SEEN && n->m->row.dest == DEST_CALL
						     ? "run, what it did is not told"
					     : v.kind == STANDS_NOT_SEEN
						     ? "confirmed, where it went was not seen"
						     : standing_json(v.kind));
	}
	if (n->link)
		note_link(out, n->link);
	return err;
}

static int on_line(void *ctx, const struct tree_line *line)
{
	struct flow *f = ctx;
	struct text_line *out;

	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 64;
		struct text_line *p = reallocarray(f->lines, cap, sizeof(*p));

		if (!p)
			return err_set(&f->e, -ENOMEM, "out of memory");
		f->lines = p;
		f->cap = cap;
	}
	out = &f->lines[f->n++];
	memset(out, 0, sizeof(*out));
	put_time(f, &out->time, line);
	put_branches(&out->text, line);
	return line->kind == LINE_COPY ? copy_line(f, line, out) : message_line(f, line, out);
}

static void print_lines(struct flow *f)
{
	unsigned width = 0, line_width = out_width(), used;
	struct buf line = {0};
	char id[24];

	for (size_t i = 0; i < f->n; i++) {
		unsigned w = text_width(buf_span(&f->lines[i].text));

		width = w > width && w <= TEXT_WIDTH ? w : width;
	}
	for (size_t i = 0; i < f->n; i++) {
		struct text_line *t = &f->lines[i];

		buf_put_span(&line, buf_span(&t->time));
		buf_puts(&line, "  ");
		buf_put_span(&line, buf_span(&t->text));
		if (t->id) {
			for (used = text_width(buf_span(&t->text)); used < width + 2; used++)
				buf_putc(&line, ' ');
			snprintf(id, sizeof(id), "m%" PRIu64, t->id);
			put_tone(&line, &f->a, TONE_BOLD, id);
		}
		if (t->note.n) {
			used = text_width(buf_span(&line)) + 2;
			buf_puts(&line, "  ");
			buf_puts(&line, tone_sgr(TONE_DIM, f->a.color));
			text_cut(&line, buf_span(&t->note),
				line_width == UINT32_MAX ? UINT32_MAX
				: line_width > used + 20 ? line_width - used
							 : 20);
			buf_puts(&line, tone_sgr(TONE_PLAIN, f->a.color));
		}
		say_line(stdout, &line);
	}
	buf_free(&line);
}

static void close_text(struct flow *f, uint64_t asked)
{
	struct buf line = {0};

	if (f->t->total > f->t->n) {
		put_count(&line, f->t->n, "message is", "messages are");
		buf_puts(&line, " shown of ");
		put_count(&line, f->t->total, "message", "messages");
		buf_printf(&line, " of this flow: those nearest to m%" PRIu64 ". --limit shows more.", asked);
		say_line(stdout, &line);
	}
	put_as_of(&line, &f->a);
	say_line(stdout, &line);
	buf_printf(&line, "next: evtrace where m%" PRIu64, asked);
	if (f->replay)
		buf_printf(&line, "   evtrace replay m%" PRIu64, f->replay);
	say_line(stdout, &line);
	buf_free(&line);
}

/* --- JSON --- */

static void print_object(struct buf *out)
{
	buf_putc(out, '\n');
	fwrite(out->p, 1, out->n, stdout);
	buf_clear(out);
}

static int node_json(struct flow *f, const struct tree_node *n, struct buf *out)
{
	struct msg *m = n->m;
	struct json j = {.out = out};
	int err = 0;

	json_obj(&j);
	json_kv_str(&j, "type", "node");
	put_message_json(&j, &f->a, &m->row);
	put_replay_json(&j, f->l, m);
	if (n->parent != NO_NODE) {
		json_id(&j, "parent", f->t->nodes[n->parent].m->row.id);
		json_kv_str(&j, "parent_kind", link_kind_name(n->link->kind));
		if (n->via != NO_NODE)
			json_kv_str(&j, "parent_queue", f->t->nodes[n->parent].m->copies[n->via].queue);
	}
	json_key(&j, "copy_list");
	json_arr(&j);
	for (size_t i = 0; i < m->copies_n && !err; i++) {
		struct finding v;

		err = judge_copy(f->j, m, &m->copies[i], &v, &f->e);
		json_obj(&j);
		if (!err)
			put_copy_json(&j, &f->a, f->j, &v);
		json_obj_end(&j);
	}
	json_arr_end(&j);
	json_obj_end(&j);
	print_object(out);
	return err;
}

static int print_json(struct flow *f)
{
	struct buf out = {0};
	int err = 0;

	for (size_t i = 0; i < f->t->n && !err; i++)
		err = node_json(f, &f->t->nodes[i], &out);
	for (size_t i = 0; i < f->t->n && !err; i++) {
		const struct msg *m = f->t->nodes[i].m;

		for (size_t k = 0; k < m->links_n; k++) {
			struct json j = {.out = &out};

			if (m->links[k].dst != m->row.id)
				continue;
			json_obj(&j);
			put_link_json(&j, &m->links[k]);
			json_obj_end(&j);
			print_object(&out);
		}
	}
	if (!err)
		print_coverage_json(&f->a, NULL, false);
	buf_free(&out);
	return err;
}

/* --- which flow --- */

/* All that was found has to be of one flow; its oldest message stands for it. */
static int one_flow(struct flow *f, const uint64_t *ids, size_t n, int argc, char **argv)
{
	struct msg *first = NULL, *m;
	uint64_t id;
	int err = loader_get(f->l, ids[0], &first, &f->e);

	for (size_t i = 1; i < n && !err; i++) {
		err = loader_get(f->l, ids[i], &m, &f->e);
		if (!err && m->row.flow != first->row.flow) {
			err = resolve_message(f->a.store, argc, argv, &id, &f->e); /* says which there are */
			return err ? err : -EAGAIN;
		}
	}
	return err;
}

static int run(struct flow *f, int argc, char **argv)
{
	size_t max = !f->a.limit || f->a.limit > FLOW_MAX ? FLOW_MAX : (size_t)f->a.limit, n = 0;
	uint64_t ids[ASKED_MAX];
	bool more = false;
	int err;

	err = resolve_messages(f->a.store, argc, argv, ASKED_MAX, ids, &n, &more, &f->e);
	if (!err)
		err = loader__new(f->a.store, &f->l, &f->e);
	if (!err)
		err = judge__new(f->l, &f->a.cov, f->a.now_ns, &f->j, &f->e);
	if (!err)
		err = one_flow(f, ids, n, argc, argv);
	if (!err)
		err = tree__new(f->l, ids[n - 1], max, &f->t, &f->e);
	if (!err)
		err = answer_as_of(&f->a, f->j, f->t->nodes[0].m, &f->e);
	if (!err && f->a.json)
		err = print_json(f);
	if (!err && !f->a.json)
		err = tree_walk(f->t, on_line, f);
	if (err)
		return answer_fail(&f->a, err, &f->e);
	if (!f->a.json) {
		print_lines(f);
		close_text(f, ids[n - 1]);
	}
	return EXIT_FOUND;
}

int cmd_flow(int argc, char **argv)
{
	static const struct option longopts[] = {
		LIMIT_LONGOPT, STORE_LONGOPT, JSON_LONGOPT, HELP_LONGOPT, {0}};
	struct common c = {0};
	struct cmd_line line = {"flow", help, longopts, &c, 0};
	struct flow f = {0};
	int opt, code;

	opt = cmd_option(&line, argc, argv);
	if (opt < 0)
		return line.exit_code;
	if (optind == argc) {
		fputs("evtrace flow: of which message? an id like m42, or what find would look for\n",
			stderr);
		return EXIT_USAGE;
	}
	code = answer__open(&f.a, "flow", &c, FLOW_LIMIT);
	if (!code)
		code = run(&f, argc - optind, argv + optind);
	for (size_t i = 0; i < f.n; i++) {
		buf_free(&f.lines[i].time);
		buf_free(&f.lines[i].text);
		buf_free(&f.lines[i].note);
	}
	free(f.lines);
	tree__free(f.t);
	judge__free(f.j);
	loader__free(f.l);
	answer__close(&f.a);
	return code;
}
