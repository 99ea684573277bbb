/*
 * What `evtrace replay` noted of its acts (table `replay`), from both sides: of a copy that it sent, who sent
 * it and why; of any message, whether it, or what it came from or became, was sent again.
 */
#ifndef EVTRACE_QUERY_REPLAYS_H
#define EVTRACE_QUERY_REPLAYS_H

#include "query/message.h"

struct replay_note {
	int64_t id; /* of its row; 0: nothing is noted, only the link of the copy tells */
	int64_t ts_ns;
	uint64_t of;          /* what was sent again */
	uint64_t copy;        /* as what it was seen; 0 not seen */
	enum msg_state state; /* of the copy */
	bool before;          /* the message that was asked about came out of that replay */
	char who[64], why[200];
	char result[128]; /* as of replay/audit.h; "" when nothing is noted */
};

/* A result that says that the server has it, with or without a confirmation. */
bool replay_arrived(const char *result);

/* The act that sent @m: its header's token names the row, or its place in the broker's log. 1 found; 0;
 * -errno. */
int find_replay(struct loader *l, struct msg *m, struct replay_note *ret, struct err *e);

/*
 * The last act on @message or any other of its chain: what dead-lettering and replays made of one message.
 * Acts that may have reached the broker count, those that surely did not are left out. *ret_first (may be
 * NULL) is the chain's lowest id, the same for all of it. 1 found; 0; -errno.
 */
int last_replay(
	struct loader *l, uint64_t message, struct replay_note *ret, uint64_t *ret_first, struct err *e);

/*
 * Copies without a mark (an entry of a Redis stream has none) are known by the name that the broker gave them
 * when it confirmed: links that no recorder could see. *ret: there are such acts. replay_links() calls @fn
 * for each that @m is source or target of; its errors end it.
 */
int replays_named(struct store *s, bool *ret, struct err *e);
int replay_links(struct store *s, const struct msg *m,
	int (*fn)(void *ctx, uint64_t src, uint64_t dst, struct err *e), void *ctx, struct err *e);

#endif
