/* The live source: loads the BPF programs, reads the ring buffer, keeps process names, feeds a sink. Needs
 * privileges. */
#ifndef EVTRACE_CAPTURE_LIVE_H
#define EVTRACE_CAPTURE_LIVE_H

#include <sys/types.h>

#include "base/err.h"
#include "capture/sink.h"

/* Whose calls are captured: a process in any of these. evtrace itself never is. */
struct live_scope {
	bool all;
	const pid_t *pids; /* with all their descendants, present and future */
	size_t pids_n;
	bool pids_counted;          /* by live_processes() */
	const char *const *cgroups; /* paths below the cgroup v2 mount, or absolute */
	size_t cgroups_n;
	const char *const *comms; /* exact process names */
	size_t comms_n;
	const uint16_t *ports; /* only connections with this port at either end; of the processes in scope,
				  else of all */
	size_t ports_n;
	const pid_t *exclude_pids;
	size_t exclude_pids_n;
	const char *const *exclude_comms;
	size_t exclude_comms_n;
	const uint16_t *exclude_ports;
	size_t exclude_ports_n;
};

struct live_opts {
	struct live_scope scope;
	size_t ring_bytes; /* power of two; 0: 64 MiB */
};

struct live;

/* Loads and attaches. -EPERM (which capabilities are missing, how to grant them), -ENOENT (no BTF),
 * -EOPNOTSUPP; -ESRCH: a process or control group of the scope is not there; -E2BIG: too many of a kind. */
int live__new(const struct live_opts *opts, struct live **ret, struct err *e);
void live__free(struct live *l);
/* Adds a process tree to the scope, before it runs anything of interest (`-- CMD`: the child waits on a
 * pipe). */
int live_add_pid(struct live *l, pid_t pid, struct err *e);
/* Processes alive in the trees that live_add_pid() added, and in those of the scope if it says so. */
size_t live_processes(struct live *l);
/* Hands everything that is in the ring to @sink, waiting at most @timeout_ms for the first record. 0 or
 * -errno. */
int live_poll(struct live *l, const struct sink *sink, int timeout_ms);
/* Before the end: hands over what is in the ring by now, the losses and the ends that only a look finds. */
int live_drain(struct live *l, const struct sink *sink);
void live_verdict(void *live, uint64_t endpoint, enum verdict v);

struct live_stats {
	uint64_t records, bytes, lost_records, lost_bytes, ring_used, ring_size;
	uint64_t processes, connections;
	uint64_t prog_runs, prog_ns; /* of on_sys_exit; 0 unless the kernel keeps statistics */
	const char *backend;         /* "tp_btf/sys_exit" */
};
void live__stats(struct live *l, struct live_stats *ret);

/* What this machine offers, for `doctor`: calls @fn for each point checked. Changes nothing. */
enum check_state {
	CHECK_OK,
	CHECK_WARN,
	CHECK_FAIL, /* record cannot work */
	CHECK_INFO, /* nothing that record needs */
};
typedef void (*live_check_fn)(
	void *ctx, enum check_state st, const char *what, const char *found, const char *next_step);
void live_check(live_check_fn fn, void *ctx);
/* Loads the programs, attaches nothing, and unloads them. */
int live_try_load(struct err *e);

#endif
