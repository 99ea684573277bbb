/* evtrace queues: every queue at a glance. */
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/timefmt.h"
#include "cmd/answer.h"
#include "query/queues.h"

static const char help[] =
	"usage: evtrace queues [OPTION]... [NAME]...\n\n"
	"Every queue, or those whose NAME matches (wildcards work): what came and went a second, what waits "
	"and since\n"
	"when, what consumers hold, who they are, how long it takes in the queue and in the consumer.\n\n"
	"  --since T        rates over the time since T (the last minute watched)\n"
	"  --until T        and until T\n"
	"  --all            deleted queues, too\n"
	"  --json           one object a line\n"
	"  --store DIR      the store to ask\n\n"
	"Counts are of what was seen: messages that lay in a queue before recording began are not among "
	"them.\n\n"
	"Exit code: 0 found, 1 no such queue.\n";

struct view {
	struct answer a;
	struct err e;
	bool all, several_vhosts, several_brokers;
	int argc;
	char **argv;
};

static bool wanted(const struct view *v, const struct queue_row *r)
{
	if (!v->argc)
		return v->all || !r->deleted || r->waiting || r->unsettled;
	for (int i = 0; i < v->argc; i++)
		if (!fnmatch(v->argv[i], r->name, 0))
			return true;
	return false;
}

static void put_consumers(struct buf *out, const struct queue_row *r)
{
	unsigned named = 0;

	unsigned all = r->consumers ? r->consumers : r->takers;

	if (!all)
		buf_puts(out, r->no_group        ? "no group seen"
			      : r->idle          ? "none lately"
			      : r->had_unnamed   ? "not known"
			      : r->had_consumers ? "none now"
						 : "none seen");
	for (size_t i = 0; i < QUEUE_SERVICES && r->services[i].n; i++) {
		buf_printf(out, "%s%s", i ? ", " : "", r->services[i].service);
		if (r->services[i].n > 1)
			buf_printf(out, " ×%u", r->services[i].n);
		named += r->services[i].n;
	}
	if (named < all)
		buf_printf(out, ", %u more", all - named);
	if (r->takers)
		buf_puts(out, " (asking)");
}

/* "0.8, 3.1 ms": the unit once when both have it. */
static void put_pair(struct buf *out, bool has, int64_t p50, int64_t p99)
{
	char a[40], b[40], *unit_a, *unit_b;

	if (!has) {
		buf_puts(out, "–");
		return;
	}
	fmt_duration(a, sizeof(a), p50);
	fmt_duration(b, sizeof(b), p99);
	unit_a = strchr(a, ' ');
	unit_b = strchr(b, ' ');
	if (unit_a && unit_b && !strcmp(unit_a, unit_b))
		*unit_a = '\0';
	buf_printf(out, "%s  %s", a, b);
}

static void put_name(struct buf *out, const struct view *v, const struct queue_row *r)
{
	buf_puts(out, r->name);
	if (r->deleted)
		buf_puts(out, " (deleted)");
	if (v->several_vhosts && *r->vhost)
		buf_printf(out, " in %s", r->vhost);
	if (v->several_brokers)
		buf_printf(out, " at %s", r->broker);
}

/* Something is never shown as nothing. */
static void fmt_rate(char *out, size_t n, double per_s)
{
	snprintf(out, n, per_s > 0 && per_s < 0.05 ? "%.2f" : "%.1f",
		per_s > 0 && per_s < 0.005 ? 0.01 : per_s);
}

