/*
 * What correlation finds out, as rows: processes, connections, messages with their copies, operations, links,
 * topology. The correlator gives each row to a `record_sink` (in evtrace: the store), again whenever it
 * changed: a row with the same id replaces the older one. Spans and strings are borrowed for the call. Times
 * are wall-clock ns, 0 = not known.
 *
 * All enums here are persisted: explicit, append-only, never renumbered.
 */
#ifndef EVTRACE_CORRELATE_RECORD_H
#define EVTRACE_CORRELATE_RECORD_H

#include "extract/extract.h"
#include "proto/detect.h"

enum msg_state {
	STATE_UNKNOWN = 0,
	STATE_SENT = 1,      /* left the sender; the broker has not said that it has it */
	STATE_CONFIRMED = 2, /* the broker said so; where it put it was not seen */
	STATE_RETURNED = 3,  /* unroutable, given back (mandatory), refused, or rolled back */
	STATE_QUEUED = 4,
	STATE_DELIVERED = 5, /* a consumer has it and has not settled it */
	STATE_ACKED = 6,
	STATE_REQUEUED = 7, /* back in its queue after a delivery */
	STATE_REJECTED = 8, /* and where it went is not known: dropped, or dead-lettered by a rule not seen */
	STATE_DEAD_LETTERED = 9,
	STATE_EXPIRED = 10,
	STATE_PURGED = 11, /* its queue was purged or deleted */
};

enum msg_origin {
	ORIGIN_CLIENT = 1, /* its send was seen */
	ORIGIN_BROKER = 2, /* the broker made it: a dead-lettered copy */
	ORIGIN_UNSEEN = 3, /* first met at a delivery: sent before or outside of what we watch */
};

/* How we know that a copy is where it is. */
enum copy_source {
	COPY_BY_BINDING = 1,  /* bindings declared while we watched */
	COPY_BY_DELIVERY = 2, /* it was delivered from there */
	COPY_BY_DEATH = 3,    /* rejected in a queue whose declared dead-letter exchange leads here */
	COPY_BY_DEFAULT = 4,  /* default exchange, list: the routing key names the queue */
	COPY_BY_GROUP = 5,    /* a group of which it is known that it reads this log */
};

enum routes {
	ROUTES_UNKNOWN =
		0, /* the exchange's bindings were not declared while we watched: there may be more copies */
	ROUTES_DECLARED = 1,
};

enum link_kind {
	LINK_CAUSED_BY = 1,      /* src caused dst */
	LINK_REPLY_TO = 2,       /* dst answers src */
	LINK_RETRY_OF = 3,       /* dst is src, sent again by a client */
	LINK_DEAD_LETTER_OF = 4, /* dst is src, moved by the broker */
	LINK_REPLAY_OF = 5,      /* dst is src, sent again by evtrace */
	LINK_SAME_FLOW = 6,      /* they share an id that travels; which caused which is not known */
};

/* First free ids, one counter a table; all start at 1. */
struct record_ids {
	uint64_t message, copy, op, process, connection, link;
};

struct process_rec {
	uint64_t id;
	const struct proc_info *info;
	int64_t first_ns, exit_ns;
	int exit_code;
};

struct connection_rec {
	uint64_t id;
	uint64_t client_process, server_process; /* 0 not known */
	enum proto_id proto;
	enum conn_state state;
	uint64_t broker;
	const struct conn *info;
};

/* A broker as its clients see it: one per server process, else per server address. */
struct broker_rec {
	uint64_t id;
	enum proto_id proto;
	const char *name; /* "127.0.0.1:5672" */
	uint64_t process;
};

struct message_rec {
	uint64_t id;
	uint64_t broker;
	enum proto_id proto;
	enum dest dest;
	struct span vhost, exchange, routing_key, type;
	struct span log, mid; /* the broker's own name for it; empty: not known, or it gives none */
	int64_t sent_ns;      /* 0: the send was not seen */
	int64_t first_ns;     /* first sight; the order of listings */
	uint64_t process;     /* of the sender, 0 not seen */
	uint32_t tid;
	uint64_t unit;
	uint64_t connection;
	uint32_t channel;
	enum msg_state state; /* the most pressing of its copies' states, else its own */
	enum msg_origin origin;
	enum routes routes;
	uint64_t flow;        /* id of the flow's first message */
	uint64_t fingerprint; /* of what stays the same over all hops: stable properties and body */
	uint64_t payload;     /* from record_sink.payload, 0 none */
	uint64_t body_size;   /* as declared by the sender */
	uint32_t flags;       /* OPF_TRUNCATED, OPF_GAP, OPF_MANDATORY, OPF_TX; MSGF_* */
	uint32_t one_of; /* byte-identical messages that were outstanding when it was joined; 1 = exact, 0 =
			    not joined, or (OPF_TRUNCATED) by the part of the body that was kept */
	uint32_t code;   /* returned: the broker's reply code */
};

