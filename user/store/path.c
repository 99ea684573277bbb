/* Where the store is, who may have it, and what else may be there. */
#include "store/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROOT_STORE "/var/lib/evtrace"

static int user_store(char *out, size_t n)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int len;

	/* The base directory specification: a relative path is invalid and to be ignored. */
	if (state && state[0] == '/')
		len = snprintf(out, n, "%s/evtrace", state);
	else if (home && home[0] == '/')
		len = snprintf(out, n, "%s/.local/state/evtrace", home);
	else
		return -ENOENT;
	return (size_t)len < n ? 0 : -ENAMETOOLONG;
}

int store_default_path(char *out, size_t n, struct err *e)
{
	const char *env = getenv("EVTRACE_STORE");
	char path[PATH_MAX];
	int err = 0;

	if (env && *env)
		err = (size_t)snprintf(path, sizeof(path), "%s", env) < sizeof(path) ? 0 : -ENAMETOOLONG;
	else if (geteuid() == 0)
		snprintf(path, sizeof(path), "%s", ROOT_STORE);
	else
		err = user_store(path, sizeof(path));
	if (!err && strlen(path) >= n)
		err = -ENAMETOOLONG;
	if (err == -ENOENT) {
		err_set(e, err, "no place for the store: neither XDG_STATE_HOME nor HOME is set");
		err_hint(e, "say where with --store DIR or EVTRACE_STORE=DIR");
		return err;
	}
	if (err)
		return err_set(e, err, "the store's path is too long");
	memcpy(out, path, strlen(path) + 1);
	return 0;
}

int store_join(char *out, size_t n, const char *dir, const char *name, struct err *e)
{
	if ((size_t)snprintf(out, n, "%s/%s", dir, name) >= n)
		return err_set(e, -ENAMETOOLONG, "the store's path %.80s... is too long", dir);
	return 0;
}

/* Why the directory or a file in it cannot be made or opened for writing. */
static int dir_err(const char *path, int err, struct err *e)
{
	switch (err) {
	case -EROFS:
		err_set(e, err, "cannot write to the store %s: the file system is read-only", path);
		err_hint(e, "choose another place with --store DIR");
		break;
	case -EACCES:
	case -EPERM:
		err_set(e, err, "cannot write to the store %s: permission denied (uid %u)", path,
			(unsigned)geteuid());
		err_hint(e, "run it as the store's owner, or choose another place with --store DIR");
		break;
	case -ENOSPC:
	case -EDQUOT:
		err = -ENOSPC;
		err_set(e, err, "cannot write to the store %s: the disk is full", path);
		err_hint(e, "make room, or choose another place with --store DIR");
		break;
	case -ENOTDIR:
		err_set(e, err, "%s is not a store: a store is a directory", path);
		err_hint(e, "choose another place with --store DIR");
		break;
	default:
		err_set(e, err, "cannot use the store %s: %s", path, strerror(-err));
	}
	return err;
}

/* mkdir -p; what is made is private, whatever the umask says. */
static int make_dirs(const char *path)
{
	char part[PATH_MAX];
	size_t n = strlen(path);

	if (n >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (part[i] != '/' && part[i])
			continue;
		part[i] = '\0';
		if (!mkdir(part, 0700)) {
			if (chmod(part, 0700))
				return -errno;
		} else if (errno != EEXIST && errno != EISDIR) {
			struct stat st;
			int err = -errno;

			/* A parent on a read-only file system says EROFS though it is there. */
			if (stat(part, &st) || !S_ISDIR(st.st_mode))
				return err;
		}
		part[i] = path[i];
	}
	return 0;
}

/* What a store, whole or half created, may hold; mkfs makes lost+found. */
static bool is_store_file(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "lost+found") ||
	       !strcmp(name, STORE_LOCK) || !strcmp(name, STORE_BLOCKS) || !strcmp(name, STORE_SCHEMAS) ||
	       !strncmp(name, STORE_CATALOGUE, strlen(STORE_CATALOGUE));
}

/* Blocks without their catalogue: whoever lost it may want to bring it back, so nothing is cut or
 * overwritten. */
static int check_no_blocks(const char *path, struct err *e)
{
	char blocks[PATH_MAX];
	struct dirent *d;
	DIR *dir;
	int err;

	err = store_join(blocks, sizeof(blocks), path, STORE_BLOCKS, e);
	if (err)
		return err;
	dir = opendir(blocks);
	if (!dir)
		return errno == ENOENT ? 0 : dir_err(path, -errno, e);
	while ((d = readdir(dir)))
		if (d->d_name[0] != '.') {
			err = err_set(e, -EINVAL, "the store %s has payload blocks but no %s", path,
				STORE_CATALOGUE);
			err_hint(e, "bring it back, or move the directory away");
			break;
		}
	closedir(dir);
	return err;
}

