/* Every queue at a glance: what came and went, what waits, who takes it and how long that lasts. */
#ifndef EVTRACE_QUERY_QUEUES_H
#define EVTRACE_QUERY_QUEUES_H

#include "query/catalogue.h"
#include "query/query.h"

#define QUEUES_MAX       10000 /* queues in one answer */
#define QUEUES_WINDOW_NS 60000000000LL
#define QUEUE_SERVICES   4 /* of its consumers, named */

struct queue_row {
	const char *name, *vhost, *broker;
	bool deleted;
	bool no_group; /* a topic or stream that no group is known to read: what waits is what it keeps */
	struct watched watched; /* of its broker: as of its end all this holds */
	uint64_t in, out;       /* copies that came, and that were settled, within the window */
	double window_s;
	uint64_t waiting, unsettled, redelivered, dead;
	int64_t oldest_ns;  /* since when the oldest waits, 0 none */
	unsigned consumers; /* subscriptions that were not seen to end */
	bool had_consumers; /* somebody took something, ever */
	bool had_unnamed; /* a client did of which only the address is known, or not even that: a capture's */
	unsigned takers;  /* without any: processes that took something within the window and still run */
	bool idle;        /* one took something before, still runs, and may wait there: it cannot subscribe */
	struct {
		const char *service;
		unsigned n;
	} services[QUEUE_SERVICES];
	bool has_queue_time, has_consumer_time;
	int64_t queue_p50, queue_p99;       /* from queued to delivered */
	int64_t consumer_p50, consumer_p99; /* from delivered to settled */
};

struct queues {
	struct queue_row *rows; /* by name */
	size_t n;
	bool more;
	uint64_t copies; /* looked at */
};

struct queues_opts {
	const struct coverage *coverage;
	int64_t now_ns;
	int64_t from_ns, to_ns; /* what rates are over; 0: the last minute that the broker was watched */
	bool (*tick)(void *ctx, uint64_t copies);
	void *ctx;
};

/* -EINTR when tick() ended it. */
int queues__new(struct store *s, const struct queues_opts *o, struct queues **ret, struct err *e);
void queues__free(struct queues *q);

#endif
