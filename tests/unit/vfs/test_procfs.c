/* procfs over a source with two processes: 100 (the caller, threads 100 and 101) and 7 (uid 7). */
#include <sys/utsname.h>

#include "tests/unit/vfs/dev_world.h"
#include "vfs/strbuf.h"

struct proc_task {
	pid_t pid, tid;
};

static struct proc_task tasks[] = {{7, 7}, {100, 100}, {100, 101}};
static bool seven_is_gone, not_dumpable;
static const struct cred *seven;
static int handles, maps_made, oom_adj;
static struct file *exe;
static char hostname[65] = "box";

static pid_t fake_next_pid(pid_t pid)
{
	if (pid <= 7 && !seven_is_gone)
		return 7;
	return pid <= 100 ? 100 : 0;
}

static pid_t fake_next_tid(pid_t pid, pid_t tid)
{
	for (size_t i = 0; i < 3; i++)
		if (tasks[i].pid == pid && tasks[i].tid >= tid)
			return tasks[i].tid;
	return 0;
}

static struct proc_task *fake_get(pid_t pid, pid_t tid)
{
	for (size_t i = seven_is_gone ? 1 : 0; i < 3; i++)
		if (tasks[i].pid == pid && (!tid || tasks[i].tid == tid)) {
			handles++;
			return &tasks[i];
		}
	return NULL;
}

static void fake_put(struct proc_task *task)
{
	(void)task;
	handles--;
}

static void fake_ids(struct proc_task *task, struct proc_ids *ret_ids)
{
	*ret_ids = (struct proc_ids){.tgid = task->pid,
				     .nr_threads = task->pid == 100 ? 2 : 1,
				     .dumpable = !not_dumpable};
}

static void fake_relatives(struct proc_task *task, struct proc_relatives *ret)
{
	*ret = (struct proc_relatives){.ppid = 1, .pgid = task->pid, .sid = 5};
}

static const struct cred *fake_cred(struct proc_task *task)
{
	return cred_get(task->pid == 7 ? seven : ctx.cred);
}

static struct fs_struct *fake_fs(struct proc_task *task)
{
	(void)task;
	return fs_struct_get(ctx.fs);
}

static struct fdtable *fake_files(struct proc_task *task)
{
	(void)task;
	return fdtable_get(ctx.files);
}

static int fake_exe(struct proc_task *task, struct path *ret_path)
{
	(void)task;
	if (!exe)
		return -ENOENT;
	path_get(&exe->path);
	*ret_path = exe->path;
	return 0;
}

static void fake_tty(struct proc_task *task, dev_t *ret_dev, pid_t *ret_pgrp)
{
	(void)task;
	*ret_dev = makedev(136, 3);
	*ret_pgrp = 42;
}

static void fake_comm(struct proc_task *task, char ret_comm[16])
{
	snprintf(ret_comm, 16, "co) (%d", task->tid);
}

static int fake_set_comm(struct proc_task *task, const char *comm)
{
	(void)task;
	return strcmp(comm, "new-name-that-i") == 0 ? 0 : -EIO;
}

static int fake_memory(struct proc_task *task, enum proc_memory which, struct strbuf *out)
{
	(void)task;
	strbuf_add(out, which == PROC_MEMORY_CMDLINE ? "prog\0-x" : "A=1\0B=2", 8);
	return 0;
}

static int fake_maps(struct proc_task *task, bool smaps, struct strbuf *out)
{
	(void)task;
	(void)smaps;
	strbuf_printf(out, "maps %d\n", ++maps_made);
	return 0;
}

static void fake_nofile(struct proc_task *task, uint64_t *ret_soft, uint64_t *ret_hard)
{
	(void)task;
	*ret_soft = 1024;
	*ret_hard = UINT64_MAX;
}

