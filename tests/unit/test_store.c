/* The store: every kind of row there and back, views in words, payloads, coverage, sessions. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_help.h"

static void test_round_trip_of_every_row(void)
{
	struct store_writer *w = open_writer();
	struct record_sink k;
	struct store *s = NULL;
	struct err e = {0};

	store_writer_sink(w, &k);
	put_everything(&k);
	CHECK_EQ(store_writer_commit(w, T0 + 9 * SEC, &e), 0);
	CHECK_EQ(store__open(dir, false, &s, &e), 0);
	CHECK_STR(
		q(s, "SELECT "
		     "id||'|'||pid||'|'||ppid||'|'||comm||'|'||exe||'|'||cmdline||'|'||service||'|'||cgroup"
		     "||'|'||start_ns||'|'||first_ns||'|'||exit_ns||'|'||exit_code FROM process WHERE id=1"),
		"1|2211|1|python3|/usr/bin/python3.11|python3 "
		"shop.py|shop|/system.slice/shop.service|5|7|9|256");
	CHECK_STR(q(s, "SELECT id||'|'||proto||'|'||name||'|'||process FROM broker"), "1|1|127.0.0.1:5672|2");
	CHECK_STR(
		q(s, "SELECT client_addr||' '||server_addr||' '||state||' '||client||' '||server||' '||broker"
		     "||' '||bytes_to_server||' '||bytes_to_client||' '||lost_to_server||' '||from_start"
		     " FROM connection WHERE id=1"),
		"127.0.0.1:40000 127.0.0.1:5672 1 1 2 1 1000 2000 3 1");
	CHECK_STR(q(s, "SELECT client_addr||' '||server_addr FROM connection WHERE id=2"),
		"[::1]:40001 [::1]:5671");
	CHECK_STR(q(s, "SELECT server_addr FROM connection WHERE id=3"), "/run/broker.sock");
	CHECK_STR(q(s, "SELECT "
		       "id||state||exchange||routing_key||type||vhost||service||pid||broker||protocol||origin"
		       "||routes||flow||body_size||body_kept||copies||sent||truncated FROM messages WHERE "
		       "id=1"),
		"1dead-lettered"
		"orders"
		"order.created"
		"order"
		"/"
		"shop"
		"2211"
		"127.0.0.1:5672"
		"amqp091"
		"client"
		"declared1"
		"13"
		"13"
		"2"
		"2026-11-23T14:02:09.114203Z0");
	CHECK_STR(q(s, "SELECT fingerprint||' '||unit||' '||one_of||' '||flags||' '||channel||' '||tid||' '||"
		       "connection||' '||envelope_size FROM message WHERE id=1"),
		"-2 77 1 16777216 3 2212 1 8");
	CHECK_STR(q(s, "SELECT "
		       "group_concat(queue||':'||state||':'||known_by||':'||ifnull(settled_by,'-')||':'||"
		       "deliveries||':'||ifnull(consumer,'-')||':'||ifnull(dead_letter,0)) FROM copies"),
		"billing:dead-lettered:binding:reject:3:billing:2,notify:queued:binding:-:0:-:0");
	CHECK_STR(
		q(s, "SELECT group_concat(kind||':'||ifnull(settlement,'-')||':'||ifnull(service,'-')||':'||"
		     "ifnull(text,'-')) FROM operations"),
		"send:-:shop:-,settle:reject:billing:-,error:-:-:NOT_FOUND - no queue");
	CHECK_STR(q(s, "SELECT name||'='||value||' '||place||' '||class FROM identifiers"),
		"order.id=4711 body join");
	CHECK_STR(q(s, "SELECT source||kind||target||' '||confidence||' '||evidence FROM links"),
		"1caused-by2 0.998 order.id=4711 \xc2\xb7 same thread");
	CHECK_STR(q(s, "SELECT id||' '||messages||' '||services FROM flows"), "1 2 shop");
	CHECK_STR(q(s, "SELECT name||' '||type||' '||durable||' '||hex(args) FROM exchange"),
		"orders topic 1 0102");
	CHECK_STR(q(s, "SELECT group_concat(queue||' '||waiting||' '||ifnull(dead_letter_exchange,'none')||' "
		       "'||"
		       "ifnull(ttl_ms,'none')||' '||consumers, ', ') FROM queues"),
		"billing 0  30000 1, notify 1 none none 0");
	CHECK_STR(q(s, "SELECT source||' '||destination||' '||key||' '||deleted FROM binding"),
		"orders billing order.* 0");
	CHECK_STR(q(s, "SELECT queue||' '||tag||' '||prefetch||' '||no_ack||' '||ifnull(until_ns,'-') FROM "
		       "consumer"),
		"billing ctag1 200 0 -");
	CHECK_STR(q(s, "SELECT client||' '||direction||' '||bytes||' '||records||' '||reason FROM gaps"),
		"127.0.0.1:40000 to-client 4096 1 the ring buffer was full");
	CHECK_STR(q(s, "SELECT service||' '||processes||' '||alive FROM services WHERE service='shop'"),
		"shop 1 0");
	store__close(s);
	CHECK_EQ(store_writer__close(w, &e), 0);
}

/* Enumerations in views are spelled as commands spell them. */
static void test_views_say_the_same_words(void)
{
	struct store_writer *w = open_writer();
	struct record_sink k;
	struct store *s = NULL;
	char sql[128];

	store_writer_sink(w, &k);
	for (uint64_t i = 0; i <= OP_CLUSTER; i++) {
		struct message_rec m = message(i + 1);
		struct copy_rec c = {.id = i + 1, .message = i + 1, .state = (enum msg_state)i};
		struct operation_rec o = {
			.id = i + 1, .kind = (enum op_kind)i, .settle = (enum settle)i, .ts_ns = T0};
		struct link_rec l = {
			.id = i + 1, .src = 1, .dst = 2, .kind = (enum link_kind)i, .evidence = ""};

		m.state = (enum msg_state)i;
		k.message(k.ctx, &m);
		k.copy(k.ctx, &c);
		k.operation(k.ctx, &o);
		k.link(k.ctx, &l);
	}
	CHECK_EQ(store_writer__close(w, NULL), 0);
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	for (int i = 0; i <= OP_CLUSTER; i++) {
		const struct {
			const char *column, *view, *want;
		} words[] = {
			{"state", "messages", state_name((enum msg_state)i)},
			{"state", "copies", state_name((enum msg_state)i)},
			{"kind", "operations", op_kind_name((enum op_kind)i)},
			{"ifnull(settlement,'none')", "operations", settle_name((enum settle)i)},
			{"kind", "links", link_kind_name((enum link_kind)i)},
		};

		for (size_t n = 0; n < ARRAY_LEN(words); n++) {
			char number[16];

			snprintf(number, sizeof(number), "%d", i);
			snprintf(sql, sizeof(sql), "SELECT %s FROM %s WHERE id=%d", words[n].column,
				words[n].view, i + 1);
			/* What has no word stays a number. */
			if (strcmp(words[n].want, "unknown") || !strcmp(q(s, sql), "unknown"))
				CHECK_STR(q(s, sql), words[n].want);
			else
				CHECK_STR(q(s, sql), number);
		}
	}
	store__close(s);
}

