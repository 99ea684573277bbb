/* evtrace find: messages by anything that is in them. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "cmd/answer.h"

#define FIND_LIMIT 100
#define SAMPLE     40                /* rows that decide the table's widths */
#define HOLD_NS    (200 * NS_PER_MS) /* and how long a found one waits for that */

static const char help[] =
	"usage: evtrace find [OPTION]... [QUERY]...\n\n"
	"Finds messages by anything that is in them: body, headers, properties, names. Newest first.\n\n"
	"  words \"a phrase\"             anywhere; at word boundaries, in any case; * and ? are wildcards\n"
	"  name=value  name!=value      a body field, header or property: customer.id=88, x-tenant=acme\n"
	"  name<5  <=  >  >=            numbers compare as numbers, other text as text\n"
	"  service: queue: exchange:    what evtrace knows of it; wildcards work; exchange: is also topic, "
	"stream,\n"
	"  group: broker-id:            subject; group: who reads that; broker-id: offset, stream id, "
	"sequence\n"
	"  key: topic: state: id: has:  topic: is exchange, routing key or queue; has: a field is there\n"
	"  since: until:                14:02, 2026-11-23T14:02:09Z, 5min, 2h\n"
	"  AND OR NOT ( )               AND binds stronger than OR and may be left out\n\n"
	"  --limit N        at most N messages (100; 0: all)\n"
	"  --before ID      older than this one: the next page\n"
	"  --since T, --until T\n"
	"                   only messages of that time\n"
	"  --json           one object a line\n"
	"  --store DIR      the store to ask\n\n"
	"  evtrace find 4711                 evtrace find 'John Doe' state:dead-lettered\n"
	"  evtrace find customer.id=88       evtrace find queue:billing 'total>100' since:1h\n\n"
	"Exit code: 0 found, 1 nothing found, 2 the query is wrong, 3 interrupted or damaged in part.\n";

struct find {
	struct answer a;
	struct table *t;
	int64_t held_since, started, shown;
	bool progress, progress_shown;
};

static void clear_progress(struct find *f)
{
	if (f->progress_shown)
		fputs("\r\x1b[K", stderr);
	f->progress_shown = false;
}

/* "searching: 120 000 of 1 000 000 messages, 410 000/s, 2 s left" once it takes longer than a second. */
static void show_progress(struct find *f, uint64_t searched, int64_t now)
{
	int64_t ran = now - f->started;
	char done[40], all[40], rate[40], left[40];
	double per_s = (double)searched * 1e9 / (double)(ran ? ran : 1);

	if (ran < NS_PER_SEC || now - f->shown < NS_PER_SEC / 4 || searched > f->a.cov.messages)
		return;
	f->shown = now;
	f->progress_shown = true;
	fprintf(stderr, "\rsearching: %s of %s messages, %s/s, %s left\x1b[K",
		fmt_count(done, sizeof(done), searched), fmt_count(all, sizeof(all), f->a.cov.messages),
		fmt_count(rate, sizeof(rate), (uint64_t)per_s),
		fmt_duration(left, sizeof(left),
			per_s > 0 ? (int64_t)((double)(f->a.cov.messages - searched) / per_s * 1e9) : 0));
}

static bool on_tick(void *ctx, uint64_t searched)
{
	struct find *f = ctx;
	int64_t now = (int64_t)now_mono_ns();

	if (f->held_since && now - f->held_since > HOLD_NS) {
		clear_progress(f);
		table_flush(f->t);
		f->held_since = 0;
	}
	if (f->progress)
		show_progress(f, searched, now);
	return !interrupted();
}

static void show_row(struct find *f, const struct row *r)
{
	clear_progress(f);
	if (f->a.json) {
		print_message_json(&f->a, r);
		return;
	}
	message_row(f->t, &f->a, r);
	if (!f->held_since)
		f->held_since = (int64_t)now_mono_ns();
}

