/*
 * What was stored turns out to be otherwise: two messages are one, something has another name. Rare, so
 * statements are prepared when they are needed. All within the transaction of the batch.
 */
#include "store/internal.h"

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
	rc = sqlite3_step(st);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
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

static void bind_span(sqlite3_stmt *st, int at, struct span s)
{
	sqlite3_bind_text64(st, at, (const char *)s.p, s.n, SQLITE_STATIC, SQLITE_UTF8);
}

/* Rows of the name @id are from now on of the name ?2. */
static int move_name(sqlite3 *db, int64_t id, int64_t to)
{
	static const char *const sql[] = {
		"UPDATE message SET exchange=?2 WHERE exchange=?1",
		"UPDATE message SET log=?2 WHERE log=?1",
		"UPDATE copy SET queue=?2 WHERE queue=?1",
	};

	return run_all(db, sql, ARRAY_LEN(sql), id, to);
}

/* The name of @st's row gets the text ?1; where that is a name already, what has the old one gets that one.
 */
static int rename_row(sqlite3 *db, sqlite3_stmt *st, struct span from, struct span to)
{
	static const char known[] = "SELECT id FROM name WHERE text=?1||substr(?2,?3)";
	static const char put[] = "UPDATE name SET text=?1||substr(?2,?3) WHERE id=?4";
	int64_t id = sqlite3_column_int64(st, 0), other = 0;
	struct span text = {sqlite3_column_text(st, 1), (size_t)sqlite3_column_bytes(st, 1)};

	if (text.n > from.n && text.p[from.n] != '-' && text.p[from.n] != '/')
		return SQLITE_OK;
	for (int i = 0; i < 2; i++) {
		sqlite3_stmt *s;
		int rc = sqlite3_prepare_v2(db, i ? put : known, -1, &s, NULL);

		if (rc != SQLITE_OK)
			return rc;
		bind_span(s, 1, to);
		bind_span(s, 2, text);
		sqlite3_bind_int64(s, 3, (int64_t)from.n + 1);
		if (i)
			sqlite3_bind_int64(s, 4, id);
		rc = sqlite3_step(s);
		if (!i && rc == SQLITE_ROW)
			other = sqlite3_column_int64(s, 0);
		sqlite3_finalize(s);
		if (rc != SQLITE_DONE && rc != SQLITE_ROW)
			return rc;
		if (other)
			return move_name(db, id, other);
	}
	return SQLITE_OK;
}

static int rename_names(sqlite3 *db, struct span from, struct span to)
{
	/* '0' follows '/' */
	static const char like[] = "SELECT id,text FROM name WHERE text>=?1 AND text<?1||'0'";
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, like, -1, &st, NULL), err = SQLITE_OK;

	if (rc != SQLITE_OK)
		return rc;
	bind_span(st, 1, from);
	while (err == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
		err = rename_row(db, st, from, to);
	sqlite3_finalize(st);
	return err != SQLITE_OK ? err : rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int amend_name(sqlite3 *db, struct span from, struct span to)
{
#define OLD(column) "substr(" column ",1,length(?1))=?1 AND substr(" column ",length(?1)+1,1) IN ('','-','/')"
	static const char *const sql[] = {
		/* What is there already was told later, and stays. */
		"UPDATE OR IGNORE queue SET name=?2||substr(name,length(?1)+1) WHERE " OLD("name"),
		"DELETE FROM queue WHERE " OLD("name"),
		"UPDATE consumer SET queue=?2||substr(queue,length(?1)+1) WHERE " OLD("queue"),
	};
#undef OLD
	int rc = from.n ? rename_names(db, from, to) : SQLITE_OK;

	for (size_t i = 0; i < ARRAY_LEN(sql) && rc == SQLITE_OK && from.n; i++) {
		sqlite3_stmt *st;

		rc = sqlite3_prepare_v2(db, sql[i], -1, &st, NULL);
		if (rc != SQLITE_OK)
			break;
		bind_span(st, 1, from);
		if (sqlite3_bind_parameter_count(st) > 1)
			bind_span(st, 2, to);
		rc = sqlite3_step(st);
		sqlite3_finalize(st);
		rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
	}
	return rc;
}
