/*
 * What the query stage answers on a store that the store's own writer made: find, resolve, where, flow,
 * queues. `test_answers make DIR` only writes that store, for the tests of the commands, `make-log` another.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "query/queues.h"
#include "query/tree.h"
#include "query/verdict.h"
#include "scenario_log.h"
#include "test.h"

static char tmp[64], dir[80];
static struct store *store;
static struct coverage coverage;

static void remove_tmp(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", tmp);
	if (tmp[0] && system(cmd))
		fprintf(stderr, "cannot remove %s\n", tmp);
}

static void new_tmp(void)
{
	snprintf(tmp, sizeof(tmp), "/tmp/evtrace-test-XXXXXX");
	if (!mkdtemp(tmp))
		abort();
	snprintf(dir, sizeof(dir), "%s/store", tmp);
}

static int make(const char *path, int (*write)(struct scenario *s, const char *dir, struct err *e))
{
	struct scenario s;
	struct err e = {0};
	int err = write(&s, path, &e);

	if (!err)
		err = store_writer__close(s.w, &e);
	if (err)
		fprintf(stderr, "%s\n", e.msg);
	return err;
}

static int follow(const char *path)
{
	struct scenario s;
	struct err e = {0};
	char line[200];
	int err = scenario_open(&s, path, &e);

	if (!err) {
		sc_begin(&s);
		err = store_writer_commit(s.w, T0, &e);
	}
	puts("ready");
	fflush(stdout);
	for (int64_t t = T0; !err && fgets(line, sizeof(line), stdin); t += MS(1)) {
		line[strcspn(line, "\n")] = '\0';
		sc_message(&s, &(struct sc_message){.exchange = "x",
				       .key = "k",
				       .type = "",
				       .body = line,
				       .sent_ns = t,
				       .state = STATE_SENT,
				       .process = s.process[SHOP]});
		err = s.err ? s.err : store_writer_commit(s.w, t, &e);
		puts("written");
		fflush(stdout);
	}
	if (!err)
		err = store_writer__close(s.w, &e);
	if (err)
		fprintf(stderr, "%s\n", e.msg);
	return err;
}

static void open_store(void)
{
	struct err e = {0};

	if (store__open(dir, false, &store, &e) || store_coverage(store, &coverage, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		abort();
	}
}

/* --- find --- */

/* The ids that @text finds, newest first, as text: "19 15 13". */
static const char *found(const char *text, struct select_opts *o, struct select_stats *ret)
{
	static char out[4096];
	struct query *q = NULL;
	struct select *sel = NULL;
	struct err e = {0};
	struct row r;
	size_t n = 0;
	int more = 0;

	out[0] = '\0';
	if (query__parse(text, T_END, &q, &e) || select__new(store, q, o, &sel, &e)) {
		query__free(q);
		snprintf(out, sizeof(out), "%s", e.msg);
		return out;
	}
	while ((more = select__next(sel, &r, &e)) > 0)
		n += (size_t)snprintf(
			out + n, sizeof(out) - n, "%s%llu", n ? " " : "", (unsigned long long)r.id);
	if (ret)
		select_stats(sel, ret);
	select__free(sel);
	query__free(q);
	if (more < 0)
		snprintf(out, sizeof(out), "%d", more);
	return out;
}

static void check_found(const char *text, const char *want)
{
	struct select_opts o = {0};
	const char *got = found(text, &o, NULL);

	if (strcmp(got, want)) {
		fprintf(stderr, "%s finds \"%s\", not \"%s\"\n", text, got, want);
		test_case_bad = true;
	}
}

static void finds_by_anything(void)
{
	check_found("4711", "19 15 14 13");
	check_found("\"John Doe\"", "19 15 13");
	check_found("customer.id=88", "19 15 13");
	check_found("Köln", "19 15 13");
	check_found("n°", "12 11 10 9 8 7 6 5 4 3 2 1");
	check_found("no>9009", "12 11");
	check_found("id=P-77", "16");
	check_found("tries=3 type=parcel", "16");
	check_found("tries=4", "");
	check_found("x-tenant=acme 5005", "18");
	check_found("service:shop", "18 17 16 13");
	check_found("service:billing", "19 13");
	check_found("service:slow", "16");
	check_found("queue:notify 4711", "14");
	check_found("queue:billing", "19 13");
	check_found("exchange:dead", "15");
	check_found("topic:billing*", "19 15 13");
	check_found("key:nobody", "17");
	check_found("state:waiting NOT queue:notify", "15");
	check_found("state:dead", "15 13");
	check_found("state:returned OR state:unsettled", "17 16");
	check_found("state:done", "19 13");
	check_found("id:m14", "14");
	check_found("id:14 NOT 4711", "");
	check_found("m14", "14");
	check_found("billing", "19 15 13");
	check_found("audit", "13");
	check_found("evtrace", "19");
	check_found("since:2025-11-23T14:02:11Z", "19 18 17");
	check_found("until:2025-11-23T14:01:10Z", "1");
	check_found("nowhere", "");
	check_found("NOT (state:queued OR 4711)", "18 17 16");
	check_found("has:total", "19 15 13");
}

