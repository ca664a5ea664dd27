/* The devices that are about memory: null, zero, full, random, urandom (mem(4) and its kin). */
#ifndef FB_VFS_DEV_MEM_H
#define FB_VFS_DEV_MEM_H

/* Registers them as character devices. Called once at start-up. */
void mem_devices_register(void);

#endif
