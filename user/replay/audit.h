/*
 * The table `replay`: one row an act, written 'sending' before a byte leaves and completed after. What a
 * crash leaves at 'sending' may have arrived, and counts as replayed. query/replays.h reads it.
 *
 * result: 'sending' · 'confirmed', 'confirmed: WHAT' · 'sent: WHAT' (the server read it, its protocol
 * confirms no more) · 'returned: WHY' · 'refused: WHY' · 'failed: WHY' (it did not arrive) · 'unknown: WHY'
 * (it may have)
 */
#ifndef EVTRACE_REPLAY_AUDIT_H
#define EVTRACE_REPLAY_AUDIT_H

#include "replay/replayer.h"
#include "store/store.h"

struct audit_act {
	uint64_t message;
	const char *who, *why; /* why may be NULL */
	const char *broker, *exchange, *routing_key;
	const char *token;
};

/* Durable when it returns. @s was opened writable. */
int audit_begin(struct store *s, const struct audit_act *act, int64_t *ret_row, struct err *e);
int audit_end(struct store *s, int64_t row, enum replay_outcome o, const struct replay_receipt *r,
	const struct err *why, struct err *e);

/* "confirmed", "returned" ...: the first word of `result`. */
const char *outcome_word(enum replay_outcome o);
/* Who runs this: SUDO_USER, else the login name of the user id. */
void audit_who(char *out, size_t n);

#endif
