#include "cmd/answer.h"
#include "cmd/destination.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/timefmt.h"

#define EXCERPT_PIPE 160 /* columns of a body in a table that goes to a file or a pipe */

/* --- opening --- */

/* Messages may quote what programs sent, or what a damaged file holds. */
static void say_error(const char *who, const struct err *e, const struct answer *coverage)
{
	struct buf out = {0};

	buf_printf(&out, "evtrace%s%s: ", *who ? " " : "", who);
	text_safe_lines(&out, span_str(e->msg));
	if (coverage) {
		buf_puts(&out, " in ");
		put_coverage(&out, coverage, coverage->cov.messages);
	}
	if (e->hint[0])
		buf_printf(&out, "\n  %s", e->hint);
	buf_putc(&out, '\n');
	say_buf(stderr, &out);
	buf_free(&out);
}

static int bad_time(const char *cmd, const char *option, const char *value)
{
	fprintf(stderr, "evtrace %s: %s takes a time, not \"%s\"\n", cmd, option, value);
	fputs("  write 14:02, 2026-11-23T14:02:09Z, or an age: 90s, 5min, 2h, 3d\n", stderr);
	return EXIT_USAGE;
}

int answer__open(struct answer *a, const char *cmd, const struct common *c, uint64_t default_limit)
{
	char path[PATH_MAX];
	struct err e = {0};
	int err;

	*a = (struct answer){
		.cmd = cmd, .json = c->json, .color = out_color(stdout), .now_ns = now_wall_ns()};
	a->limit = c->limit_set ? c->limit : default_limit;
	if (c->since && parse_time(c->since, a->now_ns, &a->since_ns))
		return bad_time(cmd, "--since", c->since);
	if (c->until && parse_time(c->until, a->now_ns, &a->before_ns))
		return bad_time(cmd, "--until", c->until);
	err = c->store ? snprintf(path, sizeof(path), "%s", c->store) >= (int)sizeof(path) ? -ENAMETOOLONG : 0
		       : store_default_path(path, sizeof(path), &e);
	if (!err)
		err = store__open(path, false, &a->store, &e);
	if (!err && store_load_schemas(path, &e))
		say_error(cmd, &e, NULL); /* bodies that need them are shown without */
	if (!err)
		err = store_coverage(a->store, &a->cov, &e);
	if (err) {
		answer__close(a);
		say_error(cmd, &e, NULL);
		return cmd_store_exit(err);
	}
	a->live = a->cov.running;
	a->until_ns = a->cov.running || a->cov.until_ns > a->now_ns ? a->now_ns : a->cov.until_ns;
	return 0;
}

void answer__close(struct answer *a)
{
	store__close(a->store);
	a->store = NULL;
}

int answer_fail(const struct answer *a, int err, const struct err *e)
{
	switch (err) {
	case -EINVAL: /* a query's fault needs no command's name: it points at the place itself */
		say_error("", e, NULL);
		return EXIT_USAGE;
	case -ENOENT:
	case -ENOTUNIQ:
		say_error(a->cmd, e, err == -ENOENT ? a : NULL);
		if (a->json)
			print_coverage_json(a, NULL, false);
		return EXIT_NONE;
	default:
		say_error(a->cmd, e, NULL);
		return cmd_store_exit(err);
	}
}

void say_line(FILE *f, struct buf *line)
{
	buf_putc(line, '\n');
	say_buf(f, line);
	buf_clear(line);
}

void put_tone(struct buf *out, const struct answer *a, enum tone t, const char *text)
{
	buf_puts(out, tone_sgr(t, a->color && t != TONE_PLAIN));
	buf_puts(out, text);
	buf_puts(out, tone_sgr(TONE_PLAIN, a->color && t != TONE_PLAIN));
}

/* --- words --- */

char *fmt_when(char *out, size_t n, int64_t ns, int64_t day_ns)
{
	time_t sec = ns / NS_PER_SEC, day = day_ns / NS_PER_SEC;
	struct tm tm, today;
	char clock[40], date[24];

	localtime_r(&sec, &tm);
	localtime_r(&day, &today);
	fmt_clock(clock, sizeof(clock), ns, 0);
	if (tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday)
		snprintf(out, n, "%s", clock);
	else if (tm.tm_year == today.tm_year && strftime(date, sizeof(date), "%b %e", &tm))
		snprintf(out, n, "%s %s", date, clock);
	else if (strftime(date, sizeof(date), "%Y-%m-%d", &tm))
		snprintf(out, n, "%s %s", date, clock);
	return out;
}

