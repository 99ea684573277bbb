/*
 * Rows into the catalogue: one prepared statement a table, one transaction a batch. A row with an id that is
 * there replaces what is there; what only the first writer knew (session, sizes of the payload) stays.
 */
#include "store/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/hash.h"

/* The log is moved into the file when it has grown to this many pages (16 MiB). */
#define CHECKPOINT_PAGES 2048
/* Names are few; routing keys may carry ids and be many. */
#define NAME_CACHE_MAX 65536

enum {
	ST_BEGIN = ROW_TYPES,
	ST_COMMIT,
	ST_NAME_GET,
	ST_NAME_PUT,
	ST_BLOCK,
	ST_SESSION,
	ST_FRESH,
	ST_MAX,
};

static const char *const statements[ST_MAX] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_NAME_GET] = "SELECT id FROM name WHERE text=?",
	[ST_NAME_PUT] = "INSERT INTO name(text) VALUES(?)",
	[ST_BLOCK] = "INSERT INTO block(id,session,segment,offset,stored_size,raw_size,payloads)"
		     " VALUES(?,?,?,?,?,?,?)",
	[ST_SESSION] = "UPDATE session SET ended_ns=max(?1,ifnull(ended_ns,0)),lost_records=?2,lost_bytes=?3,"
		       "ignored_connections=?4 WHERE id=?5",
	[ST_FRESH] = "UPDATE session SET messages=messages+?1 WHERE id=?2",
	[ROW_PROCESS] = "INSERT OR REPLACE INTO process(id,session,pid,ppid,comm,exe,cmdline,service,cgroup,"
			"start_ns,first_ns,exit_ns,exit_code) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ROW_BROKER] = "INSERT OR REPLACE INTO broker(id,proto,name,process) VALUES(?,?,?,?)",
	[ROW_CONNECTION] =
		"INSERT OR REPLACE INTO connection(id,session,broker,proto,state,client,server,client_addr,"
		"server_addr,from_start,opened_ns,closed_ns,bytes_to_server,bytes_to_client,lost_to_server,"
		"lost_to_client) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ROW_MESSAGE] =
		"INSERT INTO "
		"message(id,session,broker,proto,vhost,exchange,routing_key,type,sent_ns,first_ns,"
		"process,tid,unit,connection,channel,state,origin,routes,flow,fingerprint,payload,envelope_"
		"size,"
		"body_kept,body_size,flags,one_of,code,dest,log,mid)"
		" VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
		" ON CONFLICT(id) DO UPDATE SET "
		"broker=excluded.broker,proto=excluded.proto,vhost=excluded.vhost,"
		"exchange=excluded.exchange,routing_key=excluded.routing_key,type=excluded.type,"
		"sent_ns=excluded.sent_ns,first_ns=excluded.first_ns,process=excluded.process,tid=excluded."
		"tid,"
		"unit=excluded.unit,connection=excluded.connection,channel=excluded.channel,"
		"state=excluded.state,origin=excluded.origin,routes=excluded.routes,flow=excluded.flow,"
		"fingerprint=excluded.fingerprint,payload=excluded.payload,"
		"envelope_size=ifnull(excluded.envelope_size,envelope_size),"
		"body_kept=ifnull(excluded.body_kept,body_kept),body_size=excluded.body_size,"
		"flags=excluded.flags,one_of=excluded.one_of,code=excluded.code,"
		"dest=excluded.dest,log=excluded.log,mid=excluded.mid",
	[ROW_COPY] = "INSERT INTO "
		     "copy(id,message,queue,state,source,settle,queued_ns,first_delivered_ns,delivered_ns,"
		     "settled_ns,deliveries,consumer,consumer_tid,connection,dead_letter)"
		     " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
		     " ON CONFLICT(id) DO UPDATE SET message=excluded.message,queue=excluded.queue,"
		     "state=excluded.state,source=excluded.source,settle=excluded.settle,"
		     "queued_ns=excluded.queued_ns,first_delivered_ns=excluded.first_delivered_ns,"
		     "delivered_ns=excluded.delivered_ns,settled_ns=excluded.settled_ns,"
		     "deliveries=excluded.deliveries,consumer=excluded.consumer,"
		     "consumer_tid=excluded.consumer_tid,connection=excluded.connection,"
		     "dead_letter=excluded.dead_letter",
	/* Not REPLACE: with a NOT NULL column and an index it copies pages aside, twice the time. */
	[ROW_OPERATION] =
		"INSERT INTO operation(id,session,message,copy,kind,settle,flags,ts_ns,process,tid,unit,"
		"connection,channel,tag,pos,len,code,text) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
		" ON CONFLICT(id) DO UPDATE SET "
		"message=excluded.message,copy=excluded.copy,kind=excluded.kind,"
		"settle=excluded.settle,flags=excluded.flags,ts_ns=excluded.ts_ns,process=excluded.process,"
		"tid=excluded.tid,unit=excluded.unit,connection=excluded.connection,channel=excluded.channel,"
		"tag=excluded.tag,pos=excluded.pos,len=excluded.len,code=excluded.code,text=excluded.text",
	[ROW_IDENTIFIER] = "INSERT OR REPLACE INTO identifier(message,name,value,place,class)"
			   " VALUES(?,?,?,?,?)",
	[ROW_LINK] = "INSERT OR REPLACE INTO link(id,src,dst,kind,confidence,evidence) VALUES(?,?,?,?,?,?)",
	[ROW_MERGE] = "UPDATE message SET flow=?2 WHERE flow=?1",
	[ROW_EXCHANGE] = "INSERT OR REPLACE INTO exchange(broker,vhost,name,type,durable,args,deleted,ts_ns)"
			 " VALUES(?,?,?,?,?,?,?,?)",
	[ROW_QUEUE] =
		"INSERT OR REPLACE INTO queue(broker,vhost,name,dead_letter_exchange,dead_letter_key,ttl_ms,"
		"max_length,durable,exclusive,auto_delete,declared,deleted,ts_ns)"
		" VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ROW_BINDING] =
		"INSERT OR REPLACE INTO binding(broker,vhost,source,destination,to_exchange,key,args,deleted,"
		"ts_ns) VALUES(?,?,?,?,?,?,?,?,?)",
	[ROW_CONSUMER] =
		"INSERT OR REPLACE INTO consumer(broker,connection,channel,vhost,queue,tag,process,prefetch,"
		"no_ack,since_ns,until_ns) VALUES(?,?,?,?,?,?,?,?,?,?,?)",
	[ROW_GAP] =
		"INSERT INTO gap(session,connection,ts_ns,dir,bytes,records,reason) VALUES(?,?,?,?,?,?,?)",
};

