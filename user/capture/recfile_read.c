/* Reads a record file and makes the same calls again that wrote it (recfile_wire.h). */
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/le.h"
#include "capture/recfile_wire.h"
#include "capture/source.h"

#define TIME_MAX  (INT64_MAX / 2) /* so that adding to a time cannot overflow */
#define SENSELESS 1               /* of the functions below, where a negative value is the sink's */

/* Bounds-checked fields of a record; a read past the end latches `bad`. */
struct fields {
	const uint8_t *p, *end;
	bool bad;
};

static const uint8_t *take(struct fields *f, size_t n)
{
	static const uint8_t nothing[16];
	const uint8_t *p = f->p;

	if (f->bad || (size_t)(f->end - f->p) < n) {
		f->bad = true;
		return nothing;
	}
	f->p += n;
	return p;
}

static uint64_t num(struct fields *f, size_t width)
{
	return le_get(take(f, width), width);
}

static int64_t when(struct fields *f)
{
	int64_t t = (int64_t)num(f, 8);

	f->bad |= t < 0 || t > TIME_MAX;
	return t;
}

/* The texts of one record, each NUL-terminated, in one buffer that grows to the largest. */
struct state {
	struct buf texts;
};

static struct span text_span(struct fields *f)
{
	size_t n = num(f, 4);

	if (n > REC_TEXT_MAX)
		f->bad = true;
	return f->bad ? SPAN_EMPTY : span_of(take(f, n), f->bad ? 0 : n);
}

/* @room was reserved for the whole record: the buffer does not move between two texts. */
static const char *text(struct fields *f, struct buf *b)
{
	struct span s = text_span(f);
	size_t at = b->n;

	buf_put_span(b, s);
	buf_putc(b, '\0');
	return buf_ok(b) ? (const char *)b->p + at : "";
}

static bool reserve_texts(struct state *st, const struct fields *f)
{
	buf_clear(&st->texts);
	return buf_reserve(&st->texts, (size_t)(f->end - f->p) + 16);
}

static int on_proc(struct state *st, struct fields *f, const struct sink *k)
{
	struct proc_info p = {.pid = (uint32_t)num(f, 4)};

	p.ppid = (uint32_t)num(f, 4);
	p.start_ns = when(f);
	if (!reserve_texts(st, f))
		return -ENOMEM;
	p.comm = text(f, &st->texts);
	p.exe = text(f, &st->texts);
	p.cmdline = text(f, &st->texts);
	p.service = text(f, &st->texts);
	p.cgroup = text(f, &st->texts);
	return f->bad ? SENSELESS : k->proc(k->ctx, &p);
}

static int on_proc_exit(struct fields *f, const struct sink *k)
{
	uint32_t pid = (uint32_t)num(f, 4);
	int64_t ts = when(f);
	int code = (int)(int32_t)num(f, 4);

	return f->bad ? SENSELESS : k->proc_exit(k->ctx, pid, ts, code);
}

static int on_open(struct state *st, struct fields *f, const struct sink *k)
{
	struct endpoint_info e = {.id = num(f, 8)};

	e.pid = (uint32_t)num(f, 4);
	e.ts_ns = when(f);
	e.family = (uint16_t)num(f, 2);
	e.netns = num(f, 8);
	memcpy(e.local_addr, take(f, 16), 16);
	memcpy(e.remote_addr, take(f, 16), 16);
	e.local_port = (uint16_t)num(f, 2);
	e.remote_port = (uint16_t)num(f, 2);
	if (!reserve_texts(st, f))
		return -ENOMEM;
	e.path = text(f, &st->texts);
	e.peer_id = num(f, 8);
	e.role = (enum role)num(f, 1);
	e.from_start = num(f, 1) != 0;
	e.pos[DIR_TX] = num(f, 8);
	e.pos[DIR_RX] = num(f, 8);
	if (f->bad || e.role > ENDPOINT_SERVER)
		return SENSELESS;
	return k->open(k->ctx, &e);
}

static int on_chunk(struct fields *f, const struct sink *k)
{
	struct chunk c = {.endpoint = num(f, 8)};

	c.dir = (enum dir)num(f, 1);
	c.pos = num(f, 8);
	c.len = (uint32_t)num(f, 4);
	c.ts_ns = when(f);
	c.pid = (uint32_t)num(f, 4);
	c.tid = (uint32_t)num(f, 4);
	c.unit = num(f, 8);
	c.data = span_of(f->p, (size_t)(f->end - f->p));
	f->p = f->end;
	if (f->bad || c.dir > DIR_RX || c.data.n > c.len)
		return SENSELESS;
	return k->chunk(k->ctx, &c);
}

static int on_close(struct fields *f, const struct sink *k)
{
	uint64_t id = num(f, 8);
	int64_t ts = when(f);
	bool by_peer = num(f, 1) != 0;

	return f->bad ? SENSELESS : k->close(k->ctx, id, ts, by_peer);
}

