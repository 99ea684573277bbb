/*
 * Sends to Redis through hiredis, loaded with dlopen() when the first is sent: pushes to a list, adds to a
 * stream, puts into a sorted set, publishes on a channel; what the server replies is the confirmation.
 *
 * Nothing is added to a message: an element of a list is its body alone, and a consumer of a stream may
 * expect exactly its fields. The copy in a stream is known by the id that XADD returned.
 */
#include "replay/replayer.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/time.h>

#include "proto/pairs.h"

/* Its structures change with its name: what was compiled is what is loaded. */
#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)
#define LIBRARY    "libhiredis.so." TEXT(HIREDIS_SONAME)

#define MAX_FIELDS 100000u

#define FUNCTIONS(X)                                                                                         \
	X(redisConnectWithTimeout)                                                                           \
	X(redisSetTimeout)                                                                                   \
	X(redisCommandArgv)                                                                                  \
	X(freeReplyObject)                                                                                   \
	X(redisFree)

struct lib {
	FUNCTIONS(LIBRARY_MEMBER)
};

static const struct library_symbol symbols[] = {FUNCTIONS(LIBRARY_SYMBOL)};

const struct replayer replayer_hiredis;

struct client {
	struct lib lib;
	redisContext *redis;
};

/* --- pure --- */

/* How a message was put where it was, where that is not the usual way of its kind. */
static bool put_with(struct span envelope, const char *command)
{
	struct pair p;

	return pairs_find(envelope, false, SPAN_LIT("command"), &p) && p.value.n == strlen(command) &&
	       !strncasecmp((const char *)p.value.p, command, p.value.n);
}

static struct span property(struct span envelope, const char *name)
{
	struct pair p;

	return pairs_find(envelope, false, span_str(name), &p) ? p.value : SPAN_EMPTY;
}

/*
 * RQ keeps a job in a hash and its id in the list; the message's body is what was seen to be written to the
 * hash. The id goes into the list again.
 */
static struct span rq_job(const struct replay_place *p, struct span envelope)
{
	return p->dest == DEST_ROUTED && span_starts(p->routing_key, "rq:") ? property(envelope, "message-id")
									    : SPAN_EMPTY;
}

static int parse_to(const char *text, enum dest dest, struct buf *ret_exchange, struct buf *ret_key)
{
	if (!*text)
		return -EINVAL;
	buf_puts(dest == DEST_ROUTED ? ret_key : ret_exchange, text);
	return 0;
}

static void words(const struct replay_place *p, struct buf *out)
{
	if (p->dest == DEST_ROUTED) /* or a sorted set: caution() says so */
		buf_printf(out, "list " SPAN_FMT, SPAN_ARG(p->routing_key));
	else
		buf_printf(out, "%s " SPAN_FMT,
			p->dest == DEST_LOG    ? "stream"
			: p->dest == DEST_CALL ? "call"
					       : "channel",
			SPAN_ARG(p->exchange));
}

/*
 * BullMQ's jobs are hashes beside the lists, put there by its own script; what passes in a list is a job's
 * id.
 */
static const char *unfit(const struct replay_place *p, struct span envelope, struct span body)
{
	struct span key = p->dest == DEST_ROUTED ? p->routing_key : p->exchange;
	struct pair f;
	size_t fields = 0;

	(void)body;
	if (span_starts(key, "bull:") || put_with(envelope, "EVALSHA") || put_with(envelope, "EVAL") ||
		put_with(envelope, "FCALL"))
		return "it is a job that a script put there (BullMQ), with a hash and lists of its own: "
		       "retry it with the queue's own library";
	if (p->dest != DEST_LOG)
		return NULL;
	while (pairs_next(&envelope, &f))
		fields += f.header;
	if (!fields)
		return "the fields of its stream entry are not in the store";
	return fields > MAX_FIELDS ? "its stream entry has too many fields" : NULL;
}

