/*
 * From TCP segments to what a source gives: one endpoint a flow, that of the side which sent the SYN, else
 * of the first side seen; both directions belong to it.
 *
 * Order, repetitions and overlaps are stream's business: positions come from sequence numbers, and of bytes
 * that come twice the first ones count. What is here is what only segments can tell: where a connection
 * begins and ends, probes that keep it alive, and bytes that the other side has acknowledged although they
 * are not in the capture. Those are told as lost a second later; a hole that nobody has acknowledged yet will
 * be filled by a retransmission.
 */
#ifndef EVTRACE_CAPTURE_FLOWS_H
#define EVTRACE_CAPTURE_FLOWS_H

#include "capture/packet.h"
#include "capture/sink.h"

struct flows;

struct flows *flows__new(void);
void flows__free(struct flows *f); /* NULL is fine */
/* A packet of the capture. Returns 0, -ENOMEM, or what the sink returned. */
int flows_packet(struct flows *f, const struct sink *sink, int64_t ts_ns, uint32_t link, struct span data,
	uint32_t size);
/* Nothing has come for a while; it is @ts_ns now. */
int flows_idle(struct flows *f, const struct sink *sink, int64_t ts_ns);
/* At the end of the capture: ends the flows whose end was seen. */
int flows_end(struct flows *f, const struct sink *sink);

#endif
