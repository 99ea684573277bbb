#include "export/pcap_packet.h"

#include "base/le.h"
#include "base/timefmt.h"

#define MTU          1500
#define LINKTYPE_RAW 101
#define WINDOW       65535
#define WINDOW_SHIFT 7 /* 8 MiB: readers must not take a burst for one that overruns the window */

enum block {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
};

enum option {
	OPT_END = 0,
	OPT_COMMENT = 1,
	SHB_USERAPPL = 4,
	IF_NAME = 2,
	IF_TSRESOL = 9,
};

/* --- packets --- */

static void be_put(struct buf *b, uint64_t v, size_t width)
{
	for (size_t i = width; i-- > 0;)
		buf_putc(b, (char)(v >> 8 * i));
}

static size_t header_size(bool v6)
{
	return v6 ? 40 : 20;
}

size_t tcp_mss(bool v6)
{
	return MTU - header_size(v6) - 20;
}

/* RFC 1071, without the final complement. */
static uint32_t add_words(uint32_t sum, const uint8_t *p, size_t n)
{
	for (; n > 1; p += 2, n -= 2)
		sum += (uint32_t)(p[0] << 8 | p[1]);
	return n ? sum + (uint32_t)(p[0] << 8) : sum;
}

static void set_checksum(uint8_t *p, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	p[0] = (uint8_t)(~sum >> 8);
	p[1] = (uint8_t)~sum;
}

static void put_ip(struct buf *b, const struct tcp_packet *p, size_t payload)
{
	size_t n = p->v6 ? 16 : 4, at = b->n;

	if (p->v6) {
		be_put(b, 0x60000000, 4);
		be_put(b, payload, 2);
		be_put(b, 6 << 8 | 64, 2); /* TCP, hop limit */
	} else {
		be_put(b, 0x4500, 2);
		be_put(b, 20 + payload, 2);
		be_put(b, p->id, 2);
		be_put(b, 0x4000, 2);      /* do not fragment */
		be_put(b, 64 << 8 | 6, 2); /* time to live, TCP */
		be_put(b, 0, 2);
	}
	buf_put(b, p->from->addr, n);
	buf_put(b, p->to->addr, n);
	if (!p->v6 && buf_ok(b))
		set_checksum(b->p + at + 10, add_words(0, b->p + at, 20));
}

static void put_options(struct buf *b, const struct tcp_packet *p)
{
	be_put(b, 0x0204, 2); /* maximum segment size */
	be_put(b, tcp_mss(p->v6), 2);
	be_put(b, 0x01030300 | WINDOW_SHIFT, 4); /* no operation, window scale */
}

void put_tcp(struct buf *b, const struct tcp_packet *p)
{
	size_t head = p->flags & TCP_SYN ? 28 : 20, addrs = p->v6 ? 32 : 8, at;

	put_ip(b, p, head + p->data.n);
	at = b->n;
	be_put(b, p->from->port, 2);
	be_put(b, p->to->port, 2);
	be_put(b, p->seq, 4);
	be_put(b, p->ack, 4);
	be_put(b, head / 4 << 12 | p->flags, 2);
	be_put(b, WINDOW, 2);
	be_put(b, 0, 4);
	if (p->flags & TCP_SYN)
		put_options(b, p);
	buf_put_span(b, p->data);
	if (!buf_ok(b))
		return;
	/* The pseudo header: addresses, which stand right before, protocol and length. */
	set_checksum(
		b->p + at + 16, add_words((uint32_t)(6 + b->n - at), b->p + at - addrs, addrs + b->n - at));
}

/* --- blocks --- */

static size_t begin_block(struct buf *b, enum block type)
{
	size_t at = b->n;

	le_put(b, type, 4);
	le_put(b, 0, 4);
	return at;
}

static void pad(struct buf *b, size_t at)
{
	while (buf_ok(b) && (b->n - at) % 4)
		buf_putc(b, 0);
}

static void end_block(struct buf *b, size_t at)
{
	pad(b, at);
	le_put(b, b->n - at + 4, 4);
	if (buf_ok(b))
		le_set(b->p + at + 4, b->n - at, 4);
}

static void put_option(struct buf *b, enum option code, struct span v)
{
	size_t at;

	v.n = v.n < UINT16_MAX ? v.n : UINT16_MAX;
	le_put(b, code, 2);
	le_put(b, v.n, 2);
	at = b->n;
	buf_put_span(b, v);
	pad(b, at);
}

void put_section(struct buf *b, const char *program, const char *comment)
{
	static const uint8_t nanoseconds = 9;
	size_t at = begin_block(b, BLOCK_SECTION);

	le_put(b, 0x1a2b3c4d, 4);
	le_put(b, 1, 4); /* version 1.0 */
	le_put(b, UINT64_MAX, 8);
	put_option(b, SHB_USERAPPL, span_str(program));
	if (*comment)
		put_option(b, OPT_COMMENT, span_str(comment));
	put_option(b, OPT_END, SPAN_EMPTY);
	end_block(b, at);

	at = begin_block(b, BLOCK_INTERFACE);
	le_put(b, LINKTYPE_RAW, 4);
	le_put(b, 0, 4); /* no snapshot length */
	put_option(b, IF_NAME, SPAN_LIT("evtrace"));
	put_option(b, IF_TSRESOL, span_of(&nanoseconds, 1));
	put_option(b, OPT_END, SPAN_EMPTY);
	end_block(b, at);
}

void put_packet(struct buf *b, int64_t ts_ns, struct span packet, const char *comment)
{
	size_t at = begin_block(b, BLOCK_PACKET);
	uint64_t t = ts_ns > 0 ? (uint64_t)ts_ns : 0;

	le_put(b, 0, 4);
	le_put(b, t >> 32, 4);
	le_put(b, t & UINT32_MAX, 4);
	le_put(b, packet.n, 4);
	le_put(b, packet.n, 4);
	buf_put_span(b, packet);
	pad(b, at);
	if (*comment) {
		put_option(b, OPT_COMMENT, span_str(comment));
		put_option(b, OPT_END, SPAN_EMPTY);
	}
	end_block(b, at);
}
