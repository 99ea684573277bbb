/* Whole conversations, byte for byte, against the operations that they stand for. */
#include <zlib.h>

#include "proto/pairs.h"
#include "wire.h"

/* Consumes @t. */
static void check(struct talk *t, const char *want)
{
	talk_expect(&proto_kafka, t, want);
}

#define ID "0123456789abcdef"

/* Two partitions, a batch each. */
static void two_batches(struct buf *b, struct batch *one, struct batch *two)
{
	struct buf r1 = {0}, r2 = {0};

	batch_put(&r1, one, SPAN_EMPTY);
	batch_put(&r2, two, SPAN_EMPTY);
	ask(b, 0, 9, 7, "tchluculCtlCttt", NULL, -1, 30000, 2, "orders", 3, 0, buf_span(&r1), 3,
		buf_span(&r2));
	buf_free(&r1);
	buf_free(&r2);
}

static void produce_and_confirm(void)
{
	struct talk t = {0};
	struct batch one = BATCH(.base = 0), two = BATCH(.base = 0);

	record(&one, "k1", "first", "traceparent=00-1");
	record(&one, NULL, "second", NULL);
	record(&two, "k3", NULL, NULL);
	two_batches(client(&t), &one, &two);
	answer(server(&t), 7, "tuculhLLLuctlhLLLucttlt", 2, "orders", 3, 3, 0, 500LL, -1LL, 0LL, 1, NULL, 0,
		0, 41LL, -1LL, 0LL, 1, NULL, 0);
	check(&t, "1 SEND log ex=orders key=0 log=orders-0 size=5 body=first {key=k1} "
		  "{timestamp=1700000000000} "
		  "{header.traceparent=00-1}\n"
		  "2 SEND log ex=orders key=0 log=orders-0 size=6 body=second "
		  "{timestamp=1700000000010}\n"
		  "3 SEND log ex=orders key=3 log=orders-3 {key=k3} {timestamp=1700000000000} "
		  "{tombstone=1}\n"
		  "4 CONFIRM log ex=orders key=3 log=orders-3 mid=500 ref=3\n"
		  "5 CONFIRM log ex=orders key=0 log=orders-0 mid=41 ref=1 many\n"
		  "6 CONFIRM log ex=orders key=0 log=orders-0 mid=42 ref=2 many\n");
}

/* A v9 Produce of one batch to orders-0. */
static void produce(struct buf *b, int correlation, int acks, const char *txid, struct batch *batch)
{
	struct buf r = {0};

	batch_put(&r, batch, SPAN_EMPTY);
	ask(b, 0, 9, correlation, "tchluculCttt", txid, acks, 30000, 2, "orders", 2, 0, buf_span(&r));
	buf_free(&r);
}

static void produced(struct buf *b, int correlation, int error, long long base)
{
	answer(b, correlation, "tuculhLLLucttlt", 2, "orders", 2, 0, error, base, -1LL, 0LL, 1, NULL, 0);
}

/* The leader has moved; an idempotent producer repeats the batch, and it is the same message. */
static void retry(void)
{
	struct talk t = {0};

	for (int i = 0; i < 2; i++) {
		struct batch b = BATCH(.producer = 77, .epoch = 0, .sequence = 5);

		record(&b, "k", "v", NULL);
		produce(client(&t), i, -1, NULL, &b);
		produced(server(&t), i, i ? 0 : 6, i ? 90 : -1);
	}
	{
		struct batch b = BATCH(.producer = 77, .epoch = 0, .sequence = 6);

		record(&b, "k", "v", NULL);
		produce(client(&t), 2, -1, NULL, &b);
		produced(server(&t), 2, 46, -1);
	}
	check(&t,
		"1 SEND log ex=orders key=0 log=orders-0 size=1 body=v {key=k} {timestamp=1700000000000}\n"
		"2 CONFIRM log ex=orders key=0 log=orders-0 ref=1 code=6 text=NOT_LEADER_OR_FOLLOWER "
		"negative\n"
		"3 CONFIRM log ex=orders key=0 log=orders-0 mid=90 ref=1\n"
		"4 SEND log ex=orders key=0 log=orders-0 size=1 body=v {key=k} {timestamp=1700000000000}\n"
		"5 CONFIRM log ex=orders key=0 log=orders-0 ref=4 code=46 text=DUPLICATE_SEQUENCE_NUMBER\n");
}

