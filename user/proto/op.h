/*
 * An operation: what one client did with one message, or what it changed in the broker's topology, in terms
 * that hold for every broker. A decoder emits operations in the order in which the client saw them; all spans
 * are borrowed for the call.
 */
#ifndef EVTRACE_PROTO_OP_H
#define EVTRACE_PROTO_OP_H

#include "base/span.h"

/* Persisted: explicit, append-only, never renumbered. */
enum op_kind {
	/* messages */
	OP_SEND = 1,    /* AMQP basic.publish */
	OP_CONFIRM = 2, /* the broker took (or refused) the message of `ref` */
	OP_RETURN = 3,  /* the broker gave the message of `ref` back (AMQP basic.return) */
	OP_RECEIVE = 4, /* basic.deliver, basic.get-ok */
	OP_SETTLE = 5,  /* the client settled the delivery of `ref`; see enum settle. Without `ref`: that of
			   (`log`, `mid`) to the group `queue`, whoever took it on whichever connection; with
			   OPF_UP_TO all of the log that come before `mid` */
	OP_DELETE = 6,  /* (`log`, `mid`) was taken out of its log; OPF_UP_TO: all before `mid` (of those sent
			   to `exchange`, a pattern, if it is given), without it all but the newest `code`.
			   DEST_ROUTED: `code` copies of the body left `queue` */
	/* topology, emitted when it took effect (the broker's -ok, or at once with no-wait) */
	OP_EXCHANGE_DECLARE = 16, /* exchange, type, args. DEST_LOG: the argument "id" is what earlier
				     operations called it, as its name was not known */
	OP_EXCHANGE_DELETE = 17,
	OP_EXCHANGE_BIND = 18, /* queue = destination exchange, exchange = source, routing_key, args */
	OP_EXCHANGE_UNBIND = 19,
	OP_QUEUE_DECLARE = 20, /* queue, args; passive declares too (passive set: it only proves existence) */
	OP_QUEUE_DELETE = 21,
	OP_QUEUE_BIND = 22, /* queue, exchange, routing_key, args */
	OP_QUEUE_UNBIND = 23,
	OP_QUEUE_PURGE = 24, /* queue, DEST_LOG: log; neither: all of `vhost`, OPF_ONE_OF_MANY: of every one.
				OPF_UP_TO: all but the newest `code`. `type` "in", "at": not now but in
				`tag` ms, at that time of the epoch; "never": not any more; "as":
				when it would have been for the queue `routing_key` */
	/* consumers and life */
	OP_SUBSCRIBE = 32,   /* queue, consumer (tag), no_ack; count = prefetch */
	OP_UNSUBSCRIBE = 33, /* consumer; by the client or by the broker */
	OP_ERROR = 34,       /* the broker closed the channel or connection: code, text */
	OP_LOGIN = 35,       /* user and vhost are known; never a secret */
	OP_CLUSTER = 36,     /* the connection's server is one of several that form one broker: `exchange` its
				name for itself, `text` their addresses as it told them, "host:port,host:port" */
};

/* Persisted. */
enum settle {
	SETTLE_NONE = 0,
	SETTLE_ACK = 1,
	SETTLE_REQUEUE = 2, /* nack or reject with requeue, basic.recover */
	SETTLE_REJECT = 3,  /* nack or reject without requeue: dropped or dead-lettered */
	SETTLE_AUTO = 4,    /* consumer with no_ack: settled by being sent; emitted by the decoder right after
			       the receive */
	SETTLE_LOST = 5,    /* channel or connection ended with the delivery open: the broker requeues */
	SETTLE_PROGRESS = 6, /* not settled: the consumer asked for more time */
};

/*
 * Persisted. How a destination hands on what it gets, and with it which fields of an operation say where:
 *
 *              DEST_ROUTED                 DEST_LOG                             DEST_CHANNEL
 *              AMQP; Redis lists           Kafka, Redis streams, JetStream      Redis pub/sub, core NATS
 * exchange     exchange; "" for a list     topic, stream key, subject           channel, subject
 * routing_key  routing key; the list       Kafka: partition ("3"), else ""      ""
 * queue        queue, list                 group; JetStream: consumer's name    NATS: queue group, else ""
 * consumer     tag                         member, client id                    sid, pattern
 * log          ""                          where `mid` is unique: "orders-3"    ""
 *                                          (topic-partition), stream key,
 *                                          JetStream stream
 * mid          ""                          offset, stream id, sequence          ""
 *
 * A NATS publish is DEST_CHANNEL; the publish acknowledgement (a CONFIRM with `log` and `mid`) tells that a
 * stream keeps it, and deliveries out of a stream are DEST_LOG.
 *
 * Groups are declared (OP_QUEUE_DECLARE: exchange, log, queue) and deleted (OP_QUEUE_DELETE) where the
 * protocol says so; OP_SUBSCRIBE (exchange, log, queue, consumer; text: partitions "0,1,2") tells that a
 * member reads for a group, which may be another connection of its process than the one that fetches
 * (Kafka): a RECEIVE there has the client id as `consumer` and queue_known false. `exchange` of these may be
 * a pattern of the protocol's (NATS subjects with * and >, several of them with blanks between; Redis
 * PSUBSCRIBE); empty: not known.
 */
