/*
 * A second store: records of a Kafka topic that a group reads, one that its transaction aborted, one that the
 * broker never confirmed, a tombstone; and what JetStream made of another stream's message.
 */
#ifndef EVTRACE_TESTS_SCENARIO_LOG_H
#define EVTRACE_TESTS_SCENARIO_LOG_H

#include "proto/pairs.h"
#include "scenario.h"

/* The ids of its messages. */
enum {
	L_COMMITTED = 1,
	L_ABORTED = 2,
	L_UNCONFIRMED = 3,
	L_TOMBSTONE = 4,
	L_COPIED = 5, /* a mirror has it */
	L_EXACT = 6,  /* its acknowledgement was seen as an operation */
};

static inline void sl_envelope(struct buf *b, const char *key, bool tombstone)
{
	static const char bytes[] = "\xff\x00\x01";

	pairs_begin(b);
	pairs_property(b, "key", span_str(key));
	if (tombstone)
		pairs_int(b, "tombstone", 1);
	pairs_header(b, SPAN_LIT("trace"), SPAN_LIT("a"));
	pairs_header(b, SPAN_LIT("single"), SPAN_LIT("1"));
	pairs_header(b, SPAN_LIT("trace"), span_of(bytes, 3));
	pairs_add(b, &(struct pair){.header = true, .type = FIELD_NULL, .name = SPAN_LIT("trace")});
	pairs_header(b, SPAN_LIT("packed"), span_of(bytes, 3));
	pairs_header(b, span_of(bytes, 1), SPAN_LIT("odd"));
	pairs_header(b, span_of(bytes + 1, 1), SPAN_LIT("even"));
}

struct sl_record {
	const char *key, *body, *mid;
	uint32_t flags;
	enum msg_state state;
	bool tombstone;
};

static inline uint64_t sl_record(struct scenario *s, const struct sl_record *k)
{
	struct buf env = {0};
	struct message_rec r = {
		.id = s->ids.message++,
		.broker = s->broker,
		.proto = PROTO_KAFKA,
		.dest = DEST_LOG,
		.exchange = SPAN_LIT("orders"),
		.routing_key = SPAN_LIT("0"),
		.log = SPAN_LIT("orders-0"),
		.mid = span_str(k->mid),
		.process = s->process[SHOP],
		.connection = s->connection[SHOP],
		.state = k->state,
		.origin = ORIGIN_CLIENT,
		.body_size = strlen(k->body),
		.flags = k->flags,
		.one_of = 1,
	};

	r.flow = r.id;
	r.sent_ns = r.first_ns = T_ORDER + MS(10) * (int64_t)r.id;
	r.fingerprint = hash_span(span_str(k->body), r.id);
	sl_envelope(&env, k->key, k->tombstone);
	sc_keep(s, s->sink.payload(s->sink.ctx, r.proto, buf_span(&env), span_str(k->body), &r.payload));
	sc_keep(s, s->sink.message(s->sink.ctx, &r));
	sc_op(s, (struct operation_rec){.message = r.id,
			 .kind = OP_SEND,
			 .ts_ns = r.sent_ns,
			 .process = r.process,
			 .connection = r.connection});
	buf_free(&env);
	return r.id;
}

static inline uint64_t sl_copy(struct scenario *s, uint64_t m, enum msg_state state)
{
	int64_t t = T_ORDER + MS(10) * (int64_t)m;
	struct copy_rec r = {.message = m, .state = state, .source = COPY_BY_GROUP, .queued_ns = t};

	if (state == STATE_ACKED) {
		r.settle = SETTLE_ACK;
		r.first_delivered_ns = r.delivered_ns = t + MS(100);
		r.settled_ns = t + MS(500);
		r.deliveries = 1;
		r.consumer = s->process[BILLING];
		r.consumer_tid = PID_BILLING;
		r.connection = s->connection[BILLING];
	}
	return sc_copy(s, r, "orders/billing");
}

static inline void sl_copied(struct scenario *s)
{
	struct message_rec r = {
		.id = s->ids.message++,
		.broker = s->broker,
		.proto = PROTO_NATS,
		.dest = DEST_LOG,
		.exchange = SPAN_LIT("orders"),
		.log = SPAN_LIT("MIRROR"),
		.mid = SPAN_LIT("4"),
		.first_ns = T_ORDER + MS(700),
		.state = STATE_UNKNOWN,
		.origin = ORIGIN_UNSEEN,
		.flow = L_COMMITTED,
		.flags = MSGF_COPIED,
		.one_of = 1,
	};

	sc_keep(s, s->sink.message(s->sink.ctx, &r));
	sc_link(s, L_COMMITTED, r.id, LINK_CAUSED_BY, 0.999, "the broker's copy of 7 of ORDERS");
}

static inline int scenario_log_write(struct scenario *s, const char *dir, struct err *e)
{
	int err = scenario_open(s, dir, e);
	uint64_t m, c;

	if (err)
		return err;
	sc_begin(s);
	m = sl_record(s, &(struct sl_record){"k-1", "{\"n\":1}", "7", MSGF_CONFIRMED, STATE_ACKED, false});
	c = sl_copy(s, m, STATE_ACKED);
	sc_op(s, (struct operation_rec){.message = m,
			 .copy = c,
			 .kind = OP_RECEIVE,
			 .ts_ns = T_ORDER + MS(110),
			 .process = s->process[BILLING],
			 .connection = s->connection[BILLING]});
	m = sl_record(s, &(struct sl_record){"k-2", "{\"n\":2}", "8", OPF_TX | MSGF_REFUSED | MSGF_ABORTED,
				 STATE_ACKED, false});
	sl_copy(s, m, STATE_ACKED);
	m = sl_record(s, &(struct sl_record){"k-3", "{\"n\":3}", "", 0, STATE_QUEUED, false});
	sl_copy(s, m, STATE_QUEUED);
	sl_record(s, &(struct sl_record){"customer-88", "", "10", MSGF_CONFIRMED, STATE_CONFIRMED, true});
	sl_copied(s);
	m = sl_record(s, &(struct sl_record){"k-6", "{\"n\":6}", "11", MSGF_CONFIRMED, STATE_ACKED, false});
	c = sl_copy(s, m, STATE_ACKED);
	sc_op(s, (struct operation_rec){.message = m,
			 .copy = c,
			 .kind = OP_SETTLE,
			 .settle = SETTLE_ACK,
			 .ts_ns = T_ORDER + MS(560),
			 .process = s->process[BILLING],
			 .connection = s->connection[BILLING]});
	if (s->err)
		return err_set(e, s->err, "the store's sink failed");
	return store_writer_commit(s->w, T_END, e);
}

#endif
