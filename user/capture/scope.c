#include "capture/scope.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int scope_put(int map, uint32_t pid, uint32_t flags, struct err *e)
{
	if (!bpf_map_update_elem(map, &pid, &flags, BPF_ANY))
		return 0;
	return err_set(e, -errno, "cannot put process %u into the scope: %s", pid, strerror(errno));
}

static uint32_t scope_of(int map, uint32_t pid)
{
	uint32_t flags = 0;

	bpf_map_lookup_elem(map, &pid, &flags);
	return flags;
}

struct found_proc {
	uint32_t pid, ppid;
	char comm[16];
};

static bool read_status(uint32_t pid, struct found_proc *ret)
{
	char path[64], line[256];
	FILE *f;
	bool ok = false;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	ret->pid = pid;
	memset(ret->comm, 0, sizeof(ret->comm));
	while (!ok && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Name:\t", 6))
			snprintf(
				ret->comm, sizeof(ret->comm), "%.*s", (int)strcspn(line + 6, "\n"), line + 6);
		ok = sscanf(line, "PPid: %u", &ret->ppid) == 1;
	}
	fclose(f);
	return ok;
}

/* Calls @fn for every process there is; it returns 1 when it changed something. The sum, or -errno. */
static int each_process(int map, int (*fn)(int, const struct found_proc *, const void *), const void *arg)
{
	struct found_proc p;
	struct dirent *d;
	int changed = 0, n = 0;
	DIR *dir = opendir("/proc");

	if (!dir)
		return -errno;
	while (n >= 0 && (d = readdir(dir))) {
		uint32_t pid = (uint32_t)strtoul(d->d_name, NULL, 10);

		if (!pid || !read_status(pid, &p))
			continue;
		n = fn(map, &p, arg);
		changed += n;
	}
	closedir(dir);
	return n < 0 ? n : changed;
}

/* A child of a process that is in (or out) by pid, and was born before its parent got there. */
static int inherit(int map, const struct found_proc *p, const void *arg)
{
	uint32_t own = scope_of(map, p->pid);
	uint32_t add = scope_of(map, p->ppid) & (SCOPE_TREE | SCOPE_CMD | SCOPE_OUT) & ~own;

	(void)arg;
	if (!add || (own & SCOPE_SELF))
		return 0;
	return scope_put(map, p->pid, own | add, NULL) ? 0 : 1;
}

/* The programs keep trees from now on; what was born before is found here, whatever the order of pids. */
static int adopt_descendants(int map)
{
	int n;

	do
		n = each_process(map, inherit, NULL);
	while (n > 0);
	return n;
}

static bool listed(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strncmp(names[i], name, 15))
			return true;
	return false;
}

static int match_comm(int map, const struct found_proc *p, const void *arg)
{
	const struct live_scope *s = arg;
	uint32_t own = scope_of(map, p->pid), flags = own;

	if (listed(s->comms, s->comms_n, p->comm))
		flags |= SCOPE_COMM;
	if (listed(s->exclude_comms, s->exclude_comms_n, p->comm))
		flags |= SCOPE_OUT_COMM;
	return flags == own || scope_put(map, p->pid, flags, NULL) ? 0 : 1;
}

static bool process_exists(pid_t pid)
{
	struct found_proc p;

	return pid > 0 && read_status((uint32_t)pid, &p);
}

int scope_add_tree(int map, pid_t pid, uint32_t flags, struct err *e)
{
	int err;

	if (!process_exists(pid))
		return err_set(e, -ESRCH, "there is no process %d", (int)pid);
	err = scope_put(map, (uint32_t)pid, SCOPE_TREE | flags, e);
	if (!err && adopt_descendants(map) < 0)
		err = err_set(e, -EIO, "cannot list the processes in /proc");
	return err;
}

