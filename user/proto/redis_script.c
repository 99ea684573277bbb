/*
 * Scripts, of which only keys and arguments are seen, and the hashes that go with messages: kombu's "unacked"
 * and RQ's jobs.
 */
#include <stdlib.h>

#include "proto/redis_state.h"

#define JOBS_MAX       4096u
#define JOBS_BYTES_MAX (16u << 20)

/* What was written to the hash of a job of RQ's: fields and values, as pairs. */
struct job {
	uint64_t key; /* hash of its name; 0 none */
	struct buf fields;
};

static bool is_unacked(struct span key)
{
	return key.n >= 7 && !memcmp(key.p + key.n - 7, "unacked", 7);
}

/* --- RQ --- */

static void job_forget(struct redis_shared *s, struct job *j)
{
	if (j->key && recent_get(&s->jobs, j->key) == (uint64_t)(j - s->job) + 1)
		recent_take(&s->jobs, j->key);
	s->job_bytes -= j->fields.cap;
	buf_free(&j->fields);
	*j = (struct job){0};
}

static void job_written(struct redis *st)
{
	struct redis_shared *s = st->shared;
	uint64_t key = redis_name_hash(st, st->db, redis_arg(st, 1));
	struct job *j;

	/* The one that says what it is; later ones tell of its state. */
	if (recent_get(&s->jobs, key))
		return;
	if (!s->job)
		s->job = calloc(JOBS_MAX, sizeof(*s->job));
	if (!s->job)
		return;
	do {
		j = &s->job[s->job_at++ % JOBS_MAX];
		job_forget(s, j);
	} while (s->job_bytes > JOBS_BYTES_MAX);
	for (uint32_t i = 2; i + 1 < redis_args(st); i += 2)
		pairs_header(&j->fields, redis_arg(st, i), redis_arg(st, i + 1));
	if (!buf_ok(&j->fields)) {
		buf_free(&j->fields);
		return;
	}
	j->key = key;
	s->job_bytes += j->fields.cap;
	recent_put(&s->jobs, key, (uint64_t)(j - s->job) + 1, JOBS_MAX);
}

/* The name of the function in "app.tasks.send(4711, to='x')". */
static struct span function_of(struct span description)
{
	const uint8_t *p = description.n ? memchr(description.p, '(', description.n) : NULL;

	return p ? span_of(description.p, (size_t)(p - description.p)) : SPAN_EMPTY;
}

bool redis_job_find(struct redis *st, int32_t db, struct span list, struct op *op)
{
	static const char prefix[] = "rq:job:";
	struct redis_shared *s = st->shared;
	struct pair p;
	struct span rest;
	char key[256];
	uint64_t at;

	if (!span_starts(list, "rq:") || !op->body.n || op->body.n + sizeof(prefix) > sizeof(key))
		return false;
	op->mid = op->body;
	memcpy(key, prefix, sizeof(prefix) - 1);
	memcpy(key + sizeof(prefix) - 1, op->body.p, op->body.n);
	at = recent_get(&s->jobs, redis_name_hash(st, db, span_of(key, sizeof(prefix) - 1 + op->body.n)));
	if (!at)
		return true;
	rest = buf_span(&s->job[at - 1].fields);
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

void redis_jobs_free(struct redis_shared *s)
{
	for (size_t i = 0; s->job && i < JOBS_MAX; i++)
		buf_free(&s->job[i].fields);
	free(s->job);
}

/* --- requests --- */

static void hash_request(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	if (cmd == RC_HSET && !is_unacked(redis_arg(st, 1))) {
		job_written(st);
		return;
	}
	if (!is_unacked(redis_arg(st, 1)) || redis_args(st) < 3)
		return;
	redis_kombu_note(st, cmd, redis_arg(st, 2));
	if (cmd != RC_HDEL || !pend_open(st, cmd, flags))
		return;
	for (uint32_t i = 2; i < redis_args(st); i++)
		pend_item(st, redis_arg(st, i));
	pend_close(st);
}

/*
 * Of scripts that are not known nothing is told, but for one form: a single key and a job of Sidekiq's as the
 * answer is its way to take what is due from "schedule" and "retry".
 */
static void script_request(struct redis *st, uint8_t flags)
{
	if (redis_bullmq_request(st, flags) || !redis_arg_is(st, 2, "1") || redis_args(st) < 4 ||
		!pend_open(st, RC_EVAL, flags))
		return;
	pend_item(st, redis_arg(st, 3));
	pend_close(st);
}

static void script_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span job = resp_is_text(n) ? resp_text(&st->r[TO_CLIENT], n) : SPAN_EMPTY, v;

	if (redis_bullmq_reply(st, a, n))
		return;
	if (job.n && a->h.items && json_member(job, "jid", &v) && json_member(job, "class", &v))
		redis_zset_member(st, a, answer_item(a, 0), n);
}

void redis_script_request(struct redis *st, enum rcmd cmd, uint8_t flags)
{
	if (cmd == RC_EVAL)
		script_request(st, flags);
	else
		hash_request(st, cmd, flags);
}

void redis_script_reply(struct redis *st, const struct answer *a, const struct node *n)
{
	struct span rest = a->items, tag;

	if (a->h.cmd == RC_EVAL)
		script_reply(st, a, n);
	if (a->h.cmd == RC_HDEL && n && n->type == ':' && n->i > 0)
		while (answer_next(&rest, &tag))
			redis_kombu_gone(st, a, tag);
}
