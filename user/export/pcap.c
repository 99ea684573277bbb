/*
 * A recording as packets (pcapng, raw IP), for tools that know nothing else. What passed through sockets has
 * no packets: they are made up, one connection after the rules of TCP, with handshake, sequence numbers that
 * are positions, acknowledgements, and an end. Bytes that the recording does not have are missing sequence
 * numbers. The two ends of a local connection are one (stream/), and times are those of the calls.
 *
 * Unix sockets get addresses of a range that no network has (RFC 2544): clients 198.18.x.y, and a server
 * 198.19.x.y for each path, which is in the comment of the connection's first packet beside the processes.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/timefmt.h"
#include "export/export.h"
#include "export/pcap_packet.h"
#include "stream/stream.h"

#define FLUSH_BYTES (256u << 10)
#define ACK_EVERY   (16u << 10) /* bytes that are acknowledged by a packet of their own */
#define PROCS_MAX   65536
#define UNIX_PORTS  64000 /* clients' ports of one address */
#define FIRST_PORT  1024

/* conn.user */
struct pconn {
	bool v6, begun;
	struct tcp_end end[2]; /* client, server */
	uint32_t isn[2];       /* by enum flowdir: of what it sends */
	uint64_t sent[2];      /* position behind the last byte */
	uint64_t acked[2];
	uint16_t id;
	int64_t last_ns;
	struct buf comment; /* of the next packet */
};

struct proc {
	char comm[16], service[64];
};

struct exporter {
	FILE *out;
	int error;
	struct streams *streams;
	struct buf blocks, packet;
	struct map procs; /* pid -> struct proc */
	struct map paths; /* hash of a Unix socket's path -> number, from 1 */
	struct export_stats stats;
};

static int flush(struct exporter *x, size_t from)
{
	if (x->error)
		return x->error;
	if (!buf_ok(&x->blocks) || !buf_ok(&x->packet))
		return x->error = -ENOMEM;
	if (x->blocks.n < from)
		return 0;
	if (fwrite(x->blocks.p, 1, x->blocks.n, x->out) != x->blocks.n)
		x->error = errno ? -errno : -EIO;
	buf_clear(&x->blocks);
	return x->error;
}

/* --- who it is --- */

static void put_proc(struct buf *b, const struct exporter *x, const char *role, uint32_t pid)
{
	const struct proc *p = pid ? map_ptr(&x->procs, pid) : NULL;

	if (!pid)
		return;
	buf_printf(b, "%s%s ", b->n ? ", " : "", role);
	if (p && p->service[0])
		buf_printf(b, "%s (%s%spid %u)", p->service, p->comm, p->comm[0] ? ", " : "", pid);
	else
		buf_printf(b, "pid %u", pid);
}

/* The number of a path, from 1. */
static uint64_t path_number(struct exporter *x, const char *path)
{
	uint64_t key = hash_span(span_str(path), 0), *n = map_get(&x->paths, key);

	if (n)
		return *n;
	if (map_put(&x->paths, key, x->paths.n + 1))
		x->error = -ENOMEM;
	return x->paths.n;
}

static void make_addresses(struct exporter *x, struct pconn *p, const struct conn *c)
{
	uint64_t server = path_number(x, c->path), client = c->id / UNIX_PORTS + 1;

	p->end[0] = (struct tcp_end){.addr = {198, 18, (uint8_t)(client >> 8), (uint8_t)client},
		.port = (uint16_t)(FIRST_PORT + c->id % UNIX_PORTS)};
	p->end[1] = (struct tcp_end){.addr = {198, 19, (uint8_t)(server >> 8), (uint8_t)server}, .port = 1};
}

static void take_addresses(struct exporter *x, struct pconn *p, const struct conn *c)
{
	if (c->family == AF_UNIX) {
		make_addresses(x, p, c);
		return;
	}
	p->v6 = c->family == AF_INET6;
	memcpy(p->end[0].addr, c->client_addr, 16);
	memcpy(p->end[1].addr, c->server_addr, 16);
	p->end[0].port = c->client_port;
	p->end[1].port = c->server_port;
}

/* --- packets --- */

static uint32_t seq_of(const struct pconn *p, int d, uint64_t pos)
{
	return p->isn[d] + 1 + (uint32_t)pos;
}

/* What @d's sender sends next; with FIN and SYN the caller minds the number that they take. */
static int send_packet(struct exporter *x, struct pconn *p, int d, int64_t ts_ns, uint8_t flags, uint32_t seq,
	struct span data)
{
	struct tcp_packet t = {.v6 = p->v6,
		.from = &p->end[d],
		.to = &p->end[!d],
		.seq = seq,
		.id = p->id++,
		.flags = flags,
		.data = data};

