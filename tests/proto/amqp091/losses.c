/*
 * Beginning in the middle, holes, and peers that lie. What must hold everywhere: an operation that is not
 * marked as damaged is one that really happened, and the decoder finds back.
 */
#include "proto/feed.h"
#include "wire.h"
#include "test.h"

/* --- probe --- */

static enum probe_result probe(struct buf *to_server, struct buf *to_client, bool from_start)
{
	return proto_amqp091.probe(buf_span(to_server), buf_span(to_client), from_start);
}

static enum probe_result probe_text(const char *text, size_t n)
{
	return proto_amqp091.probe(span_of(text, n), SPAN_EMPTY, true);
}

static void probe_first_bytes(void)
{
	struct buf b = {0}, none = {0};

	CHECK_EQ(probe_text("", 0), PROBE_MORE);
	CHECK_EQ(probe_text("AMQ", 3), PROBE_MORE);
	CHECK_EQ(probe_text("AMQP\0\0\11", 7), PROBE_MORE);
	CHECK_EQ(probe_text("AMQP\0\0\11\1", 8), PROBE_YES);
	CHECK_EQ(probe_text("AMQP\1\1\0\11", 8), PROBE_YES);           /* 0-9 */
	CHECK_EQ(probe_text("AMQP\0\1\0\0", 8), PROBE_NO);             /* 1.0 */
	CHECK_EQ(probe_text("AMQP\3\1\0\0", 8), PROBE_NO);             /* 1.0 with SASL */
	CHECK_EQ(probe_text("AMQP\1\1\0\12", 8), PROBE_NO);            /* 0-10 */
	CHECK_EQ(probe_text("\x16\x03\x01\x02\x00\x01", 6), PROBE_NO); /* TLS */
	CHECK_EQ(probe_text("GET / HTTP/1.1\r\n", 16), PROBE_NO);
	buf_put(&b, "AMQP\0\0\11\1", 8);
	CHECK_EQ(probe(&none, &b, true), PROBE_REVERSED);
	buf_free(&b);
}

static void probe_middle(void)
{
	struct buf c = {0}, s = {0}, none = {0};

	publish(&c, 1, "x", "k", 0, "body");
	CHECK_EQ(probe(&c, &none, false), PROBE_YES);
	CHECK_EQ(probe(&none, &c, false), PROBE_REVERSED);
	deliver(&s, 1, "c", 1, 0, "x", "k", "body");
	CHECK_EQ(probe(&none, &s, false), PROBE_YES);
	CHECK_EQ(probe(&s, &none, false), PROBE_REVERSED);
	CHECK_EQ(probe(&c, &s, false), PROBE_YES);
	CHECK_EQ(probe(&s, &c, false), PROBE_REVERSED);
	/* An ack may come from either side: it says AMQP, not who is who. */
	buf_clear(&c);
	ack(&c, 1, 7, 0);
	CHECK_EQ(probe(&c, &none, false), PROBE_MORE);
	CHECK_EQ(probe(&c, &s, false), PROBE_YES);
	/* So do heartbeats. */
	buf_clear(&c);
	frame(&c, 8, 0, SPAN_EMPTY);
	frame(&c, 8, 0, SPAN_EMPTY);
	CHECK_EQ(probe(&c, &none, false), PROBE_MORE);
	/* Never without structure: one bit in a publish turned, and it is nothing. */
	buf_clear(&c);
	method(&c, 1, 60, 40, "hssb", 0, "exchange", "routing.key", 0);
	for (size_t i = 0; i < c.n; i++) {
		c.p[i] ^= 0x40;
		/* In exchange, key, reserved bits and channel there is no structure to break. */
		if (!(i >= 14 && i < 14 + 8) && !(i >= 23 && i < 23 + 11) && i != 1 && i != 2 && i != 11 &&
			i != 12 && i != c.n - 2)
			CHECK_EQ(probe(&c, &none, false), PROBE_MORE);
		c.p[i] ^= 0x40;
	}
	buf_free(&c);
	buf_free(&s);
}

