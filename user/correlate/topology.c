/*
 * Exchanges, queues and bindings, as far as they were declared while we watched, taught by deliveries or
 * restored. An entry goes when its subject is deleted and nothing refers to it any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "correlate/model.h"

#define MAX_EXCHANGES 65536 /* names of exchanges that are only published to cost an entry, too */

/* Exact: both numbers are ours. */
static uint64_t name_key(const struct space *s, const struct str *name)
{
	return s->index << 48 | (name->serial & 0xffffffffffffULL);
}

/* --- exchanges --- */

struct exchange *exchange_find(struct correlator *c, struct space *s, struct span name)
{
	struct str *n = intern_find(&c->strings, name);

	return n ? map_ptr(&c->exchanges, name_key(s, n)) : NULL;
}

static enum exchange_type type_of(struct span type)
{
	static const struct {
		const char *name;
		enum exchange_type kind;
	} known[] = {
		{"direct", X_DIRECT},
		{"fanout", X_FANOUT},
		{"topic", X_TOPIC},
		{"headers", X_HEADERS},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (span_is(type, known[i].name))
			return known[i].kind;
	return type.n ? X_OTHER : X_UNKNOWN;
}

/* Exchanges that each virtual host has from its birth (AMQP 0-9-1, 3.1.3; amq.match is a headers exchange).
 */
static const char *predeclared_type(struct span name)
{
	static const char *const known[][2] = {
		{"amq.direct", "direct"},
		{"amq.fanout", "fanout"},
		{"amq.topic", "topic"},
		{"amq.headers", "headers"},
		{"amq.match", "headers"},
		{"amq.rabbitmq.trace", "topic"},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (span_is(name, known[i][0]))
			return known[i][1];
	return "";
}

static int exchange_set_type(struct correlator *c, struct exchange *e, struct span type)
{
	struct str *t = intern_get(&c->strings, type);

	if (!t)
		return -ENOMEM;
	intern_put(&c->strings, e->type);
	e->type = t;
	e->kind = type_of(type);
	return 0;
}

static void exchange_free(struct correlator *c, struct exchange *e)
{
	if (e->name)
		map_del(&c->exchanges, name_key(e->space, e->name));
	intern_put(&c->strings, e->name);
	intern_put(&c->strings, e->type);
	intern_put(&c->strings, e->alternate);
	free(e);
}

int exchange_get(struct correlator *c, struct space *s, struct span name, struct exchange **ret)
{
	struct exchange *e = exchange_find(c, s, name);

	if (e) {
		*ret = e;
		return 0;
	}
	if (c->exchanges.n >= MAX_EXCHANGES)
		return -ENOSPC;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->space = s;
	list_init(&e->bindings);
	list_init(&e->inbound);
	e->name = intern_get(&c->strings, name);
	if (!e->name || exchange_set_type(c, e, span_str(predeclared_type(name))) ||
		map_put_ptr(&c->exchanges, name_key(s, e->name), e)) {
		exchange_free(c, e);
		return -ENOMEM;
	}
	*ret = e;
	return 0;
}

static int exchange_row(struct correlator *c, const struct exchange *e, struct span args, int64_t ts_ns)
{
	struct exchange_rec r = {
		.broker = e->space->broker->id,
		.vhost = str_span(e->space->vhost),
		.name = str_span(e->name),
		.type = str_span(e->type),
		.args = args,
		.proto = e->space->broker->proto,
		.durable = e->durable,
		.deleted = e->deleted,
		.ts_ns = ts_ns,
	};

	return c->out.exchange ? c->out.exchange(c->out.ctx, &r) : 0;
}

/* --- queues --- */

struct queue *queue_find(struct correlator *c, struct space *s, struct span name)
{
	struct str *n = intern_find(&c->strings, name);

	return n ? map_ptr(&c->queues, name_key(s, n)) : NULL;
}

struct queue *queue_new_place(struct correlator *c, struct space *s)
{
	struct queue *q = calloc(1, sizeof(*q));

	(void)c;
	if (!q)
		return NULL;
	q->space = s;
	q->ttl_ms = q->max_length = -1;
	list_init(&q->bindings);
	list_init(&q->waiting);
	list_init(&q->owned);
	list_init(&q->with_ttl);
	list_init(&q->of_topic);
	q->refs = 1;
	return q;
}

static void queue_free(struct correlator *c, struct queue *q)
{
	if (q->name)
		map_del(&c->queues, name_key(q->space, q->name));
	list_del(&q->owned);
	list_del(&q->with_ttl);
	log_leave_topic(c, q);
	intern_put(&c->strings, q->name);
	intern_put(&c->strings, q->dlx);
	intern_put(&c->strings, q->dlk);
	for (uint32_t i = 0; i < q->ncands; i++)
		queue_put(c, q->cands[i]);
	free(q->cands);
	free(q);
}

void queue_ref(struct queue *q)
{
	q->refs++;
}

void queue_put(struct correlator *c, struct queue *q)
{
	if (!--q->refs && (q->deleted || !q->name))
		queue_free(c, q);
}

int queue_get(struct correlator *c, struct space *s, struct span name, struct queue **ret)
{
	struct queue *q = queue_find(c, s, name);

	if (q) {
		*ret = q;
		return 0;
	}
	q = queue_new_place(c, s);
	if (!q)
		return -ENOMEM;
	q->refs = 0;
	q->name = intern_get(&c->strings, name);
	if (!q->name || map_put_ptr(&c->queues, name_key(s, q->name), q)) {
		queue_free(c, q);
		return -ENOMEM;
	}
	c->topology_seq++; /* the default exchange leads to it now */
	*ret = q;
	return 0;
}

void queue_alive(struct correlator *c, struct queue *q)
{
	if (q->stale || q->deleted)
		c->topology_seq++;
	q->stale = q->deleted = false;
}

int queue_row(struct correlator *c, struct queue *q, int64_t ts_ns)
{
	struct queue_rec r = {
		.broker = q->space->broker->id,
		.vhost = str_span(q->space->vhost),
		.name = str_span(q->name),
		.dead_letter_exchange = str_span(q->dlx),
		.dead_letter_key = str_span(q->dlk),
		.has_dead_letter = q->has_dlx,
		.ttl_ms = q->ttl_ms,
		.max_length = q->max_length,
		.durable = q->durable,
		.exclusive = q->exclusive,
		.auto_delete = q->auto_delete,
		.deleted = q->deleted,
		.declared = q->declared,
		.ts_ns = ts_ns,
	};

	return c->out.queue ? c->out.queue(c->out.ctx, &r) : 0;
}

/* --- bindings --- */

static int binding_row(struct correlator *c, const struct binding *b, bool deleted, int64_t ts_ns)
{
	struct binding_rec r = {
		.broker = b->source->space->broker->id,
		.vhost = str_span(b->source->space->vhost),
		.source = str_span(b->source->name),
		.destination = str_span(b->to_queue ? b->to_queue->name : b->to_exchange->name),
		.key = str_span(b->key),
		.args = str_span(b->args),
		.to_exchange = b->to_exchange,
		.deleted = deleted,
		.ts_ns = ts_ns,
	};

	return c->out.binding ? c->out.binding(c->out.ctx, &r) : 0;
}

static void binding_free(struct correlator *c, struct binding *b)
{
	struct queue *q = b->to_queue;

	list_del(&b->of_source);
	list_del(&b->of_target);
	intern_put(&c->strings, b->key);
	intern_put(&c->strings, b->args);
	binding_free_match(b);
	free(b);
	if (q)
		queue_put(c, q);
}

static struct binding *binding_find(struct exchange *source, const struct exchange *xe,
	const struct queue *xq, struct span key, struct span args)
{
	list_for_each (&source->bindings, n) {
		struct binding *b = list_entry(n, struct binding, of_source);

		if (b->to_exchange == xe && b->to_queue == xq && span_eq(str_span(b->key), key) &&
			span_eq(str_span(b->args), args))
			return b;
	}
	return NULL;
}

static int binding_add(struct correlator *c, struct exchange *source, struct exchange *xe, struct queue *xq,
	struct span key, struct span args, struct binding **ret)
{
	struct binding *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->key = intern_get(&c->strings, key);
	b->args = intern_get(&c->strings, args);
	if (!b->key || !b->args) {
		intern_put(&c->strings, b->key);
		intern_put(&c->strings, b->args);
		free(b);
		return -ENOMEM;
	}
	b->source = source;
	b->to_exchange = xe;
	b->to_queue = xq;
	list_add_tail(&source->bindings, &b->of_source);
	list_add_tail(xq ? &xq->bindings : &xe->inbound, &b->of_target);
	if (xq)
		queue_ref(xq);
	*ret = b;
	return 0;
}

static int bindings_drop(struct correlator *c, struct list *head, bool by_source, int64_t ts_ns)
{
	list_for_each (head, n) {
		struct binding *b = by_source ? list_entry(n, struct binding, of_source)
					      : list_entry(n, struct binding, of_target);
		int err = binding_row(c, b, true, ts_ns);

		if (err)
			return err;
		binding_free(c, b);
	}
	return 0;
}

int queue_gone(struct correlator *c, struct queue *q, int64_t ts_ns)
{
	int err;

	c->topology_seq++;
	queue_ref(q); /* its bindings may hold the last references */
	queue_empty(c, q, ts_ns);
	q->deleted = true;
	list_del(&q->owned);
	list_del(&q->with_ttl);
	err = queue_row(c, q, ts_ns);
	if (!err)
		err = bindings_drop(c, &q->bindings, false, ts_ns);
	queue_put(c, q);
	return err;
}

/* --- operations --- */

struct args_ctx {
	struct correlator *c;
	struct queue *q;
	struct exchange *e;
};

static bool set_text(struct correlator *c, struct str **to, struct span text)
{
	struct str *s = intern_get(&c->strings, text);

	if (!s)
		return false;
	intern_put(&c->strings, *to);
	*to = s;
	return true;
}

static bool read_queue_arg(void *ctx, const struct field *f)
{
	struct args_ctx *a = ctx;

	if (span_is(f->name, "x-dead-letter-exchange")) {
		a->q->has_dlx = set_text(a->c, &a->q->dlx, f->text);
		return a->q->has_dlx;
	}
	if (span_is(f->name, "x-dead-letter-routing-key"))
		return set_text(a->c, &a->q->dlk, f->text);
	if (span_is(f->name, "x-message-ttl") && f->type == FIELD_INT && f->i >= 0)
		a->q->ttl_ms = f->i;
	if (span_is(f->name, "x-max-length") && f->type == FIELD_INT && f->i >= 0)
		a->q->max_length = f->i;
	return true;
}

static bool read_exchange_arg(void *ctx, const struct field *f)
{
	struct args_ctx *a = ctx;

	if (span_is(f->name, "alternate-exchange"))
		return set_text(a->c, &a->e->alternate, f->text);
	return true;
}

static int exchange_declare(struct correlator *c, struct opctx *x)
{
	const struct op *op = x->op;
	struct args_ctx a = {.c = c};
	struct exchange *e;
	/* It was published to before anybody declared it, or its broker has clients that are older than us:
	 * it may have existed, with bindings that nobody showed. */
	bool before = exchange_find(c, x->space, op->exchange) || broker_has_past(c, x->space->broker);
	int err = exchange_get(c, x->space, op->exchange, &e);

	if (err)
		return err == -ENOSPC ? 0 : err;
	if (op->flags & OPF_PASSIVE)
		return 0;
	c->topology_seq++;
	if (!e->declared) {
		e->declared = true;
		e->contradicted = before || e->contradicted || predeclared_type(op->exchange)[0];
	}
	e->durable = op->flags & OPF_DURABLE;
	err = exchange_set_type(c, e, op->type);
	if (err)
		return err;
	a.e = e;
	if (x->proto && x->proto->args)
		x->proto->args(op->args, read_exchange_arg, &a);
	return exchange_row(c, e, op->args, op->ts_ns);
}

static int exchange_delete(struct correlator *c, struct opctx *x)
{
	struct exchange *e;
	int err = exchange_get(c, x->space, x->op->exchange, &e);

	if (err)
		return err == -ENOSPC ? 0 : err;
	c->topology_seq++;
	err = bindings_drop(c, &e->bindings, true, x->op->ts_ns);
	if (!err)
		err = bindings_drop(c, &e->inbound, false, x->op->ts_ns);
	if (err)
		return err;
	e->deleted = true;
	err = exchange_row(c, e, SPAN_EMPTY, x->op->ts_ns);
	exchange_free(c, e);
	return err;
}

static int queue_declare(struct correlator *c, struct opctx *x)
{
	const struct op *op = x->op;
	struct args_ctx a = {.c = c};
	struct queue *q;
	int err = queue_get(c, x->space, op->queue, &q);

	if (err)
		return err;
	queue_alive(c, q);
	if (op->flags & OPF_PASSIVE)
		return queue_row(c, q, op->ts_ns);
	q->declared = true;
	q->durable = op->flags & OPF_DURABLE;
	q->exclusive = op->flags & OPF_EXCLUSIVE;
	q->auto_delete = op->flags & OPF_AUTO_DELETE;
	q->ttl_ms = q->max_length = -1;
	a.q = q;
	if (x->proto && x->proto->args)
		x->proto->args(op->args, read_queue_arg, &a);
	if (q->has_dlx)
		q->dlx_learned = false;
	if (q->exclusive)
		list_move_tail(&x->conn->owned, &q->owned);
	if (q->ttl_ms >= 0)
		list_move_tail(&c->ttl_queues, &q->with_ttl);
	return queue_row(c, q, op->ts_ns);
}

static int queue_delete(struct correlator *c, struct opctx *x)
{
	struct queue *q;
	int err = queue_get(c, x->space, x->op->queue, &q);

	return err ? err : queue_gone(c, q, x->op->ts_ns);
}

static int bind_op(struct correlator *c, struct opctx *x, bool to_exchange, bool add)
{
	const struct op *op = x->op;
	struct exchange *source, *xe = NULL;
	struct queue *xq = NULL;
	struct binding *b;
	int err = exchange_get(c, x->space, op->exchange, &source);

	if (!err)
		err = to_exchange ? exchange_get(c, x->space, op->queue, &xe)
				  : queue_get(c, x->space, op->queue, &xq);
	if (err)
		return err == -ENOSPC ? 0 : err;
	if (xq)
		queue_alive(c, xq);
	c->topology_seq++;
	b = binding_find(source, xe, xq, op->routing_key, op->args);
	if (!b)
		err = binding_add(c, source, xe, xq, op->routing_key, op->args, &b);
	if (err)
		return err;
	err = binding_row(c, b, !add, op->ts_ns);
	if (!add)
		binding_free(c, b);
	return err;
}

int topology_op(struct correlator *c, struct opctx *x)
{
	int done = x->op->dest == DEST_LOG ? log_topology(c, x) : 1;

	if (done <= 0)
		return done;
	switch (x->op->kind) {
	case OP_EXCHANGE_DECLARE:
		return exchange_declare(c, x);
	case OP_EXCHANGE_DELETE:
		return exchange_delete(c, x);
	case OP_EXCHANGE_BIND:
	case OP_EXCHANGE_UNBIND:
		return bind_op(c, x, true, x->op->kind == OP_EXCHANGE_BIND);
	case OP_QUEUE_BIND:
	case OP_QUEUE_UNBIND:
		return bind_op(c, x, false, x->op->kind == OP_QUEUE_BIND);
	case OP_QUEUE_DECLARE:
		return queue_declare(c, x);
	case OP_QUEUE_DELETE:
		return queue_delete(c, x);
	case OP_QUEUE_PURGE:
		return purge_op(c, x);
	default:
		return 0;
	}
}

/* --- what earlier sessions knew --- */

static int restored_space(struct correlator *c, uint64_t broker, struct span vhost, struct space **ret)
{
	struct broker *b = broker_by_id(c, broker);

	if (!b)
		return -ENOENT;
	*ret = space_of(c, b, vhost);
	return *ret ? 0 : -ENOMEM;
}

/* Not `declared`: bindings may have come and gone while nobody watched. */
int topology_restore_exchange(struct correlator *c, const struct exchange_rec *r)
{
	const struct proto *p = proto_of(c, r->proto);
	struct args_ctx a = {.c = c};
	struct exchange *e;
	struct space *s;
	int err;

	if (r->deleted)
		return 0;
	err = restored_space(c, r->broker, r->vhost, &s);
	if (!err)
		err = exchange_get(c, s, r->name, &e);
	if (err)
		return err == -ENOMEM ? err : 0;
	e->durable = r->durable;
	a.e = e;
	if (p && p->args)
		p->args(r->args, read_exchange_arg, &a);
	return exchange_set_type(c, e, r->type);
}

int topology_restore_queue(struct correlator *c, const struct queue_rec *r)
{
	struct queue *q;
	struct space *s;
	int err;

	if (r->deleted)
		return 0;
	err = restored_space(c, r->broker, r->vhost, &s);
	if (!err)
		err = queue_get(c, s, r->name, &q);
	if (err)
		return err == -ENOMEM ? err : 0;
	q->declared = r->declared;
	q->durable = r->durable;
	q->exclusive = r->exclusive;
	q->auto_delete = r->auto_delete;
	q->stale = r->exclusive || r->auto_delete;
	q->ttl_ms = r->ttl_ms;
	q->max_length = r->max_length;
	q->has_dlx = r->has_dead_letter;
	q->dlx_learned = r->has_dead_letter && !r->declared;
	if (q->ttl_ms >= 0)
		list_move_tail(&c->ttl_queues, &q->with_ttl);
	if (q->has_dlx && !set_text(c, &q->dlx, r->dead_letter_exchange))
		return -ENOMEM;
	if (r->dead_letter_key.n && !set_text(c, &q->dlk, r->dead_letter_key))
		return -ENOMEM;
	return 0;
}

int topology_restore_binding(struct correlator *c, const struct binding_rec *r)
{
	struct exchange *source, *xe = NULL;
	struct queue *xq = NULL;
	struct binding *b;
	struct space *s;
	int err;

	if (r->deleted)
		return 0;
	err = restored_space(c, r->broker, r->vhost, &s);
	if (!err)
		err = exchange_get(c, s, r->source, &source);
	if (!err)
		err = r->to_exchange ? exchange_get(c, s, r->destination, &xe)
				     : queue_get(c, s, r->destination, &xq);
	if (err)
		return err == -ENOMEM ? err : 0;
	if (binding_find(source, xe, xq, r->key, r->args))
		return 0;
	return binding_add(c, source, xe, xq, r->key, r->args, &b);
}

/* After messages: their copies hold queues. */
void topology_free(struct correlator *c)
{
	map_for_each (&c->consumers, s) {
		struct consumer *k = (struct consumer *)(uintptr_t)s->val;

		queue_put(c, k->queue);
		intern_put(&c->strings, k->tag);
		free(k);
	}
	map_for_each (&c->exchanges, s) {
		struct exchange *e = (struct exchange *)(uintptr_t)s->val;

		list_for_each (&e->bindings, n)
			binding_free(c, list_entry(n, struct binding, of_source));
	}
	/* All bindings first: each is in the lists of two. The strings go with their table. */
	map_for_each (&c->exchanges, s)
		free((void *)(uintptr_t)s->val);
	map_for_each (&c->queues, s) {
		struct queue *q = (struct queue *)(uintptr_t)s->val;

		free(q->cands);
		free(q);
	}
	map_free(&c->exchanges);
	map_free(&c->queues);
	map_free(&c->consumers);
}
