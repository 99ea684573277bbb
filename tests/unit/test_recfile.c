/* Record files: what was written comes back as the same calls; cut and damaged files give all that is whole.
 */
#include "test.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/le.h"
#include "base/timefmt.h"
#include "calls.h"
#include "capture/recfile.h"

static char path[64];
static struct memfile copy;

/* Each kind of call at least once, with extreme values. */
static void make_calls(const struct sink *k)
{
	struct endpoint_info e = {.id = UINT64_MAX,
		.pid = 7,
		.ts_ns = 1700000000123456789,
		.family = AF_INET6,
		.netns = 4026531840,
		.local_addr = {1, 2, 3, [15] = 4},
		.remote_addr = {[15] = 0xff},
		.local_port = 65535,
		.remote_port = 5672,
		.path = "@bus",
		.peer_id = 1ULL << 63,
		.role = ENDPOINT_SERVER,
		.from_start = true,
		.pos = {UINT64_MAX, 0x123456789abcdef0}};
	struct chunk c = {.endpoint = UINT64_MAX,
		.dir = DIR_RX,
		.pos = 0xfffffffffffffff0,
		.len = 9,
		.data = span_of("AMQP\0\0\t\1", 8),
		.ts_ns = 1700000000123456790,
		.pid = 7,
		.tid = 8,
		.unit = 0xdeadbeefcafe};
	struct proc_info p = {.pid = 7,
		.ppid = 1,
		.start_ns = 0,
		.comm = "beam.smp",
		.exe = "/usr/lib/erlang",
		.cmdline = "beam.smp -W w",
		.service = "rabbit",
		.cgroup = ""};
	struct loss_info l = {.endpoint = 0,
		.ts_ns = 1700000000123456799,
		.bytes = 1ULL << 40,
		.records = 3,
		.reason = "ring buffer full"};

	k->proc(k->ctx, &p);
	k->open(k->ctx, &e);
	k->chunk(k->ctx, &c);
	c = (struct chunk){.endpoint = 1, .len = UINT32_MAX};
	k->chunk(k->ctx, &c);
	k->loss(k->ctx, &l);
	k->tick(k->ctx, 1700000001123456789);
	k->close(k->ctx, UINT64_MAX, 1700000001123456790, true);
	k->proc_exit(k->ctx, 7, 1700000001123456791, -1);
	k->proc_exit(k->ctx, 8, 1700000001123456792, 256);
}

static struct buf expected(void)
{
	struct calls c = {0};
	struct sink k = calls_sink(&c);

	make_calls(&k);
	return c.text;
}

static void write_calls(void)
{
	struct recfile *r;
	struct sink k;

	unlink(path);
	CHECK_EQ(recfile__create(path, "-- ./shop.sh", "host1", &r, NULL), 0);
	recfile_sink(r, NULL, &k);
	make_calls(&k);
	CHECK_EQ(recfile__close(r, NULL), 0);
}

/* Reads @p with the result of opening and running; what came is appended to @got. */
static int read_back(const char *p, struct calls *got, struct source_info *info, bool *cut, struct err *e)
{
	struct sink k = calls_sink(got);
	struct source *s;
	int err;

	*cut = false;
	err = source__open(p, &s, info, e);
	if (err)
		return err;
	err = source_run(s, &k, NULL, NULL, e);
	*cut = source_was_cut(s);
	source__close(s);
	return err;
}

static void roundtrip(void)
{
	struct buf want = expected();
	struct source_info info;
	struct calls got = {0};
	struct stat st;
	struct err e;
	bool cut;

	write_calls();
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0600);
	CHECK_EQ(read_back(path, &got, &info, &cut, &e), 0);
	CHECK(!cut);
	CHECK_STR(buf_cstr(&got.text), buf_cstr(&want));
	CHECK_STR(info.kind, "record file");
	CHECK_STR(info.scope, "-- ./shop.sh");
	CHECK_STR(info.host, "host1");
	CHECK(info.first_ns > 1600000000000000000);
	buf_free(&got.text);
	buf_free(&want);
}

