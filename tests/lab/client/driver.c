/*
 * driver: publishes or consumes on librabbitmq as its options say, and writes down what it truly did, for the
 * judge alone (files, never sockets). An ordinary client; it knows nothing of evtrace.
 *
 * The log has one line an act, fields separated by tabs; PORT is the connection's local port. One file a
 * connection: LOG.0, LOG.1 ...
 *   I pid PORT                                          connected
 *   H                                                   held until told to go on: what stands above was
 * before P PORT ch seq exchange key mid envelope(hex) size crc mandatory   published (seq counts since
 * confirm.select) C PORT ch tag multiple ok                           confirm R PORT ch code exchange key mid
 * returned X PORT ch commit|rollback                           end of a transaction D PORT ch tag queue
 * redelivered exchange key mid size crc pulled    delivered S PORT ch tag multiple ack|requeue|reject settled
 *   E PORT                                              closed in good order
 *
 * Links: -lrabbitmq -lz
 */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define MAX_LIST     64
#define MAX_CHANNELS 64
#define MAX_WINDOW   8192
#define DEADLINE_S   180

struct list {
	char *s[MAX_LIST];
	int n;
};

static struct {
	const char *url, *log, *exchange, *ready, *hold, *prefix;
	struct list keys, queues, sizes, binds;
	int connections, channels, warm, window, tx, prefetch, multiple, requeue_every, reject_every;
	long messages, total;
	bool mandatory, rich, no_mid, no_ack, get, leave, time;
	amqp_table_t headers; /* of --rich */
} opt = {
	.exchange = "",
	.prefix = "m",
	.connections = 1,
	.channels = 1,
	.messages = 100,
	.multiple = 1,
};

static atomic_long settled, first_ns, last_ns;

/* One connection, one thread. */
struct client {
	int index;
	amqp_connection_state_t conn;
	unsigned port;
	FILE *log;
	uint64_t seq[MAX_CHANNELS + 1];       /* publishes since confirm.select */
	uint64_t confirmed[MAX_CHANNELS + 1]; /* of them confirmed */
	uint64_t low[MAX_CHANNELS + 1];       /* all up to this one are confirmed */
	bool *done[MAX_CHANNELS + 1];         /* beyond that, by number modulo MAX_WINDOW */
	uint64_t last[MAX_CHANNELS + 1];      /* highest delivery tag not yet acked */
	int unacked[MAX_CHANNELS + 1];
	long n; /* messages published */
	char *body;
	size_t body_cap;
};

static void die(const char *what)
{
	fprintf(stderr, "driver: %s failed\n", what);
	exit(1);
}

static void check(amqp_rpc_reply_t r, const char *what)
{
	if (r.reply_type == AMQP_RESPONSE_NORMAL)
		return;
	if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
		fprintf(stderr, "driver: %s\n", amqp_error_string2(r.library_error));
	die(what);
}

static void split(struct list *l, char *text)
{
	for (char *p = strtok(text, ","); p && l->n < MAX_LIST; p = strtok(NULL, ","))
		l->s[l->n++] = p;
}

static amqp_bytes_t str(const char *s)
{
	return amqp_cstring_bytes(s);
}

static const char *text(amqp_bytes_t b, char *out, size_t n)
{
	size_t len = b.len < n - 1 ? b.len : n - 1;

	if (len)
		memcpy(out, b.bytes, len);
	out[len] = '\0';
	return out;
}

static void touch(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0)
		die(path);
	close(fd);
}

static long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static unsigned local_port(int fd)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &n))
		die("getsockname");
	return ntohs(a.sin_port);
}

