/*
 * Which files an execve(2) means: path walk, `#!` chain, ELF program and interpreter, and what
 * the new program may do. Everything that Linux checks before the point of no return, in its
 * order (cf. do_execveat_common(), exec_binprm(), load_elf_binary()).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/exec_cred.h"
#include "sentry/exec_internal.h"
#include "sentry/exec_script.h"
#include "sentry/task.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/mapped.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"
#include "vfs/xattr.h"

/* The host's CAP_* layout is the guest's; XATTR_NAME_CAPS of linux/xattr.h. */
#define CAPS_XATTR "security.capability"
#define CAPS_SIZE_MAX 24

static int open_program(const struct op_ctx *ctx, const struct path *base, const char *name,
			int flags, struct file **ret_file)
{
	struct open_args args = {
		.flags = (uint64_t)(O_RDONLY | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0)),
		.resolve = flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0,
		.exec = true,
	};

	struct file *file;
	int err;

	err = vfs_open(ctx, base, name, &args, &file);
	if (err)
		return err;
	/* do_open_execat(): a program is not written to while it loads or runs. */
	err = inode_deny_write_access(file->inode);
	if (err == -ETXTBSY && mapped_any()) { /* its linker may have been the last to map it */
		mapped_reap_inode(ctx, file->inode);
		err = inode_deny_write_access(file->inode);
	}
	if (err) {
		file_put(file);
		return err;
	}
	file->fmode |= FMODE_DENYWRITE; /* nobody else knows the file yet */
	*ret_file = file;
	return 0;
}

/* A file under examination. */
struct program {
	const struct op_ctx *ctx;
	struct file *file; /* borrowed */
	char *head;	   /* owned; zero-padded to SCRIPT_HEAD_BYTES */
	size_t head_len;
};

static int program_init(struct program *program, const struct op_ctx *ctx, struct file *file)
{
	ssize_t got;

	*program = (struct program){ .ctx = ctx, .file = file, .head = calloc(1, SCRIPT_HEAD_BYTES) };
	if (!program->head)
		return -ENOMEM;
	got = kernel_read(ctx, file, program->head, SCRIPT_HEAD_BYTES, 0);
	if (got < 0) {
		free(program->head);
		program->head = NULL;
		return (int)got;
	}
	program->head_len = (size_t)got;
	return 0;
}

static void program_destroy(struct program *program)
{
	free(program->head);
	program->head = NULL;
}

/* For elf_source. As Linux, each header by a call of its own: a FUSE daemon may see them. */
static ssize_t program_read(void *arg, void *buf, size_t len, int64_t pos)
{
	const struct program *program = arg;

	if (pos != 0 || len > program->head_len)
		return kernel_read(program->ctx, program->file, buf, len, pos);
	memcpy(buf, program->head + pos, len);
	return (ssize_t)len;
}

/* would_dump(): what the caller may not read, nobody may read out of the process. */
static void note_readability(const struct op_ctx *ctx, struct file *file, struct exec_state *state)
{
	if (inode_permission(ctx, file->inode, MAY_READ))
		state->unreadable = true;
}

/* execveat(2) of a descriptor: bprm->filename is /dev/fd/N or /dev/fd/N/name. */
static int name_program(struct task *task, const struct path *base, const char *name,
			struct exec_state *state)
{
	const char *slash;
	char *comm = NULL;

	if (base && *name != '/') {
		int fd = task->call.nr == SYS_execveat ? (int)task->call.args[0] : -1;

		if (asprintf(&state->filename, "/dev/fd/%d%s%s", fd, *name ? "/" : "", name) < 0)
			state->filename = NULL;
		if (!*name)
			comm = dentry_name(base->dentry);
	} else {
		state->filename = strdup(name);
	}
	if (!state->filename) {
		free(comm);
		return -ENOMEM;
	}
	slash = strrchr(state->filename, '/');
	snprintf(state->comm, sizeof(state->comm), "%s",
		 comm ? comm : slash ? slash + 1 : state->filename);
	free(comm);
	return 0;
}

/* Puts copies of interp, arg and (for the first script) the script's name in front. */
static int add_prefix(struct exec_state *state, const struct script_line *line)
{
	bool first = state->nr_prefix == 0;
	unsigned added = 1 + (line->arg != NULL) + (first ? 1 : 0);
	char *strings[3];
	unsigned n = 0;

	if (state->nr_prefix + added > EXEC_PREFIX_MAX)
		return -ELOOP;
	strings[n++] = strdup(line->interp);
	if (line->arg)
		strings[n++] = strdup(line->arg);
	/* argv[0] goes; in a nested script it is the inner interpreter's name, which comes back. */
	if (first)
		strings[n++] = strdup(state->filename);
	memmove(state->prefix + added, state->prefix, state->nr_prefix * sizeof(*strings));
	memcpy(state->prefix, strings, added * sizeof(*strings));
	state->nr_prefix += added;
	state->argv_drop = 1;
	for (unsigned i = 0; i < added; i++)
		if (!strings[i])
			return -ENOMEM;
	return 0;
}