static int on_loss(struct state *st, struct fields *f, const struct sink *k)
{
	struct loss_info l = {.endpoint = num(f, 8)};

	l.ts_ns = when(f);
	l.bytes = num(f, 8);
	l.records = num(f, 8);
	if (!reserve_texts(st, f))
		return -ENOMEM;
	l.reason = text(f, &st->texts);
	return f->bad ? SENSELESS : k->loss(k->ctx, &l);
}

static int on_tick(struct fields *f, const struct sink *k)
{
	int64_t ts = when(f);

	return f->bad ? SENSELESS : k->tick(k->ctx, ts);
}

static int dispatch(struct state *st, struct span body, const struct sink *k)
{
	struct fields f = {body.p + 1, body.p + body.n, false};

	switch ((enum rec_type)body.p[0]) {
	case REC_PROC:
		return on_proc(st, &f, k);
	case REC_PROC_EXIT:
		return on_proc_exit(&f, k);
	case REC_OPEN:
		return on_open(st, &f, k);
	case REC_CHUNK:
		return on_chunk(&f, k);
	case REC_CLOSE:
		return on_close(&f, k);
	case REC_LOSS:
		return on_loss(st, &f, k);
	case REC_TICK:
		return on_tick(&f, k);
	}
	return SENSELESS;
}

static uint32_t crc_of(const uint8_t *p, size_t n)
{
	return (uint32_t)crc32_z(0, p, n);
}

static bool is_mine(struct span head)
{
	return span_starts(head, REC_MAGIC);
}

static void copy_text(char *to, size_t room, struct span s)
{
	size_t n = s.n < room - 1 ? s.n : room - 1;

	if (n)
		memcpy(to, s.p, n);
	to[n] = '\0';
}

static int begin(struct source *s, struct source_info *info, struct err *e)
{
	struct fields f = {0};
	struct span all;
	uint32_t version, n;
	int err;

	err = input_peek(&s->in, REC_FILE_HEADER, &all, e);
	if (err == -ENODATA)
		return source_damaged(s, "it ends inside of its header", e);
	if (err)
		return err;
	version = (uint32_t)le_get(all.p + 8, 4);
	n = (uint32_t)le_get(all.p + 12, 4);
	if (version > RECFILE_VERSION) {
		err_set(e, -EPROTO, "%s was written by a newer evtrace (record file version %u, not %d)",
			s->in.path, version, RECFILE_VERSION);
		err_hint(e, "import it with that version");
		return -EPROTO;
	}
	if (!version || n > 2 * REC_TEXT_MAX + 16)
		return source_damaged(s, "its header makes no sense", e);
	err = input_peek(&s->in, REC_FILE_HEADER + n + 4, &all, e);
	if (err == -ENODATA)
		return source_damaged(s, "it ends inside of its header", e);
	if (err)
		return err;
	if (crc_of(all.p, all.n - 4) != le_get(all.p + all.n - 4, 4))
		return source_damaged(s, "the checksum of its header is wrong", e);
	f.p = all.p + REC_FILE_HEADER;
	f.end = all.p + all.n - 4;
	info->first_ns = when(&f);
	copy_text(info->scope, sizeof(info->scope), text_span(&f));
	copy_text(info->host, sizeof(info->host), text_span(&f));
	if (f.bad)
		return source_damaged(s, "its header makes no sense", e);
	input_skip(&s->in, all.n);
	s->state = calloc(1, sizeof(struct state));
	return s->state ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int next(struct source *s, const struct sink *sink, struct err *e)
{
	struct span rec;
	uint32_t n;
	int err;

	err = source_need(s, REC_HEADER, &rec, e);
	if (err)
		return err;
	n = (uint32_t)le_get(rec.p, 4);
	if (crc_of(rec.p, 8) != le_get(rec.p + 8, 4))
		return source_damaged(s, "the checksum of a record's header is wrong", e);
	if (!n || n > REC_MAX)
		return source_damaged(s, "a record has an impossible length", e);
	err = source_need(s, REC_HEADER + n, &rec, e);
	if (err)
		return err;
	if (crc_of(rec.p + REC_HEADER, n) != le_get(rec.p + 4, 4))
		return source_damaged(s, "the checksum of a record is wrong", e);
	err = dispatch(s->state, span_sub(rec, REC_HEADER, n), sink);
	if (err == SENSELESS)
		return source_damaged(s, "a record makes no sense", e);
	if (err)
		return source_stopped(s, err, e);
	input_skip(&s->in, rec.n);
	return 0;
}

static void state_free(void *state)
{
	struct state *st = state;

	if (!st)
		return;
	buf_free(&st->texts);
	free(st);
}

const struct source_kind source_recfile = {
	.name = "record file",
	.is_mine = is_mine,
	.begin = begin,
	.next = next,
	.free = state_free,
};
