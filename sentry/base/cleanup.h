/* Variables that free or close themselves when they go out of scope. */
#ifndef FB_BASE_CLEANUP_H
#define FB_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_fn(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close_fn(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

#define cleanup_free __attribute__((cleanup(cleanup_free_fn)))
#define cleanup_close __attribute__((cleanup(cleanup_close_fn)))

/* Hands the value out and disarms the clean-up. */
#define steal_ptr(p)                                                               \
	({                                                                         \
		__typeof__(p) stolen_ = (p);                                       \
		(p) = NULL;                                                        \
		stolen_;                                                           \
	})

static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#endif
