/*
 * Finds the decoder of each connection and drives it. An undecided connection consumes nothing, so whatever
 * the decoder needs of the first bytes is still there when it is found (stream offers it again).
 */
#include "proto/detect.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"

#define LIMIT_FROM_START (16u << 10)
#define LIMIT_ATTACHED   (64u << 10)
/* As long as one of the two has said nothing: a producer's first batch may be large. */
#define LIMIT_FIRST_WORD (8u << 20)
#define LIMIT_ONE_SIDED  (64u << 20) /* attached: an answer to what was asked before */
#define PROBE_EACH       4096 /* of a direction: up to here each new byte is probed, beyond a quarter more */
#define DEFAULT_PAYLOAD  (1u << 20)

static const struct proto *const builtin[] = {
#define PROTO(id, name, num) &proto_##name,
#include "proto/protos.def"
#undef PROTO
};

struct detect {
	struct detect_opts opts;
	struct detect_out out;
	struct proto_opts proto_opts;
	struct streams *streams;
	uint64_t next_op;
	void *shared[256]; /* by enum proto_id: made for its first connection */
};

/* What detect knows of a connection: conn.user. */
struct dconn {
	struct detect *d;
	struct conn *c;
	enum conn_state state;
	const struct proto *p;
	void *st;
	uint64_t excluded; /* by index: decoders that had it and found that it was not theirs */
	bool from_start, emitted, consumed;
	size_t probed[2]; /* bytes of each direction at the last probe */
	size_t lead;      /* what one side said before the other one first did */
	int64_t closing_ns;
	int err; /* the first one of out.op() */
	struct dflow {
		size_t needed;
		bool resync;
		uint64_t resumed_at; /* where resync() said to go on last */
		uint64_t skipped;    /* to the next frame, not reported yet */
		uint64_t early;      /* lost before a decoder was found */
	} flow[2];
};

const struct proto *proto_by_id(enum proto_id id)
{
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		if (builtin[i]->id == id)
			return builtin[i];
	return NULL;
}

const struct proto *proto_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		if (!strcmp(builtin[i]->name, name))
			return builtin[i];
	return NULL;
}

struct detect *detect__new(const struct detect_opts *opts, const struct detect_out *out)
{
	struct detect *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	if (opts)
		d->opts = *opts;
	if (!d->opts.protos) {
		d->opts.protos = builtin;
		d->opts.protos_n = ARRAY_LEN(builtin);
	}
	d->out = *out;
	d->proto_opts.payload_limit = d->opts.payload_limit ? d->opts.payload_limit : DEFAULT_PAYLOAD;
	d->next_op = d->opts.first_op_id ? d->opts.first_op_id : 1;
	return d;
}

void detect__free(struct detect *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->opts.protos_n; i++) {
		const struct proto *p = d->opts.protos[i];

		if (p->shared_free)
			p->shared_free(d->shared[p->id & 0xff]);
	}
	free(d);
}

void detect_set_streams(struct detect *d, struct streams *s)
{
	d->streams = s;
}

static int say(struct dconn *dc)
{
	const struct detect_out *out = &dc->d->out;

	return out->conn(out->ctx, dc->c, dc->p, dc->state);
}

/* --- operations --- */

/* The byte that stands for an operation's moment: what was received counts when it was there as a whole. */
static uint64_t telling_byte(const struct op *op)
{
	bool at_end = op->kind == OP_RECEIVE || (op->kind == OP_SETTLE && op->settle == SETTLE_AUTO);

	return at_end ? op->pos + op->len - 1 : op->pos;
}

static uint64_t on_emit(void *ctx, struct op *op)
{
	struct dconn *dc = ctx;
	struct detect *d = dc->d;
	struct mark m = {0};
	int err;

	if (dc->err)
		return 0;
	if (op->len)
		m = stream_mark(dc->c, op->flowdir, telling_byte(op));
	if (!op->len || m.by_server)
		m = (struct mark){.ts_ns = m.ts_ns, .pid = dc->c->client_pid};
	if (!m.ts_ns)
		m.ts_ns = dc->closing_ns ? dc->closing_ns : dc->c->last_ns;
	op->id = d->next_op++;
	op->conn = dc->c->id;
	op->proto = (uint8_t)dc->p->id;
	op->ts_ns = m.ts_ns;
	op->pid = m.pid;
	op->tid = m.tid;
	op->unit = m.unit;
	dc->emitted = true;
	err = d->out.op(d->out.ctx, op, dc->c);
	if (err < 0) {
		dc->err = err;
		return 0;
	}
	return op->id;
}

