/* `#!` lines; the rules of load_script() in fs/binfmt_script.c. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

#include "sentry/exec_script.h"

struct row {
	char line[64];
	int err;
	char interp[32];
	char arg[32];
	int has_arg;
};

ParameterizedTestParameters(exec_script, a_line_is_cut_into_interpreter_and_argument)
{
	static struct row rows[] = {
		{ "#!/bin/sh\necho", 0, "/bin/sh", "", 0 },
		{ "#! \t/bin/sh \t \n", 0, "/bin/sh", "", 0 },
		{ "#!/bin/sh -e\n", 0, "/bin/sh", "-e", 1 },
		{ "#!/usr/bin/env python3 -u  x \n", 0, "/usr/bin/env", "python3 -u  x", 1 },
		{ "#!/bin/sh", 0, "/bin/sh", "", 0 }, /* the file ends: NUL padding */
		{ "#!sh\n", 0, "sh", "", 0 },	      /* relative names are allowed */
		{ "#!\n", -ENOEXEC, "", "", 0 },
		{ "#!   \n", -ENOEXEC, "", "", 0 },
		{ "#/bin/sh\n", -ENOEXEC, "", "", 0 },
	};

	return cr_make_param_array(struct row, rows, sizeof(rows) / sizeof(*rows));
}

ParameterizedTest(struct row *row, exec_script, a_line_is_cut_into_interpreter_and_argument)
{
	char head[SCRIPT_HEAD_BYTES] = { 0 };
	struct script_line line;

	memcpy(head, row->line, strlen(row->line));
	cr_assert_eq(script_parse(head, &line), row->err, "'%s'", row->line);
	if (row->err)
		return;
	cr_assert_str_eq(line.interp, row->interp);
	cr_assert_eq(line.arg != NULL, row->has_arg);
	if (row->has_arg)
		cr_assert_str_eq(line.arg, row->arg);
}

Test(exec_script, a_name_that_the_limit_may_have_cut_off_is_refused)
{
	char head[SCRIPT_HEAD_BYTES];
	struct script_line line;

	memset(head, 'x', sizeof(head));
	head[0] = '#';
	head[1] = '!';
	cr_assert_eq(script_parse(head, &line), -ENOEXEC);
}

Test(exec_script, an_argument_that_the_limit_cut_off_is_taken)
{
	char head[SCRIPT_HEAD_BYTES];
	struct script_line line;

	memset(head, 'x', sizeof(head));
	memcpy(head, "#!/i ", 5);
	cr_assert_eq(script_parse(head, &line), 0);
	cr_assert_str_eq(line.interp, "/i");
	cr_assert_eq(strlen(line.arg), SCRIPT_HEAD_BYTES - 5 - 1);
}

Test(exec_script, a_line_of_blanks_as_long_as_the_limit_is_refused)
{
	char head[SCRIPT_HEAD_BYTES];
	struct script_line line;

	memset(head, ' ', sizeof(head));
	head[0] = '#';
	head[1] = '!';
	cr_assert_eq(script_parse(head, &line), -ENOEXEC);
}