void put_count(struct buf *out, uint64_t n, const char *one, const char *many)
{
	char text[40];

	buf_printf(out, "%s %s", fmt_count(text, sizeof(text), n), n == 1 ? one : many);
}

void put_who(struct buf *out, const char *service, uint32_t pid, const char *exe)
{
	if (!pid) { /* not seen; perhaps its address was */
		buf_puts(out, *service ? service : "somebody not seen");
		return;
	}
	buf_puts(out, *service ? service : "process");
	if (exe && *exe && strcmp(exe, service))
		buf_printf(out, " (%s, pid %" PRIu32 ")", exe, pid);
	else
		buf_printf(out, " (pid %" PRIu32 ")", pid);
}

void say_buf(FILE *f, const struct buf *b)
{
	text_print(f, buf_span(b));
}

void say(FILE *f, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (text)
		text_print(f, span_str(text));
	free(text);
}

/* --- how far it can be trusted --- */

void put_span(struct buf *out, const struct answer *a)
{
	char from[64], to[64];

	if (!a->cov.since_ns) {
		buf_puts(out, "nothing was recorded yet");
		return;
	}
	fmt_when(from, sizeof(from), a->cov.since_ns, a->now_ns);
	fmt_when(to, sizeof(to), a->cov.until_ns, a->cov.since_ns); /* without the date when it is the same */
	if (a->cov.running)
		buf_printf(out, "since %s", from);
	else
		buf_printf(out, "recorded %s to %s", from, to);
}

/* "a, b" */
static void also(struct buf *out, size_t start)
{
	if (out->n > start)
		buf_puts(out, ", ");
}

void put_losses(struct buf *out, const struct answer *a)
{
	const struct coverage *c = &a->cov;
	size_t start = out->n;
	char size[40];

	if (c->gaps) {
		put_count(out, c->gaps, "gap", "gaps");
		buf_printf(out, " (%s lost)", fmt_size(size, sizeof(size), c->gap_bytes));
	}
	if (c->lost_records) {
		also(out, start);
		put_count(out, c->lost_records, "record lost", "records lost");
	}
	if (!c->gaps && !c->lost_records)
		buf_puts(out, "nothing lost");
	if (c->truncated) {
		also(out, start);
		put_count(out, c->truncated, "body cut at the limit", "bodies cut at the limit");
	}
	if (c->encrypted) {
		also(out, start);
		put_count(out, c->encrypted, "connection", "connections");
		buf_printf(out, " unreadable (TLS%s%s)", c->encrypted_who[0] ? ", " : "", c->encrypted_who);
	}
	if (c->undecoded) {
		also(out, start);
		put_count(out, c->undecoded, "connection", "connections");
		buf_puts(out, " not understood");
	}
}

void put_coverage(struct buf *out, const struct answer *a, uint64_t searched)
{
	put_count(out, searched, "message", "messages");
	buf_puts(out, a->cov.running ? " " : ", ");
	put_span(out, a);
	buf_puts(out, "; ");
	put_losses(out, a);
	buf_puts(out, ".");
}

void put_as_of(struct buf *out, const struct answer *a)
{
	char from[64], to[64];

	if (a->live || !a->cov.since_ns) {
		buf_puts(out, "From ");
		put_coverage(out, a, a->cov.messages);
		return;
	}
	buf_printf(out, "As of %s, when recording ended: ", fmt_when(to, sizeof(to), a->until_ns, a->now_ns));
	put_count(out, a->cov.messages, "message", "messages");
	buf_printf(out, " since %s; ", fmt_when(from, sizeof(from), a->cov.since_ns, a->until_ns));
	put_losses(out, a);
	buf_puts(out, ".");
}

static void json_cov_fields(struct json *j, const struct coverage *c)
{
	json_time(j, "since", c->since_ns);
	json_time(j, "until", c->until_ns);
	json_kv_bool(j, "recording", c->running);
	json_kv_int(j, "messages", (int64_t)c->messages);
	json_kv_int(j, "truncated", (int64_t)c->truncated);
	json_kv_int(j, "gaps", (int64_t)c->gaps);
	json_kv_int(j, "gap_bytes", (int64_t)c->gap_bytes);
	json_kv_int(j, "lost_records", (int64_t)c->lost_records);
	json_kv_int(j, "lost_bytes", (int64_t)c->lost_bytes);
	json_kv_int(j, "encrypted_connections", (int64_t)c->encrypted);
	json_kv_int(j, "encrypted_bytes", (int64_t)c->encrypted_bytes);
	json_text(j, "encrypted_who", c->encrypted_who);
	json_kv_int(j, "undecoded_connections", (int64_t)c->undecoded);
}

