/*
 * What the correlator holds in memory; shared by the files of this folder only.
 *
 *   who     processes, connections, brokers and their virtual hosts: actors.c, consumers.c; servers that
 *           form one broker: cluster.c
 *   where   exchanges, queues, bindings: topology.c; which queues a publish reaches: route.c
 *   what    messages and their copies: message.c; which delivery belongs to which send: identity.c
 *   log     destinations that keep and number what they get: log.c; the groups that read them: group.c,
 *           member.c; names that come late: rename.c
 *   settle  deliveries and settlement: settle.c; dead letters: death.c
 *   why     which taken message caused a send: cause.c, values.c, score.c; links and flows: flow.c
 */
#ifndef EVTRACE_CORRELATE_MODEL_H
#define EVTRACE_CORRELATE_MODEL_H

#include "base/buf.h"
#include "base/intern.h"
#include "base/list.h"
#include "base/timefmt.h"
#include "correlate/correlate.h"

#define MAX_DEATHS      8    /* x-death entries read; RabbitMQ keeps one for each queue and reason */
#define MAX_KEYS        16   /* routing keys of one publish: its own, CC and BCC */
#define MAX_IDENTIFIERS 16   /* rows a message */
#define MAX_TRAVEL      8    /* headers with an id that travels, a message */
#define MAX_REACHED     4096 /* queues that one publish is routed to */
#define DEATHS_UNKNOWN  UINT32_MAX
#define STATES          12

/* --- who --- */

struct process {
	struct list exited; /* in correlator.exited */
	uint64_t id;
	struct proc_info info; /* strings are owned */
	int64_t first_ns, exit_ns;
	int exit_code;
	/* for cause.c */
	bool sends;                  /* it sent something: values of what it takes are worth a table */
	uint32_t open, kept;         /* in-ops not settled; all that are in the value table */
	struct list inops;           /* open ones, oldest first */
	int64_t busy_since, busy_ns; /* time with at least one in-op open */
	int64_t last_settle_ns;
	/* Causes proved by ids alone, whose settlement was seen: how many settled by the sending unit; and
	 * effects of units that never take or settle anything themselves. */
	uint32_t anchors, anchors_same_unit, anchors_stranger;
};

struct space {
	struct space *next;
	struct broker *broker;
	uint64_t index; /* ascending from 1; fits 16 bits */
	struct str *vhost;
	bool anonymous; /* met on connections older than us, whose login was not seen; takes the first name
			   that its broker shows */
};

struct broker {
	struct broker *next;
	uint64_t id, process, netns;
	uint32_t pid;
	enum proto_id proto;
	bool older; /* than us: it had clients whose beginning we did not see */
	char name[160];
};

struct connection {
	struct list dirty, closed;
	uint64_t id, client, server;
	enum proto_id proto;
	enum conn_state state;
	struct broker *broker;
	struct space *space; /* of its last operation */
	struct conn info;
	struct list consumers, owned; /* owned: exclusive queues */
	int64_t closed_ns;
};

struct consumer {
	struct list of_conn;
	uint64_t key;
	struct connection *conn;
	struct str *tag;
	struct queue *queue;
	uint64_t process;
	uint32_t channel, prefetch;
	bool no_ack;
	int64_t since_ns;
};

/* --- where --- */

enum exchange_type {
	X_UNKNOWN = 0,
	X_DIRECT,
	X_FANOUT,
	X_TOPIC,
	X_HEADERS,
	X_OTHER, /* a plugin's: what it does is not known */
};

struct exchange {
	struct space *space;
	struct str *name, *type, *alternate;
	struct list bindings; /* by binding.of_source */
	struct list inbound;  /* by binding.of_target */
	enum exchange_type kind;
	bool durable, deleted;
	bool declared;     /* while we watched, so that its bindings are known */
	bool contradicted; /* a delivery came that its bindings do not explain: never complete again */
	uint64_t mark;     /* last routing that came by */
};

