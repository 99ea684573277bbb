/*
 * Publishes to NATS through libnats, loaded with dlopen() when the first is sent. Where a stream of JetStream
 * takes the subject, its publish acknowledgement is awaited; core NATS confirms nothing, and all that can be
 * known is that the server has read the message (it answers the PING behind it).
 *
 * Subject, header values and payload are the recorded bytes; the library keeps values of one name in order,
 * but not names among each other, which mean nothing in NATS.
 */
#include "replay/replayer.h"

#include <errno.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "proto/pairs.h"

/* Its structures change with its name: what was compiled is what is loaded. */
#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)
#define LIBRARY    "libnats.so." TEXT(NATS_VERSION_MAJOR) "." TEXT(NATS_VERSION_MINOR)

#define MAX_HEADERS 1000u

#define FUNCTIONS(X)                                                                                         \
	X(natsOptions_Create)                                                                                \
	X(natsOptions_Destroy)                                                                               \
	X(natsOptions_SetURL)                                                                                \
	X(natsOptions_SetTimeout)                                                                            \
	X(natsOptions_SetName)                                                                               \
	X(natsOptions_SetAllowReconnect)                                                                     \
	X(natsOptions_SetUserInfo)                                                                           \
	X(natsOptions_SetToken)                                                                              \
	X(natsOptions_SetUserCredentialsFromFiles)                                                           \
	X(natsOptions_SetSecure)                                                                             \
	X(natsOptions_LoadCATrustedCertificates)                                                             \
	X(natsOptions_SetErrorHandler)                                                                       \
	X(natsConnection_Connect)                                                                            \
	X(natsConnection_Destroy)                                                                            \
	X(natsConnection_IsClosed)                                                                           \
	X(natsConnection_HasHeaderSupport)                                                                   \
	X(natsConnection_RequestString)                                                                      \
	X(natsConnection_PublishMsg)                                                                         \
	X(natsConnection_FlushTimeout)                                                                       \
	X(natsConnection_GetLastError)                                                                       \
	X(natsConnection_JetStream)                                                                          \
	X(jsCtx_Destroy)                                                                                     \
	X(jsPubOptions_Init)                                                                                 \
	X(js_PublishMsg)                                                                                     \
	X(jsPubAck_Destroy)                                                                                  \
	X(natsMsg_Create)                                                                                    \
	X(natsMsg_Destroy)                                                                                   \
	X(natsMsg_GetData)                                                                                   \
	X(natsMsg_GetDataLength)                                                                             \
	X(natsMsgHeader_Add)                                                                                 \
	X(natsStatus_GetText)                                                                                \
	X(nats_GetLastError)

struct lib {
	FUNCTIONS(LIBRARY_MEMBER)
};

static const struct library_symbol symbols[] = {FUNCTIONS(LIBRARY_SYMBOL)};

const struct replayer replayer_libnats;

struct client {
	struct lib lib;
	natsConnection *nc;
	jsCtx *js;
	int timeout_ms;
	/* The stream that takes the subject asked about last; "" none. */
	char *subject;
	char stream[256];
};

/* --- pure --- */

static bool is_word(struct span s, const char *word)
{
	return s.n == strlen(word) && !strncasecmp((const char *)s.p, word, s.n);
}

static bool starts(struct span s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n && !strncasecmp((const char *)s.p, prefix, n);
}

/*
 * A subject without spaces, empty words and wildcards: a message goes to one.
 */
static bool is_subject(struct span s)
{
	bool empty = true;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		bool alone = empty && (i + 1 == s.n || s.p[i + 1] == '.');

		if (c <= ' ' || c == 0x7f || (alone && (c == '*' || c == '>')) || (c == '.' && empty))
			return false;
		empty = c == '.';
	}
	return !empty;
}

