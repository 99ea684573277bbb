/* What /proc/PID/net says about the sockets of a network namespace: which ports are listened on, which
 * sockets exist. Read when asked, remembered for a moment. */
#ifndef EVTRACE_CAPTURE_SOCKETS_H
#define EVTRACE_CAPTURE_SOCKETS_H

#include "capture/procinfo.h"
#include "capture/sink.h"

struct sockets;

struct sockets *sockets__new(void);
void sockets__free(struct sockets *s);
/* Forgets everything: the next question looks again. */
void sockets_refresh(struct sockets *s);

/* Role of a TCP endpoint whose connect() or accept() was not seen: whose port is listened on is the server.
 */
enum role sockets_role(
	struct sockets *s, uint32_t pid, uint64_t netns, uint16_t local_port, uint16_t remote_port);
/* Does socket @ino of @family exist? Looks through @pid, or through another known process of the same
 * namespace when that is gone. True when nothing can be read. */
bool sockets_alive(struct sockets *s, const struct procs *procs, uint32_t pid, uint64_t netns,
	uint16_t family, uint64_t ino);

#endif
