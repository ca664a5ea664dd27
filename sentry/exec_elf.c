/*
 * ELF headers -> plan segments. The rules are those of load_elf_binary() in fs/binfmt_elf.c:
 * which headers count, how the bias is aligned, where the program headers are seen, what is code
 * and what is data for /proc.
 */
#include "sentry/exec_elf.h"

#include <elf.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"

#define PAGE 4096ull
#define PAGE_DOWN(x) ((x) & ~(PAGE - 1))
#define PAGE_UP(x) PAGE_DOWN((x) + PAGE - 1)
#define TASK_SIZE 0x7ffffffff000ull
#define PHDRS_BYTES_MAX 65536 /* load_elf_phdrs() */

static int read_exactly(const struct elf_source *source, void *buf, size_t len, int64_t pos)
{
	ssize_t got = source->read(source->arg, buf, len, pos);

	if (got < 0)
		return (int)got;
	return (size_t)got == len ? 0 : -ENOEXEC;
}

static int check_header(const Elf64_Ehdr *ehdr)
{
	if (memcmp(ehdr->e_ident, ELFMAG, SELFMAG) || ehdr->e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr->e_machine != EM_X86_64)
		return -ENOEXEC;
	if (ehdr->e_type != ET_EXEC && ehdr->e_type != ET_DYN)
		return -ENOEXEC;
	if (ehdr->e_phentsize != sizeof(Elf64_Phdr) || !ehdr->e_phnum ||
	    ehdr->e_phnum * sizeof(Elf64_Phdr) > PHDRS_BYTES_MAX || ehdr->e_phoff > INT64_MAX)
		return -ENOEXEC;
	return 0;
}

static int read_interp(const struct elf_source *source, const Elf64_Phdr *phdr, char **ret_interp)
{
	cleanup_free char *interp = NULL;
	int err;

	if (phdr->p_filesz < 2 || phdr->p_filesz > PATH_MAX || phdr->p_offset > INT64_MAX)
		return -ENOEXEC;
	interp = malloc(phdr->p_filesz);
	if (!interp)
		return -ENOMEM;
	err = read_exactly(source, interp, phdr->p_filesz, (int64_t)phdr->p_offset);
	if (err)
		return err;
	if (interp[phdr->p_filesz - 1])
		return -ENOEXEC;
	*ret_interp = steal_ptr(interp);
	return 0;
}

static bool segment_is_sane(const Elf64_Phdr *phdr)
{
	return phdr->p_filesz <= phdr->p_memsz && phdr->p_memsz < TASK_SIZE &&
	       phdr->p_vaddr < TASK_SIZE - phdr->p_memsz &&
	       phdr->p_offset < INT64_MAX - phdr->p_filesz - PAGE &&
	       (phdr->p_filesz == 0 || phdr->p_offset % PAGE == phdr->p_vaddr % PAGE);
}

static int segment_prot(unsigned flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
	       (flags & PF_X ? PROT_EXEC : 0);
}

/* The bounds that /proc/PID/stat and brk know. */
static void note_bounds(struct plan_image *plan, const Elf64_Phdr *phdr)
{
	uint64_t start = phdr->p_vaddr, end = start + phdr->p_filesz;

	if ((phdr->p_flags & PF_X) && start < plan->start_code)
		plan->start_code = start;
	if ((phdr->p_flags & PF_X) && end > plan->end_code)
		plan->end_code = end;
	if (start > plan->start_data)
		plan->start_data = start;
	if (end > plan->end_data)
		plan->end_data = end;
}