struct name {
	int64_t id;
	size_t n;
	char text[];
};

struct applier {
	sqlite3 *db;
	char path[PATH_MAX];
	int64_t session;
	sqlite3_stmt *st[ST_MAX];
	struct map names; /* hash64(text) -> struct name */
	int64_t fresh;    /* messages added in this transaction */
	int at;           /* column that bind_*() fills next */
};

int applier__new(sqlite3 *db, const char *path, int64_t session, struct applier **ret, struct err *e)
{
	struct applier *a = calloc(1, sizeof(*a));

	if (!a)
		return err_set(e, -ENOMEM, "out of memory");
	a->db = db;
	a->session = session;
	snprintf(a->path, sizeof(a->path), "%s", path);
	for (size_t i = 0; i < ST_MAX; i++) {
		int rc = SQLITE_OK;

		if (statements[i]) /* not those of amend.c */
			rc = sqlite3_prepare_v3(
				db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &a->st[i], NULL);
		if (rc != SQLITE_OK) {
			int err = catalogue_err(db, rc, path, "use", e);

			applier__free(a);
			return err;
		}
	}
	*ret = a;
	return 0;
}

static void forget_names(struct applier *a)
{
	map_for_each (&a->names, s)
		free((void *)(uintptr_t)s->val);
	map_free(&a->names);
}

void applier__free(struct applier *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < ST_MAX; i++)
		sqlite3_finalize(a->st[i]);
	forget_names(a);
	free(a);
}

/* --- binding: in the order of the statement's columns. Errors (memory) show when the statement runs. --- */

