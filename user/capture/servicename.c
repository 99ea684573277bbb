/* How a process's operator calls it: from its control group, else from what it runs. No I/O but one file of
 * a container engine that says a container's name. */
#include "capture/procinfo.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define ARGS_MAX     64
#define ID_LEN       64 /* hexadecimal digits of a container's id */
#define ID_LEN_SHOWN 12

static void copy(char *out, size_t n, const char *s, size_t len)
{
	if (len >= n)
		len = n - 1;
	memcpy(out, s, len);
	out[len] = '\0';
}

void cgroup_path(char *out, size_t n, struct span text)
{
	const char *p = (const char *)text.p, *end = p + text.n;

	out[0] = '\0';
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *eol = nl ? nl : end;
		const char *c1 = memchr(p, ':', (size_t)(eol - p));
		const char *c2 = c1 ? memchr(c1 + 1, ':', (size_t)(eol - c1 - 1)) : NULL;
		bool v2 = c2 && c2 == c1 + 1, systemd = c2 && !strncmp(c1 + 1, "name=systemd:", 13);

		/* "0::/path"; a hybrid host has its services in "1:name=systemd:/path". */
		if (c2 && (v2 || systemd) && eol - c2 > 2 && (v2 || !out[0]))
			copy(out, n, c2 + 1, (size_t)(eol - c2 - 1));
		p = eol + 1;
	}
}

static bool is_container_id(const char *s, size_t n)
{
	if (n < ID_LEN)
		return false;
	for (size_t i = 0; i < ID_LEN; i++)
		if (!isxdigit((unsigned char)s[i]))
			return false;
	return true;
}

/* Docker writes {"ID":…,"Name":"/billing"} there; other engines name only the id. */
static bool docker_name(char *out, size_t n, const char *id)
{
	char path[160], text[65536], *name, *end;
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "/var/lib/docker/containers/%.*s/config.v2.json", ID_LEN, id);
	f = fopen(path, "re");
	if (!f)
		return false;
	len = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[len] = '\0';
	name = strstr(text, "\"Name\":\"/");
	end = name ? strchr(name + 9, '"') : NULL;
	if (!end || end == name + 9)
		return false;
	copy(out, n, name + 9, (size_t)(end - name - 9));
	return true;
}

/* One component of the path: "docker-<id>.scope", "cri-containerd-<id>.scope", "<id>", "nginx.service". */
static bool component_name(char *out, size_t n, const char *s, size_t len)
{
	const char *id = s;
	size_t suffix = strlen(".service");

	for (const char *p = s; p + ID_LEN <= s + len; p++)
		if (*p == '-' || *p == ':')
			id = p + 1;
	if (is_container_id(id, (size_t)(s + len - id))) {
		if (!docker_name(out, n, id))
			copy(out, n, id, ID_LEN_SHOWN);
		return true;
	}
	if (len <= suffix || memcmp(s + len - suffix, ".service", suffix))
		return false;
	if (len > 5 && !memcmp(s, "user@", 5)) /* somebody's whole session */
		return false;
	copy(out, n, s, len - suffix);
	return true;
}