/* acks=0: no response. The next request's is not taken for it; one that was lost is passed over. */
static void unanswered(void)
{
	struct talk t = {0};

	for (int i = 0; i < 4; i++) {
		struct batch b = BATCH(.base = 0);
		char value[] = {(char)('a' + i), 0};

		record(&b, NULL, value, NULL);
		produce(client(&t), i, i ? 1 : 0, NULL, &b);
	}
	produced(server(&t), 1, 0, 7);
	answer(server(&t), 99, "T", SPAN_LIT("of nothing that was asked"));
	produced(server(&t), 3, 0, 9);
	check(&t, "1 SEND log ex=orders key=0 log=orders-0 size=1 body=a {timestamp=1700000000000}\n"
		  "2 SEND log ex=orders key=0 log=orders-0 size=1 body=b {timestamp=1700000000000}\n"
		  "3 SEND log ex=orders key=0 log=orders-0 size=1 body=c {timestamp=1700000000000}\n"
		  "4 SEND log ex=orders key=0 log=orders-0 size=1 body=d {timestamp=1700000000000}\n"
		  "5 CONFIRM log ex=orders key=0 log=orders-0 mid=7 ref=2\n"
		  "GAP 33 answers a request that was not seen\n"
		  "6 CONFIRM log ex=orders key=0 log=orders-0 mid=9 ref=4\n");
}

/* A Fetch of v13 from @offset on, and what it gets. */
static void fetch(struct buf *b, int correlation, int isolation, int epoch, long long offset)
{
	ask(b, 1, 13, correlation, "tllllolluiullLlLlttuct", -1, 500, 1, 1 << 20, isolation, 1, epoch, 2, ID,
		2, 0, -1, offset, -1, -1LL, 1 << 20, 1, "");
}

static void fetched(struct buf *b, int correlation, struct span records, const char *aborted_fmt,
	long long producer, long long first)
{
	struct buf list = {0};

	if (aborted_fmt)
		put(&list, "uLLt", 2, producer, first);
	else
		put(&list, "u", 1);
	answer(b, correlation, "tlhluiulhLLLTlCttt", 0, 0, 1, 2, ID, 2, 0, 0, 900LL, 900LL, 0LL,
		buf_span(&list), -1, records);
	buf_free(&list);
}

/* Metadata v12 of the topic with that id, as request 2: it is "orders". */
static void ask_name(struct talk *t)
{
	ask(client(t), 3, 12, 2, "tuictoot", 2, ID, NULL, 0, 0);
	answer(server(t), 2,
		"tluclu"
		"hcioul"
		"tt",
		0, 1, "cluster", 1, 2, 0, "orders", ID, 0, 1, 0);
}

/* An id is shown as itself until somebody tells its name. */
static void topic_ids(void)
{
	struct talk t = {0};
	struct buf one = {0};
	struct batch b = BATCH(.base = 40);

	record(&b, "k", "v", NULL);
	batch_put(&one, &b, SPAN_EMPTY);
	fetch(client(&t), 1, 0, 0, 40);
	fetched(server(&t), 1, buf_span(&one), NULL, 0, 0);
	ask_name(&t);
	buf_clear(&one);
	b = BATCH(.base = 41);
	record(&b, "k", "w", NULL);
	batch_put(&one, &b, SPAN_EMPTY);
	fetch(client(&t), 3, 0, 1, 41);
	fetched(server(&t), 3, buf_span(&one), NULL, 0, 0);
	buf_free(&one);
	check(&t, "1 RECEIVE log ex=MDEyMzQ1Njc4OWFiY2RlZg key=0 consumer=shop log=MDEyMzQ1Njc4OWFiY2RlZg-0 "
		  "mid=40 "
		  "size=1 body=v {key=k} {timestamp=1700000000000}\n"
		  "2 XDECLARE log ex=orders type=topic passive {id=MDEyMzQ1Njc4OWFiY2RlZg}\n"
		  "3 RECEIVE log ex=orders key=0 consumer=shop log=orders-0 mid=41 size=1 body=w {key=k} "
		  "{timestamp=1700000000000}\n");
}

/* A member that was told its topic by id leaves it by name, if that was told in between. */
static void member_by_id(void)
{
	struct talk t = {0};

	ask(client(&t), 68, 0, 1, "tcclcclucut", "readers", "m", 0, NULL, NULL, 500, 0, NULL, 0);
	answer(server(&t), 1, "tlhccllouiulttt", 0, 0, NULL, "m", 1, 500, 1, 2, ID, 2, 3);
	ask_name(&t);
	/* the same again is no news; that it leaves is */
	ask(client(&t), 68, 0, 3, "tcclcclucut", "readers", "m", 1, NULL, NULL, 500, 0, NULL, 0);
	answer(server(&t), 3, "tlhccllouiulttt", 0, 0, NULL, "m", 1, 500, 1, 2, ID, 2, 3);
	ask(client(&t), 68, 0, 4, "tcclcclucut", "readers", "m", -1, NULL, NULL, 500, 0, NULL, 0);
	answer(server(&t), 4, "tlhccllot", 0, 0, NULL, "m", -1, 500, -1);
	check(&t, "1 SUBSCRIBE log ex=MDEyMzQ1Njc4OWFiY2RlZg q=readers consumer=shop text=3\n"
		  "2 XDECLARE log ex=orders type=topic passive {id=MDEyMzQ1Njc4OWFiY2RlZg}\n"
		  "3 UNSUBSCRIBE log ex=orders q=readers consumer=shop\n");
}

