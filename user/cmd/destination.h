/* Where a message was sent to, in the words of its broker. */
#ifndef EVTRACE_CMD_DESTINATION_H
#define EVTRACE_CMD_DESTINATION_H

#include "base/buf.h"
#include "query/message.h"

/* "exchange", "queue", "list", "topic", "stream", "subject", "channel", "call" */
const char *destination_noun(const struct row *r);
/* "exchange orders", "queue parcels" (the default exchange leads to the queue of the key's name), "topic
 * orders, partition 3", "subject orders.new" */
void put_destination(struct buf *out, const struct row *r);
/* What keeps it: "topic orders, partition 3", "stream ORDERS". */
void put_log(struct buf *out, const struct row *r);
/* "offset 1047", "sequence 17 of ORDERS"; nothing where the broker gives no name. */
void put_broker_id(struct buf *out, const struct row *r);
/* "offset", "sequence", "id" */
const char *mid_word(const struct row *r);
/* Is there nothing more to do than to take it: what is popped from a list, what a channel hands on? */
bool settles_by_taking(const struct row *r);
/* What a consumer does to say that it is done: "acked", "committed". */
const char *ack_word(const struct row *r);
/* The name under which a copy is shown: its queue, or what is known of a reader without one. */
void put_copy_label(struct buf *out, const struct row *r, const struct msg_copy *c);
/* Of a place for replies only what tells anything: "_INBOX.…", "_INBOX.…/shop:812"; other names as they are.
 */
void put_short_name(struct buf *out, const struct row *r, const char *name);

#endif
