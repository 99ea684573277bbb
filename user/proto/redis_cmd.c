/* The table of Redis' commands: those that matter with what is wanted of them, all others so that traffic is
 * recognised. */
#include "proto/redis_cmd.h"

#include <stdlib.h>
#include <strings.h>

#define PLAIN(name)                                                                                          \
	{                                                                                                    \
		name, RC_PLAIN, 0                                                                            \
	}
#define ARGS(name, id)                                                                                       \
	{                                                                                                    \
		name, id, CMD_ARGS                                                                           \
	}
#define BOTH(name, id)                                                                                       \
	{                                                                                                    \
		name, id, CMD_ARGS | CMD_REPLY                                                               \
	}
#define NOW(name, id)                                                                                        \
	{                                                                                                    \
		name, id, CMD_ARGS | CMD_NO_TX                                                               \
	}
#define SECRET(name, id)                                                                                     \
	{                                                                                                    \
		name, id, CMD_ARGS | CMD_SECRET                                                              \
	}

/* In order of names: searched by halves. */
static const struct rcmd_def cmds[] = {
	SECRET("ACL", RC_ACL),
	PLAIN("APPEND"),
	PLAIN("ASKING"),
	SECRET("AUTH", RC_AUTH),
	PLAIN("BF.ADD"),
	PLAIN("BF.EXISTS"),
	PLAIN("BGREWRITEAOF"),
	PLAIN("BGSAVE"),
	PLAIN("BITCOUNT"),
	PLAIN("BITFIELD"),
	PLAIN("BITFIELD_RO"),
	PLAIN("BITOP"),
	PLAIN("BITPOS"),
	BOTH("BLMOVE", RC_LMOVE),
	BOTH("BLMPOP", RC_BLMPOP),
	BOTH("BLPOP", RC_BLPOP),
	BOTH("BRPOP", RC_BLPOP),
	BOTH("BRPOPLPUSH", RC_LMOVE),
	BOTH("BZMPOP", RC_BZMPOP),
	BOTH("BZPOPMAX", RC_BZPOP),
	BOTH("BZPOPMIN", RC_BZPOP),
	ARGS("CLIENT", RC_CLIENT),
	PLAIN("CLUSTER"),
	PLAIN("COMMAND"),
	SECRET("CONFIG", RC_CONFIG),
	PLAIN("COPY"),
	PLAIN("DBSIZE"),
	PLAIN("DEBUG"),
	PLAIN("DECR"),
	PLAIN("DECRBY"),
	ARGS("DEL", RC_DEL),
	PLAIN("DELEX"),
	NOW("DISCARD", RC_DISCARD),
	PLAIN("DUMP"),
	PLAIN("ECHO"),
	BOTH("EVAL", RC_EVAL),
	BOTH("EVALSHA", RC_EVAL),
	BOTH("EVALSHA_RO", RC_EVAL),
	BOTH("EVAL_RO", RC_EVAL),
	{"EXEC", RC_EXEC, CMD_ARGS | CMD_REPLY | CMD_NO_TX},
	PLAIN("EXISTS"),
	ARGS("EXPIRE", RC_EXPIRE),
	ARGS("EXPIREAT", RC_EXPIRE),
	PLAIN("EXPIRETIME"),
	PLAIN("FAILOVER"),
	BOTH("FCALL", RC_EVAL),
	BOTH("FCALL_RO", RC_EVAL),
	ARGS("FLUSHALL", RC_FLUSH),
	ARGS("FLUSHDB", RC_FLUSH),
	PLAIN("FT.SEARCH"),
	PLAIN("FUNCTION"),
	PLAIN("GEOADD"),
	PLAIN("GEODIST"),
	PLAIN("GEOHASH"),
	PLAIN("GEOPOS"),
	PLAIN("GEORADIUS"),
	PLAIN("GEORADIUSBYMEMBER"),
	PLAIN("GEORADIUSBYMEMBER_RO"),
	PLAIN("GEORADIUS_RO"),
	PLAIN("GEOSEARCH"),
	PLAIN("GEOSEARCHSTORE"),
	PLAIN("GET"),
	PLAIN("GETBIT"),
	PLAIN("GETDEL"),
	PLAIN("GETEX"),
	PLAIN("GETRANGE"),
	PLAIN("GETSET"),
	ARGS("HDEL", RC_HDEL),
	SECRET("HELLO", RC_HELLO),
	PLAIN("HEXISTS"),
	PLAIN("HEXPIRE"),
	PLAIN("HEXPIREAT"),
	PLAIN("HEXPIRETIME"),
	ARGS("HGET", RC_HGET),
	PLAIN("HGETALL"),
	PLAIN("HGETDEL"),
	PLAIN("HGETEX"),
	PLAIN("HINCRBY"),
	PLAIN("HINCRBYFLOAT"),
	PLAIN("HKEYS"),
	PLAIN("HLEN"),
	PLAIN("HMGET"),
	ARGS("HMSET", RC_HSET),
	PLAIN("HPERSIST"),
	PLAIN("HPEXPIRE"),
	PLAIN("HPEXPIREAT"),
	PLAIN("HPEXPIRETIME"),
	PLAIN("HPTTL"),
	PLAIN("HRANDFIELD"),
	PLAIN("HSCAN"),
	ARGS("HSET", RC_HSET),
	PLAIN("HSETEX"),
	PLAIN("HSETNX"),
	PLAIN("HSTRLEN"),
	PLAIN("HTTL"),
	PLAIN("HVALS"),
	PLAIN("INCR"),
	PLAIN("INCRBY"),
	PLAIN("INCRBYFLOAT"),
	PLAIN("INFO"),
	PLAIN("JSON.GET"),
	PLAIN("JSON.SET"),
	PLAIN("KEYS"),
	PLAIN("LASTSAVE"),
	PLAIN("LATENCY"),
	PLAIN("LCS"),
	PLAIN("LINDEX"),
	ARGS("LINSERT", RC_LINSERT),
	PLAIN("LLEN"),
	BOTH("LMOVE", RC_LMOVE),
	BOTH("LMPOP", RC_LMPOP),
	PLAIN("LOLWUT"),
	BOTH("LPOP", RC_LPOP),
	PLAIN("LPOS"),
	ARGS("LPUSH", RC_LPUSH),
	ARGS("LPUSHX", RC_LPUSHX),
	PLAIN("LRANGE"),
	ARGS("LREM", RC_LREM),
	PLAIN("LSET"),
	ARGS("LTRIM", RC_LTRIM),
	PLAIN("MEMORY"),
	PLAIN("MGET"),
	SECRET("MIGRATE", RC_MIGRATE),
	PLAIN("MODULE"),
	{"MONITOR", RC_GIVE_UP, 0},
	ARGS("MOVE", RC_RENAME),
	PLAIN("MSET"),
	PLAIN("MSETNX"),
	NOW("MULTI", RC_MULTI),
	PLAIN("OBJECT"),
	ARGS("PERSIST", RC_EXPIRE),
	ARGS("PEXPIRE", RC_EXPIRE),
	ARGS("PEXPIREAT", RC_EXPIRE),
	PLAIN("PEXPIRETIME"),
	PLAIN("PFADD"),
	PLAIN("PFCOUNT"),
	PLAIN("PFDEBUG"),
	PLAIN("PFMERGE"),
	PLAIN("PFSELFTEST"),
	{"PING", RC_PING, 0},
	PLAIN("PSETEX"),
	BOTH("PSUBSCRIBE", RC_PSUBSCRIBE),
	{"PSYNC", RC_GIVE_UP, 0},
	PLAIN("PTTL"),
	ARGS("PUBLISH", RC_PUBLISH),
	PLAIN("PUBSUB"),
	BOTH("PUNSUBSCRIBE", RC_PUNSUBSCRIBE),
	{"QUIT", RC_PLAIN, CMD_NO_TX},
	PLAIN("RANDOMKEY"),
	PLAIN("READONLY"),
	PLAIN("READWRITE"),
	ARGS("RENAME", RC_RENAME),
	ARGS("RENAMENX", RC_RENAME),
	{"REPLCONF", RC_GIVE_UP, 0},
	PLAIN("REPLICAOF"),
	NOW("RESET", RC_RESET),
	PLAIN("RESTORE"),
	PLAIN("RESTORE-ASKING"),
	PLAIN("ROLE"),
	BOTH("RPOP", RC_LPOP),
	BOTH("RPOPLPUSH", RC_LMOVE),
	ARGS("RPUSH", RC_LPUSH),
	ARGS("RPUSHX", RC_LPUSHX),
	PLAIN("SADD"),
	PLAIN("SAVE"),
	PLAIN("SCAN"),
	PLAIN("SCARD"),
	PLAIN("SCRIPT"),
	PLAIN("SDIFF"),
	PLAIN("SDIFFSTORE"),
	ARGS("SELECT", RC_SELECT),
	PLAIN("SENTINEL"),
	PLAIN("SET"),
	PLAIN("SETBIT"),
	PLAIN("SETEX"),
	PLAIN("SETNX"),
	PLAIN("SETRANGE"),
	PLAIN("SHUTDOWN"),
	PLAIN("SINTER"),
	PLAIN("SINTERCARD"),
	PLAIN("SINTERSTORE"),
	PLAIN("SISMEMBER"),
	PLAIN("SLAVEOF"),
	PLAIN("SLOWLOG"),
	PLAIN("SMEMBERS"),
	PLAIN("SMISMEMBER"),
	PLAIN("SMOVE"),
	PLAIN("SORT"),
	PLAIN("SORT_RO"),
	PLAIN("SPOP"),
	ARGS("SPUBLISH", RC_SPUBLISH),
	PLAIN("SRANDMEMBER"),
	PLAIN("SREM"),
	PLAIN("SSCAN"),
	BOTH("SSUBSCRIBE", RC_SSUBSCRIBE),
	PLAIN("STRLEN"),
	BOTH("SUBSCRIBE", RC_SUBSCRIBE),
	PLAIN("SUBSTR"),
	PLAIN("SUNION"),
	PLAIN("SUNIONSTORE"),
	BOTH("SUNSUBSCRIBE", RC_SUNSUBSCRIBE),
	ARGS("SWAPDB", RC_SWAPDB),
	{"SYNC", RC_GIVE_UP, 0},
	PLAIN("TIME"),
	PLAIN("TOUCH"),
	PLAIN("TTL"),
	PLAIN("TYPE"),
	ARGS("UNLINK", RC_DEL),
	BOTH("UNSUBSCRIBE", RC_UNSUBSCRIBE),
	{"UNWATCH", RC_PLAIN, 0},
	PLAIN("WAIT"),
	PLAIN("WAITAOF"),
	{"WATCH", RC_PLAIN, CMD_NO_TX},
	ARGS("XACK", RC_XACK),
	BOTH("XACKDEL", RC_XACKDEL),
	BOTH("XADD", RC_XADD),
	BOTH("XAUTOCLAIM", RC_XAUTOCLAIM),
	BOTH("XCLAIM", RC_XCLAIM),
	ARGS("XDEL", RC_XDEL),
	BOTH("XDELEX", RC_XDELEX),
	ARGS("XGROUP", RC_XGROUP),
	PLAIN("XINFO"),
	PLAIN("XLEN"),
	BOTH("XPENDING", RC_XPENDING),
	PLAIN("XRANGE"),
	BOTH("XREAD", RC_XREAD),
	BOTH("XREADGROUP", RC_XREADGROUP),
	PLAIN("XREVRANGE"),
	PLAIN("XSETID"),
	ARGS("XTRIM", RC_XTRIM),
	ARGS("ZADD", RC_ZADD),
	PLAIN("ZCARD"),
	PLAIN("ZCOUNT"),
	PLAIN("ZDIFF"),
	PLAIN("ZDIFFSTORE"),
	PLAIN("ZINCRBY"),
	PLAIN("ZINTER"),
	PLAIN("ZINTERCARD"),
	PLAIN("ZINTERSTORE"),
	PLAIN("ZLEXCOUNT"),
	BOTH("ZMPOP", RC_ZMPOP),
	PLAIN("ZMSCORE"),
	BOTH("ZPOPMAX", RC_ZPOP),
	BOTH("ZPOPMIN", RC_ZPOP),
	PLAIN("ZRANDMEMBER"),
	PLAIN("ZRANGE"),
	PLAIN("ZRANGEBYLEX"),
	PLAIN("ZRANGEBYSCORE"),
	PLAIN("ZRANGESTORE"),
	PLAIN("ZRANK"),
	ARGS("ZREM", RC_ZREM),
	ARGS("ZREMRANGEBYLEX", RC_ZREMRANGE),
	ARGS("ZREMRANGEBYRANK", RC_ZREMRANGE),
	ARGS("ZREMRANGEBYSCORE", RC_ZREMRANGE),
	PLAIN("ZREVRANGE"),
	PLAIN("ZREVRANGEBYLEX"),
	PLAIN("ZREVRANGEBYSCORE"),
	PLAIN("ZREVRANK"),
	PLAIN("ZSCAN"),
	PLAIN("ZSCORE"),
	PLAIN("ZUNION"),
	PLAIN("ZUNIONSTORE"),
};

