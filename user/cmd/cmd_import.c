/* evtrace import: record files and captures -> pipeline, as if they happened now; one session a file. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/number.h"
#include "base/timefmt.h"
#include "capture/recfile.h"
#include "cmd/answer.h"
#include "pipeline.h"

#define PAYLOAD_MAX (1ull << 30)
#define SHOW_NS     (200 * NS_PER_MS)

static const char help[] =
	"usage: evtrace import [OPTION]... FILE...\n"
	"\n"
	"Reads files into the store, as if what is in them happened now: record files (evtrace record "
	"--raw), "
	"pcap\n"
	"and pcapng (tcpdump -w). Needs no privileges. FILE may be -, for standard input.\n"
	"\n"
	"  --store DIR           default: $EVTRACE_STORE, else /var/lib/evtrace as root, else your own\n"
	"  --payload-limit SIZE  bytes kept of a message's body, 1M by default; more is counted, never "
	"silent\n"
	"\n"
	"Exit code 0; 2 for a wrong command line; 3 when a file is damaged or cut, or Ctrl-C ended it (what "
	"was "
	"read\n"
	"is kept); 4 when memory or the disk is full; 5 when the store or a file cannot be used.\n";

enum {
	OPT_PAYLOAD = 1,
};

static const struct option longopts[] = {
	STORE_LONGOPT, {"payload-limit", required_argument, NULL, OPT_PAYLOAD}, HELP_LONGOPT, {0}};

struct import {
	struct common common;
	uint64_t payload_limit;
	char store[4096];
	bool tty;
	/* the file at hand */
	const char *path;
	struct source_info info;
	struct sink sink; /* the pipeline's */
	struct pipeline_stats stats;
	struct coverage before, after; /* of the store */
	uint64_t bytes;                /* read of it */
	int64_t first_ns, last_ns, started_mono, next_show_mono;
};

/* --- on the way --- */

static int check_stop(struct import *im, int64_t ts_ns)
{
	if (!im->first_ns || ts_ns < im->first_ns)
		im->first_ns = ts_ns;
	if (ts_ns > im->last_ns)
		im->last_ns = ts_ns;
	return interrupted() ? -EINTR : 0;
}

static int on_chunk(void *ctx, const struct chunk *c)
{
	struct import *im = ctx;
	int err = check_stop(im, c->ts_ns);

	return err ? err : im->sink.chunk(im->sink.ctx, c);
}

static int on_tick(void *ctx, int64_t ts_ns)
{
	struct import *im = ctx;
	int err = check_stop(im, ts_ns);

	return err ? err : im->sink.tick(im->sink.ctx, ts_ns);
}

static int on_proc(void *ctx, const struct proc_info *p)
{
	const struct sink *k = &((struct import *)ctx)->sink;

	return k->proc(k->ctx, p);
}

static int on_proc_exit(void *ctx, uint32_t pid, int64_t ts_ns, int exit_code)
{
	const struct sink *k = &((struct import *)ctx)->sink;

	return k->proc_exit(k->ctx, pid, ts_ns, exit_code);
}

static int on_open(void *ctx, const struct endpoint_info *e)
{
	const struct sink *k = &((struct import *)ctx)->sink;

	return k->open(k->ctx, e);
}

static int on_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	const struct sink *k = &((struct import *)ctx)->sink;

	return k->close(k->ctx, endpoint, ts_ns, by_peer);
}

static int on_loss(void *ctx, const struct loss_info *l)
{
	const struct sink *k = &((struct import *)ctx)->sink;

	return k->loss(k->ctx, l);
}

static void show_progress(void *ctx, uint64_t done, uint64_t total, uint64_t records)
{
	struct import *im = ctx;
	int64_t now = (int64_t)now_mono_ns(), spent = now - im->started_mono;
	char t1[40], t2[40], t3[40];

	(void)records;
	im->bytes = done;
	if (!im->tty || now < im->next_show_mono || spent <= 0)
		return;
	im->next_show_mono = now + SHOW_NS;
	fprintf(stderr, "\r\033[K%s", fmt_size(t1, sizeof(t1), done));
	if (total)
		fprintf(stderr, " of %s, %d %%", fmt_size(t2, sizeof(t2), total), (int)(done * 100 / total));
	fprintf(stderr, ", %s/s", fmt_size(t3, sizeof(t3), (uint64_t)((double)done * 1e9 / (double)spent)));
	if (total > done && done)
		fprintf(stderr, ", %s left",
			fmt_duration(t1, sizeof(t1),
				(int64_t)((double)spent * (double)(total - done) / (double)done)));
	fflush(stderr);
}

