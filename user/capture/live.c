/*
 * The live source: loads and attaches the programs of bpf/, turns ring records into the calls of a sink.
 * Two clocks meet here: records carry CLOCK_MONOTONIC, sinks want wall time; the offset is taken once, so
 * that durations stay true when the wall clock is set meanwhile.
 */
#include "capture/live.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/map.h"
#include "base/timefmt.h"
#include "bpf/event.h"
#include "capture/backend.h"
#include "capture/procinfo.h"
#include "capture/scope.h"
#include "capture/sockets.h"
#include "evtrace.skel.h"

#define RING_DEFAULT   (64u << 20)
#define RING_MIN       (64u << 10)
#define RING_MAX       (1u << 30)
#define POLL_BUDGET    16384 /* records a live_poll(), so that its caller gets to do other things */
#define PACE_US        4000  /* between looks while records come: many of them for one wake-up */
#define TICK_NS        (250 * NS_PER_MS)
#define SWEEP_NS       (3 * NS_PER_SEC)
#define CLOSED_KEEP_NS (10 * NS_PER_SEC)

/* One end of a connection, by its socket's inode number. */
struct ep {
	uint64_t id, netns;
	uint32_t pid;
	uint16_t family;
	bool seq;         /* positions are TCP sequence numbers */
	bool eof, closed; /* told */
	uint32_t verdict; /* enum conn_verdict, as last written */
	bool have[2];
	uint64_t next[2]; /* by enum dir: position after the last byte seen, unwrapped */
	uint64_t base[2]; /* Unix: added to the kernel's count, when that began anew */
	uint64_t lost_records, lost_bytes;
	int64_t closed_ns;
};

struct live {
	struct evtrace_bpf *skel;
	struct ring_buffer *rb;
	volatile const uint64_t *consumer_pos, *producer_pos;
	size_t ring_size, page;
	int64_t wall_offset;
	struct map eps;
	struct procs *procs;
	struct sockets *sockets;
	uint64_t records, bytes;
	uint64_t lost_seen, life_seen, misses_seen; /* told to the sink */
	int64_t last_tick, next_sweep;
	bool had_records, look_at_tcp;
	uint32_t budget;
	const struct sink *sink; /* during live_poll() */
	int sink_err;
};

static int64_t wall(const struct live *l, uint64_t mono)
{
	return (int64_t)mono + l->wall_offset;
}

/* The narrowest of a few readings: a reading may be interrupted between the two clocks. */
static int64_t sample_wall_offset(void)
{
	int64_t best = 0;
	uint64_t narrowest = UINT64_MAX;

	for (int i = 0; i < 16; i++) {
		uint64_t before = now_mono_ns();
		int64_t w = now_wall_ns();
		uint64_t after = now_mono_ns();

		if (after - before < narrowest) {
			narrowest = after - before;
			best = w - (int64_t)(before + (after - before) / 2);
		}
	}
	return best;
}

/* --- records to sink calls --- */

/* Passes on a sink's error: it ends this poll. */
static int sank(struct live *l, int err)
{
	if (err < 0)
		l->sink_err = err;
	return err;
}

static int tell_proc(struct live *l, uint32_t pid)
{
	bool changed;
	const struct proc_info *p = procs_get(l->procs, pid, &changed);

	if (!p)
		return sank(l, -ENOMEM);
	return changed ? sank(l, l->sink->proc(l->sink->ctx, p)) : 0;
}

/* ::ffff:a.b.c.d is an IPv4 connection of a dual-stack socket. */
static void unmap_ipv4(struct endpoint_info *e)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (e->family != AF_INET6 || memcmp(e->local_addr, mapped, 12) || memcmp(e->remote_addr, mapped, 12))
		return;
	e->family = AF_INET;
	memmove(e->local_addr, e->local_addr + 12, 4);
	memmove(e->remote_addr, e->remote_addr + 12, 4);
	memset(e->local_addr + 4, 0, 12);
	memset(e->remote_addr + 4, 0, 12);
}

/* The counters beside the verdict may miss what a call adds between look-up and update; of a connection that
 * is dropped nobody needs them, and one that is kept is not written. */