static void rows_say_what_lists_show(void)
{
	struct select_opts o = {0};
	struct select *sel = NULL;
	struct query *q = NULL;
	struct err e = {0};
	struct row r;

	CHECK_EQ(query__parse("id:13 John", T_END, &q, &e), 0);
	CHECK_EQ(select__new(store, q, &o, &sel, &e), 0);
	CHECK_EQ(select__next(sel, &r, &e), 1);
	CHECK_EQ(r.when_ns, T_ORDER);
	CHECK_EQ(r.copies, 3);
	CHECK_STR(r.queues, "billing, invoices, audit");
	CHECK_EQ(r.dead_list_n, 1);
	CHECK_STR(r.dead_list[0], "billing.dlq");
	CHECK_STR(r.exchange, "orders");
	CHECK_STR(r.service, "shop");
	CHECK_EQ(r.pid, PID_SHOP);
	CHECK_EQ(r.body_size, strlen(ORDER_BODY));
	CHECK(span_is(r.body, ORDER_BODY));
	CHECK_EQ(r.match_at, (size_t)(strstr(ORDER_BODY, "John") - ORDER_BODY));
	CHECK_EQ(select__next(sel, &r, &e), 0);
	CHECK_EQ(select__next(sel, &r, &e), 0); /* and again */
	select__free(sel);
	query__free(q);
}

static void pages_by_cursor(void)
{
	struct select_opts o = {.limit = 2};
	struct select_stats st;

	CHECK_STR(found("4711", &o, &st), "19 15");
	CHECK(st.limited);
	o.before = st.cursor;
	CHECK_STR(found("4711", &o, &st), "14 13");
	CHECK(st.limited); /* there may be more */
	o.before = st.cursor;
	CHECK_STR(found("4711", &o, &st), "");
	CHECK(!st.limited);
	CHECK_EQ(st.searched, 12);
	o = (struct select_opts){.limit = 2, .peek = true};
	CHECK_STR(found("4711", &o, &st), "19 15");
	CHECK(st.limited);
	CHECK_EQ(st.searched, 5);
	CHECK_EQ(st.cursor, 15);
	o.limit = 4;
	CHECK_STR(found("4711", &o, &st), "19 15 14 13");
	CHECK(!st.limited); /* it looked */
	CHECK_EQ(st.searched, M_LAST);
	o = (struct select_opts){.limit = 100};
	CHECK_STR(found("4711", &o, &st), "19 15 14 13");
	CHECK(!st.limited);
	CHECK_EQ(st.searched, M_LAST);
	o = (struct select_opts){.after = 14};
	CHECK_STR(found("4711", &o, &st), "15 19"); /* oldest first */
	o = (struct select_opts){.since_ns = T_ORDER + MS(100), .until_ns = T_ORDER + MS(1000)};
	CHECK_STR(found("", &o, &st), "16 15");
}

static void reads_payloads_only_when_they_matter(void)
{
	struct select_opts o = {0};
	struct select_stats st;

	found("state:returned", &o, &st);
	CHECK_EQ(st.payloads_read, 1); /* of the one that is shown */
	found("queue:nowhere 4711", &o, &st);
	CHECK(st.payloads_read <= M_LAST);
}

static bool stop_at_once(void *ctx, uint64_t searched)
{
	(void)ctx;
	(void)searched;
	return false;
}

static void many_messages_can_be_interrupted(void)
{
	struct select_opts o = {.tick = stop_at_once};
	struct select_stats st;
	struct scenario s;
	struct err e = {0};
	char plain[80];

	snprintf(plain, sizeof(plain), "%s/many", tmp);
	CHECK_EQ(scenario_open(&s, plain, &e), 0);
	for (int i = 0; i < 3000; i++) {
		char body[40];

		snprintf(body, sizeof(body), "{\"n\":%d}", i);
		sc_message(&s, &(struct sc_message){.exchange = "x",
				       .key = "k",
				       .type = "",
				       .body = body,
				       .sent_ns = T0 + i,
				       .state = STATE_SENT});
	}
	CHECK_EQ(s.err, 0);
	CHECK_EQ(store_writer_commit(s.w, T_END, &e), 0);
	CHECK_EQ(store_writer__close(s.w, &e), 0);
	store__close(store);
	CHECK_EQ(store__open(plain, false, &store, &e), 0);
	CHECK_EQ(atoi(found("nowhere", &o, &st)), -EINTR);
	CHECK(st.searched > 0 && st.searched < 3000);
	o.tick = NULL;
	CHECK_STR(found("n=77", &o, &st), "78");
	CHECK_EQ(st.searched, 3000);
	store__close(store);
	open_store();
}