	if (flags & TCP_ACK) {
		t.ack = seq_of(p, !d, p->sent[!d]);
		p->acked[!d] = p->sent[!d];
	}
	if (ts_ns > p->last_ns)
		p->last_ns = ts_ns;
	buf_clear(&x->packet);
	put_tcp(&x->packet, &t);
	put_packet(&x->blocks, p->last_ns, buf_span(&x->packet), buf_cstr(&p->comment));
	buf_clear(&p->comment);
	x->stats.packets++;
	if (!x->stats.first_ns)
		x->stats.first_ns = p->last_ns;
	if (p->last_ns > x->stats.last_ns)
		x->stats.last_ns = p->last_ns;
	return flush(x, FLUSH_BYTES);
}

static int handshake(struct exporter *x, struct pconn *p, int64_t ts_ns)
{
	int err = send_packet(x, p, TO_SERVER, ts_ns, TCP_SYN, p->isn[TO_SERVER], SPAN_EMPTY);

	if (!err)
		err = send_packet(x, p, TO_CLIENT, ts_ns, TCP_SYN | TCP_ACK, p->isn[TO_CLIENT], SPAN_EMPTY);
	if (!err)
		err = send_packet(x, p, TO_SERVER, ts_ns, TCP_ACK, seq_of(p, TO_SERVER, 0), SPAN_EMPTY);
	return err;
}

/* Before its first packet: only now its ends are known. */
static int begin(struct exporter *x, struct conn *c, int64_t ts_ns)
{
	struct pconn *p = c->user;

	if (p->begun)
		return 0;
	p->begun = true;
	take_addresses(x, p, c);
	for (int d = 0; d < 2; d++)
		p->isn[d] = (uint32_t)hash_u64(c->id * 2 + (uint64_t)d);
	put_proc(&p->comment, x, "client", c->client_pid);
	put_proc(&p->comment, x, "server", c->server_pid);
	if (c->family == AF_UNIX)
		buf_printf(&p->comment, "%sUnix socket %s", p->comment.n ? ", " : "", c->path);
	if (!c->from_start)
		buf_printf(&p->comment, "%sits beginning was not recorded", p->comment.n ? "; " : "");
	x->stats.connections++;
	p->last_ns = c->opened_ns;
	return c->from_start ? handshake(x, p, c->opened_ns < ts_ns ? c->opened_ns : ts_ns) : 0;
}

/* --- what stream calls --- */

static int on_open(void *ctx, struct conn *c)
{
	(void)ctx;
	c->user = calloc(1, sizeof(struct pconn));
	return c->user ? 0 : -ENOMEM;
}

static int64_t on_data(void *ctx, struct conn *c, enum flowdir d, uint64_t pos, struct span data)
{
	int64_t ts_ns = stream_mark(c, d, pos).ts_ns, taken = (int64_t)data.n;
	struct exporter *x = ctx;
	struct pconn *p = c->user;
	int err = begin(x, c, ts_ns);

	x->stats.bytes += data.n;
	while (!err && data.n) {
		struct span part = span_sub(data, 0, tcp_mss(p->v6));
		uint8_t flags = TCP_ACK | (part.n == data.n ? TCP_PSH : 0);

		err = send_packet(x, p, d, ts_ns, flags, seq_of(p, d, p->sent[d]), part);
		p->sent[d] += part.n;
		data = span_sub(data, part.n, SIZE_MAX);
		if (!err && p->sent[d] - p->acked[d] >= ACK_EVERY)
			err = send_packet(x, p, !d, ts_ns, TCP_ACK, seq_of(p, !d, p->sent[!d]), SPAN_EMPTY);
	}
	return err ? err : taken;
}

static int on_gap(void *ctx, struct conn *c, enum flowdir d, uint64_t pos, uint64_t n, const char *reason)
{
	struct exporter *x = ctx;
	struct pconn *p = c->user;
	int err = begin(x, c, c->opened_ns);

	(void)pos;
	p->sent[d] += n;
	x->stats.gaps++;
	x->stats.lost += n;
	buf_printf(&p->comment, "%s%llu bytes %s are missing: %s", p->comment.n ? "; " : "",
		(unsigned long long)n, d == TO_SERVER ? "to the server" : "to the client", reason);
	/* The other side has got them, so they are not on their way. A gap is known late: its time is that of
	 * what came before it. */
	if (!err)
		err = send_packet(x, p, !d, p->last_ns, TCP_ACK, seq_of(p, !d, p->sent[!d]), SPAN_EMPTY);
	return err;
}

