/* What the kernel offers: privileges, feature tests, and words for a load that failed. Used by the live
 * source and by `doctor` (live_check(), capture/live.h). */
#ifndef EVTRACE_CAPTURE_BACKEND_H
#define EVTRACE_CAPTURE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define VMLINUX_BTF "/sys/kernel/btf/vmlinux"

struct bpf_object;
struct btf;

/* A row of backends.def. */
struct backend {
	const char *name, *what;
	struct {
		const char *prog, *tracepoint;
	} progs[4]; /* ends with NULL */
};
extern const struct backend backends[];
extern const size_t backends_n;
/* The first tracepoint that the kernel has not, NULL when all are there. */
const char *backend_missing_tracepoint(const struct btf *btf, const struct backend *b);

/* "CAP_BPF and CAP_PERFMON are missing", "" when programs may be loaded. @ret_ptrace: other users' processes
 * can be read as well. */
int backend_missing_caps(char *out, size_t n, bool *ret_ptrace);
/* The command line that grants them to this executable. */
void backend_setcap_hint(char *out, size_t n);
bool backend_in_host_pid_ns(void);

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
