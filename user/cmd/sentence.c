#include "cmd/sentence.h"

#include <inttypes.h>

#include "base/timefmt.h"
#include "cmd/destination.h"

const char *standing_json(enum standing s)
{
	static const char *const names[] = {
		[STANDS_UNKNOWN] = "unknown",
		[STANDS_WAITING] = "waiting",
		[STANDS_DELIVERED] = "delivered",
		[STANDS_DONE] = "done",
		[STANDS_REJECTED] = "rejected",
		[STANDS_DEAD_LETTERED] = "dead-lettered",
		[STANDS_RETRIED] = "retried",
		[STANDS_EXPIRED] = "expired",
		[STANDS_PURGED] = "purged",
		[STANDS_RETURNED] = "returned",
		[STANDS_REFUSED] = "refused",
		[STANDS_DROPPED] = "dropped",
		[STANDS_ON_ITS_WAY] = "sent",
		[STANDS_NOT_SEEN] = "unknown",
		[STANDS_KEPT] = "kept",
	};

	return names[s];
}

const char *standing_word(enum standing s)
{
	static const char *const words[] = {
		[STANDS_UNKNOWN] = "UNKNOWN",
		[STANDS_WAITING] = "WAITING",
		[STANDS_DELIVERED] = "DELIVERED",
		[STANDS_DONE] = "done",
		[STANDS_REJECTED] = "REJECTED",
		[STANDS_DEAD_LETTERED] = "DEAD-LETTERED",
		[STANDS_RETRIED] = "retried",
		[STANDS_EXPIRED] = "EXPIRED",
		[STANDS_PURGED] = "PURGED",
		[STANDS_RETURNED] = "RETURNED",
		[STANDS_REFUSED] = "REFUSED",
		[STANDS_DROPPED] = "DROPPED",
		[STANDS_ON_ITS_WAY] = "SENT",
		[STANDS_NOT_SEEN] = "UNKNOWN",
		[STANDS_KEPT] = "KEPT",
	};

	return words[s];
}

enum tone standing_tone(enum standing s)
{
	switch (s) {
	case STANDS_DONE:
		return TONE_GOOD;
	case STANDS_WAITING:
	case STANDS_DELIVERED:
	case STANDS_ON_ITS_WAY:
	case STANDS_KEPT:
		return TONE_WAIT;
	case STANDS_UNKNOWN:
	case STANDS_NOT_SEEN:
	case STANDS_RETRIED:
		return TONE_PLAIN;
	default:
		return TONE_BAD;
	}
}

const char *link_words(enum link_kind k)
{
	switch (k) {
	case LINK_CAUSED_BY:
		return "caused by";
	case LINK_REPLY_TO:
		return "reply to";
	case LINK_RETRY_OF:
		return "retry of";
	case LINK_DEAD_LETTER_OF:
		return "dead letter of";
	case LINK_REPLAY_OF:
		return "replay of";
	case LINK_SAME_FLOW:
		break;
	}
	return "same flow as";
}

char *fmt_age(char *out, size_t n, const struct finding *f, int64_t since_ns)
{
	int64_t until = f->watched.until_ns;

	return fmt_duration(out, n, until > since_ns ? until - since_ns : 0);
}

int answer_as_of(struct answer *a, struct judge *j, const struct msg *m, struct err *e)
{
	struct watched w;
	int err = judge_watched(j, m, &w, e);

	if (err)
		return err;
	a->until_ns = w.until_ns;
	a->live = w.running;
	return 0;
}

char *fmt_held(char *out, size_t n, int64_t ns)
{
	if (ns > 0 && ns < NS_PER_MS / 20)
		snprintf(out, n, "<0.1 ms");
	else
		fmt_duration(out, n, ns);
	return out;
}

static void put_process(struct buf *out, const struct who *w)
{
	if (w)
		put_who(out, w->service, w->pid, NULL);
	else
		buf_puts(out, "somebody not seen");
}

static void put_since(struct buf *out, const struct answer *a, int64_t ns)
{
	char text[64];

	buf_puts(out, fmt_when(text, sizeof(text), ns, a->until_ns));
}

static void put_ago(struct buf *out, const struct finding *f, int64_t ns)
{
	char text[40];

	if (ns)
		buf_printf(out, " %s ago", fmt_age(text, sizeof(text), f, ns));
}

static void put_exchange(struct buf *out, const struct msg *m)
{
	if (*m->row.exchange)
		buf_printf(out, "exchange %s", m->row.exchange);
	else
		buf_puts(out, "the default exchange");
}

