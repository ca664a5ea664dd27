/*
 * `#!` lines, parsed exactly as load_script() in fs/binfmt_script.c does: 255 bytes count, a name
 * that may have been cut off by that limit is refused, an argument that was cut off is not.
 */
#include "sentry/exec_script.h"

#include <stddef.h>
#include <string.h>

#include "sentry/base/err.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* First character in [first, last] that is no blank; NULL = none. */
static char *next_word(char *first, char *last)
{
	for (; first <= last; first++)
		if (!is_blank(*first))
			return first;
	return NULL;
}

/* First blank or NUL in [first, last]; NULL = none. */
static char *next_end(char *first, char *last)
{
	for (; first <= last; first++)
		if (is_blank(*first) || !*first)
			return first;
	return NULL;
}

bool script_is(const char head[SCRIPT_HEAD_BYTES])
{
	return head[0] == '#' && head[1] == '!';
}

int script_parse(char head[SCRIPT_HEAD_BYTES], struct script_line *ret_line)
{
	char *last = head + SCRIPT_HEAD_BYTES - 1;
	char *end, *name, *sep, *arg = NULL;
	size_t len = strnlen(head, SCRIPT_HEAD_BYTES);

	if (!script_is(head))
		return -ENOEXEC;
	end = memchr(head, '\n', len);
	if (!end) {
		end = next_word(head + 2, last);
		if (!end || !next_end(end, last))
			return -ENOEXEC; /* only blanks, or the name is cut off */
		end = last;
	}
	while (is_blank(end[-1]))
		end--;
	name = next_word(head + 2, end);
	if (!name || name == end)
		return -ENOEXEC;
	sep = next_end(name, end);
	if (sep && *sep)
		arg = next_word(sep, end);
	*end = '\0';
	if (sep)
		*sep = '\0';
	ret_line->interp = name;
	ret_line->arg = arg;
	return 0;
}
