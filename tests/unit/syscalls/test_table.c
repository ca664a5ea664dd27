/* The table is complete and says what it does. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "syscalls/numbers.h"
#include "syscalls/table.h"
#include "vfs/strbuf.h"

#define NEWEST 470 /* listns, Linux 6.19 */

/* Unassigned on x86-64: the gap that was left for x32 (arch/x86/entry/syscalls/syscall_64.tbl). */
static bool unassigned(int nr)
{
	return nr > 336 && nr < 424;
}

Test(table, every_number_up_to_the_newest_has_a_row)
{
	for (int nr = 0; nr <= NEWEST; nr++)
		cr_expect_eq(syscall_table[nr].name != NULL, !unassigned(nr), "number %d", nr);
	for (int nr = NEWEST + 1; nr < SYSCALL_MAX; nr++)
		cr_expect_null(syscall_table[nr].name);
}

Test(table, a_name_occurs_once)
{
	for (int a = 0; a <= NEWEST; a++)
		for (int b = a + 1; b <= NEWEST; b++)
			if (syscall_table[a].name && syscall_table[b].name)
				cr_expect_str_neq(syscall_table[a].name, syscall_table[b].name);
}

Test(table, handlers_exist_exactly_where_the_class_needs_one)
{
	for (int nr = 0; nr <= NEWEST; nr++) {
		const struct syscall_row *row = &syscall_table[nr];
		enum syscall_class counted = syscall_class_counting_births(nr);
		bool needs = row->class == CLASS_SENTRY || row->class == CLASS_CHECKED ||
			     counted == CLASS_SENTRY;

		if (row->name) /* under --limit tasks some native rows trap as well */
			cr_expect_eq(row->fn != NULL, needs, "%s", row->name);
	}
}

Test(table, refused_rows_have_an_errno_and_a_reason)
{
	for (int nr = 0; nr <= NEWEST; nr++) {
		const struct syscall_row *row = &syscall_table[nr];

		if (!row->name)
			continue;
		cr_expect_eq(row->class == CLASS_REFUSED, row->support == SUPPORT_REFUSED, "%s",
			     row->name);
		cr_expect_eq(row->support == SUPPORT_REFUSED, row->refused_errno > 0, "%s",
			     row->name);
		cr_expect_eq(row->support != SUPPORT_FULL, row->note != NULL, "%s", row->name);
	}
}

/* What would let a guest out: namespaces, other processes' memory, the sentry's filter. */
Test(table, dangerous_calls_are_never_native)
{
	static const int dangerous[] = {
		__NR_ptrace,
		__NR_process_vm_readv,
		__NR_process_vm_writev,
		__NR_bpf,
		__NR_setns,
		__NR_unshare,
		__NR_clone3,
		__NR_seccomp,
		__NR_mount,
		__NR_open,
		__NR_openat,
		__NR_socket,
		__NR_execve,
		__NR_execveat,
		__NR_userfaultfd,
		__NR_io_uring_setup,
		__NR_keyctl,
		__NR_perf_event_open,
		__NR_pidfd_open,
		__NR_pidfd_getfd,
		__NR_chroot,
		__NR_pivot_root,
		__NR_open_by_handle_at,
		__NR_kcmp,
		__NR_io_setup,
		__NR_modify_ldt,
		__NR_kill,
		__NR_prctl,
	};

	for (size_t i = 0; i < sizeof(dangerous) / sizeof(dangerous[0]); i++)
		cr_expect_neq(syscall_class_of(dangerous[i]), CLASS_NATIVE, "%s",
			      syscall_table[dangerous[i]].name);
}

/* The order of bytes in a row's name and number: a slip here would serve the wrong call. */
Test(table, some_well_known_numbers_are_right)
{
	cr_expect_str_eq(syscall_table[0].name, "read");
	cr_expect_str_eq(syscall_table[59].name, "execve");
	cr_expect_str_eq(syscall_table[257].name, "openat");
	cr_expect_str_eq(syscall_table[435].name, "clone3");
	cr_expect_str_eq(syscall_table[452].name, "fchmodat2");
	cr_expect_str_eq(syscall_table[469].name, "file_setattr");
}

Test(table, numbers_without_a_row_are_trapped)
{
	cr_expect_eq(syscall_class_of(-1), CLASS_SENTRY);
	cr_expect_eq(syscall_class_of(400), CLASS_SENTRY);
	cr_expect_eq(syscall_class_of(1000000), CLASS_SENTRY);
}

Test(table, the_list_names_every_row)
{
	struct strbuf out = STRBUF_INIT;
	char cell[64];

	syscall_list(&out);
	cr_assert_not(out.failed);
	for (int nr = 0; nr <= NEWEST; nr++) {
		if (!syscall_table[nr].name)
			continue;
		snprintf(cell, sizeof(cell), "| %d | %s |", nr, syscall_table[nr].name);
		cr_expect_not_null(strstr(out.buf, cell), "%s", cell);
	}
	strbuf_free(&out);
}
