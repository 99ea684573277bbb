/*
 * AMQP 0-9-1 without a connection: properties and field tables as pure functions over raw bytes. Used by the
 * decoder, and by replay to edit headers while every other byte stays as it was.
 */
#ifndef EVTRACE_PROTO_AMQP091_H
#define EVTRACE_PROTO_AMQP091_H

#include "base/buf.h"
#include "proto/op.h"
#include "proto/proto.h"

/* Basic properties in the order of the specification (4.2.6.1); property i has flag bit 15 - i. */
enum amqp091_prop {
	PROP_CONTENT_TYPE,
	PROP_CONTENT_ENCODING,
	PROP_HEADERS,
	PROP_DELIVERY_MODE,
	PROP_PRIORITY,
	PROP_CORRELATION_ID,
	PROP_REPLY_TO,
	PROP_EXPIRATION,
	PROP_MESSAGE_ID,
	PROP_TIMESTAMP,
	PROP_TYPE,
	PROP_USER_ID,
	PROP_APP_ID,
	PROP_CLUSTER_ID,
	PROP_NR,
};

/* The value of each property that is present: strings and tables without their length, numbers as on the
 * wire. */
struct amqp091_props {
	bool has[PROP_NR];
	struct span v[PROP_NR];
};

/* Splits property flags and property list. -EBADMSG unless they fill @envelope exactly. */
int amqp091_props(struct span envelope, struct amqp091_props *ret);

/* fields(), args() and stable_hash() of the decoder's record. */
int amqp091_fields(struct span envelope, field_fn fn, void *ctx);
int amqp091_args(struct span table, field_fn fn, void *ctx);
uint64_t amqp091_stable_hash(struct span envelope, uint64_t seed);

/* Every name, type and length in a field table (without its own length) holds. */
bool amqp091_table_valid(struct span table);

/* One entry of a table; @raw is the whole entry: name, type and value. A false return stops. */
typedef bool (*amqp091_entry_fn)(void *ctx, struct span name, struct span raw);
int amqp091_table_each(struct span table, amqp091_entry_fn fn, void *ctx);

/*
 * Writes @envelope to @out without the top-level headers for which @drop is true, and with the long-string
 * header @add_name = @add_value appended. All other bytes stay as they are. -EBADMSG, -ENOMEM.
 */
typedef bool (*amqp091_drop_fn)(void *ctx, struct span name);
int amqp091_edit_headers(struct span envelope, amqp091_drop_fn drop, void *ctx, const char *add_name,
	struct span add_value, struct buf *out);

#endif
