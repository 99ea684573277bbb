/* The sink of a source, straight to the streams: without the stages that want processes. */
#ifndef EVTRACE_TESTS_TO_STREAMS_H
#define EVTRACE_TESTS_TO_STREAMS_H

#include "stream/stream.h"

static inline int to_proc(void *ctx, const struct proc_info *p)
{
	(void)ctx, (void)p;
	return 0;
}

static inline int to_exit(void *ctx, uint32_t pid, int64_t ts_ns, int exit_code)
{
	(void)exit_code;
	return streams__proc_exit(ctx, pid, ts_ns);
}

static inline int to_open(void *ctx, const struct endpoint_info *e)
{
	return streams__open(ctx, e);
}

static inline int to_chunk(void *ctx, const struct chunk *c)
{
	return streams__chunk(ctx, c);
}

static inline int to_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	return streams__close(ctx, endpoint, ts_ns, by_peer);
}

static inline int to_loss(void *ctx, const struct loss_info *l)
{
	return streams__loss(ctx, l);
}

static inline int to_tick(void *ctx, int64_t ts_ns)
{
	return streams__tick(ctx, ts_ns);
}

static inline struct sink sink_to_streams(struct streams *s)
{
	return (struct sink){s, to_proc, to_exit, to_open, to_chunk, to_close, to_loss, to_tick};
}

#endif
