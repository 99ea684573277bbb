/*
 * What went wrong, in words for an operator. Library code returns a negative errno and, where the number
 * alone would not tell the cause, fills an `err`; commands print it. `msg` is one line "what failed, on what,
 * why"; `hint` is the next step, or empty.
 */
#ifndef EVTRACE_BASE_ERR_H
#define EVTRACE_BASE_ERR_H

struct err {
	char msg[512];
	char hint[512];
};

/* Sets @e (which may be NULL) and returns @code, so that `return err_set(e, -EINVAL, "...")` reads well. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
