/*
 * Binary bodies and layers: what real encoders write (tests/unit/bodies, made by its script), cut at every
 * length, and hostile.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/timefmt.h"
#include "base/unpack.h"
#include "extract/extract.h"
#include "extract/schema.h"
#include "scalars.h"
#include "test.h"

#define FIXTURES "tests/unit/bodies"

/* --- helpers --- */

/* "what it is\npath=value\n..." */
static const char *read_as(struct span raw, const char *type, const char *encoding, int *ret_err)
{
	static struct buf b;
	struct body_hints hints = {span_str(type), span_str(encoding)};
	struct body body;

	buf_clear(&b);
	body_open(&body, raw, &hints);
	CHECK(body.raw.p == raw.p && body.raw.n == raw.n);
	body_describe(&body, &b);
	buf_putc(&b, '\n');
	*ret_err = body_scalars(&body, render, &b);
	body_close(&body);
	return buf_cstr(&b);
}

static void check_read(struct span raw, const char *want)
{
	int err;

	CHECK_STR(read_as(raw, "", "", &err), want);
}

/* How many scalars; the walk must end, within the caps. */
static bool count(void *ctx, const struct scalar *s)
{
	CHECK(s->path.n <= 256 && s->leaf.n <= s->path.n);
	++*(size_t *)ctx;
	return true;
}

static size_t scalars_of(struct span raw, enum body_format fmt)
{
	size_t n = 0;

	body_walk(raw, fmt, count, &n);
	return n;
}

static enum body_format format(struct span raw)
{
	return body_format(raw, SPAN_EMPTY);
}

static bool whole_file(const char *name, const char *ending, struct buf *b)
{
	char path[512], part[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), FIXTURES "/%s%s", name, ending);
	f = fopen(path, "rb");
	buf_clear(b);
	if (!f)
		return false;
	while ((n = fread(part, 1, sizeof(part), f)))
		buf_put(b, part, n);
	fclose(f);
	return buf_ok(b);
}

/* --- fixtures --- */

/*
 * Everything that a cut body gives must stand in what the whole one gives: no half value, no wrong name.
 * Where more of the same field would have followed, "4" is what "4[0]" would have been.
 */
static void check_part(const char *name, size_t at, char *got, const char *whole)
{
	char *line = strchr(got, '\n') + 1, *next;

	for (; *line; line = next) {
		char first[4096];
		char *eq;

		next = strchr(line, '\n') + 1;
		if (memmem(whole, strlen(whole), line, (size_t)(next - line)))
			continue;
		eq = strchr(line, '=');
		snprintf(first, sizeof(first), "%.*s[0]%.*s", (int)(eq - line), line, (int)(next - eq), eq);
		if (strstr(whole, first))
			continue;
		snprintf(first, sizeof(first), "%.*s[0]%.*s", (int)strcspn(line, ".="), line,
			(int)(next - line) - (int)strcspn(line, ".="), line + strcspn(line, ".="));
		if (strstr(whole, first))
			continue;
		fprintf(stderr, "%s cut at %zu: \"%.*s\" is not in the whole\n", name, at,
			(int)(next - line - 1), line);
		test_case_bad = true;
	}
}

static enum body_format format_named(const char *want)
{
	for (int f = BODY_FORMATS - 1; f >= 0; f--) {
		const char *name = body_format_name((enum body_format)f);

		if (!strncmp(want, name, strlen(name)) && strchr(" \n", want[strlen(name)]))
			return (enum body_format)f;
	}
	return BODY_BINARY;
}

