/* What a new session gets back of the earlier ones: topology first, then what is open, newest first. The
 * correlator is played by this file: it writes down what it is given. */
#include "test.h"

#include <errno.h>

#include "base/buf.h"
#include "store_help.h"

static struct buf told;
static int answer; /* of every function below */

#define TELL(...)                                                                                            \
	do {                                                                                                 \
		buf_printf(&told, __VA_ARGS__);                                                              \
		return answer;                                                                               \
	} while (0)

int correlator__restore_broker(struct correlator *c, const struct broker_rec *r)
{
	(void)c;
	TELL("broker %d %d %s %d\n", (int)r->id, r->proto, r->name, (int)r->process);
}

int correlator__restore_exchange(struct correlator *c, const struct exchange_rec *r)
{
	(void)c;
	TELL("exchange %d " SPAN_FMT " " SPAN_FMT " " SPAN_FMT " %zu proto %d durable %d deleted %d\n",
		(int)r->broker, SPAN_ARG(r->vhost), SPAN_ARG(r->name), SPAN_ARG(r->type), r->args.n, r->proto,
		r->durable, r->deleted);
}

int correlator__restore_queue(struct correlator *c, const struct queue_rec *r)
{
	(void)c;
	TELL("queue %d " SPAN_FMT " " SPAN_FMT " dlx %d \"" SPAN_FMT "\" \"" SPAN_FMT
	     "\" ttl %d max %d declared %d\n",
		(int)r->broker, SPAN_ARG(r->vhost), SPAN_ARG(r->name), r->has_dead_letter,
		SPAN_ARG(r->dead_letter_exchange), SPAN_ARG(r->dead_letter_key), (int)r->ttl_ms,
		(int)r->max_length, r->declared);
}

int correlator__restore_binding(struct correlator *c, const struct binding_rec *r)
{
	(void)c;
	TELL("binding %d " SPAN_FMT " " SPAN_FMT " " SPAN_FMT " " SPAN_FMT " to_exchange %d\n",
		(int)r->broker, SPAN_ARG(r->vhost), SPAN_ARG(r->source), SPAN_ARG(r->destination),
		SPAN_ARG(r->key), r->to_exchange);
}

int correlator__restore_message(struct correlator *c, const struct message_rec *m)
{
	(void)c;
	TELL("message %d " SPAN_FMT " " SPAN_FMT " " SPAN_FMT
	     " state %d origin %d routes %d flow %d fp %d tid %u "
	     "unit %d conn %d chan %u payload %d body %d flags %x one_of %u sent %d\n",
		(int)m->id, SPAN_ARG(m->exchange), SPAN_ARG(m->routing_key), SPAN_ARG(m->type), m->state,
		m->origin, m->routes, (int)m->flow, (int)m->fingerprint, m->tid, (int)m->unit,
		(int)m->connection, m->channel, m->payload != 0, (int)m->body_size, m->flags, m->one_of,
		m->sent_ns == T0);
}

int correlator__restore_copy(struct correlator *c, const struct copy_rec *r)
{
	(void)c;
	TELL("  copy %d of %d in " SPAN_FMT
	     " state %d source %d settle %d x%u by %d tid %u became %d at %d\n",
		(int)r->id, (int)r->message, SPAN_ARG(r->queue), r->state, r->source, r->settle,
		r->deliveries, (int)r->consumer, r->consumer_tid, (int)r->dead_letter, r->queued_ns == T0);
}

static const char *restore(size_t limit, int *ret_err)
{
	struct store_writer *w = open_writer_again();

	buf_clear(&told);
	*ret_err = store_writer_restore(w, (struct correlator *)w, limit);
	store_writer__close(w, NULL);
	return buf_cstr(&told);
}

