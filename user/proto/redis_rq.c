/*
 * RQ: lists and sorted sets hold ids of jobs; what a job is stands in a hash of its own, of which is kept
 * what was written to it.
 *
 * - A job is enqueued by its hash and an RPUSH of its id to rq:queue:NAME, and taken by BLMOVE to
 *   rq:queue:NAME:intermediate, or by BLPOP where a worker reads several queues.
 * - The worker that has it leaves the intermediate list when it begins; how the job ended is the field
 * `status` of its hash: "finished" (or the hash is deleted, where no result is kept), "failed", or one that
 * says that it is to be done once more.
 * - Jobs that wait for their time or failed are in the registries rq:scheduled:NAME and rq:failed:NAME, those
 *   that wait for another in rq:deferred:NAME. They are put there before their hash is written, in the same
 *   transaction.
 */
#include <stdlib.h>

#include "proto/redis_state.h"

#define JOBS_MAX       4096u
#define JOBS_BYTES_MAX (16u << 20)
#define KEY_PREFIX     "rq:job:"
#define KEY_MAX        256

/* pend.extra of an HSET: enum settle, and this one: an item is the message that it told */
#define JOB_SENT 0x100

/* What was written to the hash of a job: fields and values, as pairs. */
struct job {
	uint64_t key; /* hash of its name; 0 none */
	struct buf fields;
	struct buf early; /* no fields yet: the registry that it is in, and its score, as one pair */
};

/* --- jobs --- */

static void job_clear(struct redis_shared *s, struct job *j)
{
	s->job_bytes -= j->fields.cap + j->early.cap;
	buf_free(&j->fields);
	buf_free(&j->early);
}

static void job_forget(struct redis_shared *s, struct job *j)
{
	if (j->key && recent_get(&s->jobs, j->key) == (uint64_t)(j - s->job) + 1)
		recent_take(&s->jobs, j->key);
	job_clear(s, j);
	*j = (struct job){0};
}

static struct job *job_get(struct redis_shared *s, uint64_t key)
{
	uint64_t at = recent_get(&s->jobs, key);

	return at ? &s->job[at - 1] : NULL;
}

/* The oldest goes. */
static struct job *job_new(struct redis_shared *s, uint64_t key)
{
	struct job *j;

	if (!s->job)
		s->job = calloc(JOBS_MAX, sizeof(*s->job));
	if (!s->job)
		return NULL;
	do {
		j = &s->job[s->job_at++ % JOBS_MAX];
		job_forget(s, j);
	} while (s->job_bytes > JOBS_BYTES_MAX);
	j->key = key;
	recent_put(&s->jobs, key, (uint64_t)(j - s->job) + 1, JOBS_MAX);
	return j;
}

/* @j was written to; false: it is forgotten. */
static bool job_keep(struct redis_shared *s, struct job *j)
{
	if (buf_ok(&j->fields) && buf_ok(&j->early)) {
		s->job_bytes += j->fields.cap + j->early.cap;
		return true;
	}
	buf_free(&j->fields);
	buf_free(&j->early);
	job_forget(s, j);
	return false;
}

void redis_jobs_free(struct redis_shared *s)
{
	for (size_t i = 0; s->job && i < JOBS_MAX; i++)
		job_clear(s, &s->job[i]);
	free(s->job);
}

/* The name of the job's hash, hashed; 0: @id is too long for one. */
static uint64_t key_hash(const struct redis *st, int32_t db, struct span id)
{
	const size_t n = strlen(KEY_PREFIX);
	char key[KEY_MAX];

	if (!id.n || id.n > sizeof(key) - n)
		return 0;
	memcpy(key, KEY_PREFIX, n);
	memcpy(key + n, id.p, id.n);
	return redis_name_hash(st, db, span_of(key, n + id.n));
}

bool redis_job_list(struct span list)
{
	return span_starts(list, "rq:queue:");
}

bool redis_job_registry(struct span key)
{
	return span_starts(key, "rq:scheduled:") || span_starts(key, "rq:failed:") ||
	       span_starts(key, "rq:deferred:");
}

/* The name of the function in "app.tasks.send(4711, to='x')". */
static struct span function_of(struct span description)
{
	const uint8_t *p = description.n ? memchr(description.p, '(', description.n) : NULL;

	return p ? span_of(description.p, (size_t)(p - description.p)) : SPAN_EMPTY;
}

bool redis_job_find(struct redis *st, int32_t db, struct span list, struct op *op)
{
	struct job *j;
	struct pair p;
	struct span rest;

	if (!span_starts(list, "rq:") || !op->body.n || op->body.n + strlen(KEY_PREFIX) > KEY_MAX)
		return false;
	op->mid = op->body;
	j = job_get(st->shared, key_hash(st, db, op->body));
	if (!j)
		return true;
	rest = buf_span(&j->fields);
	while (pairs_next(&rest, &p)) {
		if (span_is(p.name, "data")) {
			op->body = p.value;
			op->body_size = p.value.n;
			continue;
		}
		pairs_add(&st->env, &p);
		if (span_is(p.name, "description"))
			op->type = function_of(p.value);
	}
	return true;
}

/* --- a registry --- */