/* Who reads just one topic, and commits by name where it has come to, tells what it is called. */
static void named_by_commit(void)
{
	static const struct {
		long long offset;
		bool named;
	} tries[] = {{40, false}, {41, true}};
#define GOT                                                                                                  \
	"1 RECEIVE log ex=MDEyMzQ1Njc4OWFiY2RlZg key=0 consumer=shop log=MDEyMzQ1Njc4OWFiY2RlZg-0 mid=40 "   \
	"size=1 body=v {key=k} {timestamp=1700000000000}\n"

	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		struct talk t = {0};
		struct buf one = {0};
		struct batch b = BATCH(.base = 40);

		record(&b, "k", "v", NULL);
		batch_put(&one, &b, SPAN_EMPTY);
		fetch(client(&t), 1, 0, 0, 40);
		fetched(server(&t), 1, buf_span(&one), NULL, 0, 0);
		buf_free(&one);
		/* OffsetCommit v8 */
		ask(client(&t), 8, 8, 2, "tclccuculLlcttt", "readers", -1, "m", NULL, 2, "orders", 2, 0,
			tries[i].offset, -1, NULL);
		answer(server(&t), 2,
			"tlucu"
			"lhttt",
			0, 2, "orders", 2, 0, 0);
		check(&t, tries[i].named ? GOT
				  "2 XDECLARE log ex=orders type=topic passive {id=MDEyMzQ1Njc4OWFiY2RlZg}\n"
				  "3 SUBSCRIBE log ex=orders q=readers consumer=shop text=0\n"
				  "4 SETTLE log ex=orders key=0 q=readers consumer=shop log=orders-0 mid=41 "
				  "ack up-to\n5 UNSUBSCRIBE log ex=orders q=readers consumer=shop\n"
					 : GOT
				  "2 SUBSCRIBE log ex=orders q=readers consumer=shop text=0\n"
				  "3 SETTLE log ex=orders key=0 q=readers consumer=shop log=orders-0 "
				  "mid=40 ack up-to\n4 UNSUBSCRIBE log ex=orders q=readers consumer=shop\n");
	}
#undef GOT
}

/* Nobody tells it, but what was sent by name stands where it is fetched by id. */
static void topic_found_out(void)
{
	struct talk t = {0};
	struct buf two = {0};
	struct batch b = BATCH(.base = 0);

	record(&b, "k", "v", NULL);
	produce(client(&t), 1, 1, NULL, &b);
	produced(server(&t), 1, 0, 40);
	b = BATCH(.base = 39);
	record(&b, "k", "v", NULL); /* the same at another offset is another */
	batch_put(&two, &b, SPAN_EMPTY);
	b = BATCH(.base = 40);
	record(&b, "k", "v", NULL);
	batch_put(&two, &b, SPAN_EMPTY);
	fetch(client(&t), 2, 0, 0, 0);
	fetched(server(&t), 2, buf_span(&two), NULL, 0, 0);
	buf_free(&two);
	check(&t, "1 SEND log ex=orders key=0 log=orders-0 size=1 body=v {key=k} {timestamp=1700000000000}\n"
		  "2 CONFIRM log ex=orders key=0 log=orders-0 mid=40 ref=1\n"
		  "3 RECEIVE log ex=MDEyMzQ1Njc4OWFiY2RlZg key=0 consumer=shop log=MDEyMzQ1Njc4OWFiY2RlZg-0 "
		  "mid=39 "
		  "size=1 body=v {key=k} {timestamp=1700000000000}\n"
		  "4 XDECLARE log ex=orders type=topic passive {id=MDEyMzQ1Njc4OWFiY2RlZg}\n"
		  "5 RECEIVE log ex=orders key=0 consumer=shop log=orders-0 mid=40 size=1 body=v {key=k} "
		  "{timestamp=1700000000000}\n");
}

/* Of a batch only what is not before the position; no markers; nothing of aborted transactions, if so asked.
 */
