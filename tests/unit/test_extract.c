/* extract/: walkers whole, cut at every length, and hostile; classes and canonical forms; selection; paths.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/timefmt.h"
#include "extract/extract.h"
#include "scalars.h"
#include "test.h"

/* Beside the repository, or beside the folder of its worktrees. */
static const char *payloads(void)
{
	static const char *const at[] = {"../shared/payloads", "../../shared/payloads"};

	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		if (!access(at[i], R_OK))
			return at[i];
	return NULL;
}

/* --- helpers --- */

static const char *walk_as(struct span body, enum body_format fmt, int *ret_err)
{
	static struct buf b;

	buf_clear(&b);
	*ret_err = body_walk(body, fmt, render, &b);
	return buf_cstr(&b);
}

static void check_walk(const char *body, enum body_format fmt, int want_err, const char *want)
{
	int err;
	const char *got = walk_as(span_str(body), fmt, &err);

	CHECK_STR(got, want);
	CHECK_EQ(err, want_err);
}

/*
 * Every prefix of @body from @from bytes on, in memory of exactly that size: no fault, and what comes out is
 * the beginning of what the whole gives (the last scalar may be missing, never half).
 */
static void check_cuts(const char *body, enum body_format fmt, size_t from)
{
	size_t n = strlen(body);
	int err;
	char *whole = strdup(walk_as(span_str(body), fmt, &err));

	for (size_t i = from; i <= n; i++) {
		uint8_t *part = malloc(i ? i : 1);
		const char *got;

		memcpy(part, body, i);
		got = walk_as(span_of(part, i), fmt, &err);
		if (strncmp(got, whole, strlen(got))) {
			fprintf(stderr, "cut at %zu of \"%s\": \"%s\" is no beginning of \"%s\"\n", i, body,
				got, whole);
			test_case_bad = true;
		}
		free(part);
	}
	free(whole);
}

/* Renders identifiers as "name=value class" lines: J join, W weak. */
static bool render_id(void *ctx, const struct identifier *id)
{
	struct buf *b = ctx;

	buf_put_span(b, id->name);
	buf_putc(b, '=');
	buf_put_span(b, id->value);
	buf_putc(b, ' ');
	buf_putc(b, "-WJ"[id->cls]);
	buf_putc(b, '\n');
	return true;
}

static void check_ids(const char *body, const char *want)
{
	static struct buf b;

	buf_clear(&b);
	extract_body(span_str(body), NULL, render_id, &b);
	CHECK_STR(buf_cstr(&b), want);
}

/* "value J" for a header @name, "-" when it is not kept. */
static const char *value_of(const char *name, const char *value)
{
	static char out[256];
	char scratch[256];
	struct identifier id;

	if (!extract_value(span_str(name), span_str(value), PLACE_HEADER, scratch, sizeof(scratch), &id))
		return "-";
	snprintf(out, sizeof(out), SPAN_FMT " %c", SPAN_ARG(id.value), "-WJ"[id.cls]);
	return out;
}

static uint64_t hash_of(const char *name, const char *value)
{
	char scratch[256];
	struct identifier id = {0};

	CHECK(extract_value(span_str(name), span_str(value), PLACE_HEADER, scratch, sizeof(scratch), &id));
	return id.hash;
}

static enum body_format format(const char *body, const char *type)
{
	return body_format(span_str(body), span_str(type));
}

/* --- JSON --- */

#define ORDER                                                                                                \
	"{\"order\":{\"id\":4711,\"customer\":{\"name\":\"John "                                             \
	"Doe\",\"id\":88},\"paid\":false,\"note\":null},"                                                    \
	"\"lines\":[{\"sku\":\"A-1\",\"qty\":2},{\"sku\":\"B-2\",\"qty\":1.5e1}],\"tags\":[\"x\",[\"y\","    \
	"\"z\"]],"                                                                                           \
	"\"e\":{},\"f\":[]}"

static void json_paths(void)
{
	check_walk(ORDER, BODY_JSON, 0,
		"order.id=n:4711\norder.customer.name=s:John "
		"Doe\norder.customer.id=n:88\norder.paid=b:false\n"
		"order.note=0:null\nlines[0].sku=s:A-1\nlines[0].qty=n:2\nlines[1].sku=s:B-2\nlines[1].qty=n:"
		"1.5e1\n"
		"tags[0]=s:x\ntags[1][0]=s:y\ntags[1][1]=s:z\n");
}

static void json_cut_everywhere(void)
{
	check_cuts(ORDER, BODY_JSON, 0);
	check_cuts(
		"{\"a\":\"x\\u00e4\\ud83d\\ude00y\",\"b\":[true,null,-1.5]}\n{\"c\":\"\\\"\"}", BODY_JSON, 0);
	check_walk("{\"order\":{\"id\":4711,\"ref\":\"AB-1", BODY_JSON, -EBADMSG, "order.id=n:4711\n");
	check_walk("{\"order\":{\"id\":47", BODY_JSON, -EBADMSG, "");
}