static void probe_cut(void)
{
	struct buf c = {0}, none = {0};

	publish(&c, 1, "orders", "order.created", 0, "some body");
	for (size_t n = 0; n < c.n; n++) {
		struct buf cut = {.p = c.p, .n = n};
		enum probe_result r = probe(&cut, &none, false);

		CHECK(r == PROBE_YES || r == PROBE_MORE);
		CHECK((r == PROBE_YES) == (n >= 7 + 4 + 2 + 7 + 14 + 1 + 1)); /* the whole method */
	}
	buf_free(&c);
}

/* --- from the middle of everything --- */

#define MESSAGES 25

/* Bodies that hold AMQP: whole frames, half ones, end octets, zeroes. */
static void nasty_body(struct buf *b, int i)
{
	struct buf fake = {0};

	switch (i % 5) {
	case 0:
		publish(&fake, 1, "wrong", "wrong", 0, "wrong");
		buf_puts(b, "before ");
		buf_put_span(b, buf_span(&fake));
		buf_puts(b, " after");
		break;
	case 1:
		method(&fake, 1, 60, 40, "hssb", 0, "wrong", "wrong", 0);
		for (int k = 0; k < 3; k++)
			buf_put_span(b, buf_span(&fake));
		buf_puts(b, "\xce\xce\xce");
		break;
	case 2:
		for (int k = 0; k < 60; k++)
			buf_putc(b, k % 3 ? '\xce' : '\1');
		break;
	case 3:
		for (int k = 0; k < 50; k++)
			buf_putc(b, 0);
		deliver(&fake, 3, "wrong", 1, 0, "wrong", "wrong", "wrong");
		buf_put_span(b, buf_span(&fake));
		break;
	default:
		buf_puts(b, "{\"id\":4711}");
	}
	buf_free(&fake);
}

/* MESSAGES messages on two channels, each way, as their sender puts them; with heartbeats and settlements. */
static void traffic(struct buf *to_server, struct buf *to_client, size_t *starts)
{
	for (int i = 0; i < MESSAGES; i++) {
		struct buf body = {0};
		char key[16];
		int ch = 1 + i % 2;

		snprintf(key, sizeof(key), "real.%d", i);
		nasty_body(&body, i);
		starts[i] = to_server->n;
		method(to_server, ch, 60, 40, "hssb", 0, "real", key, 0);
		content(to_server, ch, SPAN_EMPTY, buf_span(&body), i % 3 ? 1000 : 33);
		if (i % 7 == 3)
			frame(to_server, 8, 0, SPAN_EMPTY);
		if (i % 4 == 1)
			ack(to_server, ch, (uint64_t)i / 2 + 1, 1);
		method(to_client, ch, 60, 60, "sLbss", "c", (uint64_t)i / 2 + 1, 0, "real", key);
		content(to_client, ch, SPAN_EMPTY, buf_span(&body), 50);
		buf_free(&body);
	}
}

/* Every message in the log that is not marked with a gap is one of traffic()'s, whole. Returns how many. */
static int genuine(struct feed *f)
{
	char *copy = strdup(buf_cstr(&f->log)), *save = NULL;
	int n = 0;

	for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		if (!strstr(l, " SEND ") && !strstr(l, " RECEIVE "))
			continue;
		if (strstr(l, " gap"))
			continue;
		if (!strstr(l, "ex=real key=real.") || strstr(l, "key=wrong")) {
			fprintf(stderr, "%s: invented: %s\n", test_name, l);
			test_case_bad = true;
		}
		n++;
	}
	free(copy);
	return n;
}

static void attach_anywhere(enum flowdir d, bool bytewise)
{
	struct buf b[2] = {{0}};
	size_t starts[MESSAGES];

	traffic(&b[TO_SERVER], &b[TO_CLIENT], starts);
	for (size_t at = 0; at < b[d].n && !test_case_bad; at++) {
		struct span s = span_sub(buf_span(&b[d]), at, SIZE_MAX);
		struct feed f;
		int behind = 0, got;

		/* Byte by byte costs the square: at some places only. Not where a body's own AMQP begins:
		 * while no byte behind it is there, nothing tells it from the real thing. */
		if (bytewise && (at % 23 || (s.p[0] == 1 && holds(span_sub(s, 0, 27), "wrong"))))
			continue;
		feed_begin(&f, &proto_amqp091, false, 0);
		f.lost[0] = f.lost[1] = true;
		for (size_t k = 0; k < s.n; k += bytewise ? 1 : s.n)
			feed_bytes(&f, d, bytewise ? span_sub(s, k, 1) : s);
		got = genuine(&f);
		CHECK(!f.bad);
		if (d == TO_SERVER) {
			for (int i = 0; i < MESSAGES; i++)
				behind += starts[i] >= at;
			/* The boundary is found at once: nothing that began behind it is missed. (One message
			 * alone is too little to believe in.) */
			CHECK(got == behind || behind <= 1);
		} else {
			CHECK(got <= MESSAGES);
		}
		feed_end(&f);
		feed_free(&f);
	}
	buf_free(&b[0]);
	buf_free(&b[1]);
}

