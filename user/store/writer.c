/*
 * The one writer. Its caller fills a batch in memory (sink.c); a thread of its own compresses and applies
 * batches, so that a caller which must keep up with a ring buffer does not wait for SQLite, and the catalogue
 * is locked only while a batch is written. A batch that cannot be written stays at the head of the queue and
 * is tried again at each commit; when too much has piled up behind it, new batches are dropped and counted.
 */
#include "store/writer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* A batch is handed over at this size even without a commit; the caller waits while this much is queued; this
 * much is kept while the disk is full. */
#define BATCH_BYTES  (4u << 20)
#define QUEUE_BYTES  (128u << 20)
#define FAILED_BYTES (64u << 20)

/* --- batches --- */

static struct batch *batch__new(void)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (b)
		b->blocks_end = &b->blocks;
	return b;
}

static void batch__free(struct batch *b)
{
	if (!b)
		return;
	while (b->blocks) {
		struct raw_block *k = b->blocks;

		b->blocks = k->next;
		raw_block__free(k);
	}
	buf_free(&b->rows);
	free(b);
}

struct batch *writer_batch(struct store_writer *w)
{
	if (!w->open)
		w->open = batch__new();
	return w->open;
}

/* --- the thread --- */

static uint64_t disk_size(struct store_writer *w)
{
	char wal[PATH_MAX + 8];
	uint64_t n = segments_size(w->seg);
	struct stat st;

	snprintf(wal, sizeof(wal), "%s-wal", w->file);
	n += stat(w->file, &st) ? 0 : (uint64_t)st.st_size;
	n += stat(wal, &st) ? 0 : (uint64_t)st.st_size;
	return n;
}

/* Applies the head of the queue. Called with the lock held, which is released meanwhile. */
static void apply_head(struct store_writer *w)
{
	struct batch *b = w->queue;
	struct err why = {0};
	uint64_t size;
	int err;

	pthread_mutex_unlock(&w->mu);
	err = applier_run(w->applier, w->seg, b, b->has_session ? &b->session : NULL, &why);
	size = disk_size(w);
	pthread_mutex_lock(&w->mu);
	w->size = size;
	w->err = err;
	if (err) {
		w->why = why;
		return;
	}
	w->queue = b->next;
	if (!w->queue)
		w->queue_end = &w->queue;
	w->queued -= b->bytes;
	batch__free(b);
}

static void *writer_thread(void *arg)
{
	struct store_writer *w = arg;

	pthread_mutex_lock(&w->mu);
	for (;;) {
		while (!w->stop && (!w->queue || w->err))
			pthread_cond_wait(&w->work, &w->mu);
		if (!w->queue || w->err)
			break;
		apply_head(w);
		pthread_cond_broadcast(&w->done);
	}
	pthread_mutex_unlock(&w->mu);
	return NULL;
}

/* Started late: a process that forks before its first row has no thread to lose. */
static int start_thread(struct store_writer *w)
{
	sigset_t all, old;
	int err;

	if (w->started)
		return 0;
	/* Signals are for the caller's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, writer_thread, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = !err;
	return -err;
}

static void stop_thread(struct store_writer *w)
{
	if (!w->started)
		return;
	pthread_mutex_lock(&w->mu);
	w->stop = true;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->mu);
	pthread_join(w->thread, NULL);
	w->started = false;
}

/* --- handing over --- */

/* The open batch joins the queue, or is dropped when the disk has been full for too long. */
static void enqueue(struct store_writer *w)
{
	struct batch *b = w->open;

	w->open = NULL;
	w->block = NULL;
	if (w->err && w->queued + b->bytes > FAILED_BYTES) {
		w->dropped += b->rows_n;
		batch__free(b);
		return;
	}
	*w->queue_end = b;
	w->queue_end = &b->next;
	w->queued += b->bytes;
}

int writer_hand_over(struct store_writer *w)
{
	int err;

	if (!w->open || w->open->bytes < BATCH_BYTES)
		return 0;
	err = start_thread(w);
	if (err)
		return err;
	pthread_mutex_lock(&w->mu);
	while (!w->err && w->queued > QUEUE_BYTES)
		pthread_cond_wait(&w->done, &w->mu);
	enqueue(w);
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->mu);
	return 0;
}