/* The last lines: what was searched, what is missing, what to type next. */
static void close_text(struct find *f, const struct query *q, const struct select_stats *st, bool broken)
{
	struct buf out = {0}, text = {0};
	char n[40];

	fmt_count(n, sizeof(n), st->matched);
	if (!st->matched && !broken) {
		buf_puts(&out, "evtrace find: ");
		put_not_found(&text, q);
		text_safe(&out, buf_span(&text));
		buf_puts(&out, " in ");
		put_coverage(&out, &f->a, st->searched);
		buf_putc(&out, '\n');
		if (f->a.cov.encrypted_bytes) {
			char size[40];

			buf_printf(&out, "  %s passed on what is unreadable.\n",
				fmt_size(size, sizeof(size), f->a.cov.encrypted_bytes));
		}
		say_buf(stderr, &out);
	} else if (st->matched) {
		if (st->limited)
			buf_printf(&out, "The newest %s; more with --before m%" PRIu64 ". Searched ", n,
				st->cursor);
		else
			buf_printf(&out, "%s of %s, newest first. Searched ", n, n);
		put_coverage(&out, &f->a, st->searched);
		buf_printf(&out, "\nnext: evtrace where ID   evtrace flow ID   evtrace show ID\n");
		say_buf(stdout, &out);
	}
	buf_free(&out);
	buf_free(&text);
}

static void say_damage(const struct select_stats *st)
{
	struct buf out = {0};

	put_count(&out, st->damaged, "message was", "messages were");
	buf_printf(&out, " searched without the body: %s\n", st->damage.msg);
	say(stderr, "evtrace find: %s", buf_cstr(&out));
	buf_free(&out);
}

static int run(struct find *f, const struct query *q, uint64_t before)
{
	struct select_opts o = {
		.limit = f->a.limit,
		.peek = true,
		.before = before,
		.since_ns = f->a.since_ns,
		.until_ns = f->a.before_ns,
		.tick = on_tick,
		.ctx = f,
	};
	struct select *sel = NULL;
	struct select_stats st = {0};
	struct err e = {0};
	struct row r;
	int err, more = 0;

	err = select__new(f->a.store, q, &o, &sel, &e);
	if (err)
		return answer_fail(&f->a, err, &e);
	while ((more = select__next(sel, &r, &e)) > 0)
		show_row(f, &r);
	clear_progress(f);
	table__end(f->t);
	f->t = NULL;
	select_stats(sel, &st);
	select__free(sel);
	if (st.damaged)
		say_damage(&st);
	if (f->a.json)
		print_coverage_json(&f->a, &st, more == -EINTR);
	else
		close_text(f, q, &st, more < 0);
	if (more == -EINTR) {
		say(stderr,
			"evtrace find: interrupted; what it found so far is above. Go on with --before "
			"m%" PRIu64 "\n",
			st.cursor);
		return EXIT_PARTIAL;
	}
	if (more < 0)
		return answer_fail(&f->a, more, &e);
	return st.damaged ? EXIT_PARTIAL : st.matched ? EXIT_FOUND : EXIT_NONE;
}

int cmd_find(int argc, char **argv)
{
	static const struct option longopts[] = {{"before", required_argument, NULL, 'b'}, SINCE_LONGOPT,
		UNTIL_LONGOPT, LIMIT_LONGOPT, STORE_LONGOPT, JSON_LONGOPT, HELP_LONGOPT, {0}};
	struct common c = {0};
	struct cmd_line line = {"find", help, longopts, &c, 0};
	struct find f = {0};
	struct query *q = NULL;
	struct err e = {0};
	uint64_t before = 0;
	int opt, code;

	while ((opt = cmd_option(&line, argc, argv)) > 0)
		if (message_id_parse(optarg, &before)) {
			fprintf(stderr, "evtrace find: --before takes a message's id, like m42, not \"%s\"\n",
				optarg);
			return EXIT_USAGE;
		}
	if (opt < 0)
		return line.exit_code;
	f.a.cmd = "find";
	code = query__from_args(argc - optind, argv + optind, now_wall_ns(), &q, &e);
	if (code)
		return answer_fail(&f.a, code, &e);
	code = answer__open(&f.a, "find", &c, FIND_LIMIT);
	if (!code) {
		interrupts_catch();
		f.started = (int64_t)now_mono_ns();
		f.progress = isatty(STDERR_FILENO) && isatty(STDOUT_FILENO);
		f.t = f.a.json ? NULL
			       : table__new(stdout, message_columns, ARRAY_LEN(message_columns), SAMPLE);
		code = run(&f, q, before);
		answer__close(&f.a);
	}
	query__free(q);
	return code;
}
