/* Shared by the files of this stage only: stream.c (life of connections), pair.c (two ends of one
 * connection), half.c (one direction), marks.c. */
#ifndef EVTRACE_STREAM_INTERNAL_H
#define EVTRACE_STREAM_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/timefmt.h"
#include "stream/stream.h"

#define MARKS_HISTORY 128  /* consumed calls whose marks are kept: an operation may have begun in them */
#define MARKS_MAX     8192 /* unconsumed calls told apart; beyond it neighbours share a mark */
#define SEGS_MAX      4096 /* pieces beyond a hole */
#define HOLD_NS       (100 * NS_PER_MS)
#define HOLD_BYTES    (64u << 10)
#define HOLE_NS       NS_PER_SEC /* so long a hole may still be filled */
/* On the wire by a retransmission, which takes its time while much that was sent after it comes through. What
 * is missing for good, such a source tells itself. */
#define HOLE_WIRE_NS     (30 * NS_PER_SEC)
#define REORDER_WIRE     (8u << 20)
#define SETTLE_NS        NS_PER_SEC /* so long after pairing bytes of the server's end may still matter */
#define SAME_START_NS    (60 * NS_PER_SEC) /* both ends of a new connection appear within this time */
#define SAME_START_BYTES (16 << 20)        /* and so near to each other */
#define DEAD_NS          (60 * NS_PER_SEC) /* closed connections catch late chunks of their other end */
#define KEEP_CAP         (256u << 10)      /* an emptied buffer larger than this is given back */

/* An end's side is fixed when it is linked; its role is side ^ cx->flip. The half that a chunk belongs to is
 * dir ^ side, and a half's direction is half ^ flip: so a change of roles moves nothing. */
enum side {
	SIDE_CLIENT = 0,
	SIDE_SERVER = 1,
};

struct mark_at {
	uint64_t end;   /* position behind its last byte */
	uint64_t order; /* of arrival, over both halves of the connection */
	uint8_t side;
	struct mark m;
};

/* Ring of marks, ascending; indices are absolute: lo <= i < hi lives at ring[i & (cap - 1)]. */
struct marks {
	struct mark_at *ring;
	uint32_t cap; /* 0 or a power of two */
	uint64_t lo, hi;
};

/* Bytes with their absolute position, as they come from one end. */
struct piece {
	uint64_t pos;
	uint64_t len; /* bytes of the stream, of which the last len - data.n were lost */
	struct span data;
	uint8_t side;
	struct mark mark;
};

/* A piece that waits for the hole before it. */
struct seg {
	uint64_t pos, len;
	uint8_t *data;
	size_t n;
	uint8_t side;
	struct mark mark;
};

struct half {
	bool based;
	uint64_t base;  /* absolute position of position 0 */
	uint64_t next;  /* position behind the last contiguous byte, counted from base */
	uint64_t taken; /* position of the first unconsumed byte; the buffer holds taken..next */
	struct buf buf;
	size_t head; /* of buf: consumed bytes not yet shifted out */
	struct marks marks;
	struct seg *segs; /* [segs_lo, segs_lo + segs_n): ascending positions, all beyond next */
	size_t segs_lo, segs_n, segs_cap, segs_bytes;
	int64_t hole_ns; /* since when the first of them waits */
};

struct cx;

struct end {
	struct endpoint_info info; /* path points to `path` */
	char path[108];
	struct cx *cx;
	enum side side;
	uint64_t key; /* in streams.pairs; 0 none */
	uint64_t want_key;
	bool muted;  /* VERDICT_IGNORE was given */
	bool aside;  /* the other end is read, for good */
	bool shared; /* more than one process moved bytes: the exit of one does not close it */
	/* By half: the first position that it showed, and what makes its count the connection's. */
	bool begun[2], shifted[2];
	uint64_t begin[2], shift[2];
};

/* A chunk of a server's end that waits for the client's end to appear. */
struct held {
	struct held *next;
	struct end *end;
	uint8_t half;
	struct piece piece; /* data follows */
	uint8_t data[];
};

/* stream_secret(), kept for ends that appear later. */
struct secret {
	int half;
	uint64_t pos, n; /* absolute */
};
#define SECRETS_MAX 4 /* of a connection: the latest */

enum cx_state {
	CX_OPEN,
	CX_IGNORED, /* by the consumer: lengths are still counted where they come */
	CX_DEAD,    /* closed and forgotten by the consumer */
};

