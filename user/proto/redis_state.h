/* What a connection's decoder remembers; shared by the files redis*.c. */
#ifndef EVTRACE_PROTO_REDIS_STATE_H
#define EVTRACE_PROTO_REDIS_STATE_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/number.h"
#include "proto/pairs.h"
#include "proto/proto.h"
#include "proto/redis_cmd.h"
#include "proto/redis_resp.h"

/* Caps. What lies beyond is not tracked, and counted as an error. */
#define PENDING_MAX       (1u << 20) /* commands without an answer, a connection */
#define PENDING_BYTES_MAX (8u << 20) /* what is remembered of them */
#define DELIVERIES_MAX    (1u << 16) /* read and not settled, a connection */
#define SUBS_MAX          (1u << 14) /* channels, patterns and groups, a connection */
#define SHARED_MAX        (1u << 16) /* rows of each table that connections share */

struct short_text {
	uint8_t n;
	uint8_t s[255];
};

static inline void short_set(struct short_text *n, struct span s)
{
	n->n = s.n < sizeof(n->s) ? (uint8_t)s.n : sizeof(n->s);
	if (n->n)
		memcpy(n->s, s.p, n->n);
}

static inline struct span short_span(const struct short_text *n)
{
	return span_of(n->s, n->n);
}

/* Hash -> value; at its cap the oldest row goes. */
struct recent {
	struct map map;
	struct recent_row {
		uint64_t key, val;
	} * ring;
	size_t cap, head, n;
};

int recent_put(struct recent *t, uint64_t key, uint64_t val, size_t max);
uint64_t recent_get(const struct recent *t, uint64_t key); /* 0: not there */
uint64_t recent_take(struct recent *t, uint64_t key);
void recent_free(struct recent *t);

/* Commands without an answer, a FIFO of bytes: struct pend, then its items. */
#define PEND_TX    1 /* sent inside of MULTI */
#define PEND_REPLY 2 /* its answer is wanted as a whole */

struct pend {
	uint32_t len; /* of the items */
	uint32_t items;
	uint32_t repeat; /* so many in a row, all without items */
	uint32_t extra;  /* the command's own: answers still to come, flags */
	int32_t db;
	uint8_t cmd; /* enum rcmd */
	uint8_t flags;
};

struct fifo {
	struct buf b;
	size_t at;
	uint32_t n;      /* commands */
	size_t last;     /* where the last entry begins */
	bool last_plain; /* it may be repeated */
};

/* An entry being read: spans borrow from the FIFO. */
struct answer {
	struct pend h;
	struct span items;
};

struct span answer_item(const struct answer *a, uint32_t index); /* O(index) */
bool answer_next(struct span *rest, struct span *ret);           /* begin with a copy of `items` */

enum sub_kind {
	SUB_CHANNEL,
	SUB_PATTERN,
	SUB_SHARD,
	SUB_GROUP, /* a member of a stream's group */
	SUB_KINDS,
};

struct sub {
	enum sub_kind kind;
	int32_t db;
	uint32_t name_n, group_n, consumer_n;
	uint8_t text[]; /* name (channel, pattern, stream), group, consumer */
};

/* What connections of one server learn for each other; rows of all servers in the same tables. */
struct redis_shared {
	struct recent moved;  /* (list, element) or job -> the receive that moved it there */
	struct recent kombu;  /* delivery tag -> the receive, and KOMBU_* */
	struct recent queues; /* name -> QUEUE_* */
	struct recent dbs;    /* server -> the one database in which queues are, + 1 */
	struct recent jobs;   /* key of a job's hash -> struct job's index + 1 */
	struct job *job;
	size_t job_at, job_bytes;
};

#define QUEUE_LIST   1
#define QUEUE_POPPED 2
#define QUEUE_STREAM 4
#define QUEUE_ZSET   8
#define QUEUE_LEFT   16 /* was pushed to from the left, from the right */
#define QUEUE_RIGHT  32

enum reply_mode {
	REPLY_ON,
	REPLY_OFF,
	REPLY_SKIP, /* not to the next command */
};

struct redis {
	struct proto_opts opts;
	struct proto_out out;
	struct proto_stats stats;
	struct redis_shared *shared;
	struct resp r[2]; /* by enum flowdir */
	bool synced[2];
	bool inlines;      /* has sent inline commands */
	enum flowdir dir;  /* of the value in hand */
	uint64_t pos, end; /* its place */
	uint64_t at[2];    /* end of what was read */

	const struct rcmd_def *cmd; /* of the request that is being read, once its name is there */

	struct short_text user;
	bool user_known, logged_in;
	int32_t db; /* -1: not known */
	char vhost[NUMBER_MAX];
	bool in_multi;
	enum reply_mode reply_mode;

