/*
 * Form of a record file. All integers little-endian.
 *
 *   file    "evtrace\n", u32 version, u32 n, n bytes: i64 time, text scope, text host; u32 crc of all before
 *   record  u32 n, u32 crc of the body, u32 crc of the eight bytes before; body: u8 type, fields
 *   text    u32 n, n bytes
 *
 * The header has a checksum of its own, so that a length that was damaged is not taken for a cut file.
 */
#ifndef EVTRACE_CAPTURE_RECFILE_WIRE_H
#define EVTRACE_CAPTURE_RECFILE_WIRE_H

#define REC_MAGIC       "evtrace\n"
#define REC_FILE_HEADER 16          /* magic, version, n */
#define REC_HEADER      12          /* of a record */
#define REC_MAX         (64u << 20) /* larger ones are damage: a chunk is far smaller */
#define REC_TEXT_MAX    (1u << 20)

/* Persisted: explicit, append-only. */
enum rec_type {
	REC_PROC = 1,
	REC_PROC_EXIT = 2,
	REC_OPEN = 3,
	REC_CHUNK = 4,
	REC_CLOSE = 5,
	REC_LOSS = 6,
	REC_TICK = 7,
};

#endif
