/* Files as sources: says what a file is and has the reader of its kind give it to a sink; several captures in
 * order of time. */
#include "capture/source.h"

#include <errno.h>
#include <stdlib.h>

#include "base/timefmt.h"

#define PROGRESS_EVERY 1024 /* records */
#define IDLE_MS        200
#define LIVE_NS        (30 * NS_PER_SEC) /* a packet that is so young comes from a capture that is going on */
#define REST_FILES     16                /* more than that do not all keep their buffers while they wait */

static const struct source_kind *const kinds[] = {&source_recfile, &source_pcap, &source_pcapng};

int source__open(const char *path, struct source **ret, struct source_info *ret_info, struct err *e)
{
	struct source *s = calloc(1, sizeof(*s));
	struct source_info info = {0};
	struct span head;
	int err;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	err = input_open(&s->in, path, e);
	if (err)
		goto fail;
	err = input_peek(&s->in, SOURCE_PEEK, &head, e);
	if (err && err != -ENODATA)
		goto fail;
	for (size_t i = 0; i < ARRAY_LEN(kinds) && !s->kind; i++)
		if (kinds[i]->is_mine(head))
			s->kind = kinds[i];
	err = s->kind ? s->kind->begin(s, &info, e) : source_foreign(&s->in, head, e);
	if (err)
		goto fail;
	strncpy(info.kind, s->kind->name, sizeof(info.kind) - 1);
	info.capture = s->kind->when != NULL;
	*ret = s;
	*ret_info = info;
	return 0;
fail:
	source__close(s);
	return err;
}

/* --- running --- */

struct run {
	struct source *const *s;
	size_t n;
	const struct sink *sink;
	source_progress progress;
	void *ctx;
	uint64_t records;
};

static int tell_progress(const struct run *r, bool idle)
{
	struct progress p = {.records = r->records, .idle = idle};
	bool known = true;

	if (!r->progress)
		return 0;
	for (size_t i = 0; i < r->n; i++) {
		p.done += input_done(&r->s[i]->in);
		p.total += r->s[i]->in.total;
		known &= r->s[i]->in.total > 0;
	}
	if (!known)
		p.total = 0;
	return r->progress(r->ctx, &p);
}

/* Nothing came for a moment: what waits for time to pass, and what waits to be written, must not wait for the
 * next packet. Time passes only if the capture is going on right now. */
static int on_idle(const struct run *r, struct source *s)
{
	int64_t now = now_wall_ns();
	int err = tell_progress(r, true);

	if (err || !s->flows || !s->last_ns)
		return err;
	if (!s->idle)
		s->live = now >= s->last_ns && now - s->last_ns < LIVE_NS;
	s->idle = true;
	return flows_idle(s->flows, r->sink, s->live && now > s->last_ns ? now : s->last_ns);
}

static bool may_wait(const struct run *r, int err)
{
	return r->progress && (err == -EAGAIN || err == -EINTR);
}

/* One record. Only what stops everything is returned; else the source may have ended. */
static int step(struct run *r, struct source *s)
{
	int err = s->kind->next(s, r->sink, &s->error);

	if (may_wait(r, err))
		return on_idle(r, s);
	if (err) {
		s->ended = true;
		s->result = err == -ENODATA ? 0 : err;
		return s->result == -EBADMSG ? 0 : s->result;
	}
	s->idle = false;
	s->records++;
	return ++r->records % PROGRESS_EVERY ? 0 : tell_progress(r, false);
}

static int find_when(struct run *r, struct source *s)
{
	int err;

	while (may_wait(r, err = s->kind->when(s, &s->next_ns, &s->error))) {
		err = on_idle(r, s);
		if (err)
			return err;
	}
	if (err) {
		s->ended = true;
		s->result = err == -ENODATA ? 0 : err;
	}
	return s->result == -EBADMSG ? 0 : s->result;
}

