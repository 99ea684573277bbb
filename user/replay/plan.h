/*
 * What a replay would do, message by message, before anything is done: where each would go and why there,
 * what changes about it, why it may not be sent, and what an operator should know first.
 */
#ifndef EVTRACE_REPLAY_PLAN_H
#define EVTRACE_REPLAY_PLAN_H

#include "query/message.h"
#include "replay/replayer.h"

enum plan_why {
	PLAN_OWN,     /* the message's own exchange and routing key */
	PLAN_HEADERS, /* where it was first published, by headers that dead-lettering left */
	PLAN_LINK,    /* where the message was published of which it is the dead-lettered copy */
	PLAN_GIVEN,   /* --to */
};

/* All texts are "" where there is nothing to say. */
struct plan_item {
	uint64_t id;
	uint64_t original; /* the message of which it is a dead-lettered copy, 0 none */
	uint64_t chain;    /* the same for all dead letters and replays of one message */
	const struct replayer *replayer;
	uint64_t payload, body_size;
	enum plan_why why;
	enum dest dest;
	char *broker, *vhost, *exchange, *routing_key;
	char *log;        /* where the message itself is kept, see enum dest; "" not known */
	struct buf from;  /* the queues where it is, one a line */
	struct buf gone;  /* headers left out, one a line */
	struct buf notes; /* one a line */
	char *refusal;    /* why it is not sent; NULL: it is */
};

struct plan {
	struct plan_item *items; /* oldest first: the order of sending */
	size_t n, refused;
};

struct plan_opts {
	bool again;                 /* send what was sent before, itself or as another of its chain */
	const char *to;             /* --to; NULL: as found */
	const char *broker, *vhost; /* NULL: as found */
};

/* -EINVAL: @o names a place that is none for these messages. */
int plan__new(struct store *s, const uint64_t *ids, size_t n, const struct plan_opts *o, struct plan **ret,
	struct err *e);
void plan__free(struct plan *p);

struct replay_place plan_place(const struct plan_item *i);

/* The envelope and the body to send, valid until the next call on @s. @mark: "m42.TOKEN". */
int plan_payload(struct store *s, const struct plan_item *i, struct span mark, struct buf *ret_envelope,
	struct span *ret_body, struct err *e);

#endif
