/*
 * Redis and what speaks its protocol (Valkey, KeyDB, Dragonfly): the decoder's record, probe, values in and
 * losses. Values are read in redis_resp.c, commands known in redis_cmd.c; what a command means is in
 * redis_request.c and redis_reply.c, and by family in redis_stream.c, redis_list.c, redis_zset.c,
 * redis_pubsub.c and redis_script.c; what queue libraries put on it in redis_layout.c.
 *
 * The protocol numbers nothing: the n-th answer is that of the n-th command. So a queue of commands is kept
 * (redis_pend.c), and where its beginning is not known, no answer is given to any command until it is
 * (redis_learn.c).
 *
 * What names a message over both sides:
 * - streams: key and id; XADD's answer and every read tell it. The group is told by XREADGROUP and its kin
 *   only, so who reads with plain XREAD is of no group.
 * - lists: nothing. The element is the message; two equal elements of one list cannot be told apart. What is
 *   taken away unseen: redis_purge.c. Eviction for lack of memory is told by nothing.
 * - sorted sets: the member, which is unique in its key.
 * - pub/sub: nothing; channel and bytes. The number that PUBLISH answers is of this node's subscribers only;
 *   in a cluster others may have got it. Channels do not belong to a database: `vhost` is empty.
 *
 * LMOVE and its kin, when the destination is a list that nobody was seen to pop from, take a message for
 * processing: the receive stays open until LREM takes that element out of the destination (acknowledged) or
 * it is moved back (requeued), on whichever connection to the server. When others were seen to pop from the
 * destination, it is a queue: the message is settled and sent again. A pop of an element that is open there
 * acknowledges it; a blocking one receives it as well, from a list that was not known as a queue until then.
 *
 * A sorted set is a queue when somebody was seen to pop from it, by the names that Sidekiq uses, or when its
 * member is a JSON object; all others are data. Plain reads and writes of keys are no messages.
 *
 * Scripts and functions run inside of the server: keys, arguments and one answer are all that is seen. Those
 * of BullMQ are known by their arguments, Sidekiq's by its answer. Of any other with a queue, list, stream or
 * schedule among its keys the arguments are one message to the call itself (DEST_CALL), opaque: run or
 * refused is known; where the script put it, what it took and which later message is the same are not. What
 * waits in those queues is not known from then on.
 *
 * SELECT is believed when it is sent: pipelined commands behind one that fails name the wrong database.
 *
 * Secrets: arguments of AUTH, HELLO AUTH, MIGRATE AUTH, CONFIG SET requirepass and ACL SETUSER are told as
 * soon as their place is known, and never copied into an operation.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/redis_state.h"

#define PAYLOAD_LIMIT 0x100000u /* default of proto_opts.payload_limit */
#define RESYNC_TAIL   (64u << 10)
#define BELIEVE       4096u /* bytes that hold as the beginning of one answer */
#define PROBE_MAX     (256u << 10)

/* --- emitting --- */

struct span redis_db(struct redis *st, int32_t db)
{
	if (db < 0)
		return SPAN_EMPTY;
	return span_of(st->vhost, put_u64(st->vhost, (uint64_t)db));
}

static uint64_t emit(struct redis *st, struct op *op)
{
	op->flowdir = st->dir;
	op->pos = st->pos;
	op->len = st->end - st->pos;
	return st->out.emit(st->out.ctx, op);
}

/* Told before the first message: most connections of a Redis never have one. */
static void log_in(struct redis *st)
{
	char vhost[sizeof(st->vhost)];
	struct op op = {.kind = OP_LOGIN, .text = short_span(&st->user)};

	st->logged_in = true;
	if (!st->user_known)
		return;
	/* The operation that made us tell has its own in the one buffer. */
	memcpy(vhost, st->vhost, sizeof(vhost));
	op.vhost = redis_db(st, st->db);
	emit(st, &op);
	memcpy(st->vhost, vhost, sizeof(vhost));
}

uint64_t redis_emit(struct redis *st, struct op *op)
{
	if (!st->logged_in)
		log_in(st);
	st->stats.messages += op->kind == OP_SEND || op->kind == OP_RECEIVE;
	return emit(st, op);
}

void redis_unpair(struct redis *st)
{
	fifo_clear(&st->pending);
	fifo_clear(&st->queued);
	st->open = false;
	st->learning = true;
	st->certain = st->waited = false;
	st->rounds = 0;
	redis_late_cut(st);
}

