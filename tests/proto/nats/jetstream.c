/* JetStream: publish acknowledgements, deliveries, acknowledgements of them, its API, advisories. */
#include "wire.h"

#define LOGIN      "1 LOGIN channel text=shop\n"
#define INBOX      "2 SUBSCRIBE channel ex=_INBOX.c.* consumer=1 exclusive auto-delete\n"
#define START      INFO, CONNECT, C("SUB _INBOX.c.* 1\r\n")
#define TYPE(what) "{\"type\":\"io.nats.jetstream.api.v1." what "_response\","
/* 1764169200 s are 2025-11-26T15:00:00Z */
#define ACK(n, seq) "$JS.ACK.S.C." #n "." #seq ".9.1764169200000000000.0"
#define TIME        " {timestamp=2025-11-26T15:00:00.000000Z}"

static void publish_acks(void)
{
	EXPECT(LOGIN INBOX "3 SEND channel ex=orders.new size=1 body=a {reply-to=_INBOX.c.1}\n"
			   "4 CONFIRM log log=ORDERS mid=7 ref=3\n"
			   "5 SEND channel ex=orders.new size=1 body=b {reply-to=_INBOX.c.2}\n"
			   "6 SEND channel ex=orders.new size=1 body=c {reply-to=_INBOX.c.3}\n"
			   "7 CONFIRM log log=ORDERS mid=8 ref=6\n"
			   "8 CONFIRM log log=ORDERS mid=7 ref=5 text=duplicate\n",
		START, PUB("orders.new _INBOX.c.1", "a"),
		MSG("_INBOX.c.1 1", "{\"stream\":\"ORDERS\", \"seq\":7}"), PUB("orders.new _INBOX.c.2", "b"),
		PUB("orders.new _INBOX.c.3", "c"),
		MSG("_INBOX.c.3 1", "{\"stream\":\"ORDERS\",\"domain\":\"d\",\"seq\":8}"),
		MSG("_INBOX.c.2 1", "{\"stream\":\"ORDERS\",\"seq\":7,\"duplicate\":true}"));
}

static void publish_refused(void)
{
	EXPECT(LOGIN INBOX "3 SEND channel ex=orders.new size=1 body=a {reply-to=_INBOX.c.1}\n"
			   "4 CONFIRM log log=ORDERS ref=3 code=10071 text=wrong last sequence: 3 negative\n"
			   "5 SEND channel ex=ask size=1 body=a {reply-to=_INBOX.c.2}\n"
			   /* An answer of an application that has more to say is a message. */
			   "6 RECEIVE channel ex=_INBOX.c.2 consumer=1 size=35 "
			   "body={\"stream\":\"video\",\"seq\":1,\"fps\":25}\n"
			   "7 SETTLE channel ex=_INBOX.c.2 consumer=1 ref=6 auto\n",
		START, PUB("orders.new _INBOX.c.1", "a"),
		MSG("_INBOX.c.1 1",
			"{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong last "
			"sequence: 3\"},\"stream\":\"ORDERS\",\"seq\":0}"),
		PUB("ask _INBOX.c.2", "a"),
		MSG("_INBOX.c.2 1", "{\"stream\":\"video\",\"seq\":1,\"fps\":25}"));
}