/* A byte of a block is turned over: the messages in it are found by what the catalogue knows, and it is said.
 */
static void damaged_payloads_are_said(void)
{
	struct select_opts o = {0};
	struct select_stats st;
	char cmd[256], copy[80], keep[80];
	int fd;

	snprintf(copy, sizeof(copy), "%s/damaged", tmp);
	snprintf(cmd, sizeof(cmd), "cp -r '%s' '%s'", dir, copy);
	CHECK_EQ(system(cmd), 0);
	snprintf(cmd, sizeof(cmd), "%s/blocks", copy);
	snprintf(keep, sizeof(keep), "%s", dir);
	snprintf(cmd, sizeof(cmd),
		"f=$(ls -d '%s'/blocks/* | head -n 1); printf 'XXXX' | dd of=\"$f\" bs=1 seek=60 "
		"conv=notrunc 2>/dev/null",
		copy);
	fd = system(cmd);
	CHECK_EQ(fd, 0);
	store__close(store);
	snprintf(dir, sizeof(dir), "%s", copy);
	open_store();
	CHECK_STR(found("\"John Doe\"", &o, &st), "");
	CHECK_EQ(st.damaged, M_LAST);
	CHECK(st.damage.msg[0]);
	CHECK_STR(found("billing", &o, &st), "19 15 13");
	store__close(store);
	snprintf(dir, sizeof(dir), "%s", keep);
	open_store();
}

/* --- resolve --- */

static int resolve(const char *a, const char *b, uint64_t *ret, struct err *e)
{
	char *argv[] = {(char *)a, (char *)b};

	return resolve_message(store, b ? 2 : 1, argv, ret, e);
}

static void resolves_ids_and_values(void)
{
	struct err e = {0};
	uint64_t id = 0;

	CHECK_EQ(resolve("m13", NULL, &id, &e), 0);
	CHECK_EQ(id, 13);
	CHECK_EQ(resolve("P-77", NULL, &id, &e), 0);
	CHECK_EQ(id, M_PARCEL);
	CHECK_EQ(resolve("4711", "queue:notify", &id, &e), 0);
	CHECK_EQ(id, M_INVOICE);
	id = 77;
	CHECK_EQ(resolve("m99", NULL, &id, &e), -ENOENT);
	CHECK_STR(e.msg, "there is no m99");
	CHECK_EQ(resolve("nowhere", NULL, &id, &e), -ENOENT);
	CHECK_STR(e.msg, "nothing holds \"nowhere\"");
	CHECK_EQ(resolve("a=", NULL, &id, &e), -EINVAL);
	CHECK_EQ(resolve("John Doe", NULL, &id, &e), -ENOTUNIQ);
	CHECK(strstr(e.msg, "\"John Doe\" finds more than one message:\n  m19 "));
	CHECK(strstr(e.msg, "\n  m13 "));
	CHECK_EQ(id, 77);
}

/* A store of @n messages where links say what @link does; opened instead of the scenario's. */
static void open_chain(const char *name, int n, void (*link)(struct scenario *s, int i, int n))
{
	struct scenario s;
	struct err e = {0};
	char path[80];

	snprintf(path, sizeof(path), "%s/%s", tmp, name);
	if (scenario_open(&s, path, &e))
		abort();
	sc_begin(&s);
	for (int i = 0; i < n; i++)
		sc_message(&s, &(struct sc_message){.exchange = "x",
				       .key = "k",
				       .type = "",
				       .body = "{}",
				       .sent_ns = T0 + MS(i + 1),
				       .flow = 1,
				       .state = STATE_SENT,
				       .process = s.process[SHOP]});
	for (int i = 1; i <= n; i++)
		link(&s, i, n);
	CHECK_EQ(s.err, 0);
	CHECK_EQ(store_writer_commit(s.w, T_END, &e), 0);
	CHECK_EQ(store_writer__close(s.w, &e), 0);
	store__close(store);
	if (store__open(path, false, &store, &e) || store_coverage(store, &coverage, &e))
		abort();
}

