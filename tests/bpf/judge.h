/*
 * Runs a workload under the live source and keeps all that the source said: for each endpoint both streams,
 * byte by byte, where each lost byte is marked as lost. A header, because each .c file here is a program of
 * its own.
 */
#ifndef EVTRACE_TESTS_BPF_JUDGE_H
#define EVTRACE_TESTS_BPF_JUDGE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "bpf/work.h"
#include "capture/backend.h"
#include "capture/live.h"
#include "test.h"

#define EPS_MAX   64
#define PROCS_MAX 32
#define LINES_MAX 64
#define WAIT_MS   20000 /* a workload that hangs fails the test, not the machine */

struct stream_log {
	uint8_t *bytes, *there; /* there[i]: bytes[i] was copied */
	uint64_t start, n, cap, chunks;
};

struct ep_log {
	struct endpoint_info info;
	char path[108];
	struct stream_log dir[2];
	uint64_t told_lost; /* by sink.loss */
	unsigned closed, closed_by_peer;
	uint32_t pids[8];
	size_t pids_n;
};

struct proc_log {
	uint32_t pid;
	char service[128], exe[256], comm[16];
	bool ended;
	int exit_code;
};

struct run {
	struct live *live;
	struct sink sink;
	struct ep_log eps[EPS_MAX];
	size_t eps_n;
	struct proc_log procs[PROCS_MAX];
	size_t procs_n;
	uint64_t lost_unknown; /* records told lost without an endpoint */
	pid_t pid;
	int in, out;
	char text[8192];
	size_t text_n;
	char *lines[LINES_MAX];
	size_t lines_n, phases;
	bool ended;
	int status;
};

/* --- what the source says --- */

static inline struct ep_log *ep_of(struct run *r, uint64_t id)
{
	for (size_t i = 0; i < r->eps_n; i++)
		if (r->eps[i].info.id == id)
			return &r->eps[i];
	return NULL;
}

static inline struct proc_log *proc_of(struct run *r, uint32_t pid)
{
	for (size_t i = r->procs_n; i; i--)
		if (r->procs[i - 1].pid == pid)
			return &r->procs[i - 1];
	return NULL;
}

static inline int judge_proc(void *ctx, const struct proc_info *p)
{
	struct run *r = ctx;
	struct proc_log *l = proc_of(r, p->pid);

	if (!l && r->procs_n < PROCS_MAX)
		l = &r->procs[r->procs_n++];
	if (!l)
		return -E2BIG;
	l->pid = p->pid;
	snprintf(l->service, sizeof(l->service), "%s", p->service);
	snprintf(l->exe, sizeof(l->exe), "%s", p->exe);
	snprintf(l->comm, sizeof(l->comm), "%s", p->comm);
	return 0;
}

static inline int judge_exit(void *ctx, uint32_t pid, int64_t ts_ns, int code)
{
	struct proc_log *l = proc_of(ctx, pid);

	(void)ts_ns;
	CHECK(l); /* told before */
	if (l) {
		l->ended = true;
		l->exit_code = code;
	}
	return 0;
}

static inline int judge_open(void *ctx, const struct endpoint_info *e)
{
	struct run *r = ctx;
	struct ep_log *l;

	CHECK(!ep_of(r, e->id));
	CHECK(proc_of(r, e->pid)); /* told before its first endpoint */
	if (r->eps_n == EPS_MAX)
		return -E2BIG;
	l = &r->eps[r->eps_n++];
	l->info = *e;
	snprintf(l->path, sizeof(l->path), "%s", e->path);
	l->dir[DIR_TX].start = e->pos[DIR_TX];
	l->dir[DIR_RX].start = e->pos[DIR_RX];
	return 0;
}

static inline void grow(struct stream_log *s, uint64_t n)
{
	if (n > s->cap) {
		s->cap = n * 2;
		s->bytes = realloc(s->bytes, s->cap);
		s->there = realloc(s->there, s->cap);
	}
	memset(s->there + s->n, 0, n - s->n);
	s->n = n;
}