/* --- one sentence for each standing --- */

/* Whether anybody will come for it. */
static void put_readers(struct buf *out, const struct finding *f)
{
	bool log = f->message->row.dest == DEST_LOG;

	if (f->consumers) {
		buf_puts(out, ", though ");
		put_process(out, f->consumer);
		if (f->consumers > 1)
			buf_printf(out, " and %u more %s", f->consumers - 1,
				log ? "are members" : "are subscribed");
		else
			buf_puts(out, log ? " is a member" : " is subscribed");
	} else if (!f->queue_taken_ns) {
		return;
	} else if (f->queue_taken_by && f->queue_taken_by->exit_ns) {
		buf_puts(out, f->message->row.dest == DEST_ROUTED && settles_by_taking(&f->message->row)
				      ? "; that process ended"
				      : "; that process ended, nobody reads from it now");
	} else if (!settles_by_taking(&f->message->row)) {
		buf_puts(out, log ? "; nobody reads for it now" : "; nobody is subscribed now");
	}
}

static void put_queue_life(struct buf *out, const struct answer *a, const struct finding *f)
{
	const char *queue = f->copy->queue;

	if (!f->queue_taken_ns) {
		buf_printf(out, "; nobody took anything from %s since ", queue);
		put_since(out, a, f->watched.since_ns);
		buf_puts(out, ", when recording began");
	} else {
		buf_printf(out, "; last taken from %s", queue);
		put_ago(out, f, f->queue_taken_ns);
		buf_puts(out, ", by ");
		put_process(out, f->queue_taken_by);
	}
	put_readers(out, f);
}

/* ": last committed offset 1043, read up to 1045" */
static void put_position(struct buf *out, const struct finding *f)
{
	const struct row *r = &f->message->row;
	bool more = *f->taken_mid && strcmp(f->taken_mid, f->settled_mid);

	if (*f->settled_mid)
		buf_printf(out, ": last %s %s %s", ack_word(r), mid_word(r), f->settled_mid);
	if (more && *f->settled_mid)
		buf_printf(out, ", read up to %s", f->taken_mid);
	else if (more)
		buf_printf(out, ": read up to %s %s, nothing %s", mid_word(r), f->taken_mid, ack_word(r));
}

static void put_place(struct buf *out, const struct finding *f)
{
	bool log = f->message->row.dest == DEST_LOG;
	char text[40];

	if (!f->ahead)
		buf_puts(out, log ? "next to be read" : "first in line");
	else
		buf_printf(out, "behind %s %s%s", fmt_count(text, sizeof(text), f->ahead),
			f->ahead == 1 ? "other" : "others", f->ahead >= AHEAD_MAX ? " or more" : "");
	if (!log || !*f->message->row.log)
		return;
	buf_printf(out, " in %s", f->message->row.log);
	put_position(out, f);
}

/* Its sender may have sent it again, or not; the broker has it, or not. */
static void put_unconfirmed(struct buf *out, const struct answer *a, const struct finding *f)
{
	char text[40];

	if (f->since_ns)
		buf_printf(out, "%s ago; ", fmt_age(text, sizeof(text), f, f->since_ns));
	buf_puts(out, "no confirmation was seen: if the broker has it, it is ");
	put_place(out, f);
	put_queue_life(out, a, f);
}

static void put_waiting(struct buf *out, const struct answer *a, const struct finding *f)
{
	char text[40];

	if (f->since_ns)
		buf_printf(out, "%s, ", fmt_age(text, sizeof(text), f, f->since_ns));
	if (f->copy->state == STATE_REQUEUED) {
		bool lost = f->copy->settle == SETTLE_LOST, log = f->message->row.dest == DEST_LOG;

		buf_puts(out, !lost ? "given back by "
			      : log ? "not settled when "
				    : "after the connection of ");
		put_process(out, f->copy->consumer);
		buf_printf(out, "%s delivery %" PRIu32 ", ",
			!lost ? " after"
			: log ? " ended during"
			      : " ended during",
			f->copy->deliveries);
	}
	put_place(out, f);
	put_queue_life(out, a, f);
}

static void put_delivery_number(struct buf *out, const struct msg_copy *c)
{
	if (c->deliveries > 1)
		buf_printf(out, " on delivery %" PRIu32, c->deliveries);
}

