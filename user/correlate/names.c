/* Names of persisted enums, as commands, queries and JSON spell them. */
#include <errno.h>

#include "correlate/correlate.h"

static const char *const states[] = {
	[STATE_UNKNOWN] = "unknown",
	[STATE_SENT] = "sent",
	[STATE_CONFIRMED] = "confirmed",
	[STATE_RETURNED] = "returned",
	[STATE_QUEUED] = "queued",
	[STATE_DELIVERED] = "delivered",
	[STATE_ACKED] = "acked",
	[STATE_REQUEUED] = "requeued",
	[STATE_REJECTED] = "rejected",
	[STATE_DEAD_LETTERED] = "dead-lettered",
	[STATE_EXPIRED] = "expired",
	[STATE_PURGED] = "purged",
};

static const char *const link_kinds[] = {
	[LINK_CAUSED_BY] = "caused-by",
	[LINK_REPLY_TO] = "reply-to",
	[LINK_RETRY_OF] = "retry-of",
	[LINK_DEAD_LETTER_OF] = "dead-letter-of",
	[LINK_REPLAY_OF] = "replay-of",
	[LINK_SAME_FLOW] = "same-flow",
};

static const char *const settles[] = {
	[SETTLE_NONE] = "none",
	[SETTLE_ACK] = "ack",
	[SETTLE_REQUEUE] = "requeue",
	[SETTLE_REJECT] = "reject",
	[SETTLE_AUTO] = "auto",
	[SETTLE_LOST] = "lost",
	[SETTLE_PROGRESS] = "progress",
};

static const char *const op_kinds[] = {
	[OP_SEND] = "send",
	[OP_CONFIRM] = "confirm",
	[OP_RETURN] = "return",
	[OP_RECEIVE] = "receive",
	[OP_SETTLE] = "settle",
	[OP_DELETE] = "delete",
	[OP_EXCHANGE_DECLARE] = "exchange-declare",
	[OP_EXCHANGE_DELETE] = "exchange-delete",
	[OP_EXCHANGE_BIND] = "exchange-bind",
	[OP_EXCHANGE_UNBIND] = "exchange-unbind",
	[OP_QUEUE_DECLARE] = "queue-declare",
	[OP_QUEUE_DELETE] = "queue-delete",
	[OP_QUEUE_BIND] = "queue-bind",
	[OP_QUEUE_UNBIND] = "queue-unbind",
	[OP_QUEUE_PURGE] = "queue-purge",
	[OP_SUBSCRIBE] = "subscribe",
	[OP_UNSUBSCRIBE] = "unsubscribe",
	[OP_ERROR] = "error",
	[OP_LOGIN] = "login",
	[OP_CLUSTER] = "cluster",
};

/* A number from an older or newer store may be in no table. */
static const char *name_in(const char *const *table, size_t n, unsigned i)
{
	return i < n && table[i] ? table[i] : "unknown";
}

const char *state_name(enum msg_state s)
{
	return name_in(states, ARRAY_LEN(states), s);
}

const char *message_state_name(enum msg_state s, uint32_t flags)
{
	if (s == STATE_RETURNED && flags & MSGF_REFUSED)
		return flags & MSGF_ABORTED ? "aborted" : "refused";
	return state_name(s);
}

int state_from_name(struct span name)
{
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (span_is(name, states[i]))
			return (int)i;
	return -EINVAL;
}

const char *link_kind_name(enum link_kind k)
{
	return name_in(link_kinds, ARRAY_LEN(link_kinds), k);
}

const char *settle_name(enum settle s)
{
	return name_in(settles, ARRAY_LEN(settles), s);
}

const char *op_kind_name(enum op_kind k)
{
	return name_in(op_kinds, ARRAY_LEN(op_kinds), k);
}
