/*
 * JSON writer over a buf: commas and escapes are its business, nesting is the caller's. Text that is not
 * valid UTF-8 is written with U+FFFD for each bad byte (json_bytes() keeps it exact as base64 instead).
 */
#ifndef EVTRACE_BASE_JSON_H
#define EVTRACE_BASE_JSON_H

#include "base/buf.h"

struct json {
	struct buf *out;
	bool comma; /* the next value or key needs one before it */
};

void json_obj(struct json *j);
void json_obj_end(struct json *j);
void json_arr(struct json *j);
void json_arr_end(struct json *j);
void json_key(struct json *j, const char *key);
void json_key_span(struct json *j, struct span key);
void json_span(struct json *j, struct span text);
void json_bytes(struct json *j, struct span bytes); /* a base64 string */
void json_int(struct json *j, int64_t v);
void json_u64(struct json *j, uint64_t v);
void json_double(struct json *j, double v);
void json_bool(struct json *j, bool v);
void json_null(struct json *j);

static inline void json_str(struct json *j, const char *s)
{
	json_span(j, span_str(s));
}

static inline void json_kv_str(struct json *j, const char *key, const char *s)
{
	json_key(j, key);
	json_str(j, s);
}

static inline void json_kv_span(struct json *j, const char *key, struct span s)
{
	json_key(j, key);
	json_span(j, s);
}

static inline void json_kv_int(struct json *j, const char *key, int64_t v)
{
	json_key(j, key);
	json_int(j, v);
}

static inline void json_kv_bool(struct json *j, const char *key, bool v)
{
	json_key(j, key);
	json_bool(j, v);
}

/* Length of the valid UTF-8 sequence at the start of @s, 0 when there is none. */
size_t utf8_len(struct span s);
/* All of @s is valid UTF-8 without control characters other than tab, CR and LF. */
bool span_is_text(struct span s);

#endif
