/*
 * A message's properties and headers as one JSON object. Names may come more than once (Kafka, NATS) and be
 * any bytes: what has been said of a name is one value, or the array of its values in their order.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/base64.h"
#include "cmd/answer.h"

struct property {
	size_t name, name_n, text, text_n; /* in `bytes` */
	enum field_type type;
	int64_t i;
	struct property *next; /* of the same name */
	bool later;            /* another one of that name came before it */
};

struct properties {
	struct buf bytes;
	struct property *list;
	size_t n, cap;
	bool full;
};

static void put_name(struct buf *out, struct span name)
{
	struct span own = span_starts(name, "header.") ? span_sub(name, 7, SIZE_MAX) : name;

	buf_put_span(out, span_sub(name, 0, name.n - own.n));
	if (span_is_text(own)) {
		buf_put_span(out, own);
		return;
	}
	buf_puts(out, "base64:");
	base64_encode(own, out);
}

static bool on_field(void *ctx, const struct field *f)
{
	struct properties *p = ctx;
	struct property *k;

	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 16;

		k = reallocarray(p->list, cap, sizeof(*k));
		p->full = !k;
		if (!k)
			return false;
		p->list = k;
		p->cap = cap;
	}
	k = &p->list[p->n++];
	*k = (struct property){.name = p->bytes.n, .type = f->type, .i = f->i, .text_n = f->text.n};
	put_name(&p->bytes, f->name);
	k->text = p->bytes.n;
	k->name_n = k->text - k->name;
	buf_put_span(&p->bytes, f->text);
	return true;
}

static struct span part(const struct properties *p, size_t at, size_t n)
{
	return span_sub(buf_span(&p->bytes), at, n);
}

static int by_name(const void *a, const void *b, void *ctx)
{
	const struct property *x = *(struct property *const *)a, *y = *(struct property *const *)b;
	size_t n = x->name_n < y->name_n ? x->name_n : y->name_n;
	const struct properties *p = ctx;
	int c = memcmp(p->bytes.p + x->name, p->bytes.p + y->name, n);

	if (c || x->name_n != y->name_n)
		return c ? c : x->name_n < y->name_n ? -1 : 1;
	return x < y ? -1 : x > y;
}

static int join_equal(struct properties *p)
{
	struct property **order = calloc(p->n, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < p->n; i++)
		order[i] = &p->list[i];
	qsort_r(order, p->n, sizeof(*order), by_name, p);
	for (size_t i = 1; i < p->n; i++) {
		struct property *a = order[i - 1], *b = order[i];

		if (!span_eq(part(p, a->name, a->name_n), part(p, b->name, b->name_n)))
			continue;
		a->next = b;
		b->later = true;
	}
	free(order);
	return 0;
}

static void put_value(struct json *j, const struct properties *p, const struct property *k)
{
	switch (k->type) {
	case FIELD_INT:
		json_int(j, k->i);
		break;
	case FIELD_BOOL:
		json_bool(j, k->i);
		break;
	case FIELD_NULL:
		json_null(j);
		break;
	default: /* doubles as well: their text is exact */
		json_exact(j, part(p, k->text, k->text_n));
	}
}

int put_properties_json(struct json *j, const struct proto *decoder, struct span envelope)
{
	struct properties p = {0};
	int err = 0;

	if (decoder)
		decoder->fields(envelope, on_field, &p);
	if (p.full || !buf_ok(&p.bytes))
		err = -ENOMEM;
	if (!err && p.n)
		err = join_equal(&p);
	json_obj(j);
	for (size_t i = 0; i < p.n && !err; i++) {
		const struct property *k = &p.list[i];

		if (k->later)
			continue;
		json_key_span(j, part(&p, k->name, k->name_n));
		if (k->next)
			json_arr(j);
		for (const struct property *v = k; v; v = v->next)
			put_value(j, &p, v);
		if (k->next)
			json_arr_end(j);
	}
	json_obj_end(j);
	free(p.list);
	buf_free(&p.bytes);
	return err;
}
