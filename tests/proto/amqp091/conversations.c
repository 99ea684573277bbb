/* Whole conversations, byte for byte, against the operations that they stand for. */
#include "wire.h"

/* Consumes @t. */
static void check(struct talk *t, const char *want)
{
	talk_expect(&proto_amqp091, t, want);
}

#define LOGIN "1 LOGIN vhost=shop text=guest\n"

static void login_and_close(void)
{
	struct talk t = {0};

	handshake(&t, 131072);
	frame(client(&t), 8, 0, SPAN_EMPTY);
	frame(server(&t), 8, 0, SPAN_EMPTY);
	method(server(&t), 0, 10, 60, "s", "low on memory");
	method(server(&t), 0, 10, 61, "");
	method(client(&t), 0, 10, 70, "Ss", "hunter2", "rotated");
	method(server(&t), 0, 10, 71, "");
	method(client(&t), 0, 10, 50, "hshh", 200, "bye", 0, 0);
	method(server(&t), 0, 10, 51, "");
	check(&t, LOGIN);
}

/* RabbitMQ's AMQPLAIN and a challenge-response mechanism; then the broker refuses. */
static void login_refused(void)
{
	struct talk t = {0};
	struct buf table = {0};
	char text[64];

	buf_put(client(&t), "AMQP\0\0\11\1", 8);
	method(server(&t), 0, 10, 10, "ooTSS", 0, 9, SPAN_EMPTY, "PLAIN AMQPLAIN", "en_US");
	entry_str(&table, "PASSWORD", "hunter2");
	entry_str(&table, "LOGIN", "jane");
	snprintf(text, sizeof(text), SPAN_FMT, SPAN_ARG(buf_span(&table)));
	{
		struct buf p = {0};

		be(&p, 10, 2);
		be(&p, 11, 2);
		be(&p, 0, 4);
		shortstr(&p, "AMQPLAIN");
		longstr(&p, buf_span(&table));
		shortstr(&p, "en_US");
		frame(client(&t), 1, 0, buf_span(&p));
		buf_free(&p);
	}
	method(server(&t), 0, 10, 20, "S", "challenge");
	method(client(&t), 0, 10, 21, "S", "hunter2");
	method(server(&t), 0, 10, 50, "hshh", 403, "ACCESS_REFUSED - Login was refused", 0, 0);
	method(client(&t), 0, 10, 51, "");
	buf_free(&table);
	check(&t, "1 ERROR code=403 text=ACCESS_REFUSED - Login was refused\n");
}

static void amqplain_user(void)
{
	struct talk t = {0};
	struct buf table = {0}, p = {0};

	buf_put(client(&t), "AMQP\0\0\11\1", 8);
	entry_str(&table, "LOGIN", "jane");
	entry_str(&table, "PASSWORD", "hunter2");
	be(&p, 10, 2);
	be(&p, 11, 2);
	be(&p, 0, 4);
	shortstr(&p, "AMQPLAIN");
	longstr(&p, buf_span(&table));
	shortstr(&p, "en_US");
	frame(client(&t), 1, 0, buf_span(&p));
	method(client(&t), 0, 10, 40, "ssb", "/", "", 0);
	method(server(&t), 0, 10, 41, "s", "");
	buf_free(&table);
	buf_free(&p);
	check(&t, "1 LOGIN vhost=/ text=jane\n");
}

static void publish_bodies(void)
{
	struct talk t = {0};
	struct buf b = {0};
	char expected[512];

	for (int i = 0; i < 3000; i++)
		buf_putc(&b, (char)('a' + i % 26));
	snprintf(expected, sizeof(expected),
		LOGIN "2 SEND ch=1 vhost=shop ex=orders key=order.created size=11 body={\"id\":4711}\n"
		      "3 SEND ch=1 vhost=shop key=q\n"
		      "4 SEND ch=1 vhost=shop ex=big key=k size=300 body=300:%016llx\n",
		(unsigned long long)hash64(b.p, 300, 0));
	handshake(&t, 4096);
	publish(client(&t), 1, "orders", "order.created", 0, "{\"id\":4711}");
	publish(client(&t), 1, "", "q", 0, "");
	method(client(&t), 1, 60, 40, "hssb", 0, "big", "k", 0);
	content(client(&t), 1, SPAN_EMPTY, span_sub(buf_span(&b), 0, 300), 100);
	buf_free(&b);
	check(&t, expected);
}

