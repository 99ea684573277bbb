/* What this machine offers, point by point, for `evtrace doctor`. Feature tests only; nothing is attached,
 * and what a test needs is gone when it is done. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "capture/backend.h"
#include "capture/live.h"

struct checker {
	live_check_fn fn;
	void *ctx;
	struct btf *btf;
	bool may_load;
};

static void say(struct checker *c, enum check_state st, const char *what, const char *found, const char *next)
{
	c->fn(c->ctx, st, what, found, next);
}

static void check_kernel(struct checker *c)
{
	struct utsname u;
	char text[256];

	if (uname(&u))
		return;
	snprintf(text, sizeof(text), "%.100s %.64s", u.release, u.machine);
	say(c, CHECK_INFO, "kernel", text, "");
}

static void check_privileges(struct checker *c)
{
	char missing[64], hint[400], text[128];
	bool ptrace = false;

	if (backend_missing_caps(missing, sizeof(missing), &ptrace)) {
		say(c, CHECK_FAIL, "privileges", "/proc/self/status cannot be read", "mount /proc");
		return;
	}
	backend_setcap_hint(hint, sizeof(hint));
	c->may_load = !missing[0];
	if (missing[0]) {
		snprintf(text, sizeof(text), "%s (uid %u)", missing, (unsigned)getuid());
		say(c, CHECK_FAIL, "privileges", text, hint);
	} else if (!ptrace) {
		say(c, CHECK_WARN, "privileges",
			"CAP_SYS_PTRACE is missing: other users' processes are named by their comm only",
			hint);
	} else {
		say(c, CHECK_OK, "privileges", "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE", "");
	}
}

static void check_pid_ns(struct checker *c)
{
	if (backend_in_host_pid_ns())
		say(c, CHECK_OK, "pid namespace", "the host's", "");
	else
		say(c, CHECK_FAIL, "pid namespace", "one of its own: process numbers are not the kernel's",
			"in a container, start it with: docker run --pid=host --privileged ...");
}

/* "[none] integrity confidentiality": the last one forbids programs to read memory. */
static void check_lockdown(struct checker *c)
{
	FILE *f = fopen("/sys/kernel/security/lockdown", "re");
	char line[128] = "";

	if (!f)
		return;
	if (fgets(line, sizeof(line), f) && strstr(line, "[confidentiality]"))
		say(c, CHECK_FAIL, "kernel lockdown", "confidentiality: programs may not read memory",
			"boot with lockdown=integrity or without Secure Boot");
	else
		say(c, CHECK_OK, "kernel lockdown", strstr(line, "[integrity]") ? "integrity" : "none", "");
	fclose(f);
}

static void check_btf(struct checker *c)
{
	c->btf = access(VMLINUX_BTF, R_OK) ? NULL : btf__load_vmlinux_btf();
	if (c->btf)
		say(c, CHECK_OK, "BTF", VMLINUX_BTF, "");
	else
		say(c, CHECK_FAIL, "BTF", "this kernel does not describe its types: no " VMLINUX_BTF,
			"a kernel with CONFIG_DEBUG_INFO_BTF=y, as Debian 11, Ubuntu 20.10, RHEL 8.2 and "
			"later have");
}

/* Value @name of the kernel's enum @type is there. */
static bool has_enumerator(const struct btf *btf, const char *type, const char *name)
{
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;

	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_enum(t)[i].name_off), name))
			return true;
	return false;
}

static void check_ring(struct checker *c)
{
	if (!c->btf)
		return;
	if (has_enumerator(c->btf, "bpf_map_type", "BPF_MAP_TYPE_RINGBUF"))
		say(c, CHECK_OK, "ring buffer", "yes", "");
	else
		say(c, CHECK_FAIL, "ring buffer", "this kernel has no BPF ring buffer",
			"a kernel from 5.8 on");
}