static void close_chain(void)
{
	store__close(store);
	open_store();
}

/* --- where --- */

static struct loader *loader;
static struct judge *judge;

static void begin_judge(void)
{
	struct err e = {0};

	if (loader__new(store, &loader, &e) || judge__new(loader, &coverage, T_END + MS(5000), &judge, &e))
		abort();
}

static void end_judge(void)
{
	judge__free(judge);
	loader__free(loader);
}

static struct msg *get(uint64_t id)
{
	struct msg *m = NULL;
	struct err e = {0};

	if (loader_get(loader, id, &m, &e))
		abort();
	return m;
}

static struct finding judged(uint64_t id, size_t copy)
{
	struct msg *m = get(id);
	struct finding f = {0};
	struct err e = {0};

	if (m->copies_n)
		CHECK_EQ(judge_copy(judge, m, &m->copies[copy], &f, &e), 0);
	else
		CHECK_EQ(judge_message(judge, m, &f, &e), 0);
	return f;
}

static void every_copy_has_a_verdict(void)
{
	struct finding f;

	begin_judge();
	f = judged(M_ORDER, 0);
	CHECK_EQ(f.kind, STANDS_DEAD_LETTERED);
	CHECK_STR(f.reason, "rejected");
	CHECK_EQ(f.dead->row.id, M_DEAD);
	CHECK_EQ(f.since_ns, T_ORDER + MS(123));
	CHECK_EQ(f.watched.until_ns, T_END); /* the recording's end, not now */
	CHECK(!f.watched.running);
	f = judged(M_ORDER, 1);
	CHECK_EQ(f.kind, STANDS_DONE);
	CHECK_STR(f.copy->consumer->service, "invoices");
	f = judged(M_INVOICE, 0);
	CHECK_EQ(f.kind, STANDS_WAITING);
	CHECK_EQ(f.ahead, 12);
	CHECK_EQ(f.queue_taken_ns, 0);
	CHECK_EQ(f.consumers, 0);
	f = judged(1, 0);
	CHECK_EQ(f.ahead, 0);
	f = judged(M_PARCEL, 0);
	CHECK_EQ(f.kind, STANDS_DELIVERED);
	CHECK_EQ(f.since_ns, T_END - MS(42000));
	CHECK_EQ(judged(M_LOST, 0).kind, STANDS_RETURNED);
	CHECK_EQ(judged(M_FOREIGN, 0).kind, STANDS_NOT_SEEN);
	end_judge();
}

/* work -> work.retry (its waiting ends) -> work, acked; and three that are each other's dead letters. */
static void write_retries(struct scenario *s, int i, int n)
{
	struct sc_message m = {.exchange = "x",
		.key = "k",
		.type = "",
		.body = "{}",
		.sent_ns = T0,
		.origin = ORIGIN_BROKER,
		.state = STATE_DEAD_LETTERED,
		.reason = "rejected"};
	struct copy_rec c = {.state = STATE_DEAD_LETTERED,
		.settle = SETTLE_REJECT,
		.settled_ns = T0 + MS(5),
		.consumer = s->process[BILLING]};

	if (i < n)
		return;
	c.message = sc_message(s, &m);
	c.dead_letter = c.message + 1;
	sc_copy(s, c, "work");
	c.message = sc_message(s, &m);
	c.dead_letter = c.message + 1;
	c.settle = SETTLE_NONE;
	sc_copy(s, c, "work.retry");
	m.reason = "expired";
	sc_copy(s, (struct copy_rec){.message = sc_message(s, &m), .state = STATE_ACKED}, "work");
	for (int k = 0; k < 3; k++) {
		c.message = sc_message(s, &m);
		c.dead_letter = k < 2 ? c.message + 1 : c.message - 2;
		sc_copy(s, c, "round");
	}
}

static void retries_are_followed_to_their_end(void)
{
	struct finding f;

	open_chain("retries", 1, write_retries);
	begin_judge();
	f = judged(2, 0);
	CHECK_EQ(f.kind, STANDS_RETRIED);
	CHECK_STR(f.reason, "rejected");
	CHECK_EQ(f.dead->row.id, 3);
	CHECK_EQ(f.end_message->row.id, 4);
	CHECK_EQ(f.end->state, STATE_ACKED);
	f = judged(3, 0);
	CHECK_EQ(f.kind, STANDS_RETRIED);
	CHECK_STR(f.reason, "expired");
	CHECK_EQ(judged(5, 0).kind, STANDS_DEAD_LETTERED); /* a circle is not followed */
	end_judge();
	close_chain();
}

