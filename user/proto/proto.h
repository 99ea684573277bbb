/*
 * A decoder: one record of functions, one file (or several behind one record), one row in protos.def, one
 * test folder.
 *
 * Contract. `parse` gets contiguous bytes of one direction and says how many it consumed; what it leaves is
 * offered again with more behind it. It must cope with any cut, any interleaving of the two directions, and
 * hostile sizes: nothing that the peer says may make it allocate more than its caps. It does not allocate per
 * message on the hot path (its own state may grow per channel, up to a cap). Errors are a status, never an
 * abort. The last byte of an operation that parse() emits (pos + len - 1 of its flowdir) lies in the span
 * under parse; its first byte may have been consumed long before (a body of many frames). Operations emitted
 * by gap() and closed(), and those of the direction that is not under parse (what waited for the other side
 * to say whose it is), end at or before the last byte consumed; len is 0 when no byte of the wire stands for
 * them.
 */
#ifndef EVTRACE_PROTO_PROTO_H
#define EVTRACE_PROTO_PROTO_H

#include "proto/op.h"
#include "stream/stream.h"

/* Persisted: explicit, append-only. */
enum proto_id {
	PROTO_NONE = 0,
#define PROTO(id, name, num) PROTO_##id = num,
#include "proto/protos.def"
#undef PROTO
};

enum probe_result {
	PROBE_NO,       /* these bytes are not mine, and will not be */
	PROBE_MORE,     /* too few bytes to tell */
	PROBE_YES,      /* mine, and the direction is right */
	PROBE_REVERSED, /* mine, but what was taken for the client is the server */
};

enum parse_status {
	PARSE_OK, /* consumed what it could; `needed` more bytes before it makes sense to call again (0: any)
		   */
	PARSE_LOST,   /* not at a frame boundary any more: resync() is called, the skipped bytes are a counted
			 gap */
	PARSE_ERROR,  /* this is not my protocol after all, or it is beyond repair (TLS upgrade): never called
			 again */
	PARSE_UNREAD, /* it is, in a form that is not read (NATS between servers, over WebSocket): never
			 called again either */
};

struct parse_result {
	enum parse_status status;
	size_t consumed;
	size_t needed;
};

struct proto_opts {
	size_t payload_limit; /* body bytes kept per message, default 1 MiB */
	void *shared;         /* of shared_new(): one for all connections that this decoder gets */
	uint64_t server;      /* names the connection's server in there: hash of address, port and network
				 namespace */
	uint64_t client;      /* likewise its client: process, or address where that is not known */
};

struct proto_out {
	void *ctx;
	/* Emits an operation: detect fills in id, time and unit, and passes it on. Returns the operation's
	 * id, 0 on failure. */
	uint64_t (*emit)(void *ctx, struct op *op);
	/* These bytes of the stream are a secret of the protocol's own login: told as soon as their place is
	 * known, they may not be there yet; the same may be told again. NULL: nobody cares. */
	void (*secret)(void *ctx, enum flowdir d, uint64_t pos, uint64_t n);
	/* @n bytes were read, and what they mean could not be told: a counted gap. NULL: nobody cares. */
	void (*gap)(void *ctx, enum flowdir d, uint64_t n, const char *reason);
};

/* Called for each header or property; a false return stops. */
typedef bool (*field_fn)(void *ctx, const struct field *f);

struct proto_stats {
	uint64_t frames, messages, skipped_bytes, errors;
};

/* The header that marks a replayed copy: "m42.5f1c0a77d2e94b10", the message and the act's token. */
#define REPLAY_MARK "evtrace-replay-of"

/* What people who run this broker call things; NULL: the usual word. */
struct proto_words {
	const char *queue;   /* DEST_ROUTED without an exchange: "queue" */
	const char *log;     /* DEST_LOG: "stream" */
	const char *channel; /* DEST_CHANNEL: "channel" */
	const char *mid;     /* the broker's own name for a message: "id" */
	const char *settled; /* "acked" */
	const char *inbox;   /* what names of places for replies begin with, which nobody reads: "_INBOX" */
};

struct proto {
	enum proto_id id;
	bool queue_by_send;    /* a queue comes to be by what is sent to it (Redis lists) */
	const char *name;      /* "amqp091" */
	const char *otel_name; /* OpenTelemetry's messaging.system: "rabbitmq" */
	struct proto_words words;

	/* Looks at the first bytes seen of both directions (either may be empty), @from_start if they are the
	 * connection's first. Must be strict: a wrong yes costs more than a late one. */
	enum probe_result (*probe)(struct span to_server, struct span to_client, bool from_start);

	/* What connections learn for each other: names behind ids, who is asked about what (Kafka's topic ids
	 * and transactions). Capped like everything. Both NULL when each connection stands for itself. */
	void *(*shared_new)(void);
	void (*shared_free)(void *shared); /* NULL is fine */

	void *(*state_new)(const struct proto_opts *opts, const struct proto_out *out, bool from_start);
	void (*state_free)(void *st); /* NULL is fine */

	struct parse_result (*parse)(void *st, enum flowdir d, uint64_t pos, struct span data);
	/* After a gap or PARSE_LOST, with @pos of data's first byte: the offset in @data from which parse()
	 * can go on (mostly the next believable frame boundary), or -1 (keep the last `resync_tail` bytes and
	 * call again). A state made for the middle of a connection begins with PARSE_LOST, consumed 0. */
	int64_t (*resync)(void *st, enum flowdir d, uint64_t pos, struct span data);
	size_t resync_tail;
	size_t resync_tail_answers; /* of what the server says, where more is to be kept; 0: the same */
	/* @n bytes of direction @d were lost at @pos (0: unknown number). What was half read and cannot go on
	 * is emitted as it is, marked OPF_GAP. resync() follows. */
	void (*gap)(void *st, enum flowdir d, uint64_t pos, uint64_t n);
	/* The connection ended: open deliveries are lost, and so on. */
	void (*closed)(void *st);

	/* Renders an operation's `envelope`. Pure: also used when reading from the store. Returns 0, or
	 * -EBADMSG after having rendered what could be read. */
	int (*fields)(struct span envelope, field_fn fn, void *ctx);
	/* The same for `args` of topology operations; names have no prefix ("x-dead-letter-exchange"). */
	int (*args)(struct span args, field_fn fn, void *ctx);
	/* Hash of those properties and headers that stay the same over all hops of one message: without what
	 * the broker or evtrace adds and changes on the way, whatever the order of headers. */
	uint64_t (*stable_hash)(struct span envelope, uint64_t seed);
	/* Counters for status and doctor: frames seen, messages, bytes skipped. */
	void (*stats)(const void *st, struct proto_stats *ret);
};

static inline size_t proto_resync_tail(const struct proto *p, enum flowdir d)
{
	return d == TO_CLIENT && p->resync_tail_answers ? p->resync_tail_answers : p->resync_tail;
}

#define PROTO(id, name, num) extern const struct proto proto_##name;
#include "proto/protos.def"
#undef PROTO

/* By id or name; NULL when there is none. */
const struct proto *proto_by_id(enum proto_id id);
const struct proto *proto_by_name(const char *name);

#endif
