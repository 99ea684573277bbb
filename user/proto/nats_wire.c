/*
 * Control lines as nats-server's parser takes them: verbs in either case, blanks and tabs in any number
 * between arguments, a line's end with or without CR; behind a payload always CRLF.
 */
#include "proto/nats_wire.h"

#include "base/search.h"

#define ARGS_MAX 6

/* Who says it. */
#define C 1 /* client */
#define S 2 /* server */

static const struct verb_def {
	const char *name;
	enum verb verb;
	uint8_t by;
} verbs[] = {
	{"MSG", VERB_MSG, S},
	{"PUB", VERB_PUB, C},
	{"HMSG", VERB_HMSG, S},
	{"HPUB", VERB_HPUB, C},
	{"SUB", VERB_SUB, C},
	{"UNSUB", VERB_UNSUB, C},
	{"PING", VERB_PING, C | S},
	{"PONG", VERB_PONG, C | S},
	{"+OK", VERB_OK, S},
	{"-ERR", VERB_ERR, S},
	/* A server says it to another one in either direction. */
	{"INFO", VERB_INFO, C | S},
	{"CONNECT", VERB_CONNECT, C},
	/* With a payload, the size of which is the last word. */
	{"RMSG", VERB_LINK, C | S},
	{"LMSG", VERB_LINK, C | S},
	{"RS+", VERB_LINK, C | S},
	{"RS-", VERB_LINK, C | S},
	{"LS+", VERB_LINK, C | S},
	{"LS-", VERB_LINK, C | S},
	{"A+", VERB_LINK, C | S},
	{"A-", VERB_LINK, C | S},
};

static bool blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

bool nats_decimal(struct span s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = s.p[i] - '0';

		if (s.p[i] < '0' || digit > 9 || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (!s.n || v > max)
		return false;
	*ret = v;
	return true;
}

/* --- lines --- */

/* The verb that @s begins with. LINE_MORE: @s ends inside of one. */
static enum line_status find_verb(struct span s, enum flowdir d, const struct verb_def **ret, size_t *len)
{
	uint8_t by = d == TO_SERVER ? C : S;
	enum line_status best = LINE_BAD;

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		struct span name = span_str(verbs[i].name);
		struct span head = span_sub(s, 0, name.n);

		if (!(verbs[i].by & by) || !span_eq_nocase(head, span_sub(name, 0, head.n)))
			continue;
		if (s.n <= name.n) {
			best = LINE_MORE;
			continue;
		}
		if (!strchr(" \t\r\n{", s.p[name.n]) || !s.p[name.n])
			continue;
		*ret = &verbs[i];
		*len = name.n;
		return LINE_OK;
	}
	return best;
}

static size_t split(struct span s, struct span *args)
{
	size_t n = 0, i = 0;

	while (i < s.n) {
		size_t from;

		while (i < s.n && blank(s.p[i]))
			i++;
		from = i;
		while (i < s.n && !blank(s.p[i])) {
			if (s.p[i] < 0x20 || s.p[i] == 0x7f)
				return ARGS_MAX + 1;
			i++;
		}
		if (i == from)
			break;
		if (n == ARGS_MAX)
			return ARGS_MAX + 1;
		args[n++] = span_of(s.p + from, i - from);
	}
	return n;
}

/* subject [reply] [header size] size, behind the subject also the sid. */
static bool message_args(struct line *l, const struct span *args, size_t n, uint32_t payload_max)
{
	bool headers = l->verb == VERB_HPUB || l->verb == VERB_HMSG;
	bool sid = l->verb == VERB_MSG || l->verb == VERB_HMSG;
	size_t least = 2u + headers + sid, i = 1;
	uint64_t hdr = 0, total;

	if (n < least || n > least + 1 || !nats_decimal(args[n - 1], payload_max, &total) ||
		(headers && !nats_decimal(args[n - 2], total, &hdr)))
		return false;
	l->payload = true;
	l->subject = args[0];
	if (sid)
		l->sid = args[i++];
	if (n > least)
		l->reply = args[i];
	l->hdr_size = (uint32_t)hdr;
	l->total = (uint32_t)total;
	return true;
}

static bool link_args(struct line *l, bool payload, uint32_t payload_max)
{
	struct span args[ARGS_MAX];
	uint64_t total;
	size_t n;

	if (!payload)
		return true;
	n = split(l->rest, args);
	if (n < 2 || n > ARGS_MAX || !nats_decimal(args[n - 1], payload_max, &total))
		return false;
	l->payload = true;
	l->total = (uint32_t)total;
	return true;
}

