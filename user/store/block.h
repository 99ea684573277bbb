/*
 * Payload blocks, on disk. A segment is a file of blocks, at most 1 GiB; a block is a header and
 * zstd-compressed payloads. All integers little-endian.
 *
 *   block    magic "EVB1" · u32 stored_size · u32 raw_size · u32 payloads · u64 xxh3(stored bytes) · stored
 * bytes raw      payload* payload  u8 proto · u8 pad[3] · u32 envelope_size · u32 body_size · envelope · body
 *
 * A reference is block id << 28 | offset of the payload in the raw block.
 */
#ifndef EVTRACE_STORE_BLOCK_H
#define EVTRACE_STORE_BLOCK_H

#include <stdint.h>

#define BLOCK_MAGIC       "EVB1"
#define BLOCK_HEADER_SIZE 24
#define BLOCK_TARGET      (1u << 20) /* a block is closed at this raw size, and at each commit */
#define BLOCK_MAX_RAW     (1u << 28)
#define PAYLOAD_HEADER    12
#define SEGMENT_MAX       (1ull << 30)

#endif
