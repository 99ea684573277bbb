/* Whose calls are captured: by process here, by port when a connection is first seen (conn.bpf.h). */
#ifndef EVTRACE_BPF_SCOPE_BPF_H
#define EVTRACE_BPF_SCOPE_BPF_H

static __always_inline bool name_listed(const volatile __u64 list[][2], __u32 n, const __u64 name[2])
{
	for (__u32 i = 0; i < SCOPE_MAX; i++) {
		if (i >= n)
			return false;
		if (list[i][0] == name[0] && list[i][1] == name[1])
			return true;
	}
	return false;
}

static __always_inline bool port_listed(const volatile __u16 *list, __u32 n, __u16 a, __u16 b)
{
	for (__u32 i = 0; i < SCOPE_MAX; i++) {
		if (i >= n)
			return false;
		if (list[i] == a || list[i] == b)
			return true;
	}
	return false;
}

/* @flags: of the current process in the map `scope`, 0 when it is not there. */
static __always_inline bool scope_decide(__u32 flags)
{
	if (flags & (SCOPE_OUT | SCOPE_OUT_COMM | SCOPE_SELF))
		return false;
	if (cfg.all || (flags & (SCOPE_TREE | SCOPE_COMM)))
		return true;
	/* Asked at each call, not remembered: a process can be moved into a control group at any time. */
	for (__u32 i = 0; i < SCOPE_MAX; i++) {
		if (i >= cfg.cgroups_n)
			return false;
		if (bpf_current_task_under_cgroup(&scope_cgroups, i) == 1)
			return true;
	}
	return false;
}

static __always_inline bool in_scope(__u32 tgid)
{
	__u32 *flags = bpf_map_lookup_elem(&scope, &tgid);

	return scope_decide(flags ? *flags : 0);
}

#endif