static void clear_progress(const struct import *im)
{
	if (im->tty)
		fputs("\r\033[K", stderr);
}

/* --- one file --- */

static int begin_session(struct import *im, struct pipeline **ret, struct err *e)
{
	struct pipeline_opts opts = {
		.store_path = im->store,
		.payload_limit = im->payload_limit,
		.session = {.source = im->path,
			.scope = im->info.scope[0] ? im->info.scope : im->info.kind,
			.version = EVTRACE_VERSION,
			.started_ns = im->info.first_ns ? im->info.first_ns : now_wall_ns()},
	};

	return pipeline__new(&opts, ret, e);
}

static int run_source(struct import *im, struct source *s, struct pipeline *p, struct err *e)
{
	struct sink k = {im, on_proc, on_proc_exit, on_open, on_chunk, on_close, on_loss, on_tick};
	int err;

	pipeline_sink(p, &im->sink);
	im->started_mono = (int64_t)now_mono_ns();
	err = source_run(s, &k, show_progress, im, e);
	clear_progress(im);
	return err;
}

/* What a source's error means for the command, said on stderr. */
static int source_exit(const struct import *im, const struct source *s, int err, const struct err *e)
{
	struct err said = *e;
	char bytes[40];

	if (err == -EINTR) {
		err_set(&said, err, "interrupted after %s of %s", fmt_size(bytes, sizeof(bytes), im->bytes),
			im->path);
		err_hint(&said, "what was read until then is in the store");
		return cmd_fail("import", EXIT_PARTIAL, &said);
	}
	if (err == -EBADMSG) {
		err_hint(&said, "what stands before it is in the store");
		return cmd_fail("import", EXIT_PARTIAL, &said);
	}
	if (err)
		return cmd_fail("import", EXIT_SYSTEM, &said);
	if (!source_was_cut(s))
		return 0;
	err_set(&said, 0, "%s ends in the middle of a record: its recording was interrupted", im->path);
	err_hint(&said, "all that stands before it is in the store");
	return cmd_fail("import", EXIT_PARTIAL, &said);
}

/* All zero when there is no store yet. */
static void read_coverage(const struct import *im, struct coverage *ret)
{
	struct store *st;

	*ret = (struct coverage){0};
	if (store__open(im->store, false, &st, NULL))
		return;
	store_coverage(st, ret, NULL);
	store__close(st);
}

static void put_connections(struct buf *b, const struct pipeline_stats *p)
{
	put_count(b, p->conns_decoded, "broker connection", "broker connections");
	if (p->conns_other)
		buf_printf(b, " · other %llu (ignored)", (unsigned long long)p->conns_other);
	if (p->conns_encrypted)
		buf_printf(b, " · TLS %llu (unreadable)", (unsigned long long)p->conns_encrypted);
	if (p->conns_undecided)
		buf_printf(b, " · too short to tell %llu", (unsigned long long)p->conns_undecided);
}

/* "dump.pcap (pcap, 26 kB over 2.3 s): 31 messages on 2 broker connections; nothing lost". What was lost and
 * how many messages came of it is asked of the store: the end of a file brings out the last of both. */
static void tell_file(const struct import *im)
{
	const struct coverage *a = &im->after, *z = &im->before;
	uint64_t lost = a->gap_bytes - z->gap_bytes + a->lost_bytes - z->lost_bytes;
	uint64_t gaps = a->gaps - z->gaps + a->lost_records - z->lost_records;
	char text[40];
	struct buf b = {0};

	text_safe(&b, span_str(im->path));
	buf_printf(&b, " (%s, %s", im->info.kind, fmt_size(text, sizeof(text), im->bytes));
	if (im->last_ns > im->first_ns)
		buf_printf(&b, " over %s", fmt_duration(text, sizeof(text), im->last_ns - im->first_ns));
	buf_puts(&b, "): ");
	put_count(&b, a->messages - z->messages, "message", "messages");
	buf_puts(&b, " on ");
	put_connections(&b, &im->stats);
	if (gaps) {
		buf_printf(&b, "; lost %s in ", fmt_size(text, sizeof(text), lost));
		put_count(&b, gaps, "gap", "gaps");
	} else {
		buf_puts(&b, "; nothing lost");
	}
	say_line(stdout, &b);
	buf_free(&b);
}

