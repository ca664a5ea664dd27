/*
 * Guest names of host files that guests have mapped, for /proc/PID/maps: the host shows a memfd or
 * a path of its own there. Bounded; the oldest names are forgotten first.
 */
#ifndef FB_MAPNAMES_H
#define FB_MAPNAMES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MAPNAMES_MAX 4096

/* The host file (as fstat shows it) is the guest's file `path` (copied). From any thread. */
void mapnames_note(dev_t dev, ino_t ino, const char *path);
/* Copies the guest's name into buf (cut at size), or returns -ENOENT. */
int mapnames_find(dev_t dev, ino_t ino, char *buf, size_t size);

#endif
