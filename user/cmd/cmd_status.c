/* evtrace status: what the store holds, who is writing to it, how far it can be trusted; --verify reads all
 * of it. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "cmd/answer.h"

#define STATUS_LIMIT 10 /* sessions */

static const char help[] =
	"usage: evtrace status [OPTION]...\n\n"
	"What the store holds and who is writing to it: size, recordings, messages and connections by "
	"protocol\n"
	"and state, what was lost or could not be read.\n\n"
	"  --verify         read everything and check it: catalogue, payload blocks, references\n"
	"  --limit N        the newest N recordings (10; 0: all)\n"
	"  --json           one object a line: store, recording.., messages.., connections.., fault.., "
	"coverage\n"
	"  --store DIR      the store to look at\n\n"
	"Exit code: 0 whether or not something is being recorded; 3 --verify found damage; 5 there is no "
	"store, or\n"
	"it cannot be used.\n";

struct status {
	struct answer a;
	struct store_sizes sizes;
	int pid;    /* of the recorder, 0 none */
	bool shown; /* something of the line, or progress */
	struct table *t;
};

typedef void (*row_fn)(struct status *s, sqlite3_stmt *st, struct json *j);

/* Calls @fn for each row; with --json inside an object of @type, which is then printed. */
static int each(struct status *s, const char *type, const char *sql, row_fn fn, struct err *e)
{
	sqlite3 *db = store_db(s->a.store);
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK && sqlite3_bind_parameter_count(st))
		sqlite3_bind_int64(st, 1, s->a.limit ? (int64_t)s->a.limit : -1);
	while (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		struct buf out = {0};
		struct json j = {.out = &out};

		if (s->a.json) {
			json_obj(&j);
			json_kv_str(&j, "type", type);
		}
		fn(s, st, &j);
		if (s->a.json) {
			json_obj_end(&j);
			puts(buf_cstr(&out));
		}
		buf_free(&out);
	}
	if (sqlite3_finalize(st) == SQLITE_OK && rc == SQLITE_OK)
		return 0;
	return err_set(
		e, -EBADMSG, "cannot read the store %s: %s", store_path(s->a.store), sqlite3_errmsg(db));
}

static const char *text(sqlite3_stmt *st, int i)
{
	const char *t = (const char *)sqlite3_column_text(st, i);

	return t ? t : "";
}

/* What a command line holds of line feeds stays on one line. */
static void say_end(sqlite3_stmt *st, int i)
{
	struct buf b = {0};

	text_safe(&b, span_str(text(st, i)));
	say(stdout, "%s\n", buf_cstr(&b));
	buf_free(&b);
}

static const char *protocol_name(int id)
{
	const struct proto *p = proto_by_id((enum proto_id)id);

	return p ? p->name : "";
}

/* --- the store --- */

static void store_json(const struct status *s)
{
	struct buf out = {0};
	struct json j = {.out = &out};

	json_obj(&j);
	json_kv_str(&j, "type", "store");
	json_kv_str(&j, "path", store_path(s->a.store));
	json_kv_int(&j, "version", STORE_VERSION);
	json_kv_bool(&j, "recording", s->a.cov.running);
	if (s->pid)
		json_kv_int(&j, "recorder_pid", s->pid);
	json_kv_int(&j, "catalogue_bytes", (int64_t)s->sizes.catalogue);
	json_kv_int(&j, "block_bytes", (int64_t)s->sizes.blocks);
	json_kv_int(&j, "payload_bytes", (int64_t)s->sizes.payloads);
	json_obj_end(&j);
	puts(buf_cstr(&out));
	buf_free(&out);
}

static void store_text(const struct status *s)
{
	char all[40], catalogue[40], blocks[40], payloads[40];

	say(stdout, "store        %s: %s on disk, %s of it the catalogue", store_path(s->a.store),
		fmt_size(all, sizeof(all), s->sizes.catalogue + s->sizes.blocks),
		fmt_size(catalogue, sizeof(catalogue), s->sizes.catalogue));
	if (s->sizes.blocks)
		say(stdout, ", %s payloads (%s, %.1f times smaller)",
			fmt_size(blocks, sizeof(blocks), s->sizes.blocks),
			fmt_size(payloads, sizeof(payloads), s->sizes.payloads),
			(double)s->sizes.payloads / (double)s->sizes.blocks);
	say(stdout, "\n");
}

