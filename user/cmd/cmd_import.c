/* evtrace import: record files and captures -> pipeline, as if they happened now. A record file is a session;
 * all captures of a call are one, because connections go on from one to the next. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/number.h"
#include "base/timefmt.h"
#include "capture/recfile.h"
#include "cmd/answer.h"
#include "cmd/bar.h"
#include "pipeline.h"

#define PAYLOAD_MAX (1ull << 30)
#define REASONS_MAX 4
#define DRAIN_NS    (2 * NS_PER_SEC) /* so long after Ctrl-C what is still in a pipe is read */

static const char help[] =
	"usage: evtrace import [OPTION]... FILE...\n"
	"\n"
	"Reads files into the store, as if what is in them happened now: record files (evtrace record "
	"--raw),\n"
	"pcap and pcapng (tcpdump -w), packed by gzip or zstd or not. Needs no privileges. FILE may be -, "
	"for\n"
	"standard input: tcpdump -U -w - | evtrace import -\n"
	"\n"
	"Captures that are given together are read as one, packet by packet in order of time, whatever order "
	"they\n"
	"are named in: connections go on from one rotated file to the next.\n"
	"\n"
	"  --store DIR           default: $EVTRACE_STORE, else /var/lib/evtrace as root, else your own\n"
	"  --payload-limit SIZE  bytes kept of a message's body, 1M by default; more is counted, never "
	"silent\n"
	"\n"
	"Exit code 0; 2 for a wrong command line; 3 when a file is damaged or cut, or Ctrl-C ended it (what "
	"was\n"
	"read is kept); 4 when memory or the disk is full; 5 when the store or a file cannot be used.\n";

enum {
	OPT_PAYLOAD = 1,
};

static const struct option longopts[] = {
	STORE_LONGOPT, {"payload-limit", required_argument, NULL, OPT_PAYLOAD}, HELP_LONGOPT, {0}};

struct import {
	struct common common;
	uint64_t payload_limit;
	char store[4096];
	bool told;
	/* the files at hand */
	struct file *files;
	size_t files_n;
	char name[256]; /* of all of them */
	bool pipe;
	struct sink sink; /* the pipeline's */
	struct pipeline_stats stats;
	struct coverage before, after; /* of the store */
	uint64_t bytes;                /* read of them */
	int64_t first_ns, last_ns, interrupted_mono;
	struct loss_info unread[REASONS_MAX]; /* of captures, added up by reason */
	struct bar bar;
};

struct file {
	const char *path;
	struct source *source;
	struct source_info info;
};

/* --- on the way --- */

/* Ctrl-C reaches the program at the other end of a pipe as well: what it still has to say is waited for. */
static int check_interrupted(struct import *im, bool idle)
{
	int64_t now;

	if (!interrupted())
		return 0;
	if (!im->pipe)
		return -EINTR;
	now = (int64_t)now_mono_ns();
	if (!im->interrupted_mono) {
		im->interrupted_mono = now;
		return 0;
	}
	return idle || now - im->interrupted_mono > DRAIN_NS ? -EINTR : 0;
}

static int check_stop(struct import *im, int64_t ts_ns)
{
	if (!im->first_ns || ts_ns < im->first_ns)
		im->first_ns = ts_ns;
	if (ts_ns > im->last_ns)
		im->last_ns = ts_ns;
	return check_interrupted(im, false);
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
	struct import *im = ctx;
	size_t i = 0;

	/* Reasons are few, and each is one text. */
	while (i < REASONS_MAX - 1 && im->unread[i].reason && im->unread[i].reason != l->reason)
		i++;
	im->unread[i].reason = l->reason;
	im->unread[i].records += l->records;
	im->unread[i].bytes += l->bytes;
	return im->sink.loss(im->sink.ctx, l);
}

static int on_progress(void *ctx, const struct progress *p)
{
	struct import *im = ctx;

	im->bytes = p->done;
	bar_show(&im->bar, p);
	return check_interrupted(im, p->idle);
}

/* --- one record file, or all captures --- */

static int begin_session(struct import *im, struct pipeline **ret, struct err *e)
{
	const struct source_info *first = &im->files[0].info;
	struct pipeline_opts opts = {
		.store_path = im->store,
		.payload_limit = im->payload_limit,
		.session = {.source = im->name,
			.scope = first->scope[0] ? first->scope : first->kind,
			.version = EVTRACE_VERSION},
	};

	for (size_t i = 0; i < im->files_n; i++) {
		int64_t t = im->files[i].info.first_ns;

		if (t && (!opts.session.started_ns || t < opts.session.started_ns))
			opts.session.started_ns = t;
	}
	if (!opts.session.started_ns)
		opts.session.started_ns = now_wall_ns();
	return pipeline__new(&opts, ret, e);
}

