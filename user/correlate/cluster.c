/*
 * Several servers that form one broker (OP_CLUSTER): a topic's partitions, and the coordinators of its
 * groups, are spread over them, so what one says of a message must be heard with what another one says. They
 * become one broker, with one set of virtual hosts.
 *
 * Servers tell each other's addresses as clients are to use them: numbers name a connection's other end at
 * once. Names of hosts do not (and are not looked up: an answer must not depend on when it is asked); there a
 * connection to the right port by a process, or a host, that talks to just one such cluster is taken for it.
 *
 * Connections that were there before us may not tell it for long. But a client that commits, to one server,
 * the position right behind the record that it last got from another one reads and commits in one cluster.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/number.h"
#include "correlate/log.h"

#define MAX_CLUSTERS 1024
#define MAX_NAMED    64 /* ports of servers whose addresses are names */

struct cluster {
	struct cluster *next;
	enum proto_id proto;
	struct str *name;
	struct broker *broker;
	uint16_t ports[MAX_NAMED];
	unsigned nports;
};

static struct cluster *cluster_find(struct correlator *c, enum proto_id proto, struct span name)
{
	struct cluster *k = c->clusters;

	while (k && !(k->proto == proto && span_eq(str_span(k->name), name)))
		k = k->next;
	return k;
}

static struct cluster *cluster_new(struct correlator *c, const struct opctx *x)
{
	struct cluster *k = c->nclusters < MAX_CLUSTERS ? calloc(1, sizeof(*k)) : NULL;

	if (!k)
		return NULL;
	k->name = intern_get(&c->strings, x->op->exchange);
	k->proto = x->conn->proto;
	k->broker = x->conn->broker;
	k->next = c->clusters;
	c->clusters = k;
	c->nclusters++;
	return k;
}

static int join_space(struct correlator *c, struct space *to, struct space *from)
{
	map_for_each (&c->conns, slot) {
		struct connection *cn = (struct connection *)(uintptr_t)slot->val;

		if (cn->space == from)
			cn->space = to;
	}
	return log_space_joined(c, from, to);
}

/* What two servers keep under the same virtual host; connections find the first of its spaces. */
static int join_spaces(struct correlator *c, const struct broker *x, const struct broker *y)
{
	int err = 0;

	for (struct space *a = c->spaces; a; a = a->next)
		for (struct space *b = a->next; b && !err; b = b->next)
			if (a->vhost == b->vhost &&
				((a->broker == x && b->broker == y) || (a->broker == y && b->broker == x)))
				err = join_space(c, a, b);
	return err;
}

/* The older one stays. */
static int join(struct correlator *c, struct broker *a, struct broker *b)
{
	struct broker *to = a->id < b->id ? a : b, *from = to == b ? a : b;
	int err;

	if (to == from || to->proto != from->proto)
		return 0;
	err = join_spaces(c, to, from);
	if (!err)
		err = broker_merge(c, to, from);
	for (struct cluster *o = c->clusters; o; o = o->next)
		if (o->broker == from)
			o->broker = to;
	return err;
}

static void add_port(struct cluster *k, uint16_t port)
{
	for (unsigned i = 0; i < k->nports; i++)
		if (k->ports[i] == port)
			return;
	if (k->nports < MAX_NAMED)
		k->ports[k->nports++] = port;
}