static int fake_text(struct proc_task *task, enum proc_text which, bool whole, struct strbuf *out)
{
	(void)task;
	(void)whole;
	switch (which) {
	case PROC_TEXT_STAT:
		strbuf_puts(out, "9999 (host) na(me) D 9998 9997 9996 34816 9995 4194304 1 2 3 4 5 "
				 "6 7 8 20 0 77 0 555 666 777 18446744073709551615\n");
		break;
	case PROC_TEXT_STATUS:
		strbuf_puts(out, "Name:\thost\nState:\tt (tracing stop)\nPid:\t9999\n"
				 "VmRSS:\t  12 kB\nSigBlk:\t0000000000000001\nSecret:\t1\n");
		break;
	case PROC_TEXT_LIMITS:
		strbuf_puts(out, "Limit  Soft\nMax open files            4096  4096  files \n"
				 "Max stack size   8 8\n");
		break;
	case PROC_TEXT_OOM_SCORE_ADJ:
		strbuf_printf(out, "%d\n", oom_adj);
		break;
	default:
		return -EIO;
	}
	return 0;
}

static int fake_set_oom(struct proc_task *task, int value)
{
	(void)task;
	oom_adj = value;
	return 0;
}

static int fake_machine(enum machine_text which, struct strbuf *out)
{
	if (which == MACHINE_TEXT_STAT)
		strbuf_puts(out, "cpu  1 2\nintr 99 1 2 3\nbtime 5\n");
	else
		strbuf_puts(out, "1.50 0.25 0.00 3/999 31337\n");
	return 0;
}

static int fake_count(void)
{
	return 3;
}

static void fake_uts(struct utsname *ret_uts)
{
	uname(ret_uts);
	snprintf(ret_uts->nodename, sizeof(ret_uts->nodename), "%s", hostname);
}

static int fake_set_hostname(const char *name, size_t len)
{
	snprintf(hostname, sizeof(hostname), "%.*s", (int)len, name);
	return 0;
}

static const char *fake_boot_id(void)
{
	return "11111111-2222-4333-8444-555555555555";
}

static const struct proc_source fake = {
	.next_pid = fake_next_pid,
	.next_tid = fake_next_tid,
	.get = fake_get,
	.put = fake_put,
	.ids = fake_ids,
	.relatives = fake_relatives,
	.cred = fake_cred,
	.fs = fake_fs,
	.files = fake_files,
	.exe = fake_exe,
	.tty = fake_tty,
	.comm = fake_comm,
	.set_comm = fake_set_comm,
	.memory = fake_memory,
	.maps = fake_maps,
	.nofile = fake_nofile,
	.text = fake_text,
	.set_oom_score_adj = fake_set_oom,
	.machine = fake_machine,
	.task_count = fake_count,
	.uts = fake_uts,
	.set_hostname = fake_set_hostname,
	.boot_id = fake_boot_id,
};

static void proc_init(void)
{
	seven = cred_new(7, 7, NULL, 0);
	procfs_set_source(&fake);
	world_init();
}

/* Every handle that was taken has been given back. */
static void proc_fini(void)
{
	cr_expect_eq(handles, 0);
	file_put(exe);
	world_fini();
	cred_put(seven);
}

TestSuite(procfs, .init = proc_init, .fini = proc_fini, .timeout = 120);

static void expect_text(const char *name, const char *text)
{
	const char *got = world_text(name);

	cr_expect_str_eq(got, text, "%s is '%s'", name, got);
}

static void expect_contains(const char *name, const char *text)
{
	const char *got = world_text(name);

	cr_expect(strstr(got, text), "%s has no '%s': %s", name, text, got);
}

/* ---- the tree ---- */

Test(procfs, lists_processes_and_threads)
{
	const char *names = world_names("/proc");

	cr_expect(strstr(names, " self "));
	cr_expect(strstr(names, " 7 100 "));
	cr_expect_str_eq(world_names("/proc/100/task"), " . .. 100 101 ");
	cr_expect_eq(world_open_error(&ctx, "/proc/8", O_RDONLY), -ENOENT);
	cr_expect_eq(world_open_error(&ctx, "/proc/007", O_RDONLY), -ENOENT);
}

