/* evtrace sql: the catalogue in SQL, reading only; without a statement, the views and what is in them. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "cmd/answer.h"

#define SAMPLE      100 /* rows that decide the table's widths */
#define COLUMNS_MAX 200
#define TICK_OPS    20000 /* of SQLite's machine, between looks for Ctrl-C: some ms */

static const char help[] =
	"usage: evtrace sql [OPTION]... [STATEMENT]\n"
	"       evtrace sql [VIEW]\n\n"
	"Asks the catalogue in SQL (SQLite's). Only reading is possible. Without a statement it lists the "
	"views,\n"
	"which are the documented interface, and their columns; with a view's name, only that one.\n\n"
	"  --json           one object a line, named by the columns; blobs in base64\n"
	"  --store DIR      the store to ask\n\n"
	"On a terminal the answer is a table; else tab-separated, without titles: NULL is empty; tab, line "
	"feed\n"
	"and backslash are \\t, \\n and \\\\; blobs are X'hex'.\n\n"
	"  evtrace sql \"SELECT state, count(*) FROM messages GROUP BY state\"\n"
	"  evtrace sql --json \"SELECT * FROM copies WHERE queue='billing.dlq' ORDER BY queued_ns DESC LIMIT "
	"5\"\n\n"
	"Exit code: 0 there were rows, 1 none, 2 the statement is wrong or would write, 3 interrupted.\n";

/* --- views --- */

/* A line of views.sql, taken apart. */
enum view_line {
	LINE_OTHER,
	LINE_COMMENT, /* text */
	LINE_VIEW,    /* name */
	LINE_COLUMN,  /* name, text */
};

static struct span trim(struct span s)
{
	while (s.n && (*s.p == ' ' || *s.p == '\t'))
		s = span_sub(s, 1, s.n);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == ','))
		s.n--;
	return s;
}

/* The last place of @word in @s, or -1. */
static ptrdiff_t rfind(struct span s, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = s.n; i-- > 0;)
		if (s.n - i >= n && !memcmp(s.p + i, word, n))
			return (ptrdiff_t)i;
	return -1;
}

static enum view_line take_apart(struct span line, struct span *ret_name, struct span *ret_text)
{
	static const char create[] = "CREATE VIEW IF NOT EXISTS ";
	ptrdiff_t as, comment = rfind(line, " -- ");

	if (span_starts(line, "-- ")) {
		*ret_text = span_sub(line, 3, line.n);
		return LINE_COMMENT;
	}
	if (span_starts(line, create)) {
		*ret_name = span_sub(line, sizeof(create) - 1, line.n);
		ret_name->n = (size_t)rfind(*ret_name, " AS SELECT");
		return LINE_VIEW;
	}
	if (comment < 0 || *line.p != '\t')
		return LINE_OTHER;
	*ret_text = span_sub(line, (size_t)comment + 4, line.n);
	line.n = (size_t)comment;
	as = rfind(line, " AS ");
	if (as < 0)
		return LINE_OTHER;
	*ret_name = trim(span_sub(line, (size_t)as + 4, line.n));
	return LINE_COLUMN;
}

static void print_view(struct span name, struct span text, bool first)
{
	say(stdout, "%s" SPAN_FMT ": " SPAN_FMT "\n", first ? "" : "\n", SPAN_ARG(name), SPAN_ARG(text));
}

static void print_view_json(struct span view, struct span column, struct span text)
{
	struct buf out = {0};
	struct json j = {.out = &out};

	json_obj(&j);
	json_kv_str(&j, "type", column.n ? "column" : "view");
	json_kv_span(&j, "view", view);
	if (column.n)
		json_kv_span(&j, "column", column);
	json_kv_span(&j, "text", text);
	json_obj_end(&j);
	puts(buf_cstr(&out));
	buf_free(&out);
}

/* Lists the views, or the one called @only. False when there is none of that name. */
static bool list_views(const char *only, bool json)
{
	struct span view = SPAN_EMPTY, about = SPAN_EMPTY, name, text;
	bool wanted = false, found = false;

	for (const char *p = store_views_sql; *p;) {
		const char *end = strchrnul(p, '\n');

		switch (take_apart(span_of(p, (size_t)(end - p)), &name, &text)) {
		case LINE_COMMENT:
			about = text;
			break;
		case LINE_VIEW:
			view = name;
			wanted = !only || span_is(view, only);
			if (wanted && json)
				print_view_json(view, SPAN_EMPTY, about);
			else if (wanted)
				print_view(view, about, !found);
			found |= wanted;
			break;
		case LINE_COLUMN:
			if (wanted && json)
				print_view_json(view, name, text);
			else if (wanted)
				say(stdout, "  %-20.*s " SPAN_FMT "\n", SPAN_ARG(name), SPAN_ARG(text));
			break;
		case LINE_OTHER:
			break;
		}
		p = *end ? end + 1 : end;
	}
	return found;
}

