/*
 * Writes a record file: each call of a sink as one record, in order (recfile_wire.h). Records are held for a
 * while, because what a login's secret was in them is known only when they have been decoded; a secret that
 * is told even later is blanked in the file.
 */
#include "capture/recfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "base/le.h"
#include "base/map.h"
#include "base/timefmt.h"
#include "capture/recfile_wire.h"

#define FLUSH_BYTES (256u << 10)
#define HOLD_NS     (3 * NS_PER_SEC / 2) /* stream waits for a second that a hole is filled, then decodes */
#define HELD_MAX    (32u << 20)          /* more than that is written before its time */
#define PLACES_MAX  (1u << 18)           /* chunks that can still be blanked; a power of two */
#define TRACKS_MAX  (1u << 17)           /* endpoints; stream keeps half as many connections */
#define MASKS_MAX   4                    /* of an endpoint: the latest */
#define CHUNK_DATA  (REC_HEADER + 46)    /* where the bytes stand in the record of a chunk */

struct mask {
	uint64_t pos, end;
	enum dir dir;
};

/* Where a chunk is, in the file or on the way to it. */
struct place {
	uint64_t at;        /* in the file */
	uint64_t pos, prev; /* prev: number of the endpoint's chunk before it, as in struct track */
	int64_t came_ns;
	uint32_t n;
	uint8_t dir;
};

/* An endpoint that is open. */
struct track {
	uint64_t last; /* number of its latest chunk, counted from 1; 0 none */
	struct mask masks[MASKS_MAX];
	unsigned masks_n;
};

