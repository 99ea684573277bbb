/* What a connection's decoder remembers; shared by the files amqp091*.c. */
#ifndef EVTRACE_PROTO_AMQP091_STATE_H
#define EVTRACE_PROTO_AMQP091_STATE_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/map.h"
#include "proto/amqp091.h"
#include "proto/amqp091_wire.h"

/* Caps of one connection. What lies beyond is not tracked, and counted as an error. */
#define CHANNELS_MAX       16384u      /* brokers offer 2047 by default */
#define CONSUMERS_MAX      16384u      /* on all channels */
#define PENDING_MAX        (1u << 20)  /* open deliveries and unconfirmed publishes */
#define MANDATORY_MAX      1024u       /* of a channel without confirms: publishes that may come back */
#define REQUESTS_BYTES_MAX (4u << 20)  /* unanswered requests */
#define CONTENT_BYTES_MAX  (64u << 20) /* messages in assembly */

/* A short string of the protocol: at most 255 bytes. */
struct name {
	uint8_t n;
	uint8_t s[255];
};

static inline void name_set(struct name *n, struct span s)
{
	n->n = s.n < sizeof(n->s) ? (uint8_t)s.n : sizeof(n->s);
	if (n->n)
		memcpy(n->s, s.p, n->n);
}

static inline struct span name_span(const struct name *n)
{
	return span_of(n->s, n->n);
}

/* An open delivery (by delivery tag) or an unconfirmed publish (by its number since we count). */
struct pend {
	uint64_t tag;
	uint64_t op;   /* its operation's id */
	uint64_t hash; /* delivery: of the consumer tag; publish: of what a return would show, 0 not mandatory
			*/
	uint8_t settle;    /* enum settle that waits for tx.commit-ok */
	bool mode_unknown; /* delivery: not known whether its consumer settles at all */
	bool done;
};

/* Ascending by tag; a ring. Settled ones in the middle stay until they reach an end, or are half of it. */
struct pendq {
	struct pend *v;
	size_t cap, head, n, done;
};

int amqp_pend_push(struct pendq *q, const struct pend *p); /* tag above all others: -EINVAL if not, -ENOMEM */
struct pend *amqp_pend_at(const struct pendq *q, size_t i);
struct pend *amqp_pend_find(const struct pendq *q, uint64_t tag); /* NULL: not there, or done */
size_t amqp_pend_upto(const struct pendq *q, uint64_t tag);       /* how many entries have a tag <= @tag */
void amqp_pend_done(struct pendq *q, struct pend *p);             /* p and all others may move */
void amqp_pend_drop(struct pendq *q, size_t n);                   /* the first @n, done or not */
void amqp_pend_clear(struct pendq *q);                            /* keeps a small ring */
void amqp_pend_free(struct pendq *q);

static inline size_t amqp_pend_live(const struct pendq *q)
{
	return q->n - q->done;
}

/* Before a request's payload in chan.requests. */
struct request {
	uint32_t len; /* of the payload */
	bool nowait;
	/* tx.commit and rollback: what had been done when it was asked for */
	uint64_t published, tx_added;
};

struct tx_ack {
	uint64_t tag, op;
	uint8_t settle;
	bool many;
};

struct consumer {
	struct name tag, queue;
	bool queue_known;
	bool queue_learned; /* from deliveries, see learn_queue() */
	bool queue_refuted;
	bool mode_known; /* no_ack is */
	bool no_ack;
};

/* A message in assembly: method, content header, bodies. At most one a channel and direction. */
struct content {
	struct content *prev, *next; /* in order of their methods */
	struct chan *chan;
	enum flowdir dir;
	uint64_t pos;      /* of the method's frame */
	struct buf method; /* its payload; `m` points into it */
	struct method m;
	struct buf envelope, body;
	struct span whole; /* the body, when it came in one frame: borrowed from parse() */
	bool header_seen, gap, truncated;
	uint64_t body_size, body_seen;
	/* receives */
	struct name queue;
	bool queue_known, no_ack, mode_known;
};

enum chan_mode {
	MODE_UNKNOWN, /* its beginning was not seen */
	MODE_PLAIN,
	MODE_CONFIRM,
	MODE_TX,
};

struct chan {
	struct chan *prev, *next; /* in order of appearance */
	uint16_t id;
	bool dead; /* the broker closed it: it ignores everything up to close-ok */
	enum chan_mode mode;
	struct pendq deliveries;
	uint64_t gap_tag;     /* deliveries up to this one were open when bytes of the client were lost */
	struct map consumers; /* hash of the tag -> struct consumer */
	struct buf requests;  /* unanswered, a FIFO of struct request */
	size_t requests_at;
	uint32_t prefetch;
	struct name last_queue; /* last declared: what an empty queue name means */
	bool last_queue_known;
	struct content *content[2]; /* by enum flowdir */

	/* Publishes. `published` counts from where we began; the broker's number of one is base + its count,
	 * once `numbered`. */
	struct pendq publishes;
	uint64_t published, base;
	bool numbered;
	/* Learning `base` from the middle, see confirm_learn(). */
	uint64_t since_confirm, last_confirm;
	unsigned streak, streak_nacks;

	struct buf tx; /* settlements that wait for tx.commit-ok: struct tx_ack */
	uint64_t tx_added, tx_taken;
};