static void write_verdict(struct live *l, const struct ep *ep)
{
	int fd = bpf_map__fd(l->skel->maps.conns);
	struct conn_state st;

	if (bpf_map_lookup_elem(fd, &ep->id, &st))
		return;
	st.verdict = ep->verdict;
	bpf_map_update_elem(fd, &ep->id, &st, BPF_EXIST);
}

void live_verdict(void *live, uint64_t endpoint, enum verdict v)
{
	struct live *l = live;
	struct ep *ep = map_ptr(&l->eps, endpoint);
	uint32_t want = v == VERDICT_IGNORE ? VERDICT_DROP
			: v == VERDICT_TAKE ? VERDICT_KEEP
					    : VERDICT_UNDECIDED;
	uint32_t had = ep ? ep->verdict : want;

	if (had == want)
		return;
	ep->verdict = want;
	/* To the kernel undecided and kept are the same: copy. */
	if (want == VERDICT_DROP || had == VERDICT_DROP)
		write_verdict(l, ep);
}

/* The kernel forgot a connection (its table is bounded) and saw it anew. TCP's positions go on by themselves;
 * Unix counts from 0 again. What passed in between was not seen, and nobody knows how much it was. */
static int seen_again(struct live *l, struct ep *ep)
{
	struct loss_info li = {.endpoint = ep->id,
		.ts_ns = wall(l, now_mono_ns()),
		.reason = "the kernel side forgot the connection"};

	if (ep->verdict == VERDICT_DROP)
		write_verdict(l, ep);
	if (ep->seq)
		return 0;
	for (int d = 0; d < 2; d++)
		ep->base[d] = ep->next[d];
	return sank(l, l->sink->loss(l->sink->ctx, &li));
}

static enum role role_of(struct live *l, const struct evt_conn *r)
{
	if (r->role != ROLE_UNKNOWN || r->family == AF_UNIX)
		return (enum role)r->role;
	return sockets_role(l->sockets, r->h.pid, r->netns, r->local_port, r->remote_port);
}

static int on_conn(struct live *l, const struct evt_conn *r)
{
	struct ep *ep = map_ptr(&l->eps, r->conn);
	struct endpoint_info e;
	char path[sizeof(r->path) + 1];
	int err;

	if (ep)
		return seen_again(l, ep);
	ep = calloc(1, sizeof(*ep));
	if (!ep || map_put_ptr(&l->eps, r->conn, ep)) {
		free(ep);
		return sank(l, -ENOMEM);
	}
	ep->id = r->conn;
	ep->netns = r->netns;
	ep->pid = r->h.pid;
	ep->family = r->family;
	ep->seq = r->h.flags & CHUNK_POS_SEQ;
	if (r->from_start) {
		ep->have[DIR_TX] = ep->have[DIR_RX] = true;
		ep->next[DIR_TX] = r->tx_pos;
		ep->next[DIR_RX] = r->rx_pos;
	}
	memcpy(path, r->path, sizeof(r->path));
	path[sizeof(r->path)] = '\0';
	e = (struct endpoint_info){.id = r->conn,
		.pid = r->h.pid,
		.ts_ns = wall(l, r->h.ts),
		.family = r->family,
		.netns = r->netns,
		.local_port = r->local_port,
		.remote_port = r->remote_port,
		.path = path,
		.peer_id = r->peer,
		.role = role_of(l, r),
		.from_start = r->from_start,
		.pos = {r->tx_pos, r->rx_pos}};
	memcpy(e.local_addr, r->local_addr, 16);
	memcpy(e.remote_addr, r->remote_addr, 16);
	unmap_ipv4(&e);
	err = tell_proc(l, r->h.pid);
	return err < 0 ? err : sank(l, l->sink->open(l->sink->ctx, &e));
}

/* A 64-bit position that does not wrap: the one with @seq's low half that is nearest to where we are. */
static uint64_t unwrap(const struct ep *ep, enum dir d, uint32_t seq)
{
	if (!ep->have[d])
		return seq;
	return ep->next[d] + (uint64_t)(int64_t)(int32_t)(seq - (uint32_t)ep->next[d]);
}

