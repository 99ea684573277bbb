/* Unpacks gzip and zstd as they come, member after member. */
#ifndef EVTRACE_CAPTURE_UNPACK_H
#define EVTRACE_CAPTURE_UNPACK_H

#include "base/span.h"

#define UNPACK_PEEK 4 /* bytes that tell */

struct unpack;

/* NULL: @head is not the beginning of either, and *ret_known false; or there is no memory. */
struct unpack *unpack__new(struct span head, bool *ret_known);
void unpack__free(struct unpack *u); /* NULL is fine */
const char *unpack_name(const struct unpack *u);
/* Takes bytes off *@in and writes at most @room to @out. -EBADMSG: it is damaged. */
int unpack_some(struct unpack *u, struct span *in, uint8_t *out, size_t room, size_t *ret_n);
/* What was unpacked so far ends at the end of a member: nothing is missing. */
bool unpack_whole(const struct unpack *u);

#endif