/* The source whose packet is due, NULL at the end, and until when no other's is. */
static struct source *due(const struct run *r, int64_t *ret_until)
{
	struct source *best = NULL;

	*ret_until = INT64_MAX;
	for (size_t i = 0; i < r->n; i++) {
		struct source *s = r->s[i];

		if (s->ended)
			continue;
		if (best && s->next_ns >= best->next_ns) {
			*ret_until = s->next_ns < *ret_until ? s->next_ns : *ret_until;
			continue;
		}
		if (best)
			*ret_until = best->next_ns;
		best = s;
	}
	return best;
}

static int run_merged(struct run *r)
{
	struct source *s;
	int64_t until;
	int err = 0;

	for (size_t i = 0; i < r->n && !err; i++) {
		err = find_when(r, r->s[i]);
		if (r->n > REST_FILES)
			input_rest(&r->s[i]->in);
	}
	while (!err && (s = due(r, &until))) {
		while (!err && !s->ended && s->next_ns <= until) {
			err = step(r, s);
			if (!err && !s->ended)
				err = find_when(r, s);
		}
	}
	return err;
}

static int run_one(struct run *r)
{
	int err = 0;

	while (!err && !r->s[0]->ended)
		err = step(r, r->s[0]);
	return err;
}

static int run_captures(struct run *r, struct err *e)
{
	struct flows *f = flows__new();
	int err;

	if (!f)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < r->n; i++)
		r->s[i]->flows = f;
	err = r->n > 1 ? run_merged(r) : run_one(r);
	if (!err)
		err = flows_end(f, r->sink);
	for (size_t i = 0; i < r->n; i++)
		r->s[i]->flows = NULL;
	flows__free(f);
	return err;
}

int source_run_all(struct source *const *s, size_t n, const struct sink *sink, source_progress progress,
	void *ctx, struct err *e)
{
	struct run r = {.s = s, .n = n, .sink = sink, .progress = progress, .ctx = ctx};
	struct err why = {.msg = "stopped"};
	int err;

	for (size_t i = 0; i < n; i++)
		s[i]->in.idle_ms = progress ? IDLE_MS : 0;
	err = s[0]->kind->when ? run_captures(&r, &why) : run_one(&r);
	for (size_t i = 0; i < n; i++) {
		s[i]->cut |= s[i]->in.cut;
		if (err && s[i]->result == err)
			why = s[i]->error;
	}
	tell_progress(&r, false);
	if (err && e)
		*e = why;
	return err;
}

int source_run(struct source *s, const struct sink *sink, source_progress progress, void *ctx, struct err *e)
{
	int err = source_run_all(&s, 1, sink, progress, ctx, e);

	return err ? err : source_result(s, e);
}

int source_result(const struct source *s, struct err *e)
{
	if (s->result && e)
		*e = s->error;
	return s->result;
}

struct source_short source_short(const struct source *s)
{
	return s->cut_short;
}

bool source_was_cut(const struct source *s)
{
	return s->cut;
}

uint64_t source_offset(const struct source *s)
{
	return s->in.off;
}

bool source_is_pipe(const struct source *s)
{
	return !s->in.regular;
}

void source__close(struct source *s)
{
	if (!s)
		return;
	if (s->kind)
		s->kind->free(s->state);
	input_close(&s->in);
	free(s);
}

int source_need(struct source *s, size_t n, struct span *ret, struct err *e)
{
	int err = input_peek(&s->in, n, ret, e);

	if (err == -ENODATA && ret->n)
		s->cut = true;
	return err;
}

int source_damaged(const struct source *s, const char *what, struct err *e)
{
	return err_set(e, -EBADMSG, "%s is damaged at byte %llu: %s", s->in.path,
		(unsigned long long)s->in.off, what);
}

int source_stopped(const struct source *s, int err, struct err *e)
{
	return err_set(e, err, "stopped at byte %llu of %s: %s", (unsigned long long)s->in.off, s->in.path,
		strerror(-err));
}
