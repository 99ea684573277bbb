/* The store when things go wrong: other writers, foreign and newer files, damage, full and read-only disks.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store_help.h"

static const struct store_session session = {
	.source = "live", .scope = "a test", .version = "0", .started_ns = T0};

static const char *in_store(const char *name)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Runs a command with $D the store's directory. */
static void shell(const char *line)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "D=%s; %s", dir, line);
	if (system(cmd))
		fprintf(stderr, "failed: %s\n", cmd);
}

/* Changes or makes a database that the store has no say in. */
static void raw_sql(const char *sql)
{
	sqlite3 *db;

	if (sqlite3_open(in_store("catalogue.db"), &db) || sqlite3_exec(db, sql, NULL, NULL, NULL))
		fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

static int open_for_writing(struct err *e)
{
	struct store_writer *w = NULL;
	int err = store_writer__open(dir, &session, &w, e);

	if (!err)
		store_writer__close(w, NULL);
	return err;
}

static int open_for_reading(struct err *e)
{
	struct store *s = NULL;
	int err = store__open(dir, false, &s, e);

	if (!err)
		store__close(s);
	return err;
}

static void make_store(void)
{
	struct store_writer *w = open_writer();
	struct record_sink k;

	store_writer_sink(w, &k);
	put_everything(&k);
	store_writer__close(w, NULL);
}

/* --- who and what --- */

static void test_second_writer_is_refused(void)
{
	struct store_writer *w = open_writer();
	struct err e = {0};
	char pid[32];

	snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	CHECK_EQ(open_for_writing(&e), -EBUSY);
	CHECK(strstr(e.msg, pid) != NULL);
	CHECK(e.hint[0]);
	CHECK_EQ(open_for_reading(&e), 0);
	CHECK_EQ(store_writer__close(w, NULL), 0);
	CHECK_EQ(open_for_writing(&e), 0);
}

static void test_newer_version_is_refused(void)
{
	struct err e = {0};

	make_store();
	raw_sql("PRAGMA user_version=99");
	CHECK_EQ(open_for_writing(&e), -EPROTO);
	CHECK(strstr(e.msg, "newer evtrace (store version 99") != NULL);
	CHECK_EQ(open_for_reading(&e), -EPROTO);
}

static void test_older_version_is_brought_up_to_date(void)
{
	struct err e = {0};
	struct store *s;

	make_store();
	raw_sql("DROP VIEW messages; ALTER TABLE message DROP COLUMN dest; ALTER TABLE message DROP COLUMN "
		"log;"
		"ALTER TABLE message DROP COLUMN mid; DROP VIEW replays; DROP INDEX replay_copy;"
		"ALTER TABLE replay DROP COLUMN log; ALTER TABLE replay DROP COLUMN mid;"
		"PRAGMA user_version=1;"
		"UPDATE meta SET value=1 WHERE key='views'");
	CHECK_EQ(store__open(dir, false, &s, &e), 0);
	CHECK_EQ(
		sqlite3_exec(store_db(s), "SELECT m.destination,m.log,r.broker_id FROM messages m, replays r",
			NULL, NULL, NULL),
		SQLITE_OK);
	store__close(s);
	/* A step that fails leaves it as it was, and says so. */
	raw_sql("PRAGMA user_version=1");
	CHECK_EQ(open_for_reading(&e), -EPROTO);
	CHECK(strstr(e.msg, "older evtrace (store version 1") != NULL && e.hint[0]);
}

static void test_what_is_not_a_store(void)
{
	struct err e = {0};

	new_dir();
	shell("echo hello >$D");
	CHECK_EQ(open_for_writing(&e), -ENOTDIR);
	CHECK_EQ(open_for_reading(&e), -ENOTDIR);

	new_dir();
	shell("mkdir $D && cd $D && touch photo.jpg");
	CHECK_EQ(open_for_writing(&e), -EINVAL);
	CHECK(strstr(e.msg, "photo.jpg") != NULL);
	CHECK(access(in_store("lock"), F_OK)); /* nothing was made there */
	CHECK(access(in_store("blocks"), F_OK));

	new_dir();
	shell("mkdir $D && cd $D && head -c 20000 /dev/urandom >catalogue.db");
	CHECK_EQ(open_for_writing(&e), -EINVAL);
	CHECK_EQ(open_for_reading(&e), -EINVAL);

	new_dir();
	shell("mkdir $D");
	raw_sql("CREATE TABLE message(x)");
	CHECK_EQ(open_for_writing(&e), -EINVAL);
	CHECK(strstr(e.msg, "something else") != NULL);
	CHECK_EQ(open_for_reading(&e), -EINVAL);

	make_store();
	CHECK_EQ(unlink(in_store("catalogue.db")), 0); /* nothing that may still be wanted is touched */
	CHECK_EQ(open_for_writing(&e), -EINVAL);
	CHECK(strstr(e.msg, "no catalogue.db") != NULL);

	new_dir();
	shell("mkdir $D"); /* empty: it becomes one */
	CHECK_EQ(open_for_writing(&e), 0);
}

static void test_missing_store_says_how_to_begin(void)
{
	struct err e = {0};

	new_dir();
	CHECK_EQ(open_for_reading(&e), -ENOENT);
	CHECK(strstr(e.msg, dir) != NULL);
	CHECK(strstr(e.hint, "evtrace record -- CMD") != NULL);
	CHECK(access(dir, F_OK)); /* reading never creates */
}

static void test_default_path(void)
{
	char path[256];
	struct err e = {0};

	setenv("EVTRACE_STORE", "/somewhere", 1);
	CHECK_EQ(store_default_path(path, sizeof(path), &e), 0);
	CHECK_STR(path, "/somewhere");
	CHECK_EQ(store_default_path(path, 5, &e), -ENAMETOOLONG);
	unsetenv("EVTRACE_STORE");
	if (geteuid() == 0) {
		CHECK_EQ(store_default_path(path, sizeof(path), &e), 0);
		CHECK_STR(path, "/var/lib/evtrace");
	}
}

/* The defaults of someone who is not root: in a child that becomes nobody. */
static int as_nobody(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
			_exit(99);
		_exit(fn());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int users_default_path(void)
{
	char path[256];
	struct err e = {0};

	unsetenv("EVTRACE_STORE");
	setenv("HOME", "/users/joe", 1);
	setenv("XDG_STATE_HOME", "relative/is/invalid", 1);
	if (store_default_path(path, sizeof(path), &e) || strcmp(path, "/users/joe/.local/state/evtrace"))
		return 1;
	setenv("XDG_STATE_HOME", "/state", 1);
	if (store_default_path(path, sizeof(path), &e) || strcmp(path, "/state/evtrace"))
		return 2;
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	if (store_default_path(path, sizeof(path), &e) != -ENOENT || !strstr(e.hint, "--store"))
		return 3;
	return 0;
}

static int private_store_is_closed(void)
{
	struct err e = {0};

	if (open_for_reading(&e) != -EACCES || !strstr(e.hint, "sudo"))
		return 1;
	return open_for_writing(&e) == -EACCES ? 0 : 2;
}

static void test_other_users(void)
{
	CHECK_EQ(as_nobody(users_default_path), 0);
	if (geteuid() != 0)
		return;
	make_store();
	chmod(tmp, 0755);
	CHECK_EQ(as_nobody(private_store_is_closed), 0);
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_mode & 0777;
}

static void test_files_are_private_whatever_the_umask(void)
{
	static const mode_t masks[] = {0, 022, 0777};
	static const char *const files[] = {
		"catalogue.db", "catalogue.db-wal", "catalogue.db-shm", "lock", "blocks/000001"};

	for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
		mode_t old;
		struct store_writer *w;
		struct record_sink k;

		new_dir();
		old = umask(masks[i]);
		w = open_writer_again();
		store_writer_sink(w, &k);
		put_everything(&k);
		CHECK_EQ(store_writer_commit(w, T0, NULL), 0);
		umask(old);
		CHECK_EQ(mode_of(dir), 0700);
		CHECK_EQ(mode_of(in_store("blocks")), 0700);
		for (size_t f = 0; f < ARRAY_LEN(files); f++)
			CHECK_EQ(mode_of(in_store(files[f])), 0600);
		CHECK_EQ(store_writer__close(w, NULL), 0);
	}
}

/* --- damage --- */

static void flip_byte(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t b;

	if (fd < 0 || pread(fd, &b, 1, at) != 1)
		abort();
	b ^= 0x10;
	if (pwrite(fd, &b, 1, at) != 1)
		abort();
	close(fd);
}

/* A store with three blocks, one payload each. */
static void make_three_blocks(uint64_t ref[3])
{
	static const char *const bodies[] = {"first body", "second body", "third body"};
	struct store_writer *w = open_writer();
	struct record_sink k;

	store_writer_sink(w, &k);
	for (int i = 0; i < 3; i++) {
		k.payload(k.ctx, PROTO_AMQP091, SPAN_LIT("env"), span_str(bodies[i]), &ref[i]);
		CHECK_EQ(store_writer_commit(w, T0, NULL), 0);
	}
	CHECK_EQ(store_writer__close(w, NULL), 0);
}

static void test_damage_is_found_and_contained(void)
{
	struct store *s = NULL;
	struct span env, body;
	struct err e = {0};
	uint64_t ref[3];
	long long from, to;

	make_three_blocks(ref);
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	from = atoll(q(s, "SELECT offset FROM block WHERE id=2"));
	to = atoll(q(s, "SELECT offset FROM block WHERE id=3"));
	CHECK(to > from);
	store__close(s);
	for (long long at = from; at < to; at++) {
		char where[64];

		flip_byte(in_store("blocks/000001"), at);
		CHECK_EQ(store__open(dir, false, &s, NULL), 0);
		CHECK_STR(body_of(s, ref[0]), "first body");
		CHECK_EQ(store_payload(s, ref[1], &env, &body, &e), -EBADMSG);
		snprintf(where, sizeof(where), "blocks/000001 at byte %lld", from);
		CHECK(strstr(e.msg, where) != NULL);
		CHECK_STR(body_of(s, ref[2]), "third body");
		store__close(s);
		flip_byte(in_store("blocks/000001"), at);
	}
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	CHECK_STR(body_of(s, ref[1]), "second body");
	store__close(s);
}

static void test_short_and_missing_segments(void)
{
	struct store *s = NULL;
	struct store_writer *w;
	struct record_sink k;
	struct span env, body;
	struct err e = {0};
	uint64_t ref[3], more = 0;

	make_three_blocks(ref);
	CHECK_EQ(truncate(in_store("blocks/000001"), 40), 0);
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	CHECK_EQ(store_payload(s, ref[2], &env, &body, &e), -EBADMSG);
	CHECK(strstr(e.msg, "ends before it") != NULL);
	store__close(s);
	/* A power cut took the segment's end: the next writer does not write over the hole. */
	w = open_writer_again();
	store_writer_sink(w, &k);
	k.payload(k.ctx, PROTO_AMQP091, SPAN_EMPTY, SPAN_LIT("later"), &more);
	CHECK_EQ(store_writer__close(w, NULL), 0);
	CHECK_EQ(unlink(in_store("blocks/000001")), 0);
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	CHECK_EQ(store_payload(s, ref[0], &env, &body, &e), -EBADMSG);
	CHECK_STR(body_of(s, more), "later");
	store__close(s);
}

static void test_leftovers_are_cut_off(void)
{
	struct store *s = NULL;
	struct stat before, after;
	uint64_t ref[3];

	make_three_blocks(ref);
	CHECK_EQ(stat(in_store("blocks/000001"), &before), 0);
	shell("echo leftover >>$D/blocks/000001");
	shell("echo leftover >$D/blocks/000007");
	CHECK_EQ(open_for_writing(NULL), 0);
	CHECK_EQ(stat(in_store("blocks/000001"), &after), 0);
	CHECK_EQ(after.st_size, before.st_size);
	CHECK(access(in_store("blocks/000007"), F_OK));
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	CHECK_STR(body_of(s, ref[2]), "third body");
	store__close(s);
}

/* --- disks --- */

static uint64_t put_incompressible(const struct record_sink *k, uint64_t id, size_t n)
{
	struct message_rec m = message(id);
	uint8_t *p = malloc(n);
	uint64_t x = id;
	char key[32];

	/* A name that no earlier row had: a batch that fails takes it along. */
	snprintf(key, sizeof(key), "key.%llu", (unsigned long long)id);
	m.routing_key = span_str(key);

	for (size_t i = 0; i < n; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (uint8_t)(x >> 40);
	}
	CHECK_EQ(k->payload(k->ctx, PROTO_AMQP091, SPAN_EMPTY, span_of(p, n), &m.payload), 0);
	CHECK_EQ(k->message(k->ctx, &m), 0);
	free(p);
	return m.payload;
}

/* Writes until the disk is full; then makes room with @relieve and expects everything to be there. */
static void fill_and_relieve(struct store_writer *w, void (*relieve)(void))
{
	struct record_sink k;
	struct store *s = NULL;
	struct err e = {0};
	char want[64];
	uint64_t id = 0, good = 0;
	int err = 0;

	store_writer_sink(w, &k);
	while (!err && id < 1000) {
		put_incompressible(&k, ++id, 20000);
		err = store_writer_commit(w, T0, &e);
		good += !err;
	}
	CHECK_EQ(err, -ENOSPC);
	CHECK(strstr(e.msg, "the disk is full") || strstr(e.msg, "No space left"));
	CHECK(good > 0);
	for (int i = 0; i < 5; i++) {
		put_incompressible(&k, ++id, 20000);
		CHECK_EQ(store_writer_commit(w, T0, &e), -ENOSPC);
	}
	CHECK_EQ(store__open(dir, false, &s, &e), 0);
	snprintf(want, sizeof(want), "%llu", (unsigned long long)good);
	CHECK_STR(q(s, "SELECT count(*) FROM message"), want);
	store__close(s);
	relieve();
	CHECK_EQ(store_writer_commit(w, T0, &e), 0);
	CHECK_EQ(store_writer__close(w, &e), 0);
	CHECK_EQ(store__open(dir, false, &s, &e), 0);
	snprintf(want, sizeof(want), "%llu", (unsigned long long)id);
	CHECK_STR(q(s, "SELECT count(*) FROM message"), want);
	CHECK_STR(q(s, "SELECT messages FROM session"), want);
	CHECK_STR(q(s, "SELECT count(*) FROM messages WHERE routing_key='key.'||id"), want);
	CHECK_STR(q(s, "PRAGMA integrity_check"), "ok");
	for (uint64_t i = 1; i <= id; i++) {
		char sql[64];
		struct span env, body;

		snprintf(
			sql, sizeof(sql), "SELECT payload FROM message WHERE id=%llu", (unsigned long long)i);
		CHECK_EQ(store_payload(s, strtoull(q(s, sql), NULL, 10), &env, &body, &e), 0);
		CHECK_EQ(body.n, 20000);
	}
	store__close(s);
}

/* Mounts are made in a name space of this process: they go with it. */
static bool own_mounts;

static void grow_tmpfs(void)
{
	if (mount("none", tmp, NULL, MS_REMOUNT, "size=64m"))
		abort();
}

static bool mount_tmpfs(const char *options)
{
	if (own_mounts && !mount("none", tmp, "tmpfs", 0, options))
		return true;
	printf("no tmpfs can be mounted here: full and read-only disks were not tried\n");
	return false;
}

static void test_full_disk(void)
{
	new_dir();
	if (!mount_tmpfs("size=2m"))
		return;
	fill_and_relieve(open_writer_again(), grow_tmpfs);
	umount(tmp);
}

/* A limit on file sizes is met by write() alone, wherever it happens: in a segment or in the log. */
static void no_limit(void)
{
	struct rlimit l = {RLIM_INFINITY, RLIM_INFINITY};

	setrlimit(RLIMIT_FSIZE, &l);
}

static void test_file_size_limit(void)
{
	static const rlim_t limits[] = {700000, 1000000};

	signal(SIGXFSZ, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct store_writer *w = open_writer();
		struct rlimit l = {limits[i], RLIM_INFINITY};

		setrlimit(RLIMIT_FSIZE, &l);
		fill_and_relieve(w, no_limit);
		no_limit();
	}
}

/* What cannot be kept in memory while the disk is full is dropped, counted and reported. */
static void test_full_disk_for_long(void)
{
	struct store_writer *w = open_writer();
	struct rlimit l = {600000, RLIM_INFINITY};
	struct record_sink k;
	struct store *s = NULL;
	struct err e = {0};

	store_writer_sink(w, &k);
	setrlimit(RLIMIT_FSIZE, &l);
	for (uint64_t id = 1; id <= 200; id++) {
		put_incompressible(&k, id, 1000000);
		if (id % 10 == 0)
			store_writer_commit(w, T0, &e);
	}
	no_limit();
	CHECK_EQ(store_writer_commit(w, T0, &e), 0);
	CHECK_EQ(store_writer__close(w, &e), -ENOSPC);
	CHECK(strstr(e.msg, "rows were lost") != NULL);
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	CHECK_STR(q(s, "SELECT lost_records>0 AND messages>10 AND lost_records+messages=200 FROM session"),
		"1");
	CHECK_STR(q(s, "SELECT count(*)=(SELECT messages FROM session) FROM message"), "1");
	store__close(s);
}

static void test_full_disk_at_creation(void)
{
	struct err e = {0};

	new_dir();
	if (!mount_tmpfs("size=64k"))
		return;
	CHECK_EQ(open_for_writing(&e), -ENOSPC);
	CHECK_EQ(open_for_reading(&e), -ENOENT);
	grow_tmpfs();
	CHECK_EQ(open_for_writing(&e), 0);
	umount(tmp);
}

static void test_read_only_disk(void)
{
	struct store_writer *w;
	struct record_sink k;
	struct store *s = NULL;
	struct err e = {0};

	new_dir();
	if (!mount_tmpfs("size=16m"))
		return;
	w = open_writer_again();
	store_writer_sink(w, &k);
	put_everything(&k);
	CHECK_EQ(store_writer__close(w, NULL), 0);
	CHECK_EQ(mount("none", tmp, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	CHECK_EQ(open_for_writing(&e), -EROFS);
	CHECK(strstr(e.msg, "read-only") != NULL);
	CHECK_EQ(store__open(dir, false, &s, &e), 0);
	CHECK_STR(q(s, "SELECT count(*) FROM messages"), "2");
	store__close(s);
	s = NULL;
	CHECK(store__open(dir, true, &s, &e) < 0); /* replay could not record its acts */
	umount(tmp);
}

/* A log that nobody can read into the catalogue is not passed over in silence. */
static void test_read_only_after_a_crash(void)
{
	struct store_writer *w;
	struct record_sink k;
	struct err e = {0};

	new_dir();
	if (!mount_tmpfs("size=16m"))
		return;
	w = open_writer_again();
	store_writer_sink(w, &k);
	put_everything(&k);
	CHECK_EQ(store_writer_commit(w, T0, NULL), 0);
	shell("cp -r $D $D.copy && rm -f $D.copy/*-shm");
	CHECK_EQ(store_writer__close(w, NULL), 0);
	shell("rm -r $D && mv $D.copy $D");
	CHECK_EQ(mount("none", tmp, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	CHECK_EQ(open_for_reading(&e), -EROFS);
	CHECK(strstr(e.msg, "not closed in good order") != NULL);
	umount(tmp);
}

/* --- beside each other --- */

static _Atomic bool stop;

static void *write_pairs(void *arg)
{
	struct record_sink k;

	store_writer_sink(arg, &k);
	for (uint64_t id = 1; !stop; id++) {
		struct message_rec m = message(id);
		struct copy_rec c = {.id = id, .message = id, .queue = SPAN_LIT("q"), .state = STATE_QUEUED};

		k.payload(k.ctx, PROTO_AMQP091, SPAN_LIT("e"), SPAN_LIT("body"), &m.payload);
		k.message(k.ctx, &m);
		k.copy(k.ctx, &c);
		if (id % 10 == 0)
			store_writer_commit(arg, T0 + (int64_t)id, NULL);
	}
	return NULL;
}

static void test_reader_beside_writer(void)
{
	struct store_writer *w = open_writer();
	struct store *s = NULL;
	pthread_t t;

	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	stop = false;
	CHECK_EQ(pthread_create(&t, NULL, write_pairs, w), 0);
	for (int i = 0; i < 200; i++) {
		CHECK_STR(q(s, "SELECT (SELECT count(*) FROM message)-(SELECT count(*) FROM copy)"), "0");
		CHECK_STR(q(s, "SELECT count(*)%10 FROM message"), "0");
		if (atoi(q(s, "SELECT count(*) FROM message")))
			CHECK_STR(body_of(s, strtoull(q(s, "SELECT max(payload) FROM message"), NULL, 10)),
				"body");
	}
	stop = true;
	pthread_join(t, NULL);
	store__close(s);
	CHECK_EQ(store_writer__close(w, NULL), 0);
}

/* `replay` writes beside the recorder. */
static void test_second_connection_writes(void)
{
	struct store_writer *w = open_writer();
	struct store *s = NULL;
	pthread_t t;
	int err = 0;

	CHECK_EQ(store__open(dir, true, &s, NULL), 0);
	stop = false;
	CHECK_EQ(pthread_create(&t, NULL, write_pairs, w), 0);
	for (int i = 0; !err && i < 50; i++) {
		char sql[160];

		snprintf(sql, sizeof(sql),
			"INSERT INTO replay(ts_ns,message,token,result) VALUES(1,1,'t%d','sending')", i);
		err = sqlite3_exec(store_db(s), sql, NULL, NULL, NULL);
	}
	CHECK_EQ(err, 0);
	stop = true;
	pthread_join(t, NULL);
	CHECK_STR(q(s, "SELECT count(*) FROM replay"), "50");
	store__close(s);
	CHECK_EQ(store_writer__close(w, NULL), 0);
}

/* Somebody sits on the catalogue: nothing is lost, a later commit writes it. */
static void test_locked_catalogue(void)
{
	struct store_writer *w = open_writer();
	struct store *s = NULL;
	struct record_sink k;
	struct err e = {0};

	store_writer_sink(w, &k);
	CHECK_EQ(store__open(dir, true, &s, NULL), 0);
	CHECK_EQ(sqlite3_exec(store_db(s), "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	put_everything(&k);
	CHECK_EQ(store_writer_commit(w, T0, &e), -EBUSY);
	CHECK(strstr(e.msg, "locked") != NULL);
	CHECK_EQ(sqlite3_exec(store_db(s), "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	CHECK_EQ(store_writer__close(w, &e), 0);
	CHECK_STR(q(s, "SELECT count(*) FROM messages"), "2");
	store__close(s);
}

static void test_reader_cannot_write(void)
{
	struct store *s = NULL;

	make_store();
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	CHECK(sqlite3_exec(store_db(s), "DELETE FROM message", NULL, NULL, NULL) != SQLITE_OK);
	CHECK(sqlite3_exec(store_db(s), "CREATE TABLE x(y)", NULL, NULL, NULL) != SQLITE_OK);
	store__close(s);
}

int main(void)
{
	own_mounts = geteuid() == 0 && !unshare(CLONE_NEWNS) &&
		     !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	RUN(test_second_writer_is_refused);
	RUN(test_newer_version_is_refused);
	RUN(test_older_version_is_brought_up_to_date);
	RUN(test_what_is_not_a_store);
	RUN(test_missing_store_says_how_to_begin);
	RUN(test_default_path);
	RUN(test_other_users);
	RUN(test_files_are_private_whatever_the_umask);
	RUN(test_damage_is_found_and_contained);
	RUN(test_short_and_missing_segments);
	RUN(test_leftovers_are_cut_off);
	RUN(test_full_disk);
	RUN(test_file_size_limit);
	RUN(test_full_disk_for_long);
	RUN(test_full_disk_at_creation);
	RUN(test_read_only_disk);
	RUN(test_read_only_after_a_crash);
	RUN(test_reader_beside_writer);
	RUN(test_second_connection_writes);
	RUN(test_locked_catalogue);
	RUN(test_reader_cannot_write);
	remove_dir();
	return test_end();
}
