/* Whole conversations, byte for byte, against the operations that they stand for. */
#include "wire.h"

static void list_queue(void)
{
	struct talk t = {0};

	ask(&t, "LPUSH orders one two");
	say(&t, ":2\r\n");
	ask(&t, "BRPOP orders other 0");
	say_words(&t, "orders one");
	ask(&t, "RPOP orders");
	ask(&t, "LPOP orders 2");
	say(&t, "$3\r\ntwo\r\n*-1\r\n");
	ask(&t, "LPUSHX nobody x");
	say(&t, ":0\r\n");
	ask(&t, "LPUSH aset x");
	say(&t, "-WRONGTYPE Operation against a key\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND vhost=0 key=orders size=3 body=one\n"
		       "3 SEND vhost=0 key=orders size=3 body=two\n"
		       "4 CONFIRM vhost=0 ref=2 many\n"
		       "5 CONFIRM vhost=0 ref=3 many\n"
		       "6 RECEIVE vhost=0 key=orders q=orders no-ack size=3 body=one\n"
		       "7 SETTLE vhost=0 q=orders ref=6 auto\n"
		       "8 RECEIVE vhost=0 key=orders q=orders no-ack pulled size=3 body=two\n"
		       "9 SETTLE vhost=0 q=orders ref=8 auto\n"
		       "10 SEND vhost=0 key=nobody size=1 body=x\n"
		       "11 CONFIRM vhost=0 ref=10 text=no such list negative\n"
		       "12 SEND vhost=0 key=aset size=1 body=x\n"
		       "13 CONFIRM vhost=0 ref=12 text=WRONGTYPE Operation against a key negative\n");
}

