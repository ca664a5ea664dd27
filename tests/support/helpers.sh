#!/bin/bash
# The mount helpers, as root and as a user (uid 1000), one line per behaviour: the same natively and in
# the sandbox (matrix 7.3). Runs as root in a mount namespace of its own and in an empty directory.
#	helpers.sh EXAMPLES SUPPORT DIRECTORY
examples=$1 support=$2
work=$3
# One on which set-uid counts and devices are devices.
mount -t tmpfs none "$work" && cd "$work" || exit 2
mkdir bin m u root sticky "a b" file-dir && chmod 1777 sticky && chown 1000:1000 u "a b" file-dir && chmod 755 .
cp "$(command -v fusermount3)" bin/ && chmod 4755 bin/fusermount3
PATH=$work/bin:$PATH:/usr/sbin:/sbin
: >file && : >user-file && chown 1000 user-file && mkdir sticky/mine sticky/other && chown 1000 sticky/mine
ln -s u link
# The device is everybody's, as udev makes it; and a configuration of our own.
case $(stat -c %a /dev/fuse) in
*6) ;;
*) mknod fuse c 10 229 && chmod 666 fuse && mount --bind fuse /dev/fuse || exit 2 ;;
esac
: >conf && chmod 644 conf && mount --bind conf /etc/fuse.conf || exit 2

