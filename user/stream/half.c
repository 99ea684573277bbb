/*
 * One direction of a connection: pieces with positions come in, in whatever order; contiguous bytes and gaps
 * go out. Bytes are offered straight from the piece as long as the consumer takes them all; what it leaves is
 * copied. Positions in here count from the half's base.
 */
#include "stream/internal.h"

#include <errno.h>
#include <stdlib.h>

void half_base(struct half *hf, uint64_t pos)
{
	if (hf->based)
		return;
	hf->based = true;
	hf->base = pos;
}

static size_t unconsumed(const struct half *hf)
{
	return hf->buf.n - hf->head;
}

static void drop_buffer(struct cx *cx, struct half *hf)
{
	cx->s->stats.buffered -= unconsumed(hf);
	hf->head = 0;
	buf_clear(&hf->buf);
	if (hf->buf.cap > KEEP_CAP)
		buf_free(&hf->buf);
}

static int keep(struct cx *cx, struct half *hf, struct span rest)
{
	buf_put_span(&hf->buf, rest);
	if (!buf_ok(&hf->buf))
		return -ENOMEM;
	cx->s->stats.buffered += rest.n;
	return 0;
}

static void consume_buffer(struct cx *cx, struct half *hf, size_t n)
{
	cx->s->stats.buffered -= n;
	hf->head += n;
	if (hf->head == hf->buf.n) {
		drop_buffer(cx, hf);
	} else if (hf->head > 4096 && hf->head > hf->buf.n / 2) {
		buf_shift(&hf->buf, hf->head);
		hf->head = 0;
	}
}

/* Offers @sp, which begins at `taken`. */
static int offer(struct cx *cx, int h, struct span sp, size_t *ret_consumed)
{
	const struct stream_ops *ops = &cx->s->ops;
	struct half *hf = &cx->half[h];
	int64_t n;

	n = ops->data(ops->ctx, &cx->c, half_dir(cx, h), hf->taken, sp);
	if (n < 0)
		return (int)n;
	if ((uint64_t)n > sp.n)
		n = (int64_t)sp.n;
	hf->taken += (uint64_t)n;
	marks_consumed(&hf->marks, hf->taken);
	*ret_consumed = (size_t)n;
	return 0;
}

static int offer_buffer(struct cx *cx, int h, size_t n)
{
	struct half *hf = &cx->half[h];
	size_t consumed;
	int err;

	err = offer(cx, h, span_of(hf->buf.p + hf->head, n), &consumed);
	if (!err)
		consume_buffer(cx, hf, consumed);
	return err;
}

/* The half whose next mark, @i of each, came first; -1 when both are through. */
static int earlier(const struct cx *cx, const uint64_t i[2])
{
	const struct mark_at *m[2] = {NULL, NULL};

	for (int h = 0; h < 2; h++) {
		const struct marks *ms = &cx->half[h].marks;

		if (i[h] < ms->hi)
			m[h] = &ms->ring[i[h] & (ms->cap - 1)];
	}
	if (m[0] && m[1])
		return m[0]->order < m[1]->order ? 0 : 1;
	return m[0] ? 0 : m[1] ? 1 : -1;
}

static int replay_once(struct cx *cx)
{
	uint64_t i[2];
	int h, err = 0;

	for (h = 0; h < 2; h++)
		i[h] = marks_index(&cx->half[h].marks, cx->half[h].taken);
	while (!err && !cx->replay && cx->state == CX_OPEN && (h = earlier(cx, i)) >= 0) {
		struct half *hf = &cx->half[h];
		uint64_t end = hf->marks.ring[i[h]++ & (hf->marks.cap - 1)].end;

		if (end > hf->taken)
			err = offer_buffer(cx, h, (size_t)(end - hf->taken));
	}
	return err;
}

int cx_replay(struct cx *cx)
{
	int err = 0;

	if (cx->in_replay)
		return 0;
	cx->in_replay = true;
	while (!err && cx->replay) {
		cx->replay = false;
		err = replay_once(cx);
	}
	cx->in_replay = false;
	return err;
}