	struct fifo pending, queued; /* queued: inside of MULTI, "+QUEUED" was seen */
	bool open;                   /* an entry of `pending` is being written */
	bool open_none;              /* none was begun for the request in hand */
	size_t open_at;
	bool learning; /* which answer belongs to which command is not known: see redis_learn.c */
	unsigned rounds;
	struct late *late; /* commands and answers of that time */
	bool has_asked;    /* a command was seen */
	bool waited;       /* the last thing seen is an answer that nobody was given */
	bool certain;      /* seen from the start, and nothing was ever lost */

	struct map subs; /* hash -> struct sub */
	uint32_t subs_n[SUB_KINDS];
	struct recent deliveries;

	struct buf ids, env, kombu_open;
};

/* --- redis.c --- */
uint64_t redis_emit(struct redis *st, struct op *op);
/* Number of a database as text; empty for -1. Valid until the next call. */
struct span redis_db(struct redis *st, int32_t db);
/* Everything that leads from answers to commands is gone. */
void redis_unpair(struct redis *st);

/* --- redis_pend.c --- */
bool pend_open(struct redis *st, enum rcmd cmd, uint8_t flags);
void pend_item(struct redis *st, struct span s);
void pend_extra(struct redis *st, uint32_t extra);
void pend_close(struct redis *st);
/* The oldest; false: there is none. */
bool fifo_first(const struct fifo *f, struct answer *ret);
void fifo_pop(struct fifo *f);
void fifo_clear(struct fifo *f);
void fifo_set_extra(struct fifo *f, uint32_t extra);
/* Walks from *at on, which begins as f->at; entries that repeat are one. */
bool fifo_at(const struct fifo *f, size_t *at, struct answer *ret);
/* The oldest command of @from becomes the last of @to. False: too much, or no memory. */
bool fifo_move(struct fifo *from, struct fifo *to);

/* --- redis_request.c --- */
bool redis_request(struct redis *st); /* false: not our connection any more */
struct span redis_arg(const struct redis *st, uint32_t index);
const struct node *redis_arg_node(const struct redis *st, uint32_t index);
uint32_t redis_args(const struct redis *st);
bool redis_arg_is(const struct redis *st, uint32_t index, const char *word);
void redis_on_arg(void *ctx, uint32_t index, uint64_t pos, uint64_t size);
void redis_inline_secrets(struct redis *st, uint64_t pos, struct span line);

/* --- redis_reply.c --- */
void redis_reply(struct redis *st);
/* @s begins with an answer to what was not seen yet. */
bool redis_reply_early(const struct redis *st, struct span s);
bool redis_reply_wanted(const struct redis *st, uint8_t type);
bool redis_is_status(const struct redis *st, const struct node *n, const char *text);
/* @a is the oldest of @from, and is taken off unless others answer it, too. */
void redis_answered(struct redis *st, struct fifo *from, const struct answer *a, const struct node *n);
/* One command's answer, wherever it stood. */
void redis_answer(struct redis *st, const struct answer *a, const struct node *n);
void redis_confirm_all(struct redis *st, const struct answer *a, uint32_t flags, struct span text);
/* An op about the reply in hand, for the database of the command. */
struct op redis_op(struct redis *st, enum op_kind kind, int32_t db);
/* What an element of the wire says of a body. */
void redis_body(const struct resp *r, const struct node *n, struct op *op);
bool redis_number(struct span s, long *ret);
bool span_same(struct span a, const char *word); /* case does not matter */

/* --- redis_learn.c --- */
/* Has the answer the form that the command's can have? */
bool redis_fits(struct redis *st, const struct answer *a, const struct node *n);
/* While it is not known which answer is whose. True: @n is that of the oldest command, and all is known. */
bool redis_learn(struct redis *st, const struct node *n);
/* @n cannot be the oldest command's answer: from here on it is not known. */
void redis_doubt(struct redis *st, const struct node *n);
/* The request in hand may tell whose answer the last one was. */
void redis_asked_again(struct redis *st);
/* Commands were forgotten: what was kept leads from no answer to a command before them. */
void redis_late_cut(struct redis *st);
/* It will not be known any more: counts what is missing. */
void redis_late_end(struct redis *st);
void redis_late_free(struct redis *st);

