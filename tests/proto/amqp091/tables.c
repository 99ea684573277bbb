/* Properties and field tables: every type rendered, lies about lengths survived, the stable hash, edits. */
#include <errno.h>

#include "proto/amqp091.h"
#include "proto/feed.h"
#include "test.h"
#include "wire.h"

static struct buf text;

static const char *fields_of(struct span envelope, int *ret_err)
{
	buf_clear(&text);
	*ret_err = proto_amqp091.fields(envelope, put_field, &text);
	return buf_cstr(&text);
}

static const char *args_of(struct span table, int *ret_err)
{
	buf_clear(&text);
	*ret_err = proto_amqp091.args(table, put_field, &text);
	return buf_cstr(&text);
}

/* Flags and headers only. */
static void envelope_with(struct buf *b, struct span headers)
{
	be(b, 0x2000, 2);
	longstr(b, headers);
}

static void every_property(void)
{
	struct buf b = {0}, h = {0};
	int err;

	entry_str(&h, "k", "v");
	be(&b, 0xfffc, 2);
	shortstr(&b, "application/json");
	shortstr(&b, "utf-8");
	longstr(&b, buf_span(&h));
	be(&b, 2, 1);
	be(&b, 9, 1);
	shortstr(&b, "corr");
	shortstr(&b, "reply");
	shortstr(&b, "60000");
	shortstr(&b, "msg-1");
	be(&b, 1700000000, 8);
	shortstr(&b, "order.created");
	shortstr(&b, "guest");
	shortstr(&b, "shop");
	shortstr(&b, "cl");
	CHECK_STR(fields_of(buf_span(&b), &err),
		" {content-type=application/json} {content-encoding=utf-8} {header.k=v} {delivery-mode=2}"
		" {priority=9} {correlation-id=corr} {reply-to=reply} {expiration=60000} {message-id=msg-1}"
		" {timestamp=2023-11-14T22:13:20Z} {type=order.created} {user-id=guest} {app-id=shop}"
		" {cluster-id=cl}");
	CHECK_EQ(err, 0);
	/* Cut anywhere, it is refused as a whole: what a length covers cannot be told any more. */
	for (size_t n = 1; n < b.n; n++) {
		uint8_t *exact = malloc(n);

		memcpy(exact, b.p, n);
		CHECK_STR(fields_of(span_of(exact, n), &err), "");
		CHECK_EQ(err, -EBADMSG);
		free(exact);
	}
	buf_putc(&b, 0);
	CHECK_STR(fields_of(buf_span(&b), &err), "");
	CHECK_EQ(err, -EBADMSG);
	buf_free(&b);
	buf_free(&h);
}

static void every_table_type(void)
{
	struct buf b = {0}, in = {0}, arr = {0};
	int err;

	entry(&b, "bool", 't');
	be(&b, 1, 1);
	entry(&b, "i8", 'b');
	be(&b, 0x80, 1);
	entry(&b, "u8", 'B');
	be(&b, 0x80, 1);
	entry(&b, "i16", 's');
	be(&b, 0x8000, 2);
	entry(&b, "I16", 'U');
	be(&b, 0xffff, 2);
	entry(&b, "u16", 'u');
	be(&b, 0xffff, 2);
	entry(&b, "i32", 'I');
	be(&b, 0xffffffff, 4);
	entry(&b, "u32", 'i');
	be(&b, 0xffffffff, 4);
	entry(&b, "i64", 'l');
	be(&b, (uint64_t)-4711, 8);
	entry(&b, "I64", 'L');
	be(&b, INT64_MAX, 8);
	entry(&b, "float", 'f');
	be(&b, 0x3dcccccd, 4);
	entry(&b, "double", 'd');
	be(&b, 0x3fb999999999999aULL, 8);
	entry(&b, "decimal", 'D');
	be(&b, 2, 1);
	be(&b, (uint32_t)-1999, 4);
	entry_str(&b, "text", "J\xc3\xb6hn");
	entry(&b, "bytes", 'x');
	longstr(&b, SPAN_LIT("\1\2"));
	entry(&b, "time", 'T');
	be(&b, 0, 8);
	entry(&b, "millis", 'T');
	be(&b, 1700000000000000ULL, 8);
	entry(&b, "void", 'V');
	entry_str(&in, "x", "y");
	entry(&in, "deep", 'A');
	buf_putc(&arr, 'I');
	be(&arr, 7, 4);
	buf_putc(&arr, 'F');
	{
		struct buf inner = {0};

		entry_str(&inner, "k", "v");
		longstr(&arr, buf_span(&inner));
		buf_free(&inner);
	}
	longstr(&in, buf_span(&arr));
	entry(&b, "table", 'F');
	longstr(&b, buf_span(&in));
	entry(&b, "empty", 'F');
	be(&b, 0, 4);
	CHECK_STR(args_of(buf_span(&b), &err),
		" {bool=true} {i8=-128} {u8=128} {i16=-32768} {I16=-1} {u16=65535} {i32=-1} {u32=4294967295}"
		" {i64=-4711} {I64=9223372036854775807} {float=0.1} {double=0.1} {decimal=-19.99}"
		" {text=J\xc3\xb6hn} {bytes=\1\2} {time=1970-01-01T00:00:00Z} {millis=1700000000000000}"
		" {void=null} {table.x=y} {table.deep[0]=7} {table.deep[1].k=v}");
	CHECK_EQ(err, 0);
	for (size_t n = 1; n < b.n; n++) {
		uint8_t *exact = malloc(n);

		memcpy(exact, b.p, n);
		args_of(span_of(exact, n), &err);
		CHECK(err == -EBADMSG || err == 0); /* 0: cut between two entries */
		CHECK_EQ(amqp091_table_valid(span_of(exact, n)), err == 0);
		free(exact);
	}
	buf_free(&b);
	buf_free(&in);
	buf_free(&arr);
}