struct queue {
	struct space *space;
	struct str *name; /* NULL: the place of a consumer whose queue is not known */
	struct str *dlx, *dlk;
	struct list bindings; /* by binding.of_target */
	struct list waiting;  /* copies QUEUED or REQUEUED, by copy.waiting */
	uint32_t nwaiting;
	struct list owned;    /* in connection.owned */
	struct list with_ttl; /* in correlator.ttl_queues */
	bool has_dlx, dlx_learned;
	bool declared, deleted, durable, exclusive, auto_delete;
	bool stale; /* restored, and of a kind that does not outlive its client: not routed to until seen */
	int64_t ttl_ms, max_length;
	uint32_t consumers, refs;
	uint64_t mark;
	/* of a group that reads a topic or stream; see group.c */
	struct topic *topic;
	struct list of_topic;
	struct str *filter;
	struct expiry *expiry; /* when all in it goes, see purge.c */
	bool ambiguous;        /* a place without a name that may be several groups, for good */
	/* for a place without a name: the queues that it may be; see identity.c */
	struct queue **cands;
	uint32_t ncands;
	bool narrowed;
};

/* What groups read: a Kafka topic, a stream. */
struct topic {
	struct space *space;
	struct str *name;
	struct list groups; /* by queue.of_topic */
	struct list journals;
	struct expiry *expiry;
	uint32_t refs;
};

/* Where a broker numbers messages: a partition of a topic, a stream. */
struct journal {
	struct topic *topic;
	struct str *name;
	struct list of_topic;
	/* by message.of_journal */
	struct list messages; /* in the broker's order, as far as it is known */
	struct list loose;    /* without a name yet, or perhaps trimmed since */
	struct list *placed;  /* where the last one was put into `messages` */
	uint64_t n;           /* of `messages` */
	bool disordered;      /* somebody numbers as no broker does: nothing is told by counting */
	uint32_t refs;
};

struct header_match;

struct binding {
	struct list of_source, of_target;
	struct exchange *source;
	struct exchange *to_exchange; /* one of the two */
	struct queue *to_queue;
	struct str *key, *args;
	struct header_match *match; /* headers exchanges: args, read when first needed */
};

struct reached {
	struct queue **q;
	size_t n, cap;
	bool complete; /* nothing else can have been reached */
	bool cacheable;
};

/* --- what --- */

struct flow {
	uint64_t id;
	struct flow *parent; /* merged into; NULL at a root */
	uint32_t refs;
	bool stored; /* a row may carry this id */
};

/* Values by which operations inside one process are compared; see cause.c. */
enum value_kind {
	VALUE_ID = 1, /* an identifier of class ID_JOIN */
	VALUE_OWN,    /* what a causation header of an effect would name */
	VALUE_ANSWER, /* what a reply would carry: correlation or message id */
	VALUE_TRACE,  /* trace id of a traceparent */
	VALUE_BODY,   /* the body as a whole */
};

struct value {
	uint64_t hash; /* of kind and text */
	uint32_t leaf; /* hash of the last name of its path */
	uint8_t kind;
	uint8_t strong; /* long enough that agreement by chance is out of the question */
};

struct values {
	uint32_t refs, n;
	uint64_t reply_to; /* hash, 0 none */
	struct value v[];
};

struct message {
	struct list dirty, life; /* life: correlator.open, done or done_open */
	struct list of_group, of_journal;
	struct copy *copies, **copies_end;
	struct group *group;
	struct space *space;
	struct str *exchange, *key, *type;
	struct journal *journal; /* NULL: not known to be in one */
	struct str *mid;         /* its name there; NULL: not known */
	uint64_t at[2];          /* the same as numbers, if `ordered` */
	struct flow *flow;       /* NULL: its own id */
	struct values *values;
	struct travels *travels; /* who bore its ids before */
	struct pending *pending; /* its cause is not decided yet */
	struct list inops;       /* by inop.of_message */
	uint64_t id, send_op, process, connection, unit;
	uint64_t fingerprint, payload, body_size, body_hash;
	int64_t sent_ns, first_ns, done_ns;
	uint32_t tid, channel, flags, one_of, code, group_seq, deaths;
	uint16_t in_state[STATES]; /* copies by state */
	uint16_t ncopies;
	enum proto_id proto;
	enum msg_state own, state; /* own: without looking at copies */
	enum msg_origin origin;
	enum routes routes;
	bool inferred;    /* made by the broker, and not seen on the wire yet */
	uint8_t expiries; /* inferred one after the other until it came to be */
	enum dest dest;
	bool ordered;
	bool placed; /* in journal.messages */
	bool dead;   /* made by a rejection or a full queue: shown as dead-lettered while it waits */
	bool due;    /* in a sorted set: for later, or among those that failed */
	bool stored;
};

