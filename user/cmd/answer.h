/*
 * What the commands that answer questions share: opening the store, the words for times, people and places,
 * and the closing line that says how far an answer can be trusted.
 *
 * Off a terminal nothing changes but colour and width. With --json every line of stdout is one object; its
 * `type` says which. Names are stable: they are only added to. Times are RFC 3339 in UTC; ids of messages are
 * texts like "m42"; what is not known is left out.
 *
 * message    find, tail, where, show
 *   id, flow, time (sent, else first seen), state, copies, queues [..], dead_letter_queues [..], vhost,
 *   exchange, routing_key, message_type, service, pid, body_size, body_kept, truncated, gap,
 *   origin (client | broker | unseen), protocol
 *   find, tail: excerpt (the table's last column)
 *   where: asked (or an effect of what was asked for), because_of
 *   where, show, flow: replay {of, as, time, by, reason, result}: what evtrace noted when it sent this copy
 *   show: sent, exe, tid, connection, channel, routes (declared | unknown), confirmed, identical, code,
 *     properties {name: value}, body_format, body_layers [..], body_schema, body (text) or body_base64,
 *     body_text, body_values [{name, value}], copy_list [copy], operations [operation],
 *     links [link], identifiers [{name, value, place}]
 * copy       where; in copy_list of show and flow
 *   message, queue, vhost, state, verdict (waiting | delivered | done | rejected | dead-lettered | retried |
 *   expired | purged | returned | refused | dropped | sent | unknown), since, age_ms, deliveries,
 *   consumer {service, pid, exe; or address}, settled_by, known_by (binding | delivery | death |
 *   default-exchange), queued, delivered, settled, text (the sentence)
 *   waiting: ahead, last_delivery (of the queue), subscriptions
 *   dead-lettered, retried: dead_letter, reason; retried: retried_as, retried_in, retried_state
 *   replayed {of, as, time, by, reason, result}: the last replay of what went wrong here
 * operation  where --why; in operations of show
 *   id, time, kind, settle, service, pid (or address), tid, connection, channel, tag, position, length,
 *   redelivered, negative, multiple, code, text
 * link       where --why, flow; in links of show
 *   source, target, kind (caused-by | reply-to | retry-of | dead-letter-of | replay-of | same-flow),
 *   confidence, evidence
 * node       flow: one a message
 *   as message, and parent, parent_kind, parent_queue, copy_list [copy]
 * queue      queues
 *   name, vhost, broker, deleted, in_per_s, out_per_s, window_s, waiting, oldest_ms, unsettled,
 *   consumers [{service, count}], subscriptions, in_queue_p50_ms, in_queue_p99_ms, in_consumer_p50_ms,
 *   in_consumer_p99_ms, redelivered, dead
 * coverage   the last line of each answer
 *   find: searched, matched, limited, before (for the next call's --before), damaged
 *   all: interrupted, since, until, recording, messages, truncated, gaps, gap_bytes, lost_records,
 *   lost_bytes, encrypted_connections, encrypted_bytes, encrypted_who, undecoded_connections
 */
#ifndef EVTRACE_CMD_ANSWER_H
#define EVTRACE_CMD_ANSWER_H

#include "cmd/cmd.h"
#include "query/query.h"

struct answer {
	const char *cmd;
	struct store *store;
	struct coverage cov;
	bool json, color;
	int64_t now_ns;   /* when it was asked */
	bool live;        /* it holds now: its broker is being watched */
	int64_t until_ns; /* as of when it holds, now while recording, else the recording's end: times within
			     the answer are shown without the date when they are of that day */
	int64_t since_ns, before_ns; /* --since, --until; 0 not given */
	uint64_t limit;
};

/*
 * Opens the store and reads the common options. 0, or the exit code after having said on stderr what is
 * wrong. @default_limit: where --limit was not given.
 */
int answer__open(struct answer *a, const char *cmd, const struct common *c, uint64_t default_limit);
void answer__close(struct answer *a);
/* Says @e on stderr and gives the exit code for @err, of the store or of a query. */
int answer_fail(const struct answer *a, int err, const struct err *e);

/* --- words --- */

/* 14:02:11 on the day of @day_ns, else with its date. */
char *fmt_when(char *out, size_t n, int64_t ns, int64_t day_ns);
/* "1 message", "18 204 messages" */
void put_count(struct buf *out, uint64_t n, const char *one, const char *many);
/* "billing (pid 2214)"; with @exe "shop (python3, pid 2211)"; "somebody not seen" when nothing is known. */
void put_who(struct buf *out, const char *service, uint32_t pid, const char *exe);
/* printf() of UTF-8 text that reads well on any terminal. */
void say(FILE *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void say_buf(FILE *f, const struct buf *b);
/* Prints @line and a line feed, and empties it. */
void say_line(FILE *f, struct buf *line);
/* @text, in the colour of @t on a terminal that has colours. */
void put_tone(struct buf *out, const struct answer *a, enum tone t, const char *text);

/* --- how far it can be trusted --- */

/* "since 13:40:02" while recording, else "recorded 13:40:02 to 14:10:00". */
void put_span(struct buf *out, const struct answer *a);
/* "nothing lost, 1 connection unreadable (TLS, java 812)" */
void put_losses(struct buf *out, const struct answer *a);
/* "18 204 messages since 13:40:02; nothing lost" and a full stop: the end of every answer. */
void put_coverage(struct buf *out, const struct answer *a, uint64_t searched);
/* The same for what changes with time: "As of 14:08:09, when recording ended: 19 messages since 13:40:02;
 * ..." */
void put_as_of(struct buf *out, const struct answer *a);
/* The coverage object; @stats may be NULL. */
void print_coverage_json(const struct answer *a, const struct select_stats *stats, bool interrupted);

/* --- messages in lists --- */

/* The cell WHERE: a queue, "billing → billing.dlq", or exchange and routing key. */
void put_where(struct buf *out, const struct row *r);
/* The cell STATE. */
void put_state(struct buf *out, const struct row *r);
enum tone state_tone(enum msg_state s);
/* The type or routing key and the start of the body, on one line; from near the match when that lies beyond
 * @room columns. */
void put_what(struct buf *out, const struct row *r, size_t room);
void put_message_json(struct json *j, const struct answer *a, const struct row *r);
void json_time(struct json *j, const char *key, int64_t ns); /* nothing for 0 */
void json_id(struct json *j, const char *key, uint64_t id);  /* "m42"; nothing for 0 */
/* A text if there is one. */
void json_text(struct json *j, const char *key, const char *text);
/* A text as it is, other bytes as {"base64": "…"}. */
void json_exact(struct json *j, struct span s);
/* The object of all properties and headers; @decoder NULL: none can be read. 0 or -ENOMEM. */
int put_properties_json(struct json *j, const struct proto *decoder, struct span envelope);

/* Tables of messages: find and tail. */
extern const struct column message_columns[6];
void message_row(struct table *t, const struct answer *a, const struct row *r);
void print_message_json(const struct answer *a, const struct row *r);

/* --- Ctrl-C --- */

/* From here on SIGINT and SIGTERM only make interrupted() true; a second one ends the program. */
void interrupts_catch(void);
/* For commands that read a pipe: a read that waits for it ends as well. */
void interrupts_end_reads(void);
bool interrupted(void);

#endif
