/* evtrace show: one message in full. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "cmd/destination.h"
#include "cmd/sentence.h"
#include "query/content.h"

#define SHOW_OPERATIONS 200
#define SHOW_BODY       (64 * 1024) /* bytes of a body that a terminal gets; --raw gives all */
#define SHOW_VALUES     1000        /* of a body that is no text */
#define SHOW_VALUE      2000        /* bytes of each */
#define DUMP_LINE       16

static const char help[] = "usage: evtrace show [OPTION]... ID|QUERY...\n\n"
			   "One message in full: who sent it and where to, properties and headers, body, "
			   "copies, what was done with it,\n"
			   "links, identifiers.\n\n"
			   "  --raw            only the body's bytes, exactly\n"
			   "  --json           one object; the body as text, or as base64 when it is not\n"
			   "  --store DIR      the store to ask\n\n"
			   "  evtrace show m42                  evtrace show --raw m42 >body.json\n\n"
			   "Exit code: 0 found, 1 nothing found or more than one message, 2 the query is "
			   "wrong, 3 its payload is damaged\n"
			   "or was not kept in full.\n";

struct show {
	struct answer a;
	struct err e;
	struct loader *l;
	struct judge *j;
	struct msg *m;
	struct buf line;
	struct json json;
	unsigned count;
	bool inside_only; /* of a body's values: those in documents within it */
};

/* --- text --- */

static void section(struct show *s, const char *title)
{
	put_tone(&s->line, &s->a, TONE_BOLD, title);
	say_line(stdout, &s->line);
}

/* "  name             value", safe for the terminal. */
static void pair(struct show *s, const char *name, struct span value)
{
	unsigned used = text_width(span_str(name));

	buf_puts(&s->line, "  ");
	text_safe(&s->line, span_str(name));
	for (; used < 18; used++)
		buf_putc(&s->line, ' ');
	buf_putc(&s->line, ' ');
	text_safe(&s->line, value);
	say_line(stdout, &s->line);
}

static void pair_buf(struct show *s, const char *name, struct buf *value)
{
	pair(s, name, buf_span(value));
	buf_clear(value);
}

static void show_identity(struct show *s)
{
	const struct msg *m = s->m;
	const struct row *r = &m->row;
	const struct proto *p = proto_by_id(r->proto);
	struct buf v = {0};
	char text[64];

	snprintf(text, sizeof(text), "m%" PRIu64, r->id);
	put_tone(&s->line, &s->a, TONE_BOLD, text);
	buf_puts(&v, "  ");
	put_headline(&v, &s->a, s->l, s->m);
	text_safe(&s->line, buf_span(&v));
	say_line(stdout, &s->line);
	buf_clear(&v);

	pair(s, "state", span_str(row_state(r)));
	if (r->dest == DEST_ROUTED && !strcmp(destination_noun(r), "queue")) {
		buf_printf(&v, "(default exchange)%s%s", *r->routing_key ? ", key " : "", r->routing_key);
		pair_buf(s, "exchange", &v);
	} else {
		buf_puts(&v, *r->exchange ? r->exchange : r->routing_key);
		if (*r->exchange && *r->routing_key)
			buf_printf(&v, ", %s %s", r->dest == DEST_LOG ? "partition" : "key", r->routing_key);
		pair_buf(s, destination_noun(r), &v);
	}
	if (*r->mid) {
		put_broker_id(&v, r);
		pair_buf(s, "broker's id", &v);
	}
	if (*r->vhost)
		pair(s, "vhost", span_str(r->vhost));
	if (r->pid) {
		put_who(&v, r->service, r->pid, m->sender->exe);
		if (m->tid && m->tid != r->pid)
			buf_printf(&v, ", thread %" PRIu32, m->tid);
		pair_buf(s, "sender", &v);
	}
	if (m->connection) {
		buf_printf(&v, "%s, connection %" PRIu64 ", channel %" PRIu32,
			p ? p->name : "unknown protocol", m->connection, m->channel);
		pair_buf(s, "protocol", &v);
	}
	buf_printf(&v, "m%" PRIu64, r->flow);
	pair_buf(s, "flow", &v);
	if (r->origin == ORIGIN_CLIENT)
		pair(s, "confirmed",
			span_str(r->flags & MSGF_REFUSED     ? "no: the broker refused it"
				 : r->flags & MSGF_CONFIRMED ? "yes"
							     : "not seen"));
	if (m->one_of > 1) {
		buf_printf(&v, "%" PRIu32 " were on their way: which is which cannot be told", m->one_of);
		pair_buf(s, "identical", &v);
	}
	buf_free(&v);
}

