/*
 * Files as sources. A record file (`record --raw`, `import`) holds what a source gave, in order, and gives
 * the same calls again: the whole user side runs on it without root, with identical results. All integers
 * little-endian; each record carries a length and a checksum, so a file cut by a crash reads up to its last
 * whole record. A login's secret is not in it where its protocol is decoded (recfile_mask); all other bytes
 * are as they passed.
 */
#ifndef EVTRACE_CAPTURE_RECFILE_H
#define EVTRACE_CAPTURE_RECFILE_H

#include "base/err.h"
#include "capture/sink.h"

#define RECFILE_VERSION 1

struct recfile;

/* Creates @path (0600; refuses to overwrite). @scope and @host describe the recording. */
int recfile__create(
	const char *path, const char *scope, const char *host, struct recfile **ret, struct err *e);
/* A sink that passes what it is given on to @next (which may be NULL), and then writes it. */
void recfile_sink(struct recfile *r, const struct sink *next, struct sink *ret);
/*
 * @n bytes of an endpoint at @pos are a login's secret: asterisks stand for them in the file, whether they
 * have come already or will come while the endpoint is open. To be called by what @next leads to. What has
 * come in the last 1.5 s of the source's time, or 32 MiB, has not been written yet, so the secret never is;
 * older bytes, among the last 256 Ki chunks, are overwritten in the file. What is older still stays.
 */
void recfile_mask(struct recfile *r, uint64_t endpoint, enum dir d, uint64_t pos, uint64_t n);
/* Flushes and closes; reports the first write error (disk full: the file is good up to there). NULL is fine.
 */
int recfile__close(struct recfile *r, struct err *e);

#define SOURCE_PEEK 16 /* bytes that tell what a file is */

/* How far reading is, in bytes of the files as they are. */
struct progress {
	uint64_t done, total; /* total: 0 unknown (a pipe) */
	uint64_t records;
	bool idle; /* nothing has come for a moment */
};
/* Called now and then while reading, and while a pipe has nothing. A negative errno ends it. */
typedef int (*source_progress)(void *ctx, const struct progress *p);

struct source_info {
	char kind[16]; /* "record file", "pcap", "pcapng" */
	char scope[256], host[64];
	int64_t first_ns; /* of the recording, or of the first packet; 0: it holds none */
	bool capture;     /* pcap, pcapng: several can be read as one */
};

/*
 * Opens @path ("-": standard input), packed by gzip or zstd or not, and says what it is by its first bytes.
 * -EINVAL neither a record file nor a capture; -EPROTO a record file of a newer evtrace, or a kind of capture
 * that is not read; -EBADMSG one of them, but damaged at its very beginning; else why it cannot be read.
 */
struct source;
int source__open(const char *path, struct source **ret, struct source_info *ret_info, struct err *e);
/* Feeds @sink with everything. -EBADMSG: damaged at a byte that @e names; what stood before has been given.
 * @progress may be NULL; without it a signal that interrupts reading ends it (-EINTR). */
int source_run(struct source *s, const struct sink *sink, source_progress progress, void *ctx, struct err *e);
/*
 * Several captures as one: their packets in order of time, those of one file in its own order, and
 * connections go on from one file to the next. (One file of any kind is fine, too.) What is wrong with one of
 * them does not stop the others: source_result(). Returns what stopped all of it.
 */
int source_run_all(struct source *const *s, size_t n, const struct sink *sink, source_progress progress,
	void *ctx, struct err *e);
/* After that: 0, -EBADMSG, ... */
int source_result(const struct source *s, struct err *e);
/* Packets of a capture that were not recorded as a whole: a snapshot length. */
struct source_short {
	uint64_t packets, bytes; /* bytes: that are missing */
};
struct source_short source_short(const struct source *s);
/* After running: the file ends in the middle of a record, whose beginning is at source_offset(). */
bool source_was_cut(const struct source *s);
uint64_t source_offset(const struct source *s);
bool source_is_pipe(const struct source *s); /* or anything else that has to be waited for */
void source__close(struct source *s);

#endif
