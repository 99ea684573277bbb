/* The query language: what it says about faults, what it finds, and that its short cuts never change an
 * answer. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/timefmt.h"
#include "query/match.h"
#include "test.h"

#define NOW 1700000000000000000LL

static struct query *parse(const char *text)
{
	struct query *q = NULL;
	struct err e = {0};

	if (query__parse(text, NOW, &q, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		CHECK(!"parses");
	}
	return q;
}

/* --- faults --- */

static void check_fault(const char *text, const char *want)
{
	struct query *q = NULL;
	struct err e = {0};

	CHECK_EQ(query__parse(text, NOW, &q, &e), -EINVAL);
	CHECK(!q);
	CHECK_STR(e.msg, want);
}

static void faults_point_at_the_place(void)
{
	check_fault("customer.name=\"John Do", "query: this quote is never closed\n"
					       "  customer.name=\"John Do\n"
					       "                ^");
	check_fault("a OR", "query: something has to follow OR\n  a OR\n    ^");
	check_fault("a AND )", "query: something has to follow AND\n  a AND )\n    ^");
	check_fault("NOT", "query: something has to follow NOT\n  NOT\n  ^");
	check_fault(
		"OR b", "query: something has to stand before OR (as a word, put it in quotes)\n  OR b\n  ^");
	check_fault("(a b", "query: this parenthesis is never closed\n  (a b\n  ^");
	check_fault("a b)", "query: this closes nothing\n  a b)\n     ^");
	check_fault("a ()", "query: there is nothing between these parentheses\n  a ()\n    ^");
	check_fault("id= 4",
		"query: a value has to stand right behind this; for an empty one write \"\"\n  id= 4\n    ^");
	check_fault("id =4",
		"query: a name has to stand right before this: name= value without blanks\n  id =4\n     ^");
	check_fault("\"\"", "query: there is nothing between these quotes\n  \"\"\n  ^");
	check_fault("queue: billing", "query: queue: needs a value right behind it\n  queue: billing\n  ^");
	check_fault("servce:billing",
		"query: there is no \"servce:\", did you mean service: (if not, put it in quotes)\n"
		"  servce:billing\n  ^");
	check_fault("x id:y42", "query: an id is \"m\" and a number, like m42\n  x id:y42\n       ^");
	check_fault("since:yesterdy",
		"query: this is no time: write 14:02, 2026-11-23T14:02:09Z, 90s, 5min, 2h or 3d\n"
		"  since:yesterdy\n        ^");
	check_fault("state:lost",
		"query: there is no such state; they are: sent confirmed returned refused aborted queued "
		"delivered "
		"acked requeued rejected dead-lettered expired purged unknown\n  state:lost\n        ^");
	/* the caret stands under a column, not a byte */
	check_fault("José \"", "query: this quote is never closed\n  José \"\n       ^");
}

static void long_faults_show_the_part_that_matters(void)
{
	char text[401];

	memset(text, 'a', 400);
	text[400] = '\0';
	text[299] = ' ';
	text[300] = ')';
	text[301] = ' ';
	check_fault(text, "query: this closes nothing\n"
			  "  … aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ) aaaaaaaaaaaaaaaaaa …\n"
			  "                                                        ^");
}

static void sizes_are_capped(void)
{
	static char text[40000];
	struct query *q = NULL;
	struct err e;
	size_t n = 0;

	for (int i = 0; i < 3000; i++)
		n += (size_t)sprintf(text + n, "(");
	CHECK_EQ(query__parse(text, NOW, &q, &e), -EINVAL);
	for (n = 0; n < 3000;)
		n += (size_t)sprintf(text + n, "NOT ");
	CHECK_EQ(query__parse(text, NOW, &q, &e), -EINVAL);
	for (n = 0; n < 3000;)
		n += (size_t)sprintf(text + n, "a ");
	CHECK_EQ(query__parse(text, NOW, &q, &e), -EINVAL);
	memset(text, 'x', sizeof(text) - 1);
	CHECK_EQ(query__parse(text, NOW, &q, &e), -EINVAL);
	text[PATTERN_MAX + 1] = '\0';
	CHECK_EQ(query__parse(text, NOW, &q, &e), -EINVAL);
	CHECK(!q);
}

/* --- words of a command line --- */

