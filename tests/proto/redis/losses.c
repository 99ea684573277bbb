/* From the middle, after gaps, values beyond caps, answers that nobody can be given. */
#include <stdlib.h>

#include "wire.h"

/* An attached client that waits for each answer: after some rounds answers are believed. */
static void learning(void)
{
	struct talk t = {0};

	from_start = false;
	ask(&t, "LPUSH q a");
	say(&t, ":1\r\n");
	ask(&t, "LPUSH q b");
	say(&t, ":2\r\n");
	ask(&t, "LPUSH q c");
	say(&t, ":3\r\n");
	ask(&t, "RPOP q");
	say(&t, "$1\r\na\r\n");
	talk_check(&t, "1 SEND key=q size=1 body=a\n"
		       "2 SEND key=q size=1 body=b\n"
		       "3 SEND key=q size=1 body=c\n"
		       "4 CONFIRM ref=1\n"
		       "5 CONFIRM ref=2\n"
		       "6 CONFIRM ref=3\n"
		       "7 RECEIVE key=q q=q no-ack pulled size=1 body=a\n"
		       "8 SETTLE q=q ref=7 auto\n");
}

/* The first thing seen is the answer to what was not: told by the next command, which asks for the same. */
static void blocked_reader(void)
{
	struct talk t = {0};

	from_start = false;
	say_words(&t, "q one");
	ask(&t, "BRPOP q 0");
	say_words(&t, "q two");
	ask(&t, "XREADGROUP GROUP g c STREAMS s >");
	say(&t, "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	talk_check(&t,
		"GAP 20 answers whose commands are not known\n"
		"1 RECEIVE key=q q=q no-ack size=3 body=one\n"
		"2 SETTLE q=q ref=1 auto\n"
		"3 RECEIVE key=q q=q no-ack size=3 body=two\n"
		"4 SETTLE q=q ref=3 auto\n"
		"5 SUBSCRIBE log ex=s q=g consumer=c log=s\n"
		"6 RECEIVE log ex=s q=g consumer=c log=s mid=1-1 delivery=1 size=1 body=b {header.a=b}\n"
		"7 UNSUBSCRIBE log ex=s q=g consumer=c log=s\n");
}

/* One command is always on the way: nothing is given to the wrong one. */
static void constant_in_flight(void)
{
	struct talk t = {0};

	from_start = false;
	ask(&t, "XADD s * n 1");
	say(&t, "$3\r\n0-9\r\n");
	ask(&t, "RPUSH q a");
	say(&t, "$3\r\n1-1\r\n");
	ask(&t, "XADD s * n 2");
	say(&t, ":7\r\n");
	say(&t, "$3\r\n1-2\r\n");
	talk_check(&t, "1 SEND log ex=s log=s size=1 body=1 {header.n=1}\n"
		       "2 SEND key=q size=1 body=a {command=RPUSH}\n"
		       "3 SEND log ex=s log=s size=1 body=2 {header.n=2}\n"
		       "GAP 9 answers whose commands are not known\n"
		       "GAP 9 answers whose commands are not known\n"
		       "GAP 4 answers whose commands are not known\n"
		       "GAP 9 answers whose commands are not known\n");
}

/* The same, but then it waits for each answer: in the end all answers but the oldest find their commands. */
static void was_in_flight(void)
{
	struct talk t = {0};

	from_start = false;
	ask(&t, "XADD s * n 1");
	say(&t, "$3\r\n0-9\r\n");
	ask(&t, "RPUSH q a");
	say(&t, "$3\r\n1-1\r\n");
	ask(&t, "XADD s * n 2");
	say(&t, ":7\r\n");
	say(&t, "$3\r\n1-2\r\n");
	for (int i = 0; i < 3; i++) {
		ask(&t, "RPOP q");
		say(&t, i ? "$-1\r\n" : "$1\r\na\r\n");
	}
	talk_check(&t, "1 SEND log ex=s log=s size=1 body=1 {header.n=1}\n"
		       "2 SEND key=q size=1 body=a {command=RPUSH}\n"
		       "3 SEND log ex=s log=s size=1 body=2 {header.n=2}\n"
		       "GAP 9 answers whose commands are not known\n"
		       "4 CONFIRM log ex=s log=s mid=1-1 ref=1\n"
		       "5 CONFIRM ref=2\n"
		       "6 CONFIRM log ex=s log=s mid=1-2 ref=3\n"
		       "7 RECEIVE key=q q=q no-ack pulled size=1 body=a\n"
		       "8 SETTLE q=q ref=7 auto\n");
}