static void put_delivered(struct buf *out, const struct finding *f)
{
	const struct who *w = f->copy->consumer;

	buf_puts(out, "to ");
	put_process(out, w);
	put_ago(out, f, f->since_ns);
	buf_printf(out, ", not %s", ack_word(&f->message->row));
	if (!*f->copy->queue && f->message->row.dest == DEST_LOG)
		buf_puts(out, "; no group is known that it reads for");
	if (f->copy->deliveries > 1)
		buf_printf(out, ", delivery %" PRIu32, f->copy->deliveries);
	if (w && w->exit_ns) {
		buf_puts(out, "; that process ended");
		put_ago(out, f, w->exit_ns);
	}
}

static void put_done(struct buf *out, const struct finding *f)
{
	const struct msg_copy *c = f->copy;
	char text[40];

	if (!c->deliveries && !c->consumer) {
		buf_puts(out, "the group is past it; who took it was not seen");
		return;
	}
	buf_printf(out, "%s by ",
		c->settle != SETTLE_AUTO               ? ack_word(&f->message->row)
		: f->message->row.dest == DEST_CHANNEL ? "received"
						       : "taken");
	put_process(out, c->consumer);
	if (c->settle == SETTLE_AUTO)
		buf_puts(out, settles_by_taking(&f->message->row) ? "" : ", which does not ack");
	else if (c->settled_ns && c->delivered_ns)
		buf_printf(out, " %s after delivery",
			fmt_held(text, sizeof(text), c->settled_ns - c->delivered_ns));
	if (c->deliveries > 1)
		buf_printf(out, ", the %" PRIu32 "%s", c->deliveries,
			c->deliveries == 2   ? "nd"
			: c->deliveries == 3 ? "rd"
					     : "th");
}

static void put_rejected(struct buf *out, const struct finding *f)
{
	buf_puts(out, "by ");
	put_process(out, f->copy->consumer);
	put_delivery_number(out, f->copy);
	put_ago(out, f, f->since_ns);
	if (f->message->row.dest == DEST_LOG) {
		buf_printf(out, "; %s does not get it again, it stays in ", f->copy->queue);
		put_log(out, &f->message->row);
		return;
	}
	if (settles_by_taking(&f->message->row)) /* no dead letters of the broker's */
		return;
	switch (f->target) {
	case DEAD_TARGET_NONE:
		buf_printf(out, "; dropped: %s has no dead-letter exchange", f->copy->queue);
		break;
	case DEAD_TARGET_DECLARED:
		buf_printf(out, "; %s has a dead-letter exchange, but where that put it was not seen",
			f->copy->queue);
		break;
	case DEAD_TARGET_UNKNOWN:
		buf_printf(out,
			"; whether %s has a dead-letter exchange is not known: it was not declared while "
			"watching",
			f->copy->queue);
	}
}

/* Where the copy that the broker made is now. */
static void put_dead_place(struct buf *out, struct judge *j, const struct msg *dead)
{
	size_t start = out->n;
	struct finding f;
	struct err e;
	char text[40];

	for (size_t i = 0; i < dead->copies_n; i++) {
		if (judge_copy(j, dead, &dead->copies[i], &f, &e))
			continue;
		if (out->n > start)
			buf_puts(out, ", and ");
		if (f.kind == STANDS_WAITING)
			buf_printf(out, "in %s for %s", f.copy->queue,
				fmt_age(text, sizeof(text), &f, f.since_ns));
		else if (f.kind == STANDS_DELIVERED || f.kind == STANDS_DONE) {
			buf_printf(out, "%s from %s by ", f.kind == STANDS_DONE ? "taken and acked" : "taken",
				f.copy->queue);
			put_process(out, f.copy->consumer);
		} else {
			buf_printf(out, "%s in %s", standing_json(f.kind), f.copy->queue);
		}
	}
	if (out->n == start && dead->row.dest == DEST_LOG) {
		buf_puts(out, "in ");
		put_destination(out, &dead->row);
		buf_puts(out, *dead->row.mid ? ", " : "");
		put_broker_id(out, &dead->row);
		buf_puts(out, ", which no group was seen to read");
	} else if (out->n == start) {
		buf_puts(out, "to ");
		put_exchange(out, dead);
		buf_puts(out, ", where it ended is not known");
	}
}

