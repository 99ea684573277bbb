/*
 * Sends AMQP 0-9-1 messages through librabbitmq, loaded with dlopen() when the first is sent.
 *
 * The library opens the connection, logs in and waits for the broker's answers. The content header is written
 * to its socket as the bytes that were recorded: the library knows properties only as a structure, which has
 * no place for all table types and loses the order and encoding of what it has.
 */
#include "replay/replayer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

/* Debian 12 has the old names; where there are new ones, the old warn. */
#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_tcp_socket.h>
#endif

#include "base/timefmt.h"
#include "proto/amqp091.h"

#define LIBRARY   "librabbitmq.so.4"
#define CHANNEL   1
#define FRAME_MAX 131072

#define FUNCTIONS(X)                                                                                         \
	X(amqp_new_connection)                                                                               \
	X(amqp_tcp_socket_new)                                                                               \
	X(amqp_socket_open_noblock)                                                                          \
	X(amqp_set_handshake_timeout)                                                                        \
	X(amqp_set_rpc_timeout)                                                                              \
	X(amqp_login)                                                                                        \
	X(amqp_channel_open)                                                                                 \
	X(amqp_confirm_select)                                                                               \
	X(amqp_get_rpc_reply)                                                                                \
	X(amqp_get_frame_max)                                                                                \
	X(amqp_get_sockfd)                                                                                   \
	X(amqp_send_method)                                                                                  \
	X(amqp_send_frame)                                                                                   \
	X(amqp_simple_wait_frame_noblock)                                                                    \
	X(amqp_read_message)                                                                                 \
	X(amqp_destroy_message)                                                                              \
	X(amqp_maybe_release_buffers)                                                                        \
	X(amqp_connection_close)                                                                             \
	X(amqp_destroy_connection)                                                                           \
	X(amqp_error_string2)

struct lib {
	FUNCTIONS(LIBRARY_MEMBER)
};

static const struct library_symbol symbols[] = {FUNCTIONS(LIBRARY_SYMBOL)};

const struct replayer replayer_librabbitmq;

struct client {
	struct lib lib;
	amqp_connection_state_t state;
	int timeout_ms;
	uint64_t published;
	bool usable;
};

/* --- pure: headers --- */

struct death {
	long index; /* of the x-death entry that is read */
	struct buf queue, reason, exchange, key;
};

struct deaths {
	struct buf first_queue, first_reason; /* x-first-death-* */
	struct death now, best;
	bool found, exact;
};

static void buf_set(struct buf *b, struct span s)
{
	buf_clear(b);
	buf_put_span(b, s);
}

static void death_free(struct death *d)
{
	buf_free(&d->queue);
	buf_free(&d->reason);
	buf_free(&d->exchange);
	buf_free(&d->key);
}

/* x-first-death-*: they stand behind x-death in a sorted table, so they are read in a pass of their own. */
static bool read_first(void *ctx, const struct field *f)
{
	struct deaths *d = ctx;

	if (span_is(f->name, "header.x-first-death-queue"))
		buf_set(&d->first_queue, f->text);
	else if (span_is(f->name, "header.x-first-death-reason"))
		buf_set(&d->first_reason, f->text);
	return true;
}

/*
 * An entry of x-death is complete. RabbitMQ puts the latest death first and one entry per queue and reason; a
 * message that died twice in one queue moved that entry to the front, so "oldest" is the one that
 * x-first-death-* names, else the last.
 */
static void death_done(struct deaths *d)
{
	struct death swap = d->best;
	bool exact = d->first_queue.n && span_eq(buf_span(&d->now.queue), buf_span(&d->first_queue)) &&
		     span_eq(buf_span(&d->now.reason), buf_span(&d->first_reason));

	if (d->now.index < 0 || d->exact)
		return;
	d->best = d->now;
	d->now = swap;
	d->found = true;
	d->exact = exact;
}

