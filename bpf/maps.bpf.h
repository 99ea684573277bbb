/*
 * Maps and variables that all back ends share. Weak, because each object that includes this defines them and
 * `bpftool gen object` keeps one.
 */
#ifndef EVTRACE_BPF_MAPS_BPF_H
#define EVTRACE_BPF_MAPS_BPF_H

/* BPF_PROG() makes a `ctx` that few programs use. */
#pragma clang diagnostic ignored "-Wunused-parameter"

#define CONNS_MAX 65536 /* least recently used beyond that are forgotten, and seen anew */
#define PROCS_MAX 32768

/* User space sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} ring SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} scope SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, SCOPE_MAX);
	__uint(key_size, 4);
	__uint(value_size, 4);
} scope_cgroups SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNS_MAX);
	__type(key, __u64);
	__type(value, struct conn_state);
} conns SEC(".maps") __weak;

const volatile struct scope_cfg cfg __weak = {};

/* Totals of what was lost, and records (of any kind) that did not fit into the ring. */
struct loss losses[LOSS_NR] __weak = {};
__u64 lost_life __weak = 0;
/* User space sleeps in epoll_wait(): the next record must wake it. Otherwise it looks by itself every few ms,
 * and no call pays for a wake-up. */
__u32 asleep __weak = 0;

static __always_inline __u64 ring_flags(void)
{
	if (!*(volatile __u32 *)&asleep)
		return BPF_RB_NO_WAKEUP;
	*(volatile __u32 *)&asleep = 0;
	return BPF_RB_FORCE_WAKEUP;
}

#endif
