/*
 * What the lab's C clients share: options, message bodies, and the log of what they truly did. Both are those
 * of truth.py; what is written is explained there.
 */
#ifndef LAB_TRUTH_H
#define LAB_TRUTH_H

#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define BODY_MAX (8 << 20)
#define MIB      (1 << 20)
#define BURST    20 /* a Kafka producer that held goes on in bursts, so that there is more than one fetch */

struct truth {
	const char *command, *server, *dest, *group, *prefix, *codec, *tx, *settle, *hold, *ready, *mode;
	int n, partitions, warm;
	bool plain, words;
	size_t sizes[16], n_sizes;
	time_t end;
	FILE *log;
	char *body;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "driver: %s: %s\n", what, why ? why : "failed");
	exit(1);
}

static void read_sizes(struct truth *t, char *text)
{
	for (char *at = strtok(text, ","); at && t->n_sizes < 16; at = strtok(NULL, ","))
		t->sizes[t->n_sizes++] = strtoul(at, NULL, 10);
}

static struct truth truth_options(int argc, char **argv)
{
	static const struct option names[] = {{"server", 1, 0, 's'}, {"log", 1, 0, 'l'}, {"dest", 1, 0, 'd'},
		{"group", 1, 0, 'g'}, {"n", 1, 0, 'n'}, {"sizes", 1, 0, 'z'}, {"prefix", 1, 0, 'p'},
		{"partitions", 1, 0, 'P'}, {"codec", 1, 0, 'c'}, {"plain", 0, 0, 'x'}, {"tx", 1, 0, 't'},
		{"settle", 1, 0, 'S'}, {"hold", 1, 0, 'h'}, {"warm", 1, 0, 'w'}, {"ready", 1, 0, 'r'},
		{"mode", 1, 0, 'm'}, {"patience", 1, 0, 'T'}, {"words", 0, 0, 'W'}, {0}};
	struct truth t = {.dest = "lab",
		.group = "",
		.prefix = "m",
		.codec = "none",
		.tx = "",
		.settle = "ack",
		.hold = "",
		.ready = "",
		.mode = "",
		.n = 10,
		.partitions = 1,
		.end = time(NULL) + 30};
	char sizes[] = "64";
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 's':
			t.server = optarg;
			break;
		case 'l':
			t.log = fopen(optarg, "w");
			break;
		case 'd':
			t.dest = optarg;
			break;
		case 'g':
			t.group = optarg;
			break;
		case 'n':
			t.n = atoi(optarg);
			break;
		case 'z':
			read_sizes(&t, optarg);
			break;
		case 'p':
			t.prefix = optarg;
			break;
		case 'P':
			t.partitions = atoi(optarg);
			break;
		case 'c':
			t.codec = optarg;
			break;
		case 'x':
			t.plain = true;
			break;
		case 't':
			t.tx = optarg;
			break;
		case 'S':
			t.settle = optarg;
			break;
		case 'h':
			t.hold = optarg;
			break;
		case 'w':
			t.warm = atoi(optarg);
			break;
		case 'r':
			t.ready = optarg;
			break;
		case 'm':
			t.mode = optarg;
			break;
		case 'T':
			t.end = time(NULL) + atoi(optarg);
			break;
		case 'W':
			t.words = true;
			break;
		default:
			exit(2);
		}
	}
	if (optind + 1 != argc || !t.server || !t.log)
		die("usage", "driver COMMAND --server HOST:PORT --log FILE [OPTION]...");
	t.command = argv[optind];
	if (!t.n_sizes)
		read_sizes(&t, sizes);
	t.body = malloc(BODY_MAX + 1);
	return t;
}