static void recorder_text(struct status *s, sqlite3_stmt *st, struct json *j)
{
	int64_t began = sqlite3_column_int64(st, 0), ended = sqlite3_column_int64(st, 1);
	bool importing = s->a.cov.running && strcmp(text(st, 3), "live");
	char when[64], lasted[40];

	(void)j;
	if (!s->a.cov.running)
		say(stdout, "recording    no; the last one %s %s: ",
			sqlite3_column_int(st, 4) ? "was interrupted" : "ended",
			fmt_when(when, sizeof(when), ended, s->a.now_ns));
	else if (importing)
		say(stdout, "recording    no; pid %d is importing ", s->pid);
	else
		say(stdout, "recording    yes, by pid %d since %s, for %s: ", s->pid,
			fmt_when(when, sizeof(when), began, s->a.now_ns),
			fmt_duration(lasted, sizeof(lasted), s->a.now_ns - began));
	say_end(st, importing ? 3 : 2);
}

/* --- counts --- */

static void message_count(struct status *s, sqlite3_stmt *st, struct json *j)
{
	const char *state = message_state_name(
		(enum msg_state)sqlite3_column_int(st, 1), (uint32_t)sqlite3_column_int64(st, 2));
	const char *proto = protocol_name(sqlite3_column_int(st, 0));
	char n[40];

	if (s->a.json) {
		json_text(j, "protocol", proto);
		json_kv_str(j, "state", state);
		json_kv_int(j, "count", sqlite3_column_int64(st, 3));
		return;
	}
	say(stdout, "%s%s %s", s->shown ? ", " : "messages     ",
		fmt_count(n, sizeof(n), (uint64_t)sqlite3_column_int64(st, 3)), state);
	if (*proto)
		say(stdout, " (%s)", proto);
	s->shown = true;
}

static void connection_count(struct status *s, sqlite3_stmt *st, struct json *j)
{
	static const struct {
		const char *name, *words;
	} states[] = {
		[CONN_UNKNOWN] = {"unknown", "too short to tell"},
		[CONN_DECODED] = {"decoded", ""},
		[CONN_OTHER] = {"other", "no broker's (ignored)"},
		[CONN_ENCRYPTED] = {"encrypted", "TLS (unreadable)"},
		[CONN_FAILED] = {"failed", "given up"},
		[CONN_UNREAD] = {"unread", "not read (between servers, or over WebSocket)"},
	};
	unsigned state = (unsigned)sqlite3_column_int(st, 1);
	const char *proto = protocol_name(sqlite3_column_int(st, 0));
	char n[40];

	if (state >= ARRAY_LEN(states))
		state = CONN_UNKNOWN;
	if (s->a.json) {
		json_text(j, "protocol", proto);
		json_kv_str(j, "state", states[state].name);
		json_kv_int(j, "count", sqlite3_column_int64(st, 2));
		return;
	}
	say(stdout, "%s%s %s%s%s", s->shown ? ", " : "connections  ",
		fmt_count(n, sizeof(n), (uint64_t)sqlite3_column_int64(st, 2)), proto,
		*proto && *states[state].words ? " " : "", states[state].words);
	s->shown = true;
}

static int counts(struct status *s, struct err *e)
{
	static const char messages[] =
		"SELECT proto,state,CASE state WHEN 3 THEN flags&0x6000000 ELSE 0 END,count(*) FROM message "
		"GROUP BY 1,2,3 ORDER BY 4 DESC";
	/* Those on which nothing passed are pipes of a program to itself, as a rule. */
	static const char connections[] =
		"SELECT proto,state,count(*) FROM connection WHERE state OR "
		"bytes_to_server OR bytes_to_client OR lost_to_server OR lost_to_client GROUP BY 1,2 ORDER "
		"BY 3 DESC";
	int err;

	_Static_assert(STATE_RETURNED == 3 && (MSGF_REFUSED | MSGF_ABORTED) == 0x6000000, "as above");

	s->shown = false;
	err = each(s, "messages", messages, message_count, e);
	if (!s->a.json)
		say(stdout, s->shown ? "\n" : "messages     none\n");
	s->shown = false;
	if (!err)
		err = each(s, "connections", connections, connection_count, e);
	if (!s->a.json)
		say(stdout, s->shown ? "\n" : "connections  none\n");
	return err;
}

