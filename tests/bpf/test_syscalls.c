/*
 * What bpf/syscalls.bpf.c and the live source promise: each byte that a watched program moves over a stream
 * socket comes out once, in order, at its place, or is counted. Each case runs a workload (work.c) in the
 * scope of its own live source; no other process is looked at.
 */
#include "bpf/judge.h"

#include <bpf/bpf.h>
#include <sys/socket.h>

static void xfer_case(const char *words)
{
	if (run_work(&defaults, words, true)) {
		check_ended_well();
		CHECK_EQ(check_conns(&r), 2);
		for (size_t i = 0; i < r.eps_n; i++)
			CHECK(r.eps[i].info.from_start);
	}
	run_free(&r);
}

/* --- bytes --- */

static void tcp4_read_write(void)
{
	xfer_case("xfer tcp4 rw 10007 1009 777");
}

static void tcp4_writev_1024_iovecs(void)
{
	xfer_case("xfer tcp4 vec 1000003 60000 50000");
}

static void tcp4_sendto(void)
{
	xfer_case("xfer tcp4 to 100003 1009 4096");
}

static void tcp4_sendmsg(void)
{
	xfer_case("xfer tcp4 msg 100003 30011 20011");
}

static void tcp4_sendmmsg(void)
{
	xfer_case("xfer tcp4 mmsg 1000003 70001 50021");
}

static void tcp6_read_write(void)
{
	xfer_case("xfer tcp6 rw 10007 1009 777");
}

static void unix_sendmsg(void)
{
	xfer_case("xfer unix msg 100003 30011 20011");
}

static void unix_sendmmsg(void)
{
	xfer_case("xfer unix mmsg 100003 30011 20011");
}

static void abstract_writev(void)
{
	xfer_case("xfer abstract vec 100003 30011 20011");
}

static void socketpair_read_write(void)
{
	xfer_case("xfer pair rw 100003 1009 777");
}

static void large_writes(void)
{
	xfer_case("xfer tcp4 rw 3000000 1500000 200000");
	xfer_case("xfer unix vec 3000000 3000000 1000000");
	xfer_case("xfer pair to 65536 32768 32768");
}

static void one_byte_writes(void)
{
	xfer_case("xfer tcp4 rw 1009 1 1");
}

/* One call moves 20 MiB: its first 16 MiB are copied, the rest is a gap that the chunk states. */
static void beyond_the_cap(void)
{
	struct live_opts opts = {.ring_bytes = 64 << 20};
	const uint64_t total = 20 << 20, copied = 16 << 20;
	struct live_stats st;
	struct conn_line c;
	struct ep_log *l;

	if (run_work(&opts, "xfer pair rw 20971520 20971520 65536", true)) {
		check_ended_well();
		l = conn_line(&r, 0, &c);
		CHECK(l);
		if (l) {
			check_stream(&l->dir[DIR_TX], c.tx_id, 0, total, total - copied);
			CHECK(l->dir[DIR_TX].there && l->dir[DIR_TX].there[copied - 1]);
		}
		l = conn_line(&r, 1, &c);
		CHECK(l);
		if (l)
			check_stream(&l->dir[DIR_RX], c.rx_id, 0, total, 0);
		live__stats(r.live, &st);
		CHECK(st.lost_bytes >= total - copied);
	}
	run_free(&r);
}

static void peek_and_throw_away(void)
{
	struct conn_line c;
	struct ep_log *l;

	xfer_case("peek pair");
	if (run_work(&defaults, "peek tcp4 trunc", true)) {
		check_ended_well();
		l = conn_line(&r, 1, &c);
		CHECK(l);
		if (l) {
			check_stream(&l->dir[DIR_RX], c.rx_id, 0, 1000, 300);
			CHECK_EQ(l->closed_by_peer, 0);
		}
	}
	run_free(&r);
}

static void sendfile_is_a_gap(void)
{
	static const char *const words[] = {"file tcp4", "file pair"};
	struct conn_line c;
	struct ep_log *l;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (run_work(&defaults, words[i], true)) {
			check_ended_well();
			l = conn_line(&r, 0, &c);
			CHECK(l);
			if (l)
				check_stream(&l->dir[DIR_TX], c.tx_id, 0, 2200, 2000);
			l = conn_line(&r, 1, &c);
			CHECK(l);
			if (l)
				check_stream(&l->dir[DIR_RX], c.rx_id, 0, 2200, 0);
		}
		run_free(&r);
	}
}

