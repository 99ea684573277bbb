/*
 * Private to extract/: what the walkers of all formats share. A `walk` is one pass over one body; its path
 * buffer is built up and cut back as the walker enters and leaves names, so that a scalar costs no
 * allocation.
 */
#ifndef EVTRACE_EXTRACT_WALK_H
#define EVTRACE_EXTRACT_WALK_H

#include "extract/extract.h"

#define WALK_MAX_PATH    256
#define WALK_MAX_DEPTH   64
#define WALK_MAX_SCALARS 65536

struct walk {
	scalar_fn fn;
	void *ctx;
	uint32_t left; /* scalars that may still be given out */
	bool stop;     /* the caller has seen enough, or `left` ran out: then `full` */
	bool full;
	uint16_t n;    /* bytes of `path` */
	uint16_t leaf; /* where its last name begins */
	char path[WALK_MAX_PATH];
};

/* Each appends to the path as much as fits; to undo, put `n` back. */
void walk_push_name(struct walk *w, char sep, struct span name);
void walk_push_index(struct walk *w, uint32_t index);

/* Gives one scalar to the caller; the leaf is the path from `leaf` to the end or its first '['. */
void walk_emit(struct walk *w, struct span value, enum scalar_type type);

int json_walk(struct walk *w, struct span body);
int xml_walk(struct walk *w, struct span body);
int form_walk(struct walk *w, struct span body);
int text_walk(struct walk *w, struct span body);

/* Without spaces, tabs and line ends on either side. */
struct span span_trim(struct span s);

/* What a name says about the value it has: see classify.c. */
#define ID_MAX_VALUE 128 /* longer values are content, not identifiers */

/*
 * Class of @value under the name @leaf. Writes the canonical form into @out (ID_MAX_VALUE bytes) and its
 * length into *ret_n, unless the class is ID_NONE.
 */
enum id_class classify(struct span leaf, struct span value, enum scalar_type type, char *out, size_t *ret_n);

#endif