static void attach_client(void)
{
	attach_anywhere(TO_SERVER, false);
}

static void attach_server(void)
{
	attach_anywhere(TO_CLIENT, false);
}

static void attach_bytewise(void)
{
	attach_anywhere(TO_SERVER, true);
	attach_anywhere(TO_CLIENT, true);
}

/* --- holes --- */

static void holes_anywhere(void)
{
	static const size_t sizes[] = {1, 5, 8, 21, 64, 300};
	struct buf b[2] = {{0}};
	size_t starts[MESSAGES];

	traffic(&b[TO_SERVER], &b[TO_CLIENT], starts);
	for (int d = 0; d < 2; d++)
		for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
			for (size_t at = 0; at + sizes[s] < b[d].n && !test_case_bad; at += d ? 5 : 2) {
				struct span all = buf_span(&b[d]);
				struct feed f;
				int got;

				feed_begin(&f, &proto_amqp091, false, 0);
				f.lost[0] = f.lost[1] = true;
				feed_bytes(&f, (enum flowdir)d, span_sub(all, 0, at));
				feed_gap(&f, (enum flowdir)d, at % 5 ? sizes[s] : 0);
				if (at % 5 == 0)
					f.pos[d] = at + sizes[s];
				feed_bytes(&f, (enum flowdir)d, span_sub(all, at + sizes[s], SIZE_MAX));
				got = genuine(&f);
				CHECK(!f.bad);
				/* A hole hits the messages in it, and up to where the boundary is sure. */
				CHECK(got >= MESSAGES - 3 - (int)sizes[s] / 40 ||
					b[d].n - at - sizes[s] < 400);
				feed_end(&f);
				feed_free(&f);
			}
	buf_free(&b[0]);
	buf_free(&b[1]);
}

/* A hole inside of a body frame: the frame's end is known, publish numbers and other channels are unharmed.
 */
static void hole_in_body(void)
{
	struct talk t = {0};
	struct feed f;
	struct buf big = {0};
	size_t n;

	for (int i = 0; i < 500; i++)
		buf_putc(&big, (char)('a' + i % 26));
	feed_begin(&f, &proto_amqp091, true, 0);
	handshake(&t, 131072);
	method(client(&t), 1, 85, 10, "b", 0);
	method(server(&t), 1, 85, 11, "");
	for (size_t i = 0; i < t.n; i++)
		feed_bytes(&f, t.turn[i].dir, buf_span(&t.turn[i].b));
	talk_free(&t);
	method(client(&t), 1, 60, 40, "hssb", 0, "x", "big", 0);
	content(client(&t), 1, SPAN_EMPTY, buf_span(&big), 200);
	publish(client(&t), 1, "x", "next", 0, "whole");
	n = t.turn[0].b.n;
	/* Method 7+14+1.., header 22, the first body frame 208 bytes: the hole lies in the second. */
	feed_bytes(&f, TO_SERVER, span_of(t.turn[0].b.p, 270));
	feed_gap(&f, TO_SERVER, 60);
	feed_bytes(&f, TO_SERVER, span_of(t.turn[0].b.p + 330, n - 330));
	talk_free(&t);
	ack(server(&t), 1, 2, 1);
	feed_bytes(&f, TO_CLIENT, buf_span(&t.turn[0].b));
	buf_clear(&big);
	for (int i = 0; i < 200; i++)
		buf_putc(&big, (char)('a' + i % 26));
	{
		char want[600];

		snprintf(want, sizeof(want),
			"1 LOGIN vhost=shop text=guest\n"
			"2 SEND ch=1 vhost=shop ex=x key=big tag=1 gap size=500 body=200:%016llx\n"
			"3 SEND ch=1 vhost=shop ex=x key=next tag=2 size=5 body=whole\n"
			"4 CONFIRM ch=1 vhost=shop tag=1 ref=2 many\n"
			"5 CONFIRM ch=1 vhost=shop tag=2 ref=3 many\n",
			(unsigned long long)hash_span(buf_span(&big), 0));
		CHECK_STR(buf_cstr(&f.log), want);
	}
	feed_end(&f);
	feed_free(&f);
	talk_free(&t);
	buf_free(&big);
}

