/* What earlier sessions left open, back into the correlator: topology, then messages that are still
 * somewhere. */
#include "store/writer.h"

#include <errno.h>

static struct span col_text(sqlite3_stmt *st, int i)
{
	const void *p = sqlite3_column_text(st, i);

	return span_of(p, (size_t)sqlite3_column_bytes(st, i));
}

static struct span col_blob(sqlite3_stmt *st, int i)
{
	const void *p = sqlite3_column_blob(st, i);

	return span_of(p, (size_t)sqlite3_column_bytes(st, i));
}

static uint64_t col_u64(sqlite3_stmt *st, int i)
{
	return (uint64_t)sqlite3_column_int64(st, i);
}

static uint32_t col_u32(sqlite3_stmt *st, int i)
{
	return (uint32_t)sqlite3_column_int64(st, i);
}

typedef int (*restore_fn)(struct store_writer *w, struct correlator *c, sqlite3_stmt *st);

static int each(struct store_writer *w, struct correlator *c, const char *sql, int64_t arg, restore_fn fn)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(w->db, sql, -1, &st, NULL), err = 0;

	if (rc != SQLITE_OK)
		return catalogue_err(w->db, rc, w->file, "read", NULL);
	if (sqlite3_bind_parameter_count(st))
		sqlite3_bind_int64(st, 1, arg);
	while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW)
		err = fn(w, c, st);
	if (!err && rc != SQLITE_DONE)
		err = catalogue_err(w->db, rc, w->file, "read", NULL);
	sqlite3_finalize(st);
	return err;
}

static int broker(struct store_writer *w, struct correlator *c, sqlite3_stmt *st)
{
	struct broker_rec r = {
		.id = col_u64(st, 0),
		.proto = (enum proto_id)col_u32(st, 1),
		.name = (const char *)sqlite3_column_text(st, 2),
		.process = col_u64(st, 3),
	};

	(void)w;
	return correlator__restore_broker(c, &r);
}

static int exchange(struct store_writer *w, struct correlator *c, sqlite3_stmt *st)
{
	struct exchange_rec r = {
		.broker = col_u64(st, 0),
		.vhost = col_text(st, 1),
		.name = col_text(st, 2),
		.type = col_text(st, 3),
		.durable = col_u32(st, 4),
		.args = col_blob(st, 5),
		.deleted = col_u32(st, 6),
		.ts_ns = sqlite3_column_int64(st, 7),
		.proto = (enum proto_id)col_u32(st, 8),
	};

	(void)w;
	return correlator__restore_exchange(c, &r);
}

static int queue(struct store_writer *w, struct correlator *c, sqlite3_stmt *st)
{
	struct queue_rec r = {
		.broker = col_u64(st, 0),
		.vhost = col_text(st, 1),
		.name = col_text(st, 2),
		.dead_letter_exchange = col_text(st, 3),
		.dead_letter_key = col_text(st, 4),
		.ttl_ms = sqlite3_column_int64(st, 5),
		.max_length = sqlite3_column_int64(st, 6),
		.durable = col_u32(st, 7),
		.exclusive = col_u32(st, 8),
		.auto_delete = col_u32(st, 9),
		.declared = col_u32(st, 10),
		.deleted = col_u32(st, 11),
		.ts_ns = sqlite3_column_int64(st, 12),
		.has_dead_letter = sqlite3_column_type(st, 3) != SQLITE_NULL,
	};

	(void)w;
	return correlator__restore_queue(c, &r);
}

static int binding(struct store_writer *w, struct correlator *c, sqlite3_stmt *st)
{
	struct binding_rec r = {
		.broker = col_u64(st, 0),
		.vhost = col_text(st, 1),
		.source = col_text(st, 2),
		.destination = col_text(st, 3),
		.to_exchange = col_u32(st, 4),
		.key = col_text(st, 5),
		.args = col_blob(st, 6),
		.deleted = col_u32(st, 7),
		.ts_ns = sqlite3_column_int64(st, 8),
	};

	(void)w;
	return correlator__restore_binding(c, &r);
}

static int copy(struct store_writer *w, struct correlator *c, sqlite3_stmt *st)
{
	struct copy_rec r = {
		.id = col_u64(st, 0),
		.message = col_u64(st, 1),
		.queue = col_text(st, 2),
		.state = (enum msg_state)col_u32(st, 3),
		.source = (enum copy_source)col_u32(st, 4),
		.settle = (enum settle)col_u32(st, 5),
		.queued_ns = sqlite3_column_int64(st, 6),
		.first_delivered_ns = sqlite3_column_int64(st, 7),
		.delivered_ns = sqlite3_column_int64(st, 8),
		.settled_ns = sqlite3_column_int64(st, 9),
		.deliveries = col_u32(st, 10),
		.consumer = col_u64(st, 11),
		.consumer_tid = col_u32(st, 12),
		.connection = col_u64(st, 13),
		.dead_letter = col_u64(st, 14),
	};

	(void)w;
	return correlator__restore_copy(c, &r);
}