static sqlite3_stmt *begin(struct applier *a, int which)
{
	a->at = 1;
	return a->st[which];
}

static void bind_int(struct applier *a, sqlite3_stmt *st, int64_t v)
{
	sqlite3_bind_int64(st, a->at++, v);
}

/* Ids and times: 0 is "not known", in SQL NULL. */
static void bind_known(struct applier *a, sqlite3_stmt *st, int64_t v)
{
	if (v)
		sqlite3_bind_int64(st, a->at++, v);
	else
		sqlite3_bind_null(st, a->at++);
}

static void bind_text(struct applier *a, sqlite3_stmt *st, struct span s)
{
	sqlite3_bind_text64(st, a->at++, s.n ? (const char *)s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_text_or_null(struct applier *a, sqlite3_stmt *st, struct span s)
{
	if (s.n)
		bind_text(a, st, s);
	else
		sqlite3_bind_null(st, a->at++);
}

static void bind_blob(struct applier *a, sqlite3_stmt *st, struct span s)
{
	sqlite3_bind_blob64(st, a->at++, s.n ? (const void *)s.p : "", s.n, SQLITE_STATIC);
}

static int run(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* --- names --- */

static int name_look_up(struct applier *a, struct span s, int64_t *ret)
{
	sqlite3_stmt *st = begin(a, ST_NAME_GET);
	int rc;

	bind_text(a, st, s);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	if (rc == SQLITE_ROW)
		return SQLITE_OK;
	if (rc != SQLITE_DONE)
		return rc;
	st = begin(a, ST_NAME_PUT);
	bind_text(a, st, s);
	rc = run(st);
	if (rc == SQLITE_OK)
		*ret = sqlite3_last_insert_rowid(a->db);
	return rc;
}

static void name_remember(struct applier *a, uint64_t key, struct span s, int64_t id)
{
	struct name *n = malloc(sizeof(*n) + s.n);

	if (!n)
		return;
	n->id = id;
	n->n = s.n;
	memcpy(n->text, s.p, s.n);
	if (a->names.n >= NAME_CACHE_MAX)
		forget_names(a);
	free(map_ptr(&a->names, key)); /* two texts with one hash: the later one has the place */
	if (map_put_ptr(&a->names, key, n))
		free(n);
}

/* The id of a name; 0 is the empty one (schema.sql). */
static int name_id(struct applier *a, struct span s, int64_t *ret)
{
	uint64_t key;
	struct name *n;
	int rc;

	if (!s.n) {
		*ret = 0;
		return SQLITE_OK;
	}
	key = hash_span(s, 0);
	n = map_ptr(&a->names, key);
	if (n && span_eq(span_of(n->text, n->n), s)) {
		*ret = n->id;
		return SQLITE_OK;
	}
	rc = name_look_up(a, s, ret);
	if (rc == SQLITE_OK)
		name_remember(a, key, s, *ret);
	return rc;
}

/* --- rows --- */

static int apply_process(struct applier *a, const union any_row *u)
{
	const struct process_row *r = &u->process;
	sqlite3_stmt *st = begin(a, ROW_PROCESS);

	bind_int(a, st, (int64_t)r->r.id);
	bind_int(a, st, a->session);
	bind_int(a, st, r->pid);
	bind_known(a, st, r->ppid);
	bind_text(a, st, r->comm);
	bind_text(a, st, r->exe);
	bind_text(a, st, r->cmdline);
	bind_text(a, st, r->service);
	bind_text(a, st, r->cgroup);
	bind_known(a, st, r->start_ns);
	bind_known(a, st, r->r.first_ns);
	bind_known(a, st, r->r.exit_ns);
	if (r->r.exit_ns)
		bind_int(a, st, r->r.exit_code);
	else
		bind_known(a, st, 0);
	return run(st);
}

static int apply_broker(struct applier *a, const union any_row *u)
{
	const struct broker_row *r = &u->broker;
	sqlite3_stmt *st = begin(a, ROW_BROKER);

	bind_int(a, st, (int64_t)r->r.id);
	bind_int(a, st, r->r.proto);
	bind_text(a, st, r->name);
	bind_known(a, st, (int64_t)r->r.process);
	return run(st);
}

/* "127.0.0.1:5672", "[::1]:5672", or a Unix socket's path; empty when not known. */
static struct span render_addr(char *out, size_t n, const struct conn *c, const uint8_t *addr, uint16_t port)
{
	char ip[INET6_ADDRSTRLEN];

	if (c->family == AF_UNIX)
		return span_of(c->path, strnlen(c->path, sizeof(c->path)));
	if ((c->family != AF_INET && c->family != AF_INET6) || !inet_ntop(c->family, addr, ip, sizeof(ip)))
		return SPAN_EMPTY;
	snprintf(out, n, c->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, port);
	return span_str(out);
}

static int apply_connection(struct applier *a, const union any_row *u)
{
	const struct connection_rec *r = &u->connection.r;
	const struct conn *c = &u->connection.conn;
	sqlite3_stmt *st = begin(a, ROW_CONNECTION);
	char client[INET6_ADDRSTRLEN + 16], server[INET6_ADDRSTRLEN + 16];

	bind_int(a, st, (int64_t)r->id);
	bind_int(a, st, a->session);
	bind_known(a, st, (int64_t)r->broker);
	bind_int(a, st, r->proto);
	bind_int(a, st, r->state);
	bind_known(a, st, (int64_t)r->client_process);
	bind_known(a, st, (int64_t)r->server_process);
	bind_text(a, st, render_addr(client, sizeof(client), c, c->client_addr, c->client_port));
	bind_text(a, st, render_addr(server, sizeof(server), c, c->server_addr, c->server_port));
	bind_int(a, st, c->from_start);
	bind_known(a, st, c->opened_ns);
	bind_known(a, st, c->closed_ns);
	bind_int(a, st, (int64_t)c->bytes[TO_SERVER]);
	bind_int(a, st, (int64_t)c->bytes[TO_CLIENT]);
	bind_int(a, st, (int64_t)c->lost[TO_SERVER]);
	bind_int(a, st, (int64_t)c->lost[TO_CLIENT]);
	return run(st);
}

static void bind_message(
	struct applier *a, sqlite3_stmt *st, const struct message_row *m, const int64_t names[5])
{
	const struct message_rec *r = &m->r;

	bind_int(a, st, (int64_t)r->id);
	bind_int(a, st, a->session);
	bind_known(a, st, (int64_t)r->broker);
	bind_int(a, st, r->proto);
	for (int i = 0; i < 4; i++)
		bind_int(a, st, names[i]);
	bind_known(a, st, r->sent_ns);
	bind_int(a, st, r->first_ns);
	bind_known(a, st, (int64_t)r->process);
	bind_known(a, st, r->tid);
	bind_known(a, st, (int64_t)r->unit);
	bind_known(a, st, (int64_t)r->connection);
	bind_int(a, st, r->channel);
	bind_int(a, st, r->state);
	bind_int(a, st, r->origin);
	bind_int(a, st, r->routes);
	bind_int(a, st, (int64_t)r->flow);
	bind_int(a, st, (int64_t)r->fingerprint);
	bind_known(a, st, (int64_t)r->payload);
	if (m->sized) {
		bind_int(a, st, m->envelope_size);
		bind_int(a, st, m->body_kept);
	} else {
		bind_known(a, st, 0);
		bind_known(a, st, 0);
	}
	bind_int(a, st, (int64_t)r->body_size);
	bind_int(a, st, r->flags);
	bind_int(a, st, r->one_of);
	bind_known(a, st, r->code);
	bind_int(a, st, r->dest);
	bind_int(a, st, names[4]);
	bind_text_or_null(a, st, r->mid);
}

static int apply_message(struct applier *a, const union any_row *u)
{
	const struct message_row *m = &u->message;
	const struct span text[] = {m->r.vhost, m->r.exchange, m->r.routing_key, m->r.type, m->r.log};
	int64_t names[ARRAY_LEN(text)];
	sqlite3_stmt *st;
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		rc = name_id(a, text[i], &names[i]);

		if (rc != SQLITE_OK)
			return rc;
	}
	st = begin(a, ROW_MESSAGE);
	bind_message(a, st, m, names);
	/* An upsert that updates leaves the last inserted id as it was. */
	sqlite3_set_last_insert_rowid(a->db, 0);
	rc = run(st);
	if (rc == SQLITE_OK && sqlite3_last_insert_rowid(a->db) == (int64_t)m->r.id)
		a->fresh++;
	return rc;
}

static int apply_copy(struct applier *a, const union any_row *u)
{
	const struct copy_rec *r = &u->copy;
	sqlite3_stmt *st;
	int64_t queue;
	int rc = name_id(a, r->queue, &queue);

	if (rc != SQLITE_OK)
		return rc;
	st = begin(a, ROW_COPY);
	bind_int(a, st, (int64_t)r->id);
	bind_int(a, st, (int64_t)r->message);
	bind_int(a, st, queue);
	bind_int(a, st, r->state);
	bind_int(a, st, r->source);
	bind_int(a, st, r->settle);
	bind_known(a, st, r->queued_ns);
	bind_known(a, st, r->first_delivered_ns);
	bind_known(a, st, r->delivered_ns);
	bind_known(a, st, r->settled_ns);
	bind_int(a, st, r->deliveries);
	bind_known(a, st, (int64_t)r->consumer);
	bind_known(a, st, r->consumer_tid);
	bind_known(a, st, (int64_t)r->connection);
	bind_known(a, st, (int64_t)r->dead_letter);
	return run(st);
}

static int apply_operation(struct applier *a, const union any_row *u)
{
	const struct operation_rec *r = &u->operation;
	sqlite3_stmt *st = begin(a, ROW_OPERATION);

	bind_int(a, st, (int64_t)r->id);
	bind_int(a, st, a->session);
	bind_known(a, st, (int64_t)r->message);
	bind_known(a, st, (int64_t)r->copy);
	bind_int(a, st, r->kind);
	bind_int(a, st, r->settle);
	bind_int(a, st, r->flags);
	bind_int(a, st, r->ts_ns);
	bind_known(a, st, (int64_t)r->process);
	bind_known(a, st, r->tid);
	bind_known(a, st, (int64_t)r->unit);
	bind_known(a, st, (int64_t)r->connection);
	bind_int(a, st, r->channel);
	bind_int(a, st, (int64_t)r->tag);
	bind_int(a, st, (int64_t)r->pos);
	bind_int(a, st, (int64_t)r->len);
	bind_known(a, st, r->code);
	bind_text_or_null(a, st, r->text);
	return run(st);
}

static int apply_identifier(struct applier *a, const union any_row *u)
{
	const struct identifier_row *r = &u->identifier;
	sqlite3_stmt *st;
	int64_t name;
	int rc = name_id(a, r->id.name, &name);

	if (rc != SQLITE_OK)
		return rc;
	st = begin(a, ROW_IDENTIFIER);
	bind_int(a, st, (int64_t)r->message);
	bind_int(a, st, name);
	bind_text(a, st, r->id.value);
	bind_int(a, st, r->id.place);
	bind_int(a, st, r->id.cls);
	return run(st);
}

static int apply_link(struct applier *a, const union any_row *u)
{
	const struct link_row *r = &u->link;
	sqlite3_stmt *st = begin(a, ROW_LINK);

	bind_int(a, st, (int64_t)r->r.id);
	bind_int(a, st, (int64_t)r->r.src);
	bind_int(a, st, (int64_t)r->r.dst);
	bind_int(a, st, r->r.kind);
	sqlite3_bind_double(st, a->at++, r->r.confidence);
	bind_text(a, st, r->evidence);
	return run(st);
}

static int apply_merge(struct applier *a, const union any_row *u)
{
	sqlite3_stmt *st = begin(a, ROW_MERGE);

	bind_int(a, st, (int64_t)u->merge.from);
	bind_int(a, st, (int64_t)u->merge.to);
	return run(st);
}

static int apply_merge_messages(struct applier *a, const union any_row *u)
{
	return amend_messages(a->db, u->merge.from, u->merge.to, &a->fresh);
}

static int apply_merge_brokers(struct applier *a, const union any_row *u)
{
	return amend_brokers(a->db, u->merge.from, u->merge.to);
}

static int apply_rename(struct applier *a, const union any_row *u)
{
	forget_names(a);
	return amend_name(a->db, u->rename.from, u->rename.to);
}

static int apply_exchange(struct applier *a, const union any_row *u)
{
	const struct exchange_rec *r = &u->exchange;
	sqlite3_stmt *st = begin(a, ROW_EXCHANGE);

	bind_int(a, st, (int64_t)r->broker);
	bind_text(a, st, r->vhost);
	bind_text(a, st, r->name);
	bind_text(a, st, r->type);
	bind_int(a, st, r->durable);
	bind_blob(a, st, r->args);
	bind_int(a, st, r->deleted);
	bind_known(a, st, r->ts_ns);
	return run(st);
}

static int apply_queue(struct applier *a, const union any_row *u)
{
	const struct queue_rec *r = &u->queue;
	sqlite3_stmt *st = begin(a, ROW_QUEUE);

	bind_int(a, st, (int64_t)r->broker);
	bind_text(a, st, r->vhost);
	bind_text(a, st, r->name);
	if (r->has_dead_letter)
		bind_text(a, st, r->dead_letter_exchange);
	else
		bind_known(a, st, 0);
	bind_text_or_null(a, st, r->dead_letter_key);
	bind_int(a, st, r->ttl_ms);
	bind_int(a, st, r->max_length);
	bind_int(a, st, r->durable);
	bind_int(a, st, r->exclusive);
	bind_int(a, st, r->auto_delete);
	bind_int(a, st, r->declared);
	bind_int(a, st, r->deleted);
	bind_known(a, st, r->ts_ns);
	return run(st);
}

static int apply_binding(struct applier *a, const union any_row *u)
{
	const struct binding_rec *r = &u->binding;
	sqlite3_stmt *st = begin(a, ROW_BINDING);

	bind_int(a, st, (int64_t)r->broker);
	bind_text(a, st, r->vhost);
	bind_text(a, st, r->source);
	bind_text(a, st, r->destination);
	bind_int(a, st, r->to_exchange);
	bind_text(a, st, r->key);
	bind_blob(a, st, r->args);
	bind_int(a, st, r->deleted);
	bind_known(a, st, r->ts_ns);
	return run(st);
}

static int apply_consumer(struct applier *a, const union any_row *u)
{
	const struct consumer_rec *r = &u->consumer;
	sqlite3_stmt *st = begin(a, ROW_CONSUMER);

	bind_int(a, st, (int64_t)r->broker);
	bind_int(a, st, (int64_t)r->connection);
	bind_int(a, st, r->channel);
	bind_text(a, st, r->vhost);
	bind_text(a, st, r->queue);
	bind_text(a, st, r->tag);
	bind_known(a, st, (int64_t)r->process);
	bind_int(a, st, r->prefetch);
	bind_int(a, st, r->no_ack);
	bind_known(a, st, r->since_ns);
	bind_known(a, st, r->until_ns);
	return run(st);
}

static int apply_gap(struct applier *a, const union any_row *u)
{
	const struct gap_row *r = &u->gap;
	sqlite3_stmt *st = begin(a, ROW_GAP);

	bind_int(a, st, a->session);
	bind_known(a, st, (int64_t)r->r.connection);
	bind_known(a, st, r->r.ts_ns);
	bind_int(a, st, r->r.dir);
	bind_int(a, st, (int64_t)r->r.bytes);
	bind_int(a, st, (int64_t)r->r.records);
	bind_text(a, st, r->reason);
	return run(st);
}

static int (*const apply_row[ROW_TYPES])(struct applier *a, const union any_row *u) = {
	[ROW_PROCESS] = apply_process,
	[ROW_BROKER] = apply_broker,
	[ROW_CONNECTION] = apply_connection,
	[ROW_MESSAGE] = apply_message,
	[ROW_COPY] = apply_copy,
	[ROW_OPERATION] = apply_operation,
	[ROW_IDENTIFIER] = apply_identifier,
	[ROW_LINK] = apply_link,
	[ROW_MERGE] = apply_merge,
	[ROW_MERGE_MESSAGES] = apply_merge_messages,
	[ROW_MERGE_BROKERS] = apply_merge_brokers,
	[ROW_RENAME] = apply_rename,
	[ROW_EXCHANGE] = apply_exchange,
	[ROW_QUEUE] = apply_queue,
	[ROW_BINDING] = apply_binding,
	[ROW_CONSUMER] = apply_consumer,
	[ROW_GAP] = apply_gap,
};

/* --- a batch --- */

static int apply_rows(struct applier *a, const struct batch *b)
{
	enum row_type type;
	union any_row row;
	sqlite3_stmt *st;
	size_t off = 0;

	a->fresh = 0;
	while (rowlog_next(&b->rows, &off, &type, &row)) {
		int rc = apply_row[type](a, &row);

		if (rc != SQLITE_OK)
			return rc;
	}
	if (!a->fresh)
		return SQLITE_OK;
	st = begin(a, ST_FRESH);
	bind_int(a, st, a->fresh);
	bind_int(a, st, a->session);
	return run(st);
}

static int apply_blocks(struct applier *a, const struct batch *b)
{
	for (const struct raw_block *k = b->blocks; k; k = k->next) {
		sqlite3_stmt *st = begin(a, ST_BLOCK);
		int rc;

		bind_int(a, st, (int64_t)k->id);
		bind_int(a, st, a->session);
		bind_int(a, st, k->segment);
		bind_int(a, st, (int64_t)k->offset);
		bind_int(a, st, k->stored_size);
		bind_int(a, st, (int64_t)k->raw.n);
		bind_int(a, st, k->payloads);
		rc = run(st);
		if (rc != SQLITE_OK)
			return rc;
	}
	return SQLITE_OK;
}

static int apply_session(struct applier *a, const struct session_state *s)
{
	sqlite3_stmt *st = begin(a, ST_SESSION);

	bind_int(a, st, s->ended_ns);
	bind_int(a, st, (int64_t)s->lost_records);
	bind_int(a, st, (int64_t)s->lost_bytes);
	bind_int(a, st, (int64_t)s->ignored_connections);
	bind_int(a, st, s->id);
	return run(st);
}

/* Moves the log into the file, once the payloads that its rows refer to are as durable. A failure harms
 * nothing: the log stays and the next commit tries again. */
static void checkpoint(struct applier *a, struct segments *seg)
{
	if (!segments_sync(seg))
		sqlite3_wal_checkpoint_v2(a->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static int wal_pages(void *ctx, sqlite3 *db, const char *name, int pages)
{
	(void)db, (void)name;
	*(int *)ctx = pages;
	return SQLITE_OK;
}

int applier_run(struct applier *a, struct segments *seg, const struct batch *b, const struct session_state *s,
	struct err *e)
{
	int pages = 0, rc, err;

	for (struct raw_block *k = b ? b->blocks : NULL; k; k = k->next) {
		err = k->stored ? 0 : segments_append(seg, k, e);
		if (err)
			return err;
	}
	sqlite3_wal_hook(a->db, wal_pages, &pages);
	rc = run(a->st[ST_BEGIN]);
	if (rc == SQLITE_OK && b)
		rc = apply_rows(a, b);
	if (rc == SQLITE_OK && b)
		rc = apply_blocks(a, b);
	if (rc == SQLITE_OK && s)
		rc = apply_session(a, s);
	if (rc == SQLITE_OK)
		rc = run(a->st[ST_COMMIT]);
	err = rc == SQLITE_OK ? 0 : catalogue_err(a->db, rc, a->path, "write to", e);
	sqlite3_wal_hook(a->db, NULL, NULL);
	if (err) {
		if (!sqlite3_get_autocommit(a->db))
			sqlite3_exec(a->db, "ROLLBACK", NULL, NULL, NULL);
		forget_names(a); /* those that were new have gone with the transaction */
		return err;
	}
	if (pages >= CHECKPOINT_PAGES)
		checkpoint(a, seg);
	return 0;
}
