/*
 * Any bytes as a capture: container, link layer, IP, fragments, TCP, streams, to a consumer that takes and
 * leaves bytes. The first byte of the input says what kind of beginning to put before it, so that mutations
 * of packets are not all lost on a file header. Checks what every sink may rely on.
 */

#include "fuzz/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* pcap headers by link type; a pcapng section with two interfaces. */
static void put_beginning(struct buf *b, uint8_t how)
{
	static const uint8_t links[] = {1, 101, 113, 0};
	static const uint8_t ng[] = {0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 28, 0, 0, 0, 1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0,
		0, 0, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 20, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0};

	if (how < ARRAY_LEN(links)) {
		le_put(b, 0xa1b2c3d4, 4);
		le_put(b, 0x00040002, 4);
		le_put(b, 0, 8);
		le_put(b, 65535, 4);
		le_put(b, links[how], 4);
	} else if (how == ARRAY_LEN(links)) {
		buf_put(b, ng, sizeof(ng));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf b = {0};

	if (!n)
		return 0;
	put_beginning(&b, data[0]);
	buf_put(&b, data + 1, n - 1);
	fuzz_source(buf_span(&b));
	buf_free(&b);
	return 0;
}
