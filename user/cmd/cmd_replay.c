/* evtrace replay: sends messages again. Shows what it would do; does it with --yes. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "base/timefmt.h"
#include "cmd/answer.h"
#include "replay/apply.h"
#include "replay/audit.h"

#define REPLAY_LIMIT 100
#define REPLAY_MAX   100000 /* with --limit 0 */
#define QUEUES_SHOWN 4

static const char help[] =
	"usage: evtrace replay [OPTION]... ID...|QUERY...\n\n"
	"Sends messages again: those with these ids, or all that a query finds (see evtrace find). Prints "
	"the plan and\n"
	"sends nothing until --yes is given. Each goes to the exchange, topic, stream, list, channel or "
	"subject where it was\n"
	"first published, byte for byte, but for the headers that dead-lettering added and the header "
	"evtrace-replay-of that\n"
	"marks the copy. The broker's confirmation is awaited and recorded; the first message that is not "
	"confirmed ends the\n"
	"replay. Nothing is taken out of any queue.\n\n"
	"  --yes            send\n"
	"  --dry-run        only show the plan; the default\n"
	"  --to PLACE       send there instead: EXCHANGE/KEY (/QUEUE is the default exchange) on RabbitMQ,\n"
	"                   TOPIC or TOPIC/PARTITION on Kafka, KEY on Redis, SUBJECT on NATS\n"
	"  --again          send also what was replayed before\n"
	"  --reason TEXT    noted with the replay\n"
	"  --rate N         at most N messages a second (also written N/s)\n"
	"  --limit N        at most N messages, the newest (100; 0: all)\n"
	"  --broker HOST:PORT\n"
	"                   instead of the address that was recorded\n"
	"  --vhost NAME     instead of the virtual host, or the Redis database, that was recorded\n"
	"  --credentials FILE\n"
	"                   lines user=NAME and password=SECRET and others, see evtrace-replay(1); mode "
	"0600. Without\n"
	"                   it EVTRACE_AMQP_USER and EVTRACE_AMQP_PASSWORD (KAFKA, REDIS, NATS for AMQP),\n"
	"                   ~/.config/evtrace/credentials; guest/guest for RabbitMQ on this machine\n"
	"  --json           one object a line: replay, coverage\n"
	"  --store DIR      the store to ask\n\n"
	"  evtrace replay m42                evtrace replay --yes --reason 'INC-7' queue:billing.dlq "
	"since:1h\n\n"
	"Exit code: 0 done, 1 nothing to send, 2 the query is wrong, 3 a part was not sent, 5 the store, 6 "
	"the broker.\n";

struct replay {
	struct answer a;
	struct common c;
	struct plan_opts po;
	struct apply_opts ao;
	char who[64];
	bool yes, more;
	struct plan *plan;
	struct store *s; /* the writable one */
	struct buf line;
};

enum {
	OPT_YES = 0x200,
	OPT_DRY_RUN,
	OPT_TO,
	OPT_AGAIN,
	OPT_REASON,
	OPT_RATE,
	OPT_BROKER,
	OPT_VHOST,
	OPT_CREDENTIALS,
};

/* Takes the first line off @lines; false when there is none. */
static bool next_line(struct span *lines, struct span *ret)
{
	const uint8_t *end = lines->n ? memchr(lines->p, '\n', lines->n) : NULL;

	if (!end)
		return false;
	*ret = span_of(lines->p, (size_t)(end - lines->p));
	*lines = span_sub(*lines, ret->n + 1, SIZE_MAX);
	return true;
}

/* --- the plan, for people --- */

/* "billing, audit → " */
static void put_queues(struct buf *b, const struct buf *queues)
{
	struct span s = buf_span(queues), one;
	unsigned n = 0;

	while (next_line(&s, &one) && n++ < QUEUES_SHOWN) {
		buf_puts(b, n > 1 ? ", " : "");
		buf_put_span(b, one);
	}
	if (n)
		buf_puts(b, n > QUEUES_SHOWN ? ", … → " : " → ");
}

