/*
 * Programs: the headers that execve(2) reads of a file, and the plan that is made of them. The input is
 * the file; half of the time its ELF header is made a good one first. Also the first line of a script.
 */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/exec_elf.h"
#include "sentry/exec_internal.h"
#include "sentry/exec_script.h"
#include "vfs/cred.h"

struct bytes {
	uint8_t *data;
	size_t len;
};

static ssize_t read_bytes(void *arg, void *buf, size_t len, int64_t pos)
{
	const struct bytes *bytes = arg;

	if (pos < 0)
		abort();
	if ((uint64_t)pos >= bytes->len)
		return 0;
	if (len > bytes->len - (size_t)pos)
		len = bytes->len - (size_t)pos;
	memcpy(buf, bytes->data + pos, len);
	return (ssize_t)len;
}

static void make_good(struct bytes *bytes)
{
	Elf64_Ehdr head;

	if (bytes->len < sizeof(head))
		return;
	memcpy(&head, bytes->data, sizeof(head));
	memcpy(head.e_ident, ELFMAG, SELFMAG);
	head.e_ident[EI_CLASS] = ELFCLASS64;
	head.e_type = head.e_type & 1 ? ET_DYN : ET_EXEC;
	head.e_machine = EM_X86_64;
	head.e_phentsize = sizeof(Elf64_Phdr);
	head.e_phoff = sizeof(head);
	head.e_phnum = 1 + head.e_phnum % 8;
	memcpy(bytes->data, &head, sizeof(head));
	for (size_t at = sizeof(head); at + sizeof(Elf64_Phdr) <= bytes->len; at += sizeof(Elf64_Phdr))
		if (bytes->data[at + 1])
			memcpy(bytes->data + at, (uint32_t[]){bytes->data[at] % 4}, 4);
}

static void make_plan(const struct elf_image *image)
{
	struct exec_state state = {.filename = (char *)"/bin/x", .main_elf = *image};
	struct cred *cred = cred_new(0, 0, NULL, 0);
	struct plan *plan;

	if (cred && exec_plan_build(&state, cred, &plan) == 0)
		free(plan);
	cred_put(cred);
}

/* What the loader relies on: segments in order, within the span, and no sum that wraps around. */
static void check(const struct elf_image *image)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < image->plan.nr_segments; i++) {
		const struct plan_segment *seg = &image->segments[i];

		if (seg->vaddr < end || seg->vaddr + seg->memsz < seg->vaddr ||
		    seg->filesz > seg->memsz || seg->vaddr < image->plan.lo ||
		    seg->vaddr + seg->memsz - image->plan.lo > image->plan.span)
			abort();
		end = seg->vaddr + seg->memsz;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes bytes = {malloc(size + 1), size};
	struct elf_source source = {read_bytes, &bytes};
	char head[SCRIPT_HEAD_BYTES] = "";
	struct script_line line;
	struct elf_image image;

	memcpy(bytes.data, data, size);
	memcpy(head, data, size < sizeof(head) ? size : sizeof(head));
	if (script_is(head) && script_parse(head, &line) == 0 && !line.interp)
		abort();
	if (size && data[size - 1] & 1)
		make_good(&bytes);
	if (elf_image_read(&source, &image) == 0) {
		check(&image);
		make_plan(&image);
		elf_image_free(&image);
	}
	free(bytes.data);
	return 0;
}