static void test_everything_comes_back(void)
{
	struct store_writer *w = open_writer();
	struct record_sink k;
	int err;

	store_writer_sink(w, &k);
	put_everything(&k);
	CHECK_EQ(store_writer__close(w, NULL), 0);
	CHECK_STR(restore(100, &err),
		"broker 1 1 127.0.0.1:5672 2\n"
		"exchange 1 / orders topic 2 proto 1 durable 1 deleted 0\n"
		"queue 1 / billing dlx 1 \"\" \"billing.dlq\" ttl 30000 max -1 declared 1\n"
		"queue 1 / notify dlx 0 \"\" \"\" ttl -1 max -1 declared 0\n"
		"binding 1 / orders billing order.* to_exchange 0\n"
		"message 2 orders order.created order state 1 origin 1 routes 1 flow 1 fp -2 tid 2212 unit "
		"77 conn 1 "
		"chan 3 payload 0 body 13 flags 1 one_of 1 sent 1\n"
		"message 1 orders order.created order state 9 origin 1 routes 1 flow 1 fp -2 tid 2212 unit "
		"77 conn 1 "
		"chan 3 payload 1 body 13 flags 1000000 one_of 1 sent 1\n"
		"  copy 1 of 1 in billing state 9 source 1 settle 3 x3 by 2 tid 101 became 2 at 1\n"
		"  copy 2 of 1 in notify state 4 source 1 settle 0 x0 by 0 tid 0 became 0 at 1\n");
	CHECK_EQ(err, 0);
}

/* One message per state, and one per state of its only copy. */
static void put_states(const struct record_sink *k)
{
	for (uint64_t state = 0; state <= 11; state++) {
		struct message_rec m = message(state + 1);
		struct copy_rec c = {.id = state + 1, .message = state + 101, .queue = SPAN_LIT("q")};

		m.state = (enum msg_state)state;
		k->message(k->ctx, &m);
		m.id = state + 101;
		m.state = STATE_DEAD_LETTERED; /* whatever its other copies are */
		k->message(k->ctx, &m);
		c.state = (enum msg_state)state;
		k->copy(k->ctx, &c);
	}
}

static void ids_told(char *out, size_t n)
{
	size_t o = 0;

	out[0] = '\0';
	for (const char *p = buf_cstr(&told); (p = strstr(p, "message ")); p++)
		o += (size_t)snprintf(out + o, n - o, "%d ", atoi(p + 8));
}

static void test_only_what_is_open(void)
{
	struct store_writer *w = open_writer();
	struct record_sink k;
	char ids[256];
	int err;

	store_writer_sink(w, &k);
	put_states(&k);
	CHECK_EQ(store_writer__close(w, NULL), 0);
	restore(100, &err);
	ids_told(ids, sizeof(ids));
	/* copies queued (4), delivered (5), requeued (7); messages sent (1), confirmed (2) */
	CHECK_STR(ids, "108 106 105 3 2 ");
	restore(2, &err);
	ids_told(ids, sizeof(ids));
	CHECK_STR(ids, "108 106 ");
	answer = -ENOMEM;
	restore(100, &err);
	answer = 0;
	CHECK_EQ(err, -ENOMEM);
}

/* Sent or confirmed is no news after a day; waiting in a queue is, for as long as it lasts. */
static void test_what_was_on_its_way_is_forgotten_after_a_day(void)
{
	struct store_writer *w = open_writer();
	struct message_rec m = message(1);
	struct copy_rec c = {.id = 1, .message = 2, .queue = SPAN_LIT("q"), .state = STATE_QUEUED};
	struct record_sink k;
	char ids[256];
	int err;

	store_writer_sink(w, &k);
	k.message(k.ctx, &m);
	m.id = 2;
	k.message(k.ctx, &m);
	k.copy(k.ctx, &c);
	m.id = 3;
	m.first_ns = T0 + 25 * 3600 * SEC;
	k.message(k.ctx, &m);
	CHECK_EQ(store_writer__close(w, NULL), 0);
	restore(100, &err);
	ids_told(ids, sizeof(ids));
	CHECK_STR(ids, "3 2 ");
}

static void test_empty_store(void)
{
	int err;

	store_writer__close(open_writer(), NULL);
	CHECK_STR(restore(100, &err), "");
	CHECK_EQ(err, 0);
}

int main(void)
{
	RUN(test_everything_comes_back);
	RUN(test_only_what_is_open);
	RUN(test_what_was_on_its_way_is_forgotten_after_a_day);
	RUN(test_empty_store);
	buf_free(&told);
	remove_dir();
	return test_end();
}
