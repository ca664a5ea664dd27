/*
 * Messages to the person who runs fusebox, and the assertions that stop a broken sentry.
 *
 * Guest or daemon input never ends in fb_assert: it gets an error. fb_assert is for our own
 * invariants and stays in every build: a sentry that is wrong about itself must not go on.
 */
#ifndef FB_BASE_LOG_H
#define FB_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Messages above this level are dropped; default LOG_WARN. Set once at start-up. */
void log_set_level(enum log_level level);
/* Where messages go (a host descriptor, borrowed; default 2). Set once at start-up. */
void log_set_fd(int hostfd);
bool log_enabled(enum log_level level);

/* One line, "fusebox: " in front, newline added. Safe from any thread. */
void fb_log(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same, but only the first time this place is reached. */
#define fb_log_once(level, ...)                                                    \
	do {                                                                       \
		static atomic_flag once_ = ATOMIC_FLAG_INIT;                       \
		if (!atomic_flag_test_and_set(&once_))                             \
			fb_log(level, __VA_ARGS__);                                \
	} while (0)

/* Runs before a fatal end (the terminal is given back); async-signal-safe. Set once. */
void log_set_fatal_hook(void (*hook)(void));

_Noreturn void fb_assert_failed(const char *expr, const char *file, int line, const char *func);
/* Ends the sentry (and, through PTRACE_O_EXITKILL, every guest) with exit status 125. */
_Noreturn void fb_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define fb_assert(expr)                                                            \
	((expr) ? (void)0 : fb_assert_failed(#expr, __FILE__, __LINE__, __func__))

#endif