static void client_open(struct client *c)
{
	struct amqp_connection_info info;
	char *url = strdup(opt.url ? opt.url : ""), path[512];
	amqp_socket_t *s;

	if (!url || amqp_parse_url(url, &info))
		die("reading the address");
	c->conn = amqp_new_connection();
	s = amqp_tcp_socket_new(c->conn);
	if (!s || amqp_socket_open(s, info.host, info.port))
		die("connect");
	c->port = local_port(amqp_get_sockfd(c->conn));
	check(amqp_login(c->conn, info.vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN,
		      info.user, info.password),
		"login");
	for (int ch = 1; ch <= opt.channels; ch++) {
		amqp_channel_open(c->conn, (amqp_channel_t)ch);
		check(amqp_get_rpc_reply(c->conn), "channel.open");
	}
	free(url);
	snprintf(path, sizeof(path), "%s.%d", opt.log ? opt.log : "/dev/null", c->index);
	c->log = fopen(opt.log ? path : "/dev/null", "we");
	if (!c->log)
		die(path);
	setvbuf(c->log, NULL, _IOFBF, 1 << 20);
	fprintf(c->log, "I\t%d\t%u\n", (int)getpid(), c->port);
}

static void client_close(struct client *c)
{
	amqp_connection_close(c->conn, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(c->conn);
	fprintf(c->log, "E\t%u\n", c->port);
	if (fclose(c->log))
		die("writing the log");
	for (int ch = 1; ch <= opt.channels; ch++)
		free(c->done[ch]);
	free(c->body);
}

/* --binds QUEUE:EXCHANGE:TYPE:KEY,...; --queues are declared too. Only the first connection does it. */
static void declare(struct client *c)
{
	for (int i = 0; i < opt.queues.n; i++) {
		amqp_queue_declare(c->conn, 1, str(opt.queues.s[i]), 0, 0, 0, 0, amqp_empty_table);
		check(amqp_get_rpc_reply(c->conn), "queue.declare");
	}
	for (int i = 0; i < opt.binds.n; i++) {
		char *p = strdup(opt.binds.s[i]), *rest = p, *f[4];

		for (int k = 0; k < 4; k++)
			f[k] = strsep(&rest, ":");
		if (!f[3])
			die("reading --binds");
		amqp_exchange_declare(c->conn, 1, str(f[1]), str(f[2]), 0, 0, 0, 0, amqp_empty_table);
		check(amqp_get_rpc_reply(c->conn), "exchange.declare");
		amqp_queue_bind(c->conn, 1, str(f[0]), str(f[1]), str(f[3]), amqp_empty_table);
		check(amqp_get_rpc_reply(c->conn), "queue.bind");
		free(p);
	}
}

/* --- publishing --- */

/* The wire's every field type that RabbitMQ takes, tables in arrays in tables. */
static amqp_table_t rich_headers(void)
{
#define F(K, MEMBER, VALUE)                                                                                  \
	{                                                                                                    \
		.kind = AMQP_FIELD_KIND_##K, .value.MEMBER = VALUE                                           \
	}
	static amqp_field_value_t items[3];
	static amqp_table_entry_t inner[2], top[18];
	const amqp_field_value_t values[] = {F(BOOLEAN, boolean, 1), F(I8, i8, -7), F(U8, u8, 200),
		F(I16, i16, -300), F(U16, u16, 60000), F(I32, i32, -70000), F(U32, u32, 4000000000u),
		F(I64, i64, -5000000000), F(F32, f32, 1.5f), F(F64, f64, -2.25),
		F(UTF8, bytes, str("Jürgen")), F(BYTES, bytes, str("\x01\x02\xff")),
		F(TIMESTAMP, u64, 1700000000), F(VOID, u64, 0)};
	const size_t n = sizeof(values) / sizeof(values[0]);
	static char names[sizeof(values) / sizeof(values[0])][8];

	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "h%zu", i);
		top[i] = (amqp_table_entry_t){str(names[i]), values[i]};
	}
	inner[0] = (amqp_table_entry_t){str("customer.id"), F(I32, i32, 88)};
	inner[1] = (amqp_table_entry_t){str("note"), F(UTF8, bytes, str("nested"))};
	items[0] = (amqp_field_value_t)F(TABLE, table, ((amqp_table_t){2, inner}));
	items[1] = (amqp_field_value_t)F(I32, i32, 2);
	items[2] = (amqp_field_value_t)F(UTF8, bytes, str("three"));
	top[n] = (amqp_table_entry_t){str("list"), F(ARRAY, array, ((amqp_array_t){3, items}))};
	top[n + 1] = (amqp_table_entry_t){str("table"), F(TABLE, table, ((amqp_table_t){2, inner}))};
	top[n + 2] = (amqp_table_entry_t){
		str("price"), {.kind = AMQP_FIELD_KIND_DECIMAL, .value.decimal = {2, 1999}}};
	return (amqp_table_t){(int)n + 3, top};
