/*
 * Schemas by their numbers in a registry, of which bodies in Confluent's framing carry nothing but the
 * number. They are given (a directory) or seen as they pass (the registry's own topic); a body whose schema
 * comes later than itself is read when it is asked for again. One table a process, as there is one registry
 * in most places; where two registries gave one number to different schemas, the one that fits is taken.
 */
#ifndef EVTRACE_EXTRACT_SCHEMA_H
#define EVTRACE_EXTRACT_SCHEMA_H

#include "base/buf.h"

enum schema_kind {
	SCHEMA_AVRO,
	SCHEMA_JSON,
	SCHEMA_PROTOBUF,
};

/*
 * Takes in a schema: Avro's JSON, or of the others only that they are what they are. 1 when it was new, 0
 * when it was known, -EBADMSG when it cannot be understood, -E2BIG beyond the caps (64 KiB a schema, 4096
 * schemas), -ENOMEM.
 */
int schemas_learn(uint64_t id, enum schema_kind kind, struct span text);

/*
 * Reads what passes on a registry's topic or lies in a file: one JSON object
 * {"subject":…,"version":…,"id":17,"schemaType":"AVRO","schema":"…"}; other objects are no error. Returns as
 * schemas_learn(), 0 when there is no schema in it. When new, and @ret_line is given, it gets the object on
 * one line, as schemas_load() reads it.
 */
int schemas_learn_record(struct span json, struct buf *ret_line);

/*
 * Loads a directory: every "17.avsc", "17.json" (JSON Schema) and "17.proto"; or a file of records, one a
 * line. Returns how many schemas were new, or -errno; what cannot be understood is left out, and counted in
 * *ret_bad.
 */
int schemas_load(const char *path, unsigned *ret_bad);

/* Forgets all. */
void schemas_clear(void);

/* --- for the walkers --- */

struct avro;

struct schema {
	uint64_t id;
	enum schema_kind kind;
	uint64_t hash;     /* of its text */
	struct avro *avro; /* SCHEMA_AVRO */
};

/* The @nth schema with this number, NULL beyond the last. */
const struct schema *schemas_find(uint64_t id, unsigned nth);

/* Parses an Avro schema. NULL when it is none, or when it is larger than its caps. */
struct avro *avro__parse(struct span text);
void avro__free(struct avro *a);

#endif