static void put_dead_reason(struct buf *out, const struct finding *f)
{
	if (!strcmp(f->reason, "rejected") && f->copy->consumer) {
		buf_puts(out, "rejected by ");
		put_process(out, f->copy->consumer);
		put_delivery_number(out, f->copy);
	} else if (!strcmp(f->reason, "expired")) {
		buf_puts(out, "its time to live ended");
	} else if (!strcmp(f->reason, "maxlen")) {
		buf_printf(out, "%s was full", f->copy->queue);
	} else if (!strcmp(f->reason, "delivery_limit")) {
		buf_printf(out, "delivered %" PRIu32 " times, more than %s allows", f->copy->deliveries,
			f->copy->queue);
	} else {
		buf_puts(out, *f->reason ? f->reason : "why was not seen");
	}
}

static void put_dead(struct buf *out, struct judge *j, const struct finding *f)
{
	if (f->dead)
		put_dead_place(out, j, f->dead);
	else
		buf_puts(out, "what became of it was not seen");
	buf_puts(out, ": ");
	put_dead_reason(out, f);
}

/* "rejected by invoices (pid 2215), back in invoices through invoices.retry: acked by ..." */
static void put_retried(struct buf *out, const struct answer *a, struct judge *j, const struct finding *f)
{
	struct finding end;
	struct err e;

	put_dead_reason(out, f);
	buf_printf(out, ", then to %s", f->end->queue);
	if (f->dead != f->end_message && f->dead->copies_n && *f->dead->copies[0].queue &&
		strcmp(f->dead->copies[0].queue, f->end->queue))
		buf_printf(out, " through %s", f->dead->copies[0].queue);
	buf_printf(out, " (m%" PRIu64 "): ", f->end_message->row.id);
	if (judge_copy(j, f->end_message, f->end, &end, &e)) {
		buf_puts(out, "what became of it there cannot be read");
		return;
	}
	if (end.kind == STANDS_RETRIED) { /* dead letters and retries in turn: told of that message */
		buf_puts(out, "tried again from there");
		return;
	}
	if (end.kind != STANDS_DONE)
		buf_printf(out, "%s ", standing_word(end.kind));
	put_finding(out, a, j, &end);
}

static void put_route_reason(struct buf *out, const struct msg *m)
{
	if (m->routes == ROUTES_UNKNOWN) {
		buf_puts(out, "; the bindings of ");
		put_exchange(out, m);
		buf_puts(out, " were not declared while watching, and no delivery was seen");
	}
}

static void put_refused(struct buf *out, const struct finding *f)
{
	const struct msg *m = f->message;

	buf_puts(out, "by the broker");
	if (m->code)
		buf_printf(out, " (%" PRIu32 ")", m->code);
	buf_puts(out, ": ");
	if (*f->refusal)
		text_safe(out, span_str(f->refusal));
	else
		buf_puts(out, m->row.flags & OPF_TX ? "its transaction was aborted" : "it did not take it");
}

/* What a script did with its arguments is inside of the broker. */
static void put_of_call(struct buf *out, const struct finding *f)
{
	char text[40];

	if (f->kind == STANDS_REFUSED)
		put_refused(out, f);
	else if (f->kind == STANDS_NOT_SEEN)
		buf_puts(out, "the broker ran it; what a script does with its arguments is not told");
	else if (f->kind == STANDS_ON_ITS_WAY)
		buf_printf(out, "%s ago; no answer was seen", fmt_age(text, sizeof(text), f, f->since_ns));
	else
		buf_puts(out, "whether it was run was not seen");
}

/* What has no queues stands in its topic or stream, or has gone by. */
static void put_of_unrouted(struct buf *out, const struct finding *f)
{
	const struct row *r = &f->message->row;
	char text[40];

	switch (f->kind) {
	case STANDS_RETURNED:
		buf_puts(
			out, r->dest == DEST_CHANNEL ? "nobody was subscribed to " : "it was given back by ");
		put_destination(out, r);
		break;
	case STANDS_REFUSED:
		put_refused(out, f);
		break;
	case STANDS_DROPPED:
		buf_puts(out, "by the broker: it had one with this id already");
		break;
	case STANDS_PURGED:
		buf_puts(out, "deleted from ");
		put_log(out, r);
		break;
	case STANDS_KEPT:
		buf_puts(out, "in ");
		put_log(out, r);
		if (f->since_ns)
			buf_printf(out, " for %s", fmt_age(text, sizeof(text), f, f->since_ns));
		buf_puts(out, "; no group was seen that reads it");
		break;
	case STANDS_NOT_SEEN:
		buf_puts(out,
			r->dest == DEST_LOG && *r->mid && r->state == STATE_UNKNOWN
				? "it may have been trimmed or removed since; no group was seen that reads it"
			: r->dest == DEST_LOG ? "the broker has it; no group was seen that reads it"
					      : "the broker passed it on; to whom was not seen");
		break;
	case STANDS_ON_ITS_WAY:
		buf_printf(out, "%s ago; ", fmt_age(text, sizeof(text), f, f->since_ns));
		buf_puts(out, r->dest == DEST_CHANNEL ? "nobody was seen to get it"
						      : "no confirmation was seen, and nobody that reads it");
		break;
	default:
		buf_puts(out, "what became of it was not seen");
	}
}

