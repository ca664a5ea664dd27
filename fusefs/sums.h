/*
 * A sum for each page of a file: what a page held when it was last the same as the daemon's. Pages
 * without an entry are zeros, so that a sparse file needs none. Two different pages have the same
 * 64-bit sum by accident only; a guest that constructs such pages harms its own file.
 */
#ifndef FB_FUSEFS_SUMS_H
#define FB_FUSEFS_SUMS_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SUM_UNKNOWN 0 /* differs from every page */

struct page_sums {
	uint64_t **chunks; /* owned, as each chunk; NULL = all zeros */
	int64_t nr_chunks;
	bool lost; /* out of memory: everything is unknown */
};

/* Of one whole page. Never PAGE_SUM_UNKNOWN. */
uint64_t page_sum(const void *page);
void page_sums_set(struct page_sums *sums, int64_t page, uint64_t sum);
uint64_t page_sums_get(const struct page_sums *sums, int64_t page);
/* [first, end) are zeros. */
void page_sums_clear(struct page_sums *sums, int64_t first, int64_t end);
void page_sums_free(struct page_sums *sums);

#endif
