#include "query/value.h"

#include <stdlib.h>

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static struct span digits(struct span s, size_t *i)
{
	size_t start = *i;

	while (*i < s.n && is_digit(s.p[*i]))
		(*i)++;
	return span_sub(s, start, *i - start);
}

bool decimal_parse(struct span s, struct decimal *ret)
{
	struct decimal d = {.text = s};
	size_t i = 0, n;

	if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
		d.negative = s.p[i++] == '-';
	d.whole = digits(s, &i);
	n = d.whole.n;
	if (i < s.n && s.p[i] == '.') {
		i++;
		d.frac = digits(s, &i);
		n += d.frac.n;
	}
	if (!n)
		return false;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
			i++;
		if (!digits(s, &i).n)
			return false;
		d.exponent = true;
	}
	if (i != s.n)
		return false;
	while (d.whole.n && d.whole.p[0] == '0')
		d.whole = span_sub(d.whole, 1, SIZE_MAX);
	while (d.frac.n && d.frac.p[d.frac.n - 1] == '0')
		d.frac.n--;
	if (!d.exponent && !d.whole.n && !d.frac.n)
		d.negative = false; /* -0 */
	*ret = d;
	return true;
}

static double as_double(const struct decimal *d)
{
	char text[400];

	/* longer ones have more digits than a double can tell apart anyway */
	if (d->text.n >= sizeof(text))
		return d->negative ? -1e308 : 1e308;
	memcpy(text, d->text.p, d->text.n);
	text[d->text.n] = '\0';
	return strtod(text, NULL);
}

static int compare_digits(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

int decimal_compare(const struct decimal *a, const struct decimal *b)
{
	int c;

	if (a->exponent || b->exponent) {
		double x = as_double(a), y = as_double(b);

		return (x > y) - (x < y);
	}
	if (a->negative != b->negative)
		return a->negative ? -1 : 1;
	c = (a->whole.n > b->whole.n) - (a->whole.n < b->whole.n);
	if (!c)
		c = compare_digits(a->whole, b->whole);
	if (!c)
		c = compare_digits(a->frac, b->frac);
	return a->negative ? -c : c;
}
