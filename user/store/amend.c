/*
 * What was stored turns out to be otherwise: two messages are one, something has another name. Rare, so
 * statements are prepared when they are needed. All within the transaction of the batch.
 */
#include "store/internal.h"

static int finish(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_finalize(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* Runs @sql with ?1 and ?2. */
static int run(sqlite3 *db, const char *sql, int64_t a, int64_t b)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(st, 1, a);
	if (sqlite3_bind_parameter_count(st) > 1)
		sqlite3_bind_int64(st, 2, b);
	return finish(st);
}

static int run_all(sqlite3 *db, const char *const *sql, size_t n, int64_t a, int64_t b)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < n && rc == SQLITE_OK; i++)
		rc = run(db, sql[i], a, b);
	return rc;
}

int amend_messages(sqlite3 *db, uint64_t from, uint64_t to, int64_t *fresh)
{
	static const char *const sql[] = {
		"UPDATE operation SET message=?2 WHERE message=?1",
		"UPDATE copy SET message=?2 WHERE message=?1",
		"DELETE FROM link WHERE (src=?1 AND dst=?2) OR (src=?2 AND dst=?1)",
		"UPDATE link SET src=?2 WHERE src=?1",
		"UPDATE link SET dst=?2 WHERE dst=?1",
		"DELETE FROM identifier WHERE message=?1",
		"DELETE FROM message WHERE id=?1",
	};
	int rc = run_all(db, sql, ARRAY_LEN(sql), (int64_t)from, (int64_t)to);

	if (rc == SQLITE_OK && sqlite3_changes(db))
		--*fresh;
	return rc;
}

int amend_brokers(sqlite3 *db, uint64_t from, uint64_t to)
{
	static const char *const sql[] = {
		"UPDATE message SET broker=?2 WHERE broker=?1",
		"UPDATE connection SET broker=?2 WHERE broker=?1",
		"UPDATE consumer SET broker=?2 WHERE broker=?1",
		/* What both have is as the one that stays tells it. */
		"UPDATE OR IGNORE exchange SET broker=?2 WHERE broker=?1",
		"DELETE FROM exchange WHERE broker=?1",
		"UPDATE OR IGNORE queue SET broker=?2 WHERE broker=?1",
		"DELETE FROM queue WHERE broker=?1",
		"UPDATE OR IGNORE binding SET broker=?2 WHERE broker=?1",
		"DELETE FROM binding WHERE broker=?1",
		"DELETE FROM broker WHERE id=?1",
	};

	return run_all(db, sql, ARRAY_LEN(sql), (int64_t)from, (int64_t)to);
}

static int run_spans(sqlite3 *db, const char *sql, struct span from, struct span to)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_text64(st, 1, (const char *)from.p, from.n, SQLITE_STATIC, SQLITE_UTF8);
	if (sqlite3_bind_parameter_count(st) > 1)
		sqlite3_bind_text64(st, 2, (const char *)to.p, to.n, SQLITE_STATIC, SQLITE_UTF8);
	return finish(st);
}

/* Is it ?1, or part of what has that name? '0' follows '/': the range is for the index. */
#define OLD(text) text ">=?1 AND " text "<?1||'0' AND substr(" text ",length(?1)+1,1) IN ('','-','/')"
#define NEW(text) "?2||substr(" text ",length(?1)+1)"
/* Names of which the new one is there already: rows with the old one get that, and the old one stays unused.
 */
#define BOTH "name f JOIN name t ON t.text=" NEW("f.text") " WHERE " OLD("f.text")
#define MOVE(table, column)                                                                                  \
	"UPDATE " table " SET " column "=(SELECT t.id FROM " BOTH " AND f.id=" column ") WHERE " column      \
	" IN (SELECT f.id FROM " BOTH ")"

int amend_name(sqlite3 *db, struct span from, struct span to)
{
	static const char *const sql[] = {
		MOVE("message", "exchange"),
		MOVE("message", "log"),
		MOVE("copy", "queue"),
		"UPDATE OR IGNORE name SET text=" NEW("text") " WHERE " OLD("text"),
		/* What is there already was told later, and stays. */
		"UPDATE OR IGNORE queue SET name=" NEW("name") " WHERE " OLD("name"),
		"DELETE FROM queue WHERE " OLD("name"),
		"UPDATE consumer SET queue=" NEW("queue") " WHERE " OLD("queue"),
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < ARRAY_LEN(sql) && rc == SQLITE_OK && from.n; i++)
		rc = run_spans(db, sql[i], from, to);
	return rc;
}
