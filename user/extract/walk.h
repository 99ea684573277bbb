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
#define WALK_MAX_HEX     64 /* bytes that are no text are given out in hex up to here */

struct walk {
	scalar_fn fn; /* NULL: only looking whether the body has this form */
	void *ctx;
	uint32_t left; /* scalars that may still be given out */
	bool stop;     /* the caller has seen enough, or `left` ran out: then `full` */
	bool full;
	uint8_t layers;  /* documents inside of values that may still be entered */
	uint8_t inside;  /* those that were */
	uint32_t unpack; /* bytes that may still be unpacked on the way */
	uint16_t n;      /* bytes of `path` */
	uint16_t leaf;   /* where its last name begins */
	char path[WALK_MAX_PATH];
};

/* Each appends to the path as much as fits; to undo, put `n` back. */
void walk_push_name(struct walk *w, char sep, struct span name);
void walk_push_index(struct walk *w, uint32_t index);

/* Gives one scalar to the caller; the leaf is the path from `leaf` to the end or its first '['. */
void walk_emit(struct walk *w, struct span value, enum scalar_type type);

/* The same for values that are not text as they stand. */
void walk_int(struct walk *w, int64_t v);
void walk_uint(struct walk *w, uint64_t v);
void walk_double(struct walk *w, double v);
void walk_bool(struct walk *w, bool v);
void walk_null(struct walk *w);
/* A text, and what is in it when it is a document or base64 of one. */
void walk_text(struct walk *w, struct span s);
/* Bytes that may be text, a packed or a plain document, or neither: then their hex, if they are few. */
void walk_bytes(struct walk *w, struct span s);

/* What is in the text @s, if it is a document or base64 of one; nothing is given out for @s itself. */
void walk_inside_text(struct walk *w, struct span s);
/* Walks @body of which nothing is known but that it may be a document; false when it is none. */
bool walk_inside_bytes(struct walk *w, struct span body);

/* One format each; 0, or -EBADMSG after what could be read. */
int json_walk(struct walk *w, struct span body);
int xml_walk(struct walk *w, struct span body);
int form_walk(struct walk *w, struct span body);
int text_walk(struct walk *w, struct span body);
int msgpack_walk(struct walk *w, struct span body);
int protobuf_walk(struct walk *w, struct span body);
int avro_walk(struct walk *w, struct span body);
int avro_file_walk(struct walk *w, struct span body);
int pickle_walk(struct walk *w, struct span body);
int format_walk(struct walk *w, struct span body, enum body_format fmt);

/*
 * Has @body this form? By content alone these must parse to the end, or up to a cut after much that fits;
 * with @hinted, when a content type says so, less is asked for.
 */
bool is_msgpack(struct span body, bool hinted);
bool is_protobuf(struct span body, bool hinted);
bool is_avro(struct span body); /* behind the magic byte and a schema's number */
bool is_pickle(struct span body);

/* A walk that gives out nothing: for the above. */
void walk_dry(struct walk *w);

/* --- frames and layers --- */

/* Confluent's and Apicurio's frame: a zero byte, a schema's number, what follows. */
struct schema_frame {
	uint64_t id;
	struct span payload;
};
bool schema_frame(struct span body, struct schema_frame *ret);

/* Of a body in BODY_AVRO's form. */
enum avro_standing {
	AVRO_READ,    /* it has the form of its schema */
	AVRO_OTHER,   /* it has not */
	AVRO_UNKNOWN, /* no schema with this number was given or seen */
};
enum avro_standing avro_standing(struct span body, uint64_t *ret_id);

/* How much @n packed bytes may become, when @left bytes may still be unpacked: real texts shrink to a
 * hundredth at best, bombs to a thousandth. */
size_t unpack_limit(size_t n, size_t left);

/* body_open() within the budgets of an outer walk; @left is reduced by what was unpacked. */
void body_open_within(
	struct body *b, struct span bytes, const struct body_hints *hints, unsigned layers, uint32_t *left);

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
