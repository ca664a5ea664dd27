/* docs/fuse-features.md, printed from the tables of this folder: `fusebox --list-fuse`. */
#ifndef FB_DEVFUSE_FEATURES_H
#define FB_DEVFUSE_FEATURES_H

#include <stdint.h>

struct strbuf;

void fuse_feature_list(struct strbuf *out);
/* Stem of the file in tests/fuse that sends the opcode, or NULL; checked by tests/check_docs.sh. */
const char *fuse_opcode_test(uint32_t opcode);

#endif