Test(procfs, self_is_the_caller)
{
	char *self = world_readlink("/proc/self"), *thread = world_readlink("/proc/thread-self");

	cr_expect_str_eq(self, "100");
	cr_expect_str_eq(thread, "100/task/100");
	expect_text("/proc/self/comm", "co) (100\n");
	free(self);
	free(thread);
}

Test(procfs, a_process_that_is_gone_is_not_found_any_more)
{
	expect_text("/proc/7/comm", "co) (7\n");
	seven_is_gone = true;
	cr_expect_eq(world_open_error(&ctx, "/proc/7/comm", O_RDONLY), -ENOENT);
	cr_expect_not(strstr(world_names("/proc"), " 7 "));
}

Test(procfs, files_belong_to_the_process_unless_it_is_not_dumpable)
{
	cr_expect_eq(world_stat("/proc/7").uid, 7u);
	cr_expect_eq(world_stat("/proc/7/stat").uid, 7u);
	not_dumpable = true;
	cr_expect_eq(world_stat("/proc/7").uid, 7u);
	cr_expect_eq(world_stat("/proc/7/stat").uid, 0u);
}

Test(procfs, a_descriptor_of_what_became_another_user_reads_nothing)
{
	struct open_args args = {.flags = O_RDONLY};
	struct op_ctx user = ctx;
	struct file *file;
	char buf[64];

	user.cred = seven;
	user.tid = user.tgid = 50;
	cr_assert_eq(vfs_open(&user, NULL, "/proc/7/environ", &args, &file), 0);
	cr_expect_geq(kernel_read(&user, file, buf, sizeof(buf), 0), 0);
	not_dumpable = true; /* as after the exec of a set-uid program */
	cr_expect_eq(kernel_read(&user, file, buf, sizeof(buf), 0), -EACCES);
	file_put(file);
}

/* ---- text ---- */

Test(procfs, stat_has_our_ids_and_the_hosts_times)
{
	expect_contains(
		"/proc/100/stat",
		"100 (co) (100) S 1 100 5 34819 42 4194304 1 2 3 4 5 6 7 8 20 0 2 0 555 666 "
		"777 18446744073709551615 0 0 ");
	expect_contains("/proc/100/task/101/stat", "101 (co) (101) S ");
}

Test(procfs, status_shows_credentials_and_hides_the_host)
{
	expect_contains("/proc/7/status", "Uid:\t7\t7\t7\t7\n");
	expect_contains("/proc/7/status", "VmRSS:\t  12 kB\n");
	expect_contains("/proc/7/status", "State:\tS (sleeping)\n");
	expect_contains("/proc/100/status", "CapEff:\t000001ffffffffff\n");
	cr_expect_not(strstr(world_text("/proc/7/status"), "9999"));
	cr_expect_not(strstr(world_text("/proc/7/status"), "Secret"));
}

Test(procfs, limits_has_the_guests_descriptor_limit)
{
	expect_contains("/proc/self/limits", "Max open files            1024                 "
					     "unlimited            files     \n");
	expect_contains("/proc/self/limits", "Max stack size   8 8\n");
}

Test(procfs, cmdline_holds_nul_bytes)
{
	struct file *file = world_open("/proc/self/cmdline", O_RDONLY);
	char buf[16];

	cr_expect_eq(world_read(file, buf, sizeof(buf)), 8);
	cr_expect_arr_eq(buf, "prog\0-x", 8);
	file_put(file);
}

Test(procfs, a_text_is_made_once_per_pass_and_again_after_a_rewind)
{
	struct file *file = world_open("/proc/self/maps", O_RDONLY);
	char buf[64] = "";

	cr_expect_eq(world_read(file, buf, 3), 3);
	cr_expect_eq(world_read(file, buf + 3, 60), 4);
	cr_expect_str_eq(buf, "maps 1\n");
	cr_expect_eq(kernel_read(&ctx, file, buf, 2, 5), 2);
	cr_expect_eq(maps_made, 1);
	cr_expect_eq(vfs_llseek(&ctx, file, 0, SEEK_SET), 0);
	cr_expect_eq(world_read(file, buf, 60), 7);
	cr_expect_eq(maps_made, 2);
	cr_expect_eq(world_stat("/proc/self/maps").size, 0);
	file_put(file);
}

