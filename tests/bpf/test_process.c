/* What bpf/process.bpf.c and the live source promise: whose calls are seen, through fork and exec, and under
 * which name. As in test_syscalls.c, each case looks only at what it starts. */
#include "bpf/judge.h"

#include <sys/stat.h>

/* --- processes --- */

static void fork_and_exec(void)
{
	struct conn_line c;
	struct ep_log *l;
	char words[600];

	snprintf(words, sizeof(words), "family %s", work);
	if (run_work(&defaults, words, true)) {
		check_ended_well();
		CHECK_EQ(check_conns(&r), 2);
		l = conn_line(&r, 0, &c);
		CHECK(l);
		if (l)
			CHECK_EQ(l->pids_n, 3);
		CHECK_EQ(r.procs_n, 3);
		for (size_t i = 0; i < r.procs_n; i++) {
			CHECK(r.procs[i].ended);
			CHECK_EQ(r.procs[i].exit_code, 0);
			CHECK_STR(r.procs[i].service, "work");
		}
	}
	run_free(&r);
}

/* A script names its service, also when it is long gone before anybody reads the ring. */
static void names_of_the_short_lived(void)
{
	static const bool looks[] = {true, false};
	char script[64], *argv[] = {"/bin/sh", script, NULL};
	FILE *f;

	snprintf(script, sizeof(script), "%s/billing.sh", dir);
	f = fopen(script, "w");
	CHECK(f);
	if (!f)
		return;
	/* The shell starts a program under a name of its own; each of the two moves bytes. */
	fprintf(f, "cp %s %s/notify && %s/notify xfer pair rw 10 10 10; exit 3\n", work, dir, dir);
	fclose(f);
	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		if (!run_new(&r, &defaults))
			return;
		run_start(&r, argv, true);
		run_wait(&r, 0, looks[i]);
		CHECK_EQ(live_drain(r.live, &r.sink), 0);
		CHECK_EQ(check_conns(&r), 2);
		CHECK_EQ(WEXITSTATUS(r.status), 3);
		CHECK_EQ(r.procs_n, 1);
		CHECK_STR(r.procs[0].service, "notify");
		CHECK_STR(r.procs[0].comm, "notify");
		CHECK(strstr(r.procs[0].exe, "/notify"));
		CHECK_EQ(r.procs[0].exit_code, 0);
		run_free(&r);
	}
}

/* --- scope --- */

/* Nothing of a process that is not in scope, everything of one that is by its name from exec on. */
static void scope_by_comm(void)
{
	char path[64], cmd[700];
	const char *name = path + sizeof(dir);
	struct live_opts opts = defaults;
	char *argv[] = {path, "xfer", "tcp4", "rw", "1000", "100", "100", NULL};

	/* A name that no other process on this machine has. */
	snprintf(path, sizeof(path), "%s/evt%d", dir, getpid());
	snprintf(cmd, sizeof(cmd), "cp %s %s", work, path);
	CHECK_EQ(system(cmd), 0);
	opts.scope.comms = &name;
	opts.scope.comms_n = 1;
	if (run_new(&r, &opts)) {
		run_start(&r, argv, false);
		run_wait(&r, 0, true);
		CHECK_EQ(check_conns(&r), 2);
		run_free(&r);
	}
	/* A tree by pid, but not what is called like that. */
	opts = defaults;
	opts.scope.exclude_comms = &name;
	opts.scope.exclude_comms_n = 1;
	if (run_new(&r, &opts)) {
		run_start(&r, argv, true);
		run_wait(&r, 0, true);
		CHECK(r.ended);
		CHECK_EQ(r.eps_n, 0);
		run_free(&r);
	}
}

