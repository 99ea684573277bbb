/* Writes a record file: each call of a sink as one record, in order (recfile_wire.h). */
#include "capture/recfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "base/le.h"
#include "base/timefmt.h"
#include "capture/recfile_wire.h"

#define FLUSH_BYTES (256u << 10)

struct recfile {
	char *path;
	int fd;
	struct buf out;
	size_t begin; /* of the record that is being written */
	int64_t flushed_ns;
	int error; /* the first one: nothing is written after it */
	bool has_next;
	struct sink next;
};

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static void flush(struct recfile *r)
{
	if (!r->error && !buf_ok(&r->out))
		r->error = -ENOMEM;
	if (!r->error)
		r->error = write_all(r->fd, r->out.p, r->out.n);
	buf_clear(&r->out);
}

static void put_text(struct buf *b, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	if (n > REC_TEXT_MAX)
		n = REC_TEXT_MAX;
	le_put(b, n, 4);
	buf_put(b, s, n);
}

static uint32_t crc_of(const uint8_t *p, size_t n)
{
	return (uint32_t)crc32_z(0, p, n);
}

static void put_file_header(struct buf *b, const char *scope, const char *host)
{
	buf_puts(b, REC_MAGIC);
	le_put(b, RECFILE_VERSION, 4);
	le_put(b, 0, 4);
	le_put(b, (uint64_t)now_wall_ns(), 8);
	put_text(b, scope);
	put_text(b, host);
	if (!buf_ok(b))
		return;
	le_set(b->p + 12, b->n - REC_FILE_HEADER, 4);
	le_put(b, crc_of(b->p, b->n), 4);
}

int recfile__create(
	const char *path, const char *scope, const char *host, struct recfile **ret, struct err *e)
{
	struct recfile *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return err_set(e, -ENOMEM, "out of memory");
	r->fd = -1;
	r->path = strdup(path);
	if (!r->path) {
		err = err_set(e, -ENOMEM, "out of memory");
		goto fail;
	}
	r->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (r->fd < 0) {
		err = err_set(e, -errno, "cannot create the record file %s: %s", path, strerror(errno));
		if (err == -EEXIST)
			err_hint(e, "it is never overwritten: take another name or move it away");
		goto fail;
	}
	put_file_header(&r->out, scope, host);
	flush(r);
	if (r->error) {
		err = err_set(e, r->error, "cannot write %s: %s", path, strerror(-r->error));
		unlink(path); /* ours, and nothing is in it */
		goto fail;
	}
	*ret = r;
	return 0;
fail:
	recfile__close(r, NULL);
	return err;
}

int recfile__close(struct recfile *r, struct err *e)
{
	int err;

	if (!r)
		return 0;
	if (r->fd >= 0) {
		flush(r);
		if (close(r->fd) && !r->error)
			r->error = -errno;
	}
	err = r->error;
	if (err) {
		err_set(e, err, "cannot write the record file %s: %s", r->path, strerror(-err));
		err_hint(e, "it is good up to there; what came later is not in it");
	}
	buf_free(&r->out);
	free(r->path);
	free(r);
	return err;
}

/* --- records --- */

static struct buf *begin(struct recfile *r, enum rec_type type)
{
	r->begin = r->out.n;
	le_put(&r->out, 0, 4);
	le_put(&r->out, 0, 8);
	le_put(&r->out, type, 1);
	return &r->out;
}

static void end(struct recfile *r)
{
	uint8_t *p = r->out.p + r->begin;
	size_t n = r->out.n - r->begin - REC_HEADER;

	if (buf_ok(&r->out)) {
		le_set(p, n, 4);
		le_set(p + 4, crc_of(p + REC_HEADER, n), 4);
		le_set(p + 8, crc_of(p, 8), 4);
	}
	if (r->out.n >= FLUSH_BYTES)
		flush(r);
}

static int on_proc(void *ctx, const struct proc_info *p)
{
	struct recfile *r = ctx;
	struct buf *b = begin(r, REC_PROC);

	le_put(b, p->pid, 4);
	le_put(b, p->ppid, 4);
	le_put(b, (uint64_t)p->start_ns, 8);
	put_text(b, p->comm);
	put_text(b, p->exe);
	put_text(b, p->cmdline);
	put_text(b, p->service);
	put_text(b, p->cgroup);
	end(r);
	return r->has_next ? r->next.proc(r->next.ctx, p) : 0;
}

