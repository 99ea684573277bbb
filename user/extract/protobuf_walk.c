/*
 * Protocol Buffers' wire format without its schema: fields have numbers for names, "1.2[0].5". What a field
 * of wire type 2 holds must be guessed: text if it reads as text, a message if it parses as one to its end,
 * else bytes. Repeated fields stand beside each other in what encoders write; only they get an index.
 *
 * Random bytes parse easily, so what is not announced by a content type must look like an encoder's work:
 * field numbers do not descend, varints have no padding, and there is text in it.
 */
#include "extract/walk.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/le.h"

#define MAX_NESTED 16 /* messages in messages: each level looks at its bytes once more */

enum wire {
	WIRE_VARINT = 0,
	WIRE_64 = 1,
	WIRE_LEN = 2,
	WIRE_GROUP = 3,
	WIRE_GROUP_END = 4,
	WIRE_32 = 5,
};

struct field {
	uint32_t number;
	enum wire wire;
	uint64_t varint; /* or the bits of WIRE_64 and WIRE_32 */
	struct span bytes;
};

/* What a look at a message has found. */
struct look {
	bool hinted;
	uint32_t texts, opaque; /* fields that are text; that are neither text nor message */
};

/* 0, -ENODATA at the end of @s, -EBADMSG. */
static int varint(struct span *s, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s->n && i < 10; i++) {
		uint8_t c = s->p[i];

		v |= (uint64_t)(c & 0x7f) << (7 * i);
		if (c & 0x80)
			continue;
		if (i && !c)
			return -EBADMSG; /* padded: no encoder does */
		if (i == 9 && c > 1)
			return -EBADMSG;
		*s = span_sub(*s, i + 1, SIZE_MAX);
		*ret = v;
		return 0;
	}
	return s->n < 10 ? -ENODATA : -EBADMSG;
}

/* Numbers end at 2^29; 19000 to 19999 are the implementations' own. */
static int read_tag(struct span *s, struct field *ret)
{
	uint64_t tag;
	int err = varint(s, &tag);

	if (err)
		return err;
	if (tag >> 32 || tag < 8 || (tag & 7) > WIRE_32 || (tag >> 3 >= 19000 && tag >> 3 <= 19999))
		return -EBADMSG;
	ret->number = (uint32_t)(tag >> 3);
	ret->wire = (enum wire)(tag & 7);
	return 0;
}

static int read_fixed(struct span *s, size_t width, struct field *ret)
{
	if (s->n < width)
		return -ENODATA;
	ret->varint = le_get(s->p, width);
	*s = span_sub(*s, width, SIZE_MAX);
	return 0;
}

static int read_field(struct span *s, struct field *ret)
{
	int err = read_tag(s, ret);

	if (err)
		return err;
	switch (ret->wire) {
	case WIRE_VARINT:
		return varint(s, &ret->varint);
	case WIRE_64:
		return read_fixed(s, 8, ret);
	case WIRE_32:
		return read_fixed(s, 4, ret);
	case WIRE_LEN:
		err = varint(s, &ret->varint);
		if (err)
			return err;
		if (ret->varint > s->n)
			return ret->varint >> 31 ? -EBADMSG : -ENODATA; /* a message ends below 2 GiB */
		ret->bytes = span_sub(*s, 0, ret->varint);
		*s = span_sub(*s, ret->varint, SIZE_MAX);
		return 0;
	case WIRE_GROUP:
	case WIRE_GROUP_END:
		break;
	}
	return -EBADMSG; /* groups: deprecated since 2008, and every fourth byte would begin or end one */
}

static int look_at(struct span s, unsigned depth, struct look *look);

static bool is_message(struct span s, unsigned depth, struct look *look)
{
	struct look inner = {.hinted = look->hinted};

	if (!s.n || depth >= MAX_NESTED || look_at(s, depth, &inner))
		return false;
	look->texts += inner.texts;
	look->opaque += inner.opaque;
	return true;
}

/* Text that begins with a line feed is more often a message whose field 1 is a text. */
static bool reads_as_text(struct span s, unsigned depth)
{
	struct look look = {0};

	return span_is_text(s) && !(s.n > 2 && s.p[0] == '\n' && is_message(s, depth, &look));
}

/* Does @s parse to its end? 0, -ENODATA, -EBADMSG. */
static int look_at(struct span s, unsigned depth, struct look *look)
{
	uint32_t last = 0;

	while (s.n) {
		struct field f;
		int err = read_field(&s, &f);

		if (err)
			return err;
		if (f.number < last && !look->hinted)
			return -EBADMSG;
		last = f.number;
		if (f.wire != WIRE_LEN || !f.bytes.n)
			continue;
		if (reads_as_text(f.bytes, depth + 1))
			look->texts++;
		else if (!is_message(f.bytes, depth + 1, look))
			look->opaque++;
	}
	return 0;
}

bool is_protobuf(struct span body, bool hinted)
{
	struct look look = {.hinted = hinted};
	int err;

	if (!body.n)
		return false;
	err = look_at(body, 0, &look);
	if (hinted)
		return !err || (err == -ENODATA && look.texts);
	if (look.opaque > look.texts)
		return false;
	return err ? err == -ENODATA && look.texts >= 4 : look.texts >= 1;
}

/* --- walking --- */

/* Bits are a double or float if that is a number of a size that people use; small integers are not. */
static void walk_fixed(struct walk *w, const struct field *f)
{
	uint32_t half = (uint32_t)f->varint;
	double d;
	float s;

	if (f->wire == WIRE_64) {
		memcpy(&d, &f->varint, 8);
	} else {
		memcpy(&s, &half, 4);
		d = (double)s;
	}
	if (fabs(d) >= 1e-6 && fabs(d) <= 1e15)
		walk_double(w, d);
	else if (f->wire == WIRE_64)
		walk_int(w, (int64_t)f->varint);
	else
		walk_int(w, (int32_t)half);
}

static int message(struct walk *w, struct span s, unsigned depth);

static void walk_len(struct walk *w, struct span s, unsigned depth)
{
	struct look look = {0};

	if (reads_as_text(s, depth + 1))
		walk_text(w, s);
	else if (is_message(s, depth + 1, &look))
		message(w, s, depth + 1);
	else
		walk_bytes(w, s);
}

static int message(struct walk *w, struct span s, unsigned depth)
{
	uint16_t n = w->n, leaf = w->leaf;
	uint32_t last = 0, index = 0;

	while (s.n && !w->stop) {
		struct field f, next;
		struct span rest;
		char name[16];
		int err = read_field(&s, &f);

		if (err)
			return err;
		rest = s;
		index = f.number == last ? index + 1 : 0;
		last = f.number;
		walk_push_name(w, '.', span_of(name, (size_t)snprintf(name, sizeof(name), "%u", f.number)));
		if (index || (s.n && !read_tag(&rest, &next) && next.number == f.number))
			walk_push_index(w, index);
		if (f.wire == WIRE_LEN)
			walk_len(w, f.bytes, depth);
		else if (f.wire == WIRE_VARINT)
			walk_int(w, (int64_t)f.varint);
		else
			walk_fixed(w, &f);
		w->n = n;
		w->leaf = leaf;
	}
	return 0;
}

int protobuf_walk(struct walk *w, struct span body)
{
	return message(w, body, 0) ? -EBADMSG : 0;
}
