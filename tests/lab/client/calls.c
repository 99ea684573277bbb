/*
 * calls AMQP_URL HOLD_DIR N: makes socket calls in known numbers, for measuring what the kernel side takes
 * per call. Three phases, each begun when the file HOLD_DIR/go.1, go.2, go.3 appears and ended by done.1 ...:
 *   1  N times send() of one whole publish (256 B body) on a connection to the broker
 *   2  N times write() of 256 bytes that are no broker's, on a socket pair (and as many reads)
 *   3  N times getppid()
 * It knows nothing of evtrace.
 *
 * Links: -lrabbitmq -lz
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BODY 256

static void die(const char *what)
{
	fprintf(stderr, "calls: %s failed\n", what);
	exit(1);
}

static void await(const char *dir, int phase)
{
	struct timespec pause = {0, 5000000};
	char path[512];

	snprintf(path, sizeof(path), "%s/go.%d", dir, phase);
	while (access(path, F_OK))
		nanosleep(&pause, NULL);
}

static void done(const char *dir, int phase)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/done.%d", dir, phase);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		die(path);
	close(fd);
}

static size_t put(unsigned char *out, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		out[i] = (unsigned char)(value >> (8 * (bytes - 1 - i)));
	return (size_t)bytes;
}

static size_t frame(unsigned char *out, int type, const unsigned char *payload, size_t n)
{
	size_t at = put(out, (uint64_t)type, 1);

	at += put(out + at, 1, 2);
	at += put(out + at, n, 4);
	memcpy(out + at, payload, n);
	at += n;
	return at + put(out + at, 0xce, 1);
}

/* basic.publish to amq.fanout (which has no queue: the broker drops it), content header, body. */
static size_t whole_publish(unsigned char *out)
{
	static const char exchange[] = "amq.fanout";
	unsigned char p[BODY] = {0};
	size_t n = 0, at;

	n += put(p, (60 << 16) | 40, 4);
	n += put(p + n, 0, 2);
	n += put(p + n, sizeof(exchange) - 1, 1);
	memcpy(p + n, exchange, sizeof(exchange) - 1);
	n += sizeof(exchange) - 1;
	n += put(p + n, 0, 2); /* empty routing key, no flags */
	at = frame(out, 1, p, n);
	n = put(p, (uint64_t)60 << 16, 4);
	n += put(p + n, BODY, 8);
	n += put(p + n, 0, 2);
	at += frame(out + at, 2, p, n);
	memset(p, 'x', sizeof(p));
	return at + frame(out + at, 3, p, BODY);
}

static int connect_broker(char *url, amqp_connection_state_t *ret)
{
	struct amqp_connection_info info;
	amqp_connection_state_t conn = amqp_new_connection();
	amqp_socket_t *s = amqp_tcp_socket_new(conn);
	int fd;

	if (!s || amqp_parse_url(url, &info) || amqp_socket_open(s, info.host, info.port))
		die("connect");
	if (amqp_login(conn, info.vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN, info.user,
		    info.password)
			.reply_type != AMQP_RESPONSE_NORMAL)
		die("login");
	if (!amqp_channel_open(conn, 1))
		die("channel.open");
	*ret = conn;
	fd = amqp_get_sockfd(conn);
	/* librabbitmq made it non-blocking; here each message is to be one whole call. */
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK))
		die("fcntl");
	return fd;
}

static void other_bytes(int n)
{
	char junk[BODY];
	int sv[2];

	memset(junk, 'y', sizeof(junk));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv))
		die("socketpair");
	for (int i = 0; i < n; i++)
		if (write(sv[0], junk, sizeof(junk)) != sizeof(junk) || read(sv[1], junk, sizeof(junk)) < 0)
			die("socket pair");
}

int main(int argc, char **argv)
{
	unsigned char message[1024];
	amqp_connection_state_t conn;
	size_t len;
	int n, fd;

	if (argc != 4)
		die("reading the arguments");
	n = atoi(argv[3]);
	fd = connect_broker(argv[1], &conn);
	len = whole_publish(message);
	/* Some first, so that what it is has been recognised when the counting starts. */
	for (int i = 0; i < 100; i++)
		if (send(fd, message, len, 0) != (ssize_t)len)
			die("send");
	done(argv[2], 0);
	await(argv[2], 1);
	for (int i = 0; i < n; i++)
		if (send(fd, message, len, 0) != (ssize_t)len)
			die("send");
	done(argv[2], 1);
	await(argv[2], 2);
	other_bytes(n);
	done(argv[2], 2);
	await(argv[2], 3);
	for (int i = 0; i < n; i++)
		syscall(SYS_getppid);
	done(argv[2], 3);
	amqp_connection_close(conn, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(conn);
	return 0;
}
