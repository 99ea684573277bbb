/* The entry: hands each operation to the part that knows its kind, keeps the time, and gives rows away. */
#include "correlate/correlate.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "correlate/model.h"

#define DEFAULT_MAX_MESSAGES 1000000
#define SWEEP_NS             NS_PER_SEC

static void start_ids(struct record_ids *ids)
{
	uint64_t *const all[] = {
		&ids->message, &ids->copy, &ids->op, &ids->process, &ids->connection, &ids->link};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!*all[i])
			*all[i] = 1;
}

struct correlator *correlator__new(const struct correlator_opts *opts, const struct record_sink *out)
{
	struct correlator *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->out = *out;
	if (opts) {
		c->next = opts->next;
		c->max_messages = opts->max_messages;
	}
	if (!c->max_messages)
		c->max_messages = DEFAULT_MAX_MESSAGES;
	start_ids(&c->next);
	struct list *const lists[] = {&c->exited, &c->dirty_conns, &c->closed_conns, &c->ttl_queues,
		&c->expiries, &c->open, &c->done, &c->done_open, &c->dirty_messages, &c->dirty_copies,
		&c->unit_lru, &c->settled_inops, &c->pending, &c->travel_age};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		list_init(lists[i]);
	c->empty = intern_get(&c->strings, SPAN_EMPTY);
	if (!c->empty) {
		free(c);
		return NULL;
	}
	return c;
}

void correlator__free(struct correlator *c)
{
	if (!c)
		return;
	messages_free(c);
	cause_free(c);
	flow_free(c);
	route_free(c);
	purge_free(c);
	log_free_members(c);
	topology_free(c);
	log_free(c);
	clusters_free(c);
	actors_free(c);
	intern_free(&c->strings);
	buf_free(&c->text);
	free(c);
}

int correlator__restore_broker(struct correlator *c, const struct broker_rec *r)
{
	return broker_restore(c, r) ? 0 : -ENOMEM;
}

int correlator__restore_exchange(struct correlator *c, const struct exchange_rec *r)
{
	return topology_restore_exchange(c, r);
}

int correlator__restore_queue(struct correlator *c, const struct queue_rec *r)
{
	return topology_restore_queue(c, r);
}

int correlator__restore_binding(struct correlator *c, const struct binding_rec *r)
{
	return topology_restore_binding(c, r);
}

/* --- time --- */

static int sweep(struct correlator *c)
{
	int err = cause_sweep(c);

	if (!err)
		err = death_sweep(c);
	purge_sweep(c);
	if (!err)
		err = messages_sweep(c);
	actors_sweep(c);
	return err;
}

/* Time comes from what is seen, so that a recording gives the same rows again, however fast it is read. */
int correlator__tick(struct correlator *c, int64_t ts_ns)
{
	if (ts_ns > c->now)
		c->now = ts_ns;
	if (c->now < c->next_sweep && c->stats.live <= c->max_messages)
		return 0;
	c->next_sweep = c->now + SWEEP_NS;
	return sweep(c);
}

/* --- operations --- */

static int dispatch(struct correlator *c, struct opctx *x)
{
	switch (x->op->kind) {
	case OP_SEND:
		return send_op(c, x);
	case OP_CONFIRM:
	case OP_RETURN:
		return confirm_op(c, x);
	case OP_RECEIVE:
		return receive_op(c, x);
	case OP_SETTLE:
		return settle_op(c, x);
	case OP_DELETE:
		return x->op->dest == DEST_LOG ? log_delete(c, x) : element_delete(c, x);
	case OP_SUBSCRIBE:
		return consumer_subscribe(c, x);
	case OP_UNSUBSCRIBE:
		return consumer_unsubscribe(c, x);
	case OP_CLUSTER:
		return cluster_op(c, x);
	case OP_ERROR:
	case OP_LOGIN:
		return 0;
	default:
		return topology_op(c, x);
	}
}

/* What a topology operation was about, for its row; messages have rows of their own. */
static struct span row_text(struct correlator *c, const struct op *op)
{
	const struct span names[] = {op->exchange, op->queue, op->routing_key};
	static const char *const titles[] = {"exchange", "queue", "key"};

	if (op->text.n || op->kind < OP_EXCHANGE_DECLARE || op->kind > OP_SUBSCRIBE)
		return op->text;
	buf_clear(&c->text);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].n)
			buf_printf(&c->text, "%s%s " SPAN_FMT, c->text.n ? ", " : "", titles[i],
				SPAN_ARG(names[i]));
	return buf_span(&c->text);
}

static int operation_row(struct correlator *c, const struct opctx *x)
{
	const struct op *op = x->op;
	struct operation_rec r = {
		.id = c->next.op++,
		.message = x->m ? x->m->id : 0,
		.copy = x->copy ? x->copy->id : 0,
		.kind = op->kind,
		.settle = op->settle,
		.flags = op->flags,
		.ts_ns = op->ts_ns,
		.process = x->process ? x->process->id : 0,
		.tid = x->process ? op->tid : 0,
		.unit = op->unit,
		.connection = x->conn->id,
		.channel = op->channel,
		.tag = op->tag,
		.pos = op->pos,
		.len = op->len,
		.code = op->code,
		.text = row_text(c, op),
	};

	c->stats.operations++;
	return c->out.operation ? c->out.operation(c->out.ctx, &r) : 0;
}

/* The client's process, and what in it did this; the broker's end tells neither. */
static void find_actor(struct correlator *c, struct opctx *x, const struct conn *conn)
{
	const struct op *op = x->op;
	uint32_t pid = op->pid;

	if (!pid || conn->swapped || (pid == conn->server_pid && pid != conn->client_pid)) {
		x->process = process_by_pid(c, conn->client_pid);
		return;
	}
	x->process = process_by_pid(c, pid);
	/* Tasks and threads are numbered apart. */
	x->unit = op->unit ? hash_u64(op->unit) | 1ULL << 63 : op->tid;
}

int correlator__op(struct correlator *c, const struct op *op, const struct conn *conn)
{
	struct opctx x = {.op = op, .proto = proto_of(c, op->proto)};
	int err = correlator__tick(c, op->ts_ns);

	if (!err)
		err = connection_get(c, conn, &x.conn);
	if (err)
		return err;
	if (!x.conn->broker) { /* an operation proves that it is decoded, whatever was said so far */
		x.conn->proto = op->proto;
		x.conn->state = CONN_DECODED;
		err = connection_get(c, conn, &x.conn);
	}
	if (!err)
		err = space_get(c, x.conn, op->vhost, &x.space);
	if (err)
		return err;
	find_actor(c, &x, conn);
	err = dispatch(c, &x);
	return err || x.idle ? err : operation_row(c, &x);
}

/* --- rows --- */

int correlator__flush(struct correlator *c)
{
	int err = actors_flush(c);

	return err ? err : messages_flush(c);
}

int correlator__finish(struct correlator *c)
{
	int err = cause_finish(c);

	return err ? err : correlator__flush(c);
}

void correlator__stats(const struct correlator *c, struct correlator_stats *ret)
{
	*ret = c->stats;
}