static void put_why(struct buf *b, const struct plan_item *i)
{
	buf_puts(b, "   ");
	switch (i->why) {
	case PLAN_HEADERS:
		buf_printf(b, "where it was first published (%s)", i->replayer->origin_word);
		break;
	case PLAN_LINK:
		buf_puts(b, "where it was first published (it is a dead-lettered copy)");
		break;
	case PLAN_GIVEN:
		buf_puts(b, "as --to says");
		break;
	case PLAN_OWN:
		buf_puts(b, "where it was published");
	}
}

static void put_place(struct buf *b, const struct plan_item *i)
{
	struct replay_place p = plan_place(i);

	if (i->replayer)
		i->replayer->words(&p, b);
	else
		buf_printf(b, "%s %s", i->exchange, i->routing_key);
}

static size_t family_of(const char *const *families, struct span name)
{
	size_t i = 0;

	while (families && families[i] && !span_starts(name, families[i]))
		i++;
	return i;
}

/* "x-death, x-first-death-*": families are named once. */
static void put_gone(struct buf *b, const struct plan_item *i)
{
	const char *const *families = i->replayer->families;
	struct span s = buf_span(&i->gone), name;
	uint32_t said = 0;
	bool any = false;

	while (next_line(&s, &name)) {
		size_t k = family_of(families, name);
		bool family = families && families[k];

		if (family && said & 1u << k)
			continue;
		buf_puts(b, any ? ", " : " · without ");
		if (family)
			buf_printf(b, "%s*", families[k]);
		else
			buf_put_span(b, name);
		said |= family ? 1u << k : 0;
		any = true;
	}
}

static void put_broker(struct buf *b, const struct plan_item *i)
{
	buf_puts(b, i->broker);
	if (*i->vhost)
		buf_printf(b, ", %s %s", i->replayer->vhost_word, i->vhost);
}

static void end_line(struct replay *r, struct buf *text)
{
	text_safe(&r->line, buf_span(text));
	say_line(stdout, &r->line);
	buf_clear(text);
}

static void put_notes(struct replay *r, const struct plan_item *i, struct buf *text)
{
	struct span s = buf_span(&i->notes), one;

	while (next_line(&s, &one)) {
		put_tone(&r->line, &r->a, TONE_WAIT, "  note    ");
		buf_put_span(text, one);
		end_line(r, text);
	}
}

/* All go to one broker and virtual host: then the headline says it. */
static bool one_broker(const struct plan *p)
{
	for (size_t k = 1; k < p->n; k++)
		if (strcmp(p->items[k].broker, p->items[0].broker) ||
			strcmp(p->items[k].vhost, p->items[0].vhost))
			return false;
	return true;
}

static void show_item(struct replay *r, const struct plan_item *i)
{
	struct buf text = {0};
	char id[24], size[40];

	snprintf(id, sizeof(id), "m%" PRIu64, i->id);
	buf_puts(&r->line, "  ");
	put_tone(&r->line, &r->a, TONE_BOLD, id);
	for (size_t k = strlen(id); k < 8; k++)
		buf_putc(&r->line, ' ');
	if (i->original) /* where it lies now; the queues of a message that was published are where it goes to
			  */
		put_queues(&text, &i->from);
	put_place(&text, i);
	put_why(&text, i);
	end_line(r, &text);
	if (i->refusal) {
		put_tone(&r->line, &r->a, TONE_BAD, "  refused ");
		buf_puts(&text, i->refusal);
		end_line(r, &text);
		buf_free(&text);
		return;
	}
	buf_printf(&text, "          body %s unchanged", fmt_size(size, sizeof(size), i->body_size));
	put_gone(&text, i);
	if (i->replayer->marks)
		buf_printf(&text, " · with " REPLAY_MARK ": %s", id);
	if (!one_broker(r->plan)) {
		buf_puts(&text, " · broker ");
		put_broker(&text, i);
	}
	end_line(r, &text);
	put_notes(r, i, &text);
	buf_free(&text);
}

static void show_plan(struct replay *r)
{
	struct buf text = {0};
	size_t n = r->plan->n - r->plan->refused;

	buf_puts(&text, "Plan: ");
	put_count(&text, n, "message", "messages");
	if (r->plan->refused)
		buf_printf(&text, ", %zu refused", r->plan->refused);
	if (one_broker(r->plan)) {
		buf_puts(&text, ", to the broker at ");
		put_broker(&text, &r->plan->items[0]);
	}
	buf_puts(&text, r->yes ? "." : ". Nothing has been sent.");
	if (r->more)
		buf_printf(&text, " There are more than %zu: --limit 0 takes all.", r->plan->n);
	end_line(r, &text);
	buf_free(&text);
	for (size_t k = 0; k < r->plan->n; k++)
		if (!r->yes || r->plan->items[k].refusal)
			show_item(r, &r->plan->items[k]);
}