static void test_same_id_replaces(void)
{
	struct store_writer *w = open_writer();
	struct record_sink k;
	struct store *s = NULL;
	struct message_rec m = message(1);
	struct copy_rec c = {.id = 1, .message = 1, .queue = SPAN_LIT("q"), .state = STATE_QUEUED};
	uint64_t ref = 0;

	store_writer_sink(w, &k);
	CHECK_EQ(k.payload(k.ctx, PROTO_AMQP091, SPAN_LIT("env"), SPAN_LIT("body!"), &ref), 0);
	m.payload = ref;
	k.message(k.ctx, &m);
	k.copy(k.ctx, &c);
	CHECK_EQ(store_writer_commit(w, T0, NULL), 0);
	m.state = STATE_ACKED;
	c.state = STATE_ACKED;
	c.deliveries = 2;
	k.message(k.ctx, &m);
	k.copy(k.ctx, &c);
	k.merge_flows(k.ctx, 1, 9);
	CHECK_EQ(store_writer__close(w, NULL), 0);
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	CHECK_STR(q(s, "SELECT group_concat(state||' '||envelope_size||' '||body_kept||' '||flow) FROM "
		       "message"),
		"6 3 5 9");
	CHECK_STR(q(s, "SELECT group_concat(state||' '||deliveries) FROM copy"), "6 2");
	store__close(s);
}