int scope_processes(int map, const struct live_scope *s, struct err *e)
{
	int err = 0;

	for (size_t i = 0; i < s->exclude_pids_n && !err; i++)
		err = scope_put(map, (uint32_t)s->exclude_pids[i], SCOPE_OUT, e);
	for (size_t i = 0; i < s->pids_n && !err; i++) {
		if (!process_exists(s->pids[i]))
			return err_set(e, -ESRCH, "there is no process %d", (int)s->pids[i]);
		err = scope_put(map, (uint32_t)s->pids[i],
			SCOPE_TREE | (s->pids_counted ? SCOPE_CMD : 0) | scope_of(map, (uint32_t)s->pids[i]),
			e);
	}
	if (err)
		return err;
	if ((s->pids_n || s->exclude_pids_n) && adopt_descendants(map) < 0)
		return err_set(e, -EIO, "cannot list the processes in /proc");
	if ((s->comms_n || s->exclude_comms_n) && each_process(map, match_comm, s) < 0)
		return err_set(e, -EIO, "cannot list the processes in /proc");
	return 0;
}

size_t scope_count(int map, uint32_t any, uint32_t none)
{
	uint32_t key, flags, *prev = NULL, next;
	size_t n = 0;

	while (!bpf_map_get_next_key(map, prev, &next)) {
		key = next;
		prev = &key;
		n += !bpf_map_lookup_elem(map, &key, &flags) && (flags & any) && !(flags & none);
	}
	return n;
}

static int too_many(size_t n, const char *what, struct err *e)
{
	if (n <= SCOPE_MAX)
		return 0;
	return err_set(e, -E2BIG, "%zu %s are given, %d are the most", n, what, SCOPE_MAX);
}

static void set_names(__u64 out[][2], __u8 *out_n, const char *const *names, size_t n)
{
	*out_n = (__u8)n;
	for (size_t i = 0; i < n; i++)
		strncpy((char *)out[i], names[i], 15); /* a comm is cut there by the kernel too */
}

int scope_configure(struct scope_cfg *cfg, const struct live_scope *s, struct err *e)
{
	if (too_many(s->cgroups_n, "control groups", e) || too_many(s->comms_n, "process names", e) ||
		too_many(s->exclude_comms_n, "excluded process names", e) ||
		too_many(s->ports_n, "ports", e) || too_many(s->exclude_ports_n, "excluded ports", e))
		return -E2BIG;
	cfg->all = s->all || (s->ports_n && !s->pids_n && !s->cgroups_n && !s->comms_n);
	cfg->cgroups_n = (__u8)s->cgroups_n;
	set_names(cfg->comms, &cfg->comms_n, s->comms, s->comms_n);
	set_names(cfg->not_comms, &cfg->not_comms_n, s->exclude_comms, s->exclude_comms_n);
	cfg->ports_n = (__u8)s->ports_n;
	cfg->not_ports_n = (__u8)s->exclude_ports_n;
	for (size_t i = 0; i < s->ports_n; i++)
		cfg->ports[i] = s->ports[i];
	for (size_t i = 0; i < s->exclude_ports_n; i++)
		cfg->not_ports[i] = s->exclude_ports[i];
	return 0;
}

/* As given, or below one of the places where cgroup v2 is mounted. */
static int open_cgroup(const char *path)
{
	static const char *const mounts[] = {"", "/sys/fs/cgroup/", "/sys/fs/cgroup/unified/"};
	char full[4096];
	int fd = -ENOENT;

	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		if (!i && path[0] != '/')
			continue;
		snprintf(full, sizeof(full), "%s%s/cgroup.procs", mounts[i], path);
		if (access(full, F_OK))
			continue;
		full[strlen(full) - strlen("/cgroup.procs")] = '\0';
		fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	return fd;
}

int scope_cgroups(int map, const struct live_scope *s, struct err *e)
{
	for (uint32_t i = 0; i < s->cgroups_n; i++) {
		int fd = open_cgroup(s->cgroups[i]), err;

		if (fd < 0) {
			err_set(e, -ESRCH, "there is no control group \"%s\" in cgroup v2", s->cgroups[i]);
			err_hint(e, "systemd-cgls shows them: system.slice/nginx.service");
			return -ESRCH;
		}
		err = bpf_map_update_elem(map, &i, &fd, BPF_ANY);
		err = err ? -errno : 0;
		close(fd);
		if (err)
			return err_set(e, err, "cannot watch control group \"%s\": %s", s->cgroups[i],
				strerror(-err));
	}
	return 0;
}
