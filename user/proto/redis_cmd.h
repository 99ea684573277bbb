/* The commands that a Redis client sends, as far as it matters which one. */
#ifndef EVTRACE_PROTO_REDIS_CMD_H
#define EVTRACE_PROTO_REDIS_CMD_H

#include "base/span.h"

enum rcmd {
	RC_UNKNOWN, /* no command of redis' own: a module's, or none */
	RC_PLAIN,   /* no message */
	RC_GIVE_UP, /* turns the connection into something else: replication, MONITOR */
	RC_AUTH,
	RC_HELLO,
	RC_SELECT,
	RC_RESET,
	RC_CLIENT,
	RC_CONFIG,
	RC_ACL,
	RC_MIGRATE,
	RC_PING,
	RC_MULTI,
	RC_EXEC,
	RC_DISCARD,
	RC_SUBSCRIBE,
	RC_PSUBSCRIBE,
	RC_SSUBSCRIBE,
	RC_UNSUBSCRIBE,
	RC_PUNSUBSCRIBE,
	RC_SUNSUBSCRIBE,
	RC_PUBLISH,
	RC_SPUBLISH,
	RC_XADD,
	RC_XREAD,
	RC_XREADGROUP,
	RC_XACK,
	RC_XACKDEL,
	RC_XCLAIM,
	RC_XAUTOCLAIM,
	RC_XDEL,
	RC_XDELEX,
	RC_XTRIM,
	RC_XGROUP,
	RC_XPENDING,
	RC_LPUSH, /* RPUSH, too: where in the list does not matter */
	RC_LPUSHX,
	RC_LINSERT,
	RC_LPOP,
	RC_BLPOP,
	RC_LMPOP,
	RC_BLMPOP,
	RC_LMOVE, /* all four that move */
	RC_LREM,
	RC_LTRIM, /* from here on: what takes away without handing it to anybody */
	RC_DEL,
	RC_FLUSH,
	RC_SWAPDB,
	RC_RENAME, /* MOVE, too: to another database */
	RC_EXPIRE, /* all four, and PERSIST */
	RC_ZREMRANGE,
	RC_ZADD,
	RC_ZPOP,
	RC_BZPOP,
	RC_ZMPOP,
	RC_BZMPOP,
	RC_ZREM,
	RC_HSET,
	RC_HGET,
	RC_HDEL,
	RC_EVAL, /* and EVALSHA, FCALL */
};

#define CMD_ARGS   1 /* its arguments are wanted */
#define CMD_REPLY  2 /* its reply is wanted as a whole, not only what kind it is */
#define CMD_NO_TX  4 /* runs at once, also inside of MULTI */
#define CMD_SECRET 8 /* may carry one */

struct rcmd_def {
	const char *name; /* upper case */
	enum rcmd id;
	unsigned flags;
};

/* NULL: unknown. Case does not matter. */
const struct rcmd_def *rcmd_find(struct span word);
/* A name as commands of modules have ("FT.SEARCH", "JSON.SET"). */
bool rcmd_plausible(struct span word);
/* The beginning of the name of one that we know. */
bool rcmd_begins(struct span word);

#endif