#undef F
}

static void properties(amqp_basic_properties_t *p, const char *mid)
{
	*p = (amqp_basic_properties_t){._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
		.content_type = str("application/octet-stream"),
		.delivery_mode = 1};
	if (!opt.no_mid) {
		p->_flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
		p->message_id = str(mid);
	}
	if (!opt.rich)
		return;
	p->_flags |= AMQP_BASIC_CONTENT_ENCODING_FLAG | AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_PRIORITY_FLAG |
		     AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_EXPIRATION_FLAG |
		     AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_USER_ID_FLAG |
		     AMQP_BASIC_APP_ID_FLAG | AMQP_BASIC_CLUSTER_ID_FLAG;
	p->content_encoding = str("identity");
	p->headers = opt.headers;
	p->priority = 3;
	p->correlation_id = str("corr-77");
	p->reply_to = str("replies");
	p->expiration = str("600000");
	p->timestamp = 1700000001;
	p->type = str("driver.rich");
	p->user_id = str("guest");
	p->app_id = str("driver");
	p->cluster_id = str("old");
}

/* The body names its message, so that no two are alike, unless it is too short for that; --no-mid makes all
 * of one size alike. */
static amqp_bytes_t body_of(struct client *c, const char *mid, size_t size)
{
	uint32_t x = 2463534242u;
	size_t i = 0;

	if (c->body_cap < size + 64) {
		c->body_cap = size + 64;
		c->body = realloc(c->body, c->body_cap);
		if (!c->body)
			die("memory");
	}
	if (!opt.no_mid && size >= strlen(mid) + 1)
		i = (size_t)sprintf(c->body, "%s ", mid);
	for (; i < size; i++) {
		x ^= x << 13, x ^= x >> 17, x ^= x << 5;
		c->body[i] = (char)x;
	}
	return (amqp_bytes_t){size, c->body};
}

static void log_publish(struct client *c, int ch, const char *key, const char *mid,
	amqp_basic_properties_t *p, amqp_bytes_t body)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char raw[2048];
	char hex[sizeof(raw) * 2 + 1];
	int n = amqp_encode_properties(AMQP_BASIC_CLASS, p, (amqp_bytes_t){sizeof(raw), raw});

	if (n < 0)
		die("encoding properties");
	for (int i = 0; i < n; i++) {
		hex[2 * i] = digits[raw[i] >> 4];
		hex[2 * i + 1] = digits[raw[i] & 15];
	}
	hex[2 * n] = '\0';
	fprintf(c->log, "P\t%u\t%d\t%llu\t%s\t%s\t%s\t%s\t%zu\t%lu\t%d\n", c->port, ch,
		(unsigned long long)c->seq[ch], opt.exchange, key, opt.no_mid ? "" : mid, hex, body.len,
		crc32(0, body.bytes, (uInt)body.len), opt.mandatory);
}

static void publish(struct client *c)
{
	int ch = (int)(c->n % opt.channels) + 1;
	const char *key = opt.keys.n ? opt.keys.s[c->n % opt.keys.n] : "";
	size_t size = opt.sizes.n ? strtoul(opt.sizes.s[c->n % opt.sizes.n], NULL, 10) : 64;
	amqp_basic_properties_t p;
	amqp_bytes_t body;
	char mid[64];

	snprintf(mid, sizeof(mid), "%s-%d-%ld", opt.prefix, c->index, c->n);
	body = body_of(c, mid, size);
	properties(&p, mid);
	c->seq[ch]++;
	if (opt.log)
		log_publish(c, ch, key, mid, &p, body);
	if (amqp_basic_publish(
		    c->conn, (amqp_channel_t)ch, str(opt.exchange), str(key), opt.mandatory, 0, &p, body))
		die("publish");
	c->n++;
}

