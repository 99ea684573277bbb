#include "capture/backend.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/span.h"

#define CAP_SYS_PTRACE_ 19
#define CAP_SYS_ADMIN_  21
#define CAP_PERFMON_    38
#define CAP_BPF_        39
#define INIT_PID_NS     0xEFFFFFFCu /* PROC_PID_INIT_INO */

const struct backend backends[] = {
#define BACKEND(name, what, ...) {#name, what, {__VA_ARGS__}},
#include "capture/backends.def"
#undef BACKEND
};
const size_t backends_n = ARRAY_LEN(backends);

/* --- what libbpf says --- */

static char log_line[400];

/* Its first warning names the cause; what follows are the verifier's log and echoes. */
static int keep_log(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[sizeof(log_line)];

	if (level != LIBBPF_WARN || log_line[0])
		return 0;
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	snprintf(log_line, sizeof(log_line), "%s", strncmp(line, "libbpf: ", 8) ? line : line + 8);
	return 0;
}

void backend_capture_log(void)
{
	log_line[0] = '\0';
	libbpf_set_print(keep_log);
}

int backend_load_error(int err, struct err *e)
{
	if (err >= 0)
		err = -EIO;
	err_set(e, err, "cannot load its BPF programs: %s%s%s%s", strerror(-err), log_line[0] ? " (" : "",
		log_line, log_line[0] ? ")" : "");
	err_hint(e, "evtrace doctor shows what this kernel offers");
	return err;
}

/* --- privileges --- */

static bool effective_caps(uint64_t *ret)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "CapEff: %" SCNx64, ret) == 1;
	if (f)
		fclose(f);
	return found;
}

static bool has_cap(uint64_t caps, int cap)
{
	return caps >> cap & 1;
}

int backend_missing_caps(char *out, size_t n, bool *ret_ptrace)
{
	uint64_t caps;
	bool bpf, perfmon;

	if (!effective_caps(&caps))
		return -EIO;
	bpf = has_cap(caps, CAP_BPF_) || has_cap(caps, CAP_SYS_ADMIN_);
	perfmon = has_cap(caps, CAP_PERFMON_) || has_cap(caps, CAP_SYS_ADMIN_);
	snprintf(out, n, "%s%s%s%s", bpf ? "" : "CAP_BPF", bpf || perfmon ? "" : " and ",
		perfmon ? "" : "CAP_PERFMON",
		bpf && perfmon   ? ""
		: bpf || perfmon ? " is missing"
				 : " are missing");
	*ret_ptrace = has_cap(caps, CAP_SYS_PTRACE_);
	return 0;
}

void backend_setcap_hint(char *out, size_t n)
{
	char exe[256];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[len > 0 ? len : 0] = '\0';
	snprintf(out, n, "run it with sudo, or once: sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep %s",
		exe[0] ? exe : "/usr/bin/evtrace");
}

bool backend_in_host_pid_ns(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == INIT_PID_NS;
}

int backend_check_privileges(struct err *e)
{
	char missing[64], hint[400];
	bool ptrace;

	if (backend_missing_caps(missing, sizeof(missing), &ptrace))
		return err_set(e, -EIO, "cannot read /proc/self/status: is /proc mounted?");
	if (missing[0]) {
		backend_setcap_hint(hint, sizeof(hint));
		err_set(e, -EPERM, "cannot load its BPF programs: %s (uid %u)", missing, (unsigned)getuid());
		err_hint(e, "%s", hint);
		return -EPERM;
	}
	if (access(VMLINUX_BTF, R_OK)) {
		err_set(e, -ENOENT, "this kernel does not describe its types: there is no " VMLINUX_BTF);
		err_hint(e, "it needs CONFIG_DEBUG_INFO_BTF=y, as the kernels of Debian 11, Ubuntu 20.10, "
			    "RHEL 8.2 and later have");
		return -ENOENT;
	}
	if (!backend_in_host_pid_ns()) {
		err_set(e, -EOPNOTSUPP,
			"it runs in a pid namespace of its own, where process numbers are not "
			"the kernel's");
		err_hint(e, "in a container, start it with the host's: docker run --pid=host --privileged …");
		return -EOPNOTSUPP;
	}
	return 0;
}

/* --- feature tests --- */

static bool has_tracepoint(const struct btf *btf, const char *tracepoint)
{
	char name[128];

	snprintf(name, sizeof(name), "btf_trace_%s", tracepoint);
	return btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF) > 0;
}

const char *backend_missing_tracepoint(const struct btf *btf, const struct backend *b)
{
	for (size_t i = 0; i < ARRAY_LEN(b->progs) && b->progs[i].prog; i++)
		if (!has_tracepoint(btf, b->progs[i].tracepoint))
			return b->progs[i].tracepoint;
	return NULL;
}

int backend_switch_off_missing(struct bpf_object *obj, struct err *e)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int err = 0;

	if (!btf)
		return err_set(e, -errno, "cannot read " VMLINUX_BTF ": %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(backends) && !err; i++) {
		const struct backend *b = &backends[i];
		const char *tp = backend_missing_tracepoint(btf, b);

		if (!tp)
			continue;
		for (size_t j = 0; j < ARRAY_LEN(b->progs) && b->progs[j].prog; j++)
			bpf_program__set_autoload(
				bpf_object__find_program_by_name(obj, b->progs[j].prog), false);
		err = err_set(e, -EOPNOTSUPP, "this kernel has no BTF tracepoint %s, which \"%s\" needs", tp,
			b->what);
		err_hint(e, "evtrace doctor shows what this kernel offers");
	}
	btf__free(btf);
	return err;
}

bool backend_has_kfunc(const char *name)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool found = btf && btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;

	btf__free(btf);
	return found;
}