/* Waits until the queue is written or cannot be. */
static int drain(struct store_writer *w, struct err *e)
{
	int err;

	while (w->queue && !w->err)
		pthread_cond_wait(&w->done, &w->mu);
	err = w->err;
	if (err && e)
		*e = w->why;
	return err;
}

/* Everything so far joins the queue, and what could not be written is tried again. Called with the lock held.
 */
static void hand_over_all(struct store_writer *w, struct batch *b)
{
	b->session = w->session;
	b->session.lost_records += w->dropped;
	b->has_session = true;
	/* While nothing can be written, empty batches need not pile up. */
	if (!w->queue || b->bytes)
		enqueue(w);
	w->err = 0;
	pthread_cond_signal(&w->work);
}

static int commit(struct store_writer *w, int64_t now_ns, bool wait, struct err *e)
{
	struct batch *b = writer_batch(w);
	int err;

	if (!b)
		return err_set(e, -ENOMEM, "out of memory");
	err = start_thread(w);
	if (err)
		return err_set(e, err, "cannot start the store's thread: %s", strerror(-err));
	if (now_ns > w->session.ended_ns)
		w->session.ended_ns = now_ns;
	pthread_mutex_lock(&w->mu);
	err = w->err;
	if (err && e)
		*e = w->why;
	hand_over_all(w, b);
	if (wait)
		err = drain(w, e);
	pthread_mutex_unlock(&w->mu);
	return err;
}

int store_writer_commit(struct store_writer *w, int64_t now_ns, struct err *e)
{
	return commit(w, now_ns, true, e);
}

int store_writer_commit_soon(struct store_writer *w, int64_t now_ns, struct err *e)
{
	return commit(w, now_ns, false, e);
}

void store_writer_losses(
	struct store_writer *w, uint64_t records, uint64_t bytes, uint64_t ignored_connections)
{
	w->session.lost_records = records;
	w->session.lost_bytes = bytes;
	w->session.ignored_connections = ignored_connections;
}

uint64_t store_writer_size(const struct store_writer *cw)
{
	struct store_writer *w = (struct store_writer *)cw; /* the lock is no part of what const promises */
	uint64_t size;

	pthread_mutex_lock(&w->mu);
	size = w->size;
	pthread_mutex_unlock(&w->mu);
	return size;
}

void store_writer_ids(const struct store_writer *w, struct record_ids *ret)
{
	*ret = w->ids;
}

/* --- opening --- */

static int load_ids(struct store_writer *w, struct err *e)
{
	const struct {
		const char *sql;
		uint64_t *id;
	} counters[] = {
		{"SELECT max(id) FROM message", &w->ids.message},
		{"SELECT max(id) FROM copy", &w->ids.copy},
		{"SELECT max(id) FROM operation", &w->ids.op},
		{"SELECT max(id) FROM process", &w->ids.process},
		{"SELECT max(id) FROM connection", &w->ids.connection},
		{"SELECT max(id) FROM link", &w->ids.link},
		{"SELECT max(id) FROM block", &w->next_block},
	};

	for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
		int64_t max;
		int err = catalogue_int(w->db, w->file, counters[i].sql, 0, &max, e);

		if (err)
			return err;
		*counters[i].id = (uint64_t)max + 1;
	}
	return 0;
}

static int open_segments(struct store_writer *w, struct err *e)
{
	int64_t segment, end;
	int err;

	err = catalogue_int(
		w->db, w->file, "SELECT segment FROM block ORDER BY id DESC LIMIT 1", 1, &segment, e);
	if (!err)
		err = catalogue_int(w->db, w->file,
			"SELECT offset+stored_size+24 FROM block ORDER BY id DESC LIMIT 1", 0, &end, e);
	_Static_assert(BLOCK_HEADER_SIZE == 24, "the query above adds it");
	if (err)
		return err;
	return segments__open(w->path, (uint32_t)segment, (uint64_t)end, &w->seg, e);
}

