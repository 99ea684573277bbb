/* Files as sources: says what a file is and has the reader of its kind give it to a sink. */
#include "capture/source.h"

#include <errno.h>
#include <stdlib.h>

#define PROGRESS_EVERY 1024 /* records */

static const struct source_kind *const kinds[] = {&source_recfile, &source_pcap, &source_pcapng};

/* The first bytes of what people hand over instead: how to get at what is inside. */
static const struct {
	const char *magic;
	size_t n;
	const char *what, *tool;
} compressed[] = {
	{"\x1f\x8b", 2, "gzip", "zcat"},
	{"\x28\xb5\x2f\xfd", 4, "zstd", "zstdcat"},
	{"\xfd"
	 "7zXZ",
		5, "xz", "xzcat"},
	{"BZh", 3, "bzip2", "bzcat"},
};

static int not_a_source(const struct input *in, struct span head, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(compressed); i++) {
		struct span magic = span_of(compressed[i].magic, compressed[i].n);

		if (!span_eq(span_sub(head, 0, magic.n), magic))
			continue;
		err_set(e, -EINVAL, "%s is compressed (%s)", in->path, compressed[i].what);
		err_hint(e, "%s %s%sevtrace import -", compressed[i].tool, in->fd ? in->path : "",
			in->fd ? " | " : "| ");
		return -EINVAL;
	}
	if (!head.n)
		return err_set(e, -EINVAL, "%s is empty", in->path);
	err_set(e, -EINVAL, "%s is neither a record file of evtrace nor a capture (pcap, pcapng)", in->path);
	err_hint(e, "evtrace record --raw FILE writes one, tcpdump -w FILE the other");
	return -EINVAL;
}

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
	err = input_peek(&s->in, 16, &head, e);
	if (err && err != -ENODATA)
		goto fail;
	for (size_t i = 0; i < ARRAY_LEN(kinds) && !s->kind; i++)
		if (kinds[i]->is_mine(head))
			s->kind = kinds[i];
	err = s->kind ? s->kind->begin(s, &info, e) : not_a_source(&s->in, head, e);
	if (err)
		goto fail;
	strncpy(info.kind, s->kind->name, sizeof(info.kind) - 1);
	*ret = s;
	*ret_info = info;
	return 0;
fail:
	source__close(s);
	return err;
}

int source_run(struct source *s, const struct sink *sink, source_progress progress, void *ctx, struct err *e)
{
	int err = 0, end;

	while (!err) {
		err = s->kind->next(s, sink, e);
		if (!err && !(++s->records % PROGRESS_EVERY) && progress)
			progress(ctx, s->in.off, s->in.total, s->records);
	}
	if (progress)
		progress(ctx, s->in.off, s->in.total, s->records);
	if (err == -ENODATA)
		err = 0;
	if (err && err != -EBADMSG)
		return err;
	end = s->kind->end(s, sink);
	if (!err && end)
		err = source_stopped(s, end, e);
	return err;
}

bool source_was_cut(const struct source *s)
{
	return s->cut;
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
