/* One message with all that the catalogue knows of it: its copies and its links, for verdicts, trees and
 * `show`. */
#ifndef EVTRACE_QUERY_MESSAGE_H
#define EVTRACE_QUERY_MESSAGE_H

#include "query/catalogue.h"
#include "query/query.h"

/* A message with more copies or links than these is shown with the first of them; `more` tells. */
#define MSG_MAX_COPIES 4096
#define MSG_MAX_LINKS  4096

struct msg_copy {
	uint64_t id;
	const char *queue; /* "" not known */
	enum msg_state state;
	enum copy_source source;
	enum settle settle;
	int64_t queued_ns, first_delivered_ns, delivered_ns, settled_ns;
	uint32_t deliveries;
	const struct who *consumer; /* who had it last; NULL nobody seen; pid 0: only an address */
	uint64_t dead_letter;
};

struct msg_link {
	uint64_t id, src, dst;
	enum link_kind kind;
	double confidence;
	char *evidence;
};

struct msg {
	struct row row; /* without payload: that is read when asked for */
	uint64_t broker;
	int64_t sent_ns, first_ns;
	const struct who *sender; /* NULL: nothing known; pid 0: only its address */
	uint32_t tid, channel;
	uint64_t connection;
	enum routes routes;
	uint32_t one_of, code;
	struct msg_copy *copies;
	size_t copies_n;
	struct msg_link *links; /* of which it is source or target */
	size_t links_n;
	bool more;
	const char *names[2 * 64]; /* behind row.queue_list and row.dead_list */
};

struct loader;

int loader__new(struct store *s, struct loader **ret, struct err *e);
/* Frees every message that it has loaded, too. */
void loader__free(struct loader *l);
struct store *loader_store(struct loader *l);
struct names *loader_names(struct loader *l);
/* The same pointer for the same id. -ENOENT. */
int loader_get(struct loader *l, uint64_t id, struct msg **ret, struct err *e);
/* Reads envelope and body into m->row. 0 without one; errors as of store_payload(). */
int loader_payload(struct loader *l, struct msg *m, struct err *e);

/* What was done with a message, in the order of time. */
struct msg_op {
	uint64_t id; /* 0: no call of its own, a group's position went past it (OPF_UP_TO) */
	uint64_t copy, connection, tag, pos, len;
	enum op_kind kind;
	enum settle settle;
	uint32_t flags, tid, channel, code;
	int64_t ts_ns;
	const struct who *who;
	struct span text; /* valid for the call */
};
/* The first @max; calls @fn for each. Returns how many there were, up to @max + 1, or -errno. */
int loader_operations(struct loader *l, const struct msg *m, unsigned max,
	void (*fn)(void *ctx, const struct msg_op *op), void *ctx, struct err *e);

/* The keys with which @queue is bound to the exchange that @m was sent to, directly. Count, or -errno. */
int loader_bindings(struct loader *l, const struct msg *m, const char *queue,
	void (*fn)(void *ctx, struct span key), void *ctx, struct err *e);

/* Identifiers found in the message. */
int loader_identifiers(struct loader *l, const struct msg *m,
	void (*fn)(void *ctx, const char *name, struct span value, enum place place), void *ctx,
	struct err *e);

#endif
