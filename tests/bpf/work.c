/*
 * The program that tests trace: moves known bytes (work.h) over sockets in one of many ways. Everything
 * happens in this process, its threads and its children. Usage: work CASE [ARGUMENT]...; the cases are at the
 * end.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/work.h"

#define IOVS 1024
#define MSGS 16

struct end {
	int fd;
	uint32_t tx_id, rx_id;
	uint64_t tx, rx;
};

enum how { RW, VEC, TO, MSG, MMSG };
static const char *const hows[] = {"rw", "vec", "to", "msg", "mmsg"};

static void die(const char *what)
{
	fprintf(stderr, "work: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void need(bool ok, const char *what)
{
	if (!ok)
		die(what);
}

static void report(const struct end *e)
{
	struct stat st;

	need(!fstat(e->fd, &st), "fstat");
	printf("conn %llu tx %u %llu rx %u %llu\n", (unsigned long long)st.st_ino, e->tx_id,
		(unsigned long long)e->tx, e->rx_id, (unsigned long long)e->rx);
	fflush(stdout);
}

/* Waits for the judge. */
static void phase(void)
{
	char c;

	puts("phase");
	fflush(stdout);
	need(read(0, &c, 1) == 1, "stdin");
}

/* --- connections --- */

static int tcp_socket(int family, uint16_t port, struct sockaddr_storage *ss, socklen_t *len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	need(fd >= 0, "socket");
	memset(ss, 0, sizeof(*ss));
	if (family == AF_INET) {
		*(struct sockaddr_in *)ss = (struct sockaddr_in){.sin_family = AF_INET,
			.sin_port = htons(port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		*len = sizeof(struct sockaddr_in);
	} else {
		*(struct sockaddr_in6 *)ss = (struct sockaddr_in6){.sin6_family = AF_INET6,
			.sin6_port = htons(port),
			.sin6_addr = IN6ADDR_LOOPBACK_INIT};
		*len = sizeof(struct sockaddr_in6);
	}
	return fd;
}

static int listen_on(const char *kind, struct sockaddr_storage *ss, socklen_t *len)
{
	struct sockaddr_un *un = (struct sockaddr_un *)ss;
	int fd;

	if (!strcmp(kind, "unix") || !strcmp(kind, "abstract")) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		memset(ss, 0, sizeof(*ss));
		un->sun_family = AF_UNIX;
		*len = offsetof(struct sockaddr_un, sun_path) + 1 +
		       (socklen_t)snprintf(
			       un->sun_path + 1, sizeof(un->sun_path) - 1, "tmp/evt-work-%d", getpid());
		if (kind[0] == 'u')
			un->sun_path[0] = '/';
	} else {
		fd = tcp_socket(!strcmp(kind, "tcp6") ? AF_INET6 : AF_INET, 0, ss, len);
		if (!strcmp(kind, "mapped")) { /* a dual-stack server */
			close(fd);
			fd = tcp_socket(AF_INET6, 0, ss, len);
			((struct sockaddr_in6 *)ss)->sin6_addr = in6addr_any;
		}
	}
	need(fd >= 0 && !bind(fd, (struct sockaddr *)ss, *len) && !listen(fd, 16), kind);
	if (ss->ss_family != AF_UNIX)
		need(!getsockname(fd, (struct sockaddr *)ss, len), "getsockname");
	return fd;
}

static bool keep_listening;

static void connect_pair(const char *kind, struct end *client, struct end *server, bool nonblock)
{
	struct sockaddr_storage ss;
	struct pollfd p;
	socklen_t len;
	int sv[2], l;

	if (!strcmp(kind, "pair")) {
		need(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), "socketpair");
		client->fd = sv[0];
		server->fd = sv[1];
		return;
	}
	l = listen_on(kind, &ss, &len);
	if (!strcmp(kind, "mapped"))
		client->fd = tcp_socket(AF_INET, ntohs(((struct sockaddr_in6 *)&ss)->sin6_port), &ss, &len);
	else
		client->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (nonblock)
		fcntl(client->fd, F_SETFL, O_NONBLOCK);
	if (connect(client->fd, (struct sockaddr *)&ss, len))
		need(nonblock && errno == EINPROGRESS, "connect");
	p = (struct pollfd){.fd = client->fd, .events = POLLOUT};
	need(poll(&p, 1, 5000) == 1, "poll");
	fcntl(client->fd, F_SETFL, 0);
	server->fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	need(server->fd >= 0, "accept");
	if (!keep_listening)
		close(l);
	if (ss.ss_family == AF_UNIX && ((struct sockaddr_un *)&ss)->sun_path[0])
		unlink(((struct sockaddr_un *)&ss)->sun_path);
}