static void write_replayed(struct scenario *s, int i, int n)
{
	(void)n;
	sc_message(s, &(struct sc_message){.exchange = "x",
			      .key = "k",
			      .type = "",
			      .body = "{}",
			      .first_ns = T0 + MS(9),
			      .origin = ORIGIN_UNSEEN,
			      .token = "m1.abc"});
	sc_link(s, (uint64_t)i, (uint64_t)i + 1, LINK_REPLAY_OF, 1, "header evtrace-replay-of");
}

static void a_replay_says_who_and_why(void)
{
	struct replay_note note = {0};
	struct store *writable = NULL;
	struct err e = {0};

	open_chain("replayed", 1, write_replayed);
	begin_judge();
	CHECK_EQ(find_replay(loader, get(2), &note, &e), 0); /* nothing was noted */
	CHECK_EQ(store__open(store_path(store), true, &writable, &e), 0);
	CHECK_EQ(sqlite3_exec(store_db(writable),
			 "INSERT INTO replay(ts_ns,message,who,why,token,result) "
			 "VALUES(77,1,'ann','paid','m1.abc','confirmed')",
			 NULL, NULL, NULL),
		SQLITE_OK);
	store__close(writable);
	CHECK_EQ(find_replay(loader, get(2), &note, &e), 1);
	CHECK_EQ(note.ts_ns, 77);
	CHECK_STR(note.who, "ann");
	CHECK_STR(note.why, "paid");
	CHECK_EQ(note.copy, 2);
	end_judge();
	close_chain();
}

static void exec_in(const char *path, const char *sql)
{
	struct store *writable = NULL;
	struct err e = {0};

	CHECK_EQ(store__open(path, true, &writable, &e), 0);
	CHECK_EQ(sqlite3_exec(store_db(writable), sql, NULL, NULL, NULL), SQLITE_OK);
	store__close(writable);
}

/* m1, its dead letter m2, that one's replay m3, and what that became, m4; m5 has nothing to do with them. */
static void write_lives(struct scenario *s, int i, int n)
{
	(void)n;
	if (i > 1)
		return;
	for (int k = 2; k <= 5; k++)
		sc_message(s, &(struct sc_message){.exchange = "x",
				      .key = "k",
				      .type = "",
				      .body = "{}",
				      .first_ns = T0 + MS(k),
				      .state = STATE_QUEUED,
				      .origin = k == 3       ? ORIGIN_UNSEEN
						: k % 2 == 0 ? ORIGIN_BROKER
							     : ORIGIN_CLIENT,
				      .mark = k == 3 ? "m2.abc" : NULL});
	sc_link(s, 1, 2, LINK_DEAD_LETTER_OF, 1, "");
	sc_link(s, 2, 3, LINK_REPLAY_OF, 1, "");
	sc_link(s, 3, 4, LINK_DEAD_LETTER_OF, 1, "");
	sc_link(s, 1, 5, LINK_CAUSED_BY, 1, "");
}

static void a_replay_counts_for_all_lives_of_a_message(void)
{
	struct replay_note note = {0};
	struct err e = {0};
	uint64_t first;

	open_chain("lives", 1, write_lives);
	begin_judge();
	for (uint64_t id = 1; id <= 5; id++) {
		/* nothing is noted, but the link of the copy is there */
		CHECK_EQ(last_replay(loader, id, &note, &first, &e), id < 5);
		CHECK_EQ(first, id < 5 ? 1 : 5);
	}
	CHECK_EQ(last_replay(loader, 1, &note, NULL, &e), 1);
	CHECK(!note.id && note.of == 2 && note.copy == 3 && !note.before);
	exec_in(store_path(store), "INSERT INTO replay(ts_ns,message,who,why,token,result) VALUES"
				   "(77,2,'ann','paid','m2.abc','returned: 312 NO_ROUTE')");
	CHECK_EQ(last_replay(loader, 1, &note, NULL, &e), 0); /* it came back */
	exec_in(store_path(store), "UPDATE replay SET result='unknown: connection lost'");
	for (uint64_t id = 1; id <= 4; id++) {
		CHECK_EQ(last_replay(loader, id, &note, NULL, &e), 1);
		CHECK(note.id && note.of == 2 && note.copy == 3 && note.ts_ns == 77);
		CHECK_EQ(note.before, id > 2);
		CHECK_STR(note.result, "unknown: connection lost");
	}
	exec_in(store_path(store), "INSERT INTO replay(ts_ns,message,who,why,token,result) VALUES"
				   "(99,4,'bob','','m4.def','confirmed')");
	CHECK_EQ(last_replay(loader, 1, &note, NULL, &e), 1); /* the last one */
	CHECK(note.of == 4 && !note.copy && !note.before);
	CHECK_STR(note.who, "bob");
	CHECK_EQ(last_replay(loader, 5, &note, NULL, &e), 0);
	end_judge();
	close_chain();
}

