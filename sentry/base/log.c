/* One write(2) per message, so that lines of several threads do not mix. */
#include "sentry/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int max_level = LOG_WARN;
static atomic_int log_fd = 2;

static void (*fatal_hook)(void);

void log_set_fatal_hook(void (*hook)(void))
{
	fatal_hook = hook;
}

void log_set_level(enum log_level level)
{
	atomic_store(&max_level, (int)level);
}

void log_set_fd(int hostfd)
{
	atomic_store(&log_fd, hostfd);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

/* Names come from guests, and the line may go to a terminal, or be read as a line. */
static void drop_controls(char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
}

__attribute__((format(printf, 1, 0))) static void write_line(const char *fmt, va_list args)
{
	char line[512] = "fusebox: ";
	size_t len = strlen(line);
	int n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, args);

	if (n < 0)
		return;
	len += (size_t)n;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	drop_controls(line, len);
	line[len++] = '\n';
	if (write(atomic_load(&log_fd), line, len) < 0)
		return; /* nowhere left to complain */
}

void fb_log(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	write_line(fmt, args);
	va_end(args);
}

_Noreturn void fb_die(const char *fmt, ...)
{
	va_list args;

	if (fatal_hook)
		fatal_hook();
	va_start(args, fmt);
	write_line(fmt, args);
	va_end(args);
	_exit(125);
}

_Noreturn void fb_assert_failed(const char *expr, const char *file, int line, const char *func)
{
	if (fatal_hook)
		fatal_hook();
	fb_log(LOG_ERROR, "%s:%d: %s: internal error: %s is false", file, line, func, expr);
	abort();
}