/* --- connections --- */

static void addresses_and_roles(void)
{
	static const uint8_t lo4[16] = {127, 0, 0, 1}, lo6[16] = {[15] = 1};
	static const struct {
		const char *words;
		uint16_t family;
		const uint8_t *addr;
	} cases[] = {
		{"xfer tcp4 rw 10 10 10", AF_INET, lo4},
		{"xfer mapped rw 10 10 10", AF_INET, lo4},
		{"xfer tcp6 rw 10 10 10", AF_INET6, lo6},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ep_log *cl, *sv;
		struct conn_line c;

		if (run_work(&defaults, cases[i].words, true) && check_conns(&r) == 2) {
			cl = conn_line(&r, 0, &c);
			sv = conn_line(&r, 1, &c);
			CHECK(cl && sv);
			if (cl && sv) {
				CHECK_EQ(cl->info.role, ENDPOINT_CLIENT);
				CHECK_EQ(sv->info.role, ENDPOINT_SERVER);
				CHECK_EQ(cl->info.family, cases[i].family);
				CHECK_EQ(sv->info.family, cases[i].family);
				CHECK_EQ(cl->info.local_port, sv->info.remote_port);
				CHECK_EQ(sv->info.local_port, cl->info.remote_port);
				CHECK(!memcmp(cl->info.remote_addr, cases[i].addr, 16));
				CHECK(!memcmp(sv->info.remote_addr, cases[i].addr, 16));
				CHECK(!memcmp(sv->info.local_addr, cases[i].addr, 16));
				CHECK(cl->info.netns && cl->info.netns == sv->info.netns);
				/* Both ends share one number space. */
				CHECK_EQ(cl->info.pos[DIR_TX], sv->info.pos[DIR_RX]);
				CHECK_EQ(cl->info.pos[DIR_RX], sv->info.pos[DIR_TX]);
			}
		}
		run_free(&r);
	}
}

static void unix_ends(void)
{
	static const char *const words[] = {"xfer unix rw 10 10 10", "xfer abstract rw 10 10 10"};
	static const char *const prefixes[] = {"/tmp/evt-work-", "@tmp/evt-work-"};
	struct ep_log *cl, *sv;
	struct conn_line c;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (run_work(&defaults, words[i], true) && check_conns(&r) == 2) {
			cl = conn_line(&r, 0, &c);
			sv = conn_line(&r, 1, &c);
			CHECK(cl && sv);
			if (cl && sv) {
				CHECK_EQ(cl->info.role, ENDPOINT_CLIENT);
				CHECK_EQ(sv->info.role, ENDPOINT_SERVER);
				CHECK_EQ(sv->info.peer_id, cl->info.id);
				CHECK(!strncmp(cl->path, prefixes[i], strlen(prefixes[i])));
				CHECK_STR(sv->path, cl->path);
			}
		}
		run_free(&r);
	}
}

static void nonblocking_connect(void)
{
	struct ep_log *l;
	struct conn_line c;

	if (run_work(&defaults, "nonblocking tcp4", true)) {
		check_ended_well();
		CHECK_EQ(check_conns(&r), 2);
		l = conn_line(&r, 0, &c);
		CHECK(l && l->info.from_start && l->info.role == ENDPOINT_CLIENT);
	}
	run_free(&r);
}

/* The connection moved bytes before anybody looked: what comes after is exact, and not taken for the start.
 */