/* In memory of exactly its size, cut everywhere: both as what it then seems to be, and as what it is. */
static void check_cuts(const char *name, struct span bin, const char *whole, enum body_format fmt)
{
	for (size_t n = 0; n < bin.n; n++) {
		uint8_t *part = malloc(n ? n : 1);
		struct buf b = {0};
		int err;

		if (n)
			memcpy(part, bin.p, n);
		read_as(span_of(part, n), "", "", &err);
		buf_putc(&b, '\n');
		body_walk(span_of(part, n), fmt, render, &b);
		if (fmt != BODY_TEXT && fmt != BODY_FORM)
			check_part(name, n, (char *)(uintptr_t)buf_cstr(&b), whole);
		buf_free(&b);
		free(part);
	}
}

/* The wanted text has a line of hints, "content type/content encoding", behind the first; a last line "*"
 * leaves open what else there is. */
static void check_fixture(const char *name)
{
	struct buf bin = {0}, text = {0}, want = {0};
	char hint[128] = "", *encoding, *line;
	const char *got;
	bool open;
	int err;

	CHECK(whole_file(name, ".bin", &bin) && whole_file(name, ".want", &text));
	line = strchr((char *)(uintptr_t)buf_cstr(&text), '\n') + 1;
	snprintf(hint, sizeof(hint), "%.*s", (int)strcspn(line, "\n"), line);
	buf_put(&want, text.p, (size_t)((uint8_t *)line - text.p));
	buf_puts(&want, strchr(line, '\n') + 1);
	open = want.n >= 2 && !memcmp(want.p + want.n - 2, "*\n", 2);
	if (open)
		want.n -= 2;
	encoding = strrchr(hint, '/');
	if (!encoding || encoding != hint)
		encoding = hint + strlen(hint); /* the whole of it is a content type */
	else
		*encoding++ = '\0';
	got = read_as(buf_span(&bin), encoding == hint + 1 ? "" : hint, encoding, &err);
	CHECK(open || !err);
	if (open ? strncmp(got, buf_cstr(&want), want.n) != 0 : strcmp(got, buf_cstr(&want)) != 0) {
		fprintf(stderr, "%s: \"%s\", wanted \"%s\"\n", name, got, buf_cstr(&want));
		test_case_bad = true;
	} else if (!strncmp(name, "msgpack", 7) || !strncmp(name, "protobuf_o", 10) ||
		   !strncmp(name, "avro", 4) || !strncmp(name, "pickle", 6)) {
		char *whole = strdup(got);

		check_cuts(name, buf_span(&bin), whole, format_named(whole));
		free(whole);
	} else {
		check_cuts(name, buf_span(&bin), "", BODY_TEXT);
	}
	buf_free(&bin);
	buf_free(&text);
	buf_free(&want);
}

static void fixtures(void)
{
	DIR *d = opendir(FIXTURES);
	struct dirent *e;
	unsigned n = 0, bad;

	schemas_clear();
	CHECK_EQ(schemas_load(FIXTURES, &bad), 2);
	CHECK_EQ(bad, 0);
	CHECK(d);
	while (d && (e = readdir(d))) {
		char name[256];
		size_t len = strlen(e->d_name);

		if (len < 5 || strcmp(e->d_name + len - 4, ".bin"))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)len - 4, e->d_name);
		check_fixture(name);
		n++;
	}
	if (d)
		closedir(d);
	CHECK(n > 50);
}

/* --- MessagePack, hostile --- */