/* Sessions that a crash left running ended when they were last seen alive. */
static int begin_session(struct store_writer *w, const struct store_session *s, struct err *e)
{
	struct utsname u = {0};
	sqlite3_stmt *st;
	int rc, err;

	err = catalogue_exec(w->db, w->file,
		"UPDATE session SET running=0,ended_ns=ifnull(ended_ns,started_ns) WHERE running", e);
	if (err)
		return err;
	uname(&u);
	rc = sqlite3_prepare_v2(w->db,
		"INSERT INTO session(started_ns,ended_ns,running,source,scope,host,kernel,version,pid)"
		" VALUES(?1,?1,1,?2,?3,?4,?5,?6,?7)",
		-1, &st, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_bind_int64(st, 1, s->started_ns);
		sqlite3_bind_text(st, 2, s->source ? s->source : "", -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 3, s->scope ? s->scope : "", -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 4, u.nodename, -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 5, u.release, -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 6, s->version ? s->version : EVTRACE_VERSION, -1, SQLITE_STATIC);
		sqlite3_bind_int64(st, 7, getpid());
		rc = sqlite3_step(st);
		sqlite3_finalize(st);
	}
	if (rc != SQLITE_DONE)
		return catalogue_err(w->db, rc, w->file, "write to", e);
	w->session.id = sqlite3_last_insert_rowid(w->db);
	w->session.ended_ns = s->started_ns;
	return 0;
}

static int open_catalogue(struct store_writer *w, struct err *e)
{
	int err = store_join(w->file, sizeof(w->file), w->path, STORE_CATALOGUE, e);

	if (!err && access(w->file, F_OK))
		err = catalogue_create(w->file, e);
	if (!err)
		err = catalogue_open_writer(w->file, &w->db, e);
	return err;
}

static void writer__free(struct store_writer *w)
{
	if (!w)
		return;
	applier__free(w->applier);
	sqlite3_close(w->db);
	segments__free(w->seg);
	store_dir__unlock(w->lock_fd);
	while (w->queue) {
		struct batch *b = w->queue;

		w->queue = b->next;
		batch__free(b);
	}
	batch__free(w->open);
	map_free(&w->sizes);
	pthread_mutex_destroy(&w->mu);
	pthread_cond_destroy(&w->work);
	pthread_cond_destroy(&w->done);
	free(w);
}

int store_writer__open(
	const char *path, const struct store_session *s, struct store_writer **ret, struct err *e)
{
	struct store_writer *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return err_set(e, -ENOMEM, "out of memory");
	w->lock_fd = -1;
	w->queue_end = &w->queue;
	pthread_mutex_init(&w->mu, NULL);
	pthread_cond_init(&w->work, NULL);
	pthread_cond_init(&w->done, NULL);
	err = (size_t)snprintf(w->path, sizeof(w->path), "%s", path) < sizeof(w->path)
		      ? 0
		      : err_set(e, -ENAMETOOLONG, "the store's path is too long");
	if (!err)
		err = store_dir__lock(w->path, &w->lock_fd, e);
	if (!err)
		err = open_catalogue(w, e);
	if (!err)
		err = load_ids(w, e);
	if (!err)
		err = open_segments(w, e);
	if (!err)
		err = begin_session(w, s, e);
	if (!err)
		err = applier__new(w->db, w->file, w->session.id, &w->applier, e);
	if (err) {
		writer__free(w);
		return err;
	}
	w->size = disk_size(w);
	*ret = w;
	return 0;
}

static int end_session(struct store_writer *w, struct err *e)
{
	char sql[80];
	int err;

	snprintf(sql, sizeof(sql), "UPDATE session SET running=0 WHERE id=%lld", (long long)w->session.id);
	err = catalogue_exec(w->db, w->file, sql, e);
	if (!err && !segments_sync(w->seg))
		/* Readers may hold the log; then the last of them, or the next writer, moves it. */
		sqlite3_wal_checkpoint_v2(w->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return err;
}

int store_writer__close(struct store_writer *w, struct err *e)
{
	struct err why = {0};
	int err;

	if (!w)
		return 0;
	err = store_writer_commit(w, w->session.ended_ns, &why);
	stop_thread(w);
	if (!err)
		err = end_session(w, &why);
	if (!err && w->dropped)
		err = err_set(&why, -ENOSPC, "%llu rows were lost while %s could not be written to",
			(unsigned long long)w->dropped, w->path);
	if (err && e)
		*e = why;
	writer__free(w);
	return err;
}
