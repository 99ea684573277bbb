/* What the NATS decoder keeps of a connection, and what all connections to one server learn for each other.
 */
#ifndef EVTRACE_PROTO_NATS_STATE_H
#define EVTRACE_PROTO_NATS_STATE_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/number.h"
#include "proto/nats_wire.h"
#include "proto/pairs.h"

#define SUBS_MAX      65536u      /* subscriptions of a connection */
#define SUB_BYTES_MAX (16u << 20) /* of their names */
#define READERS_MAX   4096u       /* consumers that a connection reads for */
#define PENDING_MAX   8192u       /* requests without a reply, deliveries without an acknowledgement */
#define SHARED_MAX    16384u      /* consumers, and streams, of all servers */
#define FILTER_MAX    512u        /* bytes of a consumer's filter subjects */
#define NAMES_MAX     512u       /* bytes of a stream's and a consumer's name: a server allows 255 for each */
#define OKS_MAX       4096u      /* lines that a verbose server has still to say +OK to */
#define SENDS_MAX     32u        /* publishes that an error may be about */
#define BATCHES_MAX   1024u      /* that were begun and not ended, of all servers */
#define BATCH_MAX     (1u << 14) /* messages of one: a server allows 1000 by default */

/* --- shared --- */

enum ack_policy { ACK_UNKNOWN, ACK_NONE, ACK_ALL, ACK_EXPLICIT };

/* A JetStream consumer. */
struct js_consumer {
	uint64_t key;
	struct list lru;
	enum ack_policy policy;
	uint32_t max_pending;
	uint32_t max_deliver; /* 0: no limit, or not known */
	uint64_t told;        /* hash of the configuration that was told last */
	uint16_t filter_n;
	char filter[FILTER_MAX]; /* its filter subjects, with blanks between them */
};

struct js_stream {
	uint64_t key;
	struct list lru;
	uint64_t last_seq; /* the highest that was seen */
	uint64_t told;
	uint16_t mirror_n;
	char mirror[256]; /* the stream whose messages it has, under the same numbers */
};

/* Publishes that a stream keeps all or none of, until it says which. */
struct js_batch {
	uint64_t key;
	struct list lru;
	uint32_t n, cap;
	bool fast, gaps;
	struct {
		uint64_t id, at; /* of the publish, its number within the batch */
	} * sends;
};

struct nats_shared {
	struct map consumers, streams, batches;
	struct list consumers_lru, streams_lru, batches_lru;
};

struct js_consumer *nats_consumer(
	struct nats_shared *sh, uint64_t server, struct span stream, struct span name, bool add);
struct js_stream *nats_stream(struct nats_shared *sh, uint64_t server, struct span stream, bool add);
void *nats_shared_new(void);
void nats_shared_free(void *shared);

/* --- what waits for something, found by a subject: the newest PENDING_MAX of them --- */

enum pending_kind {
	PENDING_SEND,     /* a publish with a reply subject */
	PENDING_API,      /* a request to the server: its replies are no messages */
	PENDING_DELIVERY, /* by its acknowledgement subject */
};

struct api_call {
	enum api api;
	uint64_t seq;
	bool keeps;                    /* purge: all but the newest */
	uint16_t stream_n, consumer_n; /* purge: its filter in place of the consumer */
	char names[];
};

struct pending {
	uint64_t key;   /* of the subject */
	uint64_t id;    /* of the operation */
	uint64_t batch; /* of js_batch, 0 none */
	struct api_call *call;
	enum pending_kind kind;
};

struct pendings {
	struct map by_key; /* -> index of its slot */
	struct pending *slots;
	size_t cap, n, next;
};

struct pending *pending_find(const struct pendings *t, struct span subject);
/* Takes over @call. NULL: out of memory. */
struct pending *pending_add(
	struct pendings *t, struct span subject, enum pending_kind kind, uint64_t id, struct api_call *call);
void pendings_free(struct pendings *t);

/* --- connection --- */

/* A connection reads for a consumer of JetStream with a subscription of its own. */
struct reader {
	struct reader *next;
	uint64_t key;
	uint16_t stream_n, consumer_n;
	char names[];
};

struct sub {
	uint64_t sid_key, subject_key;
	uint64_t delivered, max; /* max: 0 no limit */
	struct reader *readers;
	bool known; /* its SUB was seen */
	bool pulls; /* what comes was asked for */
	uint16_t sid_n, queue_n;
	uint32_t subject_n;
	char text[]; /* sid, queue group, subject */
};

struct in { /* a direction */
	/* The search for a line: where it began, how far it is, and whether that is a line's start. */
	uint64_t lost_at, search;
	bool at_start;
	bool synced, fresh, active, gap, proven;
	struct line line; /* of the message that is being read; its spans point into `text` */
	struct buf text;  /* that line */
	struct buf data;  /* of the payload, what is kept of it */
	uint64_t pos;     /* of the line's first byte */
	uint64_t got;     /* bytes of the payload that passed */
	bool connecting;  /* a CONNECT line is half read */
};

