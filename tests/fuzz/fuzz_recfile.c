/*
 * Any bytes as records of a record file. A checksum that does not hold would end reading at once: they are
 * made right here, so that what is behind them is reached. Input: header texts aside, u16 length and body of
 * each record; or, when the first byte is odd, the file as it is.
 */
#include <zlib.h>

#include "capture/recfile_wire.h"
#include "fuzz/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint32_t crc_of(const uint8_t *p, size_t n)
{
	return (uint32_t)crc32_z(0, p, n);
}

static void put_header(struct buf *b)
{
	buf_puts(b, REC_MAGIC);
	le_put(b, RECFILE_VERSION, 4);
	le_put(b, 16, 4);
	le_put(b, 1700000000000000000, 8);
	le_put(b, 0, 8); /* two empty texts */
	if (buf_ok(b))
		le_put(b, crc_of(b->p, b->n), 4);
}

static void put_record(struct buf *b, struct span body)
{
	size_t at = b->n;

	le_put(b, body.n, 4);
	le_put(b, crc_of(body.p, body.n), 4);
	if (buf_ok(b))
		le_put(b, crc_of(b->p + at, 8), 4);
	buf_put_span(b, body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span s = span_of(data, n);
	struct buf b = {0};

	if (n < 3)
		return 0;
	if (data[0] & 1) {
		fuzz_source(span_sub(s, 1, SIZE_MAX));
		return 0;
	}
	put_header(&b);
	for (s = span_sub(s, 1, SIZE_MAX); s.n > 2;) {
		struct span body = span_sub(s, 2, (size_t)le_get(s.p, 2));

		s = span_sub(s, 2 + body.n, SIZE_MAX);
		if (body.n)
			put_record(&b, body);
		else
			break;
	}
	fuzz_source(buf_span(&b));
	buf_free(&b);
	return 0;
}