struct copy {
	struct list dirty, waiting, lane, of_position;
	struct position *position; /* see group.c */
	struct copy *next;
	struct message *m;
	struct queue *q;
	struct inop *inop; /* the open delivery */
	uint64_t id, consumer, connection, dead_letter;
	int64_t queued_ns, first_delivered_ns, delivered_ns, settled_ns;
	uint32_t deliveries, consumer_tid;
	enum msg_state state;
	enum copy_source source;
	enum settle settle;
	bool restored;
	bool withdrawn;
};

/* Byte-identical messages on their way through the queues of a space; see identity.c. */
struct lane {
	struct lane *next;
	struct queue *q;
	struct message *cursor; /* oldest that may still be undelivered in q; NULL: none up to now */
	struct list returned;   /* copies waiting again, by copy.lane */
	struct list rejected;   /* copies rejected, and where they went is not known */
	bool loose;             /* bindings turned out to be incomplete */
};

struct group {
	uint64_t hash, fingerprint;
	struct group *same;
	struct space *space;
	struct str *exchange, *key;
	uint32_t deaths, seq;
	struct list messages;
	size_t n;
	struct message *adoptable; /* oldest that a late send may belong to */
	struct lane *lanes;
};

/* --- reading operations --- */

/* Where a client that moved a message took it from (Spring, Connect and Streams on Kafka). */
struct moved {
	struct span topic, partition, offset, group;
	bool dead; /* to where dead letters go, else to be tried again */
};

struct death {
	struct span queue, reason, exchange, keys[4];
	unsigned nkeys;
	uint64_t count;
	int64_t time_s;
};

struct envelope {
	struct span message_id, correlation_id, reply_to, content_type, content_encoding;
	struct span cause_name, cause;
	bool due; /* Redis: it has a place in a sorted set */
	struct span trace_id;
	struct span cc[MAX_KEYS];
	unsigned ncc;
	uint64_t replay_of;
	struct death deaths[MAX_DEATHS]; /* newest first */
	unsigned ndeaths;
	uint64_t death_total;
	struct moved moved;
	struct {
		struct span log, mid, exchange;
	} source; /* the broker says that it is a copy of this one, which another log of its holds */
	struct span own[4]; /* ids by which other messages may name this one */
	unsigned nown;
	struct identifier ids[MAX_IDENTIFIERS];
	unsigned nids;
	struct identifier travel[MAX_TRAVEL]; /* ids that are handed on from message to message */
	unsigned ntravel;
	size_t used;
	char scratch[512];
	char arena[16384]; /* texts of all that is above */
};

/* One operation on its way through. */
struct opctx {
	const struct op *op;
	const struct proto *proto;
	struct connection *conn;
	struct space *space;
	struct process *process; /* NULL: not known */
	uint64_t unit;           /* what executed it: task, else thread; 0 not known */
	struct message *m;       /* found: for the operation's row */
	struct copy *copy;
	bool idle; /* it changed nothing, as most that trim with every send: no row */
};

/* --- why --- */

struct value_node {
	struct value_node *next, **pprev; /* of the entry */
	struct value_entry *entry;
	struct inop *inop;
	const struct value *v;
};

struct value_entry {
	uint64_t key;
	struct value_node *first;
	uint32_t n;
};

