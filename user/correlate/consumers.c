/*
 * Consumers: a tag on a channel, and the queue that it reads. On a connection older than us the tag comes
 * without its queue; such a consumer reads from a "place" without a name until what it gets tells which queue
 * that is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "correlate/model.h"

/* Ids and serial numbers are ours, nobody can aim at a collision. */
static uint64_t consumer_key(const struct connection *cn, uint32_t channel, const struct str *tag)
{
	return hash_u64(hash_u64(cn->id << 16 ^ channel) + tag->serial);
}

static int consumer_row(struct correlator *c, const struct consumer *k, int64_t until_ns)
{
	struct consumer_rec r = {
		.broker = k->conn->broker ? k->conn->broker->id : 0,
		.connection = k->conn->id,
		.process = k->process,
		.vhost = str_span(k->queue->space->vhost),
		.queue = str_span(k->queue->name),
		.tag = str_span(k->tag),
		.channel = k->channel,
		.prefetch = k->prefetch,
		.no_ack = k->no_ack,
		.since_ns = k->since_ns,
		.until_ns = until_ns,
	};

	return c->out.consumer ? c->out.consumer(c->out.ctx, &r) : 0;
}

/* A member of a Kafka group reads several topics under one client id. */
static struct span tag_of(struct correlator *c, const struct opctx *x)
{
	if (x->op->dest != DEST_LOG)
		return x->op->consumer;
	buf_clear(&c->text);
	buf_printf(&c->text, SPAN_FMT "@" SPAN_FMT, SPAN_ARG(x->op->consumer), SPAN_ARG(x->op->exchange));
	return buf_span(&c->text);
}

static struct consumer *consumer_find(struct correlator *c, const struct opctx *x)
{
	struct str *tag = intern_find(&c->strings, tag_of(c, x));

	return tag ? map_ptr(&c->consumers, consumer_key(x->conn, x->op->channel, tag)) : NULL;
}

/* Takes over the caller's reference of @q. */
static int consumer_new(struct correlator *c, struct opctx *x, struct queue *q, struct consumer **ret)
{
	struct consumer *k = calloc(1, sizeof(*k));
	struct str *tag = intern_get(&c->strings, tag_of(c, x));

	if (!k || !tag)
		goto fail;
	*k = (struct consumer){
		.key = consumer_key(x->conn, x->op->channel, tag),
		.conn = x->conn,
		.tag = tag,
		.queue = q,
		.process = x->process ? x->process->id : 0,
		.channel = x->op->channel,
		.no_ack = x->op->flags & OPF_NO_ACK,
		.since_ns = x->op->ts_ns,
	};
	if (map_put_ptr(&c->consumers, k->key, k))
		goto fail;
	list_add_tail(&x->conn->consumers, &k->of_conn);
	q->consumers++;
	*ret = k;
	return 0;
fail:
	intern_put(&c->strings, tag);
	free(k);
	queue_put(c, q);
	return -ENOMEM;
}

/* Forgets the subscription; the consumer may go on under another one. */
static int subscription_end(struct correlator *c, struct consumer *k, int64_t ts_ns)
{
	struct queue *q = k->queue;
	int err = consumer_row(c, k, ts_ns);

	map_del(&c->consumers, k->key);
	list_del(&k->of_conn);
	intern_put(&c->strings, k->tag);
	free(k);
	/* An auto-delete queue goes with its last consumer, as far as we know of them all. */
	if (!--q->consumers && q->auto_delete && !q->deleted && !err)
		err = queue_gone(c, q, ts_ns);
	queue_put(c, q);
	return err;
}

static int consumer_end(struct correlator *c, struct consumer *k, int64_t ts_ns)
{
	int err = log_consumer_gone(c, k->queue, k->process, ts_ns);

	return err ? err : subscription_end(c, k, ts_ns);
}

