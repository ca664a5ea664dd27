/* Reading of ELF headers for execve: what is to be mapped where. Knows files only as bytes. */
#ifndef FB_EXEC_ELF_H
#define FB_EXEC_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sentry/loader/plan.h"

/* Where the bytes come from. Short reads mean the end of the file. */
struct elf_source {
	ssize_t (*read)(void *arg, void *buf, size_t len, int64_t pos);
	void *arg;
};

struct elf_image {
	struct plan_image plan; /* all but fd, hint, first_segment */
	struct plan_segment *segments; /* sorted by address; owned */
	char *interp;		/* PT_INTERP; owned, NULL = none */
	bool exec_stack;
};

/*
 * 0, or -ENOEXEC for everything that is no program for this machine, -ENOMEM, the source's error.
 * (The kernel notices some malformed files only after the old program is gone, and kills; we
 * refuse them in time.)
 */
int elf_image_read(const struct elf_source *source, struct elf_image *ret_image);
void elf_image_free(struct elf_image *image);

#endif
