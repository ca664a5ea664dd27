/* The loader as bytes of the sentry; see exec_loader.c for what becomes of them. */
#include "sentry/loader/loader_image.h"

__asm__(".pushsection .rodata\n"
	".balign 16\n"
	".globl fb_loader_image\n"
	".hidden fb_loader_image\n"
	"fb_loader_image:\n"
	"	.incbin \"" FB_LOADER_ELF "\"\n"
	".globl fb_loader_image_end\n"
	".hidden fb_loader_image_end\n"
	"fb_loader_image_end:\n"
	"	.byte 0\n"
	".popsection\n");
