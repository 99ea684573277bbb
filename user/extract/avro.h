/* Private to extract/: an Avro schema as the walker uses it. */
#ifndef EVTRACE_EXTRACT_AVRO_H
#define EVTRACE_EXTRACT_AVRO_H

#include "extract/schema.h"

enum avro_kind {
	AVRO_NULL,
	AVRO_BOOLEAN,
	AVRO_INT,
	AVRO_LONG,
	AVRO_FLOAT,
	AVRO_DOUBLE,
	AVRO_BYTES,
	AVRO_STRING,
	AVRO_RECORD,
	AVRO_ENUM,
	AVRO_ARRAY,
	AVRO_MAP,
	AVRO_UNION,
	AVRO_FIXED,
};

struct avro_type {
	uint8_t kind;
	bool decimal;         /* of bytes and fixed */
	uint16_t scale;       /* its digits behind the point */
	uint32_t size;        /* of fixed */
	uint32_t part, parts; /* fields, symbols, branches; the one element of array and map */
};

struct avro_part {
	struct span name; /* of a field or symbol */
	uint32_t type;
};

struct avro {
	struct avro_type *type; /* the first one is the schema's own: see `root` */
	struct avro_part *part;
	uint32_t types, parts, root;
	struct buf text; /* names point into it */
};

#endif
