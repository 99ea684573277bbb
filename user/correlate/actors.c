/* Who took part: processes, connections, brokers and their virtual hosts. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/hash.h"
#include "correlate/model.h"

#define EXITED_KEPT_NS (60 * NS_PER_SEC) /* buffered bytes of a process may be decoded after its end */
#define CLOSED_KEPT_NS (10 * NS_PER_SEC)

/* --- processes --- */

static int process_row(struct correlator *c, const struct process *p)
{
	struct process_rec r = {
		.id = p->id,
		.info = &p->info,
		.first_ns = p->first_ns,
		.exit_ns = p->exit_ns,
		.exit_code = p->exit_code,
	};

	return c->out.process ? c->out.process(c->out.ctx, &r) : 0;
}

static void info_free(struct proc_info *i)
{
	free((char *)i->comm);
	free((char *)i->exe);
	free((char *)i->cmdline);
	free((char *)i->service);
	free((char *)i->cgroup);
}

static bool info_copy(struct proc_info *to, const struct proc_info *from)
{
	const char *const text[] = {from->comm, from->exe, from->cmdline, from->service, from->cgroup};
	char *copy[ARRAY_LEN(text)];
	bool ok = true;

	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		copy[i] = strdup(text[i] ? text[i] : "");
		ok = ok && copy[i];
	}
	*to = *from;
	to->comm = copy[0];
	to->exe = copy[1];
	to->cmdline = copy[2];
	to->service = copy[3];
	to->cgroup = copy[4];
	if (!ok)
		info_free(to);
	return ok;
}

static void process_free(struct correlator *c, struct process *p)
{
	list_del(&p->exited);
	map_del(&c->procs_by_id, p->id);
	if (map_ptr(&c->procs_by_pid, p->info.pid) == p)
		map_del(&c->procs_by_pid, p->info.pid);
	list_for_each (&p->inops, n)
		list_del(n); /* cause.c finds them by operation; they outlive it */
	info_free(&p->info);
	free(p);
}

static struct process *process_new(struct correlator *c, const struct proc_info *info, int64_t ts_ns)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	if (!info_copy(&p->info, info)) {
		free(p);
		return NULL;
	}
	list_init(&p->exited);
	list_init(&p->inops);
	p->id = c->next.process;
	p->first_ns = ts_ns;
	if (map_put_ptr(&c->procs_by_id, p->id, p) || map_put_ptr(&c->procs_by_pid, info->pid, p)) {
		process_free(c, p);
		return NULL;
	}
	c->next.process++;
	return p;
}

struct process *process_by_id(struct correlator *c, uint64_t id)
{
	return id ? map_ptr(&c->procs_by_id, id) : NULL;
}

struct process *process_by_pid(struct correlator *c, uint32_t pid)
{
	struct proc_info unknown = {.pid = pid};
	struct process *p;

	if (!pid)
		return NULL;
	p = map_ptr(&c->procs_by_pid, pid);
	if (p)
		return p;
	p = process_new(c, &unknown, c->now);
	if (p)
		process_row(c, p); /* told again, with names, as soon as the source has them */
	return p;
}

const char *process_label(struct correlator *c, uint64_t id, char *out, size_t n)
{
	const struct process *p = process_by_id(c, id);
	const char *name;

	if (!p) {
		snprintf(out, n, "a process not seen");
		return out;
	}
	name = p->info.service[0] ? p->info.service : p->info.comm[0] ? p->info.comm : "process";
	snprintf(out, n, "%.60s (pid %u)", name, p->info.pid);
	return out;
}

/* The same process told again (after an exec, or with the names that were missing), and not another one that
 * got its number. */
static bool is_same(const struct process *p, const struct proc_info *info)
{
	return !p->exit_ns && (!p->info.start_ns || !info->start_ns || p->info.start_ns == info->start_ns);
}

