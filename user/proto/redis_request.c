/* What a client asks: the connection's own commands here, the others by family; and where secrets stand. */
#include <stdlib.h>
#include <strings.h>

#include "proto/redis_state.h"

bool span_same(struct span a, const char *word)
{
	return a.n == strlen(word) && !strncasecmp((const char *)a.p, word, a.n);
}

/* --- arguments of the request in hand; 0 is the command's name --- */

uint32_t redis_args(const struct redis *st)
{
	const struct resp *r = &st->r[TO_SERVER];

	return r->n ? r->v[0].n : 0;
}

const struct node *redis_arg_node(const struct redis *st, uint32_t index)
{
	const struct resp *r = &st->r[TO_SERVER];

	/* All are leaves: see flat(). */
	return index < redis_args(st) ? &r->v[1 + index] : NULL;
}

struct span redis_arg(const struct redis *st, uint32_t index)
{
	return resp_text(&st->r[TO_SERVER], redis_arg_node(st, index));
}

bool redis_arg_is(const struct redis *st, uint32_t index, const char *word)
{
	return span_same(redis_arg(st, index), word);
}

/* --- secrets --- */

static void tell(struct redis *st, uint64_t pos, uint64_t n)
{
	if (n && st->out.secret)
		st->out.secret(st->out.ctx, TO_SERVER, pos, n);
}

static bool names_secret(struct span name)
{
	static const char *const names[] = {"requirepass", "masterauth", "tls-key-file-pass",
		"tls-client-key-file-pass", "auth-pass", "sentinel-pass"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (span_same(name, names[i]))
			return true;
	return false;
}

/* Is argument @i a secret, by those before it? */
static bool secret_arg(const struct redis *st, uint32_t i)
{
	switch (st->cmd->id) {
	case RC_AUTH: /* AUTH [user] password */
		return i > 1 || st->r[TO_SERVER].v[0].size != 3;
	case RC_HELLO: /* HELLO 3 AUTH user password */
		return i > 2 && redis_arg_is(st, i - 2, "AUTH");
	case RC_MIGRATE: /* AUTH password, AUTH2 user password */
		return i > 5 && (redis_arg_is(st, i - 1, "AUTH") || redis_arg_is(st, i - 2, "AUTH2"));
	case RC_CONFIG:
		return i > 2 && names_secret(redis_arg(st, i - 1));
	case RC_ACL: /* SETUSER name, then rules, of which >password is one */
		return i > 2 && redis_arg_is(st, 1, "SETUSER");
	default:
		return false;
	}
}

/* Hashes of which fields matter: Celery's unacked messages, RQ's jobs. Times are set for many keys. */
static bool key_matters(const struct redis *st, enum rcmd id, struct span key)
{
	if (id == RC_EXPIRE)
		return redis_queue_kind(st, st->db, key);
	if (id != RC_HSET && id != RC_HGET && id != RC_HDEL)
		return true;
	return memmem(key.p, key.n, "unacked", 7) || (key.n && memmem(key.p, key.n, "rq:job:", 7));
}

void redis_on_arg(void *ctx, uint32_t i, uint64_t pos, uint64_t size)
{
	struct redis *st = ctx;
	struct resp *r = &st->r[TO_SERVER];

	if (!i || !r->wanted)
		return;
	if (i == 1) {
		static const struct rcmd_def unknown = {"", RC_UNKNOWN, 0};

		st->cmd = rcmd_find(resp_text(r, &r->v[1]));
		if (!st->cmd)
			st->cmd = &unknown;
		r->wanted = st->cmd->flags & CMD_ARGS;
	}
	if (i == 2 && st->cmd)
		r->wanted = key_matters(st, st->cmd->id, redis_arg(st, 1));
	if (st->cmd && st->cmd->flags & CMD_SECRET && secret_arg(st, i))
		tell(st, pos, size);
}

/* Of a line all behind the command's name is taken for one: it may be cut anywhere. */
void redis_inline_secrets(struct redis *st, uint64_t pos, struct span line)
{
	const struct rcmd_def *def;
	size_t w = 0;

	while (w < line.n && w <= 32 && line.p[w] > ' ')
		w++;
	def = w < line.n ? rcmd_find(span_sub(line, 0, w)) : NULL;
	if (def && def->flags & CMD_SECRET)
		tell(st, pos + w + 1, line.n - w - 1);
}

/* --- the connection's own commands --- */

static void plain(struct redis *st, enum rcmd id, uint8_t flags)
{
	if (pend_open(st, id, flags))
		pend_close(st);
}

/* The user is told apart only when the server took the password. */
static void login(struct redis *st, enum rcmd id, uint8_t flags)
{
	struct span user = SPAN_EMPTY;

	if (id == RC_AUTH)
		user = redis_args(st) == 3 ? redis_arg(st, 1) : SPAN_LIT("default");
	for (uint32_t i = 2; id == RC_HELLO && i + 2 < redis_args(st); i++)
		if (redis_arg_is(st, i, "AUTH"))
			user = redis_arg(st, i + 1);
	if (!pend_open(st, id, flags))
		return;
	pend_item(st, span_sub(user, 0, 255));
	pend_close(st);
}

static bool db_number(struct span s, int32_t *ret)
{
	int32_t v = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || v > 99999)
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	*ret = v;
	return s.n;
}

