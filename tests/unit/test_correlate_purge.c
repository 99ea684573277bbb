/* What is taken away before anybody takes it: told where it is certain, not known where it is not. */
#include "test_correlate.h"

static uint64_t push(struct bench *b, const char *body)
{
	return publish(b, 1, 1, "", "jobs", "", body);
}

static void purge(
	struct bench *b, const char *queue, const char *type, uint64_t tag, uint32_t code, uint32_t flags)
{
	feed(b, 1, 1,
		(struct op){.kind = OP_QUEUE_PURGE,
			.flags = flags,
			.vhost = S("/"),
			.queue = S(queue),
			.queue_known = *queue,
			.type = S(type),
			.tag = tag,
			.code = code});
}

static void add(struct bench *b, const char *log, const char *mid)
{
	uint64_t ref = feed(b, 1, 1,
		(struct op){.kind = OP_SEND,
			.dest = DEST_LOG,
			.vhost = S("/"),
			.exchange = S(log),
			.log = S(log),
			.body = S(mid)});

	feed(b, 1, 1,
		(struct op){.kind = OP_CONFIRM,
			.dest = DEST_LOG,
			.vhost = S("/"),
			.ref = ref,
			.exchange = S(log),
			.log = S(log),
			.mid = S(mid)});
}

static void trim(struct bench *b, const char *log, const char *mid, uint32_t code, uint32_t flags)
{
	feed(b, 1, 1,
		(struct op){.kind = OP_DELETE,
			.dest = DEST_LOG,
			.flags = flags | OPF_UP_TO,
			.vhost = S("/"),
			.exchange = S(log),
			.log = S(log),
			.mid = S(mid),
			.code = code});
}

static void group(struct bench *b, const char *log)
{
	feed(b, 1, 1,
		(struct op){.kind = OP_QUEUE_DECLARE,
			.dest = DEST_LOG,
			.vhost = S("/"),
			.exchange = S(log),
			.log = S(log),
			.queue = S("g"),
			.queue_known = true});
}

static void cut(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_queue(&b, "jobs", "");
	for (int i = 0; i < 4; i++)
		push(&b, i == 3 ? "d" : i == 2 ? "c" : "same");
	purge(&b, "jobs", "", 0, 4, OPF_UP_TO); /* there are no more */
	flush(&b);
	CHECK_STR(state_in(&b, 1, "jobs"), "queued");
	purge(&b, "jobs", "", 0, 3, OPF_UP_TO);
	flush(&b);
	CHECK_STR(state_in(&b, 1, "jobs"), "purged");
	CHECK_STR(state_in(&b, 2, "jobs"), "queued");
	feed(&b, 1, 1,
		(struct op){.kind = OP_DELETE,
			.vhost = S("/"),
			.routing_key = S("jobs"),
			.queue = S("jobs"),
			.queue_known = true,
			.body = S("same"),
			.code = 5});
	purge(&b, "jobs", "", 0, 1, OPF_UP_TO | OPF_UNSURE);
	flush(&b);
	CHECK_STR(state_in(&b, 2, "jobs"), "purged");
	CHECK_STR(state_in(&b, 3, "jobs"), "unknown");
	CHECK_STR(state_in(&b, 4, "jobs"), "unknown");
	/* It was there all the time. */
	deliver(&b, 2, 1, "jobs", "", "jobs", "", "d");
	flush(&b);
	CHECK_EQ(b.rows->nm - 1, 4);
	CHECK_STR(state_in(&b, 4, "jobs"), "delivered");
	bench_end(&b);
}

static void at_a_time(void)
{
	struct bench b;

	bench_new(&b, NULL);
	declare_queue(&b, "jobs", "");
	push(&b, "a");
	purge(&b, "jobs", "in", 5000, 0, 0);
	push(&b, "b");
	wait_ms(&b, 4000);
	flush(&b);
	CHECK_STR(state_in(&b, 1, "jobs"), "queued");
	wait_ms(&b, 3000);
	push(&b, "c");
	flush(&b);
	CHECK_STR(state_in(&b, 1, "jobs"), "purged");
	CHECK_STR(state_in(&b, 2, "jobs"), "purged");
	CHECK_STR(state_in(&b, 3, "jobs"), "queued");
	/* "never", and a list that may have begun anew. */
	purge(&b, "jobs", "in", 5000, 0, 0);
	purge(&b, "jobs", "never", 0, 0, 0);
	wait_ms(&b, 9000);
	push(&b, "d");
	flush(&b);
	CHECK_STR(state_in(&b, 3, "jobs"), "queued");
	purge(&b, "jobs", "", 0, 0, 0);
	push(&b, "e");
	purge(&b, "jobs", "in", 5000, 0, 0);
	settle(&b, 2, 1, deliver(&b, 2, 1, "jobs", "", "jobs", "", "e"), SETTLE_AUTO);
	push(&b, "f");
	wait_ms(&b, 9000);
	push(&b, "g");
	flush(&b);
	CHECK_STR(state_in(&b, 4, "jobs"), "purged");
	CHECK_STR(state_in(&b, 6, "jobs"), "unknown");
	CHECK_STR(state_in(&b, 7, "jobs"), "queued");
	bench_end(&b);
}

