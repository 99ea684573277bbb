/* What stdout is: a terminal or not, its width, its characters. Apart from cmd.c so that tests can link it
 * without every command. */
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/cmd.h"

bool out_color(FILE *f)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return isatty(fileno(f)) && !(no && *no) && term && strcmp(term, "dumb");
}

bool out_utf8(void)
{
	static int utf8 = -1;

	if (utf8 < 0) {
		setlocale(LC_CTYPE, "");
		utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	}
	return utf8;
}

unsigned out_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize ws;

	if (!isatty(STDOUT_FILENO))
		return UINT32_MAX;
	if (columns && atoi(columns) > 20)
		return (unsigned)atoi(columns);
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) && ws.ws_col)
		return ws.ws_col;
	return 80;
}