/* Pulled; both forms of acknowledgement subjects; statuses are no messages. */
static void pull(void)
{
	EXPECT(LOGIN INBOX
		"3 SUBSCRIBE log q=C consumer=1 log=S\n"
		"4 RECEIVE log ex=orders.new q=C consumer=1 log=S mid=5 delivery=1 pulled size=1 "
		"body=a" TIME "\n"
		"5 SETTLE log q=C log=S mid=5 delivery=1 ref=4 ack\n"
		"6 RECEIVE log ex=orders.new q=C consumer=1 log=S mid=6 delivery=3 redelivered pulled "
		"size=1 body=b" TIME " {header.k=v}\n"
		"7 SETTLE log q=C log=S mid=6 delivery=3 ref=6 ack\n",
		START, PUB("$JS.API.CONSUMER.MSG.NEXT.S.C _INBOX.c.x", "{\"batch\":2,\"expires\":100}"),
		MSG("orders.new 1 " ACK(1, 5), "a"),
		HMSG("_INBOX.c.x 1",
			"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 9\r\nNats-Last-Stream: 5\r\n\r\n",
			""),
		PUB(ACK(1, 5), "+ACK"),
		HMSG("orders.new 1 $JS.ACK._.hash.S.C.3.6.10.1764169200000000000.0.tok",
			"NATS/1.0\r\nk: v\r\n\r\n", "b"),
		HMSG("_INBOX.c.x 1", "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\n\r\n", ""),
		HMSG("_INBOX.c.x 1", "NATS/1.0 404 No Messages\r\n\r\n", ""),
		HMSG("_INBOX.c.x 1", "NATS/1.0 409 Message Size Exceeds MaxBytes\r\n\r\n", ""),
		PUB("$JS.ACK._.hash.S.C.3.6.10.1764169200000000000.0.tok _INBOX.c.9", ""),
		MSG("_INBOX.c.9 1", ""));
}

static void settlements(void)
{
	EXPECT(LOGIN "2 SETTLE log q=C log=S mid=1 delivery=1 requeue\n"
		     "3 SETTLE log q=C log=S mid=2 delivery=1 requeue text=delay 30 s\n"
		     "4 SETTLE log q=C log=S mid=3 delivery=1 progress\n"
		     "5 SETTLE log q=C log=S mid=4 delivery=1 reject\n"
		     "6 SETTLE log q=C log=S mid=5 delivery=2 reject text=bad order\n"
		     "7 SETTLE log q=C log=S mid=6 delivery=1 ack\n"
		     "8 SETTLE log q=C log=S mid=7 delivery=1 ack\n"
		     "9 SETTLE log q=C log=S mid=9 delivery=1 ack\n",
		INFO, CONNECT, PUB(ACK(1, 1), "-NAK"), PUB(ACK(1, 2), "-NAK {\"delay\": 30000000000}"),
		PUB(ACK(1, 3), "+WPI"), PUB(ACK(1, 4), "+TERM"), PUB(ACK(2, 5), "+TERM bad order"),
		PUB(ACK(1, 6) " _INBOX.n", "+NXT {\"batch\":1}"), PUB(ACK(1, 7), ""), PUB(ACK(1, 8), "+NO"),
		PUB(ACK(1, 9), "+ACK"), PUB("$JS.ACK.S.C.1.2.3", "+ACK"),
		PUB("$JS.ACK.S.C.1.10.9.8.7.6", "+ACK"), PUB("$JS.FC.S.C.x", ""));
}

static void ack_policies(void)
{
	EXPECT(LOGIN INBOX
		"3 QDECLARE log ex=a.> q=C log=S no-ack auto-delete {name=C} {ack_policy=none} "
		"{filter_subject=a.>}\n"
		"4 SUBSCRIBE log ex=a.> q=C consumer=2 log=S no-ack\n"
		"5 RECEIVE log ex=a.b q=C consumer=2 log=S mid=1 delivery=1 no-ack size=1 body=x" TIME "\n"
		"6 SETTLE log q=C consumer=2 log=S mid=1 ref=5 auto\n"
		"7 QDECLARE log ex=a b q=D log=S durable {durable_name=D} {ack_policy=all} "
		"{max_ack_pending=10}"
		" {filter_subjects[0]=a} {filter_subjects[1]=b}\n"
		"8 SUBSCRIBE log ex=a b q=D consumer=3 log=S code=10\n"
		"9 RECEIVE log ex=a q=D consumer=3 log=S mid=7 delivery=1 size=1 body=y" TIME "\n"
		"10 SETTLE log q=D log=S mid=8 ack up-to\n"
		"11 QDELETE log q=D log=S\n",
		START, PUB("$JS.API.CONSUMER.CREATE.S _INBOX.c.1", "{}"),
		MSG("_INBOX.c.1 1",
			TYPE("consumer_create") "\"stream_name\":\"S\",\"name\":\"C\",\"config\":{\"name\":"
						"\"C\","
						"\"ack_policy\":\"none\",\"filter_subject\":\"a.\\u003e\"}}"),
		MSG("a.b 2 " ACK(1, 1), "x"), PUB(ACK(1, 1), "+ACK"),
		PUB("$JS.dom.API.CONSUMER.INFO.S.D _INBOX.c.2", ""),
		MSG("_INBOX.c.2 1",
			TYPE("consumer_create") "\"stream_name\":\"S\",\"name\":\"D\",\"config\":{\"durable_"
						"name\":"
						"\"D\",\"ack_policy\":\"all\",\"max_ack_pending\":10,"
						"\"filter_subjects\":[\"a\",\"b\"]}}"),
		MSG("a 3 $JS.ACK.S.D.1.7.9.1764169200000000000.0", "y"),
		PUB("$JS.ACK.S.D.1.7.9.1764169200000000000.0", "+ACK"),
		PUB("$JS.API.CONSUMER.DELETE.S.D _INBOX.c.3", ""),
		MSG("_INBOX.c.3 1", TYPE("consumer_delete") "\"success\":true}"));
}

