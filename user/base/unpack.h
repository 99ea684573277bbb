/*
 * Unpacks what was compressed by somebody else, up to a limit: what inflates to gigabytes costs the limit.
 */
#ifndef EVTRACE_BASE_UNPACK_H
#define EVTRACE_BASE_UNPACK_H

#include "base/buf.h"

enum packing {
	PACK_GZIP,          /* RFC 1952; members that follow each other are one text */
	PACK_ZLIB,          /* RFC 1950 */
	PACK_DEFLATE,       /* RFC 1951, without a header */
	PACK_SNAPPY,        /* one block, as snappy_compress() makes it */
	PACK_SNAPPY_XERIAL, /* blocks in snappy-java's framing */
	PACK_SNAPPY_FRAMED, /* blocks in snappy's own framing (framing_format.txt) */
	PACK_LZ4_FRAME,
	PACK_ZSTD,
};

/*
 * Clears @out and fills it: 0 when all of @in was unpacked; -E2BIG when there is more than @limit, of which
 * @out holds the first @limit bytes (of a snappy block that declares more: none); -EBADMSG when @in is
 * damaged or ends early, after what could be read; -ENOMEM.
 */
int unpack(enum packing how, struct span in, struct buf *out, size_t limit);

/* @in begins with snappy-java's header. */
bool unpack_is_xerial(struct span in);

#endif