/* "orders.*" + "/workers" of a queue group, else who listens: each has a copy of its own. */
static int channel_place(struct correlator *c, struct opctx *x, struct queue **ret)
{
	const struct op *op = x->op;
	struct process *p = x->process;
	const struct conn *k = &x->conn->info;
	char address[INET6_ADDRSTRLEN];
	int err;

	buf_clear(&c->text);
	buf_put_span(&c->text, op->exchange);
	buf_putc(&c->text, '/');
	if (op->queue_known)
		buf_put_span(&c->text, op->queue);
	else if (p)
		buf_printf(&c->text, "%s:%u", p->info.service, p->info.pid);
	else if (inet_ntop(k->family, k->client_addr, address, sizeof(address)))
		buf_printf(&c->text, "%s:%u", address, k->client_port);
	else
		buf_printf(&c->text, "connection %llu", (unsigned long long)x->conn->id);
	err = queue_get(c, x->space, buf_span(&c->text), ret);
	if (err)
		return err;
	queue_alive(c, *ret);
	(*ret)->auto_delete = !op->queue_known;
	return 0;
}

int consumer_channel(struct correlator *c, struct opctx *x, struct queue **ret)
{
	struct consumer *k = consumer_find(c, x);
	int err = 0;

	if (k)
		*ret = k->queue;
	else
		err = channel_place(c, x, ret);
	if (err)
		return err;
	queue_ref(*ret);
	if (k || !x->op->consumer.n)
		return 0;
	queue_ref(*ret);
	err = consumer_new(c, x, *ret, &k);
	if (err)
		queue_put(c, *ret);
	return err;
}

static int subscribed_to(struct correlator *c, struct opctx *x, struct queue **ret)
{
	switch (x->op->dest) {
	case DEST_LOG:
		return log_subscribe(c, x, ret);
	case DEST_CHANNEL:
		return channel_place(c, x, ret);
	default:
		return queue_get(c, x->space, x->op->queue, ret);
	}
}

int consumer_subscribe(struct correlator *c, struct opctx *x)
{
	struct consumer *k = consumer_find(c, x);
	struct queue *q;
	int err;

	if (k) { /* the tag is free again: its end was not seen; or a group shares its partitions out anew */
		err = subscription_end(c, k, x->op->ts_ns);
		if (err)
			return err;
	}
	err = subscribed_to(c, x, &q);
	if (err)
		return err;
	queue_alive(c, q);
	queue_ref(q);
	err = consumer_new(c, x, q, &k);
	if (err)
		return err;
	k->prefetch = x->op->code;
	return consumer_row(c, k, 0);
}

int consumer_unsubscribe(struct correlator *c, struct opctx *x)
{
	struct consumer *k = consumer_find(c, x);
	int err = x->op->dest == DEST_LOG ? log_unsubscribe(c, x) : 0;

	if (err)
		return err;
	return k ? consumer_end(c, k, x->op->ts_ns) : 0;
}

int consumers_end(struct correlator *c, struct connection *cn, int64_t ts_ns)
{
	int first = 0;

	list_for_each (&cn->consumers, n) {
		int err = consumer_end(c, list_entry(n, struct consumer, of_conn), ts_ns);

		if (err && !first)
			first = err;
	}
	return first;
}

int consumer_place(struct correlator *c, struct opctx *x, struct queue **ret)
{
	struct consumer *k = consumer_find(c, x);
	struct queue *q;
	int err;

	if (k) {
		*ret = k->queue;
		return 0;
	}
	q = queue_new_place(c, x->space);
	if (!q)
		return -ENOMEM;
	err = consumer_new(c, x, q, &k);
	if (err)
		return err;
	*ret = k->queue;
	return consumer_row(c, k, 0);
}

int consumer_met(struct correlator *c, struct opctx *x, struct queue *q)
{
	struct consumer *k;
	int err;

	if (!x->op->consumer.n || consumer_find(c, x))
		return 0;
	queue_ref(q);
	err = consumer_new(c, x, q, &k);
	return err ? err : consumer_row(c, k, 0);
}

int consumers_resolve(struct correlator *c, struct queue *place, struct queue *real)
{
	map_for_each (&c->consumers, slot) {
		struct consumer *k = (struct consumer *)(uintptr_t)slot->val;
		int err;

		if (k->queue != place)
			continue;
		k->queue = real;
		real->consumers++;
		queue_ref(real);
		place->consumers--;
		err = consumer_row(c, k, 0);
		queue_put(c, place);
		if (err)
			return err;
		break; /* a place belongs to one consumer */
	}
	return 0;
}
