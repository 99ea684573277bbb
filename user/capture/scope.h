/*
 * Whose calls are captured, on the side of user space: fills the constants and maps that bpf/scope.bpf.h
 * reads. From there on the programs keep the scope through fork and exec; what was born before is found in
 * /proc here.
 */
#ifndef EVTRACE_CAPTURE_SCOPE_H
#define EVTRACE_CAPTURE_SCOPE_H

#include "bpf/event.h"
#include "capture/live.h"

/* Before load. -E2BIG: more than SCOPE_MAX of a kind. */
int scope_configure(struct scope_cfg *cfg, const struct live_scope *s, struct err *e);
/* Into the map `scope_cgroups`. -ESRCH: one is not there. */
int scope_cgroups(int map, const struct live_scope *s, struct err *e);

/* The map `scope`: SCOPE_* flags by process. */
int scope_put(int map, uint32_t pid, uint32_t flags, struct err *e);
/* After the programs are attached, so that nobody is born unseen meanwhile. -ESRCH: a process is not there.
 */
int scope_processes(int map, const struct live_scope *s, struct err *e);
/* @pid and its descendants, with @flags beside SCOPE_TREE. */
int scope_add_tree(int map, pid_t pid, uint32_t flags, struct err *e);
/* Processes that have one of @any and none of @none. */
size_t scope_count(int map, uint32_t any, uint32_t none);

#endif
