/*
 * Is it Kafka? Nothing in a frame says so, so a request has to be one in every field: size, api, version, a
 * client id of text, and a body that its api's table reads to the very last byte, with legal names in it.
 */
#include "proto/kafka_state.h"

enum look {
	LOOK_NO,
	LOOK_MORE, /* so far so good */
	LOOK_BARE, /* a whole request, but too small a one to prove much */
	LOOK_YES,
};

static bool names_legal(void *ctx, enum kevent e, const struct kval *v)
{
	bool *bad = ctx;

	if (e == E_TOPIC && v[S_TOPIC].s.n && !kafka_topic_legal(v[S_TOPIC].s))
		*bad = true;
	if (e == E_PARTITION && !v[S_PARTITION].null && v[S_PARTITION].i < 0)
		*bad = true;
	return !*bad;
}

static bool values_legal(const struct khead *h, const struct kval *v)
{
	if (h->key == K_PRODUCE)
		return v[S_ACKS].i >= -1 && v[S_ACKS].i <= 1 && !v[S_PARTITION].null;
	if (h->key == K_FETCH)
		return v[S_REPLICA].null || v[S_REPLICA].i >= -2;
	return true;
}

/* Of a header that is not there as a whole: can what there is of the client id be text that fits in @size? */
static bool client_may_fit(struct span frame, size_t size)
{
	size_t n = frame.n >= 10 ? (size_t)(frame.p[8] << 8 | frame.p[9]) : 0xffff;

	if (n == 0xffff)
		return true;
	for (size_t i = 10; i < frame.n && i < 10 + n; i++)
		if (frame.p[i] < 0x20 || frame.p[i] == 0x7f)
			return false;
	return 10 + n <= size;
}

/* The request at the beginning of @s; *ret_n: its bytes. */
static enum look look_at(struct span s, size_t *ret_n)
{
	struct kin in = kin_of(s);
	int64_t size = kin_int(&in, 4);
	struct kval v[S_SLOTS];
	size_t body;
	struct khead h;
	bool bad = false, whole, read;

	if (in.bad) /* of the size the first byte is enough to tell that it cannot be one */
		return s.n && s.p[0] > KAFKA_FRAME_MAX >> 24 ? LOOK_NO : LOOK_MORE;
	if (size < 10 || size > KAFKA_FRAME_MAX)
		return LOOK_NO;
	whole = kin_left(&in) >= (size_t)size;
	s = span_sub(span_of(in.p, kin_left(&in)), 0, (size_t)size);
	in = kin_of(s);
	if (!kafka_head(&in, &h))
		return in.ended && !whole && client_may_fit(s, (size_t)size) ? LOOK_MORE : LOOK_NO;
	if (h.correlation < 0 || h.version > h.api->max)
		return LOOK_NO;
	body = kin_left(&in);
	*ret_n = 4 + (size_t)size;
	if (!h.api->request)
		return whole ? LOOK_BARE : LOOK_MORE;
	in.want_cut = !whole;
	read = kafka_walk(h.api->request, h.version, h.version >= h.api->flexible, &in, v, names_legal, &bad);
	if (bad || (!read && (!in.ended || whole)) || (read && kin_left(&in)))
		return LOOK_NO;
	if (!whole)
		return read ? LOOK_NO : LOOK_MORE;
	if (!values_legal(&h, v))
		return LOOK_NO;
	return body >= 4 && h.client.s.n ? LOOK_YES : LOOK_BARE;
}

/* Requests one behind the other, from the beginning of @s. */
static enum look look_on(struct span s, bool from_start)
{
	enum look l;
	size_t n = 0;

	l = look_at(s, &n);
	if (l != LOOK_BARE)
		return l;
	/* The first thing that a client says may be small: ApiVersions, Metadata of all topics. */
	if (from_start)
		return LOOK_YES;
	l = look_at(span_sub(s, n, SIZE_MAX), &n);
	return l == LOOK_BARE ? LOOK_YES : l == LOOK_MORE ? LOOK_BARE : l;
}

/* Bytes of bodies that a search may read: made-up headers everywhere do not make it quadratic. */
#define SEARCH_BUDGET (4u << 20)

int64_t kafka_find_request(struct span s)
{
	size_t budget = SEARCH_BUDGET;

	for (size_t i = 0; i + 14 <= s.n; i++) {
		struct span rest = span_sub(s, i, SIZE_MAX);
		struct kin in = kin_of(span_sub(rest, 4, SIZE_MAX));
		struct khead h;
		size_t cost;

		/* Sizes up to 128 MiB, keys and versions below 256: most places are none at first sight. */
		if (rest.p[0] > 8 || rest.p[4] || rest.p[6] || (!kafka_head(&in, &h) && !in.ended))
			continue;
		if (look_on(rest, false) == LOOK_YES)
			return (int64_t)i;
		/* As much as the frame says that it is: what lies behind it was not read. */
		cost = (size_t)rest.p[0] << 24 | (size_t)rest.p[1] << 16 | (size_t)rest.p[2] << 8 | rest.p[3];
		cost = cost < rest.n ? cost : rest.n;
		budget -= cost < budget ? cost : budget;
		if (!budget)
			return -1;
	}
	return -1;
}

/* The correlation id of the request at the beginning of @s, which may not be there as a whole. */
static bool answered(struct span request, struct span response)
{
	return request.n >= 14 && response.n >= 8 && !memcmp(request.p + 8, response.p + 4, 4) &&
	       !response.p[0];
}

static enum probe_result one_way(struct span s, struct span other, bool from_start, enum probe_result yes)
{
	enum look l;
	size_t n;

	if (!s.n)
		return PROBE_MORE;
	l = look_on(s, from_start);
	if (l == LOOK_YES)
		return yes;
	if (from_start)
		return l == LOOK_NO ? PROBE_NO : PROBE_MORE;
	/* The beginning of a large request, and the response to it. */
	if (l != LOOK_NO && answered(s, other) && look_at(s, &n) != LOOK_NO)
		return yes;
	return kafka_find_request(s) >= 0 ? yes : PROBE_MORE;
}

enum probe_result kafka_probe(struct span to_server, struct span to_client, bool from_start)
{
	enum probe_result r = one_way(to_server, to_client, from_start, PROBE_YES);
	enum probe_result back;

	if (r == PROBE_YES)
		return r;
	/* What was taken for the client may be the server; then the other one spoke first. */
	back = one_way(to_client, to_server, from_start, PROBE_REVERSED);
	if (back == PROBE_REVERSED)
		return back;
	if (!from_start)
		return PROBE_MORE;
	return r == PROBE_MORE || (back == PROBE_MORE && to_client.n) ? PROBE_MORE : PROBE_NO;
}
