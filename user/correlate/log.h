/* Between log.c, which names messages, and group.c, which knows who reads them. */
#ifndef EVTRACE_CORRELATE_LOG_H
#define EVTRACE_CORRELATE_LOG_H

#include "correlate/model.h"

/* What a group reads: a Kafka topic, which has a journal a partition; elsewhere the journal is the whole. */
struct span topic_name(const struct op *op);
/* *ret with a reference. */
int topic_get(struct correlator *c, struct space *s, struct span name, struct topic **ret);
void topic_put(struct correlator *c, struct topic *t);
struct journal *journal_find(struct correlator *c, struct space *s, struct span name);
/* "1047", "1526919030474-55": comparable; false: what is not of this form has no order. */
bool read_mid(struct span s, uint64_t ret[2]);
/* Does @m come before the position? Where the order is not known it does not. */
bool before(const struct message *m, const uint64_t at[2]);
/* The topic or stream is gone with all that was in it. */
void topic_gone(struct correlator *c, struct opctx *x);

#endif
