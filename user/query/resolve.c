/* From what an operator typed to messages: an id, or a value that only one message has. */
#include <errno.h>
#include <stdio.h>

#include "base/timefmt.h"
#include "query/catalogue.h"
#include "query/query.h"

#define CANDIDATES 5 /* listed when a value is ambiguous */

static bool is_id(int argc, char *const *argv, uint64_t *ret)
{
	return argc == 1 && (argv[0][0] == 'm' || argv[0][0] == 'M') && !message_id_parse(argv[0], ret);
}

static int check_id(struct store *s, uint64_t id, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(s, "SELECT 1 FROM message WHERE id=?", &st, e), more;

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, (int64_t)id);
	more = cat_step(s, st, e);
	sqlite3_finalize(st);
	if (!more)
		return err_set(e, -ENOENT, "there is no m%llu", (unsigned long long)id);
	return more < 0 ? more : 0;
}

/* One line of the list of candidates. */
static size_t put_candidate(char *out, size_t n, const struct row *r)
{
	char when[40];
	int k;

	fmt_clock(when, sizeof(when), r->when_ns, 0);
	k = snprintf(out, n, "\n  m%-7llu %s  %-13s  %-12.12s  %.28s", (unsigned long long)r->id, when,
		row_state(r), r->service[0] ? r->service : "-", row_label(r));
	return k < 0 || (size_t)k >= n ? n - 1 : (size_t)k;
}

static int ambiguous(struct store *s, const struct query *q, struct err *e)
{
	struct select_opts o = {.limit = CANDIDATES, .peek = true};
	struct select_stats stats;
	struct select *sel = NULL;
	struct row r;
	char list[400] = "";
	size_t at = 0;
	int err, more;

	err = select__new(s, q, &o, &sel, e);
	if (err)
		return err;
	while ((more = select__next(sel, &r, e)) > 0)
		at += put_candidate(list + at, sizeof(list) - at, &r);
	select_stats(sel, &stats);
	select__free(sel);
	if (more < 0)
		return more;
	err = err_set(e, -ENOTUNIQ, "%.60s finds more than one message:%s%s", query_text(q), list,
		stats.limited ? "\n  …" : "");
	err_hint(e, "name one by its id; evtrace find lists them all");
	return err;
}

static int not_found(const struct query *q, struct err *e)
{
	struct buf text = {0};

	put_not_found(&text, q);
	err_set(e, -ENOENT, "%s", buf_cstr(&text));
	buf_free(&text);
	return -ENOENT;
}

int resolve_messages(struct store *s, int argc, char *const *argv, size_t max, uint64_t *ret_ids,
	size_t *ret_n, bool *ret_more, struct err *e)
{
	struct select_opts o = {.limit = max, .peek = max > 2};
	struct select_stats stats;
	struct select *sel = NULL;
	struct query *q = NULL;
	struct row r;
	uint64_t id;
	size_t n = 0;
	int err, more = 0;

	if (is_id(argc, argv, &id)) {
		err = check_id(s, id, e);
		if (!err) {
			ret_ids[0] = id;
			*ret_n = 1;
			*ret_more = false;
		}
		return err;
	}
	err = query__from_args(argc, argv, now_wall_ns(), &q, e);
	if (!err)
		err = select__new(s, q, &o, &sel, e);
	while (!err && (more = select__next(sel, &r, e)) > 0)
		ret_ids[n++] = r.id;
	if (!err && more < 0)
		err = more;
	if (!err && !n)
		err = not_found(q, e);
	if (!err) {
		select_stats(sel, &stats);
		*ret_n = n;
		*ret_more = stats.limited;
	}
	select__free(sel);
	query__free(q);
	return err;
}

int resolve_message(struct store *s, int argc, char *const *argv, uint64_t *ret_id, struct err *e)
{
	struct query *q = NULL;
	uint64_t ids[2];
	bool more;
	size_t n;
	int err;

	err = resolve_messages(s, argc, argv, 2, ids, &n, &more, e);
	if (!err && n > 1) {
		err = query__from_args(argc, argv, now_wall_ns(), &q, e);
		if (!err)
			err = ambiguous(s, q, e);
		query__free(q);
	}
	if (!err)
		*ret_id = ids[0];
	return err;
}
