/*
 * What we speak of the FUSE protocol, in words. The opcodes and INIT flags come from their own
 * tables; here stand the messages of the daemon's and the known differences from Linux. Which test
 * proves which rule is the business of tests/fuse/rules.sh.
 */
#include "devfuse/features.h"

#include <stddef.h>

#include "devfuse/opcode.h"
#include "vfs/strbuf.h"

/* Messages that the daemon starts (unique 0). */
static const struct {
	enum fuse_notify_code code;
	const char *name, *support;
} notifications[] = {
	{ FUSE_NOTIFY_POLL, "POLL", "yes" },
	{ FUSE_NOTIFY_INVAL_INODE, "INVAL_INODE", "yes" },
	{ FUSE_NOTIFY_INVAL_ENTRY, "INVAL_ENTRY", "yes" },
	{ FUSE_NOTIFY_STORE, "STORE", "yes" },
	{ FUSE_NOTIFY_RETRIEVE, "RETRIEVE", "yes" },
	{ FUSE_NOTIFY_DELETE, "DELETE", "yes" },
	{ FUSE_NOTIFY_RESEND, "RESEND", "yes" },
	{ FUSE_NOTIFY_INC_EPOCH, "INC_EPOCH", "yes" },
	{ FUSE_NOTIFY_PRUNE, "PRUNE", "yes" },
};

/* What a daemon or a client may notice. */
static const struct {
	const char *subject, *difference;
} differences[] = {
	{ "killed client",
	  "Intended: a client that is killed dies at once, also when the daemon has read its request "
	  "and does not answer. Linux leaves it waiting. What the late answer brings (a lookup, an "
	  "open file, a lock) is given back to the daemon." },
	{ "writeback cache",
	  "Dirty data is sent at fsync, close, umount, every 5 s, and when one file has 16 MiB of it; "
	  "lseek(SEEK_DATA and SEEK_HOLE), SETATTR and an open with O_TRUNC send it first." },
	{ "mmap",
	  "The range is read from the daemon at mmap(2), of 8 MiB and more only what LSEEK calls data. "
	  "A mapping of 32 MiB and more that is not executable and begins at the file's beginning is "
	  "filled as it is touched, in order: a touch has what lies before it read as well. Not with a "
	  "writeback cache. The host's kernel cannot touch such a page before the guest has: EFAULT "
	  "from a native call (futex). A guest that blocks or ignores SIGBUS finds it unblocked and "
	  "default after a touch. What a shared mapping has changed goes to the daemon at msync, "
	  "fsync, close, every 5 s, and within 0.2 s after the last munmap; not at munmap itself. "
	  "While a file is mapped from a descriptor open for writing, invalidations of its pages wait "
	  "for the end of the mapping. A small read-only mapping does not hold RELEASE back." },
	{ "messages of the daemon's",
	  "Before INIT is answered and after an abort they are EINVAL, as in later kernels; 6.18 takes "
	  "those that name no node. So is a STORE that ends beyond 2^63." },
	{ "io_uring", "Offered when /sys/module/fuse/parameters/enable_uring says Y, as on Linux; 7.42, "
		      "without the buffer pools and zero copy of 7.46. A queue takes 4096 entries at "
		      "most." },
	{ "splice", "splice(2) to and from /dev/fuse copies. A pipe with too little room for a message "
		    "makes it fail with EINVAL, as a small buffer does, and nothing is lost; on Linux "
		    "that request fails with EIO." },
	{ "/dev/fuse", "O_ASYNC: several messages queued at once may give one SIGIO; it carries no "
		       "siginfo of its own (F_SETSIG)." },
	{ "client timeout", "Beyond Linux: with `fusebox run --fuse-timeout` a client that has waited so "
			    "long gets ETIMEDOUT (but for a blocking lock); the daemon's late answer is "
			    "undone as that of a killed client." },
	{ "kept connections",
	  "Beyond Linux: with `fusebox run --fuse-keep`, the mount option keep, or a 1 in fusectl's file "
	  "keep, a mount outlives its daemon: clients wait (killably), and the next daemon takes over by "
	  "mounting at the same place with the same user_id, group_id and flags, and the same answer to "
	  "INIT; else the connection is aborted. In use, inodes are looked up by their paths again, and "
	  "files opened again. Lost: files without a name (ESTALE), locks, what the daemon itself had not "
	  "written yet; a FLUSH of a file that the new daemon has not opened is not sent. What the dead "
	  "daemon had read is sent again, with FUSE_UNIQUE_RESEND if it negotiates HAS_RESEND. That may "
	  "append twice (O_APPEND) and repeats ioctls; CREATE goes without O_EXCL, SETXATTR without "
	  "XATTR_CREATE; EEXIST, ENOENT and ENODATA of names made, removed or renamed already are "
	  "success; RENAME_EXCHANGE fails with EIO. While no daemon is there the root answers stat, "
	  "access and statfs from memory. The new mount API (fsopen) does not take over." },
	{ "id mapping", "ALLOW_IDMAP is not offered: there are no id-mapped mounts." },
	{ "security context", "There is no security module: the extension is sent without a label." },
	{ "other kinds of mounts",
	  "There are no block devices: a mount of type fuseblk is refused as "
	  "Linux does for a source that is none. No virtiofs (and so no DAX, SUBMOUNTS or "
	  "MAP_ALIGNMENT)." },
	{ "bdi", "A mount's shares of the dirty memory (max_ratio and others, strict_limit) are checked and "
		 "kept, and have no effect: nobody counts that memory here. Neither has power/control, and an event "
		 "written to uevent is sent to nobody." },
	{ "module parameters", "inval_wq is of Linux 6.19. It drops names that were looked up before it was "
	  "set, too." },
};

static void list_notifications(struct strbuf *out)
{
	for (size_t i = 0; i < sizeof(notifications) / sizeof(notifications[0]); i++)
		strbuf_printf(out, "| %d | %s | %s |\n", (int)notifications[i].code,
			      notifications[i].name, notifications[i].support);
}

static void list_differences(struct strbuf *out)
{
	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
		strbuf_printf(out, "| %s | %s |\n", differences[i].subject,
			      differences[i].difference);
}

void fuse_feature_list(struct strbuf *out)
{
	strbuf_printf(out,
		      "# FUSE features\n\n"
		      "Generated: by `fusebox --list-fuse` from the tables in devfuse/, and by "
		      "tests/fuse/rules.sh.\nThe protocol spoken is %d.%d.\n\n"
		      "## Opcodes\n\n"
		      "*since*: the minor that added it. *ENOSYS*: what the daemon's ENOSYS means: "
		      "`passed on` to the\ncaller each time, or remembered and never asked again, with "
		      "what callers get then.\n\n"
		      "| no. | name | since | sent | ENOSYS |\n"
		      "|---|---|---|---|---|\n",
		      FUSE_KERNEL_VERSION, FUSE_KERNEL_MINOR_VERSION);
	fuse_opcode_list(out);
	strbuf_puts(out, "\n## INIT flags\n\n"
			 "*offered*: we set it in INIT. *honoured*: what the daemon answers changes what "
			 "we do.\n\n"
			 "| bit | name | offered | honoured |\n"
			 "|---|---|---|---|\n");
	fuse_init_flag_list(out);
	strbuf_puts(out, "\n## Messages of the daemon's\n\n"
			 "| code | name | taken |\n"
			 "|---|---|---|\n");
	list_notifications(out);
	strbuf_puts(out, "\n## Differences from Linux, and limits\n\n"
			 "| subject | what differs |\n"
			 "|---|---|\n");
	list_differences(out);
}