static void on_return(struct client *c, amqp_frame_t *f)
{
	amqp_basic_return_t *r = f->payload.method.decoded;
	char exchange[256], key[256], mid[256] = "";
	unsigned code = r->reply_code;
	amqp_message_t m;

	text(r->exchange, exchange, sizeof(exchange));
	text(r->routing_key, key, sizeof(key));
	check(amqp_read_message(c->conn, f->channel, &m, 0), "reading a returned message");
	if (m.properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG)
		text(m.properties.message_id, mid, sizeof(mid));
	fprintf(c->log, "R\t%u\t%d\t%u\t%s\t%s\t%s\n", c->port, f->channel, code, exchange, key, mid);
	amqp_destroy_message(&m);
}

static void on_confirm(struct client *c, int ch, uint64_t tag, bool multiple, bool ok)
{
	fprintf(c->log, "C\t%u\t%d\t%llu\t%d\t%d\n", c->port, ch, (unsigned long long)tag, multiple, ok);
	/* Confirms may come out of order, and `multiple` then covers some that were confirmed before. */
	for (uint64_t n = multiple ? c->low[ch] + 1 : tag; n <= tag; n++) {
		c->confirmed[ch] += !c->done[ch][n % MAX_WINDOW];
		c->done[ch][n % MAX_WINDOW] = true;
	}
	while (c->done[ch][(c->low[ch] + 1) % MAX_WINDOW])
		c->done[ch][++c->low[ch] % MAX_WINDOW] = false;
}

/* Takes what the broker sent, waiting at most @ms for the first frame. */
static bool take(struct client *c, long ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};
	amqp_frame_t f;
	int rc = amqp_simple_wait_frame_noblock(c->conn, &f, &tv);

	if (rc == AMQP_STATUS_TIMEOUT)
		return false;
	if (rc)
		die("waiting for the broker");
	if (f.frame_type != AMQP_FRAME_METHOD)
		return true;
	if (f.payload.method.id == AMQP_BASIC_ACK_METHOD) {
		amqp_basic_ack_t *a = f.payload.method.decoded;

		on_confirm(c, f.channel, a->delivery_tag, a->multiple, true);
	} else if (f.payload.method.id == AMQP_BASIC_NACK_METHOD) {
		amqp_basic_nack_t *a = f.payload.method.decoded;

		on_confirm(c, f.channel, a->delivery_tag, a->multiple, false);
	} else if (f.payload.method.id == AMQP_BASIC_RETURN_METHOD) {
		on_return(c, &f);
	} else if (f.payload.method.id == AMQP_CHANNEL_CLOSE_METHOD ||
		   f.payload.method.id == AMQP_CONNECTION_CLOSE_METHOD) {
		die("publishing: the broker closed");
	}
	amqp_maybe_release_buffers_on_channel(c->conn, f.channel);
	return true;
}

static uint64_t outstanding(const struct client *c)
{
	uint64_t n = 0;

	for (int ch = 1; ch <= opt.channels; ch++)
		n += c->seq[ch] - c->confirmed[ch];
	return n;
}

static void end_transaction(struct client *c, int ch, bool commit)
{
	if (commit)
		amqp_tx_commit(c->conn, (amqp_channel_t)ch);
	else
		amqp_tx_rollback(c->conn, (amqp_channel_t)ch);
	check(amqp_get_rpc_reply(c->conn), "ending a transaction");
	fprintf(c->log, "X\t%u\t%d\t%s\n", c->port, ch, commit ? "commit" : "rollback");
}

static void hold(struct client *c)
{
	char path[512];

	fprintf(c->log, "H\n");
	snprintf(path, sizeof(path), "%s/held.%d.%d", opt.hold, (int)getpid(), c->index);
	touch(path);
	snprintf(path, sizeof(path), "%s/go", opt.hold);
	while (access(path, F_OK))
		sleep_ms(10);
}