/* A frame whose rest is skipped because capture lost a part of it. */
struct skip {
	uint64_t end;
	struct frame f;
	bool on;
};

struct amqp {
	struct proto_opts opts;
	struct proto_out out;
	struct proto_stats stats;
	struct map by_id; /* channel number -> struct chan */
	struct chan *first, *last, *cached;
	size_t channels, consumers, requests_bytes, content_bytes;
	size_t pending; /* live entries of all queues */
	struct content *contents[2], *contents_last[2], *spare;
	unsigned spares;
	uint32_t payload_max;
	struct name user, vhost;
	bool header_due[2]; /* the protocol header may come */
	bool synced[2];
	struct skip skip[2];
	/* The incomplete frame at the end of what parse() saw. */
	struct frame partial[2];
	uint64_t partial_pos[2];
	bool partial_on[2];
	uint64_t at[2]; /* behind the last whole frame */
	/* Of the frame under work. */
	uint64_t pos, end;
	enum flowdir dir;
};

/* --- operations --- */

static inline struct op amqp_op(const struct chan *c, enum op_kind kind)
{
	return (struct op){.kind = kind, .channel = c->id};
}

static inline void amqp_op_queue(struct op *op, struct span queue, bool known)
{
	op->queue = known ? queue : SPAN_EMPTY;
	op->queue_known = known;
}

/* Fills in what all operations of the frame under work share, and emits. */
uint64_t amqp_emit(struct amqp *st, struct op *op);

/* --- amqp091_chan.c: a channel's life, its methods, its messages --- */

struct chan *amqp_chan_get(struct amqp *st, uint16_t id); /* NULL: over the cap or out of memory */
void amqp_chan_method(struct amqp *st, struct chan *c, const struct method *m, struct span payload);
/* Its life is over: open deliveries are lost, uncommitted publishes refused; frees it. */
void amqp_chan_end(struct amqp *st, struct chan *c);
/* Frees it and says nothing. */
void amqp_chan_free(struct amqp *st, struct chan *c);
/* Bytes of direction @d were lost that may have been anything on this channel. */
void amqp_chan_gap(struct amqp *st, struct chan *c, enum flowdir d);
/* A content's method has come; then the whole of it. */
void amqp_content_begun(struct amqp *st, struct content *t);
void amqp_content_whole(struct amqp *st, struct content *t);

/* --- amqp091_request.c: requests and what they did --- */

void amqp_request(struct amqp *st, struct chan *c, const struct method *m, struct span payload);
/* @ok came. True when it answers the oldest request, which then took effect; else it answers an unseen one.
 */
bool amqp_request_answered(struct amqp *st, struct chan *c, const struct method *ok);
bool amqp_request_first(const struct chan *c, struct request *ret, struct span *ret_payload);
bool amqp_request_answers(const struct method *request, const struct method *ok);
void amqp_requests_clear(struct amqp *st, struct chan *c);
bool amqp_commit_asked(const struct chan *c); /* a tx.commit is unanswered */
void amqp_cancelled(struct amqp *st, struct chan *c, struct span tag, uint32_t flags);
struct span amqp_queue_meant(const struct chan *c, struct span name, bool *ret_known);
struct consumer *amqp_consumer_find(const struct chan *c, struct span tag);
struct consumer *amqp_consumer_add(struct amqp *st, struct chan *c, struct span tag);

static inline uint64_t amqp_tag_hash(struct span tag)
{
	return hash_span(tag, 0);
}

/* --- amqp091_settle.c: settlements, confirms, transactions --- */

void amqp_settle(struct amqp *st, struct chan *c, const struct method *m);
void amqp_settled(
	struct amqp *st, struct chan *c, uint64_t tag, uint64_t ref, enum settle how, uint32_t flags);
void amqp_recover(struct amqp *st, struct chan *c);
void amqp_confirm(struct amqp *st, struct chan *c, const struct method *m);
void amqp_confirmed(
	struct amqp *st, struct chan *c, uint64_t number, uint64_t ref, bool nack, uint32_t flags);
void amqp_publish_track(struct amqp *st, struct chan *c, uint64_t op, uint64_t hash);
void amqp_tx_end(struct amqp *st, struct chan *c, const struct request *r, bool commit);
void amqp_tx_publishes(struct amqp *st, struct chan *c, uint64_t upto, bool commit);
/* The queues above, within the connection's cap; at most @keep entries stay. */
bool amqp_pend_add(struct amqp *st, struct pendq *q, const struct pend *p, size_t keep);
void amqp_pend_remove(struct amqp *st, struct pendq *q, struct pend *p);
void amqp_pend_remove_all(struct amqp *st, struct pendq *q);

/* --- amqp091_login.c --- */

/* The user's name in a SASL response; empty when its form is not known. */
struct span amqp_login_user(struct span mechanism, struct span response);
/*
 * @part is the beginning, or all, of a method's payload of @size bytes that the client sent on channel 0.
 * Calls
 * @fn for each range in it that is a login's secret, also of bytes that are not there yet. Returns true when
 * more of the payload may tell more.
 */
typedef void (*amqp_secret_fn)(void *ctx, size_t off, size_t n);
bool amqp_login_secrets(struct span part, size_t size, amqp_secret_fn fn, void *ctx);

/* --- amqp091.c --- */

void amqp_content_drop(struct amqp *st, struct content *t);

#endif