static void positions_and_transactions(void)
{
	static const char abort_key[] = "\0\0\0\0";

	for (int committed = 0; committed < 2; committed++) {
		struct talk t = {0};
		struct buf all = {0};
		struct batch b = BATCH(.base = 10);

		record(&b, NULL, "before", NULL);
		record(&b, NULL, "plain", NULL);
		batch_put(&all, &b, SPAN_EMPTY);
		b = BATCH(.base = 12, .producer = 5, .attributes = 0x10);
		record(&b, NULL, "aborted", NULL);
		batch_put(&all, &b, SPAN_EMPTY);
		b = BATCH(.base = 13, .producer = 6, .attributes = 0x10);
		record(&b, NULL, "committed", NULL);
		batch_put(&all, &b, SPAN_EMPTY);
		b = BATCH(.base = 14, .producer = 5, .attributes = 0x30, .n = 1);
		/* A marker: its length, then attributes, two deltas, key, value, no headers. */
		varint(&b.records, 0);
		put(&b.records, "ooo", 0, 0, 0);
		varint(&b.records, 4);
		buf_put(&b.records, abort_key, 4);
		varint(&b.records, 2);
		put(&b.records, "ho", 0, 0);
		b.records.p[0] = 2 * (uint8_t)(b.records.n - 1);
		batch_put(&all, &b, SPAN_EMPTY);
		b = BATCH(.base = 15, .producer = 5, .attributes = 0x10);
		record(&b, NULL, "again", NULL);
		batch_put(&all, &b, SPAN_EMPTY);
		b = BATCH(.base = 16);
		record(&b, NULL, "cut off", NULL);
		batch_put(&all, &b, SPAN_EMPTY);
		all.n -= 3;
		fetch(client(&t), 1, committed, 0, 11);
		fetched(server(&t), 1, buf_span(&all), "", 5, 12);
		buf_free(&all);
#define GOT "RECEIVE log ex=MDEyMzQ1Njc4OWFiY2RlZg key=0 consumer=shop log=MDEyMzQ1Njc4OWFiY2RlZg-0 mid="
#define AT  " {timestamp=1700000000000}\n"
		check(&t, committed ? "1 " GOT "11 size=5 body=plain {timestamp=1700000000010}\n"
				      "2 " GOT "13 size=9 body=committed" AT "3 " GOT
				      "15 size=5 body=again" AT
				    : "1 " GOT "11 size=5 body=plain {timestamp=1700000000010}\n"
				      "2 " GOT "12 size=7 body=aborted" AT "3 " GOT
				      "13 size=9 body=committed" AT "4 " GOT "15 size=5 body=again" AT);
	}
}

/* --- message sets --- */

static struct buf gzipped(struct span s)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)s.p, .avail_in = (uInt)s.n};
	struct buf out = {0};

	deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
	buf_reserve(&out, deflateBound(&z, s.n));
	z.next_out = out.p;
	z.avail_out = (uInt)out.cap;
	deflate(&z, Z_FINISH);
	out.n = z.total_out;
	deflateEnd(&z);
	return out;
}

/* v1: a wrapper with the last offset around relative ones; v0: absolute ones. A cut message at the end. */
static void message_sets(void)
{
	struct buf inner = {0}, set = {0}, packed;
	struct talk t = {0};

	message(&inner, 1, 0, 0, "a", SPAN_LIT("one"));
	message(&inner, 1, 0, 2, "b", SPAN_LIT("three"));
	packed = gzipped(buf_span(&inner));
	message(&set, 1, 1, 102, NULL, buf_span(&packed));
	buf_free(&packed);
	buf_clear(&inner);
	message(&inner, 0, 0, 103, "c", SPAN_LIT("four"));
	packed = gzipped(buf_span(&inner));
	message(&set, 0, 1, 103, NULL, buf_span(&packed));
	message(&set, 0, 0, 104, NULL, SPAN_LIT("five"));
	message(&set, 0, 0, 105, NULL, SPAN_LIT("six"));
	set.n -= 1;
	ask(client(&t), 1, 2, 3, "llllsllLl", -1, 500, 1, 1, "old", 1, 0, 101LL, 1 << 20);
	answer(server(&t), 3, "llsllhLB", 0, 1, "old", 1, 0, 0, 200LL, buf_span(&set));
	buf_clear(&set);
	message(&set, 1, 0, 0, "a", SPAN_LIT("one"));
	message(&set, 1, 0, 1, "b", SPAN_LIT("two"));
	ask(client(&t), 0, 2, 4, "hllsllB", 1, 1000, 1, "old", 1, 0, buf_span(&set));
	answer(server(&t), 4, "lsllhLLl", 1, "old", 1, 0, 0, 300LL, -1LL, 0);
	buf_free(&packed);
	buf_free(&inner);
	buf_free(&set);
	check(&t, "1 RECEIVE log ex=old key=0 consumer=shop log=old-0 mid=102 size=5 body=three {key=b} "
		  "{timestamp=1700000000000}\n"
		  "2 RECEIVE log ex=old key=0 consumer=shop log=old-0 mid=103 size=4 body=four {key=c}\n"
		  "3 RECEIVE log ex=old key=0 consumer=shop log=old-0 mid=104 size=4 body=five\n"
		  "4 SEND log ex=old key=0 log=old-0 size=3 body=one {key=a} {timestamp=1700000000000}\n"
		  "5 SEND log ex=old key=0 log=old-0 size=3 body=two {key=b} {timestamp=1700000000000}\n"
		  "6 CONFIRM log ex=old key=0 log=old-0 mid=300 ref=4\n"
		  "7 CONFIRM log ex=old key=0 log=old-0 mid=301 ref=5\n");
}

