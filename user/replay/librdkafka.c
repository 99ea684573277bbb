/*
 * Sends Kafka records through librdkafka, loaded with dlopen() when the first is sent: idempotent, acks=all,
 * one at a time with its delivery report awaited, so that the order within a partition is the order of
 * sending.
 *
 * Key, headers and value are the recorded bytes. The timestamp is that of the replay: consumers take it for
 * the time at which the record came into the topic, and brokers keep and delete by it.
 */
#include "replay/replayer.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/timefmt.h"
#include "proto/pairs.h"

#define LIBRARY "librdkafka.so.1"

#define FUNCTIONS(X)                                                                                         \
	X(rd_kafka_conf_new)                                                                                 \
	X(rd_kafka_conf_destroy)                                                                             \
	X(rd_kafka_conf_set)                                                                                 \
	X(rd_kafka_conf_set_opaque)                                                                          \
	X(rd_kafka_conf_set_dr_msg_cb)                                                                       \
	X(rd_kafka_conf_set_error_cb)                                                                        \
	X(rd_kafka_conf_set_log_cb)                                                                          \
	X(rd_kafka_new)                                                                                      \
	X(rd_kafka_destroy_flags)                                                                            \
	X(rd_kafka_metadata)                                                                                 \
	X(rd_kafka_metadata_destroy)                                                                         \
	X(rd_kafka_headers_new)                                                                              \
	X(rd_kafka_headers_destroy)                                                                          \
	X(rd_kafka_header_add)                                                                               \
	X(rd_kafka_produceva)                                                                                \
	X(rd_kafka_poll)                                                                                     \
	X(rd_kafka_message_status)                                                                           \
	X(rd_kafka_err2str)                                                                                  \
	X(rd_kafka_error_string)                                                                             \
	X(rd_kafka_error_destroy)

struct lib {
	FUNCTIONS(LIBRARY_MEMBER)
};

static const struct library_symbol symbols[] = {FUNCTIONS(LIBRARY_SYMBOL)};

const struct replayer replayer_librdkafka;

/* Of the record that is under way. */
struct report {
	bool done;
	rd_kafka_resp_err_t err;
	rd_kafka_msg_status_t status;
	int32_t partition;
	int64_t offset;
};

struct client {
	struct lib lib;
	rd_kafka_t *rk;
	const struct rd_kafka_metadata *metadata;
	int timeout_ms;
	struct report report;
	bool auth_failed;
	char last[300]; /* what the library last complained of */
};

/* --- pure --- */

static bool decimal(struct span s, int64_t max, int64_t *ret)
{
	int64_t v = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || v > max)
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	*ret = v;
	return s.n > 0 && v <= max;
}

/* Spring writes four bytes, Connect and Streams digits. No topic has so many partitions that both could be
 * meant. */
static bool partition_of(struct span s, int64_t *ret)
{
	if (decimal(s, INT32_MAX, ret))
		return true;
	if (s.n != 4 || s.p[0] & 0x80)
		return false;
	*ret = (int64_t)s.p[0] << 24 | s.p[1] << 16 | s.p[2] << 8 | s.p[3];
	return true;
}

/*
 * Pairs of topic and partition, the first hop's first. Spring's retry topics add the name without dlt- at
 * each hop and append to what is there: the first of them is where it began. What went to a dead-letter topic
 * without a retry has the other name.
 */
static const char *const origins[][2] = {
	{"kafka_original-topic", "kafka_original-partition"},
	{"kafka_dlt-original-topic", "kafka_dlt-original-partition"},
	{"__connect.errors.topic", "__connect.errors.partition"},
	{"__streams.errors.topic", "__streams.errors.partition"},
};