/* After a hole in what the client said, deliveries that were open may have been settled in it. */
static void hole_over_acks(void)
{
	struct talk t = {0};
	struct feed f;

	feed_begin(&f, &proto_amqp091, true, 0);
	handshake(&t, 131072);
	method(client(&t), 1, 60, 20, "hssbT", 0, "q", "c", 0, SPAN_EMPTY);
	method(server(&t), 1, 60, 21, "s", "c");
	for (uint64_t tag = 1; tag <= 4; tag++)
		deliver(server(&t), 1, "c", tag, 0, "", "q", "m");
	for (size_t i = 0; i < t.n; i++)
		feed_bytes(&f, t.turn[i].dir, buf_span(&t.turn[i].b));
	buf_clear(&f.log);
	feed_gap(&f, TO_SERVER, 20);
	talk_free(&t);
	ack(client(&t), 1, 2, 0);
	deliver(server(&t), 1, "c", 5, 0, "", "q", "m");
	ack(client(&t), 1, 3, 1);
	method(server(&t), 1, 20, 40, "hshh", 320, "gone", 0, 0);
	for (size_t i = 0; i < t.n; i++)
		feed_bytes(&f, t.turn[i].dir, buf_span(&t.turn[i].b));
	CHECK_STR(buf_cstr(&f.log),
		"7 SETTLE ch=1 vhost=shop tag=2 ref=4 ack\n"
		"8 RECEIVE ch=1 vhost=shop key=q q=q consumer=c tag=5 size=1 body=m\n"
		"9 SETTLE ch=1 vhost=shop tag=1 ref=3 ack gap many\n"
		"10 SETTLE ch=1 vhost=shop tag=3 ref=5 ack gap many\n"
		"11 ERROR ch=1 vhost=shop code=320 text=gone\n"
		"12 SETTLE ch=1 vhost=shop tag=5 ref=8 lost\n"); /* of 4 nothing is said */
	feed_end(&f);
	feed_free(&f);
	talk_free(&t);
}

/* --- lies --- */

static void hostile_frames(void)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{"\1\0\1\xff\xff\xff\xff\0\x3c\0\x28", 11}, /* 4 GiB */
		{"\3\0\1\1\0\0\1", 7},                      /* above the cap */
		{"\5\0\1\0\0\0\4", 7},                      /* no such type */
		{"\x08\0\1\0\0\0\0", 7},                    /* heartbeat on a channel */
		{"\1\0\1\0\0\0\3", 7},                      /* method without an id */
		{"\x08\0\0\0\0\0\0\0", 8},                  /* no end octet */
	};
	struct talk t = {0};

	handshake(&t, 131072);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct feed f;

		feed_begin(&f, &proto_amqp091, true, 0);
		for (size_t k = 0; k < t.n; k++)
			feed_bytes(&f, t.turn[k].dir, buf_span(&t.turn[k].b));
		feed_bytes(&f, TO_SERVER, span_of(bad[i].bytes, bad[i].n));
		CHECK(f.lost[TO_SERVER]);
		/* And back again, at the next end of a frame. */
		{
			struct buf more = {0};

			buf_putc(&more, '\xce');
			publish(&more, 1, "x", "k", 0, "m");
			publish(&more, 1, "x", "k", 0, "n");
			feed_bytes(&f, TO_SERVER, buf_span(&more));
			buf_free(&more);
		}
		CHECK(!f.lost[TO_SERVER]);
		CHECK(strstr(buf_cstr(&f.log), "body=m\n") && strstr(buf_cstr(&f.log), "body=n\n"));
		CHECK(!f.bad);
		feed_end(&f);
		feed_free(&f);
	}
	talk_free(&t);
}

