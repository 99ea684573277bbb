/* Verdicts in words, for where, flow and show. */
#ifndef EVTRACE_CMD_SENTENCE_H
#define EVTRACE_CMD_SENTENCE_H

#include "cmd/answer.h"
#include "query/verdict.h"

/* "WAITING"; in capitals what is open or went wrong. */
const char *standing_word(enum standing s);
const char *standing_json(enum standing s); /* "waiting" */
enum tone standing_tone(enum standing s);

/* Why and since when; what follows the word. @j is asked about what a dead-lettered copy became. */
void put_finding(struct buf *out, const struct answer *a, struct judge *j, const struct finding *f);
/* "order.created, sent 14:02:09.114 by shop (python3, pid 2211) to exchange orders" */
void put_headline(struct buf *out, const struct answer *a, struct loader *l, struct msg *m);
/* "evtrace replay (root)": who sent a copy; false: no replay did, and nothing is put. */
bool put_replayer(struct buf *out, struct loader *l, struct msg *m);
/* "replayed as m57 at 14:07:09: done" */
void put_replayed(struct buf *out, const struct answer *a, const struct replay_note *note);
/* "caused by", "reply to": what a target is to its source. */
const char *link_words(enum link_kind k);
/* How long it has been so, up to the moment for which the finding holds. */
char *fmt_age(char *out, size_t n, const struct finding *f, int64_t since_ns);
/* How long a consumer held it: never nothing. */
char *fmt_held(char *out, size_t n, int64_t ns);
/* The answer holds as of the end of what was watched of @m's broker. */
int answer_as_of(struct answer *a, struct judge *j, const struct msg *m, struct err *e);

/* One line of evidence: when, what, by whom, where in the stream. */
void put_operation(struct buf *out, const struct answer *a, const struct msg *m, const struct msg_op *op);
/* How it is known that a copy is in its queue. */
void put_source(struct buf *out, struct loader *l, const struct msg *m, const struct msg_copy *c);

void put_copy_json(struct json *j, const struct answer *a, struct judge *judge, const struct finding *f);
/* `replay` of a message that evtrace sent; nothing for others. */
void put_replay_json(struct json *j, struct loader *l, struct msg *m);
void put_op_json(struct json *j, const struct msg_op *op);
void put_link_json(struct json *j, const struct msg_link *k);

#endif
