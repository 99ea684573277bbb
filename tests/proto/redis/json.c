/* Members of JSON objects, found without a tree, in time that grows with the text and no faster. */
#include <stdlib.h>
#include <time.h>

#include "proto/redis_state.h"
#include "test.h"

static const char *member(const char *doc, const char *name)
{
	static char text[64];
	struct span v;

	if (!json_member(span_str(doc), name, &v))
		return "(none)";
	snprintf(text, sizeof(text), SPAN_FMT, SPAN_ARG(v));
	return text;
}

static void members(void)
{
	const char *doc = "{ \"a\\\"b\" : 1, \"s\": \"x\\\\\", \"o\":{\"s\":\"in\",\"l\":[1,\"]\"]} "
			  ",\"end\":\"\\\"\" }";

	CHECK_STR(member(doc, "a\\\"b"), "1");
	CHECK_STR(member(doc, "s"), "x\\\\");
	CHECK_STR(member(doc, "o"), "{\"s\":\"in\",\"l\":[1,\"]\"]}");
	CHECK_STR(member(doc, "end"), "\\\"");
	CHECK_STR(member(doc, "l"), "(none)");
	CHECK_STR(member("{\"a\":\"cut", "a"), "(none)");
	CHECK_STR(member("{\"a\":\"cut\\", "a"), "(none)");
	CHECK_STR(member("[]", "a"), "(none)");
}

/* A file of text as JSON: an escape at the end of each line, and the quote far away. */
static void escapes(void)
{
	const size_t n = 2u << 20;
	char *doc = malloc(n + 32);
	struct span v;
	clock_t begin;
	size_t at;

	at = (size_t)sprintf(doc, "{\"text\":\"");
	while (at < n) {
		doc[at] = '\\';
		doc[at + 1] = at % 3 ? 'n' : '"';
		at += 2;
	}
	at += (size_t)sprintf(doc + at, "\",\"jid\":\"j\"}");
	begin = clock();
	CHECK(json_member(span_of(doc, at), "jid", &v) && span_is(v, "j"));
	CHECK(clock() - begin <
		CLOCKS_PER_SEC); /* of CPU time: 10 ms, but 20 s if each escape looked for the end */
	for (at = 9; at < n; at += 2)
		doc[at + 1] = 'n';
	begin = clock();
	CHECK(json_member(span_of(doc, at + 12), "jid", &v) && span_is(v, "j"));
	CHECK(clock() - begin < CLOCKS_PER_SEC);
	free(doc);
}

int main(void)
{
	RUN(members);
	RUN(escapes);
	return test_end();
}
