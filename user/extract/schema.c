/* The table of schemas. */
#include "extract/schema.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/number.h"
#include "extract/extract.h"

#define MAX_SCHEMAS 4096
#define MAX_TEXT    (64 * 1024)
#define MAX_TOTAL   (8 * 1024 * 1024)
#define MAX_SAME_ID 4 /* schemas of other registries */
#define MAX_FILE    (64 * 1024 * 1024)

static struct {
	struct schema *list; /* by id, then as they came */
	size_t n, cap, bytes;
} table;

static size_t lower_bound(uint64_t id)
{
	size_t lo = 0, hi = table.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (table.list[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct schema *schemas_find(uint64_t id, unsigned nth)
{
	size_t at = table.n ? lower_bound(id) + nth : 0;

	return at < table.n && table.list[at].id == id ? &table.list[at] : NULL;
}

static bool make_room(void)
{
	size_t cap = table.cap ? 2 * table.cap : 64;
	struct schema *list;

	if (table.n < table.cap)
		return true;
	list = realloc(table.list, cap * sizeof(*list));
	if (!list)
		return false;
	table.list = list;
	table.cap = cap;
	return true;
}

int schemas_learn(uint64_t id, enum schema_kind kind, struct span text)
{
	struct schema sc = {.id = id, .kind = kind, .hash = hash_span(text, kind)};
	const struct schema *known;
	size_t at;
	unsigned same = 0;

	for (; (known = schemas_find(id, same)); same++)
		if (known->hash == sc.hash)
			return 0;
	if (text.n > MAX_TEXT || table.n >= MAX_SCHEMAS || same >= MAX_SAME_ID ||
		table.bytes + text.n > MAX_TOTAL)
		return -E2BIG;
	if (!make_room())
		return -ENOMEM;
	if (kind == SCHEMA_AVRO && !(sc.avro = avro__parse(text)))
		return -EBADMSG;
	at = lower_bound(id) + same;
	memmove(table.list + at + 1, table.list + at, (table.n - at) * sizeof(*table.list));
	table.list[at] = sc;
	table.n++;
	table.bytes += text.n;
	return 1;
}

void schemas_clear(void)
{
	for (size_t i = 0; i < table.n; i++)
		avro__free(table.list[i].avro);
	free(table.list);
	memset(&table, 0, sizeof(table));
}

/* --- records --- */

struct record {
	uint64_t id;
	bool has_id, has_schema;
	enum schema_kind kind;
	struct buf subject, schema;
};

static bool on_scalar(void *ctx, const struct scalar *s)
{
	struct record *r = ctx;
	char digits[24];

	if (span_is(s->path, "id") && s->value.n < sizeof(digits)) {
		memcpy(digits, s->value.p, s->value.n);
		digits[s->value.n] = '\0';
		r->has_id = !parse_u64(digits, 1, UINT32_MAX, &r->id);
	} else if (span_is(s->path, "schema") && s->type == SCALAR_STRING) {
		buf_clear(&r->schema);
		buf_put_span(&r->schema, s->value);
		r->has_schema = true;
	} else if (span_is(s->path, "subject")) {
		buf_clear(&r->subject);
		buf_put_span(&r->subject, s->value);
	} else if (span_is(s->path, "schemaType")) {
		r->kind = span_is(s->value, "PROTOBUF") ? SCHEMA_PROTOBUF
			  : span_is(s->value, "JSON")   ? SCHEMA_JSON
							: SCHEMA_AVRO;
	}
	return true;
}

static void put_line(struct buf *out, const struct record *r)
{
	static const char *const kinds[] = {"AVRO", "JSON", "PROTOBUF"};
	struct json j = {.out = out};

	json_obj(&j);
	json_kv_span(&j, "subject", buf_span(&r->subject));
	json_kv_int(&j, "id", (int64_t)r->id);
	json_kv_str(&j, "schemaType", kinds[r->kind]);
	json_kv_span(&j, "schema", buf_span(&r->schema));
	json_obj_end(&j);
	buf_putc(out, '\n');
}

int schemas_learn_record(struct span json, struct buf *ret_line)
{
	struct record r = {.kind = SCHEMA_AVRO};
	int err = 0;

	if (json.n > 4 * MAX_TEXT || body_format(json, SPAN_EMPTY) != BODY_JSON)
		return 0;
	body_walk(json, BODY_JSON, on_scalar, &r);
	if (r.has_id && r.has_schema && buf_ok(&r.schema) && buf_ok(&r.subject)) {
		err = schemas_learn(r.id, r.kind, buf_span(&r.schema));
		if (err > 0 && ret_line)
			put_line(ret_line, &r);
	}
	buf_free(&r.schema);
	buf_free(&r.subject);
	return err;
}

/* --- files --- */

static int read_file(const char *path, struct buf *ret)
{
	FILE *f = fopen(path, "re");
	size_t n = 0;
	int err = 0;

	buf_clear(ret);
	if (!f)
		return -errno;
	do {
		if (!buf_reserve(ret, 65536)) {
			err = -ENOMEM;
			break;
		}
		n = fread(ret->p + ret->n, 1, 65536, f);
		ret->n += n;
	} while (n && ret->n < MAX_FILE);
	if (!err && ferror(f))
		err = -EIO;
	fclose(f);
	return err;
}

/* "17.avsc": its number, and the kind by the ending. */
static bool name_says(const char *name, uint64_t *ret_id, enum schema_kind *ret_kind)
{
	static const char *const endings[] = {".avsc", ".json", ".proto"};
	const char *dot = strrchr(name, '.');
	char digits[24];

	if (!dot || dot == name || (size_t)(dot - name) >= sizeof(digits))
		return false;
	memcpy(digits, name, (size_t)(dot - name));
	digits[dot - name] = '\0';
	if (parse_u64(digits, 1, UINT32_MAX, ret_id))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (!strcmp(dot, endings[i])) {
			*ret_kind = (enum schema_kind)i;
			return true;
		}
	return false;
}

static int load_directory(DIR *d, const char *path, unsigned *ret_bad)
{
	struct buf text = {0}, file = {0};
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d))) {
		enum schema_kind kind;
		uint64_t id;
		int r;

		if (!name_says(e->d_name, &id, &kind))
			continue;
		buf_clear(&file);
		buf_printf(&file, "%s/%s", path, e->d_name);
		r = read_file(buf_cstr(&file), &text);
		if (!r)
			r = schemas_learn(id, kind, buf_span(&text));
		n += r > 0;
		*ret_bad += r < 0;
	}
	buf_free(&text);
	buf_free(&file);
	return n;
}

static int load_records(const char *path, unsigned *ret_bad)
{
	struct buf text = {0};
	int n = read_file(path, &text);
	struct span rest = buf_span(&text);

	while (n >= 0 && rest.n) {
		const uint8_t *lf = memchr(rest.p, '\n', rest.n);
		size_t len = lf ? (size_t)(lf - rest.p) : rest.n;
		int r = schemas_learn_record(span_sub(rest, 0, len), NULL);

		n += r > 0;
		*ret_bad += r < 0;
		rest = span_sub(rest, len + 1, SIZE_MAX);
	}
	buf_free(&text);
	return n;
}

int schemas_load(const char *path, unsigned *ret_bad)
{
	DIR *d = opendir(path);
	int n;

	*ret_bad = 0;
	if (!d)
		return errno == ENOTDIR ? load_records(path, ret_bad) : -errno;
	n = load_directory(d, path, ret_bad);
	closedir(d);
	return n;
}
