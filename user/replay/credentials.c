#include "replay/credentials.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int parse(FILE *f, const char *path, struct credentials *c, struct err *e)
{
	char line[2048];
	int err = 0;

	for (int n = 1; !err && fgets(line, sizeof(line), f); n++) {
		line[strcspn(line, "\r\n")] = '\0';
		if (!*line || *line == '#')
			continue;
		if (!take(line, "user", c->user, sizeof(c->user)) &&
			!take(line, "password", c->password, sizeof(c->password))) {
			err = err_set(e, -EINVAL, "%s, line %d: not user=NAME or password=SECRET", path, n);
			break;
		}
	}
	explicit_bzero(line, sizeof(line));
	if (!err && !*c->user)
		err = err_set(e, -EINVAL, "%s has no line user=NAME", path);
	return err;
}

static int from_file(const char *path, struct credentials *c, struct err *e)
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
	err = parse(f, path, c, e);
	fclose(f);
	explicit_bzero(stdio, sizeof(stdio));
	return err;
}

static bool from_environment(struct credentials *c)
{
	const char *user = getenv("EVTRACE_AMQP_USER"), *password = getenv("EVTRACE_AMQP_PASSWORD");

	if (!user || !*user)
		return false;
	snprintf(c->user, sizeof(c->user), "%s", user);
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

int credentials_load(const char *file, const char *host, struct credentials *ret, struct err *e)
{
	struct credentials c = {0};
	char path[PATH_MAX];
	int err = 0;

	if (file)
		err = from_file(file, &c, e);
	else if (from_environment(&c))
		err = 0;
	else if (default_path(path, sizeof(path)))
		err = from_file(path, &c, e);
	else if (host_is_loopback(host))
		c = (struct credentials){"guest", "guest"}; /* RabbitMQ's own default, and only from there */
	else
		err = err_set(e, -ENOENT, "no user and password for the broker at %s", host);
	if (err == -ENOENT && !file)
		err_hint(e, "put user=NAME and password=SECRET into ~/.config/evtrace/credentials (chmod "
			    "600), or "
			    "name a file with --credentials");
	if (!err)
		*ret = c;
	credentials_wipe(&c);
	return err;
}
