/* evtrace doctor: what this machine offers, what will be used, what is missing and how to get it. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/live.h"
#include "cmd/cmd.h"
#include "cmd/text.h"
#include "replay/replayer.h"
#include "store/store.h"

static const char help[] = "usage: evtrace doctor [--store DIR] [--json]\n"
			   "\n"
			   "Says what this machine offers for recording, what evtrace will use, what is "
			   "missing and how to get it. Changes\n"
			   "nothing. Without privileges it says what it could not try.\n"
			   "\n"
			   "  --store DIR  the store that would be used\n"
			   "  --json       one object a line: check, state (ok, warn, fail, info), found, "
			   "next; the last is the verdict\n"
			   "\n"
			   "Exit code: 0 evtrace record can work, 4 it cannot, 2 wrong command line.\n";

struct doctor {
	struct common common;
	struct table *table;
	unsigned fails, warns;
	char next[1024]; /* of the first failure, else of the first warning */
	bool next_is_fail;
};

static const char *const state_names[] = {
	[CHECK_OK] = "ok", [CHECK_WARN] = "warn", [CHECK_FAIL] = "fail", [CHECK_INFO] = "info"};

static void print_json(const struct json *j)
{
	fwrite(j->out->p, 1, j->out->n, stdout);
	putchar('\n');
}

static void show_json(enum check_state st, const char *what, const char *found, const char *next)
{
	struct buf b = {0};
	struct json j = {.out = &b};

	json_obj(&j);
	json_kv_str(&j, "check", what);
	json_kv_str(&j, "state", state_names[st]);
	json_kv_str(&j, "found", found);
	if (*next)
		json_kv_str(&j, "next", next);
	json_obj_end(&j);
	print_json(&j);
	buf_free(&b);
}

static void on_check(void *ctx, enum check_state st, const char *what, const char *found, const char *next)
{
	static const char *const signs[] = {
		[CHECK_OK] = "✓", [CHECK_WARN] = "!", [CHECK_FAIL] = "✗", [CHECK_INFO] = "·"};
	static const enum tone tones[] = {[CHECK_OK] = TONE_GOOD,
		[CHECK_WARN] = TONE_WAIT,
		[CHECK_FAIL] = TONE_BAD,
		[CHECK_INFO] = TONE_DIM};
	struct doctor *d = ctx;
	const char *cells[] = {signs[st], what, found};

	d->fails += st == CHECK_FAIL;
	d->warns += st == CHECK_WARN;
	if (*next && (st == CHECK_FAIL ? !d->next_is_fail : !d->next[0])) {
		snprintf(d->next, sizeof(d->next), "%s", next);
		d->next_is_fail = st == CHECK_FAIL;
	}
	if (d->common.json) {
		show_json(st, what, found, next);
		return;
	}
	table_tone(d->table, 0, tones[st]);
	table_row(d->table, cells);
}

/* Can a store be made or written where it would be? Looks at the nearest directory that exists. */
static void check_store(struct doctor *d)
{
	char path[4096], up[4096], found[4200];
	struct err e = {0};
	struct stat st;
	char *slash;

	if (d->common.store)
		snprintf(path, sizeof(path), "%s", d->common.store);
	else if (store_default_path(path, sizeof(path), &e)) {
		on_check(d, CHECK_WARN, "store", e.msg, "--store DIR names one");
		return;
	}
	if (!stat(path, &st)) {
		bool ok = S_ISDIR(st.st_mode) && !access(path, W_OK);

		snprintf(found, sizeof(found), "%s%s", path,
			ok                    ? ""
			: S_ISDIR(st.st_mode) ? ": may not be written"
					      : ": is no directory");
		on_check(
			d, ok ? CHECK_OK : CHECK_WARN, "store", found, ok ? "" : "--store DIR names another");
		return;
	}
	snprintf(up, sizeof(up), "%s", path);
	do {
		slash = strrchr(up, '/');
		if (!slash)
			snprintf(up, sizeof(up), ".");
		else
			slash[slash == up] = '\0';
	} while (access(up, F_OK) && slash && strcmp(up, "/"));
	snprintf(found, sizeof(found),
		access(up, W_OK) ? "%s: not there, and may not be made" : "%s: will be made", path);
	on_check(d, access(up, W_OK) ? CHECK_WARN : CHECK_OK, "store", found,
		access(up, W_OK) ? "--store DIR names another" : "");
}

/* Clients of brokers, for replay alone. */
static void check_replay(struct doctor *d)
{
	const struct replayer *r;

	for (size_t i = 0; (r = replayer_at(i)); i++) {
		char what[40], next[120];

		snprintf(what, sizeof(what), "replay: %s", proto_by_id(r->proto)->name);
		snprintf(next, sizeof(next), "apt-get install %s", r->package);
		if (library_there(r))
			on_check(d, CHECK_OK, what, r->library, "");
		else
			on_check(d, CHECK_INFO, what, "no, its client is not installed", next);
	}
}

static void verdict(const struct doctor *d)
{
	struct buf b = {0};
	struct json j = {.out = &b};

	if (d->common.json) {
		json_obj(&j);
		json_kv_str(&j, "check", "verdict");
		json_kv_str(&j, "state", d->fails ? "fail" : d->warns ? "warn" : "ok");
		json_kv_str(&j, "found", d->fails ? "evtrace record cannot work" : "evtrace record can work");
		if (!d->fails)
			json_kv_str(&j, "back_end", "syscalls");
		if (d->next[0])
			json_kv_str(&j, "next", d->next);
		json_obj_end(&j);
		print_json(&j);
	} else {
		if (d->fails)
			buf_puts(&b, "\nevtrace record cannot work here yet.\n");
		else
			buf_puts(&b, "\nevtrace record will use the back end syscalls: the one view of "
				     "sockets that every "
				     "kernel offers, and the cheapest.\n");
		buf_printf(&b, "next: %s\n", d->next[0] ? d->next : "sudo evtrace record -- COMMAND");
		text_print(stdout, buf_span(&b));
	}
	buf_free(&b);
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option longopts[] = {STORE_LONGOPT, JSON_LONGOPT, HELP_LONGOPT, {0}};
	static const struct column columns[] = {
		{.title = ""}, {.title = "CHECK"}, {.title = "FOUND", .flexible = true}};
	struct doctor d = {0};
	struct err e = {0};
	struct cmd_line line = {"doctor", help, longopts, &d.common, 0};

	if (cmd_option(&line, argc, argv))
		return line.exit_code;
	if (optind < argc) {
		err_set(&e, -EINVAL, "takes no argument, but got \"%s\"", argv[optind]);
		return cmd_fail("doctor", EXIT_USAGE, &e);
	}
	if (!d.common.json) {
		d.table = table__new(stdout, columns, 3, 100);
		if (!d.table) {
			err_set(&e, -ENOMEM, "out of memory");
			return cmd_fail("doctor", EXIT_SYSTEM, &e);
		}
	}
	live_check(on_check, &d);
	check_store(&d);
	check_replay(&d);
	if (d.table)
		table__end(d.table);
	verdict(&d);
	return d.fails ? EXIT_SYSTEM : EXIT_FOUND;
}
