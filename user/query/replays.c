#include "query/replays.h"

#include <errno.h>
#include <stdio.h>

#include "base/timefmt.h"

#define CHAIN_MAX 1024 /* a retry a minute, for a night; those nearest to the message come first */

#define LOOK_MAX 100000 /* messages that are looked at for a copy, from the moment of its act on */

#define NOTE "SELECT id,ts_ns,message,who,why,result FROM replay "

static void take_text(char *out, size_t n, struct span s)
{
	snprintf(out, n, SPAN_FMT, (int)(s.n < n ? s.n : n - 1),
		(const char *)(s.n ? s.p : (const uint8_t *)""));
}

/* Steps @st, which is a NOTE, and frees it. */
static int read_note(struct loader *l, sqlite3_stmt *st, struct replay_note *ret, struct err *e)
{
	int more = cat_step(loader_store(l), st, e);

	if (more > 0) {
		*ret = (struct replay_note){
			.id = sqlite3_column_int64(st, 0), .ts_ns = cat_time(st, 1), .of = cat_id(st, 2)};
		take_text(ret->who, sizeof(ret->who), cat_span(st, 3));
		take_text(ret->why, sizeof(ret->why), cat_span(st, 4));
		take_text(ret->result, sizeof(ret->result), cat_span(st, 5));
	}
	sqlite3_finalize(st);
	return more;
}

bool replay_arrived(const char *result)
{
	return !strncmp(result, "confirmed", 9) || !strncmp(result, "sent", 4);
}

/* --- of a copy --- */

struct token {
	char text[128];
};

static bool on_token(void *ctx, const struct field *f)
{
	struct token *t = ctx;

	if (!span_is(f->name, "header." REPLAY_MARK))
		return true;
	take_text(t->text, sizeof(t->text), f->text);
	return false;
}

/* Payloads are not read for a table that is empty, as it mostly is. */
static int any_noted(struct loader *l, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(loader_store(l), "SELECT 1 FROM replay LIMIT 1", &st, e), more;

	if (err)
		return err;
	more = cat_step(loader_store(l), st, e);
	sqlite3_finalize(st);
	return more;
}

static int by_token(struct loader *l, const char *token, sqlite3_stmt **ret, struct err *e)
{
	int err = cat_prepare(loader_store(l), NOTE "WHERE token=?", ret, e);

	if (!err)
		sqlite3_bind_text(*ret, 1, token, -1, SQLITE_TRANSIENT);
	return err;
}

/* By what the broker called the copy. Another broker may call another message so. */
#define NAMED                                                                                                \
	"WHERE log=? AND mid=? AND message<? AND (broker=(SELECT name FROM broker WHERE id=?4)"              \
	" OR ?4=(SELECT m.broker FROM message m WHERE m.id=message))"

