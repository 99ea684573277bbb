#include "replay/apply.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/timefmt.h"
#include "replay/audit.h"

#define TIMEOUT_MS 10000

struct applier {
	struct store *s;
	const struct apply_opts *o;
	struct err *e;
	/* The open connection, and what it is to. */
	const struct replayer *replayer;
	const struct plan_item *to;
	void *conn;
};

/* "host:port", "[v6]:port", "host". */
static int split_address(
	const char *text, int default_port, char *host, size_t n, int *ret_port, struct err *e)
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);
	bool bracket = *text == '[';
	char *rest;
	long port = default_port;

	if (colon && !bracket && strchr(text, ':') != colon)
		colon = NULL; /* a bare IPv6 address */
	if (colon && bracket && colon[-1] != ']')
		colon = NULL;
	if (colon) {
		port = strtol(colon + 1, &rest, 10);
		if (rest == colon + 1 || *rest || port < 1 || port > 65535)
			return err_set(
				e, -EINVAL, "\"%s\" is no address: the port is a number up to 65535", text);
		end = colon;
	}
	if (bracket) {
		text++;
		end--;
	}
	if (end <= text || (size_t)(end - text) >= n)
		return err_set(e, -EINVAL, "\"%s\" is no address: write HOST:PORT", text);
	snprintf(host, n, "%.*s", (int)(end - text), text);
	*ret_port = (int)port;
	return 0;
}

static void disconnect(struct applier *a)
{
	if (a->conn)
		a->replayer->close(a->conn);
	a->conn = NULL;
}

static int connect_for(struct applier *a, const struct plan_item *i)
{
	struct replay_broker b = {.vhost = i->vhost, .timeout_ms = a->o->timeout_ms};
	struct credentials c;
	char host[256];
	int err;

	if (a->conn && a->replayer == i->replayer && !strcmp(a->to->broker, i->broker) &&
		!strcmp(a->to->vhost, i->vhost))
		return 0;
	disconnect(a);
	if (!b.timeout_ms)
		b.timeout_ms = TIMEOUT_MS;
	err = split_address(i->broker, i->replayer->port, host, sizeof(host), &b.port, a->e);
	if (!err)
		err = credentials_load(
			a->o->credentials, proto_by_id(i->replayer->proto)->name, host, &c, a->e);
	if (err)
		return err;
	b.host = host;
	b.login = &c;
	err = i->replayer->open(&b, &a->conn, a->e);
	credentials_wipe(&c);
	a->replayer = i->replayer;
	a->to = i;
	return err;
}

/* Unique in the table, and nothing that a client could guess. */
static int make_mark(uint64_t id, char *out, size_t n, struct err *e)
{
	uint64_t token;

	if (getrandom(&token, sizeof(token), 0) != sizeof(token))
		return err_set(e, -EIO, "the kernel gives no random numbers");
	snprintf(out, n, "m%" PRIu64 ".%016" PRIx64, id, token);
	return 0;
}

/* Waits until the next message is due; a message is never sent early to make up for a late one. */
static void pace(double rate, uint64_t *last_ns)
{
	uint64_t gap, now = now_mono_ns();

	if (rate <= 0)
		return;
	gap = (uint64_t)(1e9 / rate);
	if (*last_ns && now < *last_ns + gap) {
		uint64_t left = *last_ns + gap - now;
		struct timespec ts = {(time_t)(left / 1000000000), (long)(left % 1000000000)};

		nanosleep(&ts, NULL);
	}
	*last_ns = now_mono_ns();
}

static const char *outcome_words(enum replay_outcome o)
{
	switch (o) {
	case REPLAY_CONFIRMED:
		return "was confirmed";
	case REPLAY_SENT:
		return "was sent";
	case REPLAY_RETURNED:
		return "came back";
	case REPLAY_REFUSED:
		return "was refused";
	case REPLAY_FAILED:
		return "was not sent";
	case REPLAY_UNKNOWN:
		return "may have arrived";
	}
	return "";
}

static int send_one(struct applier *a, const struct plan_item *i, struct apply_result *r)
{
	struct audit_act act = {i->id, a->o->who, a->o->why, i->broker, i->exchange, i->routing_key, NULL};
	struct replay_message m = {plan_place(i), SPAN_EMPTY, SPAN_EMPTY};
	struct replay_receipt receipt = {0};
	struct buf envelope = {0};
	struct err why = {0}, noted = {0};
	char mark[64];
	int64_t row;
	int err, err2;

	err = make_mark(i->id, mark, sizeof(mark), a->e);
	if (!err)
		err = plan_payload(a->s, i, span_str(mark), &envelope, &m.body, a->e);
	if (!err)
		err = connect_for(a, i);
	act.token = mark;
	if (!err)
		err = audit_begin(a->s, &act, &row, a->e);
	if (err)
		goto out;
	m.envelope = buf_span(&envelope);
	r->last = i->replayer->send(a->conn, &m, &receipt, &why);
	err2 = audit_end(a->s, row, r->last, &receipt, &why, &noted);
	a->o->done(a->o->ctx, i, mark, r->last, &receipt, &why);
	if (r->last == REPLAY_CONFIRMED || r->last == REPLAY_SENT) {
		r->confirmed += r->last == REPLAY_CONFIRMED;
		r->sent++;
		if (err2) {
			*a->e = noted;
			err = err2;
		}
	} else {
		err = err_set(
			a->e, -EREMOTEIO, "m%" PRIu64 " %s: %.400s", i->id, outcome_words(r->last), why.msg);
		err_hint(a->e, "%s", why.hint);
	}
out:
	buf_free(&envelope);
	return err;
}

int plan_apply(
	struct plan *p, struct store *s, const struct apply_opts *o, struct apply_result *ret, struct err *e)
{
	struct applier a = {.s = s, .o = o, .e = e};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	uint64_t last_ns = 0;
	int err = 0;

	/* hiredis writes with write(): a connection that broke is an answer, not the end. */
	sigaction(SIGPIPE, &ignore, &before);
	*ret = (struct apply_result){0};
	for (size_t k = 0; k < p->n && !err; k++) {
		if (p->items[k].refusal)
			continue;
		pace(o->rate, &last_ns);
		if (o->stop && o->stop(o->ctx)) {
			ret->stopped = true;
			break;
		}
		err = send_one(&a, &p->items[k], ret);
	}
	disconnect(&a);
	sigaction(SIGPIPE, &before, NULL);
	return err;
}
