/*
 * Bytes seen at the system calls: one program on tp_btf/sys_exit, where the call's arguments are still in the
 * registers, so nothing has to be kept between entry and exit. A connection is the inode of its socket;
 * dup(), fork() and descriptor passing make other names for the same one and need no attention.
 *
 * Order of work: leave for uninteresting calls, then processes out of scope, then what is no socket, then
 * dropped connections; each step is cheaper than the next.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

#include "bpf/event.h"
#include "bpf/maps.bpf.h"
#include "bpf/compat.bpf.h"
#include "bpf/scope.bpf.h"
#include "bpf/emit.bpf.h"
#include "bpf/conn.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MSG_OOB_      0x1
#define MSG_PEEK_     0x2
#define MSG_TRUNC_    0x20
#define MSG_ERRQUEUE_ 0x2000

#define EINTR_       4
#define EALREADY_    114
#define EINPROGRESS_ 115
#define ERESTARTSYS_ 512

#define SHUT_RDWR_ 2

enum call_kind {
	CALL_BUF,  /* (fd, buf, len) */
	CALL_IOV,  /* (fd, iov, n) */
	CALL_MSG,  /* (fd, msghdr, flags) */
	CALL_MMSG, /* (fd, mmsghdr[], n, flags) */
	CALL_NONE, /* no user memory */
};

struct call {
	struct pt_regs *regs;
	long ret;
	__u32 fd;
	__u8 kind, dir;
	struct caller who;
};

/* Reads that do not take bytes of the stream out of it. */
static __always_inline bool reads_nothing(__u32 flags)
{
	return flags & (MSG_PEEK_ | MSG_OOB_ | MSG_ERRQUEUE_);
}

/* read() returns 0 at the end, and also when nothing was asked for. */
static __always_inline bool asked_for_bytes(const struct call *c)
{
	void *arg = (void *)call_arg1(c->regs);
	__u64 len = call_arg2(c->regs);

	if (c->kind == CALL_NONE || c->kind == CALL_MMSG)
		return false;
	if (c->kind == CALL_MSG &&
		bpf_probe_read_user(&arg, sizeof(arg), &((struct user_msghdr *)arg)->msg_iov))
		return false;
	if (c->kind != CALL_BUF && bpf_probe_read_user(&len, sizeof(len), &((struct iovec *)arg)->iov_len))
		return false;
	return len;
}

static __always_inline void end_of_file(const struct call *c, __u64 ino, struct conn_state *st)
{
	if (st->flags & CONN_EOF || !asked_for_bytes(c))
		return;
	if (!(st->flags & CONN_ANNOUNCED) && !announce(ino, st))
		return;
	st->flags |= CONN_EOF;
	announce_close(ino, true);
}

/* Bytes of the stream that the call moved. */
static __always_inline __u64 bytes_moved(const struct call *c)
{
	return c->kind == CALL_MMSG ? mmsg_total(call_arg1(c->regs), c->ret) : c->ret;
}

static __always_inline void copy_call(struct scratch *s, const struct call *c, __u64 moved)
{
	struct user_msghdr msg;
	struct pt_regs *regs = c->regs;
	__u64 arg = call_arg1(regs);

	if (c->kind == CALL_BUF && copy_one(s, arg, moved))
		return;
	s->fill = 0;
	s->vec_n = 0;
	s->iov_i = s->iov_n = 0;
	s->seg_len = 0;
	s->todo = moved;
	s->left = moved < CALL_MAX ? moved : CALL_MAX;
	switch (c->kind) {
	case CALL_BUF:
		s->seg = arg;
		s->seg_len = s->left;
		break;
	case CALL_IOV:
		read_iovecs(s, (void *)arg, call_arg2(regs));
		break;
	case CALL_MSG:
		if (!bpf_probe_read_user(&msg, sizeof(msg), (void *)arg))
			read_iovecs(s, msg.msg_iov, msg.msg_iovlen);
		break;
	case CALL_MMSG:
		s->left = 0;
		s->vec = arg;
		s->vec_n = c->ret;
		break;
	default:
		put_chunk(s, moved, LOSS_UNSEEN);
		return;
	}
	copy_segments(s);
}

