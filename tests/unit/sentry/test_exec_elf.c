/* ELF headers; the rules of load_elf_binary() in fs/binfmt_elf.c. */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sentry/exec_elf.h"

#define FILE_BYTES 8192

struct bytes {
	unsigned char data[FILE_BYTES];
	size_t len;
};

static ssize_t read_bytes(void *arg, void *buf, size_t len, int64_t pos)
{
	struct bytes *bytes = arg;

	if ((size_t)pos >= bytes->len)
		return 0;
	if (len > bytes->len - (size_t)pos)
		len = bytes->len - (size_t)pos;
	memcpy(buf, bytes->data + pos, len);
	return (ssize_t)len;
}

static Elf64_Ehdr *ehdr(struct bytes *bytes)
{
	return (Elf64_Ehdr *)(void *)bytes->data;
}

static Elf64_Phdr *phdr(struct bytes *bytes, int i)
{
	return (Elf64_Phdr *)(void *)(bytes->data + sizeof(Elf64_Ehdr)) + i;
}

/* A valid position-independent program: code, then data with bss. */
static struct bytes *sample(void)
{
	struct bytes *bytes = calloc(1, sizeof(*bytes));
	Elf64_Ehdr *e = ehdr(bytes);

	bytes->len = FILE_BYTES;
	memcpy(e->e_ident, ELFMAG, SELFMAG);
	e->e_ident[EI_CLASS] = ELFCLASS64;
	e->e_type = ET_DYN;
	e->e_machine = EM_X86_64;
	e->e_phentsize = sizeof(Elf64_Phdr);
	e->e_phoff = sizeof(*e);
	e->e_phnum = 3;
	e->e_entry = 0x100;
	*phdr(bytes, 0) = (Elf64_Phdr){ PT_LOAD, PF_R | PF_X, 0, 0, 0, 0x1000, 0x1000, 0x1000 };
	*phdr(bytes, 1) =
		(Elf64_Phdr){ PT_LOAD, PF_R | PF_W, 0x1080, 0x3080, 0, 0x100, 0x2000, 0x1000 };
	*phdr(bytes, 2) = (Elf64_Phdr){ PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16 };
	return bytes;
}

static int parse(struct bytes *bytes, struct elf_image *image)
{
	const struct elf_source source = { read_bytes, bytes };

	return elf_image_read(&source, image);
}

static void expect_refused(struct bytes *bytes)
{
	struct elf_image image;

	cr_assert_eq(parse(bytes, &image), -ENOEXEC);
	free(bytes);
}

Test(exec_elf, segments_and_bounds_are_those_of_the_headers)
{
	struct bytes *bytes = sample();
	struct elf_image image;

	cr_assert_eq(parse(bytes, &image), 0);
	cr_assert_eq(image.plan.nr_segments, 2);
	cr_assert(image.plan.dyn);
	cr_assert_eq(image.plan.lo, 0);
	cr_assert_eq(image.plan.span, 0x6000); /* 0x3080 + 0x2000, up to the page */
	cr_assert_eq(image.plan.phdr, sizeof(Elf64_Ehdr));
	cr_assert_eq(image.plan.end_code, 0x1000);
	cr_assert_eq(image.plan.start_data, 0x3080);
	cr_assert_eq(image.plan.end_data, 0x3180);
	cr_assert_eq(image.segments[1].prot, PROT_READ | PROT_WRITE);
	cr_assert_eq(image.segments[1].offset, 0x1080);
	cr_assert_not(image.exec_stack);
	cr_assert_null(image.interp);
	elf_image_free(&image);
	free(bytes);
}

Test(exec_elf, the_largest_alignment_counts)
{
	struct bytes *bytes = sample();
	struct elf_image image;

	phdr(bytes, 1)->p_align = 0x200000;
	cr_assert_eq(parse(bytes, &image), 0);
	cr_assert_eq(image.plan.align, 0x200000);
	elf_image_free(&image);
	free(bytes);
}