static void prepare_channels(struct client *c)
{
	for (int ch = 1; ch <= opt.channels; ch++) {
		if (opt.window) {
			c->done[ch] = calloc(MAX_WINDOW, sizeof(bool));
			if (!c->done[ch])
				die("memory");
			amqp_confirm_select(c->conn, (amqp_channel_t)ch);
			check(amqp_get_rpc_reply(c->conn), "confirm.select");
		} else if (opt.tx) {
			amqp_tx_select(c->conn, (amqp_channel_t)ch);
			check(amqp_get_rpc_reply(c->conn), "tx.select");
		}
	}
}

static void *publisher(void *arg)
{
	struct client *c = arg;
	int transactions = 0;

	client_open(c);
	if (c->index == 0)
		declare(c);
	prepare_channels(c);
	if (opt.ready && c->index == 0)
		touch(opt.ready);
	for (long i = 0; i < opt.messages; i++) {
		if (opt.hold && i == opt.warm)
			hold(c);
		publish(c);
		while (opt.window && outstanding(c) >= (uint64_t)opt.window)
			take(c, 1000);
		if (opt.mandatory && !opt.window)
			while (take(c, 0))
				;
		/* Every third transaction is undone. */
		if (opt.tx && (i + 1) % (opt.tx * opt.channels) == 0)
			for (int ch = 1; ch <= opt.channels; ch++)
				end_transaction(c, ch, ++transactions % 3);
	}
	while (opt.window && outstanding(c))
		take(c, 1000);
	if (opt.mandatory)
		while (take(c, 500))
			;
	client_close(c);
	return NULL;
}

/* --- consuming --- */

static void settle(struct client *c, int ch, uint64_t tag, bool multiple, const char *how)
{
	int rc;

	fprintf(c->log, "S\t%u\t%d\t%llu\t%d\t%s\n", c->port, ch, (unsigned long long)tag, multiple, how);
	if (*how == 'a')
		rc = amqp_basic_ack(c->conn, (amqp_channel_t)ch, tag, multiple);
	else
		rc = amqp_basic_nack(c->conn, (amqp_channel_t)ch, tag, multiple, how[2] == 'q');
	if (rc)
		die("settling");
}

static void ack_rest(struct client *c, int ch)
{
	if (!c->unacked[ch])
		return;
	settle(c, ch, c->last[ch], c->unacked[ch] > 1, "ack");
	atomic_fetch_add(&settled, c->unacked[ch]);
	c->unacked[ch] = 0;
}

static void log_delivery(struct client *c, int ch, uint64_t tag, const char *queue, bool redelivered,
	amqp_bytes_t exchange, amqp_bytes_t key, const amqp_message_t *m, bool pulled)
{
	char e[256], k[256], mid[256] = "";

	if (m->properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG)
		text(m->properties.message_id, mid, sizeof(mid));
	fprintf(c->log, "D\t%u\t%d\t%llu\t%s\t%d\t%s\t%s\t%s\t%zu\t%lu\t%d\n", c->port, ch,
		(unsigned long long)tag, queue, redelivered, text(exchange, e, sizeof(e)),
		text(key, k, sizeof(k)), mid, m->body.len, crc32(0, m->body.bytes, (uInt)m->body.len),
		pulled);
}

/* What to do with a delivery: every --requeue-every'th message goes back once, every --reject-every'th is
 * refused. */
static void answer(struct client *c, int ch, uint64_t tag, bool redelivered)
{
	static atomic_long count;
	long n = atomic_fetch_add(&count, 1), none = 0;

	if (opt.time) {
		last_ns = now_ns();
		atomic_compare_exchange_strong(&first_ns, &none, last_ns);
	}

	if (opt.no_ack) {
		fprintf(c->log, "S\t%u\t%d\t%llu\t0\tauto\n", c->port, ch, (unsigned long long)tag);
		atomic_fetch_add(&settled, 1);
		return;
	}
	if (opt.requeue_every && !redelivered && n % opt.requeue_every == 0) {
		settle(c, ch, tag, false, "requeue");
		return;
	}
	if (opt.reject_every && n % opt.reject_every == 1) {
		settle(c, ch, tag, false, "reject");
		atomic_fetch_add(&settled, 1);
		return;
	}
	c->last[ch] = tag;
	if (++c->unacked[ch] >= opt.multiple)
		ack_rest(c, ch);
}

