/*
 * Which messages answer to a query, newest first, as a stream.
 *
 * One pass over the messages in the order of their ids. A message is looked at with as little as settles it:
 * names were compared once, before the pass, and are sets of ids here; a row's texts are read only when it is
 * found. Blocks of payloads come in the same order, so each is decompressed once.
 */
#include <errno.h>
#include <stdlib.h>

#include "query/content.h"
#include "query/catalogue.h"
#include "query/match.h"

#define SCANNED                                                                                              \
	"id,payload,sent_ns,first_ns,state,flags,proto,exchange,routing_key,type,process,origin,dest,mid"
#define TICK_ROWS  1024
#define MAX_QUEUES 64 /* named in a row */

/* What of the catalogue makes one leaf true. */
struct leaf_sets {
	bool all;             /* every name does */
	struct map names;     /* name ids */
	struct map processes; /* process ids, by their service */
};

struct copy {
	uint64_t queue, consumer, dead_letter;
	enum msg_state state;
};

struct select {
	struct store *s;
	const struct query *q;
	struct select_opts o;
	struct select_stats stats;
	struct names *names;
	sqlite3_stmt *scan, *rest, *copies_of, *queues_of;
	struct leaf_sets sets[QUERY_MAX_LEAVES];
	bool done;
	uint64_t last; /* id of the message that was looked at last */
	uint32_t since_tick;
	/* the message at hand */
	uint64_t id, exchange, routing_key, type, process, payload;
	enum dest dest;
	struct copy *copies;
	size_t copies_n, copies_cap;
	bool copies_read, by_broker;
	const char *queues[MAX_QUEUES], *dead_queues[MAX_QUEUES];
	struct buf text, shown;
	struct err *e;
};

/* --- names as sets --- */

static bool asks_names(const struct leaf *l)
{
	switch (l->kind) {
	case LEAF_WORD:
	case LEAF_TOPIC:
	case LEAF_EXCHANGE:
	case LEAF_KEY:
	case LEAF_QUEUE:
		return true;
	default:
		return false;
	}
}

static bool name_hits(const struct leaf *l, struct span name)
{
	if (l->kind == LEAF_WORD)
		return pattern_find(&l->pat, name, false, NULL) != NOT_FOUND;
	return pattern_is(&l->pat, name);
}

/* Reads @sql (id, text) into the sets of those leaves that want it. */
static int collect(struct select *s, const char *sql, bool names, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(s->s, sql, &st, e), more = 0;

	while (!err && (more = cat_step(s->s, st, e)) > 0) {
		uint64_t id = cat_id(st, 0);
		struct span text = cat_span(st, 1);

		for (size_t i = 0; i < s->q->leaves_n && !err; i++) {
			const struct leaf *l = &s->q->leaves[i];
			bool wants = names ? asks_names(l) && !s->sets[i].all
					   : l->kind == LEAF_WORD || l->kind == LEAF_SERVICE;

			if (wants && name_hits(l, text))
				err = map_put(names ? &s->sets[i].names : &s->sets[i].processes, id, 1);
		}
		if (err)
			err_set(e, err, "out of memory");
	}
	sqlite3_finalize(st);
	return err ? err : more;
}

static int collect_sets(struct select *s, struct err *e)
{
	bool names = false, processes = false;
	int err = 0;

	for (size_t i = 0; i < s->q->leaves_n; i++) {
		const struct leaf *l = &s->q->leaves[i];

		s->sets[i].all = asks_names(l) && pattern_any(&l->pat);
		names |= asks_names(l) && !s->sets[i].all;
		processes |= l->kind == LEAF_WORD || l->kind == LEAF_SERVICE;
	}
	if (names)
		err = collect(s, "SELECT id,text FROM name", true, e);
	if (!err && processes)
		err = collect(s, "SELECT id,service FROM process WHERE service<>''", false, e);
	return err;
}

static bool in_set(const struct leaf_sets *set, uint64_t name)
{
	return name && (set->all || map_get(&set->names, name));
}

static bool who_in_set(const struct leaf_sets *set, uint64_t process)
{
	return process && map_get(&set->processes, process);
}

/* --- copies --- */