Test(exec_elf, the_interpreter_is_read)
{
	struct bytes *bytes = sample();
	struct elf_image image;

	memcpy(bytes->data + 0x800, "/lib/ld.so", 11);
	*phdr(bytes, 2) = (Elf64_Phdr){ PT_INTERP, PF_R, 0x800, 0x800, 0, 11, 11, 1 };
	cr_assert_eq(parse(bytes, &image), 0);
	cr_assert_str_eq(image.interp, "/lib/ld.so");
	elf_image_free(&image);
	free(bytes);
}

Test(exec_elf, an_interpreter_without_nul_is_refused)
{
	struct bytes *bytes = sample();

	memcpy(bytes->data + 0x800, "/lib/ld.soX", 11);
	*phdr(bytes, 2) = (Elf64_Phdr){ PT_INTERP, PF_R, 0x800, 0x800, 0, 11, 11, 1 };
	expect_refused(bytes);
}

Test(exec_elf, an_executable_stack_is_noticed)
{
	struct bytes *bytes = sample();
	struct elf_image image;

	phdr(bytes, 2)->p_flags |= PF_X;
	cr_assert_eq(parse(bytes, &image), 0);
	cr_assert(image.exec_stack);
	elf_image_free(&image);
	free(bytes);
}

Test(exec_elf, other_machines_and_types_are_refused)
{
	struct bytes *bytes = sample();

	ehdr(bytes)->e_machine = EM_386;
	expect_refused(bytes);
	bytes = sample();
	ehdr(bytes)->e_type = ET_REL;
	expect_refused(bytes);
	bytes = sample();
	ehdr(bytes)->e_ident[EI_CLASS] = ELFCLASS32;
	expect_refused(bytes);
	bytes = sample();
	ehdr(bytes)->e_phentsize = 32;
	expect_refused(bytes);
}

Test(exec_elf, truncated_files_are_refused)
{
	struct bytes *bytes = sample();

	bytes->len = 20;
	expect_refused(bytes);
	bytes = sample();
	bytes->len = sizeof(Elf64_Ehdr) + 60;
	expect_refused(bytes);
}

Test(exec_elf, hostile_segments_are_refused)
{
	struct bytes *bytes = sample();

	phdr(bytes, 1)->p_memsz = UINT64_MAX;
	expect_refused(bytes);
	bytes = sample();
	phdr(bytes, 1)->p_vaddr = UINT64_MAX - 0xf7f;
	expect_refused(bytes);
	bytes = sample();
	phdr(bytes, 1)->p_filesz = 0x3000; /* more than in memory */
	expect_refused(bytes);
	bytes = sample();
	phdr(bytes, 1)->p_vaddr = 0x800; /* overlaps the first */
	phdr(bytes, 1)->p_offset = 0x800;
	expect_refused(bytes);
	bytes = sample();
	phdr(bytes, 1)->p_offset = 0x1081; /* not congruent: cannot be mapped */
	expect_refused(bytes);
	bytes = sample();
	phdr(bytes, 1)->p_align = 1ull << 40;
	expect_refused(bytes);
	bytes = sample();
	ehdr(bytes)->e_phoff = UINT64_MAX;
	expect_refused(bytes);
	bytes = sample();
	ehdr(bytes)->e_phnum = 0xffff;
	expect_refused(bytes);
}

Test(exec_elf, any_flipped_byte_is_accepted_or_refused_but_never_more)
{
	for (size_t i = 0; i < sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr); i++) {
		for (int bit = 0; bit < 8; bit++) {
			struct bytes *bytes = sample();
			struct elf_image image;
			int err;

			bytes->data[i] ^= (unsigned char)(1 << bit);
			err = parse(bytes, &image);
			cr_assert(err == 0 || err == -ENOEXEC);
			if (!err)
				elf_image_free(&image);
			free(bytes);
		}
	}
}
