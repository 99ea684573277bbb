/* What a Kafka connection knows, and what all of them know together. Private to kafka*.c. */
#ifndef EVTRACE_PROTO_KAFKA_STATE_H
#define EVTRACE_PROTO_KAFKA_STATE_H

#include "base/intern.h"
#include "base/number.h"
#include "proto/kafka_records.h"
#include "proto/kafka_wire.h"
#include "proto/pairs.h"

#define REQUESTS_MAX        16384u     /* unanswered ones, per connection */
#define KEPT_MAX            (8u << 20) /* bytes of unanswered requests, per connection */
#define POSITIONS_MAX       65536u     /* partitions of a fetch session */
#define SUBS_MAX            1024u      /* (group, topic) of a connection */
#define RANGE_MAX           65536      /* offsets in one range that is acknowledged */
#define TOPICS_MAX          65536u     /* ids with a name */
#define READERS_MAX         4096u
#define READ_PARTITIONS_MAX 64u
#define CLUSTERS_MAX        4096u       /* servers that told which others there are */
#define ADDRESSES_MAX       4096u       /* bytes of their addresses */
#define TXNS_MAX            4096u       /* open transactions */
#define TXN_PARTS_MAX       (1u << 20)  /* what they hold, together */
#define SENT_MAX            65536u      /* batches of idempotent producers, for telling a retry */
#define PLACES_MAX          65536u      /* confirmed batches, for finding out what an id is called */
#define KAFKA_ANSWER_MAX    (16u << 20) /* of an answer to an unseen request, held until it is whole */
#define BIG_FRAME           (4u << 20) /* larger frames are collected here instead of waiting for their end */
#define BIG_TOTAL           (256u << 20) /* so much of them over all connections */

/* A batch that was sent: operations `first` ..= `first` + `n` - 1. In request order. */
struct produced {
	uint64_t log; /* hash of its name */
	uint64_t first;
	uint32_t n, order;
	bool tx;
	int64_t producer;
	uint64_t record; /* hash of the first one */
};

/* What a request says of a partition, for its response. */
struct kitem {
	uint64_t log;
	uint32_t order;
	int64_t first, last; /* an offset: both */
	struct span types;   /* share groups: how, one or one for each */
};

/* A request that waits for its response. `kept`: its body; of a Produce an array of struct produced. */
struct kreq {
	int32_t correlation;
	int16_t key, version;
	bool skip; /* of no interest: a follower's fetch; lost in part */
	struct buf kept;
	uint32_t text_n; /* of a Produce: bytes of the transactional id, behind the array */
};

struct ksub {
	struct buf group, topic, partitions;
	bool seen;
};

/* --- over all connections --- */

/* Part of an open transaction: records in a log, or a position that is committed with it. */
struct txn_part {
	struct buf names; /* log; of a position: topic NUL group NUL consumer */
	int64_t offset;
	uint64_t first;
	uint32_t n;
	int32_t partition; /* of a position, else -1 */
};

struct txn {
	int64_t producer;
	struct txn_part *parts;
	uint32_t n, cap;
};

struct sent {
	uint64_t key, first;
	uint32_t n;
};

/* Where a record that somebody sent came to stand. */
struct place {
	uint64_t key;
	struct str *topic;
};

struct kshared {
	struct intern names;
	struct map topics;       /* hash of the id -> struct topic_id */
	struct map shown;        /* hashes of ids that stood for themselves */
	struct map late;         /* hash of such an id's text -> its name, as it was told since */
	struct map named;        /* hashes of names whose ids are known */
	struct map readers;      /* clients that read a topic without a name -> struct reader */
	struct map place_by_key; /* -> index in `places` */
	struct place *places;
	uint32_t places_next;
	struct map txns; /* hash of the transactional id -> struct txn */
	uint32_t txn_parts;
	struct map clusters;    /* server -> hash of what it told of itself and the others */
	struct map sent_by_key; /* -> index in `sent` */
	struct sent *sent;
	uint32_t sent_next;
	size_t big; /* bytes of frames that are being collected */
};

/* --- a connection --- */

struct kskip {
	bool on;
	uint64_t end;
};

struct kafka {
	struct proto_opts opts;
	struct proto_out out;
	struct proto_stats stats;
	struct kshared *shared;
	/* of the frame under work */
	enum flowdir dir;
	uint64_t pos, end;

