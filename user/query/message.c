#include "query/message.h"

#include <errno.h>
#include <stdlib.h>

#include "query/replays.h"

#define LISTED 64 /* queues named in a row */

struct loader {
	struct store *s;
	struct names *names;
	struct map loaded; /* id -> struct msg * */
	sqlite3_stmt *message, *copies, *links, *queues;
	bool named; /* the table of replays has copies by the broker's name for them */
};

static void msg__free(struct msg *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->links_n; i++)
		free(m->links[i].evidence);
	free(m->links);
	free(m->copies);
	free(m);
}

int loader__new(struct store *s, struct loader **ret, struct err *e)
{
	struct loader *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return err_set(e, -ENOMEM, "out of memory");
	l->s = s;
	err = names__new(s, &l->names, e);
	if (!err)
		err = cat_prepare(s,
			"SELECT "
			"broker,proto,vhost,exchange,routing_key,type,sent_ns,first_ns,process,tid,"
			"connection,"
			"channel,state,origin,routes,flow,payload,body_kept,body_size,flags,one_of,code,dest,"
			"log,mid"
			" FROM message WHERE id=?",
			&l->message, e);
	if (!err)
		err = cat_prepare(s,
			"SELECT "
			"id,queue,state,source,settle,queued_ns,first_delivered_ns,delivered_ns,settled_ns,"
			"deliveries,consumer,dead_letter,connection FROM copy WHERE message=? ORDER BY id",
			&l->copies, e);
	if (!err)
		err = cat_prepare(s,
			"SELECT id,src,dst,kind,confidence,evidence FROM link WHERE src=?1 OR dst=?1 ORDER "
			"BY id",
			&l->links, e);
	if (!err)
		err = cat_prepare(s, "SELECT queue FROM copy WHERE message=? ORDER BY id", &l->queues, e);
	if (!err)
		err = replays_named(s, &l->named, e);
	if (err) {
		loader__free(l);
		return err;
	}
	*ret = l;
	return 0;
}

void loader__free(struct loader *l)
{
	if (!l)
		return;
	map_for_each (&l->loaded, m)
		msg__free((struct msg *)(uintptr_t)m->val);
	map_free(&l->loaded);
	sqlite3_finalize(l->message);
	sqlite3_finalize(l->copies);
	sqlite3_finalize(l->links);
	sqlite3_finalize(l->queues);
	names__free(l->names);
	free(l);
}

struct store *loader_store(struct loader *l)
{
	return l->s;
}

struct names *loader_names(struct loader *l)
{
	return l->names;
}

static int read_message(struct loader *l, uint64_t id, struct msg *m, struct err *e)
{
	sqlite3_stmt *st = l->message;
	struct row *r = &m->row;
	int more;

	sqlite3_bind_int64(st, 1, (int64_t)id);
	more = cat_step(l->s, st, e);
	if (more > 0) {
		r->id = id;
		m->broker = cat_id(st, 0);
		r->proto = (enum proto_id)sqlite3_column_int(st, 1);
		r->vhost = names_text(l->names, cat_id(st, 2));
		r->exchange = names_text(l->names, cat_id(st, 3));
		r->routing_key = names_text(l->names, cat_id(st, 4));
		r->type = names_text(l->names, cat_id(st, 5));
		m->sent_ns = cat_time(st, 6);
		m->first_ns = cat_time(st, 7);
		r->when_ns = m->sent_ns ? m->sent_ns : m->first_ns;
		m->sender = names_client(l->names, cat_id(st, 8), cat_id(st, 10));
		r->pid = m->sender ? m->sender->pid : 0;
		r->service = r->pid ? m->sender->service : "";
		m->tid = (uint32_t)sqlite3_column_int64(st, 9);
		m->connection = cat_id(st, 10);
		m->channel = (uint32_t)sqlite3_column_int64(st, 11);
		r->state = cat_state(st, 12);
		r->origin = (enum msg_origin)sqlite3_column_int(st, 13);
		m->routes = (enum routes)sqlite3_column_int(st, 14);
		r->flow = cat_id(st, 15);
		r->payload = cat_id(st, 16);
		r->body_kept = cat_id(st, 17);
		r->body_size = cat_id(st, 18);
		r->flags = (uint32_t)sqlite3_column_int64(st, 19);
		m->one_of = (uint32_t)sqlite3_column_int64(st, 20);
		m->code = (uint32_t)sqlite3_column_int64(st, 21);
		r->dest = (enum dest)sqlite3_column_int(st, 22);
		r->log = names_text(l->names, cat_id(st, 23));
		cat_text(st, 24, r->mid, sizeof(r->mid));
	}
	sqlite3_reset(st);
	if (!more)
		return err_set(e, -ENOENT, "there is no message m%llu", (unsigned long long)id);
	return more < 0 ? more : 0;
}