static int add_segment(struct elf_image *image, const Elf64_Ehdr *ehdr, const Elf64_Phdr *phdr)
{
	struct plan_image *plan = &image->plan;
	struct plan_segment *seg = &image->segments[plan->nr_segments];

	if (!phdr->p_memsz)
		return 0;
	if (!segment_is_sane(phdr) || plan->nr_segments >= PLAN_SEGMENTS_MAX / 2)
		return -ENOEXEC;
	/* The ELF specification wants ascending addresses; the loader's hole rule relies on it. */
	if (plan->nr_segments && phdr->p_vaddr < seg[-1].vaddr + seg[-1].memsz)
		return -ENOEXEC;
	*seg = (struct plan_segment){
		.vaddr = phdr->p_vaddr,
		.offset = phdr->p_offset,
		.filesz = phdr->p_filesz,
		.memsz = phdr->p_memsz,
		.prot = (uint32_t)segment_prot(phdr->p_flags),
	};
	plan->nr_segments++;
	if (phdr->p_align > plan->align && !(phdr->p_align & (phdr->p_align - 1)))
		plan->align = phdr->p_align;
	if (phdr->p_offset <= ehdr->e_phoff && ehdr->e_phoff < phdr->p_offset + phdr->p_filesz)
		plan->phdr = ehdr->e_phoff - phdr->p_offset + phdr->p_vaddr;
	note_bounds(plan, phdr);
	return 0;
}

static int read_segments(const struct elf_source *source, const Elf64_Ehdr *ehdr,
			 const Elf64_Phdr *phdrs, struct elf_image *image)
{
	int err;

	for (unsigned i = 0; i < ehdr->e_phnum; i++) {
		const Elf64_Phdr *phdr = &phdrs[i];

		err = 0;
		if (phdr->p_type == PT_LOAD)
			err = add_segment(image, ehdr, phdr);
		else if (phdr->p_type == PT_INTERP && !image->interp)
			err = read_interp(source, phdr, &image->interp);
		else if (phdr->p_type == PT_GNU_STACK)
			image->exec_stack = (phdr->p_flags & PF_X) != 0;
		if (err)
			return err;
	}
	return image->plan.nr_segments ? 0 : -ENOEXEC;
}

static int finish(struct elf_image *image)
{
	struct plan_image *plan = &image->plan;
	const struct plan_segment *last = &image->segments[plan->nr_segments - 1];

	plan->lo = PAGE_DOWN(image->segments[0].vaddr);
	plan->span = PAGE_UP(last->vaddr + last->memsz) - plan->lo;
	/* Reserving span + align must not overflow, and huge pages are 1 GiB at most. */
	return plan->align <= 1ull << 30 ? 0 : -ENOEXEC;
}

int elf_image_read(const struct elf_source *source, struct elf_image *ret_image)
{
	struct elf_image image = { .plan = { .fd = -1, .align = PAGE, .start_code = UINT64_MAX } };
	cleanup_free Elf64_Phdr *phdrs = NULL;
	Elf64_Ehdr ehdr;
	size_t size;
	int err;

	err = read_exactly(source, &ehdr, sizeof(ehdr), 0);
	if (!err)
		err = check_header(&ehdr);
	if (err)
		return err;
	size = ehdr.e_phnum * sizeof(*phdrs);
	phdrs = malloc(size);
	image.segments = calloc(ehdr.e_phnum, sizeof(*image.segments));
	if (!phdrs || !image.segments)
		err = -ENOMEM;
	if (!err)
		err = read_exactly(source, phdrs, size, (int64_t)ehdr.e_phoff);
	if (!err)
		err = read_segments(source, &ehdr, phdrs, &image);
	if (!err)
		err = finish(&image);
	if (err) {
		elf_image_free(&image);
		return err;
	}
	if (image.plan.start_code == UINT64_MAX)
		image.plan.start_code = 0;
	image.plan.dyn = ehdr.e_type == ET_DYN;
	image.plan.entry = ehdr.e_entry;
	image.plan.phnum = ehdr.e_phnum;
	*ret_image = image;
	return 0;
}

void elf_image_free(struct elf_image *image)
{
	free(image->segments);
	free(image->interp);
	image->segments = NULL;
	image->interp = NULL;
}
