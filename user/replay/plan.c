#include "replay/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/timefmt.h"
#include "query/replays.h"

#define CHAIN_MAX 32 /* dead-lettered copies of dead-lettered copies */

struct planner {
	struct store *s;
	struct loader *l;
	const struct plan_opts *o;
	struct err *e;
};

static char *copy_of(const char *s)
{
	return strdup(s ? s : "");
}

static char *copy_buf(const struct buf *b)
{
	return b->n ? strndup((const char *)b->p, b->n) : strdup("");
}

static void note_va(struct plan_item *i, const char *fmt, va_list ap)
{
	char line[600];

	vsnprintf(line, sizeof(line), fmt, ap);
	/* A name from outside may hold a line feed; notes are lines. */
	for (char *c = line; *c; c++)
		if (*c == '\n')
			*c = ' ';
	buf_puts(&i->notes, line);
	buf_putc(&i->notes, '\n');
}

__attribute__((format(printf, 2, 3))) static void note(struct plan_item *i, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note_va(i, fmt, ap);
	va_end(ap);
}

/* For clients. */
__attribute__((format(printf, 2, 3))) static void say_note(void *ctx, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note_va(ctx, fmt, ap);
	va_end(ap);
}

/* The first reason stays. */
__attribute__((format(printf, 2, 3))) static void refuse(struct plan_item *i, const char *fmt, ...)
{
	va_list ap;

	if (i->refusal)
		return;
	va_start(ap, fmt);
	if (vasprintf(&i->refusal, fmt, ap) < 0)
		i->refusal = NULL;
	va_end(ap);
}

/* --- the message it comes from --- */

/* Follows dead-letter links back. *ret is @m itself when it is no copy. */
static int find_original(struct planner *p, struct msg *m, struct msg **ret)
{
	for (int depth = 0; depth < CHAIN_MAX; depth++) {
		uint64_t up = 0;
		int err;

		for (size_t i = 0; i < m->links_n; i++)
			if (m->links[i].kind == LINK_DEAD_LETTER_OF && m->links[i].dst == m->row.id)
				up = m->links[i].src;
		if (!up)
			break;
		err = loader_get(p->l, up, &m, p->e);
		if (err)
			return err;
	}
	*ret = m;
	return 0;
}

static int broker_name(struct planner *p, const struct msg *m, char **ret)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(p->s, "SELECT name FROM broker WHERE id=?", &st, p->e);

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, (int64_t)m->broker);
	err = cat_step(p->s, st, p->e);
	if (err >= 0)
		*ret = copy_of(err ? (const char *)sqlite3_column_text(st, 0) : "");
	sqlite3_finalize(st);
	return err < 0 ? err : 0;
}

/* --- where to --- */

struct replay_place plan_place(const struct plan_item *i)
{
	return (struct replay_place){i->dest, span_str(i->exchange), span_str(i->routing_key),
		span_str(i->log), i->why == PLAN_GIVEN};
}

/* --to is checked before any message is read for it: @i's client knows how its places are written. */
static int set_given(struct planner *p, struct plan_item *i)
{
	struct buf exchange = {0}, key = {0};
	int err = i->replayer->parse_to(p->o->to, i->dest, &exchange, &key);

	i->why = PLAN_GIVEN;
	i->exchange = copy_buf(&exchange);
	i->routing_key = copy_buf(&key);
	buf_free(&exchange);
	buf_free(&key);
	return err ? err_set(p->e, err, "--to takes %s for %s, not \"%s\"", i->replayer->to_form,
			     proto_by_id(i->replayer->proto)->name, p->o->to)
		   : 0;
}

static int set_target(struct planner *p, struct plan_item *i, const struct msg *m, const struct msg *original)
{
	struct buf exchange = {0}, key = {0};
	int found = 0;

	i->dest = original->row.dest;
	i->log = copy_of(original->row.log);
	if (p->o->to && i->replayer)
		return set_given(p, i);
	if (i->replayer && i->replayer->origin)
		found = i->replayer->origin(m->row.envelope, &exchange, &key);
	if (found == 1) {
		i->why = PLAN_HEADERS;
		i->exchange = copy_buf(&exchange);
		i->routing_key = copy_buf(&key);
	} else {
		i->why = original != m ? PLAN_LINK : PLAN_OWN;
		i->exchange = copy_of(original->row.exchange);
		i->routing_key = copy_of(original->row.routing_key);
	}
	buf_free(&exchange);
	buf_free(&key);
	if (i->replayer && i->exchange && !*i->exchange && i->routing_key && !*i->routing_key)
		refuse(i, "where it came from is not known: say where it should go with --to %s",
			i->replayer->to_form);
	return 0;
}

