/*
 * billing: charges each order and publishes what was paid (a form) as order.billed. Orders of customers whose
 * name stands in the file $SHOP_DIR/blocked are handed back twice and refused at the third delivery, so that
 * the broker dead-letters them. An ordinary program on librabbitmq; it knows nothing of evtrace.
 *
 * Links: -lrabbitmq
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ATTEMPTS   3
#define MAX_ORDERS 256

static amqp_connection_state_t conn;
static const amqp_channel_t CH = 1;
static struct {
	long order;
	int n;
} attempts[MAX_ORDERS];

static void die(const char *what)
{
	fprintf(stderr, "billing: %s failed\n", what);
	exit(1);
}

static void check_reply(amqp_rpc_reply_t r, const char *what)
{
	if (r.reply_type != AMQP_RESPONSE_NORMAL)
		die(what);
}

static void check(const char *what)
{
	check_reply(amqp_get_rpc_reply(conn), what);
}

static void file_path(char *out, size_t n, const char *name)
{
	const char *dir = getenv("SHOP_DIR");

	snprintf(out, n, "%s/%s", dir ? dir : ".", name);
}

/* The text after "key": in the order's JSON, up to the next , } or quote; enough for the shop's own orders.
 */
static bool json_value(const char *json, const char *key, char *out, size_t n)
{
	const char *p = strstr(json, key);
	size_t len;

	if (!p)
		return false;
	p += strlen(key);
	p += strspn(p, " :\"");
	len = strcspn(p, ",}\"");
	if (len >= n)
		return false;
	memcpy(out, p, len);
	out[len] = '\0';
	return true;
}

struct order {
	char id[32], customer_id[32], name[64], total[32];
};

static bool order_parse(const char *json, struct order *o)
{
	const char *customer = strstr(json, "\"customer\"");

	return customer && json_value(json, "\"id\"", o->id, sizeof(o->id)) &&
	       json_value(customer, "\"id\"", o->customer_id, sizeof(o->customer_id)) &&
	       json_value(customer, "\"name\"", o->name, sizeof(o->name)) &&
	       json_value(json, "\"total\"", o->total, sizeof(o->total));
}

static bool blocked(const char *name)
{
	char path[512], line[128];
	bool found = false;
	FILE *f;

	file_path(path, sizeof(path), "blocked");
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		found = !strcmp(line, name);
	}
	fclose(f);
	return found;
}

static int attempt(long order)
{
	for (size_t i = 0; i < MAX_ORDERS; i++) {
		if (attempts[i].order && attempts[i].order != order)
			continue;
		attempts[i].order = order;
		return ++attempts[i].n;
	}
	return ATTEMPTS;
}

static void form_put(char *out, size_t n, const char *text)
{
	size_t used = strlen(out);

	for (; *text && used + 4 < n; text++) {
		if (*text == ' ')
			out[used++] = '+';
		else if (strchr("&=+%", *text))
			used += (size_t)sprintf(out + used, "%%%02X", (unsigned char)*text);
		else
			out[used++] = *text;
	}
	out[used] = '\0';
}

static void publish_billed(const struct order *o)
{
	char body[512];
	size_t n;
	amqp_basic_properties_t p = {
		._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_TYPE_FLAG,
		.content_type = amqp_cstring_bytes("application/x-www-form-urlencoded"),
		.delivery_mode = 2,
		.type = amqp_cstring_bytes("order.billed"),
	};

	n = (size_t)snprintf(
		body, sizeof(body), "order.id=%s&customer.id=%s&customer.name=", o->id, o->customer_id);
	form_put(body, sizeof(body) - 64, o->name);
	n = strlen(body);
	snprintf(body + n, sizeof(body) - n, "&amount=%s&currency=EUR", o->total);
	if (amqp_basic_publish(conn, CH, amqp_cstring_bytes("orders"), amqp_cstring_bytes("order.billed"), 0,
		    0, &p, amqp_cstring_bytes(body)))
		die("publish");
}

static void handle(uint64_t tag, const char *json)
{
	struct order o;
	int n;

	if (!order_parse(json, &o)) {
		amqp_basic_reject(conn, CH, tag, 0);
		return;
	}
	if (!blocked(o.name)) {
		publish_billed(&o);
		amqp_basic_ack(conn, CH, tag, 0);
		printf("order %s: charged %s EUR\n", o.id, o.total);
		return;
	}
	n = attempt(atol(o.id));
	if (n < ATTEMPTS)
		amqp_basic_nack(conn, CH, tag, 0, 1);
	else
		amqp_basic_reject(conn, CH, tag, 0);
	printf("order %s: %s is blocked, attempt %d\n", o.id, o.name, n);
}

static void declare_exchange(const char *name, const char *type)
{
	amqp_exchange_declare(
		conn, CH, amqp_cstring_bytes(name), amqp_cstring_bytes(type), 0, 1, 0, 0, amqp_empty_table);
	check("exchange.declare");
}

static void declare_queue(const char *name, amqp_table_t args, const char *exchange, const char *key)
{
	amqp_queue_declare(conn, CH, amqp_cstring_bytes(name), 0, 1, 0, 0, args);
	check("queue.declare");
	amqp_queue_bind(conn, CH, amqp_cstring_bytes(name), amqp_cstring_bytes(exchange),
		amqp_cstring_bytes(key), amqp_empty_table);
	check("queue.bind");
}

static void topology(void)
{
	amqp_table_entry_t dead[] = {
		{.key = amqp_cstring_bytes("x-dead-letter-exchange"),
			.value = {.kind = AMQP_FIELD_KIND_UTF8,
				.value.bytes = amqp_cstring_bytes("shop.dlx")}},
		{.key = amqp_cstring_bytes("x-dead-letter-routing-key"),
			.value = {.kind = AMQP_FIELD_KIND_UTF8,
				.value.bytes = amqp_cstring_bytes("billing")}},
	};

	declare_exchange("orders", "topic");
	declare_exchange("shop.dlx", "direct");
	declare_queue("billing.dlq", amqp_empty_table, "shop.dlx", "billing");
	declare_queue(
		"billing", (amqp_table_t){.num_entries = 2, .entries = dead}, "orders", "order.created");
}

static void log_in(void)
{
	char *url = getenv("AMQP_URL");
	struct amqp_connection_info info;
	amqp_socket_t *sock;
	char *copy;

	if (!url)
		die("reading $AMQP_URL");
	copy = strdup(url);
	if (!copy || amqp_parse_url(copy, &info))
		die("reading $AMQP_URL");
	conn = amqp_new_connection();
	sock = amqp_tcp_socket_new(conn);
	if (!sock || amqp_socket_open(sock, info.host, info.port))
		die("connect");
	check_reply(amqp_login(conn, info.vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN,
			    info.user, info.password),
		"login");
	amqp_channel_open(conn, CH);
	check("channel.open");
	free(copy);
}

int main(void)
{
	char path[512];
	amqp_envelope_t e;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_in();
	topology();
	amqp_basic_qos(conn, CH, 0, 10, 0);
	check("qos");
	amqp_basic_consume(
		conn, CH, amqp_cstring_bytes("billing"), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
	check("consume");
	file_path(path, sizeof(path), "ready/billing");
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));

	for (;;) {
		char *json;

		amqp_maybe_release_buffers(conn);
		check_reply(amqp_consume_message(conn, &e, NULL, 0), "waiting for an order");
		json = strndup(e.message.body.bytes, e.message.body.len);
		if (!json)
			die("memory");
		handle(e.delivery_tag, json);
		free(json);
		amqp_destroy_envelope(&e);
	}
}
