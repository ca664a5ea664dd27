/*
 * The input of a harness, taken from its beginning; zeros when it is used up. Answers for a daemon
 * to give, drawn from it, and the memory of a caller of ioctl(2).
 */
#ifndef FB_TESTS_FUZZ_INPUT_H
#define FB_TESTS_FUZZ_INPUT_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "vfs/ioctl.h"

#define ANSWER_MAX 4096

/* Of harnesses with several threads: held by whoever takes from the input. */
static pthread_mutex_t input_lock __attribute__((unused)) = PTHREAD_MUTEX_INITIALIZER;
static const uint8_t *input;
static size_t input_len;

static inline void input_begin(const uint8_t *data, size_t size)
{
	input = data;
	input_len = size;
}

static inline uint8_t next_byte(void)
{
	uint8_t byte = 0;

	if (input_len > 0) {
		byte = *input++;
		input_len--;
	}
	return byte;
}

static inline size_t next_bytes(uint8_t *buf, size_t max)
{
	size_t n = input_len < max ? input_len : max;

	memcpy(buf, input, n);
	input += n;
	input_len -= n;
	return n;
}

/* Bytes written over, and a length cut or made longer; of a buffer of ANSWER_MAX + 64 bytes. */
static inline size_t spoil(uint8_t *buf, size_t len)
{
	unsigned how = next_byte();

	for (unsigned i = 0; i < (how & 7); i++) {
		unsigned at = next_byte() | (how & 8 ? next_byte() << 8 : 0);

		(void)next_bytes(buf + at % ANSWER_MAX, 1 + (next_byte() & 15));
	}
	if ((how & 0x30) == 0x10)
		len = next_byte();
	else if ((how & 0x30) == 0x20)
		len += next_byte();
	else if ((how & 0xf0) == 0x30)
		len = next_bytes(buf, ANSWER_MAX / 2);
	return len > ANSWER_MAX ? ANSWER_MAX : len;
}

/* What a daemon says to one request: first perhaps a message of its own, if it has a code. */
struct drawn {
	int code, error; /* of errors without answer: negative */
	size_t len, note_len;
	uint8_t answer[ANSWER_MAX + 64], note[ANSWER_MAX + 64];
};

/* The answer is there as a good daemon would give it, of `len` bytes. input_lock held. */
static inline void draw(struct drawn *drawn, size_t len)
{
	drawn->len = spoil(drawn->answer, len);
	if (next_byte() % 8 == 1)
		drawn->error = -(int)next_byte();
	if (next_byte() % 4 == 1) {
		drawn->code = next_byte() % 10;
		drawn->note_len = spoil(drawn->note, next_byte() % 64);
	}
	if (drawn->error)
		drawn->len = 0;
}

/* The caller's memory, as ioctl(2) sees it: nothing but this. */
static uint8_t arena[256] __attribute__((unused));

static inline int arena_at(uint64_t gva, size_t len, uint8_t **ret_at)
{
	uint64_t at = gva - (uintptr_t)arena;

	if (at > sizeof(arena) || len > sizeof(arena) - at)
		return -EFAULT;
	*ret_at = arena + at;
	return 0;
}

static inline int arena_in(const struct op_ctx *ctx, void *dst, uint64_t src_gva, size_t len)
{
	uint8_t *at;
	int err = arena_at(src_gva, len, &at);

	if (!err)
		memcpy(dst, at, len);
	return err;
}

static inline int arena_out(const struct op_ctx *ctx, uint64_t dst_gva, const void *src, size_t len)
{
	uint8_t *at;
	int err = arena_at(dst_gva, len, &at);

	if (!err)
		memcpy(at, src, len);
	return err;
}

static inline void arena_use(void)
{
	static const struct ioctl_mem_ops mem_ops = { arena_in, arena_out };

	ioctl_set_mem_ops(&mem_ops);
}

#endif
