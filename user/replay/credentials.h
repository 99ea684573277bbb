/*
 * Who logs in to the broker. Never from the command line, which every process of the machine can read: from a
 * file that only its owner can read, or the environment.
 */
#ifndef EVTRACE_REPLAY_CREDENTIALS_H
#define EVTRACE_REPLAY_CREDENTIALS_H

#include <limits.h>

#include "base/err.h"
#include "base/span.h"

struct credentials {
	char user[256], password[1024]; /* user "" : log in without one */
	char token[1024];               /* NATS */
	char creds[PATH_MAX];           /* NATS: a file of its own kind, JWT and seed */
	char mechanism[32];             /* Kafka: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 */
	bool tls;
	char ca[PATH_MAX]; /* certificates to trust; "": those of the system */
};

/*
 * For @proto, a decoder's name: from @file; without one from EVTRACE_X_USER and EVTRACE_X_PASSWORD (X: AMQP,
 * KAFKA, REDIS, NATS), then from
 * ~/.config/evtrace/credentials, then what the protocol allows without: guest/guest for RabbitMQ if @host is
 * this machine, nobody for the others.
 *
 * A file has lines NAME=VALUE with the names above; empty ones and comments (#) are skipped. Lines below
 * [kafka], [redis], [nats] or [amqp091] hold for that protocol only; those before, in ~/.config, for AMQP
 * only: no broker is told the password of another. -EPERM: others can read it. -EINVAL, -ENOENT.
 */
int credentials_load(
	const char *file, const char *proto, const char *host, struct credentials *ret, struct err *e);
void credentials_wipe(struct credentials *c);

/* For clients: -EINVAL when there is something in @c that this one cannot use. */
#define LOGIN_TOKEN     0x02
#define LOGIN_CREDS     0x04
#define LOGIN_MECHANISM 0x08
#define LOGIN_TLS       0x10
int login_usable(const struct credentials *c, const char *library, unsigned can, struct err *e);

bool host_is_loopback(const char *host);

#endif