bool redis_job_early(struct redis *st, struct span registry, struct span score, struct span id)
{
	struct redis_shared *s = st->shared;
	uint64_t key = redis_job_registry(registry) ? key_hash(st, st->db, id) : 0;
	struct job *j = key ? job_get(s, key) : NULL;

	if (!key || (j && j->fields.n))
		return false;
	if (j)
		job_forget(s, j);
	j = job_new(s, key);
	if (!j)
		return false;
	pairs_header(&j->early, registry, score);
	return job_keep(s, j);
}

/* Now that it is known what @id is; 0: it is in no registry. */
static uint64_t send_early(struct redis *st, struct job *j, struct span id, uint8_t flags)
{
	struct op op = redis_op(st, OP_SEND, st->db);
	struct span rest = buf_span(&j->early);
	struct layout l;
	struct pair p;
	uint64_t ref;

	if (!pairs_next(&rest, &p))
		return 0;
	op.flags = flags & PEND_TX ? OPF_TX : 0;
	op.body = id;
	op.body_size = id.n;
	redis_queue_is(st, st->db, p.name, QUEUE_ZSET);
	redis_layout(st, st->db, p.name, &op, &l);
	redis_property(st, &op, "score", p.value);
	op.queue = SPAN_EMPTY;
	ref = redis_emit(st, &op);
	j->early.n = 0;
	return ref;
}

/* --- its hash --- */

static struct span field(const struct redis *st, const char *name)
{
	for (uint32_t i = 2, n = redis_args(st); i + 1 < n; i += 2)
		if (span_is(redis_arg(st, i), name))
			return redis_arg(st, i + 1);
	return SPAN_EMPTY;
}

static enum settle settle_of(struct span status)
{
	if (span_is(status, "finished"))
		return SETTLE_ACK;
	return !status.n || span_is(status, "started") || span_is(status, "created") ? SETTLE_NONE
										     : SETTLE_REJECT;
}

/* Later writes tell of its state, and what it is once more. */
static uint64_t describe(struct redis *st, uint64_t key, struct span id, uint8_t flags)
{
	struct redis_shared *s = st->shared;
	struct job *j = job_get(s, key);

	if (j && j->fields.n)
		return 0;
	if (!j)
		j = job_new(s, key);
	if (!j)
		return 0;
	s->job_bytes -= j->early.cap;
	for (uint32_t i = 2; i + 1 < redis_args(st); i += 2)
		pairs_header(&j->fields, redis_arg(st, i), redis_arg(st, i + 1));
	return job_keep(s, j) ? send_early(st, j, id, flags) : 0;
}

static uint64_t moved_key(uint64_t key)
{
	return key ^ 0x7271;
}

void redis_job_taken(struct redis *st, int32_t db, struct span id, uint64_t ref)
{
	uint64_t key = key_hash(st, db, id);

	if (key)
		recent_put(&st->shared->moved, moved_key(key), ref, SHARED_MAX);
}

void redis_job_written(struct redis *st, uint8_t flags)
{
	struct span key = redis_arg(st, 1), id;
	uint64_t hash, sent;
	enum settle how;

	if (!span_starts(key, KEY_PREFIX))
		return;
	id = span_sub(key, strlen(KEY_PREFIX), SIZE_MAX);
	hash = redis_name_hash(st, st->db, key);
	sent = field(st, "data").n ? describe(st, hash, id, flags) : 0;
	how = recent_get(&st->shared->moved, moved_key(hash)) ? settle_of(field(st, "status")) : SETTLE_NONE;
	if ((!sent && how == SETTLE_NONE) || !pend_open(st, RC_HSET, flags))
		return;
	pend_extra(st, how | (sent ? JOB_SENT : 0));
	if (sent)
		pend_item(st, span_of(&sent, sizeof(sent)));
	pend_item(st, span_of(&hash, sizeof(hash)));
	pend_close(st);
}

static void settled(struct redis *st, const struct answer *a, uint64_t hash, enum settle how)
{
	struct op op = redis_op(st, OP_SETTLE, a->h.db);

	op.ref = recent_take(&st->shared->moved, moved_key(hash));
	op.settle = how;
	op.flags = a->h.flags & PEND_TX ? OPF_TX : 0;
	if (op.ref)
		redis_emit(st, &op);
}

void redis_job_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span hash = answer_item(a, a->h.extra & JOB_SENT ? 1 : 0);
	bool refused = !n || resp_is_error(n);
	uint64_t key;

	if (a->h.extra & JOB_SENT) {
		struct op op = redis_op(st, OP_CONFIRM, a->h.db);

		memcpy(&op.ref, answer_item(a, 0).p, sizeof(op.ref));
		op.flags = (a->h.flags & PEND_TX ? OPF_TX : 0) | (refused ? OPF_NEGATIVE : 0);
		if (refused)
			op.text = n ? resp_text(&st->r[TO_CLIENT], n) : SPAN_LIT("not run");
		redis_emit(st, &op);
	}
	if (refused || !(a->h.extra & 0xff) || hash.n != sizeof(key))
		return;
	memcpy(&key, hash.p, sizeof(key));
	settled(st, a, key, a->h.extra & 0xff);
}

bool redis_job_open(const struct redis *st, struct span key)
{
	return span_starts(key, KEY_PREFIX) &&
	       recent_get(&st->shared->moved, moved_key(redis_name_hash(st, st->db, key)));
}

bool redis_job_deleted(struct redis *st, const struct answer *a, struct span key)
{
	if (!span_starts(key, KEY_PREFIX))
		return false;
	settled(st, a, redis_name_hash(st, a->h.db, key), SETTLE_ACK);
	return true;
}