/* Two messages that turn out to be one, and a topic that gets its name, when all of it is stored already. */
static void test_amended(void)
{
	struct store_writer *w = open_writer();
	struct record_sink k;
	struct store *s = NULL;

	store_writer_sink(w, &k);
	for (uint64_t i = 1; i <= 3; i++) {
		struct message_rec m = message(i);
		struct copy_rec c = {
			.id = i, .message = i, .queue = SPAN_LIT("Xid/g"), .state = STATE_QUEUED};
		struct operation_rec o = {.id = i, .message = i, .kind = OP_RECEIVE, .ts_ns = T0};
		struct link_rec l = {.id = i, .src = 3, .dst = i, .kind = LINK_CAUSED_BY, .evidence = ""};

		m.exchange = i < 3 ? SPAN_LIT("Xid") : SPAN_LIT("orders");
		m.log = i < 2 ? SPAN_LIT("Xid-0") : i < 3 ? SPAN_LIT("Xid-17") : SPAN_LIT("orders-0");
		m.routing_key = SPAN_LIT("Xidx");
		m.type = SPAN_LIT("Xid.x");
		k.message(k.ctx, &m);
		k.copy(k.ctx, &c);
		k.operation(k.ctx, &o);
		k.link(k.ctx, &l);
	}
	k.queue(k.ctx, &(struct queue_rec){.broker = 1, .name = SPAN_LIT("Xid/g"), .ts_ns = 1});
	k.queue(k.ctx, &(struct queue_rec){.broker = 1, .name = SPAN_LIT("Xid/h"), .ts_ns = 1});
	k.queue(k.ctx, &(struct queue_rec){.broker = 1, .name = SPAN_LIT("orders/g"), .ts_ns = 2});
	k.consumer(k.ctx,
		&(struct consumer_rec){.connection = 1, .queue = SPAN_LIT("Xid/h"), .tag = SPAN_LIT("t")});
	CHECK_EQ(store_writer_commit(w, T0, NULL), 0);
	k.rename(k.ctx, SPAN_LIT("Xid"), SPAN_LIT("orders"));
	k.merge_messages(k.ctx, 2, 3);
	k.broker(k.ctx, &(struct broker_rec){.id = 7, .name = "a"});
	k.broker(k.ctx, &(struct broker_rec){.id = 8, .name = "b"});
	k.queue(k.ctx, &(struct queue_rec){.broker = 7, .name = SPAN_LIT("x"), .ts_ns = 3});
	k.queue(k.ctx, &(struct queue_rec){.broker = 8, .name = SPAN_LIT("x"), .ts_ns = 4});
	k.queue(k.ctx, &(struct queue_rec){.broker = 8, .name = SPAN_LIT("y"), .ts_ns = 5});
	k.merge_brokers(k.ctx, 8, 7);
	CHECK_EQ(store_writer__close(w, NULL), 0);
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	CHECK_STR(q(s, "SELECT group_concat(m.id||' '||e.text||' '||l.text||' '||k.text,', ') FROM message m "
		       "JOIN name"
		       " e ON e.id=m.exchange JOIN name l ON l.id=m.log JOIN name k ON k.id=m.routing_key"),
		"1 orders orders-0 Xidx, 3 orders orders-0 Xidx");
	CHECK_STR(q(s, "SELECT group_concat(c.id||' '||message||' '||text,', ') FROM copy c JOIN name q ON "
		       "q.id=c.queue"),
		"1 1 orders/g, 2 3 orders/g, 3 3 orders/g");
	CHECK_STR(
		q(s, "SELECT group_concat(t.text) FROM message m JOIN name t ON t.id=m.type"), "Xid.x,Xid.x");
	CHECK_STR(q(s, "SELECT group_concat(message) FROM operation"), "1,3,3");
	CHECK_STR(q(s, "SELECT group_concat(src||'>'||dst) FROM link"), "3>1,3>3");
	CHECK_STR(q(s, "SELECT group_concat(name||' '||ts_ns) FROM (SELECT * FROM queue ORDER BY name)"),
		"orders/g 2,orders/h 1,x 3,y 5");
	CHECK_STR(q(s, "SELECT group_concat(id) FROM broker"), "7");
	CHECK_STR(q(s, "SELECT queue FROM consumer"), "orders/h");
	CHECK_STR(q(s, "SELECT messages FROM session"), "2");
	store__close(s);
}

