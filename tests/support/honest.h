/*
 * An honest daemon: no script, every request is answered as a small file system would, so that a test
 * can look at one opcode alone. That one, the subject, is answered as the test says.
 *
 * The tree: /f and /g are files (nodes 5 and 8), /d a directory (6), /l a symlink to "f" (7); entries
 * and attributes are valid for long. Whatever is made under another name succeeds and gets a node
 * from 20 on. Files open for direct I/O.
 */
#ifndef FB_TESTS_HONEST_H
#define FB_TESTS_HONEST_H

#include "tests/support/daemon.h"

enum {
	HONEST_FILE = 5,
	HONEST_DIR = 6,
	HONEST_LINK = 7,
	HONEST_OTHER = 8,
	HONEST_MADE = 20,
};

/* How the subject is answered. */
struct honest_answer {
	int error;	/* negative errno, alone */
	int len_change; /* bytes more or fewer than the good answer has */
	size_t len;	/* with `exact`: so many bytes, the good ones first */
	bool exact;
	uint8_t payload; /* bytes of payload behind an error */
	bool hold;	 /* no answer: honest_release() */
};

struct honest {
	struct daemon *d;
	uint32_t subject;
	struct honest_answer answer;
	/* What came; guarded by d->lock. */
	unsigned count[64];	  /* requests by opcode */
	unsigned subjects;	  /* how often the subject came since honest_subject() */
	unsigned interrupts;	  /* and INTERRUPT, */
	uint64_t interrupted;	  /* for which unique */
	struct fuse_in_header in; /* of the last subject */
	uint8_t body[512];	  /* behind it, as far as there is room */
	uint64_t forgotten;	  /* lookups given back, root and files of the tree aside */
	ssize_t written;	  /* what the write of the last answer to it returned */
};

/* config->serve is ours. */
struct honest *honest_start(const struct daemon_config *config);
/* From now on; CUSE_INIT and INIT cannot be it. */
void honest_subject(struct honest *h, uint32_t opcode, struct honest_answer answer);
/* Waits for the subject's arrival, for an INTERRUPT, or for so many of one opcode since the start. */
bool honest_wait(struct honest *h);
bool honest_wait_written(struct honest *h);
bool honest_wait_interrupt(struct honest *h);
bool honest_wait_count(struct honest *h, uint32_t opcode, unsigned count);
bool honest_wait_forgotten(struct honest *h, uint64_t count);
/* Answers the subject that was held: with an error, or well. Returns the write's result. */
ssize_t honest_release(struct honest *h, int error);
/* NULL or what was wrong; frees all but the words, which are static. */
const char *honest_stop(struct honest *h);
#define HONEST_STOP(h)                                                                             \
	do {                                                                                       \
		const char *why_ = honest_stop(h);                                                 \
		cr_assert(!why_, "%s", why_);                                                      \
	} while (0)

#endif