static void msgpack_hostile(void)
{
	struct buf b = {0};

	/* lengths and counts that lie */
	CHECK_EQ(format(SPAN_LIT("\xdd\xff\xff\xff\xff\x01\xa1x")), BODY_BINARY);
	CHECK_EQ(scalars_of(SPAN_LIT("\xdd\xff\xff\xff\xff\x01\x02"), BODY_MSGPACK), 2);
	CHECK_EQ(scalars_of(SPAN_LIT("\x81\xa1k\xdb\xff\xff\xff\xffxxxx"), BODY_MSGPACK), 0);
	CHECK_EQ(scalars_of(SPAN_LIT("\x81\xa1k\xc6\xff\xff\xff\xffxxxx"), BODY_MSGPACK), 0);
	CHECK_EQ(scalars_of(SPAN_LIT("\xdf\xff\xff\xff\xff"), BODY_MSGPACK), 0);
	CHECK_EQ(scalars_of(SPAN_LIT("\x91\xc1"), BODY_MSGPACK), 0);
	/* depth */
	for (int i = 0; i < 100000; i++)
		buf_putc(&b, (char)0x91);
	buf_puts(&b, "\xa1x");
	CHECK_EQ(format(buf_span(&b)), BODY_BINARY);
	CHECK_EQ(scalars_of(buf_span(&b), BODY_MSGPACK), 0);
	buf_clear(&b);
	for (int i = 0; i < 60; i++)
		buf_putc(&b, (char)0x91);
	buf_puts(&b, "\xa1x");
	CHECK_EQ(format(buf_span(&b)), BODY_MSGPACK);
	CHECK_EQ(scalars_of(buf_span(&b), BODY_MSGPACK), 1);
	/* the cap of scalars */
	buf_clear(&b);
	buf_put_span(&b, SPAN_LIT("\xdd\x00\x01\x20\x00"));
	for (int i = 0; i < 0x12000; i++)
		buf_putc(&b, 7);
	CHECK_EQ(scalars_of(buf_span(&b), BODY_MSGPACK), 65536);
	buf_free(&b);
}

static void msgpack_by_content(void)
{
	static const char cut[] = "\x86\xa2id\xa1x\xa2no\xa1y\xa2to\xa1z\xa2wo\xd9\x30half a te";

	/* without a text, or with one that is none, it could be anything */
	CHECK_EQ(format(SPAN_LIT("\x80")), BODY_BINARY);
	CHECK_EQ(format(SPAN_LIT("\x93\x01\x02\x03")), BODY_BINARY);
	CHECK_EQ(format(SPAN_LIT("\x81\xa2\xff\xfe\x01")), BODY_BINARY);
	CHECK_EQ(body_format(SPAN_LIT("\x93\x01\x02\x03"), SPAN_LIT("application/x-msgpack")), BODY_MSGPACK);
	CHECK_EQ(body_format(SPAN_LIT("\x2a"), SPAN_LIT("application/vnd.msgpack")), BODY_MSGPACK);
	CHECK_EQ(format(SPAN_LIT("\x81\xa2id\xa1x\x05")), BODY_BINARY); /* something behind it */
	check_read(SPAN_LIT(cut), "msgpack\nid=s:x\nno=s:y\nto=s:z\n");
}

/* --- Protocol Buffers, hostile --- */

static void protobuf_by_content(void)
{
	CHECK_EQ(format(SPAN_LIT("\x08\xe7\x24")), BODY_BINARY); /* no text */
	CHECK_EQ(body_format(SPAN_LIT("\x08\xe7\x24"), SPAN_LIT("application/protobuf")), BODY_PROTOBUF);
	CHECK_EQ(format(SPAN_LIT("\x12\x02hi\x08\x01")), BODY_BINARY);         /* descends */
	CHECK_EQ(format(SPAN_LIT("\x08\x81\x00\x12\x02hi")), BODY_BINARY);     /* padded */
	CHECK_EQ(format(SPAN_LIT("\x00\x01\x12\x02hi")), BODY_BINARY);         /* field 0 */
	CHECK_EQ(format(SPAN_LIT("\x0b\x08\x01\x0c\x12\x02hi")), BODY_BINARY); /* a group */
	CHECK_EQ(format(SPAN_LIT("\x08\x01\x12\x05hi")), BODY_BINARY);         /* ends too early */
	check_read(SPAN_LIT("\n\x05hello\x12\x02hi"), "protobuf\n1=s:hello\n2=s:hi\n");
	check_read(SPAN_LIT("\n\thello, it"), "text\n=s:hello\n=s:it\n"); /* reads as text, and is */
	check_read(SPAN_LIT("\x08\x01\x12\x02hi\x1a\x02\xff\xfe"), "protobuf\n1=n:1\n2=s:hi\n3=s:fffe\n");
}