Test(procfs, machine_texts_do_not_tell_about_host_tasks)
{
	expect_text("/proc/loadavg", "1.50 0.25 0.00 1/3 100\n");
	expect_text("/proc/stat", "cpu  1 2\nintr 0\nbtime 5\n");
	expect_text("/proc/cmdline", "\n");
}

Test(procfs, filesystems_and_devices_come_from_the_tables)
{
	expect_contains("/proc/filesystems", "nodev\tproc\n");
	expect_contains("/proc/devices", "  1 mem\n");
	expect_contains("/proc/devices", "136 pts\n");
}

Test(procfs, mounts_show_the_tree)
{
	expect_contains("/proc/mounts", "devpts /dev/pts devpts rw");
	expect_contains("/proc/self/mountinfo", " /proc ");
}

Test(procfs, mounts_tell_poll_of_a_change_once)
{
	struct file *file = world_open("/proc/self/mounts", O_RDONLY);

	cr_expect_not(vfs_poll(&ctx, file, NULL) & POLLPRI);
	world_mount("tmpfs", "/mnt", NULL);
	cr_expect(vfs_poll(&ctx, file, NULL) & POLLPRI);
	cr_expect_not(vfs_poll(&ctx, file, NULL) & POLLPRI);
	file_put(file);
}

/* ---- writing ---- */

static ssize_t put(const char *name, const char *text)
{
	struct file *file = world_open(name, O_WRONLY | O_TRUNC);
	ssize_t done = world_write(file, text, strlen(text));

	file_put(file);
	return done;
}

Test(procfs, comm_is_cut_and_only_for_oneself)
{
	cr_expect_eq(put("/proc/self/comm", "new-name-that-is-long\n"), 22);
	cr_expect_eq(put("/proc/7/comm", "x"), -EINVAL);
}

Test(procfs, oom_score_adj_is_checked)
{
	cr_expect_eq(put("/proc/self/oom_score_adj", "500\n"), 4);
	expect_text("/proc/self/oom_score_adj", "500\n");
	cr_expect_eq(put("/proc/self/oom_score_adj", "1001"), -EINVAL);
	cr_expect_eq(put("/proc/self/oom_score_adj", "x"), -EINVAL);
}

Test(procfs, sysctls_can_be_read_and_the_safe_ones_written)
{
	expect_text("/proc/sys/kernel/ostype", "Linux\n");
	expect_text("/proc/sys/kernel/random/boot_id", "11111111-2222-4333-8444-555555555555\n");
	expect_text("/proc/sys/vm/overcommit_memory", "0\n");
	cr_expect_eq(put("/proc/sys/vm/overcommit_memory", "1\n"), 2);
	expect_text("/proc/sys/vm/overcommit_memory", "1\n");
	cr_expect_eq(put("/proc/sys/vm/overcommit_memory", "7"), -EINVAL);
	cr_expect_eq(put("/proc/sys/kernel/hostname", "other\n"), 6);
	expect_text("/proc/sys/kernel/hostname", "other\n");
	cr_expect_eq(put("/proc/sys/kernel/hostname", ""), 0);
	cr_expect_eq(put("/proc/sys/vm/overcommit_memory", ""), 0);
	expect_text("/proc/sys/kernel/hostname", "other\n");
	cr_expect_eq(world_open_error(&ctx, "/proc/sys/kernel/ostype", O_RDWR), -EACCES);
}

Test(procfs, uuid_is_a_new_one_each_time)
{
	char *first = strdup(world_text("/proc/sys/kernel/random/uuid"));

	cr_expect_eq(strlen(first), 37u);
	cr_expect_eq(first[14], '4');
	cr_expect_str_neq(world_text("/proc/sys/kernel/random/uuid"), first);
	free(first);
}

