/*
 * driver COMMAND --server HOST:PORT --log FILE [OPTION]...: an ordinary client of Redis on hiredis. Its
 * commands (produce, consume), modes and options are those of driver.py.
 *
 * Links: -lhiredis -lz
 */
#include <hiredis/hiredis.h>

#include "../client/truth.h"

#define PIPELINED 10

static struct truth t;
static redisContext *c;

static redisReply *answer(const char *what)
{
	void *r;

	if (redisGetReply(c, &r) != REDIS_OK)
		die(what, c->errstr);
	return r;
}

static bool mode_is(const char *mode)
{
	return !strcmp(t.mode, mode);
}

/* --- producing --- */

static void send_one(int i)
{
	size_t size = truth_body(&t, i);
	char n[64];

	if (mode_is("stream") && t.plain) {
		redisAppendCommand(c, "XADD %s * body %b", t.dest, t.body, size);
	} else if (mode_is("stream")) {
		snprintf(n, sizeof(n), "%s-%d", t.prefix, i);
		redisAppendCommand(c, "XADD %s * n %s kind lab body %b", t.dest, n, t.body, size);
	} else if (mode_is("list")) {
		redisAppendCommand(c, "%s %s %b", i % 2 ? "LPUSH" : "RPUSH", t.dest, t.body, size);
	} else {
		redisAppendCommand(
			c, "%s %s %b", mode_is("shard") ? "SPUBLISH" : "PUBLISH", t.dest, t.body, size);
	}
}

/* The fields of an entry; its body is JSON of the driver's own, or a part of it without quotes. */
static void log_fields(char *ret, size_t room, const char *n, const char *body, size_t size)
{
	size_t at = 0;

	at += snprintf(ret, room, ",\"fields\":[");
	if (*n)
		at += snprintf(ret + at, room - at, "[\"n\",\"%s\"],[\"kind\",\"lab\"],", n);
	at += snprintf(ret + at, room - at, "[\"body\",\"");
	for (size_t i = 0; i < size && at + 8 < room; i++) {
		if (body[i] == '"')
			ret[at++] = '\\';
		ret[at++] = body[i];
	}
	snprintf(ret + at, room - at, "\"]]");
}

static void log_message(
	const char *op, const char *n, const char *body, size_t size, const char *mid, const char *more)
{
	static char fields[2 * BODY_MAX + 256];

	if (mode_is("stream") || mode_is("read") || mode_is("claim")) {
		log_fields(fields, sizeof(fields), n, body, size);
		truth_write(&t, op, "%s,\"dest\":\"%s\"%s%s%s%s%s%s%s", truth_sum(body, size), t.dest, fields,
			*mid ? ",\"log\":\"" : "", *mid ? t.dest : "", *mid ? "\",\"mid\":\"" : "", mid,
			*mid ? "\"" : "", more);
	} else if (mode_is("list") || mode_is("move")) {
		truth_write(&t, op, "%s,\"dest\":\"\",\"rk\":\"%s\"%s", truth_sum(body, size), t.dest, more);
	} else {
		truth_write(&t, op, "%s,\"dest\":\"%s\"%s", truth_sum(body, size), *mid ? mid : t.dest, more);
	}
}

static void log_sent(int i, const char *mid, const char *tx)
{
	char n[64] = "", more[64] = "";
	size_t size = truth_body(&t, i);

	if (!t.plain)
		snprintf(n, sizeof(n), "%s-%d", t.prefix, i);
	if (*tx)
		snprintf(more, sizeof(more), ",\"tx\":\"%s\"", tx);
	log_message("send", n, t.body, size, mid, more);
}

/* PIPELINED commands at a time, with --tx between MULTI and EXEC or DISCARD, all in one write. */
static void produce_group(int first, int to)
{
	bool tx = *t.tx, abort = tx && !truth_turn(t.tx, first / PIPELINED, "commit");
	redisReply *r, *exec = NULL;

	if (tx)
		redisAppendCommand(c, "MULTI");
	for (int i = first; i < to; i++)
		send_one(i);
	if (tx)
		redisAppendCommand(c, abort ? "DISCARD" : "EXEC");
	if (tx)
		freeReplyObject(answer("MULTI"));
	for (int i = first; i < to; i++) {
		r = answer("command");
		if (r->type == REDIS_REPLY_ERROR)
			die("command", r->str);
		if (!tx)
			log_sent(i, r->type == REDIS_REPLY_STRING ? r->str : "", "");
		freeReplyObject(r);
	}
	if (!tx)
		return;
	exec = answer("EXEC");
	for (int i = first; i < to; i++) {
		r = abort ? NULL : exec->element[i - first];
		log_sent(i, r && r->type == REDIS_REPLY_STRING ? r->str : "", abort ? "abort" : "commit");
	}
	freeReplyObject(exec);
}

static void produce(void)
{
	for (int first = 0; first < t.n; first += PIPELINED) {
		if (*t.hold && first <= t.warm && t.warm < first + PIPELINED)
			truth_hold(&t);
		produce_group(first, first + PIPELINED < t.n ? first + PIPELINED : t.n);
	}
}

/* --- consuming --- */

