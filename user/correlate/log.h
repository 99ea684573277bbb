/* Between log.c, which names messages, group.c and member.c, which know who reads them, and rename.c. */
#ifndef EVTRACE_CORRELATE_LOG_H
#define EVTRACE_CORRELATE_LOG_H

#include "correlate/model.h"

/* What a group reads: a Kafka topic, which has a journal a partition; elsewhere the journal is the whole. */
struct span topic_name(const struct op *op);
/* *ret with a reference. */
int topic_get(struct correlator *c, struct space *s, struct span name, struct topic **ret);
void topic_put(struct correlator *c, struct topic *t);
struct topic *topic_find(struct correlator *c, struct space *s, struct span name);
struct journal *journal_find(struct correlator *c, struct space *s, struct span name);
void journal_put(struct correlator *c, struct journal *j);
/* "1047", "1526919030474-55": comparable; false: what is not of this form has no order. */
bool read_mid(struct span s, uint64_t ret[2]);
/* Does @m come before the position? Where the order is not known it does not. */
bool before(const struct message *m, const uint64_t at[2]);
/* All that was sent to it until then is gone, or may be. */
void topic_empty(struct correlator *c, struct topic *t, int64_t ts_ns, bool unsure);
/* The topic or stream is gone with all that was in it. */
void topic_gone(struct correlator *c, struct opctx *x);

/* group.c */
/* The group's queue. @filter: what of the topic it gets; empty: not known, so nothing is due to it. */
int group_get(struct correlator *c, struct space *s, struct span topic, struct span group, struct span filter,
	struct queue **ret);
/* As the operation names it. JetStream has consumers that see a part of their stream. */
int group_of(struct correlator *c, struct opctx *x, struct queue **ret);

/* member.c */
int member_joined(struct correlator *c, struct opctx *x, struct queue *q);
void member_left(struct correlator *c, struct opctx *x, struct queue *q);
int members_renamed(struct correlator *c, struct topic *from, struct topic *to);

/* cluster.c */
/* A group's position, told to one server, follows from what another one handed out: they are one broker's. */
int cluster_by_position(struct correlator *c, struct opctx *x);

/* rename.c */
/* A topic is declared; its argument "id" is what it was called as long as its name was not known. 1: there is
 * more to do. */
int log_declared(struct correlator *c, struct opctx *x);
/* The vhost @from of one server is @to of another one: both are of one broker. */
int log_space_joined(struct correlator *c, struct space *from, struct space *to);
/* The same group at the topic @to. */
int group_renamed(struct correlator *c, struct queue *q, struct topic *to, struct queue **ret);

#endif