static void bind_name(sqlite3_stmt *st, const struct msg *m)
{
	sqlite3_bind_text(st, 1, m->row.log, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(st, 2, m->row.mid, -1, SQLITE_TRANSIENT);
	sqlite3_bind_int64(st, 3, (int64_t)m->row.id);
	sqlite3_bind_int64(st, 4, (int64_t)m->broker);
}

static int by_name(struct loader *l, const struct msg *m, sqlite3_stmt **ret, struct err *e)
{
	int err = cat_prepare(loader_store(l), NOTE NAMED " LIMIT 1", ret, e);

	if (!err)
		bind_name(*ret, m);
	return err;
}

int find_replay(struct loader *l, struct msg *m, struct replay_note *ret, struct err *e)
{
	const struct proto *p;
	struct token token = {""};
	sqlite3_stmt *st = NULL;
	int err = any_noted(l, e);

	if (err <= 0)
		return err;
	p = loader_payload(l, m, e) ? NULL : proto_by_id(m->row.proto);
	if (p && p->fields)
		p->fields(m->row.envelope, on_token, &token);
	if (!token.text[0] && !*m->row.mid)
		return 0;
	err = token.text[0] ? by_token(l, token.text, &st, e) : by_name(l, m, &st, e);
	if (err)
		return err;
	err = read_note(l, st, ret, e);
	if (err > 0) {
		ret->copy = m->row.id;
		ret->state = m->row.state;
	}
	return err;
}

/* --- links by the broker's names --- */

/* 1 and *ret, 0 no row, -errno. Frees @st. */
static int one_id(struct store *s, sqlite3_stmt *st, uint64_t *ret, struct err *e)
{
	int more = cat_step(s, st, e);

	if (more > 0)
		*ret = cat_id(st, 0);
	sqlite3_finalize(st);
	return more;
}

int replays_named(struct store *s, bool *ret, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(s, "SELECT 1 FROM replay WHERE mid IS NOT NULL LIMIT 1", &st, e);
	uint64_t one;

	if (!err)
		err = one_id(s, st, &one, e);
	*ret = err > 0;
	return err < 0 ? err : 0;
}

/* Ids ascend in time: the first that was not seen before @ns, found by halves. */
static int first_since(struct store *s, uint64_t low, int64_t ns, uint64_t *ret, struct err *e)
{
	sqlite3_stmt *st = NULL;
	uint64_t high = low;
	int err = cat_prepare(s, "SELECT max(id) FROM message", &st, e);

	if (!err)
		err = one_id(s, st, &high, e);
	if (err >= 0)
		err = cat_prepare(s, "SELECT first_ns FROM message WHERE id>=? ORDER BY id LIMIT 1", &st, e);
	while (!err && low < high) {
		uint64_t middle = low + (high - low) / 2;
		int more;

		sqlite3_bind_int64(st, 1, (int64_t)middle);
		more = cat_step(s, st, e);
		if (more < 0)
			err = more;
		else if (more && cat_time(st, 0) < ns)
			low = middle + 1;
		else
			high = middle;
		sqlite3_reset(st);
	}
	if (st)
		sqlite3_finalize(st);
	*ret = low;
	return err;
}

struct named {
	char log[256], mid[64], broker[300];
	int64_t ts_ns;
};

static int find_copy(
	struct store *s, const struct msg *m, const struct named *n, uint64_t *ret, struct err *e)
{
	sqlite3_stmt *st = NULL;
	uint64_t first;
	int err = first_since(s, m->row.id + 1, n->ts_ns - NS_PER_SEC, &first, e);

	if (!err)
		err = cat_prepare(s,
			"SELECT id FROM message WHERE id BETWEEN ?1 AND ?2 AND mid=?3"
			" AND log=(SELECT id FROM name WHERE text=?4) AND proto=?5"
			" AND (broker=?6 OR broker IN (SELECT id FROM broker WHERE name=?7)) LIMIT 1",
			&st, e);
	if (err)
		return err;
	sqlite3_bind_int64(st, 1, (int64_t)first);
	sqlite3_bind_int64(st, 2, (int64_t)first + LOOK_MAX);
	sqlite3_bind_text(st, 3, n->mid, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, n->log, -1, SQLITE_STATIC);
	sqlite3_bind_int(st, 5, (int)m->row.proto);
	sqlite3_bind_int64(st, 6, (int64_t)m->broker);
	sqlite3_bind_text(st, 7, n->broker, -1, SQLITE_STATIC);
	return one_id(s, st, ret, e);
}

/*
 * What came of the acts on @m. Where the log has another name than the place it was sent to (Kafka's topics,
 * NATS' subjects), copies carry the mark, and recorders have linked them.
 */
static int links_down(struct store *s, const struct msg *m,
	int (*fn)(void *ctx, uint64_t src, uint64_t dst, struct err *e), void *ctx, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(s,
		"SELECT log,mid,ts_ns,broker FROM replay WHERE message=? AND mid IS NOT NULL AND "
		"log=exchange",
		&st, e);
	int more;

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, (int64_t)m->row.id);
	while (!err && (more = cat_step(s, st, e)) != 0) {
		struct named n = {.ts_ns = cat_time(st, 2)};
		uint64_t copy = 0;

		take_text(n.log, sizeof(n.log), cat_span(st, 0));
		take_text(n.mid, sizeof(n.mid), cat_span(st, 1));
		take_text(n.broker, sizeof(n.broker), cat_span(st, 3));
		err = more < 0 ? more : find_copy(s, m, &n, &copy, e);
		if (err > 0)
			err = fn(ctx, m->row.id, copy, e);
	}
	sqlite3_finalize(st);
	return err;
}