/* The sink behind the writer gets the same calls, also when the file cannot be written any more. */
static void passes_on(void)
{
	struct buf want = expected();
	struct calls got = {0};
	struct sink next = calls_sink(&got), k;
	struct recfile *r;
	struct err e = {0};

	unlink(path);
	CHECK_EQ(recfile__create(path, "", "", &r, NULL), 0);
	recfile_sink(r, &next, &k);
	make_calls(&k);
	CHECK_EQ(recfile__close(r, NULL), 0);
	CHECK_STR(buf_cstr(&got.text), buf_cstr(&want));
	CHECK_EQ(recfile__create(path, "", "", &r, &e), -EEXIST);
	CHECK(strstr(e.msg, path) && e.hint[0]);
	CHECK_EQ(recfile__create("/nowhere/at/all", "", "", &r, &e), -ENOENT);
	buf_free(&got.text);
	buf_free(&want);
}

static bool begins_like(const struct buf *all, const struct buf *part)
{
	return part->n <= all->n && (!part->n || !memcmp(all->p, part->p, part->n));
}

static void cut_at_every_length(void)
{
	struct buf want = expected(), whole;
	size_t whole_records = 0;

	write_calls();
	whole = read_file(path);
	for (size_t n = 0; n < whole.n; n++) {
		struct calls got = {0};
		struct source_info info;
		struct err e = {0};
		bool cut;
		int err;

		memfile_set(&copy, whole.p, n);
		err = read_back(copy.path, &got, &info, &cut, &e);
		CHECK(begins_like(&want, &got.text));
		if (err) /* inside of the file's header */
			CHECK((err == -EBADMSG || err == -EINVAL) && !got.text.n && strstr(e.msg, copy.path));
		whole_records += !err && !cut;
		buf_free(&got.text);
	}
	CHECK_EQ(whole_records, 9); /* the ends of all records but the last one, and of the header */
	buf_free(&want);
	buf_free(&whole);
}

static void every_bit_counts(void)
{
	struct buf want = expected(), whole;

	write_calls();
	whole = read_file(path);
	for (size_t bit = 0; bit < whole.n * 8; bit++) {
		struct calls got = {0};
		struct source_info info;
		struct err e = {0};
		bool cut;
		int err;

		whole.p[bit / 8] ^= 1 << bit % 8;
		memfile_set(&copy, whole.p, whole.n);
		err = read_back(copy.path, &got, &info, &cut, &e);
		CHECK(err == -EBADMSG || err == -EINVAL || err == -EPROTO);
		CHECK(begins_like(&want, &got.text) && got.text.n < want.n);
		if (err == -EBADMSG) {
			const char *at = strstr(e.msg, "at byte ");

			CHECK(at && strtoull(at + 8, NULL, 10) <= bit / 8);
		}
		whole.p[bit / 8] ^= 1 << bit % 8;
		buf_free(&got.text);
	}
	buf_free(&want);
	buf_free(&whole);
}

static void other_files(void)
{
	static const struct {
		const char *bytes;
		size_t n;
		int err;
		const char *says;
	} t[] = {
		{"", 0, -EINVAL, "empty"},
		{"hello, world, this is text", 26, -EINVAL, "neither"},
		{"\x1f\x8b\x08\0\0\0\0\0\0\3\xff\xff", 12, -EBADMSG, "gzip"},
		{"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff", 10, -EBADMSG, "is cut"},
		{"\x28\xb5\x2f\xfd\0\x58\7\0\0\0\0\0", 12, -EBADMSG, "zstd"},
		{"\xfd"
		 "7zXZ\0",
			6, -EINVAL, "compressed (xz)"},
		{"snoop\0\0\0\0\0\0\2", 12, -EINVAL, "a snoop file"},
		{"\0\0\0\0\0\xf1\x53\x65\2\4\0\x52\0\0\0\x40", 16, -EINVAL, "an ERF file"},
		{"evtrace\n\2\0\0\0\0\0\0\0", 16, -EPROTO, "newer"},
		{"evtrace\n\1\0\0\0\xff\xff\xff\xff", 16, -EBADMSG, "byte 0"},
		{"evtrace\n\1", 9, -EBADMSG, "header"},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct calls got = {0};
		struct source_info info;
		struct err e = {0};
		bool cut;

		memfile_set(&copy, t[i].bytes, t[i].n);
		CHECK_EQ(read_back(copy.path, &got, &info, &cut, &e), t[i].err);
		CHECK(strstr(e.msg, t[i].says) != NULL);
	}
	{
		struct calls got = {0};
		struct source_info info;
		struct err e = {0};
		bool cut;

		CHECK_EQ(read_back("/nowhere", &got, &info, &cut, &e), -ENOENT);
		CHECK_EQ(read_back("/", &got, &info, &cut, &e), -EISDIR);
	}
}

