/* evtrace record: live source -> (record file) -> pipeline, for as long as the command runs or until a
 * signal. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/number.h"
#include "base/timefmt.h"
#include "capture/live.h"
#include "capture/recfile.h"
#include "cmd/cmd.h"
#include "cmd/text.h"
#include "pipeline.h"
#include "proto/proto.h"

#define LIST_MAX      64
#define POLL_MS       200
#define STATUS_NS     (500 * NS_PER_MS)
#define END_WAIT_NS   (10 * NS_PER_SEC) /* after a signal, for the command to end by itself */
#define DRAIN_POLLS   2                 /* looks that must find nobody of its tree before that is believed */
#define PAYLOAD_MAX   (128ull << 20)    /* a block of the store holds two of them */
#define RING_SIZE_MAX (1ull << 30)

static const char help[] =
	"usage: evtrace record SCOPE [OPTION]...\n"
	"       evtrace record [OPTION]... -- COMMAND [ARGUMENT]...\n"
	"\n"
	"Watches programs from outside and stores every message that they exchange with their brokers. Ends "
	"with\n"
	"COMMAND or the --pid processes and all their descendants, or by Ctrl-C.\n"
	"\n"
	"Whose messages (any of these; at least one):\n"
	"  -- COMMAND...         run COMMAND; it and all its descendants\n"
	"  --pid PID             a running process and all its descendants, present and future\n"
	"  --cgroup PATH         everything in a control group (v2) and below: system.slice/shop.service\n"
	"  --comm NAME           processes of that name\n"
	"  --all                 every process on this host\n"
	"  --port PORT           only connections with PORT at either end; alone, of every process\n"
	"Except:\n"
	"  --exclude-pid PID, --exclude-comm NAME, --exclude-port PORT\n"
	"Lists can be given with commas or by repeating the option. evtrace never records itself.\n"
	"\n"
	"Where to:\n"
	"  --store DIR           default: $EVTRACE_STORE, else /var/lib/evtrace as root\n"
	"  --raw FILE            also write what was captured, for evtrace import; FILE must not exist\n"
	"  --no-store            with --raw: only that\n"
	"How:\n"
	"  --user NAME           run COMMAND as NAME instead of as who records\n"
	"  --payload-limit SIZE  bytes kept of a message's body, 1M by default; more is counted, never "
	"silent\n"
	"  --ring SIZE           buffer between kernel and evtrace, 64M by default; larger survives longer "
	"bursts\n"
	"\n"
	"Exit code: that of COMMAND, 128 and its number when a signal ended it; 0 where none is run. Where "
	"recording\n"
	"itself fails: 2 for a wrong command line; 4 when the machine does not allow it (evtrace doctor says "
	"why) or\n"
	"the disk filled; 5 when the store cannot be used.\n";

enum {
	OPT_PID = 1,
	OPT_CGROUP,
	OPT_COMM,
	OPT_PORT,
	OPT_ALL,
	OPT_EXCLUDE_PID,
	OPT_EXCLUDE_COMM,
	OPT_EXCLUDE_PORT,
	OPT_RAW,
	OPT_NO_STORE,
	OPT_USER,
	OPT_PAYLOAD,
	OPT_RING,
};

static const struct option longopts[] = {{"pid", required_argument, NULL, OPT_PID},
	{"cgroup", required_argument, NULL, OPT_CGROUP}, {"comm", required_argument, NULL, OPT_COMM},
	{"port", required_argument, NULL, OPT_PORT}, {"all", no_argument, NULL, OPT_ALL},
	{"exclude-pid", required_argument, NULL, OPT_EXCLUDE_PID},
	{"exclude-comm", required_argument, NULL, OPT_EXCLUDE_COMM},
	{"exclude-port", required_argument, NULL, OPT_EXCLUDE_PORT},
	{"raw", required_argument, NULL, OPT_RAW}, {"no-store", no_argument, NULL, OPT_NO_STORE},
	{"user", required_argument, NULL, OPT_USER}, {"payload-limit", required_argument, NULL, OPT_PAYLOAD},
	{"ring", required_argument, NULL, OPT_RING}, STORE_LONGOPT, HELP_LONGOPT, {0}};