static inline int judge_chunk(void *ctx, const struct chunk *c)
{
	struct ep_log *l = ep_of(ctx, c->endpoint);
	struct stream_log *s;
	uint64_t at;

	CHECK(l); /* opened before */
	if (!l)
		return 0;
	CHECK(proc_of(ctx, c->pid)); /* told before */
	s = &l->dir[c->dir];
	if (!s->chunks++ && !l->info.from_start)
		s->start = c->pos;
	at = c->pos - s->start;
	CHECK(c->pos >= s->start + s->n); /* never back */
	CHECK(at < 1u << 28);
	if (at >= 1u << 28)
		return 0;
	grow(s, at + c->len);
	if (c->data.n) {
		memcpy(s->bytes + at, c->data.p, c->data.n);
		memset(s->there + at, 1, c->data.n);
	}
	for (size_t i = 0; i <= l->pids_n && i < ARRAY_LEN(l->pids); i++) {
		if (i == l->pids_n) {
			l->pids[l->pids_n++] = c->pid;
			break;
		}
		if (l->pids[i] == c->pid)
			break;
	}
	return 0;
}

static inline int judge_close(void *ctx, uint64_t id, int64_t ts_ns, bool by_peer)
{
	struct ep_log *l = ep_of(ctx, id);

	(void)ts_ns;
	CHECK(l);
	if (l && by_peer)
		l->closed_by_peer++;
	else if (l)
		l->closed++;
	return 0;
}

static inline int judge_loss(void *ctx, const struct loss_info *li)
{
	struct run *r = ctx;
	struct ep_log *l = ep_of(r, li->endpoint);

	if (l)
		l->told_lost += li->bytes;
	else
		r->lost_unknown += li->records;
	return 0;
}

static inline int judge_tick(void *ctx, int64_t ts_ns)
{
	(void)ctx;
	(void)ts_ns;
	return 0;
}

/* --- the workload --- */

static inline bool run_new(struct run *r, const struct live_opts *opts)
{
	struct err e = {0};

	memset(r, 0, sizeof(*r));
	r->in = r->out = -1;
	r->sink = (struct sink){
		r, judge_proc, judge_exit, judge_open, judge_chunk, judge_close, judge_loss, judge_tick};
	if (live__new(opts, &r->live, &e)) {
		fprintf(stderr, "%s\n  %s\n", e.msg, e.hint);
		CHECK(!"live__new");
		return false;
	}
	return true;
}

