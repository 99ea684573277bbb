/*
 * Rows in memory, between the sink and the catalogue. A row is its struct as it is, followed by the bytes of
 * its spans in the order of the table below; reading puts the spans' pointers right. Never on disk.
 */
#include "store/internal.h"

#include <errno.h>

struct row_head {
	uint32_t type, size; /* size: struct and spans */
};

static const struct layout {
	size_t size;
	size_t spans_n;
	size_t spans[6]; /* offsets */
} layouts[ROW_TYPES] = {
#define S(type, field) offsetof(type, field)
	[ROW_PROCESS] = {sizeof(struct process_row), 5,
		{S(struct process_row, comm), S(struct process_row, exe), S(struct process_row, cmdline),
			S(struct process_row, service), S(struct process_row, cgroup)}},
	[ROW_BROKER] = {sizeof(struct broker_row), 1, {S(struct broker_row, name)}},
	[ROW_CONNECTION] = {sizeof(struct connection_row), 0, {0}},
	[ROW_MESSAGE] = {sizeof(struct message_row), 6,
		{S(struct message_row, r.vhost), S(struct message_row, r.exchange),
			S(struct message_row, r.routing_key), S(struct message_row, r.type),
			S(struct message_row, r.log), S(struct message_row, r.mid)}},
	[ROW_COPY] = {sizeof(struct copy_rec), 1, {S(struct copy_rec, queue)}},
	[ROW_OPERATION] = {sizeof(struct operation_rec), 1, {S(struct operation_rec, text)}},
	[ROW_IDENTIFIER] = {sizeof(struct identifier_row), 2,
		{S(struct identifier_row, id.name), S(struct identifier_row, id.value)}},
	[ROW_LINK] = {sizeof(struct link_row), 1, {S(struct link_row, evidence)}},
	[ROW_MERGE] = {sizeof(struct merge_row), 0, {0}},
	[ROW_MERGE_MESSAGES] = {sizeof(struct merge_row), 0, {0}},
	[ROW_MERGE_BROKERS] = {sizeof(struct merge_row), 0, {0}},
	[ROW_RENAME] = {sizeof(struct rename_row), 2, {S(struct rename_row, from), S(struct rename_row, to)}},
	[ROW_EXCHANGE] = {sizeof(struct exchange_rec), 4,
		{S(struct exchange_rec, vhost), S(struct exchange_rec, name), S(struct exchange_rec, type),
			S(struct exchange_rec, args)}},
	[ROW_QUEUE] = {sizeof(struct queue_rec), 4,
		{S(struct queue_rec, vhost), S(struct queue_rec, name),
			S(struct queue_rec, dead_letter_exchange), S(struct queue_rec, dead_letter_key)}},
	[ROW_BINDING] = {sizeof(struct binding_rec), 5,
		{S(struct binding_rec, vhost), S(struct binding_rec, source),
			S(struct binding_rec, destination), S(struct binding_rec, key),
			S(struct binding_rec, args)}},
	[ROW_CONSUMER] = {sizeof(struct consumer_rec), 3,
		{S(struct consumer_rec, vhost), S(struct consumer_rec, queue), S(struct consumer_rec, tag)}},
	[ROW_GAP] = {sizeof(struct gap_row), 1, {S(struct gap_row, reason)}},
#undef S
};

static struct span *span_at(const void *row, size_t off)
{
	return (struct span *)((const char *)row + off);
}

int rowlog_put(struct buf *log, enum row_type type, const void *row)
{
	const struct layout *l = &layouts[type];
	struct row_head h = {type, (uint32_t)l->size};

	for (size_t i = 0; i < l->spans_n; i++)
		h.size += (uint32_t)span_at(row, l->spans[i])->n;
	if (!buf_reserve(log, sizeof(h) + h.size)) {
		log->oom = false;
		return -ENOMEM;
	}
	buf_put(log, &h, sizeof(h));
	buf_put(log, row, l->size);
	for (size_t i = 0; i < l->spans_n; i++)
		buf_put_span(log, *span_at(row, l->spans[i]));
	return 0;
}

bool rowlog_next(const struct buf *log, size_t *off, enum row_type *ret_type, union any_row *ret)
{
	const struct layout *l;
	struct row_head h;
	const uint8_t *p;

	if (*off >= log->n)
		return false;
	memcpy(&h, log->p + *off, sizeof(h));
	l = &layouts[h.type];
	p = log->p + *off + sizeof(h);
	memcpy(ret, p, l->size);
	p += l->size;
	for (size_t i = 0; i < l->spans_n; i++) {
		struct span *s = span_at(ret, l->spans[i]);

		s->p = p;
		p += s->n;
	}
	*ret_type = h.type;
	*off += sizeof(h) + h.size;
	return true;
}