static __always_inline void moved_bytes(const struct call *c, __u64 ino, struct conn_state *st)
{
	__u64 moved = bytes_moved(c), pos;
	struct scratch *s;
	__u32 dir = c->dir & 1;

	if (st->flags & CONN_CONNECTING) {
		if (st->flags & CONN_SEQ)
			tcp_start(st, dir, moved);
		st->flags &= ~CONN_CONNECTING;
	}
	if (st->flags & CONN_SEQ)
		pos = (__u32)((dir == EVT_TX ? tcp_tx_pos(st->sk) : tcp_rx_pos(st->sk)) - moved);
	else
		pos = st->start[dir] + st->moved[dir];
	__sync_fetch_and_add(&st->moved[dir], moved);

	s = scratch_get();
	if (!s || (!(st->flags & CONN_ANNOUNCED) && !announce(ino, st))) {
		count_loss(ino, LOSS_RING_FULL, moved);
		return;
	}
	s->conn = ino;
	s->chunk.h.type = EVT_CHUNK;
	s->chunk.h.flags = st->flags & CONN_SEQ ? CHUNK_POS_SEQ : 0;
	s->chunk.h.ts = bpf_ktime_get_ns();
	s->chunk.h.pid = c->who.tgid;
	s->chunk.h.tid = c->who.pid;
	s->chunk.conn = ino;
	s->chunk.pos = pos;
	s->chunk.dir = dir;
	copy_call(s, c, moved);
}

static __noinline int on_transfer(struct call *c)
{
	struct conn_state *st;
	struct sight sight = {};
	struct file *file;
	__u64 ino;

	caller_get(&c->who);
	if (c->who.compat || !in_scope(c->who.tgid))
		return 0;
	file = fd_file(c->fd);
	if (!file)
		return 0;
	ino = socket_ino(file);
	if (!ino)
		return 0;
	st = bpf_map_lookup_elem(&conns, &ino);
	if (!st) {
		sight.ino = ino;
		sight.file = file;
		sight.dir = c->dir;
		sight.moved = bytes_moved(c);
		st = first_sight(&sight);
		if (!st)
			return 0;
	}
	if (st->verdict == VERDICT_DROP)
		return 0;
	if (c->ret == 0)
		end_of_file(c, ino, st);
	else
		moved_bytes(c, ino, st);
	return 0;
}

/* connect() succeeded or is under way, or accept() or socketpair() made @fd. */
static __always_inline int on_new(__u32 fd, __u8 role, __u8 flags)
{
	struct conn_state *st;
	struct caller who;
	struct sight sight = {.dir = EVT_TX, .role = role, .flags = CONN_FROM_START | flags};

	caller_get(&who);
	if (who.compat || !in_scope(who.tgid))
		return 0;
	sight.file = fd_file(fd);
	if (!sight.file)
		return 0;
	sight.ino = socket_ino(sight.file);
	if (!sight.ino)
		return 0;
	st = bpf_map_lookup_elem(&conns, &sight.ino);
	if (!st)
		st = first_sight(&sight);
	if (!st || st->verdict == VERDICT_DROP || flags || (st->flags & CONN_ANNOUNCED))
		return 0;
	if (st->flags & CONN_CONNECTING) {
		if (st->flags & CONN_SEQ)
			tcp_start(st, EVT_TX, 0);
		st->flags &= ~CONN_CONNECTING;
	}
	announce(sight.ino, st);
	return 0;
}

static __always_inline int on_connect(struct pt_regs *regs, long ret)
{
	switch (ret) {
	case 0:
		return on_new(call_arg0(regs), ROLE_CLIENT, 0);
	case -EINPROGRESS_:
	case -EALREADY_:
	case -EINTR_:
	case -ERESTARTSYS_:
		return on_new(call_arg0(regs), ROLE_CLIENT, CONN_CONNECTING);
	default:
		return 0;
	}
}

static __always_inline int on_socketpair(struct pt_regs *regs, long ret)
{
	int fds[2];

	if (ret || call_arg0(regs) != AF_UNIX_ ||
		bpf_probe_read_user(fds, sizeof(fds), (void *)call_arg3(regs)))
		return 0;
	on_new(fds[0], ROLE_UNKNOWN, 0);
	return on_new(fds[1], ROLE_UNKNOWN, 0);
}