Test(procfs, nothing_can_be_made_or_changed)
{
	struct iattr attr = {.valid = ATTR_MODE, .mode = 0777};
	struct path path;

	cr_expect_eq(vfs_mkdir(&ctx, NULL, "/proc/new", 0755), -ENOENT);
	cr_expect_lt(vfs_unlink(&ctx, NULL, "/proc/version"), 0);
	cr_assert_eq(path_lookup(&ctx, NULL, "/proc/version", 0, &path), 0);
	cr_expect_eq(notify_change(&ctx, &path, &attr), -EPERM);
	path_put(&path);
}

/* ---- descriptors and magic links ---- */

static void install(const char *name, unsigned flags)
{
	fdtable_install(ctx.files, world_open(name, flags), 3, 100, true);
}

Test(procfs, fd_links_lead_to_the_open_file)
{
	char *target;

	install("/dev/null", O_RDONLY);
	cr_expect_str_eq(world_names("/proc/self/fd"), " . .. 3 ");
	cr_expect_eq(world_stat("/proc/self/fd/3").mode, S_IFLNK | 0500);
	target = world_readlink("/proc/self/fd/3");
	cr_expect_str_eq(target, "/dev/null");
	free(target);
	cr_expect_eq(world_open_error(&ctx, "/proc/self/fd/4", O_RDONLY), -ENOENT);
}

Test(procfs, an_unlinked_file_is_reopened_through_its_fd)
{
	struct file *file;
	char buf[8] = "", *target;

	cr_assert_eq(vfs_mknod(&ctx, NULL, "/gone", S_IFREG | 0644, 0), 0);
	install("/gone", O_RDWR);
	file = fdtable_file(ctx.files, 3);
	cr_assert_eq(world_write(file, "data", 4), 4);
	file_put(file);
	cr_assert_eq(vfs_unlink(&ctx, NULL, "/gone"), 0);
	target = world_readlink("/proc/self/fd/3");
	cr_expect_str_eq(target, "/gone (deleted)");
	free(target);
	file = world_open("/proc/self/fd/3", O_RDONLY);
	cr_expect_eq(world_read(file, buf, 7), 4);
	cr_expect_str_eq(buf, "data");
	file_put(file);
}

Test(procfs, fdinfo_shows_position_and_flags)
{
	install("/dev/null", O_RDWR);
	expect_contains("/proc/self/fdinfo/3", "pos:\t0\nflags:\t02100002\n");
}

Test(procfs, exe_cwd_and_root_are_links)
{
	char *cwd = world_readlink("/proc/self/cwd"), *target;

	cr_expect_str_eq(cwd, "/");
	free(cwd);
	exe = world_open("/dev/zero", O_RDONLY);
	target = world_readlink("/proc/self/exe");
	cr_expect_str_eq(target, "/dev/zero");
	free(target);
}

Test(procfs, namespaces_have_names_but_cannot_be_opened)
{
	char *target = world_readlink("/proc/self/ns/mnt");

	cr_expect_eq(strncmp(target, "mnt:[", 5), 0);
	free(target);
	cr_expect_eq(world_open_error(&ctx, "/proc/self/ns/mnt", O_RDONLY), -EACCES);
}

Test(procfs, another_user_cannot_look_inside)
{
	static const char *const names[] = {"/proc/100/environ", "/proc/100/maps", "/proc/100/fd",
					    "/proc/100/auxv", "/proc/100/exe"};
	struct op_ctx other = ctx;

	other.cred = seven;
	other.tgid = other.tid = 7;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_expect_eq(world_open_error(&other, names[i], O_RDONLY), -EACCES, "%s", names[i]);
	cr_expect_eq(world_open_error(&other, "/proc/100/stat", O_RDONLY), 0);
	cr_expect_eq(world_open_error(&other, "/proc/7/environ", O_RDONLY), 0);
	cr_expect_eq(world_open_error(&ctx, "/proc/7/environ", O_RDONLY), 0);
}