int correlator__proc(struct correlator *c, const struct proc_info *info, int64_t ts_ns)
{
	struct process *p = map_ptr(&c->procs_by_pid, info->pid);
	struct proc_info copy;

	if (p && is_same(p, info)) {
		if (!info_copy(&copy, info))
			return -ENOMEM;
		info_free(&p->info);
		p->info = copy;
	} else {
		p = process_new(c, info, ts_ns);
	}
	return p ? process_row(c, p) : -ENOMEM;
}

int correlator__proc_exit(struct correlator *c, uint32_t pid, int64_t ts_ns, int exit_code)
{
	struct process *p = map_ptr(&c->procs_by_pid, pid);

	if (!p || p->exit_ns)
		return 0;
	p->exit_ns = ts_ns;
	p->exit_code = exit_code;
	map_del(&c->brokers_by_pid, pid); /* its number may name another server next */
	list_move_tail(&c->exited, &p->exited);
	return process_row(c, p);
}

/* --- brokers --- */

static bool is_loopback4(const uint8_t *a)
{
	return a[0] == 127;
}

/* One name for one server, however its clients reach it: every loopback address is 127.0.0.1, and IPv4
 * written as IPv6 is IPv4. */
static bool broker_name(const struct conn *c, char *out, size_t n)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t one[16] = {[15] = 1};
	const uint8_t *a = c->server_addr;
	uint16_t family = c->family;
	char text[INET6_ADDRSTRLEN];

	if (family == AF_UNIX) {
		snprintf(out, n, "unix:%.*s", (int)sizeof(c->path), c->path);
		return true;
	}
	if (family == AF_INET6 && !memcmp(a, mapped, sizeof(mapped))) {
		a += sizeof(mapped);
		family = AF_INET;
	}
	if ((family == AF_INET && is_loopback4(a)) || (family == AF_INET6 && !memcmp(a, one, sizeof(one)))) {
		snprintf(out, n, "127.0.0.1:%u", c->server_port);
		return true;
	}
	if (!inet_ntop(family, a, text, sizeof(text)))
		snprintf(text, sizeof(text), "?");
	snprintf(out, n, family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, c->server_port);
	return false;
}

static uint64_t addr_key(const char *name, uint64_t netns)
{
	return hash_span(span_str(name), netns);
}

static int broker_row(struct correlator *c, const struct broker *b)
{
	struct broker_rec r = {.id = b->id, .proto = b->proto, .name = b->name, .process = b->process};

	return c->out.broker ? c->out.broker(c->out.ctx, &r) : 0;
}

static struct broker *broker_new(struct correlator *c, const char *name, enum proto_id proto, uint64_t id)
{
	struct broker *b = calloc(1, sizeof(*b)), **at;

	if (!b)
		return NULL;
	b->id = id;
	b->proto = proto;
	snprintf(b->name, sizeof(b->name), "%s", name);
	for (at = &c->brokers; *at; at = &(*at)->next)
		;
	*at = b;
	return b;
}

struct broker *broker_by_id(struct correlator *c, uint64_t id)
{
	struct broker *b = c->brokers;

	while (b && b->id != id)
		b = b->next;
	return b;
}

struct broker *broker_restore(struct correlator *c, const struct broker_rec *r)
{
	struct broker *b = broker_new(c, r->name ? r->name : "", r->proto, r->id);

	/* Without a network namespace and process: those of an earlier run mean nothing now. */
	if (b && map_put_ptr(&c->brokers_by_addr, addr_key(b->name, 0), b))
		return NULL;
	return b;
}

static uint64_t next_broker_id(const struct correlator *c)
{
	uint64_t id = 0;

	for (const struct broker *b = c->brokers; b; b = b->next)
		if (b->id > id)
			id = b->id;
	return id + 1;
}

/* The broker at an address. A loopback address means another host in each network namespace; one that was
 * restored belongs to the first namespace that shows it. */