static uint64_t place(struct ep *ep, const struct evt_chunk *r)
{
	enum dir d = (enum dir)r->dir;
	uint64_t pos;

	if (ep->seq)
		pos = unwrap(ep, d, (uint32_t)r->pos);
	else
		pos = ep->base[d] + r->pos;
	/* Two threads that write to one Unix socket may read the same count before either adds to it. Their
	 * order in the ring is all that is known then; a count that is ahead is a loss, one behind is this.
	 */
	if (!ep->seq && pos < ep->next[d])
		pos = ep->next[d];
	ep->have[d] = true;
	/* Two threads of one TCP socket come in any order: the head must not go back. */
	if (pos + r->len > ep->next[d])
		ep->next[d] = pos + r->len;
	return pos;
}

static int on_chunk(struct live *l, const struct evt_chunk *r)
{
	struct ep *ep = map_ptr(&l->eps, r->conn);
	struct chunk c;
	int err;

	if (!ep || r->dir > EVT_RX || r->cap > r->len || sizeof(*r) + r->cap > r->h.size)
		return 0;
	c = (struct chunk){.endpoint = r->conn,
		.dir = (enum dir)r->dir,
		.pos = place(ep, r),
		.len = r->len,
		.data = span_of(r->data, r->cap),
		.ts_ns = wall(l, r->h.ts),
		.pid = r->h.pid,
		.tid = r->h.tid};
	l->bytes += r->cap;
	err = tell_proc(l, r->h.pid);
	return err < 0 ? err : sank(l, l->sink->chunk(l->sink->ctx, &c));
}

static int tell_close(struct live *l, struct ep *ep, int64_t ts_ns, bool by_peer)
{
	if (ep->closed || (by_peer && ep->eof))
		return 0;
	if (by_peer)
		ep->eof = true;
	else
		ep->closed = true;
	ep->closed_ns = ts_ns;
	return sank(l, l->sink->close(l->sink->ctx, ep->id, ts_ns, by_peer));
}

static int on_close(struct live *l, const struct evt_conn_close *r)
{
	struct ep *ep = map_ptr(&l->eps, r->conn);

	return ep ? tell_close(l, ep, wall(l, r->h.ts), r->by_peer) : 0;
}

static int on_exec(struct live *l, const struct evt_exec *r)
{
	char comm[sizeof(r->p.comm) + 1] = "", filename[sizeof(r->filename) + 1] = "";
	uint32_t args_len = r->args_len < sizeof(r->args) ? r->args_len : sizeof(r->args);
	bool known;
	int err;

	memcpy(comm, r->p.comm, sizeof(r->p.comm));
	memcpy(filename, r->filename, sizeof(r->filename));
	err = procs_execed(
		l->procs, r->p.h.pid, r->p.ppid, comm, filename, span_of(r->args, args_len), &known);
	if (err)
		return sank(l, err);
	return known ? tell_proc(l, r->p.h.pid) : 0;
}

static int on_proc(struct live *l, const struct evt_proc *r)
{
	char comm[sizeof(r->comm) + 1] = "";

	memcpy(comm, r->comm, sizeof(r->comm));
	if (r->h.type == EVT_FORK)
		return sank(l, procs_forked(l->procs, r->h.pid, r->ppid, comm));
	/* Its Unix sockets go with it, and nothing else tells. */
	l->next_sweep = 0;
	if (!procs_exited(l->procs, r->h.pid))
		return 0;
	return sank(l, l->sink->proc_exit(l->sink->ctx, r->h.pid, wall(l, r->h.ts), r->exit_code));
}

static size_t record_size(uint16_t type)
{
	switch (type) {
	case EVT_CHUNK:
		return sizeof(struct evt_chunk);
	case EVT_CONN:
		return sizeof(struct evt_conn);
	case EVT_CONN_CLOSE:
		return sizeof(struct evt_conn_close);
	case EVT_EXEC:
		return sizeof(struct evt_exec);
	case EVT_FORK:
	case EVT_EXIT:
		return sizeof(struct evt_proc);
	default:
		return SIZE_MAX;
	}
}

static int on_record(void *ctx, void *data, size_t size)
{
	const struct evt_hdr *h = data;
	struct live *l = ctx;
	int err = 0;

	if (size < sizeof(*h) || h->size > size || h->size < record_size(h->type))
		return 0;
	l->records++;
	switch (h->type) {
	case EVT_CHUNK:
		err = on_chunk(l, data);
		break;
	case EVT_CONN:
		err = on_conn(l, data);
		break;
	case EVT_CONN_CLOSE:
		err = on_close(l, data);
		break;
	case EVT_EXEC:
		err = on_exec(l, data);
		break;
	default:
		err = on_proc(l, data);
		break;
	}
	if (err < 0)
		return err;
	return --l->budget ? 0 : -EAGAIN;
}

