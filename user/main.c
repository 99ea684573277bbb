/* evtrace: finds the command's row and runs it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"

static void usage(FILE *f)
{
	fputs("evtrace sees, without touching a line of their code, every message that programs exchange "
	      "with their\n"
	      "brokers, and answers questions about each one.\n\n"
	      "usage: evtrace COMMAND [OPTION]... [ARGUMENT]...\n\n",
		f);
	for (size_t i = 0; i < cmds_n; i++)
		fprintf(f, "  %-8s  %s\n", cmds[i].name, cmds[i].summary);
	fputs("\n`evtrace COMMAND --help` explains one. Everyday start:\n"
	      "  sudo evtrace record -- ./my-service     then, elsewhere:  sudo evtrace find 'John Doe'\n",
		f);
}

/* The command that @typed most likely meant: one edit away, or the only one that starts like it. */
static const struct cmd *nearest(const char *typed)
{
	const struct cmd *found = NULL;
	size_t n = strlen(typed);

	for (size_t i = 0; n && i < cmds_n; i++) {
		const char *a = typed, *b = cmds[i].name;

		while (*a && *a == *b)
			a++, b++;
		if (!*a || !strcmp(a + 1, b) || !strcmp(a, b + !!*b) || (*b && !strcmp(a + 1, b + 1))) {
			if (found)
				return NULL;
			found = &cmds[i];
		}
	}
	return found;
}

int main(int argc, char **argv)
{
	const struct cmd *guess;

	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		if (argc == 2) {
			usage(stdout);
			return EXIT_FOUND;
		}
		argv[1] = argv[2];
		argv[2] = "--help";
		argc = 3;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		argv[1] = "version";
	for (size_t i = 0; i < cmds_n; i++)
		if (!strcmp(cmds[i].name, argv[1]))
			return cmds[i].run(argc - 1, argv + 1);

	fprintf(stderr, "evtrace: there is no command \"%s\"\n", argv[1]);
	guess = nearest(argv[1]);
	if (guess)
		fprintf(stderr, "  did you mean: evtrace %s\n", guess->name);
	else
		fputs("  evtrace help lists all commands\n", stderr);
	return EXIT_USAGE;
}
