/*
 * The catalogue as queries read it: statements with errors in words, and names and processes by id through a
 * small cache. Private to query/.
 */
#ifndef EVTRACE_QUERY_CATALOGUE_H
#define EVTRACE_QUERY_CATALOGUE_H

#include "base/map.h"
#include "store/store.h"

/* 0, or -errno with the cause in @e. */
int cat_prepare(struct store *s, const char *sql, sqlite3_stmt **ret, struct err *e);
/* 1 a row, 0 the end, -errno. */
int cat_step(struct store *s, sqlite3_stmt *st, struct err *e);

/* Column @i as a span, valid until the next step. */
/* The text of column @i, cut to fit; "" for NULL. */
void cat_text(sqlite3_stmt *st, int i, char *out, size_t n);
struct span cat_span(sqlite3_stmt *st, int i);
static inline uint64_t cat_id(sqlite3_stmt *st, int i)
{
	return (uint64_t)sqlite3_column_int64(st, i);
}

/* Column @i as a state; what this version does not know is unknown. */
enum msg_state cat_state(sqlite3_stmt *st, int i);

/* Column @i as a time; what is none is not known. Differences of two never overflow. */
int64_t cat_time(sqlite3_stmt *st, int i);

struct who {
	uint64_t id;
	uint32_t pid;
	int64_t exit_ns;
	const char *service; /* "" not known; a process that was not seen (pid 0): its address */
	const char *exe;     /* its last part, else the command name */
};

/*
 * When a broker was watched. Recordings of different times and hosts may share a store: what was seen at one
 * broker holds until the end of the last recording that saw it.
 */
struct watched {
	int64_t since_ns, until_ns;
	bool running; /* until now */
};
int cat_watched(struct store *s, uint64_t broker, const struct coverage *c, int64_t now_ns,
	struct watched *ret, struct err *e);

struct names;

int names__new(struct store *s, struct names **ret, struct err *e);
void names__free(struct names *n);
/* "" for 0 and for ids that are not there. The texts live until names_trim(). */
const char *names_text(struct names *n, uint64_t id);
/* NULL for 0 and for ids that are not there. */
const struct who *names_who(struct names *n, uint64_t process);
/* The same; for a process that was not seen, as in a capture from the wire, the client of @connection. */
const struct who *names_client(struct names *n, uint64_t process, uint64_t connection);
/* Forgets what was read when it has become much. */
void names_trim(struct names *n);

#endif