static int read_copies(struct select *s)
{
	int more;

	if (s->copies_read)
		return 0;
	s->copies_read = true;
	s->copies_n = 0;
	sqlite3_bind_int64(s->copies_of, 1, (int64_t)s->id);
	while ((more = cat_step(s->s, s->copies_of, s->e)) > 0) {
		if (s->copies_n == s->copies_cap) {
			size_t cap = s->copies_cap ? 2 * s->copies_cap : 16;
			struct copy *p = reallocarray(s->copies, cap, sizeof(*p));

			if (!p) {
				more = err_set(s->e, -ENOMEM, "out of memory");
				break;
			}
			s->copies = p;
			s->copies_cap = cap;
		}
		s->copies[s->copies_n++] = (struct copy){
			.queue = cat_id(s->copies_of, 0),
			.state = cat_state(s->copies_of, 1),
			.consumer = cat_id(s->copies_of, 2),
			.dead_letter = cat_id(s->copies_of, 3),
		};
	}
	sqlite3_reset(s->copies_of);
	return more;
}

static bool message_hits(const struct select *s, const struct leaf *l, const struct leaf_sets *set)
{
	switch (l->kind) {
	case LEAF_WORD:
		return in_set(set, s->exchange) || in_set(set, s->routing_key) || in_set(set, s->type) ||
		       who_in_set(set, s->process);
	case LEAF_TOPIC:
		return in_set(set, s->exchange) || in_set(set, s->routing_key);
	case LEAF_EXCHANGE:
		return in_set(set, s->exchange);
	case LEAF_KEY: /* a partition is no key: that is in the envelope */
		return s->dest != DEST_LOG && in_set(set, s->routing_key);
	case LEAF_SERVICE:
		return who_in_set(set, s->process);
	default:
		return false;
	}
}

static bool row_waits(enum msg_state s)
{
	return s == STATE_QUEUED || s == STATE_REQUEUED || s == STATE_CONFIRMED || s == STATE_SENT;
}

static bool copy_hits(const struct copy *c, const struct leaf *l, const struct leaf_sets *set)
{
	switch (l->kind) {
	case LEAF_WORD:
		return in_set(set, c->queue) || who_in_set(set, c->consumer);
	case LEAF_TOPIC:
	case LEAF_QUEUE:
		return in_set(set, c->queue);
	case LEAF_SERVICE:
		return who_in_set(set, c->consumer);
	case LEAF_STATE:
		return l->states >> c->state & 1;
	default:
		return false;
	}
}

/* The state of the copy in the queue that was asked for, too. */
static bool state_hits(const struct select *s, const struct copy *c, const struct leaf *l)
{
	uint32_t states = 1u << c->state;

	if (s->by_broker && row_waits(c->state)) /* see row_state() */
		states |= 1u << STATE_DEAD_LETTERED;
	return l->states & states && in_set(&s->sets[l->with - 1], c->queue);
}

static int on_names(void *ctx, enum names_of of, size_t i)
{
	struct select *s = ctx;
	const struct leaf *l = &s->q->leaves[i];
	const struct leaf_sets *set = &s->sets[i];
	int err;

	if (of == NAMES_OF_MESSAGE)
		return message_hits(s, l, set);
	if (l->kind != LEAF_STATE && !set->all && !set->names.n && !set->processes.n)
		return 0;
	err = read_copies(s);
	if (err)
		return err;
	for (size_t k = 0; k < s->copies_n; k++)
		if (l->with ? state_hits(s, &s->copies[k], l) : copy_hits(&s->copies[k], l, set))
			return 1;
	return 0;
}

/* --- the pass --- */

/* The ids that the query itself asks for: id: terms that have to hold. */
static uint64_t asked_id(const struct query *q, int n)
{
	const struct node *node = n < 0 ? NULL : &q->nodes[n];
	uint64_t id;

	if (!node || node->kind == NODE_OR || node->kind == NODE_NOT)
		return 0;
	if (node->kind == NODE_LEAF)
		return q->leaves[node->a].kind == LEAF_ID ? q->leaves[node->a].id : 0;
	id = asked_id(q, node->a);
	return id ? id : asked_id(q, node->b);
}

