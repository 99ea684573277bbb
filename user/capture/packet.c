/* From link layer to TCP: RFC 791, 8200, 9293; tcpdump.org/linktypes.html. Nothing is read beyond the packet.
 */
#include "capture/packet.h"

#include <sys/socket.h>

#include "base/rd.h"

#define LINK_NULL  0 /* BSD loopback: four bytes of address family, in the host's order */
#define LINK_ETHER 1
#define LINK_RAW12 12 /* raw IP as some systems number it */
#define LINK_RAW14 14
#define LINK_RAW   101
#define LINK_LOOP  108
#define LINK_SLL   113 /* Linux cooked */
#define LINK_IPV4  228
#define LINK_IPV6  229
#define LINK_SLL2  276

#define ETH_IPV4 0x0800
#define ETH_IPV6 0x86dd

#define IPPROTO_TCP_ 6
#define MAX_UNSAID   (1u << 20) /* of a packet whose IP header leaves its length out (segmentation offload) */

/* Bytes before the network layer, and where in them its type stands; no type: told by the IP version. */
static const struct link {
	uint32_t link;
	uint8_t header;
	int8_t type_at;
} links[] = {{LINK_ETHER, 14, 12}, {LINK_SLL, 16, 14}, {LINK_SLL2, 20, 0}, {LINK_NULL, 4, -1},
	{LINK_LOOP, 4, -1}, {LINK_RAW, 0, -1}, {LINK_RAW12, 0, -1}, {LINK_RAW14, 0, -1}, {LINK_IPV4, 0, -1},
	{LINK_IPV6, 0, -1}};

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

/* Moves @r to the network layer. False: no IP. */
static bool skip_link(const struct link *l, struct rd *r)
{
	struct span header = rd_span(r, l->header);
	uint16_t type;

	if (r->bad)
		return false;
	if (l->type_at < 0)
		return true;
	type = be16(header.p + l->type_at);
	/* 802.1Q and 802.1ad: up to two tags of four bytes, the type of what follows in the last two. */
	for (int i = 0; i < 2 && (type == 0x8100 || type == 0x88a8); i++) {
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

/* @size: bytes from the network layer on, by the wire. */
static enum packet_kind decode_v4(struct rd *r, uint32_t size, struct segment *s)
{
	struct span h = rd_span(r, 20);
	uint32_t head, total;

	if (r->bad)
		return PACKET_OTHER;
	head = (h.p[0] & 15) * 4u;
	total = be16(h.p + 2);
	if (!total && size <= MAX_UNSAID)
		total = size;
	if (h.p[9] != IPPROTO_TCP_ || head < 20 || total < head)
		return PACKET_OTHER;
	if (be16(h.p + 6) & 0x3fff) /* more fragments, or an offset */
		return PACKET_FRAGMENT;
	s->family = AF_INET;
	memcpy(s->src, h.p + 12, 4);
	memcpy(s->dst, h.p + 16, 4);
	rd_span(r, head - 20);
	return decode_tcp(r, total - head, s);
}

static enum packet_kind decode_v6(struct rd *r, uint32_t size, struct segment *s)
{
	struct span h = rd_span(r, 40);
	uint32_t left;
	uint8_t next;

	if (r->bad)
		return PACKET_OTHER;
	left = be16(h.p + 4);
	if (!left && size > 40 && size <= MAX_UNSAID)
		left = size - 40;
	next = h.p[6];
	s->family = AF_INET6;
	memcpy(s->src, h.p + 8, 16);
	memcpy(s->dst, h.p + 24, 16);
	/* Hop-by-hop, routing and destination options may stand before TCP. */
	for (int i = 0; i < 8 && (next == 0 || next == 43 || next == 60); i++) {
		uint32_t n;

		next = rd_u8(r);
		n = 8 + rd_u8(r) * 8u;
		rd_span(r, n - 2);
		if (r->bad || n > left)
			return PACKET_OTHER;
		left -= n;
	}
	if (next == 44)
		return PACKET_FRAGMENT;
	return next == IPPROTO_TCP_ ? decode_tcp(r, left, s) : PACKET_OTHER;
}

enum packet_kind packet_decode(uint32_t link, struct span data, uint32_t size, struct segment *ret)
{
	const struct link *l = find_link(link);
	struct segment s = {0};
	struct rd r = rd_of(data);
	enum packet_kind kind = PACKET_OTHER;
	size_t header;

	if (!l || !skip_link(l, &r) || !rd_left(&r))
		return PACKET_OTHER;
	header = (size_t)(r.p - data.p);
	size = size > header ? size - (uint32_t)header : 0;
	if (r.p[0] >> 4 == 4)
		kind = decode_v4(&r, size, &s);
	else if (r.p[0] >> 4 == 6)
		kind = decode_v6(&r, size, &s);
	*ret = s;
	return kind;
}
