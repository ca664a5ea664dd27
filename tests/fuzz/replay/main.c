/*
 * A harness without a fuzzer: what ./check runs. Every input of a corpus, then a fixed number of inputs
 * that are made of them by the same random changes each time.
 *
 *	NAME RUNS FILE...
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	uint8_t data[INPUT_MAX];
	size_t len;
};

static unsigned seed = 1;

static size_t below(size_t n)
{
	return n ? (size_t)rand_r(&seed) % n : 0;
}

static void read_file(const char *name, struct bytes *bytes)
{
	FILE *file = fopen(name, "rb");

	if (!file) {
		perror(name);
		exit(2);
	}
	bytes->len = fread(bytes->data, 1, INPUT_MAX, file);
	fclose(file);
}

/* A copy of its own, so that a sanitizer sees what is read behind the end. */
static void run(const struct bytes *bytes)
{
	uint8_t *copy = malloc(bytes->len ? bytes->len : 1);

	memcpy(copy, bytes->data, bytes->len);
	(void)LLVMFuzzerTestOneInput(copy, bytes->len);
	free(copy);
}

/* Bytes written over, cut off, added, or taken from another one. */
static void change(struct bytes *bytes, const struct bytes *other)
{
	static const uint8_t edges[] = { 0, 1, 2, 7, 8, 0x7f, 0x80, 0xfe, 0xff };
	size_t at = below(bytes->len), len;

	switch (below(5)) {
	case 0:
		bytes->data[at] = (uint8_t)below(256);
		break;
	case 1:
		bytes->data[at] = edges[below(sizeof(edges))];
		break;
	case 2:
		bytes->len = at;
		break;
	case 3:
		while (bytes->len < INPUT_MAX && below(16))
			bytes->data[bytes->len++] = (uint8_t)below(256);
		break;
	default:
		len = below(other->len < INPUT_MAX - at ? other->len : INPUT_MAX - at);
		memcpy(bytes->data + at, other->data, len);
		bytes->len = at + len > bytes->len ? at + len : bytes->len;
	}
}

int main(int argc, char **argv)
{
	size_t runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 0,
	       count = argc > 2 ? (size_t)argc - 2 : 0;
	struct bytes *corpus = calloc(count + 1, sizeof(*corpus)), input;

	for (size_t i = 0; i < count; i++) {
		read_file(argv[i + 2], &corpus[i]);
		run(&corpus[i]);
	}
	for (size_t i = 0; i < runs; i++) {
		input = corpus[below(count)];
		for (size_t changes = 1 + below(6); changes > 0; changes--)
			change(&input, &corpus[below(count)]);
		run(&input);
	}
	free(corpus);
	printf("%zu inputs, %zu changed ones\n", count, runs);
	return 0;
}