static bool read_death(void *ctx, const struct field *f)
{
	static const char prefix[] = "header.x-death[";
	struct deaths *d = ctx;
	char name[64];
	long index;
	char *rest;

	if (!span_starts(f->name, prefix) || f->name.n >= sizeof(name))
		return true;
	memcpy(name, f->name.p, f->name.n);
	name[f->name.n] = '\0';
	index = strtol(name + sizeof(prefix) - 1, &rest, 10);
	if (index != d->now.index) {
		death_done(d);
		d->now.index = index;
		buf_clear(&d->now.queue);
		buf_clear(&d->now.reason);
		buf_clear(&d->now.exchange);
		buf_clear(&d->now.key);
	}
	if (!strcmp(rest, "].queue"))
		buf_set(&d->now.queue, f->text);
	else if (!strcmp(rest, "].reason"))
		buf_set(&d->now.reason, f->text);
	else if (!strcmp(rest, "].exchange"))
		buf_set(&d->now.exchange, f->text);
	else if (!strcmp(rest, "].routing-keys[0]")) /* further ones are its CC */
		buf_set(&d->now.key, f->text);
	return true;
}

static int origin(struct span envelope, struct buf *ret_exchange, struct buf *ret_routing_key)
{
	struct deaths d = {.now.index = -1, .best.index = -1};
	int err = amqp091_fields(envelope, read_first, &d);

	if (!err)
		err = amqp091_fields(envelope, read_death, &d);
	death_done(&d);
	if (!err && d.found) {
		buf_set(ret_exchange, buf_span(&d.best.exchange));
		buf_set(ret_routing_key, buf_span(&d.best.key));
	}
	buf_free(&d.first_queue);
	buf_free(&d.first_reason);
	death_free(&d.now);
	death_free(&d.best);
	return err ? err : d.found;
}

struct dropping {
	void (*fn)(void *ctx, struct span name);
	void *ctx;
};

/* What dead-lettering and quorum queues add. CC stays: it is the sender's. */
static bool drop_header(void *ctx, struct span name)
{
	struct dropping *d = ctx;

	if (!span_is(name, "x-death") && !span_starts(name, "x-first-death-") &&
		!span_starts(name, "x-last-death-") && !span_is(name, "x-delivery-count") &&
		!span_is(name, "x-acquired-count") && !span_is(name, REPLAY_MARK))
		return false;
	if (d->fn)
		d->fn(d->ctx, name);
	return true;
}

static int envelope_to_send(struct span envelope, struct span mark, struct buf *ret,
	void (*dropped)(void *ctx, struct span name), void *ctx)
{
	struct dropping d = {dropped, ctx};

	return amqp091_edit_headers(envelope, drop_header, &d, REPLAY_MARK, mark, ret);
}

/* --- pure: places, what to know first --- */

static int parse_to(const char *text, enum dest dest, struct buf *ret_exchange, struct buf *ret_key)
{
	const char *slash = strchr(text, '/');

	(void)dest;
	if (!slash || (slash == text && !slash[1]))
		return -EINVAL;
	buf_set(ret_exchange, span_of(text, (size_t)(slash - text)));
	buf_set(ret_key, span_str(slash + 1));
	return 0;
}

static void words(const struct replay_place *p, struct buf *out)
{
	if (!p->exchange.n)
		buf_printf(out, "queue " SPAN_FMT " (default exchange)", SPAN_ARG(p->routing_key));
	else if (p->routing_key.n)
		buf_printf(out, "exchange " SPAN_FMT ", key " SPAN_FMT, SPAN_ARG(p->exchange),
			SPAN_ARG(p->routing_key));
	else
		buf_printf(out, "exchange " SPAN_FMT ", key (empty)", SPAN_ARG(p->exchange));
}

static bool note_field(void *ctx, const struct field *f)
{
	const struct replay_notes *n = ctx;

	if (span_is(f->name, "user-id"))
		n->say(n->ctx, "it carries user-id " SPAN_FMT ": the broker takes it from that user only",
			SPAN_ARG(f->text));
	else if (span_is(f->name, "header.CC[0]"))
		n->say(n->ctx, "its header CC sends it to further keys: " SPAN_FMT ", …", SPAN_ARG(f->text));
	else if (span_is(f->name, "expiration"))
		n->say(n->ctx, "it expires " SPAN_FMT " ms after it is queued", SPAN_ARG(f->text));
	return true;
}