#define MSGF_CONFIRMED 0x01000000 /* confirmed, whatever its state is now */
#define MSGF_REFUSED   0x02000000 /* negative confirm */
#define MSGF_ABORTED   0x04000000 /* refused because its transaction was aborted */
#define MSGF_PLAIN     0x08000000 /* body_may_hide() said no: a look that finds more needs another bit */
#define MSGF_COPIED    0x10000000 /* the broker made it of what another of its logs has (a mirror, a source) */

struct copy_rec {
	uint64_t id, message; /* message 0: withdrawn, another copy turned out to be this one */
	struct span queue;
	enum msg_state state;
	enum copy_source source;
	enum settle settle; /* the last one */
	int64_t queued_ns, first_delivered_ns, delivered_ns, settled_ns;
	uint32_t deliveries;
	uint64_t consumer; /* process, 0 none seen */
	uint32_t consumer_tid;
	uint64_t connection;
	uint64_t dead_letter; /* the message it became */
};

struct operation_rec {
	uint64_t id, message, copy; /* 0: not known which */
	enum op_kind kind;
	enum settle settle;
	uint32_t flags;
	int64_t ts_ns;
	uint64_t process;
	uint32_t tid;
	uint64_t unit;
	uint64_t connection;
	uint32_t channel;
	uint64_t tag, pos, len;
	uint32_t code;
	struct span text;
};

struct identifier_rec {
	uint64_t message;
	const struct identifier *id;
};

struct link_rec {
	uint64_t id;
	uint64_t src, dst; /* messages: cause or older, effect or newer */
	enum link_kind kind;
	double confidence;    /* 0..1 */
	const char *evidence; /* one line for people: "order.id=4711 (1 of 9 in flight) · same thread, before
				 its ack" */
};

struct exchange_rec {
	uint64_t broker;
	struct span vhost, name, type, args;
	enum proto_id proto;
	bool durable, deleted;
	int64_t ts_ns;
};

struct queue_rec {
	uint64_t broker;
	struct span vhost, name;
	struct span dead_letter_exchange, dead_letter_key;
	bool has_dead_letter;       /* an empty exchange name is a valid target: the default exchange */
	int64_t ttl_ms, max_length; /* -1 none */
	bool durable, exclusive, auto_delete, deleted, declared; /* declared: seen with its arguments */
	int64_t ts_ns;
};

struct binding_rec {
	uint64_t broker;
	struct span vhost, source, destination, key, args;
	bool to_exchange, deleted;
	int64_t ts_ns;
};

struct consumer_rec {
	uint64_t broker, connection, process;
	struct span vhost, queue, tag;
	uint32_t channel, prefetch;
	bool no_ack;
	int64_t since_ns, until_ns; /* until 0: still there */
};

struct gap_rec {
	uint64_t connection; /* 0: not known whose */
	int64_t ts_ns;
	uint64_t bytes, records;
	int dir; /* enum flowdir, -1 not known */
	const char *reason;
};

struct record_sink {
	void *ctx;
	/* Stores an envelope and a body; *ret_ref is what message_rec.payload refers to. */
	int (*payload)(
		void *ctx, enum proto_id proto, struct span envelope, struct span body, uint64_t *ret_ref);
	int (*process)(void *ctx, const struct process_rec *r);
	int (*broker)(void *ctx, const struct broker_rec *r);
	int (*connection)(void *ctx, const struct connection_rec *r);
	int (*message)(void *ctx, const struct message_rec *r);
	int (*copy)(void *ctx, const struct copy_rec *r);
	int (*operation)(void *ctx, const struct operation_rec *r);
	int (*identifier)(void *ctx, const struct identifier_rec *r);
	int (*link)(void *ctx, const struct link_rec *r);
	/* Two flows turn out to be one: every message of flow @from belongs to @to. */
	int (*merge_flows)(void *ctx, uint64_t from, uint64_t to);
	/* Message @from turned out to be @to: its operations and links are that one's, its row goes. */
	int (*merge_messages)(void *ctx, uint64_t from, uint64_t to);
	/* Broker @from is a server of @to. */
	int (*merge_brokers)(void *ctx, uint64_t from, uint64_t to);
	/* What was called @from, and what is part of it (FROM-0, FROM/group), is called @to, in all rows. */
	int (*rename)(void *ctx, struct span from, struct span to);
	int (*exchange)(void *ctx, const struct exchange_rec *r);
	int (*queue)(void *ctx, const struct queue_rec *r);
	int (*binding)(void *ctx, const struct binding_rec *r);
	int (*consumer)(void *ctx, const struct consumer_rec *r);
	int (*gap)(void *ctx, const struct gap_rec *r);
};

#endif