	bool synced[2];
	bool from_middle;  /* of a connection that was there before: what the server says begins here */
	uint64_t searched; /* in what the server says: no frame that answers begins before */
	uint64_t at[2];    /* end of the last whole frame */
	struct kskip skip[2];
	uint64_t partial_end[2];   /* of a frame whose beginning was seen; 0: none */
	struct khead partial_head; /* of the client's, when partial_headed */
	bool partial_headed;
	bool asked; /* a request was seen */
	int32_t asked_first;
	struct buf before; /* what the server said before that, whole frames */
	uint64_t before_pos;
	struct buf big[2]; /* a large frame, so far; without its size */
	size_t big_size[2];
	uint64_t big_pos[2];

	struct kreq *ring; /* requests, oldest first */
	uint32_t ring_cap, ring_head, ring_n;
	size_t kept;

	struct buf client; /* id */
	bool user_told;
	struct buf user, mechanism, protocol_type;
	bool raw_sasl; /* tokens without headers follow (handshake v0) */

	bool committed_only; /* the fetches' isolation level */
	struct map positions;
	struct ksub *subs;
	uint32_t subs_n;

	struct buf unpacked, envelope, log, text, items; /* scratch */
	char id_text[KAFKA_ID_TEXT];
};

/* kafka_shared.c */
struct kshared *kshared_new(void);
void kshared_free(struct kshared *s);
/* From now on the id has this name. */
void kafka_learn(struct kafka *st, const struct kval *v);
/* This client has read partition @partition of the topic @id, whose name is not known, up to @next. */
void kafka_read_nameless(struct kafka *st, struct span id, int64_t partition, int64_t next);
/* Does this client read one topic without a name? Then: is @offset where it has come to? */
bool kafka_reads_nameless(const struct kafka *st);
bool kafka_read_to(const struct kafka *st, int64_t partition, int64_t offset);
/* Its name is @topic, unless that is the name of another one. */
void kafka_reader_told(struct kafka *st, struct span topic);
/* The name of a topic for which @text, its id, stood; empty: it is none, or its name is still not known. */
struct span kafka_named_late(const struct kafka *st, struct span text);
/* The topic's name; of an id that nobody has named yet its text. Valid until the next call. */
struct span kafka_topic(struct kafka *st, const struct kval *v);
/* The id stands for itself. */
bool kafka_nameless(const struct kafka *st, const struct kval *v);
/*
 * A record that was sent to a topic by name and is fetched by id is one and the same if partition, offset,
 * key, value and time are: so the id's name is found out on connections that were there before, where nobody
 * tells it.
 */
uint64_t kafka_record_hash(const struct krecord *r);
void kafka_stands(struct kafka *st, struct span topic, int64_t partition, int64_t offset, uint64_t record);
/* The topic in which such a record stands; empty: not known. */
struct span kafka_where(const struct kafka *st, int64_t partition, int64_t offset, uint64_t record);
/* Sets st->log to "topic-partition" and returns it. */
struct span kafka_log(struct kafka *st, struct span topic, int64_t partition);
/* A batch of an idempotent producer: true when it was sent before, and then which operations that was. */
bool kafka_sent_before(struct kshared *s, uint64_t key, struct produced *ret);
void kafka_sent(struct kshared *s, uint64_t key, const struct produced *p);
struct txn *kafka_txn(struct kshared *s, struct span id, bool make);
/* Takes the names over. */
void kafka_txn_add(struct kshared *s, struct txn *t, struct txn_part *p);
void kafka_txn_forget(struct kshared *s, struct span id);

/* kafka.c */
uint64_t kafka_emit(struct kafka *st, struct op *op);
void kafka_error(struct kafka *st, struct op *op, int code);
/* Envelope and body of a record. */
void kafka_message(struct kafka *st, struct op *op, const struct krecord *r);
/* Decimal text of @v in @b (24 bytes). */
struct span kafka_number(char *b, int64_t v);
/* Walks a request that was kept. */
bool kafka_kept(const struct kreq *r, struct kval *v, kevent_fn fn, void *ctx);
bool kafka_response(const struct kreq *r, struct span body, struct kval *v, kevent_fn fn, void *ctx);
void kafka_items_sort(struct kafka *st);
/* The first item of @log, *ret_n of them. */
struct kitem *kafka_items_of(struct kafka *st, uint64_t log, size_t *ret_n);