static void put_of_message(struct buf *out, const struct finding *f)
{
	const struct msg *m = f->message;
	char text[40];

	if (m->row.dest == DEST_CALL) {
		put_of_call(out, f);
		return;
	}
	if (m->row.dest != DEST_ROUTED) {
		put_of_unrouted(out, f);
		return;
	}
	switch (f->kind) {
	case STANDS_RETURNED:
		if (m->code)
			buf_printf(out, "by the broker (%" PRIu32 "%s): ", m->code,
				m->code == 312   ? ", no route"
				: m->code == 313 ? ", no consumers"
						 : "");
		buf_puts(out, m->code == 312 || !m->code ? "no queue is bound to "
							 : "it could not be delivered from ");
		put_exchange(out, m);
		buf_printf(out, " for key %s", m->row.routing_key);
		break;
	case STANDS_REFUSED:
		put_refused(out, f);
		break;
	case STANDS_DROPPED:
		buf_puts(out, "no queue is bound to ");
		put_exchange(out, m);
		buf_printf(out, " for key %s, so the broker dropped it", m->row.routing_key);
		break;
	case STANDS_ON_ITS_WAY:
		buf_printf(
			out, "%s ago; no confirmation was seen", fmt_age(text, sizeof(text), f, f->since_ns));
		put_route_reason(out, m);
		break;
	case STANDS_NOT_SEEN:
		buf_puts(out, "the broker confirmed it");
		put_route_reason(out, m);
		break;
	default:
		buf_puts(out, "what became of it was not seen");
		put_route_reason(out, m);
	}
}

static void put_of_copy(struct buf *out, const struct answer *a, struct judge *j, const struct finding *f)
{
	switch (f->kind) {
	case STANDS_WAITING:
		put_waiting(out, a, f);
		break;
	case STANDS_ON_ITS_WAY:
		put_unconfirmed(out, a, f);
		break;
	case STANDS_DELIVERED:
		put_delivered(out, f);
		break;
	case STANDS_DONE:
		put_done(out, f);
		break;
	case STANDS_REJECTED:
		put_rejected(out, f);
		break;
	case STANDS_DEAD_LETTERED:
		put_dead(out, j, f);
		break;
	case STANDS_RETRIED:
		put_retried(out, a, j, f);
		break;
	case STANDS_EXPIRED:
		buf_puts(out, "its time to live ended");
		put_ago(out, f, f->since_ns);
		break;
	case STANDS_PURGED:
		if (f->message->row.dest == DEST_LOG) {
			buf_puts(out, "deleted from ");
			put_log(out, &f->message->row);
			buf_puts(out, f->copy->deliveries ? "" : " before this group took it,");
		} else {
			buf_printf(out, "%s was purged or deleted, or it was removed from there",
				f->copy->queue);
		}
		put_ago(out, f, f->since_ns);
		break;
	case STANDS_REFUSED:
		put_refused(out, f);
		break;
	default:
		if (*f->copy->queue && f->since_ns)
			buf_printf(out,
				"it waited in %s until it may have been removed (a trim, an expiry, a "
				"script)",
				f->copy->queue);
		else
			buf_puts(out, "what became of it here was not seen");
		if (f->since_ns)
			put_ago(out, f, f->since_ns);
	}
}

/* A reader that asks for what is committed only never gets it. */
static bool read_though_aborted(const struct finding *f)
{
	return f->copy && f->copy->deliveries && f->message->row.flags & MSGF_ABORTED;
}

void put_finding(struct buf *out, const struct answer *a, struct judge *j, const struct finding *f)
{
	if (f->copy)
		put_of_copy(out, a, j, f);
	else
		put_of_message(out, f);
	if (read_though_aborted(f))
		buf_puts(out, "; its transaction was aborted: who read it reads what is not committed");
	if (f->replayed && !f->replay.before) {
		buf_puts(out, "; ");
		put_replayed(out, a, &f->replay);
	}
}