/* Text that compresses as orders do, three to one or so, not to nothing as padding does. */
static void truth_words(char *at, char *end, uint32_t seed)
{
	static const char *const words[] = {
		"customer ", "delivered ", "invoice ", "street ", "total ", "paid "};

	while (at < end) {
		size_t n;

		seed = seed * 1103515245 + 12345;
		if (seed >> 29 < 6) {
			n = strlen(words[seed >> 29]);
			memcpy(at, words[seed >> 29], n < (size_t)(end - at) ? n : (size_t)(end - at));
			at += n;
		} else {
			for (n = 0; n < 6 && at < end; n++, at++)
				*at = (char)('0' + (seed >> (8 + 3 * n)) % 10);
		}
	}
}

/* Body number @i in t->body; its size. */
static size_t truth_body(struct truth *t, int i)
{
	size_t size = t->sizes[(size_t)i % t->n_sizes], n;
	char text[256];

	n = snprintf(text, sizeof(text), "{\"n\":\"%s-%d\",\"order\":{\"id\":%d},\"pad\":\"", t->prefix, i,
		4000 + i);
	if (size > BODY_MAX)
		die("size", "too large");
	if (size >= n + 2) {
		memset(t->body, 'x', size);
		memcpy(t->body, text, n);
		if (t->words)
			truth_words(t->body + n, t->body + size - 2, (uint32_t)i);
		memcpy(t->body + size - 2, "\"}", 2);
		return size;
	}
	n = snprintf(text, sizeof(text), "%s-%d", t->prefix, i);
	n = n < size ? n : size;
	memcpy(t->body, text, n);
	return n;
}

__attribute__((unused)) static void truth_key(const struct truth *t, int i, char ret[16])
{
	if (t->plain)
		*ret = '\0';
	else
		snprintf(ret, 16, "k%d", i % 7);
}

/*
 * One line: @format gives its further fields, from after the operation's name. Nothing in it needs to be
 * escaped: names are the driver's own.
 */
__attribute__((format(printf, 3, 4))) static void truth_write(
	struct truth *t, const char *op, const char *format, ...)
{
	va_list ap;

	fprintf(t->log, "{\"op\":\"%s\",\"pid\":%d", op, (int)getpid());
	va_start(ap, format);
	vfprintf(t->log, format, ap);
	va_end(ap);
	fputs("}\n", t->log);
	fflush(t->log);
}

/* What is written of a body: size, checksum, and that of its first MiB when it is longer. */
static const char *truth_sum(const void *data, size_t size)
{
	static char text[128];
	int n = snprintf(text, sizeof(text), ",\"size\":%zu,\"crc\":%lu", size, crc32(0, data, size));

	if (size > MIB)
		snprintf(text + n, sizeof(text) - n, ",\"head\":%lu", crc32(0, data, MIB));
	return text;
}

static void truth_in_time(const struct truth *t, const char *what)
{
	if (time(NULL) > t->end)
		die(what, "not in time");
}

static void truth_touch(const char *path)
{
	FILE *f = fopen(path, "w");

	if (f)
		fclose(f);
}

static void truth_hold(struct truth *t)
{
	char path[512];

	truth_write(t, "hold", "%s", "");
	snprintf(path, sizeof(path), "%s/held.%d", t->hold, (int)getpid());
	truth_touch(path);
	snprintf(path, sizeof(path), "%s/go", t->hold);
	while (access(path, F_OK)) {
		truth_in_time(t, "go");
		usleep(10000);
	}
}

__attribute__((unused)) static void truth_pause(struct truth *t, int i)
{
	if (i == t->warm)
		truth_hold(t);
	else
		usleep(200000);
}

static void truth_ready(struct truth *t)
{
	if (*t->ready)
		truth_touch(t->ready);
}

/* Whether a comma list's entry number @i (in turn) is @word. */
__attribute__((unused)) static bool truth_turn(const char *list, int i, const char *word)
{
	const char *at = list;
	int n = 1;

	for (const char *c = list; *c; c++)
		n += *c == ',';
	for (i %= n; i > 0; i--)
		at = strchr(at, ',') + 1;
	return !strncmp(at, word, strcspn(at, ",")) && strlen(word) == strcspn(at, ",");
}

#endif