/* A message taken by a process: what may have caused its sends. */
struct inop {
	struct list of_process, of_message, aging;
	struct list waiters; /* candidates of pending sends, by candidate.of_inop */
	uint64_t op;         /* the receive */
	uint64_t process, unit, settled_by;
	struct message *m;
	struct copy *copy;
	uint64_t connection;
	int64_t taken_ns, settled_ns;
	enum settle settle;
	bool no_ack;
	struct values *values;
	struct value_node *nodes;
	size_t nnodes;
};

/* A thread, goroutine or task of a process. */
struct unit {
	struct list lru;
	struct list pending; /* sends since its last settlement, by pending.of_unit */
	uint64_t key;
	uint32_t open;       /* in-ops it took and nobody settled */
	uint32_t took;       /* since its last send */
	uint64_t last_taken; /* receive op */
	bool settles;        /* it settled something in its life */
	int64_t seen_ns;
};

enum evidence {
	EV_CAUSE_ID = 1 << 0,
	EV_REPLY = 1 << 1,
	EV_TRACE = 1 << 2,
	EV_VALUE = 1 << 3,
	EV_BODY = 1 << 4,
	EV_SERIAL = 1 << 5, /* the only message that the sending unit held */
	EV_AFTER = 1 << 6,  /* settled before the send */
};

/* One message that may have caused a send. */
struct candidate {
	struct list of_inop;
	struct pending *p;
	struct inop *inop; /* NULL: gone */
	unsigned evidence; /* enum evidence */
	double ids[5];     /* weight of each kind of id, by bit number of enum evidence */
	unsigned nvalues;
	char why[160];
};

#define MAX_CANDIDATES 8

/* A send whose cause is not decided yet. */
struct pending {
	struct list aging, of_unit;
	struct message *m;
	uint64_t process, unit, dest;
	int64_t ts_ns;
	uint32_t open; /* messages that its process held when it left */
	double busy;   /* share of the time in which the process held any */
	bool stranger; /* its unit never took or settled anything: a timer, or one of a pool */
	double null_prior, other_unit; /* see score.c; set when it is judged */
	bool settled_many;             /* its unit settled several at once: says nothing about which one */
	unsigned n;
	struct candidate *c[MAX_CANDIDATES];
};

/* --- the whole --- */

struct correlator {
	struct record_sink out;
	struct record_ids next;
	struct correlator_stats stats;
	size_t max_messages;
	int64_t now, next_sweep;
	struct intern strings;
	struct str *empty;

	struct map procs_by_pid, procs_by_id;
	struct list exited;
	struct map conns;
	struct list dirty_conns, closed_conns;
	struct broker *brokers;
	struct map brokers_by_addr, brokers_by_pid;
	struct cluster *clusters;
	unsigned nclusters;
	struct space *spaces;
	uint64_t nspaces;
	struct map consumers;

	struct map exchanges, queues;
	struct list ttl_queues;
	struct list expiries; /* see purge.c */
	size_t nexpiries;
	struct map route_cache;
	uint64_t topology_seq; /* changes with every declaration and binding */
	uint64_t route_mark;
	struct reached reached;

	struct map messages, sends, groups;
	struct map topics, journals, named, members, positions; /* log.c, group.c */
	struct list open, done, done_open; /* done_open: settled, but other copies may turn up */
	struct list dirty_messages, dirty_copies;

	struct map inops, units, values, dests;
	struct list unit_lru, settled_inops, pending;
	size_t npending;
	struct map flows; /* of restored messages, by id */
	struct map travel;
	struct list travel_age;

	const struct proto *protos[256]; /* as connections brought them */
	struct envelope env;
	struct buf text;
};