static int origin(struct span envelope, struct buf *ret_exchange, struct buf *ret_routing_key)
{
	struct span rest = envelope;
	struct pair topic, partition;
	int64_t n;

	while (pairs_next(&rest, &topic))
		;
	if (rest.n)
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
		if (!pairs_find(envelope, true, span_str(origins[i][0]), &topic) || !topic.value.n)
			continue;
		buf_clear(ret_exchange);
		buf_clear(ret_routing_key);
		buf_put_span(ret_exchange, topic.value);
		if (pairs_find(envelope, true, span_str(origins[i][1]), &partition) &&
			partition_of(partition.value, &n))
			buf_printf(ret_routing_key, "%lld", (long long)n);
		return 1;
	}
	return 0;
}

static const char *const families[] = {"kafka_dlt-", "kafka_original-", "kafka_exception-",
	"kafka_key-exception-", "retry_topic-", "__connect.errors.", "__streams.errors.", NULL};

static bool drop(struct span header)
{
	for (size_t i = 0; families[i]; i++)
		if (span_starts(header, families[i]))
			return true;
	return span_is(header, "kafka_deliveryAttempt");
}

static int envelope_to_send(struct span envelope, struct span mark, struct buf *ret,
	void (*dropped)(void *ctx, struct span name), void *ctx)
{
	return replay_pairs(envelope, drop, mark, ret, dropped, ctx);
}

/* A topic's name has no slash. */
static int parse_to(const char *text, enum dest dest, struct buf *ret_exchange, struct buf *ret_key)
{
	const char *slash = strchr(text, '/');
	int64_t n;

	(void)dest;
	if (!*text || slash == text || (slash && !decimal(span_str(slash + 1), INT32_MAX, &n)))
		return -EINVAL;
	buf_put(ret_exchange, text, slash ? (size_t)(slash - text) : strlen(text));
	if (slash)
		buf_puts(ret_key, slash + 1);
	return 0;
}

static void words(const struct replay_place *p, struct buf *out)
{
	buf_printf(out, "topic " SPAN_FMT, SPAN_ARG(p->exchange));
	if (p->routing_key.n)
		buf_printf(out, ", partition " SPAN_FMT, SPAN_ARG(p->routing_key));
	else
		buf_puts(out, ", the partition of its key");
}

static const char *unfit(const struct replay_place *p, struct span envelope, struct span body)
{
	struct pair key;
	int64_t n;

	(void)body;
	if (!p->exchange.n)
		return "its topic is not known (only its id was seen): name one with --to";
	if (p->routing_key.n && !decimal(p->routing_key, INT32_MAX, &n))
		return "its partition cannot be read: name one with --to TOPIC/PARTITION";
	while (pairs_next(&envelope, &key))
		if (key.header && memchr(key.name.p, 0, key.name.n))
			return "a header's name holds a zero byte, which librdkafka cannot send";
	return NULL;
}

static void caution(const struct replay_place *p, struct span envelope, const struct replay_notes *notes)
{
	struct pair key;

	(void)p;
	if (pairs_find(envelope, false, SPAN_LIT("tombstone"), &key))
		notes->say(notes->ctx, "it has no value: in a compacted topic it deletes its key");
}

/* --- the connection --- */

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct client *c = opaque;

	(void)rk;
	c->report = (struct report){true, m->err, c->lib.rd_kafka_message_status(m), m->partition, m->offset};
}

/* "HOST:PORT/bootstrap: Connect to ... failed: Connection refused (after 0ms in state CONNECT)": what is in
 * the middle. */
static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	static const char name[] = "/bootstrap: ";
	struct client *c = opaque;
	const char *p = strstr(reason, name), *end;

	(void)rk;
	c->auth_failed |= err == RD_KAFKA_RESP_ERR__AUTHENTICATION;
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && *c->last)
		return;
	p = p ? p + sizeof(name) - 1 : reason;
	end = strstr(p, " (after ");
	snprintf(c->last, sizeof(c->last), "%.*s", end ? (int)(end - p) : (int)strlen(p), p);
}

static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
	(void)rk;
	(void)level;
	(void)fac;
	(void)text; /* its errors come through on_error() */
}