static uint32_t next_id = 1;

static void open_pair(const char *kind, struct end *client, struct end *server)
{
	uint32_t a = next_id++, b = next_id++;

	connect_pair(kind, client, server, false);
	*client = (struct end){.fd = client->fd, .tx_id = a, .rx_id = b};
	*server = (struct end){.fd = server->fd, .tx_id = b, .rx_id = a};
}

/* --- moving bytes --- */

static void fill(uint8_t *p, size_t n, uint32_t id, uint64_t from)
{
	for (size_t i = 0; i < n; i++)
		p[i] = pattern(id, from + i);
}

/* Cuts [p, p + n) into IOVS pieces of very different sizes, some of them empty. */
static int cut(struct iovec *v, uint8_t *p, size_t n)
{
	size_t at = 0;

	for (int i = 0; i < IOVS - 1; i++) {
		size_t k = i % 7 == 3 ? 0 : i % 5 == 4 ? 1 : n / IOVS;

		if (k > n - at)
			k = n - at;
		v[i] = (struct iovec){p + at, k};
		at += k;
	}
	v[IOVS - 1] = (struct iovec){p + at, n - at};
	return IOVS;
}

static int cut_msgs(struct mmsghdr *m, struct iovec *v, uint8_t *p, size_t n)
{
	size_t at = 0;

	memset(m, 0, sizeof(*m) * MSGS);
	for (int i = 0; i < MSGS; i++) {
		size_t k = i < MSGS - 1 ? n / MSGS : n - at;

		v[2 * i] = (struct iovec){p + at, k / 3};
		v[2 * i + 1] = (struct iovec){p + at + k / 3, k - k / 3};
		m[i].msg_hdr.msg_iov = v + 2 * i;
		m[i].msg_hdr.msg_iovlen = 2;
		at += k;
	}
	return MSGS;
}

static ssize_t sum_msgs(const struct mmsghdr *m, int n)
{
	ssize_t sum = 0;

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		sum += m[i].msg_len;
	return sum;
}

/* A message may be shorter than its place: what was received, without the holes. */
static ssize_t close_holes(uint8_t *p, const struct mmsghdr *m, int n)
{
	size_t at = 0;

	for (int i = 0; i < n; i++) {
		memmove(p + at, m[i].msg_hdr.msg_iov[0].iov_base, m[i].msg_len);
		at += m[i].msg_len;
	}
	return n < 0 ? n : (ssize_t)at;
}

/* One call. */
static ssize_t transfer(int fd, enum how how, bool tx, uint8_t *p, size_t n)
{
	struct mmsghdr m[MSGS];
	struct iovec v[IOVS];
	struct msghdr h = {.msg_iov = v};

	switch (how) {
	case RW:
		return tx ? write(fd, p, n) : read(fd, p, n);
	case VEC:
		return tx ? writev(fd, v, cut(v, p, n)) : readv(fd, v, cut(v, p, n));
	case TO:
		return tx ? sendto(fd, p, n, 0, NULL, 0) : recvfrom(fd, p, n, 0, NULL, NULL);
	case MSG:
		h.msg_iovlen = (size_t)cut(v, p, n);
		return tx ? sendmsg(fd, &h, 0) : recvmsg(fd, &h, 0);
	default:
		cut_msgs(m, v, p, n);
		if (tx)
			return sum_msgs(m, sendmmsg(fd, m, MSGS, 0));
		return close_holes(p, m, recvmmsg(fd, m, MSGS, MSG_WAITFORONE, NULL));
	}
}

