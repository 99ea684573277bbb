/* The one place where stages are joined: source -> stream -> detect -> extract/correlate -> store. */
#ifndef EVTRACE_PIPELINE_H
#define EVTRACE_PIPELINE_H

#include "capture/sink.h"
#include "store/store.h"

struct pipeline_opts {
	const char *store_path; /* NULL: decode only, for verdicts and secrets; keep nothing */
	struct store_session session;
	size_t payload_limit; /* 0: 1 MiB */
	/* Live capture: what to do with a verdict; NULL otherwise. */
	void (*verdict)(void *ctx, uint64_t endpoint, enum verdict v);
	void *verdict_ctx;
	/* Bytes of an endpoint that hold a login's secret (stream_ops.secret); NULL where none are written.
	 */
	void (*secret)(void *ctx, uint64_t endpoint, enum dir d, uint64_t pos, uint64_t n);
	void *secret_ctx;
};

struct pipeline;

int pipeline__new(const struct pipeline_opts *opts, struct pipeline **ret, struct err *e);
/* The sink that a source feeds. It commits once a second of the source's time, and at most once a second of
 * real time. */
void pipeline_sink(struct pipeline *p, struct sink *ret);
/* Flushes every stage, ends the session. Returns the first error. NULL is fine. */
int pipeline__finish(struct pipeline *p, struct err *e);

#define PIPELINE_PROTOS 32
struct pipeline_stats {
	uint64_t messages, operations, bytes, lost_bytes, lost_records, gaps;
	uint64_t conns_decoded, conns_other, conns_encrypted, conns_undecided;
	uint64_t conns_by_proto[PIPELINE_PROTOS]; /* of the decoded ones, by enum proto_id */
	uint64_t store_bytes;
	int error; /* the first one that a commit met, 0 none: capture goes on, rows wait in memory */
	const char *error_text; /* lives as long as the pipeline */
};
void pipeline__stats(struct pipeline *p, struct pipeline_stats *ret);

#endif