static void caution(const struct replay_place *p, struct span envelope, const struct replay_notes *notes)
{
	(void)p;
	amqp091_fields(envelope, note_field, (void *)(uintptr_t)notes);
}

/* --- the connection --- */

/* A broker's text is a span of its own choice. */
static int say_closed(struct err *e, int code, const char *what, int reply_code, amqp_bytes_t text)
{
	return err_set(e, code, "%s: %d %.*s", what, reply_code, (int)(text.len < 300 ? text.len : 300),
		(const char *)text.bytes);
}

static int say_method(struct err *e, int code, const char *what, const amqp_method_t *m)
{
	if (m->id == AMQP_CHANNEL_CLOSE_METHOD) {
		const amqp_channel_close_t *c = m->decoded;

		return say_closed(e, code, what, c->reply_code, c->reply_text);
	}
	if (m->id == AMQP_CONNECTION_CLOSE_METHOD) {
		const amqp_connection_close_t *c = m->decoded;

		return say_closed(e, code, what, c->reply_code, c->reply_text);
	}
	return err_set(e, code, "%s: unexpected method 0x%08x", what, m->id);
}

/* 0, or -EACCES when the broker said no, -EIO when it said nothing. */
static int reply_check(struct client *c, amqp_rpc_reply_t r, const char *what, struct err *e)
{
	switch (r.reply_type) {
	case AMQP_RESPONSE_NORMAL:
		return 0;
	case AMQP_RESPONSE_SERVER_EXCEPTION:
		return say_method(e, -EACCES, what, &r.reply);
	case AMQP_RESPONSE_LIBRARY_EXCEPTION:
		return err_set(e, -EIO, "%s: %s", what, c->lib.amqp_error_string2(r.library_error));
	default:
		return err_set(e, -EIO, "%s: no answer", what);
	}
}

static struct timeval timeval_ms(int ms)
{
	return (struct timeval){ms / 1000, ms % 1000 * 1000};
}

static void client_close(void *p)
{
	struct client *c = p;

	if (!c)
		return;
	if (c->state) {
		if (c->usable)
			c->lib.amqp_connection_close(c->state, AMQP_REPLY_SUCCESS);
		c->lib.amqp_destroy_connection(c->state);
	}
	free(c);
}

static int log_in(struct client *c, const struct replay_broker *b, struct err *e)
{
	char what[300];
	int err;

	snprintf(what, sizeof(what), "the broker at %s:%d refused %s on virtual host %s", b->host, b->port,
		b->login->user, b->vhost);
	err = reply_check(c,
		c->lib.amqp_login(c->state, b->vhost, CHANNEL, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN,
			b->login->user, b->login->password),
		what, e);
	if (err)
		return err;
	c->usable = true;
	c->lib.amqp_channel_open(c->state, CHANNEL);
	err = reply_check(c, c->lib.amqp_get_rpc_reply(c->state), "cannot open a channel", e);
	if (err)
		return err;
	c->lib.amqp_confirm_select(c->state, CHANNEL);
	return reply_check(c, c->lib.amqp_get_rpc_reply(c->state), "the broker offers no confirms", e);
}