/* --- JSON --- */

static void json_list(struct json *j, const char *key, const struct buf *lines)
{
	struct span s = buf_span(lines), one;

	json_key(j, key);
	json_arr(j);
	while (next_line(&s, &one))
		json_span(j, one);
	json_arr_end(j);
}

static const char *target_json(const struct plan_item *i)
{
	switch (i->why) {
	case PLAN_HEADERS:
		return i->replayer->origin_word;
	case PLAN_LINK:
		return "dead-letter-of";
	case PLAN_GIVEN:
		return "to";
	case PLAN_OWN:
		break;
	}
	return "own";
}

static void print_item_json(struct replay *r, const struct plan_item *i, const char *token,
	const char *result, const struct replay_receipt *receipt, const char *reason)
{
	struct json j = {.out = &r->line};

	json_obj(&j);
	json_kv_str(&j, "type", "replay");
	json_id(&j, "id", i->id);
	json_id(&j, "original", i->original);
	json_list(&j, "queues", &i->from);
	json_kv_str(&j, "exchange", i->exchange);
	json_kv_str(&j, "routing_key", i->routing_key);
	json_kv_str(&j, "target", target_json(i));
	json_text(&j, "broker", i->broker);
	json_text(&j, "vhost", i->vhost);
	json_kv_int(&j, "body_size", (int64_t)i->body_size);
	json_list(&j, "headers_removed", &i->gone);
	json_list(&j, "notes", &i->notes);
	json_text(&j, "token", token);
	json_kv_str(&j, "result", result);
	if (receipt) {
		json_text(&j, "log", receipt->log);
		json_text(&j, "broker_id", receipt->mid);
		json_text(&j, "answer", receipt->text);
	}
	json_text(&j, "reason", reason);
	json_obj_end(&j);
	buf_putc(&r->line, '\n');
	fwrite(r->line.p, 1, r->line.n, stdout);
	buf_clear(&r->line);
}

static void print_rest_json(struct replay *r, const char *result)
{
	for (size_t k = 0; k < r->plan->n; k++) {
		const struct plan_item *i = &r->plan->items[k];

		if (i->refusal)
			print_item_json(r, i, "", "not-sent", NULL, i->refusal);
		else if (result)
			print_item_json(r, i, "", result, NULL, "");
	}
}

/* --- sending --- */

static void on_done(void *ctx, const struct plan_item *i, const char *token, enum replay_outcome o,
	const struct replay_receipt *receipt, const struct err *why)
{
	struct replay *r = ctx;
	struct buf text = {0};

	if (r->a.json) {
		print_item_json(r, i, token, outcome_word(o), receipt, why->msg);
		fflush(stdout);
		return;
	}
	buf_printf(&text, "  m%-7" PRIu64, i->id);
	put_place(&text, i);
	buf_printf(&text, "   %s", outcome_word(o));
	if (o != REPLAY_CONFIRMED && o != REPLAY_SENT)
		buf_printf(&text, ": %s", why->msg);
	else if (*receipt->mid)
		buf_printf(&text, ", as %s in %s", receipt->mid, receipt->log);
	else if (i->replayer->marks)
		buf_printf(&text, ", as %s", token);
	if (*receipt->text)
		buf_printf(&text, ": %s", receipt->text);
	end_line(r, &text);
	fflush(stdout);
	buf_free(&text);
}

static bool on_stop(void *ctx)
{
	(void)ctx;
	return interrupted();
}

static int open_writable(struct replay *r, struct err *e)
{
	int err = store__open(store_path(r->a.store), true, &r->s, e);

	if (err == -EACCES || err == -EROFS || err == -EPERM)
		err_hint(e, "a replay is noted in the store, so it must be writable; run it as the store's "
			    "owner");
	return err;
}