static void scope_by_port(void)
{
	static const bool excluded[] = {false, true};
	struct live_opts opts = defaults;
	char *argv[] = {work, "ports", NULL};
	struct conn_line c;
	unsigned port;
	uint16_t p;

	/* The ports are known when the workload says them; it connects after that. */
	for (size_t i = 0; i < ARRAY_LEN(excluded); i++) {
		struct run first;

		memset(&first, 0, sizeof(first));
		r = first;
		r.in = r.out = -1;
		run_start(&r, argv, false);
		run_wait(&r, 1, false);
		CHECK(r.lines_n && sscanf(r.lines[0], "port %u", &port) == 1);
		first = r;
		p = (uint16_t)port;
		opts = defaults;
		*(excluded[i] ? &opts.scope.exclude_ports : &opts.scope.ports) = &p;
		*(excluded[i] ? &opts.scope.exclude_ports_n : &opts.scope.ports_n) = 1;
		opts.scope.pids = &first.pid;
		opts.scope.pids_n = 1;
		if (!run_new(&r, &opts))
			return;
		r.pid = first.pid;
		r.in = first.in;
		r.out = first.out;
		run_go(&r);
		run_wait(&r, 0, true);
		check_ended_well();
		CHECK_EQ(!!conn_line(&r, 0, &c), !excluded[i]);
		CHECK_EQ(!!conn_line(&r, 1, &c), !excluded[i]);
		CHECK_EQ(!!conn_line(&r, 2, &c), excluded[i]);
		CHECK_EQ(!!conn_line(&r, 3, &c), excluded[i]);
		run_free(&r);
	}
}

static void scope_by_cgroup(void)
{
	static const char *const roots[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
	char path[128], procs[160], script[200], *argv[] = {"/bin/sh", "-c", script, NULL};
	const char *cgroup = path;
	struct live_opts opts = defaults;
	size_t i = 0;

	for (; i < ARRAY_LEN(roots); i++) {
		snprintf(procs, sizeof(procs), "%s/cgroup.procs", roots[i]);
		snprintf(path, sizeof(path), "%s/evt-capture-%d", roots[i], getpid());
		if (!access(procs, W_OK) && !mkdir(path, 0755))
			break;
	}
	if (i == ARRAY_LEN(roots)) {
		printf("scope_by_cgroup: skipped, no cgroup v2 to make a group in\n");
		return;
	}
	opts.scope.cgroups = &cgroup;
	opts.scope.cgroups_n = 1;
	/* Moved there without an exec of its own: what counts is where it is at the call. */
	snprintf(
		script, sizeof(script), "echo $$ >%s/cgroup.procs; %s xfer tcp4 rw 1000 100 100", path, work);
	if (run_new(&r, &opts)) {
		run_start(&r, argv, false);
		run_wait(&r, 0, true);
		CHECK_EQ(check_conns(&r), 2);
		run_free(&r);
	}
	CHECK_EQ(rmdir(path), 0);
}

/* Descendants that were born before the scope are in it. */
static void scope_finds_descendants(void)
{
	char script[600], *argv[] = {"/bin/sh", "-c", script, NULL};
	struct err e;

	snprintf(script, sizeof(script), "(%s rounds pair; :); :", work);
	if (!run_new(&r, &defaults))
		return;
	run_start(&r, argv, false);
	run_wait(&r, 1, false);
	CHECK_EQ(live_add_pid(r.live, r.pid, &e), 0);
	CHECK(live_processes(r.live) >= 2);
	run_go(&r);
	run_wait(&r, 2, true);
	run_go(&r);
	run_wait(&r, 3, true);
	CHECK_EQ(r.eps_n, 2);
	for (size_t i = 0; i < r.eps_n; i++)
		CHECK_EQ(r.eps[i].dir[DIR_TX].n + r.eps[i].dir[DIR_RX].n, 2000);
	run_go(&r);
	run_wait(&r, 0, true);
	CHECK_EQ(live_processes(r.live), 0);
	run_free(&r);
}

static void wrong_scopes(void)
{
	const char *cgroup = "no/such/group";
	pid_t pid = 999999999;
	struct live_opts opts = {.ring_bytes = 1 << 20};
	struct live *l = NULL;
	struct err e;

	opts.scope.pids = &pid;
	opts.scope.pids_n = 1;
	CHECK_EQ(live__new(&opts, &l, &e), -ESRCH);
	CHECK_STR(e.msg, "there is no process 999999999");
	opts.scope.pids_n = 0;
	opts.scope.cgroups = &cgroup;
	opts.scope.cgroups_n = 1;
	CHECK_EQ(live__new(&opts, &l, &e), -ESRCH);
	CHECK(strstr(e.msg, "no/such/group"));
	CHECK(!l);
}

int main(void)
{
	int code = judge_begin();

	if (code)
		return code;
	RUN(fork_and_exec);
	RUN(names_of_the_short_lived);
	RUN(scope_by_comm);
	RUN(scope_by_port);
	RUN(scope_by_cgroup);
	RUN(scope_finds_descendants);
	RUN(wrong_scopes);
	return judge_end();
}
