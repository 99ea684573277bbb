/*
 * What kind of value is this, and may it join two messages? After the classes that operators' payloads show:
 * constants, small integers, times and decimals agree by chance; UUIDs, hashes and numbers of documents do
 * not. Values decide; a name only settles what a value leaves open ("id": 88 against "quantity": 88).
 */
#include "extract/walk.h"

#include <strings.h>

#include "base/hash.h"
#include "base/json.h"

/* --- names --- */

enum {
	NAME_ID = 1,      /* says id */
	NAME_REF = 2,     /* says id where the value has digits: "ref", "number" */
	NAME_TIME = 4,    /* "created_at" */
	NAME_MEASURE = 8, /* "amount": may agree by chance however large it is */
};

/* The first eight bytes of each word, in order: name_word() searches by halves. */
static const struct {
	char text[9];
	uint8_t says;
} name_words[] = {
	{"amount", NAME_MEASURE},
	{"at", NAME_TIME},
	{"balance", NAME_MEASURE},
	{"bytes", NAME_MEASURE},
	{"cents", NAME_MEASURE},
	{"count", NAME_MEASURE},
	{"created", NAME_TIME},
	{"date", NAME_TIME},
	{"datetime", NAME_TIME},
	{"duration", NAME_MEASURE},
	{"expires", NAME_TIME},
	{"gross", NAME_MEASURE},
	{"guid", NAME_ID},
	{"iban", NAME_REF},
	{"id", NAME_ID},
	{"ids", NAME_ID},
	{"length", NAME_MEASURE},
	{"millis", NAME_TIME},
	{"ms", NAME_TIME},
	{"net", NAME_MEASURE},
	{"no", NAME_REF},
	{"nr", NAME_REF},
	{"ns", NAME_TIME},
	{"num", NAME_REF},
	{"number", NAME_REF},
	{"oid", NAME_ID},
	{"price", NAME_MEASURE},
	{"qty", NAME_MEASURE},
	{"quantity", NAME_MEASURE},
	{"ref", NAME_REF},
	{"referenc", NAME_REF},
	{"size", NAME_MEASURE},
	{"sku", NAME_REF},
	{"sum", NAME_MEASURE},
	{"tax", NAME_MEASURE},
	{"time", NAME_TIME},
	{"timestam", NAME_TIME},
	{"total", NAME_MEASURE},
	{"ts", NAME_TIME},
	{"uid", NAME_ID},
	{"ulid", NAME_ID},
	{"updated", NAME_TIME},
	{"uuid", NAME_ID},
	{"uuids", NAME_ID},
	{"weight", NAME_MEASURE},
	{"year", NAME_TIME},
};

/* "orderid" says id; these only end like it. */
static const char *const not_id[] = {"acid", "afraid", "amid", "android", "avoid", "bid", "fluid", "grid",
	"hybrid", "invalid", "kid", "liquid", "paid", "postpaid", "prepaid", "raid", "rapid", "solid",
	"unpaid", "valid", "vivid", "void"};

static uint8_t word_says(struct span word)
{
	size_t lo = 0, hi = ARRAY_LEN(name_words);
	char key[9] = {0};

	memcpy(key, word.p, word.n < 8 ? word.n : 8);
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = memcmp(key, name_words[mid].text, 8);

		if (!c)
			return name_words[mid].says;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (word.n < 4 || memcmp(word.p + word.n - 2, "id", 2))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(not_id); i++)
		if (word.p[0] == not_id[i][0] && span_is(word, not_id[i]))
			return 0;
	return NAME_ID;
}

/* The last word decides, "created_by_id"; then any that speaks of time or measure; then a leading "id". */
static uint8_t name_says(struct span leaf)
{
	uint8_t last = 0, any = 0, first = 0;
	size_t i = 0;

	while (i < leaf.n) {
		uint8_t word[24];
		size_t n = 0;
		bool small = false;

		for (; i < leaf.n; i++) {
			uint8_t c = leaf.p[i];

			if (c >= 'A' && c <= 'Z') {
				if (small)
					break; /* orderId */
				c |= 0x20;
			} else if (c >= 'a' && c <= 'z') {
				small = true;
			} else {
				i++;
				break;
			}
			if (n < sizeof(word))
				word[n++] = c;
		}
		if (!n)
			continue;
		last = word_says(span_of(word, n));
		any |= last;
		if (!first)
			first = last | 0x80;
	}
	if (last & (NAME_ID | NAME_REF))
		return last;
	if (any & (NAME_TIME | NAME_MEASURE))
		return any & (NAME_TIME | NAME_MEASURE);
	return first & NAME_ID;
}

