/* evtrace export: a record file -> another format. Each row of formats.def is an option that takes the file
 * to write. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "cmd/answer.h"
#include "cmd/bar.h"
#include "export/export.h"

static const char help[] =
	"usage: evtrace export --pcap OUT FILE\n"
	"\n"
	"Writes what was captured live so that other tools can read it. FILE is a record file, as written\n"
	"by evtrace record --raw, or - for standard input; a capture is taken as well. OUT is a file that\n"
	"does not exist, or - for standard output.\n"
	"\n"
	"  --pcap OUT  TCP packets that tshark and Wireshark read (pcapng). Packets, sequence numbers and\n"
	"              acknowledgements are made up; what they carry, and when, is what was recorded\n"
	"\n"
	"Exit code 0; 2 for a wrong command line; 3 when FILE is damaged or cut, or Ctrl-C ended it (what "
	"was\n"
	"read is in OUT); 4 when memory or the disk is full; 5 when FILE or OUT cannot be used.\n";

#define FORMAT_OPT  1 /* of the first row of formats.def; the others follow */
#define FORMATS_MAX 16

struct export
{
	struct common common;
	const struct format_row *row;
	const char *out_path, *in_path;
	FILE *out;
	bool piped; /* to standard output */
	struct source *source;
	struct source_info info;
	void *x;
	struct bar bar;
};

static int usage(const char *what, const char *hint)
{
	struct err e = {0};

	err_set(&e, -EINVAL, "%s", what);
	err_hint(&e, "%s", hint);
	return cmd_fail("export", EXIT_USAGE, &e);
}

static void make_options(struct option options[FORMATS_MAX + 2])
{
	static const struct option help_option = HELP_LONGOPT;
	size_t n = 0;

	for (; n < formats_n && n < FORMATS_MAX; n++)
		options[n] = (struct option){formats[n].name, required_argument, NULL, FORMAT_OPT + (int)n};
	options[n++] = help_option;
	options[n] = (struct option){0};
}

/* True: go on; else *ret is the exit code. */
static bool parse_args(struct export *ex, int argc, char **argv, int *ret)
{
	struct option options[FORMATS_MAX + 2];
	struct cmd_line line = {.cmd = "export", .help = help, .options = options, .common = &ex->common};
	int opt;

	make_options(options);
	while ((opt = cmd_option(&line, argc, argv)) > 0) {
		if (ex->row) {
			*ret = usage("one format at a time", "evtrace export --pcap OUT FILE");
			return false;
		}
		ex->row = &formats[opt - FORMAT_OPT];
		ex->out_path = optarg;
	}
	*ret = line.exit_code;
	if (opt < 0)
		return false;
	if (!ex->row)
		*ret = usage("it is not said what to write", "evtrace export --pcap OUT FILE");
	else if (optind == argc)
		*ret = usage("it is not said which file to read", "evtrace record --raw FILE writes one");
	else if (optind + 1 < argc)
		*ret = usage("it reads one file", "evtrace export --pcap OUT FILE");
	ex->in_path = argv[optind];
	return !*ret;
}

static int open_out(struct export *ex, struct err *e)
{
	int fd;

	ex->piped = !strcmp(ex->out_path, "-");
	if (ex->piped && isatty(STDOUT_FILENO)) {
		err_set(e, -EINVAL, "standard output is a terminal, and this is nothing to look at");
		err_hint(e, "evtrace export --%s - FILE | tshark -r -", ex->row->name);
		return -EINVAL;
	}
	if (ex->piped) {
		ex->out = stdout;
		return 0;
	}
	fd = open(ex->out_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		int err = err_set(e, -errno, "cannot create %s: %s", ex->out_path, strerror(errno));

		if (err == -EEXIST)
			err_hint(e, "it is never overwritten: take another name or move it away");
		return err;
	}
	ex->out = fdopen(fd, "wb");
	if (ex->out)
		return 0;
	close(fd);
	return err_set(e, -ENOMEM, "out of memory");
}