static void json_escapes(void)
{
	check_walk("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", BODY_JSON, 0, "a=s:\"\\/\b\f\n\r\t\n");
	check_walk("{\"a\":\"\\u00e4\\u20ac\\ud83d\\ude00\"}", BODY_JSON, 0,
		"a=s:\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n");
	/* halves of a pair */
	check_walk("[\"\\ud83d\",\"\\ude00x\",\"\\ud83d\\u0041\"]", BODY_JSON, 0,
		"[0]=s:\xef\xbf\xbd\n[1]=s:\xef\xbf\xbdx\n[2]=s:\xef\xbf\xbd"
		"A\n");
	check_walk("{\"k\\u0065y\":\"\\u12\"}", BODY_JSON, 0, "key=s:u12\n");
}

static void json_documents_in_a_row(void)
{
	check_walk("{\"a\":1}\n{\"a\":2}\r\n\n{\"a\":3}", BODY_JSON, 0, "a=n:1\na=n:2\na=n:3\n");
	check_walk("\x1e{\"a\":1}\n\x1e[2]\n", BODY_JSON, 0, "a=n:1\n[0]=n:2\n");
	check_walk("[{\"a\":1},[2,{\"b\":3}]]", BODY_JSON, 0, "[0].a=n:1\n[1][0]=n:2\n[1][1].b=n:3\n");
	check_walk("4711", BODY_JSON, 0, "=n:4711\n");
	check_walk("\"x\"", BODY_JSON, 0, "=s:x\n");
}

static void json_lenient(void)
{
	check_walk("{'id': 4711, name: 'J \"D\"', 'none': None, 'ok': True, \"n\": NaN,}", BODY_JSON, 0,
		"id=n:4711\nname=s:J \"D\"\nnone=0:None\nok=b:True\nn=s:NaN\n");
	check_walk("\xef\xbb\xbf{\"a\":1}", BODY_JSON, 0, "a=n:1\n");
	check_walk("{\"a\":1]", BODY_JSON, -EBADMSG, "a=n:1\n");
	check_walk("{\"a\":1} trailing", BODY_JSON, -EBADMSG, "a=n:1\n");
	check_walk("{\"a\" 1}", BODY_JSON, -EBADMSG, "");
	check_walk("", BODY_JSON, 0, "");
}

static void json_inside_a_string(void)
{
	check_walk("{\"Type\":\"N\",\"Message\":\"{\\\"order\\\":{\\\"id\\\":4711}}\",\"z\":[1]}", BODY_JSON,
		0, "Type=s:N\nMessage=s:{\"order\":{\"id\":4711}}\nMessage.order.id=n:4711\nz[0]=n:1\n");
	/* layer by layer, and text in brackets is text */
	check_walk("[\"[INFO]\",\"{x}\",\"{\\\"a\\\":\\\"{\\\\\\\"b\\\\\\\":1}\\\"}\"]", BODY_JSON, 0,
		"[0]=s:[INFO]\n[1]=s:{x}\n[2]=s:{\"a\":\"{\\\"b\\\":1}\"}\n[2].a=s:{\"b\":1}\n[2].a.b=n:1\n");
}

static bool count_scalars(void *ctx, const struct scalar *s)
{
	(void)s;
	++*(size_t *)ctx;
	return true;
}

static bool stop_at_three(void *ctx, const struct scalar *s)
{
	(void)s;
	return ++*(size_t *)ctx < 3;
}

static bool leaf_and_path(void *ctx, const struct scalar *s)
{
	CHECK(s->path.n <= 256 && s->leaf.n <= s->path.n);
	return count_scalars(ctx, s);
}

static void json_caps(void)
{
	struct buf b = {0};
	size_t n = 0;

	for (int i = 0; i < 1000; i++)
		buf_puts(&b, "{\"a\":[");
	CHECK_EQ(body_walk(buf_span(&b), BODY_JSON, count_scalars, &n), -EBADMSG);
	CHECK_EQ(n, 0);

	buf_clear(&b);
	buf_puts(&b, "{\"");
	for (int i = 0; i < 1000; i++)
		buf_puts(&b, "key");
	buf_puts(&b, "\":{\"x\":[1,2,{\"y\":3}]}}");
	CHECK_EQ(body_walk(buf_span(&b), BODY_JSON, leaf_and_path, &n), 0);
	CHECK_EQ(n, 3);

	buf_clear(&b);
	buf_putc(&b, '[');
	for (int i = 0; i < 70000; i++)
		buf_puts(&b, "1,");
	buf_puts(&b, "1]");
	n = 0;
	CHECK_EQ(body_walk(buf_span(&b), BODY_JSON, count_scalars, &n), -EBADMSG);
	CHECK_EQ(n, 65536);
	n = 0;
	CHECK_EQ(body_walk(buf_span(&b), BODY_JSON, stop_at_three, &n), 0);
	CHECK_EQ(n, 3);
	buf_free(&b);
}

