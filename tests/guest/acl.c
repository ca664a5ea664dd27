/* POSIX ACLs on a tmpfs: what setxattr takes, who may do what, chmod, inheritance. */
#include "report.h"

#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define ACCESS	"system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
#define MORE(tag, perm, id) {tag, perm, id}
#define SET(path, name, ...)                                                                       \
	({                                                                                         \
		struct posix_acl_xattr_entry e_[] = {__VA_ARGS__};                                 \
		set(path, name, e_, sizeof(e_) / sizeof(e_[0]));                                   \
	})

static int set(const char *path, const char *name, const struct posix_acl_xattr_entry *e, size_t n)
{
	char value[1000] = {POSIX_ACL_XATTR_VERSION};

	memcpy(value + 4, e, n * sizeof(*e));
	return setxattr(path, name, value, 4 + n * sizeof(*e), 0);
}

static void show(const char *path, const char *name)
{
	static const char *const tags[] = {[ACL_USER_OBJ] = "user:", [ACL_USER] = "user:",
		[ACL_GROUP_OBJ] = "group:", [ACL_GROUP] = "group:", [ACL_MASK] = "mask:",
		[ACL_OTHER] = "other:"};
	char value[1000];
	struct stat st;
	ssize_t n = getxattr(path, name, value, sizeof(value));

	stat(path, &st);
	printf("%s %o %s:", path, st.st_mode, strrchr(name, '_') + 1);
	if (n < 0)
		printf(" %s", strerrorname_np(errno));
	for (ssize_t i = 4; i < n; i += 8) {
		struct posix_acl_xattr_entry e;

		memcpy(&e, value + i, 8);
		printf(" %s%d=%o", tags[e.e_tag], (int)e.e_id, e.e_perm);
	}
	printf("\n");
}

/* What user `id` of group `id` may: a child tells. */
static void as(unsigned id, const char *path)
{
	fflush(stdout);
	if (fork() == 0) {
		int r, w;

		if (syscall(SYS_setgroups, 0, NULL) || setresgid(id, id, id) || setresuid(id, id, id))
			_exit(printf("cannot become another user\n") * 0);
		r = open(path, O_RDONLY);
		w = open(path, O_WRONLY);
		printf("%u %s: read %s write %s chmod %s\n", id, path, r < 0 ? "no" : "yes",
		       w < 0 ? "no" : "yes", chmod(path, 0777) ? "no" : "yes");
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
}

static void form(void)
{
	char old[4] = {1}, odd[7] = {2}, empty[4] = {2};

	close(open("f", O_CREAT | O_WRONLY, 0640));
	show("f", ACCESS);
	TRY(setxattr("f", ACCESS, old, 4, 0));
	TRY(setxattr("f", ACCESS, odd, 7, 0));
	TRY(setxattr("f", ACCESS, odd, 3, 0));
	TRY(setxattr("f", ACCESS, empty, 4, 0));
	TRY(setxattr("f", ACCESS, "", 0, 0));
	TRY(SET("f", ACCESS, MORE(ACL_USER_OBJ, 6, -1)));
	TRY(SET("f", ACCESS, MORE(ACL_USER_OBJ, 9, -1), MORE(ACL_GROUP_OBJ, 4, -1), MORE(ACL_OTHER, 4, -1)));
	TRY(SET("f", ACCESS, MORE(ACL_USER_OBJ, 6, -1), MORE(ACL_USER, 6, 77), MORE(ACL_GROUP_OBJ, 4, -1),
		MORE(ACL_OTHER, 4, -1))); /* no mask */
	TRY(SET("f", ACCESS, MORE(ACL_OTHER, 4, -1), MORE(ACL_USER_OBJ, 6, -1), MORE(ACL_GROUP_OBJ, 4, -1)));
	TRY(SET("f", ACCESS, MORE(0x99, 4, -1)));
	TRY(SET("f", DEFAULT, MORE(ACL_USER_OBJ, 6, -1), MORE(ACL_GROUP_OBJ, 4, -1), MORE(ACL_OTHER, 4, -1)));
	TRY(removexattr("f", DEFAULT));
	TRY(removexattr("f", ACCESS));
	TRY(SET("f", ACCESS, MORE(ACL_USER_OBJ, 7, -1), MORE(ACL_GROUP_OBJ, 5, -1), MORE(ACL_OTHER, 1, -1)));
	show("f", ACCESS); /* the mode says it all */
	TRY(symlink("f", "s"));
	TRY(lgetxattr("s", ACCESS, NULL, 0));
	TRY(lsetxattr("s", ACCESS, empty, 4, 0));
}

static void judge(void)
{
	char list[200] = "", value[10];
	ssize_t n;

	chmod("f", 0600);
	TRY(SET("f", ACCESS, MORE(ACL_USER_OBJ, 6, -1), MORE(ACL_USER, 6, 1001), MORE(ACL_USER, 4, 1002),
		MORE(ACL_GROUP_OBJ, 0, -1), MORE(ACL_GROUP, 6, 1003), MORE(ACL_MASK, 6, -1), MORE(ACL_OTHER, 4, -1)));
	show("f", ACCESS);
	TRY(getxattr("f", ACCESS, NULL, 0));
	TRY(getxattr("f", ACCESS, value, sizeof(value)));
	n = listxattr("f", list, sizeof(list));
	printf("list %zd %s\n", n, list);
	for (unsigned id = 1001; id <= 1004; id++)
		as(id, "f");
	chmod("f", 0644); /* the mask */
	show("f", ACCESS);
	for (unsigned id = 1001; id <= 1004; id++)
		as(id, "f");
	chmod("f", 0604); /* no group bits: not even looked at */
	as(1001, "f");
	as(1004, "f");
	chmod("f", 02675);
	TRY(removexattr("f", ACCESS));
	show("f", ACCESS);
	as(1001, "f");
}

static void inheritance(void)
{
	int fd;

	mkdir("d", 0755);
	TRY(SET("d", DEFAULT, MORE(ACL_USER_OBJ, 7, -1), MORE(ACL_USER, 7, 1001), MORE(ACL_GROUP_OBJ, 5, -1),
		MORE(ACL_MASK, 7, -1), MORE(ACL_OTHER, 5, -1)));
	show("d", DEFAULT);
	umask(077); /* does not count */
	fd = open("d/f", O_CREAT | O_WRONLY, 0666);
	close(fd);
	mkdir("d/sub", 0777);
	mknod("d/fifo", S_IFIFO | 0640, 0);
	symlink("x", "d/link");
	umask(022);
	show("d/f", ACCESS);
	show("d/f", DEFAULT);
	show("d/sub", ACCESS);
	show("d/sub", DEFAULT);
	show("d/fifo", ACCESS);
	TRY(lgetxattr("d/link", ACCESS, NULL, 0));
	TRY(SET("d", DEFAULT, MORE(ACL_USER_OBJ, 7, -1), MORE(ACL_GROUP_OBJ, 5, -1), MORE(ACL_OTHER, 0, -1)));
	close(open("d/g", O_CREAT | O_WRONLY, 0666));
	show("d/g", ACCESS); /* a plain list becomes plain bits */
	TRY(removexattr("d", DEFAULT));
	umask(027);
	close(open("d/h", O_CREAT | O_WRONLY, 0666));
	show("d/h", ACCESS);
	show("d", DEFAULT);
}

int main(void)
{
	char dir[] = "/dev/shm/acl-XXXXXX", command[60];

	MUST(mkdtemp(dir) ? 0 : -1);
	MUST(chdir(dir));
	chmod(".", 0755);
	form();
	judge();
	inheritance();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}