/* --- values --- */

enum {
	C_DIGIT = 0x01,
	C_HEX = 0x02, /* a to f */
	C_LOWER = 0x04,
	C_UPPER = 0x08,
	C_DASH = 0x10,
	C_DOT = 0x20,
	C_SPACE = 0x40,
	C_OTHER = 0x80,
};

static const uint8_t kind[256] = {
	[0 ... ' '] = C_SPACE,
	['!' ... ','] = C_OTHER,
	['-'] = C_DASH,
	['.'] = C_DOT,
	['/'] = C_OTHER,
	['0' ... '9'] = C_DIGIT,
	[':' ... '@'] = C_OTHER,
	['A' ... 'F'] = C_UPPER | C_HEX,
	['G' ... 'Z'] = C_UPPER,
	['[' ... '`'] = C_OTHER,
	['a' ... 'f'] = C_LOWER | C_HEX,
	['g' ... 'z'] = C_LOWER,
	['{' ... 255] = C_OTHER,
};

struct shape {
	uint8_t all;                  /* kinds that occur */
	bool hex;                     /* hex digits and dashes only */
	uint8_t digits, dashes, dots; /* at most ID_MAX_VALUE each */
	uint8_t spaces, ats;
};

static void shape_of(struct span v, struct shape *ret)
{
	struct shape s = {.hex = true};

	for (size_t i = 0; i < v.n; i++) {
		uint8_t k = kind[v.p[i]];

		s.all |= k;
		s.hex &= (k & (C_DIGIT | C_HEX | C_DASH)) != 0;
		s.digits += k & C_DIGIT;
		s.dashes += k == C_DASH;
		s.dots += k == C_DOT;
		s.spaces += k == C_SPACE;
		s.ats += v.p[i] == '@';
	}
	*ret = s;
}

static void put_lower(char *out, struct span v)
{
	for (size_t i = 0; i < v.n; i++)
		out[i] = (char)(kind[v.p[i]] & C_UPPER ? v.p[i] | 0x20 : v.p[i]);
}

/* Words that stand for "nothing", or for a choice out of very few. */
static bool is_constant(struct span v)
{
	static const char *const words[] = {"-", "n/a", "na", "nil", "no", "none", "null", "off", "ok", "on",
		"test", "true", "false", "undefined", "unknown", "yes"};

	if (v.n > 9)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if ((v.p[0] | 0x20) == (words[i][0] | 0x20) && strlen(words[i]) == v.n &&
			!strncasecmp((const char *)v.p, words[i], v.n))
			return true;
	return false;
}