static void payload_limited(void)
{
	struct talk t = {0};

	handshake(&t, 4096);
	publish(client(&t), 1, "x", "fits", 0, "12345678");
	publish(client(&t), 1, "x", "one", 0, "123456789");
	method(client(&t), 1, 60, 40, "hssb", 0, "x", "many", 0);
	content(client(&t), 1, SPAN_EMPTY, SPAN_LIT("123456789abcdef"), 3);
	method(client(&t), 1, 60, 40, "hssb", 0, "x", "even", 0);
	content(client(&t), 1, SPAN_EMPTY, SPAN_LIT("123456789abc"), 4);
	payload_limit = 8;
	check(&t, LOGIN "2 SEND ch=1 vhost=shop ex=x key=fits size=8 body=12345678\n"
			"3 SEND ch=1 vhost=shop ex=x key=one truncated size=9 body=12345678\n"
			"4 SEND ch=1 vhost=shop ex=x key=many truncated size=15 body=12345678\n"
			"5 SEND ch=1 vhost=shop ex=x key=even truncated size=12 body=12345678\n");
	payload_limit = 0;
}

/* Bodies of two channels in turns, and a delivery on one of them meanwhile. */
static void channels_interleaved(void)
{
	struct talk t = {0};
	struct buf one = {0}, two = {0};
	size_t a, b;

	handshake(&t, 4096);
	method(client(&t), 2, 20, 10, "s", "");
	method(&one, 1, 60, 40, "hssb", 0, "x", "one", 0);
	content(&one, 1, SPAN_EMPTY, SPAN_LIT("aaaabbbbcc"), 4);
	method(&two, 2, 60, 40, "hssb", 0, "x", "two", 0);
	content(&two, 2, SPAN_EMPTY, SPAN_LIT("ddddeeee"), 4);
	/* Method and header, then the bodies frame by frame: 12 bytes each but the last of channel 1. */
	a = one.n - 12 - 12 - 10;
	b = two.n - 12 - 12;
	buf_put(client(&t), one.p, a);
	buf_put(client(&t), two.p, b);
	buf_put(client(&t), one.p + a, 12);
	buf_put(client(&t), two.p + b, 12);
	deliver(server(&t), 1, "c", 1, 0, "y", "k", "delivered");
	buf_put(client(&t), one.p + a + 12, 12);
	frame(client(&t), 8, 0, SPAN_EMPTY);
	buf_put(client(&t), two.p + b + 12, 12);
	buf_put(client(&t), one.p + a + 24, 10);
	buf_free(&one);
	buf_free(&two);
	check(&t, LOGIN "2 RECEIVE ch=1 vhost=shop ex=y key=k consumer=c tag=1 size=9 body=delivered\n"
			"3 SEND ch=2 vhost=shop ex=x key=two size=8 body=ddddeeee\n"
			"4 SEND ch=1 vhost=shop ex=x key=one size=10 body=aaaabbbbcc\n");
}