static bool on_field(void *ctx, const struct field *f)
{
	struct show *s = ctx;
	struct buf name = {0};

	if (!s->count++)
		section(s, "properties and headers");
	buf_put_span(&name, span_starts(f->name, "header.") ? span_sub(f->name, 7, SIZE_MAX) : f->name);
	pair(s, buf_cstr(&name), f->text);
	buf_free(&name);
	return true;
}

static const struct proto *decoder(const struct show *s)
{
	const struct proto *p = s->m->row.envelope.n ? proto_by_id(s->m->row.proto) : NULL;

	return p && p->fields ? p : NULL;
}

static void show_fields(struct show *s)
{
	const struct proto *p = decoder(s);

	s->count = 0;
	if (p && p->fields(s->m->row.envelope, on_field, s))
		say(stdout, "  and more that cannot be read: the table of headers is broken\n");
}

static void dump(struct show *s, struct span b)
{
	for (size_t i = 0; i < b.n; i += DUMP_LINE) {
		struct span part = span_sub(b, i, DUMP_LINE);

		buf_printf(&s->line, "  %08zx ", i);
		for (size_t k = 0; k < DUMP_LINE; k++) {
			buf_puts(&s->line, k == DUMP_LINE / 2 ? " " : "");
			if (k < part.n)
				buf_printf(&s->line, " %02x", part.p[k]);
			else
				buf_puts(&s->line, "   ");
		}
		buf_puts(&s->line, "  ");
		for (size_t k = 0; k < part.n; k++)
			buf_putc(&s->line, part.p[k] >= 0x20 && part.p[k] < 0x7f ? (char)part.p[k] : '.');
		say_line(stdout, &s->line);
	}
}

/* Text as it stands, each line set in; what could steer the terminal is shown as dots. */
static void show_text(struct show *s, struct span b)
{
	while (b.n) {
		const uint8_t *lf = memchr(b.p, '\n', b.n);
		struct span l = span_sub(b, 0, lf ? (size_t)(lf - b.p) : b.n);

		b = span_sub(b, l.n + 1, SIZE_MAX);
		if (l.n && l.p[l.n - 1] == '\r')
			l.n--;
		buf_puts(&s->line, "  ");
		text_safe_lines(&s->line, l);
		say_line(stdout, &s->line);
	}
}

static bool in_full(const struct row *r)
{
	return r->body.n == r->body_size && !(r->flags & OPF_GAP);
}

/* One value of a body that is no text, or that stands in a document within the body. */
static bool on_value(void *ctx, const struct scalar *v)
{
	struct show *s = ctx;
	struct buf name = {0};

	if (s->inside_only && (!v->inside || !v->path.n))
		return true;
	if (s->inside_only && !s->count)
		section(s, "inside of its values");
	buf_put_span(&name, v->path);
	pair(s, buf_cstr(&name), span_sub(v->value, 0, SHOW_VALUE));
	buf_free(&name);
	return ++s->count < SHOW_VALUES;
}

static void show_values(struct show *s, const struct body *b, bool inside_only)
{
	s->count = 0;
	s->inside_only = inside_only;
	body_scalars(b, on_value, s);
	if (s->count == SHOW_VALUES)
		say(stdout, "  …\n");
}