/* What became of it is seen by a recorder only. */
static void put_next(const struct replay *r, struct buf *out)
{
	size_t k = 0;

	if (!r->a.cov.running) {
		buf_puts(out, " Nothing is recording, so flow does not show what becomes of it.   "
			      "next: sudo evtrace record -- COMMAND");
		return;
	}
	while (k < r->plan->n && r->plan->items[k].refusal)
		k++;
	if (k < r->plan->n)
		buf_printf(out, "   next: evtrace flow m%" PRIu64, r->plan->items[k].id);
}

static void say_summary(struct replay *r, const struct apply_result *res, size_t wanted)
{
	struct buf text = {0};

	if (r->a.json)
		return;
	if (res->sent == res->confirmed)
		put_count(&text, res->sent, "message sent and confirmed", "messages sent and confirmed");
	else
		put_count(&text, res->sent, "message sent", "messages sent");
	if (res->sent < wanted)
		buf_printf(&text, ", %zu not", wanted - res->sent);
	if (res->sent > res->confirmed)
		buf_printf(&text, ", %zu without a confirmation", res->sent - res->confirmed);
	if (r->plan->refused)
		buf_printf(&text, ", %zu refused by the plan", r->plan->refused);
	buf_puts(&text, ".");
	if (res->sent)
		put_next(r, &text);
	end_line(r, &text);
	buf_free(&text);
}

/* A message that may have arrived, or did not, is a broker's answer; what failed before that says itself. */
static int act_exit(struct replay *r, int err, const struct apply_result *res, struct err *e)
{
	if (err == -EREMOTEIO) {
		if (res->last == REPLAY_UNKNOWN)
			err_hint(e, "it may have arrived: look before sending it with --again");
		cmd_fail("replay", EXIT_BROKER, e);
		return EXIT_BROKER;
	}
	switch (err) {
	case 0:
		return res->stopped || r->plan->refused ? EXIT_PARTIAL : EXIT_FOUND;
	case -EINVAL:
	case -EPERM:
		return cmd_fail("replay", EXIT_USAGE, e);
	case -ENOPKG:
	case -ENOMEM:
	case -ENOSPC:
		return cmd_fail("replay", EXIT_SYSTEM, e);
	case -EBADMSG:
	case -EROFS:
	case -EBUSY:
		return cmd_fail("replay", EXIT_STORE, e);
	default:
		return cmd_fail("replay", EXIT_BROKER, e);
	}
}

static int act(struct replay *r)
{
	size_t wanted = r->plan->n - r->plan->refused;
	struct apply_result res = {0};
	struct err e = {0};
	int err = open_writable(r, &e);

	if (err)
		return cmd_fail("replay", cmd_store_exit(err), &e);
	audit_who(r->who, sizeof(r->who));
	r->ao.who = r->who;
	r->ao.ctx = r;
	r->ao.done = on_done;
	r->ao.stop = on_stop;
	interrupts_catch();
	err = plan_apply(r->plan, r->s, &r->ao, &res, &e);
	if (r->a.json)
		print_rest_json(r, NULL);
	say_summary(r, &res, wanted);
	if (res.stopped)
		fprintf(stderr, "evtrace replay: interrupted after %zu of %zu\n", res.sent, wanted);
	return act_exit(r, err, &res, &e);
}

/* --- the command --- */

/* Ids as typed, or what the query finds. */
static int find_ids(struct replay *r, int argc, char **argv, uint64_t *ids, size_t *ret_n, struct err *e)
{
	size_t max = r->a.limit && r->a.limit < REPLAY_MAX ? r->a.limit : REPLAY_MAX, n = 0;

	for (; n < (size_t)argc && n < max; n++)
		if (argv[n][0] != 'm' || message_id_parse(argv[n], &ids[n]))
			break;
	if (argc > 1 && n == (size_t)argc) {
		for (size_t k = 0; k < n; k++) {
			uint64_t one;
			size_t found;
			int err = resolve_messages(r->a.store, 1, &argv[k], 1, &one, &found, &r->more, e);

			if (err)
				return err;
		}
		*ret_n = n;
		return 0;
	}
	return resolve_messages(r->a.store, argc, argv, max, ids, ret_n, &r->more, e);
}

