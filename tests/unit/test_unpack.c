/* Each packing: what was packed comes back, a cut or damaged input is told, a bomb costs the limit. */
#include "test.h"

#include <errno.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/unpack.h"

static struct buf text(size_t n)
{
	struct buf b = {0};

	for (size_t i = 0; b.n < n; i++)
		buf_printf(&b, "invoice %zu, ", i * 7919);
	b.n = n;
	return b;
}

static void pack_deflate(struct span s, int bits, struct buf *out)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)s.p, .avail_in = (uInt)s.n};

	deflateInit2(&z, 6, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY);
	buf_reserve(out, deflateBound(&z, s.n));
	z.next_out = out->p + out->n;
	z.avail_out = (uInt)(out->cap - out->n);
	CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->n += z.total_out;
	deflateEnd(&z);
}

static void pack_snappy(struct span s, struct buf *out)
{
	size_t n = snappy_max_compressed_length(s.n);

	buf_reserve(out, n);
	CHECK_EQ(snappy_compress((const char *)s.p, s.n, (char *)out->p + out->n, &n), SNAPPY_OK);
	out->n += n;
}

static void pack_xerial(struct span s, struct buf *out)
{
	buf_put(out, "\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16);
	while (s.n) {
		struct buf block = {0};
		struct span part = span_sub(s, 0, 32768);

		pack_snappy(part, &block);
		for (int shift = 24; shift >= 0; shift -= 8)
			buf_putc(out, (char)(block.n >> shift));
		buf_put_span(out, buf_span(&block));
		buf_free(&block);
		s = span_sub(s, part.n, SIZE_MAX);
	}
}

/* Chunks of 64 KiB, every second as it is. */
static void pack_framed(struct span s, struct buf *out)
{
	buf_put(out, "\xff\6\0\0sNaPpY", 10);
	for (bool plain = false; s.n; plain = !plain) {
		struct buf block = {0};
		struct span part = span_sub(s, 0, 65536);

		buf_put(&block, "sum.", 4);
		if (plain)
			buf_put_span(&block, part);
		else
			pack_snappy(part, &block);
		buf_putc(out, plain);
		for (int shift = 0; shift < 24; shift += 8)
			buf_putc(out, (char)(block.n >> shift));
		buf_put_span(out, buf_span(&block));
		buf_free(&block);
		s = span_sub(s, part.n, SIZE_MAX);
	}
}

static void pack(enum packing how, struct span s, struct buf *out)
{
	switch (how) {
	case PACK_GZIP:
		pack_deflate(s, MAX_WBITS + 16, out);
		break;
	case PACK_ZLIB:
		pack_deflate(s, MAX_WBITS, out);
		break;
	case PACK_DEFLATE:
		pack_deflate(s, -MAX_WBITS, out);
		break;
	case PACK_SNAPPY_FRAMED:
		pack_framed(s, out);
		break;
	case PACK_SNAPPY:
		pack_snappy(s, out);
		break;
	case PACK_SNAPPY_XERIAL:
		pack_xerial(s, out);
		break;
	case PACK_LZ4_FRAME:
		buf_reserve(out, LZ4F_compressFrameBound(s.n, NULL));
		out->n = LZ4F_compressFrame(out->p, out->cap, s.p, s.n, NULL);
		break;
	case PACK_ZSTD:
		buf_reserve(out, ZSTD_compressBound(s.n));
		out->n = ZSTD_compress(out->p, out->cap, s.p, s.n, 3);
		break;
	}
}

static void there_and_back(void)
{
	static const size_t sizes[] = {0, 1, 13, 65535, 65536, 65537, 1000000};
	struct buf out = {0};

	for (int how = PACK_GZIP; how <= PACK_ZSTD; how++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			struct buf t = text(sizes[i]), packed = {0};

			pack(how, buf_span(&t), &packed);
			CHECK_EQ(unpack(how, buf_span(&packed), &out, 1 << 20), 0);
			CHECK(span_eq(buf_span(&out), buf_span(&t)));
			/* Exactly at the limit, and one byte below it. */
			CHECK_EQ(unpack(how, buf_span(&packed), &out, t.n), 0);
			CHECK(span_eq(buf_span(&out), buf_span(&t)));
			if (t.n) {
				CHECK_EQ(unpack(how, buf_span(&packed), &out, t.n - 1), -E2BIG);
				CHECK(out.n < t.n && !memcmp(out.p ? out.p : t.p, t.p, out.n));
				if (how != PACK_SNAPPY && how != PACK_SNAPPY_XERIAL &&
					how != PACK_SNAPPY_FRAMED)
					CHECK_EQ(out.n, t.n - 1);
			}
			buf_free(&packed);
			buf_free(&t);
		}
	buf_free(&out);
}

/* Cut anywhere it is told, but for xerial between two blocks, where nothing shows it. */
static void cut(void)
{
	struct buf t = text(100000), out = {0};

	for (int how = PACK_GZIP; how <= PACK_ZSTD; how++) {
		struct buf packed = {0};

		pack(how, buf_span(&t), &packed);
		for (size_t n = 0; n < packed.n; n += n < 64 ? 1 : 487) {
			uint8_t *exact = malloc(n ? n : 1);
			int r;

			memcpy(exact, packed.p, n);
			r = unpack(how, span_of(exact, n), &out, 1 << 20);
			CHECK(r == -EBADMSG || ((how == PACK_SNAPPY_XERIAL || how == PACK_SNAPPY_FRAMED) &&
						       !r && out.n < t.n));
			CHECK(out.n <= t.n && (!out.n || !memcmp(out.p, t.p, out.n)));
			free(exact);
		}
		buf_free(&packed);
	}
	buf_free(&t);
	buf_free(&out);
}

static void damaged(void)
{
	struct buf t = text(3000), out = {0};

	for (int how = PACK_GZIP; how <= PACK_ZSTD; how++) {
		struct buf packed = {0};

		pack(how, buf_span(&t), &packed);
		/* Whatever it says: no crash, no more than the limit. */
		for (size_t i = 0; i < packed.n; i++) {
			packed.p[i] ^= 0x5a;
			unpack(how, buf_span(&packed), &out, 10000);
			CHECK(out.n <= 10000);
			packed.p[i] ^= 0x5a;
		}
		CHECK_EQ(unpack(how, SPAN_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff"), &out, 100), -EBADMSG);
		CHECK_EQ(unpack(how, SPAN_EMPTY, &out, 100), -EBADMSG);
		buf_free(&packed);
	}
	buf_free(&t);
	buf_free(&out);
}

static void bombs(void)
{
	static const enum packing dense[] = {PACK_GZIP, PACK_ZLIB, PACK_LZ4_FRAME, PACK_ZSTD};
	struct buf zeros = {0}, out = {0};

	buf_reserve(&zeros, 64u << 20);
	memset(zeros.p, 0, 64u << 20);
	zeros.n = 64u << 20;
	for (size_t i = 0; i < ARRAY_LEN(dense); i++) {
		struct buf packed = {0};

		pack(dense[i], buf_span(&zeros), &packed);
		buf_free(&out);
		CHECK_EQ(unpack(dense[i], buf_span(&packed), &out, 100000), -E2BIG);
		CHECK_EQ(out.n, 100000);
		CHECK(out.cap < 1 << 20);
		buf_free(&packed);
	}
	/* A snappy block of 6 bytes that declares 2 GiB: a lie, and nothing is allocated for it. */
	buf_free(&out);
	CHECK_EQ(unpack(PACK_SNAPPY, SPAN_LIT("\xff\xff\xff\xff\x07\x00"), &out, SIZE_MAX), -EBADMSG);
	CHECK_EQ(out.cap, 0);
	buf_free(&zeros);
	buf_free(&out);
}

/* gzip: members one behind the other. */
static void members(void)
{
	struct buf packed = {0}, out = {0};

	pack(PACK_GZIP, SPAN_LIT("order "), &packed);
	pack(PACK_GZIP, SPAN_LIT("4711"), &packed);
	CHECK_EQ(unpack(PACK_GZIP, buf_span(&packed), &out, 100), 0);
	CHECK(span_is(buf_span(&out), "order 4711"));
	buf_free(&packed);
	buf_free(&out);
}

/* The header's checksum as old Kafka clients make it (KAFKA-3160). */
static void lz4_checksum(void)
{
	struct buf packed = {0}, out = {0};

	pack(PACK_LZ4_FRAME, SPAN_LIT("order 4711"), &packed);
	packed.p[6] ^= 0x17;
	CHECK_EQ(unpack(PACK_LZ4_FRAME, buf_span(&packed), &out, 100), 0);
	CHECK(span_is(buf_span(&out), "order 4711"));
	buf_free(&packed);
	buf_free(&out);
}

static void xerial_or_not(void)
{
	struct buf a = {0}, b = {0};

	pack(PACK_SNAPPY, SPAN_LIT("order 4711"), &a);
	pack(PACK_SNAPPY_XERIAL, SPAN_LIT("order 4711"), &b);
	CHECK(!unpack_is_xerial(buf_span(&a)));
	CHECK(unpack_is_xerial(buf_span(&b)));
	buf_free(&a);
	buf_free(&b);
}

int main(void)
{
	RUN(there_and_back);
	RUN(cut);
	RUN(damaged);
	RUN(bombs);
	RUN(members);
	RUN(lz4_checksum);
	RUN(xerial_or_not);
	return test_end();
}