static bool leaf_is(void *ctx, const struct scalar *s)
{
	const char ***want = ctx;

	if (!span_is(s->leaf, **want))
		fprintf(stderr, "leaf of " SPAN_FMT " is " SPAN_FMT ", not %s\n", SPAN_ARG(s->path),
			SPAN_ARG(s->leaf), **want);
	CHECK(span_is(s->leaf, **want));
	(*want)++;
	return true;
}

static void leaves(void)
{
	static const char *json[] = {"id", "tags", "tags", "c", "tags", "z", "m", "x", "m2"};
	static const char *xml[] = {"ID", "schemeID", "ID"};
	const char **w = json;

	body_walk(SPAN_LIT("{\"a\":{\"id\":1},\"tags\":[1,[2],{\"c\":3},4],\"z\":0,"
			   "\"m\":\"{\\\"x\\\":1}\",\"m2\":1}"),
		BODY_JSON, leaf_is, &w);
	CHECK_EQ(w - json, ARRAY_LEN(json));
	w = xml;
	body_walk(SPAN_LIT("<r><ID>1</ID><x schemeID='a'><ID>2</ID></x></r>"), BODY_XML, leaf_is, &w);
	CHECK_EQ(w - xml, ARRAY_LEN(xml));
}

/* --- XML --- */

#define INVOICE                                                                                              \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- c --><Invoice xmlns=\"urn:x\" "                    \
	"xmlns:cbc=\"urn:y\">\n"                                                                             \
	"  <cbc:ID schemeID=\"GLN\">TOSL108</cbc:ID>\n  <cbc:Note>a &amp; b &#x20ac;</cbc:Note>\n"           \
	"  <Line><cbc:ID>1</cbc:ID></Line><Line><cbc:ID>2</cbc:ID></Line><Line n='3'/>\n"                    \
	"  <Mixed>one <b>two</b> three</Mixed><Empty/><![CDATA[<raw>]]></Invoice>"

static void xml_paths(void)
{
	check_walk(INVOICE, BODY_XML, 0,
		"Invoice.ID@schemeID=s:GLN\nInvoice.ID=s:TOSL108\nInvoice.Note=s:a & b \xe2\x82\xac\n"
		"Invoice.Line.ID=s:1\nInvoice.Line[1].ID=s:2\nInvoice.Line[2]@n=s:3\n"
		"Invoice.Mixed=s:one\nInvoice.Mixed.b=s:two\nInvoice.Mixed=s:three\nInvoice.Empty=s:"
		"\nInvoice=s:<raw>\n");
}

static void xml_cut_everywhere(void)
{
	check_cuts(INVOICE, BODY_XML, 0);
	check_walk("<a><b>1</b><c>2", BODY_XML, -EBADMSG, "a.b=s:1\n");
	check_walk("<a><b>1</b></c>", BODY_XML, -EBADMSG, "a.b=s:1\n");
	check_walk("<a x='1", BODY_XML, -EBADMSG, "");
}

static void xml_encodings(void)
{
	check_walk("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe4</a>", BODY_XML, 0, "a=s:\xc3\xa4\n");
	check_walk("<?xml version='1.0' encoding='windows-1252'?><a>\xe4</a>", BODY_XML, 0, "a=s:\xc3\xa4\n");
}

static void xml_utf16(void)
{
	static const char le[] = "\xff\xfe<\0a\0>\0\x31\0<\0/\0a\0>\0\n";
	static const char be[] = "\xfe\xff\0<\0a\0>\0\x31\0<\0/\0a\0>\0\n";
	struct span le_body = span_of(le, sizeof(le)), be_body = span_of(be, sizeof(be) - 1);
	int err;

	CHECK_EQ(body_format(le_body, SPAN_EMPTY), BODY_XML);
	CHECK_STR(walk_as(le_body, BODY_XML, &err), "a=s:1\n");
	CHECK_EQ(err, 0);
	CHECK_EQ(body_format(be_body, SPAN_EMPTY), BODY_XML);
	CHECK_STR(walk_as(be_body, BODY_XML, &err), "a=s:1\n");
	CHECK_EQ(err, 0);
}