static int report_gap(struct dconn *dc, enum flowdir d, uint64_t n, const char *reason)
{
	const struct detect_out *out = &dc->d->out;

	return out->gap(out->ctx, dc->c, d, n, reason, dc->c->last_ns);
}

static void on_decoder_gap(void *ctx, enum flowdir d, uint64_t n, const char *reason)
{
	struct dconn *dc = ctx;
	int err = dc->err ? 0 : report_gap(dc, d, n, reason);

	if (err < 0)
		dc->err = err;
}

static void on_secret(void *ctx, enum flowdir d, uint64_t pos, uint64_t n)
{
	struct dconn *dc = ctx;

	stream_secret(dc->c, d, pos, n);
}

/* --- finding out --- */

/* RFC 8446, 5.1: type, legacy version 3.x, length of at most 2^14 + 256; RFC 5246 allows 2^14 + 2048. */
static bool tls_header(struct span s)
{
	return s.n >= 5 && s.p[0] >= 20 && s.p[0] <= 23 && s.p[1] == 3 && s.p[2] <= 4 &&
	       (s.p[3] << 8 | s.p[4]) <= 16384 + 2048 && (s.p[3] | s.p[4]);
}

static bool looks_like_tls(struct span s, bool from_start)
{
	size_t n;

	if (!tls_header(s))
		return false;
	/* A handshake record that begins with ClientHello (1) or ServerHello (2). */
	if (from_start)
		return s.n >= 6 && s.p[0] == 22 && (s.p[5] == 1 || s.p[5] == 2);
	/* From the middle: a record that is followed by another one, or by nothing. */
	n = 5 + (size_t)(s.p[3] << 8 | s.p[4]);
	return s.n == n || (s.n > n && tls_header(span_sub(s, n, SIZE_MAX)));
}

/* Nothing more is wanted of this connection. */
static int give_up(struct dconn *dc, enum conn_state st)
{
	dc->state = st;
	stream_ignore(dc->d->streams, dc->c);
	return say(dc);
}

/* The same for every connection to one server. */
static uint64_t server_of(const struct conn *c)
{
	uint64_t h = hash64(c->server_addr, sizeof(c->server_addr), hash_u64(c->netns));

	return hash_span(span_of(c->path, strnlen(c->path, sizeof(c->path))), h ^ c->server_port);
}

static uint64_t client_of(const struct conn *c)
{
	uint64_t who =
		c->client_pid ? hash_u64(c->client_pid) : hash64(c->client_addr, sizeof(c->client_addr), 0);

	return hash_u64(who ^ hash_u64(c->netns));
}

static int adopt(struct dconn *dc, const struct proto *p)
{
	struct proto_out out = {dc, on_emit, on_secret, on_decoder_gap};
	struct proto_opts opts = dc->d->proto_opts;
	void **shared = &dc->d->shared[p->id & 0xff];
	int err;

	if (p->shared_new && !*shared) {
		*shared = p->shared_new();
		if (!*shared)
			return -ENOMEM;
	}
	opts.shared = *shared;
	opts.server = server_of(dc->c);
	opts.client = client_of(dc->c);
	dc->st = p->state_new(&opts, &out, dc->from_start);
	if (!dc->st)
		return -ENOMEM;
	dc->p = p;
	dc->state = CONN_DECODED;
	stream_take(dc->d->streams, dc->c);
	err = say(dc);
	for (int d = 0; d < 2 && !err; d++) {
		struct dflow *f = &dc->flow[d];
		uint64_t n = f->early;

		*f = (struct dflow){.resumed_at = UINT64_MAX};
		if (n)
			err = report_gap(dc, d, n, "lost before the protocol was recognised");
	}
	return err;
}

static int probe_all(struct dconn *dc, struct span to_server, struct span to_client)
{
	const struct detect_opts *o = &dc->d->opts;
	bool more = false;

	for (size_t i = 0; i < o->protos_n; i++) {
		const struct proto *p = o->protos[i];
		enum probe_result r;

		if (i < 64 && dc->excluded >> i & 1)
			continue;
		r = p->probe(to_server, to_client, dc->from_start);
		if (r == PROBE_REVERSED)
			stream_swap(dc->c);
		if (r == PROBE_YES || r == PROBE_REVERSED)
			return adopt(dc, p);
		more |= r == PROBE_MORE;
	}
	return more ? 0 : give_up(dc, CONN_OTHER);
}

static size_t undecided_limit(const struct dconn *dc, bool one_sided)
{
	if (dc->d->opts.undecided_limit)
		return dc->d->opts.undecided_limit;
	if (dc->from_start)
		return one_sided ? LIMIT_FIRST_WORD : LIMIT_FROM_START + dc->lead;
	return one_sided ? LIMIT_ONE_SIDED : LIMIT_ATTACHED + dc->lead;
}