static struct broker *broker_at(struct correlator *c, const char *name, uint64_t netns)
{
	struct broker *b = map_ptr(&c->brokers_by_addr, addr_key(name, netns));

	if (b || !netns)
		return b;
	b = map_ptr(&c->brokers_by_addr, addr_key(name, 0));
	if (!b || b->netns || map_put_ptr(&c->brokers_by_addr, addr_key(name, netns), b))
		return NULL;
	b->netns = netns;
	map_del(&c->brokers_by_addr, addr_key(name, 0));
	return b;
}

static void point_at(struct map *m, const struct broker *from, struct broker *to)
{
	map_for_each (m, slot)
		if ((const struct broker *)(uintptr_t)slot->val == from)
			slot->val = (uint64_t)(uintptr_t)to;
}

/*
 * Two that were met by different addresses turn out to be one process. The older one stays; virtual hosts
 * move over with all that is known of them. One that both have stays with each of its two histories: their
 * messages were never mixed, and those to come meet in the older.
 */
int broker_merge(struct correlator *c, struct broker *to, struct broker *from)
{
	point_at(&c->brokers_by_addr, from, to);
	point_at(&c->brokers_by_pid, from, to);
	to->older |= from->older;
	for (struct space *s = c->spaces; s; s = s->next)
		if (s->broker == from)
			s->broker = to;
	map_for_each (&c->conns, slot) {
		struct connection *cn = (struct connection *)(uintptr_t)slot->val;

		if (cn->broker == from) {
			cn->broker = to;
			cn->space = NULL;
			connection_touch(c, cn);
		}
	}
	return c->out.merge_brokers ? c->out.merge_brokers(c->out.ctx, from->id, to->id) : 0;
}

int broker_alias(struct correlator *c, const struct conn *at, struct broker *b, struct broker **ret)
{
	char name[sizeof(b->name)];
	uint64_t netns = broker_name(at, name, sizeof(name)) ? at->netns : 0;

	*ret = broker_at(c, name, netns);
	return *ret ? 0 : map_put_ptr(&c->brokers_by_addr, addr_key(name, netns), b);
}

static int broker_get(struct correlator *c, struct connection *cn)
{
	const struct conn *info = &cn->info;
	struct broker *by_pid = info->server_pid ? map_ptr(&c->brokers_by_pid, info->server_pid) : NULL, *b;
	char name[sizeof(b->name)];
	uint64_t netns = broker_name(info, name, sizeof(name)) ? info->netns : 0;
	bool news = false;
	int err;

	b = broker_at(c, name, netns);
	if (b && by_pid && b != by_pid) {
		if (by_pid->id < b->id) {
			struct broker *older = by_pid;

			by_pid = b;
			b = older;
		}
		err = broker_merge(c, b, by_pid);
		if (err)
			return err;
	} else if (!b) {
		if (!by_pid)
			by_pid = cluster_server(c, cn);
		b = by_pid ? by_pid : broker_new(c, name, cn->proto, next_broker_id(c));
		if (!b)
			return -ENOMEM;
		if (!by_pid)
			b->netns = netns;
		if (map_put_ptr(&c->brokers_by_addr, addr_key(name, netns), b))
			return -ENOMEM;
		news = !by_pid;
	}
	if (info->server_pid && b->pid != info->server_pid) {
		struct process *p = process_by_pid(c, info->server_pid);

		b->pid = info->server_pid;
		b->process = p ? p->id : 0;
		if (map_put_ptr(&c->brokers_by_pid, b->pid, b))
			return -ENOMEM;
		news = true;
	}
	cn->broker = b;
	b->older |= !info->from_start;
	return news ? broker_row(c, b) : 0;
}

/* Also connections that have not said anything since: they are not decoded, so their address must do. */
bool broker_has_past(struct correlator *c, const struct broker *b)
{
	char name[sizeof(b->name)];

	if (b->older)
		return true;
	map_for_each (&c->conns, slot) {
		const struct connection *cn = (struct connection *)(uintptr_t)slot->val;

		if (cn->info.from_start || cn->broker)
			continue;
		if (b->pid && cn->info.server_pid == b->pid)
			return true;
		broker_name(&cn->info, name, sizeof(name));
		if (!strcmp(name, b->name))
			return true;
	}
	return false;
}

