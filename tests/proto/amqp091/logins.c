/*
 * Where the secret of a login stands in its method, from all of it and from every beginning of it: what is
 * told of a beginning is true of the whole, and a byte of a secret is told by the beginning that ends with
 * it.
 */
#include "test.h"

#include "proto/amqp091_state.h"
#include "wire.h"

#define ROOM 4096

struct told {
	uint8_t at[ROOM];
	size_t size;
	bool bad;
};

static void on_secret(void *ctx, size_t off, size_t n)
{
	struct told *t = ctx;

	if (!n || off > t->size || n > t->size - off || t->size > ROOM)
		t->bad = true;
	else
		memset(t->at + off, 1, n);
}

/* From a buffer of exactly this size: a sanitizer sees what reads too far. */
static bool find(struct span part, size_t size, struct told *ret)
{
	uint8_t *exact = malloc(part.n ? part.n : 1);
	bool more;

	memcpy(exact, part.p, part.n);
	*ret = (struct told){.size = size};
	more = amqp_login_secrets(span_of(exact, part.n), size, on_secret, ret);
	CHECK(!ret->bad);
	free(exact);
	return more;
}

static bool malformed; /* only the whole of it shows that it is */

/* @want: the payload with every secret byte as '*'; consumes both. */
static void check(struct buf *payload, struct buf *want)
{
	struct told whole, some;

	CHECK_EQ(payload->n, want->n);
	find(buf_span(payload), payload->n, &whole);
	for (size_t n = 0; n < payload->n; n++) {
		bool more = find(span_of(payload->p, n), payload->n, &some);

		for (size_t i = 0; i < payload->n; i++) {
			CHECK(!some.at[i] || whole.at[i]);
			CHECK(!whole.at[i] || some.at[i] || (more && (i >= n || malformed)));
		}
	}
	for (size_t i = 0; i < payload->n; i++)
		if (whole.at[i])
			payload->p[i] = '*';
	CHECK(span_eq(buf_span(payload), buf_span(want)));
	buf_free(payload);
	buf_free(want);
}

static void put_response(struct buf *b, int method, const char *mechanism, struct span response)
{
	be(b, 10, 2);
	be(b, (uint64_t)method, 2);
	if (method == 11) {
		struct buf table = {0};

		entry_str(&table, "product", "a client of PASSWORDs");
		longstr(b, buf_span(&table));
		shortstr(b, mechanism);
		buf_free(&table);
	}
	longstr(b, response);
	if (method != 21)
		shortstr(b, "en_US");
}

static void response(int method, const char *mechanism, struct span given, struct span want)
{
	struct buf a = {0}, b = {0};

	put_response(&a, method, mechanism, given);
	put_response(&b, method, mechanism, want);
	check(&a, &b);
}

#define RESPONSE(method, mechanism, given, want) response(method, mechanism, SPAN_LIT(given), SPAN_LIT(want))

static void plain(void)
{
	RESPONSE(11, "PLAIN", "\0guest\0secret", "\0guest\0******");
	RESPONSE(11, "PLAIN", "other\0guest\0secret", "other\0guest\0******");
	RESPONSE(11, "PLAIN", "\0guest\0se\0ret", "\0guest\0******");
	RESPONSE(11, "PLAIN", "\0guest\0", "\0guest\0");
	RESPONSE(11, "PLAIN", "", "");
	malformed = true;
	RESPONSE(11, "PLAIN", "\0", "*");
	RESPONSE(11, "PLAIN", "guest\0secret", "************");
	RESPONSE(11, "PLAIN", "secret", "******");
	malformed = false;
}

/* The end of the user's name is not looked for without end. */
static void plain_without_end(void)
{
	uint8_t given[2000], want[2000];

	memset(given, 'x', sizeof(given));
	given[0] = given[1500] = 0;
	memset(want, '*', sizeof(want));
	malformed = true;
	response(11, "PLAIN", span_of(given, sizeof(given)), span_of(want, sizeof(want)));
	malformed = false;
}

static void others_are_secret_as_a_whole(void)
{
	RESPONSE(11, "EXTERNAL", "secret", "******");
	RESPONSE(11, "plain", "\0guest\0secret", "*************");
	RESPONSE(21, NULL, "secret", "******");
	RESPONSE(70, NULL, "secret", "******");
	RESPONSE(70, NULL, "", "");
	/* connection.close is no login. */
	RESPONSE(50, NULL, "secret", "secret");
}

static void amqplain(void)
{
	static const char secret[] = "secret", stars[] = "******";

	for (int order = 0; order < 2; order++) {
		struct buf t[2] = {0};

		for (int i = 0; i < 2; i++) {
			if (order)
				entry_str(&t[i], "LOGIN", "jane");
			entry_str(&t[i], "PASSWORD", i ? stars : secret);
			if (!order)
				entry_str(&t[i], "LOGIN", "jane");
			entry_str(&t[i], "OTHER", i ? stars : secret);
		}
		response(11, "AMQPLAIN", buf_span(&t[0]), buf_span(&t[1]));
		buf_free(&t[0]);
		buf_free(&t[1]);
	}
	RESPONSE(11, "AMQPLAIN", "", "");
}

/* What is not read as a long string is secret up to the end. */
static void amqplain_of_other_forms(void)
{
	struct buf t = {0}, want = {0};
	size_t at;

	entry_str(&t, "LOGIN", "jane");
	entry(&t, "PASSWORD", 'I');
	at = t.n;
	be(&t, 4711, 4);
	buf_put_span(&want, buf_span(&t));
	memset(want.p + at, '*', want.n - at);
	response(11, "AMQPLAIN", buf_span(&t), buf_span(&want));
	/* A value that is longer than its table. */
	buf_clear(&t);
	entry(&t, "PASSWORD", 'S');
	be(&t, 1000, 4);
	buf_puts(&t, "secret");
	buf_clear(&want);
	buf_put_span(&want, buf_span(&t));
	memset(want.p + want.n - 6, '*', 6);
	response(11, "AMQPLAIN", buf_span(&t), buf_span(&want));
	/* More entries than any login has. */
	buf_clear(&t);
	for (int i = 0; i < 40; i++)
		entry_str(&t, "LOGIN", "jane");
	buf_clear(&want);
	buf_put_span(&want, buf_span(&t));
	at = t.n / 40 * 16;
	memset(want.p + at, '*', want.n - at);
	response(11, "AMQPLAIN", buf_span(&t), buf_span(&want));
	buf_free(&t);
	buf_free(&want);
}

/* A length that lies beyond the method: no more than the method is told. */
static void lengths_that_lie(void)
{
	struct buf a = {0}, b = {0};

	put_response(&a, 70, NULL, SPAN_LIT("secret"));
	a.p[4] = 0xff;
	buf_put_span(&b, buf_span(&a));
	memset(b.p + 8, '*', b.n - 8);
	check(&a, &b);
}

int main(void)
{
	RUN(plain);
	RUN(plain_without_end);
	RUN(others_are_secret_as_a_whole);
	RUN(amqplain);
	RUN(amqplain_of_other_forms);
	RUN(lengths_that_lie);
	return test_end();
}