static void attach_after_connect(void)
{
	static const char *const kinds[] = {"tcp4", "tcp6", "unix", "pair"};
	unsigned long long tx = 0, rx = 0;
	struct conn_line c;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char *argv[] = {work, "late", (char *)kinds[i], NULL};

		if (!run_new(&r, &defaults))
			return;
		run_start(&r, argv, false);
		run_wait(&r, 1, true);
		CHECK_EQ(r.eps_n, 0);
		CHECK_EQ(live_add_pid(r.live, r.pid, &e), 0);
		run_go(&r);
		run_wait(&r, 0, true);
		check_ended_well();
		CHECK(r.lines_n > 1 && sscanf(r.lines[1], "from %llu %llu", &tx, &rx) == 2);
		for (size_t k = 0; k < 2; k++) {
			struct ep_log *l = conn_line(&r, k, &c);

			CHECK(l);
			if (!l)
				continue;
			CHECK(!l->info.from_start);
			/* Whose port is listened on, or who has the name, is the server. */
			if (strcmp(kinds[i], "pair"))
				CHECK_EQ(l->info.role, k ? ENDPOINT_SERVER : ENDPOINT_CLIENT);
			else
				CHECK_EQ(l->info.role, ENDPOINT_UNKNOWN);
			check_stream(&l->dir[k ? DIR_RX : DIR_TX], 1, tx, 5000, 0);
			check_stream(&l->dir[k ? DIR_TX : DIR_RX], 2, rx, 400, 0);
		}
		run_free(&r);
	}
}

static void how_it_ends(void)
{
	static const struct {
		const char *kind, *how;
		unsigned closed, by_peer; /* of the client, of the server when only the client has ended */
	} cases[] = {
		{"tcp4", "close", 1, 0},
		{"tcp4", "eof", 1, 1},
		{"tcp4", "shutdown", 1, 1},
		{"tcp4", "half", 0, 1},
		{"unix", "eof", 1, 1},
		{"unix", "shutdown", 1, 1},
		{"unix", "half", 0, 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ep_log *cl, *sv;
		struct conn_line c;
		char words[64];

		snprintf(words, sizeof(words), "ends %s %s", cases[i].kind, cases[i].how);
		if (!run_work(&defaults, words, false))
			return;
		run_wait(&r, 1, true);
		cl = conn_line(&r, 0, &c);
		sv = conn_line(&r, 1, &c);
		CHECK(cl && sv);
		if (cl && sv) {
			CHECK_EQ(cl->closed, cases[i].closed);
			CHECK_EQ(sv->closed_by_peer, cases[i].by_peer);
			CHECK_EQ(sv->closed, 0);
			run_go(&r);
			if (strcmp(cases[i].how, "half")) {
				run_wait(&r, 2, true);
				CHECK_EQ(sv->closed, 1);
				run_go(&r);
			}
			run_wait(&r, 0, true); /* by the end of the process at the latest */
			CHECK_EQ(cl->closed, 1);
			CHECK_EQ(sv->closed, 1);
		}
		run_free(&r);
	}
}

/* The number that TCP's FIN takes is no byte. */
static void last_bytes_and_the_end(void)
{
	xfer_case("last tcp4");
	xfer_case("last tcp6");
	xfer_case("last unix");
}

static void threads_and_connections(void)
{
	if (run_work(&defaults, "threads", true)) {
		check_ended_well();
		CHECK_EQ(check_conns(&r), 8);
	}
	run_free(&r);
}

/* --- verdicts and losses --- */

static void verdict_drops(void)
{
	static const char *const words[] = {"rounds tcp4", "rounds pair"};
	struct conn_line c;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!run_work(&defaults, words[i], false))
			return;
		run_wait(&r, 1, true);
		for (size_t k = 0; k < r.eps_n; k++)
			live_verdict(r.live, r.eps[k].info.id, VERDICT_IGNORE);
		run_go(&r);
		run_wait(&r, 2, true);
		for (size_t k = 0; k < r.eps_n; k++)
			live_verdict(r.live, r.eps[k].info.id, VERDICT_TAKE);
		run_go(&r);
		run_wait(&r, 3, true);
		run_go(&r);
		run_wait(&r, 0, true);
		check_ended_well();
		/* The second of three rounds was not copied. TCP's numbers show that. */
		for (size_t k = 0; k < 2; k++) {
			struct ep_log *l = conn_line(&r, k, &c);
			uint64_t copied = 0;

			CHECK(l);
			for (uint64_t b = 0; l && b < l->dir[k].n; b++)
				copied += l->dir[k].there[b];
			CHECK_EQ(copied, 2000);
			if (l && !i)
				check_stream(&l->dir[k], 1, 0, 3000, 1000);
		}
		run_free(&r);
	}
}

