/* A line of progress on stderr, for work that reads files: on a terminal only. */
#ifndef EVTRACE_CMD_BAR_H
#define EVTRACE_CMD_BAR_H

#include "capture/recfile.h"

struct bar {
	bool tty;
	int64_t started_mono, next_mono;
};

void bar_begin(struct bar *b);
/* To be called as often as one likes. */
void bar_show(struct bar *b, const struct progress *p);
void bar_clear(const struct bar *b);

#endif
