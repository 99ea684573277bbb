/* What replay reads from a dead-lettered message's headers, and which of them it leaves out. */
#include <errno.h>

#include "proto/amqp091/wire.h"
#include "replay/replayer.h"
#include "test.h"

/* One entry of x-death, as RabbitMQ writes it. */
static void death(struct buf *array, const char *queue, const char *reason, const char *exchange,
	const char *key, int count)
{
	struct buf t = {0}, keys = {0};

	entry(&t, "count", 'l');
	be(&t, (uint64_t)count, 8);
	entry_str(&t, "exchange", exchange);
	entry_str(&t, "queue", queue);
	entry_str(&t, "reason", reason);
	buf_putc(&keys, 'S');
	longstr(&keys, span_str(key));
	buf_putc(&keys, 'S');
	longstr(&keys, SPAN_LIT("a CC key"));
	entry(&t, "routing-keys", 'A');
	longstr(&t, buf_span(&keys));
	entry(&t, "time", 'T');
	be(&t, 1700000000, 8);
	buf_putc(array, 'F');
	longstr(array, buf_span(&t));
	buf_free(&t);
	buf_free(&keys);
}

/* Property flags and a headers table of @deaths and x-first-death-*, sorted as RabbitMQ sorts it. */
static struct buf dead_message(const struct buf *deaths, const char *first_queue, const char *first_reason)
{
	struct buf b = {0}, h = {0};

	entry_str(&h, "tenant", "acme");
	if (deaths) {
		entry(&h, "x-death", 'A');
		longstr(&h, buf_span(deaths));
	}
	if (first_queue) {
		entry_str(&h, "x-first-death-queue", first_queue);
		entry_str(&h, "x-first-death-reason", first_reason);
	}
	be(&b, 0x2000, 2);
	longstr(&b, buf_span(&h));
	buf_free(&h);
	return b;
}

static int origin_of(const struct buf *envelope, const char *want)
{
	struct buf exchange = {0}, key = {0}, both = {0};
	int found = replayer_for(PROTO_AMQP091)->origin(buf_span(envelope), &exchange, &key);

	buf_printf(&both, SPAN_FMT "/" SPAN_FMT, SPAN_ARG(buf_span(&exchange)), SPAN_ARG(buf_span(&key)));
	CHECK_STR(buf_cstr(&both), want);
	buf_free(&exchange);
	buf_free(&key);
	buf_free(&both);
	return found;
}

/* Latest death first: it went through a retry queue, and died in billing again, which moved that to the
 * front. */
static void origin_by_first_death(void)
{
	struct buf deaths = {0}, m;

	death(&deaths, "billing", "rejected", "orders", "order.created", 2);
	death(&deaths, "billing", "expired", "other", "other", 1);
	death(&deaths, "retry", "expired", "retry-exchange", "billing", 1);
	m = dead_message(&deaths, "billing", "rejected");
	CHECK_EQ(origin_of(&m, "orders/order.created"), 1);
	buf_free(&m);
	buf_free(&deaths);
}

static void origin_by_last_entry(void)
{
	struct buf deaths = {0}, m;

	death(&deaths, "retry", "expired", "retry-exchange", "billing", 1);
	death(&deaths, "billing", "rejected", "", "billing", 1);
	m = dead_message(&deaths, NULL, NULL);
	CHECK_EQ(origin_of(&m, "/billing"), 1);
	buf_free(&m);
	/* What x-first-death-* names is not there any more. */
	m = dead_message(&deaths, "gone", "rejected");
	CHECK_EQ(origin_of(&m, "/billing"), 1);
	buf_free(&m);
	buf_free(&deaths);
}

static void no_origin(void)
{
	struct buf m = dead_message(NULL, NULL, NULL), none = {0}, broken = {0};

	CHECK_EQ(origin_of(&m, "/"), 0);
	CHECK_EQ(origin_of(&none, "/"), 0);
	be(&broken, 0x2000, 2);
	be(&broken, 1000, 4);
	CHECK_EQ(origin_of(&broken, "/"), -EBADMSG);
	buf_free(&m);
	buf_free(&broken);
}

static void on_dropped(void *ctx, struct span name)
{
	buf_put_span(ctx, name);
	buf_putc(ctx, ' ');
}

static void headers_left_out(void)
{
	struct buf deaths = {0}, b = {0}, h = {0}, kept = {0}, want = {0}, out = {0}, names = {0};
	const struct replayer *r = replayer_for(PROTO_AMQP091);

	death(&deaths, "billing", "rejected", "orders", "order.created", 1);
	entry_str(&kept, "CC", "copy");
	entry_str(&h, "CC", "copy");
	entry_str(&h, REPLAY_MARK, "m1.older");
	entry(&h, "x-death", 'A');
	longstr(&h, buf_span(&deaths));
	entry(&h, "x-delivery-count", 'l');
	be(&h, 3, 8);
	entry_str(&h, "x-first-death-exchange", "orders");
	entry_str(&h, "x-last-death-queue", "billing");
	entry_str(&h, "x-tenant", "acme");
	entry_str(&kept, "x-tenant", "acme");
	entry_str(&kept, REPLAY_MARK, "m7.new");
	be(&b, 0x2040, 2); /* headers, timestamp */
	longstr(&b, buf_span(&h));
	be(&b, 1700000000, 8);
	be(&want, 0x2040, 2);
	longstr(&want, buf_span(&kept));
	be(&want, 1700000000, 8);
	CHECK_EQ(r->envelope(buf_span(&b), SPAN_LIT("m7.new"), &out, on_dropped, &names), 0);
	CHECK(span_eq(buf_span(&out), buf_span(&want)));
	CHECK_STR(buf_cstr(&names), "evtrace-replay-of x-death x-delivery-count x-first-death-exchange "
				    "x-last-death-queue ");
	CHECK_EQ(r->envelope(SPAN_LIT("\x20"), SPAN_LIT("m7.new"), &out, NULL, NULL), -EBADMSG);
	buf_free(&deaths);
	buf_free(&b);
	buf_free(&h);
	buf_free(&kept);
	buf_free(&want);
	buf_free(&out);
	buf_free(&names);
}

static void no_client(void)
{
	CHECK(replayer_for(PROTO_NONE) == NULL);
}

int main(void)
{
	RUN(origin_by_first_death);
	RUN(origin_by_last_entry);
	RUN(no_origin);
	RUN(headers_left_out);
	RUN(no_client);
	return test_end();
}