/* A record that is whole but says nonsense. */
static void refuses(const struct buf *header, const struct buf *body)
{
	struct source_info info;
	struct calls got = {0};
	struct buf b = {0};
	struct err e = {0};
	bool cut;

	buf_put_span(&b, buf_span(header));
	le_put(&b, body->n, 4);
	le_put(&b, crc32(0, body->p, (unsigned)body->n), 4);
	le_put(&b, crc32(0, b.p + header->n, 8), 4);
	buf_put_span(&b, buf_span(body));
	memfile_set(&copy, b.p, b.n);
	CHECK_EQ(read_back(copy.path, &got, &info, &cut, &e), -EBADMSG);
	CHECK(strstr(e.msg, "makes no sense") != NULL);
	CHECK_EQ(got.text.n, 0);
	buf_free(&b);
	buf_free(&got.text);
}

static void put_chunk(struct buf *b, unsigned dir, unsigned len, const char *data)
{
	buf_clear(b);
	le_put(b, 4, 1);
	le_put(b, 1, 8);
	le_put(b, dir, 1);
	le_put(b, 0, 8);
	le_put(b, len, 4);
	for (int i = 0; i < 3; i++) /* time, pid and tid, unit */
		le_put(b, 0, 8);
	buf_puts(b, data);
}

static void nonsense_with_a_good_checksum(void)
{
	static const struct span bodies[] = {
		{(const uint8_t *)"\x63", 1},                               /* a kind that does not exist */
		{(const uint8_t *)"\7", 1},                                 /* a tick without a time */
		{(const uint8_t *)"\7\xff\xff\xff\xff\xff\xff\xff\xff", 9}, /* before time began */
		{(const uint8_t *)"\7\xff\xff\xff\xff\xff\xff\xff\x7f", 9}, /* after its end */
		{(const uint8_t *)"\1\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff",
			21}, /* a name beyond it */
	};
	struct buf header, body = {0};

	write_calls();
	header = read_file(path);
	header.n = 16 + le_get(header.p + 12, 4) + 4;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		buf_clear(&body);
		buf_put_span(&body, bodies[i]);
		refuses(&header, &body);
	}
	put_chunk(&body, 0, 1, "ab"); /* two bytes of one */
	refuses(&header, &body);
	put_chunk(&body, 7, 2, "ab"); /* direction 7 */
	refuses(&header, &body);
	buf_free(&header);
	buf_free(&body);
}

static void sink_may_stop(void)
{
	struct calls got = {.stop_after = 3};
	struct source_info info;
	struct err e = {0};
	bool cut;

	write_calls();
	CHECK_EQ(read_back(path, &got, &info, &cut, &e), -5);
	CHECK_EQ(got.n, 3);
	buf_free(&got.text);
}

/* Larger than any buffer on the way. */
static void large_chunks(void)
{
	struct calls got = {0};
	struct source_info info;
	struct recfile *r;
	struct sink k;
	struct err e;
	uint8_t *p = malloc(3 << 20);
	bool cut;

	memset(p, 'x', 3 << 20);
	unlink(path);
	CHECK_EQ(recfile__create(path, "", "", &r, NULL), 0);
	recfile_sink(r, NULL, &k);
	for (uint32_t n = 1; n < 3 << 20; n = n * 3 + 1) {
		struct chunk c = {.endpoint = n, .len = n, .data = span_of(p, n)};

		k.chunk(k.ctx, &c);
	}
	CHECK_EQ(recfile__close(r, NULL), 0);
	CHECK_EQ(read_back(path, &got, &info, &cut, &e), 0);
	CHECK_EQ(got.text.n > 3 << 20, 1);
	buf_free(&got.text);
	free(p);
}

/* --- secrets --- */

static int64_t clock_ns;

static void begin_masked(struct recfile **r, struct sink *k, const struct sink *next)
{
	unlink(path);
	clock_ns = 1700000000 * NS_PER_SEC;
	CHECK_EQ(recfile__create(path, "", "", r, NULL), 0);
	recfile_sink(*r, next, k);
}

static void put_text(const struct sink *k, uint64_t endpoint, enum dir dir, uint64_t pos, const char *text)
{
	struct chunk c = {.endpoint = endpoint,
		.dir = dir,
		.pos = pos,
		.len = (uint32_t)strlen(text) + 5, /* some were lost */
		.data = span_str(text),
		.ts_ns = clock_ns};

	CHECK_EQ(k->chunk(k->ctx, &c), 0);
}