void print_coverage_json(const struct answer *a, const struct select_stats *stats, bool was_interrupted)
{
	struct buf out = {0};
	struct json j = {.out = &out};

	json_obj(&j);
	json_kv_str(&j, "type", "coverage");
	if (stats) {
		json_kv_int(&j, "searched", (int64_t)stats->searched);
		json_kv_int(&j, "matched", (int64_t)stats->matched);
		json_kv_bool(&j, "limited", stats->limited);
		if (stats->limited || was_interrupted)
			json_id(&j, "before", stats->cursor);
		json_kv_int(&j, "damaged", (int64_t)stats->damaged);
	}
	json_kv_bool(&j, "interrupted", was_interrupted);
	json_cov_fields(&j, &a->cov);
	json_obj_end(&j);
	puts(buf_cstr(&out));
	buf_free(&out);
}

/* --- messages in lists --- */

const struct column message_columns[6] = {
	{"WHEN", LEFT, false, 8},
	{"ID", LEFT, false, 4},
	{"STATE", LEFT, false, 9},
	{"WHERE", LEFT, false, 0},
	{"SIZE", RIGHT, false, 6},
	{"WHAT", LEFT, true, 0},
};

void put_where(struct buf *out, const struct row *r)
{
	if (r->copies == 1 && r->queue_list_n == 1) {
		put_short_name(out, r, r->queue_list[0]);
		for (unsigned i = 0; i < r->dead_list_n; i++)
			buf_printf(out, "%s%s", i ? ", " : " → ", r->dead_list[i]);
		return;
	}
	if (r->dest == DEST_LOG && *r->routing_key && *r->log) { /* "orders-3": not to be taken for a group */
		buf_puts(out, r->log);
		return;
	}
	put_short_name(out, r, r->exchange);
	if (*r->exchange && *r->routing_key)
		buf_putc(out, '/');
	buf_puts(out, r->routing_key);
}

void put_state(struct buf *out, const struct row *r)
{
	if (r->copies > 1 && r->state == STATE_ACKED)
		buf_printf(out, "acked ×%u", r->copies);
	else if (r->copies > 1)
		buf_printf(out, "%u copies", r->copies);
	else
		buf_puts(out, row_state(r));
}

enum tone state_tone(enum msg_state s)
{
	switch (s) {
	case STATE_ACKED:
		return TONE_GOOD;
	case STATE_QUEUED:
	case STATE_DELIVERED:
	case STATE_REQUEUED:
		return TONE_WAIT;
	case STATE_REJECTED:
	case STATE_DEAD_LETTERED:
	case STATE_RETURNED:
	case STATE_EXPIRED:
	case STATE_PURGED:
		return TONE_BAD;
	default:
		return TONE_PLAIN;
	}
}

/* One line: what is white space in a row becomes one blank. */
static void put_one_line(struct buf *out, struct span s, size_t max)
{
	bool blank = false;

	for (size_t i = 0; i < s.n && out->n < max; i++) {
		uint8_t c = s.p[i];

		if (c == ' ' || (c >= '\t' && c <= '\r')) {
			blank = true;
			continue;
		}
		if (blank)
			buf_putc(out, ' ');
		blank = false;
		buf_putc(out, c < ' ' ? '.' : (char)c); /* cells are C strings: no NUL */
	}
}

void put_what(struct buf *out, const struct row *r, size_t room)
{
	const char *label = row_label(r);
	size_t used = strlen(label) + 1, from = 0, lead;
	struct buf line = {0};

	room = room > used + 30 ? room - used : 30;
	buf_puts(out, label);
	if (r->shown.n) {
		if (*label)
			buf_putc(out, ' ');
		if (r->match_n && r->match_at + r->match_n > room) {
			lead = room > 80 ? 40 : room / 3;
			from = r->match_at > lead ? r->match_at - lead : 0;
			while (from && (r->shown.p[from] & 0xc0) == 0x80)
				from--;
		}
		if (from)
			buf_puts(out, "…");
		put_one_line(&line, span_sub(r->shown, from, 4 * room), 4 * room);
		text_cut(out, buf_span(&line), (unsigned)room);
	}
	buf_free(&line);
}