/* --- redis_stream.c, redis_list.c, redis_purge.c, redis_zset.c, redis_pubsub.c, redis_script.c --- */
void redis_stream_request(struct redis *st, enum rcmd cmd, uint8_t flags);
void redis_stream_reply(struct redis *st, const struct answer *a, const struct node *n);
/* Entries of streams that came in an answer to nobody knows what. */
bool redis_stream_stray(struct redis *st, const struct node *n);
bool redis_stream_id(struct span s);
uint64_t redis_delivery_hash(int32_t db, struct span log, struct span group, struct span mid);
void redis_list_request(struct redis *st, enum rcmd cmd, uint8_t flags);
void redis_list_reply(struct redis *st, const struct answer *a, const struct node *n);
/* An element of a list that is known, in an answer to nobody knows what. */
bool redis_list_stray(struct redis *st, const struct node *n);
void redis_purge_request(struct redis *st, enum rcmd cmd, uint8_t flags);
void redis_purge_reply(struct redis *st, const struct answer *a, const struct node *n);
/* @by may have taken from @key, nobody knows what. */
void redis_touched(struct redis *st, const struct answer *a, struct span key, struct span by);
void redis_zset_request(struct redis *st, enum rcmd cmd, uint8_t flags);
void redis_zset_reply(struct redis *st, const struct answer *a, const struct node *n);
/* @m was taken out of the sorted set @key by a script. */
void redis_zset_member(struct redis *st, const struct answer *a, struct span key, const struct node *m);
void redis_script_request(struct redis *st, enum rcmd cmd, uint8_t flags);
void redis_script_reply(struct redis *st, const struct answer *a, const struct node *n);
void redis_script_refused(struct redis *st, const struct answer *a, struct span text);
void redis_pubsub_request(struct redis *st, enum rcmd cmd, uint8_t flags);
void redis_pubsub_reply(struct redis *st, const struct answer *a, const struct node *n);
/* A message or a confirmed subscription? Then it is dealt with. */
bool redis_pushed(struct redis *st, const struct node *n);
void redis_unsubscribe_all(struct redis *st);
void redis_member(struct redis *st, struct span stream, struct span group, struct span consumer);
void redis_member_gone(
	struct redis *st, int32_t db, struct span stream, struct span group, struct span consumer);

/* --- redis_layout.c: what queue libraries put into lists and sorted sets --- */
struct layout {
	struct span tag; /* kombu's delivery tag: it settles by itself */
};
/* Fills in destination, type, envelope, and the body where it is not the element itself; @list as on the
 * wire. The envelope lives in st->env. */
void redis_layout(struct redis *st, int32_t db, struct span list, struct op *op, struct layout *ret);
/* One more property for the envelope that redis_layout() made, or did not. */
void redis_property(struct redis *st, struct op *op, const char *name, struct span value);
/* A registry of RQ's, or a member that is a JSON object. */
bool redis_is_schedule(struct span key, struct span member);
/* kombu: the receive @ref took a message that may be settled by tag; what was taken before and never was
 * noted down as unacknowledged was settled by being taken. */
void redis_kombu_taken(struct redis *st, int32_t db, struct span tag, uint64_t ref);
void redis_kombu_flush(struct redis *st);
/* Its hash "unacked" is written (HSET), read (HGET), and @tag was removed from it. */
void redis_kombu_note(struct redis *st, enum rcmd cmd, struct span tag);
void redis_kombu_gone(struct redis *st, const struct answer *a, struct span tag);

/* --- redis_rq.c --- */
/* The element of @op is the id of a job; adds what is known of it, and the id as `mid`. */
bool redis_job_find(struct redis *st, int32_t db, struct span list, struct op *op);
/* A queue of its jobs. Who takes one out of it settles it when the job's status says so. */
bool redis_job_list(struct span list);
void redis_job_taken(struct redis *st, int32_t db, struct span id, uint64_t ref);
/* Where jobs that nobody works on are: in a registry, by id. */
bool redis_job_registry(struct span key);
/* The job goes into a registry before it was said what it is: told when it is. */
bool redis_job_early(struct redis *st, struct span registry, struct span score, struct span id);
/* Its hash is written, or deleted. */
void redis_job_written(struct redis *st, uint8_t flags);
void redis_job_reply(struct redis *st, const struct answer *a, const struct node *n);
bool redis_job_open(const struct redis *st, struct span key);
bool redis_job_deleted(struct redis *st, const struct answer *a, struct span key);
void redis_jobs_free(struct redis_shared *s);

/* --- redis_bullmq.c: false, not BullMQ's --- */
bool redis_bullmq_request(struct redis *st, uint8_t flags);
/* @n NULL: it was never run. */
bool redis_bullmq_reply(struct redis *st, const struct answer *a, const struct node *n);

/* --- redis_json.c --- */
/* The raw value of a member of the object @doc; strings without their quotes. */
bool json_member(struct span doc, const char *name, struct span *ret);

/* --- redis_share.c --- */
uint64_t redis_name_hash(const struct redis *st, int32_t db, struct span name);
void redis_queue_is(struct redis *st, int32_t db, struct span name, unsigned kind);
unsigned redis_queue_kind(const struct redis *st, int32_t db, struct span name);
void *redis_shared_new(void);
void redis_shared_free(void *shared);

#endif