static void protobuf_hostile(void)
{
	struct buf b = {0}, in = {0};
	uint64_t t;

	for (int i = 0; i < 2000; i++) { /* messages in messages, as deep as they go */
		struct buf swap = in;

		buf_clear(&b);
		buf_puts(&b, "\x08\x01\x12");
		for (size_t n = in.n;; n >>= 7) {
			buf_putc(&b, (char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0)));
			if (n <= 0x7f)
				break;
		}
		buf_put_span(&b, buf_span(&in));
		in = b;
		b = swap;
	}
	CHECK_EQ(format(buf_span(&in)), BODY_BINARY);
	CHECK_EQ(scalars_of(buf_span(&in), BODY_PROTOBUF), 16);
	buf_clear(&in);
	while (in.n < 1 << 20) /* a megabyte of two-byte fields, in a message */
		buf_puts(&in, "\x08\x01");
	buf_clear(&b);
	buf_put_span(&b, SPAN_LIT("\x0a\x02hi\x12\x80\x80\x40"));
	buf_put_span(&b, buf_span(&in));
	t = now_mono_ns();
	CHECK_EQ(format(buf_span(&b)), BODY_PROTOBUF);
	CHECK_EQ(scalars_of(buf_span(&b), BODY_PROTOBUF), 65536);
	CHECK(now_mono_ns() - t < 2 * NS_PER_SEC);
	CHECK_EQ(scalars_of(SPAN_LIT("\x12\xff\xff\xff\xff\x07xx"), BODY_PROTOBUF), 0);
	CHECK_EQ(scalars_of(SPAN_LIT("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xx"), BODY_PROTOBUF), 0);
	buf_free(&b);
	buf_free(&in);
}

/* --- Avro, hostile --- */

static void learn(uint64_t id, const char *schema, int want)
{
	CHECK_EQ(schemas_learn(id, SCHEMA_AVRO, span_str(schema)), want);
}

static void avro_schemas(void)
{
	struct buf b = {0};

	schemas_clear();
	learn(1, "\"string\"", 1);
	learn(1, "\"string\"", 0);
	learn(2, "string", 1);
	learn(3, "{\"fields\":[{\"type\":\"a.B\",\"name\":\"x\"}],\"name\":\"a.B\",\"type\":\"record\"}", 1);
	learn(4, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"x\",\"type\":\"Missing\"}]}",
		-EBADMSG);
	learn(5, "", -EBADMSG);
	learn(5, "{\"type\":\"record\",\"name\":\"R\"", -EBADMSG);
	learn(5, "{\"type\":\"record\",\"name\":\"R\"}", -EBADMSG);
	learn(5, "{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}", -EBADMSG);
	learn(5, "[\"null\",", -EBADMSG);
	learn(5, "{]", -EBADMSG);
	/* a name in an outer name space, and one without */
	learn(6,
		"{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n\",\"fields\":[{\"name\":\"e\","
		"\"type\":"
		"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"X\",\"Y\"]}},{\"name\":\"f\",\"type\":"
		"\"n.E\"},{\"name\":\"g\",\"type\":[\"null\",\"E\"]}]}",
		1);
	check_read(SPAN_LIT("\0\0\0\0\x06\x00\x02\x02\x02"), "avro (schema 6)\ne=s:X\nf=s:Y\ng=s:Y\n");
	/* a bomb of brackets */
	for (int i = 0; i < 30000; i++)
		buf_putc(&b, '[');
	learn(7, buf_cstr(&b), -EBADMSG);
	buf_clear(&b);
	for (int i = 0; i < 6000; i++)
		buf_puts(&b, "{\"type\":");
	learn(7, buf_cstr(&b), -EBADMSG);
	/* larger than the caps */
	buf_clear(&b);
	buf_puts(&b, "[\"null\"");
	while (b.n < 65000)
		buf_puts(&b, ",[]");
	buf_puts(&b, "]");
	learn(7, buf_cstr(&b), -EBADMSG);
	while (b.n < 70000)
		buf_puts(&b, "          ");
	learn(7, buf_cstr(&b), -E2BIG);
	buf_free(&b);
	/* several registries: the schema that fits is taken */
	learn(8, "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"n\",\"type\":\"long\"}]}", 1);
	learn(8, "{\"type\":\"record\",\"name\":\"B\",\"fields\":[{\"name\":\"t\",\"type\":\"string\"}]}", 1);
	check_read(SPAN_LIT("\0\0\0\0\x08\x06xyz"), "avro (schema 8)\nt=s:xyz\n");
	check_read(SPAN_LIT("\0\0\0\0\x08\xce\x49"), "avro (schema 8)\nn=n:4711\n");
	check_read(SPAN_LIT("\0\0\0\0\x08\x02xyz\x06"
			    "abc"),
		"avro (not of the form of schema 8)\n=s:abc\n");
}