/* --- probe --- */

/* How @s looks as what a client sends. */
enum look {
	LOOK_NO,
	LOOK_MORE, /* too short */
	LOOK_SOME, /* could be; the other side must agree */
	LOOK_YES,
	LOOK_REPLICA, /* replication: not for us */
};

static enum look look_command(struct span s)
{
	const struct rcmd_def *def;
	struct span word;
	size_t len;
	int k = resp_command(s, &word, &len);

	if (k < 0)
		return LOOK_NO;
	if (!word.n)
		return LOOK_MORE;
	def = rcmd_find(word);
	if (def && def->id == RC_GIVE_UP)
		return LOOK_REPLICA;
	if (def)
		return LOOK_YES;
	return rcmd_plausible(word) ? LOOK_SOME : LOOK_NO;
}

/* Words that other protocols of lines have, too: NATS, SMTP, POP3, FTP, HTTP, memcached. */
static bool shared_word(struct span word)
{
	static const char *const words[] = {"AUTH", "QUIT", "INFO", "GET", "SET", "TIME", "SAVE", "APPEND",
		"INCR", "DECR", "TOUCH", "ECHO", "COPY", "MOVE", "SYNC", "TYPE", "RESET", "MONITOR", "PSYNC",
		"REPLCONF", "PING", "HELLO", "SUBSCRIBE", "UNSUBSCRIBE"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (span_same(word, words[i]))
			return true;
	return false;
}

/* A line with a command of redis' at its beginning; *ret_word is its name. */
static enum look look_inline(struct span s, struct span *ret_word)
{
	const uint8_t *lf = s.n ? memchr(s.p, '\n', s.n) : NULL;
	size_t n = lf ? (size_t)(lf - s.p) : s.n, w = 0;

	if (n > 1024)
		return LOOK_NO;
	for (size_t i = 0; i < n; i++)
		if (s.p[i] < ' ' && s.p[i] != '\t' && !(s.p[i] == '\r' && i + 1 >= n))
			return LOOK_NO;
	while (w < n && s.p[w] > ' ')
		w++;
	*ret_word = span_of(s.p, w);
	if (w > 20)
		return LOOK_NO;
	if (w == n && !lf)
		return rcmd_begins(*ret_word) ? LOOK_MORE : LOOK_NO;
	if (!rcmd_find(*ret_word))
		return LOOK_NO;
	if (n > 10 && memmem(s.p, n, " HTTP/1.", 8))
		return LOOK_NO;
	return lf ? LOOK_SOME : LOOK_MORE;
}

/* Does what the server says begin with a whole value of RESP, of a form that no other protocol has? */
static enum look look_reply(struct span s)
{
	size_t len = 0;
	int k;

	if (!s.n)
		return LOOK_MORE;
	if (!memchr("+-:$*_#,(!=%~>|", s.p[0], 15))
		return LOOK_NO;
	k = resp_value(s, &len);
	if (k < 0)
		return LOOK_NO;
	if (!k)
		return LOOK_MORE;
	if (s.p[0] == '+')
		return span_starts(s, "+PONG\r\n") || span_starts(s, "+QUEUED\r\n") ? LOOK_YES : LOOK_SOME;
	if (s.p[0] == '-')
		return span_starts(s, "-ERR ") || span_starts(s, "-NOAUTH ") ||
				       span_starts(s, "-WRONGTYPE ") || span_starts(s, "-MOVED ")
			       ? LOOK_SOME
			       : LOOK_NO;
	return LOOK_YES;
}

/* What the server pushes to subscribers: enough on its own, in the middle of a connection. */
static bool look_push(struct span s)
{
	static const char *const starts[] = {"*3\r\n$7\r\nmessage\r\n$", "*4\r\n$8\r\npmessage\r\n$",
		"*3\r\n$8\r\nsmessage\r\n$", ">3\r\n$7\r\nmessage\r\n$", ">4\r\n$8\r\npmessage\r\n$",
		">3\r\n$8\r\nsmessage\r\n$"};
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(starts); i++)
		if (span_starts(s, starts[i]))
			return resp_value(s, &len) > 0;
	return false;
}

