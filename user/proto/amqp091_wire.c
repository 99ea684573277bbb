#include "proto/amqp091_wire.h"

#include <errno.h>

#include "base/rd.h"
#include "proto/amqp091.h"

#define C_ BY_CLIENT
#define S_ BY_SERVER
#define B_ (BY_CLIENT | BY_SERVER)

/* Ascending by id. Names of arguments are in amqp091_wire.h where we use them. */
static const struct method_def methods[] = {
	{CONNECTION_START, S_ | IS_CONNECTION, -1, "ooFSS", 0, "connection.start"},
	{CONNECTION_START_OK, C_ | IS_CONNECTION, -1, "FsSs", 0, "connection.start-ok"},
	{CONNECTION_SECURE, S_ | IS_CONNECTION, -1, "S", 0, "connection.secure"},
	{CONNECTION_SECURE_OK, C_ | IS_CONNECTION, -1, "S", 0, "connection.secure-ok"},
	{CONNECTION_TUNE, S_ | IS_CONNECTION, -1, "hlh", 0, "connection.tune"},
	{CONNECTION_TUNE_OK, C_ | IS_CONNECTION, -1, "hlh", 0, "connection.tune-ok"},
	{CONNECTION_OPEN, C_ | IS_CONNECTION, -1, "ssb", 0, "connection.open"},
	{CONNECTION_OPEN_OK, S_ | IS_CONNECTION, -1, "s", 0, "connection.open-ok"},
	{CONNECTION_CLOSE, B_ | IS_CONNECTION, -1, "hshh", 0, "connection.close"},
	{CONNECTION_CLOSE_OK, B_ | IS_CONNECTION, -1, "", 0, "connection.close-ok"},
	{CONNECTION_BLOCKED, S_ | IS_CONNECTION, -1, "s", 0, "connection.blocked"},
	{CONNECTION_UNBLOCKED, S_ | IS_CONNECTION, -1, "", 0, "connection.unblocked"},
	{CONNECTION_UPDATE_SECRET, C_ | IS_CONNECTION, -1, "Ss", 0, "connection.update-secret"},
	{CONNECTION_UPDATE_SECRET_OK, S_ | IS_CONNECTION, -1, "", 0, "connection.update-secret-ok"},
	{CHANNEL_OPEN, C_, -1, "s", 0, "channel.open"},
	{CHANNEL_OPEN_OK, S_, -1, "S", 0, "channel.open-ok"},
	{CHANNEL_FLOW, B_, -1, "b", 0, "channel.flow"},
	{CHANNEL_FLOW_OK, B_, -1, "b", 0, "channel.flow-ok"},
	{CHANNEL_CLOSE, B_, -1, "hshh", 0, "channel.close"},
	{CHANNEL_CLOSE_OK, B_, -1, "", 0, "channel.close-ok"},
	{ACCESS_REQUEST, C_ | IS_REQUEST, -1, "sbbbbb", ACCESS_REQUEST_OK, "access.request"},
	{ACCESS_REQUEST_OK, S_, -1, "h", 0, "access.request-ok"},
	{EXCHANGE_DECLARE, C_ | IS_REQUEST, 7, "hssbbbbbF", EXCHANGE_DECLARE_OK, "exchange.declare"},
	{EXCHANGE_DECLARE_OK, S_, -1, "", 0, "exchange.declare-ok"},
	{EXCHANGE_DELETE, C_ | IS_REQUEST, 3, "hsbb", EXCHANGE_DELETE_OK, "exchange.delete"},
	{EXCHANGE_DELETE_OK, S_, -1, "", 0, "exchange.delete-ok"},
	{EXCHANGE_BIND, C_ | IS_REQUEST, 4, "hsssbF", EXCHANGE_BIND_OK, "exchange.bind"},
	{EXCHANGE_BIND_OK, S_, -1, "", 0, "exchange.bind-ok"},
	{EXCHANGE_UNBIND, C_ | IS_REQUEST, 4, "hsssbF", EXCHANGE_UNBIND_OK, "exchange.unbind"},
	{EXCHANGE_UNBIND_OK, S_, -1, "", 0, "exchange.unbind-ok"},
	{QUEUE_DECLARE, C_ | IS_REQUEST, 6, "hsbbbbbF", QUEUE_DECLARE_OK, "queue.declare"},
	{QUEUE_DECLARE_OK, S_, -1, "sll", 0, "queue.declare-ok"},
	{QUEUE_BIND, C_ | IS_REQUEST, 4, "hsssbF", QUEUE_BIND_OK, "queue.bind"},
	{QUEUE_BIND_OK, S_, -1, "", 0, "queue.bind-ok"},
	{QUEUE_PURGE, C_ | IS_REQUEST, 2, "hsb", QUEUE_PURGE_OK, "queue.purge"},
	{QUEUE_PURGE_OK, S_, -1, "l", 0, "queue.purge-ok"},
	{QUEUE_DELETE, C_ | IS_REQUEST, 4, "hsbbb", QUEUE_DELETE_OK, "queue.delete"},
	{QUEUE_DELETE_OK, S_, -1, "l", 0, "queue.delete-ok"},
	{QUEUE_UNBIND, C_ | IS_REQUEST, -1, "hsssF", QUEUE_UNBIND_OK, "queue.unbind"},
	{QUEUE_UNBIND_OK, S_, -1, "", 0, "queue.unbind-ok"},
	{BASIC_QOS, C_ | IS_REQUEST, -1, "lhb", BASIC_QOS_OK, "basic.qos"},
	{BASIC_QOS_OK, S_, -1, "", 0, "basic.qos-ok"},
	{BASIC_CONSUME, C_ | IS_REQUEST, 6, "hssbbbbF", BASIC_CONSUME_OK, "basic.consume"},
	{BASIC_CONSUME_OK, S_, -1, "s", 0, "basic.consume-ok"},
	/* The server's own cancel is RabbitMQ's consumer_cancel_notify. */
	{BASIC_CANCEL, B_ | IS_REQUEST, 1, "sb", BASIC_CANCEL_OK, "basic.cancel"},
	{BASIC_CANCEL_OK, B_, -1, "s", 0, "basic.cancel-ok"},
	{BASIC_PUBLISH, C_ | HAS_CONTENT, -1, "hssbb", 0, "basic.publish"},
	{BASIC_RETURN, S_ | HAS_CONTENT, -1, "hsss", 0, "basic.return"},
	{BASIC_DELIVER, S_ | HAS_CONTENT, -1, "sLbss", 0, "basic.deliver"},
	{BASIC_GET, C_ | IS_REQUEST, -1, "hsb", BASIC_GET_OK, "basic.get"},
	{BASIC_GET_OK, S_ | HAS_CONTENT, -1, "Lbssl", 0, "basic.get-ok"},
	{BASIC_GET_EMPTY, S_, -1, "s", 0, "basic.get-empty"},
	/* The server's ack and nack are publisher confirms. */
	{BASIC_ACK, B_, -1, "Lb", 0, "basic.ack"},
	{BASIC_REJECT, C_, -1, "Lb", 0, "basic.reject"},
	{BASIC_RECOVER_ASYNC, C_, -1, "b", 0, "basic.recover-async"},
	{BASIC_RECOVER, C_ | IS_REQUEST, -1, "b", BASIC_RECOVER_OK, "basic.recover"},
	{BASIC_RECOVER_OK, S_, -1, "", 0, "basic.recover-ok"},
	{BASIC_NACK, B_, -1, "Lbb", 0, "basic.nack"},
	{CONFIRM_SELECT, C_ | IS_REQUEST, 0, "b", CONFIRM_SELECT_OK, "confirm.select"},
	{CONFIRM_SELECT_OK, S_, -1, "", 0, "confirm.select-ok"},
	{TX_SELECT, C_ | IS_REQUEST, -1, "", TX_SELECT_OK, "tx.select"},
	{TX_SELECT_OK, S_, -1, "", 0, "tx.select-ok"},
	{TX_COMMIT, C_ | IS_REQUEST, -1, "", TX_COMMIT_OK, "tx.commit"},
	{TX_COMMIT_OK, S_, -1, "", 0, "tx.commit-ok"},
	{TX_ROLLBACK, C_ | IS_REQUEST, -1, "", TX_ROLLBACK_OK, "tx.rollback"},
	{TX_ROLLBACK_OK, S_, -1, "", 0, "tx.rollback-ok"},
};