static int client_open(const struct replay_broker *b, void **ret, struct err *e)
{
	struct timeval tv = timeval_ms(b->timeout_ms);
	struct client *c = calloc(1, sizeof(*c));
	amqp_socket_t *sock;
	int err;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->timeout_ms = b->timeout_ms;
	err = login_usable(b->login, "librabbitmq", 0, e);
	if (!err)
		err = library_load(&replayer_librabbitmq, symbols, ARRAY_LEN(symbols), &c->lib, e);
	if (err)
		goto out;
	c->state = c->lib.amqp_new_connection();
	sock = c->state ? c->lib.amqp_tcp_socket_new(c->state) : NULL;
	if (!sock) {
		err = err_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	c->lib.amqp_set_handshake_timeout(c->state, &tv);
	c->lib.amqp_set_rpc_timeout(c->state, &tv);
	err = c->lib.amqp_socket_open_noblock(sock, b->host, b->port, &tv);
	if (err) {
		err = err_set(e, -ECONNREFUSED, "cannot connect to the broker at %s:%d: %s", b->host, b->port,
			c->lib.amqp_error_string2(err));
		err_hint(e, "another address is named with --broker HOST:PORT");
		goto out;
	}
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

static int write_all(int fd, struct span s, int timeout_ms)
{
	while (s.n) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

		if (n > 0) {
			s = span_sub(s, (size_t)n, SIZE_MAX);
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			struct pollfd p = {fd, POLLOUT, 0};

			if (!poll(&p, 1, timeout_ms))
				return -ETIMEDOUT;
			continue;
		}
		return n ? -errno : -EPIPE;
	}
	return 0;
}

static void put_be(struct buf *b, uint64_t v, unsigned width)
{
	while (width--)
		buf_putc(b, (char)(v >> 8 * width));
}

/* Specification 4.2.6.1: type 2, channel, size, class basic, weight 0, body size, envelope, end octet. */
static int send_header(struct client *c, const struct replay_message *m)
{
	size_t size = 12 + m->envelope.n;
	struct buf b = {0};
	int err;

	if (size + 8 > (size_t)c->lib.amqp_get_frame_max(c->state))
		return -EMSGSIZE;
	put_be(&b, AMQP_FRAME_HEADER, 1);
	put_be(&b, CHANNEL, 2);
	put_be(&b, size, 4);
	put_be(&b, AMQP_BASIC_CLASS, 2);
	put_be(&b, 0, 2);
	put_be(&b, m->body.n, 8);
	buf_put_span(&b, m->envelope);
	put_be(&b, AMQP_FRAME_END, 1);
	err = buf_ok(&b) ? write_all(c->lib.amqp_get_sockfd(c->state), buf_span(&b), c->timeout_ms) : -ENOMEM;
	buf_free(&b);
	return err;
}

static amqp_bytes_t bytes_of(struct span s)
{
	return (amqp_bytes_t){s.n, (void *)(uintptr_t)s.p};
}

/* All that leaves this machine for one message. On an error the broker drops what came of it. */
static int send_content(struct client *c, const struct replay_message *m, struct err *e)
{
	amqp_basic_publish_t publish = {.exchange = bytes_of(m->place.exchange),
		.routing_key = bytes_of(m->place.routing_key),
		.mandatory = 1};
	size_t part = (size_t)c->lib.amqp_get_frame_max(c->state) - 8;
	int err;

	err = c->lib.amqp_send_method(c->state, CHANNEL, AMQP_BASIC_PUBLISH_METHOD, &publish);
	if (err)
		return err_set(e, -EIO, "cannot write to the broker: %s", c->lib.amqp_error_string2(err));
	err = send_header(c, m);
	if (err)
		return err_set(e, err, "cannot write to the broker: %s",
			err == -EMSGSIZE ? "properties larger than its frames" : strerror(-err));
	for (size_t at = 0; at < m->body.n; at += part) {
		struct span s = span_sub(m->body, at, part);
		amqp_frame_t f = {.frame_type = AMQP_FRAME_BODY, .channel = CHANNEL};

		f.payload.body_fragment = bytes_of(s);
		err = c->lib.amqp_send_frame(c->state, &f);
		if (err)
			return err_set(
				e, -EIO, "cannot write to the broker: %s", c->lib.amqp_error_string2(err));
	}
	return 0;
}

/* basic.return: its content must be read, then the confirm of the same message follows. */
static bool take_return(struct client *c, const amqp_method_t *m, struct err *e)
{
	const amqp_basic_return_t *r = m->decoded;
	amqp_message_t back;
	amqp_rpc_reply_t reply;

	err_set(e, -EHOSTUNREACH, "%d %.*s", r->reply_code,
		(int)(r->reply_text.len < 200 ? r->reply_text.len : 200), (const char *)r->reply_text.bytes);
	err_hint(e, "no queue is bound there for this key: --to EXCHANGE/KEY names another place");
	reply = c->lib.amqp_read_message(c->state, CHANNEL, &back, 0);
	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		return false;
	c->lib.amqp_destroy_message(&back);
	return true;
}

static enum replay_outcome await(struct client *c, struct err *e)
{
	int64_t end = (int64_t)now_mono_ns() + c->timeout_ms * NS_PER_MS;
	bool returned = false;

	for (;;) {
		int64_t left = (end - (int64_t)now_mono_ns()) / NS_PER_MS;
		struct timeval tv = timeval_ms(left > 0 ? (int)left : 0);
		amqp_frame_t f;
		int err;

		c->lib.amqp_maybe_release_buffers(c->state);
		err = c->lib.amqp_simple_wait_frame_noblock(c->state, &f, &tv);
		if (err == AMQP_STATUS_TIMEOUT) {
			err_set(e, -ETIMEDOUT, "no confirmation within %d s", c->timeout_ms / 1000);
			return REPLAY_UNKNOWN;
		}
		if (err) {
			err_set(e, -EIO, "the connection broke before the confirmation: %s",
				c->lib.amqp_error_string2(err));
			return REPLAY_UNKNOWN;
		}
		if (f.frame_type != AMQP_FRAME_METHOD)
			continue;
		switch (f.payload.method.id) {
		case AMQP_BASIC_ACK_METHOD:
			if (((amqp_basic_ack_t *)f.payload.method.decoded)->delivery_tag < c->published)
				continue;
			return returned ? REPLAY_RETURNED : REPLAY_CONFIRMED;
		case AMQP_BASIC_NACK_METHOD:
			if (((amqp_basic_nack_t *)f.payload.method.decoded)->delivery_tag < c->published)
				continue;
			err_set(e, -EIO, "the broker could not take it (basic.nack)");
			return REPLAY_REFUSED;
		case AMQP_BASIC_RETURN_METHOD:
			returned = true;
			if (take_return(c, &f.payload.method, e))
				continue;
			c->usable = false;
			return REPLAY_RETURNED;
		case AMQP_CHANNEL_CLOSE_METHOD:
		case AMQP_CONNECTION_CLOSE_METHOD:
			say_method(e, -EACCES, "the broker refused it", &f.payload.method);
			return REPLAY_REFUSED;
		}
	}
}

static enum replay_outcome client_send(
	void *p, const struct replay_message *m, struct replay_receipt *ret, struct err *e)
{
	struct client *c = p;
	enum replay_outcome o;

	(void)ret; /* a confirm carries nothing */
	if (!c->usable) {
		err_set(e, -ENOTCONN, "the connection to the broker is gone");
		return REPLAY_FAILED;
	}
	c->published++;
	if (send_content(c, m, e)) {
		/* The broker may have closed over it, and says why. */
		c->usable = false;
		return REPLAY_FAILED;
	}
	o = await(c, e);
	if (o != REPLAY_CONFIRMED && o != REPLAY_RETURNED)
		c->usable = false;
	return o;
}

static const char *const families[] = {"x-first-death-", "x-last-death-", NULL};

const struct replayer replayer_librabbitmq = {
	.proto = PROTO_AMQP091,
	.library = LIBRARY,
	.package = "librabbitmq4",
	.port = 5672,
	.vhost_word = "virtual host",
	.vhost = "/",
	.to_form = "EXCHANGE/KEY; /QUEUE is the default exchange",
	.origin_word = "x-death",
	.families = families,
	.marks = true,
	.parse_to = parse_to,
	.words = words,
	.caution = caution,
	.origin = origin,
	.envelope = envelope_to_send,
	.open = client_open,
	.send = client_send,
	.close = client_close,
};