static int set_broker(struct planner *p, struct plan_item *i, const struct msg *m)
{
	int err = 0;

	if (p->o->broker)
		i->broker = copy_of(p->o->broker);
	else
		err = broker_name(p, m, &i->broker);
	if (err)
		return err;
	if (i->broker && !*i->broker)
		refuse(i, "the broker's address was not seen: name it with --broker HOST:PORT");
	if (!i->replayer || !i->replayer->vhost) {
		i->vhost = copy_of("");
	} else if (p->o->vhost) {
		i->vhost = copy_of(p->o->vhost);
	} else if (*m->row.vhost) {
		i->vhost = copy_of(m->row.vhost);
	} else {
		i->vhost = copy_of(i->replayer->vhost);
		if (i->dest == DEST_CHANNEL) /* of all databases of a Redis */
			return 0;
		note(i,
			"its %s was not seen (the connection was older than the recording): %s is taken; "
			"--vhost names another",
			i->replayer->vhost_word, i->vhost);
	}
	return 0;
}

/* --- may it be sent --- */

/* A dead-lettered copy that was never seen again shares its original's bytes: the broker moves, it does not
 * change. */
static void check_whole(struct plan_item *i, const struct msg *m)
{
	char kept[40], all[40];

	if (!i->replayer)
		refuse(i, "this evtrace has no client for its protocol");
	else if (m->row.dest == DEST_CALL)
		refuse(i, "it is the arguments of a script, which are no message to send");
	else if (m->row.flags & OPF_GAP)
		refuse(i, "bytes of it were lost while recording");
	else if (!m->row.payload)
		refuse(i, "its bytes are not in the store");
	else if (m->row.body.n < m->row.body_size)
		refuse(i, "only %s of its %s were kept (record's --payload-limit)",
			fmt_size(kept, sizeof(kept), m->row.body.n),
			fmt_size(all, sizeof(all), m->row.body_size));
}

/* The message that was sent, and what this one is to it. */
static void put_relation(struct buf *out, const struct plan_item *i, const struct replay_note *last)
{
	if (last->of == i->id)
		buf_puts(out, "it");
	else if (last->before)
		buf_printf(out, "m%" PRIu64 ", which led to this one,", last->of);
	else
		buf_printf(out, "m%" PRIu64 ", which is the same message,", last->of);
}

/* Whatever of its chain was sent, its consumers got it: sending it too would be the second time. */
static int check_sent_before(struct planner *p, struct plan_item *i, const struct replay_note *last)
{
	bool open = *last->result && !replay_arrived(last->result);
	const char *who = *last->who ? last->who : "somebody";
	struct buf what = {0};
	char when[40];

	fmt_clock(when, sizeof(when), last->ts_ns, 0);
	put_relation(&what, i, last);
	buf_putc(&what, '\0');
	if (!buf_ok(&what)) {
		buf_free(&what);
		return err_set(p->e, -ENOMEM, "out of memory");
	}
	if (p->o->again)
		note(i, "%s replayed %s at %s: %s", who, (const char *)what.p, when,
			*last->result ? last->result : "its copy was seen");
	else
		refuse(i, "%s replayed %s at %s%s%s%s; --again sends it%s", who, (const char *)what.p, when,
			open ? ", with no result (" : "", open ? last->result : "",
			open ? "): it may have arrived" : "", open ? "" : " once more");
	buf_free(&what);
	return 0;
}

