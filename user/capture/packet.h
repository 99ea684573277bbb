/* One TCP segment out of a captured packet. */
#ifndef EVTRACE_CAPTURE_PACKET_H
#define EVTRACE_CAPTURE_PACKET_H

#include "base/span.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

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
	PACKET_FRAGMENT, /* of an IP packet with TCP */
	PACKET_CUT,      /* TCP, but its header was not captured as a whole */
};

/* Link types (DLT, LINKTYPE_) that can be read. */
bool packet_link_known(uint32_t link);
/* @size: of the packet on the wire; @data: what was captured of it. */
enum packet_kind packet_decode(uint32_t link, struct span data, uint32_t size, struct segment *ret);

#endif