static int parse_to(const char *text, enum dest dest, struct buf *ret_exchange, struct buf *ret_key)
{
	(void)dest;
	(void)ret_key;
	if (!is_subject(span_str(text)))
		return -EINVAL;
	buf_puts(ret_exchange, text);
	return 0;
}

static void words(const struct replay_place *p, struct buf *out)
{
	buf_printf(out, "subject " SPAN_FMT, SPAN_ARG(p->exchange));
	if (p->log.n && !p->given)
		buf_printf(out, " (stream " SPAN_FMT ")", SPAN_ARG(p->log));
}

static bool is_line(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!s.p[i] || s.p[i] == '\r' || s.p[i] == '\n')
			return false;
	return true;
}

static const char *unfit(const struct replay_place *p, struct span envelope, struct span body)
{
	size_t n = 0;
	struct pair h;

	if (!is_subject(p->exchange))
		return "its subject is none to publish to: name one with --to SUBJECT";
	if (body.n > INT32_MAX)
		return "it is larger than libnats can send";
	while (pairs_next(&envelope, &h)) {
		if (h.header && (!h.name.n || !is_line(h.name) || !is_line(h.value)))
			return "its headers hold what libnats cannot send";
		n += h.header;
	}
	return n > MAX_HEADERS ? "it has too many headers" : NULL;
}

static void caution(const struct replay_place *p, struct span envelope, const struct replay_notes *notes)
{
	struct pair h;

	if (span_starts(p->exchange, "$KV."))
		notes->say(notes->ctx, "it is a value of a key-value bucket: that key gets this value again");
	if (!p->log.n && pairs_find(envelope, false, SPAN_LIT("reply-to"), &h))
		notes->say(notes->ctx,
			"it asks for a reply to " SPAN_FMT ", where nobody may listen any more",
			SPAN_ARG(h.value));
	while (pairs_next(&envelope, &h)) {
		if (h.header && is_word(h.name, "Nats-Rollup"))
			notes->say(notes->ctx,
				"its header Nats-Rollup deletes what the stream holds before it (" SPAN_FMT
				")",
				SPAN_ARG(h.value));
		else if (h.header && is_word(h.name, "Nats-Msg-Id"))
			notes->say(notes->ctx,
				"its Nats-Msg-Id " SPAN_FMT
				" becomes that of the copy: a stream drops a second one as a duplicate",
				SPAN_ARG(h.value));
	}
}

/* Conditions that held then, and what the server added on the way out of a stream. */
static bool drop(struct span header)
{
	static const char *const names[] = {"Nats-Msg-Id", "Nats-Stream", "Nats-Sequence", "Nats-Time-Stamp",
		"Nats-Subject", "Nats-Last-Sequence", "Nats-Last-Consumer", "Nats-Last-Stream",
		"Nats-Num-Pending", "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit",
		"Nats-Stream-Source"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (is_word(header, names[i]))
			return true;
	return starts(header, "Nats-Expected-");
}

/* A message id stays one, but is its own: the mark is as unique. */
static int envelope_to_send(struct span envelope, struct span mark, struct buf *ret,
	void (*dropped)(void *ctx, struct span name), void *ctx)
{
	int err = replay_pairs(envelope, drop, mark, ret, dropped, ctx);
	struct pair h;

	while (!err && pairs_next(&envelope, &h))
		if (h.header && is_word(h.name, "Nats-Msg-Id")) {
			pairs_header(ret, SPAN_LIT("Nats-Msg-Id"), mark);
			break;
		}
	return err ? err : buf_ok(ret) ? 0 : -ENOMEM;
}

/* --- the connection --- */

/* Without the place in the library's source that it begins with: "(conn.c:2088): No server ..." */
static const char *why(struct client *c, natsStatus s)
{
	const char *text = c->lib.nats_GetLastError(NULL), *rest;

	if (!text || !*text)
		return c->lib.natsStatus_GetText(s);
	rest = *text == '(' ? strstr(text, "): ") : NULL;
	return rest ? rest + 3 : text;
}

static void client_close(void *p)
{
	struct client *c = p;

	if (!c)
		return;
	if (c->js)
		c->lib.jsCtx_Destroy(c->js);
	if (c->nc)
		c->lib.natsConnection_Destroy(c->nc);
	free(c->subject);
	free(c);
}

/* Its own handler writes to stderr; what it would say is asked for when it matters. */
static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus s, void *ctx)
{
	(void)nc;
	(void)sub;
	(void)s;
	(void)ctx;
}