/* With the NUL that ends a C string, or more of the buffer. */
static void trailing_nuls(void)
{
	static const char json[16] = "{\"id\":4711}", txt[16] = "order 4711";
	int err;

	CHECK_EQ(body_format(span_of(json, sizeof(json)), SPAN_EMPTY), BODY_JSON);
	CHECK_STR(walk_as(span_of(json, sizeof(json)), BODY_JSON, &err), "id=n:4711\n");
	CHECK_EQ(err, 0);
	CHECK_EQ(body_format(span_of(txt, sizeof(txt)), SPAN_EMPTY), BODY_TEXT);
	CHECK_STR(walk_as(span_of(txt, sizeof(txt)), BODY_TEXT, &err), "=s:order\n=s:4711\n");
}

static void xml_hostile(void)
{
	struct buf b = {0};
	size_t n = 0;

	/* a billion laughs: entities of the document are not expanded */
	buf_puts(&b, "<!DOCTYPE l [<!ENTITY a 'lol'>");
	for (char c = 'b'; c < 'l'; c++) {
		buf_printf(&b, "<!ENTITY %c '", c);
		for (int i = 0; i < 10; i++)
			buf_printf(&b, "&%c;", c - 1);
		buf_puts(&b, "'>");
	}
	buf_puts(&b, "]><l><id>4711</id><x>&k;</x><y z='&k;'>1</y></l>");
	check_walk(buf_cstr(&b), BODY_XML, -EBADMSG, "l.id=s:4711\nl.x=s:\n");

	/* nothing is read from elsewhere */
	check_walk("<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>x&e;y</a>", BODY_XML, 0,
		"a=s:xy\n");

	buf_clear(&b);
	for (int i = 0; i < 10000; i++)
		buf_puts(&b, "<a>");
	CHECK_EQ(body_walk(buf_span(&b), BODY_XML, count_scalars, &n), -EBADMSG);
	buf_clear(&b);
	buf_puts(&b, "<a>");
	for (int i = 0; i < 5; i++)
		buf_puts(&b, "<b>1</b>");
	buf_puts(&b, "</a>");
	n = 0;
	CHECK_EQ(body_walk(buf_span(&b), BODY_XML, stop_at_three, &n), 0);
	CHECK_EQ(n, 3);
	buf_free(&b);
}

/* --- form, text, EDIFACT --- */

static void form(void)
{
	check_walk("order=4711&customer=John+Doe&mail=j%40x.org&empty=&flag&=x&odd=100%&z=%zz", BODY_FORM, 0,
		"order=s:4711\ncustomer=s:John "
		"Doe\nmail=s:j@x.org\nempty=s:\nflag=s:\nodd=s:100%\nz=s:%zz\n");
	CHECK_EQ(format("a=1&b=2", ""), BODY_FORM);
	CHECK_EQ(format("a=1", "application/x-www-form-urlencoded; charset=utf-8"), BODY_FORM);
	CHECK_EQ(format("a=1", ""), BODY_TEXT);
	CHECK_EQ(format("a=1&b=2 c", ""), BODY_TEXT);
	CHECK_EQ(format("a=1&b", ""), BODY_FORM);
}

static void text(void)
{
	check_walk(
		"order_id=4711 state=\"in progress\", by: billing.\nCustomer: John Doe\nrefers to AB-1 (old)",
		BODY_TEXT, 0,
		"order_id=s:4711\nstate=s:in progress\nby=s:billing\nCustomer=s:John "
		"Doe\nCustomer=s:John\n=s:Doe\n"
		"=s:refers\n=s:to\n=s:AB-1\n=s:old\n");
	check_walk("see https://x.org/a?b=1 at 14:02:09", BODY_TEXT, 0,
		"=s:see\n=s:https://x.org/a?b=1\n=s:at\n=s:14:02:09\n");
	check_walk("x=", BODY_TEXT, 0, "");
	check_walk("x=\"never closed", BODY_TEXT, 0, "x=s:\n=s:never\n=s:closed\n");
	check_walk(": = :: ==", BODY_TEXT, 0, "=s:=\n=s:==\n");
}

static void edifact(void)
{
	check_walk("UNB+UNOC:3+A?'B:14+X'\nUNH+1+ORDERS:D:03B:UN'\r\nBGM+220+4711+9'", BODY_TEXT, 0,
		"UNB[1]=s:UNOC\nUNB[1]=s:3\nUNB[2]=s:A'B\nUNB[2]=s:14\nUNB[3]=s:X\nUNH[1]=s:1\nUNH[2]=s:"
		"ORDERS\n"
		"UNH[2]=s:D\nUNH[2]=s:03B\nUNH[2]=s:UN\nBGM[1]=s:220\nBGM[2]=s:4711\nBGM[3]=s:9\n");
	check_walk("UNA|^.? ~BGM^220^47|11~RFF^ON|9", BODY_TEXT, -EBADMSG,
		"BGM[1]=s:220\nBGM[2]=s:47\nBGM[2]=s:11\nRFF[1]=s:ON\n");
	check_cuts("UNB+UNOC:3+A?'B:14+X'\nBGM+220+4711+9'", BODY_TEXT, 4);
}