/* --- faults --- */

/* The line of @sql that holds byte @at, and a caret under it. */
static void show_place(const char *sql, size_t at)
{
	size_t from = at, to = at;
	struct buf line = {0}, before = {0};

	while (from && sql[from - 1] != '\n')
		from--;
	while (sql[to] && sql[to] != '\n')
		to++;
	text_safe(&line, span_of(sql + from, to - from));
	text_safe(&before, span_of(sql + from, at - from));
	say(stderr, "  %s\n  %*s^\n", buf_cstr(&line), (int)text_width(buf_span(&before)), "");
	buf_free(&line);
	buf_free(&before);
}

static int fail(sqlite3 *db, const char *sql, const char *from)
{
	int rc = sqlite3_errcode(db) & 0xff, at = sqlite3_error_offset(db);
	const char *msg = sqlite3_errmsg(db);

	if (rc == SQLITE_AUTH)
		msg = "no other database can be attached here";
	say(stderr, "evtrace sql: %s\n", msg);
	if (rc != SQLITE_ERROR && rc != SQLITE_AUTH && rc != SQLITE_RANGE && rc != SQLITE_MISMATCH)
		return EXIT_STORE;
	if (at >= 0)
		show_place(sql, (size_t)(from - sql) + (size_t)at);
	if (!strncmp(msg, "no such", 7))
		fputs("  evtrace sql lists views and columns\n", stderr);
	return EXIT_USAGE;
}

/* The catalogue and nothing else: other databases have no business here. */
static int authorize(void *ctx, int what, const char *a, const char *b, const char *c, const char *d)
{
	(void)ctx, (void)a, (void)b, (void)c, (void)d;
	return what == SQLITE_ATTACH || what == SQLITE_DETACH ? SQLITE_DENY : SQLITE_OK;
}

static int tick(void *ctx)
{
	(void)ctx;
	return interrupted();
}

/* --- rows --- */

static void put_hex(struct buf *out, struct span s)
{
	buf_puts(out, "X'");
	for (size_t i = 0; i < s.n; i++)
		buf_printf(out, "%02x", s.p[i]);
	buf_putc(out, '\'');
}

static struct span column_bytes(sqlite3_stmt *st, int i)
{
	const void *p = sqlite3_column_type(st, i) == SQLITE_BLOB ? sqlite3_column_blob(st, i)
								  : sqlite3_column_text(st, i);

	return span_of(p, p ? (size_t)sqlite3_column_bytes(st, i) : 0);
}

static void print_tsv(sqlite3_stmt *st, int n)
{
	struct buf out = {0};

	for (int i = 0; i < n; i++) {
		struct span s = column_bytes(st, i);

		if (i)
			buf_putc(&out, '\t');
		if (sqlite3_column_type(st, i) == SQLITE_BLOB) {
			put_hex(&out, s);
			continue;
		}
		for (size_t k = 0; k < s.n; k++)
			switch (s.p[k]) {
			case '\t':
				buf_puts(&out, "\\t");
				break;
			case '\n':
				buf_puts(&out, "\\n");
				break;
			case '\\':
				buf_puts(&out, "\\\\");
				break;
			default:
				buf_putc(&out, (char)s.p[k]);
			}
	}
	buf_putc(&out, '\n');
	fwrite(out.p, 1, out.n, stdout);
	buf_free(&out);
}

static void put_value_json(struct json *j, sqlite3_stmt *st, int i)
{
	switch (sqlite3_column_type(st, i)) {
	case SQLITE_INTEGER:
		json_int(j, sqlite3_column_int64(st, i));
		break;
	case SQLITE_FLOAT:
		json_double(j, sqlite3_column_double(st, i));
		break;
	case SQLITE_NULL:
		json_null(j);
		break;
	case SQLITE_BLOB:
		json_bytes(j, column_bytes(st, i));
		break;
	default:
		json_exact(j, column_bytes(st, i));
	}
}

/* The next column from @i on that has the name, @n: none. */
static int column_named(sqlite3_stmt *st, const char *name, int i, int n)
{
	while (i < n && strcmp(sqlite3_column_name(st, i), name))
		i++;
	return i;
}

/* A name that several columns have (a join) gives the array of their values. */
static void print_json(sqlite3_stmt *st, int n)
{
	struct buf out = {0};
	struct json j = {.out = &out};

	json_obj(&j);
	for (int i = 0; i < n; i++) {
		const char *name = sqlite3_column_name(st, i);
		bool several = column_named(st, name, i + 1, n) < n;

		if (column_named(st, name, 0, n) < i)
			continue;
		json_key(&j, name);
		if (several)
			json_arr(&j);
		for (int k = i; k < n; k = column_named(st, name, k + 1, n))
			put_value_json(&j, st, k);
		if (several)
			json_arr_end(&j);
	}
	json_obj_end(&j);
	puts(buf_cstr(&out));
	buf_free(&out);
}

