/*
 * A parsed query, private to query/: a tree of AND, OR and NOT over leaves. Leaves are numbered; what is
 * known of each while one message is looked at is kept beside (match.c).
 */
#ifndef EVTRACE_QUERY_NODE_H
#define EVTRACE_QUERY_NODE_H

#include "base/buf.h"
#include "query/pattern.h"
#include "query/query.h"
#include "query/value.h"

#define QUERY_MAX_TEXT   16384
#define QUERY_MAX_LEAVES 128
#define QUERY_MAX_NODES  (4 * QUERY_MAX_LEAVES)
#define QUERY_MAX_DEPTH  64

enum leaf_kind {
	LEAF_WORD,  /* anywhere */
	LEAF_FIELD, /* name op value */
	LEAF_HAS,   /* a field of that name is there */
	LEAF_TOPIC, /* exchange, routing key or queue */
	LEAF_EXCHANGE,
	LEAF_KEY,
	LEAF_QUEUE,   /* also of a group: "topic/group" */
	LEAF_MID,     /* the broker's own id */
	LEAF_SERVICE, /* the sender's, or a consumer's */
	LEAF_STATE,   /* of the message or of one of its copies */
	LEAF_ID,
	LEAF_SINCE,
	LEAF_UNTIL,
	LEAF_FLAG, /* has:truncated, has:gap */
};

enum leaf_op {
	CMP_EQ,
	CMP_NE, /* the field is there, and no value of it is equal */
	CMP_LT,
	CMP_LE,
	CMP_GT,
	CMP_GE,
};

struct leaf {
	enum leaf_kind kind;
	enum leaf_op op;
	size_t at;           /* where it stands in the text */
	struct buf name;     /* LEAF_FIELD, LEAF_HAS */
	struct buf value;    /* as typed, without quotes and escapes */
	struct pattern pat;  /* of the value */
	bool number;         /* `dec` is set */
	struct decimal dec;  /* of the value; borrows from `value` */
	struct span literal; /* folded; every text that can make this leaf true contains it; may be empty */
	uint32_t states;     /* LEAF_STATE: bits of enum msg_state */
	unsigned with;       /* LEAF_STATE: of the copy in the queue of leaf `with` - 1; 0: of any */
	uint64_t id;
	int64_t ns;
	uint32_t flags;
};

enum node_kind {
	NODE_LEAF,
	NODE_AND,
	NODE_OR,
	NODE_NOT,
};

struct node {
	enum node_kind kind;
	uint16_t a, b; /* nodes; NODE_LEAF: a is the leaf */
};

struct query {
	char *text;
	size_t text_n;
	struct node nodes[QUERY_MAX_NODES];
	struct leaf leaves[QUERY_MAX_LEAVES];
	size_t nodes_n, leaves_n;
	int root; /* -1: everything matches */
};

#endif
