/*
 * The lane's memory, which a guest process and the sentry share: pages of code for the guest to run, and one
 * page of slots and their data, one slot for each thread that has the lane. lane_code.c is the guest's side of the
 * protocol, lane_call.c the sentry's; the numbers are plain macros for the assembler's sake.
 *
 *	guest                                        sentry
 *	 arguments, site, data in; state = REQUEST
 *	 spins, yields                                lane_take(): REQUEST -> TAKEN, and the call begins
 *	                                              lane_answer(): result; state = DONE
 *	 data out to its place; result; state = IDLE; returns
 *
 * A guest that has waited for long enough, or finds that the sentry does not look any more, withdraws an
 * untaken request (REQUEST -> IDLE), and in any case makes the system call: with one that was taken the
 * sentry's call is continued by the trap. What the guest writes into the page is believed as little as
 * its registers are.
 */
#ifndef FB_LANE_LAYOUT_H
#define FB_LANE_LAYOUT_H

#define LANE_PAGE 4096
#define LANE_CODE_BYTES (4 * LANE_PAGE)
#define LANE_BYTES (LANE_CODE_BYTES + LANE_PAGE + LANE_SLOTS * 2 * LANE_DATA)

/* A slot: the first cache line is what travels, the second belongs to the guest. */
#define LANE_SLOT_SIZE 128
#define LANE_SLOTS (LANE_PAGE / LANE_SLOT_SIZE)
#define SLOT_STATE 0	  /* u32 LANE_* */
#define SLOT_ARGS 8	  /* u64[6] */
#define SLOT_RESULT 56	  /* s64 */
#define SLOT_SITE 64	  /* u64: address of the site's descriptor */
#define SLOT_WITHDRAWN 72 /* u32: nobody took the last request in time */
#define SLOT_OFF 76	  /* u32: the sentry does not look: calls trap */
#define SLOT_BUDGET 80	  /* u32: turns of the wait loop */
#define SLOT_LEFT 88	  /* u32: of these, during a yield */
#define SLOT_TICKS 96	  /* u64: of the time stamp counter, before a yield */
#define SLOT_LIMIT 104	  /* u64: a yield that takes longer means that others need the processor */
#define SLOT_DATA 112	  /* u64: the guest's address of its data, LANE_DATA bytes in and as many out */
#define SLOT_IN 120	  /* u32: bytes in */
#define SLOT_OUT 124	  /* u32: bytes out, pieces with headers (window.h) */

/* After so many turns the guest yields its processor: the sentry, or its client, may be waiting for it. */
#define LANE_TURNS 16

#define LANE_IDLE 0
#define LANE_REQUEST 1
#define LANE_TAKEN 2
#define LANE_DONE 3
#define LANE_REFUSED 4 /* to be made as a system call after all */

/*
 * Behind the code: what a rewritten system call jumps to. Its code (what the jump has displaced, lea, jmp),
 * then the site's descriptor: where to go on afterwards, the system call instruction, its number.
 */
#define LANE_STUBS 1024
#define LANE_STUB_SIZE 56
#define LANE_SITES ((LANE_CODE_BYTES - LANE_STUBS) / LANE_STUB_SIZE)
#define STUB_DESCRIPTOR 32
#define SITE_RETURN 0 /* u64 */
#define SITE_PLAIN 8  /* u64 */
#define SITE_NR 16    /* u32 */
#define SITE_KIND 20  /* u32 LANE_IN_* */

/* What the guest copies to its data before a call: what its arguments point to. */
#define LANE_DATA 8192
#define LANE_SEGMENTS 8 /* at most, of a vector */
#define LANE_STRING 256 /* bytes at most, with its NUL */
#define LANE_IN_NONE 0
#define LANE_IN_BUFFER 1  /* the third argument's number of bytes at the second */
#define LANE_IN_VECTOR 2  /* the third argument's number of struct iovec at the second, and their buffers */
#define LANE_IN_STRING1 3 /* a string at the first */
#define LANE_IN_STRING2 4 /* at the second */

#endif
