/* evtrace tail: messages as they come. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/timefmt.h"
#include "cmd/answer.h"

#define POLL_NS (250 * NS_PER_MS)
#define AT_ONCE 10000 /* messages that one look at the store may print before it looks again */

static const char help[] = "usage: evtrace tail [OPTION]... [QUERY]...\n\n"
			   "Messages that match, as they come, oldest first; in the state in which they are "
			   "first seen. Ends with Ctrl-C,\n"
			   "or when the recorder ends.\n\n"
			   "  --since T        first those that came since T (nothing: only new ones)\n"
			   "  --limit N        end after N messages\n"
			   "  --json           one object a line\n"
			   "  --store DIR      the store to follow\n\n"
			   "  evtrace tail                      evtrace tail queue:billing 'total>100'\n\n"
			   "Exit code: 0 when it ended with Ctrl-C, at the limit or with the recorder; 1 "
			   "when nothing is recording and\n"
			   "--since was not given.\n";

/* As message_columns, with room for what comes: no row can be waited for. */
static const struct column tail_columns[] = {
	{"WHEN", LEFT, false, 8},
	{"ID", LEFT, false, 7},
	{"STATE", LEFT, false, 13},
	{"WHERE", LEFT, false, 22},
	{"SIZE", RIGHT, false, 6},
	{"WHAT", LEFT, true, 0},
};

struct tail {
	struct answer a;
	struct err e;
	const struct query *q;
	struct table *t;
	uint64_t last; /* id of the newest message that was looked at */
	uint64_t shown;
};

static bool on_tick(void *ctx, uint64_t searched)
{
	(void)ctx;
	(void)searched;
	return !interrupted();
}

/* Shows what came since the last look. 1: there may be more at once; 0; -errno. */
static int look(struct tail *t)
{
	struct select_opts o = {
		.after = t->last, .oldest_first = true, .since_ns = t->a.since_ns, .tick = on_tick};
	struct select_stats st;
	struct select *sel = NULL;
	struct row r;
	int err, more;

	o.limit = t->a.limit && t->a.limit - t->shown < AT_ONCE ? t->a.limit - t->shown : AT_ONCE;
	err = select__new(t->a.store, t->q, &o, &sel, &t->e);
	if (err)
		return err;
	while ((more = select__next(sel, &r, &t->e)) > 0) {
		t->shown++;
		if (t->a.json)
			print_message_json(&t->a, &r);
		else
			message_row(t->t, &t->a, &r);
	}
	select_stats(sel, &st);
	if (st.searched)
		t->last = st.cursor;
	select__free(sel);
	fflush(stdout);
	return more < 0 ? more : st.limited;
}

/* Messages that are there already and are not asked for. */
static int skip_old(struct tail *t)
{
	struct select_opts o = {.limit = 1};
	struct query *all = NULL;
	struct select *sel = NULL;
	struct row r;
	int err, more = 0;

	err = query__parse("", t->a.now_ns, &all, &t->e);
	if (!err)
		err = select__new(t->a.store, all, &o, &sel, &t->e);
	if (!err)
		more = select__next(sel, &r, &t->e);
	if (more > 0)
		t->last = r.id;
	select__free(sel);
	query__free(all);
	return err ? err : more < 0 ? more : 0;
}

static void nap(void)
{
	struct timespec ts = {.tv_nsec = POLL_NS};

	nanosleep(&ts, NULL); /* a signal ends it early, as it should */
}

static bool at_limit(const struct tail *t)
{
	return t->a.limit && t->shown >= t->a.limit;
}

/* Until somebody or something ends it. 0 or -errno; -EINTR is Ctrl-C. */
static int follow(struct tail *t)
{
	int more = 0;

	for (;;) {
		bool running = t->a.cov.running;

		t->a.now_ns = t->a.until_ns = now_wall_ns();
		more = look(t);
		if (more < 0 || at_limit(t))
			return more < 0 ? more : 0;
		if (interrupted())
			return -EINTR;
		/* one more look after the recorder was seen to have ended: its last rows come with its end */
		if (!more && !running)
			return 0;
		if (!more)
			nap();
		more = store_coverage(t->a.store, &t->a.cov, &t->e);
		if (more < 0)
			return more;
	}
}

static int run(struct tail *t)
{
	struct buf line = {0};
	bool idle = !t->a.cov.running;
	int err = 0;

	if (!t->a.since_ns && idle) {
		say(stderr, "evtrace tail: nobody is recording into this store now\n"
			    "  begin with: sudo evtrace record -- CMD    or ask for what is there: evtrace "
			    "tail --since 1h\n");
		return EXIT_NONE;
	}
	if (!t->a.since_ns)
		err = skip_old(t);
	if (!err)
		err = follow(t);
	table__end(t->t);
	t->t = NULL;
	if (err && err != -EINTR)
		return answer_fail(&t->a, err, &t->e);
	if (!t->a.cov.running)
		t->a.until_ns = t->a.cov.until_ns;
	if (t->a.json) {
		print_coverage_json(&t->a, NULL, err == -EINTR);
		return EXIT_FOUND;
	}
	put_count(&line, t->shown, "message", "messages");
	buf_puts(&line, err == -EINTR ? ". " : at_limit(t) ? ", the limit. " : "; the recorder has ended. ");
	put_as_of(&line, &t->a);
	say_line(stdout, &line);
	buf_free(&line);
	return EXIT_FOUND;
}

int cmd_tail(int argc, char **argv)
{
	static const struct option longopts[] = {
		SINCE_LONGOPT, LIMIT_LONGOPT, STORE_LONGOPT, JSON_LONGOPT, HELP_LONGOPT, {0}};
	struct common c = {0};
	struct cmd_line line = {"tail", help, longopts, &c, 0};
	struct tail t = {0};
	struct query *q = NULL;
	int opt, code;

	opt = cmd_option(&line, argc, argv);
	if (opt < 0)
		return line.exit_code;
	t.a.cmd = "tail";
	code = query__from_args(argc - optind, argv + optind, now_wall_ns(), &q, &t.e);
	if (code)
		return answer_fail(&t.a, code, &t.e);
	code = answer__open(&t.a, "tail", &c, 0);
	if (!code) {
		t.q = q;
		interrupts_catch();
		t.t = t.a.json ? NULL : table__new(stdout, tail_columns, ARRAY_LEN(tail_columns), 1);
		code = run(&t);
		table__end(t.t);
		answer__close(&t.a);
	}
	query__free(q);
	return code;
}