static void pass(const struct sink *k, int64_t ns)
{
	CHECK_EQ(k->tick(k->ctx, clock_ns += ns), 0);
}

/* The chunks' bytes as they stand in a file that is sound, "|" behind each. */
static int join_chunk(void *ctx, const struct chunk *c)
{
	buf_put_span(ctx, c->data);
	buf_putc(ctx, '|');
	return 0;
}

static int any_proc(void *ctx, const struct proc_info *p)
{
	(void)ctx, (void)p;
	return 0;
}

static int any_open(void *ctx, const struct endpoint_info *e)
{
	(void)ctx, (void)e;
	return 0;
}

static int any_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	(void)ctx, (void)endpoint, (void)ts_ns, (void)by_peer;
	return 0;
}

static int any_tick(void *ctx, int64_t ts_ns)
{
	(void)ctx, (void)ts_ns;
	return 0;
}

static void file_holds(const char *want)
{
	struct buf got = {0};
	struct sink k = {.ctx = &got,
		.proc = any_proc,
		.open = any_open,
		.chunk = join_chunk,
		.close = any_close,
		.tick = any_tick};
	struct source_info info;
	struct source *s;
	struct err e;

	CHECK_EQ(source__open(path, &s, &info, &e), 0);
	CHECK_EQ(source_run(s, &k, NULL, NULL, &e), 0);
	CHECK(!source_was_cut(s));
	source__close(s);
	CHECK_STR(buf_cstr(&got), want);
	buf_free(&got);
}

static void on_disk(const char *word, bool want)
{
	struct buf b = read_file(path);

	CHECK_EQ(b.n && memmem(b.p, b.n, word, strlen(word)), want);
	buf_free(&b);
}

/* @before: seconds between the bytes and the word that they are secret; negative: the word comes first. */
static void mask_after(int64_t before_ns)
{
	struct recfile *r;
	struct sink k;

	begin_masked(&r, &k, NULL);
	for (int told = before_ns < 0; told < 2; told++) {
		if (told == 1) {
			recfile_mask(r, 1, DIR_TX, 103, 10);
			recfile_mask(r, 2, DIR_RX, 103, 10);
		}
		if (told == (before_ns < 0)) {
			put_text(&k, 1, DIR_TX, 90, "0123456789");              /* ends before it */
			put_text(&k, 1, DIR_TX, 100, "01234567");               /* ends in it */
			put_text(&k, 1, DIR_RX, 100, "01234567");               /* the other direction */
			put_text(&k, 3, DIR_TX, 100, "01234567");               /* another connection */
			put_text(&k, 1, DIR_TX, 108, "890");                    /* lies in it */
			put_text(&k, 1, DIR_TX, 111, "12");                     /* ends with it */
			put_text(&k, 1, DIR_TX, 113, "345");                    /* begins behind it */
			put_text(&k, 2, DIR_RX, 95, "56789012345678901234567"); /* holds it */
			put_text(&k, 2, DIR_RX, 103, "");                       /* all lost */
			put_text(&k, 2, DIR_RX, 112, "234");                    /* again, its end */
			pass(&k, before_ns < 0 ? 0 : before_ns);
		}
	}
	CHECK_EQ(recfile__close(r, NULL), 0);
	file_holds("0123456789|012*****|01234567|01234567|***|**|345|56789012**********34567||*34|");
}

static void masks_before_and_after(void)
{
	mask_after(-1);
	mask_after(0);
	mask_after(NS_PER_SEC);
	mask_after(2 * NS_PER_SEC); /* in the file by now */
	mask_after(3600 * NS_PER_SEC);
}

/* What is told within 1.5 s never was in the file; what is older was, and is not any more. */
static void held_then_written(void)
{
	struct recfile *r;
	struct sink k;

	begin_masked(&r, &k, NULL);
	put_text(&k, 1, DIR_TX, 0, "early-bird");
	for (int i = 0; i < 14; i++) {
		pass(&k, NS_PER_SEC / 10);
		on_disk("early-bird", false);
	}
	put_text(&k, 1, DIR_TX, 10, "late-riser");
	pass(&k, NS_PER_SEC / 10);
	on_disk("early-bird", true);
	on_disk("late-riser", false);
	recfile_mask(r, 1, DIR_TX, 2, 16);
	on_disk("early-bird", false);
	on_disk("ea********", true);
	pass(&k, 10 * NS_PER_SEC);
	on_disk("********er", true);
	put_text(&k, 2, DIR_TX, 0, "last");
	CHECK_EQ(recfile__close(r, NULL), 0);
	file_holds("ea********|********er|last|");
}

