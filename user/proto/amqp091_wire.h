/*
 * AMQP 0-9-1 on the wire: frames (specification 4.2.3), methods and their arguments (1.x of the generated
 * reference, with RabbitMQ's extensions), and the search for frame boundaries in bytes that begin anywhere.
 * Pure: no connection state.
 */
#ifndef EVTRACE_PROTO_AMQP091_WIRE_H
#define EVTRACE_PROTO_AMQP091_WIRE_H

#include "base/span.h"

enum {
	FRAME_METHOD = 1,
	FRAME_HEADER = 2,
	FRAME_BODY = 3,
	FRAME_HEARTBEAT = 8,
};
#define FRAME_HEADER_SIZE 7
#define FRAME_OVERHEAD    8 /* with the end octet */
#define FRAME_END         0xce

/*
 * The largest payload believed when no tune-ok was seen, or when it said "no limit". RabbitMQ's default
 * frame-max is 128 KiB; 16 MiB is what a stream buffers for one frame.
 */
#define FRAME_PAYLOAD_MAX (16u << 20)

#define METHOD(class, method) ((uint32_t)(class) << 16 | (method))
enum method_id {
	CONNECTION_START = METHOD(10, 10),
	CONNECTION_START_OK = METHOD(10, 11),
	CONNECTION_SECURE = METHOD(10, 20),
	CONNECTION_SECURE_OK = METHOD(10, 21),
	CONNECTION_TUNE = METHOD(10, 30),
	CONNECTION_TUNE_OK = METHOD(10, 31),
	CONNECTION_OPEN = METHOD(10, 40),
	CONNECTION_OPEN_OK = METHOD(10, 41),
	CONNECTION_CLOSE = METHOD(10, 50),
	CONNECTION_CLOSE_OK = METHOD(10, 51),
	CONNECTION_BLOCKED = METHOD(10, 60),
	CONNECTION_UNBLOCKED = METHOD(10, 61),
	CONNECTION_UPDATE_SECRET = METHOD(10, 70),
	CONNECTION_UPDATE_SECRET_OK = METHOD(10, 71),
	CHANNEL_OPEN = METHOD(20, 10),
	CHANNEL_OPEN_OK = METHOD(20, 11),
	CHANNEL_FLOW = METHOD(20, 20),
	CHANNEL_FLOW_OK = METHOD(20, 21),
	CHANNEL_CLOSE = METHOD(20, 40),
	CHANNEL_CLOSE_OK = METHOD(20, 41),
	ACCESS_REQUEST = METHOD(30, 10),
	ACCESS_REQUEST_OK = METHOD(30, 11),
	EXCHANGE_DECLARE = METHOD(40, 10),
	EXCHANGE_DECLARE_OK = METHOD(40, 11),
	EXCHANGE_DELETE = METHOD(40, 20),
	EXCHANGE_DELETE_OK = METHOD(40, 21),
	EXCHANGE_BIND = METHOD(40, 30),
	EXCHANGE_BIND_OK = METHOD(40, 31),
	EXCHANGE_UNBIND = METHOD(40, 40),
	EXCHANGE_UNBIND_OK = METHOD(40, 51), /* 51 indeed: a slip in RabbitMQ's extension that stayed */
	QUEUE_DECLARE = METHOD(50, 10),
	QUEUE_DECLARE_OK = METHOD(50, 11),
	QUEUE_BIND = METHOD(50, 20),
	QUEUE_BIND_OK = METHOD(50, 21),
	QUEUE_PURGE = METHOD(50, 30),
	QUEUE_PURGE_OK = METHOD(50, 31),
	QUEUE_DELETE = METHOD(50, 40),
	QUEUE_DELETE_OK = METHOD(50, 41),
	QUEUE_UNBIND = METHOD(50, 50),
	QUEUE_UNBIND_OK = METHOD(50, 51),
	BASIC_QOS = METHOD(60, 10),
	BASIC_QOS_OK = METHOD(60, 11),
	BASIC_CONSUME = METHOD(60, 20),
	BASIC_CONSUME_OK = METHOD(60, 21),
	BASIC_CANCEL = METHOD(60, 30),
	BASIC_CANCEL_OK = METHOD(60, 31),
	BASIC_PUBLISH = METHOD(60, 40),
	BASIC_RETURN = METHOD(60, 50),
	BASIC_DELIVER = METHOD(60, 60),
	BASIC_GET = METHOD(60, 70),
	BASIC_GET_OK = METHOD(60, 71),
	BASIC_GET_EMPTY = METHOD(60, 72),
	BASIC_ACK = METHOD(60, 80),
	BASIC_REJECT = METHOD(60, 90),
	BASIC_RECOVER_ASYNC = METHOD(60, 100),
	BASIC_RECOVER = METHOD(60, 110),
	BASIC_RECOVER_OK = METHOD(60, 111),
	BASIC_NACK = METHOD(60, 120),
	CONFIRM_SELECT = METHOD(85, 10),
	CONFIRM_SELECT_OK = METHOD(85, 11),
	TX_SELECT = METHOD(90, 10),
	TX_SELECT_OK = METHOD(90, 11),
	TX_COMMIT = METHOD(90, 20),
	TX_COMMIT_OK = METHOD(90, 21),
	TX_ROLLBACK = METHOD(90, 30),
	TX_ROLLBACK_OK = METHOD(90, 31),
};
#define CLASS_BASIC 60

