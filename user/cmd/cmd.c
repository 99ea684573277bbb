#include "cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CMD(name, summary) int cmd_##name(int argc, char **argv);
#include "cmd/cmds.def"
#undef CMD

const struct cmd cmds[] = {
#define CMD(name, summary) {#name, summary, cmd_##name},
#include "cmd/cmds.def"
#undef CMD
};
const size_t cmds_n = ARRAY_LEN(cmds);

static int parse_limit(const char *arg, uint64_t *ret)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(arg, &end, 10);
	if (errno || end == arg || *end || *arg == '-')
		return -EINVAL;
	*ret = v;
	return 0;
}

int common_option(struct common *c, int opt, const char *arg)
{
	switch (opt) {
	case 0x100:
		c->store = arg;
		return 1;
	case 0x101:
		c->json = true;
		return 1;
	case 0x102:
		c->since = arg;
		return 1;
	case 0x103:
		c->until = arg;
		return 1;
	case 0x104:
		if (parse_limit(arg, &c->limit)) {
			fprintf(stderr, "evtrace: --limit takes a whole number, not \"%s\" (0: no limit)\n",
				arg);
			return -EINVAL;
		}
		c->limit_set = true;
		return 1;
	default:
		return 0;
	}
}

int cmd_fail(const char *cmd, int exit_code, const struct err *e)
{
	fprintf(stderr, "evtrace %s: %s\n", cmd, e->msg);
	if (e->hint[0])
		fprintf(stderr, "  %s\n", e->hint);
	return exit_code;
}

int cmd_bad_option(const char *cmd, int argc, char **argv, int opt)
{
	const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";

	if (opt == ':')
		fprintf(stderr, "evtrace %s: %s needs a value\n", cmd, word);
	else
		fprintf(stderr, "evtrace %s: there is no option \"%s\"\n", cmd, word);
	fprintf(stderr, "  evtrace %s --help lists them\n", cmd);
	return EXIT_USAGE;
}

int cmd_option(struct cmd_line *l, int argc, char **argv)
{
	int opt, done;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":h", l->options, NULL)) != -1) {
		if (opt == 'h') {
			text_print(stdout, span_str(l->help));
			l->exit_code = EXIT_FOUND;
			return -1;
		}
		if (opt == '?' || opt == ':') {
			l->exit_code = cmd_bad_option(l->cmd, argc, argv, opt);
			return -1;
		}
		done = common_option(l->common, opt, optarg);
		if (done < 0) {
			l->exit_code = EXIT_USAGE;
			return -1;
		}
		if (!done)
			return opt;
	}
	return 0;
}

int cmd_store_exit(int err)
{
	switch (err) {
	case -ENOSPC:
	case -ENOMEM:
	case -EIO:
	case -EROFS:
		return EXIT_SYSTEM;
	default:
		return EXIT_STORE;
	}
}