static void streams(void)
{
	EXPECT(LOGIN INBOX
		"3 XDECLARE log ex=S log=S type=stream durable {name=S} {subjects[0]=a.>} {max_age=0}"
		" {storage=file} {sealed=false} {placement.cluster=c}\n"
		"4 DELETE log log=S mid=3\n"
		"5 DELETE log log=S mid=10 up-to\n"
		"6 DELETE log ex=a.b log=S mid=21 up-to\n"
		"7 DELETE log log=S mid=21 up-to\n"
		"8 DELETE log log=S mid=19 up-to reported\n"
		"9 XDELETE log ex=S log=S type=stream\n",
		START, PUB("$JS.API.STREAM.CREATE.S _INBOX.c.1", "{}"),
		MSG("_INBOX.c.1 1",
			TYPE("stream_create") "\"config\":{\"name\":\"S\",\"subjects\":[\"a.\\u003e\"],"
					      "\"max_age\":0,\"storage\":\"file\",\"sealed\":false,"
					      "\"placement\":{\"cluster\":\"c\"}},\"did_create\":true}"),
		/* Asked for again: told already. */
		PUB("$JS.API.STREAM.INFO.S _INBOX.c.2", ""),
		MSG("_INBOX.c.2 1",
			TYPE("stream_info") "\"config\":{\"name\":\"S\",\"subjects\":[\"a.\\u003e\"],"
					    "\"max_age\":0,\"storage\":\"file\",\"sealed\":false,"
					    "\"placement\":{\"cluster\":\"c\"}},"
					    "\"state\":{\"messages\":20,\"last_seq\":20}}"),
		PUB("$JS.API.STREAM.MSG.DELETE.S _INBOX.c.3", "{\"seq\":3,\"no_erase\":true}"),
		MSG("_INBOX.c.3 1", TYPE("stream_msg_delete") "\"success\":true}"),
		PUB("$JS.API.STREAM.PURGE.S _INBOX.c.4", "{\"seq\":10}"),
		MSG("_INBOX.c.4 1", TYPE("stream_purge") "\"success\":true,\"purged\":9}"),
		PUB("$JS.API.STREAM.PURGE.S _INBOX.c.5", "{\"filter\":\"a.b\"}"),
		MSG("_INBOX.c.5 1", TYPE("stream_purge") "\"success\":true,\"purged\":1}"),
		PUB("$JS.API.STREAM.PURGE.S _INBOX.c.6", ""),
		MSG("_INBOX.c.6 1", TYPE("stream_purge") "\"success\":true,\"purged\":11}"),
		/* Which are kept is not told. */
		PUB("$JS.API.STREAM.PURGE.S _INBOX.c.9", "{\"keep\":2}"),
		MSG("_INBOX.c.9 1", TYPE("stream_purge") "\"success\":true,\"purged\":9}"),
		/* Its limits dropped what lay before its first. */
		PUB("$JS.API.STREAM.INFO.S _INBOX.c.10", ""),
		MSG("_INBOX.c.10 1",
			TYPE("stream_info") "\"config\":{\"name\":\"S\",\"subjects\":[\"a.\\u003e\"],"
					    "\"max_age\":0,\"storage\":\"file\",\"sealed\":false,"
					    "\"placement\":{\"cluster\":\"c\"}},"
					    "\"state\":{\"messages\":2,\"first_seq\":19,\"last_seq\":20}}"),
		PUB("$JS.API.STREAM.DELETE.S _INBOX.c.7", ""),
		MSG("_INBOX.c.7 1", TYPE("stream_delete") "\"error\":{\"code\":404,\"err_code\":10059}}"),
		PUB("$JS.API.STREAM.DELETE.S _INBOX.c.8", ""),
		MSG("_INBOX.c.8 1", TYPE("stream_delete") "\"success\":true}"));
}

