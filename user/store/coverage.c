/* What answers may claim to cover, summed over all sessions. */
#include "store/internal.h"

#include <errno.h>
#include <stdio.h>

static const char coverage_sql[] =
	"SELECT (SELECT min(started_ns) FROM session),"
	" (SELECT max(ifnull(ended_ns,started_ns)) FROM session),"
	" (SELECT ifnull(sum(messages),0) FROM session),"
	" (SELECT count(*) FROM message WHERE flags & 1)," /* OPF_TRUNCATED */
	" (SELECT count(*) FROM gap),"
	" (SELECT ifnull(sum(bytes),0) FROM gap),"
	" (SELECT ifnull(sum(lost_records),0) FROM session),"
	" (SELECT ifnull(sum(lost_bytes),0) FROM session),"
	" (SELECT count(*) FROM connection WHERE state=3)," /* CONN_ENCRYPTED */
	" (SELECT ifnull(sum(bytes_to_server+bytes_to_client),0) FROM connection WHERE state=3),"
	/* CONN_UNKNOWN, CONN_FAILED, CONN_UNREAD. In a few bytes (a thread wakes another one) no message can
	   have been. */
	" (SELECT count(*) FROM connection WHERE state IN (4,5) OR (state=0 AND "
	"bytes_to_server+bytes_to_client>=16))";
_Static_assert(OPF_TRUNCATED == 1 && CONN_ENCRYPTED == 3 && CONN_UNKNOWN == 0 && CONN_FAILED == 4 &&
		       CONN_UNREAD == 5,
	"numbers in the query above");

/* The busiest of them: "java 812". */
static const char who_sql[] =
	"SELECT coalesce(nullif(p.service,''),nullif(p.comm,''),'process')||' '||p.pid FROM connection c"
	" JOIN process p ON p.id=ifnull(c.client,c.server) WHERE c.state=3"
	" ORDER BY c.bytes_to_server+c.bytes_to_client DESC LIMIT 1";

static int row(struct store *s, const char *sql, sqlite3_stmt **ret, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(store_db(s), sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
		*ret = st;
		return rc == SQLITE_ROW;
	}
	rc = catalogue_err(store_db(s), rc, store_path(s), "read", e);
	sqlite3_finalize(st);
	return rc;
}

int store_coverage(struct store *s, struct coverage *ret, struct err *e)
{
	struct coverage c = {.running = store_lock_holder(store_path(s)) != 0};
	sqlite3_stmt *st;
	int err;

	err = row(s, coverage_sql, &st, e);
	if (err < 0)
		return err;
	c.since_ns = sqlite3_column_int64(st, 0);
	c.until_ns = sqlite3_column_int64(st, 1);
	c.messages = (uint64_t)sqlite3_column_int64(st, 2);
	c.truncated = (uint64_t)sqlite3_column_int64(st, 3);
	c.gaps = (uint64_t)sqlite3_column_int64(st, 4);
	c.gap_bytes = (uint64_t)sqlite3_column_int64(st, 5);
	c.lost_records = (uint64_t)sqlite3_column_int64(st, 6);
	c.lost_bytes = (uint64_t)sqlite3_column_int64(st, 7);
	c.encrypted = (uint64_t)sqlite3_column_int64(st, 8);
	c.encrypted_bytes = (uint64_t)sqlite3_column_int64(st, 9);
	c.undecoded = (uint64_t)sqlite3_column_int64(st, 10);
	sqlite3_finalize(st);
	if (c.encrypted) {
		err = row(s, who_sql, &st, e);
		if (err < 0)
			return err;
		if (err > 0 && sqlite3_column_text(st, 0))
			snprintf(c.encrypted_who, sizeof(c.encrypted_who), "%s",
				(const char *)sqlite3_column_text(st, 0));
		sqlite3_finalize(st);
	}
	*ret = c;
	return 0;
}