static void caution(const struct replay_place *p, struct span envelope, const struct replay_notes *notes)
{
	struct span score = property(envelope, "score"), job = rq_job(p, envelope);

	if (p->dest == DEST_ROUTED && score.n)
		notes->say(notes->ctx,
			"it is a member of a sorted set: it goes there with its score, " SPAN_FMT,
			SPAN_ARG(score));
	else if (job.n)
		notes->say(notes->ctx,
			"RQ keeps its jobs beside the list: the job's id, " SPAN_FMT
			", is put there if the job still exists",
			SPAN_ARG(job));
	if (p->dest == DEST_CHANNEL)
		notes->say(notes->ctx, "only who is subscribed at that moment gets it");
}

/* A mark would be a field more; see above. */
static bool drop(struct span header)
{
	(void)header;
	return false;
}

static int envelope_to_send(struct span envelope, struct span mark, struct buf *ret,
	void (*dropped)(void *ctx, struct span name), void *ctx)
{
	(void)mark;
	return replay_pairs(envelope, drop, SPAN_EMPTY, ret, dropped, ctx);
}

/* --- the connection --- */

static void client_close(void *p)
{
	struct client *c = p;

	if (!c)
		return;
	if (c->redis)
		c->lib.redisFree(c->redis);
	free(c);
}

/* One command; NULL when the connection broke. */
static redisReply *ask(struct client *c, int n, const char *const *argv, const size_t *size)
{
	return c->lib.redisCommandArgv(c->redis, n, (const char **)(uintptr_t)argv, size);
}

static redisReply *ask_words(struct client *c, int n, const char *const *argv)
{
	size_t size[4];

	for (int i = 0; i < n; i++)
		size[i] = strlen(argv[i]);
	return ask(c, n, argv, size);
}

/* 0, -EACCES: the server said no; -EIO: it said nothing. */
static int check(struct client *c, redisReply *r, const char *what, struct err *e)
{
	int err = 0;

	if (!r)
		err = err_set(e, -EIO, "%s: %.200s", what, c->redis->errstr);
	else if (r->type == REDIS_REPLY_ERROR)
		err = err_set(e, -EACCES, "%s: %.300s", what, r->str);
	if (r)
		c->lib.freeReplyObject(r);
	return err;
}

static int log_in(struct client *c, const struct replay_broker *b, struct err *e)
{
	const struct credentials *l = b->login;
	char what[400];
	int err = 0;

	snprintf(what, sizeof(what), "the server at %s:%d refused %s", b->host, b->port,
		*l->user ? l->user : "the password");
	if (*l->user)
		err = check(c, ask_words(c, 3, (const char *[]){"AUTH", l->user, l->password}), what, e);
	else if (*l->password)
		err = check(c, ask_words(c, 2, (const char *[]){"AUTH", l->password}), what, e);
	if (err)
		return err;
	snprintf(what, sizeof(what), "the server at %s:%d refused database %s", b->host, b->port, b->vhost);
	if (*b->vhost && strcmp(b->vhost, "0"))
		err = check(c, ask_words(c, 2, (const char *[]){"SELECT", b->vhost}), what, e);
	return err;
}

static int client_open(const struct replay_broker *b, void **ret, struct err *e)
{
	struct timeval tv = {b->timeout_ms / 1000, b->timeout_ms % 1000 * 1000};
	struct client *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	err = login_usable(b->login, "hiredis", 0, e);
	if (!err)
		err = library_load(&replayer_hiredis, symbols, ARRAY_LEN(symbols), &c->lib, e);
	if (err)
		goto out;
	c->redis = c->lib.redisConnectWithTimeout(b->host, b->port, tv);
	if (!c->redis || c->redis->err) {
		err = err_set(e, -ECONNREFUSED, "cannot connect to the server at %s:%d: %s", b->host, b->port,
			c->redis ? c->redis->errstr : "out of memory");
		err_hint(e, "another address is named with --broker HOST:PORT");
		goto out;
	}
	c->lib.redisSetTimeout(c->redis, tv);
	err = log_in(c, b, e);
	if (err)
		goto out;
	*ret = c;
	return 0;
out:
	client_close(c);
	return err;
}

/* --- sending --- */

struct command {
	const char **argv;
	size_t *size;
	int n;
};