static void subscribe(struct client *c)
{
	for (int ch = 1; ch <= opt.channels; ch++) {
		const char *queue = opt.queues.s[(c->index * opt.channels + ch - 1) % opt.queues.n];
		char tag[16];

		if (opt.prefetch) {
			amqp_basic_qos(c->conn, (amqp_channel_t)ch, 0, (uint16_t)opt.prefetch, 0);
			check(amqp_get_rpc_reply(c->conn), "basic.qos");
		}
		snprintf(tag, sizeof(tag), "c%d", ch);
		amqp_basic_consume(c->conn, (amqp_channel_t)ch, str(queue), str(tag), 0, opt.no_ack, 0,
			amqp_empty_table);
		check(amqp_get_rpc_reply(c->conn), "basic.consume");
	}
}

static bool pull(struct client *c, int ch)
{
	const char *queue = opt.queues.s[(c->index * opt.channels + ch - 1) % opt.queues.n];
	amqp_rpc_reply_t r = amqp_basic_get(c->conn, (amqp_channel_t)ch, str(queue), opt.no_ack);
	amqp_basic_get_ok_t *ok = r.reply.decoded;
	char exchange[256], key[256];
	amqp_message_t m;
	uint64_t tag;
	bool again;

	check(r, "basic.get");
	if (r.reply.id != AMQP_BASIC_GET_OK_METHOD)
		return false;
	tag = ok->delivery_tag;
	again = ok->redelivered;
	text(ok->exchange, exchange, sizeof(exchange));
	text(ok->routing_key, key, sizeof(key));
	check(amqp_read_message(c->conn, (amqp_channel_t)ch, &m, 0), "reading a message");
	log_delivery(c, ch, tag, queue, again, str(exchange), str(key), &m, true);
	amqp_destroy_message(&m);
	answer(c, ch, tag, again);
	return true;
}

/* Waits for one delivery; at rest, what is left of a batch is acked. */
static void receive(struct client *c)
{
	struct timeval tv = {0, 200000};
	amqp_envelope_t e;
	amqp_rpc_reply_t r;
	const char *queue;

	amqp_maybe_release_buffers(c->conn);
	r = amqp_consume_message(c->conn, &e, &tv, 0);
	if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && r.library_error == AMQP_STATUS_TIMEOUT) {
		for (int ch = 1; ch <= opt.channels; ch++)
			ack_rest(c, ch);
		fflush(c->log);
		return;
	}
	check(r, "waiting for a message");
	queue = opt.queues.s[(c->index * opt.channels + e.channel - 1) % opt.queues.n];
	if (opt.log)
		log_delivery(c, e.channel, e.delivery_tag, queue, e.redelivered, e.exchange, e.routing_key,
			&e.message, false);
	answer(c, e.channel, e.delivery_tag, e.redelivered);
	amqp_destroy_envelope(&e);
}

static void *consumer(void *arg)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int subscribed;
	struct client *c = arg;

	client_open(c);
	declare(c);
	if (!opt.get)
		subscribe(c);
	pthread_mutex_lock(&lock);
	if (++subscribed == opt.connections && opt.ready)
		touch(opt.ready);
	pthread_mutex_unlock(&lock);
	while (atomic_load(&settled) < opt.total) {
		if (!opt.get) {
			receive(c);
			continue;
		}
		for (int ch = 1; ch <= opt.channels; ch++)
			if (!pull(c, ch)) {
				ack_rest(c, ch);
				sleep_ms(5);
			}
	}
	for (int ch = 1; ch <= opt.channels; ch++)
		ack_rest(c, ch);
	/* --leave: vanish as a killed program does, without a word to the broker. */
	if (opt.leave) {
		fflush(c->log);
		return NULL;
	}
	client_close(c);
	return NULL;
}

/* --- the command line --- */

