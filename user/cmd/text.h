/*
 * Text for people: what comes from outside is made harmless, everything is measured in columns, and a
 * terminal that is not UTF-8 gets ASCII. Commands write UTF-8 and print through text_print(); only there the
 * locale is asked.
 */
#ifndef EVTRACE_CMD_TEXT_H
#define EVTRACE_CMD_TEXT_H

#include <stdio.h>

#include "base/buf.h"

/* Appends @s with every control character, every byte that is no UTF-8 and every character that changes the
 * direction of writing shown as '.': nothing from a message may steer the terminal. */
void text_safe(struct buf *out, struct span s);
/* As text_safe(), with line feeds and tabs kept. */
void text_safe_lines(struct buf *out, struct span s);

/* Columns that @s takes when printed; escape sequences (ESC [ ... m) take none. */
unsigned text_width(struct span s);
/* Appends @s cut to @width columns, the last of them an ellipsis if something was cut. */
void text_cut(struct buf *out, struct span s, unsigned width);

/* Writes @s; in a locale that is not UTF-8 signs become their nearest ASCII and other characters '?'. */
void text_print(FILE *f, struct span s);

/* What a piece of text says, repeated by colour when the terminal has it. */
enum tone {
	TONE_PLAIN = 0,
	TONE_GOOD, /* settled as it should */
	TONE_WAIT, /* not finished, may need a look */
	TONE_BAD,  /* rejected, dead, returned */
	TONE_DIM,  /* evidence, context */
	TONE_BOLD,
};
/* The escape sequence that starts @t, or ends it with TONE_PLAIN; "" when @color is not set. */
const char *tone_sgr(enum tone t, bool color);

#endif
