/* Messages: one line each, whatever a guest has put into it. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "sentry/base/log.h"

Test(log, control_characters_of_guests_do_not_get_through)
{
	char line[128] = "";
	int pair[2];

	cr_assert_eq(pipe(pair), 0);
	log_set_fd(pair[1]);
	fb_log(LOG_ERROR, "comm %s of \xc3\xa4", "a\x1b[2J\nfusebox: b\x7f");
	cr_assert_gt(read(pair[0], line, sizeof(line) - 1), 0);
	cr_assert_str_eq(line, "fusebox: comm a?[2J?fusebox: b? of \xc3\xa4\n");
	log_set_fd(2);
}