enum dest {
	DEST_ROUTED = 0,
	DEST_LOG = 1, /* kept after it was read; each group has a position, or a list of what is pending */
	DEST_CHANNEL = 2, /* handed to those who are subscribed at that moment, kept by nobody */
	DEST_CALL = 3,    /* arguments of what runs inside of the broker (Redis scripts): `exchange` names the
			     call, what it does with them is not told. Ends with being sent */
};

/* Type of a field's value, as an operator would compare it. Persisted inside rendered fields. */
enum field_type {
	FIELD_TEXT = 1, /* or bytes: `text` */
	FIELD_INT = 2,
	FIELD_DOUBLE = 3,
	FIELD_BOOL = 4,
	FIELD_TIME = 5, /* `i` in seconds since the epoch */
	FIELD_NULL = 6,
};

/*
 * A header or property. Nested tables and arrays are flattened: "x-death[0].queue". Properties have the
 * protocol's own names (AMQP: "content-type", "correlation-id"); application headers are prefixed "header."
 * so both can be told apart.
 */
struct field {
	struct span name;
	enum field_type type;
	struct span text; /* always set: the value's text form */
	int64_t i;
	double d;
};

#define OPF_TRUNCATED   0x0001 /* body holds less than body_size: payload limit */
#define OPF_GAP         0x0002 /* bytes of it were lost in capture */
#define OPF_REDELIVERED 0x0004
#define OPF_NO_ACK      0x0008
#define OPF_MANDATORY   0x0010
#define OPF_NEGATIVE    0x0020 /* confirm: basic.nack */
#define OPF_PASSIVE     0x0040
#define OPF_TX          0x0080 /* inside a transaction; a CONFIRM follows at commit, a negative one at rollback */
#define OPF_DURABLE     0x0100
#define OPF_EXCLUSIVE   0x0200
#define OPF_AUTO_DELETE 0x0400
#define OPF_INTERNAL    0x0800
#define OPF_BY_BROKER   0x1000 /* the broker started it (a cancel it sent) */
#define OPF_PULLED      0x2000 /* receive: basic.get, not a subscription */
#define OPF_ONE_OF_MANY 0x4000 /* settle or confirm that covered several (multiple) */
#define OPF_UP_TO       0x8000 /* settle, delete: all before `mid` */
#define OPF_STORED                                                                                           \
	0x10000 /* confirm: the broker has it as `mid`, but its transaction is still open:                   \
		   another CONFIRM follows at commit, a negative one at abort */
#define OPF_REPORTED                                                                                         \
	0x20000            /* the broker tells what was before: a group's committed position, what is        \
			      pending. Nothing happened at this moment */
#define OPF_UNSURE 0x40000 /* delete, purge: it may have been; which of it is not told */

struct op {
	/* set by the decoder */
	enum op_kind kind;
	uint32_t flags;
	uint64_t ref;     /* the operation this one is about, 0 unknown */
	uint32_t channel; /* session within the connection */
	uint64_t tag;     /* delivery tag, or publish number on a confirming channel; 0 none */
	enum settle settle;
	enum dest dest;
	struct span vhost; /* AMQP virtual host, number of a Redis database: part of the broker's name space;
			      empty = not known, or the protocol has none */
	struct span exchange, routing_key, queue, consumer,
		type;         /* type: exchange type, or the message's own `type` */
	bool queue_known;     /* `queue` is known (it may be empty only if not) */
	struct span log, mid; /* the broker's own name for the message; see enum dest. Empty: not known */
	uint32_t delivery;    /* receive: how often the broker has delivered it to this group by now, 0 not
				 known */
	struct span args;     /* topology: the raw arguments; read with args() of the decoder's record */
	struct span envelope; /* properties and headers exactly as on the wire; read with fields() */
	struct span body;
	uint64_t body_size; /* as the sender declared it */
	uint32_t code;     /* errors, returns: the protocol's reply code. OP_SUBSCRIBE: prefetch count, 0 = no
			      limit */
	struct span text;  /* errors, returns: reply text; login: user */
	uint64_t pos, len; /* byte range in its direction */
	uint8_t flowdir;   /* enum flowdir */

	/* set by proto/detect before it passes the operation on */
	uint64_t id; /* ascending within a run, never 0 */
	uint64_t conn;
	uint8_t proto; /* enum proto_id */
	int64_t ts_ns;
	uint32_t pid, tid; /* of the client's unit that did it */
	uint64_t unit;
};

#endif
