#include "query/replays.h"

#include <errno.h>
#include <stdio.h>

#define CHAIN_MAX 1024 /* a retry a minute, for a night; those nearest to the message come first */

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

	if (!span_is(f->name, "header.evtrace-replay-of"))
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
	if (!token.text[0])
		return 0;
	err = cat_prepare(loader_store(l), NOTE "WHERE token=?", &st, e);
	if (err)
		return err;
	sqlite3_bind_text(st, 1, token.text, -1, SQLITE_STATIC);
	err = read_note(l, st, ret, e);
	if (err > 0) {
		ret->copy = m->row.id;
		ret->state = m->row.state;
	}
	return err;
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