static int run(struct replay *r, int argc, char **argv)
{
	uint64_t *ids = calloc(REPLAY_MAX, sizeof(*ids));
	int code = EXIT_FOUND, err;
	struct err e = {0};
	size_t n = 0;

	if (!ids)
		return EXIT_SYSTEM;
	err = find_ids(r, argc, argv, ids, &n, &e);
	if (err) {
		free(ids);
		return answer_fail(&r->a, err, &e);
	}
	err = plan__new(r->a.store, ids, n, &r->po, &r->plan, &e);
	free(ids);
	if (err == -EINVAL) /* --to, not the query */
		return cmd_fail("replay", EXIT_USAGE, &e);
	if (err)
		return answer_fail(&r->a, err, &e);
	if (!r->a.json)
		show_plan(r);
	else if (!r->yes || r->plan->n == r->plan->refused)
		print_rest_json(r, "planned");
	if (r->yes && r->plan->n > r->plan->refused)
		code = act(r);
	else if (r->plan->n == r->plan->refused)
		code = EXIT_NONE;
	if (r->a.json)
		print_coverage_json(&r->a, NULL, interrupted());
	if (!r->a.json && !r->yes && code == EXIT_FOUND)
		puts("Add --yes to send. The broker's confirmation is awaited and recorded.");
	return code;
}

/* "5", "0.5", "5/s" */
static int parse_rate(const char *arg, double *ret)
{
	char *end;
	double v = strtod(arg, &end);

	if (end == arg || (*end && strcmp(end, "/s")) || !(v > 0) || v > 1e9) {
		fprintf(stderr, "evtrace replay: --rate takes messages a second, not \"%s\": 5, 0.5, 5/s\n",
			arg);
		return -EINVAL;
	}
	*ret = v;
	return 0;
}

/* 1 taken, 0 not ours, <0 bad. */
static int option(struct replay *r, int opt, char *arg)
{
	switch (opt) {
	case OPT_YES:
		r->yes = true;
		return 1;
	case OPT_DRY_RUN:
		r->yes = false;
		return 1;
	case OPT_TO:
		r->po.to = arg;
		return 1;
	case OPT_AGAIN:
		r->po.again = true;
		return 1;
	case OPT_REASON:
		r->ao.why = arg;
		return 1;
	case OPT_RATE:
		return parse_rate(arg, &r->ao.rate) ? -EINVAL : 1;
	case OPT_BROKER:
		r->po.broker = arg;
		return 1;
	case OPT_VHOST:
		r->po.vhost = arg;
		return 1;
	case OPT_CREDENTIALS:
		r->ao.credentials = arg;
		return 1;
	default:
		return common_option(&r->c, opt, arg);
	}
}

static const struct option longopts[] = {{"yes", no_argument, NULL, OPT_YES},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN}, {"to", required_argument, NULL, OPT_TO},
	{"again", no_argument, NULL, OPT_AGAIN}, {"reason", required_argument, NULL, OPT_REASON},
	{"rate", required_argument, NULL, OPT_RATE}, {"broker", required_argument, NULL, OPT_BROKER},
	{"vhost", required_argument, NULL, OPT_VHOST},
	{"credentials", required_argument, NULL, OPT_CREDENTIALS}, STORE_LONGOPT, JSON_LONGOPT, LIMIT_LONGOPT,
	HELP_LONGOPT, {0}};

static void replay_clear(struct replay *r)
{
	plan__free(r->plan);
	store__close(r->s);
	answer__close(&r->a);
	buf_free(&r->line);
}

int cmd_replay(int argc, char **argv)
{
	struct replay r = {0};
	int opt, code;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":h", longopts, NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			return EXIT_FOUND;
		}
		code = option(&r, opt, optarg);
		if (code <= 0) {
			code = code ? EXIT_USAGE : cmd_bad_option("replay", argc, argv, opt);
			replay_clear(&r);
			return code;
		}
	}
	if (optind == argc) {
		fputs("evtrace replay: which message? an id like m42, or what find would look for\n", stderr);
		replay_clear(&r);
		return EXIT_USAGE;
	}
	code = answer__open(&r.a, "replay", &r.c, REPLAY_LIMIT);
	if (!code)
		code = run(&r, argc - optind, argv + optind);
	replay_clear(&r);
	return code;
}
