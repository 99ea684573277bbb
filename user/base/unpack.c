#include "base/unpack.h"

#include <errno.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define STEP 65536u /* bytes of room that are asked for at a time */

/* Room for the next bytes in @out: at most up to one byte beyond @limit, which then tells that there is more.
 */
static size_t room(struct buf *out, size_t limit)
{
	size_t n = limit - out->n < STEP ? limit - out->n + 1 : STEP;

	return buf_reserve(out, n) ? n : 0;
}

/* True when the limit is passed; then @out is cut back to it. */
static bool too_big(struct buf *out, size_t limit)
{
	if (out->n <= limit)
		return false;
	out->n = limit;
	return true;
}

/* --- deflate --- */

static bool another_member(const z_stream *z)
{
	return z->avail_in >= 2 && z->next_in[0] == 0x1f && z->next_in[1] == 0x8b;
}

static int inflate_all(z_stream *z, bool members, struct buf *out, size_t limit)
{
	for (;;) {
		size_t n = room(out, limit);
		int r;

		if (!n)
			return -ENOMEM;
		z->next_out = out->p + out->n;
		z->avail_out = (uInt)n;
		r = inflate(z, Z_NO_FLUSH);
		out->n += n - z->avail_out;
		if (too_big(out, limit))
			return -E2BIG;
		if (r == Z_STREAM_END && members && another_member(z))
			r = inflateReset(z);
		else if (r == Z_STREAM_END)
			return 0;
		if (r == Z_MEM_ERROR)
			return -ENOMEM;
		/* Nothing more goes in, and there was room: the end is missing. */
		if (r != Z_OK || (!z->avail_in && z->avail_out))
			return -EBADMSG;
	}
}

static int unpack_deflate(enum packing how, struct span in, struct buf *out, size_t limit)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.n};
	int bits = how == PACK_GZIP ? MAX_WBITS + 16 : how == PACK_ZLIB ? MAX_WBITS : -MAX_WBITS;
	int r;

	if (in.n > UINT32_MAX)
		return -EBADMSG;
	if (inflateInit2(&z, bits) != Z_OK)
		return -ENOMEM;
	r = inflate_all(&z, how == PACK_GZIP, out, limit);
	inflateEnd(&z);
	return r;
}

/* --- snappy --- */

/* A copy of 64 bytes takes 3, so no block grows more than 22-fold: a size beyond that is a lie. */
static bool snappy_plausible(size_t packed, size_t size)
{
	return size / 22 <= packed;
}

static int unpack_snappy(struct span in, struct buf *out, size_t limit)
{
	size_t size;

	if (!in.n || snappy_uncompressed_length((const char *)in.p, in.n, &size) != SNAPPY_OK ||
		!snappy_plausible(in.n, size))
		return -EBADMSG;
	if (size > limit - out->n)
		return -E2BIG;
	if (!buf_reserve(out, size + 1))
		return -ENOMEM;
	if (snappy_uncompress((const char *)in.p, in.n, (char *)out->p + out->n, &size) != SNAPPY_OK)
		return -EBADMSG;
	out->n += size;
	return 0;
}

#define XERIAL_MAGIC  "\x82SNAPPY\0"
#define XERIAL_HEADER 16 /* magic, version, lowest compatible version */

bool unpack_is_xerial(struct span in)
{
	return in.n >= XERIAL_HEADER && !memcmp(in.p, XERIAL_MAGIC, 8);
}

static int unpack_xerial(struct span in, struct buf *out, size_t limit)
{
	if (!unpack_is_xerial(in))
		return -EBADMSG;
	while (in.n) {
		size_t n;
		int r;

		/* Also between blocks: streams that were put one behind the other. */
		if (unpack_is_xerial(in)) {
			in = span_sub(in, XERIAL_HEADER, SIZE_MAX);
			continue;
		}
		if (in.n < 4)
			return -EBADMSG;
		n = (size_t)in.p[0] << 24 | (size_t)in.p[1] << 16 | (size_t)in.p[2] << 8 | in.p[3];
		in = span_sub(in, 4, SIZE_MAX);
		if (n > in.n)
			return -EBADMSG;
		r = unpack_snappy(span_sub(in, 0, n), out, limit);
		if (r)
			return r;
		in = span_sub(in, n, SIZE_MAX);
	}
	return 0;
}

#define FRAMED_MAGIC      "\xff\6\0\0sNaPpY"
#define FRAMED_COMPRESSED 0x00
#define FRAMED_PLAIN      0x01
#define FRAMED_SKIP       0x80 /* and above: padding, the stream's name, what later versions add */

