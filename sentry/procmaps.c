/* /proc/PID/maps and smaps: from the host's text to the guest's. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "sentry/mapnames.h"
#include "sentry/procinfo.h"
#include "vfs/strbuf.h"

#define NAME_COLUMN 73 /* where the kernel starts the name (cf. seq_pad() in show_map_vma()) */

/* False: no header line (smaps has others). */
static bool parse_line(const char *line, size_t len, struct procmap *ret)
{
	char copy[128];
	int used = 0;

	snprintf(copy, sizeof(copy), "%.*s", (int)(len < 127 ? len : 127), line);
	if (sscanf(copy, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 "%n", &ret->start,
		   &ret->end, ret->perms, &ret->offset, &ret->maj, &ret->min, &ret->ino,
		   &used) != 7)
		return false;
	while ((size_t)used < len && line[used] == ' ')
		used++;
	ret->name = line + used;
	ret->name_len = len - (size_t)used;
	return true;
}

static void put_newlines_escaped(struct strbuf *out, const char *name)
{
	for (; *name; name++) {
		if (*name == '\n')
			strbuf_puts(out, "\\012");
		else
			strbuf_putc(out, *name);
	}
}

/*
 * "[heap]", "[stack]", "[vdso]", "[anon:...]" are the kernel's own words and stay. Files get the
 * guest's name; one that we do not know is anonymous to the guest.
 */
static void show_line(const struct procmap *map, char *name, struct strbuf *out)
{
	bool special = map->name_len && map->name[0] == '[';
	bool file = !special && map->ino &&
		    !mapnames_find(makedev(map->maj, map->min), map->ino, name, PATH_MAX);
	size_t before = out->len;

	strbuf_printf(out, "%08" PRIx64 "-%08" PRIx64 " %s %08" PRIx64 " %02x:%02x %" PRIu64 " ",
		      map->start, map->end, map->perms, file ? map->offset : 0, 0u, file ? 1u : 0u,
		      file ? map->ino : 0);
	if (file || special)
		while (out->len - before < NAME_COLUMN && !out->failed)
			strbuf_putc(out, ' ');
	if (special)
		strbuf_add(out, map->name, map->name_len);
	else if (file)
		put_newlines_escaped(out, name);
	strbuf_putc(out, '\n');
}

void procmaps_translate(const char *text, struct strbuf *out)
{
	char *name = malloc(PATH_MAX);
	struct procmap map;

	while (name && *text) {
		size_t len = strcspn(text, "\n");

		if (parse_line(text, len, &map)) {
			show_line(&map, name, out);
		} else {
			strbuf_add(out, text, len);
			strbuf_putc(out, '\n');
		}
		text += len + (text[len] == '\n');
	}
	out->failed |= !name;
	free(name);
}

bool procmaps_next(const char **text, struct procmap *ret)
{
	while (*text && **text) {
		const char *line = *text;
		size_t len = strcspn(line, "\n");

		*text = line + len + (line[len] == '\n');
		if (parse_line(line, len, ret))
			return true;
	}
	return false;
}

int procmaps_shared(const char *text, uint64_t start, uint64_t end,
		    int (*fn)(uint64_t dev, uint64_t ino, void *arg), void *arg)
{
	struct procmap map;
	int err = 0;

	while (!err && procmaps_next(&text, &map))
		if (map.ino && map.perms[3] == 's' && map.start < end && start < map.end)
			err = fn(makedev(map.maj, map.min), map.ino, arg);
	return err;
}

bool procmaps_find(const char *text, uint64_t addr, uint64_t *ret_dev, uint64_t *ret_ino,
		   int64_t *ret_offset)
{
	struct procmap map;

	while (procmaps_next(&text, &map)) {
		if (map.start <= addr && addr < map.end) {
			*ret_dev = makedev(map.maj, map.min);
			*ret_ino = map.ino;
			*ret_offset = (int64_t)(map.offset + (addr - map.start));
			return map.ino != 0;
		}
	}
	return false;
}