static void formats(void)
{
	CHECK_EQ(format("", ""), BODY_EMPTY);
	CHECK_EQ(format(" \r\n", ""), BODY_EMPTY);
	CHECK_EQ(format("\n {\"a\":1}", "text/plain"), BODY_JSON);
	CHECK_EQ(format("[1, 2]", ""), BODY_JSON);
	CHECK_EQ(format("[[4, 4], {}, {}]", ""), BODY_JSON);
	CHECK_EQ(format("[2024-01-02 10:00] started", ""), BODY_TEXT);
	CHECK_EQ(format("[INFO] started", ""), BODY_TEXT);
	CHECK_EQ(format("{not json}", ""), BODY_TEXT);
	CHECK_EQ(format("4711", ""), BODY_TEXT);
	CHECK_EQ(format("4711", "application/json"), BODY_JSON);
	CHECK_EQ(format("<a>1</a>", ""), BODY_XML);
	CHECK_EQ(format("<?xml version='1.0'?><a/>", ""), BODY_XML);
	CHECK_EQ(format("a < b > c", ""), BODY_TEXT);
	CHECK_EQ(format("caf\xe9 ol\xe9 4711", ""), BODY_TEXT);
	CHECK_EQ(body_format(SPAN_LIT("\x08\x96\x01\x12\x04test"), SPAN_EMPTY), BODY_PROTOBUF);
	CHECK_EQ(body_format(SPAN_LIT("\0\0\0"), SPAN_EMPTY), BODY_BINARY);
	CHECK_EQ(body_format(SPAN_LIT("\x00\x00\x12\x67"), SPAN_EMPTY), BODY_BINARY);
	CHECK_EQ(body_format(SPAN_LIT("\x28\xb5\xff\xfd\xe2\xe3\xe4"), SPAN_EMPTY), BODY_BINARY);
}

/* --- classes --- */

static void class_numbers(void)
{
	CHECK_STR(value_of("order", "4711"), "4711 J");
	CHECK_STR(value_of("order", "0004711"), "4711 J");
	CHECK_STR(value_of("order", " 4711 "), "4711 J");
	CHECK_STR(value_of("rank", "12"), "12 W");
	CHECK_STR(value_of("customer_id", "12"), "12 J");
	CHECK_STR(value_of("customerId", "88"), "88 J");
	CHECK_STR(value_of("customerid", "88"), "88 J");
	CHECK_STR(value_of("prepaid", "88"), "88 W");
	CHECK_STR(value_of("id", "0"), "-");
	CHECK_STR(value_of("rank", "0"), "-");
	CHECK_STR(value_of("rank", "1"), "-");
	CHECK_STR(value_of("id", "-1"), "-");
	CHECK_STR(value_of("amount", "4711"), "4711 W");
	CHECK_STR(value_of("amount_id", "4711"), "4711 J");
	CHECK_STR(value_of("x", "2024"), "2024 W");
	CHECK_STR(value_of("order_no", "2024"), "2024 J");
	CHECK_STR(value_of("price", "12.50"), "-");
	CHECK_STR(value_of("x", "-1.5e10"), "-");
	CHECK_STR(value_of("x", "1700000000"), "-");
	CHECK_STR(value_of("x", "1700000000123"), "-");
	CHECK_STR(value_of("order_id", "1700000000"), "1700000000 J");
	CHECK_STR(value_of("created_at", "4711"), "-");
	CHECK_STR(value_of("x", "20241231"), "-");
	CHECK_STR(value_of("x", "20241331"), "20241331 J");
	CHECK_STR(value_of("x", "-"), "-");
}