/* --- transactions --- */

static void transaction_aborted(void)
{
	struct talk t = {0};
	struct batch b = BATCH(.producer = 8, .epoch = 0, .sequence = 0, .attributes = 0x10);

	record(&b, NULL, "x", NULL);
	produce(client(&t), 1, -1, "tx", &b);
	produced(server(&t), 1, 0, 20);
	ask(client(&t), 26, 3, 2, "tcLhot", "tx", 8LL, 0, 0);
	answer(server(&t), 2, "tlht", 0, 0);
	b = BATCH(.producer = 8, .epoch = 0, .sequence = 1, .attributes = 0x10);
	record(&b, NULL, "y", NULL);
	produce(client(&t), 3, -1, "tx", &b);
	produced(server(&t), 3, 0, 22);
	/* Dies, and begins anew. */
	ask(client(&t), 22, 4, 4, "tclLht", "tx", 60000, -1LL, -1);
	answer(server(&t), 4, "tlhLht", 0, 0, 8LL, 1);
	ask(client(&t), 26, 3, 5, "tcLhot", "tx", 8LL, 1, 1);
	answer(server(&t), 5, "tlht", 0, 0);
	check(&t, "1 SEND log ex=orders key=0 log=orders-0 tx size=1 body=x {timestamp=1700000000000}\n"
		  "2 CONFIRM log ex=orders key=0 log=orders-0 mid=20 ref=1 tx stored\n"
		  "3 CONFIRM log log=orders-0 mid=20 ref=1 negative tx\n"
		  "4 SEND log ex=orders key=0 log=orders-0 tx size=1 body=y {timestamp=1700000000000}\n"
		  "5 CONFIRM log ex=orders key=0 log=orders-0 mid=22 ref=4 tx stored\n"
		  "6 CONFIRM log log=orders-0 mid=22 ref=4 negative tx\n");
}

/* --- groups --- */

static void synced(struct talk *t, int correlation, const char *topic, int partitions)
{
	struct buf a = {0};

	put(&a, "hlsl", 0, 1, topic, partitions);
	for (int i = 0; i < partitions; i++)
		be(&a, (uint64_t)i, 4);
	be(&a, 0xffffffff, 4);
	ask(client(t), 14, 3, correlation, "slssl", "billing", 1, "m-1", NULL, 0);
	answer(server(t), correlation, "lhB", 0, 0, buf_span(&a));
	buf_free(&a);
}

static void classic_group(void)
{
	struct talk t = {0};

	ask(client(&t), 11, 5, 1, "sllsssl", "billing", 10000, 10000, "", NULL, "consumer", 0);
	answer(server(&t), 1, "lhlsssl", 0, 79, -1, "", "", "m-1", 0);
	synced(&t, 2, "orders", 3);
	synced(&t, 3, "orders", 3); /* nothing new */
	synced(&t, 4, "orders", 1);
	synced(&t, 5, "invoices", 1);
	ask(client(&t), 8, 7, 6,
		"slssls"
		"llLls",
		"billing", 1, "m-1", NULL, 1, "invoices", 1, 0, 55LL, -1, "");
	answer(server(&t), 6, "llsllh", 0, 1, "invoices", 1, 0, 0);
	ask(client(&t), 8, 7, 7,
		"slssls"
		"llLls",
		"billing", 1, "m-1", NULL, 1, "invoices", 1, 0, 56LL, -1, "");
	answer(server(&t), 7, "llsllh", 0, 1, "invoices", 1, 0, 22);
	ask(client(&t), 13, 1, 8, "ss", "billing", "m-1");
	answer(server(&t), 8, "lh", 0, 0);
	check(&t, "1 SUBSCRIBE log ex=orders q=billing consumer=shop text=0,1,2\n"
		  "2 SUBSCRIBE log ex=orders q=billing consumer=shop text=0\n"
		  "3 SUBSCRIBE log ex=invoices q=billing consumer=shop text=0\n"
		  "4 UNSUBSCRIBE log ex=orders q=billing consumer=shop\n"
		  "5 SETTLE log ex=invoices key=0 q=billing consumer=shop log=invoices-0 mid=55 ack up-to\n"
		  "6 ERROR log ex=invoices key=0 q=billing consumer=shop log=invoices-0 code=22 "
		  "text=ILLEGAL_GENERATION\n"
		  "7 UNSUBSCRIBE log ex=invoices q=billing consumer=shop\n");
}