/* A Unix socket's end cannot be seen otherwise before its process ends; TCP reports its own (below). */
static __always_inline int on_shutdown(struct pt_regs *regs, long ret)
{
	struct conn_state *st;
	struct caller who;
	struct file *file;
	__u64 ino;

	if (ret || call_arg1(regs) != SHUT_RDWR_)
		return 0;
	caller_get(&who);
	if (who.compat || !in_scope(who.tgid))
		return 0;
	file = fd_file(call_arg0(regs));
	ino = file ? socket_ino(file) : 0;
	st = ino ? bpf_map_lookup_elem(&conns, &ino) : NULL;
	if (st && st->family == AF_UNIX_ && (st->flags & CONN_ANNOUNCED))
		announce_close(ino, false);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	struct call c = {.regs = regs, .ret = ret};

	switch (call_nr(regs)) {
	case NR_read:
		c.kind = CALL_BUF, c.dir = EVT_RX;
		break;
	case NR_write:
		c.kind = CALL_BUF, c.dir = EVT_TX;
		break;
	case NR_readv:
		c.kind = CALL_IOV, c.dir = EVT_RX;
		break;
	case NR_writev:
		c.kind = CALL_IOV, c.dir = EVT_TX;
		break;
	case NR_recvfrom:
		if (reads_nothing(call_arg3(regs)))
			return 0;
		c.kind = call_arg3(regs) & MSG_TRUNC_ ? CALL_NONE : CALL_BUF, c.dir = EVT_RX;
		break;
	case NR_sendto:
		c.kind = CALL_BUF, c.dir = EVT_TX;
		break;
	case NR_recvmsg:
		if (reads_nothing(call_arg2(regs)))
			return 0;
		c.kind = call_arg2(regs) & MSG_TRUNC_ ? CALL_NONE : CALL_MSG, c.dir = EVT_RX;
		break;
	case NR_sendmsg:
		c.kind = CALL_MSG, c.dir = EVT_TX;
		break;
	case NR_recvmmsg:
		if (reads_nothing(call_arg3(regs)))
			return 0;
		c.kind = CALL_MMSG, c.dir = EVT_RX;
		break;
	case NR_sendmmsg:
		c.kind = CALL_MMSG, c.dir = EVT_TX;
		break;
	case NR_sendfile:
		c.kind = CALL_NONE, c.dir = EVT_TX;
		break;
	case NR_splice:
		if (ret <= 0)
			return 0;
		c.kind = CALL_NONE, c.dir = EVT_RX;
		c.fd = call_arg0(regs);
		on_transfer(&c);
		c.dir = EVT_TX;
		c.fd = call_arg2(regs);
		return on_transfer(&c);
	case NR_connect:
		return on_connect(regs, ret);
	case NR_accept:
	case NR_accept4:
		return ret < 0 ? 0 : on_new(ret, ROLE_SERVER, 0);
	case NR_socketpair:
		return on_socketpair(regs, ret);
	case NR_shutdown:
		return on_shutdown(regs, ret);
	default:
		return 0;
	}
	if (ret < 0 || (ret == 0 && c.dir == EVT_TX))
		return 0;
	c.fd = call_arg0(regs);
	return on_transfer(&c);
}

/*
 * The end of a TCP connection as its own state machine tells it. Closing goes ESTABLISHED -> FIN_WAIT1 or
 * CLOSE_WAIT -> LAST_ACK with both halves shut; a half-close (shutdown(SHUT_WR)) takes the first way with one
 * half open and is not the end yet. A reset goes to CLOSE at once. May run in any task, or none.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_tcp_state, const struct sock *sk, int oldstate, int newstate)
{
	__u64 key = (__u64)sk, *ino, id;

	if (newstate != TCP_FIN_WAIT1 && newstate != TCP_LAST_ACK && newstate != TCP_CLOSE)
		return 0;
	ino = bpf_map_lookup_elem(&tcp_socks, &key);
	if (!ino || (newstate == TCP_FIN_WAIT1 && BPF_CORE_READ(sk, sk_shutdown) != 3))
		return 0;
	id = *ino;
	bpf_map_delete_elem(&tcp_socks, &key);
	announce_close(id, BPF_CORE_READ(sk, sk_err) != 0);
	return 0;
}