/* An address as a connection to it would have it; false: it is a name. */
static bool read_address(struct span host, uint16_t port, const struct conn *like, struct conn *ret)
{
	char text[INET6_ADDRSTRLEN];

	if (host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	*ret = (struct conn){.netns = like->netns, .server_port = port, .family = AF_INET};
	if (!strcmp(text, "localhost"))
		snprintf(text, sizeof(text), "127.0.0.1");
	if (inet_pton(AF_INET, text, ret->server_addr) == 1)
		return true;
	ret->family = AF_INET6;
	return inet_pton(AF_INET6, text, ret->server_addr) == 1;
}

static int add_server(
	struct correlator *c, struct cluster *k, const struct opctx *x, struct span host, uint16_t port)
{
	struct broker *b = NULL;
	struct conn at;
	int err;

	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = span_sub(host, 1, host.n - 2);
	if (!read_address(host, port, &x->conn->info, &at)) {
		add_port(k, port);
		return 0;
	}
	err = broker_alias(c, &at, k->broker, &b);
	return err || !b ? err : join(c, k->broker, b);
}

/* "host:port" up to the next comma; port 0: it is none. */
static struct span next_server(struct span *rest, uint16_t *ret_port)
{
	const uint8_t *comma = memchr(rest->p, ',', rest->n);
	struct span s = span_sub(*rest, 0, comma ? (size_t)(comma - rest->p) : rest->n);
	unsigned port = 0;
	size_t i = s.n;

	*rest = span_sub(*rest, s.n + 1, SIZE_MAX);
	while (i && s.p[i - 1] != ':')
		i--;
	for (size_t d = i; d < s.n && port <= UINT16_MAX; d++)
		port = s.p[d] >= '0' && s.p[d] <= '9' ? port * 10 + (s.p[d] - '0') : UINT16_MAX + 1;
	*ret_port = port <= UINT16_MAX ? (uint16_t)port : 0;
	return span_sub(s, 0, i ? i - 1 : 0);
}

int cluster_op(struct correlator *c, struct opctx *x)
{
	struct span rest = x->op->text;
	struct cluster *k;
	int err = 0;

	if (!x->op->exchange.n)
		return 0; /* without a name nothing says that the next one is another */
	k = cluster_find(c, x->conn->proto, x->op->exchange);
	if (k)
		err = join(c, k->broker, x->conn->broker);
	else
		k = cluster_new(c, x);
	while (k && rest.n && !err) {
		uint16_t port;
		struct span host = next_server(&rest, &port);

		if (host.n && port)
			err = add_server(c, k, x, host, port);
	}
	return err;
}

/* Is @m with the one who does @x, who is of no group that is known? */
static bool taken_by(const struct message *m, const struct opctx *x)
{
	for (const struct copy *cp = m->copies; cp; cp = cp->next)
		if (!cp->q->name && !cp->withdrawn && cp->deliveries && cp->consumer == x->process->id)
			return true;
	return false;
}

int cluster_by_position(struct correlator *c, struct opctx *x)
{
	const struct op *op = x->op;
	char last[24];
	uint64_t at[2];
	struct span mid;

	if (op->flags & OPF_REPORTED || !x->process || !read_mid(op->mid, at) || !at[0] ||
		at[0] > INT64_MAX || journal_find(c, x->space, op->log))
		return 0;
	mid = span_of(last, put_i64(last, (int64_t)at[0] - 1));
	for (struct space *s = c->spaces; s; s = s->next) {
		struct message *m = s->broker->proto == x->conn->proto && s->broker != x->conn->broker
					    ? log_message(c, s, op->log, mid)
					    : NULL;
		int err;

		if (!m || !taken_by(m, x))
			continue;
		err = join(c, s->broker, x->conn->broker);
		x->conn->space = NULL;
		return err ? err : space_get(c, x->conn, op->vhost, &x->space);
	}
	return 0;
}

static bool same_client(const struct connection *a, const struct conn *b)
{
	if (a->info.client_pid || b->client_pid)
		return a->info.client_pid == b->client_pid;
	return a->info.netns == b->netns &&
	       !memcmp(a->info.client_addr, b->client_addr, sizeof(b->client_addr));
}

/* The broker of a server that is met for the first time, if it can only be one of a cluster's. */
struct broker *cluster_server(struct correlator *c, const struct connection *cn)
{
	struct broker *found = NULL;

	for (struct cluster *k = c->clusters; k; k = k->next) {
		bool port = false, client = false;

		for (unsigned i = 0; i < k->nports && k->proto == cn->proto; i++)
			port |= k->ports[i] == cn->info.server_port;
		if (!port)
			continue;
		map_for_each (&c->conns, slot) {
			const struct connection *o = (struct connection *)(uintptr_t)slot->val;

			client |= o != cn && o->broker == k->broker && same_client(o, &cn->info);
		}
		if (client && found && found != k->broker)
			return NULL;
		if (client)
			found = k->broker;
	}
	return found;
}

void clusters_free(struct correlator *c)
{
	for (struct cluster *k = c->clusters, *next; k; k = next) {
		next = k->next;
		intern_put(&c->strings, k->name);
		free(k);
	}
}
