#include "capture/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/timefmt.h"

#define LISTEN_KEEP_NS (1 * NS_PER_SEC)
#define NETNS_MAX      64 /* remembered at a time; more are read again and again */

struct netns {
	uint64_t id;
	bool have_listen, have_unix, unix_unknown;
	uint64_t listen_read_ns;
	uint8_t listening[65536 / 8];
	struct map unix_inos;
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

		map_free(&ns->unix_inos);
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

/* "ffff…: 00000003 00000000 00000000 0001 03 31337 /path" */
static void read_unix(struct netns *ns, const struct procs *procs, uint32_t pid)
{
	struct find find = {.netns = ns->id};
	unsigned long long ino;
	char line[512];
	FILE *f;

	ns->have_unix = true;
	if (netns_of(pid) == ns->id)
		find.pid = pid;
	else
		procs_each(procs, find_in_netns, &find);
	if (!find.pid)
		return; /* nobody that we know lives there any more, so neither does a socket of theirs */
	f = open_net(find.pid, "unix");
	ns->unix_unknown = !f;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %*x %*x %*x %*x %*x %llu", &ino) == 1 &&
			map_put(&ns->unix_inos, ino, 1))
			ns->unix_unknown = true;
	}
	if (f)
		fclose(f);
}

bool sockets_unix_alive(
	struct sockets *s, const struct procs *procs, uint32_t pid, uint64_t netns, uint64_t ino)
{
	struct netns *ns = netns_get(s, netns);

	if (!ns)
		return true;
	if (!ns->have_unix)
		read_unix(ns, procs, pid);
	return ns->unix_unknown || map_get(&ns->unix_inos, ino);
}
