/* Sums of pages, in chunks that are made when a page other than zeros is entered; see sums.h. */
#include "fusefs/sums.h"

#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "vfs/pagecache.h"

#define CHUNK 512 /* sums; a page of them stands for 2 MiB */

static const unsigned char zeros[PAGECACHE_PAGE];

uint64_t page_sum(const void *page)
{
	uint64_t sum = XXH3_64bits(page, PAGECACHE_PAGE);

	return sum == PAGE_SUM_UNKNOWN ? 1 : sum;
}

static uint64_t *chunk_of(struct page_sums *sums, int64_t page)
{
	int64_t index = page / CHUNK, want = sums->nr_chunks ? sums->nr_chunks : 1;
	uint64_t **chunks, *chunk;

	while (want <= index)
		want *= 2;
	if (want != sums->nr_chunks) {
		chunks = realloc(sums->chunks, (size_t)want * sizeof(*chunks));
		if (!chunks)
			return NULL;
		memset(chunks + sums->nr_chunks, 0,
		       (size_t)(want - sums->nr_chunks) * sizeof(*chunks));
		sums->chunks = chunks;
		sums->nr_chunks = want;
	}
	if (!sums->chunks[index]) {
		chunk = malloc(CHUNK * sizeof(*chunk));
		for (int i = 0; chunk && i < CHUNK; i++)
			chunk[i] = page_sum(zeros);
		sums->chunks[index] = chunk;
	}
	return sums->chunks[index];
}

void page_sums_set(struct page_sums *sums, int64_t page, uint64_t sum)
{
	uint64_t *chunk;

	if (page_sums_get(sums, page) == sum)
		return;
	chunk = chunk_of(sums, page);
	if (chunk)
		chunk[page % CHUNK] = sum;
	else
		sums->lost = true;
}

uint64_t page_sums_get(const struct page_sums *sums, int64_t page)
{
	int64_t index = page / CHUNK;

	if (sums->lost)
		return PAGE_SUM_UNKNOWN;
	if (index >= sums->nr_chunks || !sums->chunks[index])
		return page_sum(zeros);
	return sums->chunks[index][page % CHUNK];
}

void page_sums_clear(struct page_sums *sums, int64_t first, int64_t end)
{
	for (int64_t page = first; page < end; page++) {
		int64_t index = page / CHUNK;

		if (index >= sums->nr_chunks)
			return;
		if (!sums->chunks[index])
			page |= CHUNK - 1;
		else
			sums->chunks[index][page % CHUNK] = page_sum(zeros);
	}
}

void page_sums_free(struct page_sums *sums)
{
	for (int64_t i = 0; i < sums->nr_chunks; i++)
		free(sums->chunks[i]);
	free(sums->chunks);
	*sums = (struct page_sums){0};
}