static void check_args(const char *a, const char *b, const char *want)
{
	char *argv[] = {(char *)a, (char *)b};
	struct query *q = NULL;
	struct err e = {0};

	CHECK_EQ(query__from_args(b ? 2 : 1, argv, NOW, &q, &e), 0);
	CHECK_STR(q ? query_text(q) : e.msg, want);
	query__free(q);
}

static void arguments_with_blanks_are_phrases(void)
{
	check_args("4711", NULL, "4711");
	check_args("4711", "state:queued", "4711 state:queued");
	check_args("John Doe", NULL, "\"John Doe\"");
	check_args("John Doe", "4711", "\"John Doe\" 4711");
	check_args("O'Brien Ltd", NULL, "\"O'Brien Ltd\"");
	check_args("6\" pipe", NULL, "\"6\\\" pipe\"");
	check_args("ends in \\", NULL, "\"ends in \\\\\"");
	check_args("customer.name=John Doe", NULL, "customer.name=\"John Doe\"");
	check_args("queue:my queue", NULL, "queue:\"my queue\"");
	check_args("customer.name=\"John Doe\"", NULL, "customer.name=\"John Doe\"");
	check_args("4711 AND state:queued", NULL, "4711 AND state:queued");
	check_args("a=1 b=2", NULL, "a=1 b=2");
	check_args("\"John Doe\" OR 4711", NULL, "\"John Doe\" OR 4711");
}

/* --- one message --- */

struct sample {
	struct subject s;
	const char *exchange, *key, *type, *service; /* of the message */
	const char *queue, *consumer;                /* of its copy */
	enum msg_state copy_state;
	const struct query *q;
};

/* What select.c does with sets of ids, done with strings. */
static int sample_names(void *ctx, enum names_of of, size_t i)
{
	struct sample *m = ctx;
	const struct leaf *l = &m->q->leaves[i];
	const char *own[] = {m->exchange, m->key, m->type, m->service}, *copies[] = {m->queue, m->consumer};
	bool whole = l->kind != LEAF_WORD;

	if (l->kind == LEAF_STATE)
		return of == NAMES_OF_COPIES && l->states >> m->copy_state & 1;
	for (size_t k = 0; k < (of == NAMES_OF_MESSAGE ? ARRAY_LEN(own) : ARRAY_LEN(copies)); k++) {
		struct span name = span_str(of == NAMES_OF_MESSAGE ? own[k] : copies[k]);
		bool asked =
			l->kind == LEAF_WORD ||
			(of == NAMES_OF_MESSAGE
					? (k == 0 && (l->kind == LEAF_EXCHANGE || l->kind == LEAF_TOPIC)) ||
						  (k == 1 &&
							  (l->kind == LEAF_KEY || l->kind == LEAF_TOPIC)) ||
						  (k == 3 && l->kind == LEAF_SERVICE)
					: (k == 0 && (l->kind == LEAF_QUEUE || l->kind == LEAF_TOPIC)) ||
						  (k == 1 && l->kind == LEAF_SERVICE));

		if (asked && name.n &&
			(whole ? pattern_is(&l->pat, name)
			       : pattern_find(&l->pat, name, false, NULL) != NOT_FOUND))
			return 1;
	}
	return 0;
}

/*
 * Envelopes of the tests: "name\0type value\0" ...: type 't' is text as it stands, 'i' a number of eight
 * bytes (so that its digits are not on the wire).
 */
static int test_fields(struct span raw, field_fn fn, void *ctx)
{
	for (size_t i = 0; i < raw.n;) {
		struct field f = {.name = span_str((const char *)raw.p + i), .type = FIELD_TEXT};
		char text[24];
		uint8_t type;

		i += f.name.n + 1;
		type = raw.p[i++];
		if (type == 't') {
			f.text = span_str((const char *)raw.p + i);
			i += f.text.n + 1;
		} else {
			memcpy(&f.i, raw.p + i, 8);
			i += 8;
			f.type = FIELD_INT;
			f.text = span_of(text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)f.i));
		}
		if (!fn(ctx, &f))
			break;
	}
	return 0;
}

/* Stands in for the table of decoders. */
const struct proto *proto_by_id(enum proto_id id)
{
	static const struct proto p = {.fields = test_fields};

	return id == PROTO_AMQP091 ? &p : NULL;
}

