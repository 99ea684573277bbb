/* Who moved which bytes of one direction: a small ring, ascending in position. */
#include "stream/internal.h"

#include <errno.h>
#include <stdlib.h>

static struct mark_at *at(const struct marks *ms, uint64_t i)
{
	return &ms->ring[i & (ms->cap - 1)];
}

static int grow(struct marks *ms)
{
	struct marks bigger = {.cap = ms->cap ? ms->cap * 2 : 8, .lo = ms->lo, .hi = ms->hi};

	bigger.ring = calloc(bigger.cap, sizeof(*bigger.ring));
	if (!bigger.ring)
		return -ENOMEM;
	for (uint64_t i = ms->lo; i < ms->hi; i++)
		*at(&bigger, i) = *at(ms, i);
	free(ms->ring);
	*ms = bigger;
	return 0;
}

static bool same_call(const struct mark_at *a, uint64_t order, uint8_t side, const struct mark *m)
{
	return a->order + 1 == order && a->side == side && a->m.ts_ns == m->ts_ns && a->m.pid == m->pid &&
	       a->m.tid == m->tid && a->m.unit == m->unit;
}

int marks_push(struct marks *ms, uint64_t end, uint64_t order, uint8_t side, const struct mark *m)
{
	int err;

	if (ms->hi > ms->lo) {
		struct mark_at *last = at(ms, ms->hi - 1);
		bool full = ms->hi - ms->lo >= MARKS_MAX + MARKS_HISTORY;

		if (full || same_call(last, order, side, m)) {
			*last = (struct mark_at){end, order, side, *m};
			return 0;
		}
	}
	if (ms->hi - ms->lo == ms->cap) {
		err = grow(ms);
		if (err)
			return err;
	}
	*at(ms, ms->hi++) = (struct mark_at){end, order, side, *m};
	return 0;
}

uint64_t marks_index(const struct marks *ms, uint64_t pos)
{
	uint64_t lo = ms->lo, hi = ms->hi;

	/* Nearly always it is the newest call, or what comes behind it. */
	if (hi > lo && at(ms, hi - 1)->end <= pos)
		return hi;
	if (hi - lo > 1 && at(ms, hi - 2)->end <= pos)
		return hi - 1;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (at(ms, mid)->end > pos)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

void marks_consumed(struct marks *ms, uint64_t taken)
{
	uint64_t first = marks_index(ms, taken);

	if (first - ms->lo > MARKS_HISTORY)
		ms->lo = first - MARKS_HISTORY;
}

const struct mark_at *marks_at(const struct marks *ms, uint64_t pos)
{
	uint64_t i = marks_index(ms, pos);

	if (ms->lo == ms->hi)
		return NULL;
	return at(ms, i < ms->hi ? i : ms->hi - 1);
}

void marks_free(struct marks *ms)
{
	free(ms->ring);
	*ms = (struct marks){0};
}
