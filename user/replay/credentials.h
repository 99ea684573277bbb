/*
 * Who logs in to the broker. Never from the command line, which every process of the machine can read: from a
 * file that only its owner can read, or the environment.
 */
#ifndef EVTRACE_REPLAY_CREDENTIALS_H
#define EVTRACE_REPLAY_CREDENTIALS_H

#include "base/err.h"
#include "base/span.h"

struct credentials {
	char user[256], password[1024];
};

/*
 * From @file; without one from EVTRACE_AMQP_USER and EVTRACE_AMQP_PASSWORD, then from
 * ~/.config/evtrace/credentials, then guest/guest if @host is this machine. A file has lines "user=NAME" and
 * "password=SECRET"; empty ones and comments (#) are skipped. -EPERM: others can read it. -EINVAL, -ENOENT.
 */
int credentials_load(const char *file, const char *host, struct credentials *ret, struct err *e);
void credentials_wipe(struct credentials *c);

bool host_is_loopback(const char *host);

#endif
