/* One TCP segment out of a captured packet. */
#ifndef EVTRACE_CAPTURE_PACKET_H
#define EVTRACE_CAPTURE_PACKET_H

#include "base/span.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10

/* What an IP packet carries, or the part of it that a fragment carries. */
struct datagram {
	uint16_t family;
	uint8_t src[16], dst[16]; /* IPv4 in the first four bytes */
	uint8_t next;             /* protocol, or IPv6 extension header, that `data` begins with */
	struct span data;         /* what was captured of it */
	uint32_t size;            /* of it on the wire */
	/* fragments: */
	uint32_t id, offset;
	bool more;
};

struct segment {
	uint16_t family;
	uint8_t src[16], dst[16];
	uint16_t src_port, dst_port;
	uint32_t seq, ack;
	uint8_t flags;
	uint32_t len;     /* of the payload on the wire */
	struct span data; /* what was captured of it: data.n <= len */
};

enum packet_kind {
	PACKET_TCP,
	PACKET_OTHER,    /* no TCP */
	PACKET_FRAGMENT, /* of an IP packet that may hold TCP: *ret_datagram */
	PACKET_CUT,      /* TCP, but its header was not captured as a whole */
};

/* Link types (DLT, LINKTYPE_) that can be read. */
bool packet_link_known(uint32_t link);
/* @size: of the packet on the wire; @data: what was captured of it. */
enum packet_kind packet_decode(
	uint32_t link, struct span data, uint32_t size, struct datagram *ret_datagram, struct segment *ret);
/* The same for a datagram that was put together from fragments. */
enum packet_kind packet_decode_whole(const struct datagram *d, struct segment *ret);

#endif
