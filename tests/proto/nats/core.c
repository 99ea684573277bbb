/* Core NATS: logins, subscriptions, messages with any bytes, requests, verbose mode, lies. */
#include "wire.h"

#define LOGIN "1 LOGIN channel text=shop\n"

static void publish_and_deliver(void)
{
	EXPECT(LOGIN "2 SUBSCRIBE channel ex=orders.* q=workers consumer=1\n"
		     "3 SUBSCRIBE channel ex=all.> consumer=2\n"
		     "4 SEND channel ex=orders.new size=5 body=hello\n"
		     "5 SEND channel ex=orders.new {reply-to=my.replies}\n"
		     "6 RECEIVE channel ex=orders.new q=workers consumer=1 size=5 body=hello\n"
		     "7 SETTLE channel ex=orders.new q=workers consumer=1 ref=6 auto\n"
		     "8 RECEIVE channel ex=all.x consumer=2 size=2 body=hi {reply-to=my.replies}\n"
		     "9 SETTLE channel ex=all.x consumer=2 ref=8 auto\n"
		     "10 UNSUBSCRIBE channel ex=orders.* q=workers consumer=1\n",
		INFO, CONNECT, C("PING\r\n"), S("PONG\r\n"),
		C("SUB orders.* workers 1\r\nSUB all.> 2\r\nPUB orders.new 5\r\nhello\r\n"
		  "PUB orders.new my.replies 0\r\n\r\n"),
		S("MSG orders.new 1 5\r\nhello\r\nMSG all.x 2 my.replies 2\r\nhi\r\n"), C("UNSUB 1\r\n"));
}

/* nats-server: any case, blanks and tabs, a line's end without CR. */
static void as_the_server_accepts_it(void)
{
	EXPECT(LOGIN "2 SUBSCRIBE channel ex=a.b q=g consumer=7\n"
		     "3 SEND channel ex=a.b size=2 body=ok\n"
		     "4 SEND channel ex=a.b size=2 body=ok\n"
		     "5 RECEIVE channel ex=a.b q=g consumer=7 size=2 body=ok\n"
		     "6 SETTLE channel ex=a.b q=g consumer=7 ref=5 auto\n",
		INFO, C("connect\t{\"verbose\":false,\"user\":\"shop\"}\r\n"), C("pInG \r\n"),
		S("+ok\r\nPONG\r\n"), C("sub \t a.b  g\t7  \r\npub  a.b\t2\nok\r\nPub a.b 2 \r\nok\r\n"),
		S("msg a.b\t7   2\r\nok\r\n"));
}

static void clusters(void)
{
	EXPECT("1 CLUSTER ex=C1 10.0.0.7:4222 text=127.0.0.1:4222,10.0.0.7:4222\n",
		S("INFO "
		  "{\"server_id\":\"N1\",\"cluster\":\"C1\",\"connect_urls\":[\"127.0.0.1:4222\",\"10.0.0.7:"
		  "4222\"]}\r\n"));
	/* one that is alone, and one without a name */
	EXPECT("", S("INFO {\"server_id\":\"N1\",\"cluster\":\"C1\"}\r\n"),
		S("INFO {\"server_id\":\"N1\",\"connect_urls\":[\"10.0.0.7:4222\"]}\r\n"));
}

static void any_bytes(void)
{
	EXPECT(LOGIN "2 SEND channel ex=a size=12 body=\r\nPUB b 1\r\nx\n"
		     "3 SEND channel ex=a size=4 body=\r\n\r\n\n"
		     "4 RECEIVE channel ex=a consumer=1 size=15 body=MSG z 9 2\r\nhi\r\n\n"
		     "5 SETTLE channel ex=a consumer=1 ref=4 auto\n",
		INFO, CONNECT, C("PUB a 12\r\n\r\nPUB b 1\r\nx\r\nPUB a 4\r\n\r\n\r\n\r\n"),
		S("MSG a 1 15\r\nMSG z 9 2\r\nhi\r\n\r\n"));
}

static void headers(void)
{
	EXPECT(LOGIN
		"2 SEND channel ex=a size=2 body=hi {reply-to=r} {message-id=m-1} {header.Nats-Msg-Id=m-1}"
		" {header.X=1} {header.X=two words} {header.empty=}\n"
		"3 RECEIVE channel ex=a consumer=1 size=2 body=hi {message-id=m-1} {header.Nats-Msg-Id=m-1}"
		" {header.X=1}\n"
		"4 SETTLE channel ex=a consumer=1 ref=3 auto\n"
		"5 SEND channel ex=a size=1 body=x {status=299} {description=Odd one} {header.k=v}\n",
		INFO, CONNECT,
		C("HPUB a r 59 61\r\nNATS/1.0\r\nNats-Msg-Id: m-1\r\nX:1\r\nX:  two words "
		  "\r\nempty:\r\n\r\n"
		  "hi\r\n"),
		S("HMSG a 1 36 38\r\nNATS/1.0\r\nNats-Msg-Id: m-1\r\nX: 1\r\n\r\nhi\r\n"),
		C("HPUB a 29 30\r\nNATS/1.0 299 Odd one\r\nk:v\r\n\r\nx\r\n"));
}

