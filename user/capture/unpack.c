#include "capture/unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define WINDOW_LOG_MAX 27        /* 128 MiB: what the zstd command itself accepts */
#define GZIP_WINDOW    (15 + 16) /* the largest, with gzip's header */

struct unpack {
	bool zstd, whole;
	bool trailing; /* only padding stands behind the last member */
	int err;       /* the first one, which stays */
	z_stream z;
	ZSTD_DStream *zs;
};

static bool is_gzip(struct span head)
{
	return head.n >= 3 && !memcmp(head.p, "\x1f\x8b\x08", 3);
}

/* A frame, or a skippable one, which may stand first (RFC 8878, 3.1.2). */
static bool is_zstd(struct span head)
{
	return head.n >= 4 && (!memcmp(head.p, "\x28\xb5\x2f\xfd", 4) ||
				      ((head.p[0] & 0xf0) == 0x50 && !memcmp(head.p + 1, "\x2a\x4d\x18", 3)));
}

struct unpack *unpack__new(struct span head, bool *ret_known)
{
	struct unpack *u;
	bool ok;

	*ret_known = is_gzip(head) || is_zstd(head);
	u = *ret_known ? calloc(1, sizeof(*u)) : NULL;
	if (!u)
		return NULL;
	u->zstd = is_zstd(head);
	if (u->zstd) {
		u->zs = ZSTD_createDStream();
		ok = u->zs &&
		     !ZSTD_isError(ZSTD_DCtx_setParameter(u->zs, ZSTD_d_windowLogMax, WINDOW_LOG_MAX));
	} else {
		ok = inflateInit2(&u->z, GZIP_WINDOW) == Z_OK;
	}
	if (ok)
		return u;
	unpack__free(u);
	return NULL;
}

void unpack__free(struct unpack *u)
{
	if (!u)
		return;
	if (u->zstd)
		ZSTD_freeDStream(u->zs);
	else
		inflateEnd(&u->z);
	free(u);
}

const char *unpack_name(const struct unpack *u)
{
	return u->zstd ? "zstd" : "gzip";
}

/* Called without input too, for what the library holds back when the output was full. */
static int some_zstd(struct unpack *u, struct span *in, uint8_t *out, size_t room, size_t *ret_n)
{
	ZSTD_inBuffer i = {in->p, in->n, 0};
	ZSTD_outBuffer o = {out, room, 0};
	int err = 0;

	do {
		size_t before = i.pos + o.pos, r = ZSTD_decompressStream(u->zs, &o, &i);

		if (ZSTD_isError(r))
			err = -EBADMSG;
		else if (i.pos + o.pos > before)
			u->whole = !r;
	} while (!err && i.pos < i.size && o.pos < o.size);
	*in = span_sub(*in, i.pos, SIZE_MAX);
	*ret_n = o.pos;
	return err;
}

/* What gzip itself ignores at the end: zeros that tapes and block devices leave. */
static int skip_padding(struct unpack *u, struct span *in)
{
	while (in->n && !in->p[0])
		*in = span_sub(*in, 1, SIZE_MAX);
	u->trailing = true;
	return in->n ? -EBADMSG : 0;
}

static int inflate_once(struct unpack *u, struct span *in)
{
	uint32_t n = (uint32_t)(in->n < UINT32_MAX ? in->n : UINT32_MAX);
	int r;

	u->z.next_in = (Bytef *)(uintptr_t)in->p;
	u->z.avail_in = n;
	r = inflate(&u->z, Z_NO_FLUSH);
	*in = span_sub(*in, n - u->z.avail_in, SIZE_MAX);
	if (r == Z_STREAM_END)
		inflateReset(&u->z);
	else if (r != Z_OK && r != Z_BUF_ERROR)
		return r == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
	u->whole = r == Z_STREAM_END;
	return 0;
}

static int some_gzip(struct unpack *u, struct span *in, uint8_t *out, size_t room, size_t *ret_n)
{
	int err = 0;

	u->z.next_out = out;
	u->z.avail_out = (uInt)(room < UINT32_MAX ? room : UINT32_MAX);
	do {
		if (u->trailing || (u->whole && in->n && !in->p[0]))
			err = skip_padding(u, in);
		else if (!u->whole || in->n)
			err = inflate_once(u, in);
	} while (!err && in->n && u->z.avail_out);
	*ret_n = room - u->z.avail_out;
	return err;
}

int unpack_some(struct unpack *u, struct span *in, uint8_t *out, size_t room, size_t *ret_n)
{
	*ret_n = 0;
	if (!u->err)
		u->err = u->zstd ? some_zstd(u, in, out, room, ret_n) : some_gzip(u, in, out, room, ret_n);
	return u->err;
}

bool unpack_whole(const struct unpack *u)
{
	return u->whole;
}
