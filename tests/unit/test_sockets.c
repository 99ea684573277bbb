/* What /proc/PID/net says of this test's own sockets; and what procinfo says of this test. */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/procinfo.h"
#include "capture/sockets.h"
#include "test.h"

static struct sockets *socks;
static struct procs *procs;
static uint32_t self;
static uint64_t netns;

static uint64_t ino(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

static int listen_tcp(int family, uint16_t *ret_port)
{
	struct sockaddr_in6 a = {.sin6_family = (sa_family_t)family};
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(a);
	int fd = socket(family, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 1) ||
		getsockname(fd, (struct sockaddr *)&a, &len)) {
		close(fd);
		return -1;
	}
	*ret_port = ntohs(a.sin6_port);
	return fd;
}

static void who_listens(void)
{
	static const int families[] = {AF_INET, AF_INET6};
	uint16_t port, other = 1;

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		int fd = listen_tcp(families[i], &port);

		if (fd < 0)
			continue; /* no IPv6 here */
		sockets_refresh(socks);
		CHECK_EQ(sockets_role(socks, self, netns, port, other), ENDPOINT_SERVER);
		CHECK_EQ(sockets_role(socks, self, netns, other, port), ENDPOINT_CLIENT);
		CHECK_EQ(sockets_role(socks, self, netns, port, port), ENDPOINT_UNKNOWN);
		close(fd);
		sockets_refresh(socks);
		CHECK_EQ(sockets_role(socks, self, netns, port, other), ENDPOINT_UNKNOWN);
	}
}

static void what_is_alive(void)
{
	uint16_t port;
	int tcp = listen_tcp(AF_INET, &port), sv[2];
	uint64_t t = ino(tcp), u;

	CHECK(tcp >= 0 && !socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	u = ino(sv[0]);
	sockets_refresh(socks);
	CHECK(sockets_alive(socks, procs, self, netns, AF_INET, t));
	CHECK(sockets_alive(socks, procs, self, netns, AF_UNIX, u));
	CHECK(!sockets_alive(socks, procs, self, netns, AF_INET, u));
	close(tcp);
	close(sv[0]);
	CHECK(sockets_alive(socks, procs, self, netns, AF_UNIX, u)); /* remembered for one sweep */
	sockets_refresh(socks);
	CHECK(!sockets_alive(socks, procs, self, netns, AF_INET, t));
	CHECK(!sockets_alive(socks, procs, self, netns, AF_UNIX, u));
	/* The other end; the process that opened it is gone, another known one shows the way. */
	CHECK(sockets_alive(socks, procs, 999999999, netns, AF_UNIX, ino(sv[1])));
	/* Nobody we know lives in that namespace. */
	CHECK(!sockets_alive(socks, procs, 999999999, netns + 1, AF_UNIX, ino(sv[1])));
	close(sv[1]);
}

static void a_process(void)
{
	bool changed, known;
	const struct proc_info *p = procs_get(procs, self, &changed);

	CHECK(p && p->pid == self && p->ppid == (uint32_t)getppid() && p->start_ns > 0);
	CHECK(p && strstr(p->exe, "test_sockets") && strstr(p->cmdline, "test_sockets"));
	CHECK_STR(p->service, "test_sockets");
	procs_get(procs, self, &changed);
	CHECK(!changed);

	/* One that is gone keeps what fork and exec told. */
	CHECK_EQ(procs_forked(procs, 999999998, self, "child"), 0);
	p = procs_get(procs, 999999998, &changed);
	CHECK(p && changed && p->ppid == self && strstr(p->exe, "test_sockets"));
	CHECK_STR(p->comm, "child");
	CHECK_EQ(procs_execed(procs, 999999998, self, "notify", "/srv/notify",
			 span_of("/srv/notify\0--once", 19), &known),
		0);
	CHECK(known);
	p = procs_get(procs, 999999998, &changed);
	CHECK(p && changed);
	CHECK_STR(p->exe, "/srv/notify");
	CHECK_STR(p->cmdline, "/srv/notify --once");
	CHECK_STR(p->service, "notify");
	CHECK(procs_exited(procs, 999999998));
	CHECK(!procs_exited(procs, 999999998));
}

int main(void)
{
	struct stat st;

	self = (uint32_t)getpid();
	socks = sockets__new();
	procs = procs__new();
	if (!socks || !procs || stat("/proc/self/ns/net", &st))
		return 1;
	netns = st.st_ino;
	RUN(a_process);
	RUN(who_listens);
	RUN(what_is_alive);
	sockets__free(socks);
	procs__free(procs);
	return test_end();
}