static void topology(void)
{
	struct talk t = {0};
	struct buf args = {0};

	handshake(&t, 131072);
	entry_str(&args, "x-dead-letter-exchange", "dlx");
	entry(&args, "x-message-ttl", 'I');
	be(&args, 60000, 4);
	method(client(&t), 1, 40, 10, "hssbT", 0, "orders", "topic", 0x02, SPAN_EMPTY);
	/* Nothing has taken effect yet. */
	method(client(&t), 1, 50, 10, "hsbT", 0, "billing", 0x02, buf_span(&args));
	method(client(&t), 1, 50, 20, "hsssbT", 0, "billing", "orders", "order.#", 0, SPAN_EMPTY);
	method(server(&t), 1, 40, 11, "");
	method(server(&t), 1, 50, 11, "sll", "billing", 0, 0);
	method(server(&t), 1, 50, 21, "");
	/* At once. */
	method(client(&t), 1, 40, 10, "hssbT", 0, "all", "fanout", 0x1e, SPAN_EMPTY);
	method(client(&t), 1, 40, 30, "hsssbT", 0, "all", "orders", "#", 1, SPAN_EMPTY);
	method(client(&t), 1, 40, 40, "hsssbT", 0, "all", "orders", "#", 0, SPAN_EMPTY);
	method(server(&t), 1, 40, 51, "");
	/* A name that the broker makes up, then meant by the empty one; both empty: key, too. */
	method(client(&t), 1, 50, 10, "hsbT", 0, "", 0x0c, SPAN_EMPTY);
	method(client(&t), 1, 50, 20, "hsssbT", 0, "", "orders", "", 0, SPAN_EMPTY);
	method(client(&t), 1, 50, 20, "hsssbT", 0, "", "orders", "k", 1, SPAN_EMPTY);
	method(client(&t), 1, 50, 50, "hsssT", 0, "", "orders", "k", SPAN_EMPTY);
	method(server(&t), 1, 50, 11, "sll", "amq.gen-1", 0, 0);
	method(server(&t), 1, 50, 21, "");
	method(server(&t), 1, 50, 51, "");
	method(client(&t), 1, 50, 10, "hsbT", 0, "billing", 0x01, SPAN_EMPTY);
	method(server(&t), 1, 50, 11, "sll", "billing", 7, 1);
	method(client(&t), 1, 50, 30, "hsb", 0, "billing", 0);
	method(server(&t), 1, 50, 31, "l", 7);
	method(client(&t), 1, 50, 40, "hsb", 0, "billing", 0);
	method(client(&t), 1, 40, 20, "hsb", 0, "orders", 0);
	method(server(&t), 1, 50, 41, "l", 0);
	method(server(&t), 1, 40, 21, "");
	buf_free(&args);
	check(&t, LOGIN "2 XDECLARE ch=1 vhost=shop ex=orders type=topic durable\n"
			"3 QDECLARE ch=1 vhost=shop q=billing durable {x-dead-letter-exchange=dlx} "
			"{x-message-ttl=60000}\n"
			"4 QBIND ch=1 vhost=shop ex=orders key=order.# q=billing\n"
			"5 XDECLARE ch=1 vhost=shop ex=all type=fanout durable auto-delete internal\n"
			"6 XBIND ch=1 vhost=shop ex=orders key=# q=all\n"
			"7 XUNBIND ch=1 vhost=shop ex=orders key=# q=all\n"
			"8 QDECLARE ch=1 vhost=shop q=amq.gen-1 exclusive auto-delete\n"
			"9 QBIND ch=1 vhost=shop ex=orders key=amq.gen-1 q=amq.gen-1\n"
			"10 QBIND ch=1 vhost=shop ex=orders key=k q=amq.gen-1\n"
			"11 QUNBIND ch=1 vhost=shop ex=orders key=k q=amq.gen-1\n"
			"12 QDECLARE ch=1 vhost=shop q=billing passive\n"
			"13 QPURGE ch=1 vhost=shop q=billing\n"
			"14 QDELETE ch=1 vhost=shop q=billing\n"
			"15 XDELETE ch=1 vhost=shop ex=orders\n");
}

/* A refused declare closes the channel: what was asked behind it never took effect. */
static void refused_declare(void)
{
	struct talk t = {0};

	handshake(&t, 131072);
	method(client(&t), 1, 50, 10, "hsbT", 0, "q", 0x02, SPAN_EMPTY);
	method(client(&t), 1, 50, 20, "hsssbT", 0, "q", "x", "k", 1, SPAN_EMPTY);
	publish(client(&t), 1, "x", "before", 0, "1");
	method(server(&t), 1, 20, 40, "hshh", 406, "PRECONDITION_FAILED", 50, 10);
	publish(client(&t), 1, "x", "after", 0, "2");
	ack(client(&t), 1, 1, 0);
	method(client(&t), 1, 20, 41, "");
	method(client(&t), 1, 20, 10, "s", "");
	method(server(&t), 1, 20, 11, "S", "");
	publish(client(&t), 1, "x", "again", 0, "3");
	check(&t, LOGIN "2 SEND ch=1 vhost=shop ex=x key=before size=1 body=1\n"
			"3 ERROR ch=1 vhost=shop code=406 text=PRECONDITION_FAILED\n"
			"4 SEND ch=1 vhost=shop ex=x key=after size=1 body=2\n"
			"5 CONFIRM ch=1 vhost=shop ref=4 negative\n"
			"6 SEND ch=1 vhost=shop ex=x key=again size=1 body=3\n");
}