void message_row(struct table *t, const struct answer *a, const struct row *r)
{
	unsigned width = out_width();
	struct buf where = {0}, what = {0}, state = {0};
	char when[64], id[24], size[40];

	put_where(&where, r);
	put_state(&state, r);
	put_what(&what, r, width == UINT32_MAX ? EXCERPT_PIPE : width > 80 ? width - 50 : 30);
	fmt_when(when, sizeof(when), r->when_ns, a->until_ns);
	snprintf(id, sizeof(id), "m%" PRIu64, r->id);
	fmt_size(size, sizeof(size), r->body_size);
	table_tone(t, 2, strcmp(row_state(r), "dead-lettered") ? state_tone(r->state) : TONE_BAD);
	table_row(t,
		(const char *const[]){when, id, buf_cstr(&state), buf_cstr(&where), size, buf_cstr(&what)});
	buf_free(&where);
	buf_free(&what);
	buf_free(&state);
}

void json_time(struct json *j, const char *key, int64_t ns)
{
	char text[40];

	if (ns)
		json_kv_str(j, key, fmt_rfc3339(text, sizeof(text), ns));
}

void json_id(struct json *j, const char *key, uint64_t id)
{
	char text[24];

	if (!id)
		return;
	snprintf(text, sizeof(text), "m%" PRIu64, id);
	json_kv_str(j, key, text);
}

void json_text(struct json *j, const char *key, const char *text)
{
	if (text && *text)
		json_kv_str(j, key, text);
}

void json_exact(struct json *j, struct span s)
{
	if (span_is_text(s)) {
		json_span(j, s);
		return;
	}
	json_obj(j);
	json_key(j, "base64");
	json_bytes(j, s);
	json_obj_end(j);
}

static void json_list(struct json *j, const char *key, const char *const *list, unsigned n)
{
	json_key(j, key);
	json_arr(j);
	for (unsigned i = 0; i < n; i++)
		json_str(j, list[i]);
	json_arr_end(j);
}

void put_message_json(struct json *j, const struct answer *a, const struct row *r)
{
	static const char *const origins[] = {"", "client", "broker", "unseen"};
	static const char *const dests[] = {"routed", "log", "channel", "call"};
	const struct proto *p = proto_by_id(r->proto);

	(void)a;
	json_id(j, "id", r->id);
	json_id(j, "flow", r->flow);
	json_time(j, "time", r->when_ns);
	json_kv_str(j, "state", row_state(r));
	json_kv_int(j, "copies", r->copies);
	json_list(j, "queues", r->queue_list, r->queue_list_n);
	if (r->dead_list_n)
		json_list(j, "dead_letter_queues", r->dead_list, r->dead_list_n);
	json_text(j, "vhost", r->vhost);
	json_kv_str(j, "destination", dests[r->dest <= DEST_CALL ? r->dest : 0]);
	json_kv_str(j, "exchange", r->exchange);
	json_kv_str(j, "routing_key", r->routing_key);
	json_text(j, "log", r->log);
	json_text(j, "broker_id", r->mid);
	json_text(j, "message_type", r->type);
	json_text(j, "service", r->service);
	if (r->pid)
		json_kv_int(j, "pid", r->pid);
	json_kv_int(j, "body_size", (int64_t)r->body_size);
	json_kv_int(j, "body_kept", (int64_t)r->body_kept);
	json_kv_bool(j, "truncated", r->flags & OPF_TRUNCATED);
	json_kv_bool(j, "gap", r->flags & OPF_GAP);
	if (r->flags & MSGF_COPIED)
		json_kv_str(j, "origin", origins[ORIGIN_BROKER]);
	else if (r->origin >= ORIGIN_CLIENT && r->origin <= ORIGIN_UNSEEN)
		json_kv_str(j, "origin", origins[r->origin]);
	json_text(j, "protocol", p ? p->name : "");
}

void print_message_json(const struct answer *a, const struct row *r)
{
	struct buf out = {0}, what = {0};
	struct json j = {.out = &out};

	json_obj(&j);
	json_kv_str(&j, "type", "message");
	put_message_json(&j, a, r);
	put_what(&what, r, 160);
	json_kv_span(&j, "excerpt", buf_span(&what));
	json_obj_end(&j);
	puts(buf_cstr(&out));
	buf_free(&out);
	buf_free(&what);
}

/* --- Ctrl-C --- */

static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	(void)sig;
	caught = 1;
}

void interrupts_catch(void)
{
	/* writes go on: a full pipe must not lose what was found */
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

void interrupts_end_reads(void)
{
	static const int signals[] = {SIGINT, SIGTERM};
	struct sigaction sa;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		sigaction(signals[i], NULL, &sa);
		sa.sa_flags &= ~SA_RESTART;
		sigaction(signals[i], &sa, NULL);
	}
}

bool interrupted(void)
{
	return caught;
}
