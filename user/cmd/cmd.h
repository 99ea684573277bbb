/*
 * Commands: one file and one row of cmds.def each. What is common to them: global options, exit codes,
 * output. `cmd_x(argc, argv)` gets argv[0] = the command's name and returns an exit code.
 */
#ifndef EVTRACE_CMD_CMD_H
#define EVTRACE_CMD_CMD_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/json.h"
#include "cmd/text.h"

/* Exit codes, documented in evtrace(1); append-only. */
enum {
	EXIT_FOUND = 0,   /* done; for questions: something was found */
	EXIT_NONE = 1,    /* nothing was found, or what was asked for is not the case */
	EXIT_USAGE = 2,   /* the command line or the query cannot be understood */
	EXIT_PARTIAL = 3, /* done, but an interruption or damage left out a part; said on stderr */
	EXIT_SYSTEM = 4,  /* the machine does not allow it: privileges, kernel, memory, disk */
	EXIT_STORE = 5,   /* the store or an input file cannot be used */
	EXIT_BROKER = 6,  /* the broker refused or could not be reached */
};

struct cmd {
	const char *name;
	const char *summary; /* one line of `evtrace help` */
	int (*run)(int argc, char **argv);
};
extern const struct cmd cmds[];
extern const size_t cmds_n;

/* Options that mean the same everywhere. Commands name those that fit among their long options, and read them
 * by cmd_option(). */
struct common {
	const char *store;         /* --store DIR */
	bool json;                 /* --json */
	const char *since, *until; /* --since, --until */
	uint64_t limit;            /* --limit N */
	bool limit_set;
};
/* clang-format off */
#define STORE_LONGOPT {"store", required_argument, NULL, 0x100}
#define JSON_LONGOPT  {"json", no_argument, NULL, 0x101}
#define SINCE_LONGOPT {"since", required_argument, NULL, 0x102}
#define UNTIL_LONGOPT {"until", required_argument, NULL, 0x103}
#define LIMIT_LONGOPT {"limit", required_argument, NULL, 0x104}
#define HELP_LONGOPT  {"help", no_argument, NULL, 'h'}
/* clang-format on */
/* A command's line, read option by option. */
struct cmd_line {
	const char *cmd, *help;
	const struct option *options;
	struct common *common;
	int exit_code;
};
/* The next option that is the command's own, its value in optarg; 0 when all are read; -1 when the command is
 * to end with exit_code: help was asked for, or something is wrong and was said. */
int cmd_option(struct cmd_line *l, int argc, char **argv);
/* 1 handled, 0 not one of these, <0: a bad value, said on stderr (exit EXIT_USAGE). */
int common_option(struct common *c, int opt, const char *arg);

/* Prints "evtrace CMD: msg" and the hint, indented, on stderr; returns @exit_code. */
int cmd_fail(const char *cmd, int exit_code, const struct err *e);
/* After getopt_long() returned '?': which option, and where help is. Returns EXIT_USAGE. Set opterr = 0 and a
 * leading ':'. */
int cmd_bad_option(const char *cmd, int argc, char **argv, int opt);
/* Maps a -errno of the store to EXIT_STORE or EXIT_SYSTEM. */
int cmd_store_exit(int err);

/* --- output, for people --- */
bool out_color(FILE *f); /* a tty, no NO_COLOR, TERM not dumb */
bool out_utf8(void);
unsigned out_width(void); /* columns of stdout; unlimited (UINT32_MAX) off a terminal */

enum align {
	LEFT,
	RIGHT,
};
struct column {
	const char *title;
	enum align align;
	bool flexible; /* gives way when the line is too long; one column, normally the last */
	unsigned min_width;
};
/*
 * A table that streams: the first @sample rows decide the widths, or table_end(). Cells are UTF-8; control
 * characters are shown as '.'; an empty cell shows as "-" when the column is not the last.
 */
struct table;
struct table *table__new(FILE *f, const struct column *cols, size_t n, size_t sample);
void table_row(struct table *t, const char *const *cells);
/* The cell of the next row says this; colour repeats it. */
void table_tone(struct table *t, size_t col, enum tone tone);
/* Prints what is pending, with the widths as far as they are known. */
void table_flush(struct table *t);
void table__end(struct table *t); /* prints what is pending and frees */

#endif
