/* Reading: the catalogue beside a live writer, and payloads through a small cache of whole blocks. */
#include "store/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Blocks kept decompressed; beyond this many bytes the least recently used leave. One stays whatever its
 * size. */
#define CACHE_BLOCKS 8
#define CACHE_BYTES  (32u << 20)

struct cached {
	uint64_t id, used; /* id 0: free; used: the larger, the more recent */
	struct buf raw;
};

struct store {
	char path[PATH_MAX], file[PATH_MAX];
	sqlite3 *db;
	sqlite3_stmt *find_block;
	struct buf scratch;
	struct cached cache[CACHE_BLOCKS];
	uint64_t clock;
};

static int check_dir(const char *path, const char *file, struct err *e)
{
	struct stat st;

	if (stat(path, &st))
		return store_dir_missing(path, -errno, e);
	if (!S_ISDIR(st.st_mode))
		return store_dir_missing(path, -ENOTDIR, e);
	if (access(file, F_OK))
		return store_dir_missing(path, -errno, e);
	if (access(file, R_OK))
		return store_dir_missing(path, -errno, e);
	return 0;
}

int store__open(const char *path, bool writable, struct store **ret, struct err *e)
{
	struct store *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	if ((size_t)snprintf(s->path, sizeof(s->path), "%s", path) >= sizeof(s->path))
		err = err_set(e, -ENAMETOOLONG, "the store's path is too long");
	else
		err = store_join(s->file, sizeof(s->file), path, STORE_CATALOGUE, e);
	if (!err)
		err = check_dir(s->path, s->file, e);
	if (!err)
		err = catalogue_open_reader(s->path, s->file, writable, &s->db, e);
	if (!err) {
		int rc = sqlite3_prepare_v3(s->db,
			"SELECT segment,offset,stored_size,raw_size,payloads FROM block WHERE id=?", -1,
			SQLITE_PREPARE_PERSISTENT, &s->find_block, NULL);

		if (rc != SQLITE_OK)
			err = catalogue_err(s->db, rc, s->file, "read", e);
	}
	if (err) {
		store__close(s);
		return err;
	}
	*ret = s;
	return 0;
}

void store__close(struct store *s)
{
	if (!s)
		return;
	sqlite3_finalize(s->find_block);
	sqlite3_close_v2(s->db);
	buf_free(&s->scratch);
	for (size_t i = 0; i < CACHE_BLOCKS; i++)
		buf_free(&s->cache[i].raw);
	free(s);
}

sqlite3 *store_db(struct store *s)
{
	return s->db;
}

const char *store_path(const struct store *s)
{
	return s->path;
}

int store_recorder(const struct store *s)
{
	return store_lock_holder(s->path);
}

int store_sizes(struct store *s, struct store_sizes *ret, struct err *e)
{
	static const char *const suffix[] = {"", "-wal"};
	struct store_sizes n = {0};
	int64_t stored, raw;
	int err;

	err = catalogue_int(s->db, s->file, "SELECT sum(stored_size+24) FROM block", 0, &stored, e);
	if (!err)
		err = catalogue_int(s->db, s->file, "SELECT sum(raw_size) FROM block", 0, &raw, e);
	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_LEN(suffix); i++) {
		char path[PATH_MAX + 8];
		struct stat st;

		snprintf(path, sizeof(path), "%s%s", s->file, suffix[i]);
		if (!stat(path, &st))
			n.catalogue += (uint64_t)st.st_size;
	}
	n.blocks = (uint64_t)stored;
	n.payloads = (uint64_t)raw;
	*ret = n;
	return 0;
}

/* --- payloads --- */

static int locate(struct store *s, uint64_t id, struct block_place *ret, struct err *e)
{
	sqlite3_stmt *st = s->find_block;
	int rc;

	sqlite3_bind_int64(st, 1, (int64_t)id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = (struct block_place){
			.id = id,
			.segment = (uint32_t)sqlite3_column_int64(st, 0),
			.offset = (uint64_t)sqlite3_column_int64(st, 1),
			.stored_size = (uint32_t)sqlite3_column_int64(st, 2),
			.raw_size = (uint32_t)sqlite3_column_int64(st, 3),
			.payloads = (uint32_t)sqlite3_column_int64(st, 4),
		};
	sqlite3_reset(st);
	if (rc == SQLITE_ROW)
		return 0;
	if (rc == SQLITE_DONE)
		return err_set(e, -ENOENT, "payload block %llu is not in the store", (unsigned long long)id);
	return catalogue_err(s->db, rc, s->file, "read", e);
}

static struct cached *least_used(struct store *s)
{
	struct cached *c = &s->cache[0];

	for (size_t i = 1; i < CACHE_BLOCKS; i++)
		if (s->cache[i].used < c->used)
			c = &s->cache[i];
	return c;
}

static void drop(struct cached *c)
{
	buf_free(&c->raw);
	c->id = c->used = 0;
}

/* Frees the least recently used until the others, with the one to come, stay within the limit. */
static struct cached *make_room(struct store *s, size_t n)
{
	for (;;) {
		size_t total = n;
		struct cached *oldest = NULL;

		for (size_t i = 0; i < CACHE_BLOCKS; i++) {
			struct cached *c = &s->cache[i];

			total += c->raw.cap;
			if (c->raw.cap && (!oldest || c->used < oldest->used))
				oldest = c;
		}
		if (total <= CACHE_BYTES || !oldest)
			return least_used(s);
		drop(oldest);
	}
}

int store_block(struct store *s, uint64_t block_id, struct span *ret_raw, struct err *e)
{
	struct block_place place;
	struct cached *c;
	int err;

	for (size_t i = 0; block_id && i < CACHE_BLOCKS; i++)
		if (s->cache[i].id == block_id) {
			s->cache[i].used = ++s->clock;
			*ret_raw = buf_span(&s->cache[i].raw);
			return 0;
		}
	err = locate(s, block_id, &place, e);
	if (err)
		return err;
	c = make_room(s, place.raw_size);
	c->id = 0;
	err = block_read(s->path, &place, &s->scratch, &c->raw, e);
	if (err) {
		drop(c);
		return err;
	}
	c->id = block_id;
	c->used = ++s->clock;
	*ret_raw = buf_span(&c->raw);
	return 0;
}

int store_payload(
	struct store *s, uint64_t ref, struct span *ret_envelope, struct span *ret_body, struct err *e)
{
	struct span raw;
	int err;

	if (!ref)
		return err_set(e, -ENOENT, "this message has no payload in the store");
	err = store_block(s, payload_block(ref), &raw, e);
	if (err)
		return err;
	if (!block_payload(raw, (size_t)(ref & ((1u << 28) - 1)), ret_envelope, ret_body))
		return err_set(
			e, -EBADMSG, "payload %llu does not lie within its block", (unsigned long long)ref);
	return 0;
}