/* A mask lasts as long as the endpoint; the number may come back. */
static void masks_end_with_the_endpoint(void)
{
	struct endpoint_info e = {.id = 1, .path = "", .from_start = true};
	struct recfile *r;
	struct sink k;

	begin_masked(&r, &k, NULL);
	k.open(k.ctx, &e);
	for (unsigned i = 0; i < 5; i++) /* the latest four count */
		recfile_mask(r, 1, DIR_TX, i * 10, 1);
	recfile_mask(r, 1, DIR_TX, UINT64_MAX - 1, UINT64_MAX);
	put_text(&k, 1, DIR_TX, 18, "abcdefghijklmnopqrstuvwxyz");
	k.close(k.ctx, 1, clock_ns, false);
	put_text(&k, 1, DIR_TX, 18, "abcd");
	recfile_mask(r, 1, DIR_TX, 20, 1);
	e.from_start = false;
	k.open(k.ctx, &e); /* seen anew: the same connection */
	put_text(&k, 1, DIR_TX, 18, "abcd");
	e.from_start = true;
	k.open(k.ctx, &e);
	put_text(&k, 1, DIR_TX, 18, "abcd");
	CHECK_EQ(recfile__close(r, NULL), 0);
	file_holds("ab*defghijkl*nopqrstuv*xyz|ab*d|ab*d|abcd|");
}

/* More than is held in memory: the oldest bytes are written early, and blanked in the file. */
static void more_than_is_held(void)
{
	enum { N = 40, SIZE = 1 << 20 };
	struct buf want = {0};
	char *text = malloc(SIZE + 1);
	struct recfile *r;
	struct sink k;

	memset(text, 'x', SIZE);
	text[SIZE] = 0;
	begin_masked(&r, &k, NULL);
	for (uint64_t i = 0; i < N; i++)
		put_text(&k, 1, DIR_TX, i * SIZE, text);
	recfile_mask(r, 1, DIR_TX, 1, (uint64_t)N * SIZE - 2);
	CHECK_EQ(recfile__close(r, NULL), 0);
	for (int i = 0; i < N; i++) {
		memset(text, '*', SIZE);
		if (!i)
			text[0] = 'x';
		if (i == N - 1)
			text[SIZE - 1] = 'x';
		buf_puts(&want, text);
		buf_putc(&want, '|');
	}
	file_holds(buf_cstr(&want));
	buf_free(&want);
	free(text);
}

/* The decoder behind the writer tells of bytes that the writer is just given. */
static struct recfile *told_file;

static int tell_chunk(void *ctx, const struct chunk *c)
{
	const uint8_t *p = c->data.n ? memchr(c->data.p, '=', c->data.n) : NULL;

	(void)ctx;
	if (p)
		recfile_mask(told_file, c->endpoint, c->dir, c->pos + (uint64_t)(p - c->data.p) + 1, 3);
	return 0;
}

static void told_by_what_follows(void)
{
	struct sink next = {.chunk = tell_chunk, .tick = any_tick}, k;

	begin_masked(&told_file, &k, &next);
	put_text(&k, 1, DIR_TX, 0, "pw=abc;pw=");
	put_text(&k, 1, DIR_TX, 10, "de;");
	put_text(&k, 1, DIR_TX, 13, "p=f");
	put_text(&k, 1, DIR_TX, 16, "g");
	pass(&k, 0);
	CHECK_EQ(recfile__close(told_file, NULL), 0);
	file_holds("pw=***;pw=|de;|p=*|*|");
}

int main(void)
{
	snprintf(path, sizeof(path), "/tmp/evtrace-recfile-%d", (int)getpid());
	RUN(roundtrip);
	RUN(passes_on);
	RUN(cut_at_every_length);
	RUN(every_bit_counts);
	RUN(other_files);
	RUN(nonsense_with_a_good_checksum);
	RUN(sink_may_stop);
	RUN(large_chunks);
	RUN(masks_before_and_after);
	RUN(held_then_written);
	RUN(masks_end_with_the_endpoint);
	RUN(more_than_is_held);
	RUN(told_by_what_follows);
	unlink(path);
	return test_end();
}