struct recfile {
	char *path;
	int fd;
	struct buf out;       /* from `head` on not yet written */
	size_t head, begin;   /* begin: of the record that is being made */
	uint64_t written;     /* bytes of the file */
	struct place *places; /* a ring: chunk number i stands at i & (PLACES_MAX - 1) */
	uint64_t chunks, due; /* numbers: of the latest; of the first that is held */
	struct map tracks;
	int64_t now_ns;
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

static size_t held(const struct recfile *r)
{
	return r->out.n - r->head;
}

/* Writes the first @n of the bytes that are held. */
static void flush(struct recfile *r, size_t n)
{
	if (!r->error && !buf_ok(&r->out))
		r->error = -ENOMEM;
	if (!r->error && n)
		r->error = write_all(r->fd, r->out.p + r->head, n);
	r->written += n;
	r->head += n;
	if (r->error || r->head == r->out.n) {
		buf_clear(&r->out);
		r->head = 0;
	} else if (r->head > r->out.n / 2) {
		buf_shift(&r->out, r->head);
		r->head = 0;
	}
}

static struct place *place(const struct recfile *r, uint64_t number)
{
	return &r->places[number & (PLACES_MAX - 1)];
}

/* How many bytes stand before the first chunk that must still wait. */
static size_t ripe(struct recfile *r)
{
	uint64_t end = r->written + held(r);

	for (; r->due <= r->chunks; r->due++) {
		const struct place *p = place(r, r->due);

		if (r->now_ns - p->came_ns < HOLD_NS && end - p->at <= HELD_MAX &&
			r->chunks - r->due < PLACES_MAX - 1)
			return (size_t)(p->at - r->written);
	}
	return held(r);
}

static void saw(struct recfile *r, int64_t ts_ns)
{
	if (ts_ns > r->now_ns)
		r->now_ns = ts_ns;
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
	r->places = calloc(PLACES_MAX, sizeof(*r->places));
	if (!r->places) {
		err = err_set(e, -ENOMEM, "out of memory");
		goto fail;
	}
	r->due = 1;
	r->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (r->fd < 0) {
		err = err_set(e, -errno, "cannot create the record file %s: %s", path, strerror(errno));
		if (err == -EEXIST)
			err_hint(e, "it is never overwritten: take another name or move it away");
		goto fail;
	}
	put_file_header(&r->out, scope, host);
	flush(r, held(r));
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

static void free_tracks(struct recfile *r)
{
	map_for_each (&r->tracks, slot)
		free((void *)(uintptr_t)slot->val);
	map_free(&r->tracks);
}

int recfile__close(struct recfile *r, struct err *e)
{
	int err;

	if (!r)
		return 0;
	if (r->fd >= 0) {
		flush(r, held(r));
		if (close(r->fd) && !r->error)
			r->error = -errno;
	}
	err = r->error;
	if (err) {
		err_set(e, err, "cannot write the record file %s: %s", r->path, strerror(-err));
		err_hint(e, "it is good up to there; what came later is not in it");
	}
	free_tracks(r);
	buf_free(&r->out);
	free(r->places);
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

/* Length and checksums of a record whose body is @n bytes. */
static void seal(uint8_t *p, size_t n)
{
	le_set(p, n, 4);
	le_set(p + 4, crc_of(p + REC_HEADER, n), 4);
	le_set(p + 8, crc_of(p, 8), 4);
}

static void end(struct recfile *r)
{
	size_t n;

	if (buf_ok(&r->out))
		seal(r->out.p + r->begin, r->out.n - r->begin - REC_HEADER);
	n = ripe(r);
	if (n >= FLUSH_BYTES || r->error || !buf_ok(&r->out))
		flush(r, n);
}

/* --- secrets --- */

/* NULL: out of memory. */
static struct track *track(struct recfile *r, uint64_t endpoint)
{
	struct track *t = map_ptr(&r->tracks, endpoint);

	if (t)
		return t;
	if (r->tracks.n >= TRACKS_MAX) /* of nearly all of them the end was not seen */
		free_tracks(r);
	t = calloc(1, sizeof(*t));
	if (t && map_put_ptr(&r->tracks, endpoint, t)) {
		free(t);
		t = NULL;
	}
	return t;
}

static void untrack(struct recfile *r, uint64_t endpoint)
{
	free(map_ptr(&r->tracks, endpoint));
	map_del(&r->tracks, endpoint);
}

static uint64_t add_up_to_max(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

/* Blanks what of the record at @rec lies in @m. True when anything does. */
static bool blank(uint8_t *rec, const struct place *p, const struct mask *m)
{
	uint64_t end = add_up_to_max(p->pos, p->n);
	uint64_t lo = m->pos > p->pos ? m->pos : p->pos, hi = m->end < end ? m->end : end;

	if (m->dir != p->dir || lo >= hi)
		return false;
	if (rec)
		memset(rec + CHUNK_DATA + (lo - p->pos), '*', (size_t)(hi - lo));
	return true;
}

static int blank_in_file(struct recfile *r, const struct place *p, const struct mask *m)
{
	size_t n = CHUNK_DATA + p->n;
	uint8_t *rec = malloc(n);
	int err = 0;

	if (!rec)
		return -ENOMEM;
	if (pread(r->fd, rec, n, (off_t)p->at) != (ssize_t)n)
		err = -EIO;
	if (!err) {
		blank(rec, p, m);
		seal(rec, n - REC_HEADER);
		if (pwrite(r->fd, rec, n, (off_t)p->at) != (ssize_t)n)
			err = -EIO;
	}
	free(rec);
	return err;
}

void recfile_mask(struct recfile *r, uint64_t endpoint, enum dir d, uint64_t pos, uint64_t n)
{
	struct mask m = {pos, add_up_to_max(pos, n), d};
	struct track *t = track(r, endpoint);

	if (!t)
		return;
	t->masks[t->masks_n++ % MASKS_MAX] = m;
	for (uint64_t i = t->last; i && r->chunks - i < PLACES_MAX && !r->error && buf_ok(&r->out);
		i = place(r, i)->prev) {
		const struct place *p = place(r, i);
		uint8_t *rec;

		if (!blank(NULL, p, &m))
			continue;
		if (p->at < r->written) {
			r->error = blank_in_file(r, p, &m);
			continue;
		}
		rec = r->out.p + r->head + (p->at - r->written);
		blank(rec, p, &m);
		seal(rec, CHUNK_DATA - REC_HEADER + p->n);
	}
}

/* The chunk whose record was just put: where it is, and without what is known to be secret in it. */
static void note_chunk(struct recfile *r, const struct chunk *c)
{
	struct track *t = track(r, c->endpoint);
	struct place *p;

	if (!buf_ok(&r->out) || !c->data.n)
		return;
	p = place(r, ++r->chunks);
	*p = (struct place){.at = r->written + r->begin - r->head,
		.pos = c->pos,
		.prev = t ? t->last : 0,
		.came_ns = r->now_ns,
		.n = (uint32_t)c->data.n,
		.dir = (uint8_t)c->dir};
	if (!t)
		return;
	t->last = r->chunks;
	for (unsigned i = 0; i < t->masks_n && i < MASKS_MAX; i++)
		blank(r->out.p + r->begin, p, &t->masks[i]);
}

/* --- the sink: what a call leads to is known before it is written --- */

static int on_proc(void *ctx, const struct proc_info *p)
{
	struct recfile *r = ctx;
	int err = r->has_next ? r->next.proc(r->next.ctx, p) : 0;
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
	return err;
}

static int on_proc_exit(void *ctx, uint32_t pid, int64_t ts_ns, int exit_code)
{
	struct recfile *r = ctx;
	int err = r->has_next ? r->next.proc_exit(r->next.ctx, pid, ts_ns, exit_code) : 0;
	struct buf *b = begin(r, REC_PROC_EXIT);

	le_put(b, pid, 4);
	le_put(b, (uint64_t)ts_ns, 8);
	le_put(b, (uint32_t)exit_code, 4);
	end(r);
	return err;
}

static int on_open(void *ctx, const struct endpoint_info *e)
{
	struct recfile *r = ctx;
	struct buf *b;
	int err;

	if (e->from_start)
		untrack(r, e->id); /* what was secret before is of another connection */
	err = r->has_next ? r->next.open(r->next.ctx, e) : 0;
	b = begin(r, REC_OPEN);
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
	return err;
}

static int on_chunk(void *ctx, const struct chunk *c)
{
	struct recfile *r = ctx;
	int err = r->has_next ? r->next.chunk(r->next.ctx, c) : 0;
	struct buf *b = begin(r, REC_CHUNK);

	saw(r, c->ts_ns);
	le_put(b, c->endpoint, 8);
	le_put(b, c->dir, 1);
	le_put(b, c->pos, 8);
	le_put(b, c->len, 4);
	le_put(b, (uint64_t)c->ts_ns, 8);
	le_put(b, c->pid, 4);
	le_put(b, c->tid, 4);
	le_put(b, c->unit, 8);
	buf_put_span(b, c->data);
	note_chunk(r, c);
	end(r);
	return err;
}

static int on_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	struct recfile *r = ctx;
	int err = r->has_next ? r->next.close(r->next.ctx, endpoint, ts_ns, by_peer) : 0;
	struct buf *b = begin(r, REC_CLOSE);

	le_put(b, endpoint, 8);
	le_put(b, (uint64_t)ts_ns, 8);
	le_put(b, by_peer, 1);
	end(r);
	untrack(r, endpoint);
	return err;
}

static int on_loss(void *ctx, const struct loss_info *l)
{
	struct recfile *r = ctx;
	int err = r->has_next ? r->next.loss(r->next.ctx, l) : 0;
	struct buf *b = begin(r, REC_LOSS);

	le_put(b, l->endpoint, 8);
	le_put(b, (uint64_t)l->ts_ns, 8);
	le_put(b, l->bytes, 8);
	le_put(b, l->records, 8);
	put_text(b, l->reason);
	end(r);
	return err;
}

/* A tick also writes out what need not be held any more: a crash costs about two seconds. */
static int on_tick(void *ctx, int64_t ts_ns)
{
	struct recfile *r = ctx;
	int err = r->has_next ? r->next.tick(r->next.ctx, ts_ns) : 0;
	struct buf *b = begin(r, REC_TICK);

	saw(r, ts_ns);
	le_put(b, (uint64_t)ts_ns, 8);
	end(r);
	flush(r, ripe(r));
	return err;
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
