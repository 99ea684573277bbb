/*
 * Schemas of bodies. Those that pass on a registry's topic are kept beside the catalogue, one JSON object a
 * line as it passed, appended as they come: a torn last line is a schema that was not learned.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "extract/schema.h"
#include "store/internal.h"

int store_load_schemas(const char *dir, struct err *e)
{
	const char *given = getenv("EVTRACE_SCHEMAS");
	char path[PATH_MAX];
	unsigned bad = 0;
	int err = store_join(path, sizeof(path), dir, STORE_SCHEMAS, e);

	if (err)
		return err;
	err = schemas_load(path, &bad);
	if (err < 0 && err != -ENOENT)
		return err_set(e, err, "cannot read %s: %s", path, strerror(-err));
	if (!given || !*given)
		return 0;
	err = schemas_load(given, &bad);
	if (err < 0) {
		err_set(e, err, "cannot read the schemas in %s: %s", given, strerror(-err));
		err_hint(e, "EVTRACE_SCHEMAS names a directory of files like 17.avsc, 17 being the schema's "
			    "number in its registry");
		return err;
	}
	if (bad) {
		err_set(e, -EINVAL, "%u of the schemas in %s cannot be understood", bad, given);
		err_hint(e, "bodies are read without them");
		return -EINVAL;
	}
	return 0;
}

static int write_all(int fd, struct span s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s = span_sub(s, (size_t)n, SIZE_MAX);
	}
	return 0;
}

int store_learn_schema(const char *dir, struct span record)
{
	char path[PATH_MAX];
	struct buf line = {0};
	int fd, err;

	if (schemas_learn_record(record, &line) <= 0)
		return 0; /* known, or none that could be used later */
	err = buf_ok(&line) ? store_join(path, sizeof(path), dir, STORE_SCHEMAS, NULL) : -ENOMEM;
	if (!err) {
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		err = fd < 0 ? -errno : write_all(fd, buf_span(&line));
		if (fd >= 0)
			close(fd);
	}
	buf_free(&line);
	return err;
}
