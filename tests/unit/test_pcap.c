/* Captures, made here byte by byte: every form of file and link says the same, and none of them can hurt. */
#include "test.h"

#include <errno.h>

#include "base/le.h"
#include "calls.h"
#include "capture/flows.h"
#include "capture/recfile.h"

static struct memfile memfile;

/* --- making packets and files --- */

static void be_put(struct buf *b, uint64_t v, size_t width)
{
	for (size_t i = width; i-- > 0;)
		buf_putc(b, (char)(v >> 8 * i));
}

static void put_zeros(struct buf *b, size_t n)
{
	while (n--)
		buf_putc(b, 0);
}

/* A segment of a conversation between 10.0.0.1:40000 and 10.0.0.2:5672. */
struct seg {
	char from; /* 'c' client, 's' server */
	uint8_t flags;
	uint32_t seq, ack;
	const char *data;
	int64_t ms;
};

enum ip {
	V4,
	V6,
	V6_OPTIONS, /* hop-by-hop and destination options before TCP */
	V4_OFFLOAD, /* total length left out */
	V4_FRAGMENT,
};

static void put_tcp(struct buf *b, const struct seg *s)
{
	be_put(b, s->from == 'c' ? 40000 : 5672, 2);
	be_put(b, s->from == 'c' ? 5672 : 40000, 2);
	be_put(b, s->seq, 4);
	be_put(b, s->ack, 4);
	be_put(b, 0x60, 1); /* 24 bytes: one option word */
	be_put(b, s->flags, 1);
	be_put(b, 1000, 2);
	be_put(b, 0, 4);
	be_put(b, 0x02040578, 4); /* maximum segment size */
	buf_puts(b, s->data ? s->data : "");
}

static void put_ip(struct buf *b, enum ip ip, const struct seg *s)
{
	size_t n = 24 + (s->data ? strlen(s->data) : 0);
	bool client = s->from == 'c', v4 = ip == V4 || ip == V4_OFFLOAD || ip == V4_FRAGMENT;

	if (v4) {
		be_put(b, 0x4500, 2);
		be_put(b, ip == V4_OFFLOAD ? 0 : 20 + n, 2);
		be_put(b, 7, 2);
		be_put(b, ip == V4_FRAGMENT ? 0x2000 : 0x4000, 2);
		be_put(b, 0x4006, 2); /* time to live, TCP */
		be_put(b, 0, 2);
		be_put(b, client ? 0x0a000001 : 0x0a000002, 4);
		be_put(b, client ? 0x0a000002 : 0x0a000001, 4);
	} else {
		be_put(b, 0x60000000, 4);
		be_put(b, n + (ip == V6_OPTIONS ? 24 : 0), 2);
		be_put(b, ip == V6_OPTIONS ? 0 : 6, 1);
		be_put(b, 64, 1);
		be_put(b, 0xfd00, 8);
		be_put(b, client ? 1 : 2, 8);
		be_put(b, 0xfd00, 8);
		be_put(b, client ? 2 : 1, 8);
		if (ip == V6_OPTIONS) {
			be_put(b, 0x3c00, 2); /* hop-by-hop of 8 bytes, destination options follow */
			be_put(b, 0, 6);
			be_put(b, 0x0601, 2); /* of 16 bytes, TCP follows */
			put_zeros(b, 14);
		}
	}
	put_tcp(b, s);
}

static void put_link(struct buf *b, uint32_t link, int vlans, bool v6)
{
	unsigned type = v6 ? 0x86dd : 0x0800;

	switch (link) {
	case 1:
		buf_put(b, "\0\1\2\3\4\5\6\7\x8\x9\xa\xb", 12);
		while (vlans-- > 0)
			be_put(b, 0x81000007, 4);
		be_put(b, type, 2);
		break;
	case 113:
		put_zeros(b, 14);
		be_put(b, type, 2);
		break;
	case 276:
		be_put(b, type, 2);
		put_zeros(b, 18);
		break;
	case 0:
	case 108:
		be_put(b, v6 ? 30 : 2, 4);
		break;
	default:
		break;
	}
}

struct form {
	bool ng, big, nano;
	bool modified; /* Kuznetzov's pcap */
	uint32_t link;
	int vlans;
	enum ip ip;
	uint32_t snap; /* 0: all */
};

static void put_num(struct buf *b, const struct form *f, uint64_t v, size_t width)
{
	if (f->big)
		be_put(b, v, width);
	else
		le_put(b, v, width);
}

