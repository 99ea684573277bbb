#include "replay/audit.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/timefmt.h"

#define BUSY_MS 10000 /* a recorder commits once a second, and may wait for its disk */

static int fail(struct store *s, int rc, const char *what, struct err *e)
{
	int code = (rc & 0xff) == SQLITE_FULL       ? -ENOSPC
		   : (rc & 0xff) == SQLITE_BUSY     ? -EBUSY
		   : (rc & 0xff) == SQLITE_READONLY ? -EROFS
						    : -EIO;

	return err_set(e, code, "%s in the store %s: %s", what, store_path(s), sqlite3_errmsg(store_db(s)));
}

/* Runs a statement that gives no rows. */
static int run(struct store *s, sqlite3_stmt *st, const char *what, struct err *e)
{
	int rc = sqlite3_step(st), err = 0;

	if (rc != SQLITE_DONE)
		err = fail(s, rc, what, e);
	sqlite3_finalize(st);
	return err;
}

static int prepare(struct store *s, const char *sql, sqlite3_stmt **ret, struct err *e)
{
	int rc = sqlite3_prepare_v2(store_db(s), sql, -1, ret, NULL);

	return rc == SQLITE_OK ? 0 : fail(s, rc, "cannot read the table of replays", e);
}

static void bind_text(sqlite3_stmt *st, int i, const char *s)
{
	if (s)
		sqlite3_bind_text(st, i, s, -1, SQLITE_STATIC);
}

int audit_begin(struct store *s, const struct audit_act *act, int64_t *ret_row, struct err *e)
{
	static const char what[] = "cannot note the replay";
	sqlite3_stmt *st;
	int err;

	sqlite3_busy_timeout(store_db(s), BUSY_MS);
	/* The row must outlive a power cut: it is all that says that something may have been sent. */
	sqlite3_exec(store_db(s), "PRAGMA synchronous=FULL", NULL, NULL, NULL);
	err = prepare(s,
		"INSERT INTO replay(ts_ns,message,who,why,broker,exchange,routing_key,token,result,"
		"log,mid) VALUES(?,?,?,?,?,?,?,?,'sending',NULL,NULL)",
		&st, e);
	if (err)
		return err;
	sqlite3_bind_int64(st, 1, now_wall_ns());
	sqlite3_bind_int64(st, 2, (int64_t)act->message);
	bind_text(st, 3, act->who);
	bind_text(st, 4, act->why);
	bind_text(st, 5, act->broker);
	bind_text(st, 6, act->exchange);
	bind_text(st, 7, act->routing_key);
	bind_text(st, 8, act->token);
	err = run(s, st, what, e);
	if (!err)
		*ret_row = sqlite3_last_insert_rowid(store_db(s));
	return err;
}

const char *outcome_word(enum replay_outcome o)
{
	static const char *const words[] = {[REPLAY_CONFIRMED] = "confirmed",
		[REPLAY_SENT] = "sent",
		[REPLAY_RETURNED] = "returned",
		[REPLAY_REFUSED] = "refused",
		[REPLAY_FAILED] = "failed",
		[REPLAY_UNKNOWN] = "unknown"};

	return words[o];
}

int audit_end(struct store *s, int64_t row, enum replay_outcome o, const struct replay_receipt *r,
	const struct err *why, struct err *e)
{
	bool fine = o == REPLAY_CONFIRMED || o == REPLAY_SENT;
	const char *more = fine ? r->text : why->msg;
	sqlite3_stmt *st;
	char result[600];
	int err;

	snprintf(result, sizeof(result), "%s%s%s", outcome_word(o), *more ? ": " : "", more);
	err = prepare(s,
		"UPDATE replay SET result=?, finished_ns=?, log=nullif(?,''), mid=nullif(?,'') WHERE "
		"id=?",
		&st, e);
	if (err)
		return err;
	bind_text(st, 1, result);
	sqlite3_bind_int64(st, 2, now_wall_ns());
	bind_text(st, 3, r->log);
	bind_text(st, 4, r->mid);
	sqlite3_bind_int64(st, 5, row);
	return run(s, st, "cannot note the result of the replay", e);
}

void audit_who(char *out, size_t n)
{
	const char *sudo = getuid() == 0 ? getenv("SUDO_USER") : NULL;
	struct passwd *pw = getpwuid(getuid());

	if (sudo && *sudo)
		snprintf(out, n, "%s", sudo);
	else if (pw)
		snprintf(out, n, "%s", pw->pw_name);
	else
		snprintf(out, n, "uid %u", (unsigned)getuid());
}
