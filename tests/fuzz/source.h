/* Reads bytes as a file that is imported, up to the streams, and checks what a consumer may rely on. */
#ifndef EVTRACE_TESTS_FUZZ_SOURCE_H
#define EVTRACE_TESTS_FUZZ_SOURCE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/le.h"
#include "capture/recfile.h"
#include "stream/stream.h"

struct fuzz_way {
	uint64_t pos; /* behind what was consumed */
	unsigned calls;
};

struct fuzz_conn {
	struct fuzz_way way[2];
};

static inline int fuzz_open(void *ctx, struct conn *c)
{
	(void)ctx;
	if (c->user)
		abort();
	c->user = calloc(1, sizeof(struct fuzz_conn));
	return c->user ? 0 : -ENOMEM;
}

/* Takes all, nothing, or a part of what it is offered, in turn. */
static inline int64_t fuzz_data(void *ctx, struct conn *c, enum flowdir d, uint64_t pos, struct span data)
{
	struct fuzz_way *w = &((struct fuzz_conn *)c->user)->way[d];
	uint64_t *sum = ctx;
	size_t n;

	if (pos != w->pos || !data.n)
		abort();
	for (size_t i = 0; i < data.n; i++)
		*sum += data.p[i];
	n = w->calls++ % 3 ? data.n : data.n / 2;
	w->pos += n;
	return (int64_t)n;
}

static inline int fuzz_gap(
	void *ctx, struct conn *c, enum flowdir d, uint64_t pos, uint64_t n, const char *reason)
{
	struct fuzz_way *w = &((struct fuzz_conn *)c->user)->way[d];

	(void)ctx;
	if (pos < w->pos || !reason)
		abort();
	w->pos = pos + n;
	return 0;
}

static inline int fuzz_close(void *ctx, struct conn *c, int64_t ts_ns, bool by_client)
{
	(void)ctx, (void)ts_ns, (void)by_client;
	if (!c->user)
		abort();
	return 0;
}

static inline void fuzz_forget(void *ctx, struct conn *c)
{
	(void)ctx;
	free(c->user);
	c->user = NULL;
}

static inline int fuzz_proc(void *ctx, const struct proc_info *p)
{
	(void)ctx;
	return strlen(p->comm) + strlen(p->exe) + strlen(p->cmdline) + strlen(p->service) > 1u << 24 ? -EIO
												     : 0;
}

static inline int fuzz_to_exit(void *ctx, uint32_t pid, int64_t ts_ns, int exit_code)
{
	(void)exit_code;
	return streams__proc_exit(ctx, pid, ts_ns);
}

static inline int fuzz_to_open(void *ctx, const struct endpoint_info *e)
{
	return streams__open(ctx, e);
}

static inline int fuzz_to_chunk(void *ctx, const struct chunk *c)
{
	if (c->data.n > c->len || c->dir > DIR_RX)
		abort();
	return streams__chunk(ctx, c);
}

static inline int fuzz_to_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	return streams__close(ctx, endpoint, ts_ns, by_peer);
}

static inline int fuzz_to_loss(void *ctx, const struct loss_info *l)
{
	return streams__loss(ctx, l);
}

static inline int fuzz_to_tick(void *ctx, int64_t ts_ns)
{
	return streams__tick(ctx, ts_ns);
}

static inline void fuzz_source(struct span bytes)
{
	static char path[32];
	static int fd = -1;
	uint64_t sum = 0;
	struct stream_ops ops = {.ctx = &sum,
		.open = fuzz_open,
		.data = fuzz_data,
		.gap = fuzz_gap,
		.close = fuzz_close,
		.forget = fuzz_forget};
	struct stream_opts opts = {.max_buffer = 64 << 10, .max_conns = 16, .max_total = 1 << 20};
	struct streams *s = streams__new(&ops, &opts);
	struct sink k = {s, fuzz_proc, fuzz_to_exit, fuzz_to_open, fuzz_to_chunk, fuzz_to_close, fuzz_to_loss,
		fuzz_to_tick};
	struct source_info info;
	struct source *src;
	struct err e = {0};
	int err;

	if (fd < 0) {
		fd = memfd_create("fuzz", 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, 0) || (bytes.n && pwrite(fd, bytes.p, bytes.n, 0) != (ssize_t)bytes.n))
		abort();
	err = source__open(path, &src, &info, &e);
	if (!err) {
		err = source_run(src, &k, NULL, NULL, &e);
		source__close(src);
		streams__flush(s, INT64_MAX / 4);
	}
	if (err && (err > 0 || !e.msg[0]))
		abort();
	streams__free(s);
}

#endif
