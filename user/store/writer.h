/* The writer's insides: shared by writer.c (batches to disk), sink.c (rows into batches), restore.c. */
#ifndef EVTRACE_STORE_WRITER_H
#define EVTRACE_STORE_WRITER_H

#include <pthread.h>

#include "store/internal.h"

struct store_writer {
	char path[PATH_MAX], file[PATH_MAX]; /* the directory, the catalogue */
	int lock_fd;
	struct record_ids ids; /* as they were when it was opened */
	struct session_state session;

	/* the batch that is being filled */
	struct batch *open;
	struct raw_block *block; /* the last one of `open`, while it has room */
	uint64_t next_block;
	struct map
		sizes; /* payloads that no message row has referred to yet: envelope size << 32 | body size */

	/* the thread's, once it was started */
	sqlite3 *db;
	struct applier *applier;
	struct segments *seg;

	/* shared, under `mu` */
	pthread_mutex_t mu;
	pthread_cond_t work, done;
	pthread_t thread;
	bool started, stop;
	struct batch *queue, **queue_end; /* the head is being written */
	size_t queued;                    /* bytes */
	int err;                          /* the head could not be written: not tried again until it is 0 */
	struct err why;
	uint64_t dropped, size;
};

/* The batch that rows go into; NULL when memory is short. */
struct batch *writer_batch(struct store_writer *w);
/* After each row: a large batch goes to the thread. Waits while too much is queued. */
int writer_hand_over(struct store_writer *w);

#endif