static void send_bytes(struct end *e, enum how how, uint64_t total, size_t piece)
{
	uint8_t *p = malloc(piece);

	while (total) {
		size_t n = piece < total ? piece : total;
		ssize_t done;

		fill(p, n, e->tx_id, e->tx);
		done = transfer(e->fd, how, true, p, n);
		need(done > 0, "send");
		e->tx += (uint64_t)done;
		total -= (uint64_t)done;
	}
	free(p);
}

static void receive_bytes(struct end *e, enum how how, uint64_t total, size_t piece)
{
	uint8_t *p = malloc(piece);

	while (total) {
		size_t n = piece < total ? piece : total;
		ssize_t done = transfer(e->fd, how, false, p, n);

		need(done > 0, "receive");
		for (ssize_t i = 0; i < done; i++)
			need(p[i] == pattern(e->rx_id, e->rx + (uint64_t)i), "what was received");
		e->rx += (uint64_t)done;
		total -= (uint64_t)done;
	}
	free(p);
}

struct job {
	struct end *e;
	enum how how;
	uint64_t total;
	size_t piece;
	pthread_t thread;
};

static void *receiver(void *arg)
{
	struct job *j = arg;

	receive_bytes(j->e, j->how, j->total, j->piece);
	return NULL;
}

static void move(
	struct end *from, struct end *to, enum how how, uint64_t total, size_t piece, size_t read_piece)
{
	struct job j = {.e = to, .how = how, .total = total, .piece = read_piece};

	need(!pthread_create(&j.thread, NULL, receiver, &j), "thread");
	send_bytes(from, how, total, piece);
	pthread_join(j.thread, NULL);
}

static void close_pair(struct end *a, struct end *b)
{
	report(a);
	report(b);
	close(a->fd);
	close(b->fd);
}

/* --- cases --- */

/* xfer KIND HOW BYTES PIECE READ_PIECE: there, and a third of it back. */
static void xfer(char **arg)
{
	uint64_t total = strtoull(arg[2], NULL, 10);
	size_t piece = strtoull(arg[3], NULL, 10), read_piece = strtoull(arg[4], NULL, 10);
	struct end client, server;
	int how = 0;

	while (strcmp(hows[how], arg[1]))
		how++;
	open_pair(arg[0], &client, &server);
	move(&client, &server, how, total, piece, read_piece);
	move(&server, &client, how, total / 3, piece, read_piece);
	close_pair(&client, &server);
}

/* xfer-late KIND: the connection has moved bytes before anybody looks. */
static void late(char **arg)
{
	struct end client, server, c, s;

	keep_listening = true;
	open_pair(arg[0], &client, &server);
	move(&client, &server, RW, 3000, 1000, 500);
	move(&server, &client, RW, 200, 100, 100);
	phase();
	c = client;
	s = server;
	move(&client, &server, RW, 5000, 1000, 700);
	move(&server, &client, TO, 400, 100, 100);
	/* What the judge sees starts at these offsets. */
	printf("from %llu %llu\n", (unsigned long long)c.tx, (unsigned long long)s.tx);
	close_pair(&client, &server);
}

static void *thread_xfer(void *arg)
{
	struct job *j = arg;
	struct end *e = j->e;

	for (int i = 0; i < 50; i++) {
		move(&e[0], &e[1], j->how, 777, 100, 50);
		move(&e[1], &e[0], j->how, 333, 333, 100);
	}
	return NULL;
}

/* Four threads, a connection each. */
static void threads(char **arg)
{
	static struct end ends[4][2];
	struct job jobs[4];

	(void)arg;
	for (int i = 0; i < 4; i++) {
		open_pair("tcp4", &ends[i][0], &ends[i][1]);
		jobs[i] = (struct job){.e = ends[i], .how = (enum how)i};
		need(!pthread_create(&jobs[i].thread, NULL, thread_xfer, &jobs[i]), "thread");
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(jobs[i].thread, NULL);
		close_pair(&ends[i][0], &ends[i][1]);
	}
}

/* The child of `family`: writes stream ID from OFFSET, BYTES long, to inherited descriptor 9. */
static void child(char **arg)
{
	struct end e = {.fd = 9, .tx_id = (uint32_t)atoi(arg[0]), .tx = strtoull(arg[1], NULL, 10)};

	send_bytes(&e, RW, strtoull(arg[2], NULL, 10), 100);
}

