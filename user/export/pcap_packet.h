/* Blocks of a pcapng file, and IP packets with a TCP segment in them. */
#ifndef EVTRACE_EXPORT_PCAP_PACKET_H
#define EVTRACE_EXPORT_PCAP_PACKET_H

#include "base/buf.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_PSH 0x08
#define TCP_ACK 0x10

struct tcp_end {
	uint8_t addr[16]; /* IPv4 in the first four bytes */
	uint16_t port;
};

struct tcp_packet {
	bool v6;
	const struct tcp_end *from, *to;
	uint32_t seq, ack;
	uint16_t id; /* of the IPv4 header */
	uint8_t flags;
	struct span data; /* tcp_mss() bytes at most */
};

size_t tcp_mss(bool v6);
/* Appends an IP packet with correct checksums. */
void put_tcp(struct buf *b, const struct tcp_packet *p);

/* A section with one interface: raw IP, nanoseconds. */
void put_section(struct buf *b, const char *program, const char *comment);
/* A packet that is in @packet; @comment may be "". */
void put_packet(struct buf *b, int64_t ts_ns, struct span packet, const char *comment);

#endif