/* Connect's workers share out connectors, not topics. */
static void other_group(void)
{
	struct talk t = {0};

	ask(client(&t), 11, 5, 1, "sllsssl", "billing", 10000, 10000, "", NULL, "connect", 0);
	answer(server(&t), 1, "lhlsssl", 0, 0, 1, "", "", "m-1", 0);
	synced(&t, 2, "orders", 3);
	check(&t, "");
}

/* A reader that was there before tells by its commits what it reads; the connection's end ends it. */
static void attached_group(void)
{
	struct talk t = {0};

	from_start = false;
	ask(client(&t), 8, 2, 6,
		"slsLls"
		"llLslLs",
		"billing", 1, "m-1", -1LL, 1, "orders", 2, 0, 5LL, "", 2, 9LL, "");
	answer(server(&t), 6,
		"ls"
		"llhlh",
		1, "orders", 2, 0, 0, 2, 0);
	ask(client(&t), 9, 1, 7, "slsll", "billing", 1, "orders", 1, 1);
	answer(server(&t), 7, "lsllLsh", 1, "orders", 1, 1, 33LL, "", 0);
	check(&t, "1 SUBSCRIBE log ex=orders q=billing consumer=shop text=0,2\n"
		  "2 SETTLE log ex=orders key=0 q=billing consumer=shop log=orders-0 mid=5 ack up-to\n"
		  "3 SETTLE log ex=orders key=2 q=billing consumer=shop log=orders-2 mid=9 ack up-to\n"
		  "4 SETTLE log ex=orders key=1 q=billing consumer=shop log=orders-1 mid=33 ack up-to "
		  "reported\n"
		  "5 UNSUBSCRIBE log ex=orders q=billing consumer=shop\n");
	from_start = true;
}

/* --- logins --- */

static void raw_token(struct buf *b, struct span s)
{
	put(b, "B", s);
}

static void logins(void)
{
	static const char plain[] = "\0jane\0hunter2";
	struct talk t = {0};

	/* Bare tokens, after a handshake of version 0. */
	ask(client(&t), 17, 0, 1, "s", "PLAIN");
	answer(server(&t), 1, "hls", 0, 1, "PLAIN");
	raw_token(client(&t), span_of(plain, sizeof(plain) - 1));
	raw_token(server(&t), SPAN_EMPTY);
	ask(client(&t), 3, 0, 2, "l", 0);
	check(&t, "1 LOGIN log text=jane\n");

	ask(client(&t), 17, 1, 1, "s", "SCRAM-SHA-256");
	answer(server(&t), 1, "hls", 0, 1, "SCRAM-SHA-256");
	ask(client(&t), 36, 2, 2, "tCt", SPAN_LIT("n,,n=joe,r=abc"));
	answer(server(&t), 2, "thcCLt", 0, NULL, SPAN_LIT("r=abcd,s=c2FsdA==,i=4096"), 0LL);
	ask(client(&t), 36, 2, 3, "tCt", SPAN_LIT("c=biws,r=abcd,p=hunter2"));
	answer(server(&t), 3, "thcCLt", 0, NULL, SPAN_LIT("v=abc"), 0LL);
	ask(client(&t), 3, 0, 4, "l", 0);
	check(&t, "1 LOGIN log text=joe\n");

	ask(client(&t), 17, 1, 1, "s", "PLAIN");
	answer(server(&t), 1, "hls", 0, 1, "PLAIN");
	ask(client(&t), 36, 0, 2, "B", span_of(plain, sizeof(plain) - 1));
	answer(server(&t), 2, "hsB", 58, "no", SPAN_EMPTY);
	check(&t, "1 ERROR log code=58 text=SASL_AUTHENTICATION_FAILED\n");

	ask(client(&t), 17, 1, 1, "s", "OAUTHBEARER");
	answer(server(&t), 1, "hls", 0, 1, "OAUTHBEARER");
	ask(client(&t), 36, 0, 2, "B", SPAN_LIT("n,a=ann,\1auth=hunter2"));
	answer(server(&t), 2, "hsB", 0, NULL, SPAN_EMPTY);
	ask(client(&t), 3, 0, 4, "l", 0);
	check(&t, "1 LOGIN log text=ann\n");
}

/* --- losses and limits --- */

