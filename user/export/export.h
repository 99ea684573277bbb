/*
 * Other formats for what evtrace has: one row of formats.def and one file each. A format takes what a source
 * gives (a record file, a capture), in order, by a sink, and writes to a stream that its caller opens and
 * closes.
 */
#ifndef EVTRACE_EXPORT_EXPORT_H
#define EVTRACE_EXPORT_EXPORT_H

#include <stdio.h>

#include "base/err.h"
#include "capture/recfile.h"

struct export_stats {
	uint64_t connections, packets, bytes; /* bytes: of the connections, as they passed */
	uint64_t gaps, lost;                  /* bytes that the source does not have */
	int64_t first_ns, last_ns;
};

struct format {
	const char *reader; /* a command that reads it */
	/* @info is of the source, valid for the call. */
	int (*begin)(FILE *out, const struct source_info *info, void **ret, struct err *e);
	void (*sink)(void *x, struct sink *ret);
	/* At the end of the source: writes what is still held. */
	int (*finish)(void *x);
	void (*stats)(const void *x, struct export_stats *ret);
	void (*free)(void *x); /* NULL is fine */
};

/* The rows of formats.def. */
struct format_row {
	const char *name, *summary;
	const struct format *format;
};
extern const struct format_row formats[];
extern const size_t formats_n;

#endif