static struct table *new_table(sqlite3_stmt *st, int n)
{
	struct column cols[COLUMNS_MAX] = {0};

	for (int i = 0; i < n; i++) {
		int type = sqlite3_column_type(st, i);

		cols[i].title = sqlite3_column_name(st, i);
		cols[i].align = type == SQLITE_INTEGER || type == SQLITE_FLOAT ? RIGHT : LEFT;
		cols[i].flexible = i == n - 1;
	}
	return table__new(stdout, cols, (size_t)n, SAMPLE);
}

static void print_cells(struct table *t, sqlite3_stmt *st, int n)
{
	const char *cells[COLUMNS_MAX];
	struct buf hex[COLUMNS_MAX] = {0};

	for (int i = 0; i < n; i++) {
		cells[i] = (const char *)sqlite3_column_text(st, i);
		if (sqlite3_column_type(st, i) != SQLITE_BLOB)
			continue;
		put_hex(&hex[i], column_bytes(st, i));
		cells[i] = buf_cstr(&hex[i]);
	}
	table_row(t, cells);
	for (int i = 0; i < n; i++)
		buf_free(&hex[i]);
}

/* SQLite's code at the end of the rows. */
static int print_rows(struct answer *a, sqlite3_stmt *st, uint64_t *rows)
{
	int n = sqlite3_column_count(st), rc;
	bool tty = isatty(STDOUT_FILENO) && n <= COLUMNS_MAX;
	struct table *t = NULL;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		++*rows;
		if (a->json) {
			print_json(st, n);
		} else if (tty) {
			t = t ? t : new_table(st, n);
			if (!t)
				return SQLITE_NOMEM;
			print_cells(t, st, n);
		} else {
			print_tsv(st, n);
		}
	}
	table__end(t);
	return rc;
}

static void close_text(const struct answer *a, uint64_t rows)
{
	struct buf out = {0};

	put_count(&out, rows, "row", "rows");
	buf_puts(&out, " from ");
	put_coverage(&out, a, a->cov.messages);
	buf_putc(&out, '\n');
	say_buf(stdout, &out);
	buf_free(&out);
}

/* Runs one statement after the other. */
static int run(struct answer *a, const char *sql)
{
	sqlite3 *db = store_db(a->store);
	const char *from = sql, *rest;
	uint64_t rows = 0;

	sqlite3_set_authorizer(db, authorize, NULL);
	sqlite3_progress_handler(db, TICK_OPS, tick, NULL);
	while (*from) {
		sqlite3_stmt *st;
		int rc;

		if (sqlite3_prepare_v2(db, from, -1, &st, &rest) != SQLITE_OK)
			return fail(db, sql, from);
		if (st && !sqlite3_stmt_readonly(st)) {
			sqlite3_finalize(st);
			fputs("evtrace sql: this would write, and a store is only read here\n", stderr);
			show_place(sql, (size_t)(from - sql) + strspn(from, " \t\n"));
			return EXIT_USAGE;
		}
		rc = st ? print_rows(a, st, &rows) : SQLITE_DONE;
		if (rc != SQLITE_DONE && interrupted()) {
			sqlite3_finalize(st);
			fputs("evtrace sql: interrupted; what it found so far is above\n", stderr);
			return EXIT_PARTIAL;
		}
		rc = rc == SQLITE_DONE ? 0 : fail(db, sql, from);
		sqlite3_finalize(st);
		if (rc)
			return rc;
		from = rest;
	}
	if (!a->json && isatty(STDOUT_FILENO))
		close_text(a, rows);
	return rows ? EXIT_FOUND : EXIT_NONE;
}

int cmd_sql(int argc, char **argv)
{
	static const struct option longopts[] = {JSON_LONGOPT, STORE_LONGOPT, HELP_LONGOPT, {0}};
	struct common c = {0};
	struct cmd_line line = {"sql", help, longopts, &c, 0};
	struct answer a;
	int opt, code;

	opt = cmd_option(&line, argc, argv);
	if (opt < 0)
		return line.exit_code;
	if (argc - optind > 1) {
		fputs("evtrace sql: more than one statement\n"
		      "  put it into quotes: evtrace sql \"SELECT ...\"\n",
			stderr);
		return EXIT_USAGE;
	}
	if (optind == argc || list_views(argv[optind], c.json)) {
		if (optind == argc)
			list_views(NULL, c.json);
		return EXIT_FOUND;
	}
	code = answer__open(&a, "sql", &c, 0);
	if (code)
		return code;
	interrupts_catch();
	code = run(&a, argv[optind]);
	answer__close(&a);
	return code;
}
