# Installs what is missing, with apt; sourced by ./demo and ./check. Nothing is asked for twice.

say() {
	printf '[%4ds] %s\n' "$SECONDS" "$*"
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# need PACKAGE...: all of them, or stop with a message.
need() {
	local missing=()
	for package in "$@"; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
			missing+=("$package")
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	say "installing: ${missing[*]}"
	if ! command -v apt-get >/dev/null; then
		echo "these Debian packages are missing, and there is no apt-get: ${missing[*]}" >&2
		exit 1
	fi
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null &&
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
			--no-install-recommends "${missing[@]}" >/dev/null || {
		echo "installing failed: ${missing[*]}" >&2
		exit 1
	}
}

build_packages=(gcc libc6-dev cmake ninja-build pkg-config libseccomp-dev libcap-dev uthash-dev
	libxxhash-dev libfuse3-dev fuse3)
test_packages=(libcriterion-dev clang libclang-rt-14-dev bubblewrap python3 perl git make tar
	busybox-static sqlite3 util-linux procps tmux vim-tiny less scdoc golang-go python3-venv bindfs squashfuse
	squashfs-tools fuse-overlayfs meson g++ liburing-dev libnuma-dev
	unionfs-fuse disorderfs)

# configure_and_build PRESET [TARGET...]
configure_and_build() {
	local preset=$1
	shift
	cmake --preset "$preset" ${CMAKE_EXTRA:-} >"/tmp/fusebox-cmake.$$" 2>&1 ||
		{ cat "/tmp/fusebox-cmake.$$"; rm -f "/tmp/fusebox-cmake.$$"; return 1; }
	rm -f "/tmp/fusebox-cmake.$$"
	if ! cmake --build "build/$preset" ${1:+--target "$@"} >"/tmp/fusebox-build.$$" 2>&1; then
		grep -E -A5 'error|FAILED' "/tmp/fusebox-build.$$" | head -n 40
		rm -f "/tmp/fusebox-build.$$"
		return 1
	fi
	rm -f "/tmp/fusebox-build.$$"
	return 0
}

# libfuse's own examples, unmodified, from Debian's sources in libfuse3-dev -> build/examples
build_examples() {
	local from=/usr/share/doc/libfuse3-dev/examples to=build/examples name
	local have="-DHAVE_UTIMENSAT -DHAVE_POSIX_FALLOCATE -DHAVE_SETXATTR -DHAVE_COPY_FILE_RANGE"
	mkdir -p "$to/include"
	# hello_ll_uds takes libfuse's own copy of the protocol, which no package has.
	echo '#include <linux/fuse.h>' >"$to/include/fuse_kernel.h"
	for name in hello hello_ll hello_ll_uds passthrough passthrough_fh passthrough_ll null printcap \
		cuse cuse_client ioctl ioctl_client poll poll_client notify_inval_entry notify_inval_inode \
		notify_store_retrieve invalidate_path; do
		[ -x "$to/$name" ] && continue
		if [ -f "$from/$name.c" ]; then
			gcc -O2 -w $have -o "$to/$name" "$from/$name.c" -I"$from" -I"$to/include" \
				$(pkg-config --cflags --libs fuse3) -lpthread || return 1
		elif [ -f "$from/$name.c.gz" ]; then
			gzip -dc "$from/$name.c.gz" >"$to/$name.c" &&
				gcc -O2 -w $have -o "$to/$name" "$to/$name.c" -I"$from" -I"$to/include" \
					$(pkg-config --cflags --libs fuse3) -lpthread || return 1
		else
			echo "libfuse's example $name is not in $from" >&2
			return 1
		fi
	done
}