/* Reading a message by its sequence is no delivery. */
static void reads(void)
{
	EXPECT(LOGIN INBOX, START, PUB("$JS.API.STREAM.MSG.GET.S _INBOX.c.1", "{\"seq\":1}"),
		MSG("_INBOX.c.1 1", TYPE("stream_msg_get") "\"message\":{\"subject\":\"a\",\"seq\":1,"
							   "\"data\":\"eA==\"}}"),
		PUB("$JS.API.DIRECT.GET.S _INBOX.c.2", "{\"last_by_subj\":\"a\"}"),
		HMSG("_INBOX.c.2 1",
			"NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: a\r\nNats-Sequence: 1\r\n\r\n", "x"),
		HMSG("_INBOX.c.2 1", "NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n", ""));
}

#define PREFIXED "acme.js."

/* The API of another account under a prefix: by what it looks like; what only resembles it is a message. */
static void prefixed(void)
{
	EXPECT(LOGIN INBOX
		"3 SUBSCRIBE log q=C consumer=1 log=S\n"
		"4 QDECLARE log ex=a.* b.> q=C log=S mid=0 durable {durable_name=C} {ack_policy=explicit} "
		"{deliver_policy=all} {filter_subjects[0]=a.*} {filter_subjects[1]=b.>}\n"
		"5 SEND channel ex=acme.STREAM.INFO size=1 body=x {reply-to=_INBOX.c.3}\n"
		"6 SEND channel ex=acme.STREAM.INFO.S size=2 body=no {reply-to=_INBOX.c.4}\n"
		"7 SEND channel ex=acme.js.STREAM.INFO.S\n"
		"8 SEND channel ex=acme.CONSUMER.MSG.NEXT.S {reply-to=_INBOX.c.5}\n",
		START, PUB(PREFIXED "CONSUMER.MSG.NEXT.S.C _INBOX.c.1", "1"),
		PUB(PREFIXED "CONSUMER.CREATE.S.C.a _INBOX.c.2", "{}"),
		MSG("_INBOX.c.2 1",
			TYPE("consumer_create") "\"stream_name\":\"S\",\"name\":\"C\",\"config\":{"
						"\"durable_name\":\"C\",\"ack_policy\":\"explicit\","
						"\"deliver_policy\":\"all\","
						"\"filter_subjects\":[\"a.*\",\"b.\\u003e\"]}}"),
		PUB("acme.STREAM.INFO _INBOX.c.3", "x"), PUB("acme.STREAM.INFO.S _INBOX.c.4", "no"),
		PUB(PREFIXED "STREAM.INFO.S", ""), PUB("acme.CONSUMER.MSG.NEXT.S _INBOX.c.5", ""));
}

#define PART(id, n, more) "NATS/1.0\r\nNats-Batch-Id: " id "\r\nNats-Batch-Sequence: " n "\r\n" more "\r\n"
/* Its headers in what is expected: a name for each, as calls in the middle of a string are not laid out well.
 */
