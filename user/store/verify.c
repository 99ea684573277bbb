/* Verifying a store: the catalogue's own check, every block's checksum, every reference to a payload. */
#include "store/internal.h"

#include <errno.h>
#include <stdio.h>

struct verify {
	struct store *s;
	const struct store_verify *v;
	int64_t faults;
	uint64_t done, total;
	struct buf scratch, raw;
};

static void fault(struct verify *c, const char *what)
{
	c->faults++;
	c->v->fault(c->v->ctx, what);
}

/* Calls @fn for each row that @sql gives; it returns 0 or -errno. */
static int each(
	struct verify *c, const char *sql, int (*fn)(struct verify *c, sqlite3_stmt *st), struct err *e)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(store_db(c->s), sql, -1, &st, NULL), err = 0;

	while (rc == SQLITE_OK && !err && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		err = fn(c, st);
		rc = SQLITE_OK;
	}
	if (!err && rc != SQLITE_DONE)
		err = catalogue_err(store_db(c->s), rc, store_path(c->s), "verify", e);
	sqlite3_finalize(st);
	return err;
}

static int catalogue_row(struct verify *c, sqlite3_stmt *st)
{
	const char *text = (const char *)sqlite3_column_text(st, 0);
	char what[512];

	if (!text || !strcmp(text, "ok"))
		return 0;
	snprintf(what, sizeof(what), "%s: %s", STORE_CATALOGUE, text);
	fault(c, what);
	return 0;
}

/* The payloads of a block follow each other to its end, and are as many as it says. */
static bool chain_good(struct span raw, uint32_t payloads)
{
	struct span env, body;
	size_t off = 0;

	for (uint32_t i = 0; i < payloads; i++) {
		if (!block_payload(raw, off, &env, &body))
			return false;
		off += payload_size(env, body);
	}
	return off == raw.n;
}

static int block_row(struct verify *c, sqlite3_stmt *st)
{
	struct block_place p = {
		.id = (uint64_t)sqlite3_column_int64(st, 0),
		.segment = (uint32_t)sqlite3_column_int64(st, 1),
		.offset = (uint64_t)sqlite3_column_int64(st, 2),
		.stored_size = (uint32_t)sqlite3_column_int64(st, 3),
		.raw_size = (uint32_t)sqlite3_column_int64(st, 4),
		.payloads = (uint32_t)sqlite3_column_int64(st, 5),
	};
	struct err e = {0};
	int err = block_read(store_path(c->s), &p, &c->scratch, &c->raw, &e);

	if (!err && !chain_good(buf_span(&c->raw), p.payloads))
		err = err_set(&e, -EBADMSG, "payload block %llu: its payloads do not fill it",
			(unsigned long long)p.id);
	if (err == -ENOMEM)
		return err;
	if (err)
		fault(c, e.msg);
	c->done++;
	if (c->v->progress && !c->v->progress(c->v->ctx, c->done, c->total))
		return -EINTR;
	return 0;
}

static int dangling_row(struct verify *c, sqlite3_stmt *st)
{
	char what[160];

	if (!sqlite3_column_int64(st, 0))
		return 0;
	snprintf(what, sizeof(what), "the payloads of %lld messages are in no block (the first: m%lld)",
		(long long)sqlite3_column_int64(st, 0), (long long)sqlite3_column_int64(st, 1));
	fault(c, what);
	return 0;
}

int64_t store_verify(struct store *s, const struct store_verify *v, struct err *e)
{
	struct verify c = {.s = s, .v = v};
	int64_t total;
	int err;

	err = catalogue_int(store_db(s), store_path(s), "SELECT count(*) FROM block", 0, &total, e);
	if (err)
		return err;
	c.total = (uint64_t)total;
	err = each(&c, "PRAGMA integrity_check", catalogue_row, e);
	if (!err)
		err = each(&c,
			"SELECT id,segment,offset,stored_size,raw_size,payloads FROM block ORDER BY id",
			block_row, e);
	if (!err)
		err = each(&c,
			"SELECT count(*),min(id) FROM message WHERE payload>>28 NOT IN (SELECT id FROM "
			"block)",
			dangling_row, e);
	buf_free(&c.scratch);
	buf_free(&c.raw);
	if (err == -EINTR)
		err_set(e, err, "interrupted");
	return err ? err : c.faults;
}