static int on_close(void *ctx, struct conn *c, int64_t ts_ns, bool by_client)
{
	struct exporter *x = ctx;
	struct pconn *p = c->user;
	int d = by_client ? TO_SERVER : TO_CLIENT, err = begin(x, c, ts_ns);

	for (int i = 0; i < 2 && !err; i++, d = !d) {
		err = send_packet(x, p, d, ts_ns, TCP_FIN | TCP_ACK, seq_of(p, d, p->sent[d]), SPAN_EMPTY);
		p->sent[d]++;
	}
	/* d is again the side that closed first */
	return err ? err : send_packet(x, p, d, ts_ns, TCP_ACK, seq_of(p, d, p->sent[d]), SPAN_EMPTY);
}

static void on_forget(void *ctx, struct conn *c)
{
	struct pconn *p = c->user;

	(void)ctx;
	if (!p)
		return;
	buf_free(&p->comment);
	free(p);
	c->user = NULL;
}

/* --- the sink --- */

static void forget_procs(struct exporter *x)
{
	map_for_each (&x->procs, slot)
		free((void *)(uintptr_t)slot->val);
	map_free(&x->procs);
}

static int sink_proc(void *ctx, const struct proc_info *info)
{
	struct exporter *x = ctx;
	struct proc *p = map_ptr(&x->procs, info->pid);

	if (!p) {
		if (x->procs.n >= PROCS_MAX)
			forget_procs(x);
		p = malloc(sizeof(*p));
		if (!p || map_put_ptr(&x->procs, info->pid, p)) {
			free(p);
			return -ENOMEM;
		}
	}
	snprintf(p->comm, sizeof(p->comm), "%s", info->comm);
	snprintf(p->service, sizeof(p->service), "%s", info->service);
	return 0;
}

static int sink_proc_exit(void *ctx, uint32_t pid, int64_t ts_ns, int exit_code)
{
	struct exporter *x = ctx;

	(void)exit_code;
	return streams__proc_exit(x->streams, pid, ts_ns);
}

static int sink_open(void *ctx, const struct endpoint_info *e)
{
	return streams__open(((struct exporter *)ctx)->streams, e);
}

static int sink_chunk(void *ctx, const struct chunk *c)
{
	return streams__chunk(((struct exporter *)ctx)->streams, c);
}

static int sink_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	return streams__close(((struct exporter *)ctx)->streams, endpoint, ts_ns, by_peer);
}

/* What is lost and not known whose has no place among packets; it is counted. */
static int sink_loss(void *ctx, const struct loss_info *l)
{
	struct exporter *x = ctx;

	if (l->endpoint)
		return streams__loss(x->streams, l);
	x->stats.gaps++;
	x->stats.lost += l->bytes;
	return 0;
}

static int sink_tick(void *ctx, int64_t ts_ns)
{
	struct exporter *x = ctx;
	int err = streams__tick(x->streams, ts_ns);

	return err ? err : flush(x, 1);
}

static void pcap_sink(void *ctx, struct sink *ret)
{
	*ret = (struct sink){
		ctx, sink_proc, sink_proc_exit, sink_open, sink_chunk, sink_close, sink_loss, sink_tick};
}

/* --- life --- */

static void pcap_free(void *ctx)
{
	struct exporter *x = ctx;

	if (!x)
		return;
	streams__free(x->streams);
	forget_procs(x);
	map_free(&x->paths);
	buf_free(&x->blocks);
	buf_free(&x->packet);
	free(x);
}

static int pcap_begin(FILE *out, const struct source_info *info, void **ret, struct err *e)
{
	struct exporter *x = calloc(1, sizeof(*x));
	struct stream_ops ops = {.ctx = x,
		.open = on_open,
		.data = on_data,
		.gap = on_gap,
		.close = on_close,
		.forget = on_forget};
	struct buf comment = {0};

	if (x)
		x->streams = streams__new(&ops, NULL);
	if (!x || !x->streams) {
		pcap_free(x);
		return err_set(e, -ENOMEM, "out of memory");
	}
	x->out = out;
	buf_printf(&comment,
		"made of a %s%s%s%s%s; packets, sequence numbers and acknowledgements are made up",
		info->kind, info->host[0] ? " of " : "", info->host, info->scope[0] ? ": " : "", info->scope);
	put_section(&x->blocks, "evtrace " EVTRACE_VERSION, buf_cstr(&comment));
	buf_free(&comment);
	*ret = x;
	return 0;
}

static int pcap_finish(void *ctx)
{
	struct exporter *x = ctx;
	int err = streams__flush(x->streams, x->stats.last_ns);

	return err ? err : flush(x, 1);
}

static void pcap_stats(const void *ctx, struct export_stats *ret)
{
	*ret = ((const struct exporter *)ctx)->stats;
}

const struct format format_pcap = {
	.reader = "tshark -r",
	.begin = pcap_begin,
	.sink = pcap_sink,
	.finish = pcap_finish,
	.stats = pcap_stats,
	.free = pcap_free,
};
