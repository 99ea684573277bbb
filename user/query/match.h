/*
 * Is a query true of one message? Private to query/.
 *
 * Exact, and lazy: what is cheap is looked at first, and the body is decoded only when its bytes do not
 * settle it. A word is looked for in the body's bytes, in what these bytes mean (JSON escapes, XML entities,
 * form encoding: "Jos\u00e9" holds José; base64, gzip, MessagePack and the like), in the values and names of
 * headers, in the values of properties, and in the names that the catalogue has for the message. In a binary
 * body a word needs no boundaries: what stands before a string there is often its length, which may look like
 * a letter.
 *
 * What is skipped is skipped because it cannot make a difference: a value contains a leaf's literal only if
 * the bytes that it is decoded from do, unless the format has ways to write it otherwise (decodes_to_more()),
 * or the value is a number, a time or a truth value in an envelope (may_be_rendered()).
 */
#ifndef EVTRACE_QUERY_MATCH_H
#define EVTRACE_QUERY_MATCH_H

#include "query/content.h"
#include "query/node.h"

/* Where the catalogue is asked for names. */
enum names_of {
	NAMES_OF_MESSAGE, /* exchange, routing key, type, sender's service */
	NAMES_OF_COPIES,  /* queues, consumers' services, states: costs a look-up */
};

struct subject {
	uint64_t id;
	int64_t when_ns;
	uint32_t states; /* bits of enum msg_state: its own */
	uint32_t flags;
	enum proto_id proto;
	struct span mid;            /* the broker's own id */
	bool keyed;                 /* its key is the property of that name, not the routing key */
	struct span envelope, body; /* set by payload(), or before when that is NULL */
	bool loaded;
	void *ctx;
	/* Reads the payload; asked for once, when it matters. <0 stops the evaluation. */
	int (*payload)(void *ctx, struct span *ret_envelope, struct span *ret_body);
	/* Does a name (LEAF_STATE: a copy's state) make leaf @i true? Only asked for leaves that names can
	 * make true. <0 stops the evaluation. */
	int (*names)(void *ctx, enum names_of of, size_t i);
};

/* 1 true, 0 not, <0 what a function of the subject returned. */
int query_match(const struct query *q, struct subject *s);
/* Has its payload read if it was not yet. */
int subject_load(struct subject *s);

/* Where @body shows why it was found: the first place of a word or value that had to be there. Not when
 * @label, which is shown before it, holds that word. */
bool query_highlight(
	const struct query *q, struct span body, struct span label, size_t *ret_at, size_t *ret_n);

#endif