#define HEADS(id, n)   " {header.Nats-Batch-Id=" id "} {header.Nats-Batch-Sequence=" n "}"
#define U1             HEADS("u", "1")
#define U2             HEADS("u", "2")
#define U3             HEADS("u", "3")
#define V1             HEADS("v", "1")
#define W1             HEADS("w", "1")
#define X1             HEADS("x", "1")
#define X3             HEADS("x", "3")
#define COMMIT(how)    "Nats-Batch-Commit: " how "\r\n"
#define ABANDONED(why) "{\"stream\":\"S\",\"batch\":\"v\",\"reason\":\"" why "\"}"

/* All or none of a batch: the last one's acknowledgement is that of all. */
static void atomic_batches(void)
{
	EXPECT(LOGIN INBOX "3 SEND channel ex=a tx size=1 body=1 {reply-to=_INBOX.c.1}" U1 "\n"
			   "4 SEND channel ex=b tx size=1 body=2" U2 "\n"
			   "5 SEND channel ex=c tx size=1 body=3 {reply-to=_INBOX.c.2}" U3
			   " {header.Nats-Batch-Commit=1}\n"
			   "6 CONFIRM log log=S mid=7 ref=3\n"
			   "7 CONFIRM log log=S mid=8 ref=4\n"
			   "8 CONFIRM log log=S mid=9 ref=5\n"
			   "9 SEND channel ex=a tx size=1 body=4 {reply-to=_INBOX.c.3}" V1 "\n"
			   "10 SEND channel ex=a tx size=1 body=5 {reply-to=_INBOX.c.4}" W1 "\n"
			   "11 CONFIRM log log=S mid=10 ref=10\n"
			   "12 CONFIRM log log=S ref=9 text=batch abandoned: timeout negative by-broker\n"
			   "13 SEND channel ex=a tx size=1 body=7 {reply-to=_INBOX.c.6}" X1 "\n"
			   "14 SEND channel ex=a tx size=1 body=8 {reply-to=_INBOX.c.7}" X3 "\n"
			   "15 CONFIRM log log=S ref=13 code=10176 text=incomplete negative\n"
			   "16 CONFIRM log log=S ref=14 code=10176 text=incomplete negative\n",
		START, HPUB("a _INBOX.c.1", PART("u", "1", ""), "1"), MSG("_INBOX.c.1 1", ""),
		HPUB("b", PART("u", "2", ""), "2"), HPUB("c _INBOX.c.2", PART("u", "3", COMMIT("1")), "3"),
		MSG("_INBOX.c.2 1", "{\"stream\":\"S\",\"seq\":9,\"batch\":\"u\",\"count\":3}"),
		HPUB("a _INBOX.c.3", PART("v", "1", ""), "4"), MSG("_INBOX.c.3 1", ""),
		/* Ended by what is no part of it. */
		HPUB("a _INBOX.c.4", PART("w", "1", ""), "5"), MSG("_INBOX.c.4 1", ""),
		HPUB("a _INBOX.c.5", PART("w", "2", COMMIT("eob")), "6"),
		MSG("_INBOX.c.5 1", "{\"stream\":\"S\",\"seq\":10,\"batch\":\"w\",\"count\":1}"),
		MSG("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S 1", ABANDONED("timeout")),
		HPUB("a _INBOX.c.6", PART("x", "1", ""), "7"), MSG("_INBOX.c.6 1", ""),
		HPUB("a _INBOX.c.7", PART("x", "3", ""), "8"),
		MSG("_INBOX.c.7 1",
			"{\"error\":{\"code\":400,\"err_code\":10176,\"description\":\"incomplete\"},"
			"\"stream\":\"S\",\"seq\":0}"));
}