/* What is fed to the server and the client in turns, with holes. */
static void holes(void)
{
	struct batch b = BATCH(.base = 0);
	struct buf c = {0};
	struct feed f;

	/* Inside of a request whose header was seen: its response is passed over, the next request read. */
	talk_begin(&f, &proto_kafka);
	record(&b, NULL, "one", NULL);
	produce(&c, 1, 1, NULL, &b);
	feed_bytes(&f, TO_SERVER, span_sub(buf_span(&c), 0, 30));
	feed_gap(&f, TO_SERVER, 11);
	f.lost[TO_SERVER] = true;
	feed_bytes(&f, TO_SERVER, span_sub(buf_span(&c), 41, SIZE_MAX));
	buf_clear(&c);
	b = BATCH(.base = 0);
	record(&b, NULL, "two", NULL);
	produce(&c, 2, 1, NULL, &b);
	feed_bytes(&f, TO_SERVER, buf_span(&c));
	buf_clear(&c);
	produced(&c, 1, 0, 7);
	produced(&c, 2, 0, 8);
	feed_bytes(&f, TO_CLIENT, buf_span(&c));
	buf_clear(&c);
	/* Of unknown size: the next frames are found. */
	feed_gap(&f, TO_SERVER, 0);
	feed_gap(&f, TO_CLIENT, 0);
	feed_bytes(&f, TO_SERVER, SPAN_LIT("\0\0\0\x10the rest of something"));
	b = BATCH(.base = 0);
	record(&b, NULL, "three", NULL);
	produce(&c, 3, 1, NULL, &b);
	feed_bytes(&f, TO_SERVER, buf_span(&c));
	buf_clear(&c);
	feed_bytes(&f, TO_CLIENT, SPAN_LIT("\0\0\0\x10\0\0\0\x02\0\0\0\x01 of another"));
	produced(&c, 3, 0, 9);
	feed_bytes(&f, TO_CLIENT, buf_span(&c));
	talk_end(&f,
		"1 SEND log ex=orders key=0 log=orders-0 size=3 body=two {timestamp=1700000000000}\n"
		"2 CONFIRM log ex=orders key=0 log=orders-0 mid=8 ref=1\n"
		"3 SEND log ex=orders key=0 log=orders-0 size=5 body=three {timestamp=1700000000000}\n"
		"4 CONFIRM log ex=orders key=0 log=orders-0 mid=9 ref=3\n",
		&(struct talk_way){.name = "holes"});
	buf_free(&c);
}

/* A fetch larger than a stream keeps: collected, or, when a hole comes, what is before it. */
static void large_frames(void)
{
	static char value[1 << 20];
	struct talk t = {0};
	struct buf all = {0};
	struct feed f;

	memset(value, 'v', sizeof(value) - 1);
	for (int i = 0; i < 20; i++) {
		struct batch b = BATCH(.base = i);

		record(&b, NULL, value, NULL);
		batch_put(&all, &b, SPAN_EMPTY);
	}
	fetch(client(&t), 1, 0, 0, 0);
	fetched(server(&t), 1, buf_span(&all), NULL, 0, 0);
	for (int hole = 0; hole < 2; hole++) {
		struct span s = buf_span(&t.turn[1].b);
		size_t most = 0;

		talk_begin(&f, &proto_kafka);
		f.quiet = true;
		feed_bytes(&f, TO_SERVER, buf_span(&t.turn[0].b));
		while (s.n) {
			feed_bytes(&f, TO_CLIENT, span_sub(s, 0, 1 << 20));
			most = f.held[TO_CLIENT].n > most ? f.held[TO_CLIENT].n : most;
			s = span_sub(s, 1 << 20, SIZE_MAX);
			if (hole && s.n < 10u << 20 && s.n > 9u << 20) {
				feed_gap(&f, TO_CLIENT, 1000);
				s = span_sub(s, 1000, SIZE_MAX);
			}
		}
		CHECK(most < 1 << 20);
		CHECK_EQ(f.ops, hole ? 10 : 20);
		/* It goes on behind it. */
		buf_clear(&all);
		fetch(&all, 2, 0, 1, 20);
		feed_bytes(&f, TO_SERVER, buf_span(&all));
		buf_clear(&all);
		{
			struct batch b = BATCH(.base = 20);
			struct buf r = {0};

			record(&b, NULL, "next", NULL);
			batch_put(&r, &b, SPAN_EMPTY);
			fetched(&all, 2, buf_span(&r), NULL, 0, 0);
			buf_free(&r);
		}
		feed_bytes(&f, TO_CLIENT, buf_span(&all));
		CHECK_EQ(f.ops, hole ? 11 : 21);
		CHECK(!f.bad);
		feed_end(&f);
		feed_free(&f);
	}
	buf_free(&all);
	talk_free(&t);
}

