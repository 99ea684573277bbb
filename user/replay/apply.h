/*
 * Carries a plan out: one message after the other, each noted in the table `replay` before it is sent and
 * after. Stops at the first that the broker does not confirm.
 */
#ifndef EVTRACE_REPLAY_APPLY_H
#define EVTRACE_REPLAY_APPLY_H

#include "replay/credentials.h"
#include "replay/plan.h"

struct apply_opts {
	const char *credentials; /* a file, or NULL */
	const char *who, *why;
	double rate;    /* messages a second; 0: no limit */
	int timeout_ms; /* for each answer of the broker; 0: 10 s */
	void *ctx;
	/* After each: what came of it. @token is the value of the mark. */
	void (*done)(void *ctx, const struct plan_item *i, const char *token, enum replay_outcome o,
		const struct replay_receipt *receipt, const struct err *why);
	bool (*stop)(void *ctx); /* asked before each; may be NULL */
};

struct apply_result {
	size_t sent, confirmed; /* confirmed ones are sent, too; what came of the last: */
	enum replay_outcome last;
	bool stopped; /* by stop() */
};

/*
 * Sends what the plan does not refuse. 0 when all were confirmed or stop() said so; -EREMOTEIO with @e saying
 * what the broker answered; errors of the store, of the credentials, or of the connection, before anything
 * more is sent.
 */
int plan_apply(
	struct plan *p, struct store *s, const struct apply_opts *o, struct apply_result *ret, struct err *e);

#endif
