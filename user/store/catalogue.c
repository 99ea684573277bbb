/* The SQLite file: created whole, opened with the checks that tell ours from others', errors in words. */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

const char store_schema_sql[] =
#include "store/schema.sql.h"
	;
const char store_views_sql[] =
#include "store/views.sql.h"
	;

static const char protocols_sql[] = "INSERT OR REPLACE INTO protocol VALUES (0,'unknown')"
#define PROTO(id, name, num) ",(" #num ",'" #name "')"
#include "proto/protos.def"
#undef PROTO
	;

/* How many there are: a new one makes an older store's table be brought up to date. */
enum {
	PROTOCOLS = 0
#define PROTO(id, name, num) +1
#include "proto/protos.def"
#undef PROTO
};

/* The recorder does not wait long for `replay`: its rows are kept and tried again. Others do. */
#define WRITER_BUSY_MS 1000
#define BUSY_MS        10000

static int errno_of(sqlite3 *db, int rc)
{
	/* What SQLite remembers is lost when the statement is reset; errno is not. */
	int os = db && sqlite3_system_errno(db) ? sqlite3_system_errno(db) : errno;

	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_INTERRUPT:
		return -EINTR;
	case SQLITE_CANTOPEN:
		return os == EACCES || os == ENOENT || os == EROFS ? -os : -EACCES;
	case SQLITE_IOERR:
		return os == ENOSPC || os == EDQUOT || os == EFBIG ? -ENOSPC : -EIO;
	default:
		return -EINVAL;
	}
}

int catalogue_err(sqlite3 *db, int rc, const char *path, const char *what, struct err *e)
{
	int err = errno_of(db, rc);

	if (err == -ENOSPC) {
		err_set(e, err, "cannot %s %s: the disk is full", what, path);
		err_hint(e, "what was stored so far is safe; make room on its file system");
		return err;
	}
	err_set(e, err, "cannot %s %s: %s", what, path, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	if (err == -EBADMSG)
		err_hint(e, "the file is damaged; `sqlite3 %s .recover` saves what can be read", path);
	return err;
}

int catalogue_exec(sqlite3 *db, const char *path, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : catalogue_err(db, rc, path, "use", e);
}

int catalogue_int(sqlite3 *db, const char *path, const char *sql, int64_t none, int64_t *ret, struct err *e)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL)
			*ret = sqlite3_column_int64(st, 0);
		else if (rc == SQLITE_ROW || rc == SQLITE_DONE)
			*ret = none;
		sqlite3_finalize(st);
	}
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : catalogue_err(db, rc, path, "read", e);
}

/* Saves a lock and a counter at each malloc; refused, harmlessly, once SQLite was used. */
static void configure(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* --- creating --- */

static int create_schema(sqlite3 *db, const char *path, struct err *e)
{
	char head[160];
	int err;

	/* 8 KiB pages measured fastest with rows of this size. WAL is recorded in the file. */
	err = catalogue_exec(db, path, "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; BEGIN", e);
	if (err)
		return err;
	snprintf(head, sizeof(head), "PRAGMA application_id=%d; PRAGMA user_version=%d", STORE_APPLICATION_ID,
		STORE_VERSION);
	err = catalogue_exec(db, path, head, e);
	if (!err)
		err = catalogue_exec(db, path, store_schema_sql, e);
	if (!err)
		err = catalogue_exec(db, path, "COMMIT", e);
	return err;
}

static void remove_with_journals(const char *file)
{
	static const char *const suffix[] = {"", "-wal", "-shm", "-journal"};
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(suffix); i++)
		if ((size_t)snprintf(path, sizeof(path), "%s%s", file, suffix[i]) < sizeof(path))
			unlink(path);
}

static int create_file(const char *file, struct err *e)
{
	/* O_EXCL and the mode before SQLite sees it: no moment at which others could read it. */
	int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), err = 0;

	if (fd < 0 || fchmod(fd, 0600)) {
		err = -errno;
		err_set(e, err, "cannot create %s: %s", file, strerror(-err));
	}
	if (fd >= 0)
		close(fd);
	return err;
}

int catalogue_create(const char *file, struct err *e)
{
	char tmp[PATH_MAX];
	sqlite3 *db = NULL;
	int rc, err;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.new", file) >= sizeof(tmp))
		return err_set(e, -ENAMETOOLONG, "the store's path is too long");
	configure();
	remove_with_journals(tmp);
	err = create_file(tmp, e);
	if (err)
		return err;
	rc = sqlite3_open_v2(tmp, &db, SQLITE_OPEN_READWRITE, NULL);
	err = rc == SQLITE_OK ? create_schema(db, tmp, e) : catalogue_err(db, rc, tmp, "create", e);
	/* The last connection moves the log into the file and removes it. */
	if (sqlite3_close(db) != SQLITE_OK && !err)
		err = err_set(e, -EIO, "cannot create %s", tmp);
	if (!err && rename(tmp, file)) {
		err = -errno;
		err_set(e, err, "cannot create %s: %s", file, strerror(-err));
	}
	if (err)
		remove_with_journals(tmp);
	return err;
}