/* 2 GiB of nothing in a batch of some kilobytes, a packing that does not exist, a batch that lies. */
static void hostile_batches(void)
{
	struct buf zeros = {0}, packed;
	struct talk t = {0};
	struct buf all = {0};
	struct batch b = BATCH(.attributes = 1, .n = 1000000);

	buf_reserve(&zeros, 100u << 20);
	memset(zeros.p, 0, 100u << 20);
	varint(&zeros, 90 << 20); /* one record of 90 MiB */
	packed = gzipped(span_of(zeros.p, 100u << 20));
	batch_put(&all, &b, buf_span(&packed));
	b = BATCH(.base = 50, .attributes = 7, .n = 2);
	batch_put(&all, &b, SPAN_LIT("whatever"));
	b = BATCH(.base = 60);
	record(&b, NULL, "x", NULL);
	b.n = 2000000000;
	b.last = 1;
	batch_put(&all, &b, SPAN_EMPTY);
	fetch(client(&t), 1, 0, 0, 0);
	fetched(server(&t), 1, buf_span(&all), NULL, 0, 0);
	talk_try(&proto_kafka, &t,
		"1 " GOT "0 gap\n"
		"2 " GOT "50 gap\n"
		"3 " GOT "60 size=1 body=x" AT "4 " GOT "61 gap\n",
		&(struct talk_way){.name = "whole"});
	talk_free(&t);
	buf_free(&all);
	buf_free(&packed);
	buf_free(&zeros);
}

static void payload_limited(void)
{
	struct talk t = {0};
	struct batch b = BATCH(.base = 0);

	payload_limit = 4;
	record(&b, NULL, "four more", NULL);
	produce(client(&t), 1, 1, NULL, &b);
	check(&t, "1 SEND log ex=orders key=0 log=orders-0 truncated size=9 body=four "
		  "{timestamp=1700000000000}\n");
	payload_limit = 0;
}

/* --- fields --- */

static void framework_headers(void)
{
	struct buf e = {0}, out = {0}, other = {0};

	pairs_begin(&e);
	pairs_property(&e, "key", SPAN_LIT("k"));
	pairs_int(&e, "timestamp", 1);
	pairs_header(&e, SPAN_LIT("kafka_dlt-original-topic"), SPAN_LIT("orders"));
	pairs_header(&e, SPAN_LIT("kafka_dlt-original-partition"), SPAN_LIT("\0\0\0\3"));
	pairs_header(&e, SPAN_LIT("kafka_dlt-original-offset"), SPAN_LIT("\0\0\0\0\0\0\x12\x67"));
	pairs_header(
		&e, SPAN_LIT("kafka_dlt-original-timestamp"), SPAN_LIT("\xff\xff\xff\xff\xff\xff\xff\xff"));
	pairs_header(&e, SPAN_LIT("retry_topic-attempts"), SPAN_LIT("\0\0\0\2"));
	pairs_header(&e, SPAN_LIT("retry_topic-backoff-timestamp"), SPAN_LIT("\1\x8b\xcf\xe5\x68\0"));
	pairs_header(&e, SPAN_LIT("retry_topic-original-timestamp"), SPAN_LIT("\x12\x67"));
	pairs_header(&e, SPAN_LIT("kafka_original-offset"), SPAN_LIT("17")); /* not 8 bytes: as it is */
	pairs_header(&e, SPAN_LIT("__connect.errors.offset"), SPAN_LIT("99"));
	CHECK_EQ(proto_kafka.fields(buf_span(&e), put_field, &out), 0);
	CHECK_STR(buf_cstr(&out),
		" {key=k} {timestamp=1} {header.kafka_dlt-original-topic=orders} "
		"{header.kafka_dlt-original-partition=3} {header.kafka_dlt-original-offset=4711} "
		"{header.kafka_dlt-original-timestamp=-1} {header.retry_topic-attempts=2} "
		"{header.retry_topic-backoff-timestamp=1700000000000} "
		"{header.retry_topic-original-timestamp=4711} "
		"{header.kafka_original-offset=17} {header.__connect.errors.offset=99}");
	/* The broker's time of arrival does not make another message of it; a header does. */
	pairs_begin(&e);
	pairs_property(&e, "key", SPAN_LIT("k"));
	pairs_int(&e, "timestamp", 1);
	pairs_begin(&other);
	pairs_int(&other, "timestamp", 2);
	pairs_property(&other, "key", SPAN_LIT("k"));
	CHECK(proto_kafka.stable_hash(buf_span(&e), 1) == proto_kafka.stable_hash(buf_span(&other), 1));
	pairs_header(&other, SPAN_LIT("h"), SPAN_LIT("v"));
	CHECK(proto_kafka.stable_hash(buf_span(&e), 1) != proto_kafka.stable_hash(buf_span(&other), 1));
	buf_free(&e);
	buf_free(&out);
	buf_free(&other);
}

int main(void)
{
	RUN(produce_and_confirm);
	RUN(retry);
	RUN(unanswered);
	RUN(topic_ids);
	RUN(member_by_id);
	RUN(named_by_commit);
	RUN(topic_found_out);
	RUN(positions_and_transactions);
	RUN(message_sets);
	RUN(transaction_aborted);
	RUN(classic_group);
	RUN(other_group);
	RUN(attached_group);
	RUN(logins);
	RUN(holes);
	RUN(large_frames);
	RUN(hostile_batches);
	RUN(payload_limited);
	RUN(framework_headers);
	return test_end();
}
