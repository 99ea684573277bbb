/* What the workload (work.c) and its judge (test_capture.c) agree on. */
#ifndef EVTRACE_TESTS_BPF_WORK_H
#define EVTRACE_TESTS_BPF_WORK_H

#include <stddef.h>
#include <stdint.h>

/* Byte @i of stream @id: what was sent can be told from any other stream and from any other place in it. */
static inline uint8_t pattern(uint32_t id, uint64_t i)
{
	uint64_t x = (i + 1) * 0x9e3779b97f4a7c15ULL + id * 0xbf58476d1ce4e5b9ULL;

	return (uint8_t)(x >> 56 ^ x >> 24);
}

/*
 * The workload says on stdout what it moved, one line an end of a connection, when it is done with it:
 *   conn INODE tx ID BYTES rx ID BYTES
 * A workload with phases writes "phase" and waits for a byte on stdin.
 */

#endif