/* Streams as XREAD tells them: a key, then entries with ids. */
static bool look_stream(struct span s)
{
	struct resp r = {.limit = 64, .wanted = true};
	const struct node *key, *entries, *entry;
	bool yes = false;
	size_t n;

	if (s.n && (s.p[0] == '*' || s.p[0] == '%') && resp_feed(&r, 0, s, &n) != RESP_BAD && r.n > 4) {
		key = s.p[0] == '*' ? resp_child(&r, resp_child(&r, r.v, 0), 0) : resp_child(&r, r.v, 0);
		entries = key ? key + 1 : NULL;
		entry = entries && entries < r.v + r.n ? entries + 1 : NULL;
		yes = key && key->type == '$' && entry && entry + 1 < r.v + r.n && entries->type == '*' &&
		      entry->type == '*' && entry->size == 2 && redis_stream_id(resp_text(&r, entry + 1));
	}
	resp_free(&r);
	return yes;
}

/* Where a line begins behind @at. */
static size_t next_line(struct span s, size_t at)
{
	const uint8_t *lf = at < s.n ? memchr(s.p + at, '\n', s.n - at) : NULL;

	return lf ? (size_t)(lf - s.p) + 1 : s.n;
}

/* The first place in @s where a command of redis' begins; s.n: none. */
static size_t find_command(struct span s, enum look *ret)
{
	*ret = LOOK_NO;
	for (size_t at = 0; at < s.n; at = next_line(s, at)) {
		enum look k;

		if (s.p[at] != '*')
			continue;
		k = look_command(span_sub(s, at, SIZE_MAX));
		if (k == LOOK_YES || k == LOOK_REPLICA) {
			*ret = k;
			return at;
		}
	}
	return s.n;
}

/* All whole values at the beginning of @s: the strongest of them, LOOK_NO if there is anything else. */
static enum look look_replies(struct span s)
{
	enum look best = LOOK_MORE;

	for (unsigned i = 0; s.n && i < 64; i++) {
		enum look k = look_reply(s);
		size_t len = 0;

		if (k == LOOK_NO)
			return LOOK_NO;
		if (k > best)
			best = k;
		if (resp_value(s, &len) <= 0)
			break;
		s = span_sub(s, len, SIZE_MAX);
	}
	return best;
}

/* All lines of a client that writes by hand. *ret_own: some command is of redis' own. */
static enum look look_inlines(struct span s, bool *ret_own)
{
	enum look k = LOOK_MORE;

	*ret_own = false;
	for (unsigned i = 0; s.n && i < 64; i++) {
		struct span word;

		if (s.p[0] == '\r' || s.p[0] == '\n') {
			s = span_sub(s, 1, SIZE_MAX);
			continue;
		}
		k = look_inline(s, &word);
		if (k != LOOK_SOME)
			return k;
		*ret_own |= !shared_word(word);
		s = span_sub(s, next_line(s, 0), SIZE_MAX);
	}
	return k;
}

static enum probe_result probe_inline(struct span cmd, struct span reply)
{
	bool own;
	enum look k = look_inlines(cmd, &own), r = look_replies(reply);

	if (k == LOOK_NO || r == LOOK_NO)
		return PROBE_NO;
	/* "+OK" and "-ERR" are NATS' and POP3's, too; numbers and strings only ours. */
	if (r == LOOK_YES || (r == LOOK_SOME && own))
		return PROBE_YES;
	return PROBE_MORE;
}

static enum probe_result probe_start(struct span to_server, struct span to_client)
{
	enum look k;

	if (!to_server.n) {
		if (!to_client.n)
			return PROBE_MORE;
		/* The client speaks first: these are its bytes, or not ours. */
		k = to_client.p[0] == '*' ? look_command(to_client) : LOOK_NO;
		return k == LOOK_YES ? PROBE_REVERSED : k == LOOK_MORE ? PROBE_MORE : PROBE_NO;
	}
	if (to_server.p[0] != '*') {
		if (to_client.n && to_client.p[0] == '*' && look_command(to_client) == LOOK_YES &&
			look_reply(to_server) >= LOOK_SOME)
			return PROBE_REVERSED;
		return probe_inline(to_server, to_client);
	}
	k = look_command(to_server);
	if (k == LOOK_YES)
		return PROBE_YES;
	if (k == LOOK_NO || k == LOOK_REPLICA)
		return PROBE_NO;
	if (k == LOOK_MORE)
		return PROBE_MORE;
	k = look_reply(to_client);
	return k == LOOK_NO ? PROBE_NO : k == LOOK_MORE ? PROBE_MORE : PROBE_YES;
}