static void avro_hostile(void)
{
	static const char nulls[] = "\0\0\0\0\x01\xfe\xff\xff\xff\xff\xff\xff\xff\x1f\0";
	static const char least[] = "\0\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0";
	struct buf b = {0};
	uint64_t t = now_mono_ns();

	schemas_clear();
	/* 2^60 and -2^63 elements that take no bytes */
	learn(1, "{\"type\":\"array\",\"items\":\"null\"}", 1);
	CHECK_EQ(scalars_of(span_of(nulls, sizeof(nulls) - 1), BODY_AVRO), 0);
	CHECK_EQ(scalars_of(span_of(least, sizeof(least) - 1), BODY_AVRO), 0);
	CHECK_EQ(scalars_of(SPAN_LIT("\0\0\0\0\x01\x03\x01\0"), BODY_AVRO), 0); /* a size of -1 */
	CHECK_EQ(scalars_of(SPAN_LIT("\0\0\0\0\x01\x03\x04\0"), BODY_AVRO), 2);
	/* a record that is made of itself */
	learn(2, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"x\",\"type\":\"R\"}]}", 1);
	CHECK_EQ(scalars_of(SPAN_LIT("\0\0\0\0\x02\x06xyz"), BODY_AVRO), 1); /* loosely */
	/* 2^40 fields out of a schema of a few lines */
	buf_puts(&b, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[");
	for (int i = 0; i < 14; i++)
		buf_printf(
			&b, "{\"name\":\"a\",\"type\":{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[", i);
	buf_puts(&b, "{\"name\":\"n\",\"type\":\"null\"}");
	for (int i = 13; i >= 0; i--) {
		buf_puts(&b, "]}}");
		for (int k = 0; k < 8; k++)
			buf_printf(&b, ",{\"name\":\"b\",\"type\":\"R%d\"}", i);
	}
	buf_puts(&b, "]}");
	learn(3, buf_cstr(&b), 1);
	CHECK_EQ(scalars_of(SPAN_LIT("\0\0\0\0\x03\x06xyz"), BODY_AVRO), 1);
	CHECK(now_mono_ns() - t < 2 * NS_PER_SEC);
	/* what is not known, of a size that invites to look at everything twice */
	buf_clear(&b);
	buf_put_span(&b, SPAN_LIT("\0\0\0\0\x09"));
	while (b.n < 1 << 20)
		buf_puts(&b, "\xc3\xbfz");
	buf_puts(&b, "\x01");
	t = now_mono_ns();
	scalars_of(buf_span(&b), BODY_AVRO);
	format(buf_span(&b));
	CHECK(now_mono_ns() - t < 2 * NS_PER_SEC);
	buf_free(&b);
	schemas_clear();
}

static void avro_file_hostile(void)
{
#define HEAD(schema)                                                                                         \
	"Obj\x01\x02\x16"                                                                                    \
	"avro.schema" schema "\0"                                                                            \
	"0123456789abcdef"
	static const char two60[] = HEAD("\x0c\"null\"") "\xfe\xff\xff\xff\xff\xff\xff\xff\x1f\0"
							 "0123456789abcdef";
	static const char negative[] = HEAD("\x0c\"null\"") "\x01\0"
							    "0123456789abcdef";
	static const char size[] = HEAD("\x0e\"bytes\"") "\x02\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x06"
							 "abc";
	static const char sync[] = HEAD("\x10\"string\"") "\x02\x08\x06xyz0123456789abcdeX";
	struct buf b = {0};
	int err;

	CHECK_EQ(scalars_of(SPAN_LIT(two60), BODY_AVRO_FILE), 65536);
	CHECK_EQ(scalars_of(SPAN_LIT(negative), BODY_AVRO_FILE), 0);
	CHECK_STR(read_as(SPAN_LIT(size), "", "", &err), "avro file\n=s:abc\n");
	CHECK_EQ(err, -EBADMSG);
	CHECK_STR(read_as(SPAN_LIT(sync), "", "", &err), "avro file\n=s:xyz\n");
	CHECK_EQ(err, -EBADMSG);
	CHECK_EQ(scalars_of(SPAN_LIT("Obj\x01\xfe\xff\xff\xff\xff\xff\xff\xff\x1f"), BODY_AVRO_FILE), 0);
	CHECK_EQ(scalars_of(SPAN_LIT("Obj\x01"), BODY_AVRO_FILE), 0);
	buf_free(&b);
}

/* --- schemas by the way --- */

static void schemas_seen(void)
{
	static const char record[] = "{\"subject\":\"orders-value\",\"version\":1,\"id\":17,\"schema\":\"{"
				     "\\\"type\\\":\\\"record\\\","
				     "\\\"name\\\":\\\"O\\\",\\\"fields\\\":[{\\\"name\\\":\\\"id\\\","
				     "\\\"type\\\":\\\"long\\\"}]}\","
				     "\"deleted\":false}";
	static const char body[] = "\0\0\0\0\x11\xce\x49";
	char path[] = "/tmp/evtrace-schemas-XXXXXX";
	struct buf line = {0};
	unsigned bad;
	int fd;

	schemas_clear();
	CHECK_EQ(schemas_learn_record(span_str("{\"keytype\":\"NOOP\",\"magic\":0}"), &line), 0);
	CHECK_EQ(schemas_learn_record(span_str("not json"), &line), 0);
	CHECK_EQ(schemas_learn_record(span_str("{\"id\":1,\"schema\":\"{\"}"), &line), -EBADMSG);
	CHECK_EQ(line.n, 0);
	CHECK_EQ(schemas_learn_record(span_str(record), &line), 1);
	check_read(SPAN_LIT(body), "avro (schema 17)\nid=n:4711\n");
	CHECK_EQ(schemas_learn_record(
			 span_str("{\"id\":18,\"schemaType\":\"PROTOBUF\",\"schema\":\"syntax\"}"), &line),
		1);
	/* what was written of it is read again */
	fd = mkstemp(path);
	CHECK(fd >= 0 && write(fd, line.p, line.n) == (ssize_t)line.n);
	close(fd);
	schemas_clear();
	check_read(SPAN_LIT(body), "binary\n");
	CHECK_EQ(schemas_load(path, &bad), 2);
	CHECK_EQ(bad, 0);
	check_read(SPAN_LIT(body), "avro (schema 17)\nid=n:4711\n");
	/* a number that is known to be one of Protocol Buffers' needs no text in it */
	check_read(SPAN_LIT("\0\0\0\0\x12\0\x08\x05"), "protobuf (schema 18)\n1=n:5\n");
	CHECK_EQ(schemas_load("/nonexistent/schemas", &bad), -ENOENT);
	unlink(path);
	buf_free(&line);
	schemas_clear();
}

/* --- layers, hostile --- */

/* A gzip member of @n zeros, written by hand from stored and repeated blocks would be long: made by zlib in
 * the fixture script instead. */
static void bombs(void)
{
	struct buf bomb = {0};
	struct body body;
	uint64_t t = now_mono_ns();
	int err;

	CHECK(whole_file("bomb", ".gz", &bomb));
	CHECK(bomb.n < 100000);
	body_open(&body, buf_span(&bomb), NULL);
	CHECK(body.cut);
	CHECK_EQ(body.layers, 1);
	CHECK(body.bytes.n <= BODY_MAX_UNPACK && body.bytes.n <= bomb.n * 256 + 65536);
	body_close(&body);
	CHECK(whole_file("bomb2", ".gz", &bomb));
	read_as(buf_span(&bomb), "", "", &err);
	CHECK_EQ(err, -EBADMSG);
	CHECK(now_mono_ns() - t < 5 * NS_PER_SEC);
	buf_free(&bomb);
}

static void many_layers_inside(void)
{
	struct buf bin = {0}, json = {0};
	uint64_t t = now_mono_ns();

	/* each value unpacks to much: all of them together stay within the budget */
	CHECK(whole_file("bomb", ".b64", &bin));
	buf_puts(&json, "[");
	for (int i = 0; i < 500; i++)
		buf_printf(&json, "%s\"%s\"", i ? "," : "", buf_cstr(&bin));
	buf_puts(&json, "]");
	CHECK(scalars_of(buf_span(&json), BODY_JSON) >= 500);
	CHECK(now_mono_ns() - t < 5 * NS_PER_SEC);
	buf_free(&bin);
	buf_free(&json);
}

static void base64(void)
{
	struct buf b = {0};
	uint8_t first[3];

	CHECK(base64_decode(SPAN_LIT("aGVsbG8="), false, &b));
	CHECK(span_is(buf_span(&b), "hello"));
	buf_clear(&b);
	CHECK(base64_decode(SPAN_LIT("aGVs\r\nbG8"), false, &b)); /* lines, no padding */
	CHECK(span_is(buf_span(&b), "hello"));
	buf_clear(&b);
	CHECK(!base64_decode(SPAN_LIT("aGVsbG8=="), false, &b));
	CHECK(!base64_decode(SPAN_LIT("aGVs bG8="), false, &b));
	CHECK(!base64_decode(SPAN_LIT("aGVsb"), false, &b));
	CHECK(!base64_decode(SPAN_LIT("aG=sbG8="), false, &b));
	CHECK_EQ(b.n, 0);
	CHECK(base64_decode(SPAN_LIT("aGVsb"), true, &b));
	CHECK(span_is(buf_span(&b), "hel"));
	CHECK(base64_peek(SPAN_LIT("aGVs"), first) && !memcmp(first, "hel", 3));
	CHECK(!base64_peek(SPAN_LIT("aGV"), first) && !base64_peek(SPAN_LIT("a-Vs"), first));
	buf_free(&b);
}

static bool hides(const char *s)
{
	return body_may_hide(span_str(s));
}

static void hiding(void)
{
	CHECK(!hides(""));
	CHECK(!hides("{\"order\":{\"id\":4711,\"customer\":\"John Doe\",\"note\":\"nothing here\"}}"));
	CHECK(!hides("{\"sha\":\"9f2c1b3e1d2f4a5b8c6d7e8f90a1b2c3\",\"u\":\"9f2c1b3e-1d2f-4a5b-8c6d-"
		     "7e8f90a1b2c3\"}"));
	CHECK(!hides("order 4711 is late"));
	CHECK(hides("{\"data\":\"eyJvcmRlciI6eyJpZCI6NDcxMX19\"}"));
	CHECK(hides("eyJvcmRlciI6eyJpZCI6NDcxMX19"));
	CHECK(hides("{\"a\":1,\"data\":\"H4sIAAAAAAAC/wvJyCxWAKJEAA==\"}"));
	CHECK(body_may_hide(SPAN_LIT("\x08\x01\x12\x02hi")));
	CHECK(body_may_hide(SPAN_LIT("\x81\xa2id\xa1x")));
	CHECK(body_may_hide(SPAN_LIT("\x1f\x8b\x08\x00")));
	CHECK(body_may_hide(SPAN_LIT("x\x9c\x01")));
	CHECK(body_may_hide(SPAN_LIT("\0\0\0\0\x11")));
	/* zlib without one control character; a first line that is too short for what is looked for */
	CHECK(body_may_hide(SPAN_LIT("x\x9c\xab\x56\xca\x2fJI-R\xb2}}}")));
	CHECK_EQ(format(SPAN_LIT("eyJvcmRl\nciI6eyJpZCI6\nNDcxMX19\n")), BODY_TEXT);
	check_read(SPAN_LIT("eyJvcmRl\nciI6eyJp"), "text\n=s:eyJvcmRl\n=s:ciI6eyJp\n");
	/* wherever it stands */
	for (size_t i = 0; i < 40; i++) {
		char text[128];

		snprintf(text, sizeof(text), "{\"%.*s\":\"eyJvcmRlciI6eyJp\"}", (int)i,
			"........................................");
		CHECK(hides(text));
	}
}

/* --- identifiers --- */

static bool name_them(void *ctx, const struct identifier *id)
{
	buf_printf(ctx, SPAN_FMT "=" SPAN_FMT "\n", SPAN_ARG(id->name), SPAN_ARG(id->value));
	return true;
}

/* The same order in any dress gives the same identifiers. */
static void identifiers(void)
{
	static const char *const same[] = {"gzip_json", "zlib_json", "zstd_json", "lz4_json",
		"snappy_framed_json", "base64_json", "four_layers"};
	struct buf bin = {0}, ids = {0};

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		CHECK(whole_file(same[i], ".bin", &bin));
		buf_clear(&ids);
		CHECK_EQ(extract_body(buf_span(&bin), NULL, name_them, &ids), 0);
		CHECK_STR(buf_cstr(&ids), "order.id=4711\norder.customer=John Doe\n");
	}
	CHECK(whole_file("msgpack_order", ".bin", &bin));
	buf_clear(&ids);
	extract_body(buf_span(&bin), NULL, name_them, &ids);
	CHECK(strstr(buf_cstr(&ids), "order.id=4711\n"));
	CHECK(strstr(buf_cstr(&ids), "ref=9f2c1b3e-1d2f-4a5b-8c6d-7e8f90a1b2c3\n"));
	CHECK(whole_file("celery_json", ".bin", &bin));
	buf_clear(&ids);
	extract_body(buf_span(&bin), NULL, name_them, &ids);
	CHECK(strstr(buf_cstr(&ids), "body[0][0]=4711\n"));
	CHECK(whole_file("rq_job", ".bin", &bin));
	buf_clear(&ids);
	extract_body(buf_span(&bin), NULL, name_them, &ids);
	CHECK_STR(buf_cstr(&ids), "=4711\n=INV-2024-0001\n");
	buf_free(&bin);
	buf_free(&ids);
}

int main(void)
{
	RUN(base64);
	RUN(fixtures);
	RUN(msgpack_by_content);
	RUN(msgpack_hostile);
	RUN(protobuf_by_content);
	RUN(protobuf_hostile);
	RUN(avro_schemas);
	RUN(avro_hostile);
	RUN(avro_file_hostile);
	RUN(schemas_seen);
	RUN(bombs);
	RUN(many_layers_inside);
	RUN(hiding);
	RUN(identifiers);
	return test_end();
}
