#include "base/base64.h"

#define X   0xff
#define X4  X, X, X, X
#define X16 X4, X4, X4, X4

const uint8_t base64_bits[256] = {
	X16,
	X16,
	X4,
	X4,
	X,
	X,
	X,
	62,
	X,
	X,
	X,
	63, /* '+' and '/' */
	52,
	53,
	54,
	55,
	56,
	57,
	58,
	59,
	60,
	61,
	X,
	X,
	X4, /* digits */
	X,
	0,
	1,
	2,
	3,
	4,
	5,
	6,
	7,
	8,
	9,
	10,
	11,
	12,
	13,
	14, /* A to O */
	15,
	16,
	17,
	18,
	19,
	20,
	21,
	22,
	23,
	24,
	25,
	X,
	X4, /* P to Z */
	X,
	26,
	27,
	28,
	29,
	30,
	31,
	32,
	33,
	34,
	35,
	36,
	37,
	38,
	39,
	40, /* a to o */
	41,
	42,
	43,
	44,
	45,
	46,
	47,
	48,
	49,
	50,
	51,
	X,
	X4, /* p to z */
	X16,
	X16,
	X16,
	X16,
	X16,
	X16,
	X16,
	X16,
};

bool base64_peek(struct span s, uint8_t ret[3])
{
	uint32_t v = 0;

	if (s.n < 4)
		return false;
	for (size_t i = 0; i < 4; i++) {
		uint8_t bits = base64_bits[s.p[i]];

		if (bits == X)
			return false;
		v = v << 6 | bits;
	}
	ret[0] = (uint8_t)(v >> 16);
	ret[1] = (uint8_t)(v >> 8);
	ret[2] = (uint8_t)v;
	return true;
}

bool base64_decode(struct span s, bool cut, struct buf *out)
{
	size_t n = out->n, pad = 0;
	uint32_t v = 0;
	unsigned have = 0;
	uint8_t *to;

	if (!buf_reserve(out, s.n / 4 * 3 + 3))
		return false;
	to = out->p + n;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t bits = base64_bits[s.p[i]];

		if (bits != X && !pad) {
			v = v << 6 | bits;
			if (++have == 4) {
				*to++ = (uint8_t)(v >> 16);
				*to++ = (uint8_t)(v >> 8);
				*to++ = (uint8_t)v;
				have = 0;
			}
		} else if (s.p[i] == '=' && have >= 2 && have + pad < 4) {
			pad++;
		} else if (s.p[i] != '\r' && s.p[i] != '\n') {
			return false;
		}
	}
	if (have == 1 && !cut)
		return false;
	if (have >= 2)
		*to++ = (uint8_t)(v >> (6 * have - 8));
	if (have == 3)
		*to++ = (uint8_t)(v >> 2);
	out->n = (size_t)(to - out->p);
	return true;
}

void base64_encode(struct span s, struct buf *out)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t v = (uint32_t)s.p[i] << 16 | (i + 1 < s.n ? s.p[i + 1] << 8 : 0) |
			     (i + 2 < s.n ? s.p[i + 2] : 0);

		buf_putc(out, set[v >> 18]);
		buf_putc(out, set[v >> 12 & 63]);
		buf_putc(out, i + 1 < s.n ? set[v >> 6 & 63] : '=');
		buf_putc(out, i + 2 < s.n ? set[v & 63] : '=');
	}
}
