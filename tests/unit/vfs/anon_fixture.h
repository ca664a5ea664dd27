/* A caller and files of a kind made for the test, without any tree of names. */
#ifndef FB_TESTS_ANON_FIXTURE_H
#define FB_TESTS_ANON_FIXTURE_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/superblock.h"

static struct op_ctx ctx;
static int raised; /* last signal raised through ctx.ops */

static void note_raised(const struct op_ctx *c, int signo)
{
	(void)c;
	raised = signo;
}

static const struct op_ctx_ops note_ops = { .signal = note_raised };

__attribute__((unused)) static void caller_start(void)
{
	ctx = (struct op_ctx){ .fsize_limit = UINT64_MAX, .tid = 7, .tgid = 7, .ops = &note_ops };
	ctx.cred = cred_new(0, 0, NULL, 0);
	ctx.files = fdtable_new();
	raised = 0;
}

__attribute__((unused)) static void caller_stop(void)
{
	fdtable_put(&ctx, ctx.files);
	cred_put(ctx.cred);
}

__attribute__((unused)) static struct file *anon(const struct file_ops *op, void *private,
						 unsigned flags, uint32_t mode)
{
	struct file *file;

	cr_assert_eq(file_new_anon(&ctx, "test", mode, op, private, flags, &file), 0);
	return file;
}

#endif