/* A copy without a mark: m1 of a stream was sent again as m2, by the id that the broker confirmed. */
static void write_entries(struct scenario *s, int i, int n)
{
	(void)n;
	for (int k = 2; i < 2 && k <= 4; k++)
		sc_message(s, &(struct sc_message){.exchange = "jobs",
				      .key = "",
				      .type = "",
				      .body = "{}",
				      .first_ns = T0 + MS(k),
				      .origin = ORIGIN_CLIENT});
}

static void a_copy_is_known_by_the_name_that_the_broker_confirmed(void)
{
	struct replay_note note = {0};
	struct err e = {0};
	char sql[300];

	open_chain("entries", 1, write_entries);
	exec_in(store_path(store),
		"INSERT OR IGNORE INTO name(text) VALUES('jobs');"
		"UPDATE message SET mid='7-'||id, log=(SELECT id FROM name WHERE text='jobs')");
	snprintf(sql, sizeof(sql),
		"INSERT INTO replay(ts_ns,message,who,token,result,broker,exchange,log,mid)"
		" SELECT %lld,1,'ann','m1.abc','confirmed',name,'jobs','jobs','7-3' FROM broker",
		(long long)T0 + MS(2));
	exec_in(store_path(store), sql);
	begin_judge();
	CHECK_EQ(find_replay(loader, get(3), &note, &e), 1);
	CHECK(note.of == 1 && note.copy == 3);
	CHECK_STR(note.who, "ann");
	CHECK_EQ(find_replay(loader, get(2), &note, &e), 0);
	CHECK_EQ(get(1)->links_n, 1);
	CHECK_EQ(get(3)->links_n, 1);
	CHECK(get(3)->links[0].src == 1 && get(3)->links[0].kind == LINK_REPLAY_OF);
	CHECK_EQ(get(4)->links_n, 0);
	CHECK_EQ(last_replay(loader, 1, &note, NULL, &e), 1);
	CHECK(note.copy == 3 && note.id);
	CHECK_EQ(last_replay(loader, 3, &note, NULL, &e), 1); /* it came out of that replay */
	CHECK(note.of == 1 && note.before);
	CHECK_EQ(last_replay(loader, 4, &note, NULL, &e), 0);
	end_judge();
	/* Another broker has an entry of that name, too. */
	exec_in(store_path(store),
		"UPDATE replay SET broker='elsewhere:6379'; UPDATE message SET broker=77 WHERE id=3");
	begin_judge();
	CHECK_EQ(find_replay(loader, get(3), &note, &e), 0);
	CHECK_EQ(get(3)->links_n, 0);
	CHECK_EQ(get(1)->links_n, 0);
	end_judge();
	close_chain();
}

static void where_speaks_of_causes_and_effects(void)
{
	uint64_t asked[] = {M_ORDER}, several[] = {M_REPLAY, M_DEAD, M_INVOICE, M_ORDER};
	struct concerned list[16];
	struct err e = {0};
	bool more = true;
	size_t n = 0;

	begin_judge();
	CHECK_EQ(where_subjects(loader, asked, 1, 16, list, &n, &more, &e), 0);
	CHECK_EQ(n, 3); /* the dead-letter copy is told of by the order's verdict */
	CHECK(!more);
	CHECK_EQ(list[0].message->row.id, M_ORDER);
	CHECK(list[0].asked && !list[0].because);
	CHECK_EQ(list[1].message->row.id, M_INVOICE);
	CHECK_EQ(list[1].because->src, M_ORDER);
	CHECK(!list[1].asked);
	CHECK_EQ(list[2].message->row.id, M_REPLAY);
	CHECK_EQ(list[2].because->kind, LINK_REPLAY_OF);
	CHECK_EQ(where_subjects(loader, several, 4, 16, list, &n, &more, &e), 0);
	CHECK_EQ(n, 3);
	CHECK_EQ(where_subjects(loader, several, 4, 2, list, &n, &more, &e), 0);
	CHECK(more);
	asked[0] = M_DEAD; /* asked for by itself, it has an entry */
	CHECK_EQ(where_subjects(loader, asked, 1, 16, list, &n, &more, &e), 0);
	CHECK_EQ(n, 2);
	CHECK_EQ(list[0].message->row.id, M_DEAD);
	end_judge();
}

static struct msg_op ops[16];
static unsigned ops_n;