static void put_block(struct buf *b, const struct form *f, uint32_t type, const struct buf *body)
{
	size_t n = 12 + (body->n + 3) / 4 * 4;

	put_num(b, f, type, 4);
	put_num(b, f, n, 4);
	buf_put_span(b, buf_span(body));
	buf_put(b, "\0\0\0", n - 12 - body->n);
	put_num(b, f, n, 4);
}

static void put_file_header(struct buf *b, const struct form *f)
{
	struct buf body = {0};

	if (!f->ng) {
		put_num(b, f, f->modified ? 0xa1b2cd34 : f->nano ? 0xa1b23c4d : 0xa1b2c3d4, 4);
		put_num(b, f, f->big ? 0x00020004 : 0x00040002, 4);
		put_num(b, f, 0, 8);
		put_num(b, f, 65535, 4);
		put_num(b, f, f->link, 4);
		return;
	}
	put_num(&body, f, 0x1a2b3c4d, 4);
	put_num(&body, f, f->big ? 0x00010000 : 1, 4);
	buf_put(&body, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	put_block(b, f, 0x0a0d0d0a, &body);
	buf_clear(&body);
	put_num(&body, f, f->link, 2);
	put_num(&body, f, 0, 2);
	put_num(&body, f, 65535, 4);
	if (f->nano) { /* if_tsresol 9, end of options */
		put_num(&body, f, 9, 2);
		put_num(&body, f, 1, 2);
		buf_put(&body, "\x09\0\0\0", 4);
		put_num(&body, f, 0, 4);
	}
	put_block(b, f, 1, &body);
	buf_clear(&body);
	buf_puts(&body, "some name resolution block");
	put_block(b, f, 4, &body);
	buf_free(&body);
}

static void put_packet(struct buf *b, const struct form *f, const struct seg *s)
{
	uint64_t us = 1700000000000000ULL + (uint64_t)s->ms * 1000, t = f->nano ? us * 1000 : us;
	struct buf pkt = {0}, body = {0};
	size_t cap;

	put_link(&pkt, f->link, f->vlans, f->ip == V6 || f->ip == V6_OPTIONS);
	put_ip(&pkt, f->ip, s);
	cap = f->snap && f->snap < pkt.n ? f->snap : pkt.n;
	if (f->ng) {
		put_num(&body, f, 0, 4);
		put_num(&body, f, t >> 32, 4);
		put_num(&body, f, t & 0xffffffff, 4);
	} else {
		put_num(b, f, us / 1000000, 4);
		put_num(b, f, us % 1000000 * (f->nano ? 1000 : 1), 4);
	}
	put_num(f->ng ? &body : b, f, cap, 4);
	put_num(f->ng ? &body : b, f, pkt.n, 4);
	if (f->modified)
		put_num(b, f, 0x0102030405060708, 8);
	buf_put(f->ng ? &body : b, pkt.p, cap);
	if (f->ng)
		put_block(b, f, 6, &body);
	buf_free(&pkt);
	buf_free(&body);
}

static struct buf make_file(const struct form *f, const struct seg *segs, size_t n)
{
	struct buf b = {0};

	put_file_header(&b, f);
	for (size_t i = 0; i < n; i++)
		put_packet(&b, f, &segs[i]);
	return b;
}

/* Reads a file of bytes; the calls are in @got. */
static int read_bytes(
	const struct buf *b, struct calls *got, struct source_info *info, bool *cut, struct err *e)
{
	struct sink k = calls_sink(got);
	struct source *s;
	int err;

	*cut = false;
	memfile_set(&memfile, b->p, b->n);
	err = source__open(memfile.path, &s, info, e);
	if (err)
		return err;
	err = source_run(s, &k, NULL, NULL, e);
	*cut = source_was_cut(s);
	source__close(s);
	return err;
}

/* The calls of a conversation in @f's form, without ticks; freed by the caller. */
static struct buf calls_of(const struct form *f, const struct seg *segs, size_t n)
{
	struct calls got = {.quiet_ticks = true};
	struct buf file = make_file(f, segs, n);
	struct source_info info;
	struct err e = {0};
	bool cut;

	CHECK_EQ(read_bytes(&file, &got, &info, &cut, &e), 0);
	CHECK(!cut);
	buf_free(&file);
	return got.text;
}

static int count(struct buf *b, const char *word)
{
	int n = 0;

	for (const char *p = buf_cstr(b); (p = strstr(p, word)); p++)
		n++;
	return n;
}

static const struct form plain = {.link = 101};

static const struct seg hello[] = {
	{'c', 0x02, 100, 0, NULL, 0},
	{'s', 0x12, 500, 101, NULL, 1},
	{'c', 0x10, 101, 501, NULL, 2},
	{'c', 0x18, 101, 501, "ask", 3},
	{'s', 0x18, 501, 104, "answer", 4},
	{'c', 0x11, 104, 507, "!", 5}, /* data with its FIN */
	{'s', 0x11, 507, 106, NULL, 6},
	{'c', 0x10, 106, 508, NULL, 7},
};

static void a_conversation(void)
{
	struct buf got = calls_of(&plain, hello, ARRAY_LEN(hello));

	CHECK_STR(buf_cstr(&got), "open 1 0 1700000000003000000 2 0 0a0a0000000001020000000000000000"
				  "00000000000000000000000000000000 40000 5672  0 1 1 4294967397 4294967797\n"
				  "chunk 1 0 4294967397 3 1700000000003000000 0 0 0 \"ask\"\n"
				  "chunk 1 1 4294967797 6 1700000000004000000 0 0 0 \"answer\"\n"
				  "chunk 1 0 4294967400 1 1700000000005000000 0 0 0 \"!\"\n"
				  "close 1 1700000000006000000 0\n");
	buf_free(&got);
}

static void every_form_says_the_same(void)
{
	static const uint32_t links[] = {1, 113, 276, 0, 108, 101, 12, 14, 228};
	struct buf want = calls_of(&plain, hello, ARRAY_LEN(hello));
	struct buf want6 = calls_of(&(struct form){.link = 101, .ip = V6}, hello, ARRAY_LEN(hello));

	CHECK_EQ(count(&want6, "chunk"), 3);
	CHECK(strstr(buf_cstr(&want6), " 10 0 000000000000000000000000fdfd0000"));
	for (unsigned i = 0; i < 8 * ARRAY_LEN(links); i++) {
		struct form f = {.ng = i & 1, .big = i & 2, .nano = i & 4, .link = links[i / 8]};

		for (f.ip = V4; f.ip <= V4_OFFLOAD; f.ip++)
			for (f.vlans = 0; f.vlans <= (f.link == 1 ? 2 : 0); f.vlans++) {
				struct buf got = calls_of(&f, hello, ARRAY_LEN(hello));
				bool v6 = f.ip == V6 || f.ip == V6_OPTIONS;

				CHECK_STR(buf_cstr(&got), buf_cstr(v6 ? &want6 : &want));
				buf_free(&got);
			}
	}
	for (int big = 0; big < 2; big++) {
		struct buf got = calls_of(
			&(struct form){.link = 101, .modified = true, .big = big}, hello, ARRAY_LEN(hello));

		CHECK_STR(buf_cstr(&got), buf_cstr(&want));
		buf_free(&got);
	}
	buf_free(&want);
	buf_free(&want6);
}

static void who_is_the_client(void)
{
	static const struct {
		struct seg segs[3];
		const char *says;  /* after the addresses */
		const char *first; /* chunk */
	} t[] = {
		/* joined in the middle: the first side seen, whatever it is */
		{{{'s', 0x18, 501, 104, "hello", 1}, {'c', 0x18, 104, 506, "ask", 2}},
			" 5672 40000  0 0 0 0 0\n", "chunk 1 0 4294967797 5"},
		/* the answer to the SYN is not there: its number is in the acknowledgement */
		{{{'c', 0x02, 100, 0, NULL, 1}, {'c', 0x18, 101, 501, "ask", 2},
			 {'s', 0x18, 501, 104, "yes", 3}},
			" 40000 5672  0 1 1 4294967397 4294967797\n", "chunk 1 0 4294967397 3"},
		/* only the answer is there */
		{{{'s', 0x12, 500, 101, NULL, 1}, {'s', 0x18, 501, 101, "hello", 2}},
			" 40000 5672  0 1 1 4294967397 4294967797\n", "chunk 1 1 4294967797 5"},
		/* nothing of the server's start is known */
		{{{'c', 0x02, 100, 0, NULL, 1}, {'s', 0x18, 509, 104, "yes", 3}}, " 40000 5672  0 1 0 0 0\n",
			"chunk 1 1 4294967805 3"},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct buf got = calls_of(&plain, t[i].segs, ARRAY_LEN(t[i].segs) - !t[i].segs[2].from);

		CHECK(strstr(buf_cstr(&got), t[i].says) != NULL);
		CHECK(strstr(buf_cstr(&got), t[i].first) != NULL);
		if (test_case_bad)
			fprintf(stderr, "%zu: %s", i, buf_cstr(&got));
		buf_free(&got);
	}
}

static void numbers_wrap_and_jump(void)
{
	static const struct seg segs[] = {
		{'c', 0x02, 0xfffffffe, 0, NULL, 0},
		{'s', 0x12, 500, 0xffffffff, NULL, 1},
		{'c', 0x18, 1, 501, "cd", 3}, /* before what it follows */
		{'c', 0x18, 0xffffffff, 501, "ab", 4},
		{'c', 0x18, 0xffffffff, 501, "abcd", 5}, /* again */
		{'c', 0x18, 3, 501, "ef", 6},
	};
	struct buf got = calls_of(&plain, segs, ARRAY_LEN(segs));

	CHECK(strstr(buf_cstr(&got), "chunk 1 0 8589934593 2 ") != NULL);
	CHECK(strstr(buf_cstr(&got), "chunk 1 0 8589934591 2 ") != NULL);
	CHECK(strstr(buf_cstr(&got), "chunk 1 0 8589934591 4 ") != NULL);
	CHECK(strstr(buf_cstr(&got), "chunk 1 0 8589934595 2 ") != NULL);
	buf_free(&got);
}

static void ends_of_flows(void)
{
	static const struct seg reset[] = {
		{'c', 0x18, 101, 501, "ask", 0},
		{'s', 0x14, 501, 104, "go away", 1}, /* a text in a reset is for people */
		{'s', 0x18, 501, 104, "late", 500},  /* was on its way */
		{'c', 0x10, 1, 1, NULL, 2000},
	};
	static const struct seg anew[] = {
		{'c', 0x02, 100, 0, NULL, 0},
		{'c', 0x18, 101, 501, "one", 1},
		{'c', 0x02, 100, 0, NULL, 2}, /* the same SYN again */
		{'c', 0x18, 104, 501, "two", 3},
		{'c', 0x02, 900, 0, NULL, 4}, /* another one: a new connection */
		{'c', 0x18, 901, 1501, "three", 5},
	};
	struct buf got = calls_of(&plain, reset, ARRAY_LEN(reset));

	CHECK_EQ(count(&got, "chunk"), 2);
	CHECK(strstr(buf_cstr(&got), "\"late\"\nclose 1 1700000000001000000 1\n") != NULL);
	buf_free(&got);

	got = calls_of(&plain, anew, ARRAY_LEN(anew));
	CHECK_EQ(count(&got, "open"), 2);
	CHECK(strstr(buf_cstr(&got), "\"two\"\nclose 1 ") != NULL);
	CHECK(strstr(buf_cstr(&got), "chunk 2 0 4294968197 5 ") != NULL);
	buf_free(&got);
}

static void ticks_follow_the_clock(void)
{
	static const struct seg segs[] = {{'c', 0x18, 1, 1, "a", 0}, {'c', 0x18, 2, 1, "b", 999},
		{'c', 0x18, 3, 1, "c", 1000}, {'c', 0x18, 4, 1, "d", 60000}};
	struct buf file = make_file(&plain, segs, ARRAY_LEN(segs));
	struct source_info info;
	struct calls got = {0};
	struct err e;
	bool cut;

	CHECK_EQ(read_bytes(&file, &got, &info, &cut, &e), 0);
	CHECK_EQ(count(&got.text, "tick"), 3);
	CHECK_EQ(info.first_ns, 1700000000000000000);
	CHECK_STR(info.kind, "pcap");
	buf_free(&got.text);
	buf_free(&file);
}

static void what_is_not_there_is_counted(void)
{
	static const struct seg segs[] = {{'c', 0x18, 1, 1, "0123456789", 0}, {'c', 0x18, 11, 1, "ab", 1}};
	struct form f = {.link = 101, .snap = 44 + 4};
	struct buf got = calls_of(&f, segs, ARRAY_LEN(segs));

	/* cut by the snapshot length: ten bytes stood there, four are here */
	CHECK(strstr(buf_cstr(&got), "chunk 1 0 4294967297 10 1700000000000000000 0 0 0 \"0123\"") != NULL);
	CHECK(strstr(buf_cstr(&got), "chunk 1 0 4294967307 2 ") != NULL);
	buf_free(&got);

	f.snap = 44; /* headers only */
	got = calls_of(&f, segs, ARRAY_LEN(segs));
	CHECK(strstr(buf_cstr(&got), "chunk 1 0 4294967297 10 1700000000000000000 0 0 0 \"\"") != NULL);
	buf_free(&got);

	f.snap = 30; /* not even those */
	got = calls_of(&f, segs, ARRAY_LEN(segs));
	CHECK(strstr(buf_cstr(&got), " 2 packets captured without their whole TCP header\n") != NULL);
	CHECK_EQ(count(&got, "chunk"), 0);
	buf_free(&got);

	f = (struct form){.link = 101, .ip = V4_FRAGMENT};
	got = calls_of(&f, segs, ARRAY_LEN(segs));
	CHECK(strstr(buf_cstr(&got), " 2 fragments of IP packets of which others are missing\n") != NULL);
	CHECK_EQ(count(&got, "chunk"), 0);
	buf_free(&got);
}

/* --- hostile --- */

/* Feeds exact-size copies, so that a read beyond the packet is seen by the sanitizer. */
static void decode_copy(uint32_t link, const struct buf *pkt, size_t n, uint32_t size)
{
	uint8_t *p = malloc(n ? n : 1);
	struct datagram d;
	struct segment s = {0};

	memcpy(p, pkt->p, n);
	if (packet_decode(link, span_of(p, n), size, &d, &s) == PACKET_TCP) {
		CHECK(s.data.n <= s.len);
		CHECK(!s.data.n || (s.data.p >= p && s.data.p + s.data.n <= p + n));
	}
	free(p);
}

static uint32_t dice(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void hostile_packets(void)
{
	static const uint32_t links[] = {1, 113, 276, 0, 101};
	uint32_t rnd = 1;

	for (size_t l = 0; l < ARRAY_LEN(links); l++)
		for (enum ip ip = V4; ip <= V4_FRAGMENT; ip++) {
			struct buf pkt = {0};

			put_link(&pkt, links[l], l == 0, ip == V6 || ip == V6_OPTIONS);
			put_ip(&pkt, ip, &hello[3]);
			for (size_t n = 0; n <= pkt.n; n++) {
				decode_copy(links[l], &pkt, n, (uint32_t)pkt.n);
				decode_copy(links[l], &pkt, n, (uint32_t)n);
				decode_copy(links[l], &pkt, n, UINT32_MAX);
				decode_copy(links[l], &pkt, n, 0);
			}
			for (size_t i = 0; i < pkt.n * 256; i++) { /* each byte at each value */
				uint8_t was = pkt.p[i / 256];

				pkt.p[i / 256] = (uint8_t)i;
				decode_copy(links[l], &pkt, pkt.n, (uint32_t)pkt.n);
				pkt.p[i / 256] = was;
			}
			for (int i = 0; i < 2000; i++) {
				struct buf bad = {0};

				buf_put_span(&bad, buf_span(&pkt));
				for (int k = 0; k < 4; k++)
					bad.p[dice(&rnd) % bad.n] = (uint8_t)dice(&rnd);
				decode_copy(links[l], &bad, dice(&rnd) % (bad.n + 1), dice(&rnd));
				buf_free(&bad);
			}
			buf_free(&pkt);
		}
}

static void hostile_files(void)
{
	uint32_t rnd = 7;

	for (int which = 0; which < 4; which++) {
		struct form f = {.ng = which & 1, .big = which & 2, .nano = which & 1, .link = 1, .vlans = 1};
		struct buf file = make_file(&f, hello, ARRAY_LEN(hello));
		struct buf want = calls_of(&f, hello, ARRAY_LEN(hello));
		struct source_info info;
		struct err e;
		bool cut;

		/* cut anywhere: all packets before that are read */
		for (size_t n = 0; n < file.n; n++) {
			struct calls got = {.quiet_ticks = true};
			struct buf part = {.p = file.p, .n = n};
			int err = read_bytes(&part, &got, &info, &cut, &e);
			size_t chunks = (size_t)count(&got.text, "chunk");

			CHECK(!err || err == -EINVAL || err == -EBADMSG);
			CHECK(chunks <= 3);
			if (n > file.n - 50 && !err)
				CHECK_EQ(chunks, 3);
			buf_free(&got.text);
		}
		/* and changed anywhere: no crash, no hang, an end */
		for (size_t i = 0; i < file.n * 8; i++) {
			struct calls got = {.quiet_ticks = true};
			struct buf bad = {0};

			buf_put_span(&bad, buf_span(&file));
			bad.p[i / 8] = i % 8 < 4 ? bad.p[i / 8] ^ (1 << 2 * (i % 8)) : (uint8_t)dice(&rnd);
			read_bytes(&bad, &got, &info, &cut, &e);
			buf_free(&got.text);
			buf_free(&bad);
		}
		buf_free(&file);
		buf_free(&want);
	}
}

static void other_links(void)
{
	struct form f = {.link = 127}; /* radio */
	struct buf file = make_file(&f, hello, 1);
	struct source_info info;
	struct calls got = {0};
	struct err e = {0};
	bool cut;

	CHECK_EQ(read_bytes(&file, &got, &info, &cut, &e), -EPROTO);
	CHECK(strstr(e.msg, "127") != NULL);
	buf_free(&file);
}

/* --- pcapng's own --- */

static void times_of_interfaces(void)
{
	static const struct {
		uint8_t resolution;
		uint64_t units;
		int64_t ns;
	} t[] = {
		{6, 1700000000123456, 1700000000123456000},
		{9, 1700000000123456789, 1700000000123456789},
		{0, 1700000000, 1700000000000000000},
		{0x80 | 10, 1700000000ULL << 10 | 512, 1700000000500000000},
		{20, UINT64_MAX, 184467440}, /* finer than we can say */
		{0, UINT64_MAX, INT64_MAX / 2},
		{0xff, UINT64_MAX, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct form f = {.ng = true, .link = 101};
		struct buf b = {0}, body = {0};
		struct source_info info;
		struct calls got = {0};
		struct err e;
		bool cut;

		put_num(&body, &f, 0x1a2b3c4d, 4);
		put_num(&body, &f, 1, 4);
		put_num(&body, &f, UINT64_MAX, 8);
		put_block(&b, &f, 0x0a0d0d0a, &body);
		buf_clear(&body);
		put_num(&body, &f, 101, 4);
		put_num(&body, &f, 0, 4);
		put_num(&body, &f, 9, 2);
		put_num(&body, &f, 1, 2);
		put_num(&body, &f, t[i].resolution, 4);
		put_block(&b, &f, 1, &body);
		buf_clear(&body);
		put_num(&body, &f, 0, 4);
		put_num(&body, &f, t[i].units >> 32, 4);
		put_num(&body, &f, t[i].units & 0xffffffff, 4);
		put_num(&body, &f, 0, 8);
		put_block(&b, &f, 6, &body);
		CHECK_EQ(read_bytes(&b, &got, &info, &cut, &e), 0);
		CHECK_EQ(info.first_ns, t[i].ns);
		CHECK_STR(info.kind, "pcapng");
		buf_free(&b);
		buf_free(&body);
		buf_free(&got.text);
	}
}

/* Simple and obsolete packet blocks, and a second section in the other byte order. */
static void other_blocks(void)
{
	struct form f = {.ng = true, .link = 101}, big = {.ng = true, .big = true, .link = 1};
	struct buf b = make_file(&f, hello, 4), pkt = {0}, body = {0}, second;
	struct source_info info;
	struct calls got = {.quiet_ticks = true};
	struct err e;
	bool cut;

	put_ip(&pkt, V4, &hello[4]);
	put_num(&body, &f, pkt.n, 4);
	buf_put_span(&body, buf_span(&pkt));
	put_block(&b, &f, 3, &body);
	buf_clear(&body);
	buf_clear(&pkt);
	put_ip(&pkt, V4, &hello[5]);
	put_num(&body, &f, 0, 4); /* interface, drops */
	put_num(&body, &f, 0, 8);
	put_num(&body, &f, pkt.n, 4);
	put_num(&body, &f, pkt.n, 4);
	buf_put_span(&body, buf_span(&pkt));
	put_block(&b, &f, 2, &body);
	second = make_file(&big, hello + 4, 3);
	buf_put_span(&b, buf_span(&second));
	CHECK_EQ(read_bytes(&b, &got, &info, &cut, &e), 0);
	CHECK_EQ(count(&got.text, "chunk"), 5);
	CHECK_EQ(count(&got.text, "\"answer\""), 2);
	buf_free(&b);
	buf_free(&pkt);
	buf_free(&body);
	buf_free(&second);
	buf_free(&got.text);
}

int main(void)
{
	RUN(a_conversation);
	RUN(every_form_says_the_same);
	RUN(who_is_the_client);
	RUN(numbers_wrap_and_jump);
	RUN(ends_of_flows);
	RUN(ticks_follow_the_clock);
	RUN(what_is_not_there_is_counted);
	RUN(hostile_packets);
	RUN(hostile_files);
	RUN(other_links);
	RUN(times_of_interfaces);
	RUN(other_blocks);
	return test_end();
}