static bool parse_args(struct line *l, uint32_t payload_max)
{
	struct span args[ARGS_MAX];
	size_t n;

	switch (l->verb) {
	case VERB_INFO:
	case VERB_CONNECT:
		return l->rest.n && l->rest.p[0] == '{';
	case VERB_ERR:
	case VERB_OK:
	case VERB_PING:
	case VERB_PONG:
		return true;
	default:
		break;
	}
	n = split(l->rest, args);
	switch (l->verb) {
	case VERB_SUB:
		if (n != 2 && n != 3)
			return false;
		l->subject = args[0];
		l->sid = args[n - 1];
		if (n == 3)
			l->queue = args[1];
		return true;
	case VERB_UNSUB:
		if (n != 1 && (n != 2 || !nats_decimal(args[1], UINT64_MAX, &l->max)))
			return false;
		l->sid = args[0];
		return true;
	default:
		return n <= ARGS_MAX && message_args(l, args, n, payload_max);
	}
}

enum line_status nats_line(struct span s, enum flowdir d, uint32_t payload_max, struct line *ret)
{
	const struct verb_def *v;
	const uint8_t *lf;
	enum line_status st;
	size_t verb_n, end;

	*ret = (struct line){0};
	if (!s.n)
		return LINE_MORE;
	st = find_verb(s, d, &v, &verb_n);
	if (st != LINE_OK)
		return st;
	lf = memchr(s.p, '\n', s.n < NATS_LINE_MAX ? s.n : NATS_LINE_MAX);
	if (!lf)
		return s.n < NATS_LINE_MAX ? LINE_MORE : LINE_BAD;
	end = (size_t)(lf - s.p);
	ret->verb = v->verb;
	ret->len = end + 1;
	end -= end && s.p[end - 1] == '\r';
	while (end > verb_n && blank(s.p[end - 1]))
		end--;
	while (verb_n < end && blank(s.p[verb_n]))
		verb_n++;
	ret->rest = span_sub(s, verb_n, end > verb_n ? end - verb_n : 0);
	if (v->verb == VERB_LINK)
		return link_args(ret, v->name[1] == 'M', payload_max) ? LINE_OK : LINE_BAD;
	return parse_args(ret, payload_max) ? LINE_OK : LINE_BAD;
}

enum belief nats_believe(struct span s, enum flowdir d, uint32_t payload_max, struct line *ret)
{
	enum line_status st = nats_line(s, d, payload_max, ret);
	struct line next;
	size_t end = ret->len;

	if (st != LINE_OK)
		return st == LINE_BAD ? NOT_A_LINE : UNPROVEN;
	if (ret->payload) {
		end += ret->total;
		if (s.n > end && s.p[end] != '\r')
			return NOT_A_LINE;
		if (s.n > end + 1 && s.p[end + 1] != '\n')
			return NOT_A_LINE;
		if (ret->hdr_size && !span_starts(span_sub(s, ret->len, 8), "NATS/1.0") &&
			s.n >= ret->len + 8)
			return NOT_A_LINE;
		end += 2;
		if (s.n < end)
			return UNPROVEN;
	}
	return nats_line(span_sub(s, end, SIZE_MAX), d, payload_max, &next) == LINE_BAD ? NOT_A_LINE : PROVEN;
}

size_t nats_next_start(struct span s, size_t from)
{
	while (from < s.n) {
		const uint8_t *lf = memchr(s.p + from, '\n', s.n - from);

		if (!lf)
			break;
		from = (size_t)(lf - s.p) + 1;
		if (from >= 2 && s.p[from - 2] == '\r')
			return from;
	}
	return s.n;
}

/* --- headers --- */