/* YYYYMMDD with or without HHMM and SS */
static bool is_compact_date(const char *d, size_t n)
{
	int year, month, day;

	if (n != 8 && n != 12 && n != 14)
		return false;
	year = (d[0] - '0') * 1000 + (d[1] - '0') * 100 + (d[2] - '0') * 10 + d[3] - '0';
	month = (d[4] - '0') * 10 + d[5] - '0';
	day = (d[6] - '0') * 10 + d[7] - '0';
	return year >= 1990 && year < 2060 && month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/* The years 2010 to 2040 as a Unix time in s, ms, us or ns; fixed, so that a replay of a capture agrees. */
static bool is_epoch(const char *d, size_t n)
{
	uint64_t v = 0;

	if (n != 10 && n != 13 && n != 16 && n != 19)
		return false;
	for (size_t i = 0; i < 10; i++)
		v = v * 10 + (uint64_t)(d[i] - '0');
	return v >= 1262304000 && v < 2208988800;
}

/* All digits, maybe with a sign. */
static enum id_class class_integer(struct span leaf, struct span v, char *out, size_t *ret_n)
{
	bool negative = v.p[0] == '-';
	size_t i = negative ? 1 : 0, n;
	uint8_t says;

	while (i + 1 < v.n && v.p[i] == '0')
		i++;
	n = v.n - i;
	memcpy(out + negative, v.p + i, n);
	*ret_n = n + negative;
	if (negative) {
		out[0] = '-';
		return n > 1 ? ID_WEAK : ID_NONE;
	}
	if (n == 1 && out[0] == '0')
		return ID_NONE;
	says = name_says(leaf);
	if (says & NAME_ID)
		return ID_JOIN;
	if (says & NAME_TIME || is_compact_date(out, n) || is_epoch(out, n))
		return ID_NONE;
	if (n < 4)
		return says & NAME_REF && n == 3 ? ID_JOIN : n == 1 && out[0] == '1' ? ID_NONE : ID_WEAK;
	if (says & NAME_REF)
		return ID_JOIN;
	/* 2024 is as likely a year */
	if (says & NAME_MEASURE || (n == 4 && (!memcmp(out, "19", 2) || !memcmp(out, "20", 2))))
		return ID_WEAK;
	return ID_JOIN;
}

/* dddd-dd-dd, then the end or a time; dd:dd; dd.dd.dddd, dd/dd/dddd */
static bool is_time(struct span v)
{
	char form[11];
	size_t n = v.n < 10 ? v.n : 10;

	for (size_t i = 0; i < n; i++)
		form[i] = (char)(kind[v.p[i]] & C_DIGIT ? 'd' : v.p[i] == '/' ? '.' : v.p[i]);
	form[n] = '\0';
	if (!strncmp(form, "dd:dd", 5))
		return v.n == 5 || v.p[5] == ':' || v.p[5] == ' ';
	if (!strcmp(form, "dddd-dd-dd"))
		return v.n == 10 || v.p[10] == 'T' || v.p[10] == 't' || v.p[10] == ' ' || v.p[10] == '+';
	return v.n <= 10 && (!strcmp(form, "dd.dd.dddd") || !strcmp(form, "d.d.dddd") ||
				    !strcmp(form, "dd.d.dddd") || !strcmp(form, "d.dd.dddd"));
}

/* Digits with one dot, sign and exponent: "12.50", "-1e5" */
static bool is_decimal(struct span v, const struct shape *s)
{
	bool digit = false, exponent = false;

	if (s->dots > 1)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i];

		if (kind[c] & C_DIGIT)
			digit = true;
		else if ((c | 0x20) == 'e' && digit && !exponent)
			exponent = true;
		else if ((c == '-' || c == '+') && (!i || (v.p[i - 1] | 0x20) == 'e'))
			continue;
		else if (c != '.' || exponent)
			return false;
	}
	return digit && (s->dots || (exponent && v.n < 8));
}

/*
 * UUID in any dress -> 8-4-4-4-12, lower case. Without dashes it could be any 128-bit hash: only version and
 * variant (RFC 9562) make it a UUID, and a dashed one that lacks them is stored without, so that both
 * dresses of one value are equal.
 */
static enum id_class class_hex(struct span v, char *out, size_t *ret_n)
{
	char hex[ID_MAX_VALUE];
	size_t n = 0, zeros = 0;
	bool uuid;

	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i];

		if (c == '-')
			continue;
		zeros += c == '0';
		hex[n++] = (char)(kind[c] & C_UPPER ? c | 0x20 : c);
	}
	if (zeros == n)
		return ID_NONE; /* the nil UUID */
	uuid = n == 32 && hex[12] >= '1' && hex[12] <= '8' &&
	       (hex[16] == '8' || hex[16] == '9' || hex[16] == 'a' || hex[16] == 'b');
	if (!uuid) {
		memcpy(out, hex, n);
		*ret_n = n;
		return ID_JOIN;
	}
	*ret_n = 0;
	for (size_t i = 0; i < n; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			out[(*ret_n)++] = '-';
		out[(*ret_n)++] = hex[i];
	}
	return ID_JOIN;
}

static bool dashes_of_uuid(struct span v)
{
	return v.n == 36 && v.p[8] == '-' && v.p[13] == '-' && v.p[18] == '-' && v.p[23] == '-';
}

static struct span undress(struct span v)
{
	if (v.n == 45 && !strncasecmp((const char *)v.p, "urn:uuid:", 9))
		return span_sub(v, 9, SIZE_MAX);
	if (v.n == 38 && v.p[0] == '{' && v.p[37] == '}')
		return span_sub(v, 1, 36);
	return v;
}

