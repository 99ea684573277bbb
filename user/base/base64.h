/* Base64 (RFC 4648, section 4), strictly. */
#ifndef EVTRACE_BASE_BASE64_H
#define EVTRACE_BASE_BASE64_H

#include "base/buf.h"

/* The six bits of each character, 0xff for what is none. */
extern const uint8_t base64_bits[256];

/* The first three bytes that @s stands for; false when its first four characters are not of the alphabet. */
bool base64_peek(struct span s, uint8_t ret[3]);
/*
 * Decodes @s behind what @out holds. Line ends may stand between characters, and padding may be missing; @cut
 * allows the end to be missing too. False, with @out as it was, when anything else is in it, or out of
 * memory.
 */
bool base64_decode(struct span s, bool cut, struct buf *out);
/* Encodes @s behind what @out holds, padded. */
void base64_encode(struct span s, struct buf *out);

#endif
