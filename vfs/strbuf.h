/* A growing string, for generated files and lists. Out of memory is remembered, not reported. */
#ifndef FB_VFS_STRBUF_H
#define FB_VFS_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

struct strbuf {
	char *buf; /* NUL-terminated or NULL; owned */
	size_t len, alloc;
	bool failed; /* an allocation failed: content is incomplete */
};

#define STRBUF_INIT { NULL, 0, 0, false }

void strbuf_add(struct strbuf *sb, const void *data, size_t len);
void strbuf_puts(struct strbuf *sb, const char *s);
void strbuf_putc(struct strbuf *sb, char c);
void strbuf_printf(struct strbuf *sb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Escapes space, tab, newline and backslash as \ooo (cf. mangle_path()). */
void strbuf_puts_escaped(struct strbuf *sb, const char *s);
char *strbuf_steal(struct strbuf *sb); /* malloc'ed string, never NULL unless failed */
void strbuf_free(struct strbuf *sb);

#endif