/* Empties the map `conns` of this test's live source, as its bound does on a very busy host. */
static void forget_connections(void)
{
	char name[32];

	for (int fd = 3; fd < 256; fd++) {
		struct bpf_map_info info = {0};
		__u32 len = sizeof(info);
		uint64_t key;

		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		if (access(name, F_OK) || bpf_obj_get_info_by_fd(fd, &info, &len) ||
			strcmp(info.name, "conns") || info.type != BPF_MAP_TYPE_LRU_HASH)
			continue;
		while (!bpf_map_get_next_key(fd, NULL, &key))
			bpf_map_delete_elem(fd, &key);
	}
}

static void forgotten_connections(void)
{
	static const char *const words[] = {"rounds tcp4", "rounds pair"};
	struct conn_line c;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!run_work(&defaults, words[i], false))
			return;
		run_wait(&r, 1, true);
		forget_connections();
		run_go(&r);
		run_wait(&r, 2, true);
		for (size_t k = 0; k < r.eps_n; k++)
			live_verdict(r.live, r.eps[k].info.id, VERDICT_IGNORE);
		forget_connections(); /* a dropped one is dropped again when it is seen again */
		run_go(&r);
		run_wait(&r, 3, true);
		run_go(&r);
		run_wait(&r, 0, true);
		check_ended_well();
		for (size_t k = 0; k < 2; k++) {
			struct ep_log *l = conn_line(&r, k, &c);

			/* Opened once, all of two rounds in its place, and of the third what was quicker. */
			CHECK(l && l->dir[k].n >= 2000 && l->dir[k].n <= 3000);
			if (l)
				check_stream(&l->dir[k], 1, 0, l->dir[k].n, 0);
		}
		run_free(&r);
	}
}

/* Nobody reads a ring of 64 KiB while 4 MiB pass: what is not there is told, to the byte. */
static void full_ring_is_counted(void)
{
	static const char *const words[] = {
		"xfer tcp4 rw 4194304 4096 65536", "xfer pair rw 4194304 4096 65536"};
	struct live_opts opts = {.ring_bytes = 64 << 10};
	struct live_stats st;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		uint64_t copied = 0, told = 0, moved = 0;
		struct conn_line c;

		if (!run_work(&opts, words[i], false))
			return;
		run_wait(&r, 0, false);
		CHECK_EQ(live_drain(r.live, &r.sink), 0);
		check_ended_well();
		for (size_t k = 0; k < 2; k++) {
			struct ep_log *l = conn_line(&r, k, &c);
			uint64_t here = 0;

			moved += c.tx + c.rx;
			CHECK(l);
			if (!l)
				continue;
			for (int d = 0; d < 2; d++)
				for (uint64_t b = 0; b < l->dir[d].n; b++)
					here += l->dir[d].there[b];
			CHECK_EQ(here + l->told_lost, c.tx + c.rx);
			copied += here;
			told += l->told_lost;
		}
		CHECK_EQ(copied + told, moved);
		CHECK(told > 0 && copied > 0);
		live__stats(r.live, &st);
		CHECK_EQ(st.lost_bytes, told);
		CHECK(st.lost_records > 0);
		run_free(&r);
	}
}

int main(void)
{
	int code = judge_begin();

	if (code)
		return code;
	RUN(tcp4_read_write);
	RUN(tcp4_writev_1024_iovecs);
	RUN(tcp4_sendto);
	RUN(tcp4_sendmsg);
	RUN(tcp4_sendmmsg);
	RUN(tcp6_read_write);
	RUN(unix_sendmsg);
	RUN(unix_sendmmsg);
	RUN(abstract_writev);
	RUN(socketpair_read_write);
	RUN(large_writes);
	RUN(one_byte_writes);
	RUN(beyond_the_cap);
	RUN(peek_and_throw_away);
	RUN(sendfile_is_a_gap);
	RUN(addresses_and_roles);
	RUN(unix_ends);
	RUN(nonblocking_connect);
	RUN(attach_after_connect);
	RUN(how_it_ends);
	RUN(last_bytes_and_the_end);
	RUN(threads_and_connections);
	RUN(verdict_drops);
	RUN(forgotten_connections);
	RUN(full_ring_is_counted);
	return judge_end();
}
