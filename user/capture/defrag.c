#include "capture/defrag.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/timefmt.h"

#define WAIT_NS      (30 * NS_PER_SEC) /* RFC 791 suggests 15 s, RFC 8200 says 60 s */
#define DONE_NS      NS_PER_SEC        /* so long repeated fragments of a packet that is whole are known */
#define PACKETS_MAX  256               /* the oldest is given up beyond it */
#define PACKET_BYTES 65536
#define UNIT         8 /* offsets of fragments count in it */
#define UNITS        (PACKET_BYTES / UNIT)

struct waiting {
	struct list list;
	struct datagram key; /* what tells its fragments from others' */
	uint64_t hash;
	int64_t since_ns;
	bool done;      /* it was given out */
	uint32_t total; /* bytes, 0: the last fragment has not come */
	uint32_t end;   /* behind the last byte of any fragment */
	uint32_t cut;   /* from here on not all was captured */
	uint32_t units; /* of `have` that are set */
	uint8_t have[UNITS / 8];
	uint8_t data[PACKET_BYTES];
};

struct defrag {
	struct map map;
	struct list waiting; /* oldest first */
	size_t n;
	struct defrag_lost lost;
};

struct defrag *defrag__new(void)
{
	struct defrag *f = calloc(1, sizeof(*f));

	if (f)
		list_init(&f->waiting);
	return f;
}

static void drop(struct defrag *f, struct waiting *w)
{
	if (!w->done) {
		f->lost.packets++;
		f->lost.bytes += (uint64_t)w->units * UNIT;
	}
	map_del(&f->map, w->hash);
	list_del(&w->list);
	f->n--;
	free(w);
}

void defrag__free(struct defrag *f)
{
	if (!f)
		return;
	while (!list_empty(&f->waiting))
		drop(f, list_entry(f->waiting.next, struct waiting, list));
	map_free(&f->map);
	free(f);
}

void defrag_tick(struct defrag *f, int64_t ts_ns)
{
	list_for_each (&f->waiting, l) {
		struct waiting *w = list_entry(l, struct waiting, list);

		if (ts_ns == INT64_MAX || ts_ns - w->since_ns >= (w->done ? DONE_NS : WAIT_NS))
			drop(f, w);
	}
}

struct defrag_lost defrag_lost(struct defrag *f)
{
	struct defrag_lost lost = f->lost;

	f->lost = (struct defrag_lost){0};
	return lost;
}

static uint64_t hash_of(const struct datagram *d)
{
	uint8_t key[2 * 16 + 6] = {d->family == AF_INET6, d->next};

	memcpy(key + 2, &d->id, 4);
	memcpy(key + 6, d->src, 16);
	memcpy(key + 22, d->dst, 16);
	return hash64(key, sizeof(key), 0);
}

static bool same_packet(const struct datagram *a, const struct datagram *b)
{
	return a->family == b->family && a->next == b->next && a->id == b->id &&
	       !memcmp(a->src, b->src, 16) && !memcmp(a->dst, b->dst, 16);
}

static struct waiting *find(struct defrag *f, int64_t ts_ns, const struct datagram *d)
{
	uint64_t hash = hash_of(d);
	struct waiting *w = map_ptr(&f->map, hash);

	if (w && (!same_packet(&w->key, d) || ts_ns - w->since_ns >= (w->done ? DONE_NS : WAIT_NS))) {
		drop(f, w); /* the number came back */
		w = NULL;
	}
	if (w)
		return w;
	if (f->n >= PACKETS_MAX)
		drop(f, list_entry(f->waiting.next, struct waiting, list));
	w = malloc(sizeof(*w));
	if (!w)
		return NULL;
	memset(w, 0, offsetof(struct waiting, data));
	w->key = *d;
	w->hash = hash;
	w->since_ns = ts_ns;
	w->cut = UINT32_MAX;
	list_init(&w->list);
	if (map_put_ptr(&f->map, hash, w)) {
		free(w);
		return NULL;
	}
	list_add_tail(&f->waiting, &w->list);
	f->n++;
	return w;
}

static bool has_unit(const struct waiting *w, uint32_t u)
{
	return w->have[u / 8] >> (u % 8) & 1;
}

/* Copies what is new. False: it overlaps with what is there, other than as a repetition. */
static bool merge(struct waiting *w, const struct datagram *d)
{
	uint32_t first = d->offset / UNIT, end = (d->offset + d->size + UNIT - 1) / UNIT, fresh = 0;

	for (uint32_t u = first; u < end; u++) {
		uint32_t at = (u - first) * UNIT;
		struct span s = span_sub(d->data, at, UNIT);

		if (has_unit(w, u))
			continue;
		w->have[u / 8] |= (uint8_t)(1 << u % 8);
		fresh++;
		if (s.n)
			memcpy(w->data + (size_t)u * UNIT, s.p, s.n);
	}
	w->units += fresh;
	/* Bytes that an earlier fragment had as a whole are not missing because this one lacks them. */
	if (fresh && d->data.n < d->size && d->offset + d->data.n < w->cut)
		w->cut = d->offset + (uint32_t)d->data.n;
	return !fresh || fresh == end - first;
}

/* False: such a fragment cannot be part of the packet. */
static bool fits(struct waiting *w, const struct datagram *d)
{
	uint32_t end = d->offset + d->size;

	if (!d->size || end > PACKET_BYTES || (d->more && d->size % UNIT))
		return false;
	if (!d->more) {
		if ((w->total && w->total != end) || w->end > end)
			return false;
		w->total = end;
	}
	if (w->total && end > w->total)
		return false;
	if (end > w->end)
		w->end = end;
	return true;
}

int defrag_add(struct defrag *f, int64_t ts_ns, struct datagram *d)
{
	struct waiting *w = find(f, ts_ns, d);

	if (!w)
		return -ENOMEM;
	if (w->done)
		return 0;
	if (!fits(w, d) || (!merge(w, d) && d->family == AF_INET6)) {
		drop(f, w);
		return 0;
	}
	if (!w->total || w->units < (w->total + UNIT - 1) / UNIT)
		return 0;
	w->done = true;
	d->data = span_of(w->data, w->cut < w->total ? w->cut : w->total);
	d->size = w->total;
	d->offset = 0;
	d->more = false;
	return 1;
}