/* Of a fast batch the last one's sequence is told; one that may have gaps says nothing of the others. */
static void fast_batches(void)
{
	EXPECT(LOGIN INBOX "3 SEND channel ex=a size=1 body=1 {reply-to=_INBOX.c.u.2.fail.1.0.$FI}\n"
			   "4 SEND channel ex=a size=1 body=2 {reply-to=_INBOX.c.u.2.fail.2.2.$FI}\n"
			   "5 CONFIRM log log=S ref=3\n"
			   "6 CONFIRM log log=S mid=9 ref=4\n"
			   "7 SEND channel ex=a size=1 body=3 {reply-to=_INBOX.c.v.2.ok.1.0.$FI}\n",
		START, PUB("a _INBOX.c.u.2.fail.1.0.$FI", "1"),
		MSG("_INBOX.c.u.2.fail.1.0.$FI 1", "{\"type\":\"ack\",\"seq\":0,\"msgs\":2}"),
		PUB("a _INBOX.c.u.2.fail.2.2.$FI", "2"),
		MSG("_INBOX.c.u.2.fail.2.2.$FI 1", "{\"type\":\"ack\",\"seq\":2,\"msgs\":2}"),
		MSG("_INBOX.c.u.2.fail.2.2.$FI 1",
			"{\"stream\":\"S\",\"seq\":9,\"batch\":\"u\",\"count\":2}"),
		PUB("a _INBOX.c.v.2.ok.1.0.$FI", "3"), PUB("a _INBOX.c.v.2.ok.3.3.$FI", ""),
		MSG("_INBOX.c.v.2.ok.3.3.$FI 1", "{\"type\":\"gap\",\"last_seq\":2,\"seq\":3}"),
		MSG("_INBOX.c.v.2.ok.3.3.$FI 1",
			"{\"stream\":\"S\",\"seq\":12,\"batch\":\"v\",\"count\":2}"));
}

static void advisories(void)
{
	EXPECT(LOGIN "2 SUBSCRIBE channel ex=$JS.EVENT.ADVISORY.> consumer=1\n"
		     "3 SETTLE log q=C log=S mid=5 delivery=3 reject text=max deliveries 3 by-broker\n"
		     "4 SETTLE log q=C log=S mid=6 delivery=1 reject text=bad by-broker reported\n"
		     "5 SETTLE log q=C log=S mid=7 delivery=2 requeue by-broker reported\n"
		     "6 QDELETE log q=C log=S by-broker\n"
		     "7 XDELETE log ex=S log=S type=stream by-broker\n",
		INFO, CONNECT, C("SUB $JS.EVENT.ADVISORY.> 1\r\n"),
		MSG("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.C 1",
			"{\"type\":\"io.nats.jetstream.advisory.v1.max_deliver\",\"stream\":\"S\","
			"\"consumer\":\"C\","
			"\"stream_seq\":5,\"deliveries\":3}"),
		MSG("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.C 1",
			"{\"stream\":\"S\",\"consumer\":\"C\",\"consumer_seq\":6,\"stream_seq\":6,"
			"\"deliveries\":1,"
			"\"reason\":\"bad\"}"),
		MSG("$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.S.C 1",
			"{\"stream\":\"S\",\"consumer\":\"C\",\"consumer_seq\":7,\"stream_seq\":7,"
			"\"deliveries\":2}"),
		MSG("$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.C 1",
			"{\"stream\":\"S\",\"consumer\":\"C\",\"action\":\"delete\"}"),
		MSG("$JS.EVENT.ADVISORY.STREAM.DELETED.S 1", "{\"stream\":\"S\",\"action\":\"delete\"}"),
		MSG("$JS.EVENT.ADVISORY.API 1", "{\"subject\":\"$JS.API.INFO\"}"), MSG("$SYS.x 1", "{}"));
}

static void flow_control(void)
{
	EXPECT(LOGIN "2 SUBSCRIBE channel ex=deliver.me consumer=4\n"
		     "3 SUBSCRIBE log q=C consumer=4 log=S\n"
		     "4 RECEIVE log ex=a q=C consumer=4 log=S mid=1 delivery=1 truncated size=700" TIME
		     " {header.Nats-Msg-Size=700}\n"
		     "5 UNSUBSCRIBE channel ex=deliver.me consumer=4\n"
		     "6 UNSUBSCRIBE log q=C consumer=4 log=S\n",
		INFO, CONNECT, C("SUB deliver.me 4\r\n"),
		HMSG("a 4 " ACK(1, 1), "NATS/1.0\r\nNats-Msg-Size: 700\r\n\r\n", ""),
		HMSG("deliver.me 4 $JS.FC.S.C.x", "NATS/1.0 100 FlowControl Request\r\n\r\n", ""),
		PUB("$JS.FC.S.C.x", ""), C("UNSUB 4\r\n"));
}

