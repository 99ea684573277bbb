/*
 * Is this NATS? From the first byte the server's INFO or the client's CONNECT says so. From the middle it
 * takes a message whose payload ends where its line says, or a subscription among other lines; PING, +OK and
 * -ERR are said by Redis and others, too.
 */
#include "base/search.h"
#include "proto/nats_state.h"

#define HEAD_MAX  8192 /* bytes of a request to upgrade */
#define INFO_SEEN 128  /* bytes of INFO, where its server_id stands */

static bool holds_word(struct span s, const char *word)
{
	return s.n && memmem(s.p, s.n, word, strlen(word));
}

static bool is_info(const struct line *l)
{
	return l->verb == VERB_INFO &&
	       (holds_word(l->rest, "\"server_id\"") || holds_word(l->rest, "\"max_payload\""));
}

/* How sure it is that @s, from the first byte, is what the server says. */
static enum probe_result server_begins(struct span s)
{
	struct line l;

	switch (nats_line(s, TO_CLIENT, NATS_PAYLOAD_MAX, &l)) {
	case LINE_MORE:
		/* Others begin with PING or +OK; a NATS server never does. */
		return !s.n || span_eq_nocase(span_sub(s, 0, 4), span_sub(SPAN_LIT("INFO"), 0, s.n))
			       ? PROBE_MORE
			       : PROBE_NO;
	case LINE_OK:
		return is_info(&l) ? PROBE_YES : PROBE_NO;
	default:
		return PROBE_NO;
	}
}

static enum probe_result client_begins(struct span s)
{
	struct line l;

	switch (nats_line(s, TO_SERVER, NATS_PAYLOAD_MAX, &l)) {
	case LINE_MORE:
		return PROBE_MORE;
	case LINE_OK:
		if (l.verb == VERB_INFO)
			return PROBE_NO;
		return l.verb == VERB_CONNECT ? PROBE_YES : PROBE_MORE;
	default:
		return PROBE_NO;
	}
}

/* --- WebSocket --- */

/* A frame of the server's whose data begins with INFO, behind the answer to the upgrade; 5 bytes and more. */
static bool info_frame(struct span s)
{
	static const size_t head[] = {2, 4, 10}; /* with a length of 7 bits, 16 and 64 */
	size_t n = s.n > 1 ? head[s.p[1] < 126 ? 0 : s.p[1] - 125] : 0;

	return s.n > n && n && (s.p[0] & 0x0f) <= 2 && span_starts(span_sub(s, n, SIZE_MAX), "INFO {") &&
	       holds_word(span_sub(s, n, SIZE_MAX), "\"server_id\"");
}

static struct span behind_head(struct span s)
{
	const uint8_t *end = s.n ? memmem(s.p, s.n, "\r\n\r\n", 4) : NULL;

	return end ? span_of(end + 4, s.n - (size_t)(end - s.p) - 4) : SPAN_EMPTY;
}

bool nats_websocket(struct span s, enum flowdir d)
{
	if (d == TO_CLIENT)
		return span_starts(s, "HTTP/1.1 101");
	return span_starts(s, "GET ") && holds_word(span_sub(s, 0, HEAD_MAX), "\r\nSec-WebSocket-Key:");
}

/* Only a request to upgrade is waited for: any other of HTTP is none of ours as soon as its head is there. */
static enum probe_result websocket(struct span to_server, struct span to_client)
{
	struct span said = behind_head(to_client);

	if (!behind_head(to_server).p && to_server.n < HEAD_MAX && !to_client.n)
		return PROBE_MORE;
	if (!nats_websocket(to_server, TO_SERVER) || (to_client.n && !nats_websocket(to_client, TO_CLIENT)))
		return PROBE_NO;
	if (said.n < INFO_SEEN)
		return PROBE_MORE;
	return info_frame(said) ? PROBE_YES : PROBE_NO;
}

static enum probe_result from_first(struct span to_server, struct span to_client)
{
	enum probe_result c = client_begins(to_server), s = server_begins(to_client);

