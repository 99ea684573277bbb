/* Reads pcap (microseconds, nanoseconds and Kuznetzov's variant, either byte order) and pcapng.
 * tcpdump.org/pcap.html, RFC drafts draft-ietf-opsawg-pcap and -pcapng. */
#include <errno.h>
#include <stdlib.h>

#include "base/le.h"
#include "base/timefmt.h"
#include "capture/flows.h"
#include "capture/source.h"

#define PACKET_MAX     (1u << 20) /* tcpdump's largest snapshot length is 256 KiB */
#define BLOCK_MAX      (16u << 20)
#define INTERFACES_MAX 65536
#define TIME_MAX       (INT64_MAX / 2)

#define PCAP_HEADER          24
#define PCAP_RECORD          16
#define PCAP_MODIFIED_RECORD 24 /* interface, link protocol and direction follow: Linux 2.0's libpcap */

#define NG_SECTION   0x0a0d0d0au
#define NG_INTERFACE 1
#define NG_OLD       2 /* obsolete packet block */
#define NG_SIMPLE    3
#define NG_ENHANCED  6
#define NG_BYTES     0x1a2b3c4du /* byte-order magic */

struct interface {
	uint32_t link, snaplen;
	uint8_t resolution; /* of times: 10^-n, with the top bit set 2^-n seconds */
	int64_t offset_s;
};

struct state {
	bool swapped; /* big-endian */
	/* pcap: */
	bool nanoseconds;
	uint32_t link, record; /* record: size of a packet's header */
	/* pcapng: of the current section */
	struct interface *interfaces;
	size_t interfaces_n, interfaces_cap;
};

static uint64_t num(const struct state *st, const uint8_t *p, size_t width)
{
	uint64_t v = 0;

	if (!st->swapped)
		return le_get(p, width);
	for (size_t i = 0; i < width; i++)
		v = v << 8 | p[i];
	return v;
}

static uint32_t u32(const struct state *st, const uint8_t *p)
{
	return (uint32_t)num(st, p, 4);
}

