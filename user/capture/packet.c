/* From link layer to TCP: RFC 791, 8200, 9293; tcpdump.org/linktypes.html. Nothing is read beyond the packet.
 * Checksums are not looked at: where the network card computes them, captures of what was sent have none. */
#include "capture/packet.h"

#include <sys/socket.h>

#include "base/rd.h"

#define LINK_NULL  0 /* BSD loopback: four bytes of address family, in the order of the host that captured */
#define LINK_ETHER 1
#define LINK_RAW12 12 /* raw IP as some systems number it */
#define LINK_RAW14 14
#define LINK_RAW   101
#define LINK_LOOP  108 /* OpenBSD's loopback: the same in network order */
#define LINK_SLL   113 /* Linux cooked */
#define LINK_IPV4  228
#define LINK_IPV6  229
#define LINK_SLL2  276

#define ETH_IPV4 0x0800
#define ETH_IPV6 0x86dd

#define NO_TYPE -1 /* told by the IP version */
#define FAMILY  -2 /* of LINK_NULL */

#define TAGS_MAX    8          /* VLAN tags in a packet */
#define HEADERS_MAX 16         /* IPv6 extension headers of a packet */
#define MAX_UNSAID  (1u << 20) /* of a packet whose IP header leaves its length out (segmentation offload) */

enum next_header {
	NEXT_HOP_BY_HOP = 0,
	NEXT_TCP = 6,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_AUTH = 51,
	NEXT_OPTIONS = 60,
	NEXT_MOBILITY = 135,
	NEXT_HIP = 139,
	NEXT_SHIM6 = 140,
};

/* Bytes before the network layer, and where in them its type stands. */
static const struct link {
	uint32_t link;
	uint8_t header;
	int8_t type_at;
} links[] = {{LINK_ETHER, 14, 12}, {LINK_SLL, 16, 14}, {LINK_SLL2, 20, 0}, {LINK_NULL, 4, FAMILY},
	{LINK_LOOP, 4, FAMILY}, {LINK_RAW, 0, NO_TYPE}, {LINK_RAW12, 0, NO_TYPE}, {LINK_RAW14, 0, NO_TYPE},
	{LINK_IPV4, 0, NO_TYPE}, {LINK_IPV6, 0, NO_TYPE}};

static const struct link *find_link(uint32_t link)
{
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (links[i].link == link)
			return &links[i];
	return NULL;
}

bool packet_link_known(uint32_t link)
{
	return find_link(link) != NULL;
}

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* AF_INET is 2 everywhere; AF_INET6 is 10 on Linux, 24 on NetBSD and OpenBSD, 28 on FreeBSD, 30 on macOS. */
static bool is_ip_family(const uint8_t *p)
{
	uint8_t v = p[0] ? p[0] : p[3];

	if (p[1] || p[2] || (p[0] && p[3]))
		return false;
	return v == 2 || v == 10 || v == 24 || v == 28 || v == 30;
}

static bool is_vlan(uint16_t type)
{
	return type == 0x8100 || type == 0x88a8 || type == 0x9100 || type == 0x9200;
}

/* Moves @r to the network layer. False: no IP. */
static bool skip_link(const struct link *l, struct rd *r)
{
	struct span header = rd_span(r, l->header);
	uint16_t type;

	if (r->bad)
		return false;
	if (l->type_at == NO_TYPE)
		return true;
	if (l->type_at == FAMILY)
		return is_ip_family(header.p);
	type = be16(header.p + l->type_at);
	/* 802.1Q, 802.1ad and what came before it: tags of four bytes, with the type of what follows last. */
	for (int i = 0; i < TAGS_MAX && is_vlan(type); i++) {
		rd_u16(r);
		type = rd_u16(r);
	}
	return !r->bad && (type == ETH_IPV4 || type == ETH_IPV6);
}

static enum packet_kind decode_tcp(struct rd *r, uint32_t size, struct segment *s)
{
	size_t head;

	s->src_port = rd_u16(r);
	s->dst_port = rd_u16(r);
	s->seq = rd_u32(r);
	s->ack = rd_u32(r);
	head = (size_t)(rd_u8(r) >> 4) * 4;
	s->flags = rd_u8(r);
	rd_span(r, 6);
	if (r->bad)
		return PACKET_CUT;
	if (head < 20 || head > size)
		return PACKET_OTHER;
	s->len = size - (uint32_t)head;
	rd_span(r, head - 20);
	if (r->bad)
		return PACKET_CUT;
	s->data = span_sub(span_of(r->p, rd_left(r)), 0, s->len);
	return PACKET_TCP;
}

static bool is_extension(uint8_t next)
{
	switch ((enum next_header)next) {
	case NEXT_HOP_BY_HOP:
	case NEXT_ROUTING:
	case NEXT_AUTH:
	case NEXT_OPTIONS:
	case NEXT_MOBILITY:
	case NEXT_HIP:
	case NEXT_SHIM6:
		return true;
	default:
		return false;
	}
}

