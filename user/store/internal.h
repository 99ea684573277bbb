/*
 * What the files of the store share. A batch is what reaches the disk together: rows in the form of rowlog.c
 * and the payload blocks that they refer to. Batches are applied whole or not at all, and kept until they
 * are, so a full disk loses nothing that fits into memory.
 */
#ifndef EVTRACE_STORE_INTERNAL_H
#define EVTRACE_STORE_INTERNAL_H

#include <limits.h>

#include "base/buf.h"
#include "base/map.h"
#include "store/block.h"
#include "store/store.h"

#define STORE_CATALOGUE "catalogue.db"
#define STORE_BLOCKS    "blocks"
#define STORE_LOCK      "lock"
#define STORE_SCHEMAS   "schemas.ndjson"

extern const char store_schema_sql[];

/* --- path.c: the directory and its lock --- */

/* "DIR/NAME"; -ENAMETOOLONG. */
int store_join(char *out, size_t n, const char *dir, const char *name, struct err *e);
/* Makes @path a directory that can be a store (0700 if it is new) and takes its lock. */
int store_dir__lock(const char *path, int *ret_lock_fd, struct err *e);
void store_dir__unlock(int lock_fd);
/* The process that holds the lock of the store at @path, 0 none. */
int store_lock_holder(const char *path);
/* Why nothing can be read at @path, and how to begin. */
int store_dir_missing(const char *path, int err, struct err *e);

/* --- catalogue.c: the SQLite file --- */

/* -errno for the error that @db has just had, and its words. */
int catalogue_err(sqlite3 *db, int rc, const char *path, const char *what, struct err *e);
/* Creates @file with the schema: it appears under its name when it is complete. */
int catalogue_create(const char *file, struct err *e);
int catalogue_open_writer(const char *file, sqlite3 **ret, struct err *e);
int catalogue_open_reader(const char *dir, const char *file, bool writable, sqlite3 **ret, struct err *e);
int catalogue_exec(sqlite3 *db, const char *path, const char *sql, struct err *e);
/* The single integer that @sql gives; @none when it gives NULL or no row. */
int catalogue_int(sqlite3 *db, const char *path, const char *sql, int64_t none, int64_t *ret, struct err *e);

/* --- block.c: payload blocks --- */

struct raw_block {
	struct raw_block *next;
	uint64_t id;
	struct buf raw;
	uint32_t payloads;
	bool stored; /* the fields below are set: its bytes are in the segment */
	uint32_t segment;
	uint64_t offset;
	uint32_t stored_size;
};

struct raw_block *raw_block__new(uint64_t id);
void raw_block__free(struct raw_block *b);
/* Appends a payload and returns its reference; 0 when memory is short. */
uint64_t raw_block_add(struct raw_block *b, uint8_t proto, struct span envelope, struct span body);
/* Room for a payload of @n bytes: a large one has a block of its own. */
bool raw_block_fits(const struct raw_block *b, size_t n);
size_t payload_size(struct span envelope, struct span body);

struct segments;

/* Opens for appending at @offset of @segment; whatever lies behind it is cut off. */
int segments__open(const char *dir, uint32_t segment, uint64_t offset, struct segments **ret, struct err *e);
void segments__free(struct segments *s);
int segments_append(struct segments *s, struct raw_block *b, struct err *e);
/* Makes appended blocks durable against a power cut. */
int segments_sync(struct segments *s);
uint64_t segments_size(const struct segments *s);

struct block_place {
	uint64_t id;
	uint32_t segment;
	uint64_t offset;
	uint32_t stored_size, raw_size, payloads;
};
/* Reads and verifies one block into @ret (cleared first). -EBADMSG names segment and offset. */
int block_read(
	const char *dir, const struct block_place *p, struct buf *scratch, struct buf *ret, struct err *e);
/* The payload at @off of a raw block; false when it does not lie within. */
bool block_payload(struct span raw, size_t off, struct span *ret_envelope, struct span *ret_body);

/* --- rowlog.c: rows in memory --- */

enum row_type {
	ROW_PROCESS,
	ROW_BROKER,
	ROW_CONNECTION,
	ROW_MESSAGE,
	ROW_COPY,
	ROW_OPERATION,
	ROW_IDENTIFIER,
	ROW_LINK,
	ROW_MERGE,
	ROW_MERGE_MESSAGES,
	ROW_MERGE_BROKERS,
	ROW_RENAME,
	ROW_EXCHANGE,
	ROW_QUEUE,
	ROW_BINDING,
	ROW_CONSUMER,
	ROW_GAP,
	ROW_TYPES,
};

/* Records whose parts are behind pointers, in one piece; text spans include no NUL. */
struct process_row {
	struct process_rec r; /* .info is not valid */
	uint32_t pid, ppid;
	int64_t start_ns;
	struct span comm, exe, cmdline, service, cgroup;
};
struct broker_row {
	struct broker_rec r; /* .name is not valid */
	struct span name;
};
struct connection_row {
	struct connection_rec r; /* .info is not valid */
	struct conn conn;
};
struct message_row {
	struct message_rec r;
	bool sized; /* the two below are known */
	uint32_t envelope_size, body_kept;
};
struct identifier_row {
	uint64_t message;
	struct identifier id;
};
struct link_row {
	struct link_rec r; /* .evidence is not valid */
	struct span evidence;
};
struct merge_row {
	uint64_t from, to;
};
struct rename_row {
	struct span from, to;
};
struct gap_row {
	struct gap_rec r; /* .reason is not valid */
	struct span reason;
};
union any_row {
	struct process_row process;
	struct broker_row broker;
	struct connection_row connection;
	struct message_row message;
	struct copy_rec copy;
	struct operation_rec operation;
	struct identifier_row identifier;
	struct link_row link;
	struct merge_row merge;
	struct rename_row rename;
	struct exchange_rec exchange;
	struct queue_rec queue;
	struct binding_rec binding;
	struct consumer_rec consumer;
	struct gap_row gap;
};

/* Appends the row of @type that @row points to; -ENOMEM leaves @log as it was. */
int rowlog_put(struct buf *log, enum row_type type, const void *row);
/* Reads the row at *@off and moves on; false at the end. Spans point into @log. */
bool rowlog_next(const struct buf *log, size_t *off, enum row_type *ret_type, union any_row *ret);

/* --- amend.c: what was stored turns out to be otherwise; each returns SQLite's result code --- */

/* Message @from is @to. *fresh is one less if it had a row. */
int amend_messages(sqlite3 *db, uint64_t from, uint64_t to, int64_t *fresh);
/* Broker @from is @to. */
int amend_brokers(sqlite3 *db, uint64_t from, uint64_t to);
/* The name @from and those that begin with "@from-" or "@from/" begin with @to from now on. */
int amend_name(sqlite3 *db, struct span from, struct span to);

/* --- apply.c: rows into the catalogue --- */

struct session_state {
	int64_t id, ended_ns;
	uint64_t lost_records, lost_bytes, ignored_connections;
};

struct batch {
	struct batch *next;
	struct buf rows;
	uint64_t rows_n;
	struct raw_block *blocks, **blocks_end;
	size_t bytes;                 /* rows and blocks */
	struct session_state session; /* if has_session: at the commit that ends this batch */
	bool has_session;
};

struct applier;

int applier__new(sqlite3 *db, const char *path, int64_t session, struct applier **ret, struct err *e);
void applier__free(struct applier *a);
/* One transaction: all of @b (NULL: nothing) and the session's new state (NULL: as it is), or nothing. */
int applier_run(struct applier *a, struct segments *seg, const struct batch *b, const struct session_state *s,
	struct err *e);

#endif