static void client_close(void *p)
{
	struct client *c = p;

	if (!c)
		return;
	if (c->metadata)
		c->lib.rd_kafka_metadata_destroy(c->metadata);
	if (c->rk)
		c->lib.rd_kafka_destroy_flags(c->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	free(c);
}

struct setting {
	const char *name, *value;
};

static int set_all(struct client *c, rd_kafka_conf_t *conf, const struct setting *s, struct err *e)
{
	char why[256];

	for (; s->name; s++)
		if (*s->value && c->lib.rd_kafka_conf_set(conf, s->name, s->value, why, sizeof(why)) !=
					 RD_KAFKA_CONF_OK)
			return err_set(e, -EINVAL, "librdkafka: %s", why);
	return 0;
}

static int configure(struct client *c, rd_kafka_conf_t *conf, const struct replay_broker *b, struct err *e)
{
	const struct credentials *l = b->login;
	bool v6 = strchr(b->host, ':') != NULL, sasl = *l->user;
	char servers[300], timeout[24];
	const struct setting settings[] = {{"bootstrap.servers", servers}, {"client.id", "evtrace-replay"},
		{"enable.idempotence", "true"}, {"acks", "all"}, {"linger.ms", "0"},
		{"message.timeout.ms", timeout},
		{"message.max.bytes", "1000000000"}, /* the broker's own limit is the one that counts */
		/* as Java's clients spread keys */
		{"partitioner", "murmur2_random"},
		{"security.protocol", l->tls ? sasl ? "sasl_ssl" : "ssl"
				      : sasl ? "sasl_plaintext"
					     : "plaintext"},
		{"sasl.mechanism", !sasl           ? ""
				   : *l->mechanism ? l->mechanism
						   : "PLAIN"},
		{"sasl.username", l->user}, {"sasl.password", l->password},
		{"ssl.ca.location", l->tls ? l->ca : ""}, {NULL, NULL}};

	snprintf(servers, sizeof(servers), v6 ? "[%s]:%d" : "%s:%d", b->host, b->port);
	snprintf(timeout, sizeof(timeout), "%d", b->timeout_ms);
	c->lib.rd_kafka_conf_set_opaque(conf, c);
	c->lib.rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	c->lib.rd_kafka_conf_set_error_cb(conf, on_error);
	c->lib.rd_kafka_conf_set_log_cb(conf, on_log);
	return set_all(c, conf, settings, e);
}

/*
 * All topics are asked for: to ask for one would create it where the broker creates topics by itself. In
 * turns, so that a refused login is told at once.
 */
static int ask_topics(struct client *c, const struct replay_broker *b, struct err *e)
{
	int64_t end = (int64_t)now_mono_ns() + b->timeout_ms * NS_PER_MS;
	rd_kafka_resp_err_t err;

	do {
		err = c->lib.rd_kafka_metadata(c->rk, 1, NULL, &c->metadata, 500);
		c->lib.rd_kafka_poll(c->rk, 0);
	} while (err && !c->auth_failed && (int64_t)now_mono_ns() < end && !strstr(c->last, "refused"));
	if (!err)
		return 0;
	c->metadata = NULL;
	if (c->auth_failed)
		return err_set(e, -EACCES, "the broker at %s:%d refused %s: %.250s", b->host, b->port,
			*b->login->user ? b->login->user : "a connection without a login", c->last);
	err_set(e, -ECONNREFUSED, "cannot connect to the broker at %s:%d: %.250s", b->host, b->port,
		*c->last ? c->last : c->lib.rd_kafka_err2str(err));
	err_hint(e, "another address is named with --broker HOST:PORT");
	return -ECONNREFUSED;
}

static int client_open(const struct replay_broker *b, void **ret, struct err *e)
{
	struct client *c = calloc(1, sizeof(*c));
	rd_kafka_conf_t *conf;
	char why[256];
	int err;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->timeout_ms = b->timeout_ms;
	err = login_usable(b->login, "librdkafka", LOGIN_MECHANISM | LOGIN_TLS, e);
	if (!err)
		err = library_load(&replayer_librdkafka, symbols, ARRAY_LEN(symbols), &c->lib, e);
	if (err)
		goto out;
	conf = c->lib.rd_kafka_conf_new();
	err = configure(c, conf, b, e);
	if (!err) {
		c->rk = c->lib.rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
		if (!c->rk)
			err = err_set(e, -EINVAL, "librdkafka: %s", why);
	}
	if (!c->rk) /* else it owns the configuration */
		c->lib.rd_kafka_conf_destroy(conf);
	if (!err)
		err = ask_topics(c, b, e);
	if (err)
		goto out;
	*ret = c;
	return 0;
out:
	client_close(c);
	return err;
}

/* --- sending --- */

static const struct rd_kafka_metadata_topic *find_topic(const struct client *c, struct span name)
{
	for (int i = 0; i < c->metadata->topic_cnt; i++)
		if (span_is(name, c->metadata->topics[i].topic))
			return &c->metadata->topics[i];
	return NULL;
}

/* Both before anything is sent: REPLAY_RETURNED and what is not there. */
static bool place_is_there(
	const struct client *c, const struct replay_place *p, int32_t *ret_partition, struct err *e)
{
	const struct rd_kafka_metadata_topic *t = find_topic(c, p->exchange);
	int64_t n = RD_KAFKA_PARTITION_UA;

	if (!t) {
		err_set(e, -EHOSTUNREACH, "there is no topic " SPAN_FMT, SPAN_ARG(p->exchange));
		err_hint(e, "--to TOPIC names another; a topic is not created by a replay");
		return false;
	}
	if (p->routing_key.n && (!decimal(p->routing_key, INT32_MAX, &n) || n >= t->partition_cnt)) {
		err_set(e, -EHOSTUNREACH,
			"topic " SPAN_FMT " has %d partitions, and none of number " SPAN_FMT,
			SPAN_ARG(p->exchange), t->partition_cnt, SPAN_ARG(p->routing_key));
		err_hint(e, "--to " SPAN_FMT " lets its key choose", SPAN_ARG(p->exchange));
		return false;
	}
	*ret_partition = (int32_t)n;
	return true;
}

static rd_kafka_headers_t *headers_of(struct client *c, struct span envelope)
{
	rd_kafka_headers_t *h = c->lib.rd_kafka_headers_new(8);
	struct pair p;

	while (h && pairs_next(&envelope, &p)) {
		bool null = p.type == FIELD_NULL;

		if (p.header && c->lib.rd_kafka_header_add(h, p.name.n ? (const char *)p.name.p : "",
					(ssize_t)p.name.n,
					null        ? NULL
					: p.value.n ? (const void *)p.value.p
						    : "",
					(ssize_t)p.value.n)) {
			c->lib.rd_kafka_headers_destroy(h);
			return NULL;
		}
	}
	return h;
}

/* A pointer stands for "there is one", whatever its size: no key and an empty key are two things. */
static void set_bytes(rd_kafka_vu_t *v, rd_kafka_vtype_t type, bool is, struct span s)
{
	v->vtype = type;
	v->u.mem.ptr = is ? (void *)(uintptr_t)(s.n ? (const void *)s.p : "") : NULL;
	v->u.mem.size = is ? s.n : 0;
}

/* The library owns nothing of ours when it says no. */
static bool produce(struct client *c, const struct replay_message *m, int32_t partition, struct err *e)
{
	rd_kafka_headers_t *headers = headers_of(c, m->envelope);
	struct pair key, none;
	bool has_key = pairs_find(m->envelope, false, SPAN_LIT("key"), &key) && key.type != FIELD_NULL;
	bool null = pairs_find(m->envelope, false, SPAN_LIT("tombstone"), &none);
	rd_kafka_vu_t v[6] = {0};
	struct buf topic = {0};
	rd_kafka_error_t *err;

	buf_put_span(&topic, m->place.exchange);
	if (!headers || !*buf_cstr(&topic)) {
		if (headers)
			c->lib.rd_kafka_headers_destroy(headers);
		buf_free(&topic);
		err_set(e, -ENOMEM, "out of memory");
		return false;
	}
	v[0].vtype = RD_KAFKA_VTYPE_TOPIC;
	v[0].u.cstr = buf_cstr(&topic);
	v[1].vtype = RD_KAFKA_VTYPE_PARTITION;
	v[1].u.i32 = partition;
	v[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
	v[2].u.i = RD_KAFKA_MSG_F_COPY;
	set_bytes(&v[3], RD_KAFKA_VTYPE_KEY, has_key, has_key ? key.value : SPAN_EMPTY);
	set_bytes(&v[4], RD_KAFKA_VTYPE_VALUE, !null, m->body);
	v[5].vtype = RD_KAFKA_VTYPE_HEADERS;
	v[5].u.headers = headers;
	c->report = (struct report){0};
	c->last[0] = '\0';
	err = c->lib.rd_kafka_produceva(c->rk, v, ARRAY_LEN(v));
	buf_free(&topic);
	if (!err)
		return true;
	err_set(e, -EIO, "librdkafka does not take it: %.300s", c->lib.rd_kafka_error_string(err));
	c->lib.rd_kafka_error_destroy(err);
	c->lib.rd_kafka_headers_destroy(headers);
	return false;
}

static enum replay_outcome judge_report(
	struct client *c, const struct replay_message *m, struct replay_receipt *ret, struct err *e)
{
	const struct report *r = &c->report;
	const char *why = c->lib.rd_kafka_err2str(r->err);

	if (!r->err) {
		snprintf(ret->log, sizeof(ret->log), SPAN_FMT "-%d", SPAN_ARG(m->place.exchange),
			r->partition);
		snprintf(ret->mid, sizeof(ret->mid), "%lld", (long long)r->offset);
		return REPLAY_CONFIRMED;
	}
	if (r->status == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED) {
		err_set(e, -EIO, "no confirmation: %s%s%.250s", why, *c->last ? ": " : "", c->last);
		return REPLAY_UNKNOWN;
	}
	/* Numbers above zero are the broker's, those below the library's own. */
	if (r->err > 0) {
		err_set(e, -EACCES, "the broker refused it: %s", why);
		return REPLAY_REFUSED;
	}
	err_set(e, -EIO, "it could not be sent: %s%s%.250s", why, *c->last ? ": " : "", c->last);
	return REPLAY_FAILED;
}

static enum replay_outcome client_send(
	void *p, const struct replay_message *m, struct replay_receipt *ret, struct err *e)
{
	struct client *c = p;
	/* The library reports by itself when message.timeout.ms is over. */
	int64_t end = (int64_t)now_mono_ns() + (c->timeout_ms + 5000) * NS_PER_MS;
	int32_t partition;

	if (!place_is_there(c, &m->place, &partition, e))
		return REPLAY_RETURNED;
	if (!produce(c, m, partition, e))
		return REPLAY_FAILED;
	while (!c->report.done) {
		if ((int64_t)now_mono_ns() > end) {
			err_set(e, -ETIMEDOUT, "no confirmation within %d s", c->timeout_ms / 1000);
			return REPLAY_UNKNOWN;
		}
		c->lib.rd_kafka_poll(c->rk, 100);
	}
	return judge_report(c, m, ret, e);
}

const struct replayer replayer_librdkafka = {
	.proto = PROTO_KAFKA,
	.library = LIBRARY,
	.package = "librdkafka1",
	.port = 9092,
	.to_form = "TOPIC or TOPIC/PARTITION",
	.origin_word = "dead-letter-headers",
	.families = families,
	.marks = true,
	.parse_to = parse_to,
	.words = words,
	.unfit = unfit,
	.caution = caution,
	.origin = origin,
	.envelope = envelope_to_send,
	.open = client_open,
	.send = client_send,
	.close = client_close,
};