static void on_op(void *ctx, const struct msg_op *op)
{
	(void)ctx;
	if (ops_n < ARRAY_LEN(ops))
		ops[ops_n++] = *op;
}

static void on_key(void *ctx, struct span key)
{
	char *out = ctx;

	snprintf(out + strlen(out), 40, SPAN_FMT ";", SPAN_ARG(key));
}

static void evidence_is_there(void)
{
	struct err e = {0};
	char keys[80] = "";

	begin_judge();
	ops_n = 0;
	CHECK_EQ(loader_operations(loader, get(M_ORDER), 16, on_op, NULL, &e), 7);
	CHECK_EQ(ops_n, 7);
	CHECK_EQ(ops[0].kind, OP_SEND);
	CHECK_EQ(ops[6].settle, SETTLE_REJECT);
	CHECK_EQ(ops[6].who->pid, PID_BILLING);
	ops_n = 0;
	CHECK_EQ(loader_operations(loader, get(M_ORDER), 3, on_op, NULL, &e), 4); /* there are more */
	CHECK_EQ(ops_n, 3);
	CHECK_EQ(loader_bindings(loader, get(M_ORDER), "billing", on_key, keys, &e), 1);
	CHECK_STR(keys, "order.*;");
	CHECK_EQ(loader_bindings(loader, get(M_ORDER), "nowhere", on_key, keys, &e), 0);
	end_judge();
}

/* --- flow --- */

static struct buf drawn;

static int draw(void *ctx, const struct tree_line *l)
{
	(void)ctx;
	buf_printf(&drawn, "%u%c%s%llu%s%s ", l->depth, l->depth && l->last[l->depth] ? '.' : ' ',
		l->kind == LINE_ROOT     ? "root"
		: l->kind == LINE_EFFECT ? "effect"
					 : "copy",
		(unsigned long long)l->node->m->row.id, l->copy ? ":" : "", l->copy ? l->copy->queue : "");
	return 0;
}

static const char *drawing(uint64_t id, size_t max, uint64_t *ret_total)
{
	struct loader *l = NULL;
	struct tree *t = NULL;
	struct err e = {0};

	buf_clear(&drawn);
	if (loader__new(store, &l, &e) || tree__new(l, id, max, &t, &e)) {
		loader__free(l);
		buf_puts(&drawn, e.msg);
		return buf_cstr(&drawn);
	}
	CHECK_EQ(tree_walk(t, draw, NULL), 0);
	if (ret_total)
		*ret_total = t->total;
	tree__free(t);
	loader__free(l);
	return buf_cstr(&drawn);
}

static void the_tree_goes_by_causality(void)
{
	static const char want[] =
		"0 root13 1 copy13:billing 2.copy15:billing.dlq 1 copy13:invoices 2.effect14 "
		"3.copy14:notify 1.copy13:audit 0 root19 1.copy19:billing ";

	CHECK_STR(drawing(M_ORDER, 100, NULL), want);
	CHECK_STR(drawing(M_INVOICE, 100, NULL), want); /* from wherever in the flow */
	CHECK_STR(drawing(M_PARCEL, 100, NULL), "0 root16 1.copy16:parcels ");
}

static void a_large_flow_is_cut_near_the_one_asked_for(void)
{
	uint64_t total = 0;

	drawing(M_INVOICE, 2, &total);
	CHECK_EQ(total, 4);
	CHECK_STR(buf_cstr(&drawn),
		"0 root13 1 copy13:billing 1 copy13:invoices 2.effect14 3.copy14:notify 1.copy13:audit ");
}

static void link_circle(struct scenario *s, int i, int n)
{
	sc_link(s, (uint64_t)i, (uint64_t)(i % n + 1), LINK_CAUSED_BY, 0.9, "");
}

static void link_chain(struct scenario *s, int i, int n)
{
	if (i < n)
		sc_link(s, (uint64_t)i, (uint64_t)(i + 1), LINK_CAUSED_BY, 0.9, "");
}

static void link_hub(struct scenario *s, int i, int n)
{
	(void)n;
	if (i > 1)
		sc_link(s, 1, (uint64_t)i, LINK_CAUSED_BY, 0.5, "");
	sc_link(s, (uint64_t)i, (uint64_t)i, LINK_CAUSED_BY, 1, "itself");
}

static void circles_end(void)
{
	struct concerned list[8];
	struct err e = {0};
	uint64_t asked[] = {2};
	size_t n = 0;
	bool more;

	open_chain("circle", 3, link_circle);
	CHECK_STR(drawing(1, 100, NULL), "0 root1 1.effect2 2.effect3 ");
	begin_judge();
	CHECK_EQ(where_subjects(loader, asked, 1, 8, list, &n, &more, &e), 0);
	CHECK_EQ(n, 3);
	end_judge();
	close_chain();
}