/* --- messages --- */

static void put_clock(struct buf *out, const struct answer *a, int64_t ns)
{
	char day[64], text[40];

	fmt_when(day, sizeof(day), ns, a->until_ns);
	fmt_clock(text, sizeof(text), ns, 3);
	/* the date, if there is one, with the finer clock */
	buf_printf(out, "%.*s%s", (int)(strlen(day) - 8), day, text);
}

/* Links and headers tell of a replay; what a client was seen to send without either is not looked at. */
static bool sent_by_replay(struct loader *l, struct msg *m, struct replay_note *ret)
{
	bool linked = false;
	struct err e;

	for (size_t i = 0; i < m->links_n; i++)
		linked |= m->links[i].kind == LINK_REPLAY_OF && m->links[i].dst == m->row.id;
	return (linked || !m->sent_ns) && m->row.origin != ORIGIN_BROKER && find_replay(l, m, ret, &e) > 0;
}

bool put_replayer(struct buf *out, struct loader *l, struct msg *m)
{
	struct replay_note note;

	if (!sent_by_replay(l, m, &note))
		return false;
	buf_printf(out, "evtrace replay (%s)", *note.who ? note.who : "somebody");
	return true;
}

void put_replayed(struct buf *out, const struct answer *a, const struct replay_note *note)
{
	char text[64];

	buf_puts(out, "replayed");
	if (note->copy)
		buf_printf(out, " as m%" PRIu64, note->copy);
	buf_printf(out, " at %s", fmt_when(text, sizeof(text), note->ts_ns, a->until_ns));
	if (*note->who)
		buf_printf(out, " by %s", note->who);
	if (note->copy && note->state != STATE_UNKNOWN)
		buf_printf(out, ": %s", note->state == STATE_ACKED ? "done" : state_name(note->state));
	else
		buf_printf(out, ": %s",
			!strncmp(note->result, "confirmed", 9) ? "confirmed by the broker"
			: replay_arrived(note->result)         ? "read by the server, which confirms nothing"
							       : "without a result, it may have arrived");
}

void put_headline(struct buf *out, const struct answer *a, struct loader *l, struct msg *m)
{
	const struct row *r = &m->row;
	const char *label = *row_label(r) ? row_label(r) : "a message";
	struct replay_note note;

	buf_puts(out, label);
	if (r->origin == ORIGIN_BROKER) {
		buf_puts(out, ", dead-lettered ");
		put_clock(out, a, m->first_ns);
		for (size_t i = 0; i < m->links_n; i++)
			if (m->links[i].kind == LINK_DEAD_LETTER_OF && m->links[i].dst == r->id)
				buf_printf(out, " from m%" PRIu64, m->links[i].src);
		buf_puts(out, " by the broker to ");
	} else if (r->flags & MSGF_COPIED) {
		buf_puts(out, ", copied by the broker, first seen ");
		put_clock(out, a, m->first_ns);
		buf_puts(out, " at a delivery, from ");
	} else if (sent_by_replay(l, m, &note)) {
		buf_puts(out, ", sent ");
		put_clock(out, a, m->sent_ns ? m->sent_ns : note.ts_ns);
		buf_printf(out, " by evtrace replay (%s%s%s) to ", *note.who ? note.who : "somebody",
			*note.why ? ": " : "", note.why);
	} else if (m->sent_ns) {
		buf_puts(out, ", sent ");
		put_clock(out, a, m->sent_ns);
		buf_puts(out, " by ");
		put_who(out, m->sender ? m->sender->service : "", r->pid, m->sender ? m->sender->exe : NULL);
		buf_puts(out, " to ");
	} else {
		buf_puts(out, ", first seen ");
		put_clock(out, a, m->first_ns);
		buf_puts(out, " at a delivery (its send was not seen), from ");
	}
	put_destination(out, r);
	if (*r->mid) {
		buf_puts(out, ", ");
		put_broker_id(out, r);
	}
	if (r->dest == DEST_ROUTED && *r->exchange && *r->type && *r->routing_key &&
		strcmp(r->type, r->routing_key))
		buf_printf(out, ", key %s", r->routing_key);
}

/* --- evidence --- */

/* "committed billing (pid 2214), for group orders/billing, with its position" */
static void put_passed(struct buf *out, const struct msg *m, const struct msg_op *op)
{
	buf_printf(out, "  %-8s ", ack_word(&m->row));
	put_process(out, op->who);
	for (size_t i = 0; i < m->copies_n; i++)
		if (m->copies[i].id == op->copy && *m->copies[i].queue)
			buf_printf(out, ", for %s", m->copies[i].queue);
	buf_puts(out, ", with the group's position");
}

