/* Payload blocks: built in memory, appended to segments, read back and verified. The format is in block.h. */
#include "store/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/hash.h"

/* Level 1: 5-7 times smaller at 500 MB/s and more (facts: storage.md 1.4); higher levels win little here. */
#define ZSTD_LEVEL 1

static void put_le32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get_le64(const uint8_t *p)
{
	return get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

/* --- building --- */

struct raw_block *raw_block__new(uint64_t id)
{
	struct raw_block *b = calloc(1, sizeof(*b));

	if (b)
		b->id = id;
	return b;
}

void raw_block__free(struct raw_block *b)
{
	if (!b)
		return;
	buf_free(&b->raw);
	free(b);
}

size_t payload_size(struct span envelope, struct span body)
{
	return PAYLOAD_HEADER + envelope.n + body.n;
}

bool raw_block_fits(const struct raw_block *b, size_t n)
{
	return !b->raw.n || b->raw.n + n <= BLOCK_TARGET;
}

uint64_t raw_block_add(struct raw_block *b, uint8_t proto, struct span envelope, struct span body)
{
	uint8_t head[PAYLOAD_HEADER] = {proto};
	size_t off = b->raw.n;

	if (!buf_reserve(&b->raw, payload_size(envelope, body))) {
		b->raw.oom = false; /* what is in it is good; the next payload may be smaller */
		return 0;
	}
	put_le32(head + 4, (uint32_t)envelope.n);
	put_le32(head + 8, (uint32_t)body.n);
	buf_put(&b->raw, head, sizeof(head));
	buf_put_span(&b->raw, envelope);
	buf_put_span(&b->raw, body);
	b->payloads++;
	return b->id << 28 | off;
}

/* --- appending --- */

struct segments {
	char dir[PATH_MAX];
	int dir_fd, fd;
	uint32_t number;
	uint64_t offset, older; /* in the segment written to; in all others */
	ZSTD_CCtx *cctx;
	struct buf out;
};

static void segment_name(char *out, size_t n, uint32_t number)
{
	snprintf(out, n, "%06u", number);
}

static int open_segment(struct segments *s, uint32_t number)
{
	char name[16];
	int fd;

	segment_name(name, sizeof(name), number);
	fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600)) {
		int err = -errno;

		close(fd);
		return err;
	}
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	s->number = number;
	s->offset = 0;
	return 0;
}

/* Removes segments that no block refers to, and adds up those that stay. */
static int scan_segments(struct segments *s)
{
	struct dirent *d;
	int fd = dup(s->dir_fd);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		int err = -errno;

		if (fd >= 0)
			close(fd);
		return err;
	}
	while ((d = readdir(dir))) {
		struct stat st;
		char *end;
		unsigned long n = strtoul(d->d_name, &end, 10);

		if (*end || end == d->d_name || n == s->number)
			continue;
		if (n > s->number)
			unlinkat(s->dir_fd, d->d_name, 0);
		else if (!fstatat(s->dir_fd, d->d_name, &st, 0))
			s->older += (uint64_t)st.st_size;
	}
	closedir(dir);
	return 0;
}

/* Cuts off what a crash left behind @offset. A segment that is shorter (a power cut took its end) is left as
 * it is: the next one goes on. */
static int cut(struct segments *s, uint64_t offset)
{
	struct stat st;

	if (fstat(s->fd, &st))
		return -errno;
	if ((uint64_t)st.st_size > offset && ftruncate(s->fd, (off_t)offset))
		return -errno;
	if ((uint64_t)st.st_size >= offset) {
		s->offset = offset;
		return 0;
	}
	s->older += (uint64_t)st.st_size;
	return open_segment(s, s->number + 1);
}

