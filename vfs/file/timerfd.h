/*
 * timerfd_create(2) and kin, on struct fb_timer.
 *
 * Differences from Linux: a jump of the host's wall clock moves no armed timer, so
 * TFD_TIMER_CANCEL_ON_SET is accepted and never cancels; the ALARM clocks are refused (-EPERM, as
 * without CAP_WAKE_ALARM): a guest must not wake the host from suspend.
 */
#ifndef FB_VFS_FILE_TIMERFD_H
#define FB_VFS_FILE_TIMERFD_H

#include <time.h>

struct file;
struct op_ctx;

/* flags: TFD_NONBLOCK; TFD_CLOEXEC is ignored here; others and unknown clocks -EINVAL. */
int timerfd_new(const struct op_ctx *ctx, int clockid, unsigned flags, struct file **ret_file);
/* timerfd_settime(2); ret_old may be NULL. -EINVAL: not a timerfd, bad flags or times. */
int timerfd_arm(struct file *file, unsigned flags, const struct itimerspec *value,
		struct itimerspec *ret_old);
/* timerfd_gettime(2) */
int timerfd_setting(struct file *file, struct itimerspec *ret_value);

#endif