static int on_proc_exit(void *ctx, uint32_t pid, int64_t ts_ns, int exit_code)
{
	struct recfile *r = ctx;
	struct buf *b = begin(r, REC_PROC_EXIT);

	le_put(b, pid, 4);
	le_put(b, (uint64_t)ts_ns, 8);
	le_put(b, (uint32_t)exit_code, 4);
	end(r);
	return r->has_next ? r->next.proc_exit(r->next.ctx, pid, ts_ns, exit_code) : 0;
}

static int on_open(void *ctx, const struct endpoint_info *e)
{
	struct recfile *r = ctx;
	struct buf *b = begin(r, REC_OPEN);

	le_put(b, e->id, 8);
	le_put(b, e->pid, 4);
	le_put(b, (uint64_t)e->ts_ns, 8);
	le_put(b, e->family, 2);
	le_put(b, e->netns, 8);
	buf_put(b, e->local_addr, 16);
	buf_put(b, e->remote_addr, 16);
	le_put(b, e->local_port, 2);
	le_put(b, e->remote_port, 2);
	put_text(b, e->path);
	le_put(b, e->peer_id, 8);
	le_put(b, e->role, 1);
	le_put(b, e->from_start, 1);
	le_put(b, e->pos[DIR_TX], 8);
	le_put(b, e->pos[DIR_RX], 8);
	end(r);
	return r->has_next ? r->next.open(r->next.ctx, e) : 0;
}

static int on_chunk(void *ctx, const struct chunk *c)
{
	struct recfile *r = ctx;
	struct buf *b = begin(r, REC_CHUNK);

	le_put(b, c->endpoint, 8);
	le_put(b, c->dir, 1);
	le_put(b, c->pos, 8);
	le_put(b, c->len, 4);
	le_put(b, (uint64_t)c->ts_ns, 8);
	le_put(b, c->pid, 4);
	le_put(b, c->tid, 4);
	le_put(b, c->unit, 8);
	buf_put_span(b, c->data);
	end(r);
	return r->has_next ? r->next.chunk(r->next.ctx, c) : 0;
}

static int on_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	struct recfile *r = ctx;
	struct buf *b = begin(r, REC_CLOSE);

	le_put(b, endpoint, 8);
	le_put(b, (uint64_t)ts_ns, 8);
	le_put(b, by_peer, 1);
	end(r);
	return r->has_next ? r->next.close(r->next.ctx, endpoint, ts_ns, by_peer) : 0;
}

static int on_loss(void *ctx, const struct loss_info *l)
{
	struct recfile *r = ctx;
	struct buf *b = begin(r, REC_LOSS);

	le_put(b, l->endpoint, 8);
	le_put(b, (uint64_t)l->ts_ns, 8);
	le_put(b, l->bytes, 8);
	le_put(b, l->records, 8);
	put_text(b, l->reason);
	end(r);
	return r->has_next ? r->next.loss(r->next.ctx, l) : 0;
}

/* A tick also writes out what is buffered: a crash costs about a second. */
static int on_tick(void *ctx, int64_t ts_ns)
{
	struct recfile *r = ctx;
	struct buf *b = begin(r, REC_TICK);

	le_put(b, (uint64_t)ts_ns, 8);
	end(r);
	if (ts_ns - r->flushed_ns >= NS_PER_SEC) {
		r->flushed_ns = ts_ns;
		flush(r);
	}
	return r->has_next ? r->next.tick(r->next.ctx, ts_ns) : 0;
}

void recfile_sink(struct recfile *r, const struct sink *next, struct sink *ret)
{
	r->has_next = next != NULL;
	if (next)
		r->next = *next;
	*ret = (struct sink){
		.ctx = r,
		.proc = on_proc,
		.proc_exit = on_proc_exit,
		.open = on_open,
		.chunk = on_chunk,
		.close = on_close,
		.loss = on_loss,
		.tick = on_tick,
	};
}