static void consume(struct talk *t, int ch, const char *queue, const char *tag, int bits)
{
	method(client(t), ch, 60, 20, "hssbT", 0, queue, tag, bits, SPAN_EMPTY);
	method(server(t), ch, 60, 21, "s", tag);
}

static void deliveries_settled(void)
{
	struct talk t = {0};

	handshake(&t, 131072);
	method(client(&t), 1, 60, 10, "lhb", 0, 10, 0);
	method(server(&t), 1, 60, 11, "");
	consume(&t, 1, "billing", "c1", 0);
	consume(&t, 1, "audit", "c2", 0x02 | 0x04);
	for (uint64_t tag = 1; tag <= 9; tag++)
		deliver(server(&t), 1, "c1", tag, tag == 1, "orders", "k", "m");
	deliver(server(&t), 1, "c2", 10, 0, "orders", "k", "a");
	ack(client(&t), 1, 2, 0);
	method(client(&t), 1, 60, 90, "Lb", (uint64_t)1, 0);
	method(client(&t), 1, 60, 90, "Lb", (uint64_t)3, 1);
	ack(client(&t), 1, 5, 1);
	method(client(&t), 1, 60, 120, "Lb", (uint64_t)6, 0x02);
	method(client(&t), 1, 60, 120, "Lb", (uint64_t)7, 0x01);
	ack(client(&t), 1, 77, 0);
	ack(client(&t), 1, 0, 1);
	check(&t,
		LOGIN "2 SUBSCRIBE ch=1 vhost=shop q=billing consumer=c1 code=10\n"
		      "3 SUBSCRIBE ch=1 vhost=shop q=audit consumer=c2 code=10 no-ack exclusive\n"
		      "4 RECEIVE ch=1 vhost=shop ex=orders key=k q=billing consumer=c1 tag=1 redelivered "
		      "size=1 body=m\n"
		      "5 RECEIVE ch=1 vhost=shop ex=orders key=k q=billing consumer=c1 tag=2 size=1 body=m\n"
		      "6 RECEIVE ch=1 vhost=shop ex=orders key=k q=billing consumer=c1 tag=3 size=1 body=m\n"
		      "7 RECEIVE ch=1 vhost=shop ex=orders key=k q=billing consumer=c1 tag=4 size=1 body=m\n"
		      "8 RECEIVE ch=1 vhost=shop ex=orders key=k q=billing consumer=c1 tag=5 size=1 body=m\n"
		      "9 RECEIVE ch=1 vhost=shop ex=orders key=k q=billing consumer=c1 tag=6 size=1 body=m\n"
		      "10 RECEIVE ch=1 vhost=shop ex=orders key=k q=billing consumer=c1 tag=7 size=1 body=m\n"
		      "11 RECEIVE ch=1 vhost=shop ex=orders key=k q=billing consumer=c1 tag=8 size=1 body=m\n"
		      "12 RECEIVE ch=1 vhost=shop ex=orders key=k q=billing consumer=c1 tag=9 size=1 body=m\n"
		      "13 RECEIVE ch=1 vhost=shop ex=orders key=k q=audit consumer=c2 tag=10 no-ack size=1 "
		      "body=a\n"
		      "14 SETTLE ch=1 vhost=shop tag=10 ref=13 auto\n"
		      "15 SETTLE ch=1 vhost=shop tag=2 ref=5 ack\n"
		      "16 SETTLE ch=1 vhost=shop tag=1 ref=4 reject\n"
		      "17 SETTLE ch=1 vhost=shop tag=3 ref=6 requeue\n"
		      "18 SETTLE ch=1 vhost=shop tag=4 ref=7 ack many\n"
		      "19 SETTLE ch=1 vhost=shop tag=5 ref=8 ack many\n"
		      "20 SETTLE ch=1 vhost=shop tag=6 ref=9 requeue\n"
		      "21 SETTLE ch=1 vhost=shop tag=7 ref=10 reject many\n"
		      "22 SETTLE ch=1 vhost=shop tag=77 ack\n"
		      "23 SETTLE ch=1 vhost=shop tag=8 ref=11 ack many\n"
		      "24 SETTLE ch=1 vhost=shop tag=9 ref=12 ack many\n");
}

