#include "vfs/ctx.h"

#include "sentry/base/iter.h"

void ctx_iter_init(const struct op_ctx *ctx, struct io_iter *iter, const struct iovec *segs,
		   size_t nr_segs, size_t count)
{
	if (ctx->ops && ctx->ops->iter_init)
		ctx->ops->iter_init(ctx, iter, segs, nr_segs, count);
	else
		iter_init_segs(iter, NULL, NULL, segs, nr_segs, count);
}