struct cx {
	struct conn c; /* first: the consumer's view */
	struct streams *s;
	enum cx_state state;
	struct end *end[2]; /* by enum side */
	struct half half[2];
	uint8_t flip;
	bool announced; /* ops.open was called */
	bool fed;       /* bytes were given out */
	bool replay, in_replay;
	bool comparable; /* positions of both ends can be compared */
	bool hold_done;
	bool by_exit; /* dead because its process ended; another one may still hold the socket */
	int64_t hold_until, paired_ns;
	struct held *held, **held_tail;
	size_t held_bytes;
	uint64_t order;
	uint64_t pending_loss; /* said by the source, not yet seen as a hole */
	char loss_reason[48];
	struct secret secrets[SECRETS_MAX];
	unsigned secrets_n;
	struct list lru;  /* streams.lru, or streams.dead */
	struct list wait; /* streams.waiting, when time may change something */
};

struct streams {
	struct stream_ops ops;
	struct stream_opts opts;
	struct map ends;  /* endpoint id -> struct end */
	struct map pairs; /* hash of what the other end would look for -> struct end */
	struct list lru, dead, waiting;
	size_t conns_n; /* in lru and dead */
	uint64_t next_id;
	int64_t now_ns, checked_ns;
	struct stream_stats stats;
};

#define CX_OF(conn)                                                                                          \
	((struct cx *)(uintptr_t)(conn)) /* conn is the first member; the const of a view is ours to drop */

static inline enum flowdir half_dir(const struct cx *cx, int h)
{
	return (enum flowdir)(h ^ cx->flip);
}

static inline struct end *cx_end(const struct cx *cx, enum side role)
{
	return cx->end[role ^ cx->flip];
}

/* The client's end, if it is there and can be read. */
static inline struct end *cx_client(const struct cx *cx)
{
	struct end *e = cx_end(cx, SIDE_CLIENT);

	return e && !e->aside ? e : NULL;
}

/* Segments of a capture, as opposed to calls of a process. */
static inline bool cx_on_wire(const struct cx *cx)
{
	for (int i = 0; i < 2; i++)
		if (cx->end[i] && cx->end[i]->info.pid)
			return false;
	return true;
}

/* --- marks.c --- */
int marks_push(struct marks *ms, uint64_t end, uint64_t order, uint8_t side, const struct mark *m);
/* Forgets all but MARKS_HISTORY of those that end at or before @taken. */
void marks_consumed(struct marks *ms, uint64_t taken);
/* The mark of the byte at @pos, else the nearest later one, else the last; NULL when there is none. */
const struct mark_at *marks_at(const struct marks *ms, uint64_t pos);
uint64_t marks_index(const struct marks *ms, uint64_t pos); /* first mark that ends beyond @pos, or hi */
void marks_free(struct marks *ms);

/* --- half.c --- */
int half_feed(struct cx *cx, int h, const struct piece *p);
/* Takes over the first position; a no-op once it is known. */
void half_base(struct half *hf, uint64_t pos);
/* Gives up on every hole that pieces wait behind: each becomes a gap. */
int half_skip_holes(struct cx *cx, int h);
int half_gap(struct cx *cx, int h, uint64_t n, const char *reason);
/* Offers again what is unconsumed of both halves, in order of arrival, if stream_take() asked for it. */
int cx_replay(struct cx *cx);
void half_clear(struct cx *cx, int h);

/* --- pair.c --- */
struct end *pair_find(struct streams *s, const struct end *e);
int pair_register(struct streams *s, struct end *e);
void pair_unregister(struct streams *s, struct end *e);
/* Links @e as the first or the other end of @cx. */
void pair_link(struct cx *cx, struct end *e);
/* Client and server are the other way round. */
void pair_flip(struct cx *cx);
/* A chunk of either end: gives out, holds or drops it, by the rule in stream.h. */
int pair_chunk(struct cx *cx, struct end *e, const struct chunk *c);
int pair_release(struct cx *cx);
/* Where @s stands in the bytes of end @e, to whom it may concern. */
void pair_tell_secret(const struct cx *cx, const struct end *e, const struct secret *s);
/* Tells the server's end to be silent as soon as its bytes cannot matter any more. */
void pair_settle(struct cx *cx, bool anyway);

/* The consumer's view, from the ends. */
void pair_refresh(struct cx *cx);

/* --- stream.c --- */
int cx_announce(struct cx *cx);
void cx_wait(struct cx *cx); /* look at it again when time has passed */
void end_mute(struct streams *s, struct end *e);
void end_set_aside(struct streams *s, struct end *e);

#endif
