/* Between source.c, which says what a file is, and the readers of each kind. */
#ifndef EVTRACE_CAPTURE_SOURCE_H
#define EVTRACE_CAPTURE_SOURCE_H

#include "capture/flows.h"
#include "capture/input.h"
#include "capture/recfile.h"

/* A reader of one kind of file. */
struct source_kind {
	const char *name;
	/* @head: the file's first 16 bytes, or fewer if that is all. */
	bool (*is_mine)(struct span head);
	/* Reads what stands before the first record; fills in what @info holds. Sets s->state. */
	int (*begin)(struct source *s, struct source_info *info, struct err *e);
	/* Reads one record and gives it to the sink. -ENODATA at the end. */
	int (*next)(struct source *s, const struct sink *sink, struct err *e);
	/* Captures: the time of the packet that next() will give; reads what stands before it. NULL for a
	 * kind that is complete by itself and not merged with others. */
	int (*when)(struct source *s, int64_t *ret_ns, struct err *e);
	void (*free)(void *state); /* NULL is fine */
};

struct source {
	const struct source_kind *kind;
	struct input in;
	void *state;
	struct flows *flows; /* captures: of the run, shared by those that are read as one */
	uint64_t records;
	int64_t last_ns; /* captures: time of the last packet */
	struct source_short cut_short;
	bool cut;
	/* while it runs */
	int64_t next_ns; /* of the packet that is due */
	bool idle, live; /* nothing came at the last look; its clock is this host's */
	bool ended;
	int result; /* how reading it ended */
	struct err error;
};

extern const struct source_kind source_recfile, source_pcap, source_pcapng;

/* Peeks at the next @n bytes; a file that ends inside of them was cut (-ENODATA, s->cut). */
int source_need(struct source *s, size_t n, struct span *ret, struct err *e);
/* -EBADMSG: the file is damaged at the byte where reading stands. */
int source_damaged(const struct source *s, const char *what, struct err *e);
/* The sink returned @err. */
int source_stopped(const struct source *s, int err, struct err *e);

/* foreign.c: says what a file is that is none of ours, and what to do about it. -EINVAL */
int source_foreign(const struct input *in, struct span head, struct err *e);

#endif