/* --name VALUE, or --name alone for a switch; texts and lists stay where argv has them. */
static const struct {
	const char *name;
	enum { TEXT, LIST, INT, LONG, SWITCH } type;
	void *to;
} knobs[] = {{"--url", TEXT, &opt.url}, {"--log", TEXT, &opt.log}, {"--exchange", TEXT, &opt.exchange},
	{"--ready", TEXT, &opt.ready}, {"--hold", TEXT, &opt.hold}, {"--prefix", TEXT, &opt.prefix},
	{"--keys", LIST, &opt.keys}, {"--queues", LIST, &opt.queues}, {"--binds", LIST, &opt.binds},
	{"--sizes", LIST, &opt.sizes}, {"--connections", INT, &opt.connections},
	{"--channels", INT, &opt.channels}, {"--warm", INT, &opt.warm}, {"--confirm", INT, &opt.window},
	{"--tx", INT, &opt.tx}, {"--prefetch", INT, &opt.prefetch}, {"--multiple", INT, &opt.multiple},
	{"--requeue-every", INT, &opt.requeue_every}, {"--reject-every", INT, &opt.reject_every},
	{"--messages", LONG, &opt.messages}, {"--total", LONG, &opt.total},
	{"--mandatory", SWITCH, &opt.mandatory}, {"--rich", SWITCH, &opt.rich},
	{"--no-mid", SWITCH, &opt.no_mid}, {"--no-ack", SWITCH, &opt.no_ack}, {"--get", SWITCH, &opt.get},
	{"--leave", SWITCH, &opt.leave}, {"--time", SWITCH, &opt.time}};

static void usage(const char *word)
{
	fprintf(stderr, "driver: what is \"%s\"?\nusage: driver pub|sub [--NAME [VALUE]]...; names:", word);
	for (size_t i = 0; i < sizeof(knobs) / sizeof(knobs[0]); i++)
		fprintf(stderr, " %s", knobs[i].name);
	fputs("\n", stderr);
	exit(2);
}

static void options(char **argv)
{
	while (*argv) {
		const char *name = *argv++;
		size_t i = 0;

		while (i < sizeof(knobs) / sizeof(knobs[0]) && strcmp(knobs[i].name, name))
			i++;
		if (i == sizeof(knobs) / sizeof(knobs[0]) || (knobs[i].type != SWITCH && !*argv))
			usage(name);
		switch (knobs[i].type) {
		case TEXT:
			*(char **)knobs[i].to = *argv++;
			break;
		case LIST:
			split(knobs[i].to, *argv++);
			break;
		case INT:
			*(int *)knobs[i].to = atoi(*argv++);
			break;
		case LONG:
			*(long *)knobs[i].to = atol(*argv++);
			break;
		case SWITCH:
			*(bool *)knobs[i].to = true;
			break;
		}
	}
}

int main(int argc, char **argv)
{
	pthread_t threads[MAX_LIST];
	struct client *clients;
	void *(*run)(void *);

	if (argc < 2 || (strcmp(argv[1], "pub") && strcmp(argv[1], "sub")))
		usage(argc < 2 ? "" : argv[1]);
	run = *argv[1] == 'p' ? publisher : consumer;
	opt.url = getenv("AMQP_URL");
	options(argv + 2);
	opt.headers = rich_headers();
	if (opt.connections < 1 || opt.connections > MAX_LIST || opt.channels < 1 ||
		opt.channels > MAX_CHANNELS || (run == consumer && !opt.queues.n) ||
		opt.window >= MAX_WINDOW) {
		fputs("driver: --connections and --channels are 1 to 64, --confirm below 8192; sub needs "
		      "--queues\n",
			stderr);
		return 2;
	}
	alarm(DEADLINE_S);
	clients = calloc((size_t)opt.connections, sizeof(*clients));
	if (!clients)
		die("memory");
	for (int i = 0; i < opt.connections; i++) {
		clients[i].index = i;
		if (pthread_create(&threads[i], NULL, run, &clients[i]))
			die("pthread_create");
	}
	for (int i = 0; i < opt.connections; i++)
		pthread_join(threads[i], NULL);
	free(clients);
	if (opt.time && run == consumer)
		printf("%ld messages in %.6f s\n", settled, (double)(last_ns - first_ns) / 1e9);
	return 0;
}
