/*
 * Joins the stages. Each stage knows only the one to its left; the hand-overs between them are the small
 * functions below, in the order in which a byte meets them: sink -> streams -> detect -> correlator -> store.
 * Without a store there is no correlator either: what detect says is counted, and ends here.
 */
#include "pipeline.h"

#include <errno.h>
#include <stdlib.h>

#include "base/timefmt.h"
#include "proto/detect.h"

#define COMMIT_EVERY_NS  NS_PER_SEC
#define RESTORE_MESSAGES 200000 /* open messages of earlier sessions that a new one goes on with */
#define DEFAULT_PAYLOAD  (1u << 20)

struct pipeline {
	struct streams *streams;
	struct detect *detect;
	struct correlator *correlator; /* NULL without a store */
	struct store_writer *store;    /* NULL: nothing is kept */
	struct pipeline_opts opts;
	struct pipeline_stats stats;
	int64_t source_ns; /* the latest moment the source spoke of */
	uint64_t next_commit_mono;
	int error; /* the first one that a commit met */
	struct err error_text;
};

/* --- detect -> correlator --- */

/* Confluent's registry, and those that speak like it, keep their schemas as messages on this topic. That one
 * could not be kept costs nothing now: the next who reads the topic brings it again. */
static void learn_schema(struct pipeline *p, const struct op *op)
{
	if (p->store && op->dest == DEST_LOG && (op->kind == OP_SEND || op->kind == OP_RECEIVE) &&
		op->body.n && !(op->flags & (OPF_TRUNCATED | OPF_GAP)) && span_is(op->exchange, "_schemas"))
		store_learn_schema(p->opts.store_path, op->body);
}

static int on_op(void *ctx, const struct op *op, const struct conn *c)
{
	struct pipeline *p = ctx;

	p->stats.operations++;
	learn_schema(p, op);
	return p->correlator ? correlator__op(p->correlator, op, c) : 0;
}

static int on_conn(void *ctx, const struct conn *c, const struct proto *proto, enum conn_state st)
{
	struct pipeline *p = ctx;

	uint64_t *counter[] = {
		[CONN_UNKNOWN] = &p->stats.conns_undecided,
		[CONN_DECODED] = &p->stats.conns_decoded,
		[CONN_OTHER] = &p->stats.conns_other,
		[CONN_ENCRYPTED] = &p->stats.conns_encrypted,
		[CONN_FAILED] = &p->stats.conns_other,
		[CONN_UNREAD] = &p->stats.conns_other,
	};

	/* Reported at its birth (unknown), when it is recognised or given up, and at its end. */
	if (!c->closed_ns) {
		++*counter[st];
		if (st != CONN_UNKNOWN && p->stats.conns_undecided)
			p->stats.conns_undecided--;
		if (st == CONN_DECODED && proto && proto->id < PIPELINE_PROTOS)
			p->stats.conns_by_proto[proto->id]++;
	}
	return p->correlator ? correlator__conn(p->correlator, c, proto, st) : 0;
}

static int on_gap(
	void *ctx, const struct conn *c, enum flowdir d, uint64_t bytes, const char *reason, int64_t ts_ns)
{
	struct pipeline *p = ctx;

	p->stats.gaps++;
	p->stats.lost_bytes += bytes;
	return p->correlator ? correlator__gap(p->correlator, c, d, bytes, 0, reason, ts_ns) : 0;
}

/* --- the sink --- */

/*
 * A commit that fails (disk full) must not stop the capture: the rows stay with the writer, which tries
 * again, and the first failure is reported when the run ends.
 */
static void commit(struct pipeline *p, bool last)
{
	struct err e = {0};
	int err;

	store_writer_losses(p->store, p->stats.lost_records, p->stats.lost_bytes, p->stats.conns_other);
	err = last ? correlator__finish(p->correlator) : correlator__flush(p->correlator);
	if (!err)
		err = last ? store_writer_commit(p->store, p->source_ns, &e)
			   : store_writer_commit_soon(p->store, p->source_ns, &e);
	else
		err_set(&e, err, "cannot correlate: out of memory");
	if (err && !p->error) {
		p->error = err;
		p->error_text = e;
	}
}

static void commit_when_due(struct pipeline *p)
{
	if (!p->store || now_mono_ns() < p->next_commit_mono)
		return;
	commit(p, false);
	p->next_commit_mono = now_mono_ns() + COMMIT_EVERY_NS;
}

static void saw(struct pipeline *p, int64_t ts_ns)
{
	if (ts_ns > p->source_ns)
		p->source_ns = ts_ns;
}

static int sink_proc(void *ctx, const struct proc_info *info)
{
	struct pipeline *p = ctx;

	return p->correlator ? correlator__proc(p->correlator, info, p->source_ns) : 0;
}

static int sink_proc_exit(void *ctx, uint32_t pid, int64_t ts_ns, int exit_code)
{
	struct pipeline *p = ctx;
	int err;

	saw(p, ts_ns);
	err = streams__proc_exit(p->streams, pid, ts_ns);
	if (!err && p->correlator)
		err = correlator__proc_exit(p->correlator, pid, ts_ns, exit_code);
	return err;
}

static int sink_open(void *ctx, const struct endpoint_info *e)
{
	struct pipeline *p = ctx;

	saw(p, e->ts_ns);
	return streams__open(p->streams, e);
}