static struct span trim(struct span s)
{
	while (s.n && blank(s.p[0]))
		s = span_sub(s, 1, SIZE_MAX);
	while (s.n && blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Up to CRLF; what is behind the last one is no line. */
static bool header_line(struct span *rest, struct span *ret)
{
	const uint8_t *lf = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
	size_t n;

	if (!lf)
		return false;
	n = (size_t)(lf - rest->p);
	*ret = span_of(rest->p, n - (n && lf[-1] == '\r'));
	*rest = span_sub(*rest, n + 1, SIZE_MAX);
	return true;
}

bool nats_header_begin(struct span block, struct status *ret, struct span *rest)
{
	struct span line, after = block;
	uint64_t code;

	*ret = (struct status){0};
	if (!header_line(&after, &line) || !span_starts(line, "NATS/1.0"))
		return false;
	*rest = after;
	line = trim(span_sub(line, 8, SIZE_MAX));
	if (line.n >= 3 && (line.n == 3 || blank(line.p[3])) &&
		nats_decimal(span_sub(line, 0, 3), 999, &code)) {
		ret->code = (uint32_t)code;
		ret->text = span_sub(line, 0, 3);
		ret->description = trim(span_sub(line, 3, SIZE_MAX));
	}
	return true;
}

bool nats_header_next(struct span *rest, struct span *name, struct span *value)
{
	struct span line;

	while (header_line(rest, &line)) {
		const uint8_t *colon = line.n ? memchr(line.p, ':', line.n) : NULL;

		if (!line.n)
			return false;
		if (!colon)
			continue;
		*name = trim(span_of(line.p, (size_t)(colon - line.p)));
		*value = trim(span_sub(line, (size_t)(colon - line.p) + 1, SIZE_MAX));
		return true;
	}
	return false;
}

/* --- subjects --- */

bool nats_token(struct span *rest, struct span *ret)
{
	const uint8_t *dot = rest->n ? memchr(rest->p, '.', rest->n) : NULL;

	if (!rest->n)
		return false;
	*ret = dot ? span_of(rest->p, (size_t)(dot - rest->p)) : *rest;
	*rest = dot ? span_sub(*rest, ret->n + 1, SIZE_MAX) : SPAN_EMPTY;
	return true;
}

bool nats_is_inbox(struct span subject)
{
	return span_starts(subject, "_INBOX");
}

bool nats_js_ack(struct span subject, struct js_ack *ret)
{
	struct span t[12], rest = subject;
	const struct span *a;
	uint64_t n;
	size_t k = 0;

	if (!span_starts(subject, "$JS.ACK."))
		return false;
	while (k < ARRAY_LEN(t) && nats_token(&rest, &t[k]))
		k++;
	/* The long form has domain and account hash before the stream; nobody makes one of 10. */
	if (k != 9 && k < 11)
		return false;
	a = t + (k == 9 ? 2 : 4);
	*ret = (struct js_ack){.stream = a[0], .consumer = a[1], .seq = a[3], .time = a[5]};
	return a[0].n && a[1].n && nats_decimal(a[2], UINT32_MAX, &ret->delivered) &&
	       nats_decimal(a[3], UINT64_MAX - 1, &ret->seq_n) && nats_decimal(a[4], UINT64_MAX, &n) &&
	       nats_decimal(a[5], INT64_MAX, &n) && nats_decimal(a[6], UINT64_MAX, &n);
}

static bool strip(struct span *s, const char *prefix)
{
	if (!span_starts(*s, prefix))
		return false;
	*s = span_sub(*s, strlen(prefix), SIZE_MAX);
	return true;
}

/* @s: behind the prefix. */
static void api_call(struct span s, enum api *ret, struct span *stream, struct span *consumer)
{
	static const struct {
		const char *prefix;
		enum api api;
	} calls[] = {
		{"CONSUMER.MSG.NEXT.", API_NEXT},
		{"STREAM.DELETE.", API_STREAM_DELETE},
		{"STREAM.PURGE.", API_STREAM_PURGE},
		{"STREAM.MSG.DELETE.", API_MSG_DELETE},
		{"CONSUMER.DELETE.", API_CONSUMER_DELETE},
	};

	*ret = API_OTHER;
	*stream = *consumer = SPAN_EMPTY;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (!strip(&s, calls[i].prefix))
			continue;
		*ret = calls[i].api;
		if (nats_token(&s, stream))
			nats_token(&s, consumer);
		break;
	}
}

bool nats_js_api(struct span subject, enum api *ret, struct span *stream, struct span *consumer)
{
	struct span s = subject, domain;

	if (!strip(&s, "$JS."))
		return false;
	if (!strip(&s, "API.") && !(nats_token(&s, &domain) && strip(&s, "API.")))
		return false;
	api_call(s, ret, stream, consumer);
	return true;
}

/* The rest of a pattern: * is a token, a trailing > any number of them, none too. */
static bool api_tokens(struct span s, const char *pattern)
{
	struct span rest = span_str(pattern), want, t;

	while (nats_token(&rest, &want)) {
		if (span_is(want, ">"))
			return true;
		if (!nats_token(&s, &t) || !(span_is(want, "*") ? t.n > 0 : span_eq(want, t)))
			return false;
	}
	return !s.n;
}

/*
 * The API of another account, imported under a prefix of its own: "acme.js.CONSUMER.MSG.NEXT.S.C". Words that
 * another service may use, too, are left out.
 */
bool nats_js_prefixed(
	struct span subject, struct span body, enum api *ret, struct span *stream, struct span *consumer)
{
	static const char *const calls[] = {"STREAM.CREATE.*", "STREAM.UPDATE.*", "STREAM.INFO.*",
		"STREAM.DELETE.*", "STREAM.PURGE.*", "STREAM.MSG.GET.*", "STREAM.MSG.DELETE.*",
		"STREAM.NAMES", "STREAM.LIST", "CONSUMER.CREATE.*.>", "CONSUMER.DURABLE.CREATE.*.*",
		"CONSUMER.INFO.*.*", "CONSUMER.NAMES.*", "CONSUMER.LIST.*", "CONSUMER.DELETE.*.*",
		"CONSUMER.MSG.NEXT.*.*", "CONSUMER.PAUSE.*.*", "CONSUMER.UNPIN.*.*", "CONSUMER.RESET.*.*",
		"DIRECT.GET.*.>"};
	struct span rest = subject, t;
	uint64_t n;

	if (body.n && body.p[0] != '{' && !nats_decimal(body, UINT32_MAX, &n))
		return false;
	while (nats_token(&rest, &t)) {
		if (!rest.n || (rest.p[0] != 'S' && rest.p[0] != 'C' && rest.p[0] != 'D'))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(calls); i++)
			if (api_tokens(rest, calls[i])) {
				api_call(rest, ret, stream, consumer);
				return true;
			}
	}
	return false;
}