static void stream(void)
{
	struct talk t = {0};

	ask(&t, "XGROUP CREATE s g $ MKSTREAM");
	say(&t, "+OK\r\n");
	ask(&t, "XADD s MAXLEN ~ 1000 * kind created data {\"id\":4711}");
	say(&t, "$3\r\n1-1\r\n");
	ask(&t, "XREADGROUP GROUP g c COUNT 10 BLOCK 0 STREAMS s >");
	say(&t, "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*4\r\n$4\r\nkind\r\n$7\r\ncreated\r\n"
		"$4\r\ndata\r\n$11\r\n{\"id\":4711}\r\n");
	ask(&t, "XACK s g 1-1");
	say(&t, ":1\r\n");
	ask(&t, "XREADGROUP GROUP g c NOACK STREAMS s >");
	say(&t, "%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	ask(&t, "XREAD STREAMS s 0");
	say(&t, "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	ask(&t, "XADD none NOMKSTREAM * a b");
	say(&t, "$-1\r\n");
	ask(&t, "XTRIM s MINID 2-0");
	say(&t, ":1\r\n");
	ask(&t, "XDEL s 2-1");
	say(&t, ":1\r\n");
	ask(&t, "XGROUP DESTROY s g");
	say(&t, ":1\r\n");
	talk_check(&t,
		"1 LOGIN vhost=0 text=default\n"
		"2 XDECLARE log vhost=0 ex=s log=s\n"
		"3 QDECLARE log vhost=0 ex=s q=g log=s mid=$\n"
		"4 SEND log vhost=0 ex=s log=s size=11 body={\"id\":4711} {header.kind=created} "
		"{header.data={\"id\":4711}}\n"
		"5 CONFIRM log vhost=0 ex=s log=s mid=1-1 ref=4\n"
		"6 DELETE log vhost=0 ex=s log=s code=1000 up-to unsure\n"
		"7 SUBSCRIBE log vhost=0 ex=s q=g consumer=c log=s\n"
		"8 RECEIVE log vhost=0 ex=s q=g consumer=c log=s mid=1-1 delivery=1 size=11 "
		"body={\"id\":4711} {header.kind=created} {header.data={\"id\":4711}}\n"
		"9 SETTLE log vhost=0 ex=s q=g log=s mid=1-1 ref=8 ack\n"
		"10 RECEIVE log vhost=0 ex=s q=g consumer=c log=s mid=2-1 no-ack size=1 body=b {header.a=b}\n"
		"11 SETTLE log vhost=0 ex=s q=g consumer=c log=s mid=2-1 ref=10 auto\n"
		"12 RECEIVE log vhost=0 ex=s log=s mid=2-1 no-ack pulled size=1 body=b {header.a=b}\n"
		"13 SETTLE log vhost=0 ex=s log=s mid=2-1 ref=12 auto\n"
		"14 SEND log vhost=0 ex=none log=none size=1 body=b {header.a=b}\n"
		"15 CONFIRM log vhost=0 ex=none log=none ref=14 text=no such stream (NOMKSTREAM) negative\n"
		"16 DELETE log vhost=0 ex=s log=s mid=2-0 up-to\n"
		"17 DELETE log vhost=0 ex=s log=s mid=2-1\n"
		"18 QDELETE log vhost=0 ex=s q=g log=s\n"
		"19 UNSUBSCRIBE log vhost=0 ex=s q=g consumer=c log=s\n");
}

static void pubsub(void)
{
	struct talk t = {0};

	ask(&t, "PUBLISH news hello");
	say(&t, ":2\r\n");
	ask(&t, "PUBLISH news hello");
	say(&t, ":0\r\n");
	ask(&t, "SUBSCRIBE news other");
	ask(&t, "PSUBSCRIBE n*");
	say(&t, "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$5\r\nother\r\n:"
		"2\r\n");
	say(&t, "*3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:3\r\n");
	say_words(&t, "message news hi");
	say_words(&t, "pmessage n* news hi");
	ask(&t, "UNSUBSCRIBE");
	say(&t, "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:2\r\n");
	say_words(&t, "pmessage n* news there");
	say(&t, "*3\r\n$11\r\nunsubscribe\r\n$5\r\nother\r\n:1\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND channel ex=news size=5 body=hello\n"
		       "3 CONFIRM channel ex=news ref=2 code=2\n"
		       "4 SEND channel ex=news size=5 body=hello\n"
		       "5 RETURN channel ex=news ref=4 text=no subscriber\n"
		       "6 SUBSCRIBE channel ex=news consumer=news no-ack\n"
		       "7 SUBSCRIBE channel ex=other consumer=other no-ack\n"
		       "8 SUBSCRIBE channel ex=n* consumer=n* text=pattern no-ack\n"
		       "9 RECEIVE channel ex=news consumer=news no-ack size=2 body=hi\n"
		       "10 SETTLE channel ex=news consumer=news ref=9 auto\n"
		       "11 RECEIVE channel ex=news consumer=n* no-ack size=2 body=hi\n"
		       "12 SETTLE channel ex=news consumer=n* ref=11 auto\n"
		       "13 UNSUBSCRIBE channel ex=news consumer=news no-ack\n"
		       "14 RECEIVE channel ex=news consumer=n* no-ack size=5 body=there\n"
		       "15 SETTLE channel ex=news consumer=n* ref=14 auto\n"
		       "16 UNSUBSCRIBE channel ex=other consumer=other no-ack\n"
		       "17 UNSUBSCRIBE channel ex=n* consumer=n* text=pattern no-ack\n");
}

static void transaction(void)
{
	struct talk t = {0};

	ask(&t, "MULTI");
	ask(&t, "LPUSH q a");
	ask(&t, "SET k v");
	ask(&t, "XADD s * a b");
	ask(&t, "EXEC");
	say(&t, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n+OK\r\n$3\r\n1-1\r\n");
	ask(&t, "MULTI");
	say(&t, "+OK\r\n");
	ask(&t, "LPUSH q b");
	say(&t, "+QUEUED\r\n");
	ask(&t, "DISCARD");
	say(&t, "+OK\r\n");
	ask(&t, "MULTI");
	ask(&t, "PUBLISH c d");
	ask(&t, "EXEC");
	say(&t, "+OK\r\n+QUEUED\r\n*-1\r\n");
	/* one of two fails, which is no rollback */
	ask(&t, "MULTI");
	ask(&t, "RPUSH q b");
	ask(&t, "RPUSH text b");
	ask(&t, "EXEC");
	say(&t, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n-WRONGTYPE no list\r\n");
	ask(&t, "RPUSH q c");
	say(&t, ":2\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND vhost=0 key=q tx size=1 body=a\n"
		       "3 SEND log vhost=0 ex=s log=s tx size=1 body=b {header.a=b}\n"
		       "4 CONFIRM vhost=0 ref=2 tx\n"
		       "5 CONFIRM log vhost=0 ex=s log=s mid=1-1 ref=3 tx\n"
		       "6 SEND vhost=0 key=q tx size=1 body=b\n"
		       "7 CONFIRM vhost=0 ref=6 text=DISCARD negative tx\n"
		       "8 SEND channel ex=c tx size=1 body=d\n"
		       "9 CONFIRM channel ref=8 text=a watched key was changed negative tx\n"
		       "10 SEND vhost=0 key=q tx size=1 body=b {command=RPUSH}\n"
		       "11 SEND vhost=0 key=text tx size=1 body=b {command=RPUSH}\n"
		       "12 CONFIRM vhost=0 ref=10 tx\n"
		       "13 CONFIRM vhost=0 ref=11 text=WRONGTYPE no list negative\n"
		       "14 SEND vhost=0 key=q size=1 body=c {command=RPUSH}\n"
		       "15 CONFIRM vhost=0 ref=14\n");
}

static void sharded(void)
{
	struct talk t = {0};

	ask(&t, "SSUBSCRIBE c1");
	say(&t, ">3\r\n$10\r\nssubscribe\r\n$2\r\nc1\r\n:1\r\n");
	ask(&t, "SPUBLISH c1 hi");
	say(&t, ">3\r\n$8\r\nsmessage\r\n$2\r\nc1\r\n$2\r\nhi\r\n:1\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SUBSCRIBE channel ex=c1 consumer=c1 text=sharded no-ack\n"
		       "3 SEND channel ex=c1 size=2 body=hi {command=SPUBLISH}\n"
		       "4 RECEIVE channel ex=c1 consumer=c1 no-ack size=2 body=hi\n"
		       "5 SETTLE channel ex=c1 consumer=c1 ref=4 auto\n"
		       "6 CONFIRM channel ex=c1 ref=3 code=1\n"
		       "7 UNSUBSCRIBE channel ex=c1 consumer=c1 text=sharded no-ack\n");
}

#define KOMBU                                                                                                \
	"{\"body\":\"W10=\",\"headers\":{\"task\":\"shop.bill\",\"id\":\"t1\"},\"properties\":{"             \
	"\"correlation_id\":"                                                                                \
	"\"c1\",\"reply_to\":\"r1\",\"delivery_tag\":\"d1\"}}"

/* kombu: a priority in the list's name; what is not noted as unacknowledged was settled by being taken. */
static void kombu(void)
{
	struct talk t = {0};

	ask(&t, "LPUSH celery\x06\x16"
		"3 " KOMBU);
	say(&t, ":1\r\n");
	ask(&t, "BRPOP celery celery\x06\x16"
		"3 1");
	say_words(&t, "celery\x06\x16"
		      "3 " KOMBU);
	ask(&t, "BRPOP celery 1");
	say(&t, "*-1\r\n");
	talk_check(&t,
		"1 LOGIN vhost=0 text=default\n"
		"2 SEND vhost=0 key=celery type=shop.bill size=129 body=129:1da68c093988b0d6 {priority=3} "
		"{message-id=t1} {correlation-id=c1} {reply-to=r1}\n"
		"3 CONFIRM vhost=0 ref=2\n"
		"4 RECEIVE vhost=0 key=celery q=celery type=shop.bill size=129 body=129:1da68c093988b0d6 "
		"{priority=3} {message-id=t1} {correlation-id=c1} {reply-to=r1}\n"
		"5 SETTLE vhost=0 ref=4 auto\n");
}

/* What was taken for processing is popped from there: done. A list that others pop from is a queue. */
static void moves(void)
{
	struct talk t = {0};

	ask(&t, "RPOPLPUSH jobs work");
	say(&t, "$1\r\na\r\n");
	ask(&t, "LPOP work");
	say(&t, "$1\r\na\r\n");
	ask(&t, "BLMOVE jobs work LEFT RIGHT 0");
	say(&t, "$1\r\nb\r\n");
	ask(&t, "LREM work 1 c");
	say(&t, ":0\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 RECEIVE vhost=0 key=jobs q=jobs size=1 body=a\n"
		       "3 SETTLE vhost=0 q=work ref=2 ack\n"
		       "4 RECEIVE vhost=0 key=jobs q=jobs size=1 body=b\n");
}

/* RQ: what a job is stands in its hash, written in parts; how it ended is told there, on another connection
 * or not. */
static void rq(void)
{
	struct talk t = {0};

	ask(&t, "MULTI");
	ask(&t, "HSET rq:job:j1 status queued");
	ask(&t, "HSET rq:job:j1 created_at now data BODY1 description app.bill(1)");
	ask(&t, "RPUSH rq:queue:a j1");
	ask(&t, "EXEC");
	say(&t, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n:3\r\n:1\r\n");
	ask(&t, "BLMOVE rq:queue:a rq:queue:a:intermediate LEFT RIGHT 405");
	say(&t, "$2\r\nj1\r\n");
	/* It has begun, which settles nothing. */
	ask(&t, "HSET rq:job:j1 last_heartbeat now status started");
	ask(&t, "LREM rq:queue:a:intermediate 1 j1");
	say(&t, ":1\r\n:1\r\n");
	/* Failed, and kept among those. */
	ask(&t, "HSET rq:job:j1 status failed");
	ask(&t, "ZADD rq:failed:a 9 j1");
	say(&t, ":0\r\n:1\r\n");
	/* Put back by hand, taken by a worker of several queues, done; no result is kept. */
	ask(&t, "ZREM rq:failed:a j1");
	ask(&t, "HSET rq:job:j1 status queued");
	ask(&t, "RPUSH rq:queue:a j1");
	say(&t, ":1\r\n:0\r\n:1\r\n");
	ask(&t, "BLPOP rq:queue:a rq:queue:b 405");
	say_words(&t, "rq:queue:a j1");
	ask(&t, "DEL rq:job:j1 rq:job:j2");
	say(&t, ":1\r\n");
	talk_check(&t,
		"1 LOGIN vhost=0 text=default\n"
		"2 SEND vhost=0 key=rq:queue:a type=app.bill tx size=5 body=BODY1 {header.created_at=now} "
		"{header.description=app.bill(1)} {message-id=j1} {command=RPUSH}\n"
		"3 CONFIRM vhost=0 ref=2 tx\n"
		"4 RECEIVE vhost=0 key=rq:queue:a q=rq:queue:a type=app.bill size=5 body=BODY1 "
		"{header.created_at=now} {header.description=app.bill(1)} {message-id=j1}\n"
		"5 SEND vhost=0 key=rq:failed:a type=app.bill size=5 body=BODY1 {header.created_at=now} "
		"{header.description=app.bill(1)} {message-id=j1} {score=9}\n"
		"6 SETTLE vhost=0 ref=4 reject\n"
		"7 CONFIRM vhost=0 ref=5\n"
		"8 SEND vhost=0 key=rq:queue:a type=app.bill size=5 body=BODY1 {header.created_at=now} "
		"{header.description=app.bill(1)} {message-id=j1} {command=RPUSH}\n"
		"9 RECEIVE vhost=0 key=rq:failed:a q=rq:failed:a type=app.bill no-ack pulled size=5 "
		"body=BODY1 "
		"{header.created_at=now} {header.description=app.bill(1)} {message-id=j1}\n"
		"10 SETTLE vhost=0 q=rq:failed:a ref=9 auto\n"
		"11 CONFIRM vhost=0 ref=8\n"
		"12 RECEIVE vhost=0 key=rq:queue:a q=rq:queue:a type=app.bill size=5 body=BODY1 "
		"{header.created_at=now} {header.description=app.bill(1)} {message-id=j1}\n"
		"13 SETTLE vhost=0 ref=12 ack\n");
}

/* A job for later is put into its registry before it is said what it is. */
static void rq_later(void)
{
	struct talk t = {0};

	ask(&t, "MULTI");
	ask(&t, "ZADD rq:scheduled:a 99 j1");
	ask(&t, "HSET rq:job:j1 status scheduled");
	ask(&t, "HSET rq:job:j1 data BODY1");
	ask(&t, "EXEC");
	say(&t, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n:1\r\n:1\r\n");
	ask(&t, "ZREM rq:scheduled:a j1");
	say(&t, ":1\r\n");
	ask(&t, "MULTI");
	ask(&t, "ZADD rq:scheduled:a 99 j2");
	ask(&t, "HSET rq:job:j2 data BODY2");
	ask(&t, "EXEC");
	say(&t, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n");
	talk_check(&t,
		"1 LOGIN vhost=0 text=default\n"
		"2 SEND vhost=0 key=rq:scheduled:a tx size=5 body=BODY1 {message-id=j1} {score=99}\n"
		"3 CONFIRM vhost=0 ref=2 tx\n"
		"4 RECEIVE vhost=0 key=rq:scheduled:a q=rq:scheduled:a no-ack pulled size=5 body=BODY1 "
		"{message-id=j1}\n"
		"5 SETTLE vhost=0 q=rq:scheduled:a ref=4 auto\n"
		"6 SEND vhost=0 key=rq:scheduled:a tx size=5 body=BODY2 {message-id=j2} {score=99}\n"
		"7 CONFIRM vhost=0 ref=6 text=not run negative tx\n");
}

/* BullMQ answers an id in any case; while a job of that id is there, another is not added. */
static void bullmq_same_id(void)
{
	static const char *const add = "EVALSHA x 1 bull:a:id \x93\xa7"
				       "bull:a:\xa2"
				       "j1\xa4"
				       "bill {\"n\":1}";
	struct talk t = {0};

	ask(&t, add);
	say(&t, "$2\r\nj1\r\n");
	ask(&t, add);
	say(&t, "$2\r\nj1\r\n");
	ask(&t, "EVALSHA y 2 bull:a:active bull:a:j1 j1 0 x y completed bull:a:");
	say(&t, ":0\r\n");
	ask(&t, add);
	say(&t, "$2\r\nj1\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND vhost=0 key=bull:a log=bull:a type=bill size=7 body={\"n\":1}\n"
		       "3 CONFIRM vhost=0 log=bull:a mid=j1 ref=2\n"
		       "4 SEND vhost=0 key=bull:a log=bull:a type=bill size=7 body={\"n\":1}\n"
		       "5 CONFIRM vhost=0 log=bull:a ref=4 text=a job of that id was there negative\n"
		       "6 SETTLE vhost=0 q=bull:a log=bull:a mid=j1 ack\n"
		       "7 SEND vhost=0 key=bull:a log=bull:a type=bill size=7 body={\"n\":1}\n"
		       "8 CONFIRM vhost=0 log=bull:a mid=j1 ref=7\n");
}

/* What goes without being handed to anybody: told where it is certain, as unsure where it is not. */
static void taken_away(void)
{
	struct talk t = {0};

	ask(&t, "LPUSH q a");
	say(&t, ":1\r\n");
	ask(&t, "LTRIM q 0 99"); /* the newest stay */
	ask(&t, "LTRIM q 0 -1"); /* all do */
	ask(&t, "LTRIM q -50 -1");
	ask(&t, "LTRIM q 1 0");
	say(&t, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
	ask(&t, "LREM q 0 b");
	say(&t, ":2\r\n");
	ask(&t, "EXPIRE q 10");
	ask(&t, "EXPIRE other 10");
	ask(&t, "PEXPIREAT q 1795707493771 NX");
	ask(&t, "PERSIST q");
	say(&t, ":1\r\n:1\r\n:0\r\n:1\r\n");
	ask(&t, "DEL q other");
	say(&t, ":0\r\n");
	ask(&t, "RENAME q q2");
	ask(&t, "LTRIM q2 0 9");
	ask(&t, "MOVE q2 3");
	say(&t, "+OK\r\n+OK\r\n:1\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND vhost=0 key=q size=1 body=a\n"
		       "3 CONFIRM vhost=0 ref=2\n"
		       "4 QPURGE vhost=0 q=q code=100 up-to\n"
		       "5 QPURGE vhost=0 q=q code=50 up-to unsure\n"
		       "6 QPURGE vhost=0 q=q\n"
		       "7 DELETE vhost=0 key=q q=q code=2 size=1 body=b\n"
		       "8 QPURGE vhost=0 q=q type=in tag=10000\n"
		       "9 QPURGE vhost=0 q=q type=never\n"
		       "10 QPURGE vhost=0 q=q\n"
		       "11 QPURGE vhost=0 q=q2 text=another key was renamed to it\n"
		       "12 QPURGE vhost=0 key=q q=q2 type=as\n"
		       "13 QPURGE vhost=0 q=q text=renamed unsure\n"
		       "14 QPURGE vhost=0 q=q2 code=10 up-to\n"
		       "15 QPURGE vhost=0 q=q2 text=moved to another database unsure\n");
}

static void taken_from_streams(void)
{
	struct talk t = {0};

	ask(&t, "XADD s MAXLEN = 2 * a b");
	say(&t, "$3\r\n1-1\r\n");
	ask(&t, "XADD s MAXLEN 2 ACKED * a b");
	say(&t, "$3\r\n1-2\r\n");
	ask(&t, "XTRIM s MAXLEN 1");
	ask(&t, "XTRIM s MAXLEN ~ 1");
	ask(&t, "XTRIM s MINID ~ 5 LIMIT 10");
	say(&t, ":1\r\n:0\r\n:3\r\n");
	ask(&t, "XDELEX s ACKED IDS 2 1-1 1-2");
	ask(&t, "XACKDEL s g DELREF IDS 3 1-3 1-4 1-5");
	say(&t, "*2\r\n:1\r\n:2\r\n*3\r\n:1\r\n:2\r\n:-1\r\n");
	ask(&t, "EXPIREAT s 1795707493");
	say(&t, ":1\r\n");
	ask(&t, "EVAL x 2 s y 1");
	ask(&t, "EVAL_RO x 1 s");
	ask(&t, "EVAL x 1 s");
	say(&t, ":1\r\n:1\r\n$-1\r\n");
	ask(&t, "UNLINK s");
	ask(&t, "SWAPDB 0 3");
	ask(&t, "MULTI");
	ask(&t, "FLUSHDB");
	ask(&t, "FLUSHALL ASYNC");
	ask(&t, "EXEC");
	say(&t, ":1\r\n+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND log vhost=0 ex=s log=s size=1 body=b {header.a=b}\n"
		       "3 CONFIRM log vhost=0 ex=s log=s mid=1-1 ref=2\n"
		       "4 DELETE log vhost=0 ex=s log=s code=2 up-to\n"
		       "5 SEND log vhost=0 ex=s log=s size=1 body=b {header.a=b}\n"
		       "6 CONFIRM log vhost=0 ex=s log=s mid=1-2 ref=5\n"
		       "7 DELETE log vhost=0 ex=s log=s code=2 up-to unsure\n"
		       "8 DELETE log vhost=0 ex=s log=s code=1 up-to\n"
		       "9 DELETE log vhost=0 ex=s log=s mid=5 up-to unsure\n"
		       "10 DELETE log vhost=0 ex=s log=s mid=1-1\n"
		       "11 SETTLE log vhost=0 ex=s q=g log=s mid=1-3 ack\n"
		       "12 DELETE log vhost=0 ex=s log=s mid=1-3\n"
		       "13 SETTLE log vhost=0 ex=s q=g log=s mid=1-4 ack\n"
		       "14 QPURGE log vhost=0 ex=s log=s type=at tag=1795707493000\n"
		       "15 SEND call vhost=0 ex=EVAL size=1 body=1 {command=EVAL} {script=x} {keys=s y}\n"
		       "16 CONFIRM call vhost=0 ref=15\n"
		       "17 DELETE log vhost=0 ex=s log=s text=a script up-to unsure\n"
		       "18 XDELETE log vhost=0 ex=s log=s\n"
		       "19 QPURGE vhost=0 text=SWAPDB unsure\n"
		       "20 QPURGE vhost=3 text=SWAPDB unsure\n"
		       "21 QPURGE vhost=0 text=FLUSHDB tx\n"
		       "22 QPURGE vhost=0 text=FLUSHALL tx many\n");
}

/* What scripts and functions are given with a queue among their keys; a poll, a lock and reads are nothing.
 */
static void scripts(void)
{
	struct talk t = {0};

	ask(&t, "LPUSH q a");
	ask(&t, "EVALSHA 6b1b 2 lock q {\"order\":4711}");
	say(&t, ":1\r\n$-1\r\n");
	ask(&t, "FCALL put 1 q one \xff\xfe");
	ask(&t, "EVALSHA 6b1c 1 q x");
	say(&t, ":2\r\n-NOSCRIPT No matching script.\r\n");
	ask(&t, "EVALSHA 6b1b 1 lock token");
	ask(&t, "EVALSHA_RO 6b1b 1 q x");
	ask(&t, "FCALL_RO put 1 q x");
	ask(&t, "EVALSHA 6b1b 1 q");
	ask(&t, "EVALSHA 6b1b 9 q x");
	ask(&t, "EVALSHA 6b1b -1 q x");
	say(&t, ":1\r\n:1\r\n:1\r\n$-1\r\n-ERR keys\r\n-ERR keys\r\n");
	ask(&t, "MULTI");
	ask(&t, "EVAL return 1 q y");
	ask(&t, "DISCARD");
	say(&t, "+OK\r\n+QUEUED\r\n+OK\r\n");
	ask(&t, "MULTI");
	ask(&t, "EVAL return 1 q z");
	ask(&t, "EXEC");
	say(&t, "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
	talk_check(&t,
		"1 LOGIN vhost=0 text=default\n"
		"2 SEND vhost=0 key=q size=1 body=a\n"
		"3 SEND call vhost=0 ex=EVALSHA 6b1b size=14 body={\"order\":4711} {command=EVALSHA} "
		"{script=6b1b} {keys=lock q}\n"
		"4 CONFIRM vhost=0 ref=2\n"
		"5 CONFIRM call vhost=0 ref=3\n"
		"6 SEND call vhost=0 ex=FCALL put size=9 body=\x92\xa3one\xc4\x02\xff\xfe {command=FCALL} "
		"{script=put} {keys=q} {content-type=application/msgpack}\n"
		"7 SEND call vhost=0 ex=EVALSHA 6b1c size=1 body=x {command=EVALSHA} {script=6b1c} {keys=q}\n"
		"8 CONFIRM call vhost=0 ref=6\n"
		"9 QPURGE vhost=0 q=q text=a script unsure\n"
		"10 CONFIRM call vhost=0 ref=7 text=NOSCRIPT No matching script. negative\n"
		"11 SEND call vhost=0 ex=EVAL tx size=1 body=y {command=EVAL} {script=return} {keys=q}\n"
		"12 CONFIRM call vhost=0 ref=11 text=DISCARD negative tx\n"
		"13 SEND call vhost=0 ex=EVAL tx size=1 body=z {command=EVAL} {script=return} {keys=q}\n"
		"14 CONFIRM call vhost=0 ref=13 tx\n");
}

/* More arguments than are kept: the first ones, and how much all were. */
static void long_arguments(void)
{
	struct talk t = {0};

	payload_limit = 16;
	ask(&t, "RPUSH q a");
	ask(&t, "FCALL put 1 q aaaaaaaaaa bbbbbbbbbb cc");
	ask(&t, "FCALL put 1 q aaaaaaaaaaaaaaaaaaaaaaaa");
	say(&t, ":1\r\n$-1\r\n$-1\r\n");
	talk_check(&t,
		"1 LOGIN vhost=0 text=default\n"
		"2 SEND vhost=0 key=q size=1 body=a {command=RPUSH}\n"
		"3 SEND call vhost=0 ex=FCALL put truncated size=24 body=\x93\xaa"
		"aaaaaaaaaa {command=FCALL} {script=put} {keys=q} {content-type=application/msgpack}\n"
		"4 SEND call vhost=0 ex=FCALL put truncated size=24 body=aaaaaaaaaaaaaaaa {command=FCALL} "
		"{script=put} {keys=q}\n"
		"5 CONFIRM vhost=0 ref=2\n"
		"6 CONFIRM call vhost=0 ref=3\n"
		"7 CONFIRM call vhost=0 ref=4\n");
	payload_limit = 0;
}

/* Sidekiq's clock, with nothing due and with a job that is. */
static void sidekiq_poll(void)
{
	struct talk t = {0};

	ask(&t, "ZADD schedule 5 {\"class\":\"A\",\"jid\":\"1\"}");
	ask(&t, "EVALSHA 6b1b 1 schedule 1795707493.25");
	ask(&t, "EVALSHA 6b1b 1 schedule 1795707498.25");
	say(&t, ":1\r\n$-1\r\n$23\r\n{\"class\":\"A\",\"jid\":\"1\"}\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND vhost=0 key=schedule type=A size=23 body={\"class\":\"A\",\"jid\":\"1\"} "
		       "{message-id=1} {score=5}\n"
		       "3 CONFIRM vhost=0 ref=2\n"
		       "4 RECEIVE vhost=0 key=schedule q=schedule type=A no-ack pulled size=23 "
		       "body={\"class\":\"A\",\"jid\":\"1\"} {message-id=1}\n"
		       "5 SETTLE vhost=0 q=schedule ref=4 auto\n");
}

/* What a server refuses of a transaction, or all of it. */
static void refusals(void)
{
	struct talk t = {0};

	ask(&t, "MULTI");
	ask(&t, "LPUSH q a");
	ask(&t, "MULTI");
	ask(&t, "WATCH k");
	ask(&t, "XADD s 0-0 a b");
	ask(&t, "EXEC");
	say(&t, "+OK\r\n+QUEUED\r\n-ERR MULTI calls can not be nested\r\n"
		"-ERR WATCH inside MULTI is not allowed\r\n-ERR unknown\r\n"
		"-EXECABORT Transaction discarded because of previous errors.\r\n");
	ask(&t, "EXEC");
	ask(&t, "DISCARD");
	say(&t, "-ERR EXEC without MULTI\r\n-ERR DISCARD without MULTI\r\n");
	ask(&t, "MULTI");
	ask(&t, "LPUSH q b");
	ask(&t, "RPOP q");
	ask(&t, "EXEC");
	say(&t, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n-WRONGTYPE no list\r\n$1\r\nz\r\n");
	ask(&t, "LPUSH q c");
	say(&t, "-MOVED 5798 127.0.0.1:7002\r\n");
	ask(&t, "ASKING");
	ask(&t, "LPUSH q c");
	say(&t, "+OK\r\n-TRYAGAIN Multiple keys\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SEND vhost=0 key=q tx size=1 body=a\n"
		       "3 SEND log vhost=0 ex=s log=s tx size=1 body=b {header.a=b}\n"
		       "4 CONFIRM log vhost=0 ex=s log=s ref=3 text=ERR unknown negative tx\n"
		       "5 CONFIRM vhost=0 ref=2 text=59:64e73e92a25f489b negative tx\n"
		       "6 SEND vhost=0 key=q tx size=1 body=b\n"
		       "7 CONFIRM vhost=0 ref=6 text=WRONGTYPE no list negative\n"
		       "8 RECEIVE vhost=0 key=q q=q no-ack pulled size=1 body=z\n"
		       "9 SETTLE vhost=0 q=q ref=8 auto tx\n"
		       "10 SEND vhost=0 key=q size=1 body=c\n"
		       "11 CONFIRM vhost=0 ref=10 text=MOVED 5798 127.0.0.1:7002 negative\n"
		       "12 SEND vhost=0 key=q size=1 body=c\n"
		       "13 CONFIRM vhost=0 ref=12 text=TRYAGAIN Multiple keys negative\n");
}

/* A subscriber in RESP2 that asks in between, is told of invalidated keys, and loses a shard's channel. */
static void subscribed(void)
{
	struct talk t = {0};

	ask(&t, "SUBSCRIBE __redis__:invalidate");
	say(&t, "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
	say(&t, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n");
	say(&t, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n");
	ask(&t, "PING");
	say(&t, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
	ask(&t, "SSUBSCRIBE c1");
	say(&t, "*3\r\n$10\r\nssubscribe\r\n$2\r\nc1\r\n:1\r\n");
	say_words(&t, "smessage c1 hi");
	say(&t, "*3\r\n$12\r\nsunsubscribe\r\n$2\r\nc1\r\n:0\r\n");
	ask(&t, "RESET");
	say(&t, "+RESET\r\n");
	ask(&t, "LPUSH q a");
	say(&t, ":1\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 SUBSCRIBE channel ex=__redis__:invalidate consumer=__redis__:invalidate no-ack\n"
		       "3 SUBSCRIBE channel ex=c1 consumer=c1 text=sharded no-ack\n"
		       "4 RECEIVE channel ex=c1 consumer=c1 no-ack size=2 body=hi\n"
		       "5 SETTLE channel ex=c1 consumer=c1 ref=4 auto\n"
		       "6 UNSUBSCRIBE channel ex=c1 consumer=c1 text=sharded no-ack\n"
		       "7 UNSUBSCRIBE channel ex=__redis__:invalidate consumer=__redis__:invalidate no-ack\n"
		       "8 LOGIN vhost=0 text=default\n"
		       "9 SEND vhost=0 key=q size=1 body=a\n"
		       "10 CONFIRM vhost=0 ref=9\n");
}

/* RESP3's doubles, pairs and pushes between an answer and the next; a function with a queue among its keys.
 */
static void resp3_sets(void)
{
	struct talk t = {0};

	ask(&t, "HELLO 3");
	say(&t, "%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n");
	ask(&t, "BZPOPMIN z 0");
	say(&t, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nz\r\n");
	say(&t, "*3\r\n$1\r\nz\r\n$1\r\nm\r\n,1.5\r\n");
	ask(&t, "ZPOPMIN z 2");
	say(&t, "|1\r\n+ttl\r\n:1\r\n*2\r\n*2\r\n$1\r\nn\r\n,2\r\n*2\r\n$1\r\no\r\n,inf\r\n");
	ask(&t, "ZADD z 3 p");
	ask(&t, "ZADD z 4 p");
	say(&t, ":1\r\n:0\r\n");
	ask(&t, "FCALL take 1 z");
	say(&t, "#t\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=default\n"
		       "2 RECEIVE vhost=0 key=z q=z no-ack size=1 body=m {score=1.5}\n"
		       "3 SETTLE vhost=0 q=z ref=2 auto\n"
		       "4 RECEIVE vhost=0 key=z q=z no-ack pulled size=1 body=n {score=2}\n"
		       "5 SETTLE vhost=0 q=z ref=4 auto\n"
		       "6 RECEIVE vhost=0 key=z q=z no-ack pulled size=1 body=o {score=inf}\n"
		       "7 SETTLE vhost=0 q=z ref=6 auto\n"
		       "8 SEND vhost=0 key=z size=1 body=p {score=3}\n"
		       "9 SEND vhost=0 key=z size=1 body=p {score=4}\n"
		       "10 CONFIRM vhost=0 ref=8\n"
		       "11 CONFIRM vhost=0 ref=9 text=53:22a335821f8a749f negative\n"
		       "12 QPURGE vhost=0 q=z text=a script unsure\n");
}

int main(void)
{
	RUN(refusals);
	RUN(subscribed);
	RUN(resp3_sets);
	RUN(taken_away);
	RUN(taken_from_streams);
	RUN(scripts);
	RUN(long_arguments);
	RUN(sidekiq_poll);
	RUN(sharded);
	RUN(kombu);
	RUN(bullmq_same_id);
	RUN(rq);
	RUN(rq_later);
	RUN(moves);
	RUN(list_queue);
	RUN(stream);
	RUN(pubsub);
	RUN(transaction);
	return test_end();
}