static void class_hashes(void)
{
	static const char *const dress[] = {"9F2C1B3E-1D2F-4A5B-8C6D-7E8F90A1B2C3",
		"9f2c1b3e1d2f4a5b8c6d7e8f90a1b2c3", "{9f2c1b3e-1d2f-4a5b-8c6d-7e8f90a1b2c3}",
		"urn:uuid:9f2c1b3e-1d2f-4a5b-8c6d-7e8f90a1b2c3", " 9f2c1b3e-1d2f-4a5b-8c6d-7e8f90a1b2c3\n"};

	for (size_t i = 0; i < ARRAY_LEN(dress); i++) {
		CHECK_STR(value_of("x", dress[i]), "9f2c1b3e-1d2f-4a5b-8c6d-7e8f90a1b2c3 J");
		CHECK(hash_of("x", dress[i]) == hash_of("another", dress[0]));
	}
	/* no UUID's version: both dresses are the plain hash */
	CHECK_STR(
		value_of("x", "9f2c1b3e-1d2f-0a5b-8c6d-7e8f90a1b2c3"), "9f2c1b3e1d2f0a5b8c6d7e8f90a1b2c3 J");
	CHECK_STR(value_of("x", "9F2C1B3E1D2F0A5B8C6D7E8F90A1B2C3"), "9f2c1b3e1d2f0a5b8c6d7e8f90a1b2c3 J");
	CHECK_STR(value_of("id", "00000000-0000-0000-0000-000000000000"), "-");
	CHECK_STR(value_of("x", "DEADBEEF0123"), "deadbeef0123 J");
	CHECK_STR(value_of("x", "facade"), "facade W");
	CHECK_STR(value_of("x", "01ARZ3NDEKTSV4RRFFQ69G5FAV"), "01arz3ndektsv4rrffq69g5fav J");
	CHECK(hash_of("x", "01arz3ndektsv4rrffq69g5fav") == hash_of("x", "01ARZ3NDEKTSV4RRFFQ69G5FAV"));
}