/* --- what no record tells: losses, the ends of Unix sockets, time --- */

static struct loss total_lost(const struct live *l)
{
	struct loss sum = {0};

	for (int i = 0; i < LOSS_NR; i++) {
		sum.records += l->skel->bss->losses[i].records;
		sum.bytes += l->skel->bss->losses[i].bytes;
	}
	return sum;
}

static int tell_loss(struct live *l, uint64_t endpoint, uint64_t records, uint64_t bytes, int64_t ts_ns,
	const char *reason)
{
	struct loss_info li = {
		.endpoint = endpoint, .ts_ns = ts_ns, .records = records, .bytes = bytes, .reason = reason};

	return sank(l, l->sink->loss(l->sink->ctx, &li));
}

/* Tells what the ring had no room for, connection by connection; the other losses are told by their chunks.
 */
static int tell_ring_losses(struct live *l, int64_t ts_ns)
{
	uint64_t total = l->skel->bss->losses[LOSS_RING_FULL].records, told = 0;
	int fd = bpf_map__fd(l->skel->maps.conns), err = 0;

	if (total == l->lost_seen)
		return 0;
	map_for_each (&l->eps, s) {
		struct ep *ep = (struct ep *)(uintptr_t)s->val;
		struct conn_state st;
		struct loss *lost = &st.lost[LOSS_RING_FULL];

		if (bpf_map_lookup_elem(fd, &ep->id, &st) || lost->records <= ep->lost_records)
			continue;
		err = tell_loss(l, ep->id, lost->records - ep->lost_records, lost->bytes - ep->lost_bytes,
			ts_ns, "ring buffer full");
		if (err < 0)
			return err;
		told += lost->records - ep->lost_records;
		ep->lost_records = lost->records;
		ep->lost_bytes = lost->bytes;
	}
	/* Of connections that nobody could be told about, for the same reason. */
	if (total - l->lost_seen > told)
		err = tell_loss(l, 0, total - l->lost_seen - told, 0, ts_ns, "ring buffer full");
	l->lost_seen = total;
	return err;
}

static struct bpf_prog_info prog_info(const struct live *l)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(l->skel->progs.on_sys_exit), &info, &len))
		memset(&info, 0, sizeof(info));
	return info;
}

static int tell_losses(struct live *l, int64_t ts_ns)
{
	uint64_t life = l->skel->bss->lost_life, misses = prog_info(l).recursion_misses;
	int err = tell_ring_losses(l, ts_ns);

	if (err >= 0 && life > l->life_seen) {
		err = tell_loss(l, 0, life - l->life_seen, 0, ts_ns, "ring buffer full (no bytes)");
		l->life_seen = life;
		l->look_at_tcp = true;
	}
	/* Runs that the kernel skipped, because the program was running on that CPU already. */
	if (err >= 0 && misses > l->misses_seen) {
		err = tell_loss(l, 0, misses - l->misses_seen, 0, ts_ns, "kernel skipped the program");
		l->misses_seen = misses;
	}
	return err;
}

static void forget(struct live *l, struct ep *ep)
{
	bpf_map_delete_elem(bpf_map__fd(l->skel->maps.conns), &ep->id);
	map_del(&l->eps, ep->id);
	free(ep);
}

/* Tells the ends of Unix connections whose socket is gone (of TCP ones when a record of that may have been
 * lost), and forgets what ended a while ago. */
static int sweep(struct live *l, int64_t ts_ns)
{
	struct ep **old = NULL;
	size_t n = 0;
	int err = 0;

	sockets_refresh(l->sockets);
	map_for_each (&l->eps, s) {
		struct ep *ep = (struct ep *)(uintptr_t)s->val;

		if ((ep->family == AF_UNIX || l->look_at_tcp) && !ep->closed &&
			!sockets_alive(l->sockets, l->procs, ep->pid, ep->netns, ep->family, ep->id))
			err = tell_close(l, ep, ts_ns, false);
		if (err < 0)
			break;
		n += ep->closed && ts_ns - ep->closed_ns > CLOSED_KEEP_NS;
	}
	l->look_at_tcp = l->look_at_tcp && err < 0;
	old = n && err >= 0 ? calloc(n, sizeof(*old)) : NULL;
	if (!old)
		return err;
	n = 0;
	map_for_each (&l->eps, s) {
		struct ep *ep = (struct ep *)(uintptr_t)s->val;

		if (ep->closed && ts_ns - ep->closed_ns > CLOSED_KEEP_NS)
			old[n++] = ep;
	}
	while (n)
		forget(l, old[--n]);
	free(old);
	return 0;
}