/* Well-framed nonsense is counted and skipped; the boundary is not lost. */
static void hostile_payloads(void)
{
	struct talk t = {0};
	struct proto_stats stats;
	struct feed f;
	struct buf p = {0};

	handshake(&t, 131072);
	frame(client(&t), 1, 1, SPAN_LIT("\0\x3c\0\x63zz"));        /* no such method */
	frame(client(&t), 1, 1, SPAN_LIT("\0\x3c\0\x28\0\0\xffx")); /* exchange longer than the frame */
	method(client(&t), 1, 60, 60, "sLbss", "c", (uint64_t)1, 0, "", ""); /* not the client's to send */
	method(client(&t), 0, 60, 40, "hssb", 0, "x", "k", 0);               /* on channel 0 */
	method(client(&t), 3, 10, 50, "hshh", 200, "", 0, 0);                /* on a channel */
	frame(client(&t), 3, 1, SPAN_LIT("a body of nothing"));
	publish(client(&t), 1, "x", "k", 0, "good");
	/* A body that is longer than said, and a method in the middle of one. */
	method(client(&t), 1, 60, 40, "hssb", 0, "x", "long", 0);
	be(&p, 60, 2);
	be(&p, 0, 2);
	be(&p, 3, 8);
	be(&p, 0, 2);
	frame(client(&t), 2, 1, buf_span(&p));
	frame(client(&t), 3, 1, SPAN_LIT("abcdef"));
	method(client(&t), 1, 60, 40, "hssb", 0, "x", "broken", 0);
	buf_clear(&p);
	be(&p, 60, 2);
	be(&p, 0, 2);
	be(&p, UINT64_MAX, 8);
	be(&p, 0, 2);
	frame(client(&t), 2, 1, buf_span(&p));
	frame(client(&t), 3, 1, SPAN_LIT("abc"));
	publish(client(&t), 1, "x", "k", 0, "last");
	feed_begin(&f, &proto_amqp091, true, 0);
	for (size_t k = 0; k < t.n; k++)
		feed_bytes(&f, t.turn[k].dir, buf_span(&t.turn[k].b));
	CHECK(!f.lost[TO_SERVER]);
	CHECK_STR(buf_cstr(&f.log),
		"1 LOGIN vhost=shop text=guest\n"
		"2 SEND ch=1 vhost=shop ex=x key=k size=4 body=good\n"
		"3 SEND ch=1 vhost=shop ex=x key=long size=3 body=abc\n"
		"4 SEND ch=1 vhost=shop ex=x key=broken gap size=18446744073709551615 body=abc\n"
		"5 SEND ch=1 vhost=shop ex=x key=k size=4 body=last\n");
	proto_amqp091.stats(f.st, &stats);
	CHECK_EQ(stats.errors, 7);
	CHECK_EQ(stats.messages, 4);
	feed_end(&f);
	feed_free(&f);
	talk_free(&t);
	buf_free(&p);
}

/* Every channel number there is, each with a consumer, a half message and a delivery. */
static void many_channels(void)
{
	struct feed f;
	struct buf c = {0}, s = {0};

	feed_begin(&f, &proto_amqp091, false, 0);
	f.quiet = true;
	for (int ch = 1; ch <= 65535; ch++) {
		buf_clear(&c);
		buf_clear(&s);
		method(&c, ch, 60, 20, "hssbT", 0, "q", "c", 0, SPAN_EMPTY);
		method(&c, ch, 60, 40, "hssb", 0, "x", "half", 0);
		method(&s, ch, 60, 21, "s", "c");
		deliver(&s, ch, "c", 1, 0, "x", "k", "m");
		feed_bytes(&f, TO_SERVER, buf_span(&c));
		feed_bytes(&f, TO_CLIENT, buf_span(&s));
	}
	CHECK(f.ops >= 16384);
	CHECK(!f.bad && !f.lost[0] && !f.lost[1]);
	feed_end(&f);
	feed_free(&f);
	buf_free(&c);
	buf_free(&s);
}

