/*
 * MessagePack, in place. Every length is checked against what is there before it is used, so a lying count
 * costs nothing: an element takes at least one byte. Several documents may follow each other.
 *
 * The reference library builds a tree of allocations for a whole document and gives nothing for one that is
 * cut; this gives what stands before the cut, and allocates nothing.
 */
#include "extract/walk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/rd.h"

struct reader {
	struct walk *w;
	struct rd r;
	unsigned depth;
	/* what speaks for the format */
	uint32_t texts;
	bool odd; /* keys and strings that are no text: possible, but not by content alone */
};

static int value(struct reader *m);

/* -EBADMSG where the format is broken, -ENODATA where the body ends too early. */
static int status(const struct reader *m)
{
	return m->r.bad ? -ENODATA : 0;
}

static int text(struct reader *m, size_t n)
{
	struct span s = rd_span(&m->r, n);

	if (m->r.bad)
		return -ENODATA;
	if (s.n && span_is_text(s))
		m->texts++;
	else if (s.n)
		m->odd = true;
	walk_bytes(m->w, s);
	return 0;
}

static int binary(struct reader *m, size_t n)
{
	struct span s = rd_span(&m->r, n);

	if (!m->r.bad)
		walk_bytes(m->w, s);
	return status(m);
}

/* Type -1 is a time: seconds in 32 bits, nanoseconds in 30 and seconds in 34, or in 32 and 64. */
static int extension(struct reader *m, size_t n)
{
	int8_t type = (int8_t)rd_u8(&m->r);
	struct span s = rd_span(&m->r, n);
	struct rd t = rd_of(s);

	if (m->r.bad)
		return -ENODATA;
	if (type == -1 && (n == 4 || n == 8 || n == 12)) {
		if (n == 12)
			rd_u32(&t);
		walk_int(m->w,
			n == 8 ? (int64_t)(rd_u64(&t) & 0x3ffffffff) : (int64_t)rd_be(&t, n == 4 ? 4 : 8));
	} else {
		walk_bytes(m->w, s);
	}
	return 0;
}

/* Signed, of @width bytes. */
static int integer(struct reader *m, size_t width)
{
	uint64_t v = rd_be(&m->r, width);

	if (width < 8 && v >> (8 * width - 1))
		v |= ~(uint64_t)0 << (8 * width);
	if (!m->r.bad)
		walk_int(m->w, (int64_t)v);
	return status(m);
}

static int natural(struct reader *m, size_t width)
{
	uint64_t v = rd_be(&m->r, width);

	if (!m->r.bad)
		walk_uint(m->w, v);
	return status(m);
}

static int floating(struct reader *m, size_t width)
{
	uint64_t bits = rd_be(&m->r, width);
	uint32_t half = (uint32_t)bits;
	double d;
	float f;

	if (m->r.bad)
		return -ENODATA;
	memcpy(&f, &half, 4);
	memcpy(&d, &bits, 8);
	walk_double(m->w, width == 4 ? (double)f : d);
	return 0;
}

static int array(struct reader *m, uint64_t count)
{
	uint16_t n = m->w->n, leaf = m->w->leaf;
	int err = m->depth++ < WALK_MAX_DEPTH ? 0 : -EBADMSG;

	for (uint64_t i = 0; i < count && !err && !m->w->stop; i++) {
		walk_push_index(m->w, (uint32_t)i);
		err = value(m);
		m->w->n = n;
		m->w->leaf = leaf;
	}
	m->depth--;
	return err;
}

/* How many bytes the string has whose first byte is @c; false when it begins none. */
static bool string_length(struct reader *m, uint8_t c, size_t *ret)
{
	if (c >= 0xa0 && c <= 0xbf)
		*ret = c & 31;
	else if (c >= 0xd9 && c <= 0xdb)
		*ret = rd_be(&m->r, (size_t)1 << (c - 0xd9));
	else if (c >= 0xc4 && c <= 0xc6)
		*ret = rd_be(&m->r, (size_t)1 << (c - 0xc4));
	else
		return false;
	return true;
}

