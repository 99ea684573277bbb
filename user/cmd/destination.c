#include "cmd/destination.h"

static const char *word(const char *own, const char *usual)
{
	return own ? own : usual;
}

static struct proto_words words_of(const struct row *r)
{
	const struct proto *p = proto_by_id(r->proto);

	return p ? p->words : (struct proto_words){0};
}

const char *destination_noun(const struct row *r)
{
	struct proto_words w = words_of(r);

	switch (r->dest) {
	case DEST_LOG:
		return word(w.log, "stream");
	case DEST_CHANNEL:
		return word(w.channel, "channel");
	case DEST_CALL:
		return "call";
	case DEST_ROUTED:
		break;
	}
	return *r->exchange ? "exchange" : word(w.queue, "queue");
}

void put_destination(struct buf *out, const struct row *r)
{
	buf_printf(out, "%s ", destination_noun(r));
	put_short_name(out, r, *r->exchange ? r->exchange : r->routing_key);
	if (r->dest == DEST_LOG && *r->routing_key)
		buf_printf(out, ", partition %s", r->routing_key);
}

void put_log(struct buf *out, const struct row *r)
{
	if (r->dest == DEST_LOG && !*r->routing_key && *r->log)
		buf_printf(out, "stream %s", r->log);
	else
		put_destination(out, r);
}

const char *mid_word(const struct row *r)
{
	return word(words_of(r).mid, "id");
}

void put_broker_id(struct buf *out, const struct row *r)
{
	if (!*r->mid)
		return;
	buf_printf(out, "%s %s", mid_word(r), r->mid);
	/* a partition's number was told with its topic, a stream may be named as its subject */
	if (!*r->routing_key && strcmp(r->log, r->exchange))
		buf_printf(out, " of %s", r->log);
}

bool settles_by_taking(const struct row *r)
{
	const struct proto *p = proto_by_id(r->proto);

	return r->dest == DEST_CHANNEL || (r->dest == DEST_ROUTED && p && p->queue_by_send);
}

const char *ack_word(const struct row *r)
{
	return word(words_of(r).settled, "acked");
}

void put_copy_label(struct buf *out, const struct row *r, const struct msg_copy *c)
{
	if (*c->queue)
		put_short_name(out, r, c->queue);
	else
		buf_puts(out, r->dest == DEST_LOG ? "(no group known)" : "(unknown)");
}

#define SHA_NAME   48 /* "EVALSHA " and the script's sum; whose first digits tell it from others */
#define INBOX_NAME 22 /* what is as long was made by a library; what people chose is shorter */

void put_short_name(struct buf *out, const struct row *r, const char *name)
{
	const char *inbox = words_of(r).inbox, *dot = strchr(name, '.'), *reader = strchr(name, '/');
	size_t n = reader ? (size_t)(reader - name) : strlen(name);

	if (r->dest == DEST_CALL && strlen(name) == SHA_NAME) {
		buf_put(out, name, 16);
		buf_puts(out, "…");
		return;
	}
	if (!inbox || strncmp(name, inbox, strlen(inbox)) || !dot || (size_t)(dot - name) + INBOX_NAME >= n) {
		buf_puts(out, name);
		return;
	}
	buf_put(out, name, (size_t)(dot - name) + 1);
	buf_puts(out, "…");
	buf_puts(out, name + n);
}
