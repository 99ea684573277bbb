/* Conversations written by hand. */
#ifndef EVTRACE_TESTS_PROTO_NATS_WIRE_H
#define EVTRACE_TESTS_PROTO_NATS_WIRE_H

#include "proto/talk.h"

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

static inline void expect(const struct say *says, size_t n, const char *want)
{
	struct talk t = {0};

	for (size_t i = 0; i < n; i++)
		buf_put(talk_turn(&t, says[i].d), says[i].p, says[i].n);
	talk_expect(&proto_nats, &t, want);
}

#define EXPECT(want, ...)                                                                                    \
	do {                                                                                                 \
		const struct say says_[] = {__VA_ARGS__};                                                    \
		expect(says_, ARRAY_LEN(says_), want);                                                       \
	} while (0)
#define EXPECT_MIDDLE(want, ...)                                                                             \
	do {                                                                                                 \
		const struct say says_[] = {__VA_ARGS__};                                                    \
		from_start = false;                                                                          \
		expect(says_, ARRAY_LEN(says_), want);                                                       \
		from_start = true;                                                                           \
	} while (0)

#endif