static void show_body(struct show *s)
{
	const struct row *r = &s->m->row;
	struct buf title = {0};
	char size[40], kept[40];
	struct span shown;
	struct body b;

	content_open(&b, r->proto, r->envelope, r->body);
	shown = span_sub(b.bytes, 0, SHOW_BODY);
	buf_printf(&title, "body, %s, ", fmt_size(size, sizeof(size), r->body_size));
	body_describe(&b, &title);
	if (!in_full(r))
		buf_printf(&title, " (%s were kept: %s)", fmt_size(kept, sizeof(kept), r->body.n),
			r->flags & OPF_GAP ? "bytes were lost" : "the payload limit");
	section(s, buf_cstr(&title));
	if (b.format == BODY_BINARY)
		dump(s, shown);
	else if (body_is_text(&b))
		show_text(s, shown);
	else
		show_values(s, &b, false);
	if ((b.format == BODY_BINARY || body_is_text(&b)) && shown.n < b.bytes.n)
		say(stdout, "  …\n");
	if (shown.n < b.bytes.n || b.layers || !body_is_text(&b))
		say(stdout, "  %s: evtrace show --raw m%" PRIu64 "\n",
			b.layers || !body_is_text(&b) ? "its bytes" : "the rest", r->id);
	if (body_is_text(&b))
		show_values(s, &b, true);
	body_close(&b);
	buf_free(&title);
}

static int show_copies(struct show *s)
{
	const struct msg *m = s->m;
	struct finding f;
	struct buf v = {0};
	int err = 0;

	section(s, "copies");
	for (size_t i = 0; i < m->copies_n && !err; i++) {
		err = judge_copy(s->j, m, &m->copies[i], &f, &s->e);
		if (err)
			break;
		buf_printf(&v, "%s  ", standing_word(f.kind));
		put_finding(&v, &s->a, s->j, &f);
		pair_buf(s, *f.copy->queue ? f.copy->queue : "(unknown)", &v);
	}
	if (!m->copies_n) {
		err = judge_message(s->j, m, &f, &s->e);
		buf_printf(&v, "%s  ", standing_word(f.kind));
		put_finding(&v, &s->a, s->j, &f);
		pair_buf(s, "none seen", &v);
	}
	buf_free(&v);
	return err;
}

static void on_operation(void *ctx, const struct msg_op *op)
{
	struct show *s = ctx;
	struct buf v = {0};

	if (!s->count++)
		section(s, "operations");
	put_operation(&v, &s->a, s->m, op);
	buf_puts(&s->line, "  ");
	text_safe(&s->line, buf_span(&v));
	say_line(stdout, &s->line);
	buf_free(&v);
}

static void show_links(struct show *s)
{
	const struct msg *m = s->m;
	struct buf v = {0};

	if (m->links_n)
		section(s, "links");
	for (size_t i = 0; i < m->links_n; i++) {
		const struct msg_link *k = &m->links[i];

		buf_printf(&v, "  m%" PRIu64 " is %s m%" PRIu64 ", %.3g: %s", k->dst, link_words(k->kind),
			k->src, k->confidence, k->evidence);
		text_safe(&s->line, buf_span(&v));
		say_line(stdout, &s->line);
		buf_clear(&v);
	}
	buf_free(&v);
}

static void on_identifier(void *ctx, const char *name, struct span value, enum place place)
{
	struct show *s = ctx;

	(void)place;
	if (!s->count++)
		section(s, "identifiers");
	pair(s, name, value);
}

static int show_all(struct show *s)
{
	int n;

	show_identity(s);
	show_fields(s);
	show_body(s);
	n = show_copies(s);
	s->count = 0;
	if (n >= 0)
		n = loader_operations(s->l, s->m, SHOW_OPERATIONS, on_operation, s, &s->e);
	if (n > SHOW_OPERATIONS)
		say(stdout, "  and more: evtrace show --json m%" PRIu64 "\n", s->m->row.id);
	if (n >= 0)
		show_links(s);
	s->count = 0;
	if (n >= 0)
		n = loader_identifiers(s->l, s->m, on_identifier, s, &s->e);
	if (n < 0)
		return n;
	put_as_of(&s->line, &s->a);
	say_line(stdout, &s->line);
	say(stdout, "next: evtrace where m%" PRIu64 "   evtrace flow m%" PRIu64 "\n", s->m->row.id,
		s->m->row.id);
	return 0;
}

/* --- JSON --- */

