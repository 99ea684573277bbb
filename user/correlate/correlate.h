/*
 * From operations to messages with a life: which deliveries are the message of which send (identity), where
 * each copy stands (settlement, routing, dead letters), and what caused what (links, flows).
 * facts/causality.md gives the theory.
 *
 * Bounded: `max_messages` are kept in memory, settled ones leave first; what leaves unsettled is counted.
 * Deterministic: the same operations in the same order give the same rows; time comes from the operations and
 * ticks.
 */
#ifndef EVTRACE_CORRELATE_CORRELATE_H
#define EVTRACE_CORRELATE_CORRELATE_H

#include "correlate/record.h"

struct correlator_opts {
	struct record_ids next;
	size_t max_messages; /* 0: 1 000 000 */
};

struct correlator;

struct correlator *correlator__new(const struct correlator_opts *opts, const struct record_sink *out);
void correlator__free(struct correlator *c);

/* What an earlier session left in the store: open messages with their copies, topology. Before the first
 * operation. */
int correlator__restore_message(struct correlator *c, const struct message_rec *m);
int correlator__restore_copy(struct correlator *c, const struct copy_rec *r);
int correlator__restore_broker(struct correlator *c, const struct broker_rec *r);
int correlator__restore_exchange(struct correlator *c, const struct exchange_rec *r);
int correlator__restore_queue(struct correlator *c, const struct queue_rec *r);
int correlator__restore_binding(struct correlator *c, const struct binding_rec *r);

int correlator__proc(struct correlator *c, const struct proc_info *p, int64_t ts_ns);
int correlator__proc_exit(struct correlator *c, uint32_t pid, int64_t ts_ns, int exit_code);
int correlator__conn(
	struct correlator *c, const struct conn *conn, const struct proto *p, enum conn_state st);
int correlator__op(struct correlator *c, const struct op *op, const struct conn *conn);
int correlator__gap(struct correlator *c, const struct conn *conn /* may be NULL */, enum flowdir d,
	uint64_t bytes, uint64_t records, const char *reason, int64_t ts_ns);
/* Time went on without an operation. */
int correlator__tick(struct correlator *c, int64_t ts_ns);
/* Gives every changed row to the sink. */
int correlator__flush(struct correlator *c);
/* Nothing more will come: decides what causes it can of what still waits for evidence, and flushes. */
int correlator__finish(struct correlator *c);

struct correlator_stats {
	uint64_t messages, operations, links, evicted_open, live;
};
void correlator__stats(const struct correlator *c, struct correlator_stats *ret);

const char *state_name(enum msg_state s); /* "dead-lettered" */
/* Of a message, with its MSGF_*: a "returned" one may be "refused" or "aborted". */
const char *message_state_name(enum msg_state s, uint32_t flags);
int state_from_name(struct span name);        /* -EINVAL */
const char *link_kind_name(enum link_kind k); /* "caused-by" */
const char *settle_name(enum settle s);       /* "ack" */
const char *op_kind_name(enum op_kind k);     /* "receive" */

#endif