/* Makes room for one more of @n elements of @size at *@p; NULL when memory is short. */
static void *grow(void **p, size_t n, size_t size)
{
	void *more = n & (n - 1) ? *p : reallocarray(*p, n ? 2 * n : 1, size);

	if (!more)
		return NULL;
	*p = more;
	return (char *)more + n * size;
}

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

static int read_copies(struct loader *l, struct msg *m, struct err *e)
{
	sqlite3_stmt *st = l->copies;
	int more;

	sqlite3_bind_int64(st, 1, (int64_t)m->row.id);
	while ((more = cat_step(l->s, st, e)) > 0) {
		struct msg_copy *c;

		if (m->copies_n == MSG_MAX_COPIES) {
			m->more = true;
			more = 0;
			break;
		}
		c = grow((void **)&m->copies, m->copies_n, sizeof(*c));
		if (!c) {
			more = no_memory(e);
			break;
		}
		*c = (struct msg_copy){
			.id = cat_id(st, 0),
			.queue = names_text(l->names, cat_id(st, 1)),
			.state = cat_state(st, 2),
			.source = (enum copy_source)sqlite3_column_int(st, 3),
			.settle = (enum settle)sqlite3_column_int(st, 4),
			.queued_ns = cat_time(st, 5),
			.first_delivered_ns = cat_time(st, 6),
			.delivered_ns = cat_time(st, 7),
			.settled_ns = cat_time(st, 8),
			.deliveries = (uint32_t)sqlite3_column_int64(st, 9),
			.consumer = names_client(l->names, cat_id(st, 10), cat_id(st, 12)),
			.dead_letter = cat_id(st, 11),
		};
		m->copies_n++;
	}
	sqlite3_reset(st);
	return more;
}

/* 1 added, 0 it has too many, -errno. */
static int add_link(struct msg *m, const struct msg_link *link, struct span evidence, struct err *e)
{
	struct msg_link *k;

	if (m->links_n == MSG_MAX_LINKS) {
		m->more = true;
		return 0;
	}
	k = grow((void **)&m->links, m->links_n, sizeof(*k));
	if (!k)
		return no_memory(e);
	*k = *link;
	k->evidence = strndup(evidence.n ? (const char *)evidence.p : "", evidence.n);
	m->links_n++;
	return k->evidence ? 1 : no_memory(e);
}

static int on_replay(void *ctx, uint64_t src, uint64_t dst, struct err *e)
{
	struct msg *m = ctx;
	int err;

	for (size_t i = 0; i < m->links_n; i++)
		if (m->links[i].kind == LINK_REPLAY_OF && m->links[i].src == src && m->links[i].dst == dst)
			return 0;
	err = add_link(m, &(struct msg_link){.src = src, .dst = dst, .kind = LINK_REPLAY_OF, .confidence = 1},
		SPAN_LIT("the broker's own id, as it confirmed the replay"), e);
	return err < 0 ? err : 0;
}

static int read_links(struct loader *l, struct msg *m, struct err *e)
{
	sqlite3_stmt *st = l->links;
	int more;

	sqlite3_bind_int64(st, 1, (int64_t)m->row.id);
	while ((more = cat_step(l->s, st, e)) > 0) {
		struct msg_link k = {
			.id = cat_id(st, 0),
			.src = cat_id(st, 1),
			.dst = cat_id(st, 2),
			.kind = (enum link_kind)sqlite3_column_int(st, 3),
			.confidence = sqlite3_column_double(st, 4),
		};

		more = add_link(m, &k, cat_span(st, 5), e);
		if (more <= 0)
			break;
	}
	sqlite3_reset(st);
	return !more && l->named ? replay_links(l->s, m, on_replay, m, e) : more;
}

/* What lists show: the queues of its copies, and those that its dead copies went to. */
static int name_queues(struct loader *l, struct msg *m, struct err *e)
{
	struct row *r = &m->row;
	int more = 0;

	r->copies = (unsigned)m->copies_n;
	r->queue_list = m->names;
	r->dead_list = m->names + LISTED;
	r->queues = "";
	for (size_t i = 0; i < m->copies_n && i < LISTED; i++) {
		const struct msg_copy *c = &m->copies[i];

		if (*c->queue)
			m->names[r->queue_list_n++] = c->queue;
		if (!c->dead_letter)
			continue;
		sqlite3_bind_int64(l->queues, 1, (int64_t)c->dead_letter);
		while ((more = cat_step(l->s, l->queues, e)) > 0)
			if (r->dead_list_n < LISTED)
				m->names[LISTED + r->dead_list_n++] =
					names_text(l->names, cat_id(l->queues, 0));
		sqlite3_reset(l->queues);
		if (more < 0)
			return more;
	}
	return 0;
}