static int message(struct store_writer *w, struct correlator *c, sqlite3_stmt *st)
{
	struct message_rec r = {
		.id = col_u64(st, 0),
		.broker = col_u64(st, 1),
		.proto = (enum proto_id)col_u32(st, 2),
		.vhost = col_text(st, 3),
		.exchange = col_text(st, 4),
		.routing_key = col_text(st, 5),
		.type = col_text(st, 6),
		.sent_ns = sqlite3_column_int64(st, 7),
		.first_ns = sqlite3_column_int64(st, 8),
		.process = col_u64(st, 9),
		.tid = col_u32(st, 10),
		.unit = col_u64(st, 11),
		.connection = col_u64(st, 12),
		.channel = col_u32(st, 13),
		.state = (enum msg_state)col_u32(st, 14),
		.origin = (enum msg_origin)col_u32(st, 15),
		.routes = (enum routes)col_u32(st, 16),
		.flow = col_u64(st, 17),
		.fingerprint = col_u64(st, 18),
		.payload = col_u64(st, 19),
		.body_size = col_u64(st, 20),
		.flags = col_u32(st, 21),
		.one_of = col_u32(st, 22),
		.code = col_u32(st, 23),
		.dest = (enum dest)col_u32(st, 24),
		.log = col_text(st, 25),
		.mid = col_text(st, 26),
	};
	int err = correlator__restore_message(c, &r);

	if (err)
		return err;
	return each(w, c,
		"SELECT c.id,c.message,q.text,c.state,c.source,c.settle,c.queued_ns,c.first_delivered_ns,"
		"c.delivered_ns,c.settled_ns,c.deliveries,c.consumer,c.consumer_tid,c.connection,c.dead_"
		"letter"
		" FROM copy c JOIN name q ON q.id=c.queue WHERE c.message=? ORDER BY c.id",
		(int64_t)r.id, copy);
}

/*
 * A message is open while a copy of it waits or is held by a consumer (4 QUEUED, 5 DELIVERED, 7 REQUEUED: the
 * index copy_open), or when it was on its way (1 SENT, 2 CONFIRMED: message_on_its_way) during the last day:
 * where nobody sees deliveries, messages stay confirmed for ever.
 */
static const char open_messages[] =
	"SELECT "
	"m.id,m.broker,m.proto,v.text,e.text,k.text,t.text,m.sent_ns,m.first_ns,m.process,m.tid,m.unit,"
	"m.connection,m.channel,m.state,m.origin,m.routes,m.flow,m.fingerprint,m.payload,m.body_size,m.flags,"
	"m.one_of,m.code,m.dest,l.text,m.mid FROM message m"
	" JOIN name v ON v.id=m.vhost JOIN name e ON e.id=m.exchange JOIN name k ON k.id=m.routing_key"
	" JOIN name t ON t.id=m.type JOIN name l ON l.id=m.log WHERE m.id IN ("
	"  SELECT message FROM copy WHERE state IN (4,5,7) UNION"
	"  SELECT id FROM message WHERE state IN (1,2) AND first_ns >"
	"   (SELECT max(first_ns) FROM message WHERE id=(SELECT max(id) FROM message))-86400000000000)"
	" ORDER BY m.id DESC LIMIT ?";
_Static_assert(STATE_SENT == 1 && STATE_CONFIRMED == 2 && STATE_QUEUED == 4 && STATE_DELIVERED == 5 &&
		       STATE_REQUEUED == 7,
	"numbers in the query above and in schema.sql");

int store_writer_restore(struct store_writer *w, struct correlator *c, size_t limit)
{
	int err;

	err = each(w, c, "SELECT id,proto,ifnull(name,''),process FROM broker ORDER BY id", 0, broker);
	if (!err)
		err = each(w, c,
			"SELECT x.broker,x.vhost,x.name,x.type,x.durable,x.args,x.deleted,x.ts_ns,b.proto"
			" FROM exchange x LEFT JOIN broker b ON b.id=x.broker",
			0, exchange);
	if (!err)
		err = each(w, c,
			"SELECT "
			"broker,vhost,name,dead_letter_exchange,dead_letter_key,ttl_ms,max_length,durable,"
			"exclusive,auto_delete,declared,deleted,ts_ns FROM queue",
			0, queue);
	if (!err)
		err = each(w, c,
			"SELECT broker,vhost,source,destination,to_exchange,key,args,deleted,ts_ns FROM "
			"binding",
			0, binding);
	if (!err)
		err = each(w, c, open_messages, limit > INT64_MAX ? INT64_MAX : (int64_t)limit, message);
	return err;
}