static void no_responders(void)
{
	EXPECT(LOGIN "2 SUBSCRIBE channel ex=_INBOX.c.* consumer=1 exclusive auto-delete\n"
		     "3 SEND channel ex=nobody size=1 body=q {reply-to=_INBOX.c.1}\n"
		     "4 RETURN channel ref=3 code=503 text=no responders\n"
		     "5 SEND channel ex=somebody size=1 body=q {reply-to=_INBOX.c.2}\n"
		     "6 RECEIVE channel ex=_INBOX.c.2 consumer=1 size=1 body=a\n"
		     "7 SETTLE channel ex=_INBOX.c.2 consumer=1 ref=6 auto\n",
		INFO, CONNECT, C("SUB _INBOX.c.* 1\r\nPUB nobody _INBOX.c.1 1\r\nq\r\n"),
		S("HMSG _INBOX.c.1 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"),
		C("PUB somebody _INBOX.c.2 1\r\nq\r\n"), S("MSG _INBOX.c.2 1 1\r\na\r\n"));
}

static void unsubscribed_at_max(void)
{
	EXPECT(LOGIN "2 SUBSCRIBE channel ex=a consumer=1\n"
		     "3 RECEIVE channel ex=a consumer=1 size=1 body=1\n"
		     "4 SETTLE channel ex=a consumer=1 ref=3 auto\n"
		     "5 RECEIVE channel ex=a consumer=1 size=1 body=2\n"
		     "6 SETTLE channel ex=a consumer=1 ref=5 auto\n"
		     "7 UNSUBSCRIBE channel ex=a consumer=1\n"
		     "8 SUBSCRIBE channel ex=b consumer=2\n"
		     "9 RECEIVE channel ex=b consumer=2 size=1 body=3\n"
		     "10 SETTLE channel ex=b consumer=2 ref=9 auto\n"
		     "11 UNSUBSCRIBE channel ex=b consumer=2\n",
		INFO, CONNECT, C("SUB a 1\r\nUNSUB 1 2\r\n"), S("MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n"),
		C("SUB b 2\r\n"), S("MSG b 2 1\r\n3\r\n"), C("UNSUB 2 1\r\n"));
}

/* Each line of the client's is answered; a refusal stands in place of +OK. */
static void verbose(void)
{
	EXPECT(LOGIN "2 SUBSCRIBE channel ex=a consumer=1\n"
		     "3 SEND channel ex=a size=1 body=1\n"
		     "4 SEND channel ex=secret size=1 body=2\n"
		     "5 SEND channel ex=a size=1 body=3\n"
		     "6 CONFIRM channel ref=3\n"
		     "7 CONFIRM channel ex=secret ref=4 text=45:4861b07d0df8fc70 negative\n"
		     "8 CONFIRM channel ref=5\n"
		     "9 ERROR channel text=Stale Connection\n",
		INFO, C("CONNECT {\"user\":\"shop\"}\r\n"), S("+OK\r\n"), C("SUB a 1\r\nPING\r\n"),
		S("+OK\r\nPONG\r\n"), C("PUB a 1\r\n1\r\nPUB secret 1\r\n2\r\nPUB a 1\r\n3\r\n"),
		S("+OK\r\n-ERR 'Permissions Violation for Publish to \"secret\"'\r\n+OK\r\n"),
		S("-ERR 'Stale Connection'\r\n"));
}

/* The server closes, having read neither that one nor what follows it. */
static void too_large(void)
{
	EXPECT("1 LOGIN channel text=shop\n"
	       "2 SEND channel ex=a size=5 body=hello\n"
	       "3 SEND channel ex=b size=2 body=hi\n"
	       "4 CONFIRM channel ref=2 text=Maximum Payload Violation negative\n",
		S("INFO {\"server_id\":\"N\",\"max_payload\":4}\r\n"), CONNECT,
		C("PUB a 5\r\nhello\r\nPUB b 2\r\nhi\r\n"), S("-ERR 'Maximum Payload Violation'\r\n"));
}

