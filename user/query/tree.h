/*
 * What led to a message and what it caused: the messages of its flow as a tree, by causality first and time
 * second. Each message stands under the strongest of its causes, at the copy whose consumer sent it; a
 * dead-lettered copy goes on as the copies of what it became.
 */
#ifndef EVTRACE_QUERY_TREE_H
#define EVTRACE_QUERY_TREE_H

#include "query/message.h"

#define TREE_MAX_DEPTH 48 /* what lies deeper is listed there, flat */
#define NO_NODE        SIZE_MAX

struct tree_node {
	struct msg *m;
	const struct msg_link *link; /* from `parent`; at a root: what it is to another message, or NULL */
	size_t parent, via;          /* a node and the index of its copy; NO_NODE */
	size_t child, next;          /* children, and its siblings */
};

struct tree {
	struct tree_node *nodes; /* oldest first */
	size_t n;
	uint64_t total; /* messages of the flow, in the tree or not */
};

/* The flow of message @id, at most @max messages: if there are more, those that links lead to soonest. */
int tree__new(struct loader *l, uint64_t id, size_t max, struct tree **ret, struct err *e);
void tree__free(struct tree *t);

enum tree_line_kind {
	LINE_ROOT,   /* a message that nothing in the tree caused */
	LINE_EFFECT, /* a message that its parent caused */
	LINE_COPY,   /* a copy of `node`; of the dead-letter message if node->link is such a link */
};

struct tree_line {
	enum tree_line_kind kind;
	const struct tree_node *node;
	const struct msg_copy *copy; /* LINE_COPY */
	int64_t at_ns;               /* sent, queued or delivered; 0 not known */
	unsigned depth;              /* 0: root */
	bool last[TREE_MAX_DEPTH];   /* for each level above and its own: nothing follows there */
};
/* Gives the lines from the top down. A return other than 0 stops and is returned. */
int tree_walk(const struct tree *t, int (*fn)(void *ctx, const struct tree_line *line), void *ctx);

#endif