struct args {
	pid_t pids[LIST_MAX], not_pids[LIST_MAX];
	uint16_t ports[LIST_MAX], not_ports[LIST_MAX];
	const char *cgroups[LIST_MAX], *comms[LIST_MAX], *not_comms[LIST_MAX];
	struct live_opts live;
	struct common common;
	const char *raw, *user;
	bool no_store;
	uint64_t payload_limit;
	char **command; /* NULL-terminated, or NULL */
	char scope[256];
};

struct record {
	const struct args *args;
	struct live *live;
	struct recfile *raw;
	struct pipeline *pipeline;
	struct sink sink;
	char store[4096];
	/* the command */
	pid_t child;
	int go, failed; /* pipes: written to start it; its errno if it cannot be run */
	bool child_ended;
	int child_status;
	/* the status line */
	bool tty, warned;
	int64_t started_ns, next_status_ns, last_status_ns;
	struct pipeline_stats last;
	uint64_t last_bytes;
};

/* --- command line --- */

static int usage_error(const char *fmt, const char *arg, const char *hint)
{
	struct err e = {0};

	err_set(&e, -EINVAL, fmt, arg);
	err_hint(&e, "%s", hint);
	return cmd_fail("record", EXIT_USAGE, &e);
}

/* Splits "a,b" in place; each part goes to @add. False: said on stderr. */
static bool each_part(char *arg, bool (*add)(struct args *, const char *, bool), struct args *a, bool exclude)
{
	for (char *part = strtok(arg, ","); part; part = strtok(NULL, ","))
		if (!add(a, part, exclude))
			return false;
	return true;
}

static bool room(size_t n)
{
	if (n < LIST_MAX)
		return true;
	usage_error("%s", "too many values for one option", "64 are the most");
	return false;
}

static bool add_pid(struct args *a, const char *text, bool exclude)
{
	size_t *n = exclude ? &a->live.scope.exclude_pids_n : &a->live.scope.pids_n;
	uint64_t v;

	if (parse_u64(text, 1, INT32_MAX, &v)) {
		usage_error("\"%s\" is no process number", text, "pgrep -f NAME finds them");
		return false;
	}
	if (!room(*n))
		return false;
	(exclude ? a->not_pids : a->pids)[(*n)++] = (pid_t)v;
	return true;
}

static bool add_port(struct args *a, const char *text, bool exclude)
{
	size_t *n = exclude ? &a->live.scope.exclude_ports_n : &a->live.scope.ports_n;
	uint64_t v;

	if (parse_u64(text, 1, 65535, &v)) {
		usage_error("\"%s\" is no port", text, "a port is a number from 1 to 65535, 5672 for AMQP");
		return false;
	}
	if (!room(*n))
		return false;
	(exclude ? a->not_ports : a->ports)[(*n)++] = (uint16_t)v;
	return true;
}

static bool add_comm(struct args *a, const char *text, bool exclude)
{
	size_t *n = exclude ? &a->live.scope.exclude_comms_n : &a->live.scope.comms_n;

	if (!room(*n))
		return false;
	(exclude ? a->not_comms : a->comms)[(*n)++] = text;
	return true;
}

static bool add_cgroup(struct args *a, const char *text, bool exclude)
{
	(void)exclude;
	if (!room(a->live.scope.cgroups_n))
		return false;
	a->cgroups[a->live.scope.cgroups_n++] = text;
	return true;
}

static int set_size(const char *text, uint64_t max, const char *option, uint64_t *ret)
{
	char max_text[40];
	struct err e = {0};
	uint64_t v;

	if (!parse_size(text, &v) && v && v <= max) {
		*ret = v;
		return 0;
	}
	err_set(&e, -EINVAL, "%s takes a size up to %s, not \"%s\"", option,
		fmt_size(max_text, sizeof(max_text), max), text);
	err_hint(&e, "like 512k, 64M or 1G");
	return cmd_fail("record", EXIT_USAGE, &e);
}

