/*
 * What differs between kernels and architectures, one getter each, with the reason beside it. Feature tests
 * only: the verifier drops the branch that this kernel does not offer.
 */
#ifndef EVTRACE_BPF_COMPAT_BPF_H
#define EVTRACE_BPF_COMPAT_BPF_H

#if defined(__TARGET_ARCH_x86)

enum {
	NR_read = 0,
	NR_write = 1,
	NR_readv = 19,
	NR_writev = 20,
	NR_sendfile = 40,
	NR_connect = 42,
	NR_accept = 43,
	NR_sendto = 44,
	NR_recvfrom = 45,
	NR_sendmsg = 46,
	NR_recvmsg = 47,
	NR_shutdown = 48,
	NR_socketpair = 53,
	NR_splice = 275,
	NR_accept4 = 288,
	NR_recvmmsg = 299,
	NR_sendmmsg = 307,
};

/* At sys_exit `struct pt_regs` still holds the arguments: only ax was overwritten, and orig_ax keeps the
 * number. x32 calls have bit 30 set and match no number above. */
#define call_nr(regs)   ((regs)->orig_ax)
#define call_arg0(regs) ((regs)->di)
#define call_arg1(regs) ((regs)->si)
#define call_arg2(regs) ((regs)->dx)
#define call_arg3(regs) ((regs)->r10)

#define TASK_COMPAT_FIELD status
#define TASK_COMPAT_BIT   0x0002 /* TS_COMPAT */

#elif defined(__TARGET_ARCH_arm64)

enum {
	NR_sendfile = 71,
	NR_read = 63,
	NR_write = 64,
	NR_readv = 65,
	NR_writev = 66,
	NR_splice = 76,
	NR_socketpair = 199,
	NR_accept = 202,
	NR_connect = 203,
	NR_sendto = 206,
	NR_recvfrom = 207,
	NR_shutdown = 210,
	NR_sendmsg = 211,
	NR_recvmsg = 212,
	NR_accept4 = 242,
	NR_recvmmsg = 243,
	NR_sendmmsg = 269,
};

/* The result overwrites x0; orig_x0 keeps the first argument. */
#define call_nr(regs)   ((__u32)(regs)->syscallno)
#define call_arg0(regs) ((regs)->orig_x0)
#define call_arg1(regs) ((regs)->regs[1])
#define call_arg2(regs) ((regs)->regs[2])
#define call_arg3(regs) ((regs)->regs[3])

#define TASK_COMPAT_FIELD flags
#define TASK_COMPAT_BIT   (1 << 22) /* TIF_32BIT */

#else
#error "this architecture's call numbers and argument registers are not written down yet"
#endif

/*
 * Typed pointers: bpf_get_current_task_btf() (3ca1032ab7ab, 5.11) and bpf_rdonly_cast() (a35b9af4ec2c, 6.2)
 * make plain loads of what is a helper call of some 25 ns each otherwise; a captured call follows a dozen
 * pointers. The verifier turns such loads into ones that read 0 where there is nothing, like a failed probe
 * read.
 */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

const volatile bool have_rdonly_cast __weak = false; /* user space looks into the kernel's BTF */

#define have_task_btf bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)

/* `p->field` for a pointer of unknown origin. */
#define LOAD(type, p, field)                                                                                 \
	({                                                                                                   \
		typeof(((type *)0)->field) v_;                                                               \
		if (have_rdonly_cast)                                                                        \
			v_ = ((type *)bpf_rdonly_cast((p), bpf_core_type_id_kernel(type)))->field;           \
		else                                                                                         \
			v_ = BPF_CORE_READ((type *)(p), field);                                              \
		v_;                                                                                          \
	})

/* What every call needs of its task. */
struct caller {
	__u32 tgid, pid;
	bool compat; /* a 32-bit call, with other numbers */
};

static __always_inline void caller_get(struct caller *c)
{
	struct task_struct *task;

	if (have_task_btf) {
		task = bpf_get_current_task_btf();
		c->tgid = task->tgid;
		c->pid = task->pid;
		c->compat = task->thread_info.TASK_COMPAT_FIELD & TASK_COMPAT_BIT;
	} else {
		task = (struct task_struct *)bpf_get_current_task();
		c->tgid = BPF_CORE_READ(task, tgid);
		c->pid = BPF_CORE_READ(task, pid);
		c->compat = BPF_CORE_READ(task, thread_info.TASK_COMPAT_FIELD) & TASK_COMPAT_BIT;
	}
}

/* The open file behind @fd of the current process, NULL when there is none. */
static __always_inline struct file *fd_file(__u32 fd)
{
	struct file **table, *file = NULL;
	struct fdtable *fdt;
	__u32 max;

	if (have_task_btf) {
		fdt = bpf_get_current_task_btf()->files->fdt;
		max = fdt->max_fds;
		table = fdt->fd;
	} else {
		fdt = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), files, fdt);
		max = BPF_CORE_READ(fdt, max_fds);
		table = BPF_CORE_READ(fdt, fd);
	}
	if (fd < max)
		bpf_probe_read_kernel(&file, sizeof(file), table + fd);
	return file;
}

#define S_IFMT_   0170000
#define S_IFSOCK_ 0140000

/* The inode number when @file is a socket, else 0. */
static __always_inline __u64 socket_ino(struct file *file)
{
	struct inode *inode = LOAD(struct file, file, f_inode);

	if ((LOAD(struct inode, inode, i_mode) & S_IFMT_) != S_IFSOCK_)
		return 0;
	return LOAD(struct inode, inode, i_ino);
}

#endif
