/* devpts: /dev/pts with ptmx and one node per open pseudo-terminal. */
#ifndef FB_VFS_FS_DEVPTS_H
#define FB_VFS_FS_DEVPTS_H

struct filesystem_type;

extern struct filesystem_type devpts_type;

/* Registers the number of ptmx for nodes outside devpts. Called once at start-up. */
void devpts_devices_register(void);

#endif