void put_operation(struct buf *out, const struct answer *a, const struct msg *m, const struct msg_op *op)
{
	put_clock(out, a, op->ts_ns);
	if (!op->id) {
		put_passed(out, m, op);
		return;
	}
	buf_printf(out, "  %-8s ",
		op->flags & OPF_REPORTED ? "told"
		: op->kind == OP_SETTLE  ? settle_name(op->settle)
					 : op_kind_name(op->kind));
	put_process(out, op->who);
	if (op->flags & OPF_REPORTED)
		buf_printf(out, " by the broker: %s",
			op->kind == OP_RECEIVE  ? "pending"
			: op->kind == OP_SETTLE ? settle_name(op->settle)
						: op_kind_name(op->kind));
	if (op->tid && op->who && op->tid != op->who->pid)
		buf_printf(out, ", thread %" PRIu32, op->tid);
	if (op->connection)
		buf_printf(out, ", connection %" PRIu64 " channel %" PRIu32, op->connection, op->channel);
	if (op->tag)
		buf_printf(out, ", tag %" PRIu64, op->tag);
	if (op->len)
		buf_printf(out, ", bytes %" PRIu64 "–%" PRIu64, op->pos, op->pos + op->len - 1);
	if (op->flags & OPF_REDELIVERED)
		buf_puts(out, ", redelivered");
	if (op->flags & OPF_NEGATIVE)
		buf_puts(out, ", negative");
	if (op->flags & OPF_ONE_OF_MANY)
		buf_puts(out, ", together with others");
	if (op->code)
		buf_printf(out, ", %" PRIu32, op->code);
	if (op->text.n) {
		buf_puts(out, " ");
		text_safe(out, op->text);
	}
}

struct keys {
	struct buf *out;
	unsigned n;
};

static void on_key(void *ctx, struct span key)
{
	struct keys *k = ctx;

	buf_puts(k->out, k->n++ ? ", " : " with key ");
	if (key.n)
		text_safe(k->out, key);
	else
		buf_puts(k->out, "(empty)");
}

void put_source(struct buf *out, struct loader *l, const struct msg *m, const struct msg_copy *c)
{
	struct keys k = {out, 0};
	struct err e;

	switch (c->source) {
	case COPY_BY_BINDING:
		buf_printf(out, "in %s because it is bound to exchange %s", c->queue, m->row.exchange);
		if (loader_bindings(l, m, c->queue, on_key, &k, &e) == 0)
			buf_puts(out, ", through other exchanges");
		break;
	case COPY_BY_DELIVERY:
		buf_printf(
			out, "in %s because it was delivered from there", *c->queue ? c->queue : "a queue");
		break;
	case COPY_BY_DEATH:
		buf_printf(out, "in %s because the dead-letter exchange of its last queue leads there",
			c->queue);
		break;
	case COPY_BY_GROUP:
		buf_printf(out, "in %s because that group was seen to read there", c->queue);
		break;
	case COPY_BY_DEFAULT:
		if (strcmp(destination_noun(&m->row), "queue"))
			buf_printf(out, "in %s because it was sent to that %s", c->queue,
				destination_noun(&m->row));
		else
			buf_printf(out,
				"in %s because the default exchange leads to the queue of the key's name",
				c->queue);
		break;
	}
}

/* --- JSON --- */

static void put_who_json(struct json *j, const char *key, const struct who *w)
{
	if (!w)
		return;
	json_key(j, key);
	json_obj(j);
	json_text(j, w->pid ? "service" : "address", w->service);
	if (w->pid)
		json_kv_int(j, "pid", w->pid);
	json_text(j, "exe", w->exe);
	json_obj_end(j);
}

static void put_note_json(struct json *j, const char *key, const struct replay_note *note)
{
	json_key(j, key);
	json_obj(j);
	json_id(j, "of", note->of);
	json_id(j, "as", note->copy);
	json_time(j, "time", note->ts_ns);
	json_text(j, "by", note->who);
	json_text(j, "reason", note->why);
	json_text(j, "result", note->result);
	json_obj_end(j);
}

void put_replay_json(struct json *j, struct loader *l, struct msg *m)
{
	struct replay_note note;

	if (sent_by_replay(l, m, &note))
		put_note_json(j, "replay", &note);
}

