/*
 * Where is a message now, in whose hands, and how do we know? One verdict for each copy, and one for a
 * message that has none. Facts only; the sentences are cmd/sentence.c's.
 */
#ifndef EVTRACE_QUERY_VERDICT_H
#define EVTRACE_QUERY_VERDICT_H

#include "query/message.h"
#include "query/replays.h"

enum standing {
	STANDS_UNKNOWN,
	STANDS_WAITING,
	STANDS_DELIVERED, /* and not settled */
	STANDS_DONE,
	STANDS_REJECTED, /* and it is not known that it went on from there */
	STANDS_DEAD_LETTERED,
	STANDS_RETRIED, /* dead-lettered, and from there back to where it is worked on, or rejected and
			   sent there again: `end` says how that went */
	STANDS_EXPIRED,
	STANDS_PURGED,
	/* of a message without copies; STANDS_ON_ITS_WAY of one that a group reads, too */
	STANDS_RETURNED,
	STANDS_REFUSED,    /* negative confirm */
	STANDS_DROPPED,    /* it reached no queue: nothing is bound for it */
	STANDS_ON_ITS_WAY, /* sent, and nothing more was seen */
	STANDS_NOT_SEEN,   /* the broker has it; where it put it was not seen */
	STANDS_KEPT,       /* in its topic or stream, of which no group is known to read */
};

/* What is known of a dead-letter exchange when a copy was rejected. */
enum dead_target {
	DEAD_TARGET_UNKNOWN, /* the queue's declaration was not seen */
	DEAD_TARGET_NONE,
	DEAD_TARGET_DECLARED,
};

#define AHEAD_MAX 100000 /* counted up to here */

struct finding {
	enum standing kind;
	const struct msg *message;
	const struct msg_copy *copy; /* NULL: of the message */
	int64_t since_ns;            /* of the state it is in; 0 not known */
	struct watched watched;      /* as of its end all this holds */
	/* STANDS_WAITING; STANDS_ON_ITS_WAY of a copy */
	uint64_t ahead;         /* earlier in the same queue and still there; AHEAD_MAX: or more */
	int64_t queue_taken_ns; /* when something was last taken from it, 0 never while watching */
	const struct who *queue_taken_by;
	unsigned consumers;         /* subscriptions to the queue that were not seen to end */
	const struct who *consumer; /* one of them */
	/* and in a topic or stream: the newest message before it that the group has settled, and the newest
	 * that it has taken; "" none was seen */
	char settled_mid[48], taken_mid[48];
	/* STANDS_DEAD_LETTERED, STANDS_RETRIED */
	struct msg *dead;              /* what it became; NULL: not seen */
	const struct msg *end_message; /* the last that became of it, and its copy */
	const struct msg_copy *end;
	char reason[24];   /* the broker's word: rejected, expired, maxlen, delivery_limit; "" not seen */
	char refusal[160]; /* STANDS_REFUSED: the broker's words, "" none */
	/* STANDS_REJECTED */
	enum dead_target target;
	/* what went wrong, or waits as a dead letter */
	bool replayed;
	struct replay_note replay;
};

struct judge; /* remembers what it found out about queues */

int judge__new(struct loader *l, const struct coverage *c, int64_t now_ns, struct judge **ret, struct err *e);
void judge__free(struct judge *j);
int judge_watched(struct judge *j, const struct msg *m, struct watched *ret, struct err *e);
int judge_copy(
	struct judge *j, const struct msg *m, const struct msg_copy *c, struct finding *ret, struct err *e);
/* Of a message without copies. */
int judge_message(struct judge *j, const struct msg *m, struct finding *ret, struct err *e);

/*
 * The messages that an answer about @ids speaks of: these and what they caused, oldest first, without the
 * dead-letter copies of messages that are there themselves (their verdicts tell of them). Up to @max;
 * *ret_more: there are more.
 */
struct concerned {
	struct msg *message;
	const struct msg_link *because; /* the strongest link from its cause; NULL: none is known */
	bool asked;
};
int where_subjects(struct loader *l, const uint64_t *ids, size_t n, size_t max, struct concerned *ret,
	size_t *ret_n, bool *ret_more, struct err *e);

#endif