static int run_sources(struct import *im, struct pipeline *p, struct err *e)
{
	struct sink k = {im, on_proc, on_proc_exit, on_open, on_chunk, on_close, on_loss, on_tick};
	struct source **s = calloc(im->files_n, sizeof(struct source *));
	int err;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < im->files_n; i++)
		s[i] = im->files[i].source;
	pipeline_sink(p, &im->sink);
	bar_begin(&im->bar);
	err = source_run_all(s, im->files_n, &k, on_progress, im, e);
	bar_clear(&im->bar);
	free(s);
	return err;
}

/* What is wrong with one file, said on stderr. Returns an exit code. */
static int file_exit(const struct file *f)
{
	struct err said = {0};
	int err = source_result(f->source, &said);

	if (err && err != -EBADMSG)
		return 0; /* it stopped all */
	if (err) {
		err_hint(&said, "what stands before it is in the store");
		return cmd_fail("import", EXIT_PARTIAL, &said);
	}
	if (!source_was_cut(f->source))
		return 0;
	err_set(&said, 0, "%s is cut: it ends in the middle of a %s, which begins at byte %llu", f->path,
		f->info.capture ? "packet" : "record", (unsigned long long)source_offset(f->source));
	err_hint(&said, "all that stands before it is in the store");
	return cmd_fail("import", EXIT_PARTIAL, &said);
}