static bool grown(size_t n, size_t before)
{
	if (n <= PROBE_EACH)
		return n > before;
	return n >= before + (n <= LIMIT_ATTACHED ? before / 4 : LIMIT_ATTACHED / 2);
}

/*
 * On a connection that was there before, one side may say much before the other one says anything: the answer
 * to what was asked before we came, or the rest of a large request. It proves nothing against a broker's, so
 * it counts only from the other side's first word on; of much the newest bytes are looked at.
 */
static int decide(struct dconn *dc, enum flowdir d, struct span data)
{
	struct span s[2];
	size_t total, limit;
	bool one_sided;
	int err;

	s[d] = data;
	s[!d] = stream_pending(dc->c, !d);
	total = s[0].n + s[1].n;
	one_sided = !s[0].n || !s[1].n;
	if (one_sided)
		dc->lead = total;
	limit = undecided_limit(dc, one_sided);
	if (!grown(s[0].n, dc->probed[0]) && !grown(s[1].n, dc->probed[1]) && total <= limit)
		return 0;
	if (looks_like_tls(s[0], dc->from_start) || looks_like_tls(s[1], dc->from_start))
		return give_up(dc, CONN_ENCRYPTED);
	for (int i = 0; i < 2; i++) {
		dc->probed[i] = s[i].n;
		if (!dc->from_start && s[i].n > LIMIT_ATTACHED)
			s[i] = span_sub(s[i], s[i].n - LIMIT_ATTACHED, SIZE_MAX);
	}
	if (one_sided)
		total += dc->flow[0].early + dc->flow[1].early;
	err = probe_all(dc, s[TO_SERVER], s[TO_CLIENT]);
	if (!err && dc->state == CONN_UNKNOWN && total > limit)
		err = give_up(dc, CONN_OTHER);
	return err;
}

/* --- driving the decoder --- */

static int report_skipped(struct dconn *dc, enum flowdir d)
{
	uint64_t n = dc->flow[d].skipped;

	dc->flow[d].skipped = 0;
	return n ? report_gap(dc, d, n, "not at the start of a frame: skipped to the next one") : 0;
}

/* The decoder says that this is not its protocol. As long as it has told nobody anything, another may try. */
static int disown(struct dconn *dc, struct span rest)
{
	const struct detect_opts *o = &dc->d->opts;

	if (looks_like_tls(rest, false))
		return give_up(dc, CONN_ENCRYPTED);
	if (dc->emitted)
		return give_up(dc, CONN_FAILED);
	for (size_t i = 0; i < o->protos_n && i < 64; i++)
		if (o->protos[i] == dc->p)
			dc->excluded |= 1ULL << i;
	dc->p->state_free(dc->st);
	dc->st = NULL;
	dc->p = NULL;
	dc->state = CONN_UNKNOWN;
	dc->probed[0] = dc->probed[1] = 0;
	dc->from_start &= !dc->consumed;
	return say(dc);
}

/* Returns how far to skip, or -1 when @rest must be longer. */
static int64_t next_frame(struct dconn *dc, enum flowdir d, uint64_t pos, struct span rest)
{
	struct dflow *f = &dc->flow[d];
	int64_t r = dc->p->resync(dc->st, d, pos, rest);

	if (r < 0)
		return -1;
	if ((uint64_t)r > rest.n)
		r = (int64_t)rest.n;
	/* The same place again: the decoder takes for a frame what it cannot read. */
	if (pos + (uint64_t)r == f->resumed_at && (uint64_t)r < rest.n)
		return r + 1;
	f->resumed_at = pos + (uint64_t)r;
	f->resync = false;
	return r;
}

/* Goes on after a gap. Returns false when more bytes are needed. */
static bool resync(struct dconn *dc, enum flowdir d, uint64_t pos, struct span data, size_t *off)
{
	struct dflow *f = &dc->flow[d];
	struct span rest = span_sub(data, *off, SIZE_MAX);
	int64_t r = next_frame(dc, d, pos + *off, rest);
	size_t n = (size_t)r, tail = proto_resync_tail(dc->p, d);

	if (r < 0)
		n = rest.n > tail ? rest.n - tail : 0;
	f->skipped += n;
	*off += n;
	return r >= 0;
}

static int parse_once(
	struct dconn *dc, enum flowdir d, uint64_t pos, struct span data, size_t *off, bool *more)
{
	struct dflow *f = &dc->flow[d];
	struct span rest = span_sub(data, *off, SIZE_MAX);
	struct parse_result r;