static void test_payloads(void)
{
	static const size_t sizes[] = {0, 1, 100, 4096, 500000, 600000, 1 << 20, 3 << 20, 10};
	struct store_writer *w = open_writer();
	uint64_t ref[ARRAY_LEN(sizes)];
	struct record_sink k;
	struct store *s = NULL;
	struct err e = {0};

	store_writer_sink(w, &k);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct span body = pattern(sizes[i], i), env = pattern(i * 7, i);

		CHECK_EQ(k.payload(k.ctx, PROTO_AMQP091, env, body, &ref[i]), 0);
		free((void *)body.p);
		free((void *)env.p);
	}
	CHECK_EQ(store_writer__close(w, &e), 0);
	CHECK_EQ(store__open(dir, false, &s, &e), 0);
	for (size_t n = 0; n < 3 * ARRAY_LEN(sizes); n++) {
		size_t i = n * 5 % ARRAY_LEN(sizes);
		struct span env, body, want = pattern(sizes[i], i), want_env = pattern(i * 7, i);

		CHECK_EQ(store_payload(s, ref[i], &env, &body, &e), 0);
		CHECK(span_eq(body, want));
		CHECK(span_eq(env, want_env));
		free((void *)want.p);
		free((void *)want_env.p);
	}
	/* A large payload shares its block with no other. */
	CHECK(payload_block(ref[7]) != payload_block(ref[6]) &&
		payload_block(ref[7]) != payload_block(ref[8]));
	CHECK_EQ(payload_block(ref[0]), payload_block(ref[3]));
	CHECK_EQ(store_payload(s, 0, &(struct span){0}, &(struct span){0}, &e), -ENOENT);
	CHECK_EQ(store_payload(s, 999ull << 28, &(struct span){0}, &(struct span){0}, &e), -ENOENT);
	CHECK_EQ(store_payload(s, ref[3] + (1 << 20), &(struct span){0}, &(struct span){0}, &e), -EBADMSG);
	store__close(s);
}

static void test_next_writer_goes_on(void)
{
	struct store_writer *w = open_writer();
	struct record_ids ids;
	struct record_sink k;
	struct store *s = NULL;
	uint64_t first = 0, second = 0;

	store_writer_sink(w, &k);
	put_everything(&k);
	k.payload(k.ctx, PROTO_AMQP091, SPAN_EMPTY, SPAN_LIT("one"), &first);
	CHECK_EQ(store_writer__close(w, NULL), 0);
	w = open_writer_again();
	store_writer_ids(w, &ids);
	CHECK_EQ(ids.message, 3);
	CHECK_EQ(ids.copy, 3);
	CHECK_EQ(ids.op, 4);
	CHECK_EQ(ids.process, 4);
	CHECK_EQ(ids.connection, 4);
	CHECK_EQ(ids.link, 2);
	store_writer_sink(w, &k);
	k.payload(k.ctx, PROTO_AMQP091, SPAN_EMPTY, SPAN_LIT("two"), &second);
	CHECK(payload_block(second) > payload_block(first));
	CHECK_EQ(store_writer__close(w, NULL), 0);
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	CHECK_STR(body_of(s, first), "one");
	CHECK_STR(body_of(s, second), "two");
	CHECK_STR(q(s, "SELECT count(*)||' '||sum(running) FROM session"), "2 0");
	store__close(s);
}

static void test_coverage(void)
{
	struct store_writer *w = open_writer();
	struct record_sink k;
	struct store *s = NULL;
	struct coverage c;

	store_writer_sink(w, &k);
	put_everything(&k);
	store_writer_losses(w, 11, 2200, 5);
	CHECK_EQ(store_writer_commit(w, T0 + 60 * SEC, NULL), 0);
	CHECK_EQ(store__open(dir, false, &s, NULL), 0);
	CHECK_EQ(store_coverage(s, &c, NULL), 0);
	CHECK(c.running);
	CHECK_EQ(c.since_ns, T0);
	CHECK_EQ(c.until_ns, T0 + 60 * SEC);
	CHECK_EQ(c.messages, 2);
	CHECK_EQ(c.truncated, 1);
	CHECK_EQ(c.gaps, 1);
	CHECK_EQ(c.gap_bytes, 4096);
	CHECK_EQ(c.lost_records, 11);
	CHECK_EQ(c.lost_bytes, 2200);
	CHECK_EQ(c.encrypted, 1);
	CHECK_EQ(c.encrypted_bytes, 412000);
	CHECK_EQ(c.undecoded, 1);
	CHECK_STR(c.encrypted_who, "java 812");
	CHECK_EQ(store_writer__close(w, NULL), 0);
	CHECK_EQ(store_coverage(s, &c, NULL), 0);
	CHECK(!c.running);
	store__close(s);
}

int main(void)
{
	RUN(test_round_trip_of_every_row);
	RUN(test_views_say_the_same_words);
	RUN(test_same_id_replaces);
	RUN(test_amended);
	RUN(test_payloads);
	RUN(test_next_writer_goes_on);
	RUN(test_coverage);
	remove_dir();
	return test_end();
}
