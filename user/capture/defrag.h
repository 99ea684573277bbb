/*
 * Puts IP fragments together (RFC 791, RFC 8200 4.5), in bounded memory. Where fragments overlap, the bytes
 * that came first count in IPv4; in IPv6 the whole packet is given up (RFC 5722).
 */
#ifndef EVTRACE_CAPTURE_DEFRAG_H
#define EVTRACE_CAPTURE_DEFRAG_H

#include "capture/packet.h"

struct defrag;

/* Packets that could not be put together since the last call of defrag_lost(). */
struct defrag_lost {
	uint64_t packets, bytes;
};

struct defrag *defrag__new(void);
void defrag__free(struct defrag *f); /* NULL is fine */
/* 1: *@d is the whole datagram now, valid until the next call; 0: something is missing, or it came before;
 * -ENOMEM. */
int defrag_add(struct defrag *f, int64_t ts_ns, struct datagram *d);
/* Gives up on what waits for longer than a packet travels; on all, with INT64_MAX. */
void defrag_tick(struct defrag *f, int64_t ts_ns);
struct defrag_lost defrag_lost(struct defrag *f);

#endif