static int prepare(struct select *s, struct err *e)
{
	bool up = s->o.after || s->o.oldest_first;
	uint64_t id = asked_id(s->q, s->q->root), from, to;
	int err;

	err = cat_prepare(s->s,
		up ? "SELECT " SCANNED " FROM message WHERE id BETWEEN ? AND ? ORDER BY id"
		   : "SELECT " SCANNED " FROM message WHERE id BETWEEN ? AND ? ORDER BY id DESC",
		&s->scan, e);
	if (!err)
		err = cat_prepare(s->s,
			"SELECT vhost,flow,body_size,body_kept,log,mid FROM message WHERE id=?", &s->rest, e);
	if (!err)
		err = cat_prepare(s->s,
			"SELECT queue,state,consumer,dead_letter FROM copy WHERE message=? ORDER BY id",
			&s->copies_of, e);
	if (!err)
		err = cat_prepare(
			s->s, "SELECT queue FROM copy WHERE message=? ORDER BY id", &s->queues_of, e);
	if (err)
		return err;
	from = s->o.after ? s->o.after + 1 : 0;
	to = s->o.before ? s->o.before - 1 : INT64_MAX;
	if (id) {
		from = from > id ? from : id;
		to = to < id ? to : id;
	}
	sqlite3_bind_int64(s->scan, 1, (int64_t)from);
	sqlite3_bind_int64(s->scan, 2, (int64_t)to);
	return 0;
}

