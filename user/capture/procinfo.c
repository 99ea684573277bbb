#include "capture/procinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "base/timefmt.h"

#define CMDLINE_MAX 1024 /* what of a command line is kept */

struct proc {
	struct proc_info info; /* points into what follows */
	bool asked;            /* somebody knows it by procs_get() */
	bool changed;          /* and should be told again */
	bool read;             /* /proc was asked since fork or exec */
	char comm[16];
	char exe[256];
	char cmdline[CMDLINE_MAX];
	char service[128];
	char cgroup[256];
};

struct procs {
	struct map by_pid;
	char own_cgroup[256];
	int64_t boot_ns; /* wall-clock time of CLOCK_BOOTTIME 0 */
};

/* Reads a whole small file; its length, or -errno. */
static ssize_t read_proc_file(uint32_t pid, const char *name, char *out, size_t n)
{
	char path[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, out, n);
	if (len < 0)
		len = -errno;
	close(fd);
	return len;
}

static void set_text(char *out, size_t n, const char *s)
{
	snprintf(out, n, "%s", s);
}

static void read_cgroup(uint32_t pid, char *out, size_t n)
{
	char text[4096];
	ssize_t len = read_proc_file(pid, "cgroup", text, sizeof(text));

	if (len > 0)
		cgroup_path(out, n, span_of(text, (size_t)len));
}

/* /proc/PID/stat: "pid (comm) state ppid …", where comm may hold anything, so the last ')' counts. Field 22
 * is the start in clock ticks since boot. */
static bool read_stat(const struct procs *ps, struct proc *p)
{
	char text[1024], *at;
	unsigned long long ticks;
	unsigned ppid;
	ssize_t len = read_proc_file(p->info.pid, "stat", text, sizeof(text) - 1);

	if (len <= 0)
		return false;
	text[len] = '\0';
	at = strrchr(text, ')');
	if (!at || sscanf(at,
			   ") %*c %u %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
			   "%llu",
			   &ppid, &ticks) != 2)
		return false;
	p->info.ppid = ppid;
	p->info.start_ns = ps->boot_ns + (int64_t)(ticks * (NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK)));
	return true;
}

static void join_args(struct proc *p, struct span args)
{
	size_t n = args.n < sizeof(p->cmdline) - 1 ? args.n : sizeof(p->cmdline) - 1;

	if (n)
		memcpy(p->cmdline, args.p, n);
	while (n && !p->cmdline[n - 1])
		n--;
	p->cmdline[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (!p->cmdline[i])
			p->cmdline[i] = ' ';
}

static void name_service(const struct procs *ps, struct proc *p, struct span args)
{
	service_name(p->service, sizeof(p->service), p->cgroup, ps->own_cgroup, p->exe, args);
	if (!p->service[0])
		set_text(p->service, sizeof(p->service), p->comm);
}

/* What /proc does not tell any more keeps its value. */
static void read_proc(const struct procs *ps, struct proc *p)
{
	char text[4096], path[64];
	ssize_t len;

	p->read = true;
	if (!read_stat(ps, p))
		return;
	len = read_proc_file(p->info.pid, "comm", text, sizeof(p->comm));
	if (len > 1) {
		text[len - 1] = '\0';
		set_text(p->comm, sizeof(p->comm), text);
	}
	snprintf(path, sizeof(path), "/proc/%u/exe", p->info.pid);
	len = readlink(path, text, sizeof(p->exe) - 1);
	if (len > 0) {
		text[len] = '\0';
		set_text(p->exe, sizeof(p->exe), text);
	}
	read_cgroup(p->info.pid, p->cgroup, sizeof(p->cgroup));
	len = read_proc_file(p->info.pid, "cmdline", text, sizeof(text));
	if (len > 0) {
		join_args(p, span_of(text, (size_t)len));
		name_service(ps, p, span_of(text, (size_t)len));
	} else if (!p->service[0]) { /* a kernel thread, or a zombie */
		name_service(ps, p, SPAN_EMPTY);
	}
}

static struct proc *proc_add(struct procs *ps, uint32_t pid)
{
	struct proc *p = map_ptr(&ps->by_pid, pid);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->info = (struct proc_info){.pid = pid,
		.comm = p->comm,
		.exe = p->exe,
		.cmdline = p->cmdline,
		.service = p->service,
		.cgroup = p->cgroup};
	if (map_put_ptr(&ps->by_pid, pid, p)) {
		free(p);
		return NULL;
	}
	return p;
}

struct procs *procs__new(void)
{
	struct procs *ps = calloc(1, sizeof(*ps));
	struct timespec boot;

	if (!ps)
		return NULL;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	ps->boot_ns = now_wall_ns() - (boot.tv_sec * NS_PER_SEC + boot.tv_nsec);
	read_cgroup((uint32_t)getpid(), ps->own_cgroup, sizeof(ps->own_cgroup));
	return ps;
}

void procs__free(struct procs *ps)
{
	if (!ps)
		return;
	map_for_each (&ps->by_pid, s)
		free((void *)(uintptr_t)s->val);
	map_free(&ps->by_pid);
	free(ps);
}

const struct proc_info *procs_get(struct procs *ps, uint32_t pid, bool *ret_changed)
{
	struct proc *p = proc_add(ps, pid);

	if (!p)
		return NULL;
	if (!p->read)
		read_proc(ps, p);
	*ret_changed = !p->asked || p->changed;
	p->asked = true;
	p->changed = false;
	return &p->info;
}

int procs_forked(struct procs *ps, uint32_t child, uint32_t parent, const char *comm)
{
	struct proc *from = map_ptr(&ps->by_pid, parent), *p;
	struct proc_info info;

	free(map_ptr(&ps->by_pid, child)); /* its pid was used before, and that end was not seen */
	map_del(&ps->by_pid, child);
	p = proc_add(ps, child);
	if (!p)
		return -ENOMEM;
	if (from) {
		info = p->info;
		*p = *from;
		p->info = info;
		p->asked = p->changed = p->read = false;
	}
	p->info.ppid = parent;
	set_text(p->comm, sizeof(p->comm), comm);
	return 0;
}

int procs_execed(struct procs *ps, uint32_t pid, uint32_t ppid, const char *comm, const char *filename,
	struct span args, bool *ret_known)
{
	struct proc *p = proc_add(ps, pid);

	if (!p)
		return -ENOMEM;
	p->info.ppid = ppid;
	set_text(p->comm, sizeof(p->comm), comm);
	set_text(p->exe, sizeof(p->exe), filename);
	join_args(p, args);
	if (!p->cgroup[0])
		read_cgroup(pid, p->cgroup, sizeof(p->cgroup));
	name_service(ps, p, args);
	read_proc(ps, p);
	p->changed = p->asked;
	*ret_known = p->asked;
	return 0;
}

bool procs_exited(struct procs *ps, uint32_t pid)
{
	struct proc *p = map_ptr(&ps->by_pid, pid);
	bool asked = p && p->asked;

	map_del(&ps->by_pid, pid);
	free(p);
	return asked;
}

void procs_each(const struct procs *ps, bool (*fn)(void *ctx, uint32_t pid), void *ctx)
{
	map_for_each (&ps->by_pid, s) {
		const struct proc *p = (const struct proc *)(uintptr_t)s->val;

		if (p->asked && !fn(ctx, p->info.pid))
			return;
	}
}
