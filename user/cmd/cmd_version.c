/* evtrace version: what this program is made of. */
#include <bpf/libbpf.h>
#include <expat.h>
#include <sqlite3.h>
#include <zlib.h>
#include <zstd.h>

#include "capture/recfile.h"
#include "cmd/cmd.h"
#include "proto/proto.h"
#include "store/store.h"

static const char help[] =
	"usage: evtrace version [--json]\n\n"
	"Version, protocols and back ends that are built in, formats of files, versions of libraries.\n\n"
	"  --json           one object\n\n"
	"Exit code: 0.\n";

struct word {
	const char *name, *value;
};

static const struct word protocols[] = {
#define PROTO(id, name, num) {#name, NULL},
#include "proto/protos.def"
#undef PROTO
};

static const struct word backends[] = {
#define BACKEND(name, what, ...) {#name, what},
#include "capture/backends.def"
#undef BACKEND
};

/* "expat_2.5.0" */
static const char *after_underscore(const char *s)
{
	const char *u = strrchr(s, '_');

	return u ? u + 1 : s;
}

static size_t libraries(struct word *out)
{
	const struct word libs[] = {
		{"libbpf", *libbpf_version_string() == 'v' ? libbpf_version_string() + 1
							   : libbpf_version_string()},
		{"sqlite", sqlite3_libversion()},
		{"zstd", ZSTD_versionString()},
		{"zlib", zlibVersion()},
		{"expat", after_underscore(XML_ExpatVersion())},
	};

	memcpy(out, libs, sizeof(libs));
	return ARRAY_LEN(libs);
}

static void print_text(void)
{
	struct word libs[8];
	size_t n = libraries(libs);

	printf("evtrace %s\n", EVTRACE_VERSION);
	printf("protocols  ");
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		printf("%s%s", i ? ", " : "", protocols[i].name);
	printf("\nback ends  ");
	for (size_t i = 0; i < ARRAY_LEN(backends); i++)
		printf("%s%s (%s)\n", i ? "           " : "", backends[i].name, backends[i].value);
	printf("formats    store %d, record file %d\n", STORE_VERSION, RECFILE_VERSION);
	printf("libraries  ");
	for (size_t i = 0; i < n; i++)
		printf("%s%s %s", i ? ", " : "", libs[i].name, libs[i].value);
	putchar('\n');
}

static void put_names(struct json *j, const char *key, const struct word *w, size_t n)
{
	json_key(j, key);
	json_arr(j);
	for (size_t i = 0; i < n; i++)
		json_str(j, w[i].name);
	json_arr_end(j);
}

static void print_json(void)
{
	struct buf out = {0};
	struct json j = {.out = &out};
	struct word libs[8];
	size_t n = libraries(libs);

	json_obj(&j);
	json_kv_str(&j, "type", "version");
	json_kv_str(&j, "version", EVTRACE_VERSION);
	put_names(&j, "protocols", protocols, ARRAY_LEN(protocols));
	put_names(&j, "backends", backends, ARRAY_LEN(backends));
	json_kv_int(&j, "store_version", STORE_VERSION);
	json_kv_int(&j, "record_file_version", RECFILE_VERSION);
	json_key(&j, "libraries");
	json_obj(&j);
	for (size_t i = 0; i < n; i++)
		json_kv_str(&j, libs[i].name, libs[i].value);
	json_obj_end(&j);
	json_obj_end(&j);
	puts(buf_cstr(&out));
	buf_free(&out);
}

int cmd_version(int argc, char **argv)
{
	static const struct option longopts[] = {JSON_LONGOPT, HELP_LONGOPT, {0}};
	struct common c = {0};
	struct cmd_line line = {"version", help, longopts, &c, 0};

	if (cmd_option(&line, argc, argv))
		return line.exit_code;
	if (optind < argc) {
		fprintf(stderr, "evtrace version: takes no argument, not \"%s\"\n", argv[optind]);
		return EXIT_USAGE;
	}
	if (c.json)
		print_json();
	else
		print_text();
	return EXIT_FOUND;
}
