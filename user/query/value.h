/* Values as numbers: exact for any number of digits, so that two long ids never compare equal by rounding. */
#ifndef EVTRACE_QUERY_VALUE_H
#define EVTRACE_QUERY_VALUE_H

#include "base/span.h"

struct decimal {
	bool negative;
	bool exponent;           /* written like 1e9: compared as a double */
	struct span whole, frac; /* digits without leading, and without trailing, zeros */
	struct span text;
};

/* An optional sign, digits, an optional fraction, an optional exponent, and nothing else. */
bool decimal_parse(struct span s, struct decimal *ret);
/* <0, 0, >0 */
int decimal_compare(const struct decimal *a, const struct decimal *b);

#endif