static void recover_and_cancel(void)
{
	struct talk t = {0};

	handshake(&t, 131072);
	consume(&t, 1, "q", "c", 0);
	deliver(server(&t), 1, "c", 1, 0, "", "q", "m");
	method(client(&t), 1, 60, 110, "b", 1);
	method(server(&t), 1, 60, 111, "");
	deliver(server(&t), 1, "c", 2, 1, "", "q", "m");
	method(client(&t), 1, 60, 100, "b", 1);
	deliver(server(&t), 1, "c", 3, 1, "", "q", "m");
	method(client(&t), 1, 60, 30, "sb", "c", 0);
	method(server(&t), 1, 60, 31, "s", "c");
	consume(&t, 1, "q2", "d", 0);
	method(server(&t), 1, 60, 30, "sb", "d", 1);
	/* Server-named consumer, and one without an answer. */
	method(client(&t), 1, 60, 20, "hssbT", 0, "q3", "", 0, SPAN_EMPTY);
	method(server(&t), 1, 60, 21, "s", "amq.ctag-1");
	method(client(&t), 1, 60, 20, "hssbT", 0, "q4", "e", 0x08, SPAN_EMPTY);
	method(client(&t), 1, 60, 30, "sb", "e", 1);
	ack(client(&t), 1, 3, 0);
	check(&t, LOGIN "2 SUBSCRIBE ch=1 vhost=shop q=q consumer=c\n"
			"3 RECEIVE ch=1 vhost=shop key=q q=q consumer=c tag=1 size=1 body=m\n"
			"4 SETTLE ch=1 vhost=shop tag=1 ref=3 requeue many\n"
			"5 RECEIVE ch=1 vhost=shop key=q q=q consumer=c tag=2 redelivered size=1 body=m\n"
			"6 SETTLE ch=1 vhost=shop tag=2 ref=5 requeue many\n"
			"7 RECEIVE ch=1 vhost=shop key=q q=q consumer=c tag=3 redelivered size=1 body=m\n"
			"8 UNSUBSCRIBE ch=1 vhost=shop q=q consumer=c\n"
			"9 SUBSCRIBE ch=1 vhost=shop q=q2 consumer=d\n"
			"10 UNSUBSCRIBE ch=1 vhost=shop q=q2 consumer=d by-broker\n"
			"11 SUBSCRIBE ch=1 vhost=shop q=q3 consumer=amq.ctag-1\n"
			"12 SUBSCRIBE ch=1 vhost=shop q=q4 consumer=e\n"
			"13 UNSUBSCRIBE ch=1 vhost=shop q=q4 consumer=e\n"
			"14 SETTLE ch=1 vhost=shop tag=3 ref=7 ack\n");
}

static void gets(void)
{
	struct talk t = {0};

	handshake(&t, 131072);
	method(client(&t), 1, 60, 70, "hsb", 0, "one", 0);
	method(client(&t), 1, 60, 70, "hsb", 0, "two", 0);
	method(client(&t), 1, 60, 70, "hsb", 0, "three", 1);
	method(server(&t), 1, 60, 71, "Lbssl", (uint64_t)1, 1, "x", "k", 5);
	content(server(&t), 1, SPAN_EMPTY, SPAN_LIT("first"), 100);
	method(server(&t), 1, 60, 72, "s", "");
	method(server(&t), 1, 60, 71, "Lbssl", (uint64_t)2, 0, "x", "k", 0);
	content(server(&t), 1, SPAN_EMPTY, SPAN_LIT("third"), 100);
	ack(client(&t), 1, 1, 0);
	check(&t, LOGIN
		"2 RECEIVE ch=1 vhost=shop ex=x key=k q=one tag=1 redelivered pulled size=5 body=first\n"
		"3 RECEIVE ch=1 vhost=shop ex=x key=k q=three tag=2 no-ack pulled size=5 body=third\n"
		"4 SETTLE ch=1 vhost=shop tag=2 ref=3 auto\n"
		"5 SETTLE ch=1 vhost=shop tag=1 ref=2 ack\n");
}

