/*
 * Tables that stream. Rows are held back until the widths are known (a sample of them, or table_flush()); a
 * later cell that is wider than its column pushes its line out, and the flexible column of that line gives
 * way.
 */
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/text.h"

#define TABLE_COLUMNS 16
#define TABLE_GAP     2  /* blanks between columns */
#define TABLE_LEAST   10 /* the flexible column is never cut below this */

struct row_cells {
	struct buf cell[TABLE_COLUMNS];
	enum tone tone[TABLE_COLUMNS];
};

struct table {
	FILE *f;
	struct column cols[TABLE_COLUMNS];
	unsigned width[TABLE_COLUMNS];
	enum tone tone[TABLE_COLUMNS]; /* of the next row */
	size_t n, sample, held;
	struct row_cells *rows; /* the first rows, until the widths are decided */
	bool started, color;
	unsigned line;
};

struct table *table__new(FILE *f, const struct column *cols, size_t n, size_t sample)
{
	struct table *t;

	if (n > TABLE_COLUMNS)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->f = f;
	t->n = n;
	t->sample = sample ? sample : 1;
	t->rows = calloc(t->sample, sizeof(*t->rows));
	if (!t->rows) {
		free(t);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned title = text_width(span_str(cols[i].title));

		t->cols[i] = cols[i];
		t->width[i] = cols[i].min_width > title ? cols[i].min_width : title;
	}
	t->color = out_color(f);
	t->line = out_width();
	return t;
}

void table_tone(struct table *t, size_t col, enum tone tone)
{
	if (t && col < t->n)
		t->tone[col] = tone;
}

static void pad(struct buf *out, unsigned n)
{
	while (n--)
		buf_putc(out, ' ');
}

/* The room for the flexible cell when the others of this line take what they need. */
static unsigned flexible_room(const struct table *t, const struct span *cells, size_t flexible)
{
	unsigned others = TABLE_GAP * (unsigned)(t->n - 1);

	if (t->line == UINT32_MAX)
		return UINT32_MAX;
	for (size_t i = 0; i < t->n; i++) {
		unsigned w = text_width(cells[i]);

		if (i != flexible)
			others += w > t->width[i] ? w : t->width[i];
	}
	return others + TABLE_LEAST < t->line ? t->line - others : TABLE_LEAST;
}

static void put_cell(const struct table *t, size_t i, struct span cell, enum tone tone, struct buf *out)
{
	unsigned w = text_width(cell), fill = w < t->width[i] ? t->width[i] - w : 0;
	bool colored = t->color && tone != TONE_PLAIN;

	if (t->cols[i].align == RIGHT)
		pad(out, fill);
	if (colored)
		buf_puts(out, tone_sgr(tone, true));
	buf_put_span(out, cell);
	if (colored)
		buf_puts(out, tone_sgr(TONE_PLAIN, true));
	if (i + 1 < t->n) {
		if (t->cols[i].align == LEFT)
			pad(out, fill);
		pad(out, TABLE_GAP);
	}
}

static void print_line(struct table *t, const struct span *cells, const enum tone *tones)
{
	struct buf line = {0}, cut = {0};

	for (size_t i = 0; i < t->n; i++) {
		struct span cell = cells[i];

		if (t->cols[i].flexible) {
			unsigned room = flexible_room(t, cells, i);

			buf_clear(&cut);
			text_cut(&cut, cell, room);
			cell = buf_span(&cut);
		}
		put_cell(t, i, cell, tones[i], &line);
	}
	while (line.n && line.p[line.n - 1] == ' ')
		line.n--;
	buf_putc(&line, '\n');
	text_print(t->f, buf_span(&line));
	buf_free(&line);
	buf_free(&cut);
}

static void print_title(struct table *t)
{
	struct span cells[TABLE_COLUMNS];
	enum tone tones[TABLE_COLUMNS];

	for (size_t i = 0; i < t->n; i++) {
		cells[i] = span_str(t->cols[i].title);
		tones[i] = TONE_BOLD;
	}
	print_line(t, cells, tones);
}

static void print_row(struct table *t, const struct row_cells *r)
{
	struct span cells[TABLE_COLUMNS];

	for (size_t i = 0; i < t->n; i++)
		cells[i] = buf_span(&r->cell[i]);
	print_line(t, cells, r->tone);
}

static void row_clear(struct row_cells *r)
{
	for (size_t i = 0; i < TABLE_COLUMNS; i++)
		buf_free(&r->cell[i]);
}

void table_flush(struct table *t)
{
	if (!t || !t->held)
		return;
	if (!t->started) {
		/* A flexible column that is not the last keeps its place when all of it fits. */
		for (size_t r = 0; r < t->held; r++)
			for (size_t i = 0; i + 1 < t->n; i++) {
				unsigned w = text_width(buf_span(&t->rows[r].cell[i]));

				if (w > t->width[i] && !t->cols[i].flexible)
					t->width[i] = w;
			}
		t->started = true;
		print_title(t);
	}
	for (size_t r = 0; r < t->held; r++) {
		print_row(t, &t->rows[r]);
		row_clear(&t->rows[r]);
	}
	t->held = 0;
	fflush(t->f);
}

void table_row(struct table *t, const char *const *cells)
{
	struct row_cells *r;

	if (!t)
		return;
	r = &t->rows[t->held++];
	memset(r, 0, sizeof(*r));
	memcpy(r->tone, t->tone, sizeof(r->tone));
	memset(t->tone, 0, sizeof(t->tone));
	for (size_t i = 0; i < t->n; i++) {
		if (cells[i] && cells[i][0])
			text_safe(&r->cell[i], span_str(cells[i]));
		else if (i + 1 < t->n)
			buf_putc(&r->cell[i], '-');
	}
	if (t->started || t->held == t->sample)
		table_flush(t);
}

void table__end(struct table *t)
{
	if (!t)
		return;
	table_flush(t);
	free(t->rows);
	free(t);
}