static bool keep_numbers(void *ctx, const struct field *f)
{
	struct field *out = ctx;

	*out = *f;
	return false; /* also: a walk stops when told to */
}

static void typed_values(void)
{
	struct buf b = {0};
	struct field f = {0};

	entry(&b, "n", 'l');
	be(&b, 4711, 8);
	entry(&b, "never", 'V');
	CHECK_EQ(proto_amqp091.args(buf_span(&b), keep_numbers, &f), 0);
	CHECK_EQ(f.type, FIELD_INT);
	CHECK_EQ(f.i, 4711);
	buf_clear(&b);
	entry(&b, "t", 'T');
	be(&b, 1700000000, 8);
	proto_amqp091.args(buf_span(&b), keep_numbers, &f);
	CHECK_EQ(f.type, FIELD_TIME);
	CHECK_EQ(f.i, 1700000000);
	buf_clear(&b);
	entry(&b, "d", 'D');
	be(&b, 1, 1);
	be(&b, 25, 4);
	proto_amqp091.args(buf_span(&b), keep_numbers, &f);
	CHECK_EQ(f.type, FIELD_DOUBLE);
	CHECK(f.d == 2.5);
	buf_free(&b);
}

static void lies_about_lengths(void)
{
	struct buf b = {0}, e = {0};
	int err;

	/* A string longer than its table; the entries before it are still shown. */
	entry_str(&b, "a", "1");
	entry(&b, "b", 'S');
	be(&b, 0xffffffff, 4);
	buf_puts(&b, "short");
	CHECK_STR(args_of(buf_span(&b), &err), " {a=1}");
	CHECK_EQ(err, -EBADMSG);
	/* A broken table inside of whole properties does not hide the others. */
	be(&e, 0x2000 | 0x0020, 2);
	longstr(&e, buf_span(&b));
	shortstr(&e, "order.created");
	CHECK_STR(fields_of(buf_span(&e), &err), " {header.a=1} {type=order.created}");
	CHECK_EQ(err, -EBADMSG);
	/* Unknown type. */
	buf_clear(&b);
	entry(&b, "q", '?');
	args_of(buf_span(&b), &err);
	CHECK_EQ(err, -EBADMSG);
	buf_free(&b);
	buf_free(&e);
}

static void deep_nesting(void)
{
	struct buf b = {0}, outer = {0};
	int err;

	entry_str(&b, "leaf", "v");
	for (int i = 0; i < 31; i++) {
		buf_clear(&outer);
		entry(&outer, "t", 'F');
		longstr(&outer, buf_span(&b));
		buf_clear(&b);
		buf_put_span(&b, buf_span(&outer));
	}
	args_of(buf_span(&b), &err);
	CHECK_EQ(err, 0);
	for (int i = 0; i < 2000; i++) {
		buf_clear(&outer);
		entry(&outer, "t", 'F');
		longstr(&outer, buf_span(&b));
		buf_clear(&b);
		buf_put_span(&b, buf_span(&outer));
	}
	args_of(buf_span(&b), &err);
	CHECK_EQ(err, -EBADMSG);
	buf_free(&b);
	buf_free(&outer);
}

static uint64_t hash_of(struct span headers, uint16_t more, const char *expiration)
{
	struct buf b = {0};
	uint64_t h;

	be(&b, (headers.p ? 0x2000u : 0) | more | (expiration ? 0x0100 : 0), 2);
	if (headers.p)
		longstr(&b, headers);
	if (expiration)
		shortstr(&b, expiration);
	if (more & 0x0080)
		shortstr(&b, "msg-1");
	h = proto_amqp091.stable_hash(buf_span(&b), 42);
	buf_free(&b);
	return h;
}

