#include "capture/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/timefmt.h"

#define LISTEN_KEEP_NS (1 * NS_PER_SEC)
#define NETNS_MAX      64 /* remembered at a time; more are read again and again */

/* Inode numbers of the sockets there are. */
struct inos {
	bool have, unknown; /* looked for; but could not be read */
	struct map map;
};

struct netns {
	uint64_t id;
	bool have_listen;
	uint64_t listen_read_ns;
	uint8_t listening[65536 / 8];
	struct inos unix_inos, tcp_inos;
};

struct sockets {
	struct netns *ns[NETNS_MAX];
	size_t n;
};

struct sockets *sockets__new(void)
{
	return calloc(1, sizeof(struct sockets));
}

static void forget_all(struct sockets *s)
{
	while (s->n) {
		struct netns *ns = s->ns[--s->n];

		map_free(&ns->unix_inos.map);
		map_free(&ns->tcp_inos.map);
		free(ns);
	}
}

void sockets__free(struct sockets *s)
{
	if (s)
		forget_all(s);
	free(s);
}

void sockets_refresh(struct sockets *s)
{
	forget_all(s);
}

static struct netns *netns_get(struct sockets *s, uint64_t id)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->ns[i]->id == id)
			return s->ns[i];
	if (s->n == NETNS_MAX)
		forget_all(s);
	s->ns[s->n] = calloc(1, sizeof(struct netns));
	if (!s->ns[s->n])
		return NULL;
	s->ns[s->n]->id = id;
	return s->ns[s->n++];
}

static FILE *open_net(uint32_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/net/%s", pid, file);
	return fopen(path, "re");
}

/* "  0: 0100007F:1F90 00000000:0000 0A …": listening sockets (state 0A) come before all others. */
static void read_listening(struct netns *ns, uint32_t pid, const char *file)
{
	FILE *f = open_net(pid, file);
	unsigned port, state;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x", &port, &state) != 2)
			continue; /* the title */
		if (state != 0x0a)
			break;
		if (port < 65536)
			ns->listening[port / 8] |= (uint8_t)(1u << port % 8);
	}
	if (f)
		fclose(f);
}

enum role sockets_role(
	struct sockets *s, uint32_t pid, uint64_t netns, uint16_t local_port, uint16_t remote_port)
{
	struct netns *ns = netns_get(s, netns);
	uint64_t now = now_mono_ns();
	bool local, remote;

	if (!ns)
		return ENDPOINT_UNKNOWN;
	if (!ns->have_listen || now - ns->listen_read_ns > LISTEN_KEEP_NS) {
		memset(ns->listening, 0, sizeof(ns->listening));
		read_listening(ns, pid, "tcp");
		read_listening(ns, pid, "tcp6");
		ns->have_listen = true;
		ns->listen_read_ns = now;
	}
	local = ns->listening[local_port / 8] >> local_port % 8 & 1;
	remote = ns->listening[remote_port / 8] >> remote_port % 8 & 1;
	if (local == remote)
		return ENDPOINT_UNKNOWN;
	return local ? ENDPOINT_SERVER : ENDPOINT_CLIENT;
}

static uint64_t netns_of(uint32_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	return stat(path, &st) ? 0 : st.st_ino;
}

struct find {
	uint64_t netns;
	uint32_t pid;
};

static bool find_in_netns(void *ctx, uint32_t pid)
{
	struct find *f = ctx;

	if (netns_of(pid) == f->netns)
		f->pid = pid;
	return !f->pid;
}

/* A process through which the namespace's files can be read, 0 none. */
static uint32_t way_into(const struct netns *ns, const struct procs *procs, uint32_t pid)
{
	struct find find = {.netns = ns->id};

	if (netns_of(pid) == ns->id)
		return pid;
	procs_each(procs, find_in_netns, &find);
	return find.pid;
}

/* unix: "ffff...: 00000003 00000000 00000000 0001 03 31337 /path";
 * tcp:  "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31337 ..."
 */
#define UNIX_INO "%*s %*x %*x %*x %*x %*x %llu"
#define TCP_INO  "%*s %*s %*s %*x %*s %*s %*x %*u %*u %llu"

static void read_inos(struct inos *inos, uint32_t pid, const char *file, const char *format)
{
	FILE *f = open_net(pid, file);
	unsigned long long ino;
	char line[512];

	if (!f && errno != ENOENT) /* no IPv6: no tcp6 */
		inos->unknown = true;
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, format, &ino) == 1 && map_put(&inos->map, ino, 1))
			inos->unknown = true;
	if (f)
		fclose(f);
}

bool sockets_alive(struct sockets *s, const struct procs *procs, uint32_t pid, uint64_t netns,
	uint16_t family, uint64_t ino)
{
	struct netns *ns = netns_get(s, netns);
	struct inos *inos = ns ? family == AF_UNIX ? &ns->unix_inos : &ns->tcp_inos : NULL;

	if (!inos)
		return true;
	if (!inos->have) {
		inos->have = true;
		pid = way_into(ns, procs, pid);
		/* Nobody that we know lives there any more, so neither does a socket of theirs. */
		if (pid && family == AF_UNIX) {
			read_inos(inos, pid, "unix", UNIX_INO);
		} else if (pid) {
			read_inos(inos, pid, "tcp", TCP_INO);
			read_inos(inos, pid, "tcp6", TCP_INO);
		}
	}
	return inos->unknown || map_get(&inos->map, ino);
}