/* actors.c */
const struct proto *proto_of(const struct correlator *c, unsigned id);
struct process *process_by_id(struct correlator *c, uint64_t id);
struct process *process_by_pid(struct correlator *c, uint32_t pid); /* makes one; NULL: pid 0 or no memory */
const char *process_label(struct correlator *c, uint64_t id, char *out, size_t n); /* "billing (pid 7)" */
int connection_get(struct correlator *c, const struct conn *conn, struct connection **ret);
void connection_touch(struct correlator *c, struct connection *cn);
int space_get(struct correlator *c, struct connection *cn, struct span vhost, struct space **ret);
struct space *space_of(struct correlator *c, struct broker *b, struct span vhost);
/* It has connections whose beginning we did not see. */
bool broker_has_past(struct correlator *c, const struct broker *b);
int broker_merge(struct correlator *c, struct broker *to, struct broker *from);
/* From now on the server at @at is @b; *ret is the broker that is known there instead, if there is one. */
int broker_alias(struct correlator *c, const struct conn *at, struct broker *b, struct broker **ret);
struct broker *broker_by_id(struct correlator *c, uint64_t id);
struct broker *broker_restore(struct correlator *c, const struct broker_rec *r);
int actors_flush(struct correlator *c);
void actors_sweep(struct correlator *c);
void actors_free(struct correlator *c);

/* cluster.c */
int cluster_op(struct correlator *c, struct opctx *x);
struct broker *cluster_server(struct correlator *c, const struct connection *cn);
void clusters_free(struct correlator *c);

/* consumers.c */
int consumer_subscribe(struct correlator *c, struct opctx *x);
int consumer_unsubscribe(struct correlator *c, struct opctx *x);
int consumers_end(struct correlator *c, struct connection *cn, int64_t ts_ns);
/* The place that a delivery without a known queue came from. */
int consumer_place(struct correlator *c, struct opctx *x, struct queue **ret);
/* The place of one that is subscribed to a channel. *ret holds a reference. */
int consumer_channel(struct correlator *c, struct opctx *x, struct queue **ret);
int consumer_met(struct correlator *c, struct opctx *x, struct queue *q);
/* An unknown place turns out to be @real. */
int consumers_resolve(struct correlator *c, struct queue *place, struct queue *real);

/* topology.c */
int topology_op(struct correlator *c, struct opctx *x);
struct exchange *exchange_find(struct correlator *c, struct space *s, struct span name);
int exchange_get(struct correlator *c, struct space *s, struct span name, struct exchange **ret);
struct queue *queue_find(struct correlator *c, struct space *s, struct span name);
int queue_get(struct correlator *c, struct space *s, struct span name, struct queue **ret);
struct queue *queue_new_place(struct correlator *c, struct space *s);
void queue_ref(struct queue *q);
void queue_put(struct correlator *c, struct queue *q);
int queue_row(struct correlator *c, struct queue *q, int64_t ts_ns);
int queue_gone(struct correlator *c, struct queue *q, int64_t ts_ns);
/* A delivery from it, or a consumer of it, was seen: it exists. */
void queue_alive(struct correlator *c, struct queue *q);
int topology_restore_exchange(struct correlator *c, const struct exchange_rec *r);
int topology_restore_queue(struct correlator *c, const struct queue_rec *r);
int topology_restore_binding(struct correlator *c, const struct binding_rec *r);
void topology_free(struct correlator *c);

/* route.c */
/* Queues that a publish reaches, as far as is known; the result is valid until the next call. @op: the
 * publish, for headers exchanges; NULL: its headers are not known. */
int route(struct correlator *c, struct space *s, struct span exchange, const struct span *keys,
	unsigned nkeys, const struct op *op, struct reached **ret);
bool topic_matches(struct span pattern, struct span key);
void binding_free_match(struct binding *b);
void route_free(struct correlator *c);

/* envelope.c */
void envelope_read(struct envelope *e, const struct proto *p, const struct op *op, bool identifiers);
/* Only x-death, cheaply: nothing when the bytes do not hold it. */
void envelope_deaths(struct envelope *e, const struct proto *p, const struct op *op);
struct values *values_of(const struct envelope *e, const struct op *op, uint64_t body_hash);
void values_put(struct values *v);
uint64_t reply_address(struct span queue);
uint64_t value_hash(enum value_kind kind, struct span text);
uint32_t leaf_hash(struct span path);
/* "m42" of evtrace's own ids, in @text up to its end or a dot; 0 when it is none. */
uint64_t parse_message_id(struct span text);