static void deep_and_wide_flows_are_safe(void)
{
	uint64_t total = 0;

	open_chain("chain", 300, link_chain);
	drawing(150, 1000, &total);
	CHECK_EQ(total, 300);
	CHECK(strstr(buf_cstr(&drawn), "effect300 "));
	CHECK(strstr(buf_cstr(&drawn), "47.effect200 ")); /* the depth that is shown has an end */
	close_chain();
	open_chain("hub", 300, link_hub);
	drawing(7, 1000, &total);
	CHECK(strstr(buf_cstr(&drawn), "1.effect300 "));
	drawing(7, 10, &total);
	CHECK_EQ(total, 300);
	CHECK(strstr(buf_cstr(&drawn), "0 root1 "));
	CHECK(strstr(buf_cstr(&drawn), "effect7 "));
	close_chain();
}

/* --- queues --- */

static const struct queue_row *queue_named(const struct queues *q, const char *name)
{
	static const struct queue_row none;

	for (size_t i = 0; i < q->n; i++)
		if (!strcmp(q->rows[i].name, name))
			return &q->rows[i];
	return &none;
}

static bool near(int64_t ns, int64_t want)
{
	return ns > want * 93 / 100 && ns < want * 107 / 100;
}

static void queues_at_a_glance(void)
{
	struct queues_opts o = {.coverage = &coverage, .now_ns = T_END + MS(5000)};
	const struct queue_row *r;
	struct queues *q = NULL;
	struct err e = {0};

	CHECK_EQ(queues__new(store, &o, &q, &e), 0);
	CHECK_EQ(q->n, 6);
	r = queue_named(q, "notify");
	CHECK_EQ(r->waiting, 13);
	CHECK_EQ(r->oldest_ns, T_ORDER - MS(60000));
	CHECK_EQ(r->consumers, 0);
	CHECK_EQ(r->in, 0); /* nothing in the last minute */
	CHECK(!r->has_queue_time);
	r = queue_named(q, "billing");
	CHECK_EQ(r->dead, 1);
	CHECK_EQ(r->redelivered, 2);
	CHECK_EQ(r->consumers, 1);
	CHECK_STR(r->services[0].service, "billing");
	CHECK(near(r->consumer_p50, MS(30)) && near(r->consumer_p99, MS(41)));
	CHECK(near(r->queue_p50, 800000) && near(r->queue_p99, MS(1)));
	r = queue_named(q, "parcels");
	CHECK_EQ(r->unsettled, 1);
	CHECK_EQ(r->waiting, 0);
	queues__free(q);
	o.from_ns = T_ORDER - MS(90000);
	o.to_ns = T_ORDER + MS(10000);
	CHECK_EQ(queues__new(store, &o, &q, &e), 0);
	CHECK_EQ(queue_named(q, "notify")->in, 13);
	CHECK_EQ(queue_named(q, "audit")->out, 1);
	CHECK_EQ((int)queue_named(q, "notify")->window_s, 100);
	queues__free(q);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "make"))
		return make(argv[2], scenario_write) ? 1 : 0;
	if (argc == 3 && !strcmp(argv[1], "make-log"))
		return make(argv[2], scenario_log_write) ? 1 : 0;
	if (argc == 3 && !strcmp(argv[1], "follow"))
		return follow(argv[2]) ? 1 : 0;
	setenv("TZ", "UTC", 1);
	new_tmp();
	if (make(dir, scenario_write))
		return 1;
	open_store();
	RUN(finds_by_anything);
	RUN(rows_say_what_lists_show);
	RUN(pages_by_cursor);
	RUN(reads_payloads_only_when_they_matter);
	RUN(many_messages_can_be_interrupted);
	RUN(damaged_payloads_are_said);
	RUN(resolves_ids_and_values);
	RUN(every_copy_has_a_verdict);
	RUN(retries_are_followed_to_their_end);
	RUN(a_replay_says_who_and_why);
	RUN(a_replay_counts_for_all_lives_of_a_message);
	RUN(a_copy_is_known_by_the_name_that_the_broker_confirmed);
	RUN(where_speaks_of_causes_and_effects);
	RUN(evidence_is_there);
	RUN(the_tree_goes_by_causality);
	RUN(a_large_flow_is_cut_near_the_one_asked_for);
	RUN(circles_end);
	RUN(deep_and_wide_flows_are_safe);
	RUN(queues_at_a_glance);
	store__close(store);
	buf_free(&drawn);
	remove_tmp();
	return test_end();
}
