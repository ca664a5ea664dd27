/* docs/fuse-features.md, printed from the tables of this folder: `fusebox --list-fuse`. */
#ifndef FB_DEVFUSE_FEATURES_H
#define FB_DEVFUSE_FEATURES_H

struct strbuf;

void fuse_feature_list(struct strbuf *out);

#endif
