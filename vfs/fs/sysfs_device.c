/*
 * What every device has in sysfs: its uevent file, which programs write to have an event sent once more
 * (cf. lib/kobject_uevent.c), and the power directory of one that has no power management (cf.
 * drivers/base/power/sysfs.c). Nobody can listen to events here, so one that is well-formed is sent to
 * nobody.
 */
#include <ctype.h>
#include <string.h>

#include "sentry/base/err.h"
#include "vfs/fs/sysfs.h"
#include "vfs/strbuf.h"

#define UUID_LEN 36

/* A text that need not end with a NUL. */
struct span {
	const char *at, *end;
};

static bool take_char(struct span *span, char c)
{
	if (span->at == span->end || *span->at != c)
		return false;
	span->at++;
	return true;
}

/* Letters and digits, at least one. */
static bool take_word(struct span *span)
{
	const char *start = span->at;

	while (span->at < span->end && isalnum((unsigned char)*span->at))
		span->at++;
	return span->at > start;
}

/* cf. uuid_is_valid() */
static bool take_uuid(struct span *span)
{
	if (span->end - span->at < UUID_LEN)
		return false;
	for (int n = 0; n < UUID_LEN; n++) {
		bool dash = n == 8 || n == 13 || n == 18 || n == 23;

		if (dash ? span->at[n] != '-' : !isxdigit((unsigned char)span->at[n]))
			return false;
	}
	span->at += UUID_LEN;
	return true;
}

static bool take_action(struct span *span)
{
	static const char *const actions[] = {"add",	 "remove",  "change", "move",
					      "online", "offline", "bind",   "unbind"};
	const char *start = span->at;

	if (!take_word(span))
		return false;
	for (size_t n = 0; n < sizeof(actions) / sizeof(actions[0]); n++)
		if (strlen(actions[n]) == (size_t)(span->at - start) &&
		    memcmp(actions[n], start, strlen(actions[n])) == 0)
			return true;
	return false;
}

/* ACTION [UUID [KEY=VALUE]...], cf. kobject_synth_uevent() */
int sysfs_store_uevent(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		       size_t len)
{
	struct span span = {text, text + len};
	bool good;

	(void)ctx;
	(void)key;
	if (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\0'))
		span.end--;
	good = take_action(&span);
	if (good && span.at < span.end)
		good = take_char(&span, ' ') && take_uuid(&span);
	while (good && span.at < span.end)
		good = take_char(&span, ' ') && take_word(&span) && take_char(&span, '=') &&
		       take_word(&span);
	return good ? 0 : -EINVAL;
}

int sysfs_show_nothing(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	(void)key;
	(void)out;
	return 0;
}

int sysfs_show_no_delay(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	(void)key;
	(void)out;
	return -EIO;
}

int sysfs_store_no_delay(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
			 size_t len)
{
	(void)ctx;
	(void)key;
	(void)text;
	(void)len;
	return -EIO;
}

/* cf. sysfs_streq() */
static bool is_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	return strncmp(text, word, len) == 0 && (!text[len] || strcmp(text + len, "\n") == 0);
}

int sysfs_parse_power(const char *text, bool *ret_on)
{
	bool on = is_word(text, "on");

	if (!on && !is_word(text, "auto"))
		return -EINVAL;
	*ret_on = on;
	return 0;
}