static natsStatus configure(struct client *c, natsOptions *o, const struct replay_broker *b)
{
	const struct credentials *l = b->login;
	bool v6 = strchr(b->host, ':') != NULL;
	char url[300];
	natsStatus s;

	snprintf(url, sizeof(url), v6 ? "nats://[%s]:%d" : "nats://%s:%d", b->host, b->port);
	s = c->lib.natsOptions_SetURL(o, url);
	if (!s)
		s = c->lib.natsOptions_SetTimeout(o, b->timeout_ms);
	if (!s)
		s = c->lib.natsOptions_SetName(o, "evtrace-replay");
	/* A message is not sent a second time behind our back. */
	if (!s)
		s = c->lib.natsOptions_SetAllowReconnect(o, false);
	if (!s)
		s = c->lib.natsOptions_SetErrorHandler(o, on_error, NULL);
	if (!s && *l->user)
		s = c->lib.natsOptions_SetUserInfo(o, l->user, l->password);
	if (!s && *l->token)
		s = c->lib.natsOptions_SetToken(o, l->token);
	if (!s && *l->creds)
		s = c->lib.natsOptions_SetUserCredentialsFromFiles(o, l->creds, NULL);
	if (!s && l->tls)
		s = c->lib.natsOptions_SetSecure(o, true);
	if (!s && l->tls && *l->ca)
		s = c->lib.natsOptions_LoadCATrustedCertificates(o, l->ca);
	return s;
}

static int say_connect(struct client *c, const struct replay_broker *b, natsStatus s, struct err *e)
{
	const struct credentials *l = b->login;
	const char *who = *l->user    ? l->user
			  : *l->token ? "the token"
			  : *l->creds ? l->creds
				      : "a connection without a login";
	const char *text = why(c, s);

	if (s == NATS_CONNECTION_AUTH_FAILED || strcasestr(text, "authorization"))
		return err_set(e, -EACCES, "the server at %s:%d refused %.200s: %.200s", b->host, b->port,
			who, text);
	err_set(e, -ECONNREFUSED, "cannot connect to the server at %s:%d: %.200s", b->host, b->port, text);
	err_hint(e, "another address is named with --broker HOST:PORT");
	return -ECONNREFUSED;
}

static int client_open(const struct replay_broker *b, void **ret, struct err *e)
{
	struct client *c = calloc(1, sizeof(*c));
	natsOptions *o = NULL;
	natsStatus s;
	int err;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->timeout_ms = b->timeout_ms;
	err = login_usable(b->login, "libnats", LOGIN_TOKEN | LOGIN_CREDS | LOGIN_TLS, e);
	if (!err)
		err = library_load(&replayer_libnats, symbols, ARRAY_LEN(symbols), &c->lib, e);
	if (err)
		goto out;
	s = c->lib.natsOptions_Create(&o);
	if (!s)
		s = configure(c, o, b);
	if (s) {
		err = err_set(e, -EINVAL, "libnats: %.300s", why(c, s));
	} else {
		s = c->lib.natsConnection_Connect(&c->nc, o);
		if (s)
			err = say_connect(c, b, s, e);
	}
	if (o)
		c->lib.natsOptions_Destroy(o);
	if (!err && c->lib.natsConnection_JetStream(&c->js, c->nc, NULL))
		err = err_set(e, -ENOMEM, "out of memory");
	if (err)
		goto out;
	*ret = c;
	return 0;
out:
	client_close(c);
	return err;
}