/* 0, or an exit code. */
static int take_option(struct args *a, int opt, char *arg)
{
	uint64_t ring = 0;
	int code;

	switch (opt) {
	case OPT_PID:
	case OPT_EXCLUDE_PID:
		return each_part(arg, add_pid, a, opt == OPT_EXCLUDE_PID) ? 0 : EXIT_USAGE;
	case OPT_COMM:
	case OPT_EXCLUDE_COMM:
		return each_part(arg, add_comm, a, opt == OPT_EXCLUDE_COMM) ? 0 : EXIT_USAGE;
	case OPT_PORT:
	case OPT_EXCLUDE_PORT:
		return each_part(arg, add_port, a, opt == OPT_EXCLUDE_PORT) ? 0 : EXIT_USAGE;
	case OPT_CGROUP:
		return each_part(arg, add_cgroup, a, false) ? 0 : EXIT_USAGE;
	case OPT_ALL:
		a->live.scope.all = true;
		return 0;
	case OPT_RAW:
		a->raw = arg;
		return 0;
	case OPT_NO_STORE:
		a->no_store = true;
		return 0;
	case OPT_USER:
		a->user = arg;
		return 0;
	case OPT_PAYLOAD:
		return set_size(arg, PAYLOAD_MAX, "--payload-limit", &a->payload_limit);
	case OPT_RING:
		code = set_size(arg, RING_SIZE_MAX, "--ring", &ring);
		a->live.ring_bytes = ring;
		return code;
	default:
		return common_option(&a->common, opt, arg) > 0 ? 0 : EXIT_USAGE;
	}
}

/* What is watched, in words, for the session and the record file. */
static void describe_scope(struct args *a)
{
	const struct live_scope *s = &a->live.scope;
	struct buf b = {0};

	if (a->command) {
		buf_puts(&b, "--");
		for (char **w = a->command; *w; w++)
			buf_printf(&b, " %s", *w);
	}
	if (s->all)
		buf_puts(&b, " all");
	for (size_t i = 0; i < s->pids_n; i++)
		buf_printf(&b, " pid %d", (int)s->pids[i]);
	for (size_t i = 0; i < s->cgroups_n; i++)
		buf_printf(&b, " cgroup %s", s->cgroups[i]);
	for (size_t i = 0; i < s->comms_n; i++)
		buf_printf(&b, " comm %s", s->comms[i]);
	for (size_t i = 0; i < s->ports_n; i++)
		buf_printf(&b, " port %u", s->ports[i]);
	for (size_t i = 0; i < s->exclude_pids_n; i++)
		buf_printf(&b, " not pid %d", (int)s->exclude_pids[i]);
	for (size_t i = 0; i < s->exclude_comms_n; i++)
		buf_printf(&b, " not comm %s", s->exclude_comms[i]);
	for (size_t i = 0; i < s->exclude_ports_n; i++)
		buf_printf(&b, " not port %u", s->exclude_ports[i]);
	snprintf(a->scope, sizeof(a->scope), "%s", buf_cstr(&b) + (b.n && b.p[0] == ' '));
	buf_free(&b);
}

/* Once they have ended, nothing can come into the scope any more. */
static bool only_pids(const struct live_scope *s)
{
	return s->pids_n && !s->all && !s->cgroups_n && !s->comms_n;
}

static int check_args(const struct args *a)
{
	const struct live_scope *s = &a->live.scope;

	if (!a->command && !s->all && !s->pids_n && !s->cgroups_n && !s->comms_n && !s->ports_n)
		return usage_error("%s", "it is not said whose messages to record",
			"evtrace record -- COMMAND, or --pid, --cgroup, --comm, --port; --all for every "
			"process on "
			"this host");
	if (a->no_store && !a->raw)
		return usage_error(
			"%s", "--no-store without --raw FILE would record nothing", "give one of the two");
	if (a->user && !a->command)
		return usage_error(
			"--user %s needs a command to run", a->user, "evtrace record --user NAME -- COMMAND");
	return 0;
}