static void confirms_and_returns(void)
{
	struct talk t = {0};

	handshake(&t, 131072);
	publish(client(&t), 1, "x", "unnumbered", 0, "0");
	method(client(&t), 1, 85, 10, "b", 0);
	publish(client(&t), 1, "x", "a", 0, "1"); /* pipelined: number 1 */
	method(server(&t), 1, 85, 11, "");
	publish(client(&t), 1, "x", "b", 0, "2");
	publish(client(&t), 1, "x", "c", 0, "3");
	publish(client(&t), 1, "x", "gone", 1, "4");
	publish(client(&t), 1, "x", "gone", 1, "4");
	publish(client(&t), 1, "x", "gone", 1, "different");
	ack(server(&t), 1, 2, 0);
	method(server(&t), 1, 60, 50, "hsss", 312, "NO_ROUTE", "x", "gone");
	content(server(&t), 1, SPAN_EMPTY, SPAN_LIT("different"), 100);
	method(server(&t), 1, 60, 50, "hsss", 312, "NO_ROUTE", "x", "gone");
	content(server(&t), 1, SPAN_EMPTY, SPAN_LIT("4"), 100);
	method(server(&t), 1, 60, 120, "Lb", (uint64_t)4, 0x01);
	ack(server(&t), 1, 0, 1);
	publish(client(&t), 1, "x", "d", 0, "7");
	ack(server(&t), 1, 7, 1);
	check(&t, LOGIN "2 SEND ch=1 vhost=shop ex=x key=unnumbered size=1 body=0\n"
			"3 SEND ch=1 vhost=shop ex=x key=a tag=1 size=1 body=1\n"
			"4 SEND ch=1 vhost=shop ex=x key=b tag=2 size=1 body=2\n"
			"5 SEND ch=1 vhost=shop ex=x key=c tag=3 size=1 body=3\n"
			"6 SEND ch=1 vhost=shop ex=x key=gone tag=4 mandatory size=1 body=4\n"
			"7 SEND ch=1 vhost=shop ex=x key=gone tag=5 mandatory size=1 body=4\n"
			"8 SEND ch=1 vhost=shop ex=x key=gone tag=6 mandatory size=9 body=different\n"
			"9 CONFIRM ch=1 vhost=shop tag=2 ref=4\n"
			"10 RETURN ch=1 vhost=shop ex=x key=gone ref=8 code=312 text=NO_ROUTE size=9 "
			"body=different\n"
			"11 RETURN ch=1 vhost=shop ex=x key=gone ref=6 code=312 text=NO_ROUTE size=1 body=4\n"
			"12 CONFIRM ch=1 vhost=shop tag=1 ref=3 negative many\n"
			"13 CONFIRM ch=1 vhost=shop tag=3 ref=5 negative many\n"
			"14 CONFIRM ch=1 vhost=shop tag=4 ref=6 negative many\n"
			"15 CONFIRM ch=1 vhost=shop tag=5 ref=7 many\n"
			"16 CONFIRM ch=1 vhost=shop tag=6 ref=8 many\n"
			"17 SEND ch=1 vhost=shop ex=x key=d tag=7 size=1 body=7\n"
			"18 CONFIRM ch=1 vhost=shop tag=7 ref=17 many\n");
}