# A name of its own: the machine may have more daemons of libfuse.
cp "$examples/hello" bin/greeter && chmod 755 bin/greeter
as_user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
show() { # WHAT COMMAND...
	local text status
	text=$("${@:2}" 2>&1 </dev/null)
	status=$?
	text=${text//"$work"/WORK}
	printf '%s: %s' "$1" "${text//$'\n'/ | }"
	[ $status -eq 0 ] || printf ' [%s]' $status
	printf '\n'
}
within() {
	local end=$((SECONDS + 11))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
	echo yes
}
mounted() { grep -q " $work/$1 fuse" /proc/mounts; }
gone() { ! mounted "$1"; }
line() { grep " $work/$1 fuse" /proc/mounts; }
fm="$work/bin/fusermount3"

mnt() { python3 "$support/helpers.py" "$work" "$fm" "$@"; } # WHO... <"MOUNT-POINT TAB OPTIONS" lines

# M23, M24, M26: options
for options in '' ro rw,suid,dev nosuid,nodev,noexec,noatime default_permissions allow_other allow_root \
	max_read=8192 blksize=512 'fsname=a b' subtype=word fsname=x,subtype=y 'fsname=a\,b' auto_unmount \
	nonempty unknown fd=9 rootmode=100000 user_id=7 group_id=7 sync dirsync \
	"fsname=$(printf %04100d 0)" ,, ro,rw dev suid noexec,exec atime nodiratime; do
	printf 'u\t%s\n' "$options"
done | mnt root user
# M25: where a user may
for where in m u link sticky sticky/mine sticky/other file user-file missing . bin /proc /proc/self /sys \
	/dev/null /tmp "a b" /; do
	printf '%s\tfsname=z\n' "$where"
done | mnt user
printf '%s\t\n' file "a b" missing link | mnt root
show "user: two mount points" as_user "$fm" u m
show "no mount point" "$fm"
show "no descriptor to answer to" env -u _FUSE_COMMFD "$fm" m
show "a descriptor that is none" env _FUSE_COMMFD=77 "$fm" m
umount -l m # mounted all the same
show "unknown flag" sh -c "$fm -k 2>&1 | head -n 1"

# /etc/fuse.conf
echo user_allow_other >conf
printf 'u\t%s\n' allow_other allow_root | mnt user
echo 'mount_max = 1' >conf
as_user "$work/bin/greeter" "$work/u" && within mounted u >/dev/null
echo "one more than mount_max:"
echo 'a b' | mnt user root
echo 'mount_max = -1' >conf
echo 'a b' | mnt user
printf '# comment\n\nmount_max = x\nnonsense\n' >conf
echo 'a b' | mnt user
: >conf

# M28: unmounting
show "another user may not" setpriv --reuid 1001 --regid 1001 --clear-groups "$fm" -u u
show "quietly" setpriv --reuid 1001 --regid 1001 --clear-groups "$fm" -u -q u
show "the line of a user's mount" line u
show "the user may" as_user "$fm" -u u
show "twice" as_user "$fm" -u u
show "a missing directory" as_user "$fm" -u missing
show "what is no FUSE mount" as_user "$fm" -u /proc
show "by a link" sh -c 'exec "$0" -u link' "$fm"
as_user "$work/bin/greeter" "$work/u" && within mounted u >/dev/null
setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'exec sleep 1000 <u/hello' & pid=$!
disown
within sh -c "readlink /proc/$pid/fd/0 | grep -q hello" >/dev/null
show "busy" sh -c "exec setpriv --reuid 1000 --regid 1000 --clear-groups '$fm' -u u 2>&1 | grep -o 'busy'"
show "lazily" as_user "$fm" -u -z u
show "lazily unmounted" gone u
kill $pid
show "its daemon ends with the last file" within sh -c '! pgrep -x greeter'

# M27: auto_unmount; a user's, too
as_user "$work/bin/greeter" -o auto_unmount "$work/u"
within mounted u >/dev/null && show "user: auto_unmount: a helper stays" within pgrep -u 0 -x fusermount3
pkill -9 -x greeter
show "user: auto_unmount: the helper ends" within sh -c '! pgrep -x fusermount3'
mounted u && umount -l u # libfuse 3.14 leaves a user's mount
"$work/bin/greeter" -o auto_unmount "$work/m"
within mounted m >/dev/null && pkill -9 -x greeter
show "root: auto_unmount: unmounted" within gone m
show "root: auto_unmount: the helper ends" within sh -c '! pgrep -x fusermount3'

# M20: a mount point /dev/fd/N, mounted by someone else
show "/dev/fd/N" python3 -c '
import os, subprocess, sys
fd = os.open("/dev/fuse", os.O_RDWR)
libc = __import__("ctypes").CDLL(None, use_errno=True)
opts = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fd
assert libc.mount(b"outside", b"m", b"fuse", 0, opts) == 0
daemon = subprocess.Popen([sys.argv[1], "-f", "/dev/fd/%d" % fd], pass_fds=[fd])
os.close(fd)
print(open("m/hello").read().strip(), [l.split()[0] for l in open("/proc/mounts") if "/m fuse" in l])
assert libc.umount2(b"m", 0) == 0
print(daemon.wait())' "$work/bin/greeter"
show "/dev/fd/N that is not open" sh -c "exec $work/bin/greeter -f /dev/fd/55 2>&1 | tail -n 1"

# M31: mount.fuse3 and mount(8); a daemon that takes a source before its mount point
printf '#!/bin/sh\nshift\nexec "%s/bin/greeter" "$@"\n' "$work" >bin/sourced && chmod 755 bin/sourced
show "mount.fuse3 PROGRAM" sh -c "mount.fuse3 $work/bin/greeter $work/m && cat m/hello; umount m"
show "mount.fuse3 PROGRAM#SOURCE" sh -c "mount.fuse3 $work/bin/sourced#from $work/m && cat m/hello; umount m"
show "mount.fuse3 -t" sh -c "mount.fuse3 from $work/m -t fuse.sourced -o ro && cat m/hello &&
	grep ' $work/m ' /proc/mounts; umount m"
show "mount -t fuse3" sh -c "mount -t fuse3 $work/bin/sourced#from $work/m -o ro,noexec && cat m/hello &&
	grep ' $work/m ' /proc/mounts; umount m"
show "mount.fuse3 of a missing program" sh -c "mount.fuse3 /no/such $work/m 2>&1 | grep -o 'not found'"
show "mount.fuse3 without arguments" sh -c 'mount.fuse3 2>&1 | head -n 1'
within sh -c '! pgrep -x greeter' >/dev/null
show "setuid=" sh -c "mount.fuse3 $work/bin/greeter $work/sticky/mine -o setuid=nobody; ps -o user= -C greeter"
chown nobody sticky/mine
show "setuid= of the mount point's owner" sh -c "mount.fuse3 $work/bin/greeter $work/sticky/mine -o setuid=nobody,subtype=s
	grep ' $work/sticky/mine ' /proc/mounts; ps -o user= -C greeter; umount sticky/mine"
within sh -c '! pgrep -x greeter' >/dev/null
show "setuid= of nobody there" sh -c "mount.fuse3 $work/bin/greeter $work/m -o setuid=nosuchuser"
show "drop_privileges" sh -c "mount.fuse3 $work/bin/greeter $work/m -o drop_privileges,subtype=s && cat m/hello &&
	grep ' $work/m ' /proc/mounts && grep -E 'Cap(Inh|Prm|Eff|Amb)|NoNewPrivs' /proc/\$(pgrep -x greeter)/status | tr -d '\t'
	umount m"
show "all daemons have ended" within sh -c '! pgrep -x greeter'
umount /etc/fuse.conf