static enum probe_result redis_probe(struct span to_server, struct span to_client, bool from_start)
{
	enum look right, reversed;

	if (from_start)
		return probe_start(to_server, to_client);
	to_server = span_sub(to_server, 0, PROBE_MAX);
	to_client = span_sub(to_client, 0, PROBE_MAX);
	find_command(to_server, &right);
	find_command(to_client, &reversed);
	/* A primary sends commands to its replicas: both sides speak like clients. */
	if (right == LOOK_REPLICA || reversed == LOOK_REPLICA)
		return PROBE_NO;
	if (right == LOOK_YES)
		return reversed == LOOK_YES ? PROBE_MORE : PROBE_YES;
	if (reversed == LOOK_YES)
		return look_reply(to_server) >= LOOK_SOME ? PROBE_REVERSED : PROBE_MORE;
	if (look_push(to_client) || look_stream(to_client))
		return PROBE_YES;
	if (look_push(to_server) || look_stream(to_server))
		return PROBE_REVERSED;
	return PROBE_MORE;
}

/* --- losses --- */

static void lost(struct redis *st, enum flowdir d)
{
	st->synced[d] = false;
	resp_clear(&st->r[d]);
	redis_unpair(st);
	redis_late_end(st);
	/* What the client said of these may have been in what is missing. */
	if (d == TO_SERVER) {
		st->in_multi = false;
		st->reply_mode = REPLY_ON;
		st->db = -1;
	}
}

static void redis_gap(void *state, enum flowdir d, uint64_t pos, uint64_t n)
{
	struct redis *st = state;

	(void)pos;
	/* Inside of a string whose size is known the place is known, too. */
	if (st->synced[d] && n && resp_skip(&st->r[d], n)) {
		st->at[d] += n;
		return;
	}
	lost(st, d);
}

/* Where answers may go on: a line that begins a value. */
static int64_t find_reply(struct span s)
{
	for (size_t at = 0; at < s.n; at = next_line(s, at)) {
		struct span rest = span_sub(s, at, 1u << 20);
		size_t len = 0;
		int k;

		if (at && (at < 2 || s.p[at - 2] != '\r'))
			continue;
		if (!memchr("+-:$*_#,(!=%~>|", rest.p[0], 15))
			continue;
		k = resp_value(rest, &len);
		if (k > 0)
			return (int64_t)at;
		/* Not there as a whole yet: taken at once where bytes begin, else when it goes on for long.
		 */
		if (!k)
			return !at || rest.n >= BELIEVE || s.n >= RESYNC_TAIL ? (int64_t)at : -1;
	}
	return -1;
}

static int64_t redis_resync(void *state, enum flowdir d, uint64_t pos, struct span data)
{
	struct redis *st = state;
	int64_t at;

	(void)pos;
	if (st->synced[d])
		return 0;
	if (d == TO_SERVER) {
		enum look k;
		size_t n = find_command(data, &k);

		at = n < data.n ? (int64_t)n : -1;
	} else {
		at = find_reply(data);
	}
	if (at < 0)
		return -1;
	st->stats.skipped_bytes += (uint64_t)at;
	st->synced[d] = true;
	resp_clear(&st->r[d]);
	return at;
}

/* --- parse --- */

/* Consumes one line of a client that writes by hand. */
static enum resp_status parse_inline(struct redis *st, uint64_t pos, struct span rest, size_t *ret_n)
{
	struct resp *r = &st->r[TO_SERVER];
	const uint8_t *lf = memchr(rest.p, '\n', rest.n);
	struct span line = span_of(rest.p, lf ? (size_t)(lf - rest.p) : rest.n);

	*ret_n = 0;
	redis_inline_secrets(st, pos, line);
	if (line.n > RESP_LINE_MAX)
		return RESP_BAD;
	if (!lf)
		return RESP_MORE;
	*ret_n = line.n + 1;
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	st->inlines = true;
	r->start = pos;
	r->end = pos + *ret_n;
	/* An unbalanced quote is an error of the client's, and the server hangs up. */
	return resp_inline(r, line) ? RESP_DONE : RESP_BAD;
}

static enum resp_status read_value(
	struct redis *st, enum flowdir d, uint64_t pos, struct span rest, size_t *n)
{
	struct resp *r = &st->r[d];

