/* Conversations written by hand: fed whole, byte by byte, and with each part cut at every length. */
#ifndef EVTRACE_TESTS_PROTO_NATS_WIRE_H
#define EVTRACE_TESTS_PROTO_NATS_WIRE_H

#include "proto/feed.h"
#include "test.h"

struct say {
	enum flowdir d;
	const char *p;
	size_t n;
};

/* Text of the client's and of the server's; it may hold NUL bytes. */
#define C(text)                                                                                              \
	{                                                                                                    \
		TO_SERVER, text, sizeof(text) - 1                                                            \
	}
#define S(text)                                                                                              \
	{                                                                                                    \
		TO_CLIENT, text, sizeof(text) - 1                                                            \
	}
#define INFO                                                                                                 \
	S("INFO {\"server_id\":\"N1\",\"version\":\"2.9.10\",\"max_payload\":1048576,\"headers\":true} "     \
	  "\r\n")
#define CONNECT C("CONNECT {\"verbose\":false,\"pedantic\":false,\"user\":\"shop\"}\r\n")

/* One message line with its payload, sizes counted; @header may be NULL. */
static inline struct say message(
	enum flowdir d, const char *verb, const char *args, const char *header, const char *payload)
{
	static struct buf kept[64];
	static unsigned at;
	struct buf *b = &kept[at++ % ARRAY_LEN(kept)];

	buf_clear(b);
	buf_printf(b, "%s%s %s ", header ? "H" : "", verb, args);
	if (header)
		buf_printf(b, "%zu ", strlen(header));
	buf_printf(b, "%zu\r\n%s%s\r\n", (header ? strlen(header) : 0) + strlen(payload),
		header ? header : "", payload);
	return (struct say){d, buf_cstr(b), b->n};
}

#define PUB(args, payload)          message(TO_SERVER, "PUB", args, NULL, payload)
#define HPUB(args, header, payload) message(TO_SERVER, "PUB", args, header, payload)
#define MSG(args, payload)          message(TO_CLIENT, "MSG", args, NULL, payload)
#define HMSG(args, header, payload) message(TO_CLIENT, "MSG", args, header, payload)

/* What was told to be secret is every "hunter2", nothing else, and told in time. */
static inline bool secrets_told(const struct feed *f)
{
	struct span s = buf_span(&f->sent);

	for (size_t i = 0; i < s.n; i++) {
		bool in = false;
		uint8_t told = i < f->secrets.n ? f->secrets.p[i] : 0;

		for (size_t k = 0; k < 7 && k <= i; k++)
			in |= i - k + 7 <= s.n && !memcmp(s.p + i - k, "hunter2", 7);
		if (in ? told != 1 : told)
			return false;
	}
	return f->secrets.n <= s.n;
}

/* As detect does: after PARSE_ERROR it is not asked again. */
static inline bool given_up(const struct feed *f)
{
	return holds(buf_span(&f->log), "PARSE_ERROR");
}

static inline void converse(struct feed *f, const struct say *says, size_t n, size_t step, size_t cut)
{
	for (size_t i = 0; i < n; i++) {
		struct span s = span_of(says[i].p, says[i].n);

		if (cut && !given_up(f)) {
			feed_bytes(f, says[i].d, span_sub(s, 0, cut));
			s = span_sub(s, cut, SIZE_MAX);
		}
		while (s.n && !given_up(f)) {
			feed_bytes(f, says[i].d, span_sub(s, 0, step ? step : s.n));
			s = span_sub(s, step ? step : s.n, SIZE_MAX);
		}
	}
}

static inline void once(const struct say *says, size_t n, bool from_start, size_t limit, const char *want,
	size_t step, size_t cut)
{
	struct feed f;

	feed_begin(&f, &proto_nats, from_start, limit);
	f.lost[0] = f.lost[1] = !from_start;
	converse(&f, says, n, step, cut);
	feed_end(&f);
	CHECK(!f.bad);
	CHECK(!f.secret);
	CHECK(secrets_told(&f));
	if (strcmp(buf_cstr(&f.log), want)) {
		fprintf(stderr, "--- step %zu cut %zu: got\n%s--- want\n%s", step, cut, buf_cstr(&f.log),
			want);
		test_case_bad = true;
	}
	feed_free(&f);
}

static inline void expect(const struct say *says, size_t n, bool from_start, size_t limit, const char *want)
{
	size_t longest = 0;

	for (size_t i = 0; i < n; i++)
		longest = says[i].n > longest ? says[i].n : longest;
	once(says, n, from_start, limit, want, 0, 0);
	once(says, n, from_start, limit, want, 1, 0);
	for (size_t cut = 1; cut < longest && !test_case_bad; cut++)
		once(says, n, from_start, limit, want, 0, cut);
}

#define EXPECT(want, ...)                                                                                    \
	do {                                                                                                 \
		const struct say says_[] = {__VA_ARGS__};                                                    \
		expect(says_, ARRAY_LEN(says_), true, 0, want);                                              \
	} while (0)
#define EXPECT_MIDDLE(want, ...)                                                                             \
	do {                                                                                                 \
		const struct say says_[] = {__VA_ARGS__};                                                    \
		expect(says_, ARRAY_LEN(says_), false, 0, want);                                             \
	} while (0)

#endif