static void print_row(struct view *v, struct table *t, const struct queue_row *r)
{
	char in[24], out_[24], waiting[40], oldest[40] = "–", unsettled[40], again[40], dead[40];
	struct buf name = {0}, consumers = {0}, in_queue = {0}, in_consumer = {0};

	put_name(&name, v, r);
	put_consumers(&consumers, r);
	put_pair(&in_queue, r->has_queue_time, r->queue_p50, r->queue_p99);
	put_pair(&in_consumer, r->has_consumer_time, r->consumer_p50, r->consumer_p99);
	fmt_rate(in, sizeof(in), (double)r->in / r->window_s);
	fmt_rate(out_, sizeof(out_), (double)r->out / r->window_s);
	if (r->oldest_ns)
		fmt_duration(oldest, sizeof(oldest), r->watched.until_ns - r->oldest_ns);
	fmt_count(waiting, sizeof(waiting), r->waiting);
	fmt_count(unsettled, sizeof(unsettled), r->unsettled);
	fmt_count(again, sizeof(again), r->redelivered);
	fmt_count(dead, sizeof(dead), r->dead);
	if (r->waiting && !r->consumers && !r->takers)
		table_tone(t, 3, TONE_WAIT);
	if (r->dead)
		table_tone(t, 10, TONE_BAD);
	table_row(t, (const char *const[]){buf_cstr(&name), in, out_, waiting, oldest, unsettled,
			     buf_cstr(&consumers), buf_cstr(&in_queue), buf_cstr(&in_consumer), again, dead});
	buf_free(&name);
	buf_free(&consumers);
	buf_free(&in_queue);
	buf_free(&in_consumer);
}

static void json_ms(struct json *j, const char *key, bool has, int64_t ns)
{
	if (!has)
		return;
	json_key(j, key);
	json_double(j, (double)ns / NS_PER_MS);
}

static void print_json(const struct queue_row *r)
{
	struct buf out = {0};
	struct json j = {.out = &out};

	json_obj(&j);
	json_kv_str(&j, "type", "queue");
	json_kv_str(&j, "name", r->name);
	json_kv_str(&j, "vhost", r->vhost);
	json_text(&j, "broker", r->broker);
	json_kv_bool(&j, "deleted", r->deleted);
	json_key(&j, "in_per_s");
	json_double(&j, (double)r->in / r->window_s);
	json_key(&j, "out_per_s");
	json_double(&j, (double)r->out / r->window_s);
	json_key(&j, "window_s");
	json_double(&j, r->window_s);
	json_kv_int(&j, "waiting", (int64_t)r->waiting);
	if (r->oldest_ns)
		json_kv_int(&j, "oldest_ms", (r->watched.until_ns - r->oldest_ns) / NS_PER_MS);
	json_kv_int(&j, "unsettled", (int64_t)r->unsettled);
	json_key(&j, "consumers");
	json_arr(&j);
	for (size_t i = 0; i < QUEUE_SERVICES && r->services[i].n; i++) {
		json_obj(&j);
		json_kv_str(&j, "service", r->services[i].service);
		json_kv_int(&j, "count", r->services[i].n);
		json_obj_end(&j);
	}
	json_arr_end(&j);
	json_kv_int(&j, "subscriptions", r->consumers);
	if (r->takers)
		json_kv_int(&j, "takers", r->takers);
	if (r->no_group)
		json_kv_bool(&j, "no_group", true);
	if (r->had_consumers && !r->consumers && !r->takers && !r->idle)
		json_kv_bool(&j, "consumers_ended", true);
	json_ms(&j, "in_queue_p50_ms", r->has_queue_time, r->queue_p50);
	json_ms(&j, "in_queue_p99_ms", r->has_queue_time, r->queue_p99);
	json_ms(&j, "in_consumer_p50_ms", r->has_consumer_time, r->consumer_p50);
	json_ms(&j, "in_consumer_p99_ms", r->has_consumer_time, r->consumer_p99);
	json_kv_int(&j, "redelivered", (int64_t)r->redelivered);
	json_kv_int(&j, "dead", (int64_t)r->dead);
	json_obj_end(&j);
	puts(buf_cstr(&out));
	buf_free(&out);
}

static bool on_tick(void *ctx, uint64_t copies)
{
	(void)ctx;
	(void)copies;
	return !interrupted();
}