static int on_progress(void *ctx, const struct progress *p)
{
	struct export *ex = ctx;

	bar_show(&ex->bar, p);
	return interrupted() ? -EINTR : 0;
}

/* Writes all; 0 or an exit code, with what is wrong said. */
static int run(struct export *ex)
{
	struct err e = {0};
	struct sink k;
	int err, end;

	ex->row->format->sink(ex->x, &k);
	bar_begin(&ex->bar);
	err = source_run(ex->source, &k, on_progress, ex, &e);
	bar_clear(&ex->bar);
	end = ex->row->format->finish(ex->x);
	if (!end && fflush(ex->out))
		end = -errno;
	if (end) {
		err_set(&e, end, "cannot write %s: %s", ex->piped ? "standard output" : ex->out_path,
			strerror(-end));
		return cmd_fail("export", EXIT_SYSTEM, &e);
	}
	if (err == -EINTR)
		err_set(&e, err, "interrupted");
	if (!err && source_was_cut(ex->source))
		err = err_set(&e, -EBADMSG, "%s is cut: it ends in the middle of a record, at byte %llu",
			ex->in_path, (unsigned long long)source_offset(ex->source));
	if (err == -EINTR || err == -EBADMSG)
		err_hint(&e, "what stands before it has been written");
	if (err)
		return cmd_fail("export", err == -EINTR || err == -EBADMSG ? EXIT_PARTIAL : EXIT_SYSTEM, &e);
	return 0;
}

/* "out.pcapng: 3 connections, 120 packets, 26 kB over 2.3 s; 1.2 kB missing in 3 gaps.   next: tshark -r" */
static void tell(const struct export *ex)
{
	struct export_stats s = {0};
	struct buf b = {0};
	char text[40];

	ex->row->format->stats(ex->x, &s);
	text_safe(&b, span_str(ex->out_path));
	buf_puts(&b, ": ");
	put_count(&b, s.connections, "connection", "connections");
	buf_puts(&b, ", ");
	put_count(&b, s.packets, "packet", "packets");
	buf_printf(&b, ", %s", fmt_size(text, sizeof(text), s.bytes));
	if (s.last_ns > s.first_ns)
		buf_printf(&b, " over %s", fmt_duration(text, sizeof(text), s.last_ns - s.first_ns));
	if (s.gaps) {
		buf_printf(&b, "; %s missing in ", fmt_size(text, sizeof(text), s.lost));
		put_count(&b, s.gaps, "gap", "gaps");
	} else {
		buf_puts(&b, "; nothing missing");
	}
	buf_printf(&b, ".   next: %s ", ex->row->format->reader);
	text_safe(&b, span_str(ex->out_path));
	say_line(stdout, &b);
	buf_free(&b);
}

static int export(struct export *ex)
{
	struct err e = {0};
	int err, code;

	err = source__open(ex->in_path, &ex->source, &ex->info, &e);
	if (err)
		return cmd_fail("export", err == -ENOMEM || err == -EIO ? EXIT_SYSTEM : EXIT_STORE, &e);
	err = open_out(ex, &e);
	if (err)
		return cmd_fail("export", err == -EINVAL ? EXIT_USAGE : EXIT_STORE, &e);
	err = ex->row->format->begin(ex->out, &ex->info, &ex->x, &e);
	if (err)
		return cmd_fail("export", EXIT_SYSTEM, &e);
	code = run(ex);
	if (!ex->piped && code != EXIT_SYSTEM)
		tell(ex);
	return code;
}

int cmd_export(int argc, char **argv)
{
	struct export ex = {0};
	int code;

	if (!parse_args(&ex, argc, argv, &code))
		return code;
	interrupts_catch();
	interrupts_end_reads();
	code = export(&ex);
	ex.row->format->free(ex.x);
	source__close(ex.source);
	if (ex.out && ex.out != stdout)
		fclose(ex.out);
	return code;
}
