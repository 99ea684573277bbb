#include "cmd/bar.h"

#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/timefmt.h"

#define SHOW_NS (200 * NS_PER_MS)
#define COLUMNS 20

void bar_begin(struct bar *b)
{
	*b = (struct bar){.tty = isatty(STDERR_FILENO), .started_mono = (int64_t)now_mono_ns()};
}

/* "[#########-----------]  48 %  " */
static void put_bar(struct buf *b, uint64_t done, uint64_t total)
{
	double part = done < total ? (double)done / (double)total : 1;

	buf_putc(b, '[');
	for (unsigned i = 0; i < COLUMNS; i++)
		buf_putc(b, i < (unsigned)(part * COLUMNS) ? '#' : '-');
	buf_printf(b, "] %3u %%  ", (unsigned)(part * 100));
}

static void show(const struct progress *p, int64_t spent_ns)
{
	double rate = spent_ns > 0 ? (double)p->done * 1e9 / (double)spent_ns : 0;
	struct buf line = {0};
	char t[40];

	buf_puts(&line, "\r\033[K");
	if (p->total)
		put_bar(&line, p->done, p->total);
	buf_puts(&line, fmt_size(t, sizeof(t), p->done));
	if (p->total)
		buf_printf(&line, " of %s", fmt_size(t, sizeof(t), p->total));
	buf_printf(&line, ", %s/s", fmt_size(t, sizeof(t), (uint64_t)rate));
	if (p->total > p->done && rate > 0)
		buf_printf(&line, ", %s left",
			fmt_duration(t, sizeof(t), (int64_t)((double)(p->total - p->done) / rate * 1e9)));
	fputs(buf_cstr(&line), stderr);
	fflush(stderr);
	buf_free(&line);
}

void bar_show(struct bar *b, const struct progress *p)
{
	int64_t now;

	if (!b->tty)
		return;
	now = (int64_t)now_mono_ns();
	if (now < b->next_mono)
		return;
	b->next_mono = now + SHOW_NS;
	show(p, now - b->started_mono);
}

void bar_clear(const struct bar *b)
{
	if (b->tty)
		fputs("\r\033[K", stderr);
}