static int report_gap(struct cx *cx, int h, uint64_t pos, uint64_t n, const char *reason)
{
	struct streams *s = cx->s;
	enum flowdir d = half_dir(cx, h);

	cx->c.lost[d] += n;
	s->stats.lost_bytes += n;
	s->stats.gaps++;
	return s->ops.gap(s->ops.ctx, &cx->c, d, pos, n, reason);
}

int half_gap(struct cx *cx, int h, uint64_t n, const char *reason)
{
	struct half *hf = &cx->half[h];
	uint64_t pos = hf->next;

	drop_buffer(cx, hf);
	hf->next += n;
	hf->taken = hf->next;
	return report_gap(cx, h, pos, n, reason);
}

/* A consumer that never takes what it is offered must not cost more than the budget. */
static int enforce_budget(struct cx *cx, int h)
{
	const struct stream_opts *o = &cx->s->opts;
	struct half *hf = &cx->half[h];
	uint64_t pos = hf->taken, n = hf->next - hf->taken;

	if (!n || (n <= o->max_buffer && cx->s->stats.buffered <= o->max_total))
		return 0;
	drop_buffer(cx, hf);
	hf->taken = hf->next;
	return report_gap(cx, h, pos, n, "dropped: more was waiting to be complete than the buffer takes");
}

/* Takes a piece that begins at `next`. */
static int take(struct cx *cx, int h, const struct piece *p)
{
	struct half *hf = &cx->half[h];
	size_t consumed = 0;
	int err = 0;

	cx->fed = true;
	if (p->data.n) {
		hf->next += p->data.n;
		cx->c.bytes[half_dir(cx, h)] += p->data.n;
		cx->s->stats.bytes += p->data.n;
		err = marks_push(&hf->marks, hf->next, cx->order++, p->side, &p->mark);
		if (!err && unconsumed(hf)) {
			err = keep(cx, hf, p->data);
			if (!err)
				err = offer_buffer(cx, h, unconsumed(hf));
		} else if (!err) {
			err = offer(cx, h, p->data, &consumed);
			if (!err)
				err = keep(cx, hf, span_sub(p->data, consumed, SIZE_MAX));
		}
		if (!err)
			err = cx_replay(cx);
		if (!err && cx->state == CX_OPEN)
			err = enforce_budget(cx, h);
	}
	if (!err && p->len > p->data.n && cx->state == CX_OPEN)
		err = half_gap(
			cx, h, p->len - p->data.n, p->mark.pid ? "could not be copied" : "was not captured");
	return err;
}

static void cut_front(struct piece *p, uint64_t n)
{
	p->pos += n;
	p->len -= n;
	p->data = n < p->data.n ? span_sub(p->data, (size_t)n, SIZE_MAX) : SPAN_EMPTY;
}

static struct seg *first_seg(const struct half *hf)
{
	return &hf->segs[hf->segs_lo];
}

/* Takes the pieces that no hole parts from `next` any more. */
static int drain(struct cx *cx, int h)
{
	struct half *hf = &cx->half[h];
	int err = 0;

	while (!err && hf->segs_n && first_seg(hf)->pos <= hf->next && cx->state == CX_OPEN) {
		struct seg g = *first_seg(hf);
		struct piece p = {g.pos, g.len, span_of(g.data, g.n), g.side, g.mark};

		hf->segs_lo++;
		hf->segs_n--;
		hf->segs_bytes -= g.n;
		cx->s->stats.buffered -= g.n;
		hf->hole_ns = cx->s->now_ns;
		if (p.pos + p.len > hf->next) {
			cut_front(&p, hf->next - p.pos);
			err = take(cx, h, &p);
		}
		free(g.data);
	}
	return err;
}

static int skip_hole(struct cx *cx, int h)
{
	struct half *hf = &cx->half[h];
	uint64_t n = first_seg(hf)->pos - hf->next;
	const char *reason = cx->pending_loss ? cx->loss_reason : "was not captured";
	int err;

	cx->pending_loss -= n < cx->pending_loss ? n : cx->pending_loss;
	err = half_gap(cx, h, n, reason);
	return err ? err : drain(cx, h);
}