static void put_text(struct buf *b, const char *name, const char *value)
{
	buf_put(b, name, strlen(name) + 1);
	buf_putc(b, 't');
	buf_put(b, value, strlen(value) + 1);
}

static void put_int(struct buf *b, const char *name, int64_t v)
{
	buf_put(b, name, strlen(name) + 1);
	buf_putc(b, 'i');
	buf_put(b, &v, 8);
}

static bool matches(const char *text, struct sample *m)
{
	struct query *q = parse(text);
	int hit = 0;

	if (!q)
		return false;
	m->q = q;
	m->s.ctx = m;
	m->s.names = sample_names;
	hit = query_match(q, &m->s);
	query__free(q);
	return hit == 1;
}

static void check_match(const char *text, struct sample *m, bool want)
{
	if (matches(text, m) != want) {
		fprintf(stderr, "%s: %s\n", text, want ? "not found" : "found");
		test_case_bad = true;
	}
}

static const char order[] =
	"{\"order\":{\"id\":4711,\"customer\":{\"name\":\"John Doe\",\"id\":88,\"city\":\"K\\u00f6ln\"},"
	"\"lines\":[{\"sku\":\"A-100\",\"qty\":2.50},{\"sku\":\"B-200\",\"qty\":7}],\"note\":\"say "
	"\\\"hi\\\"\\n"
	"9001\",\"long\":12345678901234567891,\"sci\":1e3,\"when\":\"2026-11-23T14:02:09Z\"}}";

static struct buf envelope;

static struct sample make_order(void)
{
	struct sample m = {
		.exchange = "orders",
		.key = "order.created",
		.type = "order.created",
		.service = "shop",
		.queue = "billing",
		.consumer = "billing-worker",
		.copy_state = STATE_REJECTED,
	};

	buf_clear(&envelope);
	put_text(&envelope, "content-type", "application/json");
	put_text(&envelope, "correlation-id", "c0ffee-1");
	put_int(&envelope, "header.retries", 31337);
	put_text(&envelope, "header.x-death[0].queue", "old-queue");
	put_text(&envelope, "header.x-tenant", "acme");
	m.s = (struct subject){
		.id = 42,
		.when_ns = NOW - 60 * NS_PER_SEC,
		.states = 1u << STATE_CONFIRMED,
		.flags = OPF_TRUNCATED,
		.proto = PROTO_AMQP091,
		.envelope = buf_span(&envelope),
		.body = span_str(order),
	};
	return m;
}

static void words_and_phrases(void)
{
	struct sample m = make_order();
	static const char *const found[] = {"4711", "John", "john", "\"JOHN DOE\"", "doe", "\"John Doe\"",
		"Köln", "\"say \\\"hi\\\"\"", "9001", "31337", "acme", "x-tenant", "c0ffee-1", "old-queue",
		"orders", "shop", "billing", "billing-worker", "order.created", "m42", "A-100", "\"id\":4711",
		"*", "4711 John", "4711 AND NOT nowhere", "nowhere OR 4711", "(nowhere OR 4711) John",
		"NOT (nowhere OR other)", "47*", "4?11", "*711", "J*n", "created", "", "x-death[0].queue",
		"2.50", "retries", "K?ln"};
	static const char *const not_found[] = {"471", "711", "Joh", "\"John  Doe\"", "3133", "nowhere",
		"NOT 4711", "4711 nowhere", "m4", "m421", "bill", "J*oe", "47?", "content-type",
		"correlation-id", "(4711 OR John) nowhere", "koln", "K??ln"};

	for (size_t i = 0; i < ARRAY_LEN(found); i++)
		check_match(found[i], &m, true);
	for (size_t i = 0; i < ARRAY_LEN(not_found); i++)
		check_match(not_found[i], &m, false);
}