static void add(struct command *cmd, struct span s)
{
	cmd->argv[cmd->n] = s.n ? (const char *)s.p : "";
	cmd->size[cmd->n++] = s.n;
}

static int stream_command(struct command *cmd, const struct replay_message *m)
{
	struct span rest = m->envelope;
	struct pair f;

	add(cmd, SPAN_LIT("XADD"));
	add(cmd, m->place.exchange);
	add(cmd, SPAN_LIT("*"));
	while (pairs_next(&rest, &f)) {
		if (!f.header)
			continue;
		add(cmd, f.name);
		add(cmd, f.value);
	}
	return rest.n ? -EBADMSG : 0;
}

/* Unless the server says that there is none: who may not ask may still add. */
static bool has_key(struct client *c, struct span key, struct err *e)
{
	const char *argv[] = {"TYPE", (const char *)key.p};
	redisReply *r = ask(c, 2, argv, (size_t[]){4, key.n});
	bool none = r && r->type == REDIS_REPLY_STATUS && !strcmp(r->str, "none");

	if (!r)
		err_set(e, -EIO, "the server does not answer: %.200s", c->redis->errstr);
	else
		c->lib.freeReplyObject(r);
	return r && !none;
}

/* kombu has a list for each priority but the lowest; their messages are told by the name of all of them. */
static struct span list_key(const struct replay_message *m, struct buf *b)
{
	struct span priority = property(m->envelope, "priority");

	if (!priority.n || m->place.given)
		return m->place.routing_key;
	buf_put_span(b, m->place.routing_key);
	buf_puts(b, "\x06\x16");
	buf_put_span(b, priority);
	return buf_span(b);
}

static int list_command(struct command *cmd, const struct replay_message *m, struct buf *key)
{
	struct span score = property(m->envelope, "score"), job = rq_job(&m->place, m->envelope);
	/* RQ takes from the left and puts to the right; Celery and Sidekiq the other way round. */
	bool right = job.n || put_with(m->envelope, "RPUSH");

	add(cmd, score.n ? SPAN_LIT("ZADD") : right ? SPAN_LIT("RPUSH") : SPAN_LIT("LPUSH"));
	add(cmd, list_key(m, key));
	if (score.n)
		add(cmd, score);
	add(cmd, job.n ? job : m->body);
	return buf_ok(key) ? 0 : -ENOMEM;
}

/* @key keeps what the command points into. */
static int make_command(struct command *cmd, const struct replay_message *m, struct buf *key)
{
	struct span rest = m->envelope;
	struct pair f;
	size_t n = 4;

	while (m->place.dest == DEST_LOG && pairs_next(&rest, &f))
		n += 2;
	cmd->argv = calloc(n, sizeof(*cmd->argv));
	cmd->size = calloc(n, sizeof(*cmd->size));
	if (!cmd->argv || !cmd->size)
		return -ENOMEM;
	if (m->place.dest == DEST_LOG)
		return stream_command(cmd, m);
	if (m->place.dest == DEST_ROUTED)
		return list_command(cmd, m, key);
	add(cmd, put_with(m->envelope, "SPUBLISH") ? SPAN_LIT("SPUBLISH") : SPAN_LIT("PUBLISH"));
	add(cmd, m->place.exchange);
	add(cmd, m->body);
	return 0;
}

/* What Redis would not miss before it is too late: false, and why. */
static bool is_there(struct client *c, const struct replay_message *m, struct err *e)
{
	struct span job = rq_job(&m->place, m->envelope);
	struct buf key = {0};
	bool there = true;

	if (m->place.dest == DEST_LOG) {
		there = has_key(c, m->place.exchange, e);
		if (!there && !c->redis->err) {
			/* XADD would make a stream that nobody reads out of a name that was mistyped. */
			err_set(e, -EHOSTUNREACH, "there is no stream " SPAN_FMT,
				SPAN_ARG(m->place.exchange));
			err_hint(e, "--to KEY names another; a stream is not created by a replay");
		}
	} else if (job.n) {
		buf_puts(&key, "rq:job:");
		buf_put_span(&key, job);
		there = has_key(c, buf_span(&key), e);
		if (!there && !c->redis->err)
			err_set(e, -EHOSTUNREACH, "the job " SPAN_FMT " does not exist any more",
				SPAN_ARG(job));
		buf_free(&key);
	}
	return there;
}