static void check_backends(struct checker *c)
{
	char what[64], found[256];

	for (size_t i = 0; c->btf && i < backends_n; i++) {
		const struct backend *b = &backends[i];
		const char *missing = backend_missing_tracepoint(c->btf, b);
		size_t n = 0;

		snprintf(what, sizeof(what), "back end %s", b->name);
		if (missing) {
			snprintf(found, sizeof(found), "this kernel has no BTF tracepoint %s", missing);
			say(c, CHECK_FAIL, what, found,
				"a kernel with CONFIG_HAVE_SYSCALL_TRACEPOINTS and BTF");
			continue;
		}
		n = (size_t)snprintf(found, sizeof(found), "%s:", b->what);
		for (size_t k = 0; k < sizeof(b->progs) / sizeof(b->progs[0]) && b->progs[k].prog; k++)
			n += (size_t)snprintf(
				found + n, sizeof(found) - n, " tp_btf/%s", b->progs[k].tracepoint);
		say(c, CHECK_OK, what, found, "");
	}
}

static void check_load(struct checker *c)
{
	struct err e = {0};

	if (!c->btf)
		return;
	if (!c->may_load)
		say(c, CHECK_WARN, "loading", "not tried: the privileges are missing", "sudo evtrace doctor");
	else if (live_try_load(&e))
		say(c, CHECK_FAIL, "loading", e.msg, "report this with the kernel's version");
	else
		say(c, CHECK_OK, "loading",
			backend_has_kfunc("bpf_rdonly_cast")
				? "the verifier takes all programs; typed pointers"
				: "the verifier takes all programs; probe reads",
			"");
}

static void check_cgroups(struct checker *c)
{
	if (!access("/sys/fs/cgroup/cgroup.procs", F_OK))
		say(c, CHECK_OK, "cgroup v2", "/sys/fs/cgroup", "");
	else if (!access("/sys/fs/cgroup/unified/cgroup.procs", F_OK))
		say(c, CHECK_OK, "cgroup v2", "/sys/fs/cgroup/unified, beside v1", "");
	else
		say(c, CHECK_WARN, "cgroup v2", "not mounted: --cgroup cannot be used",
			"mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified");
}

/* A program that returns at once, on entry to a function of the kernel. */
static bool fentry_loads(const struct btf *btf)
{
	struct bpf_insn insns[] = {
		{.code = 0xb7, .dst_reg = 0, .imm = 0}, /* r0 = 0 */
		{.code = 0x95},                         /* exit */
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FENTRY);
	int id = btf__find_by_name_kind(btf, "tcp_sendmsg", BTF_KIND_FUNC), fd;

	if (id <= 0)
		return false;
	opts.attach_btf_id = (__u32)id;
	fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "evtrace_try", "GPL", insns, 2, &opts);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* What later back ends could stand on. */
static void check_others(struct checker *c)
{
	static const char *const pmus[] = {"kprobe", "uprobe"};
	char path[64];

	for (size_t i = 0; i < sizeof(pmus) / sizeof(pmus[0]); i++) {
		snprintf(path, sizeof(path), "/sys/bus/event_source/devices/%s", pmus[i]);
		say(c, CHECK_INFO, i ? "uprobes" : "kprobes", access(path, F_OK) ? "no" : "yes; not used",
			"");
	}
	if (c->btf && c->may_load)
		say(c, CHECK_INFO, "fentry", fentry_loads(c->btf) ? "yes; not used" : "no", "");
}

/* What goes past every back end is better said here than found out later. */
static void check_blind_spots(struct checker *c)
{
	FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
	int disabled = 0;

	if (f && fscanf(f, "%d", &disabled) != 1)
		disabled = 0;
	if (f)
		fclose(f);
	say(c, CHECK_INFO, "io_uring",
		disabled == 2 ? "switched off: nothing can pass by it"
			      : "its transfers are not seen; TCP shows them as gaps",
		"");
}

void live_check(live_check_fn fn, void *ctx)
{
	struct checker c = {.fn = fn, .ctx = ctx};

	backend_capture_log();
	check_kernel(&c);
	check_privileges(&c);
	check_pid_ns(&c);
	check_lockdown(&c);
	check_btf(&c);
	check_ring(&c);
	check_backends(&c);
	check_load(&c);
	check_cgroups(&c);
	check_others(&c);
	check_blind_spots(&c);
	btf__free(c.btf);
}
