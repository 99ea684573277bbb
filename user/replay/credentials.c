#include "replay/credentials.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names of decoders, and of their environment. */
static const struct section {
	const char *name, *env;
} sections[] = {{"amqp091", "AMQP"}, {"kafka", "KAFKA"}, {"redis", "REDIS"}, {"nats", "NATS"}};

bool host_is_loopback(const char *host)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (!strcmp(host, "localhost"))
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

void credentials_wipe(struct credentials *c)
{
	explicit_bzero(c, sizeof(*c));
}

/* The file must be its reader's own, and closed to all others: a password that others can read is no secret.
 */
static int check_mode(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(e, -errno, "cannot read credentials from %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "cannot read credentials from %s: not a file", path);
	if (st.st_uid != geteuid() && st.st_uid != getuid() && geteuid() != 0)
		return err_set(e, -EPERM, "credentials in %s: the file belongs to another user", path);
	if (st.st_mode & 077) {
		err_set(e, -EPERM, "credentials in %s: others can read it (mode %04o)", path,
			(unsigned)(st.st_mode & 07777));
		err_hint(e, "chmod 600 %s", path);
		return -EPERM;
	}
	return 0;
}

static bool take(const char *line, const char *name, char *out, size_t n)
{
	size_t k = strlen(name);

	if (strncmp(line, name, k) || line[k] != '=')
		return false;
	snprintf(out, n, "%s", line + k + 1);
	return true;
}

struct wanted {
	const char *section; /* "kafka" */
	bool bare;           /* lines before the first section are for it */
};

/* 1 taken, 0 no such name, -EINVAL. */
static int take_line(const char *line, struct credentials *c)
{
	char tls[8];

	if (take(line, "tls", tls, sizeof(tls))) {
		c->tls = !strcmp(tls, "yes");
		return c->tls || !strcmp(tls, "no") ? 1 : -EINVAL;
	}
	return take(line, "user", c->user, sizeof(c->user)) ||
	       take(line, "password", c->password, sizeof(c->password)) ||
	       take(line, "token", c->token, sizeof(c->token)) ||
	       take(line, "creds", c->creds, sizeof(c->creds)) ||
	       take(line, "mechanism", c->mechanism, sizeof(c->mechanism)) ||
	       take(line, "ca", c->ca, sizeof(c->ca));
}

/* "[kafka]": is what follows for us? */
static int take_section(const char *line, const struct wanted *w, bool *ret)
{
	size_t n = strlen(line);

	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		size_t k = strlen(sections[i].name);

		if (n == k + 2 && line[n - 1] == ']' && !strncmp(line + 1, sections[i].name, k)) {
			*ret = !strcmp(sections[i].name, w->section);
			return 0;
		}
	}
	return -EINVAL;
}

static int parse(FILE *f, const char *path, const struct wanted *w, struct credentials *c, struct err *e)
{
	char line[PATH_MAX + 64];
	bool ours = w->bare;
	int err = 0;

	for (int n = 1; !err && fgets(line, sizeof(line), f); n++) {
		struct credentials others = {0};

		line[strcspn(line, "\r\n")] = '\0';
		if (!*line || *line == '#')
			continue;
		if (*line == '[')
			err = take_section(line, w, &ours);
		else if (take_line(line, ours ? c : &others) <= 0)
			err = -EINVAL;
		if (err)
			err_set(e, err,
				"%s, line %d: not user=NAME, password=SECRET, or another line that "
				"evtrace-replay(1) names",
				path, n);
		credentials_wipe(&others);
	}
	explicit_bzero(line, sizeof(line));
	if (!err && *c->password && !*c->user && strcmp(w->section, "redis"))
		err = err_set(e, -EINVAL, "%s has no line user=NAME", path);
	return err;
}

static int from_file(const char *path, const struct wanted *w, struct credentials *c, struct err *e)
{
	char stdio[4096]; /* so that no copy of the secret stays in a freed buffer */
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	FILE *f;

	if (fd < 0)
		return err_set(e, -errno, "cannot read credentials from %s: %s", path, strerror(errno));
	err = check_mode(fd, path, e);
	f = err ? NULL : fdopen(fd, "r");
	if (!f) {
		close(fd);
		return err ? err : -ENOMEM;
	}
	setvbuf(f, stdio, _IOFBF, sizeof(stdio));
	err = parse(f, path, w, c, e);
	fclose(f);
	explicit_bzero(stdio, sizeof(stdio));
	return err;
}

static bool from_environment(const char *prefix, struct credentials *c)
{
	char name[64];
	const char *user, *password;

	snprintf(name, sizeof(name), "EVTRACE_%s_USER", prefix);
	user = getenv(name);
	snprintf(name, sizeof(name), "EVTRACE_%s_PASSWORD", prefix);
	password = getenv(name);
	if ((!user || !*user) && (!password || !*password))
		return false;
	snprintf(c->user, sizeof(c->user), "%s", user ? user : "");
	snprintf(c->password, sizeof(c->password), "%s", password ? password : "");
	return true;
}

static bool default_path(char *out, size_t n)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int k;

	if (config && *config == '/')
		k = snprintf(out, n, "%s/evtrace/credentials", config);
	else if (home && *home)
		k = snprintf(out, n, "%s/.config/evtrace/credentials", home);
	else
		return false;
	return k < (int)n && !access(out, F_OK);
}

static const struct section *section_of(const char *proto)
{
	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		if (!strcmp(sections[i].name, proto))
			return &sections[i];
	return &sections[0];
}

/* What a broker lets in that was told nothing. */
static int without(const struct section *s, const char *host, struct credentials *c, struct err *e)
{
	if (s != &sections[0])
		return 0; /* nobody */
	if (host_is_loopback(host)) {
		/* RabbitMQ's own default, and only from there */
		snprintf(c->user, sizeof(c->user), "guest");
		snprintf(c->password, sizeof(c->password), "guest");
		return 0;
	}
	err_set(e, -ENOENT, "no user and password for the broker at %s", host);
	err_hint(e, "put user=NAME and password=SECRET into ~/.config/evtrace/credentials (chmod 600), or "
		    "name a file with --credentials");
	return -ENOENT;
}

int credentials_load(
	const char *file, const char *proto, const char *host, struct credentials *ret, struct err *e)
{
	const struct section *s = section_of(proto);
	struct wanted w = {s->name, file || s == &sections[0]};
	struct credentials c = {0};
	char path[PATH_MAX];
	int err = 0;

	if (file)
		err = from_file(file, &w, &c, e);
	else if (from_environment(s->env, &c))
		err = 0;
	else if (default_path(path, sizeof(path)))
		err = from_file(path, &w, &c, e);
	if (!err && !*c.user && !*c.password && !*c.token && !*c.creds)
		err = without(s, host, &c, e);
	if (!err)
		*ret = c;
	credentials_wipe(&c);
	return err;
}

int login_usable(const struct credentials *c, const char *library, unsigned can, struct err *e)
{
	const char *cannot = *c->token && !(can & LOGIN_TOKEN)           ? "token"
			     : *c->creds && !(can & LOGIN_CREDS)         ? "creds"
			     : *c->mechanism && !(can & LOGIN_MECHANISM) ? "mechanism"
			     : c->tls && !(can & LOGIN_TLS)              ? "tls"
									 : NULL;

	return cannot ? err_set(e, -EINVAL, "the credentials say %s, which replay through %s does not know",
				cannot, library)
		      : 0;
}