/* Returns an exit code; false in *@go_on when the next file would meet the same. */
static int import_file(struct import *im, const char *path, bool *go_on)
{
	struct pipeline *p = NULL;
	struct source *s;
	struct err e = {0};
	int err, code;

	im->path = strcmp(path, "-") ? path : "standard input";
	im->first_ns = im->last_ns = im->next_show_mono = 0;
	im->bytes = 0;
	err = source__open(path, &s, &im->info, &e);
	if (err)
		return cmd_fail("import", err == -ENOMEM || err == -EIO ? EXIT_SYSTEM : EXIT_STORE, &e);
	err = begin_session(im, &p, &e);
	if (err) {
		source__close(s);
		*go_on = false;
		return cmd_fail("import", cmd_store_exit(err), &e);
	}
	err = run_source(im, s, p, &e);
	code = source_exit(im, s, err, &e);
	source__close(s);
	pipeline__stats(p, &im->stats);
	err = pipeline__finish(p, &e);
	if (err && (!code || code == EXIT_PARTIAL)) {
		*go_on = false;
		code = cmd_fail("import", cmd_store_exit(err), &e);
	}
	read_coverage(im, &im->after);
	tell_file(im);
	im->before = im->after;
	*go_on &= !interrupted();
	return code;
}

/* --- all of them --- */

static void tell_store(const struct import *im)
{
	struct answer a = {.cov = im->after, .now_ns = now_wall_ns()};
	struct buf b = {0};

	buf_printf(&b, "%s holds ", im->store);
	put_count(&b, a.cov.messages, "message", "messages");
	if (a.cov.since_ns) {
		buf_puts(&b, ", ");
		put_span(&b, &a);
	}
	buf_printf(&b, ".   next: evtrace find%s%s WORDS", im->common.store ? " --store " : "",
		im->common.store ? im->store : "");
	say_line(stdout, &b);
	buf_free(&b);
}

static int set_payload_limit(struct import *im, const char *text)
{
	struct err e = {0};
	uint64_t v;

	if (!parse_size(text, &v) && v && v <= PAYLOAD_MAX) {
		im->payload_limit = v;
		return 0;
	}
	err_set(&e, -EINVAL, "--payload-limit takes a size up to 1G, not \"%s\"", text);
	err_hint(&e, "like 512k, 64M or 1G");
	return cmd_fail("import", EXIT_USAGE, &e);
}

/* True: go on; else *ret is the exit code. */
static bool parse_args(struct import *im, int argc, char **argv, int *ret)
{
	struct err e = {0};
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":h", longopts, NULL)) != -1) {
		switch (opt) {
		case 'h':
			fputs(help, stdout);
			*ret = EXIT_FOUND;
			return false;
		case OPT_PAYLOAD:
			*ret = set_payload_limit(im, optarg);
			if (*ret)
				return false;
			break;
		case '?':
		case ':':
			*ret = cmd_bad_option("import", argc, argv, opt);
			return false;
		default:
			common_option(&im->common, opt, optarg);
		}
	}
	if (optind < argc)
		return true;
	err_set(&e, -EINVAL, "it is not said which file to read");
	err_hint(&e, "evtrace import FILE, or - for standard input");
	*ret = cmd_fail("import", EXIT_USAGE, &e);
	return false;
}

/* A read that waits for a pipe has to end; what is written is in the store, not on the way to a pipe. */
static void interrupt_reads(void)
{
	static const int signals[] = {SIGINT, SIGTERM};
	struct sigaction sa;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		sigaction(signals[i], NULL, &sa);
		sa.sa_flags &= ~SA_RESTART;
		sigaction(signals[i], &sa, NULL);
	}
}

int cmd_import(int argc, char **argv)
{
	struct import im = {0};
	struct err e = {0};
	bool go_on = true, read_any = false;
	int code = 0;

	if (!parse_args(&im, argc, argv, &code))
		return code;
	if (im.common.store)
		snprintf(im.store, sizeof(im.store), "%s", im.common.store);
	else if (store_default_path(im.store, sizeof(im.store), &e))
		return cmd_fail("import", EXIT_STORE, &e);
	im.tty = isatty(STDERR_FILENO);
	interrupts_catch();
	interrupt_reads();
	read_coverage(&im, &im.before);
	for (int i = optind; i < argc && go_on; i++) {
		int file_code = import_file(&im, argv[i], &go_on);

		read_any |= !file_code || file_code == EXIT_PARTIAL;
		/* What could not be used at all outweighs what could in part. */
		if (file_code > code)
			code = file_code;
	}
	if (read_any)
		tell_store(&im);
	return code;
}