/* More open deliveries than are remembered: the oldest are forgotten, the newest are still known. */
static void many_deliveries(void)
{
	struct feed f;
	struct buf s = {0}, c = {0};
	uint64_t tag = 0;

	feed_begin(&f, &proto_amqp091, false, 0);
	f.quiet = true;
	while (tag < (1u << 20) + 1000) {
		buf_clear(&s);
		for (int i = 0; i < 500; i++)
			deliver(&s, 1, "c", ++tag, 0, "", "q", "");
		feed_bytes(&f, TO_CLIENT, buf_span(&s));
	}
	CHECK_EQ(f.ops, tag);
	f.quiet = false;
	ack(&c, 1, 5, 0);
	ack(&c, 1, tag, 0);
	feed_bytes(&f, TO_SERVER, buf_span(&c));
	{
		char want[200];

		snprintf(want, sizeof(want),
			"%llu SETTLE ch=1 tag=5 ack\n%llu SETTLE ch=1 tag=%llu ref=%llu ack\n",
			(unsigned long long)tag + 1, (unsigned long long)tag + 2, (unsigned long long)tag,
			(unsigned long long)tag);
		CHECK_STR(buf_cstr(&f.log), want);
	}
	f.quiet = true;
	buf_clear(&c);
	ack(&c, 1, 0, 1);
	feed_bytes(&f, TO_SERVER, buf_span(&c));
	CHECK(f.ops > 2 * ((uint64_t)1 << 20));
	feed_end(&f);
	feed_free(&f);
	buf_free(&s);
	buf_free(&c);
}

/* Unanswered requests with large arguments, and large bodies on many channels at once. */
static void many_bytes(void)
{
	struct feed f;
	struct buf c = {0}, args = {0}, head = {0};

	entry(&args, "x", 'S');
	be(&args, 60000, 4);
	for (int i = 0; i < 60000; i++)
		buf_putc(&args, 'x');
	feed_begin(&f, &proto_amqp091, false, 0);
	f.quiet = true;
	for (int i = 0; i < 500; i++) {
		buf_clear(&c);
		method(&c, 1, 50, 10, "hsbT", 0, "q", 0, buf_span(&args));
		feed_bytes(&f, TO_SERVER, buf_span(&c));
	}
	be(&head, 60, 2);
	be(&head, 0, 2);
	be(&head, 1u << 30, 8);
	be(&head, 0, 2);
	for (int ch = 2; ch < 2000; ch++) {
		buf_clear(&c);
		method(&c, ch, 60, 40, "hssb", 0, "x", "k", 0);
		frame(&c, 2, ch, buf_span(&head));
		frame(&c, 3, ch, buf_span(&args));
		feed_bytes(&f, TO_SERVER, buf_span(&c));
	}
	CHECK(!f.bad && !f.lost[0]);
	feed_end(&f);
	feed_free(&f);
	buf_free(&c);
	buf_free(&args);
	buf_free(&head);
}

/* Bytes made to look like boundaries everywhere must not cost more than their number. */
static void resync_flood(void)
{
	struct feed f;
	struct buf b = {0};

	for (int i = 0; i < 1 << 16; i++)
		buf_put(&b, "\x08\0\0\0\0\0\0\xce", 8);
	buf_putc(&b, 'x');
	feed_begin(&f, &proto_amqp091, false, 0);
	f.lost[0] = f.lost[1] = true;
	f.quiet = true;
	feed_bytes(&f, TO_SERVER, buf_span(&b));
	for (size_t i = 0; i < b.n; i++)
		b.p[i] = '\xce';
	feed_bytes(&f, TO_SERVER, buf_span(&b));
	CHECK_EQ(f.ops, 0);
	feed_end(&f);
	feed_free(&f);
	buf_free(&b);
}

int main(void)
{
	RUN(probe_first_bytes);
	RUN(probe_middle);
	RUN(probe_cut);
	RUN(attach_client);
	RUN(attach_server);
	RUN(attach_bytewise);
	RUN(holes_anywhere);
	RUN(hole_in_body);
	RUN(hole_over_acks);
	RUN(hostile_frames);
	RUN(hostile_payloads);
	RUN(many_channels);
	RUN(many_deliveries);
	RUN(many_bytes);
	RUN(resync_flood);
	return test_end();
}