static void secrets(void)
{
	EXPECT("1 LOGIN channel text=shop\n", INFO,
		C("CONNECT "
		  "{\"pass\":\"hunter2\",\"user\":\"shop\",\"auth_token\":\"hunter2\",\"lang\":\"pass\","
		  "\"jwt\" : "
		  "\"hunter2\",\"x\":{\"pass\":\"no\"},\"sig\":\"hunter2\",\"nkey\":\"hunter2\"}\r\n"));
	EXPECT("1 LOGIN channel text=app\n", INFO,
		C("CONNECT {\"Pass\":\"hunter2\",\"name\":\"app\",\"p\\u0061ss\":\"hunter2\"}\r\nPING\r\n"));
}

/* Bytes of a CONNECT line behind a hole are all secret: which value they belong to is not known. */
static void secrets_behind_a_hole(void)
{
	struct feed f;

	feed_begin(&f, &proto_nats, true, 0);
	feed_bytes(&f, TO_CLIENT, SPAN_LIT("INFO {\"server_id\":\"N1\"}\r\n"));
	feed_bytes(&f, TO_SERVER, SPAN_LIT("CONNECT {\"pa"));
	feed_gap(&f, TO_SERVER, 10);
	feed_bytes(&f, TO_SERVER, SPAN_LIT("ter2\"}\r\nPUB a 1\r\nx\r\n"));
	CHECK_STR(buf_cstr(&f.log), "1 SEND channel ex=a size=1 body=x\n");
	CHECK(f.secrets.n == 12 + 10 + 7);
	CHECK(f.secrets.n > 22 && f.secrets.p[22] == 1);
	feed_end(&f);
	feed_free(&f);
}

static void sizes_lie(void)
{
	/* No message, and what follows is found again. */
	EXPECT(LOGIN "2 SEND channel ex=b size=2 body=ok\n", INFO, CONNECT,
		C("PUB a 99999999999\r\nhello\r\nPUB b 2\r\nok\r\nPING\r\n"));
	EXPECT(LOGIN "2 SEND channel ex=b size=2 body=ok\n", INFO, CONNECT,
		C("PUB a -1\r\nhello\r\nPUB b 2\r\nok\r\nPING\r\n"));
	EXPECT(LOGIN "2 SEND channel ex=b size=2 body=ok\n", INFO, CONNECT,
		C("PUB a 18446744073709551621\r\nhello\r\nPUB b 2\r\nok\r\nPING\r\n"));
	EXPECT(LOGIN "2 SEND channel ex=b size=2 body=ok\n", INFO, CONNECT,
		C("PUB a 3\r\nhello\r\nPUB b 2\r\nok\r\nPING\r\n"));
	EXPECT(LOGIN "2 SEND channel ex=b size=2 body=ok\n", INFO, CONNECT,
		C("HPUB a 9 5\r\nhello\r\nPUB b 2\r\nok\r\nPING\r\n"));
	EXPECT(LOGIN "2 SEND channel ex=b size=2 body=ok\n", INFO, CONNECT,
		C("PUB a\r\n\r\nPUB b 2\r\nok\r\nPING\r\n"));
}

static void large_payloads(void)
{
	static char big[300000];
	struct feed f;
	size_t n = (size_t)snprintf(big, sizeof(big), "PUB a 250000\r\n");

	memset(big + n, 'x', 250000);
	memcpy(big + n + 250000, "\r\nPUB b 5\r\nhello\r\n", 18);
	feed_begin(&f, &proto_nats, true, 1000);
	for (size_t i = 0; i < n + 250018; i += 4096)
		feed_bytes(&f, TO_SERVER, span_of(big + i, n + 250018 - i < 4096 ? n + 250018 - i : 4096));
	CHECK(f.ops == 2);
	CHECK(strstr(buf_cstr(&f.log), "1 SEND channel ex=a truncated size=250000 body=1000:"));
	CHECK(strstr(buf_cstr(&f.log), "2 SEND channel ex=b size=5 body=hello\n"));
	feed_end(&f);
	feed_free(&f);
}