static bool from_cgroup(char *out, size_t n, const char *cgroup, const char *own)
{
	const char *end = cgroup + strlen(cgroup);

	if (!*cgroup || !strcmp(cgroup, "/") || (own && !strcmp(cgroup, own)))
		return false;
	while (end > cgroup) { /* the innermost that is a service */
		const char *start = end;

		while (start > cgroup && start[-1] != '/')
			start--;
		if (component_name(out, n, start, (size_t)(end - start)))
			return true;
		end = start > cgroup ? start - 1 : start;
	}
	return false;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* Interpreters: whose options take a value, and which option names what is run. */
static const struct interp {
	const char *name; /* prefix of the executable's name: python3.11 */
	const char *with_value;
	const char *module; /* "-m": python3 -m billing */
	const char *code;   /* inline program: there is no better name than the interpreter's */
} interps[] = {
	{"python", "WXQ", "-m", "-c"},
	{"pypy", "WX", "-m", "-c"},
	{"node", "rC", NULL, "-e"},
	{"ruby", "ICrE", NULL, "-e"},
	{"perl", "", NULL, "-e"},
	{"php", "cdz", "-f", "-r"},
	{"bash", "O", NULL, "-c"},
	{"sh", "", NULL, "-c"},
	{"dash", "", NULL, "-c"},
	{"java", "", "-jar", NULL},
	{"dotnet", "", NULL, NULL},
	{"beam.smp", "", "-s", NULL},
};

static const struct interp *find_interp(const char *exe_base)
{
	for (size_t i = 0; i < ARRAY_LEN(interps); i++) {
		const char *rest;

		if (!starts(exe_base, interps[i].name))
			continue;
		rest = exe_base + strlen(interps[i].name);
		if (!*rest || isdigit((unsigned char)*rest))
			return &interps[i];
	}
	return NULL;
}

/* The argument that names what the interpreter runs, NULL when none does. */
static const char *script_arg(const struct interp *in, const char *const *argv, size_t argc)
{
	for (size_t i = 1; i < argc; i++) {
		const char *a = argv[i];

		if (in->module && !strcmp(a, in->module))
			return i + 1 < argc ? argv[i + 1] : NULL;
		if (in->code && !strcmp(a, in->code))
			return NULL;
		if (!strcmp(in->name, "beam.smp")) /* everything else of Erlang's is options */
			continue;
		if (!strcmp(in->name, "java") &&
			(!strcmp(a, "-cp") || !strcmp(a, "-classpath") || !strcmp(a, "--module-path"))) {
			i++;
			continue;
		}
		if (a[0] != '-')
			return a;
		if (a[1] && !a[2] && strchr(in->with_value, a[1]))
			i++;
	}
	return NULL;
}

/* Names that say nothing: then the directory's. */
static bool is_generic(const char *name)
{
	static const char *const names[] = {
		"main", "app", "index", "server", "manage", "run", "start", "__main__"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static void from_script(char *out, size_t n, const struct interp *in, const char *script)
{
	const char *base = base_name(script), *dot = strrchr(base, '.');
	size_t len;

	if (!strcmp(in->name, "java") && !strchr(script, '/') && dot && strcmp(dot, ".jar"))
		base = dot + 1, dot = NULL; /* com.example.Billing */
	copy(out, n, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
	if (!is_generic(out) || base - script < 2)
		return;
	for (len = 0; base - 2 - len > script && base[-2 - (ptrdiff_t)len] != '/'; len++)
		;
	if (base[-2 - (ptrdiff_t)len] == '/')
		len--;
	if (isalnum((unsigned char)base[-2 - (ptrdiff_t)len]))
		copy(out, n, base - 2 - len, len + 1);
}

void service_name(
	char *out, size_t n, const char *cgroup, const char *own_cgroup, const char *exe, struct span cmdline)
{
	const char *argv[ARGS_MAX], *base = base_name(exe), *script = NULL;
	const struct interp *in;
	char args[4096];
	size_t argc = 0;

	out[0] = '\0';
	if (from_cgroup(out, n, cgroup, own_cgroup))
		return;
	if (cmdline.n > sizeof(args) - 1)
		cmdline.n = sizeof(args) - 1;
	if (cmdline.n)
		memcpy(args, cmdline.p, cmdline.n);
	args[cmdline.n] = '\0';
	for (size_t i = 0; i < cmdline.n && argc < ARGS_MAX; i += strlen(args + i) + 1)
		argv[argc++] = args + i;

	if (!*base && argc)
		base = base_name(argv[0]);
	in = find_interp(base);
	if (in)
		script = script_arg(in, argv, argc);
	if (script && *script)
		from_script(out, n, in, script);
	if (!out[0])
		copy(out, n, base, strlen(base));
	/* "/usr/bin/x (deleted)": the file was replaced while it ran. */
	if (strlen(out) > 10 && !strcmp(out + strlen(out) - 10, " (deleted)"))
		out[strlen(out) - 10] = '\0';
}