static const struct method_def *method_find(uint32_t id)
{
	size_t lo = 0, hi = ARRAY_LEN(methods);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (methods[mid].id == id)
			return &methods[mid];
		if (methods[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

int amqp_method_parse(struct span payload, struct method *ret)
{
	struct rd r = rd_of(payload);
	unsigned bit = 8, bits = 0;

	ret->def = method_find(rd_u32(&r));
	if (!ret->def)
		return -EBADMSG;
	for (size_t i = 0; ret->def->args[i]; i++) {
		struct method_arg *a = &ret->a[i];
		char kind = ret->def->args[i];

		*a = (struct method_arg){0};
		if (kind == 'b') {
			/* 4.2.5.2: consecutive bits are packed into octets from the low bit. */
			if (bit == 8) {
				bits = rd_u8(&r);
				bit = 0;
			}
			a->u = bits >> bit++ & 1;
			continue;
		}
		bit = 8;
		switch (kind) {
		case 'o':
			a->u = rd_u8(&r);
			break;
		case 'h':
			a->u = rd_u16(&r);
			break;
		case 'l':
			a->u = rd_u32(&r);
			break;
		case 'L':
			a->u = rd_u64(&r);
			break;
		case 's':
			a->s = rd_span(&r, rd_u8(&r));
			break;
		default: /* S F */
			a->s = rd_span(&r, rd_u32(&r));
		}
	}
	return r.bad || rd_left(&r) ? -EBADMSG : 0;
}

int amqp_content_header_parse(struct span payload, uint64_t *ret_body_size, struct span *ret_envelope)
{
	struct rd r = rd_of(payload);
	uint16_t class = rd_u16(&r);
	uint64_t body_size;

	rd_u16(&r); /* weight: unused, 0 */
	body_size = rd_u64(&r);
	if (r.bad || class != CLASS_BASIC || rd_left(&r) < 2)
		return -EBADMSG;
	*ret_body_size = body_size;
	*ret_envelope = span_of(r.p, rd_left(&r));
	return 0;
}

bool amqp_protocol_header(struct span s)
{
	static const char known[][9] = {"AMQP\x00\x00\x09\x01", "AMQP\x01\x01\x00\x09",
		"AMQP\x01\x01\x09\x01", "AMQP\x01\x01\x08\x00"};
	size_t n = s.n < 8 ? s.n : 8;

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!n || !memcmp(s.p, known[i], n))
			return true;
	return false;
}

enum frame_status amqp_frame_parse(struct span s, uint32_t payload_max, struct frame *ret)
{
	struct rd r = rd_of(s);

	if (!s.n)
		return FRAME_MORE;
	ret->type = rd_u8(&r);
	if (ret->type != FRAME_METHOD && ret->type != FRAME_HEADER && ret->type != FRAME_BODY &&
		ret->type != FRAME_HEARTBEAT)
		return FRAME_BAD;
	if (s.n < FRAME_HEADER_SIZE)
		return FRAME_MORE;
	ret->channel = rd_u16(&r);
	ret->size = rd_u32(&r);
	if (ret->size > payload_max)
		return FRAME_BAD;
	switch (ret->type) {
	case FRAME_HEARTBEAT:
		return ret->channel || ret->size ? FRAME_BAD : FRAME_OK;
	case FRAME_METHOD:
		return ret->size < 4 ? FRAME_BAD : FRAME_OK;
	case FRAME_HEADER:
		return !ret->channel || ret->size < 14 ? FRAME_BAD : FRAME_OK;
	default:
		return ret->channel ? FRAME_OK : FRAME_BAD;
	}
}

/* --- the search for a boundary --- */

/* A channel met on the way. Beyond as many as these, order within contents is not checked. */
#define FLIGHTS 16
struct flight {
	uint16_t channel;
	enum {
		FLIGHT_IDLE, /* a method must follow */
		FLIGHT_HEADER,
		FLIGHT_BODY,
	} want;
	uint64_t left; /* of the body */
};

struct chain {
	struct flight flights[FLIGHTS];
	unsigned flights_n;
	unsigned frames;   /* complete ones, and a last one whose size was seen */
	unsigned complete; /* of them */
	bool method;       /* a complete method */
	bool telling;      /* a complete method, content header or heartbeat */
	bool own;          /* a method that only this side sends */
	bool broken;
};

static bool tables_valid(const struct method *m)
{
	for (size_t i = 0; m->def->args[i]; i++)
		if (m->def->args[i] == 'F' && !amqp091_table_valid(m->a[i].s))
			return false;
	return true;
}

static struct flight *flight_of(struct chain *c, uint16_t channel, bool add)
{
	for (unsigned i = 0; i < c->flights_n; i++)
		if (c->flights[i].channel == channel)
			return &c->flights[i];
	if (!add || c->flights_n == FLIGHTS)
		return NULL;
	c->flights[c->flights_n] = (struct flight){.channel = channel};
	return &c->flights[c->flights_n++];
}

/* 4.2.6: method, header, bodies of one content follow each other on their channel. @body_size: of a header.
 */
static bool order_valid(const struct frame *f, bool has_content, uint64_t body_size, struct chain *c)
{
	struct flight *l = f->channel ? flight_of(c, f->channel, f->type == FRAME_METHOD) : NULL;

	if (!l)
		return true; /* the chain began inside of this content */
	switch (f->type) {
	case FRAME_METHOD:
		if (l->want != FLIGHT_IDLE)
			return false;
		l->want = has_content ? FLIGHT_HEADER : FLIGHT_IDLE;
		return true;
	case FRAME_HEADER:
		if (l->want != FLIGHT_HEADER)
			return false;
		l->left = body_size;
		break;
	case FRAME_BODY:
		if (l->want != FLIGHT_BODY || f->size > l->left)
			return false;
		l->left -= f->size;
		break;
	}
	l->want = l->left ? FLIGHT_BODY : FLIGHT_IDLE;
	return true;
}

static bool payload_valid(const struct frame *f, struct span payload, uint8_t by, struct chain *c)
{
	struct amqp091_props props;
	struct span envelope;
	struct method m;
	uint64_t size;

	switch (f->type) {
	case FRAME_METHOD:
		if (amqp_method_parse(payload, &m) || !(m.def->flags & by) ||
			!(m.def->flags & IS_CONNECTION) != !!f->channel || !tables_valid(&m) ||
			!order_valid(f, m.def->flags & HAS_CONTENT, 0, c))
			return false;
		c->method = true;
		c->telling = true;
		c->own |= (m.def->flags & B_) == by;
		return true;
	case FRAME_HEADER:
		if (amqp_content_header_parse(payload, &size, &envelope) || payload.p[2] || payload.p[3] ||
			amqp091_props(envelope, &props) || !order_valid(f, false, size, c))
			return false;
		c->telling = true;
		return !props.has[PROP_HEADERS] || amqp091_table_valid(props.v[PROP_HEADERS]);
	case FRAME_HEARTBEAT:
		c->telling = true;
		return true;
	default:
		return payload.n > 0 && order_valid(f, false, 0, c);
	}
}

/* @budget: bytes and frames that may still be looked at; without it, bytes made of nothing but end octets and
 * tiny frames would cost the square of their number. */
static void chain_follow(struct span s, uint8_t by, uint32_t payload_max, size_t *budget, struct chain *c)
{
	struct frame f;

	while (s.n) {
		enum frame_status st = amqp_frame_parse(s, payload_max, &f);
		size_t cost;

		if (st == FRAME_BAD)
			c->broken = true;
		if (st != FRAME_OK)
			return;
		c->frames++;
		if (s.n < FRAME_OVERHEAD + (size_t)f.size)
			return;
		cost = f.type == FRAME_BODY ? 16 : 16 + (size_t)f.size;
		if (*budget < cost) {
			*budget = 0;
			c->broken = true;
			return;
		}
		*budget -= cost;
		if (s.p[FRAME_HEADER_SIZE + f.size] != FRAME_END ||
			!payload_valid(&f, span_sub(s, FRAME_HEADER_SIZE, f.size), by, c)) {
			c->broken = true;
			return;
		}
		c->complete++;
		s = span_sub(s, FRAME_OVERHEAD + (size_t)f.size, SIZE_MAX);
	}
}

static bool believable(const struct chain *c, bool at_start)
{
	if (c->broken || !c->telling)
		return false;
	if (at_start)
		return c->method || c->complete >= 2;
	return c->frames >= 4;
}

int64_t amqp_frames_find(struct span s, uint8_t by, uint32_t payload_max, bool *ret_own)
{
	size_t at = 0, budget = 16 * s.n + (1u << 20);

	while (at < s.n && budget) {
		struct chain c = {0};
		const uint8_t *end;

		chain_follow(span_sub(s, at, SIZE_MAX), by, payload_max, &budget, &c);
		if (believable(&c, !at)) {
			*ret_own = c.own;
			return (int64_t)at;
		}
		end = memchr(s.p + at, FRAME_END, s.n - at);
		if (!end)
			return -1;
		at = (size_t)(end - s.p) + 1;
	}
	return -1;
}
