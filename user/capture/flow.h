/* Between flows.c, which finds the flow of a segment, and flow.c, which gives its bytes to the sink in turn.
 */
#ifndef EVTRACE_CAPTURE_FLOW_H
#define EVTRACE_CAPTURE_FLOW_H

#include "capture/covered.h"
#include "capture/held.h"
#include "capture/packet.h"

#define ACK_MAX (1LL << 30) /* RFC 7323: the largest window; further ahead an acknowledgement is nonsense */
#define ORIGIN                                                                                               \
	(1ULL << 32) /* positions start this high: what was sent before the first segment seen has room */

struct addr {
	uint8_t ip[16];
	uint16_t port, family;
};

/* What is known of the bytes that one side sends. */
struct way {
	bool begun;  /* `begin` is the position of its first byte, not of the first one seen */
	bool placed; /* `last` holds */
	bool fin;    /* FIN or RST was seen */
	bool ended;  /* by a FIN, which stands at `end` */
	uint64_t begin, end;
	uint64_t last;   /* highest position so far, for the upper half of the next one */
	uint64_t acked;  /* the other side has got all before it; 0 not known */
	uint64_t due;    /* `acked` when flow_mark() was called */
	uint64_t waived; /* nothing that acknowledges no more than this is held back for it */
	struct covered seen;
};

/* Side 0 is the one whose endpoint it is: it writes what goes from 0 to 1. */
struct flow {
	struct list list;
	struct list missing; /* flows.missing, when bytes are acknowledged and not seen */
	struct list unsure;  /* flows.unsure, when it has something to give in turn with others */
	uint64_t key, id;
	struct addr addr[2];
	bool role_known, opened, ending, by_peer, crossed;
	bool gone; /* closed: only repetitions of its segments may come */
	struct way way[2];
	struct held_list held;
	int64_t first_ns, end_ns, missing_ns;
};

/* The position that @seq means: the one nearest to where this side's bytes are. */
uint64_t way_position(const struct way *y, uint32_t seq);
/* Before a flow is opened: bytes of this side stand at @pos, so that it began there at the latest. */
void flow_reaches(struct flow *w, int side, uint64_t pos);
/* Side 0 becomes side 1; it is not opened yet. */
void flow_swap(struct flow *w);
/* Bytes come to the sink behind those that they answer, which may still be on their way into the capture or
 * never come, and not before it is clear where the flow begins: until then they are held back.
 * @later: in any case, flow_release() will be called. */
int flow_give(struct flow *w, int side, const struct segment *s, const struct chunk *c, bool later,
	const struct sink *k);
/* Opens it, if it has anything held back, as what was seen of it tells. */
int flow_open(struct flow *w, const struct sink *k);
/* Gives what need not be held back and was captured no later than number @nth. */
int flow_release(struct flow *w, uint64_t nth, const struct sink *k);
/* Opens it if its beginning is known, and gives what need not be held back. */
int flow_go_on(struct flow *w, bool later, const struct sink *k);
/* Something is held back, or was acknowledged and not seen: flow_tell_due() or more has to be called later.
 */
bool flow_waits(const struct flow *w);
/* What it waits for now will be due. */
void flow_mark(struct flow *w);
/* Tells as missing what has not come since flow_mark(), and gives what waited for it. False in @ret_more: it
 * waits for nothing else. */
int flow_tell_due(struct flow *w, const struct sink *k, int64_t ts_ns, bool *ret_more);
/* Gives all that is held back, telling what is missing before it. */
int flow_give_all(struct flow *w, const struct sink *k, int64_t ts_ns);
/* That, and whatever else is missing. @closed: nothing more will come of it, acknowledged or not. */
int flow_tell_all(struct flow *w, bool closed, const struct sink *k, int64_t ts_ns);

#endif