static void select_db(struct redis *st, uint8_t flags)
{
	int32_t before = st->db, db;

	/* The entry remembers where we were, for the case that it fails. */
	if (pend_open(st, RC_SELECT, flags))
		pend_close(st);
	if (db_number(redis_arg(st, 1), &db))
		st->db = db;
	else
		st->db = before;
}

static void client(struct redis *st, uint8_t flags)
{
	if (!redis_arg_is(st, 1, "REPLY")) {
		plain(st, RC_PLAIN, flags);
	} else if (redis_arg_is(st, 2, "OFF")) {
		st->reply_mode = REPLY_OFF;
	} else if (redis_arg_is(st, 2, "SKIP")) {
		if (st->reply_mode == REPLY_ON)
			st->reply_mode = REPLY_SKIP;
	} else {
		st->reply_mode = REPLY_ON;
		plain(st, RC_PLAIN, flags);
	}
}

static void reset(struct redis *st)
{
	plain(st, RC_RESET, 0);
	st->in_multi = false;
	st->reply_mode = REPLY_ON;
	st->db = 0;
}

static void transaction(struct redis *st, enum rcmd id, uint8_t flags)
{
	plain(st, id, flags);
	st->in_multi = id == RC_MULTI;
}

static void dispatch(struct redis *st, const struct rcmd_def *def, uint8_t flags)
{
	switch (def->id) {
	case RC_AUTH:
	case RC_HELLO:
		login(st, def->id, flags);
		return;
	case RC_SELECT:
		select_db(st, flags);
		return;
	case RC_RESET:
		reset(st);
		return;
	case RC_CLIENT:
		client(st, flags);
		return;
	case RC_MULTI:
	case RC_EXEC:
	case RC_DISCARD:
		transaction(st, def->id, flags);
		return;
	default:
		break;
	}
	if (def->id >= RC_SUBSCRIBE && def->id <= RC_SPUBLISH) {
		redis_pubsub_request(st, def->id, flags);
	} else if (def->id >= RC_XADD && def->id <= RC_XPENDING) {
		redis_stream_request(st, def->id, flags);
	} else if (def->id >= RC_LPUSH && def->id <= RC_LREM) {
		redis_list_request(st, def->id, flags);
	} else if (def->id >= RC_LTRIM && def->id <= RC_ZREMRANGE) {
		redis_purge_request(st, def->id, flags);
	} else if (def->id >= RC_ZADD && def->id <= RC_ZREM) {
		redis_zset_request(st, def->id, flags);
	} else if (def->id >= RC_HSET && def->id <= RC_EVAL) {
		redis_script_request(st, def->id, flags);
	}
	/* A family that has nothing to remember of it leaves it to be counted. */
	if (st->open_none)
		plain(st, RC_PLAIN, flags);
}

/* Commands are arrays of strings; anything else is an error, upon which the server hangs up. */
static bool flat(const struct resp *r)
{
	for (uint32_t i = 1; i < r->n; i++)
		if (r->v[i].type != '$' || r->v[i].null)
			return false;
	return true;
}

bool redis_request(struct redis *st)
{
	struct resp *r = &st->r[TO_SERVER];
	const struct rcmd_def *def = st->cmd;
	bool skipped = st->reply_mode == REPLY_SKIP;
	uint8_t flags = 0;

	if (!r->v[0].n)
		return true;
	if (!flat(r)) {
		st->stats.errors++;
		return true;
	}
	if (!def)
		def = rcmd_find(redis_arg(st, 0));
	if (def && def->id == RC_GIVE_UP)
		return false;
	if (def && def->flags & CMD_REPLY)
		flags |= PEND_REPLY;
	if (st->in_multi && !(def && def->flags & CMD_NO_TX))
		flags |= PEND_TX;
	st->open_none = true;
	if (def && def->id != RC_UNKNOWN && def->id != RC_PLAIN)
		dispatch(st, def, flags);
	else
		plain(st, RC_PLAIN, flags);
	if (skipped && st->reply_mode == REPLY_SKIP)
		st->reply_mode = REPLY_ON;
	st->has_asked = true;
	if (st->waited)
		redis_asked_again(st);
	return true;
}
