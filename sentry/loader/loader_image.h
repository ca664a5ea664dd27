/* The freestanding loader, an ELF file embedded in the sentry. */
#ifndef FB_LOADER_IMAGE_H
#define FB_LOADER_IMAGE_H

extern const unsigned char fb_loader_image[], fb_loader_image_end[];

#endif
