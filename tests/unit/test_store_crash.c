/*
 * kill -9 at any moment. A child writes as fast as it can and tells, in shared memory, what it has committed;
 * the parent kills it, opens the store and looks: the catalogue is sound, everything that was committed is
 * there with its bytes, and the next writer goes on with higher ids.
 */
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store_help.h"

static _Atomic uint64_t *committed; /* the highest message id */

static uint64_t put_one(const struct record_sink *k, uint64_t id)
{
	struct span body = pattern(id % 50 ? id % 700 : 300000, id), env = pattern(id % 40, ~id);
	struct message_rec m = message(id);
	struct copy_rec c = {.id = id, .message = id, .queue = SPAN_LIT("q"), .state = STATE_QUEUED};

	k->payload(k->ctx, PROTO_AMQP091, env, body, &m.payload);
	m.body_size = body.n;
	k->message(k->ctx, &m);
	k->copy(k->ctx, &c);
	for (uint64_t o = 0; o < 4; o++) {
		struct operation_rec r = {.id = id * 4 - 3 + o, .message = id, .kind = OP_SEND, .ts_ns = T0};

		k->operation(k->ctx, &r);
	}
	free((void *)body.p);
	free((void *)env.p);
	return m.payload;
}

static void write_for_ever(void)
{
	struct store_session s = {.source = "live", .scope = "a test", .version = "0", .started_ns = T0};
	struct store_writer *w;
	struct record_sink k;
	struct record_ids ids;

	if (store_writer__open(dir, &s, &w, NULL))
		_exit(1);
	store_writer_sink(w, &k);
	store_writer_ids(w, &ids);
	for (uint64_t id = ids.message;; id++) {
		put_one(&k, id);
		if (id % 37 == 0) {
			if (store_writer_commit(w, T0 + (int64_t)id, NULL))
				_exit(1);
			*committed = id;
		}
	}
}

/* Runs the child for @us microseconds. False when it ended by itself. */
static bool run_and_kill(useconds_t us)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		write_for_ever();
	usleep(us);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* Every payload that a row refers to is there, byte for byte. */
static bool payloads_good(struct store *s, uint64_t from)
{
	sqlite3_stmt *st;
	bool good = true;

	sqlite3_prepare_v2(
		store_db(s), "SELECT id,payload FROM message WHERE id>=? ORDER BY id", -1, &st, NULL);
	sqlite3_bind_int64(st, 1, (int64_t)from);
	while (good && sqlite3_step(st) == SQLITE_ROW) {
		uint64_t id = (uint64_t)sqlite3_column_int64(st, 0);
		struct span want = pattern(id % 50 ? id % 700 : 300000, id), env, body;
		struct err e = {0};

		good = !store_payload(s, (uint64_t)sqlite3_column_int64(st, 1), &env, &body, &e) &&
		       span_eq(body, want) && env.n == id % 40;
		if (!good)
			fprintf(stderr, "message %llu: %s\n", (unsigned long long)id, e.msg);
		free((void *)want.p);
	}
	sqlite3_finalize(st);
	return good;
}

static uint64_t number(struct store *s, const char *sql)
{
	return strtoull(q(s, sql), NULL, 10);
}

static void check_store(uint64_t from)
{
	struct store *s = NULL;
	struct err e = {0};

	CHECK_EQ(store__open(dir, false, &s, &e), 0);
	if (!s)
		return;
	CHECK_STR(q(s, "PRAGMA integrity_check"), "ok");
	CHECK(number(s, "SELECT max(id) FROM message") >= *committed);
	CHECK_EQ(number(s, "SELECT count(*) FROM message"),
		number(s, "SELECT ifnull(max(id),0) FROM message"));
	CHECK_EQ(number(s, "SELECT count(*) FROM message"), number(s, "SELECT sum(messages) FROM session"));
	CHECK(number(s, "SELECT count(*) FROM operation") >= *committed * 4);
	CHECK(number(s, "SELECT count(*) FROM copy") >= *committed);
	CHECK(payloads_good(s, from));
	store__close(s);
}

static bool has_catalogue(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/catalogue.db", dir);
	return !access(path, F_OK);
}

static void test_kill_at_any_moment(void)
{
	new_dir();
	*committed = 0;
	for (unsigned i = 0; i < 25; i++) {
		uint64_t before = *committed;

		CHECK(run_and_kill(5000 + i * 7919 % 60000));
		/* Killed before the store was made. */
		if (!*committed && !has_catalogue())
			continue;
		check_store(before > 200 ? before - 200 : 0);
	}
	/* On a machine so busy that none of these came to a commit. */
	for (unsigned i = 1; !*committed && i <= 6; i++)
		CHECK(run_and_kill(250000 << i));
	CHECK(*committed > 0);
}

/* What a crash leaves behind the last commit is cut off, sessions are closed, ids go on. */
static void test_next_writer_recovers(void)
{
	struct store_writer *w;
	struct record_ids ids;
	struct store *s = NULL;
	uint64_t end;
	struct stat st;
	char path[128];

	w = open_writer_again();
	store_writer_ids(w, &ids);
	CHECK(ids.message > *committed);
	CHECK(ids.op > *committed * 4);
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	CHECK_STR(q(s, "SELECT count(*) FROM session WHERE running"), "1");
	CHECK_STR(q(s, "SELECT count(*) FROM session WHERE ended_ns IS NULL"), "0");
	end = number(s, "SELECT offset+stored_size+24 FROM block ORDER BY id DESC LIMIT 1");
	snprintf(path, sizeof(path), "%s/blocks/000001", dir);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_size, end);
	store__close(s);
	CHECK_EQ(store_writer__close(w, NULL), 0);
	check_store(0);
}

/* A crash while the store is made leaves nothing, or a store. */
static void test_kill_at_creation(void)
{
	for (unsigned i = 0; i < 25; i++) {
		struct store_writer *w;

		new_dir();
		*committed = 0;
		CHECK(run_and_kill(200 + i * 400));
		w = open_writer_again();
		CHECK_EQ(store_writer__close(w, NULL), 0);
		check_store(0);
	}
}

int main(void)
{
	committed = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (committed == MAP_FAILED)
		return 1;
	RUN(test_kill_at_any_moment);
	RUN(test_next_writer_recovers);
	RUN(test_kill_at_creation);
	remove_dir();
	return test_end();
}
