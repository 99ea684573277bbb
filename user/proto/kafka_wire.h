/*
 * Kafka's wire: primitive types, and a reader driven by tables that say which field an api's request or
 * response has in which version (kafka_api.c; the truth for them is common/message of kafka-clients).
 */
#ifndef EVTRACE_PROTO_KAFKA_WIRE_H
#define EVTRACE_PROTO_KAFKA_WIRE_H

#include "base/span.h"

/* Where the reader puts a field's value. */
enum kslot {
	S_NONE,
	S_TOPIC,
	S_TOPIC_ID,
	S_PARTITION,
	S_ERROR,
	S_ERROR_TEXT,
	S_TOP_ERROR, /* of the whole response */
	S_OFFSET,
	S_GROUP,
	S_MEMBER,
	S_EPOCH, /* a member's, a generation */
	S_RECORDS,
	S_PRODUCER,
	S_PRODUCER_EPOCH,
	S_TXID,
	S_ACKS,
	S_SESSION,
	S_SESSION_EPOCH,
	S_ISOLATION,
	S_REPLICA,
	S_BYTES,
	S_FIRST,
	S_LAST,
	S_COUNT,
	S_FLAG,
	S_TYPE,
	S_HOST,
	S_PORT,
	S_CLUSTER,
	S_SLOTS,
};

struct kval {
	int64_t i;
	struct span s; /* strings, bytes, uuids */
	bool null;     /* also: not in this version */
};

enum ktype {
	T_END,
	T_I8,
	T_I16,
	T_I32,
	T_I64,
	T_UUID,
	T_STR,
	T_BYTES,
	T_ARRAY,     /* of structs: `sub` */
	T_ARRAY_I32, /* one value after the other goes to the slot */
	T_ARRAY_I64,
	T_ARRAY_STR,
	T_STRUCT,
	T_MAYBE, /* a struct that may be null */
};

/* What the reader tells: the end of an array's element. */
enum kevent {
	E_NONE,
	E_TOPIC,
	E_PARTITION,
	E_ABORTED,   /* a transaction of which the records do not count */
	E_FORGOTTEN, /* a partition that leaves the fetch session */
	E_RANGE,     /* offsets S_FIRST..S_LAST, acquired or acknowledged */
	E_GROUP,
	E_MEMBER,
	E_BROKER,
};

struct kfield {
	uint8_t type, slot, event;
	int8_t since, until; /* versions */
	int8_t tag;          /* -1: an ordinary field */
	const struct kfield *sub;
};

struct kin {
	const uint8_t *p, *end;
	bool bad;   /* read past the end, or nonsense */
	bool ended; /* bad because the bytes end */
	bool cut;   /* the last field is the beginning of one: it was told nevertheless, with what holds it */
	bool want_cut; /* do so */
};

static inline struct kin kin_of(struct span s)
{
	static const uint8_t none[1];

	if (!s.n)
		s.p = none;
	return (struct kin){.p = s.p, .end = s.p + s.n};
}

static inline size_t kin_left(const struct kin *in)
{
	return (size_t)(in->end - in->p);
}

struct span kin_take(struct kin *in, size_t n);
int64_t kin_int(struct kin *in, size_t width);
uint64_t kin_uvarint(struct kin *in);
int64_t kin_varint(struct kin *in); /* zigzag */
void kin_skip_tags(struct kin *in);
/* Of the request's header: 16 bits of length also in flexible versions. */
struct kval kin_string16(struct kin *in);

/* False stops. */
typedef bool (*kevent_fn)(void *ctx, enum kevent e, const struct kval *v);

/* Reads a body; @v (S_SLOTS values) is cleared first and holds the last value of each slot afterwards.
 * False: in->bad, or @fn stopped. */
bool kafka_walk(const struct kfield *fields, int version, bool flexible, struct kin *in, struct kval *v,
	kevent_fn fn, void *ctx);

/* --- apis --- */

enum kapi_key {
	K_PRODUCE = 0,
	K_FETCH = 1,
	K_METADATA = 3,
	K_OFFSET_COMMIT = 8,
	K_OFFSET_FETCH = 9,
	K_JOIN_GROUP = 11,
	K_HEARTBEAT = 12,
	K_LEAVE_GROUP = 13,
	K_SYNC_GROUP = 14,
	K_SASL_HANDSHAKE = 17,
	K_API_VERSIONS = 18,
	K_CREATE_TOPICS = 19,
	K_DELETE_TOPICS = 20,
	K_DELETE_RECORDS = 21,
	K_INIT_PRODUCER_ID = 22,
	K_ADD_PARTITIONS_TO_TXN = 24,
	K_ADD_OFFSETS_TO_TXN = 25,
	K_END_TXN = 26,
	K_TXN_OFFSET_COMMIT = 28,
	K_SASL_AUTHENTICATE = 36,
	K_DELETE_GROUPS = 42,
	K_ALTER_SCRAM = 51,
	K_GROUP_HEARTBEAT = 68,
	K_GROUP_DESCRIBE = 69,
	K_DESCRIBE_TOPICS = 75,
	K_SHARE_HEARTBEAT = 76,
	K_SHARE_FETCH = 78,
	K_SHARE_ACKNOWLEDGE = 79,
	K_APIS = 95, /* keys that are known to exist: 0 ..= 94 */
};

struct kapi {
	int8_t max;      /* newest version that the tables know; -1: no such api */
	int8_t flexible; /* from this version on; 127: never */
	const struct kfield *request, *response;
};

/* NULL when there is no such api. */
const struct kapi *kafka_api(int key);
/* "NOT_LEADER_OR_FOLLOWER" */
const char *kafka_error_name(int code);

struct khead {
	int key, version;
	int32_t correlation;
	struct kval client;
	const struct kapi *api;
};

/* The request's header; the body follows in @in. False when it is none. */
bool kafka_head(struct kin *in, struct khead *ret);
/* A name that the broker accepts for a topic: up to 249 of [a-zA-Z0-9._-]. */
bool kafka_topic_legal(struct span s);

#define KAFKA_ID_TEXT 22
/* As Kafka prints it: base64 for URLs, without padding; @ret holds KAFKA_ID_TEXT. */
void kafka_id_text(struct span id, char *ret);

#define KAFKA_FRAME_MAX (128u << 20) /* of socket.request.max.bytes 100 MiB and fetches somewhat beyond */

#endif