int loader_get(struct loader *l, uint64_t id, struct msg **ret, struct err *e)
{
	struct msg *m = map_ptr(&l->loaded, id);
	int err;

	if (m) {
		*ret = m;
		return 0;
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return no_memory(e);
	err = read_message(l, id, m, e);
	if (!err)
		err = read_copies(l, m, e);
	if (!err)
		err = read_links(l, m, e);
	if (!err)
		err = name_queues(l, m, e);
	if (!err && map_put_ptr(&l->loaded, id, m))
		err = no_memory(e);
	if (err) {
		msg__free(m);
		return err;
	}
	*ret = m;
	return 0;
}

int loader_payload(struct loader *l, struct msg *m, struct err *e)
{
	if (!m->row.payload)
		return 0;
	return store_payload(l->s, m->row.payload, &m->row.envelope, &m->row.body, e);
}

int loader_operations(struct loader *l, const struct msg *m, unsigned max,
	void (*fn)(void *ctx, const struct msg_op *op), void *ctx, struct err *e)
{
	sqlite3_stmt *st = NULL;
	unsigned n = 0;
	/* What a group's position settled has no operation of its own: its copy tells. */
	int more = cat_prepare(l->s,
		"SELECT id,copy,connection,tag,pos,len,kind,settle,flags,tid,channel,code,ts_ns,process,text"
		" FROM operation WHERE message=?1 UNION ALL "
		"SELECT 0,c.id,connection,0,0,0,?3,settle,?4,consumer_tid,0,0,settled_ns,consumer,NULL FROM "
		"copy c"
		" WHERE ?5 AND message=?1 AND settle=?6 AND settled_ns>0 AND NOT EXISTS"
		" (SELECT 1 FROM operation o WHERE o.message=?1 AND o.copy=c.id AND o.kind=?3 AND "
		"o.settle=?6)"
		" ORDER BY ts_ns,id LIMIT ?2",
		&st, e);

	if (more)
		return more;
	sqlite3_bind_int64(st, 1, (int64_t)m->row.id);
	sqlite3_bind_int64(st, 2, (int64_t)max + 1);
	sqlite3_bind_int(st, 3, OP_SETTLE);
	sqlite3_bind_int(st, 4, OPF_UP_TO);
	sqlite3_bind_int(st, 5, m->row.dest == DEST_LOG);
	sqlite3_bind_int(st, 6, SETTLE_ACK);
	while ((more = cat_step(l->s, st, e)) > 0 && n++ < max) {
		struct msg_op op = {
			.id = cat_id(st, 0),
			.copy = cat_id(st, 1),
			.connection = cat_id(st, 2),
			.tag = cat_id(st, 3),
			.pos = cat_id(st, 4),
			.len = cat_id(st, 5),
			.kind = (enum op_kind)sqlite3_column_int(st, 6),
			.settle = (enum settle)sqlite3_column_int(st, 7),
			.flags = (uint32_t)sqlite3_column_int64(st, 8),
			.tid = (uint32_t)sqlite3_column_int64(st, 9),
			.channel = (uint32_t)sqlite3_column_int64(st, 10),
			.code = (uint32_t)sqlite3_column_int64(st, 11),
			.ts_ns = cat_time(st, 12),
			.who = names_client(l->names, cat_id(st, 13), cat_id(st, 2)),
			.text = cat_span(st, 14),
		};

		fn(ctx, &op);
	}
	sqlite3_finalize(st);
	return more < 0 ? more : (int)n;
}

int loader_bindings(struct loader *l, const struct msg *m, const char *queue,
	void (*fn)(void *ctx, struct span key), void *ctx, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int n = 0;
	int more = cat_prepare(l->s,
		"SELECT key FROM binding WHERE broker=? AND vhost=? AND source=? AND destination=?"
		" AND to_exchange=0 AND deleted=0 ORDER BY key",
		&st, e);

	if (more)
		return more;
	sqlite3_bind_int64(st, 1, (int64_t)m->broker);
	sqlite3_bind_text(st, 2, m->row.vhost, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 3, m->row.exchange, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, queue, -1, SQLITE_STATIC);
	while ((more = cat_step(l->s, st, e)) > 0) {
		fn(ctx, cat_span(st, 0));
		n++;
	}
	sqlite3_finalize(st);
	return more < 0 ? more : n;
}

int loader_identifiers(struct loader *l, const struct msg *m,
	void (*fn)(void *ctx, const char *name, struct span value, enum place place), void *ctx,
	struct err *e)
{
	sqlite3_stmt *st = NULL;
	int n = 0;
	int more = cat_prepare(l->s, "SELECT name,value,place FROM identifier WHERE message=?", &st, e);

	if (more)
		return more;
	sqlite3_bind_int64(st, 1, (int64_t)m->row.id);
	while ((more = cat_step(l->s, st, e)) > 0) {
		fn(ctx, names_text(l->names, cat_id(st, 0)), cat_span(st, 1),
			(enum place)sqlite3_column_int(st, 2));
		n++;
	}
	sqlite3_finalize(st);
	return more < 0 ? more : n;
}