static void fields(void)
{
	struct sample m = make_order();
	static const char *const found[] = {"id=4711", "order.id=4711", "order.customer.id=88",
		"customer.id=88", "id=88", "customer.name=\"John Doe\"", "customer.name='john doe'",
		"name=John*", "name=J*Doe", "customer.city=Köln", "sku=B-200", "lines[1].sku=B-200",
		"lines.sku=A-100", "qty=2.5", "qty=2.50", "qty=02.5", "qty>2", "qty>=7", "qty<3", "qty<=2.5",
		"id!=4712", "retries=31337", "retries>31336", "header.retries=31337", "x-tenant=acme",
		"x-tenant!=other", "correlation-id=c0ffee-1", "content-type=*json", "x-death.queue=old-queue",
		"long=12345678901234567891", "long>12345678901234567890", "when>2026-11-23",
		"when<2026-11-24", "sci>999", "sci=1e3", "has:customer", "has:customer.name", "has:sku",
		"has:x-tenant", "has:truncated", "id==4711", "note=*9001"};
	static const char *const not_found[] = {"id=471", "id=4711.5", "customer.id=4711", "name=John",
		"name!=\"John Doe\"", "nothing!=1", "nothing=1", "qty>7", "qty<2.5", "id!=4711",
		"lines[0].sku=B-200", "long=12345678901234567890", "x-tenant!=acme", "sku>zzz", "has:phone",
		"has:gap", "name<5", "retries=3133", "tenant=acme", "x-tenant=\"\""};

	for (size_t i = 0; i < ARRAY_LEN(found); i++)
		check_match(found[i], &m, true);
	for (size_t i = 0; i < ARRAY_LEN(not_found); i++)
		check_match(not_found[i], &m, false);
}

static void scopes_of_the_catalogue(void)
{
	struct sample m = make_order();
	static const char *const found[] = {"service:shop", "service:SHOP", "service:billing*",
		"queue:billing", "exchange:orders", "exchange:ord*", "key:order.*", "topic:orders",
		"topic:billing", "topic:order.created", "state:confirmed", "state:rejected", "state:re*",
		"id:m42", "id:42", "since:2min", "until:30s", "since:2min until:30s", "NOT queue:notify",
		"QUEUE:billing"};
	static const char *const not_found[] = {"service:sho", "service:orders", "queue:billing-worker",
		"exchange:order.created", "key:orders", "topic:shop", "state:acked", "state:waiting", "id:43",
		"since:30s", "until:2min", "NOT queue:billing"};

	for (size_t i = 0; i < ARRAY_LEN(found); i++)
		check_match(found[i], &m, true);
	for (size_t i = 0; i < ARRAY_LEN(not_found); i++)
		check_match(not_found[i], &m, false);
}

static void other_formats(void)
{
	struct sample m = make_order();

	m.s.envelope = SPAN_EMPTY;
	m.s.body = SPAN_LIT("<Invoice currency=\"EUR\"><ID>4711</ID><Name>M&#252;ller &amp; S&#246;hne</Name>"
			    "<Note>Jo<!-- really -->hn</Note></Invoice>");
	check_match("ID=4711", &m, true);
	check_match("\"Müller & Söhne\"", &m, true);
	check_match("Name=\"Müller*\"", &m, true);
	check_match("John", &m, true);
	check_match("currency=EUR", &m, true);
	check_match("Joh", &m, false);
	m.s.body = SPAN_LIT("name=John+Doe&city=K%C3%B6ln&id=%34711");
	check_match("\"John Doe\"", &m, true);
	check_match("city=Köln", &m, true);
	check_match("id=4711", &m, true);
	check_match("4711", &m, true);
	check_match("471", &m, false);
	m.s.body = SPAN_LIT("order 4711 failed, customer=88 after 3 tries");
	check_match("4711", &m, true);
	check_match("customer=88", &m, true);
	/* the length of the string before it is the letter 'A' */
	m.s.body = SPAN_LIT("\x0a\x08\x01\x00\x02"
			    "AJohn Doe\x12\x00");
	check_match("\"John Doe\"", &m, true);
	check_match("Jane", &m, false);
	m.s.body = SPAN_EMPTY;
	check_match("4711", &m, false);
	check_match("shop", &m, true);
}

static void highlight(void)
{
	struct query *q = parse("nowhere OR (NOT John) OR 4711");
	size_t at = 0, n = 0;

	CHECK(query_highlight(q, span_str(order), SPAN_LIT("label"), &at, &n));
	CHECK_EQ(at, (size_t)(strstr(order, "4711") - order));
	CHECK_EQ(n, 4);
	query__free(q);
	q = parse("state:queued");
	CHECK(!query_highlight(q, span_str(order), SPAN_LIT("label"), &at, &n));
	query__free(q);
}