static void holes(void)
{
	struct feed f;

	feed_begin(&f, &proto_nats, true, 0);
	/* Inside of a payload: its end is known. */
	feed_bytes(&f, TO_SERVER, SPAN_LIT("PUB a 10\r\n0123"));
	feed_gap(&f, TO_SERVER, 3);
	feed_bytes(&f, TO_SERVER, SPAN_LIT("789\r\nPUB b 1\r\nx\r\n"));
	/* Beyond its end: as far as it was seen, and on from the next line. */
	feed_bytes(&f, TO_SERVER, SPAN_LIT("PUB c 10\r\n0123"));
	feed_gap(&f, TO_SERVER, 30);
	feed_bytes(&f, TO_SERVER, SPAN_LIT("tail\r\nPUB d 1\r\ny\r\nPING\r\n"));
	feed_bytes(&f, TO_SERVER, SPAN_LIT("PUB e 4\r\nab"));
	feed_gap(&f, TO_SERVER, 0);
	feed_bytes(&f, TO_SERVER, SPAN_LIT("PUB f 1\r\nz\r\n"));
	CHECK_STR(buf_cstr(&f.log), "1 SEND channel ex=a gap size=10 body=0123\n"
				    "2 SEND channel ex=b size=1 body=x\n"
				    "3 SEND channel ex=c gap size=10 body=0123\n"
				    "4 SEND channel ex=d size=1 body=y\n"
				    "5 SEND channel ex=e gap size=4 body=ab\n"
				    "6 SEND channel ex=f size=1 body=z\n");
	CHECK(!f.bad);
	feed_end(&f);
	feed_free(&f);
}

static void from_the_middle(void)
{
	EXPECT_MIDDLE("1 SEND channel ex=b size=2 body=hi\n"
		      "2 RECEIVE channel ex=x.y consumer=12 size=2 body=hi\n"
		      "3 SETTLE channel ex=x.y consumer=12 ref=2 auto\n",
		C("lf of a payload\r\nPUB b 2\r\nhi\r\nPING\r\n"),
		S("G a 1 5\r\nhello\r\nMSG x.y 12 2\r\nhi\r\n"));
	/* At a line's start; a queue group that was named before is not known. */
	EXPECT_MIDDLE("1 RECEIVE channel ex=x.y consumer=12 size=2 body=hi\n"
		      "2 SETTLE channel ex=x.y consumer=12 ref=1 auto\n"
		      "3 UNSUBSCRIBE channel consumer=12\n",
		S("MSG x.y 12 2\r\nhi\r\n"), C("UNSUB 12\r\n"));
}

/* Without its first letters it is another line. */
static void begun_inside_of_a_verb(void)
{
	EXPECT_MIDDLE("1 RECEIVE channel ex=b consumer=1 size=2 body=hi\n"
		      "2 SETTLE channel ex=b consumer=1 ref=1 auto\n"
		      "3 SEND channel ex=b size=2 body=hi\n",
		S("MSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nMSG b 1 2\r\nhi\r\n"),
		C("SUB 2 5\r\nPUB b 2\r\nhi\r\n"));
	EXPECT_MIDDLE("1 SEND channel ex=b size=2 body=hi\n",
		C("PUB a 22 33\r\nNATS/1.0\r\nA: bcdef\r\n\r\nHello world\r\nPUB b 2\r\nhi\r\n"));
}

static void servers_among_themselves(void)
{
	EXPECT("PARSE_UNREAD\n", INFO,
		C("CONNECT "
		  "{\"echo\":false,\"verbose\":false,\"user\":\"r\",\"name\":\"N2\",\"cluster\":\"c\"}\r\n"
		  "INFO {\"server_id\":\"N2\"}\r\nRS+ $G a\r\nRMSG $G a 2\r\nhi\r\n"),
		S("RMSG $G a 5\r\nhello\r\n"));
	EXPECT("PARSE_UNREAD\n", S("INFO {\"server_id\":\"N1\",\"leafnode_urls\":[]}\r\n"),
		C("LS+ foo\r\nLMSG foo 2\r\nhi\r\nPUB a 1\r\nx\r\n"));
	/* Begun in the middle: what stands in the place of a client's own number tells it. */
	EXPECT_MIDDLE("PARSE_UNREAD\n", S("HMSG $G a.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"));
	EXPECT_MIDDLE("PARSE_UNREAD\n", S("RS+ $G a\r\nRMSG $G a.b 2\r\nhi\r\n"));
}

static void tls_after_info(void)
{
	EXPECT("PARSE_ERROR\n", INFO, C("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"));
}

static void something_else(void)
{
	EXPECT("PARSE_ERROR\n", C("GET / HTTP/1.1\r\n\r\n"));
}

int main(void)
{
	RUN(publish_and_deliver);
	RUN(as_the_server_accepts_it);
	RUN(clusters);
	RUN(any_bytes);
	RUN(headers);
	RUN(no_responders);
	RUN(unsubscribed_at_max);
	RUN(verbose);
	RUN(too_large);
	RUN(secrets);
	RUN(secrets_behind_a_hole);
	RUN(sizes_lie);
	RUN(large_payloads);
	RUN(holes);
	RUN(from_the_middle);
	RUN(begun_inside_of_a_verb);
	RUN(servers_among_themselves);
	RUN(tls_after_info);
	RUN(something_else);
	return test_end();
}
