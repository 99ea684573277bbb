#include "proto/kafka_wire.h"

struct span kin_take(struct kin *in, size_t n)
{
	struct span s;

	if (in->bad)
		return SPAN_EMPTY;
	if (kin_left(in) < n) {
		in->bad = in->ended = true;
		return SPAN_EMPTY;
	}
	s = span_of(in->p, n);
	in->p += n;
	return s;
}

int64_t kin_int(struct kin *in, size_t width)
{
	struct span s = kin_take(in, width);
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++)
		v = v << 8 | s.p[i];
	switch (width) {
	case 1:
		return (int8_t)v;
	case 2:
		return (int16_t)v;
	case 4:
		return (int32_t)v;
	}
	return (int64_t)v;
}

uint64_t kin_uvarint(struct kin *in)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		struct span s = kin_take(in, 1);

		if (!s.n)
			return 0;
		v |= (uint64_t)(s.p[0] & 0x7f) << shift;
		if (!(s.p[0] & 0x80))
			return v;
	}
	in->bad = true;
	return 0;
}

int64_t kin_varint(struct kin *in)
{
	uint64_t v = kin_uvarint(in);

	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* KIP-482: fields that a reader may skip; their number, then for each its number, size and bytes. */
void kin_skip_tags(struct kin *in)
{
	for (uint64_t n = kin_uvarint(in); n && !in->bad; n--) {
		kin_uvarint(in);
		kin_take(in, kin_uvarint(in));
	}
}

struct kval kin_string16(struct kin *in)
{
	struct kval v = {0};
	int64_t n = kin_int(in, 2);

	v.null = n < 0;
	in->bad |= n < -1;
	if (n > 0)
		v.s = kin_take(in, (size_t)n);
	return v;
}

/* --- the reader --- */

struct walk {
	int version;
	bool flexible;
	struct kin *in;
	struct kval *v;
	kevent_fn fn;
	void *ctx;
};

/* The length before a string, bytes or array; -1: null. @width: of the length where it is not compact. */
static int64_t length(const struct walk *w, size_t width)
{
	int64_t n;

	if (!w->flexible) {
		n = kin_int(w->in, width);
		w->in->bad |= n < -1;
		return n;
	}
	n = (int64_t)kin_uvarint(w->in) - 1;
	w->in->bad |= n > INT32_MAX;
	return n;
}

static struct kval bytes(const struct walk *w, size_t width)
{
	struct kin *in = w->in;
	struct kval v = {0};
	int64_t n = length(w, width);

	if (in->bad)
		return v;
	v.null = n < 0;
	if (n > 0 && (size_t)n > kin_left(in) && in->want_cut && width == 4) {
		v.s = kin_take(in, kin_left(in));
		in->bad = in->ended = in->cut = true;
	} else if (n > 0) {
		v.s = kin_take(in, (size_t)n);
	}
	return v;
}

static struct kval scalar(const struct walk *w, uint8_t type)
{
	switch (type) {
	case T_I8:
		return (struct kval){.i = kin_int(w->in, 1)};
	case T_I16:
		return (struct kval){.i = kin_int(w->in, 2)};
	case T_I32:
	case T_ARRAY_I32:
		return (struct kval){.i = kin_int(w->in, 4)};
	case T_I64:
	case T_ARRAY_I64:
		return (struct kval){.i = kin_int(w->in, 8)};
	case T_UUID:
		return (struct kval){.s = kin_take(w->in, 16)};
	case T_STR:
	case T_ARRAY_STR:
		return bytes(w, 2);
	}
	return bytes(w, 4);
}

static bool walk_struct(const struct walk *w, const struct kfield *f);

static bool tell(const struct walk *w, const struct kfield *f)
{
	return !f->event || !w->fn || w->fn(w->ctx, (enum kevent)f->event, w->v);
}

static bool walk_array(const struct walk *w, const struct kfield *f)
{
	int64_t n = length(w, 4);
	struct kin *in = w->in;

	/* Each element has a byte at least, so the bytes that are there bound the loop. */
	for (; n > 0 && !in->bad; n--) {
		if (f->type == T_ARRAY) {
			if (!walk_struct(w, f->sub) && !in->cut)
				return false;
		} else {
			w->v[f->slot] = scalar(w, f->type);
		}
		if ((!in->bad || in->cut) && !tell(w, f))
			return false;
	}
	return !in->bad;
}

static bool walk_field(const struct walk *w, const struct kfield *f)
{
	switch (f->type) {
	case T_ARRAY:
	case T_ARRAY_I32:
	case T_ARRAY_I64:
	case T_ARRAY_STR:
		return walk_array(w, f);
	case T_MAYBE:
		w->v[f->slot] = scalar(w, T_I8);
		if (w->v[f->slot].i < 0)
			return !w->in->bad;
		/* fall through */
	case T_STRUCT:
		return walk_struct(w, f->sub);
	}
	w->v[f->slot] = scalar(w, f->type);
	return !w->in->bad;
}

static bool has(const struct walk *w, const struct kfield *f)
{
	return w->version >= f->since && w->version <= f->until;
}

static bool walk_tagged(const struct walk *w, const struct kfield *f, uint64_t tag, struct span s)
{
	for (; f->type; f++)
		if (f->tag >= 0 && (uint64_t)f->tag == tag && has(w, f)) {
			struct kin in = kin_of(s);
			struct walk sub = *w;

			sub.in = &in;
			return walk_field(&sub, f);
		}
	return true;
}

static bool walk_struct(const struct walk *w, const struct kfield *f)
{
	struct kin *in = w->in;

	for (const struct kfield *k = f; k->type; k++)
		if (k->tag < 0 && has(w, k) && !walk_field(w, k))
			return false;
	if (!w->flexible)
		return !in->bad;
	for (uint64_t n = kin_uvarint(in); n && !in->bad; n--) {
		uint64_t tag = kin_uvarint(in);
		struct span s = kin_take(in, kin_uvarint(in));

		if (!in->bad && !walk_tagged(w, f, tag, s)) {
			in->bad = true;
			return false;
		}
	}
	return !in->bad;
}

bool kafka_walk(const struct kfield *fields, int version, bool flexible, struct kin *in, struct kval *v,
	kevent_fn fn, void *ctx)
{
	struct walk w = {version, flexible, in, v, fn, ctx};

	for (int i = 0; i < S_SLOTS; i++)
		v[i] = (struct kval){.null = true};
	return walk_struct(&w, fields);
}

/* --- headers and names --- */

static bool client_sane(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return s.n <= 1024;
}

static bool bad(struct kin *in)
{
	in->bad = true;
	return false;
}

bool kafka_head(struct kin *in, struct khead *ret)
{
	ret->key = (int)kin_int(in, 2);
	ret->api = kafka_api(ret->key);
	if (in->bad || !ret->api)
		return bad(in);
	/* Versions to come have the same header; one that is far off is no version. */
	ret->version = (int)kin_int(in, 2);
	if (in->bad || ret->version < 0 || ret->version > ret->api->max + 8)
		return bad(in);
	ret->correlation = (int32_t)kin_int(in, 4);
	ret->client = kin_string16(in);
	if (in->bad)
		return false;
	if (!client_sane(ret->client.s))
		return bad(in);
	if (ret->version >= ret->api->flexible)
		kin_skip_tags(in);
	return !in->bad;
}

bool kafka_topic_legal(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '.' || c == '_' || c == '-'))
			return false;
	}
	return s.n && s.n <= 249;
}

void kafka_id_text(struct span id, char *ret)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;

	for (size_t i = 0; i < id.n && n < KAFKA_ID_TEXT; i++) {
		bits = bits << 8 | id.p[i];
		for (have += 8; have >= 6 && n < KAFKA_ID_TEXT; have -= 6)
			ret[n++] = digits[bits >> (have - 6) & 63];
	}
	while (n < KAFKA_ID_TEXT) {
		ret[n++] = digits[bits << (6 - have) & 63];
		have = 0;
		bits = 0;
	}
}
