/* A sink that writes each call it gets as a line of text, for comparison. */
#ifndef EVTRACE_TESTS_CALLS_H
#define EVTRACE_TESTS_CALLS_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "capture/sink.h"

struct calls {
	struct buf text;
	int stop_after; /* calls after which the sink wants no more; 0: never */
	int n;
	bool quiet_ticks;
};

static inline int calls_done(struct calls *c)
{
	buf_putc(&c->text, '\n');
	return c->stop_after && ++c->n >= c->stop_after ? -5 : 0;
}

static inline void calls_bytes(struct calls *c, struct span s)
{
	struct json j = {.out = &c->text};

	if (span_is_text(s))
		json_span(&j, s);
	else
		json_bytes(&j, s);
}

static inline int calls_proc(void *ctx, const struct proc_info *p)
{
	struct calls *c = ctx;

	buf_printf(&c->text, "proc %u %u %" PRId64 " %s|%s|%s|%s|%s", p->pid, p->ppid, p->start_ns, p->comm,
		p->exe, p->cmdline, p->service, p->cgroup);
	return calls_done(c);
}

static inline int calls_proc_exit(void *ctx, uint32_t pid, int64_t ts_ns, int exit_code)
{
	struct calls *c = ctx;

	buf_printf(&c->text, "exit %u %" PRId64 " %d", pid, ts_ns, exit_code);
	return calls_done(c);
}

static inline int calls_open(void *ctx, const struct endpoint_info *e)
{
	struct calls *c = ctx;

	buf_printf(&c->text, "open %" PRIu64 " %u %" PRId64 " %u %" PRIu64 " ", e->id, e->pid, e->ts_ns,
		e->family, e->netns);
	for (int i = 0; i < 16; i++)
		buf_printf(&c->text, "%02x%02x", e->local_addr[i], e->remote_addr[i]);
	buf_printf(&c->text, " %u %u %s %" PRIu64 " %d %d %" PRIu64 " %" PRIu64, e->local_port,
		e->remote_port, e->path, e->peer_id, e->role, e->from_start, e->pos[0], e->pos[1]);
	return calls_done(c);
}

static inline int calls_chunk(void *ctx, const struct chunk *k)
{
	struct calls *c = ctx;

	buf_printf(&c->text, "chunk %" PRIu64 " %d %" PRIu64 " %u %" PRId64 " %u %u %" PRIu64 " ",
		k->endpoint, k->dir, k->pos, k->len, k->ts_ns, k->pid, k->tid, k->unit);
	calls_bytes(c, k->data);
	return calls_done(c);
}

static inline int calls_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	struct calls *c = ctx;

	buf_printf(&c->text, "close %" PRIu64 " %" PRId64 " %d", endpoint, ts_ns, by_peer);
	return calls_done(c);
}

static inline int calls_loss(void *ctx, const struct loss_info *l)
{
	struct calls *c = ctx;

	buf_printf(&c->text, "loss %" PRIu64 " %" PRId64 " %" PRIu64 " %" PRIu64 " %s", l->endpoint, l->ts_ns,
		l->bytes, l->records, l->reason);
	return calls_done(c);
}

static inline int calls_tick(void *ctx, int64_t ts_ns)
{
	struct calls *c = ctx;

	if (c->quiet_ticks)
		return 0;
	buf_printf(&c->text, "tick %" PRId64, ts_ns);
	return calls_done(c);
}

static inline struct sink calls_sink(struct calls *c)
{
	return (struct sink){
		c, calls_proc, calls_proc_exit, calls_open, calls_chunk, calls_close, calls_loss, calls_tick};
}

/* A file in memory that can be opened by its path; its content is replaced each time. */
struct memfile {
	int fd;
	char path[32];
};

static inline void memfile_set(struct memfile *m, const void *p, size_t n)
{
	if (!m->path[0]) {
		m->fd = memfd_create("evtrace-test", 0);
		snprintf(m->path, sizeof(m->path), "/proc/self/fd/%d", m->fd);
	}
	if (ftruncate(m->fd, 0) || (n && pwrite(m->fd, p, n, 0) != (ssize_t)n))
		abort();
}

static inline struct buf read_file(const char *path)
{
	struct buf b = {0};
	FILE *f = fopen(path, "rb");
	uint8_t p[4096];
	size_t n;

	if (!f)
		return b;
	while ((n = fread(p, 1, sizeof(p), f)))
		buf_put(&b, p, n);
	fclose(f);
	return b;
}

#endif
