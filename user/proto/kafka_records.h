/*
 * What stands in a partition's `records`: batches of format v2 and the message sets before it (v0, v1),
 * packed or not.
 */
#ifndef EVTRACE_PROTO_KAFKA_RECORDS_H
#define EVTRACE_PROTO_KAFKA_RECORDS_H

#include "base/buf.h"

#define KAFKA_BATCH_LIMIT (64u << 20) /* bytes that one batch may inflate to */

struct kbatch {
	int magic;
	int64_t base, last; /* offsets; in a message set `last` is that of the one message or wrapper */
	int64_t timestamp;  /* base, or when the broker appended it */
	int64_t producer;   /* -1: not idempotent */
	int producer_epoch;
	int32_t sequence, count; /* count -1: not said */
	uint32_t checksum;
	bool transactional, control, append_time;
	uint8_t codec;
};

struct krecord {
	int64_t offset, timestamp; /* timestamp -1: none */
	bool key_null, value_null;
	struct span key, value;
	uint32_t headers_n;
	struct span headers; /* read with kafka_header_next() */
};

struct krecords_ops {
	void *ctx;
	/* False: its records are not wanted (and not unpacked). */
	bool (*batch)(void *ctx, const struct kbatch *b);
	void (*record)(void *ctx, const struct kbatch *b, const struct krecord *r);
	/* The rest of this batch cannot be read: damaged, packed in a way unknown, larger than the limit.
	 * @offset: of the first record that is missing. */
	void (*broken)(void *ctx, const struct kbatch *b, int64_t offset);
};

/* @scratch: for unpacked bytes, reused. What is cut off at the end (a fetch's last batch may be) is left out.
 */
void kafka_records(struct span s, struct buf *scratch, const struct krecords_ops *ops);

struct kheader {
	struct span name, value;
	bool null;
};
/* Begin with headers = r->headers; false at the end or where it is broken. */
bool kafka_header_next(struct span *headers, struct kheader *ret);

#endif