/* Text, or a number: what serves as a key. */
static int key(struct reader *m)
{
	uint8_t c = rd_u8(&m->r);
	char number[24];
	struct span name;
	size_t n;

	if (m->r.bad)
		return -ENODATA;
	if (string_length(m, c, &n)) {
		name = rd_span(&m->r, n);
		if (m->r.bad)
			return -ENODATA;
		if (!span_is_text(name))
			m->odd = true;
		else
			m->texts += n > 0;
	} else {
		int64_t v;

		if (c < 0x80 || c >= 0xe0)
			v = (int8_t)c;
		else if (c >= 0xcc && c <= 0xd3)
			v = (int64_t)rd_be(
				&m->r, (size_t)1 << (c & 3)); /* both rows begin at a multiple of 4 */
		else
			return -EBADMSG;
		if (m->r.bad)
			return -ENODATA;
		name = span_of(number, (size_t)snprintf(number, sizeof(number), "%lld", (long long)v));
	}
	walk_push_name(m->w, '.', name);
	return 0;
}

static int map(struct reader *m, uint64_t count)
{
	uint16_t n = m->w->n, leaf = m->w->leaf;
	int err = m->depth++ < WALK_MAX_DEPTH ? 0 : -EBADMSG;

	for (uint64_t i = 0; i < count && !err && !m->w->stop; i++) {
		err = key(m);
		if (!err)
			err = value(m);
		m->w->n = n;
		m->w->leaf = leaf;
	}
	m->depth--;
	return err;
}

static int value(struct reader *m)
{
	uint8_t c = rd_u8(&m->r);
	size_t n;

	if (m->r.bad)
		return -ENODATA;
	if (c < 0x80 || c >= 0xe0) {
		walk_int(m->w, (int8_t)c);
		return 0;
	}
	if (c < 0x90)
		return map(m, c & 15);
	if (c < 0xa0)
		return array(m, c & 15);
	if (c >= 0xc4 && c <= 0xc6) {
		string_length(m, c, &n);
		return binary(m, n);
	}
	if (string_length(m, c, &n))
		return text(m, n);
	switch (c) {
	case 0xc0:
		walk_null(m->w);
		return 0;
	case 0xc2:
	case 0xc3:
		walk_bool(m->w, c & 1);
		return 0;
	case 0xc7 ... 0xc9:
		return extension(m, rd_be(&m->r, (size_t)1 << (c - 0xc7)));
	case 0xca:
	case 0xcb:
		return floating(m, c == 0xca ? 4 : 8);
	case 0xcc ... 0xcf:
		return natural(m, (size_t)1 << (c - 0xcc));
	case 0xd0 ... 0xd3:
		return integer(m, (size_t)1 << (c - 0xd0));
	case 0xd4 ... 0xd8:
		return extension(m, (size_t)1 << (c - 0xd4));
	case 0xdc:
	case 0xdd:
		return array(m, rd_be(&m->r, c == 0xdc ? 2 : 4));
	case 0xde:
	case 0xdf:
		return map(m, rd_be(&m->r, c == 0xde ? 2 : 4));
	}
	return -EBADMSG; /* 0xc1: never used */
}

static bool begins_container(uint8_t c)
{
	return (c >= 0x80 && c < 0xa0) || (c >= 0xdc && c <= 0xdf);
}

static int documents(struct reader *m)
{
	uint16_t n = m->w->n, leaf = m->w->leaf;
	int err = 0;

	while (!err && !m->w->stop && rd_left(&m->r)) {
		err = value(m);
		m->w->n = n;
		m->w->leaf = leaf;
		/* what is no map or array may begin a body, but not follow one */
		if (!err && rd_left(&m->r) && !begins_container(*m->r.p))
			err = -EBADMSG;
	}
	return err;
}

int msgpack_walk(struct walk *w, struct span body)
{
	struct reader m = {.w = w, .r = rd_of(body)};

	return documents(&m) ? -EBADMSG : 0;
}

bool is_msgpack(struct span body, bool hinted)
{
	struct walk w;
	struct reader m = {.w = &w, .r = rd_of(body)};
	int err;

	if (!body.n || (!begins_container(body.p[0]) && !hinted))
		return false;
	walk_dry(&w);
	err = documents(&m);
	if (hinted)
		return !err || err == -ENODATA;
	if (m.odd)
		return false;
	return err ? err == -ENODATA && m.texts >= 4 : m.texts >= 1;
}
