/* Reads a file or a pipe from its beginning to its end, unpacked if it is packed (unpack.h), with any number
 * of bytes to look at first. */
#ifndef EVTRACE_CAPTURE_INPUT_H
#define EVTRACE_CAPTURE_INPUT_H

#include "base/buf.h"
#include "base/err.h"

struct unpack;

struct input {
	const char *path; /* borrowed: for messages */
	int fd;
	struct buf buf; /* bytes read and not skipped yet: from `head` */
	size_t head;
	uint64_t off;   /* of the first of them in the file, as it is unpacked */
	uint64_t total; /* of the file as it is, 0 unknown */
	int idle_ms;    /* of a pipe: input_peek() waits no longer; 0 for as long as it takes */
	bool regular;
	bool eof;
	bool cut; /* it was packed, and ends in the middle */
	struct unpack *unpack;
	struct buf packed; /* read, and not unpacked yet */
	uint64_t read;     /* bytes of the file as it is */
};

/* @path "-" is standard input. */
int input_open(struct input *in, const char *path, struct err *e);
void input_close(struct input *in);
/*
 * Makes the next @n bytes visible: 0, -ENODATA when the file ends before (*ret is what there is), -EBADMSG
 * when it cannot be unpacked, or what reading met: -EAGAIN nothing came for idle_ms, -EINTR a signal came
 * while a pipe had nothing. *ret is valid until the next call.
 */
int input_peek(struct input *in, size_t n, struct span *ret, struct err *e);
/* @n bytes that were peeked at are done with. */
void input_skip(struct input *in, size_t n);
/* It will not be read for a while: gives its memory back if it can be read again. */
void input_rest(struct input *in);
/* Bytes of the file that are done with. */
uint64_t input_done(const struct input *in);

#endif