static int tick(struct live *l)
{
	int64_t now = wall(l, now_mono_ns());
	int err;

	if (now - l->last_tick < TICK_NS)
		return 0;
	l->last_tick = now;
	err = tell_losses(l, now);
	if (err >= 0 && now >= l->next_sweep) {
		l->next_sweep = now + SWEEP_NS;
		err = sweep(l, now);
	}
	return err < 0 ? err : sank(l, l->sink->tick(l->sink->ctx, now));
}

static uint64_t ring_used(const struct live *l)
{
	return *l->producer_pos - *l->consumer_pos;
}

static int consume(struct live *l)
{
	uint64_t before = l->records;
	int err;

	l->budget = POLL_BUDGET;
	err = ring_buffer__consume(l->rb);
	if (l->sink_err)
		return l->sink_err;
	if (err < 0 && err != -EAGAIN)
		return err;
	return l->records != before;
}

static void wait_ring(struct live *l, int timeout_ms)
{
	struct epoll_event ev;

	epoll_wait(ring_buffer__epoll_fd(l->rb), &ev, 1, timeout_ms);
}

int live_poll(struct live *l, const struct sink *sink, int timeout_ms)
{
	volatile __u32 *asleep = &l->skel->bss->asleep;
	int n;

	l->sink = sink;
	l->sink_err = 0;
	/* While records come, nobody wakes us: we let them gather, unless the ring fills. (epoll_wait() would
	 * return at once, because something is there.) */
	if (l->had_records && timeout_ms && ring_used(l) < l->ring_size / 8)
		usleep(PACE_US);
	n = consume(l);
	if (!n && timeout_ms && !l->had_records) {
		*asleep = 1;
		__sync_synchronize(); /* a record that did not see the flag is seen by this look */
		n = consume(l);
		if (!n) {
			wait_ring(l, timeout_ms);
			n = consume(l);
		}
		*asleep = 0;
	}
	l->had_records = n > 0;
	if (n >= 0) {
		int err = tick(l);

		if (err < 0)
			n = err;
	}
	l->sink = NULL;
	return n < 0 ? n : 0;
}

int live_drain(struct live *l, const struct sink *sink)
{
	uint64_t end = *l->producer_pos;
	int n = 1;

	l->sink = sink;
	l->sink_err = 0;
	while (n > 0 && (int64_t)(end - *l->consumer_pos) > 0)
		n = consume(l);
	l->last_tick = l->next_sweep = 0;
	if (n >= 0)
		n = tick(l);
	l->sink = NULL;
	return n < 0 ? n : 0;
}

/* --- scope --- */

static int scope_map(const struct live *l)
{
	return bpf_map__fd(l->skel->maps.scope);
}

int live_add_pid(struct live *l, pid_t pid, struct err *e)
{
	return scope_add_tree(scope_map(l), pid, SCOPE_CMD, e);
}

size_t live_processes(struct live *l)
{
	return scope_count(scope_map(l), SCOPE_CMD, 0);
}

/* --- load, attach --- */

static size_t ring_bytes(size_t asked)
{
	size_t n = RING_MIN;

	if (!asked)
		return RING_DEFAULT;
	while (n < asked && n < RING_MAX)
		n *= 2;
	return n;
}

static int map_ring_positions(struct live *l, struct err *e)
{
	int fd = bpf_map__fd(l->skel->maps.ring);
	void *c, *p;

	l->page = (size_t)sysconf(_SC_PAGESIZE);
	c = mmap(NULL, l->page, PROT_READ, MAP_SHARED, fd, 0);
	p = mmap(NULL, l->page, PROT_READ, MAP_SHARED, fd, (off_t)l->page);
	l->consumer_pos = c == MAP_FAILED ? NULL : c;
	l->producer_pos = p == MAP_FAILED ? NULL : p;
	if (!l->consumer_pos || !l->producer_pos)
		return err_set(e, -errno, "cannot map the ring buffer: %s", strerror(errno));
	return 0;
}