/* Starts @argv; it runs when it is in scope by its pid, or at once without. */
static inline void run_start(struct run *r, char *const *argv, bool watched)
{
	int go[2], in[2], out[2];
	struct err e = {0};

	if (pipe2(go, O_CLOEXEC) || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		abort();
	r->pid = fork();
	if (!r->pid) {
		char c;

		dup2(in[0], 0);
		dup2(out[1], 1);
		close(go[1]);
		if (read(go[0], &c, 1) < 0)
			_exit(126);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	close(go[0]);
	r->in = in[1];
	r->out = out[0];
	if (watched)
		CHECK_EQ(live_add_pid(r->live, r->pid, &e), 0);
	close(go[1]);
}

static inline void take_lines(struct run *r)
{
	ssize_t n = read(r->out, r->text + r->text_n, sizeof(r->text) - 1 - r->text_n);
	char *nl, *line;

	if (n <= 0)
		return;
	line = r->lines_n ? r->lines[r->lines_n - 1] + strlen(r->lines[r->lines_n - 1]) + 1 : r->text;
	r->text_n += (size_t)n;
	while (r->lines_n < LINES_MAX && (nl = memchr(line, '\n', (size_t)(r->text + r->text_n - line)))) {
		*nl = '\0';
		r->phases += !strcmp(line, "phase");
		r->lines[r->lines_n++] = line;
		line = nl + 1;
	}
}

/* Until the workload waits for the @phases-th time, or (0) ended. @look: read the ring meanwhile. */
static inline void run_wait(struct run *r, size_t phases, bool look)
{
	uint64_t end = now_mono_ns() + WAIT_MS * (uint64_t)NS_PER_MS;

	while (now_mono_ns() < end) {
		struct pollfd p = {.fd = r->out, .events = POLLIN};

		if (poll(&p, 1, look ? 0 : 10) == 1)
			take_lines(r);
		if (look)
			CHECK_EQ(live_poll(r->live, &r->sink, 10), 0);
		if (phases && r->phases >= phases)
			break;
		if (!r->ended && waitpid(r->pid, &r->status, WNOHANG) == r->pid)
			r->ended = true;
		else if (r->ended && !(p.revents & POLLIN))
			break;
	}
	CHECK(phases ? r->phases >= phases : r->ended);
	if (look)
		CHECK_EQ(live_drain(r->live, &r->sink), 0);
}

static inline void run_go(struct run *r)
{
	CHECK_EQ(write(r->in, "", 1), 1);
}

static inline void run_free(struct run *r)
{
	if (!r->ended && r->pid > 0) {
		kill(r->pid, SIGKILL);
		waitpid(r->pid, &r->status, 0);
	}
	if (r->in >= 0)
		close(r->in);
	if (r->out >= 0)
		close(r->out);
	live__free(r->live);
	for (size_t i = 0; i < r->eps_n; i++)
		for (int d = 0; d < 2; d++) {
			free(r->eps[i].dir[d].bytes);
			free(r->eps[i].dir[d].there);
		}
}

/* --- verdicts --- */

static inline void check_stream(
	const struct stream_log *s, uint32_t id, uint64_t from, uint64_t n, uint64_t lost)
{
	uint64_t missing = 0, wrong = 0;

	for (uint64_t i = 0; i < s->n; i++) {
		missing += !s->there[i];
		wrong += s->there[i] && s->bytes[i] != pattern(id, from + i);
	}
	CHECK_EQ(s->n, n);
	CHECK_EQ(missing, lost);
	CHECK_EQ(wrong, 0);
}

struct conn_line {
	unsigned long long id, tx, rx;
	unsigned tx_id, rx_id;
};

/* The @nth "conn" line of the workload, and what the source said of that endpoint (NULL: nothing). */
static inline struct ep_log *conn_line(struct run *r, size_t nth, struct conn_line *ret)
{
	for (size_t i = 0; i < r->lines_n; i++)
		if (sscanf(r->lines[i], "conn %llu tx %u %llu rx %u %llu", &ret->id, &ret->tx_id, &ret->tx,
			    &ret->rx_id, &ret->rx) == 5 &&
			!nth--)
			return ep_of(r, ret->id);
	CHECK(!"the workload said so many ends");
	return NULL;
}

/* All ends that the workload spoke of, byte by byte, nothing lost; how many. */
static inline size_t check_conns(struct run *r)
{
	struct conn_line c;
	size_t n = 0;

	for (size_t i = 0; i < r->lines_n; i++)
		n += !strncmp(r->lines[i], "conn ", 5);
	for (size_t i = 0; i < n; i++) {
		struct ep_log *l = conn_line(r, i, &c);

		CHECK(l);
		if (!l)
			continue;
		check_stream(&l->dir[DIR_TX], c.tx_id, 0, c.tx, 0);
		check_stream(&l->dir[DIR_RX], c.rx_id, 0, c.rx, 0);
		CHECK_EQ(l->told_lost, 0);
	}
	CHECK_EQ(r->lost_unknown, 0);
	return n;
}

/* --- what the tests share --- */

static char work[512]; /* path of the workload's program */
static char dir[] = "/tmp/evt-capture-XXXXXX";
static struct run r;

static const struct live_opts defaults = {.ring_bytes = 8 << 20};

/* Runs `work WORDS...` to its end, watched from its first instruction. */
static inline bool run_work(const struct live_opts *opts, const char *words, bool look)
{
	char text[256], *argv[16] = {work}, *save = NULL;
	int n = 1;

	snprintf(text, sizeof(text), "%s", words);
	for (char *w = strtok_r(text, " ", &save); w && n < 15; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	if (!run_new(&r, opts))
		return false;
	run_start(&r, argv, true);
	if (look)
		run_wait(&r, 0, true);
	return true;
}

static inline void check_ended_well(void)
{
	CHECK(r.ended);
	CHECK_EQ(r.status, 0);
}

/* The workload lies beside the test. 0: go on; else the exit code. */
static inline int judge_begin(void)
{
	struct err e = {0};
	ssize_t n = readlink("/proc/self/exe", work, sizeof(work) - 1);
	char *slash;

	if (backend_check_privileges(&e)) {
		printf("skipped: %s\n", e.msg);
		return 77;
	}
	slash = n > 0 ? memrchr(work, '/', (size_t)n) : NULL;
	if (!slash || !mkdtemp(dir))
		return 1;
	snprintf(slash, sizeof(work) - (size_t)(slash - work), "/work");
	if (access(work, X_OK)) /* a benchmark */
		snprintf(slash, sizeof(work) - (size_t)(slash - work), "/../bpf/work");
	return 0;
}

static inline int judge_end(void)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) ? 1 : test_end();
}

#endif
