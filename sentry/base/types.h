/* Types that every layer shares. */
#ifndef FB_BASE_TYPES_H
#define FB_BASE_TYPES_H

#include <stdint.h>

/*
 * An address in a guest. An integer, never a pointer, so that a dereference cannot compile; names
 * that hold one end in _gva.
 */
typedef uint64_t gva_t;

#endif
