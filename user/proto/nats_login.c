/*
 * A NATS login: CONNECT with a JSON object. The user's name is kept (a client's own name if there is none);
 * passwords, tokens, JWTs, signatures and nkeys are secrets, of which only the place is told. The line is
 * looked at byte by byte as it comes, so that a secret's place is known with its first byte.
 */
#include "base/search.h"
#include "proto/nats_state.h"

static bool secret_key(struct span key)
{
	static const char *const names[] = {"pass", "auth_token", "jwt", "sig", "nkey", "password", "token"};

	/* A name with escapes may be any of them. */
	if (key.n && memchr(key.p, '\\', key.n))
		return true;
	/* Go's JSON reader, which the server uses, takes names in either case. */
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (span_eq_nocase(key, span_str(names[i])))
			return true;
	return false;
}

static void string_begins(struct secrets *x)
{
	x->in_string = true;
	x->in_key = x->depth == 1 && !x->key_done;
	if (x->in_key)
		x->key_n = 0;
}

/* Looks at one byte outside of strings. */
static void structure(struct secrets *x, uint8_t c)
{
	switch (c) {
	case '"':
		string_begins(x);
		break;
	case '{':
	case '[':
		x->depth++;
		break;
	case '}':
	case ']':
		x->depth -= x->depth > 0;
		break;
	case ':':
		if (x->depth == 1) {
			x->key_done = true;
			x->secret = secret_key(span_of(x->key, x->key_n));
		}
		break;
	case ',':
		if (x->depth == 1)
			x->key_done = x->secret = false;
		break;
	}
}

/* True: the byte is part of a secret. */
static bool secret_byte(struct secrets *x, uint8_t c)
{
	if (!x->in_string) {
		structure(x, c);
		/* A value that is no string, as a client may write a number. */
		return x->secret && x->depth == 1 && !strchr(":\", \t\r\n{}[]", c) && c;
	}
	if (!x->escaped && c == '"') {
		x->in_string = false;
		return false;
	}
	x->escaped = !x->escaped && c == '\\';
	if (x->in_key && x->key_n < sizeof(x->key))
		x->key[x->key_n++] = (char)c;
	return x->secret && !x->in_key;
}

void nats_secrets(struct nats *st, uint64_t pos, struct span line)
{
	struct secrets *x = &st->secrets;
	uint64_t from = 0, n = 0;

	for (; x->seen < line.n; x->seen++) {
		if (!secret_byte(x, line.p[x->seen])) {
			if (n && st->out.secret)
				st->out.secret(st->out.ctx, TO_SERVER, pos + from, n);
			n = 0;
			continue;
		}
		if (!n++)
			from = x->seen;
	}
	if (n && st->out.secret)
		st->out.secret(st->out.ctx, TO_SERVER, pos + from, n);
}

void nats_login(struct nats *st, const struct line *l)
{
	struct op op = nats_op(OP_LOGIN, DEST_CHANNEL);
	struct span verbose = nats_json_get(l->rest, "verbose");
	char text[256];

	/* Only a server names its own id or cluster: a route, gateway or leaf node. */
	if (nats_json_get(l->rest, "server_id").n || nats_json_get(l->rest, "cluster").n ||
		nats_json_get(l->rest, "gateway").n) {
		st->link = true;
		return;
	}
	/* The server's default is verbose. */
	st->oks.on = st->in[TO_SERVER].proven && !span_is(verbose, "false");
	op.text = nats_json_text(nats_json_get(l->rest, "user"), text, sizeof(text));
	if (!op.text.n)
		op.text = nats_json_text(nats_json_get(l->rest, "name"), text, sizeof(text));
	nats_emit(st, &op);
	nats_expect_ok(st, 0);
}