static void class_words(void)
{
	CHECK_STR(value_of("ref", "INV-2024-0001"), "INV-2024-0001 J");
	CHECK_STR(value_of("x", "ord-4711"), "ord-4711 J");
	CHECK_STR(value_of("x", "TOSL108"), "TOSL108 W");
	CHECK_STR(value_of("ID", "TOSL108"), "TOSL108 J");
	CHECK_STR(value_of("schemeID", "GLN"), "GLN W");
	CHECK_STR(value_of("country", "DE"), "DE W");
	CHECK_STR(value_of("x", "true"), "-");
	CHECK_STR(value_of("id", "N/A"), "-");
	CHECK_STR(value_of("x", ""), "-");
	CHECK_STR(value_of("x", "2024-01-02T14:02:09Z"), "-");
	CHECK_STR(value_of("x", "2024-01-02"), "-");
	CHECK_STR(value_of("x", "14:02:09"), "-");
	CHECK_STR(value_of("x", "2.1.2024"), "-");
	CHECK_STR(value_of("x", "10.0.0.1"), "10.0.0.1 W");
	CHECK_STR(value_of("x", "John.Doe@Example.ORG"), "john.doe@example.org W");
	CHECK_STR(value_of("user_id", "John.Doe@Example.ORG"), "john.doe@example.org J");
	CHECK_STR(value_of("name", "John Doe"), "John Doe W");
	CHECK_STR(value_of("x", "a sentence that goes on and on"), "-");
	CHECK_STR(value_of("order_id", "4711\xff\xfe-ab12"), "-"); /* not UTF-8 */
	CHECK_STR(value_of("order\xff_id", "ord-4711"), "-");
	CHECK_STR(value_of("vat_id", "DE 123 456"), "DE 123 456 J");
	CHECK_STR(value_of("x", "kXw9aBcDeFgHiJkLm"), "kXw9aBcDeFgHiJkLm J");
	CHECK_STR(value_of("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 J");
}

static void class_properties(void)
{
	char scratch[64];
	struct identifier id;

	CHECK(extract_value(SPAN_LIT("correlation-id"), SPAN_LIT("c-1"), PLACE_PROPERTY, scratch, 64, &id));
	CHECK_EQ(id.cls, ID_JOIN);
	CHECK_EQ(id.place, PLACE_PROPERTY);
	CHECK(extract_value(SPAN_LIT("app-id"), SPAN_LIT("billing-v2"), PLACE_PROPERTY, scratch, 64, &id));
	CHECK_EQ(id.cls, ID_WEAK);
	CHECK(!extract_value(
		SPAN_LIT("content-type"), SPAN_LIT("text/xml"), PLACE_PROPERTY, scratch, 64, &id));
	CHECK(!extract_value(
		SPAN_LIT("message-id"), SPAN_LIT("abcdefgh1234"), PLACE_PROPERTY, scratch, 4, &id));
}

/* --- selection --- */

static void select_order(void)
{
	check_ids(ORDER, "order.id=4711 J\nlines[0].sku=A-1 J\nlines[1].sku=B-2 J\norder.customer.id=88 J\n"
			 "lines[0].qty=2 W\norder.customer.name=John Doe W\n");
}

static void select_urls(void)
{
	check_ids("{\"cb\":\"https://api.example.org/orders/4711/items/"
		  "9f2c1b3e1d2f4a5b8c6d7e8f90a1b2c3?ref=INV-20240&page=2\"}",
		"cb#path[1]=4711 J\ncb#path[3]=9f2c1b3e-1d2f-4a5b-8c6d-7e8f90a1b2c3 J\ncb#q.ref=INV-20240 "
		"J\n");
	check_ids("{\"urn\":\"urn:order:4711\",\"key\":\"order:4712\"}",
		"urn#path[2]=4711 J\nkey#path[1]=4712 J\n");
	check_ids("{\"u\":\"urn:uuid:9f2c1b3e-1d2f-4a5b-8c6d-7e8f90a1b2c3\"}",
		"u=9f2c1b3e-1d2f-4a5b-8c6d-7e8f90a1b2c3 J\n");
}

struct seen {
	unsigned n, deep, join;
	bool shallow_id, array_tail;
};

static bool see(void *ctx, const struct identifier *id)
{
	struct seen *s = ctx;

	s->n++;
	s->join += id->cls == ID_JOIN;
	s->deep += span_starts(id->name, "deep.");
	s->shallow_id |= span_is(id->name, "order_id");
	s->array_tail |= span_is(id->name, "list[8]");
	CHECK_EQ(id->place, PLACE_BODY);
	CHECK(id->cls != ID_NONE);
	return true;
}

static void select_caps(void)
{
	struct buf b = {0};
	struct seen s = {0};

	buf_puts(&b, "{\"deep\":{\"a\":{\"b\":{");
	for (int i = 0; i < 100; i++)
		buf_printf(&b, "%s\"k%d\":%d", i ? "," : "", i, 100000 + i);
	buf_puts(&b, "}}},\"list\":[");
	for (int i = 0; i < 10; i++)
		buf_printf(&b, "%s%d", i ? "," : "", 500000 + i);
	buf_puts(&b, "],\"order_id\":4711}");
	CHECK_EQ(extract_body(buf_span(&b), NULL, see, &s), 0);
	CHECK_EQ(s.n, 32);
	CHECK_EQ(s.deep, 32 - 8 - 1); /* what is left beside the shallow ones */
	CHECK(s.shallow_id);
	CHECK(!s.array_tail);
	buf_free(&b);
	/* the same value under two names counts once, where it stands higher */
	check_ids("{\"a\":{\"ref\":\"AB-12345\"},\"order_ref\":\"AB-12345\"}", "order_ref=AB-12345 J\n");
	/* line numbers */
	check_ids("{\"lines\":[{\"id\":1},{\"id\":2}]}", "lines[0].id=1 W\nlines[1].id=2 W\n");
}

static void select_text_and_xml(void)
{
	check_ids("Order 4711 of customer=ACME-1234 is late", "=4711 J\ncustomer=ACME-1234 J\n");
	check_ids("<Invoice><ID schemeID='GLN'>TOSL108</ID><IssueDate>2013-06-30</IssueDate></Invoice>",
		"Invoice.ID=TOSL108 J\nInvoice.ID@schemeID=GLN W\n");
	check_ids("\x08\x96\x01\x12\x04 4711", "");
	check_ids("{\"order_id\":4711,\"cut\":\"487", "order_id=4711 J\n");
}

/* --- paths --- */

static bool pm(const char *path, const char *pattern)
{
	return path_matches(span_str(path), span_str(pattern));
}

static void paths(void)
{
	CHECK(pm("order.customer.id", "id"));
	CHECK(pm("order.customer.id", "customer.id"));
	CHECK(pm("order.customer.id", "Order.Customer.ID"));
	CHECK(pm("order.customer.id", "*.id"));
	CHECK(pm("order.customer.id", "order.*.id"));
	CHECK(pm("order.customer.id", "cust*.id"));
	CHECK(!pm("order.customer.id", "tomer.id"));
	CHECK(!pm("order.customer.id", "x.order.customer.id"));
	CHECK(!pm("order.customer.id", "order.id"));
	CHECK(!pm("id", "*.id"));
	CHECK(!pm("order.customer_id", "id"));
	CHECK(pm("lines[2].sku", "sku"));
	CHECK(pm("lines[2].sku", "lines.sku"));
	CHECK(pm("lines[2].sku", "lines[].sku"));
	CHECK(pm("lines[2].sku", "lines[*].sku"));
	CHECK(pm("lines[2].sku", "lines[2].sku"));
	CHECK(!pm("lines[2].sku", "lines[1].sku"));
	CHECK(!pm("lines.sku", "lines[].sku"));
	CHECK(pm("tags[1][0]", "tags"));
	CHECK(pm("tags[1][0]", "tags[1]"));
	CHECK(pm("tags[1][0]", "tags[][0]"));
	CHECK(!pm("tags[1]", "tags[1][0]"));
	CHECK(pm("[3].a", "a"));
	CHECK(pm("[3].a", "[].a"));
	CHECK(pm("Invoice.ID@schemeID", "schemeid"));
	CHECK(pm("Invoice.ID@schemeID", "@schemeID"));
	CHECK(pm("Invoice.ID@schemeID", "id@schemeID"));
	CHECK(!pm("Invoice.ID@schemeID", "ID"));
	CHECK(!pm("Invoice.ID.schemeID", "ID@schemeID"));
	CHECK(pm("a.@id", "@id"));
	CHECK(pm("header.x-request-id", "x-request-id"));
	CHECK(!pm("", "id"));
	CHECK(!pm("id", ""));
}

/* --- real payloads, read in place --- */

static bool whole_file(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "rb");
	char part[65536];
	size_t n;

	buf_clear(b);
	if (!f)
		return false;
	while ((n = fread(part, 1, sizeof(part), f)))
		buf_put(b, part, n);
	fclose(f);
	return buf_ok(b);
}