	if (to_server.n && span_eq(span_sub(to_server, 0, 4), span_sub(SPAN_LIT("GET "), 0, to_server.n)))
		return websocket(to_server, to_client);
	if (c == PROBE_NO || s == PROBE_NO)
		return PROBE_NO;
	return c == PROBE_YES || s == PROBE_YES ? PROBE_YES : PROBE_MORE;
}

enum evidence { NO_EVIDENCE, SOME, ENOUGH };

/* Whether the line at the start of @s, which is proven, tells NATS from all others. */
static enum evidence weigh(const struct line *l, struct span s, enum flowdir d)
{
	struct line next;

	switch (l->verb) {
	case VERB_PUB:
	case VERB_HPUB:
	case VERB_MSG:
	case VERB_HMSG:
		return ENOUGH;
	case VERB_INFO:
		return d == TO_CLIENT && is_info(l) ? ENOUGH : NO_EVIDENCE;
	case VERB_CONNECT:
		return holds_word(l->rest, "\"lang\"") || holds_word(l->rest, "\"verbose\"") ? ENOUGH
											     : NO_EVIDENCE;
	case VERB_SUB:
		/* "Sub total 5" is a line of many texts: another line has to follow. */
		if (!span_starts(s, "SUB"))
			return NO_EVIDENCE;
		s = span_sub(s, l->len, SIZE_MAX);
		return nats_believe(s, d, NATS_PAYLOAD_MAX, &next) == PROVEN && next.verb != VERB_SUB ? ENOUGH
												      : SOME;
	default:
		/* Redis and others say PING and +OK, too. */
		return NO_EVIDENCE;
	}
}

static enum evidence evidence_in(struct span s, enum flowdir d)
{
	enum evidence best = NO_EVIDENCE;
	struct line l;

	for (size_t i = 0; i < s.n && best != ENOUGH; i = nats_next_start(s, i))
		if (nats_believe(span_sub(s, i, SIZE_MAX), d, NATS_PAYLOAD_MAX, &l) == PROVEN) {
			enum evidence e = weigh(&l, span_sub(s, i, SIZE_MAX), d);

			best = e > best ? e : best;
		}
	return best;
}

/* A message from server to server, which either side may have sent. */
static bool link_in(struct span s)
{
	struct line l;

	for (size_t i = 0; i < s.n; i = nats_next_start(s, i))
		if (nats_believe(span_sub(s, i, SIZE_MAX), TO_SERVER, NATS_PAYLOAD_MAX, &l) == PROVEN &&
			l.verb == VERB_LINK && l.payload)
			return true;
	return false;
}

/* All of @s is lines. */
static bool nothing_else(struct span s, enum flowdir d)
{
	struct line l;
	size_t n = 0;

	while (s.n) {
		if (nats_believe(s, d, NATS_PAYLOAD_MAX, &l) != PROVEN)
			return false;
		s = span_sub(s, l.len + (l.payload ? l.total + 2u : 0), SIZE_MAX);
		n++;
	}
	return n > 0;
}

static bool sure(struct span to_server, struct span to_client)
{
	enum evidence c = evidence_in(to_server, TO_SERVER), s = evidence_in(to_client, TO_CLIENT);

	if (c == ENOUGH || s == ENOUGH)
		return true;
	return c == SOME && nothing_else(to_server, TO_SERVER) && nothing_else(to_client, TO_CLIENT);
}

enum probe_result nats_probe(struct span to_server, struct span to_client, bool from_start)
{
	enum probe_result r, reversed;

	if (from_start) {
		r = from_first(to_server, to_client);
		if (r == PROBE_YES)
			return r;
		reversed = from_first(to_client, to_server);
		if (reversed == PROBE_YES)
			return PROBE_REVERSED;
		return r == PROBE_MORE || reversed == PROBE_MORE ? PROBE_MORE : PROBE_NO;
	}
	r = sure(to_server, to_client) ? PROBE_YES : PROBE_MORE;
	reversed = sure(to_client, to_server) ? PROBE_YES : PROBE_MORE;
	if (r == reversed)
		return link_in(to_server) || link_in(to_client) ? PROBE_YES : PROBE_MORE;
	return r == PROBE_YES ? PROBE_YES : PROBE_REVERSED;
}