static void transactions(void)
{
	struct talk t = {0};

	handshake(&t, 131072);
	consume(&t, 1, "q", "c", 0);
	method(client(&t), 1, 90, 10, "");
	method(server(&t), 1, 90, 11, "");
	for (uint64_t tag = 1; tag <= 4; tag++)
		deliver(server(&t), 1, "c", tag, 0, "", "q", "m");
	publish(client(&t), 1, "x", "a", 0, "1");
	ack(client(&t), 1, 1, 0);
	method(client(&t), 1, 60, 90, "Lb", (uint64_t)2, 0);
	method(client(&t), 1, 90, 20, "");
	publish(client(&t), 1, "x", "b", 0, "2"); /* of the next transaction */
	ack(client(&t), 1, 4, 1);
	method(server(&t), 1, 90, 21, "");
	method(client(&t), 1, 90, 30, "");
	method(server(&t), 1, 90, 31, "");
	ack(client(&t), 1, 3, 0);
	method(client(&t), 1, 90, 20, "");
	method(server(&t), 1, 90, 21, "");
	publish(client(&t), 1, "x", "c", 0, "3");
	method(client(&t), 1, 20, 40, "hshh", 200, "done", 0, 0);
	method(server(&t), 1, 20, 41, "");
	check(&t, LOGIN "2 SUBSCRIBE ch=1 vhost=shop q=q consumer=c\n"
			"3 RECEIVE ch=1 vhost=shop key=q q=q consumer=c tag=1 size=1 body=m\n"
			"4 RECEIVE ch=1 vhost=shop key=q q=q consumer=c tag=2 size=1 body=m\n"
			"5 RECEIVE ch=1 vhost=shop key=q q=q consumer=c tag=3 size=1 body=m\n"
			"6 RECEIVE ch=1 vhost=shop key=q q=q consumer=c tag=4 size=1 body=m\n"
			"7 SEND ch=1 vhost=shop ex=x key=a tx size=1 body=1\n"
			"8 SEND ch=1 vhost=shop ex=x key=b tx size=1 body=2\n"
			"9 SETTLE ch=1 vhost=shop tag=1 ref=3 ack tx\n"
			"10 SETTLE ch=1 vhost=shop tag=2 ref=4 reject tx\n"
			"11 CONFIRM ch=1 vhost=shop ref=7 tx\n"
			"12 CONFIRM ch=1 vhost=shop ref=8 negative tx\n"
			"13 SETTLE ch=1 vhost=shop tag=3 ref=5 ack tx\n"
			"14 SEND ch=1 vhost=shop ex=x key=c tx size=1 body=3\n"
			"15 SETTLE ch=1 vhost=shop tag=4 ref=6 lost\n"
			"16 CONFIRM ch=1 vhost=shop ref=14 negative tx\n");
}

static void connection_lost(void)
{
	struct talk t = {0};

	handshake(&t, 131072);
	consume(&t, 1, "q", "c", 0);
	consume(&t, 1, "auto", "n", 0x02);
	deliver(server(&t), 1, "c", 1, 0, "", "q", "m");
	deliver(server(&t), 1, "n", 2, 0, "", "auto", "m");
	deliver(server(&t), 1, "c", 3, 0, "", "q", "m");
	method(client(&t), 1, 60, 40, "hssb", 0, "x", "half", 0); /* dies while publishing */
	check(&t, LOGIN "2 SUBSCRIBE ch=1 vhost=shop q=q consumer=c\n"
			"3 SUBSCRIBE ch=1 vhost=shop q=auto consumer=n no-ack\n"
			"4 RECEIVE ch=1 vhost=shop key=q q=q consumer=c tag=1 size=1 body=m\n"
			"5 RECEIVE ch=1 vhost=shop key=auto q=auto consumer=n tag=2 no-ack size=1 body=m\n"
			"6 SETTLE ch=1 vhost=shop tag=2 ref=5 auto\n"
			"7 RECEIVE ch=1 vhost=shop key=q q=q consumer=c tag=3 size=1 body=m\n"
			"8 SETTLE ch=1 vhost=shop tag=1 ref=4 lost\n"
			"9 SETTLE ch=1 vhost=shop tag=3 ref=7 lost\n");
}

static void connection_closed_by_broker(void)
{
	struct talk t = {0};

	handshake(&t, 131072);
	method(client(&t), 7, 20, 10, "s", "");
	consume(&t, 7, "q", "c", 0);
	deliver(server(&t), 7, "c", 1, 0, "", "q", "m");
	method(server(&t), 0, 10, 50, "hshh", 320, "CONNECTION_FORCED", 0, 0);
	method(client(&t), 0, 10, 51, "");
	check(&t, LOGIN "2 SUBSCRIBE ch=7 vhost=shop q=q consumer=c\n"
			"3 RECEIVE ch=7 vhost=shop key=q q=q consumer=c tag=1 size=1 body=m\n"
			"4 ERROR vhost=shop code=320 text=CONNECTION_FORCED\n"
			"5 SETTLE ch=7 vhost=shop tag=1 ref=3 lost\n");
}

/* --- from the middle --- */