/* --- recordings --- */

static const char sessions_sql[] =
	"SELECT "
	"id,started_ns,ended_ns,running,source,scope,messages,lost_records,lost_bytes,ignored_connections,"
	"host,kernel,version,pid FROM session ORDER BY id DESC LIMIT ?";

static void session_json(struct status *s, sqlite3_stmt *st, struct json *j)
{
	static const char *const states[] = {"ended", "interrupted", "running"};
	bool running = sqlite3_column_int(st, 3);

	json_kv_int(j, "id", sqlite3_column_int64(st, 0));
	json_time(j, "started", sqlite3_column_int64(st, 1));
	json_time(j, "ended", sqlite3_column_int64(st, 2));
	json_kv_str(j, "state", states[running ? 1 + s->a.cov.running : 0]);
	json_kv_str(j, "source", text(st, 4));
	json_kv_str(j, "scope", text(st, 5));
	json_kv_int(j, "messages", sqlite3_column_int64(st, 6));
	json_kv_int(j, "lost_records", sqlite3_column_int64(st, 7));
	json_kv_int(j, "lost_bytes", sqlite3_column_int64(st, 8));
	json_kv_int(j, "ignored_connections", sqlite3_column_int64(st, 9));
	json_text(j, "host", text(st, 10));
	json_text(j, "kernel", text(st, 11));
	json_text(j, "evtrace", text(st, 12));
	json_kv_int(j, "pid", sqlite3_column_int64(st, 13));
}

static void session_row(struct status *s, sqlite3_stmt *st, struct json *j)
{
	int64_t began = sqlite3_column_int64(st, 1), ended = sqlite3_column_int64(st, 2);
	bool running = sqlite3_column_int(st, 3);
	char when[64], lasted[40], messages[40], lost[40] = "";

	(void)j;
	if (running && s->a.cov.running)
		ended = s->a.now_ns;
	fmt_when(when, sizeof(when), began, s->a.now_ns);
	fmt_duration(lasted, sizeof(lasted), ended > began ? ended - began : 0);
	fmt_count(messages, sizeof(messages), (uint64_t)sqlite3_column_int64(st, 6));
	if (sqlite3_column_int64(st, 7))
		fmt_count(lost, sizeof(lost), (uint64_t)sqlite3_column_int64(st, 7));
	table_row(s->t, (const char *const[]){when, lasted,
				!running           ? "ended"
				: s->a.cov.running ? "running"
						   : "interrupted",
				messages, lost, text(st, 4), text(st, 5)});
}

static int recordings(struct status *s, struct err *e)
{
	static const struct column cols[] = {
		{"RECORDED", LEFT, false, 0},
		{"FOR", RIGHT, false, 0},
		{"STATE", LEFT, false, 0},
		{"MESSAGES", RIGHT, false, 0},
		{"LOST", RIGHT, false, 0},
		{"SOURCE", LEFT, false, 0},
		{"SCOPE", LEFT, true, 0},
	};
	int err;

	if (s->a.json)
		return each(s, "recording", sessions_sql, session_json, e);
	say(stdout, "\n");
	s->t = table__new(stdout, cols, ARRAY_LEN(cols), 100);
	if (!s->t)
		return err_set(e, -ENOMEM, "out of memory");
	err = each(s, "", sessions_sql, session_row, e);
	table__end(s->t);
	return err;
}

/* --- verify --- */