/* 0: go on; else *ret is the exit code. */
static int parse_args(int argc, char **argv, struct args *a, int *ret)
{
	int opt, code = 0;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+:h", longopts, NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			*ret = EXIT_FOUND;
			return 1;
		}
		code = opt == '?' || opt == ':' ? cmd_bad_option("record", argc, argv, opt)
						: take_option(a, opt, optarg);
		if (code)
			goto out;
	}
	if (optind < argc && strcmp(argv[optind - 1], "--")) {
		code = usage_error("\"%s\" is no option", argv[optind],
			"a command to run stands behind --: evtrace record -- COMMAND");
		goto out;
	}
	if (optind < argc)
		a->command = argv + optind;
	a->live.scope.pids = a->pids;
	a->live.scope.pids_counted = !a->command && only_pids(&a->live.scope);
	a->live.scope.exclude_pids = a->not_pids;
	a->live.scope.ports = a->ports;
	a->live.scope.exclude_ports = a->not_ports;
	a->live.scope.comms = a->comms;
	a->live.scope.exclude_comms = a->not_comms;
	a->live.scope.cgroups = a->cgroups;
	code = check_args(a);
	describe_scope(a);
out:
	*ret = code;
	return code;
}

/* --- the command --- */

static volatile sig_atomic_t signals; /* SIGINT and SIGTERM so far */
static volatile sig_atomic_t to_forward;

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	(void)ctx;
	signals++;
	/* A terminal's Ctrl-C goes to the whole foreground group: the command has it already. */
	if (info->si_code != SI_KERNEL)
		to_forward = sig;
}

