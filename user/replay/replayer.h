/*
 * A broker client that sends one message again: one record of functions, one file, one row in replayers.def.
 * The client library is loaded when a connection is opened, so nothing else of evtrace depends on it.
 */
#ifndef EVTRACE_REPLAY_REPLAYER_H
#define EVTRACE_REPLAY_REPLAYER_H

#include "base/buf.h"
#include "base/err.h"
#include "proto/proto.h"
#include "replay/credentials.h"

struct replay_broker {
	const char *host;
	int port;
	const char *vhost; /* "" where the protocol has none */
	const struct credentials *login;
	int timeout_ms; /* to connect, and for each answer */
};

/* Where a message goes: which field means what, says enum dest in proto/op.h. */
struct replay_place {
	enum dest dest;
	struct span exchange, routing_key;
	struct span log; /* of the message that is sent again; empty: not known */
	bool given;      /* by --to */
};

struct replay_message {
	struct replay_place place;
	struct span envelope; /* as it will be on the wire, or the pairs that it is made of */
	struct span body;
};

enum replay_outcome {
	REPLAY_CONFIRMED,
	REPLAY_SENT,     /* the server has read it, and its protocol confirms no more than that */
	REPLAY_RETURNED, /* nobody took it, and the broker said so */
	REPLAY_REFUSED,  /* negative confirm, or the broker closed the channel over it */
	REPLAY_FAILED,   /* it did not leave this machine in whole */
	REPLAY_UNKNOWN,  /* sent, and no answer came: it may have arrived */
};

/* What the broker confirmed. Texts are "" where it said nothing. */
struct replay_receipt {
	char log[256], mid[64]; /* the copy's name there, as in struct op */
	char text[160];         /* the rest, in words: "2 subscribers got it" */
};

/* Says one line about a message that an operator should know before it is sent. */
struct replay_notes {
	void (*say)(void *ctx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
	void *ctx;
};

struct replayer {
	enum proto_id proto;
	const char *library;            /* what must be there at run time, for doctor and error messages */
	const char *package;            /* of Debian, that has it */
	int port;                       /* where a broker listens whose port was not named */
	const char *vhost_word, *vhost; /* "virtual host" and its default; NULL: there are none */
	const char *to_form;            /* what --to takes: "EXCHANGE/KEY" */
	const char *origin_word;        /* what origin() reads; NULL: it has none */
	const char *const *families;    /* prefixes of headers that are named once, "x-first-death-"; NULL
					   at the end */
	bool marks;                     /* a copy carries REPLAY_MARK */

	/* --- pure --- */
	/* Reads --to for a message of @dest: both texts, or -EINVAL. */
	int (*parse_to)(const char *text, enum dest dest, struct buf *ret_exchange, struct buf *ret_key);
	/* "topic orders, partition 3" */
	void (*words)(const struct replay_place *p, struct buf *out);
	/* Why a message can never be sent there, NULL: it can; and what to know first. Both may be NULL. */
	const char *(*unfit)(const struct replay_place *p, struct span envelope, struct span body);
	void (*caution)(const struct replay_place *p, struct span envelope, const struct replay_notes *notes);
	/* Where the broker's own headers say that it was first published. 1 and both texts, 0 when they
	 * say nothing, -EBADMSG. May be NULL. */
	int (*origin)(struct span envelope, struct buf *ret_exchange, struct buf *ret_routing_key);
	/* The envelope to send, without the headers that dead-lettering left, with the mark. Calls
	 * @dropped (may be NULL) for each header left out. -EBADMSG, -ENOMEM. */
	int (*envelope)(struct span envelope, struct span mark, struct buf *ret,
		void (*dropped)(void *ctx, struct span name), void *ctx);

	/* --- the connection --- */
	/* -ENOPKG without the library, -ECONNREFUSED and others, -EACCES: login refused. */
	int (*open)(const struct replay_broker *b, void **ret, struct err *e);
	/* Sends and waits for the broker's answer. @e says what it was unless it is REPLAY_CONFIRMED. The
	 * connection is of no more use after REPLAY_REFUSED, _FAILED and _UNKNOWN. @ret is empty before. */
	enum replay_outcome (*send)(
		void *conn, const struct replay_message *m, struct replay_receipt *ret, struct err *e);
	void (*close)(void *conn); /* NULL is fine */
};

const struct replayer *replayer_for(enum proto_id id); /* NULL: none */
const struct replayer *replayer_at(size_t i);          /* the rows in turn; NULL at the end */

/* --- for clients --- */

struct library_symbol {
	const char *name;
	size_t offset; /* of the pointer to it in the client's structure */
};

/* A client lists what it needs as FUNCTIONS(X), then: struct lib { FUNCTIONS(LIBRARY_MEMBER) }; and
 * static const struct library_symbol symbols[] = {FUNCTIONS(LIBRARY_SYMBOL)}; */
#define LIBRARY_MEMBER(fn) __typeof__(&fn) fn;
#define LIBRARY_SYMBOL(fn) {#fn, offsetof(struct lib, fn)},

/* Loads @r's library and fills in the pointers. Never unloaded: its atexit handlers (OpenSSL's) may point
 * into it. -ENOPKG. */
int library_load(const struct replayer *r, const struct library_symbol *symbols, size_t n, void *functions,
	struct err *e);

/* Could it be loaded? */
bool library_there(const struct replayer *r);

/* For envelopes of pairs (proto/pairs.h): all but what @drop names, then the mark if @mark is not empty. */
int replay_pairs(struct span envelope, bool (*drop)(struct span header), struct span mark, struct buf *ret,
	void (*dropped)(void *ctx, struct span name), void *ctx);

#endif