static enum replay_outcome judge_number(
	const struct replay_message *m, bool sorted, long long n, struct replay_receipt *ret, struct err *e)
{
	if (m->place.dest == DEST_CHANNEL) {
		if (!n) {
			err_set(e, -EHOSTUNREACH, "nobody is subscribed to " SPAN_FMT,
				SPAN_ARG(m->place.exchange));
			return REPLAY_RETURNED;
		}
		snprintf(ret->text, sizeof(ret->text), "%lld %s it", n,
			n == 1 ? "subscriber gets" : "subscribers get");
	} else if (sorted) {
		snprintf(ret->text, sizeof(ret->text), n ? "the set has it now" : "the set had it already");
	} else {
		snprintf(ret->text, sizeof(ret->text), "the list holds %lld now", n);
	}
	return REPLAY_CONFIRMED;
}

/* In a cluster another server has this key. */
static void hint_moved(const char *text, struct err *e)
{
	const char *at = strrchr(text, ' ');

	if (!strncmp(text, "MOVED ", 6) && at)
		err_hint(e, "the key is kept by another server: --broker %s", at + 1);
}

static enum replay_outcome judge(struct client *c, const struct replay_message *m, bool sorted,
	const redisReply *r, struct replay_receipt *ret, struct err *e)
{
	if (!r) {
		err_set(e, -EIO, "no reply: %.200s", c->redis->errstr);
		return REPLAY_UNKNOWN;
	}
	switch (r->type) {
	case REDIS_REPLY_INTEGER:
		return judge_number(m, sorted, r->integer, ret, e);
	case REDIS_REPLY_STRING:
		snprintf(ret->log, sizeof(ret->log), SPAN_FMT, SPAN_ARG(m->place.exchange));
		snprintf(ret->mid, sizeof(ret->mid), "%s", r->str);
		return REPLAY_CONFIRMED;
	case REDIS_REPLY_ERROR:
		err_set(e, -EACCES, "the server refused it: %.300s", r->str);
		hint_moved(r->str, e);
		return REPLAY_REFUSED;
	default:
		err_set(e, -EPROTO, "the server's reply is of a kind that was not expected");
		return REPLAY_UNKNOWN;
	}
}

static enum replay_outcome client_send(
	void *p, const struct replay_message *m, struct replay_receipt *ret, struct err *e)
{
	enum replay_outcome o = REPLAY_FAILED;
	struct command cmd = {0};
	struct client *c = p;
	struct buf key = {0};
	int err;

	if (c->redis->err) {
		err_set(e, -ENOTCONN, "the connection to the server is gone");
		return REPLAY_FAILED;
	}
	if (!is_there(c, m, e))
		return c->redis->err ? REPLAY_FAILED : REPLAY_RETURNED;
	err = make_command(&cmd, m, &key);
	if (err) {
		err_set(e, err, err == -ENOMEM ? "out of memory" : "its fields cannot be read");
	} else {
		redisReply *r = ask(c, cmd.n, cmd.argv, cmd.size);

		o = judge(c, m, !strcmp(cmd.argv[0], "ZADD"), r, ret, e);
		if (r)
			c->lib.freeReplyObject(r);
	}
	free(cmd.argv);
	free(cmd.size);
	buf_free(&key);
	return o;
}

const struct replayer replayer_hiredis = {
	.proto = PROTO_REDIS,
	.library = LIBRARY,
	.package = "libhiredis" TEXT(HIREDIS_SONAME),
	.port = 6379,
	.vhost_word = "database",
	.vhost = "0",
	.to_form = "KEY, a list, stream or channel as the message's own",
	.parse_to = parse_to,
	.words = words,
	.unfit = unfit,
	.caution = caution,
	.envelope = envelope_to_send,
	.open = client_open,
	.send = client_send,
	.close = client_close,
};