/* A forked child writes to its parent's connection, then one that ran another program by then. */
static void family(char **arg)
{
	struct end client, server;
	char id[16], from[16];
	int status;
	pid_t pid;

	open_pair("tcp4", &client, &server);
	for (int i = 0; i < 2; i++) {
		send_bytes(&client, RW, 300, 100);
		pid = fork();
		if (!pid && i == 0) {
			send_bytes(&client, RW, 500, 100);
			_exit(0);
		}
		if (!pid) {
			snprintf(id, sizeof(id), "%u", client.tx_id);
			snprintf(from, sizeof(from), "%llu", (unsigned long long)client.tx);
			dup2(client.fd, 9);
			execl(arg[0], arg[0], "child", id, from, "500", NULL);
			_exit(127);
		}
		need(waitpid(pid, &status, 0) == pid && !status, "child");
		client.tx += 500;
	}
	receive_bytes(&server, RW, 1600, 512);
	printf("pids 3\n");
	close_pair(&client, &server);
}

/* Peeking takes nothing; a read that throws away is a gap; a read of nothing is no end of file. */
static void peek(char **arg)
{
	struct end client, server;
	uint8_t p[4096];
	struct iovec v = {p, sizeof(p)};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	open_pair(arg[0], &client, &server);
	send_bytes(&client, RW, 1000, 1000);
	need(recv(server.fd, p, 500, MSG_PEEK) == 500, "peek");
	need(recvmsg(server.fd, &m, MSG_PEEK) == 1000, "peek");
	need(read(server.fd, p, 0) == 0, "read nothing");
	receive_bytes(&server, TO, 400, 100);
	if (arg[1]) { /* TCP: 300 bytes thrown away */
		need(recv(server.fd, NULL, 300, MSG_TRUNC) == 300, "trunc");
		server.rx += 300;
		receive_bytes(&server, TO, 300, 100);
	} else {
		receive_bytes(&server, TO, 600, 600);
	}
	need(recv(server.fd, p, sizeof(p), MSG_DONTWAIT) == -1, "empty");
	close_pair(&client, &server);
}

static void nonblocking(char **arg)
{
	struct end client, server;

	connect_pair(arg[0], &client, &server, true);
	client = (struct end){.fd = client.fd, .tx_id = 1, .rx_id = 2};
	server = (struct end){.fd = server.fd, .tx_id = 2, .rx_id = 1};
	/* The first byte comes from the server: the client's first call after connect() is a read. */
	move(&server, &client, RW, 1234, 100, 1000);
	move(&client, &server, RW, 4321, 1000, 100);
	close_pair(&client, &server);
}

/* sendfile() shows a length only; what is written around it has its place. */
static void file(char **arg)
{
	struct end client, server;
	FILE *f = tmpfile();
	uint8_t p[2000];
	off_t off = 0;

	open_pair(arg[0], &client, &server);
	send_bytes(&client, RW, 100, 100);
	fill(p, sizeof(p), client.tx_id, client.tx);
	need(f && fwrite(p, 1, sizeof(p), f) == sizeof(p) && !fflush(f), "tmpfile");
	need(sendfile(client.fd, fileno(f), &off, sizeof(p)) == sizeof(p), "sendfile");
	client.tx += sizeof(p);
	send_bytes(&client, RW, 100, 100);
	receive_bytes(&server, RW, 2200, 1000);
	close_pair(&client, &server);
}

/* ends KIND HOW: how a connection ends: close, eof, shutdown. */
static void ends(char **arg)
{
	struct end client, server;
	char c;

	open_pair(arg[0], &client, &server);
	move(&client, &server, RW, 10, 10, 10);
	report(&client);
	report(&server);
	if (!strcmp(arg[1], "shutdown")) {
		need(!shutdown(client.fd, SHUT_RDWR), "shutdown");
	} else if (!strcmp(arg[1], "half")) {
		need(!shutdown(client.fd, SHUT_WR), "shutdown");
		need(read(server.fd, &c, 1) == 0, "eof");
		phase();
		return;
	} else {
		close(client.fd);
	}
	if (strcmp(arg[1], "close"))
		need(read(server.fd, &c, 1) == 0, "eof");
	phase();
	close(server.fd);
	phase();
}

