/*
 * Python's pickle is a program for a stack machine. It is not run here: the texts and numbers that its
 * opcodes push are given out as words, without a path. Frames, memo, names of classes and whatever builds
 * objects are stepped over.
 */
#include "extract/walk.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/le.h"

struct machine {
	struct walk *w;
	struct span s;
	uint32_t ops;
};

/* The next @n bytes; false when they are not there. */
static bool take(struct machine *m, uint64_t n, struct span *ret)
{
	if (n > m->s.n)
		return false;
	*ret = span_sub(m->s, 0, n);
	m->s = span_sub(m->s, n, SIZE_MAX);
	return true;
}

/* Bytes behind a length of @width bytes. */
static int counted(struct machine *m, size_t width, bool give)
{
	struct span s;

	if (!take(m, width, &s) || !take(m, le_get(s.p, width), &s))
		return -ENODATA;
	if (give)
		walk_bytes(m->w, s);
	return 0;
}

/* An argument that ends with its line. */
static int line(struct machine *m, bool give)
{
	const uint8_t *lf = m->s.n ? memchr(m->s.p, '\n', m->s.n) : NULL;
	struct span s;

	if (!lf)
		return -ENODATA;
	take(m, (size_t)(lf - m->s.p) + 1, &s);
	s.n--;
	if (give && s.n && s.p[s.n - 1] == 'L')
		s.n--;
	if (give && span_is_text(s))
		walk_emit(m->w, s, SCALAR_STRING);
	return 0;
}

static int fixed(struct machine *m, size_t width, bool is_signed)
{
	struct span s;
	uint64_t v;

	if (!take(m, width, &s))
		return -ENODATA;
	v = le_get(s.p, width);
	if (is_signed && width < 8 && v >> (8 * width - 1))
		v |= ~(uint64_t)0 << (8 * width);
	walk_int(m->w, (int64_t)v);
	return 0;
}

/* LONG1: little-endian two's complement of any length. */
static int long1(struct machine *m)
{
	struct span s;
	uint8_t width;

	if (!take(m, 1, &s))
		return -ENODATA;
	width = s.p[0];
	if (width && width <= 8)
		return fixed(m, width, true);
	return take(m, width, &s) ? 0 : -ENODATA;
}

static int binfloat(struct machine *m)
{
	struct span s;
	uint64_t bits = 0;
	double d;

	if (!take(m, 8, &s))
		return -ENODATA;
	for (size_t i = 0; i < 8; i++)
		bits = bits << 8 | s.p[i];
	memcpy(&d, &bits, 8);
	walk_double(m->w, d);
	return 0;
}

static int skip(struct machine *m, size_t n)
{
	struct span s;

	return take(m, n, &s) ? 0 : -ENODATA;
}

/* The argument of opcode @c (pickletools of Python 3 lists them). */
static int step(struct machine *m, uint8_t c)
{
	switch (c) {
	case 'X': /* BINUNICODE */
	case 'T': /* BINSTRING */
	case 'B': /* BINBYTES */
		return counted(m, 4, true);
	case 0x8c: /* SHORT_BINUNICODE */
	case 'U':  /* SHORT_BINSTRING */
	case 'C':  /* SHORT_BINBYTES */
		return counted(m, 1, true);
	case 0x8d: /* BINUNICODE8 */
	case 0x8e: /* BINBYTES8 */
	case 0x96: /* BYTEARRAY8 */
		return counted(m, 8, true);
	case 0x8b: /* LONG4 */
		return counted(m, 4, false);
	case 'K':
		return fixed(m, 1, false);
	case 'M':
		return fixed(m, 2, false);
	case 'J':
		return fixed(m, 4, true);
	case 0x8a:
		return long1(m);
	case 'G':
		return binfloat(m);
	case 'I':
	case 'L':
	case 'F':
	case 'S':
	case 'V':
		return line(m, true);
	case 'g':
	case 'p':
	case 'P':
		return line(m, false);
	case 'c':
	case 'i': /* module and class */
		return line(m, false) ? -ENODATA : line(m, false);
	case 'q': /* memo */
	case 'h':
	case 0x80:
	case 0x82:
		return skip(m, 1);
	case 0x83:
		return skip(m, 2);
	case 'r':
	case 'j':
	case 0x84:
		return skip(m, 4);
	case 0x95: /* FRAME */
		return skip(m, 8);
	case '(':
	case ')':
	case ']':
	case '}':
	case 't':
	case 'l':
	case 'd':
	case 'a':
	case 'e':
	case 's':
	case 'u':
	case 'b':
	case 'R':
	case 'o':
	case 'Q':
	case '0':
	case '1':
	case '2':
	case 'N':
	case 0x81:
	case 0x85 ... 0x89:
	case 0x8f ... 0x94:
	case 0x97:
	case 0x98:
		return 0;
	}
	return -EBADMSG;
}

/* 0 when it ended with STOP, -ENODATA, -EBADMSG. */
static int execute(struct machine *m)
{
	struct span op;
	int err = 0;

	while (!err && !m->w->stop) {
		if (!take(m, 1, &op))
			return -ENODATA;
		if (op.p[0] == '.')
			return 0;
		err = step(m, op.p[0]);
		m->ops++;
	}
	return err;
}

int pickle_walk(struct walk *w, struct span body)
{
	struct machine m = {.w = w, .s = body};

	return execute(&m) ? -EBADMSG : 0;
}

/* From protocol 2 on there is a header; what is cut must have run for a while. */
bool is_pickle(struct span body)
{
	struct walk w;
	struct machine m = {.w = &w, .s = body};
	int err;

	if (body.n < 4 || body.p[0] != 0x80 || body.p[1] < 2 || body.p[1] > 5)
		return false;
	walk_dry(&w);
	err = execute(&m);
	return !err ? !m.s.n : err == -ENODATA && m.ops >= 8;
}