static bool json_value(void *ctx, const struct scalar *v)
{
	struct show *s = ctx;
	struct json *j = &s->json;

	if (s->inside_only && !v->inside)
		return true;
	json_obj(j);
	json_key(j, "name");
	json_exact(j, v->path);
	json_key(j, "value");
	if (v->type == SCALAR_NULL)
		json_null(j);
	else if (v->type == SCALAR_BOOL)
		json_bool(j, span_is(v->value, "true") || span_is(v->value, "True"));
	else
		json_exact(j, v->value); /* numbers as well: they may be too large for a reader's */
	json_obj_end(j);
	return true;
}

/* What was sent, and what it means where that is something else. */
static void json_body(struct show *s)
{
	const struct row *r = &s->m->row;
	struct json *j = &s->json;
	struct body b;

	content_open(&b, r->proto, r->envelope, r->body);
	json_kv_str(j, "body_format", body_format_name(b.format));
	if (b.layers) {
		json_key(j, "body_layers");
		json_arr(j);
		for (unsigned i = 0; i < b.layers; i++)
			json_str(j, body_layer_name((enum body_layer)b.layer[i]));
		json_arr_end(j);
	}
	if (b.schema)
		json_kv_int(j, "body_schema", (int64_t)b.schema);
	if (span_is_text(r->body)) {
		json_kv_span(j, "body", r->body);
	} else {
		json_key(j, "body_base64");
		json_bytes(j, r->body);
	}
	if (b.layers && body_is_text(&b))
		json_kv_span(j, "body_text", b.bytes);
	if (b.format != BODY_BINARY && (!body_is_text(&b) || body_may_hide(b.bytes))) {
		s->inside_only = body_is_text(&b);
		json_key(j, "body_values");
		json_arr(j);
		body_scalars(&b, json_value, s);
		json_arr_end(j);
	}
	body_close(&b);
}

static void json_operation(void *ctx, const struct msg_op *op)
{
	struct show *s = ctx;

	json_obj(&s->json);
	put_op_json(&s->json, op);
	json_obj_end(&s->json);
}

static void json_identifier(void *ctx, const char *name, struct span value, enum place place)
{
	static const char *const places[] = {"", "property", "header", "body", "key"};
	struct show *s = ctx;

	json_obj(&s->json);
	json_kv_str(&s->json, "name", name);
	json_key(&s->json, "value");
	json_exact(&s->json, value);
	if (place >= PLACE_PROPERTY && place <= PLACE_KEY)
		json_kv_str(&s->json, "place", places[place]);
	json_obj_end(&s->json);
}

static void json_identity(struct show *s)
{
	const struct msg *m = s->m;
	struct json *j = &s->json;

	json_kv_str(j, "type", "message");
	put_message_json(j, &s->a, &m->row);
	put_replay_json(j, s->l, s->m);
	json_time(j, "sent", m->sent_ns);
	if (m->sender)
		json_text(j, "exe", m->sender->exe);
	if (m->tid)
		json_kv_int(j, "tid", m->tid);
	if (m->connection) {
		json_kv_int(j, "connection", (int64_t)m->connection);
		json_kv_int(j, "channel", m->channel);
	}
	json_kv_str(j, "routes", m->routes == ROUTES_DECLARED ? "declared" : "unknown");
	json_kv_bool(j, "confirmed", m->row.flags & MSGF_CONFIRMED);
	json_kv_int(j, "identical", m->one_of);
	if (m->code)
		json_kv_int(j, "code", m->code);
}

static int json_copies(struct show *s)
{
	const struct msg *m = s->m;
	int err = 0;

	json_key(&s->json, "copy_list");
	json_arr(&s->json);
	for (size_t i = 0; i < m->copies_n && !err; i++) {
		struct finding f;

		err = judge_copy(s->j, m, &m->copies[i], &f, &s->e);
		if (err)
			break;
		json_obj(&s->json);
		put_copy_json(&s->json, &s->a, s->j, &f);
		json_obj_end(&s->json);
	}
	json_arr_end(&s->json);
	return err;
}