/* Moves on behind IPv6 extension headers, and behind a fragment's (fragment: true). False: no such packet. */
static bool skip_extensions(struct datagram *d, bool *fragment)
{
	struct rd r = rd_of(d->data);
	uint32_t left = d->size;

	*fragment = false;
	for (int i = 0; i < HEADERS_MAX && !*fragment && (is_extension(d->next) || d->next == NEXT_FRAGMENT);
		i++) {
		uint8_t type = d->next;
		uint32_t n = 8;

		d->next = rd_u8(&r);
		if (type == NEXT_FRAGMENT) {
			uint16_t at;

			rd_u8(&r);
			at = rd_u16(&r);
			d->id = rd_u32(&r);
			d->offset = at & 0xfff8u;
			d->more = at & 1;
			/* A packet in one "fragment" (RFC 6946) is whole. */
			*fragment = d->offset || d->more;
		} else {
			n = rd_u8(&r);
			n = type == NEXT_AUTH ? (n + 2) * 4 : (n + 1) * 8;
			rd_span(&r, n - 2);
		}
		if (r.bad || n > left)
			return false;
		left -= n;
	}
	d->data = span_of(r.p, rd_left(&r));
	d->size = left;
	return true;
}

enum packet_kind packet_decode_whole(const struct datagram *given, struct segment *ret)
{
	struct datagram d = *given;
	struct segment s = {.family = d.family};
	enum packet_kind kind = PACKET_OTHER;
	bool fragment = false;
	struct rd r;

	memcpy(s.src, d.src, 16);
	memcpy(s.dst, d.dst, 16);
	if (d.family == AF_INET6 && (!skip_extensions(&d, &fragment) || fragment))
		return PACKET_OTHER;
	r = rd_of(d.data);
	if (d.next == NEXT_TCP)
		kind = decode_tcp(&r, d.size, &s);
	*ret = s;
	return kind;
}

/* @size: bytes from the network layer on, by the wire. False: no such packet. */
static bool decode_v4(struct rd *r, uint32_t size, struct datagram *d, bool *fragment)
{
	struct span h = rd_span(r, 20);
	uint32_t head, total;

	if (r->bad)
		return false;
	head = (h.p[0] & 15) * 4u;
	total = be16(h.p + 2);
	if (!total && size <= MAX_UNSAID)
		total = size;
	d->next = h.p[9];
	if (d->next != NEXT_TCP || head < 20 || total < head)
		return false;
	d->family = AF_INET;
	memcpy(d->src, h.p + 12, 4);
	memcpy(d->dst, h.p + 16, 4);
	d->id = be16(h.p + 4);
	d->offset = (be16(h.p + 6) & 0x1fffu) * 8;
	d->more = be16(h.p + 6) & 0x2000;
	*fragment = d->offset || d->more;
	rd_span(r, head - 20);
	d->size = total - head;
	d->data = r->bad ? SPAN_EMPTY : span_sub(span_of(r->p, rd_left(r)), 0, d->size);
	return true;
}

static bool decode_v6(struct rd *r, uint32_t size, struct datagram *d, bool *fragment)
{
	struct span h = rd_span(r, 40);

	if (r->bad)
		return false;
	d->size = be16(h.p + 4);
	if (!d->size && size > 40 && size <= MAX_UNSAID)
		d->size = size - 40;
	d->next = h.p[6];
	d->family = AF_INET6;
	memcpy(d->src, h.p + 8, 16);
	memcpy(d->dst, h.p + 24, 16);
	d->data = span_sub(span_of(r->p, rd_left(r)), 0, d->size);
	return skip_extensions(d, fragment) && (d->next == NEXT_TCP || (*fragment && is_extension(d->next)));
}

enum packet_kind packet_decode(
	uint32_t link, struct span data, uint32_t size, struct datagram *ret_datagram, struct segment *ret)
{
	const struct link *l = find_link(link);
	struct datagram d = {0};
	struct rd r = rd_of(data);
	bool fragment = false, ok = false;
	size_t header;

	if (!l || !skip_link(l, &r) || !rd_left(&r))
		return PACKET_OTHER;
	header = (size_t)(r.p - data.p);
	size = size > header ? size - (uint32_t)header : 0;
	if (r.p[0] >> 4 == 4)
		ok = decode_v4(&r, size, &d, &fragment);
	else if (r.p[0] >> 4 == 6)
		ok = decode_v6(&r, size, &d, &fragment);
	if (!ok)
		return PACKET_OTHER;
	*ret_datagram = d;
	return fragment ? PACKET_FRAGMENT : packet_decode_whole(&d, ret);
}