	*more = false;
	if (rest.n < f->needed)
		return 0;
	f->needed = 0;
	r = dc->p->parse(dc->st, d, pos + *off, rest);
	if (dc->err)
		return dc->err;
	if (r.consumed > rest.n)
		r.consumed = rest.n;
	*off += r.consumed;
	dc->consumed |= r.consumed > 0;
	switch (r.status) {
	case PARSE_OK:
		f->needed = r.needed;
		*more = r.consumed && !r.needed;
		return 0;
	case PARSE_LOST:
		f->resync = *more = true;
		return 0;
	case PARSE_UNREAD:
		return give_up(dc, CONN_UNREAD);
	case PARSE_ERROR:
		break;
	}
	return disown(dc, span_sub(data, *off, SIZE_MAX));
}

static int64_t decode(struct dconn *dc, enum flowdir d, uint64_t pos, struct span data)
{
	struct dflow *f = &dc->flow[d];
	bool more = true;
	size_t off = 0;
	int err = 0;

	while (!err && more && off < data.n && dc->state == CONN_DECODED) {
		if (!f->resync) {
			err = parse_once(dc, d, pos, data, &off, &more);
			continue;
		}
		more = resync(dc, d, pos, data, &off);
		if (more && !f->resync)
			err = report_skipped(dc, d);
	}
	if (!err && dc->state == CONN_UNKNOWN && off < data.n)
		err = decide(dc, d, span_sub(data, off, SIZE_MAX));
	return err ? err : (int64_t)off;
}

/* --- what stream calls --- */

static int on_open(void *ctx, struct conn *c)
{
	struct dconn *dc = calloc(1, sizeof(*dc));

	if (!dc)
		return -ENOMEM;
	dc->d = ctx;
	dc->c = c;
	dc->from_start = c->from_start;
	c->user = dc;
	return say(dc);
}

static int64_t on_data(void *ctx, struct conn *c, enum flowdir d, uint64_t pos, struct span data)
{
	struct dconn *dc = c->user;
	int err;

	(void)ctx;
	if (dc->state == CONN_DECODED)
		return decode(dc, d, pos, data);
	if (dc->state != CONN_UNKNOWN)
		return (int64_t)data.n;
	err = decide(dc, d, data);
	return err < 0 ? err : 0;
}

static int on_gap(void *ctx, struct conn *c, enum flowdir d, uint64_t pos, uint64_t n, const char *reason)
{
	struct dconn *dc = c->user;
	struct dflow *f = &dc->flow[d];
	int err;

	(void)ctx;
	if (dc->state == CONN_UNKNOWN) {
		f->early += n;
		dc->from_start = false;
		dc->probed[0] = dc->probed[1] = 0;
		return 0;
	}
	if (dc->state != CONN_DECODED)
		return 0;
	err = report_skipped(dc, d);
	if (!err)
		err = report_gap(dc, d, n, reason);
	f->needed = 0;
	f->resync = true;
	dc->p->gap(dc->st, d, pos, n);
	return err ? err : dc->err;
}

/* Nothing more comes: what was skipped, and what still waited for the beginning of a frame. */
static int report_rest(struct dconn *dc)
{
	int err = 0;

	for (int d = 0; d < 2 && !err && dc->state == CONN_DECODED; d++) {
		if (dc->flow[d].resync)
			dc->flow[d].skipped += stream_pending(dc->c, d).n;
		err = report_skipped(dc, d);
	}
	return err;
}

static int on_flush(void *ctx, struct conn *c)
{
	(void)ctx;
	return report_rest(c->user);
}

static int on_close(void *ctx, struct conn *c, int64_t ts_ns, bool by_client)
{
	struct dconn *dc = c->user;
	int err = 0;

	(void)ctx;
	(void)by_client;
	if (dc->state == CONN_DECODED) {
		err = report_rest(dc);
		dc->closing_ns = ts_ns;
		dc->p->closed(dc->st);
		err = err ? err : dc->err;
	}
	return err ? err : say(dc);
}

static void on_forget(void *ctx, struct conn *c)
{
	struct dconn *dc = c->user;

	(void)ctx;
	if (!dc)
		return;
	if (dc->p)
		dc->p->state_free(dc->st);
	free(dc);
	c->user = NULL;
}

void detect_stream_ops(struct detect *d, struct stream_ops *ret)
{
	*ret = (struct stream_ops){
		.ctx = d,
		.open = on_open,
		.data = on_data,
		.gap = on_gap,
		.flush = on_flush,
		.close = on_close,
		.forget = on_forget,
	};
}
