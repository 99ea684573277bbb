/*
 * Scripts and functions, of which only keys and arguments are seen, and the hash in which kombu has what is
 * unacknowledged.
 *
 * Arguments that come with a key that is known for a queue are told as one message, sent to the call
 * (DEST_CALL): a single one as it is, several as an array of MessagePack, which keeps each one's bytes. What
 * the script did with them is not known, so no message taken from a queue later is said to be this one.
 */
#include "base/json.h"
#include "proto/redis_state.h"

#define SCRIPT_TEXT_MAX 4096u
#define SCRATCH_KEPT    (1u << 20)

/* pend.extra: the first item is the id of the message, then come keys */
#define SCRIPT_SENT 0x400

static bool is_unacked(struct span key)
{
	return span_ends(key, "unacked");
}

/* --- requests --- */

static void hash_request(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	if (cmd == RC_HSET && !is_unacked(redis_arg(st, 1))) {
		redis_job_written(st, flags);
		return;
	}
	if (!is_unacked(redis_arg(st, 1)) || redis_args(st) < 3)
		return;
	redis_kombu_note(st, cmd, redis_arg(st, 2));
	if (cmd != RC_HDEL || !pend_open(st, cmd, flags))
		return;
	for (uint32_t i = 2; i < redis_args(st); i++)
		pend_item(st, redis_arg(st, i));
	pend_close(st);
}

/* A request's arguments: keys [3, argv), ARGV [argv, n). */
struct call {
	uint32_t argv, n;
};

static bool call_args(const struct redis *st, struct call *ret)
{
	struct span name = redis_arg(st, 0);
	long keys = 0;

	if (name.n > 3 && span_same(span_sub(name, name.n - 3, 3), "_RO"))
		return false;
	if (!redis_number(redis_arg(st, 2), &keys) || keys < 1 || keys > (long)redis_args(st) - 3)
		return false;
	*ret = (struct call){3 + (uint32_t)keys, redis_args(st)};
	return true;
}

/* Sidekiq asks every few seconds for what is due: key and time, nothing that anybody sent. */
static bool is_poll(const struct redis *st, const struct call *c)
{
	struct span key = redis_arg(st, 3), now = redis_arg(st, 4);

	if (c->argv != 4 || c->n != 5 || !(span_ends(key, "schedule") || span_ends(key, "retry")))
		return false;
	for (size_t i = 0; i < now.n; i++)
		if (now.p[i] != '.' && (now.p[i] < '0' || now.p[i] > '9'))
			return false;
	return true;
}

