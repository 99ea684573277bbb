/* Commands that wait for their answers. Those of which nothing needs to be known are only counted. */
#include "proto/redis_state.h"

static void put_head(struct fifo *f, size_t at, const struct pend *h)
{
	memcpy(f->b.p + at, h, sizeof(*h));
}

static struct pend get_head(const struct fifo *f, size_t at)
{
	struct pend h;

	memcpy(&h, f->b.p + at, sizeof(h));
	return h;
}

void fifo_clear(struct fifo *f)
{
	buf_clear(&f->b);
	if (f->b.cap > 1u << 20)
		buf_free(&f->b);
	f->b.oom = false;
	f->at = f->last = 0;
	f->n = 0;
	f->last_plain = false;
}

static void fifo_trim(struct fifo *f)
{
	if (f->at == f->b.n) {
		fifo_clear(f);
	} else if (f->at > 4096 && f->at > f->b.n / 2) {
		buf_shift(&f->b, f->at);
		f->last -= f->at;
		f->at = 0;
	}
}

bool fifo_first(const struct fifo *f, struct answer *ret)
{
	if (!f->n)
		return false;
	ret->h = get_head(f, f->at);
	ret->items = span_of(f->b.p + f->at + sizeof(ret->h), ret->h.len);
	return true;
}

void fifo_pop(struct fifo *f)
{
	struct pend h;

	if (!f->n)
		return;
	h = get_head(f, f->at);
	f->n--;
	if (h.repeat > 1) {
		h.repeat--;
		put_head(f, f->at, &h);
		return;
	}
	f->at += sizeof(h) + h.len;
	fifo_trim(f);
}

void fifo_set_extra(struct fifo *f, uint32_t extra)
{
	struct pend h = get_head(f, f->at);

	h.extra = extra;
	put_head(f, f->at, &h);
}

/* Is @h the same as the last one, with nothing to tell them apart? */
static bool repeats(struct fifo *f, const struct pend *h)
{
	struct pend last;

	if (!f->n || !f->last_plain)
		return false;
	last = get_head(f, f->last);
	if (last.cmd != h->cmd || last.flags != h->flags || last.repeat == UINT32_MAX)
		return false;
	last.repeat++;
	put_head(f, f->last, &last);
	return true;
}

bool pend_open(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	struct pend h = {.repeat = 1, .db = st->db, .cmd = (uint8_t)cmd, .flags = flags};
	struct fifo *f = &st->pending;

	st->open = false;
	st->open_none = false;
	if (st->reply_mode != REPLY_ON)
		return false;
	if (f->n >= PENDING_MAX || f->b.n - f->at > PENDING_BYTES_MAX || !buf_reserve(&f->b, sizeof(h))) {
		st->stats.errors++;
		redis_unpair(st);
		return false;
	}
	st->open = true;
	if ((cmd == RC_PLAIN || cmd == RC_UNKNOWN) && repeats(f, &h)) {
		f->n++;
		st->open = false;
		return false;
	}
	st->open_at = f->b.n;
	buf_put(&f->b, &h, sizeof(h));
	return true;
}

void pend_item(struct redis *st, struct span s)
{
	struct fifo *f = &st->pending;
	uint32_t n = (uint32_t)s.n;
	struct pend h;

	if (!st->open)
		return;
	if (s.n > PENDING_BYTES_MAX || !buf_reserve(&f->b, sizeof(n) + s.n)) {
		f->b.oom = true; /* pend_close() tells */
		return;
	}
	buf_put(&f->b, &n, sizeof(n));
	buf_put_span(&f->b, s);
	h = get_head(f, st->open_at);
	h.items++;
	put_head(f, st->open_at, &h);
}

void pend_extra(struct redis *st, uint32_t extra)
{
	struct pend h;

	if (!st->open)
		return;
	h = get_head(&st->pending, st->open_at);
	h.extra = extra;
	put_head(&st->pending, st->open_at, &h);
}

void pend_close(struct redis *st)
{
	struct fifo *f = &st->pending;
	struct pend h;

	if (!st->open)
		return;
	st->open = false;
	if (!buf_ok(&f->b)) {
		st->stats.errors++;
		redis_unpair(st);
		return;
	}
	h = get_head(f, st->open_at);
	h.len = (uint32_t)(f->b.n - st->open_at - sizeof(h));
	put_head(f, st->open_at, &h);
	f->last = st->open_at;
	f->last_plain = (h.cmd == RC_PLAIN || h.cmd == RC_UNKNOWN) && !h.items;
	f->n++;
}

bool fifo_at(const struct fifo *f, size_t *at, struct answer *ret)
{
	if (*at >= f->b.n)
		return false;
	ret->h = get_head(f, *at);
	ret->items = span_of(f->b.p + *at + sizeof(ret->h), ret->h.len);
	*at += sizeof(ret->h) + ret->h.len;
	return true;
}

bool fifo_move(struct fifo *from, struct fifo *to)
{
	struct answer a;

	if (!fifo_first(from, &a) || to->b.n - to->at > PENDING_BYTES_MAX ||
		!buf_reserve(&to->b, sizeof(a.h) + a.items.n))
		return false;
	a.h.repeat = 1;
	to->last = to->b.n;
	buf_put(&to->b, &a.h, sizeof(a.h));
	buf_put_span(&to->b, a.items);
	to->last_plain = false;
	to->n++;
	fifo_pop(from);
	return true;
}

bool answer_next(struct span *rest, struct span *ret)
{
	uint32_t n;

	if (rest->n < sizeof(n))
		return false;
	memcpy(&n, rest->p, sizeof(n));
	*ret = span_sub(*rest, sizeof(n), n);
	*rest = span_sub(*rest, sizeof(n) + n, SIZE_MAX);
	return true;
}

struct span answer_item(const struct answer *a, uint32_t index)
{
	struct span rest = a->items, s;

	while (answer_next(&rest, &s))
		if (!index--)
			return s;
	return SPAN_EMPTY;
}