	if (!r->begun) {
		st->cmd = d == TO_SERVER ? NULL : st->cmd;
		r->wanted = d == TO_SERVER || redis_reply_wanted(st, rest.p[0]);
		if (d == TO_SERVER && rest.p[0] != '*')
			return parse_inline(st, pos, rest, n);
	}
	return resp_feed(r, pos, rest, n);
}

static struct parse_result redis_parse(void *state, enum flowdir d, uint64_t pos, struct span data)
{
	struct redis *st = state;
	struct parse_result r = {.status = PARSE_OK};
	bool ours = true;

	while (st->synced[d] && r.consumed < data.n) {
		struct span rest = span_sub(data, r.consumed, SIZE_MAX);
		size_t n = 0;
		enum resp_status k;

		if (d == TO_CLIENT && !st->r[d].begun && redis_reply_early(st, rest))
			return r;
		k = read_value(st, d, pos + r.consumed, rest, &n);

		r.consumed += n;
		st->at[d] = pos + r.consumed;
		if (k == RESP_BAD) {
			st->stats.errors++;
			lost(st, d);
			break;
		}
		if (k == RESP_MORE) {
			r.needed = r.consumed < data.n;
			return r;
		}
		st->stats.frames++;
		st->dir = d;
		st->pos = st->r[d].start;
		st->end = st->r[d].end;
		if (d == TO_SERVER)
			ours = redis_request(st);
		else
			redis_reply(st);
		resp_clear(&st->r[d]);
		if (st->env.cap > 1u << 20)
			buf_free(&st->env);
		if (!ours)
			break;
	}
	if (!ours)
		r.status = PARSE_ERROR;
	else if (!st->synced[d])
		r.status = PARSE_LOST;
	return r;
}

/* --- life --- */

static void redis_state_free(void *state);

static void *redis_state_new(const struct proto_opts *opts, const struct proto_out *out, bool from_start)
{
	struct redis *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->opts = *opts;
	if (!st->opts.payload_limit)
		st->opts.payload_limit = PAYLOAD_LIMIT;
	st->out = *out;
	st->shared = opts->shared;
	st->db = from_start ? 0 : -1;
	st->learning = !from_start;
	st->certain = from_start;
	st->user_known = from_start;
	short_set(&st->user, SPAN_LIT("default"));
	for (int d = 0; d < 2; d++) {
		st->synced[d] = from_start;
		st->r[d].limit = st->opts.payload_limit;
	}
	st->r[TO_SERVER].on_child = redis_on_arg;
	st->r[TO_SERVER].ctx = st;
	return st;
}

static void redis_state_free(void *state)
{
	struct redis *st = state;

	if (!st)
		return;
	map_for_each (&st->subs, s)
		free((void *)(uintptr_t)s->val);
	map_free(&st->subs);
	recent_free(&st->deliveries);
	resp_free(&st->r[0]);
	resp_free(&st->r[1]);
	buf_free(&st->pending.b);
	buf_free(&st->queued.b);
	buf_free(&st->ids);
	buf_free(&st->env);
	buf_free(&st->kombu_open);
	redis_late_free(st);
	free(st);
}

static void redis_closed(void *state)
{
	struct redis *st = state;

	st->dir = TO_CLIENT;
	st->pos = st->end = st->at[TO_CLIENT];
	redis_late_end(st);
	redis_unsubscribe_all(st);
}

/* What the same message has everywhere: a score is the queue's, not the message's, and so is how it came
 * there. */
static bool varies(const struct pair *p)
{
	return !p->header && (span_is(p->name, "score") || span_is(p->name, "command"));
}

static uint64_t redis_stable_hash(struct span envelope, uint64_t seed)
{
	return pairs_hash(envelope, seed, varies);
}

static void redis_stats(const void *state, struct proto_stats *ret)
{
	*ret = ((const struct redis *)state)->stats;
}

const struct proto proto_redis = {
	.id = PROTO_REDIS,
	.name = "redis",
	.otel_name = "redis",
	.queue_by_send = true,
	.words = {.queue = "list"},
	.probe = redis_probe,
	.shared_new = redis_shared_new,
	.shared_free = redis_shared_free,
	.state_new = redis_state_new,
	.state_free = redis_state_free,
	.parse = redis_parse,
	.resync = redis_resync,
	.resync_tail = RESYNC_TAIL,
	.gap = redis_gap,
	.closed = redis_closed,
	.fields = pairs_fields,
	.args = pairs_fields,
	.stable_hash = redis_stable_hash,
	.stats = redis_stats,
};
