/*
 * What processes are called: comm, executable, command line, control group, and the name that their operator
 * would use. Read from /proc when a process is first seen, with what the kernel side told at fork and exec
 * for those that are gone by then.
 */
#ifndef EVTRACE_CAPTURE_PROCINFO_H
#define EVTRACE_CAPTURE_PROCINFO_H

#include "capture/sink.h"

struct procs;

struct procs *procs__new(void); /* NULL: out of memory */
void procs__free(struct procs *p);

/* NULL: out of memory. *ret_changed: nobody has asked before, or it ran another program since. Valid until
 * the next call. */
const struct proc_info *procs_get(struct procs *p, uint32_t pid, bool *ret_changed);
/* @child starts as a copy of @parent. */
int procs_forked(struct procs *p, uint32_t child, uint32_t parent, const char *comm);
/* @args: NUL-separated. *ret_known: somebody has asked for @pid before, and should be told. */
int procs_execed(struct procs *p, uint32_t pid, uint32_t ppid, const char *comm, const char *filename,
	struct span args, bool *ret_known);
/* Forgets it; true when somebody had asked for it. */
bool procs_exited(struct procs *p, uint32_t pid);
/* Calls @fn for each process that somebody asked for, until it returns false. */
void procs_each(const struct procs *p, bool (*fn)(void *ctx, uint32_t pid), void *ctx);

/*
 * The name that tells @cgroup's, @exe's or @cmdline's service apart: a systemd unit, a container, else an
 * interpreter's script ("python3 /x/billing.py": billing), else the executable. @cmdline is NUL-separated. A
 * unit or container that evtrace runs in itself (@own_cgroup) tells nothing apart and is passed over.
 */
void service_name(char *out, size_t n, const char *cgroup, const char *own_cgroup, const char *exe,
	struct span cmdline);
/* The path in cgroup v2, else in systemd's v1 hierarchy, from the text of /proc/PID/cgroup; "" at the root.
 */
void cgroup_path(char *out, size_t n, struct span text);

#endif
