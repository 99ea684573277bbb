/*
 * Nanoseconds that the kernel side adds to a system call, as the kernel's own statistics count them
 * (BPF_ENABLE_STATS), for each way a call can go. The statistics' own two clock readings, some 40 ns, are in
 * every figure. Other programs of the host make calls meanwhile, out of scope; their share is printed and
 * their cost taken off.
 */
#include <bpf/bpf.h>

#include "bpf/judge.h"

#define CALLS 400000 /* of a phase: writes and reads, half each */
#define TIMES 3

/* How a phase's calls go. */
enum way { OUT_OF_SCOPE, CAPTURED, DROPPED, NO_SOCKET };

static double base_ns; /* of a call out of scope, once that was measured: what the calls of others cost */

static int ignore_chunk(void *ctx, const struct chunk *c)
{
	(void)ctx;
	(void)c;
	return 0;
}

/* ns a run of the program while `work speed KIND BYTES` makes its calls; *ret_foreign: runs by others, in %.
 */
static double measure(const char *kind, const char *bytes, enum way way, unsigned *ret_foreign)
{
	char *argv[] = {work, "speed", (char *)kind, (char *)bytes, "200000", NULL};
	struct live_opts opts = {.ring_bytes = 64 << 20};
	struct live_stats before, after;
	uint64_t runs;
	double others, ns;

	if (!run_new(&r, &opts))
		return -1;
	run_start(&r, argv, way != OUT_OF_SCOPE);
	run_wait(&r, 1, true);
	for (size_t i = 0; way == DROPPED && i < r.eps_n; i++)
		live_verdict(r.live, r.eps[i].info.id, VERDICT_IGNORE);
	r.sink.chunk = ignore_chunk; /* keeping every byte would measure the judge's memory */
	live__stats(r.live, &before);
	run_go(&r);
	run_wait(&r, 2, true);
	live__stats(r.live, &after);
	run_go(&r);
	run_wait(&r, 0, true);
	runs = after.prog_runs - before.prog_runs;
	others = runs > CALLS ? (double)(runs - CALLS) * base_ns : 0;
	ns = ((double)(after.prog_ns - before.prog_ns) - others) / (runs < CALLS ? (double)runs : CALLS);
	*ret_foreign = runs > CALLS ? (unsigned)((runs - CALLS) * 100 / runs) : 0;
	if (after.lost_records)
		printf("  (%llu records lost)\n", (unsigned long long)after.lost_records);
	run_free(&r);
	return ns;
}

int main(void)
{
	static const struct {
		const char *what, *kind, *bytes;
		enum way way;
	} rows[] = {
		{"out of scope", "pair", "256", OUT_OF_SCOPE},
		{"in scope, no socket", "pipe", "256", NO_SOCKET},
		{"dropped by verdict", "pair", "256", DROPPED},
		{"captured, 16 B, Unix", "pair", "16", CAPTURED},
		{"captured, 256 B, Unix", "pair", "256", CAPTURED},
		{"captured, 256 B, TCP", "tcp4", "256", CAPTURED},
		{"captured, 4 KiB, TCP", "tcp4", "4096", CAPTURED},
		{"captured, 32 KiB, TCP", "tcp4", "32768", CAPTURED},
	};
	int code = judge_begin(), fd;

	if (code)
		return code;
	fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (fd < 0) {
		printf("skipped: the kernel keeps no statistics of BPF programs\n");
		return 77;
	}
	printf("%-24s  ns a call, best of %d (calls of others)\n", "", TIMES);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned foreign = 0, f;
		double best = 0;

		for (int k = 0; k < TIMES; k++) {
			double ns = measure(rows[i].kind, rows[i].bytes, rows[i].way, &f);

			if (!k || ns < best) {
				best = ns;
				foreign = f;
			}
		}
		if (rows[i].way == OUT_OF_SCOPE)
			base_ns = best;
		printf("%-24s  %7.0f  (%u %%)\n", rows[i].what, best, foreign);
	}
	close(fd);
	return judge_end();
}
