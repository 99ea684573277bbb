/*
 * What every source of bytes (the kernel's ring buffer, a record file, a pcap) gives, in one form and in one
 * order: the order in which things happened per connection and direction. A source calls the functions of a
 * `sink`; all pointers are borrowed for the call. A negative errno from the sink stops the source, which
 * returns it.
 *
 * Times are nanoseconds since the Unix epoch (the source converts); positions are 64-bit and do not wrap.
 */
#ifndef EVTRACE_CAPTURE_SINK_H
#define EVTRACE_CAPTURE_SINK_H

#include "base/span.h"

enum dir {
	DIR_TX = 0, /* the endpoint's own process wrote */
	DIR_RX = 1, /* it read */
};

enum role {
	ENDPOINT_UNKNOWN = 0,
	ENDPOINT_CLIENT = 1,
	ENDPOINT_SERVER = 2,
};

/* A process, reported before its first endpoint and again when it changed (exec). Strings are NUL-terminated,
 * "" unknown. */
struct proc_info {
	uint32_t pid;
	uint32_t ppid;
	int64_t start_ns; /* 0 unknown */
	const char *comm;
	const char *exe;
	const char *cmdline; /* arguments joined with spaces */
	const char *service; /* how its operator calls it: systemd unit, container, else the script's or
				executable's name */
	const char *cgroup;
};

/*
 * One end of a connection, as one process holds it. `id` is unique within the source's run. Both ends of a
 * local connection are two endpoints with mirrored addresses.
 */
struct endpoint_info {
	uint64_t id;
	uint32_t pid; /* 0: not known (pcap) */
	int64_t ts_ns;
	uint16_t family;
	uint64_t netns;
	uint8_t local_addr[16], remote_addr[16]; /* IPv4 in the first four bytes */
	uint16_t local_port, remote_port;
	const char *path; /* Unix sockets, else "" */
	uint64_t peer_id; /* Unix sockets: the other end's id, 0 unknown */
	enum role role;
	bool from_start; /* no byte passed before */
	uint64_t pos[2]; /* by enum dir: where the next byte of each direction stands; only if from_start */
};

struct chunk {
	uint64_t endpoint;
	enum dir dir;
	uint64_t pos;     /* of the first byte, in its direction; both ends of a TCP connection count alike */
	uint32_t len;     /* bytes of the stream that this chunk stands for */
	struct span data; /* data.n <= len: the last len - data.n bytes were lost */
	int64_t ts_ns;
	uint32_t pid, tid;
	uint64_t unit; /* goroutine or task where it can be read, else 0 */
};

/* Bytes known to be lost, when no chunk could say so (the ring was full, a pcap skips a segment). */
struct loss_info {
	uint64_t endpoint; /* 0: not known whose */
	int64_t ts_ns;
	uint64_t bytes, records;
	const char *reason;
};

struct sink {
	void *ctx;
	int (*proc)(void *ctx, const struct proc_info *p);
	int (*proc_exit)(void *ctx, uint32_t pid, int64_t ts_ns, int exit_code);
	int (*open)(void *ctx, const struct endpoint_info *e);
	int (*chunk)(void *ctx, const struct chunk *c);
	int (*close)(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer);
	int (*loss)(void *ctx, const struct loss_info *l);
	/* Time passes while nothing is seen (live), or the source's clock moved on (files): at least once a
	 * second of it. */
	int (*tick)(void *ctx, int64_t ts_ns);
};

/* What the user side decides about an endpoint; only a live source acts on it. */
enum verdict {
	VERDICT_WATCH, /* keep copying, not decided */
	VERDICT_TAKE,
	VERDICT_IGNORE,
};

#endif