/* Replies whose requests were not seen: told by what they are; they are no messages in any case. */
static void from_the_middle(void)
{
	EXPECT_MIDDLE("1 QDECLARE log ex=> q=C log=S passive durable {durable_name=C} {ack_policy=explicit}\n"
		      "2 SUBSCRIBE log ex=> q=C consumer=8 log=S\n"
		      "3 RECEIVE log ex=a q=C consumer=8 log=S mid=5 delivery=1 size=1 body=x" TIME "\n"
		      "4 SETTLE log q=C log=S mid=5 delivery=1 ref=3 ack\n",
		MSG("_INBOX.c.1 1",
			TYPE("consumer_info") "\"stream_name\":\"S\",\"name\":\"C\",\"config\":"
					      "{\"durable_name\":\"C\",\"ack_policy\":\"explicit\"}}"),
		MSG("_INBOX.c.2 1", "{\"stream\":\"S\",\"seq\":3}"),
		MSG("_INBOX.c.3 1", TYPE("stream_delete") "\"success\":true}"),
		HMSG("_INBOX.c.4 1", "NATS/1.0\r\nNats-Stream: S\r\nNats-Sequence: 1\r\n\r\n", "x"),
		MSG("a 8 " ACK(1, 5), "x"), PUB(ACK(1, 5), "+ACK"));
}

/* What one connection learned holds for the others of that server, and for no other server. */
static void shared_between_connections(void)
{
	struct say learn = MSG("_INBOX.c.1 1", TYPE("consumer_info") "\"stream_name\":\"S\",\"name\":\"C\","
								     "\"config\":{\"ack_policy\":\"none\"}}");
	struct say deliver = MSG("a 8 " ACK(1, 5), "x");
	struct feed a, b;

	feed_begin(&a, &proto_nats, false, 0);
	feed_begin(&b, &proto_nats, false, 0);
	for (uint64_t server = 1; server <= 2; server++) {
		struct proto_opts opts = {.shared = a.opts.shared, .server = server};
		struct proto_out out = {.ctx = &b, .emit = feed_emit, .secret = feed_secret};

		b.p->state_free(b.st);
		b.st = b.p->state_new(&opts, &out, true);
		if (server == 1) {
			a.p->state_free(a.st);
			out.ctx = &a;
			a.st = a.p->state_new(&opts, &out, true);
			feed_bytes(&a, TO_CLIENT, span_of(learn.p, learn.n));
		}
		feed_bytes(&b, TO_CLIENT, span_of(deliver.p, deliver.n));
	}
	CHECK(strstr(buf_cstr(&a.log), "QDECLARE"));
	CHECK_STR(buf_cstr(&b.log),
		"1 SUBSCRIBE log ex=> q=C consumer=8 log=S no-ack\n"
		"2 RECEIVE log ex=a q=C consumer=8 log=S mid=5 delivery=1 no-ack size=1 body=x" TIME "\n"
		"3 SETTLE log q=C consumer=8 log=S mid=5 ref=2 auto\n"
		"4 SUBSCRIBE log q=C consumer=8 log=S\n"
		"5 RECEIVE log ex=a q=C consumer=8 log=S mid=5 delivery=1 size=1 body=x" TIME "\n");
	feed_end(&a);
	feed_end(&b);
	feed_free(&b);
	feed_free(&a);
}

int main(void)
{
	RUN(publish_acks);
	RUN(publish_refused);
	RUN(pull);
	RUN(settlements);
	RUN(ack_policies);
	RUN(streams);
	RUN(reads);
	RUN(prefixed);
	RUN(atomic_batches);
	RUN(fast_batches);
	RUN(advisories);
	RUN(flow_control);
	RUN(from_the_middle);
	RUN(shared_between_connections);
	return test_end();
}