/* --- sending --- */

/*
 * Which stream takes @subject: {"streams":["ORDERS"],...}. A server allows one for a subject; no JetStream,
 * or no right to ask, is none. A stream's name holds no quotes.
 */
static void find_stream(struct client *c, const char *subject)
{
	static const char list[] = "\"streams\":[\"";
	natsMsg *reply = NULL;
	char ask[1100];
	struct span data;
	const uint8_t *at, *end;

	if (c->subject && !strcmp(c->subject, subject))
		return;
	free(c->subject);
	c->subject = strdup(subject);
	c->stream[0] = '\0';
	if (strlen(subject) > 1000 || strpbrk(subject, "\"\\"))
		return;
	snprintf(ask, sizeof(ask), "{\"subject\":\"%s\"}", subject);
	if (c->lib.natsConnection_RequestString(&reply, c->nc, "$JS.API.STREAM.NAMES", ask, c->timeout_ms))
		return;
	data = span_of(c->lib.natsMsg_GetData(reply), (size_t)c->lib.natsMsg_GetDataLength(reply));
	at = data.n ? memmem(data.p, data.n, list, sizeof(list) - 1) : NULL;
	if (at) {
		at += sizeof(list) - 1;
		end = memchr(at, '"', (size_t)(data.p + data.n - at));
		if (end && (size_t)(end - at) < sizeof(c->stream))
			snprintf(c->stream, sizeof(c->stream), "%.*s", (int)(end - at), (const char *)at);
	}
	c->lib.natsMsg_Destroy(reply);
}

static char *text_of(struct span s)
{
	return s.n ? strndup((const char *)s.p, s.n) : strdup("");
}

static natsStatus add_headers(struct client *c, natsMsg *msg, struct span envelope)
{
	natsStatus s = NATS_OK;
	struct pair h;

	while (!s && pairs_next(&envelope, &h)) {
		char *name, *value;

		if (!h.header)
			continue;
		if (c->lib.natsConnection_HasHeaderSupport(c->nc) != NATS_OK) {
			if (span_is(h.name, REPLAY_MARK))
				continue; /* an old server: the copy is sent all the same */
			return NATS_NO_SERVER_SUPPORT;
		}
		name = text_of(h.name);
		value = text_of(h.value);
		s = name && value ? c->lib.natsMsgHeader_Add(msg, name, value) : NATS_NO_MEMORY;
		free(name);
		free(value);
	}
	return s;
}

static natsMsg *make_message(
	struct client *c, const struct replay_message *m, const char *subject, struct err *e)
{
	struct pair p;
	bool asks = !*c->stream && pairs_find(m->envelope, false, SPAN_LIT("reply-to"), &p) && p.value.n;
	char *reply = asks ? text_of(p.value) : NULL;
	natsMsg *msg = NULL;
	natsStatus s;

	s = asks && !reply ? NATS_NO_MEMORY
			   : c->lib.natsMsg_Create(&msg, subject, reply,
				     m->body.n ? (const char *)m->body.p : "", (int)m->body.n);
	free(reply);
	if (!s)
		s = add_headers(c, msg, m->envelope);
	if (!s)
		return msg;
	err_set(e, -EINVAL, "libnats does not take it: %.300s", why(c, s));
	if (msg)
		c->lib.natsMsg_Destroy(msg);
	return NULL;
}

static enum replay_outcome send_to_stream(
	struct client *c, natsMsg *msg, struct replay_receipt *ret, struct err *e)
{
	jsPubOptions o;
	jsPubAck *ack = NULL;
	jsErrCode code = 0;
	natsStatus s;