static void stable_hash(void)
{
	struct buf sent = {0}, died = {0}, other = {0};
	uint64_t h;

	entry_str(&sent, "b", "2");
	entry_str(&sent, "a", "1");
	entry_str(&sent, "CC", "copy");
	/* What RabbitMQ makes of it: sorted, with its own headers. */
	entry_str(&died, "a", "1");
	entry_str(&died, "b", "2");
	entry_str(&died, "x-death", "stands for an array");
	entry_str(&died, "x-first-death-queue", "q");
	entry_str(&died, "x-last-death-reason", "rejected");
	entry(&died, "x-delivery-count", 'l');
	be(&died, 3, 8);
	entry_str(&died, "evtrace-replay-of", "m1.abc");
	entry_str(&other, "a", "1");
	entry_str(&other, "b", "3");
	h = hash_of(buf_span(&sent), 0x0080, "60000");
	CHECK(h == hash_of(buf_span(&died), 0x0080, NULL));
	CHECK(h != hash_of(buf_span(&other), 0x0080, NULL));
	CHECK(h != hash_of(buf_span(&died), 0, NULL));
	CHECK(hash_of(SPAN_EMPTY, 0x0080, NULL) == hash_of(SPAN_LIT(""), 0x0080, NULL)); /* none or empty */
	/* Nothing at all, and the two zero bytes that stand for it on the wire. */
	CHECK(proto_amqp091.stable_hash(SPAN_EMPTY, 1) == proto_amqp091.stable_hash(SPAN_LIT("\0\0"), 1));
	CHECK(proto_amqp091.stable_hash(SPAN_LIT("\0\0"), 1) !=
		proto_amqp091.stable_hash(SPAN_LIT("\0\0"), 2));
	buf_free(&sent);
	buf_free(&died);
	buf_free(&other);
}

static uint64_t hash_of_reply_to(const char *reply_to)
{
	struct buf b = {0};
	uint64_t h;

	be(&b, 0x0200, 2);
	shortstr(&b, reply_to);
	h = proto_amqp091.stable_hash(buf_span(&b), 42);
	buf_free(&b);
	return h;
}

/* The broker puts a name of its own in the place of direct reply-to's. */
static void stable_hash_direct_reply_to(void)
{
	uint64_t h = hash_of_reply_to("amq.rabbitmq.reply-to");

	CHECK(h == hash_of_reply_to("amq.rabbitmq.reply-to.g1h2AA5yZXBseUA=.key=="));
	CHECK(h != hash_of_reply_to("amq.gen-1"));
	CHECK(hash_of_reply_to("amq.gen-1") != hash_of_reply_to("amq.gen-2"));
}

static bool drop_x(void *ctx, struct span name)
{
	unsigned *n = ctx;

	if (!span_starts(name, "x-"))
		return false;
	++*n;
	return true;
}

static void edit(void)
{
	struct buf h = {0}, b = {0}, kept = {0}, want = {0}, out = {0};
	unsigned dropped = 0;

	entry_str(&h, "a", "1");
	entry_str(&h, "x-death", "gone");
	entry(&h, "n", 'l');
	be(&h, 5, 8);
	be(&b, 0xa0a0, 2); /* content-type, headers, expiration is not there; message-id, type */
	shortstr(&b, "text/plain");
	longstr(&b, buf_span(&h));
	shortstr(&b, "m");
	shortstr(&b, "t");
	entry_str(&kept, "a", "1");
	entry(&kept, "n", 'l');
	be(&kept, 5, 8);
	entry_str(&kept, "mark", "m1");
	be(&want, 0xa0a0, 2);
	shortstr(&want, "text/plain");
	longstr(&want, buf_span(&kept));
	shortstr(&want, "m");
	shortstr(&want, "t");
	CHECK_EQ(amqp091_edit_headers(buf_span(&b), drop_x, &dropped, "mark", SPAN_LIT("m1"), &out), 0);
	CHECK(span_eq(buf_span(&out), buf_span(&want)));
	CHECK_EQ(dropped, 1);
	/* Without any change: the same bytes. */
	buf_clear(&out);
	CHECK_EQ(amqp091_edit_headers(buf_span(&b), NULL, NULL, NULL, SPAN_EMPTY, &out), 0);
	CHECK(span_eq(buf_span(&out), buf_span(&b)));
	/* A message without headers gets a table. */
	buf_clear(&out);
	buf_clear(&want);
	buf_clear(&kept);
	entry_str(&kept, "mark", "m1");
	envelope_with(&want, buf_span(&kept));
	CHECK_EQ(amqp091_edit_headers(SPAN_LIT("\0\0"), NULL, NULL, "mark", SPAN_LIT("m1"), &out), 0);
	CHECK(span_eq(buf_span(&out), buf_span(&want)));
	CHECK_EQ(amqp091_edit_headers(SPAN_LIT("\x80"), NULL, NULL, NULL, SPAN_EMPTY, &out), -EBADMSG);
	buf_free(&h);
	buf_free(&b);
	buf_free(&kept);
	buf_free(&want);
	buf_free(&out);
}

int main(void)
{
	RUN(every_property);
	RUN(every_table_type);
	RUN(typed_values);
	RUN(lies_about_lengths);
	RUN(deep_nesting);
	RUN(stable_hash);
	RUN(stable_hash_direct_reply_to);
	RUN(edit);
	buf_free(&text);
	return test_end();
}
