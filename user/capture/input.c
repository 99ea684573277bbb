#include "capture/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/unpack.h"

#define READ_SIZE (256u << 10)

int input_open(struct input *in, const char *path, struct err *e)
{
	struct stat st;

	*in = (struct input){.path = path, .fd = STDIN_FILENO};
	if (strcmp(path, "-")) {
		in->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (in->fd < 0)
			return err_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	} else {
		in->path = "standard input";
	}
	if (fstat(in->fd, &st))
		return err_set(e, -errno, "cannot read %s: %s", in->path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return err_set(e, -EISDIR, "%s is a directory", in->path);
	in->regular = S_ISREG(st.st_mode);
	if (in->regular && st.st_size > 0)
		in->total = (uint64_t)st.st_size;
	return 0;
}

void input_close(struct input *in)
{
	if (in->fd > STDIN_FILENO)
		close(in->fd);
	buf_free(&in->buf);
	buf_free(&in->packed);
	unpack__free(in->unpack);
	in->unpack = NULL;
}

static int wait_for_more(struct input *in)
{
	struct pollfd p = {.fd = in->fd, .events = POLLIN};
	int n;

	if (in->regular || !in->idle_ms)
		return 0;
	n = poll(&p, 1, in->idle_ms);
	return n < 0 ? -errno : n ? 0 : -EAGAIN;
}

/* Appends what there is of the file to @b, @want bytes or more; *ret_n 0: its end. */
static int read_some(struct input *in, struct buf *b, size_t want, size_t *ret_n, struct err *e)
{
	ssize_t n;
	int err;

	if (!buf_reserve(b, want > READ_SIZE ? want : READ_SIZE))
		return err_set(e, -ENOMEM, "cannot read %s: out of memory", in->path);
	err = wait_for_more(in);
	if (err)
		return err_set(e, err, "cannot read %s: %s", in->path, strerror(-err));
	n = read(in->fd, b->p + b->n, b->cap - b->n);
	if (n < 0)
		return err_set(e, -errno, "cannot read %s at byte %llu: %s", in->path,
			(unsigned long long)in->read, strerror(errno));
	b->n += (size_t)n;
	in->read += (size_t)n;
	*ret_n = (size_t)n;
	return 0;
}

/* By its first bytes. */
static int find_packing(struct input *in, struct err *e)
{
	struct buf *b = &in->packed;
	bool known, end = false;
	int err = 0;

	while (!err && !end && b->n < UNPACK_PEEK) {
		size_t n = 0;

		err = read_some(in, b, 0, &n, e);
		end = !n;
	}
	if (err)
		return err;
	in->unpack = unpack__new(buf_span(b), &known);
	if (known && !in->unpack)
		return err_set(e, -ENOMEM, "cannot read %s: out of memory", in->path);
	if (!known) {
		in->buf = *b;
		*b = (struct buf){0};
	}
	return 0;
}

static int unpack_more(struct input *in, size_t want, struct err *e)
{
	struct span rest;
	size_t n = 0;
	bool end = false;
	int err = 0;

	if (!buf_reserve(&in->buf, want > READ_SIZE ? want : READ_SIZE))
		return err_set(e, -ENOMEM, "cannot read %s: out of memory", in->path);
	while (!err && !n && !end) {
		size_t got = 1;

		if (!in->packed.n) {
			err = read_some(in, &in->packed, 0, &got, e);
			if (err)
				return err;
		}
		rest = buf_span(&in->packed);
		err = unpack_some(in->unpack, &rest, in->buf.p + in->buf.n, in->buf.cap - in->buf.n, &n);
		buf_shift(&in->packed, in->packed.n - rest.n);
		end = !got && !n;
	}
	in->buf.n += n;
	in->eof = end;
	in->cut = end && !unpack_whole(in->unpack);
	if (!err || n) /* a damage shows up again when what stands before it has been read */
		return 0;
	if (err == -ENOMEM)
		return err_set(e, err, "cannot read %s: out of memory", in->path);
	return err_set(e, err, "%s is damaged: its %s data cannot be unpacked beyond byte %llu", in->path,
		unpack_name(in->unpack), (unsigned long long)(in->read - in->packed.n));
}

static int fill(struct input *in, size_t want, struct err *e)
{
	size_t n = 0;
	int err;

	buf_shift(&in->buf, in->head);
	in->head = 0;
	if (!in->read) {
		err = find_packing(in, e);
		in->eof = !err && !in->read;
		return err;
	}
	if (in->unpack)
		return unpack_more(in, want, e);
	err = read_some(in, &in->buf, want, &n, e);
	in->eof = !err && !n;
	return err;
}

int input_peek(struct input *in, size_t n, struct span *ret, struct err *e)
{
	int err;

	while (in->buf.n - in->head < n && !in->eof) {
		err = fill(in, n - (in->buf.n - in->head), e);
		if (err)
			return err;
	}
	*ret = span_sub(buf_span(&in->buf), in->head, n);
	return ret->n < n ? -ENODATA : 0;
}

void input_skip(struct input *in, size_t n)
{
	in->head += n;
	in->off += n;
}

void input_rest(struct input *in)
{
	if (!in->regular || in->unpack || lseek(in->fd, (off_t)in->off, SEEK_SET) < 0)
		return;
	buf_free(&in->buf);
	in->head = 0;
	in->read = in->off;
	in->eof = false;
}

uint64_t input_done(const struct input *in)
{
	return in->unpack ? in->read - in->packed.n : in->off;
}