static int load(struct live *l, const struct live_opts *opts, struct err *e)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	int err;

	/* Before 5.11 maps count against it; allowed to fail: later ones do not. */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	backend_capture_log();
	l->skel = evtrace_bpf__open();
	if (!l->skel)
		return backend_load_error(-errno, e);
	err = scope_configure((struct scope_cfg *)&l->skel->rodata->cfg, &opts->scope, e);
	if (err)
		return err;
	l->ring_size = ring_bytes(opts->ring_bytes);
	bpf_map__set_max_entries(l->skel->maps.ring, (__u32)l->ring_size);
	bpf_map__set_max_entries(l->skel->maps.scratches, (__u32)libbpf_num_possible_cpus());
	l->skel->rodata->have_rdonly_cast = backend_has_kfunc("bpf_rdonly_cast");
	err = backend_switch_off_missing(l->skel->obj, e);
	if (err)
		return err;
	err = evtrace_bpf__load(l->skel);
	return err ? backend_load_error(err, e) : 0;
}

int live_try_load(struct err *e)
{
	struct live_opts opts = {.ring_bytes = RING_MIN};
	struct live l = {0};
	int err = load(&l, &opts, e);

	evtrace_bpf__destroy(l.skel);
	return err;
}

static int attach(struct live *l, const struct live_opts *opts, struct err *e)
{
	int err = scope_put(scope_map(l), (uint32_t)getpid(), SCOPE_SELF, e);

	if (!err)
		err = scope_cgroups(bpf_map__fd(l->skel->maps.scope_cgroups), &opts->scope, e);
	if (err)
		return err;
	err = evtrace_bpf__attach(l->skel);
	if (err)
		return backend_load_error(err, e);
	return scope_processes(scope_map(l), &opts->scope, e);
}

int live__new(const struct live_opts *opts, struct live **ret, struct err *e)
{
	struct live *l;
	int err = backend_check_privileges(e);

	if (err)
		return err;
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(e, -ENOMEM, "out of memory");
	l->wall_offset = sample_wall_offset();
	l->procs = procs__new();
	l->sockets = sockets__new();
	err = l->procs && l->sockets ? 0 : err_set(e, -ENOMEM, "out of memory");
	if (!err)
		err = load(l, opts, e);
	if (!err)
		err = map_ring_positions(l, e);
	if (!err) {
		l->rb = ring_buffer__new(bpf_map__fd(l->skel->maps.ring), on_record, l, NULL);
		err = l->rb ? 0 : err_set(e, -errno, "cannot read the ring buffer: %s", strerror(errno));
	}
	if (!err)
		err = attach(l, opts, e);
	if (err) {
		live__free(l);
		return err;
	}
	*ret = l;
	return 0;
}

void live__free(struct live *l)
{
	if (!l)
		return;
	ring_buffer__free(l->rb);
	if (l->consumer_pos)
		munmap((void *)l->consumer_pos, l->page);
	if (l->producer_pos)
		munmap((void *)l->producer_pos, l->page);
	evtrace_bpf__destroy(l->skel);
	map_for_each (&l->eps, s)
		free((void *)(uintptr_t)s->val);
	map_free(&l->eps);
	procs__free(l->procs);
	sockets__free(l->sockets);
	free(l);
}

void live__stats(struct live *l, struct live_stats *ret)
{
	struct bpf_prog_info info = prog_info(l);
	struct loss lost = total_lost(l);

	*ret = (struct live_stats){.records = l->records,
		.bytes = l->bytes,
		.lost_records = lost.records + l->skel->bss->lost_life + info.recursion_misses,
		.lost_bytes = lost.bytes,
		.ring_used = ring_used(l),
		.ring_size = l->ring_size,
		.processes = scope_count(
			scope_map(l), SCOPE_TREE | SCOPE_COMM, SCOPE_OUT | SCOPE_OUT_COMM | SCOPE_SELF),
		.connections = l->eps.n,
		.prog_runs = info.run_cnt,
		.prog_ns = info.run_time_ns,
		.backend = "tp_btf/sys_exit"};
}