/* Is an answer with this correlation id still to come? */
bool kafka_awaits(struct kafka *st, int32_t correlation);
/* The correlation id of the oldest request that waits; -1 none. */
int64_t kafka_asked_first(struct kafka *st);
/* What a server said; @frame: without its size. */
void kafka_answer(struct kafka *st, struct span frame);
/* @n bytes of the frame under work may have told something, and did not. */
void kafka_lost(struct kafka *st, uint64_t n, const char *reason);

/* kafka_orphan.c */
enum kchain {
	CHAIN_NO,   /* no frames */
	CHAIN_MORE, /* frames so far, the last one is not whole */
	CHAIN_HOLDS,
};
/* Is the beginning of @data, the first that a server said, the beginning of a frame? */
enum kchain kafka_chain(struct kafka *st, struct span data);
/* An answer to a request that was not seen; @frame: without its size. It waits for the first request, which
 * says whose connection this is. */
void kafka_orphan(struct kafka *st, struct span frame);
/* A request was read: what waited for it is. @all: nothing waits any longer. */
void kafka_orphans(struct kafka *st, bool all);

/* kafka_produce.c */
void kafka_produce(struct kafka *st, struct kreq *r, struct kin *in);
void kafka_produced(struct kafka *st, struct kreq *r, struct span body);
void kafka_end_txn(struct kafka *st, struct kreq *r, struct span body);
void kafka_init_producer(struct kafka *st, struct kreq *r, struct span body);

/* kafka_fetch.c */
void kafka_fetch(struct kafka *st, struct kreq *r, struct kin *in);
void kafka_fetched(struct kafka *st, struct kreq *r, struct span body, bool cut);
/* The answer to a request that was not seen: from which position it was asked for is not known. */
void kafka_fetched_before(struct kafka *st, struct kreq *r, struct span body);
void kafka_share_fetched(struct kafka *st, struct kreq *r, struct span body, bool cut);
void kafka_share_acked(struct kafka *st, struct kreq *r, struct span body);

/* kafka_group.c */
void kafka_committed(struct kafka *st, struct kreq *r, struct span body);
void kafka_txn_committed(struct kafka *st, struct kreq *r, struct span body);
void kafka_positions(struct kafka *st, struct kreq *r, struct span body);
void kafka_joined(struct kafka *st, struct kreq *r, struct span body);
void kafka_synced(struct kafka *st, struct kreq *r, struct span body);
void kafka_group_beat(struct kafka *st, struct kreq *r, struct span body);
void kafka_left(struct kafka *st, struct kreq *r, struct span body);
void kafka_groups_deleted(struct kafka *st, struct kreq *r, struct span body);
void kafka_subs_end(struct kafka *st, struct span group, bool all);

/* kafka_topic.c */
void kafka_topics_known(struct kafka *st, struct kreq *r, struct span body);
void kafka_topics_created(struct kafka *st, struct kreq *r, struct span body);
void kafka_topics_deleted(struct kafka *st, struct kreq *r, struct span body);
void kafka_records_deleted(struct kafka *st, struct kreq *r, struct span body);

/* kafka_login.c */
void kafka_handshake(struct kafka *st, struct kin *in);
void kafka_handshake_done(struct kafka *st, struct kreq *r, struct span body);
/* A client's token of a login, whole. */
void kafka_token(struct kafka *st, struct span token);
void kafka_authenticated(struct kafka *st, struct kreq *r, struct span body);
/* Any other request: the login worked. */
void kafka_logged_in(struct kafka *st);
/* Tells what of a client's frame, all of it or its beginning, is a secret. @pos: of its first byte after the
 * size; @size: of the whole. True: more of it may tell more. */
bool kafka_secrets(struct kafka *st, uint64_t pos, struct span s, size_t size);

/* kafka_probe.c */
enum probe_result kafka_probe(struct span to_server, struct span to_client, bool from_start);
/* Where a client's frame begins, at or behind the beginning of @s; -1 none. */
int64_t kafka_find_request(struct span s);

/* kafka_fields.c */
int kafka_fields(struct span envelope, field_fn fn, void *ctx);
uint64_t kafka_stable_hash(struct span envelope, uint64_t seed);

#endif
