/*
 * NATS on the wire: control lines, header blocks, subjects, JetStream's names in them, and just enough of a
 * JSON reader for INFO, CONNECT and the JetStream API. Knows no connection.
 */
#ifndef EVTRACE_PROTO_NATS_WIRE_H
#define EVTRACE_PROTO_NATS_WIRE_H

#include "proto/proto.h"

/* A server refuses control lines beyond 4 KiB by default; INFO and CONNECT with a JWT are longer. */
#define NATS_LINE_MAX    (64u << 10)
#define NATS_PAYLOAD_MAX (64u << 20) /* the documented limit of max_payload */

enum verb {
	VERB_INFO,
	VERB_CONNECT,
	VERB_PUB,
	VERB_HPUB,
	VERB_SUB,
	VERB_UNSUB,
	VERB_MSG,
	VERB_HMSG,
	VERB_PING,
	VERB_PONG,
	VERB_OK,
	VERB_ERR,
	VERB_LINK, /* what only servers say to each other: RMSG, LMSG, RS+, LS- ... */
};

struct line {
	enum verb verb;
	bool payload; /* @total bytes and CRLF follow */
	struct span subject, reply, queue, sid;
	struct span rest;  /* INFO, CONNECT: the JSON; -ERR: its text */
	uint32_t hdr_size; /* header block, part of `total` */
	uint32_t total;    /* payload with its header block */
	uint64_t max;      /* UNSUB: deliveries until then, 0 now */
	size_t len;        /* with its end */
};

enum line_status { LINE_OK, LINE_MORE, LINE_BAD };

/* The line at the start of @s, sent in direction @d. @payload_max: a larger payload is a lie. */
enum line_status nats_line(struct span s, enum flowdir d, uint32_t payload_max, struct line *ret);

enum belief {
	NOT_A_LINE,
	UNPROVEN, /* could be, the rest of it is not there */
	PROVEN,   /* all of it is there, and nothing that speaks against it follows */
};

enum belief nats_believe(struct span s, enum flowdir d, uint32_t payload_max, struct line *ret);

/* The next start of a line behind @from, in what may begin anywhere: behind CRLF. */
size_t nats_next_start(struct span s, size_t from);

/* Header blocks: "NATS/1.0[ status[ description]]" CRLF (name ":" value CRLF)* CRLF. */
struct status {
	uint32_t code; /* 0 none */
	struct span text, description;
};

/* False when it is none; *rest is then untouched, else what follows its first line. */
bool nats_header_begin(struct span block, struct status *ret, struct span *rest);
bool nats_header_next(struct span *rest, struct span *name, struct span *value);

bool nats_decimal(struct span s, uint64_t max, uint64_t *ret);
/* The next token of a subject. */
bool nats_token(struct span *rest, struct span *ret);
bool nats_is_inbox(struct span subject);

/* $JS.ACK.stream.consumer.delivered.seq.consumer_seq.time.pending, or with domain and account before the
 * stream and anything behind it. */
struct js_ack {
	struct span stream, consumer, seq, time;
	uint64_t delivered, seq_n;
};

bool nats_js_ack(struct span subject, struct js_ack *ret);

enum api {
	API_OTHER,
	API_STREAM_DELETE,
	API_STREAM_PURGE,
	API_MSG_DELETE,
	API_CONSUMER_DELETE,
	API_NEXT,
};

/* $JS.API.> and $JS.domain.API.>; false when @subject is none. */
bool nats_js_api(struct span subject, enum api *ret, struct span *stream, struct span *consumer);

/* The same under any other prefix, by what it looks like. */
bool nats_js_prefixed(
	struct span subject, struct span body, enum api *ret, struct span *stream, struct span *consumer);

/* JSON: values are kept raw, spans into what was given. */
bool nats_json_next(struct span *rest, struct span *key, struct span *value); /* of an object */
bool nats_json_item(struct span *rest, struct span *value);                   /* of an array */
struct span nats_json_get(struct span object, const char *key);               /* empty: not there */
struct span nats_json_text(struct span value, char *buf, size_t n); /* a string, its escapes undone */
bool nats_json_u64(struct span value, uint64_t *ret);
int nats_json_fields(struct span json, field_fn fn, void *ctx); /* flattened: "placement.tags[0]" */

#endif