/* --- the oracle: everything decoded, every text looked at, nothing skipped --- */

static bool naive_word(uint8_t c)
{
	return isalnum(c) || c == '_' || c >= 0x80;
}

static bool naive_edge(struct span s, size_t i)
{
	return !i || i >= s.n || !naive_word(s.p[i - 1]) || !naive_word(s.p[i]);
}

static bool naive_at(const char *p, struct span s, size_t i)
{
	if (!*p)
		return naive_edge(s, i);
	if (*p == '*') {
		if (!p[1])
			return true;
		for (;; i++) {
			if (naive_at(p + 1, s, i))
				return true;
			if (i >= s.n || s.p[i] <= ' ' || strchr("\"<>\x7f", s.p[i]))
				return false;
		}
	}
	return i < s.n && tolower((unsigned char)*p) == tolower(s.p[i]) && naive_at(p + 1, s, i + 1);
}

static bool naive_find(const char *word, struct span s)
{
	bool open = *word == '*';

	for (size_t i = 0; i <= s.n; i++)
		if ((open || naive_edge(s, i)) && naive_at(word + open, s, i))
			return true;
	return false;
}

struct naive {
	const char *word, *name, *value;
	bool hit;
};

static bool naive_scalar(void *ctx, const struct scalar *s)
{
	struct naive *n = ctx;

	if (n->word)
		n->hit |= naive_find(n->word, s->value);
	else if (path_matches(s->path, span_str(n->name)))
		n->hit |= span_eq_nocase(s->value, span_str(n->value));
	return true;
}

static bool naive_field(void *ctx, const struct field *f)
{
	struct naive *n = ctx;

	if (n->word)
		n->hit |= naive_find(n->word, f->text) ||
			  (span_starts(f->name, "header.") &&
				  naive_find(n->word, span_sub(f->name, 7, SIZE_MAX)));
	else if (path_matches(f->name, span_str(n->name)))
		n->hit |= span_eq_nocase(f->text, span_str(n->value));
	return true;
}

static bool naive_match(struct naive *n, const struct sample *m)
{
	n->hit = n->word && naive_find(n->word, m->s.body);
	body_walk(m->s.body, body_format(m->s.body, SPAN_EMPTY), naive_scalar, n);
	test_fields(m->s.envelope, naive_field, n);
	return n->hit;
}

static uint32_t seed;

