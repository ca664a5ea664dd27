/* The growing string of strbuf.h. */
#include "vfs/strbuf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `extra` more bytes and the NUL. */
static bool strbuf_reserve(struct strbuf *sb, size_t extra)
{
	size_t need, alloc;
	char *buf;

	if (sb->failed)
		return false;
	if (extra > SIZE_MAX / 2 - sb->len - 1)
		goto fail;
	need = sb->len + extra + 1;
	if (need <= sb->alloc)
		return true;
	alloc = sb->alloc ? sb->alloc * 2 : 64;
	if (alloc < need)
		alloc = need;
	buf = realloc(sb->buf, alloc);
	if (!buf)
		goto fail;
	sb->buf = buf;
	sb->alloc = alloc;
	return true;
fail:
	sb->failed = true;
	return false;
}

void strbuf_add(struct strbuf *sb, const void *data, size_t len)
{
	if (!strbuf_reserve(sb, len))
		return;
	if (len)
		memcpy(sb->buf + sb->len, data, len);
	sb->len += len;
	sb->buf[sb->len] = '\0';
}

void strbuf_puts(struct strbuf *sb, const char *s)
{
	strbuf_add(sb, s, strlen(s));
}

void strbuf_putc(struct strbuf *sb, char c)
{
	strbuf_add(sb, &c, 1);
}

void strbuf_printf(struct strbuf *sb, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0) {
		sb->failed = true;
		return;
	}
	if (!strbuf_reserve(sb, (size_t)len))
		return;
	va_start(args, fmt);
	(void)vsnprintf(sb->buf + sb->len, (size_t)len + 1, fmt, args);
	va_end(args);
	sb->len += (size_t)len;
}

void strbuf_puts_escaped(struct strbuf *sb, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == ' ' || c == '\t' || c == '\n' || c == '\\')
			strbuf_printf(sb, "\\%03o", c);
		else
			strbuf_putc(sb, *s);
	}
}

char *strbuf_steal(struct strbuf *sb)
{
	char *buf;

	strbuf_reserve(sb, 0);
	if (sb->failed) {
		strbuf_free(sb);
		return NULL;
	}
	buf = sb->buf;
	buf[sb->len] = '\0';
	*sb = (struct strbuf)STRBUF_INIT;
	return buf;
}

void strbuf_free(struct strbuf *sb)
{
	free(sb->buf);
	*sb = (struct strbuf)STRBUF_INIT;
}