/* Pops and transactions before answers are believed are told, too, when they are. */
static void told_later(void)
{
	struct talk t = {0};

	from_start = false;
	ask(&t, "RPOP q");
	say(&t, "$1\r\na\r\n");
	ask(&t, "MULTI");
	ask(&t, "XADD s * n 1");
	ask(&t, "LPUSH q b");
	ask(&t, "EXEC");
	say(&t, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$3\r\n1-1\r\n:1\r\n");
	talk_check(&t, "1 SEND log ex=s log=s tx size=1 body=1 {header.n=1}\n"
		       "2 SEND key=q tx size=1 body=b\n"
		       "3 RECEIVE key=q q=q no-ack pulled size=1 body=a\n"
		       "4 SETTLE q=q ref=3 auto\n"
		       "5 CONFIRM log ex=s log=s mid=1-1 ref=1 tx\n"
		       "6 CONFIRM ref=2 tx\n");
}

/* Two connections to one server: one waits since before we came, the other pushes. */
static void waited_for(void)
{
	static const char *const says[] = {"*2\r\n$1\r\nq\r\n$1\r\na\r\n",
		"*2\r\n$1\r\nq\r\n*1\r\n$1\r\na\r\n", "*2\r\n$1\r\nh\r\n$1\r\na\r\n"};
	static const char taken[] = "1 SEND key=q size=1 body=x\n"
				    "2 RECEIVE key=q q=q no-ack size=1 body=a\n"
				    "3 SETTLE q=q ref=2 auto\n",
			  counted[] = "1 SEND key=q size=1 body=x\n"
				      "GAP 18 answers whose commands are not known\n";
	const char *const want[] = {taken, taken, counted};

	for (size_t i = 0; i < ARRAY_LEN(says); i++) {
		struct proto_out out = {.emit = feed_emit, .gap = feed_told_gap};
		struct feed f;
		struct talk t = {0};
		void *pusher;

		feed_begin(&f, &proto_redis, false, 0);
		out.ctx = &f;
		pusher = f.p->state_new(&f.opts, &out, false);
		ask(&t, "LPUSH q x");
		f.p->resync(pusher, TO_SERVER, 0, buf_span(&t.turn[0].b));
		f.p->parse(pusher, TO_SERVER, 0, buf_span(&t.turn[0].b));
		feed_bytes(&f, TO_CLIENT, span_str(says[i]));
		CHECK_STR(buf_cstr(&f.log), want[i]);
		CHECK(!f.bad);
		f.p->state_free(pusher);
		talk_free(&t);
		feed_end(&f);
		feed_free(&f);
	}
}

/* Entries of a stream say what they are, even when nobody knows who asked. */
static void stray_stream(void)
{
	struct talk t = {0};

	from_start = false;
	say(&t, "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	say_words(&t, "message news hi");
	talk_check(&t, "1 RECEIVE log ex=s log=s mid=1-1 size=1 body=b {header.a=b}\n"
		       "2 RECEIVE channel ex=news consumer=news no-ack size=2 body=hi\n"
		       "3 SETTLE channel ex=news consumer=news ref=2 auto\n");
}

static void cut_command(void)
{
	struct talk t = {0};

	from_start = false;
	ask_raw(&t, "3\r\nfoo\r\n$3\r\nbar\r\n");
	ask(&t, "AUTH hunter2");
	ask(&t, "PUBLISH c d");
	talk_check(&t, "1 SEND channel ex=c size=1 body=d\n");
}

static void large(void)
{
	struct talk t = {0};
	static char body[5001];

	memset(body, 'x', 5000);
	payload_limit = 100;
	ask_raw(&t, "*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$5000\r\n");
	ask_raw(&t, body);
	ask_raw(&t, "\r\n");
	say(&t, ":1\r\n");
	ask(&t, "GET k");
	say(&t, "$5000\r\n");
	say(&t, body);
	say(&t, "\r\n");
	ask(&t, "RPOP q");
	say(&t, "$5000\r\n");
	say(&t, body);
	say(&t, "\r\n");
	ask(&t, "LPUSH q y");
	say(&t, ":1\r\n");
	talk_check(&t,
		"1 LOGIN vhost=0 text=default\n"
		"2 SEND vhost=0 key=q truncated size=5000 body=100:c90984ffdf50ce42\n"
		"3 CONFIRM vhost=0 ref=2\n"
		"4 RECEIVE vhost=0 key=q q=q truncated no-ack pulled size=5000 body=100:c90984ffdf50ce42\n"
		"5 SETTLE vhost=0 q=q ref=4 auto\n"
		"6 SEND vhost=0 key=q size=1 body=y\n"
		"7 CONFIRM vhost=0 ref=6\n");
	payload_limit = 0;
}

static void no_replies(void)
{
	struct talk t = {0};

	from_start = true;
	ask(&t, "CLIENT REPLY SKIP");
	ask(&t, "LPUSH q unanswered");
	ask(&t, "LPUSH q answered");
	say(&t, ":2\r\n");
	ask(&t, "CLIENT REPLY OFF");
	ask(&t, "LPUSH q off");
	ask(&t, "SET k v");
	ask(&t, "CLIENT REPLY ON");
	say(&t, "+OK\r\n");
	ask(&t, "LPUSH q on");
	say(&t, ":4\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND vhost=0 key=q size=10 body=unanswered\n"
		       "3 SEND vhost=0 key=q size=8 body=answered\n"
		       "4 CONFIRM vhost=0 ref=3\n"
		       "5 SEND vhost=0 key=q size=3 body=off\n"
		       "6 SEND vhost=0 key=q size=2 body=on\n"
		       "7 CONFIRM vhost=0 ref=6\n");
}

/* All forms of RESP3 as answers that nobody needs, and an attribute before one that is needed. */
static void resp3(void)
{
	struct talk t = {0};

	ask(&t, "HELLO 3");
	say(&t, "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nmodules\r\n*0\r\n");
	for (int i = 0; i < 12; i++)
		ask(&t, "GET k");
	ask(&t, "XADD s * a b");
	say(&t, "_\r\n#t\r\n,1.5\r\n(123456789012345678901234567890\r\n=7\r\ntxt:abc\r\n!5\r\nERR x\r\n");
	say(&t, "~2\r\n+a\r\n:1\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n%1\r\n+k\r\n*-1\r\n");
	say(&t, "$?\r\n;3\r\nabc\r\n;2\r\nde\r\n;0\r\n*?\r\n:1\r\n*?\r\n.\r\n.\r\n%?\r\n+k\r\n:1\r\n.\r\n");
	say(&t, "|1\r\n+ttl\r\n:1\r\n$1\r\nv\r\n|1\r\n+ttl\r\n*1\r\n:1\r\n$?\r\n;2\r\n1-\r\n;1\r\n1\r\n;"
		"0\r\n");
	ask(&t, "XREAD STREAMS s 0");
	say(&t, "|1\r\n+a\r\n+b\r\n%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n|0\r\n$1\r\na\r\n$?\r\n;"
		"1\r\nb\r\n;"
		"0\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND log vhost=0 ex=s log=s size=1 body=b {header.a=b}\n"
		       "3 CONFIRM log vhost=0 ex=s log=s mid=1-1 ref=2\n"
		       "4 RECEIVE log vhost=0 ex=s log=s mid=1-1 no-ack pulled size=1 body=b {header.a=b}\n"
		       "5 SETTLE log vhost=0 ex=s log=s mid=1-1 ref=4 auto\n");
}

/* Threads that write and read at once are seen in the wrong order. */
static void answer_first(void)
{
	struct talk t = {0};

	ask(&t, "LPUSH q a");
	say(&t, ":1\r\n");
	say(&t, ":2\r\n");
	ask(&t, "LPUSH q b");
	ask(&t, "XADD s * a b");
	say(&t, "$3\r\n1-1\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND vhost=0 key=q size=1 body=a\n"
		       "3 CONFIRM vhost=0 ref=2\n"
		       "4 SEND vhost=0 key=q size=1 body=b\n"
		       "5 SEND log vhost=0 ex=s log=s size=1 body=b {header.a=b}\n"
		       "6 CONFIRM vhost=0 ref=4\n"
		       "7 CONFIRM log vhost=0 ex=s log=s mid=1-1 ref=5\n");
}

/* An answer that cannot be the command's: none is believed until it is clear again. */
static void wrong_answer(void)
{
	struct talk t = {0};

	ask(&t, "LPUSH q a");
	say(&t, "$1\r\nx\r\n");
	ask(&t, "LPUSH q b");
	say(&t, ":2\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND vhost=0 key=q size=1 body=a\n"
		       "3 SEND vhost=0 key=q size=1 body=b\n"
		       "GAP 7 answers whose commands are not known\n"
		       "GAP 4 answers whose commands are not known\n");
}

/* --- gaps --- */

static void gap_case(size_t hole, const char *want)
{
	static const char cmd[] =
		"*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$10\r\n0123456789\r\n*2\r\n$4\r\nRPOP\r\n$1\r\nq\r\n";
	struct feed f;

	feed_begin(&f, &proto_redis, true, 0);
	feed_bytes(&f, TO_SERVER, span_of(cmd, hole));
	feed_gap(&f, TO_SERVER, 4);
	feed_bytes(&f, TO_SERVER, span_of(cmd + hole + 4, sizeof(cmd) - 1 - hole - 4));
	feed_bytes(&f, TO_CLIENT, SPAN_LIT(":1\r\n$10\r\n0123456789\r\n"));
	feed_end(&f);
	CHECK_STR(buf_cstr(&f.log), want);
	CHECK(!f.bad);
	feed_free(&f);
}

static void gaps(void)
{
	/* inside of the element: its size is known, so all goes on */
	gap_case(31, "1 LOGIN vhost=0 text=default\n"
		     "2 SEND vhost=0 key=q truncated gap size=10 body=0123\n"
		     "3 CONFIRM vhost=0 ref=2\n"
		     "4 RECEIVE vhost=0 key=q q=q no-ack pulled size=10 body=0123456789\n"
		     "5 SETTLE vhost=0 q=q ref=4 auto\n");
	/* in a header: nothing is known any more, and no answer is given to anybody */
	gap_case(2, "GAP 4 answers whose commands are not known\n"
		    "GAP 17 answers whose commands are not known\n");
}

/* A hole in the answers: those that follow are of unknown commands. */
static void gap_in_answers(void)
{
	struct feed f;
	struct talk t = {0};

	feed_begin(&f, &proto_redis, true, 0);
	ask(&t, "LPUSH q a");
	ask(&t, "LPUSH q b");
	feed_bytes(&f, TO_SERVER, buf_span(&t.turn[0].b));
	feed_gap(&f, TO_CLIENT, 4);
	feed_bytes(&f, TO_CLIENT, SPAN_LIT(":2\r\n"));
	talk_free(&t);
	for (int i = 0; i < 4; i++) {
		ask(&t, "LPUSH q c");
		feed_bytes(&f, TO_SERVER, buf_span(&t.turn[0].b));
		feed_bytes(&f, TO_CLIENT, SPAN_LIT(":3\r\n"));
		talk_free(&t);
	}
	feed_end(&f);
	CHECK_STR(buf_cstr(&f.log), "1 LOGIN vhost=0 text=default\n"
				    "2 SEND vhost=0 key=q size=1 body=a\n"
				    "3 SEND vhost=0 key=q size=1 body=b\n"
				    "4 SEND vhost=0 key=q size=1 body=c\n"
				    "5 SEND vhost=0 key=q size=1 body=c\n"
				    "6 SEND vhost=0 key=q size=1 body=c\n"
				    "7 CONFIRM vhost=0 ref=4\n"
				    "8 CONFIRM vhost=0 ref=5\n"
				    "9 CONFIRM vhost=0 ref=6\n"
				    "10 SEND vhost=0 key=q size=1 body=c\n"
				    "11 CONFIRM vhost=0 ref=10\n");
	feed_free(&f);
}

/* --- hostile sizes --- */

static void hostile(void)
{
	static const char *const bad[] = {"*2147483647\r\n", "*99999999999999999999\r\n", "$-2\r\n",
		"%9223372036854775807\r\n", "$9999999999999999999\r\n", "*?\r\n.\r\n.\r\n", ";1\r\n", ".\r\n",
		"|?\r\n", "#x\r\n", ":12a\r\n"};
	struct buf deep = {0};
	struct feed f;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		feed_begin(&f, &proto_redis, true, 0);
		for (int k = 0; k < 100; k++)
			feed_bytes(&f, TO_CLIENT, span_str(bad[i]));
		feed_bytes(&f, TO_SERVER, span_str(bad[i]));
		feed_end(&f);
		CHECK(!f.bad);
		feed_free(&f);
	}
	for (int i = 0; i < 1 << 17; i++)
		buf_puts(&deep, "*1\r\n");
	feed_begin(&f, &proto_redis, true, 0);
	feed_bytes(&f, TO_CLIENT, buf_span(&deep));
	feed_end(&f);
	CHECK(!f.bad);
	feed_free(&f);
	/* An array without end is consumed, and not kept. */
	feed_begin(&f, &proto_redis, true, 0);
	feed_bytes(&f, TO_SERVER, SPAN_LIT("*2147483647\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n"));
	for (int i = 0; i < 400000; i++)
		feed_bytes(&f, TO_SERVER, SPAN_LIT("$1\r\nx\r\n"));
	CHECK(f.held[TO_SERVER].n == 0);
	feed_end(&f);
	feed_free(&f);
	buf_free(&deep);
}

/* A link that replicates, or a monitor: given up at once. */
static void given_up(void)
{
	struct talk t = {0};

	from_start = true;
	ask(&t, "REPLCONF listening-port 6380");
	talk_check(&t, "PARSE_ERROR\n");
}

/* The database of an attached connection is not known: names are looked for where they most likely are. */
static void unknown_database(void)
{
	struct talk t = {0};

	from_start = false;
	ask(&t, "HSET rq:job:j1 data BODY1");
	ask(&t, "SELECT 0");
	ask(&t, "RPUSH rq:queue:a j1");
	ask(&t, "SELECT 4");
	ask(&t, "RPUSH rq:queue:a j1");
	talk_check(&t, "1 SEND vhost=0 key=rq:queue:a size=5 body=BODY1 {message-id=j1} {command=RPUSH}\n"
		       "2 SEND vhost=4 key=rq:queue:a size=2 body=j1 {message-id=j1} {command=RPUSH}\n");
}

int main(void)
{
	RUN(learning);
	RUN(blocked_reader);
	RUN(constant_in_flight);
	RUN(was_in_flight);
	RUN(told_later);
	RUN(waited_for);
	RUN(stray_stream);
	RUN(cut_command);
	from_start = true;
	RUN(large);
	RUN(no_replies);
	RUN(resp3);
	RUN(answer_first);
	RUN(wrong_answer);
	RUN(gaps);
	RUN(gap_in_answers);
	RUN(hostile);
	RUN(given_up);
	RUN(unknown_database);
	return test_end();
}
