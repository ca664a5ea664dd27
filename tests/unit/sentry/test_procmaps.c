/* The names that guests see in /proc/PID/maps. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "sentry/mapnames.h"
#include "sentry/procinfo.h"
#include "vfs/strbuf.h"

TestSuite(procmaps, .timeout = 120);

static void expect_line(const char *host, const char *guest)
{
	struct strbuf out = STRBUF_INIT;

	procmaps_translate(host, &out);
	cr_expect_str_eq(out.buf, guest);
	strbuf_free(&out);
}

Test(procmaps, a_known_file_has_the_guests_name)
{
	mapnames_note(makedev(0, 1), 4242, "/usr/bin/tool");
	expect_line("00400000-00401000 r-xp 00002000 00:01 4242   /memfd:x (deleted)\n",
		    "00400000-00401000 r-xp 00002000 00:01 4242                               "
		    "/usr/bin/tool\n");
}

Test(procmaps, an_unknown_file_tells_nothing_about_the_host)
{
	expect_line("00400000-00401000 r-xp 00002000 08:11 77   /home/someone/secret\n",
		    "00400000-00401000 r-xp 00000000 00:00 0 \n");
}

Test(procmaps, the_kernels_own_names_and_other_lines_stay)
{
	expect_line(
		"7ff000000000-7ff000021000 rw-p 00000000 00:00 0   [stack]\nRss:  4 kB\n",
		"7ff000000000-7ff000021000 rw-p 00000000 00:00 0                          [stack]\n"
		"Rss:  4 kB\n");
}

Test(procmaps, names_are_replaced_and_the_oldest_forgotten)
{
	char buf[64];

	mapnames_note(1, 1, "/a");
	mapnames_note(1, 1, "/b");
	cr_assert_eq(mapnames_find(1, 1, buf, sizeof(buf)), 0);
	cr_expect_str_eq(buf, "/b");
	for (unsigned i = 0; i < MAPNAMES_MAX; i++)
		mapnames_note(2, i, "/other");
	cr_expect_eq(mapnames_find(1, 1, buf, sizeof(buf)), -ENOENT);
	cr_expect_eq(mapnames_find(2, 0, buf, sizeof(buf)), 0);
	cr_expect_eq(mapnames_find(2, MAPNAMES_MAX - 1, buf, sizeof(buf)), 0);
}