int half_skip_holes(struct cx *cx, int h)
{
	int err = 0;

	while (!err && cx->half[h].segs_n && cx->state == CX_OPEN)
		err = skip_hole(cx, h);
	return err;
}

static int make_room(struct half *hf)
{
	size_t cap = hf->segs_cap ? hf->segs_cap * 2 : 16;
	struct seg *segs;

	if (hf->segs_lo && hf->segs_n)
		memmove(hf->segs, first_seg(hf), hf->segs_n * sizeof(*hf->segs));
	hf->segs_lo = 0;
	if (hf->segs_n < hf->segs_cap)
		return 0;
	segs = realloc(hf->segs, cap * sizeof(*segs));
	if (!segs)
		return -ENOMEM;
	hf->segs = segs;
	hf->segs_cap = cap;
	return 0;
}

/* Keeps a piece that lies beyond a hole, unless one that is there holds all its bytes. */
static int insert(struct cx *cx, int h, const struct piece *p)
{
	struct half *hf = &cx->half[h];
	struct seg g = {p->pos, p->len, NULL, p->data.n, p->side, p->mark};
	size_t i;
	int err;

	err = make_room(hf);
	if (err)
		return err;
	for (i = hf->segs_n; i && hf->segs[i - 1].pos > p->pos; i--)
		;
	if (i && hf->segs[i - 1].pos + hf->segs[i - 1].n >= p->pos + p->len)
		return 0;
	if (g.n) {
		g.data = malloc(g.n);
		if (!g.data)
			return -ENOMEM;
		memcpy(g.data, p->data.p, g.n);
	}
	memmove(&hf->segs[i + 1], &hf->segs[i], (hf->segs_n - i) * sizeof(g));
	hf->segs[i] = g;
	if (!hf->segs_n++)
		hf->hole_ns = cx->s->now_ns;
	hf->segs_bytes += g.n;
	cx->s->stats.buffered += g.n;
	cx_wait(cx);
	return 0;
}

static int feed(struct cx *cx, int h, struct piece *p)
{
	const struct stream_opts *o = &cx->s->opts;
	size_t max_reorder = cx_on_wire(cx) && o->max_reorder < REORDER_WIRE ? REORDER_WIRE : o->max_reorder;
	struct half *hf = &cx->half[h];
	int err;

	if (p->pos <= hf->next) {
		cut_front(p, hf->next - p->pos);
		err = take(cx, h, p);
		return err ? err : drain(cx, h);
	}
	err = insert(cx, h, p);
	while (!err && hf->segs_n && cx->state == CX_OPEN &&
		(hf->segs_bytes > max_reorder || hf->segs_n > SEGS_MAX ||
			cx->s->stats.buffered > o->max_total))
		err = skip_hole(cx, h);
	return err;
}

int half_feed(struct cx *cx, int h, const struct piece *given)
{
	struct half *hf = &cx->half[h];
	struct piece p = *given;

	half_base(hf, p.pos);
	if (p.pos < hf->base) {
		if (p.len <= hf->base - p.pos)
			return 0;
		cut_front(&p, hf->base - p.pos);
	}
	p.pos -= hf->base;
	if (p.pos + p.len <= hf->next)
		return 0;
	return feed(cx, h, &p);
}

void half_clear(struct cx *cx, int h)
{
	struct half *hf = &cx->half[h];

	drop_buffer(cx, hf);
	buf_free(&hf->buf);
	marks_free(&hf->marks);
	for (size_t i = 0; i < hf->segs_n; i++)
		free(hf->segs[hf->segs_lo + i].data);
	cx->s->stats.buffered -= hf->segs_bytes;
	free(hf->segs);
	hf->segs = NULL;
	hf->segs_lo = hf->segs_n = hf->segs_cap = hf->segs_bytes = 0;
	hf->taken = hf->next;
}