static int state_new(struct source *s, struct err *e)
{
	s->state = calloc(1, sizeof(struct state));
	return s->state ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static void state_free(void *state)
{
	struct state *st = state;

	if (!st)
		return;
	free(st->interfaces);
	free(st);
}

static int give(struct source *s, const struct sink *sink, int64_t ts, uint32_t link, struct span data,
	uint32_t size, struct err *e)
{
	int err;

	/* Simple packet blocks have no time; 0 is that of what has not happened. */
	if (!ts)
		ts = 1;
	if (data.n < size) {
		s->cut_short.packets++;
		s->cut_short.bytes += size - data.n;
	}
	err = flows_packet(s->flows, sink, ts, link, data, size);
	s->last_ns = ts;
	return err ? source_stopped(s, err, e) : 0;
}

/* What is wrong with the first packet is told when it is read. */
static int first_time(struct source *s, int (*when)(struct source *, int64_t *, struct err *),
	struct source_info *info, struct err *e)
{
	struct err later;
	int err = when(s, &info->first_ns, &later);

	s->cut = false;
	if (!err || err == -ENODATA || err == -EBADMSG)
		return 0;
	if (e)
		*e = later;
	return err;
}

/* --- pcap --- */

/* As little-endian hosts write them. */
static const struct magic {
	uint32_t magic;
	bool nanoseconds;
	uint32_t record;
} magics[] = {{0xa1b2c3d4, false, PCAP_RECORD}, {0xa1b23c4d, true, PCAP_RECORD},
	{0xa1b2cd34, false, PCAP_MODIFIED_RECORD}};

static const struct magic *find_magic(struct span head, bool *ret_swapped)
{
	uint32_t v = head.n >= 4 ? (uint32_t)le_get(head.p, 4) : 0;

	for (size_t i = 0; i < ARRAY_LEN(magics); i++) {
		*ret_swapped = v == __builtin_bswap32(magics[i].magic);
		if (*ret_swapped || v == magics[i].magic)
			return &magics[i];
	}
	return NULL;
}

static bool pcap_is_mine(struct span head)
{
	bool swapped;

	return find_magic(head, &swapped) != NULL;
}

static int64_t pcap_time(const struct state *st, const uint8_t *rec)
{
	return (int64_t)u32(st, rec) * NS_PER_SEC + (int64_t)u32(st, rec + 4) * (st->nanoseconds ? 1 : 1000);
}

static int pcap_when(struct source *s, int64_t *ret_ns, struct err *e)
{
	struct state *st = s->state;
	struct span rec;
	int err = source_need(s, st->record, &rec, e);

	if (!err)
		*ret_ns = pcap_time(st, rec.p);
	return err;
}

static int pcap_begin(struct source *s, struct source_info *info, struct err *e)
{
	const struct magic *m;
	struct state *st;
	struct span head;
	int err;

	err = state_new(s, e);
	if (err)
		return err;
	st = s->state;
	err = input_peek(&s->in, PCAP_HEADER, &head, e);
	if (err && err != -ENODATA)
		return err;
	if (head.n < PCAP_HEADER)
		return source_damaged(s, "it ends inside of its header", e);
	m = find_magic(head, &st->swapped);
	st->nanoseconds = m->nanoseconds;
	st->record = m->record;
	st->link = u32(st, head.p + 20) & 0x0fffffff; /* above: length of the frame check sequence */
	if (!packet_link_known(st->link)) {
		err_set(e, -EPROTO, "%s has packets of link type %u, which is not read", s->in.path,
			st->link);
		err_hint(e, "Ethernet, Linux cooked, raw IP and loopback are: tcpdump -i any -w FILE");
		return -EPROTO;
	}
	input_skip(&s->in, PCAP_HEADER);
	return first_time(s, pcap_when, info, e);
}

static int pcap_next(struct source *s, const struct sink *sink, struct err *e)
{
	struct state *st = s->state;
	uint32_t caplen, size;
	struct span rec;
	int err;

	err = source_need(s, st->record, &rec, e);
	if (err)
		return err;
	caplen = u32(st, rec.p + 8);
	size = u32(st, rec.p + 12);
	if (caplen > PACKET_MAX)
		return source_damaged(s, "a packet has an impossible length", e);
	err = source_need(s, st->record + caplen, &rec, e);
	if (err)
		return err;
	err = give(s, sink, pcap_time(st, rec.p), st->link, span_sub(rec, st->record, caplen), size, e);
	if (!err)
		input_skip(&s->in, rec.n);
	return err;
}

const struct source_kind source_pcap = {
	.name = "pcap",
	.is_mine = pcap_is_mine,
	.begin = pcap_begin,
	.next = pcap_next,
	.when = pcap_when,
	.free = state_free,
};

/* --- pcapng --- */

static bool ng_is_mine(struct span head)
{
	return head.n >= 12 && le_get(head.p, 4) == NG_SECTION;
}

/* Peeks at the next block as a whole. Its type is checked, its length is sane, its body is block[8 .. n - 4].
 */
static int ng_block(struct source *s, uint32_t *ret_type, struct span *ret, struct err *e)
{
	struct state *st = s->state;
	uint32_t n;
	int err;

	err = source_need(s, 12, ret, e);
	if (err)
		return err;
	if (le_get(ret->p, 4) == NG_SECTION) {
		uint32_t order = (uint32_t)le_get(ret->p + 8, 4);

		st->swapped = order != NG_BYTES;
		if (st->swapped && order != __builtin_bswap32(NG_BYTES))
			return source_damaged(s, "a section has no byte order", e);
	}
	n = u32(st, ret->p + 4);
	if (n < 12 || n % 4 || n > BLOCK_MAX)
		return source_damaged(s, "a block has an impossible length", e);
	err = source_need(s, n, ret, e);
	if (err)
		return err;
	if (u32(st, ret->p + n - 4) != n)
		return source_damaged(s, "a block's two lengths differ", e);
	*ret_type = u32(st, ret->p);
	return 0;
}

static bool is_packet(uint32_t type)
{
	return type == NG_ENHANCED || type == NG_SIMPLE || type == NG_OLD;
}

/* Options: u16 code, u16 length, value padded to four bytes. if_tsresol (9) and if_tsoffset (14) matter. */
static void read_options(const struct state *st, struct span o, struct interface *i)
{
	while (o.n >= 4) {
		uint32_t code = (uint32_t)num(st, o.p, 2), n = (uint32_t)num(st, o.p + 2, 2);
		struct span v = span_sub(o, 4, n);

		if (!code || v.n < n)
			return;
		if (code == 9 && n == 1)
			i->resolution = v.p[0];
		else if (code == 14 && n == 8)
			i->offset_s = (int64_t)num(st, v.p, 8);
		o = span_sub(o, 4 + (n + 3) / 4 * 4, SIZE_MAX);
	}
}

static int add_interface(struct source *s, struct span body, struct err *e)
{
	struct state *st = s->state;
	struct interface i = {.resolution = 6};

	if (body.n < 8)
		return source_damaged(s, "an interface block is too short", e);
	if (st->interfaces_n == INTERFACES_MAX)
		return source_damaged(s, "it has more interfaces than are read", e);
	if (st->interfaces_n == st->interfaces_cap) {
		size_t cap = st->interfaces_cap ? st->interfaces_cap * 2 : 8;
		struct interface *p = realloc(st->interfaces, cap * sizeof(*p));

		if (!p)
			return err_set(e, -ENOMEM, "out of memory");
		st->interfaces = p;
		st->interfaces_cap = cap;
	}
	i.link = (uint32_t)num(st, body.p, 2);
	i.snaplen = u32(st, body.p + 4);
	read_options(st, span_sub(body, 8, SIZE_MAX), &i);
	st->interfaces[st->interfaces_n++] = i;
	return 0;
}

static int64_t ng_time(const struct state *st, const struct interface *i, const uint8_t *p)
{
	unsigned __int128 units = (unsigned __int128)u32(st, p) << 32 | u32(st, p + 4),
			  ns = units * NS_PER_SEC;
	__int128 t;

	if (i->resolution & 0x80) {
		ns >>= i->resolution & 0x7f;
	} else {
		for (uint8_t n = 0; n < i->resolution && ns; n++)
			ns /= 10;
	}
	t = (__int128)ns + (__int128)i->offset_s * NS_PER_SEC;
	return t < 0 ? 0 : t > TIME_MAX ? TIME_MAX : (int64_t)t;
}

struct ng_packet {
	const struct interface *interface;
	int64_t ts_ns;
	struct span data;
	uint32_t size;
};

/* False: the block contradicts itself or its interface. */
static bool read_packet(
	const struct state *st, int64_t last_ns, uint32_t type, struct span body, struct ng_packet *ret)
{
	size_t head = type == NG_SIMPLE ? 4 : 20;
	uint32_t which = 0, caplen;

	if (body.n < head)
		return false;
	if (type == NG_ENHANCED)
		which = u32(st, body.p);
	else if (type == NG_OLD)
		which = (uint32_t)num(st, body.p, 2);
	if (which >= st->interfaces_n)
		return false;
	ret->interface = &st->interfaces[which];
	ret->size = u32(st, body.p + head - 4);
	if (type == NG_SIMPLE) {
		uint32_t snap = ret->interface->snaplen;

		caplen = snap && snap < ret->size ? snap : ret->size;
		ret->ts_ns = last_ns; /* it has none */
	} else {
		caplen = u32(st, body.p + 12);
		ret->ts_ns = ng_time(st, ret->interface, body.p + 4);
	}
	ret->data = span_sub(body, head, caplen);
	return ret->data.n == caplen;
}

static struct span body_of(struct span block)
{
	return span_sub(block, 8, block.n - 12);
}

/* A block that is no packet. */
static int ng_describe(struct source *s, uint32_t type, struct span block, struct err *e)
{
	struct state *st = s->state;
	int err = 0;

	if (type == NG_SECTION)
		st->interfaces_n = 0;
	else if (type == NG_INTERFACE)
		err = add_interface(s, body_of(block), e);
	if (!err)
		input_skip(&s->in, block.n);
	return err;
}

/* The next packet; it is not skipped. */
static int ng_packet(struct source *s, struct ng_packet *ret, struct span *ret_block, struct err *e)
{
	uint32_t type = 0;
	int err = 0;

	while (!err) {
		err = ng_block(s, &type, ret_block, e);
		if (err || is_packet(type))
			break;
		err = ng_describe(s, type, *ret_block, e);
	}
	if (!err && !read_packet(s->state, s->last_ns, type, body_of(*ret_block), ret))
		err = source_damaged(s, "a packet contradicts itself", e);
	return err;
}

static int ng_when(struct source *s, int64_t *ret_ns, struct err *e)
{
	struct ng_packet p;
	struct span block;
	int err = ng_packet(s, &p, &block, e);

	if (!err)
		*ret_ns = p.ts_ns;
	return err;
}

static int ng_begin(struct source *s, struct source_info *info, struct err *e)
{
	struct span head;
	struct err later;
	uint32_t type;
	int err = state_new(s, e);

	if (err)
		return err;
	err = ng_block(s, &type, &head, &later);
	s->cut = false;
	if (err == -EBADMSG && e)
		*e = later;
	return err == -EBADMSG ? err : first_time(s, ng_when, info, e);
}

static int ng_next(struct source *s, const struct sink *sink, struct err *e)
{
	struct ng_packet p;
	struct span block;
	int err = ng_packet(s, &p, &block, e);

	if (err)
		return err;
	err = give(s, sink, p.ts_ns, p.interface->link, p.data, p.size, e);
	if (!err)
		input_skip(&s->in, block.n);
	return err;
}

const struct source_kind source_pcapng = {
	.name = "pcapng",
	.is_mine = ng_is_mine,
	.begin = ng_begin,
	.next = ng_next,
	.when = ng_when,
	.free = state_free,
};