	c->lib.jsPubOptions_Init(&o);
	o.MaxWait = c->timeout_ms;
	s = c->lib.js_PublishMsg(&ack, c->js, msg, &o, &code);
	if (!s && ack->Duplicate) {
		err_set(e, -EEXIST, "stream %s dropped it as a duplicate of number %llu", ack->Stream,
			(unsigned long long)ack->Sequence);
		c->lib.jsPubAck_Destroy(ack);
		return REPLAY_REFUSED;
	}
	if (!s) {
		snprintf(ret->log, sizeof(ret->log), "%s", ack->Stream);
		snprintf(ret->mid, sizeof(ret->mid), "%llu", (unsigned long long)ack->Sequence);
		c->lib.jsPubAck_Destroy(ack);
		return REPLAY_CONFIRMED;
	}
	if (code) {
		err_set(e, -EACCES, "stream %s refused it: %.300s (error %d)", c->stream, why(c, s),
			(int)code);
		return REPLAY_REFUSED;
	}
	if (s == NATS_NO_RESPONDERS) {
		err_set(e, -EHOSTUNREACH, "no stream takes it any more");
		return REPLAY_RETURNED;
	}
	if (s == NATS_MAX_PAYLOAD) {
		err_set(e, -EMSGSIZE, "it is larger than the server takes");
		return REPLAY_FAILED;
	}
	err_set(e, s == NATS_TIMEOUT ? -ETIMEDOUT : -EIO, "no acknowledgement of stream %s: %.300s",
		c->stream, why(c, s));
	return REPLAY_UNKNOWN;
}

/* -ERR for a subject that the user may not publish to comes before the PONG. */
static enum replay_outcome send_to_subject(
	struct client *c, natsMsg *msg, struct replay_receipt *ret, struct err *e)
{
	const char *last = NULL;
	natsStatus s = c->lib.natsConnection_PublishMsg(c->nc, msg);

	if (s) {
		err_set(e, -EIO, "it could not be sent: %.300s", why(c, s));
		return REPLAY_FAILED;
	}
	s = c->lib.natsConnection_FlushTimeout(c->nc, c->timeout_ms);
	if (s) {
		err_set(e, s == NATS_TIMEOUT ? -ETIMEDOUT : -EIO,
			"the server did not say that it read it: %.300s", why(c, s));
		return REPLAY_UNKNOWN;
	}
	c->lib.natsConnection_GetLastError(c->nc, &last);
	if (last && *last) {
		err_set(e, -EACCES, "the server refused it: %.300s", last);
		return REPLAY_REFUSED;
	}
	snprintf(ret->text, sizeof(ret->text), "the server has read it; core NATS does not tell who got it");
	return REPLAY_SENT;
}

static enum replay_outcome client_send(
	void *p, const struct replay_message *m, struct replay_receipt *ret, struct err *e)
{
	char *subject = text_of(m->place.exchange);
	enum replay_outcome o = REPLAY_FAILED;
	struct client *c = p;
	natsMsg *msg;

	if (!subject || c->lib.natsConnection_IsClosed(c->nc)) {
		err_set(e, -ENOTCONN, subject ? "the connection to the server is gone" : "out of memory");
		free(subject);
		return REPLAY_FAILED;
	}
	find_stream(c, subject);
	msg = make_message(c, m, subject, e);
	if (msg) {
		o = *c->stream ? send_to_stream(c, msg, ret, e) : send_to_subject(c, msg, ret, e);
		c->lib.natsMsg_Destroy(msg);
	}
	free(subject);
	return o;
}

const struct replayer replayer_libnats = {
	.proto = PROTO_NATS,
	.library = LIBRARY,
	.package = "libnats" TEXT(NATS_VERSION_MAJOR) "." TEXT(NATS_VERSION_MINOR),
	.port = 4222,
	.to_form = "SUBJECT",
	.marks = true,
	.parse_to = parse_to,
	.words = words,
	.unfit = unfit,
	.caution = caution,
	.envelope = envelope_to_send,
	.open = client_open,
	.send = client_send,
	.close = client_close,
};