/* A head of MessagePack: @n in its one byte where that has room for it, else in 32 bits. */
static void put_head(struct buf *b, uint8_t small, size_t max, uint8_t wide, size_t n)
{
	const uint8_t head[] = {wide, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

	if (n <= max)
		buf_putc(b, (char)(small | n));
	else
		buf_put(b, head, sizeof(head));
}

static void put_argument(struct buf *b, struct span s)
{
	bool text = span_is_text(s);

	if (!text && s.n <= UINT8_MAX)
		buf_putc(b, (char)0xc4);
	put_head(b, text ? 0xa0 : 0, text ? 31 : UINT8_MAX, text ? 0xdb : 0xc6, s.n);
	buf_put_span(b, s);
}

/* Several arguments as one body; of too much the first ones, so that each stands in its place. */
static void put_arguments(struct redis *st, const struct call *c, struct op *op)
{
	struct buf *b = &st->ids;
	uint64_t missing = 0;
	bool full = false;

	buf_clear(b);
	put_head(b, 0x90, 15, 0xdd, c->n - c->argv);
	for (uint32_t i = c->argv; i < c->n; i++) {
		struct op one = {0};

		redis_body(&st->r[TO_SERVER], redis_arg_node(st, i), &one);
		op->flags |= one.flags;
		missing += one.body_size;
		full |= b->n + one.body.n > st->opts.payload_limit;
		if (full)
			continue;
		missing -= one.body.n;
		put_argument(b, one.body);
	}
	if (!buf_ok(b)) {
		missing += b->n;
		buf_clear(b);
		b->oom = false;
		full = true;
	}
	op->flags |= full ? OPF_TRUNCATED : 0;
	op->body = buf_span(b);
	op->body_size = b->n + missing;
	redis_property(st, op, "content-type", SPAN_LIT("application/msgpack"));
}

/* "EVALSHA 6b1bf486..", "FCALL name"; a script sent as text is named by what it says, in its property. */
static void name_call(struct redis *st, struct short_text *ret, struct op *op)
{
	struct span script = redis_arg(st, 1);
	bool text = redis_arg_is(st, 0, "EVAL");
	const char *word = text ? "EVAL" : redis_arg_is(st, 0, "FCALL") ? "FCALL" : "EVALSHA";
	size_t n = strlen(word);

	memcpy(ret->s, word, n);
	if (!text && script.n < sizeof(ret->s) - n) {
		ret->s[n++] = ' ';
		memcpy(ret->s + n, script.p, script.n);
		n += script.n;
	}
	ret->n = (uint8_t)n;
	op->exchange = short_span(ret);
	redis_property(st, op, "command", span_str(word));
	redis_property(st, op, "script", span_sub(script, 0, SCRIPT_TEXT_MAX));
}

static uint64_t send_arguments(struct redis *st, const struct call *c, uint8_t flags)
{
	struct op op = redis_op(st, OP_SEND, st->db);
	struct short_text name;
	struct buf keys = {0};
	uint64_t id;

	op.dest = DEST_CALL;
	op.flags = flags & PEND_TX ? OPF_TX : 0;
	name_call(st, &name, &op);
	for (uint32_t i = 3; i < c->argv && keys.n < SCRIPT_TEXT_MAX; i++) {
		if (keys.n)
			buf_putc(&keys, ' ');
		buf_put_span(&keys, redis_arg(st, i));
	}
	redis_property(st, &op, "keys", buf_span(&keys));
	if (c->n - c->argv == 1)
		redis_body(&st->r[TO_SERVER], redis_arg_node(st, c->argv), &op);
	else
		put_arguments(st, c, &op);
	id = redis_emit(st, &op);
	buf_free(&keys);
	if (st->ids.cap > SCRATCH_KEPT)
		buf_free(&st->ids);
	return id;
}

/*
 * Of scripts that are not known only their keys tell something: from a queue that is one of them anything may
 * have been taken. With one exception: a single key and a job of Sidekiq's as the answer is its way to take
 * what is due from "schedule" and "retry".
 */
static void script_request(struct redis *st, uint8_t flags)
{
	uint32_t known = 0;
	struct call c;
	uint64_t id;
	bool sent;

	if (redis_bullmq_request(st, flags) || !call_args(st, &c))
		return;
	for (uint32_t i = 3; i < c.argv; i++)
		known += redis_queue_kind(st, st->db, redis_arg(st, i)) != 0;
	sent = known && c.n > c.argv && !is_poll(st, &c);
	id = sent ? send_arguments(st, &c, flags) : 0;
	if ((!known && c.argv > 4) || !pend_open(st, RC_EVAL, flags))
		return;
	if (sent) {
		pend_extra(st, SCRIPT_SENT);
		pend_item(st, span_of(&id, sizeof(id)));
	}
	for (uint32_t i = 3; i < c.argv; i++)
		pend_item(st, redis_arg(st, i));
	pend_close(st);
}

void redis_script_refused(struct redis *st, const struct answer *a, struct span text)
{
	if (a->h.cmd == RC_EVAL && a->h.extra & SCRIPT_SENT)
		redis_confirm_all(st, a, OPF_NEGATIVE | OPF_TX, text);
}

/* --- answers --- */

static void script_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span job = resp_is_text(n) ? resp_text(&st->r[TO_CLIENT], n) : SPAN_EMPTY, rest = a->items, v;
	uint32_t keys = a->h.items;

	if (redis_bullmq_reply(st, a, n))
		return;
	if (a->h.extra & SCRIPT_SENT) {
		if (n && resp_is_error(n))
			redis_confirm_all(st, a, OPF_NEGATIVE, resp_text(&st->r[TO_CLIENT], n));
		else if (n)
			redis_confirm_all(st, a, 0, SPAN_EMPTY);
		answer_next(&rest, &v);
		keys--;
	}
	if (keys == 1 && job.n && json_member(job, "jid", &v) && json_member(job, "class", &v)) {
		answer_next(&rest, &v);
		redis_zset_member(st, a, v, n);
		return;
	}
	/* Never run, or there was nothing. */
	if (!n || n->null || resp_is_error(n))
		return;
	while (answer_next(&rest, &v))
		if (redis_queue_kind(st, a->h.db, v))
			redis_touched(st, a, v, SPAN_LIT("a script"));
}

void redis_script_request(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	if (cmd == RC_EVAL)
		script_request(st, flags);
	else
		hash_request(st, cmd, flags);
}

void redis_script_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span rest = a->items, tag;

	if (a->h.cmd == RC_EVAL)
		script_reply(st, a, n);
	if (a->h.cmd == RC_HSET)
		redis_job_reply(st, a, n);
	if (a->h.cmd == RC_HDEL && n && n->type == ':' && n->i > 0)
		while (answer_next(&rest, &tag))
			redis_kombu_gone(st, a, tag);
}
