/* What the kernel offers: privileges, feature tests, and words for a load that failed. Used by the live
 * source and by `doctor` (live_check(), capture/live.h). */
#ifndef EVTRACE_CAPTURE_BACKEND_H
#define EVTRACE_CAPTURE_BACKEND_H

#include <stdbool.h>

#include "base/err.h"

struct bpf_object;

/* -EPERM with what is missing and how to get it; -ENOENT: the kernel has no BTF; -EOPNOTSUPP: a pid
 * namespace. */
int backend_check_privileges(struct err *e);
/* Keeps what libbpf says from now on, instead of printing it. */
void backend_capture_log(void);
/* Turns off the back ends (backends.def) whose tracepoints this kernel has not; -EOPNOTSUPP: a needed one. */
int backend_switch_off_missing(struct bpf_object *obj, struct err *e);
/* The kernel has this function for BPF programs to call. */
bool backend_has_kfunc(const char *name);
/* Says why loading or attaching failed; returns @err. */
int backend_load_error(int err, struct err *e);

#endif