static int check_only_ours(const char *path, struct err *e)
{
	struct dirent *d;
	DIR *dir = opendir(path);

	if (!dir)
		return dir_err(path, -errno, e);
	while ((d = readdir(dir))) {
		if (is_store_file(d->d_name))
			continue;
		err_set(e, -EINVAL, "%s is not a store: it holds other things (%.80s)", path, d->d_name);
		err_hint(e, "name an empty or a new directory with --store DIR");
		closedir(dir);
		return -EINVAL;
	}
	closedir(dir);
	return check_no_blocks(path, e);
}

static int read_pid(int fd)
{
	char text[16] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	return n > 0 ? atoi(text) : 0;
}

static int busy(const char *path, int fd, struct err *e)
{
	int pid = read_pid(fd);

	if (pid)
		err_set(e, -EBUSY, "the store %s is in use: evtrace (pid %d) is writing to it", path, pid);
	else
		err_set(e, -EBUSY, "the store %s is in use: another evtrace is writing to it", path);
	err_hint(e, "stop that one, or choose another place with --store DIR");
	return -EBUSY;
}

/* Whoever asks store_lock_holder() has the lock for a moment: only one that stays is a writer's. */
static int flock_patiently(int fd)
{
	const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};

	for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB); tries++) {
		if (errno != EWOULDBLOCK || tries == 5)
			return -1;
		nanosleep(&moment, NULL);
	}
	return 0;
}

static int take_lock(const char *path, const char *file, int *ret_fd, struct err *e)
{
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600), err;

	if (fd < 0)
		return dir_err(path, -errno, e);
	if (flock_patiently(fd)) {
		err = errno == EWOULDBLOCK ? busy(path, fd, e) : dir_err(path, -errno, e);
		goto fail;
	}
	/* Best effort: the lock is what counts, its text only helps whoever finds it taken. */
	if (fchmod(fd, 0600) || ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0) {
		err = dir_err(path, -errno, e);
		goto fail;
	}
	*ret_fd = fd;
	return 0;
fail:
	close(fd);
	return err;
}

int store_dir__lock(const char *path, int *ret_lock_fd, struct err *e)
{
	char file[PATH_MAX];
	struct stat st;
	int err;

	err = make_dirs(path);
	if (err)
		return dir_err(path, err, e);
	if (stat(path, &st))
		return dir_err(path, -errno, e);
	if (!S_ISDIR(st.st_mode))
		return dir_err(path, -ENOTDIR, e);
	err = store_join(file, sizeof(file), path, STORE_CATALOGUE, e);
	if (err)
		return err;
	if (access(file, F_OK)) {
		err = check_only_ours(path, e);
		if (err)
			return err;
	}
	err = store_join(file, sizeof(file), path, STORE_LOCK, e);
	if (err)
		return err;
	return take_lock(path, file, ret_lock_fd, e);
}

void store_dir__unlock(int lock_fd)
{
	if (lock_fd < 0)
		return;
	/* The file stays: were it removed, two writers could hold locks on two files of that name. An
	 * error only leaves a stale pid, which nobody reads without the lock being held. */
	if (ftruncate(lock_fd, 0))
		(void)0;
	close(lock_fd);
}

int store_lock_holder(const char *path)
{
	char file[PATH_MAX];
	int fd, pid = 0;

	if (store_join(file, sizeof(file), path, STORE_LOCK, NULL))
		return 0;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK)
		pid = read_pid(fd);
	close(fd);
	return pid;
}

/* The other of the two default places, if there is a store and @path is not it. */
static bool other_store(const char *path, char *out, size_t n)
{
	char file[PATH_MAX];

	if (geteuid() == 0) {
		const char *user = getenv("SUDO_USER");
		struct passwd *p = user ? getpwnam(user) : NULL;

		if (!p || (size_t)snprintf(out, n, "%s/.local/state/evtrace", p->pw_dir) >= n)
			return false;
	} else {
		snprintf(out, n, "%s", ROOT_STORE);
	}
	if (!strcmp(path, out) || store_join(file, sizeof(file), out, STORE_CATALOGUE, NULL))
		return false;
	/* Root's store is closed to others: that its directory is there is all that can be seen. */
	return !access(geteuid() == 0 ? file : out, F_OK);
}

int store_dir_missing(const char *path, int err, struct err *e)
{
	char other[PATH_MAX];

	if (err == -ENOTDIR)
		return dir_err(path, err, e);
	if (err == -EACCES || err == -EPERM) {
		err_set(e, err, "cannot read the store %s: permission denied (uid %u)", path,
			(unsigned)geteuid());
		err_hint(e, "a store is private to whoever recorded it: try sudo");
		return err;
	}
	if (err != -ENOENT)
		return err_set(e, err, "cannot read the store %s: %s", path, strerror(-err));
	err_set(e, -ENOENT, "there is no store at %s: nothing was recorded there yet", path);
	if (!other_store(path, other, sizeof(other)))
		err_hint(e, "begin with: sudo evtrace record -- CMD");
	else if (geteuid() == 0)
		err_hint(e, "%s has one: --store %s; or begin with: sudo evtrace record -- CMD",
			getenv("SUDO_USER"), other);
	else
		err_hint(e, "root has one at %s: try sudo; or begin with: sudo evtrace record -- CMD", other);
	return -ENOENT;
}
