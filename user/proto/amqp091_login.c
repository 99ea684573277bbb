/*
 * The SASL responses of an AMQP 0-9-1 login: the user's name is kept, everything else is a secret and only
 * its place is told. Works on the beginning of a frame, so that a secret's place is known before its first
 * byte has to be written anywhere: in each form a length or a name stands before the secret.
 */
#include "base/rd.h"
#include "proto/amqp091.h"
#include "proto/amqp091_state.h"

#define USER_MAX    1024 /* PLAIN: so far the end of the user's name is looked for */
#define ENTRIES_MAX 16   /* AMQPLAIN: so many entries are looked at; there are two */

/* --- the user's name --- */

/* PLAIN is "identity NUL user NUL password" (RFC 4616). What follows the second NUL, or NULL. */
static const uint8_t *behind_user(struct span s, const uint8_t **ret_user)
{
	const uint8_t *nul = s.n ? memchr(s.p, 0, s.n) : NULL;
	const uint8_t *nul2 = nul ? memchr(nul + 1, 0, (size_t)(s.p + s.n - nul - 1)) : NULL;

	*ret_user = nul ? nul + 1 : NULL;
	return nul2 ? nul2 + 1 : NULL;
}

static bool user_entry(void *ctx, struct span name, struct span raw)
{
	struct span *user = ctx;

	if (!span_is(name, "LOGIN") || raw.n < 11 || raw.p[6] != 'S')
		return true;
	*user = span_of(raw.p + 11, raw.n - 11);
	return false;
}

struct span amqp_login_user(struct span mechanism, struct span response)
{
	struct span user = SPAN_EMPTY;

	if (span_is(mechanism, "PLAIN")) {
		const uint8_t *p, *end = behind_user(span_sub(response, 0, USER_MAX), &p);

		if (end)
			user = span_of(p, (size_t)(end - 1 - p));
	} else if (span_is(mechanism, "AMQPLAIN")) {
		amqp091_table_each(response, user_entry, &user);
	}
	return user;
}

/* --- the secrets --- */

struct login {
	const uint8_t *begin; /* of the method's payload */
	amqp_secret_fn fn;
	void *ctx;
};

static void tell(const struct login *l, const uint8_t *p, size_t n)
{
	if (n)
		l->fn(l->ctx, (size_t)(p - l->begin), n);
}

/* The functions below get what is there of a response of @n bytes, and return true when more may tell more.
 */
static bool plain(const struct login *l, struct span have, size_t n)
{
	const uint8_t *user, *secret = behind_user(span_sub(have, 0, USER_MAX), &user);

	if (secret)
		tell(l, secret, n - (size_t)(secret - have.p));
	else if (have.n < n && have.n < USER_MAX)
		return true;
	else /* not what PLAIN looks like */
		tell(l, have.p, n);
	return false;
}

/* A field table: every value is a secret, but a LOGIN. */
static bool amqplain(const struct login *l, struct span have, size_t n)
{
	const uint8_t *end = have.p + n;
	struct rd r = rd_of(have);

	for (int i = 0; rd_left(&r); i++) {
		const uint8_t *entry = r.p;
		struct span name = rd_span(&r, rd_u8(&r));
		uint8_t type = rd_u8(&r);
		size_t size, left;

		if (r.bad && have.n < n && i < ENTRIES_MAX)
			return true;
		if (r.bad || type != 'S' || i >= ENTRIES_MAX) {
			/* Where its value ends is not known. */
			entry = r.bad || i >= ENTRIES_MAX ? entry : r.p;
			tell(l, entry, (size_t)(end - entry));
			return false;
		}
		size = rd_u32(&r);
		left = (size_t)(end - r.p);
		if (!r.bad && !span_is(name, "LOGIN"))
			tell(l, r.p, size < left ? size : left);
		rd_span(&r, size);
		if (r.bad)
			break;
	}
	return have.n < n;
}

static bool response(const struct login *l, struct rd *r, size_t size, struct span mechanism)
{
	size_t n = rd_u32(r), left = size - (size_t)(r->p - l->begin);
	struct span have;

	if (r->bad)
		return true;
	n = n < left ? n : left;
	have = span_of(r->p, rd_left(r) < n ? rd_left(r) : n);
	if (span_is(mechanism, "PLAIN"))
		return plain(l, have, n);
	if (span_is(mechanism, "AMQPLAIN"))
		return amqplain(l, have, n);
	tell(l, have.p, n);
	return false;
}

bool amqp_login_secrets(struct span part, size_t size, amqp_secret_fn fn, void *ctx)
{
	struct rd r = rd_of(part);
	struct login l = {r.p, fn, ctx};
	struct span mechanism = SPAN_EMPTY;
	uint32_t id = rd_u32(&r);

	if (r.bad)
		return true;
	switch (id) {
	case CONNECTION_START_OK:
		rd_span(&r, rd_u32(&r)); /* the client's properties */
		mechanism = rd_span(&r, rd_u8(&r));
		return response(&l, &r, size, mechanism);
	case CONNECTION_SECURE_OK:
	case CONNECTION_UPDATE_SECRET:
		return response(&l, &r, size, mechanism);
	}
	return false;
}