static void real_webhooks(void)
{
	struct buf b = {0};
	size_t n = 0, docs = 0, at = 0;

	char path[512];

	snprintf(path, sizeof(path), "%s/github/webhooks.ndjson", payloads());
	CHECK(whole_file(path, &b));
	CHECK_EQ(body_format(buf_span(&b), SPAN_EMPTY), BODY_JSON);
	while (at < b.n) {
		const uint8_t *nl = memchr(b.p + at, '\n', b.n - at);
		size_t len = nl ? (size_t)(nl - b.p) - at : b.n - at;
		struct seen s = {0};
		size_t scalars = 0;

		CHECK_EQ(body_walk(span_of(b.p + at, len), BODY_JSON, count_scalars, &scalars), 0);
		CHECK_EQ(extract_body(span_of(b.p + at, len), NULL, see, &s), 0);
		CHECK(s.n > 0 && s.n <= 32 && s.join > 0);
		n += scalars;
		docs++;
		at += len + 1;
	}
	CHECK_EQ(docs, 329);
	CHECK(n > 329 * 100);
	buf_free(&b);
}

static void real_file(const char *path, bool xml)
{
	enum body_format fmt = xml ? BODY_XML : BODY_TEXT;
	struct buf b = {0};
	struct seen s = {0};
	size_t n = 0;

	CHECK(whole_file(path, &b));
	CHECK_EQ(body_format(buf_span(&b), SPAN_EMPTY), fmt);
	CHECK_EQ(body_walk(buf_span(&b), fmt, count_scalars, &n), 0);
	CHECK(n > 30);
	CHECK_EQ(extract_body(buf_span(&b), NULL, see, &s), 0);
	CHECK(s.n > 5 && s.join > 2);
	buf_free(&b);
}

static void real_xml_and_edifact(void)
{
	static const char *const dirs[] = {"ubl", "edifact"};
	unsigned files = 0;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		char path[512];
		struct dirent *e;
		DIR *d;

		snprintf(path, sizeof(path), "%s/%s", payloads(), dirs[i]);
		d = opendir(path);
		while (d && (e = readdir(d))) {
			bool xml = strstr(e->d_name, ".xml");

			if (!xml && !strstr(e->d_name, "Interchange"))
				continue;
			snprintf(path, sizeof(path), "%s/%s/%s", payloads(), dirs[i], e->d_name);
			real_file(path, xml);
			files++;
		}
		if (d)
			closedir(d);
	}
	CHECK(files > 2);
}

/* Printed, never asserted. */
static void speed(void)
{
	const unsigned rounds = 100000;
	struct seen s = {0};
	uint64_t t = now_mono_ns();

	for (unsigned i = 0; i < rounds; i++)
		extract_body(SPAN_LIT(ORDER), NULL, see, &s);
	printf("extract_body: %llu ns for %zu bytes of JSON\n",
		(unsigned long long)(now_mono_ns() - t) / rounds, sizeof(ORDER) - 1);
}

int main(void)
{
	RUN(json_paths);
	RUN(json_cut_everywhere);
	RUN(json_escapes);
	RUN(json_documents_in_a_row);
	RUN(json_lenient);
	RUN(json_inside_a_string);
	RUN(json_caps);
	RUN(leaves);
	RUN(xml_paths);
	RUN(xml_cut_everywhere);
	RUN(xml_encodings);
	RUN(xml_utf16);
	RUN(trailing_nuls);
	RUN(xml_hostile);
	RUN(form);
	RUN(text);
	RUN(edifact);
	RUN(formats);
	RUN(class_numbers);
	RUN(class_hashes);
	RUN(class_words);
	RUN(class_properties);
	RUN(select_order);
	RUN(select_urls);
	RUN(select_caps);
	RUN(select_text_and_xml);
	RUN(paths);
	if (payloads()) {
		RUN(real_webhooks);
		RUN(real_xml_and_edifact);
	} else {
		printf("no ../shared/payloads: what needs them is left out\n");
	}
	speed();
	return test_end();
}
