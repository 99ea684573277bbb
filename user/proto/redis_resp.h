/*
 * RESP2 and RESP3 without a connection: an incremental reader of values, inline commands, and the search for
 * a boundary. Bytes are consumed as they come; a value that is cut keeps what was wanted of it in an arena,
 * one that lies in one piece is never copied.
 */
#ifndef EVTRACE_PROTO_REDIS_RESP_H
#define EVTRACE_PROTO_REDIS_RESP_H

#include "base/buf.h"

/* Caps. A value beyond them is still consumed to its end, but not kept whole. */
#define RESP_DEPTH_MAX  64u
#define RESP_NODES_MAX  (1u << 18)
#define RESP_ARENA_MAX  (64u << 20)
#define RESP_LINE_MAX   (64u << 10) /* simple strings, errors, inline commands: redis' own cap */
#define RESP_COUNT_MAX  (1ll << 31) /* elements of an aggregate */
#define RESP_BULK_MAX   (1ll << 40) /* proto-max-bulk-len can be raised far above its 512 MiB */
#define RESP_HEADER_MAX 32u         /* "$1234\r\n" */

/* A value: the type byte of the wire, '$' also for a streamed string, 'i' for an inline command. */
struct node {
	uint8_t type;
	bool null;        /* "$-1", "*-1", "_" */
	bool kept;        /* its bytes are in the arena */
	bool gap;         /* bytes of it were lost */
	bool clipped;     /* `at` holds only its beginning */
	uint32_t end;     /* index behind its last descendant */
	uint32_t n;       /* aggregates: direct children kept */
	uint64_t size;    /* strings: as declared; aggregates: number of children */
	int64_t i;        /* ':' */
	const uint8_t *p; /* not kept: into the span under parse */
	size_t off, len;  /* kept: into the arena */
};

struct level {
	uint64_t left;
	uint32_t node; /* UINT32_MAX: not kept */
	bool streamed; /* until "." */
	bool attr;     /* does not count as a child of the level above */
};

enum resp_status {
	RESP_MORE, /* all of data is consumed but the beginning of a line */
	RESP_DONE, /* one value is there; resp_clear() before the next */
	RESP_BAD,  /* not RESP here */
};

struct resp {
	/* Called when the size of a direct child of the top level is known, before its bytes; may clear
	 * `wanted`. NULL: nobody cares. */
	void (*on_child)(void *ctx, uint32_t index, uint64_t pos, uint64_t size);
	void *ctx;
	size_t limit; /* bytes kept of a string */
	bool wanted;  /* keep what comes */
	uint64_t start, end;

	struct node *v;
	uint32_t n, cap;
	struct buf arena;
	bool lost_some; /* a cap was met: children are missing */

	struct level level[RESP_DEPTH_MAX];
	unsigned depth;
	uint32_t child;  /* of the top level, so far */
	uint32_t copied; /* nodes before this one are in the arena, if anything of them is kept */
	bool begun;
	/* a string that is being read */
	bool in_bulk, chunked;
	uint64_t left;  /* of its bytes */
	unsigned crlf;  /* bytes of its CRLF that are due */
	uint32_t bulk;  /* its node, UINT32_MAX: not kept */
	size_t scanned; /* of the line at the end: no CRLF before */
};

enum resp_status resp_feed(struct resp *r, uint64_t pos, struct span data, size_t *ret_consumed);
void resp_clear(struct resp *r);
void resp_free(struct resp *r);
/* @n bytes are missing at the position reached. True when they lie inside a string whose size is known, so
 * that reading goes on behind them. */
bool resp_skip(struct resp *r, uint64_t n);

/* An inline command: a line without its CRLF, split and unquoted as redis does. False: unbalanced quotes. */
bool resp_inline(struct resp *r, struct span line);

struct span resp_text(const struct resp *r, const struct node *n);
/* The child of an aggregate, NULL beyond the last one kept. O(children). */
const struct node *resp_child(const struct resp *r, const struct node *n, uint32_t index);
const struct node *resp_next(const struct resp *r, const struct node *n);

static inline bool resp_is_text(const struct node *n)
{
	return n && !n->null && (n->type == '$' || n->type == '+' || n->type == '=');
}

static inline bool resp_is_list(const struct node *n)
{
	return n && !n->null && (n->type == '*' || n->type == '>' || n->type == '~' || n->type == '%');
}

static inline bool resp_is_error(const struct node *n)
{
	return n && (n->type == '-' || n->type == '!');
}

/*
 * Does @s begin with a command as clients send it: an array of strings? Its first word is in *ret_word, empty
 * while it is cut. -1 no, 0 as far as it goes, 1 all of it (then *ret_len).
 */
int resp_command(struct span s, struct span *ret_word, size_t *ret_len);
/* Does @s begin with a value? -1, 0, 1 as above. */
int resp_value(struct span s, size_t *ret_len);

#endif