static int compare(struct span word, const char *name)
{
	for (size_t i = 0; i < word.n; i++) {
		uint8_t c = word.p[i] >= 'a' && word.p[i] <= 'z' ? word.p[i] - 32 : word.p[i];

		if (c != (uint8_t)name[i])
			return c < (uint8_t)name[i] ? -1 : 1;
	}
	return name[word.n] ? -1 : 0;
}

const struct rcmd_def *rcmd_find(struct span word)
{
	size_t from = 0, to = ARRAY_LEN(cmds);

	if (!word.n || word.n > 32)
		return NULL;
	while (from < to) {
		size_t mid = (from + to) / 2;
		int k = compare(word, cmds[mid].name);

		if (!k)
			return &cmds[mid];
		if (k < 0)
			to = mid;
		else
			from = mid + 1;
	}
	return NULL;
}

bool rcmd_begins(struct span word)
{
	for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
		if (word.n <= strlen(cmds[i].name) &&
			!strncasecmp((const char *)word.p, cmds[i].name, word.n))
			return true;
	return !word.n;
}

bool rcmd_plausible(struct span word)
{
	if (!word.n || word.n > 32)
		return false;
	for (size_t i = 0; i < word.n; i++) {
		uint8_t c = word.p[i] | 0x20;

		if (!(c >= 'a' && c <= 'z') && (!i || (word.p[i] != '.' && word.p[i] != '_' &&
							      word.p[i] != '-' && !(c >= '0' && c <= '9'))))
			return false;
	}
	return true;
}