static void catch_signals(void)
{
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int become(const struct passwd *pw)
{
	if (initgroups(pw->pw_name, pw->pw_gid) || setgid(pw->pw_gid) || setuid(pw->pw_uid))
		return -errno;
	setenv("HOME", pw->pw_dir, 1);
	setenv("USER", pw->pw_name, 1);
	setenv("LOGNAME", pw->pw_name, 1);
	return 0;
}

/* In the child: waits until it is watched, then becomes the command. */
static void run_command(char **command, const struct passwd *pw, int go, int failed)
{
	char byte;
	int err;

	while (read(go, &byte, 1) != 1)
		if (errno != EINTR)
			_exit(0); /* the recorder gave up */
	if (!pw || !become(pw))
		execvp(command[0], command);
	err = errno;
	if (write(failed, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

static int prepare_command(struct record *r, struct err *e)
{
	const struct passwd *pw = NULL;
	int go[2], failed[2];

	if (r->args->user) {
		pw = getpwnam(r->args->user);
		if (!pw)
			return err_set(e, -EINVAL, "there is no user \"%s\"", r->args->user);
	}
	if (pipe2(go, O_CLOEXEC) || pipe2(failed, O_CLOEXEC))
		return err_set(e, -errno, "cannot make a pipe: %s", strerror(errno));
	r->child = fork();
	if (r->child < 0)
		return err_set(e, -errno, "cannot start a process: %s", strerror(errno));
	if (!r->child) {
		close(go[1]);
		close(failed[0]);
		run_command(r->args->command, pw, go[0], failed[1]);
	}
	close(go[0]);
	close(failed[1]);
	r->go = go[1];
	r->failed = failed[0];
	return 0;
}

/* -ENOENT and others of execvp(). */
static int start_command(struct record *r, struct err *e)
{
	int err = 0;

	if (write(r->go, "", 1) != 1)
		return err_set(e, -EPIPE, "the command's process ended before it began");
	close(r->go);
	r->go = -1;
	if (read(r->failed, &err, sizeof(err)) != sizeof(err))
		return 0; /* closed by exec */
	err_set(e, -err, "cannot run \"%s\": %s", r->args->command[0],
		err == ENOENT ? "there is no such command" : strerror(err));
	return -err;
}

static void reap_command(struct record *r)
{
	int status;

	if (!r->child || r->child_ended || waitpid(r->child, &status, WNOHANG) != r->child)
		return;
	r->child_ended = true;
	r->child_status = status;
}

/* As a shell has it. One that outlived the recording has none. */
static int command_exit(const struct record *r)
{
	int st = r->child_status;

	if (!r->child_ended)
		return 0;
	return WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
}

static void tell_command_end(const struct record *r, size_t alive)
{
	int st = r->child_status;

	if (alive)
		fprintf(stderr,
			"evtrace record: %zu process%s of %s still run%s, and %s not recorded any more\n",
			alive, alive > 1 ? "es" : "", r->args->command[0], alive > 1 ? "" : "s",
			alive > 1 ? "are" : "is");
	if (!r->child_ended || !st)
		return;
	if (WIFSIGNALED(st))
		fprintf(stderr, "evtrace record: %s was ended by SIG%s\n", r->args->command[0],
			sigabbrev_np(WTERMSIG(st)));
	else
		fprintf(stderr, "evtrace record: %s ended with exit code %d\n", r->args->command[0],
			WEXITSTATUS(st));
}

/* --- while it runs --- */

static unsigned stderr_width(void)
{
	struct winsize ws;

	return !ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) && ws.ws_col ? ws.ws_col : 80;
}

static void clear_status(const struct record *r)
{
	if (r->tty)
		fputs("\r\033[K", stderr);
}

static uint64_t per_second(uint64_t now, uint64_t before, int64_t ns)
{
	return ns > 0 && now > before ? (uint64_t)((double)(now - before) * 1e9 / (double)ns) : 0;
}

static void put_connections(struct buf *b, const struct pipeline_stats *p)
{
	size_t before = b->n;

	for (unsigned id = 0; id < PIPELINE_PROTOS; id++) {
		const struct proto *proto = p->conns_by_proto[id] ? proto_by_id(id) : NULL;

		if (proto)
			buf_printf(b, "%s%s %llu", b->n > before ? " · " : "", proto->name,
				(unsigned long long)p->conns_by_proto[id]);
	}
	if (b->n == before)
		buf_puts(b, "no broker seen yet");
	if (p->conns_other)
		buf_printf(b, " · other %llu (ignored)", (unsigned long long)p->conns_other);
	if (p->conns_encrypted)
		buf_printf(b, " · TLS %llu (unreadable)", (unsigned long long)p->conns_encrypted);
}

static void show_status(struct record *r)
{
	struct pipeline_stats p = {0};
	struct live_stats ls;
	struct buf b = {0}, line = {0};
	char t1[40], t2[40], t3[40];
	int64_t now = (int64_t)now_mono_ns(), up, since;

	if (!r->tty || now < r->next_status_ns)
		return;
	since = now - r->last_status_ns;
	r->next_status_ns = now + STATUS_NS;
	r->last_status_ns = now;
	live__stats(r->live, &ls);
	if (r->pipeline)
		pipeline__stats(r->pipeline, &p);
	up = (now_wall_ns() - r->started_ns) / NS_PER_SEC;
	buf_printf(&b, "● %02d:%02d:%02d  ", (int)(up / 3600), (int)(up / 60 % 60), (int)(up % 60));
	if (!r->args->no_store)
		buf_printf(&b, "%s msg/s  ",
			fmt_count(t1, sizeof(t1), per_second(p.messages, r->last.messages, since)));
	buf_printf(&b, "%s/s   ", fmt_size(t2, sizeof(t2), per_second(ls.bytes, r->last_bytes, since)));
	put_connections(&b, &p);
	buf_printf(&b, "   lost %s", fmt_count(t3, sizeof(t3), ls.lost_records));
	if (!r->args->no_store)
		buf_printf(&b, "   store %s", fmt_size(t1, sizeof(t1), p.store_bytes));
	text_cut(&line, buf_span(&b), stderr_width() - 1);
	clear_status(r);
	text_print(stderr, buf_span(&line));
	fflush(stderr);
	r->last = p;
	r->last_bytes = ls.bytes;
	buf_free(&b);
	buf_free(&line);
}

/* The store cannot take more: said once, at once; capture goes on. */
static void warn_store(struct record *r)
{
	struct pipeline_stats p;

	if (!r->pipeline || r->warned)
		return;
	pipeline__stats(r->pipeline, &p);
	if (!p.error)
		return;
	r->warned = true;
	clear_status(r);
	fprintf(stderr,
		"evtrace record: %s\n  recording goes on in memory and tries again; what does not fit is "
		"counted\n",
		p.error_text);
}

/* Signals: passed on to the command, which then has a while to end; a second one is final. */
static bool should_stop(struct record *r, int64_t *stop_at)
{
	if (to_forward && r->child && !r->child_ended)
		kill(r->child, to_forward);
	to_forward = 0;
	if (!signals)
		return false;
	if (!r->child || r->child_ended || signals > 1)
		return true;
	if (!*stop_at)
		*stop_at = (int64_t)now_mono_ns() + END_WAIT_NS;
	return (int64_t)now_mono_ns() > *stop_at;
}

static int watch(struct record *r, struct err *e)
{
	int64_t stop_at = 0;
	int err, quiet = 0;

	while (!should_stop(r, &stop_at)) {
		err = live_poll(r->live, &r->sink, POLL_MS);
		if (err && err != -EINTR)
			return err_set(e, err, "cannot go on recording: %s", strerror(-err));
		show_status(r);
		warn_store(r);
		reap_command(r);
		if ((r->child_ended || r->args->live.scope.pids_counted) && !live_processes(r->live))
			quiet++;
		else
			quiet = 0;
		if (quiet >= DRAIN_POLLS)
			break;
	}
	err = live_drain(r->live, &r->sink);
	return err < 0 ? err_set(e, err, "cannot go on recording: %s", strerror(-err)) : 0;
}

/* --- begin and end --- */

static int open_raw(struct record *r, struct err *e)
{
	struct sink next = r->sink;
	char host[64] = "";
	int err;

	if (!r->args->raw)
		return 0;
	gethostname(host, sizeof(host) - 1);
	err = recfile__create(r->args->raw, r->args->scope, host, &r->raw, e);
	if (!err)
		recfile_sink(r->raw, &next, &r->sink);
	return err;
}

static void on_secret(void *ctx, uint64_t endpoint, enum dir d, uint64_t pos, uint64_t n)
{
	struct record *r = ctx;

	if (r->raw)
		recfile_mask(r->raw, endpoint, d, pos, n);
}

/* Also without a store: it tells what need not be captured, and what is secret. */
static int open_pipeline(struct record *r, struct err *e)
{
	struct pipeline_opts opts = {
		.session = {.source = "live",
			.scope = r->args->scope,
			.version = EVTRACE_VERSION,
			.started_ns = r->started_ns},
		.payload_limit = r->args->payload_limit,
		.verdict = live_verdict,
		.verdict_ctx = r->live,
		.secret = on_secret,
		.secret_ctx = r,
	};
	int err = 0;

	if (r->args->common.store)
		snprintf(r->store, sizeof(r->store), "%s", r->args->common.store);
	else if (!r->args->no_store)
		err = store_default_path(r->store, sizeof(r->store), e);
	if (!r->args->no_store)
		opts.store_path = r->store;
	if (!err)
		err = pipeline__new(&opts, &r->pipeline, e);
	if (!err)
		pipeline_sink(r->pipeline, &r->sink);
	return err;
}

/* An exit code; everything that begins before the first record. */
static int begin(struct record *r)
{
	struct err e = {0};
	int err;

	if (r->args->command && prepare_command(r, &e))
		return cmd_fail("record", r->args->user ? EXIT_USAGE : EXIT_SYSTEM, &e);
	catch_signals(); /* after fork(): until it runs COMMAND, the child ends by the default actions */
	err = live__new(&r->args->live, &r->live, &e);
	if (!err && r->child)
		err = live_add_pid(r->live, r->child, &e);
	if (err)
		return cmd_fail("record", err == -ESRCH || err == -E2BIG ? EXIT_USAGE : EXIT_SYSTEM, &e);
	err = open_pipeline(r, &e);
	if (err)
		return cmd_fail("record", cmd_store_exit(err), &e);
	err = open_raw(r, &e);
	if (err)
		return cmd_fail("record", EXIT_STORE, &e);
	if (r->child) {
		err = start_command(r, &e);
		if (err)
			return cmd_fail("record", err == -ENOENT ? EXIT_USAGE : EXIT_SYSTEM, &e);
	}
	return 0;
}

static void tell_losses(const struct live_stats *ls)
{
	char records[40], bytes[40];

	if (!ls->lost_records)
		return;
	fprintf(stderr,
		"evtrace record: %s records with %s were lost, and are marked as gaps\n"
		"  a larger buffer survives longer bursts: --ring %lluM\n",
		fmt_count(records, sizeof(records), ls->lost_records),
		fmt_size(bytes, sizeof(bytes), ls->lost_bytes), (unsigned long long)(ls->ring_size >> 19));
}

static void tell_next(const struct record *r, const struct pipeline_stats *p)
{
	char what[40], took[40];

	fmt_duration(took, sizeof(took), now_wall_ns() - r->started_ns);
	if (r->args->no_store)
		fprintf(stderr, "%s in %s. next: evtrace import %s\n", fmt_size(what, sizeof(what), p->bytes),
			took, r->args->raw);
	else
		fprintf(stderr, "%s messages in %s. next: evtrace find%s%s WORDS\n",
			fmt_count(what, sizeof(what), p->messages), took,
			r->args->common.store ? " --store " : "", r->args->common.store ? r->store : "");
}

/* The record file is closed last: what the pipeline still decodes may hold a secret. The first error decides
 * the exit code. */
static int finish(struct record *r, int code)
{
	struct pipeline_stats p = {0};
	struct live_stats ls = {0};
	struct err e = {0};
	int err;

	clear_status(r);
	if (r->live)
		live__stats(r->live, &ls);
	if (r->pipeline)
		pipeline__stats(r->pipeline, &p);
	err = pipeline__finish(r->pipeline, &e);
	if (err && !code)
		code = cmd_fail("record", cmd_store_exit(err), &e);
	err = recfile__close(r->raw, &e);
	if (err && !code)
		code = cmd_fail("record", EXIT_SYSTEM, &e);
	live__free(r->live);
	tell_losses(&ls);
	if (!code && r->tty)
		tell_next(r, &p);
	return code;
}

int cmd_record(int argc, char **argv)
{
	struct args args = {0};
	struct record r = {.args = &args, .go = -1, .failed = -1};
	struct err e = {0};
	size_t alive;
	int code;

	if (parse_args(argc, argv, &args, &code))
		return code;
	r.tty = isatty(STDERR_FILENO);
	r.started_ns = now_wall_ns();
	r.last_status_ns = (int64_t)now_mono_ns();
	code = begin(&r);
	if (!code && watch(&r, &e))
		code = cmd_fail("record", EXIT_SYSTEM, &e);
	if (r.go >= 0)
		close(r.go); /* the command never starts */
	if (r.failed >= 0)
		close(r.failed);
	reap_command(&r);
	alive = !code && r.child ? live_processes(r.live) : 0;
	code = finish(&r, code);
	tell_command_end(&r, alive);
	return code ? code : command_exit(&r);
}
