/*
 * A broker client that sends one message again: one record of functions, one file, one row in replayers.def.
 * The client library is loaded when a connection is opened, so nothing else of evtrace depends on it.
 */
#ifndef EVTRACE_REPLAY_REPLAYER_H
#define EVTRACE_REPLAY_REPLAYER_H

#include "base/buf.h"
#include "base/err.h"
#include "proto/proto.h"

/* The header that marks a copy: "m42.5f1c0a77d2e94b10", the message and the act's token. */
#define REPLAY_MARK "evtrace-replay-of"

struct replay_broker {
	const char *host;
	int port;
	const char *vhost, *user, *password;
	int timeout_ms; /* to connect, and for each answer */
};

struct replay_message {
	struct span exchange, routing_key;
	struct span envelope; /* as it will be on the wire */
	struct span body;
};

enum replay_outcome {
	REPLAY_CONFIRMED,
	REPLAY_RETURNED, /* no queue took it; the broker gave it back */
	REPLAY_REFUSED,  /* negative confirm, or the broker closed the channel over it */
	REPLAY_FAILED,   /* it did not leave this machine in whole */
	REPLAY_UNKNOWN,  /* sent, and no answer came: it may have arrived */
};

struct replayer {
	enum proto_id proto;
	const char *library; /* what must be there at run time, for doctor and error messages */

	/* Pure: where the broker's own headers say that it was first published. 1 and both texts, 0 when they
	 * say nothing, -EBADMSG. */
	int (*origin)(struct span envelope, struct buf *ret_exchange, struct buf *ret_routing_key);
	/* Pure: the envelope to send, without the headers that dead-lettering left, with the mark. Calls
	 * @dropped (may be NULL) for each header left out. -EBADMSG, -ENOMEM. */
	int (*envelope)(struct span envelope, struct span mark, struct buf *ret,
		void (*dropped)(void *ctx, struct span name), void *ctx);

	/* -ENOPKG without the library, -ECONNREFUSED and others, -EACCES: login refused. */
	int (*open)(const struct replay_broker *b, void **ret, struct err *e);
	/* Sends and waits for the broker's answer. @e says what it was unless it is REPLAY_CONFIRMED. The
	 * connection is of no more use after REPLAY_REFUSED, _FAILED and _UNKNOWN. */
	enum replay_outcome (*send)(void *conn, const struct replay_message *m, struct err *e);
	void (*close)(void *conn); /* NULL is fine */
};

const struct replayer *replayer_for(enum proto_id id); /* NULL: none */

#endif