/* A script that the interpreter could not open again (a close-on-exec descriptor). */
static bool script_is_inaccessible(struct task *task, const struct path *base, const char *name)
{
	return base && *name != '/' && task->call.nr == SYS_execveat &&
	       fdtable_get_cloexec(task->files, (int)task->call.args[0]) == 1;
}

/* One step along a chain of scripts: the file that the first line names. */
static int open_script_interp(struct task *task, const struct path *base, const char *name,
			      char *head, struct exec_state *state, struct file **ret_file)
{
	struct script_line line;
	int err;

	err = script_parse(head, &line);
	if (!err && script_is_inaccessible(task, base, name))
		err = -ENOENT;
	if (!err)
		err = add_prefix(state, &line);
	return err ? err : open_program(task_ctx(task), NULL, line.interp, 0, ret_file);
}

/*
 * Follows `#!` until something that is no script: state->main. *ret_program is set on success and
 * borrows it.
 */
static int follow_scripts(struct task *task, const struct path *base, const char *name, int flags,
			  struct exec_state *state, struct program *ret_program)
{
	const struct op_ctx *ctx = task_ctx(task);
	struct file *file, *next;
	int err;

	err = open_program(ctx, base, name, flags, &file);
	for (int depth = 0; !err; depth++) {
		err = program_init(ret_program, ctx, file);
		if (err) {
			file_put(file);
			break;
		}
		note_readability(ctx, file, state);
		if (!script_is(ret_program->head)) {
			state->main = file;
			return 0;
		}
		err = open_script_interp(task, base, name, ret_program->head, state, &next);
		program_destroy(ret_program);
		state->scripts[state->nr_scripts++] = file;
		if (!err && depth >= EXEC_DEPTH_MAX) {
			file_put(next);
			err = -ELOOP;
		}
		file = err ? NULL : next;
	}
	return err;
}

static int load_interp(const struct op_ctx *ctx, struct exec_state *state)
{
	struct program program;
	const struct elf_source source = { program_read, &program };
	int err;

	err = open_program(ctx, NULL, state->main_elf.interp, 0, &state->interp);
	if (err)
		return err;
	note_readability(ctx, state->interp, state);
	err = program_init(&program, ctx, state->interp);
	if (err)
		return err;
	err = elf_image_read(&source, &state->interp_elf);
	program_destroy(&program);
	return err == -ENOEXEC ? -ELIBBAD : err;
}

static int load_images(const struct op_ctx *ctx, struct exec_state *state, struct program *main)
{
	const struct elf_source source = { program_read, main };
	int err;

	err = elf_image_read(&source, &state->main_elf);
	if (!err && state->main_elf.interp)
		err = load_interp(ctx, state);
	if (!err)
		err = exec_hostfd(ctx, state->main, &state->main_hostfd);
	if (!err && state->interp)
		err = exec_hostfd(ctx, state->interp, &state->interp_hostfd);
	return err;
}

static int compute_cred(struct task *task, const struct op_ctx *ctx, struct exec_state *state)
{
	const struct path *path = &state->main->path;
	struct inode *inode = state->main->inode;
	struct exec_file_rights rights = { 0 };
	char caps[CAPS_SIZE_MAX];
	ssize_t size;

	fb_mutex_lock(&inode->attr_lock);
	rights.mode = inode->mode;
	rights.uid = inode->uid;
	rights.gid = inode->gid;
	fb_mutex_unlock(&inode->attr_lock);
	rights.nosuid = (path->mnt->flags & MNT_NOSUID) || (inode->sb->flags & SB_NOSUID);
	fb_mutex_lock(&task->process->lock);
	rights.no_new_privs = task->process->no_new_privs;
	fb_mutex_unlock(&task->process->lock);
	if (!rights.nosuid) {
		size = vfs_getxattr(ctx, path, CAPS_XATTR, caps, sizeof(caps));
		if (size == -ERANGE)
			return -EINVAL;
		if (size > 0) {
			rights.caps = caps;
			rights.caps_size = (size_t)size;
		}
	}
	return exec_cred(ctx->cred, &rights, &state->cred, &state->secure);
}

int exec_resolve(struct task *task, const struct path *base, const char *name, int flags,
		 struct exec_state *state)
{
	const struct op_ctx *ctx = task_ctx(task);
	struct program program;
	int err;

	err = name_program(task, base, name, state);
	if (!err)
		err = follow_scripts(task, base, name, flags, state, &program);
	if (err)
		return err;
	err = load_images(ctx, state, &program);
	program_destroy(&program);
	return err ? err : compute_cred(task, ctx, state);
}
