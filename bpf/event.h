/*
 * What the kernel side sends to user space: the only header that both include. One ring buffer carries all
 * records; each starts with `evt_hdr`. Times are CLOCK_MONOTONIC nanoseconds. Layout is fixed (asserted
 * below) because `record --raw` stores chunks in a form of its own (user/capture/recfile.c), never these.
 */
#ifndef EVTRACE_BPF_EVENT_H
#define EVTRACE_BPF_EVENT_H

#ifndef __bpf__
#include <linux/types.h>
#include <stddef.h>
#endif

enum evt_type {
	EVT_CHUNK = 1,      /* bytes, or only their length, that one call moved */
	EVT_CONN = 2,       /* a connection is seen for the first time */
	EVT_CONN_CLOSE = 3, /* one end was closed, or read end-of-file */
	EVT_FORK = 4,
	EVT_EXEC = 5,
	EVT_EXIT = 6, /* the whole process, not one thread */
};

enum evt_dir {
	EVT_TX = 0, /* this process wrote */
	EVT_RX = 1, /* this process read */
};

/* A connection's verdict: data that user space writes into the map `conns`, read at each call. */
enum conn_verdict {
	VERDICT_UNDECIDED = 0, /* copy all, until user space knows better */
	VERDICT_KEEP = 1,
	VERDICT_DROP =
		2, /* no broker's, or its other end is copied already: costs the look-up, nothing more */
};

enum conn_role {
	ROLE_UNKNOWN = 0, /* existed before we looked */
	ROLE_CLIENT = 1,  /* connect() was seen */
	ROLE_SERVER = 2,  /* accept() was seen */
};

struct evt_hdr {
	__u32 size; /* of the meaningful part of the record, header included */
	__u16 type;
	__u16 flags;
	__u64 ts;
	__u32 pid; /* thread group id in the initial pid namespace */
	__u32 tid;
};

#define CHUNK_POS_SEQ 0x1 /* `pos` is a TCP sequence number: 32 bits that wrap, equal on both ends */
#define CHUNK_LOST    0x2 /* bytes of this call could not be copied: len > cap */

struct evt_chunk {
	struct evt_hdr h;
	__u64 conn; /* inode number of the socket: what `ss -e` and /proc/PID/fd show */
	__u64 pos;  /* position of the first byte in its direction */
	__u32 len;  /* bytes of the stream that this record stands for */
	__u32 cap;  /* of them copied here; the others are lost */
	__u8 dir;   /* enum evt_dir */
	__u8 pad[7];
	__u8 data[];
};

struct evt_conn {
	struct evt_hdr h;
	__u64 conn;
	__u64 peer; /* Unix sockets: inode of the other end, 0 unknown */
	__u64 netns;
	__u16 family;        /* AF_INET, AF_INET6, AF_UNIX */
	__u16 local_port;    /* host order */
	__u16 remote_port;   /* host order */
	__u8 role;           /* enum conn_role */
	__u8 from_start;     /* no byte passed before this record */
	__u8 local_addr[16]; /* IPv4 in the first four bytes */
	__u8 remote_addr[16];
	__u64 tx_pos; /* positions before the call that made us see it; CHUNK_POS_SEQ in h.flags as for chunks
		       */
	__u64 rx_pos;
	char path[108]; /* Unix sockets: the bound path of either end, NUL-terminated if shorter; '@' for the
			   abstract NUL */
	__u8 pad[4];
};

struct evt_conn_close {
	struct evt_hdr h;
	__u64 conn;
	__u8 by_peer; /* end-of-file was read, as opposed to closed here */
	__u8 pad[7];
};

struct evt_proc {
	struct evt_hdr h; /* pid: the process itself (fork: the child) */
	__u32 ppid;
	__s32 exit_code; /* EVT_EXIT: as wait() encodes it */
	char comm[16];
};

/* EVT_EXEC: what was run, taken in the kernel because a short-lived process is gone before /proc is read. */
struct evt_exec {
	struct evt_proc p;
	__u32 args_len;     /* bytes of `args`: NUL-separated, cut at its end */
	char filename[128]; /* NUL-terminated */
	char args[380];
};

/* Why bytes did not arrive. */
enum loss_reason {
	LOSS_RING_FULL = 0,
	LOSS_FAULT = 1,     /* user memory could not be read */
	LOSS_TOO_LARGE = 2, /* the call moved more than one program run can copy */
	LOSS_UNSEEN =
		3, /* moved inside the kernel (sendfile, splice) or thrown away (MSG_TRUNC): no user memory */
	LOSS_NR,
};

struct loss {
	__u64 records, bytes;
};

/* Maps and constants that user space shares with the programs. */

#define CONN_FROM_START 0x1  /* connect(), accept() or socketpair() was seen */
#define CONN_CONNECTING 0x2  /* connect() is under way: `start` is not known yet */
#define CONN_ANNOUNCED  0x4  /* its EVT_CONN is in the ring */
#define CONN_EOF        0x8  /* its EVT_CONN_CLOSE by the peer is in the ring */
#define CONN_SEQ        0x10 /* TCP: positions are its sequence numbers; of others, counts */

/* Value of the map `conns`, by the socket's inode number. */
struct conn_state {
	__u32 verdict; /* enum conn_verdict; the only field that user space writes */
	__u16 family;
	__u8 role;
	__u8 flags;
	__u64 sk;       /* struct sock, for its sequence numbers */
	__u64 start[2]; /* by enum evt_dir: positions of the first byte not yet moved when first seen */
	__u64 moved[2]; /* bytes since then; without CONN_SEQ start + moved is the position */
	struct loss lost[LOSS_NR];
};

/* Value of the map `scope`, by thread group id. None: as the rest of the scope says. */
#define SCOPE_TREE     0x1  /* in, because of its pid or an ancestor's: kept over fork and exec */
#define SCOPE_COMM     0x2  /* in, because of its name: decided again at exec */
#define SCOPE_OUT      0x4  /* excluded by pid: kept over fork and exec */
#define SCOPE_OUT_COMM 0x8  /* excluded by name: decided again at exec */
#define SCOPE_SELF     0x10 /* evtrace: out, its children are not */
#define SCOPE_CMD      0x20 /* with SCOPE_TREE: of the processes that record ends with */

#define SCOPE_MAX 16 /* entries of each list below */

/* Constants of one run, written before load. */
struct scope_cfg {
	__u8 all; /* every process that is not excluded */
	__u8 cgroups_n, comms_n, not_comms_n, ports_n, not_ports_n;
	__u8 pad[2];
	__u64 comms[SCOPE_MAX][2]; /* zero-padded names, as two words */
	__u64 not_comms[SCOPE_MAX][2];
	__u16 ports[SCOPE_MAX]; /* host order */
	__u16 not_ports[SCOPE_MAX];
};

#ifndef __bpf__
_Static_assert(sizeof(struct evt_hdr) == 24, "layout");
_Static_assert(sizeof(struct evt_chunk) == 56, "layout");
_Static_assert(offsetof(struct evt_conn, tx_pos) == 88, "layout");
_Static_assert(sizeof(struct evt_conn) == 216, "layout");
_Static_assert(sizeof(struct evt_conn_close) == 40, "layout");
_Static_assert(sizeof(struct evt_proc) == 48, "layout");
_Static_assert(sizeof(struct evt_exec) == 560, "layout");
_Static_assert(offsetof(struct conn_state, lost) == 48, "layout");
_Static_assert(sizeof(struct scope_cfg) == 8 + 4 * 8 * SCOPE_MAX + 4 * SCOPE_MAX, "layout");
#endif

#endif
