/*
 * procfs: stat, status and limits of a process, made from the host's texts. What is about ids,
 * names and credentials is replaced by the guest's; memory, times and signals are the host's.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "sentry/base/err.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/fdtable.h"
#include "vfs/fs/procfs/procfs_internal.h"
#include "vfs/fs_struct.h"
#include "vfs/strbuf.h"

/* Columns of /proc/PID/stat after the name, counted from 1 as in proc(5). */
enum {
	STAT_STATE = 3,
	STAT_PPID,
	STAT_PGRP,
	STAT_SESSION,
	STAT_TTY_NR,
	STAT_TPGID,
	STAT_NR_THREADS = 20,
	STAT_COLUMNS = 52,
};

#define STATUS_GROUPS_SHOWN 1024

void proc_copy_lines(struct strbuf *out, const struct strbuf *text, const char *const *keys)
{
	if (!text->buf)
		return;
	for (; *keys; keys++) {
		size_t len = strlen(*keys);

		for (const char *line = text->buf; *line;) {
			const char *end = strchr(line, '\n');
			size_t line_len = end ? (size_t)(end - line) + 1 : strlen(line);

			if (strncmp(line, *keys, len) == 0 && line[len] == ':')
				strbuf_add(out, line, line_len);
			line += line_len;
		}
	}
}

/* Cf. new_encode_dev(): the tty_nr column. */
static unsigned encode_dev(dev_t dev)
{
	unsigned maj = major(dev), min = minor(dev);

	return (min & 0xff) | (maj << 8) | ((min & ~0xffu) << 12);
}

/* What takes the place of a column of the host's stat; NULL: the host's own text. */
static bool stat_column(int column, const struct proc_relatives *relatives, int nr_threads, dev_t tty,
			pid_t tpgid, struct strbuf *out)
{
	switch (column) {
	case STAT_PPID:
		strbuf_printf(out, " %d", relatives->ppid);
		return true;
	case STAT_PGRP:
		strbuf_printf(out, " %d", relatives->pgid);
		return true;
	case STAT_SESSION:
		strbuf_printf(out, " %d", relatives->sid);
		return true;
	case STAT_TTY_NR:
		strbuf_printf(out, " %u", encode_dev(tty));
		return true;
	case STAT_TPGID:
		strbuf_printf(out, " %d", tpgid);
		return true;
	case STAT_NR_THREADS:
		strbuf_printf(out, " %d", nr_threads);
		return true;
	}
	return false;
}

/* A state the guest understands: a task that waits for us or its tracer just sleeps. */
static char guest_state(char host)
{
	return host == 'D' || host == 't' ? 'S' : host;
}

int proc_show_stat(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct proc_task *task = proc_task_get(key);
	struct strbuf text = STRBUF_INIT;
	struct proc_relatives relatives;
	struct proc_ids ids;
	const char *rest = NULL;
	char comm[16];
	pid_t tpgid;
	dev_t tty;
	int err;

	(void)ctx;
	if (!task)
		return -ESRCH;
	proc_source->ids(task, &ids);
	proc_source->relatives(task, &relatives);
	proc_source->comm(task, comm);
	proc_source->tty(task, &tty, &tpgid);
	err = proc_source->text(task, PROC_TEXT_STAT, !key->tid, &text);
	proc_source->put(task);
	/* The name may hold anything, a ')' too: the last one ends it. */
	if (!err && text.buf)
		rest = strrchr(text.buf, ')');
	strbuf_printf(out, "%d (%.15s) %c", key->tid ? key->tid : key->pid, comm,
		      rest && rest[1] ? guest_state(rest[2]) : 'Z');
	if (rest)
		rest += rest[1] && rest[2] ? 3 : 1;
	for (int column = STAT_PPID; column <= STAT_COLUMNS; column++) {
		size_t len = 0;

		if (rest) {
			rest += strspn(rest, " \n");
			len = strcspn(rest, " \n");
		}
		if (!stat_column(column, &relatives, ids.nr_threads, tty, tpgid, out))
			strbuf_printf(out, " %.*s", len ? (int)len : 1, len ? rest : "0");
		if (rest)
			rest += len;
	}
	strbuf_putc(out, '\n');
	strbuf_free(&text);
	return 0;
}

static void status_ids(const struct pseudo_key *key, pid_t tgid, pid_t ppid, const struct cred *cred,
		       struct strbuf *out)
{
	strbuf_printf(out, "Tgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n", tgid,
		      key->tid ? key->tid : key->pid, ppid);
	strbuf_printf(out, "Uid:\t%u\t%u\t%u\t%u\n", cred->uid, cred->euid, cred->suid,
		      cred->fsuid);
	strbuf_printf(out, "Gid:\t%u\t%u\t%u\t%u\n", cred->gid, cred->egid, cred->sgid,
		      cred->fsgid);
}

static void status_groups(const struct cred *cred, struct strbuf *out)
{
	size_t shown =
		cred->nr_groups < STATUS_GROUPS_SHOWN ? cred->nr_groups : STATUS_GROUPS_SHOWN;

	strbuf_puts(out, "Groups:\t");
	for (size_t i = 0; i < shown; i++)
		strbuf_printf(out, "%u ", cred->groups[i]);
	strbuf_putc(out, '\n');
}