static int unpack_framed(struct span in, struct buf *out, size_t limit)
{
	if (in.n < sizeof(FRAMED_MAGIC) - 1 || memcmp(in.p, FRAMED_MAGIC, sizeof(FRAMED_MAGIC) - 1))
		return -EBADMSG;
	while (in.n) {
		struct span chunk;
		size_t n;
		int r = 0;

		if (in.n < 4)
			return -EBADMSG;
		n = in.p[1] | (size_t)in.p[2] << 8 | (size_t)in.p[3] << 16;
		chunk = span_sub(in, 4, n);
		if (in.p[0] == FRAMED_COMPRESSED && chunk.n == n && n > 4) {
			r = unpack_snappy(span_sub(chunk, 4, SIZE_MAX), out, limit);
		} else if (in.p[0] == FRAMED_PLAIN && n >= 4) {
			buf_put_span(out, span_sub(chunk, 4, SIZE_MAX)); /* behind a checksum */
			if (!buf_ok(out))
				return -ENOMEM;
			if (too_big(out, limit))
				return -E2BIG;
		} else if (in.p[0] < FRAMED_SKIP) {
			return -EBADMSG;
		}
		if (r || chunk.n < n)
			return r ? r : -EBADMSG;
		in = span_sub(in, 4 + n, SIZE_MAX);
	}
	return 0;
}

/* --- LZ4 --- */

#define LZ4_MAGIC       "\x04\x22\x4d\x18"
#define LZ4_HEADER_MAX  19
#define LZ4_HAS_SIZE    0x08
#define LZ4_HAS_DICT_ID 0x01

/*
 * The frame's header with the right checksum. Kafka's clients summed up the magic number too, and brokers
 * still do so in message sets (KAFKA-3160); of the bytes in it there is nothing that the checksum could save.
 * Returns the header's size, 0 when there is none.
 */
static size_t lz4_header(struct span in, uint8_t *ret)
{
	size_t n;

	if (in.n < 7 || memcmp(in.p, LZ4_MAGIC, 4))
		return 0;
	n = 7 + (in.p[4] & LZ4_HAS_SIZE ? 8 : 0) + (in.p[4] & LZ4_HAS_DICT_ID ? 4 : 0);
	if (in.n < n)
		return 0;
	memcpy(ret, in.p, n);
	ret[n - 1] = (uint8_t)(XXH32(ret + 4, n - 5, 0) >> 8);
	return n;
}

static int lz4_all(LZ4F_dctx *ctx, struct span in, struct buf *out, size_t limit)
{
	for (;;) {
		size_t n = room(out, limit), took = in.n, more;

		if (!n)
			return -ENOMEM;
		more = LZ4F_decompress(ctx, out->p + out->n, &n, in.p, &took, NULL);
		if (LZ4F_isError(more))
			return -EBADMSG;
		out->n += n;
		in = span_sub(in, took, SIZE_MAX);
		if (too_big(out, limit))
			return -E2BIG;
		if (!more)
			return 0;
		if (!n && !took)
			return -EBADMSG;
	}
}

static int unpack_lz4(struct span in, struct buf *out, size_t limit)
{
	uint8_t header[LZ4_HEADER_MAX];
	size_t n = lz4_header(in, header), took = n, none = 0;
	LZ4F_dctx *ctx;
	int r = -EBADMSG;

	if (!n)
		return -EBADMSG;
	if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
		return -ENOMEM;
	if (!LZ4F_isError(LZ4F_decompress(ctx, NULL, &none, header, &took, NULL)) && took == n)
		r = lz4_all(ctx, span_sub(in, n, SIZE_MAX), out, limit);
	LZ4F_freeDecompressionContext(ctx);
	return r;
}

/* --- zstd --- */

static int zstd_all(ZSTD_DCtx *ctx, struct span in, struct buf *out, size_t limit)
{
	ZSTD_inBuffer from = {in.p, in.n, 0};

	for (;;) {
		ZSTD_outBuffer to = {NULL, room(out, limit), 0};
		size_t before = from.pos, more;

		if (!to.size)
			return -ENOMEM;
		to.dst = out->p + out->n;
		more = ZSTD_decompressStream(ctx, &to, &from);
		out->n += to.pos;
		if (too_big(out, limit))
			return -E2BIG;
		if (ZSTD_isError(more))
			return -EBADMSG;
		if (!more && from.pos == from.size)
			return 0;
		if (!to.pos && from.pos == before)
			return -EBADMSG;
	}
}

static int unpack_zstd(struct span in, struct buf *out, size_t limit)
{
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	int r;

	if (!ctx)
		return -ENOMEM;
	r = zstd_all(ctx, in, out, limit);
	ZSTD_freeDCtx(ctx);
	return r;
}

int unpack(enum packing how, struct span in, struct buf *out, size_t limit)
{
	buf_clear(out);
	if (limit > SIZE_MAX / 2)
		limit = SIZE_MAX / 2;
	switch (how) {
	case PACK_GZIP:
	case PACK_ZLIB:
	case PACK_DEFLATE:
		return unpack_deflate(how, in, out, limit);
	case PACK_SNAPPY:
		return unpack_snappy(in, out, limit);
	case PACK_SNAPPY_XERIAL:
		return unpack_xerial(in, out, limit);
	case PACK_SNAPPY_FRAMED:
		return unpack_framed(in, out, limit);
	case PACK_LZ4_FRAME:
		return unpack_lz4(in, out, limit);
	case PACK_ZSTD:
		return unpack_zstd(in, out, limit);
	}
	return -EBADMSG;
}