/* What running means for the command, said on stderr. */
static int run_exit(const struct import *im, int err, const struct err *e)
{
	struct err said = *e;
	char bytes[40];
	int code = 0;

	if (err == -EINTR) {
		err_set(&said, err, "interrupted after %s of %s", fmt_size(bytes, sizeof(bytes), im->bytes),
			im->name);
		err_hint(&said, "what was read until then is in the store");
		return cmd_fail("import", EXIT_PARTIAL, &said);
	}
	if (err)
		return cmd_fail("import", EXIT_SYSTEM, &said);
	for (size_t i = 0; i < im->files_n; i++) {
		int file_code = file_exit(&im->files[i]);

		code = file_code ? file_code : code;
	}
	return code;
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

static struct source_short all_short(const struct import *im)
{
	struct source_short all = {0};

	for (size_t i = 0; i < im->files_n; i++) {
		struct source_short s = source_short(im->files[i].source);

		all.packets += s.packets;
		all.bytes += s.bytes;
	}
	return all;
}

/* What kept packets from being read. */
static void tell_unread(const struct import *im)
{
	struct source_short cut = all_short(im);
	char n[40], size[40];

	for (size_t i = 0; i < REASONS_MAX && im->files[0].info.capture; i++)
		if (im->unread[i].records && im->unread[i].reason)
			say(stdout, "  %s %s: %s\n", fmt_count(n, sizeof(n), im->unread[i].records),
				im->unread[i].reason, fmt_size(size, sizeof(size), im->unread[i].bytes));
	if (cut.packets)
		say(stdout,
			"  %s packets cut short by the capture's snapshot length, %s are not in it; tcpdump "
			"-s 0 "
			"takes them whole\n",
			fmt_count(n, sizeof(n), cut.packets), fmt_size(size, sizeof(size), cut.bytes));
}

/* "dump.pcap (pcap, 26 kB over 2.3 s): 31 messages on 2 broker connections; nothing lost". What was lost and
 * how many messages came of it is asked of the store: the end of a file brings out the last of both. */
static void tell_files(const struct import *im)
{
	const struct coverage *a = &im->after, *z = &im->before;
	uint64_t gaps = a->gaps - z->gaps, records = a->lost_records - z->lost_records;
	char text[40];
	struct buf b = {0};

	text_safe(&b, span_str(im->name));
	buf_printf(&b, " (%s, %s", im->files[0].info.kind, fmt_size(text, sizeof(text), im->bytes));
	if (im->last_ns > im->first_ns)
		buf_printf(&b, " over %s", fmt_duration(text, sizeof(text), im->last_ns - im->first_ns));
	buf_puts(&b, "): ");
	put_count(&b, a->messages - z->messages, "message", "messages");
	buf_puts(&b, " on ");
	put_connections(&b, &im->stats);
	if (gaps) {
		buf_printf(&b, "; lost %s in ", fmt_size(text, sizeof(text), a->gap_bytes - z->gap_bytes));
		put_count(&b, gaps, "gap", "gaps");
	} else if (records) {
		buf_puts(&b, "; lost ");
		put_count(&b, records, "record", "records");
	} else if (!all_short(im).packets) {
		buf_puts(&b, "; nothing lost");
	}
	say_line(stdout, &b);
	buf_free(&b);
	tell_unread(im);
}

/* "a.pcap0", "a.pcap0 and a.pcap1", "a.pcap0 and 7 more" */
static void name_files(struct import *im)
{
	const char *first = im->files[0].path;

	if (im->files_n == 1)
		snprintf(im->name, sizeof(im->name), "%s", first);
	else if (im->files_n == 2)
		snprintf(im->name, sizeof(im->name), "%s and %s", first, im->files[1].path);
	else
		snprintf(im->name, sizeof(im->name), "%s and %zu more", first, im->files_n - 1);
	im->pipe = false;
	for (size_t i = 0; i < im->files_n; i++)
		im->pipe |= source_is_pipe(im->files[i].source);
}

/* One session. Returns an exit code; false in *@go_on when what follows would meet the same. */
static int import_files(struct import *im, struct file *files, size_t n, bool *go_on)
{
	struct pipeline *p = NULL;
	struct err e = {0};
	int err, code;

	im->files = files;
	im->files_n = n;
	im->first_ns = im->last_ns = 0;
	im->bytes = 0;
	memset(im->unread, 0, sizeof(im->unread));
	name_files(im);
	err = begin_session(im, &p, &e);
	if (err) {
		*go_on = false;
		return cmd_fail("import", cmd_store_exit(err), &e);
	}
	err = run_sources(im, p, &e);
	code = run_exit(im, err, &e);
	pipeline__stats(p, &im->stats);
	err = pipeline__finish(p, &e);
	if (err && (!code || code == EXIT_PARTIAL)) {
		*go_on = false;
		code = cmd_fail("import", cmd_store_exit(err), &e);
	}
	read_coverage(im, &im->after);
	tell_files(im);
	im->told = true;
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

/* Returns an exit code. */
static int open_file(const char *path, struct file *ret)
{
	struct err e = {0};
	int err = source__open(path, &ret->source, &ret->info, &e);

	ret->path = strcmp(path, "-") ? path : "standard input";
	if (!err)
		return 0;
	ret->source = NULL;
	if (err == -EINTR)
		err_set(&e, err, "interrupted before anything came from %s", ret->path);
	return cmd_fail("import",
		err == -EINTR                   ? EXIT_PARTIAL
		: err == -ENOMEM || err == -EIO ? EXIT_SYSTEM
						: EXIT_STORE,
		&e);
}

/* What could not be used at all outweighs what could in part. */
static void worse(int *code, int other)
{
	if (other > *code)
		*code = other;
}

/* Opens all that can be opened, captures behind record files. */
static int open_files(char **paths, size_t n, struct file *files, size_t *ret_recordings, size_t *ret_n)
{
	size_t recordings = 0, all = 0;
	int code = 0;

	for (size_t i = 0; i < n && !interrupted(); i++) {
		struct file f = {0};

		worse(&code, open_file(paths[i], &f));
		if (!f.source)
			continue;
		files[all++] = f;
		if (!f.info.capture) {
			memmove(&files[recordings + 1], &files[recordings],
				(all - 1 - recordings) * sizeof(*files));
			files[recordings++] = f;
		}
	}
	*ret_recordings = recordings;
	*ret_n = all;
	return code;
}

/* All captures are open at once. */
static void allow_many_files(void)
{
	struct rlimit l;

	if (!getrlimit(RLIMIT_NOFILE, &l)) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

static int import_all(struct import *im, char **paths, size_t n)
{
	struct file *files = calloc(n, sizeof(*files));
	struct err e = {0};
	size_t recordings, all;
	bool go_on = true;
	int code;

	if (!files) {
		err_set(&e, -ENOMEM, "out of memory");
		return cmd_fail("import", EXIT_SYSTEM, &e);
	}
	code = open_files(paths, n, files, &recordings, &all);
	for (size_t i = 0; i < recordings && go_on; i++)
		worse(&code, import_files(im, &files[i], 1, &go_on));
	if (all > recordings && go_on)
		worse(&code, import_files(im, &files[recordings], all - recordings, &go_on));
	if (im->told)
		tell_store(im);
	for (size_t i = 0; i < all; i++)
		source__close(files[i].source);
	free(files);
	return code;
}

int cmd_import(int argc, char **argv)
{
	struct import im = {0};
	struct err e = {0};
	int code = 0;

	if (!parse_args(&im, argc, argv, &code))
		return code;
	if (im.common.store)
		snprintf(im.store, sizeof(im.store), "%s", im.common.store);
	else if (store_default_path(im.store, sizeof(im.store), &e))
		return cmd_fail("import", EXIT_STORE, &e);
	interrupts_catch();
	interrupts_end_reads();
	allow_many_files();
	read_coverage(&im, &im.before);
	return import_all(&im, argv + optind, (size_t)(argc - optind));
}