static int sink_chunk(void *ctx, const struct chunk *c)
{
	struct pipeline *p = ctx;
	int err;

	saw(p, c->ts_ns);
	p->stats.bytes += c->len;
	err = streams__chunk(p->streams, c);
	commit_when_due(p);
	return err;
}

static int sink_close(void *ctx, uint64_t endpoint, int64_t ts_ns, bool by_peer)
{
	struct pipeline *p = ctx;

	saw(p, ts_ns);
	return streams__close(p->streams, endpoint, ts_ns, by_peer);
}

static int sink_loss(void *ctx, const struct loss_info *l)
{
	struct pipeline *p = ctx;

	saw(p, l->ts_ns);
	p->stats.lost_records += l->records;
	if (l->endpoint)
		return streams__loss(p->streams, l);
	p->stats.lost_bytes += l->bytes;
	p->stats.gaps++;
	if (!p->correlator)
		return 0;
	return correlator__gap(p->correlator, NULL, TO_SERVER, l->bytes, l->records, l->reason, l->ts_ns);
}

static int sink_tick(void *ctx, int64_t ts_ns)
{
	struct pipeline *p = ctx;
	int err;

	saw(p, ts_ns);
	err = streams__tick(p->streams, ts_ns);
	if (!err && p->correlator)
		err = correlator__tick(p->correlator, ts_ns);
	commit_when_due(p);
	return err;
}

void pipeline_sink(struct pipeline *p, struct sink *ret)
{
	*ret = (struct sink){
		.ctx = p,
		.proc = sink_proc,
		.proc_exit = sink_proc_exit,
		.open = sink_open,
		.chunk = sink_chunk,
		.close = sink_close,
		.loss = sink_loss,
		.tick = sink_tick,
	};
}

/* --- life --- */

/* Streams and detect: what decodes. */
static int build_decoding(struct pipeline *p, uint64_t first_op_id)
{
	struct detect_opts dopts = {.payload_limit = p->opts.payload_limit, .first_op_id = first_op_id};
	struct detect_out dout = {.ctx = p, .op = on_op, .conn = on_conn, .gap = on_gap};
	struct stream_ops sops = {0};

	p->detect = detect__new(&dopts, &dout);
	if (!p->detect)
		return -ENOMEM;
	detect_stream_ops(p->detect, &sops);
	sops.verdict = p->opts.verdict;
	sops.verdict_ctx = p->opts.verdict_ctx;
	sops.secret = p->opts.secret;
	sops.secret_ctx = p->opts.secret_ctx;
	p->streams = streams__new(&sops, NULL);
	if (!p->streams)
		return -ENOMEM;
	detect_set_streams(p->detect, p->streams);
	return 0;
}

static int build(struct pipeline *p)
{
	struct correlator_opts copts = {0};
	struct record_sink records;
	int err;

	if (!p->store)
		return build_decoding(p, 0);
	store_writer_ids(p->store, &copts.next);
	store_writer_sink(p->store, &records);
	p->correlator = correlator__new(&copts, &records);
	if (!p->correlator)
		return -ENOMEM;
	err = build_decoding(p, copts.next.op);
	return err ? err : store_writer_restore(p->store, p->correlator, RESTORE_MESSAGES);
}

int pipeline__new(const struct pipeline_opts *opts, struct pipeline **ret, struct err *e)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return err_set(e, -ENOMEM, "out of memory");
	p->opts = *opts;
	p->source_ns = opts->session.started_ns;
	if (!p->opts.payload_limit)
		p->opts.payload_limit = DEFAULT_PAYLOAD;
	err = opts->store_path ? store_writer__open(opts->store_path, &opts->session, &p->store, e) : 0;
	if (!err && p->store)
		err = store_load_schemas(opts->store_path, e);
	if (err)
		goto fail;
	err = build(p);
	if (err && p->store)
		err_set(e, err, "cannot begin in the store %s: %s", opts->store_path, strerror(-err));
	else if (err)
		err_set(e, err, "out of memory");
	if (err)
		goto fail;
	p->next_commit_mono = now_mono_ns() + COMMIT_EVERY_NS;
	*ret = p;
	return 0;
fail:
	pipeline__finish(p, NULL);
	return err;
}

int pipeline__finish(struct pipeline *p, struct err *e)
{
	int err = 0;

	if (!p)
		return 0;
	if (p->streams) {
		err = streams__flush(p->streams, p->source_ns);
		if (p->store)
			commit(p, true);
	}
	if (p->error) {
		err = p->error;
		if (e)
			*e = p->error_text;
	}
	streams__free(p->streams); /* forgets connections through detect, which must outlive it */
	detect__free(p->detect);
	correlator__free(p->correlator);
	if (err)
		store_writer__close(p->store, NULL);
	else
		err = store_writer__close(p->store, e);
	free(p);
	return err;
}

void pipeline__stats(struct pipeline *p, struct pipeline_stats *ret)
{
	struct correlator_stats cs = {0};

	if (p->correlator)
		correlator__stats(p->correlator, &cs);
	*ret = p->stats;
	ret->messages = cs.messages;
	ret->store_bytes = p->store ? store_writer_size(p->store) : 0;
	ret->error = p->error;
	ret->error_text = p->error_text.msg;
}
