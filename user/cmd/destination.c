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
	case DEST_ROUTED:
		break;
	}
	return *r->exchange ? "exchange" : word(w.queue, "queue");
}

void put_destination(struct buf *out, const struct row *r)
{
	buf_printf(out, "%s %s", destination_noun(r), *r->exchange ? r->exchange : r->routing_key);
	if (r->dest == DEST_LOG && *r->routing_key)
		buf_printf(out, ", partition %s", r->routing_key);
}

void put_broker_id(struct buf *out, const struct row *r)
{
	if (*r->mid)
		buf_printf(out, "%s %s of %s", word(words_of(r).mid, "id"), r->mid, r->log);
}

const char *ack_word(const struct row *r)
{
	return word(words_of(r).settled, "acked");
}

const char *copy_label(const struct row *r, const struct msg_copy *c)
{
	if (*c->queue)
		return c->queue;
	return r->dest == DEST_LOG ? "(no group known)" : "(unknown)";
}