static void status_caps(const struct cred *cred, bool no_new_privs, struct strbuf *out)
{
	strbuf_printf(out, "CapInh:\t%016" PRIx64 "\nCapPrm:\t%016" PRIx64 "\n",
		      cred->cap_inheritable, cred->cap_permitted);
	strbuf_printf(out, "CapEff:\t%016" PRIx64 "\nCapBnd:\t%016" PRIx64 "\n",
		      cred->cap_effective, cred->cap_bounding);
	strbuf_printf(out, "CapAmb:\t%016" PRIx64 "\nNoNewPrivs:\t%d\n", cred->cap_ambient,
		      no_new_privs);
	/* Our filter is no part of the world that the guest sees. */
	strbuf_puts(out, "Seccomp:\t0\nSeccomp_filters:\t0\n");
}

/* "State:\tS (sleeping)" of the host's text, with our waiting states folded into sleep. */
static void status_state(const struct strbuf *text, struct strbuf *out)
{
	const char *state = text->buf ? strstr(text->buf, "\nState:\t") : NULL;
	char letter = state ? guest_state(state[8]) : 'Z';

	strbuf_printf(out, "State:\t%c (%s)\n", letter,
		      letter == 'R'   ? "running"
		      : letter == 'S' ? "sleeping"
		      : letter == 'T' ? "stopped"
		      : letter == 'Z' ? "zombie"
		      : letter == 'X' ? "dead"
				      : "idle");
}

/* Cf. proc_task_name(): only what would break the lines is escaped. */
static void put_name(struct strbuf *out, const char *comm)
{
	for (; *comm; comm++) {
		if (*comm == '\n')
			strbuf_puts(out, "\\n");
		else if (*comm == '\\')
			strbuf_puts(out, "\\\\");
		else
			strbuf_putc(out, *comm);
	}
}

int proc_show_status(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	static const char *const memory[] = {
		"VmPeak",   "VmSize", "VmLck", "VmPin", "VmHWM", "VmRSS", "RssAnon", "RssFile",
		"RssShmem", "VmData", "VmStk", "VmExe", "VmLib", "VmPTE", "VmSwap",  NULL};
	static const char *const signals[] = {"SigQ",	"SigPnd", "ShdPnd", "SigBlk",
					      "SigIgn", "SigCgt", NULL};
	static const char *const rest[] = {"Cpus_allowed",
					   "Cpus_allowed_list",
					   "Mems_allowed",
					   "Mems_allowed_list",
					   "voluntary_ctxt_switches",
					   "nonvoluntary_ctxt_switches",
					   NULL};
	struct proc_task *task = proc_task_get(key);
	struct strbuf text = STRBUF_INIT;
	const struct cred *cred;
	struct fdtable *files;
	struct fs_struct *fs;
	struct proc_relatives relatives;
	struct proc_ids ids;
	char comm[16];

	if (!task)
		return -ESRCH;
	proc_source->ids(task, &ids);
	proc_source->relatives(task, &relatives);
	proc_source->comm(task, comm);
	cred = proc_source->cred(task);
	(void)proc_source->text(task, PROC_TEXT_STATUS, !key->tid,
				&text); /* a zombie has little to say */
	strbuf_puts(out, "Name:\t");
	put_name(out, comm);
	strbuf_putc(out, '\n');
	fs = proc_source->fs(task);
	if (fs)
		strbuf_printf(out, "Umask:\t%04o\n", fs_umask(fs));
	fs_struct_put(fs);
	status_state(&text, out);
	status_ids(key, ids.tgid, relatives.ppid, cred, out);
	files = proc_source->files(task);
	if (files) {
		strbuf_printf(out, "FDSize:\t%d\n", files->nr_slots);
		fdtable_put(ctx, files);
	}
	status_groups(cred, out);
	proc_copy_lines(out, &text, memory);
	strbuf_printf(out, "CoreDumping:\t0\nTHP_enabled:\t1\nThreads:\t%d\n", ids.nr_threads);
	proc_copy_lines(out, &text, signals);
	status_caps(cred, ids.no_new_privs, out);
	proc_copy_lines(out, &text, rest);
	strbuf_free(&text);
	cred_put(cred);
	proc_source->put(task);
	return 0;
}

static void limit_value(uint64_t value, struct strbuf *out)
{
	if (value == UINT64_MAX)
		strbuf_printf(out, "%-20s ", "unlimited");
	else
		strbuf_printf(out, "%-20" PRIu64 " ", value);
}

/* The host's limits, but descriptors are ours. */
int proc_show_limits(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct proc_task *task = proc_task_get(key);
	struct strbuf text = STRBUF_INIT;
	uint64_t soft, hard;
	int err;

	(void)ctx;
	if (!task)
		return -ESRCH;
	proc_source->nofile(task, &soft, &hard);
	err = proc_source->text(task, PROC_TEXT_LIMITS, !key->tid, &text);
	proc_source->put(task);
	for (const char *line = text.buf; !err && line && *line;) {
		size_t len = strcspn(line, "\n");

		if (strncmp(line, "Max open files", 14) == 0) {
			strbuf_printf(out, "%-25s ", "Max open files");
			limit_value(soft, out);
			limit_value(hard, out);
			strbuf_puts(out, "files     \n");
		} else {
			strbuf_add(out, line, len);
			strbuf_putc(out, '\n');
		}
		line += len + (line[len] == '\n');
	}
	strbuf_free(&text);
	return err;
}
