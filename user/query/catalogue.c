#include "query/catalogue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NAMES_KEPT 65536

static int errno_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_IOERR:
		return -EIO;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	default:
		return -EBADMSG;
	}
}

static int fail(struct store *s, int rc, struct err *e)
{
	int err = err_set(
		e, errno_of(rc), "cannot read the store %s: %s", store_path(s), sqlite3_errmsg(store_db(s)));

	if (err == -EBADMSG)
		err_hint(e, "evtrace status --verify says what is damaged");
	return err;
}

int cat_prepare(struct store *s, const char *sql, sqlite3_stmt **ret, struct err *e)
{
	int rc = sqlite3_prepare_v3(store_db(s), sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

	return rc == SQLITE_OK ? 0 : fail(s, rc, e);
}

int cat_step(struct store *s, sqlite3_stmt *st, struct err *e)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : fail(s, rc, e);
}

void cat_text(sqlite3_stmt *st, int i, char *out, size_t n)
{
	struct span s = cat_span(st, i);

	snprintf(out, n, SPAN_FMT, SPAN_ARG(s));
}

struct span cat_span(sqlite3_stmt *st, int i)
{
	const void *p = sqlite3_column_text(st, i);

	return span_of(p, p ? (size_t)sqlite3_column_bytes(st, i) : 0);
}

enum msg_state cat_state(sqlite3_stmt *st, int i)
{
	int64_t v = sqlite3_column_int64(st, i);

	return v >= STATE_UNKNOWN && v <= STATE_PURGED ? (enum msg_state)v : STATE_UNKNOWN;
}

int64_t cat_time(sqlite3_stmt *st, int i)
{
	int64_t v = sqlite3_column_int64(st, i);

	return v > 0 && v <= INT64_MAX / 2 ? v : 0;
}

int cat_watched(struct store *s, uint64_t broker, const struct coverage *c, int64_t now_ns,
	struct watched *ret, struct err *e)
{
	struct watched w = {c->since_ns, c->until_ns, c->running};
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(s,
		"SELECT min(started_ns),max(ifnull(ended_ns,started_ns)),max(id)=(SELECT max(id) FROM "
		"session)"
		" FROM session WHERE id IN (SELECT session FROM connection WHERE broker=?)",
		&st, e);
	int more;

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, (int64_t)broker);
	more = cat_step(s, st, e);
	if (more > 0 && sqlite3_column_type(st, 0) != SQLITE_NULL) {
		w.since_ns = cat_time(st, 0);
		w.until_ns = cat_time(st, 1);
		w.running = c->running && sqlite3_column_int(st, 2);
	}
	sqlite3_finalize(st);
	if (more < 0)
		return more;
	if (w.running || w.until_ns > now_ns)
		w.until_ns = now_ns;
	*ret = w;
	return 0;
}

struct names {
	struct store *s;
	sqlite3_stmt *name, *process, *client;
	struct map texts;     /* name id -> char * */
	struct map processes; /* process id -> struct who *, NULL: not there */
	struct map clients;   /* connection id -> struct who * */
};

int names__new(struct store *s, struct names **ret, struct err *e)
{
	struct names *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return err_set(e, -ENOMEM, "out of memory");
	n->s = s;
	err = cat_prepare(s, "SELECT text FROM name WHERE id=?", &n->name, e);
	if (!err)
		err = cat_prepare(
			s, "SELECT pid,service,exe,comm,exit_ns FROM process WHERE id=?", &n->process, e);
	if (!err)
		err = cat_prepare(
			s, "SELECT 0,client_addr,'','',NULL FROM connection WHERE id=?", &n->client, e);
	if (err) {
		names__free(n);
		return err;
	}
	*ret = n;
	return 0;
}

static void forget(struct names *n)
{
	map_for_each (&n->texts, t)
		free((void *)(uintptr_t)t->val);
	map_for_each (&n->processes, p)
		free((void *)(uintptr_t)p->val);
	map_free(&n->texts);
	map_free(&n->processes);
	map_for_each (&n->clients, c)
		free((void *)(uintptr_t)c->val);
	map_free(&n->clients);
}

void names__free(struct names *n)
{
	if (!n)
		return;
	forget(n);
	sqlite3_finalize(n->name);
	sqlite3_finalize(n->process);
	sqlite3_finalize(n->client);
	free(n);
}

void names_trim(struct names *n)
{
	if (n->texts.n > NAMES_KEPT || n->processes.n > NAMES_KEPT || n->clients.n > NAMES_KEPT)
		forget(n);
}

const char *names_text(struct names *n, uint64_t id)
{
	const char *known = id ? map_ptr(&n->texts, id) : "";
	char *text = NULL;

	if (known)
		return known;
	sqlite3_bind_int64(n->name, 1, (int64_t)id);
	if (sqlite3_step(n->name) == SQLITE_ROW) {
		struct span s = cat_span(n->name, 0);

		text = malloc(s.n + 1);
		if (text) {
			memcpy(text, s.n ? (const char *)s.p : "", s.n);
			text[s.n] = '\0';
		}
	}
	sqlite3_reset(n->name);
	if (text && map_put_ptr(&n->texts, id, text)) {
		free(text);
		text = NULL;
	}
	return text ? text : "";
}

/* One allocation: the texts lie behind the struct. */
static struct who *read_who(sqlite3_stmt *st, uint64_t id)
{
	struct span service = cat_span(st, 1), exe = cat_span(st, 2), comm = cat_span(st, 3);
	struct who *w;
	char *text;

	for (size_t i = exe.n; i; i--)
		if (exe.p[i - 1] == '/') {
			exe = span_sub(exe, i, SIZE_MAX);
			break;
		}
	if (!exe.n)
		exe = comm;
	w = calloc(1, sizeof(*w) + service.n + exe.n + 2);
	if (!w)
		return NULL;
	text = (char *)(w + 1);
	memcpy(text, service.n ? (const char *)service.p : "", service.n);
	memcpy(text + service.n + 1, exe.n ? (const char *)exe.p : "", exe.n);
	w->id = id;
	w->pid = (uint32_t)sqlite3_column_int64(st, 0);
	w->exit_ns = cat_time(st, 4);
	w->service = text;
	w->exe = text + service.n + 1;
	return w;
}

/* Reads the row @id of @st into @known. */
static const struct who *look_up(sqlite3_stmt *st, struct map *known, uint64_t id, uint64_t who_id)
{
	const uint64_t *found = map_get(known, id);
	struct who *w = NULL;

	if (found)
		return (const struct who *)(uintptr_t)*found;
	sqlite3_bind_int64(st, 1, (int64_t)id);
	if (sqlite3_step(st) == SQLITE_ROW)
		w = read_who(st, who_id);
	sqlite3_reset(st);
	if (w && map_put_ptr(known, id, w)) {
		free(w);
		return NULL;
	}
	return w;
}

const struct who *names_who(struct names *n, uint64_t process)
{
	return process ? look_up(n->process, &n->processes, process, process) : NULL;
}

const struct who *names_client(struct names *n, uint64_t process, uint64_t connection)
{
	if (process || !connection)
		return names_who(n, process);
	return look_up(n->client, &n->clients, connection, connection | 1ull << 63);
}
