/*
 * procfs: /proc/PID/net. The headers that parsers expect; whoever owns sockets can put a file with
 * rows in place of one of these through procfs_net.
 */
#include <sys/stat.h>

#include "vfs/fs/procfs/procfs_internal.h"
#include "vfs/strbuf.h"

struct pseudo_dir procfs_net = PSEUDO_DIR_INIT(procfs_net);

static int show_const(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	strbuf_puts(out, key->data);
	return 0;
}

#define NET(name_, text_)                                                                          \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0444, .show = show_const, .data = (text_)       \
	}

#define INET_HEADER                                                                                \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt "             \
	"  uid  timeout inode"
#define INET6_HEADER                                                                               \
	"  sl  local_address                         remote_address                "               \
	"        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"

const struct pseudo_entry proc_net_entries[] = {
	NET("dev",
	    "Inter-|   Receive                                                |  Transmit\n"
	    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets "
	    "errs drop fifo colls carrier compressed\n"
	    "    lo:       0       0    0    0    0     0          0         0        0       0 "
	    "   0    0    0     0       0          0\n"),
	NET("tcp", INET_HEADER "\n"),
	NET("udp", INET_HEADER " ref pointer drops\n"),
	NET("tcp6", INET6_HEADER "\n"),
	NET("udp6", INET6_HEADER " ref pointer drops\n"),
	NET("unix", "Num       RefCount Protocol Flags    Type St Inode Path\n"),
	NET("netlink", "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    "
		       "Drops    Inode\n"),
	NET("route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow"
		     "\tIRTT\n"),
	NET("if_inet6", ""),
	{.name = NULL},
};