/* Who may send a method, and what it is to the conversation on its channel. */
#define BY_CLIENT     0x01
#define BY_SERVER     0x02
#define HAS_CONTENT   0x04
#define IS_REQUEST    0x08 /* client's; answered in order with `reply`, unless no-wait */
#define IS_CONNECTION 0x10 /* on channel 0 */

struct method_def {
	uint32_t id;
	uint8_t flags;
	int8_t nowait; /* index of the no-wait bit in the arguments, -1 none */
	/* One letter an argument: o octet, h 16 bits, l 32, L 64, s short string, S long string, F table,
	 * b bit (adjacent bits share octets). */
	const char *args;
	uint32_t reply;
	const char *name;
};

struct method_arg {
	struct span s; /* strings and tables, without their length */
	uint64_t u;    /* numbers and bits */
};
#define METHOD_ARGS_MAX 9

struct method {
	const struct method_def *def;
	struct method_arg a[METHOD_ARGS_MAX];
};

/* Where the arguments that we use stand. */
enum {
	TUNE_OK_FRAME_MAX = 1,
	START_OK_MECHANISM = 1,
	START_OK_RESPONSE = 2,
	OPEN_VHOST = 0,
	CLOSE_CODE = 0,
	CLOSE_TEXT = 1,
	EXCHANGE_NAME = 1, /* declare, delete */
	EXCHANGE_TYPE = 2,
	EXCHANGE_FLAGS = 3, /* passive, durable, auto-delete, internal */
	EXCHANGE_ARGS = 8,
	XBIND_DESTINATION = 1, /* exchange.bind, unbind */
	XBIND_SOURCE = 2,
	XBIND_KEY = 3,
	XBIND_ARGS = 5,
	QUEUE_NAME = 1,  /* all requests of the class */
	QUEUE_FLAGS = 2, /* passive, durable, exclusive, auto-delete */
	QUEUE_ARGS = 7,
	QUEUE_OK_NAME = 0,
	QBIND_EXCHANGE = 2,
	QBIND_KEY = 3,
	QBIND_ARGS = 5,
	QUNBIND_ARGS = 4,
	QOS_COUNT = 1,
	QOS_GLOBAL = 2,
	CONSUME_QUEUE = 1,
	CONSUME_TAG = 2,
	CONSUME_NO_ACK = 4,
	CONSUME_EXCLUSIVE = 5,
	CONSUME_ARGS = 7,
	CANCEL_TAG = 0, /* and consume-ok, cancel-ok */
	PUBLISH_EXCHANGE = 1,
	PUBLISH_KEY = 2,
	PUBLISH_MANDATORY = 3,
	RETURN_CODE = 0,
	RETURN_TEXT = 1,
	RETURN_EXCHANGE = 2,
	RETURN_KEY = 3,
	DELIVER_CONSUMER = 0,
	DELIVER_TAG = 1,
	DELIVER_REDELIVERED = 2,
	DELIVER_EXCHANGE = 3,
	DELIVER_KEY = 4,
	GET_QUEUE = 1,
	GET_NO_ACK = 2,
	GET_OK_TAG = 0,
	GET_OK_REDELIVERED = 1,
	GET_OK_EXCHANGE = 2,
	GET_OK_KEY = 3,
	ACK_TAG = 0, /* ack, nack, reject */
	ACK_MULTIPLE = 1,
	NACK_REQUEUE = 2,
	REJECT_REQUEUE = 1,
	RECOVER_REQUEUE = 0,
};

/* -EBADMSG: not a method that we know, or its arguments do not fill @payload exactly. Spans point into it. */
int amqp_method_parse(struct span payload, struct method *ret);

/* A content header's payload: class, weight, body size, then the envelope. -EBADMSG when too short or not of
 * class basic. */
int amqp_content_header_parse(struct span payload, uint64_t *ret_body_size, struct span *ret_envelope);

/* Client's protocol headers that open a connection of this family: 0-9-1, and 0-9 and 0-8, which RabbitMQ
 * takes for it. @n may be less than 8: is it a beginning of one? */
bool amqp_protocol_header(struct span s);

struct frame {
	uint8_t type;
	uint16_t channel;
	uint32_t size; /* of the payload */
};

enum frame_status {
	FRAME_OK,
	FRAME_MORE, /* too few bytes for its header */
	FRAME_BAD,
};
/* Reads a frame's header: type, channel and size are plausible. */
enum frame_status amqp_frame_parse(struct span s, uint32_t payload_max, struct frame *ret);

/*
 * The offset of the first believable frame in @s, sent by client or server (@by), or -1. Believable means:
 * from there on, frame after frame is valid to the end of @s (type, channel, size, end octet; methods that
 * this side may send with arguments that fit; content headers with properties that fit; bodies that add up;
 * the last may be incomplete), and at least one of them is a method or a content header.
 *
 * Offset 0 is believed with one complete method, or two complete frames. Any other offset means that @s began
 * inside a frame, perhaps of a body that itself holds AMQP: it must follow an end octet, and four frames must
 * be seen, the last at least up to its size.
 *
 * *ret_own is set when a frame was seen that only this side sends.
 */
int64_t amqp_frames_find(struct span s, uint8_t by, uint32_t payload_max, bool *ret_own);

#endif