static void on_fault(void *ctx, const char *what)
{
	struct status *s = ctx;
	struct buf out = {0};
	struct json j = {.out = &out};

	if (s->shown)
		fputs("\r\x1b[K", stderr);
	s->shown = false;
	if (!s->a.json) {
		say(stderr, "evtrace status: %s\n", what);
		return;
	}
	json_obj(&j);
	json_kv_str(&j, "type", "fault");
	json_kv_str(&j, "text", what);
	json_obj_end(&j);
	puts(buf_cstr(&out));
	buf_free(&out);
}

static bool on_progress(void *ctx, uint64_t done, uint64_t total)
{
	static int64_t last;
	struct status *s = ctx;
	int64_t now = (int64_t)now_mono_ns();

	if (isatty(STDERR_FILENO) && now - last > NS_PER_SEC / 4) {
		fprintf(stderr, "\rverifying: %" PRIu64 " of %" PRIu64 " blocks\x1b[K", done, total);
		s->shown = true;
		last = now;
	}
	return !interrupted();
}

/* An exit code. */
static int verify(struct status *s)
{
	const struct store_verify v = {s, on_fault, on_progress};
	struct err e = {0};
	char size[40];
	int64_t faults;

	interrupts_catch();
	s->shown = false;
	faults = store_verify(s->a.store, &v, &e);
	if (s->shown)
		fputs("\r\x1b[K", stderr);
	if (faults == -EINTR) {
		fputs("evtrace status: interrupted; not all of it was verified\n", stderr);
		return EXIT_PARTIAL;
	}
	if (faults < 0)
		return answer_fail(&s->a, (int)faults, &e);
	if (!s->a.json && !faults)
		say(stdout, "verified     all of it is good: %s of payloads in blocks, and the catalogue\n",
			fmt_size(size, sizeof(size), s->sizes.blocks));
	return faults ? EXIT_PARTIAL : EXIT_FOUND;
}

/* --- all of it --- */

static int show(struct status *s, bool want_verify)
{
	struct buf out = {0};
	struct err e = {0};
	int err, code = EXIT_FOUND;

	err = store_sizes(s->a.store, &s->sizes, &e);
	if (err)
		return answer_fail(&s->a, err, &e);
	if (s->a.json)
		store_json(s);
	else
		store_text(s);
	if (!s->a.json)
		err = each(s, "",
			"SELECT started_ns,ended_ns,scope,source,running FROM session ORDER BY id DESC LIMIT "
			"1",
			recorder_text, &e);
	if (!err && s->a.json)
		err = recordings(s, &e);
	if (!err)
		err = counts(s, &e);
	if (!err && want_verify)
		code = verify(s);
	if (!err && !s->a.json) {
		buf_puts(&out, "coverage     ");
		put_coverage(&out, &s->a, s->a.cov.messages);
		buf_putc(&out, '\n');
		say_buf(stdout, &out);
		buf_free(&out);
		err = recordings(s, &e);
	}
	if (err)
		return answer_fail(&s->a, err, &e);
	if (s->a.json)
		print_coverage_json(&s->a, NULL, interrupted());
	return code;
}

int cmd_status(int argc, char **argv)
{
	static const struct option longopts[] = {{"verify", no_argument, NULL, 'v'}, LIMIT_LONGOPT,
		JSON_LONGOPT, STORE_LONGOPT, HELP_LONGOPT, {0}};
	struct common c = {0};
	struct cmd_line line = {"status", help, longopts, &c, 0};
	struct status s = {0};
	bool want_verify = false;
	int opt, code;

	while ((opt = cmd_option(&line, argc, argv)) > 0)
		want_verify = true;
	if (opt < 0)
		return line.exit_code;
	if (optind < argc) {
		say(stderr, "evtrace status: takes no argument, not \"%s\"\n", argv[optind]);
		fputs("  another store is named with --store DIR\n", stderr);
		return EXIT_USAGE;
	}
	code = answer__open(&s.a, "status", &c, STATUS_LIMIT);
	if (code)
		return code;
	s.pid = store_recorder(s.a.store);
	code = show(&s, want_verify);
	answer__close(&s.a);
	return code;
}
