/* The JSON writer: commas, escapes, and text that is none. */
#include "test.h"

#include <math.h>

#include "base/json.h"

static void writes_structures(void)
{
	struct buf b = {0};
	struct json j = {.out = &b};

	json_obj(&j);
	json_kv_str(&j, "a", "x");
	json_key(&j, "list");
	json_arr(&j);
	json_arr(&j);
	json_arr_end(&j);
	json_int(&j, -1);
	json_u64(&j, UINT64_MAX);
	json_bool(&j, true);
	json_null(&j);
	json_obj(&j);
	json_obj_end(&j);
	json_double(&j, 0.25);
	json_double(&j, NAN);
	json_double(&j, INFINITY);
	json_arr_end(&j);
	json_kv_bool(&j, "b", false);
	json_kv_int(&j, "c", INT64_MIN);
	json_kv_span(&j, "d", SPAN_EMPTY);
	json_obj_end(&j);
	CHECK_STR(buf_cstr(&b),
		"{\"a\":\"x\",\"list\":[[],-1,18446744073709551615,true,null,{},0.25,null,null],"
		"\"b\":false,\"c\":-9223372036854775808,\"d\":\"\"}");
	buf_free(&b);
}

static void check_text(struct span in, const char *want)
{
	struct buf b = {0};
	struct json j = {.out = &b};

	json_span(&j, in);
	CHECK_STR(buf_cstr(&b), want);
	buf_free(&b);
}

static void escapes(void)
{
	check_text(SPAN_LIT("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
	check_text(SPAN_LIT("\n\r\t\b\0\x1f"), "\"\\n\\r\\t\\u0008\\u0000\\u001f\"");
	check_text(SPAN_LIT("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x87"),
		"\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x87\"");
	/* each byte that is no UTF-8 becomes one replacement character */
	check_text(SPAN_LIT("a\xff"
			    "b"),
		"\"a\xef\xbf\xbd"
		"b\"");
	check_text(SPAN_LIT("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
	check_text(SPAN_LIT("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\""); /* overlong */
}

static void bytes_as_base64(void)
{
	static const struct {
		struct span in;
		const char *out;
	} t[] = {{SPAN_LIT(""), "\"\""}, {SPAN_LIT("f"), "\"Zg==\""}, {SPAN_LIT("fo"), "\"Zm8=\""},
		{SPAN_LIT("foo"), "\"Zm9v\""}, {SPAN_LIT("foob"), "\"Zm9vYg==\""},
		{SPAN_LIT("\xff\xfe\0"), "\"//4A\""}};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct buf b = {0};
		struct json j = {.out = &b};

		json_bytes(&j, t[i].in);
		CHECK_STR(buf_cstr(&b), t[i].out);
		buf_free(&b);
	}
}

/* RFC 3629, 4: every pair and triple of bytes that decides, against the table of the RFC. */
static size_t by_the_rfc(const uint8_t *p, size_t n)
{
	uint32_t c;

	if (p[0] < 0x80)
		return 1;
	if (n >= 2 && p[0] >> 5 == 6 && p[1] >> 6 == 2)
		return ((p[0] & 31u) << 6 | (p[1] & 63u)) >= 0x80 ? 2 : 0;
	if (n >= 3 && p[0] >> 4 == 14 && p[1] >> 6 == 2 && p[2] >> 6 == 2) {
		c = (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
		return c >= 0x800 && (c < 0xd800 || c > 0xdfff) ? 3 : 0;
	}
	if (n >= 4 && p[0] >> 3 == 30 && p[1] >> 6 == 2 && p[2] >> 6 == 2 && p[3] >> 6 == 2) {
		c = (p[0] & 7u) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 | (p[3] & 63u);
		return c >= 0x10000 && c <= 0x10ffff ? 4 : 0;
	}
	return 0;
}

static void utf8_as_in_the_rfc(void)
{
	static const uint8_t tails[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0};

	for (unsigned lead = 0; lead < 0x10000; lead++)
		for (size_t i = 0; i < 25; i++) {
			uint8_t p[4] = {(uint8_t)(lead >> 8), (uint8_t)lead, tails[i / 5], tails[i % 5]};

			for (size_t n = 1; n <= 4; n++)
				CHECK_EQ(utf8_len(span_of(p, n)), by_the_rfc(p, n));
		}
	CHECK_EQ(utf8_len(SPAN_EMPTY), 0);
	CHECK(span_is_text(SPAN_LIT("a\tb\r\n\xc3\xa9")));
	CHECK(!span_is_text(SPAN_LIT("a\x1b[31m")));
	CHECK(!span_is_text(SPAN_LIT("\x7f")));
	CHECK(!span_is_text(SPAN_LIT("a\xc3")));
}

int main(void)
{
	RUN(writes_structures);
	RUN(escapes);
	RUN(bytes_as_base64);
	RUN(utf8_as_in_the_rfc);
	return test_end();
}
