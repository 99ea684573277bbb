/* Captures of other projects: not part of this tree, read where they lie ($EVTRACE_SHARED/captures, else
 * shared/captures beside the tree). */
#ifndef EVTRACE_TESTS_SHARED_CAPTURES_H
#define EVTRACE_TESTS_SHARED_CAPTURES_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/span.h"

/* NULL: there are none. */
static inline const char *find_captures(char *dir, size_t n)
{
	const char *env = getenv("EVTRACE_SHARED");
	const char *const places[] = {env ? env : "", "../shared", "../../shared"};

	for (size_t i = !env; i < ARRAY_LEN(places); i++) {
		char index[512];

		snprintf(dir, n, "%s/captures", places[i]);
		snprintf(index, sizeof(index), "%s/INDEX.tsv", dir);
		if (!access(index, R_OK))
			return dir;
	}
	return NULL;
}

#endif