static redisReply *ask(const char *format, ...)
{
	redisReply *r;
	va_list ap;

	va_start(ap, format);
	r = redisvCommand(c, format, ap);
	va_end(ap);
	if (!r)
		die(format, c->errstr);
	return r;
}

static const char *value_of(const redisReply *fields, const char *name, size_t *ret_size)
{
	for (size_t i = 0; i + 1 < fields->elements; i += 2) {
		if (strcmp(fields->element[i]->str, name))
			continue;
		*ret_size = fields->element[i + 1]->len;
		return fields->element[i + 1]->str;
	}
	*ret_size = 0;
	return "";
}

static void one_entry(const redisReply *entry)
{
	const redisReply *fields = entry->element[1];
	const char *mid = entry->element[0]->str, *body, *n;
	char more[128] = "";
	size_t size, n_size;

	body = value_of(fields, "body", &size);
	n = value_of(fields, "n", &n_size);
	if (*t.group)
		snprintf(more, sizeof(more), ",\"queue\":\"%s/%s\"%s", t.dest, t.group,
			mode_is("claim") ? ",\"again\":true" : "");
	log_message("recv", n, body, size, mid, more);
	if (!*t.group || strcmp(t.settle, "ack"))
		return;
	freeReplyObject(ask("XACK %s %s %s", t.dest, t.group, mid));
	truth_write(&t, "settle", ",\"how\":\"ack\",\"queue\":\"%s/%s\",\"log\":\"%s\",\"mid\":\"%s\"",
		t.dest, t.group, t.dest, mid);
}

static int consume_stream(void)
{
	char last[64] = "0";
	int n = 0;

	if (*t.group)
		freeReplyObject(ask("XGROUP CREATE %s %s 0 MKSTREAM", t.dest, t.group)); /* it may be there */
	truth_ready(&t);
	while (n < t.n) {
		const redisReply *list = NULL;
		redisReply *r;

		truth_in_time(&t, "entries");
		if (mode_is("claim"))
			r = ask("XAUTOCLAIM %s %s rescuer 0 0 COUNT 10", t.dest, t.group);
		else if (*t.group)
			r = ask("XREADGROUP GROUP %s c-%d COUNT 7 BLOCK 200 STREAMS %s >", t.group,
				(int)getpid(), t.dest);
		else
			r = ask("XREAD COUNT 7 BLOCK 200 STREAMS %s %s", t.dest, last);
		if (r->type == REDIS_REPLY_ERROR)
			die("read", r->str);
		if (r->type == REDIS_REPLY_ARRAY && r->elements)
			list = mode_is("claim") ? r->element[1] : r->element[0]->element[1];
		for (size_t i = 0; list && i < list->elements; i++, n++) {
			one_entry(list->element[i]);
			snprintf(last, sizeof(last), "%s", list->element[i]->element[0]->str);
		}
		freeReplyObject(r);
	}
	return n;
}

static int consume_list(void)
{
	char more[128];
	int n;

	truth_ready(&t);
	for (n = 0; n < t.n; n++) {
		const redisReply *e;
		redisReply *r;

		if (mode_is("move"))
			r = ask("BLMOVE %s %s RIGHT LEFT 10", t.dest, t.group);
		else
			r = ask("%s %s 10", n % 2 ? "BLPOP" : "BRPOP", t.dest);
		e = r->type == REDIS_REPLY_ARRAY ? r->element[1] : r;
		if (e->type != REDIS_REPLY_STRING)
			die("pop", e->str ? e->str : "nothing came");
		snprintf(more, sizeof(more), ",\"queue\":\"%s\"", t.dest);
		log_message("recv", "", e->str, e->len, "", more);
		if (mode_is("move")) {
			freeReplyObject(ask("LREM %s 1 %b", t.group, e->str, e->len));
			truth_write(&t, "settle", ",\"how\":\"ack\",\"queue\":\"%s\"", t.group);
		}
		freeReplyObject(r);
	}
	return n;
}

static int consume_channel(void)
{
	size_t at = mode_is("pattern") ? 2 : 1;
	redisReply *r;
	int n = 0;

	freeReplyObject(ask("%s %s",
		mode_is("pattern") ? "PSUBSCRIBE"
		: mode_is("shard") ? "SSUBSCRIBE"
				   : "SUBSCRIBE",
		t.dest));
	truth_ready(&t);
	for (; n < t.n; n++) {
		truth_in_time(&t, "messages");
		r = answer("message");
		log_message("recv", "", r->element[at + 1]->str, r->element[at + 1]->len, r->element[at]->str,
			"");
		freeReplyObject(r);
	}
	return n;
}

int main(int argc, char **argv)
{
	char host[64];
	const char *port;

	t = truth_options(argc, argv);
	port = strrchr(t.server, ':');
	if (!port)
		die("server", "HOST:PORT is needed");
	snprintf(host, sizeof(host), "%.*s", (int)(port - t.server), t.server);
	c = redisConnect(host, atoi(port + 1));
	if (!c || c->err)
		die("connect", c ? c->errstr : NULL);
	if (!strcmp(t.command, "produce"))
		produce();
	else if (mode_is("stream") || mode_is("read") || mode_is("claim"))
		consume_stream();
	else if (mode_is("list") || mode_is("move"))
		consume_list();
	else
		consume_channel();
	redisFree(c);
	return 0;
}