static void middle_of_connection(void)
{
	struct talk t = {0};

	from_start = false;
	/* Old consumers: one whose queue shows, one whose queue does not, one that turns out not to settle.
	 */
	deliver(server(&t), 1, "old", 41, 0, "orders", "k", "m");
	deliver(server(&t), 1, "direct", 42, 0, "", "billing", "n");
	deliver(server(&t), 1, "direct", 43, 0, "orders", "k", "o");
	ack(client(&t), 1, 40, 0); /* delivered before we came */
	ack(client(&t), 1, 42, 0);
	/* No effect can be claimed for answers to what was asked before. */
	method(server(&t), 1, 50, 21, "");
	method(client(&t), 1, 50, 20, "hsssbT", 0, "", "x", "k", 0, SPAN_EMPTY);
	method(server(&t), 1, 50, 21, "");
	method(client(&t), 1, 20, 40, "hshh", 200, "done", 0, 0);
	method(server(&t), 1, 20, 41, "");
	check(&t, "1 RECEIVE ch=1 ex=orders key=k consumer=old tag=41 size=1 body=m\n"
		  "2 RECEIVE ch=1 key=billing q=billing consumer=direct tag=42 size=1 body=n\n"
		  "3 RECEIVE ch=1 ex=orders key=k q=billing consumer=direct tag=43 size=1 body=o\n"
		  "4 SETTLE ch=1 tag=40 ack\n"
		  "5 SETTLE ch=1 tag=42 ref=2 ack\n"
		  "6 QBIND ch=1 ex=x key=k\n"
		  "7 SETTLE ch=1 tag=43 ref=3 lost\n");
	from_start = true;
}

static void middle_confirms(void)
{
	struct talk t = {0};

	from_start = false;
	publish(client(&t), 1, "x", "k", 0, "a");
	ack(server(&t), 1, 99, 0); /* of one we did not see, or not: cannot be told */
	publish(client(&t), 1, "x", "k", 0, "b");
	ack(server(&t), 1, 101, 0);
	publish(client(&t), 1, "x", "k", 0, "c");
	method(server(&t), 1, 60, 120, "Lb", (uint64_t)102, 0);
	publish(client(&t), 1, "x", "k", 0, "d");
	ack(server(&t), 1, 103, 0);
	publish(client(&t), 1, "x", "k", 0, "e");
	ack(server(&t), 1, 104, 0); /* the fourth round in a row: known from here */
	publish(client(&t), 1, "x", "k", 0, "f");
	publish(client(&t), 1, "x", "k", 0, "g");
	ack(server(&t), 1, 106, 1);
	ack(server(&t), 1, 200, 0); /* cannot be: the base was wrong */
	publish(client(&t), 1, "x", "k", 0, "h");
	check(&t, "1 SEND ch=1 ex=x key=k size=1 body=a\n"
		  "2 CONFIRM ch=1 tag=99\n"
		  "3 SEND ch=1 ex=x key=k size=1 body=b\n"
		  "4 CONFIRM ch=1 tag=101\n"
		  "5 SEND ch=1 ex=x key=k size=1 body=c\n"
		  "6 CONFIRM ch=1 tag=102 negative\n"
		  "7 SEND ch=1 ex=x key=k size=1 body=d\n"
		  "8 CONFIRM ch=1 tag=103\n"
		  "9 SEND ch=1 ex=x key=k size=1 body=e\n"
		  "10 CONFIRM ch=1 tag=101 ref=3\n"
		  "11 CONFIRM ch=1 tag=102 ref=5 negative\n"
		  "12 CONFIRM ch=1 tag=103 ref=7\n"
		  "13 CONFIRM ch=1 tag=104 ref=9\n"
		  "14 SEND ch=1 ex=x key=k tag=105 size=1 body=f\n"
		  "15 SEND ch=1 ex=x key=k tag=106 size=1 body=g\n"
		  "16 CONFIRM ch=1 tag=100 ref=1 many\n"
		  "17 CONFIRM ch=1 tag=105 ref=14 many\n"
		  "18 CONFIRM ch=1 tag=106 ref=15 many\n"
		  "19 CONFIRM ch=1 tag=200\n"
		  "20 SEND ch=1 ex=x key=k size=1 body=h\n");
	from_start = true;
}

int main(void)
{
	RUN(login_and_close);
	RUN(login_refused);
	RUN(amqplain_user);
	RUN(publish_bodies);
	RUN(payload_limited);
	RUN(channels_interleaved);
	RUN(topology);
	RUN(refused_declare);
	RUN(deliveries_settled);
	RUN(recover_and_cancel);
	RUN(gets);
	RUN(confirms_and_returns);
	RUN(transactions);
	RUN(connection_lost);
	RUN(connection_closed_by_broker);
	RUN(middle_of_connection);
	RUN(middle_confirms);
	return test_end();
}