/* --- opening --- */

static int check_version(sqlite3 *db, const char *file, struct err *e)
{
	int64_t app, version;
	int err;

	err = catalogue_int(db, file, "PRAGMA application_id", 0, &app, e);
	if (!err)
		err = catalogue_int(db, file, "PRAGMA user_version", 0, &version, e);
	if (err == -EBADMSG) {
		err_set(e, -EINVAL, "%s is not a store: it is no SQLite database", file);
		err_hint(e, "choose another place with --store DIR");
		return -EINVAL;
	}
	if (err)
		return err;
	if (app != STORE_APPLICATION_ID || version < 1) {
		err_set(e, -EINVAL, "%s is not a store: it is a database of something else", file);
		err_hint(e, "choose another place with --store DIR");
		return -EINVAL;
	}
	if (version > STORE_VERSION) {
		err_set(e, -EPROTO, "%s is from a newer evtrace (store version %lld, this one knows %d)",
			file, (long long)version, STORE_VERSION);
		err_hint(e, "use that evtrace, or choose another place with --store DIR");
		return -EPROTO;
	}
	return 0;
}

static int open_db(const char *name, int flags, const char *file, sqlite3 **ret, struct err *e)
{
	sqlite3 *db = NULL;
	int rc, err;

	configure();
	rc = sqlite3_open_v2(name, &db, flags | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		err = catalogue_err(db, rc, file, "open", e);
	else
		err = check_version(db, file, e);
	/* SQLite falls back to reading where it may not write. */
	if (!err && flags & SQLITE_OPEN_READWRITE && sqlite3_db_readonly(db, "main")) {
		err = err_set(e, -EACCES, "cannot write to %s: permission denied, or a read-only file system",
			file);
		err_hint(e, "run it as the store's owner, or choose another place with --store DIR");
	}
	if (err) {
		sqlite3_close(db);
		return err;
	}
	sqlite3_busy_timeout(db, BUSY_MS);
	*ret = db;
	return 0;
}

static int drop_views(sqlite3 *db, const char *file, struct err *e)
{
	int err = 0;

	for (;;) {
		sqlite3_stmt *st;
		char sql[160] = "";
		int rc = sqlite3_prepare_v2(
			db, "SELECT name FROM sqlite_master WHERE type='view' LIMIT 1", -1, &st, NULL);

		if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
			sqlite3_snprintf(sizeof(sql), sql, "DROP VIEW \"%w\"", sqlite3_column_text(st, 0));
		sqlite3_finalize(st);
		if (!sql[0])
			return err;
		err = catalogue_exec(db, file, sql, e);
		if (err)
			return err;
	}
}

/* What a store of an older version lacks, one step a version: [n] leads from version n to n + 1. */
static const char *const upgrades[STORE_VERSION] = {
	[1] = "ALTER TABLE message ADD COLUMN dest INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE message ADD COLUMN log INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE message ADD COLUMN mid TEXT;"
	      "ALTER TABLE replay ADD COLUMN log TEXT;"
	      "ALTER TABLE replay ADD COLUMN mid TEXT;"
	      "CREATE INDEX replay_copy ON replay(log, mid) WHERE mid IS NOT NULL;",
};

static int upgrade(sqlite3 *db, const char *file, struct err *e)
{
	char sql[64];
	int64_t version;
	int err = catalogue_int(db, file, "PRAGMA user_version", 0, &version, e);

	for (; !err && version < STORE_VERSION; version++) {
		err = catalogue_exec(db, file, "BEGIN IMMEDIATE", e);
		if (!err)
			err = catalogue_exec(db, file, upgrades[version], e);
		snprintf(sql, sizeof(sql), "PRAGMA user_version=%lld; COMMIT", (long long)version + 1);
		if (!err)
			err = catalogue_exec(db, file, sql, e);
		if (err)
			sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	}
	return err;
}

/* Views and the names of decoders are code, not data: a store made by an older evtrace gets those of this
 * one. */
static int refresh(sqlite3 *db, const char *file, struct err *e)
{
	int64_t here = (int64_t)hash_span(span_str(store_views_sql), PROTOCOLS), there;
	char sql[128];
	int err;

	err = catalogue_int(db, file, "SELECT value FROM meta WHERE key='views'", 0, &there, e);
	if (err || here == there)
		return err;
	err = catalogue_exec(db, file, "BEGIN IMMEDIATE", e);
	if (err)
		return err;
	err = drop_views(db, file, e);
	if (!err)
		err = catalogue_exec(db, file, store_views_sql, e);
	if (!err)
		err = catalogue_exec(db, file, protocols_sql, e);
	snprintf(sql, sizeof(sql), "INSERT OR REPLACE INTO meta VALUES('views',%lld)", (long long)here);
	if (!err)
		err = catalogue_exec(db, file, sql, e);
	if (!err)
		err = catalogue_exec(db, file, "COMMIT", e);
	if (err)
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

int catalogue_open_writer(const char *file, sqlite3 **ret, struct err *e)
{
	sqlite3 *db;
	int err;

	err = open_db(file, SQLITE_OPEN_READWRITE, file, &db, e);
	if (err)
		return err;
	/* Durable against kill -9 at each commit, against a power cut at each checkpoint, corrupt never:
	 * sqlite.org/wal.html. Checkpoints are the applier's, after the segments are synced. */
	err = catalogue_exec(db, file,
		"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0;"
		"PRAGMA cache_size=-65536; PRAGMA temp_store=MEMORY; PRAGMA secure_delete=0; PRAGMA "
		"journal_size_limit=67108864",
		e);
	sqlite3_busy_timeout(db, WRITER_BUSY_MS);
	if (!err)
		err = upgrade(db, file, e);
	if (!err)
		err = refresh(db, file, e);
	if (err) {
		sqlite3_close(db);
		return err;
	}
	*ret = db;
	return 0;
}

/* "file:PATH?immutable=1" with what a URI gives a meaning escaped. */
static int immutable_uri(const char *file, char *out, size_t n)
{
	size_t o = (size_t)snprintf(out, n, "file:");

	for (const char *p = file; *p; p++) {
		if (o + 24 > n)
			return -ENAMETOOLONG;
		if (strchr("?#%", *p))
			o += (size_t)snprintf(out + o, n - o, "%%%02x", (unsigned char)*p);
		else
			out[o++] = *p;
	}
	snprintf(out + o, n - o, "?immutable=1");
	return 0;
}

/*
 * A WAL database needs its -shm file even to be read. Where none can be made (read-only file system or
 * directory), the file alone is the whole truth, provided that no log lies beside it and nobody writes.
 */
static int open_immutable(const char *dir, const char *file, sqlite3 **ret, struct err *e)
{
	char wal[PATH_MAX], uri[3 * PATH_MAX];
	struct stat st;

	if ((size_t)snprintf(wal, sizeof(wal), "%s-wal", file) >= sizeof(wal) ||
		immutable_uri(file, uri, sizeof(uri)))
		return err_set(e, -ENAMETOOLONG, "the store's path is too long");
	if (store_lock_holder(dir) || (!stat(wal, &st) && st.st_size)) {
		err_set(e, -EROFS,
			"cannot read the store %s: it was not closed in good order and is read-only", dir);
		err_hint(e, "copy the directory to a place that can be written, and read it there");
		return -EROFS;
	}
	return open_db(uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, file, ret, e);
}

/* A store of an older version is brought up to date by whoever opens it first and may. */
static int bring_up_to_date(const char *dir, const char *file, sqlite3 **db, struct err *e)
{
	int64_t version;
	sqlite3 *writer;
	int err = catalogue_int(*db, file, "PRAGMA user_version", 0, &version, e);

	if (err || version == STORE_VERSION)
		return err;
	err = catalogue_open_writer(file, &writer, e);
	if (!err) {
		sqlite3_close(writer);
		return 0;
	}
	sqlite3_close(*db);
	*db = NULL;
	err_set(e, -EPROTO, "the store %s is of an older evtrace (store version %lld, this one writes %d)",
		dir, (long long)version, STORE_VERSION);
	err_hint(e, "open it once as its owner, where it can be written, to bring it up to date");
	return -EPROTO;
}

int catalogue_open_reader(const char *dir, const char *file, bool writable, sqlite3 **ret, struct err *e)
{
	int err;

	err = open_db(file, writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, file, ret, e);
	if (!writable && (err == -EROFS || err == -EACCES || err == -ENOENT) && access(dir, W_OK))
		err = open_immutable(dir, file, ret, e);
	if (!err)
		err = bring_up_to_date(dir, file, ret, e);
	if (err)
		return err;
	return catalogue_exec(*ret, file,
		writable ? "PRAGMA synchronous=FULL" : "PRAGMA query_only=1; PRAGMA cache_size=-65536", e);
}
