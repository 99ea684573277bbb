/*
 * The store: one directory that a user can copy, back up and delete.
 *
 *   catalogue.db   SQLite (WAL): schema.sql; open to plain sqlite3
 *   blocks/NNNNNN  append-only segments of compressed payload blocks: block.h
 *   schemas.ndjson schemas that were seen to pass, for bodies that name theirs by its number: schemas.c
 *   lock           flock()ed by the one writer, holds its pid
 *
 * A commit appends the open block to its segment first, then commits the catalogue: a crash between the two
 * leaves bytes that nothing refers to, which the next writer cuts off. A payload that was referred to is
 * always there.
 */
#ifndef EVTRACE_STORE_STORE_H
#define EVTRACE_STORE_STORE_H

#include <sqlite3.h>

#include "base/err.h"
#include "correlate/correlate.h"

#define STORE_VERSION        2
#define STORE_APPLICATION_ID 0x65767472 /* "evtr" */

/* $EVTRACE_STORE, else /var/lib/evtrace for root, else $XDG_STATE_HOME/evtrace, else ~/.local/state/evtrace.
 */
int store_default_path(char *out, size_t n, struct err *e);

/* --- schemas of bodies (extract/schema.h) --- */

/* Loads those of the store in @dir and those that $EVTRACE_SCHEMAS names. On an error, which concerns the
 * latter in most cases, what could be loaded is. */
int store_load_schemas(const char *dir, struct err *e);
/* Takes in what passed on a registry's topic, and keeps it in the store if it is new. -errno when it could
 * not be kept. */
int store_learn_schema(const char *dir, struct span record);

/* --- writing: record and import --- */

struct store_session {
	const char *source, *scope, *version;
	int64_t started_ns;
};

struct store_writer;

/*
 * Creates the directory (0700, files 0600) if it is not there, locks it, recovers what a crash left, begins a
 * session. Errors say which: -EBUSY another writer (its pid), -ENOTDIR / -EINVAL not a store, -EPROTO from a
 * newer evtrace, -EROFS, -EACCES, -ENOSPC, -EIO.
 */
int store_writer__open(
	const char *path, const struct store_session *s, struct store_writer **ret, struct err *e);
/* Commits and ends the session in good order. NULL is fine. An error: rows were lost, the last ones or while
 * the disk was full. */
int store_writer__close(struct store_writer *w, struct err *e);

void store_writer_sink(struct store_writer *w, struct record_sink *ret);
void store_writer_ids(const struct store_writer *w, struct record_ids *ret);
/* Feeds the correlator with the open messages (newest @limit) and the topology of earlier sessions. */
int store_writer_restore(struct store_writer *w, struct correlator *c, size_t limit);
/*
 * Makes all rows so far durable against kill -9, and @now_ns the session's ended_ns. On -ENOSPC nothing
 * already stored is harmed: the rows stay in memory (64 MiB of them; more are dropped and counted as lost
 * records) and are written by a later commit that succeeds. Each commit that fails says so.
 */
int store_writer_commit(struct store_writer *w, int64_t now_ns, struct err *e);
/* The same without waiting, for a caller that must keep up with a ring buffer: the rows are on their way to
 * the disk when it returns, and the error is that of the commit before. */
int store_writer_commit_soon(struct store_writer *w, int64_t now_ns, struct err *e);
void store_writer_losses(
	struct store_writer *w, uint64_t records, uint64_t bytes, uint64_t ignored_connections);
uint64_t store_writer_size(const struct store_writer *w); /* bytes on disk, about */

/* --- reading --- */

struct store;

/* Opens for reading beside a live writer; never creates. @writable: for `replay`, which records its acts. */
int store__open(const char *path, bool writable, struct store **ret, struct err *e);
void store__close(struct store *s);
sqlite3 *store_db(struct store *s);
const char *store_path(const struct store *s);

/* An envelope and a body; valid until the next call on this store. -ENOENT, -EBADMSG (checksum) with the
 * cause in @e. */
int store_payload(
	struct store *s, uint64_t ref, struct span *ret_envelope, struct span *ret_body, struct err *e);

/* The raw bytes of a whole block, for prefilters: a word that is not in here is in no payload of it. */
int store_block(struct store *s, uint64_t block_id, struct span *ret_raw, struct err *e);
static inline uint64_t payload_block(uint64_t ref)
{
	return ref >> 28;
}

/* What answers may claim to cover: the spans of sessions, and what was lost, truncated or unreadable in them.
 */
struct coverage {
	int64_t since_ns, until_ns; /* first and last moment watched, 0: nothing was */
	bool running;
	uint64_t messages, truncated, gaps, gap_bytes, lost_records, lost_bytes;
	uint64_t encrypted, undecoded; /* connections: TLS; unknown or failed */
	uint64_t encrypted_bytes;
	char encrypted_who[96]; /* "java 812" of one of them */
};
int store_coverage(struct store *s, struct coverage *ret, struct err *e);

/* The process that writes to the store now, 0 none. */
int store_recorder(const struct store *s);

/* Bytes on disk: the catalogue with its log, payload blocks; and what these hold. */
struct store_sizes {
	uint64_t catalogue, blocks, payloads;
};
int store_sizes(struct store *s, struct store_sizes *ret, struct err *e);

/*
 * Reads everything and calls @fault, in words, for all that is not as it should be. @progress (may be NULL)
 * is called now and then; false stops, with -EINTR. Returns the number of faults, or -errno.
 */
struct store_verify {
	void *ctx;
	void (*fault)(void *ctx, const char *what);
	bool (*progress)(void *ctx, uint64_t blocks, uint64_t total);
};
int64_t store_verify(struct store *s, const struct store_verify *v, struct err *e);

/* views.sql: the documented interface, as text. */
extern const char store_views_sql[];

#endif
