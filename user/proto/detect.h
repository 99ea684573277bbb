/*
 * Between streams and decoders: finds out which protocol a connection speaks (ports are never asked), drives
 * its decoder over gaps and resyncs, numbers the operations and tells stream what is worth copying. The only
 * user of protos.def.
 */
#ifndef EVTRACE_PROTO_DETECT_H
#define EVTRACE_PROTO_DETECT_H

#include "proto/proto.h"

/* Persisted: explicit, append-only. */
enum conn_state {
	CONN_UNKNOWN = 0, /* too few bytes yet */
	CONN_DECODED = 1,
	CONN_OTHER = 2,     /* no broker protocol that we know: ignored from then on */
	CONN_ENCRYPTED = 3, /* TLS: a ClientHello or TLS records were seen */
	CONN_FAILED = 4,    /* a decoder had it and gave up */
	CONN_UNREAD = 5,    /* a broker's, in a form that is not read: told by its decoder */
};

struct detect_out {
	void *ctx;
	/* An operation, complete with id, conn, time and unit. */
	int (*op)(void *ctx, const struct op *op, const struct conn *c);
	/* What is known of the connection changed: opened, protocol recognised or given up, closed. */
	int (*conn)(void *ctx, const struct conn *c, const struct proto *p, enum conn_state st);
	int (*gap)(void *ctx, const struct conn *c, enum flowdir d, uint64_t bytes, const char *reason,
		int64_t ts_ns);
};

struct detect_opts {
	size_t payload_limit;   /* 0: 1 MiB */
	size_t undecided_limit; /* bytes after which an unrecognised connection is OTHER; 0: 16 KiB from the
				   first byte, 64 KiB for connections that were there before (a large body may
				   be under way) */
	uint64_t first_op_id;   /* 0: 1 */
	const struct proto *const *protos; /* the decoders to choose from; NULL: those of protos.def */
	size_t protos_n;
};

struct detect;

struct detect *detect__new(const struct detect_opts *opts, const struct detect_out *out);
void detect__free(struct detect *d);
/* The functions for streams__new(). */
void detect_stream_ops(struct detect *d, struct stream_ops *ret);
/* Needed for verdicts; set once, after streams__new(). */
void detect_set_streams(struct detect *d, struct streams *s);

#endif
