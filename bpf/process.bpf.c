/* Birth, change and death of processes: keeps the scope through fork and exec, and tells user space. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "bpf/event.h"
#include "bpf/maps.bpf.h"
#include "bpf/scope.bpf.h"

char LICENSE_PROCESS[] SEC("license") = "Dual BSD/GPL";

static __always_inline void fill_proc(struct evt_proc *e, __u32 size, __u16 type, struct task_struct *task)
{
	e->h.size = size;
	e->h.type = type;
	e->h.flags = 0;
	e->h.ts = bpf_ktime_get_ns();
	e->h.pid = BPF_CORE_READ(task, tgid);
	e->h.tid = BPF_CORE_READ(task, pid);
	e->ppid = BPF_CORE_READ(task, real_parent, tgid);
	e->exit_code = 0;
	BPF_CORE_READ_STR_INTO(&e->comm, task, comm);
}

/* Wakes user space: what /proc says about a process is there only while it lives. */
static __always_inline void tell_proc(__u16 type, struct task_struct *task, __s32 exit_code)
{
	struct evt_proc *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		__sync_fetch_and_add(&lost_life, 1);
		return;
	}
	fill_proc(e, sizeof(*e), type, task);
	e->exit_code = exit_code;
	bpf_ringbuf_submit(e, type == EVT_FORK ? ring_flags() : BPF_RB_FORCE_WAKEUP);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 ptgid = BPF_CORE_READ(parent, tgid), tgid = BPF_CORE_READ(child, tgid);
	__u32 *p, flags;

	if (ptgid == tgid) /* a thread */
		return 0;
	p = bpf_map_lookup_elem(&scope, &ptgid);
	flags = p ? *p & ~SCOPE_SELF : 0;
	if (flags)
		bpf_map_update_elem(&scope, &tgid, &flags, BPF_ANY);
	if (scope_decide(flags))
		tell_proc(EVT_FORK, child, 0);
	return 0;
}

static __always_inline void tell_exec(struct task_struct *task, struct linux_binprm *bprm)
{
	struct evt_exec *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	__u64 start, len;

	if (!e) {
		__sync_fetch_and_add(&lost_life, 1);
		return;
	}
	fill_proc(&e->p, sizeof(*e), EVT_EXEC, task);
	if (bpf_probe_read_kernel_str(e->filename, sizeof(e->filename), BPF_CORE_READ(bprm, filename)) < 0)
		e->filename[0] = 0;
	start = BPF_CORE_READ(task, mm, arg_start);
	len = BPF_CORE_READ(task, mm, arg_end) - start;
	if (len > sizeof(e->args))
		len = sizeof(e->args);
	barrier_var(len);
	if (len > sizeof(e->args) || bpf_probe_read_user(e->args, len, (void *)start))
		len = 0;
	e->args_len = len;
	bpf_ringbuf_submit(e, BPF_RB_FORCE_WAKEUP);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	__u32 tgid = BPF_CORE_READ(task, tgid), flags, was;
	__u32 *p = bpf_map_lookup_elem(&scope, &tgid);
	__u64 name[2] = {};

	was = p ? *p : 0;
	flags = was & ~(SCOPE_COMM | SCOPE_OUT_COMM);
	bpf_get_current_comm(name, sizeof(name));
	if (name_listed(cfg.comms, cfg.comms_n, name))
		flags |= SCOPE_COMM;
	if (name_listed(cfg.not_comms, cfg.not_comms_n, name))
		flags |= SCOPE_OUT_COMM;
	if (flags && flags != was)
		bpf_map_update_elem(&scope, &tgid, &flags, BPF_ANY);
	else if (!flags && was)
		bpf_map_delete_elem(&scope, &tgid);
	if (scope_decide(flags))
		tell_exec(task, bprm);
	return 0;
}

/* As wait() tells it: a group's exit overrules the last thread's. */
static __always_inline __s32 exit_code(struct task_struct *task)
{
	if (BPF_CORE_READ(task, signal, flags) & 0x4) /* SIGNAL_GROUP_EXIT */
		return BPF_CORE_READ(task, signal, group_exit_code);
	return BPF_CORE_READ(task, exit_code);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit_, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid), flags;
	__u32 *p;

	/* do_exit() has counted this thread off before; the tracepoint itself does not tell before 6.16. */
	if (BPF_CORE_READ(task, signal, live.counter))
		return 0;
	p = bpf_map_lookup_elem(&scope, &tgid);
	flags = p ? *p : 0;
	/* Two last threads may both see zero: the one that deletes tells. */
	if (flags && bpf_map_delete_elem(&scope, &tgid))
		return 0;
	if (scope_decide(flags))
		tell_proc(EVT_EXIT, task, exit_code(task));
	return 0;
}
