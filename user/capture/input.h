/* Reads a file or a pipe from its beginning to its end, with any number of bytes to look at first. */
#ifndef EVTRACE_CAPTURE_INPUT_H
#define EVTRACE_CAPTURE_INPUT_H

#include "base/buf.h"
#include "base/err.h"

struct input {
	const char *path; /* borrowed: for messages */
	int fd;
	struct buf buf; /* bytes read and not skipped yet: from `head` */
	size_t head;
	uint64_t off;   /* of the first of them in the file */
	uint64_t total; /* 0 unknown */
	bool eof;
};

/* @path "-" is standard input. */
int input_open(struct input *in, const char *path, struct err *e);
void input_close(struct input *in);
/* Makes the next @n bytes visible: 0, -ENODATA when the file ends before (*ret is what there is), or what
 * reading met (-EINTR: a signal came while a pipe had nothing). *ret is valid until the next call. */
int input_peek(struct input *in, size_t n, struct span *ret, struct err *e);
/* @n bytes that were peeked at are done with. */
void input_skip(struct input *in, size_t n);

#endif