/* Of one message's dead letters and replays, a plan sends one. */
static int refuse_twins(struct plan *p, struct err *e)
{
	struct map chains = {0};
	int err = 0;

	for (size_t k = 0; k < p->n && !err; k++) {
		struct plan_item *i = &p->items[k];
		const uint64_t *twin = map_get(&chains, i->chain);

		if (i->refusal)
			continue;
		if (!twin)
			err = map_put(&chains, i->chain, i->id);
		else if (*twin != i->id)
			refuse(i, "m%" PRIu64 " of this plan is the same message; --again sends both", *twin);
	}
	map_free(&chains);
	return err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static void on_dropped(void *ctx, struct span name)
{
	struct plan_item *i = ctx;

	buf_put_span(&i->gone, name);
	buf_putc(&i->gone, '\n');
}

static void set_headers(struct plan_item *i, const struct msg *m)
{
	struct buf out = {0};

	if (i->replayer && !i->refusal &&
		i->replayer->envelope(m->row.envelope, SPAN_LIT("m0"), &out, on_dropped, i))
		refuse(i, "its properties cannot be read");
	buf_free(&out);
}

/* --- what to know first --- */

/* What its last consumer did with a copy. */
static const char *did_words(const struct msg_copy *c)
{
	switch (c->settle) {
	case SETTLE_REJECT:
		return "rejected it";
	case SETTLE_REQUEUE:
		return "gave it back";
	case SETTLE_LOST:
		return "lost its connection over it";
	default:
		return c->state == STATE_DELIVERED ? "has it still, unsettled" : "had it";
	}
}

/* Who had a copy, how that ended, and whether it was started again since. */
static int note_consumer(struct planner *p, struct plan_item *i, const struct msg_copy *c)
{
	const struct who *w = c->consumer;
	char who[200], times[40] = "";
	sqlite3_stmt *st = NULL;
	int more;

	if (!w)
		return 0;
	snprintf(who, sizeof(who), "%s (pid %" PRIu32 ")", *w->service ? w->service : "a process", w->pid);
	if (c->deliveries > 1)
		snprintf(times, sizeof(times), " (%" PRIu32 " deliveries)", c->deliveries);
	if (c->settle == SETTLE_ACK || c->settle == SETTLE_AUTO) {
		note(i, "%s has handled it: it will get it once more", who);
		return 0;
	}
	more = cat_prepare(p->s,
		"SELECT pid FROM process WHERE service=? AND id>? AND coalesce(exit_ns,0)=0"
		" ORDER BY id DESC LIMIT 1",
		&st, p->e);
	if (more)
		return more;
	sqlite3_bind_text(st, 1, w->service, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, (int64_t)w->id);
	more = *w->service ? cat_step(p->s, st, p->e) : 0;
	if (more > 0)
		note(i, "%s %s%s; it was restarted since (pid %" PRIu32 " → %d)", w->service, did_words(c),
			times, w->pid, sqlite3_column_int(st, 0));
	else if (!more && w->exit_ns)
		note(i, "%s %s%s; it ended, and was not seen to start again", who, did_words(c), times);
	else if (!more)
		note(i, "%s %s%s; it was not seen to restart since", who, did_words(c), times);
	sqlite3_finalize(st);
	return more < 0 ? more : 0;
}

static int set_notes(struct planner *p, struct plan_item *i, const struct msg *m, const struct msg *original)
{
	struct replay_notes notes = {say_note, i};
	struct replay_place place = plan_place(i);
	const char *unfit;

	if (m->row.flags & OPF_TX)
		note(i, "it was sent in a transaction%s; it is sent by itself, outside of any",
			m->row.flags & MSGF_REFUSED ? " that was aborted: nobody was meant to get it" : "");
	else if (m->row.flags & MSGF_REFUSED)
		note(i, "the broker did not take it the first time");
	if (i->replayer && i->replayer->caution)
		i->replayer->caution(&place, m->row.envelope, &notes);
	unfit = i->replayer && i->replayer->unfit ? i->replayer->unfit(&place, m->row.envelope, m->row.body)
						  : NULL;
	if (unfit)
		refuse(i, "%s", unfit);
	for (size_t c = 0; c < original->copies_n; c++) {
		int err = note_consumer(p, i, &original->copies[c]);

		if (err)
			return err;
	}
	return 0;
}

/* --- the plan --- */

static void set_queues(struct plan_item *i, const struct msg *m)
{
	for (size_t k = 0; k < m->copies_n; k++) {
		if (!*m->copies[k].queue)
			continue;
		buf_puts(&i->from, m->copies[k].queue);
		buf_putc(&i->from, '\n');
	}
}

static int plan_one(struct planner *p, struct plan_item *i, uint64_t id)
{
	struct replay_note last;
	struct msg *m, *original;
	int err, sent = 0;

	err = loader_get(p->l, id, &m, p->e);
	if (!err)
		err = find_original(p, m, &original);
	if (!err) /* reads payloads of others: before its own */
		sent = last_replay(p->l, id, &last, &i->chain, p->e);
	if (err || sent < 0)
		return err ? err : sent;
	i->id = id;
	i->original = original != m ? original->row.id : 0;
	i->replayer = replayer_for(m->row.proto);
	i->payload = m->row.payload;
	i->body_size = m->row.body_size;
	set_queues(i, m);
	if (loader_payload(p->l, m, p->e))
		refuse(i, "its bytes cannot be read: %.300s", p->e->msg);
	check_whole(i, m);
	if (sent)
		err = check_sent_before(p, i, &last);
	if (!err)
		err = set_target(p, i, m, original);
	if (!err)
		err = set_broker(p, i, m);
	if (err)
		return err;
	set_headers(i, m);
	if (i->exchange && i->routing_key)
		err = set_notes(p, i, m, original);
	if (!err && (!i->log || !i->exchange || !i->routing_key || !i->broker || !i->vhost ||
			    !buf_ok(&i->from) || !buf_ok(&i->notes) || !buf_ok(&i->gone)))
		err = err_set(p->e, -ENOMEM, "out of memory");
	return err;
}

/* --to names a place of one protocol. */
static int check_one_kind(const struct plan *p, const struct plan_opts *o, struct err *e)
{
	for (size_t k = 1; k < p->n; k++)
		if (p->items[k].replayer != p->items[0].replayer || p->items[k].dest != p->items[0].dest)
			return err_set(e, -EINVAL,
				"--to %s cannot be a place for both m%" PRIu64 " and m%" PRIu64
				": they are of different kinds",
				o->to, p->items[0].id, p->items[k].id);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct plan_item *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int plan__new(struct store *s, const uint64_t *ids, size_t n, const struct plan_opts *o, struct plan **ret,
	struct err *e)
{
	struct planner pl = {.s = s, .o = o, .e = e};
	struct plan *p = calloc(1, sizeof(*p));
	int err = 0;

	if (p)
		p->items = calloc(n, sizeof(*p->items));
	if (!p || !p->items) {
		plan__free(p);
		return err_set(e, -ENOMEM, "out of memory");
	}
	for (size_t k = 0; k < n && !err; k++) {
		/* A loader keeps what it has read: a plan of thousands needs them one at a time. */
		if (k % 256 == 0) {
			loader__free(pl.l);
			pl.l = NULL;
			err = loader__new(s, &pl.l, e);
		}
		if (!err)
			err = plan_one(&pl, &p->items[p->n++], ids[k]);
	}
	loader__free(pl.l);
	qsort(p->items, p->n, sizeof(*p->items), by_id);
	if (!err && o->to)
		err = check_one_kind(p, o, e);
	if (!err && !o->again)
		err = refuse_twins(p, e);
	if (err) {
		plan__free(p);
		return err;
	}
	for (size_t k = 0; k < p->n; k++)
		p->refused += p->items[k].refusal != NULL;
	*ret = p;
	return 0;
}

void plan__free(struct plan *p)
{
	if (!p)
		return;
	for (size_t k = 0; k < p->n; k++) {
		struct plan_item *i = &p->items[k];

		free(i->broker);
		free(i->vhost);
		free(i->log);
		free(i->exchange);
		free(i->routing_key);
		free(i->refusal);
		buf_free(&i->from);
		buf_free(&i->gone);
		buf_free(&i->notes);
	}
	free(p->items);
	free(p);
}

int plan_payload(struct store *s, const struct plan_item *i, struct span mark, struct buf *ret_envelope,
	struct span *ret_body, struct err *e)
{
	struct span envelope;
	int err = store_payload(s, i->payload, &envelope, ret_body, e);

	if (err)
		return err;
	if (ret_body->n != i->body_size)
		return err_set(e, -EBADMSG,
			"the store holds %zu of the %" PRIu64 " bytes of m%" PRIu64 "'s body", ret_body->n,
			i->body_size, i->id);
	buf_clear(ret_envelope);
	err = i->replayer->envelope(envelope, mark, ret_envelope, NULL, NULL);
	return err ? err_set(e, err, "the properties of m%" PRIu64 " cannot be read", i->id) : 0;
}