/* --- virtual hosts --- */

static struct space *space_new(struct correlator *c, struct broker *b, struct span vhost)
{
	struct space *s = calloc(1, sizeof(*s)), **at;

	if (!s)
		return NULL;
	s->vhost = intern_get(&c->strings, vhost);
	if (!s->vhost) {
		free(s);
		return NULL;
	}
	s->broker = b;
	s->index = ++c->nspaces;
	s->anonymous = !vhost.n;
	for (at = &c->spaces; *at; at = &(*at)->next)
		;
	*at = s;
	return s;
}

/*
 * Connections older than us do not show their virtual host. As nearly every broker has one in use, they share
 * the first that is seen by name, before or after them.
 */
struct space *space_of(struct correlator *c, struct broker *b, struct span vhost)
{
	struct space *anonymous = NULL, *first = NULL;

	for (struct space *s = c->spaces; s; s = s->next) {
		if (s->broker != b)
			continue;
		if (vhost.n && span_eq(str_span(s->vhost), vhost))
			return s;
		if (!first)
			first = s;
		if (s->anonymous)
			anonymous = s;
	}
	if (!vhost.n && first)
		return first;
	if (vhost.n && anonymous) {
		struct str *name = intern_get(&c->strings, vhost);

		if (!name)
			return NULL;
		intern_put(&c->strings, anonymous->vhost);
		anonymous->vhost = name;
		anonymous->anonymous = false;
		return anonymous;
	}
	return c->nspaces < UINT16_MAX ? space_new(c, b, vhost) : first;
}

int space_get(struct correlator *c, struct connection *cn, struct span vhost, struct space **ret)
{
	struct space *s = cn->space;

	if (!s || (vhost.n && !span_eq(str_span(s->vhost), vhost))) {
		s = space_of(c, cn->broker, vhost);
		if (!s)
			return -ENOMEM;
		cn->space = s;
	}
	*ret = s;
	return 0;
}

/* --- connections --- */

const struct proto *proto_of(const struct correlator *c, unsigned id)
{
	return id < ARRAY_LEN(c->protos) && c->protos[id] ? c->protos[id] : proto_by_id(id);
}

void connection_touch(struct correlator *c, struct connection *cn)
{
	if (list_empty(&cn->dirty))
		list_add_tail(&c->dirty_conns, &cn->dirty);
}

static struct connection *connection_new(struct correlator *c, const struct conn *conn)
{
	struct connection *cn = calloc(1, sizeof(*cn));

	if (!cn)
		return NULL;
	list_init(&cn->dirty);
	list_init(&cn->closed);
	list_init(&cn->consumers);
	list_init(&cn->owned);
	if (map_put_ptr(&c->conns, conn->id, cn)) {
		free(cn);
		return NULL;
	}
	cn->id = c->next.connection++;
	connection_touch(c, cn);
	return cn;
}

/* What `conn` says now: byte counts, and ends that were not known before. */
static int connection_update(struct correlator *c, struct connection *cn, const struct conn *conn)
{
	bool server_news = conn->server_pid != cn->info.server_pid || !cn->broker;
	struct process *p;

	cn->info = *conn;
	connection_touch(c, cn);
	if (!server_news && cn->client && (cn->server || !conn->server_pid))
		return 0;
	p = process_by_pid(c, conn->client_pid);
	if (p)
		cn->client = p->id;
	p = process_by_pid(c, conn->server_pid);
	if (p)
		cn->server = p->id;
	/* A broker is what a decoder understood; the other connections have none. */
	return cn->proto && server_news ? broker_get(c, cn) : 0;
}

