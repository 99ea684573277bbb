/* A connection's state: made at first sight, announced to user space, never asked for again by other calls.
 */
#ifndef EVTRACE_BPF_CONN_BPF_H
#define EVTRACE_BPF_CONN_BPF_H

#define AF_UNIX_     1
#define AF_INET_     2
#define AF_INET6_    10
#define SOCK_STREAM_ 1

/* struct sock -> inode number: when TCP reports its end, the socket and its inode are gone from the sock. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNS_MAX);
	__type(key, __u64);
	__type(value, __u64);
} tcp_socks SEC(".maps");

#define IPPROTO_TCP_ 6

static __always_inline __u32 tcp_tx_pos(__u64 sk)
{
	return LOAD(struct tcp_sock, (void *)sk, write_seq);
}

/* tcp_recvmsg() that comes to the FIN counts the number which that takes, too; tcp_fin() has set SOCK_DONE.
 */
static __always_inline __u32 tcp_rx_pos(__u64 sk)
{
	__u32 pos = LOAD(struct tcp_sock, (void *)sk, copied_seq);

	if (LOAD(struct sock, (void *)sk, __sk_common.skc_flags) >> SOCK_DONE & 1 &&
		pos == LOAD(struct tcp_sock, (void *)sk, rcv_nxt))
		pos--;
	return pos;
}

static __always_inline __u64 sk_ino(struct sock *sk)
{
	struct socket *sock = BPF_CORE_READ(sk, sk_socket);
	struct file *file;

	if (!sock)
		return 0;
	file = BPF_CORE_READ(sock, file);
	return file ? BPF_CORE_READ(file, f_inode, i_ino) : 0;
}

/* The bound name of either end of a Unix connection; accept() gives the listener's to the server's end. */
static __always_inline void unix_ends(struct evt_conn *e, struct unix_sock *u)
{
	struct unix_sock *peer = (struct unix_sock *)BPF_CORE_READ(u, peer);
	struct unix_address *addr = BPF_CORE_READ(u, addr);
	__u32 len;

	bool own = addr;

	if (peer)
		e->peer = sk_ino((struct sock *)peer);
	if (!addr && peer)
		addr = BPF_CORE_READ(peer, addr);
	if (!addr)
		return;
	/* Clients hardly ever bind a name. */
	if (e->role == ROLE_UNKNOWN)
		e->role = own ? ROLE_SERVER : ROLE_CLIENT;
	len = BPF_CORE_READ(addr, len) - __builtin_offsetof(struct sockaddr_un, sun_path);
	barrier_var(len);
	if (len > sizeof(e->path))
		return;
	bpf_probe_read_kernel(e->path, len,
		(void *)addr + bpf_core_field_offset(addr->name) +
			__builtin_offsetof(struct sockaddr_un, sun_path));
	if (!e->path[0] && len)
		e->path[0] = '@';
}

static __always_inline void inet_ends(struct evt_conn *e, struct sock *sk)
{
	e->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	e->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (e->family == AF_INET_) {
		*(__u32 *)e->local_addr = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		*(__u32 *)e->remote_addr = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	} else {
		BPF_CORE_READ_INTO(&e->local_addr, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&e->remote_addr, sk, __sk_common.skc_v6_daddr);
	}
}

/* Tells user space; until that worked no chunk of this connection is put out. */
static __noinline bool announce(__u64 ino, struct conn_state *st)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sock *sk = (struct sock *)st->sk;
	struct evt_conn *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		__sync_fetch_and_add(&lost_life, 1);
		return false;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->h.size = sizeof(*e);
	e->h.type = EVT_CONN;
	e->h.flags = st->flags & CONN_SEQ ? CHUNK_POS_SEQ : 0;
	e->h.ts = bpf_ktime_get_ns();
	e->h.pid = id >> 32;
	e->h.tid = id;
	e->conn = ino;
	e->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	e->family = st->family;
	e->role = st->role;
	e->from_start = !!(st->flags & CONN_FROM_START);
	e->tx_pos = st->start[EVT_TX];
	e->rx_pos = st->start[EVT_RX];
	if (st->family != AF_UNIX_)
		inet_ends(e, sk);
	else
		unix_ends(e, (struct unix_sock *)sk);
	bpf_ringbuf_submit(e, ring_flags());
	st->flags |= CONN_ANNOUNCED;
	return true;
}

/* Sockets that are none of our business are remembered as well, so that their next call costs a look-up. */
static __always_inline __u32 first_verdict(struct socket *sock, struct sock *sk, __u16 family)
{
	__u16 lport, rport;

	if (BPF_CORE_READ(sock, type) != SOCK_STREAM_)
		return VERDICT_DROP;
	if (family == AF_UNIX_)
		return cfg.ports_n ? VERDICT_DROP : VERDICT_UNDECIDED;
	if (family != AF_INET_ && family != AF_INET6_)
		return VERDICT_DROP;
	lport = BPF_CORE_READ(sk, __sk_common.skc_num);
	rport = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (cfg.ports_n && !port_listed(cfg.ports, cfg.ports_n, lport, rport))
		return VERDICT_DROP;
	if (cfg.not_ports_n && port_listed(cfg.not_ports, cfg.not_ports_n, lport, rport))
		return VERDICT_DROP;
	return VERDICT_UNDECIDED;
}

/* Of TCP: positions as they are before this call's @moved bytes of direction @dir. */
static __always_inline void tcp_start(struct conn_state *st, __u32 dir, __u64 moved)
{
	st->start[EVT_TX] = (__u32)(tcp_tx_pos(st->sk) - (dir == EVT_TX ? moved : 0));
	st->start[EVT_RX] = (__u32)(tcp_rx_pos(st->sk) - (dir == EVT_RX ? moved : 0));
}

struct sight {
	__u64 ino, moved;
	struct file *file;
	__u32 dir;
	__u8 role, flags;
};

/* NULL: not a connection, or one that is dropped at once. */
static __noinline struct conn_state *first_sight(const struct sight *s)
{
	struct file *file = s->file; /* not through `s`: that is no kernel type to relocate */
	struct socket *sock = BPF_CORE_READ(file, private_data);
	struct sock *sk = BPF_CORE_READ(sock, sk);
	struct conn_state st = {.role = s->role, .flags = s->flags};
	__u64 key = (__u64)sk, ino = s->ino;

	if (!sk)
		return NULL;
	st.sk = key;
	st.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	st.verdict = first_verdict(sock, sk, st.family);
	if (st.verdict != VERDICT_DROP && st.family != AF_UNIX_) {
		bpf_map_update_elem(&tcp_socks, &key, &ino, BPF_ANY);
		/* Multipath TCP and SCTP have sequence numbers of their own, elsewhere. */
		if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP_) {
			st.flags |= CONN_SEQ;
			tcp_start(&st, s->dir, s->moved);
		}
	}
	bpf_map_update_elem(&conns, &ino, &st, BPF_NOEXIST);
	return st.verdict == VERDICT_DROP ? NULL : bpf_map_lookup_elem(&conns, &ino);
}

static __noinline void announce_close(__u64 ino, bool by_peer)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct evt_conn_close *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		__sync_fetch_and_add(&lost_life, 1);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->h.size = sizeof(*e);
	e->h.type = EVT_CONN_CLOSE;
	e->h.ts = bpf_ktime_get_ns();
	e->h.pid = id >> 32;
	e->h.tid = id;
	e->conn = ino;
	e->by_peer = by_peer;
	bpf_ringbuf_submit(e, ring_flags());
}

#endif