int select__new(struct store *store, const struct query *q, const struct select_opts *opts,
	struct select **ret, struct err *e)
{
	struct select *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->s = store;
	s->q = q;
	s->o = *opts;
	err = names__new(store, &s->names, e);
	if (!err)
		err = prepare(s, e);
	if (!err)
		err = collect_sets(s, e);
	if (err) {
		select__free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void select__free(struct select *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->q->leaves_n; i++) {
		map_free(&s->sets[i].names);
		map_free(&s->sets[i].processes);
	}
	sqlite3_finalize(s->scan);
	sqlite3_finalize(s->rest);
	sqlite3_finalize(s->copies_of);
	sqlite3_finalize(s->queues_of);
	names__free(s->names);
	buf_free(&s->text);
	buf_free(&s->shown);
	free(s->copies);
	free(s);
}

void select_stats(const struct select *s, struct select_stats *ret)
{
	*ret = s->stats;
}

const char *row_label(const struct row *r)
{
	const struct proto *p = *r->type ? NULL : proto_by_id(r->proto);

	/* A partition's number or a list's name say where it is, not what. */
	if (*r->type || r->dest == DEST_LOG || (!*r->exchange && p && p->queue_by_send))
		return r->type;
	return r->routing_key;
}

static bool unconfirmed(
	enum dest dest, enum msg_origin origin, enum msg_state state, uint32_t flags, bool named)
{
	return dest == DEST_LOG && origin == ORIGIN_CLIENT && row_waits(state) && !named &&
	       !(flags & MSGF_CONFIRMED);
}

bool row_unconfirmed(const struct row *r)
{
	return unconfirmed(r->dest, r->origin, r->state, r->flags, *r->mid);
}

const char *row_state(const struct row *r)
{
	if (row_unconfirmed(r))
		return state_name(STATE_SENT);
	if (r->origin == ORIGIN_BROKER && row_waits(r->state))
		return state_name(STATE_DEAD_LETTERED);
	return message_state_name(r->state, r->flags);
}

/* A payload that is damaged is told, and the message is looked at without it. */
static int load_payload(void *ctx, struct span *ret_envelope, struct span *ret_body)
{
	struct select *s = ctx;
	struct err cause;
	int err;

	*ret_envelope = *ret_body = SPAN_EMPTY;
	if (!s->payload)
		return 0;
	s->stats.payloads_read++;
	err = store_payload(s->s, s->payload, ret_envelope, ret_body, &cause);
	if (err == -ENOMEM || err == -EIO) {
		*s->e = cause;
		return err;
	}
	if (!err)
		return 0;
	if (!s->stats.damaged++)
		s->stats.damage = cause;
	*ret_envelope = *ret_body = SPAN_EMPTY;
	s->payload = 0;
	return 0;
}

/* The scan's row into @sub and @row, as far as it is known without another look-up. */
static void take_row(struct select *s, struct subject *sub, struct row *row)
{
	sqlite3_stmt *st = s->scan;

	memset(row, 0, sizeof(*row));
	row->id = s->id = cat_id(st, 0);
	row->payload = s->payload = cat_id(st, 1);
	row->when_ns = cat_time(st, 2);
	if (!row->when_ns)
		row->when_ns = cat_time(st, 3);
	row->state = cat_state(st, 4);
	row->flags = (uint32_t)sqlite3_column_int64(st, 5);
	row->proto = (enum proto_id)sqlite3_column_int(st, 6);
	s->exchange = cat_id(st, 7);
	s->routing_key = cat_id(st, 8);
	s->type = cat_id(st, 9);
	s->process = cat_id(st, 10);
	row->origin = (enum msg_origin)sqlite3_column_int(st, 11);
	row->dest = s->dest = (enum dest)sqlite3_column_int(st, 12);
	s->copies_read = false;

	*sub = (struct subject){
		.id = row->id,
		.when_ns = row->when_ns,
		.states = 1u << row->state,
		.flags = row->flags,
		.mid = cat_span(s->scan, 13),
		.keyed = row->dest == DEST_LOG,
		.proto = row->proto,
		.ctx = s,
		.names = on_names,
		.payload = load_payload,
	};
	s->by_broker = row->origin == ORIGIN_BROKER;
	if (s->by_broker && row_waits(row->state))
		sub->states |= 1u << STATE_DEAD_LETTERED;
	if (unconfirmed(row->dest, row->origin, row->state, row->flags, sub->mid.n))
		sub->states |= 1u << STATE_SENT;
}

static void put_name(const char **list, unsigned *n, const char *name)
{
	if (*n < MAX_QUEUES && *name)
		list[(*n)++] = name;
}

static int read_queues(struct select *s, struct row *row, struct err *e)
{
	int err = read_copies(s), more = 0;

	if (err)
		return err;
	for (size_t i = 0; i < s->copies_n && i < MAX_QUEUES; i++) {
		put_name(s->queues, &row->queue_list_n, names_text(s->names, s->copies[i].queue));
		if (!s->copies[i].dead_letter)
			continue;
		sqlite3_bind_int64(s->queues_of, 1, (int64_t)s->copies[i].dead_letter);
		while ((more = cat_step(s->s, s->queues_of, e)) > 0)
			put_name(s->dead_queues, &row->dead_list_n,
				names_text(s->names, cat_id(s->queues_of, 0)));
		sqlite3_reset(s->queues_of);
		if (more < 0)
			return more;
	}
	buf_clear(&s->text);
	for (unsigned i = 0; i < row->queue_list_n; i++)
		buf_printf(&s->text, "%s%s", i ? ", " : "", s->queues[i]);
	row->copies = (unsigned)s->copies_n;
	row->queues = buf_cstr(&s->text);
	row->queue_list = s->queues;
	row->dead_list = s->dead_queues;
	return 0;
}

#define SHOWN_MAX 65536 /* of a body that is decoded to be shown */

struct stone {
	struct buf *out;
	size_t head;
	bool found;
};

static bool on_stone(void *ctx, const struct field *f)
{
	struct stone *t = ctx;

	if (span_is(f->name, "tombstone"))
		t->found = true;
	else if (span_is(f->name, "key") && t->out->n == t->head)
		buf_put_span(t->out, f->text);
	return true;
}

/* What deletes a key has no body: it is that. */
static void show_tombstone(struct select *s, struct row *row)
{
	const struct proto *p = row->dest == DEST_LOG ? proto_by_id(row->proto) : NULL;
	struct stone t = {.out = &s->shown};

	buf_clear(&s->shown);
	buf_puts(&s->shown, "tombstone of ");
	t.head = s->shown.n;
	if (p && p->fields)
		p->fields(row->envelope, on_stone, &t);
	if (t.found && buf_ok(&s->shown))
		row->shown = s->shown.n > t.head ? buf_span(&s->shown) : SPAN_LIT("tombstone");
}

static void show_content(struct select *s, struct row *row)
{
	struct body b;

	row->shown = row->body;
	if (!row->body.n) {
		if (!row->body_size)
			show_tombstone(s, row);
		return;
	}
	content_open(&b, row->proto, row->envelope, row->body);
	buf_clear(&s->shown);
	if (content_line(&b, SHOWN_MAX, &s->shown) && buf_ok(&s->shown))
		row->shown = buf_span(&s->shown);
	body_close(&b);
}

/* What is only needed of a message that is found. 1, or -errno. */
static int complete(struct select *s, struct subject *sub, struct row *row, struct err *e)
{
	const struct who *who;
	int err = subject_load(sub);

	if (err)
		return err;
	row->envelope = sub->envelope;
	row->body = sub->body;
	names_trim(s->names);
	sqlite3_bind_int64(s->rest, 1, (int64_t)row->id);
	err = cat_step(s->s, s->rest, e);
	if (err > 0) {
		row->vhost = names_text(s->names, cat_id(s->rest, 0));
		row->flow = cat_id(s->rest, 1);
		row->body_size = cat_id(s->rest, 2);
		row->body_kept = cat_id(s->rest, 3);
		row->log = names_text(s->names, cat_id(s->rest, 4));
		cat_text(s->rest, 5, row->mid, sizeof(row->mid));
		err = 0;
	}
	sqlite3_reset(s->rest);
	if (err)
		return err;
	row->exchange = names_text(s->names, s->exchange);
	row->routing_key = names_text(s->names, s->routing_key);
	row->type = names_text(s->names, s->type);
	who = names_who(s->names, s->process);
	row->service = who ? who->service : "";
	row->pid = who ? who->pid : 0;
	show_content(s, row);
	if (!query_highlight(s->q, row->shown, span_str(row_label(row)), &row->match_at, &row->match_n))
		row->match_n = 0;
	err = read_queues(s, row, e);
	return err ? err : 1;
}

static bool in_time(const struct select *s, int64_t when_ns)
{
	return (!s->o.since_ns || when_ns >= s->o.since_ns) && (!s->o.until_ns || when_ns <= s->o.until_ns);
}

static bool tick(struct select *s)
{
	if (!s->o.tick || ++s->since_tick < TICK_ROWS)
		return true;
	s->since_tick = 0;
	return s->o.tick(s->o.ctx, s->stats.searched);
}

/* The next message that answers to the query. 1, 0, -errno. */
static int step(struct select *s, struct subject *sub, struct row *row, uint64_t *looked_at, struct err *e)
{
	for (;;) {
		int hit, more = cat_step(s->s, s->scan, e);

		if (more <= 0)
			return more;
		if (!tick(s))
			return err_set(e, -EINTR, "interrupted");
		take_row(s, sub, row);
		++*looked_at;
		s->last = row->id;
		hit = in_time(s, row->when_ns) ? query_match(s->q, sub) : 0;
		if (hit)
			return hit;
	}
}

/* The limit is reached: is there more? What is looked at for that counts only when there is not. */
static int peek(struct select *s, struct err *e)
{
	struct subject sub;
	struct row row;
	uint64_t looked_at = 0;
	int hit;

	hit = s->o.peek ? step(s, &sub, &row, &looked_at, e) : cat_step(s->s, s->scan, e);
	s->done = true;
	s->stats.limited = hit > 0;
	if (!hit) {
		s->stats.searched += looked_at;
		s->stats.cursor = s->last;
	}
	return hit < 0 ? hit : 0;
}

int select__next(struct select *s, struct row *ret, struct err *e)
{
	struct subject sub;
	struct row row;
	int hit;

	s->e = e;
	if (s->done)
		return 0;
	if (s->o.limit && s->stats.matched == s->o.limit)
		return peek(s, e);
	hit = step(s, &sub, &row, &s->stats.searched, e);
	s->stats.cursor = s->last;
	if (hit > 0)
		hit = complete(s, &sub, &row, e);
	if (hit <= 0) {
		s->done = true;
		return hit;
	}
	s->stats.matched++;
	*ret = row;
	return 1;
}