/* message.c */
struct message *message_new(struct correlator *c, struct space *s);
struct message *message_by_id(struct correlator *c, uint64_t id);
void message_touch(struct correlator *c, struct message *m); /* state and lists follow from its copies */
int message_flush(struct correlator *c, struct message *m);
int message_drop(struct correlator *c, struct message *m);
/* @from is @m, met twice: @m has all that was found out about either, @from is gone. */
int message_absorb(struct correlator *c, struct message *m, struct message *from);
struct copy *copy_find(const struct message *m, const struct queue *q);
struct copy *copy_new(struct correlator *c, struct message *m, struct queue *q, enum copy_source source,
	enum msg_state state, int64_t queued_ns);
void copy_set(struct correlator *c, struct copy *cp, enum msg_state st);
void copy_touch(struct correlator *c, struct copy *cp);
void copy_move(struct correlator *c, struct copy *cp, struct queue *q);
void copy_withdraw(struct correlator *c, struct copy *cp);

/* --- purge.c --- */
/* It left its queue without anybody taking it; @unsure: or may have. */
void copy_purge(struct correlator *c, struct copy *cp, int64_t ts_ns, bool unsure);
void queue_empty(struct correlator *c, struct queue *q, int64_t ts_ns);
void expiry_drop(struct correlator *c, struct expiry **e);
int purge_op(struct correlator *c, struct opctx *x);
int element_delete(struct correlator *c, struct opctx *x);
void purge_sweep(struct correlator *c);
void purge_free(struct correlator *c); /* before queues and topics */
int messages_flush(struct correlator *c);
int messages_sweep(struct correlator *c);
void messages_free(struct correlator *c);

/* identity.c */
struct join {
	struct copy *copy; /* the copy that is delivered, if it was known */
	struct message *m; /* else the message */
	uint32_t one_of;
};
uint64_t fingerprint_of(const struct proto *p, const struct op *op, uint64_t *ret_body_hash);
struct group *group_find(struct correlator *c, struct space *s, struct span exchange, struct span key,
	uint64_t fingerprint, uint32_t deaths);
int group_add(struct correlator *c, struct message *m);
void group_remove(struct correlator *c, struct message *m);
struct lane *lane_get(struct group *g, struct queue *q);
struct lane *lane_find(struct group *g, const struct queue *q);
bool join_delivery(struct group *g, struct queue *q, const struct opctx *x, struct join *ret);
struct message *join_late_send(struct group *g, int64_t ts_ns);
struct message *lane_next(struct lane *l);
int place_narrow(struct correlator *c, struct opctx *x, struct queue *place, struct queue **ret);
/* @m was delivered from @place: its known copies may be the one that was, so their state is open. */
void place_doubt(struct correlator *c, struct queue *place, struct message *m);

int place_resolve(struct correlator *c, struct queue *place, struct queue *real);

/* log.c */
int log_sent(struct correlator *c, struct opctx *x, struct message *m);
int log_name(struct correlator *c, struct opctx *x, struct message *m);
struct message *log_find_unnamed(struct correlator *c, struct opctx *x, uint64_t fingerprint);
struct message *log_message(struct correlator *c, struct space *s, struct span log, struct span mid);
int log_copied(struct correlator *c, struct message *m, uint64_t fingerprint, bool *ret);
int log_delete(struct correlator *c, struct opctx *x);
void log_forget(struct correlator *c, struct message *m);
int log_restore(struct correlator *c, struct message *m, struct span log, struct span mid);
void log_free(struct correlator *c);

/* group.c */
bool subject_matches(struct span pattern, struct span subject);
int log_route(struct correlator *c, struct message *m);
int log_delivery_queue(struct correlator *c, struct opctx *x, struct queue **ret);
int log_reported(struct correlator *c, struct opctx *x);
int log_taken_over(struct correlator *c, struct opctx *x, struct copy *cp);
int log_settle(struct correlator *c, struct opctx *x);
/* 1: for the others to do. */
int log_topology(struct correlator *c, struct opctx *x);
int log_subscribe(struct correlator *c, struct opctx *x, struct queue **ret);
/* A consumer of a group's ended, however that came to pass. */
int log_consumer_gone(struct correlator *c, struct queue *q, uint64_t process, int64_t ts_ns);
int log_unsubscribe(struct correlator *c, struct opctx *x);
/* The state or the queue of @cp changed. */
int log_copy(struct correlator *c, struct copy *cp);
void log_forget_copy(struct correlator *c, struct copy *cp);
void log_leave_topic(struct correlator *c, struct queue *q);
int log_restore_queue(struct correlator *c, struct message *m, struct span name, struct queue **ret);
void log_free_members(struct correlator *c);