void put_copy_json(struct json *j, const struct answer *a, struct judge *judge, const struct finding *f)
{
	static const char *const sources[] = {
		"", "binding", "delivery", "death", "default-exchange", "group"};
	const struct msg_copy *c = f->copy;
	struct buf text = {0};

	json_kv_str(j, "type", "copy");
	json_id(j, "message", f->message->row.id);
	json_text(j, "vhost", f->message->row.vhost);
	json_kv_str(j, "verdict", standing_json(f->kind));
	json_time(j, "since", f->since_ns);
	if (f->since_ns)
		json_kv_int(j, "age_ms", (f->watched.until_ns - f->since_ns) / NS_PER_MS);
	if (c) {
		json_kv_str(j, "queue", c->queue);
		json_kv_str(j, "state", state_name(c->state));
		json_kv_int(j, "deliveries", c->deliveries);
		put_who_json(j, "consumer", c->consumer);
		if (c->settle)
			json_kv_str(j, "settled_by", settle_name(c->settle));
		if (c->source >= COPY_BY_BINDING && c->source <= COPY_BY_GROUP)
			json_kv_str(j, "known_by", sources[c->source]);
		json_time(j, "queued", c->queued_ns);
		json_time(j, "delivered", c->delivered_ns);
		json_time(j, "settled", c->settled_ns);
		json_id(j, "dead_letter", c->dead_letter);
	}
	if (f->kind == STANDS_WAITING || (c && f->kind == STANDS_ON_ITS_WAY)) {
		json_kv_int(j, "ahead", (int64_t)f->ahead);
		json_time(j, "last_delivery", f->queue_taken_ns);
		json_kv_int(j, "subscriptions", f->consumers);
		json_text(j, "group_settled", f->settled_mid);
		json_text(j, "group_read", f->taken_mid);
	}
	json_text(j, "refusal", f->refusal);
	if (read_though_aborted(f))
		json_kv_bool(j, "aborted", true);
	if (f->kind == STANDS_DEAD_LETTERED || f->kind == STANDS_RETRIED)
		json_text(j, "reason", f->reason);
	if (f->kind == STANDS_RETRIED) {
		json_id(j, "retried_as", f->end_message->row.id);
		json_kv_str(j, "retried_in", f->end->queue);
		json_kv_str(j, "retried_state", state_name(f->end->state));
	}
	if (f->replayed && !f->replay.before)
		put_note_json(j, "replayed", &f->replay);
	put_finding(&text, a, judge, f);
	json_kv_span(j, "text", buf_span(&text));
	buf_free(&text);
}

void put_op_json(struct json *j, const struct msg_op *op)
{
	json_kv_str(j, "type", "operation");
	if (op->id)
		json_kv_int(j, "id", (int64_t)op->id);
	json_time(j, "time", op->ts_ns);
	json_kv_str(j, "kind", op_kind_name(op->kind));
	if (op->settle)
		json_kv_str(j, "settle", settle_name(op->settle));
	if (op->who) {
		json_text(j, op->who->pid ? "service" : "address", op->who->service);
		if (op->who->pid)
			json_kv_int(j, "pid", op->who->pid);
	}
	if (op->tid)
		json_kv_int(j, "tid", op->tid);
	if (!op->id) {
		json_kv_bool(j, "up_to", true);
		return;
	}
	json_kv_int(j, "connection", (int64_t)op->connection);
	json_kv_int(j, "channel", op->channel);
	if (op->tag)
		json_kv_int(j, "tag", (int64_t)op->tag);
	json_kv_int(j, "position", (int64_t)op->pos);
	json_kv_int(j, "length", (int64_t)op->len);
	json_kv_bool(j, "redelivered", op->flags & OPF_REDELIVERED);
	json_kv_bool(j, "negative", op->flags & OPF_NEGATIVE);
	json_kv_bool(j, "multiple", op->flags & OPF_ONE_OF_MANY);
	if (op->code)
		json_kv_int(j, "code", op->code);
	if (op->text.n)
		json_kv_span(j, "text", op->text);
}

void put_link_json(struct json *j, const struct msg_link *k)
{
	json_kv_str(j, "type", "link");
	json_id(j, "source", k->src);
	json_id(j, "target", k->dst);
	json_kv_str(j, "kind", link_kind_name(k->kind));
	json_key(j, "confidence");
	json_double(j, k->confidence);
	json_text(j, "evidence", k->evidence);
}