int replay_links(struct store *s, const struct msg *m,
	int (*fn)(void *ctx, uint64_t src, uint64_t dst, struct err *e), void *ctx, struct err *e)
{
	sqlite3_stmt *st = NULL;
	uint64_t of;
	int err = 0;

	if (*m->row.mid) {
		err = cat_prepare(s, "SELECT message FROM replay " NAMED " LIMIT 1", &st, e);
		if (err)
			return err;
		bind_name(st, m);
		err = one_id(s, st, &of, e);
		if (err > 0)
			err = fn(ctx, of, m->row.id, e);
	}
	return err ? err : links_down(s, m, fn, ctx, e);
}

/* --- of a chain --- */

struct chain {
	struct loader *l;
	struct map seen;
	size_t n;
	struct {
		uint64_t id;
		bool before; /* the one asked about is a replay of it, or of what became of it */
	} list[CHAIN_MAX];
};

static int chain_add(struct chain *c, uint64_t id, bool before, struct err *e)
{
	if (c->n == CHAIN_MAX || map_get(&c->seen, id))
		return 0;
	if (map_put(&c->seen, id, 1))
		return err_set(e, -ENOMEM, "out of memory");
	c->list[c->n].id = id;
	c->list[c->n++].before = before;
	return 0;
}

/* What stands beside @m in the chain, both ways. */
static int chain_extend(struct chain *c, const struct msg *m, bool before, struct err *e)
{
	int err = 0;

	for (size_t i = 0; i < m->links_n && !err; i++) {
		const struct msg_link *k = &m->links[i];
		bool replay = k->kind == LINK_REPLAY_OF, up = k->dst == m->row.id;

		if (replay || k->kind == LINK_DEAD_LETTER_OF)
			err = chain_add(c, up ? k->src : k->dst, before || (replay && up), e);
	}
	return err;
}

static int last_noted(struct loader *l, uint64_t message, struct replay_note *ret, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int err = cat_prepare(loader_store(l),
		NOTE "WHERE message=? AND (result GLOB 'sen[dt]*' OR result GLOB 'confirmed*' OR result GLOB "
		     "'unknown*')"
		     " ORDER BY id DESC LIMIT 1",
		&st, e);

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, (int64_t)message);
	return read_note(l, st, ret, e);
}

/*
 * The last act on @m itself. Which copy it made, links and their tokens tell; a copy whose act is not in this
 * store was sent by somebody all the same.
 */
static int last_of(struct loader *l, const struct msg *m, struct replay_note *ret, struct err *e)
{
	int found = last_noted(l, m->row.id, ret, e);

	for (size_t i = 0; i < m->links_n && found >= 0; i++) {
		const struct msg_link *k = &m->links[i];
		struct replay_note act;
		struct msg *copy;
		int err;

		if (k->kind != LINK_REPLAY_OF || k->src != m->row.id)
			continue;
		err = loader_get(l, k->dst, &copy, e);
		if (err == -ENOENT)
			continue;
		if (!err)
			err = find_replay(l, copy, &act, e);
		if (err < 0)
			return err;
		if (found && err && act.id == ret->id) {
			ret->copy = copy->row.id;
			ret->state = copy->row.state;
		} else if (!err && (!found || (!ret->id && ret->ts_ns < copy->row.when_ns))) {
			*ret = (struct replay_note){.ts_ns = copy->row.when_ns,
				.of = m->row.id,
				.copy = copy->row.id,
				.state = copy->row.state};
			found = 1;
		}
	}
	return found;
}

int last_replay(
	struct loader *l, uint64_t message, struct replay_note *ret, uint64_t *ret_first, struct err *e)
{
	struct chain c = {.l = l};
	struct replay_note best, one;
	uint64_t first = message;
	int err = chain_add(&c, message, false, e), found = 0;

	for (size_t i = 0; i < c.n && !err; i++) {
		struct msg *m;

		err = loader_get(l, c.list[i].id, &m, e);
		if (err == -ENOENT && i) {
			err = 0;
			continue;
		}
		if (!err)
			err = last_of(l, m, &one, e);
		if (err > 0 && (!found || one.ts_ns > best.ts_ns)) {
			best = one;
			best.before = c.list[i].before;
			found = 1;
		}
		if (err >= 0)
			err = chain_extend(&c, m, c.list[i].before, e);
		first = c.list[i].id < first ? c.list[i].id : first;
	}
	map_free(&c.seen);
	if (err)
		return err;
	if (found)
		*ret = best;
	if (ret_first)
		*ret_first = first;
	return found;
}
