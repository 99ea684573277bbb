/*
 * From a call's user memory to chunks in the ring. A call is a list of segments (its buffer, its iovecs, the
 * iovecs of its messages); they are packed into a per-CPU scratch of CHUNK_CAP bytes, which is put out when
 * it is full and at the end. The ring record is as long as the bytes, and each byte of the call is in a
 * chunk, copied or counted as lost.
 */
#ifndef EVTRACE_BPF_EMIT_BPF_H
#define EVTRACE_BPF_EMIT_BPF_H

#define CHUNK_CAP 32768
#define IOV_MAX   1024 /* UIO_MAXIOV: the kernel refuses more */
/* What is copied of one call: preemption is off meanwhile, and a memory copy of this size takes milliseconds.
 */
#define CALL_MAX (16 << 20)
/* CALL_MAX in pieces of CHUNK_CAP, 1024 segments, and what lies between. */
#define STEPS_MAX 2048
#define CPUS_MAX  1024

/* `chunk` ends where `data` begins: one ring record. */
#pragma clang diagnostic ignored "-Wgnu-variable-sized-type-not-at-end"
struct scratch {
	/* the call */
	__u64 conn;
	__u64 seg;     /* rest of the current segment */
	__u64 seg_len; /* 0: take the next one */
	__u64 left;    /* bytes of this message (of this call, if it is not recvmmsg or sendmmsg) */
	__u64 todo;    /* bytes of the call that are neither packed nor told lost */
	__u64 vec;     /* next struct mmsghdr */
	__u32 vec_n;   /* of them left */
	__u32 iov_i, iov_n;
	__u32 fill;
	struct iovec iov[IOV_MAX];
	/* the record */
	struct evt_chunk chunk;
	/* Twice the cap: the verifier bounds offset and length each by it, not their sum. */
	__u8 data[2 * CHUNK_CAP];
};

/* An array by CPU number, because a per-CPU map's value may not exceed 32 KiB. The tracepoint runs its
 * programs with migration off, and a program never twice on a CPU. User space sets max_entries. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CPUS_MAX);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *scratch_get(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&scratches, &cpu);
}

static __noinline void count_loss(__u64 conn, __u32 reason, __u64 bytes)
{
	struct conn_state *st;

	if (reason >= LOSS_NR)
		return;
	__sync_fetch_and_add(&losses[reason].records, 1);
	__sync_fetch_and_add(&losses[reason].bytes, bytes);
	st = bpf_map_lookup_elem(&conns, &conn);
	if (!st)
		return;
	__sync_fetch_and_add(&st->lost[reason].records, 1);
	__sync_fetch_and_add(&st->lost[reason].bytes, bytes);
}

/* Puts out what is packed, and @missing more bytes of the stream that are not there for @reason. */
static __noinline void put_chunk(struct scratch *s, __u32 missing, __u32 reason)
{
	__u32 cap = s->fill;

	if (cap > CHUNK_CAP)
		return;
	s->chunk.h.size = sizeof(s->chunk) + cap;
	s->chunk.cap = cap;
	s->chunk.len = cap + missing;
	if (missing) {
		s->chunk.h.flags |= CHUNK_LOST;
		count_loss(s->conn, reason, missing);
	}
	if (bpf_ringbuf_output(&ring, &s->chunk, sizeof(s->chunk) + cap, ring_flags()))
		count_loss(s->conn, LOSS_RING_FULL, cap);
	s->chunk.pos += cap + missing;
	s->chunk.h.flags &= ~CHUNK_LOST;
	s->fill = 0;
}

static __always_inline void read_iovecs(struct scratch *s, const void *iov, __u64 n)
{
	__u32 bytes;

	if (n > IOV_MAX)
		n = IOV_MAX;
	bytes = n * sizeof(struct iovec);
	barrier_var(bytes); /* clang 14 would check the bound on another register than it uses */
	if (bytes > sizeof(s->iov))
		bytes = sizeof(s->iov);
	s->iov_i = 0;
	s->iov_n = n;
	if (bpf_probe_read_user(s->iov, bytes, iov))
		s->iov_n = 0;
}

/* False: there is no other segment. */
static __always_inline bool next_segment(struct scratch *s)
{
	struct mmsghdr mm;
	__u32 i = s->iov_i;

	if (s->left && i < s->iov_n && i < IOV_MAX) {
		s->seg = (__u64)s->iov[i].iov_base;
		s->seg_len = s->iov[i].iov_len;
		s->iov_i = i + 1;
		return true;
	}
	if (s->left) { /* its iovecs could not be read */
		put_chunk(s, s->left, LOSS_FAULT);
		s->todo -= s->left;
		s->left = 0;
	}
	if (!s->vec_n)
		return false;
	s->vec_n--;
	if (bpf_probe_read_user(&mm, sizeof(mm), (void *)s->vec)) {
		s->vec_n = 0;
		return false;
	}
	s->vec += sizeof(mm);
	s->left = mm.msg_len;
	s->seg_len = 0; /* a received message may be shorter than its place */
	read_iovecs(s, mm.msg_hdr.msg_iov, mm.msg_hdr.msg_iovlen);
	return true;
}

/* Moves one piece into the scratch. Global, so that the verifier walks through it once, not once a step. */
__noinline int copy_step(void)
{
	struct scratch *s = scratch_get();
	__u64 n;
	__u32 off;

	if (!s)
		return 1;
	if (!s->seg_len || !s->left)
		return next_segment(s) ? 0 : 1;
	off = s->fill;
	if (off >= CHUNK_CAP) {
		put_chunk(s, 0, 0);
		off = 0;
	}
	n = s->seg_len < s->left ? s->seg_len : s->left;
	if (n > CHUNK_CAP - off)
		n = CHUNK_CAP - off;
	barrier_var(n);
	if (n > CHUNK_CAP)
		return 1;
	s->seg_len -= n;
	s->left -= n;
	s->todo -= n;
	if (bpf_probe_read_user(s->data + (off & (CHUNK_CAP - 1)), n, (void *)s->seg)) {
		put_chunk(s, n, LOSS_FAULT);
	} else {
		s->fill = off + n;
	}
	s->seg += n;
	return 0;
}

/* Bytes of the @n messages of a recvmmsg() or sendmmsg(). Global for the same reason. */
__noinline __u64 mmsg_total(__u64 vec, __u32 n)
{
	__u64 total = 0;
	__u32 len;

	for (__u32 i = 0; i < IOV_MAX && i < n; i++) {
		len = 0;
		bpf_probe_read_user(&len, sizeof(len), &((struct mmsghdr *)vec)[i].msg_len);
		total += len;
	}
	return total;
}

/* The usual call: one buffer that fits into one record. */
static __always_inline bool copy_one(struct scratch *s, __u64 from, __u64 n)
{
	barrier_var(n);
	if (n > CHUNK_CAP || bpf_probe_read_user(s->data, n, (void *)from))
		return false;
	s->fill = n;
	put_chunk(s, 0, 0);
	return true;
}

static __always_inline void copy_segments(struct scratch *s)
{
	if (s->iov_n && s->iov[0].iov_len >= s->todo && copy_one(s, (__u64)s->iov[0].iov_base, s->todo))
		return;
	for (int i = 0; i < STEPS_MAX; i++)
		if (copy_step())
			break;
	if (s->todo) /* what more steps would have copied */
		put_chunk(s, s->todo, LOSS_TOO_LARGE);
	else if (s->fill)
		put_chunk(s, 0, 0);
}

#endif
