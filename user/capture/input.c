#include "capture/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
	if (S_ISREG(st.st_mode) && st.st_size > 0)
		in->total = (uint64_t)st.st_size;
	return 0;
}

void input_close(struct input *in)
{
	if (in->fd > STDIN_FILENO)
		close(in->fd);
	buf_free(&in->buf);
}

static int fill(struct input *in, size_t want, struct err *e)
{
	ssize_t n;

	buf_shift(&in->buf, in->head);
	in->head = 0;
	if (!buf_reserve(&in->buf, want > READ_SIZE ? want : READ_SIZE))
		return err_set(e, -ENOMEM, "cannot read %s: out of memory", in->path);
	n = read(in->fd, in->buf.p + in->buf.n, in->buf.cap - in->buf.n);
	if (n < 0)
		return err_set(e, -errno, "cannot read %s at byte %llu: %s", in->path,
			(unsigned long long)(in->off + in->buf.n), strerror(errno));
	in->eof = !n;
	in->buf.n += (size_t)n;
	return 0;
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