static int print_json(struct show *s)
{
	const struct proto *p = decoder(s);
	struct json *j = &s->json;
	int n;

	j->out = &s->line;
	json_obj(j);
	json_identity(s);
	json_key(j, "properties");
	n = put_properties_json(j, p, s->m->row.envelope);
	if (n)
		return err_set(&s->e, n, "out of memory");
	json_body(s);
	n = json_copies(s);
	json_key(j, "operations");
	json_arr(j);
	if (n >= 0)
		n = loader_operations(s->l, s->m, UINT32_MAX - 1, json_operation, s, &s->e);
	json_arr_end(j);
	json_key(j, "links");
	json_arr(j);
	for (size_t i = 0; i < s->m->links_n; i++) {
		json_obj(j);
		put_link_json(j, &s->m->links[i]);
		json_obj_end(j);
	}
	json_arr_end(j);
	json_key(j, "identifiers");
	json_arr(j);
	if (n >= 0)
		n = loader_identifiers(s->l, s->m, json_identifier, s, &s->e);
	json_arr_end(j);
	json_obj_end(j);
	if (n < 0)
		return n;
	puts(buf_cstr(&s->line));
	buf_clear(&s->line);
	print_coverage_json(&s->a, NULL, false);
	return 0;
}

/* --- bytes --- */

static int print_raw(struct show *s)
{
	const struct row *r = &s->m->row;

	if (r->body.n && fwrite(r->body.p, 1, r->body.n, stdout) != r->body.n)
		return -EIO;
	return fflush(stdout) ? -EIO : 0;
}

static int say_incomplete(struct show *s, bool raw)
{
	const struct row *r = &s->m->row;

	if (in_full(r))
		return EXIT_FOUND;
	if (raw)
		say(stderr, "evtrace show: the body has %" PRIu64 " bytes; only %zu were kept (%s)\n",
			r->body_size, r->body.n,
			r->flags & OPF_GAP ? "bytes were lost in capture" : "the payload limit");
	return EXIT_PARTIAL;
}

static int run(struct show *s, int argc, char **argv, bool raw)
{
	struct err damage = {0};
	uint64_t id = 0;
	int err, unread = 0;

	err = resolve_message(s->a.store, argc, argv, &id, &s->e);
	if (!err)
		err = loader__new(s->a.store, &s->l, &s->e);
	if (!err)
		err = judge__new(s->l, &s->a.cov, s->a.now_ns, &s->j, &s->e);
	if (!err)
		err = loader_get(s->l, id, &s->m, &s->e);
	if (!err)
		err = answer_as_of(&s->a, s->j, s->m, &s->e);
	if (!err)
		unread = loader_payload(s->l, s->m, &damage);
	if (!err && unread && raw)
		return answer_fail(&s->a, -EBADMSG, &damage);
	if (!err)
		err = raw ? print_raw(s) : s->a.json ? print_json(s) : show_all(s);
	if (err == -EIO && raw)
		err_set(&s->e, err, "cannot write the body");
	if (err)
		return answer_fail(&s->a, err, &s->e);
	if (unread) {
		say(stderr, "evtrace show: its payload cannot be read: %s\n", damage.msg);
		return EXIT_PARTIAL;
	}
	return say_incomplete(s, raw);
}

int cmd_show(int argc, char **argv)
{
	static const struct option longopts[] = {
		{"raw", no_argument, NULL, 'r'}, STORE_LONGOPT, JSON_LONGOPT, HELP_LONGOPT, {0}};
	struct common c = {0};
	struct cmd_line line = {"show", help, longopts, &c, 0};
	struct show s = {0};
	bool raw = false;
	int opt, code;

	while ((opt = cmd_option(&line, argc, argv)) > 0)
		raw = true;
	if (opt < 0)
		return line.exit_code;
	if (optind == argc) {
		fputs("evtrace show: which message? an id like m42, or what find would look for\n", stderr);
		return EXIT_USAGE;
	}
	code = answer__open(&s.a, "show", &c, 0);
	if (!code)
		code = run(&s, argc - optind, argv + optind, raw);
	judge__free(s.j);
	loader__free(s.l);
	answer__close(&s.a);
	buf_free(&s.line);
	return code;
}
