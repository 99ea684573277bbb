/* The names that operators would use, from control group, executable and command line. */
#include "capture/procinfo.h"
#include "test.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* @args: words separated by '|'. */
static const char *name_of(const char *cgroup, const char *own, const char *exe, const char *args)
{
	static char out[128];
	char line[512];
	size_t n = strlen(args);

	memcpy(line, args, n + 1);
	for (size_t i = 0; i < n; i++)
		if (line[i] == '|')
			line[i] = '\0';
	service_name(out, sizeof(out), cgroup, own, exe, span_of(line, n ? n + 1 : 0));
	return out;
}

static const char *runs(const char *exe, const char *args)
{
	return name_of("", "", exe, args);
}

static void units_and_containers(void)
{
	const char *exe = "/usr/sbin/nginx";

	CHECK_STR(name_of("/system.slice/shop-billing.service", "/", exe, "nginx"), "shop-billing");
	CHECK_STR(name_of("/system.slice/postgresql@15-main.service", "/", exe, "x"), "postgresql@15-main");
	CHECK_STR(name_of("/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service", "/", exe,
			  "x"),
		"shop");
	/* A login session, somebody's session manager, the root: no service. */
	CHECK_STR(name_of("/user.slice/user-1000.slice/session-2.scope", "/", exe, "nginx"), "nginx");
	CHECK_STR(name_of("/user.slice/user-1000.slice/user@1000.service/init.scope", "/", exe, "nginx"),
		"nginx");
	CHECK_STR(name_of("/", "/x", exe, "nginx"), "nginx");
	CHECK_STR(name_of("/system.slice/docker-" ID ".scope", "/", exe, "x"), "0123456789ab");
	CHECK_STR(name_of("/docker/" ID, "/", exe, "x"), "0123456789ab");
	CHECK_STR(name_of("/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope", "/", exe, "x"),
		"0123456789ab");
	/* What evtrace itself runs in tells nothing apart. */
	CHECK_STR(name_of("/system.slice/ssh.service", "/system.slice/ssh.service", exe, "nginx"), "nginx");
}

static void interpreters(void)
{
	CHECK_STR(runs("/usr/bin/python3.11", "python3|/x/billing.py"), "billing");
	CHECK_STR(runs("/usr/bin/python3", "python3|-u|-W|ignore|/srv/shop/notify.py|--port|1"), "notify");
	CHECK_STR(runs("/usr/bin/python3", "python3|-m|shop.billing"), "shop");
	CHECK_STR(runs("/usr/bin/python3", "python3|-c|import x"), "python3");
	CHECK_STR(runs("/usr/bin/python3", "python3"), "python3");
	CHECK_STR(runs("/usr/bin/python3", "python3|/srv/billing/main.py"), "billing");
	CHECK_STR(runs("/usr/bin/python3", "python3|main.py"), "main");
	CHECK_STR(runs("/usr/bin/python3", "python3|/main.py"), "main");
	CHECK_STR(runs("/usr/bin/python3", "/usr/bin/python3|/usr/bin/gunicorn|app:app"), "gunicorn");
	CHECK_STR(runs("/usr/bin/node", "node|--enable-source-maps|/srv/invoices/index.js"), "invoices");
	CHECK_STR(runs("/usr/bin/ruby3.1", "ruby|-I|lib|worker.rb"), "worker");
	CHECK_STR(runs("/bin/bash", "bash|./shop.sh"), "shop");
	CHECK_STR(runs("/bin/dash", "sh|-c|sleep 1"), "dash");
	CHECK_STR(runs("/usr/lib/jvm/bin/java", "java|-Xmx1g|-jar|/opt/billing-1.2.jar"), "billing-1.2");
	CHECK_STR(runs("/usr/lib/jvm/bin/java", "java|-cp|/a.jar:/b.jar|com.example.Billing"), "Billing");
	CHECK_STR(runs("/usr/bin/dotnet", "dotnet|/srv/Billing.dll"), "Billing");
	CHECK_STR(runs("/usr/lib/erlang/bin/beam.smp", "beam.smp|-W|w|--|-root|/x|-s|rabbit|boot"), "rabbit");
}

static void executables(void)
{
	CHECK_STR(runs("/usr/local/bin/shop-audit", "shop-audit|-v"), "shop-audit");
	CHECK_STR(runs("/opt/x (deleted)", "/opt/x"), "x");
	CHECK_STR(runs("", "/opt/only/args|a"), "args"); /* another user's, and we may not look */
	CHECK_STR(runs("", ""), "");
	CHECK_STR(runs("/usr/bin/pythonista", "pythonista|x.py"), "pythonista"); /* begins like one */
	CHECK_STR(runs("/x/shfmt", "shfmt|file.sh"), "shfmt");
}

/* Names longer than their room, and command lines without an end, are cut. */
static void long_ones(void)
{
	char exe[400], out[16], args[8192];

	memset(exe, 'x', sizeof(exe));
	exe[0] = '/';
	exe[sizeof(exe) - 1] = '\0';
	service_name(out, sizeof(out), "", "", exe, SPAN_EMPTY);
	CHECK_EQ(strlen(out), sizeof(out) - 1);
	memset(args, 'y', sizeof(args));
	memcpy(args, "python3", 8);
	service_name(out, sizeof(out), "", "", "/usr/bin/python3", span_of(args, sizeof(args)));
	CHECK_EQ(strlen(out), sizeof(out) - 1);
}

static const char *path_of(const char *text)
{
	static char out[256];

	cgroup_path(out, sizeof(out), span_str(text));
	return out;
}

static void cgroup_paths(void)
{
	CHECK_STR(path_of("0::/system.slice/x.service\n"), "/system.slice/x.service");
	CHECK_STR(path_of("12:pids:/a\n1:name=systemd:/system.slice/y.service\n0::/\n"),
		"/system.slice/y.service");
	CHECK_STR(path_of("1:name=systemd:/old\n0::/new\n"), "/new");
	CHECK_STR(path_of("4:memory:/x\n0::/"), "");
	CHECK_STR(path_of("garbage"), "");
	CHECK_STR(path_of(""), "");
}

int main(void)
{
	RUN(units_and_containers);
	RUN(interpreters);
	RUN(executables);
	RUN(long_ones);
	RUN(cgroup_paths);
	return test_end();
}