static void close_text(struct view *v, const struct queues *q, size_t shown)
{
	struct buf line = {0};

	if (q->more)
		say(stdout, "There are more than %d queues; name some.\n", QUEUES_MAX);
	put_count(&line, shown, "queue", "queues");
	buf_puts(&line, v->a.since_ns ? ", rates " : ", rates over the last minute watched");
	if (v->a.since_ns) {
		char text[64];

		buf_printf(&line, "since %s", fmt_when(text, sizeof(text), v->a.since_ns, v->a.until_ns));
	}
	buf_puts(&line, ". ");
	put_as_of(&line, &v->a);
	say_line(stdout, &line);
	buf_puts(&line, "next: evtrace find queue:NAME state:waiting");
	say_line(stdout, &line);
	buf_free(&line);
}

static void note_places(struct view *v, const struct queues *q)
{
	for (size_t i = 1; i < q->n; i++) {
		v->several_vhosts |= strcmp(q->rows[i].vhost, q->rows[0].vhost) != 0;
		v->several_brokers |= strcmp(q->rows[i].broker, q->rows[0].broker) != 0;
	}
}

static int nothing(struct view *v)
{
	struct buf line = {0};

	buf_printf(&line, "evtrace queues: no %s was seen in ", v->argc ? "such queue" : "queue");
	put_coverage(&line, &v->a, v->a.cov.messages);
	if (v->a.json)
		print_coverage_json(&v->a, NULL, false);
	say_line(stderr, &line);
	buf_free(&line);
	return EXIT_NONE;
}

static int run(struct view *v)
{
	static const struct column cols[] = {{"DESTINATION", LEFT, false, 0}, {"IN/s", RIGHT, false, 5},
		{"OUT/s", RIGHT, false, 5}, {"WAITING", RIGHT, false, 0}, {"OLDEST", RIGHT, false, 0},
		{"UNSETTLED", RIGHT, false, 0}, {"CONSUMERS", LEFT, false, 0},
		{"IN QUEUE p50 p99", RIGHT, false, 0}, {"IN CONSUMER p50 p99", RIGHT, false, 0},
		{"REDELIVERED", RIGHT, false, 0}, {"DEAD", RIGHT, false, 0}};
	struct queues_opts o = {
		.coverage = &v->a.cov,
		.now_ns = v->a.now_ns,
		.from_ns = v->a.since_ns,
		.to_ns = v->a.before_ns,
		.tick = on_tick,
	};
	struct queues *q = NULL;
	struct table *t;
	size_t shown = 0;
	int err;

	err = queues__new(v->a.store, &o, &q, &v->e);
	if (err == -EINTR) {
		fputs("evtrace queues: interrupted\n", stderr);
		return EXIT_PARTIAL;
	}
	if (err)
		return answer_fail(&v->a, err, &v->e);
	note_places(v, q);
	t = v->a.json ? NULL : table__new(stdout, cols, ARRAY_LEN(cols), q->n + 1);
	for (size_t i = 0; i < q->n; i++) {
		if (!wanted(v, &q->rows[i]))
			continue;
		shown++;
		if (v->a.json)
			print_json(&q->rows[i]);
		else
			print_row(v, t, &q->rows[i]);
	}
	table__end(t);
	if (shown && v->a.json)
		print_coverage_json(&v->a, NULL, false);
	else if (shown)
		close_text(v, q, shown);
	queues__free(q);
	return shown ? EXIT_FOUND : nothing(v);
}

int cmd_queues(int argc, char **argv)
{
	static const struct option longopts[] = {{"all", no_argument, NULL, 'a'}, SINCE_LONGOPT,
		UNTIL_LONGOPT, STORE_LONGOPT, JSON_LONGOPT, HELP_LONGOPT, {0}};
	struct common c = {0};
	struct cmd_line line = {"queues", help, longopts, &c, 0};
	struct view v = {0};
	int opt, code;

	while ((opt = cmd_option(&line, argc, argv)) > 0)
		v.all = true;
	if (opt < 0)
		return line.exit_code;
	code = answer__open(&v.a, "queues", &c, 0);
	if (code)
		return code;
	v.argc = argc - optind;
	v.argv = argv + optind;
	interrupts_catch();
	code = run(&v);
	answer__close(&v.a);
	return code;
}
