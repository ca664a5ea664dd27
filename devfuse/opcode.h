/*
 * THE opcode table: what each request is called, how long its pieces are for which minor, and
 * what an answer of ENOSYS means for the rest of the connection. The queue, the reply check,
 * --stats and docs/fuse-features.md all read it.
 */
#ifndef FB_DEVFUSE_OPCODE_H
#define FB_DEVFUSE_OPCODE_H

#include <stdbool.h>
#include <stdint.h>

#include "devfuse/proto.h"

struct strbuf;

enum fuse_enosys {
	ENOSYS_PLAIN,  /* goes to the caller like any error; nothing is remembered */
	ENOSYS_STICKY, /* remembered: the request is never sent again, enosys_result answers */
};

/* Sizes that differ for daemons whose INIT reply named a minor below `before`. */
struct fuse_compat {
	uint8_t before; /* 0 = no such rule */
	uint16_t size;
};

struct fuse_opcode_row {
	const char *name;
	uint8_t since;	       /* minor that added it; 0 = always there */
	bool no_reply;	       /* the daemon never answers it */
	bool out_var;	       /* the last out argument may be shorter than its buffer */
	bool forced;	       /* not held back by the INIT gate */
	bool ring_payload;     /* over the ring its structure stands in the payload, as names do */
	uint16_t in_size;      /* fixed structure in front of names and data; 0 = none */
	uint16_t out_size;     /* fixed part of the answer; with out_var a lower bound of 0 */
	struct fuse_compat in; /* older fixed structure, a prefix of the new one */
	struct fuse_compat out;
	enum fuse_enosys enosys;
	int enosys_result;   /* ENOSYS_STICKY: what callers get; -ENOSYS = they do it locally */
	const char *support; /* NULL: sent in full; else what is missing, in words for the docs */
};

/* The row, or NULL for numbers that do not exist. */
const struct fuse_opcode_row *fuse_opcode_row(uint32_t opcode);
const char *fuse_opcode_name(uint32_t opcode); /* "?" when unknown */
/* Sizes of the fixed parts for a daemon that speaks `minor`. */
uint32_t fuse_opcode_in_size(const struct fuse_opcode_row *row, uint32_t minor);
uint32_t fuse_opcode_out_size(const struct fuse_opcode_row *row, uint32_t minor);
/* docs/fuse-features.md, the part about opcodes. */
void fuse_opcode_list(struct strbuf *out);
/* The same for the INIT flags (init.c). */
void fuse_init_flag_list(struct strbuf *out);

#endif