static unsigned rnd(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static const char *const words[] = {
	"47", "471", "4711", "john", "doe", "j", "é", "a-b", "a.b", "x_1", "true", "nul", "0.5", "31"};

/* A value of some words, as text and as one of the formats' ways to write it. */
static void put_value(struct buf *b, int fmt)
{
	for (unsigned k = 1 + rnd(3); k; k--) {
		const char *w = words[rnd(ARRAY_LEN(words))];

		for (; *w; w++) {
			if (!rnd(12) && (uint8_t)*w < 0x80)
				buf_printf(b, fmt == 0 ? "\\u%04x" : fmt == 1 ? "&#%d;" : "%%%02x", *w);
			else if (fmt == 2 && (uint8_t)*w >= 0x80)
				buf_printf(b, "%%%02x", (uint8_t)*w);
			else
				buf_putc(b, *w);
		}
		if (k > 1 && rnd(2))
			buf_puts(b, fmt == 2 ? "+" : rnd(8) || fmt ? " " : "\\n");
	}
}

static void random_body(struct buf *b, int fmt)
{
	static const char *const names[] = {"id", "name", "note"};

	buf_clear(b);
	buf_puts(b, fmt == 0 ? "{" : fmt == 1 ? "<doc>" : "");
	for (unsigned k = 2 + rnd(3), i = 0; i < k; i++) {
		const char *name = names[rnd(ARRAY_LEN(names))];

		buf_printf(b,
			fmt == 0   ? "%s\"%s\":\""
			: fmt == 1 ? "%s<%s>"
				   : "%s%s=",
			!i         ? ""
			: fmt == 0 ? ","
			: fmt == 2 ? "&"
				   : "",
			name);
		put_value(b, fmt);
		if (fmt == 0)
			buf_puts(b, "\"");
		else if (fmt == 1)
			buf_printf(b, "</%s>", name);
	}
	buf_puts(b, fmt == 0 ? "}" : fmt == 1 ? "</doc>" : "");
}

static void short_cuts_change_no_answer(void)
{
	struct buf body = {0};
	unsigned hits = 0, rounds = 30000;

	for (unsigned round = 0; round < rounds; round++) {
		struct sample m = {.s = {.id = 1, .proto = PROTO_AMQP091}};
		struct naive n = {0};
		char text[64];
		bool want;

		seed = round;
		buf_clear(&envelope);
		put_int(&envelope, "header.n", (int64_t)rnd(2) * 4711);
		put_text(&envelope, rnd(2) ? "header.a.b" : "correlation-id", words[rnd(ARRAY_LEN(words))]);
		m.s.envelope = buf_span(&envelope);
		random_body(&body, (int)rnd(3));
		m.s.body = buf_span(&body);
		if (rnd(3)) {
			char word[32];
			const char *a = words[rnd(ARRAY_LEN(words))], *b = words[rnd(ARRAY_LEN(words))];

			snprintf(word, sizeof(word),
				rnd(2)   ? "%s"
				: rnd(2) ? "%s %s"
				: rnd(2) ? "%s*"
					 : "*%s*%s",
				a, b);
			n.word = word;
			snprintf(text, sizeof(text), "\"%s\"", word);
			want = naive_match(&n, &m);
		} else {
			n.name = rnd(2) ? "id" : "note";
			n.value = words[rnd(ARRAY_LEN(words))];
			snprintf(text, sizeof(text), "%s=%s", n.name, n.value);
			want = naive_match(&n, &m);
		}
		hits += want;
		if (matches(text, &m) != want) {
			fprintf(stderr, "round %u: %s %s in %.*s\n", round, text,
				want ? "not found" : "found", SPAN_ARG(m.s.body));
			CHECK(!"equals the naive answer");
			break;
		}
	}
	CHECK(hits > rounds / 20 && hits < rounds * 19 / 20);
	buf_free(&body);
}

/* Whatever is typed, it is a query or a fault with a place. */
static void any_text_is_safe(void)
{
	static const char *const parts[] = {"a", "4711", " ", "\"", "'", "(", ")", "=", "!=", "<", ">=", ":",
		"AND ", "OR ", "NOT ", "*", "?", "\\", "state:", "queue:x", "since:", "5min", "id:m4",
		"has:", "é", "\xff", "\n", "."};
	struct sample m = make_order();
	unsigned good = 0;

	for (unsigned round = 0; round < 30000; round++) {
		char text[200] = "";
		struct query *q = NULL;
		struct err e = {0};
		char *argv[] = {text};

		seed = round;
		for (unsigned k = rnd(12); k; k--)
			strcat(text, parts[rnd(ARRAY_LEN(parts))]);
		if (query__parse(text, NOW, &q, &e) ? !strstr(e.msg, "^") : !q)
			CHECK(!"a query, or a place");
		if (q) {
			m.q = q;
			m.s.ctx = &m;
			m.s.names = sample_names;
			CHECK(query_match(q, &m.s) >= 0);
			good++;
		}
		query__free(q);
		q = NULL;
		query__from_args(1, argv, NOW, &q, &e);
		query__free(q);
	}
	CHECK(good > 3000);
}

static void wildcards_stay_fast(void)
{
	char text[202], body[5001];
	struct sample m = {.s = {.id = 1}};

	for (int i = 0; i < 200; i++)
		text[i] = i % 2 ? '*' : 'a';
	text[199] = 'b';
	text[200] = '\0';
	memset(body, 'a', 5000);
	body[5000] = '\0';
	m.s.body = span_str(body);
	check_match(text, &m, false);
	body[4999] = 'b';
	check_match(text, &m, true);
}

int main(void)
{
	RUN(faults_point_at_the_place);
	RUN(long_faults_show_the_part_that_matters);
	RUN(sizes_are_capped);
	RUN(arguments_with_blanks_are_phrases);
	RUN(words_and_phrases);
	RUN(fields);
	RUN(scopes_of_the_catalogue);
	RUN(other_formats);
	RUN(highlight);
	RUN(short_cuts_change_no_answer);
	RUN(any_text_is_safe);
	RUN(wildcards_stay_fast);
	buf_free(&envelope);
	return test_end();
}