int connection_get(struct correlator *c, const struct conn *conn, struct connection **ret)
{
	struct connection *cn = map_ptr(&c->conns, conn->id);
	int err;

	if (!cn)
		cn = connection_new(c, conn);
	if (!cn)
		return -ENOMEM;
	err = connection_update(c, cn, conn);
	if (!err)
		*ret = cn;
	return err;
}

int correlator__conn(struct correlator *c, const struct conn *conn, const struct proto *p, enum conn_state st)
{
	struct connection *cn = map_ptr(&c->conns, conn->id);
	int err;

	if (!cn)
		cn = connection_new(c, conn);
	if (!cn)
		return -ENOMEM;
	cn->state = st;
	if (p) {
		cn->proto = p->id;
		c->protos[p->id & 0xff] = p;
	}
	err = connection_update(c, cn, conn);
	if (err || !conn->closed_ns || cn->closed_ns)
		return err;
	cn->closed_ns = conn->closed_ns;
	list_move_tail(&c->closed_conns, &cn->closed);
	err = consumers_end(c, cn, conn->closed_ns);
	list_for_each (&cn->owned, n)
		if (!err)
			err = queue_gone(c, list_entry(n, struct queue, owned), conn->closed_ns);
	return err;
}

static int connection_row(struct correlator *c, const struct connection *cn)
{
	struct connection_rec r = {
		.id = cn->id,
		.client_process = cn->client,
		.server_process = cn->server,
		.proto = cn->proto,
		.state = cn->state,
		.broker = cn->broker ? cn->broker->id : 0,
		.info = &cn->info,
	};

	return c->out.connection ? c->out.connection(c->out.ctx, &r) : 0;
}

static void connection_free(struct correlator *c, struct connection *cn)
{
	list_for_each (&cn->owned, n)
		list_del(n);
	list_del(&cn->dirty);
	list_del(&cn->closed);
	map_del(&c->conns, cn->info.id);
	free(cn);
}

int correlator__gap(struct correlator *c, const struct conn *conn, enum flowdir d, uint64_t bytes,
	uint64_t records, const char *reason, int64_t ts_ns)
{
	struct gap_rec r = {.ts_ns = ts_ns, .bytes = bytes, .records = records, .dir = -1, .reason = reason};
	struct connection *cn = NULL;
	int err;

	if (conn) {
		err = connection_get(c, conn, &cn);
		if (err)
			return err;
		r.connection = cn->id;
		r.dir = (int)d;
	}
	return c->out.gap ? c->out.gap(c->out.ctx, &r) : 0;
}

/* --- all --- */

int actors_flush(struct correlator *c)
{
	list_for_each (&c->dirty_conns, n) {
		struct connection *cn = list_entry(n, struct connection, dirty);
		int err = connection_row(c, cn);

		if (err)
			return err;
		list_del(&cn->dirty);
	}
	return 0;
}

void actors_sweep(struct correlator *c)
{
	struct connection *cn;
	struct process *p;

	while ((cn = list_first(&c->closed_conns, struct connection, closed)) &&
		cn->closed_ns + CLOSED_KEPT_NS < c->now && list_empty(&cn->dirty))
		connection_free(c, cn);
	while ((p = list_first(&c->exited, struct process, exited)) && p->exit_ns + EXITED_KEPT_NS < c->now)
		process_free(c, p);
}

void actors_free(struct correlator *c)
{
	map_for_each (&c->conns, s)
		free((void *)(uintptr_t)s->val);
	map_for_each (&c->procs_by_id, s) {
		struct process *p = (struct process *)(uintptr_t)s->val;

		info_free(&p->info);
		free(p);
	}
	for (struct broker *b = c->brokers, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	for (struct space *s = c->spaces, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	map_free(&c->conns);
	map_free(&c->procs_by_pid);
	map_free(&c->procs_by_id);
	map_free(&c->brokers_by_addr);
	map_free(&c->brokers_by_pid);
}
