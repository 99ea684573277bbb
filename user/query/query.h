/*
 * The query language and what answers it: messages (select), what is true of one (verdict), what it led to
 * (tree).
 *
 * words and "phrases"   anywhere in a message: body, headers, properties, keys, names; ASCII case is ignored;
 *                       a word matches at word boundaries
 * name=value  name!=value  name<value  name<=value  name>value  name>=value
 *                       a body field (the end of its path), header or property; numbers compare as numbers
 * service: queue: group: exchange: key: topic: state: id: broker-id: since: until: has:
 *                       what evtrace knows; topic: is exchange, queue or routing key; exchange: is also the
 *                       name of a topic, stream, subject or channel; group: who reads it; broker-id: its
 *                       offset, stream id or sequence
 * AND OR NOT ( )        AND binds stronger than OR and may be left out
 *
 * The wildcards * and ? work in words, in values behind = and !=, and in names. See evtrace-query(7).
 */
#ifndef EVTRACE_QUERY_QUERY_H
#define EVTRACE_QUERY_QUERY_H

#include "base/buf.h"
#include "store/store.h"

struct query;

/* @text: the whole query. On a syntax error -EINVAL with a message that points at the place: the text on its
 * own line, indented by two, and a caret under the offending byte. */
int query__parse(const char *text, int64_t now_ns, struct query **ret, struct err *e);
/* The words of a command line joined: an argument with spaces that is not otherwise quoted is one phrase. */
int query__from_args(int argc, char *const *argv, int64_t now_ns, struct query **ret, struct err *e);
void query__free(struct query *q);
const char *query_text(const struct query *q);
/* What is not found, for a sentence: "nothing holds "4712"", "no message matches state:dead". */
void put_not_found(struct buf *out, const struct query *q);

/* A message as lists show it. Strings and spans live until the next row. */
struct row {
	uint64_t id;
	int64_t when_ns; /* sent, else first seen */
	enum msg_state state;
	unsigned copies;
	enum dest dest;
	const char *exchange, *routing_key, *type, *vhost;
	const char *log;    /* the broker's own name for it: within what, "" none */
	char mid[128];      /* and which, "" none; a longer one is cut */
	const char *queues; /* names of its copies' queues, comma-separated */
	/* the same; and where its dead copies went on to; without those that are not known */
	const char *const *queue_list, *const *dead_list;
	unsigned queue_list_n, dead_list_n;
	const char *service; /* sender's, "" unknown */
	uint32_t pid;
	uint64_t flow, body_size, body_kept;
	uint32_t flags;
	enum msg_origin origin;
	enum proto_id proto;
	uint64_t payload;
	struct span envelope, body;
	struct span shown; /* the body, what it reads as when it is packed or binary, or what else it is */
	size_t match_at, match_n; /* where `shown` shows why it was found; 0 bytes: nowhere */
};

/* What it is, in a word: its type, else its routing key; "" not known. */
const char *row_label(const struct row *r);
/* As an operator says it: a copy that the broker made and that waits is called dead-lettered, not queued. */
const char *row_state(const struct row *r);
/* A topic's or stream's broker did not say that it has it, and nobody was seen to get it: groups may wait for
 * what was never stored. */
bool row_unconfirmed(const struct row *r);

struct select_opts {
	uint64_t limit;             /* 0: no limit */
	bool peek;                  /* at the limit, look on until it is known whether there is more */
	uint64_t before;            /* cursor: only messages with a smaller id; 0: from the newest */
	uint64_t after;             /* tail: only messages with a larger id, oldest first */
	bool oldest_first;          /* with `after` 0 too */
	int64_t since_ns, until_ns; /* of `when_ns`; 0: no bound */
	/* Called now and then while nothing is found; false ends the search (-EINTR). */
	bool (*tick)(void *ctx, uint64_t searched);
	void *ctx;
};

struct select;

int select__new(struct store *s, const struct query *q, const struct select_opts *opts, struct select **ret,
	struct err *e);
/* 1 and *ret filled, 0 at the end, -errno. */
int select__next(struct select *s, struct row *ret, struct err *e);
void select__free(struct select *s);
struct select_stats {
	uint64_t searched; /* messages that the answer covers */
	uint64_t matched;
	uint64_t payloads_read;
	uint64_t damaged;  /* messages whose payload could not be read: looked at without it */
	struct err damage; /* of the first of them */
	bool limited;      /* stopped at the limit; there is more (without `peek`: there may be) */
	uint64_t cursor;   /* for the next call's `before` */
};
void select_stats(const struct select *s, struct select_stats *ret);

/* "m42", or "42" where only an id can stand. 0 or -EINVAL. */
int message_id_parse(const char *text, uint64_t *ret);

/*
 * An id as typed ("m42"), or a query that finds exactly one message. 0; -ENOENT; -ENOTUNIQ with candidates
 * listed in @e's message; -EINVAL for the query's syntax.
 */
int resolve_message(struct store *s, int argc, char *const *argv, uint64_t *ret_id, struct err *e);

/*
 * The messages that an answer is about: an id, or all that a query finds, up to @max, newest first. The ones
 * beyond are not counted; *ret_more tells that there are some. 0 with at least one, or as above.
 */
int resolve_messages(struct store *s, int argc, char *const *argv, size_t max, uint64_t *ret_ids,
	size_t *ret_n, bool *ret_more, struct err *e);

#endif
