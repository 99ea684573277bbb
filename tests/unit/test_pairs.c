/* Envelopes made of pairs: what goes in comes out, the order does not count, broken ones end. */
#include <errno.h>

#include "proto/pairs.h"
#include "test.h"

static bool put(void *ctx, const struct field *f)
{
	struct buf *b = ctx;

	buf_printf(b, "{" SPAN_FMT "=", SPAN_ARG(f->name));
	buf_put_span(b, f->text);
	buf_printf(b, ":%d:%lld}", f->type, (long long)f->i);
	return true;
}

static void there_and_back(void)
{
	struct buf b = {0}, out = {0};
	struct pair p;

	pairs_begin(&b);
	pairs_property(&b, "key", SPAN_LIT("4711"));
	pairs_int(&b, "timestamp", -12);
	pairs_header(&b, SPAN_LIT("trace"), span_of("a\0b", 3));
	pairs_add(&b, &(struct pair){.header = true, .type = FIELD_NULL, .name = SPAN_LIT("none")});
	CHECK_EQ(pairs_fields(buf_span(&b), put, &out), 0);
	CHECK(span_eq(buf_span(&out), SPAN_LIT("{key=4711:1:0}{timestamp=-12:2:-12}{header.trace=a\0b:1:0}"
					       "{header.none=:6:0}")));
	CHECK(pairs_find(buf_span(&b), true, SPAN_LIT("trace"), &p) && p.value.n == 3);
	CHECK(!pairs_find(buf_span(&b), false, SPAN_LIT("trace"), &p));
	buf_free(&b);
	buf_free(&out);
}

static uint64_t hash_of(const char *const *pairs, size_t n)
{
	struct buf b = {0};
	uint64_t h;

	pairs_begin(&b);
	for (size_t i = 0; i + 1 < n; i += 2)
		pairs_header(&b, span_str(pairs[i]), span_str(pairs[i + 1]));
	h = pairs_hash(buf_span(&b), 7, NULL);
	buf_free(&b);
	return h;
}

static void hash_without_order(void)
{
	static const char *const one[] = {"a", "1", "b", "2"}, *const other[] = {"b", "2", "a", "1"},
				 *const marked[] = {"a", "1", "evtrace-replay-of", "m1.x", "b", "2"},
				 *const swapped[] = {"a", "2", "b", "1"};

	CHECK(hash_of(one, 4) == hash_of(other, 4));
	CHECK(hash_of(one, 4) == hash_of(marked, 6));
	CHECK(hash_of(one, 4) != hash_of(swapped, 4));
}

static void broken(void)
{
	struct buf b = {0}, out = {0};

	pairs_begin(&b);
	pairs_property(&b, "key", SPAN_LIT("4711"));
	for (size_t n = 2; n < b.n; n++) {
		buf_clear(&out);
		CHECK_EQ(pairs_fields(span_of(b.p, n), put, &out), -EBADMSG);
		CHECK_EQ(out.n, 0);
	}
	CHECK_EQ(pairs_fields(SPAN_EMPTY, put, &out), 0);
	CHECK_EQ(pairs_fields(SPAN_LIT("\x81\x01\xff\xff\xff\xff\xff\xff"), put, &out), -EBADMSG);
	CHECK_EQ(pairs_fields(SPAN_LIT("\x81\x3f\x00\x00"), put, &out), -EBADMSG);
	buf_free(&b);
	buf_free(&out);
}

int main(void)
{
	RUN(there_and_back);
	RUN(hash_without_order);
	RUN(broken);
	return test_end();
}