/* ULID and other Crockford base 32: case says nothing, so it goes. */
static bool is_ulid(struct span v, const struct shape *s)
{
	if (v.n != 26 || v.p[0] > '7' || !s->digits || s->all & ~(C_DIGIT | C_HEX | C_LOWER | C_UPPER))
		return false;
	if (s->all & C_LOWER && s->all & C_UPPER)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (memchr("iloILO", v.p[i], 6))
			return false;
	return true;
}

/* Several words: a name may be a weak witness, a sentence is none. */
static enum id_class class_text(struct span leaf, struct span v, const struct shape *s)
{
	if (s->digits && v.n <= 32 && name_says(leaf) & (NAME_ID | NAME_REF))
		return ID_JOIN; /* "AB 123 456" */
	return v.n <= 40 && s->spaces <= 3 ? ID_WEAK : ID_NONE;
}

static enum id_class class_token(struct span leaf, struct span v, const struct shape *s)
{
	uint8_t says;

	if (s->dots >= 2 && !(s->all & ~(C_DIGIT | C_DOT)))
		return ID_WEAK; /* version, IPv4 address */
	if (s->digits >= 4)
		return ID_JOIN;
	if (v.n >= 16 && s->digits && s->all & C_UPPER && s->all & C_LOWER)
		return ID_JOIN; /* base 64 of something random */
	says = name_says(leaf);
	/* a short word without a digit names a scheme, a currency, a kind: "GLN" */
	if (says & NAME_ID && (s->digits || v.n > 4))
		return ID_JOIN;
	if (says & NAME_REF && s->digits && v.n >= 3)
		return ID_JOIN;
	return v.n > 1 && v.n <= 64 ? ID_WEAK : ID_NONE;
}

enum id_class classify(struct span leaf, struct span value, enum scalar_type type, char *out, size_t *ret_n)
{
	struct span v = undress(value);
	struct shape s;

	if (!v.n || v.n > ID_MAX_VALUE || type == SCALAR_BOOL || type == SCALAR_NULL)
		return ID_NONE;
	/* Bytes of another encoding, or of none, identify nothing that anybody could type. */
	if (!span_is_text(v) || !span_is_text(leaf))
		return ID_NONE;
	shape_of(v, &s);
	if (s.digits == v.n || (s.digits + 1u == v.n && v.p[0] == '-'))
		return class_integer(leaf, v, out, ret_n);
	if (s.digits && (is_time(v) || is_decimal(v, &s)))
		return ID_NONE;
	if (s.hex && ((s.dashes == 4 && dashes_of_uuid(v)) || (v.n >= 12 && !s.dashes && s.digits)))
		return class_hex(v, out, ret_n);
	*ret_n = v.n;
	if (s.spaces) {
		memcpy(out, v.p, v.n);
		return class_text(leaf, v, &s);
	}
	if ((s.ats == 1 && s.dots) || is_ulid(v, &s)) {
		put_lower(out, v);
		return s.ats && !(name_says(leaf) & NAME_ID) ? ID_WEAK : ID_JOIN;
	}
	if (!s.digits && is_constant(v))
		return ID_NONE;
	memcpy(out, v.p, v.n);
	return class_token(leaf, v, &s);
}

/* --- one header or property --- */

/* Properties whose meaning is known better than their value tells (OpenTelemetry's and AMQP's words). */
static enum id_class class_property(struct span name, enum id_class cls)
{
	static const char *const none[] = {
		"content-type", "content-encoding", "delivery-mode", "priority", "expiration", "timestamp"};
	static const char *const weak[] = {"user-id", "app-id", "cluster-id", "type"};

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (span_is(name, none[i]))
			return ID_NONE;
	for (size_t i = 0; cls == ID_JOIN && i < ARRAY_LEN(weak); i++)
		if (span_is(name, weak[i]))
			return ID_WEAK;
	return cls;
}

bool extract_value(struct span name, struct span value, enum place place, char *scratch, size_t scratch_n,
	struct identifier *ret)
{
	char out[ID_MAX_VALUE];
	enum id_class cls;
	size_t n;

	cls = classify(name, span_trim(value), SCALAR_STRING, out, &n);
	if (place == PLACE_PROPERTY && cls != ID_NONE)
		cls = class_property(name, cls);
	if (cls == ID_NONE || n > scratch_n)
		return false;
	memcpy(scratch, out, n);
	*ret = (struct identifier){name, span_of(scratch, n), place, cls, hash64(scratch, n, 0)};
	return true;
}
