/*
 * Connections and their two byte streams. Takes chunks of either end; gives contiguous bytes per direction,
 * with every loss an explicit gap, in bounded memory. Knows no protocol.
 *
 * A local connection has two endpoints with mirrored addresses. The client's is the one that is read: as soon
 * as both are known the server's is ignored (its verdict says so, in the kernel), so each byte is copied and
 * decoded once, in the order in which the *client* saw both directions; the server's process is remembered on
 * the connection.
 *
 * The rule that makes this hold in whatever order the two ends appear: both ends count positions alike, and a
 * byte is taken from the server's end only at positions before the first one that the client's end showed in
 * that direction (none, if the client's was seen from its start). While that first position is not known,
 * bytes of a server's end wait: for 100 ms of source time or 64 KiB at most after the end appeared, then they
 * are given out, and whatever the client's end repeats of them later is a duplicate by its position. Where
 * the ends' positions cannot be compared (Unix sockets that were there before) the first end that was read
 * stays.
 */
#ifndef EVTRACE_STREAM_STREAM_H
#define EVTRACE_STREAM_STREAM_H

#include "capture/sink.h"

/* Direction of a stream, from the read endpoint's view turned into roles; fixed when the connection is first
 * decoded. */
enum flowdir {
	TO_SERVER = 0,
	TO_CLIENT = 1,
};

struct conn {
	uint64_t id;                     /* ascending from 1, never reused: a key for the connection's life */
	uint64_t endpoint;               /* the one that is read */
	uint64_t peer_endpoint;          /* the other end, 0 none seen */
	uint32_t client_pid, server_pid; /* 0 unknown */
	uint16_t family;
	uint64_t netns;
	uint8_t client_addr[16], server_addr[16];
	uint16_t client_port, server_port;
	char path[108];
	bool from_start;              /* both directions were seen from their first byte */
	bool role_known;              /* client and server are known, not assumed */
	bool swapped;                 /* the read endpoint is the server's */
	int64_t opened_ns, closed_ns; /* opened: first sight */
	int64_t last_ns;              /* of the newest event on it */
	uint64_t bytes[2], lost[2];   /* by enum flowdir */
	void *user;                   /* owned by the consumer (proto/detect) */
};

/* Who moved a byte: the call that wrote (TO_SERVER) or read (TO_CLIENT) it at the client, or at the server if
 * only that is seen. */
struct mark {
	int64_t ts_ns;
	uint32_t pid, tid;
	uint64_t unit;
	bool by_server; /* only the server's call was seen: pid, tid and unit are the server's */
};

struct stream_ops {
	void *ctx;
	int (*open)(void *ctx, struct conn *c);
	/*
	 * Contiguous bytes from position @pos of direction @d (positions count from the first byte seen, 0).
	 * Returns how many were consumed (0 ..= data.n); the rest is offered again with more behind it.
	 * -errno stops.
	 */
	int64_t (*data)(void *ctx, struct conn *c, enum flowdir d, uint64_t pos, struct span data);
	/* @n bytes are missing at @pos (or were dropped there, unconsumed, because the buffer's budget was
	 * spent); what was offered and not consumed before has been discarded. @reason is borrowed. */
	int (*gap)(void *ctx, struct conn *c, enum flowdir d, uint64_t pos, uint64_t n, const char *reason);
	/* The source ends, the connection may not: what was not consumed will not be offered again. NULL:
	 * nobody cares. */
	int (*flush)(void *ctx, struct conn *c);
	int (*close)(void *ctx, struct conn *c, int64_t ts_ns, bool by_client);
	/* The connection is forgotten after this; free c->user. */
	void (*forget)(void *ctx, struct conn *c);
	/* Goes back to the source, past the consumer: has a context of its own. NULL where nobody cares
	 * (files). */
	void *verdict_ctx;
	void (*verdict)(void *verdict_ctx, uint64_t endpoint, enum verdict v);
	/* The same for stream_secret(), with positions as the source counts them. Told for every end that may
	 * show the bytes, also for one that appears later. */
	void *secret_ctx;
	void (*secret)(void *secret_ctx, uint64_t endpoint, enum dir d, uint64_t pos, uint64_t n);
};

struct stream_opts {
	size_t max_buffer;  /* unconsumed bytes kept per direction; default 16 MiB + one frame */
	size_t max_reorder; /* bytes held for a hole to be filled; default 256 KiB */
	size_t max_conns;   /* least recently used beyond it are forgotten; default 65536 */
	size_t max_total;   /* bytes kept over all connections; default 256 MiB */
};

struct streams;

struct streams *streams__new(const struct stream_ops *ops, const struct stream_opts *opts);
void streams__free(struct streams *s);

int streams__open(struct streams *s, const struct endpoint_info *e);
int streams__chunk(struct streams *s, const struct chunk *c);
int streams__close(struct streams *s, uint64_t endpoint, int64_t ts_ns, bool by_peer);
/* Names the reason of a hole in the positions that shows it; what no hole has shown by the end of the
 * connection is reported as a gap then. */
int streams__loss(struct streams *s, const struct loss_info *l);
int streams__proc_exit(struct streams *s, uint32_t pid, int64_t ts_ns);
int streams__tick(struct streams *s, int64_t ts_ns);
/* Hands out what is still held for reordering, reports gaps, closes nothing. At the end of a file. */
int streams__flush(struct streams *s, int64_t ts_ns);

/* The call that moved the byte at @pos of direction @d. Exact for unconsumed bytes and the last 128 calls
 * before them; the nearest later one that is known for older bytes. */
struct mark stream_mark(const struct conn *c, enum flowdir d, uint64_t pos);
/* Client and server turn out to be the other way round (the decoder knows); flips the connection before data
 * is parsed. */
void stream_swap(struct conn *c);
/* No bytes of this connection matter any more (not a broker's, or its peer is read): its endpoints get
 * VERDICT_IGNORE. */
void stream_ignore(struct streams *s, struct conn *c);
/* The consumer wants it and knows its roles now. What is unconsumed of both directions is offered again after
 * the callback returned, call by call in the order in which it came. */
void stream_take(struct streams *s, struct conn *c);
/* What is held of direction @d and not consumed, as far as it is contiguous. Valid inside stream_ops.data; of
 * the direction that is being offered, use the callback's span. */
struct span stream_pending(const struct conn *c, enum flowdir d);

/* These bytes, which may not have come yet, must not be written anywhere. */
void stream_secret(struct conn *c, enum flowdir d, uint64_t pos, uint64_t n);

struct stream_stats {
	uint64_t conns, ignored, bytes, lost_bytes, gaps, buffered;
};
void streams__stats(const struct streams *s, struct stream_stats *ret);

#endif
