/*
 * SASL: who logs in, and which bytes of it are secret. Tokens come in requests of their own
 * (SaslAuthenticate), or after a handshake of version 0 bare, with nothing but their size (KIP-43).
 */
#include "proto/kafka_state.h"

#define TOKEN_MAX (1u << 20)

void kafka_handshake(struct kafka *st, struct kin *in)
{
	struct kin body = *in;
	struct kval mechanism = kin_string16(&body);

	buf_clear(&st->mechanism);
	if (!body.bad)
		buf_put_span(&st->mechanism, mechanism.s);
}

void kafka_handshake_done(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval v[S_SLOTS];

	if (!kafka_response(r, body, v, NULL, NULL))
		return;
	if (v[S_TOP_ERROR].i)
		kafka_error(st, &(struct op){.kind = OP_ERROR}, (int)v[S_TOP_ERROR].i);
	else
		st->raw_sasl = r->version == 0;
}

/* The value of `key` in "n,,n=user,r=..." (RFC 5802), from its first byte to the next comma. */
static struct span scram_value(struct span s, char key)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		if (s.p[i] == (uint8_t)key && s.p[i + 1] == '=' && (!i || s.p[i - 1] == ',')) {
			struct span v = span_sub(s, i + 2, SIZE_MAX);
			const uint8_t *end = v.n ? memchr(v.p, ',', v.n) : NULL;

			return end ? span_sub(v, 0, (size_t)(end - v.p)) : v;
		}
	return SPAN_EMPTY;
}

static bool is_gs2(struct span s)
{
	return span_starts(s, "n,") || span_starts(s, "y,") || span_starts(s, "p=");
}

/* RFC 4616: [authzid] NUL user NUL password. Returns where the password begins, 0 not there yet. */
static size_t plain_password(struct span s, struct span *ret_user)
{
	const uint8_t *a = s.n ? memchr(s.p, 0, s.n) : NULL, *b;
	size_t at;

	if (!a)
		return 0;
	at = (size_t)(a - s.p) + 1;
	b = at < s.n ? memchr(s.p + at, 0, s.n - at) : NULL;
	if (!b)
		return 0;
	*ret_user = span_sub(s, at, (size_t)(b - s.p) - at);
	return (size_t)(b - s.p) + 1;
}

void kafka_token(struct kafka *st, struct span token)
{
	struct span user = SPAN_EMPTY;

	if (is_gs2(token)) {
		/* SCRAM names it n=; OAUTHBEARER may name it a=, between the first commas. */
		user = scram_value(span_sub(token, 1, SIZE_MAX), 'n');
		if (!user.n)
			user = scram_value(token, 'a');
	} else if (!buf_span(&st->mechanism).n || span_is(buf_span(&st->mechanism), "PLAIN")) {
		plain_password(token, &user);
	}
	if (!user.n || user.n > 1024)
		return;
	buf_clear(&st->user);
	buf_put_span(&st->user, user);
	st->user_told = false;
}

void kafka_authenticated(struct kafka *st, struct kreq *r, struct span body)
{
	struct kval v[S_SLOTS];

	if (!kafka_response(r, body, v, NULL, NULL) || !v[S_TOP_ERROR].i)
		return;
	buf_clear(&st->user);
	kafka_error(st, &(struct op){.kind = OP_ERROR}, (int)v[S_TOP_ERROR].i);
}

void kafka_logged_in(struct kafka *st)
{
	struct op op = {.kind = OP_LOGIN, .text = buf_span(&st->user)};

	st->raw_sasl = false;
	if (!st->user.n || st->user_told)
		return;
	st->user_told = true;
	kafka_emit(st, &op);
}

/* --- secrets --- */

static bool starts_or_may(struct span s, const char *word)
{
	size_t n = strlen(word) < s.n ? strlen(word) : s.n;

	return !n || !memcmp(s.p, word, n);
}

/* Where in a token the secret begins: SIZE_MAX: none; *ret_more: not seen yet. */
static size_t secret_of(struct kafka *st, struct span s, bool *ret_more)
{
	struct span mechanism = buf_span(&st->mechanism), user;
	bool scram = span_starts(mechanism, "SCRAM-"), bearer = span_is(mechanism, "OAUTHBEARER");
	const uint8_t *at;
	size_t n;

	*ret_more = true;
	if (!s.n)
		return SIZE_MAX;
	if (scram || bearer || is_gs2(s) || span_starts(s, "c=")) {
		/* SCRAM's proof, "p=" behind a comma; OAuth's token, "auth=". */
		at = bearer ? memmem(s.p, s.n, "auth=", 5) : memmem(s.p, s.n, ",p=", 3);
		if (!at && !scram && !bearer)
			at = memmem(s.p, s.n, "auth=", 5);
		return at ? (size_t)(at - s.p) + (*at == ',' ? 3 : 5) : SIZE_MAX;
	}
	if (!mechanism.n && s.n < 2 && (starts_or_may(s, "n,") || starts_or_may(s, "c=")))
		return SIZE_MAX;
	if (!mechanism.n || span_is(mechanism, "PLAIN")) {
		n = plain_password(s, &user);
		return n ? n : SIZE_MAX;
	}
	*ret_more = false;
	return 0; /* GSSAPI and what else there is: all of it */
}

static bool tell_token(struct kafka *st, uint64_t pos, struct span token, size_t size)
{
	bool more;
	size_t at = secret_of(st, token, &more);

	if (at == SIZE_MAX)
		return more && token.n < size;
	if (at < size)
		st->out.secret(st->out.ctx, TO_SERVER, pos + at, size - at);
	return false;
}

bool kafka_secrets(struct kafka *st, uint64_t pos, struct span s, size_t size)
{
	struct kin in = kin_of(s);
	struct khead h;
	uint64_t n;
	size_t at;

	if (!st->out.secret)
		return false;
	if (!kafka_head(&in, &h)) {
		/* No request: a bare token. As long as it may be one, nothing is known. */
		if (in.ended || !st->raw_sasl || size > TOKEN_MAX)
			return in.ended && s.n < size;
		return tell_token(st, pos, s, size);
	}
	if (size > TOKEN_MAX)
		return false;
	if (h.key == K_ALTER_SCRAM) {
		/* Salted passwords stand between names; the whole goes. */
		n = (uint64_t)(in.p - s.p);
		if (n < size)
			st->out.secret(st->out.ctx, TO_SERVER, pos + n, size - n);
		return false;
	}
	if (h.key != K_SASL_AUTHENTICATE)
		return false;
	n = h.version >= h.api->flexible ? kin_uvarint(&in) - 1 : (uint64_t)kin_int(&in, 4);
	if (in.bad)
		return true;
	at = (size_t)(in.p - s.p);
	if (n > size - at)
		return false;
	return tell_token(st, pos + at, span_sub(s, at, (size_t)n), (size_t)n);
}