/* last KIND: its reader comes late, and gets the last bytes and the end of the stream in one call. */
static void last(char **arg)
{
	struct end client, server;
	uint8_t p[4096];

	open_pair(arg[0], &client, &server);
	send_bytes(&client, RW, 1000, 500);
	need(!shutdown(client.fd, SHUT_WR), "shutdown");
	need(poll(&(struct pollfd){.fd = server.fd, .events = POLLRDHUP}, 1, 5000) == 1, "poll");
	receive_bytes(&server, RW, 100, 100);
	need(read(server.fd, p, sizeof(p)) == 900, "the rest");
	for (size_t i = 0; i < 900; i++)
		need(p[i] == pattern(server.rx_id, server.rx + i), "what was received");
	server.rx += 900;
	need(read(server.fd, p, 1) == 0, "eof");
	close_pair(&client, &server);
}

/* Three rounds of the same, with the judge between them. */
static void rounds(char **arg)
{
	struct end client, server;

	open_pair(arg[0], &client, &server);
	for (int i = 0; i < 3; i++) {
		move(&client, &server, RW, 1000, 100, 100);
		phase();
	}
	close_pair(&client, &server);
}

/* Two connections, the ports said first. */
static void ports(char **arg)
{
	struct end a[2], b[2];
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	(void)arg;
	for (int i = 0; i < 2; i++) {
		int l = listen_on("tcp4", (struct sockaddr_storage *)&(struct sockaddr_storage){0}, &len);

		len = sizeof(sin);
		getsockname(l, (struct sockaddr *)&sin, &len);
		printf("port %u\n", ntohs(sin.sin_port));
		a[i].fd = l;
	}
	phase();
	for (int i = 0; i < 2; i++) {
		int l = a[i].fd;

		len = sizeof(sin);
		getsockname(l, (struct sockaddr *)&sin, &len);
		a[i] = (struct end){.fd = socket(AF_INET, SOCK_STREAM, 0), .tx_id = 1, .rx_id = 2};
		need(!connect(a[i].fd, (struct sockaddr *)&sin, len), "connect");
		b[i] = (struct end){.fd = accept(l, NULL, NULL), .tx_id = 2, .rx_id = 1};
		move(&a[i], &b[i], RW, 1000, 100, 100);
		close_pair(&a[i], &b[i]);
		close(l);
	}
}

/* Nothing but writes and reads on one thread: for measuring. speed KIND BYTES ROUNDS */
static void speed(char **arg)
{
	size_t n = strtoull(arg[1], NULL, 10);
	uint8_t *p = calloc(1, n);
	struct end a = {0}, b = {0};
	int p2[2];

	if (strcmp(arg[0], "pipe")) {
		open_pair(arg[0], &a, &b);
	} else { /* no socket */
		need(!pipe(p2), "pipe");
		a.fd = p2[1];
		b.fd = p2[0];
	}
	/* Seen once before the measuring begins. */
	need(write(a.fd, p, 1) == 1 && read(b.fd, p, 1) == 1, "write");
	phase();
	for (long i = atol(arg[2]); i; i--) {
		ssize_t done = write(a.fd, p, n);

		for (need(done == (ssize_t)n, "write"); done;)
			done -= read(b.fd, p, n);
	}
	phase();
	free(p);
}

static const struct {
	const char *name;
	void (*run)(char **arg);
} cases[] = {
	{"xfer", xfer},
	{"late", late},
	{"threads", threads},
	{"family", family},
	{"child", child},
	{"peek", peek},
	{"nonblocking", nonblocking},
	{"file", file},
	{"ends", ends},
	{"last", last},
	{"rounds", rounds},
	{"ports", ports},
	{"speed", speed},
};

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strcmp(cases[i].name, argv[1])) {
			cases[i].run(argv + 2);
			return 0;
		}
	fprintf(stderr, "work: no such case\n");
	return 2;
}
