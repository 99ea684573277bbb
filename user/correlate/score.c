/*
 * How sure we may be that taking one message caused sending another: weights of evidence in natural log-odds
 * (causality.md section 2), added up by family, set against each other and against "nothing that we saw"
 * (section 8.1).
 */
#include <math.h>
#include <stdio.h>

#include "correlate/model.h"

#define W_SETTLED     3.9  /* the unit that sent it settled this one next */
#define W_SERIAL      3.5  /* the only one that the unit held */
#define W_OTHER_FIRST -2.0 /* the unit settled another one next: event loops do that */
#define W_AFTER       -2.3 /* settled before the send: consumers that acknowledge first are rare */
#define CAP_IDS       7.0
#define CAP_UNIT      5.0
#define CAP_TIME      3.0

/* The strongest term in full, the others of its family at a quarter: they are not independent. */
static double family(const double *w, size_t n, double cap)
{
	double best = 0, sum = 0;

	for (size_t i = 0; i < n; i++) {
		sum += w[i];
		if (w[i] > best)
			best = w[i];
	}
	sum = best + (sum - best) / 4;
	return sum < cap ? sum : cap;
}

double ids_weight(const struct candidate *k)
{
	return family(k->ids, ARRAY_LEN(k->ids), CAP_IDS);
}

/* pending.other_unit: what it says that another unit settled the candidate, or took it and holds it still. */
static double unit_weight(const struct pending *p, const struct candidate *k, const struct inop *settled)
{
	const struct inop *in = k->inop;
	double w[2] = {0};

	if (!p->unit)
		return 0;
	if (in && in == settled)
		w[0] = W_SETTLED;
	if (k->evidence & EV_SERIAL)
		w[1] = W_SERIAL;
	if (w[0] || w[1])
		return family(w, 2, CAP_UNIT);
	if (p->settled_many || k->evidence & EV_AFTER)
		return 0;
	if (in && in->settled_by && in->settled_by != p->unit)
		return p->other_unit;
	if (settled)
		return W_OTHER_FIRST;
	/* Nobody settled it yet, and not even its taker is the sender. */
	return in && in->unit && in->unit != p->unit && !in->settled_ns ? p->other_unit : 0;
}

/* Falling into the time in which it was held means little where something is held all the time. */
static double time_weight(const struct pending *p, const struct candidate *k)
{
	double w;

	if (k->evidence & EV_AFTER)
		return W_AFTER;
	if (k->inop && k->inop->no_ack)
		return 0;
	w = log(0.95 / (p->busy > 0.05 ? p->busy : 0.05));
	return w < 0 ? 0 : w < CAP_TIME ? w : CAP_TIME;
}

static bool is_open_kind(const struct candidate *k)
{
	return !(k->evidence & EV_AFTER) && !(k->inop && k->inop->no_ack);
}

struct tally {
	double score[MAX_CANDIDATES], rest, null, total;
	unsigned unit_says; /* candidate that the sending unit settled; MAX_CANDIDATES none */
};

static void add_up(const struct pending *p, const struct inop *settled, struct tally *t)
{
	unsigned n = p->open, open = 0;
	struct candidate idle = {0};
	double prior;

	for (unsigned i = 0; i < p->n; i++) {
		open += is_open_kind(p->c[i]);
		n += !is_open_kind(p->c[i]);
	}
	if (n < p->n)
		n = p->n;
	prior = log((1 - p->null_prior) / (n ? n : 1));
	t->unit_says = MAX_CANDIDATES;
	t->total = 0;
	for (unsigned i = 0; i < p->n; i++) {
		const struct candidate *k = p->c[i];

		if (settled && k->inop == settled)
			t->unit_says = i;
		t->score[i] = exp(prior + ids_weight(k) + unit_weight(p, k, settled) + time_weight(p, k));
		t->total += t->score[i];
	}
	/* Held at the same time, with nothing that speaks for them. */
	t->rest = p->open > open ? p->open - open : 0;
	t->rest *= exp(prior + unit_weight(p, &idle, settled) + time_weight(p, &idle));
	t->null = p->null_prior;
	t->total += t->rest + t->null;
}

void judge(const struct pending *p, const struct inop *settled, struct judgement *ret)
{
	unsigned best = 0, second = MAX_CANDIDATES;
	struct tally t;

	*ret = (struct judgement){0};
	if (!p->n)
		return;
	add_up(p, settled, &t);
	for (unsigned i = 1; i < p->n; i++)
		if (t.score[i] > t.score[best])
			best = i;
	for (unsigned i = 0; i < p->n; i++)
		if (i != best && (second == MAX_CANDIDATES || t.score[i] > t.score[second]))
			second = i;
	ret->best = p->c[best];
	ret->confidence = t.score[best] / t.total;
	ret->runner_up = t.null / t.total;
	if (second != MAX_CANDIDATES && t.score[second] > t.null) {
		ret->runner_up = t.score[second] / t.total;
		ret->runner_up_message =
			p->c[second]->inop && p->c[second]->inop->m ? p->c[second]->inop->m->id : 0;
	}
	ret->contradicted = t.unit_says != MAX_CANDIDATES && t.unit_says != best;
}

static void sep(struct buf *out)
{
	if (out->n)
		buf_puts(out, " \302\267 ");
}

void judge_evidence(
	const struct pending *p, const struct inop *settled, const struct judgement *j, struct buf *out)
{
	const struct candidate *k = j->best;
	const struct inop *in = k->inop;
	char took[40];

	buf_clear(out);
	buf_puts(out, k->why);
	if (in && in == settled) {
		sep(out);
		buf_printf(out, "same thread, before its %s", settle_name(in->settle));
	} else if (k->evidence & EV_SERIAL) {
		sep(out);
		buf_printf(out, "same thread, %s",
			k->evidence & EV_AFTER ? "right after it was settled"
			: in && in->no_ack     ? "the last message it took"
					       : "the only message it held");
	} else if (is_open_kind(k) && !k->why[0]) {
		sep(out);
		buf_puts(out, "sent while it was held");
		if (p->open > 1)
			buf_printf(out, " (1 of %u in flight)", p->open);
	}
	if (in && !in->no_ack && in->settled_ns >= p->ts_ns && in->settled_by) {
		int64_t gap = in->settled_ns - p->ts_ns;

		sep(out);
		if (gap < NS_PER_MS / 10)
			buf_printf(out, "%s right after", settle_name(in->settle));
		else
			buf_printf(out, "%s %s after", settle_name(in->settle),
				fmt_duration(took, sizeof(took), gap));
	}
	if (j->contradicted) {
		sep(out);
		buf_printf(out, "contradicted: the thread settled m%llu next",
			settled->m ? (unsigned long long)settled->m->id : 0ULL);
	}
	if (j->confidence < 0.9) {
		sep(out);
		if (j->runner_up_message)
			buf_printf(out, "else m%llu (%.2f)", (unsigned long long)j->runner_up_message,
				j->runner_up);
		else
			buf_printf(out, "else nothing that was seen (%.2f)", j->runner_up);
	}
}