/* Finds the secrets of a CONNECT line, byte by byte. */
struct secrets {
	uint64_t seen; /* bytes of the line that were looked at */
	unsigned depth;
	bool in_string, escaped, in_key, key_done, secret;
	uint8_t key_n;
	char key[16];
};

struct nats {
	struct proto_opts opts;
	struct proto_out out;
	struct proto_stats stats;
	struct nats_shared *shared;
	bool own_shared;
	struct in in[2];
	struct secrets secrets;
	bool begun[2];        /* something of it was understood */
	bool attached;        /* its beginning was not seen */
	bool link;            /* servers among themselves: not looked at */
	bool mask;            /* the rest of a CONNECT line follows a hole: all of it is secret */
	uint32_t payload_max; /* a larger one is no line */
	uint64_t allowed;     /* what the server takes, 0 not known */
	uint64_t too_large;   /* the publish that is larger */

	struct map subs, subs_by_subject; /* -> struct sub */
	struct map readers;               /* -> struct reader, owned by its sub */
	size_t readers_n, sub_bytes;
	struct pendings asked, got;
	struct {
		bool on;
		uint64_t *ids; /* of the publish, 0 another line */
		size_t head, n;
	} oks;
	struct {
		uint64_t key, id;
	} sends[SENDS_MAX];
	unsigned sends_at;

	/* of what is being worked on */
	enum flowdir dir;
	uint64_t pos, end, at[2];
	struct buf envelope;
	char number[24], words[64];
};

/* A message with its parts, ready to be told. */
struct nats_msg {
	const struct line *l;
	struct span header, body;
	uint64_t body_size;
	uint32_t flags;
};

static inline struct op nats_op(enum op_kind kind, enum dest dest)
{
	return (struct op){.kind = kind, .dest = dest};
}

static inline uint64_t nats_key(struct span s)
{

	return hash64(s.p, s.n, 0);
}

uint64_t nats_emit(struct nats *st, struct op *op);

/* nats_core.c */
void nats_publish(struct nats *st, const struct nats_msg *m);
void nats_deliver(struct nats *st, const struct nats_msg *m);
void nats_sub(struct nats *st, const struct line *l);
void nats_unsub(struct nats *st, const struct line *l);
void nats_error(struct nats *st, struct span text);
void nats_ok(struct nats *st);
void nats_expect_ok(struct nats *st, uint64_t id);
void nats_core_free(struct nats *st);
struct sub *nats_sub_of_subject(struct nats *st, struct span subject);
/* The properties and headers of @m into st->envelope; @ack: of a delivery out of a stream. */
struct span nats_envelope(struct nats *st, const struct nats_msg *m, const struct js_ack *ack);

/* nats_js.c */
bool nats_js_publish(struct nats *st, const struct nats_msg *m);
bool nats_js_deliver(struct nats *st, const struct nats_msg *m, struct sub *sub);
void nats_js_sub_gone(struct nats *st, struct sub *sub);

/* nats_api.c */
void nats_api_request(
	struct nats *st, const struct nats_msg *m, enum api api, struct span stream, struct span consumer);
/* A reply of the server's, by what was asked (NULL: not known) and its own type. False: it is none. */
bool nats_api_reply(struct nats *st, const struct nats_msg *m, const struct pending *asked);
void nats_advisory(struct nats *st, const struct nats_msg *m);

struct span nats_number(struct nats *st, uint64_t n); /* as text, until the next one */

/* nats_batch.c */
struct batch_part {
	uint64_t key;
	struct span id;
	uint64_t at;     /* its number within the batch, 0 not told */
	bool fast, gaps; /* gaps: the batch goes on where one of its messages is lost */
	bool kept;       /* no: it only ends the batch, or asks */
};

bool nats_fast_batch(struct span reply);
bool nats_batch_part(const struct nats *st, const struct nats_msg *m, struct batch_part *ret);
void nats_batch_sent(struct nats *st, const struct batch_part *part, uint64_t id);
/* @op: a CONFIRM to be told of each message; its last one of @count has the sequence @last. */
void nats_batch_acked(struct nats *st, uint64_t key, struct op op, uint64_t last, uint64_t count);
void nats_batch_abandoned(struct nats *st, struct span id, struct span stream, struct span reason);
void nats_batches_free(struct nats_shared *sh);

/* nats_probe.c */
/* The first bytes of NATS over WebSocket, if it is NATS. */
bool nats_websocket(struct span s, enum flowdir d);
enum probe_result nats_probe(struct span to_server, struct span to_client, bool from_start);

/* nats_login.c */
void nats_secrets(struct nats *st, uint64_t pos, struct span line);
void nats_login(struct nats *st, const struct line *l);

#endif