int segments__open(const char *dir, uint32_t segment, uint64_t offset, struct segments **ret, struct err *e)
{
	struct segments *s = calloc(1, sizeof(*s));
	int err = -ENOMEM;

	if (!s)
		return err_set(e, err, "out of memory");
	s->dir_fd = s->fd = -1;
	s->cctx = ZSTD_createCCtx();
	if (!s->cctx)
		goto fail;
	err = store_join(s->dir, sizeof(s->dir), dir, STORE_BLOCKS, e);
	if (err)
		goto fail_quiet;
	if (!mkdir(s->dir, 0700) && chmod(s->dir, 0700)) {
		err = -errno;
		goto fail;
	}
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0) {
		err = -errno;
		goto fail;
	}
	err = open_segment(s, segment);
	if (!err)
		err = scan_segments(s);
	if (!err)
		err = cut(s, offset);
	if (err)
		goto fail;
	*ret = s;
	return 0;
fail:
	err_set(e, err, "cannot open the payload blocks in %s/%s: %s", dir, STORE_BLOCKS, strerror(-err));
fail_quiet:
	segments__free(s);
	return err;
}

void segments__free(struct segments *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	ZSTD_freeCCtx(s->cctx);
	buf_free(&s->out);
	free(s);
}

static int write_at(int fd, struct span s, uint64_t offset)
{
	while (s.n) {
		ssize_t n = pwrite(fd, s.p, s.n, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ENOSPC;
		s = span_sub(s, (size_t)n, s.n);
		offset += (uint64_t)n;
	}
	return 0;
}

/* Header and compressed bytes of @b into s->out. */
static int encode(struct segments *s, const struct raw_block *b)
{
	size_t bound = ZSTD_compressBound(b->raw.n), n;
	uint64_t sum;

	buf_clear(&s->out);
	if (!buf_reserve(&s->out, BLOCK_HEADER_SIZE + bound)) {
		s->out.oom = false;
		return -ENOMEM;
	}
	n = ZSTD_compressCCtx(s->cctx, s->out.p + BLOCK_HEADER_SIZE, bound, b->raw.p, b->raw.n, ZSTD_LEVEL);
	if (ZSTD_isError(n))
		return -ENOMEM; /* the only way it can fail with room for the bound */
	memcpy(s->out.p, BLOCK_MAGIC, 4);
	put_le32(s->out.p + 4, (uint32_t)n);
	put_le32(s->out.p + 8, (uint32_t)b->raw.n);
	put_le32(s->out.p + 12, b->payloads);
	sum = hash64(s->out.p + BLOCK_HEADER_SIZE, n, 0);
	put_le32(s->out.p + 16, (uint32_t)sum);
	put_le32(s->out.p + 20, (uint32_t)(sum >> 32));
	s->out.n = BLOCK_HEADER_SIZE + n;
	return 0;
}

int segments_append(struct segments *s, struct raw_block *b, struct err *e)
{
	int err = encode(s, b);

	if (!err && s->offset && s->offset + s->out.n > SEGMENT_MAX) {
		uint64_t full = s->offset;

		segments_sync(s);
		err = open_segment(s, s->number + 1);
		if (!err)
			s->older += full;
	}
	if (!err) {
		err = write_at(s->fd, buf_span(&s->out), s->offset);
		/* Half a block is of no use and takes room that may be what is missing. */
		if (err && ftruncate(s->fd, (off_t)s->offset))
			(void)0;
	}
	if (err == -EFBIG || err == -EDQUOT)
		err = -ENOSPC;
	if (err)
		return err_set(e, err, "cannot append to %s/%06u: %s", s->dir, s->number, strerror(-err));
	b->segment = s->number;
	b->offset = s->offset;
	b->stored_size = (uint32_t)(s->out.n - BLOCK_HEADER_SIZE);
	b->stored = true;
	s->offset += s->out.n;
	return 0;
}

int segments_sync(struct segments *s)
{
	return fdatasync(s->fd) ? -errno : 0;
}

uint64_t segments_size(const struct segments *s)
{
	return s->older + s->offset;
}

/* --- reading --- */

static int read_at(int fd, uint8_t *p, size_t n, uint64_t offset)
{
	while (n) {
		ssize_t got = pread(fd, p, n, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return -ENODATA;
		p += got;
		n -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

static int damaged(const struct block_place *p, const char *why, struct err *e)
{
	err_set(e, -EBADMSG, "payload block %llu is damaged (%s/%06u at byte %llu): %s",
		(unsigned long long)p->id, STORE_BLOCKS, p->segment, (unsigned long long)p->offset, why);
	err_hint(e, "its messages have lost their bodies; all others can be read");
	return -EBADMSG;
}

/* The catalogue's word is not taken for sizes: damage may be there as well. */
static bool sane(const struct block_place *p)
{
	return p->raw_size <= BLOCK_MAX_RAW && p->stored_size <= ZSTD_COMPRESSBOUND((size_t)BLOCK_MAX_RAW) &&
	       p->offset <= SEGMENT_MAX;
}

static int read_stored(const char *dir, const struct block_place *p, struct buf *scratch, struct err *e)
{
	char path[PATH_MAX];
	int fd, err;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s/%06u", dir, STORE_BLOCKS, p->segment) >= sizeof(path))
		return err_set(e, -ENAMETOOLONG, "the store's path is too long");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return damaged(p, "the file is gone", e);
	if (fd < 0) {
		err = -errno;
		return err_set(e, err, "cannot read %s: %s", path, strerror(-err));
	}
	buf_clear(scratch);
	if (!buf_reserve(scratch, BLOCK_HEADER_SIZE + p->stored_size)) {
		scratch->oom = false;
		err = err_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	err = read_at(fd, scratch->p, BLOCK_HEADER_SIZE + p->stored_size, p->offset);
	if (err == -ENODATA)
		err = damaged(p, "the file ends before it", e);
	else if (err)
		err_set(e, err, "cannot read %s: %s", path, strerror(-err));
	else
		scratch->n = BLOCK_HEADER_SIZE + p->stored_size;
out:
	close(fd);
	return err;
}

int block_read(
	const char *dir, const struct block_place *p, struct buf *scratch, struct buf *ret, struct err *e)
{
	const uint8_t *h;
	size_t n;
	int err;

	if (!sane(p))
		return damaged(p, "its place in the catalogue is impossible", e);
	err = read_stored(dir, p, scratch, e);
	if (err)
		return err;
	h = scratch->p;
	if (memcmp(h, BLOCK_MAGIC, 4) || get_le32(h + 4) != p->stored_size ||
		get_le32(h + 8) != p->raw_size || get_le32(h + 12) != p->payloads)
		return damaged(p, "its header is not what the catalogue says", e);
	if (get_le64(h + 16) != hash64(h + BLOCK_HEADER_SIZE, p->stored_size, 0))
		return damaged(p, "its checksum does not match", e);
	buf_clear(ret);
	if (!buf_reserve(ret, p->raw_size)) {
		ret->oom = false;
		return err_set(e, -ENOMEM, "out of memory");
	}
	n = ZSTD_decompress(ret->p, p->raw_size, h + BLOCK_HEADER_SIZE, p->stored_size);
	if (ZSTD_isError(n) || n != p->raw_size)
		return damaged(p, "it does not decompress", e);
	ret->n = n;
	return 0;
}

bool block_payload(struct span raw, size_t off, struct span *ret_envelope, struct span *ret_body)
{
	uint64_t envelope, body, left;

	if (off > raw.n || raw.n - off < PAYLOAD_HEADER)
		return false;
	envelope = get_le32(raw.p + off + 4);
	body = get_le32(raw.p + off + 8);
	left = raw.n - off - PAYLOAD_HEADER;
	if (envelope > left || body > left - envelope)
		return false;
	*ret_envelope = span_of(raw.p + off + PAYLOAD_HEADER, envelope);
	*ret_body = span_of(raw.p + off + PAYLOAD_HEADER + envelope, body);
	return true;
}