static void streams(void)
{
	struct bench b;

	bench_new(&b, NULL);
	group(&b, "s");
	add(&b, "s", "10-0");
	/* History, read after what is newer. */
	for (int i = 3; i < 8; i++) {
		char mid[8];

		snprintf(mid, sizeof(mid), "%d-0", i);
		feed(&b, 2, 1,
			(struct op){.kind = OP_RECEIVE,
				.dest = DEST_LOG,
				.vhost = S("/"),
				.exchange = S("s"),
				.log = S("s"),
				.mid = S(mid),
				.body = S(mid)});
		add(&b, "s", i == 3 ? "11-0" : i == 4 ? "12-0" : i == 5 ? "13-0" : i == 6 ? "14-0" : "15-0");
	}
	trim(&b, "s", "", 11, 0);
	trim(&b, "s", "", 4, 0);
	flush(&b);
	CHECK_STR(state_in(&b, 1, "s/g"), "purged");
	CHECK_STR(state_in(&b, 3, "s/g"), "purged");
	for (int i = 5; i < 13; i += 2)
		CHECK_STR(state_in(&b, (uint64_t)i, "s/g"), "queued");
	trim(&b, "s", "", 3, OPF_UNSURE);
	trim(&b, "s", "14-0", 0, OPF_UNSURE);
	flush(&b);
	CHECK_STR(state_in(&b, 5, "s/g"), "unknown");
	CHECK_STR(state_in(&b, 7, "s/g"), "unknown");
	CHECK_STR(state_in(&b, 9, "s/g"), "queued");
	/* All of the database: what was unsure is certain now. */
	purge(&b, "", "", 0, 0, 0);
	flush(&b);
	for (int i = 5; i < 12; i += 2)
		CHECK_STR(state_in(&b, (uint64_t)i, "s/g"), "purged");
	add(&b, "s", "20-0");
	feed(&b, 1, 1,
		(struct op){.kind = OP_QUEUE_PURGE,
			.dest = DEST_LOG,
			.vhost = S("/"),
			.exchange = S("s"),
			.log = S("s"),
			.type = S("in"),
			.tag = 1000});
	wait_ms(&b, 4000);
	add(&b, "s", "20-0"); /* a name that was another's before */
	flush(&b);
	CHECK_STR(state_in(&b, 12, "s/g"), "purged");
	CHECK_STR(state_in(&b, 13, "s/g"), "queued");
	bench_end(&b);
}

/* Sends that are not named yet are not counted, and a trim by count costs nothing when there is nothing to
 * do. */
static void many(void)
{
	struct bench b;
	uint64_t late;
	char mid[24];

	bench_new(&b, NULL);
	group(&b, "s");
	late = feed(&b, 1, 1,
		(struct op){.kind = OP_SEND,
			.dest = DEST_LOG,
			.vhost = S("/"),
			.exchange = S("s"),
			.log = S("s"),
			.body = S("late")});
	for (int i = 0; i < 3000; i++) {
		snprintf(mid, sizeof(mid), "%d-0", 1000 + i);
		add(&b, "s", mid);
		trim(&b, "s", "", 1000, 0);
	}
	feed(&b, 1, 1,
		(struct op){.kind = OP_CONFIRM,
			.dest = DEST_LOG,
			.vhost = S("/"),
			.ref = late,
			.exchange = S("s"),
			.log = S("s"),
			.mid = S("30000-0")});
	flush(&b);
	CHECK_STR(state_in(&b, 1, "s/g"), "queued");
	CHECK_STR(state_in(&b, 2001, "s/g"), "purged");
	CHECK_STR(state_in(&b, 2002, "s/g"), "queued");
	bench_end(&b);
}

int main(void)
{
	RUN(cut);
	RUN(at_a_time);
	RUN(streams);
	RUN(many);
	return test_end();
}