/* settle.c */
int settle_copy(struct correlator *c, struct copy *cp, const struct op *op);
int send_op(struct correlator *c, struct opctx *x);
int confirm_op(struct correlator *c, struct opctx *x);
int receive_op(struct correlator *c, struct opctx *x);
int settle_op(struct correlator *c, struct opctx *x);
/* Copies where the publish of @m leads, now that it counts. */
int message_route(struct correlator *c, struct message *m, const struct span *keys, unsigned nkeys,
	const struct op *op, enum copy_source source);

/* death.c */
int death_by_reject(struct correlator *c, struct copy *cp, int64_t ts_ns);
int death_by_client(struct correlator *c, struct opctx *x, struct message *m, bool *ret);
int death_sweep(struct correlator *c); /* what outlived its queue's time to live */
/* A delivery with x-death that fits no message that is known: *ret is the dead letter, or NULL. */
int death_delivered(struct correlator *c, struct opctx *x, uint64_t fingerprint, struct message **ret);

/* cause.c */
int cause_taken(struct correlator *c, struct opctx *x, struct message *m, struct copy *cp);
int cause_settled(struct correlator *c, struct inop *in, const struct opctx *x);
/* The same where no operation says so, but something else does at @x's moment; nothing when it is NULL or
 * settled. */
int cause_ended(struct correlator *c, struct inop *in, const struct opctx *x, enum settle how);
int cause_sent(struct correlator *c, struct opctx *x, struct message *m);
int cause_sweep(struct correlator *c);
int cause_finish(struct correlator *c); /* decides all that is pending */
void cause_forget_message(struct correlator *c, struct message *m);
void cause_forget_copy(struct correlator *c, struct copy *cp);
void cause_free(struct correlator *c);

/* values.c */
int values_watch(struct correlator *c, struct process *p, struct inop *in);
void values_unwatch(struct correlator *c, struct inop *in);
void values_compare(struct correlator *c, struct opctx *x, const struct process *p, struct pending *pd);
struct candidate *candidate_add(struct pending *pd, struct inop *in);

/* score.c */
struct judgement {
	struct candidate *best; /* NULL: no candidate is likelier than the others together */
	double confidence, runner_up;
	uint64_t runner_up_message; /* 0: nothing that was seen caused it */
	bool contradicted;          /* ids say this one, the thread another one */
};
double ids_weight(const struct candidate *k);
/* @settled: what the sending unit settled next, NULL: not known. */
void judge(const struct pending *p, const struct inop *settled, struct judgement *ret);
void judge_evidence(
	const struct pending *p, const struct inop *settled, const struct judgement *j, struct buf *out);

/* flow.c */
int link_add(struct correlator *c, uint64_t src, uint64_t dst, enum link_kind kind, double confidence,
	const char *evidence);
uint64_t flow_id(struct message *m);
int flow_restore(struct correlator *c, struct message *m, uint64_t flow);
void flow_leave(struct correlator *c, struct message *m);
int flow_join(struct correlator *c, struct message *a, struct message *b);
/* Notes whose ids @m bears or names: it comes from those, unless a cause is found. */
int kin_note(struct correlator *c, struct message *m);
/* Notes the ids that @m carries on; with what carried them before it shares the flow, unless a cause is
 * found. */
int travel_note(struct correlator *c, struct message *m, uint64_t process);
int travel_link(struct correlator *c, struct message *m);
void travel_forget(struct message *m);
void flow_free(struct correlator *c);

#endif
